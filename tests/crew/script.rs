//! How long everything takes in a scenario, and what its apps are like.

use std::sync::Arc;
use std::time::Duration;
use taskmesh::ecs::{DefinedContainer, TaskDefinition};
use taskmesh::supervisor::{Event, PeersView, Role};

pub(crate) fn ms(n: u64) -> Duration {
    Duration::from_millis(n)
}

/// How long everything takes, in ms. `None`: it never comes.
#[derive(Debug, Clone)]
pub(crate) struct Script {
    /// A read of the metadata; `None`: every read fails, 1 ms after it began.
    pub(crate) metadata: Option<u64>,
    /// From one read to the next.
    pub(crate) interval: u64,
    /// What comes of asking for the task definition.
    pub(crate) definition: Option<(u64, Event)>,
    pub(crate) spawn: Option<u64>,
    /// Such a child cannot be spawned; `true`: trying again cannot help.
    pub(crate) spawn_fails: Option<(Role, bool)>,
    /// From its pid: the agent's API answers; it knows a server.
    pub(crate) answers: Option<u64>,
    pub(crate) joins: Option<u64>,
    pub(crate) registers: Option<u64>,
    pub(crate) bootstraps: Option<u64>,
    /// From its pid: Envoy is LIVE; its listener is open.
    pub(crate) live: Option<u64>,
    pub(crate) listens: Option<u64>,
    pub(crate) app_accepts: Option<u64>,
    pub(crate) offers: Option<u64>,
    pub(crate) quiet: Option<u64>,
    pub(crate) withdraws: Option<u64>,
    pub(crate) withdraw_error: Option<&'static str>,
    pub(crate) peers: Option<(u64, PeersView)>,
    pub(crate) drains: Option<u64>,
    pub(crate) deregisters: Option<u64>,
    /// From TERM.
    pub(crate) agent_leaves: Option<u64>,
    /// An agent younger than this does not hear a TERM.
    pub(crate) deaf: u64,
    pub(crate) envoy_exits: Option<u64>,
    /// `restart.unresponsiveAfter`.
    pub(crate) unresponsive: u64,
    /// From KILL; `None`: stuck in the kernel.
    pub(crate) dies_on_kill: Option<u64>,
    pub(crate) apps: Vec<App>,
}

impl Default for Script {
    fn default() -> Self {
        Self {
            metadata: Some(5),
            interval: 500,
            definition: Some((1, unread("no task role", true))),
            spawn: Some(1),
            spawn_fails: None,
            answers: Some(100),
            joins: Some(150),
            registers: Some(10),
            bootstraps: Some(30),
            live: Some(40),
            listens: Some(60),
            app_accepts: Some(70),
            offers: Some(12),
            quiet: Some(1),
            withdraws: Some(5),
            withdraw_error: None,
            peers: Some((20, PeersView::Confirmed)),
            drains: Some(60),
            deregisters: Some(3),
            agent_leaves: Some(4000),
            deaf: 0,
            envoy_exits: Some(33),
            unresponsive: 15_000,
            dies_on_kill: Some(2),
            apps: vec![App::new("app")],
        }
    }
}

/// The task definition, with these containers essential and with a health check, as we ourselves are; and one with a
/// health check that is not essential.
pub(crate) fn defined(names: &[&str]) -> Event {
    let container = |name: &str, essential| DefinedContainer {
        name: name.to_owned(),
        essential,
        health_check: true,
        ..DefinedContainer::default()
    };
    let mut containers = vec![container("taskmesh", true), container("side", false)];
    containers.extend(names.iter().map(|name| container(name, true)));
    Event::DefinitionRead(Arc::new(TaskDefinition { containers }))
}

pub(crate) fn unread(why: &str, last: bool) -> Event {
    Event::DefinitionUnread { why: why.to_owned(), last }
}

/// An app container.
#[derive(Debug, Clone)]
pub(crate) struct App {
    pub(crate) name: &'static str,
    /// `taskmesh app -- CMD` (attached at 10 ms) or ECS's own start (`dependsOn`).
    pub(crate) wrapped: bool,
    /// It has an ECS health check; healthy from the start.
    pub(crate) health: bool,
    /// From T2 for one that waits for it, else from exec.
    pub(crate) starts: u64,
    pub(crate) waits_for_ready: bool,
    /// It has a restart policy: the metadata never says that it ended, unless the task stops.
    pub(crate) restarts: bool,
    /// From its own TERM.
    pub(crate) ends: Option<u64>,
}

impl App {
    pub(crate) fn new(name: &'static str) -> Self {
        let waits_for_ready = true;
        Self {
            name,
            wrapped: false,
            health: false,
            starts: 2,
            waits_for_ready,
            restarts: false,
            ends: Some(200),
        }
    }

    pub(crate) fn wrapped(name: &'static str) -> Self {
        Self { wrapped: true, ..Self::new(name) }
    }

    pub(crate) fn healthy(self) -> Self {
        Self { health: true, ..self }
    }

    pub(crate) fn ends(self, ends: Option<u64>) -> Self {
        Self { ends, ..self }
    }
}

/// A change of the script in the middle of a scenario.
pub(crate) type Change = fn(&mut Script);
