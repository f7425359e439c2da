// What the AWS SDK for JavaScript does with a server: one function a scenario.
//
// `node drive.mjs SCENARIO` reads its arguments as JSON from standard input and prints what it saw
// as JSON. The endpoint, region and credentials come from the environment, as an application's do.

import {
  AttachUserPolicyCommand,
  CreatePolicyCommand,
  CreateRoleCommand,
  CreateUserCommand,
  DeleteUserCommand,
  EntityAlreadyExistsException,
  GetAccountAuthorizationDetailsCommand,
  GetUserCommand,
  IAM,
  IAMClient,
  IAMServiceException,
  InvalidInputException,
  ListUsersCommand,
  MalformedPolicyDocumentException,
  NoSuchEntityException,
  paginateGetAccountAuthorizationDetails,
  paginateListAttachedUserPolicies,
  paginateListUsers,
  waitUntilInstanceProfileExists,
  waitUntilPolicyExists,
  waitUntilRoleExists,
  waitUntilUserExists,
} from "@aws-sdk/client-iam";
import {
  AlreadyExistsException,
  DecryptCommand,
  DisabledException,
  IncorrectKeyException,
  InvalidCiphertextException,
  KMS,
  KMSClient,
  KMSInvalidSignatureException,
  KMSServiceException,
  NotFoundException,
  paginateListAliases,
  paginateListGrants,
  paginateListKeys,
} from "@aws-sdk/client-kms";
import {
  AssumeRoleCommand,
  ExpiredTokenException,
  GetCallerIdentityCommand,
  IDPCommunicationErrorException,
  InvalidIdentityTokenException,
  STSClient,
  STSServiceException,
} from "@aws-sdk/client-sts";
import {
  fromNodeProviderChain,
  fromTemporaryCredentials,
  fromTokenFile,
  fromWebToken,
} from "@aws-sdk/credential-providers";

const whoami = async (credentials) => {
  const answer = await new STSClient({ credentials }).send(new GetCallerIdentityCommand({}));
  return { arn: answer.Arn, account: answer.Account, user: answer.UserId };
};

// The classes are asked for by `instanceof`, as an application asks.
const CLASSES = {
  AlreadyExistsException,
  DisabledException,
  EntityAlreadyExistsException,
  ExpiredTokenException,
  IDPCommunicationErrorException,
  IncorrectKeyException,
  InvalidCiphertextException,
  InvalidIdentityTokenException,
  InvalidInputException,
  KMSInvalidSignatureException,
  MalformedPolicyDocumentException,
  NoSuchEntityException,
  NotFoundException,
};
const SERVICES = [IAMServiceException, KMSServiceException, STSServiceException];
const base64 = (bytes) => Buffer.from(bytes).toString("base64");
const bytes = (text) => Buffer.from(text, "base64");

const caught = async (promise) => {
  try {
    await promise;
  } catch (error) {
    return {
      classes: Object.keys(CLASSES).filter((name) => error instanceof CLASSES[name]),
      service: SERVICES.some((service) => error instanceof service),
      name: error.name,
      message: error.message,
      fault: error.$fault,
      status: error.$metadata?.httpStatusCode,
      attempts: error.$metadata?.attempts,
      request: error.$metadata?.requestId ?? "",
    };
  }
  return null;
};

const failsAfter = async (wait) => {
  try {
    await wait;
  } catch (error) {
    return error.name;
  }
  return null;
};

const scenarios = {
  // Made, shown and deleted, with every kind of value that IAM has: dates, documents, tags, numbers.
  async calls({ user }) {
    const iam = new IAM({});
    const made = await iam.createUser({ UserName: user, Path: "/js/", Tags: [{ Key: "a", Value: "ü = é" }] });
    const shown = await iam.getUser({ UserName: user });
    const tags = await iam.listUserTags({ UserName: user });
    await iam.putUserPolicy({
      UserName: user,
      PolicyName: "own",
      PolicyDocument: JSON.stringify({
        Version: "2012-10-17",
        Statement: [{ Effect: "Allow", Action: "iam:GetUser", Resource: "*" }],
      }),
    });
    const own = await iam.getUserPolicy({ UserName: user, PolicyName: "own" });
    const key = (await iam.createAccessKey({ UserName: user })).AccessKey;
    const as = new IAM({ credentials: { accessKeyId: key.AccessKeyId, secretAccessKey: key.SecretAccessKey } });
    const self = await as.getUser({});
    const denied = await caught(as.listUsers({}));
    const summary = await iam.getAccountSummary({});
    await iam.deleteAccessKey({ UserName: user, AccessKeyId: key.AccessKeyId });
    await iam.deleteUserPolicy({ UserName: user, PolicyName: "own" });
    await iam.deleteUser({ UserName: user });
    const gone = await caught(iam.getUser({ UserName: user }));
    return {
      arn: made.User.Arn,
      same: shown.User.UserId === made.User.UserId && self.User.UserId === made.User.UserId,
      date: shown.User.CreateDate instanceof Date,
      age: Date.now() - shown.User.CreateDate.getTime(),
      tags: tags.Tags,
      document: JSON.parse(decodeURIComponent(own.PolicyDocument)),
      users: typeof summary.SummaryMap.Users,
      denied,
      gone,
    };
  },

  async identity() {
    return whoami(fromNodeProviderChain());
  },

  async assume({ role, parameters }) {
    const credentials = fromTemporaryCredentials({ params: { RoleArn: role, ...parameters } });
    const given = await credentials();
    return {
      ...(await whoami(credentials)),
      expires: given.expiration.getTime() - Date.now(),
      listed: (await new IAMClient({ credentials }).send(new ListUsersCommand({ MaxItems: 1 }))).Users.length,
      denied: await caught(new IAMClient({ credentials }).send(new DeleteUserCommand({ UserName: "x" }))),
    };
  },

  // One role assumed with the session of another.
  async chain({ first, second }) {
    return whoami(
      fromTemporaryCredentials({
        masterCredentials: fromTemporaryCredentials({ params: { RoleArn: first, RoleSessionName: "one" } }),
        params: { RoleArn: second, RoleSessionName: "two" },
      }),
    );
  },

  async mfa({ role, serial, code }) {
    return whoami(
      fromTemporaryCredentials({
        params: { RoleArn: role, RoleSessionName: "mfa", SerialNumber: serial },
        mfaCodeProvider: async (asked) => (asked === serial ? code : "000000"),
      }),
    );
  },

  async webToken({ role, token }) {
    return whoami(fromWebToken({ roleArn: role, roleSessionName: "web", webIdentityToken: token }));
  },

  // Role, session name and the token's file are in the environment, as in a pod.
  async tokenFile() {
    return { explicit: await whoami(fromTokenFile({})), chain: await whoami(fromNodeProviderChain()) };
  },

  async webRefusals({ role, tokens }) {
    const refusals = {};
    for (const [name, token] of Object.entries(tokens)) {
      const credentials = fromWebToken({ roleArn: role, roleSessionName: "web", webIdentityToken: token });
      refusals[name] = await caught(credentials());
    }
    return refusals;
  },

  async pages({ prefix, user, size }) {
    const client = new IAMClient({});
    const pages = [];
    for await (const page of paginateListUsers({ client, pageSize: size }, { PathPrefix: prefix })) {
      pages.push(page.Users.map((one) => one.UserName));
    }
    const attached = [];
    for await (const page of paginateListAttachedUserPolicies({ client, pageSize: size }, { UserName: user })) {
      attached.push(page.AttachedPolicies.map((one) => one.PolicyName));
    }
    const details = [];
    for await (const page of paginateGetAccountAuthorizationDetails({ client, pageSize: size }, {})) {
      details.push(...page.UserDetailList.map((one) => one.UserName));
    }
    const whole = await client.send(new GetAccountAuthorizationDetailsCommand({ MaxItems: 1000 }));
    return { pages, attached, details, whole: whole.UserDetailList.map((one) => one.UserName) };
  },

  // Each waiter waits for what is made while it waits, and gives up where nothing is made.
  async waiters({ name, document }) {
    const client = new IAMClient({});
    const limits = { client, maxWaitTime: 20, minDelay: 1, maxDelay: 1 };
    const later = (command) =>
      new Promise((resolve) => setTimeout(() => resolve(client.send(command)), 500));
    const iam = new IAM({});
    const account = (await whoami(fromNodeProviderChain())).account;
    const arn = `arn:aws:iam::${account}:policy/${name}`;
    const made = [
      later(new CreateUserCommand({ UserName: name })),
      later(new CreateRoleCommand({ RoleName: name, AssumeRolePolicyDocument: document })),
      later(
        new CreatePolicyCommand({
          PolicyName: name,
          PolicyDocument: JSON.stringify({
            Version: "2012-10-17",
            Statement: [{ Effect: "Allow", Action: "iam:GetUser", Resource: "*" }],
          }),
        }),
      ),
      new Promise((resolve) =>
        setTimeout(() => resolve(iam.createInstanceProfile({ InstanceProfileName: name })), 500),
      ),
    ];
    const [waited] = await Promise.all([
      Promise.all([
        waitUntilUserExists(limits, { UserName: name }),
        waitUntilRoleExists(limits, { RoleName: name }),
        waitUntilPolicyExists(limits, { PolicyArn: arn }),
        waitUntilInstanceProfileExists(limits, { InstanceProfileName: name }),
      ]),
      Promise.all(made),
    ]);
    return {
      states: waited.map((one) => one.state),
      never: await failsAfter(
        waitUntilUserExists({ client, maxWaitTime: 2, minDelay: 1, maxDelay: 1 }, { UserName: `${name}-no` }),
      ),
    };
  },

  async errors({ user, role }) {
    const iam = new IAMClient({});
    const sts = new STSClient({});
    return {
      exists: await caught(iam.send(new CreateUserCommand({ UserName: user }))),
      missing: await caught(iam.send(new GetUserCommand({ UserName: `${user}-no` }))),
      malformed: await caught(
        iam.send(new CreatePolicyCommand({ PolicyName: user, PolicyDocument: "{" })),
      ),
      invalid: await caught(
        iam.send(new AttachUserPolicyCommand({ UserName: user, PolicyArn: "longpolicynamebutnoarn" })),
      ),
      validation: await caught(iam.send(new CreateUserCommand({ UserName: "a b" }))),
      denied: await caught(sts.send(new AssumeRoleCommand({ RoleArn: role, RoleSessionName: "no" }))),
      badKey: await caught(
        new STSClient({ credentials: { accessKeyId: "AKIAAAAAAAAAAAAAAAAA", secretAccessKey: "x" } }).send(
          new GetCallerIdentityCommand({}),
        ),
      ),
    };
  },

  // Reads what another client has encrypted and signed, and hands over its own.
  async kms({ key, signer, context, sealed, signature, message, algorithm }) {
    const kms = new KMS({});
    const opened = await kms.decrypt({ CiphertextBlob: bytes(sealed), EncryptionContext: context });
    const mine = await kms.encrypt({ KeyId: key, Plaintext: Buffer.from("from js"), EncryptionContext: context });
    const data = await kms.generateDataKey({ KeyId: key, KeySpec: "AES_256", EncryptionContext: context });
    const asked = { KeyId: signer, Message: bytes(message), SigningAlgorithm: algorithm };
    const valid = await kms.verify({ ...asked, Signature: bytes(signature) });
    const signed = await kms.sign(asked);
    const made = await kms.createKey({ Description: "ü = é", Tags: [{ TagKey: "a", TagValue: "b" }] });
    const shown = await kms.describeKey({ KeyId: made.KeyMetadata.KeyId });
    return {
      opened: Buffer.from(opened.Plaintext).toString(),
      key: opened.KeyId,
      sealed: base64(mine.CiphertextBlob),
      dataKey: { plain: base64(data.Plaintext), sealed: base64(data.CiphertextBlob) },
      valid: valid.SignatureValid,
      signature: base64(signed.Signature),
      described: shown.KeyMetadata.Description,
      age: Date.now() - shown.KeyMetadata.CreationDate.getTime(),
    };
  },

  async kmsPages({ key, size }) {
    const client = new KMSClient({});
    const read = async (pages, member, name) => {
      const seen = [];
      for await (const page of pages) seen.push(page[member].map((one) => one[name]));
      return seen;
    };
    const paging = { client, pageSize: size };
    return {
      keys: await read(paginateListKeys(paging, {}), "Keys", "KeyId"),
      aliases: await read(paginateListAliases(paging, { KeyId: key }), "Aliases", "AliasName"),
      grants: await read(paginateListGrants(paging, { KeyId: key }), "Grants", "GrantId"),
    };
  },

  async kmsErrors({ key, other, disabled, alias, sealed, signer, keys }) {
    const kms = new KMS({});
    const message = { KeyId: signer, Message: Buffer.from("m"), SigningAlgorithm: "ECDSA_SHA_256" };
    const signed = await kms.sign(message);
    const nobody = new KMSClient({ credentials: keys });
    const blob = bytes(sealed);
    return {
      missing: await caught(kms.describeKey({ KeyId: "alias/none" })),
      exists: await caught(kms.createAlias({ AliasName: alias, TargetKeyId: key })),
      disabled: await caught(kms.encrypt({ KeyId: disabled, Plaintext: Buffer.from("x") })),
      context: await caught(kms.decrypt({ CiphertextBlob: blob, EncryptionContext: { a: "c" } })),
      wrongKey: await caught(kms.decrypt({ CiphertextBlob: blob, EncryptionContext: { a: "b" }, KeyId: other })),
      signature: await caught(kms.verify({ ...message, Message: Buffer.from("n"), Signature: signed.Signature })),
      validation: await caught(kms.generateDataKey({ KeyId: key, NumberOfBytes: 1025 })),
      denied: await caught(nobody.send(new DecryptCommand({ CiphertextBlob: blob, EncryptionContext: { a: "b" } }))),
    };
  },
};

const chosen = scenarios[process.argv[2]];
if (!chosen) throw new Error(`no scenario ${process.argv[2]}`);
let input = "";
for await (const part of process.stdin) input += part;
console.log(JSON.stringify(await chosen(JSON.parse(input || "{}"))));
