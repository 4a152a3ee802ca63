//! The machine's phases. `Ord` is time: a phase never goes back.

/// Where a task is on its way from exec to exit.
///
/// The labels T0 to T4 of the published timeline are on the events
/// ([`timeline::Event::phase`](crate::timeline::Event::phase)); these are the steps between them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Phase {
    /// T0: who are we? Waits for the task's metadata.
    Reading,
    /// T0: the agent is starting. Waits until it answers.
    Enrolling,
    /// T0: the service and its proxy are being registered.
    Registering,
    /// T0: Envoy's bootstrap is being made.
    Bootstrapping,
    /// T1: Envoy is starting; health sync runs. Waits for the remaining latches.
    Proxying,
    /// T2: apps may run.
    Serving,
    /// Stop T0: the sync is being stopped, so that nothing can pass a check any more.
    Hushing,
    /// Stop T0 to T1: one burst makes our checks critical and puts both IDs into maintenance.
    Withdrawing,
    /// Stop T1: waits until the servers say that peers see us as critical.
    Propagating,
    /// Stop T1: the peers' Envoys take up what the servers know.
    Dwelling,
    /// Stop T1: in-flight inbound requests end.
    Draining,
    /// Stop T1: apps may end; waits for them.
    AwaitingApps,
    /// Stop T1: Envoy got TERM.
    EndingEnvoy,
    /// Stop T1, its last act: both IDs are taken out of the catalog.
    Deregistering,
    /// Stop T2: the agent leaves.
    Leaving,
    /// Stop T3: every child is reaped. Nothing happens after this.
    Exited,
}

impl Phase {
    /// A stop was noticed.
    pub fn stopping(self) -> bool {
        self >= Self::Hushing
    }

    /// For people and for `/v1/status`.
    pub fn name(self) -> &'static str {
        match self {
            Self::Reading => "reading task metadata",
            Self::Enrolling => "starting the agent",
            Self::Registering => "registering",
            Self::Bootstrapping => "making Envoy's bootstrap",
            Self::Proxying => "starting Envoy",
            Self::Serving => "serving",
            Self::Hushing => "stopping health sync",
            Self::Withdrawing => "withdrawing",
            Self::Propagating => "telling the peers",
            Self::Dwelling => "letting the peers' proxies update",
            Self::Draining => "draining inbound requests",
            Self::AwaitingApps => "waiting for the apps to stop",
            Self::EndingEnvoy => "stopping Envoy",
            Self::Deregistering => "deregistering",
            Self::Leaving => "waiting for the agent to leave",
            Self::Exited => "exited",
        }
    }
}
