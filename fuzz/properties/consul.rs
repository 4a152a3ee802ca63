//! The agent's answers: never a panic, and what is read is what was said.

use super::agent::{self, AgentCheck, AgentSelf, AgentService, Answer, HealthEntry};
use serde_json::Value;
use std::collections::BTreeMap;
use std::sync::LazyLock;
use taskmesh::consul::{CheckStatus, Registration};
use taskmesh::ecs::TaskIdentity;

/// Takes the bytes for each answer in turn, and for the header that numbers it. Gives whether one of them took it.
pub(crate) fn check(data: &[u8]) -> bool {
    index(data);
    let Ok(said) = serde_json::from_slice::<Value>(data) else { return false };
    compared(&said);
    // serde takes a list for a struct, too; what an agent says are objects.
    let itself = serde_json::from_slice::<AgentSelf>(data).is_ok_and(|agent| {
        if said["Config"].is_object() {
            assert_eq!(said["Config"]["NodeName"], agent.config.node_name);
            assert_eq!(said["Config"]["Datacenter"], agent.config.datacenter);
        }
        true
    });
    let services = serde_json::from_slice::<BTreeMap<String, AgentService>>(data);
    let services = services.is_ok_and(|all| {
        for (id, service) in all.iter().filter(|(id, _)| said[*id].is_object()) {
            assert_eq!(said[id]["ID"], service.id);
        }
        true
    });
    let checks = serde_json::from_slice::<BTreeMap<String, AgentCheck>>(data).is_ok_and(|all| {
        for (id, check) in all.iter().filter(|(id, _)| said[*id].is_object()) {
            assert_eq!(said[id]["Status"], check.status.as_str());
        }
        true
    });
    let health = serde_json::from_slice::<Vec<HealthEntry>>(data).is_ok_and(|all| {
        for (entry, said) in all.iter().zip(said.as_array().expect("a list")) {
            critical(entry, said);
        }
        true
    });
    itself || services || checks || health
}

/// Peers are kept away by any critical check, and by nothing else.
fn critical(entry: &HealthEntry, said: &Value) {
    let checks = said["Checks"].as_array().cloned().unwrap_or_default();
    if !said.is_object() || !checks.iter().all(Value::is_object) {
        return;
    }
    let any = checks.iter().any(|check| check["Status"] == CheckStatus::Critical.as_str());
    assert_eq!(entry.is_critical(), any, "{said}");
}

/// An index never runs ahead of what was said, and one that went back is asked from the start.
fn index(header: &[u8]) {
    let index = agent::index(header);
    for asked_with in [0, 1, u64::MAX] {
        let next = Answer { index, value: () }.next_index(asked_with);
        assert!(next == index && next >= asked_with || next == 0, "{index} after {asked_with}");
    }
}

/// Every difference has a place, and none has two.
fn compared(view: &Value) {
    let found = agent::differences(&REGISTERED, view);
    for (i, difference) in found.iter().enumerate() {
        assert!(!difference.path.is_empty(), "{difference:?}");
        assert!(serde_json::from_str::<Value>(&difference.seen).is_ok(), "{difference:?}");
        assert!(found[..i].iter().all(|other| other.path != difference.path), "{found:?}");
    }
}

static REGISTERED: LazyLock<Registration> = LazyLock::new(|| {
    let task = TaskIdentity {
        task_arn: "arn:aws:ecs:eu-west-1:111122223333:task/c/0123".to_owned(),
        task_id: "0123".to_owned(),
        family: "web".to_owned(),
        ..TaskIdentity::default()
    };
    agent::proxy(&super::metadata::LEAST.config, &task)
});
