"""Debian's libfaketime, by which a program sees another time: for what only the passing of days does.

It is fetched into .cache/ once, and never installed.
"""

import subprocess
from pathlib import Path

PACKAGE = "libfaketime"
CACHE = Path(__file__).resolve().parents[2] / ".cache" / "faketime"


def library():
    """The library's path. Raises RuntimeError with what is missing where it cannot be had."""
    found = sorted(CACHE.glob("root/usr/lib/*/faketime/libfaketime.so.1"))
    if found:
        return found[0]
    CACHE.mkdir(parents=True, exist_ok=True)
    try:
        for command in (
            ["apt-get", "download", PACKAGE],
            ["sh", "-c", f"dpkg -x {PACKAGE}_*.deb root"],
        ):
            subprocess.run(command, cwd=CACHE, check=True, capture_output=True, text=True, timeout=120)
    except (OSError, subprocess.SubprocessError) as error:
        told = getattr(error, "stderr", None) or error
        raise RuntimeError(f"Debian's package {PACKAGE} cannot be fetched by apt-get: {told}") from None
    return next(CACHE.glob("root/usr/lib/*/faketime/libfaketime.so.1"))


def days_later(days):
    """The environment of a program for which it is `days` later."""
    return {"LD_PRELOAD": str(library()), "FAKETIME": f"+{days}d"}


class Clock:
    """The wall clock of one program, which can be moved while it runs; other clocks go on as they are."""

    def __init__(self, file, seconds=0):
        self.file = Path(file)
        self.set(seconds)

    def set(self, seconds):
        """It is so much later than it is, or earlier."""
        self.seconds = seconds
        beside = self.file.with_suffix(".new")
        beside.write_text(f"{seconds:+d}s\n")
        beside.replace(self.file)

    def environment(self, monotonic=False):
        """Of the program; with `monotonic`, its monotonic clock is moved as well."""
        return {
            "LD_PRELOAD": str(library()),
            "FAKETIME_TIMESTAMP_FILE": str(self.file),
            # Read again each time.
            "FAKETIME_NO_CACHE": "1",
            "FAKETIME_DONT_FAKE_MONOTONIC": "0" if monotonic else "1",
        }
