"""What KMS answers to misuse: each documented error, and what each key state lets and refuses.

[rec] marks texts recorded from AWS, kept by LocalStack in tests/aws/services/kms/test_kms.snapshot.json
(2023-2024). The states are those of https://docs.aws.amazon.com/kms/latest/developerguide/key-state.html,
whose table says the errors and their words.
"""

import base64
import os

import pytest
from botocore.exceptions import ClientError
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec

import kms_calls as calls
from clients import REGION, refusal, refusal_of
from kms_calls import AGREEMENT, CONTEXT, ENCAPSULATION, MAC, RSA, SIGNING, SYMMETRIC, Bench
from world import allow, deny, policy, unique

KINDS = [SYMMETRIC, RSA, SIGNING, AGREEMENT, MAC, ENCAPSULATION]


@pytest.fixture(scope="module")
def kms(root):
    return root.client("kms", validate=False)


@pytest.fixture(scope="module")
def benches(root):
    """One key of each kind, which no test changes."""
    return {kind: Bench(root, kind).ready() for kind in KINDS}


@pytest.fixture(scope="module")
def bench(benches):
    return benches[SYMMETRIC]


def expect(code, message, call, *args, **parameters):
    refused = refusal(call, *args, **parameters)
    assert (refused.code, refused.status) == (code, 400), str(refused)
    if message is not None:
        assert refused.message == message, str(refused)


# --- key states -------------------------------------------------------------------------------

OK = None
DISABLED = ("DisabledException", "{arn} is disabled.")
PENDING = ("KMSInvalidStateException", "{arn} is pending deletion.")
NOT_PENDING = ("KMSInvalidStateException", "{arn} is not pending deletion.")
IMPORT = ("KMSInvalidStateException", "{arn} is pending import.")
EXTERNAL = ("UnsupportedOperationException", "{arn} origin is EXTERNAL which is not valid for this operation.")
NOT_EXTERNAL = ("UnsupportedOperationException", "{arn} origin is AWS_KMS which is not valid for this operation.")  # [rec]
NO_CASE = object()

ENABLE_ROTATION = calls.named("enable_key_rotation")
DISABLE_ROTATION = calls.named("disable_key_rotation")
ROTATION_STATUS = calls.named("get_key_rotation_status")
ROTATE = calls.named("rotate_key_on_demand")
ROTATIONS = calls.named("list_key_rotations")
IMPORT_PARAMETERS = calls.named(
    "get_parameters_for_import", WrappingAlgorithm="RSAES_OAEP_SHA_256", WrappingKeySpec="RSA_2048"
)
DELETE_MATERIAL = calls.named("delete_imported_key_material")

# Call; what it answers on a key that is enabled, disabled, pending deletion, pending import.
STATES = [
    (calls.CANCEL_DELETION, NOT_PENDING, NOT_PENDING, OK, NOT_PENDING),
    (calls.CREATE_ALIAS, OK, OK, PENDING, OK),
    (calls.CREATE_GRANT, OK, DISABLED, PENDING, IMPORT),
    (calls.DECRYPT, OK, DISABLED, PENDING, NO_CASE),
    (calls.DECRYPT_BY_BLOB, OK, DISABLED, PENDING, NO_CASE),
    (calls.DECRYPT_RSA, OK, DISABLED, PENDING, NO_CASE),
    (calls.DELETE_ALIAS, OK, OK, OK, OK),
    (calls.DERIVE, OK, DISABLED, PENDING, IMPORT),
    (calls.DESCRIBE, OK, OK, OK, OK),
    (calls.DISABLE, OK, OK, PENDING, IMPORT),
    (calls.ENABLE, OK, OK, PENDING, IMPORT),
    (calls.ENCRYPT, OK, DISABLED, PENDING, IMPORT),
    (calls.ENCRYPT_RSA, OK, DISABLED, PENDING, IMPORT),
    (calls.ENCAPSULATE, OK, DISABLED, PENDING, NO_CASE),
    (calls.DECAPSULATE, OK, DISABLED, PENDING, NO_CASE),
    (calls.DATA_KEY, OK, DISABLED, PENDING, IMPORT),
    (calls.BARE_DATA_KEY, OK, DISABLED, PENDING, IMPORT),
    (calls.DATA_KEY_PAIR, OK, DISABLED, PENDING, IMPORT),
    (calls.BARE_DATA_KEY_PAIR, OK, DISABLED, PENDING, IMPORT),
    (calls.GENERATE_MAC, OK, DISABLED, PENDING, IMPORT),
    (calls.VERIFY_MAC, OK, DISABLED, PENDING, NO_CASE),
    (calls.GET_POLICY, OK, OK, OK, OK),
    (calls.PUBLIC_KEY, OK, DISABLED, PENDING, IMPORT),
    (calls.LIST_ALIASES.but(KeyId=lambda at: at.id), OK, OK, OK, OK),
    (calls.LIST_GRANTS, OK, OK, OK, OK),
    (calls.LIST_POLICIES, OK, OK, OK, OK),
    (calls.LIST_TAGS, OK, OK, OK, OK),
    (calls.PUT_POLICY, OK, OK, OK, OK),
    (calls.RE_ENCRYPT, OK, DISABLED, PENDING, NO_CASE),
    (calls.RETIRE, OK, OK, OK, NO_CASE),
    (calls.REVOKE, OK, OK, OK, NO_CASE),
    (calls.SCHEDULE_DELETION, OK, OK, PENDING, OK),
    (calls.SIGN, OK, DISABLED, PENDING, IMPORT),
    (calls.VERIFY, OK, DISABLED, PENDING, NO_CASE),
    (calls.TAG, OK, OK, PENDING, OK),
    (calls.UNTAG, OK, OK, PENDING, OK),
    (calls.UPDATE_DESCRIPTION, OK, OK, PENDING, OK),
    (ENABLE_ROTATION, OK, DISABLED, PENDING, EXTERNAL),
    (DISABLE_ROTATION, OK, DISABLED, PENDING, EXTERNAL),
    (ROTATION_STATUS, OK, OK, OK, NO_CASE),
    (ROTATIONS, OK, OK, OK, NO_CASE),
    (ROTATE, OK, DISABLED, PENDING, NO_CASE),
    (IMPORT_PARAMETERS, NOT_EXTERNAL, NOT_EXTERNAL, NOT_EXTERNAL, OK),
    (DELETE_MATERIAL, NOT_EXTERNAL, NOT_EXTERNAL, NOT_EXTERNAL, OK),
]


def state_rows():
    states = ("Enabled", "Disabled", "PendingDeletion", "PendingImport")
    for number, (call, *answers) in enumerate(STATES):
        for state, answer in zip(states, answers):
            if answer is not NO_CASE:
                stem = f"{call.operation}-{number}-{state}"
                yield pytest.param(call, state, answer, id=stem)


def skip_unless_built(refused, what):
    if refused.status == 501:
        pytest.skip(f"this binary does not have {what}")


def in_state(root, kind, state):
    """A key in a state, with what its operations need made before."""
    if state == "PendingImport":
        try:
            return Bench(root, kind, Origin="EXTERNAL")
        except ClientError as error:
            skip_unless_built(refusal_of(error), "keys with imported material")
            raise
    bench = Bench(root, kind).ready()
    for made in (calls._alias, lambda at: at._once("revoked", lambda: calls._new_grant(at)),
                 lambda at: at._once("retired", lambda: calls._new_grant(at))):
        made(bench)
    if state == "Disabled":
        bench.kms.disable_key(KeyId=bench.id)
    if state == "PendingDeletion":
        bench.kms.schedule_key_deletion(KeyId=bench.id, PendingWindowInDays=7)
    return bench


@pytest.mark.parametrize("call,state,answer", list(state_rows()))
def test_the_state_of_a_key_lets_and_refuses(call, state, answer, root):
    bench = in_state(root, call.kind, state)
    kms = root.client("kms")
    assert kms.describe_key(KeyId=bench.id)["KeyMetadata"]["KeyState"] == state
    try:
        call.make(kms, bench)
    except ClientError as error:
        refused = refusal_of(error)
        skip_unless_built(refused, call.operation)
        assert answer is not OK, str(refused)
        code, message = answer
        assert (refused.code, refused.message) == (code, message.format(arn=bench.arn))
    else:
        assert answer is OK, "allowed"


def test_a_disabled_key_that_waits_for_its_deletion_is_told_to_wait(root):
    bench = Bench(root).ready()
    bench.kms.disable_key(KeyId=bench.id)
    bench.kms.schedule_key_deletion(KeyId=bench.id)
    expect("KMSInvalidStateException", f"{bench.arn} is pending deletion.",
           calls.ENCRYPT.make, bench.kms, bench)
    bench.kms.cancel_key_deletion(KeyId=bench.id)
    assert bench.kms.describe_key(KeyId=bench.id)["KeyMetadata"]["KeyState"] == "Disabled"


def test_an_alias_is_moved_from_a_key_that_waits_for_its_deletion_and_to_none(root):
    going, staying = Bench(root), Bench(root)
    name = calls._alias(going)
    going.kms.schedule_key_deletion(KeyId=going.id)
    going.kms.update_alias(AliasName=name, TargetKeyId=staying.id)
    expect("KMSInvalidStateException", f"{going.arn} is pending deletion.",
           going.kms.update_alias, AliasName=name, TargetKeyId=going.id)
    assert going.kms.describe_key(KeyId=name)["KeyMetadata"]["KeyId"] == staying.id


@pytest.mark.parametrize("gone", ["source", "destination"])
@pytest.mark.parametrize("state", ["Disabled", "PendingDeletion"])
def test_re_encrypting_needs_both_keys(gone, state, root):
    source, destination = Bench(root).ready(), Bench(root)
    one = source if gone == "source" else destination
    if state == "Disabled":
        one.kms.disable_key(KeyId=one.id)
    else:
        one.kms.schedule_key_deletion(KeyId=one.id)
    code, message = DISABLED if state == "Disabled" else PENDING
    expect(code, message.format(arn=one.arn), root.client("kms").re_encrypt,
           CiphertextBlob=source.blob, SourceEncryptionContext=CONTEXT,
           DestinationKeyId=destination.id)


# --- what a key is for ------------------------------------------------------------------------

USES = [
    calls.ENCRYPT, calls.DATA_KEY, calls.BARE_DATA_KEY, calls.DATA_KEY_PAIR,
    calls.BARE_DATA_KEY_PAIR, calls.SIGN, calls.VERIFY.but(Signature=b"s"), calls.GENERATE_MAC,
    calls.VERIFY_MAC.but(Mac=b"m" * 32), calls.DERIVE, calls.ENCAPSULATE,
    calls.DECAPSULATE.but(SharedSecretCiphertextBlob=b"c" * 768),
]
WRONG_USES = [
    (call, kind) for call in USES for kind in KINDS if kind[1] != call.kind[1]
]


@pytest.mark.parametrize("call,kind", WRONG_USES, ids=lambda one: getattr(one, "operation", None) or "-".join(one))
def test_a_key_does_what_it_was_made_for_alone(call, kind, benches):
    bench = benches[kind]
    expect("InvalidKeyUsageException",
           f"{bench.arn} key usage is {kind[1]} which is not valid for {call.operation}.",  # [rec]
           call.make, bench.kms, bench)


@pytest.mark.parametrize("kind", KINDS[1:], ids="-".join)
def test_a_ciphertext_of_another_key_is_told_so_whatever_that_key_is_for(kind, benches, bench):
    expect("IncorrectKeyException",
           "The key ID in the request does not identify a CMK that can perform this operation.",
           bench.kms.decrypt, CiphertextBlob=bench.blob, EncryptionContext=CONTEXT,
           KeyId=benches[kind].id)  # [rec]


DATA_KEYS = [calls.DATA_KEY, calls.BARE_DATA_KEY, calls.DATA_KEY_PAIR, calls.BARE_DATA_KEY_PAIR]


@pytest.mark.parametrize("call", DATA_KEYS, ids=lambda call: call.operation)
def test_data_keys_are_made_under_symmetric_keys_alone(call, benches):
    expect("InvalidKeyUsageException", None, call.but(EncryptionContext=None).make,
           benches[RSA].kms, benches[RSA])


ALGORITHMS = [
    (calls.ENCRYPT.but(EncryptionContext=None, EncryptionAlgorithm="RSAES_OAEP_SHA_256"), SYMMETRIC, "RSAES_OAEP_SHA_256"),
    (calls.ENCRYPT.but(EncryptionContext=None), RSA, "SYMMETRIC_DEFAULT"),
    (calls.SIGN.but(SigningAlgorithm="ECDSA_SHA_384"), SIGNING, "ECDSA_SHA_384"),
    (calls.SIGN.but(SigningAlgorithm="RSASSA_PSS_SHA_256"), SIGNING, "RSASSA_PSS_SHA_256"),
    (calls.SIGN.but(SigningAlgorithm="ML_DSA_SHAKE_256"), SIGNING, "ML_DSA_SHAKE_256"),
    (calls.VERIFY.but(SigningAlgorithm="ECDSA_SHA_512"), SIGNING, "ECDSA_SHA_512"),
    (calls.GENERATE_MAC.but(MacAlgorithm="HMAC_SHA_224"), MAC, "HMAC_SHA_224"),
    (calls.GENERATE_MAC.but(MacAlgorithm="HMAC_SHA_512"), MAC, "HMAC_SHA_512"),
    (calls.VERIFY_MAC.but(MacAlgorithm="HMAC_SHA_512"), MAC, "HMAC_SHA_512"),
]


@pytest.mark.parametrize("call,kind,algorithm", ALGORITHMS, ids=[f"{call.operation}-{name}" for call, _, name in ALGORITHMS])
def test_a_key_has_the_algorithms_of_its_spec(call, kind, algorithm, benches):
    bench = benches[kind]
    expect("InvalidKeyUsageException",
           f"Algorithm {algorithm} is incompatible with key spec {kind[0]}.",  # [rec]
           call.make, bench.kms, bench)


@pytest.mark.parametrize("kind", [SYMMETRIC, MAC], ids="-".join)
def test_what_has_no_public_key_gives_none(kind, benches):
    expect("UnsupportedOperationException", None, calls.PUBLIC_KEY.make, benches[kind].kms, benches[kind])


# --- ciphertexts and contexts -----------------------------------------------------------------

CONTEXTS = {
    "none": {}, "a_part": {"team": "blue"}, "another_value": {**CONTEXT, "team": "red"},
    "more": {**CONTEXT, "more": "x"}, "other_case_of_a_name": {"purpose": "test", "team": "blue"},
    "other_case_of_a_value": {**CONTEXT, "team": "Blue"},
    "names_and_values_exchanged": {value: name for name, value in CONTEXT.items()},
}


@pytest.mark.parametrize("context", CONTEXTS.values(), ids=CONTEXTS)
@pytest.mark.parametrize("call", [calls.DECRYPT, calls.DECRYPT_BY_BLOB, calls.RE_ENCRYPT], ids=["by_key", "by_blob", "re_encrypt"])
def test_a_ciphertext_opens_in_its_context_alone(call, context, bench):
    name = "SourceEncryptionContext" if call is calls.RE_ENCRYPT else "EncryptionContext"
    expect("InvalidCiphertextException", "", call.but(**{name: context}).make, bench.kms, bench)  # [rec]


@pytest.mark.parametrize("call", DATA_KEYS, ids=lambda call: call.operation)
def test_a_data_key_opens_in_its_context_alone(call, bench):
    made = call.make(bench.kms, bench)
    blob = made.get("CiphertextBlob") or made["PrivateKeyCiphertextBlob"]
    assert bench.kms.decrypt(CiphertextBlob=blob, EncryptionContext=CONTEXT)["Plaintext"]
    expect("InvalidCiphertextException", "", bench.kms.decrypt, CiphertextBlob=blob)  # [rec]


CIPHERTEXTS = {
    "one_byte": lambda blob: b"x", "text": lambda blob: b"this is no ciphertext",
    "random": lambda blob: os.urandom(len(blob)), "zeroes": lambda blob: bytes(len(blob)),
    "cut": lambda blob: blob[:-1], "half": lambda blob: blob[: len(blob) // 2],
    "longer": lambda blob: blob + b"\0", "twice": lambda blob: blob + blob,
    "base64": base64.b64encode, "another_version": lambda blob: b"\xff" + blob[1:],
    "another_tag": lambda blob: blob[:-1] + bytes([blob[-1] ^ 1]),
    "longest": lambda blob: bytes(6144),
}


@pytest.mark.parametrize("spoil", CIPHERTEXTS.values(), ids=CIPHERTEXTS)
@pytest.mark.parametrize("call", [calls.DECRYPT, calls.DECRYPT_BY_BLOB, calls.RE_ENCRYPT], ids=["by_key", "by_blob", "re_encrypt"])
def test_what_is_no_ciphertext_does_not_open(call, spoil, bench):
    expect("InvalidCiphertextException", "", call.but(CiphertextBlob=spoil(bench.blob)).make,
           bench.kms, bench)


def test_no_bit_of_a_ciphertext_can_be_changed(bench):
    codes = set()
    for at in range(len(bench.blob)):
        spoilt = bytes(byte ^ (index == at) for index, byte in enumerate(bench.blob))
        refused = refusal(calls.DECRYPT_BY_BLOB.but(CiphertextBlob=spoilt).make, bench.kms, bench)
        codes.add(refused.code)
        assert refused.status == 400, f"byte {at}: {refused}"
    # A key id that is spoilt is of a key that is not there.
    assert codes <= {"InvalidCiphertextException", "AccessDeniedException"}, codes


def test_what_is_no_ciphertext_of_rsa_does_not_open(benches):
    bench = benches[RSA]
    for blob in (os.urandom(256), bytes(256), b"short", bench.blob[:-1], bench.blob + b"\0"):
        expect("InvalidCiphertextException", None, calls.DECRYPT_RSA.but(CiphertextBlob=blob).make,
               bench.kms, bench)


def test_an_asymmetric_ciphertext_needs_its_key_named(benches):
    bench = benches[RSA]
    expect("ValidationException", None, calls.DECRYPT_RSA.but(KeyId=None).make, bench.kms, bench)


def test_a_ciphertext_of_a_key_in_another_region_or_server_is_not_opened(root, bench):
    elsewhere = root.client("kms", region="eu-west-1")
    expect("AccessDeniedException",
           "The ciphertext refers to a customer master key that does not exist, does not exist in"
           " this region, or you are not allowed to access.",
           elsewhere.decrypt, CiphertextBlob=bench.blob, EncryptionContext=CONTEXT)


@pytest.mark.parametrize("call", [calls.ENCRYPT_RSA, calls.DECRYPT_RSA], ids=lambda call: call.operation)
def test_an_asymmetric_key_takes_no_context(call, benches):
    """https://docs.aws.amazon.com/kms/latest/developerguide/encrypt_context.html"""
    expect("ValidationException", None, call.but(EncryptionContext=CONTEXT).make,
           benches[RSA].kms, benches[RSA])


def test_a_context_that_is_too_long_is_refused(bench):
    expect("ValidationException", None, calls.ENCRYPT.but(EncryptionContext={"a": "b" * 9000}).make,
           bench.kms, bench)


# --- sizes ------------------------------------------------------------------------------------

TOO_LONG = "1 validation error detected: Value at '{}' failed to satisfy constraint: Member must have length less than or equal to {}"


def test_4096_bytes_are_encrypted_and_no_more(bench):
    blob = bench.kms.encrypt(KeyId=bench.id, Plaintext=bytes(4096))["CiphertextBlob"]
    assert bench.kms.decrypt(CiphertextBlob=blob)["Plaintext"] == bytes(4096)
    expect("ValidationException", TOO_LONG.format("plaintext", 4096),
           calls.ENCRYPT.but(Plaintext=bytes(4097)).make, bench.kms, bench)  # [rec]


RSA_SIZES = [
    ("RSA_2048", "RSAES_OAEP_SHA_1", 214), ("RSA_2048", "RSAES_OAEP_SHA_256", 190),
    ("RSA_3072", "RSAES_OAEP_SHA_1", 342), ("RSA_3072", "RSAES_OAEP_SHA_256", 318),
    ("RSA_4096", "RSAES_OAEP_SHA_1", 470), ("RSA_4096", "RSAES_OAEP_SHA_256", 446),
]


@pytest.fixture(scope="module")
def rsa_keys(root):
    made = {}

    def key(spec):
        if spec not in made:
            made[spec] = Bench(root, (spec, "ENCRYPT_DECRYPT"))
        return made[spec]

    return key


@pytest.mark.parametrize("spec,algorithm,most", RSA_SIZES)
def test_an_rsa_key_encrypts_what_fits_and_no_more(spec, algorithm, most, rsa_keys):
    bench = rsa_keys(spec)
    parameters = {"KeyId": bench.id, "EncryptionAlgorithm": algorithm}
    blob = bench.kms.encrypt(Plaintext=bytes(most), **parameters)["CiphertextBlob"]
    assert bench.kms.decrypt(CiphertextBlob=blob, **parameters)["Plaintext"] == bytes(most)
    expect("ValidationException",
           f"Algorithm {algorithm} and key spec {spec} cannot encrypt data larger than {most} bytes.",
           bench.kms.encrypt, Plaintext=bytes(most + 1), **parameters)  # [rec]


def too_small(name, value, least):
    return f"1 validation error detected: Value '{value}' at '{name}' failed to satisfy constraint: Member must have value greater than or equal to {least}"


def too_large(name, value, most):
    return f"1 validation error detected: Value '{value}' at '{name}' failed to satisfy constraint: Member must have value less than or equal to {most}"


@pytest.mark.parametrize("parameters,message", [
    ({}, "NumberOfBytes is required."),  # [rec]
    ({"NumberOfBytes": 0}, too_small("numberOfBytes", 0, 1)),  # [rec]
    ({"NumberOfBytes": 1025}, too_large("numberOfBytes", 1025, 1024)),  # [rec]
])
def test_random_bytes_are_one_to_1024(parameters, message, kms):
    expect("ValidationException", message, kms.generate_random, **parameters)


@pytest.mark.parametrize("parameters", [
    {}, {"KeySpec": "AES_256", "NumberOfBytes": 32}, {"NumberOfBytes": 0}, {"NumberOfBytes": 1025},
    {"KeySpec": "AES_512"},
], ids=["neither", "both", "too_few", "too_many", "unknown"])
@pytest.mark.parametrize("method", ["generate_data_key", "generate_data_key_without_plaintext"])
def test_a_data_key_has_one_size(method, parameters, kms, bench):
    expect("ValidationException", None, getattr(kms, method), KeyId=bench.id, **parameters)


@pytest.mark.parametrize("call,name", [
    (calls.SIGN, "message"), (calls.VERIFY, "message"), (calls.GENERATE_MAC, "message"), (calls.VERIFY_MAC, "message"),
], ids=["Sign", "Verify", "GenerateMac", "VerifyMac"])
def test_4096_bytes_are_signed_and_no_more(call, name, benches):
    bench = benches[call.kind]
    expect("ValidationException", TOO_LONG.format(name, 4096), call.but(Message=bytes(4097)).make,
           bench.kms, bench)


# --- signatures, codes, shared secrets --------------------------------------------------------


def test_a_signature_of_something_else_is_invalid(benches, root):
    bench, other = benches[SIGNING], Bench(root, SIGNING).ready()
    for parameters in ({"Message": b"n"}, {"Signature": other.signature}, {"Signature": b"x"},
                       {"Signature": bench.signature[:-1]}, {"Signature": bytes(len(bench.signature))}):
        expect("KMSInvalidSignatureException", "", calls.VERIFY.but(**parameters).make,
               bench.kms, bench)  # [rec]


def test_a_code_of_something_else_is_invalid(benches, root):
    bench, other = benches[MAC], Bench(root, MAC).ready()
    for parameters in ({"Message": b"n"}, {"Mac": other.mac}, {"Mac": b"x"}, {"Mac": bench.mac[:-1]}):
        expect("KMSInvalidMacException", "", calls.VERIFY_MAC.but(**parameters).make,
               bench.kms, bench)  # [rec]


@pytest.mark.parametrize("digest", [b"d", bytes(31), bytes(33), bytes(64)], ids=len)
@pytest.mark.parametrize("call", [calls.SIGN, calls.VERIFY], ids=lambda call: call.operation)
def test_a_digest_is_as_long_as_its_algorithms(call, digest, benches):
    expect("ValidationException", "Digest is invalid length for algorithm ECDSA_SHA_256.",
           call.but(Message=digest, MessageType="DIGEST").make,
           benches[SIGNING].kms, benches[SIGNING])  # [rec]


def test_an_external_mu_is_for_ml_dsa_alone(benches):
    expect("ValidationException", None, calls.SIGN.but(Message=bytes(64), MessageType="EXTERNAL_MU").make,
           benches[SIGNING].kms, benches[SIGNING])


def public_key(curve):
    return ec.generate_private_key(curve).public_key().public_bytes(
        serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo
    )


@pytest.mark.parametrize("key", [
    b"x", bytes(91), public_key(ec.SECP384R1()), public_key(ec.SECP256K1()), calls.PEER[:-1],
    calls.PEER[:-1] + bytes([calls.PEER[-1] ^ 1]),
], ids=["text", "zeroes", "another_curve", "koblitz", "cut", "off_the_curve"])
def test_a_secret_is_shared_with_a_key_of_the_same_curve(key, benches):
    expect("ValidationException", None, calls.DERIVE.but(PublicKey=key).make,
           benches[AGREEMENT].kms, benches[AGREEMENT])


def test_what_was_not_encapsulated_so_is_refused(benches):
    bench = benches[ENCAPSULATION]
    for blob in (b"x", bench.encapsulated[:-1], bench.encapsulated + b"\0"):
        refused = refusal(calls.DECAPSULATE.but(SharedSecretCiphertextBlob=blob).make, bench.kms, bench)
        assert refused.code in ("InvalidCiphertextException", "ValidationException"), str(refused)


# --- names ------------------------------------------------------------------------------------

NAMING = [
    calls.ENCRYPT, calls.DATA_KEY, calls.BARE_DATA_KEY, calls.DATA_KEY_PAIR, calls.BARE_DATA_KEY_PAIR,
    calls.SIGN, calls.VERIFY.but(Signature=b"s"), calls.PUBLIC_KEY, calls.GENERATE_MAC,
    calls.VERIFY_MAC.but(Mac=b"m"), calls.DERIVE, calls.ENCAPSULATE, calls.DESCRIBE, calls.ENABLE,
    calls.DISABLE, calls.UPDATE_DESCRIPTION, calls.SCHEDULE_DELETION, calls.CANCEL_DELETION,
    calls.GET_POLICY, calls.LIST_POLICIES, calls.PUT_POLICY, calls.CREATE_GRANT, calls.LIST_GRANTS,
    calls.REVOKE.but(GrantId="0" * 64), calls.TAG, calls.UNTAG, calls.LIST_TAGS,
    calls.DECRYPT.but(CiphertextBlob=b"x"), calls.RE_ENCRYPT,
    calls.CREATE_ALIAS, calls.UPDATE_ALIAS,
]
PARAMETER = {"ReEncrypt": "DestinationKeyId", "CreateAlias": "TargetKeyId", "UpdateAlias": "TargetKeyId"}
MISSING = "134f2428-cec1-4b25-a1ae-9048164dba47"
# What names no key, the error and its words.
NAMES = {
    "no_id": ("fake-key-id", "NotFoundException", "Invalid keyId 'fake-key-id'"),  # [rec]
    "an_id_without_hyphens": (MISSING.replace("-", ""), "NotFoundException", f"Invalid keyId '{MISSING.replace('-', '')}'"),  # [rec]
    "no_multi_region_id": ("mrk-fake-key-id", "NotFoundException", "Invalid keyId 'mrk-fake-key-id'"),  # [rec]
    "an_id_of_no_key": (MISSING, "NotFoundException", f"Key 'arn:aws:kms:{REGION}:ACCOUNT:key/{MISSING}' does not exist"),  # [rec]
    "an_arn_of_no_key": (f"arn:aws:kms:{REGION}:ACCOUNT:key/{MISSING}", "NotFoundException", f"Key 'arn:aws:kms:{REGION}:ACCOUNT:key/{MISSING}' does not exist"),  # [rec]
    "a_multi_region_id_of_no_key": ("mrk-" + "d3b95762" * 4, "NotFoundException", f"Key 'arn:aws:kms:{REGION}:ACCOUNT:key/mrk-{'d3b95762' * 4}' does not exist"),  # [rec]
    "an_arn_of_another_region": (f"arn:aws:kms:ap-southeast-1:ACCOUNT:key/{MISSING}", "NotFoundException", "Invalid arn ap-southeast-1"),  # [rec]
    "an_arn_of_another_service": ("arn:aws:s3:::bucket", "InvalidArnException", None),
    "half_an_arn": ("arn:aws:kms", "InvalidArnException", None),
}


@pytest.mark.parametrize("text,code,message", NAMES.values(), ids=NAMES)
@pytest.mark.parametrize("call", NAMING, ids=lambda call: call.operation)
def test_what_names_no_key_is_refused_by_every_operation(call, text, code, message, benches, root):
    bench = benches[call.kind]
    name = PARAMETER.get(call.operation, "KeyId")
    given, told = (value and value.replace("ACCOUNT", bench.account) for value in (text, message))
    make = call.but(**{name: given}).make
    if call.operation == "UpdateAlias":
        make = call.but(AliasName=calls._alias(Bench(root)), **{name: given}).make
    expect(code, told, make, bench.kms, bench)


BY_ALIAS = {"Encrypt", "GenerateDataKey", "GenerateDataKeyWithoutPlaintext", "GenerateDataKeyPair",
            "GenerateDataKeyPairWithoutPlaintext", "Sign", "Verify", "GetPublicKey", "GenerateMac", "VerifyMac",
            "DeriveSharedSecret", "Encapsulate", "DescribeKey", "Decrypt", "ReEncrypt"}


@pytest.mark.parametrize("call", [call for call in NAMING if call.operation in BY_ALIAS], ids=lambda call: call.operation)
def test_an_alias_that_is_not_there_names_no_key(call, benches):
    bench = benches[call.kind]
    name = PARAMETER.get(call.operation, "KeyId")
    arn = f"arn:aws:kms:{REGION}:{bench.account}:alias/nothing"
    for given in ("alias/nothing", arn):
        expect("NotFoundException", f"Alias {arn} is not found.", call.but(**{name: given}).make, bench.kms, bench)


@pytest.mark.parametrize("call", [call for call in NAMING if call.operation not in BY_ALIAS], ids=lambda call: call.operation)
def test_what_changes_a_key_does_not_take_an_alias(call, root):
    bench = Bench(root)
    alias = calls._alias(bench)
    name = PARAMETER.get(call.operation, "KeyId")
    before = bench.kms.describe_key(KeyId=bench.id)
    expect("NotFoundException", None, call.but(**{name: alias}).make, bench.kms, bench)
    assert bench.kms.describe_key(KeyId=bench.id)["KeyMetadata"] == before["KeyMetadata"]


# --- aliases ----------------------------------------------------------------------------------

PREFIX = (
    "Alias must start with the prefix \"alias/\". Please see"
    " https://docs.aws.amazon.com/kms/latest/developerguide/kms-alias.html"
)


@pytest.mark.parametrize("name,code,message", [
    ("app", "ValidationException", PREFIX),  # [rec]
    ("aliases/app", "ValidationException", PREFIX),
    ("alias/aws/app", "NotAuthorizedException", None),
    ("alias/aws/s3", "NotAuthorizedException", None),
    ("alias/a b", "ValidationException", None),
    ("alias/a:b", "ValidationException", None),
    ("alias/" + "a" * 251, "ValidationException", None),
    ("", "ValidationException", None),
    ("alias/", "NotFoundException", None),
], ids=["no_prefix", "another_prefix", "reserved", "a_services", "a_space", "a_colon", "too_long", "empty", "no_name"])
@pytest.mark.parametrize("method", ["create_alias", "update_alias", "delete_alias"])
def test_a_bad_alias_is_refused(method, name, code, message, kms, bench):
    parameters = {} if method == "delete_alias" else {"TargetKeyId": bench.id}
    if (method, name) == ("create_alias", "alias/"):
        code = "InvalidAliasNameException"
    expect(code, message, getattr(kms, method), AliasName=name, **parameters)


def test_an_alias_is_given_once(bench):
    name = calls._alias(bench)
    arn = f"arn:aws:kms:{REGION}:{bench.account}:{name}"
    expect("AlreadyExistsException", f"An alias with the name {arn} already exists",
           bench.kms.create_alias, AliasName=name, TargetKeyId=bench.id)


@pytest.mark.parametrize("method", ["update_alias", "delete_alias"])
def test_an_alias_that_is_not_there_is_neither_moved_nor_deleted(method, bench):
    parameters = {} if method == "delete_alias" else {"TargetKeyId": bench.id}
    arn = f"arn:aws:kms:{REGION}:{bench.account}:alias/nothing"
    expect("NotFoundException", f"Alias {arn} is not found.",
           getattr(bench.kms, method), AliasName="alias/nothing", **parameters)


@pytest.mark.parametrize("kind", KINDS[1:], ids="-".join)
def test_an_alias_is_moved_to_a_key_of_its_type_alone(kind, benches, bench):
    name = calls._alias(bench)
    expect("ValidationException", None, bench.kms.update_alias, AliasName=name,
           TargetKeyId=benches[kind].id)
    assert bench.kms.describe_key(KeyId=name)["KeyMetadata"]["KeyId"] == bench.id


def test_a_key_has_50_aliases_at_most(root):
    bench = Bench(root)
    for _ in range(50):
        bench.kms.create_alias(AliasName="alias/" + unique("many"), TargetKeyId=bench.id)
    expect("LimitExceededException", None, bench.kms.create_alias,
           AliasName="alias/" + unique("many"), TargetKeyId=bench.id)


# --- grants and tokens ------------------------------------------------------------------------

TOKENS = [
    calls.ENCRYPT, calls.DECRYPT, calls.DATA_KEY, calls.BARE_DATA_KEY, calls.DATA_KEY_PAIR,
    calls.BARE_DATA_KEY_PAIR, calls.RE_ENCRYPT, calls.SIGN, calls.VERIFY, calls.PUBLIC_KEY,
    calls.GENERATE_MAC, calls.VERIFY_MAC, calls.DERIVE, calls.ENCAPSULATE, calls.DECAPSULATE,
    calls.DESCRIBE, calls.CREATE_GRANT,
]


@pytest.mark.parametrize("call", TOKENS, ids=lambda call: call.operation)
def test_what_is_no_grant_token_is_refused_by_every_operation_that_takes_one(call, benches):
    bench = benches[call.kind]
    token = bench.grant(f"arn:aws:iam::{bench.account}:root", "DescribeKey")["GrantToken"]
    assert call.but(GrantTokens=[token]).make(bench.kms, bench)
    for bad in ("nonsense", token[:-4], token[:8] + "AAAA" + token[12:], base64.b64encode(bytes(80)).decode()):
        expect("InvalidGrantTokenException", None, call.but(GrantTokens=[bad]).make, bench.kms, bench)
    expect("InvalidGrantTokenException", None, call.but(GrantTokens=[token, "nonsense"]).make,
           bench.kms, bench)
    expect("ValidationException", None, call.but(GrantTokens=[token] * 11).make, bench.kms, bench)


def grantee(at):
    return f"arn:aws:iam::{at.account}:root"


BOTH = {"EncryptionContextEquals": {"a": "b"}, "EncryptionContextSubset": {"a": "b"}}
BAD_GRANTS = {
    "no_grantee": ({"GranteePrincipal": None}, "ValidationException"),
    "two_grantees": ({"GranteeServicePrincipal": "s3.amazonaws.com"}, "ValidationException"),
    "a_user_who_is_not_there": ({"GranteePrincipal": lambda at: f"arn:aws:iam::{at.account}:user/nobody"}, "InvalidArnException"),
    "a_role_that_is_not_there": ({"GranteePrincipal": lambda at: f"arn:aws:iam::{at.account}:role/nobody"}, "InvalidArnException"),
    "a_group": ({"GranteePrincipal": lambda at: f"arn:aws:iam::{at.account}:group/people"}, "InvalidArnException"),
    "text": ({"GranteePrincipal": "somebody"}, "InvalidArnException"),
    "everybody": ({"GranteePrincipal": "*"}, "ValidationException"),
    "a_retirer_who_is_not_there": ({"RetiringPrincipal": lambda at: f"arn:aws:iam::{at.account}:user/nobody"}, "InvalidArnException"),
    "two_constraints": ({"Operations": ["Encrypt"], "Constraints": BOTH}, "ValidationException"),
    "an_operation_that_is_none": ({"Operations": ["ScheduleKeyDeletion"]}, "ValidationException"),
    "no_operation": ({"Operations": []}, "ValidationException"),
    "an_operation_of_other_keys": ({"Operations": ["Sign"]}, "ValidationException"),
    "a_name_with_a_space": ({"Name": "a b"}, "ValidationException"),
    "a_service_without_its_resource": ({"GranteePrincipal": None, "GranteeServicePrincipal": "s3.amazonaws.com"}, "ValidationException"),
}


@pytest.mark.parametrize("parameters,code", BAD_GRANTS.values(), ids=BAD_GRANTS)
def test_a_bad_grant_is_refused(parameters, code, kms, bench):
    before = len(bench.kms.list_grants(KeyId=bench.id)["Grants"])
    given = {"GranteePrincipal": grantee, "Operations": ["DescribeKey"], **parameters}
    given = {name: value(bench) if callable(value) else value for name, value in given.items()}
    given = {name: value for name, value in given.items() if value not in (None,)}
    expect(code, None, kms.create_grant, KeyId=bench.id, **given)
    assert len(bench.kms.list_grants(KeyId=bench.id)["Grants"]) == before


@pytest.mark.parametrize("kind", KINDS[1:], ids="-".join)
def test_a_constraint_on_the_context_is_for_symmetric_keys(kind, benches):
    bench = benches[kind]
    expect("ValidationException", None, bench.kms.create_grant, KeyId=bench.id,
           GranteePrincipal=grantee(bench), Operations=["DescribeKey"],
           Constraints={"EncryptionContextSubset": {"a": "b"}})


WRONG_GRANTS = [
    ("Encrypt", SIGNING), ("Decrypt", MAC), ("Sign", RSA), ("GenerateMac", SIGNING), ("Sign", MAC),
    ("DeriveSharedSecret", SIGNING), ("GenerateDataKey", AGREEMENT), ("Encapsulate", RSA),
    ("GetPublicKey", MAC),
]


@pytest.mark.parametrize("operation,kind", WRONG_GRANTS, ids=lambda one: one if isinstance(one, str) else "-".join(one))
def test_a_grant_is_for_what_its_key_can_do(operation, kind, benches):
    bench = benches[kind]
    expect("ValidationException", None, bench.kms.create_grant, KeyId=bench.id,
           GranteePrincipal=grantee(bench), Operations=[operation])


def test_the_same_grant_by_the_same_name_is_made_once(bench):
    ask = {"KeyId": bench.id, "GranteePrincipal": grantee(bench), "Operations": ["Encrypt"]}
    name = unique("grant")
    one, two = (bench.kms.create_grant(Name=name, **ask) for _ in range(2))
    assert one["GrantId"] == two["GrantId"]
    other = bench.kms.create_grant(Name=name, **{**ask, "Operations": ["Decrypt"]})
    unnamed = [bench.kms.create_grant(**ask)["GrantId"] for _ in range(2)]
    assert len({one["GrantId"], other["GrantId"], *unnamed}) == 4


def test_a_grant_that_is_not_there_is_neither_revoked_nor_retired(bench, root):
    missing = "0" * 64
    expect("NotFoundException", None, bench.kms.revoke_grant, KeyId=bench.id, GrantId=missing)
    expect("NotFoundException", None, bench.kms.retire_grant, KeyId=bench.arn, GrantId=missing)
    made = calls._new_grant(bench)
    other = Bench(root)
    expect("NotFoundException", None, bench.kms.revoke_grant, KeyId=other.id, GrantId=made["GrantId"])
    expect("NotFoundException", None, bench.kms.retire_grant, KeyId=other.arn, GrantId=made["GrantId"])
    bench.kms.revoke_grant(KeyId=bench.id, GrantId=made["GrantId"])
    expect("NotFoundException", None, bench.kms.revoke_grant, KeyId=bench.id, GrantId=made["GrantId"])
    expect("NotFoundException", None, bench.kms.retire_grant, GrantToken=made["GrantToken"])


@pytest.mark.parametrize("parameters,code", [
    ({}, "ValidationException"), ({"GrantId": "0" * 64}, "ValidationException"),
    ({"KeyId": MISSING}, "ValidationException"), ({"GrantToken": "nonsense"}, "InvalidGrantTokenException"),
    ({"GrantToken": ""}, "ValidationException"),
], ids=["nothing", "no_key", "no_id", "no_token", "an_empty_token"])
def test_a_grant_to_retire_is_named_whole(parameters, code, kms):
    expect(code, None, kms.retire_grant, **parameters)


# --- pages ------------------------------------------------------------------------------------

PAGED = [
    calls.LIST_KEYS, calls.LIST_ALIASES, calls.LIST_GRANTS, calls.LIST_TAGS, calls.LIST_RETIRABLE,
]


@pytest.mark.parametrize("call", PAGED, ids=lambda call: call.operation)
def test_what_is_no_marker_is_refused(call, bench, kms):
    expect("InvalidMarkerException", None, call.but(Marker="nonsense").make, kms, bench)
    for limit in (0, 1001):
        expect("ValidationException", None, call.but(Limit=limit).make, kms, bench)


# --- keys, policies, tags ---------------------------------------------------------------------

BAD_KEYS = {
    "no_usage": ({"KeySpec": "HMAC_256"}, "ValidationException",
                 "You must specify a KeyUsage value for all KMS keys except for symmetric encryption keys."),  # [rec]
    "a_usage_of_other_keys": ({"KeySpec": "HMAC_256", "KeyUsage": "SIGN_VERIFY"}, "ValidationException", None),
    "symmetric_for_signing": ({"KeyUsage": "SIGN_VERIFY"}, "ValidationException", None),
    "koblitz_for_agreement": ({"KeySpec": "ECC_SECG_P256K1", "KeyUsage": "KEY_AGREEMENT"}, "ValidationException", None),
    "both_specs": ({"KeySpec": "RSA_2048", "CustomerMasterKeySpec": "RSA_2048", "KeyUsage": "SIGN_VERIFY"}, "ValidationException", None),
    "an_unknown_spec": ({"KeySpec": "HMAC_random", "KeyUsage": "GENERATE_VERIFY_MAC"}, "ValidationException", None),  # [rec] the code
    "an_unknown_usage": ({"KeySpec": "HMAC_256", "KeyUsage": "RANDOM"}, "ValidationException", None),  # [rec] the code
    "an_unknown_origin": ({"Origin": "NOWHERE"}, "ValidationException", None),
    "a_tag_twice": ({"Tags": [{"TagKey": "a", "TagValue": "1"}, {"TagKey": "a", "TagValue": "2"}]}, "TagException", None),
    "a_tag_of_awss": ({"Tags": [{"TagKey": "aws:a", "TagValue": "1"}]}, "TagException", None),
    "a_tag_that_is_too_long": ({"Tags": [{"TagKey": "a" * 129, "TagValue": "1"}]}, "ValidationException", None),
    "a_description_that_is_too_long": ({"Description": "a" * 8193}, "ValidationException", None),
}


@pytest.mark.parametrize("parameters,code,message", BAD_KEYS.values(), ids=BAD_KEYS)
def test_a_bad_key_is_not_made(parameters, code, message, kms, bench):
    def count():
        return sum(len(page["Keys"]) for page in bench.kms.get_paginator("list_keys").paginate())

    before = count()
    expect(code, message, kms.create_key, **parameters)
    assert count() == before


BAD_POLICIES = {
    "no_json": "nonsense", "an_empty_object": "{}", "a_list": "[]",
    "no_principal": policy(allow("kms:*")),
    "a_bad_effect": policy({**deny("kms:*"), "Principal": "*", "Effect": "Perhaps"}),
    "no_action": '{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Principal":"*","Resource":"*"}]}',
    "a_bad_version": '{"Version":"2013-10-17","Statement":[{"Effect":"Allow","Principal":"*","Action":"kms:*","Resource":"*"}]}',
    "a_bad_operator": policy({**allow("kms:*", Condition={"Nearly": {"aws:username": "a"}}), "Principal": "*"}),
}


@pytest.mark.parametrize("document", BAD_POLICIES.values(), ids=BAD_POLICIES)
@pytest.mark.parametrize("method", ["create_key", "put_key_policy"])
@pytest.mark.parametrize("bypass", [False, True], ids=["checked", "bypassed"])
def test_what_is_no_policy_is_refused(method, document, bypass, kms, bench):
    parameters = {"KeyId": bench.id} if method == "put_key_policy" else {}
    before = bench.kms.get_key_policy(KeyId=bench.id)["Policy"]
    expect("MalformedPolicyDocumentException", None, getattr(kms, method), Policy=document,
           BypassPolicyLockoutSafetyCheck=bypass, **parameters)
    assert bench.kms.get_key_policy(KeyId=bench.id)["Policy"] == before


@pytest.mark.parametrize("method", ["create_key", "put_key_policy"])
def test_a_policy_of_more_than_32_kilobytes_is_refused(method, kms, bench):
    statement = {**allow("kms:*", Sid="a" * 33000), "Principal": "*"}
    parameters = {"KeyId": bench.id} if method == "put_key_policy" else {}
    expect("LimitExceededException", None, getattr(kms, method), Policy=policy(statement), **parameters)


@pytest.mark.parametrize("method", ["get_key_policy", "put_key_policy"])
def test_a_key_policy_has_one_name(method, bench):
    parameters = {"Policy": calls.standard_policy(bench.account)} if method == "put_key_policy" else {}
    expect("NotFoundException", None, getattr(bench.kms, method), KeyId=bench.id,
           PolicyName="other", **parameters)


@pytest.mark.parametrize("days", [0, 6, 31])
def test_a_deletion_waits_seven_to_thirty_days(days, kms, root):
    bench = Bench(root)
    expect("ValidationException", None, kms.schedule_key_deletion, KeyId=bench.id, PendingWindowInDays=days)
    assert bench.kms.describe_key(KeyId=bench.id)["KeyMetadata"]["KeyState"] == "Enabled"


def test_tags_are_checked(root, kms):
    bench = Bench(root)
    expect("TagException", None, kms.tag_resource, KeyId=bench.id, Tags=[{"TagKey": "aws:a", "TagValue": ""}])
    expect("TagException", None, kms.tag_resource, KeyId=bench.id,
           Tags=[{"TagKey": "a", "TagValue": "1"}, {"TagKey": "a", "TagValue": "2"}])
    expect("TagException", None, kms.untag_resource, KeyId=bench.id, TagKeys=["aws:a"])
    many = [{"TagKey": f"t{number}", "TagValue": ""} for number in range(51)]
    refused = refusal(kms.tag_resource, KeyId=bench.id, Tags=many)
    assert refused.code in ("TagException", "LimitExceededException"), str(refused)
    assert bench.kms.list_resource_tags(KeyId=bench.id)["Tags"] == []


# --- dry runs ---------------------------------------------------------------------------------
# https://docs.aws.amazon.com/kms/latest/developerguide/testing-permissions.html

DRY = [
    calls.CREATE_GRANT, calls.DECRYPT, calls.DERIVE, calls.ENCRYPT, calls.DATA_KEY, calls.DATA_KEY_PAIR,
    calls.BARE_DATA_KEY_PAIR, calls.BARE_DATA_KEY, calls.GENERATE_MAC, calls.RE_ENCRYPT, calls.RETIRE,
    calls.REVOKE, calls.SIGN, calls.VERIFY, calls.VERIFY_MAC, calls.ENCAPSULATE, calls.DECAPSULATE,
]
WOULD = "The request would have succeeded, but the DryRun option is set."


@pytest.mark.parametrize("call", DRY, ids=lambda call: call.operation)
def test_a_dry_run_says_that_it_would_succeed_and_does_nothing(call, root):
    bench = Bench(root, call.kind).ready()
    for made in ("revoked", "retired"):
        bench._once(made, lambda: calls._new_grant(bench))
    before = bench.kms.list_grants(KeyId=bench.id)["Grants"]
    expect("DryRunOperationException", WOULD, call.but(DryRun=True).make, bench.kms, bench)
    assert bench.kms.list_grants(KeyId=bench.id)["Grants"] == before
    assert call.but(DryRun=False).make(bench.kms, bench)


@pytest.mark.parametrize("call", DRY, ids=lambda call: call.operation)
def test_a_dry_run_is_decided_like_any_call(call, benches, world):
    bench = benches[call.kind]
    refused = refusal(call.but(DryRun=True).make, world.user().client("kms"), bench)
    assert refused.code == "AccessDeniedException", str(refused)


@pytest.mark.parametrize("call", [call for call in DRY if call.operation not in ("RetireGrant", "RevokeGrant")], ids=lambda call: call.operation)
def test_a_dry_run_on_a_disabled_key_is_told_so(call, root):
    bench = Bench(root, call.kind).ready()
    bench.kms.disable_key(KeyId=bench.id)
    expect("DisabledException", f"{bench.arn} is disabled.", call.but(DryRun=True).make, bench.kms, bench)


def test_a_dry_run_of_what_would_fail_says_how(bench, benches):
    expect("InvalidKeyUsageException", None, calls.SIGN.but(DryRun=True).make, bench.kms, bench)
    expect("InvalidCiphertextException", "", calls.DECRYPT.but(DryRun=True, CiphertextBlob=b"x").make, bench.kms, bench)
    expect("InvalidCiphertextException", "", calls.DECRYPT.but(DryRun=True, EncryptionContext={}).make, bench.kms, bench)
    signing = benches[SIGNING]
    expect("KMSInvalidSignatureException", "", calls.VERIFY.but(DryRun=True, Message=b"n").make, bench.kms, signing)
    mac = benches[MAC]
    expect("KMSInvalidMacException", "", calls.VERIFY_MAC.but(DryRun=True, Message=b"n").make, bench.kms, mac)
    expect("NotFoundException", None, bench.kms.revoke_grant, KeyId=bench.id, GrantId="0" * 64, DryRun=True)
