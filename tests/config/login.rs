//! Rules for `consul.login`, and its example.

use crate::*;

/// The minimal document with ACLs, with this login, and with these keys in `consul`.
fn login(login: Value, keys: Value) -> Value {
    let mut document = minimal();
    let consul = document["consul"].as_object_mut().unwrap();
    consul.insert("acl".to_owned(), json!({}));
    consul.insert("login".to_owned(), login);
    consul.extend(keys.as_object().unwrap().clone());
    document
}

#[test]
fn the_example_is_accepted_without_a_warning_and_satisfies_the_schema() {
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("config/login/task.json");
    let loaded = load(&Sources { file: Some(file.clone()) }, &env([])).unwrap();
    assert_eq!(loaded.warnings, [""; 0]);
    let schema = serde_json::from_str(&schema_text()).unwrap();
    let document: Value = serde_json::from_str(&std::fs::read_to_string(&file).unwrap()).unwrap();
    assert!(jsonschema::validator_for(&schema).unwrap().is_valid(&document));
    let schema = document["$schema"].as_str().unwrap();
    assert!(file.parent().unwrap().join(schema).exists());
}

#[test]
fn a_login_needs_only_its_method_and_includes_the_role() {
    let loaded = load_value(&login(json!({ "method": "m" }), json!({}))).unwrap();
    let given = loaded.config.consul.login.unwrap();
    assert_eq!((given.method.as_str(), given.include_entity), ("m", true));
    assert_eq!((given.agent_method, given.region, given.meta.len()), (None, None, 0));
    // Without a method for the agent it still needs its token, as before.
    let [warning] = &loaded.warnings[..] else { panic!("{:?}", loaded.warnings) };
    assert!(warning.starts_with("consul.acl: consul.agentToken is missing"), "{warning}");
    for quiet in [
        login(json!({ "method": "m", "agentMethod": "a" }), json!({})),
        login(json!({ "method": "m" }), json!({ "agentToken": { "env": "A" } })),
    ] {
        assert_eq!(load_value(&quiet).unwrap().warnings, [""; 0]);
    }
    assert_eq!(
        errors_of(&login(json!({}), json!({}))),
        ["consul.login.method: required, but missing"]
    );
}

#[test]
fn what_cannot_be_logged_in_with_is_an_error_that_says_what_to_do() {
    let secret = json!({ "env": "A" });
    let with = |key: &str, value: Value| {
        let mut given = json!({ "method": "m", "agentMethod": "a" });
        given[key] = value;
        given
    };
    let both = json!({ "method": "m", "agentMethod": "a" });
    let table = [
        (
            login(both.clone(), json!({ "tls": { "ca": secret } })),
            "consul.login.agentMethod: with consul.tls.autoEncrypt the agent needs its token before it answers, and a \
             login is a question to it: set consul.tls.autoEncrypt to false, or give the agent its token by \
             consul.agentToken",
        ),
        (
            login(both.clone(), json!({ "serviceToken": secret })),
            "consul.serviceToken: consul.login is given too, which gets this token; keep one",
        ),
        (
            login(both.clone(), json!({ "agentToken": secret })),
            "consul.agentToken: consul.login.agentMethod is given too, which gets this token; keep one",
        ),
        (
            login(both, json!({ "acl": null })),
            "consul.login: not used without consul.acl; to use it, add \"acl\": {}",
        ),
        (login(with("method", json!("")), json!({})), "consul.login.method: must not be empty"),
        (
            login(with("agentMethod", json!(" ")), json!({})),
            "consul.login.agentMethod: must not be empty",
        ),
        (login(with("region", json!("")), json!({})), "consul.login.region: must not be empty"),
        (
            login(with("stsEndpoint", json!("sts.amazonaws.com")), json!({})),
            "consul.login.stsEndpoint: must be an http or https URL, not \"sts.amazonaws.com\"",
        ),
        (
            login(with("iamEndpoint", json!("https://iam.amazonaws.com/?a=b")), json!({})),
            "consul.login.iamEndpoint: must end before the ? or #",
        ),
        (
            login(with("serverIdHeader", json!("a b")), json!({})),
            "consul.login.serverIdHeader: must consist of printable ASCII without spaces, not \"a b\"",
        ),
    ];
    for (document, line) in table {
        assert_eq!(errors_of(&document), [line]);
    }
    let unused = json!({
        "method": "m", "agentMethod": "a", "includeEntity": false, "iamEndpoint": "https://iam.amazonaws.com",
    });
    assert_eq!(
        load_value(&login(unused, json!({}))).unwrap().warnings,
        ["consul.login.iamEndpoint: not used: includeEntity is false"]
    );
}
