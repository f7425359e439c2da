//! The root user's own login profile, which a session of `AssumeRoot` alone reaches.
//! <https://docs.aws.amazon.com/IAM/latest/UserGuide/id_root-user-privileged-task.html>
//!
//! Such a session sets no password: with a login profile the root user may recover one. What is kept
//! until then is the hash of a random text that nobody has seen.

use crate::Iam;
use crate::errors;
use crate::owner::Owner;
use crate::passwords::LoginProfile;
use crate::records::Credentials;
use data_encoding::BASE64;
use ringfence_gateway::{Answer, Call};
use ringfence_keyring::{SecretBytes, SecretString};
use ringfence_model_iam::operations as ops;
use ringfence_model_iam::types;
use ringfence_wire::value::Empty;
use ringfence_wire::{ServiceError, Timestamp, TypedOperation};
use std::sync::Arc;

/// Bytes of the text that stands for no password.
const UNSEEN: usize = 32;

/// Whether a call means the root user's own: "when you make this request with root user credentials,
/// you must use an `AssumeRoot` session to omit the user name".
/// <https://docs.aws.amazon.com/IAM/latest/APIReference/API_CreateLoginProfile.html>
pub(crate) fn is_meant<O: TypedOperation>(call: &Call<O>, named: Option<&str>) -> bool {
    named.is_none() && call.caller().is_assumed_root()
}

fn profile_of<'a>(
    owner: &Owner,
    credentials: &'a Credentials,
) -> Result<&'a Arc<LoginProfile>, ServiceError> {
    let profile = credentials.login.as_ref();
    profile.ok_or_else(|| errors::no_login_profile(&owner.name_or_account()))
}

fn describe(owner: &Owner, profile: &LoginProfile) -> types::LoginProfile {
    types::LoginProfile {
        user_name: owner.name_or_account(),
        create_date: Timestamp::from_seconds(profile.created),
        password_reset_required: Some(profile.reset_required),
    }
}

pub(crate) async fn create(
    iam: &Iam,
    call: Call<ops::CreateLoginProfile>,
) -> Result<Answer<types::CreateLoginProfileResponse>, ServiceError> {
    let owner = Owner::allow(iam, &call, None)?;
    if call.input.password.is_some() {
        return Err(errors::password_for_root());
    }
    let exists = |credentials: &Credentials| match credentials.login {
        Some(_) => Err(errors::login_profile_exists(&owner.name_or_account())),
        None => Ok(()),
    };
    exists(&owner.credentials(&owner.ledger.view(&owner.permit))?)?;
    let unseen = SecretBytes::random(UNSEEN).map_err(errors::failed)?;
    let unseen = SecretString::new(BASE64.encode(unseen.expose()));
    let hashed = iam.hashing.hash(&unseen, std::iter::empty()).await?;
    let profile = Arc::new(LoginProfile::new(&hashed, call.now().seconds, true));
    owner
        .change(|_, credentials, _| {
            exists(credentials)?;
            credentials.login = Some(profile.clone());
            Ok(true)
        })
        .await?;
    let login_profile = describe(&owner, &profile);
    Ok(owner.permit.answer(types::CreateLoginProfileResponse { login_profile }))
}

pub(crate) async fn get(
    iam: &Iam,
    call: Call<ops::GetLoginProfile>,
) -> Result<Answer<types::GetLoginProfileResponse>, ServiceError> {
    let owner = Owner::allow(iam, &call, None)?;
    let credentials = owner.credentials(&owner.ledger.view(&owner.permit))?;
    let login_profile = describe(&owner, profile_of(&owner, &credentials)?);
    Ok(owner.permit.answer(types::GetLoginProfileResponse { login_profile }))
}

pub(crate) async fn delete(
    iam: &Iam,
    call: Call<ops::DeleteLoginProfile>,
) -> Result<Answer<Empty>, ServiceError> {
    let owner = Owner::allow(iam, &call, None)?;
    owner
        .change(|_, credentials, _| {
            profile_of(&owner, credentials)?;
            credentials.login = None;
            Ok(true)
        })
        .await?;
    Ok(owner.permit.answer(Empty::default()))
}
