"""How it is started: the modes, the seals, and what the command line says."""

import re
import stat

import pytest

from clients import refusal
from ringfence_server import parse_exports
from world import World, allow, unique

pytestmark = pytest.mark.one_process("how one process starts and ends, and the files of its data directory")

ROOT_ONLY = stat.S_IRWXG | stat.S_IRWXO


# --- serve ---------------------------------------------------------------------------------------


def files_in(directory):
    return [path for path in sorted(directory.rglob("*")) if path.is_file()]


def test_the_first_start_prints_the_root_credentials_and_later_ones_do_not(start_server, ringfence):
    server = start_server()
    first = parse_exports(server.stdout)
    assert set(first) == {
        "AWS_ENDPOINT_URL", "AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_DEFAULT_REGION",
    }
    assert re.fullmatch(r"AKIA[A-Z2-7]{16}", first["AWS_ACCESS_KEY_ID"])
    assert first["AWS_SECRET_ACCESS_KEY"] not in server.stderr
    server.restart()
    assert first["AWS_SECRET_ACCESS_KEY"] not in server.stdout + server.stderr
    assert server.root().arn.endswith(":root")
    server.stop()
    again = parse_exports(ringfence("env", "--data", server.data).stdout)
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_DEFAULT_REGION"):
        assert again[name] == first[name]


def test_a_start_says_in_five_lines_what_where_which_seal_which_store_and_that_it_enforces(start_server):
    server = start_server()
    said = server.stdout + server.stderr
    lines = [line for line in said.splitlines() if line.strip() and not line.startswith("export ")]
    banner = "\n".join(lines[:5]).lower()
    assert len(lines) >= 5, said
    for word in ("ringfence", f"127.0.0.1:{server.port}", "seal", "sqlite", "enforc"):
        assert word in banner, f"{word!r} is not in\n{banner}"
    assert str(server.data).lower() in banner
    server.stop()


def test_the_account_is_the_one_asked_for(start_server):
    server = start_server("--account", "123456789012")
    assert server.root().account == "123456789012"
    server.stop()


def test_an_account_id_that_is_none_is_refused(start_server):
    server = start_server("--account", "12345", wait=False)
    assert server.wait_until_ended() != 0


def test_the_data_directory_is_for_its_owner_alone(start_server):
    server = start_server()
    server.root().iam.create_user(UserName="somebody")
    assert not server.data.stat().st_mode & ROOT_ONLY
    for path in files_in(server.data):
        assert not path.stat().st_mode & ROOT_ONLY, f"{path} is open to others"
    server.stop()


def test_one_data_directory_has_one_server(start_server):
    server = start_server()
    second = start_server(data=server.data, wait=False)
    assert second.wait_until_ended() != 0
    assert server.root().account
    server.stop()


def test_a_stop_is_orderly_and_leaves_everything(start_server):
    server = start_server()
    server.root().iam.create_user(UserName="kept")
    assert server.stop() == 0
    server.start()
    assert server.root().iam.get_user(UserName="kept")["User"]["UserName"] == "kept"
    server.stop()


@pytest.mark.parametrize("sync", ["grouped", "every"])
def test_a_write_survives_a_crash_whichever_way_the_audit_is_synced(sync, start_server):
    server = start_server("--audit-sync", sync)
    name = unique("kept")
    server.root().iam.create_user(UserName=name)
    server.kill()
    server.start()
    assert server.root().iam.get_user(UserName=name)["User"]["UserName"] == name
    server.audit_event(lambda event: event["eventName"] == "CreateUser")
    server.stop()


# --- seals ---------------------------------------------------------------------------------------


def test_a_key_file_is_made_for_its_owner_alone_and_opens_the_store_again(start_server, tmp_path):
    key_file = tmp_path / "root.key"
    server = start_server("--seal", f"file:{key_file}")
    server.root().iam.create_user(UserName="kept")
    assert stat.S_IMODE(key_file.stat().st_mode) in (0o600, 0o400)
    server.restart()
    assert server.root().iam.get_user(UserName="kept")["User"]["UserName"] == "kept"
    server.stop()


def test_a_first_start_without_a_seal_makes_a_key_file_and_says_so(start_server):
    server = start_server()
    said = (server.stdout + server.stderr).lower()
    assert "seal" in said and "key" in said
    named = [path for path in files_in(server.data) if str(path).lower() in said]
    assert any(stat.S_IMODE(path.stat().st_mode) in (0o600, 0o400) for path in named), said
    server.stop()


@pytest.mark.parametrize("mode", [0o644, 0o640, 0o606])
def test_a_key_file_that_others_may_read_is_refused(mode, start_server, tmp_path):
    key_file = tmp_path / "root.key"
    server = start_server("--seal", f"file:{key_file}")
    server.stop()
    key_file.chmod(mode)
    server.start(wait=False)
    assert server.wait_until_ended() != 0
    assert str(key_file) in server.stderr + server.stdout
    key_file.chmod(0o600)
    server.start()
    assert server.root().account
    server.stop()


def test_another_key_file_does_not_open_the_store(start_server, tmp_path):
    own, other = tmp_path / "own.key", tmp_path / "other.key"
    server = start_server("--seal", f"file:{own}")
    server.stop()
    stranger = start_server("--seal", f"file:{other}")
    stranger.stop()
    server.args = ["--seal", f"file:{other}"]
    server.start(wait=False)
    assert server.wait_until_ended() != 0
    server.args = ["--seal", f"file:{own}"]
    server.start()
    assert server.root().account
    server.stop()


def test_a_lost_key_file_is_not_made_anew_for_an_old_store(start_server, tmp_path):
    key_file = tmp_path / "root.key"
    server = start_server("--seal", f"file:{key_file}")
    server.stop()
    kept = key_file.read_bytes()
    key_file.unlink()
    server.start(wait=False)
    assert server.wait_until_ended() != 0
    assert not key_file.exists()
    key_file.write_bytes(kept)
    key_file.chmod(0o600)
    server.start()
    assert server.root().account
    server.stop()


def test_a_passphrase_from_the_environment_opens_and_a_wrong_one_does_not(start_server):
    server = start_server("--seal", "passphrase:env:SEAL", env={"SEAL": "correct horse battery"})
    server.root().iam.create_user(UserName="kept")
    server.restart()
    assert server.root().iam.get_user(UserName="kept")["User"]["UserName"] == "kept"
    server.stop()
    for wrong in ({"SEAL": "correct horse batterz"}, {"SEAL": ""}, {}):
        server.env = wrong
        server.start(wait=False)
        assert server.wait_until_ended() != 0
        assert "correct horse" not in server.stdout + server.stderr
    server.env = {"SEAL": "correct horse battery"}
    server.start()
    assert server.root().account
    server.stop()


def test_a_passphrase_from_a_file_opens_with_or_without_its_newline(start_server, tmp_path):
    secret = tmp_path / "passphrase"
    secret.write_text("correct horse battery\n")
    secret.chmod(0o600)
    server = start_server("--seal", f"passphrase:file:{secret}")
    server.stop()
    secret.write_text("correct horse battery")
    server.start()
    assert server.root().account
    server.stop()


@pytest.mark.parametrize("seal", ["nonsense", "passphrase:SEAL", "file:", "tpm2:"])
def test_a_seal_that_is_not_known_is_refused(seal, start_server, tmp_path):
    server = start_server("--seal", seal, data=tmp_path / "store", wait=False)
    assert server.wait_until_ended() != 0


# --- --dev -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "key,account",
    [
        ("111122223333", "111122223333"),
        ("000000000001", "000000000001"),
        ("test", "000000000000"),
        ("FOOBARKEY", "000000000000"),
        ("12345678901", "000000000000"),
        ("1234567890123", "000000000000"),
    ],
)
def test_dev_takes_the_account_from_the_key(key, account, dev):
    for secret in ("test", "any other"):
        identity = dev.principal(key, secret).identity
        assert identity["Account"] == account
        assert identity["Arn"] == f"arn:aws:iam::{account}:root"


@pytest.mark.parametrize("key", ["AKIAIOSFODNN7EXAMPLE", "ASIAIOSFODNN7EXAMPLE"])
def test_dev_refuses_a_key_that_looks_like_aws_and_is_not_known(key, dev):
    refused = refusal(dev.principal(key, "secret").sts.get_caller_identity)
    assert (refused.code, refused.status) == ("InvalidClientTokenId", 403)


def test_dev_enforces_whoever_is_made_inside(dev):
    world = World(dev.principal("test", "test"))
    user = world.user(allow("iam:GetUser"))
    assert user.iam.get_user()["User"]["UserName"] == user.name
    assert refusal(user.iam.list_users).code == "AccessDenied"
    forged = dev.principal(user.access_key_id, "any other")
    assert refusal(forged.iam.get_user).code == "SignatureDoesNotMatch"
    world.iam.delete_access_key(UserName=user.name, AccessKeyId=user.access_key_id)
    assert refusal(user.iam.get_user).code == "InvalidClientTokenId"


def test_dev_keeps_accounts_apart(dev):
    name = unique("apart")
    dev.principal("444455556666", "x").iam.create_user(UserName=name)
    refused = refusal(dev.principal("777788889999", "x").iam.get_user, UserName=name)
    assert refused.code == "NoSuchEntity"


def test_dev_takes_another_default_account(start_server):
    server = start_server("--account", "123456789012", dev=True)
    assert server.principal("test", "test").account == "123456789012"
    assert server.principal("111122223333", "test").account == "111122223333"
    server.stop()


def test_dev_keeps_nothing(start_server):
    server = start_server(dev=True)
    before = set(files_in(server.logs))
    server.principal("test", "test").iam.create_user(UserName="gone")
    server.restart()
    refused = refusal(server.principal("test", "test").iam.get_user, UserName="gone")
    assert refused.code == "NoSuchEntity"
    server.stop()
    left = {path.name for path in set(files_in(server.logs)) - before}
    assert left <= {"stdout.2", "stderr.2"}, left


def test_dev_says_what_is_relaxed(dev):
    said = (dev.stdout + dev.stderr).lower()
    assert "--dev" in said or "dev mode" in said
    assert "nothing" in said and "any secret" in said


def test_dev_listens_on_loopback_only(ringfence):
    done = ringfence("serve", "--dev", "--listen", "0.0.0.0:0", check=False)
    assert done.returncode != 0 and "loopback" in (done.stdout + done.stderr).lower()


@pytest.mark.parametrize("path", ["/_ringfence/reset", "/moto-api/reset"])
def test_dev_is_reset(path, dev):
    root = dev.principal("test", "test")
    user = World(root).user()
    status, _, body = dev.request("POST", path)
    assert status == 200, body
    assert root.iam.list_users()["Users"] == []
    assert refusal(user.sts.get_caller_identity).code == "InvalidClientTokenId"
    assert root.identity["Account"] == "000000000000"


def test_devs_clock_moves_what_is_stored_and_not_signatures(dev):
    root = dev.principal("test", "test")
    world = World(root)
    first = root.iam.create_user(UserName=unique("clock"))["User"]["CreateDate"]
    day = 24 * 3600
    status, _, body = dev.post_json("/_ringfence/clock", {"advance_seconds": day})
    assert status == 200, body
    second = root.iam.create_user(UserName=unique("clock"))["User"]["CreateDate"]
    assert day <= (second - first).total_seconds() < day + 60
    status, _, body = dev.post_json("/_ringfence/clock", {"set": "2031-02-03T04:05:06Z"})
    assert status == 200, body
    third = root.iam.create_user(UserName=unique("clock"))["User"]["CreateDate"]
    assert third.isoformat().startswith("2031-02-03T04:05")
    later = {"DateGreaterThan": {"aws:CurrentTime": "2031-01-01T00:00:00Z"}}
    user = world.user(allow("iam:GetUser", Condition=later))
    assert user.iam.get_user()["User"]["UserName"] == user.name
    dev.post_json("/_ringfence/clock", {"set": "2030-02-03T04:05:06Z"})
    assert refusal(user.iam.get_user).code == "AccessDenied"


@pytest.mark.parametrize("value", [{}, {"advance_seconds": "x"}, {"set": "soon"}, {"other": 1}])
def test_devs_clock_refuses_what_it_does_not_understand(value, dev):
    assert dev.post_json("/_ringfence/clock", value)[0] == 400


# --- not --dev -------------------------------------------------------------------------------


@pytest.mark.parametrize("path", ["/_ringfence/clock", "/_ringfence/reset", "/moto-api/reset"])
def test_without_dev_there_is_no_clock_and_no_reset(path, server, root):
    name = unique("stays")
    root.iam.create_user(UserName=name)
    status, _, _ = server.post_json(path, {"advance_seconds": 1})
    assert status in (403, 404, 405)
    assert root.iam.get_user(UserName=name)["User"]["UserName"] == name


@pytest.mark.parametrize("key", ["test", "000000000000", "FOOBARKEY"])
def test_without_dev_made_up_credentials_are_refused(key, server):
    refused = refusal(server.principal(key, "test").sts.get_caller_identity)
    assert (refused.code, refused.status) == ("InvalidClientTokenId", 403)


# --- the other commands --------------------------------------------------------------------------


def test_the_version_is_told(ringfence):
    assert re.search(r"\d+\.\d+\.\d+", ringfence("version").stdout)


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_completions_know_the_commands(shell, ringfence):
    text = ringfence("completions", shell).stdout
    for word in ("serve", "env", "account", "audit-sync"):
        assert word in text


def test_env_of_a_directory_without_a_store_is_refused(ringfence, tmp_path):
    done = ringfence("env", "--data", tmp_path / "none", check=False)
    assert done.returncode != 0 and "export" not in done.stdout
    assert not (tmp_path / "none").exists()


# --- a web page is no client -----------------------------------------------------------------------


@pytest.mark.parametrize(
    "headers",
    [
        {"Origin": "http://evil.example"},
        {"Sec-Fetch-Site": "cross-site"},
        {"Host": "evil.example:4566"},
    ],
    ids=["another_origin", "cross_site", "a_rebound_name"],
)
def test_in_dev_no_web_page_acts_as_root(headers, dev):
    before = dev.principal("test", "any").iam.list_users()["Users"]
    for method, path in [
        ("POST", "/_ringfence/reset"),
        ("POST", "/moto-api/reset"),
        ("GET", "/?Action=CreateUser&UserName=x&Version=2010-05-08"),
    ]:
        status, _, body = dev.request(method, path, headers=headers)
        assert (status, b"web pages" in body) == (403, True), body
    assert dev.principal("test", "any").iam.list_users()["Users"] == before
