//! The fuzz targets' properties (`fuzz/`), with a fixed number of fixed cases: what a fuzzer found, or would find at
//! once, fails here without one.

#[path = "../fuzz/properties/mod.rs"]
mod properties;

use properties::mutate::{Random, Seeds, Texts};
use std::path::{Path, PathBuf};

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
    let seeds = Seeds::of_folder(&path(folder));
    let whole = seeds.documents.iter().map(|seed| seed.to_string().into_bytes());
    judge(whole.collect(), |random| seeds.mutant(random), cases, accepts)
}

/// The same with texts that are no JSON, or not only.
fn run_texts(folder: &str, cases: usize, accepts: impl Fn(&[u8]) -> bool) -> (usize, usize) {
    let texts = Texts::of_folder(&path(folder));
    judge(texts.0.clone(), |random| texts.mutant(random), cases, accepts)
}

fn path(folder: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(folder)
}

fn judge(
    whole: Vec<Vec<u8>>,
    mutant: impl Fn(&mut Random) -> Vec<u8>,
    cases: usize,
    accepts: impl Fn(&[u8]) -> bool,
) -> (usize, usize) {
    let mut random = Random(0x7461_736b);
    let mut accepted = 0;
    for case in whole {
        let _shown = Case(&case);
        assert!(accepts(&case), "a seed is not accepted");
    }
    for _ in 0..cases {
        let case = mutant(&mut random);
        let _shown = Case(&case);
        accepted += usize::from(accepts(&case));
    }
    (accepted, cases)
}

/// Both sides of the border are walked.
fn both_sides((accepted, of): (usize, usize)) {
    assert!((of / 20..of * 19 / 20).contains(&accepted), "{accepted} of {of}");
}

#[test]
fn no_configuration_breaks_what_is_made_of_it() {
    both_sides(run("config", 1000, |case| properties::config::check(case) > 0));
}

#[test]
fn no_metadata_breaks_what_is_made_of_it() {
    both_sides(run("fuzz/seeds/metadata", 4000, properties::metadata::check));
}

#[test]
fn no_answer_of_an_agent_is_misread() {
    both_sides(run("fuzz/seeds/consul", 2000, properties::consul::check));
}

#[test]
fn no_answer_of_envoys_admin_interface_is_misread() {
    both_sides(run_texts("fuzz/seeds/envoy", 2000, properties::envoy::check));
}

#[test]
fn no_answer_to_a_wrapper_depends_on_how_it_is_cut() {
    both_sides(run_texts("fuzz/seeds/wrapper", 2000, properties::wrapper::check));
}

#[test]
fn no_body_of_a_wrapper_is_misread() {
    both_sides(run("fuzz/seeds/admin", 2000, properties::admin::check));
}

#[test]
fn no_bootstrap_keeps_its_token() {
    both_sides(run("fuzz/seeds/bootstrap", 2000, properties::bootstrap::check));
}

#[test]
fn no_agent_text_loses_a_variable_or_shows_a_secret() {
    both_sides(run_texts("fuzz/seeds/agent_text", 2000, properties::agent_text::check));
}

#[test]
fn no_agent_json_shows_a_secret() {
    let (accepted, of) = run("fuzz/seeds/agent_text", 2000, properties::agent_text::check);
    assert!(accepted > of / 2, "{accepted} of {of}");
}

#[test]
fn no_timeline_is_drawn_in_part() {
    both_sides(run("fuzz/seeds/timeline", 300, properties::timeline::check));
}
