//! The steps of a plan, done: at Consul, and at Secrets Manager within its rates.

use super::apply::{Failure, Hands, Learned};
use super::cloud::Cloud;
use super::desired::Task;
use super::leader::Lease;
use super::plan::{Pair, Secret, Step, Subject};
use super::rate::{Bucket, ECS_READS, Limit, SECRET_READS, SECRET_WRITES};
use crate::aws::{ApiError, Kind};
use crate::consul;
use std::cell::RefCell;
use std::collections::BTreeMap;
use std::rc::Rc;
use std::time::Duration;
use tokio::time::Instant;

/// So often a call that was refused as "too often" is made again.
const TRIES: u32 = 6;

/// Calls of one API, within its rate.
#[derive(Debug)]
pub(crate) struct Throttle {
    epoch: Instant,
    bucket: RefCell<Bucket>,
}

impl Throttle {
    pub(crate) fn new(limit: Limit) -> Self {
        Self { epoch: Instant::now(), bucket: RefCell::new(Bucket::new(limit)) }
    }

    /// Makes a call when it may be made, and again, more slowly, where AWS says "too often".
    pub(crate) async fn call<T>(
        &self,
        mut ask: impl AsyncFnMut() -> Result<T, ApiError>,
    ) -> Result<T, ApiError> {
        let mut tries = 0;
        loop {
            let wait = self.bucket.borrow_mut().take(self.epoch.elapsed());
            if wait > Duration::ZERO {
                tokio::time::sleep(wait).await;
            }
            let answer = ask().await;
            tries += 1;
            match &answer {
                Err(error) if error.kind == Kind::TooOften && tries < TRIES => {
                    self.bucket.borrow_mut().refused();
                }
                _ => {
                    if answer.is_ok() {
                        self.bucket.borrow_mut().went_well();
                    }
                    return answer;
                }
            }
        }
    }
}

/// How often each API was called, and how often in vain, by the kind of the error.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Calls {
    pub(crate) made: BTreeMap<&'static str, u64>,
    pub(crate) failed: BTreeMap<(&'static str, String), u64>,
}

/// What a call does, and by that how it is bounded.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Bound {
    /// Reads tasks.
    Tasks,
    /// Reads a secret.
    Read,
    /// Writes a secret: only while we lead.
    Write,
}

/// See the module's text.
#[derive(Debug)]
pub(crate) struct RealHands {
    pub(crate) consul: consul::Client,
    cloud: Cloud,
    pub(crate) lease: Rc<Lease>,
    tasks: Throttle,
    reads: Throttle,
    writes: Throttle,
    pub(crate) calls: RefCell<Calls>,
}

impl RealHands {
    pub(crate) fn new(consul: consul::Client, cloud: Cloud, lease: Rc<Lease>) -> Self {
        Self {
            consul,
            cloud,
            lease,
            tasks: Throttle::new(ECS_READS),
            reads: Throttle::new(SECRET_READS),
            writes: Throttle::new(SECRET_WRITES),
            calls: RefCell::default(),
        }
    }

    /// A page of the tasks that are to run, and the key of the next one.
    ///
    /// # Errors
    /// Why they cannot be had.
    pub(crate) async fn tasks(
        &self,
        cluster: &str,
        page: Option<String>,
    ) -> Result<(Vec<String>, Option<String>), Failure> {
        let list = async || self.cloud.tasks(cluster, page.clone()).await;
        self.aws("ListTasks", Bound::Tasks, list).await
    }

    /// See [`Cloud::describe`].
    ///
    /// # Errors
    /// Why they cannot be had.
    pub(crate) async fn describe(
        &self,
        cluster: &str,
        arns: &[String],
    ) -> Result<Vec<(String, Task)>, Failure> {
        let describe = async || self.cloud.describe(cluster, arns.to_vec()).await;
        self.aws("DescribeTasks", Bound::Tasks, describe).await
    }

    fn count(&self, call: &'static str) {
        *self.calls.borrow_mut().made.entry(call).or_default() += 1;
    }

    fn failed(&self, call: &'static str, kind: &str) {
        *self.calls.borrow_mut().failed.entry((call, kind.to_owned())).or_default() += 1;
    }

    /// A call of AWS, made again where it was asked too often; each time counts.
    async fn aws<T>(
        &self,
        call: &'static str,
        bound: Bound,
        mut ask: impl AsyncFnMut() -> Result<T, ApiError>,
    ) -> Result<T, Failure> {
        let throttle = match bound {
            Bound::Tasks => &self.tasks,
            Bound::Read => &self.reads,
            Bound::Write => &self.writes,
        };
        let once = async || {
            // Not before the wait for its turn: the lead may be lost by then.
            if bound == Bound::Write {
                self.lease.may_write().map_err(no_leader)?;
            }
            self.count(call);
            ask().await.inspect_err(|error| {
                let kind = if error.code.is_empty() { "unreachable" } else { &error.code };
                self.failed(call, kind);
            })
        };
        throttle.call(once).await.map_err(|error| Failure(error.why))
    }

    fn of_consul(&self, call: &'static str, error: &consul::Error) -> Failure {
        let kind = match error.refusal() {
            Some((status, _)) => status.to_string(),
            None if error.is_unreachable() => "unreachable".to_owned(),
            None => "unreadable".to_owned(),
        };
        self.failed(call, &kind);
        Failure(words(error))
    }

    async fn secret(&self, subject: &Subject) -> Result<Secret, Failure> {
        self.aws("GetSecretValue", Bound::Read, async || self.cloud.secret(&subject.secret).await)
            .await
    }

    /// A write at Consul; what is there already, or not any more, is no failure: look again.
    pub(super) async fn written(
        &self,
        call: &'static str,
        write: impl Future<Output = consul::Result<()>>,
    ) -> Result<Learned, Failure> {
        self.lease.may_write().map_err(Failure)?;
        self.count(call);
        match write.await {
            Ok(()) => Ok(Learned::Written),
            Err(e) if e.is_taken() || e.is_not_found() || e.is_acl_gone() => Ok(Learned::Changed),
            Err(e) => Err(self.of_consul(call, &e)),
        }
    }
}

/// A write that is not made.
fn no_leader(why: String) -> ApiError {
    ApiError { kind: Kind::Refused, code: "NotLeader".to_owned(), why }
}

/// With what a token lacks, for Consul only says "Permission denied".
pub(crate) fn words(error: &consul::Error) -> String {
    if error.is_forbidden() {
        return format!("{error} (the controller's token needs acl:write)");
    }
    error.to_string()
}

impl Hands for RealHands {
    async fn perform(
        &self,
        subject: &Subject,
        step: &Step,
        new: &Pair,
    ) -> Result<Learned, Failure> {
        let consul = &self.consul;
        match step {
            Step::ReadSecret => self.secret(subject).await.map(Learned::Secret),
            Step::CreateSecret => {
                let create = async || self.cloud.create_secret(&subject.secret, new).await;
                if self.aws("CreateSecret", Bound::Write, create).await? {
                    return Ok(Learned::Written);
                }
                // Somebody else was faster; or it is there without any value, and such a one is not found.
                Ok(Learned::Secret(match self.secret(subject).await? {
                    Secret::Missing => Secret::Empty,
                    secret => secret,
                }))
            }
            Step::PutSecret { pair, .. } => {
                let pair = pair.as_ref().unwrap_or(new);
                let put = async || self.cloud.put_secret(&subject.secret, pair).await;
                self.aws("UpdateSecret", Bound::Write, put).await?;
                Ok(Learned::Written)
            }
            Step::ReadPolicy { id } => {
                const CALL: &str = "acl/policy read";
                self.count(CALL);
                match consul.acl_policy(id).await {
                    Ok(Some(policy)) => Ok(Learned::Rules(policy.rules)),
                    Ok(None) => Ok(Learned::Changed),
                    Err(e) => Err(self.of_consul(CALL, &e)),
                }
            }
            Step::ReadToken { accessor } => {
                const CALL: &str = "acl/token read";
                self.count(CALL);
                match consul.acl_token_secret(accessor).await {
                    Ok(Some(token)) => Ok(Learned::Token(token.into())),
                    Ok(None) => Ok(Learned::Changed),
                    Err(e) => Err(self.of_consul(CALL, &e)),
                }
            }
            Step::CreatePolicy => {
                let (about, rules) = (&subject.policy_description, &subject.rules);
                let create = consul.acl_create_policy(&subject.policy, about, rules);
                self.written("acl/policy create", async { create.await.map(drop) }).await
            }
            Step::UpdatePolicy { id } => {
                self.written("acl/policy update", consul.acl_set_rules(id, &subject.rules)).await
            }
            Step::CreateToken { pair } => {
                let token = pair.token.secret();
                let policies: Vec<_> = std::iter::once(&subject.policy)
                    .chain(&subject.more_policies)
                    .cloned()
                    .collect();
                let about = &subject.token_description;
                let create = consul.acl_create_token(&pair.accessor, token, about, &policies);
                self.written("acl/token create", create).await
            }
            Step::LinkToken { accessor, missing } => {
                self.written("acl/token update", consul.acl_link_token(accessor, missing)).await
            }
            Step::DeleteToken { accessor, .. } => {
                self.written("acl/token delete", consul.acl_delete_token(accessor)).await
            }
            Step::DeletePolicy { id } => {
                self.written("acl/policy delete", consul.acl_delete_policy(id)).await
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::cell::Cell;

    fn often() -> ApiError {
        let why = "ThrottlingException: Rate exceeded".to_owned();
        ApiError { kind: Kind::TooOften, code: "ThrottlingException".to_owned(), why }
    }

    #[tokio::test(start_paused = true)]
    async fn what_is_asked_too_often_is_asked_again_and_less_often() {
        let throttle = Throttle::new(Limit { rate: 10.0, burst: 1.0 });
        let asked = Cell::new(0);
        let began = Instant::now();
        let answer = throttle
            .call(async || {
                asked.set(asked.get() + 1);
                if asked.get() < 4 { Err(often()) } else { Ok(()) }
            })
            .await;
        assert_eq!((answer, asked.get()), (Ok(()), 4));
        // At 5, 2.5 and 1.25 calls a second at the most; half a second would do without a refusal.
        let took = began.elapsed().as_secs_f64();
        assert!((1.4..2.5).contains(&took), "{took}");
    }

    #[tokio::test(start_paused = true)]
    async fn it_is_not_asked_for_ever_and_other_errors_are_told_at_once() {
        let throttle = Throttle::new(Limit { rate: 10.0, burst: 1.0 });
        let asked = Cell::new(0);
        for (error, times) in [(often(), TRIES), (ApiError { kind: Kind::Refused, ..often() }, 1)] {
            asked.set(0);
            let answer: Result<(), _> = throttle
                .call(async || {
                    asked.set(asked.get() + 1);
                    Err(error.clone())
                })
                .await;
            assert_eq!((answer, asked.get()), (Err(error), times));
        }
    }
}
