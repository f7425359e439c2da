//! The password policy of an account, AWS's default in its place, and what they ask of a password.
//! <https://docs.aws.amazon.com/IAM/latest/UserGuide/id_credentials_passwords_account-policy.html>

use crate::Iam;
use crate::errors;
use crate::settings;
use ringfence_gateway::{Answer, Call, Resolved};
use ringfence_model_iam::operations as ops;
use ringfence_model_iam::types::{self, GetAccountPasswordPolicyResponse};
use ringfence_policy::Document;
use ringfence_policy::document::Version;
use ringfence_policy::document::{Effect, Matching, Statement};
use ringfence_wire::ServiceError;
use ringfence_wire::value::Empty;
use serde::{Deserialize, Serialize};
use std::sync::{Arc, LazyLock};

const DAY: i64 = 24 * 60 * 60;

/// Characters that count as symbols.
/// <https://docs.aws.amazon.com/IAM/latest/APIReference/API_UpdateAccountPasswordPolicy.html>
const SYMBOLS: &str = "!@#$%^&*()_+-=[]{}|'";

/// The least length where the request gives none, and in AWS's default policy.
const LEAST_LENGTH: i32 = 6;
const DEFAULT_LEAST_LENGTH: i32 = 8;
/// Of the four classes of characters, those that AWS's default policy asks for.
const DEFAULT_CLASSES: usize = 3;

/// A password policy that an account has set.
#[allow(clippy::struct_excessive_bools)]
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct PasswordPolicy {
    pub minimum_password_length: i32,
    #[serde(default)]
    pub require_symbols: bool,
    #[serde(default)]
    pub require_numbers: bool,
    #[serde(default)]
    pub require_uppercase_characters: bool,
    #[serde(default)]
    pub require_lowercase_characters: bool,
    #[serde(default)]
    pub allow_users_to_change_password: bool,
    /// In days.
    #[serde(default)]
    pub max_password_age: Option<i32>,
    #[serde(default)]
    pub password_reuse_prevention: Option<i32>,
    #[serde(default)]
    pub hard_expiry: Option<bool>,
}

/// A class of characters.
#[derive(Clone, Copy)]
enum Class {
    Uppercase,
    Lowercase,
    Number,
    Symbol,
}

impl Class {
    /// In the order in which refusals tell them.
    const ALL: [Self; 4] = [Self::Uppercase, Self::Lowercase, Self::Number, Self::Symbol];

    /// Letters of other alphabets are of no class.
    fn is_in(self, password: &str) -> bool {
        match self {
            Self::Uppercase => password.bytes().any(|b| b.is_ascii_uppercase()),
            Self::Lowercase => password.bytes().any(|b| b.is_ascii_lowercase()),
            Self::Number => password.bytes().any(|b| b.is_ascii_digit()),
            Self::Symbol => password.chars().any(|c| SYMBOLS.contains(c)),
        }
    }

    /// The refusal where it is missing. The words for uppercase letters and symbols are those of
    /// <https://github.com/redhat-cop/agnosticd/pull/6594>.
    fn missing(self) -> String {
        let noun = match self {
            Self::Uppercase => "uppercase letter",
            Self::Lowercase => "lowercase letter",
            Self::Number => "number",
            Self::Symbol => "symbol",
        };
        format!("Password should have at least one {noun}")
    }
}

impl PasswordPolicy {
    fn requires(&self, class: Class) -> bool {
        match class {
            Class::Uppercase => self.require_uppercase_characters,
            Class::Lowercase => self.require_lowercase_characters,
            Class::Number => self.require_numbers,
            Class::Symbol => self.require_symbols,
        }
    }

    /// How many of a user's latest passwords, the current one included, it may not have again.
    pub fn remembers(&self) -> usize {
        self.password_reuse_prevention.and_then(|n| usize::try_from(n).ok()).unwrap_or(0)
    }

    /// Whether a password has ended that was set then.
    pub fn is_expired(&self, set: i64, now: i64) -> bool {
        self.ends(set).is_some_and(|end| now >= end)
    }

    /// When a password ends that was set then.
    pub fn ends(&self, set: i64) -> Option<i64> {
        Some(set.saturating_add(i64::from(self.max_password_age?).saturating_mul(DAY)))
    }
}

/// Checks a password's text against the account's policy, or AWS's default where it has none.
///
/// # Errors
/// `PasswordPolicyViolation`, all that is missing told at once.
pub(crate) fn check(
    policy: Option<&PasswordPolicy>,
    password: &str,
    account_name: &str,
) -> Result<(), ServiceError> {
    let least = policy.map_or(DEFAULT_LEAST_LENGTH, |policy| policy.minimum_password_length);
    let length = i32::try_from(password.chars().count()).unwrap_or(i32::MAX);
    let mut violations = Vec::new();
    if length < least {
        violations.push(format!("Password should have a minimum length of {least}"));
    }
    let missing = || Class::ALL.into_iter().filter(|class| !class.is_in(password));
    match policy {
        Some(policy) => {
            let required = missing().filter(|class| policy.requires(*class));
            violations.extend(required.map(Class::missing));
        }
        None => {
            let missing: Vec<String> = missing().map(Class::missing).collect();
            let had = Class::ALL.len() - missing.len();
            if had < DEFAULT_CLASSES {
                violations.push(format!(
                    "Password should meet {} more of the following requirements: {}",
                    DEFAULT_CLASSES - had,
                    missing.join(", ")
                ));
            }
            if password.eq_ignore_ascii_case(account_name) {
                violations.push("Password should not be identical to the account name".into());
            }
        }
    }
    if violations.is_empty() {
        Ok(())
    } else {
        Err(errors::password_violation(violations.join(", ")))
    }
}

/// What `AllowUsersToChangePassword` gives each user of the account: permissions that no policy of
/// the user's holds.
/// <https://docs.aws.amazon.com/IAM/latest/APIReference/API_PasswordPolicy.html>
pub(crate) static OWN_PASSWORD: LazyLock<Arc<Document>> = LazyLock::new(|| {
    let allow = |action: &str, resources: &[&str]| Statement {
        sid: None,
        effect: Effect::Allow,
        principal: None,
        action: Matching::These(vec![action.to_owned()]),
        resource: Some(Matching::These(resources.iter().map(|r| (*r).to_owned()).collect())),
        conditions: Vec::new(),
    };
    // A name has no slash and is unique in its account: whatever the path, it is the user itself.
    let own = ["arn:aws:iam::*:user/${aws:username}", "arn:aws:iam::*:user/*/${aws:username}"];
    let statements =
        vec![allow("iam:ChangePassword", &own), allow("iam:GetAccountPasswordPolicy", &["*"])];
    Arc::new(Document::new(Version::V2012, None, statements))
});

pub(crate) async fn update_account_password_policy(
    iam: &Iam,
    call: Call<ops::UpdateAccountPasswordPolicy>,
) -> Result<Answer<Empty>, ServiceError> {
    let id = call.account()?;
    let ledger = iam.ledger(id)?;
    let permit = call.allow(Resolved::any(id))?;
    let input = &call.input;
    let given = |flag: Option<bool>| flag.unwrap_or(false);
    // What is left out goes back to its default: there are no partial updates.
    let policy = PasswordPolicy {
        minimum_password_length: input.minimum_password_length.unwrap_or(LEAST_LENGTH),
        require_symbols: given(input.require_symbols),
        require_numbers: given(input.require_numbers),
        require_uppercase_characters: given(input.require_uppercase_characters),
        require_lowercase_characters: given(input.require_lowercase_characters),
        allow_users_to_change_password: given(input.allow_users_to_change_password),
        max_password_age: input.max_password_age,
        password_reuse_prevention: input.password_reuse_prevention,
        hard_expiry: input.hard_expiry,
    };
    settings::change(&ledger, &permit, |settings| {
        settings.password_policy = Some(policy.clone());
        Ok(())
    })
    .await?;
    Ok(permit.answer(Empty::default()))
}

pub(crate) async fn get_account_password_policy(
    iam: &Iam,
    call: Call<ops::GetAccountPasswordPolicy>,
) -> Result<Answer<GetAccountPasswordPolicyResponse>, ServiceError> {
    let id = call.account()?;
    let ledger = iam.ledger(id)?;
    let permit = call.allow(Resolved::any(id))?;
    let account = ledger.view(&permit);
    let policy = account.settings.password_policy.as_ref();
    let policy = policy.ok_or_else(|| errors::no_password_policy(id))?;
    Ok(permit.answer(GetAccountPasswordPolicyResponse { password_policy: describe(policy) }))
}

/// Recorded: what has no default is left out where it was not given.
fn describe(policy: &PasswordPolicy) -> types::PasswordPolicy {
    types::PasswordPolicy {
        minimum_password_length: Some(policy.minimum_password_length),
        require_symbols: Some(policy.require_symbols),
        require_numbers: Some(policy.require_numbers),
        require_uppercase_characters: Some(policy.require_uppercase_characters),
        require_lowercase_characters: Some(policy.require_lowercase_characters),
        allow_users_to_change_password: Some(policy.allow_users_to_change_password),
        expire_passwords: Some(policy.max_password_age.is_some()),
        max_password_age: policy.max_password_age,
        password_reuse_prevention: policy.password_reuse_prevention,
        hard_expiry: policy.hard_expiry,
    }
}

pub(crate) async fn delete_account_password_policy(
    iam: &Iam,
    call: Call<ops::DeleteAccountPasswordPolicy>,
) -> Result<Answer<Empty>, ServiceError> {
    let id = call.account()?;
    let ledger = iam.ledger(id)?;
    let permit = call.allow(Resolved::any(id))?;
    settings::change(&ledger, &permit, |settings| match settings.password_policy.take() {
        Some(_) => Ok(()),
        None => Err(errors::no_password_policy_to_delete()),
    })
    .await?;
    Ok(permit.answer(Empty::default()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::loosest;

    fn told(policy: Option<&PasswordPolicy>, password: &str) -> String {
        match check(policy, password, "Example Corp 1") {
            Ok(()) => String::new(),
            Err(refused) => {
                assert_eq!((&*refused.code, refused.status), ("PasswordPolicyViolation", 400));
                refused.message
            }
        }
    }

    const UPPER: &str = "Password should have at least one uppercase letter";
    const LOWER: &str = "Password should have at least one lowercase letter";
    const NUMBER: &str = "Password should have at least one number";
    const SYMBOL: &str = "Password should have at least one symbol";

    #[test]
    fn the_default_policy_asks_for_eight_characters_of_three_classes() {
        let more = |count: usize, of: &[&str]| {
            let of = of.join(", ");
            format!("Password should meet {count} more of the following requirements: {of}")
        };
        let short = "Password should have a minimum length of 8";
        for (password, refusal) in [
            ("Abcdefg1", String::new()),
            ("abcdef1!", String::new()),
            ("ABCDEF1!", String::new()),
            ("Abcdefg!", String::new()),
            ("Abcdef1", short.into()),
            ("abcdefg1", more(1, &[UPPER, SYMBOL])),
            ("abcdefgh", more(2, &[UPPER, NUMBER, SYMBOL])),
            ("        ", more(3, &[UPPER, LOWER, NUMBER, SYMBOL])),
            ("ABC", format!("{short}, {}", more(2, &[LOWER, NUMBER, SYMBOL]))),
            // Letters of other alphabets are characters, of no class; `.` is no symbol.
            ("Äbcdefg.", more(2, &[UPPER, NUMBER, SYMBOL])),
            ("éééééÉA1", more(1, &[LOWER, SYMBOL])),
            (
                "example corp 1",
                more(1, &[UPPER, SYMBOL])
                    + ", Password should not be identical to the account name",
            ),
            ("Example Corp 1", "Password should not be identical to the account name".into()),
        ] {
            assert_eq!(told(None, password), refusal, "{password}");
        }
    }

    #[test]
    fn a_policy_asks_for_what_it_says_and_no_more() {
        let set = |change: fn(&mut PasswordPolicy)| {
            let mut policy = loosest();
            change(&mut policy);
            policy
        };
        // What the policy asks for; passwords that have it; others, and what is told of them.
        type Row<'a> = (&'a str, fn(&mut PasswordPolicy), &'a [&'a str], &'a [(&'a str, &'a str)]);
        let rows: [Row<'_>; 8] = [
            (
                "nothing",
                |_| {},
                &["aaaaaa", "Example Corp 1"],
                &[("aaaaa", "Password should have a minimum length of 6")],
            ),
            (
                "length",
                |p| p.minimum_password_length = 128,
                &[],
                &[("aB1!aB1!", "Password should have a minimum length of 128")],
            ),
            (
                "uppercase",
                |p| p.require_uppercase_characters = true,
                &["aaaaaA"],
                &[("aaaaa1", UPPER), ("aaaaaÄ", UPPER)],
            ),
            (
                "lowercase",
                |p| p.require_lowercase_characters = true,
                &["AAAAAa"],
                &[("AAAAA1", LOWER), ("AAAAAß", LOWER)],
            ),
            (
                "numbers",
                |p| p.require_numbers = true,
                &["aaaaa0", "aaaaa9"],
                &[("aaaaaa", NUMBER), ("aaaaa²", NUMBER)],
            ),
            (
                "symbols",
                |p| p.require_symbols = true,
                &["aaaaa'", "aaaaa_", "aaaaa|"],
                &[("aaaaaa", SYMBOL), ("aaaaa.", SYMBOL), ("aaaaa ", SYMBOL), ("aaaaa~", SYMBOL)],
            ),
            (
                "all",
                |p| {
                    p.require_symbols = true;
                    p.require_numbers = true;
                    p.require_uppercase_characters = true;
                    p.require_lowercase_characters = true;
                },
                &["aA1!aa"],
                &[("aA1aaa", SYMBOL)],
            ),
            // What is about time and memory asks nothing of the text.
            (
                "others",
                |p| {
                    p.max_password_age = Some(1);
                    p.password_reuse_prevention = Some(24);
                    p.hard_expiry = Some(true);
                },
                &["aaaaaa"],
                &[],
            ),
        ];
        for (name, change, good, bad) in rows {
            let policy = set(change);
            for password in good {
                assert_eq!(told(Some(&policy), password), "", "{name}: {password}");
            }
            for (password, refusal) in bad {
                assert_eq!(told(Some(&policy), password), *refusal, "{name}: {password}");
            }
        }
    }

    #[test]
    fn every_symbol_that_aws_lists_counts() {
        let policy = PasswordPolicy { require_symbols: true, ..loosest() };
        assert_eq!(SYMBOLS.chars().count(), 20);
        for symbol in SYMBOLS.chars() {
            assert_eq!(told(Some(&policy), &format!("aaaaaa{symbol}")), "");
        }
    }

    #[test]
    fn all_that_is_missing_is_told_at_once() {
        let policy = PasswordPolicy {
            minimum_password_length: 10,
            require_symbols: true,
            require_numbers: true,
            require_uppercase_characters: true,
            require_lowercase_characters: true,
            ..loosest()
        };
        let length = "Password should have a minimum length of 10";
        let all = [length, UPPER, LOWER, NUMBER, SYMBOL].join(", ");
        assert_eq!(told(Some(&policy), "\u{e4}"), all);
        // Characters are counted, not bytes.
        assert_eq!(told(Some(&policy), "ääääääaA1!"), "");
    }

    #[test]
    fn a_password_ends_with_the_day_that_its_age_reaches() {
        let policy = PasswordPolicy { max_password_age: Some(90), ..loosest() };
        assert!(!policy.is_expired(1000, 1000 + 90 * DAY - 1));
        assert!(policy.is_expired(1000, 1000 + 90 * DAY));
        assert!(!policy.is_expired(1000, 0));
        assert!(!loosest().is_expired(0, i64::MAX));
    }
}
