//! What a load client counted.

use std::collections::BTreeMap;
use std::fmt;
use std::time::Duration;

use tokio::time::Instant;

use super::http1::RequestError;

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

/// What a load client counted.
#[derive(Debug, Clone)]
pub struct LoadReport {
    begun: Instant,
    ended: Option<Instant>,
    /// Answers with a status of 200 to 299.
    pub ok: u64,
    /// All other requests.
    pub failed: u64,
    /// Good answers by responder.
    pub responders: BTreeMap<String, u64>,
    /// Failures by reason.
    pub reasons: BTreeMap<String, u64>,
    /// When each responder's first and last good answer came.
    pub seen: BTreeMap<String, (Instant, Instant)>,
    /// The first failures.
    pub failures: Vec<Failure>,
    /// Microseconds of each good answer.
    latencies: Vec<u32>,
}

impl LoadReport {
    pub(crate) fn new(begun: Instant) -> Self {
        Self {
            begun,
            ended: None,
            ok: 0,
            failed: 0,
            responders: BTreeMap::new(),
            reasons: BTreeMap::new(),
            seen: BTreeMap::new(),
            failures: Vec::new(),
            latencies: Vec::new(),
        }
    }

    pub(super) fn success(&mut self, from: &str, begun: Instant, at: Instant) {
        self.ok += 1;
        *self.responders.entry(from.to_owned()).or_default() += 1;
        self.seen.entry(from.to_owned()).or_insert((at, at)).1 = at;
        let micros = (at - begun).as_micros();
        self.latencies.push(u32::try_from(micros).unwrap_or(u32::MAX));
    }

    pub(super) fn failure(&mut self, error: &RequestError, at: Instant) {
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
            begun: earlier.ended.unwrap_or(earlier.begun),
            ended: self.ended,
            ok: self.ok - earlier.ok,
            failed: self.failed - earlier.failed,
            responders: minus(&self.responders, &earlier.responders),
            reasons: minus(&self.reasons, &earlier.reasons),
            seen: self.seen.clone(),
            failures: self.failures.get(earlier.failures.len()..).unwrap_or_default().to_vec(),
            latencies: self.latencies.get(earlier.latencies.len()..).unwrap_or_default().to_vec(),
        }
    }

    /// The latency that this part (0 to 1) of the good answers kept; zero without any.
    #[must_use]
    pub fn latency(&self, part: f64) -> Duration {
        let mut sorted = self.latencies.clone();
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
