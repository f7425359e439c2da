"""What the tests of a cluster share."""

import time

import pytest


@pytest.fixture
def whole(cluster):
    """The module's cluster, which a test that ended halfway does not leave broken to the next."""
    cluster.settled()
    yield cluster
    cluster.recover()


@pytest.fixture
def report(capsys, request):
    """Prints a test's figures."""

    def say(load, gaps, what):
        with capsys.disabled():
            print(
                f"\n{request.node.name}: {len(gaps)} × {what}, {load.acknowledged()} acknowledged rows"
                f" in {time.monotonic() - load.began:.0f} s, {len(load.lost())} lost;"
                f" longest gaps {', '.join(f'{gap:.1f}' for gap in gaps)} s"
            )

    return say
