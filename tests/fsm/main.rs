//! The timeline machine and the actor around it, without a process, a socket or a clock of its own.
//!
//! | module | what it holds |
//! |---|---|
//! | `../crew` | actors and an ECS task that answer effects after known latencies, with scripted faults, and a virtual clock; shared with `tests/simulation` |
//! | `startup`, `checks`, `running`, `stop`, `faults`, `apps`, `status` | scenarios by name, with exact times |
//! | `any`, `random` | worlds made at random, and what must hold in every one of them |
//! | `limits` | how much time a stop has, and what is cut when it is over |
//! | `progress` | the lines that say what is waited for |
//! | `paused` | the same crew behind the real actor, on tokio's paused clock: `tests/simulation` has lives of it by chance |

#[path = "../crew/mod.rs"]
mod shared;

mod any;
mod apps;
mod checks;
mod faults;
mod limits;
mod paused;
mod progress;
mod random;
mod running;
mod startup;
mod status;
mod stop;
mod tokens;

use shared::{crew, script, task, world};
