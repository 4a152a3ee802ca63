//! From a record to its coloured stretches.

use crate::timeline::{Event, Phase, Record, Stretch, Timeline};

/// A stretch of a bar: `[from, to]` in the task's own ms.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Span {
    pub(super) kind: Kind,
    pub(super) from: f64,
    pub(super) to: f64,
}

/// What a bar's colour says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    Start(Phase),
    Running,
    Stop(Phase),
}

impl Kind {
    /// Every kind, in the order of a task's life, with what happens in it: the legend.
    pub(super) const ALL: [(Self, &'static str); 9] = [
        (Self::Start(Phase::T0), "start T0: agent, registration, bootstrap"),
        (Self::Start(Phase::T1), "T1: Envoy, health sync"),
        (Self::Start(Phase::T2), "T2: ready, offered, app"),
        (Self::Running, "running"),
        (Self::Stop(Phase::T0), "stop T0: noticed, checks go critical"),
        (Self::Stop(Phase::T1), "T1: peers told, drain, apps and Envoy end"),
        (Self::Stop(Phase::T2), "T2: agent leaves"),
        (Self::Stop(Phase::T3), "T3: all exited"),
        (Self::Stop(Phase::T4), "T4: deadline, killed"),
    ];

    /// The CSS class.
    pub(super) fn class(self) -> String {
        match self {
            Self::Start(phase) => format!("a{phase:?}"),
            Self::Running => "run".to_owned(),
            Self::Stop(phase) => format!("z{phase:?}"),
        }
    }

    /// What is written in the bar.
    pub(super) fn name(self) -> String {
        match self {
            Self::Start(phase) | Self::Stop(phase) => format!("{phase:?}"),
            Self::Running => "running".to_owned(),
        }
    }

    /// The colour an event's tick has.
    pub(super) fn of(record: &Record) -> Self {
        match record.timeline {
            Stretch::Startup => Self::Start(record.phase),
            Stretch::Running => Self::Running,
            Stretch::Shutdown => Self::Stop(record.phase),
        }
    }
}

/// The stretches of a timeline, in order, without gaps. A phase that was not reached has none.
pub(super) fn spans(timeline: &Timeline) -> Vec<Span> {
    let at = |event| timeline.find(event).map(|r| r.ms);
    let first = |stretch, phase| {
        let of = |r: &&Record| r.timeline == stretch && r.phase == phase;
        timeline.events.iter().filter(of).map(|r| r.ms).reduce(f64::min)
    };
    let last = timeline.events.iter().map(|r| r.ms).fold(0.0, f64::max);
    let stop = at(Event::StopNoticed);
    let mut row = Row { spans: Vec::new(), cursor: at(Event::Started).unwrap_or(0.0) };

    let limit = stop.unwrap_or(last);
    let until = |ms: Option<f64>| ms.unwrap_or(limit).min(limit);
    row.push(Kind::Start(Phase::T0), until(first(Stretch::Startup, Phase::T1)));
    row.push(Kind::Start(Phase::T1), until(at(Event::Ready)));
    let startup = timeline.events.iter().filter(|r| r.timeline == Stretch::Startup);
    row.push(Kind::Start(Phase::T2), until(startup.map(|r| r.ms).reduce(f64::max)));
    row.push(Kind::Running, limit);
    if stop.is_none() {
        return row.spans;
    }

    let limit = at(Event::Deadline).unwrap_or(last);
    let until = |ms: Option<f64>| ms.unwrap_or(limit).min(limit);
    let ended = at(Event::AllExited);
    // A stop during startup may have no T1, or one without Envoy: then only the agent is left to leave.
    let t1 = timeline.events.iter().filter(|r| Kind::of(r) == Kind::Stop(Phase::T1)).map(|r| r.ms);
    let agent_only = at(Event::AgentLeft).and(t1.reduce(f64::max).or(stop));
    let t0 = first(Stretch::Shutdown, Phase::T1).or(agent_only).or(ended);
    row.push(Kind::Stop(Phase::T0), until(t0));
    row.push(Kind::Stop(Phase::T1), until(at(Event::EnvoyExited).or(agent_only).or(ended)));
    row.push(Kind::Stop(Phase::T2), until(at(Event::AgentLeft).or(ended)));
    row.push(Kind::Stop(Phase::T3), limit);
    row.push(Kind::Stop(Phase::T4), last);
    row.spans
}

struct Row {
    spans: Vec<Span>,
    cursor: f64,
}

impl Row {
    fn push(&mut self, kind: Kind, to: f64) {
        if to > self.cursor {
            self.spans.push(Span { kind, from: self.cursor, to });
            self.cursor = to;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::tests::sample;
    use super::*;
    use crate::timeline::Log;

    fn names(timeline: &Timeline) -> Vec<String> {
        spans(timeline).iter().map(|s| format!("{} {}-{}", s.kind.class(), s.from, s.to)).collect()
    }

    #[test]
    fn a_whole_life() {
        let want = [
            "aT0 0-155",
            "aT1 155-301",
            "aT2 301-318",
            "run 318-20000",
            "zT0 20000-20006",
            "zT1 20006-20790",
            "zT2 20790-24900",
            "zT3 24900-24906",
        ];
        assert_eq!(names(&sample("x", 20_000.0)), want);
    }

    #[test]
    fn cut_short() {
        let log = Log::new(String::new());
        assert_eq!(names(&log.snapshot()), [""; 0]);
        log.push(0.0, Event::Started, None);
        log.push(90.0, Event::AgentReady, None);
        assert_eq!(names(&log.snapshot()), ["aT0 0-90"], "still starting");
        log.push(100.0, Event::StopNoticed, Some("term".into()));
        log.push(400.0, Event::AgentLeft, None);
        log.push(410.0, Event::AllExited, None);
        let want = ["aT0 0-100", "zT2 100-400", "zT3 400-410"];
        assert_eq!(names(&log.snapshot()), want);
    }

    #[test]
    fn killed_at_the_deadline() {
        let log = Log::new(String::new());
        log.push(0.0, Event::Started, None);
        log.push(10.0, Event::StopNoticed, None);
        log.push(20.0, Event::ChecksCritical, None);
        log.push(29_000.0, Event::Deadline, None);
        log.push(29_001.0, Event::Killed, None);
        log.push(29_010.0, Event::AllExited, None);
        let want = ["aT0 0-10", "zT0 10-20", "zT1 20-29000", "zT4 29000-29010"];
        assert_eq!(names(&log.snapshot()), want);
    }
}
