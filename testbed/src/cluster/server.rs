//! A server on a host of the network.

use super::http::get_until;
use crate::mesh::ServerOptions;
use crate::net::{Host, Process, ProcessSpec};
use anyhow::{Context, Result, bail};
use std::time::Duration;
use tokio::time::Instant;

/// How long it may take until it leads itself: a real one takes 2 to 8 s.
pub(super) const LIMIT: Duration = Duration::from_secs(30);

/// Starts a server on a host and waits until it leads. Its folder is made if need be.
///
/// # Errors
/// If it does not start; with its last words.
pub async fn start_server(host: &Host, options: &ServerOptions) -> Result<Process> {
    std::fs::create_dir_all(&options.dir)?;
    let file = options.dir.join("server.json");
    std::fs::write(&file, options.config().to_string())?;
    let args = ["agent".to_owned(), format!("-config-file={}", file.display())];
    // Nothing of the caller's own Consul environment.
    let env = std::env::vars_os().filter(|(key, _)| !key.to_string_lossy().starts_with("CONSUL_"));
    let spec =
        ProcessSpec { clear_env: true, env: env.collect(), ..ProcessSpec::new(&options.bin, args) };
    let server = host
        .spawn_process(spec)
        .await
        .with_context(|| format!("starting {}", options.bin.display()))?;
    let url = format!("http://{}:{}/v1/status/leader", options.client, options.ports.http);
    let began = Instant::now();
    loop {
        let leader = get_until(host, &url, Duration::ZERO).await.unwrap_or_default();
        if leader.as_str().is_some_and(|leader| !leader.is_empty()) {
            return Ok(server);
        }
        let said = || {
            let lines = server.output().snapshot();
            lines.into_iter().map(|line| line.text).collect::<Vec<_>>().join("\n")
        };
        if let Some(exit) = server.exit() {
            bail!("the Consul server exited ({exit:?}): {}", said());
        }
        if began.elapsed() > LIMIT {
            bail!("the Consul server has no leader after {LIMIT:?}: {}", said());
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}
