"""The policy simulator: SimulateCustomPolicy, SimulatePrincipalPolicy and the context keys of policies."""

import pytest

from clients import refusal
from world import allow, deny, policy

OBJECT = "arn:aws:s3:::bucket/key"


@pytest.fixture(scope="module")
def iam(world):
    return world.iam


def custom(iam, *statements, actions=("s3:GetObject",), **more):
    answer = iam.simulate_custom_policy(
        PolicyInputList=[policy(*statements)], ActionNames=list(actions), **more
    )
    return answer["EvaluationResults"]


@pytest.mark.parametrize(
    "statements,decision",
    [
        ((allow("s3:*"),), "allowed"),
        ((allow("ec2:*"),), "implicitDeny"),
        ((allow("*"), deny("s3:Get*")), "explicitDeny"),
    ],
)
def test_a_policy_is_simulated_without_being_anywhere(statements, decision, iam):
    (result,) = custom(iam, *statements, ResourceArns=[OBJECT])
    assert result["EvalActionName"] == "s3:GetObject"
    assert result["EvalDecision"] == decision
    # What is simulated on is told by the format of its kind, and by itself within.
    assert result["EvalResourceName"] == "arn:${Partition}:s3:::${BucketName}/${ObjectName}"
    (specific,) = result["ResourceSpecificResults"]
    assert (specific["EvalResourceName"], specific["EvalResourceDecision"]) == (OBJECT, decision)
    assert result["EvalDecisionDetails"] == {}
    assert len(result["MatchedStatements"]) == (decision != "implicitDeny")


def test_a_matched_statement_has_its_policy_and_place(iam):
    document = '{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Action":"s3:*","Resource":"*"}]}'
    answer = iam.simulate_custom_policy(PolicyInputList=[document], ActionNames=["s3:GetObject"])
    (result,) = answer["EvaluationResults"]
    assert result["MatchedStatements"] == [
        {
            "SourcePolicyId": "PolicyInputList.1",
            "SourcePolicyType": "IAM Policy",
            "StartPosition": {"Line": 1, "Column": 38},
            "EndPosition": {"Line": 1, "Column": len(document) - 1},
        }
    ]
    assert result["EvalResourceName"] == "*"
    assert "ResourceSpecificResults" not in result and "EvalDecisionDetails" not in result


def test_the_most_restrictive_decision_of_several_resources_stands_above_them(iam):
    (result,) = custom(
        iam, allow("s3:*", OBJECT), ResourceArns=[OBJECT, "arn:aws:s3:::other/key"]
    )
    assert result["EvalDecision"] == "implicitDeny"
    each = [one["EvalResourceDecision"] for one in result["ResourceSpecificResults"]]
    assert each == ["allowed", "implicitDeny"]


def test_missing_context_keys_are_named_and_given_ones_decide(iam):
    statement = {**allow("s3:*"), "Condition": {"IpAddress": {"aws:SourceIp": "10.0.0.0/8"}}}
    (result,) = custom(iam, statement)
    assert (result["EvalDecision"], result["MissingContextValues"]) == ("implicitDeny", ["aws:SourceIp"])
    entry = {"ContextKeyName": "aws:SourceIp", "ContextKeyType": "ip"}
    for address, decision in [("10.1.2.3", "allowed"), ("192.0.2.1", "implicitDeny")]:
        (result,) = custom(iam, statement, ContextEntries=[{**entry, "ContextKeyValues": [address]}])
        assert (result["EvalDecision"], result["MissingContextValues"]) == (decision, [])


def test_a_list_of_values_is_a_set(iam):
    statement = {**allow("s3:*"), "Condition": {"ForAllValues:StringEquals": {"aws:TagKeys": ["a", "b"]}}}
    for values, decision in [(["a"], "allowed"), (["a", "c"], "implicitDeny")]:
        entry = {"ContextKeyName": "aws:TagKeys", "ContextKeyType": "stringList", "ContextKeyValues": values}
        (result,) = custom(iam, statement, ContextEntries=[entry])
        assert result["EvalDecision"] == decision


def test_boundary_and_organization_policies_bear_and_are_told(iam):
    (result,) = custom(
        iam, allow("*"),
        PermissionsBoundaryPolicyInputList=[policy(allow("ec2:*"))],
        OrderedOrganizationPolicyInputList=[
            {"ServiceControlPolicyInputList": [policy(allow("*"))]},
            {"ServiceControlPolicyInputList": [policy(allow("ec2:*")), policy(allow("s3:*"))]},
        ],
    )
    assert result["EvalDecision"] == "implicitDeny"
    assert result["PermissionsBoundaryDecisionDetail"] == {"AllowedByPermissionsBoundary": False}
    assert result["OrganizationsDecisionDetail"] == {"AllowedByOrganizations": True}
    (result,) = custom(
        iam, allow("*"),
        OrderedOrganizationPolicyInputList=[{"ServiceControlPolicyInputList": [policy(deny("s3:*"))]}],
    )
    assert result["EvalDecision"] == "explicitDeny"
    assert result["OrganizationsDecisionDetail"] == {"AllowedByOrganizations": False}
    # Statements of organization policies are not among the matched.
    assert result["MatchedStatements"] == []


def test_a_resource_policy_of_another_account_must_allow_too(iam):
    caller = "arn:aws:iam::111122223333:user/ann"
    open_to = {**allow("s3:*"), "Principal": {"AWS": caller}}
    args = {"ResourceArns": [OBJECT], "CallerArn": caller, "ResourceOwner": "arn:aws:iam::444455556666:root"}
    (result,) = custom(iam, allow("s3:*"), **args)
    assert result["EvalDecision"] == "implicitDeny"
    (result,) = custom(iam, allow("s3:*"), ResourcePolicy=policy(open_to), **args)
    assert result["EvalDecision"] == "allowed"
    assert result["EvalDecisionDetails"] == {"IAM Policy": "allowed", "Resource Policy": "allowed"}
    sources = [one["SourcePolicyId"] for one in result["MatchedStatements"]]
    assert sorted(sources) == ["PolicyInputList.1", "ResourcePolicy"]


@pytest.mark.parametrize(
    "more",
    [
        {"ActionNames": ["s3:Get*"]},
        {"PolicyInputList": ["{"]},
        {"ResourceHandlingOption": "EC2-VPC-EBS"},
        {"PermissionsBoundaryPolicyInputList": [policy(allow("*")), policy(allow("*"))]},
        {"CallerArn": "arn:aws:sts::111122223333:assumed-role/r/s"},
        {"ResourceOwner": "nobody-at-all"},
    ],
)
def test_what_cannot_be_simulated_is_invalid_input(more, iam):
    args = {"PolicyInputList": [policy(allow("*"))], "ActionNames": ["s3:GetObject"], **more}
    assert refusal(iam.simulate_custom_policy, **args).code == "InvalidInput"


def test_results_come_in_pages(iam):
    actions = [f"s3:Action{n}" for n in range(7)]
    found, marker = [], {}
    while True:
        answer = iam.simulate_custom_policy(
            PolicyInputList=[policy(allow("*"))], ActionNames=actions, MaxItems=3, **marker
        )
        found += [one["EvalActionName"] for one in answer["EvaluationResults"]]
        if not answer["IsTruncated"]:
            break
        marker = {"Marker": answer["Marker"]}
    assert found == actions


def simulated(iam, source, *actions, **more):
    answer = iam.simulate_principal_policy(PolicySourceArn=source, ActionNames=list(actions), **more)
    return {one["EvalActionName"]: one for one in answer["EvaluationResults"]}


def test_a_users_policies_its_groups_and_its_boundary_are_simulated(world):
    managed = world.managed_policy(allow("sqs:*"))
    user = world.user(allow("s3:*"), attached=[managed])
    group = f"{user.name}-group"
    world.iam.create_group(GroupName=group)
    world.iam.put_group_policy(GroupName=group, PolicyName="own", PolicyDocument=policy(allow("sns:*")))
    world.iam.add_user_to_group(GroupName=group, UserName=user.name)
    found = simulated(world.iam, user.arn, "s3:GetObject", "sqs:SendMessage", "sns:Publish", "ec2:RunInstances")
    decisions = {action: one["EvalDecision"] for action, one in found.items()}
    assert decisions == {
        "s3:GetObject": "allowed", "sqs:SendMessage": "allowed", "sns:Publish": "allowed",
        "ec2:RunInstances": "implicitDeny",
    }
    source = lambda action: found[action]["MatchedStatements"][0]["SourcePolicyId"]  # noqa: E731
    assert source("s3:GetObject").startswith(f"user_{user.name}_")
    assert source("sqs:SendMessage") == managed.rsplit("/", 1)[1]
    assert source("sns:Publish") == f"group_{group}_own"
    # What is left out is not simulated.
    left = simulated(
        world.iam, user.arn, "s3:GetObject", "sqs:SendMessage", "sns:Publish",
        PolicyExclusionList=[
            {"PolicyType": "user-managed"},
            {"InlinePolicyIdentifier": {"PolicyName": "own", "AttachmentType": "group", "AttachmentName": f"{user.name}*"}},
        ],
    )
    assert [one["EvalDecision"] for one in left.values()] == ["allowed", "implicitDeny", "implicitDeny"]
    # A boundary limits, and one that is given stands in for it.
    boundary = world.managed_policy(allow("sns:*"))
    world.iam.put_user_permissions_boundary(UserName=user.name, PermissionsBoundary=boundary)
    bounded = simulated(world.iam, user.arn, "s3:GetObject", "sns:Publish")
    assert [one["EvalDecision"] for one in bounded.values()] == ["implicitDeny", "allowed"]
    given = simulated(
        world.iam, user.arn, "s3:GetObject", PermissionsBoundaryPolicyInputList=[policy(allow("s3:*"))]
    )
    assert given["s3:GetObject"]["EvalDecision"] == "allowed"
    without = simulated(
        world.iam, user.arn, "s3:GetObject", PolicyExclusionList=[{"PolicyType": "permission-boundary"}]
    )
    assert without["s3:GetObject"]["EvalDecision"] == "allowed"


def test_variables_follow_the_simulated_caller(world):
    user = world.user(allow("iam:GetUser", "arn:aws:iam::*:user/${aws:username}"))
    for name, decision in [(user.name, "allowed"), ("someone-else", "implicitDeny")]:
        resource = user.arn.rsplit("/", 1)[0] + "/" + name
        found = simulated(world.iam, user.arn, "iam:GetUser", ResourceArns=[resource])
        assert found["iam:GetUser"]["EvalDecision"] == decision
        # And the live server decides alike.
        live = refusal(user.iam.get_user, UserName=name) if decision != "allowed" else user.iam.get_user(UserName=name)
        assert (decision == "allowed") == isinstance(live, dict)


def test_context_keys_of_policies_and_principals_are_listed_once(world):
    statement = {
        **allow("s3:*", "arn:aws:s3:::bucket/${aws:username}/*"),
        "Condition": {"StringEquals": {"aws:PrincipalTag/team": "${AWS:UserName}", "s3:prefix": "x"}},
    }
    answer = world.iam.get_context_keys_for_custom_policy(PolicyInputList=[policy(statement), policy(statement)])
    assert sorted(answer["ContextKeyNames"]) == ["aws:PrincipalTag/team", "aws:username", "s3:prefix"] or sorted(
        name.lower() for name in answer["ContextKeyNames"]
    ) == ["aws:principaltag/team", "aws:username", "s3:prefix"]
    user = world.user(statement)
    answer = world.iam.get_context_keys_for_principal_policy(PolicySourceArn=user.arn)
    assert len(answer["ContextKeyNames"]) == 3


def test_simulation_needs_its_permission_before_anything_is_read(world):
    nobody, someone = world.user(), world.user(allow("iam:SimulateCustomPolicy"))
    args = {"PolicyInputList": [policy(allow("*"))], "ActionNames": ["s3:GetObject"]}
    assert refusal(nobody.iam.simulate_custom_policy, **args).code == "AccessDenied"
    assert someone.iam.simulate_custom_policy(**args)["EvaluationResults"]
    for arn in (someone.arn, someone.arn + "-is-not-there"):
        refused = refusal(nobody.iam.simulate_principal_policy, PolicySourceArn=arn, ActionNames=["s3:GetObject"])
        assert refused.code == "AccessDenied"
    missing = refusal(
        world.iam.simulate_principal_policy, PolicySourceArn=someone.arn + "-is-not-there", ActionNames=["s3:GetObject"]
    )
    assert missing.code == "NoSuchEntity"
