//! The binary's own promises: exit codes, and that nothing is started before the configuration is right.

#[path = "cli/explain.rs"]
mod explain;
#[path = "cli/explained_run.rs"]
mod explained_run;
#[path = "cli/recorder.rs"]
mod recorder;

use std::process::{Command, Output};

/// Runs the binary with no environment but what is given.
fn taskmesh(args: &[&str], env: &[(&str, &str)]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_taskmesh"))
        .args(args)
        .env_clear()
        .envs(env.iter().copied())
        .output()
        .expect("taskmesh")
}

fn stderr(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

#[test]
fn a_wrong_configuration_is_told_as_a_whole_and_starts_nothing() {
    let dir = tempfile::tempdir().expect("dir");
    let witness = dir.path().join("witness");
    let consul = dir.path().join("consul");
    std::fs::write(&consul, format!("#!/bin/sh\ntouch {}\n", witness.display())).expect("script");
    std::fs::set_permissions(&consul, std::os::unix::fs::PermissionsExt::from_mode(0o755))
        .expect("mode");
    let config = serde_json::json!({
        "service": { "port": "9090" },
        "consul": { "binary": consul, "retryJoin": ["10.0.0.10"], "datacentre": "dc1" },
        "lifecycle": { "stopTimeout": "soon" }
    });
    let output = taskmesh(&["run"], &[("TASKMESH_CONFIG_JSON", &config.to_string())]);
    assert_eq!(output.status.code(), Some(64));
    let told = stderr(&output);
    let paths: Vec<_> = told.lines().filter_map(|line| line.split(':').next()).collect();
    assert_eq!(paths, ["consul.datacentre", "lifecycle.stopTimeout", "service.port"], "{told}");
    assert!(told.contains("did you mean \"datacenter\"?"), "{told}");
    assert!(!witness.exists(), "consul was run");
}

#[test]
fn no_configuration_at_all_is_told() {
    let output = taskmesh(&["run"], &[]);
    assert_eq!(output.status.code(), Some(64));
    assert!(stderr(&output).contains("--config FILE"), "{}", stderr(&output));
}

#[test]
fn a_secret_that_is_not_there_is_named_by_its_path() {
    let config = r#"{"service": {"port": 9090},
        "consul": {"retryJoin": ["10.0.0.10"], "serviceToken": {"env": "NOT_SET"}}}"#;
    let output = taskmesh(&["run"], &[("TASKMESH_CONFIG_JSON", config)]);
    assert_eq!(output.status.code(), Some(64));
    let told = String::from_utf8_lossy(&output.stdout).into_owned() + &stderr(&output);
    assert!(told.contains("consul.serviceToken") && told.contains("NOT_SET"), "{told}");
}

#[test]
fn an_admin_port_that_is_taken_is_named_and_the_exit_code_is_1() {
    let taken = std::net::TcpListener::bind("127.0.0.1:0").expect("port");
    let addr = taken.local_addr().expect("addr").to_string();
    let config = serde_json::json!({
        "service": { "port": 9090 },
        "consul": { "retryJoin": ["10.0.0.10"] },
        "admin": { "listen": addr }
    });
    let output = taskmesh(&["run"], &[("TASKMESH_CONFIG_JSON", &config.to_string())]);
    assert_eq!(output.status.code(), Some(1));
    let told = String::from_utf8_lossy(&output.stdout).into_owned() + &stderr(&output);
    assert!(told.contains(&addr), "{told}");
}

#[test]
fn check_config_says_what_run_would_say() {
    let good = r#"{"service": {"port": 9090}, "consul": {"retryJoin": ["10.0.0.10"]}}"#;
    let output = taskmesh(&["check-config"], &[("TASKMESH_CONFIG_JSON", good)]);
    assert_eq!(output.status.code(), Some(0), "{}", stderr(&output));
    let output = taskmesh(&["check-config"], &[("TASKMESH_CONFIG_JSON", "{}")]);
    assert_eq!(output.status.code(), Some(64));
    assert!(stderr(&output).contains("consul: required"), "{}", stderr(&output));
}

#[test]
fn a_health_check_without_a_supervisor_fails_and_says_so() {
    let free = std::net::TcpListener::bind("127.0.0.1:0").expect("port");
    let addr = free.local_addr().expect("addr").to_string();
    drop(free);
    let output = taskmesh(&["healthcheck"], &[("TASKMESH_ADMIN", &addr)]);
    assert_eq!(output.status.code(), Some(1));
    assert!(!output.stdout.is_empty() || !output.stderr.is_empty());
}

#[test]
fn the_version_is_told() {
    let output = taskmesh(&["version"], &[]);
    assert_eq!(output.status.code(), Some(0));
    let expected = format!("taskmesh {}\n", env!("CARGO_PKG_VERSION"));
    assert_eq!(String::from_utf8_lossy(&output.stdout), expected);
}
