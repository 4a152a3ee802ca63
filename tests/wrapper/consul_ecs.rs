//! The binary under the name of consul-ecs 0.4.3, as apps' entry points call it.
//!
//! 0.4.3 takes no name and waits for nobody, so here the container's name comes from where it comes from in a task: the
//! metadata, or else the host.

use super::*;

/// `consul-ecs` as it lies in a folder that is shared with the apps.
struct Shared(tempfile::TempDir);

impl Shared {
    fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let (ours, theirs) = (env!("CARGO_BIN_EXE_taskmesh"), dir.path().join("consul-ecs"));
        // A link is as good as the supervisor's copy, and quicker; the temporary folder may be on another disk.
        if std::fs::hard_link(ours, &theirs).is_err() {
            std::fs::copy(ours, &theirs).unwrap();
        }
        Self(dir)
    }

    fn command(&self, words: &[&str]) -> Command {
        let mut command = Command::new(self.0.path().join("consul-ecs"));
        command.args(words);
        command
    }

    fn app(&self, admin: SocketAddr, delay: &[&str], command: &[&str]) -> App {
        App::spawn(self.command(&[&["app-entrypoint"], delay, command].concat()), admin)
    }

    fn output(&self, words: &[&str]) -> (Option<i32>, String, String) {
        let output = self.command(words).output().unwrap();
        let text = |bytes| String::from_utf8(bytes).unwrap();
        (output.status.code(), text(output.stdout), text(output.stderr))
    }
}

const SHELL: [&str; 4] = ["--", "sh", "-c", TRAPPING];

#[tokio::test]
async fn it_starts_at_t2_and_its_stop_waits_for_the_release_and_for_the_delay() {
    let shared = Shared::new();
    // Whichever comes last: the release, or the delay.
    for (delay, release_after) in [("1ms", 600), ("900ms", 100)] {
        let mut s = Supervisor::start(8).await;
        let mut app = shared.app(s.addr, &["-shutdown-delay", delay], &SHELL);
        let name = s.attached().await;
        s.publish(waiting_for("envoy listeners"));
        sleep(Duration::from_millis(300)).await;
        assert!(s.requests.try_recv().is_err(), "it waits for T2");
        s.publish(running());
        assert_eq!(s.next().await, Request::AppStarted { container: name.clone() });
        sleep(Duration::from_millis(200)).await;
        app.signal(Signal::SIGHUP);
        sleep(Duration::from_millis(100)).await;
        let told = Instant::now();
        app.signal(Signal::SIGTERM);
        assert_eq!(s.next().await, Request::AppTerm { container: name.clone() });
        sleep(Duration::from_millis(release_after)).await;
        assert!(!app.ended(), "{delay}: not released");
        s.publish(released(false));
        assert_eq!(s.next().await, Request::AppExited { container: name, code: 7 });
        let least = Duration::from_millis(if delay == "1ms" { 600 } else { 900 });
        assert!(told.elapsed() >= least, "{delay}: {:?}", told.elapsed());
        let ended = app.end().await;
        assert_eq!((ended.code, ended.out.as_str()), (7, "up\nHUP\nTERM\n"), "{}", ended.err);
    }
}

#[tokio::test]
async fn a_second_term_is_passed_on_at_once_during_the_delay() {
    let shared = Shared::new();
    let mut s = Supervisor::start(8).await;
    s.publish(running());
    let app = shared.app(s.addr, &["--shutdown-delay=10m"], &SHELL);
    s.attached().await;
    assert!(matches!(s.next().await, Request::AppStarted { .. }));
    sleep(Duration::from_millis(200)).await;
    app.signal(Signal::SIGTERM);
    assert!(matches!(s.next().await, Request::AppTerm { .. }));
    app.signal(Signal::SIGTERM);
    assert!(matches!(s.next().await, Request::AppExited { code: 7, .. }));
    assert_eq!(app.end().await.code, 7);
}

#[tokio::test]
async fn without_a_supervisor_it_starts_at_once_and_delays_as_0_4_3_did() {
    let shared = Shared::new();
    for (delay, least) in
        [(&["-shutdown-delay", "0.6s"][..], 600), (&["-shutdown-delay=0"], 0), (&[], 0)]
    {
        let mut app = shared.app(nobody().await, delay, &SHELL);
        sleep(Duration::from_millis(500)).await;
        let told = Instant::now();
        app.signal(Signal::SIGTERM);
        if least > 0 {
            sleep(Duration::from_millis(200)).await;
            assert!(!app.ended(), "{delay:?}");
        }
        // 0.4.3 swallowed the TERM where there was no delay.
        let ended = app.end().await;
        assert_eq!((ended.code, ended.out.as_str()), (7, "up\nTERM\n"), "{delay:?}");
        assert!(told.elapsed() >= Duration::from_millis(least), "{delay:?}: {:?}", told.elapsed());
        assert!(told.elapsed() < Duration::from_secs(10), "{delay:?}: {:?}", told.elapsed());
        assert!(ended.err.contains("starting without the mesh"), "{}", ended.err);
    }
}

#[tokio::test]
async fn a_commands_end_by_a_signal_is_told_as_a_shell_tells_it() {
    let shared = Shared::new();
    let app = shared.app(nobody().await, &[], &["sh", "-c", "kill -SEGV $$"]);
    assert_eq!(app.end().await.code, 139);
    let app = shared.app(nobody().await, &["-shutdown-delay", "1s"], &["/no/such/program"]);
    assert_eq!(app.end().await.code, 127);
}

#[test]
fn what_is_not_the_wrapper_says_what_to_do_instead() {
    let shared = Shared::new();
    for (command, container) in [
        ("mesh-init", "consul-ecs-mesh-init"),
        ("envoy-entrypoint", "sidecar-proxy"),
        ("health-sync", "consul-ecs-health-sync"),
    ] {
        let (code, out, err) = shared.output(&[command, "envoy", "--config-path", "/consul/x"]);
        assert_eq!((code, out.as_str()), (Some(64), ""), "{err}");
        assert!(err.contains("remove the container") && err.contains(container), "{err}");
    }
    let (code, _, err) =
        shared.output(&["app-entrypoint", "-shutdown-delay", "soon", "--", "true"]);
    assert_eq!(code, Some(64));
    assert!(err.contains("\"soon\" is no duration"), "{err}");
    let (code, out, _) = shared.output(&["version"]);
    assert_eq!(code, Some(0));
    assert!(out.starts_with(concat!("taskmesh ", env!("CARGO_PKG_VERSION"))), "{out}");
}
