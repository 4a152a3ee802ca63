//! An append-only list whose readers can wait for what comes next.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::watch;

/// More entries than this are counted, not kept: a child in a loop must not eat the machine.
const CAPACITY: usize = 200_000;

/// An append-only list shared between threads; every reader sees every entry from the first on.
#[derive(Debug)]
pub struct Log<T> {
    inner: Arc<Inner<T>>,
}

#[derive(Debug)]
struct Inner<T> {
    items: Mutex<Vec<T>>,
    /// Entries ever pushed, and whether more can come.
    state: watch::Sender<(usize, bool)>,
}

impl<T> Clone for Log<T> {
    fn clone(&self) -> Self {
        Self { inner: self.inner.clone() }
    }
}

impl<T> Default for Log<T> {
    fn default() -> Self {
        let inner = Inner { items: Mutex::new(Vec::new()), state: watch::Sender::new((0, false)) };
        Self { inner: Arc::new(inner) }
    }
}

impl<T: Clone> Log<T> {
    /// Appends an entry and wakes the readers.
    pub(crate) fn push(&self, item: T) {
        let mut items = self.items();
        if items.len() < CAPACITY {
            items.push(item);
        }
        drop(items);
        self.inner.state.send_modify(|state| state.0 += 1);
    }

    /// Says that nothing more comes; waiting readers end.
    pub(crate) fn close(&self) {
        self.inner.state.send_modify(|state| state.1 = true);
    }

    /// All entries so far.
    #[must_use]
    pub fn snapshot(&self) -> Vec<T> {
        self.items().clone()
    }

    /// Entries that were not kept because the list was full.
    #[must_use]
    pub fn dropped(&self) -> usize {
        self.inner.state.borrow().0.saturating_sub(CAPACITY)
    }

    /// A reader that starts at the first entry.
    #[must_use]
    pub fn cursor(&self) -> Cursor<T> {
        Cursor { log: self.clone(), next: 0, state: self.inner.state.subscribe() }
    }

    /// The first entry, past or future, that `wanted` accepts; `None` if the list ends without.
    pub async fn wait_for(&self, mut wanted: impl FnMut(&T) -> bool) -> Option<T> {
        let mut cursor = self.cursor();
        while let Some(item) = cursor.next().await {
            if wanted(&item) {
                return Some(item);
            }
        }
        None
    }

    /// Waits until nothing more can come.
    pub async fn closed(&self) {
        let mut state = self.inner.state.subscribe();
        // An error means that the sender is gone, which is as closed as can be.
        _ = state.wait_for(|state| state.1).await.is_ok();
    }

    fn items(&self) -> MutexGuard<'_, Vec<T>> {
        self.inner.items.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A reader of a [`Log`].
#[derive(Debug)]
pub struct Cursor<T> {
    log: Log<T>,
    next: usize,
    state: watch::Receiver<(usize, bool)>,
}

impl<T: Clone> Cursor<T> {
    /// The next entry, waiting for it; `None` when the list is closed and read to its end.
    pub async fn next(&mut self) -> Option<T> {
        loop {
            let closed = self.state.borrow_and_update().1;
            let item = self.log.items().get(self.next).cloned();
            if let Some(item) = item {
                self.next += 1;
                return Some(item);
            }
            if closed || self.state.changed().await.is_err() {
                return None;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::Log;

    #[tokio::test]
    async fn every_reader_sees_every_entry_and_the_end() {
        let log = Log::default();
        log.push(1);
        let mut early = log.cursor();
        assert_eq!(early.next().await, Some(1));
        log.push(2);
        log.close();
        assert_eq!(early.next().await, Some(2));
        assert_eq!(early.next().await, None);
        assert_eq!(log.wait_for(|n| *n == 2).await, Some(2));
        assert_eq!(log.wait_for(|n| *n == 3).await, None);
    }
}
