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

    /// Of what it printed last, the line to tell. One that gave up says why in an error, and goes on to speak of its
    /// exit; what a signal ended had nothing to say about it, and an older error of its would mislead.
    pub fn telling<'a>(&self, said: &'a [String]) -> Option<&'a str> {
        let lines = || said.iter().map(|line| line.trim()).filter(|line| !line.is_empty()).rev();
        let gave_up = matches!(self, Self::Exit(ChildExit::Code(code)) if *code != 0);
        let error = |line: &&str| ERRORS.iter().any(|level| line.contains(level));
        gave_up.then(|| lines().find(error)).flatten().or_else(|| lines().next())
    }
}

/// How Consul, Envoy and the Go runtime mark a line that says why they cannot go on.
const ERRORS: [&str; 5] = ["[ERROR]", "[critical]", "[error]", "panic: ", "fatal error: "];

impl fmt::Display for Ending {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Exit(exit) => exit.fmt(f),
            Self::Killed { why, .. } | Self::SpawnFailed { why, .. } => f.write_str(why),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_error_is_told_before_the_words_of_farewell_and_only_of_one_that_gave_up() {
        let lines = |text: &[&str]| text.iter().map(|line| (*line).to_owned()).collect::<Vec<_>>();
        let consul = lines(&[
            "[ERROR] agent: failed to sync changes: error=\"No known Consul servers\"",
            "[ERROR] agent: Error starting agent: error=\"mkdir /consul/data/serf: read-only file system\"",
            "[INFO]  agent: Exit code: code=1",
            "",
        ]);
        let envoy = lines(&["[7][critical][main] cannot bind: Address already in use", "exiting"]);
        let code = |code| Ending::Exit(ChildExit::Code(code));
        let killed = Ending::Exit(ChildExit::Signal { signal: 9, core: false });
        for (exit, said, told) in [
            (&code(1), &consul, Some(&*consul[1])),
            (&code(1), &envoy, Some(&*envoy[0])),
            (
                &code(2),
                &lines(&["panic: nil", "goroutine 1 [running]:", "main.main()"]),
                Some("panic: nil"),
            ),
            (&code(1), &lines(&["one", "two", " "]), Some("two")),
            (&killed, &consul, Some(&*consul[2])),
            (&code(0), &consul, Some(&*consul[2])),
            (&code(1), &Vec::new(), None),
        ] {
            assert_eq!(exit.telling(said), told, "{exit}");
        }
    }
}
