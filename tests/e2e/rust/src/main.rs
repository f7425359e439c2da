//! What the AWS SDK for Rust does with a server: one function a scenario.
//!
//! `ringfence-sdk-rust SCENARIO` reads its arguments as JSON from standard input and prints what it
//! saw as JSON. Endpoint, region and credentials come from the environment, as an application's do.

mod kms;

use aws_config::sts::AssumeRoleProvider;
use aws_config::{BehaviorVersion, SdkConfig};
use aws_sdk_iam::client::Waiters as _;
use aws_sdk_iam::error::{ProvideErrorMetadata, SdkError};
use aws_sdk_iam::operation::RequestId as _;
use aws_sdk_iam::operation::create_policy::CreatePolicyError;
use aws_sdk_iam::operation::create_user::CreateUserError;
use aws_sdk_iam::operation::get_user::GetUserError;
use aws_sdk_iam::types::Tag;
use serde_json::{Value, json};
use std::error::Error;
use std::time::Duration;

type Answer = Result<Value, Box<dyn Error>>;

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn Error>> {
    let input: Value = serde_json::from_reader(std::io::stdin())?;
    let http = aws_smithy_http_client::Builder::new().build_http();
    let config = aws_config::defaults(BehaviorVersion::latest()).http_client(http).load().await;
    let seen = match std::env::args().nth(1).as_deref() {
        Some("calls") => calls(&config, &input).await?,
        Some("identity") => identity(&config).await?,
        Some("assume") => assume(&config, &input).await?,
        Some("pages") => pages(&config, &input).await?,
        Some("waiters") => waiters(&config, &input).await?,
        Some("errors") => errors(&config, &input).await?,
        Some("kms") => kms::exchange(&config, &input).await?,
        Some("kms-pages") => kms::pages(&config, &input).await?,
        Some("kms-errors") => kms::errors(&config, &input).await?,
        Some("kms-denied") => kms::denied(&config, &input).await?,
        other => return Err(format!("no scenario {other:?}").into()),
    };
    println!("{seen}");
    Ok(())
}

fn text<'a>(input: &'a Value, name: &str) -> Result<&'a str, String> {
    input[name].as_str().ok_or_else(|| format!("no {name}"))
}

async fn identity(config: &SdkConfig) -> Answer {
    let answer = aws_sdk_sts::Client::new(config).get_caller_identity().send().await?;
    Ok(json!({ "arn": answer.arn(), "account": answer.account(), "user": answer.user_id() }))
}

/// Made, shown and deleted, with dates, documents, tags and numbers.
async fn calls(config: &SdkConfig, input: &Value) -> Answer {
    let iam = aws_sdk_iam::Client::new(config);
    let user = text(input, "user")?;
    let tag = Tag::builder().key("a").value("ü = é").build()?;
    let made = iam.create_user().user_name(user).path("/rust/").tags(tag).send().await?;
    let made = made.user().ok_or("no user")?.clone();
    let shown = iam.get_user().user_name(user).send().await?;
    let shown = shown.user().ok_or("no user")?;
    iam.put_user_policy()
        .user_name(user)
        .policy_name("own")
        .policy_document(text(input, "document")?)
        .send()
        .await?;
    let own = iam.get_user_policy().user_name(user).policy_name("own").send().await?;
    let summary = iam.get_account_summary().send().await?;
    let users = summary.summary_map().and_then(|map| map.values().next()).is_some();
    iam.delete_user_policy().user_name(user).policy_name("own").send().await?;
    iam.delete_user().user_name(user).send().await?;
    Ok(json!({
        "arn": made.arn(),
        "same": made.user_id() == shown.user_id(),
        "created": made.create_date().secs(),
        "tags": shown.tags().iter().map(|tag| [tag.key(), tag.value()]).collect::<Vec<_>>(),
        "document": own.policy_document(),
        "summary": users,
    }))
}

/// The identity of a role that the provider assumes, and what a session policy leaves of it.
async fn assume(config: &SdkConfig, input: &Value) -> Answer {
    let provider = AssumeRoleProvider::builder(text(input, "role")?)
        .session_name("rust")
        .session_length(Duration::from_secs(1800))
        .policy(text(input, "policy")?)
        .configure(config)
        .build()
        .await;
    let session = config
        .to_builder()
        .credentials_provider(aws_sdk_iam::config::SharedCredentialsProvider::new(provider))
        .build();
    let iam = aws_sdk_iam::Client::new(&session);
    let listed = iam.list_users().max_items(1).send().await?.users().len();
    let denied = refused(iam.delete_user().user_name("x").send().await);
    let mut seen = identity(&session).await?;
    seen["listed"] = listed.into();
    seen["denied"] = denied;
    Ok(seen)
}

async fn pages(config: &SdkConfig, input: &Value) -> Answer {
    let iam = aws_sdk_iam::Client::new(config);
    let prefix = text(input, "prefix")?;
    let listing = || iam.list_users().path_prefix(prefix).into_paginator().page_size(2);
    let mut lengths = Vec::new();
    let mut turning = listing().send();
    while let Some(page) = turning.next().await {
        lengths.push(page?.users().len());
    }
    let mut names = Vec::new();
    let mut items = listing().items().send();
    while let Some(user) = items.next().await {
        names.push(user?.user_name().to_owned());
    }
    Ok(json!({ "lengths": lengths, "names": names }))
}

/// A user that is made while it is waited for, and one that never is.
async fn waiters(config: &SdkConfig, input: &Value) -> Answer {
    let iam = aws_sdk_iam::Client::new(config);
    let name = text(input, "name")?;
    let waiting = iam.wait_until_user_exists().user_name(name).wait(Duration::from_secs(30));
    let making = async {
        tokio::time::sleep(Duration::from_millis(300)).await;
        iam.create_user().user_name(name).send().await
    };
    let (waited, made) = tokio::join!(waiting, making);
    made?;
    let missing = format!("{name}-no");
    let never =
        iam.wait_until_user_exists().user_name(missing).wait(Duration::from_millis(1500)).await;
    Ok(json!({ "found": waited.is_ok(), "never": never.is_err() }))
}

/// Each error as its own variant, with code, message and request id.
async fn errors(config: &SdkConfig, input: &Value) -> Answer {
    let iam = aws_sdk_iam::Client::new(config);
    let user = text(input, "user")?;
    let exists = iam.create_user().user_name(user).send().await;
    let missing = iam.get_user().user_name("no-one").send().await;
    let malformed = iam.create_policy().policy_name("p").policy_document("{").send().await;
    let role = text(input, "role")?;
    let denied = aws_sdk_sts::Client::new(config)
        .assume_role()
        .role_arn(role)
        .role_session_name("no")
        .send()
        .await;
    Ok(json!({
        "variants": [
            matches!(service(&exists), Some(CreateUserError::EntityAlreadyExistsException(_))),
            matches!(service(&missing), Some(GetUserError::NoSuchEntityException(_))),
            matches!(service(&malformed), Some(CreatePolicyError::MalformedPolicyDocumentException(_))),
        ],
        "exists": refused(exists),
        "missing": refused(missing),
        "malformed": refused(malformed),
        "denied": refused(denied),
    }))
}

fn service<T, E, R>(answer: &Result<T, SdkError<E, R>>) -> Option<&E> {
    answer.as_ref().err()?.as_service_error()
}

fn refused<T, E: ProvideErrorMetadata>(answer: Result<T, SdkError<E>>) -> Value {
    let Err(error) = answer else { return Value::Null };
    let status = error.raw_response().map(|response| response.status().as_u16());
    let meta = error.meta();
    let request = meta.request_id().is_some();
    json!({ "code": meta.code(), "message": meta.message(), "status": status, "request": request })
}
