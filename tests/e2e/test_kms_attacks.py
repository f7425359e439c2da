"""What somebody tries who may a little of KMS, and wants more: each test is one way that must be shut."""

import pytest

from clients import refusal
from world import World, allow, deny, unique

# Two accounts that no other test uses.
OWN, OTHER = "510051005100", "520052005200"


@pytest.fixture(scope="module")
def own(dev):
    return World(dev.principal(OWN, "x"))


@pytest.fixture(scope="module")
def other(dev):
    world = World(dev.principal(OTHER, "x"))
    # An account is there once somebody has called it.
    assert world.account == OTHER
    return world


@pytest.fixture(scope="module")
def key(own):
    return own.root.client("kms").create_key()["KeyMetadata"]["Arn"]


def expect(code, call, **parameters):
    refused = refusal(call, **parameters)
    assert (refused.code, refused.status) == (code, 400), str(refused)
    return refused


def denied(call, **parameters):
    return expect("AccessDeniedException", call, **parameters).message


# --- grants -----------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["EncryptionContextEquals", "EncryptionContextSubset"])
def test_an_empty_constraint_of_a_grant_is_no_constraint(own, other, key, kind):
    only = {"Condition": {"StringEquals": {"kms:GrantConstraintType": kind}}}
    kms = own.user(allow("kms:CreateGrant", **only)).client("kms")
    asked = {"KeyId": key, "GranteePrincipal": other.account_principal, "Operations": ["Decrypt"]}
    denied(kms.create_grant, **asked, Constraints={kind: {}})
    kms.create_grant(**asked, Constraints={kind: {"a": "1"}})


@pytest.mark.parametrize("named", ["Grantee", "Retiring"])
@pytest.mark.parametrize("operator", ["StringLike", "ArnLike"])
def test_a_condition_on_a_grants_principal_is_about_whom_it_means(own, other, key, named, operator):
    not_there = {"Condition": {operator: {f"kms:{named}Principal": f"arn:aws:iam::{OTHER}:*"}}}
    kms = own.user(allow("kms:*"), deny("kms:CreateGrant", **not_there)).client("kms")
    asked = {"KeyId": key, "GranteePrincipal": own.account_principal, "Operations": ["Decrypt"]}
    for spelled in (other.account_principal, OTHER):
        denied(kms.create_grant, **{**asked, f"{named}Principal": spelled})
    kms.create_grant(**{**asked, f"{named}Principal": OWN})


@pytest.mark.parametrize("member", ["GranteePrincipal", "RetiringPrincipal"])
@pytest.mark.parametrize(
    "nobody",
    [
        "530053005300",
        "arn:aws:iam::530053005300:root",
        f"arn:aws-cn:iam::{OTHER}:root",
        f"arn:aws:iam:us-east-1:{OTHER}:root",
        f"arn:aws:sts::{OTHER}:whatever",
        f"arn:aws:sts::{OTHER}:assumed-role/none/session",
        f"arn:aws-cn:sts::{OTHER}:federated-user/ann",
        f"arn:aws:sts:us-east-1:{OTHER}:federated-user/ann",
    ],
)
def test_a_grant_is_for_somebody_who_can_be_there(own, other, key, member, nobody):
    asked = {"KeyId": key, "GranteePrincipal": own.account_principal, "Operations": ["Decrypt"]}
    kms = own.root.client("kms")
    expect("InvalidArnException", kms.create_grant, **{**asked, member: nobody})


@pytest.mark.parametrize(
    "key_is",
    [
        ("StringEquals", "aws:ResourceTag/env", "prod"),
        ("StringEquals", "kms:CallerAccount", OWN),
        ("StringEquals", "kms:KeySpec", "SYMMETRIC_DEFAULT"),
        ("StringEquals", "kms:GrantConstraintType", "EncryptionContextSubset"),
        ("StringEquals", "kms:EncryptionContext:a", "1"),
        ("ForAnyValue:StringEquals", "kms:EncryptionContextKeys", "a"),
        ("ForAnyValue:StringLike", "kms:ResourceAliases", "alias/retired*"),
    ],
    ids=lambda condition: condition[1],
)
def test_retiring_a_grant_is_denied_by_what_its_key_and_the_grant_are(own, key_is):
    operator, condition, value = key_is
    root = own.root.client("kms")
    tags = [{"TagKey": "env", "TagValue": "prod"}]
    key = root.create_key(Tags=tags)["KeyMetadata"]["Arn"]
    root.create_alias(AliasName=f"alias/{unique('retired')}", TargetKeyId=key)
    made = root.create_grant(
        KeyId=key, GranteePrincipal=own.account_principal, Operations=["Decrypt"],
        Constraints={"EncryptionContextSubset": {"a": "1"}},
    )
    user = own.user(
        allow("kms:*"), deny("kms:RetireGrant", Condition={operator: {condition: value}})
    )
    kms = user.client("kms")
    denied(kms.retire_grant, KeyId=key, GrantId=made["GrantId"])
    denied(kms.retire_grant, GrantToken=made["GrantToken"])
    root.retire_grant(KeyId=key, GrantId=made["GrantId"])


@pytest.mark.parametrize(
    "value", [("kms:CallerAccount", OWN), ("kms:KeySpec", "SYMMETRIC_DEFAULT")], ids=lambda at: at[0]
)
def test_tags_of_a_new_key_are_asked_for_as_tags_of_a_key(own, value):
    condition = {"Condition": {"StringEquals": dict([value])}}
    kms = own.user(allow("kms:*"), deny("kms:TagResource", **condition)).client("kms")
    message = denied(kms.create_key, Tags=[{"TagKey": "a", "TagValue": "b"}])
    assert "kms:TagResource" in message
    kms.create_key()


# --- encryption contexts ----------------------------------------------------------------------

TWICE = [{"dept": "hr", "Dept": "x"}, {"Dept": "hr", "dept": "x"}, {"a/b": "hr", "a/B": "x"}]


@pytest.mark.parametrize("context", TWICE, ids=str)
@pytest.mark.parametrize("operation", ["encrypt", "decrypt", "generate_data_key", "re_encrypt"])
def test_one_name_of_an_encryption_context_has_one_spelling(own, key, context, operation):
    kms = own.root.client("kms")
    blob = kms.encrypt(KeyId=key, Plaintext=b"x")["CiphertextBlob"]
    asked = {
        "encrypt": {"KeyId": key, "Plaintext": b"x", "EncryptionContext": context},
        "decrypt": {"CiphertextBlob": blob, "EncryptionContext": context},
        "generate_data_key": {"KeyId": key, "KeySpec": "AES_256", "EncryptionContext": context},
        "re_encrypt": {
            "CiphertextBlob": blob, "DestinationKeyId": key, "DestinationEncryptionContext": context,
        },
    }
    expect("ValidationException", getattr(kms, operation), **asked[operation])


@pytest.mark.parametrize("kind", ["EncryptionContextEquals", "EncryptionContextSubset"])
def test_one_name_of_a_grants_constraint_has_one_spelling(own, key, kind):
    expect(
        "ValidationException", own.root.client("kms").create_grant, KeyId=key, Constraints={kind: TWICE[0]},
        GranteePrincipal=own.account_principal, Operations=["Decrypt"],
    )


@pytest.mark.parametrize("context", [{"dept": "hr"}, {"Dept": "hr"}, {"DEPT": "hr", "a": "x"}], ids=str)
def test_a_pair_is_denied_in_any_spelling_of_its_name(own, key, context):
    condition = {"StringEquals": {"kms:EncryptionContext:dept": "hr"}}
    kms = own.user(allow("kms:*"), deny("kms:Encrypt", Condition=condition)).client("kms")
    denied(kms.encrypt, KeyId=key, Plaintext=b"x", EncryptionContext=context)
    kms.encrypt(KeyId=key, Plaintext=b"x", EncryptionContext={"dept": "it"})


# --- events -----------------------------------------------------------------------------------


def test_no_event_carries_a_grants_token(server, root):
    kms = root.client("kms")
    key = kms.create_key()["KeyMetadata"]["Arn"]
    made = kms.create_grant(
        KeyId=key, GranteePrincipal=root.account, Operations=["Decrypt", "DescribeKey"]
    )
    kms.describe_key(KeyId=key, GrantTokens=[made["GrantToken"]])
    kms.retire_grant(GrantToken=made["GrantToken"])
    events = {
        name: server.audit_event(lambda event, name=name: event["eventName"] == name)
        for name in ("CreateGrant", "DescribeKey", "RetireGrant")
    }
    assert events["CreateGrant"]["responseElements"] == {"grantId": made["GrantId"]}
    assert events["DescribeKey"]["requestParameters"] == {"keyId": key}
    assert events["RetireGrant"]["requestParameters"] is None
    assert made["GrantToken"] not in str(server.audit_events())


# --- names ------------------------------------------------------------------------------------


def test_aliases_are_listed_of_keys_of_the_account_alone(own, other, key):
    kms = own.root.client("kms")
    alias = f"alias/{unique('own')}"
    kms.create_alias(AliasName=alias, TargetKeyId=key)
    listed = kms.list_aliases(KeyId=key)["Aliases"]
    assert alias in [one["AliasName"] for one in listed]
    # The same id in another account, whoever asks.
    for arn, client in ((key.replace(OWN, OTHER), kms), (key, other.root.client("kms"))):
        expect("NotFoundException", client.list_aliases, KeyId=arn)


def test_an_arn_of_another_partition_names_no_key(own, key):
    kms, elsewhere = own.root.client("kms"), key.replace("arn:aws:", "arn:aws-cn:")
    expect("InvalidArnException", kms.describe_key, KeyId=elsewhere)
    expect("InvalidArnException", kms.encrypt, KeyId=elsewhere, Plaintext=b"x")
    expect("InvalidArnException", kms.list_aliases, KeyId=elsewhere)


# --- keys of other accounts -------------------------------------------------------------------


@pytest.mark.parametrize(
    "condition",
    [
        {"Null": {"kms:KeySpec": "false"}},
        {"StringEquals": {"kms:KeySpec": "SYMMETRIC_DEFAULT"}},
        {"StringLike": {"aws:ResourceTag/secret": "m*"}},
        {"ForAnyValue:StringLike": {"kms:ResourceAliases": "alias/pay*"}},
    ],
    ids=str,
)
def test_ones_own_policies_tell_nothing_of_anothers_key(own, other, condition):
    kms = other.root.client("kms")
    key = kms.create_key(Tags=[{"TagKey": "secret", "TagValue": "merger"}])["KeyMetadata"]["Arn"]
    kms.create_alias(AliasName=f"alias/{unique('payroll')}", TargetKeyId=key)
    none = f"{key[:-36]}00000000-0000-0000-0000-000000000000"
    user = own.user(allow("kms:*"), deny("kms:*", Condition=condition))
    asked = user.client("kms").describe_key
    assert denied(asked, KeyId=key).replace(key, none) == denied(asked, KeyId=none)


def test_of_anothers_key_an_alias_alone_is_told(own, other):
    kms = other.root.client("kms")
    key = kms.create_key()["KeyMetadata"]
    name = f"alias/{unique('told')}"
    kms.create_alias(AliasName=name, TargetKeyId=key["KeyId"])
    alias = key["Arn"].rsplit(":", 1)[0] + f":{name}"
    none = f"{alias}-none"
    asked = own.root.client("kms").describe_key
    message = denied(asked, KeyId=alias)
    assert key["KeyId"] not in message
    assert message.replace(alias, none) == denied(asked, KeyId=none)
    # To its own account the key is told.
    assert key["KeyId"] in denied(other.user().client("kms").describe_key, KeyId=alias)


@pytest.mark.parametrize("kind", ["EncryptionContextEquals", "EncryptionContextSubset"])
def test_a_grants_constraint_is_no_longer_than_aws_lets_it_be(own, key, kind):
    kms = own.root.client("kms")
    asked = {"KeyId": key, "GranteePrincipal": own.account_principal, "Operations": ["Decrypt"]}
    pairs = {str(number): "x" * 384 for number in range(8)}
    kms.create_grant(**asked, Constraints={kind: pairs})
    for longer in ({**pairs, "8": "x"}, {"a": "x" * 385}):
        expect("ValidationException", kms.create_grant, **asked, Constraints={kind: longer})
