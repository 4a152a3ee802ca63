//! `cargo fuzz run metadata`, or `make fuzz`: see `properties/metadata.rs` for what must hold.
#![no_main]

include!("../target.rs");

json_target!(metadata, "seeds/metadata");
