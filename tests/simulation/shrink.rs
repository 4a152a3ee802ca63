//! Whether a life breaks a promise, and the least that still does.

use crate::Live;
use crate::case::Case;
use std::cell::Cell;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Once;

thread_local! {
    /// On this thread a panic is an answer, and is not printed.
    static QUIET: Cell<bool> = const { Cell::new(false) };
}

/// Which promise it breaks, in the words of the panic, which is not printed.
pub(crate) fn quietly<T>(run: impl FnOnce() -> T) -> Result<T, String> {
    static HOOK: Once = Once::new();
    HOOK.call_once(|| {
        let loud = std::panic::take_hook();
        std::panic::set_hook(Box::new(move |info| {
            if !QUIET.get() {
                loud(info);
            }
        }));
    });
    QUIET.set(true);
    let end = catch_unwind(AssertUnwindSafe(run));
    QUIET.set(false);
    end.map_err(|panic| match panic.downcast::<String>() {
        Ok(words) => *words,
        Err(panic) => panic.downcast_ref::<&str>().map(|s| (*s).to_owned()).unwrap_or_default(),
    })
}

/// Leaves out one fault after the other, as long as what is left still fails, be it in another way.
pub(crate) fn shrink(case: &Case, live: Live) -> (Case, String) {
    let failure = |case: &Case| quietly(|| live(case)).err();
    let mut least = (case.clone(), failure(case).unwrap_or_default());
    let mut i = 0;
    while i < least.0.faults.len() {
        let mut less = least.0.clone();
        less.faults.remove(i);
        match failure(&less) {
            Some(why) => least = (less, why),
            None => i += 1,
        }
    }
    least
}
