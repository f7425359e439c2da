"""Sessions for what pysaml2, as an identity provider, makes and libxmlsec1 signs."""

import base64
import os
import subprocess
import sys
from pathlib import Path

import pytest
from cryptography.hazmat.primitives import serialization
from saml2.config import IdPConfig
from saml2.metadata import entity_descriptor
from saml2.saml import NAMEID_FORMAT_PERSISTENT, NameID
from saml2.server import Server

from clients import refusal
from identity_provider import AWS, ENDPOINT, certificate, private_pem
from issuer import rsa_key
from test_oidc import unsigned
from world import allow, unique

SP = "urn:amazon:webservices"
# What https://signin.aws.amazon.com/static/saml-metadata.xml tells an identity provider of AWS.
AWS_METADATA = f"""<EntityDescriptor xmlns="urn:oasis:names:tc:SAML:2.0:metadata" entityID="{SP}">
<SPSSODescriptor protocolSupportEnumeration="urn:oasis:names:tc:SAML:2.0:protocol" WantAssertionsSigned="true">
<NameIDFormat>{NAMEID_FORMAT_PERSISTENT}</NameIDFormat>
<AssertionConsumerService index="1" isDefault="true" Location="{ENDPOINT}"
 Binding="urn:oasis:names:tc:SAML:2.0:bindings:HTTP-POST"/></SPSSODescriptor></EntityDescriptor>"""


@pytest.fixture(scope="module")
def pysaml2(tmp_path_factory):
    """An identity provider, and its metadata."""
    place = tmp_path_factory.mktemp("pysaml2")
    key = rsa_key()
    (place / "key.pem").write_text(private_pem(key))
    (place / "cert.pem").write_bytes(certificate(key).public_bytes(serialization.Encoding.PEM))
    (place / "aws.xml").write_text(AWS_METADATA)
    program = place / "xmlsec1"
    program.write_text(f"#!/bin/sh\nexec {sys.executable} {Path(__file__).with_name('xmlsec1.py')} \"$@\"\n")
    program.chmod(0o700)
    config = IdPConfig().load({
        "entityid": "https://idp.example.com/pysaml2",
        "xmlsec_binary": str(program),
        "key_file": str(place / "key.pem"),
        "cert_file": str(place / "cert.pem"),
        "metadata": {"local": [str(place / "aws.xml")]},
        "service": {
            "idp": {
                "endpoints": {
                    "single_sign_on_service": [
                        ("https://idp.example.com/sso", "urn:oasis:names:tc:SAML:2.0:bindings:HTTP-Redirect")
                    ]
                },
                "policy": {"default": {"lifetime": {"minutes": 5}}},
            }
        },
    })
    return Server(config=config), str(entity_descriptor(config))


@pytest.fixture(scope="module")
def provider(world, pysaml2):
    return world.iam.create_saml_provider(Name=unique("pysaml2"), SAMLMetadataDocument=pysaml2[1])[
        "SAMLProviderArn"
    ]


@pytest.fixture(scope="module")
def role(world, provider):
    statement = {
        "Effect": "Allow", "Principal": {"Federated": provider},
        "Action": ["sts:AssumeRoleWithSAML", "sts:TagSession"],
        "Condition": {"StringEquals": {"SAML:aud": ENDPOINT, "SAML:sub_type": "persistent"}},
    }
    return world.role(allow("iam:ListUsers"), trusted=[statement])


def response(pysaml2, role, provider, signing):
    assertion, whole, bits = SIGNING[signing]
    answer = pysaml2[0].create_authn_response(
        {
            f"{AWS}Role": [f"{role},{provider}"],
            f"{AWS}RoleSessionName": ["ana@example.com"],
            f"{AWS}SessionDuration": ["1800"],
            f"{AWS}PrincipalTag:team": ["red"],
        },
        in_response_to=None, destination=ENDPOINT, sp_entity_id=SP,
        name_id=NameID(format=NAMEID_FORMAT_PERSISTENT, text="ana"),
        authn={"class_ref": "urn:oasis:names:tc:SAML:2.0:ac:classes:PasswordProtectedTransport"},
        sign_assertion=assertion, sign_response=whole,
        # Its own default is SHA-1, which is refused.
        sign_alg=f"http://www.w3.org/2001/04/xmldsig-more#rsa-sha{bits}",
        digest_alg=f"http://www.w3.org/2001/04/xmlenc#sha{bits}",
    )
    return str(answer)


SIGNING = {
    "assertion": (True, False, "256"),
    "response": (False, True, "256"),
    "both": (True, True, "256"),
    "sha512": (True, False, "512"),
}


@pytest.mark.parametrize("signing", SIGNING)
def test_a_response_that_pysaml2_makes_becomes_a_session(signing, pysaml2, role, provider, world, server):
    made = response(pysaml2, role, provider, signing)
    answer = unsigned(server.url).assume_role_with_saml(
        RoleArn=role, PrincipalArn=provider, SAMLAssertion=base64.b64encode(made.encode()).decode()
    )
    assert (answer["Subject"], answer["SubjectType"], answer["Audience"]) == ("ana", "persistent", ENDPOINT)
    assert answer["Issuer"] == "https://idp.example.com/pysaml2"
    session = world.root.session_from(answer["Credentials"])
    name = role.rsplit("/", 1)[1]
    assert session.arn == f"arn:aws:sts::{world.account}:assumed-role/{name}/ana@example.com"
    assert session.iam.list_users()["Users"] is not None


def test_what_is_changed_after_it_was_signed_is_refused(pysaml2, role, provider, server):
    made = response(pysaml2, role, provider, "assertion")
    changed = made.replace("ana@example.com", "eve@example.com")
    assert changed != made
    refused = refusal(
        unsigned(server.url).assume_role_with_saml, RoleArn=role, PrincipalArn=provider,
        SAMLAssertion=base64.b64encode(changed.encode()).decode(),
    )
    assert refused.code == "InvalidIdentityToken"


def test_the_command_line_reads_a_response_from_a_file(pysaml2, role, provider, server, aws_command, tmp_path):
    made = response(pysaml2, role, provider, "both")
    (tmp_path / "response").write_text(base64.b64encode(made.encode()).decode())
    done = subprocess.run(
        [
            aws_command, "sts", "assume-role-with-saml", "--role-arn", role, "--principal-arn", provider,
            "--saml-assertion", f"file://{tmp_path / 'response'}", "--query", "Credentials.AccessKeyId",
            "--output", "text",
        ],
        env={
            "PATH": os.environ["PATH"], "HOME": str(tmp_path), "AWS_ENDPOINT_URL": server.url,
            "AWS_DEFAULT_REGION": "us-east-1", "AWS_EC2_METADATA_DISABLED": "true",
        },
        capture_output=True, text=True, timeout=60,
    )
    assert done.returncode == 0 and done.stdout.startswith("ASIA"), done.stderr
