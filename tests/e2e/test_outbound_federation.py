"""Accounts as issuers of tokens: the feature, the tokens, and what verifies them.

The claims: https://docs.aws.amazon.com/IAM/latest/UserGuide/id_roles_providers_outbound_token_claims.html
"""

import json
import re
import subprocess
import time
from datetime import timedelta
from types import SimpleNamespace

import botocore.session
import jwt
import pytest
from botocore import UNSIGNED
from botocore.config import Config

from clients import IDENTITY_SILENT, REGION, assert_denied, refusal
from ringfence_server import parse_exports
from world import World, allow, policy, tags, trust

NAMESPACE = "https://sts.amazonaws.com/"
UUID = r"[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}"
AUDIENCE = "https://api.example.com"
MAY_ISSUE = allow(["sts:GetWebIdentityToken", "sts:TagGetWebIdentityToken"])


def expect(code, status, call, *args, **parameters):
    refused = refusal(call, *args, **parameters)
    assert (refused.code, refused.status) == (code, status), str(refused)
    return refused


@pytest.fixture(scope="module")
def accounts(start_server, ringfence):
    """Two accounts of one server; the first issues tokens."""
    server = start_server()
    server.stop()
    made = ringfence("account", "create", *server.place, "--name", "second")
    exports = parse_exports(made.stdout)
    server.start()
    second = server.principal(exports["AWS_ACCESS_KEY_ID"], exports["AWS_SECRET_ACCESS_KEY"])
    first = World(server.root())
    issuer = first.iam.enable_outbound_web_identity_federation()["IssuerIdentifier"]
    yield SimpleNamespace(server=server, first=first, second=World(second), issuer=issuer)
    server.stop()


@pytest.fixture(scope="module")
def user(accounts):
    return accounts.first.user(MAY_ISSUE, tagged={"team": "blue"})


def token(principal, audience=(AUDIENCE,), algorithm="RS256", **parameters):
    answer = principal.sts.get_web_identity_token(
        Audience=list(audience), SigningAlgorithm=algorithm, **parameters
    )
    return answer["WebIdentityToken"]


def verified(issuer, text, audience=AUDIENCE, algorithms=("RS256", "ES384")):
    """The claims as an outside service finds them: discovery, key set, signature, times."""
    client = jwt.PyJWKClient(issuer + "/.well-known/jwks.json")
    key = client.get_signing_key_from_jwt(text)
    return jwt.decode(text, key.key, algorithms=list(algorithms), audience=audience, issuer=issuer)


def discovered(server, issuer, name="openid-configuration"):
    path = issuer[len(server.url):]
    status, headers, body = server.get(f"{path}/.well-known/{name}")
    assert status == 200, body
    return json.loads(body), headers


# --- The feature ---------------------------------------------------------------------------------


def test_the_feature_is_enabled_told_disabled_and_enabled_again(server, world):
    iam = world.iam
    expect("FeatureDisabled", 404, iam.get_outbound_web_identity_federation_info)
    expect("FeatureDisabled", 404, iam.disable_outbound_web_identity_federation)
    issuer = iam.enable_outbound_web_identity_federation()["IssuerIdentifier"]
    assert re.fullmatch(re.escape(server.url) + "/_ringfence/oidc/" + UUID, issuer)
    assert world.account not in issuer
    expect("FeatureEnabled", 409, iam.enable_outbound_web_identity_federation)
    info = iam.get_outbound_web_identity_federation_info()
    assert (info["IssuerIdentifier"], info["JwtVendingEnabled"]) == (issuer, True)

    keys, _ = discovered(server, issuer, "jwks.json")
    before = token(world.root)
    iam.disable_outbound_web_identity_federation()
    expect("FeatureDisabled", 404, iam.get_outbound_web_identity_federation_info)
    expect(
        "OutboundWebIdentityFederationDisabledException", 403, world.root.sts.get_web_identity_token,
        Audience=["a"], SigningAlgorithm="RS256",
    )
    # "This operation does not affect tokens that were issued before the feature was disabled."
    assert verified(issuer, before)["sub"] == world.root.arn
    # The issuer is the account's for good: those who trust it need not be told again.
    assert iam.enable_outbound_web_identity_federation()["IssuerIdentifier"] == issuer
    assert discovered(server, issuer, "jwks.json")[0] == keys


@pytest.mark.parametrize("operation", [
    "EnableOutboundWebIdentityFederation",
    "DisableOutboundWebIdentityFederation",
    "GetOutboundWebIdentityFederationInfo",
])
def test_the_feature_is_told_to_those_who_may(accounts, operation):
    nobody = accounts.first.user()
    call = getattr(nobody.iam, re.sub(r"(?<!^)(?=[A-Z])", "_", operation).lower())
    # The state is the same for all of them: what is denied does not tell it.
    assert_denied(refusal(call), nobody.arn, f"iam:{operation}", IDENTITY_SILENT)


# --- What is published ---------------------------------------------------------------------------


def test_the_documents_are_what_an_oidc_library_looks_for(accounts):
    found, headers = discovered(accounts.server, accounts.issuer)
    assert found["issuer"] == accounts.issuer
    assert found["jwks_uri"] == accounts.issuer + "/.well-known/jwks.json"
    assert found["response_types_supported"] == ["id_token"]
    assert found["subject_types_supported"] == ["public"]
    assert set(found["id_token_signing_alg_values_supported"]) == {"RS256", "ES384"}
    assert headers["Content-Type"] == "application/json"
    assert re.fullmatch(r"public, max-age=\d+", headers["Cache-Control"])

    keys, _ = discovered(accounts.server, accounts.issuer, "jwks.json")
    assert [key["kid"] for key in keys["keys"]] == ["RSA_1", "EC384_1"]
    for key in keys["keys"]:
        assert key["use"] == "sig"
        assert set(key) <= {"kty", "kid", "use", "alg", "n", "e", "crv", "x", "y"}
    assert accounts.first.account not in json.dumps([found, keys])


def test_nothing_else_is_published_and_nothing_is_taken(accounts):
    server, path = accounts.server, accounts.issuer[len(accounts.server.url):]
    document = path + "/.well-known/openid-configuration"
    status, headers, body = server.request("HEAD", document)
    assert status == 200 and body == b"" and "max-age" in headers["Cache-Control"]
    for method in ("POST", "PUT", "DELETE", "OPTIONS"):
        status, headers, _ = server.request(method, document)
        assert (status, headers["Allow"]) == (405, "GET"), method
    for other in (
        path, path + "/", path + "/.well-known/", path + "/.well-known/keys",
        document + "/", path.upper().replace("/_RINGFENCE/OIDC/", "/_ringfence/oidc/")
        + "/.well-known/jwks.json", path + "//.well-known/jwks.json",
        "/_ringfence/oidc/", "/_ringfence/oidc/" + accounts.first.account + "/.well-known/jwks.json",
        "/_ringfence/oidc/00000000-0000-4000-8000-000000000000/.well-known/jwks.json",
        "/_ringfence/oidc/" + "a" * 5000,
    ):
        assert server.get(other)[0] == 404, other


def test_the_base_of_issuers_can_be_set(start_server):
    server = start_server("--issuer-url", "https://id.example.com/ours/")
    issuer = server.root().iam.enable_outbound_web_identity_federation()["IssuerIdentifier"]
    base = "https://id.example.com/ours"
    assert re.fullmatch(re.escape(base) + "/_ringfence/oidc/" + UUID, issuer)
    found, _ = discovered(server, server.url + issuer[len(base):])
    assert found["issuer"] == issuer
    assert jwt.decode(token(server.root()), options={"verify_signature": False})["iss"] == issuer
    server.stop()
    for wrong in ("id.example.com", "ftp://id.example.com", "https://a?b"):
        refused = start_server("--issuer-url", wrong, wait=False)
        assert refused.wait_until_ended() != 0


# --- Tokens --------------------------------------------------------------------------------------


@pytest.mark.parametrize("algorithm,kid", [("RS256", "RSA_1"), ("ES384", "EC384_1")])
def test_a_token_is_verified_by_the_published_keys(accounts, user, algorithm, kid):
    before = int(time.time())
    answer = user.sts.get_web_identity_token(Audience=[AUDIENCE], SigningAlgorithm=algorithm)
    text = answer["WebIdentityToken"]
    assert jwt.get_unverified_header(text) == {"alg": algorithm, "kid": kid, "typ": "JWT"}
    claims = verified(accounts.issuer, text, algorithms=[algorithm])
    assert set(claims) == {"iss", "sub", "aud", "iat", "exp", "jti", NAMESPACE}
    assert (claims["sub"], claims["aud"]) == (user.arn, AUDIENCE)
    assert before <= claims["iat"] <= int(time.time()) and claims["exp"] == claims["iat"] + 300
    assert re.fullmatch(UUID, claims["jti"])
    assert int(answer["Expiration"].timestamp()) == claims["exp"]
    assert claims[NAMESPACE] == {
        "aws_account": accounts.first.account,
        "source_region": REGION,
        "principal_id": user.arn,
        "principal_tags": {"team": "blue"},
    }
    assert token(user) != token(user)


def test_a_role_sessions_token_is_the_roles_and_tells_of_the_session(accounts, user):
    role = accounts.first.role(MAY_ISSUE, path="/p/", tagged={"team": "red", "env": "x"})
    caller = accounts.first.user(allow("sts:*"))
    answer = caller.sts.assume_role(
        RoleArn=role, RoleSessionName="session", SourceIdentity="ann", Tags=tags(team="green")
    )
    session = caller.session_from(answer["Credentials"])
    text = token(session, ["a", "b"], "ES384", Tags=tags(job="7"), DurationSeconds=60)
    claims = verified(accounts.issuer, text, audience="b")
    assert (claims["sub"], claims["aud"]) == (role, ["a", "b"])
    assert claims["exp"] == claims["iat"] + 60
    own = claims[NAMESPACE]
    expires = answer["Credentials"]["Expiration"]
    assert own.pop("original_session_exp") == expires.strftime("%Y-%m-%dT%H:%M:%SZ")
    assert own == {
        "aws_account": accounts.first.account,
        "source_region": REGION,
        "principal_id": role,
        "principal_tags": {"team": "green", "env": "x"},
        "request_tags": {"job": "7"},
        "source_identity": "ann",
    }


def test_the_region_is_the_one_that_was_called(accounts, user):
    text = user.client("sts", region="eu-central-1").get_web_identity_token(
        Audience=["a"], SigningAlgorithm="ES384"
    )["WebIdentityToken"]
    claims = verified(accounts.issuer, text, audience="a")
    assert claims[NAMESPACE]["source_region"] == "eu-central-1"


def test_a_token_does_not_outlive_its_session(accounts):
    role = accounts.first.role(MAY_ISSUE)
    session = accounts.first.user(allow("sts:*")).assume(role, DurationSeconds=900)
    parameters = {"Audience": ["a"], "SigningAlgorithm": "ES384"}
    assert session.sts.get_web_identity_token(DurationSeconds=890, **parameters)
    expect(
        "SessionDurationEscalationException", 403, session.sts.get_web_identity_token,
        DurationSeconds=901, **parameters,
    )


BAD = [
    ("ValidationError", {"Audience": []}),
    ("ValidationError", {"Audience": [str(i) for i in range(11)]}),
    ("ValidationError", {"Audience": ["a" * 1001]}),
    ("ValidationError", {"SigningAlgorithm": "HS256"}),
    ("ValidationError", {"SigningAlgorithm": "none"}),
    ("ValidationError", {"DurationSeconds": 59}),
    ("ValidationError", {"DurationSeconds": 3601}),
    ("ValidationError", {"Tags": [{"Key": "", "Value": "x"}]}),
    ("ValidationError", {"Tags": [{"Key": f"k{i}", "Value": "x"} for i in range(51)]}),
    ("InvalidParameterValue", {"Tags": [{"Key": "aws:x", "Value": "x"}]}),
    ("InvalidParameterValue", {"Tags": [{"Key": "a", "Value": "x"}, {"Key": "A", "Value": "y"}]}),
    ("JWTPayloadSizeExceededException",
     {"Tags": [{"Key": f"{i:0128}", "Value": "v" * 256} for i in range(30)]}),
]


@pytest.mark.parametrize("code,changes", BAD, ids=range(len(BAD)))
def test_what_is_no_request_is_refused(accounts, user, code, changes):
    parameters = {"Audience": ["a"], "SigningAlgorithm": "ES384", **changes}
    expect(code, 400, user.sts_unchecked.get_web_identity_token, **parameters)


def test_who_may_call_it(accounts, user):
    parameters = {"Audience": ["a"], "SigningAlgorithm": "ES384"}
    everything = accounts.first.user(allow("*"))
    assert everything.sts.get_web_identity_token(**parameters)
    assert accounts.first.root.sts.get_web_identity_token(**parameters)
    session = everything.session_from(everything.sts.get_session_token()["Credentials"])
    federated = everything.sts.get_federation_token(Name="bob", Policy=policy(allow("*")))
    federated = everything.session_from(federated["Credentials"])
    for caller in (session, federated):
        refused = expect("AccessDenied", 403, caller.sts.get_web_identity_token, **parameters)
        assert refused.message == "Cannot call GetWebIdentityToken with session credentials"
    expect(
        "OutboundWebIdentityFederationDisabledException", 403,
        accounts.second.root.sts.get_web_identity_token, **parameters,
    )


def test_a_caller_without_permission_does_not_learn_whether_the_feature_is_enabled(accounts):
    for world in (accounts.first, accounts.second):
        nobody = world.user()
        refused = refusal(
            nobody.sts.get_web_identity_token, Audience=["a"], SigningAlgorithm="ES384"
        )
        assert_denied(refused, nobody.arn, "sts:GetWebIdentityToken", IDENTITY_SILENT)


ALL = "ForAllValues:StringEquals"
CONDITIONS = [
    ({ALL: {"sts:IdentityTokenAudience": ["a", "b"]}}, {}, {"Audience": ["a", "c"]}),
    ({"ForAnyValue:StringLike": {"sts:IdentityTokenAudience": "a*"}}, {}, {"Audience": ["b"]}),
    ({"StringEquals": {"sts:SigningAlgorithm": "ES384"}}, {}, {"SigningAlgorithm": "RS256"}),
    ({"NumericLessThanEquals": {"sts:DurationSeconds": "300"}}, {}, {"DurationSeconds": 301}),
    ({"NumericEquals": {"sts:DurationSeconds": "60"}}, {"DurationSeconds": 60}, {}),
    ({"StringEquals": {"aws:RequestTag/job": "1"}}, {"Tags": tags(job="1")}, {"Tags": tags(job="2")}),
    ({ALL: {"aws:TagKeys": ["job"]}}, {"Tags": tags(job="1")}, {"Tags": tags(job="1", x="2")}),
]


@pytest.mark.parametrize("condition,good,bad", CONDITIONS, ids=range(len(CONDITIONS)))
def test_conditions_decide_what_a_token_may_say(accounts, condition, good, bad):
    parameters = {"Audience": ["a"], "SigningAlgorithm": "ES384"}
    caller = accounts.first.user(
        allow("sts:GetWebIdentityToken", Condition=condition), allow("sts:TagGetWebIdentityToken")
    )
    assert caller.sts.get_web_identity_token(**{**parameters, **good})
    refused = refusal(caller.sts.get_web_identity_token, **{**parameters, **bad})
    assert_denied(refused, caller.arn, "sts:GetWebIdentityToken", IDENTITY_SILENT)


def test_tags_of_a_token_need_a_permission_of_their_own(accounts):
    caller = accounts.first.user(
        allow("sts:GetWebIdentityToken", f"arn:aws:sts::{accounts.first.account}:self")
    )
    parameters = {"Audience": ["a"], "SigningAlgorithm": "ES384"}
    assert caller.sts.get_web_identity_token(**parameters)
    refused = refusal(caller.sts.get_web_identity_token, Tags=tags(a="b"), **parameters)
    assert_denied(refused, caller.arn, "sts:TagGetWebIdentityToken", IDENTITY_SILENT)


def test_the_aws_command_line_enables_and_asks(accounts, aws_command, tmp_path):
    def aws(*arguments):
        done = subprocess.run(
            [aws_command, *arguments, "--output", "json"],
            env={"PATH": "/usr/bin:/bin", "HOME": str(tmp_path),
                 **accounts.first.root.environment()},
            capture_output=True, text=True, timeout=60, check=True,
        )
        return json.loads(done.stdout)

    info = aws("iam", "get-outbound-web-identity-federation-info")
    assert info == {"IssuerIdentifier": accounts.issuer, "JwtVendingEnabled": True}
    answer = aws("sts", "get-web-identity-token", "--audience", "a", "b",
                 "--signing-algorithm", "RS256", "--tags", "Key=job,Value=7")
    claims = verified(accounts.issuer, answer["WebIdentityToken"], audience="a")
    assert claims[NAMESPACE]["request_tags"] == {"job": "7"}


# --- The circle ----------------------------------------------------------------------------------


def unsigned(url):
    return botocore.session.Session().create_client(
        "sts", region_name=REGION, endpoint_url=url,
        config=Config(signature_version=UNSIGNED, retries={"total_max_attempts": 1}),
    )


def test_another_account_trusts_the_issuer_and_no_altered_token(accounts, user):
    """AWS does not take its own tokens here; a provider of this server is any issuer."""
    second, issuer = accounts.second, accounts.issuer
    provider = second.iam.create_open_id_connect_provider(Url=issuer, ClientIDList=[AUDIENCE])
    name = issuer.split("://")[1]
    role = second.role(trusted=[trust(
        {"Federated": provider["OpenIDConnectProviderArn"]}, "sts:AssumeRoleWithWebIdentity",
        Condition={"StringEquals": {f"{name}:sub": user.arn, f"{name}:aud": AUDIENCE}},
    )])
    sts = unsigned(accounts.server.url)

    def become(text):
        return sts.assume_role_with_web_identity(
            RoleArn=role, RoleSessionName="session", WebIdentityToken=text
        )

    for algorithm in ("RS256", "ES384"):
        good = token(user, algorithm=algorithm)
        answer = become(good)
        assert answer["SubjectFromWebIdentityToken"] == user.arn
        session = second.root.session_from(answer["Credentials"])
        assert session.account == second.account

        header, payload, signature = good.split(".")
        claims = jwt.decode(good, options={"verify_signature": False})
        forged = jwt.encode({**claims, "exp": claims["exp"] + 60}, "k" * 32).split(".")[1]
        expect("InvalidIdentityToken", 400, become, f"{header}.{forged}.{signature}")
        flipped = ("B" if signature[0] == "A" else "A") + signature[1:]
        expect("InvalidIdentityToken", 400, become, f"{header}.{payload}.{flipped}")
    # Another audience, and another principal of the same account.
    expect("InvalidIdentityToken", 400, become, token(user, ["https://other"]))
    other = accounts.first.user(MAY_ISSUE)
    expect("AccessDenied", 403, become, token(other))


# --- Durability and secrecy ----------------------------------------------------------------------


def test_issuer_and_keys_survive_a_crash(start_server):
    server = start_server()
    root = server.root()
    issuer = root.iam.enable_outbound_web_identity_federation()["IssuerIdentifier"]
    keys, text = discovered(server, issuer, "jwks.json")[0], token(root)
    server.kill()
    server.start()
    assert discovered(server, issuer, "jwks.json")[0] == keys
    assert verified(issuer, text)["sub"] == root.arn
    assert verified(issuer, token(root))["sub"] == root.arn
    root.iam.disable_outbound_web_identity_federation()
    server.kill()
    server.start()
    expect("FeatureDisabled", 404, root.iam.get_outbound_web_identity_federation_info)
    server.stop()


def test_tokens_and_private_keys_are_in_no_file(accounts, user):
    text = token(user, ["audience-in-the-log"], DurationSeconds=60)
    event = accounts.server.audit_event(
        lambda event: event["eventName"] == "GetWebIdentityToken"
        and "audience-in-the-log" in json.dumps(event["requestParameters"])
    )
    assert event["readOnly"] is False and event["userIdentity"]["arn"] == user.arn
    signature = text.rsplit(".", 1)[1]
    for path in accounts.server.data.rglob("*"):
        if path.is_file():
            content = path.read_bytes()
            assert signature.encode() not in content and text.encode() not in content, path
            # The algorithm of an RSA key in PKCS #8, which stands before every one.
            assert bytes.fromhex("300d06092a864886f70d0101010500048204") not in content, path


# --- Time ----------------------------------------------------------------------------------------


def test_keys_change_and_stay_published_while_their_tokens_last(start_server):
    dev = start_server(dev=True)
    root = dev.principal("111122223333", "x")
    issuer = root.iam.enable_outbound_web_identity_federation()["IssuerIdentifier"]

    def kids():
        return [key["kid"] for key in discovered(dev, issuer, "jwks.json")[0]["keys"]]

    def later(**how):
        dev.post_json("/_ringfence/clock", {"advance_seconds": int(timedelta(**how).total_seconds())})

    def kid():
        return jwt.get_unverified_header(token(root, ["a"], "ES384"))["kid"]

    assert kid() == "EC384_1"
    later(days=90)
    # The successor is published before it signs.
    assert kid() == "EC384_1" and kids() == ["RSA_1", "EC384_1", "EC384_2"]
    later(minutes=5)
    assert kid() == "EC384_2" and kids() == ["RSA_1", "EC384_1", "EC384_2"]
    later(minutes=66)
    assert kids() == ["RSA_1", "EC384_2"]
    text = token(root, ["a"], "ES384")
    key = jwt.PyJWKClient(issuer + "/.well-known/jwks.json").get_signing_key_from_jwt(text)
    assert jwt.decode(text, key.key, algorithms=["ES384"], audience="a",
                      options={"verify_exp": False, "verify_iat": False})
    dev.stop()
