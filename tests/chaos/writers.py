"""Clients that write rows and know which were acknowledged."""

import threading
import time

import psycopg

# libpq's own, for a server that is cut off: how long it may keep a connection, or an answer, waiting.
PATIENCE = {"connect_timeout": 2, "tcp_user_timeout": 3000}


class Writer(threading.Thread):
    """Inserts one row a transaction until it is told to stop; connects anew whenever its connection breaks."""

    def __init__(self, url, number, patience):
        super().__init__(daemon=True)
        self.url = url
        self.number = number
        self.patience = patience
        # Row -> when it was acknowledged, by the monotonic clock.
        self.acknowledged = {}
        self.unsure = 0
        self.stopping = threading.Event()
        self.failure = None

    def run(self):
        row = 0
        while not self.stopping.is_set():
            try:
                with psycopg.connect(self.url, autocommit=True, **self.patience) as connection:
                    connection.add_notice_handler(self.noticed)
                    while not self.stopping.is_set():
                        row += 1
                        self.warned = False
                        connection.execute("INSERT INTO written VALUES (%s, %s)", (self.number, row))
                        if self.warned:
                            self.unsure += 1
                        else:
                            self.acknowledged[row] = time.monotonic()
            except psycopg.OperationalError:
                self.unsure += 1
                self.stopping.wait(0.05)
            except psycopg.Error as error:
                self.failure = error
                return

    def noticed(self, _):
        # "canceling wait for synchronous replication": committed here, and perhaps nowhere else.
        self.warned = True


class Load:
    """Writers on a cluster, and what became of their rows."""

    def __init__(self, cluster, writers=4, patience=PATIENCE):
        self.cluster = cluster
        with psycopg.connect(cluster.url(), autocommit=True, **PATIENCE) as connection:
            connection.execute("DROP TABLE IF EXISTS written")
            connection.execute(
                "CREATE TABLE written (writer int, n int, PRIMARY KEY (writer, n))"
            )
        self.writers = [Writer(cluster.url(), number, patience) for number in range(writers)]
        self.began = time.monotonic()
        for writer in self.writers:
            writer.start()

    def acknowledged(self):
        return sum(len(writer.acknowledged) for writer in self.writers)

    def flows(self, limit=120):
        """Waits until a row has been acknowledged that was not asked for before now."""
        # A writer has one row under way, which may be from before.
        goal = self.acknowledged() + len(self.writers) + 1
        deadline = time.monotonic() + limit
        while self.acknowledged() < goal:
            assert time.monotonic() < deadline, f"no write in {limit} s\n{self.cluster.logs()}"
            time.sleep(0.01)

    def stop(self):
        self.__exit__()
        for writer in self.writers:
            writer.join(60)
            assert not writer.is_alive(), "a writer hangs"
            assert writer.failure is None, writer.failure

    def __enter__(self):
        return self

    def __exit__(self, *_):
        for writer in self.writers:
            writer.stopping.set()

    def longest_gap(self, since=0.0, until=float("inf")):
        """The longest time in which no row was acknowledged, of those that began since then."""
        moments = sorted(
            moment for writer in self.writers for moment in list(writer.acknowledged.values())
        )
        gaps = [
            after - before for before, after in zip(moments, moments[1:]) if since <= after and before <= until
        ]
        return max(gaps, default=0.0)

    def lost(self):
        """Acknowledged rows that the leader does not have."""
        with psycopg.connect(self.cluster.url(), autocommit=True, **PATIENCE) as connection:
            found = set(connection.execute("SELECT writer, n FROM written").fetchall())
        wanted = {(writer.number, row) for writer in self.writers for row in writer.acknowledged}
        assert wanted, "nothing was acknowledged: this proves nothing"
        return wanted - found
