//! What ECS says to a task definition at registration, besides what [`TaskDefinition`] itself refuses: its rules for
//! Fargate, times, names and references (AWS API reference, `RegisterTaskDefinition`). Which keys there are, AWS's own
//! API model says better.

use super::definition::TaskDefinition;
use serde_json::Value;
use std::collections::BTreeSet;

/// CPU units and the MiB of memory that go with them on Fargate: from, to, in steps of.
const FARGATE_SIZES: [(u64, u64, u64, u64); 5] = [
    (256, 512, 2048, 512),
    (512, 1024, 4096, 1024),
    (1024, 2048, 8192, 1024),
    (2048, 4096, 16384, 1024),
    (4096, 8192, 30720, 1024),
];
/// Keys of containers that Fargate does not know.
const NOT_ON_FARGATE: [&str; 9] = [
    "disableNetworking",
    "dnsSearchDomains",
    "dnsServers",
    "dockerSecurityOptions",
    "extraHosts",
    "links",
    "privileged",
    "systemControls",
    "volumesFrom",
];

/// What ECS would refuse, in words; nothing where it would register it.
pub fn refusals(definition: &Value) -> Vec<String> {
    let mut said = Vec::new();
    if let Err(error) = TaskDefinition::from_json(runnable(definition)) {
        said.push(error.to_string());
    }
    let compatible = list(&definition["requiresCompatibilities"]);
    let fargate = compatible.iter().any(|what| what == "FARGATE");
    if definition["family"].as_str().is_none_or(|name| !is_name(name, 255)) {
        said.push("family: up to 255 letters, digits, - and _".to_owned());
    }
    if fargate {
        on_fargate(definition, &mut said);
    }
    let volumes: Vec<_> = list(&definition["volumes"]).iter().map(|v| v["name"].clone()).collect();
    for container in list(&definition["containerDefinitions"]) {
        let mut refuse = |what: &str| said.push(format!("{}: {what}", container["name"]));
        if container["image"].as_str().is_none_or(|image| image.is_empty() || image.contains('<')) {
            refuse("image");
        }
        if container["name"].as_str().is_none_or(|name| !is_name(name, 255)) {
            refuse("name");
        }
        if !fargate && definition["memory"].is_null() && !has_memory(&container) {
            refuse("needs memory or memoryReservation, as the task has none");
        }
        times(&container, fargate, &mut refuse);
        let mut paths = BTreeSet::new();
        for point in list(&container["mountPoints"]) {
            if !volumes.contains(&point["sourceVolume"]) {
                refuse(&format!("no volume {}", point["sourceVolume"]));
            }
            let path = point["containerPath"].as_str().unwrap_or_default().to_owned();
            if !path.starts_with('/') || !paths.insert(path) {
                refuse("containerPath");
            }
        }
        let mut names = BTreeSet::new();
        for variable in [list(&container["environment"]), list(&container["secrets"])].concat() {
            if !names.insert(variable["name"].to_string()) {
                refuse(&format!("{} twice", variable["name"]));
            }
        }
        let secrets = list(&container["secrets"]);
        if !secrets.is_empty() && definition["executionRoleArn"].is_null() {
            refuse("secrets need an executionRoleArn");
        }
        for secret in secrets {
            let from = secret["valueFrom"].as_str().unwrap_or_default();
            // arn:aws:secretsmanager:REGION:ACCOUNT:secret:NAME, and then none or all of KEY:STAGE:ID.
            let colons = from.matches(':').count();
            if !from.starts_with("arn:aws:secretsmanager:") || ![6, 9].contains(&colons) {
                refuse(&format!("valueFrom {from}"));
            }
        }
        for limit in list(&container["ulimits"]) {
            if limit["softLimit"].as_u64() > limit["hardLimit"].as_u64() {
                refuse("a soft limit above the hard one");
            }
        }
        for key in NOT_ON_FARGATE.iter().filter(|key| fargate && !container[**key].is_null()) {
            refuse(&format!("{key} is not for Fargate"));
        }
    }
    said
}

fn on_fargate(definition: &Value, said: &mut Vec<String>) {
    if definition["networkMode"] != "awsvpc" {
        said.push("networkMode: Fargate needs awsvpc".to_owned());
    }
    let number = |key: &str| definition[key].as_str().and_then(|text| text.parse::<u64>().ok());
    let size = number("cpu").zip(number("memory"));
    let fits = size.is_some_and(|(cpu, memory)| {
        FARGATE_SIZES.iter().any(|(units, from, to, step)| {
            *units == cpu && (from..=to).contains(&&memory) && memory % step == 0
        })
    });
    if !fits {
        said.push(format!("cpu and memory: Fargate has no {size:?}"));
    }
}

fn times(container: &Value, fargate: bool, refuse: &mut impl FnMut(&str)) {
    let check = &container["healthCheck"];
    for (key, from, to) in
        [("interval", 5, 300), ("timeout", 2, 60), ("retries", 1, 10), ("startPeriod", 0, 300)]
    {
        if check[key].as_u64().is_some_and(|value| !(from..=to).contains(&value)) {
            refuse(&format!("healthCheck.{key}: from {from} to {to}"));
        }
    }
    for key in ["startTimeout", "stopTimeout"] {
        let seconds = container[key].as_u64();
        if seconds.is_some_and(|seconds| seconds < 2 || fargate && seconds > 120) {
            refuse(&format!("{key}: from 2, on Fargate to 120"));
        }
    }
}

/// A container may leave its command to its image; the simulation alone wants to know it here.
fn runnable(definition: &Value) -> Value {
    let mut definition = definition.clone();
    for container in definition["containerDefinitions"].as_array_mut().into_iter().flatten() {
        if container.get("entryPoint").is_none() && container.get("command").is_none() {
            container["command"] = serde_json::json!(["of the image"]);
        }
    }
    definition
}

fn has_memory(container: &Value) -> bool {
    ["memory", "memoryReservation"].iter().any(|key| container[*key].as_u64() >= Some(6))
}

fn is_name(text: &str, most: usize) -> bool {
    let fine = |c: char| c.is_ascii_alphanumeric() || c == '-' || c == '_';
    (1..=most).contains(&text.len()) && text.chars().all(fine)
}

fn list(value: &Value) -> Vec<Value> {
    value.as_array().cloned().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn definition() -> Value {
        json!({
            "family": "api", "requiresCompatibilities": ["FARGATE"], "networkMode": "awsvpc",
            "cpu": "256", "memory": "512", "executionRoleArn": "arn:aws:iam::1:role/x",
            "volumes": [{"name": "v"}],
            "containerDefinitions": [{
                "name": "app", "image": "app:1", "stopTimeout": 120,
                "mountPoints": [{"sourceVolume": "v", "containerPath": "/v"}],
                "secrets": [{"name": "S", "valueFrom": "arn:aws:secretsmanager:r:1:secret:s-abcdef:k::"}],
                "healthCheck": {"command": ["CMD", "true"], "interval": 5, "startPeriod": 300}
            }]
        })
    }

    #[test]
    fn a_right_one_is_registered() {
        assert_eq!(refusals(&definition()), Vec::<String>::new());
    }

    #[test]
    fn what_ecs_refuses_at_registration_is_refused() {
        for (pointer, value) in [
            ("/family", json!("a b")),
            ("/networkMode", json!("bridge")),
            ("/memory", json!("768")),
            ("/executionRoleArn", json!(null)),
            ("/volumes/0/name", json!("w")),
            ("/containerDefinitions/0/image", json!("<REGISTRY>/app")),
            ("/containerDefinitions/0/stopTimeout", json!(121)),
            ("/containerDefinitions/0/mountPoints/0/containerPath", json!("v")),
            (
                "/containerDefinitions/0/secrets/0/valueFrom",
                json!("arn:aws:secretsmanager:r:1:secret:s:k"),
            ),
            ("/containerDefinitions/0/healthCheck/interval", json!(4)),
            ("/containerDefinitions/0/healthCheck/startPeriod", json!(301)),
        ] {
            let mut wrong = definition();
            *wrong.pointer_mut(pointer).expect(pointer) = value;
            assert_eq!(refusals(&wrong).len(), 1, "{pointer}: {:?}", refusals(&wrong));
        }
        let mut links = definition();
        links["containerDefinitions"][0]["links"] = json!(["b"]);
        assert_eq!(refusals(&links).len(), 1);
    }
}
