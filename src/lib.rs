//! One helper container that puts an AWS ECS task on a Consul service mesh.
//!
//! | module | what it knows |
//! |---|---|
//! | [`supervisor`] | the timeline: policy, pure; and the actor that runs it |
//! | [`actors`] | the Consul agent, registration, Envoy, health sync, task watch: do, and report facts |
//! | [`consul`], [`ecs`], [`envoy`] | one protocol each, nothing of the timeline |
//! | [`config`] | what a user writes, checked before anything starts |
//! | `agent_text` | what must be known of HCL and JSON that users write for the agent: variables, keys, secrets |
//! | [`explain`] | what `run` would do with a configuration, told without doing it |
//! | `acl` | `taskmesh controller`: tokens for the tasks of an ECS cluster (feature `aws`) |
//! | `aws_login` | the proof of the task's IAM role for which Consul gives a token (feature `aws`) |
//! | [`admin`], [`wrapper`], [`healthcheck`] | the loopback API and the two commands that use it |
//! | [`process`], [`logging`] | children, reaping, bounded output |
//! | [`timeline`] | the record of what happened when, and its pictures |
//! | `wire`, [`private`] | what the protocols share: bounded HTTP exchanges; files that only we may read |
//! | `stored` | secrets in AWS Secrets Manager, as a task reads them |
//! | [`own_copy`] | our binary, for the wrapped apps |
//! | [`consul_ecs`] | the command line of consul-ecs 0.4.3's app wrapper |

#[cfg(feature = "aws")]
pub mod acl;
pub mod actors;
pub mod admin;
mod agent_text;
pub mod app;
#[cfg(feature = "aws")]
mod aws;
#[cfg(feature = "aws")]
mod aws_login;
pub mod cli;
pub mod config;
pub mod consul;
pub mod consul_ecs;
pub mod ecs;
pub mod envoy;
pub mod exit;
pub mod explain;
pub mod healthcheck;
pub mod logging;
pub mod own_copy;
pub mod private;
pub mod process;
mod random;
pub mod signals;
mod stored;
pub mod supervisor;
pub mod timeline;
mod wire;
pub mod wrapper;
