//! Logging in to Consul with the task's IAM role: what a task has anyway, instead of a token that somebody must make,
//! keep and hand over.
//!
//! ```text
//!   taskmesh                       Consul agent -> server             AWS
//!   signs "who am I?" with   --->  acl/login: sends it on  ------->  STS: role R of account A
//!   the role's keys (bearer)       R is bound: a token     <-------
//! ```
//!
//! | file | what |
//! |---|---|
//! | `place` | where the requests go, and for which region they are signed (pure) |
//! | `entity` | who the credentials are, by their ARN (pure) |
//! | `request` | one signed request (pure) |
//! | `bearer` | the proof: one request, in its headers a second one (pure) |
//! | `error` | why there is no token, and what to do |

mod bearer;
mod entity;
mod error;
mod place;
mod request;
#[cfg(test)]
mod tests;

pub(crate) use error::LoginError;

use crate::consul::{Client, Login};
use crate::ecs::TaskIdentity;
use crate::wire::causes;
use crate::{aws, config};
use aws_sdk_sts::config::{Credentials, ProvideCredentials, SharedCredentialsProvider};
use entity::Entity;
use place::Place;
use secrecy::SecretString;
use std::collections::BTreeMap;
use std::time::Duration;
use tokio::sync::OnceCell;

/// With the credentials that a call needs first, which the last of the chain's sources may have to be asked for.
const TIMEOUT: Duration = Duration::from_secs(5);

/// Gets tokens of Consul for this task.
#[derive(Debug)]
pub(crate) struct LoginSource {
    consul: Client,
    sts: aws_sdk_sts::Client,
    credentials: SharedCredentialsProvider,
    place: Place,
    include_entity: bool,
    meta: BTreeMap<String, String>,
    /// Asked for once: a task has one role.
    entity: OnceCell<Entity>,
}

impl LoginSource {
    /// With the default chain of credentials. `region` is the task's; `consul` is a client of the local agent without a
    /// token.
    ///
    /// # Errors
    /// [`LoginError::Config`]: there is no region, nor credentials of any kind to look for.
    pub(crate) async fn connect(
        config: &config::Login,
        region: String,
        task: &TaskIdentity,
        consul: Client,
    ) -> Result<Self, LoginError> {
        let place = Place::of(config, region).map_err(LoginError::Config)?;
        let sdk = aws::connect(place.region.clone()).await;
        Self::new(config, place, &sdk, meta(config, task), consul)
    }

    fn new(
        config: &config::Login,
        place: Place,
        sdk: &aws_config::SdkConfig,
        meta: BTreeMap<String, String>,
        consul: Client,
    ) -> Result<Self, LoginError> {
        let credentials = sdk.credentials_provider();
        let none = || LoginError::Config("no source of AWS credentials".to_owned());
        let mut sts = aws_sdk_sts::config::Builder::from(sdk);
        if config.sts_endpoint.is_some() {
            sts = sts.endpoint_url(place.sts.as_str());
        }
        Ok(Self {
            consul,
            sts: aws_sdk_sts::Client::from_conf(sts.build()),
            credentials: credentials.ok_or_else(none)?,
            place,
            include_entity: config.include_entity,
            meta,
            entity: OnceCell::new(),
        })
    }

    /// A new token from this auth method.
    ///
    /// # Errors
    /// All of [`LoginError`].
    pub(crate) async fn login(&self, method: &str) -> Result<Login, LoginError> {
        let bearer = self.bearer().await?;
        let answer = self.consul.login(method, &bearer, &self.meta).await;
        answer.map_err(|error| LoginError::of(method, error))
    }

    /// Ends a token that [`Self::login`] gave. One that has ended already is no error.
    ///
    /// # Errors
    /// What the agent answers.
    pub(crate) async fn logout(&self, token: &SecretString) -> crate::consul::Result<()> {
        self.consul.with_token(Some(token.clone()))?.logout().await
    }

    async fn bearer(&self) -> Result<SecretString, LoginError> {
        let credentials = self.credentials().await?;
        let entity = if self.include_entity { Some(self.entity().await?) } else { None };
        let bearer = bearer::bearer(&self.place, &credentials, entity, request::now());
        bearer.map_err(LoginError::Config)
    }

    async fn credentials(&self) -> Result<Credentials, LoginError> {
        match tokio::time::timeout(TIMEOUT, self.credentials.provide_credentials()).await {
            Ok(Ok(credentials)) => Ok(credentials),
            Ok(Err(error)) => Err(LoginError::Credentials(causes(&error))),
            Err(_elapsed) => Err(LoginError::Credentials(format!("none within {TIMEOUT:?}"))),
        }
    }

    /// Who we are. STS tells everybody, whatever their rights.
    async fn entity(&self) -> Result<&Entity, LoginError> {
        let ask = async || {
            let asked = self.sts.get_caller_identity().send();
            let answer = aws::ask("STS", TIMEOUT, asked).await;
            let answer = answer.map_err(|error| LoginError::Identity(error.why))?;
            let arn = answer.arn().unwrap_or_default();
            Entity::of(arn).ok_or_else(|| LoginError::NoEntity(format!("{arn:?}")))
        };
        self.entity.get_or_try_init(ask).await
    }
}

/// What stands in the description of each token, so that a person, or a controller, knows whose it is.
fn meta(config: &config::Login, task: &TaskIdentity) -> BTreeMap<String, String> {
    let ours = [
        ("consul.hashicorp.com/task-id", &task.task_id),
        ("consul.hashicorp.com/cluster", &task.cluster),
    ];
    let mut meta: BTreeMap<_, _> =
        ours.into_iter().map(|(key, value)| (key.to_owned(), value.clone())).collect();
    meta.extend(config.meta.clone());
    meta
}
