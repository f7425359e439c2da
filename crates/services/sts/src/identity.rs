//! Who calls, and whose an access key is.

use crate::Sts;
use crate::callers::{self, Operation};
use ringfence_gateway::call::Answer;
use ringfence_gateway::{Call, Identity, Resolved, errors, ids};
use ringfence_model_sts::operations as ops;
use ringfence_model_sts::types::{GetAccessKeyInfoResponse, GetCallerIdentityResponse};
use ringfence_wire::ServiceError;

/// Tells the caller who it is; no policy, not even a deny, keeps it from that.
/// <https://docs.aws.amazon.com/STS/latest/APIReference/API_GetCallerIdentity.html>
pub async fn get_caller_identity(
    _: &Sts,
    call: Call<ops::GetCallerIdentity>,
) -> Result<Answer<GetCallerIdentityResponse>, ServiceError> {
    call.account()?;
    Ok(call.allow_anyone()?.answer(describe(&call.caller().identity)))
}

fn describe(identity: &Identity) -> GetCallerIdentityResponse {
    GetCallerIdentityResponse {
        user_id: Some(identity.user_id().into_owned()),
        account: identity.account().map(|account| account.to_string()),
        arn: Some(identity.arn()),
    }
}

/// Tells the account of an access key id, whether or not the key is active or still there.
/// <https://docs.aws.amazon.com/STS/latest/APIReference/API_GetAccessKeyInfo.html>
pub async fn get_access_key_info(
    _: &Sts,
    call: Call<ops::GetAccessKeyInfo>,
) -> Result<Answer<GetAccessKeyInfoResponse>, ServiceError> {
    callers::check(call.caller(), Operation::GetAccessKeyInfo)?;
    let owner = ids::account_of(&call.input.access_key_id)
        .filter(|account| call.shared().directory.account_exists(*account));
    let permit = call.allow(Resolved::any(call.account()?))?;
    match owner {
        Some(account) => {
            Ok(permit.answer(GetAccessKeyInfoResponse { account: Some(account.to_string()) }))
        }
        None => Err(errors::invalid_client_token()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing;

    #[test]
    fn a_caller_is_told_as_awss_table_of_principals_tells_it() {
        for (identity, user_id, arn) in [
            (testing::root(), "123456789012", "arn:aws:iam::123456789012:root"),
            (testing::user(), testing::USER_ID, "arn:aws:iam::123456789012:user/dev/ana"),
            (
                testing::role_session(),
                "AROAEXAMPLEEXAMPLEROL:deploy-1",
                "arn:aws:sts::123456789012:assumed-role/deployer/deploy-1",
            ),
            (
                testing::federated(),
                "123456789012:guest",
                "arn:aws:sts::123456789012:federated-user/guest",
            ),
        ] {
            let got = describe(&identity);
            assert_eq!(got.account.as_deref(), Some("123456789012"));
            assert_eq!(got.user_id.as_deref(), Some(user_id));
            assert_eq!(got.arn.as_deref(), Some(arn));
        }
    }
}
