"""A network that fails between the nodes loses no acknowledged row, and no two nodes take writes."""

import time

import psycopg
import pytest

from cluster import Cluster
from test_failover import report, rounds  # noqa: F401: a fixture
from writers import PATIENCE, Load


@pytest.fixture(scope="module")
def cluster():
    with Cluster(partitions=True) as made:
        yield made


@pytest.mark.parametrize("clients", [True, False], ids=["from-all", "from-its-peers"])
def test_a_leader_that_is_cut_off_takes_no_acknowledged_row_with_it(cluster, report, clients):  # noqa: F811
    load = Load(cluster)
    gaps = rounds(
        cluster, lambda leader: cluster.partition(leader, clients), lambda _: cluster.heal(), load
    )
    report(load, gaps, "leader cut off")


def test_a_synchronous_standby_that_is_cut_off_holds_writes_up_for_a_while_at_most(cluster, report):  # noqa: F811
    load = Load(cluster)
    gaps = rounds(
        cluster,
        lambda _: cluster.partition(cluster.standbys(synchronous=True)[0]),
        lambda _: cluster.heal(),
        load,
    )
    report(load, gaps, "synchronous standby cut off")


def test_a_leader_that_is_cut_off_from_its_peers_acknowledges_nothing(cluster):
    cluster.settled()
    leader = cluster.leader()
    url = cluster.url().replace("?target_session_attrs=read-write", "")
    alone = psycopg.conninfo.make_conninfo(url, host=leader.address, port=leader.port)
    with psycopg.connect(alone, autocommit=True, **PATIENCE) as connection:
        connection.execute("DROP TABLE IF EXISTS alone")
        connection.execute("CREATE TABLE alone (n int)")
        cluster.partition(leader, clients=False)
        began = time.monotonic()
        with pytest.raises(psycopg.OperationalError):
            connection.execute("INSERT INTO alone VALUES (1)")
        assert time.monotonic() - began > 1, "it was refused, not held up"
    follower = cluster.leader(but=leader)
    assert follower is not leader
    cluster.heal()
    cluster.settled()
    with psycopg.connect(cluster.url(), **PATIENCE) as connection:
        assert connection.execute("SELECT n FROM alone").fetchall() == []
