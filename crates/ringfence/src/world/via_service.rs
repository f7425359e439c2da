//! One service calling KMS for whoever calls it: decided, counted and recorded as a call of theirs. The
//! service is made up, of an operation of Access Analyzer that is not built.

use super::testing::{Caller, House, MANAGEMENT, OUTSIDER, Parts};
use super::*;
use ringfence_gateway::{Answer, Call, Handlers, Resolved};
use ringfence_keyring::SecretBytes;
use ringfence_kms_calls::{Asked, EncryptionContext, Sealed, decrypt, encrypt, generate_data_key};
use ringfence_model_accessanalyzer::{SERVICE, operations as ops};
use ringfence_wire::value::Empty;
use serde_json::{Value, json};

const VIA: &str = "secretsmanager";

/// What the model asks an analyzer's ARN to begin with.
const ANALYZER: &str = "arn:aws:access-analyzer:us-east-1:111111111111:analyzer/";

/// Seals a word under the key that `analyzerArn` names, in a context that `resourceArn` is in, and
/// opens it again.
async fn seal_and_open(
    _: &(),
    call: Call<ops::StartResourceScan>,
) -> Result<Answer<Empty>, ServiceError> {
    let permit = call.allow(Resolved::any(call.account()?))?;
    let context = EncryptionContext::from([("for".into(), call.input.resource_arn.clone())]);
    let key = call.input.analyzer_arn.strip_prefix(ANALYZER).unwrap();
    let asked = Asked { via: VIA, key, context: &context };
    let word = SecretBytes::new(b"hunter2".to_vec());
    let (blob, arn) = encrypt(&call, &permit, &asked, &word).await?;
    let sealed = Sealed { via: VIA, key: Some(&arn), context: &context };
    assert_eq!(decrypt(&call, &permit, &sealed, &blob).await?.expose(), word.expose());
    let unbound = Sealed { context: &EncryptionContext::new(), ..sealed };
    assert!(decrypt(&call, &permit, &unbound, &blob).await.is_err());
    let made = generate_data_key(&call, &permit, &asked).await?;
    assert_eq!((made.plaintext.expose().len(), &made.key_arn), (32, &arn));
    let under_any = Sealed { key: None, ..sealed };
    let again = decrypt(&call, &permit, &under_any, &made.ciphertext).await?;
    assert_eq!(again.expose(), made.plaintext.expose());
    Ok(permit.answer(Empty::default()))
}

/// Opens what the caller sealed under the service's own key, which must be under the key that
/// `analyzerArn` names.
async fn open_under(
    _: &(),
    call: Call<ops::StartResourceScan>,
) -> Result<Answer<Empty>, ServiceError> {
    let permit = call.allow(Resolved::any(call.account()?))?;
    let context = EncryptionContext::new();
    let own = Asked { via: VIA, key: "alias/aws/secretsmanager", context: &context };
    let (blob, _) = encrypt(&call, &permit, &own, &SecretBytes::new(b"x".to_vec())).await?;
    let key = call.input.analyzer_arn.strip_prefix(ANALYZER);
    let sealed = Sealed { via: VIA, key, context: &context };
    decrypt(&call, &permit, &sealed, &blob).await?;
    Ok(permit.answer(Empty::default()))
}

fn open() -> House {
    house(seal_and_open)
}

/// The service with one operation.
fn house<F>(handler: F) -> House
where
    F: AsyncFn(&(), Call<ops::StartResourceScan>) -> Result<Answer<Empty>, ServiceError>
        + Copy
        + Send
        + Sync
        + 'static,
{
    House::open(move |Parts { iam, kms, keyring, clock, .. }| {
        let made_up =
            Handlers::new(&SERVICE, Arc::new(())).on::<ops::StartResourceScan, _>(handler).finish();
        let shared = Shared {
            directory: iam.clone(),
            clock: clock.clone(),
            random: Arc::new(SystemRandom),
            tokens: Tokens::new(keyring),
            authorization_messages: AuthorizationMessages::new(keyring),
            trail: Trail::in_memory(),
        };
        World::new(vec![iam.handlers(), kms.handlers(), made_up], Arc::new(shared))
    })
}

impl Caller<'_> {
    /// Asks the made-up service; the status, and the code of a refusal.
    fn asks(&self, key: &str) -> (u16, String) {
        let body = json!({ "analyzerArn": format!("{ANALYZER}{key}"), "resourceArn": "arn:aws:s3:::bucket" }).to_string();
        let kind = [("content-type", "application/json")];
        self.send("localhost", "access-analyzer", "/resource/scan", &kind, &body)
    }

    fn kms(&self, operation: &str, body: &Value) -> (u16, Value) {
        let target = format!("TrentService.{operation}");
        let headers = [("content-type", "application/x-amz-json-1.1"), ("x-amz-target", &*target)];
        let (status, text) = self.send("localhost", "kms", "/", &headers, &body.to_string());
        (status, serde_json::from_str(&text).unwrap())
    }
}

/// The policy of a key that may be used through the service alone.
fn through_service(service: &str) -> String {
    json!({"Version": "2012-10-17", "Statement": [
        {"Effect": "Allow", "Principal": {"AWS": MANAGEMENT.root_arn()}, "Action": "kms:*",
         "Resource": "*", "Condition": {"StringEquals": {"kms:CallerAccount": "none"}}},
        {"Effect": "Allow", "Principal": {"AWS": "*"}, "Action": ["kms:Encrypt", "kms:Decrypt",
         "kms:GenerateDataKey"], "Resource": "*", "Condition": {
            "StringEquals": {"kms:ViaService": format!("{service}.us-east-1.amazonaws.com"),
                             "kms:EncryptionContext:for": "arn:aws:s3:::bucket"},
            "Bool": {"aws:ViaAWSService": "true"},
            "ForAnyValue:StringEquals": {"aws:CalledVia": format!("{service}.amazonaws.com")},
            "Null": {"aws:SourceIp": "true"}}}]})
    .to_string()
}

const MAY_ASK: &str =
    r#"{"Effect":"Allow","Action":"access-analyzer:StartResourceScan","Resource":"*"}"#;

#[test]
fn a_service_uses_a_key_as_its_caller_and_through_itself_alone() {
    let house = open();
    let root = house.root(MANAGEMENT);
    let made = |service: &str| {
        let policy = through_service(service);
        let asked = json!({"Policy": policy, "BypassPolicyLockoutSafetyCheck": true});
        let (status, made) = root.kms("CreateKey", &asked);
        assert_eq!(status, 200, "{made}");
        made["KeyMetadata"]["Arn"].as_str().unwrap().to_owned()
    };
    let (key, of_another) = (made(VIA), made("ssm"));
    let user = house.user(MANAGEMENT, "user", MAY_ASK);
    assert_eq!(user.asks(&key), (200, String::new()));
    // Another service's key, and the key without the service.
    let (status, refused) = user.asks(&of_another);
    assert_eq!(status, 403, "{refused}");
    assert!(refused.contains("kms:Encrypt"), "{refused}");
    let (status, refused) =
        user.kms("Encrypt", &json!({"KeyId": key, "Plaintext": "eA==", "EncryptionContext": {"for": "arn:aws:s3:::bucket"}}));
    assert_eq!((status, &refused["__type"]), (400, &"AccessDeniedException".into()));
    // What the caller may not, the service may not for it: nobody is let by being asked for.
    let stranger =
        house.user(MANAGEMENT, "stranger", r#"{"Effect":"Allow","Action":"kms:*","Resource":"*"}"#);
    assert_eq!(stranger.asks(&key).0, 403);
    let denied =
        format!(r#"{MAY_ASK},{{"Effect":"Deny","Action":"kms:GenerateDataKey","Resource":"*"}}"#);
    let (status, refused) = house.user(MANAGEMENT, "denied", &denied).asks(&key);
    assert!(status == 403 && refused.contains("kms:GenerateDataKey"), "{refused}");
}

#[test]
fn what_is_under_another_key_than_the_service_expects_is_not_opened() {
    let house = house(open_under);
    let root = house.root(MANAGEMENT);
    let (_, made) = root.kms("CreateKey", &json!({}));
    let (status, refused) = root.asks(made["KeyMetadata"]["Arn"].as_str().unwrap());
    assert!(status == 400 && refused.contains("does not identify a CMK"), "{status} {refused}");
    assert_eq!(root.asks("alias/aws/secretsmanager"), (200, String::new()));
}

#[test]
fn each_call_inside_is_an_event_of_its_caller() {
    let house = open();
    let (_, made) = house.root(MANAGEMENT).kms("CreateKey", &json!({}));
    let arn = made["KeyMetadata"]["Arn"].as_str().unwrap();
    assert_eq!(house.root(MANAGEMENT).asks(arn).0, 200);
    let events = house.events();
    let events: Vec<Value> =
        events.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let inside: Vec<_> =
        events.iter().filter(|event| event["userIdentity"]["invokedBy"].is_string()).collect();
    let names: Vec<_> = inside.iter().map(|event| event["eventName"].as_str().unwrap()).collect();
    assert_eq!(names, ["Encrypt", "Decrypt", "Decrypt", "GenerateDataKey", "Decrypt"]);
    for event in &inside {
        assert_eq!(event["userIdentity"]["invokedBy"], "secretsmanager.amazonaws.com");
        assert_eq!(event["userIdentity"]["arn"], MANAGEMENT.root_arn());
        assert_eq!(event["sourceIPAddress"], "secretsmanager.amazonaws.com");
        assert_eq!(event["eventSource"], "kms.amazonaws.com");
        assert_eq!(event["resources"][0]["ARN"], arn);
    }
    assert_eq!(inside[2]["errorCode"], "InvalidCiphertextException");
    assert!(!house.events().contains("hunter2"));
}

#[test]
fn a_service_gets_a_key_of_its_own_on_first_use() {
    let house = open();
    let root = house.root(MANAGEMENT);
    let list = |caller: &Caller<'_>| caller.kms("ListAliases", &json!({})).1["Aliases"].clone();
    assert_eq!(list(&root), json!([]));
    // Of another service there is none to be had.
    assert_eq!(root.asks("alias/aws/ssm").0, 400);
    let user = house.user(MANAGEMENT, "user", MAY_ASK);
    assert_eq!(user.asks("alias/aws/secretsmanager").0, 200);
    assert_eq!(user.asks("alias/aws/secretsmanager").0, 200);
    let aliases = list(&root);
    assert_eq!(aliases.as_array().unwrap().len(), 1);
    assert_eq!(aliases[0]["AliasName"], "alias/aws/secretsmanager");
    let id = &aliases[0]["TargetKeyId"];
    let (_, shown) = root.kms("DescribeKey", &json!({"KeyId": id}));
    assert_eq!(shown["KeyMetadata"]["KeyManager"], "AWS");
    let (_, rotation) = root.kms("GetKeyRotationStatus", &json!({"KeyId": id}));
    assert_eq!(
        (&rotation["KeyRotationEnabled"], &rotation["RotationPeriodInDays"]),
        (&true.into(), &365.into())
    );
    // Nobody manages it, the root user included, and nobody uses it but through the service.
    for (operation, more) in [
        ("DisableKey", json!({})),
        ("ScheduleKeyDeletion", json!({})),
        ("PutKeyPolicy", json!({"Policy": through_service("x")})),
        ("EnableKeyRotation", json!({})),
        (
            "CreateGrant",
            json!({"GranteePrincipal": OUTSIDER.root_arn(), "Operations": ["Decrypt"]}),
        ),
        ("Encrypt", json!({"Plaintext": "eA=="})),
    ] {
        let mut body = more;
        body["KeyId"] = id.clone();
        let (status, refused) = root.kms(operation, &body);
        assert_eq!(
            (status, &refused["__type"]),
            (400, &"AccessDeniedException".into()),
            "{operation}"
        );
    }
    // Each account has its own.
    assert_eq!(list(&house.root(OUTSIDER)), json!([]));
}
