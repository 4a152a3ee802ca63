//! The ECS API through AWS's SDK, with a client of our own: the SDK's default one brings aws-lc.

use super::{DefinedContainer, DefinitionError, TaskDefinition};
use aws_config::retry::RetryConfig;
use aws_config::timeout::TimeoutConfig;
use aws_config::{BehaviorVersion, Region};
use aws_sdk_ecs::Client;
use aws_sdk_ecs::error::{ProvideErrorMetadata, SdkError};
use aws_sdk_ecs::operation::describe_task_definition::DescribeTaskDefinitionError;
use aws_sdk_ecs::types;
use aws_smithy_http_client::tls::{self, rustls_provider::CryptoMode};
use std::error::Error;
use std::time::Duration;

/// Whether this build can ask at all.
pub(super) const AVAILABLE: bool = true;

/// In-region calls take 20 to 100 ms. Past this the way there is blocked, not slow.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(2);
/// With the credentials that the call needs first.
const TIMEOUT: Duration = Duration::from_secs(5);

/// Longest piece of an answer that is none of the API's, in characters.
const EXCERPT: usize = 512;
/// Codes of refusals that may pass, besides those that speak of throttling: the other spellings of "too often" (as the
/// SDK's own retries know them, `THROTTLING_ERRORS` of aws-runtime), and what fresh credentials or a clock set right
/// cure.
const PASSING: [&str; 7] = [
    "TooManyRequestsException",
    "RequestLimitExceeded",
    "SlowDown",
    "ExpiredTokenException",
    "ExpiredToken",
    "RequestTimeTooSkewed",
    "RequestExpired",
];

/// The ECS API of one region.
#[derive(Debug)]
pub(super) struct Api(Client);

impl Api {
    /// With the default chain of credentials and `AWS_ENDPOINT_URL`, as the SDK reads them from the environment.
    pub(super) async fn connect(region: String) -> Self {
        let config = config(aws_config::defaults(BehaviorVersion::latest()), region).load().await;
        Self(Client::new(&config))
    }

    pub(super) async fn describe(&self, name: &str) -> Result<TaskDefinition, DefinitionError> {
        let asked = self.0.describe_task_definition().task_definition(name).send();
        let answer = match tokio::time::timeout(TIMEOUT, asked).await {
            Ok(answer) => answer.map_err(|e| sort(&e))?,
            Err(_elapsed) => {
                return Err(DefinitionError::Failing(format!(
                    "the ECS API does not answer within {TIMEOUT:?}"
                )));
            }
        };
        match answer.task_definition() {
            Some(definition) => Ok(TaskDefinition::from(definition)),
            None => Err(DefinitionError::Failing("the ECS API's answer is empty".to_owned())),
        }
    }
}

fn config(loader: aws_config::ConfigLoader, region: String) -> aws_config::ConfigLoader {
    let http = aws_smithy_http_client::Builder::new()
        .tls_provider(tls::Provider::Rustls(CryptoMode::Ring))
        .build_https();
    loader
        .http_client(http)
        // Given, so that nobody asks IMDS for it.
        .region(Region::new(region))
        // Ours are in the actor, where a stop ends them.
        .retry_config(RetryConfig::disabled())
        .timeout_config(TimeoutConfig::builder().connect_timeout(CONNECT_TIMEOUT).build())
}

/// Whether asking again can help.
fn sort(error: &SdkError<DescribeTaskDefinitionError>) -> DefinitionError {
    let reply = match error {
        SdkError::ServiceError(error) => error.raw(),
        // An endpoint or a proxy on the way that speaks another language.
        SdkError::ResponseError(error) => error.raw(),
        // No credentials, no connection, no whole answer.
        error => {
            return DefinitionError::Failing(format!("cannot ask the ECS API: {}", causes(error)));
        }
    };
    let status = reply.status().as_u16();
    let code = error.code().unwrap_or_default();
    let words = match (code, error.message()) {
        ("", _) => String::from_utf8_lossy(reply.body().bytes().unwrap_or_default())
            .trim()
            .chars()
            .take(EXCERPT)
            .collect(),
        (code, Some(message)) => format!("{code}: {message}"),
        (code, None) => code.to_owned(),
    };
    let why = format!("the ECS API answered {status} {words}");
    let may_pass = status == 429 || code.contains("Throttl") || PASSING.contains(&code);
    if may_pass || !(400..500).contains(&status) {
        DefinitionError::Failing(why)
    } else {
        DefinitionError::Refused(why)
    }
}

/// An error with all that is behind it: the outermost one only says "dispatch failure".
fn causes(error: &dyn Error) -> String {
    let mut said = error.to_string();
    let mut cause = error.source();
    while let Some(inner) = cause {
        let words = inner.to_string();
        if !said.contains(&words) {
            said.push_str(": ");
            said.push_str(&words);
        }
        cause = inner.source();
    }
    said
}

impl From<&types::TaskDefinition> for TaskDefinition {
    fn from(definition: &types::TaskDefinition) -> Self {
        let containers = definition.container_definitions();
        Self { containers: containers.iter().map(DefinedContainer::from).collect() }
    }
}

impl From<&types::ContainerDefinition> for DefinedContainer {
    fn from(container: &types::ContainerDefinition) -> Self {
        Self {
            name: container.name().unwrap_or_default().to_owned(),
            essential: container.essential().unwrap_or(true),
            // `["NONE"]` is Docker's word for none.
            health_check: container
                .health_check()
                .is_some_and(|check| check.command() != ["NONE".to_owned()]),
            routes_logs: container.firelens_configuration().is_some(),
            // Seconds; the API takes no negative ones.
            stop_timeout: container
                .stop_timeout()
                .and_then(|seconds| u64::try_from(seconds).ok())
                .map(Duration::from_secs),
            depends_on: container
                .depends_on()
                .iter()
                .map(|dependency| dependency.container_name().to_owned())
                .collect(),
        }
    }
}

#[cfg(test)]
#[path = "aws_tests.rs"]
mod tests;
