//! What an agent's answer to a registration means, and what to do about it. Pure.

use crate::consul::{Error, ServiceIds};
use std::time::Duration;

/// So many refusals in a row make one that stands. An agent that is being restarted or upgraded can answer oddly once.
pub const REFUSALS: u32 = 4;
/// Between two tries of what was refused, or may not be done yet.
const PAUSE: Duration = Duration::from_secs(1);
/// The same once nobody expects another answer.
const SLOW: Duration = Duration::from_secs(30);

/// Which call.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Call {
    /// The service's registration.
    Service,
    /// The proxy's registration.
    Proxy,
    /// Maintenance of the service, begun or ended.
    ServiceMaintenance,
    /// Maintenance of the proxy, begun or ended.
    ProxyMaintenance,
    /// The check of the proxy's listener, taken out and put back as passing.
    ListenerCheck,
}

/// A try that failed.
#[derive(Debug, Clone, Copy)]
pub struct Failed<'a> {
    /// Which call.
    pub call: Call,
    /// What came of it.
    pub error: &'a Error,
    /// The agent knew a leader before it was asked. Until then a 403 says nothing about the token.
    pub joined: bool,
    /// How often in a row Consul refused before this.
    pub refusals: u32,
}

/// What to do about a try that failed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// It may work the next moment.
    Retry,
    /// Not joined: a 403 that says nothing yet.
    AwaitJoin,
    /// Only somebody who gives us a token, or it a right, can help.
    AwaitToken,
    /// Refused as wrong. A few more tries, lest it was said by accident.
    Doubt,
    /// Refused as wrong, and that stands.
    Refused,
}

impl Verdict {
    /// How long to rest before the next try; `None`: as long as one rests for what comes up soon.
    pub fn pause(self) -> Option<Duration> {
        match self {
            Self::Retry | Self::AwaitJoin => None,
            Self::AwaitToken | Self::Doubt => Some(PAUSE),
            Self::Refused => Some(SLOW),
        }
    }

    /// Counts among the refusals in a row.
    pub fn is_refusal(self) -> bool {
        matches!(self, Self::Doubt | Self::Refused)
    }

    /// Somebody should look at it: it does not pass by itself.
    pub fn needs_help(self) -> bool {
        matches!(self, Self::AwaitToken | Self::Doubt | Self::Refused)
    }
}

/// Judges a try that failed, and says in one sentence what is wrong.
pub fn judge(failed: &Failed<'_>, ids: &ServiceIds) -> (Verdict, String) {
    let what = failed.call.words(ids);
    let Some((status, words)) = failed.error.refusal() else {
        return (Verdict::Retry, format!("{what}: {}", failed.error));
    };
    let consul = format!("Consul: status {status}: {words}");
    match status {
        401 | 403 if !failed.joined => (
            Verdict::AwaitJoin,
            format!(
                "{what}: waiting for the agent to join, before which it knows no token ({consul})"
            ),
        ),
        401 | 403 if is_unknown_token(words) => (
            Verdict::AwaitToken,
            format!(
                "{what}: Consul does not know the token: it was deleted, or has not been replicated yet ({consul})"
            ),
        ),
        401 | 403 => (
            Verdict::AwaitToken,
            format!("{what}: the token needs {} ({consul})", failed.call.rights(ids)),
        ),
        // Gone meanwhile, too slow, too many: none of it is about what we ask.
        404 | 408 | 429 => (Verdict::Retry, format!("{what}: {consul}")),
        400..500 => refused(failed, &what, &consul),
        // A mistake of ours that Consul reports as one of its own.
        _ if words.contains("Scripts are disabled on this agent") => {
            refused(failed, &what, &consul)
        }
        _ => (Verdict::Retry, format!("{what}: {consul}")),
    }
}

fn refused(failed: &Failed<'_>, what: &str, consul: &str) -> (Verdict, String) {
    let stands = failed.refusals + 1 >= REFUSALS;
    let verdict = if stands { Verdict::Refused } else { Verdict::Doubt };
    (verdict, format!("{what}: refused ({consul})"))
}

/// `acl.ErrNotFound` of Consul.
fn is_unknown_token(words: &str) -> bool {
    words.to_ascii_lowercase().contains("acl not found")
}

impl Call {
    fn words(self, ids: &ServiceIds) -> String {
        let ServiceIds { name, proxy_name, .. } = ids;
        match self {
            Self::Service => format!("registration of the service {name:?}"),
            Self::Proxy => format!("registration of the proxy {proxy_name:?}"),
            Self::ServiceMaintenance => format!("maintenance of the service {name:?}"),
            Self::ProxyMaintenance => format!("maintenance of the proxy {proxy_name:?}"),
            Self::ListenerCheck => format!("check of the proxy {proxy_name:?}"),
        }
    }

    /// What Consul asks of a token for it. A proxy can be found as an instance of its service, so registering it takes
    /// the right on both (`vetServiceRegister` in Consul's agent).
    fn rights(self, ids: &ServiceIds) -> String {
        let ServiceIds { name, proxy_name, .. } = ids;
        match self {
            Self::Service | Self::ServiceMaintenance => format!("service:write on {name:?}"),
            Self::Proxy => format!("service:write on {proxy_name:?} and on {name:?}"),
            Self::ProxyMaintenance | Self::ListenerCheck => {
                format!("service:write on {proxy_name:?}")
            }
        }
    }
}

#[cfg(test)]
#[path = "refusal_tests.rs"]
mod tests;
