"""What proves an identity, shown again later, to another, or in another place.

A token and an assertion may be shown again while they are good, as in AWS (tools that keep an assertion
for several roles rely on it). They are good for one provider, one role and a time, and what is meant to
be used once is used once.
"""

import pytest

import test_oidc
import test_saml
from clients import refusal
from identity_provider import IdentityProvider, response
from issuer import AUDIENCE, Issuer, rsa_key
from test_saml import LATE
from world import World, allow


@pytest.fixture(scope="module")
def world(dev):
    return World(dev.principal("test", "x"))


@pytest.fixture(scope="module")
def sts(dev):
    return test_oidc.unsigned(dev.url)


@pytest.fixture
def later(dev):
    moved = []

    def move(seconds):
        moved.append(seconds)
        dev.post_json("/_ringfence/clock", {"advance_seconds": seconds})

    yield move
    for seconds in moved:
        dev.post_json("/_ringfence/clock", {"advance_seconds": -seconds})


@pytest.fixture(scope="module")
def issuer():
    issuer = Issuer(path="/replay")
    issuer.keys = {"r1": rsa_key()}
    yield issuer
    issuer.stop()


def test_a_token_is_shown_again_for_its_time_and_no_longer(world, sts, issuer, later):
    provider = test_oidc.create(world, issuer.url, ClientIDList=[AUDIENCE])
    role = world.role(allow("iam:ListUsers"), trusted=[test_oidc.trusted(provider)])
    token = issuer.token()
    assert test_oidc.become(sts, role, token)
    assert test_oidc.become(sts, role, token)
    later(24 * 3600)
    refused = refusal(test_oidc.become, sts, role, token)
    assert (refused.code, refused.status) == ("ExpiredTokenException", 400)


def test_a_token_of_one_provider_is_nothing_to_another(world, sts, issuer):
    other = Issuer(path="/other")
    try:
        other.keys = {"r1": rsa_key()}
        provider = test_oidc.create(world, other.url, ClientIDList=[AUDIENCE])
        role = world.role(allow("iam:ListUsers"), trusted=[test_oidc.trusted(provider)])
        assert test_oidc.become(sts, role, other.token())
        refused = refusal(test_oidc.become, sts, role, issuer.token())
        assert refused.status in (400, 403), str(refused)
    finally:
        other.stop()


def test_an_assertion_is_shown_again_for_five_minutes_and_to_no_other_pair(world, sts, later):
    idp = IdentityProvider()
    provider = test_saml.create(world, idp.metadata())
    role = world.role(allow("iam:ListUsers"), trusted=[test_saml.trusted(provider)])
    text = response(idp.signed(idp.assertion([(role, provider)])))
    assert test_saml.become(sts, role, provider, text)
    assert test_saml.become(sts, role, provider, text)
    # At a provider with the same metadata, for a role that trusts it.
    twin = test_saml.create(world, idp.metadata())
    other = world.role(trusted=[test_saml.trusted(twin)])
    for asked, by in ((other, twin), (role, twin), (other, provider)):
        assert refusal(test_saml.become, sts, asked, by, text).status in (400, 403)
    later(310)
    refused = refusal(test_saml.become, sts, role, provider, text)
    assert (refused.code, refused.message) == ("ExpiredTokenException", LATE)
