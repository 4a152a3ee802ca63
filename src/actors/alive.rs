//! Asks a child that runs whether it still answers, for as long as it does.

use crate::consul;
use crate::envoy::{self, AdminClient};
use crate::process::{cpu_time, main_thread_cpu_time};
use crate::supervisor::actor::{Reports, report};
use crate::supervisor::liveness::Liveness;
use crate::supervisor::{Event, Role, Source};
use std::time::Duration;
use tokio::time::{Instant, sleep_until, timeout};

/// Before its first answer Envoy has this many times the limit: a busy machine starts it slowly.
const FIRST_TIMES: u32 = 4;

/// Who is asked.
pub(super) enum Asked {
    /// The agent, for what needs no server; with ACLs, by a token that no server has to know.
    Agent(consul::Client),
    /// Envoy's main thread, which answers LIVE or not.
    Envoy(AdminClient),
}

/// Asks until the child was silent for too long, tells that, and ends.
pub(super) async fn watch(asked: Asked, pid: i32, limit: Duration, reports: Reports) {
    let role = asked.role();
    let (source, first) = match role {
        // With auto_encrypt its API is not there before the servers have given it a certificate, which can take as long
        // as they are away.
        Role::Agent => (Source::ConsulAgent, None),
        Role::Envoy => (Source::Envoy, Some(limit.saturating_mul(FIRST_TIMES))),
    };
    let begun = Instant::now();
    let mut alive = Liveness::new(limit, first, Duration::ZERO);
    let mut told = false;
    let mut work = Work { pid, role, last: None };
    loop {
        let began = Instant::now();
        if timeout(alive.interval(), asked.answers()).await.unwrap_or(false) {
            alive.answered(begun.elapsed());
        } else if let Some(silent) = alive.unanswered(begun.elapsed(), work.is_going_on()) {
            return report(&reports, Event::Unresponsive { role, pid, silent });
        }
        if told != alive.in_doubt() {
            told = !told;
            let why = told.then(|| "it is alive, but does not answer".to_owned());
            report(&reports, Event::Trouble { source, why });
        }
        sleep_until(began + alive.interval()).await;
    }
}

/// Whether a child works, by the processor time that it takes.
struct Work {
    pid: i32,
    role: Role,
    /// What it had taken, and when.
    last: Option<(Duration, Instant)>,
}

impl Work {
    /// Since the last call it has used a twentieth of a core: ten times what an idle agent or Envoy uses, and less than
    /// what a starved machine leaves to one that wants to run.
    fn is_going_on(&mut self) -> bool {
        let taken = match self.role {
            Role::Agent => cpu_time(self.pid),
            // The thread that should answer; the others may be serving.
            Role::Envoy => main_thread_cpu_time(self.pid),
        };
        let now = taken.map(|taken| (taken, Instant::now()));
        let before = std::mem::replace(&mut self.last, now);
        let (Some((now, at)), Some((before, since))) = (now, before) else { return false };
        now.saturating_sub(before) * 20 >= at.duration_since(since)
    }
}

impl Asked {
    fn role(&self) -> Role {
        match self {
            Self::Agent(_) => Role::Agent,
            Self::Envoy(_) => Role::Envoy,
        }
    }

    /// It answers, whatever it says.
    async fn answers(&self) -> bool {
        match self {
            Self::Agent(agent) => {
                use consul::Error::{Timeout, Unreachable};
                !matches!(agent.answers().await, Err(Unreachable { .. } | Timeout { .. }))
            }
            Self::Envoy(admin) => {
                use envoy::AdminError::{Timeout, Unreachable};
                !matches!(admin.ready().await, Err(Unreachable { .. } | Timeout { .. }))
            }
        }
    }
}
