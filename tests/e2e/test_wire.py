"""What reaches a handler: only what is signed by who it says, for here and for now.

Errors are those of "Signature Version 4 troubleshooting" and "Common errors" in the IAM User Guide
and the IAM and STS API references.
"""

import base64
import re
import socket
import time
import xml.etree.ElementTree as ElementTree
from datetime import timedelta

import pytest
from botocore.exceptions import ClientError

from signer import FORM, Signer
from world import allow, unique

IDENTITY = {"Action": "GetCallerIdentity"}
MISMATCH = (
    "The request signature we calculated does not match the signature you provided. Check your AWS"
    " Secret Access Key and signing method. Consult the service documentation for details."
)
INVALID_TOKEN = "The security token included in the request is invalid."


@pytest.fixture(scope="module")
def signer(root):
    return Signer(root)


@pytest.fixture(scope="module")
def session(world):
    """A role session, which has a session token."""
    broker = world.user(allow("sts:*"))
    return broker.assume(world.role(allow("iam:GetUser")))


def assert_refused(answer, status, code, message=None, matching=None):
    assert (answer.status, answer.code) == (status, code), str(answer)
    if message:
        assert answer.message.rstrip(".") == message.rstrip("."), str(answer)
    if matching:
        assert re.search(matching, answer.message), str(answer)


def test_a_well_signed_call_is_answered(signer, root):
    answer = signer.query("sts", IDENTITY)
    assert answer.status == 200 and f"<Arn>{root.arn}</Arn>" in answer.text
    assert 'xmlns="https://sts.amazonaws.com/doc/2011-06-15/"' in answer.text
    assert answer.headers["x-amzn-requestid"] in answer.text


def test_a_query_call_may_be_a_get(signer, root):
    target = "/?Action=GetCallerIdentity&Version=2011-06-15"
    headers = signer.signed("sts", b"", method="GET", target=target)
    answer = signer.send("GET", target, b"", headers)
    assert answer.status == 200 and root.arn in answer.text


# --- forged and altered --------------------------------------------------------------------------


def test_a_wrong_secret_is_refused(signer):
    answer = signer.query("sts", IDENTITY, secret="w" * 40)
    assert_refused(answer, 403, "SignatureDoesNotMatch", MISMATCH)


@pytest.mark.parametrize("key", ["AKIAIOSFODNN7EXAMPLE", "ASIAIOSFODNN7EXAMPLE", "test", "000000000000"])
def test_an_unknown_key_is_refused(signer, key):
    answer = signer.query("sts", IDENTITY, access_key_id=key)
    assert_refused(answer, 403, "InvalidClientTokenId", INVALID_TOKEN)


def test_a_body_altered_after_signing_is_refused(signer):
    body = signer.form("iam", {"Action": "CreateUser", "UserName": "mallory-a"})
    headers = signer.signed("iam", body)
    answer = signer.send("POST", "/", body.replace(b"mallory-a", b"mallory-b"), headers)
    assert_refused(answer, 403, "SignatureDoesNotMatch")


def replaced(pattern, by, name="Authorization"):
    def alter(headers):
        value, count = re.subn(pattern, by, headers[name])
        assert count == 1
        return {**headers, name: value}

    return alter


ALTERED = {
    "a_digit_of_the_signature": replaced(
        r"Signature=(.)", lambda m: "Signature=" + ("0" if m.group(1) != "0" else "1")
    ),
    "a_signed_header": lambda headers: {**headers, "Content-Type": "text/plain"},
    "the_host": lambda headers: {**headers, "Host": "iam.amazonaws.com"},
    "the_date": replaced(r"T(\d\d)", lambda m: f"T{(int(m.group(1)) + 1) % 24:02}", "X-Amz-Date"),
    "the_region_of_the_scope": replaced("/us-east-1/", "/eu-west-1/"),
    "the_service_of_the_scope": replaced("/us-east-1/sts/", "/us-east-1/iam/"),
    "the_date_of_the_scope": replaced(r"/\d{8}/", "/20200101/"),
    "the_end_of_the_scope": replaced("/aws4_request", "/aws5_request"),
    "the_list_of_signed_headers": replaced("SignedHeaders=content-type;", "SignedHeaders="),
}


@pytest.mark.parametrize("what", ALTERED)
def test_a_request_altered_after_signing_is_refused(what, signer):
    body = signer.form("sts", IDENTITY)
    headers = signer.signed("sts", body)
    assert signer.send("POST", "/", body, headers).status == 200
    answer = signer.send("POST", "/", body, ALTERED[what](headers))
    assert_refused(answer, 403, "SignatureDoesNotMatch")


def test_another_users_key_id_with_ones_own_secret_is_refused(world):
    first, second = world.user(), world.user()
    answer = Signer(second).query("sts", IDENTITY, access_key_id=first.access_key_id)
    assert_refused(answer, 403, "SignatureDoesNotMatch", MISMATCH)


def test_a_signature_says_nothing_of_what_was_expected(signer):
    # AWS echoes the canonical string in S3's errors; IAM and STS do not, and nothing here may tell
    # a forger the right signature.
    answer = signer.query("sts", IDENTITY, secret="w" * 40)
    assert not re.search(r"[0-9a-f]{64}", answer.text)


# --- too early, too late ---------------------------------------------------------------------


@pytest.mark.parametrize("minutes", [-4.5, 4.5])
def test_clocks_may_differ_by_less_than_five_minutes(minutes, signer):
    answer = signer.query("sts", IDENTITY, ahead=timedelta(minutes=minutes))
    assert answer.status == 200, str(answer)


def test_a_request_replayed_late_is_refused(signer):
    answer = signer.query("sts", IDENTITY, ahead=timedelta(minutes=-5, seconds=-5))
    stamp = r"\d{8}T\d{6}Z"
    assert_refused(
        answer, 403, "SignatureDoesNotMatch",
        matching=rf"^Signature expired: {stamp} is now earlier than {stamp} \({stamp} - 5 min\.\)",
    )


def test_a_request_from_the_future_is_refused(signer):
    answer = signer.query("sts", IDENTITY, ahead=timedelta(minutes=5, seconds=5))
    stamp = r"\d{8}T\d{6}Z"
    assert_refused(
        answer, 403, "SignatureDoesNotMatch",
        matching=rf"^Signature not yet current: {stamp} is still later than {stamp} \({stamp} \+ 5 min\.\)",
    )


def test_a_late_request_with_a_wrong_signature_does_not_tell_it_from_a_right_one(signer):
    late = timedelta(minutes=-10)
    right = signer.query("sts", IDENTITY, ahead=late)
    wrong = signer.query("sts", IDENTITY, ahead=late, secret="w" * 40)
    assert (right.status, right.code) == (wrong.status, wrong.code)


# --- another service, another region -----------------------------------------------------------


def test_a_call_signed_for_another_service_does_not_reach_this_one(signer, world):
    name = unique("mallory")
    body = signer.form("iam", {"Action": "CreateUser", "UserName": name})
    answer = signer.send("POST", "/", body, signer.signed("sts", body))
    assert_refused(answer, 400, "InvalidAction")
    with pytest.raises(ClientError, match="NoSuchEntity"):
        world.iam.get_user(UserName=name)


def test_a_call_signed_for_no_service_is_refused(signer):
    body = signer.form("sts", IDENTITY)
    answer = signer.send("POST", "/", body, signer.signed("nonsuch", body))
    assert 400 <= answer.status < 500, str(answer)


def test_iam_is_called_in_us_east_1_only(signer):
    # "Credential should be scoped to a valid region", IAM User Guide, SigV4 troubleshooting.
    answer = signer.query("iam", {"Action": "ListUsers"}, region="eu-west-1")
    assert_refused(
        answer, 403, "SignatureDoesNotMatch",
        matching="^Credential should be scoped to a valid region",
    )


def test_sts_is_called_in_any_region(signer):
    assert signer.query("sts", IDENTITY, region="eu-west-1").status == 200


# --- session tokens ------------------------------------------------------------------------------


def other_session(world):
    return world.user(allow("sts:*")).assume(world.role())


def spoiled(token):
    middle = len(token) // 2
    return token[:middle] + ("A" if token[middle] != "A" else "B") + token[middle + 1 :]


def test_a_session_works_with_its_token(session):
    answer = Signer(session).query("sts", IDENTITY)
    assert answer.status == 200 and "assumed-role" in answer.text


BAD_TOKENS = {
    "no_token": lambda session, world: None,
    "an_altered_token": lambda session, world: spoiled(session.token),
    "another_sessions_token": lambda session, world: other_session(world).token,
    "a_cut_token": lambda session, world: session.token[:-8],
    "a_longer_token": lambda session, world: session.token + "AAAA",
    "words": lambda session, world: "no token at all",
}


@pytest.mark.parametrize("what", BAD_TOKENS)
def test_a_session_without_exactly_its_token_is_refused(what, session, world):
    token = BAD_TOKENS[what](session, world)
    answer = Signer(session).query("sts", IDENTITY, token=token)
    assert_refused(answer, 403, "InvalidClientTokenId", INVALID_TOKEN)


def test_a_long_term_key_with_a_sessions_token_is_refused(signer, session):
    answer = signer.query("sts", IDENTITY, token=session.token)
    assert_refused(answer, 403, "InvalidClientTokenId", INVALID_TOKEN)


def test_a_session_token_does_not_show_what_is_in_it(session):
    token = session.token.encode()
    sealed = base64.b64decode(token, altchars=b"-_" if b"-" in token or b"_" in token else None)
    for form in (token, sealed):
        assert b"assumed-role" not in form and session.secret.encode() not in form


@pytest.mark.parametrize("region", ["US-EAST-1", "us_east_1", "x" * 33, "*"])
def test_what_is_no_region_is_refused(region, signer):
    refused = signer.query("sts", IDENTITY, region=region)
    assert_refused(refused, 403, "SignatureDoesNotMatch", matching="valid region")


def test_a_plus_in_a_signed_query_string_cannot_stand_for_an_escaped_one(signer):
    target = signer.presigned("sts", {**IDENTITY, "Unknown": "a+b"})
    assert "a%2Bb" in target and signer.send("GET", target).status == 200
    altered = signer.send("GET", target.replace("a%2Bb", "a+b"))
    assert_refused(altered, 403, "SignatureDoesNotMatch", MISMATCH)


# --- presigned -----------------------------------------------------------------------------------


def test_a_presigned_url_is_answered(signer, root):
    answer = signer.send("GET", signer.presigned("sts", IDENTITY))
    assert answer.status == 200 and root.arn in answer.text


def test_a_presigned_url_of_a_session_is_answered(session):
    presigned = Signer(session).presigned("sts", IDENTITY)
    assert Signer(session).send("GET", presigned).status == 200


def test_a_presigned_url_that_has_run_out_is_refused(signer):
    target = signer.presigned("sts", IDENTITY, seconds=60, ahead=timedelta(minutes=-20))
    assert_refused(signer.send("GET", target), 403, "SignatureDoesNotMatch", matching="expired")


@pytest.mark.parametrize(
    "pattern,by",
    [
        ("Action=GetCallerIdentity", "Action=GetSessionToken"),
        ("X-Amz-Expires=60", "X-Amz-Expires=600"),
        ("us-east-1", "eu-west-1"),
        ("$", "&DurationSeconds=900"),
    ],
    ids=["its_action", "its_life", "its_region", "one_parameter_more"],
)
def test_a_presigned_url_altered_is_refused(pattern, by, signer):
    target, count = re.subn(pattern, by, signer.presigned("sts", IDENTITY), count=1)
    assert count == 1
    assert_refused(signer.send("GET", target), 403, "SignatureDoesNotMatch")


# --- not signed at all ---------------------------------------------------------------------------


def test_an_anonymous_call_is_refused(signer):
    body = signer.form("sts", IDENTITY)
    answer = signer.send("POST", "/", body, {"Content-Type": FORM})
    assert_refused(
        answer, 403, "MissingAuthenticationToken", "Request is missing Authentication Token"
    )


@pytest.mark.parametrize(
    "authorization",
    [
        "AWS4-HMAC-SHA256",
        "AWS4-HMAC-SHA256 Credential=AKIAIOSFODNN7EXAMPLE",
        "AWS4-HMAC-SHA256 Credential=AKIAIOSFODNN7EXAMPLE/20200101/us-east-1/sts/aws4_request,"
        " SignedHeaders=host",
        "AWS4-HMAC-SHA256 Credential=AKIAIOSFODNN7EXAMPLE, SignedHeaders=host, Signature=00",
    ],
)
def test_an_incomplete_signature_is_refused(authorization, signer):
    body = signer.form("sts", IDENTITY)
    headers = {"Content-Type": FORM, "Authorization": authorization, "X-Amz-Date": "20200101T000000Z"}
    answer = signer.send("POST", "/", body, headers)
    assert answer.code == "IncompleteSignature" and answer.status in (400, 403), str(answer)


@pytest.mark.parametrize("authorization", ["Bearer abc", "Basic YTpi", "AWS AKIAIOSFODNN7EXAMPLE:c2ln"])
def test_another_way_of_authentication_is_refused(authorization, signer):
    body = signer.form("sts", IDENTITY)
    answer = signer.send(
        "POST", "/", body, {"Content-Type": FORM, "Authorization": authorization}
    )
    assert answer.status in (400, 403), str(answer)
    assert answer.code in ("IncompleteSignature", "MissingAuthenticationToken"), str(answer)


# --- operations that are not there ---------------------------------------------------------------


def test_an_unknown_action_is_refused(signer):
    answer = signer.query("iam", {"Action": "FrobUser"})
    assert_refused(answer, 400, "InvalidAction", matching="^Could not find operation FrobUser for version 2010-05-08")


def test_no_action_at_all_is_refused(signer):
    answer = signer.query("iam", {"UserName": "x"})
    assert 400 <= answer.status < 500 and answer.code, str(answer)


def test_what_an_error_repeats_is_escaped(signer):
    answer = signer.query("iam", {"Action": "<b>&\"'"})
    assert answer.status == 400
    code = ElementTree.fromstring(answer.text).find(".//{*}Code")
    assert code is not None and code.text == "InvalidAction"


UNBUILT = [
    ("iam", {"Action": "AcquireRole"}),
    ("iam", {"Action": "GetRoleTemplateVersion"}),
]


@pytest.mark.parametrize("service,parameters", UNBUILT, ids=[p["Action"] for _, p in UNBUILT])
def test_an_operation_that_is_not_built_says_so(service, parameters, signer):
    answer = signer.query(service, parameters)
    assert_refused(answer, 501, "InvalidAction", matching="not implemented")
    assert parameters["Action"] in answer.message


def test_an_operation_that_is_not_built_is_still_authenticated(signer):
    answer = signer.query("iam", {"Action": "AcquireRole"}, secret="w" * 40)
    assert_refused(answer, 403, "SignatureDoesNotMatch")


def test_an_unbuilt_operation_of_a_json_service_says_so_and_is_not_tried_again(root):
    analyzer = root.client("accessanalyzer")
    with pytest.raises(ClientError) as raised:
        analyzer.list_analyzers()
    answer = raised.value.response
    assert answer["ResponseMetadata"]["HTTPStatusCode"] == 501
    assert answer["Error"]["Code"] == "UnknownOperationException"
    assert "not implemented" in answer["Error"]["Message"]

    sent = []
    retrying = root.client("accessanalyzer", attempts=4)
    retrying.meta.events.register("before-send.accessanalyzer", lambda **_: sent.append(1))
    with pytest.raises(ClientError):
        retrying.list_analyzers()
    assert len(sent) == 1


def test_an_unknown_target_of_a_json_service_is_refused(signer):
    body = b"{}"
    headers = {
        "Content-Type": "application/x-amz-json-1.1",
        "X-Amz-Target": "TrentService.FrobKey",
    }
    headers = signer.signed("kms", body, headers=headers)
    assert_refused(signer.send("POST", "/", body, headers), 400, "UnknownOperationException")


# --- limits --------------------------------------------------------------------------------------


def raw(server, head, body_pieces=()):
    """Sends bytes as they are; the status of the answer, or None if the connection was closed."""
    with socket.create_connection(("127.0.0.1", server.port), timeout=20) as connection:
        received = b""
        try:
            connection.sendall(head)
            for piece in body_pieces:
                connection.sendall(piece)
        except OSError:
            pass  # the server has answered, or closed, before reading it all
        try:
            while b"\r\n" not in received:
                piece = connection.recv(4096)
                if not piece:
                    return None
                received += piece
        except ConnectionError:
            return None
    return int(received.split()[1])


HEALTH = b"GET /_ringfence/health HTTP/1.1\r\nHost: localhost\r\n\r\n"

# Seconds that a head may take.
HEAD_TIME = 10


@pytest.mark.one_process("the connections of one server")
def test_a_connection_may_be_still_between_calls_and_not_within_a_head(server):
    with (
        socket.create_connection(("127.0.0.1", server.port), timeout=20) as still,
        socket.create_connection(("127.0.0.1", server.port), timeout=20) as half,
        socket.create_connection(("127.0.0.1", server.port), timeout=20) as silent,
    ):
        for connection in (still, half):
            connection.sendall(HEALTH)
            assert connection.recv(4096).startswith(b"HTTP/1.1 200")
        half.sendall(HEALTH[:20])
        began = time.monotonic()
        assert silent.recv(4096) == half.recv(4096) == b""
        assert HEAD_TIME - 1 < time.monotonic() - began < 20
        time.sleep(max(0, HEAD_TIME + 1 - (time.monotonic() - began)))
        still.sendall(HEALTH)
        assert still.recv(4096).startswith(b"HTTP/1.1 200")


def head_of(*lines):
    return "\r\n".join(["POST / HTTP/1.1", "Host: localhost", *lines, "", ""]).encode()


def test_a_body_that_says_it_is_too_large_is_refused_unread(server):
    assert raw(server, head_of(f"Content-Length: {1 << 32}")) == 413


def test_a_chunked_body_that_grows_too_large_is_cut(server):
    chunk = b"100000\r\n" + b"x" * 0x100000 + b"\r\n"
    status = raw(server, head_of("Transfer-Encoding: chunked"), (chunk for _ in range(64)))
    assert status in (413, None)
    assert server.get("/_ringfence/health")[0] == 200


def test_headers_that_are_too_large_are_refused(server):
    lines = [f"X-Filler-{index}: {'x' * 8000}" for index in range(64)]
    assert raw(server, head_of("Content-Length: 0", *lines)) in (400, 431, None)
    assert server.get("/_ringfence/health")[0] == 200


# --- what the server says of itself --------------------------------------------------------------


def metrics(server):
    status, headers, body = server.get("/_ringfence/metrics")
    assert status == 200 and headers["Content-Type"].startswith("text/plain")
    samples = {}
    for line in body.decode().splitlines():
        if line and not line.startswith("#"):
            name, _, value = line.rpartition(" ")
            samples[name] = float(value)
    return samples


@pytest.mark.one_process("the metrics of one process")
def test_metrics_count_calls(server, signer):
    before = metrics(server)
    for _ in range(5):
        assert signer.query("sts", IDENTITY).status == 200
    after = metrics(server)
    grown = {name for name in after if after[name] - before.get(name, 0.0) >= 5}
    assert any("GetCallerIdentity" in name or "request" in name for name in grown), grown


def test_metrics_name_no_caller_and_no_secret(server, root):
    text = server.get("/_ringfence/metrics")[2].decode()
    assert root.access_key_id not in text and root.secret not in text and root.account not in text
