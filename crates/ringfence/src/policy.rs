//! `ringfence policy`: the policy engine for people who have nothing but JSON files.

use crate::cli::{Explain, PolicyCommand};
use anyhow::{Context as _, bail};
use ringfence_policy::{
    AccountId, Arn, Context, Document, Kind, PolicySet, Principal, Request, ResourcePolicy, parse,
};
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

/// Runs a command on policies.
pub fn policy(command: &PolicyCommand) -> anyhow::Result<ExitCode> {
    match command {
        PolicyCommand::Explain(options) => explain(options),
    }
}

/// What an answer of "denied" ends with: a script can tell it from an error, which ends with 1.
const DENIED: u8 = 3;

fn explain(options: &Explain) -> anyhow::Result<ExitCode> {
    let principal = principal(&options.principal)?;
    let own = principal.account();
    let named = Arn::parse(&options.resource).ok().and_then(|arn| arn.account_id());
    let Some(resource_account) = options.resource_account.or(named).or(own) else {
        bail!("whose is the resource? name its account with --resource-account");
    };
    let context = context(options, &principal)?;
    let files = Files::read(options)?;
    let policies = files.set();
    let request = Request {
        principal: &principal,
        action: &options.action,
        resource: &options.resource,
        resource_account,
        context: &context,
    };
    let why = ringfence_policy::explain(&request, &policies);
    let sentence = why.sentence(&options.principal, &request);
    let mut out = std::io::stdout().lock();
    if options.json {
        let mut json = why.json();
        json["sentence"] = sentence.into();
        writeln!(out, "{json:#}")?;
    } else {
        write!(out, "{sentence}\n\n{why}")?;
    }
    Ok(if why.decision.is_allowed() { ExitCode::SUCCESS } else { ExitCode::from(DENIED) })
}

/// Documents of one level.
type Level = Vec<Document>;

/// The policies of the command line.
struct Files {
    identity: Level,
    boundary: Option<Document>,
    session: Option<Level>,
    resource: Option<Document>,
    trust: Option<Document>,
    key: Option<Document>,
    service_control: Vec<Level>,
    resource_control: Vec<Level>,
    endpoint: Option<Document>,
}

impl Files {
    fn read(options: &Explain) -> anyhow::Result<Self> {
        let one = |path: &Option<PathBuf>, kind| path.as_deref().map(|p| read(p, kind)).transpose();
        let all = |paths: &[PathBuf], kind| {
            paths.iter().map(|path| read(path, kind)).collect::<anyhow::Result<Level>>()
        };
        let levels = |levels: &[String], kind| {
            let files = |level: &String| level.split(',').map(PathBuf::from).collect::<Vec<_>>();
            levels.iter().map(|level| all(&files(level), kind)).collect::<anyhow::Result<_>>()
        };
        Ok(Self {
            identity: all(&options.identity, Kind::Identity)?,
            boundary: one(&options.boundary, Kind::Identity)?,
            session: match options.session.is_empty() {
                true => None,
                false => Some(all(&options.session, Kind::Identity)?),
            },
            resource: one(&options.resource_policy, Kind::Resource)?,
            trust: one(&options.trust, Kind::Trust)?,
            key: one(&options.key_policy, Kind::Resource)?,
            service_control: levels(&options.scp, Kind::Identity)?,
            resource_control: levels(&options.rcp, Kind::Resource)?,
            endpoint: one(&options.endpoint, Kind::Resource)?,
        })
    }

    fn set(&self) -> PolicySet<'_> {
        fn levels(levels: &[Level]) -> Vec<Vec<&Document>> {
            levels.iter().map(|level| level.iter().collect()).collect()
        }
        PolicySet {
            identity: self.identity.iter().collect(),
            boundary: self.boundary.as_ref(),
            session: self.session.as_ref().map(|documents| documents.iter().collect()),
            resource: (self.resource.as_ref().map(ResourcePolicy::Ordinary))
                .or(self.trust.as_ref().map(ResourcePolicy::Trust))
                .or(self.key.as_ref().map(ResourcePolicy::Key)),
            service_control: levels(&self.service_control),
            resource_control: levels(&self.resource_control),
            endpoint: self.endpoint.as_ref(),
        }
    }
}

fn read(path: &Path, kind: Kind) -> anyhow::Result<Document> {
    let text = std::fs::read_to_string(path).with_context(|| path.display().to_string())?;
    parse(&text, kind).with_context(|| path.display().to_string())
}

/// Who asks, by ARN; or a service by its name, or `anonymous`. A role stands for a session of it.
fn principal(text: &str) -> anyhow::Result<Principal> {
    if text == "anonymous" {
        return Ok(Principal::Anonymous);
    }
    if let Ok(account) = text.parse::<AccountId>() {
        return Ok(Principal::Root(account));
    }
    let Ok(arn) = Arn::parse(text) else {
        if text.ends_with(".amazonaws.com") {
            return Ok(Principal::Service(text.to_owned()));
        }
        bail!("`{text}` is no principal: give an ARN, an account id, a service or `anonymous`");
    };
    let Some(account) = arn.account_id() else { bail!("`{text}` names no account") };
    let (kind, name) = arn.resource.split_once('/').unwrap_or((arn.resource, ""));
    Ok(match (arn.service, kind) {
        ("iam", "root") => Principal::Root(account),
        ("iam", "user") => Principal::User { arn: text.to_owned() },
        ("iam", "role") => {
            let name = name.rsplit('/').next().unwrap_or(name);
            let session_arn =
                format!("arn:{}:sts::{account}:assumed-role/{name}/session", arn.partition);
            Principal::AssumedRole { role_arn: text.to_owned(), session_arn }
        }
        ("sts", "assumed-role") => {
            let role = name.split('/').next().unwrap_or(name);
            let role_arn = format!("arn:{}:iam::{account}:role/{role}", arn.partition);
            Principal::AssumedRole { role_arn, session_arn: text.to_owned() }
        }
        ("sts", "federated-user") => {
            Principal::FederatedUser { arn: text.to_owned(), user_arn: None }
        }
        _ => bail!("`{text}` is no user, role, session or account"),
    })
}

/// The condition keys of the command line, and those that follow from the principal where it names
/// none. A key that is given more than once holds a set.
fn context(options: &Explain, principal: &Principal) -> anyhow::Result<Context> {
    let mut out = Context::default();
    if let Some(account) = principal.account() {
        out.set("aws:PrincipalAccount", account.to_string());
    }
    let (arn, kind) = match principal {
        Principal::Root(account) => (Some(account.root_arn()), "Account"),
        Principal::User { arn } => (Some(arn.clone()), "User"),
        Principal::AssumedRole { role_arn, .. } => (Some(role_arn.clone()), "AssumedRole"),
        Principal::FederatedUser { arn, .. } => (Some(arn.clone()), "FederatedUser"),
        _ => (None, "Anonymous"),
    };
    out.set("aws:PrincipalType", kind);
    if let Principal::User { arn } = principal {
        out.set("aws:username", arn.rsplit('/').next().unwrap_or_default());
    }
    if let Some(arn) = arn {
        out.set("aws:PrincipalArn", arn);
    }
    let mut given: Vec<(&str, Vec<String>)> = Vec::new();
    for pair in &options.context {
        let Some((key, value)) = pair.split_once('=') else {
            bail!("`{pair}` is no condition key: give KEY=VALUE");
        };
        match given.iter_mut().find(|(known, _)| known.eq_ignore_ascii_case(key)) {
            Some((_, values)) => values.push(value.to_owned()),
            None => given.push((key, vec![value.to_owned()])),
        }
    }
    for (key, mut values) in given {
        match values.len() {
            1 => out.set(key.to_owned(), values.swap_remove(0)),
            _ => out.set_many(key.to_owned(), values),
        }
    }
    Ok(out)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_principal_is_read_from_its_arn_or_name() {
        let role = "arn:aws:iam::123456789012:role/app/worker";
        let session = "arn:aws:sts::123456789012:assumed-role/worker/session";
        let assumed = Principal::AssumedRole { role_arn: role.into(), session_arn: session.into() };
        assert_eq!(principal(role).unwrap(), assumed);
        assert_eq!(principal("anonymous").unwrap(), Principal::Anonymous);
        let service = Principal::Service("ec2.amazonaws.com".into());
        assert_eq!(principal("ec2.amazonaws.com").unwrap(), service);
        let root = Principal::Root("123456789012".parse().unwrap());
        assert_eq!(principal("arn:aws:iam::123456789012:root").unwrap(), root);
        assert_eq!(principal("123456789012").unwrap(), root);
        for text in ["", "ann", "arn:aws:s3:::bucket", "arn:aws:iam::123456789012:group/g"] {
            assert!(principal(text).is_err(), "{text}");
        }
    }
}
