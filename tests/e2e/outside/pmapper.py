"""Runs Principal Mapper, whose last release looks for names that Python 3.10 moved.

`pmapper.py ARGS…` is its command line. `pmapper.py decide ACCOUNT` reads [[principal, action, resource],
…] from standard input and prints what its own simulation decides of each.
"""

import collections
import collections.abc
import json
import sys

for name in ("Mapping", "MutableMapping"):
    setattr(collections, name, getattr(collections.abc, name))

from principalmapper.__main__ import main  # noqa: E402
from principalmapper.graphing import graph_actions  # noqa: E402
from principalmapper.querying.query_interface import local_check_authorization  # noqa: E402


def decide(account):
    graph = graph_actions.get_existing_graph(None, account)
    nodes = {node.arn: node for node in graph.nodes}
    asked = json.load(sys.stdin)
    print(json.dumps([local_check_authorization(nodes[who], what, on, {}) for who, what, on in asked]))


if __name__ == "__main__":
    if sys.argv[1:2] == ["decide"]:
        sys.exit(decide(sys.argv[2]))
    sys.argv[0] = "pmapper"
    sys.exit(main())
