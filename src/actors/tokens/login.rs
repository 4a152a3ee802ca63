//! Tokens by a login with the task's IAM role.

#[cfg(feature = "aws")]
#[path = "login/aws.rs"]
mod api;
#[cfg(not(feature = "aws"))]
#[path = "login/no_aws.rs"]
mod api;

use secrecy::SecretString;
use std::time::Duration;

pub(super) use api::LogIns;

/// A token that a login has made.
pub(crate) struct Made {
    pub(crate) token: SecretString,
    /// When to get the next one; `None`: it does not end.
    pub(crate) again_after: Option<Duration>,
}
