//! Account aliases: a name in place of an account's number, unique over all accounts.
//! <https://docs.aws.amazon.com/signin/latest/userguide/CreateAccountAlias.html>
//!
//! An account has one at most, and a new one takes the place of the old, as observed of AWS:
//! <https://github.com/floci-io/floci/pull/2103>.

use crate::Iam;
use crate::errors;
use crate::settings;
use ringfence_gateway::transient::Everybody;
use ringfence_gateway::{Answer, Call, Resolved, Transient, Transients};
use ringfence_model_iam::operations as ops;
use ringfence_model_iam::types::ListAccountAliasesResponse;
use ringfence_policy::AccountId;
use ringfence_wire::ServiceError;
use ringfence_wire::value::Empty;
use serde::{Deserialize, Serialize};
use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

/// Seconds that a claim stands: in far less every server hears whose the alias is.
const CLAIMED_FOR: i64 = 60;

/// What tells other servers that somebody is about to have an alias: they may be asked for it at the same moment.
#[derive(Serialize, Deserialize)]
pub(crate) struct Claimed {
    alias: String,
    by: AccountId,
    until: i64,
}

impl Transient for Claimed {
    type Of = Everybody;
    const KIND: &'static str = "iam-alias";

    fn name(&self) -> &str {
        &self.alias
    }

    fn is_over(&self, now: i64) -> bool {
        now >= self.until
    }
}

/// Claims an alias among all servers, for an account that has claimed it, perhaps, and may not know how that ended.
///
/// # Errors
/// `EntityAlreadyExists`, or `ServiceFailure` when the store cannot keep it.
async fn claim(
    claims: &Transients<Claimed>,
    alias: &str,
    by: AccountId,
    now: i64,
) -> Result<(), ServiceError> {
    let until = now.saturating_add(CLAIMED_FOR);
    claims
        .change(Everybody, now, |known| {
            if known.get(alias).is_some_and(|claimed| claimed.by != by) {
                return Err(errors::alias_exists(alias));
            }
            known.put(Claimed { alias: alias.to_owned(), by, until });
            Ok(())
        })
        .await
}

/// Gives a claim up, which would end by itself.
async fn release(claims: &Transients<Claimed>, alias: &str, now: i64) {
    let released = claims.remove(Everybody, now, alias).await;
    if let Err(error) = released {
        tracing::warn!(error = error.message, "an alias stays claimed for a minute");
    }
}

/// The aliases of all accounts that were loaded, those of writes on their way to the disk included. Each lies in
/// its account's settings; this is what makes it unique in this process, for ledgers do not see each other.
#[derive(Default)]
pub(crate) struct Aliases(Mutex<HashMap<Box<str>, AccountId>>);

/// An alias that an account is about to have. Dropped, it is free again, unless it was kept.
struct Claim<'a> {
    aliases: &'a Aliases,
    alias: &'a str,
    kept: bool,
}

impl Aliases {
    /// Notes the alias that an account has now.
    pub fn note(&self, id: AccountId, now: Option<&str>) {
        let mut all = self.lock();
        all.retain(|alias, of| *of != id || Some(&**alias) == now);
        if let Some(now) = now {
            all.insert(now.into(), id);
        }
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<Box<str>, AccountId>> {
        // Every change is one insertion or removal, so a panic leaves it whole.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn claim<'a>(&'a self, alias: &'a str, id: AccountId) -> Result<Claim<'a>, ServiceError> {
        let mut all = self.lock();
        if all.contains_key(alias) {
            return Err(errors::alias_exists(alias));
        }
        all.insert(alias.into(), id);
        Ok(Claim { aliases: self, alias, kept: false })
    }

    fn release(&self, alias: &str) {
        self.lock().remove(alias);
    }
}

impl Claim<'_> {
    fn keep(mut self) {
        self.kept = true;
    }
}

impl Drop for Claim<'_> {
    fn drop(&mut self) {
        if !self.kept {
            self.aliases.release(self.alias);
        }
    }
}

impl Iam {
    /// The account that has an alias, for whoever signs in with it.
    pub fn account_of_alias(&self, alias: &str) -> Option<AccountId> {
        let id = *self.across().ok()?.aliases.lock().get(alias)?;
        // One that is not durable yet is nobody's.
        let ledger = self.ledgers.get(id)?;
        let durable = ledger.for_deciding().settings.alias.as_deref() == Some(alias);
        durable.then_some(id)
    }
}

/// Twelve digits are an account's number: as another's alias they would mislead.
fn is_account_number(alias: &str) -> bool {
    alias.len() == 12 && alias.bytes().all(|b| b.is_ascii_digit())
}

pub(crate) async fn create_account_alias(
    iam: &Iam,
    call: Call<ops::CreateAccountAlias>,
) -> Result<Answer<Empty>, ServiceError> {
    let alias = call.input.account_alias.as_str();
    let id = call.account()?;
    let ledger = iam.ledger(id)?;
    let permit = call.allow(Resolved::any(id))?;
    if is_account_number(alias) {
        return Err(errors::validation("The account alias must not be an account's number."));
    }
    let now = call.now().seconds;
    let across = iam.across()?;
    let claimed = across.aliases.claim(alias, id)?;
    claim(&iam.alias_claims, alias, id, now).await?;
    let old = settings::change(&ledger, &permit, |settings| {
        // Another server may have given it to this very account.
        let has_it = settings.alias.as_deref() == Some(alias);
        Ok((!has_it).then(|| settings.alias.replace(alias.into())))
    })
    .await?;
    claimed.keep();
    let Some(old) = old else { return Err(errors::alias_exists(alias)) };
    if let Some(old) = old {
        across.aliases.release(&old);
        release(&iam.alias_claims, &old, now).await;
    }
    Ok(permit.answer(Empty::default()))
}

pub(crate) async fn delete_account_alias(
    iam: &Iam,
    call: Call<ops::DeleteAccountAlias>,
) -> Result<Answer<Empty>, ServiceError> {
    let alias = call.input.account_alias.as_str();
    let id = call.account()?;
    let ledger = iam.ledger(id)?;
    let permit = call.allow(Resolved::any(id))?;
    let across = iam.across()?;
    settings::change(&ledger, &permit, |settings| {
        if settings.alias.as_deref() != Some(alias) {
            return Err(errors::no_such_alias(alias));
        }
        settings.alias = None;
        Ok(())
    })
    .await?;
    across.aliases.release(alias);
    release(&iam.alias_claims, alias, call.now().seconds).await;
    Ok(permit.answer(Empty::default()))
}

pub(crate) async fn list_account_aliases(
    iam: &Iam,
    call: Call<ops::ListAccountAliases>,
) -> Result<Answer<ListAccountAliasesResponse>, ServiceError> {
    let id = call.account()?;
    let ledger = iam.ledger(id)?;
    let permit = call.allow(Resolved::any(id))?;
    let pager = iam.pager(&call, &[], call.input.marker.as_deref(), call.input.max_items)?;
    let alias = ledger.view(&permit).settings.alias.as_deref().map(str::to_owned);
    let page = pager.cut(alias.into_iter().map(|alias| (alias.clone(), alias)))?;
    Ok(permit.answer(ListAccountAliasesResponse {
        is_truncated: page.truncated(),
        account_aliases: page.items,
        marker: page.marker,
    }))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::records::Record;
    use crate::settings::Settings;
    use crate::testing::{ID, OTHER, iam_over, store};
    use std::sync::Arc;

    #[test]
    fn an_alias_is_claimed_once_and_free_again_when_it_was_not_kept() {
        let aliases = Aliases::default();
        let claim = aliases.claim("prod", ID).unwrap();
        for id in [ID, OTHER] {
            let refused = aliases.claim("prod", id).err().unwrap();
            assert_eq!(refused.message, "The account alias prod already exists.");
        }
        drop(claim);
        aliases.claim("prod", OTHER).unwrap().keep();
        assert!(aliases.claim("prod", ID).is_err());
        aliases.release("prod");
        assert!(aliases.claim("prod", ID).is_ok());
    }

    #[tokio::test]
    async fn another_server_that_has_heard_of_nothing_yet_gives_no_alias_twice() {
        let store = store();
        let claims = Transients::load(store.clone()).unwrap();
        claim(&claims, "prod", ID, 1000).await.unwrap();
        let elsewhere = Transients::load(store).unwrap();
        assert!(claim(&elsewhere, "prod", OTHER, 1001).await.is_err());
        claim(&elsewhere, "prod", ID, 1001).await.unwrap();
        release(&elsewhere, "prod", 1001).await;
        claim(&elsewhere, "prod", OTHER, 1001).await.unwrap();
        claim(&elsewhere, "prod", ID, 1001 + CLAIMED_FOR).await.unwrap();
    }

    #[tokio::test]
    async fn aliases_are_known_after_a_restart() {
        let store = store();
        let iam = iam_over(&store);
        iam.create_account(ID, "test").await.unwrap();
        let settings = Settings { alias: Some("prod".into()), ..Settings::default() };
        let ledger = iam.ledger(ID).unwrap();
        ledger
            .write_unasked(|_, batch| {
                batch.put(Record::Settings(Arc::new(settings.clone())));
                Ok(())
            })
            .await
            .unwrap();
        let claimed = iam.account_of_alias("prod");
        // Looked for when it was asked for first, and not again.
        assert_eq!(claimed, Some(ID));
        let again = iam_over(&store);
        assert_eq!(again.account_of_alias("prod"), Some(ID));
        assert_eq!(again.account_of_alias("prodx"), None);
        assert!(again.across().unwrap().aliases.claim("prod", OTHER).is_err());
        // A claim that is not durable is nobody's.
        let across = again.across().unwrap();
        let _claim = across.aliases.claim("test", OTHER).unwrap();
        assert_eq!(again.account_of_alias("test"), None);
    }

    #[test]
    fn an_alias_is_no_account_number() {
        assert!(is_account_number("123456789012"));
        assert!(!is_account_number("12345678901") && !is_account_number("12345678901a"));
    }
}
