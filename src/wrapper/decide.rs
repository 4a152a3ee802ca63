//! What the wrapper does about each event, without clock or I/O.

use crate::admin::Line;
use crate::exit;
use nix::sys::signal::Signal;

/// Something happened.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Event {
    /// The supervisor has our stream open.
    Attached,
    /// It said something.
    Line(Line),
    /// The stream is gone, or could not be opened: why, in words.
    Lost(String),
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
    /// `--stop-delay-max` has passed since the TERM.
    DelayOver,
}

/// Something to do, in order.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Action {
    /// Start CMD; answered by `Spawned` or `SpawnFailed`.
    Spawn,
    /// Send CMD's group a signal.
    Forward(Signal),
    /// Start the clock that ends in `DelayOver`.
    HoldBack,
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

/// Where the wrapper is.
#[derive(Debug)]
pub(super) struct Wrapped {
    stop_signal: Signal,
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
    /// Got this signal, holds it back.
    Holding(Signal),
    /// May end: a TERM would be passed on at once.
    Released,
    /// Was told to end.
    Told,
}

impl Wrapped {
    /// Before anything happened. `stop_signal` is what a self-caused stop sends.
    pub(super) fn new(stop_signal: Signal) -> Self {
        Self { stop_signal, child: Child::None, attached: false, ever_attached: false }
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
            (Event::Lost(why), child) => {
                self.attached = false;
                match child {
                    Child::None => vec![Action::Waiting(why)],
                    Child::Holding(signal) => {
                        self.forward(signal, Some("the supervisor is gone: passing the stop on"))
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
            (Event::DelayOver, Child::Holding(signal)) => {
                self.forward(signal, Some("--stop-delay-max is over: passing the stop on"))
            }
            (Event::WaitOver | Event::DelayOver, _) => vec![],
        }
    }

    fn line(&mut self, line: Line) -> Vec<Action> {
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
            Child::Holding(signal) if line.release => self.forward(signal, None),
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
        match child {
            Child::Up if self.attached => {
                self.child = Child::Holding(signal);
                vec![Action::Tell(Told::Term), Action::HoldBack]
            }
            Child::Holding(_) => self.forward(signal, Some("a second stop: passing it on")),
            _ => self.forward(signal, None),
        }
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
mod tests {
    use super::*;
    use Signal::{SIGINT, SIGQUIT, SIGTERM, SIGUSR1};

    fn line(start: bool, release: bool, term: bool) -> Event {
        Event::Line(Line { start, release, term, ..Line::default() })
    }

    fn running() -> Wrapped {
        let mut w = Wrapped::new(SIGTERM);
        w.on(Event::Attached);
        assert_eq!(w.on(line(true, false, false)), [Action::Spawn]);
        assert_eq!(w.on(Event::Spawned), [Action::Tell(Told::Started)]);
        w
    }

    fn holding() -> Wrapped {
        let mut w = running();
        let held = [Action::Tell(Told::Term), Action::HoldBack];
        assert_eq!(w.on(Event::Signal(SIGTERM)), held);
        w
    }

    fn forwards(actions: &[Action]) -> Vec<Signal> {
        let signal = |a: &Action| if let Action::Forward(s) = a { Some(*s) } else { None };
        actions.iter().filter_map(signal).collect()
    }

    #[test]
    fn a_term_is_held_until_each_thing_that_ends_the_holding() {
        for event in [
            line(false, true, false),
            line(false, true, true),
            Event::Lost("reset".into()),
            Event::DelayOver,
            Event::Signal(SIGTERM),
        ] {
            let mut w = holding();
            assert_eq!(forwards(&w.on(event.clone())), [SIGTERM], "{event:?}");
            assert_eq!(forwards(&w.on(line(false, true, true))), [], "only once: {event:?}");
            assert_eq!(forwards(&w.on(Event::Signal(SIGTERM))), [SIGTERM], "then at once");
        }
    }

    #[test]
    fn a_stop_of_the_mesh_sends_the_stop_signal_that_nobody_else_sends() {
        let mut w = running();
        w.stop_signal = SIGQUIT;
        assert_eq!(forwards(&w.on(line(false, true, true))), [SIGQUIT]);
    }

    #[test]
    fn a_release_before_the_term_lets_the_term_through() {
        let mut w = running();
        assert_eq!(w.on(line(false, true, false)), []);
        assert_eq!(w.on(Event::Signal(SIGTERM)), [Action::Forward(SIGTERM)]);
    }

    #[test]
    fn without_a_supervisor_a_running_command_lives_on_and_gets_its_term_at_once() {
        let mut w = running();
        assert_eq!(w.on(Event::Lost("reset".into())), []);
        assert_eq!(w.on(Event::Signal(SIGUSR1)), [Action::Forward(SIGUSR1)]);
        assert_eq!(w.on(Event::Signal(SIGTERM)), [Action::Forward(SIGTERM)]);
    }

    #[test]
    fn what_ends_the_waiting_without_a_start() {
        let ends = |before: &[Event], event: Event| {
            let mut w = Wrapped::new(SIGTERM);
            for event in before {
                w.on(event.clone());
            }
            match w.on(event).last() {
                Some(Action::Exit(code)) => Some(*code),
                _ => None,
            }
        };
        let attached = [Event::Attached];
        let lost = [Event::Attached, Event::Lost("reset".into())];
        assert_eq!(ends(&[], Event::Signal(SIGTERM)), Some(143));
        assert_eq!(ends(&attached, Event::Signal(SIGINT)), Some(130));
        assert_eq!(ends(&attached, Event::Signal(SIGUSR1)), None);
        assert_eq!(ends(&[], Event::WaitOver), Some(69));
        assert_eq!(ends(&attached, Event::WaitOver), Some(75));
        assert_eq!(ends(&lost, Event::WaitOver), Some(75));
        assert_eq!(ends(&attached, line(false, true, true)), Some(143));
        assert_eq!(ends(&attached, line(true, true, false)), Some(143), "never starts any more");
        assert_eq!(ends(&attached, Event::SpawnFailed(127)), Some(127));
    }

    #[test]
    fn the_supervisor_hears_started_before_exited() {
        let mut w = running();
        assert_eq!(w.on(Event::Ended(7)), [Action::Tell(Told::Exited(7)), Action::Exit(7)]);
    }
}
