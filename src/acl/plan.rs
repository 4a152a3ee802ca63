//! What is to be done next for one policy, token and secret: pure, and one step at a time.
//!
//! A step is made from what is seen alone, never from what was done before. So it does not matter where a run was ended,
//! or whether somebody else works on the same: the next run goes on from what it finds. The ids of a token go into the
//! secret first; a token that no secret names could never be found again.

use super::hidden::Hidden;
use super::names::same_rules;
use std::collections::BTreeMap;
use std::time::Duration;

/// A token's two ids, as they stand in a secret.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Pair {
    pub(crate) accessor: String,
    pub(crate) token: Hidden,
}

/// What is wanted: names and words of the objects of one service, or of the clients of all tasks.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Subject {
    /// For people.
    pub(crate) about: String,
    pub(crate) policy: String,
    pub(crate) rules: String,
    pub(crate) policy_description: String,
    pub(crate) token_description: String,
    /// Linked to the token besides its own policy.
    pub(crate) more_policies: Vec<String>,
    pub(crate) secret: String,
}

/// Who made an object.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Maker {
    /// This controller, or another of its kind for the same cluster: ours to repair and to delete.
    Us,
    /// consul-ecs 0.4.3 for the same cluster: ours to use and to delete.
    Older,
    /// Somebody else, or for another cluster.
    Other,
}

/// A policy.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Policy {
    pub(crate) id: String,
    pub(crate) maker: Maker,
    /// `None`: not read yet.
    pub(crate) rules: Option<String>,
    /// Tokens of others are linked to it, too.
    pub(crate) used_elsewhere: bool,
}

/// A token.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Token {
    pub(crate) maker: Maker,
    /// Names of its policies.
    pub(crate) policies: Vec<String>,
    /// The token itself; `None`: not read yet.
    pub(crate) token: Option<Hidden>,
    /// For how long no secret has named it, as far as we know.
    pub(crate) surplus_for: Duration,
}

/// What the secret holds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Secret {
    /// Not read yet.
    Unread,
    /// There is none.
    Missing,
    /// It is, and holds no ids: `{}`, or what we cannot read.
    Empty,
    Holds(Pair),
    /// It is to be deleted; AWS gives nothing of it and takes nothing.
    Leaving,
}

/// What there is of a subject.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Seen {
    pub(crate) policy: Option<Policy>,
    /// Of this subject, by accessor.
    pub(crate) tokens: BTreeMap<String, Token>,
    pub(crate) secret: Secret,
}

/// Whether the subject is wanted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Want {
    /// It has tasks.
    Present,
    /// It has had none for so long.
    Gone(Duration),
}

/// What the user allows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Rules {
    /// `controller.createSecrets`.
    pub(crate) create_secrets: bool,
    /// `controller.gracePeriod`.
    pub(crate) grace: Duration,
}

/// One step.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Step {
    ReadSecret,
    ReadPolicy {
        id: String,
    },
    ReadToken {
        accessor: String,
    },
    /// With a new pair.
    CreateSecret,
    /// `None`: a new pair.
    PutSecret {
        pair: Option<Pair>,
        why: &'static str,
    },
    CreatePolicy,
    /// Its rules are no longer ours.
    UpdatePolicy {
        id: String,
    },
    CreateToken {
        pair: Pair,
    },
    /// A policy is not linked any more.
    LinkToken {
        accessor: String,
        missing: Vec<String>,
    },
    DeleteToken {
        accessor: String,
        why: &'static str,
    },
    DeletePolicy {
        id: String,
    },
}

impl Step {
    /// For counting.
    pub(crate) fn name(&self) -> &'static str {
        match self {
            Self::ReadSecret => "read-secret",
            Self::ReadPolicy { .. } => "read-policy",
            Self::ReadToken { .. } => "read-token",
            Self::CreateSecret => "create-secret",
            Self::PutSecret { .. } => "put-secret",
            Self::CreatePolicy => "create-policy",
            Self::UpdatePolicy { .. } => "update-policy",
            Self::CreateToken { .. } => "create-token",
            Self::LinkToken { .. } => "link-token",
            Self::DeleteToken { .. } => "delete-token",
            Self::DeletePolicy { .. } => "delete-policy",
        }
    }

    /// For people: a sentence without its subject.
    pub(crate) fn words(&self, subject: &Subject) -> String {
        let Subject { policy, secret, .. } = subject;
        match self {
            Self::ReadSecret => format!("read secret {secret}"),
            Self::ReadPolicy { .. } => format!("read policy {policy}"),
            Self::ReadToken { accessor } => format!("read token {accessor}"),
            Self::CreateSecret => format!("create secret {secret}"),
            Self::PutSecret { why, .. } => format!("write secret {secret}: {why}"),
            Self::CreatePolicy => format!("create policy {policy}"),
            Self::UpdatePolicy { .. } => format!("write policy {policy}: its rules were changed"),
            Self::CreateToken { pair } => format!("create token {}", pair.accessor),
            Self::LinkToken { accessor, missing } => {
                format!("link token {accessor} to {}", missing.join(", "))
            }
            Self::DeleteToken { accessor, why } => format!("delete token {accessor}: {why}"),
            Self::DeletePolicy { .. } => format!("delete policy {policy}: the service is gone"),
        }
    }

    /// It changes nothing.
    pub(crate) fn is_read(&self) -> bool {
        matches!(self, Self::ReadSecret | Self::ReadPolicy { .. } | Self::ReadToken { .. })
    }
}

/// What is next.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Next {
    Do(Step),
    /// All is as it should be, or waits for its time.
    Settled,
    /// It cannot go on; in words. Nothing is done that would make it worse.
    Stuck(String),
}

/// Decides the next step, and tells what differs without being ours to change.
pub(crate) fn next(
    subject: &Subject,
    want: Want,
    seen: &Seen,
    rules: Rules,
) -> (Next, Vec<String>) {
    match want {
        Want::Present => present(subject, seen, rules),
        Want::Gone(since) if since >= rules.grace => (gone(seen), Vec::new()),
        Want::Gone(_) => (Next::Settled, Vec::new()),
    }
}

/// Tokens first: one whose policy is gone would still be a token.
fn gone(seen: &Seen) -> Next {
    let mut tokens = seen.tokens.iter().filter(|(_, token)| token.maker != Maker::Other);
    if let Some((accessor, _)) = tokens.next() {
        return Next::Do(Step::DeleteToken {
            accessor: accessor.clone(),
            why: "the service is gone",
        });
    }
    match &seen.policy {
        Some(policy) if policy.maker != Maker::Other && !policy.used_elsewhere => {
            Next::Do(Step::DeletePolicy { id: policy.id.clone() })
        }
        _ => Next::Settled,
    }
}

fn present(subject: &Subject, seen: &Seen, rules: Rules) -> (Next, Vec<String>) {
    let mut drift = Vec::new();
    let next = match secret(subject, seen, rules) {
        Err(next) => next,
        Ok(pair) => match policy(subject, seen, &mut drift) {
            Some(next) => next,
            None => token(subject, seen, pair, rules, &mut drift),
        },
    };
    (next, drift)
}

/// The pair that the secret holds; else what is to be done about that.
fn secret<'a>(subject: &Subject, seen: &'a Seen, rules: Rules) -> Result<&'a Pair, Next> {
    Err(match &seen.secret {
        Secret::Holds(pair) => return Ok(pair),
        Secret::Unread => Next::Do(Step::ReadSecret),
        Secret::Missing if rules.create_secrets => Next::Do(Step::CreateSecret),
        Secret::Missing => Next::Stuck(format!(
            "secret {} does not exist, and controller.createSecrets is false",
            subject.secret
        )),
        Secret::Leaving => Next::Stuck(format!(
            "secret {} is scheduled for deletion: restore it, or delete it at once",
            subject.secret
        )),
        Secret::Empty => refill(seen),
    })
}

/// Tasks may run with a token that there is: its ids go into the secret again, if it is the only one.
fn refill(seen: &Seen) -> Next {
    let mut usable = seen.tokens.iter().filter(|(_, token)| token.maker != Maker::Other);
    let step = match (usable.next(), usable.next()) {
        (Some((accessor, Token { token: Some(token), .. })), None) => Step::PutSecret {
            pair: Some(Pair { accessor: accessor.clone(), token: token.clone() }),
            why: "it held no ids, and there is a token",
        },
        (Some((accessor, _)), None) => Step::ReadToken { accessor: accessor.clone() },
        _ => Step::PutSecret { pair: None, why: "it held no ids" },
    };
    Next::Do(step)
}

/// The policy is as it should be, or what is to be done about that.
fn policy(subject: &Subject, seen: &Seen, drift: &mut Vec<String>) -> Option<Next> {
    let Some(policy) = &seen.policy else { return Some(Next::Do(Step::CreatePolicy)) };
    let Some(found) = &policy.rules else {
        return Some(Next::Do(Step::ReadPolicy { id: policy.id.clone() }));
    };
    if same_rules(found, &subject.rules) {
        return None;
    }
    let name = &subject.policy;
    match policy.maker {
        Maker::Us => Some(Next::Do(Step::UpdatePolicy { id: policy.id.clone() })),
        Maker::Older => {
            drift.push(format!(
                "policy {name} of the 0.4.3 controller has other rules than it gave it"
            ));
            None
        }
        Maker::Other => Some(Next::Stuck(format!(
            "policy {name} was made by somebody else, and has other rules: it is not used"
        ))),
    }
}

fn token(
    subject: &Subject,
    seen: &Seen,
    pair: &Pair,
    rules: Rules,
    drift: &mut Vec<String>,
) -> Next {
    let Some(token) = seen.tokens.get(&pair.accessor) else {
        return Next::Do(Step::CreateToken { pair: pair.clone() });
    };
    let accessor = pair.accessor.clone();
    let name = &subject.about;
    match &token.token {
        None => return Next::Do(Step::ReadToken { accessor }),
        // A token never changes, so it is the secret that somebody has changed; tasks may run with the token.
        Some(found) if *found != pair.token && token.maker == Maker::Us => {
            let pair = Some(Pair { accessor, token: found.clone() });
            let why = "it held another token than Consul has under this accessor";
            return Next::Do(Step::PutSecret { pair, why });
        }
        Some(found) if *found != pair.token => {
            drift.push(format!("{name}: secret {} and token {accessor} disagree", subject.secret));
        }
        Some(_) => {}
    }
    let wanted = std::iter::once(&subject.policy).chain(&subject.more_policies);
    let missing: Vec<_> =
        wanted.filter(|wanted| !token.policies.contains(wanted)).cloned().collect();
    match (missing.is_empty(), token.maker) {
        (true, _) => {}
        (false, Maker::Us) => {
            return Next::Do(Step::LinkToken { accessor, missing });
        }
        (false, _) => {
            drift.push(format!("{name}: token {accessor} is not linked to {}", missing.join(", ")));
        }
    }
    let surplus = seen.tokens.iter().find(|(other, token)| {
        **other != accessor && token.maker == Maker::Us && token.surplus_for >= rules.grace
    });
    match surplus {
        Some((accessor, _)) => Next::Do(Step::DeleteToken {
            accessor: accessor.clone(),
            why: "the secret has long named another one",
        }),
        None => Next::Settled,
    }
}

impl Seen {
    /// Nothing is known of it but that there is neither policy nor token.
    #[cfg(test)]
    pub(crate) fn nothing() -> Self {
        Self { policy: None, tokens: BTreeMap::new(), secret: Secret::Unread }
    }

    /// What is there after a write that went well. `new`: the pair that it used where the step names none. What others
    /// may have written at the same time is read again.
    pub(crate) fn after(&mut self, subject: &Subject, step: &Step, new: &Pair) {
        match step {
            Step::ReadSecret | Step::ReadPolicy { .. } | Step::ReadToken { .. } => {}
            Step::CreateSecret => self.secret = Secret::Holds(new.clone()),
            Step::PutSecret { pair, .. } => {
                self.secret = Secret::Holds(pair.as_ref().unwrap_or(new).clone());
            }
            Step::CreatePolicy => {
                self.policy = Some(Policy {
                    id: String::new(),
                    maker: Maker::Us,
                    rules: Some(subject.rules.clone()),
                    used_elsewhere: false,
                });
            }
            Step::UpdatePolicy { .. } => {
                if let Some(policy) = &mut self.policy {
                    policy.rules = Some(subject.rules.clone());
                }
            }
            Step::CreateToken { pair } => {
                let policies = std::iter::once(&subject.policy).chain(&subject.more_policies);
                let token = Token {
                    maker: Maker::Us,
                    policies: policies.cloned().collect(),
                    token: Some(pair.token.clone()),
                    surplus_for: Duration::ZERO,
                };
                self.tokens.insert(pair.accessor.clone(), token);
            }
            Step::LinkToken { accessor, missing } => {
                if let Some(token) = self.tokens.get_mut(accessor) {
                    token.policies.extend(missing.iter().cloned());
                }
            }
            Step::DeleteToken { accessor, .. } => {
                self.tokens.remove(accessor);
            }
            Step::DeletePolicy { .. } => self.policy = None,
        }
    }
}

#[cfg(test)]
#[path = "plan_tests.rs"]
mod tests;
