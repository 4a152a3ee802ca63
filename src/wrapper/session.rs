//! One run of the wrapper: events in, decisions, actions out, until there is an exit code.

use super::decide::{Action, Event, Limit, Told, Wrapped};
use super::{Args, child, link, say};
use crate::exit;
use child::Child;
use nix::sys::signal::Signal;
use std::io;
use std::pin::pin;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::Duration;
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::mpsc;
use tokio::time::{Instant, sleep, sleep_until};

/// How often a wait says again what it waits for.
const SAY_EVERY: Duration = Duration::from_secs(5);

/// What the supervisor is told at the end may take this long; the app is gone already.
const FAREWELL: Duration = Duration::from_secs(1);

/// The same where the exit is wanted at once.
const SHORT_FAREWELL: Duration = Duration::from_millis(200);

/// Longer than any task lives.
const NEVER: Duration = Duration::from_secs(365 * 24 * 3600);

/// Runs CMD as `args` say and gives the wrapper's exit code.
pub(super) async fn run(args: &Args) -> u8 {
    let (events_tx, mut events) = mpsc::channel(64);
    // Before CMD, and before anything that takes time: PID 1 ignores a TERM that it does not catch.
    if let Err(e) = catch_signals(&events_tx) {
        say::line(&format!("cannot catch signals: {e}"));
        return exit::COULD_NOT_START;
    }
    let mut ended = match signal(SignalKind::child()) {
        Ok(ended) => ended,
        Err(e) => {
            say::line(&format!("cannot catch SIGCHLD: {e}"));
            return exit::COULD_NOT_START;
        }
    };
    let shared = Arc::new(link::Shared {
        admin: args.admin,
        name: args.container.clone().map_or_else(OnceLock::new, OnceLock::from),
        started: AtomicBool::new(false),
    });
    let (told, told_rx) = mpsc::unbounded_channel();
    let telling = tokio::spawn({
        let shared = Arc::clone(&shared);
        async move { link::tell(&shared, told_rx).await }
    });
    let mut session = Session {
        args,
        wrapped: Wrapped::new(
            args.stop_signal,
            args.stop_delay_min,
            args.stop_delay_max,
            args.start_alone,
        ),
        child: None,
        told,
        shared: Arc::clone(&shared),
        began: Instant::now(),
        waiting_for: format!("the supervisor at {}", args.admin),
        said: false,
        stop_began: None,
        least_over: None,
        delay_over: None,
    };
    if args.no_wait
        && let Some(code) = session.act([Action::Spawn].into())
    {
        return code;
    }
    let attached = tokio::spawn(async move { link::attach(&shared, events_tx).await });
    let mut farewell = FAREWELL;
    let mut say_again = pin!(sleep(Duration::from_millis(100)));
    let wait_over = session.began + args.wait_timeout.unwrap_or(NEVER);
    let code = loop {
        let waiting = session.wrapped.waiting();
        let delay_over = session.delay_over.unwrap_or(wait_over);
        let least_over = session.least_over.unwrap_or(wait_over);
        let event = tokio::select! {
            Some(event) = events.recv() => event,
            Some(()) = ended.recv() => match session.reap() {
                Some(code) => Event::Ended(code),
                None => continue,
            },
            () = sleep_until(wait_over), if waiting && args.wait_timeout.is_some() => Event::WaitOver,
            () = sleep_until(least_over), if session.least_over.is_some() => {
                session.least_over = None;
                Event::LeastOver
            }
            () = sleep_until(delay_over), if session.delay_over.is_some() => {
                session.delay_over = None;
                Event::DelayOver
            }
            () = &mut say_again, if waiting => {
                session.say_waiting();
                say_again.as_mut().reset(Instant::now() + SAY_EVERY);
                continue;
            }
        };
        if waiting && matches!(event, Event::Signal(_)) {
            farewell = SHORT_FAREWELL;
        }
        if let Event::WaitOver = event {
            say::line(&format!("gave up waiting for {}", session.waiting_for));
        }
        let actions = session.wrapped.on(event);
        if let Some(code) = session.act(actions) {
            break code;
        }
        if !session.wrapped.waiting() {
            farewell = FAREWELL;
        }
    };
    // Ends the telling once all is told. The stream closes after that: its end then is no surprise.
    drop(session);
    tokio::time::timeout(farewell, telling).await.ok();
    attached.abort();
    code
}

/// Every signal that is passed on becomes an event.
fn catch_signals(events: &mpsc::Sender<Event>) -> io::Result<()> {
    for forwarded in child::FORWARDED {
        let mut caught = signal(SignalKind::from_raw(forwarded as i32))?;
        let events = events.clone();
        tokio::spawn(async move {
            while caught.recv().await.is_some() {
                if events.send(Event::Signal(forwarded)).await.is_err() {
                    return;
                }
            }
        });
    }
    Ok(())
}

struct Session<'a> {
    args: &'a Args,
    wrapped: Wrapped,
    child: Option<Child>,
    told: mpsc::UnboundedSender<Told>,
    shared: Arc<link::Shared>,
    began: Instant,
    waiting_for: String,
    said: bool,
    /// When the stop came that is held back.
    stop_began: Option<Instant>,
    least_over: Option<Instant>,
    delay_over: Option<Instant>,
}

impl Session<'_> {
    /// Does `actions`; the exit code if one of them is the end.
    fn act(&mut self, actions: Vec<Action>) -> Option<u8> {
        for action in actions {
            match action {
                Action::Spawn => {
                    let outcome = self.spawn();
                    let then = self.wrapped.on(outcome);
                    return self.act(then);
                }
                Action::Forward(signal) => self.forward(signal),
                Action::HoldBack { release, limit } => self.hold_back(release, limit),
                Action::Shorten(limit) => self.shorten(limit),
                // The receiver lives until this sender is dropped.
                Action::Tell(told) => drop(self.told.send(told)),
                Action::Waiting(what) => {
                    let news = self.waiting_for != what;
                    self.waiting_for = what;
                    if news && self.said {
                        self.say_waiting();
                    }
                }
                Action::Say(text) => say::line(text),
                Action::Exit(code) => return Some(code),
            }
        }
        None
    }

    fn hold_back(&mut self, release: bool, limit: Limit) {
        let least = self.args.stop_delay_min;
        let now = Instant::now();
        say::line(&held_back(release, least, limit));
        self.stop_began = Some(now);
        self.least_over = (!least.is_zero()).then(|| now + least);
        self.delay_over = Some(now + limit.time);
    }

    fn shorten(&mut self, limit: Limit) {
        let Some(over) = self.stop_began.map(|began| began + limit.time) else { return };
        if self.delay_over.is_some_and(|before| over < before) {
            say::line(&held_back(true, self.args.stop_delay_min, limit));
            self.delay_over = Some(over);
        }
    }

    fn spawn(&mut self) -> Event {
        if self.said {
            say::line(&format!("starting after {:.1} s", self.began.elapsed().as_secs_f64()));
        }
        match Child::spawn(&self.args.command) {
            Ok(child) => {
                self.child = Some(child);
                self.shared.started.store(true, Ordering::Relaxed);
                Event::Spawned
            }
            Err((code, why)) => {
                say::line(&why);
                Event::SpawnFailed(code)
            }
        }
    }

    fn forward(&self, signal: Signal) {
        if let Some(child) = &self.child {
            child.signal(signal);
        }
    }

    fn reap(&self) -> Option<u8> {
        match &self.child {
            Some(child) => child.reap(),
            None => {
                child::reap_orphans();
                None
            }
        }
    }

    fn say_waiting(&mut self) {
        let seconds = self.began.elapsed().as_secs();
        say::line(&format!("waiting for {} ({seconds} s)", self.waiting_for));
        self.said = true;
    }
}

/// What people are told when a stop is held back: for whom, and for how long.
fn held_back(release: bool, least: Duration, limit: Limit) -> String {
    let at_least = if least.is_zero() { String::new() } else { format!("{least:?} at least, ") };
    let Limit { time, stop_timeout } = limit;
    let why = stop_timeout.map_or(String::new(), |given| {
        format!(" (its stopTimeout is {given:?}: less than --stop-delay-max needs)")
    });
    match release {
        true => {
            format!("holding the stop back until the peers know, {at_least}{time:?} at most{why}")
        }
        false => {
            let time = least.min(time);
            format!("holding the stop back for {time:?}, as --stop-delay-min says{why}")
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn people_hear_how_long_a_stop_is_held_back_and_why_not_longer() {
        let seconds = Duration::from_secs;
        let limit = |time, stop_timeout: Option<u64>| Limit {
            time: seconds(time),
            stop_timeout: stop_timeout.map(seconds),
        };
        for (release, least, limit, said) in [
            (true, 0, limit(15, None), "until the peers know, 15s at most"),
            (true, 6, limit(15, None), "until the peers know, 6s at least, 15s at most"),
            (
                true,
                0,
                limit(8, Some(10)),
                "until the peers know, 8s at most (its stopTimeout is 10s: less than --stop-delay-max needs)",
            ),
            (false, 6, limit(15, None), "for 6s, as --stop-delay-min says"),
            (
                false,
                20,
                limit(8, Some(10)),
                "for 8s, as --stop-delay-min says (its stopTimeout is 10s: less than --stop-delay-max needs)",
            ),
        ] {
            let line = held_back(release, seconds(least), limit);
            assert_eq!(line, format!("holding the stop back {said}"));
        }
    }
}
