//! The writes of the registration: one queue, each tried until it worked, gave way to a newer one, or the hush came.

use super::checks::Instance;
use super::crew::Due;
use super::failing::{Call, How};
use super::mesh::{Job, Mesh};
use super::script::ms;
use std::time::Duration;
use taskmesh::supervisor::{Event, Source};

#[derive(Debug, Clone)]
pub(crate) enum Write {
    Register { hold: bool, covered: bool, containers: Vec<String> },
    PassProxyCheck,
    EndHold,
    Cover,
    Uncover,
}

impl Write {
    fn call(&self) -> Call {
        match self {
            Self::Register { .. } => Call::Register,
            Self::PassProxyCheck => Call::Check,
            Self::EndHold | Self::Cover | Self::Uncover => Call::Maintenance,
        }
    }
}

impl Mesh {
    pub(super) fn enqueue(&mut self, now: Duration, write: Write, out: &mut Vec<Due>) {
        if !self.hushed {
            self.queue.push_back(write);
            self.write_next(now, out);
        }
    }

    fn write_next(&mut self, now: Duration, out: &mut Vec<Due>) {
        if self.writing.is_none() {
            self.writing = self.queue.pop_front();
            if self.writing.is_some() {
                self.call(now, 0, out);
            }
        }
    }

    /// One try, after a rest.
    fn call(&mut self, now: Duration, rest: u64, out: &mut Vec<Due>) {
        self.number += 1;
        // While it rests something newer may take its place; the call itself is short beside the rest.
        self.calling = rest == 0;
        let job = Job::WriteEnds(self.number);
        out.push(self.job(now + ms(rest), 1, self.call, job));
    }

    pub(super) fn write_ends(&mut self, now: Duration, out: &mut Vec<Due>) -> Option<Event> {
        self.calling = false;
        let write = self.writing.take()?;
        let late = std::mem::take(&mut self.late);
        let how = if late { Some(How::Late) } else { self.fails(now, write.call()) };
        if how == Some(How::Late) && !late {
            self.calling = true;
            self.is_late(now, write, out);
            return None;
        }
        if how == Some(How::Error) && self.takes(now) && self.dice.one_in(2) {
            self.half(now, &write, out);
        }
        let event = if how.is_none() && self.takes(now) && self.apply(now, &write, out) {
            self.refusals = 0;
            if std::mem::take(&mut self.troubled) {
                let source = Source::Registration;
                out.push(Due::fact(now, Event::Trouble { source, why: None }));
            }
            matches!(write, Write::Register { .. }).then_some(Event::Registered)
        } else if self.hushed
            || !self.queue.is_empty() && matches!(self.queue[0], Write::Register { .. })
        {
            None
        } else {
            let rest = self.verdict(now, how.unwrap_or(How::Error), out);
            self.writing = Some(write);
            self.rests_until = now + ms(rest);
            self.call(now, rest, out);
            return None;
        };
        if self.hushed {
            out.push(Due::fact(now, Event::Quiet(Source::Registration)));
        } else {
            self.write_next(now, out);
        }
        event
    }

    pub(super) fn apply(&mut self, now: Duration, write: &Write, out: &mut Vec<Due>) -> bool {
        match (write, &mut self.local) {
            (Write::Register { hold, covered, containers }, local) => {
                let old = local.take();
                let gone = std::mem::take(&mut self.check_gone);
                // A check that is registered again keeps what it says.
                let ttl = |name: &String| {
                    old.as_ref().and_then(|old| old.ttl.get(name)).copied().unwrap_or(false)
                };
                *local = Some(Instance {
                    maintenance: *hold || *covered,
                    proxy_check: old.as_ref().is_some_and(|old| old.proxy_check && !gone),
                    native: self.native.map(|at_first| {
                        old.as_ref().and_then(|old| old.native).unwrap_or(at_first)
                    }),
                    ttl: containers.iter().map(|name| (name.clone(), ttl(name))).collect(),
                });
                self.intent = true;
                self.loss_untold = false;
                if old.is_none() || gone {
                    out.extend(self.check_soon(now));
                    out.extend(self.check_port_soon(now));
                }
                true
            }
            (Write::PassProxyCheck, Some(local)) => {
                local.proxy_check = true;
                self.check_gone = false;
                out.extend(self.check_soon(now));
                true
            }
            (Write::EndHold | Write::Uncover, Some(local)) => {
                local.maintenance = false;
                true
            }
            (Write::Cover, Some(local)) => {
                local.maintenance = true;
                true
            }
            (Write::PassProxyCheck | Write::EndHold | Write::Cover | Write::Uncover, None) => false,
        }
    }
}
