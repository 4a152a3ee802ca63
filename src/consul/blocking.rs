//! Questions whose answer is held back until something changes
//! (<https://developer.hashicorp.com/consul/api-docs/features/blocking>).

use super::Result;
use super::client::{Client, decode, found, success};
use super::types::HealthEntry;
use crate::wire::Reply;
use reqwest::{Method, RequestBuilder};
use serde::Deserialize;
use serde::de::DeserializeOwned;
use std::time::Duration;

/// The agent adds up to a sixteenth to the wait.
const WAIT_JITTER: u32 = 16;
/// The agent's own default is 5 min; nobody here wants to wait as long.
const DEFAULT_WAIT: Duration = Duration::from_secs(60);

/// An answer of a blocking query.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Answer<T> {
    /// `X-Consul-Index`; 0 if the agent sent none.
    pub index: u64,
    /// The answer.
    pub value: T,
}

impl<T> Answer<T> {
    /// What to ask with next: 0 (do not block) when the index went back, as after a restore of the servers, or was
    /// not sent.
    pub fn next_index(&self, asked_with: u64) -> u64 {
        if self.index < asked_with { 0 } else { self.index }
    }
}

/// What `X-Consul-Index` says; 0 for what is no index.
pub fn index(header: &[u8]) -> u64 {
    std::str::from_utf8(header).ok().and_then(|text| text.parse().ok()).unwrap_or(0)
}

/// How to ask `health/connect`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct HealthQuery {
    /// Block until the servers' index is beyond this; 0 does not block.
    pub index: u64,
    /// Block no longer than this; default 60 s.
    pub wait: Option<Duration>,
    /// The leader makes sure that it still is: what it answers is true for all.
    pub consistent: bool,
    /// Leave out instances that do not pass. Beware: a warning instance is routed to and missing here.
    pub passing: bool,
}

/// For how long an answer is held back, and from what it has to differ.
pub(super) struct Until {
    key: &'static str,
    value: String,
    wait: Duration,
}

/// Until the index is beyond this one; 0 is answered at once.
pub(super) fn beyond(index: u64, wait: Duration) -> Option<Until> {
    (index > 0).then(|| Until { key: "index", value: index.to_string(), wait })
}

/// What a reply says of the index.
pub(super) fn index_of(reply: &Reply) -> u64 {
    reply.headers.get("X-Consul-Index").map_or(0, |value| index(value.as_bytes()))
}

impl Client {
    /// The same as the agent writes it, for [`super::differences`]. With the `ContentHash` of an earlier answer it is
    /// held back until the service is another one, or gone, or `wait` is over (the agent adds up to a sixteenth).
    ///
    /// # Errors
    /// All of [`Error`](super::Error), but no 404.
    pub async fn service_view(
        &self,
        service_id: &str,
        changed_from: Option<(&str, Duration)>,
    ) -> Result<Option<serde_json::Value>> {
        self.service_as(service_id, changed_from).await
    }

    /// The `ContentHash` of a service that may have changed from another one, see [`Client::service_view`]; the rest of
    /// the answer, which can be long, is passed over.
    ///
    /// # Errors
    /// All of [`Error`](super::Error), but no 404.
    pub async fn service_hash(
        &self,
        service_id: &str,
        hash: &str,
        wait: Duration,
    ) -> Result<Option<String>> {
        #[derive(Deserialize)]
        #[serde(rename_all = "PascalCase")]
        struct Hashed {
            #[serde(default)]
            content_hash: String,
        }
        let view: Option<Hashed> = self.service_as(service_id, Some((hash, wait))).await?;
        Ok(view.map(|view| view.content_hash))
    }

    async fn service_as<T: DeserializeOwned>(
        &self,
        service_id: &str,
        changed_from: Option<(&str, Duration)>,
    ) -> Result<Option<T>> {
        const CALL: &str = "agent/service";
        let request = self.scoped(Method::GET, CALL, Some(service_id));
        let until =
            changed_from.map(|(hash, wait)| Until { key: "hash", value: hash.to_owned(), wait });
        let reply = self.blocking(CALL, request, until).await?;
        found(success(CALL, reply).and_then(|reply| decode(CALL, &reply)))
    }

    /// `health/connect/<service>`: the proxies of `service` in the whole datacenter, asked of the servers.
    ///
    /// # Errors
    /// All of [`Error`](super::Error); [`is_server_error`](super::Error::is_server_error) while there is no leader.
    pub async fn health_connect(
        &self,
        service: &str,
        query: HealthQuery,
    ) -> Result<Answer<Vec<HealthEntry>>> {
        const CALL: &str = "health/connect";
        let mut request = self.scoped(Method::GET, CALL, Some(service));
        if query.consistent {
            request = request.query(&[("consistent", "")]);
        }
        if query.passing {
            request = request.query(&[("passing", "true")]);
        }
        let wait = query.wait.unwrap_or(DEFAULT_WAIT);
        let reply = success(CALL, self.blocking(CALL, request, beyond(query.index, wait)).await?)?;
        // A service that nobody registered is `[]`, in old agents also `null`.
        let entries: Option<Vec<HealthEntry>> = decode(CALL, &reply)?;
        Ok(Answer { index: index_of(&reply), value: entries.unwrap_or_default() })
    }

    /// Asks, with a deadline that begins when the wait is over.
    pub(super) async fn blocking(
        &self,
        call: &'static str,
        request: RequestBuilder,
        until: Option<Until>,
    ) -> Result<Reply> {
        let Some(Until { key, value, wait }) = until else {
            return self.exchange(call, request).await;
        };
        // "0ms" would be the server's own default.
        let wait = wait.max(Duration::from_millis(1));
        let request = request.query(&[(key, value), ("wait", format!("{}ms", wait.as_millis()))]);
        self.exchange_within(call, request, self.timeout + wait + wait / WAIT_JITTER).await
    }
}
