"""Clients of Ringfence that know what was acknowledged, and what may be.

Each caller has users of its own, with one tag, and a KMS key of its own, whose description it sets; every value
is written once only. A write that is answered is known. Of one that is not, or is answered by 5xx, nobody
knows whether it was made, or will be: what it was about is left alone from then on, and may be as before it or as
after it, for ever.
"""

import collections
import random
import threading
import time

from botocore.exceptions import BotoCoreError, ClientError, ConnectTimeoutError, EndpointConnectionError

# Users that a caller has at once.
LIVING = 12
# Before a server that has failed is asked again.
PAUSE_SECONDS = 0.25
# How long what one server has acknowledged may stay unheard of at another, where servers are not strict; and how long
# one that is strict may take until it decides.
HEARD_WITHIN_SECONDS = 10
# Shorter times without a write are not looked at.
SHORTEST_GAP = 0.2

ABSENT = None
TAG = "value"


class Wrong(Exception):
    """An answer that cannot be."""


class Unknown(Exception):
    """A call of which nobody knows what it did."""


class NotSent(Exception):
    """A call that reached nobody."""


def call(method, absent=None, **parameters):
    """An answer, or `ABSENT` where the server says by the code `absent` that there is no such thing."""
    try:
        return method(**parameters)
    except ClientError as error:
        told = error.response["Error"]
        if absent and told["Code"] == absent:
            return ABSENT
        if error.response["ResponseMetadata"]["HTTPStatusCode"] >= 500:
            raise Unknown(told["Code"]) from None
        raise Wrong(f"{method.__name__} {parameters}: {error}") from None
    except (EndpointConnectionError, ConnectTimeoutError) as error:
        raise NotSent(str(error)) from None
    except BotoCoreError as error:
        raise Unknown(str(error)) from None


class Place:
    """One server, with clients for one thread."""

    def __init__(self, principal):
        self.iam, self.kms = principal.client("iam"), principal.client("kms")


class User:
    """A user of IAM; its value is a tag's."""

    def __init__(self, name):
        self.name = name

    def create(self, place, value):
        call(place.iam.create_user, UserName=self.name, Tags=[{"Key": TAG, "Value": value}])

    def set(self, place, value):
        call(place.iam.tag_user, UserName=self.name, Tags=[{"Key": TAG, "Value": value}])

    def delete(self, place):
        call(place.iam.delete_user, UserName=self.name)

    def read(self, place):
        answer = call(place.iam.list_user_tags, absent="NoSuchEntity", UserName=self.name)
        return ABSENT if answer is ABSENT else value_of(answer["Tags"])


def value_of(tags):
    return next((tag["Value"] for tag in tags if tag["Key"] == TAG), "")


class Key:
    """A key of KMS; its value is its description. It is not deleted."""

    name = None

    def create(self, place, value):
        self.name = call(place.kms.create_key, Description=value)["KeyMetadata"]["KeyId"]

    def set(self, place, value):
        call(place.kms.update_key_description, KeyId=self.name, Description=value)

    def read(self, place):
        answer = call(place.kms.describe_key, absent="NotFoundException", KeyId=self.name)
        return ABSENT if answer is ABSENT else answer["KeyMetadata"]["Description"]


class Caller(threading.Thread):
    """Writes and reads until it is told to stop."""

    def __init__(self, load, number, seed):
        super().__init__(daemon=True)
        self.load = load
        self.number = number
        self.random = random.Random(seed)
        self.places = [Place(load.servers.root(server)) for server in load.servers.all]
        # By server, since a server that is not strict need not know yet what another was told; where all
        # know everything, in one place. Thing -> its value.
        self.living = [{} for _ in self.places]
        self.keys = [None] * len(self.places)
        self.serial = 0
        # The server that is asked now.
        self.asked = 0
        # Servers that did not answer when they were last asked.
        self.silent = set()
        self.idle = threading.Event()
        self.failure = None
        self.counts = collections.Counter()

    def run(self):
        try:
            while self.load.may_go_on(self):
                self.step()
        except Exception as error:  # whatever it is, the test is to fail by it
            self.failure = error
        self.idle.set()

    def step(self):
        self.asked = self.random.randrange(len(self.places))
        place = self.places[self.asked]
        try:
            if self.asked in self.silent:
                # Not by a write, of which nobody would know what became.
                call(place.iam.list_users, MaxItems=1)
                self.silent.discard(self.asked)
            self.work(0 if self.load.strict else self.asked, place)
        except (Unknown, NotSent):
            self.silent.add(self.asked)
            self.load.stopping.wait(PAUSE_SECONDS)

    def work(self, home, place):
        choice, living = self.random.random(), self.living[home]
        if choice < 0.15:
            return self.write_key(home, place)
        if not living or (choice < 0.4 and len(living) < LIVING):
            user = User(f"c{self.number}-{self.serial}")
            return self.write(living, user, ABSENT, self.fresh(), lambda value: user.create(place, value))
        user = self.random.choice(list(living))
        value = living[user]
        if choice < 0.65:
            self.write(living, user, value, self.fresh(), lambda new: user.set(place, new))
        elif choice < 0.8:
            self.write(living, user, value, ABSENT, lambda _: user.delete(place))
        else:
            self.read(user, place, value)

    def fresh(self):
        self.serial += 1
        return f"{self.number}-{self.serial}"

    def write(self, living, thing, before, after, way):
        living.pop(thing, None)
        try:
            way(after)
        except Unknown:
            self.load.unsure(thing, before, after)
            self.counts["unsure"] += 1
            raise
        except NotSent:
            if before is not ABSENT:
                living[thing] = before
            raise
        if after is not ABSENT:
            living[thing] = after
        self.counts["deleted" if after is ABSENT else "written"] += 1
        self.load.acknowledge(self.asked)

    def write_key(self, home, place):
        key = self.keys[home]
        if key is None:
            key = Key()
            # What was made and not told of is nobody's.
            value = self.fresh()
            key.create(place, value)
            self.keys[home] = (key, value)
            self.load.acknowledge(self.asked)
            return
        key, value = key
        if self.random.random() < 0.4:
            return self.read(key, place, value)
        living = {}
        self.keys[home] = None
        try:
            self.write(living, key, value, self.fresh(), lambda new: key.set(place, new))
        finally:
            if living:
                self.keys[home] = next(iter(living.items()))

    def read(self, thing, place, value):
        """Nobody else writes it, so it is as it was written."""
        found = thing.read(place)
        self.counts["read"] += 1
        if found != value:
            raise Wrong(f"{thing.name} was acknowledged to be {value}, and is read as {found}")


class Load:
    """Callers of several servers, and what they know."""

    def __init__(self, servers, *, strict, callers=6, seed=None):
        self.servers, self.strict = servers, strict
        self.seed = random.randrange(1 << 32) if seed is None else seed
        self.lock = threading.Lock()
        self.stopping, self.going = threading.Event(), threading.Event()
        self.going.set()
        self.acknowledged = 0
        self.acknowledged_by = collections.Counter()
        self.last = time.monotonic()
        # (when it ended, how long it was)
        self.gaps = []
        # Thing -> what it may be.
        self.doubtful = {}
        source = random.Random(self.seed)
        self.callers = [Caller(self, number, source.getrandbits(64)) for number in range(callers)]
        for caller in self.callers:
            caller.start()

    def may_go_on(self, caller):
        """Whether a caller is to go on; waits while all are to stand still."""
        if not self.going.is_set():
            caller.idle.set()
            while not self.going.wait(0.1) and not self.stopping.is_set():
                pass
            caller.idle.clear()
        return not self.stopping.is_set()

    def acknowledge(self, server):
        now = time.monotonic()
        with self.lock:
            self.acknowledged += 1
            self.acknowledged_by[server] += 1
            if now - self.last > SHORTEST_GAP:
                self.gaps.append((now, now - self.last))
            self.last = now

    def unsure(self, thing, before, after):
        with self.lock:
            self.doubtful[thing] = {before, after}

    def count(self, what):
        return sum(caller.counts[what] for caller in self.callers)

    def longest_gap(self, since=0.0):
        with self.lock:
            return max((length for ended, length in self.gaps if ended >= since), default=0.0)

    def failures(self):
        return [caller.failure for caller in self.callers if caller.failure]

    def flows(self, everywhere=False, limit=150):
        """Waits until a write has been acknowledged that was not asked for before now; or one by every server."""
        goal = self.acknowledged + len(self.callers) + 1
        goals = {
            number: self.acknowledged_by[number] + len(self.callers) + 1
            for number in range(len(self.servers.all) if everywhere else 0)
        }
        deadline = time.monotonic() + limit
        while self.acknowledged < goal or any(self.acknowledged_by[one] < goals[one] for one in goals):
            self.assert_well()
            assert time.monotonic() < deadline, (
                f"no write in {limit} s, {goal}, {goals}: {self.acknowledged_by}\n"
                f"{self.servers.logs()}\n{self.servers.cluster.logs()}"
            )
            time.sleep(0.01)

    def assert_well(self):
        failures = self.failures()
        assert not failures, f"seed {self.seed}: {failures}\n{self.servers.logs()}"

    def pause(self):
        self.going.clear()
        for caller in self.callers:
            assert caller.idle.wait(90), f"a caller hangs\n{self.servers.logs()}"
        self.assert_well()

    def resume(self):
        with self.lock:
            self.last = time.monotonic()
        for caller in self.callers:
            caller.idle.clear()
        self.going.set()

    def verify(self):
        """Compares what every server says with what is known, while all callers stand still; how many things."""
        known = {}
        for caller in self.callers:
            for living in caller.living:
                known |= {user.name: {value} for user, value in living.items()}
            known |= {key.name: {value} for key, value in filter(None, caller.keys)}
        known |= {thing.name: values for thing, values in self.doubtful.items()}
        for number, server in enumerate(self.servers.all):
            deadline = time.monotonic() + HEARD_WITHIN_SECONDS
            while True:
                try:
                    wrong = self.differences(server, known)
                    waits = not self.strict
                except Unknown as error:
                    # One that is strict may decide nothing yet.
                    wrong, waits = [error], self.strict
                if not wrong:
                    break
                assert waits and time.monotonic() < deadline, (
                    f"seed {self.seed}: server {number} differs in {len(wrong)}: {wrong[:9]}"
                )
                time.sleep(0.1)
        return len(known)

    def differences(self, server, known):
        place = Place(self.servers.root(server))
        found, more = {}, {}
        while more is not None:
            page = call(place.iam.get_account_authorization_details, Filter=["User"], **more)
            found |= {user["UserName"]: value_of(user.get("Tags", [])) for user in page["UserDetailList"]}
            more = {"Marker": page["Marker"]} if page["IsTruncated"] else None
        keys = [key for caller in self.callers for key, _ in filter(None, caller.keys)]
        keys += [thing for thing in self.doubtful if isinstance(thing, Key)]
        found |= {key.name: key.read(place) for key in keys}
        wrong = [
            f"{name} is {found.get(name)}, not {' or '.join(map(str, values))}"
            for name, values in known.items() if found.get(name) not in values
        ]
        return wrong + [f"{name} is there, {value}" for name, value in found.items() if name not in known]

    def stop(self):
        self.stopping.set()
        for caller in self.callers:
            caller.join(90)
            assert not caller.is_alive(), "a caller hangs"

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.stopping.set()
        self.going.set()
