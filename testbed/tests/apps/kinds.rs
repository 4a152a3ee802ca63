//! Each kind of load, against an app that serves and one that ends abruptly.

use std::time::Duration;

use testbed::load::{Kind, Load, LoadSpec};
use testbed::net::Lan;
use tokio::time::{sleep, timeout};

use crate::support::json_of;
use crate::{KINDS, PATIENCE, failures_of_an_end, load, start, start_for, stopped};

#[tokio::test]
async fn one_port_answers_http1_http2_and_grpc() {
    let lan = Lan::new().expect("a network");
    let (_task, authority) = start(&lan, "http", "api-1", &[]).await;
    let mut answered = 0;
    for kind in [Kind::Http1, Kind::Http2, Kind::Grpc] {
        let load = Load::start(lan.hub(), load(kind, &authority).connections(2).streams(3));
        timeout(PATIENCE, load.wait_ok(20)).await.expect("it answers");
        let report = load.stop().await;
        assert_eq!((report.failed, report.responders["api-1"]), (0, report.ok), "{report}");
        if kind == Kind::Grpc {
            assert!(report.latency(0.0) >= Duration::from_millis(40), "five messages: {report}");
        }
        answered += report.ok;
    }
    // The app has counted all of them.
    let last = json_of(lan.hub(), &format!("http://{authority}/")).await;
    assert_eq!(last["n"], answered + 1);
}

#[tokio::test]
async fn lines_are_answered() {
    let lan = Lan::new().expect("a network");
    let (_task, spec) = start_for(&lan, Kind::Tcp, "api-1", &[]).await;
    let load = Load::start(lan.hub(), spec.connections(3));
    timeout(PATIENCE, load.wait_ok(20)).await.expect("it answers");
    let report = load.stop().await;
    assert_eq!((report.failed, report.closed_by_app), (0, 0), "{report}");
    assert_eq!(report.responders["api-1"], report.ok);
}

#[tokio::test]
async fn grpc_sees_the_status_of_the_http_below() {
    let lan = Lan::new().expect("a network");
    let (_task, authority) = start(&lan, "http", "api-1", &[]).await;
    let url = format!("http://{authority}/testbed.Echo/Stream?messages=many");
    let spec = LoadSpec::new(&url).and_then(|spec| spec.kind(Kind::Grpc));
    let load = Load::start(lan.hub(), spec.expect("a url").connections(1));
    has_failed(&load).await;
    let report = load.stop().await;
    assert!(report.reasons.keys().all(|reason| reason.starts_with("status 400 (")), "{report}");
    assert_eq!(report.ok, 0);
}

async fn has_failed(load: &Load) {
    let failed = async {
        while load.report().failed == 0 {
            sleep(Duration::from_millis(5)).await;
        }
    };
    timeout(PATIENCE, failed).await.expect("it fails");
}

#[tokio::test]
async fn an_abrupt_end_is_a_failure_of_every_kind() {
    let lan = Lan::new().expect("a network");
    for (kind, stage) in KINDS.into_iter().zip(["head: ", "head: ", "head: ", "cut: "]) {
        let name = format!("api-{kind:?}").to_lowercase();
        let (task, spec) = start_for(&lan, kind, &name, &["--delay", "300ms"]).await;
        let load = Load::start(lan.hub(), spec.connections(2).streams(2));
        timeout(PATIENCE, load.wait_ok(4)).await.expect("it answers");
        task.stop();
        stopped(&task).await;
        failures_of_an_end(&load, stage).await;
        let report = load.stop().await;
        assert!(report.reasons.len() <= 3, "few reasons: {report}");
    }
}

#[tokio::test]
async fn a_grpc_stream_that_is_cut_is_a_failure() {
    let lan = Lan::new().expect("a network");
    let (task, authority) = start(&lan, "http", "api-1", &[]).await;
    // One message comes, the next never.
    let url = format!("http://{authority}/testbed.Echo/Stream?messages=2&every=1h");
    let spec = LoadSpec::new(&url).and_then(|spec| spec.kind(Kind::Grpc));
    let load = Load::start(lan.hub(), spec.expect("a url").connections(1));
    // The app counts a call when it answers its head: then it has counted more than ours.
    let begun = async {
        let mut ours = 1;
        while json_of(lan.hub(), &format!("http://{authority}/")).await["n"] == ours {
            ours += 1;
            sleep(Duration::from_millis(5)).await;
        }
    };
    timeout(PATIENCE, begun).await.expect("a call");
    task.stop();
    stopped(&task).await;
    has_failed(&load).await;
    let report = load.report();
    assert!(report.failures[0].reason.starts_with("body: "), "{report}");
    assert_eq!(report.ok, 0);
}
