//! When a secret that can change is read again (pure).

use std::time::Duration;

/// What is not there yet is asked for again after this time, doubled each time ..
const FIRST: Duration = Duration::from_millis(500);
/// .. up to this: whoever writes it, the ACL controller most of all, takes some seconds.
const LONGEST_WAIT: Duration = Duration::from_secs(5);
/// The same where asking fails.
const LONGEST_FAILING: Duration = Duration::from_secs(30);
/// A token that Consul refuses is read again at once, and, as long as that brings no other one, ever more rarely: what is
/// missing is a right then, which no read can mend.
const FIRST_REFUSAL: Duration = Duration::from_secs(1);
const LONGEST_REFUSAL: Duration = Duration::from_secs(60);

/// What a read brought.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Read {
    /// Another value than before, or the first.
    New,
    /// The value that we have.
    Same,
    /// None yet.
    NotYet,
    /// No answer, or a refusal.
    Failed,
}

/// The times of one secret, since exec.
#[derive(Debug, Clone)]
pub(crate) struct Renewal {
    /// It may be another one later.
    changes: bool,
    /// Between two reads of one that we have; `None`: it is read again only where somebody wants it.
    interval: Option<Duration>,
    have: bool,
    /// Reads in a row that brought nothing.
    vain: u32,
    /// Reads after a refusal that brought no other value.
    refused: u32,
    /// The last one was because of a refusal.
    because_refused: bool,
    last: Option<Duration>,
    due: Option<Duration>,
}

impl Renewal {
    /// Due at once, unless we have it already.
    pub(crate) fn new(interval: Option<Duration>, have: bool, now: Duration) -> Self {
        let due = if have { interval.map(|interval| now + interval) } else { Some(now) };
        Self {
            changes: interval.is_some(),
            interval,
            have,
            vain: 0,
            refused: 0,
            because_refused: false,
            last: None,
            due,
        }
    }

    /// The same of one that is made by reading it, which tells each time how long it lives: not before somebody says so.
    pub(crate) fn made() -> Self {
        Self { changes: true, due: None, ..Self::new(None, false, Duration::ZERO) }
    }

    /// To be read again after so long, if at all.
    pub(crate) fn set_interval(&mut self, interval: Option<Duration>) {
        self.interval = interval;
    }

    /// When to read it next; `None`: not by itself.
    pub(crate) fn due(&self) -> Option<Duration> {
        self.due
    }

    /// Consul has refused a token.
    pub(crate) fn refused(&mut self, now: Duration) {
        if !self.have || !self.changes {
            return;
        }
        let pause = (FIRST_REFUSAL * 2_u32.saturating_pow(self.refused)).min(LONGEST_REFUSAL);
        let at = self.last.map_or(now, |last| now.max(last + pause));
        if self.due.is_none_or(|due| at < due) {
            self.due = Some(at);
            self.because_refused = true;
        }
    }

    /// Somebody wants it read now.
    pub(crate) fn now(&mut self, now: Duration) {
        if self.changes || !self.have {
            self.due = Some(now);
        }
    }

    /// It was read.
    pub(crate) fn read(&mut self, what: Read, now: Duration) {
        self.last = Some(now);
        let because_refused = std::mem::take(&mut self.because_refused);
        let pause = match what {
            Read::New | Read::Same => {
                self.have = true;
                self.vain = 0;
                self.refused = match what {
                    Read::Same if because_refused => self.refused.saturating_add(1),
                    _ => 0,
                };
                self.interval
            }
            Read::NotYet | Read::Failed => {
                let longest = match what {
                    Read::NotYet => LONGEST_WAIT,
                    _ => LONGEST_FAILING,
                };
                let pause = FIRST * 2_u32.saturating_pow(self.vain);
                self.vain = (self.vain + 1).min(16);
                Some(pause.min(longest))
            }
        };
        self.due = pause.map(|pause| now + pause);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const EVERY: Duration = Duration::from_secs(120);

    fn at(seconds: f64) -> Duration {
        Duration::from_secs_f64(seconds)
    }

    /// When it is read, if each read brings `what`.
    fn reads(renewal: &mut Renewal, what: Read, n: usize) -> Vec<f64> {
        (0..n)
            .map(|_| {
                let now = renewal.due().unwrap();
                renewal.read(what, now);
                now.as_secs_f64()
            })
            .collect()
    }

    #[test]
    fn what_is_not_there_yet_is_asked_for_soon_and_then_every_five_seconds() {
        let mut renewal = Renewal::new(Some(EVERY), false, at(0.0));
        assert_eq!(reads(&mut renewal, Read::NotYet, 7), [0.0, 0.5, 1.5, 3.5, 7.5, 12.5, 17.5]);
        renewal.read(Read::New, at(20.0));
        assert_eq!(renewal.due(), Some(at(140.0)));
    }

    #[test]
    fn failures_are_waited_out_ever_longer_and_a_value_ends_that() {
        let mut renewal = Renewal::new(Some(EVERY), true, at(0.0));
        assert_eq!(renewal.due(), Some(EVERY), "we have it");
        let failing = reads(&mut renewal, Read::Failed, 9);
        assert_eq!(failing[..4], [120.0, 120.5, 121.5, 123.5]);
        assert!((failing[8] - failing[7] - 30.0).abs() < 1e-9);
        renewal.read(Read::Same, at(300.0));
        renewal.read(Read::Failed, at(420.0));
        assert_eq!(renewal.due(), Some(at(420.5)));
    }

    #[test]
    fn a_refused_token_is_read_at_once_and_ever_more_rarely_while_that_does_not_help() {
        let mut renewal = Renewal::new(Some(EVERY), false, at(0.0));
        renewal.refused(at(0.0));
        renewal.read(Read::New, at(0.0));
        // Refused all the time.
        let mut now = at(50.0);
        let mut seen = Vec::new();
        for _ in 0..8 {
            renewal.refused(now);
            now = renewal.due().unwrap();
            seen.push(now.as_secs_f64());
            renewal.read(Read::Same, now);
        }
        assert_eq!(seen, [50.0, 52.0, 56.0, 64.0, 80.0, 112.0, 172.0, 232.0]);
        renewal.refused(now + at(0.1));
        renewal.read(Read::New, now + at(60.0));
        renewal.refused(now + at(90.0));
        assert_eq!(renewal.due(), Some(now + at(90.0)), "another token, another try");
    }

    #[test]
    fn what_is_read_once_is_not_read_again_whoever_asks() {
        let mut renewal = Renewal::new(None, false, at(0.0));
        assert_eq!(renewal.due(), Some(at(0.0)));
        renewal.read(Read::New, at(0.1));
        renewal.refused(at(1.0));
        renewal.now(at(1.0));
        assert_eq!(renewal.due(), None);
    }

    #[test]
    fn a_token_that_was_made_is_made_again_in_its_time_or_when_it_is_refused() {
        let mut renewal = Renewal::made();
        assert_eq!(renewal.due(), None);
        renewal.now(at(0.5));
        assert_eq!(renewal.due(), Some(at(0.5)));
        renewal.set_interval(Some(at(300.0)));
        renewal.read(Read::New, at(1.0));
        assert_eq!(renewal.due(), Some(at(301.0)));
        // The next one does not end.
        renewal.set_interval(None);
        renewal.read(Read::New, at(301.0));
        assert_eq!(renewal.due(), None);
        renewal.refused(at(900.0));
        assert_eq!(renewal.due(), Some(at(900.0)));
    }

    #[test]
    fn whoever_asks_for_a_read_gets_it_now() {
        let mut renewal = Renewal::new(Some(EVERY), true, at(0.0));
        renewal.now(at(3.0));
        assert_eq!(renewal.due(), Some(at(3.0)));
    }
}
