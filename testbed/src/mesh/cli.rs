//! The command line of the stand-in.

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use serde_json::{Map, Value, json};

use super::flags::Flags;
use super::{VERSION, agent, bootstrap, config, http, logs};

const HELP: &str = "\
dev-consul: a stand-in for `consul`, FOR DEVELOPMENT AND TESTS ONLY. This is not Consul and must
never carry real traffic. It answers the part of Consul's CLI, HTTP API and xDS that the testbed
of taskmesh uses.

Usage: dev-consul <command> [flags]

    agent           run an agent, with -server the server
    connect envoy   -bootstrap: print an Envoy bootstrap
    leave           ask the local agent to leave
    version         print the version

Environment: DEVMESH_LEAVE_MS shortens an agent's leave.
";

const AGENT_SWITCHES: &[&str] = &["server", "bootstrap", "dev", "ui", "syslog"];
const AGENT_VALUES: &[&str] = &[
    "config-file",
    "config-dir",
    "config-format",
    "data-dir",
    "node",
    "node-id",
    "datacenter",
    "bind",
    "advertise",
    "client",
    "bootstrap-expect",
    "retry-join",
    "retry-interval",
    "encrypt",
    "http-port",
    "grpc-port",
    "grpc-tls-port",
    "server-port",
    "serf-lan-port",
    "serf-wan-port",
    "dns-port",
    "https-port",
    "log-level",
    "join",
];
const HTTP_VALUES: &[&str] = &["http-addr", "token", "token-file"];

/// Runs a command; the exit code is the process's.
#[must_use]
pub fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let runtime = match tokio::runtime::Builder::new_current_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => {
            eprintln!("dev-consul: {error}");
            return ExitCode::FAILURE;
        }
    };
    let words: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let outcome = match words.as_slice() {
        [] | ["-h" | "-help" | "--help" | "help", ..] => {
            print!("{HELP}");
            return if words.is_empty() { ExitCode::from(127) } else { ExitCode::SUCCESS };
        }
        [.., "-h" | "-help" | "--help"] => {
            print!("{HELP}");
            return ExitCode::SUCCESS;
        }
        ["version" | "-v" | "--version" | "-version", ..] => {
            println!("Consul v{VERSION}\nFor development only: a stand-in, not Consul.");
            return ExitCode::SUCCESS;
        }
        ["agent", ..] => runtime.block_on(run_agent(&arguments[1..])),
        ["connect", "envoy", ..] => runtime.block_on(connect_envoy(&arguments[2..])),
        ["leave", ..] => runtime.block_on(leave(&arguments[1..])),
        [other, ..] => Err(format!("unknown command {other}, see dev-consul --help")),
    };
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            if !error.is_empty() {
                eprintln!("==> {error}");
            }
            ExitCode::FAILURE
        }
    }
}

async fn run_agent(arguments: &[String]) -> Result<(), String> {
    let flags = Flags::parse(arguments, AGENT_SWITCHES, AGENT_VALUES)?;
    let (files, cli) = agent_settings(&flags)?;
    let config = config::load(&files, cli.clone()).map_err(|e| e.to_string())?;
    if config.data_dir.is_none() && !flags.on("dev") {
        return Err("data_dir cannot be empty".into());
    }
    logs::start(&config.log_level);
    println!("==> dev-consul {VERSION}: for development only, this is not Consul");
    match agent::run(files, cli, config).await {
        Ok(true) => Ok(()),
        // As Consul: an exit without a leave is code 1.
        Ok(false) => Err(String::new()),
        Err(error) => {
            // As Consul says it, the reason before the last line.
            tracing::error!("Error starting agent: error={error:?}");
            tracing::info!("Exit code: code=1");
            Err(String::new())
        }
    }
}

/// Configuration files and the settings of the command line that go over them.
fn agent_settings(flags: &Flags) -> Result<(Vec<PathBuf>, Map<String, Value>), String> {
    let (mut files, mut cli) = (Vec::new(), json!({}));
    if flags.on("dev") {
        cli["server"] = true.into();
        cli["bind_addr"] = "127.0.0.1".into();
        cli["ports"]["grpc"] = 8502.into();
    }
    let mut joins = Vec::new();
    for (name, value) in flags.iter() {
        match name {
            "config-file" | "config-dir" => files.push(PathBuf::from(value)),
            "data-dir" => cli["data_dir"] = value.into(),
            "node" => cli["node_name"] = value.into(),
            "node-id" => cli["node_id"] = value.into(),
            "bind" => cli["bind_addr"] = value.into(),
            "advertise" => cli["advertise_addr"] = value.into(),
            "client" => cli["client_addr"] = value.into(),
            "retry-join" | "join" => joins.push(Value::from(value)),
            "datacenter" | "encrypt" | "retry-interval" | "log-level" => {
                cli[name.replace('-', "_")] = value.into();
            }
            "server" | "bootstrap" => cli[name] = (value == "true").into(),
            "bootstrap-expect" => {
                let number: u32 = value.parse().map_err(|_| format!("-{name}: not a number"))?;
                cli["bootstrap_expect"] = number.into();
            }
            _ => {
                if let Some(port) = name.strip_suffix("-port") {
                    let number: i32 = value.parse().map_err(|_| format!("-{name}: not a port"))?;
                    cli["ports"][port.replace('-', "_")] = number.into();
                }
            }
        }
    }
    if !joins.is_empty() {
        cli["retry_join"] = joins.into();
    }
    match cli {
        Value::Object(map) => Ok((files, map)),
        _ => Ok((files, Map::new())),
    }
}

/// How a command reaches the agent: flags first, then Consul's environment variables.
pub(crate) struct Reach {
    client: reqwest::Client,
    base: String,
    /// The token, empty if there is none.
    pub(crate) token: String,
}

impl Reach {
    fn new(flags: &Flags) -> Result<Self, String> {
        let env = |name: &str| std::env::var(name).ok().filter(|v| !v.is_empty());
        let flag = |name: &str| flags.get(name).map(str::to_owned);
        let address = flag("http-addr").or_else(|| env("CONSUL_HTTP_ADDR"));
        let address = address.unwrap_or_else(|| "127.0.0.1:8500".into());
        // The real CLI reads this as a path, and fails on PEM text: so must the stand-in.
        if let Some(path) = env("CONSUL_CACERT") {
            std::fs::read(&path).map_err(|e| format!("Error loading CA File: {path}: {e}"))?;
        }
        let file = flag("token-file").or_else(|| env("CONSUL_HTTP_TOKEN_FILE"));
        let token = match (flag("token"), file) {
            (Some(token), _) => token,
            (None, Some(file)) => std::fs::read_to_string(&file)
                .map_err(|e| format!("Error loading token file {file}: {e}"))?
                .trim()
                .to_owned(),
            (None, None) => env("CONSUL_HTTP_TOKEN").unwrap_or_default(),
        };
        let (client, base) = match address.split_once("://") {
            Some(("unix", socket)) => {
                (http::client_over(Path::new(socket)), "http://localhost".to_owned())
            }
            Some(_) => (http::client(), address),
            None => (http::client(), format!("http://{address}")),
        };
        Ok(Self { client: client.map_err(|e| e.to_string())?, base, token })
    }

    /// Calls the agent; an answer that is no success is an error with its code and text.
    pub(crate) async fn call(&self, method: reqwest::Method, path: &str) -> Result<String, String> {
        let url = format!("{}{path}", self.base);
        let request = self.client.request(method, &url).header("x-consul-token", &self.token);
        let response = request.send().await.map_err(|e| format!("{url}: {e}"))?;
        let status = response.status();
        let text = response.text().await.map_err(|e| e.to_string())?;
        if status.is_success() {
            return Ok(text);
        }
        Err(format!("Unexpected response code: {} ({text})", status.as_u16()))
    }
}

async fn connect_envoy(arguments: &[String]) -> Result<(), String> {
    let switches = ["bootstrap", "ignore-envoy-compatibility"];
    let values: Vec<&str> = HTTP_VALUES.iter().chain(bootstrap::VALUES).copied().collect();
    let flags = Flags::parse(arguments, &switches, &values)?;
    if !flags.on("bootstrap") {
        return Err("the development stand-in only prints: -bootstrap is required".into());
    }
    let text = bootstrap::print(&Reach::new(&flags)?, &flags).await?;
    println!("{text}");
    Ok(())
}

async fn leave(arguments: &[String]) -> Result<(), String> {
    let flags = Flags::parse(arguments, &[], HTTP_VALUES)?;
    let reach = Reach::new(&flags)?;
    reach
        .call(reqwest::Method::PUT, "/v1/agent/leave")
        .await
        .map_err(|e| format!("Error leaving: {e}"))?;
    println!("Graceful leave complete");
    Ok(())
}
