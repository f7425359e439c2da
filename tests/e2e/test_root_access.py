"""Central root access, as it answers where no account has an organization.

The rules of an organization are tested beside the code, with a made-up one.
"""

import pytest

from clients import IDENTITY_SILENT, assert_denied, refusal
from world import allow

OPERATIONS = {
    "EnableOrganizationsRootCredentialsManagement": "enable_organizations_root_credentials_management",
    "EnableOrganizationsRootSessions": "enable_organizations_root_sessions",
    "DisableOrganizationsRootCredentialsManagement": "disable_organizations_root_credentials_management",
    "DisableOrganizationsRootSessions": "disable_organizations_root_sessions",
    "ListOrganizationsFeatures": "list_organizations_features",
}
TASK = {"arn": "arn:aws:iam::aws:policy/root-task/IAMAuditRootUserCredentials"}


@pytest.mark.parametrize("operation", OPERATIONS)
def test_an_account_without_organization_is_told_so_when_it_may_ask(world, operation):
    method = OPERATIONS[operation]
    nobody = world.user()
    assert_denied(refusal(getattr(nobody.iam, method)), nobody.arn, f"iam:{operation}", IDENTITY_SILENT)
    somebody = world.user(allow(f"iam:{operation}"))
    for caller in (somebody, world.root):
        refused = refusal(getattr(caller.iam, method))
        assert (refused.code, refused.status) == ("OrganizationNotFoundException", 400)
        assert "no organization is associated with your account" in refused.message


def test_no_root_user_is_taken_over_without_an_organization(world):
    caller = world.user(allow("*"))
    role = caller.assume(world.role(allow("*")))
    for principal in (caller, role):
        # Whether the account is there makes no difference.
        for target in (world.account, "999999999999"):
            refused = refusal(
                principal.sts.assume_root, TargetPrincipal=target, TaskPolicyArn=TASK
            )
            assert_denied(
                refused, principal.arn, "sts:AssumeRoot",
                "because no resource-based policy allows the {action} action",
                f"arn:aws:iam::{target}:root",
            )


def test_root_and_sessions_of_users_do_not_call_it(world):
    parameters = {"TargetPrincipal": "999999999999", "TaskPolicyArn": TASK}
    refused = refusal(world.root.sts.assume_root, **parameters)
    assert (refused.code, refused.status) == ("AccessDenied", 403)
    assert refused.message == "Cannot call AssumeRoot with root user credentials"
    user = world.user(allow("*"))
    session = user.session_from(user.sts.get_session_token()["Credentials"])
    refused = refusal(session.sts.assume_root, **parameters)
    assert refused.message == "Cannot call AssumeRoot with session credentials"


BAD = [
    {"TargetPrincipal": "12345678901x"},
    {"TargetPrincipal": "arn:aws:iam::999999999999:user/root"},
    {"TaskPolicyArn": {"arn": "arn:aws:iam::aws:policy/AdministratorAccess"}},
    {"TaskPolicyArn": {"arn": "arn:aws:iam::aws:policy/root-task/Nothing"}},
    {"DurationSeconds": 901},
    {"DurationSeconds": -1},
]


@pytest.mark.parametrize("changes", BAD, ids=range(len(BAD)))
def test_what_is_no_request_is_refused(world, changes):
    caller = world.user(allow("*"))
    parameters = {"TargetPrincipal": "999999999999", "TaskPolicyArn": TASK, **changes}
    refused = refusal(caller.sts_unchecked.assume_root, **parameters)
    assert (refused.code, refused.status) == ("ValidationError", 400), str(refused)


def test_the_root_user_itself_has_no_login_profile_to_reach(world):
    """Only a session of `AssumeRoot` leaves out the name."""
    for call in (world.iam.get_login_profile, world.iam.delete_login_profile):
        refused = refusal(call)
        assert (refused.code, refused.status) == ("ValidationError", 400)
