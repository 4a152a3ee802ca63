//! `cargo fuzz run admin`, or `make fuzz`: see `properties/admin.rs` for what must hold.
#![no_main]

include!("../target.rs");

json_target!(admin, "seeds/admin");
