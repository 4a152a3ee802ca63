//! One leader among several controllers: who may write, and how the lead changes hands.
//!
//! The lead is a key at Consul, held by a session that its holder renews. Consul frees the key when the session was not
//! renewed for its TTL (in fact for twice as long), so a leader whose last renewal is half a TTL old stops writing by
//! itself, whatever it was doing then: one that was frozen and thaws finds that out before its next write.

use super::lock::{Held, Lock};
use crate::logging::Said;
use std::cell::{Cell, RefCell};
use std::time::Duration;
use tokio::time::{Instant, sleep};

/// The least that Consul takes.
pub(crate) const TTL: Duration = Duration::from_secs(10);
/// So long after its last renewal a leader still writes.
const GOOD_FOR: Duration = Duration::from_secs(5);
/// Two of them may fail.
const RENEW_EVERY: Duration = Duration::from_secs(2);
/// A key that is free and refused has a delay of 1 s to wait for, or somebody else was faster.
const AGAIN: Duration = Duration::from_millis(250);
/// After a call that failed.
const PAUSE: Duration = Duration::from_secs(1);
/// The farewell takes no longer.
const FAREWELL: Duration = Duration::from_secs(2);

/// Whether this controller leads.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Standing {
    /// There is no lead to be had: `controller.ha` is false.
    Alone,
    Leads {
        /// When the last renewal that went well was sent.
        renewed: Instant,
    },
    Follows {
        /// What the leader calls itself; `None`: nobody is known to lead.
        whom: Option<String>,
    },
}

impl Standing {
    /// Whether a write may be made now.
    ///
    /// # Errors
    /// Why not, in words.
    pub(crate) fn may_write(&self, now: Instant) -> Result<(), String> {
        match self {
            Self::Alone => Ok(()),
            Self::Leads { renewed } => {
                let ago = now.saturating_duration_since(*renewed);
                if ago < GOOD_FOR {
                    return Ok(());
                }
                let seconds = ago.as_secs();
                Err(format!("nothing is written: the lead was last renewed {seconds} s ago"))
            }
            Self::Follows { .. } => Err("nothing is written: another controller leads".to_owned()),
        }
    }
}

/// Shared by the election and by whoever writes.
#[derive(Debug)]
pub(crate) struct Lease {
    standing: RefCell<Standing>,
    /// Why the lead cannot be had or renewed, since when.
    trouble: RefCell<Option<(String, Instant)>>,
}

impl Lease {
    /// Of a controller that has no others beside it.
    pub(crate) fn alone() -> Self {
        Self { standing: RefCell::new(Standing::Alone), trouble: RefCell::default() }
    }

    /// Of one among several, before it has looked.
    pub(crate) fn among_others() -> Self {
        let standing = RefCell::new(Standing::Follows { whom: None });
        Self { standing, trouble: RefCell::default() }
    }

    /// See [`Standing::may_write`].
    ///
    /// # Errors
    /// As there.
    pub(crate) fn may_write(&self) -> Result<(), String> {
        self.standing.borrow().may_write(Instant::now())
    }

    /// Whom it follows; `None` where it follows nobody.
    pub(crate) fn follows(&self) -> Option<String> {
        match &*self.standing.borrow() {
            Standing::Follows { whom } => whom.clone(),
            _ => None,
        }
    }

    /// It leads, or there is no lead to be had.
    pub(crate) fn leads(&self) -> bool {
        !matches!(*self.standing.borrow(), Standing::Follows { .. })
    }

    /// What is wrong with the lead, and for how long it has been.
    pub(crate) fn trouble(&self) -> Option<(String, Duration)> {
        self.trouble.borrow().as_ref().map(|(why, since)| (why.clone(), since.elapsed()))
    }

    fn is_well(&self) {
        *self.trouble.borrow_mut() = None;
    }

    fn failed(&self, why: String) {
        let mut trouble = self.trouble.borrow_mut();
        let since = trouble.as_ref().map_or_else(Instant::now, |(_, since)| *since);
        *trouble = Some((why, since));
    }
}

/// What a leader does.
pub(crate) trait Work {
    /// Goes on for ever; is dropped when the lead is lost.
    async fn lead(&self);
    /// The lead is lost: whatever is known may be old when it comes back.
    fn forget(&self);
    /// The standing has changed.
    fn told(&self);
}

/// See the module's text.
pub(crate) struct Election<'a, L> {
    pub(crate) lock: L,
    pub(crate) lease: &'a Lease,
    /// The session that we have, if any: for the farewell.
    session: RefCell<Option<String>>,
    holds: Cell<bool>,
    said: RefCell<Said>,
}

impl<'a, L: Lock> Election<'a, L> {
    pub(crate) fn new(lock: L, lease: &'a Lease) -> Self {
        let (session, holds) = (RefCell::default(), Cell::new(false));
        Self { lock, lease, session, holds, said: RefCell::default() }
    }

    /// Follows, leads, and follows again, for ever. After dropping it, [`Election::resign`].
    pub(crate) async fn run(&self, work: &impl Work) {
        loop {
            let session = self.follow(work).await;
            tracing::info!("leads");
            work.told();
            let lost = tokio::select! {
                () = work.lead() => "its work has ended",
                why = self.hold(&session, work) => why,
            };
            self.holds.set(false);
            *self.lease.standing.borrow_mut() = Standing::Follows { whom: None };
            work.forget();
            tracing::warn!(why = lost, "leads no longer");
            work.told();
        }
    }

    /// Gives the lead back, so that another one has it at once.
    pub(crate) async fn resign(&self) {
        let Some(session) = self.session.take() else { return };
        let held = self.holds.replace(false);
        let farewell = self.lock.resign(&session, held);
        match tokio::time::timeout(FAREWELL, farewell).await {
            Ok(Ok(())) => {}
            Ok(Err(why)) => tracing::warn!(%why, "the lead is not given back: it ends by itself"),
            Err(_elapsed) => {
                tracing::warn!("the lead is not given back in time: it ends by itself")
            }
        }
    }

    /// Until it holds the key; gives the session by which it does.
    async fn follow(&self, work: &impl Work) -> String {
        let mut index = 0;
        loop {
            match self.look_and_try(&mut index, work).await {
                Ok(Some(session)) => {
                    self.is_well(work);
                    return session;
                }
                Ok(None) => self.is_well(work),
                Err(why) => {
                    index = 0;
                    self.failed(why, work);
                    sleep(PAUSE).await;
                }
            }
        }
    }

    /// One look at the key, held back until it is another than at `index`; and a try to have it, if it is free.
    async fn look_and_try(
        &self,
        index: &mut u64,
        work: &impl Work,
    ) -> Result<Option<String>, String> {
        let seen = self.lock.look(*index).await?;
        *index = seen.next_index(*index);
        let whom = match seen.value {
            Held::By { name, .. } => Some(name),
            Held::ByNobody => None,
        };
        let is_free = whom.is_none();
        self.follows(whom, work);
        if !is_free {
            // Not kept and renewed for what may be months. One that cannot be ended now ends by itself.
            if let Some(session) = self.session.take() {
                let _ended = self.lock.resign(&session, false).await;
            }
            return Ok(None);
        }
        let began = Instant::now();
        let kept = self.session.borrow().clone();
        let session = match kept {
            Some(session) if self.lock.renew(&session).await? => session,
            _ => self.lock.session().await?,
        };
        *self.session.borrow_mut() = Some(session.clone());
        if self.lock.acquire(&session).await? {
            self.holds.set(true);
            *self.lease.standing.borrow_mut() = Standing::Leads { renewed: began };
            return Ok(Some(session));
        }
        *index = 0;
        sleep(AGAIN).await;
        Ok(None)
    }

    fn follows(&self, whom: Option<String>, work: &impl Work) {
        let standing = Standing::Follows { whom };
        let old = self.lease.standing.replace(standing.clone());
        if old != standing {
            if let Standing::Follows { whom: Some(whom) } = &standing {
                tracing::info!(leader = whom, "follows");
            }
            work.told();
        }
    }

    /// Until the lead is lost: its session has ended, or somebody has taken the key away.
    async fn hold(&self, session: &str, work: &impl Work) -> &'static str {
        tokio::select! {
            why = self.renewals(session, work) => why,
            why = self.taken_away(session) => why,
        }
    }

    async fn renewals(&self, session: &str, work: &impl Work) -> &'static str {
        loop {
            let sent = Instant::now();
            match self.lock.renew(session).await {
                Ok(true) => {
                    *self.lease.standing.borrow_mut() = Standing::Leads { renewed: sent };
                    self.is_well(work);
                }
                Ok(false) => return "its session has ended",
                Err(why) => self.failed(why, work),
            }
            tokio::time::sleep_until(sent + RENEW_EVERY).await;
        }
    }

    /// What fails here fails in the renewals, too, and is told there.
    async fn taken_away(&self, session: &str) -> &'static str {
        let mut index = 0;
        loop {
            match self.lock.look(index).await {
                Ok(seen) => {
                    index = seen.next_index(index);
                    if !matches!(&seen.value, Held::By { session: holder, .. } if holder == session)
                    {
                        return "its key was taken away";
                    }
                }
                Err(_why) => {
                    index = 0;
                    sleep(PAUSE).await;
                }
            }
        }
    }

    fn failed(&self, why: String, work: &impl Work) {
        if let Some(repeats) = self.said.borrow_mut().news(&why) {
            tracing::warn!(%why, repeats, "the lead cannot be had or renewed");
        }
        self.lease.failed(why);
        work.told();
    }

    fn is_well(&self, work: &impl Work) {
        self.said.borrow_mut().over();
        if self.lease.trouble().is_some() {
            self.lease.is_well();
            work.told();
        }
    }
}

#[cfg(test)]
#[path = "leader_tests.rs"]
mod tests;
