//! A little randomness from the standard library's hasher seeds: enough for jitter and IDs here.

use std::hash::{BuildHasher, RandomState};
use std::time::Duration;

/// 64 random bits.
pub(crate) fn next() -> u64 {
    RandomState::new().hash_one(std::process::id())
}

/// A UUID-shaped random string.
pub(crate) fn uuid() -> String {
    let hex = format!("{:016x}{:016x}", next(), next());
    uuid_of(&hex)
}

/// Dashes 32 hex digits as a UUID.
fn uuid_of(hex: &str) -> String {
    let (a, b, c) = (&hex[..8], &hex[8..12], &hex[12..16]);
    format!("{a}-{b}-{c}-{}-{}", &hex[16..20], &hex[20..32])
}

/// A random duration in `[0, max)`.
pub(crate) fn below(max: Duration) -> Duration {
    max.mul_f64((next() >> 11) as f64 / (1u64 << 53) as f64)
}
