//! Central root access through the whole way of a call, with an organization that is made up.

use super::testing::{Caller, DELEGATED, House, MANAGEMENT, MEMBER, OUTSIDER, Parts, element};
use super::*;
use data_encoding::BASE64URL_NOPAD;
use ringfence_gateway::{Identity, Organization, Organizations, Session};
use ringfence_keyring::SecretString;
use time::OffsetDateTime;

const ORGANIZATION: &str = "o-aaaaaaaaaa";

struct MadeUp;

impl Organizations for MadeUp {
    fn of(&self, account: AccountId) -> Option<Arc<Organization>> {
        [MANAGEMENT, DELEGATED, MEMBER].contains(&account).then(|| {
            Arc::new(Organization {
                id: ORGANIZATION.into(),
                management_account: MANAGEMENT,
                all_features: true,
            })
        })
    }

    fn path(&self, account: AccountId) -> Option<String> {
        self.of(account).map(|organization| format!("{}/r-ab12/", organization.id))
    }

    fn trusts(&self, _: &Organization, service: &str) -> bool {
        service == "iam.amazonaws.com"
    }

    fn is_delegated(&self, _: &Organization, account: AccountId, service: &str) -> bool {
        account == DELEGATED && service == "iam.amazonaws.com"
    }
}

/// A server of four accounts, of which three are an organization.
fn open() -> House {
    House::open(|Parts { iam, kms, analyzer, keyring, clock }| {
        iam.ask_organizations(Arc::new(MadeUp));
        iam.issue_tokens_at("https://id.example.com");
        world(iam, kms, analyzer, keyring, clock.clone(), Arc::default(), Trail::in_memory())
    })
}

const MAY: &str = r#"{"Effect":"Allow","Action":"sts:AssumeRoot","Resource":"*"}"#;
const CREDENTIALS: &str = "EnableOrganizationsRootCredentialsManagement";

#[test]
fn features_are_switched_by_those_who_may_and_decide_which_tasks_there_are() {
    let house = open();
    let (root, delegated) = (house.root(MANAGEMENT), house.root(DELEGATED));
    let list = [("Action", "ListOrganizationsFeatures")];
    assert!(!root.ok("iam", &list).contains("<member>"));
    for (account, code) in [
        (DELEGATED, "CallerIsNotManagementAccountException"),
        (MEMBER, "AccountNotManagementOrDelegatedAdministratorException"),
        (OUTSIDER, "OrganizationNotFoundException"),
    ] {
        assert_eq!(house.root(account).refused("iam", &[("Action", CREDENTIALS)]), code);
    }

    let user = house.user(MANAGEMENT, "admin", MAY);
    let audit = "IAMAuditRootUserCredentials";
    assert_eq!(user.assume(MEMBER, audit).0, 403);
    let enabled = root.ok("iam", &[("Action", CREDENTIALS)]);
    assert!(enabled.contains(ORGANIZATION));
    assert_eq!(element(&enabled, "member"), "RootCredentialsManagement");
    assert_eq!(user.assume(MEMBER, audit).0, 200);
    assert_eq!(user.assume(MEMBER, "S3UnlockBucketPolicy").0, 403);
    let both = root.ok("iam", &[("Action", "EnableOrganizationsRootSessions")]);
    assert!(both.contains("<member>RootSessions</member>"));
    assert_eq!(user.assume(MEMBER, "S3UnlockBucketPolicy").0, 200);
    assert_eq!(element(&delegated.ok("iam", &list), "member"), "RootCredentialsManagement");

    // A delegated administrator may end it.
    let left = [("Action", "DisableOrganizationsRootCredentialsManagement")];
    assert_eq!(element(&delegated.ok("iam", &left), "member"), "RootSessions");
    assert_eq!(user.assume(MEMBER, audit).0, 403);
    let none = delegated.ok("iam", &[("Action", "DisableOrganizationsRootSessions")]);
    assert!(!none.contains("<member>"));
}

#[test]
fn a_root_user_is_taken_over_by_whom_its_organization_and_their_policies_let() {
    let house = open();
    house.root(MANAGEMENT).ok("iam", &[("Action", CREDENTIALS)]);
    let task = "IAMAuditRootUserCredentials";
    let user = house.user(MANAGEMENT, "admin", MAY);
    let nobody = house.user(MANAGEMENT, "nobody", &MAY.replace("sts:AssumeRoot", "s3:*"));
    let bound = house.user(
        MANAGEMENT,
        "bound",
        r#"{"Effect":"Allow","Action":"sts:AssumeRoot","Resource":"arn:aws:iam::333333333333:root",
            "Condition":{"StringEquals":{"sts:TaskPolicyArn":
            "arn:aws:iam::aws:policy/root-task/IAMAuditRootUserCredentials"}}}"#,
    );
    let delegate = house.user(DELEGATED, "admin", MAY);
    let member = house.user(MEMBER, "admin", MAY);
    let outsider = house.user(OUTSIDER, "admin", MAY);
    for (caller, account, task, status) in [
        (&user, MEMBER, task, 200),
        (&user, DELEGATED, task, 200),
        (&user, MANAGEMENT, task, 403),
        (&user, OUTSIDER, task, 403),
        (&nobody, MEMBER, task, 403),
        (&bound, MEMBER, task, 200),
        (&bound, MEMBER, "IAMDeleteRootUserCredentials", 403),
        (&bound, DELEGATED, task, 403),
        (&delegate, MEMBER, task, 200),
        (&delegate, MANAGEMENT, task, 403),
        (&member, MEMBER, task, 403),
        (&member, DELEGATED, task, 403),
        (&outsider, OUTSIDER, task, 403),
        (&outsider, MEMBER, task, 403),
        (&house.root(MANAGEMENT), MEMBER, task, 403),
    ] {
        let (got, body) = caller.assume(account, task);
        assert_eq!(got, status, "{account} {task}: {body}");
    }
    // Regional endpoints alone have it.
    let asked = [
        ("Action", "AssumeRoot"),
        ("TargetPrincipal", "333333333333"),
        ("TaskPolicyArn.arn", "arn:aws:iam::aws:policy/root-task/IAMAuditRootUserCredentials"),
    ];
    let (status, body) = user.call_at("sts.amazonaws.com", "sts", &asked);
    assert_eq!((status, &*element(&body, "Code")), (400, "InvalidAction"));
    assert_eq!(user.call_at("sts.eu-west-1.amazonaws.com", "sts", &asked).0, 200);
}

#[test]
fn a_session_is_the_root_user_within_its_task_and_is_recorded_as_such() {
    let house = open();
    house.root(MANAGEMENT).ok("iam", &[("Action", CREDENTIALS)]);
    let user = house.user(MANAGEMENT, "admin", MAY);
    house.root(MEMBER).ok("iam", &[("Action", "CreateUser"), ("UserName", "ann")]);

    let audit = user.session(MEMBER, "IAMAuditRootUserCredentials");
    let identity = audit.ok("sts", &[("Action", "GetCallerIdentity")]);
    assert_eq!(element(&identity, "Arn"), "arn:aws:iam::333333333333:root");
    let summary = audit.ok("iam", &[("Action", "GetAccountSummary")]);
    assert!(summary.contains("AccountAccessKeysPresent"));
    let keys = audit.ok("iam", &[("Action", "ListAccessKeys")]);
    let key = element(&keys, "AccessKeyId");
    assert!(key.starts_with("AKIA"));
    audit.ok("iam", &[("Action", "GetUser")]);
    audit.ok("iam", &[("Action", "ListMFADevices")]);
    audit.ok("iam", &[("Action", "ListSigningCertificates")]);
    audit.ok("iam", &[("Action", "GetAccessKeyLastUsed"), ("AccessKeyId", &key)]);
    assert_eq!(audit.refused("iam", &[("Action", "GetLoginProfile")]), "NoSuchEntity");
    for denied in [
        &[("Action", "ListAccessKeys"), ("UserName", "ann")][..],
        &[("Action", "ListUsers")],
        &[("Action", "DeleteAccessKey"), ("AccessKeyId", &key)],
        &[("Action", "CreateUser"), ("UserName", "eve")],
        &[("Action", "CreateLoginProfile")],
    ] {
        let (status, body) = audit.call("iam", denied);
        assert_eq!((status, &*element(&body, "Code")), (403, "AccessDenied"), "{denied:?}");
        let task = "session policy: arn:aws:iam::aws:policy/root-task/IAMAuditRootUserCredentials";
        assert!(body.contains(task), "{body}");
    }
    for action in ["AssumeRoot", "GetSessionToken", "GetWebIdentityToken"] {
        let more = [
            ("Action", action),
            ("TargetPrincipal", "222222222222"),
            ("TaskPolicyArn.arn", "arn:aws:iam::aws:policy/root-task/S3UnlockBucketPolicy"),
            ("Audience.member.1", "a"),
            ("SigningAlgorithm", "ES384"),
        ];
        assert_eq!(audit.refused("sts", &more), "AccessDenied", "{action}");
    }

    let events = house.events();
    let event = events.lines().find(|line| line.contains("\"GetAccountSummary\"")).unwrap();
    let event: serde_json::Value = serde_json::from_str(event).unwrap();
    let who = &event["userIdentity"];
    assert_eq!(who["type"], "Root");
    assert_eq!(who["arn"], "arn:aws:iam::333333333333:root");
    assert_eq!(
        (&who["principalId"], &who["accountId"]),
        (&"333333333333".into(), &"333333333333".into())
    );
    assert_eq!(who["accessKeyId"], audit.id.as_str());
    assert_eq!(who["sessionContext"]["assumedRoot"], "true");
    assert_eq!(who["sessionContext"]["attributes"]["mfaAuthenticated"], "false");
    assert_eq!(event["recipientAccountId"], "333333333333");
    assert!(!events.contains(&audit.secret) && !events.contains(audit.token.as_ref().unwrap()));
}

#[test]
fn a_session_whose_task_is_not_known_may_nothing() {
    let house = open();
    for (task, status) in
        [("S3UnlockBucketPolicy", 403), ("Gone", 403), ("IAMAuditRootUserCredentials", 200)]
    {
        let now = OffsetDateTime::now_utc().unix_timestamp();
        let session = Session {
            identity: Identity::Root { account: MEMBER },
            access_key_id: "ASIAAAAAAAAAAAAAAAAA".into(),
            issued: now,
            expires: now + 60,
            policies: None,
            tags: Default::default(),
            transitive_tags: Vec::new(),
            source_identity: None,
            mfa: None,
            chained: false,
            federation: None,
            delegation: None,
            root_task: Some(format!("arn:aws:iam::aws:policy/root-task/{task}")),
        };
        let secret = "secret".to_owned();
        let token = house.tokens.seal(&session, &SecretString::new(secret.clone())).unwrap();
        let caller =
            Caller { house: &house, id: session.access_key_id, secret, token: Some(token) };
        assert_eq!(caller.call("iam", &[("Action", "GetAccountSummary")]).0, status, "{task}");
    }
}

#[test]
fn the_root_users_credentials_are_deleted_and_a_password_can_be_recovered() {
    let house = open();
    house.root(MANAGEMENT).ok("iam", &[("Action", CREDENTIALS)]);
    let user = house.user(MANAGEMENT, "admin", MAY);
    let make = user.session(MEMBER, "IAMCreateRootUserPassword");
    let delete = user.session(MEMBER, "IAMDeleteRootUserCredentials");

    let create = [("Action", "CreateLoginProfile")];
    let with_password = [create[0], ("Password", "Abcdefg1!")];
    assert_eq!(make.refused("iam", &with_password), "InvalidInput");
    assert_eq!(element(&make.ok("iam", &create), "UserName"), MEMBER.to_string());
    make.ok("iam", &[("Action", "GetLoginProfile")]);
    assert_eq!(make.refused("iam", &create), "EntityAlreadyExists");
    let other = [("Action", "CreateLoginProfile"), ("UserName", "ann"), ("Password", "Abcdefg1!")];
    assert_eq!(make.refused("iam", &other), "AccessDenied");
    assert_eq!(make.refused("iam", &[("Action", "DeleteLoginProfile")]), "AccessDenied");
    // The root user's own keys do not reach it.
    let direct = house.root(MEMBER).refused("iam", &[("Action", "GetLoginProfile")]);
    assert_eq!(direct, "ValidationError");

    delete.ok("iam", &[("Action", "DeleteLoginProfile")]);
    assert_eq!(delete.refused("iam", &[("Action", "DeleteLoginProfile")]), "NoSuchEntity");
    let device = ("SerialNumber", "arn:aws:iam::333333333333:mfa/root");
    let unknown = delete.refused("iam", &[("Action", "DeactivateMFADevice"), device]);
    assert_eq!(unknown, "NoSuchEntity");
    let key = element(&delete.ok("iam", &[("Action", "ListAccessKeys")]), "AccessKeyId");
    delete.ok("iam", &[("Action", "DeleteAccessKey"), ("AccessKeyId", &key)]);
    let gone = house.root(MEMBER).refused("iam", &[("Action", "ListUsers")]);
    assert_eq!(gone, "InvalidClientTokenId");
    assert_eq!(delete.refused("iam", &[("Action", "CreateAccessKey")]), "AccessDenied");
}

#[test]
fn a_token_tells_of_the_organization() {
    let house = open();
    let root = house.root(MEMBER);
    root.ok("iam", &[("Action", "EnableOutboundWebIdentityFederation")]);
    let asked = [
        ("Action", "GetWebIdentityToken"),
        ("Audience.member.1", "a"),
        ("SigningAlgorithm", "ES384"),
    ];
    let token = element(&root.ok("sts", &asked), "WebIdentityToken");
    let payload = BASE64URL_NOPAD.decode(token.split('.').nth(1).unwrap().as_bytes()).unwrap();
    let claims: serde_json::Value = serde_json::from_slice(&payload).unwrap();
    let own = &claims["https://sts.amazonaws.com/"];
    assert_eq!(own["org_id"], ORGANIZATION);
    assert_eq!(own["ou_path"], serde_json::json!(["o-aaaaaaaaaa/r-ab12/"]));
    let (status, body) = root.call_at("sts.amazonaws.com", "sts", &asked);
    assert_eq!((status, &*element(&body, "Code")), (400, "InvalidAction"));
}
