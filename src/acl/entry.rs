//! `taskmesh controller`: from the configuration to the exit code.

use super::cloud::Cloud;
use super::controller::Controller;
use super::hands::RealHands;
use super::inventory::Site;
use super::leader::{Election, Lease};
use super::lock::ConsulLock;
use super::names::Cluster;
use super::plan::Rules;
use super::view;
use crate::app::secrets::{self, SecretsError};
use crate::config::{ControllerConfig, Env, Pem, Secret, Sources, load_controller};
use crate::consul::Client;
use crate::ecs::{AwsAccess, METADATA_URI_ENV, MetadataClient, region_of};
use crate::stored::{Store, StoredError};
use crate::{admin, exit, logging, process};
use nix::sys::utsname::uname;
use secrecy::{ExposeSecret, SecretString};
use std::rc::Rc;
use std::time::Duration;
use tokio::signal::unix::{Signal, SignalKind, signal};

/// Servers answer a list of thousands of tokens in less.
const CONSUL_TIMEOUT: Duration = Duration::from_secs(10);

/// Why the controller could not start.
#[derive(Debug, thiserror::Error)]
enum StartError {
    #[error(transparent)]
    Secrets(#[from] SecretsError),
    #[error(transparent)]
    Consul(#[from] crate::consul::Error),
    #[error("{path}: {why}")]
    Stored { path: &'static str, why: StoredError },
    #[error("{0}")]
    Missing(&'static str),
    #[error(transparent)]
    System(#[from] std::io::Error),
}

/// Runs it. With `dry_run`, or with `controller.dryRun`, one round is made, what would be done is printed, and nothing is
/// changed.
pub(crate) fn run(sources: &Sources, dry_run: bool, env: &dyn Env) -> u8 {
    let no_cores = process::forbid_core_dumps();
    let runtime = match tokio::runtime::Builder::new_current_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(e) => {
            eprintln!("taskmesh: cannot start the runtime: {e}");
            return exit::COULD_NOT_START;
        }
    };
    // First of all: to a PID 1 nothing is done by a signal that it does not wait for.
    let mut stop = match runtime.block_on(async { Stop::new() }) {
        Ok(stop) => stop,
        Err(e) => {
            eprintln!("taskmesh: cannot wait for signals: {e}");
            return exit::COULD_NOT_START;
        }
    };
    let loaded = match load_controller(sources, env) {
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
    let dry_run = dry_run || loaded.config.controller.dry_run;
    let code = runtime.block_on(async {
        match start(&loaded.config, dry_run, env, &mut stop).await {
            Ok(code) => code,
            Err(e) => {
                tracing::error!("{e}");
                match e {
                    StartError::Secrets(_) | StartError::Missing(_) => exit::USAGE,
                    _ => exit::COULD_NOT_START,
                }
            }
        }
    });
    runtime.shutdown_timeout(Duration::from_millis(100));
    code
}

/// The signals that end it.
struct Stop {
    term: Signal,
    int: Signal,
}

impl Stop {
    fn new() -> std::io::Result<Self> {
        Ok(Self { term: signal(SignalKind::terminate())?, int: signal(SignalKind::interrupt())? })
    }

    /// Until one comes.
    async fn told(&mut self) {
        let name = tokio::select! {
            _ = self.term.recv() => "SIGTERM",
            _ = self.int.recv() => "SIGINT",
        };
        tracing::info!(signal = name, "controller ends");
    }
}

async fn start(
    config: &ControllerConfig,
    dry_run: bool,
    env: &dyn Env,
    stop: &mut Stop,
) -> Result<u8, StartError> {
    let (place, connected, consul) = tokio::select! {
        found = find(config, env) => found?,
        () = stop.told() => return Ok(exit::OK),
    };
    // What services share stands in the namespace `default`, as 0.4.3 has it.
    let partition = config.controller.partition.as_deref();
    let consul = consul.with_tenancy(partition.map(|_| "default"), partition);
    let options = &config.controller;
    let ha = options.ha && !dry_run;
    let lease = Rc::new(if ha { Lease::among_others() } else { Lease::alone() });
    let hands = RealHands::new(consul.clone(), connected, Rc::clone(&lease));
    let site = Site {
        cluster: place.cluster,
        prefix: options.secret_name_prefix.clone(),
        client_secret: options.client_secret(),
        partition: options.partition.clone(),
    };
    let rules = Rules { create_secrets: options.create_secrets, grace: options.grace_period };
    tracing::info!(cluster = site.cluster.text(), prefix = site.prefix, dry_run, ha, "controller");
    let lock = ConsulLock::new(consul, site.cluster.lead_key(), place.name);
    let mut controller = Controller::new(hands, site, rules);
    controller.interval = options.interval;
    controller.audit = options.audit_interval;
    controller.dry_run = dry_run;
    if dry_run {
        return Ok(print_plan(&controller).await);
    }
    let listener = admin::bind(config.admin.listen).await?;
    let api = admin::serve_router(listener, view::router(controller.subscribe()));
    let election = Election::new(lock, &lease);
    let work = async { if ha { election.run(&controller).await } else { controller.run().await } };
    tokio::select! {
        () = work => {}
        () = api => {}
        () = stop.told() => {}
    }
    election.resign().await;
    Ok(exit::OK)
}

/// One round that only tells.
async fn print_plan(controller: &Controller) -> u8 {
    match controller.once().await {
        Ok(writes) => {
            for (service, step) in &writes {
                println!("{service}: {step}");
            }
            println!("controller: {} changes would be made", writes.len());
            exit::OK
        }
        Err(why) => {
            tracing::error!(%why, "cannot tell what would be done");
            exit::COULD_NOT_START
        }
    }
}

/// Where it runs.
struct Place {
    cluster: Cluster,
    region: String,
    /// What it calls itself.
    name: String,
}

/// Where it runs, and AWS and Consul from there.
async fn find(
    config: &ControllerConfig,
    env: &dyn Env,
) -> Result<(Place, Cloud, Client), StartError> {
    let place = place(config, env).await?;
    let cloud = Cloud::connect(place.region.clone()).await;
    let mut store = Store::new(AwsAccess::in_region(&place.region), "");
    let consul = consul(config, env, &mut store).await?;
    Ok((place, cloud, consul))
}

/// What the environment says where the configuration says nothing, as Consul's own client reads it.
async fn consul(
    config: &ControllerConfig,
    env: &dyn Env,
    store: &mut Store,
) -> Result<Client, StartError> {
    let text = |name: &str| env.var(name)?.into_string().ok().filter(|text| !text.is_empty());
    let consul = &config.consul;
    let address = consul.address.clone().or_else(|| text("CONSUL_HTTP_ADDR"));
    let address = address.unwrap_or_else(|| "http://127.0.0.1:8500".to_owned());
    let address = if address.contains("://") { address } else { format!("http://{address}") };
    let mut get = async |path, secret: Option<&Secret>, variable| match secret {
        Some(Secret::SecretsManager(stored)) => match store.read(stored).await {
            Ok(secret) => Ok(Some(secret)),
            Err(why) => Err(StartError::Stored { path, why }),
        },
        Some(_) => Ok(secrets::get(path, secret, env)?),
        None => Ok(text(variable).map(SecretString::from)),
    };
    let token = get("consul.token", consul.token.as_ref(), "CONSUL_HTTP_TOKEN").await?;
    const CA: &str = "consul.tls.ca";
    let ca = get(CA, consul.tls.ca.as_ref(), "CONSUL_CACERT_PEM").await?;
    // Else one that holds no certificate would be taken, and nobody trusted.
    secrets::check_pem(CA, Pem::Certificate, ca.as_ref())?;
    let ca = ca.as_ref().map(|ca| ca.expose_secret().as_bytes());
    Ok(Client::of_servers(&address, token, ca)?.with_timeout(CONSUL_TIMEOUT))
}

/// The cluster and the region, from the configuration or from the controller's own task.
async fn place(config: &ControllerConfig, env: &dyn Env) -> Result<Place, StartError> {
    let text = |name: &str| env.var(name)?.into_string().ok().filter(|text| !text.is_empty());
    let task = match text(METADATA_URI_ENV) {
        Some(uri) => MetadataClient::new(&uri).task().await.ok(),
        None => None,
    };
    let arn = task.as_ref().map(|task| task.task_arn.clone()).unwrap_or_default();
    let name = own_name(task.as_ref().map(|task| task.task_id()));
    let own = task.map(|task| task.cluster).filter(|cluster| !cluster.is_empty());
    let cluster = config.controller.cluster.clone().or(own).ok_or(StartError::Missing(
        "controller.cluster is not given, and the task metadata does not say it",
    ))?;
    let region = text("AWS_REGION")
        .or_else(|| text("AWS_DEFAULT_REGION"))
        .or_else(|| region_of(&arn))
        .or_else(|| region_of(&cluster))
        .ok_or(StartError::Missing("no AWS_REGION, and none in the task's or the cluster's ARN"))?;
    Ok(Place { cluster: Cluster::with_task(&cluster, &arn), region, name })
}

/// For those that follow it: they show it to people, who look for a task.
fn own_name(task: Option<&str>) -> String {
    let host = uname().map(|name| name.nodename().to_string_lossy().into_owned());
    let host = host.unwrap_or_default();
    match task.filter(|id| !id.is_empty()) {
        Some(id) => format!("task {id} on {host}"),
        None => format!("process {} on {host}", std::process::id()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeMap;

    #[tokio::test]
    async fn an_authority_that_is_no_certificate_is_refused_with_its_path() {
        for (name, config) in [
            ("CONSUL_CACERT_PEM", r#"{}"#),
            ("MINE", r#"{"consul": {"tls": {"ca": {"env": "MINE"}}}}"#),
        ] {
            let config: ControllerConfig = serde_json::from_str(config).unwrap();
            let env = BTreeMap::from([(name.to_owned(), "garbage".to_owned())]);
            let mut store = Store::new(AwsAccess::default(), "");
            let error = consul(&config, &env, &mut store).await.unwrap_err().to_string();
            assert!(error.starts_with("consul.tls.ca: holds no PEM"), "{name}: {error}");
        }
    }
}
