"""OpenID Connect providers, and sessions for the tokens of their issuers.

[rec] marks texts recorded from AWS, kept by LocalStack in
tests/aws/services/iam/test_iam_oidc.snapshot.json (2026).
"""

import base64
import json
import subprocess
import time

import botocore.session
import jwt
import pytest
from botocore import UNSIGNED
from botocore.config import Config
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec

from clients import REGION, assert_denied, refusal
from issuer import (
    AUDIENCE,
    Issuer,
    claims,
    ec_key,
    jwk,
    part,
    public_pem,
    rsa_key,
    self_signed,
    signed,
    thumbprint,
)
from world import World, allow, policy, tags, unique

PRINT = "ab" * 20


def expect(code, status, message, call, *args, **parameters):
    refused = refusal(call, *args, **parameters)
    assert (refused.code, refused.status) == (code, status), str(refused)
    assert refused.message == message, refused.message
    return refused


# --- Providers -----------------------------------------------------------------------------------


def create(world, url=None, **parameters):
    url = url or f"https://{unique('idp')}.example.com"
    answer = world.iam.create_open_id_connect_provider(Url=url, **parameters)
    return answer["OpenIDConnectProviderArn"]


def get(world, arn):
    return world.iam.get_open_id_connect_provider(OpenIDConnectProviderArn=arn)


def test_a_provider_is_made_shown_changed_and_deleted(world):
    name = unique("idp") + ".example.com/realms/A"
    answer = world.iam.create_open_id_connect_provider(
        Url=f"https://{name}", ClientIDList=["a", "b", "a"], ThumbprintList=[PRINT.upper()]
    )
    arn = answer["OpenIDConnectProviderArn"]
    assert arn == world.arn(f"oidc-provider/{name}")
    assert "Tags" not in answer
    shown = get(world, arn)
    assert (shown["Url"], shown["ClientIDList"], shown["ThumbprintList"], shown["Tags"]) == (
        name, ["a", "b"], [PRINT], [],
    )
    assert {"Arn": arn} in world.iam.list_open_id_connect_providers()["OpenIDConnectProviderList"]

    one = {"OpenIDConnectProviderArn": arn}
    for client in ("c", "c"):
        world.iam.add_client_id_to_open_id_connect_provider(ClientID=client, **one)
    for client in ("a", "a", "never"):
        world.iam.remove_client_id_from_open_id_connect_provider(ClientID=client, **one)
    world.iam.update_open_id_connect_provider_thumbprint(ThumbprintList=["cd" * 20] * 2, **one)
    shown = get(world, arn)
    assert shown["ClientIDList"] == ["b", "c"]
    assert shown["ThumbprintList"] == ["cd" * 20] * 2

    before = world.iam.get_account_summary()["SummaryMap"]["Providers"]
    world.iam.delete_open_id_connect_provider(**one)
    assert world.iam.get_account_summary()["SummaryMap"]["Providers"] == before - 1
    assert {"Arn": arn} not in world.iam.list_open_id_connect_providers()["OpenIDConnectProviderList"]
    # [rec]
    expect(
        "NoSuchEntity", 404, f"OpenIDConnect Provider not found for arn {arn}",
        world.iam.get_open_id_connect_provider, **one,
    )
    expect(
        "NoSuchEntity", 404, f"OpenId connect Provider {arn} cannot be found.",
        world.iam.delete_open_id_connect_provider, **one,
    )


def test_thumbprints_and_client_ids_may_be_left_out(world):
    shown = get(world, create(world))
    assert (shown["ClientIDList"], shown["ThumbprintList"]) == ([], [])


def test_refusals_are_worded_as_awss(world):
    make = world.iam.create_open_id_connect_provider
    for url in ("example.org", "http://example.org", "https://example.org/?a=b"):
        # [rec]
        expect("ValidationError", 400, "Invalid Open ID Connect Provider URL", make, Url=url)
    url = f"https://{unique('idp')}.example.com"
    arn = create(world, url)
    # [rec]
    expect("EntityAlreadyExists", 409, f"Provider with url {url} already exists.", make, Url=url)
    expect(
        "InvalidInput", 400, "Thumbprint list must contain fewer than 5 entries.",
        make, Url=f"https://{unique('idp')}.example.com", ThumbprintList=[PRINT] * 6,
    )
    clients = [str(number) for number in range(101)]
    limit = "Cannot exceed quota for ClientIdsPerOpenIdConnectProvider: 100"
    expect(
        "LimitExceeded", 409, limit,
        make, Url=f"https://{unique('idp')}.example.com", ClientIDList=clients,
    )
    full = create(world, ClientIDList=clients[:100])
    expect(
        "LimitExceeded", 409, limit,
        world.iam.add_client_id_to_open_id_connect_provider,
        OpenIDConnectProviderArn=full, ClientID="one more",
    )
    for wrong in (arn.replace("oidc-provider", "saml-provider"), "x" * 20):
        refused = refusal(
            world.iam.get_open_id_connect_provider, OpenIDConnectProviderArn=wrong
        )
        assert refused.code == "InvalidInput", str(refused)


def test_tags_are_set_listed_in_pages_and_taken_away(world):
    answer = world.iam.create_open_id_connect_provider(
        Url=f"https://{unique('idp')}.example.com", Tags=tags(b="2", a="1")
    )
    assert answer["Tags"] == tags(a="1", b="2")
    one = {"OpenIDConnectProviderArn": answer["OpenIDConnectProviderArn"]}
    world.iam.tag_open_id_connect_provider(Tags=tags(b="3", B="4"), **one)
    page = world.iam.list_open_id_connect_provider_tags(MaxItems=2, **one)
    assert page["IsTruncated"] and len(page["Tags"]) == 2
    rest = world.iam.list_open_id_connect_provider_tags(Marker=page["Marker"], **one)
    assert page["Tags"] + rest["Tags"] == tags(B="4", a="1", b="3")
    world.iam.untag_open_id_connect_provider(TagKeys=["a", "B"], **one)
    assert get(world, answer["OpenIDConnectProviderArn"])["Tags"] == tags(b="3")
    many = [{"Key": f"k{number}", "Value": ""} for number in range(50)]
    # [rec]
    expect(
        "LimitExceeded", 409, "The number of tags has reached the maximum limit.",
        world.iam.tag_open_id_connect_provider, Tags=many, **one,
    )


CALLS = [
    ("GetOpenIDConnectProvider", {}),
    ("DeleteOpenIDConnectProvider", {}),
    ("AddClientIDToOpenIDConnectProvider", {"ClientID": "c"}),
    ("RemoveClientIDFromOpenIDConnectProvider", {"ClientID": "c"}),
    ("UpdateOpenIDConnectProviderThumbprint", {"ThumbprintList": [PRINT]}),
    ("TagOpenIDConnectProvider", {"Tags": tags(a="1")}),
    ("UntagOpenIDConnectProvider", {"TagKeys": ["a"]}),
    ("ListOpenIDConnectProviderTags", {}),
]


def method(client, operation):
    for name, wire in client.meta.method_to_api_mapping.items():
        if wire == operation:
            return getattr(client, name)
    raise AssertionError(operation)


SILENT = "because no identity-based policy allows the {action} action"


@pytest.mark.parametrize("operation, parameters", CALLS)
def test_a_denial_tells_nothing_of_what_is_there(world, operation, parameters):
    nobody = world.user()
    for arn in (create(world), world.arn("oidc-provider/none.example.com")):
        refused = refusal(
            method(nobody.iam, operation), OpenIDConnectProviderArn=arn, **parameters
        )
        assert_denied(refused, nobody.arn, f"iam:{operation}", SILENT, arn)


def test_listing_making_and_tagging_are_decided_too(world):
    nobody = world.user()
    refused = refusal(nobody.iam.list_open_id_connect_providers)
    every = world.arn("oidc-provider/*")
    assert_denied(refused, nobody.arn, "iam:ListOpenIDConnectProviders", SILENT, every)
    maker = world.user(allow("iam:CreateOpenIDConnectProvider"))
    name = unique("idp") + ".example.com"
    arn = world.arn(f"oidc-provider/{name}")
    refused = refusal(
        maker.iam.create_open_id_connect_provider, Url=f"https://{name}", Tags=tags(a="1")
    )
    assert_denied(refused, maker.arn, "iam:TagOpenIDConnectProvider", SILENT, arn)
    refused = refusal(nobody.iam.create_open_id_connect_provider, Url=f"https://{name}")
    assert_denied(refused, nobody.arn, "iam:CreateOpenIDConnectProvider", SILENT, arn)


def test_a_condition_on_a_providers_tag_holds(world):
    reader = world.user(
        allow(
            "iam:GetOpenIDConnectProvider",
            Condition={"StringEquals": {"aws:ResourceTag/team": "a"}},
        )
    )
    mine, other = create(world, Tags=tags(team="a")), create(world, Tags=tags(team="b"))
    assert reader.iam.get_open_id_connect_provider(OpenIDConnectProviderArn=mine)["Url"]
    refused = refusal(reader.iam.get_open_id_connect_provider, OpenIDConnectProviderArn=other)
    assert refused.code == "AccessDenied"


def test_the_aws_command_line_makes_and_shows_one(world, aws_command):
    def run(*words):
        done = subprocess.run(
            [aws_command, "iam", *words, "--output", "json"],
            env=world.root.environment(), capture_output=True, text=True, timeout=60, check=True,
        )
        return json.loads(done.stdout) if done.stdout else None

    url = f"https://{unique('idp')}.example.com"
    arn = run("create-open-id-connect-provider", "--url", url, "--client-id-list", "a", "b")[
        "OpenIDConnectProviderArn"
    ]
    shown = run("get-open-id-connect-provider", "--open-id-connect-provider-arn", arn)
    assert shown["ClientIDList"] == ["a", "b"]
    run("delete-open-id-connect-provider", "--open-id-connect-provider-arn", arn)


# --- Sessions ------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def idp():
    issuer = Issuer(path="/realms/a")
    issuer.keys = {
        "r1": rsa_key(),
        "e1": ec_key(),
        "e2": ec_key(ec.SECP384R1()),
        "e3": ec_key(ec.SECP521R1()),
    }
    yield issuer
    issuer.stop()


@pytest.fixture(scope="module")
def provider(world, idp):
    return create(world, idp.url, ClientIDList=[AUDIENCE, "another"])


def unsigned(url):
    return botocore.session.Session().create_client(
        "sts", region_name=REGION, endpoint_url=url,
        config=Config(signature_version=UNSIGNED, retries={"total_max_attempts": 1}),
    )


@pytest.fixture(scope="module")
def sts(server):
    return unsigned(server.url)


WEB = "sts:AssumeRoleWithWebIdentity"


def trusted(provider, action=WEB, **condition):
    statement = {"Effect": "Allow", "Principal": {"Federated": provider}, "Action": action}
    return {**statement, "Condition": condition} if condition else statement


@pytest.fixture(scope="module")
def role(world, provider):
    return world.role(allow("iam:ListUsers"), trusted=[trusted(provider)])


def become(sts, role, token, **parameters):
    return sts.assume_role_with_web_identity(
        RoleArn=role, RoleSessionName="web", WebIdentityToken=token, **parameters
    )


def test_a_token_becomes_a_session(world, server, sts, idp, provider, role):
    answer = become(sts, role, idp.token())
    assert answer["Provider"] == provider
    assert answer["Audience"] == AUDIENCE
    assert answer["SubjectFromWebIdentityToken"] == "subject-1"
    assert "PackedPolicySize" not in answer and "SourceIdentity" not in answer
    name = role.rsplit("/", 1)[1]
    arn = f"arn:aws:sts::{world.account}:assumed-role/{name}/web"
    assert answer["AssumedRoleUser"]["Arn"] == arn
    session = world.root.session_from(answer["Credentials"])
    assert session.identity["Arn"] == arn
    assert session.iam.list_users()["Users"] is not None
    assert refusal(session.iam.list_roles).code == "AccessDenied"
    event = server.audit_event(
        lambda e: e["eventName"] == "AssumeRoleWithWebIdentity" and not e.get("errorCode")
    )
    assert event["userIdentity"] == {
        "type": "WebIdentityUser",
        "principalId": f"{provider}:{AUDIENCE}:subject-1",
        "userName": "subject-1",
        "identityProvider": provider,
    }
    assert event["recipientAccountId"] == world.account
    assert event["responseElements"]["subjectFromWebIdentityToken"] == "subject-1"


def test_neither_token_nor_credentials_are_recorded(server, sts, idp, role):
    token = idp.token()
    answer = become(sts, role, token)
    refusal(become, sts, role, token[:-8] + "AAAAAAAA")
    server.audit_event(lambda e: e.get("errorCode") == "InvalidIdentityTokenException"
                       or e.get("errorCode") == "InvalidIdentityToken")
    text = server.audit_text()
    for secret in (
        token, token.split(".")[2], answer["Credentials"]["SecretAccessKey"],
        answer["Credentials"]["SessionToken"],
    ):
        assert secret not in text


@pytest.mark.parametrize(
    "kid, algorithm",
    [
        ("r1", "RS256"), ("r1", "RS384"), ("r1", "RS512"), ("r1", "PS256"), ("r1", "PS512"),
        ("e1", "ES256"), ("e2", "ES384"), ("e3", "ES512"),
    ],
)
def test_rsa_and_ecdsa_signatures_are_taken(sts, idp, role, kid, algorithm):
    assert become(sts, role, idp.token(kid, algorithm))["Credentials"]


def test_the_aws_command_line_and_boto3s_own_provider_work(world, server, idp, role, aws_command, tmp_path):
    file = tmp_path / "token"
    file.write_text(idp.token())
    environment = {
        "AWS_ENDPOINT_URL": server.url, "AWS_DEFAULT_REGION": REGION,
        "AWS_ROLE_ARN": role, "AWS_WEB_IDENTITY_TOKEN_FILE": str(file),
    }
    done = subprocess.run(
        [aws_command, "sts", "get-caller-identity", "--output", "json"],
        env=environment, capture_output=True, text=True, timeout=60, check=True,
    )
    assert json.loads(done.stdout)["Arn"].split("/")[1] == role.rsplit("/", 1)[1]


INVALID = "InvalidIdentityToken"
NO_JWT = (
    "The ID Token provided is not a valid JWT. (You may see this error if you sent an Access Token)"
)
# https://github.com/awslabs/aws-sdk-rust/issues/827
NO_KEY = (
    "Couldn't retrieve verification key from your identity provider,  please reference "
    "AssumeRoleWithWebIdentity documentation for requirements"
)
BAD_SIGNATURE = "The signature of the token is not valid"
AUDIENCE_WRONG = "Incorrect token audience"


def forged(idp):
    """Tokens that nobody should believe, and why each is refused."""
    now = int(time.time())
    good = claims(idp.url)
    header, payload, signature = idp.token().split(".")
    key, kid = idp.keys["r1"], "r1"
    other = rsa_key()

    def raw(head, body, secret_signed=b"x"):
        return f"{part(head)}.{part(body)}.{part(secret_signed)}"

    def hmac_with_public_key(name):
        import hashlib
        import hmac

        text = f"{part({'alg': name, 'kid': kid})}.{part(good)}"
        pem = public_pem(key)
        digest = hmac.new(pem, text.encode(), {"HS256": hashlib.sha256, "HS512": hashlib.sha512}[name])
        return f"{text}.{part(digest.digest())}"

    twice = json.dumps(good)[:-1] + f', "aud": "{AUDIENCE}"}}'
    yield "none", raw({"alg": "none"}, good, b""), NO_JWT
    yield "none with a signature", raw({"alg": "none", "kid": kid}, good), NO_JWT
    yield "None", raw({"alg": "None", "kid": kid}, good), NO_JWT
    yield "HS256 with the public key", hmac_with_public_key("HS256"), NO_JWT
    yield "HS512 with the public key", hmac_with_public_key("HS512"), NO_JWT
    yield "no signature", f"{header}.{payload}.", BAD_SIGNATURE
    yield "two parts", f"{header}.{payload}", NO_JWT
    yield "four parts", f"{header}.{payload}.{signature}.x", NO_JWT
    yield "padding", f"{header}=.{payload}.{signature}", NO_JWT
    yield "another payload", f"{header}.{part({**good, 'sub': 'admin'})}.{signature}", BAD_SIGNATURE
    yield "another key", signed(good, other, kid), BAD_SIGNATURE
    yield "unknown kid", signed(good, other, "unknown"), NO_KEY
    yield "kid as a path", signed(good, other, "../../../../dev/null"), NO_KEY
    yield "kid as SQL", signed(good, other, "' OR 1=1 --"), NO_KEY
    yield "kid that is no text", raw({"alg": "RS256", "kid": ["r1"]}, good), NO_JWT
    yield "no kid", jwt.encode(good, key, "RS256"), NO_KEY
    yield "a key in the header", signed(good, other, "own", jwk=jwk(other, "own")), NO_KEY
    yield "jku", signed(good, other, "own", jku=f"{idp.url}/evil"), NO_KEY
    yield "x5u", signed(good, other, "own", x5u=f"{idp.url}/evil"), NO_KEY
    yield "crit", signed(good, key, kid, crit=["exp"]), NO_JWT
    yield "EC token for the RSA key", signed(good, idp.keys["e1"], kid, "ES256"), NO_KEY
    yield "a name twice", raw({"alg": "RS256", "kid": kid}, twice.encode()), NO_JWT
    yield "no JSON", raw(b"{", b"{"), NO_JWT
    yield "an access token", "ya29.a0AfH6SMBx", NO_JWT
    yield "huge", "A" * 9000 + "." + "B" * 9000 + ".C", NO_JWT
    yield "deep", raw({"alg": "RS256", "kid": kid}, (b'{"a":' + b"[" * 5000)), NO_JWT
    for what, change, message in (
        ("wrong audience", {"aud": "theirs"}, AUDIENCE_WRONG),
        ("two audiences", {"aud": [AUDIENCE, "theirs"]}, AUDIENCE_WRONG),
        ("two audiences of ours", {"aud": [AUDIENCE, "another"]}, AUDIENCE_WRONG),
        ("no audience in a list", {"aud": []}, AUDIENCE_WRONG),
        ("authorized party", {"azp": "theirs"}, AUDIENCE_WRONG),
        ("audience of numbers", {"aud": [7]}, "Missing a required claim: aud"),
        ("no audience", {"aud": None}, "Missing a required claim: aud"),
        ("no subject", {"sub": None}, "Missing a required claim: sub"),
        ("empty subject", {"sub": ""}, "Missing a required claim: sub"),
        ("long subject", {"sub": "s" * 256}, "Missing a required claim: sub"),
        ("no end", {"exp": None}, "Missing a required claim: exp"),
        ("end that is a text", {"exp": str(now + 600)}, "Missing a required claim: exp"),
        ("end with a fraction", {"exp": now + 600.5}, "Missing a required claim: exp"),
        ("no time of issue", {"iat": None}, "Missing a required claim: iat"),
    ):
        body = claims(idp.url, **change)
        # PyJWT itself refuses some claims: the signature is its, the payload is ours.
        text = f"{part({'alg': 'RS256', 'kid': kid})}.{part(body)}"
        made = jwt.algorithms.RSAAlgorithm(jwt.algorithms.RSAAlgorithm.SHA256).sign(text.encode(), key)
        yield what, f"{text}.{part(made)}", message


def test_forged_tokens_are_refused(sts, idp, role):
    seen = 0
    for what, token, message in forged(idp):
        refused = refusal(become, sts, role, token)
        assert (refused.code, refused.status) == (INVALID, 400), f"{what}: {refused}"
        assert refused.message == message, f"{what}: {refused}"
        seen += 1
    assert seen > 35
    assert not [path for path in idp.asked if "evil" in path]
    # They were refused for what they are.
    assert become(sts, role, idp.token())


def test_a_token_longer_than_the_model_allows_is_refused(sts, role):
    refused = refusal(become, sts, role, "A" * 20_001)
    assert refused.code == "ValidationError" and "A" * 100 not in refused.message


def test_times_are_kept_with_five_minutes_of_skew(sts, idp, role):
    now = int(time.time())
    assert become(sts, role, idp.token(exp=now - 250, iat=now - 900))
    ended = now - 310
    refused = refusal(become, sts, role, idp.token(exp=ended, iat=now - 900))
    assert (refused.code, refused.status) == ("ExpiredTokenException", 400)
    assert refused.message.startswith("Token expired: current date/time ")
    assert refused.message.endswith(f" must be before the expiration date/time{ended}")
    assert become(sts, role, idp.token(nbf=now + 200))
    for change in ({"nbf": now + 400}, {"iat": now + 400}):
        refused = refusal(become, sts, role, idp.token(**change))
        assert refused.code == INVALID and "not yet valid" in refused.message


def test_an_issuer_counts_only_where_the_account_has_it_exactly(world, sts, idp, role):
    none = "No OpenIDConnect provider found in your account for "
    for issuer in (
        "https://unknown.example.com",
        idp.url.replace("http://", "https://"),
        idp.url + "/",
        idp.url.replace("/realms/a", "/realms/A"),
        idp.url + "/../b",
        "accounts.google.com.evil.example",
    ):
        token = signed(claims(issuer), idp.keys["r1"], "r1")
        expect(INVALID, 400, none + issuer, become, sts, role, token)


def test_another_accounts_provider_is_not_this_ones(dev, idp):
    """The role's account decides which issuers count, whatever the role trusts."""
    mine = World(dev.principal("111111111111", "x"))
    other = World(dev.principal("222222222222", "x"))
    arn = create(mine, idp.url, ClientIDList=[AUDIENCE])
    statements = [trusted(arn), trusted("*")]
    sts = unsigned(dev.url)
    assert become(sts, mine.role(trusted=statements), idp.token())
    none = f"No OpenIDConnect provider found in your account for {idp.url}"
    expect(INVALID, 400, none, become, sts, other.role(trusted=statements), idp.token())
    # Neither is one of an account that is not here.
    expect(INVALID, 400, none, become, sts, "arn:aws:iam::999999999999:role/any", idp.token())
    refused = refusal(other.iam.get_open_id_connect_provider, OpenIDConnectProviderArn=arn)
    assert refused.code == "NoSuchEntity"
    other.iam.create_open_id_connect_provider(Url=idp.url)
    assert len(other.iam.list_open_id_connect_providers()["OpenIDConnectProviderList"]) == 1
    assert get(mine, arn)["ClientIDList"] == [AUDIENCE]


DENIED = "Not authorized to perform sts:AssumeRoleWithWebIdentity"


def test_the_trust_policy_decides(world, sts, idp, provider):
    name = idp.name
    rows = [
        ([trusted(provider)], {}, True),
        ([trusted(world.arn("oidc-provider/other.example.com"))], {}, False),
        ([trusted("accounts.google.com")], {}, False),
        ([trusted(provider, "sts:AssumeRole")], {}, False),
        ([trusted(provider, StringEquals={f"{name}:aud": AUDIENCE})], {}, True),
        ([trusted(provider, StringEquals={f"{name}:aud": "another"})], {}, False),
        ([trusted(provider, StringLike={f"{name}:sub": "repo:org/*:ref"})],
         {"sub": "repo:org/x:ref"}, True),
        ([trusted(provider, StringLike={f"{name}:sub": "repo:org/*:ref"})],
         {"sub": "repo:evil/x:ref"}, False),
        ([trusted(provider, StringEquals={f"{name}:aud": "party"})], {"azp": "another"}, False),
        ([trusted(provider, StringEquals={f"{name}:aud": "another"})], {"azp": "another"}, True),
        ([trusted(provider, **{"ForAnyValue:StringEquals": {f"{name}:amr": ["mfa"]}})],
         {"amr": ["pwd", "mfa"]}, True),
        ([trusted(provider, **{"ForAnyValue:StringEquals": {f"{name}:amr": ["mfa"]}})],
         {"amr": ["pwd"]}, False),
        # Claims that AWS makes no keys of.
        ([trusted(provider, StringEquals={f"{name}:groups": "admins"})], {"groups": "admins"}, False),
        ([trusted(provider, StringEquals={"sts:RoleSessionName": "web"})], {}, True),
        ([trusted(provider, StringEquals={"sts:RoleSessionName": "other"})], {}, False),
        ([trusted(provider, Null={"aws:PrincipalArn": "false"})], {}, False),
        ([trusted(provider), {**trusted(provider, StringEquals={f"{name}:sub": "subject-1"}),
                              "Effect": "Deny"}], {}, False),
        ([{"Effect": "Allow", "Principal": {"AWS": world.account_principal}, "Action": WEB}], {}, False),
    ]
    for statements, change, allowed in rows:
        role = world.role(trusted=statements)
        token = idp.token(**change)
        if allowed:
            assert become(sts, role, token), statements
        else:
            expect("AccessDenied", 403, DENIED, become, sts, role, token)
    expect("AccessDenied", 403, DENIED, become, sts, world.arn("role/none"), idp.token())


def test_signing_the_call_changes_nothing(world, idp, provider, role):
    """The token says who calls, and nobody else."""
    admin = world.user(allow("*"))
    closed = world.role(trusted=[trusted(world.arn("oidc-provider/other.example.com"))])
    for principal in (admin, world.root):
        refused = refusal(become, principal.sts, closed, idp.token())
        assert refused.message == DENIED
        assert become(principal.sts, role, idp.token())


def test_session_tags_and_source_identity_come_from_the_token(world, server, sts, idp, provider):
    web = [WEB, "sts:TagSession", "sts:SetSourceIdentity"]
    open_role = world.role(
        allow("iam:ListUsers", Condition={"StringEquals": {
            "aws:PrincipalTag/Project": "Mercury",
            "aws:SourceIdentity": "ana",
            "aws:FederatedProvider": provider,
            f"{idp.name}:sub": "subject-1",
        }}),
        trusted=[trusted(provider, web)],
    )
    nested = {
        "https://aws.amazon.com/tags": {
            "principal_tags": {"Project": ["Mercury"], "Cost": ["7"]},
            "transitive_tag_keys": ["Project"],
        },
        "https://aws.amazon.com/source_identity": "ana",
    }
    flat = {
        "https://aws.amazon.com/tags/principal_tags/Project": "Mercury",
        "https://aws.amazon.com/tags/transitive_tag_keys": ["Project"],
        "https://aws.amazon.com/source_identity": "ana",
    }
    for extra in (nested, flat):
        answer = become(sts, open_role, idp.token(**extra))
        assert answer["SourceIdentity"] == "ana"
        assert answer["PackedPolicySize"] > 0
        assert world.root.session_from(answer["Credentials"]).iam.list_users()
        plain = world.role(trusted=[trusted(provider)])
        expect("AccessDenied", 403, "Not authorized to perform sts:TagSession",
               become, sts, plain, idp.token(**extra))
        tagging = world.role(trusted=[trusted(provider, web[:2])])
        expect("AccessDenied", 403, "Not authorized to perform sts:SetSourceIdentity",
               become, sts, tagging, idp.token(**extra))
    narrow = world.role(trusted=[
        trusted(provider, web, StringEquals={"aws:RequestTag/Project": "Venus"}),
        trusted(provider, WEB),
    ])
    refused = refusal(become, sts, narrow, idp.token(**nested))
    assert refused.message == "Not authorized to perform sts:TagSession"
    for wrong in (
        {"https://aws.amazon.com/tags": {"principal_tags": {"a": ["1", "2"]}}},
        {"https://aws.amazon.com/tags": {"principal_tags": {"a": 7}}},
        {"https://aws.amazon.com/tags": "x"},
        {"https://aws.amazon.com/tags": {"principal_tags": {"aws:x": "1"}}},
        {"https://aws.amazon.com/tags": {"principal_tags": {"a": "1", "A": "2"}}},
        {"https://aws.amazon.com/tags": {"principal_tags": {f"k{n}": "1" for n in range(51)}}},
        {"https://aws.amazon.com/tags": {"principal_tags": {"a": "1"}, "transitive_tag_keys": ["b"]}},
        {"https://aws.amazon.com/source_identity": "a b"},
        {"https://aws.amazon.com/source_identity": "aws:ana"},
        {"https://aws.amazon.com/source_identity": 7},
    ):
        refused = refusal(become, sts, open_role, idp.token(**wrong))
        assert refused.code == INVALID, f"{wrong}: {refused}"


def test_session_policies_and_durations_hold(world, sts, idp, provider):
    role = world.role(allow("iam:*"), trusted=[trusted(provider)], max_session=7200)
    answer = become(sts, role, idp.token(), Policy=policy(allow("iam:ListUsers")), DurationSeconds=7200)
    session = world.root.session_from(answer["Credentials"])
    assert session.iam.list_users()
    assert refusal(session.iam.list_roles).code == "AccessDenied"
    assert 7000 < answer["Credentials"]["Expiration"].timestamp() - time.time() <= 7200
    refused = refusal(become, sts, role, idp.token(), DurationSeconds=7201)
    assert refused.code == "ValidationError"
    refused = refusal(
        become, sts, role, idp.token(), PolicyArns=[{"arn": world.arn("policy/none")}]
    )
    assert refused.code == "ValidationError" and "does not exist" in refused.message
    refused = refusal(become, sts, role, idp.token(), ProviderId="www.amazon.com")
    assert refused.status == 501


def test_a_provider_that_is_gone_gives_no_more_sessions(world, sts):
    idp = Issuer()
    idp.keys = {"k": rsa_key()}
    arn = create(world, idp.url, ClientIDList=[AUDIENCE])
    role = world.role(allow("iam:ListUsers"), trusted=[trusted(arn)])
    session = world.root.session_from(become(sts, role, idp.token())["Credentials"])
    world.iam.remove_client_id_from_open_id_connect_provider(
        OpenIDConnectProviderArn=arn, ClientID=AUDIENCE
    )
    assert refusal(become, sts, role, idp.token()).message == AUDIENCE_WRONG
    world.iam.delete_open_id_connect_provider(OpenIDConnectProviderArn=arn)
    assert refusal(become, sts, role, idp.token()).message.startswith("No OpenIDConnect provider")
    # Sessions that were given go on, and the role still names the provider.
    assert session.iam.list_users()
    shown = world.iam.get_role(RoleName=role.rsplit("/", 1)[1])["Role"]["AssumeRolePolicyDocument"]
    assert shown["Statement"][0]["Principal"] == {"Federated": arn}
    idp.stop()


# --- Keys ----------------------------------------------------------------------------------------


@pytest.mark.one_process("what one process has fetched")
def test_keys_are_fetched_once_and_an_unknown_key_asks_no_more_than_once_a_minute(world, sts):
    idp = Issuer()
    idp.keys = {"k": rsa_key()}
    role = world.role(trusted=[trusted(create(world, idp.url, ClientIDList=[AUDIENCE]))])
    for _ in range(3):
        assert become(sts, role, idp.token())
    assert len(idp.asked) == 2
    stranger = rsa_key()
    for number in range(3):
        refused = refusal(become, sts, role, signed(claims(idp.url), stranger, f"new{number}"))
        assert refused.message == NO_KEY
    assert len(idp.asked) == 2
    idp.stop()
    assert become(sts, role, idp.token())


@pytest.mark.parametrize(
    "path, answer",
    [
        ("/.well-known/openid-configuration", (404, b"")),
        ("/.well-known/openid-configuration", (200, b"no json")),
        ("/.well-known/openid-configuration", (200, b'{"issuer":"https://other","jwks_uri":"x"}')),
        ("/.well-known/openid-configuration", (302, b"")),
        ("/keys", (200, b"[]")),
        ("/keys", (200, b"[" * 300_000)),
        ("/keys", (200, b'{"keys":[]}')),
    ],
)
def test_an_issuer_that_answers_nonsense_has_no_keys(world, sts, path, answer):
    idp = Issuer()
    idp.keys = {"k": rsa_key()}
    idp.answers[path] = answer
    role = world.role(trusted=[trusted(create(world, idp.url, ClientIDList=[AUDIENCE]))])
    expect(INVALID, 400, NO_KEY, become, sts, role, idp.token())
    idp.stop()


def test_an_issuer_that_cannot_be_reached_is_told_as_such(world, sts):
    idp = Issuer()
    idp.keys = {"k": rsa_key()}
    role = world.role(trusted=[trusted(create(world, idp.url, ClientIDList=[AUDIENCE]))])
    idp.stop()
    refused = refusal(become, sts, role, idp.token())
    assert (refused.code, refused.status) == ("IDPCommunicationError", 400)


@pytest.mark.parametrize("ca", [False, True])
def test_a_certificate_that_no_root_vouches_for_counts_by_its_thumbprint(world, sts, tmp_path, ca):
    key, certificate = self_signed(ca=ca)
    pem = serialization.Encoding.PEM
    (tmp_path / "key").write_bytes(
        key.private_bytes(pem, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    )
    (tmp_path / "cert").write_bytes(certificate.public_bytes(pem))
    for prints, taken in (([], False), ([PRINT], False), ([PRINT, thumbprint(certificate)], True)):
        idp = Issuer(tls=(tmp_path / "cert", tmp_path / "key"))
        idp.keys = {"k": rsa_key()}
        arn = create(world, idp.url, ClientIDList=[AUDIENCE], ThumbprintList=prints)
        role = world.role(trusted=[trusted(arn)])
        if taken:
            assert become(sts, role, idp.token())
        else:
            assert refusal(become, sts, role, idp.token()).code == "IDPCommunicationError"
            assert idp.asked == []
        idp.stop()


def test_keys_by_hand_need_no_network_and_are_read_again(start_server, tmp_path):
    keys = tmp_path / "keys.json"
    first, second = rsa_key(), rsa_key()
    issuer = "https://air-gapped.example.com/realms/a"
    keys.write_text(json.dumps({"keys": [jwk(first, "1")]}))
    server = start_server("--oidc-keys", f"{issuer}={keys}")
    world, sts = World(server.root()), unsigned(server.url)
    role = world.role(trusted=[trusted(create(world, issuer, ClientIDList=[AUDIENCE]))])
    assert become(sts, role, signed(claims(issuer), first, "1"))
    assert refusal(become, sts, role, signed(claims(issuer), second, "2")).message == NO_KEY
    keys.write_text(json.dumps({"keys": [jwk(second, "2")]}, indent=1))
    assert become(sts, role, signed(claims(issuer), second, "2"))
    assert refusal(become, sts, role, signed(claims(issuer), first, "1")).message == NO_KEY
    # Everything acknowledged is there after a crash.
    server.kill()
    server.start()
    assert become(sts, role, signed(claims(issuer), second, "2"))
    keys.write_text("{")
    assert refusal(become, sts, role, signed(claims(issuer), second, "2")).code == "IDPCommunicationError"
    server.stop()


def test_issuers_that_aws_knows_need_no_provider(start_server, tmp_path):
    keys = tmp_path / "keys.json"
    key = rsa_key()
    keys.write_text(json.dumps({"keys": [jwk(key, "1")]}))
    server = start_server("--oidc-keys", f"https://accounts.google.com={keys}")
    world, sts = World(server.root()), unsigned(server.url)
    google = "accounts.google.com"
    role = world.role(trusted=[trusted(google, StringEquals={
        f"{google}:aud": "hybrid", f"{google}:oaud": "app", f"{google}:sub": "subject-1",
    })])
    for issuer in (google, f"https://{google}"):
        answer = become(sts, role, signed(claims(issuer, aud="app", azp="hybrid"), key, "1"))
        assert (answer["Provider"], answer["Audience"]) == (google, "hybrid")
        refused = refusal(become, sts, role, signed(claims(issuer, aud="app"), key, "1"))
        assert refused.message == DENIED
    server.stop()


def test_githubs_claims_are_condition_keys(start_server, tmp_path):
    keys = tmp_path / "keys.json"
    key = rsa_key()
    keys.write_text(json.dumps({"keys": [jwk(key, "1")]}))
    github = "token.actions.githubusercontent.com"
    server = start_server("--oidc-keys", f"https://{github}={keys}")
    world, sts = World(server.root()), unsigned(server.url)
    arn = create(world, f"https://{github}", ClientIDList=["sts.amazonaws.com"])
    role = world.role(trusted=[trusted(arn, StringEquals={
        f"{github}:aud": "sts.amazonaws.com", f"{github}:repository": "org/x",
        f"{github}:ref": "refs/heads/main",
    })])

    def token(**changes):
        return signed(claims(f"https://{github}", aud="sts.amazonaws.com", **changes), key, "1")

    assert become(sts, role, token(repository="org/x", ref="refs/heads/main"))
    for wrong in ({"repository": "org/x"}, {"repository": "org/y", "ref": "refs/heads/main"}):
        assert refusal(become, sts, role, token(**wrong)).message == DENIED
    server.stop()


@pytest.mark.parametrize("given", ["nonsense", "https://a=", "ftp://a=b", "https://a=/nowhere"])
def test_keys_that_cannot_be_read_stop_the_start(ringfence, tmp_path, given):
    done = ringfence(
        "serve", "--data", tmp_path / "d", "--listen", "127.0.0.1:0", "--oidc-keys", given,
        check=False,
    )
    assert done.returncode != 0 and "oidc-keys" in done.stderr
