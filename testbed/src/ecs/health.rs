//! Docker's rules for a health check (`moby/moby` `daemon/health.go`), without a clock.

use std::time::Duration;

use super::state::Health;

/// Exit code of a probe that took too long.
pub(super) const TIMED_OUT: i32 = -1;
/// Between probes while starting within the start period (Docker 25 on).
const START_INTERVAL: Duration = Duration::from_secs(5);

/// A container's health check, its times already scaled.
#[derive(Debug, Clone)]
pub(super) struct Monitor {
    pub(super) interval: Duration,
    pub(super) start_period: Duration,
    pub(super) retries: u32,
    /// The scale that the above were divided by.
    pub(super) scale: f64,
    streak: u32,
    health: Health,
}

impl Monitor {
    pub(super) fn new(
        interval: Duration,
        start_period: Duration,
        retries: u32,
        scale: f64,
    ) -> Self {
        Self { interval, start_period, retries, scale, streak: 0, health: Health::Unknown }
    }

    /// How long to wait for the next probe, `elapsed` after the container's start.
    pub(super) fn delay(&self, elapsed: Duration) -> Duration {
        if self.health != Health::Unknown || elapsed >= self.start_period {
            return self.interval;
        }
        let left = self.start_period - elapsed;
        self.interval.min(START_INTERVAL.div_f64(self.scale)).min(left)
    }

    /// Takes a probe's exit code; answers the health after it.
    pub(super) fn observe(&mut self, code: i32, elapsed: Duration) -> Health {
        if code == 0 {
            self.streak = 0;
            self.health = Health::Healthy;
        } else if self.health != Health::Unknown || elapsed >= self.start_period {
            self.streak += 1;
            if self.streak >= self.retries {
                self.health = Health::Unhealthy;
            }
        }
        self.health
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    #[test]
    fn unhealthy_after_retries_in_a_row_and_healthy_at_the_first_success() {
        let mut monitor = Monitor::new(5 * SECOND, Duration::ZERO, 3, 1.0);
        assert_eq!(monitor.delay(Duration::ZERO), 5 * SECOND, "first probe after one interval");
        let codes = [1, 1, 0, 1, TIMED_OUT, 1, 0];
        let seen: Vec<Health> = codes.iter().map(|code| monitor.observe(*code, SECOND)).collect();
        use Health::{Healthy, Unhealthy, Unknown};
        assert_eq!(seen, [Unknown, Unknown, Healthy, Healthy, Healthy, Unhealthy, Healthy]);
    }

    #[test]
    fn failures_in_the_start_period_do_not_count_and_probes_come_sooner() {
        let mut monitor = Monitor::new(30 * SECOND, 12 * SECOND, 1, 1.0);
        assert_eq!(monitor.delay(Duration::ZERO), 5 * SECOND);
        assert_eq!(monitor.observe(1, 5 * SECOND), Health::Unknown);
        assert_eq!(monitor.delay(10 * SECOND), 2 * SECOND);
        assert_eq!(monitor.observe(1, 12 * SECOND), Health::Unhealthy);
        assert_eq!(monitor.delay(12 * SECOND), 30 * SECOND);
    }
}
