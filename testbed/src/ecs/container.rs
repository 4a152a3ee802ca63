//! One container: what its process is given, and its probes.

use std::ffi::OsString;
use std::sync::Arc;
use std::time::Duration;

use nix::sys::signal::Signal;
use tokio::sync::mpsc;
use tokio::time::{Instant, sleep, timeout};

use super::health::{Monitor, TIMED_OUT};
use super::spec::Flavour;
use super::state::{Health, Shared};
use crate::net::{PidSpace, Process, ProcessSpec, RootFs};

/// What a container runtime puts into `PATH` when the image says nothing.
const PATH: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";
/// As much of a probe's output as the agent keeps.
const OUTPUT_LIMIT: usize = 1024;

/// What every container of a task needs from its surroundings.
#[derive(Debug, Clone)]
pub(super) struct Surroundings {
    /// Address of the task.
    pub(super) ip: String,
    /// `http://` and authority of the metadata endpoint.
    pub(super) base: String,
    /// Path of the task role's credentials, if it has a role.
    pub(super) credentials: Option<String>,
    pub(super) pid_namespaces: bool,
}

/// Replaces `{{name}}`.
fn fill(shared: &Shared, around: &Surroundings, container: &str, text: &str) -> String {
    let own = [("ip", around.ip.as_str()), ("task_id", &shared.task_id), ("container", container)];
    let vars = shared.spec.vars.iter().map(|(name, value)| (name.as_str(), value.as_str()));
    own.into_iter().chain(vars).fold(text.to_owned(), |text, (name, value)| {
        text.replace(&format!("{{{{{name}}}}}"), value)
    })
}

/// The environment that the definition and ECS give (AWS documentation, "Amazon ECS environment
/// variables"); later entries win.
fn environment(shared: &Shared, around: &Surroundings, index: usize) -> Vec<(OsString, OsString)> {
    let spec = &shared.spec;
    let definition = &spec.definition.container_definitions[index];
    let id = shared.read().containers[index].endpoint_id.clone();
    let base = &around.base;
    let hostname = format!("ip-{}.ec2.internal", around.ip.replace('.', "-"));
    let mut env: Vec<(String, String)> = Vec::new();
    let mut set = |name: &str, value: String| env.push((name.to_owned(), value));
    set("PATH", PATH.to_owned());
    set("HOME", "/root".to_owned());
    set("HOSTNAME", hostname);
    set("ECS_CONTAINER_METADATA_URI_V4", format!("{base}/v4/{id}"));
    set("ECS_CONTAINER_METADATA_URI", format!("{base}/v3/{id}"));
    set("ECS_AGENT_URI", format!("{base}/api/{id}"));
    let kind = match spec.flavour {
        Flavour::Ec2 => "AWS_ECS_EC2",
        Flavour::Fargate => "AWS_ECS_FARGATE",
    };
    set("AWS_EXECUTION_ENV", kind.to_owned());
    if spec.region_env {
        set("AWS_REGION", spec.region.clone());
        set("AWS_DEFAULT_REGION", spec.region.clone());
    }
    if let Some(path) = &around.credentials {
        set("AWS_CONTAINER_CREDENTIALS_RELATIVE_URI", path.clone());
    }
    for (name, value) in &spec.env {
        set(name, fill(shared, around, &definition.name, value));
    }
    for variable in &definition.environment {
        set(&variable.name, fill(shared, around, &definition.name, &variable.value));
    }
    for secret in &definition.secrets {
        // Their presence was checked when the task was accepted.
        set(&secret.name, spec.secrets.get(&secret.value_from).cloned().unwrap_or_default());
    }
    env.into_iter().map(|(name, value)| (name.into(), value.into())).collect()
}

fn process_spec(
    shared: &Shared,
    around: &Surroundings,
    index: usize,
    argv: &[String],
) -> ProcessSpec {
    let definition = &shared.spec.definition.container_definitions[index];
    let mut argv =
        argv.iter().map(|text| OsString::from(fill(shared, around, &definition.name, text)));
    ProcessSpec {
        // An empty command was refused at parsing.
        program: argv.next().unwrap_or_default(),
        args: argv.collect(),
        env: environment(shared, around, index),
        clear_env: true,
        dir: definition.working_directory.as_ref().map(Into::into),
        user: definition.user_ids(),
        pid_space: PidSpace::Outer,
        read_only_but: None,
        root: None,
    }
}

/// What the container's main process is.
pub(super) fn main_process(shared: &Shared, around: &Surroundings, index: usize) -> ProcessSpec {
    let definition = &shared.spec.definition.container_definitions[index];
    let argv: Vec<String> = definition.argv().cloned().collect();
    let mut spec = process_spec(shared, around, index, &argv);
    if around.pid_namespaces {
        spec.pid_space = PidSpace::New;
        if let Some(root) = shared.spec.roots.get(&definition.name) {
            let read_only = definition.readonly_root_filesystem;
            spec.root = Some(RootFs { read_only, ..root.clone() });
            return spec;
        }
        spec.read_only_but =
            definition.readonly_root_filesystem.then(|| shared.spec.writable.clone());
    }
    spec
}

/// Another process inside a running container, as `docker exec` and ECS Exec start them.
pub(super) fn exec_process(
    shared: &Shared,
    around: &Surroundings,
    index: usize,
    argv: &[String],
    main: &Process,
) -> ProcessSpec {
    let mut spec = process_spec(shared, around, index, argv);
    if around.pid_namespaces {
        spec.pid_space = PidSpace::Of(main.pid());
    }
    spec
}

/// A probe's verdict.
#[derive(Debug, Clone)]
pub(super) struct Verdict {
    pub(super) container: usize,
    /// The process that was probed: a verdict on a former one does not count.
    pub(super) pid: i32,
    pub(super) health: Health,
    pub(super) exit_code: i32,
    pub(super) output: String,
}

/// Probes a container for as long as it runs.
pub(super) async fn probe<T: From<Verdict>>(
    shared: Arc<Shared>,
    around: Arc<Surroundings>,
    container: usize,
    main: Process,
    tell: mpsc::UnboundedSender<T>,
) {
    let definition = &shared.spec.definition.container_definitions[container];
    let (Some(check), Some(argv)) = (&definition.health_check, definition.probe()) else { return };
    let limit = shared.spec.probe_limit(check.timeout);
    let scale = shared.spec.time_scale;
    let (interval, start_period) =
        (shared.spec.scaled(check.interval), shared.spec.scaled(check.start_period));
    let mut monitor = Monitor::new(interval, start_period, check.retries, scale);
    let started = Instant::now();
    loop {
        sleep(monitor.delay(started.elapsed())).await;
        let spec = exec_process(&shared, &around, container, &argv, &main);
        let begun = started.elapsed();
        let (exit_code, output) = run(&spec, limit).await;
        if main.exit().is_some() {
            return;
        }
        let health = monitor.observe(exit_code, begun);
        let verdict = Verdict { container, pid: main.pid(), health, exit_code, output };
        if tell.send(verdict.into()).is_err() {
            return;
        }
    }
}

async fn run(spec: &ProcessSpec, limit: Duration) -> (i32, String) {
    let process = match Process::spawn_here(spec) {
        Ok(process) => process,
        // As a shell and Docker report a program that cannot be run.
        Err(error) => return (127, error.to_string()),
    };
    let Ok(exit) = timeout(limit, process.finished()).await else {
        process.kill();
        return (TIMED_OUT, format!("Health check exceeded timeout ({limit:?})"));
    };
    let lines = process.output().snapshot();
    let mut output: String =
        lines.into_iter().flat_map(|line| [line.text, "\n".to_owned()]).collect();
    let cut = (0..=OUTPUT_LIMIT.min(output.len())).rev().find(|at| output.is_char_boundary(*at));
    output.truncate(cut.unwrap_or_default());
    (exit.code(), output)
}

/// The signal that asks the container to stop.
pub(super) fn stop_signal(shared: &Shared, index: usize) -> Signal {
    let name = &shared.spec.definition.container_definitions[index].name;
    shared.spec.stop_signals.get(name).copied().unwrap_or(Signal::SIGTERM)
}
