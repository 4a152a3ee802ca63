//! What an actor has going on beside its messages.

use crate::supervisor::Event;
use crate::supervisor::actor::{Reports, report};
use futures_util::FutureExt;
use std::any::Any;
use std::panic::AssertUnwindSafe;
use tokio::task::AbortHandle;

/// Spawns work of an actor. A panic of it counts as the actor's: else nobody would learn of it, and the supervisor would
/// wait for ever for what the work was to tell.
pub(super) fn spawn(
    actor: &'static str,
    reports: &Reports,
    work: impl Future<Output = ()> + Send + 'static,
) -> AbortHandle {
    let reports = reports.clone();
    let work = async move {
        // Nothing of what it held is looked at afterwards: the task stops.
        if let Err(panic) = AssertUnwindSafe(work).catch_unwind().await {
            let why = words(&*panic);
            tracing::error!(actor, why, "actor failed");
            report(&reports, Event::ActorDown { actor, why });
        }
    };
    tokio::spawn(work).abort_handle()
}

fn words(panic: &(dyn Any + Send)) -> String {
    let text = panic.downcast_ref::<&str>().copied();
    let text = text.or_else(|| panic.downcast_ref::<String>().map(String::as_str));
    text.unwrap_or("(no message)").to_owned()
}
