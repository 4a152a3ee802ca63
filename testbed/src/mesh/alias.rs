//! Alias checks.

use super::local::{LocalCheck, State};

/// An alias check mirrors the checks of the service it names, and the node's.
pub(crate) fn recompute(state: &mut State) {
    let aliases: Vec<(String, String)> = state
        .checks
        .values()
        .filter(|c| c.check.kind == "alias" && c.def.alias_node.is_empty())
        .map(|c| (c.check.id.clone(), c.def.alias_service.clone()))
        .collect();
    for (id, target) in aliases {
        let of_target = |c: &&LocalCheck| {
            (c.check.service_id.is_empty() || c.check.service_id == target) && c.check.id != id
        };
        let worst = |wanted: &str| {
            state.checks.values().filter(of_target).find(|c| c.check.status == wanted)
        };
        let failing = |c: &LocalCheck| {
            format!("Aliased check \"{}\" failing: {}", c.check.name, c.check.output)
        };
        let (status, output) = if !state.services.contains_key(&target) {
            ("critical", format!("Service {target} could not be found"))
        } else if let Some(check) = worst("critical") {
            ("critical", failing(check))
        } else if let Some(check) = worst("warning") {
            ("warning", failing(check))
        } else if state.checks.values().any(|c| of_target(&c)) {
            ("passing", "All checks passing.".into())
        } else {
            ("passing", "No checks found.".into())
        };
        if let Some(check) = state.checks.get_mut(&id) {
            check.check.output = output;
            if check.check.status != status {
                check.set_status(status);
            }
        }
    }
}
