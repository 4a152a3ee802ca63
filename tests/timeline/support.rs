//! What the scenarios share.

use std::time::Duration;
use testbed::cluster::{Backend, Cluster};

pub(crate) use testbed::seen::{Seen, assert_started, assert_stopped};

/// Long enough for two busy cores; a scenario that needs it is broken.
pub(crate) const LONG: Duration = Duration::from_secs(60);

/// A mesh to try things on; `None` after having said why not.
pub(crate) async fn cluster() -> Option<Cluster> {
    if let Err(missing) = testbed::parts::envoy() {
        testbed::skip::skip(&missing.to_string());
        return None;
    }
    let backend = Backend::best().expect("CONSUL_BIN");
    Some(Cluster::start(backend).await.expect("cluster"))
}
