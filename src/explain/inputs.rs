//! What this machine can tell: which secrets are there, who the task is, which Consul it has.

use crate::config::{Config, Env, Secret};
use crate::consul::{self, Version};
use crate::ecs::{METADATA_URI_ENV, MetadataClient, Task};
use crate::process::{ChildSpec, Output, Reaper, RunError, SpawnError, filtered_env, run_to_end};
use std::path::PathBuf;
use std::time::Duration;

/// Both reads of the metadata together.
const METADATA_LIMIT: Duration = Duration::from_secs(2);
/// `consul version` takes about 0.1 s.
const VERSION_LIMIT: Duration = Duration::from_secs(5);

/// Everything beside the configuration that an explanation depends on.
#[derive(Debug, Clone)]
pub struct Inputs {
    /// In the order of their use.
    pub secrets: Vec<SecretSeen>,
    /// Who the task is.
    pub task: TaskSource,
    /// Which Consul it is for.
    pub consul: VersionSource,
    /// The folder that `run` would make for its own files, where the configuration names none.
    pub temporary_dir: PathBuf,
}

/// A secret that the configuration refers to.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
#[serde(rename_all = "camelCase")]
pub struct SecretSeen {
    /// Where in the configuration.
    pub path: &'static str,
    /// Where it comes from; never its value.
    pub from: String,
    /// What it is for.
    pub purpose: &'static str,
    /// Why it cannot be read here; `null` if it can.
    pub unreadable: Option<String>,
}

/// Who told who the task is.
#[derive(Debug, Clone)]
pub enum TaskSource {
    /// The task's metadata: the task, and the name of our own container.
    Metadata(Box<Task>, String),
    /// Nobody, for this reason.
    Unknown(String),
}

/// Who told the version of Consul.
#[derive(Debug, Clone)]
pub enum VersionSource {
    /// `consul version`.
    Binary(Version),
    /// `--consul-version`.
    Given(Version),
    /// Nobody, for this reason.
    Unknown(String),
}

/// Looks at this machine. Nothing is changed, and what cannot be read is told.
pub(super) fn gather(config: &Config, version: Option<Version>, env: &dyn Env) -> Inputs {
    let uri = env.var(METADATA_URI_ENV).and_then(|uri| uri.into_string().ok());
    let uri = uri.filter(|uri| !uri.is_empty());
    let temporary_dir = std::env::temp_dir().join("taskmesh-XXXXXX");
    let secrets = secrets(config, env);
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let (task, consul) = match runtime {
        Ok(runtime) => {
            let told = runtime.block_on(async {
                let known = version.map(VersionSource::Given);
                tokio::join!(read_task(uri), async {
                    match known {
                        Some(given) => given,
                        None => ask_version(config).await,
                    }
                })
            });
            // A name lookup that hangs must not hold the answer back.
            runtime.shutdown_timeout(Duration::from_millis(100));
            told
        }
        Err(e) => {
            let why = format!("cannot start the runtime: {e}");
            let consul = version.map_or(VersionSource::Unknown(why.clone()), VersionSource::Given);
            (TaskSource::Unknown(why), consul)
        }
    };
    Inputs { secrets, task, consul, temporary_dir }
}

fn secrets(config: &Config, env: &dyn Env) -> Vec<SecretSeen> {
    let consul = &config.consul;
    let tls = consul.tls.as_ref();
    let all = [
        ("consul.tls.ca", "verifies the servers", tls.map(|tls| &tls.ca)),
        (
            "consul.tls.cert",
            "shows the agent to the servers",
            tls.and_then(|tls| tls.cert.as_ref()),
        ),
        ("consul.tls.key", "proves its certificate", tls.and_then(|tls| tls.key.as_ref())),
        ("consul.gossipKey", "encrypts the agent's gossip", consul.gossip_key.as_ref()),
        ("consul.agentToken", "the agent's own token", consul.agent_token.as_ref()),
        (
            "consul.serviceToken",
            "registers the service, refreshes its checks, configures Envoy",
            consul.service_token.as_ref(),
        ),
    ];
    let given =
        all.into_iter().filter_map(|(path, purpose, secret)| Some((path, purpose, secret?)));
    given
        .map(|(path, purpose, secret)| SecretSeen {
            path,
            from: secret.to_string(),
            purpose,
            // What is asked of AWS is not asked by a command that only explains.
            unreadable: match secret {
                Secret::SecretsManager(_) => None,
                secret => secret.resolve(env).err().map(|e| e.to_string()),
            },
        })
        .collect()
}

async fn read_task(uri: Option<String>) -> TaskSource {
    let Some(uri) = uri else {
        return TaskSource::Unknown(format!("{METADATA_URI_ENV} is not set"));
    };
    let client = MetadataClient::new(&uri).with_timeout(METADATA_LIMIT);
    match tokio::try_join!(client.task(), client.own_container()) {
        Ok((task, _)) if task.identity().is_none() => {
            TaskSource::Unknown("the task metadata names no task yet".to_owned())
        }
        Ok((task, own)) => TaskSource::Metadata(Box::new(task), own.name),
        Err(e) => TaskSource::Unknown(e.to_string()),
    }
}

async fn ask_version(config: &Config) -> VersionSource {
    let program = config.consul.binary.clone();
    let spec = ChildSpec {
        name: "consul version".to_owned(),
        program: program.clone(),
        args: vec!["version".into()],
        env: filtered_env(&["PATH", "HOME", "TMPDIR", "LANG", "TZ"]),
        output: Output::Capture { max: 4096 },
        oom_score_adj: None,
    };
    let reaper = match Reaper::start() {
        Ok(reaper) => reaper,
        Err(e) => return VersionSource::Unknown(format!("cannot start children: {e}")),
    };
    match run_to_end(&reaper, spec, VERSION_LIMIT).await {
        Ok(out) => match consul::parse_version(&String::from_utf8_lossy(&out.stdout)) {
            Some(version) => VersionSource::Binary(version),
            None => VersionSource::Unknown(format!(
                "{} does not say its version ({})",
                program.display(),
                out.exit
            )),
        },
        // The whole PATH, which the error would show, is of no use here.
        Err(RunError::Spawn(SpawnError::NotFound { program, .. })) => {
            VersionSource::Unknown(format!("there is no {} here", program.display()))
        }
        Err(e) => VersionSource::Unknown(e.to_string()),
    }
}
