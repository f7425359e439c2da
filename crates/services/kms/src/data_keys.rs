//! Keys for others: data keys, data key pairs, and random bytes.
//! <https://docs.aws.amazon.com/kms/latest/developerguide/data-keys.html>

use crate::apart::apart;
use crate::context::Pairs;
use crate::encryption::encrypt_with;
use crate::key_stores::in_store;
use crate::rates::Kind;
use crate::records::MaterialId;
use crate::resolve::{Allowed, By};
use crate::{Kms, errors, home};
use bytes::Bytes;
use ringfence_gateway::{Answer, Call, Resolved};
use ringfence_keyring::SecretBytes;
use ringfence_keyring::material::{DataKeyPair, EncryptionAlgorithm, Spec};
use ringfence_model_kms::operations as ops;
use ringfence_model_kms::types::{self, DataKeyPairSpec, DataKeySpec, KeyUsageType};
use ringfence_wire::value::Map;
use ringfence_wire::{ServiceError, TypedOperation};

/// Most bytes of a data key, and of a random text.
const MOST: i32 = 1024;

/// How many bytes a data key is to have.
fn length(spec: Option<&DataKeySpec>, bytes: Option<i32>) -> Result<usize, ServiceError> {
    match (spec, bytes) {
        (Some(_), Some(_)) | (None, None) => {
            Err(errors::validation("Please specify either number of bytes or key spec."))
        }
        (Some(DataKeySpec::Aes256), None) => Ok(32),
        (Some(DataKeySpec::Aes128), None) => Ok(16),
        (Some(_), None) => Err(errors::validation("This key spec is not known.")),
        (None, Some(bytes)) => usize::try_from(bytes.clamp(1, MOST)).map_err(errors::failed),
    }
}

/// What every operation that makes a data key is asked for.
struct Asked<'a> {
    key_id: &'a str,
    context: Option<&'a Map<String>>,
    tokens: Option<&'a [String]>,
    dry_run: Option<bool>,
    operation: &'static str,
}

/// A secret for somebody else, encrypted under a KMS key.
struct Made {
    allowed: Allowed,
    blob: Bytes,
    /// Of a key in a custom key store, none.
    material: Option<MaterialId>,
}

/// Makes a secret and encrypts it under the key that the request names.
async fn make<O: TypedOperation, T>(
    kms: &Kms,
    call: &Call<O>,
    asked: &Asked<'_>,
    pair: Option<&DataKeyPairSpec>,
    secret: impl Future<Output = Result<(SecretBytes, T), ServiceError>>,
) -> Result<(Made, SecretBytes, T), ServiceError> {
    if let Some(kind) = pair.and_then(|pair| Kind::of_pair(pair.as_str())) {
        kms.counted.count(call.facts(), kind)?;
    }
    let context = Pairs::read(asked.context)?;
    kms.check_tokens(call, asked.tokens)?;
    kms.ensure_managed(call, asked.key_id).await?;
    let algorithm = EncryptionAlgorithm::SymmetricDefault;
    let allowed = kms.allow_in(call, asked.key_id, By::IdOrAlias, &context, |found| {
        found
            .key("kms:EncryptionAlgorithm", algorithm.as_str())
            .key_if("kms:DataKeyPairSpec", pair.map(DataKeyPairSpec::as_str))
    })?;
    let key = allowed.usable(&KeyUsageType::EncryptDecrypt, asked.operation)?;
    if key.spec != Spec::SymmetricDefault {
        return Err(errors::wrong_algorithm(algorithm.as_str(), key.spec.as_str()));
    }
    allowed.not_dry(asked.dry_run)?;
    let (secret, rest) = secret.await?;
    let (blob, material) =
        encrypt_with(kms, call, &allowed, algorithm, &context, secret.expose()).await?;
    kms.note_use(call, &allowed);
    Ok((Made { allowed, blob: blob.into(), material }, secret, rest))
}

fn random<O: TypedOperation>(call: &Call<O>, length: usize) -> Result<SecretBytes, ServiceError> {
    let mut bytes = vec![0; length];
    call.shared().random.fill(&mut bytes).map_err(errors::failed)?;
    Ok(SecretBytes::new(bytes))
}

async fn data_key<O: TypedOperation>(
    call: &Call<O>,
    length: usize,
) -> Result<(SecretBytes, ()), ServiceError> {
    Ok((random(call, length)?, ()))
}

pub(crate) async fn generate_data_key(
    kms: &Kms,
    call: Call<ops::GenerateDataKey>,
) -> Result<Answer<types::GenerateDataKeyResponse>, ServiceError> {
    let input = &call.input;
    if input.recipient.is_some() {
        return Err(errors::no_enclaves());
    }
    let length = length(input.key_spec.as_ref(), input.number_of_bytes)?;
    let asked = Asked {
        key_id: &input.key_id,
        context: input.encryption_context.as_ref(),
        tokens: input.grant_tokens.as_deref(),
        dry_run: input.dry_run,
        operation: "GenerateDataKey",
    };
    let (made, secret, ()) = make(kms, &call, &asked, None, data_key(&call, length)).await?;
    Ok(made.allowed.permit.answer(types::GenerateDataKeyResponse {
        ciphertext_blob: Some(made.blob),
        plaintext: Some(Bytes::copy_from_slice(secret.expose())),
        key_id: Some(made.allowed.arn()?),
        key_material_id: made.material.map(|id| id.to_string()),
        ..types::GenerateDataKeyResponse::default()
    }))
}

pub(crate) async fn generate_data_key_without_plaintext(
    kms: &Kms,
    call: Call<ops::GenerateDataKeyWithoutPlaintext>,
) -> Result<Answer<types::GenerateDataKeyWithoutPlaintextResponse>, ServiceError> {
    let input = &call.input;
    let length = length(input.key_spec.as_ref(), input.number_of_bytes)?;
    let asked = Asked {
        key_id: &input.key_id,
        context: input.encryption_context.as_ref(),
        tokens: input.grant_tokens.as_deref(),
        dry_run: input.dry_run,
        operation: "GenerateDataKeyWithoutPlaintext",
    };
    let (made, _, ()) = make(kms, &call, &asked, None, data_key(&call, length)).await?;
    Ok(made.allowed.permit.answer(types::GenerateDataKeyWithoutPlaintextResponse {
        ciphertext_blob: Some(made.blob),
        key_id: Some(made.allowed.arn()?),
        key_material_id: made.material.map(|id| id.to_string()),
    }))
}

/// A new pair, its public key as DER. The primes of RSA are looked for beside the calls.
async fn pair<O: TypedOperation>(
    call: &Call<O>,
    spec: &DataKeyPairSpec,
) -> Result<(SecretBytes, Bytes), ServiceError> {
    let known = Spec::parse(spec.as_str()).filter(|spec| spec.has_data_key_pairs());
    let known = known.ok_or_else(|| {
        errors::unsupported(format!("KeyPairSpec {} is not supported.", spec.as_str()))
    })?;
    let random = call.shared().random.clone();
    let made = match known {
        Spec::Rsa2048 | Spec::Rsa3072 | Spec::Rsa4096 => {
            apart(call.account()?, move || DataKeyPair::generate(known, &*random)).await?
        }
        _ => DataKeyPair::generate(known, &*random),
    };
    let pair = made.map_err(errors::failed)?;
    let public = Bytes::copy_from_slice(pair.public_key.as_der());
    Ok((pair.private_key, public))
}

pub(crate) async fn generate_data_key_pair(
    kms: &Kms,
    call: Call<ops::GenerateDataKeyPair>,
) -> Result<Answer<types::GenerateDataKeyPairResponse>, ServiceError> {
    let input = &call.input;
    if input.recipient.is_some() {
        return Err(errors::no_enclaves());
    }
    let asked = Asked {
        key_id: &input.key_id,
        context: input.encryption_context.as_ref(),
        tokens: input.grant_tokens.as_deref(),
        dry_run: input.dry_run,
        operation: "GenerateDataKeyPair",
    };
    let spec = &input.key_pair_spec;
    let (made, secret, public) = make(kms, &call, &asked, Some(spec), pair(&call, spec)).await?;
    Ok(made.allowed.permit.answer(types::GenerateDataKeyPairResponse {
        private_key_ciphertext_blob: Some(made.blob),
        private_key_plaintext: Some(Bytes::copy_from_slice(secret.expose())),
        public_key: Some(public),
        key_id: Some(made.allowed.arn()?),
        key_pair_spec: Some(spec.clone()),
        key_material_id: made.material.map(|id| id.to_string()),
        ..types::GenerateDataKeyPairResponse::default()
    }))
}

pub(crate) async fn generate_data_key_pair_without_plaintext(
    kms: &Kms,
    call: Call<ops::GenerateDataKeyPairWithoutPlaintext>,
) -> Result<Answer<types::GenerateDataKeyPairWithoutPlaintextResponse>, ServiceError> {
    let input = &call.input;
    let asked = Asked {
        key_id: &input.key_id,
        context: input.encryption_context.as_ref(),
        tokens: input.grant_tokens.as_deref(),
        dry_run: input.dry_run,
        operation: "GenerateDataKeyPairWithoutPlaintext",
    };
    let spec = &input.key_pair_spec;
    let (made, _, public) = make(kms, &call, &asked, Some(spec), pair(&call, spec)).await?;
    Ok(made.allowed.permit.answer(types::GenerateDataKeyPairWithoutPlaintextResponse {
        private_key_ciphertext_blob: Some(made.blob),
        public_key: Some(public),
        key_id: Some(made.allowed.arn()?),
        key_pair_spec: Some(spec.clone()),
        key_material_id: made.material.map(|id| id.to_string()),
    }))
}

pub(crate) async fn generate_random(
    kms: &Kms,
    call: Call<ops::GenerateRandom>,
) -> Result<Answer<types::GenerateRandomResponse>, ServiceError> {
    let input = &call.input;
    if input.recipient.is_some() {
        return Err(errors::no_enclaves());
    }
    let home = home(&call)?;
    let permit = call.allow(Resolved::any(home.account))?;
    let bytes = input.number_of_bytes.ok_or_else(|| {
        // Recorded: LocalStack's tests against AWS.
        errors::validation("NumberOfBytes is required.")
    })?;
    let length = usize::try_from(bytes.clamp(1, MOST)).map_err(errors::failed)?;
    let secret = match &input.custom_key_store_id {
        None => random(&call, length)?,
        Some(store) => {
            let region = kms.view(&call, &permit)?;
            Box::pin(in_store::random(kms, &home, &region, store, length)).await?
        }
    };
    Ok(permit.answer(types::GenerateRandomResponse {
        plaintext: Some(Bytes::copy_from_slice(secret.expose())),
        ..types::GenerateRandomResponse::default()
    }))
}
