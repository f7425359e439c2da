"""SAML providers, and sessions for their assertions.

[rec] marks texts recorded from AWS, kept by LocalStack in
tests/aws/services/iam/test_iam_saml_providers.snapshot.json (2026); [doc] those of
https://docs.aws.amazon.com/IAM/latest/UserGuide/troubleshoot_saml.html
"""

import base64
import hashlib
import json
import subprocess
import time

import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec
from signxml import CanonicalizationMethod, DigestAlgorithm, SignatureMethod

from clients import assert_denied, refusal
from identity_provider import (
    AWS,
    DS,
    ENDPOINT,
    SAML,
    IdentityProvider,
    encoded,
    private_pem,
    response,
)
from issuer import ec_key, rsa_key
from test_oidc import SILENT, expect, method, unsigned
from world import World, allow, policy, tags, unique


@pytest.fixture(scope="module")
def idp():
    return IdentityProvider()


@pytest.fixture(scope="module")
def sts(server):
    return unsigned(server.url)


def create(world, metadata, **parameters):
    parameters = {"Name": unique("idp"), **parameters}
    answer = world.iam.create_saml_provider(SAMLMetadataDocument=metadata, **parameters)
    return answer["SAMLProviderArn"]


# --- Providers -----------------------------------------------------------------------------------


def test_a_provider_is_made_shown_changed_and_deleted(world, idp):
    name = unique("Idp")
    answer = world.iam.create_saml_provider(Name=name, SAMLMetadataDocument=idp.metadata())
    arn = answer["SAMLProviderArn"]
    assert arn == world.arn(f"saml-provider/{name}") and "Tags" not in answer
    shown = world.iam.get_saml_provider(SAMLProviderArn=arn)
    assert shown["SAMLMetadataDocument"] == idp.metadata()
    assert (shown["Tags"], shown["PrivateKeyList"], shown["AssertionEncryptionMode"]) == (
        [], [], "Allowed",
    )
    assert 22 <= len(shown["SAMLProviderUUID"]) <= 64
    assert (shown["ValidUntil"] - shown["CreateDate"]).days == 36525
    listed = {one["Arn"]: one for one in world.iam.list_saml_providers()["SAMLProviderList"]}
    assert listed[arn] == {
        "Arn": arn, "ValidUntil": shown["ValidUntil"], "CreateDate": shown["CreateDate"],
    }
    until = idp.metadata('validUntil="2040-01-01T00:00:00Z"')
    assert world.iam.update_saml_provider(SAMLProviderArn=arn, SAMLMetadataDocument=until)[
        "SAMLProviderArn"
    ] == arn
    again = world.iam.get_saml_provider(SAMLProviderArn=arn)
    assert (again["ValidUntil"].year, again["SAMLMetadataDocument"]) == (2040, until)
    assert again["SAMLProviderUUID"] == shown["SAMLProviderUUID"]
    before = world.iam.get_account_summary()["SummaryMap"]["Providers"]
    world.iam.delete_saml_provider(SAMLProviderArn=arn)
    assert world.iam.get_account_summary()["SummaryMap"]["Providers"] == before - 1
    for call in (world.iam.get_saml_provider, world.iam.delete_saml_provider):
        # [rec]
        expect("NoSuchEntity", 404, f"Manifest not found for arn {arn}", call, SAMLProviderArn=arn)


def test_a_name_is_given_once_whatever_its_case(world, idp):
    name = unique("Idp")
    create(world, idp.metadata(), Name=name)
    refused = refusal(
        world.iam.create_saml_provider, Name=name.upper(), SAMLMetadataDocument=idp.metadata()
    )
    assert (refused.code, refused.status) == ("EntityAlreadyExists", 409)


def test_what_is_no_metadata_is_refused(world, idp):
    good = idp.metadata()
    for wrong in (
        "x" * 1000,
        good.replace("IDPSSODescriptor", "SPSSODescriptor"),
        good.replace('<?xml version="1.0"?>', '<!DOCTYPE a [<!ENTITY b "c">]>'),
        good.replace('use="signing"', 'use="encryption"'),
        good.replace("<ds:X509Certificate>MI", "<ds:X509Certificate>AA"),
    ):
        expect(
            "InvalidInput", 400, "Could not parse metadata.",
            world.iam.create_saml_provider, Name=unique("idp"), SAMLMetadataDocument=wrong,
        )


def test_private_keys_and_encryption_are_kept_as_awss_words_say(world, server, idp):
    first, second, third = (private_pem(rsa_key()) for _ in range(3))
    make, metadata = world.iam.create_saml_provider, idp.metadata()
    # [doc]
    no_key = (
        "Unable to set assertion encryption mode to Required because no private key is provided."
    )
    expect("InvalidInput", 400, no_key, make, Name=unique("idp"), SAMLMetadataDocument=metadata,
           AssertionEncryptionMode="Required")
    for wrong in ("nonsense", private_pem(ec_key())):
        expect("InvalidInput", 400, "Invalid private key.", make, Name=unique("idp"),
               SAMLMetadataDocument=metadata, AddPrivateKey=wrong)
    arn = create(world, metadata, AssertionEncryptionMode="Required", AddPrivateKey=first)
    change = world.iam.update_saml_provider
    one = {"SAMLProviderArn": arn}
    change(AddPrivateKey=second, **one)
    shown = world.iam.get_saml_provider(**one)
    assert shown["AssertionEncryptionMode"] == "Required"
    keys = [key["KeyId"] for key in shown["PrivateKeyList"]]
    assert len(set(keys)) == 2
    expect("LimitExceeded", 409, "Private key limit of 2 is reached.", change, AddPrivateKey=third, **one)
    expect(
        "InvalidInput", 400,
        "Unable to add and remove private keys in the same request. Set a value for only one of "
        "the two parameters.",
        change, AddPrivateKey=third, RemovePrivateKey=keys[0], **one,
    )
    expect(
        "InvalidInput", 400,
        "Failed to remove private key because the Key ID does not match a private key.",
        change, RemovePrivateKey="A" * 22, **one,
    )
    expect(
        "InvalidInput", 400,
        "Unable to update identity provider. No updates are defined for metadata or encryption "
        "assertion.",
        change, **one,
    )
    change(RemovePrivateKey=keys[0], **one)
    expect("InvalidInput", 400, "Failed to remove private key.", change, RemovePrivateKey=keys[1], **one)
    change(AssertionEncryptionMode="Allowed", RemovePrivateKey=keys[1], **one)
    assert world.iam.get_saml_provider(**one)["PrivateKeyList"] == []
    server.audit_event(lambda e: e["eventName"] == "UpdateSAMLProvider" and not e.get("errorCode"))
    text = server.audit_text()
    for pem in (first, second, third):
        assert pem.splitlines()[1] not in text
        assert not [
            file for file in server.data.rglob("*")
            if file.is_file() and pem.splitlines()[1].encode() in file.read_bytes()
        ]


def test_tags_are_set_listed_and_taken_away(world, idp):
    arn = create(world, idp.metadata(), Tags=tags(b="2", a="1"))
    one = {"SAMLProviderArn": arn}
    world.iam.tag_saml_provider(Tags=tags(b="3"), **one)
    page = world.iam.list_saml_provider_tags(MaxItems=1, **one)
    assert page["IsTruncated"] and page["Tags"] == tags(a="1")
    assert world.iam.list_saml_provider_tags(Marker=page["Marker"], **one)["Tags"] == tags(b="3")
    world.iam.untag_saml_provider(TagKeys=["a"], **one)
    assert world.iam.get_saml_provider(**one)["Tags"] == tags(b="3")


@pytest.mark.parametrize(
    "operation, parameters",
    [
        ("GetSAMLProvider", {}), ("DeleteSAMLProvider", {}),
        ("UpdateSAMLProvider", {"AssertionEncryptionMode": "Allowed"}),
        ("TagSAMLProvider", {"Tags": tags(a="1")}), ("UntagSAMLProvider", {"TagKeys": ["a"]}),
        ("ListSAMLProviderTags", {}),
    ],
)
def test_a_denial_tells_nothing_of_what_is_there(world, idp, operation, parameters):
    nobody = world.user()
    for arn in (create(world, idp.metadata()), world.arn("saml-provider/none")):
        refused = refusal(method(nobody.iam, operation), SAMLProviderArn=arn, **parameters)
        assert_denied(refused, nobody.arn, f"iam:{operation}", SILENT, arn)


def test_making_and_listing_are_decided_too(world, idp):
    nobody = world.user()
    refused = refusal(nobody.iam.list_saml_providers)
    assert_denied(refused, nobody.arn, "iam:ListSAMLProviders", SILENT, world.arn("saml-provider/*"))
    refused = refusal(nobody.iam.create_saml_provider, Name="n", SAMLMetadataDocument=idp.metadata())
    assert_denied(refused, nobody.arn, "iam:CreateSAMLProvider", SILENT, world.arn("saml-provider/n"))


# --- Sessions ------------------------------------------------------------------------------------


WITH_SAML = "sts:AssumeRoleWithSAML"


def trusted(provider, action=WITH_SAML, **condition):
    statement = {"Effect": "Allow", "Principal": {"Federated": provider}, "Action": action}
    return {**statement, "Condition": condition} if condition else statement


@pytest.fixture(scope="module")
def provider(world, idp):
    return create(world, idp.metadata())


@pytest.fixture(scope="module")
def role(world, provider):
    return world.role(allow("iam:ListUsers"), trusted=[trusted(provider)])


def become(sts, role, provider, text, **parameters):
    return sts.assume_role_with_saml(
        RoleArn=role, PrincipalArn=provider, SAMLAssertion=encoded(text), **parameters
    )


@pytest.fixture
def good(idp, role, provider):
    """The text of a response that is taken."""
    return response(idp.signed(idp.assertion([(role, provider)])))


def test_an_assertion_becomes_a_session(world, server, sts, idp, provider, role, good):
    answer = become(sts, role, provider, good)
    assert (answer["Subject"], answer["SubjectType"]) == ("ana@example.com", "persistent")
    assert (answer["Issuer"], answer["Audience"]) == (idp.entity_id, ENDPOINT)
    name = provider.rsplit("/", 1)[1]
    hashed = hashlib.sha1(f"{idp.entity_id}{world.account}/{name}".encode()).digest()
    assert answer["NameQualifier"] == base64.b64encode(hashed).decode()
    arn = f"arn:aws:sts::{world.account}:assumed-role/{role.rsplit('/', 1)[1]}/ana"
    assert answer["AssumedRoleUser"]["Arn"] == arn
    session = world.root.session_from(answer["Credentials"])
    assert session.identity["Arn"] == arn and session.iam.list_users()
    event = server.audit_event(
        lambda e: e["eventName"] == "AssumeRoleWithSAML" and not e.get("errorCode")
    )
    assert event["userIdentity"] == {
        "type": "SAMLUser", "principalId": f"{answer['NameQualifier']}:ana@example.com",
        "userName": "ana@example.com", "identityProvider": answer["NameQualifier"],
    }
    assert event["recipientAccountId"] == world.account
    text = server.audit_text()
    assert encoded(good) not in text and answer["Credentials"]["SecretAccessKey"] not in text


def test_the_aws_command_line_takes_an_assertion(server, aws_command, role, provider, good, tmp_path):
    file = tmp_path / "assertion"
    file.write_text(encoded(good))
    done = subprocess.run(
        [aws_command, "sts", "assume-role-with-saml", "--role-arn", role, "--principal-arn",
         provider, "--saml-assertion", f"file://{file}", "--output", "json"],
        env={"AWS_ENDPOINT_URL": server.url, "AWS_DEFAULT_REGION": "us-east-1"},
        capture_output=True, text=True, timeout=60, check=True,
    )
    assert json.loads(done.stdout)["SubjectType"] == "persistent"


EXC = CanonicalizationMethod.EXCLUSIVE_XML_CANONICALIZATION_1_0
INC = CanonicalizationMethod.CANONICAL_XML_1_0


def test_signatures_of_either_element_and_of_strong_algorithms_are_taken(world, sts, idp, role, provider):
    plain = idp.assertion([(role, provider)])
    for text in (
        response(idp.signed(plain)),
        idp.signed(response(plain)),
        idp.signed(response(idp.signed(plain))),
        response(idp.signed(plain, method=SignatureMethod.RSA_SHA512, digest=DigestAlgorithm.SHA512)),
        idp.signed(response(plain), c14n=INC),
        # Prefixes that the response declares and the assertion uses.
        idp.signed(response(plain).replace("<samlp:Response ", f'<samlp:Response xmlns:saml="{SAML}" ')
                   .replace(f'<saml:Assertion xmlns:saml="{SAML}"', "<saml:Assertion")),
        "<?xml version='1.0' encoding='UTF-8'?>\n" + response(idp.signed(plain)) + "\n",
    ):
        assert become(sts, role, provider, text)["Credentials"], text
    elliptic = IdentityProvider(key=ec_key())
    arn = create(world, elliptic.metadata())
    own = world.role(trusted=[trusted(arn)])
    text = response(elliptic.signed(
        elliptic.assertion([(own, arn)]), method=SignatureMethod.ECDSA_SHA256))
    assert become(sts, own, arn, text)


INVALID = "InvalidIdentityToken"
BAD_FORM = "The SAML response is not valid"
BAD_SIGNATURE = "Response signature invalid"


def strip_signature(text):
    start = text.index("<ds:Signature")
    end = text.index("</ds:Signature>") + len("</ds:Signature>")
    return text[:start] + text[end:], text[start:end]


def forged(idp, role, provider):
    """Responses that nobody should believe, and why each is refused."""
    pairs = [(role, provider)]
    mine = idp.signed(idp.assertion(pairs))
    evil = idp.assertion(pairs, name="admin", subject="admin@example.com", identifier="_evil")
    evil_same_id = evil.replace("_evil", "_assertion")
    bare, signature = strip_signature(mine)
    other = rsa_key()
    stranger = IdentityProvider()

    yield "unsigned", response(bare), BAD_SIGNATURE
    yield "changed", response(mine.replace("ana@example.com", "eve@example.com")), BAD_SIGNATURE
    yield "changed attribute", response(mine.replace(">ana<", ">eve<")), BAD_SIGNATURE
    yield "another key", response(idp.signed(bare, key=other)), BAD_SIGNATURE
    yield "a stranger's certificate inside", response(stranger.signed(bare)), BAD_SIGNATURE
    yield "two assertions, forged first", response(evil, mine), BAD_FORM
    yield "two assertions, forged last", response(mine, evil), BAD_FORM
    yield "two signed", response(mine, idp.signed(evil)), BAD_FORM
    # Signature wrapping, the eight of Somorovsky and others (USENIX Security 2012) and their kin.
    yield "XSW1: signed response inside the forged one's signature", idp.signed(response(bare)).replace(
        "</ds:Signature>", f"<ds:Object>{bare}</ds:Object></ds:Signature>"), BAD_FORM
    wrapped = evil.replace("</saml:Assertion>", f"{signature}</saml:Assertion>")
    yield "XSW3: forged beside, signature in the forged", response(wrapped, bare), BAD_FORM
    yield "XSW4: signed inside the forged", response(
        evil.replace("</saml:Assertion>", f"{mine}</saml:Assertion>")), BAD_FORM
    yield "XSW5: signature moved to the forged", response(wrapped, bare), BAD_FORM
    yield "XSW7: signed in Extensions", response(
        f"<samlp:Extensions>{mine}</samlp:Extensions>", evil), BAD_FORM
    yield "XSW8: signed in an Object of the forged's signature", response(
        evil.replace("</saml:Assertion>",
                     signature.replace("</ds:Signature>", f"<ds:Object>{bare}</ds:Object></ds:Signature>")
                     + "</saml:Assertion>")), BAD_FORM
    yield "signature over another id", response(
        evil.replace("</saml:Assertion>", f"{signature}</saml:Assertion>")), BAD_SIGNATURE
    yield "the same id in the forged", response(
        evil_same_id.replace("</saml:Assertion>", f"{signature}</saml:Assertion>")), BAD_SIGNATURE
    yield "an id twice", response(
        mine, '<samlp:Extensions xmlns:x="urn:x"><x:y Id="_assertion"/></samlp:Extensions>'), BAD_SIGNATURE
    yield "signed elsewhere", response(
        f"<samlp:Extensions>{mine}</samlp:Extensions>"), BAD_FORM
    yield "signature in Status", response(bare).replace(
        "</samlp:Status>", f"{signature}</samlp:Status>"), BAD_FORM
    yield "two signatures", response(
        mine.replace("</saml:Assertion>", f"{signature}</saml:Assertion>")), BAD_SIGNATURE
    yield "empty reference", response(mine.replace('URI="#_assertion"', 'URI=""')), BAD_SIGNATURE
    yield "reference elsewhere", response(
        mine.replace('URI="#_assertion"', 'URI="https://evil.example.com/"')), BAD_SIGNATURE
    yield "reference to a file", response(
        mine.replace('URI="#_assertion"', 'URI="file:///etc/passwd"')), BAD_SIGNATURE
    yield "no algorithm", response(mine.replace("xmldsig-more#rsa-sha256", "none")), BAD_SIGNATURE
    yield "HMAC", response(mine.replace("xmldsig-more#rsa-sha256", "xmldsig-more#hmac-sha256")), BAD_SIGNATURE
    yield "XPath", response(mine.replace(
        "http://www.w3.org/2000/09/xmldsig#enveloped-signature",
        "http://www.w3.org/TR/1999/REC-xpath-19991116")), BAD_SIGNATURE
    yield "XSLT", response(mine.replace(
        "http://www.w3.org/2000/09/xmldsig#enveloped-signature",
        "http://www.w3.org/TR/1999/REC-xslt-19991116")), BAD_SIGNATURE
    yield "signed response, changed assertion", idp.signed(response(bare)).replace(
        "ana@example.com", "eve@example.com"), BAD_SIGNATURE
    yield "bad signature of the response over a good assertion", idp.signed(
        response(mine)).replace('ID="_response"', 'ID="_response" Destination="x"'), BAD_SIGNATURE
    # Document types and entities.
    yield "document type", "<!DOCTYPE a>" + response(mine), BAD_FORM
    yield "entity", '<!DOCTYPE a [<!ENTITY e "admin">]>' + response(mine), BAD_FORM
    laughs = "".join(
        f'<!ENTITY l{n + 1} "{f"&l{n};" * 10}">' for n in range(9))
    yield "a billion laughs", f'<!DOCTYPE a [<!ENTITY l0 "lol">{laughs}]>' + response(mine).replace(
        "ana@example.com", "&l9;"), BAD_FORM
    yield "external entity", (
        '<!DOCTYPE a [<!ENTITY e SYSTEM "file:///etc/passwd">]>' + response(mine)), BAD_FORM
    yield "deep", response(mine, "<a>" * 20_000 + "</a>" * 20_000)[:70_000], BAD_FORM
    yield "deep and whole", response(mine, "<a>" * 4_000 + "</a>" * 4_000), BAD_FORM
    yield "no response", mine, BAD_FORM
    yield "a failure", response(mine, status="Requester"), BAD_FORM
    yield "no XML", "x" * 200, BAD_FORM


def test_forged_responses_are_refused(sts, idp, role, provider, good):
    seen = 0
    for what, text, message in forged(idp, role, provider):
        refused = refusal(become, sts, role, provider, text)
        assert (refused.code, refused.status) == (INVALID, 400), f"{what}: {refused}"
        assert refused.message == message, f"{what}: {refused}"
        seen += 1
    assert seen > 35
    # They were refused for what they are.
    assert become(sts, role, provider, good)
    refused = refusal(
        sts.assume_role_with_saml, RoleArn=role, PrincipalArn=provider, SAMLAssertion="@@@@"
    )
    assert (refused.code, refused.message) == (INVALID, "Invalid base64 SAMLResponse")
    refused = refusal(become, sts, role, provider, "x" * 80_000)
    assert refused.code == "ValidationError"


def test_sha1_signatures_are_refused(sts, idp, role, provider):
    from signxml import XMLSigner

    class Signer(XMLSigner):
        def check_deprecated_methods(self):
            pass

    from lxml import etree
    from signxml import methods

    for algorithm, digest in (
        (SignatureMethod.RSA_SHA1, DigestAlgorithm.SHA256),
        (SignatureMethod.RSA_SHA256, DigestAlgorithm.SHA1),
    ):
        maker = Signer(method=methods.enveloped, signature_algorithm=algorithm,
                       digest_algorithm=digest, c14n_algorithm=EXC)
        element = etree.fromstring(idp.assertion([(role, provider)]).encode())
        done = maker.sign(element, key=idp.key, cert=[idp.certificate], reference_uri="_assertion")
        text = response(etree.tostring(done).decode())
        expect(INVALID, 400, BAD_SIGNATURE, become, sts, role, provider, text)


def test_a_comment_cuts_no_text(sts, idp, role, provider):
    """A comment is no part of what is signed; the whole text around it is the name."""
    signed = idp.signed(idp.assertion([(role, provider)], subject="admin@example.com.evil.example"))
    for text in (
        signed.replace("admin@example.com.evil", "admin@example.com<!---->.evil"),
        signed.replace("admin@example.com.evil", "admin@example.com<!-- x -->.evil"),
    ):
        answer = become(sts, role, provider, response(text))
        assert answer["Subject"] == "admin@example.com.evil.example"
    inner = signed.replace("admin@example.com.evil", "admin@example.com<x/>.evil")
    assert refusal(become, sts, role, provider, response(inner)).message == BAD_SIGNATURE
    processing = signed.replace("admin@example.com.evil", "admin@example.com<?x?>.evil")
    assert refusal(become, sts, role, provider, response(processing)).message == BAD_SIGNATURE


NOT_AUTHORIZED = "Not authorized to perform sts:AssumeRoleWithSAML"
# https://docs.aws.amazon.com/STS/latest/APIReference/CommonErrors.html and its users' reports
LATE = "Token must be redeemed within 5 minutes of issuance"


def test_an_assertion_is_for_here_and_now(world, sts, idp, role, provider):
    pairs = [(role, provider)]
    rows = [
        ({"issuer": "https://other.example.com"}, INVALID, "Issuer not present in specified provider"),
        ({"audience": "https://other.example.com"}, INVALID, "Response does not contain the required audience."),
        ({"audience": None}, INVALID, "Response does not contain the required audience."),
        ({"recipient": "https://evil.example.com/saml"}, INVALID, "The SAML assertion is not for this recipient"),
        ({"recipient": "https://signin.aws.amazon.com.evil.example/saml"}, INVALID,
         "The SAML assertion is not for this recipient"),
        ({"recipient": "https://evilsignin.aws.amazon.com/saml"}, INVALID,
         "The SAML assertion is not for this recipient"),
        ({"issued": -301}, "ExpiredTokenException", LATE),
        ({"ends": -1}, "ExpiredTokenException", LATE),
        ({"session_ends": -1}, "ExpiredTokenException", LATE),
        ({"issued": 400}, INVALID, "The SAML assertion is not yet valid"),
        ({"name": None}, INVALID, "RoleSessionName is required in AuthnResponse"),
        ({"name": "a b"}, INVALID, "RoleSessionName in AuthnResponse must match [a-zA-Z_0-9+=,.@-]{2,64}"),
        ({"subject": ""}, INVALID, BAD_FORM),
    ]
    for change, code, message in rows:
        text = response(idp.signed(idp.assertion(pairs, **change)))
        expect(code, 400, message, become, sts, role, provider, text)
    for change in (
        {"recipient": "https://eu-west-1.signin.aws.amazon.com/saml"},
        {"recipient": "https://eu-west-1.signin.aws.amazon.com/saml/acs/"
         + world.iam.get_saml_provider(SAMLProviderArn=provider)["SAMLProviderUUID"]},
        {"audience": ENDPOINT},
    ):
        assert become(sts, role, provider, response(idp.signed(idp.assertion(pairs, **change))))


def test_role_and_provider_must_be_the_assertions_pair(world, sts, idp, role, provider):
    second = create(world, idp.metadata())
    other = world.role(trusted=[trusted(provider), trusted(second)])
    swapped = response(idp.signed(idp.assertion([(provider, role)])))
    assert become(sts, role, provider, swapped)
    for pairs, asked, by in (
        ([(role, provider)], other, provider),
        ([(role, second), (other, provider)], other, second),
        ([], role, provider),
    ):
        text = response(idp.signed(idp.assertion(pairs)))
        expect("AccessDenied", 403, NOT_AUTHORIZED, become, sts, asked, by, text)
    missing = "Specified provider doesn't exist"
    for arn in (
        world.arn("saml-provider/none"), world.arn("oidc-provider/none"),
        provider.upper().replace("ARN:AWS:IAM", "arn:aws:iam").replace("SAML-PROVIDER", "saml-provider"),
        provider.replace(world.account, "999999999999"),
    ):
        text = response(idp.signed(idp.assertion([(role, arn)])))
        expect(INVALID, 400, missing, become, sts, role, arn, text)


def test_the_trust_policy_decides_by_samls_keys(world, sts, idp, provider):
    name = provider.rsplit("/", 1)[1]
    rows = [
        ({"saml:aud": ENDPOINT}, True), ({"saml:aud": "urn:amazon:webservices"}, False),
        ({"saml:iss": idp.entity_id}, True), ({"saml:iss": "x"}, False),
        ({"saml:sub": "ana@example.com", "saml:sub_type": "persistent"}, True),
        ({"saml:sub_type": "transient"}, False),
        ({"saml:doc": f"{world.account}/{name}"}, True),
        ({"saml:edupersonorgdn": "ExampleOrg"}, True),
        ({"saml:edupersonorgdn": "Other"}, False),
        ({"saml:uid": "ana"}, True), ({"saml:uid": "eve"}, False),
        ({"sts:RoleSessionName": "ana"}, True),
        ({"aws:PrincipalType": "AssumedRole"}, False),
    ]
    attributes = [
        ("urn:oid:1.3.6.1.4.1.5923.1.1.1.3", ["ExampleOrg"], "eduPersonOrgDN"),
        ("urn:oid:0.9.2342.19200300.100.1.1", ["ana"]),
        ("urn:x", ["spoofed"], "sub"),
    ]
    for condition, allowed in rows:
        role = world.role(trusted=[trusted(provider, StringEquals=condition)])
        text = response(idp.signed(idp.assertion([(role, provider)], attributes=attributes)))
        if allowed:
            assert become(sts, role, provider, text), condition
        else:
            expect("AccessDenied", 403, NOT_AUTHORIZED, become, sts, role, provider, text)
    staff = world.role(trusted=[trusted(
        provider, **{"ForAnyValue:StringEquals": {"saml:edupersonaffiliation": ["staff"]}})])
    for values, allowed in ((["student", "staff"], True), (["student"], False)):
        many = [("urn:oid:1.3.6.1.4.1.5923.1.1.1.1", values)]
        text = response(idp.signed(idp.assertion([(staff, provider)], attributes=many)))
        if allowed:
            assert become(sts, staff, provider, text)
        else:
            expect("AccessDenied", 403, NOT_AUTHORIZED, become, sts, staff, provider, text)


def test_session_tags_source_identity_and_subject_reach_the_session(world, sts, idp, provider):
    actions = [WITH_SAML, "sts:TagSession", "sts:SetSourceIdentity"]
    open_role = world.role(
        allow("iam:ListUsers", Condition={"StringEquals": {
            "aws:PrincipalTag/Project": "Mercury", "aws:SourceIdentity": "ana",
            "saml:sub": "ana@example.com", "aws:FederatedProvider": provider,
        }}),
        trusted=[trusted(provider, actions)],
    )
    attributes = [
        (f"{AWS}PrincipalTag:Project", ["Mercury"]),
        (f"{AWS}TransitiveTagKeys", ["Project"]),
        (f"{AWS}SourceIdentity", ["ana"]),
    ]

    def text(role, extra=()):
        made = idp.assertion([(role, provider)], attributes=[*attributes, *extra])
        return response(idp.signed(made))

    answer = become(sts, open_role, provider, text(open_role))
    assert answer["SourceIdentity"] == "ana" and answer["PackedPolicySize"] > 0
    assert world.root.session_from(answer["Credentials"]).iam.list_users()
    for allowed, missing in ((actions[:1], "TagSession"), (actions[:2], "SetSourceIdentity")):
        role = world.role(trusted=[trusted(provider, allowed)])
        expect("AccessDenied", 403, f"Not authorized to perform sts:{missing}",
               become, sts, role, provider, text(role))
    for wrong in (
        (f"{AWS}PrincipalTag:Two", ["1", "2"]), (f"{AWS}PrincipalTag:aws:x", ["1"]),
        (f"{AWS}PrincipalTag:project", ["1"]), (f"{AWS}TransitiveTagKeys", ["Unknown"]),
        (f"{AWS}SourceIdentity", ["eve"]),
    ):
        assert refusal(become, sts, open_role, provider, text(open_role, [wrong])).code == INVALID, wrong


def test_a_session_ends_with_the_providers_own(world, sts, idp, provider):
    role = world.role(allow("iam:*"), trusted=[trusted(provider)], max_session=7200)
    for session_ends, asked, lasts in ((1800, 3600, 1800), (9000, 7200, 7200), (None, None, 3600)):
        text = response(idp.signed(idp.assertion([(role, provider)], session_ends=session_ends)))
        parameters = {"DurationSeconds": asked} if asked else {}
        answer = become(sts, role, provider, text, Policy=policy(allow("iam:ListUsers")), **parameters)
        left = answer["Credentials"]["Expiration"].timestamp() - time.time()
        assert abs(left - lasts) < 30
        session = world.root.session_from(answer["Credentials"])
        assert session.iam.list_users() and refusal(session.iam.list_roles).code == "AccessDenied"
    text = response(idp.signed(idp.assertion([(role, provider)])))
    assert refusal(become, sts, role, provider, text, DurationSeconds=7201).code == "ValidationError"


def test_encrypted_assertions_open_by_the_providers_key(world, sts, idp):
    key, other = rsa_key(), rsa_key()
    for pem in (private_pem(key), private_pem(key, serialization.PrivateFormat.TraditionalOpenSSL)):
        arn = create(world, idp.metadata(), AssertionEncryptionMode="Required", AddPrivateKey=pem)
        role = world.role(trusted=[trusted(arn)])
        plain = idp.assertion([(role, arn)])
        signed = idp.signed(plain)
        public = key.public_key()
        for text in (
            response(idp.encrypted(signed, public)),
            response(idp.encrypted(signed, public, gcm=False)),
            response(idp.encrypted(signed, public, sha256=True)),
            idp.signed(response(idp.encrypted(plain, public))),
            idp.signed(response(idp.encrypted(signed, public))),
        ):
            assert become(sts, role, arn, text)["Subject"] == "ana@example.com"
        sealed = "The SAML assertion could not be decrypted"
        evil = idp.encrypted(signed.replace("ana@", "eve@"), public)
        for text, message in (
            (response(signed), sealed),
            (response(idp.encrypted(signed, other.public_key())), sealed),
            (response(idp.encrypted("no XML", public)), sealed),
            (response(idp.encrypted(response(signed), public)), sealed),
            (response(idp.encrypted(plain, public)), BAD_SIGNATURE),
            (response(evil), BAD_SIGNATURE),
            (response(idp.encrypted(signed, public), evil), BAD_FORM),
            (response(signed, evil), BAD_FORM),
        ):
            expect(INVALID, 400, message, become, sts, role, arn, text)
    # Where it may be left out, it may.
    arn = create(world, idp.metadata(), AddPrivateKey=private_pem(key))
    role = world.role(trusted=[trusted(arn)])
    signed = idp.signed(idp.assertion([(role, arn)]))
    for text in (response(signed), response(idp.encrypted(signed, key.public_key()))):
        assert become(sts, role, arn, text)


def test_a_key_of_the_metadata_counts_while_it_is_there(world, sts, idp):
    new = IdentityProvider()
    arn = create(world, idp.metadata())
    role = world.role(trusted=[trusted(arn)])

    def text(by):
        return response(by.signed(by.assertion([(role, arn)])))

    assert become(sts, role, arn, text(idp))
    expect(INVALID, 400, BAD_SIGNATURE, become, sts, role, arn, text(new))
    both = idp.metadata(certificates=[idp.certificate, new.certificate])
    world.iam.update_saml_provider(SAMLProviderArn=arn, SAMLMetadataDocument=both)
    assert become(sts, role, arn, text(idp)) and become(sts, role, arn, text(new))
    world.iam.update_saml_provider(SAMLProviderArn=arn, SAMLMetadataDocument=new.metadata())
    expect(INVALID, 400, BAD_SIGNATURE, become, sts, role, arn, text(idp))
    ended = new.metadata('validUntil="2020-01-01T00:00:00Z"')
    world.iam.update_saml_provider(SAMLProviderArn=arn, SAMLMetadataDocument=ended)
    assert refusal(become, sts, role, arn, text(new)).code == INVALID
    world.iam.delete_saml_provider(SAMLProviderArn=arn)
    expect(INVALID, 400, "Specified provider doesn't exist", become, sts, role, arn, text(new))


def test_a_provider_survives_a_crash(start_server, idp):
    server = start_server()
    world, sts = World(server.root()), unsigned(server.url)
    key = rsa_key()
    arn = create(world, idp.metadata(), AssertionEncryptionMode="Required",
                 AddPrivateKey=private_pem(key), Tags=tags(a="1"))
    role = world.role(trusted=[trusted(arn)])
    before = world.iam.get_saml_provider(SAMLProviderArn=arn)
    server.kill()
    server.start()
    after = World(server.root()).iam.get_saml_provider(SAMLProviderArn=arn)
    before.pop("ResponseMetadata"), after.pop("ResponseMetadata")
    assert before == after
    text = response(idp.encrypted(idp.signed(idp.assertion([(role, arn)])), key.public_key()))
    assert become(sts, role, arn, text)
    server.stop()
