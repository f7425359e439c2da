"""Whether a history of calls is linearizable: as if each had happened at one moment between its beginning and end.

The history is gone through in the order of time. A configuration is a state that the object may be in, and which of
the calls under way have happened already; there is a set of them. When a call is answered it must have
happened: of each configuration those remain that can be reached by letting calls under way happen, one after
another, and in which this one has, with the answer that it gave. If none remains, no order explains the answers. A
call that was never answered may have happened at any time since it began, or never.

This is exact. What it costs grows with 2 to the number of calls under way at once, and of calls never answered,
so objects are small and many: a history is linearizable if that of each object is.

M. Herlihy and J. Wing, "Linearizability: A Correctness Condition for Concurrent Objects", 1990; the order of search
is that of G. Lowe, "Testing for linearizability", 2017.
"""

from dataclasses import dataclass
from typing import Any

# The state of what is not there, and the answer that says so.
ABSENT = None


@dataclass(frozen=True)
class Call:
    """`ended` is None where there was no answer, or one that tells nothing; then `answer` means nothing."""

    began: int
    ended: int | None
    what: str
    value: Any = None
    answer: Any = None


OK, EXISTS, MISSING = "ok", "exists", "missing"


def named(state, call):
    """A thing with a name and one value: the state after a call, or raises Impossible.

    It is made with a value, given another, removed, and read; who asks for what is not there, or makes what
    is, is told so.
    """
    there, unknown = state is not ABSENT, call.ended is None
    if call.what == "read":
        return must(state, state == call.answer)
    if call.what == "make":
        if unknown or call.answer == OK:
            return must(call.value, not there)
        return must(state, there and call.answer == EXISTS)
    after = call.value if call.what == "set" else ABSENT
    if unknown or call.answer == OK:
        return must(after, there)
    return must(state, not there and call.answer == MISSING)


def register(state, call):
    """Something that is set and read."""
    if call.what == "read":
        return must(state, state == call.answer)
    return call.value


class Impossible(Exception):
    """No such answer in such a state."""


def must(state, holds):
    if not holds:
        raise Impossible
    return state


def linearizable(calls, model, first=ABSENT):
    """None where it is; else the call whose answer no order explains."""
    # A read without an answer says nothing.
    calls = [call for call in calls if call.ended is not None or call.what != "read"]
    # At one moment calls begin before others end: so they are taken as under way together.
    events = sorted(
        [(call.began, 0, number) for number, call in enumerate(calls)]
        + [(call.ended, 1, number) for number, call in enumerate(calls) if call.ended is not None]
    )
    configurations, under_way = {(first, frozenset())}, set()
    for _, ends, number in events:
        if not ends:
            under_way.add(number)
            continue
        configurations = {
            (state, happened - {number})
            for state, happened in reached(configurations, under_way, calls, model)
            if number in happened
        }
        under_way.discard(number)
        if not configurations:
            return calls[number]
    return None


def reached(configurations, under_way, calls, model):
    """Every configuration that calls under way lead to."""
    seen, new = set(configurations), list(configurations)
    while new:
        state, happened = new.pop()
        for number in under_way - happened:
            try:
                one = (model(state, calls[number]), happened | {number})
            except Impossible:
                continue
            if one not in seen:
                seen.add(one)
                new.append(one)
    return seen
