"""`ringfence policy diff --accounts`: what changes for users and roles between two exports."""

import copy
import json
from pathlib import Path

import pytest

from world import allow, policy, trust

EXPORT = json.loads(
    (Path(__file__).parents[2] / "crates/policy/tests/data/account.json").read_text()
)
ACCOUNT = "arn:aws:iam::123456789012"


def user(export, name):
    return next(one for one in export["UserDetailList"] if one["UserName"] == name)


def role(export, name):
    return next(one for one in export["RoleDetailList"] if one["RoleName"] == name)


@pytest.fixture
def diff(ringfence, tmp_path):
    """Compares the export with one that a function changed: (exit code, parsed JSON)."""

    def run(change, *options, backwards=False):
        changed = copy.deepcopy(EXPORT)
        change(changed)
        for name, export in (("old", EXPORT), ("new", changed)):
            (tmp_path / f"{name}.json").write_text(json.dumps(export))
        names = ["new.json", "old.json"] if backwards else ["old.json", "new.json"]
        files = [tmp_path / name for name in names]
        done = ringfence("policy", "diff", "--accounts", "--json", *options, *files, check=False)
        assert done.stdout, done.stderr
        return done.returncode, json.loads(done.stdout)

    return run


def more_for_fay(export):
    inline = {"PolicyName": "more", "PolicyDocument": json.loads(policy(allow("sqs:SendMessage")))}
    user(export, "fay").setdefault("UserPolicyList", []).append(inline)


def test_an_export_is_as_itself(diff):
    assert diff(lambda export: None) == (0, {})


def test_a_user_who_gains_access_is_shown_with_a_request(diff):
    code, changes = diff(more_for_fay)
    (arn, change), = changes.items()
    assert code == 3 and arn.endswith("user/fay")
    gained = change["identity policies"]["newAccess"]
    assert gained["result"] == "found" and gained["requests"][0]["action"] == "sqs:SendMessage"
    assert change["identity policies"]["lostAccess"]["result"] == "none"
    # What is lost is no failure where only new access counts.
    code, changes = diff(more_for_fay, "--no-new-access", backwards=True)
    assert code == 0 and changes


def test_another_order_of_the_same_policies_is_no_change(diff):
    def reorder(export):
        for one in export["UserDetailList"]:
            one.get("UserPolicyList", []).reverse()
            one.get("AttachedManagedPolicies", []).reverse()

    code, changes = diff(reorder)
    assert code == 0
    assert all(part["equivalent"] for change in changes.values() for part in change.values())


def test_a_boundary_that_goes_and_a_trust_that_widens_are_shown(diff):
    def change(export):
        bounded = next(one for one in export["UserDetailList"] if one.get("PermissionsBoundary"))
        del bounded["PermissionsBoundary"]
        role(export, "worker")["AssumeRolePolicyDocument"] = json.loads(
            policy(trust({"AWS": "999999999999"}))
        )

    code, changes = diff(change)
    parts = {part for change in changes.values() for part in change}
    assert code == 3 and {"permissions boundary", "trust policy"} <= parts


def test_principals_that_come_and_go_are_named(diff):
    def without_fay(export):
        export["UserDetailList"] = [one for one in export["UserDetailList"] if one["UserName"] != "fay"]

    code, changes = diff(without_fay)
    assert (code, list(changes.values())) == (3, [{"principal": "gone"}])
    code, changes = diff(without_fay, "--no-new-access")
    assert code == 0
    code, changes = diff(without_fay, "--no-new-access", backwards=True)
    assert (code, list(changes.values())) == (3, [{"principal": "new"}])
