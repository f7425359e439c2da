"""Several servers over one PostgreSQL behave as one: what is written on one decides on every other."""

import json
import signal
import threading
import time

import pytest
from botocore.auth import SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials
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


# --- strict: no server decides on what is no longer so ----------------------------------------------------


@pytest.fixture(scope="module")
def strict(database, start_server, tmp_path_factory):
    """Three servers whose writes are acknowledged when all have taken them in."""
    url = database.url(database.database())
    key = tmp_path_factory.mktemp("seal") / "root.key"
    options = ("--store", url, "--seal", f"file:{key}", "--consistency", "strict", *UNTHROTTLED)
    made = [start_server(*options) for _ in range(3)]
    yield made
    for server in made:
        server.stop()


def test_what_was_taken_away_is_honoured_nowhere_once_that_is_acknowledged(strict):
    root = strict[0].root()
    roots = [elsewhere(root, server) for server in strict]
    world = World(root)
    late = []
    for number in range(6):
        user = world.user(allow("iam:ListUsers"))
        clients = [elsewhere(user, server).client("iam") for server in strict]
        for client in clients:
            assert client.list_users()["Users"]
        acknowledged, ended = [], threading.Event()

        def hammer(client):
            while not ended.is_set():
                began = time.monotonic()
                if not isinstance(_outcome(client.list_users), ClientError) and acknowledged:
                    if began > acknowledged[0]:
                        late.append(began - acknowledged[0])

        threads = [threading.Thread(target=hammer, args=(client,)) for client in clients]
        for thread in threads:
            thread.start()
        time.sleep(0.1)
        iam = roots[number % 3].client("iam")
        if number % 2:
            iam.delete_user_policy(UserName=user.name, PolicyName="inline")
        else:
            iam.update_access_key(
                UserName=user.name, AccessKeyId=user.access_key_id, Status="Inactive"
            )
        acknowledged.append(time.monotonic())
        time.sleep(0.3)
        ended.set()
        for thread in threads:
            thread.join()
    assert not late, f"{len(late)} calls were let that began after the acknowledgement"


def test_a_server_that_stands_still_decides_nothing_when_it_wakes(strict):
    root = strict[0].root()
    user = World(root).user(allow("iam:ListUsers"))
    there = elsewhere(user, strict[2]).client("iam")
    assert there.list_users()["Users"]
    frozen = strict[2].process
    frozen.send_signal(signal.SIGSTOP)
    outcome = []
    # Sent while it stands still; it is read when it goes on.
    asking = threading.Thread(target=lambda: outcome.append(_outcome(there.list_users)))
    try:
        asking.start()
        root.client("iam").delete_user_policy(UserName=user.name, PolicyName="inline")
    finally:
        frozen.send_signal(signal.SIGCONT)
    asking.join()
    refused = outcome[0]
    assert isinstance(refused, ClientError), "it decided by what was no longer so"
    assert refused.response["ResponseMetadata"]["HTTPStatusCode"] in (403, 503)
    # It takes in what it has missed, and goes on.
    until(lambda: refusal(there.list_users).code == "AccessDenied")


def test_servers_that_have_lost_the_database_decide_nothing(strict, database):
    clients = [server.principal(*_keys(strict[0])).client("iam") for server in strict]
    database.kill()
    try:
        for client in clients:
            until(lambda: _status(client.list_users) == 503)
    finally:
        database.start()
    for client in clients:
        until(lambda: _status(client.list_users) == 200)


def test_the_proxy_of_a_server_that_has_lost_its_lease_answers_nothing(strict, database, ringfence):
    """Whoever has its credential asks it, and not IAM; the keys that are open may have changed."""
    server = strict[1]
    kms = strict[0].root().client("kms")
    key = kms.create_key()["KeyMetadata"]["KeyId"]
    options = server.args
    at = ("--data", server.data, *options[: options.index("--consistency")])
    told = json.loads(ringfence("xks", "credential", *at).stdout)
    ringfence("xks", "open", *at, "--id", "theirs", key)
    ask = Proxied(server, told)
    until(lambda: ask("metadata")[0] == 200)
    status, sealed = ask("encrypt", plaintext="eA==", encryptionAlgorithm="AES_GCM")
    assert status == 200, sealed
    blob = {
        name: sealed[name]
        for name in ("ciphertext", "initializationVector", "authenticationTag", "ciphertextMetadata")
        if name in sealed
    }
    decrypt = {"encryptionAlgorithm": "AES_GCM", **blob}
    assert ask("decrypt", **decrypt)[1]["plaintext"] == "eA=="
    database.freeze()
    try:
        until(lambda: ask("decrypt", **decrypt)[0] == 503)
        for operation, body in (("decrypt", decrypt), ("metadata", {}), ("encrypt", {
            "plaintext": "eA==", "encryptionAlgorithm": "AES_GCM",
        })):
            assert ask(operation, **body) == (503, {})
    finally:
        database.thaw()
    until(lambda: ask("decrypt", **decrypt)[0] == 200)


class Proxied:
    """Asks an external key store proxy as a KMS does."""

    def __init__(self, server, told):
        self.server, self.path = server, told["XksProxyUriPath"]
        credential = told["XksProxyAuthenticationCredential"]
        self.credentials = Credentials(credential["AccessKeyId"], credential["RawSecretAccessKey"])

    def __call__(self, operation, **body):
        body["requestMetadata"] = {
            "awsPrincipalArn": "arn:aws:iam::123456789012:user/ann", "kmsOperation": "Decrypt",
            "kmsRequestId": "00000000-0000-0000-0000-000000000000",
            "kmsKeyArn": "arn:aws:kms:us-east-1:123456789012:key/00000000-0000-0000-0000-000000000000",
        }
        if operation == "metadata":
            body["requestMetadata"]["kmsOperation"] = "DescribeKey"
        path, text = f"{self.path}/keys/theirs/{operation}", json.dumps(body)
        request = AWSRequest("POST", self.server.url + path, {"Content-Type": "application/json"}, text)
        SigV4Auth(self.credentials, "kms-xks-proxy", "us-east-1").add_auth(request)
        status, _, answer = self.server.request("POST", path, text, dict(request.headers))
        return status, json.loads(answer)


def _keys(server):
    root = server.root()
    return root.access_key_id, root.secret


def _status(call):
    outcome = _outcome(call)
    if isinstance(outcome, ClientError):
        return outcome.response["ResponseMetadata"]["HTTPStatusCode"]
    return 200
