"""boto3's resources of IAM: objects that load themselves, and collections that turn pages."""

import json
import time

import boto3
import pytest
from botocore.exceptions import ClientError

from certificates import certificate
from clients import IDENTITY_SILENT, REGION, assert_denied, refusal_of
from identity_provider import IdentityProvider
from totp import Phone
from world import allow, policy, tags, trust, unique

DOCUMENT = policy(allow("iam:GetUser"))
OTHER = policy(allow("iam:GetRole"))


def resource(principal):
    return boto3.resource(
        "iam", region_name=REGION, endpoint_url=principal.url,
        aws_access_key_id=principal.access_key_id, aws_secret_access_key=principal.secret,
        aws_session_token=principal.token,
    )


@pytest.fixture(scope="module")
def iam(root):
    return resource(root)


@pytest.fixture
def user(iam):
    return iam.create_user(UserName=unique("user"), Path="/boto3/", Tags=tags(team="a"))


@pytest.fixture
def role(iam, world):
    return iam.create_role(
        RoleName=unique("role"), AssumeRolePolicyDocument=policy(trust(world.account_principal)),
        Description="first",
    )


def names(collection):
    return sorted(one.name for one in collection)


def is_gone(one):
    with pytest.raises(ClientError) as caught:
        one.load()
    assert refusal_of(caught.value).status == 404
    return True


def test_a_user_has_keys_policies_groups_and_a_profile(iam, user, world):
    name = user.name
    assert (user.path, user.arn, user.tags) == (
        "/boto3/", world.arn(f"user/boto3/{name}"), tags(team="a"),
    )
    assert iam.User(name).user_id == user.user_id
    pair = user.create_access_key_pair()
    assert pair.secret and pair.status == "Active"
    (key,) = user.access_keys.all()
    assert (key.id, key.status, key.user_name) == (pair.id, "Active", name)
    key.deactivate()
    assert [one.status for one in user.access_keys.all()] == ["Inactive"]
    pair.activate()
    assert [one.status for one in iam.User(name).access_keys.all()] == ["Active"]
    pair.delete()
    assert list(user.access_keys.all()) == []

    own = user.create_policy(PolicyName="own", PolicyDocument=DOCUMENT)
    assert own.policy_document == json.loads(DOCUMENT)
    own.put(PolicyDocument=OTHER)
    assert iam.UserPolicy(name, "own").policy_document == json.loads(OTHER)
    assert names(user.policies.all()) == ["own"] and user.Policy("own").user_name == name
    own.delete()

    managed = iam.create_policy(PolicyName=unique("policy"), PolicyDocument=DOCUMENT)
    user.attach_policy(PolicyArn=managed.arn)
    assert [one.arn for one in user.attached_policies.all()] == [managed.arn]
    assert names(managed.attached_users.all()) == [name]
    user.detach_policy(PolicyArn=managed.arn)
    managed.delete()

    group = iam.create_group(GroupName=unique("group"))
    user.add_group(GroupName=group.name)
    assert names(user.groups.all()) == [group.name] and names(group.users.all()) == [name]
    user.remove_group(GroupName=group.name)
    group.delete()

    profile = user.create_login_profile(Password="A-password-1", PasswordResetRequired=True)
    assert profile.password_reset_required and profile.user_name == name
    profile.update(PasswordResetRequired=False)
    assert user.LoginProfile().password_reset_required is False
    profile.delete()
    assert is_gone(user.LoginProfile())

    its = user.user_id
    renamed = user.update(NewUserName=unique("user"), NewPath="/moved/")
    assert (renamed.path, renamed.user_id) == ("/moved/", its)
    assert is_gone(iam.User(name))
    renamed.delete()
    assert is_gone(renamed)


def test_a_user_has_devices_and_certificates(iam, user):
    device = iam.create_virtual_mfa_device(VirtualMFADeviceName=user.name)
    phone = Phone.of(
        {"SerialNumber": device.serial_number, "Base32StringSeed": device.base32_string_seed}
    )
    enabled = user.enable_mfa(SerialNumber=device.serial_number, **phone.pair(-2))
    assert [one.serial_number for one in user.mfa_devices.all()] == [device.serial_number]
    assert (enabled.user_name, enabled.serial_number) == (user.name, device.serial_number)
    (assigned,) = (
        one for one in iam.virtual_mfa_devices.filter(AssignmentStatus="Assigned")
        if one.serial_number == device.serial_number
    )
    assert assigned.user.name == user.name
    enabled.disassociate()
    assert list(user.mfa_devices.all()) == []
    device.delete()

    own = certificate("boto3.example.com")
    # The resource's own upload asks for a user's name and cannot be given one.
    iam.meta.client.upload_signing_certificate(UserName=user.name, CertificateBody=own.pem)
    (signing,) = user.signing_certificates.all()
    assert signing.certificate_body.strip() == own.pem.strip() and signing.status == "Active"
    signing.deactivate()
    assert [one.status for one in user.signing_certificates.all()] == ["Inactive"]
    signing.delete()
    assert list(user.signing_certificates.all()) == []


def test_a_role_has_a_trust_policy_and_profiles(iam, role, world):
    # The resource's attribute is the document itself.
    assert role.assume_role_policy_document == json.loads(policy(trust(world.account_principal)))
    service = policy(trust({"Service": "ec2.amazonaws.com"}))
    assert role.AssumeRolePolicy().role_name == role.name
    role.AssumeRolePolicy().update(PolicyDocument=service)
    role.reload()
    assert role.assume_role_policy_document == json.loads(service)
    assert (role.description, role.max_session_duration) == ("first", 3600)

    role.Policy("own").put(PolicyDocument=DOCUMENT)
    assert names(role.policies.all()) == ["own"]
    assert iam.RolePolicy(role.name, "own").policy_document == json.loads(DOCUMENT)
    role.attach_policy(PolicyArn="arn:aws:iam::aws:policy/ReadOnlyAccess")
    assert [one.policy_name for one in role.attached_policies.all()] == ["ReadOnlyAccess"]
    assert role.name in names(iam.Policy("arn:aws:iam::aws:policy/ReadOnlyAccess").attached_roles.all())
    role.detach_policy(PolicyArn="arn:aws:iam::aws:policy/ReadOnlyAccess")

    profile = iam.create_instance_profile(InstanceProfileName=unique("profile"))
    profile.add_role(RoleName=role.name)
    profile.reload()
    assert [one.name for one in profile.roles] == [role.name]
    assert names(role.instance_profiles.all()) == [profile.name]
    profile.remove_role(RoleName=role.name)
    profile.delete()
    role.Policy("own").delete()
    role.delete()
    assert is_gone(role)


def test_a_group_has_members_and_policies(iam, user):
    group = iam.create_group(GroupName=unique("group"), Path="/boto3/")
    group.add_user(UserName=user.name)
    assert names(group.users.all()) == [user.name]
    own = group.create_policy(PolicyName="own", PolicyDocument=DOCUMENT)
    assert own.policy_document == json.loads(DOCUMENT) and names(group.policies.all()) == ["own"]
    managed = iam.create_policy(PolicyName=unique("policy"), PolicyDocument=DOCUMENT)
    managed.attach_group(GroupName=group.name)
    assert names(managed.attached_groups.all()) == [group.name]
    assert [one.arn for one in group.attached_policies.all()] == [managed.arn]
    managed.detach_group(GroupName=group.name)
    own.delete()
    group.remove_user(UserName=user.name)
    its = group.group_id
    renamed = group.update(NewGroupName=unique("group"))
    assert renamed.group_id == its
    renamed.delete()


def test_a_policy_has_versions(iam, user, role):
    made = iam.create_policy(PolicyName=unique("policy"), PolicyDocument=DOCUMENT, Description="words")
    assert (made.default_version_id, made.attachment_count, made.description) == ("v1", 0, "words")
    second = made.create_version(PolicyDocument=OTHER)
    assert (second.version_id, second.is_default_version) == ("v2", False)
    assert second.document == json.loads(OTHER)
    second.set_as_default()
    made.reload()
    assert made.default_version.version_id == "v2" == made.default_version_id
    assert sorted(one.version_id for one in made.versions.all()) == ["v1", "v2"]
    iam.PolicyVersion(made.arn, "v1").delete()
    made.attach_user(UserName=user.name)
    made.attach_role(RoleName=role.name)
    made.reload()
    assert made.attachment_count == 2
    assert made.arn in [one.arn for one in iam.policies.filter(Scope="Local", OnlyAttached=True)]
    made.detach_user(UserName=user.name)
    made.detach_role(RoleName=role.name)
    made.delete()
    assert is_gone(made)


def test_providers_and_server_certificates(iam):
    idp = IdentityProvider()
    provider = iam.create_saml_provider(Name=unique("idp"), SAMLMetadataDocument=idp.metadata())
    assert provider.saml_metadata_document == idp.metadata()
    other = IdentityProvider().metadata()
    provider.update(SAMLMetadataDocument=other)
    provider.reload()
    assert provider.saml_metadata_document == other
    assert provider.arn in [one.arn for one in iam.saml_providers.all()]
    provider.delete()

    own = certificate("server.example.com")
    made = iam.create_server_certificate(
        ServerCertificateName=unique("server"), CertificateBody=own.pem, PrivateKey=own.key
    )
    assert made.certificate_body.strip() == own.pem.strip()
    renamed = made.update(NewServerCertificateName=unique("server"))
    metadata = renamed.server_certificate_metadata
    assert metadata["ServerCertificateName"] == renamed.name
    assert metadata["Expiration"] == own.not_after
    assert renamed.name in names(iam.server_certificates.all())
    renamed.delete()


def test_the_account_has_a_password_policy_and_a_summary(iam, user):
    made = iam.create_account_password_policy(MinimumPasswordLength=12, RequireSymbols=True)
    made.reload()
    assert (made.minimum_password_length, made.require_symbols, made.expire_passwords) == (12, True, False)
    made.update(MinimumPasswordLength=10, MaxPasswordAge=30)
    read = iam.AccountPasswordPolicy()
    assert (read.minimum_password_length, read.max_password_age, read.expire_passwords) == (10, 30, True)
    read.delete()
    assert is_gone(iam.AccountPasswordPolicy())
    summary = iam.AccountSummary().summary_map
    assert summary["Users"] == len(list(iam.users.all()))
    assert summary["Policies"] == len(list(iam.policies.filter(Scope="Local")))
    alias = unique("alias")
    iam.create_account_alias(AccountAlias=alias)
    iam.meta.client.delete_account_alias(AccountAlias=alias)


def test_the_current_user_is_who_signs(iam, world):
    person = world.user(allow(["iam:GetUser", "iam:ListAccessKeys", "iam:ListMFADevices",
                               "iam:ListSigningCertificates"]))
    current = resource(person).CurrentUser()
    assert (current.user_name, current.arn) == (person.name, person.user_arn)
    assert [one.id for one in current.access_keys.all()] == [person.access_key_id]
    assert list(current.mfa_devices.all()) == list(current.signing_certificates.all()) == []
    assert current.user.name == person.name
    # The root user has no name in AWS's answer.
    assert iam.CurrentUser().arn == world.account_principal
    other = world.user()
    with pytest.raises(ClientError) as caught:
        resource(other).CurrentUser().load()
    assert_denied(
        refusal_of(caught.value), other.user_arn, "iam:GetUser", IDENTITY_SILENT, other.user_arn
    )


def test_a_user_changes_its_own_password(iam, world):
    person = world.user(allow("iam:ChangePassword"))
    iam.User(person.name).create_login_profile(Password="A-password-1")
    resource(person).change_password(OldPassword="A-password-1", NewPassword="A-password-2")
    with pytest.raises(ClientError):
        resource(person).change_password(OldPassword="A-password-1", NewPassword="A-password-3")


def test_collections_are_limited_filtered_and_turn_pages(iam):
    path = f"/{unique('pages')}/"
    made = sorted(iam.create_user(UserName=unique("page"), Path=path).name for _ in range(5))
    found = iam.users.filter(PathPrefix=path)
    assert names(found) == made
    assert names(found.page_size(2)) == made
    assert [len(page) for page in found.page_size(2).pages()] == [2, 2, 1]
    assert len(list(found.limit(3))) == 3
    assert names(iam.groups.filter(PathPrefix=path)) == []
    for kind in ("groups", "instance_profiles", "roles", "saml_providers", "server_certificates"):
        assert list(getattr(iam, kind).limit(2)) is not None
    started = time.monotonic()
    assert len(list(iam.policies.filter(Scope="AWS"))) > 1000
    assert time.monotonic() - started < 30
