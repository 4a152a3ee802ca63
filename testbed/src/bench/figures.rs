//! What was measured, and what of it is aimed at.

use std::time::Duration;

use taskmesh::timeline::{Event, Record};

/// From the helper's start.
#[derive(Debug, Clone, Copy)]
pub(super) struct Start {
    /// The agent shows the proxy.
    pub(super) registered: Duration,
    /// Envoy's public listener accepts.
    pub(super) listener: Duration,
    /// The servers offer it to peers.
    pub(super) offered: Duration,
    /// The app accepts.
    pub(super) app: Duration,
}

/// From the first TERM.
#[derive(Debug, Clone, Copy)]
pub(super) struct End {
    /// The servers do not offer it any more.
    pub(super) peers: Duration,
    /// Nothing comes in any more: taskmesh's own word, which the floor does not have.
    pub(super) drained: Option<Duration>,
    /// Envoy has ended.
    pub(super) envoy: Duration,
    /// The agent has left and ended.
    pub(super) left: Duration,
    /// The helper has ended.
    pub(super) exited: Duration,
}

/// The parts of a stop of taskmesh, from when it noticed.
#[derive(Debug, Clone, Copy)]
pub(super) struct Own {
    /// The agent's leave, which is Consul's own.
    pub(super) leave: Duration,
    /// The time that is left to peers' Envoys, as configured.
    pub(super) dwell: Duration,
    /// All else.
    pub(super) rest: Duration,
}

/// One task from its start to its end.
#[derive(Debug, Clone)]
pub(super) struct Life {
    pub(super) start: Start,
    pub(super) end: End,
    pub(super) own: Option<Own>,
    /// Its own timeline.
    pub(super) events: Vec<Record>,
}

/// A supervisor over a stretch of time.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Steady {
    /// Synced containers, and as many upstreams.
    pub(super) size: usize,
    /// Requests a second that were answered through the task's Envoy; `None`: idle.
    pub(super) load: Option<f64>,
    /// At its end, in KiB.
    pub(super) rss: u64,
    pub(super) pss: Option<u64>,
    pub(super) anon: u64,
    /// Since the supervisor's start.
    pub(super) peak: u64,
    pub(super) threads: u64,
    pub(super) descriptors: u64,
    /// A second.
    pub(super) wakeups: f64,
    /// Part of a core, in percent.
    pub(super) cpu: f64,
}

/// All on one Consul.
#[derive(Debug, Clone, Default)]
pub(super) struct Mesh {
    /// For a heading.
    pub(super) name: String,
    /// A real Consul, whose figures mean something.
    pub(super) real: bool,
    pub(super) floor: Vec<Life>,
    pub(super) taskmesh: Vec<Life>,
    pub(super) steady: Vec<Steady>,
    pub(super) probe: Probe,
}

/// What a command costs.
#[derive(Debug, Clone, Copy, Default, serde::Serialize, serde::Deserialize)]
pub(super) struct Probe {
    /// Median, in milliseconds.
    pub(super) ms: f64,
    /// The most that it had in memory, in KiB.
    pub(super) kib: u64,
}

/// Least, median and most.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Spread {
    pub(super) min: Duration,
    pub(super) median: Duration,
    pub(super) max: Duration,
}

impl Spread {
    /// `None` of nothing.
    pub(super) fn of(times: impl IntoIterator<Item = Duration>) -> Option<Self> {
        let mut all: Vec<_> = times.into_iter().collect();
        all.sort_unstable();
        let (min, max) = (*all.first()?, *all.last()?);
        // Of an even number the mean of the middle two.
        let median = (all[(all.len() - 1) / 2] + all[all.len() / 2]) / 2;
        Some(Self { min, median, max })
    }

    /// The median as a multiple of another's.
    pub(super) fn over(self, other: Self) -> f64 {
        self.median.as_secs_f64() / other.median.as_secs_f64().max(f64::EPSILON)
    }
}

/// One line of a table of times.
pub(super) struct Milestone {
    pub(super) name: &'static str,
    pub(super) goal: &'static str,
    /// Both do the same until then; what only one of them does makes no ratio.
    pub(super) same: bool,
    pub(super) of: fn(&Life) -> Option<Duration>,
}

/// The milestones of a start, in their order for taskmesh.
pub(super) const STARTS: [Milestone; 4] = [
    Milestone { name: "registered", goal: "", same: true, of: |life| Some(life.start.registered) },
    Milestone {
        name: "listener open",
        goal: "<= 1.0 x",
        same: true,
        of: |life| Some(life.start.listener),
    },
    Milestone {
        name: "offered to peers",
        goal: "",
        same: true,
        of: |life| Some(life.start.offered),
    },
    Milestone {
        name: "app started",
        goal: "<= 1.0 x",
        same: true,
        of: |life| Some(life.start.app),
    },
];

/// The milestones of a stop.
pub(super) const ENDS: [Milestone; 6] = [
    Milestone { name: "peers updated", goal: "", same: false, of: |life| Some(life.end.peers) },
    Milestone { name: "drained", goal: "", same: false, of: |life| life.end.drained },
    Milestone { name: "Envoy exited", goal: "", same: false, of: |life| Some(life.end.envoy) },
    Milestone { name: "agent left", goal: "", same: true, of: |life| Some(life.end.left) },
    Milestone { name: "exited", goal: "", same: true, of: |life| Some(life.end.exited) },
    Milestone {
        name: "own part of it",
        goal: "<= 0.30 s",
        same: false,
        of: |life| life.own.map(|own| own.rest),
    },
];

/// What taskmesh's own timeline says of its start, in order.
pub(super) const INSIDE: [Event; 7] = [
    Event::AgentReady,
    Event::Registered,
    Event::BootstrapWritten,
    Event::EnvoyStarted,
    Event::Ready,
    Event::AppStarted,
    Event::Offered,
];

impl Life {
    /// When an event was, from the supervisor's start.
    pub(super) fn event(&self, event: Event) -> Option<Duration> {
        let record = self.events.iter().find(|record| record.event == event)?;
        Duration::try_from_secs_f64(record.ms / 1000.0).ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_median_of_an_even_number_is_in_the_middle() {
        let ms = Duration::from_millis;
        assert_eq!(Spread::of([]), None);
        let odd = Spread::of([ms(3), ms(1), ms(9)]).expect("times");
        assert_eq!(odd, Spread { min: ms(1), median: ms(3), max: ms(9) });
        let even = Spread::of([ms(4), ms(1), ms(2), ms(9)]).expect("times");
        assert_eq!(even.median, ms(3));
        assert!((even.over(odd) - 1.0).abs() < 1e-9);
    }
}
