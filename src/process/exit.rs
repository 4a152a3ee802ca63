//! How a child ended.

use nix::sys::signal::Signal;
use std::fmt;

/// How a child ended, exactly as the kernel reported it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum ChildExit {
    /// It called `exit` with this code, 0 to 255.
    Code(i32),
    /// A signal ended it.
    Signal {
        /// The signal's number; real-time signals have no name, so this is no [`Signal`].
        signal: i32,
        /// Whether a core was dumped.
        core: bool,
    },
    /// It is gone, but something else in this process took its status: a bug, reported rather than waited on.
    Lost,
}

impl ChildExit {
    /// Exit code 0.
    pub fn success(self) -> bool {
        self == Self::Code(0)
    }

    /// Ended by this signal.
    pub fn by_signal(self, which: Signal) -> bool {
        matches!(self, Self::Signal { signal, .. } if signal == which as i32)
    }

    /// The code a shell would report: the code itself, or 128 + signal. `None` if it is not known.
    pub fn shell_code(self) -> Option<i32> {
        match self {
            Self::Code(code) => Some(code),
            Self::Signal { signal, .. } => Some(128 + signal),
            Self::Lost => None,
        }
    }
}

impl fmt::Display for ChildExit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match *self {
            Self::Code(code) => write!(f, "exit code {code}"),
            Self::Signal { signal, core } => {
                match Signal::try_from(signal) {
                    Ok(known) => write!(f, "killed by {known}")?,
                    Err(_) => write!(f, "killed by signal {signal}")?,
                }
                if core { f.write_str(" (core dumped)") } else { Ok(()) }
            }
            Self::Lost => f.write_str("exit status lost"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_like_a_sentence() {
        assert_eq!(ChildExit::Code(1).to_string(), "exit code 1");
        let killed = ChildExit::Signal { signal: 9, core: false };
        assert_eq!(killed.to_string(), "killed by SIGKILL");
        let aborted = ChildExit::Signal { signal: 6, core: true };
        assert_eq!(aborted.to_string(), "killed by SIGABRT (core dumped)");
        let real_time = ChildExit::Signal { signal: 40, core: false };
        assert_eq!(real_time.to_string(), "killed by signal 40");
        assert_eq!(real_time.shell_code(), Some(168));
    }
}
