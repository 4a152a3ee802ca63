//! Runs the Consul agent: writes its config, starts it, tells when it answers and when it knows a server.
//!
//! An agent ends on a key that it does not know, so which keys the config may have depends on its version. To ask the
//! executable costs a start of it, 0.1 s of the task's own start on a small machine. So the first config is written for
//! a current agent; only if it ends before it has answered the executable is asked.

use super::alive::{self, Asked};
use super::process::{Beat, Reason, Runner, jittered};
use super::{Identity, Site, agent_files, work};
use crate::config::SecretItem;
use crate::consul::{self, Client, Version};
use crate::logging::{self, Said};
use crate::process::{ChildSpec, Output, run_to_end};
use crate::random::uuid;
use crate::supervisor::actor::{Reports, report};
use crate::supervisor::{Event, Role, Source};
use ractor::{Actor, ActorProcessingErr, ActorRef};
use secrecy::SecretString;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

/// `consul version` takes about 0.1 s; past this the binary hangs.
const VERSION_LIMIT: Duration = Duration::from_secs(10);
/// Killed before Envoy and us when memory runs out: it is the largest, and the task lives without it.
const OOM_SCORE: i32 = 500;

/// From one question whether a server answers to the next, and to the one that makes sure that none does.
const SERVERS_INTERVAL: Duration = Duration::from_secs(5);
const SERVERS_AGAIN: Duration = Duration::from_secs(1);

/// What this actor takes.
#[derive(Debug)]
pub(crate) enum Msg {
    /// Who we are.
    Identify(Arc<Identity>),
    /// Start the agent.
    Start,
    /// What `consul version` said.
    Version(Result<Version, String>),
    /// Another token of its own is in the keyring.
    ReplaceToken,
    /// Ask it to leave and exit.
    Term,
    /// Kill it.
    Kill,
}

/// See the module's text.
pub(crate) struct ConsulAgent;

/// What it needs.
pub(crate) struct Arguments {
    pub(crate) site: Site,
    pub(crate) consul: Client,
    pub(crate) reports: Reports,
}

pub(crate) struct State {
    site: Site,
    consul: Client,
    reports: Reports,
    identity: Option<Arc<Identity>>,
    /// It is being asked for its version.
    asking: bool,
    /// A start is waiting: for who we are, or for the version.
    wanted: bool,
    recovery_token: Option<SecretString>,
    /// No agent was started yet.
    first_start: bool,
    runner: Runner,
}

impl Actor for ConsulAgent {
    type Msg = Msg;
    type State = State;
    type Arguments = Arguments;

    async fn pre_start(
        &self,
        _: ActorRef<Msg>,
        args: Arguments,
    ) -> Result<State, ActorProcessingErr> {
        let Arguments { site, consul, reports } = args;
        let runner = Runner::new(Role::Agent, &site, reports.clone());
        // For our own calls about the agent itself: known to this agent and to nobody else.
        let recovery_token = site.config.consul.acl.is_some().then(uuid).transpose()?;
        Ok(State {
            site,
            consul,
            reports,
            identity: None,
            asking: false,
            wanted: false,
            recovery_token: recovery_token.map(SecretString::from),
            first_start: true,
            runner,
        })
    }

    async fn handle(
        &self,
        myself: ActorRef<Msg>,
        msg: Msg,
        s: &mut State,
    ) -> Result<(), ActorProcessingErr> {
        match msg {
            Msg::Identify(identity) => {
                s.identity = Some(identity);
                s.start(&myself);
            }
            Msg::Start => {
                s.wanted = true;
                s.start(&myself);
            }
            Msg::Version(version) => {
                s.asking = false;
                match version {
                    Ok(version) => {
                        let _known_before = s.site.consul_version.set(version);
                        s.start(&myself);
                    }
                    Err(why) => {
                        s.wanted = false;
                        s.runner.failed(why, true);
                    }
                }
            }
            Msg::ReplaceToken => s.replace_token(),
            Msg::Term => s.runner.term(),
            Msg::Kill => s.runner.kill(),
        }
        Ok(())
    }
}

impl State {
    fn start(&mut self, myself: &ActorRef<Msg>) {
        let Some(identity) = self.identity.clone() else { return };
        if !self.wanted || self.asking {
            return;
        }
        let known = self.site.consul_version.get().copied();
        if known.is_none() && !self.first_start {
            return self.ask_version(myself.clone());
        }
        self.wanted = false;
        self.clear_data();
        let version = known.unwrap_or(Version::NEWEST);
        let token = self.recovery_token.as_ref();
        let files = match agent_files::write(&self.site, &identity, token, version) {
            Ok(files) => files,
            Err(why) => return self.runner.failed(why, false),
        };
        let consul = &self.site.config.consul;
        let [first, extra @ ..] = files.as_slice() else { return };
        let spec = ChildSpec {
            name: Role::Agent.name().to_owned(),
            program: consul.binary.clone(),
            args: consul::agent_args(first, extra).into_iter().map(Into::into).collect(),
            env: in_bytes(consul::agent_env(own_env(), &consul.secret_variables())),
            output: Output::Lines(logging::child_lines()),
            oom_score_adj: Some(OOM_SCORE),
        };
        if let Some(pid) = self.runner.start(spec) {
            let heard = self.runner.listen();
            let (consul, taken) = (self.consul.clone(), self.site.consul_version.clone());
            self.runner.beside(probe(consul, taken, heard, self.reports.clone()));
            self.watch(pid);
        }
    }

    fn ask_version(&mut self, myself: ActorRef<Msg>) {
        self.asking = true;
        let site = self.site.clone();
        work::spawn(Role::Agent.actor(), &self.reports, async move {
            let version = version(&site).await;
            super::tell(&myself, Msg::Version(version));
        });
    }

    /// With the token that no server has to know: where servers are away, the agent still answers to it.
    fn watch(&mut self, pid: i32) {
        let limit = self.site.config.restart.unresponsive_after;
        let Ok(local) = self.consul.with_token(self.recovery_token.clone()) else { return };
        let reports = self.reports.clone();
        if !limit.is_zero() {
            self.runner.beside(alive::watch(Asked::Agent(local), pid, limit, reports));
        }
    }

    /// The agent that runs is told; its next life finds it in its configuration.
    fn replace_token(&mut self) {
        let Ok(local) = self.consul.with_token(self.recovery_token.clone()) else { return };
        let (keyring, reports) = (self.site.keyring.clone(), self.reports.clone());
        self.runner.beside(async move {
            let (mut beat, mut said) = (Beat::patient(), Said::default());
            // What is there when the agent answers: it may be another one again.
            while let Some(token) = keyring.get(SecretItem::AgentToken) {
                let Err(why) = local.set_agent_token(&token).await else {
                    return report(&reports, Event::AgentTokenReplaced);
                };
                // One that is starting does not answer yet.
                if !why.is_unreachable()
                    && let Some(repeats) = said.news(&why.to_string())
                {
                    tracing::warn!(%why, repeats, "the agent does not take its token");
                }
                beat.rest().await;
            }
        });
    }

    /// Data that an earlier life left goes before the first start: it is of another task, or holds a gossip key that
    /// was replaced since and would win over the configured one. Data that the last agent could not use goes before the
    /// next start. Nothing is lost by it: what is to be registered is in our memory, and the node's ID is fixed.
    fn clear_data(&mut self) {
        let dir = &self.site.config.consul.data_dir;
        let why = if self.first_start {
            agent_files::was_used(dir).then(|| "an earlier agent left it".to_owned())
        } else {
            let last_words = self.runner.last_words();
            consul::blames_data_folder(&last_words, dir).map(str::to_owned)
        };
        self.first_start = false;
        let Some(why) = why else { return };
        let removed = agent_files::empty(dir);
        if !removed.is_empty() {
            tracing::warn!(dir = %dir.display(), ?removed, %why, "consul: data folder wiped");
        }
    }
}

/// The environment of a `consul` command: see [`consul::command_env`].
pub(super) fn command_env(token: Option<&SecretString>) -> Env {
    in_bytes(consul::command_env(own_env(), token))
}

type Env = Vec<(std::ffi::OsString, std::ffi::OsString)>;

fn own_env() -> impl Iterator<Item = (String, String)> {
    std::env::vars_os().filter_map(|(k, v)| Some((k.into_string().ok()?, v.into_string().ok()?)))
}

fn in_bytes(env: Vec<(String, String)>) -> Env {
    env.into_iter().map(|(k, v)| (k.into(), v.into())).collect()
}

/// # Errors
/// Why the executable cannot be used.
async fn version(site: &Site) -> Result<Version, String> {
    let spec = ChildSpec {
        name: Role::Agent.name().to_owned(),
        program: site.config.consul.binary.clone(),
        args: vec!["version".into()],
        env: command_env(None),
        output: Output::Capture { max: 4096 },
        oom_score_adj: None,
    };
    let out = run_to_end(&site.reaper, spec, VERSION_LIMIT).await.map_err(|e| e.to_string())?;
    let text = String::from_utf8_lossy(&out.stdout);
    consul::parse_version(&text).ok_or_else(|| {
        let binary = site.config.consul.binary.display();
        format!("consul: {binary} does not say its version ({}): is it Consul?", out.exit)
    })
}

/// Tells when the agent answers, when it has joined, and from then on when no server answers.
async fn probe(
    consul: Client,
    version: Arc<OnceLock<Version>>,
    heard: impl Fn() -> Vec<String>,
    reports: Reports,
) {
    // Before it answers a question costs nobody anything.
    let mut beat = Beat::new();
    let mut answered = false;
    let mut reason = Reason::of(Source::ConsulAgent, &reports);
    // Among the lines of an agent that cannot join there are many others.
    let mut in_its_words = None;
    loop {
        let why = match consul.leader().await {
            Ok(leader) => {
                if !answered {
                    answered = true;
                    beat = Beat::patient();
                    // It has taken what was written for a current one.
                    let _known_before = version.set(Version::NEWEST);
                    report(&reports, Event::AgentAnswers);
                }
                if leader.is_some() {
                    reason.is(None);
                    report(&reports, Event::AgentJoined);
                    return watch_servers(&consul, &reports).await;
                }
                "the agent has not joined: no server answers yet".to_owned()
            }
            Err(e) => e.to_string(),
        };
        in_its_words = consul::why_not_joined(&heard()).or(in_its_words);
        let why = match &in_its_words {
            Some(words) => format!("{why}; it says: {words}"),
            None => why,
        };
        reason.is(Some(why));
        beat.rest().await;
    }
}

/// Tells when no server answers, and when one does again. Nothing is done about it, for the mesh goes on with what it
/// knows; but people look for the reason at every task.
async fn watch_servers(consul: &Client, reports: &Reports) {
    let source = Source::ConsulServers;
    let mut said = Said::default();
    let mut unanswered = 0;
    loop {
        // Every task of a mesh asks its servers this.
        let pause = if unanswered == 1 { SERVERS_AGAIN } else { SERVERS_INTERVAL };
        tokio::time::sleep(jittered(pause)).await;
        if matches!(consul.leader().await, Ok(Some(_))) {
            unanswered = 0;
            report(reports, Event::Trouble { source, why: None });
            if let Some(lasted) = said.over() {
                tracing::info!(seconds = lasted.as_secs(), "consul servers answer again");
            }
            continue;
        }
        unanswered += 1;
        // An election looks like this for a moment.
        if unanswered > 1 {
            let why = "no server answers: peers are not told of changes, nor are we";
            report(reports, Event::Trouble { source, why: Some(why.to_owned()) });
            if let Some(repeats) = said.news(why) {
                tracing::warn!(why, repeats, "consul servers");
            }
        }
    }
}
