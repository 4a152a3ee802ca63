//! One child at a time, or a hundred: how it ends, what it says, why it could not be started.

use super::{PATIENCE, end_of, keep, runs, sh, state, until};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;
use taskmesh::process::{
    Child, ChildExit, ChildSpec, MAX_LINE, Output, Reaper, RunError, Signal, SpawnError,
    run_to_end, spawn,
};
use tokio::time::{Instant, sleep, timeout};

async fn run(script: &str) -> (ChildExit, String) {
    let reaper = Reaper::start().expect("reaper");
    let out = run_to_end(&reaper, sh(script), PATIENCE).await.expect("run");
    assert!(!out.truncated);
    (out.exit, String::from_utf8(out.stdout).expect("UTF-8"))
}

#[tokio::test]
async fn a_hundred_quick_children_end_exactly_as_they_ended() {
    let reaper = Reaper::start().expect("reaper");
    let mut children = Vec::new();
    for n in 0..100 {
        let script = if n % 10 == 9 { "kill -USR1 $$".to_owned() } else { format!("exit {n}") };
        children.push(spawn(&reaper, sh(&script)).expect("spawn"));
    }
    for (n, child) in (0..).zip(&mut children) {
        let expected = if n % 10 == 9 {
            ChildExit::Signal { signal: Signal::SIGUSR1 as i32, core: false }
        } else {
            ChildExit::Code(n)
        };
        assert_eq!(end_of(child).await, expected, "child {n}");
    }
}

#[tokio::test]
async fn a_child_that_is_gone_before_anybody_waits_is_not_missed() {
    let reaper = Reaper::start().expect("reaper");
    let mut child = spawn(&reaper, sh("exit 7")).expect("spawn");
    // No await between the spawn and this: the reaper's task cannot have run. (Another test's may have.)
    let pid = child.pid();
    let begun = Instant::now();
    while runs(pid) && begun.elapsed() < PATIENCE {
        std::thread::sleep(Duration::from_millis(1));
    }
    assert_eq!(end_of(&mut child).await, ChildExit::Code(7));
    assert_eq!(end_of(&mut child).await, ChildExit::Code(7), "waiting again gives the same");
    assert_eq!(*child.exit().borrow(), Some(ChildExit::Code(7)));
    assert_eq!(state(pid), None, "no zombie is left");
    assert!(!child.signal(Signal::SIGTERM), "a pid that was reaped is not signalled");
    assert!(!child.signal_group(Signal::SIGTERM), "nor its group");
}

#[tokio::test]
async fn several_can_wait_for_one_child() {
    let reaper = Reaper::start().expect("reaper");
    let mut child = spawn(&reaper, sh("exit 3")).expect("spawn");
    let elsewhere = tokio::spawn(child.exited());
    assert_eq!(end_of(&mut child).await, ChildExit::Code(3));
    assert_eq!(elsewhere.await.expect("task"), ChildExit::Code(3));
}

#[tokio::test]
async fn a_real_time_signal_is_reported_too() {
    let (exit, _) = run("kill -40 $$").await;
    assert_eq!(exit, ChildExit::Signal { signal: 40, core: false });
}

#[tokio::test]
async fn a_child_that_ignores_term_is_killed() {
    let reaper = Reaper::start().expect("reaper");
    let (sink, lines) = keep();
    let script = "trap 'echo no' TERM; echo up; while :; do sleep 0.05; done";
    let spec = ChildSpec { output: Output::Lines(sink), ..sh(script) };
    let mut child = spawn(&reaper, spec).expect("spawn");
    let said = |what: &str| lines.lock().expect("lines").iter().any(|line| line == what);
    until("the trap is set", || said("stdout up")).await;
    assert!(child.signal(Signal::SIGTERM));
    until("TERM has arrived", || said("stdout no")).await;
    assert_eq!(*child.exit().borrow(), None, "it lives on");
    assert!(child.signal_group(Signal::SIGKILL));
    let exit = end_of(&mut child).await;
    assert!(exit.by_signal(Signal::SIGKILL), "{exit}");
    assert_eq!(child.last_lines(), ["up", "no"]);
}

/// Starts a child with a grandchild that ignores TERM and HUP, and gives the grandchild's pid.
async fn with_grandchild(reaper: &Reaper, then: &str) -> (Child, i32) {
    let (sink, lines) = keep();
    let script = format!("sh -c 'trap \"\" TERM HUP; echo $$; exec sleep 100' & {then}");
    let spec = ChildSpec { output: Output::Lines(sink), ..sh(&script) };
    let child = spawn(reaper, spec).expect("spawn");
    let pid = || lines.lock().expect("lines").first()?.strip_prefix("stdout ")?.parse().ok();
    until("the grandchild is up", || pid().is_some()).await;
    let pid: i32 = pid().expect("just seen");
    assert!(runs(pid));
    (child, pid)
}

#[tokio::test]
async fn the_group_is_killed_with_its_leader_and_with_the_handle() {
    let reaper = Reaper::start().expect("reaper");

    let (mut child, grandchild) = with_grandchild(&reaper, "wait").await;
    assert!(child.signal_group(Signal::SIGKILL));
    assert!(end_of(&mut child).await.by_signal(Signal::SIGKILL));
    until("a grandchild dies with the group", || !runs(grandchild)).await;

    // The leader ends by itself, after the grandchild is surely there.
    let (mut child, grandchild) = with_grandchild(&reaper, "sleep 0.3; exit 5").await;
    assert_eq!(end_of(&mut child).await, ChildExit::Code(5));
    until("a grandchild does not outlive the leader", || !runs(grandchild)).await;

    let (child, grandchild) = with_grandchild(&reaper, "wait").await;
    let (pid, mut exit) = (child.pid(), child.exit());
    drop(child);
    until("dropping the handle kills the group", || !runs(grandchild)).await;
    let exit = timeout(PATIENCE, exit.wait_for(Option::is_some)).await;
    assert!(exit.expect("in time").expect("status").is_some_and(|e| e.by_signal(Signal::SIGKILL)));
    assert_eq!(state(pid), None, "and it is reaped");
}

#[tokio::test]
async fn what_was_captured_is_bounded_and_separate() {
    let reaper = Reaper::start().expect("reaper");
    let script = "echo out; echo err >&2; exit 2";
    let out = run_to_end(&reaper, sh(script), PATIENCE).await.expect("run");
    assert_eq!(
        (out.exit, &*out.stdout, &*out.stderr),
        (ChildExit::Code(2), &b"out\n"[..], &b"err\n"[..])
    );
    assert!(!out.truncated);

    let spec = ChildSpec {
        output: Output::Capture { max: 1000 },
        ..sh("head -c 1000000 /dev/zero; exit 0")
    };
    let out = run_to_end(&reaper, spec, PATIENCE).await.expect("run");
    assert_eq!((out.exit, out.stdout.len(), out.truncated), (ChildExit::Code(0), 1000, true));
}

#[tokio::test]
async fn what_takes_too_long_is_killed() {
    let reaper = Reaper::start().expect("reaper");
    let begun = Instant::now();
    let result =
        run_to_end(&reaper, sh("echo why >&2; sleep 100"), Duration::from_millis(500)).await;
    let Err(RunError::TimedOut { name, stderr, .. }) = result else {
        panic!("{result:?}");
    };
    assert_eq!((&*name, &*stderr), ("test", "why\n"));
    assert!(begun.elapsed() < PATIENCE);
}

#[tokio::test]
async fn what_cannot_be_started_says_why() {
    let reaper = Reaper::start().expect("reaper");
    let dir = tempfile::tempdir().expect("tempdir");
    let file = |name: &str, mode: u32, text: &str| -> PathBuf {
        use std::os::unix::fs::PermissionsExt;
        let path = dir.path().join(name);
        std::fs::write(&path, text).expect("write");
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(mode)).expect("chmod");
        path
    };
    let error = |program: PathBuf| {
        let spec = ChildSpec { name: "envoy".to_owned(), program, ..sh("") };
        spawn(&reaper, spec).expect_err("cannot be started")
    };

    let bare = error("no-such-program".into());
    assert!(matches!(&bare, SpawnError::NotFound { .. }), "{bare}");
    assert!(bare.to_string().starts_with("envoy: no-such-program not found on PATH ("), "{bare}");
    let path = error(dir.path().join("gone"));
    assert!(matches!(&path, SpawnError::NotFound { .. }), "{path}");
    assert!(path.to_string().starts_with("envoy: /"), "{path}");

    let mut refused = vec![
        (file("plain", 0o644, "#!/bin/sh\n"), "permission denied"),
        (dir.path().to_owned(), "permission denied"),
        (file("script", 0o755, "#!/no/such/interpreter\n"), "interpreter or dynamic loader"),
    ];
    if cfg!(target_env = "musl") {
        // glibc's execvp would have /bin/sh read it.
        let binary = file("binary", 0o755, "\x7fELF of another world");
        refused.push((binary, "not a program for this machine"));
    }
    for (program, reason) in refused {
        let error = error(program);
        assert!(matches!(&error, SpawnError::NotExecutable { .. }), "{error}");
        assert!(error.to_string().contains(reason), "{error}");
    }
    // Nothing is left behind, and the next one starts.
    assert_eq!(run("exit 0").await.0, ChildExit::Code(0));
}

#[tokio::test]
async fn lines_are_whole_cut_and_in_order() {
    let reaper = Reaper::start().expect("reaper");
    let (sink, lines) = keep();
    let script = "echo one; head -c 10000 /dev/zero | tr '\\0' x; echo; printf 'three\\r\\nno end'";
    let spec = ChildSpec { output: Output::Lines(sink), ..sh(script) };
    let mut child = spawn(&reaper, spec).expect("spawn");
    assert_eq!(end_of(&mut child).await, ChildExit::Code(0));
    let long = format!("stdout {}", "x".repeat(MAX_LINE));
    // No wait: when `wait` has returned, the last output is there.
    assert_eq!(
        *lines.lock().expect("lines"),
        ["stdout one", &long, "stdout three", "stdout no end"]
    );
    assert_eq!(child.last_lines().len(), 4);
    assert_eq!(child.lines_dropped(), 0);
}

/// Two runtimes of one process take statuses for each other; and the last output is there even if the end was
/// noticed before a byte of it was read.
#[tokio::test]
async fn wait_gives_the_last_output_time_to_arrive() {
    let reaper = Reaper::start().expect("reaper");
    let (stop, stopped) = tokio::sync::oneshot::channel::<()>();
    let elsewhere = std::thread::spawn(|| {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
        runtime.expect("runtime").block_on(async {
            let _reaper = Reaper::start().expect("reaper");
            stopped.await.expect("the test goes on");
        });
    });
    let (sink, lines) = keep();
    let spec = ChildSpec { output: Output::Lines(sink), ..sh("echo last words; exit 1") };
    let mut child = spawn(&reaper, spec).expect("spawn");
    // This runtime stands still until the other one has reaped the child.
    let begun = Instant::now();
    while state(child.pid()).is_some() {
        assert!(begun.elapsed() < PATIENCE, "the other runtime reaps");
        std::thread::sleep(Duration::from_millis(1));
    }
    assert_eq!(*lines.lock().expect("lines"), [""; 0]);
    assert_eq!(end_of(&mut child).await, ChildExit::Code(1));
    assert_eq!(child.last_lines(), ["last words"]);
    stop.send(()).expect("it waits");
    elsewhere.join().expect("thread");
}

fn resident_kib() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").expect("status");
    let line = status.lines().find(|l| l.starts_with("VmRSS:")).expect("VmRSS");
    line.split_whitespace().nth(1).and_then(|n| n.parse().ok()).expect("KiB")
}

#[tokio::test]
async fn a_flood_that_nobody_takes_neither_blocks_the_child_nor_is_kept() {
    const LINES: u64 = 300_000;
    let reaper = Reaper::start().expect("reaper");
    let before = resident_kib();
    let spec = ChildSpec {
        output: Output::Lines(Arc::new(|_| false)),
        ..sh(&format!("yes {} | head -n {LINES}", "x".repeat(99)))
    };
    let mut child = spawn(&reaper, spec).expect("spawn");
    assert_eq!(end_of(&mut child).await, ChildExit::Code(0), "it wrote all it wanted to");
    let mut open = child.lines_dropped();
    let begun = Instant::now();
    while open < LINES && begun.elapsed() < PATIENCE {
        sleep(Duration::from_millis(5)).await;
        open = child.lines_dropped();
    }
    assert_eq!(open, LINES, "and every line was counted");
    // 30 MB went through. (The other tests of this binary share the figure, so the bound is generous.)
    let grown = resident_kib().saturating_sub(before);
    assert!(grown < 15 * 1024, "{grown} KiB more");
}
