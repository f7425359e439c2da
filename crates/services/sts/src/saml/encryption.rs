//! Encrypted assertions: RSA-OAEP for the key, AES in CBC or GCM for the assertion.
//! <https://www.w3.org/TR/xmlenc-core1/>

use super::signature::base64_of;
use super::xml::{ENCRYPTION, SIGNATURE, Tree};
use ringfence_keyring::{DecryptingKey, MessageCipher, Oaep};
use uppsala::NodeId;

/// The text of an encrypted assertion.
pub fn open(tree: &Tree<'_>, holder: NodeId, keys: &[DecryptingKey]) -> Option<String> {
    let data = tree.child(holder, ENCRYPTION, "EncryptedData")?;
    // The key stands in the data's KeyInfo, or beside the data.
    let inside = tree
        .child(data, SIGNATURE, "KeyInfo")
        .and_then(|info| tree.child(info, ENCRYPTION, "EncryptedKey"));
    let key = inside.or_else(|| tree.child(holder, ENCRYPTION, "EncryptedKey"))?;
    let method = tree.child(key, ENCRYPTION, "EncryptionMethod")?;
    let oaep = oaep(tree, method)?;
    let wrapped = cipher_value(tree, key)?;
    let cipher = tree.child(data, ENCRYPTION, "EncryptionMethod")?;
    let cipher = match tree.attribute(cipher, "Algorithm")? {
        "http://www.w3.org/2001/04/xmlenc#aes128-cbc" => MessageCipher::Aes128Cbc,
        "http://www.w3.org/2001/04/xmlenc#aes256-cbc" => MessageCipher::Aes256Cbc,
        "http://www.w3.org/2009/xmlenc11#aes128-gcm" => MessageCipher::Aes128Gcm,
        "http://www.w3.org/2009/xmlenc11#aes256-gcm" => MessageCipher::Aes256Gcm,
        _ => return None,
    };
    let message = cipher_value(tree, data)?;
    keys.iter().find_map(|key| {
        let opened = key.open(oaep, &wrapped, cipher, &message).ok()?;
        String::from_utf8(opened.expose().to_vec()).ok()
    })
}

fn cipher_value(tree: &Tree<'_>, node: NodeId) -> Option<Vec<u8>> {
    let data = tree.child(node, ENCRYPTION, "CipherData")?;
    base64_of(tree, tree.child(data, ENCRYPTION, "CipherValue")?)
}

/// The hash of RSA-OAEP. Its mask must use the same one: aws-lc has no other pairs. PKCS #1 v1.5 is
/// not taken: whoever may ask often enough opens it.
fn oaep(tree: &Tree<'_>, method: NodeId) -> Option<Oaep> {
    const ELEVEN: &str = "http://www.w3.org/2009/xmlenc11#";
    let digest = match tree.child(method, SIGNATURE, "DigestMethod") {
        None => Oaep::Sha1,
        Some(digest) => match tree.attribute(digest, "Algorithm")? {
            "http://www.w3.org/2000/09/xmldsig#sha1" => Oaep::Sha1,
            "http://www.w3.org/2001/04/xmlenc#sha256" => Oaep::Sha256,
            "http://www.w3.org/2001/04/xmldsig-more#sha384" => Oaep::Sha384,
            "http://www.w3.org/2001/04/xmlenc#sha512" => Oaep::Sha512,
            _ => return None,
        },
    };
    let mask = match tree.attribute(method, "Algorithm")? {
        "http://www.w3.org/2001/04/xmlenc#rsa-oaep-mgf1p" => Oaep::Sha1,
        "http://www.w3.org/2009/xmlenc11#rsa-oaep" => match tree.child(method, ELEVEN, "MGF") {
            None => Oaep::Sha1,
            Some(mask) => match tree.attribute(mask, "Algorithm")?.strip_prefix(ELEVEN)? {
                "mgf1sha1" => Oaep::Sha1,
                "mgf1sha256" => Oaep::Sha256,
                "mgf1sha384" => Oaep::Sha384,
                "mgf1sha512" => Oaep::Sha512,
                _ => return None,
            },
        },
        _ => return None,
    };
    (digest == mask).then_some(digest)
}
