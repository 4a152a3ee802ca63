//! Reading the task metadata endpoint.

use super::{Container, Task};
use crate::wire::{self, Failure};
use serde::de::DeserializeOwned;
use std::hash::{DefaultHasher, Hasher};
use std::sync::Arc;
use std::time::Duration;

/// The environment variable in which ECS gives each container the base URI of its metadata.
pub const METADATA_URI_ENV: &str = "ECS_CONTAINER_METADATA_URI_V4";

/// It is answered from the ECS agent's memory.
const TIMEOUT: Duration = Duration::from_secs(2);
/// About 1.5 kB a container, and a task has at most ten.
const BODY_LIMIT: usize = 4 << 20;

/// Why the metadata could not be read. All of them can pass: an ECS agent that restarts gives each.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum MetadataError {
    /// Nobody answered, as while the ECS agent restarts.
    #[error("no answer from the task metadata endpoint: {why}")]
    Unreachable {
        /// The reason, without the URI.
        why: String,
    },
    /// No whole answer in time.
    #[error("no answer from the task metadata endpoint within {0:?}")]
    Timeout(Duration),
    /// Too many requests from this task: 40 a second, bursts of 60.
    #[error("the task metadata endpoint throttles this task")]
    Throttled,
    /// It refused, or could not.
    #[error("the task metadata endpoint answered with status {status}: {body}")]
    Status {
        /// HTTP status.
        status: u16,
        /// The beginning of the answer.
        body: String,
    },
    /// The answer is longer than we read.
    #[error("the answer of the task metadata endpoint is longer than {limit} bytes")]
    TooLarge {
        /// The limit in bytes.
        limit: usize,
    },
    /// The answer is not the JSON that it should be.
    #[error("cannot read the answer of the task metadata endpoint: {why}")]
    NotJson {
        /// Where and why.
        why: String,
    },
}

/// What [`MetadataClient::task_again`] read last.
#[derive(Debug, Default)]
pub struct LastTask(Option<(u64, Arc<Task>)>);

/// The task metadata endpoint. Cheap to clone; clones share connections.
#[derive(Debug, Clone)]
pub struct MetadataClient {
    http: reqwest::Client,
    base: String,
    timeout: Duration,
}

impl MetadataClient {
    /// The endpoint at `base_uri`, the value of [`METADATA_URI_ENV`].
    pub fn new(base_uri: &str) -> Self {
        // A slash at the end of a path matches no route there: 404.
        let base = base_uri.trim_end_matches('/').to_owned();
        Self { http: wire::client(), base, timeout: TIMEOUT }
    }

    /// Another deadline for each read than 2 s.
    #[must_use]
    pub fn with_timeout(mut self, timeout: Duration) -> Self {
        self.timeout = timeout;
        self
    }

    /// The task with its containers.
    ///
    /// # Errors
    /// [`MetadataError`].
    pub async fn task(&self) -> Result<Task, MetadataError> {
        self.get("/task").await
    }

    /// The same for who asks again and again: an answer that is the last one to the letter, as it nearly always is, is not
    /// read anew, which would be half of what a supervisor does while nothing happens.
    ///
    /// # Errors
    /// [`MetadataError`]; `last` then stays as it is.
    pub async fn task_again(&self, last: &mut LastTask) -> Result<Arc<Task>, MetadataError> {
        let body = self.ask("/task").await?;
        let mut hasher = DefaultHasher::new();
        hasher.write(&body);
        let fingerprint = hasher.finish();
        match &last.0 {
            Some((known, task)) if *known == fingerprint => Ok(task.clone()),
            _ => {
                let task: Arc<Task> = Arc::new(decode(&body)?);
                last.0 = Some((fingerprint, task.clone()));
                Ok(task)
            }
        }
    }

    /// The container whose environment holds the base URI: our own.
    ///
    /// # Errors
    /// [`MetadataError`].
    pub async fn own_container(&self) -> Result<Container, MetadataError> {
        self.get("").await
    }

    async fn get<T: DeserializeOwned>(&self, path: &str) -> Result<T, MetadataError> {
        decode(&self.ask(path).await?)
    }

    async fn ask(&self, path: &str) -> Result<Vec<u8>, MetadataError> {
        let request = self.http.get(format!("{}{path}", self.base));
        let reply =
            wire::exchange(request, self.timeout, BODY_LIMIT).await.map_err(
                |failure| match failure {
                    Failure::Unreachable(why) => MetadataError::Unreachable { why },
                    Failure::Timeout => MetadataError::Timeout(self.timeout),
                    Failure::TooLarge => MetadataError::TooLarge { limit: BODY_LIMIT },
                },
            )?;
        if reply.status == 429 {
            return Err(MetadataError::Throttled);
        }
        if !reply.is_success() {
            return Err(MetadataError::Status { status: reply.status, body: reply.excerpt() });
        }
        Ok(reply.body)
    }
}

fn decode<T: DeserializeOwned>(body: &[u8]) -> Result<T, MetadataError> {
    let mut json = serde_json::Deserializer::from_slice(body);
    serde_path_to_error::deserialize(&mut json)
        .map_err(|e| MetadataError::NotJson { why: e.to_string() })
}

#[cfg(test)]
#[path = "client_tests.rs"]
mod tests;
