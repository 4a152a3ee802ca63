//! `cargo fuzz run envoy`, or `make fuzz`: see `properties/envoy.rs` for what must hold.
#![no_main]

include!("../target.rs");

text_target!(envoy);
