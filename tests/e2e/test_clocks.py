"""Servers of one store whose clocks are minutes apart, and jump, keep what they promise.

Leases hang on how fast clocks go, and not on what they say: `crates/store/src/postgres/nodes.rs` and
`crates/ringfence/src/lease.rs`. libfaketime moves the wall clock of a running server, and leaves its monotonic one
alone, save where a test shows what would happen if leases hung on a clock that jumps.
"""

import json
import signal
import threading
import time
from datetime import timedelta

import pytest
from botocore.exceptions import ClientError

import faketime
from clients import refusal
from histories import SECONDS, Game, each
from postgres import Postgres
from ringfence_server import UNTHROTTLED
from signer import Signer
from world import World, allow

# Within what a signature's time may be off, which is five minutes.
FAR = 240
JUMPS = 20
YEAR_QUARTER = 91
HEARD_WITHIN_SECONDS = 20

pytestmark = [pytest.mark.torture, pytest.mark.timeout(SECONDS * 2 + 300)]


@pytest.fixture(scope="module")
def database():
    with Postgres() as server:
        yield server


@pytest.fixture(scope="module")
def start(database, start_server, tmp_path_factory):
    """Starts servers over one new database, each with a clock of its own that is so many seconds off."""
    try:
        faketime.library()
    except RuntimeError as why:
        pytest.skip(str(why))
    key = tmp_path_factory.mktemp("seal") / "root.key"
    folder = tmp_path_factory.mktemp("clocks")
    made = []

    def started(name, offsets, *options, monotonic=False, wait=True):
        servers = []
        for seconds in offsets:
            clock = faketime.Clock(folder / str(len(made)), seconds)
            server = start_server(
                "--store", database.url(name), "--seal", f"file:{key}", *options, *UNTHROTTLED,
                env=clock.environment(monotonic), wait=wait,
            )
            server.clock = clock
            servers.append(server)
            made.append(server)
        for server in servers:
            server.wait_until_healthy()
        return servers

    yield started
    for server in made:
        server.stop()


@pytest.fixture(scope="module")
def strict(database, start):
    return start(database.database(), (-FAR, 0, FAR), "--consistency", "strict")


def elsewhere(principal, server):
    return server.principal(principal.access_key_id, principal.secret)


def outcome(call):
    try:
        return call()
    except ClientError as error:
        return error


def status(call):
    answer = outcome(call)
    answer = answer.response if isinstance(answer, ClientError) else answer
    return answer["ResponseMetadata"]["HTTPStatusCode"]


def until(holds):
    deadline = time.monotonic() + HEARD_WITHIN_SECONDS
    while not holds():
        assert time.monotonic() < deadline, "not in time"
        time.sleep(0.005)


def test_what_was_acknowledged_decides_everywhere_while_clocks_jump(strict, capsys):
    def jump(game):
        for _ in range(game.source.randrange(3, 9)):
            clock = game.source.choice(game.servers).clock
            clock.set(game.source.randrange(-FAR, FAR + 1))
            time.sleep(game.source.uniform(0, 0.3))

    game = Game(strict, disturb=jump)
    game.go_on(each)
    game.tell(capsys, "three strict servers with clocks that jump")


def refused_after_jumps(server, client, jumps):
    """After how many jumps the server did not decide."""
    count = 0
    for number in range(jumps):
        server.clock.set(FAR if number % 2 else -FAR)
        count += 503 in [status(client.list_users) for _ in range(3)]
    return count


def test_a_clock_that_jumps_costs_no_lease(strict):
    client = elsewhere(strict[0].root(), strict[1]).client("iam")
    # On a machine that stands still for two seconds, one may be lost by that.
    assert refused_after_jumps(strict[1], client, JUMPS) <= 2


def stale_decision(servers, back):
    """What a server answers that stood still while its user lost a permission, and its clock was set back."""
    root = servers[0].root()
    user = World(root).user(allow("iam:ListUsers"))
    frozen = servers[1]
    there = elsewhere(user, frozen).client("iam")
    assert there.list_users()["Users"]
    frozen.process.send_signal(signal.SIGSTOP)
    answers = []
    asking = threading.Thread(target=lambda: answers.append(outcome(there.list_users)))
    try:
        asking.start()
        root.client("iam").delete_user_policy(UserName=user.name, PolicyName="inline")
        frozen.clock.set(back)
    finally:
        frozen.process.send_signal(signal.SIGCONT)
    asking.join()
    return answers[0], there


def test_a_server_whose_clock_was_set_back_while_it_stood_still_decides_nothing_when_it_wakes(strict):
    strict[1].clock.set(FAR)
    answer, there = stale_decision(strict, back=-FAR)
    assert isinstance(answer, ClientError), "it decided by what was no longer so"
    assert answer.response["ResponseMetadata"]["HTTPStatusCode"] in (403, 503)
    until(lambda: refusal(there.list_users).code == "AccessDenied")


def test_these_tests_would_see_leases_that_hang_on_a_clock_that_jumps(database, start):
    """Here the monotonic clock jumps too, which it never does: the lease is gone."""
    one, other = start(database.database(), (0, 0), "--consistency", "strict", monotonic=True)
    try:
        client = elsewhere(one.root(), other).client("iam")
        assert status(client.list_users) == 200
        # It is renewed at once; some call comes before that.
        jumps = range(FAR // JUMPS, FAR, FAR // JUMPS)
        assert any(lost_by_jump(other, client, seconds) for seconds in jumps)
    finally:
        # Their timers are of another time: they would not end by themselves.
        for server in (one, other):
            server.kill()


def lost_by_jump(server, client, seconds):
    server.clock.set(seconds)
    return status(client.list_users) == 503


def takes(database, name):
    """How often a server has taken, or kept, the lease of what is done without being asked."""
    sql = "SELECT count(*) FROM ringfence_changes WHERE key = 'house/upkeep' AND NOT deleted"
    return database.sql(sql, database=name)[0][0]


def rotations(root, key, days):
    body = json.dumps({"KeyId": key}).encode()
    signer = Signer(root)
    headers = {
        "Content-Type": "application/x-amz-json-1.1", "X-Amz-Target": "TrentService.ListKeyRotations",
    }
    headers = signer.signed("kms", body, headers=headers, ahead=timedelta(days=days))
    answer = signer.send("POST", "/", body, headers)
    assert answer.status == 200, answer
    return json.loads(answer.body)["Rotations"]


def test_one_server_does_what_is_due_however_far_their_clocks_are_apart(database, start):
    name = database.database()
    (first,) = start(name, (0,))
    kms = first.root().client("kms")
    key = kms.create_key()["KeyMetadata"]["KeyId"]
    kms.enable_key_rotation(KeyId=key, RotationPeriodInDays=90)
    keys = first.root()
    until(lambda: takes(database, name) == 1)
    first.stop()
    later = YEAR_QUARTER * 24 * 3600
    servers = start(name, (later - FAR, later, later + FAR), wait=False)
    for server in servers:
        until(lambda: len(rotations(elsewhere(keys, server), key, YEAR_QUARTER)) == 1)
    # All have looked by now, at their start.
    time.sleep(1)
    assert takes(database, name) == 2
    for server in servers:
        server.clock.set(0)
    # Nothing hangs on it that time goes back.
    iam = servers[2].principal(keys.access_key_id, keys.secret).client("iam")
    iam.create_user(UserName="afterwards")
    assert iam.get_user(UserName="afterwards")["User"]["UserName"] == "afterwards"
