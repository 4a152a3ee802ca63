//! A child that is alive and answers nothing: it says nothing, heeds no TERM, and KILL ends it.
//!
//! An agent that hangs runs no check, and its servers miss it. An Envoy that hangs serves nobody, but the kernel still
//! accepts for it, so no check of its port notices.

use super::crew::{Crew, Due, What};
use super::mesh::{Job, Mesh, NODE_FAILS};
use super::script::ms;
use std::time::Duration;
use taskmesh::supervisor::{Event, Role};

/// Before its first answer Envoy is given so many times the limit, and the agent all the time it wants.
const FIRST_TIMES: u64 = 4;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Hang {
    pub(crate) since: Duration,
    pub(crate) until: Duration,
    /// By then somebody has told; `None`: nobody judges it yet.
    pub(crate) told_by: Option<Duration>,
}

impl Mesh {
    pub(crate) fn hang(&self, role: Role, now: Duration) -> Option<Hang> {
        self.hangs.get(&role).copied().filter(|hang| now < hang.until)
    }

    /// The last moment so far at which it hung.
    pub(crate) fn hung_before(&self, role: Role, now: Duration) -> Duration {
        self.hangs.get(&role).map_or(Duration::ZERO, |hang| hang.until.min(now))
    }
}

impl Crew {
    pub(crate) fn hang(&self, role: Role, now: Duration) -> Option<Hang> {
        self.mesh.as_ref()?.hang(role, now)
    }

    pub(super) fn hangs(&mut self, now: Duration, role: Role, time: u64) -> Vec<Due> {
        let (proc, limit) = (self.proc(role), self.script.unresponsive);
        let mesh = self.mesh.as_mut().expect("a crew with a mesh");
        if !proc.alive {
            return Vec::new();
        }
        let until = now + ms(time);
        let mut out = vec![Due { at: until, what: What::Look }];
        if let Some(hang) = mesh.hangs.get_mut(&role).filter(|hang| now < hang.until) {
            hang.until = hang.until.max(until);
            return out;
        }
        let limit = match role {
            _ if proc.answered => Some(limit),
            Role::Envoy => Some(limit * FIRST_TIMES),
            Role::Agent => None,
        };
        let told_by = limit.map(|limit| now + ms(limit + limit / 5));
        if let Some(limit) = limit {
            // It is asked every fifth of the limit; when it last answered is anybody's guess.
            let told = mesh.dice.within(limit - limit / 5, limit + limit / 5);
            out.push(Due { at: now + ms(told), what: What::Silent(role, now) });
        }
        mesh.hangs.insert(role, Hang { since: now, until, told_by });
        if role == Role::Agent {
            out.push(mesh.job(now, 3000, NODE_FAILS, Job::NodeFails));
        }
        out
    }

    /// That it is silent may be on its way when it dies, and come in its next life.
    pub(super) fn last_word(&mut self, now: Duration, role: Role) -> Option<Due> {
        let told = self.hang(role, now)?.told_by.is_some();
        let event = self.unresponsive(role);
        let dice = &mut self.mesh.as_mut()?.dice;
        let at = now + ms(dice.within(1, 500));
        (told && dice.one_in(2)).then(|| Due::fact(at, event))
    }

    fn unresponsive(&self, role: Role) -> Event {
        let silent = ms(self.script.unresponsive);
        Event::Unresponsive { role, pid: self.proc(role).pid(role), silent }
    }

    /// As `actors/alive` tells it, unless the child has answered since, or died.
    pub(super) fn silent(&self, now: Duration, role: Role, since: Duration) -> Option<Event> {
        self.hang(role, now).filter(|hang| hang.since == since)?;
        Some(self.unresponsive(role))
    }
}
