//! Secrets Manager through AWS's SDK.

use super::{StoredError, pick, region};
use crate::aws::{self, Kind};
use crate::config::StoredSecret;
use crate::ecs::AwsAccess;
use aws_sdk_secretsmanager::Client;
use secrecy::SecretString;
use std::collections::BTreeMap;
use std::time::Duration;

/// With the credentials that the call needs first.
const TIMEOUT: Duration = Duration::from_secs(5);
const API: &str = "Secrets Manager";

/// Secrets Manager, in each region that was asked for. Keeps connections and credentials.
#[derive(Debug)]
pub(crate) struct Store {
    access: AwsAccess,
    task_arn: String,
    clients: BTreeMap<String, Client>,
}

impl Store {
    /// Whether this build can ask at all.
    pub(crate) const AVAILABLE: bool = true;

    /// For a task; its ARN may be empty where `access` or the secrets' ARNs tell the region.
    pub(crate) fn new(access: AwsAccess, task_arn: &str) -> Self {
        Self { access, task_arn: task_arn.to_owned(), clients: BTreeMap::new() }
    }

    /// Asks for a secret, once. Bounded by 5 s; dropping the future ends it.
    ///
    /// # Errors
    /// [`StoredError`].
    pub(crate) async fn read(
        &mut self,
        stored: &StoredSecret,
    ) -> Result<SecretString, StoredError> {
        let region = region(stored, &self.access, &self.task_arn)?;
        if !self.clients.contains_key(&region) {
            let client = Client::new(&aws::connect(region.clone()).await);
            self.clients.insert(region.clone(), client);
        }
        let client = &self.clients[&region];
        let asked = client.get_secret_value().secret_id(&stored.secret_id).send();
        match aws::ask(API, TIMEOUT, asked).await {
            Ok(answer) => match answer.secret_string {
                Some(text) => pick(stored, text),
                None => Err(StoredError::Failed(format!(
                    "secret {} holds bytes, and no text",
                    stored.secret_id
                ))),
            },
            // One without any value is "not found", too.
            Err(error) if error.kind == Kind::NotFound => Err(StoredError::NotYet(format!(
                "there is no secret {} in {region}, or it has no value yet",
                stored.secret_id
            ))),
            Err(error) => {
                Err(StoredError::Failed(format!("secret {}: {}", stored.secret_id, error.why)))
            }
        }
    }
}
