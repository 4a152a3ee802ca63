//! The bootstrap that Consul prints, edited: the token is gone, the admin interface is on loopback, and editing it once
//! more changes nothing.

use serde_json::Value;
use std::path::Path;
use taskmesh::envoy::{Edit, TokenFile, edit};

/// Takes the bytes for a bootstrap. Gives whether it could be edited.
pub(crate) fn check(data: &[u8]) -> bool {
    let Ok(printed) = serde_json::from_slice::<Value>(data) else { return false };
    let path = Path::new("/x/token.json");
    let tokens = [TokenFile::Watched(path), TokenFile::Inline, TokenFile::None];
    // Each of them, whatever the others say.
    let edited = tokens.map(|token| edited(&printed, token));
    edited.contains(&true)
}

fn edited(printed: &Value, token: TokenFile<'_>) -> bool {
    let edits = Edit { token, admin_port: 19_000 };
    let Ok(once) = edit(printed.clone(), &edits) else { return false };
    let address = &once["admin"]["address"]["socket_address"];
    assert_eq!(
        (&address["address"], &address["port_value"]),
        (&"127.0.0.1".into(), &19_000.into())
    );
    let services = once.pointer("/dynamic_resources/ads_config/grpc_services");
    for service in services.and_then(Value::as_array).into_iter().flatten() {
        let metadata = service["initial_metadata"].as_array().cloned().unwrap_or_default();
        let holds = |entry: &Value| entry["key"] == "x-consul-token";
        assert!(token == TokenFile::Inline || !metadata.iter().any(holds), "{once}");
    }
    let twice = edit(once.clone(), &edits).expect("what was edited once");
    assert_eq!(twice, once);
    true
}
