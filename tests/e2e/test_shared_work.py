"""What is begun on one server of a store is known to the others, counted by all together, and given once."""

import threading
import time

import pytest
from botocore.exceptions import ClientError

from clients import refusal
from ringfence_server import UNTHROTTLED, parse_exports
from test_shared_store import elsewhere
from totp import STEP, Phone
from world import World, allow, policy, trust, unique

ROUNDS = 12
LIMIT_SECONDS = 20


class Shared:
    def __init__(self, servers, second):
        root = servers[0].root()
        self.servers = servers
        self.roots = [elsewhere(root, server) for server in servers]
        self.second = [server.principal(*second) for server in servers]
        self.world = World(root)


@pytest.fixture(scope="module")
def shared(postgres, start_server, ringfence, tmp_path_factory):
    """Three servers whose writes are acknowledged when all have taken them in, and two accounts."""
    key = tmp_path_factory.mktemp("seal") / "root.key"
    options = (
        "--store", postgres.url(postgres.database()), "--seal", f"file:{key}",
        "--consistency", "strict", "--quota", "iam:groups=5", *UNTHROTTLED,
    )
    first = start_server(*options)
    first.stop()
    made = ringfence("account", "create", *first.place, *options[:4], "--name", "second").stdout
    second = parse_exports(made)
    first.start()
    servers = [first, *(start_server(*options) for _ in range(2))]
    yield Shared(servers, (second["AWS_ACCESS_KEY_ID"], second["AWS_SECRET_ACCESS_KEY"]))
    for server in servers:
        server.stop()


def outcome(call, **parameters):
    try:
        return call(**parameters)
    except ClientError as error:
        return error.response["Error"]["Code"]


def at_once(*calls):
    """What each of these is answered, begun as near to one moment as threads are."""
    answers, together = [None] * len(calls), threading.Barrier(len(calls))

    def run(number):
        together.wait()
        answers[number] = calls[number]()

    threads = [threading.Thread(target=run, args=(number,)) for number in range(len(calls))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return answers


def done(ask):
    until = time.monotonic() + LIMIT_SECONDS
    while (answer := ask()) is None:
        assert time.monotonic() < until, "it does not end"
        time.sleep(0.05)
    return answer


def test_a_credential_report_is_made_once_and_given_by_every_server(shared):
    iams = [root.client("iam") for root in shared.roots]
    states = at_once(*(lambda iam=iam: iam.generate_credential_report()["State"] for iam in iams))
    assert sorted(states).count("STARTED") == 1, states

    def given(iam):
        answer = outcome(iam.get_credential_report)
        return None if answer == "ReportInProgress" else answer

    answers = [done(lambda iam=iam: given(iam)) for iam in iams]
    assert len({answer["Content"] for answer in answers}) == 1
    assert len({answer["GeneratedTime"] for answer in answers}) == 1
    assert {iam.generate_credential_report()["State"] for iam in iams} == {"COMPLETE"}


def test_an_access_report_begun_on_one_is_read_on_the_others(shared):
    user = shared.world.user(allow("sts:*"))
    iams = [root.client("iam") for root in shared.roots]
    job = iams[0].generate_service_last_accessed_details(Arn=user.user_arn)["JobId"]

    def ended(iam):
        answer = iam.get_service_last_accessed_details(JobId=job)
        return answer if answer["JobStatus"] != "IN_PROGRESS" else None

    answers = [done(lambda iam=iam: ended(iam)) for iam in iams]
    for answer in answers:
        assert answer["JobStatus"] == "COMPLETED"
        assert [one["ServiceNamespace"] for one in answer["ServicesLastAccessed"]] == ["sts"]
    stranger = elsewhere(user, shared.servers[1]).client("iam")
    assert refusal(stranger.get_service_last_accessed_details, JobId=job).code == "AccessDenied"
    other = shared.second[1].client("iam")
    assert refusal(other.get_service_last_accessed_details, JobId=job).code == "NoSuchEntity"


def test_a_policy_generation_is_one_wherever_it_is_asked_for(shared):
    user = shared.world.user(allow("iam:ListUsers"))
    user.client("iam").list_users()
    clients = [root.client("accessanalyzer") for root in shared.roots]
    details = {"principalArn": user.user_arn}
    started = at_once(*(
        lambda client=client: client.start_policy_generation(
            policyGenerationDetails=details, clientToken="one"
        )["jobId"]
        for client in clients
    ))
    (job,) = set(started)

    def ended(client):
        answer = client.get_generated_policy(jobId=job)
        return answer if answer["jobDetails"]["status"] != "IN_PROGRESS" else None

    for client in clients:
        assert done(lambda client=client: ended(client))["jobDetails"]["status"] == "SUCCEEDED"
        listed = client.list_policy_generations(principalArn=user.user_arn)["policyGenerations"]
        assert [one["jobId"] for one in listed] == [job]


def device_of(world, user):
    """A phone of the user's, enabled by codes of two steps ago, so that those of now are good."""
    iam = world.root.client("iam")
    made = iam.create_virtual_mfa_device(VirtualMFADeviceName=unique("phone"))
    phone = Phone.of(made["VirtualMFADevice"])
    iam.enable_mfa_device(UserName=user.name, SerialNumber=phone.serial, **phone.pair(-2))
    return phone


def early_in_a_step():
    """Codes stay what they are for a while."""
    if (past := time.time() % STEP) > STEP / 2:
        time.sleep(STEP - past)


def test_a_code_of_a_device_is_good_once_whichever_servers_are_shown_it(shared):
    user = shared.world.user(allow("iam:ListUsers"))
    early_in_a_step()
    phone = device_of(shared.world, user)
    here = [elsewhere(user, server).client("sts") for server in shared.servers]
    token = phone.token()
    answers = at_once(*(
        lambda sts=sts: outcome(sts.get_session_token, **token) for sts in here
    ))
    assert sorted(map(str, answers)).count("AccessDenied") == 2, answers


def test_wrong_codes_of_a_device_are_counted_by_all_servers_together(shared):
    user = shared.world.user(allow("iam:ListUsers"))
    early_in_a_step()
    phone = device_of(shared.world, user)
    here = [elsewhere(user, server).client("sts") for server in shared.servers]
    for number in range(5):
        wrong = {"SerialNumber": phone.serial, "TokenCode": phone.wrong()}
        assert outcome(here[number % 3].get_session_token, **wrong) == "AccessDenied"
    # It waits now, and a right code is not looked at.
    assert {outcome(sts.get_session_token, **phone.token()) for sts in here} == {"AccessDenied"}


def test_an_alias_is_given_to_one_of_the_accounts_that_ask_at_the_same_moment(shared):
    first, second = shared.roots[0].client("iam"), shared.second[1].client("iam")
    for number in range(ROUNDS):
        alias = f"once-{number}"
        answers = at_once(*(
            lambda iam=iam: outcome(iam.create_account_alias, AccountAlias=alias)
            for iam in (first, second)
        ))
        assert [isinstance(answer, dict) for answer in answers].count(True) == 1, answers
        assert "EntityAlreadyExists" in answers
        holders = [
            iam for iam in (first, second) if alias in iam.list_account_aliases()["AccountAliases"]
        ]
        assert len(holders) == 1
        # It is free again at once, wherever.
        holders[0].delete_account_alias(AccountAlias=alias)
        other = shared.second[2].client("iam")
        other.create_account_alias(AccountAlias=alias)
        other.delete_account_alias(AccountAlias=alias)


def test_a_quota_is_kept_by_all_servers_together(shared):
    iams = [root.client("iam") for root in shared.second]
    answers = at_once(*(
        lambda iam=iam, number=number: outcome(iam.create_group, GroupName=f"g{number}")
        for number, iam in enumerate(iams * 4)
    ))
    assert [isinstance(answer, dict) for answer in answers].count(True) == 5, answers
    assert len(iams[0].list_groups()["Groups"]) == 5


def test_what_one_server_deletes_another_does_not_take_into_use_at_the_same_moment(shared):
    iams = [root.client("iam") for root in shared.roots]
    user = shared.world.user()
    document = policy(allow("s3:GetObject"))
    for number in range(ROUNDS):
        arn = iams[0].create_policy(
            PolicyName=unique("raced"), PolicyDocument=document
        )["Policy"]["Arn"]
        use, delete = at_once(
            lambda: outcome(iams[1].attach_user_policy, UserName=user.name, PolicyArn=arn),
            lambda: outcome(iams[2].delete_policy, PolicyArn=arn),
        )
        assert (use, isinstance(delete, dict)) == ("NoSuchEntity", True) or (
            isinstance(use, dict) and delete == "DeleteConflict"
        ), (use, delete)
        role = unique("raced")
        iams[0].create_role(
            RoleName=role,
            AssumeRolePolicyDocument=policy(trust({"AWS": shared.world.account_principal})),
        )
        use, delete = at_once(
            lambda: outcome(
                iams[1].put_role_policy, RoleName=role, PolicyName="p", PolicyDocument=document
            ),
            lambda: outcome(iams[2].delete_role, RoleName=role),
        )
        assert (use, isinstance(delete, dict)) == ("NoSuchEntity", True) or (
            isinstance(use, dict) and delete == "DeleteConflict"
        ), (use, delete)


def test_the_last_version_of_a_policy_and_its_default_are_not_lost_to_two_deletions(shared):
    iams = [root.client("iam") for root in shared.roots]
    arn = iams[0].create_policy(
        PolicyName=unique("versions"), PolicyDocument=policy(allow("s3:GetObject"))
    )["Policy"]["Arn"]
    for _ in range(ROUNDS):
        version = iams[0].create_policy_version(
            PolicyArn=arn, PolicyDocument=policy(allow("s3:PutObject"))
        )["PolicyVersion"]["VersionId"]
        make, delete = at_once(
            lambda: outcome(iams[1].set_default_policy_version, PolicyArn=arn, VersionId=version),
            lambda: outcome(iams[2].delete_policy_version, PolicyArn=arn, VersionId=version),
        )
        assert isinstance(make, dict) != isinstance(delete, dict), (make, delete)
        current = iams[0].get_policy(PolicyArn=arn)["Policy"]["DefaultVersionId"]
        assert iams[0].get_policy_version(PolicyArn=arn, VersionId=current)
        for one in iams[0].list_policy_versions(PolicyArn=arn)["Versions"]:
            if not one["IsDefaultVersion"]:
                iams[0].delete_policy_version(PolicyArn=arn, VersionId=one["VersionId"])


def test_an_alias_of_kms_is_one_key_s_and_a_grant_is_not_made_twice(shared):
    clients = [root.client("kms") for root in shared.roots]
    keys = [client.create_key()["KeyMetadata"]["KeyId"] for client in clients]
    for _ in range(ROUNDS):
        alias = f"alias/{unique('raced')}"
        answers = at_once(*(
            lambda client=client, key=key: outcome(
                client.create_alias, AliasName=alias, TargetKeyId=key
            )
            for client, key in zip(clients, keys)
        ))
        assert sorted(map(str, answers)).count("AlreadyExistsException") == 2, answers
        name = unique("grant")
        grants = at_once(*(
            lambda client=client: client.create_grant(
                KeyId=keys[0], GranteePrincipal=shared.world.account_principal,
                Operations=["Encrypt"], Name=name,
            )["GrantId"]
            for client in clients
        ))
        # "If the grant has the same name and parameters, the first one's id is returned."
        assert len(set(grants)) == 1


def test_a_user_renamed_on_one_server_calls_with_its_key_on_every_other(shared):
    iam = shared.roots[0].client("iam")
    user = shared.world.user(allow("iam:GetUser"))
    clients = [elsewhere(user, server).client("iam") for server in shared.servers]
    name = user.name
    for _ in range(ROUNDS):
        renamed = unique("renamed")
        iam.update_user(UserName=name, NewUserName=renamed)
        name = renamed
        assert {client.get_user()["User"]["UserName"] for client in clients} == {name}


def test_nobody_is_told_that_there_is_none_of_what_was_acknowledged_while_others_write(shared):
    """Each call goes to the next server, while as many others keep the account's writes in each other's way."""
    iams = [root.client("iam") for root in shared.roots]
    document, errors = policy(allow("s3:GetObject")), []

    def write(side):
        name = f"busy-{side}"
        try:
            for number in range(ROUNDS):
                at = [iams[(side + number + step) % 3] for step in range(4)]
                at[0].create_user(UserName=name)
                at[1].put_user_policy(UserName=name, PolicyName="p", PolicyDocument=document)
                at[2].delete_user_policy(UserName=name, PolicyName="p")
                at[3].delete_user(UserName=name)
        except ClientError as error:
            errors.append(error)

    threads = [threading.Thread(target=write, args=(side,)) for side in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not errors, errors
