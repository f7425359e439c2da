"""docs/scaling.md, walked by a user who begins on one machine: every command of the page, in its order."""

import re
import shlex
import subprocess
from pathlib import Path

import pytest

from ringfence_server import Server
from several import COUNT

GUIDE = Path(__file__).parents[2] / "docs/scaling.md"

pytestmark = pytest.mark.skipif(COUNT > 1, reason="starts servers of its own")


def commands():
    return re.findall(r"^\$ (.+)$", GUIDE.read_text(), re.MULTILINE)


class Walk:
    """Runs commands as they stand, and keeps the servers of them apart by their data directories."""

    def __init__(self, binary, home):
        self.binary, self.home = binary, home
        self.servers = {}
        self.exports = {}

    def go(self, command):
        if command.startswith("ringfence serve "):
            self.serve(shlex.split(command)[2:])
        else:
            if command.startswith("ringfence migrate "):
                self.stop()
            self.run(command)

    def serve(self, words):
        options = dict(zip(words[::2], words[1::2]))
        data = options.pop("--data")
        options.pop("--listen", None)  # Another test may have the port.
        if "--store" not in options:
            self.stop()  # One that shares its store with none.
        if data in self.servers:
            assert self.servers.pop(data).stop() == 0
        args = [word for option in options.items() for word in option]
        args = [word.replace("@", f"@{self.home}/") for word in args]
        logs = self.home / f"logs-{data}"
        logs.mkdir(exist_ok=True)
        server = Server(
            self.binary, data=self.home / data, dev=False, args=args, env=None, logs=logs
        )
        self.servers[data] = server.start()
        self.exports = self.exports or server.exports
        server.exports = self.exports

    def run(self, command):
        path = f"{self.binary.parent}:/usr/bin:/bin"
        done = subprocess.run(
            ["sh", "-euc", command], cwd=self.home, env={"PATH": path}, capture_output=True,
            text=True, timeout=60,
        )
        assert done.returncode == 0, f"{command}: {done.stdout}{done.stderr}"

    def stop(self):
        while self.servers:
            assert self.servers.popitem()[1].stop() == 0

    def iam(self, data):
        return self.servers[data].root().client("iam")

    @property
    def strict(self):
        """What one of the servers has acknowledged, all know."""
        return all("strict" in server.args for server in self.servers.values())

    def check(self, users):
        """What was ever made is there, at every server, and one more."""
        name = f"user-{len(users)}"
        users.append(name)
        first, *others = self.servers
        self.iam(first).create_user(UserName=name)
        for data in (first, *others):
            iam = self.iam(data)
            if data != first and not self.strict:
                iam.get_waiter("user_exists").wait(
                    UserName=name, WaiterConfig={"Delay": 0.05, "MaxAttempts": 100}
                )
            assert {user["UserName"] for user in iam.list_users()["Users"]} >= set(users)


def test_every_command_of_the_guide_works_in_its_order(binary, postgres, tmp_path):
    (tmp_path / "store.url").write_text(postgres.url(postgres.database()))
    walk, users = Walk(binary, tmp_path), []
    try:
        for command in commands():
            walk.go(command)
            if walk.servers and "serve" in command:
                walk.check(users)
        assert list(walk.servers) == ["restored"] and len(users) == 7
    finally:
        for server in walk.servers.values():
            server.stop()
