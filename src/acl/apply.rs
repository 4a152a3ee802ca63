//! Does what the plan says for one subject, step by step, until nothing is left to do.

use super::hidden::Hidden;
use super::plan::{Next, Pair, Rules, Secret, Seen, Step, Subject, Want, next};
use crate::random::uuid;
use std::io;

/// More steps than that are a bug, or two controllers that undo each other's work.
const MOST_STEPS: usize = 24;

/// What a step has brought to light.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Learned {
    /// A write that went well.
    Written,
    Secret(Secret),
    /// A policy's rules.
    Rules(String),
    /// A token itself.
    Token(Hidden),
    /// It is not as it was when we looked: somebody else was faster, or has taken it away.
    Changed,
}

/// Why a step failed, in words.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub(crate) struct Failure(pub(crate) String);

/// Who does the steps.
pub(crate) trait Hands {
    /// Does one. `new` is the pair for a step that needs one and names none.
    async fn perform(&self, subject: &Subject, step: &Step, new: &Pair)
    -> Result<Learned, Failure>;
}

/// How it ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum End {
    /// All is as it should be, or waits for its time.
    Settled,
    /// Only somebody else can help; in words.
    Stuck(String),
    Failed(Failure),
    /// What was seen was out of date: look again.
    Changed,
}

/// What was done.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Outcome {
    /// Writes, in their order; those that would be done, where nothing may be changed.
    pub(crate) writes: Vec<Step>,
    /// What differs without being ours to change.
    pub(crate) drift: Vec<String>,
    pub(crate) end: End,
    /// What is there now.
    pub(crate) seen: Seen,
}

/// Goes on until nothing is left to do; with `dry_run` only as if, and nothing is changed.
pub(crate) async fn settle(
    hands: &impl Hands,
    subject: &Subject,
    want: Want,
    mut seen: Seen,
    rules: Rules,
    dry_run: bool,
) -> Outcome {
    let mut writes = Vec::new();
    let new = match new_pair() {
        Ok(new) => new,
        Err(end) => return Outcome { writes, drift: Vec::new(), end, seen },
    };
    for _ in 0..MOST_STEPS {
        let (step, drift) = next(subject, want, &seen, rules);
        let end = match step {
            Next::Settled => End::Settled,
            Next::Stuck(why) => End::Stuck(why),
            Next::Do(step) if dry_run && !step.is_read() => {
                seen.after(subject, &step, &new);
                writes.push(step);
                continue;
            }
            Next::Do(step) => match perform(hands, subject, &step, &new, &mut seen).await {
                Ok(written) => {
                    if written {
                        writes.push(step);
                    }
                    continue;
                }
                Err(end) => end,
            },
        };
        return Outcome { writes, drift, end, seen };
    }
    let end = End::Stuck(format!("{}: it never settles", subject.about));
    Outcome { writes, drift: Vec::new(), end, seen }
}

/// One is enough for a run: a subject has one secret.
fn new_pair() -> Result<Pair, End> {
    let random = |e: io::Error| End::Failed(Failure(format!("no random numbers: {e}")));
    Ok(Pair { accessor: uuid().map_err(random)?, token: uuid().map_err(random)?.into() })
}

/// Whether anything was written.
async fn perform(
    hands: &impl Hands,
    subject: &Subject,
    step: &Step,
    new: &Pair,
    seen: &mut Seen,
) -> Result<bool, End> {
    match hands.perform(subject, step, new).await.map_err(End::Failed)? {
        Learned::Written => {
            seen.after(subject, step, new);
            // Another controller may have written at the same time: what stands there now is what counts.
            if matches!(step, Step::PutSecret { .. }) {
                seen.secret = Secret::Unread;
            }
            return Ok(true);
        }
        Learned::Secret(secret) => seen.secret = secret,
        Learned::Rules(rules) => {
            let policy = seen.policy.as_mut().ok_or(End::Changed)?;
            policy.rules = Some(rules);
        }
        Learned::Token(token) => {
            let Step::ReadToken { accessor } = step else { return Err(End::Changed) };
            let found = seen.tokens.get_mut(accessor).ok_or(End::Changed)?;
            found.token = Some(token);
        }
        Learned::Changed => return Err(End::Changed),
    }
    Ok(false)
}
