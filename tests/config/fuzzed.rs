//! The fuzz targets' properties (`fuzz/`), with a fixed number of fixed cases: what a fuzzer found, or would find at
//! once, fails here without one.

#[path = "../../fuzz/properties/mod.rs"]
mod properties;

use crate::*;
use properties::mutate::{Random, Seeds};

/// Shows the case that a panic comes from.
struct Case<'a>(&'a [u8]);

impl Drop for Case<'_> {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("the case: {}", String::from_utf8_lossy(self.0));
        }
    }
}

/// Runs every seed and then `cases` mutants; gives how many were accepted, and how many there were.
fn run(folder: &str, cases: usize, accepts: impl Fn(&[u8]) -> bool) -> (usize, usize) {
    let seeds = Seeds::of_folder(&Path::new(env!("CARGO_MANIFEST_DIR")).join(folder));
    let mut random = Random(0x7461_736b);
    let whole = seeds.documents.iter().map(|seed| seed.to_string().into_bytes());
    let mut accepted = 0;
    for case in whole.collect::<Vec<_>>() {
        let _shown = Case(&case);
        assert!(accepts(&case), "a seed is not accepted");
    }
    for _ in 0..cases {
        let case = seeds.mutant(&mut random);
        let _shown = Case(&case);
        accepted += usize::from(accepts(&case));
    }
    (accepted, cases)
}

#[test]
fn no_configuration_breaks_what_is_made_of_it() {
    let (accepted, of) = run("config", 1000, |case| properties::config::check(case) > 0);
    // Both sides of the border are walked.
    assert!((of / 20..of * 19 / 20).contains(&accepted), "{accepted} of {of}");
}

#[test]
fn no_metadata_breaks_what_is_made_of_it() {
    let (accepted, of) = run("fuzz/seeds/metadata", 4000, properties::metadata::check);
    assert!((of / 20..of * 19 / 20).contains(&accepted), "{accepted} of {of}");
}
