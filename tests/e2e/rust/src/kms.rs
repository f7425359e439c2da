//! KMS: ciphertexts, signatures and shared secrets that are exchanged with another client. Bytes are
//! numbers in the JSON of arguments and answers.

use crate::{Answer, refused, service, text};
use aws_config::SdkConfig;
use aws_sdk_kms::Client;
use aws_sdk_kms::operation::create_alias::CreateAliasError;
use aws_sdk_kms::operation::decrypt::DecryptError;
use aws_sdk_kms::operation::describe_key::DescribeKeyError;
use aws_sdk_kms::operation::encrypt::EncryptError;
use aws_sdk_kms::operation::verify::VerifyError;
use aws_sdk_kms::primitives::Blob;
use aws_sdk_kms::types::{DataKeySpec, MessageType, SigningAlgorithmSpec, Tag};
use serde_json::{Value, json};
use std::collections::HashMap;

fn blob(input: &Value, name: &str) -> Result<Blob, serde_json::Error> {
    Ok(Blob::new(serde_json::from_value::<Vec<u8>>(input[name].clone())?))
}

fn context(input: &Value) -> Result<HashMap<String, String>, serde_json::Error> {
    serde_json::from_value(input["context"].clone())
}

/// Reads what another client has encrypted and signed, and hands over its own.
pub async fn exchange(config: &SdkConfig, input: &Value) -> Answer {
    let kms = Client::new(config);
    let (key, signer) = (text(input, "key")?, text(input, "signer")?);
    let opened = kms
        .decrypt()
        .ciphertext_blob(blob(input, "sealed")?)
        .set_encryption_context(Some(context(input)?))
        .send()
        .await?;
    let sealed = kms
        .encrypt()
        .key_id(key)
        .plaintext(Blob::new("from rust"))
        .set_encryption_context(Some(context(input)?))
        .send()
        .await?;
    let data = kms
        .generate_data_key()
        .key_id(key)
        .key_spec(DataKeySpec::Aes256)
        .set_encryption_context(Some(context(input)?))
        .send()
        .await?;
    let algorithm = SigningAlgorithmSpec::from(text(input, "algorithm")?);
    let message = blob(input, "message")?;
    let verified = kms
        .verify()
        .key_id(signer)
        .message(message.clone())
        .message_type(MessageType::Raw)
        .signing_algorithm(algorithm.clone())
        .signature(blob(input, "signature")?)
        .send()
        .await?;
    let signed =
        kms.sign().key_id(signer).message(message).signing_algorithm(algorithm).send().await?;
    let tag = Tag::builder().tag_key("a").tag_value("b").build()?;
    let made = kms.create_key().description("ü = é").tags(tag).send().await?;
    let made = made.key_metadata().ok_or("no metadata")?.clone();
    let shown = kms.describe_key().key_id(made.key_id()).send().await?;
    let shown = shown.key_metadata().ok_or("no metadata")?;
    Ok(json!({
        "opened": opened.plaintext().ok_or("no plaintext")?.as_ref(),
        "key": opened.key_id(),
        "sealed": sealed.ciphertext_blob().ok_or("no ciphertext")?.as_ref(),
        "data_key": {
            "plain": data.plaintext().ok_or("no plaintext")?.as_ref(),
            "sealed": data.ciphertext_blob().ok_or("no ciphertext")?.as_ref(),
        },
        "valid": verified.signature_valid(),
        "signature": signed.signature().ok_or("no signature")?.as_ref(),
        "described": shown.description(),
        "spec": shown.key_spec().map(|spec| spec.as_str()),
        "created": shown.creation_date().ok_or("no date")?.secs(),
        "same": shown == &made,
    }))
}

pub async fn pages(config: &SdkConfig, input: &Value) -> Answer {
    let kms = Client::new(config);
    let key = text(input, "key")?;
    let mut lengths = Vec::new();
    let mut turning = kms.list_keys().into_paginator().page_size(2).send();
    while let Some(page) = turning.next().await {
        lengths.push(page?.keys().len());
    }
    let mut keys = Vec::new();
    let mut items = kms.list_keys().into_paginator().page_size(2).items().send();
    while let Some(item) = items.next().await {
        keys.push(item?.key_id().map(str::to_owned));
    }
    let mut aliases = Vec::new();
    let mut items = kms.list_aliases().key_id(key).into_paginator().page_size(2).items().send();
    while let Some(item) = items.next().await {
        aliases.push(item?.alias_name().map(str::to_owned));
    }
    let mut grants = Vec::new();
    let mut items = kms.list_grants().key_id(key).into_paginator().page_size(2).items().send();
    while let Some(item) = items.next().await {
        grants.push(item?.grant_id().map(str::to_owned));
    }
    Ok(json!({ "lengths": lengths, "keys": keys, "aliases": aliases, "grants": grants }))
}

/// Each error as its own variant, with code, message and request id.
pub async fn errors(config: &SdkConfig, input: &Value) -> Answer {
    let kms = Client::new(config);
    let (key, disabled) = (text(input, "key")?, text(input, "disabled")?);
    let missing = kms.describe_key().key_id("alias/none").send().await;
    let alias = text(input, "alias")?;
    let exists = kms.create_alias().alias_name(alias).target_key_id(key).send().await;
    let off = kms.encrypt().key_id(disabled).plaintext(Blob::new("x")).send().await;
    let decrypt =
        || Ok::<_, serde_json::Error>(kms.decrypt().ciphertext_blob(blob(input, "sealed")?));
    let other_context = decrypt()?.encryption_context("a", "c").send().await;
    let other_key =
        decrypt()?.encryption_context("a", "b").key_id(text(input, "other")?).send().await;
    let signed = kms
        .verify()
        .key_id(text(input, "signer")?)
        .message(Blob::new("m"))
        .signing_algorithm(SigningAlgorithmSpec::EcdsaSha256)
        .signature(Blob::new("no signature"))
        .send()
        .await;
    Ok(json!({
        "variants": [
            matches!(service(&missing), Some(DescribeKeyError::NotFoundException(_))),
            matches!(service(&exists), Some(CreateAliasError::AlreadyExistsException(_))),
            matches!(service(&off), Some(EncryptError::DisabledException(_))),
            matches!(service(&other_context), Some(DecryptError::InvalidCiphertextException(_))),
            matches!(service(&other_key), Some(DecryptError::IncorrectKeyException(_))),
            matches!(service(&signed), Some(VerifyError::KmsInvalidSignatureException(_))),
        ],
        "missing": refused(missing),
        "disabled": refused(off),
        "context": refused(other_context),
    }))
}

/// What a principal without permissions is told.
pub async fn denied(config: &SdkConfig, input: &Value) -> Answer {
    let kms = Client::new(config);
    Ok(refused(kms.decrypt().ciphertext_blob(blob(input, "sealed")?).send().await))
}
