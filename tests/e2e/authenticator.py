"""A security key in software, and the browser around it: what navigator.credentials answers.

It does what it is told, so that a server can be shown what no honest one would send. CBOR and COSE
are those of python-fido2, whose own relying party judges it in the tests.
"""

import base64
import hashlib
import json
import os
import struct
from datetime import datetime, timedelta

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, padding, rsa
from cryptography.x509.oid import NameOID, ObjectIdentifier
from fido2 import cbor, cose

PRESENT, VERIFIED, ELIGIBLE, BACKED_UP, ATTESTED = 1, 4, 8, 16, 64


def text(data):
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def data(text):
    return base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))


def sha256(data):
    return hashlib.sha256(data).digest()


class SecurityKey:
    """One credential on one authenticator. Keyword arguments of `create` and `get` are its lies."""

    def __init__(self, origin, algorithm="ES256", attestation="none", counter=1, flags=PRESENT):
        self.origin = origin
        self.algorithm = algorithm
        self.attestation = attestation
        self.counter = counter
        self.flags = flags
        self.aaguid = bytes(16) if attestation == "fido-u2f" else os.urandom(16)
        self.credential_id = os.urandom(32)
        self.handle = None
        if algorithm == "EdDSA":
            self.private = ed25519.Ed25519PrivateKey.generate()
        elif algorithm == "RS256":
            self.private = rsa.generate_private_key(65537, 2048)
        else:
            curve = {"ES256": ec.SECP256R1(), "ES384": ec.SECP384R1()}[algorithm]
            self.private = ec.generate_private_key(curve)
        kind = getattr(cose, algorithm)
        self.cose = kind.from_cryptography_key(self.private.public_key())

    def sign(self, message, private=None):
        private = private or self.private
        if isinstance(private, ed25519.Ed25519PrivateKey):
            return private.sign(message)
        if isinstance(private, rsa.RSAPrivateKey):
            return private.sign(message, padding.PKCS1v15(), hashes.SHA256())
        return private.sign(message, ec.ECDSA(hashes.SHA256()))

    def client_data(self, kind, options, lies):
        said = {
            "type": lies.get("type", kind),
            "challenge": lies.get("challenge", options["challenge"]),
            "origin": lies.get("origin", self.origin),
            "crossOrigin": lies.get("cross_origin", False),
        }
        return json.dumps(said).encode()

    def authenticator_data(self, rp_id, flags, attested=b""):
        party = sha256(rp_id.encode())
        return party + struct.pack(">BI", flags, self.counter) + attested

    def create(self, options, **lies):
        """RegistrationResponseJSON for PublicKeyCredentialCreationOptionsJSON."""
        options = json.loads(options)
        self.handle = data(options["user"]["id"])
        client_data = self.client_data("webauthn.create", options, lies)
        attested = (
            self.aaguid
            + struct.pack(">H", len(self.credential_id))
            + self.credential_id
            + cbor.encode(dict(self.cose))
        )
        flags = lies.get("flags", self.flags) | ATTESTED
        rp_id = lies.get("rp_id", options["rp"]["id"])
        said = self.authenticator_data(rp_id, flags, attested)
        statement = self.statement(said, sha256(client_data))
        statement.update(lies.get("statement", {}))
        object_ = cbor.encode(
            {"fmt": lies.get("format", self.format), "attStmt": statement, "authData": said}
        )
        return self.response(
            lies, clientDataJSON=client_data, attestationObject=object_, transports=["usb"]
        )

    def get(self, options, **lies):
        """AuthenticationResponseJSON for PublicKeyCredentialRequestOptionsJSON."""
        options = json.loads(options)
        self.counter = lies.get("counter", self.counter + 1 if self.counter else 0)
        client_data = self.client_data("webauthn.get", options, lies)
        said = self.authenticator_data(
            lies.get("rp_id", options["rpId"]), lies.get("flags", self.flags)
        )
        signature = self.sign(said + sha256(client_data), lies.get("private"))
        return self.response(
            lies, clientDataJSON=client_data, authenticatorData=said, signature=signature,
            userHandle=lies.get("handle", self.handle),
        )

    def response(self, lies, **parts):
        identity = text(lies.get("credential_id", self.credential_id))
        shown = {
            name: text(part) if isinstance(part, bytes) else part for name, part in parts.items()
        }
        return json.dumps(
            {
                "id": identity, "rawId": identity, "type": "public-key", "response": shown,
                "clientExtensionResults": {}, "authenticatorAttachment": "cross-platform",
            }
        )

    @property
    def format(self):
        return "packed" if self.attestation == "self" else self.attestation

    def statement(self, said, client_data_hash):
        if self.attestation == "none":
            return {}
        if self.attestation == "self":
            return {"alg": self.cose.ALGORITHM, "sig": self.sign(said + client_data_hash)}
        maker = ec.generate_private_key(ec.SECP256R1())
        certificate = certificate_of(maker, self.aaguid if self.attestation == "packed" else None)
        if self.attestation == "packed":
            signature = self.sign(said + client_data_hash, maker)
            return {"alg": -7, "sig": signature, "x5c": [certificate]}
        numbers = self.private.public_key().public_numbers()
        point = b"\x04" + numbers.x.to_bytes(32, "big") + numbers.y.to_bytes(32, "big")
        signed = b"\x00" + said[:32] + client_data_hash + self.credential_id + point
        return {"sig": self.sign(signed, maker), "x5c": [certificate]}


def certificate_of(private, aaguid, unit="Authenticator Attestation", authority=False):
    """An attestation certificate, signed by itself."""
    name = x509.Name(
        [
            x509.NameAttribute(NameOID.COUNTRY_NAME, "SE"),
            x509.NameAttribute(NameOID.ORGANIZATION_NAME, "Maker"),
            x509.NameAttribute(NameOID.ORGANIZATIONAL_UNIT_NAME, unit),
            x509.NameAttribute(NameOID.COMMON_NAME, "Key"),
        ]
    )
    builder = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(private.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(datetime(2024, 1, 1))
        .not_valid_after(datetime(2024, 1, 1) + timedelta(days=36500))
        .add_extension(x509.BasicConstraints(ca=authority, path_length=None), critical=True)
    )
    if aaguid is not None:
        model = x509.UnrecognizedExtension(
            ObjectIdentifier("1.3.6.1.4.1.45724.1.1.4"), b"\x04\x10" + aaguid
        )
        builder = builder.add_extension(model, critical=False)
    certificate = builder.sign(private, hashes.SHA256())
    return certificate.public_bytes(serialization.Encoding.DER)
