"""IAM's core as its API reference describes it: what is made, listed, limited and refused.

Error texts marked [rec] are recordings of AWS's answers, kept by LocalStack in
tests/aws/services/iam/*.snapshot.json (2023-2026). Others name their source; where none was found
only the code and the stable part of the text is asserted.
"""

import json
import re
import time
from datetime import datetime, timedelta, timezone
from urllib.parse import unquote

import pytest

from clients import Principal, refusal
from signer import Signer
from world import allow, policy, tags, trust, unique

EC2_TRUST = policy(trust({"Service": "ec2.amazonaws.com"}))
ANY = policy(allow("*"))


@pytest.fixture(scope="module")
def iam(root):
    return root.iam


def expect(call, code, status, message=None, matching=None, **parameters):
    refused = refusal(call, **parameters)
    assert (refused.code, refused.status) == (code, status), str(refused)
    if message is not None:
        assert refused.message == message
    if matching is not None:
        assert re.search(matching, refused.message), str(refused)
    return refused


def recent(moment):
    return abs(datetime.now(timezone.utc) - moment) < timedelta(minutes=2)


def without_metadata(answer):
    return {key: value for key, value in answer.items() if key != "ResponseMetadata"}


# --- users -----------------------------------------------------------------------------------


def test_a_user_is_what_it_was_made(iam, world):
    name = unique("user")
    made = iam.create_user(UserName=name, Path="/a/b/", Tags=tags(team="blue"))["User"]
    assert made["Arn"] == world.arn(f"user/a/b/{name}")
    assert (made["UserName"], made["Path"]) == (name, "/a/b/")
    # Unique ids and their prefixes: IAM User Guide, "IAM identifiers".
    assert re.fullmatch(r"AIDA[A-Z0-9]{17}", made["UserId"])
    assert recent(made["CreateDate"])
    assert made["Tags"] == tags(team="blue")
    assert iam.get_user(UserName=name)["User"] == made


def test_a_user_made_again_has_another_id(iam):
    name = unique("user")
    first = iam.create_user(UserName=name)["User"]["UserId"]
    iam.delete_user(UserName=name)
    assert iam.create_user(UserName=name)["User"]["UserId"] != first


def test_get_user_without_a_name_is_the_caller(iam, world):
    user = world.user(allow("iam:GetUser"))
    assert user.iam.get_user()["User"]["UserName"] == user.name
    # GetUser, API reference: for the root user it answers the account's ARN.
    assert world.root.iam.get_user()["User"]["Arn"] == world.arn("root")


def test_a_user_renamed_and_moved_keeps_its_id_its_key_and_its_policies(iam, world):
    user = world.user(allow("iam:GetUser"))
    before = iam.get_user(UserName=user.name)["User"]
    renamed = unique("renamed")
    iam.update_user(UserName=user.name, NewUserName=renamed, NewPath="/moved/")
    after = iam.get_user(UserName=renamed)["User"]
    assert after["Arn"] == world.arn(f"user/moved/{renamed}")
    assert (after["UserId"], after["CreateDate"]) == (before["UserId"], before["CreateDate"])
    assert user.iam.get_user()["User"]["UserName"] == renamed
    expect(
        iam.get_user, "NoSuchEntity", 404,
        f"The user with name {user.name} cannot be found.",  # [rec]
        UserName=user.name,
    )


def test_names_differ_by_more_than_case(iam):
    # CreateUser, API reference: "Names are not distinguished by case."
    name = unique("Cased")
    iam.create_user(UserName=name)
    expect(iam.create_user, "EntityAlreadyExists", 409, UserName=name.lower())


# --- lists and pages -------------------------------------------------------------------------

MAKERS = {
    "users": lambda iam, name, path: iam.create_user(UserName=name, Path=path),
    "groups": lambda iam, name, path: iam.create_group(GroupName=name, Path=path),
    "roles": lambda iam, name, path: iam.create_role(
        RoleName=name, Path=path, AssumeRolePolicyDocument=EC2_TRUST
    ),
    "policies": lambda iam, name, path: iam.create_policy(
        PolicyName=name, Path=path, PolicyDocument=ANY
    ),
    "instance_profiles": lambda iam, name, path: iam.create_instance_profile(
        InstanceProfileName=name, Path=path
    ),
}
LISTS = {
    "users": ("Users", "UserName"),
    "groups": ("Groups", "GroupName"),
    "roles": ("Roles", "RoleName"),
    "policies": ("Policies", "PolicyName"),
    "instance_profiles": ("InstanceProfiles", "InstanceProfileName"),
}


@pytest.mark.parametrize("noun", MAKERS)
def test_pages_hold_each_entry_once_and_a_prefix_narrows_them(noun, iam):
    members, name_of = LISTS[noun]
    path = f"/{unique('page')}/"
    names = [unique("entry") for _ in range(7)]
    for index, name in enumerate(names):
        MAKERS[noun](iam, name, f"{path}{'even' if index % 2 == 0 else 'odd'}/")
    paginator = iam.get_paginator(f"list_{noun}")

    def listed(prefix, page_size):
        pages = list(
            paginator.paginate(PathPrefix=prefix, PaginationConfig={"PageSize": page_size})
        )
        for page in pages[:-1]:
            assert page["IsTruncated"] and page["Marker"] and len(page[members]) == page_size
        assert not pages[-1]["IsTruncated"] and "Marker" not in pages[-1]
        return [entry[name_of] for page in pages for entry in page[members]]

    assert sorted(listed(path, 2)) == sorted(names)
    assert listed(path, 2) == listed(path, 1000)
    assert sorted(listed(f"{path}even/", 3)) == sorted(names[::2])
    assert listed(f"{path}none/", 3) == []


def test_a_page_begun_before_a_deletion_skips_nothing(iam):
    path = f"/{unique('page')}/"
    names = sorted(unique("entry") for _ in range(6))
    for name in names:
        iam.create_user(UserName=name, Path=path)
    first = iam.list_users(PathPrefix=path, MaxItems=2)
    seen = [user["UserName"] for user in first["Users"]]
    iam.delete_user(UserName=seen[-1])
    rest = iam.list_users(PathPrefix=path, MaxItems=100, Marker=first["Marker"])
    assert sorted(seen + [user["UserName"] for user in rest["Users"]]) == names


@pytest.mark.parametrize("max_items", [0, 1001])
def test_max_items_is_between_1_and_1000(max_items, root):
    expect(
        root.iam_unchecked.list_users, "ValidationError", 400,
        matching=rf"^1 validation error detected: Value '{max_items}' at 'maxItems' failed to satisfy"
        r" constraint: Member must have value (greater|less) than or equal to 1(000)?$",
        MaxItems=max_items,
    )


@pytest.mark.parametrize("marker", ["nonsense", "AAAA", "x" * 300])
def test_a_marker_that_was_not_given_out_is_refused(marker, iam):
    expect(iam.list_users, "ValidationError", 400, matching="[Mm]arker", Marker=marker)


def test_a_marker_of_another_list_is_refused(iam):
    path = f"/{unique('page')}/"
    for _ in range(2):
        iam.create_user(UserName=unique("entry"), Path=path)
    marker = iam.list_users(PathPrefix=path, MaxItems=1)["Marker"]
    expect(iam.list_groups, "ValidationError", 400, matching="[Mm]arker", Marker=marker)


def test_lists_leave_out_what_aws_leaves_out(iam, world):
    path = f"/{unique('lists')}/"
    boundary = world.managed_policy(allow("*"))
    role = unique("role")
    iam.create_role(
        RoleName=role, Path=path, AssumeRolePolicyDocument=EC2_TRUST, Description="d",
        PermissionsBoundary=boundary, Tags=tags(a="1"),
    )
    whole = iam.get_role(RoleName=role)["Role"]
    assert whole["Tags"] == tags(a="1")
    assert whole["PermissionsBoundary"]["PermissionsBoundaryArn"] == boundary
    assert whole["RoleLastUsed"] == {} and whole["MaxSessionDuration"] == 3600
    # ListRoles, API reference: not PermissionsBoundary, RoleLastUsed, Tags. [rec]
    (listed,) = iam.list_roles(PathPrefix=path)["Roles"]
    left_out = {"Tags", "PermissionsBoundary", "RoleLastUsed"}
    assert listed == {key: value for key, value in whole.items() if key not in left_out}


# --- groups ----------------------------------------------------------------------------------


def test_a_group_lists_its_members_and_a_user_its_groups(iam, world):
    first, second = world.user(), world.user()
    group = world.group(members=[first, second])
    answer = iam.get_group(GroupName=group)
    assert re.fullmatch(r"AGPA[A-Z0-9]{17}", answer["Group"]["GroupId"])
    assert {user["UserName"] for user in answer["Users"]} == {first.name, second.name}
    groups = iam.list_groups_for_user(UserName=first.name)["Groups"]
    assert [entry["GroupName"] for entry in groups] == [group]
    iam.add_user_to_group(GroupName=group, UserName=first.name)  # again: no error, no second entry
    assert len(iam.get_group(GroupName=group)["Users"]) == 2
    iam.remove_user_from_group(GroupName=group, UserName=first.name)
    iam.remove_user_from_group(GroupName=group, UserName=first.name)  # [rec]: answered 200
    assert iam.list_groups_for_user(UserName=first.name)["Groups"] == []


def test_a_group_renamed_keeps_its_members_and_policies(iam, world):
    user = world.user()
    group = world.group(allow("iam:ListUsers"), members=[user])
    renamed = unique("renamed")
    iam.update_group(GroupName=group, NewGroupName=renamed, NewPath="/moved/")
    answer = iam.get_group(GroupName=renamed)
    assert answer["Group"]["Arn"] == world.arn(f"group/moved/{renamed}")
    assert [entry["UserName"] for entry in answer["Users"]] == [user.name]
    assert user.iam.list_users()["Users"]


def test_a_user_is_in_at_most_ten_groups(iam, world):
    user = world.user()
    for _ in range(10):
        world.group(members=[user])
    expect(
        iam.add_user_to_group, "LimitExceeded", 409, "Cannot exceed quota for GroupsPerUser: 10",
        GroupName=world.group(), UserName=user.name,
    )


# --- roles -----------------------------------------------------------------------------------


def test_a_role_is_what_it_was_made(iam, world):
    name = unique("role")
    made = iam.create_role(
        RoleName=name, Path="/svc/", AssumeRolePolicyDocument=EC2_TRUST, Description="does things",
        MaxSessionDuration=7200, Tags=tags(a="1", b="2"),
    )["Role"]
    assert made["Arn"] == world.arn(f"role/svc/{name}")
    assert re.fullmatch(r"AROA[A-Z0-9]{17}", made["RoleId"]) and recent(made["CreateDate"])
    assert made["AssumeRolePolicyDocument"] == json.loads(EC2_TRUST)
    # CreateRole answers without these; GetRole with them. [rec]
    assert "MaxSessionDuration" not in made and "Description" not in made
    got = iam.get_role(RoleName=name)["Role"]
    assert (got["MaxSessionDuration"], got["Description"]) == (7200, "does things")
    assert got["Tags"] == tags(a="1", b="2")


def test_updating_a_role_changes_only_what_is_given(iam, world):
    name = world.role().rsplit("/", 1)[1]
    iam.update_role(RoleName=name, Description="first", MaxSessionDuration=7200)
    iam.update_role(RoleName=name, Description="second")
    role = iam.get_role(RoleName=name)["Role"]
    assert (role["Description"], role["MaxSessionDuration"]) == ("second", 7200)
    iam.update_role_description(RoleName=name, Description="third")
    assert iam.get_role(RoleName=name)["Role"]["Description"] == "third"
    iam.update_assume_role_policy(RoleName=name, PolicyDocument=EC2_TRUST)
    role = iam.get_role(RoleName=name)["Role"]
    assert role["AssumeRolePolicyDocument"] == json.loads(EC2_TRUST)


@pytest.mark.parametrize("seconds", [3599, 43201])
def test_a_roles_longest_session_is_between_one_and_twelve_hours(seconds, root):
    expect(
        root.iam_unchecked.create_role, "ValidationError", 400, matching="at 'maxSessionDuration'",
        RoleName=unique("role"), AssumeRolePolicyDocument=EC2_TRUST, MaxSessionDuration=seconds,
    )


def test_service_linked_names_and_paths_are_reserved(iam):
    # Message as AWS sent it: github.com/tilfin/aws-iam-policy-tool/pull/9
    expect(
        iam.create_role, "InvalidInput", 400,
        matching=r"'/aws-service-role/' can only be used for AWS Service linked Roles",
        RoleName="AWSServiceRoleForECS", Path="/aws-service-role/ecs.amazonaws.com/",
        AssumeRolePolicyDocument=EC2_TRUST,
    )


# --- managed policies ------------------------------------------------------------------------


def test_a_managed_policy_is_what_it_was_made(iam, world):
    name = unique("policy")
    made = iam.create_policy(
        PolicyName=name, Path="/p/", PolicyDocument=ANY, Description="everything", Tags=tags(a="1")
    )["Policy"]
    assert made["Arn"] == world.arn(f"policy/p/{name}")
    assert re.fullmatch(r"ANPA[A-Z0-9]{17}", made["PolicyId"])
    assert (made["DefaultVersionId"], made["AttachmentCount"]) == ("v1", 0)
    assert made["IsAttachable"] is True and made["PermissionsBoundaryUsageCount"] == 0
    got = iam.get_policy(PolicyArn=made["Arn"])["Policy"]
    assert (got["Description"], got["Tags"]) == ("everything", tags(a="1"))
    version = iam.get_policy_version(PolicyArn=made["Arn"], VersionId="v1")["PolicyVersion"]
    assert version["Document"] == json.loads(ANY) and version["IsDefaultVersion"] is True


def test_a_document_comes_back_byte_for_byte(iam, world):
    document = '{ "Version":"2012-10-17",\n\t"Statement" : [{"Effect":"Allow","Action":"s3:*",\r\n"Resource":"*","Sid":"AZ09"}] }'
    arn = iam.create_policy(PolicyName=unique("policy"), PolicyDocument=document)["Policy"]["Arn"]
    # boto decodes the percent-encoded document and parses it; the wire is asked for the bytes.
    answer = Signer(world.root).query(
        "iam", {"Action": "GetPolicyVersion", "PolicyArn": arn, "VersionId": "v1"}
    )
    encoded = re.search(r"<Document>(.*)</Document>", answer.text).group(1)
    assert unquote(encoded) == document and "{" not in encoded


def test_versions_are_numbered_onwards_and_at_most_five(iam, world):
    arn = world.managed_policy(allow("iam:GetUser"))
    for number in (2, 3, 4, 5):
        made = iam.create_policy_version(PolicyArn=arn, PolicyDocument=ANY, SetAsDefault=number == 3)
        assert made["PolicyVersion"]["VersionId"] == f"v{number}"
        assert made["PolicyVersion"]["IsDefaultVersion"] is (number == 3)
    expect(
        iam.create_policy_version, "LimitExceeded", 409,
        "A managed policy can have up to 5 versions. Before you create a new version, you must"
        " delete an existing version.",  # [rec]
        PolicyArn=arn, PolicyDocument=ANY,
    )
    expect(
        iam.delete_policy_version, "DeleteConflict", 409,
        "Cannot delete the default version of a policy.",  # [rec]
        PolicyArn=arn, VersionId="v3",
    )
    iam.delete_policy_version(PolicyArn=arn, VersionId="v5")
    # A number is not used again. [rec]
    again = iam.create_policy_version(PolicyArn=arn, PolicyDocument=ANY)["PolicyVersion"]
    assert again["VersionId"] == "v6"
    versions = iam.list_policy_versions(PolicyArn=arn)["Versions"]
    assert [version["VersionId"] for version in versions] == ["v6", "v4", "v3", "v2", "v1"]
    assert [v["VersionId"] for v in versions if v["IsDefaultVersion"]] == ["v3"]
    assert iam.get_policy(PolicyArn=arn)["Policy"]["DefaultVersionId"] == "v3"


def test_counts_follow_attachments_and_boundaries(iam, world):
    arn = world.managed_policy(allow("*"))
    user = world.user(attached=[arn])
    group = world.group(attached=[arn])
    role = world.role(attached=[arn], boundary=arn).rsplit("/", 1)[1]
    counted = iam.get_policy(PolicyArn=arn)["Policy"]
    assert (counted["AttachmentCount"], counted["PermissionsBoundaryUsageCount"]) == (3, 1)
    entities = iam.list_entities_for_policy(PolicyArn=arn)
    assert [entry["UserName"] for entry in entities["PolicyUsers"]] == [user.name]
    assert [entry["GroupName"] for entry in entities["PolicyGroups"]] == [group]
    assert [entry["RoleName"] for entry in entities["PolicyRoles"]] == [role]
    iam.attach_user_policy(UserName=user.name, PolicyArn=arn)  # again: no error, not counted twice
    iam.detach_group_policy(GroupName=group, PolicyArn=arn)
    iam.delete_role_permissions_boundary(RoleName=role)
    counted = iam.get_policy(PolicyArn=arn)["Policy"]
    assert (counted["AttachmentCount"], counted["PermissionsBoundaryUsageCount"]) == (2, 0)


@pytest.mark.parametrize("kind", ["User", "Group", "Role"])
def test_at_most_ten_managed_policies_are_attached(kind, iam, world):
    made = {
        "User": lambda: world.user().name,
        "Group": lambda: world.group(),
        "Role": lambda: world.role().rsplit("/", 1)[1],
    }[kind]()
    attach = getattr(iam, f"attach_{kind.lower()}_policy")
    who = {f"{kind}Name": made}
    for _ in range(10):
        attach(PolicyArn=world.managed_policy(allow("*")), **who)
    expect(
        attach, "LimitExceeded", 409, f"Cannot exceed quota for PoliciesPer{kind}: 10",
        PolicyArn=world.managed_policy(allow("*")), **who,
    )


def test_policies_are_listed_by_scope_and_attachment(iam, world):
    path = f"/{unique('scope')}/"
    attached = world.managed_policy(allow("*"), path=path)
    loose = world.managed_policy(allow("*"), path=path)
    boundary = world.managed_policy(allow("*"), path=path)
    world.user(attached=[attached], boundary=boundary)

    def listed(**parameters):
        pages = iam.get_paginator("list_policies").paginate(PathPrefix=path, **parameters)
        return {entry["Arn"] for page in pages for entry in page["Policies"]}

    assert listed(Scope="Local") == {attached, loose, boundary}
    assert listed(Scope="AWS") == set()
    assert listed(OnlyAttached=True, PolicyUsageFilter="PermissionsPolicy") == {attached}
    assert listed(PolicyUsageFilter="PermissionsBoundary") == {boundary}


# --- inline policies -------------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["User", "Group", "Role"])
def test_an_inline_policy_is_put_replaced_listed_and_deleted(kind, iam, world):
    noun = kind.lower()
    name = {
        "User": lambda: world.user().name,
        "Group": lambda: world.group(),
        "Role": lambda: world.role().rsplit("/", 1)[1],
    }[kind]()
    who = {f"{kind}Name": name}
    put, get = getattr(iam, f"put_{noun}_policy"), getattr(iam, f"get_{noun}_policy")
    listed, delete = getattr(iam, f"list_{noun}_policies"), getattr(iam, f"delete_{noun}_policy")
    put(PolicyName="p", PolicyDocument=policy(allow("s3:*")), **who)
    put(PolicyName="p", PolicyDocument=ANY, **who)
    put(PolicyName="a", PolicyDocument=ANY, **who)
    got = get(PolicyName="p", **who)
    assert got["PolicyDocument"] == json.loads(ANY) and got[f"{kind}Name"] == name
    assert listed(**who)["PolicyNames"] == ["a", "p"]
    delete(PolicyName="p", **who)
    assert listed(**who)["PolicyNames"] == ["a"]
    missing = f"The {noun} policy with name p cannot be found."  # [rec]
    expect(get, "NoSuchEntity", 404, missing, PolicyName="p", **who)
    expect(delete, "NoSuchEntity", 404, missing, PolicyName="p", **who)


# IAM and AWS STS quotas: 2,048, 5,120 and 10,240 characters without white space.
@pytest.mark.parametrize("kind,limit", [("User", 2048), ("Group", 5120), ("Role", 10240)])
def test_the_inline_policies_of_one_entity_are_limited_together(kind, limit, iam, world):
    noun = kind.lower()
    name = {
        "User": lambda: world.user().name,
        "Group": lambda: world.group(),
        "Role": lambda: world.role().rsplit("/", 1)[1],
    }[kind]()
    put = getattr(iam, f"put_{noun}_policy")

    def sized(characters):
        empty = '{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Action":"s3:*","Resource":"arn:aws:s3:::"}]}'
        return empty.replace(":::", ":::" + "b" * (characters - len(empty)))

    who = {f"{kind}Name": name}
    half = limit // 2
    put(PolicyName="first", PolicyDocument=sized(half), **who)
    # White space does not count.
    put(PolicyName="second", PolicyDocument=sized(limit - half).replace(",", ", \n"), **who)
    # AWS's words: "Maximum policy size of 2048 bytes exceeded for user NAME"
    expect(
        put, "LimitExceeded", 409,
        f"Maximum policy size of {limit} bytes exceeded for {noun} {name}",
        PolicyName="second", PolicyDocument=sized(limit - half + 1), **who,
    )


def test_a_managed_policy_holds_6144_characters_without_white_space(iam):
    start = '{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Action":"s3:*","Resource":"arn:aws:s3:::'
    end = '"}]}'
    fits = start + "b" * (6144 - len(start) - len(end)) + end
    iam.create_policy(PolicyName=unique("policy"), PolicyDocument=fits.replace(",", ", "))
    # AWS's words, as deployments report them: "Cannot exceed quota for PolicySize: 6144"
    expect(
        iam.create_policy, "LimitExceeded", 409, "Cannot exceed quota for PolicySize: 6144",
        PolicyName=unique("policy"), PolicyDocument=fits.replace("bb", "bbb", 1),
    )


def test_a_trust_policy_holds_2048_characters(iam):
    principals = [{"Service": f"s{index:04}.amazonaws.com"} for index in range(40)]
    document = policy(*(trust(principal) for principal in principals))
    # As deployments report it: "Cannot exceed quota for ACLSizePerRole: 2048"
    expect(
        iam.create_role, "LimitExceeded", 409, "Cannot exceed quota for ACLSizePerRole: 2048",
        RoleName=unique("role"), AssumeRolePolicyDocument=document,
    )


# --- boundaries ------------------------------------------------------------------------------


def test_a_boundary_is_shown_and_must_be_a_policy_that_is_there(iam, world):
    boundary = world.managed_policy(allow("*"))
    user = world.user(boundary=boundary)
    shown = iam.get_user(UserName=user.name)["User"]["PermissionsBoundary"]
    # The type is spelled `Policy` on the wire, whatever the model's enumeration says.
    assert shown["PermissionsBoundaryArn"] == boundary
    assert shown["PermissionsBoundaryType"] in ("Policy", "PermissionsBoundaryPolicy")
    missing = world.arn("policy/none-such")
    expect(
        iam.put_user_permissions_boundary, "NoSuchEntity", 404,
        # As terraform and rosa users report it.
        matching=rf"^Scope ARN: {re.escape(missing)} does not exist or is not attachable\.?$",
        UserName=user.name, PermissionsBoundary=missing,
    )
    expect(
        iam.put_user_permissions_boundary, "InvalidInput", 400,
        f"ARN {user.arn} is not valid.", UserName=user.name, PermissionsBoundary=user.arn,
    )
    iam.delete_user_permissions_boundary(UserName=user.name)
    assert "PermissionsBoundary" not in iam.get_user(UserName=user.name)["User"]


# --- access keys -----------------------------------------------------------------------------


def test_an_access_key_looks_like_aws_and_shows_its_secret_once(iam):
    name = unique("user")
    iam.create_user(UserName=name)
    made = iam.create_access_key(UserName=name)["AccessKey"]
    assert re.fullmatch(r"AKIA[A-Z2-7]{16}", made["AccessKeyId"])
    assert re.fullmatch(r"[A-Za-z0-9+/]{40}", made["SecretAccessKey"])
    assert made["Status"] == "Active" and recent(made["CreateDate"])
    (listed,) = iam.list_access_keys(UserName=name)["AccessKeyMetadata"]
    assert listed == {key: value for key, value in made.items() if key != "SecretAccessKey"}


def test_a_user_has_at_most_two_access_keys(iam):
    name = unique("user")
    iam.create_user(UserName=name)
    first = iam.create_access_key(UserName=name)["AccessKey"]["AccessKeyId"]
    iam.create_access_key(UserName=name)
    # An inactive key counts too.
    iam.update_access_key(UserName=name, AccessKeyId=first, Status="Inactive")
    expect(
        iam.create_access_key, "LimitExceeded", 409,
        "Cannot exceed quota for AccessKeysPerUser: 2",  # [rec]
        UserName=name,
    )
    iam.delete_access_key(UserName=name, AccessKeyId=first)
    iam.create_access_key(UserName=name)


def test_a_user_without_naming_itself_handles_its_own_keys(world):
    user = world.user(allow("iam:*AccessKey*"))
    second = user.iam.create_access_key()["AccessKey"]
    assert second["UserName"] == user.name
    listed = user.iam.list_access_keys()["AccessKeyMetadata"]
    assert {key["AccessKeyId"] for key in listed} == {user.access_key_id, second["AccessKeyId"]}
    user.iam.delete_access_key(AccessKeyId=second["AccessKeyId"])
    assert len(user.iam.list_access_keys()["AccessKeyMetadata"]) == 1


def test_a_role_session_must_name_the_user_of_a_key(iam, world):
    broker = world.user(allow("sts:*"))
    session = broker.assume(world.role(allow("iam:*")))
    expect(
        session.iam.delete_access_key, "ValidationError", 400,
        "Must specify userName when calling with non-User credentials",  # [rec]
        AccessKeyId=broker.access_key_id,
    )


def test_the_last_use_of_a_key_is_known(iam, world):
    user = world.user()
    before = iam.get_access_key_last_used(AccessKeyId=user.access_key_id)
    assert before["UserName"] == user.name
    assert without_metadata(before)["AccessKeyLastUsed"] == {
        "Region": "N/A", "ServiceName": "N/A",  # [rec]
    }
    user.client("sts", region="eu-west-1").get_caller_identity()
    deadline = time.monotonic() + 10
    while True:
        used = iam.get_access_key_last_used(AccessKeyId=user.access_key_id)["AccessKeyLastUsed"]
        if used["ServiceName"] != "N/A" or time.monotonic() > deadline:
            break
        time.sleep(0.05)
    assert (used["ServiceName"], used["Region"]) == ("sts", "eu-west-1")
    assert recent(used["LastUsedDate"])


def test_the_last_use_of_a_key_of_nobody_is_denied_to_anyone(iam):
    # [rec], for an administrator: not NoSuchEntity.
    expect(
        iam.get_access_key_last_used, "AccessDenied", 403,
        matching=r"is not authorized to perform:? iam:GetAccessKeyLastUsed on resource: access key",
        AccessKeyId="AKIAIOSFODNN7EXAMPLE",
    )


def test_the_last_use_of_a_role_is_known(iam, world):
    broker = world.user(allow("sts:*"))
    role = world.role()
    name = role.rsplit("/", 1)[1]
    session = broker.assume(role)
    assert iam.get_role(RoleName=name)["Role"]["RoleLastUsed"] == {}
    session.client("sts", region="eu-west-1").get_caller_identity()
    deadline = time.monotonic() + 10
    while True:
        used = iam.get_role(RoleName=name)["Role"]["RoleLastUsed"]
        if used or time.monotonic() > deadline:
            break
        time.sleep(0.05)
    assert used["Region"] == "eu-west-1" and recent(used["LastUsedDate"])


# --- instance profiles -----------------------------------------------------------------------


def test_an_instance_profile_holds_one_role(iam, world):
    profile = unique("profile")
    made = iam.create_instance_profile(InstanceProfileName=profile, Path="/x/")["InstanceProfile"]
    assert made["Arn"] == world.arn(f"instance-profile/x/{profile}") and made["Roles"] == []
    assert re.fullmatch(r"AIPA[A-Z0-9]{17}", made["InstanceProfileId"])
    role = world.role().rsplit("/", 1)[1]
    iam.add_role_to_instance_profile(InstanceProfileName=profile, RoleName=role)
    (held,) = iam.get_instance_profile(InstanceProfileName=profile)["InstanceProfile"]["Roles"]
    assert held["RoleName"] == role
    (found,) = iam.list_instance_profiles_for_role(RoleName=role)["InstanceProfiles"]
    assert found["InstanceProfileName"] == profile
    other = world.role().rsplit("/", 1)[1]
    expect(
        iam.add_role_to_instance_profile, "LimitExceeded", 409,
        "Cannot exceed quota for InstanceSessionsPerInstanceProfile: 1",  # [rec]
        InstanceProfileName=profile, RoleName=other,
    )
    expect(
        iam.remove_role_from_instance_profile, "NoSuchEntity", 404,
        f"Role {other} in Instance Profile {profile} cannot be found.",  # [rec]
        InstanceProfileName=profile, RoleName=other,
    )
    in_use = "Cannot delete entity, must remove roles from instance profile first."  # [rec]
    expect(
        iam.delete_instance_profile, "DeleteConflict", 409, in_use, InstanceProfileName=profile
    )
    expect(iam.delete_role, "DeleteConflict", 409, matching="^Cannot delete entity, must", RoleName=role)
    iam.remove_role_from_instance_profile(InstanceProfileName=profile, RoleName=role)
    iam.delete_instance_profile(InstanceProfileName=profile)


# --- tags ------------------------------------------------------------------------------------

TAGGED = {
    "user": ("UserName", lambda world: world.user().name),
    "role": ("RoleName", lambda world: world.role().rsplit("/", 1)[1]),
    "policy": ("PolicyArn", lambda world: world.managed_policy(allow("*"))),
    "instance_profile": (
        "InstanceProfileName",
        lambda world: world.iam.create_instance_profile(InstanceProfileName=unique("profile"))[
            "InstanceProfile"
        ]["InstanceProfileName"],
    ),
}


@pytest.fixture(params=TAGGED, ids=list(TAGGED))
def tagged(request, iam, world):
    """Tagging calls on one new thing that has tags."""
    parameter, make = TAGGED[request.param]
    who = {parameter: make(world)}

    class Tagging:
        def tag(self, pairs):
            return getattr(iam, f"tag_{request.param}")(Tags=pairs, **who)

        def untag(self, keys):
            return getattr(iam, f"untag_{request.param}")(TagKeys=keys, **who)

        def listed(self):
            pages = iam.get_paginator(f"list_{request.param}_tags").paginate(
                PaginationConfig={"PageSize": 20}, **who
            )
            return {tag["Key"]: tag["Value"] for page in pages for tag in page["Tags"]}

    return Tagging()


def test_tags_are_added_replaced_and_removed(tagged):
    tagged.tag(tags(a="1", b="2"))
    tagged.tag(tags(b="3", c="4"))
    assert tagged.listed() == {"a": "1", "b": "3", "c": "4"}
    tagged.untag(["a", "none-such"])
    assert tagged.listed() == {"b": "3", "c": "4"}


def test_a_thing_has_at_most_fifty_tags(tagged):
    fifty = [{"Key": f"k{index}", "Value": ""} for index in range(50)]
    tagged.tag(fifty)
    assert len(tagged.listed()) == 50
    tagged.tag([{"Key": "k0", "Value": "replaced"}])
    expect(lambda: tagged.tag(tags(one_more="x")), "LimitExceeded", 409)
    assert len(tagged.listed()) == 50


TAG_RULES = {
    "a_tag_key_twice": (tags(a="1") + tags(a="2"), "InvalidInput", "^Duplicate tag keys found"),
    "a_reserved_prefix": ([{"Key": "aws:x", "Value": "1"}], "InvalidInput", "aws:|reserved|[Ss]ystem"),
    "an_empty_key": ([{"Key": "", "Value": "1"}], "ValidationError", "length greater than or equal to 1"),
    "a_long_key": ([{"Key": "k" * 129, "Value": "1"}], "ValidationError", "length less than or equal to 128"),
    "a_long_value": ([{"Key": "k", "Value": "v" * 257}], "ValidationError", "length less than or equal to 256"),
    "a_character_that_is_not_allowed": ([{"Key": "a*b", "Value": "1"}], "ValidationError", "regular expression pattern"),
}


@pytest.mark.parametrize("rule", TAG_RULES)
def test_a_tag_that_breaks_a_rule_is_refused(rule, root, world):
    pairs, code, text = TAG_RULES[rule]
    user = world.user()
    expect(root.iam_unchecked.tag_user, code, 400, matching=text, UserName=user.name, Tags=pairs)
    assert world.iam.list_user_tags(UserName=user.name)["Tags"] == []


def test_tag_keys_of_users_and_roles_do_not_differ_by_case_alone(iam, world):
    # [rec]
    expect(
        iam.create_user, "InvalidInput", 400,
        "Duplicate tag keys found. Please note that Tag keys are case insensitive.",
        UserName=unique("user"), Tags=tags(team="1") + tags(TEAM="2"),
    )
    user = world.user(tagged={"team": "1"})
    iam.tag_user(UserName=user.name, Tags=tags(TEAM="2"))
    (only,) = iam.list_user_tags(UserName=user.name)["Tags"]
    assert only["Value"] == "2"


# --- names and paths -------------------------------------------------------------------------

NAMED = {
    "userName": ("create_user", "UserName", {}, 64),
    "groupName": ("create_group", "GroupName", {}, 128),
    "roleName": ("create_role", "RoleName", {"AssumeRolePolicyDocument": EC2_TRUST}, 64),
    "policyName": ("create_policy", "PolicyName", {"PolicyDocument": ANY}, 128),
    "instanceProfileName": ("create_instance_profile", "InstanceProfileName", {}, 128),
}


@pytest.mark.parametrize("member", NAMED)
@pytest.mark.parametrize("bad", ["with space", "sla/sh", "st*r", "ü"])
def test_a_name_of_other_characters_is_refused(member, bad, root):
    method, parameter, rest, _ = NAMED[member]
    # AWS words this in two ways: IAM's own sentence and the model's constraint.
    expect(
        getattr(root.iam_unchecked, method), "ValidationError", 400,
        matching=rf"^The specified value for {member} is invalid\. It must contain only alphanumeric"
        rf" characters and/or the following: \+=,\.@_-$"
        rf"|^1 validation error detected: Value (?:'.*' )?at '{member}' failed to satisfy constraint:"
        rf" Member must satisfy regular expression pattern: \[\\w\+=,\.@-\]\+$",
        **{parameter: bad}, **rest,
    )


@pytest.mark.parametrize("member", NAMED)
def test_a_name_is_as_long_as_its_limit_and_no_longer(member, root):
    method, parameter, rest, limit = NAMED[member]
    longest = unique("n").ljust(limit, "n")
    getattr(root.iam_unchecked, method)(**{parameter: longest}, **rest)
    too_long = "n" * (limit + 1)
    expect(
        getattr(root.iam_unchecked, method), "ValidationError", 400,
        f"1 validation error detected: Value '{too_long}' at '{member}' failed to satisfy"
        f" constraint: Member must have length less than or equal to {limit}",
        **{parameter: too_long}, **rest,
    )


@pytest.mark.parametrize("path", ["a/", "/a", "a", "//a//", "/a b/"])
def test_a_path_begins_and_ends_with_a_slash(path, root):
    # AWS's sentence, as kept by fog-aws, moto and others that copied it from answers; the model's
    # own pattern (\u002F)|(\u002F[\u0021-\u007E]+\u002F) refuses some of these first.
    expect(
        root.iam_unchecked.create_user, "ValidationError", 400,
        matching=r"^The specified value for path is invalid\. It must begin and end with / and"
        r" contain only alphanumeric characters and/or / characters\.$"
        r"|^1 validation error detected: Value .* at 'path' failed to satisfy constraint",
        UserName=unique("user"), Path=path,
    )


def test_all_violations_are_named_at_once(root):
    refused = expect(
        root.iam_unchecked.create_role, "ValidationError", 400,
        matching="^3 validation errors detected: ",
        RoleName="n" * 65, AssumeRolePolicyDocument=EC2_TRUST, MaxSessionDuration=1,
        Description="d" * 1001,
    )
    for member in ("roleName", "maxSessionDuration", "description"):
        assert f"at '{member}' failed to satisfy constraint" in refused.message
    assert refused.message.count("; ") == 2


def test_a_missing_member_is_named(root):
    expect(
        root.iam_unchecked.create_user, "ValidationError", 400,
        "1 validation error detected: Value null at 'userName' failed to satisfy constraint:"
        " Member must not be null",
    )


# --- what is not there, and what is there already ----------------------------------------------

MISSING_USER = "The user with name none-such cannot be found."  # [rec]
MISSING_GROUP = "The group with name none-such cannot be found."  # [rec]
MISSING_ROLE = "The role with name none-such cannot be found."  # [rec]
MISSING_PROFILE = "Instance Profile none-such cannot be found."  # [rec]

MISSING = [
    ("get_user", {"UserName": "none-such"}, MISSING_USER),
    ("update_user", {"UserName": "none-such", "NewPath": "/x/"}, MISSING_USER),
    ("delete_user", {"UserName": "none-such"}, MISSING_USER),
    ("tag_user", {"UserName": "none-such", "Tags": tags(a="1")}, MISSING_USER),
    ("untag_user", {"UserName": "none-such", "TagKeys": ["a"]}, MISSING_USER),
    ("list_user_tags", {"UserName": "none-such"}, MISSING_USER),
    ("create_access_key", {"UserName": "none-such"}, MISSING_USER),
    ("list_access_keys", {"UserName": "none-such"}, MISSING_USER),
    ("put_user_policy", {"UserName": "none-such", "PolicyName": "p", "PolicyDocument": ANY}, MISSING_USER),
    ("list_user_policies", {"UserName": "none-such"}, MISSING_USER),
    ("list_groups_for_user", {"UserName": "none-such"}, MISSING_USER),
    ("get_group", {"GroupName": "none-such"}, MISSING_GROUP),
    ("update_group", {"GroupName": "none-such", "NewPath": "/x/"}, MISSING_GROUP),
    ("delete_group", {"GroupName": "none-such"}, MISSING_GROUP),
    ("put_group_policy", {"GroupName": "none-such", "PolicyName": "p", "PolicyDocument": ANY}, MISSING_GROUP),
    ("list_attached_group_policies", {"GroupName": "none-such"}, MISSING_GROUP),
    ("get_role", {"RoleName": "none-such"}, MISSING_ROLE),
    ("update_role", {"RoleName": "none-such"}, MISSING_ROLE),
    ("delete_role", {"RoleName": "none-such"}, MISSING_ROLE),
    ("update_assume_role_policy", {"RoleName": "none-such", "PolicyDocument": EC2_TRUST}, MISSING_ROLE),
    ("tag_role", {"RoleName": "none-such", "Tags": tags(a="1")}, MISSING_ROLE),
    ("list_role_tags", {"RoleName": "none-such"}, MISSING_ROLE),
    ("list_instance_profiles_for_role", {"RoleName": "none-such"}, MISSING_ROLE),
    ("get_instance_profile", {"InstanceProfileName": "none-such"}, MISSING_PROFILE),
    ("delete_instance_profile", {"InstanceProfileName": "none-such"}, MISSING_PROFILE),
    ("tag_instance_profile", {"InstanceProfileName": "none-such", "Tags": tags(a="1")}, MISSING_PROFILE),
    # Policies are named by ARN; ARN stands for one that nobody has.
    ("get_policy", {"PolicyArn": "ARN"}, "Policy ARN was not found."),
    ("delete_policy", {"PolicyArn": "ARN"}, "Policy ARN was not found."),
    ("get_policy_version", {"PolicyArn": "ARN", "VersionId": "v1"}, "Policy ARN version v1 does not exist or is not attachable."),  # [rec]
    ("set_default_policy_version", {"PolicyArn": "ARN", "VersionId": "v1"}, "Policy ARN version v1 does not exist or is not attachable."),  # [rec]
    ("attach_user_policy", {"UserName": "EXISTING", "PolicyArn": "ARN"}, "Policy ARN does not exist or is not attachable."),  # [rec]
    ("detach_user_policy", {"UserName": "EXISTING", "PolicyArn": "ARN"}, "Policy ARN was not found."),  # [rec]
    ("update_access_key", {"UserName": "EXISTING", "AccessKeyId": "AKIAIOSFODNN7EXAMPLE", "Status": "Inactive"}, "The Access Key with id AKIAIOSFODNN7EXAMPLE cannot be found."),  # [rec]
    ("delete_access_key", {"UserName": "EXISTING", "AccessKeyId": "AKIAIOSFODNN7EXAMPLE"}, "The Access Key with id AKIAIOSFODNN7EXAMPLE cannot be found."),  # [rec]
    ("add_user_to_group", {"UserName": "EXISTING", "GroupName": "none-such"}, MISSING_GROUP),  # [rec]
]


@pytest.mark.parametrize("method,parameters,message", MISSING, ids=[f"{m}-{i}" for i, (m, *_) in enumerate(MISSING)])
def test_what_is_not_there_cannot_be_found(method, parameters, message, iam, world):
    arn = world.arn("policy/none-such")
    existing = world.user().name
    parameters = {
        key: {"ARN": arn, "EXISTING": existing}.get(value, value) if isinstance(value, str) else value
        for key, value in parameters.items()
    }
    expect(getattr(iam, method), "NoSuchEntity", 404, message.replace("ARN", arn), **parameters)


ALREADY = {
    "user": ("User with name {} already exists.", lambda iam, n: iam.create_user(UserName=n)),  # [rec]
    "group": ("Group with name {} already exists.", lambda iam, n: iam.create_group(GroupName=n)),  # [rec]
    "role": ("Role with name {} already exists.", lambda iam, n: iam.create_role(RoleName=n, AssumeRolePolicyDocument=EC2_TRUST)),
    "policy": ("A policy called {} already exists. Duplicate names are not allowed.", lambda iam, n: iam.create_policy(PolicyName=n, PolicyDocument=ANY)),  # [rec]
    "instance_profile": ("Instance Profile {} already exists.", lambda iam, n: iam.create_instance_profile(InstanceProfileName=n)),  # [rec]
}


@pytest.mark.parametrize("kind", ALREADY)
def test_what_is_there_already_is_not_made_again(kind, iam):
    message, make = ALREADY[kind]
    name = unique("twice")
    make(iam, name)
    expect(lambda: make(iam, name), "EntityAlreadyExists", 409, message.format(name))


def test_a_rename_does_not_take_a_name_that_is_taken(iam, world):
    first, second = world.user(), world.user()
    expect(
        iam.update_user, "EntityAlreadyExists", 409, f"User with name {second.name} already exists.",
        UserName=first.name, NewUserName=second.name,
    )
    one, two = world.group(), world.group()
    expect(
        iam.update_group, "EntityAlreadyExists", 409, f"Group with name {two} already exists.",  # [rec]
        GroupName=one, NewGroupName=two,
    )


@pytest.mark.parametrize("arn", ["longpolicynamebutnoarn", "arn:aws:iam::123456789012:user/somebody"])
def test_what_is_not_a_policys_arn_cannot_be_attached(arn, iam, world):
    expect(
        iam.attach_user_policy, "InvalidInput", 400, f"ARN {arn} is not valid.",  # [rec]
        UserName=world.user().name, PolicyArn=arn,
    )


def test_a_version_id_has_its_form(root, world):
    arn = world.managed_policy(allow("*"))
    expect(
        root.iam_unchecked.get_policy_version, "ValidationError", 400,
        # [rec] has no value in it; the model's constraint elsewhere does.
        matching=r"^1 validation error detected: Value (?:'x1' )?at 'versionId' failed to satisfy"
        r" constraint: Member must satisfy regular expression pattern: v\[1-9\]",
        PolicyArn=arn, VersionId="x1",
    )


# --- what is in use cannot be deleted ----------------------------------------------------------

MUST_DELETE = "Cannot delete entity, must delete policies first."  # [rec]
MUST_DETACH = "Cannot delete entity, must detach all policies first."  # [rec]


def conflicts(iam, world):
    user_inline, user_attached = world.user(allow("*")), world.user()
    managed = world.managed_policy(allow("*"))
    iam.attach_user_policy(UserName=user_attached.name, PolicyArn=managed)
    user_key = world.user()
    for user in (user_inline, user_attached):
        iam.delete_access_key(UserName=user.name, AccessKeyId=user.access_key_id)
    user_group = world.user()
    iam.delete_access_key(UserName=user_group.name, AccessKeyId=user_group.access_key_id)
    group_members = world.group(members=[user_group])
    versioned = world.managed_policy(allow("*"))
    iam.create_policy_version(PolicyArn=versioned, PolicyDocument=ANY)
    bounding = world.managed_policy(allow("*"))
    world.user(boundary=bounding)
    name = lambda arn: arn.rsplit("/", 1)[1]  # noqa: E731
    return {
        "a_user_with_an_inline_policy": ("delete_user", {"UserName": user_inline.name}, MUST_DELETE),
        "a_user_with_an_attached_policy": ("delete_user", {"UserName": user_attached.name}, MUST_DETACH),
        "a_user_with_a_key": ("delete_user", {"UserName": user_key.name}, "Cannot delete entity, must delete access keys first."),
        # Two wordings are reported: "remove users from group", "remove user from groups".
        "a_user_in_a_group": ("delete_user", {"UserName": user_group.name}, re.compile("^Cannot delete entity, must remove users? from groups? first")),
        "a_group_with_members": ("delete_group", {"GroupName": group_members}, re.compile("^Cannot delete entity, must remove users? from groups? first")),
        "a_group_with_an_inline_policy": ("delete_group", {"GroupName": world.group(allow("*"))}, MUST_DELETE),
        "a_group_with_an_attached_policy": ("delete_group", {"GroupName": world.group(attached=[managed])}, MUST_DETACH),
        "a_role_with_an_inline_policy": ("delete_role", {"RoleName": name(world.role(allow("*")))}, MUST_DELETE),
        "a_role_with_an_attached_policy": ("delete_role", {"RoleName": name(world.role(attached=[managed]))}, MUST_DETACH),
        "a_policy_that_is_attached": ("delete_policy", {"PolicyArn": managed}, "Cannot delete a policy attached to entities."),
        # As AWS sent it: github.com issues on scripts that delete policies.
        "a_policy_with_several_versions": ("delete_policy", {"PolicyArn": versioned}, "This policy has more than one version. Before you delete a policy, you must delete the policy's versions. The default version is deleted with the policy."),
        "a_policy_used_as_a_boundary": ("delete_policy", {"PolicyArn": bounding}, re.compile("^Cannot delete")),
    }


def test_what_is_in_use_is_not_deleted(iam, world):
    for rule, (method, parameters, message) in conflicts(iam, world).items():
        refused = refusal(getattr(iam, method), **parameters)
        assert (refused.code, refused.status) == ("DeleteConflict", 409), f"{rule}: {refused}"
        if isinstance(message, str):
            assert refused.message == message, rule
        else:
            assert message.search(refused.message), f"{rule}: {refused}"


def test_an_emptied_user_is_deleted(iam, world):
    user = world.user(allow("*"))
    iam.delete_access_key(UserName=user.name, AccessKeyId=user.access_key_id)
    iam.delete_user_policy(UserName=user.name, PolicyName="inline")
    iam.delete_user(UserName=user.name)
    expect(iam.get_user, "NoSuchEntity", 404, UserName=user.name)


# --- policy documents ------------------------------------------------------------------------

S3 = {"Effect": "Allow", "Action": "s3:GetObject", "Resource": "*"}
SYNTAX = "Syntax errors in policy."


def document(**changes):
    return {"Version": "2012-10-17", "Statement": [{**S3, **changes}]}


# Texts as moto's policy_validation.py has them, which was written against AWS's answers, and as
# questions about them quote.
MALFORMED = {
    "no_json": ("{", SYNTAX),
    "a_list": ([S3], SYNTAX),
    "no_statement": ({"Version": "2012-10-17"}, SYNTAX),
    "an_unknown_element": ({**document(), "Extra": 1}, SYNTAX),
    "an_unknown_element_of_a_statement": (document(Extra="x"), SYNTAX),
    "an_effect_of_another_case": (document(Effect="allow"), "The policy failed legacy parsing"),
    "an_unknown_operator": (document(Condition={"StringSame": {"aws:username": "x"}}), SYNTAX),
    "an_unknown_version": ({"Version": "2020-01-01", "Statement": [S3]}, SYNTAX),
    "action_and_not_action": (document(NotAction="s3:PutObject"), SYNTAX),
    "an_action_without_service": (document(Action="GetObject"), "Actions/Conditions must be prefaced by a vendor, e.g., iam, sdb, ec2, etc."),
    "an_action_of_two_colons": (document(Action="s3:Get:Object"), "Actions/Condition can contain only one colon."),
    "a_service_of_bad_characters": (document(Action="s_3:GetObject"), "Vendor s_3 is not valid"),
    "no_action": ({"Version": "2012-10-17", "Statement": [{"Effect": "Allow", "Resource": "*"}]}, "Policy statement must contain actions."),
    "no_resource": ({"Version": "2012-10-17", "Statement": [{"Effect": "Allow", "Action": "s3:*"}]}, "Policy statement must contain resources."),
    "a_resource_that_is_no_arn": (document(Resource="bucket"), 'Resource bucket must be in ARN format or "*".'),
    "a_principal_in_an_identity_policy": (document(Principal="*"), "Policy document should not specify a principal."),
    "a_sid_twice": ({"Version": "2012-10-17", "Statement": [{**S3, "Sid": "a"}, {**S3, "Sid": "a"}]}, "Statement IDs (SID) in a single policy must be unique."),
}


@pytest.mark.parametrize("rule", MALFORMED)
def test_a_malformed_policy_is_refused(rule, iam, world):
    text, message = MALFORMED[rule]
    if not isinstance(text, str):
        text = json.dumps(text)
    name = unique("policy")
    expect(
        iam.create_policy, "MalformedPolicyDocument", 400, message,
        PolicyName=name, PolicyDocument=text,
    )
    expect(iam.get_policy, "NoSuchEntity", 404, PolicyArn=world.arn(f"policy/{name}"))
    user = world.user()
    expect(
        iam.put_user_policy, "MalformedPolicyDocument", 400, message,
        UserName=user.name, PolicyName="p", PolicyDocument=text,
    )
    assert iam.list_user_policies(UserName=user.name)["PolicyNames"] == []


BAD_TRUST = {
    "no_json": ("{", "This policy contains invalid Json"),  # [rec]
    "another_action": (policy(trust({"Service": "ec2.amazonaws.com"}, "s3:GetObject")), "AssumeRole policy may only specify STS AssumeRole actions."),  # [rec]
    "a_resource": (policy(trust({"Service": "ec2.amazonaws.com"}, Resource="*")), "Has prohibited field Resource"),  # [rec]
    # As aws-cdk's source quotes AWS's answer.
    "a_bare_star_as_principal": (policy({"Effect": "Allow", "Principal": "*", "Action": "sts:AssumeRole"}), 'AssumeRolepolicy contained an invalid principal: "STAR":"*".'),
    "no_principal": (policy({"Effect": "Allow", "Action": "sts:AssumeRole"}), None),
}


@pytest.mark.parametrize("rule", BAD_TRUST)
def test_a_malformed_trust_policy_is_refused(rule, iam, world):
    text, message = BAD_TRUST[rule]
    expect(
        iam.create_role, "MalformedPolicyDocument", 400, message,
        RoleName=unique("role"), AssumeRolePolicyDocument=text,
    )
    expect(
        iam.update_assume_role_policy, "MalformedPolicyDocument", 400, message,
        RoleName=world.role().rsplit("/", 1)[1], PolicyDocument=text,
    )


def test_trust_in_a_principal_that_is_not_there_is_refused(iam, world):
    nobody = world.arn("user/nobody-at-all")
    expect(
        iam.create_role, "MalformedPolicyDocument", 400,
        f'Invalid principal in policy: "AWS":"{nobody}"',
        RoleName=unique("role"), AssumeRolePolicyDocument=policy(trust(nobody)),
    )


def test_every_answer_has_a_request_id(iam):
    first = iam.list_users(MaxItems=1)["ResponseMetadata"]["RequestId"]
    second = iam.list_users(MaxItems=1)["ResponseMetadata"]["RequestId"]
    form = r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}"
    assert re.fullmatch(form, first) and re.fullmatch(form, second) and first != second


def test_a_created_key_works_at_once_and_is_bound_to_its_user(iam, world):
    user = world.user()
    assert user.sts.get_caller_identity()["Arn"] == user.arn
    fresh = iam.create_access_key(UserName=user.name)["AccessKey"]
    second = Principal(user.url, fresh["AccessKeyId"], fresh["SecretAccessKey"])
    assert second.identity["Arn"] == user.arn
    assert second.identity["UserId"] == iam.get_user(UserName=user.name)["User"]["UserId"]


# --- the policies that AWS owns --------------------------------------------------------------------


def test_every_policy_of_awss_is_listed_and_its_document_shown(iam):
    pages = iam.get_paginator("list_policies").paginate(Scope="AWS")
    arns = [one["Arn"] for page in pages for one in page["Policies"]]
    assert len(arns) > 1500 and len(set(arns)) == len(arns)
    arn = "arn:aws:iam::aws:policy/job-function/ViewOnlyAccess"
    assert arn in arns
    shown = iam.get_policy(PolicyArn=arn)["Policy"]
    assert (shown["PolicyName"], shown["Path"]) == ("ViewOnlyAccess", "/job-function/")
    version = iam.get_policy_version(PolicyArn=arn, VersionId=shown["DefaultVersionId"])
    assert version["PolicyVersion"]["Document"]["Version"] == "2012-10-17"


def test_a_policy_of_awss_that_is_for_services_or_root_tasks_cannot_be_attached(iam, world):
    aws = "arn:aws:iam::aws:policy"
    name = world.role().rsplit("/", 1)[1]
    expect(
        iam.attach_role_policy, "PolicyNotAttachable", 400,
        "Cannot attach a Service Role Policy to a Customer Role.",
        RoleName=name, PolicyArn=f"{aws}/aws-service-role/AWSSupportServiceRolePolicy",
    )
    task = f"{aws}/root-task/S3UnlockBucketPolicy"
    expect(
        iam.attach_role_policy, "NoSuchEntity", 404,
        f"Policy {task} does not exist or is not attachable.", RoleName=name, PolicyArn=task,
    )
    iam.attach_role_policy(
        RoleName=name, PolicyArn=f"{aws}/service-role/AWSLambdaBasicExecutionRole"
    )


def test_a_policy_of_awss_says_what_it_says(world):
    reader = world.user(attached=["arn:aws:iam::aws:policy/ReadOnlyAccess"])
    assert reader.iam.get_user(UserName=reader.name)["User"]["UserName"] == reader.name
    refused = refusal(reader.iam.create_user, UserName=unique("user"))
    assert (refused.code, refused.status) == ("AccessDenied", 403)
