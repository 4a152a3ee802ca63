//! Secrets in AWS Secrets Manager, as a task reads them: one call, `GetSecretValue`
//! (<https://docs.aws.amazon.com/secretsmanager/latest/apireference/API_GetSecretValue.html>), with the task role's
//! credentials. The SDK behind it is the cargo feature `aws`.

#[cfg(feature = "aws")]
#[path = "stored/aws.rs"]
mod api;
#[cfg(not(feature = "aws"))]
#[path = "stored/no_aws.rs"]
mod api;

use crate::config::{StoredSecret, trimmed};
use crate::ecs::{AwsAccess, region_of};
use secrecy::SecretString;
use serde_json::Value;

pub(crate) use api::Store;

/// Why a secret could not be had. Never says anything of its value.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum StoredError {
    /// It is not there yet, or holds nothing yet: somebody has still to write it.
    #[error("{0}")]
    NotYet(String),
    /// It could not be asked for, or AWS refuses: no permission, no way there, too often.
    #[error("{0}")]
    Failed(String),
}

/// The value that is meant by `stored` in the text that its secret holds.
fn pick(stored: &StoredSecret, text: String) -> Result<SecretString, StoredError> {
    let id = &stored.secret_id;
    let Some(key) = &stored.json_key else {
        let empty = || StoredError::NotYet(format!("secret {id} is empty"));
        return trimmed(text).ok_or_else(empty);
    };
    let value: Value = match serde_json::from_str(&text) {
        Ok(value @ Value::Object(_)) => value,
        _ if text.trim().is_empty() => Value::Null,
        _ => return Err(StoredError::NotYet(format!("secret {id} is no JSON object"))),
    };
    match value.get(key) {
        Some(Value::String(found)) => trimmed(found.clone())
            .ok_or_else(|| StoredError::NotYet(format!("in secret {id} the key {key} is empty"))),
        Some(_) => Err(StoredError::NotYet(format!("in secret {id} the key {key} is no text"))),
        // What the controller has not filled yet is `{}`.
        None => Err(StoredError::NotYet(format!("secret {id} has no key {key} yet"))),
    }
}

/// Where to ask for it: what its ARN says, else the environment, else the task's own region.
fn region(
    stored: &StoredSecret,
    access: &AwsAccess,
    task_arn: &str,
) -> Result<String, StoredError> {
    let own = stored.secret_id.starts_with("arn:").then(|| region_of(&stored.secret_id)).flatten();
    own.or_else(|| access.region().map(str::to_owned))
        .or_else(|| region_of(task_arn))
        .ok_or_else(|| StoredError::Failed("no AWS_REGION, and none in the task's ARN".to_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use secrecy::ExposeSecret;
    use std::collections::BTreeMap;

    fn stored(id: &str, key: Option<&str>) -> StoredSecret {
        StoredSecret { secret_id: id.to_owned(), json_key: key.map(str::to_owned) }
    }

    fn picked(key: Option<&str>, text: &str) -> Result<String, String> {
        pick(&stored("mesh-api", key), text.to_owned())
            .map(|found| found.expose_secret().to_owned())
            .map_err(|e| e.to_string())
    }

    #[test]
    fn a_key_of_it_is_meant_or_the_whole_text() {
        let pair = r#"{"accessor_id": "a", "token": " t\n"}"#;
        assert_eq!(picked(Some("token"), pair).as_deref(), Ok("t"));
        assert_eq!(picked(None, " k3y\n").as_deref(), Ok("k3y"));
        assert_eq!(picked(None, pair).as_deref(), Ok(pair));
    }

    #[test]
    fn what_is_not_there_yet_is_told_in_words_without_the_value() {
        for (key, text, why) in [
            (Some("token"), "{}", "secret mesh-api has no key token yet"),
            (Some("token"), "", "secret mesh-api has no key token yet"),
            (Some("token"), r#"{"token": ""}"#, "in secret mesh-api the key token is empty"),
            (Some("token"), r#"{"token": 7}"#, "in secret mesh-api the key token is no text"),
            (Some("token"), "s3cret", "secret mesh-api is no JSON object"),
            (Some("token"), "[\"s3cret\"]", "secret mesh-api is no JSON object"),
            (None, " \n", "secret mesh-api is empty"),
        ] {
            assert_eq!(picked(key, text), Err(why.to_owned()), "{text}");
        }
    }

    #[test]
    fn an_arn_knows_its_region_better_than_the_environment() {
        let env = |pairs: &[(&str, &str)]| {
            let pairs = pairs.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned()));
            AwsAccess::from_env(&pairs.collect::<BTreeMap<_, _>>())
        };
        let arn = "arn:aws:secretsmanager:eu-west-1:1:secret:mesh-api-AbCdEf";
        let task = "arn:aws:ecs:eu-north-1:1:task/c/t";
        let here = env(&[("AWS_REGION", "us-east-1")]);
        assert_eq!(region(&stored(arn, None), &here, task).as_deref(), Ok("eu-west-1"));
        assert_eq!(region(&stored("mesh-api", None), &here, task).as_deref(), Ok("us-east-1"));
        assert_eq!(region(&stored("mesh-api", None), &env(&[]), task).as_deref(), Ok("eu-north-1"));
        assert!(region(&stored("mesh-api", None), &env(&[]), "").is_err());
    }
}
