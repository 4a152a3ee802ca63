//! `cargo fuzz run agent_text`, or `make fuzz`: see `properties/agent_text.rs` for what must hold.
#![no_main]

include!("../target.rs");

text_target!(agent_text);
