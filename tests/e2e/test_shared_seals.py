"""The root key of a store that several servers share: rotated, and moved to other seals, while they serve."""

import contextlib
import random
import shutil
import signal
import subprocess
import threading
import time
from pathlib import Path

import pytest
from botocore.exceptions import ClientError

from clients import refusal
from postgres import Postgres
from ringfence_server import UNTHROTTLED

LIMIT_SECONDS = 60
PASSPHRASE = "correct horse battery staple"

# Has whoever puts another seal there wait in the middle of its statement, while a test holds this lock.
HELD = 4711
HOLD = f"""
CREATE FUNCTION hold() RETURNS trigger LANGUAGE plpgsql SET lock_timeout = 0 AS $$
BEGIN
    IF NEW.partition = '~files' AND NEW.value <> OLD.value THEN
        PERFORM pg_advisory_xact_lock_shared({HELD});
    END IF;
    RETURN NEW;
END $$;
CREATE TRIGGER hold BEFORE UPDATE ON ringfence_entries FOR EACH ROW EXECUTE FUNCTION hold();
"""


@pytest.fixture(scope="module")
def database():
    with Postgres() as server:
        yield server


class Store:
    """A database with servers, each with a data directory and a key file of its own in it."""

    def __init__(self, database, start_server, ringfence, binary, nodes):
        self.database, self.ringfence, self.binary = database, ringfence, binary
        self.name = database.database()
        self.url = database.url(self.name)
        self.nodes = [start_server("--store", self.url, *UNTHROTTLED)]
        self.start_server = start_server
        for _ in range(1, nodes):
            self.add()

    def add(self):
        """A further server, which was given the first one's key file."""
        data = self.nodes[0].data.parent / f"node-{len(self.nodes)}"
        data.mkdir(mode=0o700)
        give_key(self.nodes[0].data, data)
        self.nodes.append(self.start_server("--store", self.url, *UNTHROTTLED, data=data))

    def root(self, number):
        first = self.nodes[0].root()
        return self.nodes[number].principal(first.access_key_id, first.secret)

    def command(self, number, *words):
        return [*words, "--data", self.nodes[number].data, "--store", self.url]

    def seal(self, number, *words, check=True):
        return self.ringfence("seal", *self.command(number, *words), check=check)

    def start_seal(self, number, *words):
        """The same, which may be killed."""
        command = [str(word) for word in [self.binary, "seal", *self.command(number, *words)]]
        return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)

    def opens(self, number, seal="file"):
        done = self.ringfence("env", *self.command(number), "--seal", seal, check=False)
        assert (done.returncode == 0) == ("export AWS_ACCESS_KEY_ID=" in done.stdout), done.stderr
        return done.returncode == 0

    def status(self):
        return self.ringfence("seal", "status", "--store", self.url).stdout

    def sql(self, statement):
        return self.database.sql(statement, database=self.name)

    @contextlib.contextmanager
    def held(self):
        """Whoever puts another seal there waits until this ends, or the database does."""
        self.sql(HOLD)
        with self.database.connect(self.name) as connection:
            connection.rows(f"SELECT pg_advisory_lock({HELD})")
            yield

    def until_waiting(self, kind):
        """Waits until somebody waits for a lock of this kind."""
        until(lambda: self.sql(f"SELECT 1 FROM pg_locks WHERE NOT granted AND locktype = '{kind}'"))

    def stop(self):
        for node in self.nodes:
            node.stop()


def give_key(one, other):
    shutil.copy2(one / "root.key", other / "root.key")


def until(holds):
    deadline = time.monotonic() + LIMIT_SECONDS
    while not holds():
        assert time.monotonic() < deadline, "not in time"
        time.sleep(0.01)


@pytest.fixture
def store_of(database, start_server, ringfence, binary):
    made = []

    def make(nodes):
        made.append(Store(database, start_server, ringfence, binary, nodes))
        return made[-1]

    yield make
    for store in made:
        store.stop()


@pytest.fixture
def passphrase(tmp_path):
    (tmp_path / "passphrase").write_text(PASSPHRASE + "\n")
    return f"passphrase:file:{tmp_path}/passphrase"


def test_the_root_key_of_three_servers_is_rotated_while_they_serve(store_of):
    store = store_of(3)
    ended, made, errors = threading.Event(), [], []

    def write(number):
        iam = store.root(number).client("iam")
        while not ended.is_set():
            name = f"writer-{number}-{len(made)}"
            try:
                iam.create_user(UserName=name)
                made.append(name)
            except ClientError as error:
                errors.append(error)

    threads = [threading.Thread(target=write, args=(number,)) for number in range(3)]
    for thread in threads:
        thread.start()
    former = (store.nodes[0].data / "root.key").read_bytes()
    try:
        for generation in (2, 3):
            said = store.seal(0, "rotate").stdout
            assert f"root key {generation} is in force" in said
            assert f"root key  {generation}, since" in store.status()
            assert store.opens(0)
    finally:
        ended.set()
        for thread in threads:
            thread.join()
    assert not errors, errors[0]
    assert made

    # A server that starts with the former key alone is refused, in words; with the new one it has everything.
    assert (store.nodes[0].data / "root.key").read_bytes() != former
    late = store.nodes[1]
    late.stop()
    with pytest.raises(RuntimeError) as refused:
        late.start()
    assert "its root key is number 3" in str(refused.value)
    assert "root.key` is not the one that seals this store" in str(refused.value)
    give_key(store.nodes[0].data, late.data)
    late.start()
    store.nodes[0].restart()
    for number in range(3):
        iam = store.root(number).client("iam")
        pages = iam.get_paginator("list_users").paginate()
        assert set(made) <= {user["UserName"] for page in pages for user in page["Users"]}
    # Whichever directory has the key may make the next one.
    assert "root key 4 is in force" in store.seal(1, "rotate").stdout
    refused = store.seal(2, "rotate", check=False)
    assert refused.returncode != 0 and "not the one that seals this store" in refused.stderr


def test_a_shared_store_moves_to_another_seal_and_back_with_and_without_servers(
    store_of, passphrase, tmp_path
):
    store = store_of(2)
    assert store.status().startswith("seal      key file\n")
    said = store.seal(0, "migrate", "--to", passphrase).stdout
    assert "under another seal: passphrase" in said and "start every server with its --seal" in said
    assert not (store.nodes[0].data / "root.key").exists()
    store.root(1).client("iam").create_user(UserName="meanwhile")
    for number, node in enumerate(store.nodes):
        node.stop()
        assert not store.opens(number) and store.opens(number, passphrase)
    # Offline, and from the other directory.
    other = f"file:{tmp_path}/other.key"
    store.seal(1, "rotate", "--seal", passphrase)
    store.seal(1, "migrate", "--seal", passphrase, "--to", other)
    assert "root key  4, since" in store.status()
    for node in store.nodes:
        node.args += ["--seal", other]
        node.start()
    for number in range(2):
        assert store.root(number).client("iam").get_user(UserName="meanwhile")


def test_base_keys_of_a_shared_store_stay(store_of):
    store = store_of(1)
    for words in (["rotate", "--base-key"], ["retire"]):
        refused = store.seal(0, *words, check=False)
        assert refused.returncode != 0
        assert "base keys of a store that servers share cannot be changed" in refused.stderr


@pytest.mark.parametrize("to", ["key file", "passphrase"])
def test_a_change_that_is_killed_at_any_moment_leaves_a_shared_store_that_opens(
    to, store_of, passphrase, tmp_path
):
    store = store_of(1)
    seal, other = "file", "file" if to == "key file" else passphrase
    dice, killed = random.Random(11), 0
    # How long a change takes here; a passphrase is stretched on top of it.
    began = time.monotonic()
    store.seal(0, "rotate", "--seal", seal)
    longest = time.monotonic() - began + (0 if to == "key file" else 0.8)
    for round in range(10):
        change = ["rotate"] if seal == other else ["migrate", "--to", other]
        process = store.start_seal(0, *change, "--seal", seal)
        time.sleep(dice.uniform(0.1, 1.0) * longest)
        process.kill()
        process.communicate()
        killed += process.returncode == -signal.SIGKILL
        if seal == other:
            assert store.opens(0), round
            continue
        old, new = store.opens(0, seal), store.opens(0, other)
        assert old != new, round
        if new:
            seal, other = other, seal
            if other == "file":
                (store.nodes[0].data / "root.key").unlink(missing_ok=True)
    assert killed, "no change was cut short"
    store.seal(0, "rotate", "--seal", seal)
    store.nodes[0].kill()
    store.nodes[0].args += ["--seal", seal]
    store.nodes[0].start()


def test_a_change_that_comes_into_force_when_its_command_is_dead_finds_its_key(store_of):
    store = store_of(1)
    with store.held():
        command = store.start_seal(0, "rotate")
        store.until_waiting("advisory")
        command.kill()
        command.communicate()
        # The statement is still under way, and the store opens by what it is to replace.
        assert store.opens(0)
        # The next change would remove the key that waits: it has to wait, and finds that it was overtaken.
        next = store.start_seal(0, "rotate")
        store.until_waiting("transactionid")
    said, _ = next.communicate(timeout=LIMIT_SECONDS)
    assert next.returncode != 0 and "another has changed it in the same moment" in said, said
    assert "root key  2, since" in store.status()
    assert store.opens(0) and not (store.nodes[0].data / "root.key.next").exists()
    assert "root key 3 is in force" in store.seal(0, "rotate").stdout
    store.nodes[0].restart()


def test_a_database_that_dies_in_the_middle_of_a_change_is_waited_for(store_of, database):
    store = store_of(2)
    with store.held():
        command = store.start_seal(0, "rotate")
        store.until_waiting("advisory")
        database.kill()
    time.sleep(0.5)
    database.start()
    said, _ = command.communicate(timeout=LIMIT_SECONDS)
    assert command.returncode == 0 and "root key 2 is in force" in said, said
    assert store.opens(0) and not store.opens(1)
    give_key(store.nodes[0].data, store.nodes[1].data)
    assert store.opens(1)


def test_command_and_database_and_servers_that_die_at_once_leave_a_store_that_opens(store_of, database):
    store = store_of(2)
    dice = random.Random(5)
    for round in range(4):
        command = store.start_seal(0, "rotate")
        time.sleep(dice.uniform(0.02, 0.2))
        database.kill()
        command.kill()
        command.communicate()
        for node in store.nodes:
            node.kill()
        database.start()
        assert store.opens(0), round
        give_key(store.nodes[0].data, store.nodes[1].data)
        for node in store.nodes:
            node.start()
    assert store.root(1).client("iam").list_users()


def test_of_changes_from_two_directories_at_once_one_or_both_are_made_and_all_is_known(store_of, passphrase):
    store = store_of(2)
    store.seal(0, "migrate", "--to", passphrase)
    made = 1
    for _ in range(4):
        commands = [store.start_seal(number, "rotate", "--seal", passphrase) for number in range(2)]
        said = [command.communicate(timeout=LIMIT_SECONDS)[0] for command in commands]
        for command, text in zip(commands, said):
            assert command.returncode == 0 or "another has changed it in the same moment" in text, text
        made += sum(command.returncode == 0 for command in commands)
        assert f"root key  {made + 1}, since" in store.status()
    assert all(store.opens(number, passphrase) for number in range(2))


def test_a_database_that_was_put_back_is_not_followed_and_a_rotation_brings_it_up_to_date(store_of):
    store = store_of(1)
    [(before, revision)] = store.sql(
        "SELECT encode(value, 'hex'), revision FROM ringfence_entries"
        " WHERE partition = '~files' AND key = 'seal.json'"
    )
    store.seal(0, "rotate")
    store.nodes[0].stop()
    store.sql(
        f"UPDATE ringfence_entries SET value = decode('{before}', 'hex'), revision = {revision}"
        " WHERE partition = '~files' AND key = 'seal.json'"
    )
    with pytest.raises(RuntimeError) as refused:
        store.nodes[0].start()
    assert "has root key 2 and the shared store only root key 1" in str(refused.value)
    assert "root key 3 is in force" in store.seal(0, "rotate").stdout
    store.nodes[0].start()
    assert refusal(store.root(0).client("iam").get_user, UserName="nobody").code == "NoSuchEntity"


def test_a_server_of_another_store_changes_nothing(store_of):
    one, other = store_of(1), store_of(1)
    before = one.status()
    mixed = one.ringfence(
        "seal", "rotate", "--data", other.nodes[0].data, "--store", one.url, check=False
    )
    assert mixed.returncode != 0 and "is of another store than the shared one" in mixed.stderr
    assert one.status() == before and one.opens(0) and other.opens(0)


def test_a_store_is_copied_out_under_the_seal_that_it_has_now(store_of, tmp_path, ringfence):
    store = store_of(2)
    store.seal(0, "rotate")
    store.stop()
    # The other directory has the copy of before, and the key that it was given since.
    data = store.nodes[1].data
    give_key(store.nodes[0].data, data)
    ringfence("migrate", "--data", data, "--from", store.url)
    assert "root key  2, since" in ringfence("seal", "status", "--data", data).stdout
    assert "sound" in ringfence("check", "--data", Path(data)).stdout
