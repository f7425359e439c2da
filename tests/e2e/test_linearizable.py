"""The judge of histories accepts what some order explains, and nothing else."""

import itertools
import random

import pytest

from linearizable import (
    ABSENT, EXISTS, MISSING, OK, Call, Impossible, each_explained, linearizable, named, only_tells, register,
)


def history(text):
    """Calls from lines `began-ended what value answer`; no number after the dash where it was never answered."""
    calls = []
    for line in text.strip().splitlines():
        times, what, *rest = line.split()
        began, ended = times.split("-")
        value, answer = (None, *rest) if what in ("read", "remove") else rest
        calls.append(Call(
            int(began), int(ended) if ended else None, what, value, ABSENT if answer == "none" else answer,
        ))
    return calls


GOOD = {
    "one after another": """
        1-2 make a ok
        3-4 read a
        5-6 set b ok
        7-8 read b
        9-10 remove ok
        11-12 read none
    """,
    "a read beside a write sees it or not": """
        1-2 make a ok
        3-9 set b ok
        4-5 read a
        6-7 read b
    """,
    "a write that was never answered may have happened late": """
        1-2 make a ok
        3- set b ok
        4-5 read a
        6-7 read a
        8-9 read b
    """,
    "or never": """
        1-2 make a ok
        3- remove ok
        4-5 read a
        6-7 make b exists
    """,
    "of two who make the same one is told that it is there": """
        1-5 make a ok
        2-4 make b exists
        6-7 read a
    """,
    "removed and made anew meanwhile": """
        1-2 make a ok
        3-9 remove ok
        4-8 make b ok
        10-11 read b
    """,
}

BAD = {
    "a stale read": """
        1-2 make a ok
        3-4 set b ok
        5-6 read a
    """,
    "a read that goes back": """
        1-2 make a ok
        3-20 set b ok
        4-5 read b
        6-7 read a
    """,
    "a lost write": """
        1-2 make a ok
        3-4 set b ok
        5-6 set c ok
        7-8 read b
    """,
    "a removal that is undone": """
        1-2 make a ok
        3-4 remove ok
        5-6 read a
    """,
    "a removal that is undone, as a maker sees it": """
        1-2 make a ok
        3-4 remove ok
        5-6 make b exists
    """,
    "a write that was never answered, seen and lost": """
        1-2 make a ok
        3- set b ok
        4-5 read b
        6-7 read a
    """,
    "a name given twice": """
        1-5 make a ok
        2-6 make b ok
    """,
    "a value from nowhere": """
        1-2 make a ok
        3-4 read z
    """,
    "before it began": """
        1-2 make a ok
        3-4 read b
        5-6 set b ok
    """,
    "missing where it is there": """
        1-2 make a ok
        3-4 set b missing
    """,
}


@pytest.mark.parametrize("text", GOOD.values(), ids=GOOD)
def test_what_an_order_explains_is_accepted(text):
    assert linearizable(history(text), named) is None


@pytest.mark.parametrize("text", BAD.values(), ids=BAD)
def test_what_no_order_explains_is_refused(text):
    assert linearizable(history(text), named) is not None


def test_a_register_that_is_read_as_before_is_refused():
    calls = [Call(1, 2, "set", True), Call(3, 4, "set", False), Call(5, 6, "read", answer=True)]
    assert linearizable(calls, register, True) == calls[2]
    assert linearizable(calls[:2] + [Call(5, 6, "read", answer=False)], register, True) is None


def by_every_order(calls, model, first):
    """The definition itself: some order of some of the calls that time allows gives the answers."""
    answered = [call for call in calls if call.ended is not None]
    open_ones = [call for call in calls if call.ended is None]
    for count in range(len(open_ones) + 1):
        for more in itertools.combinations(open_ones, count):
            for order in itertools.permutations(answered + list(more)):
                if in_time(order) and explains(order, model, first):
                    return True
    return False


def in_time(order):
    return not any(
        later.ended is not None and later.ended < earlier.began
        for earlier, later in itertools.combinations(order, 2)
    )


def explains(order, model, first):
    state = first
    try:
        for call in order:
            state = model(state, call)
    except Impossible:
        return False
    return True


def any_call(source, length):
    what = source.choice(["make", "set", "remove", "read"])
    began = source.randrange(length)
    ended = None if source.random() < 0.2 else began + source.randrange(1, length)
    value = source.choice("ab") if what in ("make", "set") else None
    answer = source.choice({
        "make": [OK, OK, EXISTS], "set": [OK, OK, MISSING], "remove": [OK, OK, MISSING], "read": [ABSENT, "a", "b"],
    }[what])
    return Call(began, ended, what, value, answer)


# Of the bad ones, what is explained where each answer is taken by itself.
EACH_BY_ITSELF = {"a read that goes back", "a write that was never answered, seen and lost"}


@pytest.mark.parametrize("name", BAD)
def test_each_answer_by_itself_may_go_back_and_nothing_else(name):
    assert (each_explained(history(BAD[name]), named) is None) == (name in EACH_BY_ITSELF)


@pytest.mark.parametrize("text", GOOD.values(), ids=GOOD)
def test_what_an_order_explains_is_explained_by_itself(text):
    assert each_explained(history(text), named) is None


def test_it_says_of_each_what_trying_every_order_says():
    source = random.Random(2)
    said = {True: 0, False: 0}
    for _ in range(3000):
        calls = [any_call(source, 9) for _ in range(source.randrange(1, 6))]
        reads = [call for call in calls if only_tells(call)]
        writes = [call for call in calls if not only_tells(call)]
        expected = by_every_order(writes, named, ABSENT) and all(
            by_every_order([*writes, read], named, ABSENT) for read in reads if read.ended is not None
        )
        assert (each_explained(calls, named) is None) == expected, calls
        said[expected] += 1
    assert min(said.values()) > 300, said


@pytest.mark.timeout(60)
def test_many_calls_at_once_are_judged():
    """As of a server that is killed: a dozen calls under way, some of which are never answered."""
    calls = [Call(0, 1, "make", "0", OK)]
    for moment in range(1, 60):
        for client in range(12):
            began, value = moment * 100 + client, f"{moment}-{client}"
            what = ("set", "read", "set", "remove", "make")[client % 5]
            answer = {"set": OK, "read": f"{moment}-0", "remove": MISSING, "make": EXISTS}[what]
            ended = None if what == "set" and client == 2 and moment % 10 == 0 else began + 90
            if what != "remove":
                calls.append(Call(began, ended, what, None if what == "read" else value, answer))
    assert linearizable(calls, named) is None
    calls.append(Call(10_000, 10_001, "read", answer="0"))
    assert linearizable(calls, named) == calls[-1]


def test_it_says_what_trying_every_order_says():
    source = random.Random(1)
    said = {True: 0, False: 0}
    for _ in range(3000):
        calls = [any_call(source, 9) for _ in range(source.randrange(1, 6))]
        expected = by_every_order(calls, named, ABSENT)
        assert (linearizable(calls, named) is None) == expected, calls
        said[expected] += 1
    assert min(said.values()) > 300, said
