"""An endpoint on loopback that takes the messages of topics."""

import http.server
import json
import threading
import time


class Topic:
    """What was POSTed, in order. `status` is what it answers; `hook` sees a message before that."""

    def __init__(self):
        self.received = []
        self.status = 200
        self.hook = None
        topic = self

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_POST(self):
                body = self.rfile.read(int(self.headers["Content-Length"]))
                envelope = json.loads(body)
                assert self.headers["x-amz-sns-message-type"] == envelope["Type"] == "Notification"
                assert self.headers["x-amz-sns-message-id"] == envelope["MessageId"]
                assert self.headers["x-amz-sns-topic-arn"] == envelope["TopicArn"]
                message = json.loads(envelope["Message"])
                topic.received.append(message)
                if topic.hook:
                    topic.hook(message)
                self.send_response(topic.status)
                self.send_header("Content-Length", "0")
                self.end_headers()

            def log_message(self, *_):
                pass

        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    @property
    def url(self):
        return f"http://127.0.0.1:{self.server.server_address[1]}/hook?secret=s"

    def messages(self, request, kind):
        return [
            one for one in self.received if one["RequestId"] == request and one["Type"] == kind
        ]

    def states(self, request):
        return [one["State"] for one in self.messages(request, "StateChange")]

    def wait_for_states(self, request, states, limit_seconds=15):
        deadline = time.monotonic() + limit_seconds
        while self.states(request) != states:
            assert time.monotonic() < deadline, (self.states(request), states)
            time.sleep(0.05)

    def token(self, request):
        """The last exchange token of a request."""
        return self.messages(request, "ExchangeToken")[-1]["ExchangeToken"]

    def close(self):
        self.server.shutdown()
        self.server.server_close()
