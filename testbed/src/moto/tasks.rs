//! Clusters and tasks, as the ECS API lists and describes them. Nothing of them runs.

use super::Moto;
use anyhow::{Context, Result};
use serde_json::{Value, json};

impl Moto {
    /// Makes a cluster whose tasks stay what they are: by itself moto has a task end a little more with each time that
    /// it is described.
    ///
    /// # Errors
    /// If it is refused.
    pub async fn create_cluster(&self, region: &str, name: &str) -> Result<()> {
        let still = json!({
            "model_name": "ecs::task", "transition": { "progression": "manual", "times": 1_000_000_000 }
        });
        let headers = [("Content-Type", "application/json")];
        let path = "/moto-api/state-manager/set-transition";
        self.post(path, &headers, still.to_string()).await?;
        self.ecs(region, "CreateCluster", &json!({ "clusterName": name })).await?;
        Ok(())
    }

    /// Has a task of a family run with these tags; gives its ARN.
    ///
    /// # Errors
    /// If it is refused.
    pub async fn run_task(
        &self,
        region: &str,
        cluster: &str,
        family: &str,
        tags: &[(&str, &str)],
    ) -> Result<String> {
        let tags: Vec<_> = tags.iter().map(|(k, v)| json!({ "key": k, "value": v })).collect();
        let body = json!({
            "cluster": cluster, "taskDefinition": family, "launchType": "FARGATE", "tags": tags
        });
        let answer = self.ecs(region, "RunTask", &body).await?;
        let arn = answer["tasks"][0]["taskArn"].as_str();
        arn.map(str::to_owned).with_context(|| format!("no task: {answer}"))
    }

    /// Stops a task. Its tags stay, unlike at AWS.
    ///
    /// # Errors
    /// If it is refused.
    pub async fn stop_task(&self, region: &str, cluster: &str, arn: &str) -> Result<Value> {
        self.ecs(region, "StopTask", &json!({ "cluster": cluster, "task": arn })).await
    }
}
