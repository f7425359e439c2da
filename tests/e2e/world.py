"""Principals and policies for tests: what an account's owner would set up by hand."""

import itertools
import json
import os

from clients import Principal

_COUNTER = itertools.count(1)


def unique(stem):
    """A name that no other test of this run uses, in whichever process."""
    worker = os.environ.get("PYTEST_XDIST_WORKER", "gw")
    return f"{stem}-{worker}-{next(_COUNTER)}"


def allow(action, resource="*", **rest):
    return {"Effect": "Allow", "Action": action, "Resource": resource, **rest}


def deny(action, resource="*", **rest):
    return {"Effect": "Deny", "Action": action, "Resource": resource, **rest}


def policy(*statements):
    return json.dumps({"Version": "2012-10-17", "Statement": list(statements)})


def trust(principal, action="sts:AssumeRole", effect="Allow", **rest):
    """One trust statement. A plain string is an AWS principal."""
    if isinstance(principal, str):
        principal = {"AWS": principal}
    return {"Effect": effect, "Principal": principal, "Action": action, **rest}


def tags(**pairs):
    return [{"Key": key, "Value": value} for key, value in pairs.items()]


class User(Principal):
    """An IAM user with an access key."""

    def __init__(self, url, key, name, arn):
        super().__init__(url, key["AccessKeyId"], key["SecretAccessKey"])
        self.name = name
        self.user_arn = arn

    @property
    def arn(self):
        return self.user_arn


class World:
    """Sets up one account as its root user."""

    def __init__(self, root):
        self.root = root
        self.iam = root.iam
        self.account = root.account

    def arn(self, kind_and_name):
        return f"arn:aws:iam::{self.account}:{kind_and_name}"

    @property
    def account_principal(self):
        return f"arn:aws:iam::{self.account}:root"

    def user(self, *statements, name=None, path="/", tagged=None, boundary=None, attached=()):
        name = name or unique("user")
        parameters = {"UserName": name, "Path": path}
        if tagged:
            parameters["Tags"] = tags(**tagged)
        if boundary:
            parameters["PermissionsBoundary"] = boundary
        arn = self.iam.create_user(**parameters)["User"]["Arn"]
        if statements:
            self.iam.put_user_policy(
                UserName=name, PolicyName="inline", PolicyDocument=policy(*statements)
            )
        for policy_arn in attached:
            self.iam.attach_user_policy(UserName=name, PolicyArn=policy_arn)
        key = self.iam.create_access_key(UserName=name)["AccessKey"]
        return User(self.root.url, key, name, arn)

    def group(self, *statements, members=(), attached=()):
        name = unique("group")
        self.iam.create_group(GroupName=name)
        if statements:
            self.iam.put_group_policy(
                GroupName=name, PolicyName="inline", PolicyDocument=policy(*statements)
            )
        for policy_arn in attached:
            self.iam.attach_group_policy(GroupName=name, PolicyArn=policy_arn)
        for member in members:
            self.iam.add_user_to_group(GroupName=name, UserName=member.name)
        return name

    def managed_policy(self, *statements, path="/", name=None):
        return self.iam.create_policy(
            PolicyName=name or unique("policy"), Path=path, PolicyDocument=policy(*statements)
        )["Policy"]["Arn"]

    def role(
        self,
        *statements,
        trusted=None,
        name=None,
        path="/",
        tagged=None,
        boundary=None,
        attached=(),
        max_session=None,
    ):
        """A role that the account trusts, unless `trusted` (statements) says otherwise."""
        name = name or unique("role")
        if trusted is None:
            trusted = [
                trust(
                    self.account_principal,
                    ["sts:AssumeRole", "sts:TagSession", "sts:SetSourceIdentity"],
                )
            ]
        parameters = {
            "RoleName": name,
            "Path": path,
            "AssumeRolePolicyDocument": policy(*trusted),
        }
        if tagged:
            parameters["Tags"] = tags(**tagged)
        if boundary:
            parameters["PermissionsBoundary"] = boundary
        if max_session:
            parameters["MaxSessionDuration"] = max_session
        arn = self.iam.create_role(**parameters)["Role"]["Arn"]
        if statements:
            self.iam.put_role_policy(
                RoleName=name, PolicyName="inline", PolicyDocument=policy(*statements)
            )
        for policy_arn in attached:
            self.iam.attach_role_policy(RoleName=name, PolicyArn=policy_arn)
        return arn
