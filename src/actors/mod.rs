//! The actors: each does one thing for the task and reports facts. None of them decides what comes next.
//!
//! | actor | does |
//! |---|---|
//! | `task_watch` | reads the task's metadata |
//! | `definition` | reads the task's definition, once, where that is wanted |
//! | `consul_agent` | writes the agent's config, runs the agent |
//! | `registration` | registers, repairs, offers, withdraws, deregisters; asks the servers what peers see |
//! | `envoy` | makes the bootstrap, runs Envoy, drains it |
//! | `health_sync` | writes ECS health into TTL checks |
//! | `tokens` | reads secrets that come later or change; logs in and out |
//!
//! [`Crew`] is all of them together: it turns the supervisor's effects into messages.

mod agent_files;
mod alive;
mod consul_agent;
mod definition;
mod desk;
mod envoy;
pub mod health_sync;
mod keyring;
mod peers;
mod process;
mod registration;
mod surplus;
mod task_watch;
mod tokens;
mod watchdog;
mod work;

pub(crate) use keyring::{Keyring, Secrets};
pub(crate) use tokens::awaited;

use crate::config::Config;
use crate::consul::{Client, ServiceIds, Version};
use crate::ecs::{AwsAccess, TaskIdentity};
use crate::process::{Memory, Reaper};
use crate::supervisor::actor::{MakeHands, Msg as SupervisorMsg, Reports};
use crate::supervisor::{Effect, Hands, Need, Role, TaskSeen, health};
use ractor::{Actor, ActorId, ActorRef, Message, SpawnErr};
use std::collections::HashMap;
use std::path::PathBuf;
use std::sync::{Arc, OnceLock};
use tokio::time::Instant;

/// Everything the actors need that is known before the task is.
#[derive(Clone)]
pub(crate) struct Site {
    pub(crate) config: Arc<Config>,
    /// The value of `ECS_CONTAINER_METADATA_URI_V4`.
    pub(crate) metadata_uri: Option<String>,
    pub(crate) aws: AwsAccess,
    pub(crate) keyring: Keyring,
    pub(crate) reaper: Reaper,
    pub(crate) memory: Arc<Memory>,
    /// Ours alone, mode 0700: agent config, bootstrap, token file.
    pub(crate) private_dir: PathBuf,
    pub(crate) epoch: Instant,
    /// The version that the agent is taken for: [`Version::NEWEST`] once it has answered to a configuration for that.
    pub(crate) consul_version: Arc<OnceLock<Version>>,
}

/// Who this task is.
#[derive(Debug)]
pub(crate) struct Identity {
    pub(crate) task: TaskIdentity,
    pub(crate) ids: Arc<ServiceIds>,
}

/// The [`Hands`] of production.
pub(crate) struct Crew {
    config: Arc<Config>,
    identity: Option<Arc<Identity>>,
    task_watch: ActorRef<task_watch::Msg>,
    definition: ActorRef<definition::Msg>,
    consul_agent: ActorRef<consul_agent::Msg>,
    registration: ActorRef<registration::Msg>,
    envoy: ActorRef<envoy::Msg>,
    health_sync: ActorRef<health_sync::Msg>,
    tokens: ActorRef<tokens::Msg>,
}

/// Spawns the actors, linked to the supervisor.
pub(crate) fn crew(site: Site, consul: Client) -> MakeHands {
    Box::new(move |supervisor| {
        Box::pin(async move {
            let (crew, roles) = Crew::spawn(site, consul, supervisor).await?;
            let hands: Box<dyn Hands> = Box::new(crew);
            Ok((hands, roles))
        })
    })
}

impl Crew {
    async fn spawn(
        site: Site,
        consul: Client,
        supervisor: ActorRef<SupervisorMsg>,
    ) -> Result<(Self, HashMap<ActorId, &'static str>), SpawnErr> {
        let reports: Reports = supervisor.get_derived();
        let config = site.config.clone();
        let mut roles = HashMap::new();
        let up = supervisor.get_cell();

        let watch = task_watch::Arguments {
            uri: site.metadata_uri.clone(),
            interval: config.lifecycle.metadata_interval,
            needs_address: config.consul.advertise_address.is_none(),
            epoch: site.epoch,
            reports: reports.clone(),
        };
        let definition =
            definition::Arguments { access: site.aws.clone(), reports: reports.clone() };
        let sync = health_sync::Arguments {
            consul: consul.clone(),
            rules: health::Rules {
                ttl: config.health_sync.ttl,
                start_grace: config.health_sync.start_grace,
                stale_after: config.health_sync.stale_after,
            },
            epoch: site.epoch,
            reports: reports.clone(),
        };
        // Without names: ractor's registry is global to the process, and tests run several supervisors in one.
        let (task_watch, _) =
            Actor::spawn_linked(None, task_watch::TaskWatch, watch, up.clone()).await?;
        let (definition, _) =
            Actor::spawn_linked(None, definition::Definition, definition, up.clone()).await?;
        let (health_sync, _) =
            Actor::spawn_linked(None, health_sync::HealthSync, sync, up.clone()).await?;
        let args = tokens::Arguments {
            site: site.clone(),
            consul: consul.clone(),
            reports: reports.clone(),
        };
        let (tokens, _) = Actor::spawn_linked(None, tokens::Tokens, args, up.clone()).await?;
        let agent = consul_agent::Arguments {
            site: site.clone(),
            consul: consul.clone(),
            reports: reports.clone(),
        };
        let (consul_agent, _) =
            Actor::spawn_linked(None, consul_agent::ConsulAgent, agent, up.clone()).await?;
        let args = registration::Arguments {
            config: config.clone(),
            consul,
            consul_version: site.consul_version.clone(),
            look_every: watchdog::INTERVAL,
            reports: reports.clone(),
        };
        let (registration, _) =
            Actor::spawn_linked(None, registration::RegistrationActor, args, up.clone()).await?;
        let args = envoy::Arguments { site, reports };
        let (envoy, _) = Actor::spawn_linked(None, envoy::EnvoyActor, args, up).await?;

        roles.insert(task_watch.get_id(), "task_watch");
        roles.insert(definition.get_id(), "definition");
        roles.insert(health_sync.get_id(), "health_sync");
        roles.insert(tokens.get_id(), tokens::NAME);
        roles.insert(consul_agent.get_id(), Role::Agent.actor());
        roles.insert(registration.get_id(), "registration");
        roles.insert(envoy.get_id(), Role::Envoy.actor());
        let crew = Self {
            config,
            identity: None,
            task_watch,
            definition,
            consul_agent,
            registration,
            envoy,
            health_sync,
            tokens,
        };
        Ok((crew, roles))
    }

    fn identify(&mut self, seen: &TaskSeen) {
        let Some(task) = seen.task.identity() else {
            return;
        };
        let ids = Arc::new(ServiceIds::new(&self.config.service, &task));
        let identity = Arc::new(Identity { task, ids: ids.clone() });
        tell(&self.consul_agent, consul_agent::Msg::Identify(identity.clone()));
        tell(&self.registration, registration::Msg::Identify(identity.clone()));
        tell(&self.envoy, envoy::Msg::Identify(identity.clone()));
        tell(&self.health_sync, health_sync::Msg::Identify(ids));
        tell(&self.tokens, tokens::Msg::Identify(identity.clone()));
        self.identity = Some(identity);
    }
}

impl Hands for Crew {
    fn perform(&mut self, effect: Effect) {
        match effect {
            Effect::WatchTask => tell(&self.task_watch, task_watch::Msg::Watch),
            Effect::ReadTaskNow => tell(&self.task_watch, task_watch::Msg::ReadNow),
            Effect::Identify(seen) => self.identify(&seen),
            Effect::ReadDefinition(seen) => tell(&self.definition, definition::Msg::Read(seen)),
            Effect::StartChild(Role::Agent) => {
                tell(&self.consul_agent, consul_agent::Msg::Start);
            }
            Effect::TermChild(Role::Agent) => tell(&self.consul_agent, consul_agent::Msg::Term),
            Effect::KillChild(Role::Agent) => tell(&self.consul_agent, consul_agent::Msg::Kill),
            Effect::StartChild(Role::Envoy) => tell(&self.envoy, envoy::Msg::Start),
            Effect::TermChild(Role::Envoy) => tell(&self.envoy, envoy::Msg::Term),
            Effect::KillChild(Role::Envoy) => tell(&self.envoy, envoy::Msg::Kill),
            Effect::Register { hold, covered, containers } => {
                tell(&self.health_sync, health_sync::Msg::Containers(containers.clone()));
                let register = registration::Msg::Register { hold, covered, containers };
                tell(&self.registration, register);
            }
            Effect::ProbeApp => tell(&self.registration, registration::Msg::ProbeApp),
            Effect::PassProxyCheck => {
                tell(&self.registration, registration::Msg::PassProxyCheck);
            }
            Effect::EndHold => tell(&self.registration, registration::Msg::EndHold),
            Effect::Cover => tell(&self.registration, registration::Msg::Cover),
            Effect::Uncover => tell(&self.registration, registration::Msg::Uncover),
            Effect::WatchOffer => tell(&self.registration, registration::Msg::WatchOffer),
            Effect::LogIn => tell(&self.tokens, tokens::Msg::Joined),
            Effect::LogOut => tell(&self.tokens, tokens::Msg::LogOut),
            Effect::ReadSecretsNow => tell(&self.tokens, tokens::Msg::ReadNow),
            Effect::ReplaceToken(Need::AgentToken) => {
                tell(&self.consul_agent, consul_agent::Msg::ReplaceToken);
            }
            Effect::ReplaceToken(_) => tell(&self.envoy, envoy::Msg::ReplaceToken),
            Effect::WriteBootstrap => tell(&self.envoy, envoy::Msg::WriteBootstrap),
            Effect::StartSync => tell(&self.health_sync, health_sync::Msg::Start),
            Effect::Sync(seen) => tell(&self.health_sync, health_sync::Msg::Seen(seen)),
            Effect::SyncBlind => tell(&self.health_sync, health_sync::Msg::Blind),
            Effect::StopSync => {
                tell(&self.health_sync, health_sync::Msg::Hush);
                tell(&self.registration, registration::Msg::Hush);
                tell(&self.envoy, envoy::Msg::Hush);
                tell(&self.definition, definition::Msg::Hush);
                tell(&self.task_watch, task_watch::Msg::Closely);
            }
            Effect::Withdraw => tell(&self.registration, registration::Msg::Withdraw),
            Effect::AskPeers => tell(&self.registration, registration::Msg::AskPeers),
            Effect::DrainInbound => tell(&self.envoy, envoy::Msg::Drain),
            Effect::Deregister => tell(&self.registration, registration::Msg::Deregister),
            // The executor keeps these for itself.
            Effect::Record { .. } | Effect::Warn(_) | Effect::Arm { .. } | Effect::Exit(_) => {}
        }
    }

    fn service_id(&self) -> String {
        self.identity.as_ref().map(|i| i.ids.service.clone()).unwrap_or_default()
    }
}

/// Sends, and leaves a death to supervision: a message to a dead actor must not spread it.
fn tell<M: Message>(actor: &ActorRef<M>, msg: M) {
    if actor.cast(msg).is_err() {
        tracing::debug!(actor = ?actor.get_id(), "a message to an actor that is gone");
    }
}
