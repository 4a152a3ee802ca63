//! One helper container that puts an AWS ECS task on a Consul service mesh.
//!
//! | module | what it knows |
//! |---|---|

pub mod exit;
