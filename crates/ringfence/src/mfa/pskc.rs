//! Key containers in PSKC, RFC 6030, with TOTP keys in clear: the seeds of tokens as an XML document.

use super::Tokens;
use anyhow::{Context as _, bail};
use data_encoding::BASE64;
use ringfence_iam::TokenSeed;
use roxmltree::{Document, Node};

const NAMESPACE: &str = "urn:ietf:params:xml:ns:keyprov:pskc";
/// RFC 6030, section 10.2 and the registry that it makes.
const TOTP: &str = "urn:ietf:params:xml:ns:keyprov:pskc:totp";

/// Reads a container. Every key must be one that AWS's tokens could have: TOTP with SHA-1, 30 seconds
/// and six digits.
pub fn tokens(text: &str) -> anyhow::Result<Vec<TokenSeed>> {
    // No document types: no entity expands.
    let document = Document::parse(text).map_err(|error| {
        // The parser's own words may repeat what it read.
        let position = error.pos();
        anyhow::anyhow!("line {}: it is not XML that can be read", position.row)
    })?;
    let root = document.root_element();
    if !root.has_tag_name((NAMESPACE, "KeyContainer")) {
        bail!("it is no PSKC key container");
    }
    let mut tokens = Tokens::default();
    for package in children(root, "KeyPackage") {
        let line = document.text_pos_at(package.range().start).row;
        take(package, &mut tokens).with_context(|| format!("key package at line {line}"))?;
    }
    tokens.finish()
}

fn children<'a, 'i>(node: Node<'a, 'i>, name: &'static str) -> impl Iterator<Item = Node<'a, 'i>> {
    node.children().filter(move |child| child.has_tag_name((NAMESPACE, name)))
}

/// The text at the end of a way of names; `None` where there is none.
fn text<'a>(node: Node<'a, '_>, way: &[&'static str]) -> Option<&'a str> {
    let end = way.iter().try_fold(node, |node, name| children(node, name).next())?;
    end.text().map(str::trim)
}

fn take(package: Node<'_, '_>, tokens: &mut Tokens) -> anyhow::Result<()> {
    let serial = text(package, &["DeviceInfo", "SerialNo"]).context("there is no SerialNo")?;
    let mut keys = children(package, "Key");
    let (Some(key), None) = (keys.next(), keys.next()) else { bail!("it has not one key") };
    if key.attribute("Algorithm") != Some(TOTP) {
        bail!("the key's algorithm is not {TOTP}");
    }
    let parameters = children(key, "AlgorithmParameters").next();
    let suite = parameters.and_then(|parameters| text(parameters, &["Suite"]));
    if suite.is_some_and(|suite| !["HMAC-SHA1", "SHA1"].contains(&&*suite.to_ascii_uppercase())) {
        bail!("the key's suite is not HMAC-SHA1");
    }
    let format = parameters.and_then(|one| children(one, "ResponseFormat").next());
    let format = format.context("there is no ResponseFormat")?;
    if (format.attribute("Encoding"), format.attribute("Length")) != (Some("DECIMAL"), Some("6")) {
        bail!("the codes are not of six decimal digits");
    }
    let data = children(key, "Data").next().context("there is no Data")?;
    for (name, expected) in [("TimeInterval", "30"), ("Time", "0")] {
        let value = text(data, &[name, "PlainValue"]);
        if value.is_some_and(|value| value != expected) {
            bail!("the key's {name} is not {expected}");
        }
    }
    let Some(secret) = text(data, &["Secret", "PlainValue"]) else {
        bail!("there is no Secret in clear; decrypt the container first");
    };
    let seed = BASE64.decode(secret.as_bytes()).ok().context("the Secret is not Base64")?;
    tokens.take(serial, seed)
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECRET: &str = "MTIzNDU2Nzg5MDEyMzQ1Njc4OTA=";

    /// After figure 5 of RFC 6030, with a TOTP key.
    fn container(change: (&str, &str)) -> String {
        let whole = format!(
            r#"<?xml version="1.0" encoding="UTF-8"?>
<KeyContainer Version="1.0" xmlns="urn:ietf:params:xml:ns:keyprov:pskc">
  <KeyPackage>
    <DeviceInfo><Manufacturer>M</Manufacturer><SerialNo>987654321</SerialNo></DeviceInfo>
    <Key Id="1" Algorithm="urn:ietf:params:xml:ns:keyprov:pskc:totp">
      <AlgorithmParameters>
        <Suite>HMAC-SHA1</Suite><ResponseFormat Length="6" Encoding="DECIMAL"/>
      </AlgorithmParameters>
      <Data>
        <Secret><PlainValue>{SECRET}</PlainValue></Secret>
        <Time><PlainValue>0</PlainValue></Time>
        <TimeInterval><PlainValue>30</PlainValue></TimeInterval>
      </Data>
    </Key>
  </KeyPackage>
</KeyContainer>"#
        );
        let changed = whole.replace(change.0, change.1);
        assert!(change.0 == change.1 || changed != whole, "{change:?}");
        changed
    }

    #[test]
    fn a_container_is_read() {
        for change in [
            ("", ""),
            ("<Suite>HMAC-SHA1</Suite>", ""),
            ("<Time><PlainValue>0</PlainValue></Time>", ""),
            ("<PlainValue>MTI", "<PlainValue>\n MTI"),
        ] {
            let tokens = tokens(&container(change)).unwrap();
            assert_eq!(tokens.len(), 1);
            assert_eq!(tokens[0].serial, "987654321");
            assert!(tokens[0].seed.matches(b"12345678901234567890"));
        }
    }

    #[test]
    fn a_key_of_another_kind_is_refused_and_no_secret_told() {
        for (from, to, part) in [
            ("pskc:totp", "pskc:hotp", "algorithm"),
            ("HMAC-SHA1", "HMAC-SHA256", "suite"),
            ("Length=\"6\"", "Length=\"8\"", "six decimal digits"),
            ("DECIMAL", "HEXADECIMAL", "six decimal digits"),
            (">30<", ">60<", "TimeInterval is not 30"),
            (">0<", ">1<", "Time is not 0"),
            ("<Secret><PlainValue>", "<Secret><EncryptedValue/><PlainValue>x", "not Base64"),
            ("OTA=</PlainValue></Secret>", "OTA</PlainValue></Secret>", "not Base64"),
            ("<SerialNo>987654321</SerialNo>", "", "no SerialNo"),
            ("987654321", "98765432", "serial number"),
            ("pskc\">", "other\">", "no PSKC"),
            ("</KeyContainer>", "", "not XML"),
            ("<KeyContainer ", "<!DOCTYPE x [<!ENTITY e \"e\">]><KeyContainer ", "not XML"),
        ] {
            let error = tokens(&container((from, to))).unwrap_err();
            let told = format!("{error:#}");
            assert!(told.contains(part), "{from}: {told}");
            assert!(!told.contains("MTIzNDU2"), "{told}");
        }
        let clear = format!("<PlainValue>{SECRET}</PlainValue>");
        let encrypted = container((&clear, "<EncryptedValue/>"));
        let told = format!("{:#}", tokens(&encrypted).unwrap_err());
        assert!(told.contains("no Secret in clear"), "{told}");
    }
}
