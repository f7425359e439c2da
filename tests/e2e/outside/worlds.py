"""Two accounts: one kept as the benchmarks ask, one kept as they warn of."""

from dataclasses import dataclass
from datetime import datetime, timedelta, timezone

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.x509.oid import NameOID

from certificates import certificate
from clients import Principal
from identity_provider import IdentityProvider, private_pem
from issuer import ec_key
from totp import Phone
from world import World, allow, policy, tags, trust

AWS_POLICY = "arn:aws:iam::aws:policy/"
ELSEWHERE = "210987654321"


def service_trust(service="ec2.amazonaws.com", **condition):
    return trust({"Service": service}, **({"Condition": condition} if condition else {}))


def days_ago(days):
    return (datetime.now(timezone.utc) - timedelta(days=days)).strftime("%Y-%m-%dT%H:%M:%SZ")


@dataclass
class Audited:
    """An account, who may look at it, and by which role."""

    world: World
    auditor: Principal
    role: str


def add_auditor(world):
    """A user in a group whose only right is to assume the role of an auditor."""
    role = world.role(
        name="audit", attached=[AWS_POLICY + "SecurityAudit", AWS_POLICY + "job-function/ViewOnlyAccess"],
        tagged={"purpose": "audit"},
    )
    user = world.user(name="auditor", tagged={"team": "security"})
    world.iam.create_group(GroupName="auditors")
    arn = world.managed_policy(allow("sts:AssumeRole", role), name="may-audit")
    world.iam.attach_group_policy(GroupName="auditors", PolicyArn=arn)
    world.iam.add_user_to_group(GroupName="auditors", UserName="auditor")
    return Audited(world, user, role)


def add_phone(iam, user, name):
    device = iam.create_virtual_mfa_device(VirtualMFADeviceName=name)["VirtualMFADevice"]
    phone = Phone.of(device)
    iam.enable_mfa_device(UserName=user, SerialNumber=phone.serial, **phone.pair())
    return phone


def root_with_mfa(server):
    """An account whose root user has a key and a virtual device."""
    world = World(server.root())
    add_phone(world.iam, world.account, "root-account-mfa-device")
    return add_auditor(world)


def well_kept(server):
    """An account built to pass, once `lock_root` has taken its root user's key."""
    world = World(server.root())
    iam = world.iam
    audited = add_auditor(world)
    iam.update_account_password_policy(
        MinimumPasswordLength=16, RequireSymbols=True, RequireNumbers=True,
        RequireUppercaseCharacters=True, RequireLowercaseCharacters=True,
        AllowUsersToChangePassword=True, MaxPasswordAge=60, PasswordReusePrevention=24,
    )
    iam.create_login_profile(UserName="auditor", Password="Correct-Horse-7-Battery")
    add_phone(iam, "auditor", "auditor")
    add_phone(iam, world.account, "root-account-mfa-device")
    # The key is in use.
    audited.auditor.assume(audited.role)
    iam.create_saml_provider(Name="staff", SAMLMetadataDocument=IdentityProvider().metadata())
    good = certificate(days=300)
    iam.upload_server_certificate(
        ServerCertificateName="web", CertificateBody=good.pem, PrivateKey=good.key, Tags=tags(app="web")
    )
    world.role(name="support", attached=[AWS_POLICY + "AWSSupportAccess"])
    world.role(
        allow("s3:GetObject", "arn:aws:s3:::reports/*"), name="worker",
        trusted=[service_trust(StringEquals={"aws:SourceAccount": world.account})],
    )
    world.managed_policy(allow("s3:GetObject", "arn:aws:s3:::reports/*"), name="spare")
    return audited


def gone_certificate():
    """A certificate and its key, as PEM: good 120 days ago, and expired."""
    key = ec_key()
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "gone.example.com")])
    now = datetime.now(timezone.utc)
    made = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(days=130))
        .not_valid_after(now - timedelta(days=10))
        .sign(key, hashes.SHA256())
    )
    return made.public_bytes(serialization.Encoding.PEM).decode(), private_pem(key)


def lock_root(world):
    """Root deletes its own last key, with that key."""
    iam = world.root.iam
    iam.delete_access_key(AccessKeyId=world.root.access_key_id)


def badly_kept(dev):
    """An account built to fail, on a server whose clock the test moves."""
    world = World(dev.principal("test", "test"))
    iam = world.iam
    audited = add_auditor(world)
    # Without MFA, with a key that is new.
    root_key = iam.create_access_key()["AccessKey"]
    server_root = dev.principal(root_key["AccessKeyId"], root_key["SecretAccessKey"])
    server_root.sts.get_caller_identity()
    iam.update_account_password_policy(MinimumPasswordLength=6)

    # A user of long ago: two keys, of which the first was used then and the second never.
    moved = dev.post_json("/_ringfence/clock", {"set": days_ago(120)})
    assert moved[0] == 200, moved
    old = world.user(name="old")
    iam.create_access_key(UserName="old")
    old.sts.get_caller_identity()
    iam.create_login_profile(UserName="old", Password="Secret-1")
    body, key = gone_certificate()
    iam.upload_server_certificate(ServerCertificateName="gone", CertificateBody=body, PrivateKey=key)
    moved = dev.post_json("/_ringfence/clock", {"set": days_ago(0)})
    assert moved[0] == 200, moved

    iam.create_group(GroupName="admins")
    iam.attach_group_policy(GroupName="admins", PolicyArn=AWS_POLICY + "AdministratorAccess")
    iam.add_user_to_group(GroupName="admins", UserName="old")
    world.user(name="boss", attached=[AWS_POLICY + "AdministratorAccess"])
    world.user(
        allow(["bedrock:InvokeModel", "sagemaker:InvokeEndpoint"]), name="modeller",
    )
    world.user(allow("kms:*"), allow("cloudtrail:*"), allow("aws-marketplace:Subscribe"), name="wide")
    world.user(allow("iam:CreateAccessKey"), name="climber")
    world.user(allow("*"), name="inline-boss")
    world.role(name="boss-role", attached=[AWS_POLICY + "AdministratorAccess"])
    world.role(
        name="reader", attached=[AWS_POLICY + "ReadOnlyAccess"],
        trusted=[trust(f"arn:aws:iam::{ELSEWHERE}:root")],
    )
    world.role(
        allow("bedrock:InvokeModel"), name="worker", trusted=[service_trust()],
        attached=[AWS_POLICY + "AWSCloudShellFullAccess"],
    )
    world.role(
        name="any-source", trusted=[service_trust(StringLike={"aws:SourceAccount": "1234*"})],
    )
    attached = {
        "everything": [allow("*")],
        "keys": [allow("kms:*")],
        "trails": [allow("cloudtrail:*")],
        "market": [allow("aws-marketplace:Subscribe")],
        "passes": [
            allow("iam:PassRole", Condition={
                "StringEquals": {"iam:PassedToService": "bedrock-agentcore.amazonaws.com"}
            }),
            allow("bedrock-agentcore:GetWorkloadAccessToken"),
        ],
        "any-role": [allow("sts:AssumeRole")],
    }
    for name, statements in attached.items():
        iam.attach_role_policy(
            RoleName="worker", PolicyArn=world.managed_policy(*statements, name=name)
        )
    world.managed_policy(allow("*"), name="spare-everything")
    return audited
