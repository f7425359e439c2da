//! Encrypting, decrypting, and encrypting anew under another key.

use crate::arn::{KeyName, Name};
use crate::ciphertext::{Ciphertext, Under};
use crate::context::Pairs;
use crate::key_stores::in_store;
use crate::records::{Key, MaterialId};
use crate::resolve::{Allowed, By};
use crate::{Kms, errors, home};
use bytes::Bytes;
use ringfence_gateway::{Answer, Call, Regional};
use ringfence_keyring::SecretBytes;
use ringfence_keyring::material::{EncryptionAlgorithm, Material, MaterialError, Spec};
use ringfence_model_kms::operations as ops;
use ringfence_model_kms::types::{self, EncryptionAlgorithmSpec, KeyUsageType};
use ringfence_wire::{ServiceError, TypedOperation};

/// The algorithm that a request names, or the one that is meant where it names none.
fn named(given: Option<&EncryptionAlgorithmSpec>) -> EncryptionAlgorithmSpec {
    given.cloned().unwrap_or(EncryptionAlgorithmSpec::SymmetricDefault)
}

/// The algorithm, where the key has it.
fn checked(
    key: &Key,
    algorithm: &EncryptionAlgorithmSpec,
) -> Result<EncryptionAlgorithm, ServiceError> {
    let known = EncryptionAlgorithm::parse(algorithm.as_str());
    known
        .filter(|one| key.spec.encryption_algorithms().contains(one))
        .ok_or_else(|| errors::wrong_algorithm(algorithm.as_str(), key.spec.as_str()))
}

/// Encrypts under a key's newest material, wherever that is. What is held here never waits.
pub(crate) async fn encrypt_with<O: TypedOperation>(
    kms: &Kms,
    call: &Call<O>,
    allowed: &Allowed,
    algorithm: EncryptionAlgorithm,
    context: &Pairs<'_>,
    plaintext: &[u8],
) -> Result<(Vec<u8>, Option<MaterialId>), ServiceError> {
    let (key, home) = (allowed.found()?, &allowed.home);
    match &key.in_store {
        None => {
            let (blob, id) = encrypt_here(home, key, algorithm, context, plaintext, allowed.at)?;
            Ok((blob, Some(id)))
        }
        // Boxed, so that the others' calls are not made larger by what a store needs.
        Some(of) => {
            let encrypting =
                Box::pin(in_store::encrypt(kms, call, allowed, of, context, plaintext));
            Ok((encrypting.await?, None))
        }
    }
}

fn encrypt_here(
    home: &Regional,
    key: &Key,
    algorithm: EncryptionAlgorithm,
    context: &Pairs<'_>,
    plaintext: &[u8],
    now: i64,
) -> Result<(Vec<u8>, MaterialId), ServiceError> {
    let (id, material) = current(key, now)?;
    let blob = match algorithm {
        EncryptionAlgorithm::SymmetricDefault => {
            let under = Under { account: home.account, material: id, key: key.id.to_string() };
            material.encrypt(&under.written(), &context.bound(), plaintext)
        }
        _ => material.public_key().and_then(|public| public.encrypt(algorithm, plaintext)),
    };
    let blob = blob.map_err(|error| match error {
        MaterialError::PlaintextTooLong => {
            let most = most_bytes(key.spec, algorithm);
            errors::plaintext_too_long(algorithm.as_str(), key.spec.as_str(), most)
        }
        error => errors::failed(error),
    })?;
    Ok((blob, id))
}

/// The material that encrypts and signs, and its id.
pub(crate) fn current(key: &Key, now: i64) -> Result<(MaterialId, &Material), ServiceError> {
    let found = key.current().and_then(|version| Some((version.id, version.material(now)?)));
    found.ok_or_else(|| errors::failed("a key without material was used"))
}

/// Most bytes that RSA-OAEP encrypts: those of the modulus but for two hashes and two (RFC 8017,
/// section 7.1.1).
fn most_bytes(spec: Spec, algorithm: EncryptionAlgorithm) -> usize {
    let modulus = match spec {
        Spec::Rsa2048 => 256,
        Spec::Rsa3072 => 384,
        _ => 512,
    };
    let hash = if algorithm == EncryptionAlgorithm::RsaesOaepSha1 { 20 } else { 32 };
    modulus - 2 * hash - 2
}

pub(crate) async fn encrypt(
    kms: &Kms,
    call: Call<ops::Encrypt>,
) -> Result<Answer<types::EncryptResponse>, ServiceError> {
    let input = &call.input;
    let context = Pairs::read(input.encryption_context.as_ref())?;
    let algorithm = named(input.encryption_algorithm.as_ref());
    kms.check_tokens(&call, input.grant_tokens.as_deref())?;
    kms.ensure_managed(&call, &input.key_id).await?;
    let allowed = kms.allow_in(&call, &input.key_id, By::IdOrAlias, &context, |found| {
        found.key("kms:EncryptionAlgorithm", algorithm.as_str())
    })?;
    let key = allowed.usable(&KeyUsageType::EncryptDecrypt, "Encrypt")?;
    let checked = checked(key, &algorithm)?;
    context.fits(checked)?;
    allowed.not_dry_in_store(input.dry_run)?;
    let (blob, _) = encrypt_with(kms, &call, &allowed, checked, &context, &input.plaintext).await?;
    allowed.not_dry(input.dry_run)?;
    kms.note_use(&call, &allowed);
    Ok(allowed.permit.answer(types::EncryptResponse {
        ciphertext_blob: Some(blob.into()),
        key_id: Some(allowed.arn()?),
        encryption_algorithm: Some(algorithm),
    }))
}

/// The key that a ciphertext was made under: asked for, and its plaintext.
struct Opened {
    allowed: Allowed,
    plaintext: SecretBytes,
    material: Option<MaterialId>,
}

/// What is to be decrypted.
struct Sealed<'a> {
    blob: &'a [u8],
    key_id: Option<&'a str>,
    algorithm: &'a EncryptionAlgorithmSpec,
    context: &'a Pairs<'a>,
    operation: &'static str,
    dry_run: Option<bool>,
    /// The key that it is encrypted under anew, as the request names it.
    onto: Option<&'a str>,
}

const ON_SAME_KEY: &str = "kms:ReEncryptOnSameKey";

/// Finds the key of a ciphertext **before** deciding, so that policies of keys decide; then opens it.
async fn open<O: TypedOperation>(
    kms: &Kms,
    call: &Call<O>,
    action: &'static str,
    sealed: &Sealed<'_>,
) -> Result<Opened, ServiceError> {
    let symmetric = *sealed.algorithm == EncryptionAlgorithmSpec::SymmetricDefault;
    let ciphertext = symmetric.then(|| Ciphertext::parse(sealed.blob));
    let named = match (sealed.key_id, &ciphertext) {
        (Some(text), _) => KeyName::parse(text, &home(call)?)?,
        (None, Some(Ok(ciphertext))) => {
            let Under { account, key, .. } = ciphertext.under();
            let home = Regional { account: *account, region: call.facts().region.clone() };
            KeyName { home, name: Name::Key(key.clone()) }
        }
        (None, Some(Err(_))) => return Err(errors::bad_ciphertext()),
        (None, None) => {
            return Err(errors::validation(
                "KeyId is required when decrypting with an asymmetric KMS key.",
            ));
        }
    };
    let same = sealed.onto.map(|onto| kms.same_key(call, &named.arn(), onto)).transpose()?;
    let allowed = kms.allow_named_in(call, action, named, sealed.context, |found| {
        found
            .key("kms:EncryptionAlgorithm", sealed.algorithm.as_str())
            .key_if(ON_SAME_KEY, same.map(|same| same.to_string()))
    })?;
    if sealed.key_id.is_none() && allowed.found().is_err() {
        return Err(errors::no_key_of_ciphertext());
    }
    // That the ciphertext is another key's is told before what the key is for. [rec]
    if let (Ok(key), Some(Ok(ciphertext))) = (allowed.found(), &ciphertext) {
        let under = ciphertext.under();
        if *under.key != *key.id || under.account != allowed.home.account {
            return Err(errors::wrong_key());
        }
    }
    let key = allowed.usable(&KeyUsageType::EncryptDecrypt, sealed.operation)?;
    let algorithm = checked(key, sealed.algorithm)?;
    sealed.context.fits(algorithm)?;
    allowed.not_dry_in_store(sealed.dry_run)?;
    let ciphertext = ciphertext.transpose()?;
    let (plaintext, material) = match (ciphertext, &key.in_store) {
        (Some(Ciphertext::Held(blob, under)), None) => {
            let version = key.version(&under.material).and_then(|one| one.material(allowed.at));
            let material = version.ok_or_else(errors::bad_ciphertext)?;
            (material.decrypt(&blob, &sealed.context.bound()), Some(under.material))
        }
        (Some(Ciphertext::InStore(blob)), Some(of)) => {
            let decrypting =
                Box::pin(in_store::decrypt(kms, call, &allowed, of, sealed.context, blob));
            (Ok(decrypting.await?), None)
        }
        // INVARIANT: what our material encrypted of a key that encrypts twice is seen outside, and must
        // not open without what is outside.
        (Some(_), _) => return Err(errors::bad_ciphertext()),
        (None, _) => (current(key, allowed.at)?.1.decrypt_asymmetric(algorithm, sealed.blob), None),
    };
    let plaintext = plaintext.map_err(|error| match error {
        MaterialError::Ciphertext => errors::bad_ciphertext(),
        error => errors::failed(error),
    })?;
    allowed.not_dry(sealed.dry_run)?;
    Ok(Opened { allowed, plaintext, material })
}

pub(crate) async fn decrypt(
    kms: &Kms,
    call: Call<ops::Decrypt>,
) -> Result<Answer<types::DecryptResponse>, ServiceError> {
    let input = &call.input;
    if input.recipient.is_some() {
        return Err(errors::no_enclaves());
    }
    let context = Pairs::read(input.encryption_context.as_ref())?;
    let algorithm = named(input.encryption_algorithm.as_ref());
    kms.check_tokens(&call, input.grant_tokens.as_deref())?;
    let blob = input.ciphertext_blob.as_deref().unwrap_or_default();
    let Opened { allowed, plaintext, material } = open(
        kms,
        &call,
        "kms:Decrypt",
        &Sealed {
            blob,
            key_id: input.key_id.as_deref(),
            algorithm: &algorithm,
            context: &context,
            operation: "Decrypt",
            dry_run: input.dry_run,
            onto: None,
        },
    )
    .await?;
    kms.note_use(&call, &allowed);
    Ok(allowed.permit.answer(types::DecryptResponse {
        key_id: Some(allowed.arn()?),
        plaintext: Some(Bytes::copy_from_slice(plaintext.expose())),
        encryption_algorithm: Some(algorithm),
        key_material_id: material.map(|id| id.to_string()),
        ..types::DecryptResponse::default()
    }))
}

pub(crate) async fn re_encrypt(
    kms: &Kms,
    call: Call<ops::ReEncrypt>,
) -> Result<Answer<types::ReEncryptResponse>, ServiceError> {
    let input = &call.input;
    let from = Pairs::read(input.source_encryption_context.as_ref())?;
    let to = Pairs::read(input.destination_encryption_context.as_ref())?;
    let source_algorithm = named(input.source_encryption_algorithm.as_ref());
    let algorithm = named(input.destination_encryption_algorithm.as_ref());
    kms.check_tokens(&call, input.grant_tokens.as_deref())?;
    let blob = input.ciphertext_blob.as_deref().unwrap_or_default();
    let opened = open(
        kms,
        &call,
        "kms:ReEncryptFrom",
        &Sealed {
            blob,
            key_id: input.source_key_id.as_deref(),
            algorithm: &source_algorithm,
            context: &from,
            operation: "ReEncrypt",
            dry_run: None,
            onto: Some(&input.destination_key_id),
        },
    )
    .await?;
    let source = opened.allowed.arn()?;
    let same = kms.same_key(&call, &source, &input.destination_key_id)?;
    let allowed = kms.allow_action_in(
        &call,
        "kms:ReEncryptTo",
        &input.destination_key_id,
        By::IdOrAlias,
        &to,
        |found| {
            found
                .key("kms:EncryptionAlgorithm", algorithm.as_str())
                .key(ON_SAME_KEY, same.to_string())
        },
    )?;
    let key = allowed.usable(&KeyUsageType::EncryptDecrypt, "ReEncrypt")?;
    let checked = checked(key, &algorithm)?;
    to.fits(checked)?;
    allowed.not_dry_in_store(input.dry_run)?;
    let symmetric = key.spec == Spec::SymmetricDefault;
    let plaintext = opened.plaintext.expose();
    let (blob, material) = encrypt_with(kms, &call, &allowed, checked, &to, plaintext).await?;
    let material = material.filter(|_| symmetric);
    allowed.not_dry(input.dry_run)?;
    kms.note_use(&call, &opened.allowed);
    kms.note_use(&call, &allowed);
    Ok(allowed.permit.answer(types::ReEncryptResponse {
        ciphertext_blob: Some(blob.into()),
        source_key_id: Some(source),
        key_id: Some(allowed.arn()?),
        source_encryption_algorithm: Some(source_algorithm),
        destination_encryption_algorithm: Some(algorithm),
        source_key_material_id: opened.material.map(|id| id.to_string()),
        destination_key_material_id: material.map(|id| id.to_string()),
    }))
}
