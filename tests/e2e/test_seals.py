"""What protects a data directory's root key: each kind of seal, and changing it while a server runs."""

import base64
import json
import random
import shutil
import signal
import subprocess
import tarfile
import time
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from clients import Principal, refusal
from softhsm import PIN, Tokens
from swtpm import Swtpm
from world import World, allow

pytestmark = pytest.mark.one_process("the seal of one data directory")

OLD = Path(__file__).with_name("old_seals")
PASSPHRASE = "correct horse battery staple"
CREDENTIAL = bytes(range(128, 176)) + b"\n"
KINDS = ["key file", "passphrase", "systemd credential", "TPM", "PKCS#11 token", "KMS"]


@dataclass
class Seal:
    """What --seal says, and what else a process needs to open by it."""

    kind: str
    text: str
    env: dict = field(default_factory=dict)
    # Never to be seen in a file or in what is printed.
    secrets: list = field(default_factory=list)
    # Further things that a test may turn.
    holder: object = None


class UnsealingKms:
    """Another Ringfence, whose key wraps root keys, and the user that may use it for that."""

    def __init__(self, start_server):
        self.server = start_server()
        self.world = World(self.server.root())
        self.kms = self.server.root().client("kms")
        self.key = self.kms.create_key(Description="seals")["KeyMetadata"]["Arn"]
        self.user = self.world.user(allow(["kms:Encrypt", "kms:Decrypt"], self.key))

    def seal(self):
        return Seal(
            "KMS",
            f"kms:{self.key}@{self.server.url}",
            {"AWS_ACCESS_KEY_ID": self.user.access_key_id, "AWS_SECRET_ACCESS_KEY": self.user.secret},
            [self.user.secret.encode()],
            self,
        )


@pytest.fixture(scope="module")
def unsealing_kms(start_server):
    return UnsealingKms(start_server)


@pytest.fixture
def tpm(tmp_path):
    made = Swtpm(tmp_path / "tpm")
    yield made
    made.stop()


@pytest.fixture
def seal_of(tmp_path, request):
    """Makes a seal of a kind."""
    made = []

    def make(kind):
        folder = tmp_path / f"seal {len(made)}"
        made.append(kind)
        folder.mkdir()
        match kind:
            case "key file":
                return Seal(kind, f"file:{folder}/root.key")
            case "passphrase":
                (folder / "passphrase").write_text(PASSPHRASE + "\n")
                return Seal(kind, f"passphrase:file:{folder}/passphrase", secrets=[PASSPHRASE.encode()])
            case "systemd credential":
                (folder / "root").write_bytes(CREDENTIAL)
                env = {"CREDENTIALS_DIRECTORY": str(folder)}
                return Seal(kind, "systemd:root", env, [CREDENTIAL])
            case "TPM":
                tpm = request.getfixturevalue("tpm")
                return Seal(kind, f"tpm:tcp:127.0.0.1:{tpm.port}", holder=tpm)
            case "PKCS#11 token":
                tokens = Tokens(folder)
                tokens.make("seals")
                (folder / "pin").write_text(PIN + "\n")
                uri = f"pkcs11:token=seals;object=root%20key?module-path={tokens.library}"
                pin = f"&pin-source=file:{folder.as_posix().replace(' ', '%20')}/pin"
                return Seal(kind, uri + pin, tokens.env, [PIN.encode()], tokens)
            case "KMS":
                return request.getfixturevalue("unsealing_kms").seal()
        raise AssertionError(kind)

    return make


@pytest.fixture
def started(start_server):
    """Starts a server that is sealed so, and has a user."""

    def start(seal, data=None):
        server = start_server("--seal", seal.text, env=seal.env, data=data)
        server.root().iam.create_user(UserName="before")
        return server

    return start


def seal_file(data):
    return json.loads((data / "seal.json").read_text())


@pytest.fixture
def opens(ringfence):
    """Whether a data directory opens by a seal, with the store in it."""

    def check(data, seal):
        done = ringfence("env", "--data", data, "--seal", seal.text, env=seal.env, check=False)
        assert (done.returncode == 0) == ("export AWS_ACCESS_KEY_ID=" in done.stdout), done.stderr
        for secret in seal.secrets:
            assert secret.decode("latin-1") not in done.stderr
        return done.returncode == 0

    return check


@pytest.mark.parametrize("kind", KINDS)
def test_a_store_opens_with_its_seal_and_a_copy_of_the_directory_with_the_seal_alone(
    kind, seal_of, started, opens, ringfence, tmp_path
):
    seal = seal_of(kind)
    server = started(seal)
    assert (f"seal    {kind}" if kind != "systemd credential" else "systemd credential") in server.stdout
    server.kill()
    copy = tmp_path / "copy"
    shutil.copytree(server.data, copy)
    if kind == "TPM":
        seal.holder.restart()
    assert opens(copy, seal)
    for other in ["key file", "passphrase", "systemd credential"]:
        if other != kind:
            assert not opens(copy, seal_of(other))
    server.start()
    assert server.root().iam.get_user(UserName="before")["User"]["UserName"] == "before"
    status = ringfence("seal", "status", "--data", copy)
    assert status.stdout.startswith(f"seal      {kind}\n"), status.stdout
    for path in server.data.rglob("*"):
        if path.is_file():
            content = path.read_bytes()
            assert not any(secret in content for secret in seal.secrets), path


@pytest.mark.parametrize("kind", KINDS)
def test_a_root_key_is_rotated_while_the_server_serves(kind, seal_of, started, opens, ringfence, tmp_path):
    seal = seal_of(kind)
    server = started(seal)
    iam = server.root().iam
    before = seal_file(server.data)
    key_file = Path(seal.text.removeprefix("file:"))
    old_key = key_file.read_bytes() if kind == "key file" else None
    for generation in (2, 3):
        done = ringfence(
            "seal", "rotate", "--data", server.data, "--seal", seal.text, env=seal.env
        )
        assert f"root key {generation} is in force" in done.stdout
        iam.create_user(UserName=f"after-{generation}")
        assert opens(server.data, seal)
    after = seal_file(server.data)
    assert after["check"] != before["check"] and after["seal"] != before["seal"] or kind == "key file"
    assert after["base_keys"]["generations"] == before["base_keys"]["generations"]
    server.kill()
    server.start()
    names = {user["UserName"] for user in iam.list_users()["Users"]}
    assert {"before", "after-2", "after-3"} <= names
    if old_key:
        assert key_file.read_bytes() != old_key and key_file.stat().st_mode & 0o777 == 0o600
        former = tmp_path / "former.key"
        former.write_bytes(old_key)
        former.chmod(0o600)
        assert not opens(server.data, Seal(kind, f"file:{former}"))
        assert sorted(path.name for path in key_file.parent.iterdir()) == ["root.key"]


def test_a_store_moves_through_every_seal_while_its_server_serves(
    seal_of, started, opens, ringfence
):
    seals = [seal_of(kind) for kind in KINDS]
    server = started(seals[0])
    iam = server.root().iam
    there = [*seals[1:], seal_of("key file")]
    now = seals[0]
    for to in there:
        done = ringfence(
            "seal", "migrate", "--data", server.data, "--seal", now.text, "--to", to.text,
            env={**now.env, **to.env},
        )
        assert "start the server with its --seal from now on" in done.stdout
        assert not opens(server.data, now) and opens(server.data, to)
        iam.create_user(UserName=f"under-{to.kind.split()[0].replace('#', '')}-{there.index(to)}")
        now = to
    # The first key file went with the first move.
    assert not Path(seals[0].text.removeprefix("file:")).exists()
    server.stop()
    server.args = ["--seal", now.text]
    server.start()
    assert len(iam.list_users()["Users"]) == 1 + len(there)
    refused = ringfence(
        "seal", "rotate", "--data", server.data, "--seal", seals[1].text, check=False
    )
    assert refused.returncode != 0
    assert "sealed by a key file, but a passphrase seal was asked for" in refused.stderr


def test_the_default_key_file_is_gone_from_the_data_directory_once_another_seal_has_taken_over(
    start_server, seal_of, ringfence, opens
):
    server = start_server()
    assert (server.data / "root.key").exists()
    to = seal_of("passphrase")
    ringfence("seal", "migrate", "--data", server.data, "--to", to.text)
    names = {path.name for path in server.data.iterdir()}
    assert "seal.json" in names and not any("root.key" in name for name in names)
    assert opens(server.data, to)


def test_a_move_to_a_seal_that_fails_leaves_the_old_one(started, seal_of, opens, ringfence, tmp_path):
    seal = seal_of("passphrase")
    server = started(seal)
    before = (server.data / "seal.json").read_bytes()
    there = tmp_path / "somebody's"
    there.write_bytes(b"not ours")
    short = tmp_path / "short"
    short.write_text("hunter2")
    for to, why in [
        ("tpm:/nonexistent/tpm", "no TPM answers at"),
        ("tpm:tcp:127.0.0.1:1", "no TPM answers at"),
        (f"file:{there}", "there is a file at"),
        (f"passphrase:file:{short}", "the passphrase is too short"),
        ("pkcs11:token=t;object=o?module-path=/nonexistent.so", "PKCS#11"),
        ("systemd:absent", "there is no systemd credential `absent`"),
        ("kms:arn:aws:kms:us-east-1:123456789012:key/a@http://127.0.0.1:1", "there are no credentials"),
        ("pkcs11:token=t;object=o?module-path=/m&pin-value=hunter2", "unknown seal"),
        ("hunter2", "unknown seal"),
    ]:
        done = ringfence(
            "seal", "migrate", "--data", server.data, "--seal", seal.text, "--to", to, check=False
        )
        assert done.returncode != 0 and why in done.stderr, (to, done.stderr)
        assert "hunter2" not in done.stderr + done.stdout
        assert (server.data / "seal.json").read_bytes() == before
    assert opens(server.data, seal) and there.read_bytes() == b"not ours"


@pytest.mark.parametrize("kinds", [("key file", "key file"), ("key file", "passphrase"), ("passphrase", "key file")])
def test_a_change_that_is_killed_at_any_moment_leaves_a_store_that_opens(
    kinds, started, seal_of, opens, binary, ringfence
):
    seal = seal_of(kinds[0])
    other = seal if kinds[0] == kinds[1] else seal_of(kinds[1])
    server = started(seal)
    dice = random.Random(7)
    killed = 0
    for round in range(12):
        if seal is other:
            change = ["rotate", "--seal", seal.text]
        else:
            change = ["migrate", "--seal", seal.text, "--to", other.text]
        process = subprocess.Popen(
            [str(binary), "seal", *change, "--data", str(server.data)],
            stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
        )
        # A change takes milliseconds with a key file, and two stretchings with a passphrase.
        time.sleep(dice.uniform(0, 0.03 if seal is other else 0.8))
        process.send_signal(signal.SIGKILL)
        killed += process.wait() == -signal.SIGKILL
        if seal is other:
            assert opens(server.data, seal), round
        else:
            old, new = opens(server.data, seal), opens(server.data, other)
            assert old != new, round
            if new:
                seal, other = other, seal
                # What was killed before it could remove the former key file leaves that; it opens
                # nothing, and is in the way of the next move back.
                if other.kind == "key file":
                    Path(other.text.removeprefix("file:")).unlink(missing_ok=True)
    assert killed, "no change was cut short"
    ringfence("seal", "rotate", "--seal", seal.text, "--data", server.data)
    server.stop()
    server.args = ["--seal", seal.text]
    server.start()
    assert server.root().iam.get_user(UserName="before")


def test_values_are_sealed_anew_under_a_new_base_key_while_the_server_serves_and_the_earlier_is_retired(
    started, seal_of, ringfence, opens
):
    seal = seal_of("key file")
    server = started(seal)
    world = World(server.root())
    for n in range(30):
        world.iam.create_user(UserName=f"user-{n}")
    kms = server.root().client("kms")
    key = kms.create_key()["KeyMetadata"]["KeyId"]
    ciphertext = kms.encrypt(KeyId=key, Plaintext=b"kept")["CiphertextBlob"]

    def status():
        return ringfence("seal", "status", "--data", server.data).stdout

    ringfence("seal", "rotate", "--base-key", "--data", server.data, "--seal", seal.text)
    # Until it starts anew the server goes on with the key that it has.
    world.iam.create_user(UserName="meanwhile")
    assert "base key  2" in status() and "seals what is written; 0 values" in status()
    retire = ("seal", "retire", "--data", server.data, "--seal", seal.text)
    refused = ringfence(*retire, check=False)
    assert refused.returncode != 0 and "a server runs on this data directory" in refused.stderr

    server.stop()
    refused = ringfence(*retire, check=False)
    assert refused.returncode != 0 and "still sealed under earlier base keys" in refused.stderr
    server.start()
    deadline = time.monotonic() + 20
    while "nothing is sealed under it any more" not in status():
        assert time.monotonic() < deadline, status()
        time.sleep(0.05)
    world.iam.create_user(UserName="after")
    server.stop()
    assert "retired" in ringfence(*retire).stdout
    server.start()
    names = {user["UserName"] for user in world.iam.list_users(MaxItems=1000)["Users"]}
    assert {f"user-{n}" for n in range(30)} | {"before", "meanwhile", "after"} <= names
    # Names still lead to their records, and KMS keys still decrypt.
    assert world.iam.get_user(UserName="user-7")["User"]["UserName"] == "user-7"
    assert kms.decrypt(CiphertextBlob=ciphertext)["Plaintext"] == b"kept"
    world.iam.delete_user(UserName="user-7")
    assert refusal(world.iam.get_user, UserName="user-7").code == "NoSuchEntity"
    assert opens(server.data, seal)


@pytest.mark.parametrize("name", ["key-file", "passphrase"])
def test_a_directory_of_the_first_format_opens_and_can_be_changed(name, start_server, seal_of, ringfence, tmp_path):
    data = tmp_path / "old"
    data.mkdir()
    with tarfile.open(OLD / f"{name}.tar.gz") as archive:
        archive.extractall(data, filter="data")
    before = (data / "seal.json").read_bytes()
    assert json.loads(before)["format"] == 1
    # The passphrase of the old directory is the one of these tests.
    seal = Seal("key file", "file") if name == "key-file" else seal_of("passphrase")
    exports = ringfence("env", "--data", data, "--seal", seal.text).stdout
    assert "AKIA" in exports
    status = ringfence("seal", "status", "--data", data).stdout
    assert "root key  1, since before that was noted" in status
    server = start_server("--seal", seal.text, data=data)
    assert "management account 123456789012" in server.stdout
    assert (data / "seal.json").read_bytes() == before
    ringfence("seal", "rotate", "--base-key", "--data", data, "--seal", seal.text)
    assert seal_file(data)["format"] == 2
    server.restart()
    assert ringfence("env", "--data", data, "--seal", seal.text).stdout.splitlines()[1:] == exports.splitlines()[1:]


def test_a_tpm_that_has_measured_another_start_does_not_open(started, tpm, opens):
    seal = Seal("TPM", f"tpm:tcp:127.0.0.1:{tpm.port},pcrs=7+16")
    server = started(seal)
    assert seal_file(server.data)["seal"]["about"] == {"pcrs": "7+16"}
    server.stop()
    tpm.extend(7)
    assert not opens(server.data, seal)
    with pytest.raises(RuntimeError, match="a register \\(PCR\\) has changed"):
        server.start()
    tpm.restart()
    assert opens(server.data, seal)


def test_another_tpm_does_not_open(started, tpm, opens, tmp_path):
    server = started(Seal("TPM", f"tpm:tcp:127.0.0.1:{tpm.port}"))
    other = Swtpm(tmp_path / "other tpm")
    try:
        assert not opens(server.data, Seal("TPM", f"tpm:tcp:127.0.0.1:{other.port}"))
    finally:
        other.stop()


def test_a_token_without_its_key_or_with_a_wrong_pin_does_not_open(started, seal_of, opens, ringfence):
    seal = seal_of("PKCS#11 token")
    server = started(seal)
    about = seal_file(server.data)["seal"]["about"]
    assert about == {"token": "seals", "object": "root key"}
    pin_file = Path(seal.text.partition("pin-source=file:")[2].replace("%20", " "))
    by_variable = seal.text.partition("&pin-source")[0]
    env = {**seal.env, "RINGFENCE_PKCS11_PIN": PIN}
    assert opens(server.data, Seal(seal.kind, by_variable, env))
    assert not opens(server.data, Seal(seal.kind, by_variable, seal.env))
    pin_file.write_text("wrong-pin\n")
    done = ringfence("env", "--data", server.data, "--seal", seal.text, env=seal.env, check=False)
    assert done.returncode != 0 and "wrong-pin" not in done.stderr
    pin_file.write_text(PIN)
    assert opens(server.data, seal)
    other = seal.text.replace("root%20key", "another%20key")
    assert not opens(server.data, Seal(seal.kind, other, seal.env))
    seal.holder.pull()
    assert not opens(server.data, seal)


def test_a_kms_that_says_no_keeps_the_store_shut_and_its_log_tells_every_opening(
    unsealing_kms, started, opens, ringfence
):
    seal = unsealing_kms.seal()
    server = started(seal)
    directory = seal_file(server.data)
    assert directory["seal"]["about"] == {"key": unsealing_kms.key, "endpoint": unsealing_kms.server.url}
    assert opens(server.data, seal)
    event = unsealing_kms.server.audit_event(lambda event: event["eventName"] == "Decrypt")
    assert event["userIdentity"]["userName"] == unsealing_kms.user.arn.rsplit("/")[-1]
    context = {"ringfence-directory": base64.b64decode(directory["id"]).hex()}
    assert event["requestParameters"]["encryptionContext"] == context

    def said():
        done = ringfence("env", "--data", server.data, "--seal", seal.text, env=seal.env, check=False)
        assert done.returncode != 0
        return done.stderr

    unsealing_kms.kms.disable_key(KeyId=unsealing_kms.key)
    assert "DisabledException" in said()
    # What runs goes on.
    server.root().iam.create_user(UserName="while-disabled")
    unsealing_kms.kms.enable_key(KeyId=unsealing_kms.key)
    assert opens(server.data, seal)

    stranger = Principal(unsealing_kms.server.url, "AKIAIOSFODNN7EXAMPLE", "wrong")
    env = {"AWS_ACCESS_KEY_ID": stranger.access_key_id, "AWS_SECRET_ACCESS_KEY": stranger.secret}
    assert not opens(server.data, Seal("KMS", seal.text, env))
    nobody = unsealing_kms.world.user(allow("iam:GetUser"))
    env = {"AWS_ACCESS_KEY_ID": nobody.access_key_id, "AWS_SECRET_ACCESS_KEY": nobody.secret}
    done = ringfence("env", "--data", server.data, "--seal", seal.text, env=env, check=False)
    assert done.returncode != 0 and "AccessDeniedException" in done.stderr
    other = unsealing_kms.kms.create_key()["KeyMetadata"]["Arn"]
    text = seal.text.replace(unsealing_kms.key, other)
    assert not opens(server.data, Seal("KMS", text, seal.env))


def test_a_kms_seal_takes_its_credentials_from_a_file_and_a_session(
    unsealing_kms, started, opens, tmp_path
):
    seal = unsealing_kms.seal()
    server = started(seal)
    session = unsealing_kms.user.sts.get_session_token()["Credentials"]
    file = tmp_path / "credentials"
    file.write_text(
        f"[default]\naws_access_key_id = AKIAIOSFODNN7EXAMPLE\naws_secret_access_key = wrong\n"
        f"[seals]\naws_access_key_id = {session['AccessKeyId']}\n"
        f"aws_secret_access_key = {session['SecretAccessKey']}\n"
        f"aws_session_token = {session['SessionToken']}\n"
    )
    env = {"AWS_SHARED_CREDENTIALS_FILE": str(file), "AWS_PROFILE": "seals"}
    assert opens(server.data, Seal("KMS", seal.text, env))
    assert not opens(server.data, Seal("KMS", seal.text, {**env, "AWS_PROFILE": "default"}))


def test_a_policy_can_tell_one_directory_from_another(unsealing_kms, started, opens):
    seal = unsealing_kms.seal()
    first, second = started(seal), started(seal)
    directory = base64.b64decode(seal_file(first.data)["id"]).hex()
    bound = {"StringEquals": {"kms:EncryptionContext:ringfence-directory": directory}}
    user = unsealing_kms.world.user(
        allow("kms:Decrypt", unsealing_kms.key, Condition=bound)
    )
    env = {"AWS_ACCESS_KEY_ID": user.access_key_id, "AWS_SECRET_ACCESS_KEY": user.secret}
    assert opens(first.data, Seal("KMS", seal.text, env))
    assert not opens(second.data, Seal("KMS", seal.text, env))


def test_what_is_wrapped_for_one_directory_opens_no_other(unsealing_kms, started, ringfence):
    seal = unsealing_kms.seal()
    first, second = started(seal), started(seal)
    # Somebody who writes to the directory gives it the other's seal, under its own id.
    stolen, own = seal_file(first.data), seal_file(second.data)
    (second.data / "seal.json").write_text(json.dumps({**own, "seal": stolen["seal"]}))
    done = ringfence("env", "--data", second.data, "--seal", seal.text, env=seal.env, check=False)
    assert done.returncode != 0 and "InvalidCiphertextException" in done.stderr


def test_a_server_waits_for_the_kms_that_unseals_it(unsealing_kms, started):
    seal = unsealing_kms.seal()
    server = started(seal)
    server.stop()
    unsealing_kms.server.stop()
    server.start(wait=False)
    unsealing_kms.server.start()
    server.wait_until_healthy()
    assert server.root().iam.get_user(UserName="before")


def test_a_seal_is_told_without_opening_anything(started, seal_of, ringfence):
    server = started(seal_of("passphrase"))
    server.kill()
    status = ringfence("seal", "status", "--data", server.data).stdout
    assert status.splitlines()[0] == "seal      passphrase"
    assert "root key  1, since 20" in status and "base key  1, since 20" in status
    assert "seals what is written" in status
    none = ringfence("seal", "status", "--data", server.data / "audit", check=False)
    assert none.returncode != 0 and "there is no store" in none.stderr
