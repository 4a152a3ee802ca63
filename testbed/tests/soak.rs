//! The soak, in short.

use std::time::Duration;

use testbed::parts;
use testbed::skip::skip;
use testbed::soak::{SoakArgs, play};

#[tokio::test]
async fn twenty_seconds_of_bad_luck_leave_nothing_behind_and_survivors_recover() {
    if let Err(missing) = parts::envoy() {
        return skip(&missing.to_string());
    }
    // One seed, so that a failure can be had again.
    let args = SoakArgs { length: Duration::from_secs(20), seed: Some(3), tasks: 2 };
    let outcome =
        play(&args, |line| println!("{line}")).await.expect("the mesh and its tasks start");
    assert_eq!(outcome.wrong, [""; 0], "{outcome:#?}");
    let (ended, deeds) = outcome.counts();
    assert!(ended >= 2 && deeds >= 5, "hardly anything happened: {outcome:#?}");
}
