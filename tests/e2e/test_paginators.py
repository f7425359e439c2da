"""Every paginator and waiter that botocore has for IAM."""

import threading
import time

import botocore.session
import pytest
from botocore.exceptions import WaiterError

from certificates import certificate, ssh_key
from identity_provider import IdentityProvider
from test_oidc import create
from totp import Phone
from world import allow, policy, trust, unique

MODEL = botocore.session.get_session().get_paginator_model("iam")._paginator_config
SIX = [f"n{number}" for number in range(6)]
SIX_TAGS = [{"Key": name, "Value": "v"} for name in SIX]


@pytest.fixture(scope="module")
def parameters(world):
    """For each paginator, what to ask it; with six of each, or as many as the quota allows."""
    iam, stem = world.iam, unique("pg")
    user = world.user(name=stem).name
    role, group, profile = f"{stem}-role", f"{stem}-group", f"{stem}-profile"
    document = policy(allow("iam:GetUser"))
    trusting = policy(trust(world.account_principal))
    iam.create_role(RoleName=role, AssumeRolePolicyDocument=trusting)
    iam.create_group(GroupName=group)
    made = [world.managed_policy(allow("iam:GetUser"), name=f"{stem}-{name}") for name in SIX]
    for number, name in enumerate(SIX):
        iam.create_user(UserName=f"{stem}-{name}")
        iam.add_user_to_group(GroupName=group, UserName=f"{stem}-{name}")
        iam.create_group(GroupName=f"{stem}-{name}")
        iam.add_user_to_group(GroupName=f"{stem}-{name}", UserName=user)
        iam.create_role(RoleName=f"{stem}-{name}", AssumeRolePolicyDocument=trusting)
        for kind, owner in (("user", user), ("role", role), ("group", group)):
            named = {f"{kind.title()}Name": owner}
            getattr(iam, f"put_{kind}_policy")(PolicyName=name, PolicyDocument=document, **named)
            getattr(iam, f"attach_{kind}_policy")(PolicyArn=made[number], **named)
        iam.attach_user_policy(UserName=f"{stem}-{name}", PolicyArn=made[0])
        iam.attach_group_policy(GroupName=f"{stem}-{name}", PolicyArn=made[0])
        iam.create_instance_profile(InstanceProfileName=f"{stem}-{name}")
        iam.add_role_to_instance_profile(InstanceProfileName=f"{stem}-{name}", RoleName=role)
        device = iam.create_virtual_mfa_device(VirtualMFADeviceName=f"{stem}-{name}")["VirtualMFADevice"]
        phone = Phone.of(device)
        iam.enable_mfa_device(UserName=user, SerialNumber=phone.serial, **phone.pair(-2))
        own = certificate(f"{name}.example.com")
        iam.upload_server_certificate(
            ServerCertificateName=f"{stem}-{name}", CertificateBody=own.pem, PrivateKey=own.key,
            Tags=SIX_TAGS,
        )
    for _ in range(4):
        iam.create_policy_version(PolicyArn=made[0], PolicyDocument=document)
    for _ in range(5):
        iam.upload_ssh_public_key(UserName=user, SSHPublicKeyBody=ssh_key()[0])
    for number in range(2):
        iam.upload_signing_certificate(
            UserName=user, CertificateBody=certificate(f"s{number}.example.com").pem
        )
    iam.create_access_key(UserName=user)
    iam.create_account_alias(AccountAlias=stem)
    provider = create(world, Tags=SIX_TAGS)
    saml = iam.create_saml_provider(
        Name=stem, SAMLMetadataDocument=IdentityProvider().metadata(), Tags=SIX_TAGS
    )["SAMLProviderArn"]
    iam.tag_user(UserName=user, Tags=SIX_TAGS)
    iam.tag_role(RoleName=role, Tags=SIX_TAGS)
    iam.tag_policy(PolicyArn=made[0], Tags=SIX_TAGS)
    iam.create_instance_profile(InstanceProfileName=profile, Tags=SIX_TAGS)
    iam.tag_mfa_device(SerialNumber=phone.serial, Tags=SIX_TAGS)
    of_user, of_role, of_group = {"UserName": user}, {"RoleName": role}, {"GroupName": group}
    actions = ["iam:GetUser", "iam:GetRole", "iam:ListUsers", "iam:ListRoles", "s3:GetObject", "s3:PutObject"]
    return {
        "GetAccountAuthorizationDetails": {},
        "GetGroup": of_group,
        "ListAccessKeys": of_user,
        "ListAccountAliases": {},
        "ListAttachedGroupPolicies": of_group,
        "ListAttachedRolePolicies": of_role,
        "ListAttachedUserPolicies": of_user,
        "ListEntitiesForPolicy": {"PolicyArn": made[0]},
        "ListGroupPolicies": of_group,
        "ListGroups": {},
        "ListGroupsForUser": of_user,
        "ListInstanceProfileTags": {"InstanceProfileName": profile},
        "ListInstanceProfiles": {},
        "ListInstanceProfilesForRole": of_role,
        "ListMFADeviceTags": {"SerialNumber": phone.serial},
        "ListMFADevices": of_user,
        "ListOpenIDConnectProviderTags": {"OpenIDConnectProviderArn": provider},
        "ListPolicies": {"Scope": "Local"},
        "ListPolicyTags": {"PolicyArn": made[0]},
        "ListPolicyVersions": {"PolicyArn": made[0]},
        "ListRolePolicies": of_role,
        "ListRoleTags": of_role,
        "ListRoles": {},
        "ListSAMLProviderTags": {"SAMLProviderArn": saml},
        "ListSSHPublicKeys": of_user,
        "ListServerCertificateTags": {"ServerCertificateName": f"{stem}-n0"},
        "ListServerCertificates": {},
        "ListSigningCertificates": of_user,
        "ListUserPolicies": of_user,
        "ListUserTags": of_user,
        "ListUsers": {},
        "ListVirtualMFADevices": {},
        "SimulateCustomPolicy": {"PolicyInputList": [document], "ActionNames": actions},
        "SimulatePrincipalPolicy": {
            "PolicySourceArn": world.arn(f"user/{user}"), "ActionNames": actions,
        },
    }


# The most that there can be of each, where that is fewer than six.
FEWER = {
    "ListAccessKeys": 2, "ListAccountAliases": 1, "ListPolicyVersions": 5, "ListSSHPublicKeys": 5,
    "ListSigningCertificates": 2,
}


def keys_of(operation):
    keys = MODEL[operation]["result_key"]
    return keys if isinstance(keys, list) else [keys]


def pages(iam, operation, parameters, **configuration):
    name = botocore.xform_name(operation)
    paginator = iam.get_paginator(name).paginate(**parameters, PaginationConfig=configuration)
    return [{key: page.get(key, []) for key in keys_of(operation)} for page in paginator]


def together(pages):
    return {key: [one for page in pages for one in page[key]] for key in pages[0]}


@pytest.mark.parametrize("operation", sorted(MODEL))
def test_small_pages_together_are_one_big_page(operation, parameters, root):
    asked = parameters[operation]
    (whole,) = pages(root.iam, operation, asked, PageSize=1000)
    count = sum(map(len, whole.values()))
    assert count >= FEWER.get(operation, 6)
    for size in (1, 2, 5):
        turned = pages(root.iam, operation, asked, PageSize=size)
        assert together(turned) == whole
        # No page is longer than asked, and none but the last is shorter.
        lengths = [sum(map(len, page.values())) for page in turned]
        assert lengths[:-1] == [size] * (len(lengths) - 1) and 0 < lengths[-1] <= size


# Pages of several lists are cut by botocore's own rules, and left out.
@pytest.mark.parametrize("operation", sorted(name for name in MODEL if len(keys_of(name)) == 1))
def test_a_listing_goes_on_from_the_token_it_stopped_at(operation, parameters, root):
    """What `--max-items` and `--starting-token` of the aws command line do."""
    asked = parameters[operation]
    (whole,) = pages(root.iam, operation, asked, PageSize=1000)
    (key,) = whole
    paginator = root.iam.get_paginator(botocore.xform_name(operation))
    seen, token = [], None
    while True:
        part = paginator.paginate(
            **asked, PaginationConfig={"PageSize": 2, "MaxItems": 3, "StartingToken": token}
        ).build_full_result()
        seen += part[key]
        token = part.get("NextToken")
        if token is None:
            break
        assert len(part[key]) == 3
    assert seen == whole[key]


def test_awss_policies_are_listed_page_by_page(root):
    found = [
        one for page in pages(root.iam, "ListPolicies", {"Scope": "AWS"}, PageSize=250)
        for one in page["Policies"]
    ]
    assert len(found) == len({one["Arn"] for one in found}) > 1000
    assert len({one["PolicyId"] for one in found}) == len(found)
    shown = root.iam.get_policy(PolicyArn="arn:aws:iam::aws:policy/ReadOnlyAccess")["Policy"]
    listed = next(one for one in found if one["PolicyName"] == "ReadOnlyAccess")
    assert shown["PolicyId"] == listed["PolicyId"]


WAITERS = {
    "user_exists": ("create_user", "UserName", {}),
    "role_exists": ("create_role", "RoleName", {"AssumeRolePolicyDocument": None}),
    "policy_exists": ("create_policy", "PolicyName", {"PolicyDocument": policy(allow("iam:GetUser"))}),
    "instance_profile_exists": ("create_instance_profile", "InstanceProfileName", {}),
}


def waited_for(waiter, world, name):
    if waiter == "policy_exists":
        return {"PolicyArn": world.arn(f"policy/{name}")}
    return {WAITERS[waiter][1]: name}


def test_this_page_names_every_waiter(root):
    assert set(root.iam.waiter_names) == set(WAITERS)


@pytest.mark.parametrize("waiter", WAITERS)
def test_a_waiter_waits_until_it_is_there(waiter, world):
    make, key, more = WAITERS[waiter]
    if "AssumeRolePolicyDocument" in more:
        more = {"AssumeRolePolicyDocument": policy(trust(world.account_principal))}
    name = unique("wait")
    later = threading.Timer(0.5, lambda: getattr(world.iam, make)(**{key: name}, **more))
    later.start()
    started = time.monotonic()
    world.iam.get_waiter(waiter).wait(
        **waited_for(waiter, world, name), WaiterConfig={"Delay": 0.2, "MaxAttempts": 50}
    )
    assert time.monotonic() - started > 0.3
    later.join()


@pytest.mark.parametrize("waiter", WAITERS)
def test_a_waiter_gives_up(waiter, world):
    with pytest.raises(WaiterError, match="Max attempts exceeded"):
        world.iam.get_waiter(waiter).wait(
            **waited_for(waiter, world, unique("never")), WaiterConfig={"Delay": 0, "MaxAttempts": 2}
        )


@pytest.mark.parametrize("waiter", WAITERS)
def test_a_waiter_ends_at_a_denial(waiter, world):
    nobody = world.user()
    with pytest.raises(WaiterError, match="AccessDenied"):
        nobody.iam.get_waiter(waiter).wait(
            **waited_for(waiter, world, unique("never")), WaiterConfig={"Delay": 0, "MaxAttempts": 2}
        )
