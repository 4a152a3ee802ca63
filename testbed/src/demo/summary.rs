//! The tables at the end.

use taskmesh::timeline::{Event, Timeline};

use super::Protocol;
use super::files::{Folder, HTML, SVG, timeline_file};
use super::order::violations;
use super::scenario::{Ended, Outcome, STAYS, STOPPED, Traffic};
use crate::screen::Screen;

/// All of it.
pub(super) fn show(outcome: &Outcome, folder: &Folder, protocol: Protocol, screen: Screen) {
    screen.step("Tasks");
    let head = ["", "ready", "offered", "drained", "stopped", "exit", "in order"];
    screen.dim(&task_row(head.map(str::to_owned)));
    for task in &outcome.tasks {
        screen.line(&task_row(task_cells(task, protocol)));
    }
    screen.step("Requests");
    for (i, line) in traffic_lines(&outcome.traffic).into_iter().enumerate() {
        if i == 0 { screen.dim(&line) } else { screen.line(&line) }
    }
    if let Some(last) = outcome.traffic.last_answer {
        screen.line(&format!(
            "  {STOPPED}'s last answer came {:.0} ms after its stop was noticed",
            last.as_secs_f64() * 1000.0
        ));
    }
    if protocol == Protocol::Tcp {
        screen.line("  tcp: what is under way on a connection when its app ends is lost");
    }
    screen.step("Pictures");
    screen.line(&format!("  {}    all tasks as lanes", folder.show(SVG)));
    screen.line(&format!("  {}   the same with a table per task", folder.show(HTML)));
    screen.step("What to look at next");
    for (command, what) in [
        (
            format!("cargo run -q -- timeline {}", folder.show(&timeline_file(STOPPED))),
            "one task's table",
        ),
        (folder.show(&format!("{STOPPED}-taskmesh.log")), "its whole log"),
        ("make demo DEMO_ARGS=\"--keep 60s\"".to_owned(), "time to look inside"),
        ("make demo DEMO_ARGS=\"--protocol tcp\"".to_owned(), "another stop order"),
    ] {
        screen.line(&format!("  {command:<47}  {what}"));
    }
}

fn task_row([name, ready, offered, drained, stopped, exit, order]: [String; 7]) -> String {
    format!("  {name:<8}{ready:>10}{offered:>11}{drained:>13}{stopped:>11}{exit:>6}   {order}")
        .trim_end()
        .to_owned()
}

fn task_cells(task: &Ended, protocol: Protocol) -> [String; 7] {
    let timeline = &task.timeline;
    let code = task.result.container("taskmesh").and_then(|container| container.exit_code);
    let order = match violations(timeline, protocol).len() {
        0 => "yes".to_owned(),
        n => format!("NO ({n})"),
    };
    [
        task.name.clone(),
        at(timeline, Event::Ready),
        at(timeline, Event::Offered),
        between(timeline, Event::StopNoticed, Event::InboundDrained),
        between(timeline, Event::StopNoticed, Event::AllExited),
        code.map_or("-".to_owned(), |code| code.to_string()),
        order,
    ]
}

/// Since the supervisor's exec, in whole ms; a dash if it did not happen.
fn at(timeline: &Timeline, event: Event) -> String {
    timeline.find(event).map_or("-".to_owned(), |record| format!("{:.0} ms", record.ms))
}

/// In whole ms; a dash if one of them did not happen.
fn between(timeline: &Timeline, from: Event, to: Event) -> String {
    match (timeline.find(from), timeline.find(to)) {
        (Some(from), Some(to)) => format!("{:.0} ms", to.ms - from.ms),
        _ => "-".to_owned(),
    }
}

fn traffic_lines(traffic: &Traffic) -> Vec<String> {
    let parts = [&traffic.before, &traffic.during, &traffic.after];
    let row = |name: &str, cells: [String; 3]| {
        let [before, during, after] = cells;
        format!("  {name:<16}{before:>18}{during:>18}{after:>18}")
    };
    let ms = |part: f64| {
        parts.map(|report| format!("{:.1} ms", report.latency(part).as_secs_f64() * 1000.0))
    };
    let to = |name: &str| {
        parts.map(|report| report.responders.get(name).copied().unwrap_or(0).to_string())
    };
    vec![
        row("", ["before", "during the stop", "after"].map(str::to_owned)),
        row("time", parts.map(|report| format!("{:.1} s", report.elapsed().as_secs_f64()))),
        row(&format!("to {STOPPED}"), to(STOPPED)),
        row(&format!("to {STAYS}"), to(STAYS)),
        row("failed", parts.map(|report| report.failed.to_string())),
        row("latency, median", ms(0.5)),
        row("latency, 99 %", ms(0.99)),
    ]
}
