//! What key material costs beside the bare call of aws-lc-rs that does the work.

#![expect(clippy::expect_used, reason = "a bench has nobody to report to")]

use aws_lc_rs::aead::{AES_256_GCM, Aad, LessSafeKey, Nonce, UnboundKey};
use aws_lc_rs::encoding::AsDer;
use aws_lc_rs::rand::SystemRandom as AwsRandom;
use aws_lc_rs::{hmac, rsa, signature};
use criterion::{Criterion, criterion_group, criterion_main};
use ringfence_keyring::SystemRandom;
use ringfence_keyring::material::{
    Blob, EncryptionContext, MacAlgorithm, Material, Message, SigningAlgorithm, Spec,
};
use std::hint::black_box;

const MESSAGE: &[u8] = &[7; 300];
const KEY_ID: &[u8] = b"1234abcd12ab34cd56ef1234567890ab";

fn generated(spec: Spec) -> Material {
    Material::generate(spec, &SystemRandom).expect("key material")
}

fn symmetric(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("symmetric");
    let key = generated(Spec::SymmetricDefault);
    let context = EncryptionContext::new([("department", "finance"), ("purpose", "test")]);
    let plaintext = [7; 1024];
    let blob = key.encrypt(KEY_ID, &context, &plaintext).expect("a blob");
    group.bench_function("encrypt 1 KiB", |bencher| {
        bencher.iter(|| key.encrypt(KEY_ID, black_box(&context), black_box(&plaintext)));
    });
    group.bench_function("decrypt 1 KiB", |bencher| {
        bencher.iter(|| key.decrypt(&Blob::parse(black_box(&blob))?, black_box(&context)));
    });
    group.bench_function("generate data key", |bencher| {
        bencher.iter(|| {
            let data_key = ringfence_keyring::SecretBytes::random(32).expect("random bytes");
            key.encrypt(KEY_ID, black_box(&context), data_key.expose())
        });
    });
    let bare = LessSafeKey::new(UnboundKey::new(&AES_256_GCM, &[7; 32]).expect("a key"));
    let seal = |plaintext: &[u8]| {
        let mut nonce = [0; 12];
        aws_lc_rs::rand::fill(&mut nonce).expect("random bytes");
        let mut sealed = plaintext.to_vec();
        bare.seal_in_place_append_tag(
            Nonce::assume_unique_for_key(nonce),
            Aad::from(KEY_ID),
            &mut sealed,
        )
        .expect("sealed");
        (nonce, sealed)
    };
    let (nonce, sealed) = seal(&plaintext);
    group.bench_function("bare encrypt 1 KiB", |bencher| bencher.iter(|| seal(&plaintext)));
    group.bench_function("bare decrypt 1 KiB", |bencher| {
        bencher.iter(|| {
            let nonce = Nonce::assume_unique_for_key(nonce);
            let mut room = black_box(&sealed).clone();
            bare.open_in_place(nonce, Aad::from(KEY_ID), &mut room).map(|plain| plain.len())
        });
    });
    group.finish();
}

fn signing(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("signing");
    let message = Message::Raw(MESSAGE);
    for (spec, algorithm) in [
        (Spec::Rsa2048, SigningAlgorithm::RsassaPssSha256),
        (Spec::EccNistP256, SigningAlgorithm::EcdsaSha256),
        (Spec::EccNistEdwards25519, SigningAlgorithm::Ed25519Sha512),
        (Spec::MlDsa65, SigningAlgorithm::MlDsaShake256),
    ] {
        let key = generated(spec);
        let name = spec.as_str();
        let signed = key.sign(algorithm, message).expect("signed");
        let public = key.public_key().expect("a public key");
        group.bench_function(format!("sign {name}"), |bencher| {
            bencher.iter(|| key.sign(algorithm, black_box(message)));
        });
        group.bench_function(format!("verify {name}"), |bencher| {
            bencher.iter(|| public.verify(algorithm, black_box(message), &signed));
        });
    }
    let key = generated(Spec::MlDsa65);
    group.bench_function("sign ML_DSA_65, external mu", |bencher| {
        let mu = Message::ExternalMu(&[7; 64]);
        bencher.iter(|| key.sign(SigningAlgorithm::MlDsaShake256, black_box(mu)));
    });
    let key = generated(Spec::EccNistEdwards25519);
    group.bench_function("sign ECC_NIST_EDWARDS25519, prehashed", |bencher| {
        let digest = Message::Digest(&[7; 64]);
        bencher.iter(|| key.sign(SigningAlgorithm::Ed25519PhSha512, black_box(digest)));
    });
    group.finish();
}

fn bare_signing(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("signing, bare");
    let random = AwsRandom::new();

    let pair = rsa::KeyPair::generate(rsa::KeySize::Rsa2048).expect("a pair");
    let der: aws_lc_rs::encoding::Pkcs8V1Der<'_> = pair.as_der().expect("DER");
    let mut signed = vec![0; 256];
    group.bench_function("sign RSA_2048", |bencher| {
        bencher.iter(|| pair.sign(&signature::RSA_PSS_SHA256, &random, MESSAGE, &mut signed));
    });
    group.bench_function("sign RSA_2048, parsed for each", |bencher| {
        bencher.iter(|| {
            let pair = rsa::KeyPair::from_pkcs8(der.as_ref()).expect("a pair");
            pair.sign(&signature::RSA_PSS_SHA256, &random, MESSAGE, &mut signed)
        });
    });
    let public = signature::UnparsedPublicKey::new(
        &signature::RSA_PSS_2048_8192_SHA256,
        signature::KeyPair::public_key(&pair).as_ref(),
    );
    group.bench_function("verify RSA_2048, parsed for each", |bencher| {
        bencher.iter(|| public.verify(MESSAGE, &signed));
    });
    let public = public.parse().expect("a public key");
    group.bench_function("verify RSA_2048", |bencher| {
        bencher.iter(|| public.verify_sig(MESSAGE, &signed));
    });

    let algorithm = &signature::ECDSA_P256_SHA256_ASN1_SIGNING;
    let pair = signature::EcdsaKeyPair::generate(algorithm).expect("a pair");
    let der = pair.to_pkcs8v1().expect("DER");
    group.bench_function("sign ECC_NIST_P256", |bencher| {
        bencher.iter(|| pair.sign(&random, MESSAGE));
    });
    group.bench_function("sign ECC_NIST_P256, parsed for each", |bencher| {
        bencher.iter(|| {
            let pair = signature::EcdsaKeyPair::from_pkcs8(algorithm, der.as_ref());
            pair.expect("a pair").sign(&random, MESSAGE)
        });
    });
    let signed = pair.sign(&random, MESSAGE).expect("signed");
    let public = signature::UnparsedPublicKey::new(
        &signature::ECDSA_P256_SHA256_ASN1,
        signature::KeyPair::public_key(&pair).as_ref(),
    );
    let public = public.parse().expect("a public key");
    group.bench_function("verify ECC_NIST_P256", |bencher| {
        bencher.iter(|| public.verify_sig(MESSAGE, signed.as_ref()));
    });

    let pair = signature::Ed25519KeyPair::generate().expect("a pair");
    group.bench_function("sign ECC_NIST_EDWARDS25519", |bencher| {
        bencher.iter(|| pair.try_sign(MESSAGE));
    });

    let pair = signature::PqdsaKeyPair::generate(&signature::ML_DSA_65_SIGNING).expect("a pair");
    let seed = [7; 32];
    let mut signed = vec![0; signature::ML_DSA_65_SIGNING.signature_len()];
    group.bench_function("sign ML_DSA_65", |bencher| {
        bencher.iter(|| pair.sign(MESSAGE, &mut signed));
    });
    group.bench_function("sign ML_DSA_65, expanded for each", |bencher| {
        bencher.iter(|| {
            let pair = signature::PqdsaKeyPair::from_seed(&signature::ML_DSA_65_SIGNING, &seed);
            pair.expect("a pair").sign(MESSAGE, &mut signed)
        });
    });
    group.finish();
}

fn mac(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("mac");
    let key = generated(Spec::Hmac256);
    let mac = key.mac(MacAlgorithm::HmacSha256, MESSAGE).expect("a code");
    group.bench_function("make HMAC_256", |bencher| {
        bencher.iter(|| key.mac(MacAlgorithm::HmacSha256, black_box(MESSAGE)));
    });
    group.bench_function("verify HMAC_256", |bencher| {
        bencher.iter(|| key.verify_mac(MacAlgorithm::HmacSha256, black_box(MESSAGE), &mac));
    });
    let bare = hmac::Key::new(hmac::HMAC_SHA256, &[7; 32]);
    group.bench_function("make HMAC_256, bare", |bencher| {
        bencher.iter(|| hmac::sign(&bare, black_box(MESSAGE)));
    });
    group.finish();
}

criterion_group!(benches, symmetric, signing, bare_signing, mac);
criterion_main!(benches);
