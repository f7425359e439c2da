//! Key material judged by Project Wycheproof's vectors, edge cases and attacks included.
//!
//! The vectors lie outside the project (`RINGFENCE_SHARED_DATA`, or `../shared/data` from its root);
//! where they are missing each test says so and passes over them. What the primitives here cannot
//! express is passed over with the reason; `--no-capture` shows the counts.

#![allow(clippy::expect_used, clippy::panic, clippy::unwrap_used)] // Tests, helpers included.

use aws_lc_rs::digest;
use ringfence_keyring::material::{
    EncryptionAlgorithm, MacAlgorithm, Material, Message, PublicKey, SigningAlgorithm, Spec,
    WrappingAlgorithm,
};
use ringfence_keyring::{SecretBytes, SystemRandom};
use serde_json::Value;
use std::collections::BTreeMap;
use std::path::PathBuf;

/// What became of a vector.
enum Outcome {
    Accepted,
    Refused,
    PassedOver(&'static str),
}
use Outcome::{Accepted, PassedOver, Refused};

fn outcome(accepted: bool) -> Outcome {
    if accepted { Accepted } else { Refused }
}

/// Files of which no vector can be expressed, and why.
const PASSED_OVER: &[(&str, &str)] = &[
    ("aes_gcm_test.json", "each blob has a key of its own, derived, and the nonce 0"),
    ("aes_wrap_test.json", "KMS imports under AES key wrap with padding (RFC 5649), not without"),
];

/// What the names of the files begin with that the tests here judge.
const JUDGED: &[&str] = &[
    "aes_kwp_",
    "ecdh_secp256r1_",
    "ecdh_secp384r1_",
    "ecdh_secp521r1_",
    "ecdsa_secp256k1_sha256_",
    "ecdsa_secp256r1_sha256_",
    "ecdsa_secp384r1_sha384_",
    "ecdsa_secp521r1_sha512_",
    "ed25519_",
    "hmac_sha",
    "mldsa_",
    "mlkem_",
    "rsa_oaep_",
    "rsa_pss_",
    "rsa_signature_",
];

#[test]
fn every_file_is_judged_or_passed_over_for_a_reason() {
    let folder = folder();
    let Ok(files) = std::fs::read_dir(&folder) else {
        println!("passed over: no {}", folder.display());
        return;
    };
    for file in files {
        let name = file.unwrap().file_name().into_string().unwrap();
        if let Some((_, reason)) = PASSED_OVER.iter().find(|(file, _)| *file == name) {
            println!("{name}: passed over: {reason}");
        } else if name.ends_with(".json") {
            assert!(JUDGED.iter().any(|start| name.starts_with(start)), "{name}: not judged");
        }
    }
}

fn folder() -> PathBuf {
    let root = std::env::var_os("RINGFENCE_SHARED_DATA").map_or_else(
        || PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../../shared/data"),
        PathBuf::from,
    );
    root.join("wycheproof")
}

/// Judges each vector of a file: a valid one must be accepted and an invalid one refused.
fn judge(file: &str, ask: impl FnMut(&Value, &Value) -> Outcome) {
    judge_expecting(file, |result| result, ask);
}

/// [`judge`], with the file's results read as `expected` says.
fn judge_expecting(
    file: &str,
    expected: fn(&str) -> &str,
    mut ask: impl FnMut(&Value, &Value) -> Outcome,
) {
    let path = folder().join(file);
    let Ok(text) = std::fs::read_to_string(&path) else {
        println!("passed over: no {}", path.display());
        return;
    };
    let vectors: Value = serde_json::from_str(&text).unwrap();
    let (mut agreed, mut either, mut wrong) = (0, 0, Vec::new());
    let mut passed_over: BTreeMap<&str, usize> = BTreeMap::new();
    for group in vectors["testGroups"].as_array().unwrap() {
        for test in group["tests"].as_array().unwrap() {
            match (expected(test["result"].as_str().unwrap()), ask(group, test)) {
                (_, PassedOver(reason)) => *passed_over.entry(reason).or_default() += 1,
                ("acceptable", _) => either += 1,
                ("valid", Accepted) | ("invalid", Refused) => agreed += 1,
                _ => wrong.push(format!("{} {}", test["tcId"], test["comment"])),
            }
        }
    }
    println!("{file}: {agreed} agreed, {either} may be either, passed over: {passed_over:?}");
    assert!(wrong.is_empty(), "{file}: {wrong:#?}");
    assert!(agreed > 0, "{file}: nothing was judged");
}

fn bytes(value: &Value) -> Vec<u8> {
    hex::decode(value.as_str().unwrap()).unwrap()
}

fn import(spec: Spec, bytes: Vec<u8>) -> Option<Material> {
    Material::import(spec, &SecretBytes::new(bytes)).ok()
}

/// Asks twice: with the message, and with its digest.
fn verifies(
    key: &PublicKey,
    algorithm: SigningAlgorithm,
    hash: &'static digest::Algorithm,
    test: &Value,
) -> Outcome {
    let (message, signature) = (bytes(&test["msg"]), bytes(&test["sig"]));
    let raw = key.verify(algorithm, Message::Raw(&message), &signature);
    let digest = digest::digest(hash, &message);
    let digest = key.verify(algorithm, Message::Digest(digest.as_ref()), &signature);
    assert_eq!(raw, digest, "{test}");
    outcome(raw.is_ok())
}

#[test]
fn ecdsa() {
    use SigningAlgorithm::{EcdsaSha256, EcdsaSha384, EcdsaSha512};
    for (file, spec, algorithm, hash) in [
        ("secp256r1_sha256", Spec::EccNistP256, EcdsaSha256, &digest::SHA256),
        ("secp384r1_sha384", Spec::EccNistP384, EcdsaSha384, &digest::SHA384),
        ("secp521r1_sha512", Spec::EccNistP521, EcdsaSha512, &digest::SHA512),
        ("secp256k1_sha256", Spec::EccSecgP256K1, EcdsaSha256, &digest::SHA256),
    ] {
        judge(&format!("ecdsa_{file}_test.json"), |group, test| {
            let key = PublicKey::from_der(spec, &bytes(&group["publicKeyDer"])).unwrap();
            verifies(&key, algorithm, hash, test)
        });
    }
}

#[test]
fn ed25519() {
    judge("ed25519_test.json", |group, test| {
        let der = bytes(&group["publicKeyDer"]);
        let key = PublicKey::from_der(Spec::EccNistEdwards25519, &der).unwrap();
        let (message, signature) = (bytes(&test["msg"]), bytes(&test["sig"]));
        let message = Message::Raw(&message);
        outcome(key.verify(SigningAlgorithm::Ed25519Sha512, message, &signature).is_ok())
    });
}

fn rsa_spec(group: &Value) -> Option<Spec> {
    Spec::parse(&format!("RSA_{}", group["keySize"]))
}

fn hash(group: &Value) -> &'static digest::Algorithm {
    match group["sha"].as_str().unwrap() {
        "SHA-256" => &digest::SHA256,
        "SHA-384" => &digest::SHA384,
        "SHA-512" => &digest::SHA512,
        other => panic!("{other}"),
    }
}

fn rsa_verifies(algorithm: &str, group: &Value, test: &Value) -> Outcome {
    let algorithm = SigningAlgorithm::parse(algorithm).unwrap();
    let der = bytes(&group["publicKeyDer"]);
    let key = PublicKey::from_der(rsa_spec(group).unwrap(), &der).unwrap();
    verifies(&key, algorithm, hash(group), test)
}

#[test]
fn rsa_pkcs1() {
    for bits in [2048, 3072, 4096] {
        for sha in [256, 384, 512] {
            judge(&format!("rsa_signature_{bits}_sha{sha}_test.json"), |group, test| {
                rsa_verifies(&format!("RSASSA_PKCS1_V1_5_SHA_{sha}"), group, test)
            });
        }
    }
}

#[test]
fn rsa_pss() {
    for (bits, sha) in
        [(2048, 256), (2048, 384), (3072, 256), (4096, 256), (4096, 384), (4096, 512)]
    {
        let file = format!("rsa_pss_{bits}_sha{sha}_mgf1_{}_test.json", sha / 8);
        judge(&file, |group, test| rsa_verifies(&format!("RSASSA_PSS_SHA_{sha}"), group, test));
    }
}

#[test]
fn a_pss_salt_that_is_not_as_long_as_the_hash_is_refused() {
    judge_expecting(
        "rsa_pss_4096_sha512_mgf1_32_test.json",
        |_| "invalid",
        |group, test| rsa_verifies("RSASSA_PSS_SHA_512", group, test),
    );
}

#[test]
fn rsa_oaep() {
    for file in [
        "2048_sha1_mgf1sha1",
        "2048_sha256_mgf1sha256",
        "3072_sha256_mgf1sha256",
        "4096_sha256_mgf1sha256",
        "misc",
    ] {
        let mut keys: BTreeMap<String, Option<Material>> = BTreeMap::new();
        judge(&format!("rsa_oaep_{file}_test.json"), |group, test| {
            let algorithm = match group["sha"].as_str().unwrap() {
                _ if group["sha"] != group["mgfSha"] => {
                    return PassedOver("a mask of another hash");
                }
                "SHA-1" => EncryptionAlgorithm::RsaesOaepSha1,
                "SHA-256" => EncryptionAlgorithm::RsaesOaepSha256,
                _ => return PassedOver("a hash that KMS has not for OAEP"),
            };
            let Some(spec) = rsa_spec(group) else {
                return PassedOver("a length that KMS has not");
            };
            if test["label"] != "" {
                return PassedOver("a label");
            }
            let key = keys
                .entry(group["privateKeyPkcs8"].as_str().unwrap().to_owned())
                .or_insert_with_key(|pkcs8| import(spec, hex::decode(pkcs8).unwrap()));
            let Some(key) = key else { return PassedOver("a key that an import refuses") };
            let opened = key.decrypt_asymmetric(algorithm, &bytes(&test["ct"]));
            outcome(opened.is_ok_and(|opened| opened.matches(&bytes(&test["msg"]))))
        });
    }
}

/// KMS's mask takes the hash of the plaintext's padding: <https://docs.aws.amazon.com/kms/latest/developerguide/symm-asymm-choose-key-spec.html>
#[test]
fn an_oaep_mask_of_another_hash_is_refused() {
    for bits in [2048, 3072, 4096] {
        let mut key = None;
        judge_expecting(
            &format!("rsa_oaep_{bits}_sha256_mgf1sha1_test.json"),
            |_| "invalid",
            |group, test| {
                let spec = rsa_spec(group).unwrap();
                let key = key.get_or_insert_with(|| {
                    import(spec, bytes(&group["privateKeyPkcs8"])).expect("a key")
                });
                let algorithm = EncryptionAlgorithm::RsaesOaepSha256;
                outcome(key.decrypt_asymmetric(algorithm, &bytes(&test["ct"])).is_ok())
            },
        );
    }
}

#[test]
fn hmac() {
    for sha in [224, 256, 384, 512] {
        let spec = Spec::parse(&format!("HMAC_{sha}")).unwrap();
        let algorithm = MacAlgorithm::parse(&format!("HMAC_SHA_{sha}")).unwrap();
        judge(&format!("hmac_sha{sha}_test.json"), |group, test| {
            let Some(key) = import(spec, bytes(&test["key"])) else {
                return PassedOver("a key of a length that an import refuses");
            };
            let (message, tag) = (bytes(&test["msg"]), bytes(&test["tag"]));
            let verified = key.verify_mac(algorithm, &message, &tag).is_ok();
            assert_eq!(verified, key.mac(algorithm, &message).unwrap() == tag, "{test}");
            if group["tagSize"] != sha {
                assert!(!verified, "a shortened code: {test}");
                return PassedOver("a shortened code, which is refused");
            }
            outcome(verified)
        });
    }
}

fn der(tag: u8, parts: &[&[u8]]) -> Vec<u8> {
    let content = parts.concat();
    let len = u8::try_from(content.len()).unwrap();
    let header = if len < 0x80 { vec![tag, len] } else { vec![tag, 0x81, len] };
    [header, content].concat()
}

/// PKCS #8 of a private scalar alone.
fn pkcs8(curve: &[u8], len: usize, scalar: &[u8]) -> Vec<u8> {
    let scalar = scalar.strip_prefix(&[0]).unwrap_or(scalar);
    let scalar = [vec![0; len - scalar.len()], scalar.to_vec()].concat();
    let key = der(0x30, &[&[0x02, 1, 1], &der(0x04, &[&scalar])]);
    let ec: [u8; 9] = [0x06, 7, 0x2a, 0x86, 0x48, 0xce, 0x3d, 2, 1];
    der(0x30, &[&[0x02, 1, 0], &der(0x30, &[&ec, curve]), &der(0x04, &[&key])])
}

#[test]
fn ecdh() {
    let p256: &[u8] = &[0x06, 8, 0x2a, 0x86, 0x48, 0xce, 0x3d, 3, 1, 7];
    let p384: &[u8] = &[0x06, 5, 0x2b, 0x81, 4, 0, 0x22];
    let p521: &[u8] = &[0x06, 5, 0x2b, 0x81, 4, 0, 0x23];
    for (file, spec, curve, len) in [
        ("secp256r1", Spec::EccNistP256, p256, 32),
        ("secp384r1", Spec::EccNistP384, p384, 48),
        ("secp521r1", Spec::EccNistP521, p521, 66),
    ] {
        judge(&format!("ecdh_{file}_test.json"), |_, test| {
            let key = import(spec, pkcs8(curve, len, &bytes(&test["private"]))).unwrap();
            match key.agree(&bytes(&test["public"])) {
                Ok(shared) => {
                    // A public key that may be refused must not give a wrong secret either.
                    let right = shared.matches(&bytes(&test["shared"]));
                    assert!(right || test["result"] == "invalid", "{test}");
                    Accepted
                }
                Err(_) => Refused,
            }
        });
    }
}

#[test]
fn aes_key_wrap_with_padding() {
    let wrapping = Material::generate(Spec::Rsa2048, &SystemRandom).unwrap();
    let public = wrapping.public_key().unwrap();
    judge("aes_kwp_test.json", |_, test| {
        let (key, wrapped) = (bytes(&test["key"]), bytes(&test["ct"]));
        if key.len() == 24 {
            return PassedOver("AES-192");
        }
        let key = public.encrypt(EncryptionAlgorithm::RsaesOaepSha256, &key).unwrap();
        let wrapped = [key, wrapped].concat();
        let unwrapped = wrapping.unwrap(WrappingAlgorithm::RsaAesKeyWrapSha256, &wrapped);
        outcome(unwrapped.is_ok_and(|unwrapped| unwrapped.matches(&bytes(&test["msg"]))))
    });
}

fn has_context(test: &Value) -> bool {
    test["ctx"].as_str().is_some_and(|context| !context.is_empty())
}

#[test]
fn ml_dsa_verification() {
    for set in [44, 65, 87] {
        let spec = Spec::parse(&format!("ML_DSA_{set}")).unwrap();
        judge(&format!("mldsa_{set}_verify_test.json"), |group, test| {
            if has_context(test) {
                return PassedOver("a context");
            }
            let Ok(key) = PublicKey::from_der(spec, &bytes(&group["publicKeyDer"])) else {
                return Refused;
            };
            let (message, signature) = (bytes(&test["msg"]), bytes(&test["sig"]));
            let algorithm = SigningAlgorithm::MlDsaShake256;
            outcome(key.verify(algorithm, Message::Raw(&message), &signature).is_ok())
        });
    }
}

#[test]
fn ml_dsa_from_seeds() {
    let algorithm = SigningAlgorithm::MlDsaShake256;
    for (set, number) in [(44, 17), (65, 18), (87, 19)] {
        let spec = Spec::parse(&format!("ML_DSA_{set}")).unwrap();
        judge(&format!("mldsa_{set}_sign_seed_test.json"), |group, test| {
            // The seed alone, as RFC 9881 has it in PKCS #8.
            let seed = bytes(&group["privateSeed"]);
            let id = [0x06, 9, 0x60, 0x86, 0x48, 1, 0x65, 3, 4, 3, number];
            let wrapped = der(0x04, &[&der(0x80, &[&seed])]);
            let pkcs8 = der(0x30, &[&[0x02, 1, 0], &der(0x30, &[&id]), &wrapped]);
            if let Some(given) = group["privateKeyPkcs8"].as_str().filter(|given| !given.is_empty())
            {
                assert_eq!(hex::encode(&pkcs8), given, "{test}");
            }
            let Some(key) = import(spec, pkcs8) else { return Refused };
            let public = key.public_key().unwrap();
            assert!(public.as_der().ends_with(&bytes(&group["publicKey"])), "{test}");
            let message = test["msg"].as_str().filter(|_| !has_context(test));
            let message = message.map(|message| hex::decode(message).unwrap());
            let mu = test["mu"].as_str().map(|mu| hex::decode(mu).unwrap());
            let asked: Vec<Message<'_>> =
                [message.as_deref().map(Message::Raw), mu.as_deref().map(Message::ExternalMu)]
                    .into_iter()
                    .flatten()
                    .collect();
            if asked.is_empty() {
                return PassedOver("a context, and no mu");
            }
            // Signing is hedged, so signatures are verified and not compared; one a key is enough.
            let first = test == &group["tests"][0];
            for one in asked.iter().filter(|_| first) {
                let own = key.sign(algorithm, *one).unwrap();
                for other in &asked {
                    assert_eq!(public.verify(algorithm, *other, &own), Ok(()), "{test}");
                }
            }
            let signature = bytes(&test["sig"]);
            outcome(asked.iter().all(|one| public.verify(algorithm, *one, &signature).is_ok()))
        });
    }
}

#[test]
fn ml_kem_public_keys() {
    for (set, number, len) in [(512, 1, 800u16), (768, 2, 1184), (1024, 3, 1568)] {
        let spec = Spec::parse(&format!("ML_KEM_{set}")).unwrap();
        let [all, bits] = [len + 18, len + 1].map(u16::to_be_bytes);
        let id = [0x30, 11, 0x06, 9, 0x60, 0x86, 0x48, 1, 0x65, 3, 4, 4, number];
        let before = [0x30, 0x82, all[0], all[1]];
        let after = [0x03, 0x82, bits[0], bits[1], 0];
        judge(&format!("mlkem_{set}_encaps_test.json"), |_, test| {
            let der = [&before[..], &id, &after, &bytes(&test["ek"])].concat();
            // Encapsulation draws its own random bytes, so secrets cannot be compared.
            let key = PublicKey::from_der(spec, &der).map(|key| key.encapsulate().unwrap());
            outcome(key.is_ok())
        });
    }
}
