"""What our keys make and take, held against the openssl command and libraries that share no code with it.

OpenSSL made the `cryptography` package as well; `rsa`, `ecdsa`, `dilithium_py` and `kyber_py` are
written in Python alone.
https://docs.aws.amazon.com/kms/latest/developerguide/offline-operations.html
"""

import hashlib

import ecdsa
import pytest
import rsa
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, mldsa, mlkem
from cryptography.hazmat.primitives.asymmetric import rsa as rsa_keys
from dilithium_py.ml_dsa import pkcs as dilithium
from ecdsa import eddsa
from kyber_py.ml_kem import pkcs as kyber

from clients import refusal

MESSAGE = b"what is signed \x00\xff" * 20
RSA = ["RSA_2048", "RSA_3072", "RSA_4096"]
# The curve's name to openssl, and the hash that its signatures go with.
CURVES = {
    "ECC_NIST_P256": ("prime256v1", "256"),
    "ECC_NIST_P384": ("secp384r1", "384"),
    "ECC_NIST_P521": ("secp521r1", "512"),
    "ECC_SECG_P256K1": ("secp256k1", "256"),
}
ML_DSA = {
    "ML_DSA_44": mldsa.MLDSA44PublicKey,
    "ML_DSA_65": mldsa.MLDSA65PublicKey,
    "ML_DSA_87": mldsa.MLDSA87PublicKey,
}
# `cryptography` has no ML-KEM-512.
ML_KEM = {
    "ML_KEM_512": None,
    "ML_KEM_768": mlkem.MLKEM768PublicKey,
    "ML_KEM_1024": mlkem.MLKEM1024PublicKey,
}
OAEP = ("-pkeyopt", "rsa_padding_mode:oaep")


@pytest.fixture(scope="module")
def kms(root):
    return root.client("kms")


@pytest.fixture(scope="module")
def key_of(kms):
    """One key of each spec and usage, made when it is first asked for."""
    made = {}

    def key(spec, usage):
        if (spec, usage) not in made:
            answer = kms.create_key(KeySpec=spec, KeyUsage=usage)
            made[spec, usage] = answer["KeyMetadata"]["KeyId"]
        return made[spec, usage]

    return key


def public_der(kms, key):
    return kms.get_public_key(KeyId=key)["PublicKey"]


def sign(kms, key, algorithm, message=MESSAGE, kind="RAW"):
    return kms.sign(
        KeyId=key, Message=message, MessageType=kind, SigningAlgorithm=algorithm
    )["Signature"]


def verified(openssl, public, signature, bits, *options, message=MESSAGE):
    """What `openssl dgst` says of a signature."""
    openssl.write("message", message)
    openssl.write("signature", signature)
    done = openssl.run(
        "dgst", f"-sha{bits}", *options, "-verify", public, "-signature", "signature", "message"
    )
    said = done.stdout + done.stderr
    assert (b"Verified OK" in said) == (done.returncode == 0), said
    assert (b"Verification failure" in said) == (done.returncode != 0), said
    return done.returncode == 0


@pytest.mark.parametrize("bits", ["256", "384", "512"])
@pytest.mark.parametrize("scheme", ["PSS", "PKCS1_V1_5"])
@pytest.mark.parametrize("spec", RSA)
def test_openssl_verifies_signatures_of_rsa_keys(spec, scheme, bits, kms, key_of, openssl):
    key, algorithm = key_of(spec, "SIGN_VERIFY"), f"RSASSA_{scheme}_SHA_{bits}"
    public = openssl.public_key(public_der(kms, key))
    # The salt of a PSS signature is as long as the hash.
    # https://docs.aws.amazon.com/kms/latest/developerguide/symm-asymm-choose-key-spec.html
    options = [] if scheme != "PSS" else [
        "-sigopt", "rsa_padding_mode:pss", "-sigopt", f"rsa_pss_saltlen:{int(bits) // 8}",
        "-sigopt", f"rsa_mgf1_md:sha{bits}",
    ]
    digest = hashlib.new(f"sha{bits}", MESSAGE).digest()
    for kind, message in (("RAW", MESSAGE), ("DIGEST", digest)):
        signature = sign(kms, key, algorithm, message, kind)
        assert verified(openssl, public, signature, bits, *options)
        assert not verified(openssl, public, signature, bits, *options, message=b"other")
        if scheme == "PKCS1_V1_5":
            own = rsa.PublicKey.load_pkcs1_openssl_der(public_der(kms, key))
            assert rsa.verify(MESSAGE, signature, own) == f"SHA-{bits}"


@pytest.mark.parametrize("spec", CURVES)
def test_openssl_verifies_signatures_of_curve_keys(spec, kms, key_of, openssl):
    key, bits = key_of(spec, "SIGN_VERIFY"), CURVES[spec][1]
    der = public_der(kms, key)
    public, own = openssl.public_key(der), ecdsa.VerifyingKey.from_der(der)
    hashed = getattr(hashlib, f"sha{bits}")
    for kind, message in (("RAW", MESSAGE), ("DIGEST", hashed(MESSAGE).digest())):
        signature = sign(kms, key, f"ECDSA_SHA_{bits}", message, kind)
        assert verified(openssl, public, signature, bits)
        assert not verified(openssl, public, signature, bits, message=b"other")
        assert own.verify(
            signature, MESSAGE, hashfunc=hashed, sigdecode=ecdsa.util.sigdecode_der
        )


def test_openssl_verifies_signatures_of_ed25519_keys(kms, key_of, openssl):
    key = key_of("ECC_NIST_EDWARDS25519", "SIGN_VERIFY")
    public = openssl.public_key(public_der(kms, key))
    openssl.write("signature", sign(kms, key, "ED25519_SHA_512"))
    for message, valid in ((MESSAGE, True), (b"other", False)):
        openssl.write("message", message)
        done = openssl.run(
            "pkeyutl", "-verify", "-rawin", "-pubin", "-inkey", public, "-in", "message",
            "-sigfile", "signature",
        )
        assert (done.returncode == 0) == valid, done.stdout + done.stderr


def ed25519ph_verified(public, signature, message):
    """RFC 8032 section 5.1.7, with the prehash's prefix of section 2, over the curve of `ecdsa`."""
    curve, base = eddsa.curve_ed25519, eddsa.generator_ed25519
    prehash = hashlib.sha512(message).digest()
    prefix = b"SigEd25519 no Ed25519 collisions" + bytes([1, 0])
    r, s = signature[:32], int.from_bytes(signature[32:], "little")
    k = int.from_bytes(hashlib.sha512(prefix + r + public + prehash).digest(), "little")
    points = [ecdsa.ellipticcurve.PointEdwards.from_bytes(curve, one) for one in (r, public)]
    return s < base.order() and base * s == points[0] + points[1] * (k % base.order())


def test_a_prehashed_ed25519_signature_is_rfc_8032s_of_the_digest(kms, key_of):
    """What is given as a digest is the message of Ed25519ph, which hashes it once more.
    https://docs.aws.amazon.com/kms/latest/APIReference/API_Sign.html"""
    key = key_of("ECC_NIST_EDWARDS25519", "SIGN_VERIFY")
    public = public_der(kms, key)[-32:]
    digest, other = (hashlib.sha512(message).digest() for message in (MESSAGE, b"other"))
    signature = sign(kms, key, "ED25519_PH_SHA_512", digest, "DIGEST")
    assert ed25519ph_verified(public, signature, digest)
    assert not ed25519ph_verified(public, signature, other)
    # The two kinds of signature do not pass for each other.
    assert not ed25519ph_verified(public, sign(kms, key, "ED25519_SHA_512", digest), digest)
    # Nor do the two kinds of message.
    for algorithm, kind in (("ED25519_PH_SHA_512", "RAW"), ("ED25519_SHA_512", "DIGEST")):
        refused = refusal(
            kms.sign, KeyId=key, Message=digest, MessageType=kind, SigningAlgorithm=algorithm
        )
        assert (refused.code, refused.status) == ("ValidationException", 400), str(refused)


@pytest.mark.parametrize("spec", ML_DSA)
def test_a_lattice_signature_is_verified_by_both_libraries(spec, kms, key_of):
    key = key_of(spec, "SIGN_VERIFY")
    der = public_der(kms, key)
    public = serialization.load_der_public_key(der)
    scheme, own = dilithium.pk_from_der(der)
    mu = scheme.prehash_external_mu(own, MESSAGE)
    for kind, message in (("RAW", MESSAGE), ("EXTERNAL_MU", mu)):
        signature = sign(kms, key, "ML_DSA_SHAKE_256", message, kind)
        public.verify(signature, MESSAGE)
        assert scheme.verify(own, MESSAGE, signature)
        assert not scheme.verify(own, b"other", signature)
        # Whichever way it was signed, it is verified either way.
        for named, given in (("RAW", MESSAGE), ("EXTERNAL_MU", mu)):
            assert kms.verify(
                KeyId=key, Message=given, MessageType=named, Signature=signature,
                SigningAlgorithm="ML_DSA_SHAKE_256",
            )["SignatureValid"]
    # A representative of another key's is another message.
    other = public_der(kms, kms.create_key(KeySpec=spec, KeyUsage="SIGN_VERIFY")["KeyMetadata"]["KeyId"])
    foreign = scheme.prehash_external_mu(dilithium.pk_from_der(other)[1], MESSAGE)
    signature = sign(kms, key, "ML_DSA_SHAKE_256", foreign, "EXTERNAL_MU")
    assert not scheme.verify(own, MESSAGE, signature)


@pytest.mark.parametrize("bits", ["1", "256"])
@pytest.mark.parametrize("spec", RSA)
def test_what_openssl_encrypts_is_decrypted(spec, bits, kms, key_of, openssl):
    key, algorithm = key_of(spec, "ENCRYPT_DECRYPT"), f"RSAES_OAEP_SHA_{bits}"
    public = openssl.public_key(public_der(kms, key))
    # The longest message: the modulus less two hashes and two bytes.
    longest = int(spec[-4:]) // 8 - 2 * hashlib.new(f"sha{bits}").digest_size - 2
    for text in (b"text", bytes(longest)):
        openssl.write("text", text)
        openssl.ok(
            "pkeyutl", "-encrypt", "-pubin", "-inkey", public, *OAEP,
            "-pkeyopt", f"rsa_oaep_md:sha{bits}", "-pkeyopt", f"rsa_mgf1_md:sha{bits}",
            "-in", "text", "-out", "sealed",
        )
        asked = {"CiphertextBlob": openssl.read("sealed"), "KeyId": key}
        assert kms.decrypt(EncryptionAlgorithm=algorithm, **asked)["Plaintext"] == text
        other = {"1": "RSAES_OAEP_SHA_256", "256": "RSAES_OAEP_SHA_1"}[bits]
        refused = refusal(kms.decrypt, EncryptionAlgorithm=other, **asked)
        assert refused.code == "InvalidCiphertextException", str(refused)


@pytest.mark.parametrize("spec,size", [(spec, int(spec[-4:])) for spec in RSA])
def test_rsa_public_keys_are_opened_outside(spec, size, kms, key_of, openssl):
    for usage in ("SIGN_VERIFY", "ENCRYPT_DECRYPT"):
        der = public_der(kms, key_of(spec, usage))
        public = serialization.load_der_public_key(der)
        assert isinstance(public, rsa_keys.RSAPublicKey) and public.key_size == size
        own = rsa.PublicKey.load_pkcs1_openssl_der(der)
        assert (own.n, own.e) == (public.public_numbers().n, 65537)
        said = openssl.text("pkey", "-pubin", "-in", openssl.public_key(der), "-text_pub", "-noout")
        assert f"Public-Key: ({size} bit)" in said


@pytest.mark.parametrize("spec", CURVES)
def test_curve_public_keys_are_opened_outside(spec, kms, key_of, openssl):
    name = CURVES[spec][0]
    usages = ["SIGN_VERIFY"] + ["KEY_AGREEMENT"] * ("NIST" in spec)
    for usage in usages:
        der = public_der(kms, key_of(spec, usage))
        public = serialization.load_der_public_key(der)
        assert isinstance(public, ec.EllipticCurvePublicKey)
        own = ecdsa.VerifyingKey.from_der(der)
        assert own.curve.openssl_name == name
        numbers, point = public.public_numbers(), own.pubkey.point
        assert (numbers.x, numbers.y) == (point.x(), point.y())
        said = openssl.text("pkey", "-pubin", "-in", openssl.public_key(der), "-text_pub", "-noout")
        assert f"ASN1 OID: {name}" in said


def test_the_ed25519_public_key_is_opened_outside(kms, key_of, openssl):
    der = public_der(kms, key_of("ECC_NIST_EDWARDS25519", "SIGN_VERIFY"))
    public = serialization.load_der_public_key(der)
    assert isinstance(public, ed25519.Ed25519PublicKey)
    assert ecdsa.VerifyingKey.from_der(der).to_string() == public.public_bytes_raw()
    said = openssl.text("pkey", "-pubin", "-in", openssl.public_key(der), "-text_pub", "-noout")
    assert "ED25519 Public-Key" in said


@pytest.mark.parametrize("spec", [*ML_DSA, *ML_KEM])
def test_lattice_public_keys_are_opened_outside(spec, kms, key_of):
    known = {**ML_DSA, **ML_KEM}[spec]
    usage = "SIGN_VERIFY" if spec in ML_DSA else "ENCAPSULATE_DECAPSULATE"
    der = public_der(kms, key_of(spec, usage))
    read = dilithium.pk_from_der if spec in ML_DSA else kyber.ek_from_der
    own = read(der)[1]
    if known:
        public = serialization.load_der_public_key(der)
        assert isinstance(public, known) and public.public_bytes_raw() == own
    written = dilithium.pk_to_der if spec in ML_DSA else kyber.ek_to_der
    assert written(*read(der)) == der


@pytest.mark.parametrize("spec", [spec for spec in CURVES if "NIST" in spec])
def test_openssl_derives_the_same_secret(spec, kms, key_of, openssl):
    key = key_of(spec, "KEY_AGREEMENT")
    openssl.ok("ecparam", "-name", CURVES[spec][0], "-genkey", "-noout", "-out", "mine.pem")
    openssl.ok("pkey", "-in", "mine.pem", "-pubout", "-outform", "DER", "-out", "mine.der")
    peer = openssl.public_key(public_der(kms, key))
    openssl.ok("pkeyutl", "-derive", "-inkey", "mine.pem", "-peerkey", peer, "-out", "secret")
    derived = kms.derive_shared_secret(
        KeyId=key, KeyAgreementAlgorithm="ECDH", PublicKey=openssl.read("mine.der")
    )
    assert derived["SharedSecret"] == openssl.read("secret")
    # Two of our keys agree as well.
    other = kms.create_key(KeySpec=spec, KeyUsage="KEY_AGREEMENT")["KeyMetadata"]["KeyId"]
    one, two = (
        kms.derive_shared_secret(
            KeyId=mine, KeyAgreementAlgorithm="ECDH", PublicKey=public_der(kms, theirs)
        )["SharedSecret"]
        for mine, theirs in ((key, other), (other, key))
    )
    assert one == two != derived["SharedSecret"]
    # A key on another curve is refused.
    openssl.ok("ecparam", "-name", "secp256k1", "-genkey", "-noout", "-out", "mine.pem")
    openssl.ok("pkey", "-in", "mine.pem", "-pubout", "-outform", "DER", "-out", "mine.der")
    refused = refusal(
        kms.derive_shared_secret, KeyId=key, KeyAgreementAlgorithm="ECDH",
        PublicKey=openssl.read("mine.der"),
    )
    assert (refused.code, refused.status) == ("ValidationException", 400), str(refused)


@pytest.mark.parametrize("spec", ML_KEM)
def test_what_libraries_encapsulate_is_decapsulated(spec, kms, key_of):
    key = key_of(spec, "ENCAPSULATE_DECAPSULATE")
    der, algorithm = public_der(kms, key), kms.describe_key(KeyId=key)["KeyMetadata"]
    (algorithm,) = algorithm["EncapsulationAlgorithms"]
    scheme, own = kyber.ek_from_der(der)
    made = [scheme.encaps(own)]
    if ML_KEM[spec]:
        made.append(serialization.load_der_public_key(der).encapsulate())
    for secret, sealed in made:
        opened = kms.decapsulate(
            KeyId=key, SharedSecretCiphertextBlob=sealed, EncapsulationAlgorithm=algorithm
        )
        assert opened["SharedSecret"] == secret


# Of each spec of pairs, which of openssl's names its private key is known by.
PAIRS = {
    "RSA_2048": "Private-Key: (2048 bit",
    "RSA_3072": "Private-Key: (3072 bit",
    "RSA_4096": "Private-Key: (4096 bit",
    **{spec: f"ASN1 OID: {name}" for spec, (name, _) in CURVES.items()},
    "ECC_NIST_EDWARDS25519": "ED25519 Private-Key",
}


@pytest.mark.parametrize("spec", PAIRS)
def test_openssl_opens_the_private_keys_that_we_hand_out(spec, kms, key_of, openssl):
    wrapping = key_of("SYMMETRIC_DEFAULT", "ENCRYPT_DECRYPT")
    pair = kms.generate_data_key_pair(KeyId=wrapping, KeyPairSpec=spec)
    openssl.write("private.der", pair["PrivateKeyPlaintext"])
    said = openssl.text("pkey", "-inform", "DER", "-in", "private.der", "-check", "-text", "-noout")
    assert "Key is valid" in said and PAIRS[spec] in said
    public = openssl.ok("pkey", "-inform", "DER", "-in", "private.der", "-pubout", "-outform", "DER")
    assert public == pair["PublicKey"]
    sealed = kms.generate_data_key_pair_without_plaintext(KeyId=wrapping, KeyPairSpec=spec)
    opened = kms.decrypt(CiphertextBlob=sealed["PrivateKeyCiphertextBlob"])["Plaintext"]
    openssl.write("private.der", opened)
    public = openssl.ok("pkey", "-inform", "DER", "-in", "private.der", "-pubout", "-outform", "DER")
    assert public == sealed["PublicKey"]


@pytest.mark.parametrize("spec", ML_KEM)
def test_libraries_open_the_lattice_keys_that_we_hand_out(spec, kms, key_of):
    wrapping = key_of("SYMMETRIC_DEFAULT", "ENCRYPT_DECRYPT")
    pair = kms.generate_data_key_pair(KeyId=wrapping, KeyPairSpec=spec)
    scheme, own = kyber.ek_from_der(pair["PublicKey"])
    secret, sealed = scheme.encaps(own)
    assert scheme.decaps(kyber.dk_from_der(pair["PrivateKeyPlaintext"])[1], sealed) == secret
    if ML_KEM[spec]:
        private = serialization.load_der_private_key(pair["PrivateKeyPlaintext"], None)
        assert private.decapsulate(sealed) == secret
