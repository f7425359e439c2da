//! Where the policies of a request come from: from the export of an account, or from single files.

use super::files::{Files, Named};
use super::request::{self, Facts};
use anyhow::Context as _;
use ringfence_policy::account::{Account, Around, Known, OfResource, Page, Policies, Question};
use ringfence_policy::{AccountId, Arn, Principal, Request};
use std::path::PathBuf;

/// The files of an export.
#[derive(Debug, clap::Args)]
pub struct Pages {
    /// What `aws iam get-account-authorization-details` printed; may be given again, for its pages
    #[arg(long, value_name = "FILE")]
    pub account: Vec<PathBuf>,
}

impl Pages {
    /// The account; `None` where no file is named.
    pub fn read(&self) -> anyhow::Result<Option<Account>> {
        if self.account.is_empty() {
            return Ok(None);
        }
        let named = |path: &PathBuf| path.display().to_string();
        let read = |path: &PathBuf| std::fs::read_to_string(path).with_context(|| named(path));
        let texts = self.account.iter().map(read).collect::<anyhow::Result<Vec<_>>>()?;
        // Pages borrow from their texts until the account is made.
        let mut pages = Vec::with_capacity(texts.len());
        for (path, text) in self.account.iter().zip(&texts) {
            pages.push(Page::read(text).with_context(|| named(path))?);
        }
        let files: Vec<String> = self.account.iter().map(named).collect();
        Ok(Some(Account::new(pages).with_context(|| files.join(", "))?))
    }
}

/// Where a command line has policies from: files, and perhaps an export that they add to.
pub struct Sources {
    account: Option<Account>,
    files: Files,
}

/// A request with the policies that bear on it.
pub struct Case<'a> {
    pub principal: Principal,
    pub known: Known,
    pub policies: Policies<'a>,
    pub question: Question,
}

impl<'a> Case<'a> {
    fn new(
        principal: Principal,
        mut known: Known,
        policies: Policies<'a>,
        facts: &Facts,
        (action, resource, owner): (&str, &str, AccountId),
    ) -> anyhow::Result<Self> {
        let given = facts.given()?;
        for (key, values) in &given {
            known.give(key, values.clone());
        }
        let question = Question { given, ..Question::new(action, resource, owner) };
        Ok(Self { principal, known, policies, question })
    }

    /// As the engine takes it.
    pub fn request(&self) -> Request<'_> {
        Request {
            principal: &self.principal,
            action: &self.question.action,
            resource: &self.question.resource,
            resource_account: self.question.resource_account,
            context: self.known.context(),
        }
    }
}

impl Sources {
    pub fn read(pages: &Pages, named: &Named) -> anyhow::Result<Self> {
        Ok(Self { account: pages.read()?, files: Files::read(named)? })
    }

    /// The request of a principal, by its ARN or name.
    pub fn case(
        &self,
        who: &str,
        action: &str,
        resource: &str,
        facts: &Facts,
    ) -> anyhow::Result<Case<'_>> {
        let Some(account) = &self.account else {
            let principal = request::principal(who)?;
            let owner = facts.resource_account(resource, principal.account())?;
            let known = request::known(&principal);
            let policies = self.files.policies(action, resource);
            return Case::new(principal, known, policies, facts, (action, resource, owner));
        };
        let owner = facts.resource_account(resource, Some(account.id()))?;
        let around = &self.files.around;
        let (principal, known, mut policies) = match account.who(who) {
            Ok(found) => (
                found.principal.clone(),
                account.known_for(&found, action, resource, owner),
                account.policies_for(&found, around, action, resource, owner),
            ),
            Err(none) => match request::principal(who) {
                Ok(principal) if principal.account().is_none() => {
                    let known = request::known(&principal);
                    (principal, known, account.policies_at(around, action, resource, owner))
                }
                // Of another account's principals the policies are not here.
                _ => return Err(none.into()),
            },
        };
        let kind = OfResource::at(resource);
        if policies.resource.is_none() && kind != OfResource::Trust {
            policies.resource = self.files.any_resource(kind);
        }
        let policies = self.files.beside(policies);
        Case::new(principal, known, policies, facts, (action, resource, owner))
    }
}

/// What to tell of a resource whose policy may matter and was not given.
pub fn note_on_resource(account: AccountId, around: &Around, resource: &str) -> Option<String> {
    let arn = Arn::parse(resource).ok().filter(|arn| arn.service != "iam")?;
    if around.policy_of(resource).is_some() {
        return None;
    }
    let foreign = arn.account_id().is_some_and(|owner| owner != account);
    let taken = if foreign {
        "nothing of it is known, and all are denied"
    } else if arn.service == "kms" {
        "it is taken to leave all to identity policies, as the default key policy does"
    } else {
        "it is taken to have none"
    };
    Some(format!("no policy of {resource} is given (--resource-policy ARN=FILE): {taken}"))
}
