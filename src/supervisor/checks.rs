//! Which containers have a TTL check, and when the instance need not be held any more.
//!
//! With `auto` the task definition decides. It is asked while the agent starts and waited for a little; until it says
//! something the containers that report ECS health have the checks, and once it does the set is corrected.

use super::effect::Effect;
use super::event::Event;
use super::facts::Facts;
use super::fsm::Machine;
use super::phase::Phase;
use super::plan::{Plan, Synced};
use crate::admin::HealthSyncStatus;
use crate::ecs;
use std::time::Duration;

/// What the task definition says of health checks.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) enum Definition {
    /// Nobody wants to know.
    #[default]
    NotAsked,
    /// No answer yet.
    Asked,
    /// Not read yet, and why; it is tried again.
    Failing(String),
    /// Not read, and why.
    Unread(String),
    /// These are essential and have one. Sorted.
    Says(Vec<String>),
}

impl Facts {
    /// There is nothing to wait for before registering.
    pub(crate) fn definition_is_settled(&self, plan: &Plan) -> bool {
        !plan.asks_definition()
            || self.definition_waited
            || matches!(self.definition, Definition::Unread(_) | Definition::Says(_))
    }

    /// Containers that should have a TTL check, by all that is known now.
    ///
    /// Without the definition they only grow: a container that vanishes from the metadata must turn critical, not
    /// unwatched.
    pub(crate) fn wanted_sync(&self, plan: &Plan) -> Vec<String> {
        match (&plan.own_checks.synced, &self.definition) {
            (Synced::Named(names), _) | (Synced::Auto, Definition::Says(names)) => names.clone(),
            (Synced::Auto, _) => {
                let mut all = self.synced.clone();
                if let Some(seen) = &self.seen {
                    let reporting = ecs::reporting_containers(&seen.task, &seen.own_name);
                    all.extend(reporting);
                    all.sort();
                    all.dedup();
                }
                all
            }
        }
    }

    /// Nothing but the app's port tells when this instance can serve, as far as is known, so it is held in maintenance
    /// until the port accepts.
    pub(crate) fn held_until_port_accepts(&self, plan: &Plan) -> bool {
        match &self.definition {
            Definition::Says(names) => plan.held_until_port_accepts(names),
            _ => plan.held_until_port_accepts(&[]),
        }
    }

    /// It is known for sure whether the app has a health check: by the configuration, by the task definition, or by a
    /// read of the metadata that began after the app's port accepted.
    fn checks_are_known(&self, plan: &Plan) -> bool {
        !plan.asks_definition()
            || matches!(self.definition, Definition::Says(_))
            || self.seen.as_ref().zip(self.app_accepts_at).is_some_and(|(s, at)| s.asked_at >= at)
    }

    /// What `/v1/status` shows.
    pub(crate) fn sync_status(&self, plan: &Plan) -> HealthSyncStatus {
        let (chosen_by, why) = match (&plan.own_checks.synced, &self.definition) {
            (Synced::Named(names), _) if plan.own_checks.native && names.is_empty() => {
                ("native checks", None)
            }
            (Synced::Named(_), _) => ("configuration", None),
            (Synced::Auto, Definition::Says(_)) => ("task definition", None),
            (Synced::Auto, Definition::NotAsked | Definition::Asked) => {
                ("task metadata", Some("the task definition was not read yet".to_owned()))
            }
            (Synced::Auto, Definition::Failing(why)) => {
                let why = format!("cannot read the task definition yet: {why}");
                ("task metadata", Some(why))
            }
            (Synced::Auto, Definition::Unread(why)) => {
                ("task metadata", Some(format!("cannot read the task definition: {why}")))
            }
        };
        let containers = self.synced.clone();
        HealthSyncStatus { containers, chosen_by: chosen_by.to_owned(), why }
    }
}

impl Machine {
    /// A word on the task definition. The first answer counts: a revision never changes.
    pub(crate) fn on_definition(
        &mut self,
        plan: &Plan,
        at: Duration,
        event: Event,
        out: &mut Vec<Effect>,
    ) {
        if !plan.asks_definition() || matches!(self.facts.definition, Definition::Says(_)) {
            return;
        }
        self.facts.definition = match event {
            Event::DefinitionUnread { why, last: false } => Definition::Failing(why),
            Event::DefinitionUnread { why, last: true } => Definition::Unread(why),
            Event::DefinitionRead(definition) => {
                let synced = ecs::synced_by_definition(&definition, self.facts.own_name());
                self.facts.defined = Some(definition);
                self.compare_stop_timeouts(plan, at, out);
                Definition::Says(synced)
            }
            _ => return,
        };
        if self.facts.stop.is_none() {
            self.correct_checks(plan, out);
            self.end_hold_if_over(plan, out);
        }
    }

    /// Registers again if what is registered is not what should be.
    pub(crate) fn correct_checks(&mut self, plan: &Plan, out: &mut Vec<Effect>) {
        if self.phase < Phase::Registering {
            return;
        }
        // Checks that say more than the port does have been found: they decide from now on.
        let freed = self.facts.held && !self.facts.held_until_port_accepts(plan);
        self.facts.held &= !freed;
        let other = self.facts.wanted_sync(plan) != self.facts.synced;
        // One that does not answer is told as soon as it does.
        if (freed || other) && self.facts.agent_answers {
            self.register(plan, out);
        }
        if freed && self.facts.ready_at.is_some() {
            out.push(Effect::WatchOffer);
        }
    }

    /// Envoy died. Peers would hear of it only from the next run of the proxy's check, 1 to 10 s later.
    pub(crate) fn cover(&mut self, out: &mut Vec<Effect>) {
        let f = &mut self.facts;
        if f.covered || !f.listener_open || !f.ever_registered || f.stop.is_some() {
            return;
        }
        f.covered = true;
        // The hold keeps the proxy in maintenance already.
        if !f.held {
            out.push(Effect::Cover);
        }
    }

    /// Envoy listens again.
    pub(crate) fn uncover(&mut self, out: &mut Vec<Effect>) {
        let f = &mut self.facts;
        if f.stop.is_none() && std::mem::take(&mut f.covered) && !f.held {
            out.push(Effect::Uncover);
        }
    }

    /// Ends the hold once the app's port accepts and nothing else can be found that would have to pass. Not while
    /// Envoy is down: peers would be sent to nobody.
    pub(crate) fn end_hold_if_over(&mut self, plan: &Plan, out: &mut Vec<Effect>) {
        let f = &self.facts;
        let over = f.app_accepts_at.is_some() && f.checks_are_known(plan) && f.listener_open;
        if f.held && over && f.ready_at.is_some() && f.stop.is_none() {
            self.facts.held = false;
            out.push(Effect::EndHold);
            out.push(Effect::WatchOffer);
        }
    }
}
