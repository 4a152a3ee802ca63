//! One run of the wrapper: events in, decisions, actions out, until there is an exit code.

use super::decide::{Action, Event, Told, Wrapped};
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
        wrapped: Wrapped::new(args.stop_signal, !args.stop_delay_min.is_zero(), args.start_alone),
        child: None,
        told,
        shared: Arc::clone(&shared),
        began: Instant::now(),
        waiting_for: format!("the supervisor at {}", args.admin),
        said: false,
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
                Action::HoldBack { release } => self.hold_back(release),
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

    fn hold_back(&mut self, release: bool) {
        let least = self.args.stop_delay_min;
        let max = self.args.stop_delay_max.max(least);
        say::line(&match (release, least.is_zero()) {
            (true, true) => format!("holding the stop back until the peers know, {max:?} at most"),
            (true, false) => format!(
                "holding the stop back until the peers know, {least:?} at least, {max:?} at most"
            ),
            (false, _) => format!("holding the stop back for {least:?}, as --stop-delay-min says"),
        });
        let now = Instant::now();
        self.least_over = (!least.is_zero()).then(|| now + least);
        self.delay_over = Some(now + max);
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
