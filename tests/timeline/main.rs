//! Timelines of real tasks: a simulated ECS task, real Envoys, and as Consul the development mesh, or the one that
//! `CONSUL_BIN` names. What is asserted is the order of events and generous bounds, never a performance.

mod acl;
mod agent;
mod auto;
mod away;
mod causes;
mod company;
mod deploy;
mod disk;
mod early;
mod examples;
mod exits;
mod faults;
mod health;
mod load;
mod login;
mod migrate;
mod offer;
mod oom;
mod outages;
mod panics;
mod refusal;
mod repair;
mod security;
mod signals;
mod start;
mod stop;
mod support;
mod tokens;
