//! Calls to the local agent.

use super::types::{
    AgentCheck, AgentSelf, AgentService, CheckDefinition, CheckStatus, Registration,
};
use super::{Error, Result};
use crate::wire::{self, Failure, Reply};
use reqwest::header::HeaderValue;
use reqwest::{Method, RequestBuilder, Url};
use secrecy::{ExposeSecret, SecretString};
use serde::de::DeserializeOwned;
use std::collections::BTreeMap;
use std::path::Path;
use std::sync::{Arc, RwLock};
use std::time::Duration;
use tokio::sync::Notify;

/// A call that asks only the agent itself answers in milliseconds; one that asks the servers can hang with them.
const TIMEOUT: Duration = Duration::from_secs(2);
/// `agent/self` is tens of kB, `health/connect` about 1.5 kB an instance.
const BODY_LIMIT: usize = 8 << 20;
/// The local agent's HTTP API. Cheap to clone; clones share connections and token.
#[derive(Clone)]
pub struct Client {
    http: reqwest::Client,
    base: Url,
    token: Arc<RwLock<Option<HeaderValue>>>,
    /// A call was refused because of the token.
    refused: Arc<Notify>,
    pub(super) tenancy: Arc<[(&'static str, String)]>,
    pub(super) timeout: Duration,
}

impl Client {
    /// A client of the agent at `base_url`: `http://127.0.0.1:8500`, or `unix:///run/consul/http.sock`.
    ///
    /// # Errors
    /// [`Error::Invalid`] if the URL is none, or the token holds characters that no header can.
    pub fn new(base_url: &str, token: Option<SecretString>) -> Result<Self> {
        const NO_URL: Error = Error::Invalid("the agent's URL is none");
        let (http, base_url) = match base_url.strip_prefix("unix://").map(Path::new) {
            Some(socket) if socket.is_absolute() => (wire::client_over(socket), "http://localhost"),
            Some(_) => return Err(NO_URL),
            None => (wire::client(), base_url),
        };
        let base = Url::parse(base_url).map_err(|_| NO_URL)?;
        if base.cannot_be_a_base() {
            return Err(NO_URL);
        }
        Ok(Self {
            http,
            base,
            token: Arc::new(RwLock::new(header(token)?)),
            refused: Arc::default(),
            tenancy: Arc::new([]),
            timeout: TIMEOUT,
        })
    }

    /// A client of servers, or of an agent elsewhere, at `base_url`, over TLS if it says `https`: `ca` is the authority
    /// that has signed their certificates, in PEM; else the machine's own count.
    ///
    /// # Errors
    /// As [`Client::new`]; `ca` is no certificate.
    pub fn of_servers(
        base_url: &str,
        token: Option<SecretString>,
        ca: Option<&[u8]>,
    ) -> Result<Self> {
        const NO_CA: Error =
            Error::Invalid("the authority is no PEM certificate, or cannot be used");
        Ok(Self {
            http: wire::client_of_servers(ca).map_err(|_| NO_CA)?,
            ..Self::new(base_url, token)?
        })
    }

    /// The same agent with another token; connections are shared.
    ///
    /// # Errors
    /// As [`Client::new`].
    pub fn with_token(&self, token: Option<SecretString>) -> Result<Self> {
        let token = Arc::new(RwLock::new(header(token)?));
        Ok(Self { token, refused: Arc::default(), ..self.clone() })
    }

    /// Replaces the token of this client and of its clones.
    ///
    /// # Errors
    /// As [`Client::new`]; the old token stays then.
    pub fn set_token(&self, token: Option<SecretString>) -> Result<()> {
        let token = header(token)?;
        // A poisoned lock only means that a thread died while it replaced one value.
        *self.token.write().unwrap_or_else(std::sync::PoisonError::into_inner) = token;
        Ok(())
    }

    /// Waits until a call of this client or of a clone is refused because of its token: a right is missing, the token is
    /// gone, or the agent has not joined yet. What happened since the last wait counts, once.
    pub async fn refused(&self) {
        self.refused.notified().await;
    }

    /// Consul Enterprise: services and checks are meant in this namespace and partition.
    #[must_use]
    pub fn with_tenancy(mut self, namespace: Option<&str>, partition: Option<&str>) -> Self {
        let both = [("ns", namespace), ("partition", partition)];
        self.tenancy =
            both.into_iter().filter_map(|(key, value)| Some((key, value?.to_owned()))).collect();
        self
    }

    /// Another deadline for each call than 2 s.
    #[must_use]
    pub fn with_timeout(mut self, timeout: Duration) -> Self {
        self.timeout = timeout;
        self
    }

    /// `status/leader`: the servers' leader, `None` while the agent knows none (not joined, or no quorum).
    ///
    /// # Errors
    /// All of [`Error`], but no 500.
    pub async fn leader(&self) -> Result<Option<String>> {
        const CALL: &str = "status/leader";
        let reply = self.exchange(CALL, self.request(Method::GET, CALL, None)).await?;
        if reply.status == 500 {
            return Ok(None);
        }
        let leader: String = decode(CALL, &success(CALL, reply)?)?;
        Ok(Some(leader).filter(|leader| !leader.is_empty()))
    }

    /// `agent/members` of the WAN, of which a client agent has none: the smallest question that an agent answers by
    /// itself. `agent/checks` and its like do not: while an agent tells its servers of a change it holds its local state
    /// locked, so with servers that hang they hang, too (`SyncChanges` in Consul's agent/local/state.go).
    ///
    /// # Errors
    /// All of [`Error`].
    pub async fn answers(&self) -> Result<()> {
        const CALL: &str = "agent/members";
        let request = self.request(Method::GET, CALL, None).query(&[("wan", "1")]);
        self.done(CALL, request).await
    }

    /// `agent/self`: who the agent is.
    ///
    /// # Errors
    /// All of [`Error`]; 403 unless the token has agent read.
    pub async fn agent_self(&self) -> Result<AgentSelf> {
        self.get("agent/self", None).await
    }

    /// `agent/token/agent`: gives the agent another token of its own, until it ends; its configuration stays as it is.
    ///
    /// # Errors
    /// All of [`Error`]; 403 unless the token has agent write.
    pub async fn set_agent_token(&self, token: &SecretString) -> Result<()> {
        const CALL: &str = "agent/token";
        let body = serde_json::json!({ "Token": token.expose_secret() });
        self.done(CALL, self.request(Method::PUT, CALL, Some("agent")).json(&body)).await
    }

    /// `agent/service/register`: adds or replaces a service with its checks. With `replace_existing_checks`, checks
    /// of the service that are not in `registration` go, its maintenance too.
    ///
    /// # Errors
    /// All of [`Error`].
    pub async fn register(
        &self,
        registration: &Registration,
        replace_existing_checks: bool,
    ) -> Result<()> {
        const CALL: &str = "agent/service/register";
        let mut request = self.request(Method::PUT, CALL, None);
        if replace_existing_checks {
            request = request.query(&[("replace-existing-checks", "true")]);
        }
        self.done(CALL, request.json(registration)).await
    }

    /// `agent/service/deregister`: removes a service and its checks.
    ///
    /// # Errors
    /// All of [`Error`]; [`Error::is_not_found`] if it is not there.
    pub async fn deregister(&self, service_id: &str) -> Result<()> {
        const CALL: &str = "agent/service/deregister";
        self.done(CALL, self.scoped(Method::PUT, CALL, Some(service_id))).await
    }

    /// `agent/service/<id>`: a service of this agent, `None` if it is not there.
    ///
    /// # Errors
    /// All of [`Error`], but no 404.
    pub async fn service(&self, service_id: &str) -> Result<Option<AgentService>> {
        found(self.get("agent/service", Some(service_id)).await)
    }

    /// `agent/services`: all services of this agent that the token may see, by ID.
    ///
    /// # Errors
    /// All of [`Error`].
    pub async fn services(&self) -> Result<BTreeMap<String, AgentService>> {
        self.get("agent/services", None).await
    }

    /// `agent/checks`: all checks of this agent that the token may see, by ID.
    ///
    /// # Errors
    /// All of [`Error`].
    pub async fn checks(&self) -> Result<BTreeMap<String, AgentCheck>> {
        self.get("agent/checks", None).await
    }

    /// `agent/check/register`: adds or replaces one check; `service_id` says whose.
    ///
    /// # Errors
    /// All of [`Error`].
    pub async fn register_check(&self, check: &CheckDefinition) -> Result<()> {
        const CALL: &str = "agent/check/register";
        let body =
            check.alone().map_err(|error| Error::Decode { call: CALL, why: error.to_string() })?;
        self.done(CALL, self.request(Method::PUT, CALL, None).json(&body)).await
    }

    /// `agent/check/deregister`: removes one check.
    ///
    /// # Errors
    /// All of [`Error`]; [`Error::is_not_found`] if it is not there.
    pub async fn deregister_check(&self, check_id: &str) -> Result<()> {
        const CALL: &str = "agent/check/deregister";
        self.done(CALL, self.scoped(Method::PUT, CALL, Some(check_id))).await
    }

    /// `agent/check/update`: sets a TTL check's status and starts its time again.
    ///
    /// # Errors
    /// All of [`Error`]; [`Error::is_not_found`] if there is no such TTL check.
    pub async fn update_check(
        &self,
        check_id: &str,
        status: CheckStatus,
        output: &str,
    ) -> Result<()> {
        const CALL: &str = "agent/check/update";
        let body = serde_json::json!({ "Status": status, "Output": output });
        self.done(CALL, self.scoped(Method::PUT, CALL, Some(check_id)).json(&body)).await
    }

    /// `agent/service/maintenance`: puts a service into maintenance, or ends it.
    ///
    /// # Errors
    /// All of [`Error`]; [`Error::is_not_found`] if it is not there.
    pub async fn service_maintenance(
        &self,
        service_id: &str,
        enable: bool,
        reason: &str,
    ) -> Result<()> {
        const CALL: &str = "agent/service/maintenance";
        let request = self
            .scoped(Method::PUT, CALL, Some(service_id))
            .query(&[("enable", if enable { "true" } else { "false" }), ("reason", reason)]);
        self.done(CALL, request).await
    }

    pub(super) async fn get<T: DeserializeOwned>(
        &self,
        call: &'static str,
        id: Option<&str>,
    ) -> Result<T> {
        let reply = self.exchange(call, self.scoped(Method::GET, call, id)).await?;
        decode(call, &success(call, reply)?)
    }

    pub(super) async fn done(&self, call: &'static str, request: RequestBuilder) -> Result<()> {
        success(call, self.exchange(call, request).await?).map(drop)
    }

    pub(super) async fn exchange(
        &self,
        call: &'static str,
        request: RequestBuilder,
    ) -> Result<Reply> {
        self.exchange_within(call, request, self.timeout).await
    }

    pub(super) async fn exchange_within(
        &self,
        call: &'static str,
        request: RequestBuilder,
        timeout: Duration,
    ) -> Result<Reply> {
        let reply = wire::exchange(request, timeout, BODY_LIMIT).await;
        if reply.as_ref().is_ok_and(|reply| matches!(reply.status, 401 | 403)) {
            self.refused.notify_one();
        }
        reply.map_err(|failure| match failure {
            Failure::Unreachable(why) => Error::Unreachable { call, why },
            Failure::Timeout => Error::Timeout { call, after: timeout },
            Failure::TooLarge => Error::TooLarge { call, limit: BODY_LIMIT },
        })
    }

    /// A request about something that lives in a namespace and partition.
    pub(super) fn scoped(
        &self,
        method: Method,
        call: &'static str,
        id: Option<&str>,
    ) -> RequestBuilder {
        self.request(method, call, id).query(&*self.tenancy)
    }

    pub(super) fn request(
        &self,
        method: Method,
        call: &'static str,
        id: Option<&str>,
    ) -> RequestBuilder {
        let mut url = self.base.clone();
        // `new` has made sure that the URL can have a path.
        if let Ok(mut path) = url.path_segments_mut() {
            path.pop_if_empty().push("v1").extend(call.split('/')).extend(id);
        }
        let mut request = self.http.request(method, url);
        let token = self.token.read().unwrap_or_else(std::sync::PoisonError::into_inner);
        if let Some(token) = &*token {
            request = request.header("X-Consul-Token", token);
        }
        request
    }
}

impl std::fmt::Debug for Client {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Client").field("base", &self.base.as_str()).finish_non_exhaustive()
    }
}

fn header(token: Option<SecretString>) -> Result<Option<HeaderValue>> {
    let Some(token) = token.filter(|token| !token.expose_secret().is_empty()) else {
        return Ok(None);
    };
    let mut value = HeaderValue::from_str(token.expose_secret())
        .map_err(|_| Error::Invalid("the Consul token holds characters that no header can hold"))?;
    value.set_sensitive(true);
    Ok(Some(value))
}

pub(super) fn success(call: &'static str, reply: Reply) -> Result<Reply> {
    if reply.is_success() {
        return Ok(reply);
    }
    Err(Error::Status { call, status: reply.status, body: reply.excerpt() })
}

pub(super) fn decode<T: DeserializeOwned>(call: &'static str, reply: &Reply) -> Result<T> {
    let mut json = serde_json::Deserializer::from_slice(&reply.body);
    let value = serde_path_to_error::deserialize(&mut json)
        .map_err(|e| Error::Decode { call, why: e.to_string() })?;
    json.end().map_err(|e| Error::Decode { call, why: e.to_string() })?;
    Ok(value)
}

pub(super) fn found<T>(result: Result<T>) -> Result<Option<T>> {
    match result {
        Ok(value) => Ok(Some(value)),
        Err(error) if error.is_not_found() => Ok(None),
        Err(error) => Err(error),
    }
}

#[cfg(test)]
#[path = "client_tests.rs"]
mod tests;
