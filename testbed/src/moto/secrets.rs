//! Secrets.

use super::Moto;
use anyhow::Result;
use serde_json::{Value, json};
use std::sync::atomic::{AtomicU64, Ordering};

impl Moto {
    /// What a secret holds; `None` if there is none, or it has no value.
    ///
    /// # Errors
    /// If it does not answer with JSON.
    pub async fn secret(&self, region: &str, name: &str) -> Result<Option<Value>> {
        let asked = self.secrets(region, "GetSecretValue", &json!({ "SecretId": name })).await;
        let answer = match asked {
            Ok(answer) => answer,
            Err(e) if e.to_string().contains("ResourceNotFoundException") => return Ok(None),
            Err(e) => return Err(e),
        };
        Ok(answer["SecretString"].as_str().and_then(|text| serde_json::from_str(text).ok()))
    }

    /// Makes a secret.
    ///
    /// # Errors
    /// If it is refused.
    pub async fn create_secret(&self, region: &str, name: &str, value: &Value) -> Result<()> {
        self.create_secret_text(region, name, &value.to_string()).await
    }

    /// The same of one that holds any text.
    ///
    /// # Errors
    /// If it is refused.
    pub async fn create_secret_text(&self, region: &str, name: &str, text: &str) -> Result<()> {
        let body = json!({ "Name": name, "SecretString": text });
        self.secrets(region, "CreateSecret", &body).await.map(drop)
    }

    /// Gives a secret another value.
    ///
    /// # Errors
    /// If it is refused.
    pub async fn put_secret(&self, region: &str, name: &str, value: &Value) -> Result<()> {
        self.put_secret_text(region, name, &value.to_string()).await
    }

    /// The same of one that holds any text.
    ///
    /// # Errors
    /// If it is refused.
    pub async fn put_secret_text(&self, region: &str, name: &str, text: &str) -> Result<()> {
        static NEXT: AtomicU64 = AtomicU64::new(0);
        // The new version's name, which an SDK would make up.
        let version = format!("testbed-{:032}", NEXT.fetch_add(1, Ordering::Relaxed));
        let body = json!({
            "SecretId": name, "SecretString": text, "ClientRequestToken": version
        });
        self.secrets(region, "UpdateSecret", &body).await.map(drop)
    }

    async fn secrets(&self, region: &str, action: &str, body: &Value) -> Result<Value> {
        self.json(region, "secretsmanager", &format!("secretsmanager.{action}"), body).await
    }
}
