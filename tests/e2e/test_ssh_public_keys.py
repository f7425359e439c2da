"""SSH public keys of users."""

import re

import pytest

from certificates import private_key, ssh_key
from clients import IDENTITY_SILENT, assert_denied, refusal
from world import allow, unique

LINE, PEM, FINGERPRINT = ssh_key()
MISSING = "APKAXXXXXXXXXXXXXXXX"


@pytest.fixture
def user(world):
    name = unique("user")
    world.iam.create_user(UserName=name)
    return name


@pytest.fixture
def iam(root):
    return root.iam


def upload(iam, user, body=LINE):
    answer = iam.upload_ssh_public_key(UserName=user, SSHPublicKeyBody=body)
    return answer["SSHPublicKey"]


def get(iam, user, key, encoding="SSH"):
    answer = iam.get_ssh_public_key(UserName=user, SSHPublicKeyId=key, Encoding=encoding)
    return answer["SSHPublicKey"]


def test_a_key_is_uploaded_read_in_both_forms_switched_and_deleted(iam, user):
    key = upload(iam, user)
    assert key.keys() == {
        "UserName", "SSHPublicKeyId", "Fingerprint", "SSHPublicKeyBody", "Status", "UploadDate",
    }
    assert re.fullmatch("APKA[A-Z2-7]{16}", key["SSHPublicKeyId"])
    assert (key["UserName"], key["Status"], key["Fingerprint"]) == (user, "Active", FINGERPRINT)
    assert key["SSHPublicKeyBody"] == LINE.strip()
    key_id = key["SSHPublicKeyId"]
    assert get(iam, user, key_id) == key
    pem = get(iam, user, key_id, "PEM")
    assert pem["SSHPublicKeyBody"].strip() == PEM.strip()
    assert pem["Fingerprint"] == FINGERPRINT

    listed = iam.list_ssh_public_keys(UserName=user)
    assert listed["SSHPublicKeys"] == [
        {name: key[name] for name in ("UserName", "SSHPublicKeyId", "Status", "UploadDate")}
    ]
    assert listed["IsTruncated"] is False
    iam.update_ssh_public_key(UserName=user, SSHPublicKeyId=key_id, Status="Inactive")
    assert get(iam, user, key_id)["Status"] == "Inactive"
    iam.delete_ssh_public_key(UserName=user, SSHPublicKeyId=key_id)
    assert iam.list_ssh_public_keys(UserName=user)["SSHPublicKeys"] == []


def test_a_key_in_pem_is_read_as_a_line(iam, user):
    key = upload(iam, user, PEM)
    assert key["Fingerprint"] == FINGERPRINT
    line = get(iam, user, key["SSHPublicKeyId"])["SSHPublicKeyBody"]
    assert line == " ".join(LINE.split()[:2])


SHORT = ssh_key(1024)[0]
REFUSED = {
    "short": (SHORT, "InvalidPublicKey"),
    "broken": (LINE.replace("AAAA", "AAAB", 1), "InvalidPublicKey"),
    "cut": (LINE.split()[0] + " " + LINE.split()[1][:-40], "InvalidPublicKey"),
    "two": (LINE + LINE, "InvalidPublicKey"),
    "an_elliptic_curve": (ssh_key(kind="ed25519")[0], "UnrecognizedPublicKeyEncoding"),
    "no_key": ("nonsense", "UnrecognizedPublicKeyEncoding"),
    "a_private_key": (private_key(), "InvalidPublicKey"),
}


@pytest.mark.parametrize("body,code", REFUSED.values(), ids=REFUSED)
def test_what_is_no_rsa_key_of_2048_bits_is_refused(body, code, iam, user):
    refused = refusal(iam.upload_ssh_public_key, UserName=user, SSHPublicKeyBody=body)
    assert (refused.code, refused.status) == (code, 400)


def test_a_key_is_had_once_by_a_user_in_whichever_form(iam, user, world):
    upload(iam, user)
    for body in (LINE, PEM, LINE.replace("ann@example.com", "other")):
        refused = refusal(iam.upload_ssh_public_key, UserName=user, SSHPublicKeyBody=body)
        assert (refused.code, refused.status) == ("DuplicateSSHPublicKey", 400)
    upload(iam, world.user().name)


def test_five_keys_are_the_most_and_pages_hold_each_once(iam, user):
    ids = {upload(iam, user, ssh_key()[0])["SSHPublicKeyId"] for _ in range(5)}
    refused = refusal(iam.upload_ssh_public_key, UserName=user, SSHPublicKeyBody=LINE)
    assert (refused.code, refused.status) == ("LimitExceeded", 409)
    assert refused.message == "Cannot exceed quota for SSHPublicKeysPerUser: 5"
    pages = iam.get_paginator("list_ssh_public_keys").paginate(
        UserName=user, PaginationConfig={"PageSize": 2}
    )
    found = [[key["SSHPublicKeyId"] for key in page["SSHPublicKeys"]] for page in pages]
    assert [len(page) for page in found] == [2, 2, 1]
    assert {key for page in found for key in page} == ids


def test_missing_keys_and_users_are_named(iam, user):
    calls = {
        "get_ssh_public_key": {"Encoding": "SSH"},
        "update_ssh_public_key": {"Status": "Inactive"},
        "delete_ssh_public_key": {},
    }
    other = upload(iam, user)["SSHPublicKeyId"]
    for method, more in calls.items():
        call = getattr(iam, method)
        refused = refusal(call, UserName=user, SSHPublicKeyId=MISSING, **more)
        assert (refused.code, refused.status) == ("NoSuchEntity", 404)
        assert refused.message == f"The Public Key with id {MISSING} cannot be found."
        refused = refusal(call, UserName="nobody", SSHPublicKeyId=other, **more)
        assert refused.message == "The user with name nobody cannot be found."
    for call in (iam.upload_ssh_public_key, iam.list_ssh_public_keys):
        more = {"SSHPublicKeyBody": LINE} if call == iam.upload_ssh_public_key else {}
        assert refusal(call, UserName="nobody", **more).code == "NoSuchEntity"


def test_a_user_with_a_key_is_not_deleted(iam, user):
    key = upload(iam, user)["SSHPublicKeyId"]
    refused = refusal(iam.delete_user, UserName=user)
    assert (refused.code, refused.status) == ("DeleteConflict", 409)
    assert refused.message == "Cannot delete entity, must delete SSH public keys first."
    iam.delete_ssh_public_key(UserName=user, SSHPublicKeyId=key)
    iam.delete_user(UserName=user)


@pytest.mark.parametrize(
    "method,more",
    [
        ("upload_ssh_public_key", {"SSHPublicKeyBody": "nonsense"}),
        ("get_ssh_public_key", {"SSHPublicKeyId": MISSING, "Encoding": "SSH"}),
        ("list_ssh_public_keys", {}),
        ("update_ssh_public_key", {"SSHPublicKeyId": MISSING, "Status": "Inactive"}),
        ("delete_ssh_public_key", {"SSHPublicKeyId": MISSING}),
    ],
)
def test_who_may_not_hears_nothing_of_what_is_there(method, more, world, user):
    caller = world.user(allow("iam:GetUser"))
    action = "iam:" + "".join(
        {"ssh": "SSH"}.get(word, word.capitalize()) for word in method.split("_")
    )
    for name in (user, "nobody"):
        refused = refusal(getattr(caller.iam, method), UserName=name, **more)
        arn = world.arn(f"user/{name}")
        assert_denied(refused, caller.arn, action, IDENTITY_SILENT, arn)


def test_a_user_lists_its_own_keys_by_default_and_root_must_name_one(world):
    caller = world.user(allow("iam:ListSSHPublicKeys", world.arn("user/*")))
    key = upload(world.iam, caller.name)["SSHPublicKeyId"]
    assert [key["SSHPublicKeyId"] for key in caller.iam.list_ssh_public_keys()["SSHPublicKeys"]] == [key]
    refused = refusal(world.iam.list_ssh_public_keys)
    assert (refused.code, refused.status) == ("ValidationError", 400)


def test_a_key_survives_a_crash(start_server):
    server = start_server()
    iam = server.root().iam
    iam.create_user(UserName="ann")
    key = upload(iam, "ann")
    server.kill()
    server.start()
    assert get(iam, "ann", key["SSHPublicKeyId"]) == key
