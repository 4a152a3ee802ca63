use super::*;
use serde_json::json;

fn names(names: &[&str]) -> Vec<String> {
    names.iter().map(|&name| name.to_owned()).collect()
}

/// Two apps, one of them with a health check, among everything that is none.
fn task() -> Task {
    serde_json::from_value(json!({ "Containers": [
        { "Name": "worker", "Type": "NORMAL", "Image": "x/worker:1" },
        { "Name": "app", "Type": "NORMAL", "Image": "app", "Health": {} },
        { "Name": "taskmesh", "Type": "NORMAL", "Health": { "status": "HEALTHY" } },
        { "Name": "~internal~ecs~pause", "Type": "CNI_PAUSE" },
        { "Name": "aws-guardduty-agent-xY1", "Type": "NORMAL", "Health": {} },
        { "Name": "ecs-service-connect-Ab2", "Type": "NORMAL", "Health": { "status": "HEALTHY" } },
        { "Name": "log_router", "Type": "NORMAL", "Image": "mine:1" },
        { "Name": "shipper", "Type": "NORMAL", "Image": "public.ecr.aws/x/aws-for-fluent-bit:stable", "Health": {} },
        { "Name": "shipper2", "Type": "NORMAL", "Image": "fluent/fluentd@sha256:ab" },
        { "Name": "daemon", "Type": "MANAGED_DAEMON" },
    ] }))
    .unwrap()
}

fn apps(configured: Option<&[&str]>, wrapped: &[&str], health_synced: &[&str]) -> Vec<String> {
    let configured = configured.map(names);
    let (wrapped, synced) = (names(wrapped), names(health_synced));
    app_containers(&task(), "taskmesh", configured.as_deref(), &wrapped, &synced, None)
}

#[test]
fn without_a_word_every_normal_container_is_an_app_but_ours_injected_ones_and_log_routers() {
    assert_eq!(apps(None, &[], &[]), ["app", "worker"]);
}

#[test]
fn wrapped_and_health_synced_ones_are_the_apps_if_there_are_any() {
    assert_eq!(apps(None, &["worker"], &[]), ["worker"]);
    assert_eq!(apps(None, &["worker"], &["app", "worker"]), ["app", "worker"]);
    // A synced one may not be listed yet; nobody waits for a log router, an injected one or ourselves.
    let synced = ["later", "shipper", "log_router", "taskmesh", "ecs-service-connect-Ab2"];
    assert_eq!(apps(None, &[], &synced), ["later"]);
    // None of them is left: as without a word.
    assert_eq!(apps(None, &[], &["log_router"]), ["app", "worker"]);
}

#[test]
fn what_is_configured_stands() {
    assert_eq!(apps(Some(&["shipper", "absent"]), &["worker"], &["app"]), ["absent", "shipper"]);
    assert_eq!(apps(Some(&[]), &["worker"], &["app"]), names(&[]));
}

#[test]
fn without_a_definition_the_apps_that_report_health_are_synced_also_while_it_is_unknown() {
    assert_eq!(reporting_containers(&task(), "taskmesh"), ["app"]);
}

fn defined(name: &str, essential: bool, health_check: bool) -> DefinedContainer {
    DefinedContainer {
        name: name.to_owned(),
        essential,
        health_check,
        ..DefinedContainer::default()
    }
}

#[test]
fn with_a_definition_those_are_synced_that_are_essential_and_have_a_health_check() {
    let router = DefinedContainer { routes_logs: true, ..defined("shipper", true, true) };
    let definition = TaskDefinition {
        containers: vec![
            defined("worker", true, false),
            defined("zebra", true, true),
            defined("app", true, true),
            defined("cache", false, true),
            defined("taskmesh", true, true),
            defined("aws-guardduty-agent-xY1", true, true),
            router,
        ],
    };
    assert_eq!(synced_by_definition(&definition, "taskmesh"), ["app", "zebra"]);
    assert_eq!(synced_by_definition(&TaskDefinition::default(), "taskmesh"), names(&[]));
}

#[test]
fn the_definition_tells_a_log_router_that_neither_name_nor_image_tells() {
    let router = DefinedContainer { routes_logs: true, ..defined("worker", true, false) };
    let definition = TaskDefinition { containers: vec![router, defined("app", true, false)] };
    for wrapped in [&[][..], &["worker"]] {
        let apps =
            app_containers(&task(), "taskmesh", None, &names(wrapped), &[], Some(&definition));
        assert_eq!(apps, ["app"]);
    }
    let configured = names(&["worker"]);
    let apps = app_containers(&task(), "taskmesh", Some(&configured), &[], &[], Some(&definition));
    assert_eq!(apps, ["worker"], "what is configured stands");
}

#[test]
fn injected_names() {
    let injected_names =
        ["aws-guardduty-agent-1", "ecs-service-connect-x", "~internal~ecs~pause", "log_router"];
    assert!(injected_names.iter().all(|name| injected(name)));
    assert!(!injected("app") && !injected("my-log_router"));
}

#[test]
fn our_own_container_is_never_waited_for() {
    assert_eq!(apps(Some(&["worker", "taskmesh"]), &[], &[]), ["worker"]);
}
