//! A test that cannot run here says so, and is counted as skipped: `return skip("no CONSUL_BIN")`.
//!
//! libtest has no skipping at run time and shows nothing of a test that passes. So the reason also goes to the file
//! that `TASKMESH_SKIP_LOG` names; `make test` sets it, lists the reasons and takes them off the passed ones.

use std::io::Write;

/// Says that the running test is skipped, and why. The caller returns right after it.
///
/// # Panics
/// When the skip cannot be written down: a silent skip would count as passed.
pub fn skip(reason: &str) {
    let current = std::thread::current();
    let test = current.name().unwrap_or("a test");
    eprintln!("skipped: {test}: {reason}");
    let Some(file) = std::env::var_os("TASKMESH_SKIP_LOG") else { return };
    let line = format!("{}\t{test}\t{}\n", binary(), reason.replace(['\t', '\n'], " "));
    // One write of one short line in append mode: test binaries and their threads do not mix theirs.
    let written = std::fs::OpenOptions::new()
        .append(true)
        .create(true)
        .open(&file)
        .and_then(|mut log| log.write_all(line.as_bytes()));
    assert!(written.is_ok(), "cannot write {}: {written:?}", file.to_string_lossy());
}

/// The test binary's name without cargo's hash: `stop` of `target/debug/deps/stop-0f1e2d3c`.
fn binary() -> String {
    let path = std::env::current_exe().unwrap_or_default();
    let stem = path.file_stem().unwrap_or_default().to_string_lossy().into_owned();
    stem.rsplit_once('-').map_or(stem.clone(), |(name, _)| name.to_owned())
}
