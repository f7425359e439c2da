"""Ringfence over a cluster that loses its leader, and its own servers: what was acknowledged is there.

Callers know what was acknowledged (`callers.py`). Round by round something fails; then everything is made whole,
and every server must say what the callers know: every acknowledged write, none of what was deleted, nothing
else. What each caller reads meanwhile is checked as well.
"""

import os
import random
import signal
import time

import pytest

from callers import Load
from cluster import Cluster
from network import why_not
from servers import Servers

# RINGFENCE_CHAOS_MINUTES chooses for how long, both ways together; without it, each fault comes once.
MINUTES = float(os.environ.get("RINGFENCE_CHAOS_MINUTES", "0"))
SERVERS = 3
FLOW_SECONDS = 1.0
# RINGFENCE_CHAOS_FAULTS names some of them, by a part of their names.
SOME = os.environ.get("RINGFENCE_CHAOS_FAULTS", "")
# How long a fault lasts that does not stop all writes.
LASTS_SECONDS = 4.0


class World:
    """A cluster, servers, and callers; `source` chooses which are hit."""

    def __init__(self, cluster, servers, load, source):
        self.cluster, self.servers, self.load, self.source = cluster, servers, load, source

    def leader_killed(self, etcd=False):
        leader = self.cluster.leader()
        leader.kill(etcd=etcd)
        self.load.flows()
        leader.start()

    def machine_of_the_leader_killed(self):
        self.leader_killed(etcd=True)

    def postgresql_of_the_leader_killed(self):
        leader = self.cluster.leader()
        leader.kill_postgres()
        self.load.flows()
        self.cluster.leader(but=leader)

    def patroni_of_the_leader_killed(self):
        leader = self.cluster.leader()
        leader.kill_patroni()
        self.cluster.leader(but=leader)
        # The old one has not noticed, and takes writes that no standby confirms.
        self.load.flows(everywhere=True)
        # As systemd would, though later.
        leader.start_patroni()

    def leader_stands_still(self):
        """As a machine whose disk answers no more: connections hold, and nothing comes of them."""
        leader = self.cluster.leader()
        leader.freeze()
        try:
            self.cluster.leader(but=leader)
            self.load.flows(everywhere=True)
        finally:
            leader.thaw()

    def switchover(self):
        leader = self.cluster.switchover(self.cluster.standbys(synchronous=True)[0])
        self.cluster.leader(but=leader)

    def synchronous_standby_killed(self):
        standby = self.cluster.standbys(synchronous=True)[0]
        standby.kill()
        self.load.flows()
        standby.start_patroni()

    def leader_cut_off_from_all(self, clients=True):
        leader = self.cluster.leader()
        self.cluster.partition(leader, clients)
        self.load.flows()
        self.cluster.leader(but=leader)
        # At every server, though nobody tells them that their connections are gone.
        self.load.flows(everywhere=True)
        self.cluster.heal()

    def leader_cut_off_from_its_peers(self):
        self.leader_cut_off_from_all(clients=False)

    def a_server_killed(self):
        self.source.choice(self.servers.all).kill()
        self.load.flows()
        time.sleep(self.source.uniform(0, LASTS_SECONDS))

    def all_servers_killed(self):
        for server in self.servers.all:
            server.kill()

    def a_server_and_the_leader_killed(self):
        self.source.choice(self.servers.all).kill()
        self.leader_killed()

    def a_server_cut_off_from_the_database(self):
        self.cluster.cut_off(self.source.choice(self.cluster.clients))
        self.load.flows()
        time.sleep(LASTS_SECONDS)
        self.cluster.heal()

    def a_server_stands_still(self):
        process = self.source.choice(self.servers.all).process
        process.send_signal(signal.SIGSTOP)
        try:
            self.load.flows()
            time.sleep(LASTS_SECONDS)
        finally:
            process.send_signal(signal.SIGCONT)


QUICK = [World.a_server_killed, World.postgresql_of_the_leader_killed, World.switchover, World.all_servers_killed]
SLOW = [
    World.leader_killed, World.machine_of_the_leader_killed, World.patroni_of_the_leader_killed,
    World.leader_stands_still, World.synchronous_standby_killed, World.a_server_and_the_leader_killed,
    World.a_server_stands_still,
]
CUTS = [
    World.leader_cut_off_from_all, World.leader_cut_off_from_its_peers, World.a_server_cut_off_from_the_database,
]


@pytest.fixture(scope="module")
def cluster():
    cut = why_not()
    if cut:
        print(f"networks are not cut: {cut}")
    with Cluster(partitions=not cut, clients=SERVERS) as made:
        yield made


def fresh_database(cluster):
    with cluster.superuser() as connection:
        connection.execute(f"DROP DATABASE IF EXISTS {cluster.database} WITH (FORCE)")
        connection.execute(f"CREATE DATABASE {cluster.database} OWNER {cluster.role}")


def endure(cluster, consistency, faults, until, say):
    """Rounds of faults, each at least once; prints what came of it."""
    fresh_database(cluster)
    strict = consistency == "strict"
    began, rounds, gaps = time.monotonic(), [], {}
    with (
        Servers(cluster, SERVERS, "--consistency", consistency) as servers,
        Load(servers, strict=strict) as load,
    ):
        source = random.Random(load.seed)
        world = World(cluster, servers, load, source)
        while True:
            order = source.sample(faults, len(faults))
            for fault in order:
                cluster.settled()
                load.flows()
                time.sleep(FLOW_SECONDS)
                before = time.monotonic()
                fault(world)
                servers.start()
                cluster.settled()
                load.flows(everywhere=True)
                servers.assert_alive()
                load.pause()
                things = load.verify()
                name = fault.__name__.replace("_", " ")
                rounds.append(name)
                gaps.setdefault(name, []).append(load.longest_gap(since=before))
                say(f"  {len(rounds)}: {name}, longest gap {gaps[name][-1]:.1f} s; {things} things as they should be")
                load.resume()
                if time.monotonic() > until and len(rounds) >= len(faults):
                    break
            else:
                if time.monotonic() <= until:
                    continue
            break
        load.stop()
        sound = servers.check()
        for server in servers.all:
            assert server.stop() == 0
    say(
        f"{consistency}: {len(rounds)} rounds in {(time.monotonic() - began) / 60:.0f} minutes, seed {load.seed}:"
        f" {load.acknowledged} writes acknowledged ({load.count('deleted')} of them deletions), 0 lost;"
        f" {load.count('unsure')} in doubt; {load.count('read')} reads, none stale; {sound}"
    )
    for name in sorted(gaps):
        some = gaps[name]
        say(f"  {len(some)} × {name}: longest gaps {min(some):.1f} to {max(some):.1f} s")
    assert load.acknowledged > 50 * len(rounds), "too little was written: this proves nothing"


@pytest.fixture
def say(capsys):
    def said(text):
        with capsys.disabled():
            print(f"\n{text}", end="", flush=True)

    return said


@pytest.mark.timeout(MINUTES * 60 + 3600)
@pytest.mark.parametrize("consistency", ["relaxed", "strict"])
def test_ringfence_keeps_what_it_acknowledged_whatever_fails(whole, say, consistency):
    faults = QUICK + SLOW + (CUTS if whole.network else [])
    faults = [fault for fault in faults if SOME in fault.__name__]
    endure(whole, consistency, faults, time.monotonic() + MINUTES * 30, say)


def test_ringfence_keeps_what_it_acknowledged_in_brief(whole, say):
    endure(whole, "strict", QUICK, time.monotonic(), say)
