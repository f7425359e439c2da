"""Several servers over one PostgreSQL behave as one: what is written on one decides on every other."""

import json
import threading
import time

import pytest
from botocore.exceptions import ClientError

from clients import refusal
from postgres import Postgres
from ringfence_server import UNTHROTTLED
from world import World, allow

HEARD_WITHIN_SECONDS = 10


@pytest.fixture(scope="module")
def database():
    with Postgres() as server:
        yield server


@pytest.fixture(scope="module")
def nodes(database, start_server, tmp_path_factory):
    """Two servers of one store, with one key file."""
    url = database.url(database.database())
    key = tmp_path_factory.mktemp("seal") / "root.key"
    made = [start_server("--store", url, "--seal", f"file:{key}", *UNTHROTTLED) for _ in range(2)]
    yield made
    for server in made:
        server.stop()


def elsewhere(principal, server):
    """The same principal at another server."""
    return server.principal(principal.access_key_id, principal.secret)


@pytest.fixture(scope="module")
def roots(nodes):
    root = nodes[0].root()
    return [root, elsewhere(root, nodes[1])]


def until(holds):
    deadline = time.monotonic() + HEARD_WITHIN_SECONDS
    while not holds():
        assert time.monotonic() < deadline, "not heard of in time"
        time.sleep(0.005)


def test_what_one_server_writes_another_decides_by(nodes, roots):
    world = World(roots[0])
    user = world.user(allow("iam:ListUsers"))
    there = elsewhere(user, nodes[1]).client("iam")

    def lets():
        try:
            there.list_users()
            return True
        except ClientError:
            return False

    until(lets)
    roots[1].client("iam").delete_user_policy(UserName=user.name, PolicyName="inline")
    here = user.client("iam")
    until(lambda: isinstance(_outcome(here.list_users), ClientError))
    assert refusal(here.list_users).code == "AccessDenied"


def _outcome(call, **parameters):
    try:
        return call(**parameters)
    except ClientError as error:
        return error


def test_keys_made_on_one_server_open_on_another_what_a_third_call_has_sealed(nodes, roots):
    here, there = (root.client("kms") for root in roots)
    key = here.create_key()["KeyMetadata"]["KeyId"]
    blob = here.encrypt(KeyId=key, Plaintext=b"secret")["CiphertextBlob"]
    until(lambda: not isinstance(_outcome(there.describe_key, KeyId=key), ClientError))
    assert there.decrypt(CiphertextBlob=blob)["Plaintext"] == b"secret"
    there.disable_key(KeyId=key)
    until(lambda: isinstance(_outcome(here.decrypt, CiphertextBlob=blob), ClientError))


def test_writers_on_both_servers_lose_nothing(nodes, roots):
    """All writes are of one account, so that each is in the way of every other."""
    count, errors = 40, []

    def write(root, side):
        iam = root.client("iam")
        for number in range(count):
            try:
                iam.create_user(UserName=f"writer-{side}-{number}")
            except ClientError as error:
                errors.append(error)

    threads = [
        threading.Thread(target=write, args=(roots[side % 2], side)) for side in range(4)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not errors, errors[0]
    expected = {f"writer-{side}-{number}" for side in range(4) for number in range(count)}

    def listed(root):
        pages = root.client("iam").get_paginator("list_users").paginate()
        return {user["UserName"] for page in pages for user in page["Users"]}

    for root in roots:
        until(lambda: expected <= listed(root))


def test_a_name_is_given_once_whoever_is_asked(nodes, roots):
    for number in range(20):
        outcomes = [None, None]

        def make(side):
            outcomes[side] = _outcome(
                roots[side].client("iam").create_user, UserName=f"once-{number}"
            )

        threads = [threading.Thread(target=make, args=(side,)) for side in range(2)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        refused = [one for one in outcomes if isinstance(one, ClientError)]
        assert len(refused) == 1, outcomes
        assert refused[0].response["Error"]["Code"] == "EntityAlreadyExists"


def test_a_server_that_starts_later_has_everything(nodes, roots, database, start_server):
    roots[1].client("iam").create_user(UserName="early")
    late = start_server(*nodes[0].args)
    try:
        assert elsewhere(roots[0], late).client("iam").get_user(UserName="early")
    finally:
        late.stop()


def test_acknowledged_writes_outlive_servers_and_database(nodes, roots, database):
    made = []
    for number in range(10):
        roots[number % 2].client("iam").create_user(UserName=f"kept-{number}")
        made.append(f"kept-{number}")
    for server in nodes:
        server.kill()
    database.kill()
    database.start()
    for server in nodes:
        server.start()
    for root, server in zip(roots, nodes):
        iam = elsewhere(root, server).client("iam")
        for name in made:
            assert iam.get_user(UserName=name)["User"]["UserName"] == name


def test_servers_go_on_when_the_database_comes_back(nodes, roots, database):
    iam = roots[0].client("iam")
    database.kill()
    # What is known still decides; what cannot be kept is refused in words.
    assert iam.list_users()["Users"]
    thread_result = []
    writing = threading.Thread(
        target=lambda: thread_result.append(_outcome(iam.create_user, UserName="meanwhile"))
    )
    writing.start()
    time.sleep(1)
    database.start()
    writing.join()
    assert not isinstance(thread_result[0], ClientError), thread_result[0]
    until(lambda: not isinstance(
        _outcome(roots[1].client("iam").get_user, UserName="meanwhile"), ClientError
    ))


def test_a_database_of_another_store_is_not_opened_by_a_key_of_this_one(database, start_server, tmp_path):
    url = database.url(database.database())
    first = start_server("--store", url, "--seal", f"file:{tmp_path / 'one.key'}")
    other = start_server("--store", url, "--seal", f"file:{tmp_path / 'other.key'}", wait=False)
    assert other.process.wait(timeout=20) != 0
    first.stop()
    assert json.loads((first.data / "seal.json").read_text())
