//! What key material promises, across specs.

use super::*;
use crate::SystemRandom;
use crate::random::SeededRandom;
use crate::sealed_only;
use ::ml_dsa::{MlDsa44, MlDsa65, MlDsa87, MlDsaParams, VerifyingKey};
use aws_lc_rs::digest::{self, digest};
use aws_lc_rs::key_wrap::{AES_256, AesKek, KeyWrapPadded as _};
use proptest::prelude::*;

fn generated(spec: Spec) -> Material {
    // RSA keys take long to make.
    let fixture = match spec {
        Spec::Rsa2048 => include_bytes!("testdata/rsa_2048.p8"),
        _ => return Material::generate(spec, &SystemRandom).unwrap(),
    };
    Material::import(spec, &SecretBytes::new(fixture.to_vec())).unwrap()
}

fn imported(spec: Spec, bytes: &[u8]) -> Result<Material, MaterialError> {
    Material::import(spec, &SecretBytes::new(bytes.to_vec()))
}

/// All but the longer RSA keys.
fn specs() -> impl Iterator<Item = Spec> {
    Spec::ALL.iter().copied().filter(|spec| !matches!(spec, Spec::Rsa3072 | Spec::Rsa4096))
}

/// What the owner of a key would hand in to import it.
fn to_import(key: &Material) -> SecretBytes {
    match key.parsed().unwrap() {
        Parsed::Ed25519(key) => key.pkcs8().unwrap(),
        Parsed::MlKem(_) => ml_kem::pkcs8(key.spec(), key.secret()).unwrap(),
        Parsed::MlDsa(_) => {
            let last = match key.spec() {
                Spec::MlDsa44 => 17,
                Spec::MlDsa65 => 18,
                _ => 19,
            };
            let prefix: [u8; 22] = [
                0x30, 52, 2, 1, 0, 0x30, 11, 6, 9, 0x60, 0x86, 0x48, 1, 0x65, 3, 4, 3, last, 4, 34,
                0x80, 32,
            ];
            SecretBytes::new([&prefix, key.secret()].concat())
        }
        _ => SecretBytes::new(key.secret().to_vec()),
    }
}

#[derive(serde::Serialize, serde::Deserialize)]
struct Record {
    #[serde(with = "sealed_only")]
    key: Material,
    #[serde(with = "sealed_only", default)]
    old: Option<Material>,
}

#[test]
fn names_are_those_of_aws_and_are_read_back() {
    for spec in Spec::ALL {
        assert_eq!(Spec::parse(spec.as_str()), Some(*spec));
    }
    for algorithm in SigningAlgorithm::ALL {
        assert_eq!(SigningAlgorithm::parse(algorithm.as_str()), Some(*algorithm));
    }
    assert_eq!(Spec::parse("SM2"), None);
    assert_eq!(WrappingAlgorithm::parse("RSAES_PKCS1_V1_5"), None);
}

#[test]
fn material_survives_a_sealed_record_and_an_import_and_is_recognised() {
    for spec in specs() {
        let key = generated(spec);
        let print = key.fingerprint(&[b"place"]);
        let record = Record { key: key.duplicate(), old: Some(key.duplicate()) };
        let written = rmp_serde::to_vec_named(&record).unwrap();
        let read: Record = rmp_serde::from_slice(&written).unwrap();
        let again = imported(spec, to_import(&key).expose()).unwrap();
        for same in [key.duplicate(), read.key, read.old.unwrap(), again] {
            assert_eq!(same.spec(), spec);
            assert_eq!(same.fingerprint(&[b"place"]), print, "{spec:?}");
            assert_ne!(same.fingerprint(&[b"elsewhere"]), print);
            if let Ok(public) = key.public_key() {
                assert_eq!(same.public_key().unwrap().as_der(), public.as_der());
            }
        }
        assert_ne!(
            Material::generate(spec, &SystemRandom).unwrap().fingerprint(&[b"place"]),
            print
        );
    }
}

#[test]
fn key_material_is_not_written_as_text_nor_shown() {
    let record = Record { key: generated(Spec::Hmac256), old: None };
    assert!(serde_json::to_string(&record).is_err());
    let shown = format!("{:?} {:?}", record.key, generated(Spec::EccNistP256));
    assert_eq!(shown, "Material { spec: Hmac256, .. } Material { spec: EccNistP256, .. }");
    assert!(!record.key.fingerprint(&[]).starts_with(&record.key.secret()[..8]));
}

#[test]
fn what_is_kept_is_checked_when_it_is_used() {
    for spec in specs().filter(|spec| !matches!(spec, Spec::SymmetricDefault)) {
        let broken = Material::held(spec, SecretBytes::new(vec![7; 7]));
        let refused = broken.public_key().map(|_| ());
        assert!(refused.is_err(), "{spec:?}");
    }
    let kept = generated(Spec::Hmac224).to_kept();
    for len in 0..10 {
        assert!(Material::from_kept(&kept[..len]).is_none(), "{len}");
    }
}

#[test]
fn the_same_random_bytes_make_the_same_key_where_the_spec_draws_them() {
    for spec in [Spec::SymmetricDefault, Spec::Hmac384, Spec::EccNistEdwards25519, Spec::MlKem512] {
        let key = |seed| Material::generate(spec, &SeededRandom::new(seed)).unwrap();
        assert_eq!(key(1).fingerprint(&[]), key(1).fingerprint(&[]));
        assert_ne!(key(1).fingerprint(&[]), key(2).fingerprint(&[]));
    }
}

#[test]
fn public_keys_are_what_openssl_writes_for_the_same_seeds() {
    let seed: Vec<u8> = (0..64).collect();
    for (spec, expected) in [
        (
            Spec::EccNistEdwards25519,
            "a050837d85070582ccf7394b0988847cc312cb88259b894899f6f239cf1791a5",
        ),
        (Spec::MlDsa44, "837832708c5236d951581f1fddf2b79991b3424a0486d16da1ddad0fd69701be"),
        (Spec::MlDsa65, "b8b62131bfbe84433efb2273d7f5b87f7a22854a2cfd366fc2aead86d837c52d"),
        (Spec::MlDsa87, "07e57c4f14dbad1267f621ec3777b4e2e6c4fbc4c22fbb87510ff8e0b3c6a642"),
        (Spec::MlKem768, "c23e23dd3d485a9256cda09358a4a286e00b373db10761eadf99f710649ca31c"),
        (Spec::MlKem1024, "d2b7480ae006a14b37c1e8a8e45ea39022e32a9b1a7b90d594c84d869c6ac420"),
    ] {
        let len = if spec.encapsulates() { 64 } else { 32 };
        let key = Material::held(spec, SecretBytes::new(seed[..len].to_vec()));
        let der = key.public_key().unwrap().as_der();
        let hash = digest(&digest::SHA256, der);
        assert_eq!(hex::encode(hash), expected, "{spec:?}");
    }
}

#[test]
fn a_blob_is_what_another_implementation_makes_of_the_same_key_and_salt() {
    let key = imported(Spec::SymmetricDefault, &(0..32).collect::<Vec<u8>>()).unwrap();
    let blob = hex::decode(
        "01056b65792031000102030405060708090a0b0c0d0e0f1011121314151617\
         83ff799374b082d5d8f1a6230f0118af4125ac76d1eb1e",
    )
    .unwrap();
    let context = EncryptionContext::new([("b", "2"), ("a", "1")]);
    let blob = Blob::parse(&blob).unwrap();
    assert_eq!(blob.key_id(), b"key 1");
    assert_eq!(key.decrypt(&blob, &context).unwrap().expose(), b"hunter2");
    assert_eq!(
        hex::encode(key.fingerprint(&[b"key 1"])),
        "54b638dafd935fd443490139f76c72b01f524cb415154d5f70760471f7470f9d"
    );
}

#[test]
fn a_blob_opens_with_its_key_and_context_and_unaltered_alone() {
    let (key, other) = (generated(Spec::SymmetricDefault), generated(Spec::SymmetricDefault));
    let context = EncryptionContext::new([("a", "1")]);
    for plaintext in [&b""[..], b"hunter2", &[7; 4096]] {
        let bytes = key.encrypt(b"key 1", &context, plaintext).unwrap();
        assert_eq!(bytes.len(), plaintext.len() + Blob::overhead(5));
        let open = |key: &Material, bytes: &[u8], context: &EncryptionContext| {
            key.decrypt(&Blob::parse(bytes)?, context)
        };
        assert_eq!(open(&key, &bytes, &context).unwrap().expose(), plaintext);
        let refused = |result: Result<SecretBytes, MaterialError>| {
            assert_eq!(result.unwrap_err(), MaterialError::Ciphertext);
        };
        refused(open(&other, &bytes, &context));
        refused(open(&key, &bytes, &EncryptionContext::default()));
        refused(open(&key, &bytes, &EncryptionContext::new([("a", "2")])));
        for at in 0..bytes.len().min(90) {
            let mut altered = bytes.clone();
            altered[at] ^= 1;
            refused(open(&key, &altered, &context));
            refused(open(&key, &bytes[..at], &context));
            refused(open(&key, &bytes[at + 1..], &context));
        }
        refused(open(&key, &[&bytes[..], &[0]].concat(), &context));
        assert_ne!(bytes, key.encrypt(b"key 1", &context, plaintext).unwrap());
    }
    for spec in specs().filter(|spec| *spec != Spec::SymmetricDefault) {
        let refused = generated(spec).encrypt(b"key 1", &context, b"").unwrap_err();
        assert_eq!(refused, MaterialError::Unsupported, "{spec:?}");
    }
}

fn mu<P: MlDsaParams>(der: &[u8], len: usize, message: &[u8]) -> Vec<u8> {
    let raw = der[der.len() - len..].try_into().unwrap();
    let key = VerifyingKey::<P>::decode(&raw);
    let absorb = |shake: &mut _| {
        ::ml_dsa::signature::digest::Update::update(shake, message);
        Ok(())
    };
    key.compute_mu(absorb, &[]).unwrap().to_vec()
}

/// The representative of a message that a caller sends instead of it, if the algorithm has one.
fn reduced(key: &Material, algorithm: SigningAlgorithm, message: &[u8]) -> Vec<u8> {
    let der = key.public_key().unwrap().as_der();
    match key.spec() {
        Spec::MlDsa44 => return mu::<MlDsa44>(der, 1312, message),
        Spec::MlDsa65 => return mu::<MlDsa65>(der, 1952, message),
        Spec::MlDsa87 => return mu::<MlDsa87>(der, 2592, message),
        _ => {}
    }
    let hash = match algorithm.as_str().rsplit('_').next().unwrap() {
        "256" => &digest::SHA256,
        "384" => &digest::SHA384,
        _ => &digest::SHA512,
    };
    digest(hash, message).as_ref().to_vec()
}

#[test]
fn signatures_verify_for_their_message_key_and_algorithm_alone() {
    use SigningAlgorithm as A;
    let mut pairs = 0;
    for spec in specs() {
        let (key, other) = (generated(spec), Material::generate(spec, &SystemRandom).unwrap());
        for algorithm in A::ALL.iter().copied() {
            let unsupported = Err(MaterialError::Unsupported);
            if !spec.signing_algorithms().contains(&algorithm) {
                assert_eq!(key.sign(algorithm, Message::Raw(b"")).map(|_| ()), unsupported);
                continue;
            }
            pairs += 1;
            let text = b"attack at dawn";
            let reduced = reduced(&key, algorithm, text);
            let raw = Message::Raw(text);
            let (digest, external) = (Message::Digest(&reduced), Message::ExternalMu(&reduced));
            let (taken, refused): (&[Message<'_>], &[Message<'_>]) = match algorithm {
                A::Ed25519Sha512 => (&[raw], &[digest, external]),
                A::Ed25519PhSha512 => (&[digest], &[raw, external]),
                A::MlDsaShake256 => (&[raw, external], &[digest]),
                _ => (&[raw, digest], &[external]),
            };
            let public = key.public_key().unwrap();
            for message in refused {
                assert_eq!(key.sign(algorithm, *message).map(|_| ()), unsupported, "{algorithm:?}");
                assert_eq!(public.verify(algorithm, *message, &[]), unsupported);
            }
            for message in taken {
                let mut signature = key.sign(algorithm, *message).unwrap();
                for same in taken {
                    assert_eq!(
                        public.verify(algorithm, *same, &signature),
                        Ok(()),
                        "{algorithm:?}"
                    );
                }
                let invalid = Err(MaterialError::Signature);
                let others = other.public_key().unwrap().verify(algorithm, *message, &signature);
                assert_eq!(others, invalid, "{algorithm:?}");
                for another in spec.signing_algorithms().iter().filter(|one| **one != algorithm) {
                    let verified = public.verify(*another, raw, &signature);
                    assert!(verified.is_err(), "{algorithm:?} as {another:?}");
                }
                let altered = match message {
                    Message::Raw(_) => Message::Raw(b"attack at dusk"),
                    Message::Digest(_) => Message::Digest(&[7; 64][..reduced.len()]),
                    Message::ExternalMu(_) => Message::ExternalMu(&[7; 64]),
                };
                assert_eq!(public.verify(algorithm, altered, &signature), invalid);
                assert_eq!(public.verify(algorithm, *message, b""), invalid);
                let short = &signature[..signature.len() - 1];
                assert_eq!(public.verify(algorithm, *message, short), invalid);
                *signature.last_mut().unwrap() ^= 1;
                assert_eq!(public.verify(algorithm, *message, &signature), invalid);
            }
            let wrong = Err(MaterialError::DigestLength { expected: reduced.len() });
            let short = &reduced[1..];
            let short = match algorithm {
                A::MlDsaShake256 => Message::ExternalMu(short),
                A::Ed25519Sha512 => continue,
                _ => Message::Digest(short),
            };
            assert_eq!(key.sign(algorithm, short).map(|_| ()), wrong);
            assert_eq!(public.verify(algorithm, short, &[]), wrong);
        }
    }
    assert_eq!(pairs, 6 + 4 + 2 + 3);
}

/// By a plain implementation of RFC 8032 that reproduces the RFC's own example of Ed25519ph.
#[test]
fn ed25519ph_hashes_the_digest_once_more() {
    let seed = SecretBytes::new((0..32).collect());
    let key = Material::held(Spec::EccNistEdwards25519, seed);
    let sent = digest(&digest::SHA512, b"abc");
    let message = Message::Digest(sent.as_ref());
    assert_eq!(
        hex::encode(key.sign(SigningAlgorithm::Ed25519PhSha512, message).unwrap()),
        "ebd797d8af4a37f96968b043a9b3c634a8cbb439424a342302d8833bacbee03a\
         f3e5d1a40d016a0dc085c96245505c19c9aab482551bbc61c707aa79f0cd950e"
    );
}

#[test]
fn rsa_opens_what_its_public_key_encrypted_and_nothing_else() {
    use EncryptionAlgorithm::{RsaesOaepSha1, RsaesOaepSha256, SymmetricDefault};
    let key = generated(Spec::Rsa2048);
    let public = key.public_key().unwrap();
    for (algorithm, other, most) in
        [(RsaesOaepSha1, RsaesOaepSha256, 214), (RsaesOaepSha256, RsaesOaepSha1, 190)]
    {
        for plaintext in [&b""[..], b"hunter2", &vec![7; most]] {
            let mut ciphertext = public.encrypt(algorithm, plaintext).unwrap();
            assert_eq!(ciphertext.len(), 256);
            let opened = key.decrypt_asymmetric(algorithm, &ciphertext).unwrap();
            assert_eq!(opened.expose(), plaintext);
            let refused = |algorithm, ciphertext: &[u8]| {
                let refused = key.decrypt_asymmetric(algorithm, ciphertext).unwrap_err();
                assert_eq!(refused, MaterialError::Ciphertext);
            };
            refused(other, &ciphertext);
            refused(algorithm, &ciphertext[1..]);
            refused(algorithm, b"");
            ciphertext[100] ^= 1;
            refused(algorithm, &ciphertext);
        }
        let long = public.encrypt(algorithm, &vec![7; most + 1]).unwrap_err();
        assert_eq!(long, MaterialError::PlaintextTooLong);
    }
    assert_eq!(public.encrypt(SymmetricDefault, b"").unwrap_err(), MaterialError::Unsupported);
}

/// The keys were made for this, each with the one fault that its name tells.
#[test]
fn an_rsa_key_is_imported_when_it_is_sound() {
    let reject = |spec, bytes: &[u8]| match imported(spec, bytes) {
        Err(MaterialError::Rejected(reason)) => reason,
        other => panic!("{other:?}"),
    };
    let sound = include_bytes!("testdata/rsa_2048.p8");
    assert!(imported(Spec::Rsa2048, sound).is_ok());
    assert!(reject(Spec::Rsa3072, sound).contains("length"));
    assert!(reject(Spec::Rsa2048, &sound[..sound.len() - 1]).contains("PKCS #8"));
    for (bytes, reason) in [
        (&include_bytes!("testdata/rsa_1024.p8")[..], "PKCS #8"),
        (include_bytes!("testdata/rsa_2048_inconsistent.p8"), "PKCS #8"),
        (include_bytes!("testdata/rsa_2048_exponent_3.p8"), "below 65537"),
        (include_bytes!("testdata/rsa_2048_close_primes.p8"), "too close"),
        (include_bytes!("testdata/rsa_2048_unequal_primes.p8"), "different length"),
        (include_bytes!("testdata/rsa_2048_composite_factor.p8"), "not consistent"),
    ] {
        assert!(reject(Spec::Rsa2048, bytes).contains(reason), "{reason}");
    }
}

#[test]
fn what_is_no_key_of_the_spec_is_not_imported() {
    let keys: Vec<Material> = specs().map(generated).collect();
    for key in &keys {
        let bytes = to_import(key);
        for spec in specs().filter(|spec| *spec != key.spec()) {
            // Of the bytes of a symmetric or HMAC key nothing tells what they are for.
            let plain =
                |spec: Spec| spec == Spec::SymmetricDefault || spec.as_str().starts_with("HMAC");
            if !(plain(spec) && bytes.len() <= 128) {
                assert!(imported(spec, bytes.expose()).is_err(), "{:?} as {spec:?}", key.spec());
            }
        }
        if !matches!(key.spec(), Spec::SymmetricDefault) && !key.spec().as_str().starts_with("HMAC")
        {
            let (bytes, spec) = (bytes.expose(), key.spec());
            assert!(imported(spec, &[bytes, &[0]].concat()).is_err(), "{spec:?} and a byte");
            assert!(imported(spec, &bytes[..bytes.len() - 1]).is_err(), "{spec:?} but a byte");
            assert!(imported(spec, b"").is_err());
        }
    }
}

#[test]
fn symmetric_and_hmac_keys_have_the_lengths_that_aws_takes() {
    for (spec, lengths) in [
        (Spec::SymmetricDefault, 32..=32),
        (Spec::Hmac224, 28..=64),
        (Spec::Hmac256, 32..=64),
        (Spec::Hmac384, 48..=128),
        (Spec::Hmac512, 64..=128),
    ] {
        for len in 0..=130 {
            let taken = imported(spec, &vec![7; len]).is_ok();
            assert_eq!(taken, lengths.contains(&len), "{spec:?} {len}");
        }
    }
}

#[test]
fn a_code_verifies_for_its_message_and_key_and_whole() {
    use MacAlgorithm as A;
    for (spec, algorithm, len) in [
        (Spec::Hmac224, A::HmacSha224, 28),
        (Spec::Hmac256, A::HmacSha256, 32),
        (Spec::Hmac384, A::HmacSha384, 48),
        (Spec::Hmac512, A::HmacSha512, 64),
    ] {
        let key = generated(spec);
        let mut code = key.mac(algorithm, b"attack at dawn").unwrap();
        assert_eq!(code.len(), len);
        assert_eq!(key.verify_mac(algorithm, b"attack at dawn", &code), Ok(()));
        let invalid = Err(MaterialError::Signature);
        assert_eq!(key.verify_mac(algorithm, b"attack at dusk", &code), invalid);
        assert_eq!(generated(spec).verify_mac(algorithm, b"attack at dawn", &code), invalid);
        assert_eq!(key.verify_mac(algorithm, b"attack at dawn", &code[..len - 1]), invalid);
        code[0] ^= 1;
        assert_eq!(key.verify_mac(algorithm, b"attack at dawn", &code), invalid);
        for other in A::ALL.iter().filter(|other| **other != algorithm) {
            assert_eq!(key.mac(*other, b""), Err(MaterialError::Unsupported));
        }
    }
}

#[test]
fn both_sides_agree_on_one_secret_and_on_one_curve() {
    for (spec, len) in [(Spec::EccNistP256, 32), (Spec::EccNistP384, 48), (Spec::EccNistP521, 66)] {
        let (alice, bob) = (generated(spec), generated(spec));
        let secret = alice.agree(bob.public_key().unwrap().as_der()).unwrap();
        assert_eq!(secret.len(), len);
        assert!(bob.agree(alice.public_key().unwrap().as_der()).unwrap().matches(secret.expose()));
        let der = bob.public_key().unwrap().as_der();
        let point = &der[der.len() - 2 * len - 1..];
        let mut off_curve = der.to_vec();
        *off_curve.last_mut().unwrap() ^= 1;
        for refused in [point, &off_curve, b"", &der[1..]] {
            assert_eq!(alice.agree(refused).unwrap_err(), MaterialError::PublicKey);
        }
        for other in specs().filter(|other| *other != spec) {
            if let Ok(peer) = generated(other).public_key() {
                let refused = alice.agree(peer.as_der()).unwrap_err();
                assert_eq!(refused, MaterialError::PublicKey, "{spec:?} {other:?}");
            }
        }
    }
    let key = generated(Spec::EccSecgP256K1);
    let refused = key.agree(key.public_key().unwrap().as_der()).unwrap_err();
    assert_eq!(refused, MaterialError::Unsupported);
}

#[test]
fn an_encapsulated_secret_is_recovered_and_an_altered_one_gives_another() {
    for (spec, len) in [(Spec::MlKem512, 768), (Spec::MlKem768, 1088), (Spec::MlKem1024, 1568)] {
        let key = generated(spec);
        let Encapsulated { shared_secret, mut ciphertext } =
            key.public_key().unwrap().encapsulate().unwrap();
        assert_eq!((shared_secret.len(), ciphertext.len()), (32, len));
        assert!(key.decapsulate(&ciphertext).unwrap().matches(shared_secret.expose()));
        for wrong in [&ciphertext[1..], b"", &[&ciphertext[..], &[0]].concat()] {
            assert_eq!(key.decapsulate(wrong).unwrap_err(), MaterialError::Ciphertext);
        }
        ciphertext[0] ^= 1;
        let other = key.decapsulate(&ciphertext).unwrap();
        assert!(!other.matches(shared_secret.expose()));
        assert!(key.decapsulate(&ciphertext).unwrap().matches(other.expose()));
    }
}

#[test]
fn an_ml_kem_seed_is_imported_beside_its_expanded_key_and_beside_no_other() {
    for spec in [Spec::MlKem512, Spec::MlKem768, Spec::MlKem1024] {
        let key = generated(spec);
        let both = ml_kem::pkcs8_of_both(spec, key.secret()).unwrap();
        let again = imported(spec, both.expose()).unwrap();
        assert_eq!(again.fingerprint(&[]), key.fingerprint(&[]));
        for at in [29, 30, 93, 94, 98, 500, both.len() - 1] {
            let mut altered = both.expose().to_vec();
            altered[at] ^= 1;
            assert!(imported(spec, &altered).is_err(), "{spec:?} {at}");
        }
    }
}

#[test]
fn an_ml_dsa_seed_is_imported_beside_its_expanded_key_and_not_missing() {
    use aws_lc_rs::encoding::AsRawBytes as _;
    use aws_lc_rs::signature::{ML_DSA_44_SIGNING, PqdsaKeyPair};
    let long = |tag: u8, parts: &[&[u8]]| {
        let content = parts.concat();
        let len = u16::try_from(content.len()).unwrap().to_be_bytes();
        [&[tag, 0x82, len[0], len[1]], content.as_slice()].concat()
    };
    let key = generated(Spec::MlDsa44);
    let pair = PqdsaKeyPair::from_seed(&ML_DSA_44_SIGNING, key.secret()).unwrap();
    let expanded = pair.private_key().as_raw_bytes().unwrap().as_ref().to_vec();
    let id = [0x30, 11, 6, 9, 0x60, 0x86, 0x48, 1, 0x65, 3, 4, 3, 17];
    let pkcs8 = |content: &[u8]| long(0x30, &[&[2, 1, 0], &id, &long(0x04, &[content])]);
    let seed = [&[4, 32], key.secret()].concat();
    let both = pkcs8(&long(0x30, &[&seed, &long(0x04, &[&expanded])]));
    let again = imported(Spec::MlDsa44, &both).unwrap();
    assert_eq!(again.fingerprint(&[]), key.fingerprint(&[]));
    let mut other = both;
    *other.last_mut().unwrap() ^= 1;
    assert!(imported(Spec::MlDsa44, &other).is_err());
    let alone = imported(Spec::MlDsa44, &pkcs8(&long(0x04, &[&expanded])));
    let refused = MaterialError::Rejected("the private key comes without its seed");
    assert_eq!(alone.unwrap_err(), refused);
}

#[test]
fn a_public_key_has_one_spelling_and_one_spec() {
    for spec in specs() {
        let key = generated(spec);
        let Ok(public) = key.public_key() else { continue };
        let der = public.as_der();
        assert!(PublicKey::from_der(spec, der).is_ok());
        for other in [&der[1..], &der[..der.len() - 1], &[der, &[0]].concat(), b""] {
            assert!(PublicKey::from_der(spec, other).is_err(), "{spec:?}");
        }
        for other in Spec::ALL.iter().filter(|other| **other != spec) {
            assert!(PublicKey::from_der(*other, der).is_err(), "{spec:?} as {other:?}");
        }
    }
}

#[test]
fn a_data_key_pair_is_whole_and_its_private_key_can_be_imported() {
    for spec in specs() {
        let pair = DataKeyPair::generate(spec, &SystemRandom);
        if !spec.has_data_key_pairs() {
            assert_eq!(pair.unwrap_err(), MaterialError::Unsupported, "{spec:?}");
            continue;
        }
        let pair = pair.unwrap();
        let key = Material::import(spec, &pair.private_key).unwrap();
        assert_eq!(key.public_key().unwrap().as_der(), pair.public_key.as_der());
        assert!(!spec.encapsulates() || pair.private_key.len() == 86);
    }
}

#[test]
fn wrapped_material_is_unwrapped_by_its_algorithm_alone() {
    use WrappingAlgorithm as A;
    let wrapping = generated(Spec::Rsa2048);
    let public = wrapping.public_key().unwrap();
    let material = to_import(&generated(Spec::EccNistP256));
    for algorithm in A::ALL.iter().copied() {
        let oaep = match algorithm {
            A::RsaesOaepSha1 | A::RsaAesKeyWrapSha1 => EncryptionAlgorithm::RsaesOaepSha1,
            A::RsaesOaepSha256 | A::RsaAesKeyWrapSha256 => EncryptionAlgorithm::RsaesOaepSha256,
        };
        let wrapped = if algorithm.as_str().starts_with("RSAES") {
            public.encrypt(oaep, material.expose()).unwrap()
        } else {
            let mut room = vec![0; material.len() + 15];
            let aes = AesKek::new(&AES_256, &[7; 32]).unwrap();
            let wrapped = aes.wrap_with_padding(material.expose(), &mut room).unwrap();
            [public.encrypt(oaep, &[7; 32]).unwrap(), wrapped.to_vec()].concat()
        };
        assert!(wrapping.unwrap(algorithm, &wrapped).unwrap().matches(material.expose()));
        for other in A::ALL.iter().filter(|other| **other != algorithm) {
            let refused = wrapping.unwrap(*other, &wrapped).unwrap_err();
            assert_eq!(refused, MaterialError::Ciphertext, "{algorithm:?} as {other:?}");
        }
        for len in [0, 1, 255, 256, wrapped.len() - 1] {
            let short = &wrapped[..len.min(wrapped.len() - 1)];
            assert!(wrapping.unwrap(algorithm, short).is_err());
        }
    }
    // An AES key of a length that there is not.
    let oaep = EncryptionAlgorithm::RsaesOaepSha256;
    let wrapped = [public.encrypt(oaep, &[7; 31]).unwrap(), vec![0; 40]].concat();
    assert!(wrapping.unwrap(A::RsaAesKeyWrapSha256, &wrapped).is_err());
}

#[test]
fn what_is_too_long_to_be_wrapped_directly_may_not_be() {
    use WrappingAlgorithm::{RsaAesKeyWrapSha256, RsaesOaepSha1};
    for (algorithm, material, wrapping, may) in [
        (RsaesOaepSha1, Spec::SymmetricDefault, Spec::Rsa2048, true),
        (RsaesOaepSha1, Spec::Rsa2048, Spec::Rsa4096, false),
        (RsaesOaepSha1, Spec::EccNistP521, Spec::Rsa2048, false),
        (RsaesOaepSha1, Spec::EccNistP521, Spec::Rsa3072, true),
        (RsaAesKeyWrapSha256, Spec::Rsa4096, Spec::Rsa2048, true),
        (RsaAesKeyWrapSha256, Spec::EccNistP521, Spec::Rsa2048, true),
        (RsaAesKeyWrapSha256, Spec::SymmetricDefault, Spec::EccNistP256, false),
    ] {
        assert_eq!(algorithm.wraps(material, wrapping), may, "{material:?} {wrapping:?}");
    }
}

#[test]
#[ignore = "takes seconds: `cargo nextest run --run-ignored all`"]
fn the_longer_rsa_keys_do_what_the_shortest_does() {
    for (spec, bits) in [(Spec::Rsa3072, 3072), (Spec::Rsa4096, 4096)] {
        let key = Material::generate(spec, &SystemRandom).unwrap();
        let again = imported(spec, key.secret()).unwrap();
        assert_eq!(again.fingerprint(&[]), key.fingerprint(&[]));
        let public = key.public_key().unwrap();
        for algorithm in spec.signing_algorithms().iter().copied() {
            let signature = again.sign(algorithm, Message::Raw(b"hello")).unwrap();
            assert_eq!(signature.len(), bits / 8);
            assert_eq!(public.verify(algorithm, Message::Raw(b"hello"), &signature), Ok(()));
        }
    }
}

proptest! {
    #[test]
    fn any_bytes_are_refused_as_anything_without_a_panic(
        bytes in prop::collection::vec(any::<u8>(), 0..200),
        spec in prop::sample::select(Spec::ALL),
    ) {
        let _ = imported(spec, &bytes);
        prop_assert!(PublicKey::from_der(spec, &bytes).is_err());
        prop_assert!(Material::from_kept(&bytes).is_none());
        let key = Material::held(spec, SecretBytes::new(bytes.clone()));
        let _ = key.public_key();
        let _ = key.sign(SigningAlgorithm::EcdsaSha256, Message::Raw(&bytes));
    }

    #[test]
    fn what_was_encrypted_decrypts(
        key_id in prop::collection::vec(any::<u8>(), 1..60),
        pairs in prop::collection::btree_map(".{0,9}", ".{0,9}", 0..5),
        plaintext in prop::collection::vec(any::<u8>(), 0..600),
    ) {
        let key = Material::generate(Spec::SymmetricDefault, &SystemRandom).unwrap();
        let context = EncryptionContext::new(pairs.iter().map(|(a, b)| (a.as_str(), b.as_str())));
        let bytes = key.encrypt(&key_id, &context, &plaintext).unwrap();
        let blob = Blob::parse(&bytes).unwrap();
        prop_assert_eq!(blob.key_id(), key_id);
        prop_assert!(key.decrypt(&blob, &context).unwrap().matches(&plaintext));
    }
}
