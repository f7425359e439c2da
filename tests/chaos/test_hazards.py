"""What a client of such a cluster must know, since its promises end there."""

import time

import psycopg
import pytest

from cluster import Cluster
from writers import PATIENCE, Load


@pytest.fixture(scope="module")
def cluster():
    with Cluster() as made:
        yield made


@pytest.fixture
def leader(whole):
    with psycopg.connect(whole.url(), autocommit=True, **PATIENCE) as connection:
        connection.execute("DROP TABLE IF EXISTS t")
        connection.execute("CREATE TABLE t (n int)")
        connection.execute("INSERT INTO t VALUES (0)")
    return whole.leader()


def test_a_commit_whose_wait_is_cancelled_is_acknowledged_with_no_more_than_a_warning(cluster, leader):
    """So no statement_timeout on commits, no cancel request, or the warning is taken for a failure."""
    standbys = cluster.standbys()
    for standby in standbys:
        standby.kill()
    warnings = []
    with psycopg.connect(cluster.url_of(leader), autocommit=True, **PATIENCE) as connection:
        connection.add_notice_handler(lambda notice: warnings.append(notice.message_primary))
        connection.execute("SET statement_timeout = '1s'")
        connection.execute("INSERT INTO t VALUES (1)")
    assert warnings == ["canceling wait for synchronous replication due to user request"]
    for standby in standbys:
        standby.start_patroni()
    cluster.settled()


def test_a_leader_that_lost_its_patroni_answers_stale_reads_and_acknowledges_nothing(cluster, leader):
    """So what a read must not miss is not read from whoever says that it leads; its commits wait for ever.

    A watchdog, or an init that starts Patroni again, ends this; here nobody does until it has been seen.
    """
    leader.kill_patroni()
    follower = cluster.leader(but=leader)
    with (
        psycopg.connect(cluster.url_of(leader), autocommit=True, **PATIENCE) as old,
        psycopg.connect(cluster.url_of(follower), autocommit=True, **PATIENCE) as new,
    ):
        new.execute("INSERT INTO t VALUES (2)")
        assert old.execute("SELECT pg_is_in_recovery()").fetchone() == (False,)
        assert old.execute("SELECT max(n) FROM t").fetchone() == (0,)
        old.execute("SET statement_timeout = '3s'")
        warnings = []
        old.add_notice_handler(lambda notice: warnings.append(notice.message_primary))
        old.execute("INSERT INTO t VALUES (3)")
        assert warnings, "it acknowledged a commit that no standby has"
    leader.start_patroni()
    cluster.settled()
    with psycopg.connect(cluster.url(), **PATIENCE) as connection:
        assert connection.execute("SELECT n FROM t ORDER BY n").fetchall() == [(0,), (2,)]


def test_rows_of_writers_that_hang_on_a_leader_without_patroni_are_not_lost(cluster, leader, capsys):
    with Load(cluster) as load:
        load.flows()
        before = time.monotonic()
        leader.kill_patroni()
        cluster.leader(but=leader)
        # As systemd would, though sooner.
        leader.start_patroni()
        load.flows()
        load.stop()
    cluster.settled()
    assert not load.lost()
    with capsys.disabled():
        print(f"\nPatroni of the leader killed: longest gap {load.longest_gap(since=before):.1f} s")
