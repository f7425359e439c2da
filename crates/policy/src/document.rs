//! A policy document as a tree.

use crate::compile::Compiled;
use crate::variable::{self, Named, Part};
use std::fmt;
use std::sync::OnceLock;

/// The version of the language.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default)]
pub enum Version {
    /// `2008-10-17`, which has no variables; a document that names no version is of this one.
    #[default]
    V2008,
    /// `2012-10-17`.
    V2012,
}

/// A policy document that has been parsed and validated.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Document {
    /// The language's version.
    pub version: Version,
    /// `Id`.
    pub id: Option<String>,
    /// Its statements in order.
    pub statements: Vec<Statement>,
    /// The form for deciding, made at the first question.
    pub(crate) compiled: Lazily,
}

impl Document {
    /// A document of these statements.
    pub fn new(version: Version, id: Option<String>, statements: Vec<Statement>) -> Self {
        Self { version, id, statements, compiled: Lazily::default() }
    }

    /// The condition keys that its conditions and variables name, as they are written, each once.
    pub fn context_keys(&self) -> Vec<&str> {
        let mut out: Vec<&str> = Vec::new();
        let mut note = |key| {
            if !out.iter().any(|known: &&str| known.eq_ignore_ascii_case(key)) {
                out.push(key);
            }
        };
        for statement in &self.statements {
            let resources = statement.resource.iter().flat_map(|resource| resource.patterns());
            for condition in &statement.conditions {
                note(&condition.key);
            }
            let values = statement.conditions.iter().flat_map(|condition| &condition.values);
            for text in resources.chain(values) {
                for part in variable::parts(text, self.version) {
                    let Part::Variable(name) = part else { continue };
                    if let Some(Named::Key { key, .. }) = variable::named(name) {
                        note(key);
                    }
                }
            }
        }
        out
    }

    /// The form for deciding.
    pub(crate) fn compiled(&self) -> &Compiled {
        self.compiled.0.get_or_init(|| Box::new(Compiled::new(self)))
    }
}

/// What is made from a document at need. It is no part of what the document says: two documents are
/// equal whatever was made of them, and a copy starts without.
#[derive(Default)]
pub(crate) struct Lazily(OnceLock<Box<Compiled>>);

impl Clone for Lazily {
    fn clone(&self) -> Self {
        Self::default()
    }
}

impl PartialEq for Lazily {
    fn eq(&self, _: &Self) -> bool {
        true
    }
}

impl Eq for Lazily {}

impl fmt::Debug for Lazily {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("…")
    }
}

/// One statement.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Statement {
    /// `Sid`.
    pub sid: Option<String>,
    /// `Effect`.
    pub effect: Effect,
    /// `Principal` or `NotPrincipal`; absent in identity policies.
    pub principal: Option<Matching<Vec<PrincipalPattern>>>,
    /// `Action` or `NotAction`.
    pub action: Matching<Vec<String>>,
    /// `Resource` or `NotResource`; absent in trust policies.
    pub resource: Option<Matching<Vec<String>>>,
    /// `Condition`, every one of which must hold.
    pub conditions: Vec<Condition>,
}

/// `Allow` or `Deny`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Effect {
    /// The statement allows what it matches.
    Allow,
    /// The statement denies what it matches.
    Deny,
}

impl Effect {
    /// The word in a document.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Allow => "Allow",
            Self::Deny => "Deny",
        }
    }
}

/// An element or its `Not` form.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Matching<T> {
    /// What it names.
    These(T),
    /// Everything but what it names.
    AllBut(T),
}

impl<T> Matching<T> {
    /// The patterns, whichever form.
    pub fn patterns(&self) -> &T {
        match self {
            Self::These(patterns) | Self::AllBut(patterns) => patterns,
        }
    }

    /// Applies the form: `hit` says whether any pattern matched.
    pub fn holds(&self, hit: bool) -> bool {
        match self {
            Self::These(_) => hit,
            Self::AllBut(_) => !hit,
        }
    }
}

/// One value of a `Principal` element.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum PrincipalPattern {
    /// `"*"` or `{"AWS": "*"}`.
    Anyone,
    /// An account id or `arn:aws:iam::ID:root`: the account, and whom it lets.
    Account(crate::AccountId),
    /// A user, role, or session ARN.
    Arn(String),
    /// An IAM unique id (`AIDA…`, `AROA…`), left where its principal was deleted.
    UniqueId(String),
    /// `{"Service": "…"}`.
    Service(String),
    /// `{"Federated": "…"}`; `*` is any provider.
    Federated(String),
    /// `{"CanonicalUser": "…"}`, S3's own form.
    CanonicalUser(String),
}

/// One operator applied to one key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Condition {
    /// The operator with its set prefix and `IfExists`.
    pub operator: Operator,
    /// The key as it is written.
    pub key: String,
    /// The values, any of which may match (for negated operators: none may).
    pub values: Vec<String>,
}

/// A condition operator as it is written: `ForAnyValue:StringLikeIfExists`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Operator {
    /// `ForAllValues` or `ForAnyValue`.
    pub set: Option<SetPrefix>,
    /// The comparison.
    pub comparison: Comparison,
    /// An absent key satisfies it.
    pub if_exists: bool,
}

/// How a set of request values is quantified.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SetPrefix {
    /// Every value of the request matches; true for none.
    ForAllValues,
    /// Some value of the request matches; false for none.
    ForAnyValue,
}

macro_rules! comparisons {
    ($($(#[$doc:meta])* $name:ident),* $(,)?) => {
        /// The comparison of a condition operator.
        #[derive(Debug, Clone, Copy, PartialEq, Eq)]
        #[allow(missing_docs)]
        pub enum Comparison { $($(#[$doc])* $name),* }

        impl Comparison {
            /// Every comparison.
            pub const ALL: &[Self] = &[$(Self::$name),*];

            /// The name in a document.
            pub const fn name(self) -> &'static str {
                match self { $(Self::$name => stringify!($name)),* }
            }
        }
    };
}

comparisons! {
    StringEquals, StringNotEquals, StringEqualsIgnoreCase, StringNotEqualsIgnoreCase, StringLike,
    StringNotLike, NumericEquals, NumericNotEquals, NumericLessThan, NumericLessThanEquals,
    NumericGreaterThan, NumericGreaterThanEquals, DateEquals, DateNotEquals, DateLessThan,
    DateLessThanEquals, DateGreaterThan, DateGreaterThanEquals, Bool, BinaryEquals, IpAddress,
    NotIpAddress, ArnEquals, ArnLike, ArnNotEquals, ArnNotLike, Null,
}

impl Comparison {
    /// Whether it is true when no value matches.
    pub const fn is_negated(self) -> bool {
        matches!(
            self,
            Self::StringNotEquals
                | Self::StringNotEqualsIgnoreCase
                | Self::StringNotLike
                | Self::NumericNotEquals
                | Self::DateNotEquals
                | Self::NotIpAddress
                | Self::ArnNotEquals
                | Self::ArnNotLike
        )
    }
}

impl Comparison {
    /// Whether it compares numbers.
    pub(crate) const fn is_numeric(self) -> bool {
        matches!(
            self,
            Self::NumericEquals
                | Self::NumericNotEquals
                | Self::NumericLessThan
                | Self::NumericLessThanEquals
                | Self::NumericGreaterThan
                | Self::NumericGreaterThanEquals
        )
    }

    /// Whether it compares dates.
    pub(crate) const fn is_date(self) -> bool {
        matches!(
            self,
            Self::DateEquals
                | Self::DateNotEquals
                | Self::DateLessThan
                | Self::DateLessThanEquals
                | Self::DateGreaterThan
                | Self::DateGreaterThanEquals
        )
    }
}

impl Operator {
    /// Reads an operator's name; `None` where there is no such operator. Case does not matter.
    pub fn parse(text: &str) -> Option<Self> {
        let (set, rest) = match text.split_once(':') {
            Some((set, rest)) if set.eq_ignore_ascii_case("ForAllValues") => {
                (Some(SetPrefix::ForAllValues), rest)
            }
            Some((set, rest)) if set.eq_ignore_ascii_case("ForAnyValue") => {
                (Some(SetPrefix::ForAnyValue), rest)
            }
            Some(_) => return None,
            None => (None, text),
        };
        let cut = rest.len().checked_sub("IfExists".len()).filter(|at| {
            rest.is_char_boundary(*at) && rest[*at..].eq_ignore_ascii_case("IfExists")
        });
        let (name, if_exists) = match cut {
            Some(at) => (&rest[..at], true),
            None => (rest, false),
        };
        let comparison = *Comparison::ALL.iter().find(|c| c.name().eq_ignore_ascii_case(name))?;
        // `NullIfExists` says nothing and is refused.
        (!(comparison == Comparison::Null && if_exists)).then_some(Self {
            set,
            comparison,
            if_exists,
        })
    }
}

impl fmt::Display for Operator {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.set {
            Some(SetPrefix::ForAllValues) => f.write_str("ForAllValues:")?,
            Some(SetPrefix::ForAnyValue) => f.write_str("ForAnyValue:")?,
            None => {}
        }
        f.write_str(self.comparison.name())?;
        if self.if_exists { f.write_str("IfExists") } else { Ok(()) }
    }
}
