"""A proxy that gives each HTTP/1.1 request to the next of several servers, as a balancer may.

Bytes pass as they come, both ways and unchanged; the proxy only reads along to learn where a request and its
answer end, and with the next request, on whatever connection, goes on to the next server. A client's
connection has a connection of its own to each server, so nothing of one client meets another's. Nothing
is retried: where a server cannot be reached or is gone, the client's connection breaks, as by a crash.

What has no end that can be told (HTTP/2, TLS, an upgrade, a malformed request, one with two lengths)
stays with the server that it began with, for as long as its connection lasts.

Servers that hear of each other's writes a while after these were answered are given that while: a request that may
follow a write is not sent to another server before it has passed since the write's answer.

    python round_robin.py PORT MILLISECONDS HOST:PORT…      prints, at its end, how many requests each server was given
"""

import asyncio
import json
import re
import signal
import subprocess
import sys
import time

# An end of a head that has not come by then is not waited for.
LONGEST_HEAD = 1 << 20
# How long an answer that came before its request was whole may be read; see RFC 9112, section 9.6.
LINGER_SECONDS = 2

REQUEST_LINE = re.compile(rb"([!#$%&'*+.^_`|~0-9A-Za-z-]+) [^ \r\n]+ HTTP/1\.([01])")
STATUS_LINE = re.compile(rb"HTTP/1\.([01]) ([1-9][0-9][0-9])(?: [^\r\n]*)?")
# Operations that change nothing that another server would have to hear of.
READS = re.compile(
    rb"(?:\bAction=|X-Amz-Target: *TrentService\.|^GET |^HEAD )"
    rb"(?:/|Get|List|Describe|Simulate|Encrypt|Decrypt|GenerateData|GenerateMac|GenerateRandom|Sign|Verify|ReEncrypt)",
    re.IGNORECASE,
)
# By then a request has said which operation it asks for.
TELLING = 4096
CHUNK_SIZE = re.compile(rb"([0-9A-Fa-f]{1,15})[ \t]*(?:;[^\r\n]*)?")


class Framing:
    """Reads along with one message and tells where it ends: RFC 9112, section 6."""

    def __init__(self, answers=None):
        """A request; or what `answers` one, whose framing is given."""
        self.answers = answers
        self.method = None
        # Whether the connection ends with the message; whether nobody can tell where it ends.
        self.close = False
        self.endless = False
        self.done = False
        self.started = False
        self._step = self._head
        self._line = b""
        self._left = 0

    def feed(self, data):
        """How many of these bytes are the message's."""
        used = 0
        while used < len(data) and not self.done:
            used += self._step(data, used)
        self.started = True
        return used

    def ended(self):
        """The connection ended: what lasts until then is whole."""
        if self._step == self._rest and self.answers and not self.endless:
            self.done = True

    def _until(self, end, data, start):
        """Gathers a part that `end` closes: the part when it is whole, and how many bytes were taken."""
        before = len(self._line)
        self._line += data[start:]
        found = self._line.find(end, max(0, before - len(end) + 1))
        if found < 0:
            if len(self._line) > LONGEST_HEAD:
                self._give_up()
            return None, len(data) - start
        whole = self._line[:found]
        self._line = b""
        return whole, found + len(end) - before

    def _give_up(self):
        self.endless = self.close = True
        self._step, self._line = self._rest, b""

    def _head(self, data, start):
        head, taken = self._until(b"\r\n\r\n", data, start)
        if head is None:
            # Some servers take a bare LF for the end of a line, so what follows cannot be told.
            if re.search(rb"(?<!\r)\n", self._line):
                self._give_up()
            return taken
        first, *lines = head.split(b"\r\n")
        fields = {}
        for line in lines:
            name, colon, value = line.partition(b":")
            if not colon or name != name.strip() or b"\n" in line:
                self._give_up()
                return taken
            fields.setdefault(name.lower(), []).append(value.strip(b" \t").lower())
        self._close_by(fields)
        if self.answers is None:
            self._begin_request(first, fields)
        else:
            self._begin_answer(first, fields)
        return taken

    def _close_by(self, fields):
        options = [
            option.strip() for value in fields.get(b"connection", []) for option in value.split(b",")
        ]
        self.close = b"close" in options
        self.kept = b"keep-alive" in options

    def _begin_request(self, first, fields):
        line = REQUEST_LINE.fullmatch(first)
        if not line or b"upgrade" in fields or line[1] == b"CONNECT":
            return self._give_up()
        self.method = line[1]
        self.close |= line[2] == b"0" and not self.kept
        self._begin_body(fields, otherwise=self._nothing)

    def _begin_answer(self, first, fields):
        line = STATUS_LINE.fullmatch(first)
        if not line or line[2] == b"101":
            return self._give_up()
        if line[2].startswith(b"1"):
            return  # the answer proper follows
        self.close |= line[1] == b"0" and not self.kept
        if self.answers.method == b"HEAD" or line[2] in (b"204", b"304"):
            return self._nothing()
        self._begin_body(fields, otherwise=self._until_the_end)

    def _nothing(self):
        self.done = True

    def _until_the_end(self):
        self.close = True
        self._step = self._rest

    def _begin_body(self, fields, otherwise):
        lengths, codings = fields.get(b"content-length", []), fields.get(b"transfer-encoding", [])
        if codings:
            if lengths or codings != [b"chunked"]:
                return self._give_up()
            self._step = self._chunk_size
        elif lengths:
            if len(lengths) > 1 or not re.fullmatch(rb"[0-9]{1,18}", lengths[0]):
                return self._give_up()
            self._left = int(lengths[0])
            self._step = self._counted
            self.done = self._left == 0
        else:
            otherwise()

    def _counted(self, data, start):
        taken = min(self._left, len(data) - start)
        self._left -= taken
        self.done = self._left == 0
        return taken

    def _chunk_size(self, data, start):
        line, taken = self._until(b"\r\n", data, start)
        if line is not None:
            size = CHUNK_SIZE.fullmatch(line)
            if not size:
                self._give_up()
            elif int(size[1], 16) == 0:
                self._step = self._trailer
            else:
                self._left = int(size[1], 16) + 2  # and its CRLF
                self._step = self._chunk
        return taken

    def _chunk(self, data, start):
        taken = min(self._left, len(data) - start)
        self._left -= taken
        if self._left == 0:
            self._step = self._chunk_size
        return taken

    def _trailer(self, data, start):
        line, taken = self._until(b"\r\n", data, start)
        self.done = line == b""
        return taken

    def _rest(self, data, start):
        return len(data) - start


class Upstream(asyncio.Protocol):
    """A client's connection to one server."""

    def __init__(self, client, number):
        self.client = client
        self.number = number
        self.transport = None
        self.waiting = b""
        self.ends = False
        self.lost = False

    async def connect(self, host, port):
        try:
            await asyncio.get_running_loop().create_connection(lambda: self, host, port)
        except OSError:
            self.connection_lost(None)

    def connection_made(self, transport):
        self.transport = transport
        if self.lost:
            transport.abort()
            return
        transport.write(self.waiting)
        self.waiting = b""
        if self.ends:
            transport.write_eof()

    def write(self, data):
        if self.transport is None:
            self.waiting += data
        else:
            self.transport.write(data)

    def write_eof(self):
        self.ends = True
        if self.transport is not None and not self.transport.is_closing():
            self.transport.write_eof()

    def drop(self):
        self.lost = True
        if self.transport is not None:
            self.transport.abort()

    def data_received(self, data):
        self.client.answered(self, data)

    def connection_lost(self, _):
        if not self.lost:
            self.lost = True
            self.client.upstream_lost(self)

    def pause_writing(self):
        self.client.transport.pause_reading()

    def resume_writing(self):
        self.client.transport.resume_reading()


class Client(asyncio.Protocol):
    """A client's connection: one request after another, each to the next server."""

    def __init__(self, proxy):
        self.proxy = proxy
        self.transport = None
        self.upstreams = {}
        self.current = self.last = None
        self.request = self.answer = None
        # What came before its turn, of a client that sends requests ahead.
        self.ahead = b""
        self.ending = False
        # The server that is waited for, and how the request under way begins.
        self.due = None
        self.told = b""

    def connection_made(self, transport):
        self.transport = transport

    def data_received(self, data):
        if self.ending:
            return
        self.ahead += data
        self.advance()

    def advance(self):
        if self.ahead and self.current is None and self.due is None:
            self.due = self.proxy.next()
            self.begin_when_settled()
        if self.current is None or not self.ahead:
            return
        if not self.request.done:
            used = self.request.feed(self.ahead)
            self.current.write(self.ahead[:used])
            self.told = (self.told + self.ahead[:used])[:TELLING]
            self.ahead = self.ahead[used:]
            if self.request.endless:
                self.answer.endless = True
            self.finish()
        if len(self.ahead) > LONGEST_HEAD:
            self.transport.pause_reading()

    def begin_when_settled(self):
        wait = self.proxy.unsettled_seconds(self.due)
        if self.ending:
            return
        if wait > 0:
            asyncio.get_running_loop().call_later(wait, self.begin_when_settled)
            return
        number, self.due = self.due, None
        self.begin(number)
        self.advance()

    def begin(self, number):
        upstream = self.upstreams.get(number)
        if upstream is None or upstream.lost or upstream.transport and upstream.transport.is_closing():
            upstream = self.upstreams[number] = Upstream(self, number)
            self.proxy.spawn(upstream.connect(*self.proxy.servers[number]))
        self.current = self.last = upstream
        self.request = Framing()
        self.answer = Framing(answers=self.request)

    def answered(self, upstream, data):
        if upstream is not self.current:
            # Unasked for, as a server does that tires of an idle connection: it is about to end.
            if upstream is self.last and self.current is None:
                self.transport.write(data)
            return
        self.transport.write(data)
        if not self.answer.endless and self.answer.feed(data) < len(data):
            self.answer.close = True
        self.finish()

    def finish(self):
        """Goes on to the next request once both the request and its answer are whole."""
        if self.answer.endless or not self.answer.done or self.ending:
            return
        if self.answer.close and not self.request.done:
            self.linger()
        elif self.request.done:
            if not READS.search(self.told):
                self.proxy.wrote(self.current.number)
            self.told = b""
            close = self.answer.close or self.request.close
            self.current = self.request = self.answer = None
            if close:
                self.end()
            elif self.ahead:
                self.transport.resume_reading()
                self.advance()

    def linger(self):
        """Lets the client read an answer that came before its request was whole."""
        self.ending = True
        if self.transport.can_write_eof():
            self.transport.write_eof()
        asyncio.get_running_loop().call_later(LINGER_SECONDS, self.transport.close)

    def end(self):
        self.ending = True
        self.transport.close()

    def upstream_lost(self, upstream):
        if upstream is self.current:
            self.answer.ended()
            if self.answer.done and self.answer.close and not self.request.done:
                self.linger()
            else:
                self.end()
        elif upstream is self.last and self.current is None and not self.ending:
            self.end()

    def eof_received(self):
        if self.current is None:
            return False
        self.current.write_eof()
        return True  # the answer may be still to come

    def connection_lost(self, _):
        self.ending = True
        for upstream in self.upstreams.values():
            upstream.drop()

    def pause_writing(self):
        if self.current and self.current.transport:
            self.current.transport.pause_reading()

    def resume_writing(self):
        for upstream in self.upstreams.values():
            if upstream.transport and not upstream.transport.is_closing():
                upstream.transport.resume_reading()


class Proxy:
    def __init__(self, servers, settled_after):
        """`settled_after` is in seconds."""
        self.servers = servers
        self.settled_after = settled_after
        # When the last write of each was answered.
        self.written = [-settled_after] * len(servers)
        self.counts = [0] * len(servers)
        self.turn = 0
        self.tasks = set()

    def next(self):
        number = self.turn % len(self.servers)
        self.turn += 1
        self.counts[number] += 1
        return number

    def wrote(self, number):
        self.written[number] = time.monotonic()

    def unsettled_seconds(self, number):
        """How long a server may still not have heard of what the others have answered."""
        others = (at for other, at in enumerate(self.written) if other != number)
        return max(others, default=0) + self.settled_after - time.monotonic()

    def spawn(self, work):
        task = asyncio.get_running_loop().create_task(work)
        self.tasks.add(task)
        task.add_done_callback(self.tasks.discard)

    async def run(self, port):
        loop = asyncio.get_running_loop()
        stopped = asyncio.Event()
        loop.add_signal_handler(signal.SIGTERM, stopped.set)
        server = await loop.create_server(lambda: Client(self), "127.0.0.1", port, backlog=512)
        print(server.sockets[0].getsockname()[1], flush=True)
        await stopped.wait()
        server.close()
        print(json.dumps(self.counts), flush=True)


class RoundRobin:
    """The proxy as a process of its own, so that it does not take turns with the tests."""

    def __init__(self, *servers, port=0, settled_after_ms=0):
        """Servers are `host:port`."""
        self.process = subprocess.Popen(
            [sys.executable, __file__, str(port), str(settled_after_ms), *servers],
            stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, text=True, start_new_session=True,
        )
        told = self.process.stdout.readline()
        assert told, f"the proxy ended with {self.process.wait()}"
        self.port = int(told)

    @property
    def url(self):
        return f"http://127.0.0.1:{self.port}"

    def stop(self):
        """How many requests each server was given."""
        self.process.terminate()
        told, _ = self.process.communicate(timeout=20)
        return json.loads(told)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        if self.process.poll() is None:
            self.stop()


def main(port, settled_after_ms, *servers):
    places = [(host, int(number)) for host, _, number in (one.rpartition(":") for one in servers)]
    asyncio.run(Proxy(places, int(settled_after_ms) / 1000).run(int(port)))


if __name__ == "__main__":
    main(*sys.argv[1:])
