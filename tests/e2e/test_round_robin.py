"""The proxy that spreads requests changes no byte, retries nothing, and tells requests apart rightly."""

import http.client
import socket
import socketserver
import threading
import time

import pytest

from clients import Principal
from ringfence_server import UNTHROTTLED, free_port
from round_robin import Framing, RoundRobin

LIMIT_SECONDS = 20


class Scripted(socketserver.ThreadingTCPServer):
    """Answers each request by `answer(request bytes)`, on connections that it keeps; remembers both."""

    daemon_threads = True

    def __init__(self, answer):
        self.answer = answer
        self.requests = []
        self.connections = 0
        super().__init__(("127.0.0.1", 0), None)
        threading.Thread(target=self.serve_forever, args=(0.02,), daemon=True).start()

    @property
    def place(self):
        return f"127.0.0.1:{self.server_address[1]}"

    def finish_request(self, request, client_address):
        self.connections += 1
        request.settimeout(LIMIT_SECONDS)
        pending = b""
        while True:
            framing, taken = Framing(), b""
            while not framing.done:
                if not pending:
                    pending = request.recv(65536)
                    if not pending:
                        self.requests += [taken] if taken else []
                        return
                used = framing.feed(pending)
                taken, pending = taken + pending[:used], pending[used:]
            self.requests.append(taken)
            answer = self.answer(taken)
            if answer is None:
                return
            request.sendall(answer)


@pytest.fixture
def scripted():
    made = []

    def make(answer):
        made.append(Scripted(answer))
        return made[-1]

    yield make
    for server in made:
        server.shutdown()
        server.server_close()


def connected(proxy):
    return socket.create_connection(("127.0.0.1", proxy.port), timeout=LIMIT_SECONDS)


def received(connection, length):
    taken = b""
    while len(taken) < length:
        more = connection.recv(length - len(taken))
        assert more, f"ended after {taken!r}"
        taken += more
    return taken


REQUESTS = [
    b"GET /a%2Fb//c?x=1&y HTTP/1.1\r\nhOsT: EXAMPLE.com:99\r\nX-One:  two \r\nX-One: three\r\n\r\n",
    b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 11\r\n\r\nGET / HTTP/",
    b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n"
    b"5;name=value\r\nhello\r\n1A\r\nabcdefghijklmnopqrstuvwxyz\r\n0\r\nX-Trailer: yes\r\n\r\n",
    b"PUT /big HTTP/1.1\r\nHost: a\r\nContent-Length: 300000\r\n\r\n" + bytes(range(256)) * 1171 + b"x" * 224,
    b"DELETE / HTTP/1.1\r\nHost: a\r\nContent-Length: 0\r\n\r\n",
]
ANSWERS = {
    b"GET": b"HTTP/1.1 200 OK\r\nx-amzn-RequestId: 1\r\nSet-Cookie: a\r\nSet-Cookie: b\r\ncontent-length: 2\r\n\r\nok",
    b"POST": b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n10\r\n0123456789abcdef\r\n0\r\n\r\n",
    b"PUT": b"HTTP/1.1 304 Not Modified\r\nContent-Length: 77\r\n\r\n",
    b"DELETE": b"HTTP/1.1 204 No Content\r\n\r\n",
    b"HEAD": b"HTTP/1.1 200 OK\r\nContent-Length: 12345\r\n\r\n",
}


def by_method(request):
    return ANSWERS[request.partition(b" ")[0]]


@pytest.mark.parametrize("piece", [1 << 20, 7, 1])
def test_requests_and_answers_pass_byte_for_byte_each_to_the_next_server(scripted, piece):
    servers = [scripted(by_method) for _ in range(3)]
    requests = REQUESTS + [b"HEAD / HTTP/1.1\r\nHost: a\r\n\r\n"] + REQUESTS[:3]
    if piece == 1:
        requests = [request for request in requests if len(request) < 1000]
    with RoundRobin(*(server.place for server in servers)) as proxy:
        with connected(proxy) as connection:
            connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            for request in requests:
                for start in range(0, min(len(request), 700), piece):
                    connection.sendall(request[start : min(start + piece, 700)])
                connection.sendall(request[700:])
                expected = by_method(request)
                assert received(connection, len(expected)) == expected
        for number, server in enumerate(servers):
            assert server.requests == requests[number::3]
            assert server.connections == 1
        assert sum(proxy.stop()) == len(requests)


def test_requests_sent_ahead_are_answered_in_order(scripted):
    def echo(request):
        return b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\n" + request[4:8]

    # The first is slower, so that an answer of the second could overtake.
    slow = scripted(lambda request: (time.sleep(0.1), echo(request))[1])
    fast = scripted(echo)
    with RoundRobin(slow.place, fast.place) as proxy, connected(proxy) as connection:
        connection.sendall(b"".join(b"GET %04d HTTP/1.1\r\nHost: a\r\n\r\n" % n for n in range(6)))
        for number in range(6):
            answer = received(connection, len(echo(b"")) + 4)
            assert answer.endswith(b"%04d" % number)


READ = b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 14\r\n\r\nAction=GetUser"
WRITE = b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 17\r\n\r\nAction=DeleteUser"
KMS = b"POST / HTTP/1.1\r\nX-Amz-Target: TrentService.%s\r\nContent-Length: 2\r\n\r\n{}"


@pytest.mark.parametrize("read", [READ, REQUESTS[0], KMS % b"Encrypt", KMS % b"ListKeys"])
def test_what_follows_a_read_goes_to_the_next_server_at_once(scripted, read):
    servers = [scripted(by_method) for _ in range(2)]
    # Were it waited for, the answer would not come within the limit.
    with RoundRobin(*(server.place for server in servers), settled_after_ms=60_000) as proxy:
        with connected(proxy) as connection:
            for request in (read, READ):
                connection.sendall(request)
                received(connection, len(by_method(request)))
    assert [server.requests for server in servers] == [[read], [READ]]


@pytest.mark.parametrize("write", [WRITE, REQUESTS[4], KMS % b"CreateKey"])
def test_another_server_is_asked_after_a_write_when_it_has_had_time_to_hear_of_it(scripted, write):
    servers = [scripted(by_method) for _ in range(2)]
    with RoundRobin(*(server.place for server in servers), settled_after_ms=300) as proxy:
        # On whatever connection: the next client is told of the write by the first, perhaps.
        with connected(proxy) as first, connected(proxy) as second:
            first.sendall(write)
            received(first, len(by_method(write)))
            written = time.monotonic()
            second.sendall(READ)
            received(second, len(by_method(READ)))
            # The proxy has counted from a moment before.
            assert time.monotonic() - written > 0.25
    assert [server.requests for server in servers] == [[write], [READ]]


def test_a_body_is_not_sent_before_the_server_says_continue(scripted):
    begun = threading.Event()

    class Cautious(Scripted):
        def finish_request(self, request, client_address):
            head = b""
            while not head.endswith(b"\r\n\r\n"):
                head += request.recv(100)
            begun.set()
            request.sendall(b"HTTP/1.1 100 Continue\r\n\r\n")
            self.requests.append(head + received(request, 5))
            request.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")

    server = Cautious(None)
    head = b"PUT / HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\nContent-Length: 5\r\n\r\n"
    with RoundRobin(server.place) as proxy, connected(proxy) as connection:
        connection.sendall(head)
        assert received(connection, 25) == b"HTTP/1.1 100 Continue\r\n\r\n"
        assert begun.is_set()
        connection.sendall(b"hello")
        assert received(connection, 38) == b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n"
    assert server.requests == [head + b"hello"]
    server.shutdown()
    server.server_close()


@pytest.mark.parametrize(
    "sent, answer",
    [
        (b"GET / HTTP/1.1\r\nConnection: close\r\n\r\n", ANSWERS[b"GET"]),
        (b"GET / HTTP/1.0\r\n\r\n", ANSWERS[b"GET"]),
        (b"GET / HTTP/1.1\r\n\r\n", b"HTTP/1.1 400 Bad\r\nConnection: close\r\nContent-Length: 2\r\n\r\nno"),
    ],
)
def test_a_connection_ends_with_the_answer_that_ends_it(scripted, sent, answer):
    with RoundRobin(scripted(lambda _: answer).place) as proxy, connected(proxy) as connection:
        connection.sendall(sent)
        assert received(connection, len(answer)) == answer
        assert connection.recv(1) == b""


def test_an_answer_without_a_length_ends_with_its_connection():
    class Endless(Scripted):
        def finish_request(self, request, client_address):
            request.recv(1000)
            request.sendall(b"HTTP/1.1 200 OK\r\n\r\n" + b"z" * 100_000)

    server = Endless(None)
    with RoundRobin(server.place) as proxy, connected(proxy) as connection:
        connection.sendall(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n")
        assert received(connection, 100_019).endswith(b"z" * 100_000)
        assert connection.recv(1) == b""
    server.shutdown()
    server.server_close()


@pytest.mark.parametrize(
    "malformed",
    [
        b"GET / HTTP/1.1\nHost: a\n\n",
        b"POST / HTTP/1.1\r\nContent-Length: 3\r\nContent-Length: 4\r\n\r\nabc",
        b"POST / HTTP/1.1\r\nContent-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        b"POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n",
        b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
        b"\x16\x03\x01\x00\x05hello",
    ],
)
def test_what_has_no_end_that_can_be_told_stays_with_one_server(malformed):
    class Tunnel(Scripted):
        def finish_request(self, request, client_address):
            while taken := request.recv(1000):
                self.requests.append(taken)
                request.sendall(b"%" + taken)

    servers = [Tunnel(None), Tunnel(None)]
    after = b"GET /after HTTP/1.1\r\nHost: a\r\n\r\n"
    with RoundRobin(*(server.place for server in servers)) as proxy, connected(proxy) as connection:
        connection.sendall(malformed)
        assert received(connection, len(malformed) + 1) == b"%" + malformed
        connection.sendall(after)
        assert received(connection, len(after) + 1) == b"%" + after
    assert b"".join(servers[0].requests) == malformed + after and not servers[1].requests
    for server in servers:
        server.shutdown()
        server.server_close()


def test_a_server_that_is_gone_breaks_the_connection_and_nothing_is_sent_twice(scripted):
    silent, other = scripted(lambda _: None), scripted(by_method)
    nobody = f"127.0.0.1:{free_port()}"
    with RoundRobin(silent.place, nobody, other.place) as proxy:
        for _ in range(2):
            with connected(proxy) as connection:
                connection.sendall(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n")
                assert connection.recv(1) == b""
        assert (len(silent.requests), len(other.requests)) == (1, 0)
        # The next is on its own.
        with connected(proxy) as connection:
            connection.sendall(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n")
            assert received(connection, len(ANSWERS[b"GET"])) == ANSWERS[b"GET"]


def test_an_answer_before_its_request_is_whole_is_read(scripted):
    refusal = b"HTTP/1.1 413 Too Large\r\nConnection: close\r\nContent-Length: 0\r\n\r\n"

    class Refusing(Scripted):
        def finish_request(self, request, client_address):
            request.recv(10)
            request.sendall(refusal)
            request.shutdown(socket.SHUT_WR)
            while request.recv(65536):
                pass

    server = Refusing(None)
    with RoundRobin(server.place) as proxy, connected(proxy) as connection:
        connection.sendall(b"PUT / HTTP/1.1\r\nHost: a\r\nContent-Length: 1000000\r\n\r\n" + b"x" * 1000)
        assert received(connection, len(refusal)) == refusal
        assert connection.recv(1) == b""
    server.shutdown()
    server.server_close()


def test_boto3_and_plain_http_work_through_it(start_server):
    """Two servers that know nothing of each other: what one made, only every other call sees."""
    servers = [start_server(*UNTHROTTLED, dev=True) for _ in range(2)]
    with RoundRobin(*(f"127.0.0.1:{server.port}" for server in servers)) as proxy:
        iam = Principal(proxy.url, "000000000000", "any").client("iam")
        iam.create_user(UserName="ann")
        seen = [len(iam.list_users()["Users"]) for _ in range(6)]
        assert seen == [0, 1, 0, 1, 0, 1]
        plain = http.client.HTTPConnection("127.0.0.1", proxy.port, timeout=LIMIT_SECONDS)
        for _ in range(4):
            plain.request("GET", "/_ringfence/health")
            answer = plain.getresponse()
            assert answer.status == 200 and answer.read()
        plain.close()
        counts = proxy.stop()
    assert counts == [6, 5] or counts == [5, 6], counts
