"""KMS's quotas: of calls in a second, and of what an account may have."""

import pytest

from clients import refusal
from world import World, allow

MESSAGE = "You have exceeded the rate at which you may call KMS. Reduce the frequency of your calls."


@pytest.fixture(scope="module")
def strict(start_server):
    """A server with small quotas."""
    return start_server(
        *("--quota", "kms:requests=100000"),
        *("--quota", "kms:symmetric-requests=6"),
        *("--quota", "kms:rsa-requests=3"),
        *("--quota", "kms:DisableKey-requests=0"),
        *("--quota", "kms:pair-ECC_NIST_P256-requests=0"),
        *("--quota", "kms:keys=12"),
        *("--quota", "kms:aliases-per-key=2"),
        *("--quota", "kms:grants-per-key=2"),
        *("--quota", "kms:rotations-on-demand=1"),
    )


@pytest.fixture(scope="module")
def kms(strict):
    return strict.root().client("kms")


@pytest.fixture(scope="module")
def key(kms):
    return kms.create_key()["KeyMetadata"]["KeyId"]


def throttled(call, **parameters):
    answer = refusal(call, **parameters)
    assert (answer.code, answer.status, answer.message) == ("ThrottlingException", 400, MESSAGE)


def until_throttled(call, most):
    """How often a call succeeds before it is refused."""
    for times in range(most):
        try:
            call()
        except call.__self__.exceptions.ClientError as error:
            assert error.response["Error"]["Code"] == "ThrottlingException", error
            return times
    return most


def spent(kms, key):
    """Uses up the shared quota of symmetric keys by Encrypt alone."""
    for _ in range(1000):
        try:
            kms.encrypt(KeyId=key, Plaintext=b"x")
        except kms.exceptions.ClientError as error:
            assert error.response["Error"]["Code"] == "ThrottlingException"
            return
    pytest.fail("1,000 calls were let through at 6 a second")


def test_a_call_beyond_its_quota_is_throttled_with_aws_words(kms, key):
    throttled(kms.disable_key, KeyId=key)
    # Other operations have quotas of their own.
    kms.enable_key(KeyId=key)
    throttled(kms.generate_data_key_pair_without_plaintext, KeyId=key, KeyPairSpec="ECC_NIST_P256")
    assert kms.generate_data_key_pair_without_plaintext(KeyId=key, KeyPairSpec="ECC_NIST_P384")


def test_symmetric_operations_share_a_quota_and_other_kinds_of_keys_have_their_own(kms, key):
    rsa = kms.create_key(KeySpec="RSA_2048", KeyUsage="SIGN_VERIFY")["KeyMetadata"]["KeyId"]
    ecc = kms.create_key(KeySpec="ECC_NIST_P256", KeyUsage="SIGN_VERIFY")["KeyMetadata"]["KeyId"]
    mac = kms.create_key(KeySpec="HMAC_256", KeyUsage="GENERATE_VERIFY_MAC")["KeyMetadata"]["KeyId"]
    calls = [
        (kms.generate_data_key, {"KeyId": key, "KeySpec": "AES_256"}),
        (kms.generate_random, {"NumberOfBytes": 8}),
        (kms.generate_mac, {"KeyId": mac, "Message": b"m", "MacAlgorithm": "HMAC_SHA_256"}),
    ]
    for call, parameters in calls:
        # It refills by six a second: of a few tries one comes before the next is let through.
        for _ in range(50):
            spent(kms, key)
            try:
                call(**parameters)
            except kms.exceptions.ClientError as error:
                assert error.response["Error"]["Code"] == "ThrottlingException"
                break
        else:
            pytest.fail(f"{parameters} is not counted with Encrypt")
    spent(kms, key)
    assert kms.sign(KeyId=ecc, Message=b"m", SigningAlgorithm="ECDSA_SHA_256")
    assert kms.sign(KeyId=rsa, Message=b"m", SigningAlgorithm="RSASSA_PSS_SHA_256")
    assert kms.describe_key(KeyId=key)


def test_the_quota_is_of_whoever_calls_in_a_region_and_not_of_the_key(strict, kms, key):
    spent(kms, key)
    elsewhere = strict.root().client("kms", "eu-central-1")
    own = elsewhere.create_key()["KeyMetadata"]["KeyId"]
    assert elsewhere.encrypt(KeyId=own, Plaintext=b"x")


def test_a_client_that_tries_again_gets_through(strict, key):
    patient = strict.root().client("kms", attempts=10)
    for _ in range(15):
        assert patient.encrypt(KeyId=key, Plaintext=b"x")


def test_an_account_has_no_more_keys_than_its_quota(strict):
    kms = strict.root().client("kms", "us-west-1")
    for _ in range(12):
        last = kms.create_key()["KeyMetadata"]["KeyId"]
    answer = refusal(kms.create_key)
    assert (answer.code, answer.status) == ("LimitExceededException", 400)
    for name in ("alias/a", "alias/b"):
        kms.create_alias(AliasName=name, TargetKeyId=last)
    answer = refusal(kms.create_alias, AliasName="alias/c", TargetKeyId=last)
    assert answer.code == "LimitExceededException"
    grant = {"KeyId": last, "GranteePrincipal": strict.root().account, "Operations": ["Encrypt"]}
    for _ in range(2):
        kms.create_grant(**grant)
    assert refusal(kms.create_grant, **grant).code == "LimitExceededException"
    kms.rotate_key_on_demand(KeyId=last)
    assert refusal(kms.rotate_key_on_demand, KeyId=last).code == "LimitExceededException"


@pytest.mark.one_process("request quotas, which each server counts")
def test_calls_are_counted_by_default_and_not_in_dev(start_server):
    server = start_server()
    kms = server.root().client("kms")
    made = until_throttled(kms.create_key, 200)
    # Five at once and five a second after.
    assert 5 <= made < 200
    dev = start_server(dev=True)
    kms = dev.principal("test", "test").client("kms")
    assert until_throttled(kms.create_key, 60) == 60
    counting = start_server("--quota", "kms:CreateKey-requests=0", dev=True)
    throttled(counting.principal("test", "test").client("kms").create_key)


def test_a_quota_of_no_name_is_refused(ringfence):
    refused = ringfence("serve", "--dev", "--listen", "127.0.0.1:0", "--quota", "kms:moons-requests=1", check=False)
    assert refused.returncode != 0 and "there is no quota `kms:moons-requests`" in refused.stderr


def test_a_region_that_aws_has_not_gives_nobody_quotas_of_its_own(start_server):
    server = start_server()
    kms = server.root().client("kms", "fl-1")
    assert "valid region" in refusal(kms.create_key).message
    key = server.root().client("kms").create_key(MultiRegion=True)["KeyMetadata"]["KeyId"]
    replicate = server.root().client("kms").replicate_key
    assert refusal(replicate, KeyId=key, ReplicaRegion="fl-1").code == "ValidationException"
