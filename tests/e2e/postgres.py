"""A private PostgreSQL: its own data, its own loopback port, and nobody else's processes ended.

PostgreSQL does not run as root. Where the tests do, it runs as `nobody`, in a folder that is nobody's.
The data lies on disk and is synced, as a server that keeps promises has it; see `SETTINGS`.
"""

import atexit
import ctypes
import datetime
import functools
import ipaddress
import itertools
import os
import pwd
import secrets
import shutil
import signal
import ssl
import subprocess
import tempfile
import time
from pathlib import Path
from urllib.parse import quote, urlencode

import pg8000.dbapi
import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from ringfence_server import free_port

# Where `make postgres` unpacks Debian's packages, and what it exports is the folder with bin/ in it.
UNPACKED = Path(__file__).resolve().parents[2] / ".cache/postgres"
START_LIMIT_SECONDS = 60
STOP_LIMIT_SECONDS = 60

SETTINGS = {
    "fsync": "on",
    "synchronous_commit": "on",
    "shared_buffers": "32MB",
    "max_connections": "100",
    # Its library may be absent, and no query here is long enough to be worth compiling.
    "jit": "off",
    # In the data folder, so that a killed server leaves nothing in /dev/shm.
    "dynamic_shared_memory_type": "mmap",
    "log_line_prefix": "%m [%p] %q%u@%d ",
}


def owner():
    """The user that PostgreSQL runs as: `nobody` where the tests run as root, else none but their own."""
    return pwd.getpwnam("nobody") if os.geteuid() == 0 else None


def run_as(user):
    """The arguments of subprocess that run a program as this user."""
    if user is None:
        return {}
    return {"user": user.pw_uid, "group": user.pw_gid, "extra_groups": []}


@functools.cache
def installed():
    """The folder with bin/, or a skip that says why."""
    named = os.environ.get("RINGFENCE_POSTGRES")
    if not named:
        unpacked = sorted(UNPACKED.glob("usr/lib/postgresql/*/bin/postgres"))
        named = unpacked[-1].parents[1] if unpacked else UNPACKED
    if not (Path(named) / "bin/postgres").is_file():
        pytest.skip("PostgreSQL is not at hand: `make postgres` fetches it from Debian's packages")
    return within_reach(Path(named))


def within_reach(folder):
    """The folder, or a copy of the packages where whom PostgreSQL runs as may not enter it."""
    if owner() is None or all(parent.stat().st_mode & 1 for parent in (folder / "bin").parents):
        return folder
    copy = Path(tempfile.mkdtemp(prefix="postgres-packages-"))
    atexit.register(shutil.rmtree, copy, ignore_errors=True)
    copy.chmod(0o755)
    root = packages_root(folder)
    shutil.copytree(root, copy / "root", symlinks=True)
    return copy / "root" / folder.relative_to(root)


def packages_root(folder):
    """What Debian's `usr/lib/postgresql/NN` is in."""
    return folder.parents[3]


def library_path():
    """Where the libraries of the packages lie."""
    root = packages_root(installed())
    return ":".join(
        str(found) for where in ("usr/lib", "lib") for found in root.glob(f"{where}/*-linux-gnu")
    )


def environment():
    return {"PATH": os.environ["PATH"], "LD_LIBRARY_PATH": library_path(), "LC_ALL": "C", "TZ": "UTC"}


class Postgres:
    """One server. `url()` names the role that owns the databases and may do nothing else."""

    host = "127.0.0.1"
    role = "ringfence"
    superuser = "postgres"

    def __init__(self, *, tls=False, settings=None):
        """With `tls`, connections without it are refused; `ca` is the file of whom to trust."""
        self.installed = installed()
        self.user = owner()
        self.folder = Path(tempfile.mkdtemp(prefix="ringfence-postgres-"))
        self.data = self.folder / "data"
        self.log = self.folder / "log"
        self.ca = self.folder / "ca.pem" if tls else None
        self.port = free_port()
        self.password = secrets.token_hex(16)
        self.superuser_password = secrets.token_hex(16)
        self.settings = {**SETTINGS, **(settings or {})}
        self.process = None
        self.numbers = itertools.count(1)
        try:
            self._initialise()
            self.start()
            self.sql(f"CREATE ROLE {self.role} LOGIN PASSWORD '{self.password}'", superuser=True)
        except BaseException:
            self.close()
            raise

    def _initialise(self):
        secret = self.folder / "secret"
        secret.touch(mode=0o600)
        secret.write_text(self.superuser_password)
        self._own(self.folder, secret)
        done = self.run(
            "initdb", "-D", self.data, "-U", self.superuser, "--auth=scram-sha-256", "--pwfile", secret,
            "--encoding=UTF8", "--locale=C", "--no-sync",
        )
        assert done.returncode == 0, done.stdout + done.stderr
        secret.unlink()
        kind = "host"
        if self.ca:
            kind = "hostssl"
            certificate_files(self.folder)
            self._own(self.folder / "server.key")
            self.settings |= {
                "ssl": "on",
                "ssl_cert_file": self.folder / "server.pem",
                "ssl_key_file": self.folder / "server.key",
            }
        (self.data / "pg_hba.conf").write_text(
            f"local all all scram-sha-256\n{kind} all all {self.host}/32 scram-sha-256\n"
        )

    def _own(self, *paths):
        if self.user:
            for path in paths:
                os.chown(path, self.user.pw_uid, self.user.pw_gid)

    def run(self, program, *arguments, **more):
        """Runs one of PostgreSQL's programs to its end, as whom the server runs as."""
        return subprocess.run(
            [str(self.installed / "bin" / program), *map(str, arguments)],
            env=environment() | more.pop("env", {}), cwd="/", stdin=subprocess.DEVNULL,
            capture_output=True, text=True, timeout=300, **run_as(self.user), **more,
        )

    def start(self):
        assert self.process is None, "already running"
        with open(self.log, "ab") as log:
            self.process = subprocess.Popen(
                [
                    str(self.installed / "bin/postgres"), "-D", str(self.data), "-p", str(self.port),
                    "-h", self.host, "-k", str(self.folder),
                    *(f"--{name}={value}" for name, value in self.settings.items()),
                ],
                env=environment(), cwd="/", stdin=subprocess.DEVNULL, stdout=log, stderr=log,
                start_new_session=True, **run_as(self.user),
            )
        deadline = time.monotonic() + START_LIMIT_SECONDS
        while not self._ready():
            if self.process.poll() is not None:
                self.process = None
                raise RuntimeError(f"PostgreSQL ended:\n{self.log.read_text()[-4000:]}")
            assert time.monotonic() < deadline, f"not ready in time:\n{self.log.read_text()[-4000:]}"
            time.sleep(0.01)

    def _ready(self):
        lines = lock_file(self.data)
        return lines[7:] and lines[0] == str(self.process.pid) and lines[7].strip() == "ready"

    def stop(self):
        """An orderly end, which breaks the connections that there are."""
        if self.process is None:
            return
        self.process.send_signal(signal.SIGINT)
        try:
            self.process.wait(STOP_LIMIT_SECONDS)
        except subprocess.TimeoutExpired:
            self.kill()
            raise
        self.process = None

    def restart(self):
        self.stop()
        self.start()

    def configure(self, **settings):
        """Settings from the next start on."""
        self.settings |= settings

    def kill(self):
        """Ends it and every process of it as a crash does: no handler runs, nothing is flushed."""
        kill_family(self.process.pid, self.process.wait)
        self.process = None

    def freeze(self):
        """Stops it in its tracks: connections stay open and are not answered. Its processes."""
        return freeze_family(self.process.pid)

    def thaw(self):
        thaw_family(self.process.pid)

    def close(self):
        """Ends it, and removes its data."""
        if self.process is not None:
            self.thaw()
            self.stop()
        forget_shared_memory(self.data)
        shutil.rmtree(self.folder, ignore_errors=True)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()

    def database(self, template="template0"):
        """Makes a fresh database, or a copy of another that nobody is connected to; its name."""
        name = f"ringfence_{next(self.numbers)}"
        self.sql(
            f'CREATE DATABASE "{name}" OWNER {self.role} TEMPLATE "{template}"', superuser=True
        )
        return name

    def url(self, database, **parameters):
        """For a client that reads URLs; `sslmode` is what this server asks for unless it is given."""
        parameters = {"sslmode": "require" if self.ca else "disable", **parameters}
        return (
            f"postgres://{self.role}:{self.password}@{self.host}:{self.port}/{quote(database)}"
            f"?{urlencode(parameters)}"
        )

    def connect(self, database, superuser=False, timeout=60):
        """A connection whose every statement is a transaction unless it says BEGIN."""
        tls = ssl.create_default_context(cafile=self.ca) if self.ca else None
        connection = Connection(
            user=self.superuser if superuser else self.role,
            password=self.superuser_password if superuser else self.password,
            host=self.host, port=self.port, database=database, timeout=timeout, ssl_context=tls,
        )
        connection.autocommit = True
        return connection

    def sql(self, statement, parameters=(), database="postgres", superuser=False):
        """Runs one statement on a connection of its own; its rows, if it has any."""
        with self.connect(database, superuser) as connection:
            return connection.rows(statement, parameters)


class Connection(pg8000.dbapi.Connection):
    def __enter__(self):
        return self

    def __exit__(self, *_):
        try:
            self.close()
        except (pg8000.dbapi.InterfaceError, OSError):
            pass  # the server is gone

    def rows(self, statement, parameters=()):
        cursor = self.cursor()
        cursor.execute(statement, parameters)
        return [tuple(row) for row in cursor.fetchall()] if cursor.description else []


def lock_file(data):
    """The lines of postmaster.pid: the first is its process, the eighth says how it is."""
    try:
        return (data / "postmaster.pid").read_text().splitlines()
    except FileNotFoundError:
        return []


def shared_memory(data):
    """The number of the server's segment of System V, or None."""
    lines = lock_file(data)
    return int(lines[6].split()[1]) if lines[6:] and lines[6].strip() else None


def forget_shared_memory(data):
    """A killed server leaves the segment by which the next would know that it still runs."""
    segment = shared_memory(data)
    if segment is not None:
        ctypes.CDLL(None).shmctl(segment, 0, None)  # IPC_RMID


def freeze_family(process):
    """Stops a process and its children; all of them, the first one first."""
    # The first makes the others, so once it stands still there are no more of them.
    os.kill(process, signal.SIGSTOP)
    while process_state(process) not in "TtZX":
        time.sleep(0.001)
    family = [process, *children(process)]
    for child in family[1:]:
        signal_if_there(child, signal.SIGSTOP)
    return family


def thaw_family(process):
    for member in [*children(process), process]:
        signal_if_there(member, signal.SIGCONT)


def kill_family(process, wait=lambda limit: None):
    """Kills a process and its children, and returns when none is left; `wait` takes its exit code."""
    family = freeze_family(process)
    for member in family:
        signal_if_there(member, signal.SIGKILL)
    wait(STOP_LIMIT_SECONDS)
    deadline = time.monotonic() + STOP_LIMIT_SECONDS
    # A process that is not quite gone would hold the shared memory that the next start asks for.
    while any(running(member) for member in family):
        assert time.monotonic() < deadline, "processes outlive SIGKILL"
        time.sleep(0.005)


def signal_if_there(process, number):
    try:
        os.kill(process, number)
    except ProcessLookupError:
        pass  # it ended by itself


def process_state(process):
    """The letter that proc(5) has for it; X where there is no such process."""
    try:
        stat = Path(f"/proc/{process}/stat").read_text()
    except (FileNotFoundError, ProcessLookupError):
        return "X"
    return stat.rpartition(")")[2].split()[0]


def running(process):
    return process_state(process) not in "ZX"


def children(process):
    return [
        int(child)
        for child in Path(f"/proc/{process}/task/{process}/children").read_text().split()
    ]


def certificate_files(folder):
    """ca.pem, and a server.pem by it for loopback with its server.key."""
    now = datetime.datetime.now(datetime.timezone.utc)

    def made(name, issuer, issuer_key, key, *extensions):
        builder = (
            x509.CertificateBuilder()
            .subject_name(name).issuer_name(issuer).public_key(key.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(now - datetime.timedelta(hours=1))
            .not_valid_after(now + datetime.timedelta(days=2))
        )
        for extension, critical in extensions:
            builder = builder.add_extension(extension, critical)
        return builder.sign(issuer_key, hashes.SHA256())

    def called(name):
        return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])

    ca_key, key = (ec.generate_private_key(ec.SECP256R1()) for _ in range(2))
    ca = made(
        called("Ringfence tests"), called("Ringfence tests"), ca_key, ca_key,
        (x509.BasicConstraints(ca=True, path_length=0), True),
        (key_usage(key_cert_sign=True), True),
        (x509.SubjectKeyIdentifier.from_public_key(ca_key.public_key()), False),
    )
    names = [x509.DNSName("localhost"), x509.IPAddress(ipaddress.ip_address("127.0.0.1"))]
    server = made(
        called("localhost"), ca.subject, ca_key, key,
        (x509.SubjectAlternativeName(names), False),
        (x509.BasicConstraints(ca=False, path_length=None), True),
        (key_usage(digital_signature=True), True),
        (x509.ExtendedKeyUsage([x509.ExtendedKeyUsageOID.SERVER_AUTH]), False),
        (x509.AuthorityKeyIdentifier.from_issuer_public_key(ca_key.public_key()), False),
    )
    for name, certificate in (("ca.pem", ca), ("server.pem", server)):
        (folder / name).write_bytes(certificate.public_bytes(serialization.Encoding.PEM))
        (folder / name).chmod(0o644)
    secret = folder / "server.key"
    secret.touch(mode=0o600)
    secret.write_bytes(
        key.private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        )
    )


def key_usage(**used):
    names = (
        "digital_signature", "content_commitment", "key_encipherment", "data_encipherment",
        "key_agreement", "key_cert_sign", "crl_sign", "encipher_only", "decipher_only",
    )
    return x509.KeyUsage(**{name: used.get(name, False) for name in names})
