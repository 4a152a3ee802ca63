//! What only the server owns, and keeps in its data folder: authority, tokens, catalog.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::acl::{self, Acl, MANAGEMENT, Token};
use super::agent::Agent;
use super::ca::Authority;
use super::catalog::Snapshot;
use super::config::Config;

#[derive(Serialize, Deserialize)]
struct Kept {
    snapshot: Snapshot,
    authority: Authority,
}

const KEPT: &str = "devmesh-server.json";

/// Opens or makes the server's state: authority, tokens, config entries, catalog.
pub(crate) fn open_state(config: &Config) -> Result<(Snapshot, Authority), String> {
    let file = config.data_dir.as_ref().map(|d| d.join(KEPT));
    let kept = match file.as_ref().map(std::fs::read_to_string) {
        Some(Ok(text)) => serde_json::from_str::<Kept>(&text).map_err(|e| e.to_string())?,
        _ => {
            let authority = Authority::generate().map_err(|e| e.to_string())?;
            let root = authority.root.clone();
            Kept { snapshot: Snapshot { root, ..Snapshot::default() }, authority }
        }
    };
    let Kept { mut snapshot, authority } = kept;
    snapshot.datacenter.clone_from(&config.datacenter);
    snapshot.index += 1;
    snapshot.acl.enabled = config.acl.enabled;
    snapshot.acl.default_deny = config.acl.default_policy == "deny";
    declare_tokens(&mut snapshot.acl, config)?;
    Ok((snapshot, authority))
}

fn declare_tokens(acl: &mut Acl, config: &Config) -> Result<(), String> {
    let mut put = |secret: &str, policies: Vec<String>, services: Vec<String>| {
        let accessor = super::random::uuid();
        let token =
            Token { secret: secret.into(), accessor, policies, services, ..Token::default() };
        acl.tokens.entry(secret.to_owned()).or_insert(token);
    };
    let master = &config.acl.tokens.initial_management;
    if !master.is_empty() {
        put(master, vec![MANAGEMENT.into()], vec![]);
    }
    let mut policies = vec![("devmesh-agent".to_owned(), acl::agent_rules())];
    for (n, token) in config.dev.tokens.iter().enumerate() {
        match token.kind.as_str() {
            "management" => put(&token.secret, vec![MANAGEMENT.into()], vec![]),
            "agent" => put(&token.secret, vec!["devmesh-agent".into()], vec![]),
            "service" => put(&token.secret, vec![], vec![token.service.clone()]),
            "rules" => {
                policies.push((format!("devmesh-{n}"), acl::parse_rules(&token.rules)?));
                put(&token.secret, vec![format!("devmesh-{n}")], vec![]);
            }
            other => return Err(format!("devmesh.tokens: unknown kind {other}")),
        }
    }
    acl.policies.extend(policies);
    Ok(())
}

/// Writes the state at every change.
pub(crate) async fn keep(agent: Arc<Agent>, folder: PathBuf) {
    let mut changes = agent.catalog.subscribe();
    loop {
        if let Err(error) = write(&agent, &folder) {
            tracing::warn!(%error, "could not keep the server's state");
        }
        if changes.changed().await.is_err() {
            return;
        }
    }
}

fn write(agent: &Agent, folder: &Path) -> std::io::Result<()> {
    let Some(authority) = &agent.authority else { return Ok(()) };
    let snapshot = serde_json::to_value(agent.catalog.read(Clone::clone))?;
    let kept = serde_json::json!({"snapshot": snapshot, "authority": authority});
    let fresh = folder.join(format!("{KEPT}.new"));
    std::fs::write(&fresh, kept.to_string())?;
    std::fs::rename(fresh, folder.join(KEPT))
}
