"""Whether a history of calls is linearizable: as if each had happened at one moment between its beginning and end.

The history is gone through in the order of time. A configuration is a state that the object may be in, and which of
the calls under way have happened already; there is a set of them. When a call is answered it must have
happened: a configuration in which it has not is replaced by all those in which other calls under way happen
first, one after another, and then it, with the answer that it gave. If none remains, no order explains the
answers. A call that was never answered may have happened at any time since it began, or never.

This is exact. A call that changes nothing happens as soon as it can, which takes nothing from any other. What it
costs grows with 2 to the number of changes under way at once, and of those never answered, so objects are small
and many: a history is linearizable if that of each object is.

M. Herlihy and J. Wing, "Linearizability: A Correctness Condition for Concurrent Objects", 1990; the order of search
is that of G. Lowe, "Testing for linearizability", 2017.
"""

import bisect
import heapq
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
    calls = [call for call in calls if matters(call, calls)]
    configurations, under_way = {(first, frozenset())}, set()
    for event in events(calls):
        configurations = after(event, configurations, under_way, calls, model)
        if not configurations:
            return calls[event[2]]
    return None


def matters(call, calls):
    """Not a read without an answer, nor another value that was never told of, and that nobody has read."""
    if call.ended is not None or call.what not in ("read", "set"):
        return True
    return call.what == "set" and any(
        other.what == "read" and other.ended is not None and other.answer == call.value for other in calls
    )


def each_explained(calls, model, first=ABSENT):
    """None where the writes are linearizable, and with them each answer that is no write, taken by itself.

    So a call that runs beside a write may see it or not, whatever others have seen; one that begins after a write
    was acknowledged sees it. Else, the call that is not explained.
    """
    writes = [call for call in calls if not only_tells(call) and matters(call, calls)]
    reads = [call for call in calls if only_tells(call) and call.ended is not None]
    order, under_way = events(writes), set()
    # What there is before each event, and at the end.
    course = [({(first, frozenset())}, frozenset())]
    for event in order:
        configurations = after(event, course[-1][0], under_way, writes, model)
        if not configurations:
            return writes[event[2]]
        course.append((configurations, frozenset(under_way)))
    for read in reads:
        with_it = [*writes, read]
        begins, ends = ((read.began, 0, len(writes)), (read.ended, 1, len(writes)))
        at = bisect.bisect(order, begins)
        configurations, under_way = course[at][0], set(course[at][1])
        configurations = after(begins, configurations, under_way, with_it, model)
        answered = False
        for event in heapq.merge(order[at:], [ends]):
            configurations = after(event, configurations, under_way, with_it, model)
            if not configurations:
                return read
            answered = answered or event is ends
            at += event is not ends
            if answered and configurations >= course[at][0]:
                break  # it goes on as without the read
    return None


def only_tells(call):
    """Whether it changes nothing."""
    return call.what == "read" or (call.ended is not None and call.answer in (EXISTS, MISSING))


def events(calls):
    """(when, whether it ends, which call). At one moment calls begin before others end, so they run beside them."""
    return sorted(
        [(call.began, 0, number) for number, call in enumerate(calls)]
        + [(call.ended, 1, number) for number, call in enumerate(calls) if call.ended is not None]
    )


def after(event, configurations, under_way, calls, model):
    """The configurations after an event."""
    _, ends, number = event
    if not ends:
        under_way.add(number)
        if not only_tells(calls[number]):
            return configurations
        return {told(one, {number}, calls, model) for one in configurations}
    there = reached(number, configurations, under_way, calls, model)
    there = {(state, happened - {number}) for state, happened in there}
    under_way.discard(number)
    return there


def told(configuration, numbers, calls, model):
    """A configuration, with those of the calls that it answers and that change nothing."""
    state, happened = configuration
    answered = {
        number for number in numbers - happened
        if only_tells(calls[number]) and holds(state, calls[number], model)
    }
    return state, happened | answered


def holds(state, call, model):
    try:
        model(state, call)
    except Impossible:
        return False
    return True


def reached(goal, configurations, under_way, calls, model):
    """The configurations that changes under way lead to, just when a call has happened."""
    changes = [number for number in under_way if not only_tells(calls[number])]
    found, seen, new = set(), set(configurations), list(configurations)
    while new:
        one = new.pop()
        state, happened = one
        if goal in happened:
            found.add(one)
            continue
        for number in changes:
            if number in happened:
                continue
            try:
                changed = (model(state, calls[number]), happened | {number})
            except Impossible:
                continue
            changed = told(changed, under_way, calls, model)
            if changed not in seen:
                seen.add(changed)
                new.append(changed)
    return found
