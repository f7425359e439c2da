"""Key material made and wrapped by openssl as AWS's pages say, imported, and then used on both sides.

Every type of key takes imported material.
https://docs.aws.amazon.com/kms/latest/developerguide/importing-keys-encrypt-key-material.html
https://docs.aws.amazon.com/kms/latest/APIReference/API_GetParametersForImport.html
"""

import datetime
import hashlib
import hmac

import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import mldsa, mlkem

from clients import refusal
from test_kms_cli import Terminal

ALGORITHMS = [
    "RSAES_OAEP_SHA_1", "RSAES_OAEP_SHA_256", "RSA_AES_KEY_WRAP_SHA_1", "RSA_AES_KEY_WRAP_SHA_256",
]
MESSAGE = b"a message"


@pytest.fixture(scope="module")
def kms(root):
    return root.client("kms")


def awaiting(kms, spec="SYMMETRIC_DEFAULT", usage="ENCRYPT_DECRYPT"):
    """A key without material."""
    made = kms.create_key(Origin="EXTERNAL", KeySpec=spec, KeyUsage=usage)["KeyMetadata"]
    assert (made["Origin"], made["KeyState"]) == ("EXTERNAL", "PendingImport")
    return made["KeyId"]


def oaep(openssl, public, bits, source, sealed):
    openssl.ok(
        "pkeyutl", "-encrypt", "-in", source, "-out", sealed, "-inkey", public, "-keyform", "DER",
        "-pubin", "-pkeyopt", "rsa_padding_mode:oaep", "-pkeyopt", f"rsa_oaep_md:sha{bits}",
        "-pkeyopt", f"rsa_mgf1_md:sha{bits}",
    )
    return openssl.read(sealed)


def wrapped(openssl, public, algorithm, source):
    """The material as ImportKeyMaterial takes it."""
    bits = algorithm.rsplit("_", 1)[1]
    if algorithm.startswith("RSAES"):
        return oaep(openssl, public, bits, source, "sealed")
    openssl.ok("rand", "-out", "aes-key.bin", "32")
    openssl.ok(
        "enc", "-id-aes256-wrap-pad", "-K", openssl.read("aes-key.bin").hex(), "-iv", "A65959A6",
        "-in", source, "-out", "material-wrapped.bin",
    )
    key = oaep(openssl, public, bits, "aes-key.bin", "aes-key-wrapped.bin")
    return key + openssl.read("material-wrapped.bin")


def import_into(kms, openssl, key, source, algorithm, spec="RSA_2048"):
    given = kms.get_parameters_for_import(
        KeyId=key, WrappingAlgorithm=algorithm, WrappingKeySpec=spec
    )
    public = openssl.write("WrappingPublicKey.bin", given["PublicKey"])
    return kms.import_key_material(
        KeyId=key, ImportToken=given["ImportToken"],
        EncryptedKeyMaterial=wrapped(openssl, public, algorithm, source),
        ExpirationModel="KEY_MATERIAL_DOES_NOT_EXPIRE",
    )


def private(openssl, *genpkey):
    """A private key of openssl's, and its file as it is imported: PKCS #8 in DER."""
    openssl.ok("genpkey", *genpkey, "-out", "private.pem")
    openssl.ok(
        "pkcs8", "-topk8", "-nocrypt", "-in", "private.pem", "-outform", "DER", "-out", "private.der"
    )
    openssl.ok("pkey", "-in", "private.pem", "-pubout", "-outform", "DER", "-out", "public.der")
    return "private.der"


CURVE = ("-algorithm", "EC", "-pkeyopt")
RSA = ("-algorithm", "RSA", "-pkeyopt")


@pytest.mark.parametrize("algorithm,spec", [
    *((algorithm, "RSA_2048") for algorithm in ALGORITHMS),
    ("RSAES_OAEP_SHA_256", "RSA_3072"),
    ("RSA_AES_KEY_WRAP_SHA_256", "RSA_4096"),
])
def test_a_symmetric_key_of_openssls_is_imported_under_every_wrapping(algorithm, spec, kms, openssl):
    key = awaiting(kms)
    openssl.ok("rand", "-out", "PlaintextKeyMaterial.bin", "32")
    import_into(kms, openssl, key, "PlaintextKeyMaterial.bin", algorithm, spec)
    shown = kms.describe_key(KeyId=key)["KeyMetadata"]
    assert (shown["KeyState"], shown["ExpirationModel"]) == ("Enabled", "KEY_MATERIAL_DOES_NOT_EXPIRE")
    sealed = kms.encrypt(KeyId=key, Plaintext=MESSAGE)["CiphertextBlob"]
    assert kms.decrypt(CiphertextBlob=sealed)["Plaintext"] == MESSAGE
    # The same bytes come back, others do not.
    kms.delete_imported_key_material(KeyId=key)
    assert refusal(kms.decrypt, CiphertextBlob=sealed).code == "KMSInvalidStateException"
    openssl.ok("rand", "-out", "Other.bin", "32")
    refused = refusal(
        import_into, kms=kms, openssl=openssl, key=key, source="Other.bin", algorithm=algorithm, spec=spec
    )
    assert refused.code == "IncorrectKeyMaterialException", str(refused)
    import_into(kms, openssl, key, "PlaintextKeyMaterial.bin", algorithm, spec)
    assert kms.decrypt(CiphertextBlob=sealed)["Plaintext"] == MESSAGE


@pytest.mark.parametrize("bits", [224, 256, 384, 512])
def test_an_imported_mac_key_gives_pythons_and_openssls_codes(bits, kms, openssl):
    key = awaiting(kms, f"HMAC_{bits}", "GENERATE_VERIFY_MAC")
    openssl.ok("rand", "-out", "material", bits // 8)
    import_into(kms, openssl, key, "material", "RSAES_OAEP_SHA_256")
    asked = {"KeyId": key, "Message": MESSAGE, "MacAlgorithm": f"HMAC_SHA_{bits}"}
    mac = kms.generate_mac(**asked)["Mac"]
    assert mac == hmac.digest(openssl.read("material"), MESSAGE, f"sha{bits}")
    openssl.write("message", MESSAGE)
    assert mac == openssl.ok(
        "dgst", f"-sha{bits}", "-mac", "HMAC", "-macopt",
        f"hexkey:{openssl.read('material').hex()}", "-binary", "message",
    )
    assert kms.verify_mac(Mac=mac, **asked)["MacValid"]


@pytest.mark.parametrize("spec,how,bits,wrapping", [
    ("ECC_NIST_P256", (*CURVE, "ec_paramgen_curve:P-256"), 256, "RSAES_OAEP_SHA_256"),
    ("ECC_NIST_P384", (*CURVE, "ec_paramgen_curve:P-384"), 384, "RSAES_OAEP_SHA_1"),
    ("ECC_NIST_P521", (*CURVE, "ec_paramgen_curve:P-521"), 512, "RSA_AES_KEY_WRAP_SHA_1"),
    ("ECC_SECG_P256K1", (*CURVE, "ec_paramgen_curve:secp256k1"), 256, "RSA_AES_KEY_WRAP_SHA_256"),
    ("RSA_2048", (*RSA, "rsa_keygen_bits:2048"), 256, "RSA_AES_KEY_WRAP_SHA_256"),
    ("RSA_3072", (*RSA, "rsa_keygen_bits:3072"), 512, "RSA_AES_KEY_WRAP_SHA_1"),
])
def test_an_imported_pair_signs_for_openssl_and_verifies_it(spec, how, bits, wrapping, kms, openssl):
    key = awaiting(kms, spec, "SIGN_VERIFY")
    import_into(kms, openssl, key, private(openssl, *how), wrapping)
    public = openssl.read("public.der")
    assert kms.get_public_key(KeyId=key)["PublicKey"] == public
    openssl.public_key(public)
    openssl.write("message", MESSAGE)
    scheme = "RSASSA_PKCS1_V1_5" if spec.startswith("RSA") else "ECDSA"
    asked = {"KeyId": key, "Message": MESSAGE, "SigningAlgorithm": f"{scheme}_SHA_{bits}"}
    openssl.write("signature", kms.sign(**asked)["Signature"])
    openssl.ok("dgst", f"-sha{bits}", "-verify", "public.pem", "-signature", "signature", "message")
    openssl.ok("dgst", f"-sha{bits}", "-sign", "private.pem", "-out", "signature", "message")
    assert kms.verify(Signature=openssl.read("signature"), **asked)["SignatureValid"]


def test_an_imported_pair_signs_in_each_rsa_scheme(kms, openssl):
    key = awaiting(kms, "RSA_2048", "SIGN_VERIFY")
    import_into(
        kms, openssl, key, private(openssl, *RSA, "rsa_keygen_bits:2048"), "RSA_AES_KEY_WRAP_SHA_256"
    )
    openssl.write("message", MESSAGE)
    for bits in (256, 384, 512):
        openssl.ok(
            "dgst", f"-sha{bits}", "-sigopt", "rsa_padding_mode:pss", "-sigopt", "rsa_pss_saltlen:digest",
            "-sign", "private.pem", "-out", "signature", "message",
        )
        asked = {"KeyId": key, "SigningAlgorithm": f"RSASSA_PSS_SHA_{bits}"}
        signature = openssl.read("signature")
        assert kms.verify(Message=MESSAGE, Signature=signature, **asked)["SignatureValid"]
        digest = hashlib.new(f"sha{bits}", MESSAGE).digest()
        assert kms.verify(Message=digest, MessageType="DIGEST", Signature=signature, **asked)


def test_an_imported_edwards_pair_signs_for_openssl_and_verifies_it(kms, openssl):
    key = awaiting(kms, "ECC_NIST_EDWARDS25519", "SIGN_VERIFY")
    import_into(kms, openssl, key, private(openssl, "-algorithm", "ED25519"), "RSAES_OAEP_SHA_256")
    openssl.public_key(openssl.read("public.der"))
    openssl.write("message", MESSAGE)
    asked = {"KeyId": key, "Message": MESSAGE, "SigningAlgorithm": "ED25519_SHA_512"}
    openssl.write("signature", kms.sign(**asked)["Signature"])
    openssl.ok(
        "pkeyutl", "-verify", "-rawin", "-pubin", "-inkey", "public.pem", "-in", "message",
        "-sigfile", "signature",
    )
    signature = openssl.ok("pkeyutl", "-sign", "-rawin", "-inkey", "private.pem", "-in", "message")
    assert signature == openssl.read("signature")


def pkcs8(private):
    return private.private_bytes(
        serialization.Encoding.DER, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )


@pytest.mark.parametrize("spec,generate", [
    ("ML_DSA_44", mldsa.MLDSA44PrivateKey.generate),
    ("ML_DSA_65", mldsa.MLDSA65PrivateKey.generate),
    ("ML_DSA_87", mldsa.MLDSA87PrivateKey.generate),
])
def test_an_imported_lattice_pair_signs_for_its_maker_and_verifies_it(spec, generate, kms, openssl):
    """The command in Debian does not know these; the library that has OpenSSL 3.5 or newer inside does."""
    key, made = awaiting(kms, spec, "SIGN_VERIFY"), generate()
    openssl.write("private.der", pkcs8(made))
    import_into(kms, openssl, key, "private.der", "RSA_AES_KEY_WRAP_SHA_256")
    asked = {"KeyId": key, "Message": MESSAGE, "SigningAlgorithm": "ML_DSA_SHAKE_256"}
    made.public_key().verify(kms.sign(**asked)["Signature"], MESSAGE)
    assert kms.verify(Signature=made.sign(MESSAGE), **asked)["SignatureValid"]


@pytest.mark.parametrize("spec,generate", [
    ("ML_KEM_768", mlkem.MLKEM768PrivateKey.generate),
    ("ML_KEM_1024", mlkem.MLKEM1024PrivateKey.generate),
])
def test_an_imported_lattice_pair_shares_secrets_with_its_maker(spec, generate, kms, openssl):
    key, made = awaiting(kms, spec, "ENCAPSULATE_DECAPSULATE"), generate()
    openssl.write("private.der", pkcs8(made))
    import_into(kms, openssl, key, "private.der", "RSA_AES_KEY_WRAP_SHA_256")
    (algorithm,) = kms.describe_key(KeyId=key)["KeyMetadata"]["EncapsulationAlgorithms"]
    ours = kms.encapsulate(KeyId=key, EncapsulationAlgorithm=algorithm)
    assert made.decapsulate(ours["SharedSecretCiphertextBlob"]) == ours["SharedSecret"]
    secret, sealed = made.public_key().encapsulate()
    opened = kms.decapsulate(
        KeyId=key, SharedSecretCiphertextBlob=sealed, EncapsulationAlgorithm=algorithm
    )
    assert opened["SharedSecret"] == secret


def test_openssl_decrypts_what_an_imported_pair_encrypts(kms, openssl):
    key = awaiting(kms, "RSA_2048", "ENCRYPT_DECRYPT")
    import_into(
        kms, openssl, key, private(openssl, *RSA, "rsa_keygen_bits:2048"), "RSA_AES_KEY_WRAP_SHA_256"
    )
    for bits in ("1", "256"):
        sealed = kms.encrypt(
            KeyId=key, Plaintext=MESSAGE, EncryptionAlgorithm=f"RSAES_OAEP_SHA_{bits}"
        )
        openssl.write("sealed", sealed["CiphertextBlob"])
        assert openssl.ok(
            "pkeyutl", "-decrypt", "-inkey", "private.pem", "-in", "sealed",
            "-pkeyopt", "rsa_padding_mode:oaep", "-pkeyopt", f"rsa_oaep_md:sha{bits}",
            "-pkeyopt", f"rsa_mgf1_md:sha{bits}",
        ) == MESSAGE


def test_openssl_derives_the_secret_of_an_imported_pair(kms, openssl):
    key = awaiting(kms, "ECC_NIST_P256", "KEY_AGREEMENT")
    import_into(
        kms, openssl, key, private(openssl, *CURVE, "ec_paramgen_curve:P-256"), "RSAES_OAEP_SHA_256"
    )
    other = kms.create_key(KeySpec="ECC_NIST_P256", KeyUsage="KEY_AGREEMENT")["KeyMetadata"]["KeyId"]
    public = kms.get_public_key(KeyId=other)["PublicKey"]
    peer = openssl.public_key(public)
    openssl.ok("pkeyutl", "-derive", "-inkey", "private.pem", "-peerkey", peer, "-out", "secret")
    for mine, theirs in ((key, public), (other, kms.get_public_key(KeyId=key)["PublicKey"])):
        derived = kms.derive_shared_secret(
            KeyId=mine, KeyAgreementAlgorithm="ECDH", PublicKey=theirs
        )
        assert derived["SharedSecret"] == openssl.read("secret")


def test_material_that_is_not_what_the_key_takes_is_refused(kms, openssl):
    """https://docs.aws.amazon.com/kms/latest/APIReference/API_ImportKeyMaterial.html"""
    symmetric, curve = awaiting(kms), awaiting(kms, "ECC_NIST_P256", "SIGN_VERIFY")
    openssl.ok("rand", "-out", "short", "16")
    other = private(openssl, *CURVE, "ec_paramgen_curve:P-384")
    openssl.ok("rand", "-out", "right", "32")
    for key, source in ((symmetric, "short"), (symmetric, other), (curve, "right"), (curve, other)):
        refused = refusal(
            import_into, kms=kms, openssl=openssl, key=key, source=source,
            algorithm="RSA_AES_KEY_WRAP_SHA_256",
        )
        assert refused.code == "IncorrectKeyMaterialException", (source, str(refused))
        assert kms.describe_key(KeyId=key)["KeyMetadata"]["KeyState"] == "PendingImport"
    # Wrapped otherwise than was said, or under the public key of another token.
    one, two = (
        kms.get_parameters_for_import(
            KeyId=symmetric, WrappingAlgorithm="RSAES_OAEP_SHA_256", WrappingKeySpec="RSA_2048"
        )
        for _ in range(2)
    )
    openssl.write("one", one["PublicKey"])
    for sealed, token in (
        (oaep(openssl, "one", "1", "right", "sealed"), one["ImportToken"]),
        (oaep(openssl, "one", "256", "right", "sealed"), two["ImportToken"]),
    ):
        refused = refusal(
            kms.import_key_material, KeyId=symmetric, ImportToken=token, EncryptedKeyMaterial=sealed,
            ExpirationModel="KEY_MATERIAL_DOES_NOT_EXPIRE",
        )
        assert refused.code == "InvalidCiphertextException", str(refused)
    refused = refusal(
        kms.import_key_material, KeyId=symmetric, ImportToken=one["ImportToken"][:-1] + b"x",
        EncryptedKeyMaterial=oaep(openssl, "one", "256", "right", "sealed"),
        ExpirationModel="KEY_MATERIAL_DOES_NOT_EXPIRE",
    )
    assert refused.code == "InvalidImportTokenException", str(refused)


def test_the_commands_of_the_guide_import_a_key(aws_command, root, openssl, kms):
    """Steps 1 to 4 of https://docs.aws.amazon.com/kms/latest/developerguide/importing-keys.html, in a shell."""
    terminal = Terminal(aws_command, openssl.folder, root)
    until = datetime.datetime.now(datetime.timezone.utc).replace(microsecond=0) + datetime.timedelta(days=30)
    key = terminal.text(
        "aws kms create-key --origin EXTERNAL --query KeyMetadata.KeyId --output text"
    )
    terminal.text(
        'aws kms get-parameters-for-import --key-id "$K" --wrapping-algorithm RSAES_OAEP_SHA_256 '
        "--wrapping-key-spec RSA_3072 --query '[PublicKey, ImportToken]' --output text > parameters\n"
        "cut -f 1 parameters | base64 --decode > WrappingPublicKey.bin\n"
        "cut -f 2 parameters | base64 --decode > ImportToken.bin", K=key
    )
    openssl.ok("rand", "-out", "PlaintextKeyMaterial.bin", "32")
    oaep(openssl, "WrappingPublicKey.bin", "256", "PlaintextKeyMaterial.bin", "EncryptedKeyMaterial.bin")
    terminal.text(
        'aws kms import-key-material --key-id "$K" '
        "--encrypted-key-material fileb://EncryptedKeyMaterial.bin --import-token fileb://ImportToken.bin "
        '--expiration-model KEY_MATERIAL_EXPIRES --valid-to "$U"', K=key, U=until.isoformat()
    )
    shown = kms.describe_key(KeyId=key)["KeyMetadata"]
    assert (shown["KeyState"], shown["ExpirationModel"]) == ("Enabled", "KEY_MATERIAL_EXPIRES")
    assert shown["ValidTo"] == until
    assert kms.encrypt(KeyId=key, Plaintext=MESSAGE)
