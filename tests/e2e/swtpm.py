"""swtpm, a TPM 2.0 in software: its state lies in a folder, and it listens on loopback."""

import os
import socket
import subprocess
import time
from pathlib import Path

import pytest

from ringfence_server import free_port

# Where `make swtpm` unpacks Debian's packages, and what it exports.
UNPACKED = Path(__file__).resolve().parents[2] / ".cache/swtpm"
START_LIMIT_SECONDS = 20


def unpacked():
    """The folder of the packages, or a skip that says why."""
    named = Path(os.environ.get("RINGFENCE_SWTPM") or UNPACKED)
    if not (named / "usr/bin/swtpm").is_file():
        pytest.skip("swtpm is not at hand: `make swtpm` fetches it from Debian's packages")
    return named


class Swtpm:
    def __init__(self, folder):
        self.unpacked = unpacked()
        self.folder = folder
        self.folder.mkdir(parents=True)
        self.port = free_port()
        self.process = None
        self.start()

    def start(self):
        libraries = next((self.unpacked / "usr/lib").glob("*/swtpm"))
        self.process = subprocess.Popen(
            [
                str(self.unpacked / "usr/bin/swtpm"), "socket", "--tpm2",
                "--flags", "not-need-init,startup-clear",
                "--tpmstate", f"dir={self.folder}",
                "--server", f"type=tcp,port={self.port},bindaddr=127.0.0.1",
                "--ctrl", f"type=unixio,path={self.folder}/control",
            ],
            env={"LD_LIBRARY_PATH": f"{libraries.parent}:{libraries}"},
            stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
        )
        deadline = time.monotonic() + START_LIMIT_SECONDS
        while True:
            assert self.process.poll() is None, "swtpm ended"
            try:
                socket.create_connection(("127.0.0.1", self.port), timeout=1).close()
                return
            except OSError:
                assert time.monotonic() < deadline, "swtpm does not listen"
                time.sleep(0.01)

    def stop(self):
        self.process.kill()
        self.process.wait()

    def restart(self):
        """What a restart of the machine is to it: its registers begin anew."""
        self.stop()
        self.start()

    def command(self, text):
        """Sends a command in hexadecimal; the response code."""
        with socket.create_connection(("127.0.0.1", self.port), timeout=10) as connection:
            connection.sendall(bytes.fromhex(text))
            return int.from_bytes(connection.recv(4096)[6:10], "big")

    def extend(self, register):
        """TPM2_PCR_Extend of a register, by an empty password."""
        digest = "11" * 32
        code = self.command(
            f"8002 00000041 00000182 {register:08x} 00000009 40000009 0000 00 0000 00000001 000b"
            + digest
        )
        assert code == 0, hex(code)
