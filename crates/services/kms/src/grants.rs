//! Grants: permissions on one key for one grantee, beside the key's policy.
//! <https://docs.aws.amazon.com/kms/latest/developerguide/grants.html>
//!
//! A grant counts at the very next call, with or without its token. A token is the grant's id, sealed:
//! whoever has it can name the grant, and no more.

use crate::arn::{KeyName, Name};
use crate::context::{Pairs, one_spelling};
use crate::records::{Grant, Kept, Party, Record};
use crate::resolve::{self, Allowed, By};
use crate::state::{Region, grant_key};
use crate::{Kms, errors, home, policy};
use ringfence_gateway::ids::uuid;
use ringfence_gateway::{Answer, Call, Regional, Resolved};
use ringfence_model_kms::operations as ops;
use ringfence_model_kms::types::{
    self, GrantConstraints, GrantListEntry, GrantOperation, KeyUsageType,
};
use ringfence_policy::document::PrincipalPattern;
use ringfence_policy::{AccountId, Arn, grant};
use ringfence_wire::value::{Empty, Map};
use ringfence_wire::{ServiceError, Timestamp, TypedOperation};
use std::collections::BTreeMap;
use std::sync::Arc;

/// Grants of a page where `Limit` is not given.
const PAGE: usize = 50;

/// What a token is bound to.
const TOKEN: &[&[u8]] = &[b"kms-grant-token"];

/// True where a service asks for somebody, which none does here.
const FOR_RESOURCE: &str = "kms:GrantIsForAWSResource";

/// Most bytes of a constraint.
const LONGEST_CONSTRAINT: usize = 8 * 1024;

/// Most pairs of a constraint, and characters of one's value.
/// <https://docs.aws.amazon.com/kms/latest/APIReference/API_CreateGrant.html>
const MOST_PAIRS: usize = 8;
const LONGEST_VALUE: usize = 384;

impl Party {
    /// As answers and condition keys carry it: in one spelling, whatever the request's was.
    fn shown(&self) -> String {
        match self {
            Self::Principal { arn, .. } => arn.to_string(),
            Self::Service(name) => name.to_string(),
        }
    }

    /// As it is decided on: whoever has been made anew under an old name is another.
    pub fn pattern(&self) -> PrincipalPattern {
        match self {
            Self::Principal { id: Some(id), .. } => PrincipalPattern::UniqueId(id.to_string()),
            Self::Principal { arn, id: None } => match account_of(arn) {
                Some(account) => PrincipalPattern::Account(account),
                None => PrincipalPattern::Arn(arn.to_string()),
            },
            Self::Service(name) => PrincipalPattern::Service(name.to_string()),
        }
    }
}

/// The account that an ARN of a root user, or a number, means.
fn account_of(text: &str) -> Option<AccountId> {
    if let Ok(account) = text.parse() {
        return Some(account);
    }
    let arn = Arn::parse(text).ok().filter(policy::is_global)?;
    (arn.service == "iam" && arn.resource == "root").then(|| arn.account_id()).flatten()
}

impl Grant {
    /// Whether it is for an action.
    pub fn lets(&self, action: &str) -> bool {
        let operation = action.strip_prefix("kms:").unwrap_or(action);
        self.operations.iter().any(|granted| granted.as_str() == operation)
    }

    /// The account whose principal it is for; `None` where it is for a service.
    pub fn grantee_account(&self) -> Option<AccountId> {
        match &self.grantee {
            Party::Principal { arn, .. } => Arn::parse(arn).ok()?.account_id(),
            Party::Service(_) => None,
        }
    }

    /// As it is decided on.
    pub fn decided(&self) -> grant::Grant {
        grant::Grant {
            grantee: self.grantee.pattern(),
            operations: self.operations.iter().map(|one| one.as_str().to_owned()).collect(),
            encryption_context: self.constraint.as_ref().map(Kept::constraint),
            source_arn: self.source_arn.as_ref().map(ToString::to_string),
        }
    }
}

impl Kms {
    /// Checks the tokens that a request names grants by. They need not be there any longer.
    ///
    /// # Errors
    /// `InvalidGrantTokenException` for what is no token.
    pub(crate) fn check_tokens<O: TypedOperation>(
        &self,
        _: &Call<O>,
        tokens: Option<&[String]>,
    ) -> Result<(), ServiceError> {
        tokens.unwrap_or_default().iter().try_for_each(|token| self.open_token(token).map(drop))
    }

    fn seal_token(&self, home: &Regional, grant: &str) -> Result<String, ServiceError> {
        let text = format!("{home} {grant}");
        self.tokens.seal_text(TOKEN, text.as_bytes()).map_err(errors::failed)
    }

    /// Where the grant of a token is, and its id.
    fn open_token(&self, token: &str) -> Result<(Regional, String), ServiceError> {
        let read = || {
            let text = self.tokens.open_text(TOKEN, token).ok()?;
            let (home, id) = std::str::from_utf8(&text).ok()?.split_once(' ')?;
            Some((home.parse().ok()?, id.to_owned()))
        };
        read().ok_or_else(errors::bad_grant_token)
    }

    /// Who a request names.
    fn party<O: TypedOperation>(
        call: &Call<O>,
        principal: Option<&str>,
        service: Option<&str>,
    ) -> Result<Option<Party>, ServiceError> {
        match (principal, service) {
            (Some(_), Some(_)) => Err(errors::validation(
                "You can specify a principal or a service principal, but not both.",
            )),
            (None, None) => Ok(None),
            (None, Some(service)) => Ok(Some(Party::Service(service.into()))),
            (Some(text), None) => {
                let directory = &*call.shared().directory;
                if let Some(account) = account_of(text) {
                    if !directory.account_exists(account) {
                        return Err(errors::invalid_arn(text));
                    }
                    let arn = account.root_arn().into();
                    return Ok(Some(Party::Principal { arn, id: None }));
                }
                let id = directory.principal_id(text);
                if id.is_none() && !policy::names_session(text, directory) {
                    return Err(errors::invalid_arn(text));
                }
                Ok(Some(Party::Principal { arn: text.into(), id: id.map(Into::into) }))
            }
        }
    }
}

/// The principal that a condition key is about: as it was understood, and where it was not, as it is
/// spelled, since the call is refused in any case.
fn principal(party: &Result<Option<Party>, ServiceError>, text: Option<&str>) -> Option<String> {
    match party {
        Ok(Some(party @ Party::Principal { .. })) => Some(party.shown()),
        Ok(_) => None,
        Err(_) => text.map(ToOwned::to_owned),
    }
}

fn pairs(map: Option<&Map<String>>) -> Option<grant::EncryptionContext> {
    let map = map.filter(|map| !map.is_empty())?;
    Some(map.iter().map(|(name, value)| (name.to_owned(), value.to_owned())).collect())
}

fn constraint(given: Option<&GrantConstraints>) -> Result<Option<Kept>, ServiceError> {
    let Some(given) = given else { return Ok(None) };
    let equals = pairs(given.encryption_context_equals.as_ref()).map(Kept::Equals);
    let subset = pairs(given.encryption_context_subset.as_ref()).map(Kept::Subset);
    let kept = match (equals, subset) {
        (Some(_), Some(_)) => {
            return Err(errors::validation(
                "A grant has one encryption context constraint at most.",
            ));
        }
        (one, other) => one.or(other),
    };
    let length = kept
        .as_ref()
        .map_or(0, |kept| kept.pairs().iter().map(|(name, value)| name.len() + value.len()).sum());
    if length > LONGEST_CONSTRAINT {
        return Err(errors::validation("The encryption context constraint is too long."));
    }
    if let Some(pairs) = kept.as_ref().map(Kept::pairs) {
        if pairs.len() > MOST_PAIRS {
            return Err(errors::validation(format!(
                "An encryption context constraint has at most {MOST_PAIRS} pairs."
            )));
        }
        if pairs.values().any(|value| value.chars().count() > LONGEST_VALUE) {
            return Err(errors::validation(format!(
                "A value of an encryption context constraint has at most {LONGEST_VALUE} characters."
            )));
        }
        one_spelling(pairs)?;
    }
    Ok(kept)
}

/// Whether a key of a usage can do what a grant is for.
fn fits(usage: &KeyUsageType, operation: &GrantOperation) -> bool {
    use GrantOperation as G;
    match operation {
        G::CreateGrant | G::RetireGrant | G::DescribeKey => true,
        G::GetPublicKey => !matches!(usage, KeyUsageType::GenerateVerifyMac),
        G::Encrypt
        | G::Decrypt
        | G::GenerateDataKey
        | G::GenerateDataKeyWithoutPlaintext
        | G::GenerateDataKeyPair
        | G::GenerateDataKeyPairWithoutPlaintext
        | G::ReEncryptFrom
        | G::ReEncryptTo => *usage == KeyUsageType::EncryptDecrypt,
        G::Sign | G::Verify => *usage == KeyUsageType::SignVerify,
        G::GenerateMac | G::VerifyMac => *usage == KeyUsageType::GenerateVerifyMac,
        G::DeriveSharedSecret => *usage == KeyUsageType::KeyAgreement,
        G::Encapsulate | G::Decapsulate => *usage == KeyUsageType::EncapsulateDecapsulate,
        _ => false,
    }
}

pub(crate) async fn create_grant(
    kms: &Kms,
    call: Call<ops::CreateGrant>,
) -> Result<Answer<types::CreateGrantResponse>, ServiceError> {
    let input = &call.input;
    kms.check_tokens(&call, input.grant_tokens.as_deref())?;
    let kept = constraint(input.constraints.as_ref())?;
    let source_arn = input.constraints.as_ref().and_then(|all| all.source_arn.as_deref());
    // An empty map is no constraint, and has no type.
    // https://docs.aws.amazon.com/access-analyzer/latest/APIReference/API_KmsGrantConstraints.html
    let kind = kept.as_ref().map(Kept::kind);
    let operations: Vec<_> = input.operations.iter().map(|one| one.as_str().to_owned()).collect();
    let pairs = kept.as_ref().map(|kept| Pairs::of(kept.pairs().clone())).unwrap_or_default();
    // Who may by grants alone gives no more than one of them gives.
    // https://docs.aws.amazon.com/kms/latest/developerguide/create-grant-overview.html#grant-creategrant
    let asked = grant::Grant {
        grantee: PrincipalPattern::Anyone,
        operations: operations.clone(),
        encryption_context: kept.as_ref().map(Kept::constraint),
        source_arn: source_arn.map(ToOwned::to_owned),
    };
    let by_arn = input.grantee_principal.as_deref();
    let grantee = Kms::party(&call, by_arn, input.grantee_service_principal.as_deref());
    let retirer = input.retiring_principal.as_deref();
    let retiring = Kms::party(&call, retirer, input.retiring_service_principal.as_deref());
    let allowed = kms.allow(&call, &input.key_id, By::Id, |found| {
        pairs
            .told(found.only_grants(|parent| parent.covers(&asked)))
            .keys("kms:GrantOperations", operations)
            .key_if("kms:GranteeServicePrincipal", input.grantee_service_principal.as_deref())
            .key_if("kms:RetiringServicePrincipal", input.retiring_service_principal.as_deref())
            .key_if("kms:GrantConstraintSourceArn", source_arn)
            .key_if("kms:GranteePrincipal", principal(&grantee, by_arn))
            .key_if("kms:RetiringPrincipal", principal(&retiring, retirer))
            .key_if("kms:GrantConstraintType", kind)
            .key(FOR_RESOURCE, call.facts().via.is_some().to_string())
    })?;
    let key = allowed.enabled()?;
    let grantee = grantee?.ok_or_else(|| {
        errors::validation("You must specify a grantee principal or a grantee service principal.")
    })?;
    let retiring = retiring?;
    if matches!(grantee, Party::Service(_)) && (source_arn.is_none() || retiring.is_none()) {
        return Err(errors::validation(
            "A grant for a service principal needs a SourceArn constraint and a retiring principal.",
        ));
    }
    if input.operations.is_empty() {
        return Err(errors::validation("A grant is for one operation at least."));
    }
    if let Some(unfit) = input.operations.iter().find(|one| !fits(&key.usage, one)) {
        return Err(errors::validation(format!(
            "Operation {} is not valid for a key with usage {}.",
            unfit.as_str(),
            key.usage.as_str()
        )));
    }
    if kept.is_some() && key.spec != ringfence_keyring::material::Spec::SymmetricDefault {
        return Err(errors::validation(
            "Encryption context constraints are not supported on keys that take no encryption context.",
        ));
    }
    allowed.not_dry(input.dry_run)?;
    let id = uuid(&*call.shared().random).map_err(errors::failed)?.replace('-', "");
    let new = Arc::new(Grant {
        id: format!("{id}{id}").into(),
        key: key.id.clone(),
        name: input.name.as_deref().map(Into::into),
        created: call.now().seconds,
        issuer: call.account()?.root_arn().into(),
        grantee,
        retiring,
        operations: input.operations.clone(),
        constraint: kept,
        source_arn: source_arn.map(Into::into),
    });
    let id = allowed
        .write(|region, batch| {
            let key = allowed.now(region)?;
            // The same grant by the same name is the grant that is there.
            let same =
                region.grants_of(&key.id).find(|old| new.name.is_some() && is_same(old, &new));
            if let Some(old) = same {
                return Ok(old.id.clone());
            }
            if region.grants_count(&key.id) >= kms.quotas.grants_per_key {
                return Err(errors::over_quota("Too many grants on this key."));
            }
            batch.put(Record::Grant(new.clone()));
            Ok(new.id.clone())
        })
        .await?;
    Ok(allowed.permit.answer(types::CreateGrantResponse {
        grant_token: Some(kms.seal_token(&allowed.home, &id)?),
        grant_id: Some(id.to_string()),
    }))
}

fn is_same(old: &Grant, new: &Grant) -> bool {
    (&old.name, &old.grantee, &old.retiring, &old.operations, &old.constraint, &old.source_arn)
        == (
            &new.name,
            &new.grantee,
            &new.retiring,
            &new.operations,
            &new.constraint,
            &new.source_arn,
        )
}

/// A grant as answers carry it.
fn describe(grant: &Grant, home: &Regional) -> GrantListEntry {
    let of = |party: &Party, service: bool| {
        (matches!(party, Party::Service(_)) == service).then(|| party.shown())
    };
    let retiring = grant.retiring.as_ref();
    let map = |pairs: &grant::EncryptionContext| {
        Some(pairs.iter().map(|(name, value)| (name.clone(), value.clone())).collect())
    };
    let constraints =
        (grant.constraint.is_some() || grant.source_arn.is_some()).then(|| GrantConstraints {
            encryption_context_equals: match &grant.constraint {
                Some(Kept::Equals(pairs)) => map(pairs),
                _ => None,
            },
            encryption_context_subset: match &grant.constraint {
                Some(Kept::Subset(pairs)) => map(pairs),
                _ => None,
            },
            source_arn: grant.source_arn.as_ref().map(ToString::to_string),
        });
    GrantListEntry {
        key_id: Some(crate::arn::key_arn(home, &grant.key)),
        grant_id: Some(grant.id.to_string()),
        name: Some(grant.name.as_deref().unwrap_or_default().to_owned()),
        creation_date: Some(Timestamp::from_seconds(grant.created)),
        grantee_principal: Some(grant.grantee.shown()),
        retiring_principal: retiring.and_then(|party| of(party, false)),
        issuing_account: Some(grant.issuer.to_string()),
        operations: Some(grant.operations.clone()),
        constraints,
        grantee_service_principal: of(&grant.grantee, true),
        retiring_service_principal: retiring.and_then(|party| of(party, true)),
    }
}

pub(crate) async fn list_grants(
    kms: &Kms,
    call: Call<ops::ListGrants>,
) -> Result<Answer<types::ListGrantsResponse>, ServiceError> {
    let input = &call.input;
    let allowed = kms.allow(&call, &input.key_id, By::Id, |found| {
        found.key(FOR_RESOURCE, call.facts().via.is_some().to_string())
    })?;
    let key = allowed.found()?;
    let principal =
        input.grantee_principal.as_deref().or(input.grantee_service_principal.as_deref());
    let narrowed = [&*key.id, input.grant_id.as_deref().unwrap_or(""), principal.unwrap_or("")];
    let pager = kms.pager(&call, &narrowed, input.marker.as_deref(), input.limit, PAGE)?;
    let region = allowed.view();
    let wanted = |one: &&Arc<Grant>| {
        input.grant_id.as_deref().is_none_or(|id| *one.id == *id)
            && principal.is_none_or(|who| one.grantee.shown() == who)
    };
    let grants = region.grants_of(&key.id).filter(wanted);
    let page =
        pager.cut(grants.map(|one| (&*one.id, one)))?.map(|one| describe(one, &allowed.home));
    Ok(allowed.permit.answer(types::ListGrantsResponse {
        truncated: page.truncated(),
        grants: Some(page.items),
        next_marker: page.marker,
    }))
}

pub(crate) async fn list_retirable_grants(
    kms: &Kms,
    call: Call<ops::ListRetirableGrants>,
) -> Result<Answer<types::ListGrantsResponse>, ServiceError> {
    let input = &call.input;
    let home = home(&call)?;
    let permit =
        call.allow(resolve::asking(Resolved::any(home.account), home.account, call.facts()))?;
    let who = input.retiring_principal.as_deref().or(input.retiring_service_principal.as_deref());
    let who = who.ok_or_else(|| errors::validation("You must specify a retiring principal."))?;
    let pager = kms.pager(&call, &[who], input.marker.as_deref(), input.limit, PAGE)?;
    // Those of keys of other accounts, too, where the principal is the caller's own.
    // https://docs.aws.amazon.com/kms/latest/APIReference/API_ListRetirableGrants.html
    let of_own = input.retiring_principal.is_some()
        && Arn::parse(who).is_ok_and(|arn| arn.account_id() == Some(home.account));
    let areas = kms.ledgers.areas().into_iter();
    let areas =
        areas.filter(|area| area.region == home.region && (of_own || area.account == home.account));
    let mut grants = BTreeMap::new();
    for area in areas {
        let region = kms.ledgers.get(&area).map(|ledger| ledger.view(&permit)).unwrap_or_default();
        let own = region.retirable_by(who);
        grants.extend(own.map(|one| (one.id.clone(), describe(one, &area))));
    }
    let page = pager.cut(grants.into_iter())?;
    Ok(permit.answer(types::ListGrantsResponse {
        truncated: page.truncated(),
        grants: Some(page.items),
        next_marker: page.marker,
    }))
}

/// Whether a key has this grant.
fn is_on(region: &Region, id: &str, key: &str) -> bool {
    region.grants.get(id).is_some_and(|grant| *grant.key == *key)
}

/// Takes a grant away.
async fn remove(allowed: &Allowed, id: &str) -> Result<(), ServiceError> {
    let key = allowed.found()?.id.clone();
    allowed
        .write(|region, batch| {
            if !is_on(region, id, &key) {
                return Err(errors::no_such_grant(id));
            }
            batch.delete(grant_key(id));
            Ok(())
        })
        .await
}

pub(crate) async fn revoke_grant(
    kms: &Kms,
    call: Call<ops::RevokeGrant>,
) -> Result<Answer<Empty>, ServiceError> {
    let input = &call.input;
    let allowed = kms.allow(&call, &input.key_id, By::Id, |found| {
        found.key(FOR_RESOURCE, call.facts().via.is_some().to_string())
    })?;
    let key = allowed.found()?;
    if !is_on(&allowed.view(), &input.grant_id, &key.id) {
        return Err(errors::no_such_grant(&input.grant_id));
    }
    allowed.not_dry(input.dry_run)?;
    remove(&allowed, &input.grant_id).await?;
    Ok(allowed.permit.answer(Empty::default()))
}

/// Who may retire a grant: its retiring principal, its grantee where it grants that, and the account
/// of its key, which alone hears that there is none.
/// <https://docs.aws.amazon.com/kms/latest/APIReference/API_RetireGrant.html>
fn retirable(region: &Region, home: &Regional, id: &str) -> Vec<grant::Grant> {
    let retires = |grantee| grant::Grant {
        grantee,
        operations: vec!["RetireGrant".to_owned()],
        encryption_context: None,
        source_arn: None,
    };
    let mut may = vec![retires(PrincipalPattern::Account(home.account))];
    if let Some(own) = region.grants.get(id) {
        may.push(own.decided());
        may.extend(own.retiring.as_ref().map(|party| retires(party.pattern())));
    }
    may
}

pub(crate) async fn retire_grant(
    kms: &Kms,
    call: Call<ops::RetireGrant>,
) -> Result<Answer<Empty>, ServiceError> {
    let input = &call.input;
    let (home, key, id) = match (&input.grant_token, &input.key_id, &input.grant_id) {
        (Some(token), None, None) => {
            let (home, id) = kms.open_token(token)?;
            (home, None, id)
        }
        (None, Some(key), Some(id)) => {
            let named = KeyName::parse(key, &home(&call)?)?;
            let Name::Key(key) = named.name else { return Err(errors::invalid_key_id(key)) };
            (named.home, Some(key), id.clone())
        }
        _ => {
            return Err(errors::validation(
                "Specify either a grant token, or a key ARN and a grant ID.",
            ));
        }
    };
    let caller = call.account()?;
    let asker = (caller, "kms:RetireGrant");
    let region = kms.ledgers.get(&home);
    let of = |region: &Region| {
        let own = region.grants.get(id.as_str());
        let own = own.filter(|own| key.as_deref().is_none_or(|key| *own.key == *key));
        let may = retirable(region, &home, own.map_or("", |own| &*own.id));
        let id = own.map(|own| own.key.to_string()).or_else(|| key.clone());
        let resolved = match id {
            Some(id) => {
                let named = KeyName { home: home.clone(), name: Name::Key(id) };
                let key = resolve::find(region, &named.name);
                let found = resolve::describe(region, &named, key, asker, None, call.facts());
                found.of(own.cloned())
            }
            None => {
                let any = Resolved::new(crate::arn::key_arn(&home, "*"), home.account, None);
                resolve::asking(any, caller, call.facts())
            }
        };
        let kept = own.and_then(|own| own.constraint.as_ref());
        let pairs = kept.map(|kept| Pairs::of(kept.pairs().clone())).unwrap_or_default();
        // The key's policy and its other grants have no say here.
        pairs
            .told(resolved)
            .key_if("kms:GrantConstraintType", kept.map(Kept::kind))
            .key_policy(Arc::new(policy::of_nobody()))
            .grants(may, None)
    };
    let resolved = match &region {
        Some(ledger) => ledger.resolve(of),
        None => of(&Region::default()),
    };
    let permit = call.allow(resolved)?;
    let (Some(own), Some(ledger)) = (permit.as_ref(), &region) else {
        return Err(errors::no_such_grant(&id));
    };
    if input.dry_run == Some(true) {
        return Err(errors::would_succeed());
    }
    ledger
        .write(&permit, |region, batch| {
            if !region.grants.contains_key(&own.id) {
                return Err(errors::no_such_grant(&id));
            }
            batch.delete(grant_key(&id));
            Ok(())
        })
        .await?;
    Ok(permit.answer(Empty::default()))
}
