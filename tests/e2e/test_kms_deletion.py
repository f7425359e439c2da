"""The end of a KMS key: at its time and not before, whole, and for good.

https://docs.aws.amazon.com/kms/latest/developerguide/deleting-keys.html
"""

import sqlite3
import time

import pytest

import faketime
import kms_calls as calls
from clients import refusal
from kms_calls import CONTEXT, ENCAPSULATION, MAC, RSA, SIGNING, SYMMETRIC, Bench
from world import unique

DAY = 24 * 60 * 60


@pytest.fixture
def dev(start_server):
    """A server of its own for each test: they move its clock."""
    server = start_server(dev=True)
    yield server
    server.stop()


def advance(server, seconds):
    status, _, _ = server.post_json("/_ringfence/clock", {"advance_seconds": seconds})
    assert status == 200


def everything(kms, method, entry, **parameters):
    pages = kms.get_paginator(method).paginate(**parameters)
    return [one for page in pages for one in page[entry]]


USES = {
    SYMMETRIC: [calls.DECRYPT, calls.DECRYPT_BY_BLOB, calls.ENCRYPT, calls.RE_ENCRYPT], RSA: [calls.DECRYPT_RSA],
    SIGNING: [calls.VERIFY, calls.SIGN, calls.PUBLIC_KEY], MAC: [calls.VERIFY_MAC],
    ENCAPSULATION: [calls.DECAPSULATE],
}


@pytest.mark.parametrize("days", [7, 30])
def test_a_key_goes_at_its_time_and_not_before(days, dev):
    root = dev.principal("test", "x")
    benches = {kind: Bench(root, kind).ready() for kind in USES}
    for bench in benches.values():
        told = bench.kms.schedule_key_deletion(KeyId=bench.id, PendingWindowInDays=days)
        assert (told["KeyState"], told["PendingWindowInDays"]) == ("PendingDeletion", days)
        shown = bench.kms.describe_key(KeyId=bench.id)["KeyMetadata"]
        assert shown["DeletionDate"] == told["DeletionDate"]
    advance(dev, days * DAY - 60)
    for kind, uses in USES.items():
        bench = benches[kind]
        shown = bench.kms.describe_key(KeyId=bench.id)["KeyMetadata"]
        assert shown["KeyState"] == "PendingDeletion"
        for call in uses:
            assert refusal(call.make, bench.kms, bench).code == "KMSInvalidStateException"
    saved = Bench(root).ready()
    saved.kms.schedule_key_deletion(KeyId=saved.id, PendingWindowInDays=7)
    advance(dev, 61)
    for kind, uses in USES.items():
        bench = benches[kind]
        for call in (calls.DESCRIBE, calls.CANCEL_DELETION, calls.GET_POLICY, calls.LIST_GRANTS):
            assert refusal(call.make, bench.kms, bench).code == "NotFoundException"
        for call in uses:
            # A ciphertext tells its key; nothing is told of whether there ever was one.
            code = "AccessDeniedException" if call in (calls.DECRYPT_BY_BLOB, calls.RE_ENCRYPT) else "NotFoundException"
            assert refusal(call.make, bench.kms, bench).code == code, call.operation
    ids = {one["KeyId"] for one in everything(saved.kms, "list_keys", "Keys")}
    assert saved.id in ids and not ids & {bench.id for bench in benches.values()}
    saved.kms.cancel_key_deletion(KeyId=saved.id)
    saved.kms.enable_key(KeyId=saved.id)
    assert calls.DECRYPT.make(saved.kms, saved)


def test_a_deletion_that_was_called_off_does_not_happen(dev):
    bench = Bench(dev.principal("test", "x")).ready()
    bench.kms.schedule_key_deletion(KeyId=bench.id, PendingWindowInDays=7)
    bench.kms.cancel_key_deletion(KeyId=bench.id)
    advance(dev, 31 * DAY)
    assert bench.kms.describe_key(KeyId=bench.id)["KeyMetadata"]["KeyState"] == "Disabled"
    bench.kms.enable_key(KeyId=bench.id)
    assert calls.DECRYPT.make(bench.kms, bench)


def test_a_deletion_that_is_scheduled_anew_counts_from_then(dev):
    bench = Bench(dev.principal("test", "x")).ready()
    bench.kms.schedule_key_deletion(KeyId=bench.id, PendingWindowInDays=7)
    advance(dev, 6 * DAY)
    bench.kms.cancel_key_deletion(KeyId=bench.id)
    bench.kms.schedule_key_deletion(KeyId=bench.id, PendingWindowInDays=7)
    advance(dev, 6 * DAY)
    assert bench.kms.describe_key(KeyId=bench.id)["KeyMetadata"]["KeyState"] == "PendingDeletion"
    advance(dev, DAY + 1)
    assert refusal(calls.DESCRIBE.make, bench.kms, bench).code == "NotFoundException"


def test_with_a_key_go_its_aliases_grants_and_tokens(dev):
    root = dev.principal("test", "x")
    bench, other = Bench(root).ready(), Bench(root)
    name = "alias/" + unique("app")
    bench.kms.create_alias(AliasName=name, TargetKeyId=bench.id)
    grant = bench.grant(root.arn, "Decrypt", RetiringPrincipal=root.arn)
    bench.kms.schedule_key_deletion(KeyId=bench.id, PendingWindowInDays=7)
    # Until then they are there.
    assert name in {one["AliasName"] for one in everything(bench.kms, "list_aliases", "Aliases")}
    assert bench.kms.list_retirable_grants(RetiringPrincipal=root.arn)["Grants"]
    advance(dev, 7 * DAY + 1)
    assert name not in {one["AliasName"] for one in everything(bench.kms, "list_aliases", "Aliases")}
    assert refusal(bench.kms.describe_key, KeyId=name).code == "NotFoundException"
    assert bench.kms.list_retirable_grants(RetiringPrincipal=root.arn)["Grants"] == []
    refused = refusal(bench.kms.retire_grant, GrantToken=grant["GrantToken"])
    assert refused.code == "NotFoundException", str(refused)
    refused = refusal(bench.kms.list_aliases, KeyId=bench.id)
    assert refused.code == "NotFoundException", str(refused)
    # Its name is free.
    bench.kms.create_alias(AliasName=name, TargetKeyId=other.id)
    assert bench.kms.describe_key(KeyId=name)["KeyMetadata"]["KeyId"] == other.id
    assert refusal(calls.DECRYPT_BY_BLOB.make, bench.kms, bench).code == "AccessDeniedException"


# --- at rest ----------------------------------------------------------------------------------


def sealed_values(data):
    """The sealed values of a stopped store: what a thief of the disk and of the seal could open."""
    with sqlite3.connect(f"file:{data / 'store.db'}?mode=ro", uri=True) as store:
        return {bytes(value) for (value,) in store.execute("SELECT value FROM entries")}


def held(data, values):
    """Those of some values of which a part lies in a file of the store."""
    files = [path.read_bytes() for path in sorted(data.glob("store.db*"))]
    # SQLite keeps long values in several pages: any 64 bytes of a sealed value are its own.
    def pieces(value):
        return [value[at : at + 64] for at in range(0, len(value) - 64, 64)]

    return {
        value for value in values
        if any(piece in content for piece in pieces(value) for content in files)
    }


@pytest.fixture(scope="module")
def later():
    try:
        return faketime.days_later(8)
    except RuntimeError as error:
        pytest.skip(str(error))


def assert_forgotten(server, before):
    """Of what was sealed before, soon only what the store still has lies in its files."""
    deadline = time.monotonic() + 30
    while True:
        left = held(server.data, before - sealed_values(server.data))
        if not left or time.monotonic() > deadline:
            break
        time.sleep(0.1)
    assert not left, f"{len(left)} sealed values that are no longer the store's lie in its files"


@pytest.mark.one_process("the files of one data directory")
def test_imported_material_that_is_deleted_lies_in_no_file_of_the_store(start_server):
    server = start_server()
    kms = server.root().client("kms")
    bench = Bench(server.root(), Origin="EXTERNAL")
    calls.IMPORT.make(kms, bench)
    assert bench.blob
    before = sealed_values(server.data)
    kms.tag_resource(KeyId=bench.id, Tags=[{"TagKey": "a", "TagValue": "b"}])
    before |= sealed_values(server.data)
    assert held(server.data, before - sealed_values(server.data)), "there is nothing to forget"
    kms.delete_imported_key_material(KeyId=bench.id)
    # Whoever was answered finds it so, without waiting.
    assert not held(server.data, before - sealed_values(server.data))
    assert refusal(calls.DECRYPT_BY_BLOB.make, kms, bench).code == "KMSInvalidStateException"
    server.kill()
    server.start()
    kms = server.root().client("kms")
    assert refusal(calls.DECRYPT_BY_BLOB.make, kms, bench).code == "KMSInvalidStateException"
    calls.IMPORT.make(kms, bench)
    assert calls.DECRYPT_BY_BLOB.make(kms, bench)


@pytest.mark.one_process("the files of one data directory")
def test_what_was_sealed_of_a_deleted_key_lies_in_no_file_of_the_store(start_server, later):
    server = start_server()
    root = server.root()
    kept, bench = Bench(root).ready(), Bench(root).ready()
    server.stop()
    before = sealed_values(server.data)
    server.start()
    bench.kms = kept.kms = server.root().client("kms")
    # Changed, so that older values of it were written.
    for number in range(5):
        bench.kms.update_key_description(KeyId=bench.id, Description=f"{number}")
        server.stop()
        before |= sealed_values(server.data)
        server.start()
    bench.kms.schedule_key_deletion(KeyId=bench.id, PendingWindowInDays=7)
    server.stop()
    before |= sealed_values(server.data)
    assert before and held(server.data, sealed_values(server.data)), "the search finds nothing"

    # The server is eight days older, and its upkeep does what is due. Clients are not, so none calls.
    server.env = later
    server.start()
    server.audit_event(lambda event: event["eventName"] == "DeleteKey", limit_seconds=30)
    assert_forgotten(server, before)
    server.kill()

    server.env = {}
    server.start()
    kms = server.root().client("kms")
    assert refusal(calls.DECRYPT_BY_BLOB.make, kms, bench).code == "AccessDeniedException"
    assert kms.decrypt(CiphertextBlob=kept.blob, EncryptionContext=CONTEXT)["Plaintext"] == b"x"
    ids = {one["KeyId"] for one in everything(kms, "list_keys", "Keys")}
    assert kept.id in ids and bench.id not in ids


def test_the_end_of_a_key_and_its_rotation_by_the_calendar_are_events_of_the_service(start_server):
    """https://docs.aws.amazon.com/kms/latest/developerguide/ct-delete-key.html"""
    try:
        much_later = faketime.days_later(91)
    except RuntimeError as error:
        pytest.skip(str(error))
    server = start_server()
    kms = server.root().client("kms")
    gone, kept = (kms.create_key()["KeyMetadata"] for _ in range(2))
    kms.enable_key_rotation(KeyId=kept["KeyId"], RotationPeriodInDays=90)
    kms.schedule_key_deletion(KeyId=gone["KeyId"], PendingWindowInDays=7)
    server.stop()
    server.env = much_later
    server.start()

    def own():
        return [event for event in server.audit_events() if event["eventType"] == "AwsServiceEvent"]

    deadline = time.monotonic() + 30
    while len(own()) < 2 and time.monotonic() < deadline:
        time.sleep(0.1)
    told = sorted((event["eventName"], event["resources"][0]["ARN"]) for event in own())
    assert told == [("DeleteKey", gone["Arn"]), ("RotateKey", kept["Arn"])]
    for event in own():
        account = gone["AWSAccountId"]
        assert event["userIdentity"] == {"accountId": account, "invokedBy": "AWS Internal"}
        assert event["eventSource"] == "kms.amazonaws.com" and event["awsRegion"] == "us-east-1"
        assert event["readOnly"] is False and event["recipientAccountId"] == account
        assert event["serviceEventDetails"]["keyId"] == event["resources"][0]["ARN"].rsplit("/")[-1]
