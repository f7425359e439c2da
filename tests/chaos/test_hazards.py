"""What a client of such a cluster must know, since its promises end there."""

import threading
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


def cancelled_after(connection, seconds, statement):
    """Runs a statement and asks the server to cancel it; the warnings that came with its success."""
    warnings = []
    connection.add_notice_handler(lambda notice: warnings.append(notice.message_primary))
    timer = threading.Timer(seconds, connection.cancel)
    timer.start()
    try:
        connection.execute(statement)
    finally:
        timer.cancel()
    return warnings


def test_a_commit_that_waits_for_a_standby_is_ended_by_no_timeout_of_the_server(whole, leader):
    """So whoever commits sets a limit of its own, and does not know the outcome when that has passed.

    A cancel request does end the wait, and the commit then is acknowledged, with no more than a warning:
    nobody who is to keep a promise may send one.
    """
    standbys = whole.standbys()
    for standby in standbys:
        standby.kill()
    with psycopg.connect(whole.url_of(leader), autocommit=True, **PATIENCE) as connection:
        connection.execute("SET statement_timeout = '1s'")
        began = time.monotonic()
        warnings = cancelled_after(connection, 4, "INSERT INTO t VALUES (1)")
        assert time.monotonic() - began > 3.5
    assert warnings == ["canceling wait for synchronous replication due to user request"]


def test_a_leader_that_lost_its_patroni_answers_stale_reads_and_acknowledges_nothing(whole, leader):
    """So what a read must not miss is not read from whoever says that it leads; its commits wait for ever.

    A watchdog, or an init that starts Patroni again, ends this; here nobody does until it has been seen.
    """
    leader.kill_patroni()
    follower = whole.leader(but=leader)
    with (
        psycopg.connect(whole.url_of(leader), autocommit=True, **PATIENCE) as old,
        psycopg.connect(whole.url_of(follower), autocommit=True, **PATIENCE) as new,
    ):
        new.execute("INSERT INTO t VALUES (2)")
        assert old.execute("SELECT pg_is_in_recovery()").fetchone() == (False,)
        assert old.execute("SELECT max(n) FROM t").fetchone() == (0,)
        assert cancelled_after(old, 3, "INSERT INTO t VALUES (3)"), "no standby has what it acknowledged"
    leader.start_patroni()
    whole.settled()
    with psycopg.connect(whole.url(), **PATIENCE) as connection:
        assert connection.execute("SELECT n FROM t ORDER BY n").fetchall() == [(0,), (2,)]


def test_rows_of_writers_that_hang_on_a_leader_without_patroni_are_not_lost(whole, leader, capsys):
    with Load(whole) as load:
        load.flows()
        before = time.monotonic()
        leader.kill_patroni()
        whole.leader(but=leader)
        # As systemd would, though sooner.
        leader.start_patroni()
        load.flows()
        load.stop()
    whole.settled()
    assert not load.lost()
    with capsys.disabled():
        print(f"\nPatroni of the leader killed: longest gap {load.longest_gap(since=before):.1f} s")
