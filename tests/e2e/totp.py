"""What a phone or token does with an MFA seed: RFC 6238 with SHA-1, 30 seconds and six digits."""

import base64
import hashlib
import hmac
import struct
import time

STEP = 30


def code_of(seed, step):
    digest = hmac.new(seed, struct.pack(">Q", step), hashlib.sha1).digest()
    at = digest[-1] & 0xF
    number = struct.unpack(">I", digest[at : at + 4])[0] & 0x7FFFFFFF
    return f"{number % 1_000_000:06}"


class Phone:
    """A device with its seed and a clock; it hands out each step's code once unless asked again."""

    def __init__(self, serial, seed, clock=time.time):
        self.serial = serial
        self.seed = seed
        self.clock = clock

    @classmethod
    def of(cls, device, clock=time.time):
        """The phone that has taken in a `VirtualMFADevice`."""
        return cls(device["SerialNumber"], base64.b32decode(device["Base32StringSeed"]), clock)

    def code(self, steps=0):
        return code_of(self.seed, int(self.clock()) // STEP + steps)

    def wrong(self):
        """A code of none of the steps near by."""
        now = int(self.clock()) // STEP
        near = {code_of(self.seed, now + steps) for steps in range(-150, 151)}
        return next(code for code in map("{:06}".format, range(1000)) if code not in near)

    def pair(self, first=-1):
        return {
            "AuthenticationCode1": self.code(first),
            "AuthenticationCode2": self.code(first + 1),
        }

    def token(self, steps=0):
        """The parameters of an STS call that shows a code."""
        return {"SerialNumber": self.serial, "TokenCode": self.code(steps)}
