"""Prowler scans IAM of two accounts, and its verdict of each check is the one written here.

Prowler takes what the server answers for AWS's own words: each of its errors is read from its log.
"""

import csv
import json
import re
from dataclasses import dataclass

import pytest

from botocore.exceptions import ClientError

from clients import refusal_of
from worlds import badly_kept, lock_root, root_with_mfa, well_kept

# Operations that Prowler's IAM scan calls of services that are not built: the regions of EC2, and
# the organization that an account belongs to.
ELSEWHERE = {"DescribeRegions", "DescribeOrganization", "ListOrganizationsFeatures"}
# A scan takes some 20 seconds on a quiet machine, and is a fixture of the first test that asks for it.
pytestmark = pytest.mark.timeout(600)

REPORT = "GenerateCredentialReport"
ACCESS = "GenerateServiceLastAccessedDetails"

# What each check needs beyond IAM's lists, and the resources that fail it in the account that is
# kept badly. In the one that is kept well nothing fails but what WELL_KEPT_FAILS names.
CHECKS = {
    "iam_administrator_access_with_mfa": (REPORT, {"admins"}),
    "iam_avoid_root_usage": (REPORT, {"<root_account>"}),
    "iam_aws_attached_policy_no_administrative_privileges": (None, {"AdministratorAccess"}),
    "iam_check_saml_providers_sts": (None, {"{account}"}),
    "iam_customer_attached_policy_no_administrative_privileges": (None, {"everything"}),
    "iam_customer_unattached_policy_no_administrative_privileges": (None, {"spare-everything"}),
    "iam_group_administrator_access_policy": (None, {"admins"}),
    "iam_inline_policy_allows_privilege_escalation": (None, {"climber", "inline-boss"}),
    "iam_inline_policy_no_administrative_privileges": (None, {"inline-boss"}),
    "iam_inline_policy_no_full_access_to_cloudtrail": (None, {"wide", "inline-boss"}),
    "iam_inline_policy_no_full_access_to_kms": (None, {"wide", "inline-boss"}),
    "iam_inline_policy_no_wildcard_marketplace_subscribe": (None, {"wide", "inline-boss"}),
    "iam_no_custom_policy_permissive_role_assumption": (None, {"everything", "any-role"}),
    "iam_no_expired_server_certificates_stored": (None, {"ASCA"}),
    "iam_no_root_access_key": (REPORT, {"<root_account>"}),
    "iam_password_policy_expires_passwords_within_90_days_or_less": (None, {"{account}"}),
    "iam_password_policy_lowercase": (None, {"{account}"}),
    "iam_password_policy_minimum_length_14": (None, {"{account}"}),
    "iam_password_policy_number": (None, {"{account}"}),
    "iam_password_policy_reuse_24": (None, {"{account}"}),
    "iam_password_policy_symbol": (None, {"{account}"}),
    "iam_password_policy_uppercase": (None, {"{account}"}),
    "iam_policy_allows_privilege_escalation": (None, {"everything"}),
    "iam_policy_attached_only_to_group_or_roles": (
        None, {"boss", "modeller", "wide", "climber", "inline-boss"},
    ),
    "iam_policy_cloudshell_admin_not_attached": (None, {"{account}"}),
    "iam_policy_no_agentcore_workload_access_token_wildcard": (None, {"passes"}),
    "iam_policy_no_full_access_to_cloudtrail": (None, {"everything", "trails"}),
    "iam_policy_no_full_access_to_kms": (None, {"everything", "keys"}),
    "iam_policy_no_wildcard_marketplace_subscribe": (None, {"everything", "market"}),
    "iam_policy_passrole_to_bedrock_agentcore_restricted": (None, {"passes"}),
    "iam_role_access_not_stale_to_bedrock": (
        ACCESS, {"audit", "worker", "boss-role", "reader"},
    ),
    "iam_role_administratoraccess_policy": (None, {"boss-role"}),
    "iam_role_cross_account_readonlyaccess_policy": (None, {"reader"}),
    "iam_role_cross_service_confused_deputy_prevention": (None, {"worker"}),
    "iam_role_service_trust_restricts_source_to_account": (None, {"any-source"}),
    # Says nothing of an account without an organization.
    "iam_root_credentials_management_enabled": (None, set()),
    "iam_root_hardware_mfa_enabled": (REPORT, {"<root_account>"}),
    "iam_root_mfa_enabled": (REPORT, {"<root_account>"}),
    "iam_rotate_access_key_90_days": (REPORT, {"old-access-key-1", "old-access-key-2"}),
    "iam_securityaudit_role_created": (None, set()),
    "iam_support_role_created": (None, {"{account}"}),
    "iam_user_access_not_stale_to_bedrock": (ACCESS, {"modeller", "boss", "inline-boss", "old"}),
    # Prowler reads the first page of a hundred services; with every right, SageMaker is on a later one.
    "iam_user_access_not_stale_to_sagemaker": (ACCESS, {"modeller"}),
    "iam_user_accesskey_unused": (REPORT, {"old"}),
    "iam_user_administrator_access_policy": (None, {"boss"}),
    # Nobody signs in to a console, which is not built.
    "iam_user_console_access_unused": (None, set()),
    "iam_user_hardware_mfa_enabled": (
        None, {"auditor", "boss", "climber", "inline-boss", "modeller", "old", "wide"},
    ),
    "iam_user_mfa_enabled_console_access": (REPORT, {"old"}),
    "iam_user_no_setup_initial_access_key": (REPORT, {"old"}),
    "iam_user_two_active_access_key": (REPORT, {"old"}),
    "iam_user_with_temporary_credentials": (
        ACCESS, {"boss", "inline-boss", "modeller", "old", "wide"},
    ),
}
# A virtual device is none of hardware; and an auditor may list what Bedrock has, and never did.
WELL_KEPT_FAILS = {
    "iam_user_hardware_mfa_enabled": {"auditor"},
    "iam_role_access_not_stale_to_bedrock": {"audit"},
}
# Prowler finds nothing to say of these in an account whose root user has neither password nor key,
# and that has no attached or inline policies of the kind.
WELL_KEPT_SILENT = {
    "iam_no_root_access_key",
    "iam_root_credentials_management_enabled",
    "iam_root_hardware_mfa_enabled",
    "iam_root_mfa_enabled",
    "iam_user_access_not_stale_to_bedrock",
    "iam_user_access_not_stale_to_sagemaker",
}


@dataclass
class Scan:
    account: str
    built: set
    findings: list
    errors: list

    def of(self, check, *statuses):
        """The names of the resources with one of the statuses."""
        return {
            # A server certificate goes by its id.
            re.sub("^ASCA[A-Z0-9]{17}$", "ASCA", row["RESOURCE_NAME"].split("/")[0])
            for row in self.findings
            if row["CHECK_ID"] == check and row["STATUS"] in statuses
        }


def built(audited):
    """Which of the two sources of data beyond the lists answer at all."""
    iam = audited.auditor.assume(audited.role).iam
    found = set()
    for operation, call in (
        (REPORT, iam.generate_credential_report),
        (ACCESS, lambda: iam.generate_service_last_accessed_details(
            Arn="arn:aws:iam::aws:policy/AdministratorAccess"
        )),
    ):
        try:
            call()
        except ClientError as error:
            assert refusal_of(error).status == 501, str(refusal_of(error))
        else:
            found.add(operation)
    return found


@pytest.fixture(scope="module")
def prowler(tool, tmp_path_factory):
    installed = tool("prowler")

    def scan(audited, *checks):
        place = tmp_path_factory.mktemp("scan")
        chosen = ["--checks", *checks] if checks else ["--service", "iam"]
        done = installed.run(
            "prowler", "aws", *chosen, "--role", audited.role, "--region", "us-east-1",
            "--output-modes", "csv", "--output-directory", place, "--output-filename", "scan",
            "--no-banner", "--no-color", "--log-level", "ERROR", "--log-file", place / "log",
            "--ignore-exit-code-3", env=audited.auditor.environment(), check=False,
        )
        assert done.returncode == 0, done.stdout + done.stderr
        # A risk's description may be longer than the reader's limit.
        csv.field_size_limit(1 << 20)
        findings = []
        # Without a finding there is no file.
        if (place / "scan.csv").exists():
            with open(place / "scan.csv", newline="") as file:
                findings = list(csv.DictReader(file, delimiter=";"))
        log = (place / "log").read_text() if (place / "log").exists() else ""
        errors = [json.loads(line)["message"] for line in log.splitlines()]
        return Scan(audited.world.account, built(audited), findings, errors)

    return scan


@pytest.fixture(scope="module")
def bad(prowler, start_server):
    return prowler(badly_kept(start_server(dev=True)))


@pytest.fixture(scope="module")
def good(prowler, start_server):
    account = well_kept(start_server())
    lock_root(account.world)
    return prowler(account)


@pytest.fixture(scope="module")
def root_with_key(prowler, start_server):
    """Root with a key and a device; Prowler has no words on MFA for a root without keys. It is an
    account of its own, as a credential report is up to four hours old."""
    return prowler(root_with_mfa(start_server()), "iam_root_mfa_enabled", "iam_root_hardware_mfa_enabled")


def test_this_page_names_every_check_of_prowler(tool):
    services = tool("prowler").packages / "prowler/providers/aws/services/iam"
    assert {file.parent.name for file in services.glob("*/*.metadata.json")} == set(CHECKS)


def test_prowler_errs_only_on_services_that_are_not_built(bad, good):
    for scan in (bad, good):
        expected = ELSEWHERE | ({REPORT, ACCESS} - scan.built)
        for error in scan.errors:
            assert any(f"calling the {name} operation" in error for name in expected), error


def pass_over(scan, check):
    needs = CHECKS[check][0]
    if needs and needs not in scan.built:
        pytest.skip(f"{needs} is not built")


@pytest.mark.parametrize("check", CHECKS)
def test_a_badly_kept_account_fails_where_it_was_built_to(check, bad):
    pass_over(bad, check)
    expected = {name.replace("{account}", bad.account) for name in CHECKS[check][1]}
    assert bad.of(check, "FAIL", "MANUAL") == expected


@pytest.mark.parametrize("check", CHECKS)
def test_a_well_kept_account_passes(check, good):
    pass_over(good, check)
    assert good.of(check, "FAIL", "MANUAL") == WELL_KEPT_FAILS.get(check, set())
    said = good.of(check, "PASS") | WELL_KEPT_FAILS.get(check, set())
    assert bool(said) != (check in WELL_KEPT_SILENT)


def test_roots_virtual_device_counts_as_mfa_and_not_as_hardware(root_with_key):
    pass_over(root_with_key, "iam_root_mfa_enabled")
    root = {"<root_account>"}
    assert root_with_key.of("iam_root_mfa_enabled", "PASS") == root
    assert root_with_key.of("iam_root_hardware_mfa_enabled", "FAIL") == root
