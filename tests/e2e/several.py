"""Several `ringfence serve` over one PostgreSQL behind a proxy, in the place of one: the same fixture interface.

RINGFENCE_NODES says how many, RINGFENCE_CONSISTENCY how they keep together (`strict`, or `relaxed`, as by default).
The proxy gives each request to the next server. A relaxed server hears of what another has written within 100 ms,
so there the proxy lets that time pass after a write before it asks another server.
"""

import json
import os
import shutil

from postgres import Postgres
from ringfence_server import Server, free_port, parse_exports
from round_robin import RoundRobin

COUNT = int(os.environ.get("RINGFENCE_NODES", "1"))
CONSISTENCY = os.environ.get("RINGFENCE_CONSISTENCY", "relaxed")
SETTLED_AFTER_MS = {"strict": 0, "relaxed": 100}[CONSISTENCY]


class Node(Server):
    """One of them. Its events are in a folder of its own, which is called as the server calls itself."""

    @property
    def audit(self):
        return self.data.parent / "audit" / (self.data / "node").read_text().strip()


class Servers(Server):
    """Servers of one store that are started, ended and asked as one."""

    def __init__(self, binary, *, database_url, count, data, args, env, logs):
        super().__init__(binary, data=data, dev=False, args=args, env=env, logs=logs)
        self.data.mkdir(mode=0o700)
        self.store = ("--store", database_url)
        self.proxy = None
        self.nodes = []
        # Events that were found, and how many of each server.
        self.events, self.read = [], {}
        for number in range(1, count + 1):
            own = self.logs / f"node-{number}"
            own.mkdir()
            self.nodes.append(
                Node(binary, data=self.data / own.name, dev=False, args=(), env=None, logs=own)
            )

    def start(self, wait=True):
        assert self.process is None, "already running"
        first, *others = self.nodes
        for node in self.nodes:
            node.args = [*self.args, *map(str, self._own_arguments())]
            node.env = self.env
        self.process = first
        try:
            first.start(wait=wait)
            if wait:
                self._give_key_file(others)
                for node in others:
                    node.start(wait=False)
                for node in others:
                    node.wait_until_healthy()
        except BaseException:
            self.stop()
            raise
        if wait:
            places = [f"127.0.0.1:{node.port}" for node in self.nodes]
            self.proxy = RoundRobin(*places, port=self.port, settled_after_ms=SETTLED_AFTER_MS)
            self.exports = self.exports or parse_exports(first.stdout)
        return self

    def _own_arguments(self):
        """What servers behind a balancer are told: how they are reached from outside."""
        yield from self.store
        yield from ("--consistency", CONSISTENCY)
        yield from ("--audit", self.data / "audit")
        if "--webauthn-origin" not in self.args:
            yield from ("--webauthn-origin", f"http://localhost:{self.port}")
        if "--issuer-url" not in self.args:
            yield from ("--issuer-url", self.url)

    def _give_key_file(self, others):
        key = self.nodes[0].data / "root.key"
        for node in others:
            if key.exists() and not node.data.exists():
                node.data.mkdir(mode=0o700)
                shutil.copy2(key, node.data / key.name)

    @property
    def place(self):
        return (*self.nodes[0].place, *self.store)

    @property
    def stdout(self):
        return self._said("stdout")

    @property
    def stderr(self):
        return self._said("stderr")

    def _said(self, kind):
        paths = [node.logs / f"{kind}.{node.starts}" for node in self.nodes]
        return "".join(path.read_text() for path in paths if path.exists())

    def audit_text(self):
        return "".join(node.audit_text() for node in self.nodes)

    def audit_events(self):
        """Those of every server, in the order in which they were found here: what is found later is appended."""
        found = []
        for node in self.nodes:
            lines = node.audit_text().splitlines()
            found += map(json.loads, lines[self.read.get(node, 0) :])
            self.read[node] = len(lines)
        self.events += sorted(found, key=lambda event: event["eventTime"])
        return list(self.events)

    def wait_until_ended(self):
        code = self.nodes[0].wait_until_ended()
        self.process = None
        return code

    def stop(self):
        return self._end(Server.stop)

    def kill(self):
        self._end(Server.kill)

    def _end(self, how):
        if self.process is None:
            return None
        if self.proxy:
            self.proxy.stop()
            self.proxy = None
        codes = [how(node) for node in self.nodes if node.process is not None]
        self.process = None
        return next((code for code in codes if code), 0)


class Databases:
    """A PostgreSQL that is started when the first database is asked for."""

    def __init__(self):
        self.postgres = None

    def url(self):
        # A server holds a handful of connections.
        self.postgres = self.postgres or Postgres(settings={"max_connections": "400"})
        return self.postgres.url(self.postgres.database())

    def close(self):
        if self.postgres:
            self.postgres.close()
