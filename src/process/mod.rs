//! Children: spawn, read, signal and reap them, as PID 1 of a container must.
//!
//! | file | what it knows |
//! |---|---|
//! | `spec` | what is to be started, how a program is found, why it could not be started |
//! | `child` | a running child: signals, waiting, what happens when it is dropped |
//! | `reaper` | the one owner of every exit status of this process |
//! | `output` | the children's pipes: lines, cut and counted; or captured |
//! | `run` | start, wait with a limit, give back what was printed |
//! | `limits` | open files, core dumps, OOM score, environment |
//! | `memory` | whether the kernel killed because memory ran out |
//! | `cpu` | processor time that a process has taken |
//! | `sys` | the few `unsafe` lines |
//!
//! Three rules hold everywhere here:
//! 1. One owner of statuses. Nothing else in this process may wait for children (no `tokio::process`, no
//!    `std::process::Child::wait` beside it), for a status can be taken only once.
//! 2. A pid is signalled only under the registry's lock and only while its status was not yet taken: so long
//!    the kernel cannot give the number to somebody else.
//! 3. Children are started from the thread that runs the runtime, which lives as long as the process:
//!    `PR_SET_PDEATHSIG` fires when the *thread* that forked ends (prctl(2)).

mod child;
mod cpu;
mod exit;
mod limits;
mod memory;
mod output;
mod reaper;
mod run;
mod spec;
mod sys;

pub use child::{Child, spawn};
pub use cpu::{cpu_time, main_thread_cpu_time};
pub use exit::ChildExit;
pub use limits::{NofileLimits, filtered_env, forbid_core_dumps, raise_nofile};
pub use memory::Memory;
pub use nix::sys::signal::Signal;
pub use output::{Line, LineSink, MAX_LINE, Stream};
pub use reaper::Reaper;
pub use run::{CapturedOutput, RunError, run_to_end};
pub use spec::{ChildSpec, Output, SpawnError};
