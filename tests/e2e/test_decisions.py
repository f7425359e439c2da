"""Who may do what: each row is one rule of IAM's policy evaluation, asked through boto3.

A row sets up a caller, lets it make one call, and says whether that is allowed or which layer
refuses, with AWS's whole message. Rules are those of the IAM User Guide, "Policy evaluation logic"
(reference_policies_evaluation-logic.html), "IAM JSON policy elements" (reference_policies_elements
.html) and "AWS global condition context keys" (reference_policies_condition-keys.html).
"""

import json
from dataclasses import dataclass, field

import pytest
from botocore.exceptions import ClientError

from clients import (
    BOUNDARY_DENY,
    BOUNDARY_SILENT,
    IDENTITY_DENY,
    MANAGED_IDENTITY_DENY,
    MANAGED_SESSION_DENY,
    IDENTITY_SILENT,
    SESSION_DENY,
    SESSION_SILENT,
    TRUST_DENY,
    TRUST_SILENT,
    Principal,
    assert_denied,
    refusal,
    refusal_of,
)
from world import allow, deny, policy, tags, trust, unique

# Stands for the account's id in policies, parameters and expectations.
ACCOUNT = "ACCOUNT"


# --- what is called ---------------------------------------------------------------------------


@dataclass(frozen=True)
class Call:
    service: str
    method: str
    parameters: dict = field(default_factory=dict)
    # `user/team/a/bob`, where the row wants the message to name it.
    resource: str | None = None

    @property
    def action(self):
        return f"{self.service}:{''.join(word.title() for word in self.method.split('_'))}"


PEOPLE = {"alice": "/", "bob": "/team/a/", "carol": "/team/b/"}


def get_user(name):
    return Call("iam", "get_user", {"UserName": name}, f"user{PEOPLE.get(name, '/')}{name}")


def tag_user(name, **pairs):
    return Call(
        "iam", "tag_user", {"UserName": name, "Tags": tags(**pairs)}, f"user{PEOPLE[name]}{name}"
    )


LIST_USERS = Call("iam", "list_users")
FEDERATE = Call("sts", "get_federation_token", {"Name": "someone"})
WHO_AM_I = Call("sts", "get_caller_identity")


def user_arn(path_and_name):
    return f"arn:aws:iam::{ACCOUNT}:user/{path_and_name}"


def when(operator, key, value):
    return {"Condition": {operator: {key: value}}}


# --- who calls --------------------------------------------------------------------------------


@dataclass(frozen=True)
class Check:
    rule: str
    call: Call
    # None: allowed. Otherwise the reason that the message gives.
    refused: str | None
    identity: tuple = ()
    # A whole policy document in place of statements.
    document: dict | None = None
    group: tuple = ()
    # Managed policies, each a tuple of statements.
    attached: tuple = ()
    attached_to_group: tuple = ()
    boundary: tuple | None = None
    via: str = "user"
    session: tuple | None = None
    session_arns: tuple = ()
    assume: dict = field(default_factory=dict)
    name: str | None = None
    path: str = "/"
    tagged: dict | None = None
    region: str | None = None
    user_agent: str | None = None
    # Where the message names another action than the call's own.
    action: str | None = None


def ok(rule, call, *identity, **rest):
    return Check(rule, call, None, identity, **rest)


def no(rule, call, reason, *identity, **rest):
    return Check(rule, call, reason, identity, **rest)


GET = allow("iam:GetUser")
GET_ANY = allow("iam:Get*")

ELEMENTS = [
    no("a_user_without_policies_may_do_nothing", get_user("alice"), IDENTITY_SILENT),
    ok("an_allowed_action_on_any_resource_is_allowed", get_user("alice"), GET),
    no("an_allow_of_another_action_is_no_allow", get_user("alice"), IDENTITY_SILENT, allow("iam:ListUsers")),
    ok("an_allow_of_exactly_this_resource_is_enough", get_user("alice"), allow("iam:GetUser", user_arn("alice"))),
    no("an_allow_of_another_resource_is_no_allow", get_user("bob"), IDENTITY_SILENT, allow("iam:GetUser", user_arn("alice"))),
    no("a_name_without_its_path_is_another_resource", get_user("bob"), IDENTITY_SILENT, allow("iam:GetUser", user_arn("bob"))),
    ok("a_star_in_an_action_matches_its_end", get_user("alice"), GET_ANY),
    no("a_star_in_an_action_matches_no_other_verb", LIST_USERS, IDENTITY_SILENT, GET_ANY),
    ok("a_star_in_the_middle_of_an_action_matches", get_user("alice"), allow("iam:G*User")),
    ok("a_lone_star_is_every_action", get_user("alice"), allow("*")),
    ok("a_question_mark_is_one_character_of_an_action", get_user("alice"), allow("iam:GetUse?")),
    no("a_question_mark_is_not_no_character", get_user("alice"), IDENTITY_SILENT, allow("iam:GetUser?")),
    ok("actions_are_compared_without_regard_to_case", get_user("alice"), allow("IAM:getuser")),
    ok("any_of_several_actions_is_enough", get_user("alice"), allow(["iam:ListUsers", "iam:GetUser"])),
    no("an_action_of_another_service_of_the_same_name_is_no_allow", get_user("alice"), IDENTITY_SILENT, allow("sts:GetUser")),
    ok("a_star_in_a_resource_matches_a_path", get_user("bob"), allow("iam:GetUser", user_arn("team/a/*"))),
    no("a_star_in_a_resource_matches_no_other_path", get_user("carol"), IDENTITY_SILENT, allow("iam:GetUser", user_arn("team/a/*"))),
    ok("a_star_in_a_resource_spans_slashes", get_user("carol"), allow("iam:GetUser", user_arn("team/*"))),
    ok("a_question_mark_is_one_character_of_a_resource", get_user("alice"), allow("iam:GetUser", user_arn("alic?"))),
    no("resources_are_compared_with_regard_to_case", get_user("alice"), IDENTITY_SILENT, allow("iam:GetUser", user_arn("Alice"))),
    ok("any_of_several_resources_is_enough", get_user("bob"), allow("iam:GetUser", [user_arn("alice"), user_arn("team/a/bob")])),
    no("an_allow_in_another_account_is_no_allow", get_user("alice"), IDENTITY_SILENT, allow("iam:GetUser", "arn:aws:iam::999999999999:user/*")),
    no("an_explicit_deny_beats_an_allow", get_user("alice"), IDENTITY_DENY, allow("*"), deny("iam:GetUser")),
    no("the_order_of_allow_and_deny_does_not_matter", get_user("alice"), IDENTITY_DENY, deny("iam:GetUser"), allow("*")),
    no("a_deny_without_any_allow_is_reported_as_a_deny", get_user("alice"), IDENTITY_DENY, deny("iam:GetUser")),
    ok("a_deny_of_another_resource_leaves_this_one", get_user("alice"), GET, deny("iam:GetUser", user_arn("team/*"))),
    no("a_deny_by_path_covers_whoever_is_under_it", get_user("bob"), IDENTITY_DENY, GET, deny("iam:GetUser", user_arn("team/*"))),
    ok("not_action_allows_every_other_action", get_user("alice"), {"Effect": "Allow", "NotAction": "iam:DeleteUser", "Resource": "*"}),
    no("not_action_does_not_allow_what_it_names", get_user("alice"), IDENTITY_SILENT, {"Effect": "Allow", "NotAction": "iam:Get*", "Resource": "*"}),
    ok("not_resource_allows_every_other_resource", get_user("alice"), {"Effect": "Allow", "Action": "iam:GetUser", "NotResource": user_arn("team/*")}),
    no("not_resource_does_not_allow_what_it_names", get_user("bob"), IDENTITY_SILENT, {"Effect": "Allow", "Action": "iam:GetUser", "NotResource": user_arn("team/*")}),
    no("a_deny_of_not_action_denies_every_other_action", get_user("alice"), IDENTITY_DENY, allow("iam:*"), {"Effect": "Deny", "NotAction": "iam:ListUsers", "Resource": "*"}),
    ok("a_deny_of_not_action_leaves_what_it_names", LIST_USERS, allow("iam:*"), {"Effect": "Deny", "NotAction": "iam:ListUsers", "Resource": "*"}),
    no("a_deny_of_not_resource_denies_every_other_resource", get_user("bob"), IDENTITY_DENY, GET, {"Effect": "Deny", "Action": "iam:GetUser", "NotResource": user_arn("alice")}),
    ok("a_deny_of_not_resource_leaves_what_it_names", get_user("alice"), GET, {"Effect": "Deny", "Action": "iam:GetUser", "NotResource": user_arn("alice")}),
    ok("a_single_statement_needs_no_list", get_user("alice"), document={"Version": "2012-10-17", "Statement": GET}),
    no("a_user_that_is_not_there_is_hidden_from_who_may_not_ask", get_user("nobody"), IDENTITY_SILENT),
]

SOURCES = [
    ok("a_groups_policy_reaches_its_members", get_user("alice"), group=(GET,)),
    no("a_deny_in_a_groups_policy_beats_the_users_allow", get_user("alice"), IDENTITY_DENY, GET, group=(deny("iam:GetUser"),)),
    ok("a_managed_policy_of_a_group_reaches_its_members", get_user("alice"), attached_to_group=((GET,),)),
    ok("a_managed_policy_of_the_user_allows", get_user("alice"), attached=((GET,),)),
    ok("several_managed_policies_add_up", get_user("alice"), attached=((allow("iam:ListUsers"),), (GET,))),
    no("a_deny_in_a_managed_policy_beats_an_inline_allow", get_user("alice"), MANAGED_IDENTITY_DENY, GET, attached=((deny("iam:Get*"),),)),
    ok("a_boundary_and_a_policy_that_both_allow_allow", get_user("alice"), GET, boundary=(GET_ANY,)),
    no("what_the_boundary_does_not_allow_is_refused", get_user("alice"), BOUNDARY_SILENT, GET, boundary=(allow("iam:List*"),)),
    no("a_boundary_grants_nothing_by_itself", get_user("alice"), IDENTITY_SILENT, boundary=(GET,)),
    no("a_deny_in_the_boundary_refuses", get_user("alice"), BOUNDARY_DENY, GET, boundary=(allow("*"), deny("iam:GetUser"))),
    no("a_deny_in_a_policy_is_named_before_a_silent_boundary", get_user("alice"), IDENTITY_DENY, GET, deny("iam:GetUser"), boundary=(allow("iam:List*"),)),
    no("a_boundary_limits_what_groups_grant", get_user("alice"), BOUNDARY_SILENT, group=(GET,), boundary=(allow("iam:List*"),)),
    no("a_boundary_is_limited_to_its_resources", get_user("bob"), BOUNDARY_SILENT, GET, boundary=(allow("iam:GetUser", user_arn("alice")),)),
    no("a_boundary_whose_condition_fails_is_silent", get_user("alice"), BOUNDARY_SILENT, GET, boundary=(allow("iam:GetUser", **when("IpAddress", "aws:SourceIp", "10.0.0.0/8")),)),
    ok("a_roles_policy_reaches_its_sessions", get_user("alice"), GET, via="role"),
    no("a_role_without_policies_may_do_nothing", get_user("alice"), IDENTITY_SILENT, via="role"),
    no("a_deny_in_a_roles_policy_beats_its_allow", get_user("alice"), IDENTITY_DENY, GET, deny("iam:GetUser", user_arn("alice")), via="role"),
    ok("a_managed_policy_of_a_role_reaches_its_sessions", get_user("alice"), via="role", attached=((GET,),)),
    no("a_roles_boundary_limits_its_sessions", get_user("alice"), BOUNDARY_SILENT, GET, via="role", boundary=(allow("iam:List*"),)),
    no("a_deny_in_a_roles_boundary_refuses_its_sessions", get_user("alice"), BOUNDARY_DENY, GET, via="role", boundary=(allow("*"), deny("iam:Get*"))),
    ok("a_session_policy_that_allows_leaves_the_roles_allow", get_user("alice"), GET, via="role", session=(GET_ANY,)),
    no("what_the_session_policy_does_not_allow_is_refused", get_user("alice"), SESSION_SILENT, GET, via="role", session=(allow("iam:ListUsers"),)),
    no("a_session_policy_grants_nothing_by_itself", get_user("alice"), IDENTITY_SILENT, via="role", session=(GET,)),
    no("a_deny_in_the_session_policy_refuses", get_user("alice"), SESSION_DENY, GET, via="role", session=(allow("*"), deny("iam:GetUser"))),
    no("a_session_policy_is_limited_to_its_resources", get_user("bob"), SESSION_SILENT, GET, via="role", session=(allow("iam:GetUser", user_arn("alice")),)),
    ok("a_managed_policy_as_session_policy_leaves_what_it_allows", get_user("alice"), GET, via="role", session_arns=((GET,),)),
    no("a_managed_policy_as_session_policy_limits", get_user("alice"), SESSION_SILENT, GET, via="role", session_arns=((allow("iam:ListUsers"),),)),
    ok("session_policies_add_up_among_themselves", get_user("alice"), GET, via="role", session=(allow("iam:ListUsers"),), session_arns=((GET,),)),
    no("a_deny_in_a_managed_session_policy_refuses", get_user("alice"), MANAGED_SESSION_DENY, GET, via="role", session=(GET,), session_arns=((deny("iam:GetUser"),),)),
    no("a_deny_in_the_roles_policy_beats_the_session_policy", get_user("alice"), IDENTITY_DENY, GET, deny("iam:GetUser"), via="role", session=(allow("*"),)),
    ok("policy_boundary_and_session_policy_that_all_allow_allow", get_user("alice"), GET, via="role", boundary=(GET_ANY,), session=(allow("*"),)),
    ok("the_caller_may_always_ask_who_it_is", WHO_AM_I),
    # sts:GetCallerIdentity, API reference: works even with an explicit deny.
    ok("asking_who_one_is_cannot_be_denied", WHO_AM_I, deny("*")),
    # GetSessionToken, API reference: no permissions are required.
    ok("a_user_needs_no_permission_for_a_session_token", Call("sts", "get_session_token")),
    no("a_federation_token_needs_permission", FEDERATE, IDENTITY_SILENT),
    ok("the_root_user_needs_no_policy", get_user("alice"), via="root"),
]

USERNAME = "condition-caller"

CONDITIONS = [
    ok("string_equals_holds_for_the_value", get_user("alice"), allow("iam:GetUser", **when("StringEquals", "aws:PrincipalTag/team", "blue")), tagged={"team": "blue"}),
    no("string_equals_fails_for_another_value", get_user("alice"), IDENTITY_SILENT, allow("iam:GetUser", **when("StringEquals", "aws:PrincipalTag/team", "blue")), tagged={"team": "red"}),
    no("string_equals_minds_case", get_user("alice"), IDENTITY_SILENT, allow("iam:GetUser", **when("StringEquals", "aws:PrincipalTag/team", "Blue")), tagged={"team": "blue"}),
    ok("string_equals_holds_for_any_value_of_a_list", get_user("alice"), allow("iam:GetUser", **when("StringEquals", "aws:PrincipalTag/team", ["red", "blue"])), tagged={"team": "blue"}),
    no("string_equals_fails_without_the_key", get_user("alice"), IDENTITY_SILENT, allow("iam:GetUser", **when("StringEquals", "aws:PrincipalTag/team", "blue"))),
    no("string_equals_knows_no_wildcards", get_user("alice"), IDENTITY_SILENT, allow("iam:GetUser", **when("StringEquals", "aws:PrincipalTag/team", "b*")), tagged={"team": "blue"}),
    ok("if_exists_holds_without_the_key", get_user("alice"), allow("iam:GetUser", **when("StringEqualsIfExists", "aws:PrincipalTag/team", "blue"))),
    no("if_exists_still_minds_the_value", get_user("alice"), IDENTITY_SILENT, allow("iam:GetUser", **when("StringEqualsIfExists", "aws:PrincipalTag/team", "blue")), tagged={"team": "red"}),
    no("string_not_equals_fails_for_the_value", get_user("alice"), IDENTITY_SILENT, allow("iam:GetUser", **when("StringNotEquals", "aws:PrincipalTag/team", "blue")), tagged={"team": "blue"}),
    ok("string_not_equals_holds_without_the_key", get_user("alice"), allow("iam:GetUser", **when("StringNotEquals", "aws:PrincipalTag/team", "blue"))),
    no("string_not_equals_of_a_list_fails_for_each_of_it", get_user("alice"), IDENTITY_SILENT, allow("iam:GetUser", **when("StringNotEquals", "aws:PrincipalTag/team", ["red", "blue"])), tagged={"team": "blue"}),
    ok("string_equals_ignore_case_does_not_mind_case", get_user("alice"), allow("iam:GetUser", **when("StringEqualsIgnoreCase", "aws:PrincipalTag/team", "BLUE")), tagged={"team": "blue"}),
    no("string_not_equals_ignore_case_does_not_mind_case", get_user("alice"), IDENTITY_SILENT, allow("iam:GetUser", **when("StringNotEqualsIgnoreCase", "aws:PrincipalTag/team", "BLUE")), tagged={"team": "blue"}),
    ok("string_like_knows_wildcards", get_user("alice"), allow("iam:GetUser", **when("StringLike", "aws:PrincipalTag/team", "b?u*")), tagged={"team": "blue"}),
    no("string_like_minds_case", get_user("alice"), IDENTITY_SILENT, allow("iam:GetUser", **when("StringLike", "aws:PrincipalTag/team", "B*")), tagged={"team": "blue"}),
    no("string_not_like_fails_for_a_match", get_user("alice"), IDENTITY_SILENT, allow("iam:GetUser", **when("StringNotLike", "aws:PrincipalTag/team", "b*")), tagged={"team": "blue"}),
    ok("key_names_are_compared_without_regard_to_case", get_user("alice"), allow("iam:GetUser", **when("StringEquals", "AWS:UserName", USERNAME)), name=USERNAME),
    no("several_operators_must_all_hold", get_user("alice"), IDENTITY_SILENT, allow("iam:GetUser", Condition={"StringEquals": {"aws:PrincipalTag/team": "blue"}, "IpAddress": {"aws:SourceIp": "10.0.0.0/8"}}), tagged={"team": "blue"}),
    no("several_keys_of_an_operator_must_all_hold", get_user("alice"), IDENTITY_SILENT, allow("iam:GetUser", Condition={"StringEquals": {"aws:PrincipalTag/team": "blue", "aws:PrincipalTag/env": "prod"}}), tagged={"team": "blue", "env": "test"}),
    ok("several_keys_of_an_operator_that_all_hold_hold", get_user("alice"), allow("iam:GetUser", Condition={"StringEquals": {"aws:PrincipalTag/team": "blue", "aws:PrincipalTag/env": "prod"}}), tagged={"team": "blue", "env": "prod"}),
    no("a_deny_whose_condition_holds_denies", get_user("alice"), IDENTITY_DENY, GET, deny("*", **when("StringEquals", "aws:PrincipalTag/team", "blue")), tagged={"team": "blue"}),
    ok("a_deny_whose_condition_fails_does_not_deny", get_user("alice"), GET, deny("*", **when("StringEquals", "aws:PrincipalTag/team", "blue")), tagged={"team": "red"}),
    # ARNs
    ok("arn_equals_holds_for_the_principals_arn", get_user("alice"), allow("iam:GetUser", **when("ArnEquals", "aws:PrincipalArn", user_arn("arn-caller"))), name="arn-caller"),
    ok("arn_like_knows_wildcards", get_user("alice"), allow("iam:GetUser", **when("ArnLike", "aws:PrincipalArn", "arn:aws:iam::*:user/ops/*")), path="/ops/"),
    no("arn_like_minds_the_path", get_user("alice"), IDENTITY_SILENT, allow("iam:GetUser", **when("ArnLike", "aws:PrincipalArn", "arn:aws:iam::*:user/ops/*")), path="/dev/"),
    no("arn_not_like_fails_for_a_match", get_user("alice"), IDENTITY_SILENT, allow("iam:GetUser", **when("ArnNotLike", "aws:PrincipalArn", "arn:aws:iam::*:user/*"))),
    ok("arn_not_equals_holds_for_another_arn", get_user("alice"), allow("iam:GetUser", **when("ArnNotEquals", "aws:PrincipalArn", user_arn("alice")))),
    no("a_star_in_an_arn_pattern_does_not_span_its_colons", get_user("alice"), IDENTITY_SILENT, allow("iam:GetUser", **when("ArnLike", "aws:PrincipalArn", "arn:aws:iam:*:user/*"))),
    # aws:PrincipalArn, global condition keys: for a role's session it is the role's ARN.
    ok("the_principal_arn_of_a_session_is_the_roles", get_user("alice"), allow("iam:GetUser", **when("ArnEquals", "aws:PrincipalArn", f"arn:aws:iam::{ACCOUNT}:role/arn-role")), via="role", name="arn-role"),
    no("the_principal_arn_of_a_session_is_not_the_sessions", get_user("alice"), IDENTITY_SILENT, allow("iam:GetUser", **when("ArnLike", "aws:PrincipalArn", "arn:aws:sts::*:assumed-role/*")), via="role"),
    # addresses
    ok("ip_address_holds_inside_the_block", get_user("alice"), allow("iam:GetUser", **when("IpAddress", "aws:SourceIp", "127.0.0.0/8"))),
    ok("ip_address_holds_for_a_single_address", get_user("alice"), allow("iam:GetUser", **when("IpAddress", "aws:SourceIp", "127.0.0.1"))),
    no("ip_address_fails_outside_the_block", get_user("alice"), IDENTITY_SILENT, allow("iam:GetUser", **when("IpAddress", "aws:SourceIp", ["10.0.0.0/8", "2001:db8::/32"]))),
    ok("not_ip_address_holds_outside_the_block", get_user("alice"), allow("iam:GetUser", **when("NotIpAddress", "aws:SourceIp", "10.0.0.0/8"))),
    no("a_deny_of_other_networks_denies_them", get_user("alice"), IDENTITY_DENY, GET, deny("*", **when("NotIpAddress", "aws:SourceIp", ["10.0.0.0/8", "192.0.2.0/24"]))),
    # times and numbers
    ok("date_greater_than_holds_after_the_date", get_user("alice"), allow("iam:GetUser", **when("DateGreaterThan", "aws:CurrentTime", "2020-01-01T00:00:00Z"))),
    no("date_less_than_fails_after_the_date", get_user("alice"), IDENTITY_SILENT, allow("iam:GetUser", **when("DateLessThan", "aws:CurrentTime", "2020-01-01T00:00:00Z"))),
    ok("date_less_than_holds_before_the_date", get_user("alice"), allow("iam:GetUser", **when("DateLessThanEquals", "aws:CurrentTime", "2199-12-31"))),
    no("a_deny_after_a_date_denies", get_user("alice"), IDENTITY_DENY, GET, deny("*", **when("DateGreaterThanEquals", "aws:CurrentTime", "2020-01-01"))),
    ok("dates_may_be_epoch_seconds", get_user("alice"), allow("iam:GetUser", **when("DateGreaterThan", "aws:CurrentTime", "1577836800"))),
    ok("date_not_equals_holds_for_another_date", get_user("alice"), allow("iam:GetUser", **when("DateNotEquals", "aws:CurrentTime", "2020-01-01T00:00:00Z"))),
    ok("the_epoch_time_compares_as_a_number", get_user("alice"), allow("iam:GetUser", **when("NumericGreaterThan", "aws:EpochTime", "1577836800"))),
    no("numeric_less_than_fails_for_a_greater_number", get_user("alice"), IDENTITY_SILENT, allow("iam:GetUser", **when("NumericLessThan", "aws:EpochTime", "1577836800"))),
    ok("numbers_compare_as_numbers_not_as_text", get_user("alice"), allow("iam:GetUser", **when("NumericGreaterThanEquals", "aws:EpochTime", "9"))),
    no("numeric_equals_fails_for_another_number", get_user("alice"), IDENTITY_SILENT, allow("iam:GetUser", **when("NumericEquals", "aws:EpochTime", "1"))),
    ok("numeric_not_equals_holds_for_another_number", get_user("alice"), allow("iam:GetUser", **when("NumericNotEquals", "aws:EpochTime", "1"))),
    no("a_numeric_operator_fails_without_the_key", get_user("alice"), IDENTITY_SILENT, allow("iam:GetUser", **when("NumericLessThan", "aws:MultiFactorAuthAge", "3600"))),
    # true or false, there or not
    ok("bool_holds_for_the_value", get_user("alice"), allow("iam:GetUser", **when("Bool", "aws:SecureTransport", "false"))),
    ok("bool_takes_a_json_boolean", get_user("alice"), allow("iam:GetUser", **when("Bool", "aws:SecureTransport", False))),
    no("a_deny_of_insecure_transport_denies_plain_http", get_user("alice"), IDENTITY_DENY, GET, deny("*", **when("Bool", "aws:SecureTransport", "false"))),
    no("long_term_keys_have_no_mfa", get_user("alice"), IDENTITY_SILENT, allow("iam:GetUser", **when("Bool", "aws:MultiFactorAuthPresent", "true"))),
    # aws:MultiFactorAuthPresent, global condition keys: it is absent with long-term keys.
    ok("a_deny_of_bool_mfa_false_misses_long_term_keys", get_user("alice"), GET, deny("*", **when("Bool", "aws:MultiFactorAuthPresent", "false"))),
    no("a_deny_of_bool_if_exists_mfa_false_catches_long_term_keys", get_user("alice"), IDENTITY_DENY, GET, deny("*", **when("BoolIfExists", "aws:MultiFactorAuthPresent", "false"))),
    no("a_role_session_without_mfa_says_so", get_user("alice"), IDENTITY_DENY, GET, deny("*", **when("Bool", "aws:MultiFactorAuthPresent", "false")), via="role"),
    ok("null_true_holds_without_the_key", get_user("alice"), allow("iam:GetUser", **when("Null", "aws:TokenIssueTime", "true"))),
    no("null_true_fails_with_the_key", get_user("alice"), IDENTITY_SILENT, allow("iam:GetUser", **when("Null", "aws:TokenIssueTime", "true")), via="role"),
    ok("null_false_holds_with_the_key", get_user("alice"), allow("iam:GetUser", **when("Null", "aws:TokenIssueTime", "false")), via="role"),
    no("null_false_fails_without_the_key", get_user("alice"), IDENTITY_SILENT, allow("iam:GetUser", **when("Null", "aws:PrincipalTag/team", "false"))),
    # what the server knows of the call
    ok("the_user_agent_is_known", get_user("alice"), allow("iam:GetUser", **when("StringLike", "aws:UserAgent", "*inspector/7*")), user_agent="inspector/7"),
    no("another_user_agent_is_refused", get_user("alice"), IDENTITY_SILENT, allow("iam:GetUser", **when("StringLike", "aws:UserAgent", "*inspector/7*")), user_agent="inspector/8"),
    ok("the_account_of_the_principal_is_known", get_user("alice"), allow("iam:GetUser", **when("StringEquals", "aws:PrincipalAccount", ACCOUNT))),
    ok("the_account_of_the_resource_is_known", get_user("alice"), allow("iam:GetUser", **when("StringEquals", "aws:ResourceAccount", ACCOUNT))),
    ok("the_type_of_a_user_is_known", get_user("alice"), allow("iam:GetUser", **when("StringEquals", "aws:PrincipalType", "User"))),
    ok("the_type_of_a_role_session_is_known", get_user("alice"), allow("iam:GetUser", **when("StringEquals", "aws:PrincipalType", "AssumedRole")), via="role"),
    ok("a_direct_call_is_not_via_a_service", get_user("alice"), allow("iam:GetUser", **when("Bool", "aws:ViaAWSService", "false"))),
    no("a_caller_is_not_an_aws_service", get_user("alice"), IDENTITY_SILENT, allow("iam:GetUser", **when("Bool", "aws:PrincipalIsAWSService", "true"))),
    no("an_account_without_organization_has_no_organization_id", get_user("alice"), IDENTITY_SILENT, allow("iam:GetUser", **when("StringLike", "aws:PrincipalOrgID", "o-*"))),
    ok("the_user_id_of_a_session_ends_with_its_name", get_user("alice"), allow("iam:GetUser", **when("StringLike", "aws:userid", "AROA*:check-session")), via="role"),
    ok("a_call_to_iam_is_made_in_us_east_1", get_user("alice"), allow("iam:GetUser", **when("StringEquals", "aws:RequestedRegion", "us-east-1"))),
    ok("the_region_of_a_call_is_the_one_it_is_signed_for", FEDERATE, allow("sts:GetFederationToken", **when("StringEquals", "aws:RequestedRegion", "eu-west-1")), region="eu-west-1"),
    no("another_region_is_refused", FEDERATE, IDENTITY_SILENT, allow("sts:GetFederationToken", **when("StringEquals", "aws:RequestedRegion", "eu-west-1")), region="eu-central-1"),
]

TAGS_AND_VARIABLES = [
    ok("the_tags_of_the_resource_are_known", get_user("bob"), allow("iam:GetUser", **when("StringEquals", "aws:ResourceTag/team", "blue"))),
    no("another_tag_of_the_resource_is_refused", get_user("carol"), IDENTITY_SILENT, allow("iam:GetUser", **when("StringEquals", "aws:ResourceTag/team", "blue"))),
    ok("iams_own_key_for_the_resources_tags_is_known", get_user("bob"), allow("iam:GetUser", **when("StringEquals", "iam:ResourceTag/team", "blue"))),
    no("a_deny_by_the_resources_tag_denies", get_user("carol"), IDENTITY_DENY, GET, deny("iam:*", **when("StringEquals", "aws:ResourceTag/team", "red"))),
    ok("the_tags_of_a_role_as_resource_are_known", Call("iam", "get_role", {"RoleName": "app"}, "role/service/app"), allow("iam:GetRole", **when("StringEquals", "aws:ResourceTag/team", "blue"))),
    ok("a_caller_reaches_resources_of_its_own_tag", get_user("bob"), allow("iam:GetUser", **when("StringEquals", "aws:ResourceTag/team", "${aws:PrincipalTag/team}")), tagged={"team": "blue"}),
    no("a_caller_does_not_reach_resources_of_another_tag", get_user("carol"), IDENTITY_SILENT, allow("iam:GetUser", **when("StringEquals", "aws:ResourceTag/team", "${aws:PrincipalTag/team}")), tagged={"team": "blue"}),
    no("a_variable_without_a_value_matches_nothing", get_user("bob"), IDENTITY_SILENT, allow("iam:GetUser", **when("StringLike", "aws:ResourceTag/team", "${aws:PrincipalTag/team}*"))),
    ok("a_variables_default_stands_in", get_user("bob"), allow("iam:GetUser", **when("StringEquals", "aws:ResourceTag/team", "${aws:PrincipalTag/team, 'blue'}"))),
    no("a_variables_default_gives_way_to_its_value", get_user("bob"), IDENTITY_SILENT, allow("iam:GetUser", **when("StringEquals", "aws:ResourceTag/team", "${aws:PrincipalTag/team, 'blue'}")), tagged={"team": "red"}),
    ok("a_variable_in_a_resource_is_the_callers_own_name", Call("iam", "get_user", {"UserName": "myself"}, "user/myself"), allow("iam:GetUser", user_arn("${aws:username}")), name="myself"),
    no("a_variable_in_a_resource_is_nobody_elses_name", get_user("alice"), IDENTITY_SILENT, allow("iam:GetUser", user_arn("${aws:username}"))),
    # Version element: variables are known from 2012-10-17 on only; before, they are plain text.
    no("an_old_policy_version_knows_no_variables", Call("iam", "get_user", {"UserName": "oldself"}, "user/oldself"), IDENTITY_SILENT, name="oldself", document={"Version": "2008-10-17", "Statement": [allow("iam:GetUser", user_arn("${aws:username}"))]}),
    ok("an_escaped_star_is_a_plain_star", get_user("alice"), allow("iam:GetUser", **when("StringLike", "aws:UserAgent", "tool${*}x*")), user_agent="tool*x"),
    no("an_escaped_star_is_no_wildcard", get_user("alice"), IDENTITY_SILENT, allow("iam:GetUser", **when("StringLike", "aws:UserAgent", "tool${*}x*")), user_agent="toolyx"),
    ok("a_requested_tag_is_known", tag_user("bob", cost="1"), allow("iam:TagUser", **when("StringEquals", "aws:RequestTag/cost", "1"))),
    no("a_requested_tag_of_another_value_is_refused", tag_user("bob", cost="2"), IDENTITY_SILENT, allow("iam:TagUser", **when("StringEquals", "aws:RequestTag/cost", "1"))),
    ok("for_all_values_holds_if_every_tag_key_is_listed", tag_user("bob", cost="1", env="x"), allow("iam:TagUser", **when("ForAllValues:StringEquals", "aws:TagKeys", ["cost", "env"]))),
    no("for_all_values_fails_if_one_tag_key_is_not_listed", tag_user("bob", cost="1", other="x"), IDENTITY_SILENT, allow("iam:TagUser", **when("ForAllValues:StringEquals", "aws:TagKeys", ["cost", "env"]))),
    ok("for_any_value_holds_if_one_tag_key_is_listed", tag_user("bob", cost="1", env="x"), allow("iam:TagUser", **when("ForAnyValue:StringEquals", "aws:TagKeys", ["cost"]))),
    no("for_any_value_fails_if_no_tag_key_is_listed", tag_user("bob", env="x"), IDENTITY_SILENT, allow("iam:TagUser", **when("ForAnyValue:StringEquals", "aws:TagKeys", ["cost"]))),
    # "Set operators for multivalued context keys": ForAllValues holds where the key is absent.
    ok("for_all_values_holds_without_the_key", get_user("alice"), allow("iam:GetUser", **when("ForAllValues:StringEquals", "aws:TagKeys", ["cost"]))),
    no("for_any_value_fails_without_the_key", get_user("alice"), IDENTITY_SILENT, allow("iam:GetUser", **when("ForAnyValue:StringEquals", "aws:TagKeys", ["cost"]))),
    ok("for_any_value_with_wildcards_holds_for_a_match", tag_user("bob", cost="1"), allow("iam:TagUser", **when("ForAnyValue:StringLike", "aws:TagKeys", ["co*"]))),
    no("untagging_counts_as_naming_the_tag_key", Call("iam", "untag_user", {"UserName": "bob", "TagKeys": ["team2"]}, "user/team/a/bob"), IDENTITY_SILENT, allow("iam:UntagUser", **when("ForAllValues:StringEquals", "aws:TagKeys", ["cost"]))),
    ok("a_user_may_be_created_with_the_required_tag", Call("iam", "create_user", {"UserName": "made-tagged", "Tags": tags(team="blue")}), allow(["iam:CreateUser", "iam:TagUser"], **when("StringEquals", "aws:RequestTag/team", "blue"))),
    no("a_user_may_not_be_created_without_the_required_tag", Call("iam", "create_user", {"UserName": "made-untagged"}, "user/made-untagged"), IDENTITY_SILENT, allow(["iam:CreateUser", "iam:TagUser"], **when("StringEquals", "aws:RequestTag/team", "blue"))),
    # CreateUser with tags, "Tagging IAM users": iam:TagUser is needed as well.
    no("creating_a_tagged_user_needs_permission_to_tag", Call("iam", "create_user", {"UserName": "made-tagging", "Tags": tags(team="blue")}, "user/made-tagging"), IDENTITY_SILENT, allow("iam:CreateUser"), action="iam:TagUser"),
    ok("the_tags_of_a_role_are_its_sessions_tags", get_user("bob"), allow("iam:GetUser", **when("StringEquals", "aws:ResourceTag/team", "${aws:PrincipalTag/team}")), via="role", tagged={"team": "blue"}),
    no("a_session_tag_overrides_the_roles_tag", get_user("bob"), IDENTITY_SILENT, allow("iam:GetUser", **when("StringEquals", "aws:ResourceTag/team", "${aws:PrincipalTag/team}")), via="role", tagged={"team": "blue"}, assume={"Tags": tags(team="red")}),
    ok("a_session_tag_is_a_principal_tag", get_user("carol"), allow("iam:GetUser", **when("StringEquals", "aws:ResourceTag/team", "${aws:PrincipalTag/team}")), via="role", assume={"Tags": tags(team="red")}),
    ok("the_source_identity_of_a_session_is_known", get_user("alice"), allow("iam:GetUser", **when("StringEquals", "aws:SourceIdentity", "diana")), via="role", assume={"SourceIdentity": "diana"}),
    no("another_source_identity_is_refused", get_user("alice"), IDENTITY_SILENT, allow("iam:GetUser", **when("StringEquals", "aws:SourceIdentity", "diana")), via="role", assume={"SourceIdentity": "elena"}),
    # Keys of IAM's own operations.
    ok("the_policy_to_attach_is_known", Call("iam", "attach_user_policy", {"UserName": "alice", "PolicyArn": f"arn:aws:iam::{ACCOUNT}:policy/readers"}, "user/alice"), allow("iam:AttachUserPolicy", **when("ArnEquals", "iam:PolicyARN", f"arn:aws:iam::{ACCOUNT}:policy/readers"))),
    no("another_policy_may_not_be_attached", Call("iam", "attach_user_policy", {"UserName": "alice", "PolicyArn": f"arn:aws:iam::{ACCOUNT}:policy/writers"}, "user/alice"), IDENTITY_SILENT, allow("iam:AttachUserPolicy", **when("ArnEquals", "iam:PolicyARN", f"arn:aws:iam::{ACCOUNT}:policy/readers"))),
    ok("a_user_may_be_created_under_the_required_boundary", Call("iam", "create_user", {"UserName": "made-bounded", "PermissionsBoundary": f"arn:aws:iam::{ACCOUNT}:policy/readers"}), allow("iam:CreateUser", **when("StringEquals", "iam:PermissionsBoundary", f"arn:aws:iam::{ACCOUNT}:policy/readers"))),
    no("a_user_may_not_be_created_without_the_required_boundary", Call("iam", "create_user", {"UserName": "made-unbounded"}, "user/made-unbounded"), IDENTITY_SILENT, allow("iam:CreateUser", **when("StringEquals", "iam:PermissionsBoundary", f"arn:aws:iam::{ACCOUNT}:policy/readers"))),
    no("a_user_may_not_be_created_outside_the_allowed_path", Call("iam", "create_user", {"UserName": "made-elsewhere", "Path": "/elsewhere/"}, "user/elsewhere/made-elsewhere"), IDENTITY_SILENT, allow("iam:CreateUser", user_arn("team/*"))),
    # AddRoleToInstanceProfile, service authorization reference: iam:PassRole is a dependent action.
    no("a_role_goes_into_an_instance_profile_only_by_who_may_pass_it", Call("iam", "add_role_to_instance_profile", {"InstanceProfileName": "box", "RoleName": "app"}, "role/service/app"), IDENTITY_SILENT, allow("iam:AddRoleToInstanceProfile"), action="iam:PassRole"),
]


def in_account(value, account):
    """The value with the account's id in place of ACCOUNT, however deep."""
    return json.loads(json.dumps(value).replace(ACCOUNT, account))


@pytest.fixture(scope="module")
def scene(world):
    """What the rows talk about."""
    for name, path in PEOPLE.items():
        world.iam.create_user(UserName=name, Path=path)
    world.iam.tag_user(UserName="bob", Tags=tags(team="blue"))
    world.iam.tag_user(UserName="carol", Tags=tags(team="red"))
    world.role(name="app", path="/service/", tagged={"team": "blue"})
    world.iam.create_instance_profile(InstanceProfileName="box")
    world.managed_policy(GET, name="readers")
    world.managed_policy(allow("iam:Put*"), name="writers")
    world.broker = world.user(allow("sts:*"))
    return world


def caller_of(check, scene):
    def here(value):
        return in_account(value, scene.account)

    identity = here(check.identity)
    attached = [scene.managed_policy(*here(statements)) for statements in check.attached]
    boundary = None
    if check.boundary is not None:
        boundary = scene.managed_policy(*here(check.boundary))
    common = {
        "name": check.name,
        "path": check.path,
        "tagged": check.tagged,
        "boundary": boundary,
        "attached": attached,
    }
    if check.via == "root":
        return scene.root
    if check.via == "role":
        role = scene.role(*identity, **common)
        parameters = dict(check.assume)
        if check.session is not None:
            parameters["Policy"] = policy(*here(check.session))
        if check.session_arns:
            parameters["PolicyArns"] = [
                {"arn": scene.managed_policy(*here(statements))}
                for statements in check.session_arns
            ]
        return scene.broker.assume(role, "check-session", **parameters)
    user = scene.user(*identity, **common)
    if check.document is not None:
        scene.iam.put_user_policy(
            UserName=user.name,
            PolicyName="document",
            PolicyDocument=json.dumps(here(check.document)),
        )
    if check.group or check.attached_to_group:
        scene.group(
            *here(check.group),
            members=[user],
            attached=[
                scene.managed_policy(*here(statements)) for statements in check.attached_to_group
            ],
        )
    return user


def ask(check, caller, scene):
    config = {"user_agent": check.user_agent} if check.user_agent else {}
    client = caller.client(check.call.service, region=check.region, **config)
    return getattr(client, check.call.method)(**in_account(check.call.parameters, scene.account))


ALL_CHECKS = ELEMENTS + SOURCES + CONDITIONS + TAGS_AND_VARIABLES


@pytest.mark.parametrize("check", ALL_CHECKS, ids=lambda check: check.rule)
def test_decision(check, scene):
    caller = caller_of(check, scene)
    try:
        ask(check, caller, scene)
    except ClientError as error:
        refused = refusal_of(error)
        assert check.refused, f"should be allowed, but {refused}"
        resource = None
        if check.call.resource:
            resource = f"arn:aws:iam::{scene.account}:{check.call.resource}"
        assert_denied(
            refused, caller.arn, check.action or check.call.action, check.refused, resource
        )
    else:
        assert check.refused is None, f"allowed, but should be refused {check.refused}"


def test_every_rule_of_the_tables_has_a_name_of_its_own():
    names = [check.rule for check in ALL_CHECKS] + [check.rule for check in TRUST_CHECKS]
    assert len(names) == len(set(names)) and len(names) >= 100


# --- who may assume a role ----------------------------------------------------------------------


@dataclass(frozen=True)
class TrustCheck:
    rule: str
    refused: str | None
    # Trust statements; CALLER stands for the caller's ARN.
    trusted: tuple
    identity: tuple = ()
    boundary: tuple | None = None
    assume: dict = field(default_factory=dict)
    session_name: str = "s1"
    tagged: dict | None = None
    action: str = "sts:AssumeRole"


CALLER = "CALLER"
OWNER = f"arn:aws:iam::{ACCOUNT}:root"
MAY = (allow("sts:*"),)
ASSUME_AND_TAG = ["sts:AssumeRole", "sts:TagSession"]
ASSUME_AND_IDENTIFY = ["sts:AssumeRole", "sts:SetSourceIdentity"]


def trust_when(operator, key, value, principal=OWNER, action="sts:AssumeRole"):
    return (trust(principal, action, Condition={operator: {key: value}}),)


TRUST_CHECKS = [
    # "Cross-account policy evaluation logic" and "IAM JSON policy elements: Principal".
    TrustCheck("a_user_named_by_the_trust_policy_needs_no_policy_of_its_own", None, (trust(CALLER),)),
    TrustCheck("trust_in_the_account_leaves_the_decision_to_policies", IDENTITY_SILENT, (trust(OWNER),)),
    TrustCheck("trust_in_the_account_and_a_policy_allow", None, (trust(OWNER),), MAY),
    TrustCheck("an_account_may_be_named_by_its_id_alone", None, (trust(ACCOUNT),), MAY),
    TrustCheck("a_policy_without_trust_is_not_enough", TRUST_SILENT, (trust(user_arn("alice")),), MAY),
    TrustCheck("trust_in_a_service_is_no_trust_in_a_user", TRUST_SILENT, (trust({"Service": "ec2.amazonaws.com"}),), MAY),
    TrustCheck("trust_in_another_account_is_no_trust_here", TRUST_SILENT, (trust("arn:aws:iam::999999999999:root"),), MAY),
    TrustCheck("a_deny_in_the_trust_policy_beats_its_allow", TRUST_DENY, (trust(OWNER), trust(CALLER, effect="Deny")), MAY),
    TrustCheck("a_deny_in_the_callers_policy_beats_trust", IDENTITY_DENY, (trust(CALLER),), (deny("sts:AssumeRole"),)),
    TrustCheck("a_policy_for_another_role_is_no_allow", IDENTITY_SILENT, (trust(OWNER),), (allow("sts:AssumeRole", f"arn:aws:iam::{ACCOUNT}:role/another"),)),
    TrustCheck("the_callers_boundary_limits_what_it_may_assume", BOUNDARY_SILENT, (trust(OWNER),), MAY, boundary=(allow("iam:*"),)),
    TrustCheck("a_deny_in_the_callers_boundary_beats_trust", BOUNDARY_DENY, (trust(CALLER),), MAY, boundary=(allow("*"), deny("sts:AssumeRole"))),
    TrustCheck("the_external_id_opens", None, trust_when("StringEquals", "sts:ExternalId", "e-42"), MAY, assume={"ExternalId": "e-42"}),
    TrustCheck("a_wrong_external_id_does_not_open", TRUST_SILENT, trust_when("StringEquals", "sts:ExternalId", "e-42"), MAY, assume={"ExternalId": "e-43"}),
    TrustCheck("a_missing_external_id_does_not_open", TRUST_SILENT, trust_when("StringEquals", "sts:ExternalId", "e-42"), MAY),
    TrustCheck("the_required_session_name_opens", None, trust_when("StringLike", "sts:RoleSessionName", "deploy-*"), MAY, session_name="deploy-7"),
    TrustCheck("another_session_name_does_not_open", TRUST_SILENT, trust_when("StringLike", "sts:RoleSessionName", "deploy-*"), MAY, session_name="other"),
    TrustCheck("a_session_name_must_be_the_callers_own_where_trust_says_so", TRUST_SILENT, trust_when("StringEquals", "sts:RoleSessionName", "${aws:username}"), MAY),
    TrustCheck("the_required_source_identity_opens", None, trust_when("StringLike", "sts:SourceIdentity", "d*", action=ASSUME_AND_IDENTIFY), MAY, assume={"SourceIdentity": "diana"}),
    TrustCheck("another_source_identity_does_not_open", TRUST_SILENT, trust_when("StringLike", "sts:SourceIdentity", "d*", action=ASSUME_AND_IDENTIFY), MAY, assume={"SourceIdentity": "elena"}),
    TrustCheck("a_source_identity_needs_trust_to_set_it", TRUST_SILENT, (trust(OWNER),), MAY, assume={"SourceIdentity": "diana"}, action="sts:SetSourceIdentity"),
    TrustCheck("session_tags_need_trust_to_set_them", TRUST_SILENT, (trust(OWNER),), MAY, assume={"Tags": tags(team="blue")}, action="sts:TagSession"),
    TrustCheck("session_tags_need_the_callers_permission_too", IDENTITY_SILENT, (trust(OWNER, ASSUME_AND_TAG),), (allow("sts:AssumeRole"),), assume={"Tags": tags(team="blue")}, action="sts:TagSession"),
    TrustCheck("session_tags_with_both_are_allowed", None, (trust(OWNER, ASSUME_AND_TAG),), MAY, assume={"Tags": tags(team="blue")}),
    TrustCheck("the_required_session_tag_opens", None, trust_when("StringEquals", "aws:RequestTag/team", "blue", action=ASSUME_AND_TAG), MAY, assume={"Tags": tags(team="blue")}),
    TrustCheck("another_value_of_the_session_tag_does_not_open", TRUST_SILENT, trust_when("StringEquals", "aws:RequestTag/team", "blue", action=ASSUME_AND_TAG), MAY, assume={"Tags": tags(team="red")}),
    TrustCheck("allowed_transitive_tags_open", None, trust_when("ForAllValues:StringEquals", "sts:TransitiveTagKeys", ["team"], action=ASSUME_AND_TAG), MAY, assume={"Tags": tags(team="blue"), "TransitiveTagKeys": ["team"]}),
    TrustCheck("mfa_required_by_trust_keeps_long_term_keys_out", TRUST_SILENT, trust_when("Bool", "aws:MultiFactorAuthPresent", "true"), MAY),
    TrustCheck("trust_may_depend_on_the_callers_address", TRUST_SILENT, trust_when("IpAddress", "aws:SourceIp", "10.0.0.0/8"), MAY),
    TrustCheck("trust_may_depend_on_the_callers_tags", None, trust_when("StringEquals", "aws:PrincipalTag/team", "blue"), MAY, tagged={"team": "blue"}),
    TrustCheck("trust_refuses_a_caller_of_another_tag", TRUST_SILENT, trust_when("StringEquals", "aws:PrincipalTag/team", "blue"), MAY, tagged={"team": "red"}),
    TrustCheck("trust_in_anyone_may_be_narrowed_to_the_callers_arn", None, trust_when("ArnEquals", "aws:PrincipalArn", CALLER, principal="*"), MAY),
    TrustCheck("trust_in_anyone_narrowed_to_another_arn_is_none", TRUST_SILENT, trust_when("ArnEquals", "aws:PrincipalArn", user_arn("alice"), principal="*"), MAY),
    TrustCheck("trust_that_has_run_out_is_none", TRUST_SILENT, trust_when("DateLessThan", "aws:CurrentTime", "2020-01-01T00:00:00Z"), MAY),
]


@pytest.mark.parametrize("check", TRUST_CHECKS, ids=lambda check: check.rule)
def test_trust(check, scene):
    boundary = None
    if check.boundary is not None:
        boundary = scene.managed_policy(*in_account(check.boundary, scene.account))
    caller = scene.user(
        *in_account(check.identity, scene.account), boundary=boundary, tagged=check.tagged
    )
    trusted = json.loads(
        json.dumps(check.trusted).replace(CALLER, caller.arn).replace(ACCOUNT, scene.account)
    )
    role = scene.role(trusted=trusted)
    parameters = {"RoleArn": role, "RoleSessionName": check.session_name, **check.assume}
    if check.refused is None:
        answer = caller.sts.assume_role(**parameters)
        name = role.rsplit("/", 1)[1]
        assert answer["AssumedRoleUser"]["Arn"] == (
            f"arn:aws:sts::{scene.account}:assumed-role/{name}/{check.session_name}"
        )
        return
    refused = refusal(caller.sts.assume_role, **parameters)
    assert_denied(refused, caller.arn, check.action, check.refused, role)


# --- decisions that change ------------------------------------------------------------------------


def is_allowed(principal):
    try:
        principal.iam.get_user(UserName="alice")
    except ClientError as error:
        assert error.response["Error"]["Code"] == "AccessDenied"
        return False
    return True


def changes(scene, user):
    """Pairs of a change that grants GetUser and the change that takes it back."""
    iam, me = scene.iam, {"UserName": user.name}
    managed = scene.managed_policy(GET)
    versioned = scene.managed_policy(allow("iam:ListUsers"))
    iam.attach_user_policy(PolicyArn=versioned, **me)
    second = iam.create_policy_version(PolicyArn=versioned, PolicyDocument=policy(GET))
    second = second["PolicyVersion"]["VersionId"]
    group = scene.group(GET)
    tagged = unique("tagged")
    iam.put_user_policy(
        PolicyName="by-tag",
        PolicyDocument=policy(allow("iam:GetUser", **when("StringEquals", "aws:PrincipalTag/k", tagged))),
        **me,
    )
    return {
        "an_inline_policy": (
            lambda: iam.put_user_policy(PolicyName="p", PolicyDocument=policy(GET), **me),
            lambda: iam.delete_user_policy(PolicyName="p", **me),
        ),
        "an_attachment": (
            lambda: iam.attach_user_policy(PolicyArn=managed, **me),
            lambda: iam.detach_user_policy(PolicyArn=managed, **me),
        ),
        "a_default_version": (
            lambda: iam.set_default_policy_version(PolicyArn=versioned, VersionId=second),
            lambda: iam.set_default_policy_version(PolicyArn=versioned, VersionId="v1"),
        ),
        "a_membership": (
            lambda: iam.add_user_to_group(GroupName=group, **me),
            lambda: iam.remove_user_from_group(GroupName=group, **me),
        ),
        "a_tag_of_the_principal": (
            lambda: iam.tag_user(Tags=tags(k=tagged), **me),
            lambda: iam.untag_user(TagKeys=["k"], **me),
        ),
    }


def test_a_grant_counts_from_the_next_call_on_and_its_withdrawal_too(scene):
    user = scene.user()
    for change, (grant, withdraw) in changes(scene, user).items():
        assert not is_allowed(user), f"before {change}"
        grant()
        assert is_allowed(user), f"after {change}"
        withdraw()
        assert not is_allowed(user), f"after {change} was taken back"


def test_only_the_default_version_of_a_managed_policy_counts(scene):
    arn = scene.managed_policy(GET)
    user = scene.user(attached=[arn])
    assert is_allowed(user)
    scene.iam.create_policy_version(
        PolicyArn=arn, PolicyDocument=policy(deny("*")), SetAsDefault=False
    )
    assert is_allowed(user)
    scene.iam.set_default_policy_version(PolicyArn=arn, VersionId="v2")
    refused = refusal(user.iam.get_user, UserName="alice")
    assert_denied(refused, user.arn, "iam:GetUser", MANAGED_IDENTITY_DENY)
    assert refused.message.endswith(f": {arn}")


def test_a_boundary_counts_once_put_and_no_more_once_deleted(scene):
    user = scene.user(GET)
    boundary = scene.managed_policy(allow("iam:List*"))
    scene.iam.put_user_permissions_boundary(UserName=user.name, PermissionsBoundary=boundary)
    refused = refusal(user.iam.get_user, UserName="alice")
    assert_denied(refused, user.arn, "iam:GetUser", BOUNDARY_SILENT)
    scene.iam.delete_user_permissions_boundary(UserName=user.name)
    assert is_allowed(user)


def test_a_role_session_follows_its_roles_policies(scene):
    role = scene.role(GET)
    session = scene.broker.assume(role)
    assert is_allowed(session)
    scene.iam.delete_role_policy(RoleName=role.rsplit("/", 1)[1], PolicyName="inline")
    assert not is_allowed(session)


def test_an_inactive_key_is_refused_and_an_active_one_works_again(scene):
    user = scene.user(GET)
    key = {"UserName": user.name, "AccessKeyId": user.access_key_id}
    assert is_allowed(user)
    scene.iam.update_access_key(Status="Inactive", **key)
    refused = refusal(user.iam.get_user, UserName="alice")
    assert (refused.status, refused.code) == (403, "InvalidClientTokenId")
    scene.iam.update_access_key(Status="Active", **key)
    assert is_allowed(user)
    scene.iam.delete_access_key(**key)
    refused = refusal(user.iam.get_user, UserName="alice")
    assert (refused.status, refused.code) == (403, "InvalidClientTokenId")


def test_a_user_may_not_give_itself_more(scene):
    user = scene.user(allow("iam:ListUsers"))
    attempts = {
        "iam:PutUserPolicy": lambda: user.iam.put_user_policy(
            UserName=user.name, PolicyName="more", PolicyDocument=policy(allow("*"))
        ),
        "iam:AttachUserPolicy": lambda: user.iam.attach_user_policy(
            UserName=user.name, PolicyArn=scene.arn("policy/readers")
        ),
        "iam:CreateAccessKey": lambda: user.iam.create_access_key(UserName=scene.broker.name),
        "iam:UpdateAssumeRolePolicy": lambda: user.iam.update_assume_role_policy(
            RoleName="app", PolicyDocument=policy(trust(user.arn))
        ),
        "iam:CreatePolicyVersion": lambda: user.iam.create_policy_version(
            PolicyArn=scene.arn("policy/readers"), PolicyDocument=policy(allow("*"))
        ),
        "iam:DeleteUserPermissionsBoundary": lambda: user.iam.delete_user_permissions_boundary(
            UserName=user.name
        ),
    }
    for action, attempt in attempts.items():
        assert_denied(refusal(attempt), user.arn, action, IDENTITY_SILENT)
    assert isinstance(user, Principal) and not is_allowed(user)
