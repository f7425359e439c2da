"""MFA devices: made, enabled, shown to STS, and what policies make of it.

Texts marked [rec] are recordings of AWS's answers that LocalStack keeps in
tests/aws/services/iam/test_iam_mfa.snapshot.json; the others are as AWS's users report them. Whatever
needs time runs against a --dev server, whose clock the tests move.
"""

import base64
import json
import re
import struct
import subprocess
import time
import zlib
from datetime import datetime

import pytest

from clients import (
    IDENTITY_DENY,
    IDENTITY_SILENT,
    TRUST_SILENT,
    assert_denied,
    refusal,
)
from totp import STEP, Phone
from world import World, allow, deny, policy, tags, trust, unique

WRONG_CODES = "Authentication code for device is not valid."
WRONG_CODE = "MultiFactorAuthentication failed with invalid MFA one time pass code. "
NO_DEVICE = (
    "MultiFactorAuthentication failed, unable to validate MFA code.  Please verify your MFA serial "
    "number is valid and associated with this user."
)
IN_USE = "MFA Device is already in use."  # [rec]
MUST_DEACTIVATE = "MFA VirtualDevice in use. Must deactivate first."
MFA = {"Bool": {"aws:MultiFactorAuthPresent": "true"}}
NO_MFA = {"BoolIfExists": {"aws:MultiFactorAuthPresent": "false"}}


def missing(serial):
    return f"MFA Device with serial number {serial} does not exist."  # [rec]


def expect(call, code, status, message=None, **parameters):
    refused = refusal(call, **parameters)
    assert (refused.code, refused.status) == (code, status), str(refused)
    if message is not None:
        assert refused.message == message
    return refused


def denied_code(call, message=WRONG_CODE, **parameters):
    return expect(call, "AccessDenied", 403, message, **parameters)


class Moving:
    """A --dev server, its root user's world, and its clock."""

    def __init__(self, server):
        self.server = server
        self.world = World(server.principal("test", "test"))
        self.iam = self.world.iam

    def advance(self, seconds):
        """Moves the clock on; what it shows then."""
        status, _, body = self.server.post_json("/_ringfence/clock", {"advance_seconds": seconds})
        assert status == 200, body
        return datetime.fromisoformat(json.loads(body)["now"].replace("Z", "+00:00")).timestamp()

    def now(self):
        return self.advance(0)

    def phone(self, **parameters):
        made = self.iam.create_virtual_mfa_device(
            VirtualMFADeviceName=unique("mfa"), **parameters
        )
        return Phone.of(made["VirtualMFADevice"], self.now)

    def enable(self, user, phone=None, first=-1):
        phone = phone or self.phone()
        self.iam.enable_mfa_device(
            UserName=user.name, SerialNumber=phone.serial, **phone.pair(first)
        )
        return phone

    def step(self):
        """Moves to the beginning of the next step: codes then stay what they are for a while."""
        self.advance(STEP - int(self.now()) % STEP)


@pytest.fixture(scope="module")
def moving(dev):
    return Moving(dev)


@pytest.fixture(autouse=True)
def whole_step(request):
    if "moving" in request.fixturenames:
        request.getfixturevalue("moving").step()


def serials(listed, key="MFADevices"):
    return [device["SerialNumber"] for device in listed[key]]


def session_with(user, phone, steps=0, **parameters):
    answer = user.sts.get_session_token(**phone.token(steps), **parameters)
    return user.session_from(answer["Credentials"])


# --- virtual devices -------------------------------------------------------------------------


def test_a_virtual_device_is_made_with_seed_and_image_and_shows_them_once(root, world):
    name = unique("mfa")
    made = root.iam.create_virtual_mfa_device(VirtualMFADeviceName=name)["VirtualMFADevice"]
    # No more than this [rec].
    assert set(made) == {"SerialNumber", "Base32StringSeed", "QRCodePNG"}
    assert made["SerialNumber"] == world.arn(f"mfa/{name}")
    assert re.fullmatch(rb"[A-Z2-7]{64}", made["Base32StringSeed"])
    image = made["QRCodePNG"]
    assert image[:8] == b"\x89PNG\r\n\x1a\n"
    width, height, depth, colour = struct.unpack(">IIBB", image[16:26])
    assert width == height > 150 and (depth, colour) == (1, 0)
    data = image[image.index(b"IDAT") + 4 :]
    assert len(zlib.decompressobj().decompress(data)) == height * (1 + (width + 7) // 8)
    other = root.iam.create_virtual_mfa_device(VirtualMFADeviceName=unique("mfa"))
    assert other["VirtualMFADevice"]["Base32StringSeed"] != made["Base32StringSeed"]
    for page in root.iam.get_paginator("list_virtual_mfa_devices").paginate():
        for device in page["VirtualMFADevices"]:
            assert set(device) <= {"SerialNumber", "User", "EnableDate"}


@pytest.mark.parametrize("path", ["/", "/test-path/", "/test//double/"])
def test_a_virtual_device_has_a_path(path, root, world):
    name = unique("mfa")
    made = root.iam.create_virtual_mfa_device(VirtualMFADeviceName=name, Path=path)
    serial = made["VirtualMFADevice"]["SerialNumber"]
    assert serial == world.arn(f"mfa{path}{name}")  # [rec]
    assert serial in serials(root.iam.list_virtual_mfa_devices(MaxItems=1000), "VirtualMFADevices")
    expect(
        root.iam.create_virtual_mfa_device, "EntityAlreadyExists", 409,
        "MFA device already exists.",  # [rec]
        VirtualMFADeviceName=name, Path=path,
    )
    # Another spelling of path or name is another serial number.
    for other in (f"mfa/other/{name}", f"mfa{path}{name.upper()}"):
        arn = world.arn(other)
        expect(root.iam.delete_virtual_mfa_device, "NoSuchEntity", 404, missing(arn), SerialNumber=arn)
    root.iam.delete_virtual_mfa_device(SerialNumber=serial)
    assert serial not in serials(root.iam.list_virtual_mfa_devices(), "VirtualMFADevices")


def test_a_serial_number_has_at_most_256_characters(root, world):
    longest = "n" * (256 - len(world.arn("mfa/")))
    root.iam.create_virtual_mfa_device(VirtualMFADeviceName=longest)
    root.iam.delete_virtual_mfa_device(SerialNumber=world.arn(f"mfa/{longest}"))
    for name, path in ((longest + "n", "/"), (longest, "/a/")):
        expect(
            root.iam.create_virtual_mfa_device, "ValidationError", 400,
            VirtualMFADeviceName=name, Path=path,
        )
    for name in ("a b", "a/b", "ä", ""):
        expect(
            root.iam_unchecked.create_virtual_mfa_device, "ValidationError", 400,
            VirtualMFADeviceName=name,
        )


def test_pages_hold_each_device_once_and_status_narrows_them(moving):
    user = moving.world.user()
    mine = [moving.phone() for _ in range(3)]
    moving.enable(user, mine[0])

    def listed(**parameters):
        pages = moving.iam.get_paginator("list_virtual_mfa_devices").paginate(
            PaginationConfig={"PageSize": 1}, **parameters
        )
        return [serial for page in pages for serial in serials(page, "VirtualMFADevices")]

    everything = listed()
    assert len(set(everything)) == len(everything) and everything == listed(AssignmentStatus="Any")
    assigned, unassigned = (listed(AssignmentStatus=s) for s in ("Assigned", "Unassigned"))
    assert sorted(assigned + unassigned) == sorted(everything)
    assert mine[0].serial in assigned and {p.serial for p in mine[1:]} <= set(unassigned)
    page = moving.iam.list_virtual_mfa_devices(MaxItems=1)
    expect(
        moving.iam.list_virtual_mfa_devices, "ValidationError", 400, "Invalid Marker.",  # [rec]
        Marker=page["Marker"], AssignmentStatus="Unassigned",
    )
    expect(
        moving.world.root.iam_unchecked.list_virtual_mfa_devices, "ValidationError", 400,
        AssignmentStatus="Lost",
    )


def test_a_device_has_tags(root, world):
    name = unique("mfa")
    made = root.iam.create_virtual_mfa_device(VirtualMFADeviceName=name, Tags=tags(b="2", a="1"))
    serial = made["VirtualMFADevice"]["SerialNumber"]
    assert made["VirtualMFADevice"]["Tags"] == tags(b="2", a="1")
    root.iam.tag_mfa_device(SerialNumber=serial, Tags=tags(a="3", c="4"))
    root.iam.untag_mfa_device(SerialNumber=serial, TagKeys=["b", "none"])
    listed = root.iam.list_mfa_device_tags(SerialNumber=serial)
    assert (listed["Tags"], listed["IsTruncated"]) == (tags(a="3", c="4"), False)
    page = root.iam.list_mfa_device_tags(SerialNumber=serial, MaxItems=1)
    assert (page["Tags"], page["IsTruncated"]) == (tags(a="3"), True)
    page = root.iam.list_mfa_device_tags(SerialNumber=serial, Marker=page["Marker"])
    assert page["Tags"] == tags(c="4")
    expect(
        root.iam.tag_mfa_device, "InvalidInput", 400,
        SerialNumber=serial, Tags=[{"Key": "aws:x", "Value": "1"}],
    )
    many = [{"Key": f"k{n}", "Value": ""} for n in range(49)]
    expect(root.iam.tag_mfa_device, "LimitExceeded", 409, SerialNumber=serial, Tags=many)
    # Case matters in the keys of a device's tags.
    root.iam.tag_mfa_device(SerialNumber=serial, Tags=tags(A="5"))
    assert len(root.iam.list_mfa_device_tags(SerialNumber=serial)["Tags"]) == 3


def test_what_is_not_there_cannot_be_found(root, world):
    user = world.user().name
    for serial in (world.arn("mfa/none-such"), "arn:aws:iam::999999999999:mfa/x", "GAHT12345678"):
        by_serial = {"SerialNumber": serial}
        codes = {"AuthenticationCode1": "123456", "AuthenticationCode2": "654321"}
        for call, parameters in (
            (root.iam.delete_virtual_mfa_device, {}),
            (root.iam.tag_mfa_device, {"Tags": tags(a="1")}),
            (root.iam.untag_mfa_device, {"TagKeys": ["a"]}),
            (root.iam.list_mfa_device_tags, {}),
            (root.iam.enable_mfa_device, {"UserName": user, **codes}),
            (root.iam.resync_mfa_device, {"UserName": user, **codes}),
            (root.iam.deactivate_mfa_device, {"UserName": user}),
            (root.iam.get_mfa_device, {"UserName": user}),
        ):
            expect(call, "NoSuchEntity", 404, missing(serial), **by_serial, **parameters)
    nobody = "The user with name none-such cannot be found."  # [rec]
    for call, parameters in (
        (root.iam.enable_mfa_device, {**by_serial, **codes}),
        (root.iam.resync_mfa_device, {**by_serial, **codes}),
        (root.iam.deactivate_mfa_device, by_serial),
        (root.iam.get_mfa_device, by_serial),
        (root.iam.list_mfa_devices, {}),
    ):
        expect(call, "NoSuchEntity", 404, nobody, UserName="none-such", **parameters)


# --- enabling ----------------------------------------------------------------------------------


def test_a_device_is_enabled_listed_and_deactivated(moving):
    user = moving.world.user(allow("iam:*MFADevice*"))
    phone = moving.phone()
    assert moving.iam.list_mfa_devices(UserName=user.name)["MFADevices"] == []  # [rec]
    moving.enable(user, phone)
    listed = moving.iam.list_mfa_devices(UserName=user.name)
    (device,) = listed["MFADevices"]
    assert not listed["IsTruncated"] and set(device) == {"UserName", "SerialNumber", "EnableDate"}
    assert (device["UserName"], device["SerialNumber"]) == (user.name, phone.serial)
    assert abs(device["EnableDate"].timestamp() - moving.now()) < 20
    # The caller's own without a name.
    assert serials(user.iam.list_mfa_devices()) == [phone.serial]
    told = user.iam.get_mfa_device(SerialNumber=phone.serial)
    assert (told["UserName"], told["EnableDate"]) == (user.name, device["EnableDate"])
    (virtual,) = [
        one
        for one in moving.iam.list_virtual_mfa_devices(AssignmentStatus="Assigned", MaxItems=1000)[
            "VirtualMFADevices"
        ]
        if one["SerialNumber"] == phone.serial
    ]
    assert virtual["EnableDate"] == device["EnableDate"]
    shown = moving.iam.get_user(UserName=user.name)["User"]
    assert virtual["User"] == shown and virtual["User"]["Arn"] == user.arn  # [rec]

    # In use: neither enabled again, nor deleted, nor its user.
    moving.step()
    for name in (user.name, moving.world.user().name):
        expect(
            moving.iam.enable_mfa_device, "EntityAlreadyExists", 409, IN_USE,
            UserName=name, SerialNumber=phone.serial, **phone.pair(0),
        )
    expect(
        moving.iam.delete_virtual_mfa_device, "DeleteConflict", 409, MUST_DEACTIVATE,
        SerialNumber=phone.serial,
    )
    moving.iam.delete_access_key(UserName=user.name, AccessKeyId=user.access_key_id)
    moving.iam.delete_user_policy(UserName=user.name, PolicyName="inline")
    expect(
        moving.iam.delete_user, "DeleteConflict", 409,
        "Cannot delete entity, must delete MFA device first.", UserName=user.name,
    )
    # Of another user it is none.
    expect(
        moving.iam.deactivate_mfa_device, "NoSuchEntity", 404, missing(phone.serial),
        UserName=moving.world.user().name, SerialNumber=phone.serial,
    )
    moving.iam.deactivate_mfa_device(UserName=user.name, SerialNumber=phone.serial)
    assert moving.iam.list_mfa_devices(UserName=user.name)["MFADevices"] == []
    moving.iam.delete_virtual_mfa_device(SerialNumber=phone.serial)
    moving.iam.delete_user(UserName=user.name)


def test_two_codes_are_needed_in_a_row_in_order_and_unused(moving):
    user, phone = moving.world.user(), moving.phone()

    def refused(first, second):
        expect(
            moving.iam.enable_mfa_device, "InvalidAuthenticationCode", 403, WRONG_CODES,
            UserName=user.name, SerialNumber=phone.serial,
            AuthenticationCode1=first, AuthenticationCode2=second,
        )

    wrong = phone.wrong()
    for first, second in (
        (phone.code(0), phone.code(-1)),
        (phone.code(0), phone.code(0)),
        (phone.code(-2), phone.code(0)),
        (phone.code(-1), wrong),
        (wrong, phone.code(0)),
    ):
        refused(first, second)
    moving.enable(user, phone)
    # Codes that were used enable it no second time.
    moving.iam.deactivate_mfa_device(UserName=user.name, SerialNumber=phone.serial)
    refused(phone.code(-1), phone.code(0))
    refused(phone.code(0), phone.code(1))
    moving.advance(2 * STEP)
    moving.enable(user, phone)
    for codes in (("12345", "123456"), ("1234567", "123456"), ("abcdef", "123456")):
        refused_form = expect(
            moving.world.root.iam_unchecked.enable_mfa_device, "ValidationError", 400,
            UserName=user.name, SerialNumber=phone.serial,
            AuthenticationCode1=codes[0], AuthenticationCode2=codes[1],
        )
        assert "at 'authenticationCode1' failed" in refused_form.message
        assert codes[0] not in refused_form.message


def test_a_user_has_at_most_eight_devices(moving):
    user = moving.world.user()
    phones = [moving.enable(user) for _ in range(8)]
    ninth = moving.phone()
    refused = expect(
        moving.iam.enable_mfa_device, "LimitExceeded", 409,
        UserName=user.name, SerialNumber=ninth.serial, **ninth.pair(),
    )
    assert "8" in refused.message
    pages = moving.iam.get_paginator("list_mfa_devices").paginate(
        UserName=user.name, PaginationConfig={"PageSize": 3}
    )
    listed = [serial for page in pages for serial in serials(page)]
    assert sorted(listed) == sorted(phone.serial for phone in phones)
    # Each of them is as good as the others.
    moving.step()
    for phone in phones[:3]:
        session_with(user, phone)
    moving.iam.deactivate_mfa_device(UserName=user.name, SerialNumber=phones[0].serial)
    moving.enable(user, ninth)
    denied_code(user.sts.get_session_token, NO_DEVICE, **phones[0].token(1))


def test_a_device_follows_its_user_to_another_name(moving):
    user = moving.world.user()
    phone = moving.enable(user)
    name = unique("renamed")
    moving.iam.update_user(UserName=user.name, NewUserName=name, NewPath="/moved/")
    assert serials(moving.iam.list_mfa_devices(UserName=name)) == [phone.serial]
    moving.step()
    session = session_with(user, phone)
    assert session.arn.endswith(f":user/moved/{name}")


def test_the_account_summary_counts_devices(start_server):
    moving = Moving(start_server(dev=True))
    moving.step()

    def counts():
        summary = moving.iam.get_account_summary()["SummaryMap"]
        return tuple(summary[k] for k in ("MFADevices", "MFADevicesInUse", "AccountMFAEnabled"))

    assert counts() == (0, 0, 0)
    phone, own = moving.phone(), moving.phone()
    assert counts() == (2, 0, 0)
    moving.enable(moving.world.user(), phone)
    assert counts() == (2, 1, 0)
    account = moving.world.account
    moving.iam.enable_mfa_device(UserName=account, SerialNumber=own.serial, **own.pair())
    assert counts() == (2, 2, 1)
    moving.server.stop()


# --- codes shown to STS --------------------------------------------------------------------------


def test_a_code_is_good_once_for_a_step_either_way(moving):
    user = moving.world.user()
    phone = moving.enable(user)
    get = user.sts.get_session_token
    # Both codes that enabled it are used.
    for steps in (-1, 0):
        denied_code(get, **phone.token(steps))
    moving.advance(3 * STEP)
    denied_code(get, **phone.token(-2))
    denied_code(get, **phone.token(2))
    get(**phone.token(-1))
    denied_code(get, **phone.token(-1))
    get(**phone.token(1))
    # Older ones are no good any more, though they were not used.
    denied_code(get, **phone.token(0))
    moving.advance(2 * STEP)
    role = moving.world.role()
    moving.iam.put_user_policy(
        UserName=user.name, PolicyName="sts", PolicyDocument=policy(allow("sts:*"))
    )
    session = user.assume(role, **phone.token())
    assert session.identity
    denied_code(get, **phone.token())


def test_wrong_devices_and_codes_are_told_as_aws_tells_them(moving):
    user, other = moving.world.user(), moving.world.user()
    phone = moving.enable(user)
    moving.step()
    denied_code(user.sts.get_session_token, SerialNumber=phone.serial, TokenCode=phone.wrong())
    denied_code(other.sts.get_session_token, NO_DEVICE, **phone.token())
    unassigned = moving.phone()
    denied_code(user.sts.get_session_token, NO_DEVICE, **unassigned.token())
    for alone in ({"SerialNumber": phone.serial}, {"TokenCode": phone.code()}):
        refused = denied_code(user.sts.get_session_token, None, **alone)
        assert "must provide both" in refused.message
    # None of it used up the code.
    session_with(user, phone)


def test_guesses_must_wait(moving):
    user = moving.world.user()
    phone = moving.enable(user)
    moving.advance(2 * STEP)
    wrong = phone.wrong()
    for _ in range(5):
        denied_code(user.sts.get_session_token, SerialNumber=phone.serial, TokenCode=wrong)
    denied_code(user.sts.get_session_token, **phone.token())
    # Two codes in a row, by who may synchronise it, end the wait.
    moving.iam.resync_mfa_device(UserName=user.name, SerialNumber=phone.serial, **phone.pair())
    session_with(user, phone, 1)
    moving.advance(2 * STEP)
    for _ in range(5):
        denied_code(user.sts.get_session_token, SerialNumber=phone.serial, TokenCode=wrong)
    moving.advance(STEP + 1)
    session_with(user, phone)


def test_a_device_that_drifts_is_synchronised(moving):
    user = moving.world.user()
    phone = moving.enable(user)
    moving.advance(2 * STEP)
    # Its clock is now five minutes behind: too far to be believed.
    phone.clock = lambda: moving.now() - 300
    denied_code(user.sts.get_session_token, **phone.token())
    expect(
        moving.iam.resync_mfa_device, "InvalidAuthenticationCode", 403, WRONG_CODES,
        UserName=user.name, SerialNumber=phone.serial, **phone.pair(),
    )
    # Codes from before the last one used are used. Time must pass it.
    moving.advance(400)
    denied_code(user.sts.get_session_token, **phone.token())
    pair = phone.pair()
    swapped = {
        "AuthenticationCode1": pair["AuthenticationCode2"],
        "AuthenticationCode2": pair["AuthenticationCode1"],
    }
    expect(
        moving.iam.resync_mfa_device, "InvalidAuthenticationCode", 403, WRONG_CODES,
        UserName=user.name, SerialNumber=phone.serial, **swapped,
    )
    moving.iam.resync_mfa_device(UserName=user.name, SerialNumber=phone.serial, **pair)
    denied_code(user.sts.get_session_token, **phone.token())
    moving.step()
    session_with(user, phone)
    # Of an unassigned device, or another user's, there is nothing to synchronise.
    expect(
        moving.iam.resync_mfa_device, "NoSuchEntity", 404, missing(phone.serial),
        UserName=moving.world.user().name, SerialNumber=phone.serial, **phone.pair(1),
    )


def test_a_device_enabled_with_old_codes_is_out_of_step(moving):
    # "If you generate the codes and then wait too long to submit the request, the MFA device
    # successfully associates with the user but the MFA device becomes out of sync." API reference,
    # EnableMFADevice
    user = moving.world.user()
    phone = moving.enable(user, first=-20)
    denied_code(user.sts.get_session_token, **phone.token())
    moving.iam.resync_mfa_device(UserName=user.name, SerialNumber=phone.serial, **phone.pair())
    moving.step()
    session_with(user, phone)
    far = moving.phone()
    expect(
        moving.iam.enable_mfa_device, "InvalidAuthenticationCode", 403, WRONG_CODES,
        UserName=user.name, SerialNumber=far.serial, **far.pair(-130),
    )


# --- what policies make of it ----------------------------------------------------------------------


def test_who_has_shown_no_code_may_nothing_but_care_for_its_device(moving):
    """AWS's own example: "allows MFA-authenticated IAM users to manage their own credentials"."""
    own = moving.world.arn("user/${aws:username}")
    user = moving.world.user(
        allow(["iam:CreateVirtualMFADevice"], moving.world.arn("mfa/*")),
        allow(["iam:EnableMFADevice", "iam:ListMFADevices", "iam:GetUser"], own),
        allow(["iam:ListUsers", "iam:ListVirtualMFADevices"]),
        {
            "Effect": "Deny",
            "NotAction": [
                "iam:CreateVirtualMFADevice", "iam:EnableMFADevice", "iam:GetUser",
                "iam:ListMFADevices", "iam:ListVirtualMFADevices", "sts:GetSessionToken",
            ],
            "Resource": "*",
            "Condition": NO_MFA,
        },
    )
    assert_denied(refusal(user.iam.list_users), user.arn, "iam:ListUsers", IDENTITY_DENY)
    made = user.iam.create_virtual_mfa_device(VirtualMFADeviceName=user.name)
    phone = Phone.of(made["VirtualMFADevice"], moving.now)
    user.iam.enable_mfa_device(UserName=user.name, SerialNumber=phone.serial, **phone.pair())
    assert_denied(refusal(user.iam.list_users), user.arn, "iam:ListUsers", IDENTITY_DENY)
    moving.step()
    session = session_with(user, phone)
    assert session.iam.list_users()["Users"]
    # Without a code a session does not call IAM at all.
    bare = user.session_from(user.sts.get_session_token()["Credentials"])
    assert refusal(bare.iam.list_users).code == "InvalidClientTokenId"


def test_the_age_of_the_code_counts(moving):
    fresh = {"NumericLessThan": {"aws:MultiFactorAuthAge": "300"}}
    user = moving.world.user(allow("iam:ListUsers", Condition=fresh))
    phone = moving.enable(user)
    moving.step()
    session = session_with(user, phone)
    assert session.iam.list_users()["Users"]
    moving.advance(295)
    assert session.iam.list_users()["Users"]
    moving.advance(10)
    assert_denied(refusal(session.iam.list_users), user.arn, "iam:ListUsers", IDENTITY_SILENT)


def test_a_role_may_ask_for_a_code(moving):
    trusted = [trust(moving.world.account_principal, Condition=MFA)]
    role = moving.world.role(allow("iam:ListUsers"), trusted=trusted)
    user = moving.world.user(allow("sts:AssumeRole"))
    phone = moving.enable(user)
    moving.step()
    assert_denied(
        refusal(user.assume, role), user.arn, "sts:AssumeRole", TRUST_SILENT, role
    )
    denied_code(lambda: user.assume(role, SerialNumber=phone.serial, TokenCode=phone.wrong()))
    assert user.assume(role, **phone.token()).iam.list_users()["Users"]
    denied_code(lambda: user.assume(role, **phone.token()))
    # The session of a code that was shown before does as well, and no second code is needed.
    moving.step()
    session = session_with(user, phone)
    chained = session.assume(role)
    assert chained.iam.list_users()["Users"]
    # "The temporary credentials returned by AssumeRole do not include MFA information in the
    # context." IAM User Guide, "Secure API access with MFA"
    strict = moving.world.role(allow("iam:ListUsers", Condition=MFA), trusted=trusted)
    moving.step()
    session = user.assume(strict, **phone.token())
    assert_denied(
        refusal(session.iam.list_users), session.arn, "iam:ListUsers", IDENTITY_SILENT
    )


def test_a_role_may_ask_for_a_fresh_code(moving):
    fresh = {"NumericLessThan": {"aws:MultiFactorAuthAge": "60"}}
    role = moving.world.role(trusted=[trust(moving.world.account_principal, Condition=fresh)])
    user = moving.world.user(allow("sts:AssumeRole"))
    phone = moving.enable(user)
    moving.step()
    session = session_with(user, phone)
    session.assume(role)
    moving.advance(90)
    assert refusal(session.assume, role).code == "AccessDenied"
    session.assume(role, **phone.token())


def test_denials_come_before_anything_is_told(moving):
    """One statement too few, for what is there and what is not."""
    phone, user = moving.phone(Tags=tags(team="blue")), moving.world.user()
    enabled = moving.enable(user)
    codes = {"AuthenticationCode1": "123456", "AuthenticationCode2": "654321"}
    other = moving.world.user(allow("iam:*", moving.world.arn("group/*")))
    for serial in (phone.serial, moving.world.arn("mfa/none-such")):
        for action, method, parameters in (
            ("iam:DeleteVirtualMFADevice", "delete_virtual_mfa_device", {}),
            ("iam:TagMFADevice", "tag_mfa_device", {"Tags": tags(a="1")}),
            ("iam:UntagMFADevice", "untag_mfa_device", {"TagKeys": ["a"]}),
            ("iam:ListMFADeviceTags", "list_mfa_device_tags", {}),
        ):
            refused = refusal(getattr(other.iam, method), SerialNumber=serial, **parameters)
            assert_denied(refused, other.arn, action, IDENTITY_SILENT, serial)
    for name in (user.name, "none-such"):
        for serial in (enabled.serial, phone.serial, moving.world.arn("mfa/none-such")):
            for action, method, parameters in (
                ("iam:EnableMFADevice", "enable_mfa_device", codes),
                ("iam:ResyncMFADevice", "resync_mfa_device", codes),
                ("iam:DeactivateMFADevice", "deactivate_mfa_device", {}),
                ("iam:GetMFADevice", "get_mfa_device", {}),
            ):
                refused = refusal(
                    getattr(other.iam, method), UserName=name, SerialNumber=serial, **parameters
                )
                arn = moving.world.arn(f"user/{name}")
                assert_denied(refused, other.arn, action, IDENTITY_SILENT, arn)
        refused = refusal(other.iam.list_mfa_devices, UserName=name)
        assert_denied(refused, other.arn, "iam:ListMFADevices", IDENTITY_SILENT)
    refused = refusal(other.iam.list_virtual_mfa_devices)
    assert_denied(refused, other.arn, "iam:ListVirtualMFADevices", IDENTITY_SILENT)
    refused = refusal(other.iam.create_virtual_mfa_device, VirtualMFADeviceName="x")
    arn = moving.world.arn("mfa/x")
    assert_denied(refused, other.arn, "iam:CreateVirtualMFADevice", IDENTITY_SILENT, arn)


def test_tags_of_a_device_and_of_a_request_decide(moving):
    blue = {"StringEquals": {"aws:ResourceTag/team": "blue"}}
    asked = {"StringEquals": {"aws:RequestTag/team": "blue"}}
    user = moving.world.user(
        allow("iam:DeleteVirtualMFADevice", Condition=blue),
        allow(["iam:CreateVirtualMFADevice", "iam:TagMFADevice"], Condition=asked),
    )
    red = moving.phone(Tags=tags(team="red"))
    assert refusal(
        user.iam.delete_virtual_mfa_device, SerialNumber=red.serial
    ).code == "AccessDenied"
    name = unique("mfa")
    for given in ({}, {"Tags": tags(team="red")}):
        assert refusal(
            user.iam.create_virtual_mfa_device, VirtualMFADeviceName=name, **given
        ).code == "AccessDenied"
    made = user.iam.create_virtual_mfa_device(VirtualMFADeviceName=name, Tags=tags(team="blue"))
    user.iam.delete_virtual_mfa_device(SerialNumber=made["VirtualMFADevice"]["SerialNumber"])
    # To make it with tags is to tag it.
    maker = moving.world.user(allow("iam:CreateVirtualMFADevice"))
    refused = refusal(
        maker.iam.create_virtual_mfa_device, VirtualMFADeviceName=name, Tags=tags(a="1")
    )
    assert_denied(
        refused, maker.arn, "iam:TagMFADevice", IDENTITY_SILENT, moving.world.arn(f"mfa/{name}")
    )


def test_a_role_session_must_name_the_user(moving):
    session = moving.world.user(allow("sts:*")).assume(moving.world.role(allow("iam:*")))
    message = "Must specify userName when calling with non-User credentials"
    expect(session.iam.list_mfa_devices, "ValidationError", 400, message)
    expect(
        session.iam.deactivate_mfa_device, "ValidationError", 400, message,
        SerialNumber="GAHT12345678",
    )


# --- root -----------------------------------------------------------------------------------------


def test_root_has_devices_of_its_own(start_server):
    moving = Moving(start_server(dev=True))
    moving.step()
    world, account = moving.world, moving.world.account
    # A user whose name is the account's number is not root.
    impostor = world.user(name=account)
    phone = moving.phone()
    moving.iam.enable_mfa_device(UserName=account, SerialNumber=phone.serial, **phone.pair())
    assert serials(moving.iam.list_mfa_devices()) == [phone.serial]
    moving.step()
    denied_code(impostor.sts.get_session_token, NO_DEVICE, **phone.token())
    administrator = world.user(allow("iam:*"))
    listed = administrator.iam.list_mfa_devices(UserName=account)
    assert listed["MFADevices"] == []
    (virtual,) = moving.iam.list_virtual_mfa_devices(AssignmentStatus="Assigned")[
        "VirtualMFADevices"
    ]
    assert virtual["User"]["Arn"] == f"arn:aws:iam::{account}:root"
    assert virtual["User"]["UserId"] == account
    session = world.root.session_from(
        world.root.sts.get_session_token(**phone.token())["Credentials"]
    )
    assert session.iam.list_users()["Users"]
    denied_code(world.root.sts.get_session_token, **phone.token())
    expect(
        moving.iam.deactivate_mfa_device, "ValidationError", 400,
        "Must specify userName when calling with non-User credentials",
        SerialNumber=phone.serial,
    )
    moving.iam.deactivate_mfa_device(UserName=account, SerialNumber=phone.serial)
    assert moving.iam.list_mfa_devices()["MFADevices"] == []
    moving.server.stop()


def test_devices_of_another_account_are_nobodys_here(dev, moving):
    here, there = moving, World(dev.principal("222222222222", "x"))
    phone = here.phone()
    user = there.user(allow("*"))
    for call in (user.iam.delete_virtual_mfa_device, there.iam.list_mfa_device_tags):
        expect(call, "NoSuchEntity", 404, missing(phone.serial), SerialNumber=phone.serial)
    expect(
        there.iam.enable_mfa_device, "NoSuchEntity", 404, missing(phone.serial),
        UserName=user.name, SerialNumber=phone.serial, **phone.pair(),
    )


# --- durability, tokens, secrets ----------------------------------------------------------------------


def test_devices_and_used_codes_survive_a_crash(start_server):
    server = start_server()
    world = World(server.root())
    user = world.user()
    made = world.iam.create_virtual_mfa_device(VirtualMFADeviceName="kept")["VirtualMFADevice"]
    phone = Phone.of(made)
    if time.time() % STEP > STEP - 8:
        time.sleep(9)  # what follows is to happen within one step
    world.iam.enable_mfa_device(UserName=user.name, SerialNumber=phone.serial, **phone.pair(-2))
    code = phone.token(0)
    user.sts.get_session_token(**code)
    server.kill()
    server.start()
    # The code would still be good, if it were not used: the next one is.
    denied_code(user.sts.get_session_token, **code)
    denied_code(user.sts.get_session_token, **phone.token(-1))
    session = user.session_from(user.sts.get_session_token(**phone.token(1))["Credentials"])
    assert session.arn == user.arn
    assert serials(world.iam.list_mfa_devices(UserName=user.name)) == [phone.serial]
    server.stop()


TOKEN_SEED = bytes(range(1, 21))
OTHER_SEED = bytes(range(101, 121))
PSKC = """<?xml version="1.0"?>
<KeyContainer Version="1.0" xmlns="urn:ietf:params:xml:ns:keyprov:pskc"><KeyPackage>
<DeviceInfo><SerialNo>{serial}</SerialNo></DeviceInfo>
<Key Id="1" Algorithm="urn:ietf:params:xml:ns:keyprov:pskc:totp"><AlgorithmParameters>
<ResponseFormat Length="6" Encoding="DECIMAL"/></AlgorithmParameters>
<Data><Secret><PlainValue>{seed}</PlainValue></Secret></Data></Key>
</KeyPackage></KeyContainer>"""


@pytest.mark.one_process("a data directory that one process has to itself")
def test_a_hardware_token_is_imported_and_enabled(start_server, ringfence, tmp_path):
    server = start_server()
    world = World(server.root())
    user = world.user()
    phone, other = Phone("GAHT12345678", TOKEN_SEED), Phone("GAHT87654321", OTHER_SEED)
    listing = tmp_path / "tokens.csv"
    listing.write_text(f"serial,seed\n{phone.serial},{TOKEN_SEED.hex()}\n")
    place = ("mfa", "import", *server.place)
    busy = ringfence(*place, listing, check=False)
    assert busy.returncode != 0 and "a server runs" in busy.stderr
    server.stop()
    assert "1 tokens imported, 0 were there" in ringfence(*place, listing).stdout
    assert "0 tokens imported, 1 were there" in ringfence(*place, listing).stdout
    container = tmp_path / "tokens.xml"
    container.write_text(
        PSKC.format(serial=other.serial, seed=base64.b64encode(OTHER_SEED).decode())
    )
    assert "1 tokens imported" in ringfence(*place, container).stdout
    for text, part in (
        (f"NEW000000001,{OTHER_SEED.hex()}\n{phone.serial},{OTHER_SEED.hex()}", "already exists"),
        (f"NEW000000001,{OTHER_SEED.hex()}\nbroken", "line 2"),
        (f"NEW000000001,{base64.b32encode(OTHER_SEED).decode()}", "--seeds base32"),
    ):
        bad = tmp_path / "bad.csv"
        bad.write_text(text)
        refused = ringfence(*place, bad, check=False)
        assert refused.returncode != 0 and part in refused.stderr, refused.stderr
        assert OTHER_SEED.hex() not in refused.stderr
    server.start()
    world = World(server.root())
    for token in (phone, other):
        world.iam.enable_mfa_device(UserName=user.name, SerialNumber=token.serial, **token.pair())
        user.sts.get_session_token(**token.token(1))
    assert serials(world.iam.list_mfa_devices(UserName=user.name)) == [phone.serial, other.serial]
    # Nothing of the refused lists was kept, and a token is no virtual device.
    expect(
        world.iam.enable_mfa_device, "NoSuchEntity", 404, missing("NEW000000001"),
        UserName=user.name, SerialNumber="NEW000000001", **other.pair(),
    )
    assert world.iam.list_virtual_mfa_devices()["VirtualMFADevices"] == []
    summary = world.iam.get_account_summary()["SummaryMap"]
    assert (summary["MFADevices"], summary["MFADevicesInUse"]) == (2, 2)
    server.kill()
    server.start()
    denied_code(user.sts.get_session_token, **phone.token(1))
    world.iam.deactivate_mfa_device(UserName=user.name, SerialNumber=phone.serial)
    server.stop()
    for path in server.data.rglob("*"):
        if path.is_file():
            content = path.read_bytes()
            for seed in (TOKEN_SEED, OTHER_SEED):
                for form in (seed, seed.hex().encode(), base64.b64encode(seed)):
                    assert form not in content, path


def test_neither_seed_nor_code_is_recorded_or_lies_in_clear(start_server):
    server = start_server()
    world = World(server.root())
    user = world.user(allow("sts:*"))
    made = world.iam.create_virtual_mfa_device(VirtualMFADeviceName="quiet")["VirtualMFADevice"]
    phone = Phone.of(made)
    pair = phone.pair()
    refused = {"AuthenticationCode1": pair["AuthenticationCode2"], "AuthenticationCode2": phone.code(7)}
    refusal(world.iam.enable_mfa_device, UserName=user.name, SerialNumber=phone.serial, **refused)
    world.iam.enable_mfa_device(UserName=user.name, SerialNumber=phone.serial, **pair)
    shown = phone.token(1)
    user.sts.get_session_token(**shown)
    refusal(user.assume, world.role(), **shown)
    server.stop()
    events = server.audit_events()
    for name in ("CreateVirtualMFADevice", "EnableMFADevice", "GetSessionToken", "AssumeRole"):
        assert any(event["eventName"] == name for event in events), name
    event = next(event for event in events if event["eventName"] == "EnableMFADevice")
    assert event["requestParameters"]["serialNumber"] == phone.serial
    codes = {*pair.values(), *refused.values(), shown["TokenCode"]}
    for event in events:
        held = json.dumps([event.get("requestParameters"), event.get("responseElements")])
        assert not [code for code in codes if f'"{code}"' in held], event
    base32 = made["Base32StringSeed"]
    image = base64.b64encode(made["QRCodePNG"])
    for path in [*server.data.rglob("*"), *server.logs.iterdir()]:
        if path.is_file():
            content = path.read_bytes()
            for form in (base32, phone.seed, base64.b64encode(base32), image[:200]):
                assert form not in content, path


# --- the command line ---------------------------------------------------------------------------------


def test_the_aws_command_makes_enables_and_uses_a_device(server, aws_command, tmp_path):
    def aws(exports, *args):
        done = subprocess.run(
            [aws_command, *args, "--output", "json"],
            env={"PATH": "/usr/bin:/bin", "HOME": str(tmp_path), **exports},
            capture_output=True, text=True, timeout=60,
        )
        assert done.returncode == 0, done.stderr
        return json.loads(done.stdout) if done.stdout.strip() else None

    world = World(server.root())
    user = world.user(allow("iam:ListUsers", Condition=MFA))
    as_root = world.root.environment()
    name, seed, image = unique("mfa"), tmp_path / "seed", tmp_path / "image.png"
    made = aws(
        as_root, "iam", "create-virtual-mfa-device", "--virtual-mfa-device-name", name,
        "--outfile", str(seed), "--bootstrap-method", "Base32StringSeed",
    )
    serial = made["VirtualMFADevice"]["SerialNumber"]
    phone = Phone(serial, base64.b32decode(seed.read_text()))
    aws(
        as_root, "iam", "create-virtual-mfa-device", "--virtual-mfa-device-name", unique("mfa"),
        "--outfile", str(image), "--bootstrap-method", "QRCodePNG",
    )
    assert image.read_bytes().startswith(b"\x89PNG")
    aws(
        as_root, "iam", "enable-mfa-device", "--user-name", user.name, "--serial-number", serial,
        "--authentication-code1", phone.code(-1), "--authentication-code2", phone.code(0),
    )
    token = aws(
        user.environment(), "sts", "get-session-token", "--serial-number", serial,
        "--token-code", phone.code(1),
    )
    session = user.session_from(token["Credentials"])
    assert aws(session.environment(), "iam", "list-users")["Users"]
    aws(as_root, "iam", "deactivate-mfa-device", "--user-name", user.name, "--serial-number", serial)
    aws(as_root, "iam", "delete-virtual-mfa-device", "--serial-number", serial)
