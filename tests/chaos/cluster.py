"""Three nodes of PostgreSQL under Patroni, which keeps who leads in an etcd of three members, one on each node.

Patroni's synchronous mode is strict: a commit is acknowledged once a standby has it on disk, and only a
standby that has every acknowledged commit may lead. What it promises, by how many standbys it waits for:

    synchronous_node_count 1   no acknowledged commit is lost when the leader is lost. The standby that it
                               waits for is the only one that may follow it: when both are lost for good,
                               so are commits, unless an operator waits for one of them.
    synchronous_node_count 2   the same when any two of the three are lost for good. A standby that dies
                               holds commits up until Patroni has taken it off the list.
    mode "quorum", count 1     as 1, of whichever standby is first, so that no single standby that dies
                               holds a commit up; but whoever would lead must reach the other standby
                               to know that it misses nothing, so with both gone nobody leads.

https://patroni.readthedocs.io/en/latest/replication_modes.html
"""

import json
import os
import secrets
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from pathlib import Path

import psycopg
import pytest

import postgres
from network import HERE, Network
from ringfence_server import free_port

REPOSITORY = Path(__file__).resolve().parents[2]
# Where `make chaos` unpacks Debian's package.
ETCD = REPOSITORY / ".cache/etcd/usr/bin/etcd"
LIMIT_SECONDS = 120

# As low as Patroni takes them. A leader that is gone with its Patroni is missed for `ttl`.
TIMEOUTS = {"ttl": 20, "loop_wait": 1, "retry_timeout": 3}
# In milliseconds. Members share a machine and its disk here; lower ones elect without need.
ETCD_HEARTBEAT, ETCD_ELECTION = 100, 1000

PARAMETERS = {
    "fsync": "on",
    "synchronous_commit": "on",
    "shared_buffers": "32MB",
    "max_connections": 100,
    "jit": "off",
    "dynamic_shared_memory_type": "mmap",
    "wal_keep_size": "256MB",
    # A peer that is cut off is given up after so long.
    "wal_sender_timeout": "3s",
    "wal_receiver_timeout": "3s",
    "wal_retrieve_retry_interval": "500ms",
}


def etcd():
    if not ETCD.is_file():
        pytest.skip("etcd is not at hand: `make chaos` fetches it from Debian's packages")
    return ETCD


class Node:
    def __init__(self, cluster, number, host):
        self.cluster = cluster
        self.name = f"node{number}"
        # Its place in the network, where it has one of its own.
        self.host = host
        self.address = host.address if host else "127.0.0.1"
        self.port, self.rest, self.etcd_port, self.etcd_peers = (
            (5432, 8008, 2379, 2380) if host else (free_port() for _ in range(4))
        )
        self.folder = cluster.folder / self.name
        self.folder.mkdir(mode=0o700)
        self.data = self.folder / "data"
        self.log = self.folder / "log"
        self.etcd = self.patroni = None

    def _run(self, *command, **more):
        """As whom PostgreSQL may run as, which enters the folders of whom it was made by, and ends with us."""
        front = list(self.host.within) if self.host else []
        front += ["setpriv", "--pdeathsig", "KILL"]
        user = postgres.owner()
        if user:
            front += [
                f"--reuid={user.pw_uid}", f"--regid={user.pw_gid}", "--clear-groups",
                "--inh-caps=+dac_override", "--ambient-caps=+dac_override",
            ]
        with open(self.log, "ab") as log:
            return subprocess.Popen(
                [*front, *map(str, command)], cwd="/", stdin=subprocess.DEVNULL, stdout=log, stderr=log,
                start_new_session=True, **more,
            )

    def start(self):
        self.start_etcd()
        self.start_patroni()

    def start_etcd(self):
        if self.etcd is not None:
            return
        client, peers = (
            f"http://{self.address}:{port}" for port in (self.etcd_port, self.etcd_peers)
        )
        members = ",".join(
            f"{node.name}=http://{node.address}:{node.etcd_peers}" for node in self.cluster.nodes
        )
        self.etcd = self._run(
            etcd(), "--name", self.name, "--data-dir", self.folder / "etcd",
            "--listen-client-urls", client, "--advertise-client-urls", client,
            "--listen-peer-urls", peers, "--initial-advertise-peer-urls", peers,
            "--initial-cluster", members, "--initial-cluster-token", "ringfence",
            "--heartbeat-interval", ETCD_HEARTBEAT, "--election-timeout", ETCD_ELECTION,
            "--logger", "zap", "--log-level", "warn",
            env={"PATH": os.environ["PATH"]},
        )

    def start_patroni(self):
        assert self.patroni is None, "already running"
        file = self.folder / "patroni.json"  # YAML's subset
        file.touch(mode=0o600)
        file.write_text(json.dumps(self._configuration(), indent=1))
        self.cluster.own(self.folder, file)
        self.patroni = self._run(
            sys.executable, "-m", "patroni", file,
            env=postgres.environment() | {"HOME": str(self.folder)},
        )

    def _configuration(self):
        cluster = self.cluster
        return {
            "scope": "ringfence",
            "name": self.name,
            "log": {"level": "INFO"},
            "restapi": {"listen": f"{self.address}:{self.rest}"},
            "etcd3": {"hosts": [f"{node.address}:{node.etcd_port}" for node in cluster.nodes]},
            **TIMEOUTS,
            "bootstrap": {
                "dcs": {
                    **TIMEOUTS,
                    "synchronous_mode": cluster.mode,
                    "synchronous_mode_strict": True,
                    "synchronous_node_count": cluster.count,
                    # A leader whose server crashed is followed at once rather than started again.
                    "primary_start_timeout": 0,
                    "postgresql": {
                        "use_pg_rewind": True, "use_slots": True, "parameters": PARAMETERS,
                    },
                },
                "initdb": [{"encoding": "UTF8"}, {"locale": "C"}, "no-sync", {"auth": "scram-sha-256"}],
            },
            "postgresql": {
                "listen": f"{self.address}:{self.port}",
                "connect_address": f"{self.address}:{self.port}",
                "data_dir": str(self.data),
                "bin_dir": str(postgres.installed() / "bin"),
                "pgpass": str(self.folder / "pgpass"),
                "authentication": {
                    what: {"username": role, "password": cluster.passwords[role]}
                    for what, role in (
                        ("superuser", "postgres"), ("replication", "replicator"), ("rewind", "rewinder"),
                    )
                },
                "pg_hba": [
                    "local all all scram-sha-256",
                    f"host all all {cluster.reachable_from} scram-sha-256",
                    f"host replication replicator {cluster.reachable_from} scram-sha-256",
                ],
                "parameters": {"unix_socket_directories": str(self.folder)},
                "remove_data_directory_on_rewind_failure": True,
                "remove_data_directory_on_diverged_timelines": True,
            },
        }

    def postmaster(self):
        """The first process of its PostgreSQL, or None."""
        lines = postgres.lock_file(self.data)
        if not lines or not lines[0].isdigit():
            return None
        process = int(lines[0])
        # The file outlives a killed server, and another process may have its number.
        try:
            ours = str(self.data) in Path(f"/proc/{process}/cmdline").read_text()
        except (FileNotFoundError, ProcessLookupError):
            return None
        return process if ours and postgres.running(process) else None

    def kill_postgres(self):
        process = self.postmaster()
        if process is not None:
            postgres.kill_family(process)

    def kill_patroni(self):
        """PostgreSQL goes on as it was, and nobody tells it what the others decide."""
        if self.patroni is not None:
            self.patroni.kill()
            self.patroni.wait()
            self.patroni = None

    def kill(self, etcd=False):
        """kill -9 of Patroni and PostgreSQL, and of etcd where the whole machine is to be gone."""
        # Patroni first, and standing still already: it must not see PostgreSQL end.
        if self.patroni is not None:
            self.patroni.send_signal(signal.SIGSTOP)
        self.kill_postgres()
        self.kill_patroni()
        self.kill_postgres()  # should it have been on its way
        if etcd and self.etcd is not None:
            self.etcd.kill()
            self.etcd.wait()
            self.etcd = None

    def freeze(self):
        """Stops Patroni and PostgreSQL in their tracks: connections stay open and are not answered."""
        self.patroni.send_signal(signal.SIGSTOP)
        postgres.freeze_family(self.postmaster())

    def thaw(self):
        postgres.thaw_family(self.postmaster())
        self.patroni.send_signal(signal.SIGCONT)

    def ask(self, path, value=None, timeout=5):
        """(status, JSON) of Patroni's REST API; (None, None) where nobody answers."""
        request = urllib.request.Request(
            f"http://{self.address}:{self.rest}{path}",
            data=None if value is None else json.dumps(value).encode(),
        )
        try:
            with urllib.request.urlopen(request, timeout=timeout) as answer:
                return answer.status, told(answer.read())
        except urllib.error.HTTPError as error:
            return error.code, told(error.read())
        except (OSError, ValueError):
            return None, None


def told(body):
    try:
        return json.loads(body)
    except ValueError:
        return body.decode(errors="replace")


class Cluster:
    role = "ringfence"
    database = "ringfence"

    def __init__(self, *, mode="on", count=1, partitions=False, size=3, clients=0):
        """With `partitions`, each node has a network of its own that can be cut, and so have some clients."""
        etcd(), postgres.installed()
        self.mode, self.count = mode, count
        self.network = Network(size + clients) if partitions else None
        self.reachable_from = f"{HERE}/24" if partitions else "127.0.0.1/32"
        self.folder = Path(tempfile.mkdtemp(prefix="ringfence-chaos-"))
        self.passwords = {
            role: secrets.token_hex(16)
            for role in ("postgres", "replicator", "rewinder", self.role)
        }
        hosts = self.network.hosts if partitions else [None] * (size + clients)
        self.nodes = [Node(self, number, host) for number, host in enumerate(hosts[:size], 1)]
        # Where clients may run that are to be cut off by themselves.
        self.clients = hosts[size:]
        self.own(self.folder, *(node.folder for node in self.nodes))
        try:
            for node in self.nodes:
                node.start()
            self.settled()
            with self.superuser() as connection:
                connection.execute(f"CREATE ROLE {self.role} LOGIN PASSWORD '{self.passwords[self.role]}'")
                connection.execute(f"CREATE DATABASE {self.database} OWNER {self.role}")
        except BaseException:
            self.close()
            raise

    def own(self, *paths):
        user = postgres.owner()
        if user:
            for path in paths:
                os.chown(path, user.pw_uid, user.pw_gid)

    def url(self, **parameters):
        """Of all nodes, for whichever of them takes writes."""
        places = ",".join(f"{node.address}:{node.port}" for node in self.nodes)
        more = "".join(f"&{name}={value}" for name, value in parameters.items())
        return (
            f"postgres://{self.role}:{self.passwords[self.role]}@{places}/{self.database}"
            f"?target_session_attrs=read-write{more}"
        )

    def url_of(self, node):
        """Of one node, whether it takes writes or not."""
        return (
            f"postgres://{self.role}:{self.passwords[self.role]}@{node.address}:{node.port}/{self.database}"
        )

    def superuser(self):
        leader = self.leader()
        return psycopg.connect(
            host=leader.address, port=leader.port, dbname="postgres", user="postgres",
            password=self.passwords["postgres"], autocommit=True, connect_timeout=5,
        )

    def members(self):
        """What Patroni says of each node, by the leader, since one that was cut off remembers old times."""
        leader = self._leader()
        status, answer = leader.ask("/cluster", timeout=2) if leader else (None, None)
        return {member["name"]: member for member in answer["members"]} if status == 200 else {}

    def leader(self, but=None):
        """Who holds the lock and takes writes; waited for. `but` is a node that it no longer is."""
        return self.until(lambda: self._leader(but), "leader")

    def _leader(self, but=None):
        for node in self.nodes:
            status, answer = (None, None) if node is but else node.ask("/primary", timeout=2)
            # It has the lock from 200 on, and takes writes once its server says that it is no standby.
            if status == 200 and answer["role"] == "primary":
                return node
        return None

    def standbys(self, synchronous=False):
        roles = ("sync_standby", "quorum_standby") if synchronous else (
            "replica", "sync_standby", "quorum_standby",
        )
        members = self.members()
        return [
            node for node in self.nodes
            if members.get(node.name, {}).get("role") in roles
            and members[node.name].get("state") == "streaming"
        ]

    def settled(self):
        """Waits until all nodes follow a leader, with as many synchronous standbys as it should have.

        Earlier, losing the leader is a second fault: with no synchronous standby on record nobody may
        follow it, and writes wait until it is back.
        """
        wanted = self.count if self.mode == "on" else len(self.nodes) - 1
        self.until(
            lambda: len(self.standbys()) == len(self.nodes) - 1
            and len(self.standbys(synchronous=True)) >= wanted
            and self.streaming() == len(self.nodes) - 1,
            "whole cluster",
        )

    def streaming(self):
        """How many standbys take what the leader writes, by the leader's own word."""
        query = "SELECT count(*) FROM pg_stat_replication WHERE state = 'streaming'"
        try:
            with self.superuser() as connection:
                return connection.execute(query).fetchone()[0]
        except psycopg.OperationalError:
            return 0

    def until(self, condition, what):
        deadline = time.monotonic() + LIMIT_SECONDS
        while True:
            found = condition()
            if found:
                return found
            if time.monotonic() > deadline:
                raise AssertionError(f"no {what} in {LIMIT_SECONDS} s: {self.members()}\n{self.logs()}")
            time.sleep(0.1)

    def logs(self):
        return "\n".join(
            f"== {node.name}\n{node.log.read_text(errors='replace')[-3000:]}"
            for node in self.nodes if node.log.exists()
        )

    def _keep_logs(self):
        kept = os.environ.get("RINGFENCE_CHAOS_LOGS")
        if kept:
            folder = Path(kept) / self.folder.name
            folder.mkdir(parents=True)
            for node in self.nodes:
                shutil.copy(node.log, folder / f"{node.name}.log")

    def switchover(self, candidate):
        """An orderly change of leader; returns when it is done."""
        leader = self.leader()
        status, answer = leader.ask(
            "/switchover", {"leader": leader.name, "candidate": candidate.name}, timeout=60
        )
        assert status == 200, answer
        return leader

    def partition(self, node, clients=True):
        """Cuts a node off from the others, and from the clients unless these are to reach it still."""
        for other in self.nodes:
            if other is not node:
                self.network.cut(node.host, other.host)
        if clients:
            for client in (self.network.here, *self.clients):
                self.network.cut(node.host, client)

    def cut_off(self, client):
        """Cuts a client off from every node."""
        for node in self.nodes:
            self.network.cut(client, node.host)

    def heal(self):
        self.network.heal()

    def close(self):
        """Ends every process of it, and removes its data."""
        for node in self.nodes:
            node.kill(etcd=True)
            postgres.forget_shared_memory(node.data)
        self._keep_logs()
        if self.network:
            self.network.close()
        shutil.rmtree(self.folder, ignore_errors=True)

    def recover(self):
        """Heals, and starts whatever does not run, for a test that ended halfway."""
        if self.network:
            self.heal()
        for node in self.nodes:
            node.start_etcd()
            if node.patroni is None:
                node.start_patroni()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()
