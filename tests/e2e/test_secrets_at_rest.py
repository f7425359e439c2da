"""Nothing secret lies in clear in the data directory.

A server is filled with things whose plaintext is known, stopped, and every byte of every file is
searched for them: as they are, in base64 at each alignment, in hexadecimal and as UTF-16.
"""

import base64
from dataclasses import dataclass, field

import pytest

from world import World, allow, policy, tags

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
