//! Who the agent is: its node's name and ID, both made of the task ID.

use super::service_name;
use crate::config::Config;
use crate::ecs::TaskIdentity;

/// A DNS label, and so the name of a node, has no more characters.
const LABEL: usize = 63;

/// The agent's node name: as configured, else `<service>-<taskID>` as a DNS label. The task ID is never cut: it is what
/// keeps two tasks from claiming one name.
pub fn node_name(cfg: &Config, task: &TaskIdentity) -> String {
    if let Some(name) = &cfg.consul.node_name {
        return name.clone();
    }
    let mut id = label(&task.task_id);
    if id.is_empty() || id.len() > LABEL {
        id = label(&node_id(&task.task_id));
    }
    let mut name = label(service_name(&cfg.service, task));
    name.truncate(LABEL.saturating_sub(id.len() + 1));
    let name = name.trim_end_matches('-');
    if name.is_empty() { id } else { format!("{name}-{id}") }
}

/// Lower case, every other character than a letter or digit a hyphen, none at the ends.
fn label(text: &str) -> String {
    let allowed = |c: char| if c.is_ascii_alphanumeric() { c.to_ascii_lowercase() } else { '-' };
    text.chars().map(allowed).collect::<String>().trim_matches('-').to_owned()
}

/// The agent's node ID, a UUID: the task ID's 32 hex digits, with or without hyphens; else one derived from its text.
/// With a fixed ID the servers know the node again after its data was lost; with a random one they keep its name
/// reserved for minutes.
pub fn node_id(task_id: &str) -> String {
    let hex: String = task_id.chars().filter(|c| *c != '-').collect();
    let hex = if hex.len() == 32 && hex.chars().all(|c| c.is_ascii_hexdigit()) {
        hex.to_ascii_lowercase()
    } else {
        format!("{:032x}", fnv1a(task_id.as_bytes()))
    };
    let part = |range: std::ops::Range<usize>| &hex[range];
    [part(0..8), part(8..12), part(12..16), part(16..20), part(20..32)].join("-")
}

/// FNV-1a, 128 bits (<http://www.isthe.com/chongo/tech/comp/fnv/>): the same on every machine and in every release,
/// which the standard library's hashers do not promise.
fn fnv1a(bytes: &[u8]) -> u128 {
    const OFFSET: u128 = 0x6c62_272e_07bb_0142_62b8_2175_6295_c58d;
    const PRIME: u128 = 0x0000_0000_0100_0000_0000_0000_0000_013b;
    bytes.iter().fold(OFFSET, |hash, byte| (hash ^ u128::from(*byte)).wrapping_mul(PRIME))
}

#[cfg(test)]
mod tests {
    use super::*;

    const ID: &str = "158d1c8083dd49d6b527399fd6414f5c";

    #[test]
    fn a_default_node_name_is_a_dns_label_that_ends_with_the_whole_task_id() {
        let name = |service: &str, id: &str| {
            let cfg = serde_json::json!({
                "service": { "name": service, "port": 1 }, "consul": { "retryJoin": ["x"] },
            });
            let task = TaskIdentity { task_id: id.to_owned(), ..TaskIdentity::default() };
            node_name(&serde_json::from_value(cfg).unwrap(), &task)
        };
        assert_eq!(name("api", ID), format!("api-{ID}"));
        let long = name("a-service.with_a-name-of-Characters-far-too-long", ID);
        assert_eq!(long, format!("a-service-with-a-name-of-chara-{ID}"));
        assert_eq!(long.len(), LABEL);
        // The cut falls behind a hyphen.
        assert_eq!(
            name("a-service-with-a-name-of-char-x", ID),
            format!("a-service-with-a-name-of-char-{ID}")
        );
        assert_eq!(name("___", ID), ID);
        let strange = "x".repeat(70);
        assert_eq!(name("api", &strange), format!("api-{}", node_id(&strange)));
    }

    #[test]
    fn a_node_id_is_the_task_id_as_a_uuid() {
        let uuid = "158d1c80-83dd-49d6-b527-399fd6414f5c";
        assert_eq!(node_id(ID), uuid);
        assert_eq!(node_id(&uuid.to_uppercase()), uuid);
        // FNV-1a 128 of "foobar", from the test vectors of its authors.
        assert_eq!(node_id("foobar"), "343e1662-793c-64bf-6f0d-3597ba446f18");
        assert_ne!(node_id("task-1"), node_id("task-2"));
    }
}
