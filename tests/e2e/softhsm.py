"""Tokens of SoftHSM, a hardware security module in software, each server's in a folder of its own."""

import os
import shutil
import subprocess
from pathlib import Path

import pytest

# Where `make softhsm` unpacks Debian's packages, and what it exports.
UNPACKED = Path(__file__).resolve().parents[2] / ".cache/softhsm"
PIN = "crypto-user-1"


def library():
    """The module's library, or a skip that says why."""
    named = os.environ.get("RINGFENCE_SOFTHSM") or UNPACKED / "usr/lib/softhsm/libsofthsm2.so"
    if not Path(named).is_file():
        pytest.skip("SoftHSM is not at hand: `make softhsm` fetches it from Debian's packages")
    return Path(named)


class Tokens:
    """A folder of tokens, as the module of one process sees it."""

    def __init__(self, folder):
        self.library = library()
        self.folder = folder / "tokens"
        self.folder.mkdir(parents=True)
        self.config = folder / "softhsm2.conf"
        self.config.write_text(f"directories.tokendir = {self.folder}\n")
        self.env = {"SOFTHSM2_CONF": str(self.config)}

    def make(self, label, pin=PIN):
        self._util("--init-token", "--free", "--label", label, "--so-pin", "87654321", "--pin", pin)

    def make_anew(self, label, pin):
        """In place of all tokens there are: for a module that is not loaded."""
        shutil.rmtree(self.folder)
        self.folder.mkdir()
        self.make(label, pin)

    def _util(self, *arguments):
        util = self.library.parents[3] / "usr/bin/softhsm2-util"
        if not util.is_file():
            util = UNPACKED / "usr/bin/softhsm2-util"
        done = subprocess.run(
            [str(util), "--module", str(self.library), *arguments],
            env={"PATH": os.environ["PATH"], **self.env}, capture_output=True, text=True, timeout=60,
        )
        assert done.returncode == 0, done.stdout + done.stderr

    def objects(self):
        """Files of objects in the tokens: a key is one."""
        return {path for path in self.folder.rglob("*.object") if path.name != "token.object"}

    def pull(self):
        """Takes every token out of its slot."""
        self.folder.rename(self.folder.with_name("pulled"))
        self.folder.mkdir()

    def put_back(self):
        self.folder.rmdir()
        self.folder.with_name("pulled").rename(self.folder)


class Watched:
    """A module around SoftHSM's that writes down what it is asked, and can be made slow or stubborn:
    `watched_module.c` has the words."""

    def __init__(self, folder, tokens):
        self.control = folder / "control"
        self.control.mkdir(parents=True)
        self.library = folder / "watched.so"
        subprocess.run(
            ["cc", "-shared", "-fPIC", "-O1", "-Wall", f'-DCONTROL="{self.control}"',
             f'-DREAL="{tokens.library}"', "-o", self.library, Path(__file__).with_name("watched_module.c")],
            check=True, timeout=60,
        )

    def begin(self, what):
        (self.control / what).touch()

    def end(self, what):
        (self.control / what).unlink()

    def log(self):
        log = self.control / "log"
        return log.read_text().splitlines() if log.exists() else []

    def asked(self, what):
        """How often it was asked for this."""
        return sum(line.split()[0] == what for line in self.log())
