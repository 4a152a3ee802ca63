//! What has to be true of the whole run.

use super::Protocol;
use super::order::violations;
use super::scenario::{Ended, Outcome, STAYS, STOPPED, Traffic};

/// What was wrong, in words. Empty: nothing.
pub(super) fn problems(outcome: &Outcome, protocol: Protocol) -> Vec<String> {
    let mut found: Vec<String> =
        outcome.tasks.iter().flat_map(|task| of_task(task, protocol)).collect();
    found.extend(of_traffic(&outcome.traffic, protocol));
    found.extend(outcome.remembered.iter().map(|id| format!("the servers still know {id}")));
    found
}

fn of_task(task: &Ended, protocol: Protocol) -> Vec<String> {
    let name = &task.name;
    let mut found: Vec<String> = violations(&task.timeline, protocol)
        .into_iter()
        .map(|what| format!("{name}: timeline: {what}"))
        .collect();
    for container in &task.result.containers {
        if container.exit_code != Some(0) {
            let code = container.exit_code.map_or("none".to_owned(), |code| code.to_string());
            found.push(format!("{name}: exit code of {}: {code}", container.name));
        }
        if container.killed {
            found.push(format!("{name}: {} had to be killed", container.name));
        }
    }
    found
}

fn of_traffic(traffic: &Traffic, protocol: Protocol) -> Vec<String> {
    let Traffic { before, during, after, .. } = traffic;
    let mut found = Vec::new();
    let answered = |report: &crate::load::LoadReport, name: &str| {
        report.responders.get(name).copied().unwrap_or(0)
    };
    for (when, report, name) in [
        ("before the stop", before, STOPPED),
        ("before the stop", before, STAYS),
        ("during the stop", during, STAYS),
        ("after the stop", after, STAYS),
    ] {
        if answered(report, name) == 0 {
            found.push(format!("{name} answered no request {when}"));
        }
    }
    if answered(after, STOPPED) > 0 {
        found.push(format!("{STOPPED} answered requests after its stop"));
    }
    for (when, report) in [("before", before), ("during", during), ("after", after)] {
        // Only the app can end a tcp connection: what is under way on it is lost with the app.
        let promised = protocol == Protocol::Http || when != "during";
        if report.failed > 0 && promised {
            let reasons: Vec<_> =
                report.reasons.iter().map(|(reason, n)| format!("{n} x {reason}")).collect();
            found.push(format!("requests failed {when} the stop: {}", reasons.join(", ")));
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use tokio::time::Instant;

    use super::*;
    use crate::load::LoadReport;

    fn report(stopped: u64, stays: u64, failed: u64) -> LoadReport {
        let mut report = LoadReport::new(Instant::now());
        let all = [(STOPPED, stopped), (STAYS, stays)];
        let some = all.iter().filter(|(_, n)| *n > 0);
        report.responders = some.map(|(name, n)| ((*name).to_owned(), *n)).collect();
        report.failed = failed;
        if failed > 0 {
            report.reasons = BTreeMap::from([("status 503".to_owned(), failed)]);
        }
        report
    }

    fn said(parts: [LoadReport; 3], protocol: Protocol) -> Vec<String> {
        let [before, during, after] = parts;
        of_traffic(&Traffic { before, during, after, last_answer: None }, protocol)
    }

    #[test]
    fn requests_that_flowed_are_fine_whether_or_not_the_stopped_task_got_any_during_its_stop() {
        for during in [0, 7] {
            let parts = [report(5, 5, 0), report(during, 9, 0), report(0, 9, 0)];
            assert_eq!(said(parts, Protocol::Http), [""; 0]);
        }
    }

    #[test]
    fn a_task_that_got_nothing_or_too_much_is_named() {
        let parts = [report(0, 5, 0), report(0, 0, 0), report(1, 0, 0)];
        assert_eq!(
            said(parts, Protocol::Http),
            [
                "api-1 answered no request before the stop",
                "api-2 answered no request during the stop",
                "api-2 answered no request after the stop",
                "api-1 answered requests after its stop",
            ]
        );
    }

    #[test]
    fn a_lost_request_counts_except_during_a_tcp_stop() {
        let parts = || [report(5, 5, 0), report(1, 9, 2), report(0, 9, 0)];
        let lost = "requests failed during the stop: 2 x status 503";
        assert_eq!(said(parts(), Protocol::Http), [lost]);
        assert_eq!(said(parts(), Protocol::Tcp), [""; 0]);
        let early = [report(5, 5, 1), report(1, 9, 0), report(0, 9, 0)];
        assert_eq!(said(early, Protocol::Tcp).len(), 1);
    }
}
