//! The task definitions of the tests and the demo: one helper container, and an app in one of the two supported forms.

use serde_json::{Value, json};

/// How the helper container is asked to start.
fn helper(depended_on_healthy: bool) -> Value {
    let mut helper = json!({
        "name": "taskmesh",
        "image": "taskmesh:dev",
        "essential": true,
        "entryPoint": ["{{taskmesh}}"],
        "command": ["run"],
        "environment": [{ "name": "TASKMESH_CONFIG_JSON", "value": "{{config}}" }],
        "stopTimeout": 30
    });
    if depended_on_healthy {
        helper["healthCheck"] = json!({
            "command": ["CMD", "{{taskmesh}}", "healthcheck"],
            "interval": 5, "timeout": 2, "retries": 10
        });
    }
    helper
}

/// The app's command: an HTTP server. `{{app_args}}`-like variables are avoided; further arguments are given here.
fn app_command(args: &[&str]) -> Vec<String> {
    ["{{testbed}}", "app", "http", "--listen", "0.0.0.0:{{app_port}}", "--name", "{{name}}"]
        .iter()
        .chain(args)
        .map(|s| (*s).to_owned())
        .collect()
}

/// The app's command wrapped (`taskmesh app -- CMD`), `dependsOn: START`: starts the moment T2 is reached.
pub fn wrapped(family: &str, args: &[&str]) -> Value {
    json!({
        "family": family,
        "networkMode": "awsvpc",
        "containerDefinitions": [
            helper(false),
            {
                "name": "app",
                "image": format!("{family}:dev"),
                "essential": true,
                "entryPoint": ["{{taskmesh}}", "app", "--"],
                "command": app_command(args),
                "dependsOn": [{ "containerName": "taskmesh", "condition": "START" }],
                "stopTimeout": 30
            }
        ]
    })
}

/// The app as it is, `dependsOn: HEALTHY`: nothing to change in the app, but ECS takes seconds to see HEALTHY.
pub fn unwrapped(family: &str, args: &[&str]) -> Value {
    json!({
        "family": family,
        "networkMode": "awsvpc",
        "containerDefinitions": [
            helper(true),
            {
                "name": "app",
                "image": format!("{family}:dev"),
                "essential": true,
                "command": app_command(args),
                "dependsOn": [{ "containerName": "taskmesh", "condition": "HEALTHY" }],
                "stopTimeout": 30
            }
        ]
    })
}
