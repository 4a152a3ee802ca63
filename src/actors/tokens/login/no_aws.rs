//! A build without the AWS parts.

use super::Made;
use crate::config;
use crate::consul::Client;
use crate::ecs::{AwsAccess, TaskIdentity};
use crate::stored::StoredError;
use secrecy::SecretString;

/// Nobody to log in with.
pub(crate) struct LogIns;

impl LogIns {
    pub(crate) fn new(_: Option<config::Login>, _: AwsAccess, _: TaskIdentity, _: Client) -> Self {
        Self
    }

    pub(crate) async fn log_in(&mut self, _method: &str) -> Result<Made, StoredError> {
        Err(StoredError::Failed("this taskmesh was built without the AWS parts".to_owned()))
    }

    pub(crate) async fn log_out(&self, _token: &SecretString) {}
}
