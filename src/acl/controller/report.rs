//! What the controller says of itself.

use super::Controller;
use crate::acl::plan::Secret;
use crate::acl::view::{Problem, Status};
use std::sync::Arc;
use std::time::Duration;

impl Controller {
    /// Shows what is known now.
    pub(super) fn publish(&self) {
        let now = self.now();
        let state = self.state.borrow();
        let calls = self.hands.calls.borrow();
        let (tasks, services) = state.roster.counts();
        let lasting = |what: String, why: &str, since: Duration| Problem {
            what,
            why: why.to_owned(),
            for_seconds: now.saturating_sub(since).as_secs_f64(),
        };
        let of_services = state.entries.iter().filter_map(|(key, entry)| {
            let (why, since) = entry.trouble.as_ref()?;
            let what = key.as_ref().map_or_else(|| "agents".to_owned(), ToString::to_string);
            Some(lasting(what, why, *since))
        });
        let of_rounds =
            state.trouble.iter().map(|(why, since)| lasting("rounds".to_owned(), why, *since));
        let lease = &self.hands.lease;
        let of_lead = lease.trouble().map(|(why, lasts)| Problem {
            what: "leadership".to_owned(),
            why,
            for_seconds: lasts.as_secs_f64(),
        });
        let agents = state.entries.get(&None);
        let has_agents =
            agents.is_some_and(|entry| matches!(entry.memory.secret, Secret::Holds(_)));
        let status = Status {
            cluster: self.site.cluster.text().to_owned(),
            // A follower has nothing to do, and does that well while it knows for whom it waits.
            ready: match lease.leads() {
                true => state.roster.is_complete() && has_agents,
                false => lease.follows().is_some() && of_lead.is_none(),
            },
            leader: lease.may_write().is_ok(),
            follows: lease.follows(),
            tasks,
            services,
            rounds: state.lists,
            round_seconds: state.round.as_secs_f64(),
            changes: state.writes.clone(),
            calls: calls.made.clone(),
            errors: calls
                .failed
                .iter()
                .map(|((call, kind), n)| (format!("{call}: {kind}"), *n))
                .collect(),
            problems: of_lead.into_iter().chain(of_rounds).chain(of_services).collect(),
        };
        self.published.send_replace(Arc::new(status));
    }
}
