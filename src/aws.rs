//! What our clients of AWS's APIs share: the SDK's configuration, and its errors sorted by what a caller can do.

use crate::wire::causes;
use aws_config::retry::RetryConfig;
use aws_config::timeout::TimeoutConfig;
use aws_config::{BehaviorVersion, ConfigLoader, Region, SdkConfig};
use aws_sdk_ecs::error::{ProvideErrorMetadata, SdkError};
use aws_smithy_http_client::tls::{self, rustls_provider::CryptoMode};
use std::error::Error;
use std::time::Duration;

/// In-region calls take 20 to 100 ms. Past this the way there is blocked, not slow.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(2);
/// Longest piece of an answer that is none of the API's, in characters.
const EXCERPT: usize = 512;

/// What a caller can do about a failure.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    /// Asked too often: later, and less often.
    TooOften,
    /// It may pass: no connection, a server's fault, credentials that were just replaced.
    Passing,
    /// What is asked about is not there.
    NotFound,
    /// Asking again will not help.
    Refused,
}

/// Why a call failed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{why}")]
pub(crate) struct ApiError {
    pub(crate) kind: Kind,
    /// AWS's own name of the error; empty where there was no answer.
    pub(crate) code: String,
    /// In words, with AWS's own.
    pub(crate) why: String,
}

/// The SDK's configuration: the default chain of credentials and `AWS_ENDPOINT_URL`, as it reads them from the
/// environment.
pub(crate) async fn connect(region: String) -> SdkConfig {
    config(aws_config::defaults(BehaviorVersion::latest()), region).load().await
}

/// With a client of our own, since the SDK's default one brings aws-lc.
pub(crate) fn config(loader: ConfigLoader, region: String) -> ConfigLoader {
    let http = aws_smithy_http_client::Builder::new()
        .tls_provider(tls::Provider::Rustls(CryptoMode::Ring))
        .build_https();
    loader
        .http_client(http)
        // Given, so that nobody asks IMDS for it.
        .region(Region::new(region))
        // Ours are where a stop ends them.
        .retry_config(RetryConfig::disabled())
        .timeout_config(TimeoutConfig::builder().connect_timeout(CONNECT_TIMEOUT).build())
}

/// Makes a call of `api`, for example `the ECS API`, within `limit`; its errors are sorted.
pub(crate) async fn ask<T, E>(
    api: &str,
    limit: Duration,
    call: impl Future<Output = Result<T, SdkError<E>>>,
) -> Result<T, ApiError>
where
    E: ProvideErrorMetadata + Error + 'static,
{
    match tokio::time::timeout(limit, call).await {
        Ok(answer) => answer.map_err(|error| judge(api, &error)),
        Err(_elapsed) => Err(ApiError {
            kind: Kind::Passing,
            code: String::new(),
            why: format!("{api} does not answer within {limit:?}"),
        }),
    }
}

/// Codes of refusals that may pass, besides those that speak of throttling: the other spellings of "too often" (as the
/// SDK's own retries know them, `THROTTLING_ERRORS` of aws-runtime), and what fresh credentials or a clock set right
/// cure.
const OFTEN: [&str; 3] = ["TooManyRequestsException", "RequestLimitExceeded", "SlowDown"];
const PASSING: [&str; 4] =
    ["ExpiredTokenException", "ExpiredToken", "RequestTimeTooSkewed", "RequestExpired"];
const NOT_FOUND: [&str; 2] = ["ResourceNotFoundException", "ClusterNotFoundException"];

/// Sorts an error of `api`.
fn judge<E>(api: &str, error: &SdkError<E>) -> ApiError
where
    E: ProvideErrorMetadata + Error + 'static,
{
    let reply = match error {
        SdkError::ServiceError(error) => error.raw(),
        // An endpoint or a proxy on the way that speaks another language.
        SdkError::ResponseError(error) => error.raw(),
        // No credentials, no connection, no whole answer.
        error => {
            let why = format!("cannot ask {api}: {}", causes(error));
            return ApiError { kind: Kind::Passing, code: String::new(), why };
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
    let kind = match code {
        _ if status == 429 || code.contains("Throttl") || OFTEN.contains(&code) => Kind::TooOften,
        _ if PASSING.contains(&code) || !(400..500).contains(&status) => Kind::Passing,
        _ if NOT_FOUND.contains(&code) => Kind::NotFound,
        _ => Kind::Refused,
    };
    ApiError { kind, code: code.to_owned(), why: format!("{api} answered {status} {words}") }
}
