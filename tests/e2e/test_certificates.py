"""Signing certificates of users and root, and server certificates."""

import base64
import random
import re
import subprocess

import pytest
from botocore.exceptions import ClientError

from certificates import Certificate, certificate, openssl, private_key
from clients import IDENTITY_SILENT, assert_denied, refusal, refusal_of
from test_secrets_at_rest import occurrences
from world import World, allow, tags, unique

MISSING = "NONEXISTENTCERTID12345678901"


@pytest.fixture
def iam(root):
    return root.iam


@pytest.fixture
def user(world):
    name = unique("user")
    world.iam.create_user(UserName=name)
    return name


def sign(iam, pem, **named):
    return iam.upload_signing_certificate(CertificateBody=pem, **named)["Certificate"]


# --- signing certificates --------------------------------------------------------------------


def test_a_signing_certificate_is_uploaded_switched_and_deleted(iam, user):
    pem = certificate().pem
    uploaded = sign(iam, pem, UserName=user)
    assert uploaded.keys() == {
        "UserName", "CertificateId", "CertificateBody", "Status", "UploadDate",
    }
    assert (uploaded["UserName"], uploaded["Status"]) == (user, "Active")
    assert uploaded["CertificateBody"].strip() == pem.strip()
    named = {"UserName": user, "CertificateId": uploaded["CertificateId"]}
    assert re.fullmatch("[A-Z2-7]{32}", named["CertificateId"])
    for status in ("Inactive", "Active"):
        iam.update_signing_certificate(Status=status, **named)
        listed = iam.list_signing_certificates(UserName=user)
        assert listed["Certificates"] == [{**uploaded, "Status": status}]
        assert listed["IsTruncated"] is False
    iam.delete_signing_certificate(**named)
    assert iam.list_signing_certificates(UserName=user)["Certificates"] == []


def test_two_signing_certificates_are_the_most_and_one_is_had_once_in_an_account(iam, user, world):
    first, second, third = (certificate().pem for _ in range(3))
    sign(iam, first, UserName=user)
    for name in (user, world.user().name):
        refused = refusal(iam.upload_signing_certificate, UserName=name, CertificateBody=first)
        assert (refused.code, refused.status) == ("DuplicateCertificate", 409)
    sign(iam, second, UserName=user)
    refused = refusal(iam.upload_signing_certificate, UserName=user, CertificateBody=third)
    assert (refused.code, refused.status) == ("LimitExceeded", 409)
    assert refused.message == "Cannot exceed quota for CertificatesPerUser: 2"
    pages = iam.get_paginator("list_signing_certificates").paginate(
        UserName=user, PaginationConfig={"PageSize": 1}
    )
    assert [len(page["Certificates"]) for page in pages] == [1, 1]


def test_what_is_no_certificate_is_malformed(iam, user):
    pem = certificate().pem
    for body in ("invalid-certificate-body", private_key(), pem + pem, pem[:200]):
        refused = refusal(iam.upload_signing_certificate, UserName=user, CertificateBody=body)
        assert (refused.code, refused.status) == ("MalformedCertificate", 400)
    refused = refusal(iam.upload_signing_certificate, UserName=user, CertificateBody="bad-body")
    assert refused.message == "Certificate bad-body is malformed."


def test_missing_certificates_and_users_are_named(iam, user):
    for method, more in {
        "update_signing_certificate": {"Status": "Inactive"},
        "delete_signing_certificate": {},
    }.items():
        refused = refusal(getattr(iam, method), UserName=user, CertificateId=MISSING, **more)
        assert (refused.code, refused.status) == ("NoSuchEntity", 404)
        assert refused.message == f"The Certificate with id {MISSING} cannot be found."
        refused = refusal(getattr(iam, method), UserName="nobody", CertificateId=MISSING, **more)
        assert refused.message == "The user with name nobody cannot be found."


def test_root_has_signing_certificates_of_its_own_and_the_summary_tells(start_server):
    iam = start_server().root().iam
    summary = iam.get_account_summary()["SummaryMap"]
    assert summary["AccountSigningCertificatesPresent"] == 0
    uploaded = sign(iam, certificate().pem)
    assert uploaded["UserName"] == iam.get_user()["User"]["UserName"]
    assert iam.list_signing_certificates()["Certificates"] == [uploaded]
    summary = iam.get_account_summary()["SummaryMap"]
    assert summary["AccountSigningCertificatesPresent"] == 1
    assert summary["SigningCertificatesPerUserQuota"] == 2
    iam.update_signing_certificate(CertificateId=uploaded["CertificateId"], Status="Inactive")
    assert iam.list_signing_certificates()["Certificates"][0]["Status"] == "Inactive"
    iam.delete_signing_certificate(CertificateId=uploaded["CertificateId"])
    assert iam.get_account_summary()["SummaryMap"]["AccountSigningCertificatesPresent"] == 0


def test_a_user_with_a_signing_certificate_is_not_deleted(iam, user):
    uploaded = sign(iam, certificate().pem, UserName=user)
    refused = refusal(iam.delete_user, UserName=user)
    assert (refused.code, refused.status) == ("DeleteConflict", 409)
    assert refused.message == "Cannot delete entity, must delete signing certificates first."
    iam.delete_signing_certificate(UserName=user, CertificateId=uploaded["CertificateId"])
    iam.delete_user(UserName=user)


def test_a_certificate_is_good_at_the_time_of_its_upload_or_refused(dev):
    iam = dev.principal("test", "test").iam
    own = certificate(days=2)
    dev.post_json("/_ringfence/clock", {"advance_seconds": 3 * 86400})
    refused = refusal(iam.upload_signing_certificate, CertificateBody=own.pem)
    assert (refused.code, refused.status) == ("InvalidCertificate", 400)
    given = {"CertificateBody": own.pem, "PrivateKey": own.key}
    refused = refusal(iam.upload_server_certificate, ServerCertificateName="late", **given)
    assert (refused.code, refused.status) == ("MalformedCertificate", 400)
    dev.post_json("/_ringfence/clock", {"set": "2020-01-01T00:00:00Z"})
    refused = refusal(iam.upload_server_certificate, ServerCertificateName="early", **given)
    assert (refused.code, refused.status) == ("MalformedCertificate", 400)


# --- server certificates ---------------------------------------------------------------------


def upload(iam, own, name=None, **more):
    return iam.upload_server_certificate(
        ServerCertificateName=name or unique("certificate"),
        CertificateBody=own.pem,
        PrivateKey=own.key,
        **more,
    )


@pytest.mark.parametrize("kind", ["RSA-2048", "RSA-4096", "P-256", "P-384", "P-521"])
def test_a_server_certificate_is_uploaded_read_and_deleted(kind, iam, world):
    own, name = certificate(kind=kind), unique("certificate")
    answer = upload(iam, own, name)
    metadata = answer["ServerCertificateMetadata"]
    assert metadata.keys() == {
        "Path", "ServerCertificateName", "ServerCertificateId", "Arn", "UploadDate", "Expiration",
    }
    assert "Tags" not in answer
    assert metadata["Arn"] == world.arn(f"server-certificate/{name}")
    assert metadata["Path"] == "/"
    assert re.fullmatch("ASCA[A-Z2-7]{17}", metadata["ServerCertificateId"])
    assert metadata["Expiration"] == own.not_after
    read = iam.get_server_certificate(ServerCertificateName=name)["ServerCertificate"]
    assert read == {
        "ServerCertificateMetadata": metadata, "CertificateBody": own.pem, "Tags": [],
    }
    iam.delete_server_certificate(ServerCertificateName=name)
    refused = refusal(iam.get_server_certificate, ServerCertificateName=name)
    assert (refused.code, refused.status) == ("NoSuchEntity", 404)
    assert refused.message == f"The Server Certificate with name {name} cannot be found."


def traditional(key):
    """PKCS #1 or SEC 1 in place of PKCS #8."""
    return openssl("pkey", "-traditional", input=key)


def encrypted(key):
    return openssl("pkcs8", "-topk8", "-passout", "pass:secret", input=key)


@pytest.mark.parametrize("kind", ["RSA-2048", "P-256"])
def test_a_key_may_be_in_its_own_form_and_not_encrypted(kind, iam):
    own = certificate(kind=kind)
    plain = own.key
    own.key = traditional(plain)
    assert own.key != plain
    upload(iam, own)
    own.key = encrypted(plain)
    refused = refusal(upload, iam, own)
    assert (refused.code, refused.status) == ("MalformedCertificate", 400)


ROOT = certificate("Root")
MIDDLE = certificate("Middle", kind="RSA-2048", issuer=ROOT)
LEAF = certificate("leaf.example.com", issuer=MIDDLE)
OTHER = certificate("Middle", kind="RSA-2048")
CHAIN = "Unable to validate certificate chain. The certificate chain must start with the immediate signing certificate, followed by any intermediaries in order. The index within the chain of the invalid certificate is: "


def test_a_chain_leads_from_signer_to_signer(iam):
    for chain in (MIDDLE.pem, MIDDLE.pem + ROOT.pem, MIDDLE.pem + "\n" + ROOT.pem):
        name = unique("chained")
        upload(iam, LEAF, name, CertificateChain=chain)
        read = iam.get_server_certificate(ServerCertificateName=name)["ServerCertificate"]
        assert read["CertificateChain"].strip() == chain.strip()
        iam.delete_server_certificate(ServerCertificateName=name)
    for chain, index in (
        (ROOT.pem + MIDDLE.pem, -1),
        (ROOT.pem, -1),
        (LEAF.pem + MIDDLE.pem, -1),
        # Of the same name, with another key.
        (OTHER.pem, -1),
        (MIDDLE.pem + OTHER.pem, 0),
    ):
        refused = refusal(upload, iam, LEAF, CertificateChain=chain)
        assert (refused.code, refused.status) == ("MalformedCertificate", 400)
        assert refused.message == CHAIN + str(index)
    for chain in ("nonsense", "text\n" + MIDDLE.pem, MIDDLE.key, MIDDLE.pem * 33):
        refused = refusal(upload, iam, LEAF, CertificateChain=chain)
        assert (refused.code, refused.status) == ("MalformedCertificate", 400)


def test_a_key_of_another_certificate_is_a_mismatch(iam):
    for own, other in ((LEAF, ROOT), (MIDDLE, OTHER), (LEAF, MIDDLE)):
        refused = refusal(
            iam.upload_server_certificate,
            ServerCertificateName=unique("mismatch"),
            CertificateBody=own.pem,
            PrivateKey=other.key,
        )
        assert (refused.code, refused.status) == ("KeyPairMismatch", 400)
    for body, key in (("nonsense", LEAF.key), (LEAF.pem, "nonsense"), (LEAF.pem, LEAF.pem)):
        refused = refusal(
            iam.upload_server_certificate,
            ServerCertificateName=unique("mismatch"),
            CertificateBody=body,
            PrivateKey=key,
        )
        assert (refused.code, refused.status) == ("MalformedCertificate", 400)
        assert "nonsense" not in refused.message


def mutants(pem, count):
    """The PEM with one byte of its content changed, or cut short."""
    chance = random.Random(1)
    label = pem.splitlines()[0].removeprefix("-----BEGIN ").removesuffix("-----")
    der = base64.b64decode("".join(pem.splitlines()[1:-1]))
    for _ in range(count):
        at = chance.randrange(len(der))
        changed = der[:at] + bytes([der[at] ^ (1 << chance.randrange(8))]) + der[at + 1 :]
        if chance.random() < 0.2:
            changed = der[:at]
        body = base64.encodebytes(changed).decode()
        yield f"-----BEGIN {label}-----\n{body}-----END {label}-----\n"


def test_broken_bytes_are_refused_or_taken_and_never_a_fault(iam):
    answers = set()
    for pem in mutants(LEAF.pem, 150):
        try:
            answer = upload(iam, Certificate("", LEAF.key, pem), "broken")
            iam.delete_server_certificate(ServerCertificateName="broken")
            answers.add(answer["ResponseMetadata"]["HTTPStatusCode"])
        except ClientError as error:
            refused = refusal_of(error)
            assert refused.status == 400, refused
            answers.add(refused.code)
    for key in mutants(LEAF.key, 50):
        own = Certificate("", key, LEAF.pem)
        refused = refusal(upload, iam, own, "broken")
        answers.add(refused.code)
    assert {"MalformedCertificate", "KeyPairMismatch"} <= answers
    assert answers <= {"MalformedCertificate", "KeyPairMismatch", 200}


def test_a_server_certificate_is_renamed_and_moved(iam, world):
    name, taken = unique("Certificate"), unique("taken")
    upload(iam, LEAF, name, Path="/old/")
    upload(iam, LEAF, taken)
    for refused_call in (
        lambda: refusal(upload, iam, LEAF, name.upper()),
        lambda: refusal(
            iam.update_server_certificate,
            ServerCertificateName=name,
            NewServerCertificateName=taken,
        ),
    ):
        refused = refused_call()
        assert (refused.code, refused.status) == ("EntityAlreadyExists", 409)
        assert re.fullmatch("The Server Certificate with name .* already exists.", refused.message)
    was = iam.get_server_certificate(ServerCertificateName=name)["ServerCertificate"]
    new = unique("new")
    iam.update_server_certificate(
        ServerCertificateName=name, NewServerCertificateName=new, NewPath="/new/"
    )
    now = iam.get_server_certificate(ServerCertificateName=new)["ServerCertificate"]
    metadata = now["ServerCertificateMetadata"]
    assert metadata == {
        **was["ServerCertificateMetadata"],
        "Path": "/new/",
        "ServerCertificateName": new,
        "Arn": world.arn(f"server-certificate/new/{new}"),
    }
    assert refusal(iam.get_server_certificate, ServerCertificateName=name).code == "NoSuchEntity"
    listed = iam.list_server_certificates(PathPrefix="/new/")
    assert listed["ServerCertificateMetadataList"] == [metadata]
    both = iam.list_server_certificates()["ServerCertificateMetadataList"]
    assert {new, taken} <= {one["ServerCertificateName"] for one in both}
    for one in (new, taken):
        iam.delete_server_certificate(ServerCertificateName=one)


def test_a_rename_asks_for_the_right_at_both_ends(iam, world):
    name, new = unique("from"), unique("to")
    upload(iam, LEAF, name)
    here, there = world.arn(f"server-certificate/{name}"), world.arn(f"server-certificate/{new}")
    rename = {"ServerCertificateName": name, "NewServerCertificateName": new}
    one_end = world.user(allow("iam:UpdateServerCertificate", here))
    refused = refusal(one_end.iam.update_server_certificate, **rename)
    assert_denied(refused, one_end.arn, "iam:UpdateServerCertificate", IDENTITY_SILENT, there)
    both_ends = world.user(allow("iam:UpdateServerCertificate", [here, there]))
    both_ends.iam.update_server_certificate(**rename)
    iam.delete_server_certificate(ServerCertificateName=new)


def test_tags_of_a_server_certificate_are_kept_and_decide(iam, world):
    name = unique("tagged")
    answer = upload(iam, LEAF, name, Tags=tags(team="blue", area="1"))
    assert answer["Tags"] == tags(area="1", team="blue")
    iam.tag_server_certificate(ServerCertificateName=name, Tags=tags(team="red", more="2"))
    iam.untag_server_certificate(ServerCertificateName=name, TagKeys=["area"])
    listed = iam.list_server_certificate_tags(ServerCertificateName=name)
    assert listed["Tags"] == tags(more="2", team="red")
    read = iam.get_server_certificate(ServerCertificateName=name)["ServerCertificate"]
    assert read["Tags"] == tags(more="2", team="red")
    for team, may in (("red", True), ("blue", False)):
        only = {"StringEquals": {"aws:ResourceTag/team": team}}
        reader = world.user(allow("iam:GetServerCertificate", Condition=only)).iam
        if may:
            reader.get_server_certificate(ServerCertificateName=name)
        else:
            refused = refusal(reader.get_server_certificate, ServerCertificateName=name)
            assert refused.code == "AccessDenied"
    untagging = world.user(allow("iam:UploadServerCertificate"))
    refused = refusal(upload, untagging.iam, LEAF, Tags=tags(team="red"))
    assert_denied(refused, untagging.arn, "iam:TagServerCertificate", IDENTITY_SILENT)
    iam.delete_server_certificate(ServerCertificateName=name)


@pytest.mark.parametrize(
    "method,more",
    [
        ("get_server_certificate", {}),
        ("delete_server_certificate", {}),
        ("update_server_certificate", {"NewPath": "/x/"}),
        ("upload_server_certificate", {"CertificateBody": "nonsense", "PrivateKey": "nonsense"}),
        ("tag_server_certificate", {"Tags": tags(a="b")}),
        ("untag_server_certificate", {"TagKeys": ["a"]}),
        ("list_server_certificate_tags", {}),
    ],
)
def test_who_may_not_hears_nothing_of_what_is_there(method, more, iam, world):
    name = unique("hidden")
    upload(iam, LEAF, name)
    caller = world.user(allow("iam:ListServerCertificates"))
    action = "iam:" + "".join(word.capitalize() for word in method.split("_"))
    for one in (name, "nothing"):
        refused = refusal(getattr(caller.iam, method), ServerCertificateName=one, **more)
        arn = world.arn(f"server-certificate/{one}")
        assert_denied(refused, caller.arn, action, IDENTITY_SILENT, arn)
    iam.delete_server_certificate(ServerCertificateName=name)
    signer = world.user(allow("iam:UploadSigningCertificate", world.arn("user/other")))
    refused = refusal(signer.iam.upload_signing_certificate, CertificateBody="nonsense")
    assert_denied(
        refused, signer.arn, "iam:UploadSigningCertificate", IDENTITY_SILENT, signer.arn
    )


def test_server_certificates_are_counted_and_survive_a_crash_with_the_key_unseen(start_server):
    server = start_server("--quota", "iam:server-certificates=2")
    iam = server.root().iam
    one = upload(iam, LEAF, "one", CertificateChain=MIDDLE.pem)["ServerCertificateMetadata"]
    sign(iam, ROOT.pem)
    upload(iam, LEAF, "two", Path="/a/")
    refused = refusal(upload, iam, LEAF, "three")
    assert (refused.code, refused.status) == ("LimitExceeded", 409)
    assert refused.message == "Cannot exceed quota for ServerCertificatesPerAccount: 2"
    pages = iam.get_paginator("list_server_certificates").paginate(
        PaginationConfig={"PageSize": 1}
    )
    names = [
        [item["ServerCertificateName"] for item in page["ServerCertificateMetadataList"]]
        for page in pages
    ]
    assert names == [["one"], ["two"]]
    server.kill()
    server.start()
    read = iam.get_server_certificate(ServerCertificateName="one")["ServerCertificate"]
    assert read["ServerCertificateMetadata"] == one
    assert len(iam.list_signing_certificates()["Certificates"]) == 1
    summary = iam.get_account_summary()["SummaryMap"]
    assert (summary["ServerCertificates"], summary["ServerCertificatesQuota"]) == (2, 2)

    server.audit_event(
        lambda event: event["eventName"] == "UploadServerCertificate"
        and event["requestParameters"]["serverCertificateName"] == "three"
    )
    server.stop()
    # The middle of the key's Base64, as it stands in the PEM.
    secret = LEAF.key.splitlines()[1]
    assert not occurrences(server.data, {"a private key": secret})


def test_the_aws_command_uploads_files(root, aws_command, tmp_path):
    for name, text in (("body", LEAF.pem), ("key", LEAF.key), ("chain", MIDDLE.pem + ROOT.pem)):
        (tmp_path / name).write_text(text)
    environment = {"PATH": "/usr/bin:/bin", "HOME": str(tmp_path), **root.environment()}

    def aws(*args):
        command = [aws_command, "iam", *args, "--output", "text"]
        done = subprocess.run(
            command, env=environment, cwd=tmp_path, capture_output=True, text=True, timeout=60
        )
        assert done.returncode == 0, done.stderr
        return done.stdout

    aws(
        "upload-server-certificate", "--server-certificate-name", "by-command",
        "--certificate-body", "file://body", "--private-key", "file://key",
        "--certificate-chain", "file://chain", "--path", "/cloudfront/test/",
    )
    shown = aws("get-server-certificate", "--server-certificate-name", "by-command")
    assert "server-certificate/cloudfront/test/by-command" in shown
    aws("delete-server-certificate", "--server-certificate-name", "by-command")


def test_accounts_do_not_see_each_others_certificates(dev):
    dev.post_json("/_ringfence/reset", {})
    one = World(dev.principal("111111111111", "x"))
    other = World(dev.principal("222222222222", "x"))
    upload(one.iam, LEAF, "mine")
    refused = refusal(other.iam.get_server_certificate, ServerCertificateName="mine")
    assert refused.code == "NoSuchEntity"
    # A signing certificate is had once in an account, not in the world.
    assert sign(one.iam, LEAF.pem)["CertificateId"] != sign(other.iam, LEAF.pem)["CertificateId"]
