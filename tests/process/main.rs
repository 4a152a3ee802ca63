//! Real children, real signals, real time: nothing here depends on how fast the machine is.
//!
//! What is about one child is in `children`. What is about a whole process (orphans, our own death, a blocked
//! standard output, what we inherited) is in `alone`, and runs in a process of its own: this test binary again.

mod alone;
mod children;

use std::sync::{Arc, Mutex};
use std::time::Duration;
use taskmesh::process::{Child, ChildExit, ChildSpec, Line, LineSink, Output, filtered_env};
use tokio::time::{Instant, sleep, timeout};

/// A test that waits longer than this has failed.
const PATIENCE: Duration = Duration::from_secs(30);

fn sh(script: &str) -> ChildSpec {
    ChildSpec {
        name: "test".to_owned(),
        program: "sh".into(),
        args: vec!["-c".into(), script.into()],
        env: filtered_env(&["PATH"]),
        output: Output::Capture { max: 64 * 1024 },
        oom_score_adj: None,
    }
}

/// A sink that keeps every line, and the lines.
fn keep() -> (LineSink, Arc<Mutex<Vec<String>>>) {
    let lines = Arc::new(Mutex::new(Vec::new()));
    let into = Arc::clone(&lines);
    let sink = move |line: &Line<'_>| {
        into.lock().expect("lines").push(format!("{} {}", line.stream.name(), line.text));
        true
    };
    (Arc::new(sink), lines)
}

async fn until(what: &str, mut done: impl FnMut() -> bool) {
    let begun = Instant::now();
    while !done() {
        assert!(begun.elapsed() < PATIENCE, "waited too long: {what}");
        sleep(Duration::from_millis(5)).await;
    }
}

async fn end_of(child: &mut Child) -> ChildExit {
    timeout(PATIENCE, child.wait()).await.expect("the child ends")
}

/// The state letter of `/proc/PID/stat`; `None` if there is no such process.
fn state(pid: i32) -> Option<char> {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    stat.rsplit_once(") ")?.1.chars().next()
}

fn runs(pid: i32) -> bool {
    !matches!(state(pid), None | Some('Z' | 'X'))
}
