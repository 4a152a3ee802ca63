//! What a container's check should say: judged from what the task metadata says of the container, from what it said
//! before, and from the time.
//!
//! | the metadata | the check |
//! |---|---|
//! | HEALTHY | passing |
//! | UNHEALTHY | critical; passing for `startGrace` if it was HEALTHY just before, in the same run |
//! | UNKNOWN, or a health without a status | critical |
//! | no health at all: the task definition has no health check | critical |
//! | stopped, or told to stop, while the task goes on | critical |
//! | the container is not listed | critical |
//! | cannot be read | as before for `staleAfter`, then critical |
//!
//! So only HEALTHY turns a check passing. It is never warning: a warning instance receives traffic.
//!
//! The words of a check are written anew only when its reason or the container's run changes: the agent sends an output
//! that differs to the servers (`local.State.UpdateCheck` in Consul: within minutes if only the output changed, at once
//! with the status). So they hold points of time, never an age, and a probe that prints the time does not move them.

use crate::ecs::{Container, HealthStatus, Status};
use std::time::Duration;

/// The most bytes of a probe's output that are shown; ECS keeps 1024, Consul 4096 of a check's whole output.
const PROBE_LIMIT: usize = 1024;

/// What the configuration says of it (`healthSync`).
#[derive(Debug, Clone, Copy)]
pub struct Rules {
    /// A check that is not refreshed for so long turns critical by itself.
    pub ttl: Duration,
    /// How long UNHEALTHY is not believed of a container that was HEALTHY.
    pub start_grace: Duration,
    /// How long the last word counts when no new one comes.
    pub stale_after: Duration,
}

/// There is no third.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Verdict {
    Passing,
    Critical,
}

/// What a check should say.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Word {
    pub(crate) verdict: Verdict,
    pub(crate) output: String,
}

/// What was seen of one container. All times are since one fixed instant.
#[derive(Debug, Default)]
pub(crate) struct History {
    /// `None`: the metadata was not read yet.
    seen: Option<Seen>,
    /// The run that was HEALTHY, and ever since nothing worse than UNHEALTHY.
    proven: Option<Run>,
    /// Since when the proven run is UNHEALTHY.
    unhealthy_at: Option<Duration>,
    word: Option<(Key, Word)>,
}

#[derive(Debug)]
struct Seen {
    at: Duration,
    state: State,
    /// `None`: not listed.
    container: Option<Container>,
}

/// What the metadata says of a container.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    Missing,
    Stopped,
    NoCheck,
    Unknown,
    Unhealthy,
    Healthy,
}

/// Why a check says what it says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Reason {
    Is(State),
    /// UNHEALTHY, and not believed yet.
    Grace,
    /// The last state, and nothing since.
    Stale(State),
}

/// One run of a container: one of a restart policy keeps the ID.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Run {
    docker_id: String,
    started_at: Option<String>,
    restarts: Option<u32>,
}

type Key = (Reason, Option<Run>);

impl History {
    /// Takes what a read of the metadata, begun `at`, says of the container; `None`: it is not listed. A read that was
    /// taken before is no news, however often it is told.
    pub(crate) fn observe(&mut self, container: Option<&Container>, rules: &Rules, at: Duration) {
        if self.seen.as_ref().is_some_and(|seen| seen.at >= at) {
            return;
        }
        if self.is_stale(rules, at) {
            self.forget();
        }
        let state = container.map_or(State::Missing, State::of);
        match (state, container.map(Run::of)) {
            (State::Healthy, run) => {
                self.proven = run;
                self.unhealthy_at = None;
            }
            (State::Unhealthy, run) if self.proven.is_some() && self.proven == run => {
                self.unhealthy_at.get_or_insert(at);
            }
            _ => self.forget(),
        }
        self.seen = Some(Seen { at, state, container: container.cloned() });
    }

    /// What the check `check_id` of the container `name` should say now; `None` before the first read.
    pub(crate) fn word(
        &mut self,
        name: &str,
        check_id: &str,
        rules: &Rules,
        now: Duration,
    ) -> Option<&Word> {
        if self.is_stale(rules, now) {
            self.forget();
        }
        let seen = self.seen.as_ref()?;
        let reason = self.reason(seen, rules, now);
        let key = (reason, seen.container.as_ref().map(Run::of));
        if self.word.as_ref().is_none_or(|(last, _)| *last != key) {
            let output = reason.output(seen.container.as_ref(), name, check_id, rules);
            self.word = Some((key, Word { verdict: reason.verdict(), output }));
        }
        self.word.as_ref().map(|(_, word)| word)
    }

    fn reason(&self, seen: &Seen, rules: &Rules, now: Duration) -> Reason {
        if self.is_stale(rules, now) {
            return Reason::Stale(seen.state);
        }
        let bears_with_it =
            self.unhealthy_at.is_some_and(|at| now.saturating_sub(at) < rules.start_grace);
        if seen.state == State::Unhealthy && bears_with_it {
            return Reason::Grace;
        }
        Reason::Is(seen.state)
    }

    fn is_stale(&self, rules: &Rules, now: Duration) -> bool {
        self.seen.as_ref().is_some_and(|seen| now.saturating_sub(seen.at) > rules.stale_after)
    }

    /// What the container was proves nothing any more: it has to be HEALTHY again.
    fn forget(&mut self) {
        self.proven = None;
        self.unhealthy_at = None;
    }
}

impl State {
    fn of(container: &Container) -> Self {
        // The last health stays in the metadata when a container has stopped.
        if [container.known_status, container.desired_status].contains(&Status::Stopped) {
            return State::Stopped;
        }
        match container.health_status() {
            None => State::NoCheck,
            Some(HealthStatus::Unknown) => State::Unknown,
            Some(HealthStatus::Unhealthy) => State::Unhealthy,
            Some(HealthStatus::Healthy) => State::Healthy,
        }
    }

    /// In the sentence of 0.4.3.
    fn name(self) -> &'static str {
        match self {
            State::Missing => "MISSING",
            State::Stopped => "STOPPED",
            State::NoCheck | State::Unknown => "UNKNOWN",
            State::Unhealthy => "UNHEALTHY",
            State::Healthy => "HEALTHY",
        }
    }
}

impl Run {
    fn of(container: &Container) -> Self {
        Self {
            docker_id: container.docker_id.clone(),
            started_at: container.started_at.clone(),
            restarts: container.restart_count,
        }
    }
}

impl Reason {
    fn verdict(self) -> Verdict {
        match self {
            Reason::Is(State::Healthy) | Reason::Grace => Verdict::Passing,
            Reason::Is(_) | Reason::Stale(_) => Verdict::Critical,
        }
    }

    /// Begins with the sentence of 0.4.3, by which operators search.
    fn output(
        self,
        container: Option<&Container>,
        name: &str,
        check_id: &str,
        rules: &Rules,
    ) -> String {
        let (status, state) = match self {
            Reason::Is(state) => (state.name(), state),
            Reason::Grace => (State::Unhealthy.name(), State::Unhealthy),
            Reason::Stale(state) => ("STALE", state),
        };
        let mut text = format!(
            "ECS health status is \"{status}\" for task \"{check_id}\": container {name} {}",
            state.told_of(container)
        );
        match self {
            Reason::Is(_) => {}
            Reason::Grace => text.push_str(&format!(
                "; it was HEALTHY, and stays passing for healthSync.startGrace ({})",
                humantime::format_duration(rules.start_grace)
            )),
            Reason::Stale(_) => text.push_str(&format!(
                "; since then the task metadata could not be read for healthSync.staleAfter ({})",
                humantime::format_duration(rules.stale_after)
            )),
        }
        text
    }
}

impl State {
    /// What the metadata says, in words.
    fn told_of(self, container: Option<&Container>) -> String {
        let since = |time: &Option<String>, word: &str| {
            time.as_ref().map(|time| format!(" {word} {}", plain(time))).unwrap_or_default()
        };
        let health = container.and_then(|container| container.health.clone()).unwrap_or_default();
        match self {
            State::Missing => "is not in the task's metadata".to_owned(),
            State::NoCheck => "has no healthCheck in the task definition".to_owned(),
            State::Stopped => {
                let Some(c) = container.filter(|c| c.known_status == Status::Stopped) else {
                    return "is being stopped".to_owned();
                };
                let code = c.exit_code.map(|code| format!(" (exit code {code})"));
                format!("has stopped{}{}", since(&c.finished_at, "at"), code.unwrap_or_default())
            }
            State::Unknown => {
                format!("has no health status{}", since(&health.status_since, "since"))
            }
            State::Unhealthy | State::Healthy => {
                let mut text =
                    format!("is {}{}", self.name(), since(&health.status_since, "since"));
                // After a recovery the metadata still holds the exit code of the failure.
                let code = health.exit_code.filter(|_| self == State::Unhealthy);
                if let Some(code) = code {
                    text.push_str(&format!("; probe: exit code {code}"));
                }
                let output = health.output.as_deref().map(plain).filter(|text| !text.is_empty());
                if let Some(output) = output {
                    text.push_str(if code.is_some() { ", output: " } else { "; probe: output: " });
                    text.push_str(&output);
                }
                text
            }
        }
    }
}

/// Foreign text on one line, with nothing that a terminal obeys, and not too long.
fn plain(text: &str) -> String {
    let mut out = String::new();
    for word in text.split(|c: char| c.is_whitespace()).filter(|word| !word.is_empty()) {
        if !out.is_empty() {
            out.push(' ');
        }
        // Overrides of the direction of text are no control characters, and can turn a line around.
        let obeyed = |c: char| {
            c.is_control()
                || matches!(c, '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
        };
        out.extend(word.chars().map(|c| if obeyed(c) { char::REPLACEMENT_CHARACTER } else { c }));
    }
    if out.len() > PROBE_LIMIT {
        let end = (0..=PROBE_LIMIT).rev().find(|i| out.is_char_boundary(*i)).unwrap_or(0);
        out.truncate(end);
        out.push('…');
    }
    out
}

#[cfg(test)]
#[path = "health_tests.rs"]
mod tests;
