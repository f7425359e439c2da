"""A SAML identity provider: its metadata, and responses that it signs or that others forge."""

import base64
import datetime
import os
from xml.sax.saxutils import escape, quoteattr

from cryptography import x509
from cryptography.hazmat.primitives import hashes, padding, serialization
from cryptography.hazmat.primitives.asymmetric import padding as rsa_padding
from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.x509.oid import NameOID
from lxml import etree
from signxml import CanonicalizationMethod, DigestAlgorithm, SignatureMethod, XMLSigner, methods

from issuer import rsa_key

SAML = "urn:oasis:names:tc:SAML:2.0:assertion"
SAMLP = "urn:oasis:names:tc:SAML:2.0:protocol"
DS = "http://www.w3.org/2000/09/xmldsig#"
MD = "urn:oasis:names:tc:SAML:2.0:metadata"
XENC = "http://www.w3.org/2001/04/xmlenc#"
XENC11 = "http://www.w3.org/2009/xmlenc11#"
AWS = "https://aws.amazon.com/SAML/Attributes/"
ENDPOINT = "https://signin.aws.amazon.com/saml"
PERSISTENT = "urn:oasis:names:tc:SAML:2.0:nameid-format:persistent"


def instant(seconds=0):
    at = datetime.datetime.now(datetime.timezone.utc) + datetime.timedelta(seconds=seconds)
    return at.strftime("%Y-%m-%dT%H:%M:%SZ")


def certificate(key):
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "identity provider")])
    now = datetime.datetime.now(datetime.timezone.utc)
    return (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        # Metadata certificates are pinned: an old one counts.
        .not_valid_before(now - datetime.timedelta(days=10))
        .not_valid_after(now - datetime.timedelta(days=1))
        .sign(key, hashes.SHA256())
    )


def private_pem(key, form=serialization.PrivateFormat.PKCS8):
    return key.private_bytes(
        serialization.Encoding.PEM, form, serialization.NoEncryption()
    ).decode()


class IdentityProvider:
    def __init__(self, entity_id="https://idp.example.com/saml", key=None):
        self.entity_id = entity_id
        self.key = key or rsa_key()
        self.certificate = certificate(self.key)

    def metadata(self, attributes="", certificates=None):
        def one(cert):
            der = base64.encodebytes(cert.public_bytes(serialization.Encoding.DER)).decode()
            return (
                f'<md:KeyDescriptor use="signing"><ds:KeyInfo xmlns:ds="{DS}"><ds:X509Data>'
                f"<ds:X509Certificate>{der}</ds:X509Certificate></ds:X509Data></ds:KeyInfo>"
                "</md:KeyDescriptor>"
            )

        keys = "".join(map(one, certificates or [self.certificate]))
        return (
            f'<?xml version="1.0"?><md:EntityDescriptor xmlns:md="{MD}" '
            f"entityID={quoteattr(self.entity_id)} {attributes}><md:IDPSSODescriptor "
            f'protocolSupportEnumeration="{SAMLP}">{keys}'
            '<md:SingleSignOnService Binding="urn:oasis:names:tc:SAML:2.0:bindings:HTTP-Redirect" '
            'Location="https://idp.example.com/sso"/></md:IDPSSODescriptor></md:EntityDescriptor>'
        )

    def assertion(
        self,
        pairs,
        name="ana",
        identifier="_assertion",
        issuer=None,
        issued=0,
        subject="ana@example.com",
        format=PERSISTENT,
        recipient=ENDPOINT,
        ends=300,
        audience="urn:amazon:webservices",
        session_ends=None,
        attributes=(),
    ):
        """An assertion as text. `pairs` are (role, provider)."""

        def attribute(full, values, friendly=None):
            friendly = f' FriendlyName="{friendly}"' if friendly else ""
            inner = "".join(f"<saml:AttributeValue>{escape(v)}</saml:AttributeValue>" for v in values)
            return f"<saml:Attribute Name={quoteattr(full)}{friendly}>{inner}</saml:Attribute>"

        listed = [attribute(f"{AWS}Role", [f"{role},{provider}" for role, provider in pairs])]
        if name is not None:
            listed.append(attribute(f"{AWS}RoleSessionName", [name]))
        listed += [attribute(*one) for one in attributes]
        form = f' Format="{format}"' if format else ""
        session = f' SessionNotOnOrAfter="{instant(session_ends)}"' if session_ends is not None else ""
        restriction = (
            f"<saml:AudienceRestriction><saml:Audience>{audience}</saml:Audience>"
            "</saml:AudienceRestriction>" if audience else ""
        )
        return (
            f'<saml:Assertion xmlns:saml="{SAML}" ID="{identifier}" Version="2.0" '
            f'IssueInstant="{instant(issued)}">'
            f"<saml:Issuer>{issuer or self.entity_id}</saml:Issuer>"
            f"<saml:Subject><saml:NameID{form}>{subject}</saml:NameID>"
            '<saml:SubjectConfirmation Method="urn:oasis:names:tc:SAML:2.0:cm:bearer">'
            f'<saml:SubjectConfirmationData Recipient="{recipient}" NotOnOrAfter="{instant(ends)}"/>'
            "</saml:SubjectConfirmation></saml:Subject>"
            f'<saml:Conditions NotBefore="{instant(-60)}" NotOnOrAfter="{instant(ends)}">'
            f"{restriction}</saml:Conditions>"
            f'<saml:AuthnStatement AuthnInstant="{instant()}"{session}/>'
            f"<saml:AttributeStatement>{''.join(listed)}</saml:AttributeStatement></saml:Assertion>"
        )

    def signed(self, text, key=None, method=SignatureMethod.RSA_SHA256,
               digest=DigestAlgorithm.SHA256,
               c14n=CanonicalizationMethod.EXCLUSIVE_XML_CANONICALIZATION_1_0, **signer):
        """An element as text with its own signature in it."""
        element = etree.fromstring(text.encode() if isinstance(text, str) else text)
        key = key or self.key
        maker = XMLSigner(
            method=methods.enveloped, signature_algorithm=method, digest_algorithm=digest,
            c14n_algorithm=c14n, **signer,
        )
        done = maker.sign(
            element, key=key, cert=[self.certificate], reference_uri=element.get("ID")
        )
        return etree.tostring(done).decode()

    def encrypted(self, text, public_key, gcm=True, sha256=False):
        """An EncryptedAssertion of a text."""
        key = os.urandom(32)
        if gcm:
            nonce = os.urandom(12)
            data = nonce + AESGCM(key).encrypt(nonce, text.encode(), None)
            cipher = f"{XENC11}aes256-gcm"
        else:
            iv = os.urandom(16)
            pad = padding.PKCS7(128).padder()
            encryptor = Cipher(algorithms.AES(key), modes.CBC(iv)).encryptor()
            padded = pad.update(text.encode()) + pad.finalize()
            data = iv + encryptor.update(padded) + encryptor.finalize()
            cipher = f"{XENC}aes256-cbc"
        digest = hashes.SHA256() if sha256 else hashes.SHA1()
        wrapped = public_key.encrypt(
            key, rsa_padding.OAEP(rsa_padding.MGF1(digest), digest, None)
        )
        method = (
            f'<xenc:EncryptionMethod Algorithm="{XENC11}rsa-oaep">'
            f'<ds:DigestMethod xmlns:ds="{DS}" Algorithm="{XENC}sha256"/>'
            f'<x:MGF xmlns:x="{XENC11}" Algorithm="{XENC11}mgf1sha256"/></xenc:EncryptionMethod>'
            if sha256
            else f'<xenc:EncryptionMethod Algorithm="{XENC}rsa-oaep-mgf1p"/>'
        )

        def value(raw):
            text = base64.b64encode(raw).decode()
            return f"<xenc:CipherData><xenc:CipherValue>{text}</xenc:CipherValue></xenc:CipherData>"

        return (
            f'<saml:EncryptedAssertion xmlns:saml="{SAML}"><xenc:EncryptedData xmlns:xenc="{XENC}" '
            f'Type="{XENC}Element"><xenc:EncryptionMethod Algorithm="{cipher}"/>'
            f'<ds:KeyInfo xmlns:ds="{DS}"><xenc:EncryptedKey>{method}{value(wrapped)}'
            f"</xenc:EncryptedKey></ds:KeyInfo>{value(data)}</xenc:EncryptedData>"
            "</saml:EncryptedAssertion>"
        )


def response(*inside, identifier="_response", status="Success"):
    """A response around some elements, as text."""
    return (
        f'<samlp:Response xmlns:samlp="{SAMLP}" ID="{identifier}" Version="2.0" '
        f'IssueInstant="{instant()}"><samlp:Status><samlp:StatusCode '
        f'Value="urn:oasis:names:tc:SAML:2.0:status:{status}"/></samlp:Status>'
        f"{''.join(inside)}</samlp:Response>"
    )


def encoded(text):
    return base64.b64encode(text.encode()).decode()
