//! Children's lines in our log.

use super::{CHILD, QUEUE};
use crate::process::{Line, LineSink};
use std::sync::Arc;

/// A sink that logs every line of a child, as it stands, at level info. While more than three quarters of the
/// queue are in use it refuses lines; they count as dropped, here and with the child.
pub fn child_lines() -> LineSink {
    Arc::new(|line: &Line<'_>| {
        // Empty lines are layout for a terminal.
        if line.text.is_empty() || !tracing::enabled!(target: CHILD, tracing::Level::INFO) {
            return true;
        }
        // Asked before the line is formatted: a flood that finds no room costs next to nothing.
        if !QUEUE.get().is_none_or(|queue| queue.admit()) {
            return false;
        }
        let Line { child, stream, text, cut } = *line;
        let stream = stream.name();
        if cut {
            tracing::info!(target: CHILD, child, stream, cut, "{text}");
        } else {
            tracing::info!(target: CHILD, child, stream, "{text}");
        }
        true
    })
}
