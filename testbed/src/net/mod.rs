//! A small network for tests: every host has its own network namespace, as a task in `awsvpc`
//! mode has, and the namespaces have no names, so that nothing is ever left behind.
//!
//! A host is a thread. The thread leaves the process's network namespace, runs a tokio runtime of
//! its own, and everything it opens or forks is inside. When the thread ends, its children are
//! killed by the kernel (`PDEATHSIG` follows the forking thread) and the namespace vanishes with
//! its last user: also when the test gets SIGKILL.
//!
//! Without root or without iproute2's `ip` the hosts share the machine's loopback: each has an
//! address of its own in 127.0.0.0/8 and must keep to ports of its own.
//!
//! | file | what it knows |
//! |---|---|
//! | `lan` | namespaces, bridge, addresses |
//! | `host` | the thread, its runtime, how others run things on it |
//! | `process` | children: output, exit, signals, the end of a whole process tree |
//! | `root` | a root file system of a child's own, as a container has |
//! | `tree` | `/proc`: who descends from whom |
//! | `listeners` | `/proc/net`: who listens where |
//! | `log` | an append-only list with waiting readers |
//! | `sys` | the only `unsafe` lines: what a child does between fork and exec |

mod host;
mod lan;
mod listeners;
mod log;
mod process;
mod root;
mod sys;
mod tree;

pub use host::{Host, HostGone, HostTask};
pub(crate) use lan::mac_of;
pub use lan::{Lan, LanError, TASK_METADATA_IP};
pub use listeners::listeners;
pub use log::{Cursor, Log};
pub use process::{Exit, Line, PidSpace, Process, ProcessSpec, Stream};
pub use root::{Mount, RootFs};
pub use tree::{Proc, children, descendants};
