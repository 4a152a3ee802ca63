//! Hosts are isolated, reach each other, and leave nothing behind.

use std::time::Duration;

use nix::sys::signal::Signal;
use testbed::net::{Exit, Lan, PidSpace, ProcessSpec, TASK_METADATA_IP, descendants};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

fn isolated() -> Option<Lan> {
    let lan = Lan::new().expect("a network");
    if let Some(reason) = lan.loopback_reason() {
        testbed::skip::skip(&format!("no network namespaces: {reason}"));
        return None;
    }
    Some(lan)
}

fn alive(pid: i32) -> bool {
    descendants(pid).iter().any(|p| p.pid == pid)
}

async fn gone(pid: i32) -> bool {
    for _ in 0..200 {
        if !alive(pid) {
            return true;
        }
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    false
}

async fn greet(lan: &Lan) {
    let host = lan.host("api-1").expect("a host");
    let at = (host.ip(), 8080);
    let listener = host.spawn(move || TcpListener::bind(at)).await.expect("host").expect("bound");
    let mut server = host.spawn(move || async move {
        let (mut peer, from) = listener.accept().await.expect("a peer");
        peer.write_all(b"hello").await.expect("written");
        from.ip()
    });
    let said = lan.hub().spawn(move || async move {
        let mut text = String::new();
        let mut stream = TcpStream::connect(at).await.expect("connected");
        stream.read_to_string(&mut text).await.expect("read");
        text
    });
    assert_eq!(said.await.expect("said"), "hello");
    let from = (&mut server).await.expect("served");
    assert!(from.is_ipv4());
}

#[tokio::test]
async fn the_hub_reaches_a_host() {
    greet(&Lan::new().expect("a network")).await;
}

/// A bridge without an address of its own has that of one of its cables, and the others' ARP entries go stale.
#[tokio::test]
async fn the_hub_keeps_its_address_while_hosts_come() {
    let Some(lan) = isolated() else { return };
    let first = lan.host("first").expect("a host");
    let ip = lan.hub().ip();
    let listener =
        lan.hub().spawn(move || TcpListener::bind((ip, 8080))).await.expect("hub").expect("bound");
    let _serving = lan.hub().spawn(move || async move { while listener.accept().await.is_ok() {} });
    // The address of a cable's end is random: of so many, one is surely lower than those before.
    let mut others = Vec::new();
    for round in 0..12 {
        let connect = first.spawn(move || TcpStream::connect((ip, 8080)));
        let limit = Duration::from_secs(3);
        let connected = tokio::time::timeout(limit, connect).await;
        assert!(connected.is_ok(), "host {round} cut off the first one");
        connected.expect("in time").expect("host").expect("connected");
        others.push(lan.host(&format!("other-{round}")).expect("a host"));
    }
}

#[tokio::test]
async fn loopback_mode_works_without_any_right() {
    let lan = Lan::on_loopback("asked for").expect("a network");
    assert_eq!(lan.loopback_reason(), Some("asked for"));
    greet(&lan).await;
}

#[tokio::test]
async fn hosts_have_their_own_loopback_and_metadata_address() {
    let Some(lan) = isolated() else { return };
    let (one, two) = (lan.host("one").expect("a host"), lan.host("two").expect("a host"));
    let mut listeners = Vec::new();
    for host in [&one, &two] {
        for at in [(TASK_METADATA_IP, 80), ([127, 0, 0, 1].into(), 80)] {
            let bound = host.spawn(move || TcpListener::bind(at)).await.expect("host");
            listeners.push(bound.expect("each host has this port for itself"));
        }
    }
    let ns = || std::fs::read_link("/proc/thread-self/ns/net").expect("a namespace");
    let theirs = one.spawn(move || async move { ns() }).await.expect("host");
    assert_ne!(theirs, ns(), "the machine's own namespace is another");
}

#[tokio::test]
async fn dropping_a_host_kills_what_ran_on_it() {
    let lan = Lan::new().expect("a network");
    let host = lan.host("api-1").expect("a host");
    let process =
        host.spawn_process(ProcessSpec::shell("trap '' TERM; sleep 60 & echo up; wait")).await;
    let process = process.expect("started");
    process.output().wait_for(|line| line.text == "up").await.expect("up");
    let family = descendants(process.pid());
    assert_eq!(family.len(), 2, "{family:?}");
    drop(lan);
    for member in family {
        assert!(gone(member.pid).await, "{member:?} is left");
    }
    assert_eq!(process.wait().await, Exit::Signal(9));
}

#[tokio::test]
async fn output_exit_code_and_signal_are_told() {
    let lan = Lan::new().expect("a network");
    let process = ProcessSpec::shell("echo out; echo err >&2; exit 7");
    let process = lan.hub().spawn_process(process).await.expect("started");
    assert_eq!(process.finished().await, Exit::Code(7));
    let mut lines: Vec<String> =
        process.output().snapshot().into_iter().map(|line| line.text).collect();
    lines.sort_unstable();
    assert_eq!(lines, ["err", "out"]);
    assert!(!process.signal(Signal::SIGTERM), "it has ended");

    let missing = lan.hub().spawn_process(ProcessSpec::new("/no/such/program", [""; 0])).await;
    assert_eq!(missing.expect_err("missing").kind(), std::io::ErrorKind::NotFound);
}

#[tokio::test]
async fn the_end_of_a_process_is_the_end_of_its_tree() {
    let lan = Lan::new().expect("a network");
    let process = ProcessSpec::shell("sleep 60 & echo $!; exit 0");
    let process = lan.hub().spawn_process(process).await.expect("started");
    assert_eq!(process.finished().await, Exit::Code(0));
    let child = process.output().snapshot()[0].text.parse().expect("a pid");
    assert!(gone(child).await);
}

#[tokio::test]
async fn a_pid_namespace_makes_a_pid_1_that_ignores_what_it_does_not_handle() {
    let Some(lan) = isolated() else { return };
    let host = lan.host("api-1").expect("a host");
    let mut spec = ProcessSpec::shell("echo $$; ls -d /proc/[0-9]* | wc -l; setsid sleep 60");
    spec.pid_space = PidSpace::New;
    let process = host.spawn_process(spec).await.expect("started");
    process.output().wait_for(|line| line.text == "1").await.expect("it is PID 1");
    let mut family = descendants(process.pid());
    while !family.iter().any(|p| p.comm == "sleep") {
        tokio::time::sleep(Duration::from_millis(5)).await;
        family = descendants(process.pid());
    }

    let mut exec = ProcessSpec::shell("readlink /proc/self; kill -0 1 && echo sees 1");
    exec.pid_space = PidSpace::Of(process.pid());
    let exec = host.spawn_process(exec).await.expect("started");
    assert_eq!(exec.finished().await, Exit::Code(0));
    let inside: i32 = exec.output().snapshot()[0].text.parse().expect("a pid");
    assert!(inside < 100, "a pid of the container's own namespace: {inside}");

    assert!(process.signal(Signal::SIGTERM));
    let early = tokio::time::timeout(Duration::from_millis(300), process.wait()).await;
    assert!(early.is_err(), "TERM does nothing to a PID 1 without a handler");
    process.kill();
    assert_eq!(process.wait().await, Exit::Signal(9));
    for member in family {
        assert!(gone(member.pid).await, "{member:?} is left");
    }
}

/// Run by `nothing_is_left_after_sigkill` in a process of its own, which is then killed.
#[tokio::test]
#[ignore = "helper: started by another test"]
async fn victim() {
    let lan = Lan::new().expect("a network");
    let host = lan.host("api-1").expect("a host");
    let mut spec = ProcessSpec::shell("trap '' TERM; setsid sleep 62 & echo up; wait");
    if host.isolated() {
        spec.pid_space = PidSpace::New;
    }
    let process = host.spawn_process(spec).await.expect("started");
    process.output().wait_for(|line| line.text == "up").await.expect("up");
    for member in descendants(process.pid()) {
        println!("pid {}", member.pid);
    }
    println!("ready");
    std::future::pending::<()>().await;
}

#[tokio::test]
async fn nothing_is_left_after_sigkill() {
    let Some(lan) = isolated() else { return };
    let me = std::env::current_exe().expect("a path");
    let args = ["--ignored", "--exact", "victim", "--nocapture", "--test-threads=1"];
    let victim = lan.hub().spawn_process(ProcessSpec::new(me, args)).await.expect("started");
    victim.output().wait_for(|line| line.text == "ready").await.expect("ready");
    let lines = victim.output().snapshot();
    let pids = lines.iter().filter_map(|line| line.text.split_once("pid ")?.1.parse().ok());
    let pids: Vec<i32> = pids.collect();
    assert_eq!(pids.len(), 2, "{lines:?}");
    assert!(victim.signal(Signal::SIGKILL));
    for pid in pids {
        assert!(gone(pid).await, "{pid} is left");
    }
}
