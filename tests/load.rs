//! Stops under load: the scenarios of `make load` in their short form. Exactly no request may be lost where that is
//! promised; where some are, they are counted and bounded.
//!
//! One after the other, so that each has the machine for itself. On the development mesh, or on `CONSUL_BIN`.

use std::collections::BTreeSet;
use testbed::cluster::Backend;
use testbed::trial::{self, Form};
use tokio::sync::Mutex;

static ALONE: Mutex<()> = Mutex::const_new(());

async fn holds(name: &str) {
    if let Err(missing) = testbed::parts::envoy() {
        return testbed::skip::skip(&missing.to_string());
    }
    let _alone = ALONE.lock().await;
    let [scenario] = trial::named(&[name.to_owned()]).expect("a scenario").try_into().expect("one");
    let backend = Backend::best().expect("CONSUL_BIN");
    let outcome = trial::play(&scenario, Form::short(), backend).await.expect("played");
    assert_eq!(outcome.problems(), [""; 0], "{outcome:#?}");
}

macro_rules! scenarios {
    ($($test:ident: $name:literal,)*) => {
        $(
            #[tokio::test]
            async fn $test() {
                holds($name).await;
            }
        )*

        #[test]
        fn every_scenario_has_its_test() {
            let tested: BTreeSet<_> = [$($name),*].into();
            let all: BTreeSet<_> = trial::all().iter().map(|scenario| scenario.name).collect();
            assert_eq!(tested, all);
        }
    };
}

scenarios! {
    kept_http1_connections_lose_nothing: "http1",
    http2_streams_lose_nothing: "http2",
    grpc_streams_lose_nothing: "grpc",
    tcp_connections_that_the_app_closes_lose_nothing: "tcp",
    tcp_connections_that_the_app_cuts_lose_what_was_under_way: "tcp-cut",
    http1_with_protocol_tcp_loses_at_most_what_was_under_way: "http1-as-tcp",
    an_app_whose_health_is_synced_loses_nothing: "health-check",
    requests_of_ten_seconds_complete: "long",
    grpc_streams_of_ten_seconds_complete: "long-grpc",
    a_deploy_of_four_tasks_loses_nothing: "rolling",
    nothing_is_lost_when_the_agent_leaves_first: "leave-first",
    an_unwrapped_app_that_serves_on_after_term_loses_nothing: "unwrapped-linger",
    an_unwrapped_app_that_ends_at_term_loses_only_until_its_peers_know: "unwrapped",
    a_stopping_app_calls_others_to_its_last_moment: "calls",
    an_unwrapped_stopping_app_does_so_too: "calls-unwrapped",
    servers_that_answer_late_are_waited_for: "slow-servers",
    without_the_servers_word_a_longer_dwell_loses_nothing: "no-word",
    a_short_drain_cuts_only_what_is_longer: "short-drain",
    an_app_that_outlasts_our_stop_timeout_loses_nothing: "short-stop",
    a_second_term_loses_only_until_peers_know: "second-term",
}
