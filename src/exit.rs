//! The exit codes of every mode, in one place: they are part of the contract with ECS and with operators.

/// Stopped in order, also when that happened during startup.
pub const OK: u8 = 0;
/// Could not start: a binary is missing, or the start timeout passed.
pub const COULD_NOT_START: u8 = 1;
/// A child's restart budget is spent, or an actor failed.
pub const GAVE_UP: u8 = 3;
/// Stopped, but something had to be killed.
pub const KILLED_SOMETHING: u8 = 4;
/// Bad configuration or arguments (`EX_USAGE` of sysexits.h); nothing was started.
pub const USAGE: u8 = 64;
/// `taskmesh app`: there is no supervisor (`EX_UNAVAILABLE`).
pub const NO_SUPERVISOR: u8 = 69;
/// `taskmesh app`: waited longer than `--wait-timeout` (`EX_TEMPFAIL`).
pub const WAITED_TOO_LONG: u8 = 75;
/// `taskmesh app`: the command is not executable (as a shell has it).
pub const NOT_EXECUTABLE: u8 = 126;
/// `taskmesh app`: the command was not found (as a shell has it).
pub const NOT_FOUND: u8 = 127;
