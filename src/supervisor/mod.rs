//! The timeline: what happens in which order, and why.
//!
//! | label | phases | what is done |
//! |---|---|---|
//! | T0 | `Reading`, `Enrolling`, `Registering`, `Bootstrapping` | metadata, agent, registration, bootstrap |
//! | T1 | `Proxying` | Envoy, health sync |
//! | T2 | `Serving` | every latch is released: apps run, peers come |
//! | stop T0 | `Hushing`, `Withdrawing` | sync stopped, checks critical, maintenance |
//! | stop T1 | `Propagating` to `Deregistering` | peers, drain, apps, Envoy |
//! | stop T2 | `Leaving` | the agent leaves |
//! | stop T3 | `Exited` | everything is reaped |
//! | stop T4 | the `Deadline` timer, in any phase | what is left is killed |
//!
//! Policy is pure: [`step`] takes an [`Event`] and gives [`Effect`]s. The [`actor`] runs it; the executor turns
//! effects into messages, timers and records.

pub mod actor;
mod apps;
mod checks;
mod child;
mod effect;
mod ending;
mod event;
mod executor;
mod facts;
mod fsm;
pub mod health;
pub(crate) mod health_book;
mod limits;
pub(crate) mod listener;
pub(crate) mod liveness;
mod phase;
mod plan;
pub mod refusal;
pub(crate) mod renewal;
mod shutdown;
mod startup;
mod status;

pub use child::{Child, Role, State};
pub use effect::Effect;
pub use ending::Ending;
pub use event::{Event, Need, PeersView, Source, TaskSeen, TimerId};
pub use executor::Hands;
pub use facts::{App, Facts, Latch, PeersEnd, Stop, StopCause};
pub use fsm::{Machine, step};
pub use phase::Phase;
pub use plan::{Inbound, OwnChecks, Plan, Synced};
