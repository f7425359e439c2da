//! What each key spec is for.
//! <https://docs.aws.amazon.com/kms/latest/developerguide/symm-asymm-choose-key-spec.html>

use ringfence_keyring::material::Spec;
use ringfence_model_kms::types::KeyUsageType;

/// The usages that a spec can have.
pub(crate) fn usages(spec: Spec) -> &'static [KeyUsageType] {
    use KeyUsageType as U;
    match spec {
        Spec::SymmetricDefault => &[U::EncryptDecrypt],
        Spec::Rsa2048 | Spec::Rsa3072 | Spec::Rsa4096 => &[U::EncryptDecrypt, U::SignVerify],
        Spec::EccNistP256 | Spec::EccNistP384 | Spec::EccNistP521 => {
            &[U::SignVerify, U::KeyAgreement]
        }
        Spec::EccSecgP256K1
        | Spec::EccNistEdwards25519
        | Spec::MlDsa44
        | Spec::MlDsa65
        | Spec::MlDsa87 => &[U::SignVerify],
        Spec::Hmac224 | Spec::Hmac256 | Spec::Hmac384 | Spec::Hmac512 => &[U::GenerateVerifyMac],
        Spec::MlKem512 | Spec::MlKem768 | Spec::MlKem1024 => &[U::EncapsulateDecapsulate],
    }
}
