"""What was acknowledged is there, whichever way the leader is lost; and how long nobody could write.

RINGFENCE_CHAOS_ROUNDS chooses how often a leader is lost in each test; 3 by default.
"""

import os
import time

import pytest

from cluster import Cluster
from writers import Load

ROUNDS = int(os.environ.get("RINGFENCE_CHAOS_ROUNDS", "3"))
# Where a leader is lost, after writes flow.
FLOW_SECONDS = 1.0


@pytest.fixture(scope="module", params=["on", "quorum"])
def cluster(request):
    with Cluster(mode=request.param) as made:
        yield made


@pytest.fixture
def report(capsys, request):
    def say(load, gaps, what):
        with capsys.disabled():
            seconds = time.monotonic() - load.began
            print(
                f"\n{request.node.name}: {len(gaps)} × {what}, {load.acknowledged()} acknowledged rows"
                f" in {seconds:.0f} s, {len(load.lost())} lost;"
                f" longest gaps {', '.join(f'{gap:.1f}' for gap in gaps)} s"
            )

    return say


def rounds(cluster, lose, recover, load):
    """Loses a leader again and again; the longest time without a write in each round."""
    gaps = []
    for _ in range(ROUNDS):
        cluster.settled()
        load.flows()
        time.sleep(FLOW_SECONDS)
        leader, before = cluster.leader(), time.monotonic()
        lose(leader)
        load.flows()
        recover(leader)
        cluster.settled()
        load.flows()
        gaps.append(load.longest_gap(since=before))
    load.stop()
    lost = load.lost()
    assert not lost, f"{len(lost)} acknowledged rows are lost, {sorted(lost)[:9]}"
    return gaps


@pytest.mark.parametrize("etcd", [False, True], ids=["node", "machine"])
def test_a_leader_that_is_killed_takes_no_acknowledged_row_with_it(cluster, report, etcd):
    load = Load(cluster)
    gaps = rounds(cluster, lambda leader: leader.kill(etcd=etcd), lambda leader: leader.start(), load)
    report(load, gaps, "leader killed")


def test_a_server_that_is_killed_is_followed_without_waiting_for_its_lock(cluster, report):
    load = Load(cluster)
    gaps = rounds(cluster, lambda leader: leader.kill_postgres(), lambda _: None, load)
    report(load, gaps, "server of the leader killed")


def test_a_switchover_loses_no_acknowledged_row(cluster, report):
    load = Load(cluster)
    leaders = []

    def change(leader):
        leaders.append(leader.name)
        cluster.switchover(cluster.standbys(synchronous=True)[0])

    gaps = rounds(cluster, change, lambda _: None, load)
    assert len(set(leaders)) > 1
    report(load, gaps, "switchover")


def test_a_synchronous_standby_that_is_killed_holds_writes_up_for_a_while_at_most(cluster, report):
    load = Load(cluster)
    killed = []

    def lose(_):
        killed.append(cluster.standbys(synchronous=True)[0])
        killed[-1].kill()

    gaps = rounds(cluster, lose, lambda _: killed[-1].start_patroni(), load)
    report(load, gaps, "synchronous standby killed")
