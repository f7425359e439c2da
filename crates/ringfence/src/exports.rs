//! The shell lines that make AWS's tools talk to this server.

use ringfence_iam::RootCredentials;
use std::{fmt, io};

/// The region that the lines choose. Every region is here; a client must name one.
const REGION: &str = "us-east-1";

/// `export` lines of an account's root credentials.
pub struct Exports<'a> {
    pub endpoint: &'a str,
    pub credentials: &'a RootCredentials,
}

impl Exports<'_> {
    /// What AWS's tools read from a profile's `credential_process`.
    /// <https://docs.aws.amazon.com/sdkref/latest/guide/feature-process-credentials.html>
    pub fn write_process(&self, mut out: impl io::Write) -> io::Result<()> {
        // INVARIANT: letters, digits, `+` and `/` alone, as below; so no character needs escaping.
        writeln!(
            out,
            r#"{{"Version": 1, "AccessKeyId": "{}", "SecretAccessKey": "{}"}}"#,
            self.credentials.access_key_id,
            self.credentials.secret_access_key.expose(),
        )
    }
}

impl fmt::Display for Exports<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // INVARIANT: none of the values has a character that a shell reads as its own: the endpoint
        // is a scheme and a socket address, the rest is letters, digits and Base64's `+` and `/`.
        writeln!(f, "export AWS_ENDPOINT_URL={}", self.endpoint)?;
        writeln!(f, "export AWS_ACCESS_KEY_ID={}", self.credentials.access_key_id)?;
        let secret = self.credentials.secret_access_key.expose();
        writeln!(f, "export AWS_SECRET_ACCESS_KEY={secret}")?;
        writeln!(f, "export AWS_DEFAULT_REGION={REGION}")
    }
}
