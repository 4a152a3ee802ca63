//! `cargo fuzz run wrapper`, or `make fuzz`: see `properties/wrapper.rs` for what must hold.
#![no_main]

include!("../target.rs");

text_target!(wrapper);
