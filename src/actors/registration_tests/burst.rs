//! The burst of a stop.

use super::*;

/// The burst of a stop, and how often each thing failed before; gives what came of it, and what stands at the agent.
async fn withdrawn(fails: Vec<(&'static str, u16, usize)>) -> (Result<(), String>, Scene) {
    let mut scene = Scene::start(Agent::default()).await;
    scene.registered().await;
    scene.actor.cast(Msg::Hush).unwrap();
    scene.agent.with(|s| (s.fails, s.maintained) = (fails, BTreeMap::new()));
    scene.actor.cast(Msg::Withdraw).unwrap();
    let result = scene
        .hear(|event| match event {
            Event::Withdrawn(result) => Some(result.clone()),
            _ => None,
        })
        .await;
    (result, scene)
}

impl Scene {
    /// Everything that the burst must have done.
    fn assert_withdrawn(&self) {
        let ids = &self.ids;
        self.agent.with(|s| {
            for id in [&ids.service, &ids.proxy] {
                assert!(s.maintained[id].contains("enable=true"), "{:?}", s.maintained);
            }
            let check = &s.updated[&ids.check("app")];
            assert_eq!(check["Status"], "critical", "{check}");
        });
    }
}

#[tokio::test]
async fn the_burst_makes_ttl_checks_critical_and_puts_service_and_proxy_into_maintenance() {
    let (result, scene) = withdrawn(vec![]).await;
    assert_eq!(result, Ok(()));
    scene.assert_withdrawn();
}

#[tokio::test]
async fn a_part_of_the_burst_that_fails_is_tried_again_also_when_another_is_refused() {
    let (result, scene) = withdrawn(vec![("maintenance", 500, 3), ("check/update", 503, 1)]).await;
    assert_eq!(result, Ok(()));
    scene.assert_withdrawn();
    // The check is refused for ever, the maintenance only fails once.
    let (result, scene) =
        withdrawn(vec![("check/update", 403, usize::MAX), ("sidecar-proxy", 500, 1)]).await;
    assert!(result.is_err_and(|why| why.contains("403")));
    let ids = &scene.ids;
    scene.agent.with(|s| assert!(s.maintained.contains_key(&ids.proxy), "{:?}", s.maintained));
}

#[tokio::test]
async fn a_check_that_is_gone_is_no_trouble_for_the_burst() {
    let (result, _) = withdrawn(vec![("check/update", 404, usize::MAX)]).await;
    assert_eq!(result, Ok(()));
}
