//! The small machine of one child process: it owns restarts; the timeline reads it.

use super::ending::Ending;
use crate::config::Restart;
use std::time::Duration;

/// The child processes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Role {
    /// The Consul agent.
    Agent,
    /// Envoy.
    Envoy,
}

impl Role {
    /// As logs and `/v1/status` name it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Agent => "consul",
            Self::Envoy => "envoy",
        }
    }

    /// The actor that runs it.
    pub fn actor(self) -> &'static str {
        match self {
            Self::Agent => "consul_agent",
            Self::Envoy => "envoy",
        }
    }
}

/// Where a child is in its life.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum State {
    /// Not wanted yet.
    Idle,
    /// Asked to start.
    Starting,
    /// Runs.
    Up {
        /// Its pid.
        pid: i32,
    },
    /// Died; is started again when the timer runs out.
    BackingOff,
    /// Asked to stop (TERM, or KILL).
    Stopping {
        /// Its pid; unknown while it was still starting when the stop came.
        pid: Option<i32>,
    },
    /// Not running, and not to run again.
    Gone,
}

/// What the machine wants done about a child.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Act {
    /// Spawn it.
    Start,
    /// TERM.
    Term,
    /// KILL the group.
    Kill,
    /// Spawn it when this time since exec is reached.
    StartAt(Duration),
}

/// Why a child will not be started again.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// It was asked to stop, and did.
    Stopped,
    /// It died and comes back.
    Restarting,
    /// It died once too often.
    BudgetSpent,
    /// It cannot be started at all.
    CannotStart,
}

/// So many of its last lines are told when it is given up.
const LAST_LINES: usize = 5;

/// One child.
#[derive(Debug, Clone)]
pub struct Child {
    role: Role,
    state: State,
    /// Restarts within the window, when.
    recent: Vec<Duration>,
    /// Deaths since it last stayed up for the window's tenth.
    streak: u32,
    up_since: Duration,
    total_restarts: u32,
    last_exit: Option<Ending>,
    was_killed: bool,
    /// Why it was killed while it ran, so that it is started again.
    condemned: Option<String>,
    jitter: u64,
}

impl Child {
    pub(crate) fn new(role: Role, seed: u64) -> Self {
        Self {
            role,
            state: State::Idle,
            recent: Vec::new(),
            streak: 0,
            up_since: Duration::ZERO,
            total_restarts: 0,
            last_exit: None,
            was_killed: false,
            condemned: None,
            jitter: seed | 1,
        }
    }

    /// Which.
    pub fn role(&self) -> Role {
        self.role
    }

    /// Where it is.
    pub fn state(&self) -> &State {
        &self.state
    }

    /// Runs.
    pub fn is_up(&self) -> bool {
        matches!(self.state, State::Up { .. })
    }

    /// Asked for, and not told to run yet.
    pub(crate) fn is_starting(&self) -> bool {
        matches!(self.state, State::Starting | State::Stopping { pid: None })
    }

    /// A process of ours may exist, so that exit must wait for it.
    pub fn may_exist(&self) -> bool {
        matches!(self.state, State::Starting | State::Up { .. } | State::Stopping { .. })
    }

    /// How often it was started again.
    pub fn restarts(&self) -> u32 {
        self.total_restarts
    }

    /// How it last ended.
    pub fn last_exit(&self) -> Option<&Ending> {
        self.last_exit.as_ref()
    }

    /// We had to send it KILL.
    pub fn was_killed(&self) -> bool {
        self.was_killed
    }

    /// Its pid while one is known.
    pub fn pid(&self) -> Option<i32> {
        match self.state {
            State::Up { pid } => Some(pid),
            State::Stopping { pid } => pid,
            _ => None,
        }
    }

    /// What is said of it when its budget is spent: how often it died, how, and what it printed last.
    pub(crate) fn obituary(&self, restart: &Restart, said: &[String]) -> String {
        let how = self.last_exit.as_ref().map(ToString::to_string).unwrap_or_default();
        let last = &said[said.len().saturating_sub(LAST_LINES)..];
        let printed = match last {
            [] => "it printed nothing".to_owned(),
            lines => format!("it last printed: {}", lines.join(" | ")),
        };
        format!(
            "{} died {} times within {}, and restart.budget is {}: {how}; {printed}",
            self.role.name(),
            self.recent.len() + 1,
            humantime::format_duration(restart.window),
            restart.budget,
        )
    }

    pub(crate) fn start(&mut self) -> Option<Act> {
        matches!(self.state, State::Idle | State::BackingOff).then(|| {
            self.state = State::Starting;
            Act::Start
        })
    }

    pub(crate) fn started(&mut self, pid: i32, at: Duration) -> Option<Act> {
        match self.state {
            State::Starting => {
                self.state = State::Up { pid };
                self.up_since = at;
                None
            }
            // The stop overtook the start: now that there is somebody to tell, tell it.
            State::Stopping { pid: None } => {
                self.state = State::Stopping { pid: Some(pid) };
                Some(if self.was_killed { Act::Kill } else { Act::Term })
            }
            _ => None,
        }
    }

    /// Asks it to stop. Only the first call does something.
    pub(crate) fn stop(&mut self) -> Option<Act> {
        match self.state {
            State::Idle | State::BackingOff => {
                self.state = State::Gone;
                None
            }
            State::Starting => {
                self.state = State::Stopping { pid: None };
                None
            }
            State::Up { pid } => {
                self.state = State::Stopping { pid: Some(pid) };
                Some(Act::Term)
            }
            State::Stopping { .. } | State::Gone => None,
        }
    }

    /// Asks again one that was asked, and is still there.
    pub(crate) fn stop_again(&self) -> Option<Act> {
        let asked = matches!(self.state, State::Stopping { pid: Some(_) });
        (asked && !self.was_killed).then_some(Act::Term)
    }

    /// Kills what is left of it. `true` in the second place if there was something to kill.
    pub(crate) fn kill(&mut self) -> (Option<Act>, bool) {
        match self.state {
            State::Idle | State::BackingOff => {
                self.state = State::Gone;
                (None, false)
            }
            State::Gone => (None, false),
            State::Starting | State::Stopping { pid: None } => {
                let first = !self.was_killed;
                self.was_killed = true;
                self.state = State::Stopping { pid: None };
                (None, first)
            }
            State::Up { pid } | State::Stopping { pid: Some(pid) } => {
                let first = !self.was_killed;
                self.was_killed = true;
                self.state = State::Stopping { pid: Some(pid) };
                (first.then_some(Act::Kill), first)
            }
        }
    }

    /// Kills one that is alive and of no use, so that it comes back: what follows is an exit like any other, and no
    /// start before it. Only the life with this pid is meant.
    pub(crate) fn condemn(&mut self, pid: i32, why: String) -> Option<Act> {
        let meant = self.state == State::Up { pid } && self.condemned.is_none();
        meant.then(|| {
            self.condemned = Some(why);
            Act::Kill
        })
    }

    /// Puts the reason into the words of its end, where we know it.
    pub(crate) fn explain(&mut self, exit: Ending) -> Ending {
        match (self.condemned.take(), exit) {
            (Some(why), Ending::Exit(exit)) => Ending::Killed { exit, why },
            (_, exit) => exit,
        }
    }

    /// It is gone. Decides whether it comes back: `budget` bounds the restarts within `restart.window`, `None`
    /// lets it come back for ever. One that cannot be started is given up if it has not proved its worth before: else its
    /// executable is away for a while.
    pub(crate) fn exited(
        &mut self,
        at: Duration,
        exit: Ending,
        restart: &Restart,
        (budget, backoff_max): (Option<u32>, Duration),
        proven: bool,
    ) -> (Verdict, Option<Act>) {
        let fatal = matches!(exit, Ending::SpawnFailed { fatal: true, .. });
        self.last_exit = Some(exit);
        if matches!(self.state, State::Stopping { .. } | State::Gone) {
            self.state = State::Gone;
            return (Verdict::Stopped, None);
        }
        if fatal && !proven {
            self.state = State::Gone;
            return (Verdict::CannotStart, None);
        }
        self.recent.retain(|t| at.saturating_sub(*t) < restart.window);
        if budget.is_some_and(|b| self.recent.len() >= b as usize) {
            self.state = State::Gone;
            return (Verdict::BudgetSpent, None);
        }
        if self.is_up() && at.saturating_sub(self.up_since) >= restart.window / 10 {
            self.streak = 0;
        }
        let delay = self.backoff(restart.backoff.min, backoff_max);
        self.recent.push(at);
        self.streak = self.streak.saturating_add(1);
        self.total_restarts = self.total_restarts.saturating_add(1);
        self.state = State::BackingOff;
        (Verdict::Restarting, Some(Act::StartAt(at + delay)))
    }

    /// Exponential, and jittered between a half and the whole of it.
    fn backoff(&mut self, min: Duration, max: Duration) -> Duration {
        // xorshift64: jitter needs spread, not secrecy, and the machine must stay replayable.
        self.jitter ^= self.jitter << 13;
        self.jitter ^= self.jitter >> 7;
        self.jitter ^= self.jitter << 17;
        let whole = min.saturating_mul(1 << self.streak.min(20)).min(max);
        let fraction = (self.jitter % 1024) as u32;
        whole / 2 + (whole / 2) * fraction / 1024
    }
}
