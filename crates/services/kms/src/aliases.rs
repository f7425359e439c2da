//! Aliases: further names of keys.
//! <https://docs.aws.amazon.com/kms/latest/developerguide/kms-alias.html>

use crate::arn::{ALIAS, KeyName, Name, alias_arn};
use crate::records::{Alias, Record};
use crate::resolve::{self, By};
use crate::state::alias_key;
use crate::{Kms, errors, home};
use ringfence_gateway::{Answer, Call, Resolved};
use ringfence_model_kms::operations as ops;
use ringfence_model_kms::types;
use ringfence_wire::value::Empty;
use ringfence_wire::{ServiceError, Timestamp, TypedOperation};
use std::sync::Arc;

/// Aliases of a page where `Limit` is not given.
const PAGE: usize = 50;

/// Names that are AWS's own.
const RESERVED: &str = "alias/aws/";

fn check_name(name: &str) -> Result<(), ServiceError> {
    if !name.starts_with(ALIAS) {
        return Err(errors::bad_alias_prefix());
    }
    if name.starts_with(RESERVED) {
        return Err(errors::reserved_alias());
    }
    // The model's pattern lets colons through.
    // https://docs.aws.amazon.com/kms/latest/APIReference/API_CreateAlias.html
    if name.contains(':') {
        return Err(errors::bad_alias(name));
    }
    Ok(())
}

/// The alias itself, which every change of it is asked for, beside the key.
fn resolved<O: TypedOperation>(call: &Call<O>, name: &str) -> Result<Resolved<()>, ServiceError> {
    let home = home(call)?;
    let resolved = Resolved::new(alias_arn(&home, name), home.account, ());
    Ok(resolve::asking(resolved, home.account, call.facts()))
}

pub(crate) async fn create_alias(
    kms: &Kms,
    call: Call<ops::CreateAlias>,
) -> Result<Answer<Empty>, ServiceError> {
    let input = &call.input;
    check_name(&input.alias_name)?;
    if input.alias_name == ALIAS {
        return Err(errors::no_alias_name());
    }
    call.allow(resolved(&call, &input.alias_name)?)?;
    let allowed = kms.allow(&call, &input.target_key_id, By::Id, |found| found)?;
    let home = home(&call)?;
    allowed.of_own_account(home.account)?;
    let at = call.now().seconds;
    allowed
        .write(|region, batch| {
            let key = allowed.now(region)?;
            key.living(&allowed.home)?;
            if region.aliases.contains_key(input.alias_name.as_str()) {
                return Err(errors::alias_exists(&alias_arn(&home, &input.alias_name)));
            }
            if region.aliases_of(&key.id).count() >= kms.quotas.aliases_per_key {
                return Err(errors::over_quota("Too many aliases for this key."));
            }
            let target = Some(key.id.clone());
            let name = input.alias_name.as_str().into();
            batch.put(Record::Alias(Arc::new(Alias { name, target, created: at, updated: at })));
            Ok(())
        })
        .await?;
    Ok(allowed.permit.answer(Empty::default()))
}

pub(crate) async fn update_alias(
    kms: &Kms,
    call: Call<ops::UpdateAlias>,
) -> Result<Answer<Empty>, ServiceError> {
    let input = &call.input;
    check_name(&input.alias_name)?;
    call.allow(resolved(&call, &input.alias_name)?)?;
    // The alias's present key, then the one that it is to name.
    let before = kms.allow(&call, &input.alias_name, By::IdOrAlias, |found| found)?;
    let allowed = kms.allow(&call, &input.target_key_id, By::Id, |found| found)?;
    let home = home(&call)?;
    allowed.of_own_account(home.account)?;
    before.found()?;
    let at = call.now().seconds;
    allowed
        .write(|region, batch| {
            let key = allowed.now(region)?;
            key.living(&allowed.home)?;
            let there = region.aliases.get(input.alias_name.as_str());
            let alias =
                there.ok_or_else(|| errors::no_such_alias(&alias_arn(&home, &input.alias_name)))?;
            let old = alias.target.as_ref().and_then(|id| region.keys.get(id));
            if old.is_some_and(|old| old.spec != key.spec || old.usage != key.usage) {
                return Err(errors::validation(
                    "Alias must be associated with a key of the same type and usage.",
                ));
            }
            let more = region.aliases_of(&key.id).filter(|name| **name != alias.name).count();
            if more >= kms.quotas.aliases_per_key {
                return Err(errors::over_quota("Too many aliases for this key."));
            }
            let target = Some(key.id.clone());
            batch.put(Record::Alias(Arc::new(Alias {
                target,
                updated: at,
                ..Alias::clone(alias)
            })));
            Ok(())
        })
        .await?;
    Ok(allowed.permit.answer(Empty::default()))
}

pub(crate) async fn delete_alias(
    kms: &Kms,
    call: Call<ops::DeleteAlias>,
) -> Result<Answer<Empty>, ServiceError> {
    let input = &call.input;
    check_name(&input.alias_name)?;
    let permit = call.allow(resolved(&call, &input.alias_name)?)?;
    kms.allow(&call, &input.alias_name, By::IdOrAlias, |found| found)?;
    let home = home(&call)?;
    kms.own(&call)?
        .write(&permit, |region, batch| {
            if !region.aliases.contains_key(input.alias_name.as_str()) {
                return Err(errors::no_such_alias(&alias_arn(&home, &input.alias_name)));
            }
            batch.delete(alias_key(&input.alias_name));
            Ok(())
        })
        .await?;
    Ok(permit.answer(Empty::default()))
}

pub(crate) async fn list_aliases(
    kms: &Kms,
    call: Call<ops::ListAliases>,
) -> Result<Answer<types::ListAliasesResponse>, ServiceError> {
    let input = &call.input;
    let home = home(&call)?;
    let permit =
        call.allow(resolve::asking(Resolved::any(home.account), home.account, call.facts()))?;
    let region = kms.view(&call, &permit)?;
    let of = match &input.key_id {
        None => None,
        Some(text) => {
            let named = KeyName::parse(text, &home)?;
            let Name::Key(id) = &named.name else {
                return Err(errors::invalid_key_id(text));
            };
            // Aliases are the account's own, and so are the keys that it may ask about.
            if named.home != home || !region.keys.contains_key(id.as_str()) {
                return Err(errors::no_such_key(&named.arn()));
            }
            Some(id.clone())
        }
    };
    let narrowed = of.as_deref().unwrap_or_default();
    let pager = kms.pager(&call, &[narrowed], input.marker.as_deref(), input.limit, PAGE)?;
    let wanted = |alias: &Alias| of.is_none() || alias.target.as_deref() == of.as_deref();
    let page =
        pager.cut(pager.of(&region.aliases).filter(|(_, alias)| wanted(alias)))?.map(|alias| {
            types::AliasListEntry {
                alias_name: Some(alias.name.to_string()),
                alias_arn: Some(alias_arn(&home, &alias.name)),
                target_key_id: alias.target.as_ref().map(ToString::to_string),
                creation_date: Some(Timestamp::from_seconds(alias.created)),
                last_updated_date: Some(Timestamp::from_seconds(alias.updated)),
            }
        });
    Ok(permit.answer(types::ListAliasesResponse {
        truncated: page.truncated(),
        aliases: Some(page.items),
        next_marker: page.marker,
    }))
}
