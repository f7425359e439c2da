//! Inline policies of users, groups and roles.

use crate::Iam;
use crate::documents::IdentityPolicy;
use crate::entity::{Allowed, Holder};
use crate::errors;
use crate::pages::Page;
use crate::quotas::size;
use crate::records::{Group, Inline, Role, User};
use ringfence_gateway::{Answer, Call};
use ringfence_model_iam::operations as ops;
use ringfence_model_iam::types;
use ringfence_wire::value::Empty;
use ringfence_wire::{ServiceError, TypedOperation};

/// The inline policies of something after one is put.
///
/// # Errors
/// `LimitExceeded` where they are too large together.
fn with(
    had: &[Inline],
    name: &str,
    policy: &IdentityPolicy,
    limit: usize,
) -> Option<Box<[Inline]>> {
    let mut inline: Vec<Inline> = had.iter().filter(|one| *one.name != *name).cloned().collect();
    let at = inline.partition_point(|one| *one.name < *name);
    inline.insert(at, Inline { name: name.into(), policy: policy.clone() });
    let total: usize = inline.iter().map(|one| size(one.policy.text())).sum();
    (total <= limit).then(|| inline.into())
}

async fn put<H: Holder>(
    iam: &Iam,
    allowed: &Allowed<H>,
    name: &str,
    document: &str,
) -> Result<Answer<Empty>, ServiceError> {
    allowed.found()?.modifiable()?;
    let policy = IdentityPolicy::parse(document)?;
    let limit = H::inline_quota(&iam.quotas);
    allowed
        .change(|_, holder| {
            let inline = with(&holder.permissions().inline, name, &policy, limit)
                .ok_or_else(|| errors::inline_too_large(limit, H::KIND, holder.name()))?;
            holder.permissions_mut().inline = inline;
            Ok(true)
        })
        .await?;
    Ok(allowed.permit.answer(Empty::default()))
}

fn find<'a, H: Holder>(holder: &'a H, name: &str) -> Result<&'a Inline, ServiceError> {
    let mut inline = holder.permissions().inline.iter();
    inline.find(|one| *one.name == *name).ok_or_else(|| errors::no_such_inline(H::KIND, name))
}

async fn delete<H: Holder>(
    allowed: &Allowed<H>,
    name: &str,
) -> Result<Answer<Empty>, ServiceError> {
    allowed
        .change(|_, holder| {
            find(holder, name)?;
            let inline = &mut holder.permissions_mut().inline;
            *inline = inline.iter().filter(|one| *one.name != *name).cloned().collect();
            Ok(true)
        })
        .await?;
    Ok(allowed.permit.answer(Empty::default()))
}

fn list<H: Holder, O: TypedOperation>(
    iam: &Iam,
    call: &Call<O>,
    allowed: &Allowed<H>,
    marker: Option<&str>,
    max_items: Option<i32>,
) -> Result<Page<String>, ServiceError> {
    let holder = allowed.found()?;
    let pager = iam.pager(call, &[holder.id()], marker, max_items)?;
    pager.cut(holder.permissions().inline.iter().map(|one| (&*one.name, one.name.to_string())))
}

macro_rules! inline {
    ($Holder:ident, $name:ident, $put:ident, $get:ident, $delete:ident, $list:ident, $Put:ident,
     $Get:ident, $Delete:ident, $List:ident, $GetResponse:ident, $ListResponse:ident) => {
        pub(crate) async fn $put(
            iam: &Iam,
            call: Call<ops::$Put>,
        ) -> Result<Answer<Empty>, ServiceError> {
            let allowed = iam.allow::<$Holder, _>(&call, &call.input.$name)?;
            put(iam, &allowed, &call.input.policy_name, &call.input.policy_document).await
        }

        pub(crate) async fn $get(
            iam: &Iam,
            call: Call<ops::$Get>,
        ) -> Result<Answer<types::$GetResponse>, ServiceError> {
            let allowed = iam.allow::<$Holder, _>(&call, &call.input.$name)?;
            let holder = allowed.found()?;
            let inline = find(&**holder, &call.input.policy_name)?;
            Ok(allowed.permit.answer(types::$GetResponse {
                $name: holder.name.to_string(),
                policy_name: inline.name.to_string(),
                policy_document: inline.policy.encoded(),
            }))
        }

        pub(crate) async fn $delete(
            iam: &Iam,
            call: Call<ops::$Delete>,
        ) -> Result<Answer<Empty>, ServiceError> {
            let allowed = iam.allow::<$Holder, _>(&call, &call.input.$name)?;
            delete(&allowed, &call.input.policy_name).await
        }

        pub(crate) async fn $list(
            iam: &Iam,
            call: Call<ops::$List>,
        ) -> Result<Answer<types::$ListResponse>, ServiceError> {
            let allowed = iam.allow::<$Holder, _>(&call, &call.input.$name)?;
            let (marker, max) = (call.input.marker.as_deref(), call.input.max_items);
            let page = list(iam, &call, &allowed, marker, max)?;
            Ok(allowed.permit.answer(types::$ListResponse {
                is_truncated: page.truncated(),
                policy_names: page.items,
                marker: page.marker,
            }))
        }
    };
}

inline!(
    User,
    user_name,
    put_user_policy,
    get_user_policy,
    delete_user_policy,
    list_user_policies,
    PutUserPolicy,
    GetUserPolicy,
    DeleteUserPolicy,
    ListUserPolicies,
    GetUserPolicyResponse,
    ListUserPoliciesResponse
);
inline!(
    Group,
    group_name,
    put_group_policy,
    get_group_policy,
    delete_group_policy,
    list_group_policies,
    PutGroupPolicy,
    GetGroupPolicy,
    DeleteGroupPolicy,
    ListGroupPolicies,
    GetGroupPolicyResponse,
    ListGroupPoliciesResponse
);
inline!(
    Role,
    role_name,
    put_role_policy,
    get_role_policy,
    delete_role_policy,
    list_role_policies,
    PutRolePolicy,
    GetRolePolicy,
    DeleteRolePolicy,
    ListRolePolicies,
    GetRolePolicyResponse,
    ListRolePoliciesResponse
);

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::allowing;

    #[test]
    fn inline_policies_are_kept_by_name_and_limited_together() {
        let one = size(allowing("s3:*").text());
        let had = with(&[], "b", &allowing("s3:*"), one).unwrap();
        assert!(with(&had, "a", &allowing("s3:*"), one).is_none());
        let both = with(&had, "a", &allowing("s3:*"), 2 * one).unwrap();
        let names: Vec<&str> = both.iter().map(|inline| &*inline.name).collect();
        assert_eq!(names, ["a", "b"]);
        // Putting one again replaces it.
        assert_eq!(with(&both, "a", &allowing("s3:*"), 2 * one).unwrap().len(), 2);
    }
}
