//! Random identifiers and numbers, seeded by the standard library's hash keys.

use std::hash::{BuildHasher, RandomState};

/// A random number.
pub(super) fn random() -> u64 {
    RandomState::new().hash_one(0_u8)
}

/// `digits` hexadecimal digits, at most 64.
pub(super) fn hex(digits: usize) -> String {
    let mut text: String = (0..4).map(|_| format!("{:016x}", random())).collect();
    text.truncate(digits);
    text
}

/// A random UUID with dashes.
pub(super) fn uuid() -> String {
    let h = hex(32);
    format!("{}-{}-{}-{}-{}", &h[..8], &h[8..12], &h[12..16], &h[16..20], &h[20..])
}

/// Fisher-Yates.
pub(super) fn shuffle<T>(items: &mut [T]) {
    for last in (1..items.len()).rev() {
        // The remainder is below `last + 1`, so it fits.
        let other = (random() % (last as u64 + 1)) as usize;
        items.swap(last, other);
    }
}
