"""Clients that record each call: when it began and ended, and what it was told.

They speak IAM's query protocol over connections that they keep, so that there are many calls in a short time.
"""

import http.client
import re
import threading
import time

from linearizable import ABSENT, EXISTS, MISSING, OK, Call
from signer import Signer
from world import allow, deny, policy

TAG = "v"
LIMIT_SECONDS = 20


class Line:
    """One principal's connection to one server."""

    def __init__(self, principal):
        self.signer = Signer(principal)
        self.connection = None

    def ask(self, action, service="iam", **parameters):
        """(status, error code or None, body); None where there is no whole answer."""
        body = Signer.form(service, {"Action": action, **parameters})
        headers = self.signer.signed(service, body)
        try:
            if self.connection is None:
                self.connection = http.client.HTTPConnection(self.signer.host, timeout=LIMIT_SECONDS)
            self.connection.request("POST", "/", body=body, headers=headers)
            answer = self.connection.getresponse()
            text = answer.read().decode()
        except (OSError, http.client.HTTPException):
            self.close()
            return None
        code = re.search(r"<Code>([^<]*)</Code>", text)
        return answer.status, code and code[1], text

    def close(self):
        if self.connection is not None:
            self.connection.close()
            self.connection = None


# Told of something that was removed and made anew while the call ran: it did nothing.
REFUSED = object()


class Odd(Exception):
    """An answer that no server should give."""


class User:
    """A user with a tag, as an object that is made, set, removed and read."""

    def __init__(self, name):
        self.name = name

    def parameters(self, what, value):
        tag = {"Tags.member.1.Key": TAG, "Tags.member.1.Value": value}
        return {
            "make": ("CreateUser", tag), "set": ("TagUser", tag),
            "remove": ("DeleteUser", {}), "read": ("ListUserTags", {}),
        }[what]

    def ask(self, line, what, value):
        action, more = self.parameters(what, value)
        return line.ask(action, UserName=self.name, **more)

    def told(self, what, status, code, text):
        if status == 200 and what == "read":
            found = re.search(rf"<Key>{TAG}</Key>\s*<Value>([^<]*)</Value>", text)
            return found[1] if found else ""
        if status == 200:
            return OK
        if code == "NoSuchEntity":
            return ABSENT if what == "read" else MISSING
        if code == "EntityAlreadyExists" and what == "make":
            return EXISTS
        if code == "ConcurrentModification" and what != "read":
            return REFUSED
        raise Odd(f"{what} {self.name}: {status} {text}")


class Permission:
    """Whether a user may do something, as a register: a policy is put and deleted, and the user tries."""

    def __init__(self, name, user):
        self.name, self.user = name, user
        self.lines = threading.local()

    def ask(self, line, what, value):
        if what == "set":
            # Both leave a policy there, so that neither depends on what was before.
            document = self.document(value)
            return line.ask("PutUserPolicy", UserName=self.user.name, PolicyName="may", PolicyDocument=document)
        return self.line_of(line).ask("ListUsers", MaxItems="1")

    @staticmethod
    def document(may):
        return policy((allow if may else deny)("iam:ListUsers"))

    def line_of(self, line):
        """The user's own, to the same server."""
        mine = vars(self.lines).setdefault("by_server", {})
        host = line.signer.host
        if host not in mine:
            user = self.user
            mine[host] = Line(type(line.signer.principal)(f"http://{host}", user.access_key_id, user.secret))
        return mine[host]

    def told(self, what, status, code, text):
        if what == "set" and status == 200:
            return OK
        if what == "read" and (status == 200 or code == "AccessDenied"):
            return status == 200
        raise Odd(f"{what} {self.name}: {status} {text}")


class History:
    """What is recorded of each object, by all clients."""

    def __init__(self):
        self.calls = {}
        self.lock = threading.Lock()
        # Changes that were answered.
        self.changes = 0

    def record(self, thing, line, what, value=None):
        """Makes a call; whether it was answered by what tells something."""
        began = time.monotonic_ns()
        answer = thing.ask(line, what, value)
        ended = time.monotonic_ns()
        told = None
        # Of what failed nobody knows whether it was done.
        known = answer is not None and answer[0] < 500
        if known:
            told = thing.told(what, *answer)
            if told is REFUSED:
                return True
        with self.lock:
            self.calls.setdefault(thing, []).append(
                Call(began, ended if known else None, what, value, told)
            )
            self.changes += known and told == OK
        return known
