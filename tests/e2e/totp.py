"""What a phone or token does with an MFA seed: RFC 6238 with SHA-1, 30 seconds and six digits, by pyotp."""

import base64
import time

import pyotp

STEP = 30


def code_of(seed, step):
    return pyotp.HOTP(base64.b32encode(seed).decode()).at(step)


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
