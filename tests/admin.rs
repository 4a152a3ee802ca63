//! The admin API over real loopback sockets, with the test as the supervisor.

mod fake_supervisor;

use fake_supervisor::{LONG, Supervisor, released, running, waiting_for};
use serde_json::{Value, json};
use std::net::SocketAddr;
use std::time::Duration;
use taskmesh::admin::{Gate, Line, Problem, Request, Status, StopStatus};
use taskmesh::timeline::Event;
use taskmesh::wrapper::client::{Stream, exchange};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::{Instant, timeout};

async fn call(s: &Supervisor, method: &str, path: &str, body: Option<&str>) -> (u16, Value) {
    let reply = exchange(s.addr, method, path, body, LONG).await.unwrap();
    (reply.status, serde_json::from_slice(&reply.body).expect("every answer is JSON"))
}

/// Sends bytes as they are and gives everything that comes back.
async fn raw(addr: SocketAddr, bytes: &[u8]) -> String {
    let mut socket = TcpStream::connect(addr).await.unwrap();
    socket.write_all(bytes).await.unwrap();
    let mut answer = Vec::new();
    timeout(LONG, socket.read_to_end(&mut answer)).await.expect("closed in time").ok();
    String::from_utf8_lossy(&answer).into_owned()
}

async fn attach(s: &Supervisor, body: &str) -> Stream {
    Stream::open(s.addr, "/v1/apps", body, LONG).await.unwrap().expect("attached")
}

async fn line(stream: &mut Stream) -> Option<Value> {
    let line: Option<Line> = timeout(LONG, stream.next()).await.expect("a line or the end");
    line.map(|l| serde_json::to_value(l).unwrap())
}

#[tokio::test]
async fn ready_says_what_is_pending_and_for_how_long() {
    let s = Supervisor::start(8).await;
    let mut status = waiting_for("envoy listeners");
    status.pending[0].reason = Some("LIVE, no public_listener".into());
    status.problems =
        vec![Problem { what: "task metadata".into(), why: "HTTP 500".into(), since_ms: 0.0 }];
    s.publish(status);
    tokio::time::sleep(Duration::from_millis(20)).await;
    let (code, body) = call(&s, "GET", "/ready", None).await;
    assert_eq!(code, 503);
    assert_eq!((&body["ready"], &body["healthy"]), (&json!(false), &json!(false)));
    assert_eq!(body["pending"][0]["latch"], "envoy listeners");
    assert_eq!(body["pending"][0]["reason"], "LIVE, no public_listener");
    assert!(body["pending"][0]["forSeconds"].as_f64().unwrap() >= 0.02, "{body}");
    assert_eq!(body["problems"][0]["what"], "task metadata");

    s.publish(running());
    let (code, body) = call(&s, "GET", "/ready", None).await;
    assert_eq!((code, &body["ready"], &body["pending"]), (200, &json!(true), &json!([])));
}

#[tokio::test]
async fn status_and_timeline_are_what_was_published() {
    let s = Supervisor::start(8).await;
    let stop = StopStatus {
        cause: "api".into(),
        since_ms: 0.0,
        awaiting: "apps-stopped".into(),
        seconds_left: Some(12.5),
    };
    s.publish(Status { task: "arn:task/1".into(), stop: Some(stop), ..running() });
    s.timeline.set_task("arn:task/1");
    s.timeline.push(0.0, Event::Started, None);
    s.timeline.push(12.5, Event::StopNoticed, Some("api".into()));
    let (code, body) = call(&s, "GET", "/v1/status", None).await;
    assert_eq!((code, &body["task"]), (200, &json!("arn:task/1")));
    assert_eq!(body["stop"]["secondsLeft"], 12.5);
    assert!(body["stop"]["forSeconds"].is_number() && body["upSeconds"].is_number());
    assert_eq!(body["gate"], json!({"start": true, "release": false, "term": false}));
    let (code, body) = call(&s, "GET", "/v1/timeline", None).await;
    assert_eq!(code, 200);
    assert_eq!(
        body["events"][1],
        json!({"ms": 12.5, "timeline": "shutdown", "phase": "T0", "event": "stop-noticed", "cause": "api"})
    );
}

#[tokio::test]
async fn stop_is_handed_on_and_a_full_queue_is_503() {
    let mut s = Supervisor::start(1).await;
    assert_eq!(call(&s, "POST", "/v1/stop", None).await, (202, json!({"accepted": true})));
    let (code, body) = call(&s, "POST", "/v1/stop", None).await;
    assert_eq!(code, 503, "{body}");
    let (code, _) = call(&s, "POST", "/v1/apps", Some(r#"{"container":"app","pid":7}"#)).await;
    assert_eq!(code, 503, "no stream without the supervisor's knowledge");
    assert_eq!(s.next().await, Request::Stop);
    assert_eq!(call(&s, "POST", "/v1/stop", None).await.0, 202, "room again");
}

#[tokio::test]
async fn a_wrapper_waits_starts_and_is_released() {
    let mut s = Supervisor::start(8).await;
    let mut app = attach(&s, r#"{"container":"app","pid":7}"#).await;
    assert_eq!(s.next().await, Request::AppAttached { container: "app".into(), pid: 7 });
    assert_eq!(line(&mut app).await, Some(json!({"wait": "agent joined"})));
    s.publish(waiting_for("envoy listeners"));
    assert_eq!(line(&mut app).await, Some(json!({"wait": "envoy listeners"})));
    s.publish(running());
    assert_eq!(line(&mut app).await, Some(json!({"start": true})));
    assert_eq!(call(&s, "POST", "/v1/apps/app/started", None).await.0, 202);
    assert_eq!(s.next().await, Request::AppStarted { container: "app".into() });
    assert_eq!(call(&s, "POST", "/v1/apps/app/term", Some("{}")).await.0, 202);
    assert_eq!(s.next().await, Request::AppTerm { container: "app".into() });
    s.publish(released(false));
    assert_eq!(line(&mut app).await, Some(json!({"release": true})));
    let (code, _) = call(&s, "POST", "/v1/apps/app/exited", Some(r#"{"code":143}"#)).await;
    assert_eq!(code, 202);
    assert_eq!(s.next().await, Request::AppExited { container: "app".into(), code: 143 });
    drop(app);
    tokio::time::sleep(Duration::from_millis(100)).await;
    assert!(s.requests.try_recv().is_err(), "an end that was told is no loss");
}

#[tokio::test]
async fn all_wrappers_are_released_together() {
    let mut s = Supervisor::start(8).await;
    s.publish(running());
    let mut a = attach(&s, r#"{"container":"a","pid":1}"#).await;
    let mut b = attach(&s, r#"{"container":"b","pid":2,"started":true}"#).await;
    assert_eq!((s.attached().await, s.attached().await), ("a".into(), "b".into()));
    assert_eq!(s.next().await, Request::AppStarted { container: "b".into() });
    assert_eq!(line(&mut a).await, Some(json!({"start": true})));
    s.publish(released(true));
    let release = Some(json!({"release": true, "term": true}));
    assert_eq!((line(&mut a).await, line(&mut b).await), (release.clone(), release));
}

#[tokio::test]
async fn a_stop_before_the_start_releases_at_once() {
    let mut s = Supervisor::start(8).await;
    let mut app = attach(&s, r#"{"container":"app","pid":7}"#).await;
    s.attached().await;
    line(&mut app).await;
    let stop = StopStatus {
        cause: "start-timeout".into(),
        since_ms: 0.0,
        awaiting: String::new(),
        seconds_left: None,
    };
    s.publish(Status { stop: Some(stop), gate: Gate::default(), ..waiting_for("agent joined") });
    assert_eq!(line(&mut app).await, Some(json!({"release": true, "term": true})));
}

#[tokio::test]
async fn a_broken_stream_is_reported_and_a_lost_supervisor_is_seen() {
    let mut s = Supervisor::start(8).await;
    let app = attach(&s, r#"{"container":"app","pid":7}"#).await;
    s.attached().await;
    let broken = Instant::now();
    drop(app);
    assert_eq!(s.next().await, Request::AppDetached { container: "app".into() });
    assert!(broken.elapsed() < Duration::from_secs(2), "seen by itself, not by the next write");

    let mut app = attach(&s, r#"{"container":"app","pid":8}"#).await;
    s.attached().await;
    line(&mut app).await;
    s.kill().await;
    assert_eq!(line(&mut app).await, None);
}

#[tokio::test]
async fn unknown_paths_methods_and_bodies_are_answered_in_words() {
    let mut s = Supervisor::start(8).await;
    for (method, path, body, want) in [
        ("GET", "/", None, 404),
        ("GET", "/v1/apps/app", None, 404),
        ("POST", "/ready", None, 405),
        ("GET", "/v1/stop", None, 405),
        ("DELETE", "/v1/apps", None, 405),
        ("POST", "/v1/apps", None, 400),
        ("POST", "/v1/apps", Some("{"), 400),
        ("POST", "/v1/apps", Some(r#"{"container":"app"}"#), 400),
        ("POST", "/v1/apps", Some(r#"{"container":"","pid":1}"#), 400),
        ("POST", "/v1/apps", Some(r#"{"container":"a\nb","pid":1}"#), 400),
        ("POST", "/v1/apps/a%0ab/term", None, 400),
        ("POST", "/v1/apps/%ff/term", None, 400),
        ("POST", "/v1/apps/app/exited", Some(r#"{"code":"0"}"#), 400),
        ("POST", "/v1/apps/app/exited", Some("\u{0}\u{1}"), 400),
    ] {
        let (code, answer) = call(&s, method, path, body).await;
        assert_eq!(code, want, "{method} {path} {body:?}: {answer}");
        assert!(answer["error"].as_str().unwrap().len() > 10, "{answer}");
    }
    let long = format!(r#"{{"container":"{}","pid":1}}"#, "a".repeat(9000));
    assert_eq!(call(&s, "POST", "/v1/apps", Some(&long)).await.0, 413);
    assert!(s.requests.try_recv().is_err(), "none of it reached the supervisor");
}

#[tokio::test]
async fn what_is_not_http_is_closed_and_a_silent_client_holds_nothing() {
    let s = Supervisor::start(8).await;
    let began = Instant::now();
    let silent = raw(s.addr, b"GET /ready HTTP/1.1\r\n");
    let garbage = async {
        for bytes in [b"\x16\x03\x01\x02\x00\x01".as_slice(), b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"] {
            let answer = raw(s.addr, bytes).await;
            assert!(answer.is_empty() || answer.starts_with("HTTP/1.1 400"), "{answer}");
        }
        assert_eq!(call(&s, "GET", "/ready", None).await.0, 503, "and others are served");
        assert!(began.elapsed() < Duration::from_secs(4), "{:?}", began.elapsed());
    };
    let head = format!("POST /v1/apps HTTP/1.1\r\nhost: {}\r\nconnection: close", s.addr);
    let half = format!("{head}\r\ncontent-length: 50\r\n\r\n{{");
    let half_a_body = raw(s.addr, half.as_bytes());
    let (silent, (), half) = tokio::join!(silent, garbage, half_a_body);
    assert!(silent.is_empty() || silent.starts_with("HTTP/1.1 408"), "{silent}");
    assert!(half.starts_with("HTTP/1.1 408"), "{half}");
    assert!(began.elapsed() < Duration::from_secs(12), "{:?}", began.elapsed());
}

/// A whole request on a connection of its own, with these header lines.
async fn with_headers(s: &Supervisor, request: &str, headers: &str) -> String {
    let text = format!("{request} HTTP/1.1\r\nconnection: close\r\n{headers}\r\n");
    raw(s.addr, text.as_bytes()).await
}

#[tokio::test]
async fn a_web_page_with_a_foreign_name_or_origin_gets_nothing() {
    let mut s = Supervisor::start(8).await;
    let port = s.addr.port();
    for (headers, want) in [
        (format!("host: rebound.example:{port}\r\n"), "403"),
        (format!("host: 127.0.0.1.example:{port}\r\n"), "403"),
        ("host: 127.0.0.1\r\n".to_owned(), "403"),
        (String::new(), "400"),
        (format!("host: localhost:{port}\r\nhost: rebound.example:{port}\r\n"), "400"),
        (format!("host: localhost:{port}\r\norigin: http://rebound.example:{port}\r\n"), "403"),
        (format!("host: localhost:{port}\r\norigin: null\r\n"), "403"),
    ] {
        for request in ["GET /v1/status", "POST /v1/stop", "OPTIONS /v1/stop"] {
            let answer = with_headers(&s, request, &headers).await;
            assert!(
                answer.starts_with(&format!("HTTP/1.1 {want}")),
                "{request} {headers}: {answer}"
            );
            assert!(answer.contains("{\"error\":"), "{answer}");
            assert!(!answer.to_lowercase().contains("access-control"), "{answer}");
        }
    }
    assert!(s.requests.try_recv().is_err(), "none of it reached the supervisor");
    for headers in [
        format!("host: localhost:{port}\r\n"),
        format!("host: [::1]:{port}\r\n"),
        format!("host: 127.0.0.1:{port}\r\norigin: http://127.0.0.1:{port}\r\n"),
    ] {
        let answer = with_headers(&s, "POST /v1/stop", &headers).await;
        assert!(answer.starts_with("HTTP/1.1 202"), "{headers}: {answer}");
        assert_eq!(s.next().await, Request::Stop);
    }
}

#[tokio::test]
async fn what_acts_takes_post_alone_and_a_small_body() {
    let mut s = Supervisor::start(8).await;
    let host = format!("host: {}\r\n", s.addr);
    for path in
        ["/v1/stop", "/v1/apps", "/v1/apps/a/started", "/v1/apps/a/term", "/v1/apps/a/exited"]
    {
        for method in ["GET", "HEAD", "PUT", "DELETE", "PATCH", "OPTIONS"] {
            let answer = with_headers(&s, &format!("{method} {path}"), &host).await;
            assert!(answer.starts_with("HTTP/1.1 405"), "{method} {path}: {answer}");
        }
        // Told by its length, it is refused before it is sent; so it is where nobody would read it.
        let headers = format!("{host}content-length: 1000000000\r\n");
        let answer = with_headers(&s, &format!("POST {path}"), &headers).await;
        assert!(answer.starts_with("HTTP/1.1 413"), "{path}: {answer}");
    }
    // One that does not tell its length is refused when it has become too long.
    let chunk = format!("2000\r\n{}\r\n", "x".repeat(0x2000));
    let request = format!(
        "POST /v1/apps HTTP/1.1\r\n{host}connection: close\r\ntransfer-encoding: chunked\r\n\r\n{chunk}{chunk}"
    );
    let answer = raw(s.addr, request.as_bytes()).await;
    assert!(answer.starts_with("HTTP/1.1 413"), "{answer}");
    assert!(s.requests.try_recv().is_err(), "none of it reached the supervisor");
}

#[tokio::test]
async fn a_head_without_end_is_cut_off() {
    let s = Supervisor::start(8).await;
    let host = format!("host: {}\r\n", s.addr);
    for headers in
        [format!("{host}x: {}\r\n", "a".repeat(20_000)), host.clone() + &"x: y\r\n".repeat(70)]
    {
        let answer = with_headers(&s, "GET /ready", &headers).await;
        assert!(answer.starts_with("HTTP/1.1 431"), "{answer}");
    }
    // It never ends, and comes slowly enough to never fill a buffer.
    let began = Instant::now();
    let mut socket = TcpStream::connect(s.addr).await.unwrap();
    socket.write_all(b"GET /ready HTTP/1.1\r\n").await.unwrap();
    while socket.write_all(b"x: y\r\n").await.is_ok() {
        assert!(began.elapsed() < LONG, "it is still listened to");
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
    assert_eq!(call(&s, "GET", "/ready", None).await.0, 503, "and others are served");
}

#[tokio::test]
async fn silent_connections_hold_nobody_out_for_long_and_busy_ones_are_not_kept() {
    let s = Supervisor::start(8).await;
    let mut silent = Vec::new();
    for _ in 0..300 {
        silent.push(TcpStream::connect(s.addr).await.unwrap());
    }
    // All places are taken; in 5 s those who say nothing lose theirs, and then those behind them.
    let (code, _) = call(&s, "GET", "/ready", None).await;
    assert_eq!(code, 503);
    drop(silent);

    // More than half of the places are taken: an answer ends its connection.
    let host = format!("host: {}\r\n", s.addr);
    let request = format!("GET /ready HTTP/1.1\r\n{host}\r\n");
    let mut held = Vec::new();
    for _ in 0..100 {
        held.push(TcpStream::connect(s.addr).await.unwrap());
    }
    let answer = raw(s.addr, request.as_bytes()).await;
    assert!(answer.contains("connection: close"), "{answer}");
}

#[tokio::test]
async fn wrappers_streams_leave_room_for_questions() {
    let mut s = Supervisor::start(64).await;
    let mut streams = Vec::new();
    for n in 0..32 {
        streams.push(attach(&s, &format!(r#"{{"container":"app-{n}","pid":1}}"#)).await);
        s.attached().await;
    }
    let (code, why) = call(&s, "POST", "/v1/apps", Some(r#"{"container":"x","pid":1}"#)).await;
    assert_eq!(code, 503, "{why}");
    assert!(s.requests.try_recv().is_err(), "the supervisor did not hear of it");
    assert_eq!(call(&s, "GET", "/v1/status", None).await.0, 200);
    streams.pop();
    assert!(matches!(s.next().await, Request::AppDetached { .. }));
    attach(&s, r#"{"container":"x","pid":1}"#).await;
}
