//! Calls of KMS by a user who may by the key's delegation and a policy of its own.

use crate::client::{once, replay};
use crate::process::Server;
use crate::signer::{Signer, encode};
use crate::{READS, head, hello, measure_read, measure_times, row};
use data_encoding::BASE64;

/// Requests of one measurement of what takes long by itself: signatures.
const SIGNATURES: usize = 5_000;

/// A call that is measured.
struct Measured {
    what: &'static str,
    operation: &'static str,
    body: String,
    times: usize,
}

/// Measures each call beside hello-world, and beside a hyper server that moves the same bytes; those alone whose
/// name begins with `only`.
pub async fn run(only: &str, times: usize) {
    let hello = Server::hello();
    hello.until_it_answers(hello::REQUEST).await;
    let dir = tempfile::tempdir().expect("a directory");
    let (server, _) = Server::ringfence(&dir.path().join("data")).await;
    let root = server.root();
    let caller = caller(&server, &root).await;
    let calls = calls(&server, &root, &caller).await;
    head();
    for call in calls.iter().filter(|call| call.what.starts_with(only)) {
        let (mut rounds, mut bare) = (Vec::new(), Vec::new());
        let answer = once(server.port(), &caller.kms(call.operation, &call.body)).await;
        // The first round warms up.
        for round in 0..=times {
            let base = measure_read(&hello, hello::REQUEST).await.micros();
            let request = caller.kms(call.operation, &call.body);
            let cost = measure_times(&server, &request, call.times).await;
            let same = hello::same_bytes(&request, &answer);
            let same = measure_times(&hello, &same, call.times).await;
            if round > 0 {
                rounds.push((cost, base));
                bare.push((same, base));
            }
        }
        row(call.what, &rounds);
        row("… its bytes alone, by hyper", &bare);
    }
    server.stop();
}

async fn calls(server: &Server, root: &Signer, caller: &Signer) -> Vec<Measured> {
    let bytes = BASE64.encode(&[7; 1024]);
    let message = BASE64.encode(&[7; 300]);
    let context = r#""EncryptionContext":{"department":"finance","purpose":"bench"}"#;
    let read = |what, operation, body| Measured { what, operation, body, times: READS };
    let signature = |what, operation, body| Measured { what, operation, body, times: SIGNATURES };

    let key = make(server, root, "SYMMETRIC_DEFAULT", "ENCRYPT_DECRYPT").await;
    let encrypt = format!(r#"{{"KeyId":"{key}","Plaintext":"{bytes}",{context}}}"#);
    let answer = once(server.port(), &caller.kms("Encrypt", &encrypt)).await;
    let blob = field(&answer, "CiphertextBlob");
    let decrypt = format!(r#"{{"CiphertextBlob":"{blob}",{context}}}"#);
    let data_key = format!(r#"{{"KeyId":"{key}","KeySpec":"AES_256",{context}}}"#);
    let key = make(server, root, "HMAC_256", "GENERATE_VERIFY_MAC").await;
    let mac = format!(r#"{{"KeyId":"{key}","MacAlgorithm":"HMAC_SHA_256","Message":"{message}"}}"#);
    let mut calls = vec![
        read("Encrypt 1 KiB", "Encrypt", encrypt),
        read("Decrypt 1 KiB", "Decrypt", decrypt),
        read("GenerateDataKey", "GenerateDataKey", data_key),
        read("GenerateMac, SHA-256", "GenerateMac", mac),
    ];
    for (sign, verify, spec, algorithm) in [
        ("Sign RSA-2048", "Verify RSA-2048", "RSA_2048", "RSASSA_PSS_SHA_256"),
        ("Sign P-256", "Verify P-256", "ECC_NIST_P256", "ECDSA_SHA_256"),
        ("Sign Ed25519", "Verify Ed25519", "ECC_NIST_EDWARDS25519", "ED25519_SHA_512"),
        ("Sign ML-DSA-65", "Verify ML-DSA-65", "ML_DSA_65", "ML_DSA_SHAKE_256"),
    ] {
        let key = make(server, root, spec, "SIGN_VERIFY").await;
        let asked =
            format!(r#""KeyId":"{key}","SigningAlgorithm":"{algorithm}","Message":"{message}""#);
        let body = format!("{{{asked}}}");
        let answer = once(server.port(), &caller.kms("Sign", &body)).await;
        calls.push(signature(sign, "Sign", body));
        let made = field(&answer, "Signature");
        calls.push(signature(verify, "Verify", format!(r#"{{{asked},"Signature":"{made}"}}"#)));
    }
    calls
}

/// A user with a policy for cryptographic operations.
async fn caller(server: &Server, root: &Signer) -> Signer {
    let policy = r#"{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Resource":"*","Action":["kms:Encrypt","kms:Decrypt","kms:GenerateDataKey*","kms:Sign","kms:Verify","kms:GenerateMac"],"Condition":{"IpAddress":{"aws:SourceIp":"127.0.0.0/8"}}}]}"#;
    for call in [
        "Action=CreateUser&UserName=caller".to_owned(),
        format!(
            "Action=PutUserPolicy&UserName=caller&PolicyName=p&PolicyDocument={}",
            encode(policy)
        ),
    ] {
        let request = root.post("iam", &format!("{call}&Version=2010-05-08"));
        replay(server.port(), vec![request], 1).await;
    }
    let request = root.post("iam", "Action=CreateAccessKey&UserName=caller&Version=2010-05-08");
    let answer = once(server.port(), &request).await;
    Signer::new(crate::between(&answer, "AccessKeyId"), crate::between(&answer, "SecretAccessKey"))
}

/// A key of root's account, by its ARN.
async fn make(server: &Server, root: &Signer, spec: &str, usage: &str) -> String {
    let request = root.kms("CreateKey", &format!(r#"{{"KeySpec":"{spec}","KeyUsage":"{usage}"}}"#));
    field(&once(server.port(), &request).await, "Arn")
}

/// The text of a member of a JSON answer, wherever it stands.
fn field(answer: &str, name: &str) -> String {
    let (_, rest) = answer.split_once(&format!("\"{name}\":\"")).expect("the member");
    rest.split_once('"').expect("its end").0.to_owned()
}
