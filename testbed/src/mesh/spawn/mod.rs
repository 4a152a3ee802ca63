//! Running servers and agents from tests: the stand-in or a real Consul, with one description.
//!
//! The processes inherit the network namespace of the calling thread, log to a file in their
//! folder and are killed when their [`Consul`] is dropped.

mod options;

use std::fs::File;
use std::io;
use std::net::{SocketAddr, TcpListener};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::Duration;

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use serde_json::{Value, json};
use thiserror::Error;
use tokio::time::{Instant, sleep};

pub use self::options::{Acl, AgentOptions, ServerOptions, Tls, Token};
use super::http;

/// Why a process could not be used.
#[derive(Debug, Error)]
pub enum SpawnError {
    /// A file or a process could not be made.
    #[error("{what}: {source}")]
    Io {
        /// What was tried.
        what: String,
        /// Why it failed.
        source: io::Error,
    },
    /// It did not become ready in time; the end of its log says more.
    #[error("{name} is not ready: {error}; end of its log:\n{log}")]
    NotReady {
        /// The node's name.
        name: String,
        /// The last answer.
        error: String,
        /// The last lines it wrote.
        log: String,
    },
    /// The HTTP API refused a call.
    #[error("{call}: {answer}")]
    Refused {
        /// Method and path.
        call: String,
        /// Status and text.
        answer: String,
    },
}

fn io_error(what: impl Into<String>) -> impl FnOnce(io::Error) -> SpawnError {
    let what = what.into();
    move |source| SpawnError::Io { what, source }
}

/// Which executable it is, since configuration keys and commands differ.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// The stand-in of this package.
    Dev,
    /// A real Consul before 1.14 (no `grpc_tls`, old token names), such as Debian's 1.8.7.
    Old,
    /// A real Consul from 1.14 on.
    Current,
}

impl Kind {
    /// Asks the executable for its version.
    ///
    /// # Errors
    /// When it cannot be run.
    pub fn of(bin: &Path) -> Result<Self, SpawnError> {
        let run = Command::new(bin).arg("version").output();
        let output = run.map_err(io_error(format!("{} version", bin.display())))?;
        let text = String::from_utf8_lossy(&output.stdout);
        let line = text.lines().next().unwrap_or_default();
        let minor = line.split('.').nth(1).and_then(|m| m.parse::<u32>().ok()).unwrap_or(0);
        Ok(match line {
            dev if dev.contains("devmesh") => Self::Dev,
            _ if minor < 14 => Self::Old,
            _ => Self::Current,
        })
    }
}

/// Free loopback ports, all different; another process could still take one before it is used.
///
/// # Errors
/// When the system has none.
pub fn free_ports<const N: usize>() -> io::Result<[u16; N]> {
    let mut held = Vec::with_capacity(N);
    let mut ports = [0; N];
    for port in &mut ports {
        let listener = TcpListener::bind(("127.0.0.1", 0))?;
        *port = listener.local_addr()?.port();
        held.push(listener);
    }
    Ok(ports)
}

/// The ports of a server or an agent.
#[derive(Debug, Clone, Copy)]
pub struct Ports {
    /// HTTP API.
    pub http: u16,
    /// xDS, plaintext gRPC.
    pub grpc: u16,
    /// Server RPC; unused by clients.
    pub server: u16,
    /// Gossip, where others join.
    pub serf: u16,
}

impl Default for Ports {
    /// Consul's own defaults, for a node with its own network namespace.
    fn default() -> Self {
        Self { http: 8500, grpc: 8502, server: 8300, serf: 8301 }
    }
}

impl Ports {
    /// Free ones, for several nodes on one address.
    ///
    /// # Errors
    /// When the system has none.
    pub fn free() -> io::Result<Self> {
        let [http, grpc, server, serf] = free_ports()?;
        Ok(Self { http, grpc, server, serf })
    }

    fn json(self, kind: Kind) -> Value {
        let mut ports = json!({
            "http": self.http, "grpc": self.grpc, "server": self.server, "serf_lan": self.serf,
            "serf_wan": -1, "dns": -1,
        });
        if kind != Kind::Old {
            ports["grpc_tls"] = (-1).into();
        }
        ports
    }
}

fn spawn(
    bin: &Path,
    kind: Kind,
    dir: &Path,
    name: &str,
    config: &Value,
) -> Result<Consul, SpawnError> {
    let file = dir.join(format!("{name}.json"));
    std::fs::write(&file, config.to_string())
        .map_err(io_error(format!("write {}", file.display())))?;
    let log = dir.join(format!("{name}.log"));
    let out = File::create(&log).map_err(io_error(format!("create {}", log.display())))?;
    let err = out.try_clone().map_err(io_error("clone a log handle"))?;
    let mut command = Command::new(bin);
    command.args(["agent", "-config-file"]).arg(&file);
    command.stdin(Stdio::null()).stdout(out).stderr(err);
    // Nothing of the caller's own Consul environment; a stand-in ends with its parent.
    for (key, _) in std::env::vars_os().filter(|(k, _)| k.to_string_lossy().starts_with("CONSUL_"))
    {
        command.env_remove(key);
    }
    command.env("DEVMESH_DIE_WITH_PARENT", "1");
    let child = command.spawn().map_err(io_error(format!("run {}", bin.display())))?;
    let nowhere = SocketAddr::from(([0, 0, 0, 0], 0));
    Ok(Consul {
        child,
        name: name.into(),
        bin: bin.into(),
        kind,
        log,
        http: nowhere,
        join: nowhere,
        acl: None,
    })
}

/// A running server or agent; killed on drop.
#[derive(Debug)]
pub struct Consul {
    child: Child,
    name: String,
    bin: PathBuf,
    kind: Kind,
    log: PathBuf,
    http: SocketAddr,
    join: SocketAddr,
    acl: Option<Acl>,
}

impl Consul {
    /// The address of its HTTP API.
    #[must_use]
    pub fn http(&self) -> SocketAddr {
        self.http
    }

    /// The address others join.
    #[must_use]
    pub fn join_address(&self) -> SocketAddr {
        self.join
    }

    /// Its process ID.
    #[must_use]
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// What it has written so far.
    #[must_use]
    pub fn log(&self) -> String {
        std::fs::read_to_string(&self.log).unwrap_or_default()
    }

    /// Waits until it knows a leader, and at a server with ACLs makes the tokens.
    ///
    /// # Errors
    /// When that takes longer than `limit`, or a token is refused.
    pub async fn ready(&self, limit: Duration) -> Result<(), SpawnError> {
        let until = Instant::now() + limit;
        loop {
            let error = match self.call("GET", "/v1/status/leader", "", &Value::Null).await {
                Ok((200, Value::String(leader))) if !leader.is_empty() => break,
                Ok((code, body)) => format!("{code} {body}"),
                Err(error) => error.to_string(),
            };
            if Instant::now() > until {
                return Err(self.not_ready(error));
            }
            sleep(Duration::from_millis(20)).await;
        }
        let Some(acl) = &self.acl else { return Ok(()) };
        for (n, token) in acl.tokens.iter().enumerate() {
            let name = format!("testbed-{n}");
            let policy = json!({"Name": name, "Rules": token.rules});
            // A real leader needs a moment more until its ACL system answers.
            while let Err(error) = self.put("/v1/acl/policy", &acl.management, &policy).await {
                if Instant::now() > until {
                    return Err(error);
                }
                sleep(Duration::from_millis(50)).await;
            }
            let body = json!({"SecretID": token.secret, "Policies": [{"Name": name}]});
            self.put("/v1/acl/token", &acl.management, &body).await?;
        }
        Ok(())
    }

    fn not_ready(&self, error: String) -> SpawnError {
        let log = self.log();
        let lines: Vec<&str> = log.lines().collect();
        let log = lines[lines.len().saturating_sub(15)..].join("\n");
        SpawnError::NotReady { name: self.name.clone(), error, log }
    }

    /// Calls the HTTP API: the status and the body, as JSON where it is, else as a string.
    ///
    /// # Errors
    /// When there is no answer.
    pub async fn call(
        &self,
        method: &str,
        path: &str,
        token: &str,
        body: &Value,
    ) -> Result<(u16, Value), SpawnError> {
        let call = format!("{method} {path}");
        let refused = |answer: String| SpawnError::Refused { call: call.clone(), answer };
        let client = http::client().map_err(|e| refused(e.to_string()))?;
        let verb = method.parse().map_err(|_| refused("not a method".into()))?;
        let mut request = client.request(verb, format!("http://{}{path}", self.http));
        if !token.is_empty() {
            request = request.header("X-Consul-Token", token);
        }
        if !body.is_null() {
            request = request.json(body);
        }
        let response = request.send().await.map_err(|e| refused(e.to_string()))?;
        let code = response.status().as_u16();
        let text = response.text().await.map_err(|e| refused(e.to_string()))?;
        Ok((code, serde_json::from_str(&text).unwrap_or(Value::String(text))))
    }

    /// A `PUT` that must be accepted.
    ///
    /// # Errors
    /// When it is not.
    pub async fn put(&self, path: &str, token: &str, body: &Value) -> Result<Value, SpawnError> {
        match self.call("PUT", path, token, body).await? {
            (200, answer) => Ok(answer),
            (code, answer) => Err(SpawnError::Refused {
                call: format!("PUT {path}"),
                answer: format!("{code} {answer}"),
            }),
        }
    }

    /// Sends it a signal.
    ///
    /// # Errors
    /// When the process is gone.
    pub fn signal(&self, signal: Signal) -> io::Result<()> {
        let pid = Pid::from_raw(self.child.id().cast_signed());
        kill(pid, signal).map_err(io::Error::from)
    }

    /// Its exit status, once it has one.
    ///
    /// # Errors
    /// When the system does not tell.
    pub fn try_wait(&mut self) -> io::Result<Option<ExitStatus>> {
        self.child.try_wait()
    }
}

impl Drop for Consul {
    fn drop(&mut self) {
        // Either fails only if it is gone already.
        drop(self.child.kill());
        drop(self.child.wait());
    }
}
