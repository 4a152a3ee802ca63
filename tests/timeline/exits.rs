//! However a child ends, it is noticed, named by its exit, and back; and what does not end it changes nothing.

use crate::support::{
    LONG, cluster, code, count, serving, stopped, until, until_counted, until_offered, until_ready,
};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use serde_json::json;
use taskmesh::timeline::Event::*;
use testbed::cluster::{MeshTask, TaskPlan, client};
use testbed::definitions::wrapped;
use testbed::faults::{Kind, Witness};

/// What is done to a child.
enum End {
    Signal(Signal),
    /// A call after which it ends by itself: PUT to the agent, POST to Envoy.
    Asked(&'static str),
}

impl End {
    async fn of(&self, task: &MeshTask, child: &str, pid: i32) {
        match self {
            // A Rust program, as the stand-in is, takes the first SEGV for one that comes again by itself.
            Self::Signal(signal) => {
                until("its end", task, async || {
                    let lives = task.child(child).is_some_and(|process| process.pid == pid);
                    let _gone_by_now = lives.then(|| kill(Pid::from_raw(pid), *signal));
                    (!lives || *signal != Signal::SIGSEGV).then_some(())
                })
                .await;
            }
            // The answer may be lost with the process.
            Self::Asked(path) if child == "consul" => drop(task.agent_put(path).await),
            Self::Asked(path) => {
                let url = format!("http://127.0.0.1:{}{path}", task.ports.envoy_admin);
                let post = move || async move { client().post(url).send().await.is_ok() };
                let _lost_with_it = task.ecs.host().spawn(post).await;
            }
        }
    }
}

/// As the table has it.
fn title(child: &str, end: &End) -> String {
    let child = if child == "consul" { "The agent" } else { "Envoy" };
    match end {
        End::Signal(signal) => format!("{child} gets {signal}"),
        End::Asked(_) => format!("{child} is asked to leave by somebody else"),
    }
}

#[tokio::test]
async fn every_end_of_a_child_is_named_by_its_exit_and_mended() {
    use Signal::*;
    let Some(cluster) = cluster().await else { return };
    let plan = TaskPlan::new("api-1", "api", wrapped("api", &[])).config(
        json!({ "restart": { "backoff": { "min": "50ms", "max": "200ms" }, "budget": 100 } }),
    );
    let task = serving(&cluster, plan).await;
    let killed = |signal: Signal| format!("killed by {signal}");
    let exit = |code: i32| format!("exit code {code}");
    // A program may answer a signal with an exit of its own: Go ends with 2, and a TERM is an orderly end.
    let cases: Vec<(&str, End, Vec<String>)> = vec![
        ("envoy", End::Signal(SIGKILL), vec![killed(SIGKILL)]),
        ("envoy", End::Signal(SIGSEGV), vec![killed(SIGSEGV)]),
        ("envoy", End::Signal(SIGABRT), vec![killed(SIGABRT)]),
        ("envoy", End::Signal(SIGTERM), vec![exit(0)]),
        ("envoy", End::Asked("/quitquitquit"), vec![exit(0)]),
        ("consul", End::Signal(SIGKILL), vec![killed(SIGKILL)]),
        ("consul", End::Signal(SIGSEGV), vec![killed(SIGSEGV), exit(2)]),
        ("consul", End::Signal(SIGABRT), vec![killed(SIGABRT), exit(2)]),
        ("consul", End::Signal(SIGTERM), vec![exit(0)]),
        ("consul", End::Asked("/v1/agent/leave"), vec![exit(0)]),
    ];
    for (number, (child, end, exits)) in cases.iter().enumerate() {
        let case = format!("{child} {exits:?}");
        let pid = task.child(child).expect("it runs").pid;
        let mut fault = Witness::of(Kind::Process, &title(child, end));
        end.of(&task, child, pid).await;
        until_counted(&task, ChildExited, number + 1).await;
        let timeline = task.timeline().await.expect("timeline");
        let last = timeline.events.iter().rfind(|record| record.event == ChildExited);
        let cause = last.and_then(|record| record.cause.clone()).unwrap_or_default();
        assert!(exits.iter().any(|exit| cause == format!("{child}: {exit}")), "{case}: {cause}");
        fault.told("timeline, log and status: its exit");
        until_counted(&task, ChildRestarted, number + 1).await;
        until_ready(&task).await;
        until_offered(&cluster, &task).await;
        fault.mended(match *child {
            "consul" => "started again, and registered again",
            _ => "started again, on the same ports",
        });
        assert_ne!(task.child(child).expect("it runs").pid, pid, "{case}");
        let status = task.admin("/v1/status").await.expect("status");
        let children = status["children"].as_array().expect("children");
        let shown = children.iter().find(|shown| shown["name"] == *child).expect("child");
        let last_exit = shown["lastExit"].as_str().unwrap_or_default();
        assert!(exits.iter().any(|exit| exit == last_exit), "{case}: {shown:#}");
    }

    // Neither dies of a HUP.
    let pids = ["envoy", "consul"].map(|child| task.child(child).expect("it runs").pid);
    for pid in pids {
        kill(Pid::from_raw(pid), SIGHUP).expect("kill");
    }
    until("both answer", &task, async || {
        task.agent_get("/v1/agent/self").await.ok()?;
        (task.admin("/ready").await.ok()?["ready"] == true).then_some(())
    })
    .await;
    assert_eq!(["envoy", "consul"].map(|child| task.child(child).expect("it runs").pid), pids);
    assert_eq!(count(&task, ChildExited).await, cases.len());

    task.ecs.stop();
    let (result, _) = tokio::time::timeout(LONG, stopped(&task)).await.expect("stopped");
    assert_eq!(code(&result, "taskmesh"), Some(0));
}
