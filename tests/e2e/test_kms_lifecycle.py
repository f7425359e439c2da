"""KMS keys over time: rotation, import of material, multi-Region keys, deletion, last use.

Time is moved by `--dev`'s clock, so that every state is reached.
[rec] marks texts recorded from AWS, kept by LocalStack in tests/aws/services/kms/test_kms.snapshot.json.
"""

import datetime
import hmac
import json
import os

import pytest
from cryptography.hazmat.primitives import hashes, keywrap, serialization
from cryptography.hazmat.primitives.asymmetric import ec, padding, rsa

from clients import refusal

ACCOUNT = "000000000000"
HERE, THERE, ELSEWHERE = "us-east-1", "eu-central-1", "ap-southeast-2"


class House:
    """A server with a clock that moves."""

    def __init__(self, server):
        self.server = server
        self.root = server.principal("test", "test")

    def kms(self, region=HERE):
        return self.root.client("kms", region)

    def days(self, days):
        status, _, _ = self.server.post_json(
            "/_ringfence/clock", {"advance_seconds": int(days * 86400)}
        )
        assert status == 200

    def now(self):
        _, _, answer = self.server.post_json("/_ringfence/clock", {"advance_seconds": 0})
        return datetime.datetime.fromisoformat(
            json.loads(answer)["now"].replace("Z", "+00:00")
        )


@pytest.fixture(scope="module")
def house(dev):
    return House(dev)


@pytest.fixture(scope="module")
def kms(house):
    return house.kms()


def state(kms, key):
    return kms.describe_key(KeyId=key)["KeyMetadata"]["KeyState"]


def refused(code, call, message=None, **parameters):
    answer = refusal(call, **parameters)
    assert (answer.code, answer.status) == (code, 400), str(answer)
    if message is not None:
        assert message in answer.message


def rotations(kms, key, everything=False):
    extra = {"IncludeKeyMaterial": "ALL_KEY_MATERIAL"} if everything else {}
    return kms.list_key_rotations(KeyId=key, **extra)["Rotations"]


def in_days(house, at, days):
    return abs((at - house.now()).total_seconds() - days * 86400) < 120


# --- rotation ------------------------------------------------------------------------------------


def test_a_key_rotates_every_period_and_still_decrypts_what_was_before(house, kms):
    key = kms.create_key()["KeyMetadata"]
    id, first = key["KeyId"], key["CurrentKeyMaterialId"]
    status = kms.get_key_rotation_status(KeyId=id)
    assert status["KeyRotationEnabled"] is False and "NextRotationDate" not in status

    kms.enable_key_rotation(KeyId=id, RotationPeriodInDays=90)
    status = kms.get_key_rotation_status(KeyId=id)
    assert (status["KeyRotationEnabled"], status["RotationPeriodInDays"]) == (True, 90)
    assert status["KeyId"] == key["Arn"]
    assert in_days(house, status["NextRotationDate"], 90)

    before = kms.encrypt(KeyId=id, Plaintext=b"before")["CiphertextBlob"]
    house.days(89)
    assert rotations(kms, id) == []
    house.days(2)
    made = rotations(kms, id)
    assert [one["RotationType"] for one in made] == ["AUTOMATIC"]
    assert made[0]["KeyMaterialState"] == "CURRENT"
    second = kms.describe_key(KeyId=id)["KeyMetadata"]["CurrentKeyMaterialId"]
    assert second == made[0]["KeyMaterialId"] != first

    after = kms.encrypt(KeyId=id, Plaintext=b"after")["CiphertextBlob"]
    opened = kms.decrypt(CiphertextBlob=before)
    assert (opened["Plaintext"], opened["KeyMaterialId"]) == (b"before", first)
    opened = kms.decrypt(CiphertextBlob=after)
    assert (opened["Plaintext"], opened["KeyMaterialId"]) == (b"after", second)
    again = kms.re_encrypt(CiphertextBlob=before, DestinationKeyId=id)
    assert (again["SourceKeyMaterialId"], again["DestinationKeyMaterialId"]) == (first, second)

    # Late, it stays in step.
    house.days(200)
    assert len(rotations(kms, id)) == 2
    every = rotations(kms, id, everything=True)
    assert [one["KeyMaterialState"] for one in every] == ["NON_CURRENT", "NON_CURRENT", "CURRENT"]
    assert "RotationDate" not in every[0] and every[0]["KeyMaterialId"] == first

    kms.disable_key_rotation(KeyId=id)
    house.days(400)
    assert len(rotations(kms, id)) == 2


def test_a_key_that_is_switched_off_rotates_when_it_comes_back(house, kms):
    id = kms.create_key()["KeyMetadata"]["KeyId"]
    kms.enable_key_rotation(KeyId=id)
    assert kms.get_key_rotation_status(KeyId=id)["RotationPeriodInDays"] == 365
    kms.disable_key(KeyId=id)
    house.days(366)
    assert kms.get_key_rotation_status(KeyId=id)["KeyRotationEnabled"] is True
    assert rotations(kms, id) == []
    kms.enable_key(KeyId=id)
    house.days(0)
    assert len(rotations(kms, id)) == 1
    kms.schedule_key_deletion(KeyId=id)
    assert kms.get_key_rotation_status(KeyId=id)["KeyRotationEnabled"] is False
    kms.cancel_key_deletion(KeyId=id)
    assert kms.get_key_rotation_status(KeyId=id)["KeyRotationEnabled"] is True


def test_a_key_rotates_on_demand_25_times(kms, house):
    id = kms.create_key()["KeyMetadata"]["KeyId"]
    kms.enable_key_rotation(KeyId=id)
    due = kms.get_key_rotation_status(KeyId=id)["NextRotationDate"]
    blobs = []
    for round in range(25):
        blobs.append(kms.encrypt(KeyId=id, Plaintext=b"%d" % round)["CiphertextBlob"])
        kms.rotate_key_on_demand(KeyId=id)
    assert {one["RotationType"] for one in rotations(kms, id)} == {"ON_DEMAND"}
    refused(
        "LimitExceededException",
        kms.rotate_key_on_demand,
        "The on-demand rotations limit has been reached for the given keyId.",
        KeyId=id,
    )
    for round, blob in enumerate(blobs):
        assert kms.decrypt(CiphertextBlob=blob)["Plaintext"] == b"%d" % round
    # The calendar is not changed by it.
    assert kms.get_key_rotation_status(KeyId=id)["NextRotationDate"] == due
    page = kms.list_key_rotations(KeyId=id, Limit=10)
    assert len(page["Rotations"]) == 10 and page["Truncated"]
    pages = kms.get_paginator("list_key_rotations").paginate(KeyId=id, PaginationConfig={"PageSize": 10})
    assert sum(len(page["Rotations"]) for page in pages) == 25


@pytest.mark.parametrize(
    "spec,usage",
    [("RSA_2048", "ENCRYPT_DECRYPT"), ("ECC_NIST_P256", "SIGN_VERIFY"), ("HMAC_256", "GENERATE_VERIFY_MAC")],
)
def test_only_symmetric_encryption_keys_rotate(kms, spec, usage):
    id = kms.create_key(KeySpec=spec, KeyUsage=usage)["KeyMetadata"]["KeyId"]
    for call in (
        kms.enable_key_rotation,
        kms.disable_key_rotation,
        kms.rotate_key_on_demand,
        kms.list_key_rotations,
        kms.get_key_rotation_status,
    ):
        refused("UnsupportedOperationException", call, KeyId=id)


def test_rotation_asks_for_a_key_that_is_switched_on(kms):
    id = kms.create_key()["KeyMetadata"]["KeyId"]
    kms.disable_key(KeyId=id)
    for call in (kms.enable_key_rotation, kms.disable_key_rotation, kms.rotate_key_on_demand):
        refused("DisabledException", call, KeyId=id)
    kms.schedule_key_deletion(KeyId=id)
    for call in (kms.enable_key_rotation, kms.disable_key_rotation, kms.rotate_key_on_demand):
        refused("KMSInvalidStateException", call, KeyId=id)


# --- import --------------------------------------------------------------------------------------


def external(kms, spec="SYMMETRIC_DEFAULT", usage="ENCRYPT_DECRYPT", **more):
    made = kms.create_key(Origin="EXTERNAL", KeySpec=spec, KeyUsage=usage, **more)["KeyMetadata"]
    assert (made["KeyState"], made["Enabled"], made["Origin"]) == ("PendingImport", False, "EXTERNAL")
    return made["KeyId"]


def wrapped(kms, key, material, algorithm="RSAES_OAEP_SHA_256", spec="RSA_2048"):
    """What ImportKeyMaterial takes: the token, and the material under the wrapping key."""
    given = kms.get_parameters_for_import(
        KeyId=key, WrappingAlgorithm=algorithm, WrappingKeySpec=spec
    )
    public = serialization.load_der_public_key(given["PublicKey"])
    assert public.key_size == int(spec.removeprefix("RSA_"))
    hash = hashes.SHA1() if algorithm.endswith("SHA_1") else hashes.SHA256()
    oaep = padding.OAEP(padding.MGF1(hash), hash, None)
    if algorithm.startswith("RSAES_OAEP"):
        sealed = public.encrypt(material, oaep)
    else:
        aes = os.urandom(32)
        sealed = public.encrypt(aes, oaep) + keywrap.aes_key_wrap_with_padding(aes, material)
    return {"ImportToken": given["ImportToken"], "EncryptedKeyMaterial": sealed}


FOREVER = {"ExpirationModel": "KEY_MATERIAL_DOES_NOT_EXPIRE"}


@pytest.mark.parametrize("algorithm", ["RSAES_OAEP_SHA_1", "RSAES_OAEP_SHA_256", "RSA_AES_KEY_WRAP_SHA_1", "RSA_AES_KEY_WRAP_SHA_256"])
@pytest.mark.parametrize("spec", ["RSA_2048", "RSA_3072"])
def test_symmetric_material_is_imported_under_every_wrapping(kms, algorithm, spec):
    id = external(kms)
    refused("KMSInvalidStateException", kms.encrypt, "is pending import", KeyId=id, Plaintext=b"x")
    done = kms.import_key_material(KeyId=id, **wrapped(kms, id, os.urandom(32), algorithm, spec), **FOREVER)
    shown = kms.describe_key(KeyId=id)["KeyMetadata"]
    assert (shown["KeyState"], shown["ExpirationModel"]) == ("Enabled", "KEY_MATERIAL_DOES_NOT_EXPIRE")
    assert shown["CurrentKeyMaterialId"] == done["KeyMaterialId"]
    blob = kms.encrypt(KeyId=id, Plaintext=b"x")["CiphertextBlob"]
    assert kms.decrypt(CiphertextBlob=blob)["Plaintext"] == b"x"


def test_imported_asymmetric_keys_are_the_ones_that_were_imported(kms):
    def pkcs8(key):
        return key.private_bytes(
            serialization.Encoding.DER,
            serialization.PrivateFormat.PKCS8,
            serialization.NoEncryption(),
        )

    for spec, usage, key, algorithm, signing in (
        ("RSA_2048", "SIGN_VERIFY", rsa.generate_private_key(65537, 2048), "RSA_AES_KEY_WRAP_SHA_256", "RSASSA_PSS_SHA_256"),
        ("ECC_NIST_P256", "SIGN_VERIFY", ec.generate_private_key(ec.SECP256R1()), "RSAES_OAEP_SHA_256", "ECDSA_SHA_256"),
        ("ECC_SECG_P256K1", "SIGN_VERIFY", ec.generate_private_key(ec.SECP256K1()), "RSA_AES_KEY_WRAP_SHA_1", "ECDSA_SHA_256"),
    ):
        id = external(kms, spec, usage)
        done = kms.import_key_material(KeyId=id, **wrapped(kms, id, pkcs8(key), algorithm), **FOREVER)
        assert "KeyMaterialId" not in done
        public = key.public_key().public_bytes(
            serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo
        )
        assert kms.get_public_key(KeyId=id)["PublicKey"] == public
        signature = kms.sign(KeyId=id, Message=b"m", SigningAlgorithm=signing)["Signature"]
        assert kms.verify(KeyId=id, Message=b"m", SigningAlgorithm=signing, Signature=signature)["SignatureValid"]
        # Another key does not take its place.
        other = (
            rsa.generate_private_key(65537, 2048)
            if spec == "RSA_2048"
            else ec.generate_private_key(key.curve)
        )
        refused(
            "IncorrectKeyMaterialException",
            kms.import_key_material,
            KeyId=id,
            **wrapped(kms, id, pkcs8(other), "RSA_AES_KEY_WRAP_SHA_256"),
            **FOREVER,
        )


def test_an_imported_mac_key_gives_the_codes_of_its_bytes(kms):
    id = external(kms, "HMAC_256", "GENERATE_VERIFY_MAC")
    secret = os.urandom(48)
    kms.import_key_material(KeyId=id, **wrapped(kms, id, secret), **FOREVER)
    mac = kms.generate_mac(KeyId=id, Message=b"m", MacAlgorithm="HMAC_SHA_256")["Mac"]
    assert mac == hmac.digest(secret, b"m", "sha256")


def test_material_expires_and_comes_back_by_the_same_bytes_alone(house, kms):
    id = external(kms)
    material = os.urandom(32)
    until = house.now() + datetime.timedelta(days=10)
    first = kms.import_key_material(
        KeyId=id, ValidTo=until, KeyMaterialDescription="of 2026", **wrapped(kms, id, material)
    )
    shown = kms.describe_key(KeyId=id)["KeyMetadata"]
    assert shown["ExpirationModel"] == "KEY_MATERIAL_EXPIRES" and in_days(house, shown["ValidTo"], 10)
    blob = kms.encrypt(KeyId=id, Plaintext=b"x")["CiphertextBlob"]

    house.days(11)
    shown = kms.describe_key(KeyId=id)["KeyMetadata"]
    assert shown["KeyState"] == "PendingImport" and "ValidTo" not in shown
    refused("KMSInvalidStateException", kms.decrypt, "is pending import", CiphertextBlob=blob)
    refused(
        "IncorrectKeyMaterialException",
        kms.import_key_material,
        KeyId=id,
        **wrapped(kms, id, os.urandom(32)),
        **FOREVER,
    )
    again = kms.import_key_material(KeyId=id, **wrapped(kms, id, material), **FOREVER)
    assert again["KeyMaterialId"] == first["KeyMaterialId"]
    assert kms.decrypt(CiphertextBlob=blob)["Plaintext"] == b"x"
    [entry] = rotations(kms, id, everything=True)
    assert entry["KeyMaterialDescription"] == "of 2026"
    assert (entry["ImportState"], entry["ExpirationModel"]) == ("IMPORTED", "KEY_MATERIAL_DOES_NOT_EXPIRE")

    deleted = kms.delete_imported_key_material(KeyId=id)
    assert deleted["KeyMaterialId"] == first["KeyMaterialId"]
    assert state(kms, id) == "PendingImport"
    [entry] = rotations(kms, id, everything=True)
    assert entry["ImportState"] == "PENDING_IMPORT"
    kms.import_key_material(KeyId=id, **wrapped(kms, id, material), **FOREVER)
    assert kms.decrypt(CiphertextBlob=blob)["Plaintext"] == b"x"


def test_imported_material_rotates_on_demand_to_what_was_imported_for_it(kms):
    id = external(kms)
    first, second = os.urandom(32), os.urandom(32)
    one = kms.import_key_material(KeyId=id, **wrapped(kms, id, first), **FOREVER)["KeyMaterialId"]
    refused(
        "KMSInvalidStateException",
        kms.rotate_key_on_demand,
        "No available key material pending rotation for the key",
        KeyId=id,
    )
    refused("UnsupportedOperationException", kms.enable_key_rotation, KeyId=id)
    old = kms.encrypt(KeyId=id, Plaintext=b"old")["CiphertextBlob"]
    new = {"ImportType": "NEW_KEY_MATERIAL", **FOREVER}
    two = kms.import_key_material(KeyId=id, **wrapped(kms, id, second), **new)["KeyMaterialId"]
    assert kms.describe_key(KeyId=id)["KeyMetadata"]["CurrentKeyMaterialId"] == one
    states = {e["KeyMaterialId"]: e["KeyMaterialState"] for e in rotations(kms, id, everything=True)}
    assert states == {one: "CURRENT", two: "PENDING_ROTATION"}
    refused(
        "KMSInvalidStateException",
        kms.import_key_material,
        "because another key material",
        KeyId=id,
        **wrapped(kms, id, os.urandom(32)),
        **new,
    )
    kms.rotate_key_on_demand(KeyId=id)
    assert kms.describe_key(KeyId=id)["KeyMetadata"]["CurrentKeyMaterialId"] == two
    assert kms.decrypt(CiphertextBlob=old)["Plaintext"] == b"old"
    # Any one that is missing makes the key unusable.
    kms.delete_imported_key_material(KeyId=id, KeyMaterialId=one)
    assert state(kms, id) == "PendingImport"
    refused("KMSInvalidStateException", kms.encrypt, KeyId=id, Plaintext=b"x")
    kms.import_key_material(KeyId=id, KeyMaterialId=one, **wrapped(kms, id, first), **FOREVER)
    assert kms.decrypt(CiphertextBlob=old)["Plaintext"] == b"old"


def test_import_tokens_end_and_are_for_one_key(house, kms):
    one, other = external(kms), external(kms)
    given = wrapped(kms, one, os.urandom(32))
    refused("InvalidImportTokenException", kms.import_key_material, KeyId=other, **given, **FOREVER)
    forged = {**given, "ImportToken": given["ImportToken"][:-1] + b"x"}
    refused("InvalidImportTokenException", kms.import_key_material, KeyId=one, **forged, **FOREVER)
    damaged = {**given, "EncryptedKeyMaterial": os.urandom(256)}
    refused("InvalidCiphertextException", kms.import_key_material, KeyId=one, **damaged, **FOREVER)
    house.days(1.01)
    refused("ExpiredImportTokenException", kms.import_key_material, KeyId=one, **given, **FOREVER)
    own = kms.create_key()["KeyMetadata"]["KeyId"]
    refused(
        "UnsupportedOperationException",
        kms.get_parameters_for_import,
        "origin is AWS_KMS which is not valid for this operation.",
        KeyId=own,
        WrappingAlgorithm="RSAES_OAEP_SHA_256",
        WrappingKeySpec="RSA_2048",
    )
    refused(
        "IncorrectKeyMaterialException",
        kms.import_key_material,
        KeyId=one,
        **wrapped(kms, one, os.urandom(31)),
        **FOREVER,
    )


def test_the_expiry_of_material_is_checked(house, kms):
    id = external(kms)
    given = wrapped(kms, id, os.urandom(32))
    refused(
        "ValidationException",
        kms.import_key_material,
        "A validTo date must be set if the ExpirationModel is KEY_MATERIAL_EXPIRES",
        KeyId=id,
        **given,
    )
    for days in (-1, 366):
        until = house.now() + datetime.timedelta(days=days)
        refused("ValidationException", kms.import_key_material, KeyId=id, ValidTo=until, **given)
    until = house.now() + datetime.timedelta(days=5)
    refused("ValidationException", kms.import_key_material, KeyId=id, ValidTo=until, **given, **FOREVER)


# --- several regions -----------------------------------------------------------------------------


def family(house, key, region=HERE):
    shown = house.kms(region).describe_key(KeyId=key)["KeyMetadata"]["MultiRegionConfiguration"]
    return (
        shown["MultiRegionKeyType"],
        shown["PrimaryKey"]["Region"],
        sorted(replica["Region"] for replica in shown["ReplicaKeys"]),
    )


def test_a_replica_opens_what_its_primary_key_sealed_and_the_other_way_round(house, kms):
    made = kms.create_key(MultiRegion=True, Description="first")["KeyMetadata"]
    id = made["KeyId"]
    assert id.startswith("mrk-") and family(house, id) == ("PRIMARY", HERE, [])
    there = house.kms(THERE)
    refused("NotFoundException", there.describe_key, KeyId=id)
    before = kms.encrypt(KeyId=id, Plaintext=b"before", EncryptionContext={"a": "b"})["CiphertextBlob"]
    replica = kms.replicate_key(
        KeyId=id, ReplicaRegion=THERE, Description="second", Tags=[{"TagKey": "k", "TagValue": "v"}]
    )
    shown = replica["ReplicaKeyMetadata"]
    assert shown["Arn"] == f"arn:aws:kms:{THERE}:{ACCOUNT}:key/{id}"
    assert (shown["Description"], shown["KeyState"]) == ("second", "Enabled")
    assert replica["ReplicaTags"] == [{"TagKey": "k", "TagValue": "v"}]
    assert shown["CurrentKeyMaterialId"] == made["CurrentKeyMaterialId"]
    for region, type in ((HERE, "PRIMARY"), (THERE, "REPLICA")):
        assert family(house, id, region) == (type, HERE, [THERE])

    opened = there.decrypt(CiphertextBlob=before, EncryptionContext={"a": "b"})
    assert opened["Plaintext"] == b"before" and opened["KeyId"] == shown["Arn"]
    after = there.encrypt(KeyId=id, Plaintext=b"after")["CiphertextBlob"]
    assert kms.decrypt(CiphertextBlob=after)["KeyId"] == made["Arn"]

    refused("AlreadyExistsException", kms.replicate_key, KeyId=id, ReplicaRegion=THERE)
    refused("ValidationException", kms.replicate_key, KeyId=id, ReplicaRegion=HERE)
    refused("UnsupportedOperationException", there.replicate_key, KeyId=id, ReplicaRegion=ELSEWHERE)
    single = kms.create_key()["KeyMetadata"]["KeyId"]
    refused("UnsupportedOperationException", kms.replicate_key, KeyId=single, ReplicaRegion=THERE)

    # What is not shared stays apart.
    there.disable_key(KeyId=id)
    assert (state(kms, id), state(there, id)) == ("Enabled", "Disabled")


def test_a_rotation_reaches_every_replica(house, kms):
    id = kms.create_key(MultiRegion=True)["KeyMetadata"]["KeyId"]
    there = house.kms(THERE)
    kms.replicate_key(KeyId=id, ReplicaRegion=THERE)
    refused("UnsupportedOperationException", there.rotate_key_on_demand, KeyId=id)
    refused("UnsupportedOperationException", there.enable_key_rotation, KeyId=id)
    kms.enable_key_rotation(KeyId=id, RotationPeriodInDays=100)
    shared = there.get_key_rotation_status(KeyId=id)
    assert (shared["KeyRotationEnabled"], shared["RotationPeriodInDays"]) == (True, 100)
    old = there.encrypt(KeyId=id, Plaintext=b"old")["CiphertextBlob"]
    kms.rotate_key_on_demand(KeyId=id)
    house.days(101)
    ids = [one["KeyMaterialId"] for one in rotations(kms, id)]
    assert len(ids) == 2
    assert ids == [one["KeyMaterialId"] for one in rotations(there, id)]
    new = there.encrypt(KeyId=id, Plaintext=b"new")["CiphertextBlob"]
    assert kms.decrypt(CiphertextBlob=new)["KeyMaterialId"] == ids[-1]
    assert kms.decrypt(CiphertextBlob=old)["Plaintext"] == b"old"
    # A replica that is made later has all of it.
    elsewhere = house.kms(ELSEWHERE)
    kms.replicate_key(KeyId=id, ReplicaRegion=ELSEWHERE)
    assert [one["KeyMaterialId"] for one in rotations(elsewhere, id)] == ids
    assert elsewhere.decrypt(CiphertextBlob=old)["Plaintext"] == b"old"
    assert elsewhere.decrypt(CiphertextBlob=new)["Plaintext"] == b"new"


def test_a_replica_becomes_the_primary_key(house, kms):
    id = kms.create_key(MultiRegion=True)["KeyMetadata"]["KeyId"]
    there, elsewhere = house.kms(THERE), house.kms(ELSEWHERE)
    kms.enable_key_rotation(KeyId=id, RotationPeriodInDays=200)
    refused("NotFoundException", kms.update_primary_region, KeyId=id, PrimaryRegion=THERE)
    kms.replicate_key(KeyId=id, ReplicaRegion=THERE)
    kms.replicate_key(KeyId=id, ReplicaRegion=ELSEWHERE)
    kms.update_primary_region(KeyId=id, PrimaryRegion=THERE)
    for region, type in ((HERE, "REPLICA"), (THERE, "PRIMARY"), (ELSEWHERE, "REPLICA")):
        assert family(house, id, region) == (type, THERE, sorted([HERE, ELSEWHERE]))
    refused("UnsupportedOperationException", kms.update_primary_region, KeyId=id, PrimaryRegion=ELSEWHERE)
    refused("UnsupportedOperationException", kms.rotate_key_on_demand, KeyId=id)
    assert there.get_key_rotation_status(KeyId=id)["RotationPeriodInDays"] == 200
    there.rotate_key_on_demand(KeyId=id)
    assert len(rotations(kms, id)) == len(rotations(elsewhere, id)) == 1
    there.update_primary_region(KeyId=id, PrimaryRegion=ELSEWHERE)
    assert family(house, id) == ("REPLICA", ELSEWHERE, sorted([HERE, THERE]))


def test_a_primary_key_goes_after_its_replicas(house, kms):
    id = kms.create_key(MultiRegion=True)["KeyMetadata"]["KeyId"]
    there = house.kms(THERE)
    kms.replicate_key(KeyId=id, ReplicaRegion=THERE)
    asked = kms.schedule_key_deletion(KeyId=id, PendingWindowInDays=7)
    assert asked["KeyState"] == "PendingReplicaDeletion" and "DeletionDate" not in asked
    house.days(30)
    shown = kms.describe_key(KeyId=id)["KeyMetadata"]
    assert shown["KeyState"] == "PendingReplicaDeletion"
    assert shown["PendingDeletionWindowInDays"] == 7
    refused("KMSInvalidStateException", kms.encrypt, KeyId=id, Plaintext=b"x")
    there.schedule_key_deletion(KeyId=id, PendingWindowInDays=7)
    house.days(8)
    refused("NotFoundException", there.describe_key, KeyId=id)
    shown = kms.describe_key(KeyId=id)["KeyMetadata"]
    assert shown["KeyState"] == "PendingDeletion" and in_days(house, shown["DeletionDate"], 7)
    assert family(house, id) == ("PRIMARY", HERE, [])
    house.days(8)
    refused("NotFoundException", kms.describe_key, KeyId=id)


def test_imported_material_is_imported_into_each_region(house, kms):
    id = external(kms, MultiRegion=True)
    there = house.kms(THERE)
    first, second = os.urandom(32), os.urandom(32)
    one = kms.import_key_material(KeyId=id, **wrapped(kms, id, first), **FOREVER)["KeyMaterialId"]
    kms.replicate_key(KeyId=id, ReplicaRegion=THERE)
    assert state(there, id) == "PendingImport"
    refused(
        "IncorrectKeyMaterialException",
        there.import_key_material,
        KeyId=id,
        **wrapped(there, id, second),
        **FOREVER,
    )
    own = there.import_key_material(KeyId=id, **wrapped(there, id, first), **FOREVER)
    assert own["KeyMaterialId"] == one and state(there, id) == "Enabled"
    blob = kms.encrypt(KeyId=id, Plaintext=b"x")["CiphertextBlob"]
    assert there.decrypt(CiphertextBlob=blob)["Plaintext"] == b"x"

    new = {"ImportType": "NEW_KEY_MATERIAL", **FOREVER}
    refused("IncorrectKeyMaterialException", there.import_key_material, KeyId=id, **wrapped(there, id, second), **new)
    two = kms.import_key_material(KeyId=id, **wrapped(kms, id, second), **new)["KeyMaterialId"]
    states = {e["KeyMaterialId"]: e["KeyMaterialState"] for e in rotations(kms, id, everything=True)}
    assert states[two] == "PENDING_MULTI_REGION_IMPORT_AND_ROTATION"
    refused("KMSInvalidStateException", kms.rotate_key_on_demand, KeyId=id)
    there.import_key_material(KeyId=id, ImportType="EXISTING_KEY_MATERIAL", **wrapped(there, id, second), **FOREVER)
    states = {e["KeyMaterialId"]: e["KeyMaterialState"] for e in rotations(kms, id, everything=True)}
    assert states[two] == "PENDING_ROTATION"
    kms.rotate_key_on_demand(KeyId=id)
    for client in (kms, there):
        assert client.describe_key(KeyId=id)["KeyMetadata"]["CurrentKeyMaterialId"] == two


# --- last use ------------------------------------------------------------------------------------


def test_the_last_use_of_a_key_is_told(house, kms):
    made = kms.create_key()["KeyMetadata"]
    id = made["KeyId"]
    told = kms.get_key_last_usage(KeyId=id)
    assert told["KeyLastUsage"] == {} and told["TrackingStartDate"] == told["KeyCreationDate"]
    blob = kms.encrypt(KeyId=id, Plaintext=b"x")["CiphertextBlob"]
    assert kms.get_key_last_usage(KeyId=id)["KeyLastUsage"]["Operation"] == "Encrypt"
    refused("InvalidCiphertextException", kms.decrypt, CiphertextBlob=blob, EncryptionContext={"a": "b"})
    assert kms.get_key_last_usage(KeyId=id)["KeyLastUsage"]["Operation"] == "Encrypt"
    answer = kms.decrypt(CiphertextBlob=blob)
    used = kms.get_key_last_usage(KeyId=id)["KeyLastUsage"]
    assert used["Operation"] == "Decrypt"
    assert used["KmsRequestId"] == answer["ResponseMetadata"]["RequestId"]
    assert len(used["CloudTrailEventId"]) == 36
    # It is the key's, whatever else changes of it.
    kms.update_key_description(KeyId=id, Description="another")
    kms.rotate_key_on_demand(KeyId=id)
    assert kms.get_key_last_usage(KeyId=id)["KeyLastUsage"] == used
    # Management is no use.
    kms.describe_key(KeyId=id)
    assert kms.get_key_last_usage(KeyId=id)["KeyLastUsage"] == used


@pytest.mark.one_process("last uses, which other servers know a minute later")
def test_the_last_use_survives_a_restart(start_server):
    server = start_server()
    kms = server.root().client("kms")
    id = kms.create_key()["KeyMetadata"]["KeyId"]
    kms.encrypt(KeyId=id, Plaintext=b"x")
    used = kms.get_key_last_usage(KeyId=id)["KeyLastUsage"]
    server.stop()
    server.start()
    assert kms.get_key_last_usage(KeyId=id)["KeyLastUsage"] == used
