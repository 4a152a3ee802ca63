//! The configuration of `taskmesh controller`: its shape, its defaults, and how it is read.

use super::env::Env;
use super::error::{ConfigError, ConfigErrors, Finding};
use super::load::{Sources, text_of};
use super::model::text::{DurationText, SocketAddrText};
use super::model::{Log, Secret};
use super::path::Path;
use super::{EDITORS_KEY, json, schema_check};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use std::net::SocketAddr;
use std::sync::LazyLock;
use std::time::Duration;

/// The environment variable that holds the controller's configuration.
pub const CONTROLLER_VARIABLE: &str = "TASKMESH_CONTROLLER_CONFIG_JSON";

/// The configuration of `taskmesh controller`.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct ControllerConfig {
    /// What it does.
    pub controller: Controller,
    /// The Consul servers, or an agent that knows them.
    pub consul: ControllerConsul,
    /// The HTTP API with `/ready`, `/v1/status` and `/metrics`.
    pub admin: ControllerAdmin,
    /// Its own log.
    pub log: Log,
}

/// What the controller does.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct Controller {
    /// The ECS cluster, by name or ARN. Default: the one that the controller's own task runs in.
    pub cluster: Option<String>,
    /// Secrets are named `<prefix>-<service>`.
    #[schemars(length(min = 1))]
    pub secret_name_prefix: String,
    /// The secret of the agents of all tasks. Default: `<secretNamePrefix>-consul-client-token`.
    pub client_token_secret: Option<String>,
    /// From the end of one look at the tasks to the next.
    #[serde(with = "humantime_serde")]
    #[schemars(with = "DurationText")]
    pub interval: Duration,
    /// Token and policy of a service are deleted when it has had no task for so long.
    #[serde(with = "humantime_serde")]
    #[schemars(with = "DurationText")]
    pub grace_period: Duration,
    /// How often what cannot be seen in a list is read again: secrets, and whether tokens are still theirs.
    #[serde(with = "humantime_serde")]
    #[schemars(with = "DurationText")]
    pub audit_interval: Duration,
    /// Secrets that do not exist are made. Without it they must be there, as for the 0.4.3 controller.
    pub create_secrets: bool,
    /// Consul Enterprise: the partition whose services get tokens; made if it is missing. Default: the community's Consul.
    pub partition: Option<String>,
    /// Say what would be done, and change nothing.
    pub dry_run: bool,
    /// Several controllers of the cluster run, and one of them leads, by a key at Consul: its token needs `key:write` on
    /// `taskmesh/` and `session:write`.
    pub ha: bool,
}

impl Default for Controller {
    fn default() -> Self {
        Self {
            cluster: None,
            secret_name_prefix: "mesh".to_owned(),
            client_token_secret: None,
            interval: Duration::from_secs(2),
            grace_period: Duration::from_secs(300),
            audit_interval: Duration::from_secs(600),
            create_secrets: true,
            partition: None,
            dry_run: false,
            ha: false,
        }
    }
}

impl Controller {
    /// The name of the clients' secret.
    pub fn client_secret(&self) -> String {
        let default = || format!("{}-consul-client-token", self.secret_name_prefix);
        self.client_token_secret.clone().unwrap_or_else(default)
    }
}

/// How the controller reaches Consul.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct ControllerConsul {
    /// `http://` or `https://`, host and port. Default: CONSUL_HTTP_ADDR, as Consul's own client reads it, else
    /// `http://127.0.0.1:8500`.
    pub address: Option<String>,
    /// A token with `acl:write`. Default: CONSUL_HTTP_TOKEN, if it is set.
    pub token: Option<Secret>,
    /// TLS towards Consul.
    pub tls: ControllerTls,
}

/// TLS towards Consul.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct ControllerTls {
    /// The authority that has signed the servers' certificates, PEM. Default: CONSUL_CACERT_PEM, if it is set; else those
    /// that the machine trusts.
    pub ca: Option<Secret>,
}

/// The controller's HTTP API.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct ControllerAdmin {
    /// Address and port.
    #[schemars(with = "SocketAddrText")]
    pub listen: SocketAddr,
}

impl Default for ControllerAdmin {
    fn default() -> Self {
        Self { listen: SocketAddr::from(([127, 0, 0, 1], 19101)) }
    }
}

/// A controller's configuration that may be started.
#[derive(Debug, Clone, PartialEq)]
pub struct LoadedController {
    /// With its defaults.
    pub config: ControllerConfig,
    /// What was accepted, but is probably not what the user wants. One sentence each.
    pub warnings: Vec<String>,
}

/// The JSON schema of [`ControllerConfig`].
pub(super) fn controller_schema() -> &'static Value {
    static SCHEMA: LazyLock<Value> = LazyLock::new(|| {
        super::with_editors_key(
            schemars::schema_for!(ControllerConfig),
            "taskmesh controller configuration",
        )
        .to_value()
    });
    &SCHEMA
}

/// Reads and checks the controller's configuration: `--config`, else `TASKMESH_CONTROLLER_CONFIG_JSON`; without either,
/// all is as the defaults have it.
///
/// # Errors
/// Every error at once, in the order of their paths.
pub fn load_controller(sources: &Sources, env: &dyn Env) -> Result<LoadedController, ConfigErrors> {
    let one = |path: String, message: String| ConfigErrors(vec![ConfigError { path, message }]);
    let (name, text) = match text_of(sources, CONTROLLER_VARIABLE, env)? {
        Some(given) => given,
        None => ("defaults".to_owned(), "{}".to_owned()),
    };
    let (mut document, twice) =
        json::parse(&text).map_err(|e| one(name.clone(), format!("not JSON: {e}")))?;
    let mut findings: Vec<_> = twice.into_iter().map(Finding::from).collect();
    findings.extend(schema_check::check(controller_schema(), &document));
    if let Some(document) = document.as_object_mut() {
        document.remove(EDITORS_KEY);
    }
    if findings.is_empty() {
        let config: ControllerConfig = serde_path_to_error::deserialize(&document)
            .map_err(|e| one(e.path().to_string(), e.inner().to_string()))?;
        findings.extend(rules(&config));
        if findings.is_empty() {
            let warnings = warnings(&config);
            return Ok(LoadedController { config, warnings });
        }
    }
    findings.sort();
    findings.dedup_by(|a, b| a.path == b.path && a.message == b.message);
    let errors = findings.into_iter();
    Err(ConfigErrors(
        errors.map(|f| ConfigError { path: f.path.to_string(), message: f.message }).collect(),
    ))
}

/// Rules that the schema cannot say.
fn rules(config: &ControllerConfig) -> Vec<Finding> {
    let mut found = Vec::new();
    let mut refuse =
        |path: &str, message: String| found.push(Finding::new(Path::of(path), message));
    let controller = &config.controller;
    // What Secrets Manager takes in a name.
    let is_name = |c: char| c.is_ascii_alphanumeric() || "/_+=.@-".contains(c);
    for (path, name) in [
        ("controller.secretNamePrefix", Some(&controller.secret_name_prefix)),
        ("controller.clientTokenSecret", controller.client_token_secret.as_ref()),
    ] {
        let Some(name) = name else { continue };
        if let Some(bad) = name.chars().find(|c| !is_name(*c)) {
            refuse(path, format!("{bad:?} cannot stand in a secret's name"));
        } else if name.is_empty() || name.len() > 200 {
            refuse(path, "must have 1 to 200 characters".to_owned());
        }
    }
    // Unquoted in rules.
    let is_plain = |name: &String| {
        !name.is_empty() && name.chars().all(|c| c.is_ascii_alphanumeric() || c == '-')
    };
    if controller.partition.as_ref().is_some_and(|name| !is_plain(name)) {
        refuse("controller.partition", "may only have letters, digits and hyphens".to_owned());
    }
    if controller.cluster.as_ref().is_some_and(|value| value.trim().is_empty()) {
        refuse("controller.cluster", "is empty: leave it out, or name one".to_owned());
    }
    for (path, value, least) in [
        ("controller.interval", controller.interval, Duration::from_millis(100)),
        ("controller.auditInterval", controller.audit_interval, Duration::from_secs(1)),
    ] {
        if value < least {
            refuse(path, format!("must be at least {}", super::show(least)));
        }
    }
    if let Some(address) = &config.consul.address
        && !address.starts_with("http://")
        && !address.starts_with("https://")
    {
        refuse("consul.address", "must begin with http:// or https://".to_owned());
    }
    found
}

fn warnings(config: &ControllerConfig) -> Vec<String> {
    let mut warnings = Vec::new();
    if config.controller.grace_period.is_zero() {
        warnings.push(
            "controller.gracePeriod is 0s: a service between two deployments loses its token"
                .to_owned(),
        );
    }
    if !config.admin.listen.ip().is_loopback() {
        warnings.push(format!(
            "admin.listen is {}: the API has no password, and is open to others",
            config.admin.listen
        ));
    }
    warnings
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::ffi::OsString;

    struct Vars(Option<&'static str>);

    impl Env for Vars {
        fn var(&self, name: &str) -> Option<OsString> {
            (name == CONTROLLER_VARIABLE).then(|| self.0.map(OsString::from))?
        }
    }

    fn load(text: &'static str) -> Result<LoadedController, String> {
        load_controller(&Sources::default(), &Vars(Some(text))).map_err(|e| e.to_string())
    }

    #[test]
    fn nothing_has_to_be_given() {
        let loaded = load_controller(&Sources::default(), &Vars(None)).unwrap();
        assert_eq!(loaded.config, ControllerConfig::default());
        assert_eq!(loaded.config.controller.client_secret(), "mesh-consul-client-token");
        assert!(loaded.warnings.is_empty());
    }

    #[test]
    fn every_error_is_told_at_once_with_its_path() {
        let text = r#"{"controller": {"gracePeriode": "5m", "interval": "soon"}, "consul": {"token": "x"}}"#;
        let errors = load(text).unwrap_err();
        for words in
            ["controller.gracePeriode", "gracePeriod", "controller.interval", "consul.token"]
        {
            assert!(errors.contains(words), "{words}: {errors}");
        }
        let text = r#"{"controller": {"secretNamePrefix": "a b", "interval": "1ms", "cluster": " ", "partition": "a\"b"},
            "consul": {"address": "127.0.0.1:8500"}}"#;
        let errors = load(text).unwrap_err();
        for path in [
            "controller.secretNamePrefix",
            "controller.interval",
            "controller.cluster",
            "controller.partition",
            "consul.address",
        ] {
            assert!(errors.contains(path), "{path}: {errors}");
        }
    }

    #[test]
    fn what_is_dangerous_is_warned_of() {
        let text = r#"{"controller": {"gracePeriod": "0s"}, "admin": {"listen": "0.0.0.0:19101"}}"#;
        assert_eq!(load(text).unwrap().warnings.len(), 2);
    }
}
