"""No key, grant, alias or scheduled deletion is lost by kill -9, and nothing revoked or called off is back.

Each round starts the server on the data of the rounds before, lets writers make and change keys of their
own, kills the server at a random moment, and starts it again: whatever was acknowledged is there as it was
left, what was under way is there whole or not at all, and every acknowledged ciphertext still opens.
RINGFENCE_KMS_TORTURE_ROUNDS and RINGFENCE_TORTURE_SEED choose other rounds.
"""

import os
import random
import threading
import time

import pytest
from botocore.exceptions import BotoCoreError, ClientError

ROUNDS = int(os.environ.get("RINGFENCE_KMS_TORTURE_ROUNDS", "20"))
SEED = int(os.environ.get("RINGFENCE_TORTURE_SEED", str(random.randrange(1 << 32))))
WRITERS = 6
# Where the server is killed, in seconds after the writers have begun.
EARLIEST, LATEST = 0.05, 0.5
OPERATIONS = ["Encrypt", "Decrypt"]


class Key:
    """What one key must be after a crash."""

    def __init__(self, key_id):
        self.id = key_id
        # What is acknowledged: ("tag", name), ("alias", name), ("grant", id), "state", "description",
        # "rotates" → its value; absent is None.
        self.facts = {"state": "Enabled", "description": ""}
        # The fact that was being changed, and both its values.
        self.racing = None
        # A grant that was being made is there under an id that nobody knows.
        self.granting = False
        self.revoked = set()
        # Ciphertexts and what they hold.
        self.blobs = []

    def allowed(self, fact):
        if self.racing and self.racing[0] == fact:
            return self.racing[1]
        return {self.facts.get(fact)}

    def of(self, kind):
        return {fact[1] for fact in self.facts if isinstance(fact, tuple) and fact[0] == kind}


class Writer(threading.Thread):
    """Makes and changes keys of its own until the server is gone; knows what was acknowledged."""

    def __init__(self, root, account, round_number, number, seed):
        super().__init__(daemon=True)
        self.kms = root.client("kms")
        self.account = account
        self.prefix = f"r{round_number}w{number}"
        self.random = random.Random(seed)
        self.keys = []
        self.making = False
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
        answer = getattr(self.kms, method)(**parameters)
        self.acknowledged += 1
        return answer

    def change(self, key, fact, value, method, **parameters):
        key.racing = (fact, {key.facts.get(fact), value})
        self.call(method, **parameters)
        if value is None:
            key.facts.pop(fact, None)
        else:
            key.facts[fact] = value
        key.racing = None

    def step(self):
        if not self.keys or self.random.random() < 0.15:
            return self.create()
        key = self.random.choice(self.keys)
        waiting = key.facts["state"] == "PendingDeletion"
        steps = [self.revoke, self.cancel if waiting else self.schedule]
        if not waiting:
            steps += [
                self.tag, self.untag, self.alias, self.describe, self.switch, self.rotate,
                self.encrypt, self.encrypt, self.grant, self.grant,
            ]
        self.random.choice(steps)(key)

    def create(self):
        self.making = True
        made = self.call("create_key", Description="", Tags=[{"TagKey": "of", "TagValue": self.prefix}])
        key = Key(made["KeyMetadata"]["KeyId"])
        key.facts["tag", "of"] = self.prefix
        self.keys.append(key)
        self.making = False

    def tag(self, key):
        name, value = f"t{self.random.randrange(4)}", str(self.random.randrange(1 << 30))
        self.change(key, ("tag", name), value, "tag_resource", KeyId=key.id,
                    Tags=[{"TagKey": name, "TagValue": value}])

    def untag(self, key):
        name = f"t{self.random.randrange(4)}"
        self.change(key, ("tag", name), None, "untag_resource", KeyId=key.id, TagKeys=[name])

    def alias(self, key):
        names = sorted(key.of("alias"))
        if names and self.random.random() < 0.5:
            name = self.random.choice(names)
            return self.change(key, ("alias", name), None, "delete_alias", AliasName=name)
        name = f"alias/{self.prefix}-{self.acknowledged}"
        self.change(key, ("alias", name), True, "create_alias", AliasName=name, TargetKeyId=key.id)

    def describe(self, key):
        text = str(self.random.randrange(1 << 30))
        self.change(key, "description", text, "update_key_description", KeyId=key.id, Description=text)

    def switch(self, key):
        state = self.random.choice(["Enabled", "Disabled"])
        method = "enable_key" if state == "Enabled" else "disable_key"
        self.change(key, "state", state, method, KeyId=key.id)

    def schedule(self, key):
        self.change(key, "state", "PendingDeletion", "schedule_key_deletion", KeyId=key.id)

    def cancel(self, key):
        self.change(key, "state", "Disabled", "cancel_key_deletion", KeyId=key.id)

    def rotate(self, key):
        if key.facts["state"] != "Enabled":
            return
        rotates = self.random.choice([True, False])
        method = "enable_key_rotation" if rotates else "disable_key_rotation"
        try:
            self.change(key, "rotates", rotates, method, KeyId=key.id)
            if rotates:
                self.call("rotate_key_on_demand", KeyId=key.id)
        except ClientError as error:
            code = error.response["Error"]["Code"]
            # Ten on-demand rotations a key, and a binary that has none.
            if code not in ("LimitExceededException", "UnknownOperationException", "ConflictException"):
                raise
            key.racing = None

    def encrypt(self, key):
        if key.facts["state"] != "Enabled":
            return
        plaintext = str(self.random.randrange(1 << 60)).encode()
        context = {"of": self.prefix}
        blob = self.call("encrypt", KeyId=key.id, Plaintext=plaintext, EncryptionContext=context)
        key.blobs.append((blob["CiphertextBlob"], context, plaintext))

    def grant(self, key):
        if key.facts["state"] != "Enabled":
            return
        key.granting = True
        made = self.call(
            "create_grant", KeyId=key.id, GranteePrincipal=f"arn:aws:iam::{self.account}:root",
            Operations=OPERATIONS,
        )
        key.facts["grant", made["GrantId"]] = True
        key.granting = False

    def revoke(self, key):
        grants = sorted(key.of("grant"))
        if not grants:
            return
        grant = self.random.choice(grants)
        self.change(key, ("grant", grant), None, "revoke_grant", KeyId=key.id, GrantId=grant)
        key.revoked.add(grant)


def everything(kms, method, entry, **parameters):
    pages = kms.get_paginator(method).paginate(**parameters)
    return [one for page in pages for one in page[entry]]


def assert_kept(kms, key):
    shown = kms.describe_key(KeyId=key.id)["KeyMetadata"]
    found = {"state": shown["KeyState"], "description": shown["Description"]}
    for tag in everything(kms, "list_resource_tags", "Tags", KeyId=key.id):
        found["tag", tag["TagKey"]] = tag["TagValue"]
    for alias in everything(kms, "list_aliases", "Aliases", KeyId=key.id):
        found["alias", alias["AliasName"]] = True
    for grant in everything(kms, "list_grants", "Grants", KeyId=key.id):
        assert grant["Operations"] == OPERATIONS
        found["grant", grant["GrantId"]] = True
    found["rotates"] = rotates(kms, key)
    strangers = set()
    for fact in set(found) | set(key.facts):
        value, allowed = found.get(fact), key.allowed(fact)
        if fact == "rotates":
            allowed = {bool(one) for one in allowed}
        if isinstance(fact, tuple) and fact[0] == "grant" and allowed == {None}:
            strangers.add(fact[1])
            continue
        assert value in allowed, f"{key.id} {fact}: {value}, not one of {allowed}"
    back = strangers & key.revoked
    assert not back, f"{key.id}: revoked grants are back: {back}"
    assert len(strangers) <= int(key.granting), f"{key.id}: grants from nowhere: {strangers}"
    # What was under way is settled now.
    key.facts, key.racing, key.granting = found, None, False


def rotates(kms, key):
    try:
        return kms.get_key_rotation_status(KeyId=key.id)["KeyRotationEnabled"]
    except ClientError as error:
        # A binary that has no rotation rotates nothing.
        assert error.response["Error"]["Code"] == "UnknownOperationException", str(error)
        return False


def assert_opens(kms, key):
    if key.facts["state"] != "Enabled":
        return 0
    for blob, context, plaintext in key.blobs:
        assert kms.decrypt(CiphertextBlob=blob, EncryptionContext=context)["Plaintext"] == plaintext
    return len(key.blobs)


@pytest.mark.torture
@pytest.mark.timeout(600)
def test_nothing_acknowledged_of_kms_is_lost_by_kill_9_and_nothing_taken_back_is_back(start_server, capsys):
    source = random.Random(SEED)
    server = start_server()
    account = server.root().account
    keys, known = [], set()
    acknowledged, busy_rounds, opened = 0, 0, 0
    for number in range(ROUNDS):
        where = f"seed {SEED}, round {number}"
        root = server.root()
        writers = [
            Writer(root, account, number, index, source.getrandbits(64)) for index in range(WRITERS)
        ]
        for writer in writers:
            writer.start()
        time.sleep(source.uniform(EARLIEST, LATEST))
        server.kill()
        for writer in writers:
            writer.join(30)
            assert not writer.is_alive(), f"{where}: a writer hangs"
            assert writer.failure is None, f"{where}: {writer.failure}"
        server.start()
        kms = server.root().client("kms")
        present = {one["KeyId"] for one in everything(kms, "list_keys", "Keys")}
        made = [key for writer in writers for key in writer.keys]
        known |= {key.id for key in made}
        assert known <= present, f"{where}: acknowledged keys are gone: {known - present}"
        strangers = present - known
        assert len(strangers) <= sum(writer.making for writer in writers), f"{where}: keys from nowhere"
        known |= strangers
        for key in made:
            try:
                assert_kept(kms, key)
                opened += assert_opens(kms, key)
            except AssertionError as error:
                raise AssertionError(f"{where}: {error}") from None
        keys += made
        round_acknowledged = sum(writer.acknowledged for writer in writers)
        acknowledged += round_acknowledged
        busy_rounds += round_acknowledged > 0
    # No later round touched the earlier ones; and with every key switched on, everything opens.
    kms = server.root().client("kms")
    sealed = 0
    for key in keys:
        assert_kept(kms, key)
        if key.facts["state"] == "PendingDeletion":
            kms.cancel_key_deletion(KeyId=key.id)
        kms.enable_key(KeyId=key.id)
        key.facts["state"] = "Enabled"
        sealed += assert_opens(kms, key)
    with capsys.disabled():
        print(
            f"\nKMS torture: {ROUNDS} rounds, {len(keys)} keys, {acknowledged} acknowledged calls, none"
            f" lost; {sealed} ciphertexts open; seed {SEED}"
        )
    # A round in which nothing was acknowledged would prove nothing.
    assert busy_rounds >= ROUNDS * 0.9, f"only {busy_rounds} of {ROUNDS} rounds had writes"
    assert acknowledged >= ROUNDS * WRITERS and sealed and opened
    server.stop()
