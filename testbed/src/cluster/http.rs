//! HTTP as it looks from one of the cluster's hosts.

use super::MANAGEMENT;
use crate::net::Host;
use anyhow::Result;
use serde_json::Value;
use std::time::Duration;
use tokio::time::Instant;

/// GETs a URL on a host until it answers with JSON and 200.
///
/// # Errors
/// If it does not within `limit`.
pub async fn get_until(host: &Host, url: &str, limit: Duration) -> Result<Value> {
    let began = Instant::now();
    loop {
        match get_ok(host, url.to_owned()).await {
            Ok(value) => return Ok(value),
            Err(e) if began.elapsed() > limit => return Err(e.context(url.to_owned())),
            Err(_) => tokio::time::sleep(Duration::from_millis(20)).await,
        }
    }
}

async fn get_ok(host: &Host, url: String) -> Result<Value> {
    host.spawn(
        move || async move { client().get(url).send().await?.error_for_status()?.json().await },
    )
    .await?
    .map_err(Into::into)
}

/// Whatever the status: `/ready` has a body also with 503.
pub(super) async fn get(host: &Host, url: String) -> Result<Value> {
    host.spawn(move || async move {
        client().get(url).header("X-Consul-Token", MANAGEMENT).send().await?.json().await
    })
    .await?
    .map_err(Into::into)
}

/// A client for plain HTTP that keeps its connections, and gives up after 5 s.
#[must_use]
pub fn client() -> reqwest::Client {
    // A provider that was installed before is as good.
    let _installed = rustls::crypto::ring::default_provider().install_default();
    reqwest::Client::builder()
        .no_proxy()
        .tls_certs_only([])
        .timeout(Duration::from_secs(5))
        .build()
        .unwrap_or_default()
}
