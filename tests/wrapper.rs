//! `taskmesh app`, `healthcheck` and `status` as processes, with the test as the supervisor.

#[path = "wrapper/asking.rs"]
mod asking;
#[path = "wrapper/consul_ecs.rs"]
mod consul_ecs;
mod fake_supervisor;

use fake_supervisor::{LONG, Supervisor, released, running, waiting_for};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use std::io::Read;
use std::net::SocketAddr;
use std::process::{Child, Command, Stdio};
use std::time::Duration;
use taskmesh::admin::{Request, Status, StopStatus};
use tokio::time::{Instant, sleep};

/// A running `taskmesh app`, killed with the test.
struct App(Child);

/// A shell that says `up`, and what it got, and ends with 7; by itself after 20 s or a little more.
const TRAPPING: &str = "trap 'echo TERM; exit 7' TERM; trap 'echo HUP' HUP; \
    trap 'echo QUIT; exit 8' QUIT; echo up; \
    for i in $(seq 1000); do sleep 0.02; done";

struct Ended {
    code: i32,
    out: String,
    err: String,
}

impl App {
    fn start(admin: SocketAddr, options: &[&str], command: &[&str]) -> Self {
        let mut program = Command::new(env!("CARGO_BIN_EXE_taskmesh"));
        program.args(["app", "--container", "app"]).args(options).arg("--").args(command);
        Self::spawn(program, admin)
    }

    fn spawn(mut program: Command, admin: SocketAddr) -> Self {
        let child = program
            .env("TASKMESH_ADMIN", admin.to_string())
            .env_remove("ECS_CONTAINER_METADATA_URI_V4")
            // A folder on PATH that may not be searched makes a missing command "not executable", as in a shell.
            .env("PATH", "/usr/local/bin:/usr/bin:/bin")
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        Self(child)
    }

    fn trapping(admin: SocketAddr, options: &[&str]) -> Self {
        Self::start(admin, options, &["sh", "-c", TRAPPING])
    }

    fn signal(&self, signal: Signal) {
        kill(Pid::from_raw(self.0.id().cast_signed()), signal).unwrap();
    }

    fn ended(&mut self) -> bool {
        self.0.try_wait().unwrap().is_some()
    }

    async fn end(mut self) -> Ended {
        let late = Instant::now() + LONG;
        while !self.ended() {
            assert!(Instant::now() < late, "taskmesh app did not end");
            sleep(Duration::from_millis(5)).await;
        }
        let (mut out, mut err) = (String::new(), String::new());
        self.0.stdout.take().unwrap().read_to_string(&mut out).unwrap();
        self.0.stderr.take().unwrap().read_to_string(&mut err).unwrap();
        Ended {
            code: self.0.wait().unwrap().code().expect("it exits, also for a signal"),
            out,
            err,
        }
    }
}

impl Drop for App {
    fn drop(&mut self) {
        self.0.kill().ok();
        self.0.wait().ok();
    }
}

fn started() -> Request {
    Request::AppStarted { container: "app".into() }
}

fn term() -> Request {
    Request::AppTerm { container: "app".into() }
}

fn exited(code: i32) -> Request {
    Request::AppExited { container: "app".into(), code }
}

/// Attached and started; the shell has its traps set.
async fn up(s: &mut Supervisor, options: &[&str]) -> App {
    s.publish(running());
    let app = App::trapping(s.addr, options);
    assert_eq!(s.attached().await, "app");
    assert_eq!(s.next().await, started());
    sleep(Duration::from_millis(200)).await;
    app
}

/// An address where nobody listens.
async fn nobody() -> SocketAddr {
    Supervisor::start(1).await.kill().await
}

#[tokio::test]
async fn waits_starts_tells_its_term_and_passes_it_on_when_released() {
    let mut s = Supervisor::start(8).await;
    let mut app = App::trapping(s.addr, &[]);
    assert_eq!(s.attached().await, "app");
    s.publish(waiting_for("envoy listeners"));
    sleep(Duration::from_millis(400)).await;
    s.publish(running());
    assert_eq!(s.next().await, started());
    sleep(Duration::from_millis(200)).await;
    app.signal(Signal::SIGHUP);
    sleep(Duration::from_millis(100)).await;
    app.signal(Signal::SIGTERM);
    assert_eq!(s.next().await, term());
    sleep(Duration::from_millis(300)).await;
    assert!(!app.ended(), "held back until the release");
    s.publish(released(false));
    assert_eq!(s.next().await, exited(7));
    let ended = app.end().await;
    assert_eq!((ended.code, ended.out.as_str()), (7, "up\nHUP\nTERM\n"));
    assert!(ended.err.contains("taskmesh app: waiting for envoy listeners (0 s)"), "{}", ended.err);
    assert!(ended.err.contains("taskmesh app: starting after 0."), "{}", ended.err);
    sleep(Duration::from_millis(100)).await;
    assert!(s.requests.try_recv().is_err(), "no detach after exited");
}

#[tokio::test]
async fn a_stop_of_the_mesh_sends_the_term_itself() {
    let mut s = Supervisor::start(8).await;
    let app = up(&mut s, &[]).await;
    s.publish(released(true));
    assert_eq!(s.next().await, exited(7));
    let ended = app.end().await;
    assert_eq!((ended.code, ended.out.as_str()), (7, "up\nTERM\n"));
}

#[tokio::test]
async fn another_stop_signal_is_held_back_too() {
    let mut s = Supervisor::start(8).await;
    let mut app = up(&mut s, &["--stop-signal", "SIGQUIT"]).await;
    app.signal(Signal::SIGQUIT);
    assert_eq!(s.next().await, term());
    sleep(Duration::from_millis(200)).await;
    assert!(!app.ended());
    s.publish(released(false));
    assert_eq!(app.end().await.code, 8);
}

#[tokio::test]
async fn a_second_term_is_passed_on_at_once() {
    let mut s = Supervisor::start(8).await;
    let app = up(&mut s, &[]).await;
    app.signal(Signal::SIGTERM);
    assert_eq!(s.next().await, term());
    app.signal(Signal::SIGTERM);
    assert_eq!(s.next().await, exited(7));
    assert_eq!(app.end().await.code, 7);
}

#[tokio::test]
async fn the_delay_has_a_limit() {
    let mut s = Supervisor::start(8).await;
    let app = up(&mut s, &["--stop-delay-max", "400ms"]).await;
    let told = Instant::now();
    app.signal(Signal::SIGTERM);
    assert_eq!(s.next().await, term());
    assert_eq!(s.next().await, exited(7));
    assert!(told.elapsed() >= Duration::from_millis(400), "{:?}", told.elapsed());
    let ended = app.end().await;
    assert!(ended.err.contains("--stop-delay-max is over"), "{}", ended.err);
}

#[tokio::test]
async fn the_least_delay_holds_beyond_the_release_and_beyond_the_limit() {
    let mut s = Supervisor::start(8).await;
    let options = ["--stop-delay-min", "700ms", "--stop-delay-max", "1ms"];
    let mut app = up(&mut s, &options).await;
    let told = Instant::now();
    app.signal(Signal::SIGTERM);
    assert_eq!(s.next().await, term());
    s.publish(released(false));
    sleep(Duration::from_millis(200)).await;
    assert!(!app.ended(), "released, but the least delay is not over");
    assert_eq!(s.next().await, exited(7));
    assert!(told.elapsed() >= Duration::from_millis(700), "{:?}", told.elapsed());
    let ended = app.end().await;
    assert!(ended.err.contains("700ms at least"), "{}", ended.err);
    assert!(ended.err.contains("only --stop-delay-min (-shutdown-delay) holds"), "{}", ended.err);
}

#[tokio::test]
async fn the_end_of_the_supervisor_lets_a_held_term_through() {
    let mut s = Supervisor::start(8).await;
    let app = up(&mut s, &[]).await;
    app.signal(Signal::SIGTERM);
    assert_eq!(s.next().await, term());
    let gone = Instant::now();
    s.kill().await;
    let ended = app.end().await;
    assert_eq!(ended.code, 7);
    assert!(ended.err.contains("the supervisor is gone"), "{}", ended.err);
    assert!(gone.elapsed() < Duration::from_secs(5), "{:?}", gone.elapsed());
}

#[tokio::test]
async fn a_replaced_supervisor_is_found_again_before_and_after_the_start() {
    let s = Supervisor::start(8).await;
    let mut app = App::trapping(s.addr, &[]);
    let mut s = Supervisor::start_at(s.kill().await, 8).await;
    assert_eq!(s.attached().await, "app");
    s.publish(running());
    assert_eq!(s.next().await, started());
    sleep(Duration::from_millis(200)).await;
    let mut s = Supervisor::start_at(s.kill().await, 8).await;
    assert_eq!(s.attached().await, "app");
    assert_eq!(s.next().await, started(), "the new one hears that the command runs");
    assert!(!app.ended(), "the command outlives a supervisor");
    app.signal(Signal::SIGTERM);
    assert_eq!(s.next().await, term());
    s.publish(released(false));
    assert_eq!(s.next().await, exited(7));
    assert_eq!(app.end().await.out, "up\nTERM\n", "started once");
}

#[tokio::test]
async fn a_term_while_waiting_ends_it_at_once() {
    let mut s = Supervisor::start(8).await;
    let app = App::trapping(s.addr, &[]);
    s.attached().await;
    let told = Instant::now();
    app.signal(Signal::SIGTERM);
    let ended = app.end().await;
    assert_eq!((ended.code, ended.out.as_str()), (143, ""));
    assert!(told.elapsed() < Duration::from_secs(2), "{:?}", told.elapsed());
    assert_eq!((s.next().await, s.next().await), (term(), exited(143)));

    let app = App::trapping(nobody().await, &[]);
    sleep(Duration::from_millis(300)).await;
    app.signal(Signal::SIGTERM);
    assert_eq!(app.end().await.code, 143, "also without a supervisor");
}

#[tokio::test]
async fn a_stop_before_the_start_ends_it_without_starting() {
    let mut s = Supervisor::start(8).await;
    let app = App::trapping(s.addr, &[]);
    s.attached().await;
    let stop = StopStatus {
        cause: "api".into(),
        since_ms: 0.0,
        awaiting: String::new(),
        seconds_left: None,
    };
    s.publish(Status { stop: Some(stop), ..waiting_for("agent joined") });
    assert_eq!(s.next().await, exited(143));
    let ended = app.end().await;
    assert_eq!((ended.code, ended.out.as_str()), (143, ""));
}

#[tokio::test]
async fn waiting_has_a_limit_and_two_exit_codes() {
    let mut s = Supervisor::start(8).await;
    s.publish(waiting_for("envoy listeners"));
    let app = App::trapping(s.addr, &["--wait-timeout", "500ms"]);
    s.attached().await;
    let ended = app.end().await;
    assert_eq!((ended.code, ended.out.as_str()), (75, ""));
    assert!(ended.err.contains("gave up waiting for envoy listeners"), "{}", ended.err);
    assert_eq!(s.next().await, exited(75));

    let ended = App::trapping(nobody().await, &["--wait-timeout", "500ms"]).end().await;
    assert_eq!(ended.code, 69);
    assert!(ended.err.contains("connection refused"), "{}", ended.err);
}

#[tokio::test]
async fn no_wait_starts_at_once_and_still_attaches_for_the_stop() {
    let mut s = Supervisor::start(8).await;
    let app = App::trapping(s.addr, &["--no-wait"]);
    assert_eq!(s.attached().await, "app");
    assert_eq!(s.next().await, started());
    sleep(Duration::from_millis(300)).await;
    app.signal(Signal::SIGTERM);
    assert_eq!(s.next().await, term());
    s.publish(released(false));
    assert_eq!(s.next().await, exited(7));
    assert_eq!(app.end().await.out, "up\nTERM\n");
}

#[tokio::test]
async fn who_may_start_alone_does_so_where_nobody_listens_and_still_delays_its_stop() {
    let options = ["--start-alone", "--stop-delay-min", "500ms"];
    let mut app = App::trapping(nobody().await, &options);
    sleep(Duration::from_millis(500)).await;
    let told = Instant::now();
    app.signal(Signal::SIGTERM);
    sleep(Duration::from_millis(200)).await;
    assert!(!app.ended());
    let ended = app.end().await;
    assert_eq!((ended.code, ended.out.as_str()), (7, "up\nTERM\n"));
    assert!(told.elapsed() >= Duration::from_millis(500), "{:?}", told.elapsed());
    assert!(ended.err.contains("there is no supervisor in this task"), "{}", ended.err);
}

#[tokio::test]
async fn exit_codes_are_the_commands_own_or_a_shells() {
    let mut s = Supervisor::start(64).await;
    s.publish(running());
    for (command, code) in [
        (["sh", "-c", "exit 0"], 0),
        (["sh", "-c", "exit 42"], 42),
        (["sh", "-c", "kill -SEGV $$"], 139),
        (["sh", "-c", "kill -KILL $$"], 137),
        (["/no/such/program", "-c", "x"], 127),
        (["no-such-program-on-path", "-c", "x"], 127),
        (["/etc/passwd", "-c", "x"], 126),
        (["/tmp", "-c", "x"], 126),
    ] {
        let ended = App::start(s.addr, &[], &command).end().await;
        assert_eq!(ended.code, code, "{command:?}: {}", ended.err);
        assert_eq!(s.attached().await, "app");
        if code != 126 && code != 127 {
            assert_eq!(s.next().await, started(), "{command:?}");
        } else {
            assert!(ended.err.contains(command[0]), "{}", ended.err);
        }
        assert_eq!(s.next().await, exited(code), "{command:?}");
    }
}

#[tokio::test]
async fn the_command_has_a_group_and_default_signals_and_the_group_gets_the_stop() {
    let mut s = Supervisor::start(8).await;
    s.publish(running());
    let script = "cat /proc/self/stat | cut -d' ' -f5; echo $$; cat /proc/self/status | grep -E 'Sig(Blk|Ign|Cgt)'; \
        sh -c 'trap \"echo grandchild; exit\" TERM; for i in $(seq 1000); do sleep 0.02; done' & \
        trap 'wait; exit 5' TERM; wait";
    let app = App::start(s.addr, &[], &["sh", "-c", script]);
    s.attached().await;
    assert_eq!(s.next().await, started());
    sleep(Duration::from_millis(400)).await;
    s.publish(released(true));
    let ended = app.end().await;
    let lines: Vec<&str> = ended.out.lines().collect();
    assert_eq!(lines[0], lines[1], "leads its own group");
    for mask in &lines[2..5] {
        let bits = u64::from_str_radix(mask.split_whitespace().nth(1).unwrap(), 16).unwrap();
        // 1 to 31; the C library's own two (32, 33) may be inherited as ignored.
        assert_eq!(bits & 0x7fff_ffff, 0, "{mask}");
    }
    assert_eq!((lines[5], ended.code), ("grandchild", 5));
}

#[tokio::test]
async fn a_killed_wrapper_is_noticed() {
    let mut s = Supervisor::start(8).await;
    let app = App::trapping(s.addr, &[]);
    s.attached().await;
    app.signal(Signal::SIGKILL);
    assert_eq!(s.next().await, Request::AppDetached { container: "app".into() });
}

#[tokio::test]
async fn a_blocked_stderr_does_not_keep_it_from_its_term() {
    let mut s = Supervisor::start(8).await;
    let (unread, full) = std::io::pipe().unwrap();
    let mut filling = full.try_clone().unwrap();
    nix::fcntl::fcntl(&filling, nix::fcntl::FcntlArg::F_SETFL(nix::fcntl::OFlag::O_NONBLOCK))
        .unwrap();
    while std::io::Write::write(&mut filling, &[b'x'; 4096]).is_ok() {}
    // O_NONBLOCK belongs to the open pipe, which the wrapper gets too: it must be a blocking one there.
    nix::fcntl::fcntl(&filling, nix::fcntl::FcntlArg::F_SETFL(nix::fcntl::OFlag::empty())).unwrap();
    let mut child = Command::new(env!("CARGO_BIN_EXE_taskmesh"))
        .args(["app", "--container", "app", "--admin", &s.addr.to_string(), "--", "true"])
        .stderr(full)
        .spawn()
        .unwrap();
    s.attached().await;
    sleep(Duration::from_millis(400)).await; // it has wanted to say what it waits for
    kill(Pid::from_raw(child.id().cast_signed()), Signal::SIGTERM).unwrap();
    assert_eq!((s.next().await, s.next().await), (term(), exited(143)));
    assert_eq!(child.wait().unwrap().code(), Some(143));
    drop(unread);
}

#[tokio::test]
async fn the_container_name_comes_from_the_task_metadata() {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    let metadata = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let uri = format!("http://{}/v4/0123", metadata.local_addr().unwrap());
    let serving = tokio::spawn(async move {
        // A throttled first answer, as ECS gives it, then the container.
        for (status, body) in
            [("429 Too Many Requests", "x"), ("200 OK", r#"{"DockerId":"1","Name":"web"}"#)]
        {
            let (mut socket, _) = metadata.accept().await.unwrap();
            let mut asked = vec![0; 1024];
            let n = socket.read(&mut asked).await.unwrap();
            assert!(asked[..n].starts_with(b"GET /v4/0123 HTTP/1.1\r\n"));
            let answer =
                format!("HTTP/1.1 {status}\r\ncontent-length: {}\r\n\r\n{body}", body.len());
            socket.write_all(answer.as_bytes()).await.unwrap();
        }
    });
    let mut s = Supervisor::start(8).await;
    s.publish(running());
    let mut child = Command::new(env!("CARGO_BIN_EXE_taskmesh"))
        .args(["app", "--admin", &s.addr.to_string(), "--", "true"])
        .env("ECS_CONTAINER_METADATA_URI_V4", uri)
        .spawn()
        .unwrap();
    assert_eq!(s.attached().await, "web");
    assert_eq!(s.next().await, Request::AppStarted { container: "web".into() });
    assert_eq!(s.next().await, Request::AppExited { container: "web".into(), code: 0 });
    assert_eq!(child.wait().unwrap().code(), Some(0));
    serving.await.unwrap();
}
