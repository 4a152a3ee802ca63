//! `cargo fuzz run consul`, or `make fuzz`: see `properties/consul.rs` for what must hold.
#![no_main]

include!("../target.rs");

json_target!(consul, "seeds/consul");
