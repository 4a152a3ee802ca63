//! What the servers show to the mesh about our proxy: the acknowledgement that a stop waits for.
//!
//! Asked without `passing`: an instance that only warns is routed to, and would be missing there. An empty answer
//! proves nothing unless we were in one before: 1.8.7 answers a token without read rights with an empty 200.

use super::process::Beat;
use crate::consul::{Client, HealthQuery, ServiceIds};
use crate::supervisor::PeersView;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

/// One blocking query; the machine's own timer bounds them all.
const WAIT: Duration = Duration::from_secs(2);
/// While we are offered: so often it is asked whether the servers show us, until they do.
const LEARN_TRIES: u32 = 40;

/// Finds out whether the servers show us at all, so that a later absence means something.
pub(super) async fn learn(consul: &Client, ids: &ServiceIds, shown: &AtomicBool) {
    let mut beat = Beat::patient();
    for _ in 0..LEARN_TRIES {
        if let Ok(answer) = consul.health_connect(&ids.name, query(0)).await
            && answer.value.iter().any(|entry| entry.service.id == ids.proxy)
        {
            shown.store(true, Ordering::Relaxed);
            return;
        }
        beat.rest().await;
    }
}

/// Asks until the servers show us critical, or no longer; `tell` gets every verdict but "not yet".
pub(super) async fn ask(
    consul: &Client,
    ids: &ServiceIds,
    shown: &AtomicBool,
    tell: impl Fn(PeersView),
) {
    let mut beat = Beat::patient();
    let mut index = 0;
    loop {
        match consul.health_connect(&ids.name, query(index)).await {
            Ok(answer) => {
                let ours = answer.value.iter().find(|entry| entry.service.id == ids.proxy);
                match ours {
                    Some(entry) if entry.is_critical() => return tell(PeersView::Confirmed),
                    Some(_) => shown.store(true, Ordering::Relaxed),
                    None if shown.load(Ordering::Relaxed) => return tell(PeersView::Confirmed),
                    None => return tell(PeersView::NeverShown),
                }
                index = answer.next_index(index);
                if index == 0 {
                    // The next query will not block.
                    beat.rest().await;
                }
            }
            Err(e) => {
                tell(PeersView::Unreachable(e.to_string()));
                index = 0;
                beat.rest().await;
            }
        }
    }
}

fn query(index: u64) -> HealthQuery {
    HealthQuery { index, wait: Some(WAIT), consistent: true, passing: false }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::tests::serve;
    use axum::Router;
    use std::sync::Arc;
    use std::sync::atomic::AtomicUsize;

    #[tokio::test]
    async fn an_answer_without_an_index_is_not_asked_for_without_a_pause() {
        let asked = Arc::new(AtomicUsize::new(0));
        let count = asked.clone();
        let passing = r#"[{"Node": {"Node": "n"}, "Service": {"ID": "web-1-sidecar-proxy", "Service": "x"}, "Checks": []}]"#;
        let router = Router::new().fallback(move || {
            count.fetch_add(1, Ordering::Relaxed);
            async move { passing }
        });
        let consul = Client::new(&serve(router).await, None).unwrap();
        let ids = ServiceIds {
            name: "web".to_owned(),
            proxy: "web-1-sidecar-proxy".to_owned(),
            ..ServiceIds::default()
        };
        let shown = AtomicBool::new(false);
        let asking = ask(&consul, &ids, &shown, |view| panic!("{view:?}"));
        assert!(tokio::time::timeout(Duration::from_millis(300), asking).await.is_err());
        assert!(shown.load(Ordering::Relaxed));
        let asked = asked.load(Ordering::Relaxed);
        // At least 6 ms apart.
        assert!((2..=50).contains(&asked), "asked {asked} times");
    }

    const OURS: &str = "web-1-sidecar-proxy";

    /// What the servers show: a proxy, and the status of its only check.
    fn shows(id: &str, status: &str) -> String {
        let check = format!(r#"{{"CheckID": "c", "Status": "{status}"}}"#);
        format!(
            r#"[{{"Node": {{"Node": "n"}}, "Service": {{"ID": "{id}", "Service": "x"}}, "Checks": [{check}]}}]"#
        )
    }

    /// The verdict after these answers, the last of which goes on; every question must be the right one.
    async fn verdict(answers: Vec<(u16, String)>, shown: bool) -> (PeersView, usize) {
        let asked = Arc::new(AtomicUsize::new(0));
        let count = asked.clone();
        let router = Router::new().fallback(move |uri: axum::http::Uri| {
            let query = uri.query().unwrap_or_default().to_owned();
            assert!(query.contains("consistent") && !query.contains("passing"), "{query}");
            let at = count.fetch_add(1, Ordering::Relaxed).min(answers.len() - 1);
            let (status, body) = answers[at].clone();
            async move { (axum::http::StatusCode::from_u16(status).unwrap(), body) }
        });
        let consul = Client::new(&serve(router).await, None).unwrap();
        let ids =
            ServiceIds { name: "web".to_owned(), proxy: OURS.to_owned(), ..ServiceIds::default() };
        let shown = AtomicBool::new(shown);
        let told = std::cell::RefCell::new(None);
        let asking = ask(&consul, &ids, &shown, |view| *told.borrow_mut() = Some(view));
        tokio::time::timeout(Duration::from_secs(20), asking).await.expect("no verdict");
        (told.into_inner().expect("a verdict"), asked.load(Ordering::Relaxed))
    }

    #[tokio::test]
    async fn a_warning_instance_is_routed_to_so_only_critical_or_gone_confirms() {
        let ok = |body: String| (200, body);
        let nobody = || ok("[]".to_owned());
        let other = || ok(shows("other-sidecar-proxy", "passing"));
        for (answers, shown, view, asked) in [
            (vec![ok(shows(OURS, "critical"))], false, PeersView::Confirmed, 1),
            (
                vec![ok(shows(OURS, "warning")), ok(shows(OURS, "critical"))],
                false,
                PeersView::Confirmed,
                2,
            ),
            // Gone after it was there, in this or in an earlier answer.
            (vec![ok(shows(OURS, "warning")), nobody()], false, PeersView::Confirmed, 2),
            (vec![ok(shows(OURS, "passing")), other()], false, PeersView::Confirmed, 2),
            (vec![nobody()], true, PeersView::Confirmed, 1),
            // Never there: that proves nothing.
            (vec![nobody()], false, PeersView::NeverShown, 1),
            (vec![other()], false, PeersView::NeverShown, 1),
            (vec![(500, "no leader".to_owned()), nobody()], true, PeersView::Confirmed, 2),
        ] {
            assert_eq!(verdict(answers.clone(), shown).await, (view, asked), "{answers:?}");
        }
    }
}
