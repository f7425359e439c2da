"""Nodes of a network of their own, and links between them that can be cut without a word.

Each node is a network namespace on one bridge; the tests are at the bridge itself. All of it lies within the
network namespace that `make chaos` makes for the tests, which has no way out, and ends with it.

A cut link loses packets silently, as a dead switch does: nobody is told that the connection is gone.
"""

import os
import shutil
import subprocess
import time

import pytest

ADDRESSES = "10.77.0.{}"
HERE = ADDRESSES.format(1)
# A hardware address that nobody has.
NOWHERE = "02:00:00:00:00:ff"
# A holder of a namespace ends by itself, should everything else fail.
LONGEST_SECONDS = 4 * 3600


def ip(*arguments, within=()):
    done = subprocess.run(
        [*within, "ip", *map(str, arguments)], capture_output=True, text=True, timeout=20
    )
    assert done.returncode == 0, f"ip {arguments}: {done.stderr}"
    return done.stdout


def why_not():
    """Why there can be no network here, or None."""
    if os.geteuid() != 0:
        return "only root makes network namespaces"
    if not all(map(shutil.which, ("ip", "nsenter", "unshare", "setpriv"))):
        return "no iproute2 or util-linux"
    # Not in the machine's own network: a packet for a node that is gone would leave by its gateway.
    if ip("route", "show", "default") or "master" in ip("link"):
        return "this is not a network of the tests' own; `make chaos` makes one"
    return None


class Host:
    """A node of the network: its address, and how a command is run there."""

    def __init__(self, network, number):
        self.network = network
        self.number = number
        self.address = ADDRESSES.format(10 + number)
        self.holder = subprocess.Popen(
            ["unshare", "--net", "setpriv", "--pdeathsig", "KILL", "sleep", str(LONGEST_SECONDS)],
            stdin=subprocess.DEVNULL,
        )
        deadline = time.monotonic() + 20
        ours = os.readlink("/proc/self/ns/net")
        while os.readlink(f"/proc/{self.holder.pid}/ns/net") == ours:
            assert self.holder.poll() is None and time.monotonic() < deadline, "no namespace"
            time.sleep(0.01)
        self.within = ["nsenter", f"--net=/proc/{self.holder.pid}/ns/net"]
        port = f"node{number}"
        ip("link", "add", port, "type", "veth", "peer", "name", "eth0", "netns", self.holder.pid)
        ip("link", "set", port, "master", network.bridge, "up")
        self.ip("link", "set", "lo", "up")
        self.ip("addr", "add", f"{self.address}/24", "dev", "eth0")
        self.ip("link", "set", "eth0", "up")

    device = "eth0"

    def ip(self, *arguments):
        return ip(*arguments, within=self.within)


class Here:
    """Where the tests are, as a node."""

    address = HERE

    def __init__(self, network):
        self.device = network.bridge

    def ip(self, *arguments):
        return ip(*arguments)


class Network:
    bridge = "bridge"

    def __init__(self, nodes):
        reason = why_not()
        if reason:
            pytest.skip(f"no network for this test: {reason}")
        ip("link", "set", "lo", "up")
        ip("link", "add", self.bridge, "type", "bridge")
        ip("addr", "add", f"{HERE}/24", "dev", self.bridge)
        ip("link", "set", self.bridge, "up")
        self.here = Here(self)
        self.hosts = [Host(self, number) for number in range(1, nodes + 1)]
        self.cuts = set()

    def cut(self, one, other):
        """Nothing passes between two nodes any more, either way."""
        for host, peer in ((one, other), (other, one)):
            host.ip(
                "neigh", "replace", peer.address, "lladdr", NOWHERE, "dev", host.device,
                "nud", "permanent",
            )
            self.cuts.add((host, peer))

    def heal(self):
        for host, peer in self.cuts:
            host.ip("neigh", "del", peer.address, "dev", host.device)
        self.cuts.clear()

    def close(self):
        for host in self.hosts:
            host.holder.kill()
            host.holder.wait()
        ip("link", "del", self.bridge)
        # The nodes' devices go with their namespaces, a moment later.
        deadline = time.monotonic() + 20
        while "node" in ip("-o", "link") and time.monotonic() < deadline:
            time.sleep(0.02)
