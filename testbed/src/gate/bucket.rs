//! A token bucket, as AWS has one for each group of calls.

use tokio::time::Instant;

/// So many calls a second, and so many at once.
pub(super) struct Bucket {
    rate: f64,
    burst: f64,
    level: f64,
    at: Instant,
}

impl Bucket {
    /// A full one.
    pub(super) fn new(rate: f64, burst: f64) -> Self {
        Self { rate, burst, level: burst, at: Instant::now() }
    }

    /// Whether a call may go through.
    pub(super) fn take(&mut self) -> bool {
        let passed = self.at.elapsed().as_secs_f64();
        self.at = Instant::now();
        self.level = (self.level + passed * self.rate).min(self.burst);
        let may = self.level >= 1.0;
        if may {
            self.level -= 1.0;
        }
        may
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    #[tokio::test(start_paused = true)]
    async fn a_burst_goes_through_and_then_the_rate() {
        let mut bucket = Bucket::new(10.0, 3.0);
        assert_eq!((0..5).filter(|_| bucket.take()).count(), 3);
        tokio::time::sleep(Duration::from_millis(250)).await;
        assert_eq!((0..5).filter(|_| bucket.take()).count(), 2);
    }
}
