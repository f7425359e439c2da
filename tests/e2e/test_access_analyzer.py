"""IAM Access Analyzer: policies from recorded calls, validated and checked, through its own API."""

import datetime
import json
import os
import subprocess
import time

import pytest

from clients import IDENTITY_SILENT, denial_pattern, refusal
from world import World, allow, policy, trust, unique

SERVICE = "access-analyzer.amazonaws.com"


def analyzer(principal, **config):
    return principal.client("accessanalyzer", **config)


@pytest.fixture(scope="module")
def root_analyzer(root):
    return analyzer(root)


@pytest.fixture
def fresh(start_server):
    """A server of its own: one account has one generation at a time, and fifty a day."""
    server = start_server()
    yield World(server.root())
    server.stop()


def start(client, principal, **parameters):
    details = {"principalArn": principal}
    return client.start_policy_generation(policyGenerationDetails=details, **parameters)["jobId"]


def ended(client, job, **parameters):
    """The answer for a job that has ended."""
    until = time.monotonic() + 20
    while True:
        answer = client.get_generated_policy(jobId=job, **parameters)
        if answer["jobDetails"]["status"] != "IN_PROGRESS":
            return answer
        assert time.monotonic() < until, "the job does not end"
        time.sleep(0.05)


def trail_of(world, role, **more):
    now = datetime.datetime.now(datetime.timezone.utc)
    return {
        "trails": [
            {
                "cloudTrailArn": f"arn:aws:cloudtrail:us-east-1:{world.account}:trail/main",
                "allRegions": True,
            }
        ],
        "accessRole": role,
        "startTime": now - datetime.timedelta(days=1),
        **more,
    }


def access_role(world, *statements, trusted=None):
    trusted = trusted or [trust({"Service": SERVICE})]
    return world.role(*(statements or [allow("cloudtrail:GetTrail")]), trusted=trusted)


def test_a_generated_policy_takes_the_place_of_a_broad_one(fresh):
    world = fresh
    user = world.user(allow("iam:*"))
    name = unique("made")
    user.iam.create_user(UserName=name)
    user.iam.list_groups()
    client = analyzer(world.root)
    job = start(client, user.arn)
    answer = ended(client, job)
    details, result = answer["jobDetails"], answer["generatedPolicyResult"]
    assert (details["jobId"], details["status"]) == (job, "SUCCEEDED")
    assert details["startedOn"] <= details["completedOn"]
    assert result["properties"] == {"isComplete": True, "principalArn": user.arn}
    (generated,) = result["generatedPolicies"]
    statements = json.loads(generated["policy"])["Statement"]
    granted = {action: one["Resource"] for one in statements for action in one["Action"]}
    assert granted == {"iam:CreateUser": world.arn(f"user/{name}"), "iam:ListGroups": "*"}

    world.iam.delete_user_policy(UserName=user.name, PolicyName="inline")
    arn = world.iam.create_policy(PolicyName="made", PolicyDocument=generated["policy"])
    world.iam.attach_user_policy(UserName=user.name, PolicyArn=arn["Policy"]["Arn"])
    user.iam.list_groups()
    assert refusal(user.iam.list_users).code == "AccessDenied"

    # The job is listed, and the principal made anew under the name is another.
    for who, jobs in [(user.arn, [job]), (world.arn("user/nobody"), [])]:
        listed = client.list_policy_generations(principalArn=who)["policyGenerations"]
        assert [one["jobId"] for one in listed] == jobs
    world.iam.detach_user_policy(UserName=user.name, PolicyArn=arn["Policy"]["Arn"])
    for key in world.iam.list_access_keys(UserName=user.name)["AccessKeyMetadata"]:
        world.iam.delete_access_key(UserName=user.name, AccessKeyId=key["AccessKeyId"])
    world.iam.delete_user(UserName=user.name)
    world.user(name=user.name)
    answer = ended(client, start(client, user.arn))
    assert answer["jobDetails"]["status"] == "SUCCEEDED"
    assert answer["generatedPolicyResult"]["generatedPolicies"] == []


def test_a_trail_is_read_through_a_role_that_is_passed(fresh):
    world = fresh
    role = access_role(world)
    subject = world.user(allow("iam:ListUsers"))
    subject.iam.list_users()
    caller = world.user(allow("access-analyzer:*"))
    client = analyzer(caller)
    refused = refusal(start, client, subject.arn, cloudTrailDetails=trail_of(world, role))
    assert (refused.status, refused.code) == (403, "AccessDeniedException")
    assert denial_pattern(caller.arn, "iam:PassRole", IDENTITY_SILENT, role).fullmatch(
        refused.message
    )
    for service, passes in [("ec2.amazonaws.com", False), (SERVICE, True)]:
        condition = {"StringEquals": {"iam:PassedToService": service}}
        statements = [allow("access-analyzer:*"), allow("iam:PassRole", role, Condition=condition)]
        world.iam.put_user_policy(
            UserName=caller.name, PolicyName="inline", PolicyDocument=policy(*statements)
        )
        if not passes:
            refused = refusal(start, client, subject.arn, cloudTrailDetails=trail_of(world, role))
            assert refused.code == "AccessDeniedException"
    details = trail_of(world, role)
    answer = ended(client, start(client, subject.arn, cloudTrailDetails=details))
    assert answer["jobDetails"]["status"] == "SUCCEEDED", answer
    properties = answer["generatedPolicyResult"]["properties"]["cloudTrailProperties"]
    assert properties["trailProperties"] == details["trails"]
    assert len(answer["generatedPolicyResult"]["generatedPolicies"]) == 1
    # Of another region there is nothing.
    trails = [{"cloudTrailArn": details["trails"][0]["cloudTrailArn"], "regions": ["eu-west-3"]}]
    elsewhere = trail_of(world, role, trails=trails)
    answer = ended(client, start(client, subject.arn, cloudTrailDetails=elsewhere))
    assert answer["generatedPolicyResult"]["generatedPolicies"] == []


def test_a_role_that_could_not_read_fails_the_job(fresh):
    world = fresh
    client = analyzer(world.root)
    subject = world.user()
    for role, told in [
        (access_role(world, trusted=[trust({"Service": "ec2.amazonaws.com"})]), "assumed"),
        (access_role(world, allow("s3:GetObject")), "cloudtrail:GetTrail"),
    ]:
        job = start(client, subject.arn, cloudTrailDetails=trail_of(world, role))
        details = ended(client, job)["jobDetails"]
        assert details["status"] == "FAILED"
        assert details["jobError"]["code"] == "AUTHORIZATION_ERROR"
        assert told in details["jobError"]["message"]


def test_what_is_asked_for_must_be_there(fresh):
    world = fresh
    client = analyzer(world.root)
    subject = world.user()
    role = access_role(world)
    now = datetime.datetime.now(datetime.timezone.utc)
    other = "arn:aws:iam::999999999999:role/r"
    trail = [{"cloudTrailArn": "arn:aws:cloudtrail:us-east-1:999999999999:trail/t"}]
    days = datetime.timedelta(days=91)
    for principal, details, code in [
        (world.arn("user/nobody"), None, "ValidationException"),
        (subject.arn.replace(world.account, "999999999999"), None, "ValidationException"),
        (world.arn(f"user/path/{subject.name}"), None, "ValidationException"),
        (world.arn("group/g"), None, "ValidationException"),
        (subject.arn, {"accessRole": world.arn("role/nothing")}, "ValidationException"),
        (subject.arn, {"accessRole": other}, "AccessDeniedException"),
        (subject.arn, {"trails": trail}, "ValidationException"),
        (subject.arn, {"trails": []}, "ValidationException"),
        (subject.arn, {"startTime": now - days}, "ValidationException"),
        (subject.arn, {"startTime": now + days}, "ValidationException"),
        (subject.arn, {"endTime": now - days}, "ValidationException"),
    ]:
        parameters = {} if details is None else {"cloudTrailDetails": trail_of(world, role, **details)}
        assert refusal(start, client, principal, **parameters).code == code, (principal, details)
    for call in [client.get_generated_policy, client.cancel_policy_generation]:
        refused = refusal(call, jobId="00000000-0000-0000-0000-000000000000")
        assert (refused.status, refused.code) == (400, "ValidationException")
    assert client.list_policy_generations()["policyGenerations"] == []


def test_jobs_are_one_accounts_repeatable_paged_and_cancelled(fresh):
    world = fresh
    client = analyzer(world.root)
    subjects = [world.user().arn, world.user(path="/team/").arn, world.role(path="/app/")]
    jobs = []
    for subject in subjects:
        job = start(client, subject, clientToken=subject)
        ended(client, job)
        jobs.append(job)
    # The same token is the same job, and no other.
    assert start(client, subjects[0], clientToken=subjects[0]) == jobs[0]
    refused = refusal(start, client, subjects[1], clientToken=subjects[0])
    assert (refused.status, refused.code) == (409, "ConflictException")

    listed, token = [], None
    while True:
        more = {"nextToken": token} if token else {}
        page = client.list_policy_generations(maxResults=2, **more)
        assert len(page["policyGenerations"]) <= 2
        listed += [one["jobId"] for one in page["policyGenerations"]]
        token = page.get("nextToken")
        if token is None:
            break
        refused = refusal(
            client.list_policy_generations, principalArn=subjects[0], nextToken=token
        )
        assert refused.code == "ValidationException"
    assert sorted(listed) == sorted(jobs)

    # What has ended stays as it ended.
    client.cancel_policy_generation(jobId=jobs[0])
    assert ended(client, jobs[0])["jobDetails"]["status"] == "SUCCEEDED"
    # Other regions have their own.
    elsewhere = analyzer(world.root, region="eu-west-1")
    assert elsewhere.list_policy_generations()["policyGenerations"] == []
    assert refusal(elsewhere.get_generated_policy, jobId=jobs[0]).code == "ValidationException"


# The operation, and what it takes; its action has its name.
OPERATIONS = [
    ("start_policy_generation", {"policyGenerationDetails": {"principalArn": "arn:aws:iam::123456789012:user/x"}}),
    ("get_generated_policy", {"jobId": "x"}),
    ("cancel_policy_generation", {"jobId": "x"}),
    ("list_policy_generations", {}),
    ("validate_policy", {"policyDocument": "{}", "policyType": "IDENTITY_POLICY"}),
    (
        "check_no_new_access",
        {"newPolicyDocument": "x", "existingPolicyDocument": "x", "policyType": "IDENTITY_POLICY"},
    ),
    (
        "check_access_not_granted",
        {"policyDocument": "x", "access": [], "policyType": "IDENTITY_POLICY"},
    ),
    ("check_no_public_access", {"policyDocument": "x", "resourceType": "AWS::S3::Bucket"}),
]


def test_every_operation_is_denied_before_anything_is_looked_at(world):
    user = world.user(allow("iam:*"))
    client = analyzer(user)
    for name, parameters in OPERATIONS:
        refused = refusal(getattr(client, name), **parameters)
        action = "access-analyzer:" + "".join(word.capitalize() for word in name.split("_"))
        assert (refused.status, refused.code) == (403, "AccessDeniedException"), name
        assert denial_pattern(user.arn, action, IDENTITY_SILENT).fullmatch(refused.message)


def test_a_policy_is_validated_with_the_places_of_what_is_wrong(root_analyzer):
    text = policy(allow("iam:PassRole"), allow("s3:NoSuch", "arn:aws:s3:::b"))
    answer = root_analyzer.validate_policy(policyDocument=text, policyType="IDENTITY_POLICY")
    by_code = {finding["issueCode"]: finding for finding in answer["findings"]}
    assert set(by_code) == {"INVALID_ACTION", "PASS_ROLE_WITH_STAR_IN_RESOURCE"}
    found = by_code["PASS_ROLE_WITH_STAR_IN_RESOURCE"]
    assert found["findingType"] == "SECURITY_WARNING"
    assert found["learnMoreLink"].endswith("-security-warning-pass-role-with-star-in-resource")
    place = found["locations"][0]
    assert place["path"] == [{"value": "Statement"}, {"index": 0}, {"value": "Action"}]
    start, end = place["span"]["start"], place["span"]["end"]
    assert text[start["offset"] : end["offset"]] == '"iam:PassRole"'
    assert (start["line"], start["column"]) == (1, start["offset"])

    pages, token = [], None
    while True:
        more = {"nextToken": token} if token else {}
        page = root_analyzer.validate_policy(
            policyDocument=text, policyType="IDENTITY_POLICY", maxResults=1, **more
        )
        pages += page["findings"]
        token = page.get("nextToken")
        if token is None:
            break
        # A token is of one document.
        refused = refusal(
            root_analyzer.validate_policy,
            policyDocument=text + " ", policyType="IDENTITY_POLICY", nextToken=token,
        )
        assert refused.code == "ValidationException"
    assert pages == answer["findings"]
    clean = policy(allow("s3:GetObject", "arn:aws:s3:::b/*"))
    answer = root_analyzer.validate_policy(policyDocument=clean, policyType="IDENTITY_POLICY")
    assert answer["findings"] == []
    for more in [
        {"locale": "DE"},
        {"validatePolicyResourceType": "AWS::S3::Bucket"},
        {"maxResults": 0},
    ]:
        refused = refusal(
            root_analyzer.validate_policy,
            policyDocument=clean, policyType="IDENTITY_POLICY", **more,
        )
        assert (refused.status, refused.code) == (400, "ValidationException"), more


def test_new_access_is_found_in_its_statement(root_analyzer):
    old = policy(allow("s3:GetObject", "arn:aws:s3:::b/*", Sid="Read"))
    new = policy(
        allow("s3:GetObject", "arn:aws:s3:::b/x/*", Sid="Read"),
        allow("s3:PutObject", "arn:aws:s3:::b/*", Sid="Write"),
        allow("s3:DeleteObject", "arn:aws:s3:::b/*"),
    )
    check = lambda existing, updated: root_analyzer.check_no_new_access(
        existingPolicyDocument=existing, newPolicyDocument=updated, policyType="IDENTITY_POLICY"
    )
    passed = check(new, policy(allow("s3:PutObject", "arn:aws:s3:::b/y")))
    assert passed["result"] == "PASS" and "do not grant new access" in passed["message"]
    assert "reasons" not in passed
    failed = check(old, new)
    assert failed["result"] == "FAIL"
    assert failed["reasons"] == [
        {
            "description": "New access in the statement with sid: Write.",
            "statementIndex": 1,
            "statementId": "Write",
        },
        {"description": "New access in the statement with index: 2.", "statementIndex": 2},
    ]


def test_granted_and_public_access_are_found(root_analyzer):
    document = policy(allow("s3:*Object", "arn:aws:s3:::b/*", Sid="All"))
    check = lambda **access: root_analyzer.check_access_not_granted(
        policyDocument=document, access=[access], policyType="IDENTITY_POLICY"
    )
    assert check(actions=["s3:ListBucket"])["result"] == "PASS"
    assert check(resources=["arn:aws:s3:::c/*"])["result"] == "PASS"
    failed = check(actions=["s3:PutObject"], resources=["arn:aws:s3:::b/x"])
    assert failed["result"] == "FAIL" and failed["reasons"][0]["statementId"] == "All"

    def public(principal, **more):
        statement = {"Effect": "Allow", "Principal": principal, "Action": "s3:GetObject"}
        statement |= {"Resource": "arn:aws:s3:::b/*", **more}
        return root_analyzer.check_no_public_access(
            policyDocument=policy(statement), resourceType="AWS::S3::Bucket"
        )

    assert public("*")["result"] == "FAIL"
    assert public({"AWS": "123456789012"})["result"] == "PASS"
    limited = {"StringEquals": {"aws:PrincipalOrgID": "o-abcdefghij"}}
    assert public("*", Condition=limited)["result"] == "PASS"
    trusting = policy(trust("*"))
    answer = root_analyzer.check_no_public_access(
        policyDocument=trusting, resourceType="AWS::IAM::AssumeRolePolicyDocument"
    )
    assert answer["result"] == "FAIL"


def test_what_has_no_answer_is_an_error_and_never_a_pass(root_analyzer):
    document = policy(allow("s3:GetObject", "arn:aws:s3:::b/*"))
    identity = {"policyType": "IDENTITY_POLICY"}
    granted = root_analyzer.check_access_not_granted
    new = root_analyzer.check_no_new_access
    # That the variable's value is the condition's is not seen.
    named = {"StringEquals": {"aws:username": "ann"}}
    yours = policy(allow("s3:GetObject", "arn:aws:s3:::b/${aws:username}", Condition=named))
    mine = policy(allow("s3:GetObject", "arn:aws:s3:::b/ann", Condition=named))
    for call, parameters, code, status in [
        (new, {"existingPolicyDocument": yours, "newPolicyDocument": mine} | identity,
         "UnprocessableEntityException", 422),
        (new, {"existingPolicyDocument": "{", "newPolicyDocument": document} | identity,
         "InvalidParameterException", 400),
        (new, {"existingPolicyDocument": document, "newPolicyDocument": document,
               "policyType": "RESOURCE_POLICY"}, "InvalidParameterException", 400),
        (granted, {"policyDocument": document, "access": []} | identity,
         "InvalidParameterException", 400),
        (granted, {"policyDocument": document, "access": [{}]} | identity,
         "InvalidParameterException", 400),
        (granted, {"policyDocument": document, "access": [{"actions": ["s3"]}]} | identity,
         "InvalidParameterException", 400),
        (root_analyzer.check_no_public_access,
         {"policyDocument": document, "resourceType": "AWS::S3::Bucket"},
         "InvalidParameterException", 400),
        (root_analyzer.check_no_public_access,
         {"policyDocument": document, "resourceType": "AWS::No::Thing"},
         "ValidationException", 400),
    ]:
        refused = refusal(call, **parameters)
        assert (refused.status, refused.code) == (status, code), f"{parameters}: {refused}"


def test_documents_that_are_sensitive_are_not_recorded(server, world, root_analyzer):
    marker = unique("SensitiveMarker")
    document = policy(allow("s3:GetObject", f"arn:aws:s3:::{marker}/*"))
    root_analyzer.check_no_new_access(
        existingPolicyDocument=document, newPolicyDocument=document, policyType="IDENTITY_POLICY"
    )
    bad = document.replace('"Allow"', '"Maybe"')
    refusal(
        root_analyzer.check_access_not_granted,
        policyDocument=bad, access=[{"actions": ["s3:*"]}], policyType="IDENTITY_POLICY",
    )
    log = server.audit_text()
    assert "CheckNoNewAccess" in log and marker not in log


def test_the_rest_of_the_service_says_that_it_is_not_built(root_analyzer):
    refused = refusal(root_analyzer.list_analyzers)
    assert (refused.status, refused.code) == (501, "UnknownOperationException")


def test_the_aws_command_line_validates_and_generates(root, world, aws_command, tmp_path):
    def aws(*args):
        environment = {"PATH": os.environ["PATH"], "HOME": str(tmp_path), **root.environment()}
        done = subprocess.run(
            [aws_command, "accessanalyzer", *args, "--output", "json"],
            env=environment, capture_output=True, text=True, timeout=60,
        )
        assert done.returncode == 0, done.stderr
        return json.loads(done.stdout)

    document = policy(allow("iam:PassRole"))
    answer = aws("validate-policy", "--policy-type", "IDENTITY_POLICY", "--policy-document", document)
    assert [one["issueCode"] for one in answer["findings"]] == ["PASS_ROLE_WITH_STAR_IN_RESOURCE"]
    subject = world.user(allow("iam:ListUsers"))
    subject.iam.list_users()
    job = aws("start-policy-generation", "--policy-generation-details", f"principalArn={subject.arn}")
    answer = ended(analyzer(root), job["jobId"])
    assert answer["jobDetails"]["status"] == "SUCCEEDED"
    shown = aws("get-generated-policy", "--job-id", job["jobId"])
    assert "iam:ListUsers" in shown["generatedPolicyResult"]["generatedPolicies"][0]["policy"]
