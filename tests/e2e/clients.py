"""Real AWS clients for one set of credentials, and what they answer."""

import functools
import re
from dataclasses import dataclass

import botocore.session
from botocore.config import Config
from botocore.exceptions import ClientError

REGION = "us-east-1"

# One loader for all: parsing a service's model takes longer than a test.
_SESSION = botocore.session.Session()


class Principal:
    """Credentials, and boto clients that sign with them."""

    def __init__(self, url, access_key_id, secret, token=None, region=REGION):
        self.url = url
        self.access_key_id = access_key_id
        self.secret = secret
        self.token = token
        self.region = region

    def client(self, service, region=None, validate=True, attempts=1, **config):
        return _SESSION.create_client(
            service,
            region_name=region or self.region,
            endpoint_url=self.url,
            aws_access_key_id=self.access_key_id,
            aws_secret_access_key=self.secret,
            aws_session_token=self.token,
            config=Config(
                retries={"total_max_attempts": attempts},
                parameter_validation=validate,
                connect_timeout=10,
                read_timeout=20,
                **config,
            ),
        )

    @functools.cached_property
    def iam(self):
        return self.client("iam")

    @functools.cached_property
    def sts(self):
        return self.client("sts")

    @functools.cached_property
    def iam_unchecked(self):
        """An IAM client that sends parameters as they are, so that the server must check them."""
        return self.client("iam", validate=False)

    @functools.cached_property
    def sts_unchecked(self):
        return self.client("sts", validate=False)

    @functools.cached_property
    def identity(self):
        return self.sts.get_caller_identity()

    @property
    def account(self):
        return self.identity["Account"]

    @property
    def arn(self):
        return self.identity["Arn"]

    def session_from(self, credentials):
        """The principal of an STS answer's `Credentials`."""
        return Principal(
            self.url,
            credentials["AccessKeyId"],
            credentials["SecretAccessKey"],
            credentials["SessionToken"],
            self.region,
        )

    def assume(self, role_arn, session_name="session", **parameters):
        answer = self.sts.assume_role(
            RoleArn=role_arn, RoleSessionName=session_name, **parameters
        )
        return self.session_from(answer["Credentials"])

    def environment(self):
        """What a shell exports to use these credentials."""
        exports = {
            "AWS_ENDPOINT_URL": self.url,
            "AWS_ACCESS_KEY_ID": self.access_key_id,
            "AWS_SECRET_ACCESS_KEY": self.secret,
            "AWS_DEFAULT_REGION": self.region,
        }
        if self.token:
            exports["AWS_SESSION_TOKEN"] = self.token
        return exports


@dataclass(frozen=True)
class Refusal:
    """An error answer."""

    status: int
    code: str
    message: str

    def __str__(self):
        return f"{self.status} {self.code}: {self.message}"


def refusal(call, *args, **parameters):
    """The error that a call is answered with; an answer without one fails the test."""
    try:
        answer = call(*args, **parameters)
    except ClientError as error:
        return refusal_of(error)
    answer.pop("ResponseMetadata", None)
    raise AssertionError(f"expected an error, got {answer}")


def refusal_of(error):
    return Refusal(
        error.response["ResponseMetadata"]["HTTPStatusCode"],
        error.response["Error"]["Code"],
        error.response["Error"].get("Message", ""),
    )


# Where a denial comes from, in AWS's words. IAM User Guide, "Troubleshoot access denied error
# messages", https://docs.aws.amazon.com/IAM/latest/UserGuide/troubleshoot_access-denied.html
IDENTITY_SILENT = "because no identity-based policy allows the {action} action"
IDENTITY_DENY = "with an explicit deny in an identity-based policy"
# A managed policy that denies is named by its ARN, which a boundary always has.
MANAGED_IDENTITY_DENY = IDENTITY_DENY + ": {policy}"
BOUNDARY_SILENT = "because no permissions boundary allows the {action} action"
BOUNDARY_DENY = "with an explicit deny in a permissions boundary: {policy}"
SESSION_SILENT = "because no session policy allows the {action} action"
SESSION_DENY = "with an explicit deny in a session policy"
MANAGED_SESSION_DENY = SESSION_DENY + ": {policy}"
TRUST_SILENT = "because no role trust policy allows the {action} action"
TRUST_DENY = "with an explicit deny in the role trust policy"


def resource_forms(arn):
    """A resource as its ARN, or as IAM's short name for it, which AWS prints for many actions
    (`on resource: user alice`, `on resource: policy NAME`, as issues and recordings show)."""
    kind, _, rest = arn.split(":", 5)[5].partition("/")
    forms = {arn}
    if rest:
        name = rest.rsplit("/", 1)[-1]
        forms |= {f"{kind.replace('-', ' ')} {name}", f"{kind.replace('-', ' ')} {arn}"}
    return forms


def denial_pattern(principal_arn, action, reason, resource=None):
    """The whole message of a denial. Without a resource, any resource does."""
    if resource is None:
        named = r"\S.*?"
    else:
        named = "(?:" + "|".join(re.escape(form) for form in sorted(resource_forms(resource))) + ")"
    where = rf" on resource: {named}"
    if resource is None or reason in (TRUST_SILENT, TRUST_DENY):
        # Some actions have no resource to name, and AWS's examples of trust-policy denials name none.
        where = f"(?:{where})?"
    why, names_policy, _ = reason.partition(": {policy}")
    policy = r": arn:aws:iam::(?:\d{12}|aws):policy/\S+" if names_policy else ""
    return re.compile(
        rf"User: {re.escape(principal_arn)} is not authorized to perform: {re.escape(action)}"
        rf"{where} {re.escape(why.format(action=action))}{policy}"
    )


def assert_denied(refused, principal_arn, action, reason, resource=None):
    assert (refused.code, refused.status) == ("AccessDenied", 403), str(refused)
    pattern = denial_pattern(principal_arn, action, reason, resource)
    assert pattern.fullmatch(refused.message), f"{refused.message!r} is not {pattern.pattern!r}"
