"""The AWS Encryption SDK over our keys: master key providers, keyrings, and its cache of data keys.

Its messages name the keys and the context that they were made with, so a reader needs neither.
https://docs.aws.amazon.com/encryption-sdk/latest/developer-guide/message-format.html
"""

import io

import aws_encryption_sdk
import botocore.session
import pytest
from aws_encryption_sdk import (
    CachingCryptoMaterialsManager,
    CommitmentPolicy,
    DiscoveryAwsKmsMasterKeyProvider,
    LocalCryptoMaterialsCache,
    StrictAwsKmsMasterKeyProvider,
)
from aws_encryption_sdk.exceptions import (
    AWSEncryptionSDKClientError,
    DecryptKeyError,
    EncryptKeyError,
    GenerateKeyError,
    MasterKeyProviderError,
)
from aws_encryption_sdk.identifiers import Algorithm
from aws_encryption_sdk.key_providers.kms import (
    DiscoveryFilter,
    MRKAwareDiscoveryAwsKmsMasterKeyProvider,
    MRKAwareStrictAwsKmsMasterKeyProvider,
)

from cryptography.hazmat.primitives import serialization

from clients import refusal
from world import allow, policy

ELSEWHERE = "eu-central-1"
CONTEXT = {"tenant": "blue", "purpose": "test"}
# One loader for all: parsing a service's model takes longer than a test.
LOADER = botocore.session.Session().get_component("data_loader")
SDK = aws_encryption_sdk.EncryptionSDKClient(
    commitment_policy=CommitmentPolicy.REQUIRE_ENCRYPT_REQUIRE_DECRYPT
)


@pytest.fixture(autouse=True)
def endpoint(server, monkeypatch):
    """Where clients go that the SDK makes by itself."""
    monkeypatch.setenv("AWS_ENDPOINT_URL", server.url)


@pytest.fixture(scope="module")
def kms(root):
    return root.client("kms")


@pytest.fixture(scope="module")
def keys(kms):
    return [kms.create_key()["KeyMetadata"]["Arn"] for _ in range(3)]


def session(principal):
    made = botocore.session.Session()
    made.register_component("data_loader", LOADER)
    made.set_credentials(principal.access_key_id, principal.secret, principal.token)
    made.set_config_variable("region", principal.region)
    return made


def strict(principal, *keys, **more):
    return StrictAwsKmsMasterKeyProvider(
        key_ids=list(keys), botocore_session=session(principal), **more
    )


def discovery(principal, *accounts):
    limits = DiscoveryFilter(account_ids=list(accounts), partition="aws") if accounts else None
    return DiscoveryAwsKmsMasterKeyProvider(
        botocore_session=session(principal), discovery_filter=limits
    )


def encrypt(text, **how):
    return SDK.encrypt(source=text, encryption_context=CONTEXT, **how)[0]


def decrypt(message, **how):
    return SDK.decrypt(source=message, **how)[0]


def reasons(call):
    """What the SDK says of a failure. A keyring gathers the errors of its keys in a list."""
    with pytest.raises(Exception) as caught:
        call()
    said, error = [str(caught.value)], caught.value
    while error is not None:
        (inner,) = error.args[:1] or (None,)
        said += [str(one) for one in getattr(inner, "list", None) or []]
        error = inner if isinstance(inner, Exception) else None
    return "\n".join(said)


class Calls:
    """The recorded calls from one moment on."""

    def __init__(self, server, kms):
        self.server, self.kms = server, kms
        self.seen = len(self.written())

    def written(self):
        """Every event up to now: events are written in order, so the last one brings the others."""
        request = self.kms.list_keys(Limit=1)["ResponseMetadata"]["RequestId"]
        self.server.audit_event(lambda event: event["requestID"] == request)
        return self.server.audit_events()

    def of(self, name):
        return [event for event in self.written()[self.seen:] if event["eventName"] == name]


@pytest.fixture
def calls(server, kms):
    return Calls(server, kms)


class Keyrings:
    """The material providers library, over the clients of one principal."""

    def __init__(self, models, library, principal):
        self.models, self.library, self.principal = models, library, principal
        self.client = principal.client("kms")

    def one(self, key):
        return self.library.create_aws_kms_keyring(
            self.models.CreateAwsKmsKeyringInput(kms_key_id=key, kms_client=self.client)
        )

    def several(self, generator, *others):
        return self.library.create_multi_keyring(
            self.models.CreateMultiKeyringInput(
                generator=self.one(generator), child_keyrings=[self.one(key) for key in others]
            )
        )

    def discovery(self, *accounts):
        limits = self.models.DiscoveryFilter(account_ids=list(accounts), partition="aws")
        return self.library.create_aws_kms_discovery_keyring(
            self.models.CreateAwsKmsDiscoveryKeyringInput(
                kms_client=self.client, discovery_filter=limits if accounts else None
            )
        )

    def mrk(self, key, region):
        return self.library.create_aws_kms_mrk_keyring(
            self.models.CreateAwsKmsMrkKeyringInput(
                kms_key_id=key, kms_client=self.principal.client("kms", region=region)
            )
        )

    def mrk_several(self, generator, *others):
        """Over clients that the library makes by itself, one a region."""
        return self.library.create_aws_kms_mrk_multi_keyring(
            self.models.CreateAwsKmsMrkMultiKeyringInput(
                generator=generator, kms_key_ids=list(others)
            )
        )

    def mrk_discovery(self, region, *accounts):
        return self.library.create_aws_kms_mrk_discovery_keyring(
            self.models.CreateAwsKmsMrkDiscoveryKeyringInput(
                kms_client=self.principal.client("kms", region=region), region=region,
                discovery_filter=self.models.DiscoveryFilter(
                    account_ids=list(accounts), partition="aws"
                ),
            )
        )

    def rsa(self, key, public=None):
        return self.library.create_aws_kms_rsa_keyring(
            self.models.CreateAwsKmsRsaKeyringInput(
                kms_key_id=key, kms_client=self.client, public_key=public,
                encryption_algorithm="RSAES_OAEP_SHA_256",
            )
        )

    def agreed(self, curve, sender, recipient_public):
        """One key's secret with another's public key."""
        scheme = self.models.KmsEcdhStaticConfigurationsKmsPrivateKeyToStaticPublicKey(
            self.models.KmsPrivateKeyToStaticPublicKeyInput(
                sender_kms_identifier=sender, recipient_public_key=recipient_public
            )
        )
        return self.ecdh(curve, scheme)

    def agreed_by_recipient(self, curve, recipient):
        """The same secret, with the public key that the message brings along."""
        scheme = self.models.KmsEcdhStaticConfigurationsKmsPublicKeyDiscovery(
            self.models.KmsPublicKeyDiscoveryInput(recipient_kms_identifier=recipient)
        )
        return self.ecdh(curve, scheme)

    def ecdh(self, curve, scheme):
        return self.library.create_aws_kms_ecdh_keyring(
            self.models.CreateAwsKmsEcdhKeyringInput(
                key_agreement_scheme=scheme, curve_spec=curve, kms_client=self.client
            )
        )


@pytest.fixture(scope="module")
def keyrings():
    reason = "the material providers library runs on Python 3.11 and newer"
    mpl = pytest.importorskip("aws_cryptographic_material_providers.mpl", reason=reason)
    from aws_cryptographic_material_providers.mpl import models
    from aws_cryptographic_material_providers.mpl.config import MaterialProvidersConfig

    library = mpl.AwsCryptographicMaterialProviders(config=MaterialProvidersConfig())
    return lambda principal: Keyrings(models, library, principal)


@pytest.fixture(scope="module")
def rings(keyrings, root):
    return keyrings(root)


def owners(header):
    """The keys that a message can be read with, in its own order."""
    return [one.key_provider.key_info.decode() for one in header.encrypted_data_keys]


@pytest.mark.parametrize("algorithm", [
    Algorithm.AES_256_GCM_HKDF_SHA512_COMMIT_KEY_ECDSA_P384,
    Algorithm.AES_256_GCM_HKDF_SHA512_COMMIT_KEY,
])
def test_a_message_names_its_key_and_anyone_with_the_key_opens_its_data_key(algorithm, kms, keys, root):
    provider = strict(root, keys[0])
    message, header = SDK.encrypt(
        source=b"text", key_provider=provider, encryption_context=CONTEXT, algorithm=algorithm
    )
    assert b"text" not in message and owners(header) == [keys[0]]
    text, read = SDK.decrypt(source=message, key_provider=provider)
    assert text == b"text" and CONTEXT.items() <= read.encryption_context.items()
    (data_key,) = header.encrypted_data_keys
    opened = kms.decrypt(
        CiphertextBlob=data_key.encrypted_data_key, EncryptionContext=header.encryption_context
    )
    assert (opened["KeyId"], len(opened["Plaintext"])) == (keys[0], algorithm.kdf_input_len)


def test_a_stream_of_many_frames_is_read_back(keys, root):
    provider, text = strict(root, keys[0]), bytes(range(256)) * 1000
    written, read = io.BytesIO(), io.BytesIO()
    with SDK.stream(
        mode="e", source=io.BytesIO(text), key_provider=provider, frame_length=4096
    ) as encryptor:
        for part in encryptor:
            written.write(part)
    with SDK.stream(
        mode="d", source=io.BytesIO(written.getvalue()), key_provider=provider
    ) as decryptor:
        for part in decryptor:
            read.write(part)
    assert read.getvalue() == text


def test_a_message_for_several_keys_is_read_by_each_of_them(kms, keys, root, calls):
    message, header = SDK.encrypt(
        source=b"text", key_provider=strict(root, *keys), encryption_context=CONTEXT
    )
    # One key makes the data key, the others encrypt it.
    assert sorted(owners(header)) == sorted(keys)
    assert (len(calls.of("GenerateDataKey")), len(calls.of("Encrypt"))) == (1, 2)
    for key in keys:
        assert decrypt(message, key_provider=strict(root, key)) == b"text"
    other = kms.create_key()["KeyMetadata"]["Arn"]
    with pytest.raises(DecryptKeyError):
        decrypt(message, key_provider=strict(root, other))


def test_what_a_provider_writes_a_keyring_reads_and_the_other_way(keys, root, rings):
    for written in (
        encrypt(b"text", key_provider=strict(root, *keys)),
        encrypt(b"text", keyring=rings.several(*keys)),
        encrypt(b"text", keyring=rings.one(keys[1])),
    ):
        assert decrypt(written, key_provider=strict(root, keys[1])) == b"text"
        assert decrypt(written, keyring=rings.one(keys[1])) == b"text"
        assert decrypt(written, keyring=rings.several(keys[1], keys[2])) == b"text"


def test_a_keyring_of_several_keys_needs_one_of_them(kms, root, rings, world):
    lost, kept = (kms.create_key()["KeyMetadata"]["Arn"] for _ in range(2))
    message = encrypt(b"text", keyring=rings.several(lost, kept))
    kms.schedule_key_deletion(KeyId=lost, PendingWindowInDays=7)
    assert decrypt(message, keyring=rings.several(lost, kept)) == b"text"
    said = reasons(lambda: decrypt(message, keyring=rings.one(lost)))
    assert f"{lost} is pending deletion." in said


def test_a_changed_context_is_refused_by_the_key(keys, root, rings, calls):
    message = encrypt(b"text", key_provider=strict(root, keys[0]))
    assert message.count(b"blue") == 1
    changed = message.replace(b"blue", b"grey")
    with pytest.raises(DecryptKeyError):
        decrypt(changed, key_provider=strict(root, keys[0]))
    with pytest.raises(AWSEncryptionSDKClientError):
        decrypt(changed, keyring=rings.one(keys[0]))
    # Neither found out by itself.
    seen = calls.of("Decrypt")
    assert [event.get("errorCode") for event in seen] == ["InvalidCiphertextException"] * 2
    for event in seen:
        assert event["requestParameters"]["encryptionContext"]["tenant"] == "grey"


def test_a_reader_who_expects_another_context_reads_nothing(keys, rings):
    message = encrypt(b"text", keyring=rings.one(keys[0]))
    right = {"encryption_context": {"tenant": "blue"}}
    assert decrypt(message, keyring=rings.one(keys[0]), **right) == b"text"
    for wrong in ({"tenant": "grey"}, {"tenant": "blue", "more": "1"}):
        with pytest.raises(AWSEncryptionSDKClientError):
            decrypt(message, keyring=rings.one(keys[0]), encryption_context=wrong)


def test_a_data_key_of_another_message_does_not_open_this_one(keys, root, calls):
    provider = strict(root, keys[0])
    one, two = (
        SDK.encrypt(source=b"text", key_provider=provider, encryption_context=CONTEXT)
        for _ in range(2)
    )
    (mine,), (other,) = one[1].encrypted_data_keys, two[1].encrypted_data_keys
    swapped = one[0].replace(mine.encrypted_data_key, other.encrypted_data_key)
    assert swapped != one[0]
    # Signed messages carry a public key in their context, so the key itself refuses.
    with pytest.raises(DecryptKeyError):
        decrypt(swapped, key_provider=provider)
    (event,) = calls.of("Decrypt")
    assert event["errorCode"] == "InvalidCiphertextException"


def test_a_disabled_key_neither_writes_nor_reads(kms, root, rings):
    key = kms.create_key()["KeyMetadata"]["Arn"]
    message = encrypt(b"text", key_provider=strict(root, key))
    kms.disable_key(KeyId=key)
    with pytest.raises(GenerateKeyError, match="Master Key .* unable to generate data key"):
        encrypt(b"text", key_provider=strict(root, key))
    with pytest.raises(DecryptKeyError):
        decrypt(message, key_provider=strict(root, key))
    for use in (
        lambda: encrypt(b"text", keyring=rings.one(key)),
        lambda: decrypt(message, keyring=rings.one(key)),
    ):
        assert f"{key} is disabled." in reasons(use)
    kms.enable_key(KeyId=key)
    assert decrypt(message, key_provider=strict(root, key)) == b"text"


def test_a_revoked_grant_ends_what_it_allowed(kms, root, world, keyrings):
    key, user = kms.create_key()["KeyMetadata"]["Arn"], world.user()
    grant = kms.create_grant(
        KeyId=key, GranteePrincipal=user.user_arn,
        Operations=["GenerateDataKey", "Encrypt", "Decrypt"],
        Constraints={"EncryptionContextSubset": {"tenant": "blue"}},
    )
    provider, ring = strict(user, key), keyrings(user).one(key)
    message = encrypt(b"text", key_provider=provider)
    assert decrypt(message, keyring=ring) == b"text"
    other = SDK.encrypt(
        source=b"text", key_provider=strict(root, key), encryption_context={"tenant": "grey"}
    )[0]
    with pytest.raises(DecryptKeyError):
        decrypt(other, key_provider=provider)
    kms.revoke_grant(KeyId=key, GrantId=grant["GrantId"])
    with pytest.raises(DecryptKeyError):
        decrypt(message, key_provider=provider)
    said = reasons(lambda: decrypt(message, keyring=ring))
    assert f"{user.user_arn} is not authorized to perform: kms:Decrypt on" in said
    with pytest.raises(GenerateKeyError):
        encrypt(b"text", key_provider=provider)


def test_a_grant_token_is_sent_along(kms, world, keys):
    user = world.user()
    token = kms.create_grant(
        KeyId=keys[0], GranteePrincipal=user.user_arn, Operations=["GenerateDataKey", "Decrypt"]
    )["GrantToken"]
    provider = strict(user, keys[0], grant_tokens=[token])
    assert decrypt(encrypt(b"text", key_provider=provider), key_provider=provider) == b"text"
    with pytest.raises(GenerateKeyError):
        encrypt(b"text", key_provider=strict(user, keys[0], grant_tokens=["nonsense"]))


def test_a_writer_who_may_not_read_only_writes(kms, world, keys, root):
    """The permissions that the guide names for each side.
    https://docs.aws.amazon.com/encryption-sdk/latest/developer-guide/use-kms-keyring.html"""
    writer = world.user(
        allow("kms:GenerateDataKey", keys[0]), allow("kms:Encrypt", keys[1:])
    )
    reader = world.user(
        allow("kms:Decrypt", keys[2], Condition={
            "StringEquals": {"kms:EncryptionContext:tenant": "blue"}
        })
    )
    message = encrypt(b"text", key_provider=strict(writer, *keys))
    with pytest.raises(DecryptKeyError):
        decrypt(message, key_provider=strict(writer, keys[0]))
    with pytest.raises(EncryptKeyError):
        encrypt(b"text", key_provider=strict(writer, keys[0], kms.create_key()["KeyMetadata"]["Arn"]))
    assert decrypt(message, key_provider=strict(reader, keys[2])) == b"text"
    with pytest.raises(DecryptKeyError):
        decrypt(message, key_provider=strict(reader, keys[1]))
    # A reader who is told no key tries each, and finds the one that is open to him.
    assert decrypt(message, key_provider=discovery(reader)) == b"text"


@pytest.mark.parametrize("messages", [10, 50])
def test_fifty_messages_at_ten_a_data_key_ask_for_five(messages, keys, root, calls):
    def caching():
        return CachingCryptoMaterialsManager(
            master_key_provider=strict(root, keys[0]),
            cache=LocalCryptoMaterialsCache(capacity=100),
            max_age=600.0, max_messages_encrypted=10,
        )

    manager = caching()
    written = [
        SDK.encrypt(
            source=f"message {number}".encode(), materials_manager=manager, encryption_context=CONTEXT
        )[0]
        for number in range(messages)
    ]
    made = calls.of("GenerateDataKey")
    assert len(made) == messages // 10
    assert {event["requestParameters"]["keyId"] for event in made} == {keys[0]}
    reading = caching()
    for number, message in enumerate(written):
        assert decrypt(message, materials_manager=reading) == f"message {number}".encode()
    assert len(calls.of("Decrypt")) == messages // 10
    # Without a cache each message asks.
    for message in written[:10]:
        decrypt(message, key_provider=strict(root, keys[0]))
    assert len(calls.of("Decrypt")) == messages // 10 + 10


def test_uses_of_a_key_are_recorded_as_reads_of_it(keys, root, calls):
    """https://docs.aws.amazon.com/kms/latest/developerguide/ct-decrypt.html"""
    provider = strict(root, *keys[:2])
    decrypt(encrypt(b"text", key_provider=provider), key_provider=provider)
    for name in ("GenerateDataKey", "Encrypt", "Decrypt"):
        (event,) = calls.of(name)
        assert event["readOnly"] is True and event["responseElements"] is None, name
        (used,) = event["resources"]
        assert used["accountId"] == root.account and used["type"] == "AWS::KMS::Key"
        assert used["ARN"] in keys
        asked = event["requestParameters"]
        assert asked["encryptionContext"]["tenant"] == "blue"
        assert "ciphertextBlob" not in asked, name


def test_discovery_reads_what_the_accounts_of_its_filter_wrote(keys, root, rings, calls):
    message = encrypt(b"text", key_provider=strict(root, *keys))
    for mine in ((), (root.account,), ("000000000000", root.account)):
        assert decrypt(message, key_provider=discovery(root, *mine)) == b"text"
        # The plain keyring of this version takes a filter of several accounts for one that nothing passes.
        ring = rings.mrk_discovery(root.region, *mine) if len(mine) > 1 else rings.discovery(*mine)
        assert decrypt(message, keyring=ring) == b"text"
    assert len(calls.of("Decrypt")) == 6
    with pytest.raises(MasterKeyProviderError):
        decrypt(message, key_provider=discovery(root, "000000000000"))
    with pytest.raises(AWSEncryptionSDKClientError):
        decrypt(message, keyring=rings.discovery("000000000000"))
    assert len(calls.of("Decrypt")) == 6
    with pytest.raises(MasterKeyProviderError):
        encrypt(b"text", key_provider=discovery(root))
    with pytest.raises(AWSEncryptionSDKClientError):
        encrypt(b"text", keyring=rings.discovery())


@pytest.fixture(scope="module")
def replicated(kms):
    """The ARNs of a primary key and of its replica elsewhere."""
    primary = kms.create_key(MultiRegion=True)["KeyMetadata"]["Arn"]
    kms.replicate_key(KeyId=primary, ReplicaRegion=ELSEWHERE)
    return primary, primary.replace(kms.meta.region_name, ELSEWHERE)


def test_a_replica_reads_what_its_primary_key_wrote(replicated, keys, root, rings, calls):
    primary, replica = replicated
    written = [
        encrypt(b"text", key_provider=strict(root, primary)),
        encrypt(b"text", keyring=rings.mrk(primary, root.region)),
    ]
    aware = MRKAwareStrictAwsKmsMasterKeyProvider(key_ids=[replica], botocore_session=session(root))
    finder = MRKAwareDiscoveryAwsKmsMasterKeyProvider(
        botocore_session=session(root), discovery_region=ELSEWHERE,
        discovery_filter=DiscoveryFilter(account_ids=[root.account], partition="aws"),
    )
    for message in written:
        assert decrypt(message, key_provider=aware) == b"text"
        assert decrypt(message, key_provider=finder) == b"text"
        assert decrypt(message, keyring=rings.mrk(replica, ELSEWHERE)) == b"text"
        assert decrypt(message, keyring=rings.mrk_discovery(ELSEWHERE, root.account)) == b"text"
        # One that does not know of replicas takes it for another key.
        with pytest.raises(DecryptKeyError):
            decrypt(message, key_provider=strict(root, replica))
    assert [event["awsRegion"] for event in calls.of("Decrypt")] == [ELSEWHERE] * 8
    # A key of one region is none elsewhere.
    message = encrypt(b"text", key_provider=strict(root, keys[0]))
    with pytest.raises(AWSEncryptionSDKClientError):
        decrypt(message, keyring=rings.mrk_discovery(ELSEWHERE, root.account))


def test_a_primary_key_reads_what_its_replica_wrote(replicated, root, rings):
    primary, replica = replicated
    message, header = SDK.encrypt(source=b"text", keyring=rings.mrk(replica, ELSEWHERE))
    assert owners(header) == [replica]
    assert decrypt(message, keyring=rings.mrk(primary, root.region)) == b"text"


def test_a_keyring_of_keys_in_several_regions_makes_its_own_clients(
    replicated, keys, root, rings, monkeypatch
):
    primary, replica = replicated
    for name, value in root.environment().items():
        monkeypatch.setenv(name, value)
    message, header = SDK.encrypt(source=b"text", keyring=rings.mrk_several(replica, keys[0]))
    assert owners(header) == [replica, keys[0]]
    for ring in (
        rings.mrk_several(primary), rings.mrk_several(replica), rings.mrk_several(keys[0]),
        rings.mrk_several(keys[1], primary),
    ):
        assert decrypt(message, keyring=ring) == b"text"
    with pytest.raises(AWSEncryptionSDKClientError):
        decrypt(message, keyring=rings.mrk_several(keys[1]))


def test_a_disabled_primary_key_leaves_its_replica_usable(kms, root, rings):
    primary = kms.create_key(MultiRegion=True)["KeyMetadata"]["Arn"]
    kms.replicate_key(KeyId=primary, ReplicaRegion=ELSEWHERE)
    message = encrypt(b"text", keyring=rings.mrk(primary, root.region))
    kms.disable_key(KeyId=primary)
    assert f"{primary} is disabled." in reasons(
        lambda: decrypt(message, keyring=rings.mrk(primary, root.region))
    )
    replica = primary.replace(root.region, ELSEWHERE)
    assert decrypt(message, keyring=rings.mrk(replica, ELSEWHERE)) == b"text"


def test_a_message_outlives_the_rotation_of_its_key(kms, root, rings):
    key = kms.create_key()["KeyMetadata"]["Arn"]
    before = SDK.encrypt(source=b"text", keyring=rings.one(key))
    kms.rotate_key_on_demand(KeyId=key)
    after = SDK.encrypt(source=b"text", keyring=rings.one(key))
    materials = set()
    for message, header in (before, after):
        assert decrypt(message, keyring=rings.one(key)) == b"text"
        (data_key,) = header.encrypted_data_keys
        opened = kms.decrypt(
            CiphertextBlob=data_key.encrypted_data_key, EncryptionContext=header.encryption_context
        )
        materials.add(opened["KeyMaterialId"])
    assert len(materials) == 2


def test_an_asymmetric_key_wraps_data_keys(kms, root, rings):
    key = kms.create_key(KeySpec="RSA_2048", KeyUsage="ENCRYPT_DECRYPT")["KeyMetadata"]["Arn"]
    public = serialization.load_der_public_key(kms.get_public_key(KeyId=key)["PublicKey"])
    pem = public.public_bytes(
        serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo
    )
    # Written without a call; only the owner of the private key reads.
    message = SDK.encrypt(
        source=b"text", keyring=rings.rsa(key, pem), encryption_context=CONTEXT,
        algorithm=Algorithm.AES_256_GCM_HKDF_SHA512_COMMIT_KEY,
    )[0]
    assert decrypt(message, keyring=rings.rsa(key)) == b"text"


@pytest.mark.parametrize("curve", ["ECC_NIST_P256", "ECC_NIST_P384", "ECC_NIST_P521"])
def test_two_keys_agree_on_the_secret_that_wraps_data_keys(curve, kms, rings):
    sender, recipient, other = (
        kms.create_key(KeySpec=curve, KeyUsage="KEY_AGREEMENT")["KeyMetadata"]["Arn"]
        for _ in range(3)
    )
    public = kms.get_public_key(KeyId=recipient)["PublicKey"]
    ring = rings.agreed(curve, sender, public)
    message = encrypt(b"text", keyring=ring)
    assert decrypt(message, keyring=ring) == b"text"
    assert decrypt(message, keyring=rings.agreed_by_recipient(curve, recipient)) == b"text"
    with pytest.raises(AWSEncryptionSDKClientError):
        decrypt(message, keyring=rings.agreed_by_recipient(curve, other))


def test_keys_of_another_account_are_used_where_both_sides_allow_it(dev, keyrings, monkeypatch):
    monkeypatch.setenv("AWS_ENDPOINT_URL", dev.url)
    owner, friend, stranger = (dev.principal(one * 12, "x") for one in "123")
    shared = {
        "Effect": "Allow", "Principal": {"AWS": "arn:aws:iam::222222222222:root"},
        "Action": ["kms:GenerateDataKey", "kms:Decrypt"], "Resource": "*",
    }
    own = {
        "Effect": "Allow", "Principal": {"AWS": "arn:aws:iam::111111111111:root"},
        "Action": "kms:*", "Resource": "*",
    }
    key = owner.client("kms").create_key(Policy=policy(own, shared))["KeyMetadata"]["Arn"]
    message = encrypt(b"text", key_provider=strict(friend, key))
    assert decrypt(message, key_provider=discovery(owner, "111111111111")) == b"text"
    assert decrypt(message, keyring=keyrings(friend).discovery("111111111111")) == b"text"
    # The filter is of the key's account, not of the writer's.
    with pytest.raises(MasterKeyProviderError):
        decrypt(message, key_provider=discovery(friend, "222222222222"))
    with pytest.raises(DecryptKeyError):
        decrypt(message, key_provider=discovery(stranger, "111111111111"))
    assert refusal(friend.client("kms").describe_key, KeyId=key).code == "AccessDeniedException"
