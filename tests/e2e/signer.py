"""Signs raw HTTP requests, and lets a test spoil any part of them.

The signature itself is botocore's; what is signed, when, for which scope, and what is sent in the
end are the test's to choose.
"""

import http.client
import re
from dataclasses import dataclass
from datetime import datetime, timedelta, timezone
from unittest import mock
from urllib.parse import urlencode, urlsplit

import botocore.auth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials

VERSIONS = {"iam": "2010-05-08", "sts": "2011-06-15"}
FORM = "application/x-www-form-urlencoded; charset=utf-8"


@dataclass(frozen=True)
class Answer:
    status: int
    headers: dict
    body: bytes

    @property
    def text(self):
        return self.body.decode()

    @property
    def code(self):
        """The error code of a query answer (XML) or a JSON one."""
        found = re.search(r"<Code>([^<]*)</Code>", self.text) or re.search(
            r'"__type"\s*:\s*"(?:[^"#]*#)?([^"]*)"', self.text
        )
        return found.group(1) if found else None

    @property
    def message(self):
        found = re.search(r"<Message>([^<]*)</Message>", self.text) or re.search(
            r'"[mM]essage"\s*:\s*"([^"]*)"', self.text
        )
        return found.group(1).replace("&apos;", "'").replace("&#39;", "'") if found else None

    def __str__(self):
        return f"{self.status} {self.text[:600]}"


def _signing_at(moment):
    """botocore signs for the time that this one function tells."""
    return mock.patch.object(
        botocore.auth, "get_current_datetime", lambda *_, **__: moment.replace(tzinfo=None)
    )


class Signer:
    def __init__(self, principal):
        self.principal = principal
        self.host = urlsplit(principal.url).netloc

    def send(self, method, target, body=b"", headers=None):
        connection = http.client.HTTPConnection(self.host, timeout=20)
        try:
            connection.request(method, target, body=body, headers=headers or {})
            answer = connection.getresponse()
            lowered = {name.lower(): value for name, value in answer.headers.items()}
            return Answer(answer.status, lowered, answer.read())
        finally:
            connection.close()

    def signed(
        self,
        service,
        body,
        *,
        method="POST",
        target="/",
        headers=None,
        region="us-east-1",
        ahead=timedelta(0),
        secret=None,
        access_key_id=None,
        token="own",
    ):
        """The headers of a request signed as told; `token=None` leaves the session token out."""
        token = self.principal.token if token == "own" else token
        credentials = Credentials(
            access_key_id or self.principal.access_key_id,
            secret or self.principal.secret,
            token,
        )
        request = AWSRequest(
            method=method,
            url=f"http://{self.host}{target}",
            data=body,
            headers={"Content-Type": FORM, **(headers or {})},
        )
        with _signing_at(datetime.now(timezone.utc) + ahead):
            botocore.auth.SigV4Auth(credentials, service, region).add_auth(request)
        return {**dict(request.headers.items()), "Host": self.host}

    def presigned(self, service, parameters, *, seconds=60, ahead=timedelta(0), region="us-east-1"):
        """The target of a presigned GET."""
        credentials = Credentials(
            self.principal.access_key_id, self.principal.secret, self.principal.token
        )
        query = urlencode({"Version": VERSIONS[service], **parameters})
        request = AWSRequest(method="GET", url=f"http://{self.host}/?{query}")
        with _signing_at(datetime.now(timezone.utc) + ahead):
            botocore.auth.SigV4QueryAuth(
                credentials, service, region, expires=seconds
            ).add_auth(request)
        parts = urlsplit(request.url)
        return f"{parts.path or '/'}?{parts.query}"

    @staticmethod
    def form(service, parameters):
        return urlencode({"Version": VERSIONS[service], **parameters}).encode()

    def query(self, service, parameters, **how):
        """One call of a query service."""
        body = self.form(service, parameters)
        return self.send("POST", "/", body, self.signed(service, body, **how))
