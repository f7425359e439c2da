"""Keys and certificates for tests, made by `openssl` and `ssh-keygen`."""

import subprocess
import tempfile
from dataclasses import dataclass
from datetime import datetime, timezone
from pathlib import Path


def openssl(*args, input=None):
    done = subprocess.run(
        ["openssl", *args], input=input, capture_output=True, text=True, check=True, timeout=60
    )
    return done.stdout


def private_key(kind="P-256"):
    """PKCS #8 in PEM."""
    if kind.startswith("RSA"):
        return openssl(
            "genpkey", "-quiet", "-algorithm", "RSA", "-pkeyopt", f"rsa_keygen_bits:{kind[4:]}"
        )
    return openssl("genpkey", "-quiet", "-algorithm", "EC", "-pkeyopt", f"ec_paramgen_curve:{kind}")


@dataclass
class Certificate:
    name: str
    key: str
    pem: str

    @property
    def not_after(self):
        told = openssl("x509", "-noout", "-enddate", input=self.pem).strip().partition("=")[2]
        return datetime.strptime(told, "%b %d %H:%M:%S %Y %Z").replace(tzinfo=timezone.utc)


def certificate(name="www.example.com", kind="P-256", issuer=None, days=30):
    """A certificate and its key; without an issuer it signs itself."""
    key = private_key(kind)
    with tempfile.TemporaryDirectory() as directory:
        place = Path(directory)
        (place / "key").write_text(key)
        request = openssl("req", "-new", "-key", str(place / "key"), "-subj", f"/CN={name}")
        signer = ["-signkey", str(place / "key")]
        if issuer:
            (place / "ca").write_text(issuer.pem)
            (place / "cakey").write_text(issuer.key)
            signer = ["-CA", str(place / "ca"), "-CAkey", str(place / "cakey"), "-CAcreateserial"]
        pem = openssl("x509", "-req", "-days", str(days), *signer, input=request)
    return Certificate(name, key, pem)


def ssh_key(bits=2048, kind="rsa"):
    """(line, PEM or None, MD5 fingerprint) of a fresh public key."""
    with tempfile.TemporaryDirectory() as directory:
        place = Path(directory) / "key"
        size = ["-b", str(bits)] if kind == "rsa" else []
        keygen = ["ssh-keygen", "-q", "-t", kind, *size, "-N", "", "-C", "ann@example.com"]
        subprocess.run([*keygen, "-f", str(place)], check=True, timeout=60)
        line = place.with_suffix(".pub").read_text()
        if kind != "rsa":
            return line, None, None

        def told(*args):
            command = ["ssh-keygen", *args, "-f", str(place.with_suffix(".pub"))]
            return subprocess.run(command, check=True, capture_output=True, text=True).stdout

        return line, told("-e", "-m", "PKCS8"), told("-E", "md5", "-l").split()[1][4:]
