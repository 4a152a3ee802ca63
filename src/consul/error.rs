//! Failures of the agent's API.

use std::time::Duration;

/// What a call gives.
pub type Result<T> = std::result::Result<T, Error>;

/// Why a call to the agent failed. `call` is the path's fixed part, for example `agent/service/register`.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// The base URL or the token cannot be used at all.
    #[error("{0}")]
    Invalid(&'static str),
    /// Nobody answered: connection refused, reset or closed.
    #[error("{call}: no answer from the agent: {why}")]
    Unreachable {
        /// The call.
        call: &'static str,
        /// The reason, without the URL.
        why: String,
    },
    /// No whole answer in time.
    #[error("{call}: no answer within {after:?}")]
    Timeout {
        /// The call.
        call: &'static str,
        /// How long it was given.
        after: Duration,
    },
    /// The agent refused, or could not.
    #[error("{call}: status {status}: {body}")]
    Status {
        /// The call.
        call: &'static str,
        /// HTTP status.
        status: u16,
        /// The beginning of the answer.
        body: String,
    },
    /// An answer that is not what the API promises.
    #[error("{call}: cannot read the answer: {why}")]
    Decode {
        /// The call.
        call: &'static str,
        /// Where and why.
        why: String,
    },
    /// The answer is longer than we read.
    #[error("{call}: the answer is longer than {limit} bytes")]
    TooLarge {
        /// The call.
        call: &'static str,
        /// The limit in bytes.
        limit: usize,
    },
}

impl Error {
    /// The agent does not know the service or check. Old agents say it with 500 and these words (1.8.7), current
    /// ones with 404.
    pub fn is_not_found(&self) -> bool {
        let Error::Status { status, body, .. } = self else { return false };
        let body = body.to_ascii_lowercase();
        let in_words = ["unknown service", "unknown check", "does not have associated ttl"];
        *status == 404 || (*status == 500 && in_words.iter().any(|words| body.contains(words)))
    }

    /// The agent's refusal: the HTTP status and its words.
    pub fn refusal(&self) -> Option<(u16, &str)> {
        match self {
            Error::Status { status, body, .. } => Some((*status, body.trim())),
            _ => None,
        }
    }

    /// What was to be made is there already: a policy of this name, a token with these ids.
    pub fn is_taken(&self) -> bool {
        let Error::Status { body, .. } = self else { return false };
        body.contains("already exists") || body.contains("already in use")
    }

    /// There is no such policy or token: before 1.11 with 403 or 500, and words that a token without rights gets, too.
    pub fn is_acl_gone(&self) -> bool {
        matches!(self, Error::Status { status: 403 | 500, body, .. } if body.contains("ACL not found"))
    }

    /// A missing right, an unknown token, or, before the agent has joined, neither.
    pub fn is_forbidden(&self) -> bool {
        matches!(self, Error::Status { status: 401 | 403, .. })
    }

    /// There is no such token, or, at a login, no such auth method: Consul has the same words for both.
    pub fn is_unknown_token(&self) -> bool {
        matches!(self, Error::Status { status: 403 | 404, body, .. } if body.contains("ACL not found"))
    }

    /// Nobody there, or nobody who answers: worth trying again.
    pub fn is_unreachable(&self) -> bool {
        matches!(self, Error::Unreachable { .. } | Error::Timeout { .. })
    }

    /// The agent understood and refuses: trying the same again is of no use, save for 403 (see
    /// [`Error::is_forbidden`]) and 429.
    pub fn is_client_error(&self) -> bool {
        matches!(self, Error::Status { status, .. } if (400..500).contains(status))
    }

    /// The agent, or the servers behind it, could not: no leader, no path to the servers.
    pub fn is_server_error(&self) -> bool {
        matches!(self, Error::Status { status, .. } if *status >= 500) && !self.is_not_found()
    }
}
