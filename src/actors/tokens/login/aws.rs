//! Logs in and out at the local agent.

use super::Made;
use crate::actors::process::chance;
use crate::aws_login::LoginSource;
use crate::config;
use crate::consul::{self, Client};
use crate::ecs::{self, AwsAccess, TaskIdentity};
use crate::stored::StoredError;
use secrecy::SecretString;

/// See the module's text.
pub(crate) struct LogIns {
    config: Option<config::Login>,
    access: AwsAccess,
    task: TaskIdentity,
    consul: Client,
    source: Option<LoginSource>,
}

impl LogIns {
    pub(crate) fn new(
        config: Option<config::Login>,
        access: AwsAccess,
        task: TaskIdentity,
        consul: Client,
    ) -> Self {
        Self { config, access, task, consul, source: None }
    }

    /// A login is a question to the servers, which the agent must know.
    pub(crate) async fn log_in(&mut self, method: &str) -> Result<Made, StoredError> {
        if !matches!(self.consul.leader().await, Ok(Some(_))) {
            return Err(StoredError::NotYet("waits for the agent to join".to_owned()));
        }
        let made = self.source().await?.login(method).await;
        let made = made.map_err(|error| match error.may_pass() {
            true => StoredError::NotYet(error.to_string()),
            // A person has to cure it, in Consul or in IAM: more rarely.
            false => StoredError::Failed(error.to_string()),
        })?;
        let jitter = chance();
        let again_after = consul::renew_at(made.issued, made.expires, jitter);
        Ok(Made { token: made.token, again_after })
    }

    /// Ends a token. It ends by itself, too, if its auth method says so: nothing waits for this.
    pub(crate) async fn log_out(&self, token: &SecretString) {
        let Some(source) = &self.source else { return };
        match source.logout(token).await {
            Ok(()) => tracing::info!("logged out"),
            Err(why) => {
                tracing::info!(%why, "cannot log out: the token lives until its time is over")
            }
        }
    }

    async fn source(&mut self) -> Result<&LoginSource, StoredError> {
        let failed = |why: String| StoredError::Failed(why);
        if self.source.is_none() {
            let config = self.config.as_ref();
            let config = config.ok_or_else(|| failed("consul.login is not given".to_owned()))?;
            let own = self.access.region().map(str::to_owned);
            let region = own.or_else(|| ecs::region_of(&self.task.task_arn));
            let consul = self.consul.with_token(None).map_err(|e| failed(e.to_string()))?;
            let source =
                LoginSource::connect(config, region.unwrap_or_default(), &self.task, consul);
            self.source = Some(source.await.map_err(|e| failed(e.to_string()))?);
        }
        self.source.as_ref().ok_or_else(|| failed("no way to log in".to_owned()))
    }
}
