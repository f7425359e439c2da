//! The request that a command line asks about.

use anyhow::bail;
use ringfence_policy::account::Known;
use ringfence_policy::{AccountId, Arn, Principal};

/// Who asks for what.
#[derive(Debug, clap::Args)]
pub struct Asked {
    /// Who asks: an ARN, an account id, a service such as ec2.amazonaws.com, or `anonymous`
    #[arg(long, value_name = "ARN")]
    pub principal: String,

    /// The action, for example s3:GetObject
    #[arg(long, value_name = "ACTION")]
    pub action: String,

    /// The ARN of the resource, or * for an action that has none
    #[arg(long, value_name = "ARN", default_value = "*")]
    pub resource: String,

    #[command(flatten)]
    pub facts: Facts,
}

/// What is known of a request beside who asks for what.
#[derive(Debug, clap::Args)]
pub struct Facts {
    /// Whose the resource is [default: the account in its ARN, or else the principal's]
    #[arg(long, value_name = "ID")]
    pub resource_account: Option<AccountId>,

    /// A condition key; one that is given again holds a set
    #[arg(long, value_name = "KEY=VALUE")]
    pub context: Vec<String>,
}

impl Facts {
    /// Whose a resource is; `own` is the account that it belongs to where nothing else says so.
    pub fn resource_account(
        &self,
        resource: &str,
        own: Option<AccountId>,
    ) -> anyhow::Result<AccountId> {
        let named = Arn::parse(resource).ok().and_then(|arn| arn.account_id());
        let Some(account) = self.resource_account.or(named).or(own) else {
            bail!("whose is the resource? name its account with --resource-account");
        };
        Ok(account)
    }

    /// The condition keys of the command line. One that is given more than once holds a set.
    pub fn given(&self) -> anyhow::Result<Vec<(String, Vec<String>)>> {
        let mut out: Vec<(String, Vec<String>)> = Vec::new();
        for pair in &self.context {
            let Some((key, value)) = pair.split_once('=') else {
                bail!("`{pair}` is no condition key: give KEY=VALUE");
            };
            match out.iter_mut().find(|(known, _)| known.eq_ignore_ascii_case(key)) {
                Some((_, values)) => values.push(value.to_owned()),
                None => out.push((key.to_owned(), vec![value.to_owned()])),
            }
        }
        Ok(out)
    }
}

/// Who asks, by ARN; or a service by its name, or `anonymous`. A role stands for a session of it.
pub fn principal(text: &str) -> anyhow::Result<Principal> {
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

/// The condition keys that follow from a principal.
pub fn known(principal: &Principal) -> Known {
    let mut out = Known::default();
    if let Some(account) = principal.account() {
        out.set("aws:PrincipalAccount", account.to_string());
        out.set("aws:PrincipalIsAWSService", "false");
    }
    let (arn, kind) = match principal {
        Principal::Root(account) => (Some(account.root_arn()), "Account"),
        Principal::User { arn } => (Some(arn.clone()), "User"),
        Principal::AssumedRole { role_arn, .. } => (Some(role_arn.clone()), "AssumedRole"),
        Principal::FederatedUser { arn, .. } => (Some(arn.clone()), "FederatedUser"),
        Principal::Service(name) => {
            out.set("aws:PrincipalIsAWSService", "true");
            out.set("aws:PrincipalServiceName", name.as_str());
            return out;
        }
        _ => (None, "Anonymous"),
    };
    out.set("aws:PrincipalType", kind);
    if let Principal::User { arn } = principal {
        out.set("aws:username", arn.rsplit('/').next().unwrap_or_default());
    }
    if let Some(arn) = arn {
        out.set("aws:PrincipalArn", arn);
    }
    out
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
