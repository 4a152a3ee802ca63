//! Lines for people. The container's stderr can be blocked (a full pipe of a blocking log driver), and a wrapper
//! that hangs in a write would miss its TERM: what cannot be written at once is dropped.

use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use std::io::Write;
use std::os::fd::AsFd;

/// A pipe that polls writable takes this much without blocking (`PIPE_BUF`, pipe(7)).
const MAX_LINE: usize = 4096;

/// One line on stderr, or nothing.
pub(super) fn line(text: &str) {
    let stderr = std::io::stderr();
    let mut fds = [PollFd::new(stderr.as_fd(), PollFlags::POLLOUT)];
    if !matches!(poll(&mut fds, PollTimeout::ZERO), Ok(n) if n > 0) {
        return;
    }
    let mut line = format!("taskmesh app: {text}");
    line.truncate(line.floor_char_boundary(MAX_LINE - 1));
    line.push('\n');
    // Nobody is left to be told that stderr is closed.
    (&stderr).write_all(line.as_bytes()).ok();
}
