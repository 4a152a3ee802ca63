//! `cargo fuzz run config`, or `make fuzz`: see `properties/config.rs` for what must hold.
#![no_main]

include!("../target.rs");

json_target!(config, "../config");
