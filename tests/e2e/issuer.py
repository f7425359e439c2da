"""An OpenID Connect issuer on loopback, and tokens that it signs or that others forge."""

import base64
import datetime
import hashlib
import http.server
import ipaddress
import json
import ssl
import threading
import time

import jwt
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.x509.oid import NameOID

AUDIENCE = "the-client"


def rsa_key():
    return rsa.generate_private_key(public_exponent=65537, key_size=2048)


def ec_key(curve=None):
    return ec.generate_private_key(curve or ec.SECP256R1())


def jwk(key, kid):
    kind = jwt.algorithms.RSAAlgorithm if isinstance(key, rsa.RSAPrivateKey) else jwt.algorithms.ECAlgorithm
    return {**json.loads(kind.to_jwk(key.public_key())), "kid": kid, "use": "sig"}


def public_pem(key):
    return key.public_key().public_bytes(
        serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo
    )


def part(value):
    raw = value if isinstance(value, bytes) else json.dumps(value).encode()
    return base64.urlsafe_b64encode(raw).rstrip(b"=").decode()


def claims(issuer, **changes):
    """The claims of a token for `AUDIENCE`; `None` leaves one out."""
    now = int(time.time())
    all_of_it = {
        "iss": issuer,
        "sub": "subject-1",
        "aud": AUDIENCE,
        "iat": now,
        "exp": now + 600,
        **changes,
    }
    return {name: value for name, value in all_of_it.items() if value is not None}


def signed(payload, key, kid, algorithm="RS256", **headers):
    return jwt.encode(payload, key, algorithm, headers={"kid": kid, **headers})


def self_signed(days=30, ca=False):
    """A key and a certificate for 127.0.0.1."""
    key = ec_key()
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "loopback issuer")])
    now = datetime.datetime.now(datetime.timezone.utc)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - datetime.timedelta(days=1))
        .not_valid_after(now + datetime.timedelta(days=days))
        .add_extension(
            x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address("127.0.0.1"))]), False
        )
        .add_extension(x509.BasicConstraints(ca=ca, path_length=None), True)
        .sign(key, hashes.SHA256())
    )
    return key, certificate


def thumbprint(certificate):
    return hashlib.sha1(certificate.public_bytes(serialization.Encoding.DER)).hexdigest()


class Issuer:
    """Serves a discovery document and a key set, over TLS where it has a certificate."""

    def __init__(self, tls=None, path=""):
        self.keys = {}
        self.asked = []
        self.answers = {}
        issuer = self

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_GET(self):
                issuer.asked.append(self.path)
                status, body = issuer.answer(self.path)
                self.send_response(status)
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *_):
                pass

        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.server.daemon_threads = True
        scheme = "http"
        if tls:
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            context.load_cert_chain(*tls)
            self.server.socket = context.wrap_socket(self.server.socket, server_side=True)
            scheme = "https"
        self.name = f"127.0.0.1:{self.server.server_address[1]}{path}"
        self.url = f"{scheme}://{self.name}"
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    def answer(self, path):
        if path in self.answers:
            return self.answers[path]
        base = self.name.partition("/")[2]
        base = f"/{base}" if base else ""
        if path == f"{base}/.well-known/openid-configuration":
            return 200, json.dumps({"issuer": self.url, "jwks_uri": f"{self.url}/keys"}).encode()
        if path == f"{base}/keys":
            return 200, json.dumps({"keys": [jwk(key, kid) for kid, key in self.keys.items()]}).encode()
        return 404, b"{}"

    def token(self, kid=None, algorithm="RS256", **changes):
        kid = kid or next(iter(self.keys))
        return signed(claims(self.url, **changes), self.keys[kid], kid, algorithm)

    def stop(self):
        self.server.shutdown()
        self.server.server_close()
