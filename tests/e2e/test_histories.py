"""What clients are told by servers that are killed beneath them is linearizable.

Many clients write and read the same few users, and permissions are given and taken away while their users try
them (`histories.py`). Every call is recorded, with when it began and ended; calls that a crash cut off may have happened
or
not. `linearizable.py` judges whether some order of all calls explains every answer. That it refuses histories
that none does is proved by tests/e2e/test_linearizable.py.

What is promised is checked:

    one server          linearizable.
    several, strict     their writes are linearizable, and with them each answer by itself: a call sees all that was
                        acknowledged before it began, at whichever server. Beside a write, one may see it, and
                        a later one at another server not yet.
    several, relaxed    their writes are linearizable; what is written at one of them only is linearizable there.

RINGFENCE_HISTORY_SECONDS chooses for how long each goes on, RINGFENCE_HISTORY_SEED what is done.
"""

import pytest

from histories import SECONDS, Game, each, whole, writes_and_own
from postgres import Postgres
from ringfence_server import UNTHROTTLED

pytestmark = [pytest.mark.torture, pytest.mark.timeout(SECONDS * 2 + 300)]


@pytest.fixture(scope="module")
def shared(start_server, tmp_path_factory):
    """Makes three servers over one PostgreSQL."""
    made = []
    with Postgres() as database:
        def make(consistency):
            url = database.url(database.database())
            key = tmp_path_factory.mktemp("seal") / "root.key"
            options = ("--store", url, "--seal", f"file:{key}", "--consistency", consistency, *UNTHROTTLED)
            three = [start_server(*options) for _ in range(3)]
            made.extend(three)
            return three

        yield make
        for server in made:
            server.stop()


def test_one_server_that_is_killed_is_linearizable(start_server, capsys):
    game = Game([start_server(*UNTHROTTLED)])
    game.go_on(whole)
    game.tell(capsys, "one server")


def test_three_strict_servers_that_are_killed_show_everywhere_what_was_acknowledged(shared, capsys):
    game = Game(shared("strict"))
    game.go_on(each)
    game.tell(capsys, "three strict servers")


def test_three_relaxed_servers_that_are_killed_write_as_one_and_show_what_they_wrote(shared, capsys):
    game = Game(shared("relaxed"), stays=True)
    game.go_on(writes_and_own)
    game.tell(capsys, "three relaxed servers")
