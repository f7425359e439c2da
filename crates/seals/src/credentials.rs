//! Whom another KMS is called as: the environment variables and the file that every AWS client
//! knows.
//! <https://docs.aws.amazon.com/cli/latest/userguide/cli-configure-envvars.html>,
//! <https://docs.aws.amazon.com/cli/latest/userguide/cli-configure-files.html>
//!
//! Roles of instances and containers, and `credential_process`, are not asked: a seal must not
//! depend on more than it says.

use ringfence_keyring::{HolderFailed, SecretString};
use std::env;
use std::path::PathBuf;

/// Bytes of a credentials file; more is none.
const LONGEST_FILE: u64 = 1024 * 1024;

/// Credentials of AWS's kind.
#[derive(Debug)]
pub(crate) struct Credentials {
    pub access_key_id: String,
    pub secret: SecretString,
    pub token: Option<SecretString>,
}

impl Credentials {
    /// From `AWS_ACCESS_KEY_ID`, `AWS_SECRET_ACCESS_KEY` and `AWS_SESSION_TOKEN`, or else from the
    /// profile `AWS_PROFILE` of the file `AWS_SHARED_CREDENTIALS_FILE` (`~/.aws/credentials`).
    pub(crate) fn find() -> Result<Self, HolderFailed> {
        // The error of `env::var` holds the value when it is not UTF-8.
        let variable = |name: &str| env::var(name).ok().filter(|value| !value.is_empty());
        if let Some(access_key_id) = variable("AWS_ACCESS_KEY_ID") {
            let secret = variable("AWS_SECRET_ACCESS_KEY").ok_or_else(|| {
                HolderFailed("AWS_ACCESS_KEY_ID is set, AWS_SECRET_ACCESS_KEY is not".into())
            })?;
            let token = variable("AWS_SESSION_TOKEN").map(SecretString::new);
            return Ok(Self { access_key_id, secret: SecretString::new(secret), token });
        }
        let file = match variable("AWS_SHARED_CREDENTIALS_FILE") {
            Some(file) => Some(PathBuf::from(file)),
            None => variable("HOME").map(|home| PathBuf::from(home).join(".aws/credentials")),
        };
        let profile = variable("AWS_PROFILE").unwrap_or_else(|| "default".into());
        let text = match &file {
            Some(file) => ringfence_keyring::secret_file(file, LONGEST_FILE)
                .map_err(|error| HolderFailed(error.to_string()))?,
            None => None,
        };
        text.and_then(|text| Self::of_profile(text.expose(), &profile)).ok_or_else(|| {
            HolderFailed(format!(
                "there are no credentials: set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or name \
                 a file with a profile `{profile}` by AWS_SHARED_CREDENTIALS_FILE"
            ))
        })
    }

    /// The keys of a section of an INI file.
    fn of_profile(text: &str, profile: &str) -> Option<Self> {
        let mut within = false;
        let (mut id, mut secret, mut token) = (None, None, None);
        for line in text.lines().map(str::trim) {
            if let Some(section) = line.strip_prefix('[').and_then(|line| line.strip_suffix(']')) {
                within = section.trim() == profile;
                continue;
            }
            let Some((name, value)) = line.split_once('=').filter(|_| within) else { continue };
            let value = || Some(SecretString::new(value.trim().to_owned()));
            match name.trim() {
                "aws_access_key_id" => id = value(),
                "aws_secret_access_key" => secret = value(),
                "aws_session_token" => token = value(),
                _ => {}
            }
        }
        let access_key_id = id?.expose().to_owned();
        Some(Self { access_key_id, secret: secret?, token })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const FILE: &str = "
        # AWS's own example
        [default]
        aws_access_key_id = AKIDEFAULT
        aws_secret_access_key=de/fault+secret=
        region = eu-west-1

        [seal]
        aws_session_token = token
        aws_secret_access_key = seal secret
        aws_access_key_id = AKIASEAL
        [half]
        aws_access_key_id = AKIAHALF
    ";

    #[test]
    fn a_profile_is_its_section() {
        let of = |profile: &str| Credentials::of_profile(FILE, profile);
        let default = of("default").unwrap();
        assert_eq!(default.access_key_id, "AKIDEFAULT");
        assert!(default.secret.matches(b"de/fault+secret=") && default.token.is_none());
        let seal = of("seal").unwrap();
        assert_eq!(seal.access_key_id, "AKIASEAL");
        assert!(seal.secret.matches(b"seal secret") && seal.token.unwrap().matches(b"token"));
        assert!(of("half").is_none() && of("other").is_none() && of("").is_none());
        assert!(!format!("{default:?}").contains("fault"));
    }
}
