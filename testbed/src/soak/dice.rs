//! Choices that can be repeated.

use std::time::Duration;

/// Numbers of a seed (SplitMix64).
#[derive(Debug)]
pub(super) struct Dice(u64);

/// What happens next to one task.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Deed {
    /// ECS stops it.
    Stop,
    KillAgent,
    KillEnvoy,
    /// With all that is in its container, as PID 1's end does.
    KillSupervisor,
    /// STOP, and CONT a while later.
    FreezeAgent,
    FreezeEnvoy,
    FreezeSupervisor,
}

impl Deed {
    pub(super) const ALL: [Self; 7] = [
        Self::Stop,
        Self::KillAgent,
        Self::KillEnvoy,
        Self::KillSupervisor,
        Self::FreezeAgent,
        Self::FreezeEnvoy,
        Self::FreezeSupervisor,
    ];

    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Stop => "stop task",
            Self::KillAgent => "kill agent",
            Self::KillEnvoy => "kill Envoy",
            Self::KillSupervisor => "kill supervisor",
            Self::FreezeAgent => "freeze agent",
            Self::FreezeEnvoy => "freeze Envoy",
            Self::FreezeSupervisor => "freeze supervisor",
        }
    }
}

impl Dice {
    pub(super) fn new(seed: u64) -> Self {
        Self(seed)
    }

    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// A number below `end`, which is not 0.
    pub(super) fn below(&mut self, end: usize) -> usize {
        // The bias is far below one in a billion.
        usize::try_from(self.next() % end as u64).unwrap_or(0)
    }

    pub(super) fn deed(&mut self) -> Deed {
        Deed::ALL[self.below(Deed::ALL.len())]
    }

    /// Evenly between the two, in milliseconds.
    pub(super) fn pause(&mut self, least: u64, most: u64) -> Duration {
        Duration::from_millis(least + self.next() % (most - least + 1))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_seed_gives_the_same_deeds_again_and_every_deed_comes() {
        let deeds = |seed| {
            let mut dice = Dice::new(seed);
            (0..200).map(|_| dice.deed()).collect::<Vec<_>>()
        };
        assert_eq!(deeds(7), deeds(7));
        assert_ne!(deeds(7), deeds(8));
        assert!(Deed::ALL.iter().all(|deed| deeds(7).contains(deed)));
        let mut dice = Dice::new(1);
        assert!((0..100).all(|_| (5..=9).contains(&dice.pause(5, 9).as_millis())));
    }
}
