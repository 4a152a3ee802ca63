//! The JSON of the endpoint: key for key, and in the order, of `aws/amazon-ecs-agent`
//! `ecs-agent/tmds/handlers/v4/state/response.go`. What is not known is absent, never null.

use std::collections::BTreeMap;

use jiff::Timestamp;
use serde::Serialize;
use tokio::time::Instant;

use crate::ecs::container::Surroundings;
use crate::ecs::definition::ContainerDefinition;
use crate::ecs::ids;
use crate::ecs::spec::{Flavour, TaskSpec};
use crate::ecs::state::{ContainerState, Health, Shared, Status, TaskState};

#[derive(Debug, Serialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct Task {
    cluster: String,
    #[serde(rename = "TaskARN")]
    task_arn: String,
    family: String,
    revision: String,
    desired_status: &'static str,
    known_status: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    limits: Option<TaskLimits>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pull_started_at: Option<Timestamp>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pull_stopped_at: Option<Timestamp>,
    #[serde(skip_serializing_if = "Option::is_none")]
    execution_stopped_at: Option<Timestamp>,
    availability_zone: String,
    launch_type: &'static str,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    containers: Vec<Container>,
    #[serde(rename = "VPCID", skip_serializing_if = "Option::is_none")]
    vpc_id: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    service_name: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    clock_drift: Option<ClockDrift>,
    #[serde(skip_serializing_if = "Option::is_none")]
    ephemeral_storage_metrics: Option<EphemeralStorage>,
    #[serde(skip_serializing_if = "Option::is_none")]
    fault_injection_enabled: Option<bool>,
}

#[derive(Debug, Serialize)]
struct TaskLimits {
    #[serde(rename = "CPU", skip_serializing_if = "Option::is_none")]
    cpu: Option<f64>,
    #[serde(rename = "Memory", skip_serializing_if = "Option::is_none")]
    memory: Option<u32>,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "PascalCase")]
struct ClockDrift {
    clock_error_bound: f64,
    reference_timestamp: Timestamp,
    clock_synchronization_status: &'static str,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "PascalCase")]
struct EphemeralStorage {
    utilized: u32,
    reserved: u32,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct Container {
    docker_id: String,
    name: String,
    docker_name: String,
    image: String,
    #[serde(rename = "ImageID")]
    image_id: String,
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    labels: BTreeMap<String, String>,
    desired_status: &'static str,
    known_status: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    exit_code: Option<i32>,
    limits: Limits,
    #[serde(skip_serializing_if = "Option::is_none")]
    created_at: Option<Timestamp>,
    #[serde(skip_serializing_if = "Option::is_none")]
    started_at: Option<Timestamp>,
    #[serde(skip_serializing_if = "Option::is_none")]
    finished_at: Option<Timestamp>,
    #[serde(rename = "Type")]
    kind: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    health: Option<HealthBody>,
    #[serde(skip_serializing_if = "Option::is_none")]
    log_driver: Option<String>,
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    log_options: BTreeMap<String, String>,
    #[serde(rename = "ContainerARN", skip_serializing_if = "Option::is_none")]
    container_arn: Option<String>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    networks: Vec<Network>,
    #[serde(skip_serializing_if = "Option::is_none")]
    snapshotter: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    restart_count: Option<u32>,
}

#[derive(Debug, Serialize)]
struct Limits {
    #[serde(rename = "CPU")]
    cpu: u32,
    #[serde(rename = "Memory", skip_serializing_if = "Option::is_none")]
    memory: Option<u32>,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct HealthBody {
    #[serde(skip_serializing_if = "Option::is_none")]
    status: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    status_since: Option<Timestamp>,
    #[serde(skip_serializing_if = "Option::is_none")]
    exit_code: Option<i32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    output: Option<String>,
}

#[derive(Debug, Serialize)]
struct Network {
    #[serde(rename = "NetworkMode")]
    mode: &'static str,
    #[serde(rename = "IPv4Addresses")]
    addresses: Vec<String>,
    #[serde(rename = "AttachmentIndex")]
    index: u32,
    #[serde(rename = "MACAddress")]
    mac: String,
    #[serde(rename = "IPv4SubnetCIDRBlock")]
    subnet: &'static str,
    #[serde(rename = "DomainNameServers", skip_serializing_if = "Vec::is_empty")]
    dns: Vec<&'static str>,
    #[serde(rename = "DomainNameSearchList", skip_serializing_if = "Vec::is_empty")]
    search: Vec<&'static str>,
    #[serde(rename = "PrivateDNSName")]
    name: String,
    #[serde(rename = "SubnetGatewayIpv4Address")]
    gateway: &'static str,
}

fn network(around: &Surroundings, flavour: Flavour) -> Network {
    let fargate = flavour == Flavour::Fargate;
    let ip = around.ip.parse().unwrap_or(std::net::Ipv4Addr::LOCALHOST);
    Network {
        mode: "awsvpc",
        addresses: vec![around.ip.clone()],
        index: 0,
        mac: crate::net::mac_of(ip),
        subnet: "10.77.0.0/16",
        dns: if fargate { vec!["10.77.0.2"] } else { Vec::new() },
        search: if fargate { vec!["ec2.internal"] } else { Vec::new() },
        name: format!("ip-{}.ec2.internal", around.ip.replace('.', "-")),
        gateway: "10.77.0.1/16",
    }
}

/// The status that is shown: on Fargate a container's start is seen late.
fn shown(spec: &TaskSpec, container: &ContainerState) -> Status {
    let lag = spec.scaled(spec.metadata_lag.as_secs_f64());
    let fresh = container.started.is_some_and(|at| Instant::now() < at + lag);
    match container.known {
        Status::Created | Status::Running if fresh => Status::Pulled,
        known => known,
    }
}

/// The least over the containers, in the task's own words.
fn task_known(shared: &Shared, state: &TaskState) -> Status {
    let least = state.containers.iter().map(|c| shown(&shared.spec, c)).min();
    match (least.unwrap_or(Status::Stopped), shared.spec.flavour) {
        (Status::Pulled, Flavour::Ec2) => Status::ManifestPulled,
        // Seen in a real body of Fargate: pulled containers, and a task that is NONE.
        (Status::Pulled, Flavour::Fargate) => Status::None,
        (status, _) => status,
    }
}

fn health(container: &ContainerState, flavour: Flavour) -> Option<HealthBody> {
    let health = container.health.as_ref()?;
    let status = match health.health {
        Health::Healthy => Some("HEALTHY"),
        Health::Unhealthy => Some("UNHEALTHY"),
        // The agent leaves it out; for Fargate it is not documented, so the other form is shown.
        Health::Unknown if flavour == Flavour::Fargate => Some("UNKNOWN"),
        Health::Unknown => None,
    };
    Some(HealthBody {
        status,
        status_since: health.since,
        exit_code: health.exit_code,
        output: health.output.clone(),
    })
}

fn labels(shared: &Shared, definition: &ContainerDefinition) -> BTreeMap<String, String> {
    let TaskSpec { definition: task, flavour, cluster, .. } = &shared.spec;
    let cluster = match flavour {
        Flavour::Ec2 => cluster.clone(),
        Flavour::Fargate => shared.cluster_arn(),
    };
    let mut labels = definition.docker_labels.clone();
    let own = [
        ("cluster", cluster),
        ("container-name", definition.name.clone()),
        ("task-arn", shared.task_arn()),
        ("task-definition-family", task.family.clone()),
        ("task-definition-version", task.revision.to_string()),
    ];
    labels.extend(own.map(|(key, value)| (format!("com.amazonaws.ecs.{key}"), value)));
    labels
}

/// One container's object.
pub(super) fn container(
    shared: &Shared,
    around: &Surroundings,
    state: &TaskState,
    index: usize,
) -> Container {
    let spec = &shared.spec;
    let definition = &spec.definition.container_definitions[index];
    let container = &state.containers[index];
    let known = shown(spec, container);
    let ec2 = spec.flavour == Flavour::Ec2;
    // On EC2 a pulled container has no Docker container yet.
    let bare = ec2 && container.created_at.is_none();
    let seen = known > Status::Pulled;
    let text = |text: &String| if bare { String::new() } else { text.clone() };
    let log = definition.log_configuration.as_ref();
    let limits = if ec2 {
        Limits { cpu: definition.cpu.max(2), memory: Some(definition.memory.unwrap_or(0)) }
    } else {
        Limits { cpu: definition.cpu, memory: definition.memory }
    };
    Container {
        docker_id: text(&container.docker_id),
        name: container.name.clone(),
        docker_name: text(&container.docker_name),
        image: definition.image.clone(),
        image_id: text(&container.image_id),
        labels: if bare { BTreeMap::new() } else { labels(shared, definition) },
        desired_status: container.desired.name(),
        known_status: known.name(),
        exit_code: container.exit_code,
        limits,
        created_at: container.created_at.filter(|_| seen),
        started_at: container.started_at.filter(|_| seen),
        finished_at: container.finished_at,
        kind: "NORMAL",
        health: health(container, spec.flavour),
        log_driver: log.map(|log| log.log_driver.clone()),
        log_options: log.map(|log| log.options.clone()).unwrap_or_default(),
        container_arn: Some(container.arn.clone()),
        networks: if bare { Vec::new() } else { vec![network(around, spec.flavour)] },
        snapshotter: (!ec2).then_some("overlayfs"),
        restart_count: definition
            .restart_policy
            .as_ref()
            .filter(|policy| policy.enabled)
            .map(|_| container.restarts),
    }
}

/// The container that holds the network of a task on EC2.
fn pause(shared: &Shared, around: &Surroundings, state: &TaskState) -> Container {
    let name = "~internal~ecs~pause";
    let TaskSpec { definition, cluster, .. } = &shared.spec;
    let labels = [("cluster", cluster.as_str()), ("container-name", name)]
        .map(|(key, value)| (format!("com.amazonaws.ecs.{key}"), value.to_owned()));
    let over = state.all_stopped();
    let status = |stopped| if stopped { Status::Stopped.name() } else { "RESOURCES_PROVISIONED" };
    Container {
        docker_id: format!("{}{}", shared.task_id, shared.task_id),
        name: name.to_owned(),
        docker_name: format!("ecs-{}-{}-internalecspause", definition.family, definition.revision),
        image: "amazon/amazon-ecs-pause:0.1.0".to_owned(),
        image_id: String::new(),
        labels: labels.into(),
        desired_status: status(state.desired == Status::Stopped),
        known_status: status(over),
        exit_code: over.then_some(137),
        limits: Limits { cpu: 2, memory: Some(0) },
        created_at: Some(state.begun_at),
        started_at: Some(state.begun_at),
        finished_at: None,
        kind: "CNI_PAUSE",
        health: None,
        log_driver: None,
        log_options: BTreeMap::new(),
        container_arn: None,
        networks: vec![network(around, Flavour::Ec2)],
        snapshotter: None,
        restart_count: None,
    }
}

/// The containers in the order of an answer: on EC2 it is another one each time, those that are
/// only pulled last, and those that are not even pulled are missing.
fn containers(shared: &Shared, around: &Surroundings, state: &TaskState) -> Vec<Container> {
    let all = 0..state.containers.len();
    let body = |index| container(shared, around, state, index);
    if shared.spec.flavour == Flavour::Fargate {
        return all.map(body).collect();
    }
    let (created, rest): (Vec<usize>, Vec<usize>) =
        all.partition(|index| state.containers[*index].created_at.is_some());
    let mut list: Vec<Container> = created.into_iter().map(body).collect();
    list.push(pause(shared, around, state));
    ids::shuffle(&mut list);
    let pulled = rest.into_iter().filter(|index| state.containers[*index].known == Status::Pulled);
    list.extend(pulled.map(body));
    list
}

/// The task's object.
pub(super) fn task(shared: &Shared, around: &Surroundings) -> Task {
    let state = shared.read();
    let spec = &shared.spec;
    let definition = &spec.definition;
    let ec2 = spec.flavour == Flavour::Ec2;
    let units = |text: &String| text.parse::<f64>().ok().map(|units| units / 1024.0);
    let cpu = definition.cpu.as_ref().and_then(units);
    let memory = definition.memory.as_ref().and_then(|text| text.parse().ok());
    Task {
        cluster: if ec2 { spec.cluster.clone() } else { shared.cluster_arn() },
        task_arn: shared.task_arn(),
        family: definition.family.clone(),
        revision: definition.revision.to_string(),
        desired_status: state.desired.name(),
        known_status: task_known(shared, &state).name(),
        limits: (cpu.is_some() || memory.is_some()).then_some(TaskLimits { cpu, memory }),
        pull_started_at: state.pull_started_at,
        pull_stopped_at: state.pull_stopped_at,
        execution_stopped_at: state.execution_stopped_at,
        availability_zone: format!("{}a", spec.region),
        launch_type: if ec2 { "EC2" } else { "FARGATE" },
        containers: containers(shared, around, &state),
        vpc_id: ec2.then_some("vpc-1234567890abcdef0"),
        service_name: spec.service.clone(),
        clock_drift: (!ec2).then(|| ClockDrift {
            clock_error_bound: 0.314_895_5,
            reference_timestamp: state.begun_at,
            clock_synchronization_status: "SYNCHRONIZED",
        }),
        ephemeral_storage_metrics: (!ec2)
            .then_some(EphemeralStorage { utilized: 208, reserved: 20496 }),
        fault_injection_enabled: ec2.then_some(false),
    }
}
