//! Compares what we registered with the agent's view, and tells when something of it is gone or another one:
//! deregistered by mistake, a check deleted, the agent's data lost, registered over by somebody else. Only reads the
//! local agent; nothing is written while all is there.

use super::desk::Registered;
use crate::consul::{Client, Difference, Registration, differences};
use crate::supervisor::Event;
use crate::supervisor::actor::{Reports, report};
use serde_json::Value;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::watch;
use tokio::time::{Instant, sleep_until};

/// At the latest after this it looks again; a changed or lost service wakes it at once. Two such looks and a
/// registration stay well below the 10 s in which a lost instance must be back.
pub(super) const INTERVAL: Duration = Duration::from_secs(3);
/// A loss must be seen twice: a registration that is on its way looks like one.
const SECOND_LOOK: Duration = Duration::from_millis(500);
/// From one look to the next, whatever wakes it.
const LEAST: Duration = Duration::from_millis(250);
/// A difference that so many registrations have not mended is how the agent shows what we registered.
const VAIN: u32 = 2;

/// What one look shows.
enum Look {
    /// The agent does not answer, or not to us: that tells nothing.
    Blind,
    /// Both services are there; of their checks perhaps one is not.
    Seen { services: Services, missing: Option<String> },
    /// One is not.
    Gone(String),
}

/// Both services, as they were seen.
#[derive(Clone)]
struct Services {
    hashes: [String; 2],
    differs: BTreeMap<String, Difference>,
}

/// Why a look is due.
enum Wake {
    /// One of the services is another one, or gone.
    Changed,
    /// The agent says of both that they are the same.
    Same,
}

/// Looks for as long as it is let.
pub(super) async fn watch(
    consul: Client,
    mut registered: watch::Receiver<Option<Arc<Registered>>>,
    reports: Reports,
    every: Duration,
) {
    let mut vain = Vain::default();
    // What the agent has just called unchanged.
    let mut known = None;
    registered.mark_changed();
    loop {
        let anew = registered.has_changed().unwrap_or(false);
        let Some(intent) = registered.borrow_and_update().clone() else {
            match registered.changed().await {
                Ok(()) => registered.mark_changed(),
                Err(_) => return,
            }
            continue;
        };
        // Waits without taking note, so that the next round sees it.
        let mut again = registered.clone();
        let begun = Instant::now();
        let first = look(&consul, &intent, known.take().filter(|_| !anew)).await;
        if anew && let Look::Seen { services, .. } = &first {
            vain.learn(&services.differs);
        }
        if vain.judge(&first).is_some() {
            tokio::time::sleep(every.min(SECOND_LOOK)).await;
            let second = look(&consul, &intent, None).await;
            if let Some(what) = vain.judge(&second)
                && !registered.has_changed().unwrap_or(true)
            {
                tracing::warn!(%what, "the agent does not show what we registered");
                report(&reports, Event::RegistrationLost(what));
                // Until it is registered again, or for a while: the report can come at a moment when it means nothing.
                let _until = tokio::time::timeout(every, again.changed()).await;
            }
            continue;
        }
        let wake = async {
            match &first {
                Look::Seen { services, .. } => ask(&consul, &intent, &services.hashes, every).await,
                _ => std::future::pending().await,
            }
        };
        let same = tokio::select! {
            wake = wake => match wake {
                Wake::Changed => {
                    sleep_until(begun + every.min(LEAST)).await;
                    continue;
                }
                Wake::Same => true,
            },
            () = tokio::time::sleep(every) => false,
            _ = again.changed() => false,
        };
        if same && let Look::Seen { services, .. } = first {
            known = Some(services);
            tokio::select! {
                () = sleep_until(begun + every) => {}
                _ = again.changed() => {}
            }
        }
    }
}

/// `known`: the services, if they need not be read again.
async fn look(consul: &Client, intent: &Registered, known: Option<Services>) -> Look {
    let services = match known {
        Some(services) => services,
        None => match services(consul, intent).await {
            Ok(services) => services,
            Err(look) => return look,
        },
    };
    let Ok(checks) = consul.checks().await else { return Look::Blind };
    let both = [&intent.service, &intent.proxy];
    let ids = both.into_iter().flat_map(|r: &Registration| r.check_ids().map(|id| (id, &r.id)));
    let missing = ids
        .into_iter()
        .find(|(id, owner)| checks.get(id).is_none_or(|check| check.service_id != **owner))
        .map(|(id, _)| format!("check {id}"));
    Look::Seen { services, missing }
}

async fn services(consul: &Client, intent: &Registered) -> Result<Services, Look> {
    let mut hashes = [String::new(), String::new()];
    let mut differs = BTreeMap::new();
    for (hash, registration) in hashes.iter_mut().zip([&intent.service, &intent.proxy]) {
        let id = &registration.id;
        let view = match consul.service_view(id, None).await {
            Ok(Some(view)) => view,
            Ok(None) => return Err(Look::Gone(format!("service {id}"))),
            Err(_) => return Err(Look::Blind),
        };
        for difference in differences(registration, &view) {
            differs.insert(format!("{} of service {id}", difference.path), difference);
        }
        *hash = view.get("ContentHash").and_then(Value::as_str).unwrap_or_default().to_owned();
    }
    Ok(Services { hashes, differs })
}

/// Ends when the agent shows another service or proxy, or none, or after a while says that both are the same. Where it
/// cannot say so, this never ends: the caller looks now and then in any case.
async fn ask(consul: &Client, intent: &Registered, hashes: &[String; 2], every: Duration) -> Wake {
    // Answered before the caller's next look, so that the connection can be used again.
    let held = every * 3 / 4;
    // `Err`: it has changed.
    let same = async |registration: &Registration, hash: &str| match consul
        .service_hash(&registration.id, hash, held)
        .await
    {
        Ok(Some(found)) if found == hash && !hash.is_empty() => Ok(()),
        Ok(_) if !hash.is_empty() => Err(()),
        _ => std::future::pending().await,
    };
    let both = tokio::try_join!(same(&intent.service, &hashes[0]), same(&intent.proxy, &hashes[1]));
    if both.is_ok() { Wake::Same } else { Wake::Changed }
}

/// Differences that a registration has not mended, by how many.
#[derive(Default)]
struct Vain(BTreeMap<Difference, u32>);

impl Vain {
    /// Takes the first look after a registration.
    fn learn(&mut self, differs: &BTreeMap<String, Difference>) {
        let before = std::mem::take(&mut self.0);
        for (place, difference) in differs {
            let times = before.get(difference).map_or(1, |times| times + 1);
            if times == VAIN {
                tracing::warn!(%place, seen = %difference.seen, "the agent shows what we registered in another way: left at that");
            }
            self.0.insert(difference.clone(), times);
        }
    }

    /// What is lost, in words.
    fn judge(&self, look: &Look) -> Option<String> {
        match look {
            Look::Blind => None,
            Look::Gone(what) => Some(what.clone()),
            Look::Seen { missing: Some(what), .. } => Some(what.clone()),
            Look::Seen { services, .. } => {
                let is_vain = |d: &Difference| self.0.get(d).is_some_and(|times| *times >= VAIN);
                let places: Vec<&str> = services
                    .differs
                    .iter()
                    .filter(|(_, d)| !is_vain(d))
                    .map(|(place, _)| place.as_str())
                    .collect();
                (!places.is_empty()).then(|| places.join(", "))
            }
        }
    }
}
