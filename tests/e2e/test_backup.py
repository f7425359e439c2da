"""Copies of a store: taken while the server serves, checked value by value, opened by its seal alone."""

import json
import shutil
import sqlite3
import threading

import pytest

from postgres import Postgres
from ringfence_server import UNTHROTTLED
from test_shared_store import elsewhere


pytestmark = pytest.mark.one_process("the files of one data directory")

def made(server, count, prefix="kept"):
    iam = server.root().client("iam")
    names = [f"{prefix}-{number}" for number in range(count)]
    for name in names:
        iam.create_user(UserName=name)
    return names


def names_of(server, root):
    pages = elsewhere(root, server).client("iam").get_paginator("list_users").paginate()
    return {user["UserName"] for page in pages for user in page["Users"]}


def test_a_backup_of_a_server_that_serves_has_what_was_acknowledged_before_it(
    start_server, ringfence, tmp_path
):
    server = start_server(*UNTHROTTLED)
    root = server.root()
    before = made(server, 20)
    key = root.client("kms").create_key()["KeyMetadata"]["KeyId"]
    blob = root.client("kms").encrypt(KeyId=key, Plaintext=b"secret")["CiphertextBlob"]
    ended = threading.Event()

    def write():
        iam, number = root.client("iam"), 0
        while not ended.is_set():
            iam.create_user(UserName=f"meanwhile-{number}")
            number += 1

    writer = threading.Thread(target=write)
    writer.start()
    try:
        said = ringfence("backup", "--data", server.data, "--to", tmp_path / "backup").stdout
    finally:
        ended.set()
        writer.join()
    assert "values in" in said and "SHA-256" in said
    assert sorted(path.name for path in (tmp_path / "backup").iterdir()) == [
        "manifest.json", "seal.json", "store.db",
    ]

    restored = tmp_path / "restored"
    restored.mkdir(mode=0o700)
    shutil.copy(server.data / "root.key", restored / "root.key")
    said = ringfence("restore", "--from", tmp_path / "backup", "--data", restored).stdout
    assert "all opened" in said
    assert "sound" in ringfence("check", "--data", restored).stdout
    again = start_server(data=restored)
    there = names_of(again, root)
    assert set(before) <= there
    # Of what was written meanwhile, the first so many.
    meanwhile = {name for name in there if name.startswith("meanwhile-")}
    assert meanwhile == {f"meanwhile-{number}" for number in range(len(meanwhile))}
    kms = elsewhere(root, again).client("kms")
    assert kms.decrypt(CiphertextBlob=blob)["Plaintext"] == b"secret"


def test_a_backup_opens_with_its_seal_and_no_other(start_server, ringfence, tmp_path):
    server, other = start_server(), start_server()
    ringfence("backup", "--data", server.data, "--to", tmp_path / "backup")
    for number, key in enumerate((None, other.data / "root.key")):
        target = tmp_path / f"{number}"
        target.mkdir(mode=0o700)
        if key:
            shutil.copy(key, target / "root.key")
        refused = ringfence(
            "restore", "--from", tmp_path / "backup", "--data", target, check=False
        )
        assert refused.returncode != 0
        assert not (target / "store.db").exists() and not (target / "seal.json").exists()


@pytest.mark.parametrize("what", ["a byte of the store", "a value that is gone", "no manifest", "another count"])
def test_a_backup_that_was_changed_is_not_restored(what, start_server, ringfence, tmp_path):
    server = start_server()
    made(server, 5)
    backup = tmp_path / "backup"
    ringfence("backup", "--data", server.data, "--to", backup)
    store, manifest = backup / "store.db", backup / "manifest.json"
    if what == "a byte of the store":
        with sqlite3.connect(store) as connection:
            (value,) = connection.execute("SELECT value FROM entries LIMIT 1").fetchone()
        content = bytearray(store.read_bytes())
        content[content.index(value[:32]) + 16] ^= 1
        store.write_bytes(content)
    elif what == "a value that is gone":
        with sqlite3.connect(store) as connection:
            connection.execute("DELETE FROM entries WHERE key = (SELECT max(key) FROM entries)")
    elif what == "no manifest":
        manifest.unlink()
    else:
        told = json.loads(manifest.read_text())
        told["values"] += 1
        manifest.write_text(json.dumps(told))
    target = tmp_path / "target"
    target.mkdir(mode=0o700)
    shutil.copy(server.data / "root.key", target / "root.key")
    refused = ringfence("restore", "--from", backup, "--data", target, check=False)
    assert refused.returncode != 0, refused.stdout
    assert not (target / "store.db").exists()


def test_nothing_is_overwritten(start_server, ringfence, tmp_path):
    server = start_server()
    ringfence("backup", "--data", server.data, "--to", tmp_path / "backup")
    again = ringfence("backup", "--data", server.data, "--to", tmp_path / "backup", check=False)
    assert again.returncode != 0
    onto = ringfence("restore", "--from", tmp_path / "backup", "--data", server.data, check=False)
    assert onto.returncode != 0
    assert server.root().client("iam").list_users()


def test_a_store_moves_into_a_postgresql_and_back(start_server, ringfence, tmp_path):
    with Postgres() as database:
        url = database.url(database.database())
        server = start_server(*UNTHROTTLED)
        root, names = server.root(), made(server, 30)
        key = root.client("kms").create_key()["KeyMetadata"]["KeyId"]
        blob = root.client("kms").encrypt(KeyId=key, Plaintext=b"secret")["CiphertextBlob"]
        running = ringfence("migrate", "--data", server.data, "--to", url, check=False)
        assert running.returncode != 0 and "a server runs" in running.stderr
        server.stop()
        there = ringfence("migrate", "--data", server.data, "--to", url).stdout
        assert "values in" in there
        # Once it is there, servers may have changed it.
        again = ringfence("migrate", "--data", server.data, "--to", url, check=False)
        assert again.returncode != 0

        node = start_server("--store", url, data=server.data)
        assert set(names) <= names_of(node, root)
        assert elsewhere(root, node).client("kms").decrypt(CiphertextBlob=blob)["Plaintext"] == b"secret"
        more = [f"more-{number}" for number in range(5)]
        for name in more:
            elsewhere(root, node).client("iam").create_user(UserName=name)
        assert "sound" in ringfence("check", "--data", server.data, "--store", url).stdout
        node.stop()

        back = tmp_path / "back"
        back.mkdir(mode=0o700)
        shutil.copy(server.data / "root.key", back / "root.key")
        ringfence("migrate", "--data", back, "--from", url)
        assert not (back / "migrating").exists()
        onto = ringfence("migrate", "--data", back, "--from", url, check=False)
        assert onto.returncode != 0 and "already" in onto.stderr
        alone = start_server(data=back)
        assert set(names + more) <= names_of(alone, root)
        alone.stop()


def test_a_copy_that_was_cut_short_goes_on_and_no_server_uses_it_before(start_server, ringfence):
    with Postgres() as database:
        name = database.database()
        url = database.url(name)
        server = start_server(*UNTHROTTLED)
        root, names = server.root(), made(server, 10)
        server.stop()
        ringfence("migrate", "--data", server.data, "--to", url)
        # As a copy that was killed leaves it.
        database.sql(
            "UPDATE ringfence_entries SET value = 'under way' WHERE partition = '~files' AND key = 'migration'",
            database=name,
        )
        database.sql("DELETE FROM ringfence_entries WHERE left(partition, 1) <> '~'", database=name)
        database.sql(
            "UPDATE ringfence_heads SET revision = 0 WHERE partition <> '' AND left(partition, 1) <> '~'",
            database=name,
        )
        early = start_server("--store", url, data=server.data, wait=False)
        assert early.process.wait(timeout=20) != 0
        ringfence("migrate", "--data", server.data, "--to", url)
        node = start_server("--store", url, data=server.data)
        assert set(names) <= names_of(node, root)
        node.stop()
