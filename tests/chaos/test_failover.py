"""What was acknowledged is there, whichever way the leader is lost; and how long nobody could write."""

import pytest

from cluster import Cluster
from rounds import rounds
from writers import Load


@pytest.fixture(scope="module", params=["on", "quorum"])
def cluster(request):
    with Cluster(mode=request.param) as made:
        yield made


@pytest.mark.parametrize("etcd", [False, True], ids=["node", "machine"])
def test_a_leader_that_is_killed_takes_no_acknowledged_row_with_it(whole, report, etcd):
    load = Load(whole)
    gaps = rounds(whole, load, lambda leader: leader.kill(etcd=etcd), lambda leader: leader.start())
    report(load, gaps, "leader killed")


def test_a_server_that_is_killed_is_followed_without_waiting_for_its_lock(whole, report):
    load = Load(whole)
    gaps = rounds(
        whole, load, lambda leader: leader.kill_postgres(), lambda leader: whole.leader(but=leader)
    )
    report(load, gaps, "server of the leader killed")


def test_a_switchover_loses_no_acknowledged_row(whole, report):
    load = Load(whole)
    gaps = rounds(
        whole,
        load,
        lambda _: whole.switchover(whole.standbys(synchronous=True)[0]),
        lambda leader: whole.leader(but=leader),
    )
    report(load, gaps, "switchover")


def test_a_synchronous_standby_that_is_killed_holds_writes_up_for_a_while_at_most(whole, report):
    load = Load(whole)
    killed = []

    def lose(_):
        killed.append(whole.standbys(synchronous=True)[0])
        killed[-1].kill()

    gaps = rounds(whole, load, lose, lambda _: killed[-1].start_patroni())
    report(load, gaps, "synchronous standby killed")
