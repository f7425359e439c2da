"""The audit log shows whether its events are those that were recorded: signed digests, one after the other.

Segments of a log that is stopped are closed; the next start packs them.
"""

import base64
import gzip
import json
import time

import pytest

from openssl import Openssl
from postgres import Postgres
from test_shared_store import elsewhere

pytestmark = pytest.mark.one_process("the audit log of one data directory")


def until(holds):
    deadline = time.monotonic() + 20
    while not (found := holds()):
        assert time.monotonic() < deadline, "not within 20 seconds"
        time.sleep(0.02)
    return found


@pytest.fixture
def log(start_server):
    """A server that was started and stopped three times, with a user made each time."""
    server = start_server()
    for number in range(3):
        server.root().iam.create_user(UserName=f"user-{number}")
        server.stop()
        server.start()
    packed(server, 3)
    server.stop()
    return server


def packed(server, count):
    """Waits until so many segments are packed, and nothing is left of their lines but what is packed."""
    closed = lambda: [path.name.removesuffix(".gz") for path in server.audit.glob("*.jsonl.gz")]
    until(lambda: len(closed()) >= count
          and not any((server.audit / lines).exists() for lines in closed()))


def verify(ringfence, server, *more):
    return ringfence("audit", "verify", "--data", server.data, *more, check=False)


def change(path, old, new):
    """Changes an event of a packed segment, as somebody would who leaves no traces."""
    text = gzip.decompress(path.read_bytes()).decode()
    assert old in text
    path.write_bytes(gzip.compress(text.replace(old, new).encode()))


def test_a_log_that_nobody_touched_is_sound_and_packed(log, ringfence):
    done = verify(ringfence, log)
    assert done.returncode == 0 and "sound: 3 closed segments with" in done.stdout, done
    assert all(path.name.endswith((".jsonl.gz", ".digest")) for path in log.audit.iterdir())
    names = [event["requestParameters"]["userName"] for event in log.audit_events()
             if event["eventName"] == "CreateUser"]
    assert names == ["user-0", "user-1", "user-2"]


def test_the_log_of_a_server_that_serves_is_verified_up_to_its_last_mark(start_server, ringfence):
    server = start_server()
    server.root().iam.create_user(UserName="before")

    def is_marked():
        done = verify(ringfence, server)
        assert done.returncode == 0, done
        return "and 0 events of the open one" not in done.stdout

    until(is_marked)
    [segment] = server.audit.glob("*.jsonl")
    text = segment.read_text()
    assert '"before"' in text
    segment.write_text(text.replace('"before"', '"behind"'))
    done = verify(ringfence, server)
    assert done.returncode == 1 and "not those that its last mark vouches for" in done.stdout
    # A crash does not help whoever did it.
    server.kill()
    server.start()
    assert "changed by hand" in server.stderr
    done = verify(ringfence, server)
    assert done.returncode == 1 and "after a stop its events were not those" in done.stdout


@pytest.mark.parametrize("what", ["changed", "cut", "removed", "removed whole", "newest removed"])
def test_a_change_by_hand_is_told(log, ringfence, what):
    _, second, third = sorted(log.audit.glob("*.jsonl.gz"))
    name = second.name.split(".jsonl")[0]
    if what == "changed":
        change(second, '"user-1"', '"user-9"')
    elif what == "cut":
        second.write_bytes(second.read_bytes()[:-40])
    elif what == "removed":
        second.unlink()
    else:
        gone = second if what == "removed whole" else third
        gone.unlink()
        (log.audit / gone.name.replace(".jsonl.gz", ".digest")).unlink()
        name = gone.name.split(".jsonl")[0]
    done = verify(ringfence, log)
    assert done.returncode == 1 and name in done.stdout and "not sound" in done.stdout, done
    log.start()
    assert ("is gone or changed" in log.stderr) == (what == "newest removed")


def test_the_oldest_segments_may_be_taken_away(log, ringfence):
    first = min(log.audit.glob("*.jsonl.gz"))
    first.unlink()
    (log.audit / first.name.replace(".jsonl.gz", ".digest")).unlink()
    done = verify(ringfence, log)
    assert done.returncode == 0 and f"begins after {first.name.split('.jsonl')[0]}" in done.stdout


def test_openssl_verifies_a_digest_by_the_public_key_alone(log, ringfence, tmp_path):
    openssl = Openssl(tmp_path)
    pem = tmp_path / "audit.pem"
    pem.write_text(ringfence("audit", "public-key", "--data", log.data).stdout)
    for digest in log.audit.glob("*.digest"):
        statement, signature = digest.read_text().splitlines()
        openssl.write("statement", statement.encode())
        openssl.write("signature", base64.b64decode(signature))
        openssl.ok(
            "pkeyutl", "-verify", "-rawin", "-pubin", "-inkey", pem,
            "-in", "statement", "-sigfile", "signature",
        )
        assert json.loads(statement)["format"] == 1
    # So does the command, without the store and on another machine.
    away = tmp_path / "away"
    log.audit.rename(away)
    done = ringfence("audit", "verify", "--audit", away, "--public-key", pem)
    assert ": sound: 3 closed segments" in done.stdout
    change(min(away.glob("*.jsonl.gz")), '"user-0"', '"user-9"')
    done = ringfence("audit", "verify", "--audit", away, "--public-key", pem, check=False)
    assert done.returncode == 1
    openssl.ok("genpkey", "-algorithm", "ed25519", "-out", "key.pem")
    openssl.ok("pkey", "-in", "key.pem", "-pubout", "-out", "other.pem")
    other = tmp_path / "other.pem"
    done = ringfence("audit", "verify", "--audit", away, "--public-key", other, check=False)
    assert done.returncode == 1 and "not signed by this key" in done.stdout


def test_what_a_crash_left_open_is_closed_at_the_next_start(start_server, ringfence):
    server = start_server()
    server.root().iam.create_user(UserName="acknowledged")
    server.kill()
    [segment] = server.audit.glob("*.jsonl")
    with segment.open("ab") as torn:
        torn.write(b'{"eventVersion":"1.')
    server.start()
    packed(server, 1)
    [digest] = server.audit.glob("*.digest")
    assert json.loads(digest.read_text().splitlines()[0])["recovered"]["torn"] == 19
    assert any(event["eventName"] == "CreateUser" for event in server.audit_events())
    assert verify(ringfence, server).returncode == 0


def test_servers_that_share_a_directory_report_on_what_any_of_them_recorded(
    start_server, ringfence, tmp_path
):
    with Postgres() as database:
        shared, url = tmp_path / "audit", database.url(database.database())
        seal = f"file:{tmp_path / 'root.key'}"
        options = ("--store", url, "--seal", seal, "--audit", shared)
        first, second = [start_server(*options) for _ in range(2)]
        root = first.root()
        iam = root.client("iam")
        iam.create_user(UserName="caller")
        iam.put_user_policy(
            UserName="caller", PolicyName="p",
            PolicyDocument=json.dumps({"Version": "2012-10-17", "Statement": [
                {"Effect": "Allow", "Action": ["iam:*", "kms:*"], "Resource": "*"}]}),
        )
        key = iam.create_access_key(UserName="caller")["AccessKey"]
        caller = first.principal(key["AccessKeyId"], key["SecretAccessKey"])
        until(lambda: answers(elsewhere(caller, second).client("sts").get_caller_identity))
        caller.client("iam").list_users()
        elsewhere(caller, second).client("kms").list_keys()
        arn = iam.get_user(UserName="caller")["User"]["Arn"]

        job = iam.generate_service_last_accessed_details(Arn=arn)["JobId"]

        def advised():
            answer = iam.get_service_last_accessed_details(JobId=job)
            return answer if answer["JobStatus"] == "COMPLETED" else None

        services = until(advised)["ServicesLastAccessed"]
        used = {service["ServiceNamespace"] for service in services if "LastAuthenticated" in service}
        assert used == {"iam", "kms"}

        done = ringfence("policy", "generate", "--principal", arn, "--data", shared)
        assert "iam:ListUsers" in done.stdout and "kms:ListKeys" in done.stdout
        for server in (first, second):
            server.stop()
        done = ringfence(
            "audit", "verify", "--data", first.data, "--store", url, "--seal", seal, "--audit", shared
        )
        assert done.stdout.count(": sound: 1 closed segments") == 2


def answers(call):
    try:
        return call()
    except Exception:
        return None
