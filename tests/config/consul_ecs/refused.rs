//! What v0.4.3 refuses; and, marked as such, what it accepts and Consul then never does.

mod proxy;

use super::*;

fn case(says: &'static str, document: Value, lines: &[&'static str]) -> Case {
    text(says, &document.to_string(), lines)
}

fn text(says: &'static str, document: &str, lines: &[&'static str]) -> Case {
    Case { says, document: document.to_owned(), expected: Expected::Refused(lines.to_vec()) }
}

pub(super) fn cases() -> Vec<Case> {
    let mut all = of_root();
    all.extend(of_service());
    all.extend(of_checks());
    all.extend(proxy::of_proxy());
    all.extend(proxy::of_upstreams());
    all.extend(proxy::of_text());
    all
}

fn of_root() -> Vec<Case> {
    let with = |key: &str, value: Value| {
        let mut document = service(json!({}));
        document[key] = value;
        document
    };
    let without = |key: &str| {
        let mut document = service(json!({}));
        document.as_object_mut().unwrap().remove(key);
        document
    };
    vec![
        case("no object", json!([]), &["(document): must be an object, not a list"]),
        case("null", json!(null), &["(document): must be an object, not null"]),
        case(
            "an empty object",
            json!({}),
            &["bootstrapDir: required, but missing", "service: required, but missing"],
        ),
        case("no service", without("service"), &["service: required, but missing"]),
        case(
            "no folder to share",
            without("bootstrapDir"),
            &["bootstrapDir: required, but missing"],
        ),
        case(
            "an empty folder",
            with("bootstrapDir", json!("")),
            &["bootstrapDir: must not be empty"],
        ),
        case(
            "a folder of null",
            with("bootstrapDir", json!(null)),
            &["bootstrapDir: must be a string, not null"],
        ),
        case(
            "a service of null",
            with("service", json!(null)),
            &["service: must be an object, not null"],
        ),
        case(
            "a service that is a list",
            with("service", json!([])),
            &["service: must be an object, not a list"],
        ),
        case(
            "a proxy that is text",
            with("proxy", json!("x")),
            &["proxy: must be an object or null, not a string"],
        ),
        case(
            "an unknown key at the top, near a known one",
            with("healthSyncContainer", json!(["a"])),
            &["healthSyncContainer: unknown key; did you mean \"healthSyncContainers\"?"],
        ),
        case(
            "a key at the top in another case",
            json!({"bootstrapdir": "/c", "service": {"port": 9090}}),
            &[
                "bootstrapDir: required, but missing",
                "bootstrapdir: unknown key; did you mean \"bootstrapDir\"?",
            ],
        ),
        case(
            "a key of a later version at the top",
            with("consulServers", json!({"hosts": "a"})),
            &[
                "consulServers: unknown key; known here: \"bootstrapDir\", \"healthSyncContainers\", \"proxy\" or \"service\"",
            ],
        ),
        case(
            "a container twice",
            with("healthSyncContainers", json!(["a", "b", "a"])),
            &["healthSyncContainers[2]: stands twice in this list"],
        ),
        case(
            "containers that are no texts",
            with("healthSyncContainers", json!([1, null])),
            &[
                "healthSyncContainers[0]: must be a string, not 1",
                "healthSyncContainers[1]: must be a string, not null",
            ],
        ),
        case(
            "one container instead of a list",
            with("healthSyncContainers", json!("app")),
            &["healthSyncContainers: must be a list or null, not a string"],
        ),
        case(
            "a container without a name (0.4.3 accepts it, and it stays critical for ever)",
            with("healthSyncContainers", json!([""])),
            &["healthSyncContainers[0]: must not be empty"],
        ),
    ]
}

fn of_service() -> Vec<Case> {
    let one = |says, keys: Value, line: &'static str| case(says, service(keys), &[line]);
    vec![
        case(
            "no port",
            json!({"bootstrapDir": "/c", "service": {"name": "api"}}),
            &["service.port: required, but missing"],
        ),
        case(
            "a port in another case",
            json!({"bootstrapDir": "/c", "service": {"PORT": 9090}}),
            &["service.port: required, but missing; \"PORT\" is another key"],
        ),
        one(
            "a port of null",
            json!({"port": null}),
            "service.port: must be a whole number from 0 to 65535, not null",
        ),
        one(
            "a port as text",
            json!({"port": "9090"}),
            "service.port: must be a whole number from 0 to 65535, not a string",
        ),
        one(
            "a broken port",
            json!({"port": 8.5}),
            "service.port: must be a whole number from 0 to 65535, not 8.5",
        ),
        one(
            "a whole port written with a point, which 0.4.3's schema takes and its decoder does not",
            json!({"port": 80.0}),
            "service.port: must be a whole number from 0 to 65535, not 80.0",
        ),
        one(
            "a negative port (0.4.3 accepts it; Consul never does)",
            json!({"port": -1}),
            "service.port: must be a whole number from 0 to 65535, not -1",
        ),
        one(
            "a port that is too high (0.4.3 accepts it; no app can listen there)",
            json!({"port": 99999}),
            "service.port: must be a whole number from 0 to 65535, not 99999",
        ),
        one(
            "a port beyond 64 bits",
            json!({"port": 1e30}),
            "service.port: must be a whole number from 0 to 65535, not 1e+30",
        ),
        one(
            "a name that is a number",
            json!({"name": 1}),
            "service.name: must be a string or null, not 1",
        ),
        one(
            "a name with a slash (0.4.3 accepts it; no certificate can name it)",
            json!({"name": "a/b"}),
            "service.name: must consist of letters, digits and dashes, not \"a/b\"",
        ),
        one(
            "a tag twice",
            json!({"tags": ["a", "a"]}),
            "service.tags[1]: stands twice in this list",
        ),
        one(
            "a tag of null",
            json!({"tags": [null]}),
            "service.tags[0]: must be a string, not null",
        ),
        one(
            "metadata that is no text",
            json!({"meta": {"version": 2}}),
            "service.meta.version: must be a string, not 2",
        ),
        one(
            "metadata of null",
            json!({"meta": {"a": null}}),
            "service.meta.a: must be a string, not null",
        ),
        one(
            "a flag as text",
            json!({"enableTagOverride": "true"}),
            "service.enableTagOverride: must be true or false or null, not a string",
        ),
        one(
            "weights without one",
            json!({"weights": {"passing": 1}}),
            "service.weights.warning: required, but missing",
        ),
        one(
            "a weight of null",
            json!({"weights": {"passing": null, "warning": 1}}),
            "service.weights.passing: must be a whole number from 1 to 65535, not null",
        ),
        one(
            "weights with an unknown key",
            json!({"weights": {"passing": 1, "warning": 1, "critical": 1}}),
            "service.weights.critical: unknown key; known here: \"passing\" or \"warning\"",
        ),
        one(
            "a weight of 0 (0.4.3 accepts it; Consul never does)",
            json!({"weights": {"passing": 0, "warning": 1}}),
            "service.weights.passing: must be a whole number from 1 to 65535, not 0",
        ),
        one(
            "a key in two spellings (in 0.4.3 the last one counts)",
            json!({"name": "a", "Name": "b"}),
            "service.Name: the same key as \"name\", which stands here too; keep one",
        ),
        one(
            "a key in another spelling, with a value that its decoder refuses",
            json!({"NAME": 5}),
            "service.NAME: must be a string or null, not 5",
        ),
    ]
}

fn of_checks() -> Vec<Case> {
    let one = |says, keys: Value, line: &'static str| case(says, check(keys), &[line]);
    vec![
        one(
            "an unknown key of a check",
            json!({"tcp": "127.0.0.1:1", "interval": "5s", "deregisterCriticalServiceAfter": "1m"}),
            "service.checks[0].deregisterCriticalServiceAfter: unknown key",
        ),
        one(
            "the decoder's spelling of a key, which the schema refuses",
            json!({"h2ping": "a:1", "interval": "5s", "h2pingUseTLS": true}),
            "service.checks[0].h2pingUseTLS: unknown key; did you mean \"h2pingUseTls\"?",
        ),
        one(
            "a check's name of null",
            json!({"name": null}),
            "service.checks[0].name: must be a string, not null",
        ),
        one(
            "a status that is none",
            json!({"ttl": "1s", "status": "Passing"}),
            "service.checks[0].status: must be \"passing\", \"warning\", \"critical\", \"maintenance\" or null, not \"Passing\"",
        ),
        one(
            "an empty status",
            json!({"ttl": "1s", "status": ""}),
            "service.checks[0].status: must be \"passing\", \"warning\", \"critical\", \"maintenance\" or null, not \"\"",
        ),
        one(
            "an interval as a number",
            json!({"tcp": "a:1", "interval": 10}),
            "service.checks[0].interval: must be a string or null, not 10",
        ),
        one(
            "an interval that is no duration (0.4.3 accepts it; Consul never does)",
            json!({"tcp": "a:1", "interval": "10 seconds"}),
            "service.checks[0].interval: Consul does not take \"10 seconds\" for a duration; write \"10s\", \"1m30s\"",
        ),
        one(
            "headers that are no lists",
            json!({"http": "http://a", "interval": "1s", "header": {"A": "x"}}),
            "service.checks[0].header.A: must be a list or null, not a string",
        ),
        one(
            "a threshold that is no number",
            json!({"ttl": "1s", "successBeforePassing": "2"}),
            "service.checks[0].successBeforePassing: must be a whole number from -2147483648 to 2147483647 or null, not a string",
        ),
        case(
            "a check of null",
            service(json!({"checks": [null]})),
            &["service.checks[0]: must be an object, not null"],
        ),
        case(
            "one check instead of a list",
            service(json!({"checks": {"ttl": "1s"}})),
            &["service.checks: must be a list or null, not an object"],
        ),
    ]
}
