//! Credentials for one service alone, for the services that take them.

use crate::caller::Identity;

/// Who proves itself by a credential that is good for one service and no other. IAM implements it.
///
/// Each returns the user whose credential it is, where it is that service's, active and within its
/// time, and the secret is right. It says who calls, not what the user may.
pub trait ServiceCredentials: Send + Sync {
    /// By a user name (`jane-at-123456789012`) and its password.
    fn by_password(&self, service: &str, name: &str, password: &[u8]) -> Option<Identity>;
    /// By an API key.
    fn by_api_key(&self, service: &str, key: &str) -> Option<Identity>;
}
