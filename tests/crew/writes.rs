//! The writes of the registration: one queue, each tried until it worked, gave way to a newer one, or the hush came.

use super::crew::Due;
use super::mesh::{CHECK_INTERVAL, Instance, Job, Mesh};
use super::script::ms;
use std::time::Duration;
use taskmesh::supervisor::{Event, Source};

#[derive(Debug, Clone)]
pub(super) enum Write {
    Register { hold: bool, covered: bool, containers: Vec<String> },
    PassProxyCheck,
    EndHold,
    Cover,
    Uncover,
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
        let event = if self.takes(now) && self.apply(now, &write, out) {
            matches!(write, Write::Register { .. }).then_some(Event::Registered)
        } else if self.hushed
            || !self.queue.is_empty() && matches!(self.queue[0], Write::Register { .. })
        {
            None
        } else {
            self.writing = Some(write);
            let rest = self.dice.within(250, 2000);
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

    fn apply(&mut self, now: Duration, write: &Write, out: &mut Vec<Due>) -> bool {
        match (write, &mut self.local) {
            (Write::Register { hold, covered, containers }, local) => {
                let old = local.take();
                // A check that is registered again keeps what it says.
                let ttl = |name: &String| {
                    old.as_ref().and_then(|old| old.ttl.get(name)).copied().unwrap_or(false)
                };
                *local = Some(Instance {
                    maintenance: *hold || *covered,
                    proxy_check: old.as_ref().is_some_and(|old| old.proxy_check),
                    ttl: containers.iter().map(|name| (name.clone(), ttl(name))).collect(),
                });
                self.intent = true;
                self.loss_untold = false;
                if old.is_none() {
                    out.extend(self.check_soon(now));
                }
                true
            }
            (Write::PassProxyCheck, Some(local)) => {
                local.proxy_check = true;
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

    /// The proxy's check runs at a random moment of its interval; an older schedule is void.
    pub(super) fn check_soon(&mut self, now: Duration) -> Option<Due> {
        self.probe += 1;
        let job = Job::Probe(self.probe);
        Some(self.job(now, 1, CHECK_INTERVAL, job))
    }
}
