//! moto: AWS's APIs, served on the hub of a network, so that tasks in their namespaces reach them.

mod roles;
mod secrets;
mod tasks;

pub use roles::RoleKeys;

use crate::cluster::beside_us;
use crate::net::{Host, Process, ProcessSpec};
use crate::parts;
use anyhow::{Context, Result, bail};
use serde_json::Value;
use std::time::Duration;
use tokio::time::Instant;

const PORT: u16 = 5000;
/// Python and a hundred modules: 2 s on an idle machine.
const LIMIT: Duration = Duration::from_secs(60);

/// A server that answers as AWS does, for every region and account. Ends when it is dropped.
pub struct Moto {
    process: Process,
    host: Host,
    url: String,
}

impl Moto {
    /// The URL that a server on this host will have.
    pub fn url_on(host: &Host) -> String {
        format!("http://{}:{PORT}", host.ip())
    }

    /// Starts it and waits until it answers.
    ///
    /// # Errors
    /// If it is not on this machine, or does not answer.
    pub async fn start(host: &Host) -> Result<Self> {
        let args = ["-H".to_owned(), host.ip().to_string(), "-p".to_owned(), PORT.to_string()];
        let process = host.spawn_process(ProcessSpec::new(parts::moto_server()?, args)).await?;
        let moto = Self { process, host: host.clone(), url: Self::url_on(host) };
        let began = Instant::now();
        while let Err(e) = moto.post("/moto-api/reset-auth", &[], "Infinity".to_owned()).await {
            if let Some(exit) = moto.process.exit() {
                bail!("moto exited: {exit:?}: {}", moto.said());
            }
            if began.elapsed() > LIMIT {
                return Err(e.context(format!("moto does not answer: {}", moto.said())));
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        Ok(moto)
    }

    /// The process of a controller: its configuration, in which the token is `{"env": "TOKEN"}`, the token, and where AWS
    /// is for it.
    ///
    /// # Errors
    /// If `taskmesh` is not built.
    pub fn controller(
        config: &Value,
        token: &str,
        aws: &str,
        args: &[&str],
    ) -> Result<ProcessSpec> {
        let spec = ProcessSpec::new(beside_us("taskmesh")?, [&["controller"], args].concat())
            .env("TASKMESH_CONTROLLER_CONFIG_JSON", config.to_string())
            .env("TOKEN", token)
            .env("AWS_ENDPOINT_URL", aws)
            .env("AWS_REGION", "us-east-1")
            .env("AWS_ACCESS_KEY_ID", "test")
            .env("AWS_SECRET_ACCESS_KEY", "test");
        Ok(spec)
    }

    /// For `AWS_ENDPOINT_URL`.
    pub fn url(&self) -> &str {
        &self.url
    }

    /// Makes the first revision of a task definition.
    ///
    /// # Errors
    /// If it is refused.
    pub async fn register_task_definition(&self, region: &str, definition: &Value) -> Result<()> {
        let answer = self.ecs(region, "RegisterTaskDefinition", definition).await?;
        let revision = &answer["taskDefinition"]["revision"];
        (revision == 1).then_some(()).with_context(|| format!("revision {revision}: {answer}"))
    }

    /// Makes a user who may do nothing, and gives the ID and the secret of an access key.
    ///
    /// # Errors
    /// If it is refused.
    pub async fn user_without_rights(&self, name: &str) -> Result<(String, String)> {
        self.iam(&format!("Action=CreateUser&Version=2010-05-08&UserName={name}")).await?;
        let key =
            self.iam(&format!("Action=CreateAccessKey&Version=2010-05-08&UserName={name}")).await?;
        let pair = field(&key, "AccessKeyId").zip(field(&key, "SecretAccessKey"));
        pair.with_context(|| format!("no access key in {key}"))
    }

    /// From now on every call needs a signature and the permission for it.
    ///
    /// # Errors
    /// If it does not answer.
    pub async fn enforce_rights(&self) -> Result<()> {
        self.post("/moto-api/reset-auth", &[], "0".to_owned()).await.map(drop)
    }

    /// A call of the ECS API.
    async fn ecs(&self, region: &str, action: &str, body: &Value) -> Result<Value> {
        let target = format!("AmazonEC2ContainerServiceV20141113.{action}");
        self.json(region, "ecs", &target, body).await
    }

    /// A call of an API that speaks JSON.
    async fn json(&self, region: &str, service: &str, target: &str, body: &Value) -> Result<Value> {
        let headers = [
            ("X-Amz-Target", target),
            ("Content-Type", "application/x-amz-json-1.1"),
            ("Authorization", &unsigned(region, service)),
        ];
        Ok(serde_json::from_str(&self.post("/", &headers, body.to_string()).await?)?)
    }

    async fn iam(&self, form: &str) -> Result<String> {
        self.query("iam", form).await
    }

    /// A call of an API that takes forms and answers with XML.
    async fn query(&self, service: &str, form: &str) -> Result<String> {
        let headers = [
            ("Content-Type", "application/x-www-form-urlencoded"),
            ("Authorization", &unsigned("us-east-1", service)),
        ];
        self.post("/", &headers, form.to_owned()).await
    }

    async fn post(&self, path: &str, headers: &[(&str, &str)], body: String) -> Result<String> {
        let url = format!("{}{path}", self.url);
        let headers: Vec<_> =
            headers.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
        self.host
            .spawn(move || async move {
                // A second installation fails and changes nothing.
                drop(rustls::crypto::ring::default_provider().install_default());
                let client = reqwest::Client::builder()
                    .no_proxy()
                    .tls_certs_only([])
                    .timeout(Duration::from_secs(20))
                    .build()?;
                let mut request = client.post(url).body(body);
                for (name, value) in headers {
                    request = request.header(name, value);
                }
                let answer = request.send().await?;
                let status = answer.status();
                let text = answer.text().await?;
                if !status.is_success() {
                    bail!("moto: {status}: {text}");
                }
                Ok(text)
            })
            .await?
    }

    fn said(&self) -> String {
        let lines = self.process.output().snapshot();
        lines.into_iter().map(|line| line.text).collect::<Vec<_>>().join("\n")
    }
}

/// The text of the first element of this name.
fn field(xml: &str, tag: &str) -> Option<String> {
    let (_, rest) = xml.split_once(&format!("<{tag}>"))?;
    Some(rest.split_once('<')?.0.to_owned())
}

/// Says whom a call is for. Until rights are enforced nobody looks at the signature.
fn unsigned(region: &str, service: &str) -> String {
    format!(
        "AWS4-HMAC-SHA256 Credential=AKIATESTBED/20260101/{region}/{service}/aws4_request, \
         SignedHeaders=host, Signature=0"
    )
}
