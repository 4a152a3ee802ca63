//! `cargo fuzz run timeline`, or `make fuzz`: see `properties/timeline.rs` for what must hold.
#![no_main]

include!("../target.rs");

json_target!(timeline, "seeds/timeline");
