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
