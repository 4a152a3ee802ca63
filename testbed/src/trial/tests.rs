//! The verdicts: what was promised and not kept is named, and what is shown fits where it is shown.

use std::collections::BTreeMap;
use std::time::Duration;

use taskmesh::timeline::Event;
use tokio::time::Instant;

use super::outcome::{Calls, Outcome, Stop};
use super::scenario::{Scenario, all, named};
use super::{picture, table};
use crate::ecs::{ContainerResult, StopOrder, TaskResult};
use crate::load::{LoadReport, RequestError};

fn ms(ms: u64) -> Duration {
    Duration::from_millis(ms)
}

fn scenario(name: &str) -> Scenario {
    named(&[name.to_owned()]).expect("there").remove(0)
}

fn container(name: &str, exit_code: i32) -> ContainerResult {
    ContainerResult {
        name: name.to_owned(),
        exit_code: Some(exit_code),
        started_at: None,
        signalled_at: None,
        finished_at: None,
        killed: false,
        output: Vec::new(),
    }
}

/// A stop in order, 1 s after `begun`, as the http scenarios have it.
fn stop(begun: Instant, during: LoadReport) -> Stop {
    use Event::*;
    let order = [
        StopNoticed,
        SyncStopped,
        ChecksCritical,
        PeersUpdated,
        InboundDrained,
        AppsReleased,
        AppsStopped,
        EnvoyExited,
        AgentLeft,
        AllExited,
    ];
    let events = order.into_iter().zip(1..).map(|(event, n)| (event, ms(100 * n))).collect();
    let containers = vec![container("taskmesh", 0), container("app", 0)];
    Stop {
        task: "api-1".to_owned(),
        order: StopOrder::AllAtOnce,
        at: begun + ms(1000),
        during,
        long: None,
        took: ms(4500),
        events,
        result: TaskResult { stop_reason: String::new(), containers },
        calls: None,
    }
}

/// One stop; requests failed at these ms after it.
fn outcome(name: &str, failures: &[u64]) -> Outcome {
    let begun = Instant::now();
    let at = begun + ms(1000);
    let mut report = LoadReport::new(begun);
    for n in 0..900 {
        let answered = begun + ms(n * 2);
        report.success(if n % 2 == 0 { "api-1" } else { "api-2" }, begun + ms(n * 2 - n), answered);
    }
    let before = report.clone();
    for failure in failures {
        report.failure(&RequestError::Timeout, at + ms(*failure));
    }
    let during = report.since(&before);
    Outcome { scenario: scenario(name), report, stops: vec![stop(begun, during)] }
}

fn problems(outcome: &Outcome) -> String {
    outcome.problems().join("; ")
}

#[test]
fn a_stop_in_order_that_loses_nothing_is_as_promised() {
    assert_eq!(problems(&outcome("http1", &[])), "");
}

#[test]
fn one_lost_request_breaks_the_promise_and_its_reason_is_told() {
    let said = problems(&outcome("http1", &[200]));
    let name = "api-1 (AllAtOnce)";
    assert_eq!(said, format!("{name}: 1 requests failed; failures: 1 x timeout"));
    let mut outside = outcome("http1", &[]);
    outside.report.failure(&RequestError::Timeout, Instant::now());
    assert!(problems(&outside).starts_with("1 requests failed outside the stops"), "{outside:?}");
}

#[test]
fn what_cannot_be_helped_is_bounded_by_number_or_by_time() {
    let tcp = |lost| problems(&outcome("tcp-cut", &vec![5; lost]));
    assert_eq!(tcp(8), "");
    assert!(tcp(9).contains("9 requests failed, 8 are unavoidable"), "{}", tcp(9));
    let unwrapped = |failures: &[u64]| {
        let mut outcome = outcome("unwrapped", failures);
        outcome.stops[0].events.remove(&Event::PeersUpdated);
        problems(&outcome)
    };
    assert_eq!(unwrapped(&[1, 1800]), "");
    assert!(unwrapped(&[1, 1801]).contains("when peers had long heard of it"));
}

#[test]
fn a_life_out_of_order_is_named() {
    let changed_by = |change: fn(&mut Stop)| {
        let mut outcome = outcome("http1", &[]);
        change(&mut outcome.stops[0]);
        problems(&outcome)
    };
    for (said, changed) in [
        (
            "no apps-released",
            changed_by(|s| {
                s.events.remove(&Event::AppsReleased);
            }),
        ),
        (
            "killed",
            changed_by(|s| {
                s.events.insert(Event::Killed, ms(1));
            }),
        ),
        (
            "deadline",
            changed_by(|s| {
                s.events.insert(Event::Deadline, ms(1));
            }),
        ),
        ("app was killed by ECS", changed_by(|s| s.result.containers[1].killed = true)),
        (
            "exit code of taskmesh: 4, not 0",
            changed_by(|s| s.result.containers[0].exit_code = Some(4)),
        ),
        ("it answered no request", changed_by(|s| s.task = "api-9".to_owned())),
        (
            "envoy-exited too early",
            changed_by(|s| {
                s.events.insert(Event::EnvoyExited, ms(1));
            }),
        ),
    ] {
        assert!(changed.contains(said), "{said}: {changed:?}");
    }
}

#[test]
fn calls_of_the_stopping_task_are_what_counts_where_it_is_the_client() {
    let called = |failed, after_term| {
        let mut outcome = outcome("calls", &[]);
        outcome.report = LoadReport::new(Instant::now());
        outcome.stops[0].events.remove(&Event::InboundDrained);
        let reasons = BTreeMap::new();
        outcome.stops[0].calls = Some(Calls { calls: 50, failed, after_term, reasons });
        outcome
    };
    assert_eq!(problems(&called(0, 20)), "");
    assert_eq!((called(0, 20).requests(), called(3, 20).failed()), (50, 3));
    assert!(problems(&called(3, 20)).contains("3 requests failed"));
    assert!(problems(&called(0, 0)).contains("no call after TERM"));
}

#[test]
fn rows_fit_eighty_columns_and_the_document_tells_why_requests_are_lost() {
    for scenario in all() {
        let row = table::row(&outcome(scenario.name, &[]));
        assert!(row.chars().count() <= 80, "{row}");
        let listed = format!("  {:<17} {}", scenario.name, scenario.about);
        assert!(listed.chars().count() <= 80, "{listed}");
    }
    assert!(table::head().len() <= 80);
    let outcomes = [outcome("http1", &[]), outcome("unwrapped", &[10, 20])];
    let text = table::markdown(&outcomes, "Consul 1", "load.svg");
    assert!(text.contains("| `http1` | HTTP/1.1, kept connections | 1 | 900 | 0 |"), "{text}");
    assert!(text.contains("before its peers can know (2 x `timeout`)"), "{text}");
}

#[test]
fn every_failure_is_seen_in_the_picture() {
    let rects = |failures: &[u64]| {
        let picture = picture::svg(&[outcome("http1", failures)]);
        assert!(picture.starts_with("<svg") && picture.ends_with("</svg>\n"));
        // One is the legend's.
        picture.matches("<rect class=\"lost\"").count() - 1
    };
    assert_eq!(rects(&[]), 0);
    assert_eq!(rects(&[10, 12, 300]), 2, "two in one slot");
    let picture = picture::svg(&[outcome("http1", &[])]);
    for words in ["critical", "servers know", "app may end", "Envoy gone", "0 of 900 failed"] {
        assert!(picture.contains(words), "{words}");
    }
}
