//! What a task needs is away for a while: it says so, stops nothing, floods nothing, and is whole again afterwards.

use crate::faults::kill_child;
use crate::support::{
    LONG, Seen, assert_stopped, cluster, code, problem, serving, stopped, until, until_held,
    until_ready,
};
use nix::sys::signal::Signal;
use nix::sys::stat::Mode;
use serde_json::{Value, json};
use std::net::Ipv4Addr;
use std::time::Duration;
use taskmesh::timeline::Event;
use testbed::cluster::{MeshTask, TaskPlan, get_until};
use testbed::definitions::wrapped;
use testbed::ecs::Fault;
use testbed::faults::{Kind, Witness};
use tokio::io::AsyncReadExt;
use tokio::net::TcpListener;
use tokio::time::Instant;

#[tokio::test]
async fn envoy_is_back_at_the_agent_soon_after_its_restart() {
    let Some(cluster) = cluster().await else { return };
    // Long enough for Envoy's word that it is not connected to be seen.
    let plan = TaskPlan::new("api-1", "api", wrapped("api", &[]))
        .config(json!({ "restart": { "backoff": { "min": "2s", "max": "2s" } } }));
    let task = serving(&cluster, plan).await;
    let url = format!(
        "http://127.0.0.1:{}/stats?format=json&filter=control_plane.connected_state",
        task.ports.envoy_admin
    );
    let connected = async || {
        let stats = get_until(task.ecs.host(), &url, LONG).await.expect("stats");
        let all = stats["stats"].as_array().expect("stats").clone();
        all.iter().any(|stat| stat["value"] == 1)
    };
    assert!(connected().await);
    let mut fault = Witness::of(Kind::Process, "Envoy loses the agent (backoff 1 to 2 s here)");
    kill_child(&task, "consul");
    until("disconnected", &task, async || (!connected().await).then_some(())).await;
    fault.told("Envoy: `control_plane.connected_state` is 0; it serves on");
    task.wait_event(Event::ChildRestarted, LONG).await.expect("restarted");
    fault.lifted();
    let began = Instant::now();
    until("connected", &task, async || connected().await.then_some(())).await;
    fault.mended("from the restart: Envoy tries every second at the latest");
    // 1 s at the most between two tries of Envoy, beside the agent's own start. Without the retry policy of the
    // bootstrap it is 8 to 15 s.
    assert!(began.elapsed() < Duration::from_secs(5), "connected after {:?}", began.elapsed());
}

#[tokio::test]
async fn servers_that_hang_are_named_and_nothing_stops_until_they_answer_again() {
    let Some(cluster) = cluster().await else { return };
    let mut definition = wrapped("api", &[]);
    definition["containerDefinitions"][1]["healthCheck"] = json!({
        "command": ["CMD", "/usr/bin/test", "-e", "/"], "interval": 5, "timeout": 2, "retries": 2
    });
    let plan = TaskPlan::new("api-1", "api", definition)
        .config(json!({
            "healthSync": { "containers": ["app"], "ttl": "3s" },
            "restart": { "unresponsiveAfter": "3s" }
        }))
        .platform(|spec| spec.time_scale = 20.0);
    let task = serving(&cluster, plan).await;
    let mut fault = Witness::of(Kind::Servers, "The servers hang");
    assert!(cluster.server().signal(Signal::SIGSTOP));
    let said = until("named", &task, async || problem(&task, "consul servers").await).await;
    assert!(said["why"].as_str().expect("why").contains("no server answers"), "{said:#}");
    fault.told("`/v1/status`: `consul servers: no server answers`; `/ready` stays 200");
    // Longer than the TTL, and than a child may be silent: neither the agent nor Envoy is blamed for the servers.
    let named = Instant::now();
    let id = format!("api-{}-app-consul-ecs", task.ecs.id());
    while named.elapsed() < Duration::from_secs(7) {
        let checks = task.agent_get("/v1/agent/checks").await.expect("the agent answers");
        assert_eq!(checks[&id]["Status"], "passing", "{checks:#}");
        tokio::time::sleep(Duration::from_millis(250)).await;
    }
    let timeline = task.timeline().await.expect("timeline");
    assert!(timeline.find(Event::ChildExited).is_none(), "{timeline:#?}");
    assert!(timeline.find(Event::StopNoticed).is_none(), "{timeline:#?}");
    let warned = task.last_lines(usize::MAX).matches("no server answers").count();
    assert_eq!(warned, 1, "said once: {}", task.last_lines(40));

    assert!(cluster.server().signal(Signal::SIGCONT));
    fault.lifted();
    until("over", &task, async || problem(&task, "consul servers").await.is_none().then_some(()))
        .await;
    fault.mended("by itself: TTLs are refreshed and traffic flows all the time");
    until_ready(&task).await;
    task.ecs.stop();
    let (result, _) = stopped(&task).await;
    assert_eq!(code(&result, "taskmesh"), Some(0));
}

#[tokio::test]
async fn an_agent_that_cannot_tell_hanging_servers_of_a_change_is_not_taken_for_dead() {
    let Some(cluster) = cluster().await else { return };
    let plan = TaskPlan::new("api-1", "api", wrapped("api", &[]))
        .config(json!({ "restart": { "unresponsiveAfter": "2s" } }));
    let task = serving(&cluster, plan).await;
    let agent = task.child("consul").expect("an agent").pid;
    let mut fault = Witness::of(Kind::Servers, "The servers hang, and a change cannot be told");
    assert!(cluster.server().signal(Signal::SIGSTOP));
    // From now on a real agent answers nothing that is about its own services: it holds them locked. So may this.
    let change = json!({ "Name": "mem", "TTL": "10m" });
    let told = task.agent_put_json("/v1/agent/check/register", change).await;
    let began = Instant::now();
    while began.elapsed() < Duration::from_secs(7) {
        assert!(!task.last_lines(usize::MAX).contains("had not answered"), "{told:?}");
        tokio::time::sleep(Duration::from_millis(250)).await;
    }
    assert_eq!(task.child("consul").expect("an agent").pid, agent);
    assert!(cluster.server().signal(Signal::SIGCONT));
    fault.lifted();
    until_ready(&task).await;
    fault.shows("the agent's own answers may hang; it is not taken for dead");
    fault.mended("by itself");
    let timeline = task.timeline().await.expect("timeline");
    assert!(timeline.find(Event::ChildExited).is_none(), "{timeline:#?}");
}

/// A task on whose loopback somebody else holds a port before it starts.
async fn with_a_port_taken(
    cluster: &testbed::cluster::Cluster,
    name: &str,
    port: impl Fn(&MeshTask) -> u16,
) -> (MeshTask, TcpListener) {
    let plan = TaskPlan::new(name, "api", wrapped("api", &[]))
        .config(
            json!({ "restart": { "backoff": { "min": "200ms", "max": "500ms" }, "budget": 100 } }),
        )
        .platform(|spec| spec.pull_time = Duration::from_millis(500));
    let task = cluster.task(plan).await.expect("task");
    let port = port(&task);
    let bind = task.ecs.host().spawn(move || TcpListener::bind((Ipv4Addr::LOCALHOST, port)));
    let listener = bind.await.expect("host").expect("the port is free");
    (task, listener)
}

#[tokio::test]
async fn a_port_of_a_child_that_is_taken_is_named_and_waited_for() {
    let Some(cluster) = cluster().await else { return };
    type Port = fn(&MeshTask) -> u16;
    let ports: [(&str, &str, &str, Port); 3] = [
        ("The agent's HTTP port is taken", "http", "consul agent", |task| task.ports.http),
        ("The agent's gRPC port is taken", "grpc", "consul agent", |task| task.ports.grpc),
        ("Envoy's admin port is taken", "admin", "envoy live", |task| task.ports.envoy_admin),
    ];
    for (title, name, latch, port) in ports {
        let mut fault = Witness::of(Kind::Machine, title);
        let (task, taken) = with_a_port_taken(&cluster, &format!("api-{name}"), port).await;
        until_held(&task, latch, "address already in use").await;
        fault.told("`/ready`: the child's last error, `address already in use`");
        drop(taken);
        fault.lifted();
        task.wait_event(Event::Ready, LONG).await.expect("ready once the port is free");
        fault.mended("the child is started again and again");
    }
}

#[tokio::test]
async fn a_public_listener_whose_port_is_taken_is_named_and_opens_once_it_is_free() {
    let Some(cluster) = cluster().await else { return };
    let (task, taken) = with_a_port_taken(&cluster, "api-1", |task| task.ports.public).await;
    // Somebody accepts there; it is not Envoy, so nothing is ready.
    let mut fault = Witness::of(Kind::Machine, "The port of the public listener is taken");
    until_held(&task, "envoy listeners", "another process listens on port").await;
    fault.told("`/ready`: `another process listens on port 20000, ..`");
    drop(taken);
    fault.lifted();
    // Envoy does not try again by itself.
    task.wait_event(Event::Ready, LONG).await.expect("ready once the port is free");
    fault.mended("Envoy is replaced: it does not try again by itself");
    let seen = Seen(task.timeline().await.expect("timeline"));
    seen.cause(
        Event::ChildExited,
        "envoy: killed by us: another process had its public listener's port, and has let go of it",
    );
}

#[tokio::test]
async fn our_own_port_that_is_taken_ends_the_start_with_words() {
    let Some(cluster) = cluster().await else { return };
    let mut fault = Witness::of(Kind::Machine, "Our own admin port is taken");
    let (task, _taken) = with_a_port_taken(&cluster, "api-1", |task| task.ports.admin).await;
    let result = tokio::time::timeout(LONG, task.ecs.wait_stopped()).await.expect("stopped");
    assert_eq!(code(&result, "taskmesh"), Some(1));
    let lines = task.last_lines(5);
    assert!(lines.contains(&task.ports.admin.to_string()), "{lines}");
    fault.told("exit code 1; the last log line names the port");
    fault.ended("it does not: nobody could ask it; ECS replaces the task");
}

#[tokio::test]
async fn a_private_folder_that_cannot_be_made_ends_the_start_with_words() {
    let Some(cluster) = cluster().await else { return };
    // Nobody, root neither, can make a folder there: as on a read-only file system.
    let plan = TaskPlan::new("api-1", "api", wrapped("api", &[]))
        .config(json!({ "envoy": { "configDir": "/proc/taskmesh-private" } }));
    let mut fault = Witness::of(Kind::Machine, "The private folder cannot be made");
    let task = cluster.task(plan).await.expect("task");
    let result = tokio::time::timeout(LONG, task.ecs.wait_stopped()).await.expect("stopped");
    assert_eq!(code(&result, "taskmesh"), Some(1));
    let lines = task.last_lines(5);
    assert!(lines.contains("/proc/taskmesh-private"), "{lines}");
    fault.told("exit code 1; the last log line names the folder and the reason");
    fault.ended("it does not: such a mount is a mistake; ECS replaces the task");
}

#[tokio::test]
async fn metadata_that_fails_while_a_task_runs_is_named_said_once_and_stops_nothing() {
    let Some(cluster) = cluster().await else { return };
    let task = serving(&cluster, TaskPlan::new("api-1", "api", wrapped("api", &[]))).await;
    let lines = |words: &str| task.last_lines(usize::MAX).matches(words).count();
    for (number, (fault, title, words)) in [
        (Fault::NotFound, "is not found", "404"),
        (Fault::TooManyRequests, "is throttled (429, a text body)", "throttles"),
        (Fault::ServerError, "fails with 500", "500"),
        (Fault::NotJson, "is garbage", "cannot read"),
        (Fault::Truncated, "is cut off", "no answer"),
        (Fault::Hang, "does not answer", "within 2s"),
        (Fault::Huge(8 << 20), "is 8 MiB long", "longer than"),
        (Fault::Refused, "refuses connections", "no answer"),
    ]
    .into_iter()
    .enumerate()
    {
        let mut row = Witness::of(Kind::Ecs, &format!("The metadata {title}"));
        task.ecs.metadata().set(fault);
        let said = until(words, &task, async || {
            let said = problem(&task, "task metadata").await?;
            said["why"].as_str()?.contains(words).then_some(said)
        })
        .await;
        row.told(&format!("`/v1/status`: `task metadata`, `.. {words} ..`; one log line"));
        // The next reads fail as well, and change neither the words nor the time since when.
        let seconds = |said: &Value| said["forSeconds"].as_f64();
        until("it lasts", &task, async || {
            let now = problem(&task, "task metadata").await?;
            (seconds(&now)? >= seconds(&said)? + 1.5).then_some(())
        })
        .await;
        task.ecs.metadata().clear();
        row.lifted();
        until("over", &task, async || {
            problem(&task, "task metadata").await.is_none().then_some(())
        })
        .await;
        row.mended("the last health counts for `healthSync.staleAfter`; then by itself");
        assert_eq!(lines("task metadata cannot be read"), number + 1, "{words}");
        assert_eq!(lines("task metadata can be read again"), number + 1, "{words}");
    }
    let timeline = task.timeline().await.expect("timeline");
    for event in [Event::StopNoticed, Event::ChildExited, Event::RegistrationRepaired] {
        assert!(timeline.find(event).is_none(), "{timeline:#?}");
    }
}

#[tokio::test]
async fn an_output_that_nobody_reads_holds_up_no_ttl_and_no_stop() {
    let Some(cluster) = cluster().await else { return };
    let dir = tempfile::tempdir().expect("dir");
    let fifo = dir.path().join("output");
    nix::unistd::mkfifo(&fifo, Mode::S_IRWXU).expect("fifo");
    // Open, so that it can be written to, and not read before the end.
    let mut unread = tokio::net::unix::pipe::OpenOptions::new().open_receiver(&fifo).expect("fifo");
    let mut definition = wrapped("api", &[]);
    definition["containerDefinitions"][0]["entryPoint"] = json!(["/bin/sh", "-c"]);
    let run = format!("exec {{{{taskmesh}}}} run > {} 2>&1", fifo.display());
    definition["containerDefinitions"][0]["command"] = json!([run]);
    definition["containerDefinitions"][1]["healthCheck"] = json!({
        "command": ["CMD", "/usr/bin/test", "-e", "/"], "interval": 5, "timeout": 2, "retries": 2
    });
    let plan = TaskPlan::new("api-1", "api", definition)
        .config(json!({
            "healthSync": { "containers": ["app"], "ttl": "3s" },
            // Fills the pipe, and goes on.
            "envoy": { "logLevel": "trace" }
        }))
        .platform(|spec| spec.time_scale = 20.0);
    let task = serving(&cluster, plan).await;
    let mut fault = Witness::of(Kind::Machine, "Nobody reads our output");
    let id = format!("api-{}-app-consul-ecs", task.ecs.id());
    let began = Instant::now();
    while began.elapsed() < Duration::from_secs(7) {
        let checks = task.agent_get("/v1/agent/checks").await.expect("agent");
        assert_eq!(checks[&id]["Status"], "passing", "{checks:#}");
        tokio::time::sleep(Duration::from_millis(250)).await;
    }
    task.ecs.stop();
    let (result, seen) = stopped(&task).await;
    assert_stopped(&seen);
    assert_eq!(code(&result, "taskmesh"), Some(0));
    // Else this proved nothing: a pipe holds 64 KiB, and it was full.
    let mut held = Vec::new();
    tokio::time::timeout(LONG, unread.read_to_end(&mut held)).await.expect("end").expect("read");
    assert!((50_000..=70_000).contains(&held.len()), "{} bytes", held.len());
    fault.shows("TTLs are refreshed, a stop is in order; what is dropped is counted");
    fault.ended("nothing waits for the log");
}
