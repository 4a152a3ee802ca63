//! The key that makes a controller the leader, at Consul.

use super::leader::TTL;
use crate::consul::{Answer, Client, Error};
use std::time::Duration;

/// The least that leaves a call of the old leader time to be answered. After a farewell there is no delay.
const DELAY: Duration = Duration::from_secs(1);
/// A renewal that is answered later is of no use: the next one is due.
const TIMEOUT: Duration = Duration::from_secs(2);
/// A question is answered at least so often, so that one that got lost is asked again.
const WAIT: Duration = Duration::from_secs(30);

/// Who holds the key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Held {
    By {
        session: String,
        /// What the holder calls itself.
        name: String,
    },
    ByNobody,
}

/// The key. Errors are in words.
pub(crate) trait Lock {
    /// Who holds it; held back until that is another than at `index`, or a while has passed.
    async fn look(&self, index: u64) -> Result<Answer<Held>, String>;
    /// A new session.
    async fn session(&self) -> Result<String, String>;
    /// False: it has ended.
    async fn renew(&self, session: &str) -> Result<bool, String>;
    /// False: it cannot be had yet.
    async fn acquire(&self, session: &str) -> Result<bool, String>;
    /// Ends a session; before that gives the key back, if it is held.
    async fn resign(&self, session: &str, held: bool) -> Result<(), String>;
}

/// At Consul.
#[derive(Debug)]
pub(crate) struct ConsulLock {
    client: Client,
    key: String,
    name: String,
}

impl ConsulLock {
    /// `name` is what followers show.
    pub(crate) fn new(client: Client, key: String, name: String) -> Self {
        Self { client: client.with_timeout(TIMEOUT), key, name }
    }
}

/// What a token lacks is known here, and Consul's words name only a part of it.
fn words(error: Error) -> String {
    if error.is_forbidden() {
        return format!("{error} (controller.ha needs key:write and session:write)");
    }
    error.to_string()
}

impl Lock for ConsulLock {
    async fn look(&self, index: u64) -> Result<Answer<Held>, String> {
        let answer = self.client.lock_key(&self.key, index, WAIT).await.map_err(words)?;
        let value = match answer.value {
            Some(key) if !key.session.is_empty() => {
                Held::By { name: key.text(), session: key.session }
            }
            _ => Held::ByNobody,
        };
        Ok(Answer { index: answer.index, value })
    }

    async fn session(&self) -> Result<String, String> {
        self.client.session_create("taskmesh controller", TTL, DELAY).await.map_err(words)
    }

    async fn renew(&self, session: &str) -> Result<bool, String> {
        self.client.session_renew(session).await.map_err(words)
    }

    async fn acquire(&self, session: &str) -> Result<bool, String> {
        self.client.lock_acquire(&self.key, session, &self.name).await.map_err(words)
    }

    async fn resign(&self, session: &str, held: bool) -> Result<(), String> {
        if held {
            self.client.lock_release(&self.key, session).await.map_err(words)?;
        }
        self.client.session_destroy(session).await.map_err(words)
    }
}
