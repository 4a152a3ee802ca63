//! IAM roles, and the credentials that a task with such a role has.

use super::Moto;
use anyhow::{Context, Result};
use serde_json::{Value, json};

/// What a task's endpoint for credentials gives.
#[derive(Debug, Clone)]
pub struct RoleKeys {
    /// The access key's ID.
    pub id: String,
    /// Its secret.
    pub secret: String,
    /// The session's token.
    pub session: String,
}

impl Moto {
    /// Makes a role in `path`, as `/mesh/`, that may do what `statements` allow, and takes it on as the session `session`,
    /// which on ECS is the task's ID.
    ///
    /// # Errors
    /// If it is refused.
    pub async fn role(
        &self,
        path: &str,
        name: &str,
        statements: &Value,
        session: &str,
    ) -> Result<RoleKeys> {
        let trust = json!({ "Version": "2012-10-17", "Statement": [] }).to_string();
        self.iam(&form(&[
            ("Action", "CreateRole"),
            ("Version", "2010-05-08"),
            ("RoleName", name),
            ("Path", path),
            ("AssumeRolePolicyDocument", &trust),
        ])?)
        .await?;
        let policy = json!({ "Version": "2012-10-17", "Statement": statements }).to_string();
        self.iam(&form(&[
            ("Action", "PutRolePolicy"),
            ("Version", "2010-05-08"),
            ("RoleName", name),
            ("PolicyName", "rights"),
            ("PolicyDocument", &policy),
        ])?)
        .await?;
        let arn = format!("arn:aws:iam::123456789012:role{path}{name}");
        let taken_on = form(&[
            ("Action", "AssumeRole"),
            ("Version", "2011-06-15"),
            ("RoleArn", &arn),
            ("RoleSessionName", session),
        ])?;
        let answer = self.query("sts", &taken_on).await?;
        let field = |tag| super::field(&answer, tag).with_context(|| format!("no {tag}: {answer}"));
        Ok(RoleKeys {
            id: field("AccessKeyId")?,
            secret: field("SecretAccessKey")?,
            session: field("SessionToken")?,
        })
    }
}

/// A form's text: a URL's query is one.
fn form(fields: &[(&str, &str)]) -> Result<String> {
    let url = reqwest::Url::parse_with_params("http://form", fields)?;
    Ok(url.query().unwrap_or_default().to_owned())
}
