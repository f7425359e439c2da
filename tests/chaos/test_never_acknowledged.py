"""What a primary showed and never acknowledged is forgotten with it.

A primary whose standbys are gone crashes while a commit waits for them. Once it has recovered it shows that commit,
though no standby has it. Then it is lost, and a standby leads that has never seen it, and gives its place in the
log of changes to another.
"""

import os
import signal
import threading
import time

import psycopg
import pytest
from botocore.exceptions import BotoCoreError, ClientError

from cluster import Cluster
from servers import Servers

LIMIT_SECONDS = 60


@pytest.fixture(scope="module")
def cluster():
    with Cluster(clients=2) as made:
        yield made


def outcome(call, **parameters):
    try:
        return call(**parameters)
    except (ClientError, BotoCoreError) as error:
        return error


def until(holds, what):
    deadline = time.monotonic() + LIMIT_SECONDS
    while not holds():
        assert time.monotonic() < deadline, f"not in time: {what}"
        time.sleep(0.05)


def backend_that_waits(cluster, leader):
    """The process of a commit that waits for a standby."""
    sql = "SELECT pid FROM pg_stat_activity WHERE wait_event = 'SyncRep'"
    with psycopg.connect(
        host=leader.address, port=leader.port, dbname="postgres", user="postgres",
        password=cluster.passwords["postgres"], autocommit=True, connect_timeout=5,
    ) as connection:
        found = connection.execute(sql).fetchall()
    return found[0][0] if found else None


def test_what_was_shown_and_never_acknowledged_is_forgotten_with_its_primary(whole):
    with Servers(whole, 2) as servers:
        one, other = (servers.root(server).client("iam") for server in servers.all)
        one.create_user(UserName="before")
        leader, standbys = whole.leader(), whole.standbys()
        for standby in standbys:
            standby.freeze()
        try:
            unanswered = threading.Thread(target=outcome, args=(one.create_user,), kwargs={"UserName": "never"})
            unanswered.start()
            until(lambda: backend_that_waits(whole, leader), "a commit that waits")
            # PostgreSQL starts all its processes anew, and recovers. Patroni would let it, in its default settings.
            leader.patroni.send_signal(signal.SIGSTOP)
            os.kill(backend_that_waits(whole, leader), signal.SIGKILL)
            until(
                lambda: not isinstance(outcome(other.get_user, UserName="never"), Exception),
                "the primary shows what it did not acknowledge",
            )
            leader.kill()
        finally:
            for standby in standbys:
                standby.thaw()
        whole.leader(but=leader)
        unanswered.join()
        # It is as if it had never been, and writes go on at every server.
        until(lambda: not isinstance(outcome(one.create_user, UserName="after"), Exception), "a write")
        for client in (one, other):
            until(lambda: not isinstance(outcome(client.get_user, UserName="after"), Exception), "news")
            refused = outcome(client.get_user, UserName="never")
            assert isinstance(refused, ClientError), "it is shown, and is not there"
            assert refused.response["Error"]["Code"] == "NoSuchEntity"
        other.create_user(UserName="never")
        leader.start_patroni()
        whole.settled()
        assert servers.check()
