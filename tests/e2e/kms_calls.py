"""One call of every operation of KMS on a key that suits it, for the tables of the KMS tests.

A `Bench` is a key with what its operations need beside it: a ciphertext, a signature, a grant. It is
set up by an account's root user, and then asked for by anyone (`Call.make`).
"""

from dataclasses import dataclass, field

from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec

from world import unique

# The encryption context of every ciphertext of a bench.
CONTEXT = {"Purpose": "test", "team": "blue"}

SYMMETRIC = ("SYMMETRIC_DEFAULT", "ENCRYPT_DECRYPT")
RSA = ("RSA_2048", "ENCRYPT_DECRYPT")
SIGNING = ("ECC_NIST_P256", "SIGN_VERIFY")
AGREEMENT = ("ECC_NIST_P256", "KEY_AGREEMENT")
MAC = ("HMAC_256", "GENERATE_VERIFY_MAC")
ENCAPSULATION = ("ML_KEM_512", "ENCAPSULATE_DECAPSULATE")

ECDSA = {"SigningAlgorithm": "ECDSA_SHA_256"}
HMAC = {"MacAlgorithm": "HMAC_SHA_256"}
OAEP = {"EncryptionAlgorithm": "RSAES_OAEP_SHA_256"}


class Bench:
    """A key and what its operations need."""

    def __init__(self, root, kind=SYMMETRIC, **parameters):
        self.kms = root.client("kms")
        spec, usage = kind
        made = self.kms.create_key(KeySpec=spec, KeyUsage=usage, **parameters)["KeyMetadata"]
        self.kind, self.id, self.arn = kind, made["KeyId"], made["Arn"]
        # How calls name the key.
        self.named = self.arn
        self.account = made["AWSAccountId"]
        self._kept = {}

    def _once(self, name, make):
        if name not in self._kept:
            self._kept[name] = make()
        return self._kept[name]

    @property
    def blob(self):
        def encrypt():
            if self.kind == RSA:
                return self.kms.encrypt(KeyId=self.arn, Plaintext=b"x", **OAEP)
            return self.kms.encrypt(KeyId=self.arn, Plaintext=b"x", EncryptionContext=CONTEXT)

        return self._once("blob", encrypt)["CiphertextBlob"]

    @property
    def signature(self):
        def sign():
            return self.kms.sign(KeyId=self.arn, Message=b"m", **ECDSA)

        return self._once("signature", sign)["Signature"]

    @property
    def mac(self):
        return self._once(
            "mac", lambda: self.kms.generate_mac(KeyId=self.arn, Message=b"m", **HMAC)
        )["Mac"]

    @property
    def encapsulated(self):
        def encapsulate():
            return self.kms.encapsulate(KeyId=self.arn, EncapsulationAlgorithm="ML_KEM")

        return self._once("encapsulated", encapsulate)["SharedSecretCiphertextBlob"]

    @property
    def other(self):
        """Another symmetric key of the account."""
        return self._once("other", lambda: self.kms.create_key()["KeyMetadata"]["Arn"])

    def ready(self):
        """Makes all that calls need, while the key can still be used."""
        if self.kind in (SYMMETRIC, RSA):
            self.blob
        elif self.kind == SIGNING:
            self.signature
        elif self.kind == MAC:
            self.mac
        elif self.kind == ENCAPSULATION:
            self.encapsulated
        return self

    def grant(self, grantee, *operations, **parameters):
        return self.kms.create_grant(
            KeyId=self.arn, GranteePrincipal=grantee, Operations=list(operations), **parameters
        )


PEER = ec.generate_private_key(ec.SECP256R1()).public_key().public_bytes(
    serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo
)


@dataclass(frozen=True)
class Call:
    """An operation, how it is called, and the key that it is called on."""

    operation: str
    make: object
    kind: tuple = SYMMETRIC
    # The action that is asked for, where it is not the operation's own.
    asks: str | None = None

    @property
    def action(self):
        return "kms:" + (self.asks or self.operation)

    def but(self, **parameters):
        """The same with other parameters."""

        def make(kms, at, **more):
            return self.make(kms, at, **{**parameters, **more})

        return Call(self.operation, make, self.kind, self.asks)


def named(method, kind=SYMMETRIC, **given):
    """A call that names the key as `KeyId`; values that are functions are asked of the bench."""

    def make(kms, at, **more):
        parameters = {"KeyId": at.named, **given, **more}
        parameters = {
            name: value(at) if callable(value) else value
            for name, value in parameters.items() if value is not None
        }
        return getattr(kms, method)(**parameters)

    return Call("".join(word.title() for word in method.split("_")), make, kind)


def unnamed(method, **given):
    return named(method, KeyId=None, **given)


ENCRYPT = named("encrypt", Plaintext=b"x", EncryptionContext=CONTEXT)
ENCRYPT_RSA = named("encrypt", RSA, Plaintext=b"x", **OAEP)
DECRYPT = named("decrypt", CiphertextBlob=lambda at: at.blob, EncryptionContext=CONTEXT)
DECRYPT_BY_BLOB = DECRYPT.but(KeyId=None)
DECRYPT_RSA = named("decrypt", RSA, CiphertextBlob=lambda at: at.blob, **OAEP)
RE_ENCRYPT = Call(
    "ReEncrypt",
    unnamed("re_encrypt", CiphertextBlob=lambda at: at.blob, SourceEncryptionContext=CONTEXT,
            DestinationKeyId=lambda at: at.arn, DestinationEncryptionContext=CONTEXT).make,
    asks="ReEncryptFrom",
)
DATA_KEY = named("generate_data_key", KeySpec="AES_256", EncryptionContext=CONTEXT)
BARE_DATA_KEY = named(
    "generate_data_key_without_plaintext", KeySpec="AES_256", EncryptionContext=CONTEXT
)
DATA_KEY_PAIR = named(
    "generate_data_key_pair", KeyPairSpec="ECC_NIST_P256", EncryptionContext=CONTEXT
)
BARE_DATA_KEY_PAIR = named(
    "generate_data_key_pair_without_plaintext", KeyPairSpec="ECC_NIST_P256",
    EncryptionContext=CONTEXT,
)
SIGN = named("sign", SIGNING, Message=b"m", **ECDSA)
VERIFY = named("verify", SIGNING, Message=b"m", Signature=lambda at: at.signature, **ECDSA)
PUBLIC_KEY = named("get_public_key", SIGNING)
GENERATE_MAC = named("generate_mac", MAC, Message=b"m", **HMAC)
VERIFY_MAC = named("verify_mac", MAC, Message=b"m", Mac=lambda at: at.mac, **HMAC)
DERIVE = named("derive_shared_secret", AGREEMENT, KeyAgreementAlgorithm="ECDH", PublicKey=PEER)
ENCAPSULATE = named("encapsulate", ENCAPSULATION, EncapsulationAlgorithm="ML_KEM")
DECAPSULATE = named(
    "decapsulate", ENCAPSULATION, EncapsulationAlgorithm="ML_KEM",
    SharedSecretCiphertextBlob=lambda at: at.encapsulated,
)
RANDOM = unnamed("generate_random", NumberOfBytes=8)

CREATE_KEY = unnamed("create_key")
DESCRIBE = named("describe_key")
LIST_KEYS = unnamed("list_keys")
ENABLE = named("enable_key")
DISABLE = named("disable_key")
UPDATE_DESCRIPTION = named("update_key_description", Description="new")
SCHEDULE_DELETION = named("schedule_key_deletion", PendingWindowInDays=7)
CANCEL_DELETION = named("cancel_key_deletion")
GET_POLICY = named("get_key_policy")
LIST_POLICIES = named("list_key_policies")


def standard_policy(account):
    return (
        '{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Principal":{"AWS":"arn:aws:iam::'
        + account + ':root"},"Action":"kms:*","Resource":"*"}]}'
    )


PUT_POLICY = named(
    "put_key_policy", Policy=lambda at: standard_policy(at.account),
    BypassPolicyLockoutSafetyCheck=True,
)
CREATE_GRANT = named(
    "create_grant", GranteePrincipal=lambda at: f"arn:aws:iam::{at.account}:root",
    Operations=["DescribeKey"],
)
LIST_GRANTS = named("list_grants")
LIST_RETIRABLE = unnamed(
    "list_retirable_grants", RetiringPrincipal=lambda at: f"arn:aws:iam::{at.account}:root"
)


def _new_grant(at):
    return at.grant(f"arn:aws:iam::{at.account}:root", "DescribeKey")


# Made while the key is enabled, taken away in whatever state it is then.
REVOKE = named("revoke_grant", GrantId=lambda at: at._once("revoked", lambda: _new_grant(at))["GrantId"])
RETIRE = named("retire_grant", GrantId=lambda at: at._once("retired", lambda: _new_grant(at))["GrantId"])
CREATE_ALIAS = unnamed(
    "create_alias", AliasName=lambda at: "alias/" + unique("new"), TargetKeyId=lambda at: at.named
)


def _alias(at):
    def make():
        name = "alias/" + unique("bench")
        at.kms.create_alias(AliasName=name, TargetKeyId=at.arn)
        return name

    return at._once("alias", make)


UPDATE_ALIAS = unnamed("update_alias", AliasName=_alias, TargetKeyId=lambda at: at.named)
DELETE_ALIAS = unnamed("delete_alias", AliasName=_alias)
LIST_ALIASES = unnamed("list_aliases")
TAG = named("tag_resource", Tags=[{"TagKey": "colour", "TagValue": "red"}])
UNTAG = named("untag_resource", TagKeys=["colour"])
LIST_TAGS = named("list_resource_tags")

# What a grant can be for.
# https://docs.aws.amazon.com/kms/latest/developerguide/grants.html#terms-grant-operations
GRANTABLE = [
    ENCRYPT, DECRYPT, DATA_KEY, BARE_DATA_KEY, DATA_KEY_PAIR, BARE_DATA_KEY_PAIR, ENCRYPT_RSA,
    DECRYPT_RSA, SIGN, VERIFY, PUBLIC_KEY, GENERATE_MAC, VERIFY_MAC, DERIVE, ENCAPSULATE,
    DECAPSULATE, DESCRIBE, CREATE_GRANT,
]
