//! The requests and responses as JSON.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use ringfence_keyring::{SecretBytes, Zeroizing};
use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

/// The one algorithm of version 1.
pub(crate) const AES_GCM: &str = "AES_GCM";

/// The one algorithm of integrity values of version 1.
pub(crate) const SHA_256: &str = "SHA_256";

/// Who asked KMS for what. Whoever signed the request says so.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct RequestMetadata {
    /// The caller's ARN; none in requests for health.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub aws_principal_arn: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub aws_source_vpc: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub aws_source_vpce: Option<String>,
    /// The KMS key; none while it is being created.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub kms_key_arn: Option<String>,
    pub kms_operation: String,
    pub kms_request_id: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub kms_via_service: Option<String>,
}

/// A request that says nothing but who asked: for health and for a key's metadata.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct PlainRequest {
    pub request_metadata: RequestMetadata,
}

/// A key as its manager knows it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct KeyMetadata {
    /// `AES_256` is the one that KMS takes.
    pub key_spec: String,
    /// `ENCRYPT` and `DECRYPT` among them.
    pub key_usage: Vec<String>,
    /// `ENABLED` or `DISABLED`
    pub key_status: String,
}

/// What is to be encrypted.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct EncryptRequest {
    pub request_metadata: RequestMetadata,
    #[serde(default, skip_serializing_if = "Vec::is_empty", with = "base64_text")]
    pub additional_authenticated_data: Vec<u8>,
    pub plaintext: Plain,
    pub encryption_algorithm: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ciphertext_data_integrity_value_algorithm: Option<String>,
}

/// What was encrypted.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct EncryptResponse {
    #[serde(with = "base64_text")]
    pub ciphertext: Vec<u8>,
    #[serde(default, skip_serializing_if = "Vec::is_empty", with = "base64_text")]
    pub ciphertext_metadata: Vec<u8>,
    #[serde(with = "base64_text")]
    pub initialization_vector: Vec<u8>,
    #[serde(with = "base64_text")]
    pub authentication_tag: Vec<u8>,
    #[serde(default, skip_serializing_if = "Vec::is_empty", with = "base64_text")]
    pub ciphertext_data_integrity_value: Vec<u8>,
}

/// What is to be decrypted.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct DecryptRequest {
    pub request_metadata: RequestMetadata,
    #[serde(default, skip_serializing_if = "Vec::is_empty", with = "base64_text")]
    pub additional_authenticated_data: Vec<u8>,
    #[serde(with = "base64_text")]
    pub ciphertext: Vec<u8>,
    #[serde(default, skip_serializing_if = "Vec::is_empty", with = "base64_text")]
    pub ciphertext_metadata: Vec<u8>,
    pub encryption_algorithm: String,
    #[serde(with = "base64_text")]
    pub initialization_vector: Vec<u8>,
    #[serde(with = "base64_text")]
    pub authentication_tag: Vec<u8>,
}

/// What was decrypted.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct DecryptResponse {
    pub plaintext: Plain,
}

/// How a proxy and the key managers behind it are.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct HealthResponse {
    pub xks_proxy_fleet_size: u32,
    pub xks_proxy_vendor: String,
    pub xks_proxy_model: String,
    pub ekm_vendor: String,
    pub ekm_fleet_details: Vec<EkmFleetDetail>,
}

/// One key manager.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct EkmFleetDetail {
    pub id: String,
    pub model: String,
    /// `ACTIVE`, `DEGRADED` or `UNAVAILABLE`
    pub health_status: String,
}

/// A plaintext: wiped when dropped, and never shown. Its text in a request is the network's.
#[derive(Debug)]
pub struct Plain(pub SecretBytes);

impl Serialize for Plain {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        to.serialize_str(&Zeroizing::new(STANDARD.encode(self.0.expose())))
    }
}

impl<'de> Deserialize<'de> for Plain {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        let text = Zeroizing::new(String::deserialize(from)?);
        // The decoder's own error shows a byte of the text.
        let bytes = STANDARD.decode(&*text).map_err(|_| de::Error::custom("no Base64"))?;
        Ok(Self(SecretBytes::new(bytes)))
    }
}

/// Bytes as Base64.
mod base64_text {
    use base64::Engine as _;
    use base64::engine::general_purpose::STANDARD;
    use serde::{Deserialize as _, Deserializer, Serializer, de};

    pub fn serialize<S: Serializer>(bytes: &[u8], to: S) -> Result<S::Ok, S::Error> {
        to.serialize_str(&STANDARD.encode(bytes))
    }

    pub fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<Vec<u8>, D::Error> {
        let text = String::deserialize(from)?;
        STANDARD.decode(text).map_err(|_| de::Error::custom("no Base64"))
    }
}
