"""An external key store proxy, version 1, over keys in memory: signatures are checked by botocore.

https://github.com/aws/aws-kms-xksproxy-api-spec/blob/main/xks_proxy_api_spec.md
"""

import base64
import hashlib
import http.server
import json
import os
import re
import threading
import time

from botocore.auth import SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials
from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

ACCESS_KEY_ID = "ABCDEFGHIJKLMNOPQRSTUVWX2345"
SECRET, NEW_SECRET = (
    base64.b64encode(hashlib.sha256(text).digest()).decode() for text in (b"a secret", b"another")
)
PREFIX = "/tests/kms/xks/v1"
SECOND_PREFIX = "/second/kms/xks/v1"

STATUS = {
    "ValidationException": 400, "InvalidStateException": 400, "InvalidCiphertextException": 400,
    "InvalidKeyUsageException": 400, "AuthenticationFailedException": 401,
    "AccessDeniedException": 403, "KeyNotFoundException": 404, "InvalidUriPathException": 404,
    "ThrottlingException": 429, "UnsupportedOperationException": 501,
    "DependencyTimeoutException": 503, "InternalException": 500,
}


class Refused(Exception):
    pass


def decoded(request, name):
    return base64.b64decode(request.get(name, ""), validate=True)


def encoded(value):
    return base64.b64encode(value).decode()


class Proxy:
    def __init__(self, port=0):
        self.secret = SECRET
        self.keys = {"one": AESGCM.generate_key(256), "two": AESGCM.generate_key(256)}
        self.metadata = {}
        self.health = "ACTIVE"
        # The error that everything is answered with, and what is done to an answer.
        self.failing = None
        self.spoil = None
        self.delay = 0
        self.requests = []
        self.start(port)

    def start(self, port):
        proxy = self

        class Handler(http.server.BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_POST(self):
                body = self.rfile.read(int(self.headers["Content-Length"]))
                time.sleep(proxy.delay)
                try:
                    status, answer = 200, proxy.answer(self.path, self.headers, body)
                except Refused as refused:
                    name = str(refused)
                    status, answer = STATUS[name], {"errorName": name, "errorMessage": "said the proxy"}
                if proxy.spoil is not None:
                    answer = proxy.spoil(answer)
                content = answer if isinstance(answer, bytes) else json.dumps(answer).encode()
                self.send_response(status)
                self.send_header("Content-Type", "application/json")
                self.send_header("Content-Length", str(len(content)))
                self.end_headers()
                self.wfile.write(content)

            def log_message(self, *_):
                pass

        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", port), Handler)
        self.port = self.server.server_address[1]
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    @property
    def url(self):
        return f"http://127.0.0.1:{self.port}"

    def stop(self):
        self.server.shutdown()
        self.server.server_close()

    def start_again(self):
        self.start(self.port)

    def check_signature(self, path, headers, body):
        found = re.fullmatch(
            r"AWS4-HMAC-SHA256 Credential=(\w+)/(\d{8})/([a-z0-9-]+)/kms-xks-proxy/aws4_request, "
            r"SignedHeaders=([a-z0-9;-]+), Signature=([0-9a-f]{64})",
            headers.get("Authorization", ""),
        )
        if not found or found[1] != ACCESS_KEY_ID:
            raise Refused("AuthenticationFailedException")
        assert len(headers.get_all("Host")) == 1
        signed = {name: headers[name] for name in found[4].split(";")}
        assert {"host", "x-amz-date"} <= set(signed)
        request = AWSRequest("POST", f"http://{signed['host']}{path}", headers=signed, data=body)
        request.context["timestamp"] = signed["x-amz-date"]
        auth = SigV4Auth(Credentials(ACCESS_KEY_ID, self.secret), "kms-xks-proxy", found[3])
        text = auth.string_to_sign(request, auth.canonical_request(request))
        if auth.signature(text, request) != found[5]:
            raise Refused("AuthenticationFailedException")

    def answer(self, path, headers, body):
        self.check_signature(path, headers, body)
        assert headers["Content-Type"] == "application/json"
        request = json.loads(body)
        self.requests.append((path, request))
        if self.failing:
            raise Refused(self.failing)
        if path in (f"{PREFIX}/health", f"{SECOND_PREFIX}/health"):
            return {
                "xksProxyFleetSize": 1, "xksProxyVendor": "Tests", "xksProxyModel": "Tests 1",
                "ekmVendor": "Tests",
                "ekmFleetDetails": [{"id": "1", "model": "Tests", "healthStatus": self.health}],
            }
        found = re.fullmatch(rf"{PREFIX}/keys/([\w.-]+)/(metadata|encrypt|decrypt)", path)
        if not found:
            raise Refused("InvalidUriPathException")
        if found[1] not in self.keys:
            raise Refused("KeyNotFoundException")
        if found[2] == "metadata":
            return {
                "keySpec": "AES_256", "keyUsage": ["ENCRYPT", "DECRYPT"], "keyStatus": "ENABLED",
                **self.metadata,
            }
        assert request["encryptionAlgorithm"] == "AES_GCM"
        assert request["requestMetadata"]["kmsKeyArn"].startswith("arn:aws:kms:")
        cipher, aad = AESGCM(self.keys[found[1]]), decoded(request, "additionalAuthenticatedData")
        if found[2] == "encrypt":
            iv, metadata = os.urandom(12), b"version=1"
            bound = len(aad).to_bytes(2, "big") + aad + bytes([len(metadata)]) + metadata
            sealed = cipher.encrypt(iv, decoded(request, "plaintext"), bound)
            text, tag = sealed[:-16], sealed[-16:]
            return {
                "ciphertext": encoded(text), "ciphertextMetadata": encoded(metadata),
                "initializationVector": encoded(iv), "authenticationTag": encoded(tag),
                "ciphertextDataIntegrityValue": encoded(
                    hashlib.sha256(aad + metadata + iv + text + tag).digest()),
            }
        metadata = decoded(request, "ciphertextMetadata")
        bound = len(aad).to_bytes(2, "big") + aad + bytes([len(metadata)]) + metadata
        sealed = decoded(request, "ciphertext") + decoded(request, "authenticationTag")
        try:
            text = cipher.decrypt(decoded(request, "initializationVector"), sealed, bound)
        except InvalidTag:
            raise Refused("InvalidCiphertextException") from None
        return {"plaintext": encoded(text)}
