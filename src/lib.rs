//! One helper container that puts an AWS ECS task on a Consul service mesh.
//!
//! | module | what it knows |
//! |---|---|
//! | [`timeline`] | the record of what happened when, and its pictures |

pub mod exit;
pub mod timeline;
