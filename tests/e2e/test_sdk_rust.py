"""The AWS SDK for Rust: rust/src/main.rs calls, and this says what it must have seen.

`make sdk-rust` builds it.
"""

import json
import os
import subprocess
import time
from pathlib import Path

import pytest

from issuer import AUDIENCE, Issuer, rsa_key
from test_oidc import create, trusted
from world import allow, policy, trust, unique

pytestmark = pytest.mark.sdk_rust
BUILT = Path(__file__).resolve().parents[2] / ".cache/rust/debug/ringfence-sdk-rust"


@pytest.fixture(scope="module")
def rust():
    """Runs a scenario with the exports of some credentials."""
    if not BUILT.exists():
        pytest.exit(f"no {BUILT}: run these tests by `make sdk-rust`", returncode=2)

    def run(scenario, exports, **arguments):
        done = subprocess.run(
            [BUILT, scenario],
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
        assert done.returncode == 0, done.stdout + done.stderr
        return json.loads(done.stdout)

    return run


def refused(error, code, status, message=None):
    assert (error["code"], error["status"]) == (code, status) and error["request"], error
    assert message is None or message in error["message"], error


def test_iam_and_sts_calls_read_back_what_was_written(rust, root, world):
    user, document = unique("rust"), policy(allow("iam:GetUser"))
    seen = rust("calls", root.environment(), user=user, document=document)
    assert seen["arn"] == world.arn(f"user/rust/{user}") and seen["same"] and seen["summary"]
    assert abs(seen["created"] - time.time()) < 60
    assert seen["tags"] == [["a", "ü = é"]]
    assert seen["document"].startswith("%7B%22Version%22")
    assert rust("identity", root.environment())["arn"] == world.account_principal


def test_a_role_is_assumed_by_its_provider(rust, world):
    user = world.user(allow("sts:AssumeRole"))
    role = world.role(allow(["iam:ListUsers", "iam:DeleteUser"]))
    seen = rust("assume", user.environment(), role=role, policy=policy(allow("iam:ListUsers")))
    assert seen["arn"] == f"arn:aws:sts::{world.account}:assumed-role/{role.rsplit('/', 1)[1]}/rust"
    assert seen["listed"] == 1
    refused(seen["denied"], "AccessDenied", 403, "because no session policy allows the iam:DeleteUser")


def test_a_web_token_in_a_file_becomes_a_session(rust, server, world, tmp_path):
    idp = Issuer(path="/rust")
    idp.keys = {"r1": rsa_key()}
    try:
        role = world.role(trusted=[trusted(create(world, idp.url, ClientIDList=[AUDIENCE]))])
        (tmp_path / "token").write_text(idp.token())
        seen = rust(
            "identity",
            {
                "AWS_ENDPOINT_URL": server.url, "AWS_ROLE_ARN": role, "AWS_ROLE_SESSION_NAME": "pod",
                "AWS_WEB_IDENTITY_TOKEN_FILE": str(tmp_path / "token"),
            },
        )
        assert seen["arn"].endswith(f":assumed-role/{role.rsplit('/', 1)[1]}/pod")
    finally:
        idp.stop()


def test_pages_are_turned_to_the_end(rust, root, world):
    path = f"/{unique('rust')}/"
    names = sorted(unique("page") for _ in range(5))
    for name in names:
        world.iam.create_user(UserName=name, Path=path)
    assert rust("pages", root.environment(), prefix=path) == {"lengths": [2, 2, 1], "names": names}


def test_a_waiter_waits_and_gives_up(rust, root):
    assert rust("waiters", root.environment(), name=unique("rust")) == {"found": True, "never": True}


def test_errors_have_their_variant(rust, root, world):
    user = world.user()
    role = world.role(trusted=[trust({"Service": "ec2.amazonaws.com"})])
    seen = rust("errors", root.environment(), user=user.name, role=role)
    assert seen["variants"] == [True, True, True], seen
    refused(seen["exists"], "EntityAlreadyExists", 409, f"User with name {user.name} already exists.")
    refused(seen["missing"], "NoSuchEntity", 404)
    refused(seen["malformed"], "MalformedPolicyDocument", 400)
    refused(seen["denied"], "AccessDenied", 403)


def test_kms_reads_what_others_wrote_and_the_other_way(rust, root):
    kms, context = root.client("kms"), {"tenant": "ü = é", "b": "2"}
    key = kms.create_key()["KeyMetadata"]["Arn"]
    signer = kms.create_key(KeySpec="ECC_NIST_P384", KeyUsage="SIGN_VERIFY")["KeyMetadata"]["Arn"]
    asked = {"KeyId": signer, "Message": b"m \x00\xff", "SigningAlgorithm": "ECDSA_SHA_384"}
    sealed = kms.encrypt(KeyId=key, Plaintext=b"from boto3", EncryptionContext=context)
    seen = rust(
        "kms", root.environment(), key=key, signer=signer, context=context,
        sealed=list(sealed["CiphertextBlob"]), message=list(asked["Message"]),
        algorithm=asked["SigningAlgorithm"], signature=list(kms.sign(**asked)["Signature"]),
    )
    assert (bytes(seen["opened"]), seen["key"], seen["valid"]) == (b"from boto3", key, True)
    assert (seen["described"], seen["spec"], seen["same"]) == ("ü = é", "SYMMETRIC_DEFAULT", True)
    assert abs(seen["created"] - time.time()) < 60

    def opened(blob):
        return kms.decrypt(CiphertextBlob=bytes(blob), EncryptionContext=context)["Plaintext"]

    assert opened(seen["sealed"]) == b"from rust"
    assert opened(seen["data_key"]["sealed"]) == bytes(seen["data_key"]["plain"])
    assert kms.verify(Signature=bytes(seen["signature"]), **asked)["SignatureValid"]


def test_kms_pages_are_turned_to_the_end(rust, dev):
    # An account of its own has these keys alone.
    owner = dev.principal("987698769876", "x")
    kms = owner.client("kms")
    keys = sorted(kms.create_key()["KeyMetadata"]["KeyId"] for _ in range(5))
    for number in range(3):
        kms.create_alias(AliasName=f"alias/{number}", TargetKeyId=keys[0])
    grants = sorted(
        kms.create_grant(
            KeyId=keys[0], GranteePrincipal="arn:aws:iam::987698769876:root", Operations=["Decrypt"]
        )["GrantId"]
        for _ in range(3)
    )
    seen = rust("kms-pages", owner.environment(), key=keys[0])
    assert (seen["lengths"], sorted(seen["keys"])) == ([2, 2, 1], keys)
    assert sorted(seen["aliases"]) == ["alias/0", "alias/1", "alias/2"]
    assert sorted(seen["grants"]) == grants


def test_kms_errors_have_their_variant(rust, root, world):
    kms = root.client("kms")
    key, other, disabled = (kms.create_key()["KeyMetadata"]["KeyId"] for _ in range(3))
    kms.disable_key(KeyId=disabled)
    alias = f"alias/{unique('rust')}"
    kms.create_alias(AliasName=alias, TargetKeyId=key)
    signer = kms.create_key(KeySpec="ECC_NIST_P256", KeyUsage="SIGN_VERIFY")["KeyMetadata"]["KeyId"]
    sealed = kms.encrypt(KeyId=key, Plaintext=b"x", EncryptionContext={"a": "b"})["CiphertextBlob"]
    seen = rust(
        "kms-errors", root.environment(), key=key, other=other, disabled=disabled, alias=alias,
        signer=signer, sealed=list(sealed),
    )
    assert seen["variants"] == [True] * 6, seen
    refused(seen["missing"], "NotFoundException", 400, "alias/none")
    refused(seen["disabled"], "DisabledException", 400, f"key/{disabled} is disabled.")
    refused(seen["context"], "InvalidCiphertextException", 400)
    nobody = world.user()
    seen = rust("kms-denied", nobody.environment(), sealed=list(sealed))
    refused(seen, "AccessDeniedException", 400, f"{nobody.user_arn} is not authorized to perform: kms:Decrypt")
