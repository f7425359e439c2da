"""Cloudsplaining downloads an account's authorization details and names the risks in its policies."""

import json

import pytest

from worlds import badly_kept


pytestmark = pytest.mark.timeout(600)


@pytest.fixture(scope="module")
def audited(start_server):
    return badly_kept(start_server(dev=True))


@pytest.fixture(scope="module")
def report(tool, audited, tmp_path_factory):
    """What it has to say of the account that it has downloaded with a role's credentials."""
    cloudsplaining, place = tool("cloudsplaining"), tmp_path_factory.mktemp("report")
    session = audited.auditor.assume(audited.role).environment()
    # It asks for a profile; this one takes its credentials from the environment.
    (cloudsplaining.home / ".aws").mkdir()
    (cloudsplaining.home / ".aws/credentials").write_text(
        "[audit]\n"
        f"aws_access_key_id = {session['AWS_ACCESS_KEY_ID']}\n"
        f"aws_secret_access_key = {session['AWS_SECRET_ACCESS_KEY']}\n"
        f"aws_session_token = {session['AWS_SESSION_TOKEN']}\n"
    )
    at = {name: session[name] for name in ("AWS_ENDPOINT_URL", "AWS_DEFAULT_REGION")}
    cloudsplaining.run(
        "cloudsplaining", "download", "--profile", "audit", "--output", place, env=at
    )
    cloudsplaining.run(
        "cloudsplaining", "scan", "--input-file", place / "audit.json", "--output", place,
        "--skip-open-report", "--flag-trust-policies",
    )
    return json.loads((place / "iam-results-audit.json").read_text())


def named(policies, risk):
    """The policies, or the owners of inline ones, of which a risk is told."""
    found = set()
    for policy in policies.values():
        if policy[risk]["findings"]:
            owners = [name for names in policy["AttachedTo"].values() for name in names]
            found |= set(owners) if policy["PolicyName"] == "inline" else {policy["PolicyName"]}
    return found


def test_it_sees_every_user_group_and_role(report, audited):
    iam = audited.world.iam
    for kind, listed in (
        ("users", [user["UserName"] for user in iam.list_users()["Users"]]),
        ("groups", [group["GroupName"] for group in iam.list_groups()["Groups"]]),
        ("roles", [role["RoleName"] for role in iam.list_roles()["Roles"]]),
    ):
        assert sorted(one["name"] for one in report[kind].values()) == sorted(listed)


@pytest.mark.parametrize(
    "risk,inline,own",
    [
        ("PrivilegeEscalation", {"climber", "inline-boss"}, {"everything"}),
        ("CredentialsExposure", {"climber", "inline-boss"}, {"everything", "any-role"}),
        ("DataExfiltration", {"inline-boss"}, {"everything"}),
        (
            "ResourceExposure", {"climber", "inline-boss", "wide"},
            {"everything", "keys"},
        ),
    ],
)
def test_each_risk_is_told_of_the_policies_that_have_it(risk, inline, own, report):
    assert named(report["inline_policies"], risk) == inline
    assert named(report["customer_managed_policies"], risk) == own


def test_policies_of_awss_are_downloaded_with_their_documents(report):
    names = {policy["PolicyName"] for policy in report["aws_managed_policies"].values()}
    assert {"ReadOnlyAccess", "SecurityAudit", "ViewOnlyAccess"} <= names
