//! How often an API may be asked: a token bucket that learns (pure; times are since any one moment).

use std::time::Duration;

/// Calls a second, and how many at once.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Limit {
    /// Calls a second, on the long run.
    pub(crate) rate: f64,
    /// As many may come at once after a pause.
    pub(crate) burst: f64,
}

/// `ListTasks` and `DescribeTasks` share one bucket of the account and region with everybody who reads tasks: 20 a
/// second, 100 at once. Half of it is left to them
/// (<https://docs.aws.amazon.com/AmazonECS/latest/APIReference/request-throttling.html>).
pub(crate) const ECS_READS: Limit = Limit { rate: 10.0, burst: 40.0 };
/// `PutSecretValue` and `UpdateSecret` share 50 a second of the account and region
/// (<https://docs.aws.amazon.com/secretsmanager/latest/userguide/reference_limits.html>).
pub(crate) const SECRET_WRITES: Limit = Limit { rate: 30.0, burst: 30.0 };
/// `GetSecretValue`: of 10,000 a second.
pub(crate) const SECRET_READS: Limit = Limit { rate: 500.0, burst: 500.0 };

/// After a refusal the rate is halved, down to this part of the limit.
const LEAST: f64 = 1.0 / 32.0;
/// A call that goes well wins back this part of the limit.
const GAIN: f64 = 0.01;

/// A bucket of permits that fills by and by.
#[derive(Debug, Clone)]
pub(crate) struct Bucket {
    limit: Limit,
    /// The rate now.
    rate: f64,
    /// Permits; below 0: so many are promised to others who wait.
    level: f64,
    at: Duration,
}

impl Bucket {
    /// A full one.
    pub(crate) fn new(limit: Limit) -> Self {
        Self { limit, rate: limit.rate, level: limit.burst, at: Duration::ZERO }
    }

    /// Takes a permit: how long to wait before the call.
    pub(crate) fn take(&mut self, now: Duration) -> Duration {
        let passed = now.saturating_sub(self.at).as_secs_f64();
        self.at = self.at.max(now);
        self.level = (self.level + passed * self.rate).min(self.limit.burst) - 1.0;
        Duration::from_secs_f64((-self.level / self.rate).max(0.0))
    }

    /// The API said "too often": others use it, too.
    pub(crate) fn refused(&mut self) {
        self.rate = (self.rate / 2.0).max(self.limit.rate * LEAST);
        self.level = self.level.min(0.0);
    }

    /// A call went well.
    pub(crate) fn went_well(&mut self) {
        self.rate = (self.rate + self.limit.rate * GAIN).min(self.limit.rate);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LIMIT: Limit = Limit { rate: 10.0, burst: 5.0 };

    /// When each of `n` calls is made by somebody who is always ready for the next.
    fn calls(bucket: &mut Bucket, from: Duration, n: usize) -> Vec<f64> {
        let mut now = from;
        (0..n)
            .map(|_| {
                now += bucket.take(now);
                (now - from).as_secs_f64()
            })
            .collect()
    }

    #[test]
    fn a_burst_goes_at_once_and_the_rest_at_the_rate() {
        let mut bucket = Bucket::new(LIMIT);
        let at = calls(&mut bucket, Duration::ZERO, 25);
        assert!(at[..5].iter().all(|at| *at == 0.0), "{at:?}");
        assert!((at[24] - 2.0).abs() < 0.01, "{at:?}");
        // A pause fills it again, and no further than the burst.
        let at = calls(&mut bucket, Duration::from_secs(100), 10);
        assert!(at[4] == 0.0 && (at[9] - 0.5).abs() < 0.01, "{at:?}");
    }

    #[test]
    fn who_waits_side_by_side_is_let_through_one_by_one() {
        let mut bucket = Bucket::new(LIMIT);
        let waits: Vec<_> = (0..15).map(|_| bucket.take(Duration::ZERO).as_secs_f64()).collect();
        assert!((waits[14] - 1.0).abs() < 0.01, "{waits:?}");
        assert!(waits.is_sorted());
    }

    #[test]
    fn a_refusal_halves_the_rate_and_a_hundred_good_calls_bring_it_back() {
        let mut bucket = Bucket::new(LIMIT);
        calls(&mut bucket, Duration::ZERO, 5);
        bucket.refused();
        let at = calls(&mut bucket, Duration::ZERO, 10);
        assert!((at[9] - 2.0).abs() < 0.01, "5 a second: {at:?}");
        (0..20).for_each(|_| bucket.refused());
        assert!(bucket.rate > 0.3, "it never stops altogether");
        (0..100).for_each(|_| bucket.went_well());
        assert!((bucket.rate - 10.0).abs() < 0.01);
    }
}
