// A whole target: `json_target!(config, "../config")` or `text_target!(wrapper)`. Included, for each target is a binary of
// its own.

#[path = "properties/mod.rs"]
#[allow(dead_code)] // each target uses one part
mod properties;

/// Documents. Half of the changes keep the input JSON: the fuzzer's own, of bytes, seldom do.
#[allow(unused_macros)]
macro_rules! json_target {
    ($property:ident, $seeds:literal) => {
        static SEEDS: std::sync::LazyLock<properties::mutate::Seeds> =
            std::sync::LazyLock::new(|| {
                let here = std::path::Path::new(env!("CARGO_MANIFEST_DIR"));
                properties::mutate::Seeds::of_folder(&here.join($seeds))
            });

        text_target!($property);

        libfuzzer_sys::fuzz_mutator!(|data: &mut [u8], size: usize, max_size: usize, seed: u32| {
            if seed % 2 == 0
                && let Ok(mut document) = serde_json::from_slice(&data[..size])
            {
                let mut random = properties::mutate::Random(u64::from(seed));
                SEEDS.mutate(&mut document, &mut random);
                let text = document.to_string();
                if text.len() <= max_size {
                    data[..text.len()].copy_from_slice(text.as_bytes());
                    return text.len();
                }
            }
            libfuzzer_sys::fuzzer_mutate(data, size, max_size)
        });
    };
}

/// Any bytes.
macro_rules! text_target {
    ($property:ident) => {
        libfuzzer_sys::fuzz_target!(|data: &[u8]| {
            properties::$property::check(data);
        });
    };
}
