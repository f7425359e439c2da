//! AWS's names as Rust's.

use std::collections::{HashMap, HashSet};

/// `MFADeviceARNs` → `["MFA", "Device", "Arns"]`.
fn words(name: &str) -> Vec<String> {
    let chars: Vec<char> = name.chars().collect();
    let mut words: Vec<String> = Vec::new();
    let mut word = String::new();
    for (i, &c) in chars.iter().enumerate() {
        if !c.is_ascii_alphanumeric() {
            if !word.is_empty() {
                words.push(std::mem::take(&mut word));
            }
            continue;
        }
        let before = i.checked_sub(1).map(|i| chars[i]);
        let after = chars.get(i + 1);
        // A plural of an acronym (`ARNs`) is one word.
        let plural = |at: usize| {
            chars.get(at) == Some(&'s') && chars.get(at + 1).is_none_or(|c| !c.is_ascii_lowercase())
        };
        let boundary = c.is_ascii_uppercase()
            && before.is_some_and(|b| {
                b.is_ascii_lowercase()
                    || b.is_ascii_digit()
                    || (b.is_ascii_uppercase()
                        && after.is_some_and(char::is_ascii_lowercase)
                        && !plural(i + 1))
            });
        if boundary && !word.is_empty() {
            words.push(std::mem::take(&mut word));
        }
        word.push(c);
    }
    if !word.is_empty() {
        words.push(word);
    }
    words
}

/// `CreateDate` → `create_date`.
pub fn snake(name: &str) -> String {
    let text = words(name).join("_").to_ascii_lowercase();
    match text.as_str() {
        "" => "value".into(),
        "self" | "super" | "crate" => format!("{text}_"),
        "as" | "async" | "await" | "box" | "break" | "const" | "continue" | "do" | "dyn"
        | "else" | "enum" | "extern" | "false" | "final" | "fn" | "for" | "gen" | "if" | "impl"
        | "in" | "let" | "loop" | "macro" | "match" | "mod" | "move" | "mut" | "override"
        | "priv" | "pub" | "ref" | "return" | "static" | "struct" | "trait" | "true" | "try"
        | "type" | "typeof" | "unsafe" | "unsized" | "use" | "virtual" | "where" | "while"
        | "yield" | "abstract" | "become" => format!("r#{text}"),
        _ if text.starts_with(|c: char| c.is_ascii_digit()) => format!("n{text}"),
        _ => text,
    }
}

/// `CreateDate` → `CREATE_DATE`.
pub fn screaming(name: &str) -> String {
    let text = words(name).join("_").to_ascii_uppercase();
    if text.starts_with(|c: char| c.is_ascii_digit()) { format!("N{text}") } else { text }
}

/// `aws:kms` → `AwsKms`; a type's or variant's name.
pub fn pascal(name: &str) -> String {
    let mut out = String::new();
    for word in name.split(|c: char| !c.is_ascii_alphanumeric()).filter(|w| !w.is_empty()) {
        let shouting = word.len() > 1 && !word.chars().any(|c| c.is_ascii_lowercase());
        let mut chars = word.chars();
        out.extend(chars.next().map(|c| c.to_ascii_uppercase()));
        if shouting && name.len() > 3 && !name.chars().any(|c| c.is_ascii_lowercase()) {
            out.push_str(&chars.as_str().to_ascii_lowercase());
        } else {
            out.push_str(chars.as_str());
        }
    }
    if out.is_empty() {
        out.push_str("Empty");
    }
    if out.starts_with(|c: char| c.is_ascii_digit()) { format!("V{out}") } else { out }
}

/// A type's name: the shape's, unless Rust already means something by it.
pub fn type_name(shape: &str) -> String {
    let mut chars = shape.chars();
    let first = chars.next().map(|c| c.to_ascii_uppercase());
    let name: String = first.into_iter().chain(chars.filter(|c| *c != '_')).collect();
    match name.as_str() {
        "Box" | "Default" | "Err" | "None" | "Ok" | "Option" | "Result" | "Self" | "Some"
        | "String" | "Vec" | "Empty" | "Timestamp" | "Document" | "Bytes" | "Map" | "Boxed"
        | "ByteStream" => format!("{name}Type"),
        _ => name,
    }
}

/// Gives each key a name of its own, the first comer keeping the plain one.
#[derive(Default)]
pub struct Unique {
    taken: HashSet<String>,
    given: HashMap<String, String>,
}

impl Unique {
    pub fn name(&mut self, key: &str, wanted: String) -> String {
        if let Some(name) = self.given.get(key) {
            return name.clone();
        }
        let mut name = wanted.clone();
        let mut count = 1;
        while !self.taken.insert(name.clone()) {
            count += 1;
            name = format!("{wanted}_{count}");
        }
        self.given.insert(key.to_owned(), name.clone());
        name
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn acronyms_plurals_and_keywords_become_words() {
        for (name, want) in [
            ("CreateDate", "create_date"),
            ("MFADevices", "mfa_devices"),
            ("ThumbprintList", "thumbprint_list"),
            ("PolicySourceArn", "policy_source_arn"),
            ("ResourceARNs", "resource_arns"),
            ("VpcIDs", "vpc_ids"),
            ("SAMLProviderArn", "saml_provider_arn"),
            ("Type", "r#type"),
            ("x-amz-acl", "x_amz_acl"),
            ("EC2InstanceId", "ec2_instance_id"),
        ] {
            assert_eq!(snake(name), want, "{name}");
        }
    }

    #[test]
    fn variants_of_one_enumeration_stay_apart() {
        assert_eq!(pascal("aws:kms"), "AwsKms");
        assert_eq!(pascal("SYMMETRIC_DEFAULT"), "SymmetricDefault");
        assert_eq!(pascal("1.2"), "V12");
        assert_eq!(pascal(""), "Empty");
    }
}
