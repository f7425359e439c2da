//! Tags of keys.
//! <https://docs.aws.amazon.com/kms/latest/developerguide/tagging-keys.html>

use crate::resolve::By;
use crate::{Kms, errors};
use ringfence_gateway::{Answer, Call, Tags};
use ringfence_model_kms::operations as ops;
use ringfence_model_kms::types::{self, Tag};
use ringfence_wire::ServiceError;
use ringfence_wire::value::Empty;
use std::sync::Arc;

/// Tags of a page where `Limit` is not given.
const PAGE: usize = 50;

/// Tags as pairs.
pub(crate) fn pairs(tags: &[Tag]) -> impl Iterator<Item = (&str, &str)> {
    tags.iter().map(|tag| (tag.tag_key.as_str(), tag.tag_value.as_str()))
}

fn not_reserved(tag_key: &str) -> Result<(), ServiceError> {
    if tag_key.get(..4).is_some_and(|prefix| prefix.eq_ignore_ascii_case("aws:")) {
        return Err(errors::bad_tags("Tags beginning with aws: are reserved"));
    }
    Ok(())
}

/// The tags that a key has after these are set. Their keys are told apart by case.
///
/// # Errors
/// `TagException` for a key given twice or reserved for AWS, `LimitExceededException`.
pub(crate) fn with(had: &Tags, given: &[Tag], limit: usize) -> Result<Tags, ServiceError> {
    let mut tags = had.clone();
    for (at, tag) in given.iter().enumerate() {
        if given[..at].iter().any(|other| other.tag_key == tag.tag_key) {
            return Err(errors::bad_tags("Duplicate tag keys"));
        }
        not_reserved(&tag.tag_key)?;
        tags.insert(tag.tag_key.clone(), tag.tag_value.clone());
    }
    if tags.len() > limit {
        return Err(errors::over_quota("Too many tags"));
    }
    Ok(tags)
}

pub(crate) async fn tag_resource(
    kms: &Kms,
    call: Call<ops::TagResource>,
) -> Result<Answer<Empty>, ServiceError> {
    let input = &call.input;
    let allowed =
        kms.allow(&call, &input.key_id, By::Id, |found| found.requesting_tags(pairs(&input.tags)))?;
    allowed.of_own_account(call.account()?)?;
    allowed
        .change(|_, key| {
            key.living(&allowed.home)?;
            key.tags = Arc::new(with(&key.tags, &input.tags, kms.quotas.tags)?);
            Ok(true)
        })
        .await?;
    Ok(allowed.permit.answer(Empty::default()))
}

pub(crate) async fn untag_resource(
    kms: &Kms,
    call: Call<ops::UntagResource>,
) -> Result<Answer<Empty>, ServiceError> {
    let input = &call.input;
    let allowed = kms
        .allow(&call, &input.key_id, By::Id, |found| found.requesting_tag_keys(&input.tag_keys))?;
    allowed.of_own_account(call.account()?)?;
    input.tag_keys.iter().try_for_each(|key| not_reserved(key))?;
    allowed
        .change(|_, key| {
            key.living(&allowed.home)?;
            let mut tags = Tags::clone(&key.tags);
            tags.retain(|name, _| !input.tag_keys.contains(name));
            let changed = tags.len() != key.tags.len();
            key.tags = Arc::new(tags);
            Ok(changed)
        })
        .await?;
    Ok(allowed.permit.answer(Empty::default()))
}

pub(crate) async fn list_resource_tags(
    kms: &Kms,
    call: Call<ops::ListResourceTags>,
) -> Result<Answer<types::ListResourceTagsResponse>, ServiceError> {
    let input = &call.input;
    let allowed = kms.allow(&call, &input.key_id, By::Id, |found| found)?;
    allowed.of_own_account(call.account()?)?;
    let key = allowed.found()?;
    let pager = kms.pager(&call, &[&key.id], input.marker.as_deref(), input.limit, PAGE)?;
    let tags = key.tags.iter().map(|(name, value)| {
        (name.as_str(), Tag { tag_key: name.clone(), tag_value: value.clone() })
    });
    let page = pager.cut(tags)?;
    Ok(allowed.permit.answer(types::ListResourceTagsResponse {
        truncated: page.truncated(),
        tags: Some(page.items),
        next_marker: page.marker,
    }))
}
