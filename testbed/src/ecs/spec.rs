//! What a simulated task needs besides its definition.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Duration;

use nix::sys::signal::Signal;

use super::check::DefinitionError;
use super::definition::TaskDefinition;
use crate::net::RootFs;

/// A probe of two programs on a busy machine ends within this time.
const PROBE_LIMIT: Duration = Duration::from_secs(3);

/// Which ECS is simulated.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Flavour {
    /// The container agent on an EC2 instance.
    Ec2,
    /// Fargate platform version 1.4.
    Fargate,
}

/// In which order containers get their stop signal.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum StopOrder {
    /// A container waits until those that name it in `dependsOn` have stopped (agent 1.26.0 on,
    /// Fargate 1.3.0 on). Not transitive.
    ReverseDependsOn,
    /// Everybody at once.
    AllAtOnce,
}

/// A task to simulate. Make one with [`TaskSpec::new`] and change what matters.
#[derive(Debug, Clone)]
pub struct TaskSpec {
    /// The task definition.
    pub definition: TaskDefinition,
    /// Which ECS.
    pub flavour: Flavour,
    /// Order of stop signals.
    pub stop_order: StopOrder,
    /// `{{name}}` in commands, environment and probes is replaced by its value. `{{ip}}`,
    /// `{{task_id}}` and `{{container}}` are always there.
    pub vars: BTreeMap<String, String>,
    /// Variables for every container, under those of the definition.
    pub env: BTreeMap<String, String>,
    /// Values of `secrets`, by `valueFrom`. A missing one is an empty task failure at start.
    pub secrets: BTreeMap<String, String>,
    /// Divides the times of the platform: health intervals, the agent's 5 s grid, Fargate's
    /// metadata lag, `restartAttemptPeriod`, and timeouts of probes above 3 s down to that. Not
    /// `stopTimeout` and `startTimeout`.
    pub time_scale: f64,
    /// Each container in a PID namespace of its own. `None`: where the host is isolated. Without,
    /// a container's process does not ignore the signals that it has no handler for.
    pub pid_namespaces: Option<bool>,
    /// Root file systems by container, see [`crate::image::place`]; needs PID namespaces. Whether one is read-only, the
    /// definition says. A container without sees this machine's.
    pub roots: BTreeMap<String, RootFs>,
    /// Folders that a container with `readonlyRootFilesystem` may write to all the same, as into its volumes.
    pub writable: Vec<PathBuf>,
    /// STOPSIGNAL of a container's image; TERM if not given.
    pub stop_signals: BTreeMap<String, Signal>,
    /// After this long from the first stop signal everything is killed, as when a Spot
    /// interruption ends (120 s).
    pub total_stop_limit: Option<Duration>,
    /// How long Fargate's metadata lags behind a container's start (showing PULLED and, for the
    /// task, NONE), before [`TaskSpec::time_scale`]. None on EC2.
    pub metadata_lag: Duration,
    /// How often the agent looks at unfulfilled dependencies when nothing else happens, before
    /// [`TaskSpec::time_scale`]; zero: at every event.
    pub dependency_grid: Duration,
    /// How long an image pull takes, for each container.
    pub pull_time: Duration,
    /// Whether `AWS_REGION` and `AWS_DEFAULT_REGION` are set (the EC2 agent does so since 1.104).
    pub region_env: bool,
    /// Region.
    pub region: String,
    /// Account.
    pub account: String,
    /// Short name of the cluster.
    pub cluster: String,
    /// The service that the task belongs to; then an UNHEALTHY essential container stops it.
    pub service: Option<String>,
    /// Whether the task has a role, whose credentials are served beside the metadata.
    pub task_role: bool,
    /// The task's id; random 32 hexadecimal digits if not given.
    pub task_id: Option<String>,
    /// Print events and output to standard error while the task runs.
    pub echo: bool,
}

impl TaskSpec {
    /// A task on EC2 with ordered stop and the timing of AWS.
    ///
    /// # Errors
    /// What ECS would refuse, or the simulation cannot run.
    pub fn new(definition: serde_json::Value) -> Result<Self, DefinitionError> {
        Ok(Self {
            definition: TaskDefinition::from_json(definition)?,
            flavour: Flavour::Ec2,
            stop_order: StopOrder::ReverseDependsOn,
            vars: BTreeMap::new(),
            env: BTreeMap::new(),
            secrets: BTreeMap::new(),
            time_scale: 1.0,
            pid_namespaces: None,
            roots: BTreeMap::new(),
            writable: Vec::new(),
            stop_signals: BTreeMap::new(),
            total_stop_limit: None,
            metadata_lag: Duration::ZERO,
            dependency_grid: Duration::from_secs(5),
            pull_time: Duration::ZERO,
            region_env: true,
            region: "us-east-1".to_owned(),
            account: "123456789012".to_owned(),
            cluster: "test".to_owned(),
            service: None,
            task_role: false,
            task_id: None,
            echo: false,
        })
    }

    /// As on Fargate: its metadata's shape and lag, no 5 s grid.
    #[must_use]
    pub fn fargate(mut self) -> Self {
        self.flavour = Flavour::Fargate;
        self.metadata_lag = Duration::from_secs(1);
        self.dependency_grid = Duration::ZERO;
        self
    }

    /// Sets the order of stop signals.
    #[must_use]
    pub fn stop_order(mut self, order: StopOrder) -> Self {
        self.stop_order = order;
        self
    }

    /// Divides the platform's times, see [`TaskSpec::time_scale`].
    #[must_use]
    pub fn time_scale(mut self, scale: f64) -> Self {
        self.time_scale = scale;
        self
    }

    /// Sets what `{{name}}` stands for.
    #[must_use]
    pub fn var(mut self, name: &str, value: impl Into<String>) -> Self {
        self.vars.insert(name.to_owned(), value.into());
        self
    }

    /// Sets a variable for every container.
    #[must_use]
    pub fn env(mut self, name: &str, value: impl Into<String>) -> Self {
        self.env.insert(name.to_owned(), value.into());
        self
    }

    /// Seconds of the definition as a duration, divided by the scale.
    pub(super) fn scaled(&self, seconds: f64) -> Duration {
        // Checked when the definition was parsed; a senseless scale means no waiting.
        Duration::try_from_secs_f64(seconds / self.time_scale).unwrap_or_default()
    }

    /// How long a probe may take. Its program runs at the machine's own speed, whatever the scale: so not below the
    /// unscaled timeout, or [`PROBE_LIMIT`] where that is longer.
    pub(super) fn probe_limit(&self, seconds: f64) -> Duration {
        let unscaled = Duration::try_from_secs_f64(seconds).unwrap_or(PROBE_LIMIT);
        self.scaled(seconds).max(unscaled.min(PROBE_LIMIT))
    }

    /// Seconds from the stop signal to KILL.
    pub(super) fn stop_timeout(&self, container: usize) -> Duration {
        let asked = self.definition.container_definitions[container].stop_timeout.unwrap_or(30.0);
        let most = if self.flavour == Flavour::Fargate { 120.0 } else { f64::MAX };
        Duration::try_from_secs_f64(asked.min(most)).unwrap_or(Duration::MAX)
    }
}
