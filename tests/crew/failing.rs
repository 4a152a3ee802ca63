//! Writes that fail at the agent, once or for a while: with an error, as refused, or without an answer in time. They
//! can fail in the middle, for most are more than one call.

use super::crew::{Due, What};
use super::mesh::{Job, LOOK, Mesh};
use super::script::ms;
use super::writes::Write;
use std::time::Duration;
use taskmesh::supervisor::{Event, Source, refusal};

/// Which writes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Call {
    Register,
    /// Of the proxy's check.
    Check,
    /// The maintenance begins or ends: hold and cover.
    Maintenance,
    /// Of a container's health.
    Ttl,
    Burst,
}

impl Call {
    pub(crate) fn kind(self) -> &'static str {
        match self {
            Self::Register => "registering fails",
            Self::Check => "passing the check fails",
            Self::Maintenance => "maintenance fails",
            Self::Ttl => "writing health fails",
            Self::Burst => "the burst fails",
        }
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum How {
    /// It may work the next moment. A part of it may be done.
    Error,
    /// As wrong.
    Refused,
    /// The answer does not come in time, and what was asked for may be done at any time until then.
    Late,
}

/// As the client's.
const TIMEOUT: u64 = 2000;
/// Between two tries of what was refused, and once that stands.
const PAUSE: u64 = 1000;
const SLOW: u64 = 30_000;

/// A kind of writes that fails.
#[derive(Debug, Clone, Copy)]
pub(super) struct Failing {
    how: How,
    /// `None`: once.
    until: Option<Duration>,
}

impl Failing {
    fn lasts(self, now: Duration) -> bool {
        self.until.is_none_or(|until| now < until)
    }
}

impl Mesh {
    pub(super) fn writes_fail(&mut self, now: Duration, call: Call, how: How, time: u64) {
        let until = (time > 0).then(|| now + ms(time));
        self.failing.insert(call, Failing { how, until });
    }

    /// How such a write fails now, if it does.
    pub(super) fn fails(&mut self, now: Duration, call: Call) -> Option<How> {
        let failing = *self.failing.get(&call)?;
        if failing.until.is_none() || !failing.lasts(now) {
            self.failing.remove(&call);
        }
        failing.lasts(now).then(|| {
            self.failed.insert(call);
            failing.how
        })
    }

    /// Some write of the registration fails now, or one that failed rests.
    pub(crate) fn hinders(&self, now: Duration) -> bool {
        let fails = |(call, f): (&Call, &Failing)| {
            let writes = matches!(call, Call::Register | Call::Check | Call::Maintenance);
            writes && f.lasts(now)
        };
        now < self.rests_until || self.failing.iter().any(fails)
    }

    /// The burst cannot be trusted now.
    pub(crate) fn burst_fails(&self, now: Duration) -> bool {
        self.failing.get(&Call::Burst).is_some_and(|f| f.lasts(now))
    }

    /// One that gets no answer in time is given up only then; perhaps it lands before.
    pub(super) fn is_late(&mut self, now: Duration, write: Write, out: &mut Vec<Due>) {
        if self.dice.one_in(2) {
            out.push(self.job(now, 1, TIMEOUT - 1, Job::Lands(write.clone())));
        }
        (self.writing, self.late) = (Some(write), true);
        out.push(Due { at: now + ms(TIMEOUT), what: What::Mesh(Job::WriteEnds(self.number)) });
    }

    /// A part of it is done.
    pub(super) fn half(&mut self, now: Duration, write: &Write, out: &mut Vec<Due>) {
        let Some(local) = &mut self.local else { return };
        match write {
            // A service without the check passes, until the watchdog misses it.
            Write::PassProxyCheck => {
                local.proxy_check = true;
                self.check_gone = true;
                out.push(self.job(now, 500, LOOK + 500, Job::Look));
            }
            // The proxy's maintenance is the last call, and only it says that Envoy is down.
            Write::Register { hold, .. } => local.maintenance |= *hold,
            Write::EndHold | Write::Cover | Write::Uncover => {}
        }
    }

    /// How long the next try rests, and what is told of this one.
    pub(super) fn verdict(&mut self, now: Duration, how: How, out: &mut Vec<Due>) -> u64 {
        self.refusals = if how == How::Refused { self.refusals + 1 } else { 0 };
        let stands = self.refusals >= refusal::REFUSALS;
        let why = "an agent that refuses".to_owned();
        let told = if stands {
            Event::RegistrationRefused(why)
        } else {
            Event::Trouble { source: Source::Registration, why: Some(why) }
        };
        self.troubled = true;
        out.push(Due::fact(now, told));
        match how {
            How::Refused if stands => self.dice.within(SLOW * 3 / 4, SLOW),
            How::Refused => self.dice.within(PAUSE * 3 / 4, PAUSE),
            How::Error | How::Late => self.dice.within(250, 2000),
        }
    }

    /// The burst: all of it, a part, or nothing.
    pub(super) fn withdraw(&mut self, now: Duration, out: &mut Vec<Due>) -> Option<Event> {
        if !self.answers(now) {
            out.push(self.job(now, 100, 1000, Job::Withdraw));
            return None;
        }
        let how = self.fails(now, Call::Burst);
        let half = self.dice.one_in(2);
        if let Some(local) = &mut self.local
            && (how.is_none() || half && how != Some(How::Refused))
        {
            local.maintenance = true;
            if how.is_none() {
                local.ttl.values_mut().for_each(|passes| *passes = false);
            }
        }
        match how {
            None => Some(Event::Withdrawn(Ok(()))),
            Some(How::Refused) => Some(Event::Withdrawn(Err("refused".to_owned()))),
            Some(how) => {
                let rest = if how == How::Late { TIMEOUT } else { 100 };
                out.push(self.job(now, rest, rest + 900, Job::Withdraw));
                None
            }
        }
    }
}
