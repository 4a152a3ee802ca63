//! Logins: which auth methods there are, and whether a proof has the form of one.
//!
//! Nobody is asked whether the signature is right, as Consul asks STS: who knows the form gets in (development only).

use std::sync::Arc;
use std::time::Duration;

use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use serde::Deserialize;
use serde_json::{Map, Value};

use super::acl::Token;
use super::agent::Agent;
use super::random;

/// An auth method declared for a test, of the type `aws-iam`.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct AuthMethod {
    pub(crate) name: String,
    /// What its tokens are for: `agent` or `service`.
    pub(crate) kind: String,
    #[serde(default)]
    pub(crate) service: String,
    /// `MaxTokenTTL` in milliseconds, which may be shorter than Consul's least, 1 min; 0: tokens do not end.
    #[serde(default)]
    pub(crate) ttl_ms: u64,
    /// `EnableIAMEntityDetails`: the proof must have the second request in it.
    #[serde(default)]
    pub(crate) entity: bool,
    /// `ServerIDHeaderValue`.
    #[serde(default)]
    pub(crate) server_id: String,
}

/// The description of a login's token begins with this, as Consul's does.
const DESCRIPTION: &str = "token created via login: ";
const ENTITY: [&str; 4] = ["Method", "Url", "Headers", "Body"];

impl AuthMethod {
    /// A new token for a proof in the right form.
    pub(crate) fn token(&self, bearer: &str, meta: &Map<String, Value>) -> Result<Token, String> {
        self.check(bearer)?;
        let created = jiff::Timestamp::now();
        let ttl = Duration::from_millis(self.ttl_ms);
        let (policies, services) = match self.kind.as_str() {
            "agent" => (vec!["devmesh-agent".to_owned()], vec![]),
            "service" => (vec![], vec![self.service.clone()]),
            other => return Err(format!("devmesh.auth_methods: unknown kind {other}")),
        };
        let meta = serde_json::to_string(meta).map_err(|e| e.to_string())?;
        Ok(Token {
            secret: random::uuid(),
            accessor: random::uuid(),
            policies,
            services,
            description: format!("{DESCRIPTION}{meta}"),
            method: self.name.clone(),
            created: Some(created),
            expires: (self.ttl_ms > 0).then(|| created + ttl),
            ..Token::default()
        })
    }

    fn check(&self, bearer: &str) -> Result<(), String> {
        let token: Value =
            serde_json::from_str(bearer).map_err(|e| format!("invalid token: {e}"))?;
        if token["iam_http_request_method"] != "POST" {
            return Err("iam_http_request_method must be POST".into());
        }
        let part = |key: &str| {
            let bytes = BASE64_STANDARD.decode(token[key].as_str().unwrap_or_default());
            let text = bytes.ok().and_then(|bytes| String::from_utf8(bytes).ok());
            text.filter(|text| !text.is_empty()).ok_or_else(|| format!("invalid token: {key}"))
        };
        let headers: Value = serde_json::from_str(&part("iam_request_headers")?)
            .map_err(|e| format!("invalid token: {e}"))?;
        self.request(
            &part("iam_request_url")?,
            &part("iam_request_body")?,
            &headers,
            &["GetCallerIdentity"],
        )?;
        if !self.entity {
            return Ok(());
        }
        let mut inner = Vec::new();
        for name in ENTITY {
            inner.push(header(&headers, &format!("X-Consul-Iam-Getentity-{name}"))?);
        }
        let [_, url, of, body] = &inner[..] else { return Err("invalid token".into()) };
        let of = serde_json::from_str(of).map_err(|e| format!("invalid token: {e}"))?;
        self.request(url, body, &of, &["GetRole", "GetUser"])
    }

    /// One of the two requests: a plain URL, a form for this action, and a signature that covers what it must.
    fn request(
        &self,
        url: &str,
        body: &str,
        headers: &Value,
        actions: &[&str],
    ) -> Result<(), String> {
        if !url.starts_with("http") || url.contains('?') {
            return Err(format!("invalid URL: {url:?}"));
        }
        let action = body.split('&').find_map(|field| field.strip_prefix("Action="));
        if !action.is_some_and(|action| actions.contains(&action)) {
            return Err(format!("unexpected value Action={}", action.unwrap_or_default()));
        }
        header(headers, "X-Amz-Date")?;
        let authorization = header(headers, "Authorization")?;
        let signed =
            authorization.split_once("SignedHeaders=").and_then(|(_, r)| r.split_once(','));
        let (signed, signature) = signed.ok_or("missing Authorization header")?;
        let signed: Vec<_> = signed.split(';').collect();
        let mut needed = vec!["host", "x-amz-date"];
        if !self.server_id.is_empty() {
            let given = header(headers, "X-Consul-Iam-Serverid")
                .map_err(|_| "missing header \"X-Consul-IAM-ServerID\"")?;
            if given != self.server_id {
                return Err(format!("expected {:?} but got {given:?}", self.server_id));
            }
            needed.push("x-consul-iam-serverid");
        }
        if let Some(name) = needed.into_iter().find(|name| !signed.contains(name)) {
            return Err(format!("header wasn't signed: {name}"));
        }
        let hex = signature.trim().strip_prefix("Signature=").unwrap_or_default();
        if hex.len() != 64 || !hex.bytes().all(|b| b.is_ascii_hexdigit()) {
            return Err("received error code 403: SignatureDoesNotMatch".into());
        }
        Ok(())
    }
}

/// A header's one value; names are compared as they stand, in Go's spelling.
fn header(headers: &Value, name: &str) -> Result<String, String> {
    match headers[name].as_array().map(Vec::as_slice) {
        Some([Value::String(value)]) => Ok(value.clone()),
        _ => Err(format!("missing header {name:?}")),
    }
}

/// Takes away the tokens that have ended. Consul refuses them from that moment on.
pub(crate) async fn reap(agent: Arc<Agent>) {
    loop {
        tokio::time::sleep(Duration::from_millis(50)).await;
        let now = jiff::Timestamp::now();
        let over = |token: &Token| token.expires.is_some_and(|end| end <= now);
        if agent.catalog.read(|s| s.acl.tokens.values().any(over)) {
            tracing::info!("a token of a login has ended");
            agent.catalog.change(|c| {
                c.state.acl.tokens.retain(|_, token| !over(token));
                c.touch("acl");
            });
        }
    }
}
