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
