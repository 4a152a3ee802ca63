//! `taskmesh controller` against a real Consul with ACLs, default deny, and AWS as moto serves it.

mod deploy;
mod drift;
mod enterprise;
mod faults;
mod lead;
mod life;
mod place;
mod scale;
