"""The tools that this folder's tests run, each in a virtual environment of its own.

`make outside` installs them into .cache/outside, from the lists of packages beside this file.
"""

import os
import subprocess
from pathlib import Path

import pytest

TOOLS = Path(__file__).resolve().parents[3] / ".cache/outside"


class Tool:
    """A tool's environment."""

    def __init__(self, name, home):
        self.place = TOOLS / name
        self.home = home
        if not (self.place / "bin/python").exists():
            pytest.exit(f"{name} is not installed: run these tests by `make outside`", returncode=2)

    @property
    def packages(self):
        return next(self.place.glob("lib/python*/site-packages"))

    def run(self, program, *args, env=None, check=True, **kwargs):
        """Runs one of its programs with a home of its own, and the exports of one principal."""
        done = subprocess.run(
            [str(self.place / "bin" / program), *map(str, args)],
            env={
                "PATH": os.environ["PATH"],
                "HOME": str(self.home),
                "AWS_EC2_METADATA_DISABLED": "true",
                **(env or {}),
            },
            cwd=self.home,
            capture_output=True,
            text=True,
            timeout=300,
            **kwargs,
        )
        if check:
            assert done.returncode == 0, f"{program} {args}: {done.stdout}{done.stderr}"
        return done


@pytest.fixture(scope="module")
def tool(tmp_path_factory):
    return lambda name: Tool(name, tmp_path_factory.mktemp(name))
