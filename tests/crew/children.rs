//! The two child processes: their starts, their deaths, and what they tell in between.

use super::crew::{Crew, Due, What};
use super::script::ms;
use std::time::Duration;
use taskmesh::process::{ChildExit, Signal};
use taskmesh::supervisor::{Ending, Event, Role};

#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Proc {
    pub(crate) life: u32,
    pub(crate) alive: bool,
    pub(crate) born_at: Duration,
    /// This life has answered once.
    pub(crate) answered: bool,
    /// It is to die so often, so long after each of its starts.
    pub(crate) doomed: (u32, u64),
    /// Until then it cannot be spawned.
    pub(crate) no_spawn_until: Duration,
}

impl Proc {
    pub(crate) fn pid(&self, role: Role) -> i32 {
        100 * (1 + role as i32) + i32::try_from(self.life).unwrap()
    }
}

impl Crew {
    pub(crate) fn proc(&self, role: Role) -> Proc {
        match role {
            Role::Agent => self.agent,
            Role::Envoy => self.envoy,
        }
    }

    pub(crate) fn proc_mut(&mut self, role: Role) -> &mut Proc {
        match role {
            Role::Agent => &mut self.agent,
            Role::Envoy => &mut self.envoy,
        }
    }

    pub(super) fn start(&mut self, now: Duration, role: Role) -> Vec<Due> {
        let s = &self.script;
        let Some(spawn) = s.spawn.map(ms) else { return Vec::new() };
        let no_spawn = (now < self.proc(role).no_spawn_until).then_some((role, false));
        if let Some((failing, fatal)) = s.spawn_fails.or(no_spawn)
            && failing == role
        {
            let exit = Ending::SpawnFailed { why: format!("{}: no such file", role.name()), fatal };
            return vec![Due::fact(
                now + spawn,
                Event::ChildExited { role, exit, said: Vec::new() },
            )];
        }
        let times = match role {
            Role::Agent => [(s.answers, Event::AgentAnswers), (s.joins, Event::AgentJoined)],
            Role::Envoy => [(s.live, Event::EnvoyLive), (s.listens, Event::ListenerOpen)],
        };
        let proc = self.proc_mut(role);
        proc.life += 1;
        proc.alive = true;
        proc.born_at = now;
        proc.answered = false;
        let (life, pid) = (Some((role, proc.life)), proc.pid(role));
        let (left, after) = &mut proc.doomed;
        let dies = (*left > 0).then_some(*after);
        *left = left.saturating_sub(1);
        // Scripted worlds may have the news of a start after that of the end; a process that lives is told of first.
        let born = Event::ChildStarted { role, pid };
        let born_of = life.filter(|_| self.mesh.is_some());
        let mut out = vec![Due { at: now + spawn, what: What::Fact(born, born_of) }];
        if let Some(mesh) = &mut self.mesh
            && role == Role::Agent
        {
            out.extend(mesh.agent_starts(now));
        }
        out.extend(self.end(now + spawn, role, dies, ChildExit::Code(1)));
        for (time, event) in times {
            if let Some(time) = time {
                out.push(Due { at: now + spawn + ms(time), what: What::Fact(event, life) });
            }
        }
        out
    }

    pub(super) fn end(
        &mut self,
        now: Duration,
        role: Role,
        time: Option<u64>,
        exit: ChildExit,
    ) -> Vec<Due> {
        let life = self.proc(role).life;
        time.map(|t| Due { at: now + ms(t), what: What::Ends(role, life, exit) })
            .into_iter()
            .collect()
    }
}

pub(crate) fn killed() -> ChildExit {
    ChildExit::Signal { signal: Signal::SIGKILL as i32, core: false }
}
