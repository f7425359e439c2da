//! Tags of identity providers, which requests name by ARN.

use crate::Iam;
use crate::oidc_providers::{allow_provider, tagged};
use crate::records::{OidcProvider, SamlProvider};
use crate::tags::{self, pairs};
use ringfence_gateway::{Answer, Call};
use ringfence_model_iam::operations as ops;
use ringfence_model_iam::types;
use ringfence_wire::ServiceError;
use ringfence_wire::value::Empty;

macro_rules! by_arn {
    ($tag:ident, $untag:ident, $list:ident, $Tag:ident, $Untag:ident, $List:ident,
     $Response:ident, $Entity:ident, $arn:ident) => {
        pub(crate) async fn $tag(
            iam: &Iam,
            call: Call<ops::$Tag>,
        ) -> Result<Answer<Empty>, ServiceError> {
            let given = &call.input.tags;
            let allowed = allow_provider::<$Entity, _>(iam, &call, &call.input.$arn, |resolved| {
                resolved.requesting_tags(pairs(given))
            })?;
            allowed
                .change(|_, provider| {
                    provider.tags = tagged(&provider.tags, given, iam.quotas.tags)?;
                    Ok(true)
                })
                .await?;
            Ok(allowed.permit.answer(Empty::default()))
        }

        pub(crate) async fn $untag(
            iam: &Iam,
            call: Call<ops::$Untag>,
        ) -> Result<Answer<Empty>, ServiceError> {
            let keys = &call.input.tag_keys;
            let allowed = allow_provider::<$Entity, _>(iam, &call, &call.input.$arn, |resolved| {
                resolved.requesting_tag_keys(keys)
            })?;
            tags::untag(&allowed, keys).await
        }

        pub(crate) async fn $list(
            iam: &Iam,
            call: Call<ops::$List>,
        ) -> Result<Answer<types::$Response>, ServiceError> {
            let arn = &call.input.$arn;
            let allowed = allow_provider::<$Entity, _>(iam, &call, arn, |resolved| resolved)?;
            let (marker, max) = (call.input.marker.as_deref(), call.input.max_items);
            let page = tags::list(iam, &call, &allowed, marker, max)?;
            Ok(allowed.permit.answer(types::$Response {
                is_truncated: page.truncated(),
                tags: page.items,
                marker: page.marker,
            }))
        }
    };
}

by_arn!(
    tag_open_id_connect_provider,
    untag_open_id_connect_provider,
    list_open_id_connect_provider_tags,
    TagOpenIDConnectProvider,
    UntagOpenIDConnectProvider,
    ListOpenIDConnectProviderTags,
    ListOpenIDConnectProviderTagsResponse,
    OidcProvider,
    open_id_connect_provider_arn
);

by_arn!(
    tag_saml_provider,
    untag_saml_provider,
    list_saml_provider_tags,
    TagSAMLProvider,
    UntagSAMLProvider,
    ListSAMLProviderTags,
    ListSAMLProviderTagsResponse,
    SamlProvider,
    saml_provider_arn
);
