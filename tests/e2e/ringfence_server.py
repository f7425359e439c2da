"""One `ringfence serve` process: start, stop, kill -9, start again on the same data."""

import contextlib
import gzip
import http.client
import json
import os
import shlex
import signal
import socket
import subprocess
import time
from pathlib import Path

from clients import REGION, Principal

# For tests that call faster than KMS lets an account.
UNTHROTTLED = ("--quota", "kms:requests=1000000")
START_LIMIT_SECONDS = 20
STOP_LIMIT_SECONDS = 20


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def until_the_next_second():
    """Events tell whole seconds: which of two servers' came later shows only from one second to the next."""
    now = int(time.time())
    while int(time.time()) == now:
        time.sleep(0.01)


def parse_exports(text):
    """The `export NAME=value` lines of a shell fragment, in order."""
    found = {}
    for line in text.splitlines():
        words = shlex.split(line, comments=True)
        if len(words) == 2 and words[0] == "export" and "=" in words[1]:
            name, _, value = words[1].partition("=")
            found[name] = value
    return found


class Server:
    def __init__(self, binary, *, data, dev, args, env, logs, host=None):
        """`host` is a place in a network of the tests' own, of tests/chaos/network.py."""
        self.binary = binary
        self.data = Path(data) if data is not None else None
        self.dev = dev
        self.args = [str(arg) for arg in args]
        self.env = env or {}
        self.logs = Path(logs)
        self.address = host.address if host else "127.0.0.1"
        self.within = host.within if host else []
        self.port = free_port()
        self.starts = 0
        self.process = None
        self.exports = {}

    @property
    def url(self):
        return f"http://{self.address}:{self.port}"

    @property
    def place(self):
        """By which a command finds its store."""
        return ("--data", self.data)

    @property
    def stdout(self):
        """What the last start printed on standard output."""
        return (self.logs / f"stdout.{self.starts}").read_text()

    @property
    def stderr(self):
        return (self.logs / f"stderr.{self.starts}").read_text()

    def start(self, wait=True):
        assert self.process is None, "already running"
        self.starts += 1
        command = [*self.within, str(self.binary), "serve", "--listen", f"{self.address}:{self.port}"]
        if self.dev:
            command.append("--dev")
        if self.data is not None:
            command += ["--data", str(self.data)]
        environment = {"PATH": os.environ["PATH"], "HOME": str(self.logs), **self.env}
        with (
            open(self.logs / f"stdout.{self.starts}", "wb") as out,
            open(self.logs / f"stderr.{self.starts}", "wb") as err,
        ):
            self.process = subprocess.Popen(
                command + self.args,
                stdin=subprocess.DEVNULL,
                stdout=out,
                stderr=err,
                env=environment,
                start_new_session=True,
            )
        if wait:
            self.wait_until_healthy()
            # The credentials are printed once only, by the first start.
            self.exports = self.exports or parse_exports(self.stdout)
        return self

    def wait_until_healthy(self):
        deadline = time.monotonic() + START_LIMIT_SECONDS
        while True:
            ended = self.process.poll()
            if ended is not None:
                self.process = None
                raise RuntimeError(f"server ended with {ended}:\n{self.stdout}\n{self.stderr}")
            try:
                if self.get("/_ringfence/health")[0] == 200:
                    return
            except OSError:
                pass
            if time.monotonic() > deadline:
                self.kill()
                raise RuntimeError(f"server not healthy in time:\n{self.stdout}\n{self.stderr}")
            time.sleep(0.002)

    def wait_until_ended(self):
        """The exit code of a start that is expected to end by itself."""
        code = self.process.wait(START_LIMIT_SECONDS)
        self.process = None
        return code

    def stop(self):
        """Asks for an orderly end; the exit code, or None if it was not running."""
        if self.process is None:
            return None
        self.process.send_signal(signal.SIGTERM)
        try:
            code = self.process.wait(STOP_LIMIT_SECONDS)
        except subprocess.TimeoutExpired:
            self.kill()
            raise
        self.process = None
        return code

    def kill(self):
        """Ends it as a crash does: no handler runs, nothing is flushed."""
        self.process.kill()
        self.process.wait(STOP_LIMIT_SECONDS)
        self.process = None

    def restart(self):
        self.stop()
        return self.start()

    def request(self, method, path, body=None, headers=None):
        """An unsigned HTTP request: (status, headers, body)."""
        connection = http.client.HTTPConnection(self.address, self.port, timeout=20)
        try:
            connection.request(method, path, body=body, headers=headers or {})
            answer = connection.getresponse()
            return answer.status, answer.headers, answer.read()
        finally:
            connection.close()

    def get(self, path):
        return self.request("GET", path)

    def post_json(self, path, value):
        body = json.dumps(value).encode()
        return self.request("POST", path, body, {"Content-Type": "application/json"})

    def principal(self, access_key_id, secret, token=None, region=REGION):
        return Principal(self.url, access_key_id, secret, token, region)

    def root(self):
        return self.principal(
            self.exports["AWS_ACCESS_KEY_ID"], self.exports["AWS_SECRET_ACCESS_KEY"]
        )

    def audit_events(self):
        """Every audit event on disk, in the order of writing."""
        return [json.loads(line) for line in self.audit_text().splitlines()]

    def audit_text(self):
        """The events as they are on disk, a line each, of segments that are packed too."""
        names = {path.name.split(".jsonl")[0] for path in self.audit.glob("*.jsonl*")}
        return "".join(self._segment_text(name) for name in sorted(names))

    def _segment_text(self, name):
        # It may be packed meanwhile.
        for ending in (".jsonl.gz", ".jsonl", ".jsonl.gz"):
            with contextlib.suppress(FileNotFoundError):
                data = (self.audit / (name + ending)).read_bytes()
                return (gzip.decompress(data) if ending.endswith("gz") else data).decode()
        raise AssertionError(f"the segment {name} is gone")

    @property
    def audit(self):
        """The directory of its events."""
        return self.data / "audit"

    def audit_event(self, predicate, limit_seconds=2.0):
        """The last event that satisfies the predicate; others reach the disk within 100 ms."""
        deadline = time.monotonic() + limit_seconds
        while True:
            found = [event for event in self.audit_events() if predicate(event)]
            if found:
                return found[-1]
            if time.monotonic() > deadline:
                raise AssertionError("no such audit event")
            time.sleep(0.02)
