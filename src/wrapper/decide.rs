//! What the wrapper does about each event, without clock or I/O.

use crate::admin::Line;
use crate::exit;
use nix::sys::signal::Signal;
use std::time::Duration;

/// Something happened.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Event {
    /// The supervisor has our stream open.
    Attached,
    /// It said something.
    Line(Line),
    /// The stream is gone, or could not be opened: why, in words.
    Lost(String),
    /// The same, and it is known that nobody listens at the supervisor's address.
    Nobody(String),
    /// We got a signal.
    Signal(Signal),
    /// CMD runs.
    Spawned,
    /// CMD could not be started.
    SpawnFailed(u8),
    /// CMD has ended: its code, or 128+n.
    Ended(u8),
    /// `--wait-timeout` has passed.
    WaitOver,
    /// `--stop-delay-min` has passed since the TERM.
    LeastOver,
    /// The stop was held back for as long as it may be: see [`Limit`].
    DelayOver,
}

/// Something to do, in order.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Action {
    /// Start CMD; answered by `Spawned` or `SpawnFailed`.
    Spawn,
    /// Send CMD's group a signal.
    Forward(Signal),
    /// Start the clocks that end in `LeastOver` and `DelayOver`.
    HoldBack {
        /// The supervisor's word is awaited.
        release: bool,
        /// When `DelayOver` comes at the latest.
        limit: Limit,
    },
    /// A stop is held back already: `DelayOver` comes no later than this after its signal.
    Shorten(Limit),
    /// Tell the supervisor.
    Tell(Told),
    /// The reason for waiting is another one.
    Waiting(String),
    /// A line for people.
    Say(&'static str),
    /// End with this code. Always the last.
    Exit(u8),
}

/// What the supervisor is told.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Told {
    /// CMD runs.
    Started,
    /// We got TERM: a stop cause.
    Term,
    /// CMD ended, or never will run.
    Exited(u8),
}

/// How long a stop is held back at the most.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Limit {
    /// From the stop's signal.
    pub(super) time: Duration,
    /// What set it: the container's `stopTimeout` if that leaves less than `--stop-delay-max` asks for.
    pub(super) stop_timeout: Option<Duration>,
}

/// What the command needs to end in, of a `stopTimeout`.
const TIME_TO_END: Duration = Duration::from_secs(2);

impl Limit {
    /// `max`: what the arguments ask for. `stop_timeout`: from the signal to ECS's KILL, where the supervisor has told
    /// it; of that, 2 s are left for the command to end in, or half of it where it is less than 4 s.
    fn new(max: Duration, stop_timeout: Option<Duration>) -> Self {
        let most = |given: Duration| match given < 2 * TIME_TO_END {
            true => given / 2,
            false => given - TIME_TO_END,
        };
        match stop_timeout.map(|given| (given, most(given))) {
            Some((given, most)) if most < max => Self { time: most, stop_timeout: Some(given) },
            _ => Self { time: max, stop_timeout: None },
        }
    }
}

/// Where the wrapper is.
#[derive(Debug)]
pub(super) struct Wrapped {
    stop_signal: Signal,
    /// `--stop-delay-max`, or `--stop-delay-min` where that is longer.
    max: Duration,
    /// What the task definition gives this container, once the supervisor has told it.
    stop_timeout: Option<Duration>,
    /// There is a `--stop-delay-min`.
    has_least: bool,
    /// `--start-alone`.
    start_alone: bool,
    child: Child,
    attached: bool,
    /// There was a supervisor at least once.
    ever_attached: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Child {
    /// Not started: waiting for T2, or being spawned.
    None,
    /// Running, nothing to stop it yet.
    Up,
    /// Got this signal, holds it back for everything that is still awaited.
    Holding(Held),
    /// May end: a TERM would be passed on at once.
    Released,
    /// Was told to end.
    Told,
}

/// A stop that is held back.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Held {
    signal: Signal,
    /// For the supervisor's word.
    release: bool,
    /// For the end of `--stop-delay-min`.
    least: bool,
}

impl Wrapped {
    /// Before anything happened. `stop_signal` is what a self-caused stop sends; `least` and `max` bound how long a
    /// stop is held back.
    pub(super) fn new(
        stop_signal: Signal,
        least: Duration,
        max: Duration,
        start_alone: bool,
    ) -> Self {
        Self {
            stop_signal,
            max: max.max(least),
            stop_timeout: None,
            has_least: !least.is_zero(),
            start_alone,
            child: Child::None,
            attached: false,
            ever_attached: false,
        }
    }

    /// CMD was not started yet.
    pub(super) fn waiting(&self) -> bool {
        self.child == Child::None
    }

    /// What to do about `event`.
    pub(super) fn on(&mut self, event: Event) -> Vec<Action> {
        match (event, self.child) {
            (Event::Attached, _) => {
                (self.attached, self.ever_attached) = (true, true);
                vec![]
            }
            (Event::Line(line), _) => self.line(line),
            (Event::Nobody(_), Child::None) if self.start_alone && !self.ever_attached => vec![
                Action::Say("there is no supervisor in this task: starting without the mesh"),
                Action::Spawn,
            ],
            (Event::Lost(why) | Event::Nobody(why), child) => {
                self.attached = false;
                match child {
                    Child::None => vec![Action::Waiting(why)],
                    Child::Holding(held) if held.release => {
                        self.released(held, Some("the supervisor is gone: passing the stop on"))
                    }
                    _ => vec![],
                }
            }
            (Event::Signal(signal), Child::None) => self.signal_while_waiting(signal),
            (Event::Signal(signal), child) => self.signal(signal, child),
            (Event::Spawned, _) => {
                self.child = Child::Up;
                // Else the attach to come says it.
                let tell = self.attached.then_some(Action::Tell(Told::Started));
                tell.into_iter().collect()
            }
            (Event::SpawnFailed(code) | Event::Ended(code), _) => {
                vec![Action::Tell(Told::Exited(code)), Action::Exit(code)]
            }
            (Event::WaitOver, Child::None) => {
                let code =
                    if self.ever_attached { exit::WAITED_TOO_LONG } else { exit::NO_SUPERVISOR };
                vec![Action::Tell(Told::Exited(code)), Action::Exit(code)]
            }
            (Event::LeastOver, Child::Holding(held)) => {
                self.child = Child::Holding(Held { least: false, ..held });
                match held.release {
                    true => vec![],
                    false => self.forward(held.signal, None),
                }
            }
            (Event::DelayOver, Child::Holding(held)) => {
                let why = match self.limit().stop_timeout {
                    None => "--stop-delay-max is over: passing the stop on",
                    Some(_) => "the container's stopTimeout is nearly over: passing the stop on",
                };
                self.forward(held.signal, Some(why))
            }
            (Event::WaitOver | Event::LeastOver | Event::DelayOver, _) => vec![],
        }
    }

    fn limit(&self) -> Limit {
        Limit::new(self.max, self.stop_timeout)
    }

    fn line(&mut self, line: Line) -> Vec<Action> {
        let mut actions = Vec::new();
        if let Some(ms) = line.stop_timeout_ms {
            self.stop_timeout = Some(Duration::from_millis(ms));
            if matches!(self.child, Child::Holding(_)) {
                actions.push(Action::Shorten(self.limit()));
            }
        }
        actions.extend(self.word(line));
        actions
    }

    fn word(&mut self, line: Line) -> Vec<Action> {
        match self.child {
            // A release before the start: the task stops, and CMD has nothing to finish.
            Child::None if line.release => {
                let code = 128 + Signal::SIGTERM as u8;
                vec![
                    Action::Say("the task stops before its start"),
                    Action::Tell(Told::Exited(code)),
                    Action::Exit(code),
                ]
            }
            Child::None if line.start => vec![Action::Spawn],
            Child::None => match (line.wait, line.reason) {
                (Some(latch), Some(reason)) => vec![Action::Waiting(format!("{latch}: {reason}"))],
                (Some(latch), None) => vec![Action::Waiting(latch)],
                (None, _) => vec![],
            },
            Child::Holding(held) if line.release && held.release => self.released(held, None),
            Child::Up if line.release && line.term => {
                self.forward(self.stop_signal, Some("the mesh stops this task"))
            }
            Child::Up if line.release => {
                self.child = Child::Released;
                vec![]
            }
            _ => vec![],
        }
    }

    fn signal_while_waiting(&self, signal: Signal) -> Vec<Action> {
        let code = 128 + signal as u8;
        let end = [Action::Tell(Told::Exited(code)), Action::Exit(code)];
        match signal {
            s if self.is_stop(s) => [Action::Tell(Told::Term)].into_iter().chain(end).collect(),
            Signal::SIGINT | Signal::SIGQUIT | Signal::SIGHUP => end.into(),
            // Meant for a command that is not there yet.
            _ => vec![],
        }
    }

    fn signal(&mut self, signal: Signal, child: Child) -> Vec<Action> {
        if !self.is_stop(signal) {
            return vec![Action::Forward(signal)];
        }
        let held = Held { signal, release: self.attached, least: self.has_least };
        match child {
            Child::Up if self.attached => {
                self.child = Child::Holding(held);
                let limit = self.limit();
                vec![Action::Tell(Told::Term), Action::HoldBack { release: true, limit }]
            }
            Child::Up | Child::Released if self.has_least => {
                self.child = Child::Holding(Held { release: false, ..held });
                vec![Action::HoldBack { release: false, limit: self.limit() }]
            }
            Child::Holding(_) => self.forward(signal, Some("a second stop: passing it on")),
            _ => self.forward(signal, None),
        }
    }

    /// The supervisor holds the stop back no longer; `--stop-delay-min` may.
    fn released(&mut self, held: Held, say: Option<&'static str>) -> Vec<Action> {
        if !held.least {
            return self.forward(held.signal, say);
        }
        self.child = Child::Holding(Held { release: false, ..held });
        let why = match say {
            None => {
                "the peers know; only --stop-delay-min (-shutdown-delay) holds the stop back now"
            }
            Some(_) => {
                "the supervisor is gone; --stop-delay-min (-shutdown-delay) still holds the stop back"
            }
        };
        vec![Action::Say(why)]
    }

    fn forward(&mut self, signal: Signal, say: Option<&'static str>) -> Vec<Action> {
        self.child = Child::Told;
        say.map(Action::Say).into_iter().chain([Action::Forward(signal)]).collect()
    }

    fn is_stop(&self, signal: Signal) -> bool {
        signal == Signal::SIGTERM || signal == self.stop_signal
    }
}

#[cfg(test)]
#[path = "decide_tests.rs"]
mod tests;
