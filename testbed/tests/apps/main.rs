//! The apps and the load client, in simulated tasks.

mod call;
mod http;
mod kinds;
mod stop;
#[path = "../support/mod.rs"]
mod support;

use std::time::Duration;

use serde_json::{Value, json};
use support::spec;
use testbed::ecs::{EcsTask, TaskResult};
use testbed::load::{Kind, Load, LoadSpec};
use testbed::net::Lan;
use tokio::time::{sleep, timeout};

/// Generous: the machine may be busy.
const PATIENCE: Duration = Duration::from_secs(20);

/// How many messages a gRPC call brings here, and how far apart.
const STREAM: &str = "/testbed.Echo/Stream?messages=5&every=10ms";

const KINDS: [Kind; 4] = [Kind::Http1, Kind::Http2, Kind::Grpc, Kind::Tcp];

/// The container of `testbed app KIND`.
fn container(kind: &str, name: &str, more: &[&str]) -> Value {
    let mut command = vec![env!("CARGO_BIN_EXE_testbed"), "app", kind];
    command.extend(more);
    // 6 s in the tests' time.
    json!({"name": name, "command": command, "stopTimeout": 120})
}

/// The container of a server.
fn server(kind: &str, name: &str, more: &[&str]) -> Value {
    let own = ["--name", name, "--listen", "{{ip}}:9090"];
    container(kind, name, &[own.as_slice(), more].concat())
}

/// A task with a server that listens, and the server's `host:port`.
async fn start(lan: &Lan, kind: &str, name: &str, more: &[&str]) -> (EcsTask, String) {
    let host = lan.host(name).expect("a host");
    let authority = format!("{}:9090", host.ip());
    let task = EcsTask::start(&host, spec(json!([server(kind, name, more)]))).await;
    let task = task.expect("started");
    let line = task.container(name).expect("there").wait_line("listens").await;
    line.expect("it listens");
    (task, authority)
}

/// A task with the kind's server, and a load for it.
async fn start_for(lan: &Lan, kind: Kind, name: &str, more: &[&str]) -> (EcsTask, LoadSpec) {
    let app = if kind == Kind::Tcp { "tcp" } else { "http" };
    let (task, authority) = start(lan, app, name, more).await;
    (task, load(kind, &authority))
}

fn load(kind: Kind, authority: &str) -> LoadSpec {
    let url = match kind {
        Kind::Http1 | Kind::Http2 => format!("http://{authority}/"),
        Kind::Grpc => format!("http://{authority}{STREAM}"),
        Kind::Tcp => format!("tcp://{authority}"),
    };
    LoadSpec::new(&url).and_then(|spec| spec.kind(kind)).expect("a url of the kind")
}

async fn stopped(task: &EcsTask) -> TaskResult {
    timeout(PATIENCE, task.wait_stopped()).await.expect("it stops")
}

/// Waits for both failures of an app that ends abruptly: requests that were under way then, and those that come later.
async fn failures_of_an_end(load: &Load, under_way: &str) {
    let both = async {
        loop {
            let reasons = load.report().reasons;
            let cut = reasons.keys().any(|reason| reason.starts_with(under_way));
            if cut && reasons.contains_key("connect: connection refused") {
                return;
            }
            sleep(Duration::from_millis(5)).await;
        }
    };
    assert!(timeout(PATIENCE, both).await.is_ok(), "{}", load.report());
}
