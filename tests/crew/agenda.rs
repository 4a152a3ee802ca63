//! What is due when: by time, and at the same time in the order in which it was put there.

use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;

#[derive(Debug, Clone)]
pub(crate) struct Agenda<T>(BTreeMap<Duration, VecDeque<T>>);

impl<T> Default for Agenda<T> {
    fn default() -> Self {
        Self(BTreeMap::new())
    }
}

impl<T> Agenda<T> {
    pub(crate) fn put(&mut self, at: Duration, what: T) {
        self.0.entry(at).or_default().push_back(what);
    }

    pub(crate) fn next(&self) -> Option<Duration> {
        self.0.keys().next().copied()
    }

    /// The first of what comes next.
    pub(crate) fn pop(&mut self) -> Option<T> {
        let mut entry = self.0.first_entry()?;
        let what = entry.get_mut().pop_front();
        if entry.get().is_empty() {
            entry.remove();
        }
        what
    }

    /// All of the instant that comes next.
    pub(crate) fn pop_instant(&mut self) -> VecDeque<T> {
        self.0.pop_first().map(|(_, all)| all).unwrap_or_default()
    }
}
