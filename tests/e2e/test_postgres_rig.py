"""The PostgreSQL that tests start is what they take it for."""

import threading
import time

import pg8000.dbapi
import pytest

from postgres import Postgres, running, shared_memory


@pytest.fixture(scope="module")
def server():
    with Postgres() as started:
        yield started


def test_each_database_is_fresh_and_its_owner_is_no_superuser(server):
    one, other = server.database(), server.database()
    server.sql("CREATE TABLE t (n int)", database=one)
    with pytest.raises(pg8000.dbapi.DatabaseError):
        server.sql("SELECT * FROM t", database=other)
    (row,) = server.sql("SELECT current_user, usesuper FROM pg_user WHERE usename = current_user")
    assert row == ("ringfence", False)


def test_a_database_is_copied_from_another(server):
    first = server.database()
    server.sql("CREATE TABLE t AS SELECT 7 AS n", database=first)
    assert server.sql("SELECT n FROM t", database=server.database(template=first)) == [(7,)]


def test_commits_are_synced_and_settings_are_those_given(server):
    for name, value in (("fsync", "on"), ("synchronous_commit", "on"), ("full_page_writes", "on")):
        assert server.sql(f"SHOW {name}") == [(value,)]
    server.configure(max_connections="33")
    server.restart()
    assert server.sql("SHOW max_connections") == [("33",)]


def test_the_url_serves_psql_and_a_wrong_password_is_refused(server):
    database = server.database()
    done = server.run("psql", "-XAtc", "SELECT 6 * 7", server.url(database))
    assert done.stdout.strip() == "42", done.stderr
    wrong = server.url(database).replace(server.password, "wrong")
    done = server.run("psql", "-XAtc", "SELECT 6 * 7", wrong)
    assert done.returncode == 2 and "password authentication failed" in done.stderr


def test_rows_that_were_committed_survive_kill_9_and_open_transactions_do_not():
    with Postgres() as server:
        database = server.database()
        server.sql("CREATE TABLE t (n int PRIMARY KEY)", database=database)
        acknowledged = []

        def write():
            with pytest.raises((pg8000.dbapi.InterfaceError, OSError)):
                with server.connect(database) as connection:
                    for number in range(1_000_000):
                        connection.rows("INSERT INTO t VALUES (%s)", (number,))
                        acknowledged.append(number)

        with server.connect(database) as held:
            held.rows("BEGIN")
            held.rows("INSERT INTO t VALUES (-1)")
            writer = threading.Thread(target=write)
            writer.start()
            while len(acknowledged) < 50:
                time.sleep(0.005)
            server.kill()
            writer.join(30)
        server.start()
        found = {number for (number,) in server.sql("SELECT n FROM t", database=database)}
        assert set(acknowledged) <= found and -1 not in found
        # What was under way may have been committed without an answer.
        assert len(found - set(acknowledged)) <= 1


def test_a_frozen_server_answers_nothing_until_it_is_thawed(server):
    answers = []
    with server.connect(server.database()) as connection:
        asking = threading.Thread(target=lambda: answers.extend(connection.rows("SELECT 1")))
        server.freeze()
        asking.start()
        asking.join(0.3)
        assert asking.is_alive() and not answers
        server.thaw()
        asking.join(30)
    assert answers == [(1,)]


def test_with_tls_connections_without_it_are_refused():
    with Postgres(tls=True) as server:
        database = server.database()
        query = "SELECT version FROM pg_stat_ssl WHERE pid = pg_backend_pid()"
        whole = server.url(database, sslmode="verify-full", sslrootcert=server.ca)
        assert server.run("psql", "-XAtc", query, whole).stdout.strip() == "TLSv1.3"
        done = server.run("psql", "-XAtc", query, server.url(database, sslmode="disable"))
        assert done.returncode == 2 and "no encryption" in done.stderr


def test_closing_leaves_no_process_no_folder_and_no_shared_memory():
    def segments():
        return {int(line.split()[1]) for line in open("/proc/sysvipc/shm").readlines()[1:]}

    server = Postgres()
    segment = shared_memory(server.data)
    assert segment in segments()
    family = server.freeze()
    server.kill()
    server.close()
    assert len(family) > 1 and not any(map(running, family))
    assert not server.folder.exists() and segment not in segments()
