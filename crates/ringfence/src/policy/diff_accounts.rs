//! `ringfence policy diff --accounts`: what changes for the users and roles between two exports.
//!
//! Of each principal three things are compared: its identity policies, those of its groups among them,
//! taken together; its permissions boundary, where none is as one that allows all; and a role's trust
//! policy. How they combine in a request is not compared: a boundary may hide what an identity policy
//! gains.

use super::NO;
use super::account::Pages;
use super::diff::Compared;
use super::witness::{Type, UNDECIDED};
use anyhow::Context as _;
use ringfence_policy::account::{Account, Standing, merged};
use ringfence_policy::{Document, Kind, parse};
use serde_json::{Map, Value, json};
use std::collections::BTreeSet;
use std::io::{self, Write as _};
use std::path::Path;
use std::process::ExitCode;

/// What stands for no boundary.
const EVERYTHING: &str = r#"{"Version": "2012-10-17",
    "Statement": [{"Effect": "Allow", "Action": "*", "Resource": "*"}]}"#;

fn export(path: &Path) -> anyhow::Result<Account> {
    let pages = Pages { account: vec![path.to_owned()] };
    pages.read()?.context("no export")
}

/// A kind of policy of a principal, before and after.
struct Part {
    name: &'static str,
    policy_type: Type,
    /// `None` where policies of both versions of the language stand together and cannot be one.
    old: Option<Document>,
    new: Option<Document>,
}

fn parts(old: &Standing<'_>, new: &Standing<'_>, everything: &Document) -> Vec<Part> {
    let mut out = Vec::new();
    if old.identity != new.identity {
        let (old, new) = (merged(&old.identity), merged(&new.identity));
        out.push(Part { name: "identity policies", policy_type: Type::Identity, old, new });
    }
    if old.boundary != new.boundary {
        let of = |standing: &Standing<'_>| Some(standing.boundary.unwrap_or(everything).clone());
        let (old, new) = (of(old), of(new));
        out.push(Part { name: "permissions boundary", policy_type: Type::Identity, old, new });
    }
    if old.trust != new.trust {
        let (old, new) = (old.trust.cloned(), new.trust.cloned());
        out.push(Part { name: "trust policy", policy_type: Type::Trust, old, new });
    }
    out
}

pub fn diff(old: &Path, new: &Path, no_new_access: bool, json: bool) -> anyhow::Result<ExitCode> {
    let (old, new) = (export(old)?, export(new)?);
    let everything = parse(EVERYTHING, Kind::Identity)?;
    let principals: BTreeSet<&str> = old.users_and_roles().chain(new.users_and_roles()).collect();
    let (mut code, mut changes) = (0, Map::new());
    let mut out = io::stdout().lock();
    let mut worse = |own: u8| {
        code = match (code, own) {
            (NO, _) | (_, NO) => NO,
            (one, other) => one.max(other),
        };
    };
    for arn in principals {
        let (before, after) = match (old.standing(arn), new.standing(arn)) {
            (Ok(before), Ok(after)) => (before, after),
            (before, _) => {
                let word = if before.is_ok() { "gone" } else { "new" };
                worse(if before.is_ok() && no_new_access { 0 } else { NO });
                if json {
                    changes.insert(arn.to_owned(), json!({ "principal": word }));
                } else {
                    writeln!(out, "{arn}: {word}\n")?;
                }
                continue;
            }
        };
        let mut of_principal = Map::new();
        for part in parts(&before, &after, &everything) {
            let (Some(old), Some(new)) = (&part.old, &part.new) else {
                worse(UNDECIDED);
                let why = "policies of both versions of the language, with variables";
                if json {
                    of_principal.insert(part.name.to_owned(), json!({ "undecided": why }));
                } else {
                    writeln!(out, "{arn}, {}: undecided: {why}\n", part.name)?;
                }
                continue;
            };
            let compared = Compared::new(old, new, part.policy_type);
            worse(compared.code(no_new_access));
            if json {
                of_principal.insert(part.name.to_owned(), compared.json());
            } else if !compared.is_same() {
                writeln!(out, "{arn}, {}:", part.name)?;
                compared.print(&mut out)?;
                writeln!(out)?;
            }
        }
        if !of_principal.is_empty() {
            changes.insert(arn.to_owned(), Value::Object(of_principal));
        }
    }
    if json {
        writeln!(out, "{:#}", Value::Object(changes))?;
    } else if code == 0 && !no_new_access {
        writeln!(out, "equivalent")?;
    }
    Ok(ExitCode::from(code))
}
