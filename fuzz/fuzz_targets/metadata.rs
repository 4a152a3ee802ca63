//! `cargo fuzz run metadata`, or `make fuzz`: see `properties/metadata.rs` for what must hold.
#![no_main]

#[path = "../properties/mod.rs"]
#[allow(dead_code)] // each target uses one half
mod properties;

use libfuzzer_sys::{fuzz_mutator, fuzz_target, fuzzer_mutate};
use properties::mutate::{Random, Seeds};
use std::path::Path;
use std::sync::LazyLock;

static SEEDS: LazyLock<Seeds> = LazyLock::new(|| {
    Seeds::of_folder(&Path::new(env!("CARGO_MANIFEST_DIR")).join("seeds/metadata"))
});

fuzz_target!(|data: &[u8]| {
    properties::metadata::check(data);
});

// Half of the changes keep the input JSON: the fuzzer's own, of bytes, seldom do.
fuzz_mutator!(|data: &mut [u8], size: usize, max_size: usize, seed: u32| {
    if seed % 2 == 0
        && let Ok(mut document) = serde_json::from_slice(&data[..size])
    {
        SEEDS.mutate(&mut document, &mut Random(u64::from(seed)));
        let text = document.to_string();
        if text.len() <= max_size {
            data[..text.len()].copy_from_slice(text.as_bytes());
            return text.len();
        }
    }
    fuzzer_mutate(data, size, max_size)
});
