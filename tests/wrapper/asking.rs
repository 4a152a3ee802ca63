//! The other two clients of the supervisor: `healthcheck` and `status`.

use super::*;

/// Runs a short command beside the server, which lives on this thread.
async fn output(admin: SocketAddr, mode: &str) -> (i32, String) {
    let mut child = Command::new(env!("CARGO_BIN_EXE_taskmesh"))
        .args([mode, "--admin", &admin.to_string()])
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    while child.try_wait().unwrap().is_none() {
        sleep(Duration::from_millis(5)).await;
    }
    let done = child.wait_with_output().unwrap();
    let said = [done.stdout, done.stderr].concat();
    (done.status.code().unwrap(), String::from_utf8(said).unwrap())
}

#[tokio::test]
async fn healthcheck_says_why_and_status_shows_all() {
    let s = Supervisor::start(8).await;
    s.publish(waiting_for("envoy listeners"));
    let (code, said) = output(s.addr, "healthcheck").await;
    assert_eq!(code, 1);
    assert!(said.starts_with("pending: envoy listeners (0."), "{said}");
    let (code, said) = output(s.addr, "status").await;
    assert_eq!(code, 0);
    assert!(said.starts_with("state    starting, not ready"), "{said}");

    s.publish(Status { ready: false, ..running() });
    let (code, _) = output(s.addr, "healthcheck").await;
    assert_eq!(code, 0, "healthy while it is not ready");

    let (code, said) = output(nobody().await, "healthcheck").await;
    assert_eq!(code, 1);
    assert!(said.contains("no supervisor answers at 127.0.0.1:"), "{said}");
}

#[tokio::test]
async fn healthcheck_gives_a_silent_supervisor_two_seconds() {
    let silent = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let began = Instant::now();
    let (code, said) = output(silent.local_addr().unwrap(), "healthcheck").await;
    assert_eq!(code, 1);
    assert!(said.contains("no answer within 2s"), "{said}");
    let took = began.elapsed();
    assert!(took > Duration::from_millis(1900) && took < Duration::from_secs(6), "{took:?}");
}
