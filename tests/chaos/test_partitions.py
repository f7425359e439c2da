"""A network that fails between the nodes loses no acknowledged row, and no two nodes take writes."""

import time

import psycopg
import pytest

from cluster import Cluster
from rounds import rounds
from writers import PATIENCE, Load


@pytest.fixture(scope="module")
def cluster():
    with Cluster(partitions=True) as made:
        yield made


@pytest.mark.parametrize("clients", [True, False], ids=["from-all", "from-its-peers"])
def test_a_leader_that_is_cut_off_takes_no_acknowledged_row_with_it(whole, report, clients):
    load = Load(whole)
    gaps = rounds(
        whole, load, lambda leader: whole.partition(leader, clients), lambda _: whole.heal()
    )
    report(load, gaps, "leader cut off")


def test_a_synchronous_standby_that_is_cut_off_holds_writes_up_for_a_while_at_most(whole, report):
    load = Load(whole)
    gaps = rounds(
        whole,
        load,
        lambda _: whole.partition(whole.standbys(synchronous=True)[0]),
        lambda _: whole.heal(),
    )
    report(load, gaps, "synchronous standby cut off")


def test_a_leader_that_is_cut_off_from_its_peers_acknowledges_nothing(whole):
    leader = whole.leader()
    with psycopg.connect(whole.url_of(leader), autocommit=True, **PATIENCE) as connection:
        connection.execute("DROP TABLE IF EXISTS alone")
        connection.execute("CREATE TABLE alone (n int)")
        whole.partition(leader, clients=False)
        began = time.monotonic()
        with pytest.raises(psycopg.OperationalError):
            connection.execute("INSERT INTO alone VALUES (1)")
        assert time.monotonic() - began > 1, "it was refused, not held up"
    follower = whole.leader(but=leader)
    assert follower is not leader
    whole.heal()
    whole.settled()
    with psycopg.connect(whole.url(), **PATIENCE) as connection:
        assert connection.execute("SELECT n FROM alone").fetchall() == []
