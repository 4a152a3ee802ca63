//! An in-memory crew for the timeline machine, on simulated time: no process, no socket, no clock.
//!
//! | module | what it holds |
//! |---|---|
//! | `script` | how long everything takes, and what goes wrong |
//! | `crew` | answers each effect after a known latency |
//! | `children` | its two child processes |
//! | `task` | its ECS task: metadata, apps and their wrappers |
//! | `mesh` | the agent, the servers and what peers see, for a crew that answers by what is there |
//! | `checks` | its checks, and the health that is written into them |
//! | `writes` | its queue of registrations |
//! | `fault` | what goes wrong for a while, or more than once |
//! | `failing` | writes that fail at the agent |
//! | `hang` | a child that is alive and answers nothing |
//! | `world` | runs the machine against them on a virtual clock; what it writes reads like the timeline |
//! | `paused` | the same crew behind the real actor, on tokio's paused clock |
//! | `agenda` | what is due when |
//! | `promises` | what must hold of every life that came to its exit |
//! | `dice` | chance from a seed |

// Each test binary that shares this uses a part of it.
#![allow(dead_code)]

mod agenda;
pub(crate) mod checks;
pub(crate) mod children;
pub(crate) mod crew;
pub(crate) mod dice;
pub(crate) mod failing;
pub(crate) mod fault;
pub(crate) mod hang;
pub(crate) mod mesh;
pub(crate) mod paused;
pub(crate) mod promises;
pub(crate) mod script;
pub(crate) mod task;
pub(crate) mod world;
mod writes;
