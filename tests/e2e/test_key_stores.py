"""Custom key stores: keys in a token of SoftHSM, and keys behind an external key store proxy."""

import base64
import json
import time

import pytest

from clients import refusal
from softhsm import PIN, Tokens
from test_secrets_at_rest import occurrences
from world import World, allow, unique
from xks_proxy import ACCESS_KEY_ID, NEW_SECRET, PREFIX, SECOND_PREFIX, SECRET, Proxy

CLUSTER = "cluster-abcdefg2345"
LOCKED = "cluster-bbbbbbb2345"
EMPTY = "cluster-ccccccc2345"
OTHERS = "cluster-ddddddd2345"
BROKEN = "cluster-eeeeeee2345"
ANCHOR = "-----BEGIN CERTIFICATE-----\nQUJD\n-----END CERTIFICATE-----\n"
ENDPOINT = "https://xks.example.com"
# What AWS's KMS says of a proxy that cannot be used.
UNREACHABLE = "AWS KMS cannot communicate with the external key store proxy."


@pytest.fixture(scope="module")
def tokens(tmp_path_factory):
    tokens = Tokens(tmp_path_factory.mktemp("hsm"))
    tokens.make("kms")
    tokens.make("second")
    return tokens


@pytest.fixture(scope="module")
def proxy():
    proxy = Proxy()
    yield proxy
    proxy.stop()


@pytest.fixture(autouse=True)
def sound(request):
    """Each test begins with a proxy that works."""
    if "proxy" in request.fixturenames:
        proxy = request.getfixturevalue("proxy")
        proxy.failing, proxy.spoil, proxy.delay, proxy.metadata, proxy.health = None, None, 0, {}, "ACTIVE"


@pytest.fixture(scope="module")
def server(start_server, tokens, proxy, tmp_path_factory):
    anchor = tmp_path_factory.mktemp("anchor") / "customerCA.crt"
    anchor.write_text(ANCHOR)
    module = f"module:{tokens.library}"
    running = start_server(
        "--hsm", f"{CLUSTER}={module},token:kms,anchor:{anchor}",
        "--hsm", f"{LOCKED}={module},token:second",
        "--hsm", f"{EMPTY}={module},token:none",
        "--hsm", f"{OTHERS}={module},token:second,account:222222222222",
        "--hsm", f"{BROKEN}=module:/etc/passwd,token:second",
        "--xks-endpoint", f"{ENDPOINT}={proxy.url}",
        "--xks-timeout", "5000",
        "--quota", "kms:requests=1000000",
        env=tokens.env,
    )
    yield running
    running.stop()


@pytest.fixture(scope="module")
def kms(server):
    return server.root().client("kms")


def entry(kms, store):
    (found,) = kms.describe_custom_key_stores(CustomKeyStoreId=store)["CustomKeyStores"]
    return found


def settled(kms, store):
    """A store's entry once nothing is under way."""
    deadline = time.monotonic() + 30
    while (found := entry(kms, store))["ConnectionState"] == "CONNECTING":
        assert time.monotonic() < deadline, "still connecting"
        time.sleep(0.02)
    return found


def connect(kms, store, state="CONNECTED"):
    kms.connect_custom_key_store(CustomKeyStoreId=store)
    found = settled(kms, store)
    assert found["ConnectionState"] == state, found
    return found.get("ConnectionErrorCode")


def cluster_store(kms, cluster=CLUSTER, password=PIN, anchor=ANCHOR, name=None):
    return kms.create_custom_key_store(
        CustomKeyStoreName=name or unique("store"), CloudHsmClusterId=cluster,
        TrustAnchorCertificate=anchor, KeyStorePassword=password,
    )["CustomKeyStoreId"]


def external(**changes):
    """The parameters of an external store."""
    return {
        "CustomKeyStoreName": unique("external"), "CustomKeyStoreType": "EXTERNAL_KEY_STORE",
        "XksProxyConnectivity": "PUBLIC_ENDPOINT", "XksProxyUriEndpoint": ENDPOINT,
        "XksProxyUriPath": PREFIX,
        "XksProxyAuthenticationCredential": {
            "AccessKeyId": ACCESS_KEY_ID, "RawSecretAccessKey": SECRET,
        },
        **changes,
    }


@pytest.fixture(scope="module")
def hsm(kms):
    """A connected store on a token."""
    store = cluster_store(kms)
    connect(kms, store)
    return store


@pytest.fixture(scope="module")
def xks(kms, proxy):
    """A connected store behind a proxy."""
    store = kms.create_custom_key_store(**external())["CustomKeyStoreId"]
    connect(kms, store)
    return store


def token_key(kms, store, **more):
    return kms.create_key(Origin="AWS_CLOUDHSM", CustomKeyStoreId=store, **more)["KeyMetadata"]


@pytest.fixture(scope="module")
def in_token(kms, hsm):
    return token_key(kms, hsm)


@pytest.fixture(scope="module")
def outside(kms, xks):
    return kms.create_key(Origin="EXTERNAL_KEY_STORE", CustomKeyStoreId=xks, XksKeyId="one")["KeyMetadata"]


@pytest.fixture(params=["in_token", "outside"])
def key(request):
    return request.getfixturevalue(request.param)


def expect(code, call, message=None, **parameters):
    refused = refusal(call, **parameters)
    assert (refused.code, refused.status) == (code, 400), str(refused)
    if message is not None:
        assert refused.message.startswith(message), refused.message


def test_a_store_is_described_without_its_secrets(kms, hsm, xks):
    found = entry(kms, hsm)
    assert found.pop("CreationDate") and found.pop("CustomKeyStoreName").startswith("store")
    assert found == {
        "CustomKeyStoreId": hsm, "CustomKeyStoreType": "AWS_CLOUDHSM",
        "CloudHsmClusterId": CLUSTER, "TrustAnchorCertificate": ANCHOR,
        "ConnectionState": "CONNECTED",
    }
    found = entry(kms, xks)
    assert found["XksProxyConfiguration"] == {
        "AccessKeyId": ACCESS_KEY_ID, "Connectivity": "PUBLIC_ENDPOINT",
        "UriEndpoint": ENDPOINT, "UriPath": PREFIX,
    }
    assert found["CustomKeyStoreType"] == "EXTERNAL_KEY_STORE"
    assert kms.describe_custom_key_stores(CustomKeyStoreName=found["CustomKeyStoreName"])[
        "CustomKeyStores"] == [found]
    pages = kms.get_paginator("describe_custom_key_stores").paginate(PaginationConfig={"PageSize": 1})
    ids = [one["CustomKeyStoreId"] for page in pages for one in page["CustomKeyStores"]]
    assert {hsm, xks} <= set(ids) and len(ids) == len(set(ids))
    expect("CustomKeyStoreNotFoundException", kms.describe_custom_key_stores, CustomKeyStoreId="cks-1")
    expect("ValidationException", kms.describe_custom_key_stores,
           CustomKeyStoreId=hsm, CustomKeyStoreName="x")


def test_a_key_says_which_store_it_is_in(kms, in_token, outside, hsm, xks):
    for key, store, more in (
        (in_token, hsm, {"CloudHsmClusterId": CLUSTER, "Origin": "AWS_CLOUDHSM"}),
        (outside, xks, {"XksKeyConfiguration": {"Id": "one"}, "Origin": "EXTERNAL_KEY_STORE"}),
    ):
        shown = kms.describe_key(KeyId=key["KeyId"])["KeyMetadata"]
        assert shown == key
        assert {"CustomKeyStoreId": store, "KeyState": "Enabled", **more}.items() <= shown.items()
        assert "CurrentKeyMaterialId" not in shown and shown["MultiRegion"] is False


def test_what_was_encrypted_is_decrypted_in_its_context_alone(kms, key):
    context = {"purpose": "test"}
    for text in (b"x", bytes(range(256)) * 16):
        sealed = kms.encrypt(KeyId=key["KeyId"], Plaintext=text, EncryptionContext=context)
        blob = sealed["CiphertextBlob"]
        opened = kms.decrypt(CiphertextBlob=blob, EncryptionContext=context)
        assert (opened["Plaintext"], opened["KeyId"]) == (text, key["Arn"])
        assert kms.encrypt(KeyId=key["KeyId"], Plaintext=text)["CiphertextBlob"] != blob
    invalid = ("InvalidCiphertextException", "KMSInvalidStateException", "AccessDeniedException")
    for other in ({}, {"purpose": "Test"}):
        refused = refusal(kms.decrypt, CiphertextBlob=blob, EncryptionContext=other)
        assert refused.code in invalid, str(refused)
    for at in (0, 1, 20, 60, 90, 110, len(blob) - 1):
        spoilt = bytes(byte ^ (index == at) for index, byte in enumerate(blob))
        refused = refusal(kms.decrypt, CiphertextBlob=spoilt, EncryptionContext=context)
        assert refused.status == 400 and refused.code in invalid, (at, str(refused))


def test_data_keys_and_pairs_are_made_under_keys_in_stores(kms, key):
    made = kms.generate_data_key(KeyId=key["KeyId"], KeySpec="AES_256")
    assert kms.decrypt(CiphertextBlob=made["CiphertextBlob"])["Plaintext"] == made["Plaintext"]
    made = kms.generate_data_key_without_plaintext(KeyId=key["KeyId"], NumberOfBytes=1024)
    assert len(kms.decrypt(CiphertextBlob=made["CiphertextBlob"])["Plaintext"]) == 1024
    made = kms.generate_data_key_pair(KeyId=key["KeyId"], KeyPairSpec="RSA_4096")
    opened = kms.decrypt(CiphertextBlob=made["PrivateKeyCiphertextBlob"])
    assert opened["Plaintext"] == made["PrivateKeyPlaintext"]


def test_re_encryption_moves_between_stores_and_kms(kms, in_token, outside):
    own = kms.create_key()["KeyMetadata"]
    blob = kms.encrypt(KeyId=own["KeyId"], Plaintext=b"moved")["CiphertextBlob"]
    for source, destination in ((own, in_token), (in_token, outside), (outside, own)):
        moved = kms.re_encrypt(CiphertextBlob=blob, DestinationKeyId=destination["KeyId"])
        assert (moved["SourceKeyId"], moved["KeyId"]) == (source["Arn"], destination["Arn"])
        blob = moved["CiphertextBlob"]
    assert kms.decrypt(CiphertextBlob=blob)["Plaintext"] == b"moved"


def test_an_external_key_encrypts_what_our_own_has_encrypted(kms, outside, proxy):
    proxy.requests.clear()
    plaintext = b"twice encrypted"
    blob = kms.encrypt(KeyId=outside["KeyId"], Plaintext=plaintext)["CiphertextBlob"]
    ((path, request),) = proxy.requests
    assert path == f"{PREFIX}/keys/one/encrypt"
    inner = base64.b64decode(request["plaintext"])
    assert plaintext not in inner and len(inner) > len(plaintext)
    told = request["requestMetadata"]
    assert told["kmsOperation"] == "Encrypt" and told["kmsKeyArn"] == outside["Arn"]
    assert told["awsPrincipalArn"].endswith(":root") and len(told["kmsRequestId"]) == 36
    # What the proxy saw is of no use without the proxy.
    expect("InvalidCiphertextException", kms.decrypt, CiphertextBlob=inner)
    assert kms.decrypt(CiphertextBlob=blob)["Plaintext"] == plaintext


def test_random_bytes_come_from_the_token(kms, hsm, xks):
    one, other = (
        kms.generate_random(NumberOfBytes=64, CustomKeyStoreId=hsm)["Plaintext"] for _ in range(2)
    )
    assert len(one) == 64 and one != other
    expect("UnsupportedOperationException", kms.generate_random, NumberOfBytes=1, CustomKeyStoreId=xks)
    expect("CustomKeyStoreNotFoundException", kms.generate_random,
           NumberOfBytes=1, CustomKeyStoreId="cks-1")


def test_a_store_takes_symmetric_keys_of_its_own_origin_alone(kms, hsm, xks, outside):
    token = {"Origin": "AWS_CLOUDHSM", "CustomKeyStoreId": hsm}
    beyond = {"Origin": "EXTERNAL_KEY_STORE", "CustomKeyStoreId": xks, "XksKeyId": "two"}
    for code, parameters in (
        ("UnsupportedOperationException", {**token, "KeySpec": "RSA_2048", "KeyUsage": "SIGN_VERIFY"}),
        ("UnsupportedOperationException", {**token, "MultiRegion": True}),
        ("UnsupportedOperationException", {**beyond, "KeySpec": "HMAC_256", "KeyUsage": "GENERATE_VERIFY_MAC"}),
        ("ValidationException", {"CustomKeyStoreId": hsm}),
        ("ValidationException", {"Origin": "AWS_CLOUDHSM"}),
        ("ValidationException", {**token, "XksKeyId": "two"}),
        ("ValidationException", {**beyond, "CustomKeyStoreId": hsm}),
        ("ValidationException", {"Origin": "EXTERNAL_KEY_STORE", "CustomKeyStoreId": xks}),
        ("ValidationException", {"XksKeyId": "two"}),
        ("CustomKeyStoreNotFoundException", {**token, "CustomKeyStoreId": "cks-1"}),
        ("XksKeyAlreadyInUseException", {**beyond, "XksKeyId": "one"}),
        ("XksKeyNotFoundException", {**beyond, "XksKeyId": "three"}),
    ):
        expect(code, kms.create_key, **parameters)


def test_an_external_key_must_be_fit(kms, xks, proxy):
    parameters = {"Origin": "EXTERNAL_KEY_STORE", "CustomKeyStoreId": xks, "XksKeyId": "two"}
    for metadata in ({"keySpec": "AES_128"}, {"keyUsage": ["ENCRYPT"]}, {"keyStatus": "DISABLED"}):
        proxy.metadata = metadata
        expect("XksKeyInvalidConfigurationException", kms.create_key, **parameters)
    proxy.metadata = {}
    for failing, code in (
        ("AccessDeniedException", "KMSInvalidStateException"),
        ("InvalidStateException", "XksKeyInvalidConfigurationException"),
        ("InternalException", "CustomKeyStoreInvalidStateException"),
    ):
        proxy.failing = failing
        expect(code, kms.create_key, **parameters)


def test_a_key_in_a_store_that_is_not_connected_is_unavailable(kms, hsm, xks, in_token, outside):
    for store, key, message in (
        (hsm, in_token, f"{in_token['Arn']} is unavailable."),
        (xks, outside, "This KMS key is in a custom key store that is not connected"),
    ):
        blob = kms.encrypt(KeyId=key["KeyId"], Plaintext=b"x")["CiphertextBlob"]
        kms.disconnect_custom_key_store(CustomKeyStoreId=store)
        assert entry(kms, store)["ConnectionState"] == "DISCONNECTED"
        expect("CustomKeyStoreInvalidStateException", kms.disconnect_custom_key_store,
               CustomKeyStoreId=store)
        shown = kms.describe_key(KeyId=key["KeyId"])["KeyMetadata"]
        assert (shown["KeyState"], shown["Enabled"]) == ("Unavailable", False)
        expect("KMSInvalidStateException", kms.encrypt, message, KeyId=key["KeyId"], Plaintext=b"x")
        expect("KMSInvalidStateException", kms.decrypt, CiphertextBlob=blob)
        expect("KMSInvalidStateException", kms.generate_data_key, KeyId=key["KeyId"], KeySpec="AES_256")
        more = {"XksKeyId": "two"} if store == xks else {}
        expect("CustomKeyStoreInvalidStateException", kms.create_key,
               Origin=key["Origin"], CustomKeyStoreId=store, **more)
        # It can be managed, and what is scheduled is told first.
        kms.schedule_key_deletion(KeyId=key["KeyId"])
        state = kms.describe_key(KeyId=key["KeyId"])["KeyMetadata"]["KeyState"]
        assert state == "PendingDeletion"
        kms.cancel_key_deletion(KeyId=key["KeyId"])
        kms.enable_key(KeyId=key["KeyId"])
        connect(kms, store)
        assert kms.decrypt(CiphertextBlob=blob)["Plaintext"] == b"x"
        # Connecting what is connected is no error.
        connect(kms, store)
    expect("CustomKeyStoreNotFoundException", kms.connect_custom_key_store, CustomKeyStoreId="cks-1")


def test_a_cluster_is_one_that_the_operator_names_and_is_used_once(kms, hsm):
    make = kms.create_custom_key_store
    parameters = {
        "CustomKeyStoreName": unique("store"), "CloudHsmClusterId": LOCKED,
        "TrustAnchorCertificate": ANCHOR, "KeyStorePassword": PIN,
    }
    for code, changes in (
        ("CloudHsmClusterNotFoundException", {"CloudHsmClusterId": "cluster-zzzzzzz2345"}),
        ("CloudHsmClusterNotFoundException", {"CloudHsmClusterId": OTHERS}),
        ("CloudHsmClusterInUseException", {"CloudHsmClusterId": CLUSTER}),
        ("IncorrectTrustAnchorException",
         {"CloudHsmClusterId": CLUSTER, "TrustAnchorCertificate": ANCHOR.replace("QUJD", "AAAA")}),
        ("IncorrectTrustAnchorException", {"TrustAnchorCertificate": "none"}),
        ("CustomKeyStoreNameInUseException", {"CustomKeyStoreName": entry(kms, hsm)["CustomKeyStoreName"]}),
        ("ValidationException", {"XksProxyUriPath": PREFIX}),
    ):
        expect(code, make, **{**parameters, **changes})
    del parameters["KeyStorePassword"]
    expect("ValidationException", make, **parameters)


def test_why_a_token_cannot_be_connected_is_told_and_can_be_mended(kms):
    wrong = cluster_store(kms, LOCKED, password="not the password")
    assert connect(kms, wrong, "FAILED") == "INVALID_CREDENTIALS"
    expect("CustomKeyStoreInvalidStateException", kms.connect_custom_key_store, CustomKeyStoreId=wrong)
    expect("CustomKeyStoreInvalidStateException", kms.update_custom_key_store,
           CustomKeyStoreId=wrong, KeyStorePassword=PIN)
    kms.disconnect_custom_key_store(CustomKeyStoreId=wrong)
    kms.update_custom_key_store(CustomKeyStoreId=wrong, KeyStorePassword=PIN)
    connect(kms, wrong)
    # Connected, only its name can be changed.
    name = unique("renamed")
    kms.update_custom_key_store(CustomKeyStoreId=wrong, NewCustomKeyStoreName=name)
    assert entry(kms, wrong)["CustomKeyStoreName"] == name
    expect("CustomKeyStoreInvalidStateException", kms.update_custom_key_store,
           CustomKeyStoreId=wrong, KeyStorePassword=PIN)
    kms.disconnect_custom_key_store(CustomKeyStoreId=wrong)
    kms.delete_custom_key_store(CustomKeyStoreId=wrong)
    expect("CustomKeyStoreNotFoundException", kms.describe_custom_key_stores, CustomKeyStoreId=wrong)
    for cluster, code in ((EMPTY, "INSUFFICIENT_CLOUDHSM_HSMS"), (BROKEN, "INTERNAL_ERROR")):
        store = cluster_store(kms, cluster)
        assert connect(kms, store, "FAILED") == code


def test_a_proxy_must_answer_before_a_store_is_made(kms, xks, proxy):
    make = kms.create_custom_key_store
    expect("XksProxyUriInUseException", make, **external())
    elsewhere = {"XksProxyUriPath": "/elsewhere/kms/xks/v1"}
    expect("XksProxyInvalidConfigurationException", make, **external(**elsewhere))
    expect("ValidationException", make, **external(XksProxyUriPath="/tests/kms/xks/v2"))
    credential = {"AccessKeyId": ACCESS_KEY_ID, "RawSecretAccessKey": SECRET[::-1]}
    expect("XksProxyIncorrectAuthenticationCredentialException", make,
           **external(**elsewhere, XksProxyAuthenticationCredential=credential))
    expect("XksProxyUriUnreachableException", make,
           **external(XksProxyUriEndpoint="https://nowhere.invalid"))
    expect("XksProxyVpcEndpointServiceNotFoundException", make, **external(
        **elsewhere, XksProxyConnectivity="VPC_ENDPOINT_SERVICE",
        XksProxyVpcEndpointServiceName="com.amazonaws.vpce.us-east-1.vpce-svc-0123456789abcdef0",
    ))
    proxy.health = "UNAVAILABLE"
    expect("XksProxyUriUnreachableException", make, **external(XksProxyUriPath=SECOND_PREFIX))
    proxy.spoil = lambda answer: b"<html>"
    expect("XksProxyInvalidResponseException", make, **external(XksProxyUriPath=SECOND_PREFIX))


CODES = {
    "AuthenticationFailedException": "INVALID_CREDENTIALS",
    "AccessDeniedException": "XKS_PROXY_ACCESS_DENIED",
    "InvalidUriPathException": "XKS_PROXY_INVALID_CONFIGURATION",
    "DependencyTimeoutException": "XKS_PROXY_TIMED_OUT",
    "InternalException": "XKS_PROXY_NOT_REACHABLE",
}


def test_why_a_proxy_cannot_be_connected_is_told(kms, xks, proxy):
    for failing, code in CODES.items():
        kms.disconnect_custom_key_store(CustomKeyStoreId=xks)
        proxy.failing = failing
        assert connect(kms, xks, "FAILED") == code
    kms.disconnect_custom_key_store(CustomKeyStoreId=xks)
    proxy.failing, proxy.spoil = None, lambda answer: {"xksProxyFleetSize": 1}
    assert connect(kms, xks, "FAILED") == "XKS_PROXY_INVALID_RESPONSE"
    kms.disconnect_custom_key_store(CustomKeyStoreId=xks)
    proxy.spoil = None
    connect(kms, xks)


def test_a_proxys_credential_is_changed_while_it_is_connected(kms, xks, outside, proxy):
    proxy.secret = NEW_SECRET
    new = {"AccessKeyId": ACCESS_KEY_ID, "RawSecretAccessKey": proxy.secret}
    expect("KMSInvalidStateException", kms.encrypt, KeyId=outside["KeyId"], Plaintext=b"x")
    kms.update_custom_key_store(CustomKeyStoreId=xks, XksProxyAuthenticationCredential=new)
    kms.encrypt(KeyId=outside["KeyId"], Plaintext=b"x")
    expect("XksProxyIncorrectAuthenticationCredentialException", kms.update_custom_key_store,
           CustomKeyStoreId=xks, XksProxyAuthenticationCredential={**new, "RawSecretAccessKey": SECRET})
    expect("CustomKeyStoreInvalidStateException", kms.update_custom_key_store,
           CustomKeyStoreId=xks, XksProxyUriEndpoint="https://other.example.com")
    proxy.secret = SECRET
    kms.disconnect_custom_key_store(CustomKeyStoreId=xks)
    old = {**new, "RawSecretAccessKey": SECRET}
    kms.update_custom_key_store(CustomKeyStoreId=xks, XksProxyAuthenticationCredential=old)
    connect(kms, xks)


def test_a_proxy_that_fails_is_told_by_its_failure_and_not_by_its_words(kms, outside, proxy):
    blob = kms.encrypt(KeyId=outside["KeyId"], Plaintext=b"x")["CiphertextBlob"]
    encrypt = {"KeyId": outside["KeyId"], "Plaintext": b"x"}
    for failing, message in (
        ("InternalException", "The external key store proxy rejected the request because it cannot comm"),
        ("ThrottlingException", "The external key store proxy rejected the request due to a very high"),
        ("InvalidStateException", "The external key associated with this KMS key in an external key"),
        ("ValidationException", "AWS KMS cannot interpret the response from the external key store"),
    ):
        proxy.failing = failing
        expect("KMSInvalidStateException", kms.encrypt, message, **encrypt)
        expect("KMSInvalidStateException", kms.decrypt, message, CiphertextBlob=blob)
    proxy.failing = None
    for name in ("ciphertext", "initializationVector", "ciphertextMetadata", "authenticationTag",
                 "ciphertextDataIntegrityValue"):
        proxy.spoil = lambda answer, name=name: {**answer, name: answer[name][:-8] + "AAAAAAA="}
        expect("KMSInvalidStateException", kms.encrypt, "AWS KMS cannot interpret", **encrypt)
    # A proxy cannot give another plaintext than what was encrypted here.
    proxy.spoil = lambda answer: {"plaintext": answer["plaintext"][:-8] + "AAAAAAA="}
    expect("InvalidCiphertextException", kms.decrypt, CiphertextBlob=blob)


def test_a_proxys_words_are_logged_in_part_and_once_in_a_while(server, kms, outside, proxy):
    words = "\x1b[31mX" + "A" * 250_000
    proxy.failing = "ThrottlingException"
    proxy.spoil = lambda answer: {**answer, "errorMessage": words}
    before = len(server.stderr)
    for _ in range(20):
        expect("KMSInvalidStateException", kms.encrypt, KeyId=outside["KeyId"], Plaintext=b"x")
    logged = server.stderr[before:]
    assert len(logged) < 5_000 and "\\u001b" not in logged and "\x1b" not in logged


def test_a_proxy_that_goes_and_comes_back(kms, outside, proxy):
    blob = kms.encrypt(KeyId=outside["KeyId"], Plaintext=b"x")["CiphertextBlob"]
    proxy.stop()
    expect("KMSInvalidStateException", kms.decrypt, UNREACHABLE, CiphertextBlob=blob)
    # The store is still connected: its keys are what they were.
    assert kms.describe_key(KeyId=outside["KeyId"])["KeyMetadata"]["KeyState"] == "Enabled"
    proxy.start_again()
    assert kms.decrypt(CiphertextBlob=blob)["Plaintext"] == b"x"


def test_a_token_that_goes_and_comes_back_while_its_keys_are_used(kms, in_token, tokens):
    blob = kms.encrypt(KeyId=in_token["KeyId"], Plaintext=b"x")["CiphertextBlob"]
    tokens.pull()
    expect("KMSInvalidStateException", kms.decrypt, CiphertextBlob=blob)
    tokens.put_back()
    deadline = time.monotonic() + 30
    while True:
        try:
            assert kms.decrypt(CiphertextBlob=blob)["Plaintext"] == b"x"
            return
        except kms.exceptions.KMSInvalidStateException:
            assert time.monotonic() < deadline
            time.sleep(0.1)


def test_a_token_that_goes_and_comes_back(kms, hsm, in_token, tokens):
    blob = kms.encrypt(KeyId=in_token["KeyId"], Plaintext=b"x")["CiphertextBlob"]
    tokens.pull()
    expect("CustomKeyStoreInvalidStateException", kms.create_key,
           Origin="AWS_CLOUDHSM", CustomKeyStoreId=hsm)
    tokens.put_back()
    deadline = time.monotonic() + 30
    while True:
        try:
            assert kms.decrypt(CiphertextBlob=blob)["Plaintext"] == b"x"
            return
        except kms.exceptions.KMSInvalidStateException:
            assert time.monotonic() < deadline
            time.sleep(0.1)


def test_a_store_with_keys_is_not_deleted(kms, hsm, in_token):
    kms.disconnect_custom_key_store(CustomKeyStoreId=hsm)
    expect("CustomKeyStoreHasCMKsException", kms.delete_custom_key_store, CustomKeyStoreId=hsm)
    connect(kms, hsm)
    expect("CustomKeyStoreInvalidStateException", kms.delete_custom_key_store, CustomKeyStoreId=hsm)


def test_who_may_not_hears_of_no_store(server, hsm):
    world = World(server.root())
    nobody = world.user(allow("kms:CreateKey")).client("kms")
    for call, parameters in (
        (nobody.create_custom_key_store, external()),
        (nobody.describe_custom_key_stores, {"CustomKeyStoreId": "cks-1"}),
        (nobody.update_custom_key_store, {"CustomKeyStoreId": hsm, "NewCustomKeyStoreName": "x"}),
        (nobody.delete_custom_key_store, {"CustomKeyStoreId": hsm}),
        (nobody.connect_custom_key_store, {"CustomKeyStoreId": "cks-1"}),
        (nobody.disconnect_custom_key_store, {"CustomKeyStoreId": "cks-1"}),
    ):
        assert refusal(call, **parameters).code == "AccessDeniedException"


@pytest.mark.one_process("connections of a custom key store, which are each server's own")
def test_stores_are_connected_after_a_restart_and_nothing_secret_is_on_disk(server, kms, in_token, outside, tokens):
    blobs = [
        kms.encrypt(KeyId=key["KeyId"], Plaintext=b"kept")["CiphertextBlob"] for key in (in_token, outside)
    ]
    server.kill()
    secrets = {"the PIN": PIN, "the proxy's secret": SECRET}
    assert occurrences(server.data, secrets) == []
    logged = "".join(path.read_text() for path in server.logs.glob("std*"))
    assert PIN not in logged and SECRET not in logged
    server.start()
    for blob in blobs:
        assert kms.decrypt(CiphertextBlob=blob)["Plaintext"] == b"kept"


@pytest.mark.one_process("connections of a custom key store, which are each server's own")
def test_a_connection_that_was_cut_short_is_carried_on(server, kms, xks, outside, proxy):
    kms.disconnect_custom_key_store(CustomKeyStoreId=xks)
    proxy.delay = 3
    kms.connect_custom_key_store(CustomKeyStoreId=xks)
    assert entry(kms, xks)["ConnectionState"] == "CONNECTING"
    server.kill()
    proxy.delay = 0
    server.start()
    assert settled(kms, xks)["ConnectionState"] == "CONNECTED"
    kms.encrypt(KeyId=outside["KeyId"], Plaintext=b"x")


@pytest.mark.one_process("connections of a custom key store, which are each server's own")
def test_a_proxy_has_its_time_and_no_more(start_server, proxy):
    server = start_server("--xks-endpoint", f"{ENDPOINT}={proxy.url}", "--xks-timeout", "1000",
                          "--quota", "kms:requests=1000000")
    kms = server.root().client("kms")
    store = kms.create_custom_key_store(**external())["CustomKeyStoreId"]
    connect(kms, store)
    key = kms.create_key(Origin="EXTERNAL_KEY_STORE", CustomKeyStoreId=store, XksKeyId="one")
    proxy.delay = 3
    expect("KMSInvalidStateException", kms.encrypt,
           "AWS KMS rejected the request because the external key store proxy did not respond in time.",
           KeyId=key["KeyMetadata"]["KeyId"], Plaintext=b"x")
    kms.disconnect_custom_key_store(CustomKeyStoreId=store)
    assert connect(kms, store, "FAILED") == "XKS_PROXY_TIMED_OUT"
    server.stop()


def test_an_endpoint_that_the_operator_reaches_elsewhere_is_one_accounts(start_server, proxy):
    server = start_server(
        "--xks-endpoint", f"{ENDPOINT}={proxy.url}",
        "--xks-endpoint", f"https://other.invalid={proxy.url},account:222222222222",
        "--xks-timeout", "5000", dev=True,
    )
    own, other = (server.principal(account, "test").client("kms") for account in ("test", "222222222222"))
    others = "https://other.invalid"
    proxy.requests.clear()
    for kms, endpoint in ((other, ENDPOINT), (own, others)):
        expect("XksProxyUriUnreachableException", kms.create_custom_key_store,
               **external(XksProxyUriEndpoint=endpoint))
    assert proxy.requests == []
    for kms, endpoint in ((own, ENDPOINT), (other, others)):
        store = kms.create_custom_key_store(**external(XksProxyUriEndpoint=endpoint))["CustomKeyStoreId"]
        connect(kms, store)
    server.stop()


@pytest.fixture
def moved(start_server, tmp_path):
    """A server whose clock can be moved, its client, and its tokens."""
    tokens = Tokens(tmp_path)
    tokens.make("kms")
    server = start_server("--hsm", f"{CLUSTER}=module:{tokens.library},token:kms", dev=True, env=tokens.env)
    kms = server.principal("test", "test").client("kms")
    yield server, kms, tokens
    server.stop()


def pass_time(server, days):
    assert server.post_json("/_ringfence/clock", {"advance_seconds": days * 86400})[0] == 200


def test_a_deleted_key_is_destroyed_in_its_token(moved):
    server, kms, tokens = moved
    store = cluster_store(kms)
    connect(kms, store)
    kept, gone = token_key(kms, store)["KeyId"], token_key(kms, store)["KeyId"]
    assert len(tokens.objects()) == 2
    kms.schedule_key_deletion(KeyId=gone, PendingWindowInDays=7)
    pass_time(server, 6)
    assert len(tokens.objects()) == 2
    pass_time(server, 2)
    assert len(tokens.objects()) == 1
    expect("NotFoundException", kms.describe_key, KeyId=gone)
    kms.encrypt(KeyId=kept, Plaintext=b"x")


def test_a_deleted_key_of_a_store_that_is_not_connected_is_destroyed_when_it_is(moved):
    server, kms, tokens = moved
    store = cluster_store(kms)
    connect(kms, store)
    key = token_key(kms, store)["KeyId"]
    kms.schedule_key_deletion(KeyId=key, PendingWindowInDays=7)
    kms.disconnect_custom_key_store(CustomKeyStoreId=store)
    pass_time(server, 8)
    expect("NotFoundException", kms.describe_key, KeyId=key)
    assert len(tokens.objects()) == 1
    # Without its store nothing would destroy it any more.
    expect("CustomKeyStoreHasCMKsException", kms.delete_custom_key_store, CustomKeyStoreId=store)
    connect(kms, store)
    pass_time(server, 1)
    assert tokens.objects() == set()
    kms.disconnect_custom_key_store(CustomKeyStoreId=store)
    kms.delete_custom_key_store(CustomKeyStoreId=store)


@pytest.mark.one_process("connections of a custom key store, which are each server's own")
def test_what_other_keys_can_do_keys_in_stores_cannot(kms, in_token, outside, xks):
    for key in (in_token["KeyId"], outside["KeyId"]):
        for call in (kms.enable_key_rotation, kms.rotate_key_on_demand):
            assert refusal(call, KeyId=key).code == "UnsupportedOperationException"
        assert refusal(kms.get_parameters_for_import, KeyId=key, WrappingAlgorithm="RSAES_OAEP_SHA_256",
                       WrappingKeySpec="RSA_2048").code == "UnsupportedOperationException"
        assert refusal(kms.replicate_key, KeyId=key, ReplicaRegion="eu-west-1").code in (
            "UnsupportedOperationException",)
        assert refusal(kms.sign, KeyId=key, Message=b"x", SigningAlgorithm="ECDSA_SHA_256").code == (
            "InvalidKeyUsageException")


@pytest.fixture(scope="module")
def manager(start_server, ringfence):
    """Another Ringfence, one of whose keys is open to those who have its credential."""
    server = start_server("--quota", "kms:requests=1000000")
    kms = server.root().client("kms")
    key = kms.create_key()["KeyMetadata"]["KeyId"]
    other = kms.create_key(KeySpec="HMAC_256", KeyUsage="GENERATE_VERIFY_MAC")["KeyMetadata"]["KeyId"]
    server.stop()
    at = server.place
    told = json.loads(ringfence("xks", "credential", *at).stdout)
    assert ringfence("xks", "open", *at, "--id", "theirs", key).stdout == "theirs\n"
    for arguments, why in (
        (("open", *at, "--id", "theirs", key), "is open already"),
        (("open", *at, "--id", "a b", key), "is no external key id"),
        (("open", *at, other), "no symmetric encryption key"),
        (("open", *at, "1234abcd-12ab-34cd-56ef-1234567890ab"), "there is no key"),
        (("close", *at, "mine"), "is not open"),
        (("revoke", *at, "ABCDEFGHIJKLMNOPQRST"), "there is no credential"),
    ):
        done = ringfence("xks", *arguments, check=False)
        assert done.returncode != 0 and why in done.stderr, done.stderr
    server.start()
    yield server, kms, key, told
    server.stop()


@pytest.mark.one_process("last uses, which other servers know a minute later")
def test_one_ringfence_uses_the_keys_of_another(start_server, ringfence, manager):
    theirs, their_kms, their_key, told = manager
    secret = told["XksProxyAuthenticationCredential"]["RawSecretAccessKey"]
    server = start_server("--xks-endpoint", f"{ENDPOINT}={theirs.url}", "--xks-timeout", "5000",
                          "--quota", "kms:requests=1000000")
    kms = server.root().client("kms")
    store = kms.create_custom_key_store(**external(**told))["CustomKeyStoreId"]
    connect(kms, store)
    create = {"Origin": "EXTERNAL_KEY_STORE", "CustomKeyStoreId": store}
    expect("XksKeyNotFoundException", kms.create_key, **create, XksKeyId=their_key)
    key = kms.create_key(**create, XksKeyId="theirs")["KeyMetadata"]["Arn"]
    blob = kms.encrypt(KeyId=key, Plaintext=b"theirs", EncryptionContext={"a": "b"})["CiphertextBlob"]

    def opened():
        return kms.decrypt(CiphertextBlob=blob, EncryptionContext={"a": "b"})["Plaintext"]

    assert opened() == b"theirs"
    # What was encrypted before a rotation over there still opens.
    their_kms.rotate_key_on_demand(KeyId=their_key)
    assert opened() == b"theirs"
    assert kms.generate_data_key(KeyId=key, KeySpec="AES_256")["Plaintext"]
    # Every use is in the other's audit log, with what KMS said of its caller, and without plaintexts.
    event = theirs.audit_event(lambda event: event["eventName"] == "XksProxyDecrypt")
    parameters = event["requestParameters"]
    assert event["recipientAccountId"] == theirs.root().account and event["awsRegion"] == "us-east-1"
    assert parameters["externalKeyId"] == "theirs"
    assert parameters["accessKeyId"] == told["XksProxyAuthenticationCredential"]["AccessKeyId"]
    assert parameters["requestMetadata"]["kmsKeyArn"] == key
    assert set(parameters) == {"externalKeyId", "accessKeyId", "requestMetadata"}
    (resource,) = event["resources"]
    assert resource["ARN"].endswith(f":key/{their_key}")
    # It is a use of the key over there: a policy that lets keys be switched off that nobody uses holds.
    their_kms.decrypt(CiphertextBlob=their_kms.encrypt(KeyId=their_key, Plaintext=b"x")["CiphertextBlob"])
    for use, operation in ((lambda: kms.encrypt(KeyId=key, Plaintext=b"x"), "Encrypt"), (opened, "Decrypt")):
        use()
        last = their_kms.get_key_last_usage(KeyId=their_key)["KeyLastUsage"]
        event = theirs.audit_event(lambda event: event["eventID"] == last["CloudTrailEventId"])
        assert (last["Operation"], event["eventName"]) == (operation, f"XksProxy{operation}")
    # A key that is switched off over there is of no use here.
    their_kms.disable_key(KeyId=their_key)
    expect("KMSInvalidStateException", opened,
           "The external key associated with this KMS key in an external key store is not enabled")
    their_kms.enable_key(KeyId=their_key)
    assert opened() == b"theirs"
    theirs.stop()
    assert occurrences(theirs.data, {"the proxy's secret": secret}) == []
    ringfence("xks", "close", *theirs.place, "theirs")
    theirs.start()
    expect("KMSInvalidStateException", opened,
           "The external key associated with this KMS key in an external key store was not found")
    theirs.stop()
    ringfence("xks", "open", *theirs.place, "--id", "theirs", their_key)
    theirs.start()
    assert opened() == b"theirs"
    theirs.stop()
    ringfence("xks", "revoke", *theirs.place, parameters["accessKeyId"])
    theirs.start()
    expect("KMSInvalidStateException", opened,
           "The external key store proxy rejected the request because it could not authenticate AWS KMS.")
    server.stop()


def test_a_proxy_tells_nobody_anything_who_has_no_credential(manager):
    theirs, _, _, told = manager
    path = told["XksProxyUriPath"]
    for end in ("/health", "/keys/theirs/metadata", "/keys/none/metadata", "/keys/theirs/encrypt", "/none"):
        status, headers, body = theirs.post_json(path + end, {})
        assert (status, json.loads(body)["errorName"]) == (401, "AuthenticationFailedException")
        assert headers["Content-Type"] == "application/json"
    other = path.replace("us-east-1", "eu-west-1")
    assert theirs.post_json(other + "/health", {})[0] == 401
    assert theirs.get(path + "/health")[0] == 405
    assert theirs.audit_event(lambda event: event["eventName"] == "XksProxyGetHealthStatus"
                              and event.get("errorCode") == "AuthenticationFailedException")
