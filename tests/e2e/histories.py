"""Many clients that write and read the same few users, whose calls are recorded and judged.

Permissions are given and taken away besides, while their users try them.
"""

import collections
import os
import random
import threading
import time

from linearizable import ABSENT, each_explained, linearizable, named, only_tells, register
from recorder import History, Line, Permission, User
from world import World

SECONDS = float(os.environ.get("RINGFENCE_HISTORY_SECONDS", "12"))
SEED = int(os.environ.get("RINGFENCE_HISTORY_SEED", str(random.randrange(1 << 32))))
CLIENTS = 9
USERS, PERMISSIONS, USERS_AT_ONE = 5, 2, 2
# How long clients work before they are disturbed, and again afterwards.
EARLIEST, LATEST = 0.1, 0.6
LIMIT_SECONDS = 60
# Before a server that gave no answer is asked again.
PAUSE_SECONDS = 0.02


class Client(threading.Thread):
    """Makes calls until it is told to stop; each to the next server, unless it stays at one."""

    def __init__(self, game, number, seed):
        super().__init__(daemon=True)
        self.game = game
        self.random = random.Random(seed)
        self.number = number
        self.lines = [Line(game.root_of(server)) for server in game.servers]
        self.serial = 0
        self.failure = None

    def run(self):
        try:
            while not self.game.stopping.is_set():
                self.step()
        except Exception as error:  # whatever it is, the test is to fail by it
            self.failure = error
        for line in self.lines:
            line.close()

    def step(self):
        line = self.lines[self.number % len(self.lines)] if self.game.stays else self.random.choice(self.lines)
        thing = self.random.choice(self.game.things_of(self.number))
        if isinstance(thing, Permission):
            what = "set" if self.random.random() < 0.1 else "read"
            value = self.random.random() < 0.5
        else:
            what = self.random.choice(["make", "set", "set", "remove", "read", "read", "read"])
            value = self.fresh()
        if not self.game.history.record(thing, line, what, value if what in ("make", "set") else None):
            time.sleep(PAUSE_SECONDS)

    def fresh(self):
        self.serial += 1
        return f"{self.number}-{self.serial}"


def kill_one(game):
    victim = game.source.choice(game.servers)
    victim.kill()
    victim.start()


class AtOneServer(User):
    """A user that only clients of one server write and read."""


class Game:
    """Rounds in which servers are disturbed under clients, each with users and permissions of its own."""

    def __init__(self, servers, stays=False, disturb=kill_one):
        """With `stays`, each client stays at one server, and writes some users that no other server is asked for."""
        self.servers, self.stays, self.disturb = servers, stays, disturb
        self.root = servers[0].root()
        self.world = World(self.root)
        self.source = random.Random(SEED)
        self.counts = collections.Counter()
        self.rounds = 0

    def root_of(self, server):
        return server.principal(self.root.access_key_id, self.root.secret)

    def go_on(self, judge):
        ends = time.monotonic() + SECONDS
        while time.monotonic() < ends or not self.rounds:
            self.rounds += 1
            for thing, calls in self.play().items():
                unexplained = judge(thing, calls)
                assert unexplained is None, (
                    f"seed {SEED}, round {self.rounds}: nothing explains {unexplained} of {thing.name}:\n"
                    + "\n".join(map(str, sorted(calls, key=lambda call: call.began)))
                )

    def play(self):
        """One round; the calls of each object."""
        self.stopping, self.history = threading.Event(), History()
        self.things = [User(f"r{self.rounds}-{number}") for number in range(USERS)]
        self.at = [[] for _ in self.servers]
        if self.stays:
            for number, some in enumerate(self.at):
                some += [AtOneServer(f"r{self.rounds}-at-{number}-{other}") for other in range(USERS_AT_ONE)]
        else:
            self.things += [Permission(user.name, user) for user in self.makers()]
        clients = [Client(self, number, self.source.getrandbits(64)) for number in range(CLIENTS)]
        for client in clients:
            client.start()
        try:
            time.sleep(self.source.uniform(EARLIEST, LATEST))
            self.disturb(self)
            self.goes_on()
            time.sleep(self.source.uniform(EARLIEST, LATEST))
        finally:
            self.stopping.set()
            for client in clients:
                client.join(60)
        assert not any(client.is_alive() for client in clients), "a client hangs"
        failures = [client.failure for client in clients if client.failure]
        assert not failures, f"seed {SEED}, round {self.rounds}: {failures}"
        for calls in self.history.calls.values():
            self.counts.update(call.what for call in calls)
            self.counts["unanswered"] += sum(call.ended is None for call in calls)
        return self.history.calls

    def goes_on(self):
        """Waits until clients change things again: servers that are strict wait first for one that is gone."""
        goal, deadline = self.history.changes + 2 * CLIENTS, time.monotonic() + LIMIT_SECONDS
        while self.history.changes < goal:
            assert time.monotonic() < deadline, f"seed {SEED}, round {self.rounds}: no writes any more"
            time.sleep(0.01)

    def things_of(self, client):
        return self.things + self.at[client % len(self.servers)]

    def makers(self):
        """Users that may nothing yet, known to every server."""
        users = [self.world.user(name=f"r{self.rounds}-may-{number}") for number in range(PERMISSIONS)]
        for user in users:
            self.world.iam.put_user_policy(
                UserName=user.name, PolicyName="may", PolicyDocument=Permission.document(False)
            )
        return users

    def tell(self, capsys, what):
        written = sum(self.counts[one] for one in ("make", "set", "remove"))
        with capsys.disabled():
            print(
                f"\n{what}: {self.rounds} rounds, {written} writes and {self.counts['read']} reads,"
                f" {self.counts['unanswered']} of them unanswered, all explained; seed {SEED}"
            )
        assert written > 30 * self.rounds, "too little was written: this proves nothing"


def first(thing):
    return (register, False) if isinstance(thing, Permission) else (named, ABSENT)


def whole(thing, calls):
    return linearizable(calls, *first(thing))


def each(thing, calls):
    return each_explained(calls, *first(thing))


def writes_and_own(thing, calls):
    if isinstance(thing, AtOneServer):
        return whole(thing, calls)
    return whole(thing, [call for call in calls if not only_tells(call)])
