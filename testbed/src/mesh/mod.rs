//! The development mesh: a stand-in for the `consul` executable, and helpers to run it in tests.
//!
//! FOR DEVELOPMENT AND TESTS ONLY. It answers the slice of Consul's CLI, HTTP API and delta ADS
//! (v3) that `taskmesh` and Envoy use, with a real CA and mutual TLS, and copies what hurts:
//! TCP checks that start critical and run at a random moment, leaves of 3-4 s, updates that
//! coalesce for 200 ms, reserved node names, tokens that are checked on every call and those of a login end.
//!
//! ```text
//!   dev-consul agent -server          dev-consul agent                     Envoy
//!   rpc: catalog, CA, ACL   <-------  link: join, follow, push
//!                                     local + checks  <---- api ---- taskmesh
//!                                     catalog (copy)  ----> xds ------------>  ADS
//! ```
//! Not in it: several servers, datacenters, namespaces, TLS between agents (the keys are read
//! and ignored), DNS, KV, sessions, exposed paths, script, gRPC, H2PING and UDP checks.

mod acl;
mod agent;
mod alias;
mod api;
mod bootstrap;
mod ca;
mod catalog;
mod change;
mod checks;
pub mod cli;
mod config;
mod flags;
mod http;
mod keys;
mod link;
mod local;
mod login;
mod logs;
mod model;
mod random;
mod resolved;
mod rpc;
mod spawn;
mod state;
mod xds;

pub use spawn::{
    Acl, AgentOptions, Consul, Kind, Ports, ServerOptions, SpawnError, Tls, Token, free_ports,
};

/// The version this mesh says it has; the API is 1.23's.
pub(crate) const VERSION: &str = "1.23.0-devmesh";
