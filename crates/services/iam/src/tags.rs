//! Tags of users, roles, managed policies, instance profiles and server certificates.
//! <https://docs.aws.amazon.com/IAM/latest/UserGuide/id_tags.html>

use crate::entity::{Allowed, Tagged};
use crate::errors;
use crate::key_records::ServerCertificate;
use crate::pages::Page;
use crate::records::{Profile, Role, User, shared_tags};
use crate::{Iam, managed_policies};
use ringfence_gateway::{Answer, Call, Tags};
use ringfence_model_iam::operations as ops;
use ringfence_model_iam::types::{
    ListInstanceProfileTagsResponse, ListPolicyTagsResponse, ListRoleTagsResponse,
    ListServerCertificateTagsResponse, ListUserTagsResponse, Tag,
};
use ringfence_wire::value::Empty;
use ringfence_wire::{ServiceError, TypedOperation};

/// Tags as pairs.
pub(crate) fn pairs(tags: &[Tag]) -> impl Iterator<Item = (&str, &str)> {
    tags.iter().map(|tag| (tag.key.as_str(), tag.value.as_str()))
}

/// Tags as answers carry them, by key.
pub(crate) fn listed(tags: &Tags) -> Vec<Tag> {
    let tag = |(key, value): (&String, &String)| Tag { key: key.clone(), value: value.clone() };
    tags.iter().map(tag).collect()
}

/// Tags as answers carry them that leave out an empty list.
pub(crate) fn listed_if_any(tags: &Tags) -> Option<Vec<Tag>> {
    (!tags.is_empty()).then(|| listed(tags))
}

fn same(a: &str, b: &str, folded: bool) -> bool {
    if folded { a.to_lowercase() == b.to_lowercase() } else { a == b }
}

/// The tags that something has after these are set.
///
/// # Errors
/// `InvalidInput` for a key given twice or reserved for AWS, `LimitExceeded`.
pub(crate) fn with(
    had: &Tags,
    given: &[Tag],
    folded: bool,
    limit: usize,
) -> Result<Tags, ServiceError> {
    let mut tags = had.clone();
    for (at, tag) in given.iter().enumerate() {
        if given[..at].iter().any(|other| same(&other.key, &tag.key, folded)) {
            return Err(errors::duplicate_tags(folded));
        }
        if tag.key.get(..4).is_some_and(|prefix| prefix.eq_ignore_ascii_case("aws:")) {
            return Err(errors::reserved_tag());
        }
        tags.retain(|key, _| !same(key, &tag.key, folded));
        tags.insert(tag.key.clone(), tag.value.clone());
    }
    if tags.len() > limit {
        return Err(errors::too_many_tags(limit));
    }
    Ok(tags)
}

pub(crate) async fn tag<E: Tagged>(
    iam: &Iam,
    allowed: &Allowed<E>,
    given: &[Tag],
) -> Result<Answer<Empty>, ServiceError> {
    // Service-linked roles are tagged like others.
    allowed
        .change_any(|_, entity| {
            let tags = with(entity.tags_mut(), given, E::FOLDED, iam.quotas.tags)?;
            *entity.tags_mut() = shared_tags(tags);
            Ok(true)
        })
        .await?;
    Ok(allowed.permit.answer(Empty::default()))
}

pub(crate) async fn untag<E: Tagged>(
    allowed: &Allowed<E>,
    keys: &[String],
) -> Result<Answer<Empty>, ServiceError> {
    allowed
        .change_any(|_, entity| {
            let mut tags = Tags::clone(entity.tags_mut());
            tags.retain(|key, _| !keys.iter().any(|given| same(key, given, E::FOLDED)));
            let changed = tags.len() != entity.tags_mut().len();
            *entity.tags_mut() = shared_tags(tags);
            Ok(changed)
        })
        .await?;
    Ok(allowed.permit.answer(Empty::default()))
}

pub(crate) fn list<E: Tagged, O: TypedOperation>(
    iam: &Iam,
    call: &Call<O>,
    allowed: &Allowed<E>,
    marker: Option<&str>,
    max_items: Option<i32>,
) -> Result<Page<Tag>, ServiceError> {
    let entity = allowed.found()?;
    let pager = iam.pager(call, &[entity.id()], marker, max_items)?;
    let tags = entity.tags().map(|tags| listed(tags)).unwrap_or_default();
    pager.cut(tags.into_iter().map(|tag| (tag.key.clone(), tag)))
}

macro_rules! by_name {
    ($tag:ident, $untag:ident, $list:ident, $Tag:ident, $Untag:ident, $List:ident,
     $Response:ident, $Entity:ident, $name:ident) => {
        pub(crate) async fn $tag(
            iam: &Iam,
            call: Call<ops::$Tag>,
        ) -> Result<Answer<Empty>, ServiceError> {
            let allowed = iam.allow_with::<$Entity, _>(&call, &call.input.$name, |resolved| {
                resolved.requesting_tags(pairs(&call.input.tags))
            })?;
            tag(iam, &allowed, &call.input.tags).await
        }

        pub(crate) async fn $untag(
            iam: &Iam,
            call: Call<ops::$Untag>,
        ) -> Result<Answer<Empty>, ServiceError> {
            let allowed = iam.allow_with::<$Entity, _>(&call, &call.input.$name, |resolved| {
                resolved.requesting_tag_keys(&call.input.tag_keys)
            })?;
            untag(&allowed, &call.input.tag_keys).await
        }

        pub(crate) async fn $list(
            iam: &Iam,
            call: Call<ops::$List>,
        ) -> Result<Answer<$Response>, ServiceError> {
            let allowed = iam.allow::<$Entity, _>(&call, &call.input.$name)?;
            let (marker, max) = (call.input.marker.as_deref(), call.input.max_items);
            let page = list(iam, &call, &allowed, marker, max)?;
            Ok(allowed.permit.answer($Response {
                is_truncated: page.truncated(),
                tags: page.items,
                marker: page.marker,
            }))
        }
    };
}

by_name!(
    tag_user,
    untag_user,
    list_user_tags,
    TagUser,
    UntagUser,
    ListUserTags,
    ListUserTagsResponse,
    User,
    user_name
);
by_name!(
    tag_role,
    untag_role,
    list_role_tags,
    TagRole,
    UntagRole,
    ListRoleTags,
    ListRoleTagsResponse,
    Role,
    role_name
);
by_name!(
    tag_instance_profile,
    untag_instance_profile,
    list_instance_profile_tags,
    TagInstanceProfile,
    UntagInstanceProfile,
    ListInstanceProfileTags,
    ListInstanceProfileTagsResponse,
    Profile,
    instance_profile_name
);
by_name!(
    tag_server_certificate,
    untag_server_certificate,
    list_server_certificate_tags,
    TagServerCertificate,
    UntagServerCertificate,
    ListServerCertificateTags,
    ListServerCertificateTagsResponse,
    ServerCertificate,
    server_certificate_name
);

pub(crate) async fn tag_policy(
    iam: &Iam,
    call: Call<ops::TagPolicy>,
) -> Result<Answer<Empty>, ServiceError> {
    let given = &call.input.tags;
    let allowed = managed_policies::allow_own(iam, &call, &call.input.policy_arn, |resolved| {
        resolved.requesting_tags(pairs(given))
    })?;
    tag(iam, &allowed, given).await
}

pub(crate) async fn untag_policy(
    iam: &Iam,
    call: Call<ops::UntagPolicy>,
) -> Result<Answer<Empty>, ServiceError> {
    let keys = &call.input.tag_keys;
    let allowed = managed_policies::allow_own(iam, &call, &call.input.policy_arn, |resolved| {
        resolved.requesting_tag_keys(keys)
    })?;
    untag(&allowed, keys).await
}

pub(crate) async fn list_policy_tags(
    iam: &Iam,
    call: Call<ops::ListPolicyTags>,
) -> Result<Answer<ListPolicyTagsResponse>, ServiceError> {
    let allowed =
        managed_policies::allow_own(iam, &call, &call.input.policy_arn, |resolved| resolved)?;
    let page = list(iam, &call, &allowed, call.input.marker.as_deref(), call.input.max_items)?;
    Ok(allowed.permit.answer(ListPolicyTagsResponse {
        is_truncated: page.truncated(),
        tags: page.items,
        marker: page.marker,
    }))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tag(key: &str, value: &str) -> Tag {
        Tag { key: key.into(), value: value.into() }
    }

    #[test]
    fn tags_are_added_and_replaced() {
        let had = with(&Tags::new(), &[tag("a", "1"), tag("b", "2")], true, 50).unwrap();
        let now = with(&had, &[tag("B", "3"), tag("c", "4")], true, 50).unwrap();
        assert_eq!(listed(&now), [tag("B", "3"), tag("a", "1"), tag("c", "4")]);
        let now = with(&had, &[tag("B", "3")], false, 50).unwrap();
        assert_eq!(now.len(), 3);
    }

    #[test]
    fn a_key_twice_or_reserved_is_refused() {
        let twice = [tag("a", "1"), tag("A", "2")];
        assert_eq!(with(&Tags::new(), &twice, true, 50).unwrap_err().code, "InvalidInput");
        assert!(with(&Tags::new(), &twice, false, 50).is_ok());
        for key in ["aws:x", "AWS:x"] {
            let refused = with(&Tags::new(), &[tag(key, "1")], true, 50).unwrap_err();
            assert_eq!(refused.code, "InvalidInput");
        }
    }

    #[test]
    fn replacing_a_tag_is_within_the_limit() {
        let had = with(&Tags::new(), &[tag("a", "1"), tag("b", "2")], true, 2).unwrap();
        assert!(with(&had, &[tag("a", "3")], true, 2).is_ok());
        assert_eq!(with(&had, &[tag("c", "3")], true, 2).unwrap_err().code, "LimitExceeded");
    }
}
