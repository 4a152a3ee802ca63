//! Links the static binary so that less of it has to be read at each start.

fn main() {
    println!("cargo::rerun-if-changed=build.rs");
    // Relative relocations in 8 kB instead of 540, all of which a start reads and which stay in memory. musl applies
    // them from 1.2.4 on; Rust brings a later one.
    if std::env::var("CARGO_CFG_TARGET_ENV").as_deref() == Ok("musl") {
        println!("cargo::rustc-link-arg-bins=-Wl,-z,pack-relative-relocs");
    }
}
