//! Children's pipes. They are read without threads and without a pause, whatever becomes of the lines: a child
//! must never block on a full pipe, and what it prints must never grow our memory.

use std::borrow::Cow;
use std::collections::VecDeque;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use tokio::io::AsyncReadExt;
use tokio::net::unix::pipe;
use tokio::sync::watch;

/// Longest line that is passed on, in bytes; the rest of a longer one is thrown away.
pub const MAX_LINE: usize = 8 * 1024;
/// How many lines are kept to say why a child died, and how much of each.
const KEPT_LINES: usize = 20;
const KEPT_BYTES: usize = 512;
/// Read at once. Small enough that handling the lines of one read does not hold up timers.
const CHUNK: usize = 16 * 1024;

/// Which of a child's two streams.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stream {
    /// Standard output.
    Stdout,
    /// Standard error.
    Stderr,
}

impl Stream {
    /// `stdout` or `stderr`.
    pub fn name(self) -> &'static str {
        match self {
            Self::Stdout => "stdout",
            Self::Stderr => "stderr",
        }
    }
}

/// One line that a child printed.
#[derive(Debug)]
pub struct Line<'a> {
    /// The child's name.
    pub child: &'a str,
    /// Where it was printed.
    pub stream: Stream,
    /// Without its end; bytes that are no UTF-8 are replaced.
    pub text: &'a str,
    /// The line was longer than [`MAX_LINE`].
    pub cut: bool,
}

/// Takes a line or refuses it (false: it is dropped, and counted). It must never block.
pub type LineSink = Arc<dyn Fn(&Line<'_>) -> bool + Send + Sync>;

/// What the readers of one child's two streams share with its handle.
#[derive(Debug, Default)]
pub(super) struct Shared {
    /// Lines the sink refused.
    refused: AtomicU64,
    last: Mutex<VecDeque<String>>,
    captured: Mutex<[Captured; 2]>,
}

/// What was kept of one stream.
#[derive(Debug, Default, Clone)]
pub(super) struct Captured {
    pub(super) bytes: Vec<u8>,
    pub(super) truncated: bool,
}

impl Shared {
    pub(super) fn refused(&self) -> u64 {
        self.refused.load(Relaxed)
    }

    pub(super) fn last_lines(&self) -> Vec<String> {
        unpoisoned(&self.last).iter().cloned().collect()
    }

    pub(super) fn take_captured(&self) -> [Captured; 2] {
        std::mem::take(&mut *unpoisoned(&self.captured))
    }

    fn remember(&self, text: &str) {
        let mut last = unpoisoned(&self.last);
        if last.len() == KEPT_LINES {
            last.pop_front();
        }
        last.push_back(text[..text.floor_char_boundary(KEPT_BYTES)].to_owned());
    }

    fn offer(&self, child: &str, stream: Stream, bytes: &[u8], cut: bool, sink: &LineSink) {
        let text = String::from_utf8_lossy(bytes);
        let text = Cow::as_ref(&text);
        self.remember(text);
        if !sink(&Line { child, stream, text, cut }) {
            self.refused.fetch_add(1, Relaxed);
        }
    }
}

fn unpoisoned<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    // Every change under these locks is one push or one assignment; a panic leaves whole data.
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Passes a stream on, line by line, until its end. `open` counts the streams still open.
pub(super) async fn read_lines(
    child: Arc<str>,
    stream: Stream,
    mut pipe: pipe::Receiver,
    shared: Arc<Shared>,
    sink: LineSink,
    open: watch::Sender<usize>,
) {
    let mut chunk = vec![0; CHUNK];
    let mut lines = Splitter::default();
    while let Ok(n @ 1..) = pipe.read(&mut chunk).await {
        lines.push(&chunk[..n], |line, cut| shared.offer(&child, stream, line, cut, &sink));
    }
    lines.finish(|line, cut| shared.offer(&child, stream, line, cut, &sink));
    open.send_modify(|n| *n -= 1);
}

/// Keeps the first `max` bytes of a stream and reads it to its end.
pub(super) async fn capture(
    stream: Stream,
    mut pipe: pipe::Receiver,
    shared: Arc<Shared>,
    max: usize,
    open: watch::Sender<usize>,
) {
    let mut chunk = vec![0; CHUNK];
    while let Ok(n @ 1..) = pipe.read(&mut chunk).await {
        let kept = &mut unpoisoned(&shared.captured)[stream as usize];
        let room = n.min(max - kept.bytes.len());
        kept.bytes.extend_from_slice(&chunk[..room]);
        kept.truncated |= room < n;
    }
    open.send_modify(|n| *n -= 1);
}

/// Cuts a byte stream into lines of at most [`MAX_LINE`] bytes.
#[derive(Debug, Default)]
struct Splitter {
    partial: Vec<u8>,
    cut: bool,
}

impl Splitter {
    fn push(&mut self, mut bytes: &[u8], mut each: impl FnMut(&[u8], bool)) {
        while let Some(end) = bytes.iter().position(|&b| b == b'\n') {
            let (line, rest) = bytes.split_at(end);
            bytes = &rest[1..];
            if self.partial.is_empty() && line.len() <= MAX_LINE {
                each(without_cr(line), false);
            } else {
                self.append(line);
                self.emit(&mut each);
            }
        }
        self.append(bytes);
    }

    fn finish(&mut self, mut each: impl FnMut(&[u8], bool)) {
        if !self.partial.is_empty() {
            self.emit(&mut each);
        }
    }

    fn append(&mut self, bytes: &[u8]) {
        let room = bytes.len().min(MAX_LINE - self.partial.len());
        self.partial.extend_from_slice(&bytes[..room]);
        self.cut |= room < bytes.len();
    }

    fn emit(&mut self, each: &mut impl FnMut(&[u8], bool)) {
        each(without_cr(&self.partial), self.cut);
        self.partial.clear();
        self.cut = false;
    }
}

fn without_cr(line: &[u8]) -> &[u8] {
    line.strip_suffix(b"\r").unwrap_or(line)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn split<'a>(chunks: impl IntoIterator<Item = &'a [u8]>) -> Vec<(Vec<u8>, bool)> {
        let mut splitter = Splitter::default();
        let mut lines = Vec::new();
        for chunk in chunks {
            splitter.push(chunk, |line, cut| lines.push((line.to_vec(), cut)));
        }
        splitter.finish(|line, cut| lines.push((line.to_vec(), cut)));
        lines
    }

    #[test]
    fn a_long_line_is_cut_and_the_next_one_is_whole() {
        let long = [vec![b'a'; MAX_LINE + 1], b"\nnext\r\nlast".to_vec()].concat();
        let expected =
            [(vec![b'a'; MAX_LINE], true), (b"next".to_vec(), false), (b"last".to_vec(), false)];
        assert_eq!(split([&long[..]]), expected);
        assert_eq!(split(long.chunks(1000)), expected);
    }

    proptest! {
        #[test]
        fn where_the_reads_fall_makes_no_difference(
            text in proptest::collection::vec(prop_oneof![Just(b'\n'), Just(b'x'), Just(b'\r')], 0..200),
            size in 1usize..20,
        ) {
            prop_assert_eq!(split([&text[..]]), split(text.chunks(size)));
        }
    }

    #[test]
    fn the_last_lines_are_bounded_and_refusals_counted() {
        let shared = Shared::default();
        let sink: LineSink = Arc::new(|line| line.text == "take");
        for text in ["take", "no", "no", "take"] {
            shared.offer("c", Stream::Stderr, text.as_bytes(), false, &sink);
        }
        assert_eq!(shared.refused(), 2);
        assert_eq!(shared.last_lines(), ["take", "no", "no", "take"], "refused ones are kept too");

        let wide = "é".repeat(KEPT_BYTES);
        for _ in 0..KEPT_LINES + 5 {
            shared.offer("c", Stream::Stdout, wide.as_bytes(), false, &sink);
        }
        let last = shared.last_lines();
        assert_eq!(last.len(), KEPT_LINES);
        assert!(last.iter().all(|line| line.len() == KEPT_BYTES));
    }
}
