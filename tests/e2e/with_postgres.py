"""Runs a command beside a private PostgreSQL: `with_postgres.py COMMAND…`.

The URL of its superuser is the command's RINGFENCE_TEST_POSTGRES. Where PostgreSQL cannot be had, the
command runs without, and says what it passes over.
"""

import os
import subprocess
import sys
from contextlib import ExitStack

import pytest

from postgres import Postgres


def main(command):
    with ExitStack() as held:
        environment = dict(os.environ)
        try:
            server = held.enter_context(Postgres(settings={"max_connections": "400"}))
        except pytest.skip.Exception as why:
            print(f"passed over: {why}", file=sys.stderr)
        else:
            environment["RINGFENCE_TEST_POSTGRES"] = (
                f"postgres://{server.superuser}:{server.superuser_password}"
                f"@{server.host}:{server.port}/postgres?sslmode=disable"
            )
        return subprocess.run(command, env=environment).returncode


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
