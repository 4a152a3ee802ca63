//! Checks of containers that are not synced any more. Consul keeps a check until it is told otherwise, also when the
//! service is registered again without it: such a one would turn critical after its TTL and take the instance out.

use crate::config::Check;
use crate::consul::{self, Client, ServiceIds};

/// Takes out the TTL checks of our service that belong to none of `containers`. `native`: its other checks.
pub(super) async fn remove(
    consul: &Client,
    native: &[Check],
    ids: &ServiceIds,
    containers: &[String],
) -> consul::Result<()> {
    let checks = match consul.checks().await {
        Ok(checks) => checks,
        // It refuses to show them: what cannot be seen must not keep the service from being registered.
        Err(e) if e.is_client_error() => return Ok(()),
        Err(e) => return Err(e),
    };
    let ours = checks.values().filter(|check| check.service_id == ids.service);
    let ours = ours.map(|check| check.check_id.as_str());
    for id in ours.filter(|id| is_surplus(id, native, ids, containers)) {
        match consul.deregister_check(id).await {
            Err(e) if !e.is_not_found() => return Err(e),
            _ => tracing::info!(check = id, "its container is not synced any more: check removed"),
        }
    }
    Ok(())
}

/// It is named as we name synced checks, for a container that is none of these, and is not a native check.
fn is_surplus(id: &str, native: &[Check], ids: &ServiceIds, containers: &[String]) -> bool {
    ids.container_of(id).is_some_and(|container| !containers.iter().any(|c| c == container))
        && !native.iter().any(|check| check.check_id.as_deref() == Some(id))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_is_named_as_a_synced_check_and_is_none_goes() {
        let check_id = Some("web-1-native-consul-ecs".to_owned());
        let native = [Check { check_id, ..Check::default() }];
        let ids = ServiceIds { service: "web-1".to_owned(), ..ServiceIds::default() };
        let surplus = |id| is_surplus(id, &native, &ids, &["app".to_owned()]);
        assert!(surplus("web-1-side-consul-ecs"));
        for stays in [
            "web-1-app-consul-ecs",
            "web-1-native-consul-ecs",
            "web-1-sidecar-proxy-listener",
            "_service_maintenance:web-1",
            "service:web-1",
            "web-2-side-consul-ecs",
        ] {
            assert!(!surplus(stays), "{stays}");
        }
    }
}
