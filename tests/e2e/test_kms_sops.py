"""sops keeps files whose values are encrypted with a data key, which our keys encrypt.

https://getsops.io/docs/usage/identities/amazon-aws-kms/
"""

import base64
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from world import allow, trust

PLAIN = {"db": {"user": "app", "password": "correct horse"}, "ports": [5432, 5433], "on": True}


def values(name, text):
    # sops indents JSON with tabs, which YAML has not.
    return json.loads(text) if name.endswith(".json") else yaml.safe_load(text)


class Sops:
    """The command in a folder of its own."""

    def __init__(self, command, folder):
        self.command, self.folder = command, folder

    def run(self, principal, *args, typed=None):
        return subprocess.run(
            [self.command, *map(str, args)],
            cwd=self.folder,
            env={
                "PATH": os.environ["PATH"],
                "HOME": str(self.folder),
                "AWS_EC2_METADATA_DISABLED": "true",
                "AWS_MAX_ATTEMPTS": "1",
                **principal.environment(),
            },
            input=typed,
            stdin=None if typed else subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=60,
        )

    def ok(self, principal, *args, **kwargs):
        done = self.run(principal, *args, **kwargs)
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    def refused(self, principal, *args):
        done = self.run(principal, *args)
        assert done.returncode != 0, done.stdout
        assert "correct horse" not in done.stdout
        return done.stderr

    def write(self, name, value=PLAIN):
        text = json.dumps(value) if name.endswith(".json") else yaml.safe_dump(value)
        (self.folder / name).write_text(text)

    def read(self, name):
        """A file's values as they stand, encrypted or not."""
        return values(name, (self.folder / name).read_text())

    def keys(self, name):
        """What the file says of the keys that open it."""
        return self.read(name)["sops"]["kms"]

    def opened(self, principal, name):
        return values(name, self.ok(principal, "decrypt", name))


@pytest.fixture
def sops(tmp_path):
    beside_python = Path(sys.executable).with_name("sops")
    command = str(beside_python) if beside_python.exists() else shutil.which("sops")
    if not command:
        pytest.exit("no sops: run the tests by `make e2e`", returncode=2)
    return Sops(command, tmp_path)


@pytest.fixture(scope="module")
def kms(root):
    return root.client("kms")


@pytest.fixture(scope="module")
def key(kms):
    return kms.create_key()["KeyMetadata"]["Arn"]


@pytest.mark.parametrize("name", ["secrets.yaml", "secrets.json"])
def test_a_file_is_encrypted_in_place_and_read_back(name, sops, root, key):
    sops.write(name)
    sops.ok(root, "encrypt", "--kms", key, "--in-place", name)
    sealed = sops.read(name)
    assert sealed["db"]["password"].startswith("ENC[AES256_GCM,") and len(sealed["ports"]) == 2
    assert "correct horse" not in (sops.folder / name).read_text()
    assert [one["arn"] for one in sops.keys(name)] == [key]
    assert sops.opened(root, name) == PLAIN
    assert sops.ok(root, "decrypt", "--extract", '["db"]["user"]', name) == "app"
    sops.ok(root, "set", name, '["db"]["user"]', '"other"')
    assert sops.opened(root, name)["db"]["user"] == "other"
    sops.ok(root, "decrypt", "--in-place", name)
    assert sops.read(name)["db"] == {"user": "other", "password": "correct horse"}


def test_the_data_key_in_the_file_is_opened_by_any_client(sops, root, kms, key):
    sops.write("a.yaml")
    sops.ok(root, "encrypt", "--kms", key, "--encryption-context", "app:web,stage:test", "-i", "a.yaml")
    (kept,) = sops.keys("a.yaml")
    assert kept["context"] == {"app": "web", "stage": "test"}
    opened = kms.decrypt(
        CiphertextBlob=base64.b64decode(kept["enc"]), EncryptionContext=kept["context"]
    )
    assert (opened["KeyId"], len(opened["Plaintext"])) == (key, 32)
    # And one that boto3 encrypts is opened by sops.
    document = sops.read("a.yaml")
    again = kms.encrypt(KeyId=key, Plaintext=opened["Plaintext"], EncryptionContext=kept["context"])
    document["sops"]["kms"][0]["enc"] = base64.b64encode(again["CiphertextBlob"]).decode()
    (sops.folder / "a.yaml").write_text(yaml.safe_dump(document, sort_keys=False))
    assert sops.opened(root, "a.yaml") == PLAIN


def test_an_alias_names_the_key(sops, root, kms, key):
    kms.create_alias(AliasName="alias/sops", TargetKeyId=key)
    alias = key.rsplit(":", 1)[0] + ":alias/sops"
    sops.write("a.json")
    sops.ok(root, "encrypt", "--kms", alias, "-i", "a.json")
    assert [one["arn"] for one in sops.keys("a.json")] == [alias]
    assert sops.opened(root, "a.json") == PLAIN


def test_the_encryption_context_is_bound_to_the_file(sops, root, key):
    sops.write("a.yaml")
    sops.ok(root, "encrypt", "--kms", key, "--encryption-context", "stage:test", "-i", "a.yaml")
    assert sops.opened(root, "a.yaml") == PLAIN
    document = sops.read("a.yaml")
    for other in ({"stage": "live"}, {"stage": "test", "more": "1"}, {}):
        document["sops"]["kms"][0]["context"] = other
        (sops.folder / "b.yaml").write_text(yaml.safe_dump(document, sort_keys=False))
        assert "InvalidCiphertextException" in sops.refused(root, "decrypt", "b.yaml")


def test_a_context_in_a_policy_says_which_files_are_read(sops, root, world, key):
    reader = world.user(
        allow("kms:Decrypt", key, Condition={
            "StringEquals": {"kms:EncryptionContext:stage": "test"}
        })
    )
    for stage in ("test", "live"):
        sops.write(f"{stage}.yaml")
        sops.ok(
            root, "encrypt", "--kms", key, "--encryption-context", f"stage:{stage}", "-i", f"{stage}.yaml"
        )
    assert sops.opened(reader, "test.yaml") == PLAIN
    assert "AccessDeniedException" in sops.refused(reader, "decrypt", "live.yaml")


def test_a_principal_without_decrypt_writes_and_does_not_read(sops, root, world, key):
    writer, nobody = world.user(allow("kms:Encrypt", key)), world.user()
    sops.write("a.yaml")
    assert "AccessDeniedException" in sops.refused(nobody, "encrypt", "--kms", key, "a.yaml")
    sops.ok(writer, "encrypt", "--kms", key, "-i", "a.yaml")
    for who in (writer, nobody):
        said = sops.refused(who, "decrypt", "a.yaml")
        assert "AccessDeniedException" in said
        said = " ".join(said.replace("|", " ").split())
        assert f"User: {who.user_arn} is not authorized to perform: kms:Decrypt" in said
    assert sops.opened(root, "a.yaml") == PLAIN


def test_a_role_is_assumed_to_use_the_key(sops, world, key, kms, server):
    user = world.user(allow("sts:AssumeRole"))
    stranger = world.user()
    role = world.role(
        allow(["kms:Encrypt", "kms:Decrypt"], key), trusted=[trust(user.user_arn)]
    )
    sops.write("a.yaml")
    assert "AccessDeniedException" in sops.refused(user, "encrypt", "--kms", key, "a.yaml")
    sops.ok(user, "encrypt", "--kms", f"{key}+{role}", "-i", "a.yaml")
    assert sops.keys("a.yaml")[0]["role"] == role
    assert sops.opened(user, "a.yaml") == PLAIN
    decrypted = server.audit_event(
        lambda event: event["eventName"] == "Decrypt"
        and event["userIdentity"]["type"] == "AssumedRole"
    )
    issuer = decrypted["userIdentity"]["sessionContext"]["sessionIssuer"]
    assert issuer["arn"] == role
    said = " ".join(sops.refused(stranger, "decrypt", "a.yaml").replace("|", " ").split())
    assert f"{stranger.user_arn} is not authorized to perform: sts:AssumeRole" in said


def test_rotation_makes_a_new_data_key_and_changes_the_keys(sops, root, kms, key):
    other = kms.create_key()["KeyMetadata"]["Arn"]
    sops.write("a.yaml")
    sops.ok(root, "encrypt", "--kms", key, "--encryption-context", "stage:test", "-i", "a.yaml")

    def data_key():
        (kept,) = sops.keys("a.yaml")
        opened = kms.decrypt(
            CiphertextBlob=base64.b64decode(kept["enc"]), EncryptionContext=kept.get("context") or {}
        )
        return opened["Plaintext"]

    before, value = data_key(), sops.read("a.yaml")["db"]["password"]
    sops.ok(root, "rotate", "-i", "a.yaml")
    assert data_key() != before and sops.read("a.yaml")["db"]["password"] != value
    assert sops.opened(root, "a.yaml") == PLAIN
    # The file moves to another key.
    sops.ok(
        root, "rotate", "-i", "--add-kms", other, "--rm-kms", key,
        "--encryption-context", "stage:test", "a.yaml",
    )
    assert [one["arn"] for one in sops.keys("a.yaml")] == [other]
    assert sops.opened(root, "a.yaml") == PLAIN
    kms.disable_key(KeyId=other)
    assert "DisabledException" in sops.refused(root, "decrypt", "a.yaml")


def test_a_file_for_several_keys_is_read_with_each_and_updated_by_its_rules(sops, root, world, kms, key):
    other = kms.create_key()["KeyMetadata"]["Arn"]
    first, second = world.user(allow("kms:Decrypt", key)), world.user(allow("kms:*", other))
    sops.write("a.yaml")
    sops.ok(root, "encrypt", "--kms", f"{key},{other}", "-i", "a.yaml")
    assert sops.opened(first, "a.yaml") == sops.opened(second, "a.yaml") == PLAIN
    rules = {"creation_rules": [{"path_regex": r"\.yaml$", "kms": other}]}
    (sops.folder / ".sops.yaml").write_text(yaml.safe_dump(rules))
    sops.ok(second, "updatekeys", "--yes", "a.yaml")
    assert [one["arn"] for one in sops.keys("a.yaml")] == [other]
    assert "AccessDeniedException" in sops.refused(first, "decrypt", "a.yaml")
    assert sops.opened(second, "a.yaml") == PLAIN
    # Rules name the keys of new files.
    sops.write("b.yaml")
    sops.ok(second, "encrypt", "-i", "b.yaml")
    assert [one["arn"] for one in sops.keys("b.yaml")] == [other]


def test_a_program_is_started_with_the_values(sops, root, key):
    (sops.folder / "a.env").write_text("WORD=correct horse\n")
    sops.ok(root, "encrypt", "--kms", key, "-i", "a.env")
    assert "correct horse" not in (sops.folder / "a.env").read_text()
    assert sops.ok(root, "exec-env", "a.env", 'printf %s "$WORD"') == "correct horse"
