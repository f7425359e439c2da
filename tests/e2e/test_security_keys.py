"""Security keys and passkeys: registered and signed in by, through operations of Ringfence's own, whose
model clients find by AWS_DATA_PATH.

The key is one in software (authenticator.py); python-fido2's relying party judges that it is an honest
one unless it is told to lie.
"""

import json
import os
import re
import subprocess
import time
from dataclasses import replace
from pathlib import Path

import boto3
import pytest
from cryptography.hazmat.primitives.asymmetric import ec
from fido2.server import Fido2Server
from fido2.webauthn import (
    AuthenticationResponse,
    PublicKeyCredentialRpEntity,
    RegistrationResponse,
)

from authenticator import (
    BACKED_UP,
    ELIGIBLE,
    PRESENT,
    VERIFIED,
    SecurityKey,
    certificate_of,
    data,
    text,
)
from clients import IDENTITY_DENY, IDENTITY_SILENT, assert_denied, refusal
from totp import Phone
from world import World, allow, deny, policy, unique

MODELS = Path(__file__).resolve().parents[2] / "xtask/models"
MFA = {"Bool": {"aws:MultiFactorAuthPresent": "true"}}
NO_CEREMONY = "There is no such ceremony, or it is over. Begin again."
ENABLE = "iam:EnableMFADevice"
PASSKEY = PRESENT | VERIFIED | ELIGIBLE | BACKED_UP


@pytest.fixture(scope="module")
def keys():
    """Makes clients of our own operations, of an unmodified boto3."""
    before = os.environ.get("AWS_DATA_PATH")
    os.environ["AWS_DATA_PATH"] = str(MODELS)
    session = boto3.Session()
    session.get_available_services()
    if before is None:
        del os.environ["AWS_DATA_PATH"]

    def client(principal):
        return session.client(
            "ringfence", region_name=principal.region, endpoint_url=principal.url,
            aws_access_key_id=principal.access_key_id, aws_secret_access_key=principal.secret,
            aws_session_token=principal.token,
            config=boto3.session.Config(retries={"total_max_attempts": 1}),
        )

    return client


@pytest.fixture(scope="module")
def origin(server):
    return f"http://localhost:{server.port}"


def register(client, key, name=None, lies=None, verification=None, **whose):
    more = {"UserVerification": verification} if verification else {}
    begun = client.begin_security_key_registration(
        DeviceName=name or unique("blue"), **more, **whose
    )
    response = key.create(begun["CreationOptions"], **(lies or {}))
    return client.finish_security_key_registration(
        Ceremony=begun["Ceremony"], Response=response, **whose
    )["SerialNumber"]


def sign_in(client, key, lies=None, serial=None, **parameters):
    begun = client.begin_security_key_session(**({"SerialNumber": serial} if serial else {}))
    return client.finish_security_key_session(
        Ceremony=begun["Ceremony"], Response=key.get(begun["RequestOptions"], **(lies or {})),
        **parameters,
    )


def refused_by(call, **parameters):
    """The refusal as IAM and STS put it: JSON names the exception's shape, and a denial is a 400."""
    refused = refusal(call, **parameters)
    code = refused.code.removesuffix("Exception")
    return replace(refused, code=code, status=403 if code == "AccessDenied" else refused.status)


def expect(call, code, message=None, **parameters):
    refused = refused_by(call, **parameters)
    assert refused.code == code, str(refused)
    if message is not None:
        assert re.search(message, refused.message), refused.message
    return refused


def refused_key(call, message, **parameters):
    return expect(call, "SecurityKeyRefused", message, **parameters)


def serials(iam, user):
    return [one["SerialNumber"] for one in iam.list_mfa_devices(UserName=user.name)["MFADevices"]]


@pytest.fixture
def user(world):
    return world.user(allow(ENABLE), allow("iam:ListUsers", Condition=MFA))


KINDS = [
    ("ES256", "none", PRESENT),
    ("ES256", "self", PRESENT),
    ("ES256", "packed", PRESENT | VERIFIED),
    ("ES256", "fido-u2f", PRESENT),
    ("ES256", "none", PASSKEY),
    ("EdDSA", "none", PRESENT),
    ("EdDSA", "self", PASSKEY),
    ("EdDSA", "packed", PRESENT),
    ("RS256", "none", PRESENT | VERIFIED),
    ("RS256", "self", PRESENT),
]


@pytest.mark.parametrize("algorithm, attestation, flags", KINDS)
def test_a_key_is_registered_listed_and_signs_in(
    algorithm, attestation, flags, world, user, keys, origin
):
    key = SecurityKey(origin, algorithm, attestation, flags=flags)
    client, name = keys(user), unique("blue")
    before = world.iam.get_account_summary()["SummaryMap"]
    serial = register(client, key, name)
    assert re.fullmatch(
        rf"arn:aws:iam::{world.account}:u2f/user/{user.name}/{name}-[A-Z2-7]{{26}}", serial
    )
    device = world.iam.get_mfa_device(SerialNumber=serial, UserName=user.name)
    assert (device["UserName"], device["SerialNumber"]) == (user.name, serial)
    # Nobody here knows how a key is certified.
    assert "Certifications" not in device or not device["Certifications"]
    assert serials(world.iam, user) == [serial]
    after = world.iam.get_account_summary()["SummaryMap"]
    for count in ("MFADevices", "MFADevicesInUse"):
        assert after[count] == before[count] + 1

    expect(user.iam.list_users, "AccessDenied")
    answer = sign_in(client, key)
    assert answer["SerialNumber"] == serial
    session = user.session_from(answer["Credentials"])
    assert session.arn == user.arn
    session.iam.list_users()
    # Without one nothing of it is left.
    world.iam.deactivate_mfa_device(UserName=user.name, SerialNumber=serial)
    assert serials(world.iam, user) == []
    expect(world.iam.get_mfa_device, "NoSuchEntity", SerialNumber=serial, UserName=user.name)
    expect(client.begin_security_key_session, "NoSuchEntity")
    assert world.iam.get_account_summary()["SummaryMap"]["MFADevices"] == before["MFADevices"]
    # The same key can be registered anew.
    assert register(client, key, name) != serial


def test_the_keys_in_software_are_ones_that_another_relying_party_takes(keys, user, origin):
    judge = Fido2Server(
        PublicKeyCredentialRpEntity(name="Ringfence", id="localhost"),
        verify_origin=lambda said: said == origin,
    )
    client = keys(user)
    for algorithm in ("ES256", "EdDSA", "RS256"):
        key = SecurityKey(origin, algorithm, "self")
        begun = client.begin_security_key_registration(DeviceName="judged")
        options = json.loads(begun["CreationOptions"])
        state = {"challenge": options["challenge"], "user_verification": None}
        response = RegistrationResponse.from_dict(json.loads(key.create(begun["CreationOptions"])))
        credential = judge.register_complete(state, response).credential_data
        # What python-fido2's own client would hand on is taken as a browser's is.
        client.finish_security_key_registration(
            Ceremony=begun["Ceremony"], Response=json.dumps(dict(response))
        )
        challenge = text(os.urandom(32))
        request = json.dumps({"challenge": challenge, "rpId": "localhost"})
        state = {"challenge": challenge, "user_verification": None}
        signed = AuthenticationResponse.from_dict(json.loads(key.get(request)))
        assert judge.authenticate_complete(state, [credential], signed) == credential
        begun = client.begin_security_key_session()
        signed = AuthenticationResponse.from_dict(json.loads(key.get(begun["RequestOptions"])))
        client.finish_security_key_session(
            Ceremony=begun["Ceremony"], Response=json.dumps(dict(signed))
        )


def test_options_say_what_a_browser_needs_and_nothing_of_the_user(world, user, keys, origin):
    client = keys(user)
    first = SecurityKey(origin)
    serial = register(client, first)
    begun = client.begin_security_key_registration(
        DeviceName="second", UserVerification="required"
    )
    options = json.loads(begun["CreationOptions"])
    assert options["rp"] == {"id": "localhost", "name": "Ringfence"}
    user_id = world.iam.get_user(UserName=user.name)["User"]["UserId"]
    assert data(options["user"]["id"]) == user_id.encode()
    assert options["user"]["name"] == user.name
    assert [one["alg"] for one in options["pubKeyCredParams"]] == [-7, -8, -257]
    assert options["excludeCredentials"] == [
        {"type": "public-key", "id": text(first.credential_id), "transports": ["usb"]}
    ]
    assert options["authenticatorSelection"]["userVerification"] == "required"
    assert len(data(options["challenge"])) == 32 and options["timeout"] == 300_000
    again = client.begin_security_key_registration(DeviceName="second")
    assert json.loads(again["CreationOptions"])["challenge"] != options["challenge"]
    assert again["Ceremony"] != begun["Ceremony"]

    options = json.loads(client.begin_security_key_session()["RequestOptions"])
    assert options["rpId"] == "localhost" and options["userVerification"] == "preferred"
    assert [data(one["id"]) for one in options["allowCredentials"]] == [first.credential_id]
    named = client.begin_security_key_session(SerialNumber=serial)["RequestOptions"]
    assert json.loads(named)["allowCredentials"] == options["allowCredentials"]
    expect(client.begin_security_key_session, "NoSuchEntity", SerialNumber=serial + "X")


LIES = [
    ({"origin": "https://localhost"}, "on another origin"),
    ({"origin": "http://localhost:1"}, "on another origin"),
    ({"origin": "http://evil.localhost"}, "on another origin"),
    ({"cross_origin": True}, "page of another site"),
    ({"challenge": text(bytes(32))}, "another challenge"),
    ({"challenge": ""}, "another challenge"),
    ({"type": "payment.get"}, "another kind"),
    ({"rp_id": "example.org"}, "another relying party"),
    ({"flags": 0}, "not present"),
    ({"flags": VERIFIED}, "not present"),
    ({"flags": PRESENT | BACKED_UP}, "inconsistent"),
    ({"credential_id": bytes(32)}, "another credential"),
]


@pytest.mark.parametrize("lies, message", LIES)
def test_lies_are_refused_at_both_ceremonies(lies, message, world, user, keys, origin):
    client = keys(user)
    liar = SecurityKey(origin)
    refused_key(register, message, client=client, key=liar, lies=lies)
    assert serials(world.iam, user) == []
    register(client, liar)
    refused_key(sign_in, message, client=client, key=liar, lies=lies)
    assert sign_in(client, liar)["Credentials"]


def test_registrations_that_do_not_hold_are_refused(world, user, keys, origin):
    client = keys(user)
    maker = ec.generate_private_key(ec.SECP256R1())
    for key, lies, message in [
        (SecurityKey(origin, "ES384"), {}, "algorithm is not supported"),
        (SecurityKey(origin), {"format": "tpm"}, "format is not supported"),
        (SecurityKey(origin), {"statement": {"alg": -7}}, "attestation is not valid"),
        (SecurityKey(origin, "EdDSA", "self"), {"statement": {"alg": -7}}, "another algorithm"),
        (SecurityKey(origin, "ES256", "self"), {"statement": {"sig": b"x"}}, "the signature"),
        (SecurityKey(origin, "ES256", "packed"), {"statement": {"sig": b"x"}}, "the signature"),
        (SecurityKey(origin, "ES256", "fido-u2f"), {"statement": {"sig": b"x"}}, "the signature"),
        (SecurityKey(origin, "ES256", "packed"), {"statement": {"x5c": []}}, "no certificate"),
        (SecurityKey(origin, "ES256", "packed"), {"statement": {"x5c": [b"x"]}}, "no X.509"),
        (
            SecurityKey(origin, "ES256", "packed"),
            {"statement": {"x5c": [certificate_of(maker, None)]}},
            "the signature",
        ),
    ]:
        refused_key(register, message, client=client, key=key, lies=lies)
    for unit, authority, aaguid, message in [
        ("Anything", False, None, "of no authenticator"),
        ("Authenticator Attestation", True, None, "an authority's"),
        ("Authenticator Attestation", False, bytes(16), "another model"),
    ]:
        key = SecurityKey(origin, "ES256", "packed")
        key.statement = lambda said, hashed, key=key, given=(unit, authority, aaguid): {
            "alg": -7,
            "sig": key.sign(said + hashed, maker),
            "x5c": [certificate_of(maker, given[2], given[0], given[1])],
        }
        refused_key(register, message, client=client, key=key)
    refused_key(
        register, "not verified", client=client, key=SecurityKey(origin), verification="required"
    )
    for response in ("{}", "[]", "nonsense", '{"id":"AA","rawId":"AA","type":"public-key"}'):
        begun = client.begin_security_key_registration(DeviceName="bad")
        refused_key(
            client.finish_security_key_registration, "malformed",
            Ceremony=begun["Ceremony"], Response=response,
        )
    assert serials(world.iam, user) == []


def test_a_ceremony_is_good_once_whatever_came_of_it(user, keys, origin):
    client, key = keys(user), SecurityKey(origin)
    begun = client.begin_security_key_registration(DeviceName="once")
    response = key.create(begun["CreationOptions"])
    finish = client.finish_security_key_registration
    finish(Ceremony=begun["Ceremony"], Response=response)
    expect(finish, "CeremonyNotFound", NO_CEREMONY, Ceremony=begun["Ceremony"], Response=response)

    begun = client.begin_security_key_session()
    signed = key.get(begun["RequestOptions"])
    finish = client.finish_security_key_session
    finish(Ceremony=begun["Ceremony"], Response=signed)
    expect(finish, "CeremonyNotFound", Ceremony=begun["Ceremony"], Response=signed)
    # What answered one challenge answers no other.
    other = client.begin_security_key_session()
    refused_key(finish, "another challenge", Ceremony=other["Ceremony"], Response=signed)
    # A wrong answer is an end, too.
    right = key.get(other["RequestOptions"])
    expect(finish, "CeremonyNotFound", Ceremony=other["Ceremony"], Response=right)
    expect(finish, "CeremonyNotFound", Ceremony="A" * 32, Response=right)


def test_a_ceremony_is_its_beginners_and_for_its_purpose(world, user, keys, origin):
    other = world.user(allow(ENABLE))
    ours, theirs = keys(user), keys(other)
    key, foreign = SecurityKey(origin), SecurityKey(origin)
    begun = ours.begin_security_key_registration(DeviceName="ours")
    response = key.create(begun["CreationOptions"])
    whose = {"Ceremony": begun["Ceremony"], "Response": response}
    expect(theirs.finish_security_key_registration, "CeremonyNotFound", **whose)
    expect(
        ours.finish_security_key_registration, "CeremonyNotFound", **whose, UserName=other.name
    )
    expect(ours.finish_security_key_session, "CeremonyNotFound", **whose)
    # None of these has ended it.
    ours.finish_security_key_registration(**whose)

    register(theirs, foreign)
    begun = ours.begin_security_key_session()
    signed = key.get(begun["RequestOptions"])
    expect(
        theirs.finish_security_key_session, "CeremonyNotFound",
        Ceremony=begun["Ceremony"], Response=signed,
    )
    expect(
        ours.finish_security_key_registration, "CeremonyNotFound",
        Ceremony=begun["Ceremony"], Response=signed,
    )
    ours.finish_security_key_session(Ceremony=begun["Ceremony"], Response=signed)


def test_a_key_signs_in_its_own_user_alone(world, user, keys, origin):
    other = world.user(allow(ENABLE))
    key, foreign = SecurityKey(origin), SecurityKey(origin)
    client = keys(user)
    register(client, key)
    register(keys(other), foreign)
    refused_key(sign_in, "another credential", client=client, key=foreign)
    posing = {"credential_id": key.credential_id, "handle": key.handle}
    refused_key(sign_in, "signature is not valid", client=client, key=foreign, lies=posing)
    refused_key(sign_in, "another user", client=client, key=key, lies={"handle": foreign.handle})
    sign_in(client, key, {"handle": None})
    # Nor is it registered twice in an account.
    expect(register, "EntityAlreadyExists", "already registered", client=keys(other), key=key)
    expect(register, "EntityAlreadyExists", client=client, key=key)


def test_a_counter_that_goes_back_is_refused_and_warned_of(server, user, keys, origin):
    client, key = keys(user), SecurityKey(origin, counter=5)
    serial = register(client, key)
    sign_in(client, key, {"counter": 9})
    for back in (9, 8, 5, 0):
        refused_key(sign_in, "counter did not go up", client=client, key=key, lies={"counter": back})
    assert serial in server.stderr and "there may be a copy" in server.stderr
    sign_in(client, key, {"counter": 10})
    # Passkeys do not count.
    passkey = SecurityKey(origin, counter=0, flags=PASSKEY)
    register(client, passkey)
    for _ in range(2):
        sign_in(client, passkey)
    # What was a key of one device does not become one of many.
    flags = {"flags": PRESENT | ELIGIBLE, "counter": 11}
    refused_key(sign_in, "inconsistent", client=client, key=key, lies=flags)


def test_a_key_that_was_to_verify_its_user_must_go_on_to(user, keys, origin):
    client = keys(user)
    key = SecurityKey(origin, flags=PRESENT | VERIFIED)
    register(client, key, verification="required")
    begun = client.begin_security_key_session()
    assert json.loads(begun["RequestOptions"])["userVerification"] == "required"
    refused_key(sign_in, "not verified", client=client, key=key, lies={"flags": PRESENT})
    sign_in(client, key)


def test_a_key_that_is_deactivated_ends_its_ceremonies(world, user, keys, origin):
    client, key, other = keys(user), SecurityKey(origin), SecurityKey(origin)
    serial = register(client, key)
    register(client, other)
    begun = client.begin_security_key_session()
    world.iam.deactivate_mfa_device(UserName=user.name, SerialNumber=serial)
    refused_key(
        client.finish_security_key_session, "another credential",
        Ceremony=begun["Ceremony"], Response=key.get(begun["RequestOptions"]),
    )
    sign_in(client, other)


def test_a_key_stays_its_users_under_another_name(world, user, keys, origin):
    key, new = SecurityKey(origin), unique("renamed")
    serial = register(keys(user), key)
    begun = keys(user).begin_security_key_session()
    world.iam.update_user(UserName=user.name, NewUserName=new, NewPath="/moved/")
    answer = keys(user).finish_security_key_session(
        Ceremony=begun["Ceremony"], Response=key.get(begun["RequestOptions"])
    )
    # An ARN is given once: a device keeps its own.
    assert answer["SerialNumber"] == serial
    assert user.session_from(answer["Credentials"]).arn == world.arn(f"user/moved/{new}")
    world.iam.deactivate_mfa_device(UserName=new, SerialNumber=serial)
    expect(keys(user).begin_security_key_session, "NoSuchEntity")


def test_a_user_made_anew_has_none_of_the_olds(world, keys, origin):
    name, key = unique("anew"), SecurityKey(origin)
    admin = keys(world.root)
    world.iam.create_user(UserName=name)
    serial = register(admin, key, UserName=name)
    expect(world.iam.delete_user, "DeleteConflict", "delete MFA device", UserName=name)
    begun = admin.begin_security_key_registration(DeviceName="late", UserName=name)
    world.iam.deactivate_mfa_device(UserName=name, SerialNumber=serial)
    world.iam.delete_user(UserName=name)
    response = SecurityKey(origin).create(begun["CreationOptions"])
    late = {"Ceremony": begun["Ceremony"], "Response": response, "UserName": name}
    expect(admin.finish_security_key_registration, "NoSuchEntity", **late)
    world.iam.create_user(UserName=name)
    expect(admin.finish_security_key_registration, "CeremonyNotFound", **late)
    assert world.iam.list_mfa_devices(UserName=name)["MFADevices"] == []
    # The key is free again.
    register(admin, key, UserName=name)


def test_a_user_has_eight_devices_of_all_kinds(world, user, keys, origin):
    client = keys(user)
    made = world.iam.create_virtual_mfa_device(VirtualMFADeviceName=unique("mfa"))
    phone = Phone.of(made["VirtualMFADevice"])
    world.iam.enable_mfa_device(UserName=user.name, SerialNumber=phone.serial, **phone.pair())
    begun = client.begin_security_key_registration(DeviceName="waits")
    for _ in range(7):
        register(client, SecurityKey(origin))
    assert len(serials(world.iam, user)) == 8
    full = "Cannot exceed quota for MFADevicesPerUser: 8"
    expect(client.begin_security_key_registration, "LimitExceeded", full, DeviceName="ninth")
    response = SecurityKey(origin).create(begun["CreationOptions"])
    expect(
        client.finish_security_key_registration, "LimitExceeded", full,
        Ceremony=begun["Ceremony"], Response=response,
    )
    assert len(serials(world.iam, user)) == 8


def test_the_other_operations_of_mfa_know_that_a_key_shows_no_codes(world, user, keys, origin):
    serial = register(keys(user), SecurityKey(origin))
    codes = {"AuthenticationCode1": "123456", "AuthenticationCode2": "654321"}
    named = {"UserName": user.name, "SerialNumber": serial}
    expect(world.iam.enable_mfa_device, "EntityAlreadyExists", **named, **codes)
    expect(world.iam.resync_mfa_device, "InvalidAuthenticationCode", **named, **codes)
    expect(
        user.sts.get_session_token, "AccessDenied", "unable to validate MFA code",
        SerialNumber=serial, TokenCode="123456",
    )
    listed = world.iam.list_virtual_mfa_devices()["VirtualMFADevices"]
    assert serial not in [one["SerialNumber"] for one in listed]


SECURITY_KEY = "iam:RegisterSecurityKey"


@pytest.mark.parametrize(
    "statements, begins, ends",
    [
        ([allow(ENABLE)], None, None),
        ([], IDENTITY_SILENT, None),
        (
            [allow(ENABLE), deny(ENABLE, Condition={"StringEquals": {SECURITY_KEY: "Create"}})],
            IDENTITY_DENY, None,
        ),
        ([allow(ENABLE, Condition={"StringEquals": {SECURITY_KEY: "Create"}})], None, IDENTITY_SILENT),
        (
            [allow(ENABLE), deny(ENABLE, Condition={"StringEquals": {SECURITY_KEY: "Activate"}})],
            None, IDENTITY_DENY,
        ),
        # No key is certified here.
        (
            [
                allow(ENABLE, Condition={"StringEquals": {SECURITY_KEY: "Create"}}),
                allow(
                    ENABLE,
                    Condition={
                        "StringEquals": {SECURITY_KEY: "Activate", "iam:FIDO-certification": "L1"}
                    },
                ),
            ],
            None, IDENTITY_SILENT,
        ),
        (
            [allow(ENABLE), deny(ENABLE, Condition={"Null": {"iam:FIDO-certification": "true"}})],
            IDENTITY_DENY, None,
        ),
        ([allow(ENABLE, Condition={"Null": {SECURITY_KEY: "true"}})], IDENTITY_SILENT, None),
        ([allow(ENABLE, "arn:aws:iam::*:user/${aws:username}")], None, None),
        ([allow(ENABLE, "arn:aws:iam::*:user/somebody")], IDENTITY_SILENT, None),
    ],
)
def test_policies_know_both_calls_of_a_registration(statements, begins, ends, world, keys, origin):
    user = world.user(*statements)
    client = keys(user)

    def denied(call, reason, **parameters):
        assert_denied(refused_by(call, **parameters), user.arn, ENABLE, reason, user.arn)

    if begins:
        denied(client.begin_security_key_registration, begins, DeviceName="blue")
        return
    begun = client.begin_security_key_registration(DeviceName="blue")
    response = SecurityKey(origin).create(begun["CreationOptions"])
    end = {"Ceremony": begun["Ceremony"], "Response": response}
    if ends:
        denied(client.finish_security_key_registration, ends, **end)
    else:
        client.finish_security_key_registration(**end)


def test_who_may_not_hears_the_same_of_users_that_are_there_and_not(world, keys):
    user, there = world.user(), world.user()
    client = keys(user)
    for name in (there.name, "nobody"):
        refused = refused_by(
            client.begin_security_key_registration, DeviceName="blue", UserName=name
        )
        assert_denied(refused, user.arn, ENABLE, IDENTITY_SILENT, world.arn(f"user/{name}"))
        # Nor is a ceremony looked at before.
        refused = refused_by(
            client.finish_security_key_registration,
            Ceremony="A" * 32, Response="{}", UserName=name,
        )
        assert_denied(refused, user.arn, ENABLE, IDENTITY_SILENT, world.arn(f"user/{name}"))
    admin = keys(world.root)
    expect(
        admin.begin_security_key_registration, "NoSuchEntity", DeviceName="b", UserName="nobody"
    )


def test_root_has_keys_of_its_own(start_server, keys):
    server = start_server()
    world = World(server.root())
    client = keys(world.root)
    key = SecurityKey(f"http://localhost:{server.port}")
    serial = register(client, key, "safe")
    assert re.fullmatch(rf"arn:aws:iam::{world.account}:u2f/root/safe-[A-Z2-7]{{26}}", serial)
    assert world.iam.get_account_summary()["SummaryMap"]["AccountMFAEnabled"] == 1
    answer = sign_in(client, key)
    assert world.root.session_from(answer["Credentials"]).arn == world.account_principal
    expect(keys(world.user()).begin_security_key_session, "NoSuchEntity")
    world.iam.deactivate_mfa_device(UserName=world.account, SerialNumber=serial)
    expect(client.begin_security_key_session, "NoSuchEntity")
    server.stop()


def test_sessions_sign_in_with_no_key(world, user, keys, origin):
    key = SecurityKey(origin)
    register(keys(user), key)
    sessions = [
        user.session_from(sign_in(keys(user), key)["Credentials"]),
        world.user(allow("sts:AssumeRole")).assume(world.role()),
    ]
    for session in sessions:
        expect(
            keys(session).begin_security_key_session, "AccessDenied",
            "Cannot call BeginSecurityKeySession with session credentials",
        )
        expect(
            keys(session).finish_security_key_session, "AccessDenied",
            "Cannot call FinishSecurityKeySession with session credentials",
            Ceremony="A" * 32, Response="{}",
        )


def test_a_session_lasts_as_long_as_asked_and_opens_a_role_that_wants_mfa(
    world, user, keys, origin
):
    key = SecurityKey(origin)
    client = keys(user)
    register(client, key)
    answer = sign_in(client, key, DurationSeconds=900)
    left = answer["Credentials"]["Expiration"].timestamp() - time.time()
    assert 880 < left <= 900
    expect(
        client.finish_security_key_session, "Validation",
        Ceremony="A" * 16 + "!", Response="{}",
    )
    fresh = {"NumericLessThan": {"aws:MultiFactorAuthAge": "300"}}
    role = world.role(
        trusted=[
            {
                "Effect": "Allow", "Principal": {"AWS": user.arn}, "Action": "sts:AssumeRole",
                "Condition": fresh,
            }
        ]
    )
    session = user.session_from(answer["Credentials"])
    assert session.assume(role).account == world.account
    expect(user.sts.assume_role, "AccessDenied", RoleArn=role, RoleSessionName="late")


def test_a_ceremony_is_over_after_five_minutes(dev, keys):
    world = World(dev.principal("test", "test"))
    user = world.user(allow(ENABLE))
    client, key = keys(user), SecurityKey(f"http://localhost:{dev.port}")

    def advance(seconds):
        status, _, body = dev.post_json("/_ringfence/clock", {"advance_seconds": seconds})
        assert status == 200, body

    register(client, key)
    for seconds, over in ((290, False), (301, True)):
        registration = client.begin_security_key_registration(DeviceName="late")
        session = client.begin_security_key_session()
        advance(seconds)
        new = SecurityKey(key.origin)
        for finish, begun, response in (
            (
                client.finish_security_key_registration, registration,
                new.create(registration["CreationOptions"]),
            ),
            (client.finish_security_key_session, session, key.get(session["RequestOptions"])),
        ):
            end = {"Ceremony": begun["Ceremony"], "Response": response}
            if over:
                expect(finish, "CeremonyNotFound", **end)
            else:
                finish(**end)


def test_a_key_and_its_counter_survive_a_crash(start_server, keys):
    server = start_server()
    world = World(server.root())
    user = world.user(allow(ENABLE), allow("iam:ListUsers", Condition=MFA))
    client, key = keys(user), SecurityKey(f"http://localhost:{server.port}", counter=1)
    serial = register(client, key)
    begun = client.begin_security_key_session()
    server.kill()
    server.start()
    assert serials(world.iam, user) == [serial]
    # So does what was begun, and is used once.
    end = {"Ceremony": begun["Ceremony"], "Response": key.get(begun["RequestOptions"])}
    client.finish_security_key_session(**end)
    expect(client.finish_security_key_session, "CeremonyNotFound", **end)
    session = user.session_from(sign_in(client, key, {"counter": 7})["Credentials"])
    server.kill()
    server.start()
    session.iam.list_users()
    refused_key(sign_in, "counter did not go up", client=client, key=key, lies={"counter": 7})
    sign_in(client, key, {"counter": 8})
    world.iam.deactivate_mfa_device(UserName=user.name, SerialNumber=serial)
    server.kill()
    server.start()
    assert serials(world.iam, user) == []
    expect(client.begin_security_key_session, "NoSuchEntity")
    server.stop()


def test_events_tell_who_did_what_and_nothing_that_signs_in(server, user, keys, origin):
    client, key = keys(user), SecurityKey(origin)
    name = unique("audited")
    begun = client.begin_security_key_registration(DeviceName=name)
    response = key.create(begun["CreationOptions"])
    client.finish_security_key_registration(Ceremony=begun["Ceremony"], Response=response)
    opened = client.begin_security_key_session()
    signed = key.get(opened["RequestOptions"])
    answer = client.finish_security_key_session(Ceremony=opened["Ceremony"], Response=signed)
    request = answer["ResponseMetadata"]["RequestId"]
    ended = server.audit_event(lambda event: event["requestID"] == request)
    assert (ended["eventSource"], ended["eventName"]) == (
        "ringfence.amazonaws.com", "FinishSecurityKeySession"
    )
    assert ended["userIdentity"]["userName"] == user.name
    ended = server.audit_event(
        lambda event: event["eventName"] == "FinishSecurityKeyRegistration"
        and event["userIdentity"].get("userName") == user.name
    )
    assert name in ended["responseElements"]["serialNumber"]
    assert ended["additionalEventData"]["decisions"][0]["action"] == ENABLE
    log = json.dumps(server.audit_events())
    credentials = answer["Credentials"]
    for secret in (
        credentials["SecretAccessKey"], credentials["SessionToken"],
        json.loads(signed)["response"]["signature"],
        json.loads(opened["RequestOptions"])["challenge"],
        json.loads(begun["CreationOptions"])["challenge"],
    ):
        assert secret not in log


def test_origins_and_domain_are_those_that_the_server_is_told(start_server, keys, ringfence):
    login = "https://login.example.com"
    server = start_server(
        "--webauthn-origin", login, "--webauthn-origin", "https://example.com:8443",
        "--webauthn-domain", "example.com",
    )
    world = World(server.root())
    user = world.user(allow(ENABLE))
    client = keys(user)
    key = SecurityKey(login)
    begun = client.begin_security_key_registration(DeviceName="blue")
    assert json.loads(begun["CreationOptions"])["rp"]["id"] == "example.com"
    register(client, key)
    sign_in(client, key)
    sign_in(client, key, {"origin": "https://example.com:8443"})
    for origin in ("https://example.com", f"http://localhost:{server.port}"):
        refused_key(sign_in, "another origin", client=client, key=key, lies={"origin": origin})
    server.stop()
    for wrong in (
        ["--webauthn-origin", "http://example.com"],
        ["--webauthn-origin", "https://127.0.0.1"],
        ["--webauthn-origin", login, "--webauthn-domain", "example.org"],
        ["--webauthn-domain", "example.org"],
    ):
        done = ringfence("serve", "--dev", "--listen", "127.0.0.1:0", *wrong, check=False)
        assert done.returncode != 0 and "webauthn" in done.stderr, done.stderr


def test_the_aws_command_registers_and_signs_in(server, aws_command, tmp_path, origin):
    def aws(principal, *args):
        done = subprocess.run(
            [aws_command, *args, "--output", "json"],
            env={
                "PATH": "/usr/bin:/bin", "HOME": str(tmp_path), "AWS_DATA_PATH": str(MODELS),
                **principal.environment(),
            },
            capture_output=True, text=True, timeout=60,
        )
        assert done.returncode == 0, done.stderr
        return json.loads(done.stdout)

    world = World(server.root())
    user = world.user(allow(ENABLE), allow("iam:ListUsers", Condition=MFA))
    key = SecurityKey(origin)
    begun = aws(
        user, "ringfence", "begin-security-key-registration", "--device-name", "blue"
    )
    response = tmp_path / "response.json"
    response.write_text(key.create(begun["CreationOptions"]))
    made = aws(
        user, "ringfence", "finish-security-key-registration",
        "--ceremony", begun["Ceremony"], "--response", f"file://{response}",
    )
    assert made["UserName"] == user.name
    begun = aws(user, "ringfence", "begin-security-key-session")
    response.write_text(key.get(begun["RequestOptions"]))
    answer = aws(
        user, "ringfence", "finish-security-key-session",
        "--ceremony", begun["Ceremony"], "--response", f"file://{response}",
    )
    session = user.session_from(answer["Credentials"])
    assert aws(session, "iam", "list-users")["Users"]
    listed = aws(world.root, "iam", "list-mfa-devices", "--user-name", user.name)["MFADevices"]
    assert [one["SerialNumber"] for one in listed] == [made["SerialNumber"]]


def test_sessions_that_iam_does_not_take_register_no_key(world, keys):
    user = world.user(allow(["iam:*", "sts:*"]))
    made = user.sts.get_federation_token(Name="guest", Policy=policy(allow("iam:*")))
    sessions = [
        user.session_from(made["Credentials"]),
        user.session_from(user.sts.get_session_token()["Credentials"]),
        world.root.session_from(world.root.sts.get_session_token()["Credentials"]),
    ]
    for session in sessions:
        for named in ({}, {"UserName": user.name}):
            refused = refusal(
                keys(session).begin_security_key_registration, DeviceName=unique("key"), **named
            )
            assert refused.code == "UnrecognizedClientException", str(refused)
    assert world.iam.list_mfa_devices(UserName=user.name)["MFADevices"] == []
