"""Holds the analysis of policies against an SMT solver.

Random pairs of small identity policies are put to `check_no_new_access`, through the example `compare`,
and as formulas over strings to z3, which shares no code with it: whatever is proved must be
unsatisfiable there, whatever is found satisfiable. `make analysis-check` runs it; by hand, with another
seed or for longer:

    cargo build -p ringfence-policy --example compare
    .cache/venv/bin/python tests/analyse/z3_check.py --seed 2 --pairs 5000 --seconds 600 \
        target/debug/examples/compare

Ends with 1 where the two disagree. A formula that the solver gives up says nothing.

The policies have actions and resources with `*` and `?` (lower case, complete ARNs), their `Not` forms,
and conditions of text, number, Bool and Null operators with `IfExists`; no sets, variables, principals.
"""

import argparse
import collections
import itertools
import json
import multiprocessing
import random
import subprocess
import sys
import time

import z3

ACTIONS = ["*", "a:*", "a:b", "a:b?", "a:b*", "*:b", "a:*c", "b:*", "a:?", "a:bc"]
RESOURCES = [
    "*", "arn:aws:s:::*", "arn:aws:s:::a", "arn:aws:s:::a*", "arn:aws:s:::a/*", "arn:aws:s:::*/b",
    "arn:aws:s:::?", "arn:aws:s:*:1:a", "arn:aws:s:x*y::a", "arn:aws:*:::a", "arn:aws:s:*:*:a",
]
TEXTS = ["a", "b", "ab", "a*", "*b", "?", "*", "a?b", "b*a"]
NUMBERS = ["1", "2", "2.5", "-1"]
# Two spellings of a tag, which are two keys.
TEXT_KEYS = ["aws:PrincipalTag/ab", "aws:PrincipalTag/aB"]
NUMBER_KEY = "aws:MultiFactorAuthAge"
BOOL_KEY = "aws:SecureTransport"


def statement(rng):
    out = {"Effect": "Deny" if rng.random() < 0.35 else "Allow"}
    for element, values in (("Action", ACTIONS), ("Resource", RESOURCES)):
        name = "Not" + element if rng.random() < 0.2 else element
        out[name] = rng.sample(values, rng.randint(1, 2))
    conditions = collections.defaultdict(dict)
    for _ in range(rng.randint(0, 2)):
        if_exists = rng.choice(["", "", "IfExists"])
        kind = rng.randrange(5)
        if kind < 2:
            operator = rng.choice(["StringEquals", "StringNotEquals", "StringLike", "StringNotLike"])
            conditions[operator + if_exists][rng.choice(TEXT_KEYS)] = rng.sample(TEXTS, rng.randint(1, 2))
        elif kind == 2:
            operator = rng.choice(list(COMPARE))
            conditions[operator + if_exists][NUMBER_KEY] = rng.sample(NUMBERS, rng.randint(1, 2))
        elif kind == 3:
            conditions["Bool" + if_exists][BOOL_KEY] = [rng.choice(["true", "false"])]
        else:
            key = rng.choice([*TEXT_KEYS, NUMBER_KEY, BOOL_KEY])
            conditions["Null"][key] = [rng.choice(["true", "false"])]
    out["Condition"] = dict(conditions)
    return out


def policy(rng, statements=None):
    if statements is None:
        statements = [statement(rng) for _ in range(rng.randint(1, 3))]
    return {"Version": "2012-10-17", "Statement": statements}


def pair(rng):
    existing, new = policy(rng), policy(rng)
    how = rng.randrange(3)
    if how == 1:  # One statement more.
        existing = policy(rng, existing["Statement"] + [statement(rng)])
        new = policy(rng, existing["Statement"][:-1])
    elif how == 2:  # One statement other.
        new = policy(rng, existing["Statement"][:-1] + [statement(rng)])
    return existing, new


# ---- formulas ------------------------------------------------------------------------------------

ANY = z3.AllChar(z3.ReSort(z3.StringSort()))
RUN = z3.Star(ANY)
COLON = z3.Re(":")
NO_COLON = z3.Intersect(ANY, z3.Complement(COLON))
COMPARE = {
    "NumericEquals": lambda a, b: a == b,
    "NumericNotEquals": lambda a, b: a != b,
    "NumericLessThan": lambda a, b: a < b,
    "NumericLessThanEquals": lambda a, b: a <= b,
    "NumericGreaterThan": lambda a, b: a > b,
    "NumericGreaterThanEquals": lambda a, b: a >= b,
}


def concat(pieces):
    pieces = pieces or [z3.Re("")]
    return z3.Concat(*pieces) if len(pieces) > 1 else pieces[0]


def glob(text, one=ANY, run=RUN):
    return concat([run if c == "*" else one if c == "?" else z3.Re(c) for c in text])


def arn_glob(text):
    """A star stays within its part of the ARN, but one that ends its part may reach beyond."""
    if text == "*":
        return RUN
    parts = text.split(":", 5)
    out = []
    for part in parts[:5]:
        inner = [
            (RUN if at == len(part) - 1 else z3.Star(NO_COLON)) if c == "*" else
            NO_COLON if c == "?" else z3.Re(c)
            for at, c in enumerate(part)
        ]
        out += inner + [COLON]
    return concat(out + [glob(parts[5])])


class Request:
    def __init__(self):
        self.action, self.resource = z3.String("action"), z3.String("resource")
        self.present = {key: z3.Bool("has " + key) for key in [*TEXT_KEYS, NUMBER_KEY, BOOL_KEY]}
        self.text = {key: z3.String(key) for key in TEXT_KEYS}
        self.number, self.is_number = z3.Real(NUMBER_KEY), z3.Bool("is a number")
        self.true, self.is_bool = z3.Bool(BOOL_KEY), z3.Bool("is a truth")

    def well_formed(self):
        part = z3.Star(NO_COLON)
        full = z3.Plus(NO_COLON)
        arn = concat([z3.Re("arn:"), full, COLON, full, COLON, part, COLON, part, COLON, z3.Plus(ANY)])
        return z3.And(
            z3.InRe(self.action, concat([full, COLON, full])),
            z3.InRe(self.resource, z3.Union(z3.Re("*"), arn)),
        )

    def condition(self, operator, key, values):
        present = self.present[key]
        if operator == "Null":
            return z3.Or([z3.Not(present) if value == "true" else present for value in values])
        if_exists = operator.endswith("IfExists")
        name = operator.removesuffix("IfExists")
        negated = "Not" in name
        absent = z3.BoolVal(if_exists or negated)
        if name in COMPARE:
            # The opposite of "equal" needs a number too.
            hits = [COMPARE[name](self.number, z3.RealVal(value)) for value in values]
            holds = z3.And(self.is_number, z3.And(hits) if negated else z3.Or(hits))
        elif name == "Bool":
            holds = z3.And(self.is_bool, z3.Or([self.true == (value == "true") for value in values]))
        else:
            text = self.text[key]
            like = "Like" in name
            hits = [z3.InRe(text, glob(v)) if like else text == z3.StringVal(v) for v in values]
            holds = z3.Not(z3.Or(hits)) if negated else z3.Or(hits)
        return z3.If(present, holds, absent)

    def statement(self, statement):
        out = []
        for element, value, to_re in (
            ("Action", self.action, glob), ("Resource", self.resource, arn_glob),
        ):
            if element in statement:
                out.append(z3.Or([z3.InRe(value, to_re(p)) for p in statement[element]]))
            else:
                out.append(z3.Not(z3.Or([z3.InRe(value, to_re(p)) for p in statement["Not" + element]])))
        for operator, keys in statement["Condition"].items():
            out += [self.condition(operator, key, values) for key, values in keys.items()]
        return z3.And(out)

    def allowed(self, policy):
        by_effect = {"Allow": [], "Deny": []}
        for one in policy["Statement"]:
            by_effect[one["Effect"]].append(self.statement(one))
        return z3.And(z3.Or(by_effect["Allow"]), z3.Not(z3.Or(by_effect["Deny"])))


def solve(pair, milliseconds):
    existing, new = pair
    request = Request()
    solver = z3.Solver()
    solver.set("timeout", milliseconds)
    # Capital letters are the same to actions: requests are in small ones, as the policies are.
    solver.add(request.well_formed(), request.allowed(new), z3.Not(request.allowed(existing)))
    return str(solver.check())


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("compare", help="the built example")
    parser.add_argument("--pairs", type=int, default=300)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--timeout", type=int, default=1000, help="milliseconds a formula")
    parser.add_argument("--seconds", type=int, default=50, help="after which no formula is begun")
    parser.add_argument("--jobs", type=int, default=2, help="solvers at once")
    options = parser.parse_args()
    rng = random.Random(options.seed)
    pairs = [pair(rng) for _ in range(options.pairs)]
    lines = "".join(json.dumps({"existing": e, "new": n}) + "\n" for e, n in pairs)
    run = subprocess.run([options.compare], input=lines, capture_output=True, text=True, check=True)
    answers = [json.loads(line) for line in run.stdout.splitlines()]
    count, wrong = collections.Counter(), 0
    until = time.monotonic() + options.seconds
    with multiprocessing.Pool(options.jobs) as pool:
        for at in range(0, len(pairs), 4 * options.jobs):
            if time.monotonic() > until:
                break
            batch = slice(at, at + 4 * options.jobs)
            solved = pool.starmap(solve, zip(pairs[batch], itertools.repeat(options.timeout)), 1)
            for (existing, new), answer, said in zip(pairs[batch], answers[batch], solved, strict=True):
                count[answer["answer"], said] += 1
                if (answer["answer"], said) in {("proved", "sat"), ("found", "unsat")}:
                    wrong += 1
                    print("DISAGREE", said, answer, json.dumps(existing), json.dumps(new), sep="\n  ")
    for (answer, said), n in sorted(count.items()):
        print(f"{n:6} {answer}, solver says {said}")
    return 1 if wrong or not count else 0


if __name__ == "__main__":
    sys.exit(main())
