//! What a load client counted.

use std::collections::BTreeMap;
use std::fmt;
use std::time::Duration;

use tokio::time::Instant;

use super::error::RequestError;

/// More failures than this are counted, not kept.
const KEPT: usize = 1000;

/// One failed request.
#[derive(Debug, Clone)]
pub struct Failure {
    /// When it failed.
    pub at: Instant,
    /// Why.
    pub reason: String,
}

/// One good answer.
#[derive(Debug, Clone, Copy)]
struct Sample {
    /// Since the load began.
    ended_us: u64,
    took_us: u32,
    /// Which of `names` answered.
    who: u16,
}

/// What a load client counted.
#[derive(Debug, Clone)]
pub struct LoadReport {
    /// What the samples count from.
    load_begun: Instant,
    begun: Instant,
    ended: Option<Instant>,
    /// Answers with a status of 200 to 299.
    pub ok: u64,
    /// All other requests.
    pub failed: u64,
    /// Connections that ended with the app's word that it closes them ([`Kind::Tcp`](super::Kind)).
    pub closed_by_app: u64,
    /// Good answers by responder.
    pub responders: BTreeMap<String, u64>,
    /// Failures by reason.
    pub reasons: BTreeMap<String, u64>,
    /// When each responder's first and last good answer came.
    pub seen: BTreeMap<String, (Instant, Instant)>,
    /// The first failures.
    pub failures: Vec<Failure>,
    /// Of the samples' responders.
    names: Vec<String>,
    samples: Vec<Sample>,
}

/// The requests that ended within one stretch of time.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Slot {
    /// Good answers by responder.
    pub ok: BTreeMap<String, u32>,
    /// All other requests.
    pub failed: u32,
}

impl LoadReport {
    pub(crate) fn new(begun: Instant) -> Self {
        Self {
            load_begun: begun,
            begun,
            ended: None,
            ok: 0,
            failed: 0,
            closed_by_app: 0,
            responders: BTreeMap::new(),
            reasons: BTreeMap::new(),
            seen: BTreeMap::new(),
            failures: Vec::new(),
            names: Vec::new(),
            samples: Vec::new(),
        }
    }

    pub(crate) fn success(&mut self, from: &str, begun: Instant, at: Instant) {
        self.ok += 1;
        *self.responders.entry(from.to_owned()).or_default() += 1;
        self.seen.entry(from.to_owned()).or_insert((at, at)).1 = at;
        let micros = |time: Duration| u64::try_from(time.as_micros()).unwrap_or(u64::MAX);
        let who = self.names.iter().position(|name| name == from).unwrap_or_else(|| {
            self.names.push(from.to_owned());
            self.names.len() - 1
        });
        self.samples.push(Sample {
            ended_us: micros(at.saturating_duration_since(self.load_begun)),
            took_us: u32::try_from(micros(at - begun)).unwrap_or(u32::MAX),
            who: u16::try_from(who).unwrap_or(u16::MAX),
        });
    }

    pub(crate) fn failure(&mut self, error: &RequestError, at: Instant) {
        self.failed += 1;
        let reason = error.to_string();
        *self.reasons.entry(reason.clone()).or_default() += 1;
        if self.failures.len() < KEPT {
            self.failures.push(Failure { at, reason });
        }
    }

    pub(super) fn end(&mut self) {
        self.ended.get_or_insert_with(Instant::now);
    }

    /// What came after `earlier`, a count of the same load: from its end to this one's.
    #[must_use]
    pub fn since(&self, earlier: &Self) -> Self {
        let minus = |now: &BTreeMap<String, u64>, then: &BTreeMap<String, u64>| {
            let rest = now.iter().map(|(key, n)| (key, n - then.get(key).copied().unwrap_or(0)));
            rest.filter(|(_, n)| *n > 0).map(|(key, n)| (key.clone(), n)).collect()
        };
        Self {
            load_begun: self.load_begun,
            begun: earlier.ended.unwrap_or(earlier.begun),
            ended: self.ended,
            ok: self.ok - earlier.ok,
            failed: self.failed - earlier.failed,
            closed_by_app: self.closed_by_app - earlier.closed_by_app,
            responders: minus(&self.responders, &earlier.responders),
            reasons: minus(&self.reasons, &earlier.reasons),
            seen: self.seen.clone(),
            failures: self.failures.get(earlier.failures.len()..).unwrap_or_default().to_vec(),
            names: self.names.clone(),
            samples: self.samples.get(earlier.samples.len()..).unwrap_or_default().to_vec(),
        }
    }

    /// The requests by when they ended: `count` stretches of `width` each, the first of which begins at `from`.
    /// Failures beyond the first thousand are not among them.
    #[must_use]
    pub fn slots(&self, from: Instant, width: Duration, count: usize) -> Vec<Slot> {
        let mut slots = vec![Slot::default(); count];
        let index = |at: Instant| {
            let since = at.checked_duration_since(from)?;
            usize::try_from(since.as_micros() / width.as_micros().max(1)).ok()
        };
        for sample in &self.samples {
            let at = self.load_begun + Duration::from_micros(sample.ended_us);
            if let Some(slot) = index(at).and_then(|i| slots.get_mut(i)) {
                let name = self.names.get(usize::from(sample.who)).cloned().unwrap_or_default();
                *slot.ok.entry(name).or_default() += 1;
            }
        }
        for failure in &self.failures {
            if let Some(slot) = index(failure.at).and_then(|i| slots.get_mut(i)) {
                slot.failed += 1;
            }
        }
        slots
    }

    /// The latency that this part (0 to 1) of the good answers kept; zero without any.
    #[must_use]
    pub fn latency(&self, part: f64) -> Duration {
        let mut sorted: Vec<u32> = self.samples.iter().map(|sample| sample.took_us).collect();
        sorted.sort_unstable();
        let last = sorted.len().saturating_sub(1);
        // In range by construction: `part` is clamped.
        let index = (last as f64 * part.clamp(0.0, 1.0)).round() as usize;
        sorted.get(index).map_or(Duration::ZERO, |us| Duration::from_micros((*us).into()))
    }

    /// From start to stop, or to now.
    #[must_use]
    pub fn elapsed(&self) -> Duration {
        self.ended.unwrap_or_else(Instant::now) - self.begun
    }

    /// Requests a second.
    #[must_use]
    pub fn rate(&self) -> f64 {
        (self.ok + self.failed) as f64 / self.elapsed().as_secs_f64().max(1e-9)
    }
}

impl fmt::Display for LoadReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (p50, p99) = (self.latency(0.5), self.latency(0.99));
        write!(f, "{} ok, {} failed, {:.0}/s", self.ok, self.failed, self.rate())?;
        write!(f, ", p50 {p50:.1?}, p99 {p99:.1?}")?;
        let list = |map: &BTreeMap<String, u64>| {
            map.iter().map(|(key, n)| format!("{key}: {n}")).collect::<Vec<_>>().join(", ")
        };
        write!(f, "; from {}", list(&self.responders))?;
        if self.failed > 0 {
            write!(f, "; failures {}", list(&self.reasons))?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn percentiles_and_reasons_are_counted() {
        let begun = Instant::now();
        let mut report = LoadReport::new(begun);
        assert_eq!(report.latency(0.5), Duration::ZERO);
        for ms in 1..=101 {
            report.success("api-1", begun, begun + Duration::from_millis(ms));
        }
        report.failure(&RequestError::Timeout, begun);
        assert_eq!(report.latency(0.5), Duration::from_millis(51));
        assert_eq!(report.latency(0.99), Duration::from_millis(100));
        assert_eq!((report.responders["api-1"], report.reasons["timeout"]), (101, 1));
    }

    #[test]
    fn slots_hold_what_ended_in_them_also_in_a_later_part() {
        let begun = Instant::now();
        let ms = |ms| begun + Duration::from_millis(ms);
        let mut report = LoadReport::new(begun);
        report.success("api-1", begun, ms(5));
        let mut earlier = report.clone();
        earlier.ended = Some(ms(6));
        for (name, at) in [("api-1", 12), ("api-2", 19), ("api-2", 20), ("api-2", 45)] {
            report.success(name, ms(at - 1), ms(at));
        }
        report.failure(&RequestError::Timeout, ms(21));
        let slots = report.since(&earlier).slots(ms(10), Duration::from_millis(10), 3);
        let of = |api_1: Option<u32>, api_2: Option<u32>, failed| Slot {
            ok: [("api-1", api_1), ("api-2", api_2)]
                .into_iter()
                .filter_map(|(name, n)| Some((name.to_owned(), n?)))
                .collect(),
            failed,
        };
        assert_eq!(slots, [of(Some(1), Some(1), 0), of(None, Some(1), 1), of(None, None, 0)]);
    }

    #[test]
    fn what_came_since_an_earlier_count() {
        let begun = Instant::now();
        let ms = |ms| begun + Duration::from_millis(ms);
        let mut report = LoadReport::new(begun);
        report.success("api-1", begun, ms(1));
        report.failure(&RequestError::Timeout, ms(2));
        let mut earlier = report.clone();
        earlier.ended = Some(ms(10));
        report.success("api-2", ms(20), ms(25));
        report.ended = Some(ms(30));
        let part = report.since(&earlier);
        assert_eq!((part.ok, part.failed), (1, 0));
        assert_eq!(part.responders, BTreeMap::from([("api-2".to_owned(), 1)]));
        assert!(part.reasons.is_empty() && part.failures.is_empty());
        assert_eq!(part.latency(0.5), Duration::from_millis(5));
        assert_eq!(part.elapsed(), Duration::from_millis(20));
    }
}
