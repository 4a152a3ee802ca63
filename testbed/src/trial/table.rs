//! The table of outcomes: for a terminal of 80 columns, and as Markdown.

use std::fmt::Write as _;
use std::time::Duration;

use super::outcome::{Outcome, Stop};

/// The columns' heads.
const HEAD: [&str; 7] = ["scenario", "requests", "failed", "p50", "p99", "let go", "exited"];

/// The head for the terminal.
pub(super) fn head() -> String {
    line(&HEAD.map(str::to_owned), "")
}

/// One outcome for the terminal.
pub(super) fn row(outcome: &Outcome) -> String {
    let verdict = match (outcome.problems().is_empty(), outcome.scenario.promise.why()) {
        (false, _) => "WRONG",
        (true, None) => "ok",
        (true, Some(_)) => "told",
    };
    line(&cells(outcome), verdict)
}

fn line([name, requests, failed, p50, p99, gone, exited]: &[String; 7], verdict: &str) -> String {
    format!(
        "  {name:<16} {requests:>8} {failed:>6} {p50:>8} {p99:>8} {gone:>8} {exited:>8}  {verdict}"
    )
    .trim_end()
    .to_owned()
}

fn cells(outcome: &Outcome) -> [String; 7] {
    let latency = |part: f64| match outcome.report.ok {
        0 => "-".to_owned(),
        _ => format!("{:.1} ms", outcome.report.latency(part).as_secs_f64() * 1000.0),
    };
    [
        outcome.scenario.name.to_owned(),
        outcome.requests().to_string(),
        outcome.failed().to_string(),
        latency(0.5),
        latency(0.99),
        seconds(median(outcome, Stop::noticed_for)),
        seconds(median(outcome, |stop| stop.took)),
    ]
}

fn median(outcome: &Outcome, of: fn(&Stop) -> Duration) -> Duration {
    let mut all: Vec<_> = outcome.stops.iter().map(of).collect();
    all.sort_unstable();
    all.get(all.len() / 2).copied().unwrap_or_default()
}

fn seconds(time: Duration) -> String {
    format!("{:.2} s", time.as_secs_f64())
}

/// What the columns are, for the terminal.
pub(super) const LEGEND: [&str; 4] = [
    "requests   all of a scenario, before, during and between its stops",
    "let go     median from ECS's word to the exit of the task's Envoy",
    "exited     the same to the exit of the helper: with it the agent's leave",
    "told       some are lost for a reason that taskmesh cannot take away",
];

/// A document of all outcomes. `parts` names the programs, `picture` the picture's file.
pub(super) fn markdown(outcomes: &[Outcome], parts: &str, picture: &str) -> String {
    let mut out = String::new();
    let mut add = |line: &str| writeln!(out, "{line}").unwrap_or_default();
    add("# Stops under load");
    add("");
    add(
        "Made by `make load`; do not edit. Each row is a scenario: a client on the downstream task's host sends requests",
    );
    add(
        "through two Envoys to the tasks of `api`, a closed loop on 8 connections (or 2 with 4 streams each), while these",
    );
    add(
        "tasks are stopped and replaced. Nothing sends a request again: no client, no app, no Envoy.",
    );
    add("");
    add(parts);
    add("");
    add(&format!("![Requests a second around each stop, and those that failed]({picture})"));
    add("");
    add("| scenario | | stops | requests | failed | p50 | p99 | let go | exited |");
    add("|---|---|--:|--:|--:|--:|--:|--:|--:|");
    for outcome in outcomes {
        let [name, requests, failed, p50, p99, gone, exited] = cells(outcome);
        add(&format!(
            "| `{name}` | {} | {} | {requests} | {failed} | {p50} | {p99} | {gone} | {exited} |",
            outcome.scenario.about,
            outcome.stops.len(),
        ));
    }
    add("");
    add(
        "*let go*: median time from ECS's word to the exit of the task's Envoy, until which the app may call others.",
    );
    add(
        "*exited*: the same to the exit of the helper, with the agent's leave. In both the app's own time is contained.",
    );
    let told: Vec<_> =
        outcomes.iter().filter_map(|o| Some((o, o.scenario.promise.why()?))).collect();
    if !told.is_empty() {
        add("");
        add("Where requests are lost, and why:");
        add("");
        for (outcome, why) in told {
            let reasons: Vec<_> =
                outcome.reasons().iter().map(|(reason, n)| format!("{n} x `{reason}`")).collect();
            let reasons =
                if reasons.is_empty() { "none here".to_owned() } else { reasons.join(", ") };
            add(&format!("- `{}`: {why} ({reasons}).", outcome.scenario.name));
        }
    }
    out
}
