"""KMS: keys, who may use them, and what is done with them.

[rec] marks texts recorded from AWS, kept by LocalStack in tests/aws/services/kms/test_kms.snapshot.json
(2023-2024).
"""

import base64
import hashlib
import json

import pytest
from botocore.exceptions import ClientError
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, padding, utils

from clients import refusal
from world import allow, deny, policy, trust, unique


@pytest.fixture(scope="module")
def kms(root):
    return root.client("kms")


@pytest.fixture(scope="module")
def key(kms):
    return kms.create_key(Description="for tests")["KeyMetadata"]


def made(kms, spec, usage):
    return kms.create_key(KeySpec=spec, KeyUsage=usage)["KeyMetadata"]["KeyId"]


def expect(code, message, call, **parameters):
    refused = refusal(call, **parameters)
    assert (refused.code, refused.status) == (code, 400), str(refused)
    if message is not None:
        assert refused.message == message


def test_a_key_is_described_as_aws_describes_it(kms, key, root):
    shown = kms.describe_key(KeyId=key["KeyId"])["KeyMetadata"]
    assert shown == key
    shown.pop("CreationDate")
    shown.pop("CurrentKeyMaterialId")
    assert shown == {
        "AWSAccountId": root.account,
        "Arn": f"arn:aws:kms:us-east-1:{root.account}:key/{key['KeyId']}",
        "CustomerMasterKeySpec": "SYMMETRIC_DEFAULT",
        "Description": "for tests",
        "Enabled": True,
        "EncryptionAlgorithms": ["SYMMETRIC_DEFAULT"],
        "KeyId": key["KeyId"],
        "KeyManager": "CUSTOMER",
        "KeySpec": "SYMMETRIC_DEFAULT",
        "KeyState": "Enabled",
        "KeyUsage": "ENCRYPT_DECRYPT",
        "MultiRegion": False,
        "Origin": "AWS_KMS",
    }
    assert key["KeyId"] in {one["KeyId"] for one in kms.list_keys()["Keys"]}


def test_what_was_encrypted_is_decrypted_in_its_context_alone(kms, key):
    context = {"purpose": "test", "b": "2"}
    sealed = kms.encrypt(KeyId=key["KeyId"], Plaintext=b"secret", EncryptionContext=context)
    assert sealed["KeyId"] == key["Arn"] and b"secret" not in sealed["CiphertextBlob"]
    blob = sealed["CiphertextBlob"]
    opened = kms.decrypt(CiphertextBlob=blob, EncryptionContext=dict(reversed(context.items())))
    assert (opened["Plaintext"], opened["KeyId"]) == (b"secret", key["Arn"])
    for other in ({}, {"purpose": "test"}, {**context, "b": "3"}):
        expect("InvalidCiphertextException", "", kms.decrypt,
               CiphertextBlob=blob, EncryptionContext=other)  # [rec]
    for at in (0, 1, 20, len(blob) - 1):
        spoilt = bytes(byte ^ (index == at) for index, byte in enumerate(blob))
        refused = refusal(kms.decrypt, CiphertextBlob=spoilt, EncryptionContext=context)
        assert refused.status == 400 and refused.code in (
            "InvalidCiphertextException", "AccessDeniedException"
        ), str(refused)
    other = kms.create_key()["KeyMetadata"]["KeyId"]
    expect("IncorrectKeyException",
           "The key ID in the request does not identify a CMK that can perform this operation.",
           kms.decrypt, CiphertextBlob=blob, EncryptionContext=context, KeyId=other)  # [rec]
    again = kms.re_encrypt(CiphertextBlob=blob, SourceEncryptionContext=context,
                           DestinationKeyId=other, DestinationEncryptionContext={"now": "other"})
    assert kms.decrypt(CiphertextBlob=again["CiphertextBlob"],
                       EncryptionContext={"now": "other"})["Plaintext"] == b"secret"


def test_data_keys_are_as_long_as_asked_and_open_by_their_key(kms, key):
    for parameters, length in (
        ({"KeySpec": "AES_256"}, 32), ({"KeySpec": "AES_128"}, 16), ({"NumberOfBytes": 64}, 64),
    ):
        data = kms.generate_data_key(KeyId=key["KeyId"], **parameters)
        assert len(data["Plaintext"]) == length
        assert kms.decrypt(CiphertextBlob=data["CiphertextBlob"])["Plaintext"] == data["Plaintext"]
        bare = kms.generate_data_key_without_plaintext(KeyId=key["KeyId"], **parameters)
        assert "Plaintext" not in bare
        assert len(kms.decrypt(CiphertextBlob=bare["CiphertextBlob"])["Plaintext"]) == length
    expect("ValidationException", None, kms.generate_data_key, KeyId=key["KeyId"])
    pair = kms.generate_data_key_pair(KeyId=key["KeyId"], KeyPairSpec="ECC_NIST_P256")
    private = serialization.load_der_private_key(pair["PrivateKeyPlaintext"], None)
    public = serialization.load_der_public_key(pair["PublicKey"])
    assert private.public_key() == public
    opened = kms.decrypt(CiphertextBlob=pair["PrivateKeyCiphertextBlob"])["Plaintext"]
    assert opened == pair["PrivateKeyPlaintext"]
    assert len(kms.generate_random(NumberOfBytes=44)["Plaintext"]) == 44
    expect("ValidationException", "NumberOfBytes is required.", kms.generate_random)  # [rec]


@pytest.mark.parametrize("spec,algorithm", [
    ("ECC_NIST_P256", "ECDSA_SHA_256"),
    ("RSA_2048", "RSASSA_PSS_SHA_256"),
    ("RSA_2048", "RSASSA_PKCS1_V1_5_SHA_512"),
])
def test_an_outside_library_verifies_our_signatures(spec, algorithm, kms):
    key = made(kms, spec, "SIGN_VERIFY")
    hashed = {"256": hashes.SHA256(), "512": hashes.SHA512()}[algorithm[-3:]]
    digest = hashlib.new(hashed.name, b"message").digest()
    public = serialization.load_der_public_key(kms.get_public_key(KeyId=key)["PublicKey"])
    for kind, message in (("RAW", b"message"), ("DIGEST", digest)):
        signature = kms.sign(KeyId=key, Message=message, MessageType=kind,
                             SigningAlgorithm=algorithm)["Signature"]
        if spec == "RSA_2048":
            scheme = padding.PKCS1v15()
            if "PSS" in algorithm:
                scheme = padding.PSS(padding.MGF1(hashed), padding.PSS.DIGEST_LENGTH)
            public.verify(signature, digest, scheme, utils.Prehashed(hashed))
        else:
            public.verify(signature, digest, ec.ECDSA(utils.Prehashed(hashed)))
        valid = kms.verify(KeyId=key, Message=message, MessageType=kind, Signature=signature,
                           SigningAlgorithm=algorithm)
        assert valid["SignatureValid"] is True
    expect("KMSInvalidSignatureException", "", kms.verify, KeyId=key, Message=b"other",
           MessageType="RAW", Signature=signature, SigningAlgorithm=algorithm)  # [rec]
    expect("ValidationException", f"Digest is invalid length for algorithm {algorithm}.",
           kms.sign, KeyId=key, Message=b"short", MessageType="DIGEST",
           SigningAlgorithm=algorithm)  # [rec]


def test_macs_and_shared_secrets(kms):
    key = made(kms, "HMAC_256", "GENERATE_VERIFY_MAC")
    given = {"KeyId": key, "Message": b"m", "MacAlgorithm": "HMAC_SHA_256"}
    mac = kms.generate_mac(**given)["Mac"]
    assert kms.verify_mac(Mac=mac, **given)["MacValid"] is True
    expect("KMSInvalidMacException", "", kms.verify_mac, Mac=mac, **{**given, "Message": b"n"})  # [rec]
    expect("InvalidKeyUsageException",
           "Algorithm HMAC_SHA_512 is incompatible with key spec HMAC_256.",
           kms.generate_mac, **{**given, "MacAlgorithm": "HMAC_SHA_512"})  # [rec]
    key = made(kms, "ECC_NIST_P256", "KEY_AGREEMENT")
    mine = ec.generate_private_key(ec.SECP256R1())
    der = mine.public_key().public_bytes(
        serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo
    )
    derived = kms.derive_shared_secret(KeyId=key, KeyAgreementAlgorithm="ECDH", PublicKey=der)
    public = serialization.load_der_public_key(kms.get_public_key(KeyId=key)["PublicKey"])
    assert derived["SharedSecret"] == mine.exchange(ec.ECDH(), public)


def test_misuse_is_refused_in_awss_words(kms, key, root):
    arn = key["Arn"]
    expect("InvalidKeyUsageException",
           f"{arn} key usage is ENCRYPT_DECRYPT which is not valid for GenerateMac.",
           kms.generate_mac, KeyId=arn, Message=b"m", MacAlgorithm="HMAC_SHA_256")  # [rec]
    expect("NotFoundException", "Invalid keyId 'fake-key-id'", kms.describe_key, KeyId="fake-key-id")
    missing = "134f2428-cec1-4b25-a1ae-9048164dba47"
    expect("NotFoundException",
           f"Key 'arn:aws:kms:us-east-1:{root.account}:key/{missing}' does not exist",
           kms.describe_key, KeyId=missing)  # [rec]
    expect("NotFoundException", "Invalid arn eu-west-1", kms.describe_key,
           KeyId=f"arn:aws:kms:eu-west-1:{root.account}:key/{missing}")  # [rec]
    elsewhere = root.client("kms", region="eu-west-1")
    expect("NotFoundException", None, elsewhere.describe_key, KeyId=key["KeyId"])
    kms.disable_key(KeyId=arn)
    expect("DisabledException", f"{arn} is disabled.", kms.encrypt, KeyId=arn, Plaintext=b"x")
    kms.enable_key(KeyId=arn)
    assert kms.encrypt(KeyId=arn, Plaintext=b"x")
    expect("DryRunOperationException", None, kms.encrypt, KeyId=arn, Plaintext=b"x", DryRun=True)


def test_aliases_name_keys(kms, key):
    name = "alias/" + unique("app")
    kms.create_alias(AliasName=name, TargetKeyId=key["KeyId"])
    assert kms.describe_key(KeyId=name)["KeyMetadata"]["KeyId"] == key["KeyId"]
    assert kms.encrypt(KeyId=name, Plaintext=b"x")["KeyId"] == key["Arn"]
    listed = kms.list_aliases(KeyId=key["KeyId"])["Aliases"]
    assert [one["AliasName"] for one in listed] == [name]
    expect("AlreadyExistsException", None, kms.create_alias, AliasName=name, TargetKeyId=key["KeyId"])
    other = kms.create_key()["KeyMetadata"]["KeyId"]
    kms.update_alias(AliasName=name, TargetKeyId=other)
    assert kms.describe_key(KeyId=name)["KeyMetadata"]["KeyId"] == other
    kms.delete_alias(AliasName=name)
    expect("NotFoundException", None, kms.describe_key, KeyId=name)
    expect("ValidationException", None, kms.create_alias, AliasName="app", TargetKeyId=other)


def test_a_key_policy_is_the_root_of_trust(world, kms):
    trusted, other = world.user(), world.user(allow("kms:*"))
    statement = {"Sid": "a", "Effect": "Allow", "Principal": {"AWS": trusted.user_arn},
                 "Action": ["kms:Encrypt", "kms:Decrypt"], "Resource": "*"}
    admin = {"Effect": "Allow", "Principal": {"AWS": world.account_principal},
             "Action": ["kms:PutKeyPolicy", "kms:Describe*", "kms:ScheduleKeyDeletion"],
             "Resource": "*"}
    key = kms.create_key(Policy=policy(statement, admin))["KeyMetadata"]["KeyId"]
    assert trusted.client("kms").encrypt(KeyId=key, Plaintext=b"x")
    # No policy of IAM's helps where the key's does not hand on.
    refused = refusal(other.client("kms").encrypt, KeyId=key, Plaintext=b"x")
    assert refused.code == "AccessDeniedException", str(refused)
    assert other.client("kms").describe_key(KeyId=key)
    # Nobody locks everybody out.
    expect("MalformedPolicyDocumentException", None, kms.put_key_policy, KeyId=key,
           PolicyName="default", Policy=policy(statement))
    kms.put_key_policy(KeyId=key, Policy=policy(statement), BypassPolicyLockoutSafetyCheck=True)
    assert refusal(kms.describe_key, KeyId=key).code == "AccessDeniedException"


def test_conditions_on_context_and_alias_decide(world, kms, key):
    mine = {"StringEquals": {"kms:EncryptionContext:owner": "me"}}
    user = world.user(allow("kms:Decrypt", Condition=mine)).client("kms")
    mine, yours = (
        kms.encrypt(KeyId=key["KeyId"], Plaintext=b"x", EncryptionContext={"owner": who})
        ["CiphertextBlob"] for who in ("me", "you")
    )
    assert user.decrypt(CiphertextBlob=mine, EncryptionContext={"owner": "me"})
    refused = refusal(user.decrypt, CiphertextBlob=yours, EncryptionContext={"owner": "you"})
    assert refused.code == "AccessDeniedException"


def test_a_grant_decides_until_it_is_revoked_or_retired(world, kms, key):
    grantee, retirer = world.user(), world.user()
    sealed = kms.encrypt(KeyId=key["KeyId"], Plaintext=b"x", EncryptionContext={"a": "1", "b": "2"})
    blob = sealed["CiphertextBlob"]
    user = grantee.client("kms")
    decrypt = {"CiphertextBlob": blob, "EncryptionContext": {"a": "1", "b": "2"}}
    assert refusal(user.decrypt, **decrypt).code == "AccessDeniedException"

    def grant(constraint, **more):
        return kms.create_grant(
            KeyId=key["KeyId"], GranteePrincipal=grantee.user_arn, Operations=["Decrypt"],
            RetiringPrincipal=retirer.user_arn, Constraints=constraint, **more,
        )

    made = grant({"EncryptionContextSubset": {"a": "1"}})
    assert user.decrypt(GrantTokens=[made["GrantToken"]], **decrypt)["Plaintext"] == b"x"
    assert user.decrypt(**decrypt)["Plaintext"] == b"x"
    assert refusal(user.encrypt, KeyId=key["KeyId"], Plaintext=b"x").code == "AccessDeniedException"
    listed = kms.list_grants(KeyId=key["KeyId"], GrantId=made["GrantId"])["Grants"]
    assert listed[0]["GranteePrincipal"] == grantee.user_arn
    kms.revoke_grant(KeyId=key["KeyId"], GrantId=made["GrantId"])
    assert refusal(user.decrypt, **decrypt).code == "AccessDeniedException"

    made = grant({"EncryptionContextEquals": {"a": "1"}})
    assert refusal(user.decrypt, **decrypt).code == "AccessDeniedException"
    assert refusal(user.retire_grant, GrantToken=made["GrantToken"]).code == "AccessDeniedException"
    retirer.client("kms").retire_grant(GrantToken=made["GrantToken"])
    assert kms.list_grants(KeyId=key["KeyId"])["Grants"] == []
    refused = refusal(user.decrypt, GrantTokens=["nonsense"], **decrypt)
    assert refused.code == "InvalidGrantTokenException"


def test_a_deletion_is_scheduled_called_off_and_carried_out(dev):
    kms = dev.principal("test", "x").client("kms")
    key = kms.create_key()["KeyMetadata"]["KeyId"]
    blob = kms.encrypt(KeyId=key, Plaintext=b"x")["CiphertextBlob"]
    expect("ValidationException", None, kms.schedule_key_deletion, KeyId=key, PendingWindowInDays=6)
    kms.schedule_key_deletion(KeyId=key, PendingWindowInDays=7)
    assert refusal(kms.decrypt, CiphertextBlob=blob).code == "KMSInvalidStateException"
    kms.cancel_key_deletion(KeyId=key)
    assert kms.describe_key(KeyId=key)["KeyMetadata"]["KeyState"] == "Disabled"
    kms.enable_key(KeyId=key)
    assert kms.decrypt(CiphertextBlob=blob)["Plaintext"] == b"x"
    kms.schedule_key_deletion(KeyId=key, PendingWindowInDays=7)
    dev.post_json("/_ringfence/clock", {"advance_seconds": 7 * 86400 + 1})
    assert refusal(kms.describe_key, KeyId=key).code == "NotFoundException"
    assert refusal(kms.decrypt, CiphertextBlob=blob).code == "AccessDeniedException"
    assert key not in {one["KeyId"] for one in kms.list_keys()["Keys"]}


def test_keys_survive_a_crash_and_no_plaintext_is_recorded(start_server):
    server = start_server()
    kms = server.root().client("kms")
    key = kms.create_key()["KeyMetadata"]["KeyId"]
    secret = b"a-plaintext-to-look-for"
    blob = kms.encrypt(KeyId=key, Plaintext=secret)["CiphertextBlob"]
    data = kms.generate_data_key(KeyId=key, KeySpec="AES_256")
    server.kill()
    server.start()
    kms = server.root().client("kms")
    assert kms.decrypt(CiphertextBlob=blob)["Plaintext"] == secret
    server.stop()
    for secret in (secret, data["Plaintext"]):
        forms = [secret, base64.b64encode(secret), secret.hex().encode()]
        for file in server.data.rglob("*"):
            if file.is_file():
                held = file.read_bytes()
                assert not any(form in held for form in forms), file
