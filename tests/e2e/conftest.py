"""Fixtures that start the built binary and give real clients to it.

The binary is named by RINGFENCE_BIN, or is target/debug/ringfence. Each server has its own port on
loopback and its own data directory under pytest's temporary one, and only that process is ended.
A test module that needs no server of its own shares one (`server`, `root`, `world`).
"""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

import several
from openssl import Openssl
from ringfence_server import UNTHROTTLED, Server
from world import World

REPOSITORY = Path(__file__).resolve().parents[2]


def pytest_collection_modifyitems(items):
    """Several servers are asked in the place of one: what is about one process is passed over, which -ra tells."""
    if several.COUNT == 1:
        return
    for item in items:
        if mark := item.get_closest_marker("one_process"):
            item.add_marker(pytest.mark.skip(reason=f"is about {mark.args[0]}"))


def pytest_configure(config):
    # Whatever the person who runs the tests has set for the real AWS must not be seen by them.
    for name in list(os.environ):
        if name.startswith("AWS_"):
            del os.environ[name]
    os.environ["AWS_EC2_METADATA_DISABLED"] = "true"
    os.environ["AWS_CONFIG_FILE"] = os.devnull
    os.environ["AWS_SHARED_CREDENTIALS_FILE"] = os.devnull


@pytest.fixture(scope="session")
def binary():
    path = Path(os.environ.get("RINGFENCE_BIN", REPOSITORY / "target/debug/ringfence"))
    if not path.is_file():
        pytest.exit(f"no binary at {path}: build it, or name it in RINGFENCE_BIN", returncode=2)
    return path


@pytest.fixture(scope="session")
def aws_command():
    beside_python = Path(sys.executable).with_name("aws")
    found = str(beside_python) if beside_python.exists() else shutil.which("aws")
    if not found:
        pytest.exit("no aws command line: run the tests by `make e2e`", returncode=2)
    return found


@pytest.fixture
def openssl(tmp_path):
    return Openssl(tmp_path)


@pytest.fixture(scope="session")
def ringfence(binary, tmp_path_factory):
    """Runs `ringfence ARGS…` to its end, with a home of its own."""
    home = tmp_path_factory.mktemp("home")

    def run(*args, check=True, env=None, **kwargs):
        environment = {"PATH": os.environ["PATH"], "HOME": str(home), **(env or {})}
        done = subprocess.run(
            [str(binary), *map(str, args)],
            env=environment,
            capture_output=True,
            text=True,
            timeout=60,
            **kwargs,
        )
        if check:
            assert done.returncode == 0, f"ringfence {args}: {done.stdout}{done.stderr}"
        return done

    return run


@pytest.fixture(scope="session")
def start_server(binary, tmp_path_factory):
    """Makes servers that end with the session at the latest. Where several are asked for (several.py), those that
    are given no store or directory of their own are several."""
    made = []
    databases = several.Databases()

    def start(*args, data=None, dev=False, env=None, wait=True):
        if dev and several.COUNT > 1:
            pytest.skip("is about --dev, which is one process and its memory")
        shared = several.COUNT > 1 and data is None and "--store" not in args
        if data is None and not dev:
            data = tmp_path_factory.mktemp("data") / "store"
        common = {"data": data, "args": args, "env": env, "logs": tmp_path_factory.mktemp("logs")}
        if shared:
            server = several.Servers(
                binary, database_url=databases.url(), count=several.COUNT, **common
            )
        else:
            server = Server(binary, dev=dev, **common)
        made.append(server)
        server.start(wait=wait)
        return server

    yield start
    for server in made:
        server.stop()
    databases.close()


@pytest.fixture(scope="module")
def server(start_server):
    """One durable server for a test module."""
    running = start_server(*UNTHROTTLED)
    yield running
    running.stop()


@pytest.fixture(scope="module")
def root(server):
    """The root user of the management account."""
    return server.root()


@pytest.fixture(scope="module")
def world(server):
    """Makes principals and policies in the module's server as root."""
    return World(server.root())


@pytest.fixture(scope="module")
def dev(start_server):
    """A server started with --dev."""
    running = start_server(dev=True)
    yield running
    running.stop()


@pytest.fixture(scope="session")
def postgres():
    """One PostgreSQL for all tests that do not kill it; each takes a `database()` of its own."""
    from postgres import Postgres  # loaded where it is wanted

    with Postgres() as running:
        yield running
