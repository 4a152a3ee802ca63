//! AWS, as far as the controller needs it: the cluster's tasks with their tags, and secrets.

use super::desired::Task;
use super::plan::{Pair, Secret};
use crate::aws::{self, ApiError, Kind};
use aws_sdk_ecs::types::{DesiredStatus, TaskField};
use serde_json::{Value, json};
use std::time::Duration;

/// With the credentials that a call may need first. `DescribeTasks` of 100 tasks takes some 100 ms.
const TIMEOUT: Duration = Duration::from_secs(10);
/// The most that `DescribeTasks` takes, and that `ListTasks` gives.
pub(crate) const PAGE: usize = 100;

const ECS: &str = "the ECS API";
const SECRETS: &str = "Secrets Manager";

/// AWS's APIs of one region.
#[derive(Debug, Clone)]
pub(crate) struct Cloud {
    ecs: aws_sdk_ecs::Client,
    secrets: aws_sdk_secretsmanager::Client,
}

type Result<T> = std::result::Result<T, ApiError>;

impl Cloud {
    pub(crate) async fn connect(region: String) -> Self {
        let config = aws::connect(region).await;
        Self {
            ecs: aws_sdk_ecs::Client::new(&config),
            secrets: aws_sdk_secretsmanager::Client::new(&config),
        }
    }

    /// A page of the tasks that are to run, and the key of the next one.
    pub(crate) async fn tasks(
        &self,
        cluster: &str,
        page: Option<String>,
    ) -> Result<(Vec<String>, Option<String>)> {
        let asked = self.ecs.list_tasks().cluster(cluster).desired_status(DesiredStatus::Running);
        let asked = asked.set_next_token(page).send();
        let answer = aws::ask(ECS, TIMEOUT, asked).await?;
        let next = answer.next_token().filter(|token| !token.is_empty()).map(str::to_owned);
        Ok((answer.task_arns.unwrap_or_default(), next))
    }

    /// These tasks, of which there are at most [`PAGE`], with their tags. Those that ECS does not find are left out.
    pub(crate) async fn describe(
        &self,
        cluster: &str,
        arns: Vec<String>,
    ) -> Result<Vec<(String, Task)>> {
        let asked = self.ecs.describe_tasks().cluster(cluster).set_tasks(Some(arns));
        let asked = asked.include(TaskField::Tags).send();
        let answer = aws::ask(ECS, TIMEOUT, asked).await?;
        let tasks = answer.tasks().iter().map(|task| {
            let tags = task.tags().iter();
            let tags = tags.filter_map(|t| Some((t.key()?.to_owned(), t.value()?.to_owned())));
            let definition = task.task_definition_arn().unwrap_or_default();
            (task.task_arn().unwrap_or_default().to_owned(), Task::new(definition, tags))
        });
        Ok(tasks.collect())
    }

    /// What a secret holds.
    pub(crate) async fn secret(&self, name: &str) -> Result<Secret> {
        let asked = self.secrets.get_secret_value().secret_id(name).send();
        match aws::ask(SECRETS, TIMEOUT, asked).await {
            Ok(answer) => Ok(read(answer.secret_string().unwrap_or_default())),
            // One without any value is "not found", too; CreateSecret tells them apart.
            Err(error) if error.kind == Kind::NotFound => Ok(Secret::Missing),
            Err(error) if is_leaving(&error) => Ok(Secret::Leaving),
            Err(error) => Err(error),
        }
    }

    /// Makes a secret. False: there is one of this name already.
    pub(crate) async fn create_secret(&self, name: &str, pair: &Pair) -> Result<bool> {
        let text = written(pair);
        let asked = self.secrets.create_secret().name(name).secret_string(text).send();
        match aws::ask(SECRETS, TIMEOUT, asked).await {
            Ok(_) => Ok(true),
            Err(error) if error.code == "ResourceExistsException" => Ok(false),
            Err(error) => Err(error),
        }
    }

    /// Gives a secret another value. `UpdateSecret`, not `PutSecretValue`: it is what the 0.4.3 controller's role allows.
    pub(crate) async fn put_secret(&self, name: &str, pair: &Pair) -> Result<()> {
        let asked =
            self.secrets.update_secret().secret_id(name).secret_string(written(pair)).send();
        aws::ask(SECRETS, TIMEOUT, asked).await?;
        Ok(())
    }
}

/// It is scheduled for deletion: nothing is given of it, and nothing taken.
fn is_leaving(error: &ApiError) -> bool {
    error.code == "InvalidRequestException" && error.why.contains("marked for deletion")
        || error.why.contains("scheduled for deletion")
}

/// The layout of 0.4.3. Whatever is no pair of ids is none.
fn read(text: &str) -> Secret {
    let value: Value = serde_json::from_str(text).unwrap_or_default();
    let field = |name: &str| value[name].as_str().filter(|id| !id.is_empty()).map(str::to_owned);
    match (field("accessor_id"), field("token")) {
        (Some(accessor), Some(token)) => Secret::Holds(Pair { accessor, token: token.into() }),
        _ => Secret::Empty,
    }
}

fn written(pair: &Pair) -> String {
    json!({ "accessor_id": pair.accessor, "token": pair.token.text() }).to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_secret_holds_a_pair_or_nothing() {
        let pair = Pair { accessor: "a".to_owned(), token: "t".to_owned().into() };
        assert_eq!(read(&written(&pair)), Secret::Holds(pair));
        for text in [
            "{}",
            "",
            "null",
            "[]",
            "x",
            r#"{"accessor_id": "a"}"#,
            r#"{"token": "t"}"#,
            r#"{"accessor_id": "", "token": "t"}"#,
            r#"{"accessor_id": 1, "token": "t"}"#,
        ] {
            assert_eq!(read(text), Secret::Empty, "{text}");
        }
    }
}
