//! What is about a whole process: each test runs this test binary again, with one of the `helper_*` below.

use super::{PATIENCE, end_of, runs, sh, until};
use std::io::{BufRead, BufReader, Read};
use std::process::{Command, Stdio};
use std::time::Duration;
use taskmesh::process::{
    ChildExit, ChildSpec, Output, Reaper, Signal, forbid_core_dumps, run_to_end, spawn,
};
use tokio::time::{Instant, sleep};

/// This test binary again, running one helper.
fn helper(name: &str) -> Command {
    let mut command = Command::new(std::env::current_exe().expect("own path"));
    command.args([
        "--exact",
        &format!("alone::{name}"),
        "--ignored",
        "--nocapture",
        "--test-threads=1",
    ]);
    command.env("TASKMESH_TEST_HELPER", name).stdin(Stdio::null());
    command
}

fn is_helper(name: &str) -> bool {
    std::env::var_os("TASKMESH_TEST_HELPER").is_some_and(|n| n == name)
}

fn passes(helper: &mut Command) {
    let out = helper.output().expect("helper");
    let (stdout, stderr) =
        (String::from_utf8_lossy(&out.stdout), String::from_utf8_lossy(&out.stderr));
    assert!(out.status.success() && stdout.contains("1 passed"), "{stdout}\n{stderr}");
}

#[test]
fn a_child_gets_what_it_was_given_and_nothing_else() {
    // What a careless parent leaves to us: ignored signals, an open file, a variable.
    let inner = helper("helper_gives");
    let mut careless = Command::new("sh");
    careless
        .args(["-c", "trap '' HUP INT USR1; exec 9</dev/null; exec \"$0\" \"$@\""])
        .arg(inner.get_program())
        .args(inner.get_args())
        .env("TASKMESH_TEST_HELPER", "helper_gives")
        .env("CONSUL_HTTP_TOKEN", "not for children");
    passes(&mut careless);
}

#[tokio::test]
#[ignore = "helper: runs in a process of its own, started by another test"]
async fn helper_gives() {
    if !is_helper("helper_gives") {
        return;
    }
    let ours = std::fs::read_to_string("/proc/self/status").expect("status");
    // Whoever started all this may have been careless with more: a shell does so to its background jobs.
    let ignored = signals(&ours, "SigIgn");
    assert!([1, 2, 10].iter().all(|signal| ignored.contains(signal)), "{ignored:?}");
    let reaper = Reaper::start().expect("reaper");
    let spec = ChildSpec {
        program: "env".into(),
        args: Vec::new(),
        env: vec![("ONLY".into(), "this one".into()), ("EMPTY".into(), "".into())],
        ..sh("")
    };
    let out = run_to_end(&reaper, spec, PATIENCE).await.expect("env");
    assert_eq!(String::from_utf8_lossy(&out.stdout), "EMPTY=\nONLY=this one\n");

    let script = "read line; echo \"stdin $?\"; ls /proc/self/fd | tr '\\n' ' '; echo; \
                  while ! grep -q 321 /proc/$$/oom_score_adj; do :; done; \
                  cat /proc/$$/stat; cat /proc/self/status";
    let spec = ChildSpec { oom_score_adj: Some(321), ..sh(script) };
    let out = run_to_end(&reaper, spec, PATIENCE).await.expect("sh");
    let text = String::from_utf8_lossy(&out.stdout);
    let lines: Vec<&str> = text.lines().collect();
    assert_eq!(lines[0], "stdin 1", "standard input is at its end");
    assert_eq!(lines[1], "0 1 2 3 ", "its three streams and the folder that ls reads");
    let stat: Vec<&str> = lines[2].split(' ').collect();
    assert_eq!(stat[0], stat[4], "it leads its own process group");
    assert_eq!(signals(&text, "SigIgn"), [0; 0], "nothing is ignored");
    assert_eq!(signals(&text, "SigBlk"), [0; 0], "nothing is blocked");
}

/// The signals of one mask in `/proc/PID/status`; without 32 and 33, which belong to the C library.
fn signals(status: &str, mask: &str) -> Vec<u32> {
    let line = status.lines().find_map(|l| l.strip_prefix(mask)?.strip_prefix(":\t")).expect(mask);
    let bits = u64::from_str_radix(line, 16).expect("hexadecimal");
    (1..=64).filter(|n| bits >> (n - 1) & 1 == 1 && !matches!(n, 32 | 33)).collect()
}

#[test]
fn orphans_are_reaped_and_no_status_is_lost_to_them() {
    passes(&mut helper("helper_adopts"));
}

#[tokio::test]
#[ignore = "helper: runs in a process of its own, started by another test"]
async fn helper_adopts() {
    if !is_helper("helper_adopts") {
        return;
    }
    const ORPHANS: u64 = 100;
    let reaper = Reaper::start().expect("reaper");
    reaper.adopt_orphans().expect("subreaper");
    let mut children = Vec::new();
    for n in 0..100 {
        // The grandchild leaves the group, so it outlives its parent and is handed to us.
        let script = format!("setsid -f sleep 0.0{}; exit {n}", n % 10);
        children.push(spawn(&reaper, sh(&script)).expect("spawn"));
        if n % 7 == 0 {
            tokio::task::yield_now().await;
        }
    }
    for (n, child) in (0..).zip(&mut children) {
        assert_eq!(end_of(child).await, ChildExit::Code(n));
    }
    // `setsid -f` forks once (its own parent waits for nothing), so there is one orphan for each child.
    until("every orphan is reaped", || reaper.orphans_reaped() >= ORPHANS).await;
    let children =
        std::fs::read_to_string(format!("/proc/self/task/{}/children", nix::unistd::gettid()));
    assert_eq!(children.expect("children").trim(), "", "nobody is left, not even a zombie");
    assert_eq!(reaper.orphans_reaped(), ORPHANS);
}

#[test]
fn a_child_dies_when_we_are_killed() {
    let mut us = helper("helper_is_killed").stdout(Stdio::piped()).spawn().expect("helper");
    let mut lines = BufReader::new(us.stdout.take().expect("piped")).lines();
    let pids: Vec<i32> = loop {
        let line = lines.next().expect("the helper speaks").expect("line");
        if let Some((_, pids)) = line.split_once("pid ") {
            break pids.split(' ').map(|pid| pid.parse().expect("pid")).collect();
        }
    };
    assert!(pids.iter().all(|&pid| runs(pid)));
    us.kill().expect("kill");
    us.wait().expect("wait");
    let begun = Instant::now();
    while pids.iter().any(|&pid| runs(pid)) {
        assert!(begun.elapsed() < PATIENCE, "{pids:?} live on");
        std::thread::sleep(Duration::from_millis(5));
    }
}

#[tokio::test]
#[ignore = "helper: runs in a process of its own, started by another test"]
async fn helper_is_killed() {
    if !is_helper("helper_is_killed") {
        return;
    }
    // As the supervisor does: what dies with us must die with us all the same.
    forbid_core_dumps().expect("no cores");
    let reaper = Reaper::start().expect("reaper");
    let spec = || ChildSpec { program: "sleep".into(), args: vec!["100".into()], ..sh("") };
    let children = [spec(), spec()].map(|spec| spawn(&reaper, spec).expect("spawn"));
    println!("pid {} {}", children[0].pid(), children[1].pid());
    sleep(PATIENCE).await;
    panic!("nobody has killed us");
}

#[test]
fn neither_we_nor_our_children_dump_core() {
    passes(&mut helper("helper_dumps_no_core"));
}

#[tokio::test]
#[ignore = "helper: runs in a process of its own, started by another test"]
async fn helper_dumps_no_core() {
    if !is_helper("helper_dumps_no_core") {
        return;
    }
    forbid_core_dumps().expect("no cores");
    assert!(!nix::sys::prctl::get_dumpable().expect("prctl"), "nobody may look into us");
    let reaper = Reaper::start().expect("reaper");
    let script =
        "while read -r line; do case $line in 'Max core'*) echo $line; esac; done < /proc/$$/limits
                  kill -SEGV $$";
    let spec = ChildSpec { oom_score_adj: Some(321), ..sh(script) };
    let out = run_to_end(&reaper, spec, PATIENCE).await.expect("sh");
    let limits = String::from_utf8_lossy(&out.stdout).into_owned();
    // Where somebody has forbidden them altogether, it cannot be raised to 1 again.
    let none = ["Max core file size 1 1 bytes\n", "Max core file size 0 0 bytes\n"];
    assert!(none.contains(&&*limits), "{limits}");
    let ChildExit::Signal { signal, core } = out.exit else { panic!("{}", out.exit) };
    assert_eq!((signal, core && limits == none[0]), (Signal::SIGSEGV as i32, false));
    // What we read of ourselves, and the copy of our own binary, do not need it.
    let children = format!("/proc/self/task/{}/children", nix::unistd::gettid());
    for path in ["/proc/self/exe", "/proc/self/status", "/proc/self/environ", &children] {
        std::fs::read(path).unwrap_or_else(|e| panic!("{path}: {e}"));
    }
}

#[test]
fn a_blocked_stdout_blocks_nothing_and_says_afterwards_what_was_lost() {
    let mut us = helper("helper_blocked_stdout")
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("helper");
    // Not reading its standard output is the test; its standard error says when it is through.
    let mut said = String::new();
    let mut stderr = BufReader::new(us.stderr.take().expect("piped"));
    // Whatever it says, read on from its standard output then: a helper that fails must be able to say so there.
    while !said.contains("DONE") && !said.contains("panicked at") {
        assert_ne!(stderr.read_line(&mut said).expect("line"), 0, "{said}");
    }
    let mut log = String::new();
    us.stdout.take().expect("piped").read_to_string(&mut log).expect("log");
    stderr.read_to_string(&mut said).expect("the rest");
    assert!(us.wait().expect("wait").success(), "{said}");

    // The harness prints "test ... " before the first line, without a line feed.
    let lines: Vec<serde_json::Value> = log
        .lines()
        .filter_map(|line| serde_json::from_str(&line[line.find('{')?..]).ok())
        .collect();
    let ours: Vec<u64> = lines.iter().filter_map(|line| line["ours"].as_u64()).collect();
    assert_eq!(ours, (0..100).collect::<Vec<_>>(), "the child does not crowd us out");
    let kept = lines.iter().filter(|line| line["target"] == "child").count() as u64;
    let told: u64 = lines.iter().filter_map(|line| line["dropped"].as_u64()).sum();
    assert_eq!(kept + told, FLOOD, "every line is there or counted: {kept}, {told}");
    assert!((1..10_000).contains(&kept), "bounded: {kept} lines were kept");
}

/// Lines that the child of [`helper_blocked_stdout`] prints.
const FLOOD: u64 = 100_000;

#[tokio::test]
#[ignore = "helper: runs in a process of its own, started by another test"]
async fn helper_blocked_stdout() {
    use taskmesh::config::{LogFormat, LogLevel};
    use taskmesh::logging;

    if !is_helper("helper_blocked_stdout") {
        return;
    }
    let guard = logging::init(LogLevel::Info, LogFormat::Json).expect("log");
    let again = logging::init(LogLevel::Info, LogFormat::Text).expect("a second time is fine");
    let reaper = Reaper::start().expect("reaper");
    let spec = ChildSpec {
        output: Output::Lines(logging::child_lines()),
        ..sh(&format!("yes {} | head -n {FLOOD}", "x".repeat(99)))
    };
    let mut child = spawn(&reaper, spec).expect("spawn");
    assert_eq!(end_of(&mut child).await, ChildExit::Code(0), "the child is not blocked");
    // In one go, as a supervisor's stop would be told: none of it waits, none of it is lost.
    for ours in 0..100 {
        tracing::info!(target: "taskmesh", ours, "still speaking");
    }
    assert!(child.lines_dropped() > FLOOD / 2);
    assert_eq!(logging::dropped(), child.lines_dropped(), "only the child's lines were dropped");
    drop(again);
    let begun = Instant::now();
    drop(guard);
    let held = begun.elapsed();
    assert!((Duration::from_millis(400)..Duration::from_secs(5)).contains(&held), "{held:?}");
    eprintln!("DONE");
    // From here on somebody reads. What we owe him must be out before the harness prints its own lines.
    let guard = logging::init(LogLevel::Info, LogFormat::Json).expect("log");
    sleep(Duration::from_millis(200)).await;
    drop(guard);
}

#[test]
fn a_panic_is_one_line_of_the_log() {
    let out = helper("helper_panics").output().expect("helper");
    assert!(out.status.success());
    let log = String::from_utf8_lossy(&out.stdout);
    let json = log.lines().find_map(|line| line.find('{').map(|i| &line[i..])).expect("a line");
    let line: serde_json::Value = serde_json::from_str(json).expect("JSON");
    assert_eq!(
        (&line["level"], &line["message"]),
        (&"ERROR".into(), &"panic: two\nlines 7".into())
    );
    assert!(line["place"].as_str().is_some_and(|place| place.contains("alone.rs:")), "{line}");
    let stderr = String::from_utf8_lossy(&out.stderr);
    assert!(!stderr.contains("lines 7"), "standard error may be blocked: {stderr}");
}

#[test]
#[ignore = "helper: runs in a process of its own, started by another test"]
fn helper_panics() {
    use taskmesh::config::{LogFormat, LogLevel};
    use taskmesh::logging;

    if !is_helper("helper_panics") {
        return;
    }
    let guard = logging::init(LogLevel::Error, LogFormat::Json).expect("log");
    logging::log_panics();
    std::panic::catch_unwind(|| panic!("two\nlines {}", 7)).expect_err("it panics");
    drop(guard);
}
