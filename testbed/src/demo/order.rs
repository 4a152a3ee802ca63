//! The order that an undisturbed life has to have: T0 to T2 at the start, T0 to T3 at the stop.
//!
//! It is a partial order, given as chains; what is in no common chain may happen in any order.

use taskmesh::timeline::{Event, Timeline};

use super::Protocol;

use Event::*;

const START: &[&[Event]] = &[
    &[Started, AgentReady, Registered, BootstrapWritten, EnvoyStarted, Ready, AppStarted, Offered],
    &[BootstrapWritten, HealthSyncStarted, Ready],
];

const STOP: &[Event] = &[
    StopNoticed,
    SyncStopped,
    ChecksCritical,
    PeersUpdated,
    AppsReleased,
    AppsStopped,
    EnvoyExited,
    AgentLeft,
    AllExited,
];

/// Nobody waits for the app while a peer's request is in it. With tcp only the app can end its connections.
const HTTP_STOP: &[Event] = &[PeersUpdated, InboundDrained, AppsReleased];

/// What an undisturbed life has not.
const NEVER: &[Event] = &[ChildExited, Deadline, Killed];

/// What is missing, too much or in the wrong order in the whole life of a task with a wrapped app, in words.
/// Empty: nothing.
#[must_use]
pub fn violations(timeline: &Timeline, protocol: Protocol) -> Vec<String> {
    let mut chains = START.to_vec();
    chains.push(STOP);
    if protocol == Protocol::Http {
        chains.push(HTTP_STOP);
    }
    let place = |event: Event| timeline.events.iter().position(|record| record.event == event);
    let mut found = Vec::new();
    for chain in &chains {
        for event in chain.iter().filter(|event| place(**event).is_none()) {
            found.push(format!("no {}", event.name()));
        }
        let there: Vec<_> = chain.iter().filter_map(|e| Some((place(*e)?, *e))).collect();
        for pair in there.windows(2) {
            if pair[1].0 < pair[0].0 {
                found.push(format!("{} before {}", pair[1].1.name(), pair[0].1.name()));
            }
        }
    }
    for event in NEVER.iter().filter(|event| place(**event).is_some()) {
        found.push(event.name().to_owned());
    }
    if timeline.events.windows(2).any(|pair| pair[1].ms < pair[0].ms) {
        found.push("a time that goes back".to_owned());
    }
    if let Some(last) = timeline.events.last()
        && last.event != AllExited
        && place(AllExited).is_some()
    {
        found.push(format!("{} after {}", last.event.name(), AllExited.name()));
    }
    found.sort();
    found.dedup();
    found
}

#[cfg(test)]
mod tests {
    use taskmesh::timeline::Log;

    use super::*;

    fn life(events: &[Event]) -> Timeline {
        let log = Log::new(String::new());
        for (i, event) in events.iter().enumerate() {
            log.push(i as f64, *event, None);
        }
        log.snapshot()
    }

    fn whole() -> Vec<Event> {
        vec![
            Started,
            AgentReady,
            Registered,
            BootstrapWritten,
            EnvoyStarted,
            HealthSyncStarted,
            Ready,
            AppStarted,
            Offered,
            StopNoticed,
            SyncStopped,
            ChecksCritical,
            PeersUpdated,
            InboundDrained,
            AppsReleased,
            AppsStopped,
            EnvoyExited,
            AgentLeft,
            AllExited,
        ]
    }

    fn said(events: &[Event]) -> Vec<String> {
        violations(&life(events), Protocol::Http)
    }

    #[test]
    fn an_undisturbed_life_is_in_order_also_with_its_freedoms_used() {
        assert_eq!(said(&whole()), [""; 0]);
        let mut free = whole();
        free.swap(4, 5);
        assert_eq!(said(&free), [""; 0], "health sync and Envoy start side by side");
    }

    #[test]
    fn every_missing_event_is_named_once() {
        for (i, event) in whole().into_iter().enumerate() {
            let mut cut = whole();
            cut.remove(i);
            assert_eq!(said(&cut), [format!("no {}", event.name())]);
        }
    }

    #[test]
    fn a_swap_an_extra_and_an_end_that_is_none_are_named() {
        let mut swapped = whole();
        swapped.swap(15, 16);
        assert_eq!(said(&swapped), ["envoy-exited before apps-stopped"]);
        let mut killed = whole();
        killed.insert(16, Killed);
        assert_eq!(said(&killed), ["killed"]);
        let mut repaired = whole();
        repaired.push(RegistrationRepaired);
        assert_eq!(said(&repaired), ["registration-repaired after all-exited"]);
    }

    #[test]
    fn only_http_drains_before_the_app_is_released() {
        let mut tcp = whole();
        tcp.swap(13, 14);
        assert_eq!(said(&tcp), ["apps-released before inbound-drained"]);
        assert_eq!(violations(&life(&tcp), Protocol::Tcp), [""; 0]);
    }
}
