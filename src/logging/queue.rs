//! A bounded queue of lines and the one thread that writes them.

use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use std::collections::VecDeque;
use std::fs::File;
use std::io::{self, Write};
use std::os::fd::{AsFd, OwnedFd};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

/// How much may wait.
#[derive(Debug, Clone, Copy)]
pub(super) struct Limits {
    pub(super) lines: usize,
    pub(super) bytes: usize,
}

impl Limits {
    /// Some seconds of everything at its noisiest, and no more memory than a spike may cost.
    pub(super) const DEFAULT: Self = Self { lines: 4096, bytes: 4 * 1024 * 1024 };
}

/// Written with one system call; what was taken out of the queue but not yet written is at most this, or one line.
const BATCH: usize = 64 * 1024;

/// A bounded queue of whole lines. Pushing never waits for the writing.
pub(super) struct Queue {
    limits: Limits,
    /// Makes the line that reports a number of dropped lines.
    notice: fn(u64) -> Vec<u8>,
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Default)]
struct State {
    lines: VecDeque<Box<[u8]>>,
    bytes: usize,
    /// The writer holds lines that are not yet written.
    writing: bool,
    dropped: u64,
    /// Dropped since the last notice.
    unreported: u64,
}

impl std::fmt::Debug for Queue {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Queue").field("limits", &self.limits).finish_non_exhaustive()
    }
}

impl Queue {
    /// Starts the writer thread, which ends with the process.
    pub(super) fn start(
        out: OwnedFd,
        limits: Limits,
        notice: fn(u64) -> Vec<u8>,
    ) -> io::Result<Arc<Self>> {
        let queue =
            Arc::new(Self { limits, notice, state: Mutex::default(), changed: Condvar::new() });
        let writer = Arc::clone(&queue);
        std::thread::Builder::new()
            .name("log-writer".to_owned())
            .spawn(move || writer.write_all_to(&mut File::from(out)))?;
        Ok(queue)
    }

    /// Queues a line (with its line feed), or drops and counts it.
    pub(super) fn push(&self, line: &[u8]) {
        let mut state = self.lock();
        if state.lines.len() >= self.limits.lines || state.bytes + line.len() > self.limits.bytes {
            state.drop_one();
            return;
        }
        // Not at the first free place, or under a steady flood there would be a notice for every line.
        if state.unreported > 0 && state.lines.len() <= self.limits.lines / 2 {
            self.report(&mut state);
        }
        state.append(line.into());
        drop(state);
        self.changed.notify_all();
    }

    /// Asks for room for a line that must not crowd out others: less than three quarters are used. If it is
    /// refused, the line counts as dropped.
    pub(super) fn admit(&self) -> bool {
        let mut state = self.lock();
        let room = state.lines.len() < self.limits.lines / 4 * 3
            && state.bytes < self.limits.bytes / 4 * 3;
        if !room {
            state.drop_one();
        }
        room
    }

    pub(super) fn dropped(&self) -> u64 {
        self.lock().dropped
    }

    /// Waits until everything is written, at most `limit`. False if something is left.
    pub(super) fn flush(&self, limit: Duration) -> bool {
        let busy = |state: &mut State| state.writing || !state.lines.is_empty();
        match self.changed.wait_timeout_while(self.lock(), limit, busy) {
            Ok((_, timeout)) => !timeout.timed_out(),
            Err(_) => false,
        }
    }

    fn report(&self, state: &mut State) {
        let line = (self.notice)(std::mem::take(&mut state.unreported));
        state.append(line.into());
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        // Nothing under this lock can panic but an allocation; the state is whole then.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn write_all_to(&self, out: &mut File) {
        let mut batch = Vec::new();
        loop {
            let count = self.next_batch(&mut batch);
            if write_fully(out, &batch).is_err() {
                // EPIPE, ENOSPC, EIO: these lines are lost; later ones may find a reader again.
                self.lock().dropped += count;
            }
        }
    }

    /// Waits for lines and moves some of them into `batch`.
    fn next_batch(&self, batch: &mut Vec<u8>) -> u64 {
        batch.clear();
        let mut state = self.lock();
        state.writing = false;
        if state.lines.is_empty() && state.unreported > 0 {
            self.report(&mut state);
        }
        if state.lines.is_empty() {
            self.changed.notify_all(); // For flush.
        }
        let mut state = self
            .changed
            .wait_while(state, |state| state.lines.is_empty())
            .unwrap_or_else(PoisonError::into_inner);
        state.writing = true;
        let mut count = 0;
        while let Some(line) =
            state.lines.pop_front_if(|line| count == 0 || batch.len() + line.len() <= BATCH)
        {
            state.bytes -= line.len();
            batch.extend_from_slice(&line);
            count += 1;
        }
        count
    }
}

impl State {
    fn drop_one(&mut self) {
        self.dropped += 1;
        self.unreported += 1;
    }

    fn append(&mut self, line: Box<[u8]>) {
        self.bytes += line.len();
        self.lines.push_back(line);
    }
}

/// `write_all`, also where whoever shares our standard output has made it non-blocking.
fn write_fully(out: &mut File, mut bytes: &[u8]) -> io::Result<()> {
    while !bytes.is_empty() {
        match out.write(bytes) {
            Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
            Ok(n) => bytes = &bytes[n..],
            Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
            Err(e) if e.kind() == io::ErrorKind::WouldBlock => {
                poll(&mut [PollFd::new(out.as_fd(), PollFlags::POLLOUT)], PollTimeout::NONE)?;
            }
            Err(e) => return Err(e),
        }
    }
    Ok(())
}
