"""The `aws kms` commands as AWS's pages show them, typed into a shell.

https://docs.aws.amazon.com/cli/latest/reference/kms/
"""

import json
import os
import re
import subprocess
from pathlib import Path

import pytest

from clients import IDENTITY_SILENT
from world import allow, policy, unique

ID = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")


class Terminal:
    """A shell in a folder of its own, with one principal's exports and what a user sets besides."""

    def __init__(self, aws, folder, principal):
        self.folder = folder
        self.environment = {
            # `aws` is found first beside the Python that runs these tests.
            "PATH": f"{Path(aws).parent}{os.pathsep}{os.environ['PATH']}",
            "HOME": str(folder),
            "AWS_MAX_ATTEMPTS": "1",
            "AWS_EC2_METADATA_DISABLED": "true",
            **principal.environment(),
        }

    def run(self, typed, **variables):
        return subprocess.run(
            ["sh", "-euc", typed],
            cwd=self.folder,
            env={**self.environment, **variables},
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=60,
        )

    def text(self, typed, **variables):
        done = self.run(typed, **variables)
        assert done.returncode == 0 and not done.stderr, done.stdout + done.stderr
        return done.stdout.strip()

    def json(self, typed, **variables):
        said = self.text(typed, **variables)
        return json.loads(said) if said else None

    def refused(self, typed, code, operation, **variables):
        """What the command says of an error of the service."""
        done = self.run(typed, **variables)
        assert done.returncode in (254, 255), (done.returncode, done.stdout, done.stderr)
        begins = f"An error occurred ({code}) when calling the {operation} operation"
        assert begins in done.stderr, done.stderr
        return done.stderr

    def write(self, name, content):
        (self.folder / name).write_bytes(content)

    def read(self, name):
        return (self.folder / name).read_bytes()

    def pages(self, command, member, size):
        """A listing in parts of `--max-items`, each begun where the last one ended."""
        seen, more = [], ""
        while True:
            part = self.json(f"{command} --max-items {size} {more}")
            seen.append(part[member])
            if "NextToken" not in part:
                return seen
            more = f"--starting-token {part['NextToken']}"


@pytest.fixture
def terminal(aws_command, tmp_path, root):
    return Terminal(aws_command, tmp_path, root)


@pytest.fixture
def terminal_of(aws_command, tmp_path_factory):
    return lambda principal: Terminal(aws_command, tmp_path_factory.mktemp("user"), principal)


@pytest.fixture(scope="module")
def kms(root):
    return root.client("kms")


@pytest.fixture(scope="module")
def key(kms):
    return kms.create_key()["KeyMetadata"]["KeyId"]


def test_a_key_is_made_described_and_called_by_its_alias(terminal, root):
    made = terminal.json(
        "aws kms create-key --tags TagKey=Purpose,TagValue=Test --description 'Development test key'"
    )["KeyMetadata"]
    assert ID.fullmatch(made["KeyId"]) and made["Description"] == "Development test key"
    key, alias = made["KeyId"], f"alias/{unique('cli')}"
    terminal.text('aws kms create-alias --alias-name "$A" --target-key-id "$K"', A=alias, K=key)
    shown = terminal.json('aws kms describe-key --key-id "$A"', A=alias)["KeyMetadata"]
    assert shown == made
    assert terminal.json('aws kms list-resource-tags --key-id "$K"', K=key) == {
        "Tags": [{"TagKey": "Purpose", "TagValue": "Test"}]
    }
    terminal.text(
        'aws kms tag-resource --key-id "$K" --tags TagKey=Dept,TagValue=IT\n'
        'aws kms untag-resource --key-id "$K" --tag-keys Purpose\n'
        'aws kms update-key-description --key-id "$K" --description "IT Department test key"', K=key
    )
    tags = terminal.text('aws kms list-resource-tags --key-id "$K" --query Tags --output text', K=key)
    assert tags == "Dept\tIT"
    arn = f"arn:aws:kms:us-east-1:{root.account}:{alias}"
    listed = terminal.json('aws kms list-aliases --key-id "$K"', K=key)["Aliases"]
    assert [(one["AliasName"], one["AliasArn"], one["TargetKeyId"]) for one in listed] == [
        (alias, arn, key)
    ]
    terminal.text('aws kms delete-alias --alias-name "$A"', A=alias)
    terminal.refused('aws kms describe-key --key-id "$A"', "NotFoundException", "DescribeKey", A=alias)


def test_a_file_is_encrypted_decrypted_and_given_to_another_key(terminal, kms, key):
    terminal.write("ExamplePlaintextFile", b"text \x00\xff of a file")
    terminal.text(
        'aws kms encrypt --key-id "$K" --plaintext fileb://ExamplePlaintextFile '
        "--encryption-context purpose=test,Department=10103.0 "
        "--output text --query CiphertextBlob | base64 --decode > ExampleEncryptedFile", K=key
    )
    decrypt = (
        "aws kms decrypt --ciphertext-blob fileb://ExampleEncryptedFile "
        "{} --output text --query Plaintext | base64 --decode"
    )
    context = "--encryption-context purpose=test,Department=10103.0"
    terminal.text(decrypt.format(f'--key-id "$K" {context}') + " > Again", K=key)
    # As the other clients read it.
    opened = kms.decrypt(
        CiphertextBlob=terminal.read("ExampleEncryptedFile"),
        EncryptionContext={"purpose": "test", "Department": "10103.0"},
    )
    assert opened["Plaintext"] == terminal.read("Again")
    terminal.refused(
        "aws kms decrypt --ciphertext-blob fileb://ExampleEncryptedFile",
        "InvalidCiphertextException", "Decrypt",
    )
    other = kms.create_key()["KeyMetadata"]["KeyId"]
    answer = terminal.json(
        "aws kms re-encrypt --ciphertext-blob fileb://ExampleEncryptedFile "
        "--source-encryption-context purpose=test,Department=10103.0 "
        '--destination-key-id "$K" --destination-encryption-context \'{"purpose": "prod"}\' '
        "--query '{from: SourceKeyId, to: KeyId, blob: CiphertextBlob}' | tee answer", K=other
    )
    assert answer["from"].endswith(key) and answer["to"].endswith(other)
    terminal.write("answer", answer["blob"].encode())
    terminal.text(
        "base64 --decode < answer > Moved\n"
        "aws kms decrypt --ciphertext-blob fileb://Moved --encryption-context purpose=prod "
        "--output text --query Plaintext | base64 --decode > Again"
    )
    assert terminal.read("Again") == b"text \x00\xff of a file"


def test_data_keys_and_random_bytes_are_as_long_as_asked(terminal, key):
    seen = terminal.json(
        'aws kms generate-data-key --key-id "$K" --key-spec AES_256 --encryption-context a=b', K=key
    )
    terminal.write("blob", seen["CiphertextBlob"].encode())
    opened = terminal.text(
        "base64 --decode < blob > DataKey\n"
        "aws kms decrypt --ciphertext-blob fileb://DataKey --encryption-context a=b "
        "--output text --query Plaintext"
    )
    assert opened == seen["Plaintext"] and len(opened) == 44
    without = terminal.json(
        'aws kms generate-data-key-without-plaintext --key-id "$K" --number-of-bytes 64', K=key
    )
    assert "Plaintext" not in without
    random = "aws kms generate-random --number-of-bytes 24 --output text --query Plaintext | base64 --decode"
    assert terminal.text(f"{random} | wc -c") == "24"
    pair = terminal.json(
        'aws kms generate-data-key-pair --key-id "$K" --key-pair-spec ECC_NIST_P384', K=key
    )
    assert pair["KeyPairSpec"] == "ECC_NIST_P384" and pair["PrivateKeyPlaintext"]


def test_a_file_is_signed_and_openssl_verifies_it(terminal, kms, openssl):
    key = kms.create_key(KeySpec="ECC_NIST_P256", KeyUsage="SIGN_VERIFY")["KeyMetadata"]["KeyId"]
    text = b"a message to sign"
    terminal.write("message", text)
    algorithm = "--signing-algorithm ECDSA_SHA_256"
    terminal.text(
        f'aws kms sign --key-id "$K" --message fileb://message --message-type RAW {algorithm} '
        "--output text --query Signature | base64 --decode > signature\n"
        'aws kms get-public-key --key-id "$K" --output text --query PublicKey | base64 --decode > public',
        K=key,
    )
    verify = (
        f'aws kms verify --key-id "$K" --message fileb://message --message-type RAW {algorithm} '
        "--signature fileb://signature"
    )
    assert terminal.json(f"{verify} --query SignatureValid", K=key) is True
    openssl.write("message", text)
    openssl.write("signature", terminal.read("signature"))
    public = openssl.public_key(terminal.read("public"))
    openssl.ok("dgst", "-sha256", "-verify", public, "-signature", "signature", "message")
    terminal.write("message", b"another message")
    terminal.refused(verify, "KMSInvalidSignatureException", "Verify", K=key)


def test_a_mac_is_made_and_verified(terminal, kms):
    key = kms.create_key(KeySpec="HMAC_384", KeyUsage="GENERATE_VERIFY_MAC")["KeyMetadata"]["KeyId"]
    terminal.write("message", b"Hello World")
    given = '--key-id "$K" --message fileb://message --mac-algorithm HMAC_SHA_384'
    terminal.text(
        f"aws kms generate-mac {given} --output text --query Mac | base64 --decode > mac", K=key
    )
    assert len(terminal.read("mac")) == 48
    answer = terminal.json(f"aws kms verify-mac {given} --mac fileb://mac", K=key)
    assert answer["MacValid"] is True and answer["MacAlgorithm"] == "HMAC_SHA_384"


def test_a_grant_is_made_used_with_its_token_and_revoked(terminal, terminal_of, world, key):
    user = world.user()
    other = terminal_of(user)
    terminal.text(
        'aws kms encrypt --key-id "$K" --plaintext text --encryption-context Department=IT '
        "--output text --query CiphertextBlob | base64 --decode > sealed", K=key
    )
    other.write("sealed", terminal.read("sealed"))
    decrypt = (
        "aws kms decrypt --ciphertext-blob fileb://sealed --encryption-context Department=IT "
        "--output text --query Plaintext"
    )
    said = other.refused(decrypt, "AccessDeniedException", "Decrypt")
    assert f"{user.user_arn} is not authorized to perform: kms:Decrypt" in said
    assert IDENTITY_SILENT.format(action="kms:Decrypt") in said
    grant = terminal.json(
        'aws kms create-grant --key-id "$K" --grantee-principal "$U" --operations Decrypt DescribeKey '
        "--constraints EncryptionContextSubset={Department=IT} --name it",
        K=key, U=user.user_arn,
    )
    token, identifier = grant["GrantToken"], grant["GrantId"]
    assert other.text(f'{decrypt} --grant-tokens "$T" | base64 --decode', T=token) == "text"
    (listed,) = terminal.json('aws kms list-grants --key-id "$K" --grant-id "$G"', K=key, G=identifier)[
        "Grants"
    ]
    assert listed["GranteePrincipal"] == user.user_arn and listed["Name"] == "it"
    assert listed["Constraints"] == {"EncryptionContextSubset": {"Department": "IT"}}
    assert sorted(listed["Operations"]) == ["Decrypt", "DescribeKey"]
    terminal.text('aws kms revoke-grant --key-id "$K" --grant-id "$G"', K=key, G=identifier)
    other.refused(decrypt, "AccessDeniedException", "Decrypt")


def test_a_key_policy_is_saved_to_a_file_changed_and_put_back(terminal, world, kms):
    key = kms.create_key()["KeyMetadata"]["KeyId"]
    user = world.user()
    assert terminal.json('aws kms list-key-policies --key-id "$K"', K=key)["PolicyNames"] == ["default"]
    terminal.text(
        'aws kms get-key-policy --key-id "$K" --policy-name default --query Policy --output text '
        "> policy.json", K=key
    )
    document = json.loads(terminal.read("policy.json"))
    assert document["Statement"][0]["Principal"] == {"AWS": world.account_principal}
    document["Statement"].append({
        "Effect": "Allow", "Principal": {"AWS": user.user_arn}, "Action": "kms:Encrypt", "Resource": "*",
    })
    terminal.write("policy.json", json.dumps(document).encode())
    terminal.text(
        'aws kms put-key-policy --key-id "$K" --policy-name default --policy file://policy.json', K=key
    )
    kept = terminal.json(
        'aws kms get-key-policy --key-id "$K" --policy-name default --query Policy --output text', K=key
    )
    assert kept == document
    assert user.client("kms").encrypt(KeyId=key, Plaintext=b"x")
    terminal.write("policy.json", policy(allow("kms:*")).encode())
    terminal.refused(
        'aws kms put-key-policy --key-id "$K" --policy-name default --policy file://policy.json',
        "MalformedPolicyDocumentException", "PutKeyPolicy", K=key,
    )


def test_a_key_is_disabled_enabled_and_its_deletion_called_off(terminal, kms):
    key = kms.create_key()["KeyMetadata"]["KeyId"]
    state = 'aws kms describe-key --key-id "$K" --output text --query KeyMetadata.KeyState'
    assert terminal.text(f'aws kms disable-key --key-id "$K"\n{state}', K=key) == "Disabled"
    terminal.refused('aws kms encrypt --key-id "$K" --plaintext x', "DisabledException", "Encrypt", K=key)
    assert terminal.text(f'aws kms enable-key --key-id "$K"\n{state}', K=key) == "Enabled"
    answer = terminal.json(
        'aws kms schedule-key-deletion --key-id "$K" --pending-window-in-days 7', K=key
    )
    assert answer["KeyState"] == "PendingDeletion" and answer["PendingWindowInDays"] == 7
    answer = terminal.json('aws kms cancel-key-deletion --key-id "$K"', K=key)
    assert answer["KeyId"].endswith(f":key/{key}")
    assert kms.describe_key(KeyId=key)["KeyMetadata"]["KeyState"] == "Disabled"


def test_a_key_is_rotated_and_the_rotations_are_listed(terminal, kms):
    key = kms.create_key()["KeyMetadata"]["KeyId"]
    seen = terminal.json(
        'aws kms enable-key-rotation --key-id "$K" --rotation-period-in-days 180\n'
        'aws kms get-key-rotation-status --key-id "$K"', K=key
    )
    assert seen["KeyRotationEnabled"] is True and seen["RotationPeriodInDays"] == 180
    rotations = terminal.json(
        'aws kms rotate-key-on-demand --key-id "$K" > rotated\n'
        'aws kms list-key-rotations --key-id "$K"', K=key
    )["Rotations"]
    assert json.loads(terminal.read("rotated"))["KeyId"].endswith(key)
    assert [one["RotationType"] for one in rotations] == ["ON_DEMAND"]


def test_a_key_is_replicated_and_used_in_the_other_region(terminal):
    key = terminal.text("aws kms create-key --multi-region --query KeyMetadata.KeyId --output text")
    assert key.startswith("mrk-")
    replica = terminal.json(
        'aws kms replicate-key --key-id "$K" --replica-region eu-central-1', K=key
    )["ReplicaKeyMetadata"]
    assert replica["Arn"].startswith("arn:aws:kms:eu-central-1:") and replica["KeyId"] == key
    assert replica["MultiRegionConfiguration"]["MultiRegionKeyType"] == "REPLICA"
    opened = terminal.text(
        'aws kms encrypt --key-id "$K" --plaintext text --output text --query CiphertextBlob '
        "| base64 --decode > sealed\n"
        "aws kms decrypt --ciphertext-blob fileb://sealed --region eu-central-1 "
        "--output text --query Plaintext | base64 --decode", K=key
    )
    assert opened == "text"


def test_listings_are_cut_into_pages(dev, aws_command, tmp_path):
    # An account of its own has these keys alone.
    owner = dev.principal("123412341234", "x")
    terminal, kms = Terminal(aws_command, tmp_path, owner), owner.client("kms")
    keys = sorted(kms.create_key()["KeyMetadata"]["KeyId"] for _ in range(5))
    for number, key in enumerate(keys):
        kms.create_alias(AliasName=f"alias/a{number}", TargetKeyId=key)
        kms.create_grant(
            KeyId=keys[0], GranteePrincipal="arn:aws:iam::123412341234:root",
            RetiringPrincipal="arn:aws:iam::123412341234:root", Operations=["Decrypt"],
        )
        kms.tag_resource(KeyId=keys[0], Tags=[{"TagKey": f"k{number}", "TagValue": "v"}])
    for command, member, name in (
        ("list-keys", "Keys", lambda one: one["KeyId"]),
        ("list-aliases", "Aliases", lambda one: one["AliasName"]),
        (f"list-grants --key-id {keys[0]}", "Grants", lambda one: one["GrantId"]),
        (f"list-resource-tags --key-id {keys[0]}", "Tags", lambda one: one["TagKey"]),
        (
            "list-retirable-grants --retiring-principal arn:aws:iam::123412341234:root", "Grants",
            lambda one: one["GrantId"],
        ),
    ):
        # The service's own pages are of two, the command's of three.
        pages = terminal.pages(f"aws kms {command} --page-size 2", member, 3)
        assert [len(page) for page in pages] == [3, 2], command
        names = [name(one) for page in pages for one in page]
        assert len(set(names)) == 5, command
        if command == "list-keys":
            assert sorted(names) == keys
            assert terminal.json("aws kms list-keys --query 'Keys[].KeyId'") == names
