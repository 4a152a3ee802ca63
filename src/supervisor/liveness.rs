//! When a child that is alive counts as dead: it has not answered for too long.

use std::time::Duration;

/// So many questions in a row must have gone unanswered. Time alone proves nothing: if we ourselves were stopped for a
/// while (a paused container, a suspended host), the child was too.
const TRIES: u32 = 3;

/// From one question to the next until the first answer.
const COMING_UP: Duration = Duration::from_millis(100);

/// A child that works has this many times the limit: Envoy's main thread, which answers us, also reads what the agent
/// sends it, and 200 upstreams on a busy machine hold it for 20 s. Killed for it, it would begin again, and again.
const BUSY_TIMES: u32 = 20;

/// Judges one life of a child by its answers. Times are since any one moment.
#[derive(Debug, Clone)]
pub(crate) struct Liveness {
    /// `restart.unresponsiveAfter`.
    limit: Duration,
    /// The same before its first answer; `None`: it is not judged before.
    first: Option<Duration>,
    /// When it last answered; before that, when it was started.
    heard_at: Duration,
    /// When it was last seen to work.
    busy_at: Duration,
    answered: bool,
    unanswered: u32,
}

impl Liveness {
    /// Of a child that was started at `at`.
    pub(crate) fn new(limit: Duration, first: Option<Duration>, at: Duration) -> Self {
        Self { limit, first, heard_at: at, busy_at: at, answered: false, unanswered: 0 }
    }

    /// From one question to the next, and how long each may take. A fifth of the limit, so that its last question was
    /// put when it is over. More often before its first answer, from which on it is judged.
    pub(crate) fn interval(&self) -> Duration {
        let longest = if self.answered { Duration::from_secs(3) } else { COMING_UP };
        (self.limit / 5).min(longest)
    }

    /// It answered, whatever it said.
    pub(crate) fn answered(&mut self, at: Duration) {
        (self.heard_at, self.answered, self.unanswered) = (at, true, 0);
    }

    /// It did not; `busy`: it has worked since the last question. For how long it has not answered, if that is too long.
    pub(crate) fn unanswered(&mut self, at: Duration, busy: bool) -> Option<Duration> {
        self.unanswered = self.unanswered.saturating_add(1);
        if busy {
            self.busy_at = at;
        }
        let limit = if self.answered { self.limit } else { self.first? };
        let silent = at.saturating_sub(self.heard_at);
        let idle = at.saturating_sub(self.heard_at.max(self.busy_at));
        let too_long = idle >= limit || silent >= limit.saturating_mul(BUSY_TIMES);
        (self.unanswered >= TRIES && too_long).then_some(silent)
    }

    /// More than one question has gone unanswered: worth telling, and no more than that yet.
    pub(crate) fn in_doubt(&self) -> bool {
        self.answered && self.unanswered > 1
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn s(n: u64) -> Duration {
        Duration::from_secs(n)
    }

    fn of_15_s(first: Option<Duration>) -> Liveness {
        Liveness::new(s(15), first, s(0))
    }

    #[test]
    fn the_fifth_question_in_15_s_that_goes_unanswered_is_one_too_many() {
        let mut child = of_15_s(None);
        child.answered(s(100));
        let judged: Vec<_> =
            [103, 106, 109, 112, 115].map(|at| child.unanswered(s(at), false)).into();
        assert_eq!(judged, [None, None, None, None, Some(s(15))]);
    }

    #[test]
    fn an_answer_begins_it_all_anew() {
        let mut child = of_15_s(None);
        child.answered(s(0));
        assert_eq!([5, 10, 14].map(|at| child.unanswered(s(at), false)), [None; 3]);
        assert!(child.in_doubt());
        child.answered(s(14));
        assert!(!child.in_doubt());
        assert_eq!([16, 20, 28].map(|at| child.unanswered(s(at), false)), [None; 3]);
        assert_eq!(child.unanswered(s(29), false), Some(s(15)));
    }

    #[test]
    fn time_in_which_nobody_asked_proves_nothing() {
        let mut child = of_15_s(None);
        child.answered(s(0));
        assert_eq!([3600, 3603].map(|at| child.unanswered(s(at), false)), [None; 2]);
        child.answered(s(3604));
        assert_eq!(child.unanswered(s(3607), false), None);
    }

    #[test]
    fn before_its_first_answer_it_has_more_time_or_all_of_it() {
        let mut never = of_15_s(None);
        let mut late = of_15_s(Some(s(60)));
        for at in (3..60).step_by(3) {
            assert_eq!(
                (never.unanswered(s(at), false), late.unanswered(s(at), false)),
                (None, None),
                "{at}"
            );
        }
        assert_eq!(
            (never.unanswered(s(60), false), late.unanswered(s(60), false)),
            (None, Some(s(60)))
        );
        assert!(!late.in_doubt(), "a child that has not come up is told in other words");
    }

    #[test]
    fn one_that_works_has_twenty_times_as_long_and_the_limit_from_when_it_stops_working() {
        let mut child = of_15_s(None);
        child.answered(s(0));
        let mut works = child.clone();
        let at = (3..).step_by(3).find(|at| works.unanswered(s(*at), true).is_some());
        assert_eq!(at, Some(300));
        for at in (3..=60).step_by(3) {
            assert_eq!(child.unanswered(s(at), true), None, "{at}");
        }
        let at = (63..).step_by(3).find(|at| child.unanswered(s(*at), false).is_some());
        assert_eq!(at, Some(75));
    }

    #[test]
    fn questions_are_as_far_apart_as_the_limit_asks_for() {
        for (limit, interval) in [(1000, 200), (15_000, 3000), (3_600_000, 3000)] {
            let limit = Duration::from_millis(limit);
            let mut child = Liveness::new(limit, None, s(0));
            assert_eq!(child.interval(), COMING_UP);
            child.answered(s(1));
            assert_eq!(child.interval(), Duration::from_millis(interval));
        }
    }
}
