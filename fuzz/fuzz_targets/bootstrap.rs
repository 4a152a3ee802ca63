//! `cargo fuzz run bootstrap`, or `make fuzz`: see `properties/bootstrap.rs` for what must hold.
#![no_main]

include!("../target.rs");

json_target!(bootstrap, "seeds/bootstrap");
