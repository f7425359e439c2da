"""The `openssl` command line: the system's, or Debian's, fetched into .cache/."""

import contextlib
import functools
import os
import shutil
import subprocess
import tempfile
from pathlib import Path

import pytest

FETCHED = Path(__file__).resolve().parents[2] / ".cache/openssl"


def fetch():
    """Debian's command with the library that it is linked to, which bears the one or the other name."""
    if not FETCHED.exists():
        # Another process of these tests may be fetching it, too.
        FETCHED.parent.mkdir(exist_ok=True)
        place = Path(tempfile.mkdtemp(dir=FETCHED.parent))
        try:
            downloaded = all(
                any(quiet("apt-get", "download", name, cwd=place) for name in names)
                for names in (["openssl"], ["libssl3t64", "libssl3"])
            )
            unpacked = downloaded and all(
                quiet("dpkg", "-x", package, place) for package in place.glob("*.deb")
            )
            if not unpacked:
                return None
            with contextlib.suppress(OSError):
                place.rename(FETCHED)
        finally:
            shutil.rmtree(place, ignore_errors=True)
    libraries = next((FETCHED / "usr/lib").glob("*/libcrypto.so.3")).parent
    return str(FETCHED / "usr/bin/openssl"), {"LD_LIBRARY_PATH": str(libraries)}


def quiet(*command, cwd=None):
    """Whether a command is there and succeeds."""
    try:
        return subprocess.run(command, cwd=cwd, capture_output=True).returncode == 0
    except OSError:
        return False


@functools.cache
def command():
    """The program, and what its environment must say."""
    system = shutil.which("openssl")
    found = (system, {}) if system else fetch()
    if found is None:
        pytest.fail("no openssl, and Debian's cannot be had by apt-get: install the package openssl")
    return found


class Openssl:
    """The command in a folder of its own."""

    def __init__(self, folder):
        self.folder = Path(folder)
        self.program, self.environment = command()

    def run(self, *args):
        return subprocess.run(
            [self.program, *map(str, args)],
            cwd=self.folder,
            env={"PATH": os.environ["PATH"], "HOME": str(self.folder), **self.environment},
            stdin=subprocess.DEVNULL,
            capture_output=True,
            timeout=60,
        )

    def ok(self, *args):
        done = self.run(*args)
        assert done.returncode == 0, (args, done.stdout, done.stderr)
        return done.stdout

    def text(self, *args):
        return self.ok(*args).decode()

    def write(self, name, content):
        (self.folder / name).write_bytes(content)
        return name

    def read(self, name):
        return (self.folder / name).read_bytes()

    def public_key(self, der):
        """A public key as most commands take it."""
        self.write("public.der", der)
        self.ok("pkey", "-pubin", "-inform", "DER", "-in", "public.der", "-out", "public.pem")
        return "public.pem"
