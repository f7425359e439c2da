//! What a call of KMS costs inside the server, without the wire, beside the bare call of aws-lc-rs that
//! does the work: decision, quota, event and last use included. It is CPU time of the whole process: a call
//! by itself waits for its event to be written, which many share.
//!
//! ```text
//! cargo bench --package ringfence --bench kms_in_process
//! ```
//!
//! A made-up service calls KMS for whoever calls it, as S3 would, many times, and says how long each kind
//! of call took.

#![expect(clippy::expect_used, reason = "a bench has nobody to report to")]

#[path = "whole_process/client.rs"]
#[expect(dead_code, reason = "one request is sent here")]
mod client;
#[path = "whole_process/signer.rs"]
#[expect(dead_code, reason = "one request is signed here")]
mod signer;

use aws_lc_rs::aead::{AES_256_GCM, Aad, LessSafeKey, Nonce, UnboundKey};
use aws_lc_rs::rand::SystemRandom as AwsRandom;
use aws_lc_rs::signature::KeyPair as _;
use aws_lc_rs::{hmac, rsa, signature};
use bytes::Bytes;
use ringfence_gateway::clock::SystemClock;
use ringfence_gateway::session::Tokens;
use ringfence_gateway::{
    Answer, Audit, AuthorizationMessages, Call, Gateway, Handlers, Limits, Permit, Resolved,
    Server, Shared, SyncRule, Trail, World,
};
use ringfence_iam::Iam;
use ringfence_keyring::{Keyring, LogKey, SystemRandom};
use ringfence_kms::Kms;
use ringfence_model_accessanalyzer::{SERVICE, operations as made_up};
use ringfence_model_kms::operations as ops;
use ringfence_model_kms::types::{
    CreateKeyRequest, DataKeySpec, DecryptRequest, EncryptRequest, GenerateDataKeyRequest,
    GenerateMacRequest, KeySpec, KeyUsageType, MacAlgorithmSpec, SignRequest, SigningAlgorithmSpec,
    VerifyRequest,
};
use ringfence_policy::AccountId;
use ringfence_store::Store;
use ringfence_store::model::Model;
use ringfence_store::seal::Unsealed;
use ringfence_wire::value::{Empty, Map};
use ringfence_wire::{ServiceError, TypedOperation};
use std::future::poll_fn;
use std::hint::black_box;
use std::net::TcpListener;
use std::sync::Arc;
use std::task::Poll;
use std::time::{Duration, Instant};

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

const ACCOUNT: AccountId = AccountId::new(111_111_111_111).expect("an account");
/// The service that calls.
const VIA: &str = "s3";
const MESSAGE: &[u8] = &[7; 300];
const PLAINTEXT: &[u8] = &[7; 1024];
/// How long each kind of call is made, in each round.
const WHILE: Duration = Duration::from_millis(300);
const ROUNDS: usize = 5;
/// Calls under way at once.
const TOGETHER: u32 = 64;

fn main() {
    let keyring = Keyring::ephemeral().expect("a keyring");
    let store = Arc::new(Store::open(Model::default(), Unsealed).expect("a store"));
    let clock = Arc::new(SystemClock);
    let random = Arc::new(SystemRandom);
    let iam = Iam::load(store.clone(), &keyring, clock.clone(), random.clone(), Default::default());
    let iam = iam.expect("IAM");
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let runtime = runtime.expect("a runtime");
    let root = runtime.block_on(iam.create_account(ACCOUNT, "bench")).expect("an account");
    let quotas = ringfence_kms::Quotas::without_rates();
    let kms = Kms::load(store, &keyring, clock.clone(), random.clone(), quotas).expect("KMS");
    let measuring = Handlers::new(&SERVICE, Arc::new(()))
        .on::<made_up::StartResourceScan, _>(measure_all)
        .finish();
    let shared = Shared {
        directory: iam.clone(),
        clock,
        random,
        tokens: Tokens::new(&keyring),
        authorization_messages: AuthorizationMessages::new(&keyring),
        trail: Trail::in_memory(),
    };
    let world = World::new(vec![kms.handlers(), measuring], Arc::new(shared));
    let dir = tempfile::tempdir().expect("a directory");
    let key = LogKey::open(&LogKey::generate().expect("a key")).expect("a key");
    let audit = Audit::open(&dir.path().join("audit"), SyncRule::Every, key, Box::new(|_| {}))
        .expect("an audit log");
    let gateway = Arc::new(Gateway::new(world, audit, ACCOUNT, None).expect("a gateway"));
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let port = listener.local_addr().expect("its number").port();
    let server = Server::start(&gateway, &listener, 1, Limits::default()).expect("a server");
    let secret = root.secret_access_key.expose().to_owned();
    let root = signer::Signer::new(root.access_key_id, secret);
    let body = r#"{"analyzerArn":"arn:aws:access-analyzer:us-east-1:111111111111:analyzer/a","resourceArn":"arn:aws:s3:::bucket"}"#;
    let request = root.json("access-analyzer", "/resource/scan", body);
    let answer = runtime.block_on(client::once(port, &request));
    assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
    server.stop();
}

/// The call that asks KMS, and the right to.
struct Asking {
    call: Call<made_up::StartResourceScan>,
    permit: Permit<()>,
}

impl Asking {
    async fn ask<P>(&self, input: P::Input) -> Result<P::Output, ServiceError>
    where
        P: TypedOperation,
        P::Input: 'static,
        P::Output: 'static,
    {
        self.call.on_behalf::<P>(&self.permit, VIA, input).await
    }
}

async fn measure_all(
    _: &(),
    call: Call<made_up::StartResourceScan>,
) -> Result<Answer<Empty>, ServiceError> {
    let permit = call.allow(Resolved::any(call.account()?))?;
    let call = Asking { call, permit };
    println!("| call | in the server, µs | aws-lc-rs alone, µs | multiple | added, µs |");
    println!("|---|---:|---:|---:|---:|");
    symmetric(&call).await?;
    mac(&call).await?;
    signatures(&call).await?;
    Ok(call.permit.answer(Empty::default()))
}

/// Microseconds of one call: the median of the rounds, each a mean, the two kinds in turn.
async fn row<P>(
    call: &Asking,
    what: &str,
    input: impl Fn() -> P::Input,
    bare: &dyn Fn(),
) -> Result<(), ServiceError>
where
    P: TypedOperation,
    P::Input: 'static,
    P::Output: 'static,
{
    let (mut inside, mut alone) = (Vec::new(), Vec::new());
    // The first round warms up.
    for round in 0..=ROUNDS {
        let (started, cpu, mut times) = (Instant::now(), cpu_time(), 0);
        while started.elapsed() < WHILE {
            let calls = (0..TOGETHER).map(|_| call.ask::<P>(input()));
            together(calls).await?;
            times += TOGETHER;
        }
        let served = (cpu_time() - cpu) * 1e6 / f64::from(times);
        let (started, cpu, mut times) = (Instant::now(), cpu_time(), 0);
        while started.elapsed() < WHILE {
            for _ in 0..TOGETHER {
                bare();
            }
            times += TOGETHER;
        }
        let bared = (cpu_time() - cpu) * 1e6 / f64::from(times);
        if round > 0 {
            inside.push(served);
            alone.push(bared);
        }
    }
    let (inside, alone) = (median(inside), median(alone));
    println!(
        "| {what} | {inside:.2} | {alone:.2} | {:.2} | {:.2} |",
        inside / alone,
        inside - alone
    );
    Ok(())
}

/// Waits for all of them.
async fn together<T>(
    calls: impl Iterator<Item = impl Future<Output = Result<T, ServiceError>>>,
) -> Result<(), ServiceError> {
    let mut calls: Vec<_> = calls.map(Box::pin).collect();
    poll_fn(|context| {
        let mut failed = None;
        calls.retain_mut(|call| match call.as_mut().poll(context) {
            Poll::Pending => true,
            Poll::Ready(answer) => {
                failed = failed.take().or(black_box(answer).err());
                false
            }
        });
        match failed {
            Some(error) => Poll::Ready(Err(error)),
            None if calls.is_empty() => Poll::Ready(Ok(())),
            None => Poll::Pending,
        }
    })
    .await
}

/// CPU time of this process so far, in seconds.
fn cpu_time() -> f64 {
    let time = rustix::time::clock_gettime(rustix::time::ClockId::ProcessCPUTime);
    time.tv_sec as f64 + time.tv_nsec as f64 / 1e9
}

fn median(mut of: Vec<f64>) -> f64 {
    of.sort_by(f64::total_cmp);
    of.get(of.len() / 2).copied().unwrap_or_default()
}

async fn make(call: &Asking, spec: KeySpec, usage: KeyUsageType) -> Result<String, ServiceError> {
    let input =
        CreateKeyRequest { key_spec: Some(spec), key_usage: Some(usage), ..Default::default() };
    let made = call.ask::<ops::CreateKey>(input).await?;
    Ok(made.key_metadata.and_then(|key| key.arn).unwrap_or_default())
}

fn context() -> Option<Map<String>> {
    Some(
        [("department", "finance"), ("purpose", "bench")]
            .map(|(k, v)| (k.into(), v.into()))
            .into_iter()
            .collect(),
    )
}

async fn symmetric(call: &Asking) -> Result<(), ServiceError> {
    let key = make(call, KeySpec::SymmetricDefault, KeyUsageType::EncryptDecrypt).await?;
    let bare = LessSafeKey::new(UnboundKey::new(&AES_256_GCM, &[7; 32]).expect("a key"));
    let seal = |plaintext: &[u8]| {
        let mut nonce = [0; 12];
        aws_lc_rs::rand::fill(&mut nonce).expect("random bytes");
        let mut sealed = plaintext.to_vec();
        let unique = Nonce::assume_unique_for_key(nonce);
        bare.seal_in_place_append_tag(unique, Aad::from(b"context"), &mut sealed).expect("sealed");
        (nonce, sealed)
    };
    let encrypt = || EncryptRequest {
        key_id: key.clone(),
        plaintext: Bytes::from_static(PLAINTEXT),
        encryption_context: context(),
        ..Default::default()
    };
    row::<ops::Encrypt>(call, "Encrypt 1 KiB", encrypt, &|| drop(black_box(seal(PLAINTEXT))))
        .await?;
    let blob = call.ask::<ops::Encrypt>(encrypt()).await?.ciphertext_blob;
    let (nonce, sealed) = seal(PLAINTEXT);
    let open = || {
        let mut room = sealed.clone();
        let nonce = Nonce::assume_unique_for_key(nonce);
        let opened = bare.open_in_place(nonce, Aad::from(b"context"), &mut room);
        black_box(opened.expect("opened").len());
    };
    let decrypt = || DecryptRequest {
        ciphertext_blob: blob.clone(),
        encryption_context: context(),
        ..Default::default()
    };
    row::<ops::Decrypt>(call, "Decrypt 1 KiB", decrypt, &open).await?;
    let data_key = || GenerateDataKeyRequest {
        key_id: key.clone(),
        key_spec: Some(DataKeySpec::Aes256),
        encryption_context: context(),
        ..Default::default()
    };
    let make_and_seal = || {
        let mut made = [0; 32];
        aws_lc_rs::rand::fill(&mut made).expect("random bytes");
        black_box(seal(&made));
    };
    row::<ops::GenerateDataKey>(call, "GenerateDataKey", data_key, &make_and_seal).await
}

async fn mac(call: &Asking) -> Result<(), ServiceError> {
    let key = make(call, KeySpec::Hmac256, KeyUsageType::GenerateVerifyMac).await?;
    let bare = hmac::Key::new(hmac::HMAC_SHA256, &[7; 32]);
    let input = || GenerateMacRequest {
        key_id: key.clone(),
        mac_algorithm: MacAlgorithmSpec::HmacSha256,
        message: Bytes::from_static(MESSAGE),
        ..Default::default()
    };
    let bare = || {
        black_box(hmac::sign(&bare, MESSAGE));
    };
    row::<ops::GenerateMac>(call, "GenerateMac, SHA-256", input, &bare).await
}

async fn signatures(call: &Asking) -> Result<(), ServiceError> {
    let random = AwsRandom::new();
    let pair = rsa::KeyPair::generate(rsa::KeySize::Rsa2048).expect("a pair");
    let sign = || {
        let mut room = vec![0; 256];
        pair.sign(&signature::RSA_PSS_SHA256, &random, MESSAGE, &mut room).expect("signed");
        room
    };
    let parameters = &signature::RSA_PSS_2048_8192_SHA256;
    let public = signature::UnparsedPublicKey::new(parameters, pair.public_key().as_ref());
    let algorithm = SigningAlgorithmSpec::RsassaPssSha256;
    pair_of_rows(call, "RSA-2048", KeySpec::Rsa2048, algorithm, &sign, &public).await?;

    let signing = &signature::ECDSA_P256_SHA256_ASN1_SIGNING;
    let pair = signature::EcdsaKeyPair::generate(signing).expect("a pair");
    let sign = || pair.sign(&random, MESSAGE).expect("signed").as_ref().to_vec();
    let parameters = &signature::ECDSA_P256_SHA256_ASN1;
    let public = signature::UnparsedPublicKey::new(parameters, pair.public_key().as_ref());
    let algorithm = SigningAlgorithmSpec::EcdsaSha256;
    pair_of_rows(call, "P-256", KeySpec::EccNistP256, algorithm, &sign, &public).await?;

    let pair = signature::Ed25519KeyPair::generate().expect("a pair");
    let sign = || pair.sign(MESSAGE).as_ref().to_vec();
    let public = signature::UnparsedPublicKey::new(&signature::ED25519, pair.public_key().as_ref());
    let algorithm = SigningAlgorithmSpec::Ed25519Sha512;
    pair_of_rows(call, "Ed25519", KeySpec::EccNistEdwards25519, algorithm, &sign, &public).await?;

    let signing = &signature::ML_DSA_65_SIGNING;
    let pair = signature::PqdsaKeyPair::generate(signing).expect("a pair");
    let sign = || {
        let mut room = vec![0; signing.signature_len()];
        pair.sign(MESSAGE, &mut room).expect("signed");
        room
    };
    let public =
        signature::UnparsedPublicKey::new(&signature::ML_DSA_65, pair.public_key().as_ref());
    let algorithm = SigningAlgorithmSpec::MlDsaShake256;
    pair_of_rows(call, "ML-DSA-65", KeySpec::MlDsa65, algorithm, &sign, &public).await
}

async fn pair_of_rows<B: AsRef<[u8]>>(
    call: &Asking,
    name: &str,
    spec: KeySpec,
    algorithm: SigningAlgorithmSpec,
    sign: &dyn Fn() -> Vec<u8>,
    public: &signature::UnparsedPublicKey<B>,
) -> Result<(), ServiceError> {
    let key = make(call, spec, KeyUsageType::SignVerify).await?;
    let input = || SignRequest {
        key_id: key.clone(),
        message: Bytes::from_static(MESSAGE),
        signing_algorithm: algorithm.clone(),
        ..Default::default()
    };
    row::<ops::Sign>(call, &format!("Sign {name}"), input, &|| drop(black_box(sign()))).await?;
    let made = call.ask::<ops::Sign>(input()).await?.signature.unwrap_or_default();
    let input = || VerifyRequest {
        key_id: key.clone(),
        message: Bytes::from_static(MESSAGE),
        signing_algorithm: algorithm.clone(),
        signature: made.clone(),
        ..Default::default()
    };
    let signed = sign();
    let bare = || public.verify(MESSAGE, &signed).expect("verified");
    row::<ops::Verify>(call, &format!("Verify {name}"), input, &bare).await
}
