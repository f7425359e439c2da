"""Several `ringfence serve` over one cluster, with one root key."""

import os
import shutil
import subprocess
import tempfile
import time
from pathlib import Path

import pytest

from ringfence_server import UNTHROTTLED, Server

REPOSITORY = Path(__file__).resolve().parents[2]
START_LIMIT_SECONDS = 60


def binary():
    path = Path(os.environ.get("RINGFENCE_BIN", REPOSITORY / "target/debug/ringfence"))
    if not path.is_file():
        pytest.exit(f"no binary at {path}: build it, or name it in RINGFENCE_BIN", returncode=2)
    return path


class Servers:
    """They end with the tests; their data, which is events and logs, goes with them."""

    def __init__(self, cluster, count, *options):
        self.cluster = cluster
        self.folder = Path(tempfile.mkdtemp(prefix="ringfence-chaos-servers-"))
        # Ringfence's own driver chooses the host that takes writes, and needs not be told.
        self.url = cluster.url(sslmode="disable").replace("target_session_attrs=read-write&", "")
        self.place = ("--store", self.url, "--seal", f"file:{self.folder / 'root.key'}")
        self.all = []
        try:
            for number in range(count):
                logs = self.folder / f"server-{number}"
                logs.mkdir()
                server = Server(
                    binary(), data=logs / "data", dev=False, env=None, logs=logs,
                    args=(*self.place, *options, *UNTHROTTLED, "--quota", "iam:users=100000"),
                    host=cluster.clients[number] if cluster.clients[number:] else None,
                )
                self.all.append(server)
                server.start()
        except BaseException:
            self.close()
            raise
        self.exports = self.all[0].exports

    def root(self, server):
        """The root user of the account, at one server."""
        keys = self.exports
        return server.principal(keys["AWS_ACCESS_KEY_ID"], keys["AWS_SECRET_ACCESS_KEY"])

    def start(self):
        """Starts those that do not run; returns when they answer."""
        deadline = time.monotonic() + START_LIMIT_SECONDS
        for server in self.all:
            while server.process is None:
                try:
                    server.start()
                except RuntimeError:
                    # Without a database, or without a lease, there is no start.
                    if time.monotonic() > deadline:
                        raise

    def assert_alive(self):
        for number, server in enumerate(self.all):
            ended = server.process.poll()
            assert ended is None, f"server {number} ended by itself, {ended}:\n{server.stderr[-3000:]}"

    def check(self):
        """What `ringfence check` says of the store; who reads it needs no place among the servers."""
        done = subprocess.run(
            [binary(), "check", "--data", self.folder / "reader", *self.place],
            env={"PATH": os.environ["PATH"], "HOME": str(self.folder)},
            capture_output=True, text=True, timeout=300,
        )
        assert done.returncode == 0, f"ringfence check: {done.stdout}{done.stderr}"
        return done.stdout.strip()

    def logs(self):
        return "\n".join(
            f"== server {number}\n{server.stderr[-2000:]}" for number, server in enumerate(self.all)
        )

    def close(self):
        for server in self.all:
            if server.process is not None:
                server.kill()
        kept = os.environ.get("RINGFENCE_CHAOS_LOGS")
        if kept:
            shutil.copytree(
                self.folder, Path(kept) / self.folder.name,
                ignore=shutil.ignore_patterns("*.key", "data", "reader"),
            )
        shutil.rmtree(self.folder, ignore_errors=True)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()
