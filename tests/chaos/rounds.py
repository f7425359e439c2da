"""Loses a leader again and again, under load."""

import os
import time

# RINGFENCE_CHAOS_ROUNDS chooses how often in each test.
ROUNDS = int(os.environ.get("RINGFENCE_CHAOS_ROUNDS", "3"))
# Writes flow for so long before each.
FLOW_SECONDS = 1.0


def rounds(cluster, load, lose, recover):
    """Calls `lose` and, once writes flow again, `recover`; the longest time without a write in each round.

    No row that was acknowledged may be missing at the end.
    """
    gaps = []
    with load:
        for _ in range(ROUNDS):
            cluster.settled()
            load.flows()
            time.sleep(FLOW_SECONDS)
            leader, before = cluster.leader(), time.monotonic()
            lose(leader)
            load.flows()
            recover(leader)
            cluster.settled()
            load.flows()
            gaps.append(load.longest_gap(since=before))
        load.stop()
    lost = load.lost()
    assert not lost, f"{len(lost)} acknowledged rows are lost, {sorted(lost)[:9]}"
    return gaps
