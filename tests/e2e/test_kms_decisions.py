"""Who may use a KMS key: each row is one rule, asked through boto3.

A row sets up a key, its policy and a caller, lets the caller make one call, and says whether that is
allowed or which layer refuses. The rules are those of the KMS Developer Guide: "Key policies"
(key-policies.html), "IAM policies" (iam-policies.html), "Grants" (grants.html), "Condition keys"
(conditions-kms.html), "Allowing users in other accounts" (key-policy-modifying-external-accounts.html).
"""

import json
from dataclasses import dataclass, field
from datetime import datetime, timedelta, timezone

import pytest
from botocore.exceptions import ClientError

import kms_calls as calls
from clients import (
    BOUNDARY_SILENT,
    IDENTITY_DENY,
    IDENTITY_SILENT,
    SESSION_SILENT,
    refusal,
    refusal_of,
)
from kms_calls import CONTEXT, SYMMETRIC, Bench
from ringfence_server import UNTHROTTLED, parse_exports
from world import World, allow, deny, policy, trust, unique

KEY_SILENT = "because no resource-based policy allows the {action} action"
KEY_DENY = "with an explicit deny in a resource-based policy"

# Stand for ARNs and ids in policies; a row's scene says what they are.
NAMES = ("ACCOUNT", "OTHER", "CALLER", "ROLE", "KEYARN", "KEYID", "SECOND", "ALIAS")


@pytest.fixture(scope="module")
def accounts(start_server, ringfence):
    server = start_server(*UNTHROTTLED)
    server.stop()
    made = parse_exports(
        ringfence("account", "create", *server.place, "--name", "second").stdout
    )
    server.start()
    second = server.principal(made["AWS_ACCESS_KEY_ID"], made["AWS_SECRET_ACCESS_KEY"])
    yield Accounts(World(server.root()), World(second))
    server.stop()


class Accounts:
    """The account of the keys, and another."""

    def __init__(self, own, other):
        self.own, self.other = own, other
        self._benches = {}

    def bench(self, kind):
        """The key of a kind that no row changes."""
        if kind not in self._benches:
            self._benches[kind] = Bench(self.own.root, kind).ready()
        return self._benches[kind]


@dataclass(frozen=True)
class Check:
    rule: str
    call: calls.Call
    # None: allowed. Otherwise the reason that the message gives.
    refused: str | None
    identity: tuple = ()
    # Statements of the key's policy; None: the standard one, which hands on to IAM's policies.
    key: tuple | None = None
    tagged: dict = field(default_factory=dict)
    aliases: tuple = ()
    by_alias: bool = False
    # Parameters of CreateKey.
    made: dict = field(default_factory=dict)
    # The key has a replica.
    replicated: bool = False
    # Parameters of grants for the caller.
    grants: tuple = ()
    # user, role, root; of the other account with `other-` before it.
    via: str = "user"
    user_tags: dict | None = None
    session: tuple | None = None
    boundary: tuple | None = None
    assume: dict = field(default_factory=dict)
    # The action that the message names, where it is not the call's.
    action: str | None = None


def ok(rule, call, *identity, **rest):
    return Check(rule, call, None, identity, **rest)


def no(rule, call, reason, *identity, **rest):
    return Check(rule, call, reason, identity, **rest)


def lets(principal, action="kms:*", effect="Allow", **rest):
    """A statement of a key policy."""
    who = principal if isinstance(principal, dict) else {"AWS": principal}
    return {"Effect": effect, "Principal": who, "Action": action, "Resource": "*", **rest}


def forbids(principal, action="kms:*", **rest):
    return lets(principal, action, "Deny", **rest)


def when(operator, key, value):
    return {"Condition": {operator: {key: value}}}


ROOT = "arn:aws:iam::ACCOUNT:root"
OTHER_ROOT = "arn:aws:iam::OTHER:root"
STANDARD = lets(ROOT)
ANY = allow("kms:*")


class Scene:
    """What a row is played in."""

    def __init__(self, check, accounts):
        self.check, self.accounts = check, accounts
        self.world = accounts.other if check.via.startswith("other") else accounts.own
        self.names = {"ACCOUNT": accounts.own.account, "OTHER": accounts.other.account}
        self._principal()
        plain = check.key is None and not (check.tagged or check.aliases or check.made or check.grants)
        kind = check.call.kind
        if plain and not check.by_alias:
            self.bench = accounts.bench(kind)
        else:
            parameters = dict(check.made)
            if check.tagged:
                parameters["Tags"] = [
                    {"TagKey": key, "TagValue": value} for key, value in check.tagged.items()
                ]
            self.bench = Bench(accounts.own.root, kind, **parameters).ready()
            self._dress()
        self.names |= {"KEYARN": self.bench.arn, "KEYID": self.bench.id}
        self._identity()
        self.caller = self._caller()

    def filled(self, value):
        """A value with the names in it."""
        text = json.dumps(value)
        for name in NAMES:
            if name in self.names:
                text = text.replace(name, self.names[name])
        return json.loads(text)

    def document(self, statements):
        return policy(*self.filled(list(statements)))

    def _principal(self):
        check, how = self.check, self.check.via.removeprefix("other-")
        boundary = None
        if check.boundary is not None:
            boundary = self.world.managed_policy(*self.filled(list(check.boundary)))
        if how == "user":
            self.user = self.world.user(tagged=check.user_tags, boundary=boundary)
            self.names["CALLER"] = self.user.arn
        elif how in ("role", "federated"):
            self.role = self.world.role(
                boundary=boundary,
                trusted=[trust(self.world.account_principal, ["sts:AssumeRole", "sts:TagSession"])],
            )
            self.names["ROLE"] = self.role
            name = self.role.rsplit("/", 1)[-1]
            self.names["CALLER"] = (
                f"arn:aws:sts::{self.world.account}:assumed-role/{name}/session"
            )
        else:
            self.names["CALLER"] = self.world.account_principal

    def _dress(self):
        check, bench = self.check, self.bench
        for name in check.aliases:
            # Aliases are told apart by the run.
            made = unique(name)
            self.names.setdefault("ALIAS", made)
            bench.kms.create_alias(AliasName=made, TargetKeyId=bench.id)
        if check.replicated:
            calls.REPLICATE.make(bench.kms, bench)
        if check.by_alias:
            bench.named = f"arn:aws:kms:us-east-1:{bench.account}:{self.names['ALIAS']}"
        for parameters in check.grants:
            grantee = {"GranteePrincipal": self.names.get("ROLE", self.names["CALLER"])}
            bench.kms.create_grant(KeyId=bench.id, **{**grantee, **self.filled(parameters)})
        if check.key is not None:
            self.names |= {"KEYARN": bench.arn, "KEYID": bench.id}
            bench.kms.put_key_policy(
                KeyId=bench.id, Policy=self.document(check.key),
                BypassPolicyLockoutSafetyCheck=True,
            )

    def _identity(self):
        if not self.check.identity:
            return
        document = self.document(self.check.identity)
        if self.check.via.endswith("user"):
            self.world.iam.put_user_policy(
                UserName=self.user.name, PolicyName="inline", PolicyDocument=document
            )
        else:
            self.world.iam.put_role_policy(
                RoleName=self.role.rsplit("/", 1)[-1], PolicyName="inline", PolicyDocument=document
            )

    def _caller(self):
        check, how = self.check, self.check.via.removeprefix("other-")
        if how == "user":
            return self.user
        if how == "root":
            return self.world.root
        parameters = dict(check.assume)
        if check.session is not None:
            parameters["Policy"] = self.document(check.session)
        trusted = self.world.user(allow(["sts:AssumeRole", "sts:TagSession"], self.role))
        return trusted.assume(self.role, "session", **parameters)

    def play(self):
        check = self.check
        kms = self.caller.client("kms")
        try:
            check.call.make(kms, self.bench)
        except ClientError as error:
            refused = refusal_of(error)
            assert check.refused is not None, f"allowed by {check.rule}, and refused: {refused}"
            self.assert_denied(refused)
        else:
            assert check.refused is None, f"refused by {check.rule}, and allowed"

    def assert_denied(self, refused):
        assert (refused.code, refused.status) == ("AccessDeniedException", 400), str(refused)
        action = self.check.action or self.check.call.action
        arn = self.names["CALLER"]
        start = f"User: {arn} is not authorized to perform: {action} "
        assert refused.message.startswith(start), refused.message
        assert refused.message.endswith(self.check.refused.format(action=action)), refused.message


def play(check, accounts):
    Scene(check, accounts).play()


def table(*rows):
    return pytest.mark.parametrize("check", rows, ids=[row.rule for row in rows])


# --- key policies -----------------------------------------------------------------------------

E = calls.ENCRYPT

KEY_POLICIES = [
    no("the_standard_policy_alone_lets_no_user", E, IDENTITY_SILENT),
    ok("the_standard_policy_hands_on_to_iam", E, allow("kms:Encrypt")),
    ok("the_standard_policy_lets_the_root_user", E, via="root"),
    ok("the_standard_policy_hands_on_to_iam_for_roles", E, allow("kms:Encrypt"), via="role"),
    no("without_delegation_no_policy_of_iam_helps", E, KEY_SILENT, ANY, key=(lets("CALLER", "kms:Decrypt"),)),
    no("without_delegation_no_administrator_helps", E, KEY_SILENT, allow("*"), key=(lets("CALLER", "kms:Decrypt"),)),
    no("without_delegation_not_even_the_root_user_may", E, KEY_SILENT, via="root", key=(lets("arn:aws:iam::OTHER:root"),)),
    ok("a_user_who_is_named_needs_no_policy_of_iam", E, key=(lets("CALLER", "kms:Encrypt"),)),
    no("a_user_who_is_named_may_what_is_said_and_no_more", E, KEY_SILENT, key=(lets("CALLER", "kms:Decrypt"),)),
    ok("a_role_that_is_named_needs_no_policy_of_iam", E, via="role", key=(lets("ROLE", "kms:Encrypt"),)),
    ok("a_session_that_is_named_may", E, via="role", key=(lets("CALLER", "kms:Encrypt"),)),
    no("a_role_is_not_its_account", E, KEY_SILENT, via="role", key=(lets(OTHER_ROOT, "kms:Encrypt"),)),
    ok("an_account_by_its_number_is_its_root", E, allow("kms:Encrypt"), key=(lets("ACCOUNT"),)),
    no("an_account_that_is_named_decides_by_iam", E, IDENTITY_SILENT, key=(lets("ACCOUNT"),)),
    ok("everybody_is_let_by_a_star", E, key=(lets("*", "kms:Encrypt"),)),
    ok("a_bare_star_is_everybody", E, key=({"Effect": "Allow", "Principal": "*", "Action": "kms:Encrypt", "Resource": "*"},)),
    ok("everybody_of_an_account_by_condition", E, key=(lets("*", "kms:Encrypt", **when("StringEquals", "kms:CallerAccount", "ACCOUNT")),)),
    no("everybody_of_another_account_by_condition_is_not_us", E, KEY_SILENT, key=(lets("*", "kms:Encrypt", **when("StringEquals", "kms:CallerAccount", "OTHER")),)),
    no("delegation_of_one_action_is_none_of_another", E, KEY_SILENT, ANY, key=(lets(ROOT, "kms:Decrypt"),)),
    ok("delegation_by_a_wildcard_reaches_what_it_matches", E, ANY, key=(lets(ROOT, "kms:Enc*"),)),
    no("delegation_by_a_wildcard_reaches_no_more", E, KEY_SILENT, ANY, key=(lets(ROOT, "kms:Dec*"),)),
    no("a_denial_of_the_key_beats_iam", E, KEY_DENY, ANY, key=(STANDARD, forbids("CALLER", "kms:Encrypt"))),
    no("a_denial_of_the_key_beats_its_own_allowance", E, KEY_DENY, key=(lets("CALLER"), forbids("*", "kms:Encrypt"))),
    no("a_denial_of_the_key_binds_the_root_user", E, KEY_DENY, via="root", key=(STANDARD, forbids(ROOT, "kms:Encrypt"))),
    no("a_denial_for_the_account_binds_its_users", E, KEY_DENY, ANY, key=(STANDARD, forbids(ROOT, "kms:Encrypt"))),
    no("a_denial_for_a_role_binds_its_sessions", E, KEY_DENY, ANY, via="role", key=(STANDARD, forbids("ROLE", "kms:Encrypt"))),
    ok("a_denial_of_another_action_does_not_bind", E, ANY, key=(STANDARD, forbids("CALLER", "kms:Decrypt"))),
    no("a_denial_of_iam_beats_the_key", E, IDENTITY_DENY, deny("kms:Encrypt"), key=(lets("CALLER"),)),
    ok("not_principal_denies_all_but_whom_it_lists", E,
       key=(lets("CALLER"), {"Effect": "Deny", "NotPrincipal": {"AWS": ["CALLER", ROOT]}, "Action": "kms:*", "Resource": "*"})),
    no("not_principal_denies_who_is_not_listed", E, KEY_DENY,
       key=(lets("CALLER"), {"Effect": "Deny", "NotPrincipal": {"AWS": [ROOT]}, "Action": "kms:*", "Resource": "*"})),
    ok("not_action_lets_what_it_does_not_list", E,
       key=({"Effect": "Allow", "Principal": {"AWS": "CALLER"}, "NotAction": "kms:Decrypt", "Resource": "*"},)),
    no("not_action_lets_nothing_that_it_lists", E, KEY_SILENT,
       key=({"Effect": "Allow", "Principal": {"AWS": "CALLER"}, "NotAction": "kms:Enc*", "Resource": "*"},)),
    ok("a_statement_may_name_its_own_key", E, key=({**lets("CALLER"), "Resource": "KEYARN"},)),
    no("a_statement_about_another_key_is_none_about_this", E, KEY_SILENT,
       key=({**lets("CALLER"), "Resource": "arn:aws:kms:us-east-1:ACCOUNT:key/1234abcd-12ab-34cd-56ef-1234567890ab"},)),
    ok("a_condition_of_the_key_that_holds", E, key=(lets("CALLER", **when("StringEquals", "kms:EncryptionContext:team", "blue")),)),
    no("a_condition_of_the_key_that_fails", E, KEY_SILENT, key=(lets("CALLER", **when("StringEquals", "kms:EncryptionContext:team", "red")),)),
    ok("a_condition_on_the_callers_arn_holds", E, key=(lets("*", **when("ArnEquals", "aws:PrincipalArn", "CALLER")),)),
    ok("a_condition_on_a_roles_arn_holds_for_its_sessions", E, via="role", key=(lets("*", **when("ArnEquals", "aws:PrincipalArn", "ROLE")),)),
    no("a_condition_on_anothers_arn_fails", E, KEY_SILENT, key=(lets("*", **when("ArnEquals", "aws:PrincipalArn", "arn:aws:iam::ACCOUNT:user/nobody")),)),
    ok("a_condition_on_the_callers_tag_holds", E, user_tags={"team": "a"}, key=(lets("*", **when("StringEquals", "aws:PrincipalTag/team", "a")),)),
    no("a_condition_on_the_callers_tag_fails", E, KEY_SILENT, user_tags={"team": "b"}, key=(lets("*", **when("StringEquals", "aws:PrincipalTag/team", "a")),)),
    ok("a_condition_on_the_keys_tag_holds", E, tagged={"team": "a"}, key=(lets("CALLER", **when("StringEquals", "aws:ResourceTag/team", "a")),)),
    no("a_condition_on_the_keys_tag_fails", E, KEY_SILENT, tagged={"team": "b"}, key=(lets("CALLER", **when("StringEquals", "aws:ResourceTag/team", "a")),)),
    ok("the_callers_tag_must_be_the_keys", E, ANY, user_tags={"team": "a"}, tagged={"team": "a"},
       key=(lets(ROOT, **when("StringEquals", "aws:ResourceTag/team", "${aws:PrincipalTag/team}")),)),
    no("the_callers_tag_is_not_the_keys", E, KEY_SILENT, ANY, user_tags={"team": "a"}, tagged={"team": "b"},
       key=(lets(ROOT, **when("StringEquals", "aws:ResourceTag/team", "${aws:PrincipalTag/team}")),)),
    ok("a_context_may_have_to_name_the_caller", calls.ENCRYPT.but(EncryptionContext={"user": "me"}), ANY, user_tags={"is": "me"},
       key=(lets(ROOT, **when("StringEquals", "kms:EncryptionContext:user", "${aws:PrincipalTag/is}")),)),
    no("a_context_that_names_another_than_the_caller", calls.ENCRYPT.but(EncryptionContext={"user": "you"}), KEY_SILENT, ANY, user_tags={"is": "me"},
       key=(lets(ROOT, **when("StringEquals", "kms:EncryptionContext:user", "${aws:PrincipalTag/is}")),)),
    no("delegation_under_a_condition_that_fails_is_none", E, KEY_SILENT, ANY, key=(lets(ROOT, **when("StringEquals", "kms:ViaService", "s3.us-east-1.amazonaws.com")),)),
    no("who_must_have_used_mfa_and_has_not", E, KEY_SILENT, key=(lets("CALLER", **when("Bool", "aws:MultiFactorAuthPresent", "true")),)),
    no("what_must_come_over_tls_and_does_not", E, KEY_DENY, key=(lets("CALLER"), forbids("*", **when("Bool", "aws:SecureTransport", "false")))),
    ok("from_an_address_that_is_let", E, key=(lets("CALLER", **when("IpAddress", "aws:SourceIp", "127.0.0.0/8")),)),
    no("from_an_address_that_is_not_let", E, KEY_SILENT, key=(lets("CALLER", **when("IpAddress", "aws:SourceIp", "10.0.0.0/8")),)),
    no("a_service_that_is_named_is_no_user", E, KEY_SILENT, ANY, key=(lets({"Service": "s3.amazonaws.com"}),)),
]


@table(*KEY_POLICIES)
def test_the_policy_of_a_key_decides(check, accounts):
    play(check, accounts)


# --- policies of IAM, boundaries, sessions ----------------------------------------------------

KEY = "KEYARN"
D = calls.DECRYPT_BY_BLOB

IAM_POLICIES = [
    ok("the_key_by_its_arn", E, allow("kms:Encrypt", KEY)),
    no("another_key", E, IDENTITY_SILENT, allow("kms:Encrypt", "arn:aws:kms:us-east-1:ACCOUNT:key/1234abcd-12ab-34cd-56ef-1234567890ab")),
    ok("any_key_of_the_account", E, allow("kms:Encrypt", "arn:aws:kms:*:ACCOUNT:key/*")),
    no("any_key_of_another_account", E, IDENTITY_SILENT, allow("kms:Encrypt", "arn:aws:kms:*:OTHER:key/*")),
    no("any_key_of_another_region", E, IDENTITY_SILENT, allow("kms:Encrypt", "arn:aws:kms:eu-west-1:ACCOUNT:key/*")),
    no("a_bare_id_is_no_resource", E, IDENTITY_SILENT, allow("kms:Encrypt", "arn:aws:kms:us-east-1:ACCOUNT:KEYID")),
    no("a_key_is_not_named_by_its_alias", E, IDENTITY_SILENT, allow("kms:Encrypt", "arn:aws:kms:us-east-1:ACCOUNT:ALIAS"), aliases=("alias/a",), by_alias=True),
    ok("the_key_by_its_arn_though_an_alias_is_asked", E, allow("kms:Encrypt", KEY), aliases=("alias/a",), by_alias=True),
    no("a_denial_of_the_key_though_an_alias_is_asked", E, IDENTITY_DENY, ANY, deny("kms:Encrypt", KEY), aliases=("alias/a",), by_alias=True),
    ok("a_ciphertext_without_key_id_is_asked_of_its_key", D, allow("kms:Decrypt", KEY)),
    no("a_ciphertext_without_key_id_of_another_key", D, IDENTITY_SILENT, allow("kms:Decrypt", "arn:aws:kms:us-east-1:ACCOUNT:key/1234abcd-12ab-34cd-56ef-1234567890ab")),
    no("a_denial_of_the_key_of_a_ciphertext", D, IDENTITY_DENY, ANY, deny("kms:Decrypt", KEY)),
    ok("a_ciphertext_without_key_id_by_the_keys_policy", D, key=(lets("CALLER", "kms:Decrypt"),)),
    no("a_ciphertext_without_key_id_and_the_keys_policy_silent", D, KEY_SILENT, ANY, key=(lets("CALLER", "kms:Encrypt"),)),
    ok("encrypting_is_not_decrypting", E, allow("kms:Encrypt")),
    no("decrypting_is_not_encrypting", E, IDENTITY_SILENT, allow("kms:Decrypt")),
    ok("re_encrypting_asks_for_both_ways", calls.RE_ENCRYPT, allow(["kms:ReEncryptFrom", "kms:ReEncryptTo"])),
    no("re_encrypting_from_alone_is_not_enough", calls.RE_ENCRYPT, IDENTITY_SILENT, allow("kms:ReEncryptFrom"), action="kms:ReEncryptTo"),
    no("re_encrypting_to_alone_is_not_enough", calls.RE_ENCRYPT, IDENTITY_SILENT, allow("kms:ReEncryptTo")),
    no("encrypt_and_decrypt_are_no_re_encrypt", calls.RE_ENCRYPT, IDENTITY_SILENT, allow(["kms:Encrypt", "kms:Decrypt"])),
    ok("re_encrypting_from_one_key_to_another", calls.RE_ENCRYPT.but(DestinationKeyId=lambda at: at.other), allow("kms:ReEncryptFrom", KEY), allow("kms:ReEncryptTo")),
    no("re_encrypting_to_a_key_that_is_not_let", calls.RE_ENCRYPT.but(DestinationKeyId=lambda at: at.other), IDENTITY_SILENT, allow("kms:ReEncrypt*", KEY), action="kms:ReEncryptTo"),
    ok("a_boundary_that_allows", E, ANY, boundary=(allow("kms:Encrypt"),)),
    no("a_boundary_that_is_silent_limits_what_is_handed_on", E, BOUNDARY_SILENT, ANY, boundary=(allow("kms:Decrypt"),)),
    ok("a_boundary_does_not_limit_a_user_whom_the_key_names", E, key=(lets("CALLER"),), boundary=(allow("kms:Decrypt"),)),
    no("a_boundary_limits_a_role_that_the_key_names", E, BOUNDARY_SILENT, via="role", key=(lets("ROLE"),), boundary=(allow("kms:Decrypt"),)),
    ok("a_session_policy_that_allows", E, ANY, via="role", session=(allow("kms:Encrypt"),)),
    no("a_session_policy_that_is_silent_limits", E, SESSION_SILENT, ANY, via="role", session=(allow("kms:Decrypt"),)),
    no("a_session_policy_limits_a_role_that_the_key_names", E, SESSION_SILENT, via="role", key=(lets("ROLE"),), session=(allow("kms:Decrypt"),)),
    ok("a_session_policy_does_not_limit_a_session_that_the_key_names", E, via="role", key=(lets("CALLER"),), session=(allow("kms:Decrypt"),)),
    no("a_session_policy_for_one_context", E, SESSION_SILENT, ANY, via="role", session=(allow("kms:*", **when("StringEquals", "kms:EncryptionContext:team", "red")),)),
    ok("a_session_tag_lets", E, ANY, via="role", tagged={"team": "a"}, assume={"Tags": [{"Key": "team", "Value": "a"}]},
       key=(lets(ROOT, **when("StringEquals", "aws:ResourceTag/team", "${aws:PrincipalTag/team}")),)),
    ok("random_bytes_ask_for_no_key", calls.RANDOM, allow("kms:GenerateRandom")),
    no("random_bytes_are_asked_for", calls.RANDOM, IDENTITY_SILENT, allow("kms:GenerateDataKey")),
    ok("keys_are_listed_by_whom_iam_lets", calls.LIST_KEYS, allow("kms:ListKeys")),
    no("keys_are_not_listed_by_others", calls.LIST_KEYS, IDENTITY_SILENT, allow("kms:DescribeKey")),
    no("a_list_is_of_no_single_key", calls.LIST_KEYS, IDENTITY_SILENT, allow("kms:ListKeys", KEY)),
    ok("aliases_are_listed_by_whom_iam_lets", calls.LIST_ALIASES, allow("kms:ListAliases")),
    no("aliases_are_not_listed_by_others", calls.LIST_ALIASES, IDENTITY_SILENT, allow("kms:ListKeys")),
    ok("an_alias_is_made_by_who_may_on_alias_and_key", calls.CREATE_ALIAS, allow("kms:CreateAlias", KEY), allow("kms:CreateAlias", "arn:aws:kms:*:ACCOUNT:alias/*")),
    no("an_alias_is_not_made_by_who_may_on_the_key_alone", calls.CREATE_ALIAS, IDENTITY_SILENT, allow("kms:CreateAlias", KEY)),
    no("an_alias_is_not_made_by_who_may_on_the_alias_alone", calls.CREATE_ALIAS, IDENTITY_SILENT, allow("kms:CreateAlias", "arn:aws:kms:*:ACCOUNT:alias/*")),
    ok("an_alias_is_taken_away_by_who_may_on_alias_and_key", calls.DELETE_ALIAS, allow("kms:DeleteAlias", [KEY, "arn:aws:kms:*:ACCOUNT:alias/*"]), made={"Description": "own"}),
    no("an_alias_is_not_taken_away_by_who_may_on_the_alias_alone", calls.DELETE_ALIAS, IDENTITY_SILENT, allow("kms:DeleteAlias", "arn:aws:kms:*:ACCOUNT:alias/*"), made={"Description": "own"}),
    ok("an_alias_is_moved_by_who_may_on_all_three", calls.UPDATE_ALIAS.but(TargetKeyId=lambda at: at.other), allow("kms:UpdateAlias"), made={"Description": "own"}),
    no("an_alias_is_not_moved_to_a_key_that_is_not_let", calls.UPDATE_ALIAS.but(TargetKeyId=lambda at: at.other), IDENTITY_SILENT, allow("kms:UpdateAlias", [KEY, "arn:aws:kms:*:ACCOUNT:alias/*"]), made={"Description": "own"}),
    ok("a_key_is_made_by_whom_iam_lets", calls.CREATE_KEY, allow("kms:CreateKey")),
    no("a_key_is_not_made_by_others", calls.CREATE_KEY, IDENTITY_SILENT, allow("kms:DescribeKey")),
    ok("a_key_with_tags_is_made_by_who_may_tag", calls.CREATE_KEY.but(Tags=[{"TagKey": "a", "TagValue": "b"}]), allow(["kms:CreateKey", "kms:TagResource"])),
    no("a_key_with_tags_is_not_made_by_who_may_not_tag", calls.CREATE_KEY.but(Tags=[{"TagKey": "a", "TagValue": "b"}]), IDENTITY_SILENT, allow("kms:CreateKey"), action="kms:TagResource"),
    no("the_standard_policy_does_not_hand_on_a_passed_key_policy", calls.PUT_POLICY, IDENTITY_SILENT, allow("kms:Get*")),
]


@table(*IAM_POLICIES)
def test_policies_of_iam_decide_where_the_key_hands_on(check, accounts):
    play(check, accounts)


# --- condition keys ---------------------------------------------------------------------------

# Every operation on a key, as its policies name it, for conditions on the key itself.
USES = [
    calls.ENCRYPT, calls.DECRYPT, calls.DATA_KEY, calls.DESCRIBE, calls.GET_POLICY, calls.LIST_POLICIES,
    calls.LIST_GRANTS, calls.LIST_TAGS, calls.UPDATE_DESCRIPTION, calls.ENABLE, calls.CREATE_GRANT,
    calls.TAG, calls.UNTAG, calls.PUT_POLICY,
]
CONTEXTUAL = [
    calls.ENCRYPT, calls.DECRYPT, calls.DECRYPT_BY_BLOB, calls.DATA_KEY, calls.BARE_DATA_KEY,
    calls.DATA_KEY_PAIR, calls.BARE_DATA_KEY_PAIR,
]
SUBSET = {"EncryptionContextSubset": CONTEXT}
EQUALS = {"EncryptionContextEquals": CONTEXT}
SOURCE = "arn:aws:sns:us-east-1:123456789012:topic"
FOR_SERVICE = {
    "GranteePrincipal": None, "GranteeServicePrincipal": "s3.amazonaws.com",
    "RetiringServicePrincipal": "s3.amazonaws.com", "Constraints": {"SourceArn": SOURCE},
}
RETIRING = calls.CREATE_GRANT.but(RetiringPrincipal=lambda at: f"arn:aws:iam::{at.account}:root")

# Within the 365 days that AWS lets material live.
EXPIRING = calls.IMPORT.but(
    ExpirationModel="KEY_MATERIAL_EXPIRES",
    ValidTo=lambda at: datetime.now(timezone.utc) + timedelta(days=300),
)

# Rows that change their key, or need one of a kind of its own.
OWN = {"made": {"Description": "own"}}
IMPORTED = {"made": {"Origin": "EXTERNAL"}}
PRIMARY = {"made": {"MultiRegion": True}}

# Call, operator, key, a value that holds, a value that does not, parameters of the row.
CONDITIONS = [
    *[(call, "StringEquals", "kms:CallerAccount", "ACCOUNT", "OTHER") for call in USES],
    *[(call, "StringEquals", "kms:KeySpec", "SYMMETRIC_DEFAULT", "RSA_2048") for call in USES],
    *[(call, "StringEquals", "kms:KeyUsage", "ENCRYPT_DECRYPT", "SIGN_VERIFY") for call in USES],
    *[(call, "StringEquals", "kms:KeyOrigin", "AWS_KMS", "EXTERNAL") for call in USES],
    *[(call, "Bool", "kms:MultiRegion", "false", "true") for call in USES],
    (calls.ENCRYPT, "StringEquals", "kms:CustomerMasterKeySpec", "SYMMETRIC_DEFAULT", "RSA_2048"),
    (calls.ENCRYPT, "StringEquals", "kms:CustomerMasterKeyUsage", "ENCRYPT_DECRYPT", "SIGN_VERIFY"),
    (calls.SIGN, "StringEquals", "kms:KeySpec", "ECC_NIST_P256", "SYMMETRIC_DEFAULT"),
    (calls.SIGN, "StringEquals", "kms:KeyUsage", "SIGN_VERIFY", "KEY_AGREEMENT"),
    (calls.CREATE_KEY, "StringEquals", "kms:KeySpec", "SYMMETRIC_DEFAULT", "RSA_2048"),
    (calls.CREATE_KEY.but(KeySpec="ECC_NIST_P256", KeyUsage="SIGN_VERIFY"), "StringEquals", "kms:KeySpec", "ECC_NIST_P256", "SYMMETRIC_DEFAULT"),
    (calls.CREATE_KEY, "StringEquals", "kms:KeyUsage", "ENCRYPT_DECRYPT", "SIGN_VERIFY"),
    (calls.CREATE_KEY, "StringEquals", "kms:KeyOrigin", "AWS_KMS", "EXTERNAL"),
    (calls.CREATE_KEY, "StringEquals", "kms:CallerAccount", "ACCOUNT", "OTHER"),
    (calls.CREATE_KEY, "Bool", "kms:MultiRegion", "false", "true"),
    (calls.CREATE_KEY.but(MultiRegion=True), "Bool", "kms:MultiRegion", "true", "false"),
    (calls.CREATE_KEY.but(MultiRegion=True), "StringEquals", "kms:MultiRegionKeyType", "PRIMARY", "REPLICA"),
    (calls.CREATE_KEY, "Bool", "kms:BypassPolicyLockoutSafetyCheck", "false", "true"),
    (calls.CREATE_KEY.but(BypassPolicyLockoutSafetyCheck=True), "Bool", "kms:BypassPolicyLockoutSafetyCheck", "true", "false"),
    (calls.PUT_POLICY, "Bool", "kms:BypassPolicyLockoutSafetyCheck", "true", "false"),
    (calls.PUT_POLICY.but(BypassPolicyLockoutSafetyCheck=None), "Bool", "kms:BypassPolicyLockoutSafetyCheck", "false", "true"),
    *[(call, "StringEquals", "kms:EncryptionContext:team", "blue", "red") for call in CONTEXTUAL],
    *[(call, "StringEquals", "kms:EncryptionContext:Team", "blue", "Blue") for call in CONTEXTUAL],
    *[(call, "ForAnyValue:StringEquals", "kms:EncryptionContextKeys", "team", "Team") for call in CONTEXTUAL],
    *[(call, "ForAllValues:StringEquals", "kms:EncryptionContextKeys", ["team", "Purpose"], ["team"]) for call in CONTEXTUAL],
    *[(call, "Null", "kms:EncryptionContextKeys", "false", "true") for call in CONTEXTUAL],
    *[(call.but(EncryptionContext=None), "Null", "kms:EncryptionContextKeys", "true", "false") for call in (calls.ENCRYPT, calls.DATA_KEY)],
    *[(call.but(EncryptionContext=None), "Null", "kms:EncryptionContext:team", "true", "false") for call in (calls.ENCRYPT, calls.DATA_KEY)],
    (calls.CREATE_GRANT.but(Constraints=SUBSET), "StringEquals", "kms:EncryptionContext:team", "blue", "red"),
    (calls.CREATE_GRANT.but(Constraints=EQUALS), "StringEquals", "kms:EncryptionContext:team", "blue", "red"),
    (calls.CREATE_GRANT.but(Constraints=SUBSET), "ForAnyValue:StringEquals", "kms:EncryptionContextKeys", "team", "other"),
    (calls.ENCRYPT, "StringEquals", "kms:EncryptionAlgorithm", "SYMMETRIC_DEFAULT", "RSAES_OAEP_SHA_256"),
    (calls.ENCRYPT_RSA, "StringEquals", "kms:EncryptionAlgorithm", "RSAES_OAEP_SHA_256", "RSAES_OAEP_SHA_1"),
    (calls.DECRYPT_RSA, "StringEquals", "kms:EncryptionAlgorithm", "RSAES_OAEP_SHA_256", "SYMMETRIC_DEFAULT"),
    *[(call, "StringEquals", "kms:EncryptionAlgorithm", "SYMMETRIC_DEFAULT", "RSAES_OAEP_SHA_256") for call in CONTEXTUAL[1:]],
    *[(call, "StringLike", "kms:DataKeyPairSpec", "ECC*", "RSA*") for call in (calls.DATA_KEY_PAIR, calls.BARE_DATA_KEY_PAIR)],
    *[(call, "StringEquals", "kms:SigningAlgorithm", "ECDSA_SHA_256", "ECDSA_SHA_384") for call in (calls.SIGN, calls.VERIFY)],
    *[(call, "StringEquals", "kms:MessageType", "RAW", "DIGEST") for call in (calls.SIGN, calls.VERIFY)],
    (calls.SIGN.but(MessageType="DIGEST", Message=b"d" * 32), "StringEquals", "kms:MessageType", "DIGEST", "RAW"),
    *[(call, "StringEquals", "kms:MacAlgorithm", "HMAC_SHA_256", "HMAC_SHA_512") for call in (calls.GENERATE_MAC, calls.VERIFY_MAC)],
    (calls.DERIVE, "StringEquals", "kms:KeyAgreementAlgorithm", "ECDH", "OTHERS"),
    *[(call, "StringEquals", "kms:EncapsulationAlgorithm", "ML_KEM", "OTHERS") for call in (calls.ENCAPSULATE, calls.DECAPSULATE)],
    (calls.CREATE_GRANT.but(Operations=["Encrypt", "Decrypt"]), "ForAllValues:StringEquals", "kms:GrantOperations", ["Encrypt", "Decrypt", "CreateGrant"], ["Encrypt"]),
    (calls.CREATE_GRANT.but(Operations=["Encrypt", "Decrypt"]), "ForAnyValue:StringEquals", "kms:GrantOperations", "Decrypt", "CreateGrant"),
    (calls.CREATE_GRANT, "StringEquals", "kms:GranteePrincipal", ROOT, OTHER_ROOT),
    (RETIRING, "StringEquals", "kms:RetiringPrincipal", ROOT, OTHER_ROOT),
    (calls.CREATE_GRANT, "Null", "kms:RetiringPrincipal", "true", "false"),
    (calls.CREATE_GRANT.but(**FOR_SERVICE), "StringEquals", "kms:GranteeServicePrincipal", "s3.amazonaws.com", "ec2.amazonaws.com"),
    (calls.CREATE_GRANT.but(**FOR_SERVICE), "StringEquals", "kms:RetiringServicePrincipal", "s3.amazonaws.com", "ec2.amazonaws.com"),
    (calls.CREATE_GRANT.but(**FOR_SERVICE), "ArnEquals", "kms:GrantConstraintSourceArn", SOURCE, SOURCE + "s"),
    (calls.CREATE_GRANT.but(Constraints=SUBSET), "StringEquals", "kms:GrantConstraintType", "EncryptionContextSubset", "EncryptionContextEquals"),
    (calls.CREATE_GRANT.but(Constraints=EQUALS), "StringEquals", "kms:GrantConstraintType", "EncryptionContextEquals", "EncryptionContextSubset"),
    (calls.CREATE_GRANT, "Null", "kms:GrantConstraintType", "true", "false"),
    *[(call, "Bool", "kms:GrantIsForAWSResource", "false", "true") for call in (calls.CREATE_GRANT, calls.LIST_GRANTS, calls.REVOKE)],
    (calls.SCHEDULE_DELETION, "NumericLessThanEquals", "kms:ScheduleKeyDeletionPendingWindowInDays", "7", "6", {"made": {"Description": "own"}}),
    (calls.SCHEDULE_DELETION.but(PendingWindowInDays=None), "NumericEquals", "kms:ScheduleKeyDeletionPendingWindowInDays", "30", "7", {"made": {"Description": "own"}}),
    (calls.ENCRYPT, "Null", "kms:ViaService", "true", "false"),
    (calls.ENCRYPT, "StringNotEquals", "kms:ViaService", "s3.us-east-1.amazonaws.com", None),
    (calls.ENCRYPT, "StringEquals", "kms:ViaService", None, "s3.us-east-1.amazonaws.com"),
    *[(call, "StringEquals", "kms:RequestAlias", "ALIAS", "alias/other", {"aliases": ("alias/a",), "by_alias": True})
      for call in (calls.ENCRYPT, calls.DECRYPT, calls.DATA_KEY, calls.DESCRIBE, calls.PUBLIC_KEY, calls.SIGN)],
    (calls.ENCRYPT, "StringLike", "kms:RequestAlias", "alias/a*", "alias/b*", {"aliases": ("alias/a",), "by_alias": True}),
    # Who names the key by its id has named no alias.
    (calls.ENCRYPT, "StringLike", "kms:RequestAlias", None, "alias/*", {"aliases": ("alias/a",)}),
    *[(call, "ForAnyValue:StringEquals", "kms:ResourceAliases", "ALIAS", "alias/other", {"aliases": ("alias/a",)})
      for call in (calls.ENCRYPT, calls.DECRYPT, calls.DESCRIBE, calls.GET_POLICY, calls.TAG)],
    (calls.ENCRYPT, "ForAnyValue:StringLike", "kms:ResourceAliases", "alias/b*", "alias/c*", {"aliases": ("alias/a", "alias/b")}),
    (calls.ENCRYPT, "ForAllValues:StringLike", "kms:ResourceAliases", ["alias/a*", "alias/b*"], "alias/b*", {"aliases": ("alias/a", "alias/b")}),
    (calls.ENCRYPT, "ForAllValues:StringLike", "kms:ResourceAliases", "alias/none", None, {"made": {"Description": "own"}}),
    (calls.ENCRYPT, "ForAnyValue:StringLike", "kms:ResourceAliases", None, "alias/*", {"made": {"Description": "own"}}),
    (calls.ENCRYPT, "Null", "kms:ResourceAliases", "true", "false", {"made": {"Description": "own"}}),
    (calls.ENCRYPT, "StringEquals", "kms:MultiRegionKeyType", "PRIMARY", "REPLICA", {"made": {"MultiRegion": True}}),
    (calls.ENCRYPT, "Null", "kms:MultiRegionKeyType", "true", "false"),
    (calls.ENCRYPT, "Bool", "kms:MultiRegion", "true", "false", {"made": {"MultiRegion": True}}),
    (calls.ENCRYPT, "StringEquals", "aws:ResourceTag/team", "a", "b", {"tagged": {"team": "a"}}),
    (calls.DESCRIBE, "StringEquals", "aws:ResourceTag/team", "a", "b", {"tagged": {"team": "a"}}),
    (calls.TAG, "StringEquals", "aws:RequestTag/colour", "red", "blue", {"made": {"Description": "own"}}),
    (calls.TAG, "ForAllValues:StringEquals", "aws:TagKeys", "colour", "size", {"made": {"Description": "own"}}),
    (calls.UNTAG, "ForAllValues:StringEquals", "aws:TagKeys", "colour", "size", {"made": {"Description": "own"}}),
    (calls.ENCRYPT, "StringEquals", "aws:ResourceAccount", "ACCOUNT", "OTHER"),
    (calls.ENCRYPT, "StringEquals", "aws:RequestedRegion", "us-east-1", "eu-west-1"),
    (calls.RANDOM, "Null", "kms:RecipientAttestation:ImageSha384", "true", "false"),
    (calls.DECRYPT, "StringEqualsIgnoreCase", "kms:RecipientAttestation:ImageSha384", None, "a" * 96),
    (calls.DECRYPT, "StringEqualsIgnoreCase", "kms:RecipientAttestation:PCR0", None, "a" * 96),
    (calls.ENABLE_ROTATION, "NumericEquals", "kms:RotationPeriodInDays", "365", "90", OWN),
    (calls.ENABLE_ROTATION.but(RotationPeriodInDays=180), "NumericLessThanEquals", "kms:RotationPeriodInDays", "180", "179", OWN),
    *[(call, "NumericLessThan", "kms:TrailingDaysWithoutKeyUsage", "1", "0", OWN) for call in (calls.DISABLE, calls.SCHEDULE_DELETION)],
    (calls.IMPORT_PARAMETERS, "StringEquals", "kms:WrappingAlgorithm", "RSAES_OAEP_SHA_256", "RSAES_OAEP_SHA_1", IMPORTED),
    (calls.IMPORT_PARAMETERS, "StringEquals", "kms:WrappingKeySpec", "RSA_2048", "RSA_4096", IMPORTED),
    (calls.IMPORT_PARAMETERS, "StringEquals", "kms:KeyOrigin", "EXTERNAL", "AWS_KMS", IMPORTED),
    (calls.IMPORT, "StringEquals", "kms:ExpirationModel", "KEY_MATERIAL_DOES_NOT_EXPIRE", "KEY_MATERIAL_EXPIRES", IMPORTED),
    (calls.IMPORT, "Null", "kms:ValidTo", "true", "false", IMPORTED),
    (EXPIRING, "StringEquals", "kms:ExpirationModel", "KEY_MATERIAL_EXPIRES", "KEY_MATERIAL_DOES_NOT_EXPIRE", IMPORTED),
    (EXPIRING, "DateLessThan", "kms:ValidTo", "2100-01-01T00:00:00Z", "2020-01-01T00:00:00Z", IMPORTED),
    (calls.REPLICATE, "StringEquals", "kms:ReplicaRegion", "eu-west-1", "eu-west-2", {**PRIMARY, "also": (allow("kms:CreateKey"),)}),
    (calls.UPDATE_PRIMARY, "StringEquals", "kms:PrimaryRegion", "eu-west-1", "eu-west-2", {**PRIMARY, "replicated": True}),
]


def condition_rows():
    for number, (call, operator, key, good, bad, *rest) in enumerate(CONDITIONS):
        more = dict(rest[0]) if rest else {}
        also = more.pop("also", ())
        stem = f"{call.operation}-{operator}-{key}".replace(":", "_")
        for value, reason, says in ((good, None, "holds"), (bad, IDENTITY_SILENT, "fails")):
            if value is not None:
                statement = allow("kms:*", **when(operator, key, value))
                # What changes the policy would change it for the rows that share the key.
                yield Check(f"{stem}-{says}-{number}", call, reason, (statement, *also), **more)


@table(*condition_rows())
def test_a_condition_key_is_what_the_request_and_the_key_are(check, accounts):
    play(check, accounts)


RE_ENCRYPT_CONDITIONS = [
    ok("to_the_same_key_and_so_said", calls.RE_ENCRYPT, allow("kms:ReEncrypt*", **when("Bool", "kms:ReEncryptOnSameKey", "true"))),
    no("to_another_key_though_the_same_is_asked", calls.RE_ENCRYPT.but(DestinationKeyId=lambda at: at.other), IDENTITY_SILENT,
       allow("kms:ReEncryptFrom"), allow("kms:ReEncryptTo", **when("Bool", "kms:ReEncryptOnSameKey", "true")), action="kms:ReEncryptTo"),
    no("from_another_key_though_the_same_is_asked", calls.RE_ENCRYPT.but(DestinationKeyId=lambda at: at.other), IDENTITY_SILENT,
       allow("kms:ReEncryptFrom", **when("Bool", "kms:ReEncryptOnSameKey", "true")), allow("kms:ReEncryptTo")),
    ok("to_another_key_and_so_said", calls.RE_ENCRYPT.but(DestinationKeyId=lambda at: at.other), allow("kms:ReEncrypt*", **when("Bool", "kms:ReEncryptOnSameKey", "false"))),
    ok("each_way_has_its_own_context", calls.RE_ENCRYPT.but(DestinationEncryptionContext={"team": "red"}),
       allow("kms:ReEncryptFrom", **when("StringEquals", "kms:EncryptionContext:team", "blue")),
       allow("kms:ReEncryptTo", **when("StringEquals", "kms:EncryptionContext:team", "red"))),
    no("the_new_context_is_not_the_old_one", calls.RE_ENCRYPT.but(DestinationEncryptionContext={"team": "red"}), IDENTITY_SILENT,
       allow("kms:ReEncrypt*", **when("StringEquals", "kms:EncryptionContext:team", "red"))),
    no("the_old_context_is_not_the_new_one", calls.RE_ENCRYPT.but(DestinationEncryptionContext={"team": "red"}), IDENTITY_SILENT,
       allow("kms:ReEncrypt*", **when("StringEquals", "kms:EncryptionContext:team", "blue")), action="kms:ReEncryptTo"),
]


@table(*RE_ENCRYPT_CONDITIONS)
def test_re_encrypting_is_two_decisions(check, accounts):
    play(check, accounts)


# --- across accounts --------------------------------------------------------------------------

FOREIGN = lets(OTHER_ROOT)
# "Cross-account use" of each operation's page in the API reference.
ABROAD = [
    calls.ENCRYPT, calls.DECRYPT, calls.DECRYPT_BY_BLOB, calls.DATA_KEY, calls.BARE_DATA_KEY,
    calls.DATA_KEY_PAIR, calls.BARE_DATA_KEY_PAIR, calls.RE_ENCRYPT, calls.ENCRYPT_RSA, calls.DECRYPT_RSA,
    calls.SIGN, calls.VERIFY, calls.PUBLIC_KEY, calls.GENERATE_MAC, calls.VERIFY_MAC, calls.DERIVE,
    calls.ENCAPSULATE, calls.DECAPSULATE, calls.DESCRIBE, calls.CREATE_GRANT, calls.LIST_GRANTS, calls.REVOKE,
    calls.ROTATION_STATUS,
]
AT_HOME = [
    calls.ENABLE, calls.DISABLE, calls.UPDATE_DESCRIPTION, calls.SCHEDULE_DELETION, calls.CANCEL_DELETION,
    calls.GET_POLICY, calls.PUT_POLICY, calls.LIST_POLICIES, calls.TAG, calls.UNTAG, calls.LIST_TAGS,
    calls.CREATE_ALIAS, calls.UPDATE_ALIAS, calls.LIST_ALIASES.but(KeyId=lambda at: at.arn),
    calls.ENABLE_ROTATION, calls.DISABLE_ROTATION, calls.ROTATE, calls.ROTATIONS, calls.IMPORT_PARAMETERS,
    calls.IMPORT, calls.DELETE_MATERIAL, calls.REPLICATE, calls.UPDATE_PRIMARY,
]

ACROSS = [
    ok("both_sides_allow", E, ANY, via="other-user", key=(STANDARD, FOREIGN)),
    no("the_key_allows_and_iam_is_silent", E, IDENTITY_SILENT, via="other-user", key=(STANDARD, FOREIGN)),
    no("iam_allows_and_the_key_is_silent", E, KEY_SILENT, ANY, via="other-user"),
    no("the_other_root_user_is_no_owner", E, KEY_SILENT, via="other-root"),
    ok("the_other_root_user_where_the_key_allows", E, via="other-root", key=(STANDARD, FOREIGN)),
    ok("a_user_who_is_named_and_whom_iam_lets", E, allow("kms:Encrypt", KEY), via="other-user", key=(STANDARD, lets("CALLER"))),
    no("a_user_who_is_named_needs_iam_too", E, IDENTITY_SILENT, via="other-user", key=(STANDARD, lets("CALLER"))),
    ok("a_role_that_is_named_and_whom_iam_lets", E, ANY, via="other-role", key=(STANDARD, lets("ROLE"))),
    no("a_role_that_is_named_needs_iam_too", E, IDENTITY_SILENT, via="other-role", key=(STANDARD, lets("ROLE"))),
    no("a_star_needs_iam_too_of_others", E, IDENTITY_SILENT, via="other-user", key=(lets("*"),)),
    ok("a_star_is_everybody_of_every_account", E, ANY, via="other-user", key=(lets("*"),)),
    no("a_star_for_one_account_is_nobody_of_another", E, KEY_SILENT, ANY, via="other-user", key=(lets("*", **when("StringEquals", "kms:CallerAccount", "ACCOUNT")),)),
    ok("the_callers_account_is_the_callers", E, ANY, via="other-user", key=(lets("*", **when("StringEquals", "kms:CallerAccount", "OTHER")),)),
    no("the_key_denies_others", E, KEY_DENY, ANY, via="other-user", key=(lets("*"), forbids("*", **when("StringNotEquals", "kms:CallerAccount", "ACCOUNT")))),
    no("iam_of_the_other_denies", E, IDENTITY_DENY, ANY, deny("kms:*", "arn:aws:kms:*:ACCOUNT:key/*"), via="other-user", key=(STANDARD, FOREIGN)),
    no("iam_of_the_other_lets_its_own_keys_alone", E, IDENTITY_SILENT, allow("kms:*", "arn:aws:kms:*:OTHER:key/*"), via="other-user", key=(STANDARD, FOREIGN)),
    no("a_boundary_limits_who_asks_from_elsewhere", E, BOUNDARY_SILENT, ANY, via="other-user", boundary=(allow("kms:Decrypt"),), key=(STANDARD, lets("CALLER"))),
    no("a_session_policy_limits_who_asks_from_elsewhere", E, SESSION_SILENT, ANY, via="other-role", session=(allow("kms:Decrypt"),), key=(STANDARD, FOREIGN)),
    ok("by_an_alias_of_the_other_account", E, ANY, via="other-user", aliases=("alias/a",), by_alias=True, key=(STANDARD, FOREIGN)),
    no("an_alias_of_the_other_account_is_no_permission", E, KEY_SILENT, ANY, via="other-user", aliases=("alias/a",), by_alias=True),
    *[ok(f"{call.operation}_{number}_is_for_other_accounts_too", call, ANY, via="other-user", key=(STANDARD, FOREIGN)) for number, call in enumerate(ABROAD)],
    *[no(f"{call.operation}_{number}_is_not_for_accounts_that_the_key_does_not_name", call, KEY_SILENT, ANY, via="other-user", key=(STANDARD,)) for number, call in enumerate(ABROAD)],
    ok("a_grant_reaches_a_user_of_another_account_whom_iam_lets", E, ANY, via="other-user", grants=({"Operations": ["Encrypt"]},)),
    no("a_grant_for_other_operations_reaches_no_further_abroad", E, KEY_SILENT, ANY, via="other-user", grants=({"Operations": ["Decrypt"]},)),
]


@table(*ACROSS)
def test_across_accounts_both_sides_must_allow(check, accounts):
    play(check, accounts)


@pytest.mark.parametrize("call", AT_HOME, ids=lambda call: call.operation)
def test_what_is_not_for_other_accounts_is_refused_to_them(call, accounts):
    bench = Bench(accounts.own.root, call.kind).ready()
    if call.operation == "CancelKeyDeletion":
        bench.kms.schedule_key_deletion(KeyId=bench.id)
    both = [
        {"Effect": "Allow", "Principal": {"AWS": world.account_principal}, "Action": "kms:*",
         "Resource": "*"} for world in (accounts.own, accounts.other)
    ]
    bench.kms.put_key_policy(KeyId=bench.id, Policy=policy(*both))
    user = accounts.other.user(ANY).client("kms")
    before = bench.kms.describe_key(KeyId=bench.id)["KeyMetadata"]
    refused = refusal(call.make, user, bench)
    # An alias is looked for in the caller's own account.
    codes = {"AccessDeniedException"}
    if "Alias" in call.operation:
        codes |= {"NotFoundException", "InvalidArnException"}
    assert refused.code in codes, str(refused)
    assert bench.kms.describe_key(KeyId=bench.id)["KeyMetadata"] == before


# --- what is told before it was asked ---------------------------------------------------------

NAMING = [
    *USES, calls.BARE_DATA_KEY, calls.DATA_KEY_PAIR, calls.BARE_DATA_KEY_PAIR, calls.SIGN,
    calls.PUBLIC_KEY, calls.GENERATE_MAC, calls.DERIVE, calls.ENCAPSULATE, calls.DISABLE,
    calls.SCHEDULE_DELETION, calls.CANCEL_DELETION, calls.ENABLE_ROTATION, calls.ROTATION_STATUS, calls.ROTATE,
    calls.ROTATIONS, calls.IMPORT_PARAMETERS, calls.IMPORT, calls.DELETE_MATERIAL, calls.REPLICATE,
    calls.UPDATE_PRIMARY, calls.LAST_USAGE,
]


@pytest.mark.parametrize("call", NAMING, ids=lambda call: call.operation)
def test_who_may_not_hears_the_same_whether_or_not_a_key_is_there(call, accounts):
    user = accounts.own.user().client("kms")
    stranger = accounts.other.user(ANY).client("kms")
    bench = accounts.bench(call.kind)
    missing = bench.arn[:-36] + "134f2428-cec1-4b25-a1ae-9048164dba47"
    for kms in (user, stranger):
        there = refusal(call.make, kms, bench)
        gone = refusal(call.but(KeyId=missing).make, kms, bench)
        assert there.code == gone.code == "AccessDeniedException", f"{there}, {gone}"
        assert there.message.replace(bench.arn, missing) == gone.message


def test_who_may_not_hears_no_state_of_a_key(accounts):
    bench = Bench(accounts.own.root).ready()
    bench.kms.disable_key(KeyId=bench.id)
    user = accounts.own.user().client("kms")
    for call in (calls.ENCRYPT, calls.DECRYPT_BY_BLOB, calls.GENERATE_MAC):
        assert refusal(call.make, user, bench).code == "AccessDeniedException"


def test_a_ciphertext_of_a_key_that_is_gone_or_elsewhere_is_denied_alike(accounts):
    stranger = accounts.other.user(ANY).client("kms")
    bench = accounts.bench(SYMMETRIC)
    assert refusal(calls.DECRYPT_BY_BLOB.make, stranger, bench).code == "AccessDeniedException"


# --- principals that are gone -----------------------------------------------------------------


def remake(world, user):
    """Deletes a user, and makes another of the same name."""
    for key in world.iam.list_access_keys(UserName=user.name)["AccessKeyMetadata"]:
        world.iam.delete_access_key(UserName=user.name, AccessKeyId=key["AccessKeyId"])
    for name in world.iam.list_user_policies(UserName=user.name)["PolicyNames"]:
        world.iam.delete_user_policy(UserName=user.name, PolicyName=name)
    world.iam.delete_user(UserName=user.name)
    return world.user(name=user.name)


def remake_role(world, arn):
    name = arn.rsplit("/", 1)[-1]
    world.iam.delete_role(RoleName=name)
    return world.role(name=name)


def own_policy(world, *statements):
    """A key policy that leaves the key to its account, too."""
    standard = {"Effect": "Allow", "Principal": {"AWS": world.account_principal},
                "Action": "kms:*", "Resource": "*"}
    return policy(standard, *statements)


def test_a_user_made_anew_inherits_nothing_of_a_key_policy(accounts):
    world = accounts.own
    user, bench = world.user(), Bench(world.root)
    bench.kms.put_key_policy(KeyId=bench.id, Policy=own_policy(world, lets(user.arn)))
    assert calls.ENCRYPT.make(user.client("kms"), bench)
    again = remake(world, user)
    assert again.arn == user.arn
    assert refusal(calls.ENCRYPT.make, again.client("kms"), bench).code == "AccessDeniedException"
    # The policy shows whom it meant.
    shown = json.loads(bench.kms.get_key_policy(KeyId=bench.id)["Policy"])
    assert shown["Statement"][1]["Principal"]["AWS"].startswith("AIDA")
    # Who is named anew is let.
    bench.kms.put_key_policy(KeyId=bench.id, Policy=own_policy(world, lets(user.arn)))
    assert calls.ENCRYPT.make(again.client("kms"), bench)


def test_a_role_made_anew_inherits_nothing_of_a_key_policy(accounts):
    world = accounts.own
    role, bench = world.role(), Bench(world.root)
    user = world.user(allow("sts:AssumeRole"))
    bench.kms.put_key_policy(KeyId=bench.id, Policy=own_policy(world, lets(role)))
    assert calls.ENCRYPT.make(user.assume(role).client("kms"), bench)
    remake_role(world, role)
    refused = refusal(calls.ENCRYPT.make, user.assume(role).client("kms"), bench)
    assert refused.code == "AccessDeniedException"


def test_a_denial_for_a_user_is_not_inherited_either(accounts):
    world = accounts.own
    user, bench = world.user(), Bench(world.root)
    bench.kms.put_key_policy(
        KeyId=bench.id, Policy=own_policy(world, forbids(user.arn, "kms:Encrypt"))
    )
    world.iam.put_user_policy(UserName=user.name, PolicyName="inline", PolicyDocument=policy(ANY))
    assert refusal(calls.ENCRYPT.make, user.client("kms"), bench).message.endswith(KEY_DENY)
    again = remake(world, user)
    world.iam.put_user_policy(UserName=user.name, PolicyName="inline", PolicyDocument=policy(ANY))
    assert calls.ENCRYPT.make(again.client("kms"), bench)


def test_a_key_policy_follows_a_user_who_is_renamed(accounts):
    world = accounts.own
    user, bench = world.user(), Bench(world.root)
    bench.kms.put_key_policy(KeyId=bench.id, Policy=own_policy(world, lets(user.arn)))
    world.iam.update_user(UserName=user.name, NewUserName=unique("renamed"))
    assert calls.ENCRYPT.make(user.client("kms"), bench)


@pytest.mark.parametrize("method", ["create_key", "put_key_policy"])
@pytest.mark.parametrize("named", [
    "arn:aws:iam::ACCOUNT:user/nobody", "arn:aws:iam::ACCOUNT:role/nobody",
    "arn:aws:iam::ACCOUNT:user/*", "arn:aws:iam::ACCOUNT:group/people",
    "AIDAABCDEFGHIJKLMNOPQ", "nonsense",
])
def test_a_key_policy_names_principals_that_are_there(named, method, accounts):
    world, bench = accounts.own, accounts.bench(SYMMETRIC)
    document = own_policy(world, lets(named.replace("ACCOUNT", world.account)))
    parameters = {"KeyId": bench.id} if method == "put_key_policy" else {}
    refused = refusal(getattr(bench.kms, method), Policy=document, **parameters)
    assert refused.code == "MalformedPolicyDocumentException", str(refused)
    # Recorded: hashicorp/terraform-provider-aws#21225 and others.
    assert refused.message == "Policy contains a statement with one or more invalid principals."


def test_a_user_made_anew_inherits_no_grant(accounts):
    world = accounts.own
    user, bench = world.user(), Bench(world.root)
    made = bench.grant(user.arn, "Encrypt", RetiringPrincipal=user.arn)
    assert calls.ENCRYPT.make(user.client("kms"), bench)
    again = remake(world, user).client("kms")
    assert refusal(calls.ENCRYPT.make, again, bench).code == "AccessDeniedException"
    refused = refusal(again.retire_grant, GrantToken=made["GrantToken"])
    assert refused.code == "AccessDeniedException"


# --- the lockout safety check -----------------------------------------------------------------


LOCKOUTS = [
    ("its_caller_may_put_another", lambda world, user: [lets(user.arn, "kms:PutKeyPolicy")], False),
    ("the_account_may_and_iam_lets_its_caller", lambda world, user: [lets(world.account_principal, "kms:PutKeyPolicy")], False),
    ("another_may_and_its_caller_may_not", lambda world, user: [lets(world.user().arn, "kms:*")], True),
    ("its_caller_may_all_but_put_another", lambda world, user: [lets(user.arn, ["kms:Encrypt", "kms:GetKeyPolicy"])], True),
    ("its_caller_is_denied_to_put_another", lambda world, user: [lets(user.arn, "kms:*"), forbids(user.arn, "kms:PutKeyPolicy")], True),
    ("a_condition_that_does_not_hold_lets_its_caller", lambda world, user: [lets(user.arn, "kms:*", **when("Bool", "aws:SecureTransport", "true"))], True),
]


@pytest.mark.parametrize("statements,locked", [row[1:] for row in LOCKOUTS], ids=[row[0] for row in LOCKOUTS])
@pytest.mark.parametrize("method", ["create_key", "put_key_policy"])
def test_a_policy_that_locks_its_caller_out_is_refused_unless_that_is_meant(
    statements, locked, method, accounts
):
    world = accounts.own
    user = world.user(ANY)
    kms = user.client("kms")
    parameters = {"Policy": policy(*statements(world, user))}
    if method == "put_key_policy":
        parameters["KeyId"] = Bench(world.root).id
    if locked:
        refused = refusal(getattr(kms, method), **parameters)
        assert refused.code == "MalformedPolicyDocumentException", str(refused)
        # Recorded: aws/aws-cdk#3060 and others.
        assert refused.message == (
            "The new key policy will not allow you to update the key policy in the future."
        )
        parameters["BypassPolicyLockoutSafetyCheck"] = True
    assert getattr(kms, method)(**parameters)


# --- grants -----------------------------------------------------------------------------------


@pytest.mark.parametrize("call", calls.GRANTABLE, ids=lambda call: f"{call.operation}-{call.kind[0]}")
def test_a_grant_lets_its_operation_from_when_it_is_made_until_it_is_revoked(call, accounts):
    world = accounts.own
    bench = accounts.bench(call.kind)
    user = world.user()
    kms = user.client("kms")
    assert refusal(call.make, kms, bench).code == "AccessDeniedException"
    operations = [call.operation]
    if call.operation == "CreateGrant":
        operations.append("DescribeKey")
    made = bench.grant(user.arn, *operations)
    assert call.make(kms, bench)
    others = {one.operation for one in calls.GRANTABLE if one.kind == call.kind} - set(operations)
    for other in calls.GRANTABLE:
        if other.kind == call.kind and other.operation in others:
            assert refusal(other.make, kms, bench).code == "AccessDeniedException", other.operation
    bench.kms.revoke_grant(KeyId=bench.id, GrantId=made["GrantId"])
    assert refusal(call.make, kms, bench).code == "AccessDeniedException"


def test_a_grant_lets_either_way_of_re_encrypting(accounts):
    world, bench = accounts.own, Bench(accounts.own.root).ready()
    user = world.user()
    kms = user.client("kms")
    one = bench.grant(user.arn, "ReEncryptFrom")
    refused = refusal(calls.RE_ENCRYPT.make, kms, bench)
    assert "kms:ReEncryptTo" in refused.message
    bench.grant(user.arn, "ReEncryptTo")
    assert calls.RE_ENCRYPT.make(kms, bench)
    bench.kms.revoke_grant(KeyId=bench.id, GrantId=one["GrantId"])
    refused = refusal(calls.RE_ENCRYPT.make, kms, bench)
    assert "kms:ReEncryptFrom" in refused.message


GRANT = {"Operations": ["Encrypt", "Decrypt", "GenerateDataKey", "DescribeKey"]}


def bound(kind, context):
    return {**GRANT, "Constraints": {kind: context}}


SUB, EQ = "EncryptionContextSubset", "EncryptionContextEquals"

GRANTS = [
    ok("a_grant_needs_no_policy", E, grants=(GRANT,)),
    ok("a_grant_needs_no_delegation_of_the_key", E, grants=(GRANT,), key=(lets(OTHER_ROOT),)),
    ok("a_grant_for_a_role_is_its_sessions", E, via="role", grants=(GRANT,)),
    ok("a_grant_for_a_session_is_that_sessions", E, via="role", grants=({**GRANT, "GranteePrincipal": "CALLER"},)),
    no("a_grant_for_another_user_is_not_mine", E, IDENTITY_SILENT, grants=({**GRANT, "GranteePrincipal": ROOT},)),
    ok("a_grant_for_the_account_hands_on_to_iam", E, ANY, grants=({**GRANT, "GranteePrincipal": ROOT},), key=(lets(OTHER_ROOT),)),
    no("a_grant_for_the_account_is_none_for_its_users", E, IDENTITY_SILENT, grants=({**GRANT, "GranteePrincipal": ROOT},), key=(lets(OTHER_ROOT),)),
    no("a_grant_for_another_account_is_not_ours", E, KEY_SILENT, ANY, grants=({**GRANT, "GranteePrincipal": OTHER_ROOT},), key=(lets(OTHER_ROOT),)),
    no("a_denial_of_the_key_beats_a_grant", E, KEY_DENY, grants=(GRANT,), key=(STANDARD, forbids("CALLER", "kms:Encrypt"))),
    no("a_denial_of_iam_beats_a_grant", E, IDENTITY_DENY, deny("kms:Encrypt"), grants=(GRANT,)),
    no("a_session_policy_limits_what_a_grant_gives_a_role", E, SESSION_SILENT, via="role", grants=(GRANT,), session=(allow("kms:Decrypt"),)),
    ok("a_subset_that_is_in_the_context", E, grants=(bound(SUB, {"team": "blue"}),)),
    ok("a_subset_that_is_the_context", E, grants=(bound(SUB, CONTEXT),)),
    no("a_subset_with_another_value", E, IDENTITY_SILENT, grants=(bound(SUB, {"team": "red"}),)),
    no("a_subset_with_a_value_in_other_case", E, IDENTITY_SILENT, grants=(bound(SUB, {"team": "Blue"}),)),
    ok("a_subset_with_a_name_in_other_case", E, grants=(bound(SUB, {"TEAM": "blue"}),)),
    no("a_subset_with_a_pair_too_much", E, IDENTITY_SILENT, grants=(bound(SUB, {**CONTEXT, "more": "x"}),)),
    no("a_subset_and_no_context", E.but(EncryptionContext=None), IDENTITY_SILENT, grants=(bound(SUB, {"team": "blue"}),)),
    ok("an_equal_context", E, grants=(bound(EQ, CONTEXT),)),
    ok("an_equal_context_in_another_order", E.but(EncryptionContext=dict(reversed(CONTEXT.items()))), grants=(bound(EQ, CONTEXT),)),
    no("a_context_with_a_pair_more_is_not_equal", E.but(EncryptionContext={**CONTEXT, "more": "x"}), IDENTITY_SILENT, grants=(bound(EQ, CONTEXT),)),
    no("a_context_with_a_pair_less_is_not_equal", E.but(EncryptionContext={"team": "blue"}), IDENTITY_SILENT, grants=(bound(EQ, CONTEXT),)),
    no("no_context_is_not_equal", E.but(EncryptionContext=None), IDENTITY_SILENT, grants=(bound(EQ, CONTEXT),)),
    ok("decrypting_under_a_constraint", D, grants=(bound(EQ, CONTEXT),)),
    no("decrypting_under_another_constraint", D, IDENTITY_SILENT, grants=(bound(EQ, {"team": "red"}),)),
    ok("a_data_key_under_a_constraint", calls.DATA_KEY, grants=(bound(SUB, {"team": "blue"}),)),
    no("a_data_key_under_another_constraint", calls.DATA_KEY, IDENTITY_SILENT, grants=(bound(SUB, {"team": "red"}),)),
    ok("a_constraint_does_not_bind_what_takes_no_context", calls.DESCRIBE, grants=(bound(EQ, {"team": "red"}),)),
    ok("any_of_several_grants_is_enough", E, grants=(bound(EQ, {"team": "red"}), bound(SUB, {"team": "blue"}))),
    no("several_grants_do_not_add_up", E, IDENTITY_SILENT, grants=(bound(EQ, {"team": "red"}), {"Operations": ["Decrypt"]})),
    no("a_grant_does_not_let_revoke", calls.REVOKE, IDENTITY_SILENT, grants=({"Operations": ["RetireGrant", "CreateGrant", "Encrypt"]},)),
    no("a_grant_does_not_let_list_grants", calls.LIST_GRANTS, IDENTITY_SILENT, grants=({"Operations": ["RetireGrant", "CreateGrant", "Encrypt"]},)),
]


@table(*GRANTS)
def test_a_grant_decides_beside_the_policies(check, accounts):
    play(check, accounts)


def test_a_grant_works_at_once_with_its_token_and_without(accounts):
    bench = Bench(accounts.own.root).ready()
    user = accounts.own.user()
    kms = user.client("kms")
    made = bench.grant(user.arn, "Decrypt")
    assert calls.DECRYPT.but(GrantTokens=[made["GrantToken"]]).make(kms, bench)
    assert calls.DECRYPT.make(kms, bench)


def test_a_token_lets_nobody_but_the_grantee(accounts):
    bench = Bench(accounts.own.root).ready()
    made = bench.grant(accounts.own.user().arn, "Decrypt")
    thief = accounts.own.user().client("kms")
    call = calls.DECRYPT.but(GrantTokens=[made["GrantToken"]])
    assert refusal(call.make, thief, bench).code == "AccessDeniedException"
    bench.kms.revoke_grant(KeyId=bench.id, GrantId=made["GrantId"])


def test_a_token_outlives_no_revocation(accounts):
    bench = Bench(accounts.own.root).ready()
    user = accounts.own.user()
    made = bench.grant(user.arn, "Decrypt")
    call = calls.DECRYPT.but(GrantTokens=[made["GrantToken"]])
    assert call.make(user.client("kms"), bench)
    bench.kms.revoke_grant(KeyId=bench.id, GrantId=made["GrantId"])
    assert refusal(call.make, user.client("kms"), bench).code == "AccessDeniedException"


def test_a_grant_is_for_one_key(accounts):
    bench = Bench(accounts.own.root).ready()
    user = accounts.own.user()
    bench.grant(user.arn, "Encrypt")
    call = calls.ENCRYPT.but(KeyId=lambda at: at.other)
    assert refusal(call.make, user.client("kms"), bench).code == "AccessDeniedException"


# --- who may retire a grant -------------------------------------------------------------------
# https://docs.aws.amazon.com/kms/latest/developerguide/grant-delete.html


class Retiring:
    """A grant, and the people around it."""

    def __init__(self, accounts, *operations):
        self.accounts, world = accounts, accounts.own
        self.bench = Bench(world.root)
        self.grantee, self.retirer = world.user(), world.user()
        self.made = self.bench.grant(
            self.grantee.arn, *(operations or ("Encrypt",)), RetiringPrincipal=self.retirer.arn
        )

    def by(self, principal, **parameters):
        parameters = parameters or {"GrantToken": self.made["GrantToken"]}
        return principal.client("kms").retire_grant(**parameters)

    def there(self):
        return bool(self.bench.kms.list_grants(KeyId=self.bench.id)["Grants"])


RETIRERS = [
    ("the_retiring_principal", (), lambda at: at.retirer, True),
    ("the_grantee_without_the_operation", (), lambda at: at.grantee, False),
    ("the_grantee_with_the_operation", ("Encrypt", "RetireGrant"), lambda at: at.grantee, True),
    ("the_account_of_the_key", (), lambda at: at.accounts.own.root, True),
    ("a_user_of_the_account_whom_iam_lets", (), lambda at: at.accounts.own.user(allow("kms:RetireGrant")), True),
    ("a_user_of_the_account_whom_iam_does_not_let", (), lambda at: at.accounts.own.user(allow("kms:RevokeGrant")), False),
    ("another_accounts_user_whom_iam_lets", (), lambda at: at.accounts.other.user(ANY), False),
    ("another_accounts_root_user", (), lambda at: at.accounts.other.root, False),
]


@pytest.mark.parametrize("operations,who,may", [row[1:] for row in RETIRERS], ids=[row[0] for row in RETIRERS])
def test_a_grant_is_retired_by(operations, who, may, accounts):
    at = Retiring(accounts, *operations)
    if may:
        at.by(who(at))
    else:
        assert refusal(at.by, who(at)).code == "AccessDeniedException"
    assert at.there() is not may


def test_a_grant_is_retired_by_key_and_id(accounts):
    at = Retiring(accounts)
    at.by(at.retirer, KeyId=at.bench.arn, GrantId=at.made["GrantId"])
    assert not at.there()


def test_a_denial_keeps_the_retiring_principal_from_it(accounts):
    at = Retiring(accounts)
    accounts.own.iam.put_user_policy(
        UserName=at.retirer.name, PolicyName="no", PolicyDocument=policy(deny("kms:RetireGrant"))
    )
    assert refusal(at.by, at.retirer).code == "AccessDeniedException"
    assert at.there()


def test_the_policy_of_a_key_does_not_let_retire(accounts):
    at = Retiring(accounts)
    user = accounts.own.user()
    at.bench.kms.put_key_policy(
        KeyId=at.bench.id, Policy=own_policy(accounts.own, lets(user.arn, "kms:RetireGrant"))
    )
    assert refusal(at.by, user).code == "AccessDeniedException"


def test_a_grant_that_is_not_there_is_told_to_nobody_who_may_not(accounts):
    at = Retiring(accounts)
    parameters = {"KeyId": at.bench.arn, "GrantId": "0" * 64}
    assert refusal(at.by, accounts.own.user(), **parameters).code == "AccessDeniedException"
    assert refusal(at.by, accounts.other.root, **parameters).code == "AccessDeniedException"
    assert refusal(at.by, accounts.own.root, **parameters).code == "NotFoundException"


def test_retirable_grants_are_listed_of_keys_in_every_account(accounts):
    """https://docs.aws.amazon.com/kms/latest/APIReference/API_ListRetirableGrants.html"""
    user = accounts.other.user(ANY)
    made = set()
    for world in (accounts.own, accounts.other):
        bench = Bench(world.root)
        grant = bench.grant(world.root.arn, "Encrypt", RetiringPrincipal=user.arn)
        made.add((bench.arn, grant["GrantId"]))
    kms = user.client("kms")
    listed = kms.list_retirable_grants(RetiringPrincipal=user.arn)["Grants"]
    assert {(one["KeyId"], one["GrantId"]) for one in listed} == made
    pages = kms.get_paginator("list_retirable_grants").paginate(
        RetiringPrincipal=user.arn, PaginationConfig={"PageSize": 1}
    )
    assert [len(page["Grants"]) for page in pages] == [1, 1]


# --- grants by a grantee ----------------------------------------------------------------------
# https://docs.aws.amazon.com/kms/latest/developerguide/create-grant-overview.html#grant-creategrant


def child(parent, asked, may):
    return parent, asked, may


PARENT = {"Operations": ["CreateGrant", "Encrypt", "Decrypt"]}
UNDER_SUB = {**PARENT, "Constraints": {SUB: {"team": "blue"}}}
UNDER_EQ = {**PARENT, "Constraints": {EQ: CONTEXT}}
CHILDREN = {
    "some_of_the_parents_operations": child(PARENT, {"Operations": ["Decrypt"]}, True),
    "all_of_the_parents_operations": child(PARENT, {"Operations": ["CreateGrant", "Encrypt", "Decrypt"]}, True),
    "an_operation_that_the_parent_lacks": child(PARENT, {"Operations": ["Decrypt", "GenerateDataKey"]}, False),
    "another_operation_alone": child(PARENT, {"Operations": ["DescribeKey"]}, False),
    "retiring_that_the_parent_lacks": child(PARENT, {"Operations": ["RetireGrant"]}, False),
    "a_constraint_where_the_parent_has_none": child(PARENT, {"Operations": ["Decrypt"], "Constraints": {SUB: {"team": "blue"}}}, True),
    "no_constraint_where_the_parent_has_one": child(UNDER_SUB, {"Operations": ["Decrypt"]}, False),
    "the_same_subset": child(UNDER_SUB, {"Operations": ["Decrypt"], "Constraints": {SUB: {"team": "blue"}}}, True),
    "a_larger_subset": child(UNDER_SUB, {"Operations": ["Decrypt"], "Constraints": {SUB: CONTEXT}}, True),
    "another_subset": child(UNDER_SUB, {"Operations": ["Decrypt"], "Constraints": {SUB: {"team": "red"}}}, False),
    "a_subset_without_the_parents_pair": child(UNDER_SUB, {"Operations": ["Decrypt"], "Constraints": {SUB: {"Purpose": "test"}}}, False),
    "an_equal_under_a_subset": child(UNDER_SUB, {"Operations": ["Decrypt"], "Constraints": {EQ: {"team": "blue"}}}, True),
    "a_larger_equal_under_a_subset": child(UNDER_SUB, {"Operations": ["Decrypt"], "Constraints": {EQ: CONTEXT}}, True),
    "another_equal_under_a_subset": child(UNDER_SUB, {"Operations": ["Decrypt"], "Constraints": {EQ: {"Purpose": "test"}}}, False),
    "the_same_equal": child(UNDER_EQ, {"Operations": ["Decrypt"], "Constraints": {EQ: CONTEXT}}, True),
    "a_subset_under_an_equal": child(UNDER_EQ, {"Operations": ["Decrypt"], "Constraints": {SUB: CONTEXT}}, False),
    "another_equal_under_an_equal": child(UNDER_EQ, {"Operations": ["Decrypt"], "Constraints": {EQ: {"team": "blue"}}}, False),
    "an_unbound_operation_under_a_constraint_must_be_bound_too": child({**UNDER_SUB, "Operations": ["CreateGrant", "DescribeKey"]}, {"Operations": ["DescribeKey"]}, False),
}


@pytest.mark.parametrize("parent,asked,may", CHILDREN.values(), ids=CHILDREN)
def test_a_grantee_grants_no_more_than_it_was_granted(parent, asked, may, accounts):
    bench, world = Bench(accounts.own.root).ready(), accounts.own
    user, heir = world.user(), world.user()
    bench.kms.create_grant(KeyId=bench.id, GranteePrincipal=user.arn, **parent)
    ask = {"KeyId": bench.id, "GranteePrincipal": heir.arn, **asked}
    if may:
        assert user.client("kms").create_grant(**ask)["GrantId"]
    else:
        assert refusal(user.client("kms").create_grant, **ask).code == "AccessDeniedException"
    decrypts = may and "Decrypt" in asked["Operations"]
    try:
        calls.DECRYPT.make(heir.client("kms"), bench)
    except ClientError as error:
        refused = refusal_of(error)
        # An equal constraint on a part of the ciphertext's context does not let.
        partly = asked.get("Constraints", {}).get(EQ, CONTEXT) != CONTEXT
        assert refused.code == "AccessDeniedException" and (not decrypts or partly), str(refused)
    else:
        assert decrypts


def test_two_parents_do_not_add_up(accounts):
    bench, world = Bench(accounts.own.root), accounts.own
    user = world.user()
    bench.grant(user.arn, "CreateGrant", "Encrypt")
    bench.grant(user.arn, "Decrypt")
    refused = refusal(
        user.client("kms").create_grant, KeyId=bench.id, GranteePrincipal=world.root.arn,
        Operations=["Decrypt"],
    )
    assert refused.code == "AccessDeniedException"


def test_a_policy_that_lets_create_grants_is_not_limited_by_a_grant(accounts):
    bench, world = Bench(accounts.own.root), accounts.own
    user = world.user(allow("kms:CreateGrant"))
    bench.grant(user.arn, "CreateGrant", "Encrypt")
    assert user.client("kms").create_grant(
        KeyId=bench.id, GranteePrincipal=world.root.arn, Operations=["Decrypt"]
    )


def test_a_grandchild_is_bound_by_its_parent(accounts):
    bench, world = Bench(accounts.own.root).ready(), accounts.own
    one, two, three = world.user(), world.user(), world.user()
    bench.grant(one.arn, "CreateGrant", "Encrypt", "Decrypt")
    ask = {"KeyId": bench.id, "GranteePrincipal": two.arn}
    one.client("kms").create_grant(Operations=["CreateGrant", "Decrypt"], **ask)
    ask["GranteePrincipal"] = three.arn
    refused = refusal(two.client("kms").create_grant, Operations=["Encrypt"], **ask)
    assert refused.code == "AccessDeniedException"
    two.client("kms").create_grant(Operations=["Decrypt"], **ask)
    assert calls.DECRYPT.make(three.client("kms"), bench)
    refused = refusal(three.client("kms").create_grant, Operations=["Decrypt"], **ask)
    assert refused.code == "AccessDeniedException"


# --- across accounts, by grants ---------------------------------------------------------------


def test_a_grant_of_another_account_is_used_listed_and_retired_from_there(accounts):
    bench = Bench(accounts.own.root).ready()
    grantee, retirer = accounts.other.user(ANY), accounts.other.user(ANY)
    made = bench.grant(grantee.arn, "Decrypt", "DescribeKey", RetiringPrincipal=retirer.arn)
    assert calls.DECRYPT_BY_BLOB.make(grantee.client("kms"), bench)
    assert calls.DESCRIBE.make(grantee.client("kms"), bench)
    retirer.client("kms").retire_grant(KeyId=bench.arn, GrantId=made["GrantId"])
    refused = refusal(calls.DECRYPT_BY_BLOB.make, grantee.client("kms"), bench)
    assert refused.code == "AccessDeniedException"


def test_a_retiring_account_hands_on_to_its_users(accounts):
    bench = Bench(accounts.own.root)
    for statements, may in (((), False), ((allow("kms:RetireGrant"),), True)):
        made = bench.grant(
            accounts.own.root.arn, "Encrypt", RetiringPrincipal=accounts.other.root.arn
        )
        kms = accounts.other.user(*statements).client("kms")
        if may:
            kms.retire_grant(GrantToken=made["GrantToken"])
        else:
            refused = refusal(kms.retire_grant, GrantToken=made["GrantToken"])
            assert refused.code == "AccessDeniedException"


# --- enclaves ---------------------------------------------------------------------------------

RECIPIENTS = {
    "decrypt": calls.DECRYPT, "generate_data_key": calls.DATA_KEY,
    "generate_data_key_pair": calls.DATA_KEY_PAIR, "generate_random": calls.RANDOM,
    "derive_shared_secret": calls.DERIVE,
}


@pytest.mark.parametrize("call", RECIPIENTS.values(), ids=RECIPIENTS)
def test_what_is_asked_for_an_enclave_is_refused_and_told_to_nobody(call, accounts):
    """No attestation is checked here, so nothing may be answered to one."""
    bench = accounts.bench(call.kind)
    recipient = {
        "KeyEncryptionAlgorithm": "RSAES_OAEP_SHA_256", "AttestationDocument": b"not attested",
    }
    refused = refusal(call.but(Recipient=recipient).make, accounts.own.root.client("kms"), bench)
    assert refused.status in (400, 501), str(refused)
