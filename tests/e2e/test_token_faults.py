"""Tokens that refuse, hang, go away and answer late: what custom key stores on them do then."""

import time
from concurrent.futures import ThreadPoolExecutor

import pytest

from clients import refusal
from ringfence_server import UNTHROTTLED
from softhsm import PIN, Tokens, Watched
from test_key_stores import cluster_store, connect, entry, expect, settled, token_key

pytestmark = pytest.mark.one_process("connections of a custom key store, which are each server's own")

OWN = "cluster-abcdefg2345"
OTHER = "cluster-bbbbbbb2345"
OTHER_PIN = "crypto-user-2"


@pytest.fixture
def tokens(tmp_path):
    tokens = Tokens(tmp_path)
    tokens.make("kms")
    return tokens


@pytest.fixture
def watched(tmp_path, tokens):
    return Watched(tmp_path, tokens)


@pytest.fixture
def start(start_server, tokens, watched):
    """Starts a server with the watched module, and ends it with the test."""
    running = []

    def start(*more, **how):
        at = f"{OWN}=module:{watched.library},token:kms"
        running.append(start_server("--hsm", at, *more, *UNTHROTTLED, env=tokens.env, **how))
        return running[-1]

    yield start
    for server in running:
        server.stop()


def until(found):
    deadline = time.monotonic() + 60
    while not found():
        assert time.monotonic() < deadline, "it did not come"
        time.sleep(0.05)


def late(call, **parameters):
    assert refusal(call, **parameters).code == "DependencyTimeoutException"


def test_a_refused_pin_is_tried_once_whatever_asks_first(start, tokens, watched):
    server = start()
    kms = server.root().client("kms")
    store = cluster_store(kms)
    connect(kms, store)
    key = token_key(kms, store)["KeyId"]
    blob = kms.encrypt(KeyId=key, Plaintext=b"x")["CiphertextBlob"]
    calls = (
        lambda: kms.generate_random(NumberOfBytes=8, CustomKeyStoreId=store),
        lambda: token_key(kms, store),
        lambda: kms.encrypt(KeyId=key, Plaintext=b"x"),
        lambda: kms.decrypt(CiphertextBlob=blob),
    )
    for first in calls:
        server.stop()
        tokens.make_anew("kms", OTHER_PIN)
        server.start()
        before = watched.asked("login")
        for call in (first, *calls):
            with pytest.raises(kms.exceptions.ClientError) as refused:
                call()
            assert "InvalidState" in refused.value.response["Error"]["Code"], refused.value
        assert watched.asked("login") - before == 1
        found = entry(kms, store)
        assert (found["ConnectionState"], found["ConnectionErrorCode"]) == ("FAILED", "INVALID_CREDENTIALS")
        kms.disconnect_custom_key_store(CustomKeyStoreId=store)
        server.stop()
        tokens.make_anew("kms", PIN)
        server.start()
        connect(kms, store)


def test_calls_at_once_try_a_refused_pin_once(start, tokens, watched):
    server = start()
    kms = server.root().client("kms")
    store = cluster_store(kms)
    connect(kms, store)
    server.stop()
    tokens.make_anew("kms", OTHER_PIN)
    server.start()
    before = watched.asked("login")
    watched.begin("slow-login")

    def call(client):
        expect("KMSInvalidStateException", client.generate_random, NumberOfBytes=8, CustomKeyStoreId=store)

    clients = [server.root().client("kms") for _ in range(12)]
    with ThreadPoolExecutor(12) as pool:
        list(pool.map(call, clients))
    assert watched.asked("login") - before == 1


def test_a_connection_that_is_under_way_is_not_tried_by_upkeep_too(start, watched):
    server = start(dev=True)
    kms = server.principal("test", "test").client("kms")
    store = cluster_store(kms, password=OTHER_PIN)
    watched.begin("slow-login")
    kms.connect_custom_key_store(CustomKeyStoreId=store)
    # Moving the clock has upkeep run.
    assert server.post_json("/_ringfence/clock", {"advance_seconds": 60})[0] == 200
    assert settled(kms, store)["ConnectionErrorCode"] == "INVALID_CREDENTIALS"
    assert watched.asked("login") == 1


def test_the_last_try_of_a_pin_is_left_to_the_tokens_owner(start, watched):
    kms = start().root().client("kms")
    store = cluster_store(kms)
    watched.begin("last-try")
    assert connect(kms, store, "FAILED") == "USER_LOCKED_OUT"
    assert watched.asked("login") == 0
    watched.end("last-try")
    kms.disconnect_custom_key_store(CustomKeyStoreId=store)
    connect(kms, store)


def test_a_server_that_is_started_again_and_again_leaves_its_seals_last_try_too(
        ringfence, tokens, watched, tmp_path):
    seal = f"pkcs11:token=kms;object=root?module-path={watched.library}"
    start = ("serve", "--data", tmp_path / "store", "--listen", "127.0.0.1:0", "--seal", seal)
    wrong = {**tokens.env, "RINGFENCE_PKCS11_PIN": OTHER_PIN}
    for why, logins in (("refuses the PIN", 1), ("one try more of its PIN", 1)):
        done = ringfence(*start, env=wrong, check=False)
        assert done.returncode != 0 and why in done.stderr, done.stderr
        assert watched.asked("login") == logins
        watched.begin("last-try")


def test_a_module_that_hangs_keeps_nobody_from_the_others(start, tokens, watched):
    tokens.make("second")
    server = start("--hsm", f"{OTHER}=module:{tokens.library},token:second")
    kms = server.root().client("kms")
    hanging, sound = cluster_store(kms), cluster_store(kms, OTHER)
    connect(kms, hanging)
    server.stop()
    watched.begin("hang")
    try:
        server.start()
        clients = [server.root().client("kms") for _ in range(8)]
        with ThreadPoolExecutor(9) as pool:
            waiting = [
                pool.submit(late, client.generate_random, NumberOfBytes=8, CustomKeyStoreId=hanging)
                for client in clients
            ]
            connect(kms, sound)
            assert not any(one.done() for one in waiting)
            # All wait for the same opening, none for one of its own.
            for one in waiting:
                one.result()
    finally:
        watched.end("hang")
    # What went on when nobody waited any longer is of use to the next call.
    kms.generate_random(NumberOfBytes=8, CustomKeyStoreId=hanging)


def test_a_token_that_is_missing_ends_nobodys_sessions(start, watched):
    kms = start("--hsm", f"{OTHER}=module:{watched.library},token:none").root().client("kms")
    store, missing = cluster_store(kms), cluster_store(kms, OTHER)
    connect(kms, store)
    key = token_key(kms, store)["KeyId"]
    time.sleep(1.1)  # A module is initialised anew once a second at most.
    for _ in range(3):
        assert connect(kms, missing, "FAILED") == "INSUFFICIENT_CLOUDHSM_HSMS"
        kms.disconnect_custom_key_store(CustomKeyStoreId=missing)
        kms.encrypt(KeyId=key, Plaintext=b"x")
    assert watched.asked("initialize") == 1


def test_a_module_that_was_initialised_anew_is_asked_to_close_its_own_sessions_alone(start, tokens, watched):
    server = start()
    kms = server.root().client("kms")
    store = cluster_store(kms)
    connect(kms, store)
    key = token_key(kms, store)["KeyId"]
    clients = [server.root().client("kms") for _ in range(8)]

    def use():
        with ThreadPoolExecutor(8) as pool:
            list(pool.map(lambda client: client.encrypt(KeyId=key, Plaintext=b"x"), clients))

    use()
    for _ in range(2):
        tokens.pull()
        until(lambda: refused(kms.encrypt, KeyId=key, Plaintext=b"x"))
        time.sleep(1.1)  # A module is initialised anew once a second at most.
        tokens.put_back()
        until(lambda: not refused(kms.encrypt, KeyId=key, Plaintext=b"x"))
        use()
    kms.disconnect_custom_key_store(CustomKeyStoreId=store)
    server.stop()
    assert watched.asked("initialize") > 1
    opened = set()
    for line in watched.log():
        what, _, handle = line.partition(" ")
        if what == "initialize":
            opened.clear()
        elif what == "open":
            opened.add(handle)
        elif what == "close":
            assert handle in opened, line
            opened.remove(handle)


def refused(call, **parameters):
    try:
        call(**parameters)
    except call.__self__.exceptions.KMSInvalidStateException:
        return True
    return False


def test_a_key_that_is_made_too_late_does_not_stay_in_the_token(start, tokens, watched):
    kms = start().root().client("kms")
    store = cluster_store(kms)
    connect(kms, store)
    watched.begin("hold")
    late(kms.create_key, Origin="AWS_CLOUDHSM", CustomKeyStoreId=store)
    watched.end("hold")
    until(lambda: watched.asked("made") == 1)
    until(lambda: tokens.objects() == set())
    token_key(kms, store)
    assert len(tokens.objects()) == 1
