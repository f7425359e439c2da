"""Nothing secret lies in clear in the data directory.

A server is filled with things whose plaintext is known, stopped, and every byte of every file is
searched for them: as they are, in base64 at each alignment, in hexadecimal and as UTF-16. What is in
memory is closed to others, and leaves it by no core.
"""

import base64
import os
import resource
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from ringfence_server import free_port
from world import World, allow, policy, tags

pytestmark = pytest.mark.one_process("the files of one data directory")

MARK = "Zq7markZq7"


def forms(text):
    """The ways in which a plaintext may lie in a file."""
    raw = text.encode()
    found = {"as it is": raw, "UTF-16": text.encode("utf-16-le")}
    found["hexadecimal"] = raw.hex().encode()
    found["HEXADECIMAL"] = raw.hex().upper().encode()
    for shift in range(3):
        for name, encode in (("base64", base64.b64encode), ("base64url", base64.urlsafe_b64encode)):
            # Only the middle is sure: the ends depend on what lies beside it.
            encoded = encode(b"\0" * shift + raw).rstrip(b"=")
            found[f"{name} shifted by {shift}"] = encoded[4 if shift else 0 : len(encoded) - 2]
    return found


def occurrences(directory, texts, skip=()):
    """(what, in which form, in which file) for every find."""
    found = []
    for path in sorted(directory.rglob("*")):
        if not path.is_file() or path in skip:
            continue
        content = path.read_bytes()
        for what, text in texts.items():
            for form, needle in forms(text).items():
                if needle in content:
                    found.append((what, form, str(path)))
    return found


@dataclass
class Filled:
    data: object
    key_file: object
    # Never to be seen, in any file.
    secrets: dict = field(default_factory=dict)
    # Sealed in the store; audit events may name them.
    private: dict = field(default_factory=dict)
    # Parameters of requests, which no event may hold.
    tokens: dict = field(default_factory=dict)


@pytest.fixture(scope="module", params=["stopped", "killed"])
def filled(request, start_server, tmp_path_factory):
    key_file = tmp_path_factory.mktemp("seal") / "root.key"
    server = start_server("--seal", f"file:{key_file}")
    world = World(server.root())
    filled = Filled(server.data, key_file)
    filled.secrets["the root user's secret"] = world.root.secret
    user_name, role_name = f"user-{MARK}", f"role-{MARK}"
    secret_document = allow("s3:GetObject", f"arn:aws:s3:::bucket-{MARK}/*")
    user = world.user(
        allow("sts:*"), secret_document, name=user_name, path=f"/path-{MARK}/",
        tagged={"tagkey": f"tag-{MARK}"}, attached=[world.managed_policy(secret_document)],
    )
    filled.secrets["a user's secret"] = user.secret
    role = world.role(secret_document, name=role_name)
    session = user.assume(role, f"session-{MARK}", Tags=tags(team=f"team-{MARK}"))
    filled.secrets["a session's secret"] = session.secret
    filled.tokens["a session's token"] = session.token
    session_token = user.sts.get_session_token()["Credentials"]
    filled.secrets["another session's secret"] = session_token["SecretAccessKey"]
    filled.tokens["another session's token"] = session_token["SessionToken"]
    second = world.iam.create_access_key(UserName=user_name)["AccessKey"]
    filled.secrets["a deleted key's secret"] = second["SecretAccessKey"]
    world.iam.delete_access_key(UserName=user_name, AccessKeyId=second["AccessKeyId"])
    password, former = f"Password-1-{MARK}", f"Password-0-{MARK}"
    world.iam.create_login_profile(UserName=user_name, Password=former)
    world.iam.update_login_profile(UserName=user_name, Password=password)
    filled.secrets["a password"], filled.secrets["a former password"] = password, former
    world.iam.put_user_policy(
        UserName=user_name, PolicyName=f"name-{MARK}", PolicyDocument=policy(secret_document)
    )
    filled.private = {
        "a user's name": user_name,
        "a role's name": role_name,
        "a path": f"/path-{MARK}/",
        "a tag's value": f"tag-{MARK}",
        "a policy's text": f"bucket-{MARK}",
        "a policy's name": f"name-{MARK}",
        "a part of a policy": "s3:GetObject",
    }
    if request.param == "stopped":
        server.stop()
    else:
        server.kill()
    return filled


def test_the_search_finds_what_lies_in_clear(tmp_path):
    secret = "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY"
    plants = {
        "plain": b"x" + secret.encode() + b"y",
        "hex": secret.encode().hex().encode(),
        "utf16": secret.encode("utf-16-le"),
        **{f"base64-{n}": base64.b64encode(b"z" * n + secret.encode() + b"tail") for n in range(3)},
        **{f"url-{n}": base64.urlsafe_b64encode(b"z" * n + secret.encode()) for n in range(3)},
    }
    for name, content in plants.items():
        (tmp_path / name).write_bytes(content)
    files = {path.rsplit("/", 1)[1] for _, _, path in occurrences(tmp_path, {"it": secret})}
    assert files == set(plants)


def test_no_secret_key_lies_in_any_file(filled):
    assert filled.secrets and any(filled.data.rglob("*"))
    assert occurrences(filled.data, filled.secrets) == []


def test_no_session_token_lies_in_any_file(filled):
    assert occurrences(filled.data, filled.tokens) == []


def test_no_name_and_no_policy_lies_in_clear_in_the_store(filled):
    audit = [path for path in (filled.data / "audit").rglob("*") if path.is_file()]
    assert occurrences(filled.data, filled.private, skip=audit) == []


def test_the_audit_events_are_in_clear_so_the_search_would_have_seen_them(filled):
    user = {"a user's name": filled.private["a user's name"]}
    files = {path for _, _, path in occurrences(filled.data, user)}
    assert files and all("/audit/" in path for path in files)


def test_the_root_key_lies_in_the_key_file_alone(filled):
    content = filled.key_file.read_bytes()
    assert len(content) >= 32
    for path in filled.data.rglob("*"):
        if path.is_file():
            assert content not in path.read_bytes(), path


def test_without_its_key_file_the_store_does_not_open(filled, ringfence, tmp_path):
    right = ringfence("env", "--data", filled.data, "--seal", f"file:{filled.key_file}")
    assert filled.secrets["the root user's secret"] in right.stdout
    other = tmp_path / "other.key"
    done = ringfence("env", "--data", filled.data, "--seal", f"file:{other}", check=False)
    assert done.returncode != 0 and "export" not in done.stdout


def dies_by_abort(command, cwd, **kwargs):
    """Starts a process, aborts it once it is ready, and returns the files that it leaves."""
    ready = kwargs.pop("ready", lambda process: None)
    process = subprocess.Popen(
        command, cwd=cwd, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_CORE, (resource.RLIM_INFINITY,) * 2),
        **kwargs,
    )
    try:
        ready(process)
        process.send_signal(signal.SIGABRT)
        assert process.wait(20) == -signal.SIGABRT
    finally:
        process.kill()
        process.wait()
    return {path.name for path in cwd.iterdir()}


def answers(port):
    def wait(process):
        deadline = time.monotonic() + 20
        while True:
            assert process.poll() is None, "it ended"
            try:
                socket.create_connection(("127.0.0.1", port), timeout=1).close()
                return
            except OSError:
                assert time.monotonic() < deadline
                time.sleep(0.01)

    return wait


def test_a_process_that_is_aborted_leaves_no_core(binary, tmp_path):
    pattern = Path("/proc/sys/kernel/core_pattern").read_text().strip()
    if pattern.startswith("|") or "/" in pattern:
        pytest.skip(f"cores of this machine go elsewhere: {pattern}")
    control, ours = tmp_path / "control", tmp_path / "ours"
    control.mkdir()
    ours.mkdir()
    try:
        left = dies_by_abort(["sleep", "60"], control)
    except (ValueError, subprocess.SubprocessError):
        pytest.skip("this machine lets nobody raise the limit on cores")
    if not left:
        pytest.skip("not even a process that may leaves a core here")
    port = free_port()
    command = [
        str(binary), "serve", "--listen", f"127.0.0.1:{port}", "--data", str(tmp_path / "data")
    ]
    assert dies_by_abort(command, ours, ready=answers(port)) == set()


@pytest.fixture
def for_anyone(binary):
    """The binary where any user may run it."""
    with tempfile.TemporaryDirectory(dir="/tmp") as folder:
        copy = Path(folder) / "ringfence"
        shutil.copy(binary, copy)
        copy.chmod(0o755)
        Path(folder).chmod(0o755)
        yield copy


def test_the_memory_of_a_process_is_closed_to_its_own_user_and_stays_out_of_dumps(for_anyone):
    """A process that is not dumpable has its files in /proc owned by root (proc(5))."""
    port = free_port()
    # Root's processes have them owned by root anyway: then the server runs as nobody.
    is_root = os.geteuid() == 0
    user = {"user": 65534, "group": 65534, "extra_groups": []} if is_root else {}
    said = {"cwd": "/", "stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
    command = [str(for_anyone), "serve", "--dev", "--listen", f"127.0.0.1:{port}"]
    ours = subprocess.Popen(command, **said, **user)
    control = subprocess.Popen(["sleep", "60"], **said, **user)
    try:
        answers(port)(ours)
        assert os.stat(f"/proc/{control.pid}/environ").st_uid == user.get("user", os.geteuid())
        assert os.stat(f"/proc/{ours.pid}/environ").st_uid == 0
        if is_root:
            # What root may still look at: no anonymous memory would go into a dump.
            assert int(Path(f"/proc/{ours.pid}/coredump_filter").read_text(), 16) == 0
            assert int(Path(f"/proc/{control.pid}/coredump_filter").read_text(), 16) != 0
            limits = Path(f"/proc/{ours.pid}/limits").read_text()
            core = next(line for line in limits.splitlines() if line.startswith("Max core file size"))
            assert core.split()[4:6] == ["0", "0"]
        else:
            with pytest.raises(PermissionError):
                Path(f"/proc/{ours.pid}/mem").open("rb")
    finally:
        for ended in (ours, control):
            ended.kill()
            ended.wait()
