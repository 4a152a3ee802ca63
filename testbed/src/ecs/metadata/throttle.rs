//! The agent's rate limit: 40 requests a second, bursts of 60, for each peer and path
//! (`aws/amazon-ecs-agent` `config.go`, `tmds/server.go`).

use std::collections::HashMap;
use std::net::IpAddr;

use tokio::time::Instant;

const RATE: f64 = 40.0;
const BURST: f64 = 60.0;

#[derive(Debug, Default)]
pub(super) struct Throttle {
    buckets: HashMap<(IpAddr, String), (f64, Instant)>,
}

impl Throttle {
    /// Whether a request may pass.
    pub(super) fn pass(&mut self, peer: IpAddr, path: &str, now: Instant) -> bool {
        let bucket = self.buckets.entry((peer, path.to_owned())).or_insert((BURST, now));
        let earned = (now - bucket.1).as_secs_f64() * RATE;
        *bucket = ((bucket.0 + earned).min(BURST), now);
        let pass = bucket.0 >= 1.0;
        if pass {
            bucket.0 -= 1.0;
        }
        pass
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn a_burst_of_60_then_40_a_second_for_each_path() {
        let (mut throttle, start) = (Throttle::default(), Instant::now());
        let peer = IpAddr::from([10, 0, 0, 1]);
        let mut passed = |path, at| (0..100).filter(|_| throttle.pass(peer, path, at)).count();
        assert_eq!(passed("/task", start), 60);
        assert_eq!(passed("/other", start), 60);
        assert_eq!(passed("/task", start + Duration::from_millis(500)), 20);
    }
}
