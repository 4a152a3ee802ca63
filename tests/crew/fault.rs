//! What goes wrong for a while, or more than once.

use super::crew::{Crew, Due, What};
use super::failing::{Call, How};
use super::script::ms;
use super::task::Process;
use std::collections::BTreeSet;
use std::time::Duration;
use taskmesh::admin::Request;
use taskmesh::supervisor::{Event, Role};

/// One fault. Times are in ms.
#[derive(Debug, Clone)]
pub(crate) enum Fault {
    /// A child dies now, and so often again, so long after each start.
    Crash {
        role: Role,
        again: u32,
        after: u64,
    },
    /// A child is alive and answers nothing for a while, unless it is killed before.
    Hang {
        role: Role,
        time: u64,
    },
    /// A child cannot be spawned for a while.
    NoSpawn {
        role: Role,
        time: u64,
    },
    /// Somebody deregisters us at the agent.
    RegistrationLost,
    /// The agent dies, and its data with it.
    DataLost,
    ServersAway {
        time: u64,
    },
    /// The agent takes no call for a while, but for the one that asks whether it is alive.
    AgentSilent {
        time: u64,
    },
    MetadataAway {
        time: u64,
    },
    /// Each read takes so much longer.
    MetadataSlow {
        by: u64,
        time: u64,
    },
    /// An app ends, and ECS starts it again.
    AppRestarts {
        app: usize,
        after: u64,
    },
    /// An app ends; ECS stops the task after that time.
    AppEnds {
        app: usize,
        code: i32,
        stops: Option<u64>,
    },
    /// The app's port closes, and accepts again, while its process runs. The machine has it tried until it accepts once;
    /// from then on only a check of the service's own notices.
    PortCloses {
        time: u64,
    },
    /// Such writes fail: once, or for a while.
    WritesFail {
        call: Call,
        how: How,
        time: u64,
    },
    /// A wrapper's stream breaks, and is opened again.
    StreamBreaks {
        app: usize,
        time: u64,
    },
    Term,
    ApiStop,
    /// ECS stops the task; our own TERM comes so much later, or never.
    EcsStops {
        term: Option<u64>,
    },
}

impl Fault {
    pub(crate) fn kind(&self) -> &'static str {
        match self {
            Self::Crash { role: Role::Agent, .. } => "agent crashes",
            Self::Crash { role: Role::Envoy, .. } => "envoy crashes",
            Self::Hang { role: Role::Agent, .. } => "agent hangs",
            Self::Hang { role: Role::Envoy, .. } => "envoy hangs",
            Self::NoSpawn { .. } => "no spawn",
            Self::RegistrationLost => "registration lost",
            Self::DataLost => "data lost",
            Self::ServersAway { .. } => "servers away",
            Self::AgentSilent { .. } => "agent silent",
            Self::MetadataAway { .. } => "metadata away",
            Self::MetadataSlow { .. } => "metadata slow",
            Self::AppRestarts { .. } => "app restarts",
            Self::AppEnds { .. } => "app ends",
            Self::PortCloses { .. } => "port closes",
            Self::WritesFail { call, .. } => call.kind(),
            Self::StreamBreaks { .. } => "stream breaks",
            Self::Term => "term",
            Self::ApiStop => "api stop",
            Self::EcsStops { .. } => "ecs stops",
        }
    }

    /// When the last of it is over, from its beginning; restarts not counted.
    pub(crate) fn lasts(&self) -> u64 {
        match self {
            Self::Crash { again, after, .. } => u64::from(*again) * (after + 30_000),
            Self::NoSpawn { time, .. }
            | Self::Hang { time, .. }
            | Self::PortCloses { time }
            | Self::WritesFail { time, .. }
            | Self::ServersAway { time }
            | Self::AgentSilent { time }
            | Self::MetadataAway { time }
            | Self::StreamBreaks { time, .. } => *time,
            Self::MetadataSlow { by, time } => by + time,
            Self::AppRestarts { after, .. } => *after,
            Self::AppEnds { stops, .. } => stops.unwrap_or(0),
            _ => 0,
        }
    }
}

impl Crew {
    /// The kinds of faults that made themselves felt.
    pub(crate) fn all_that_happened(&self) -> BTreeSet<&'static str> {
        let failed = self.mesh.iter().flat_map(|mesh| &mesh.failed).map(|call| call.kind());
        let hung = self.unresponsive.iter().map(|(_, role)| Fault::Hang { role: *role, time: 0 });
        let hung = hung.map(|hang| hang.kind());
        self.happened.iter().copied().chain(failed).chain(hung).collect()
    }

    pub(crate) fn fault(&mut self, now: Duration, fault: Fault) -> (Option<Event>, Vec<Due>) {
        let mesh = self.mesh.as_mut().expect("a crew with a mesh");
        // These happen only when somebody meets them.
        if !matches!(fault, Fault::Hang { .. } | Fault::WritesFail { .. }) {
            self.happened.insert(fault.kind());
        }
        match fault {
            Fault::Crash { role, again, after } => {
                let proc = self.proc_mut(role);
                proc.doomed = (proc.doomed.0.max(again), after);
                self.happen(now, What::Crash(role))
            }
            Fault::NoSpawn { role, time } => {
                let until = &mut self.proc_mut(role).no_spawn_until;
                *until = (*until).max(now + ms(time));
                (None, Vec::new())
            }
            Fault::PortCloses { time } => {
                self.port_closed_until = self.port_closed_until.max(now + ms(time));
                let again = Due { at: self.port_closed_until, what: What::Port };
                let (event, mut more) = self.port_may_change(now);
                more.push(again);
                (event, more)
            }
            Fault::WritesFail { call, how, time } => {
                mesh.writes_fail(now, call, how, time);
                (None, Vec::new())
            }
            Fault::Hang { role, time } => (None, self.hangs(now, role, time)),
            Fault::RegistrationLost => (None, mesh.lose(now)),
            Fault::DataLost => {
                mesh.loses_data = true;
                self.happen(now, What::Crash(Role::Agent))
            }
            Fault::ServersAway { time } => (None, mesh.servers_leave(now, time)),
            Fault::AgentSilent { time } => {
                mesh.silent_until = mesh.silent_until.max(now + ms(time));
                (None, Vec::new())
            }
            Fault::MetadataAway { time } => {
                self.metadata_away_until = self.metadata_away_until.max(now + ms(time));
                (None, Vec::new())
            }
            Fault::MetadataSlow { by, time } => {
                self.metadata_slow = (now + ms(time), by);
                (None, Vec::new())
            }
            Fault::AppRestarts { app, after } => self.app_restarts(now, app, after),
            Fault::AppEnds { app, code, stops } => {
                let (event, mut more) = self.app_ends(now, app, code);
                if let Some(stops) = stops {
                    more.push(Due { at: now + ms(stops), what: What::EcsStops });
                }
                (event, more)
            }
            Fault::StreamBreaks { app, time } => self.stream_breaks(now, app, time),
            Fault::Term => (Some(Event::Term), Vec::new()),
            Fault::ApiStop => (Some(Event::Admin(Request::Stop)), Vec::new()),
            Fault::EcsStops { term } => {
                let (event, mut more) = self.happen(now, What::EcsStops);
                more.extend(term.map(|t| Due::fact(now + ms(t), Event::Term)));
                (event, more)
            }
        }
    }

    /// Only one with a restart policy is started again.
    fn app_restarts(&mut self, now: Duration, i: usize, after: u64) -> (Option<Event>, Vec<Due>) {
        let app = &self.script.apps[i];
        if self.apps[i].process != Process::Runs || !app.restarts || self.desired_stopped {
            return (None, Vec::new());
        }
        let mut more = vec![Due { at: now + ms(after), what: What::AppReturns(i) }];
        let (event, ends) = self.app_ends(now, i, 1);
        more.extend(ends);
        (event, more)
    }

    /// ECS has started the container again; its wrapper, if it has one, asks as the first did.
    pub(crate) fn app_returns(&mut self, now: Duration, i: usize) -> (Option<Event>, Vec<Due>) {
        if self.desired_stopped || self.apps[i].process != Process::Ended {
            return (None, Vec::new());
        }
        self.apps[i].process = Process::Waits;
        self.apps[i].ending = false;
        let app = &self.script.apps[i];
        let attached = Request::AppAttached { container: app.name.to_owned(), pid: 8 };
        let mut more = Vec::new();
        if self.gate.start {
            more.push(Due { at: now + ms(1), what: What::AppBegins(i) });
        }
        (app.wrapped.then_some(Event::Admin(attached)), more)
    }

    fn stream_breaks(&mut self, now: Duration, i: usize, time: u64) -> (Option<Event>, Vec<Due>) {
        let app = &self.script.apps[i];
        if !app.wrapped || self.apps[i].process == Process::Ended {
            return (None, Vec::new());
        }
        let container = app.name.to_owned();
        let more = vec![Due { at: now + ms(time), what: What::Attaches(i) }];
        (Some(Event::Admin(Request::AppDetached { container })), more)
    }

    /// The wrapper's stream stands again, and says whether its command runs.
    pub(crate) fn attaches(&mut self, now: Duration, i: usize) -> (Option<Event>, Vec<Due>) {
        let container = self.script.apps[i].name.to_owned();
        let attached = Event::Admin(Request::AppAttached { container: container.clone(), pid: 7 });
        match self.apps[i].process {
            Process::Ended => (None, Vec::new()),
            Process::Waits => (Some(attached), Vec::new()),
            Process::Runs => {
                let started = Event::Admin(Request::AppStarted { container });
                (Some(attached), vec![Due::fact(now, started)])
            }
        }
    }
}
