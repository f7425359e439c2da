//! The names of key specs and algorithms, as AWS spells them.
//! <https://docs.aws.amazon.com/kms/latest/APIReference/API_CreateKey.html>

/// An enum whose variants have the names of AWS.
macro_rules! named {
    ($(#[$doc:meta])* $enum:ident { $($variant:ident = $name:literal,)+ }) => {
        $(#[$doc])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
        pub enum $enum {
            $($variant,)+
        }

        impl $enum {
            /// Every one, in AWS's order.
            pub const ALL: &[Self] = &[$(Self::$variant,)+];

            /// AWS's name.
            pub const fn as_str(self) -> &'static str {
                match self {
                    $(Self::$variant => $name,)+
                }
            }

            /// The one of this name.
            pub fn parse(name: &str) -> Option<Self> {
                match name {
                    $($name => Some(Self::$variant),)+
                    _ => None,
                }
            }
        }
    };
}

named! {
    /// What a key is. `SM2` is offered in China alone.
    Spec {
        Rsa2048 = "RSA_2048",
        Rsa3072 = "RSA_3072",
        Rsa4096 = "RSA_4096",
        EccNistP256 = "ECC_NIST_P256",
        EccNistP384 = "ECC_NIST_P384",
        EccNistP521 = "ECC_NIST_P521",
        EccSecgP256K1 = "ECC_SECG_P256K1",
        SymmetricDefault = "SYMMETRIC_DEFAULT",
        Hmac224 = "HMAC_224",
        Hmac256 = "HMAC_256",
        Hmac384 = "HMAC_384",
        Hmac512 = "HMAC_512",
        MlDsa44 = "ML_DSA_44",
        MlDsa65 = "ML_DSA_65",
        MlDsa87 = "ML_DSA_87",
        EccNistEdwards25519 = "ECC_NIST_EDWARDS25519",
        MlKem512 = "ML_KEM_512",
        MlKem768 = "ML_KEM_768",
        MlKem1024 = "ML_KEM_1024",
    }
}

named! {
    /// How a message is signed.
    SigningAlgorithm {
        RsassaPssSha256 = "RSASSA_PSS_SHA_256",
        RsassaPssSha384 = "RSASSA_PSS_SHA_384",
        RsassaPssSha512 = "RSASSA_PSS_SHA_512",
        RsassaPkcs1V15Sha256 = "RSASSA_PKCS1_V1_5_SHA_256",
        RsassaPkcs1V15Sha384 = "RSASSA_PKCS1_V1_5_SHA_384",
        RsassaPkcs1V15Sha512 = "RSASSA_PKCS1_V1_5_SHA_512",
        EcdsaSha256 = "ECDSA_SHA_256",
        EcdsaSha384 = "ECDSA_SHA_384",
        EcdsaSha512 = "ECDSA_SHA_512",
        MlDsaShake256 = "ML_DSA_SHAKE_256",
        Ed25519Sha512 = "ED25519_SHA_512",
        Ed25519PhSha512 = "ED25519_PH_SHA_512",
    }
}

named! {
    /// How a plaintext is encrypted.
    EncryptionAlgorithm {
        SymmetricDefault = "SYMMETRIC_DEFAULT",
        RsaesOaepSha1 = "RSAES_OAEP_SHA_1",
        RsaesOaepSha256 = "RSAES_OAEP_SHA_256",
    }
}

named! {
    /// How a message authentication code is made.
    MacAlgorithm {
        HmacSha224 = "HMAC_SHA_224",
        HmacSha256 = "HMAC_SHA_256",
        HmacSha384 = "HMAC_SHA_384",
        HmacSha512 = "HMAC_SHA_512",
    }
}

named! {
    /// How material is wrapped for an import. `RSAES_PKCS1_V1_5` is in AWS's model and refused since
    /// October 2023. <https://docs.aws.amazon.com/kms/latest/APIReference/API_GetParametersForImport.html>
    WrappingAlgorithm {
        RsaesOaepSha1 = "RSAES_OAEP_SHA_1",
        RsaesOaepSha256 = "RSAES_OAEP_SHA_256",
        RsaAesKeyWrapSha1 = "RSA_AES_KEY_WRAP_SHA_1",
        RsaAesKeyWrapSha256 = "RSA_AES_KEY_WRAP_SHA_256",
    }
}

impl Spec {
    /// What a key that signs can sign with, in the order in which `DescribeKey` lists them.
    pub const fn signing_algorithms(self) -> &'static [SigningAlgorithm] {
        use SigningAlgorithm as A;
        match self {
            Self::Rsa2048 | Self::Rsa3072 | Self::Rsa4096 => &[
                A::RsassaPkcs1V15Sha256,
                A::RsassaPkcs1V15Sha384,
                A::RsassaPkcs1V15Sha512,
                A::RsassaPssSha256,
                A::RsassaPssSha384,
                A::RsassaPssSha512,
            ],
            Self::EccNistP256 | Self::EccSecgP256K1 => &[A::EcdsaSha256],
            Self::EccNistP384 => &[A::EcdsaSha384],
            Self::EccNistP521 => &[A::EcdsaSha512],
            Self::EccNistEdwards25519 => &[A::Ed25519PhSha512, A::Ed25519Sha512],
            Self::MlDsa44 | Self::MlDsa65 | Self::MlDsa87 => &[A::MlDsaShake256],
            _ => &[],
        }
    }

    /// What a key that encrypts can encrypt with.
    pub const fn encryption_algorithms(self) -> &'static [EncryptionAlgorithm] {
        use EncryptionAlgorithm as A;
        match self {
            Self::SymmetricDefault => &[A::SymmetricDefault],
            Self::Rsa2048 | Self::Rsa3072 | Self::Rsa4096 => {
                &[A::RsaesOaepSha1, A::RsaesOaepSha256]
            }
            _ => &[],
        }
    }

    /// What an HMAC key makes codes with.
    pub const fn mac_algorithms(self) -> &'static [MacAlgorithm] {
        use MacAlgorithm as A;
        match self {
            Self::Hmac224 => &[A::HmacSha224],
            Self::Hmac256 => &[A::HmacSha256],
            Self::Hmac384 => &[A::HmacSha384],
            Self::Hmac512 => &[A::HmacSha512],
            _ => &[],
        }
    }

    /// Whether it agrees on shared secrets with `ECDH`.
    pub const fn agrees(self) -> bool {
        matches!(self, Self::EccNistP256 | Self::EccNistP384 | Self::EccNistP521)
    }

    /// Whether it encapsulates shared secrets with `ML_KEM`.
    pub const fn encapsulates(self) -> bool {
        matches!(self, Self::MlKem512 | Self::MlKem768 | Self::MlKem1024)
    }

    /// Whether `GenerateDataKeyPair` makes pairs of it.
    pub const fn has_data_key_pairs(self) -> bool {
        matches!(
            self,
            Self::Rsa2048
                | Self::Rsa3072
                | Self::Rsa4096
                | Self::EccNistP256
                | Self::EccNistP384
                | Self::EccNistP521
                | Self::EccSecgP256K1
                | Self::EccNistEdwards25519
                | Self::MlKem512
                | Self::MlKem768
                | Self::MlKem1024
        )
    }

    /// The bits of an RSA key's modulus.
    pub(super) const fn rsa_bits(self) -> Option<usize> {
        match self {
            Self::Rsa2048 => Some(2048),
            Self::Rsa3072 => Some(3072),
            Self::Rsa4096 => Some(4096),
            _ => None,
        }
    }
}
