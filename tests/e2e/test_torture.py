"""An acknowledged write survives kill -9, at whatever moment, under many writers.

Each round starts the server on the data of the rounds before, lets writers write through boto3,
kills the server at a random moment, and starts it again: every write that was acknowledged is
there, every acknowledged deletion is gone, and what was under way is there whole or not at all.
RINGFENCE_TORTURE_ROUNDS and RINGFENCE_TORTURE_SEED choose other rounds.
"""

import os
import random
import threading
import time

import pytest
from botocore.exceptions import BotoCoreError, ClientError

from world import allow, policy, tags

ROUNDS = int(os.environ.get("RINGFENCE_TORTURE_ROUNDS", "50"))
SEED = int(os.environ.get("RINGFENCE_TORTURE_SEED", str(random.randrange(1 << 32))))
WRITERS = 8
# How many living users a writer keeps in a round, so that all rounds stay within the 5,000 users that an
# account may have: one more of each writer may come from a call that the crash cut off.
LIVING = min(11, 5000 // (ROUNDS * WRITERS) - 1)
# Where the server is killed, in seconds after the writers have begun.
EARLIEST, LATEST = 0.05, 0.7


class Writer(threading.Thread):
    """Writes users of its own until the server is gone; knows what was acknowledged."""

    def __init__(self, root, round_number, number, seed):
        super().__init__(daemon=True)
        # A client a thread, made before the race begins.
        self.iam = root.client("iam")
        self.prefix = f"r{round_number}w{number}n"
        self.random = random.Random(seed)
        # User name -> what it must have. A user whose creation was not acknowledged may be there.
        self.users = {}
        self.unsure = set()
        self.deleted = set()
        self.acknowledged = 0
        self.failure = None

    def run(self):
        try:
            while True:
                self.step()
        except ClientError as error:
            # A crash is seen as a broken connection, never as an answer.
            self.failure = error
        except BotoCoreError:
            pass  # the server is gone

    def call(self, method, **parameters):
        getattr(self.iam, method)(**parameters)
        self.acknowledged += 1

    def step(self):
        choice = self.random.random()
        if not self.users or (choice < 0.35 and len(self.users) < LIVING):
            return self.create()
        name = self.random.choice(sorted(self.users))
        user = self.users[name]
        if choice < 0.55:
            self.put_policy(name, user)
        elif choice < 0.70:
            self.create_key(name, user)
        elif choice < 0.90:
            self.tag(name, user)
        else:
            self.delete(name, user)

    def create(self):
        name = f"{self.prefix}{self.acknowledged}"
        self.unsure.add(name)
        self.call("create_user", UserName=name, Tags=tags(made="yes"))
        self.unsure.discard(name)
        self.users[name] = {"policies": {}, "keys": set(), "tags": {"made": "yes"}, "racing": None}

    def put_policy(self, name, user):
        policy_name = f"p{self.random.randrange(3)}"
        bucket = f"arn:aws:s3:::b{self.random.randrange(1 << 30)}"
        before = user["policies"].get(policy_name)
        user["racing"] = ("policy", policy_name, {before, bucket})
        self.call(
            "put_user_policy", UserName=name, PolicyName=policy_name,
            PolicyDocument=policy(allow("s3:GetObject", bucket)),
        )
        user["policies"][policy_name] = bucket
        user["racing"] = None

    def create_key(self, name, user):
        if len(user["keys"]) == 2:
            key = self.random.choice(sorted(user["keys"]))
            user["racing"] = ("key", key)
            self.call("delete_access_key", UserName=name, AccessKeyId=key)
            user["keys"].discard(key)
        user["racing"] = ("new key",)
        made = self.iam.create_access_key(UserName=name)["AccessKey"]["AccessKeyId"]
        self.acknowledged += 1
        user["keys"].add(made)
        user["racing"] = None

    def tag(self, name, user):
        key, value = f"k{self.random.randrange(4)}", str(self.random.randrange(1 << 30))
        user["racing"] = ("tag", key, {user["tags"].get(key), value})
        self.call("tag_user", UserName=name, Tags=[{"Key": key, "Value": value}])
        user["tags"][key] = value
        user["racing"] = None

    def delete(self, name, user):
        if user["policies"] or user["keys"]:
            return
        del self.users[name]
        self.unsure.add(name)
        self.call("delete_user", UserName=name)
        self.unsure.discard(name)
        self.deleted.add(name)


def assert_kept(iam, writer, present):
    missing = set(writer.users) - present
    assert not missing, f"acknowledged users are gone: {sorted(missing)}"
    back = writer.deleted & present
    assert not back, f"deleted users are back: {sorted(back)}"
    for name, user in writer.users.items():
        racing = user["racing"] or ("nothing",)
        assert_policies_kept(iam, name, user, racing)
        assert_keys_kept(iam, name, user, racing)
        assert_tags_kept(iam, name, user, racing)


def assert_policies_kept(iam, name, user, racing):
    expected = dict(user["policies"])
    listed = set(iam.list_user_policies(UserName=name)["PolicyNames"])
    for policy_name in listed | set(expected):
        allowed = {expected.get(policy_name)}
        if racing[:2] == ("policy", policy_name):
            allowed = racing[2]
        found = None
        if policy_name in listed:
            document = iam.get_user_policy(UserName=name, PolicyName=policy_name)["PolicyDocument"]
            found = document["Statement"][0]["Resource"]
        assert found in allowed, f"{name} {policy_name}: {found}, not one of {allowed}"


def assert_keys_kept(iam, name, user, racing):
    found = {key["AccessKeyId"] for key in iam.list_access_keys(UserName=name)["AccessKeyMetadata"]}
    unsure = {racing[1]} if racing[0] == "key" else set()
    lost = user["keys"] - unsure - found
    assert not lost, f"acknowledged keys of {name} are gone: {lost}"
    more = found - user["keys"]
    assert len(more) <= (1 if racing[0] == "new key" else 0), f"keys of {name} from nowhere: {more}"


def assert_tags_kept(iam, name, user, racing):
    found = {tag["Key"]: tag["Value"] for tag in iam.list_user_tags(UserName=name)["Tags"]}
    for key in set(found) | set(user["tags"]):
        allowed = racing[2] if racing[:2] == ("tag", key) else {user["tags"].get(key)}
        assert found.get(key) in allowed, f"{name} {key}: {found.get(key)}, not one of {allowed}"


def all_users(iam):
    pages = iam.get_paginator("list_users").paginate(PaginationConfig={"PageSize": 1000})
    return {user["UserName"] for page in pages for user in page["Users"]}


@pytest.mark.torture
@pytest.mark.timeout(600)
def test_no_acknowledged_write_is_lost_by_kill_9_and_no_deletion_undone(
    start_server, ringfence, capsys
):
    assert LIVING >= 1, f"{ROUNDS} rounds do not fit into the quota on users"
    source = random.Random(SEED)
    server = start_server()
    settled, confirmed, gone = set(), set(), set()
    acknowledged, slowest_start, busy_rounds = 0, 0.0, 0
    for number in range(ROUNDS):
        root = server.root()
        writers = [
            Writer(root, number, index, source.getrandbits(64)) for index in range(WRITERS)
        ]
        for writer in writers:
            writer.start()
        time.sleep(source.uniform(EARLIEST, LATEST))
        server.kill()
        for writer in writers:
            writer.join(30)
            assert not writer.is_alive(), f"seed {SEED}: a writer hangs"
            assert writer.failure is None, f"seed {SEED}, round {number}: {writer.failure}"

        began = time.monotonic()
        server.start()
        slowest_start = max(slowest_start, time.monotonic() - began)
        iam = server.root().iam
        present = all_users(iam)
        for writer in writers:
            try:
                assert_kept(iam, writer, present)
            except AssertionError as error:
                raise AssertionError(f"seed {SEED}, round {number}: {error}") from None
            settled |= set(writer.users)
            confirmed |= set(writer.users)
            gone |= writer.deleted
            unsure = {name for name in writer.unsure if name in present}
            settled |= unsure
        # Rounds before this one are not touched by it.
        assert settled <= present and not gone & present, f"seed {SEED}, round {number}"
        stranger = present - settled
        assert not stranger, f"seed {SEED}, round {number}: users from nowhere: {stranger}"
        round_acknowledged = sum(writer.acknowledged for writer in writers)
        acknowledged += round_acknowledged
        busy_rounds += round_acknowledged > 0
    unrecorded = confirmed - audited_creations(server)
    assert not unrecorded, f"acknowledged and not in the audit log: {sorted(unrecorded)[:9]}"
    verified = ringfence("audit", "verify", "--data", server.data, check=False)
    assert verified.returncode == 0, f"seed {SEED}: {verified.stdout}"
    with capsys.disabled():
        print(
            f"\ntorture: {ROUNDS} rounds, {acknowledged} acknowledged writes, none lost;"
            f" slowest start {slowest_start * 1000:.0f} ms; seed {SEED}"
        )
    # A round in which nothing was acknowledged would prove nothing.
    assert busy_rounds >= ROUNDS * 0.9, f"only {busy_rounds} of {ROUNDS} rounds had writes"
    assert acknowledged >= ROUNDS * WRITERS
    server.stop()


def audited_creations(server):
    """Names in CreateUser events."""
    return {
        event["requestParameters"]["userName"]
        for event in server.audit_events() if event["eventName"] == "CreateUser"
    }
