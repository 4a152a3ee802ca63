//! One helper container that puts an AWS ECS task on a Consul service mesh.
//!
//! | module | what it knows |
//! |---|---|
//! | [`config`] | what a user writes, checked before anything starts |
//! | [`process`], [`logging`] | children, reaping, bounded output |
//! | [`timeline`] | the record of what happened when, and its pictures |

pub mod config;
pub mod exit;
pub mod logging;
pub mod process;
pub mod timeline;
