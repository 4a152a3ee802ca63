//! The answers of Envoy's admin interface: never a panic, and nothing is read that is not there.

use serde_json::Value;
use taskmesh::envoy::{ServerInfo, read_listeners, read_stats};

/// Takes the bytes for each answer in turn. Gives whether one of them took it.
pub(crate) fn check(data: &[u8]) -> bool {
    let text = String::from_utf8_lossy(data);
    let stats = read_stats(data);
    assert!(stats.len() <= text.lines().count());
    for (name, value) in &stats {
        // As somebody prints it: with zeros before it, or a plus.
        let says = |line: &str| {
            let number = line.strip_prefix(name.as_str()).and_then(|rest| rest.strip_prefix(": "));
            number.is_some_and(|number| number.trim().parse() == Ok(*value))
        };
        assert!(text.lines().any(says), "{name}: {value}");
    }
    let Ok(said) = serde_json::from_slice::<Value>(data) else { return !stats.is_empty() };
    let listeners = read_listeners(data).is_ok_and(|all| {
        let there = said["listener_statuses"].as_array().map_or(0, Vec::len);
        assert_eq!(all.len(), there);
        // A port is only believed beside an address.
        all.iter().all(|l| {
            l.address.is_none_or(|a| text.contains(&a.port().to_string()) || a.port() == 0)
        })
    });
    let info = serde_json::from_slice::<ServerInfo>(data);
    !stats.is_empty() || (listeners && said.is_object()) || info.is_ok()
}
