//! A simulated task starts and stops as ECS would have it.

mod support;

use std::time::Duration;

use nix::sys::signal::Signal;
use serde_json::json;
use support::{after, host, in_order, json_of, obedient, shell, spec, story, with};
use testbed::ecs::{EcsTask, Health, Status, StopOrder, What};
use testbed::net::{Lan, descendants};
use tokio::time::timeout;

/// How late something may be on a busy machine.
const LATE: Duration = Duration::from_secs(2);

#[tokio::test]
async fn start_and_success_order_the_start() {
    let (_lan, host) = host();
    let spec = spec(json!([
        with(
            obedient("app"),
            json!({"dependsOn": [
            {"containerName": "migrate", "condition": "SUCCESS"},
            {"containerName": "mesh", "condition": "START"}]})
        ),
        with(shell("migrate", "sleep 0.1; exit 0"), json!({"essential": false})),
        obedient("mesh"),
    ]));
    let task = EcsTask::start(&host, spec).await.expect("started");
    assert!(task.container("app").expect("app").wait_running().await);
    in_order(&story(&task), &["migrate started", "mesh started", "migrate stopped", "app started"]);
    assert!(!task.is_stopping(), "the exit of a non-essential container stops nothing");
}

#[tokio::test]
async fn healthy_waits_for_the_first_probe_and_the_agents_grid() {
    let (_lan, host) = host();
    // Over 10: the probe passes at 0.6 s, the grid's points are 0.5 s and 1 s.
    let check = json!({"healthCheck": {"command": ["CMD-SHELL", "test $MARK = yes"],
        "interval": 6, "retries": 2}, "environment": [{"name": "MARK", "value": "yes"}]});
    let spec = spec(json!([
        with(obedient("mesh"), check),
        with(obedient("app"), after("mesh", "HEALTHY")),
    ]))
    .time_scale(10.0);
    let task = EcsTask::start(&host, spec).await.expect("started");
    let mesh = task.container("mesh").expect("mesh");
    assert!(mesh.wait_health(Health::Healthy).await);
    let healthy = task.events().snapshot().last().expect("an event").elapsed;
    assert!(healthy >= Duration::from_millis(600), "first probe after one interval: {healthy:?}");
    let app = task.container("app").expect("app");
    assert_eq!(app.status(), Status::None, "the grid's next point is not there yet");
    assert!(app.wait_running().await);
    let started = task.events().snapshot().last().expect("an event").elapsed;
    assert!(started >= Duration::from_millis(1000), "on the grid's second point: {started:?}");
    in_order(&story(&task), &["mesh started", "mesh health", "app started"]);
}

#[tokio::test]
async fn fargate_starts_the_dependent_without_a_grid() {
    let (_lan, host) = host();
    let check = json!({"healthCheck": {"command": ["CMD", "true"], "interval": 6}});
    // Over 4: the probe passes at 1.5 s; the agent's grid would wait until 2.5 s.
    let spec = spec(json!([
        with(obedient("mesh"), check),
        with(obedient("app"), after("mesh", "HEALTHY")),
    ]))
    .fargate()
    .time_scale(4.0);
    let task = EcsTask::start(&host, spec).await.expect("started");
    assert!(task.container("app").expect("app").wait_running().await);
    let events = task.events().snapshot();
    let at = |wanted: &str| {
        let index = events.iter().position(|e| format!("{:?}", e.what).contains(wanted));
        events[index.unwrap_or_else(|| panic!("no {wanted}"))].elapsed
    };
    let wait = events.last().expect("an event").elapsed - at("Health(Healthy)");
    assert!(wait < Duration::from_millis(500), "{wait:?}");
}

#[tokio::test]
async fn stop_goes_against_depends_on() {
    let (_lan, host) = host();
    let spec = spec(json!([
        obedient("mesh"),
        with(obedient("app"), after("mesh", "START")),
        obedient("logs"),
    ]));
    let task = EcsTask::start(&host, spec).await.expect("started");
    for name in ["mesh", "app", "logs"] {
        task.container(name).expect("there").wait_line("up").await.expect("up");
    }
    task.stop();
    let result = timeout(Duration::from_secs(10), task.wait_stopped()).await.expect("stops");
    let told = story(&task);
    in_order(&told, &["task stop-wanted", "app signalled", "app stopped", "mesh signalled"]);
    in_order(&told, &["task stop-wanted", "logs signalled", "mesh signalled", "task stopped"]);
    assert_eq!(result.stop_reason, "Task stopped by user");
    for container in &result.containers {
        assert_eq!(container.exit_code, Some(0), "{}", container.name);
        assert!(!container.killed);
        let last = container.output.last().map(|line| line.text.as_str());
        assert_eq!(last, Some("got TERM"), "{}", container.name);
    }
}

#[tokio::test]
async fn all_at_once_signals_everybody_before_anybody_has_stopped() {
    let (_lan, host) = host();
    let slow = "trap 'sleep 0.2; exit 0' TERM; echo up; while :; do sleep 60 & wait; done";
    let spec =
        spec(json!([shell("mesh", slow), with(shell("app", slow), after("mesh", "START")),]))
            .stop_order(StopOrder::AllAtOnce);
    let task = EcsTask::start(&host, spec).await.expect("started");
    for name in ["mesh", "app"] {
        task.container(name).expect("there").wait_line("up").await.expect("up");
    }
    task.stop();
    task.wait_stopped().await;
    in_order(&story(&task), &["mesh signalled", "app signalled", "app stopped"]);
    in_order(&story(&task), &["app signalled", "mesh stopped"]);
}

#[tokio::test]
async fn kill_comes_at_each_containers_own_stop_timeout() {
    let (_lan, host) = host();
    let deaf = "trap '' TERM; sleep 60 & echo up; while :; do wait; done";
    let spec = spec(json!([
        with(shell("mesh", deaf), json!({"stopTimeout": 0.2})),
        with(with(shell("app", deaf), json!({"stopTimeout": 0.4})), after("mesh", "START")),
    ]));
    let task = EcsTask::start(&host, spec).await.expect("started");
    for name in ["mesh", "app"] {
        task.container(name).expect("there").wait_line("up").await.expect("up");
    }
    let pids: Vec<i32> =
        task.container("app").expect("app").processes().iter().map(|p| p.pid).collect();
    assert!(pids.len() >= 2, "the shell and its child: {pids:?}");
    task.stop();
    let result = task.wait_stopped().await;
    for (name, limit) in [("app", 400), ("mesh", 200)] {
        let container = result.container(name).expect("there");
        assert_eq!((container.exit_code, container.killed), (Some(137), true), "{name}");
        let took = container.stop_took().expect("it was signalled");
        let limit = Duration::from_millis(limit);
        assert!(took >= limit && took < limit + LATE, "{name}: {took:?}");
    }
    in_order(&story(&task), &["app killed", "app stopped", "mesh signalled", "mesh killed"]);
    for pid in pids {
        assert_eq!(descendants(pid), [], "the kill takes the whole container");
    }
}

#[tokio::test]
async fn term_goes_to_pid_1_only() {
    let (_lan, host) = host();
    let script = "(trap 'echo child got TERM' TERM; echo child up; sleep 0.3; sleep 0.3) & \
                  trap 'sleep 0.1; exit 3' TERM; while :; do wait; done";
    let task = EcsTask::start(&host, spec(json!([shell("app", script)]))).await.expect("started");
    task.container("app").expect("app").wait_line("child up").await.expect("up");
    task.stop();
    let result = task.wait_stopped().await;
    let app = result.container("app").expect("app");
    assert_eq!(app.exit_code, Some(3));
    assert!(app.output.iter().all(|line| line.text != "child got TERM"), "{:?}", app.output);
}

#[tokio::test]
async fn a_pid_1_without_a_handler_ignores_term() {
    let (lan, host) = host();
    if let Some(reason) = lan.loopback_reason() {
        return testbed::skip::skip(&format!("no namespaces: {reason}"));
    }
    let app = json!({"name": "app", "command": ["sleep", "60"], "stopTimeout": 0.2});
    let task = EcsTask::start(&host, spec(json!([app]))).await.expect("started");
    assert!(task.container("app").expect("app").wait_running().await);
    task.stop();
    assert_eq!(task.wait_stopped().await.container("app").expect("app").exit_code, Some(137));
}

#[tokio::test]
async fn an_essential_exit_stops_the_task_also_with_0() {
    let (_lan, host) = host();
    let spec = spec(json!([obedient("mesh"), shell("app", "exit 0")]));
    let task = EcsTask::start(&host, spec).await.expect("started");
    let result = timeout(Duration::from_secs(10), task.wait_stopped()).await.expect("stops");
    assert_eq!(result.stop_reason, "Essential container in task exited");
    in_order(&story(&task), &["app stopped", "task stop-wanted", "mesh signalled", "mesh stopped"]);
    let app = result.container("app").expect("app");
    assert_eq!((app.exit_code, app.signalled_at), (Some(0), None));
}

#[tokio::test]
async fn an_impossible_dependency_is_143_and_stops_the_task() {
    let (_lan, host) = host();
    let spec = spec(json!([
        with(shell("migrate", "exit 1"), json!({"essential": false})),
        with(obedient("app"), after("migrate", "SUCCESS")),
    ]));
    let task = EcsTask::start(&host, spec).await.expect("started");
    let result = timeout(Duration::from_secs(10), task.wait_stopped()).await.expect("stops");
    let app = result.container("app").expect("app");
    assert_eq!((app.exit_code, app.started_at), (Some(143), None));
    assert_eq!(result.container("migrate").expect("migrate").exit_code, Some(1));
}

#[tokio::test]
async fn start_timeout_gives_up_on_a_dependency_that_never_gets_healthy() {
    let (_lan, host) = host();
    let check = json!({"healthCheck": {"command": ["CMD", "false"], "interval": 5},
                       "startTimeout": 0.3});
    let spec = spec(json!([
        with(obedient("mesh"), check),
        with(obedient("app"), after("mesh", "HEALTHY")),
    ]));
    let task = EcsTask::start(&host, spec).await.expect("started");
    let result = timeout(Duration::from_secs(10), task.wait_stopped()).await.expect("stops");
    assert_eq!(result.container("app").expect("app").exit_code, Some(143));
    assert_eq!(result.container("mesh").expect("mesh").exit_code, Some(0));
}

#[tokio::test]
async fn stop_while_pending_never_starts_what_waits() {
    let (_lan, host) = host();
    let check = json!({"healthCheck": {"command": ["CMD", "false"], "interval": 300}});
    let spec = spec(json!([
        with(obedient("mesh"), check),
        with(obedient("app"), after("mesh", "HEALTHY")),
    ]));
    let task = EcsTask::start(&host, spec).await.expect("started");
    task.container("mesh").expect("mesh").wait_line("up").await.expect("up");
    task.stop();
    let result = timeout(Duration::from_secs(10), task.wait_stopped()).await.expect("stops");
    let app = result.container("app").expect("app");
    assert_eq!((app.exit_code, app.started_at, app.signalled_at), (None, None, None));
    assert_eq!(result.container("mesh").expect("mesh").exit_code, Some(0));
}

#[tokio::test]
async fn an_unhealthy_essential_container_of_a_service_stops_it() {
    let (_lan, host) = host();
    let check = json!({"healthCheck": {"command": ["CMD-SHELL", "echo no; exit 2"], "interval": 1,
                                       "retries": 3}});
    let mut spec = spec(json!([with(obedient("app"), check)]));
    spec.service = Some("web".to_owned());
    let task = EcsTask::start(&host, spec).await.expect("started");
    let result = timeout(Duration::from_secs(10), task.wait_stopped()).await.expect("stops");
    assert_eq!(result.stop_reason, "Task failed container health checks");
    in_order(&story(&task), &["app health", "task stop-wanted", "app signalled"]);
}

#[tokio::test]
async fn a_restart_policy_restarts_in_place() {
    let (_lan, host) = host();
    let policy = json!({"restartPolicy": {"enabled": true, "restartAttemptPeriod": 4}});
    let app = with(shell("app", "echo run; sleep 0.4; exit 5"), policy);
    let task = EcsTask::start(&host, spec(json!([app]))).await.expect("started");
    let app = task.container("app").expect("app");
    let first = app.metadata_uri();
    let mut lines = app.output().cursor();
    for _ in 0..2 {
        assert_eq!(lines.next().await.expect("a run").text, "run");
    }
    assert_eq!((app.status(), app.metadata_uri()), (Status::Running, first));
    in_order(&story(&task), &["app started", "app restarted"]);
    assert!(!task.is_stopping());
}

#[tokio::test]
async fn a_restart_is_refused_inside_the_attempt_period() {
    let (_lan, host) = host();
    let policy = json!({"restartPolicy": {"enabled": true}});
    let app = with(shell("app", "exit 5"), policy);
    let task = EcsTask::start(&host, spec(json!([app]))).await.expect("started");
    let result = timeout(Duration::from_secs(10), task.wait_stopped()).await.expect("stops");
    assert_eq!(result.container("app").expect("app").exit_code, Some(5));
}

#[tokio::test]
async fn the_total_limit_of_a_spot_interruption_ends_everything() {
    let (_lan, host) = host();
    let deaf = "trap '' TERM; echo up; while :; do sleep 60 & wait; done";
    let mut spec =
        spec(json!([shell("mesh", deaf), with(shell("app", deaf), after("mesh", "START")),]));
    spec.total_stop_limit = Some(Duration::from_millis(300));
    let task = EcsTask::start(&host, spec).await.expect("started");
    task.container("app").expect("app").wait_line("up").await.expect("up");
    task.stop();
    let result = timeout(Duration::from_secs(5), task.wait_stopped()).await.expect("stops");
    assert!(result.containers.iter().all(|c| c.killed && c.exit_code == Some(137)));
}

#[tokio::test]
async fn a_container_gets_exactly_the_environment_of_ecs() {
    let (_lan, host) = host();
    let app = with(
        shell("app", "env | sort; sleep 60"),
        json!({"environment": [{"name": "OWN", "value": "{{ip}} {{extra}}"}],
               "secrets": [{"name": "TOKEN", "valueFrom": "arn:x"}]}),
    );
    let mut spec = spec(json!([app])).var("extra", "more").env("ALL", "yes").fargate();
    spec.secrets.insert("arn:x".to_owned(), "s3cret".to_owned());
    spec.task_role = true;
    let task = EcsTask::start(&host, spec).await.expect("started");
    let app = task.container("app").expect("app");
    app.wait_line("TOKEN").await.expect("the last line");
    let lines = app.output().snapshot();
    let names: Vec<&str> =
        lines.iter().filter_map(|line| Some(line.text.split_once('=')?.0)).collect();
    let mut wanted = vec![
        "ALL",
        "AWS_CONTAINER_CREDENTIALS_RELATIVE_URI",
        "AWS_DEFAULT_REGION",
        "AWS_EXECUTION_ENV",
        "AWS_REGION",
        "ECS_AGENT_URI",
        "ECS_CONTAINER_METADATA_URI",
        "ECS_CONTAINER_METADATA_URI_V4",
        "HOME",
        "HOSTNAME",
        "OWN",
        "PATH",
        "PWD",
        "TOKEN",
    ];
    // The shell adds these by itself.
    wanted.retain(|name| *name != "PWD");
    let names: Vec<&str> =
        names.into_iter().filter(|name| !["PWD", "SHLVL", "_", "OLDPWD"].contains(name)).collect();
    assert_eq!(names, wanted);
    let has = |text: &str| lines.iter().any(|line| line.text == text);
    assert!(has(&format!("OWN={} more", host.ip())));
    assert!(has("TOKEN=s3cret") && has("AWS_EXECUTION_ENV=AWS_ECS_FARGATE"));
    assert!(has(&format!("ECS_CONTAINER_METADATA_URI_V4={}", app.metadata_uri())));
}

#[tokio::test]
async fn probes_exec_and_signals_reach_into_the_container() {
    let (_lan, host) = host();
    let task = EcsTask::start(
        &host,
        spec(json!([shell(
            "app",
            "trap 'echo got HUP' HUP; echo up; while :; do sleep 60 & wait; done"
        )])),
    )
    .await
    .expect("started");
    let app = task.container("app").expect("app");
    app.wait_line("up").await.expect("up");
    assert!(app.signal(Signal::SIGHUP));
    app.wait_line("got HUP").await.expect("the handler ran");
    let exec = app.exec(&["sh", "-c", "echo $ECS_CONTAINER_METADATA_URI_V4"]).await.expect("runs");
    exec.finished().await;
    assert_eq!(exec.output().snapshot()[0].text, app.metadata_uri());
    app.kill();
    let result = timeout(Duration::from_secs(10), task.wait_stopped()).await.expect("stops");
    let app = result.container("app").expect("app");
    assert_eq!((app.exit_code, app.killed), (Some(137), false));
}

#[tokio::test]
async fn dropping_the_task_leaves_nothing_behind() {
    let (_lan, host) = host();
    let spec = spec(json!([shell(
        "app",
        "trap '' TERM; (trap '' TERM; setsid sleep 61) & echo up; while :; do wait; done"
    )]));
    let task = EcsTask::start(&host, spec).await.expect("started");
    let app = task.container("app").expect("app");
    app.wait_line("up").await.expect("up");
    let mut family = app.processes();
    while !family.iter().any(|p| p.comm == "sleep") {
        tokio::time::sleep(Duration::from_millis(5)).await;
        family = app.processes();
    }
    drop(task);
    for member in family {
        let gone = async {
            while descendants(member.pid).iter().any(|p| p.pid == member.pid) {
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        };
        timeout(Duration::from_secs(2), gone)
            .await
            .unwrap_or_else(|_| panic!("{member:?} is left"));
    }
    // The endpoint's socket is free again.
    let again = EcsTask::start(&host, support::spec(json!([obedient("app")]))).await;
    again.expect("a second task fits on the host");
}

#[tokio::test]
async fn loopback_mode_needs_no_namespace() {
    let lan = Lan::on_loopback("asked for").expect("a network");
    let deaf = "trap '' TERM; sleep 60 & echo up; while :; do wait; done";
    let spec = || {
        spec(json!([
            with(shell("mesh", deaf), json!({"stopTimeout": 0.2})),
            with(obedient("app"), after("mesh", "START")),
        ]))
    };
    let (one, two) = (lan.host("one").expect("a host"), lan.host("two").expect("a host"));
    let first = EcsTask::start(&one, spec()).await.expect("started");
    let second = EcsTask::start(&two, spec()).await.expect("a second task beside it");
    for (host, task) in [(&one, &first), (&two, &second)] {
        let mesh = task.container("mesh").expect("mesh");
        mesh.wait_line("up").await.expect("up");
        task.container("app").expect("app").wait_line("up").await.expect("up");
        let body = json_of(host, &format!("{}/task", mesh.metadata_uri())).await;
        assert_eq!(body["TaskARN"], task.arn());
        let family = mesh.processes();
        assert_eq!(family.len(), 2, "{family:?}");
        task.stop();
        let result = timeout(Duration::from_secs(10), task.wait_stopped()).await.expect("stops");
        assert_eq!(result.container("mesh").expect("mesh").exit_code, Some(137));
        assert_eq!(result.container("app").expect("app").exit_code, Some(0));
        for member in family {
            assert_eq!(descendants(member.pid), [], "{member:?} is left");
        }
    }
}

#[tokio::test]
async fn the_end_of_the_network_ends_the_task_for_those_who_wait() {
    let (lan, host) = host();
    let task = EcsTask::start(&host, spec(json!([obedient("app")]))).await.expect("started");
    task.container("app").expect("app").wait_line("up").await.expect("up");
    drop(lan);
    let result = timeout(Duration::from_secs(5), task.wait_stopped()).await.expect("no hang");
    assert_eq!(result.container("app").expect("app").exit_code, None, "nobody saw it");
    assert!(task.events().wait_for(|event| event.what == What::Stopped).await.is_none());
}
