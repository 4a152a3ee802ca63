//! The composition root: a checked configuration becomes an [`App`], that a [`Running`] supervisor, that an exit code.

pub(crate) mod secrets;

pub use secrets::SecretsError;

use crate::actors::{Keyring, Site, awaited, crew};
use crate::admin::{self, Request};
use crate::config::{Config, Env, SecretItem};
use crate::consul::{self, Client};
use crate::ecs::{AwsAccess, METADATA_URI_ENV};
use crate::exit;
use crate::logging;
use crate::own_copy;
use crate::private::{private_dir, write_private};
use crate::process::{self, Reaper};
use crate::signals::Signals;
use crate::supervisor::actor::{Arguments, Msg, Outcome, Supervisor};
use crate::supervisor::{Event, Plan};
use crate::timeline;
use ractor::{Actor, ActorRef};
use std::io;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::{mpsc, oneshot, watch};
use tokio::task::JoinHandle;
use tokio::time::Instant;

/// Requests of the admin API that may wait; more is answered 503.
const REQUESTS: usize = 64;
/// Actors that do not end by then are left behind.
const ACTORS_END: Duration = Duration::from_secs(2);

/// Why the supervisor could not be built. Nothing was started then.
#[derive(Debug, thiserror::Error)]
pub enum BuildError {
    /// A secret that the configuration refers to is not there, or is not what it should be.
    #[error(transparent)]
    Secrets(#[from] SecretsError),
    /// The admin listener's address is taken or not ours; the error names it.
    #[error("cannot serve the admin API: {0}")]
    Listen(io::Error),
    /// The folder for bootstrap, agent config and token file cannot be made.
    #[error("envoy.configDir: cannot make a private folder at {path}: {source}")]
    PrivateDir {
        /// Where.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// The system refuses something basic.
    #[error("{what}: {source}")]
    System {
        /// What.
        what: &'static str,
        /// Why.
        source: io::Error,
    },
    /// The HTTP client of the agent's API cannot be made.
    #[error(transparent)]
    Consul(#[from] crate::consul::Error),
    /// An actor did not start: a bug.
    #[error("the supervisor did not start: {0}")]
    Spawn(Box<ractor::SpawnErr>),
}

impl BuildError {
    /// The process's exit code for it.
    pub fn exit_code(&self) -> u8 {
        match self {
            Self::Secrets(_) => exit::USAGE,
            _ => exit::COULD_NOT_START,
        }
    }
}

/// Everything that is there before the timeline begins.
pub struct App {
    config: Arc<Config>,
    site: Site,
    consul: Client,
    /// Ours to remove at the end.
    temporary: Option<PathBuf>,
    listener: tokio::net::TcpListener,
    signals: Signals,
    started_at: jiff::Timestamp,
}

/// A supervisor at work.
pub struct Running {
    config: Arc<Config>,
    epoch: Instant,
    log: timeline::Log,
    temporary: Option<PathBuf>,
    supervisor: ActorRef<Msg>,
    joined: JoinHandle<()>,
    finished: oneshot::Receiver<Outcome>,
    background: Vec<JoinHandle<()>>,
    admin: SocketAddr,
}

/// What is left when everything has exited.
#[derive(Debug)]
pub struct Finished {
    /// The process's exit code.
    pub code: u8,
    /// The whole timeline.
    pub timeline: timeline::Timeline,
}

impl App {
    /// Builds it. `signals` were installed as early as could be; `epoch` and `started_at` are the moment of exec.
    ///
    /// Must be called on the thread that runs the (current-thread) runtime: children die with the thread that started
    /// them.
    ///
    /// # Errors
    /// [`BuildError`]; nothing was started then.
    pub async fn build(
        config: Config,
        env: &dyn Env,
        signals: Signals,
        epoch: Instant,
        started_at: jiff::Timestamp,
    ) -> Result<Self, BuildError> {
        let system = |what| move |source| BuildError::System { what, source };
        if let Err(e) = process::raise_nofile() {
            tracing::warn!(error = %e, "cannot raise the limit of open files");
        }
        let reaper = Reaper::start().map_err(system("reaper"))?;
        reaper.adopt_orphans().map_err(system("reaper of orphans"))?;
        let secrets = secrets::resolve(&config, env)?;
        let consul = Client::new(
            &consul::http_address(&config.consul),
            secrets.get(SecretItem::ServiceToken).cloned(),
        )?
        .with_tenancy(config.service.namespace.as_deref(), config.service.partition.as_deref());
        let listener = admin::bind(config.admin.listen).await.map_err(BuildError::Listen)?;
        // After the admin listener: a wrapper that was started from the copy always finds it bound.
        put_copies(&config);
        let (private_dir, temporary) = make_private_dir(config.envoy.config_dir.as_deref())?;
        let config = Arc::new(config);
        let site = Site {
            config: config.clone(),
            metadata_uri: env
                .var(METADATA_URI_ENV)
                .and_then(|v| v.into_string().ok())
                .filter(|v| !v.is_empty()),
            aws: AwsAccess::from_env(env),
            keyring: Keyring::new(secrets),
            reaper,
            memory: Arc::new(process::Memory::watch()),
            private_dir,
            epoch,
            consul_version: Arc::default(),
        };
        Ok(Self { config, site, consul, temporary, listener, signals, started_at })
    }

    /// Starts the supervisor: T0 begins.
    ///
    /// # Errors
    /// [`BuildError::Spawn`].
    pub async fn start(self) -> Result<Running, BuildError> {
        let epoch = self.site.epoch;
        let log = timeline::Log::new(format!("{:.9}", self.started_at));
        let (status, status_seen) = watch::channel(Arc::default());
        let (requests, asked) = mpsc::channel(REQUESTS);
        let (finished, when_finished) = oneshot::channel();
        // Jitter must differ between tasks that start together; the pid differs only within a host.
        let seed = u64::from(std::process::id())
            ^ self.started_at.as_nanosecond().to_le_bytes()[..8]
                .iter()
                .fold(0, |n, b| n << 8 | u64::from(*b));
        let admin_addr = self.listener.local_addr().unwrap_or(self.config.admin.listen);
        let source = admin::Source { status: status_seen, timeline: log.clone(), epoch, requests };
        let server = tokio::spawn(admin::serve(self.listener, source));
        let arguments = Arguments {
            plan: Plan {
                awaits: awaited(&self.config, &self.site.keyring),
                ..Plan::new(&self.config, seed)
            },
            epoch,
            log: log.clone(),
            status,
            finished,
            make_hands: crew(self.site, self.consul),
        };
        let (supervisor, joined) = Actor::spawn(None, Supervisor, arguments)
            .await
            .map_err(|e| BuildError::Spawn(Box::new(e)))?;
        let background = vec![
            server,
            tokio::spawn(forward_requests(asked, supervisor.clone())),
            tokio::spawn(self.signals.forward(supervisor.clone())),
        ];
        Ok(Running {
            config: self.config,
            epoch,
            log,
            temporary: self.temporary,
            supervisor,
            joined,
            finished: when_finished,
            background,
            admin: admin_addr,
        })
    }
}

impl Running {
    /// Where the admin API listens.
    pub fn admin_addr(&self) -> SocketAddr {
        self.admin
    }

    /// Waits for the end of the timeline, writes the timeline file and the summary.
    pub async fn finish(self) -> Finished {
        // It died without a word: a bug. The children die with it, or with us by PDEATHSIG.
        let Outcome { code, why } = self.finished.await.unwrap_or_else(|_| Outcome {
            code: exit::GAVE_UP,
            why: Some("the supervisor ended before the timeline did".to_owned()),
        });
        if tokio::time::timeout(ACTORS_END, self.joined).await.is_err() {
            tracing::warn!("an actor does not end");
            self.supervisor.kill();
        }
        for task in self.background {
            task.abort();
        }
        let timeline = self.log.snapshot();
        summarize(&timeline, code, self.epoch.elapsed());
        if let Some(path) = &self.config.lifecycle.timeline_file
            && let Err(e) = write_timeline(path, &timeline)
        {
            tracing::error!(path = %path.display(), error = %e, "cannot write the timeline file");
        }
        if let Some(dir) = &self.temporary
            && let Err(e) = std::fs::remove_dir_all(dir)
        {
            tracing::debug!(error = %e, "the private folder stays");
        }
        // The very last line, for that is where people look first.
        if let Some(why) = why {
            tracing::error!(exit_code = code, %why, "gave up");
        }
        Finished { code, timeline }
    }
}

/// Puts our binary where the apps look for it. Not fatal: they may have it from elsewhere, or need none, and say so
/// themselves if they do.
fn put_copies(config: &Config) {
    let lifecycle = &config.lifecycle;
    for (key, dir, name) in [
        ("lifecycle.appBinDir", &lifecycle.app_bin_dir, own_copy::NAME),
        ("lifecycle.consulEcsDir", &lifecycle.consul_ecs_dir, own_copy::CONSUL_ECS),
    ] {
        let Some(dir) = dir else { continue };
        match own_copy::copy_into(dir, name) {
            Ok(path) => tracing::info!(path = %path.display(), "binary for the apps is in place"),
            Err(e) => tracing::warn!(
                dir = %dir.display(), error = %e,
                "{key}: cannot put `{name}` there; only apps whose entry point is there need it"
            ),
        }
    }
}

/// The configured folder, or a fresh temporary one, which is also given as the second value.
fn make_private_dir(configured: Option<&Path>) -> Result<(PathBuf, Option<PathBuf>), BuildError> {
    let failed = |path: &Path, source| BuildError::PrivateDir { path: path.to_owned(), source };
    if let Some(path) = configured {
        private_dir(path).map_err(|e| failed(path, e))?;
        return Ok((path.to_owned(), None));
    }
    let template = std::env::temp_dir().join("taskmesh-XXXXXX");
    let path =
        nix::unistd::mkdtemp(&template).map_err(|e| failed(&template, io::Error::from(e)))?;
    Ok((path.clone(), Some(path)))
}

fn summarize(timeline: &timeline::Timeline, code: u8, ran: Duration) {
    let at = |event| timeline.find(event).map(|r| r.ms);
    let stop = timeline.find(timeline::Event::StopNoticed);
    tracing::info!(
        exit_code = code,
        ran_s = (ran.as_secs_f64() * 10.0).round() / 10.0,
        ready_ms = at(timeline::Event::Ready),
        offered_ms = at(timeline::Event::Offered),
        stop_cause = stop.and_then(|r| r.cause.as_deref()),
        stop_ms = stop.and_then(|r| Some((at(timeline::Event::AllExited)? - r.ms).round())),
        repairs = timeline
            .events
            .iter()
            .filter(|r| r.event == timeline::Event::RegistrationRepaired)
            .count(),
        restarts =
            timeline.events.iter().filter(|r| r.event == timeline::Event::ChildRestarted).count(),
        "summary"
    );
}

fn write_timeline(path: &Path, timeline: &timeline::Timeline) -> io::Result<()> {
    let mut text = serde_json::to_vec_pretty(timeline)?;
    text.push(b'\n');
    match std::fs::metadata(path) {
        // A pipe or a terminal, such as /dev/stdout: what is renamed over it would reach nobody.
        Ok(there) if !there.is_file() => std::fs::write(path, text),
        _ => write_private(path, &text),
    }
}

async fn forward_requests(mut asked: mpsc::Receiver<Request>, supervisor: ActorRef<Msg>) {
    while let Some(request) = asked.recv().await {
        if supervisor.cast(Msg::Event(Event::Admin(request))).is_err() {
            return;
        }
    }
}

/// `taskmesh run`: from the configuration to the exit code.
pub fn run(sources: &crate::config::Sources, env: &dyn Env) -> u8 {
    let epoch = Instant::now();
    let started_at = logging::wall_clock();
    // Before the first secret is read; told once there is a log.
    let no_cores = process::forbid_core_dumps();
    // One thread: PDEATHSIG follows the thread that forks, and one supervisor needs no more.
    let runtime = match tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .max_blocking_threads(4)
        .build()
    {
        Ok(runtime) => runtime,
        Err(e) => {
            eprintln!("taskmesh: cannot start the runtime: {e}");
            return exit::COULD_NOT_START;
        }
    };
    // Before the configuration is read: as PID 1 a TERM that has no handler yet is ignored by the kernel.
    let signals = {
        let _in_runtime = runtime.enter();
        match Signals::new() {
            Ok(signals) => signals,
            Err(e) => {
                eprintln!("taskmesh: cannot catch signals: {e}");
                return exit::COULD_NOT_START;
            }
        }
    };
    let loaded = match crate::config::load(sources, env) {
        Ok(loaded) => loaded,
        Err(errors) => {
            eprintln!("{errors}");
            return exit::USAGE;
        }
    };
    let _guard = match logging::begin(&loaded.config.log, no_cores, &loaded.warnings) {
        Ok(guard) => guard,
        Err(code) => return code,
    };
    for note in &loaded.notes {
        tracing::info!("{note}");
    }
    let code = runtime.block_on(async {
        let running = match App::build(loaded.config, env, signals, epoch, started_at).await {
            Ok(app) => app.start().await,
            Err(e) => Err(e),
        };
        match running {
            Ok(running) => running.finish().await.code,
            Err(e) => {
                tracing::error!("{e}");
                e.exit_code()
            }
        }
    });
    // A name lookup that hangs must not hold the exit back.
    runtime.shutdown_timeout(Duration::from_millis(100));
    code
}
