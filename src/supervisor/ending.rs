//! How a child ended, and in which words that is told.

use crate::process::ChildExit;
use std::fmt;

/// How a child ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Ending {
    /// It ran, and ended like this.
    Exit(ChildExit),
    /// It was killed, and it is known what for: in words.
    Killed {
        /// As the kernel has it.
        exit: ChildExit,
        /// See above.
        why: String,
    },
    /// It never ran. `fatal`: trying again cannot help (not found, not executable).
    SpawnFailed {
        /// In words, with the program's name.
        why: String,
        /// See above.
        fatal: bool,
    },
}

impl Ending {
    /// It ended by itself with code 0.
    pub fn is_success(&self) -> bool {
        matches!(self, Self::Exit(exit) if exit.success())
    }
}

impl fmt::Display for Ending {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Exit(exit) => exit.fmt(f),
            Self::Killed { why, .. } | Self::SpawnFailed { why, .. } => f.write_str(why),
        }
    }
}
