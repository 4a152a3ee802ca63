//! Logging in and out: a token of one's own for a proof of who one is
//! (<https://developer.hashicorp.com/consul/api-docs/acl#login-to-auth-method>).

use super::Result;
use super::client::{Client, decode, success};
use jiff::Timestamp;
use reqwest::Method;
use secrecy::{ExposeSecret, SecretString};
use serde::Deserialize;
use serde_json::json;
use std::collections::BTreeMap;
use std::time::Duration;

/// A server asks the identity's provider while we wait, and asks it again where it is slow.
const TIMEOUT: Duration = Duration::from_secs(15);

/// What a login gives. Both times are the server's: their difference holds whatever our clock says.
#[derive(Debug, Clone, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct Login {
    /// The token itself.
    #[serde(rename = "SecretID")]
    pub token: SecretString,
    /// Its public name.
    #[serde(rename = "AccessorID")]
    pub accessor: String,
    /// When it was made.
    #[serde(rename = "CreateTime")]
    pub issued: Timestamp,
    /// When it ends. `None` if its auth method has no `MaxTokenTTL`.
    #[serde(rename = "ExpirationTime", default)]
    pub expires: Option<Timestamp>,
}

impl Client {
    /// `acl/login`: a new token from the auth method `method`, for the proof `bearer`; `meta` goes into its description.
    ///
    /// # Errors
    /// All of [`super::Error`]: 403 if there is no such method ("ACL not found"), or if no rule of it binds this identity
    /// ("Permission denied"); 500 with words if the proof is none.
    pub async fn login(
        &self,
        method: &str,
        bearer: &SecretString,
        meta: &BTreeMap<String, String>,
    ) -> Result<Login> {
        const CALL: &str = "acl/login";
        let body = json!({
            "AuthMethod": method, "BearerToken": bearer.expose_secret(), "Meta": meta,
        });
        let request = self.scoped(Method::POST, CALL, None).json(&body);
        decode(CALL, &success(CALL, self.exchange_within(CALL, request, TIMEOUT).await?)?)
    }

    /// `acl/logout`: ends the token of this client, which a login gave. One that has ended already is no error.
    ///
    /// # Errors
    /// All of [`super::Error`]; 403 if it came by no login.
    pub async fn logout(&self) -> Result<()> {
        const CALL: &str = "acl/logout";
        match self.done(CALL, self.scoped(Method::POST, CALL, None)).await {
            Err(error) if error.is_unknown_token() => Ok(()),
            result => result,
        }
    }
}

/// How long after it came a token is to be replaced: after 60 to 80 % of its life, by `jitter` from 0 to 1, for tasks
/// that were started together should not all log in together. `None` for a token that does not end.
pub fn renew_at(issued: Timestamp, expires: Option<Timestamp>, jitter: f64) -> Option<Duration> {
    // A negative life is none.
    let life = Duration::try_from(expires?.duration_since(issued)).unwrap_or(Duration::ZERO);
    let part = if jitter.is_finite() { jitter.clamp(0.0, 1.0) } else { 0.0 };
    Some(life.mul_f64(0.6 + 0.2 * part))
}

#[cfg(test)]
#[path = "login_tests.rs"]
mod tests;
