//! The development mesh, held to what Consul does: the contract tests run on the stand-in and,
//! where `CONSUL_BIN` or `CONSUL187_BIN` names one, on a real Consul too; the data plane needs `ENVOY_BIN`.

mod acl;
mod contract;
mod data_plane;
mod nodes;

use std::path::PathBuf;
use std::time::Duration;

use serde_json::Value;
use testbed::mesh::{AgentOptions, Consul, Kind, Ports, ServerOptions};
use tokio::time::{Instant, sleep};

/// Generous: a real server elects itself first, and the machine may be busy.
const PATIENCE: Duration = Duration::from_secs(30);

/// The stand-in, and the real ones there are: `CONSUL_BIN` (1.16 or later), `CONSUL187_BIN`.
fn executables() -> Vec<(PathBuf, Kind)> {
    let dev = PathBuf::from(env!("CARGO_BIN_EXE_dev-consul"));
    let mut all = vec![(dev, Kind::Dev)];
    for found in [testbed::parts::consul187(), testbed::parts::consul()] {
        match found {
            Ok(real) => {
                let kind = Kind::of(&real).unwrap();
                all.push((real, kind));
            }
            // Not a skip: the test runs on the stand-in.
            Err(missing) => println!("not on a real Consul: {missing}"),
        }
    }
    all
}

/// A server and the folder that all its nodes keep their files in.
struct Mesh {
    server: Consul,
    folder: tempfile::TempDir,
}

impl Mesh {
    async fn start((bin, kind): (PathBuf, Kind), set: impl FnOnce(&mut ServerOptions)) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let mut options = ServerOptions::new(bin, kind, folder.path());
        options.ports = Ports::free().unwrap();
        set(&mut options);
        let server = options.spawn().unwrap();
        server.ready(PATIENCE).await.unwrap();
        Self { server, folder }
    }

    /// A joined agent and its ports.
    async fn agent(&self, name: &str, extra: Value) -> (Consul, Ports) {
        let ports = Ports::free().unwrap();
        let mut options = AgentOptions::new(&self.server, name, ports, self.folder.path());
        options.extra = serde_json::json!({"data_dir": self.folder.path().join(name)});
        if let (Some(all), Value::Object(more)) = (options.extra.as_object_mut(), extra) {
            all.extend(more);
        }
        let agent = options.spawn().unwrap();
        agent.ready(PATIENCE).await.unwrap();
        (agent, ports)
    }
}

/// Asks until the answer is as wanted; the last answer is in the panic.
async fn until(consul: &Consul, path: &str, token: &str, good: impl Fn(&Value) -> bool) -> Value {
    let deadline = Instant::now() + PATIENCE;
    loop {
        let (code, body) = consul.call("GET", path, token, &Value::Null).await.unwrap();
        if code == 200 && good(&body) {
            return body;
        }
        assert!(Instant::now() < deadline, "{path} stays at {code} {body}");
        sleep(Duration::from_millis(10)).await;
    }
}

/// How many instances a list holds.
fn count(list: &Value) -> usize {
    list.as_array().map_or(0, Vec::len)
}
