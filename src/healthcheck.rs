//! `taskmesh healthcheck` and `taskmesh status`: one blocking question to the supervisor, no runtime, no TLS.
//! ECS runs the health check every few seconds in every task, so it must cost next to nothing.

use crate::admin::{DEFAULT_ADDR, PendingView, ReadyView, StatusView, parse_addr};
use crate::exit;
use crate::wrapper::client::ask;
use serde::de::DeserializeOwned;
use std::fmt::Write as _;
use std::io::Write as _;
use std::net::SocketAddr;
use std::time::Duration;

/// ECS's own least timeout of a health check is 2 s.
const LIMIT: Duration = Duration::from_secs(2);

/// A terminal's width.
const WIDTH: usize = 80;

/// Arguments of `taskmesh healthcheck` and `taskmesh status`.
#[derive(Debug, Clone, clap::Args)]
pub struct Args {
    /// The supervisor's admin address
    #[arg(long, value_name = "ADDR", env = "TASKMESH_ADMIN", default_value = DEFAULT_ADDR, value_parser = parse_addr)]
    pub admin: SocketAddr,
}

/// `taskmesh healthcheck`: 0 from the first T2 until the supervisor gives up, else 1 and the first pending latch.
pub fn run(args: &Args) -> u8 {
    let (code, said) = match fetch::<ReadyView>(args.admin, "/ready") {
        Ok(view) => verdict(&view),
        Err(why) => (exit::COULD_NOT_START, why),
    };
    print(&format!("{said}\n"));
    code
}

/// `taskmesh status`: what the supervisor does, for people; 1 if there is none.
pub fn status(args: &Args) -> u8 {
    match fetch::<StatusView>(args.admin, "/v1/status") {
        Ok(view) => {
            print(&page(&view));
            exit::OK
        }
        Err(why) => {
            writeln!(std::io::stderr(), "taskmesh status: {why}").ok();
            exit::COULD_NOT_START
        }
    }
}

/// The answer counts, whatever its status: `/ready` says "not ready" with a 503.
fn fetch<T: DeserializeOwned>(admin: SocketAddr, path: &str) -> Result<T, String> {
    let reply =
        ask(admin, path, LIMIT).map_err(|e| format!("no supervisor answers at {admin}: {e}"))?;
    serde_json::from_slice(&reply.body).map_err(|_| {
        format!("what answers at {admin} is not a taskmesh supervisor (HTTP {})", reply.status)
    })
}

/// A closed stdout must not turn a healthy container into a failed check.
fn print(text: &str) {
    std::io::stdout().write_all(text.as_bytes()).ok();
}

fn verdict(view: &ReadyView) -> (u8, String) {
    match (view.healthy, view.pending.first()) {
        (true, _) if view.ready => (exit::OK, "ready".to_owned()),
        (true, _) => (exit::OK, format!("healthy, not ready: {}", reason(view))),
        (false, _) => (exit::COULD_NOT_START, reason(view)),
    }
}

fn reason(view: &ReadyView) -> String {
    match view.pending.first() {
        Some(latch) => format!("pending: {}", held(latch)),
        None => view.phase.clone(),
    }
}

fn held(latch: &PendingView) -> String {
    let reason = latch.reason.as_ref().map(|r| format!(": {r}")).unwrap_or_default();
    format!("{} ({:.1} s){reason}", latch.latch, latch.for_seconds)
}

/// At most 80 columns wide: a label, then words that go on under themselves.
fn page(view: &StatusView) -> String {
    let mut out = String::new();
    let ready = match (view.ready, view.healthy) {
        (true, _) => "ready",
        (false, true) => "healthy, not ready",
        (false, false) => "not ready",
    };
    let up = humantime::format_duration(Duration::from_secs(view.up_seconds as u64));
    row(&mut out, "state", &format!("{}, {ready}, up {up}", view.phase));
    if !view.task.is_empty() {
        row(&mut out, "task", &view.task);
    }
    if !view.service_id.is_empty() {
        row(&mut out, "service", &view.service_id);
    }
    rows(&mut out, "pending", view.pending.iter().map(held));
    rows(
        &mut out,
        "problem",
        view.problems.iter().map(|p| format!("{}: {} ({:.1} s)", p.what, p.why, p.for_seconds)),
    );
    rows(
        &mut out,
        "child",
        view.children.iter().map(|c| {
            let pid = c.pid.map(|pid| format!(", pid {pid}")).unwrap_or_default();
            let exit = c.last_exit.as_ref().map(|e| format!(", last {e}")).unwrap_or_default();
            format!("{:<8} {}{pid}, {} restarts{exit}", c.name, c.state, c.restarts)
        }),
    );
    rows(
        &mut out,
        "app",
        view.apps.iter().map(|a| {
            let code = a.exit_code.map(|c| format!(" with {c}")).unwrap_or_default();
            format!("{:<8} {}{code}", a.container, a.state)
        }),
    );
    if let Some(stop) = &view.stop {
        let left = stop.seconds_left.map(|s| format!(", {s:.1} s left")).unwrap_or_default();
        let awaiting = format!(
            "{} {:.1} s ago, awaiting {}{left}",
            stop.cause, stop.for_seconds, stop.awaiting
        );
        row(&mut out, "stop", &awaiting);
    }
    out
}

/// The label stands at the first row only.
fn rows(out: &mut String, label: &str, texts: impl Iterator<Item = String>) {
    for (i, text) in texts.enumerate() {
        row(out, if i == 0 { label } else { "" }, &text);
    }
}

fn row(out: &mut String, label: &str, text: &str) {
    const INDENT: usize = 9;
    let mut line = format!("{label:<INDENT$}");
    let mut used = 0;
    for word in text.split_inclusive(' ') {
        let width = word.trim_end().chars().count();
        if used > 0 && INDENT + used + width > WIDTH {
            writeln!(out, "{}", line.trim_end()).ok();
            line = " ".repeat(INDENT);
            used = 0;
        }
        line.push_str(word);
        used += word.chars().count();
    }
    writeln!(out, "{}", line.trim_end()).ok();
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::admin::{AppStatus, ChildStatus, Pending, Problem, Status, StopStatus};

    fn status() -> Status {
        Status {
            task: "arn:aws:ecs:eu-central-1:111122223333:task/prod/0123456789abcdef0123456789abcdef"
                .into(),
            service_id: "api-0123456789abcdef0123456789abcdef".into(),
            phase: "starting".into(),
            pending: vec![Pending {
                latch: "envoy listeners".into(),
                since_ms: 800.0,
                reason: None,
            }],
            children: vec![ChildStatus {
                name: "consul".into(),
                state: "up".into(),
                pid: Some(12),
                restarts: 1,
                last_exit: Some("code 1".into()),
            }],
            apps: vec![AppStatus {
                container: "app".into(),
                state: "exited".into(),
                exit_code: Some(3),
            }],
            problems: vec![Problem {
                what: "task metadata".into(),
                why: "HTTP 500 for GET /v4/0123/task, and before that a long row of words that does not fit"
                    .into(),
                since_ms: 0.0,
            }],
            stop: Some(StopStatus {
                cause: "api".into(),
                since_ms: 3000.0,
                awaiting: "apps-stopped".into(),
                seconds_left: Some(21.0),
            }),
            ..Status::default()
        }
    }

    #[test]
    fn the_verdict_names_the_first_latch_and_its_time() {
        let mut s = status();
        let not_yet = verdict(&ReadyView::new(&s, 4000.0));
        assert_eq!(not_yet, (1, "pending: envoy listeners (3.2 s)".into()));
        s.healthy = true;
        let (code, said) = verdict(&ReadyView::new(&s, 4000.0));
        assert_eq!(
            (code, said.as_str()),
            (0, "healthy, not ready: pending: envoy listeners (3.2 s)")
        );
        s.ready = true;
        assert_eq!(verdict(&ReadyView::new(&s, 4000.0)), (0, "ready".into()));
        let gave_up = Status { phase: "stopped".into(), ..Status::default() };
        assert_eq!(verdict(&ReadyView::new(&gave_up, 0.0)), (1, "stopped".into()));
    }

    #[test]
    fn the_page_fits_a_terminal_and_has_everything() {
        let page = page(&StatusView::new(&status(), 4000.0));
        for line in page.lines() {
            // An ARN is one word.
            let one_word = !line[9..].contains(' ');
            assert!(line.chars().count() <= WIDTH || one_word, "{line}");
        }
        for part in [
            "pending  envoy listeners (3.2 s)",
            "consul   up, pid 12, 1 restarts, last code 1",
            "app      exited with 3",
            "api 1.0 s ago, awaiting apps-stopped, 21.0 s left",
            "does not fit (4.0 s)",
        ] {
            assert!(page.contains(part), "no `{part}` in\n{page}");
        }
    }
}
