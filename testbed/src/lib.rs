//! Development only: never in the image. A network of namespaces, a simulated ECS task, a
//! development mesh, small apps and a load client, and the demo that shows them together, and a soak.

pub mod apps;
pub mod bench;
pub mod bench_controller;
pub mod cluster;
mod command;
pub mod definitions;
pub mod demo;
pub mod ecs;
pub mod enterprise;
pub mod envoy_stub;
pub mod faults;
pub mod gate;
pub mod image;
pub mod load;
pub mod mesh;
pub mod moto;
pub mod net;
pub mod parts;
mod picture;
pub mod scratch;
mod screen;
pub mod seen;
pub mod skip;
pub mod soak;
pub mod trial;
mod versions;
pub mod vitals;
mod workspace;
