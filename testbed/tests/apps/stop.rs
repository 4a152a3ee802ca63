//! What TERM does: an app that drains or lingers loses nothing.

use std::time::Duration;

use testbed::load::{Kind, Load};
use testbed::net::Lan;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::{Instant, sleep, timeout};

use crate::{KINDS, PATIENCE, start, start_for, stopped};

/// Has all loops of a load begin a request at the same time, pauses the load when the app has read them, and answers how
/// many were good before.
async fn pause_amid_requests(lan: &Lan, load: &Load, loops: usize, authority: &str) -> u64 {
    load.pause();
    under_way(load, 0).await;
    let ok = load.report().ok;
    load.resume();
    under_way(load, loops).await;
    load.pause();
    // The app takes what comes in turn: with the end of this it has read what came before.
    let authority = authority.to_owned();
    let nonsense = lan.hub().spawn(move || async move {
        let mut stream = TcpStream::connect(authority).await.expect("connected");
        stream.write_all(b"nonsense\n").await.expect("sent");
        // Whether it ends well or not is up to the app.
        _ = stream.read_to_end(&mut Vec::new()).await.is_ok();
    });
    timeout(PATIENCE, nonsense).await.expect("in time").expect("it ran");
    ok
}

async fn under_way(load: &Load, requests: usize) {
    while load.under_way() != requests {
        sleep(Duration::from_millis(1)).await;
    }
}

#[tokio::test]
async fn a_drain_of_every_kind_answers_what_is_under_way() {
    let lan = Lan::new().expect("a network");
    for kind in KINDS {
        let name = format!("api-{kind:?}").to_lowercase();
        let more = ["--delay", "800ms", "--term", "drain"];
        let (task, spec) = start_for(&lan, kind, &name, &more).await;
        let loops = match kind {
            Kind::Http1 | Kind::Tcp => 2,
            Kind::Http2 | Kind::Grpc => 4,
        };
        let load = Load::start(lan.hub(), spec.connections(2).streams(2));
        timeout(PATIENCE, load.wait_ok(1)).await.expect("it answers");
        let authority = format!("{}:9090", task.host().ip());
        let amid = pause_amid_requests(&lan, &load, loops, &authority);
        let before = timeout(PATIENCE, amid).await.expect("all begin");
        task.stop();
        let result = stopped(&task).await;
        let app = result.container(&name).expect("it");
        assert_eq!((app.exit_code, app.killed), (Some(0), false));
        assert_eq!(app.output.last().expect("a line").text, "drained");
        let report = load.stop().await;
        assert!(report.failed == 0 && report.ok >= before + loops as u64, "{kind:?}: {report}");
        let byes = if kind == Kind::Tcp { 2 } else { 0 };
        assert_eq!(report.closed_by_app, byes, "{kind:?}: {report}");
    }
}

#[tokio::test]
async fn a_drain_says_goaway_before_the_last_answer() {
    let lan = Lan::new().expect("a network");
    let (task, authority) = start(&lan, "http", "api-1", &["--term", "drain"]).await;
    let (sent, is_sent) = tokio::sync::oneshot::channel();
    let client = lan.hub().spawn(move || async move {
        let stream = TcpStream::connect(&authority).await.expect("connected");
        let (mut requests, connection) = h2::client::handshake(stream).await.expect("HTTP/2");
        let connection = tokio::spawn(connection);
        let get = |path: &str| {
            let uri = format!("http://{authority}{path}");
            axum::http::Request::get(uri).body(()).expect("a request")
        };
        // One that is answered, so that the app knows of the connection.
        let (first, _) = requests.send_request(get("/"), true).expect("sent");
        assert_eq!(first.await.expect("an answer").status(), 200);
        let (slow, _) = requests.send_request(get("/slow?for=1s"), true).expect("sent");
        let mut slow = tokio::spawn(slow);
        sent.send(()).expect("awaited");
        let closing = loop {
            match requests.clone().ready().await {
                Ok(_) => sleep(Duration::from_millis(5)).await,
                Err(error) => break error,
            }
        };
        assert!(closing.is_go_away() && closing.is_remote(), "{closing}");
        assert_eq!(closing.reason(), Some(h2::Reason::NO_ERROR));
        let early = timeout(Duration::ZERO, &mut slow).await;
        assert!(early.is_err(), "it is still under way");
        assert_eq!(slow.await.expect("ran").expect("an answer").status(), 200);
        drop(requests);
        connection.await.expect("ran").expect("a good end");
    });
    is_sent.await.expect("sent");
    task.stop();
    timeout(PATIENCE, client).await.expect("in time").expect("all as asserted");
    let result = stopped(&task).await;
    assert_eq!(result.container("api-1").expect("it").exit_code, Some(0));
}

#[tokio::test]
async fn a_connection_that_asks_nothing_more_holds_a_drain_up_only_for_a_while() {
    let lan = Lan::new().expect("a network");
    let (task, spec) = start_for(&lan, Kind::Tcp, "api-1", &["--term", "drain"]).await;
    let load = Load::start(lan.hub(), spec.connections(1));
    timeout(PATIENCE, load.wait_ok(1)).await.expect("it answers");
    load.pause();
    // Whichever is under way ends first, so that TERM finds the connection idle.
    let mut last = load.report().ok;
    loop {
        sleep(Duration::from_millis(50)).await;
        let now = load.report().ok;
        if now == last {
            break;
        }
        last = now;
    }
    task.stop();
    let result = stopped(&task).await;
    let app = result.container("api-1").expect("it");
    assert_eq!((app.exit_code, app.killed), (Some(0), false));
    assert_eq!(app.output.last().expect("a line").text, "1 connections asked nothing more");
}

#[tokio::test]
async fn an_app_that_lingers_serves_on_and_then_drains() {
    let lan = Lan::new().expect("a network");
    for kind in [Kind::Http1, Kind::Tcp] {
        let name = format!("api-{kind:?}").to_lowercase();
        let (task, spec) =
            start_for(&lan, kind, &name, &["--term", "linger", "--linger", "1500ms"]).await;
        let app = task.container(&name).expect("it").clone();
        let begun = Instant::now();
        task.stop();
        app.wait_line("TERM").await.expect("told");
        // New connections, too.
        let load = Load::start(lan.hub(), spec.connections(2));
        timeout(PATIENCE, load.wait_ok(20)).await.expect("it answers after TERM");
        load.pause();
        let result = stopped(&task).await;
        let app = result.container(&name).expect("it");
        assert_eq!((app.exit_code, app.killed), (Some(0), false));
        assert!(begun.elapsed() >= Duration::from_millis(1500), "{:?}", begun.elapsed());
        let report = load.report();
        assert_eq!((report.failed, report.closed_by_app), (0, 0), "{kind:?}: {report}");
    }
}
