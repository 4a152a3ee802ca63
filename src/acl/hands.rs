//! The steps of a plan, done: at Consul, and at Secrets Manager within its rates.

use super::apply::{Failure, Hands, Learned};
use super::cloud::Cloud;
use super::plan::{Pair, Secret, Step, Subject};
use super::rate::{Bucket, Limit, SECRET_READS, SECRET_WRITES};
use crate::aws::{ApiError, Kind};
use crate::consul;
use secrecy::{ExposeSecret, SecretString};
use std::cell::RefCell;
use std::collections::BTreeMap;
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

/// See the module's text.
#[derive(Debug)]
pub(crate) struct RealHands {
    pub(crate) consul: consul::Client,
    pub(crate) cloud: Cloud,
    reads: Throttle,
    writes: Throttle,
    pub(crate) calls: RefCell<Calls>,
}

impl RealHands {
    pub(crate) fn new(consul: consul::Client, cloud: Cloud) -> Self {
        Self {
            consul,
            cloud,
            reads: Throttle::new(SECRET_READS),
            writes: Throttle::new(SECRET_WRITES),
            calls: RefCell::default(),
        }
    }

    fn count(&self, call: &'static str) {
        *self.calls.borrow_mut().made.entry(call).or_default() += 1;
    }

    fn failure(&self, call: &'static str, kind: &str, why: String) -> Failure {
        let key = (call, kind.to_owned());
        *self.calls.borrow_mut().failed.entry(key).or_default() += 1;
        Failure(why)
    }

    fn of_consul(&self, call: &'static str, error: &consul::Error) -> Failure {
        let kind = match error.refusal() {
            Some((status, _)) => status.to_string(),
            None if error.is_unreachable() => "unreachable".to_owned(),
            None => "unreadable".to_owned(),
        };
        self.failure(call, &kind, error.to_string())
    }

    fn of_aws(&self, call: &'static str, error: &ApiError) -> Failure {
        let kind = if error.code.is_empty() { "unreachable" } else { &error.code };
        self.failure(call, kind, error.why.clone())
    }

    /// A write at Consul; what is there already, or not any more, is no failure: look again.
    async fn written(
        &self,
        call: &'static str,
        write: impl Future<Output = consul::Result<()>>,
    ) -> Result<Learned, Failure> {
        self.count(call);
        match write.await {
            Ok(()) => Ok(Learned::Written),
            Err(e) if e.is_taken() || e.is_not_found() => Ok(Learned::Changed),
            Err(e) => Err(self.of_consul(call, &e)),
        }
    }
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
            Step::ReadSecret => {
                const CALL: &str = "GetSecretValue";
                self.count(CALL);
                let secret =
                    self.reads.call(async || self.cloud.secret(&subject.secret).await).await;
                secret.map(Learned::Secret).map_err(|e| self.of_aws(CALL, &e))
            }
            Step::CreateSecret => {
                const CALL: &str = "CreateSecret";
                self.count(CALL);
                let create = async || self.cloud.create_secret(&subject.secret, new).await;
                match self.writes.call(create).await {
                    Ok(true) => Ok(Learned::Written),
                    // Somebody else was faster; or it is there without any value, and such a one is not found.
                    Ok(false) => match self.cloud.secret(&subject.secret).await {
                        Ok(Secret::Missing) => Ok(Learned::Secret(Secret::Empty)),
                        Ok(secret) => Ok(Learned::Secret(secret)),
                        Err(e) => Err(self.of_aws(CALL, &e)),
                    },
                    Err(e) => Err(self.of_aws(CALL, &e)),
                }
            }
            Step::PutSecret { pair, .. } => {
                const CALL: &str = "UpdateSecret";
                self.count(CALL);
                let pair = pair.as_ref().unwrap_or(new);
                let put = async || self.cloud.put_secret(&subject.secret, pair).await;
                self.writes.call(put).await.map_err(|e| self.of_aws(CALL, &e))?;
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
                    Ok(Some(token)) => Ok(Learned::Token(token.expose_secret().to_owned())),
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
                let token = SecretString::from(pair.token.clone());
                let policies: Vec<_> = std::iter::once(&subject.policy)
                    .chain(&subject.more_policies)
                    .cloned()
                    .collect();
                let about = &subject.token_description;
                let create = consul.acl_create_token(&pair.accessor, &token, about, &policies);
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
