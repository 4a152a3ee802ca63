//! Which checks have to be written, and when: at once when what one should say changes, else at a third of the TTL, each
//! by itself, so that a slow answer for one delays no other.

use super::health::{History, Rules, Verdict, Word};
use crate::config::nearest;
use crate::ecs::{Container, Status, Task};
use std::collections::BTreeMap;
use std::time::Duration;

/// So many refusals in a row of a check that nobody knows mean that it is lost, not merely not there yet.
const LOST_AFTER: u32 = 3;

/// All synced checks. All times are since one fixed instant.
#[derive(Debug)]
pub(crate) struct Book {
    rules: Rules,
    /// By container.
    entries: BTreeMap<String, Entry>,
    /// Of which registration of the checks: what was written to an older one counts no more.
    generation: u32,
    /// Containers whose check can never pass, in words.
    hopeless: Option<String>,
}

#[derive(Debug, Default)]
struct Entry {
    check_id: String,
    history: History,
    written: Option<(Word, Duration)>,
    /// On its way to the agent.
    pending: Option<(Word, Duration)>,
    /// In a row, by an agent that does not know the check.
    unknown: u32,
    trouble: Option<String>,
}

/// A write to make.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Update {
    pub(crate) container: String,
    pub(crate) check_id: String,
    pub(crate) verdict: Verdict,
    pub(crate) output: String,
    /// To be given back with the answer.
    pub(crate) generation: u32,
}

/// How a write ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Answer {
    Written,
    /// The agent does not know the check.
    Unknown(String),
    /// It refused, or did not answer; why.
    Failed(String),
}

impl Book {
    pub(crate) fn new(rules: Rules) -> Self {
        Self { rules, entries: BTreeMap::new(), generation: 0, hopeless: None }
    }

    /// The checks of these containers (name, check ID) are registered, perhaps once more: what was written before counts
    /// no more, what was seen does.
    pub(crate) fn track(&mut self, checks: impl IntoIterator<Item = (String, String)>) {
        self.generation = self.generation.wrapping_add(1);
        let mut before = std::mem::take(&mut self.entries);
        for (container, check_id) in checks {
            let history = before.remove(&container).unwrap_or_default().history;
            let entry = Entry { check_id, history, ..Entry::default() };
            self.entries.insert(container, entry);
        }
    }

    /// Takes a read of the metadata, begun `at`.
    pub(crate) fn observe(&mut self, task: &Task, at: Duration) {
        for (name, entry) in &mut self.entries {
            entry.history.observe(task.container(name), &self.rules, at);
        }
        self.hopeless = hopeless(self.entries.keys(), task);
    }

    /// The writes that are due; each is taken to be on its way from now on.
    pub(crate) fn due(&mut self, now: Duration) -> Vec<Update> {
        let refresh = self.rules.ttl / 3;
        let mut updates = Vec::new();
        for (container, entry) in &mut self.entries {
            let Some(word) = entry.history.word(container, &entry.check_id, &self.rules, now)
            else {
                continue;
            };
            let is_due = entry
                .written
                .as_ref()
                .is_none_or(|(last, at)| last != word || now.saturating_sub(*at) >= refresh);
            if !is_due || entry.pending.is_some() {
                continue;
            }
            entry.pending = Some((word.clone(), now));
            updates.push(Update {
                container: container.clone(),
                check_id: entry.check_id.clone(),
                verdict: word.verdict,
                output: word.output.clone(),
                generation: self.generation,
            });
        }
        updates
    }

    /// Takes the answer to a write of [`Book::due`]; says what is lost if it shows that a check is.
    pub(crate) fn answered(
        &mut self,
        container: &str,
        generation: u32,
        answer: Answer,
    ) -> Option<String> {
        if generation != self.generation {
            return None;
        }
        let entry = self.entries.get_mut(container)?;
        let pending = entry.pending.take()?;
        if !matches!(answer, Answer::Unknown(_)) {
            entry.unknown = 0;
        }
        match answer {
            Answer::Written => {
                // The time counts from before the call: the agent's own begins no sooner.
                entry.written = Some(pending);
                entry.trouble = None;
            }
            Answer::Failed(why) => entry.trouble = Some(why),
            Answer::Unknown(why) => {
                entry.trouble = Some(why);
                entry.unknown += 1;
                if entry.unknown == LOST_AFTER {
                    return Some(format!("the agent does not know the check of {container}"));
                }
            }
        }
        None
    }

    /// What cannot be done at the moment, in words.
    pub(crate) fn trouble(&self) -> Option<String> {
        let mut failing = self.entries.values().filter_map(|entry| entry.trouble.as_deref());
        let Some(first) = failing.next() else {
            return self.hopeless.clone();
        };
        Some(match failing.count() {
            0 => first.to_owned(),
            more => format!("{first} (and {more} more checks)"),
        })
    }
}

/// Told once the task runs as a whole, for until then a container may only not be listed yet.
fn hopeless<'a>(names: impl Iterator<Item = &'a String>, task: &Task) -> Option<String> {
    if task.known_status != Status::Running {
        return None;
    }
    let complaints: Vec<String> = names
        .filter(|name| task.container(name).and_then(Container::health_status).is_none())
        .map(|name| match task.container(name) {
            Some(_) => format!("container {name} has no healthCheck in the task definition"),
            None => format!("no container is called {name}{}", suggestion(name, task)),
        })
        .collect();
    match complaints.len() {
        0 => None,
        1 => Some(format!("{}: its check stays critical", complaints[0])),
        _ => Some(format!("{}: their checks stay critical", complaints.join("; "))),
    }
}

fn suggestion(name: &str, task: &Task) -> String {
    let reporting = task.containers.iter().filter(|container| container.health.is_some());
    nearest(name, reporting.map(|container| container.name.as_str()))
        .map(|near| format!(" (did you mean {near:?}?)"))
        .unwrap_or_default()
}

#[cfg(test)]
#[path = "health_book_tests.rs"]
mod tests;
