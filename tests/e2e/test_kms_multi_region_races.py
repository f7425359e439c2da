"""Changes of a multi-Region key that come at once: whatever their order, there is one primary key
afterwards, nothing that was encrypted is lost, and no primary key goes before its replicas.

https://docs.aws.amazon.com/kms/latest/developerguide/multi-region-keys-overview.html
"""

import threading
import time

import pytest
from botocore.exceptions import ClientError

from world import World

HERE, THERE, ELSEWHERE = REGIONS = ("us-east-1", "eu-west-1", "us-west-2")
ROUNDS = 30


@pytest.fixture(scope="module")
def kms(dev):
    """Clients by region, and further ones of the first region, whose connections are open."""
    root = dev.principal("test", "test")
    clients = {region: root.client("kms", region) for region in REGIONS}
    clients["more"] = [root.client("kms", HERE) for _ in range(2)]
    for client in clients["more"]:
        client.list_keys()
    return clients


def pass_days(dev, days):
    assert dev.post_json("/_ringfence/clock", {"advance_seconds": int(days * 86400)})[0] == 200


def at_once(*calls):
    """Runs calls at the same moment; for each, whether it was let."""
    start, results = threading.Barrier(len(calls)), [None] * len(calls)

    def run(at, call):
        start.wait()
        try:
            call()
            results[at] = True
        except ClientError as error:
            assert error.response["ResponseMetadata"]["HTTPStatusCode"] < 500, error
            results[at] = False

    threads = [threading.Thread(target=run, args=each) for each in enumerate(calls)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return results


def made(kms, *replicas):
    key = kms[HERE].create_key(MultiRegion=True)["KeyMetadata"]["KeyId"]
    for region in replicas:
        kms[HERE].replicate_key(KeyId=key, ReplicaRegion=region)
    return key


def primary(kms, key, region):
    described = kms[region].describe_key(KeyId=key)["KeyMetadata"]
    return described["MultiRegionConfiguration"]["PrimaryKey"]["Region"]


def assert_opens_everywhere(kms, regions, blobs):
    for blob in blobs:
        for region in regions:
            assert kms[region].decrypt(CiphertextBlob=blob)["Plaintext"] == b"x"


def test_of_two_changes_of_the_primary_region_one_wins(kms, dev):
    first, second = kms["more"]
    for _ in range(ROUNDS):
        key = made(kms, THERE, ELSEWHERE)
        at_once(
            lambda: first.update_primary_region(KeyId=key, PrimaryRegion=THERE),
            lambda: second.update_primary_region(KeyId=key, PrimaryRegion=ELSEWHERE),
        )
        named = {primary(kms, key, region) for region in REGIONS}
        assert len(named) == 1, named
        leader = named.pop()
        blobs = [kms[region].encrypt(KeyId=key, Plaintext=b"x")["CiphertextBlob"] for region in REGIONS]
        kms[leader].rotate_key_on_demand(KeyId=key)
        blobs += [kms[region].encrypt(KeyId=key, Plaintext=b"x")["CiphertextBlob"] for region in REGIONS]
        for region in REGIONS:
            if region != leader:
                with pytest.raises(ClientError):
                    kms[region].rotate_key_on_demand(KeyId=key)
        assert_opens_everywhere(kms, REGIONS, blobs)


def test_nothing_is_lost_of_a_key_that_is_rotated_while_its_primary_region_changes(kms, dev):
    mover, rotator = kms["more"]
    both = 0
    for round in range(ROUNDS):
        key, blobs = made(kms, THERE), []

        def encrypt():
            for _ in range(12):
                blobs.append(kms[HERE].encrypt(KeyId=key, Plaintext=b"x")["CiphertextBlob"])

        def move():
            time.sleep(round % 8 / 1000)
            mover.update_primary_region(KeyId=key, PrimaryRegion=THERE)

        results = at_once(move, lambda: rotator.rotate_key_on_demand(KeyId=key), encrypt)
        both += all(results)
        leader = primary(kms, key, HERE)
        assert leader == primary(kms, key, THERE)
        # What the next rotation makes takes no place of what is in use.
        kms[leader].rotate_key_on_demand(KeyId=key)
        pass_days(dev, 0)
        assert_opens_everywhere(kms, (HERE, THERE), blobs)
    assert both, "no round had both changes: it shows nothing"


def test_no_primary_key_goes_before_a_replica_that_was_made_meanwhile(kms, dev):
    first, second = kms["more"]
    replicated = []
    for _ in range(ROUNDS):
        key = made(kms)
        _, there = at_once(
            lambda: first.schedule_key_deletion(KeyId=key, PendingWindowInDays=7),
            lambda: second.replicate_key(KeyId=key, ReplicaRegion=THERE),
        )
        if there:
            replicated.append(key)
    assert replicated, "no round made a replica: it shows nothing"
    pass_days(dev, 0)
    for key in replicated:
        described = kms[HERE].describe_key(KeyId=key)["KeyMetadata"]
        assert described["KeyState"] == "PendingReplicaDeletion"
    pass_days(dev, 8)
    for key in replicated:
        assert primary(kms, key, THERE) == HERE
        kms[HERE].cancel_key_deletion(KeyId=key)
        kms[HERE].enable_key(KeyId=key)
        kms[HERE].rotate_key_on_demand(KeyId=key)


def test_a_key_that_becomes_primary_while_it_is_to_be_deleted_waits_for_its_replicas(kms, dev):
    first, second = kms["more"][0], kms[THERE]
    for _ in range(ROUNDS):
        key = made(kms, THERE)
        moved, scheduled = at_once(
            lambda: first.update_primary_region(KeyId=key, PrimaryRegion=THERE),
            lambda: second.schedule_key_deletion(KeyId=key, PendingWindowInDays=7),
        )
        pass_days(dev, 0)
        described = kms[THERE].describe_key(KeyId=key)["KeyMetadata"]
        if scheduled:
            expected = "PendingReplicaDeletion" if moved else "PendingDeletion"
            assert described["KeyState"] == expected
        assert primary(kms, key, THERE) == (THERE if moved else HERE)


def test_policies_for_regions_hold_for_keys_in_other_regions(kms, dev):
    """A policy that shuts regions holds where a call in an open one makes a key in them, or moves it there."""

    world = World(dev.principal("test", "test"))
    shut = {
        "Effect": "Deny", "Action": "*", "Resource": "*",
        "Condition": {"StringNotEquals": {"aws:RequestedRegion": HERE}},
    }
    let = {"Effect": "Allow", "Action": "kms:*", "Resource": "*"}
    user = world.user(let, shut).client("kms", HERE)
    key = made(kms, ELSEWHERE)
    for call in (
        lambda: user.replicate_key(KeyId=key, ReplicaRegion=THERE),
        lambda: user.update_primary_region(KeyId=key, PrimaryRegion=ELSEWHERE),
    ):
        with pytest.raises(ClientError) as refused:
            call()
        assert refused.value.response["Error"]["Code"] == "AccessDeniedException"
        assert "explicit deny" in refused.value.response["Error"]["Message"]
