//! Sessions, and the keys that they hold: how one of several controllers leads
//! (<https://developer.hashicorp.com/consul/docs/dynamic-app-config/sessions>).

use super::Result;
use super::blocking::{Answer, beyond, index_of};
use super::client::{Client, decode, found, success};
use crate::wire::null_as_default;
use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use reqwest::Method;
use serde::Deserialize;
use serde_json::json;
use std::time::Duration;

/// A key, as far as a lock needs it.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct LockKey {
    /// The session that holds it; empty: nobody does.
    #[serde(deserialize_with = "null_as_default")]
    pub session: String,
    /// Base64, as Consul gives it.
    #[serde(deserialize_with = "null_as_default")]
    value: String,
}

impl LockKey {
    /// What its holder has written into it.
    pub fn text(&self) -> String {
        let value = BASE64_STANDARD.decode(&self.value).unwrap_or_default();
        String::from_utf8_lossy(&value).into_owned()
    }
}

impl Client {
    /// `session/create`: a session that ends when it is not renewed for `ttl` (in fact for twice as long), and then gives
    /// its keys back. No node's health counts: which of the servers was asked is chance.
    ///
    /// # Errors
    /// All of [`Error`](super::Error); 403 without `session:write`.
    pub async fn session_create(
        &self,
        name: &str,
        ttl: Duration,
        lock_delay: Duration,
    ) -> Result<String> {
        const CALL: &str = "session/create";
        #[derive(Deserialize)]
        #[serde(rename_all = "PascalCase")]
        struct Made {
            #[serde(rename = "ID")]
            id: String,
        }
        let body = json!({
            "Name": name, "TTL": format!("{}s", ttl.as_secs()), "Behavior": "release",
            "LockDelay": format!("{}s", lock_delay.as_secs()), "Checks": [], "NodeChecks": [],
        });
        let request = self.scoped(Method::PUT, CALL, None).json(&body);
        let made: Made = decode(CALL, &success(CALL, self.exchange(CALL, request).await?)?)?;
        Ok(made.id)
    }

    /// `session/renew`: false if it has ended.
    ///
    /// # Errors
    /// All of [`Error`](super::Error), but no "not found".
    pub async fn session_renew(&self, id: &str) -> Result<bool> {
        const CALL: &str = "session/renew";
        let renewed = self.done(CALL, self.scoped(Method::PUT, CALL, Some(id))).await;
        Ok(found(renewed)?.is_some())
    }

    /// `session/destroy`: ends it, and gives its keys back after their delay.
    ///
    /// # Errors
    /// All of [`Error`](super::Error).
    pub async fn session_destroy(&self, id: &str) -> Result<()> {
        const CALL: &str = "session/destroy";
        self.done(CALL, self.scoped(Method::PUT, CALL, Some(id))).await
    }

    /// `kv/<key>?acquire`: false if another session holds it, or its delay is not over.
    ///
    /// # Errors
    /// All of [`Error`](super::Error); 403 without `key:write`, 500 if the session has ended.
    pub async fn lock_acquire(&self, key: &str, session: &str, value: &str) -> Result<bool> {
        self.lock("acquire", key, session, value).await
    }

    /// `kv/<key>?release`: gives it back without a delay, and empties it. False if this session does not hold it.
    ///
    /// # Errors
    /// As [`Client::lock_acquire`].
    pub async fn lock_release(&self, key: &str, session: &str) -> Result<bool> {
        self.lock("release", key, session, "").await
    }

    /// `kv/<key>`: who holds it, as the leader of the servers has it; held back until it is another than at `index`, or
    /// `wait` is over. With 0 it is answered at once.
    ///
    /// # Errors
    /// All of [`Error`](super::Error), but no 404.
    pub async fn lock_key(
        &self,
        key: &str,
        index_seen: u64,
        wait: Duration,
    ) -> Result<Answer<Option<LockKey>>> {
        let request = self.scoped(Method::GET, KV, Some(key)).query(&[("consistent", "")]);
        let reply = self.blocking(KV, request, beyond(index_seen, wait)).await?;
        let index = index_of(&reply);
        let keys: Option<Vec<LockKey>> =
            found(success(KV, reply).and_then(|reply| decode(KV, &reply)))?;
        Ok(Answer { index, value: keys.and_then(|keys| keys.into_iter().next()) })
    }

    async fn lock(&self, how: &str, key: &str, session: &str, value: &str) -> Result<bool> {
        let request = self.scoped(Method::PUT, KV, Some(key)).query(&[(how, session)]);
        let reply = self.exchange(KV, request.body(value.to_owned())).await?;
        decode(KV, &success(KV, reply)?)
    }
}

const KV: &str = "kv";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_value_is_base64_of_any_length() {
        for (text, plain) in [("", ""), ("YQ==", "a"), ("YWI=", "ab"), ("YWJj", "abc")] {
            let key = LockKey { value: text.to_owned(), ..LockKey::default() };
            assert_eq!(key.text(), plain);
        }
    }
}
