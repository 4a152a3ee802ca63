//! The secrets that the configuration refers to, and the variables that the agent's further configuration names: what is
//! on this machine is read before anything starts.

use crate::actors::Secrets;
use crate::config::{Config, Env, Pem, PemError, Secret, SecretError};
use crate::consul;
use secrecy::{ExposeSecret, SecretString};
use std::collections::BTreeMap;

/// What is not there, or is not what it should be.
#[derive(Debug, thiserror::Error)]
pub enum SecretsError {
    /// A secret is not there.
    #[error("{path}: {source}")]
    Secret {
        /// Where in the configuration.
        path: &'static str,
        /// Why.
        source: SecretError,
    },
    /// A certificate or key cannot be one.
    #[error("{path}: {source}")]
    Pem {
        /// Where in the configuration.
        path: &'static str,
        /// Why.
        source: PemError,
    },
    /// Variables in `consul.extraConfig` have no value.
    #[error(
        "consul.extraConfig: not set in the environment: {}; write \\$ for a dollar sign that is meant as such",
        .0.join(", ")
    )]
    Variables(Vec<String>),
}

/// Reads one, if there is one; `path` is where it stands in the configuration.
pub(crate) fn get(
    path: &'static str,
    secret: Option<&Secret>,
    env: &dyn Env,
) -> Result<Option<SecretString>, SecretsError> {
    let read = secret.map(|secret| secret.resolve(env));
    read.transpose().map_err(|source| SecretsError::Secret { path, source })
}

/// Whether a text, if there is one, can be what it should be.
pub(crate) fn check_pem(
    path: &'static str,
    pem: Pem,
    text: Option<&SecretString>,
) -> Result<(), SecretsError> {
    let checked = text.map_or(Ok(()), |text| pem.check(text.expose_secret()));
    checked.map_err(|source| SecretsError::Pem { path, source })
}

/// Reads what can be read at once. What is in Secrets Manager is asked for later, and so is a token whose file is not
/// there yet.
///
/// # Errors
/// The first that cannot be had, and will not come by waiting.
pub(super) fn resolve(config: &Config, env: &dyn Env) -> Result<Secrets, SecretsError> {
    let consul = &config.consul;
    let mut secrets = Secrets::with_variables(variables(consul.extra_config.as_deref(), env)?);
    for (item, secret) in consul.secrets() {
        match get(item.path(), Some(secret), env) {
            Ok(Some(text)) => {
                if let Some(pem) = item.pem() {
                    check_pem(item.path(), pem, Some(&text))?;
                }
                secrets.put(item, text);
            }
            Ok(None) => {}
            Err(_) if matches!(secret, Secret::SecretsManager(_)) => {}
            // Whoever writes it may start after us.
            Err(_) if item.is_token() && matches!(secret, Secret::File(_)) => {}
            Err(error) => return Err(error),
        }
    }
    Ok(secrets)
}

/// The values of the variables that `consul.extraConfig` names. Any variable may be named, also one that holds a
/// secret: the user wrote it there, the file is as private as the agent's own configuration, and what is printed has
/// the names.
fn variables(
    text: Option<&str>,
    env: &dyn Env,
) -> Result<BTreeMap<String, SecretString>, SecretsError> {
    let (mut values, mut missing) = (BTreeMap::new(), Vec::new());
    for name in text.map(consul::extra_config_variables).unwrap_or_default() {
        match env.var(name).and_then(|value| value.into_string().ok()) {
            // These two are known without the environment, the address only once the task is.
            _ if [consul::TASK_ADDRESS, consul::DATACENTER].contains(&name) => {}
            Some(value) => drop(values.insert(name.to_owned(), SecretString::from(value))),
            None => missing.push(name.to_owned()),
        }
    }
    if missing.is_empty() { Ok(values) } else { Err(SecretsError::Variables(missing)) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::SecretItem;
    use serde_json::{Value, json};

    const CERT: &str = "-----BEGIN CERTIFICATE-----\nAA==\n-----END CERTIFICATE-----";

    fn resolved(consul: Value, env: &[(&str, &str)]) -> Result<Secrets, String> {
        let mut config = json!({ "service": { "port": 1 }, "consul": consul });
        config["consul"]["retryJoin"] = json!(["x"]);
        let config: Config = serde_json::from_value(config).unwrap();
        let env: BTreeMap<_, _> =
            env.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
        resolve(&config, &env).map_err(|e| e.to_string())
    }

    #[test]
    fn a_ca_comes_from_text_or_from_a_file_and_may_be_a_bundle() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("ca.pem");
        let bundle = format!("{CERT}\n{CERT}");
        std::fs::write(&file, format!("{bundle}\n")).unwrap();
        let by_file = resolved(json!({ "tls": { "ca": { "file": file } } }), &[]).unwrap();
        let by_text =
            resolved(json!({ "tls": { "ca": { "env": "CA" } } }), &[("CA", &bundle)]).unwrap();
        for secrets in [by_file, by_text] {
            assert_eq!(secrets.get(SecretItem::Ca).unwrap().expose_secret(), bundle);
        }
    }

    #[test]
    fn what_cannot_be_a_certificate_or_key_is_refused_by_name() {
        let tls = json!({ "tls": {
            "ca": { "env": "CA" }, "cert": { "env": "CERT" }, "key": { "env": "KEY" }, "autoEncrypt": false,
        }});
        let refused = |ca: &str, cert: &str, key: &str| {
            let env = [("CA", ca), ("CERT", cert), ("KEY", key)];
            resolved(tls.clone(), &env).map(drop).unwrap_err()
        };
        assert!(refused("s3cret", CERT, "x").starts_with("consul.tls.ca: holds no PEM"));
        assert!(refused("/ca.pem", CERT, "x").starts_with("consul.tls.ca: is the path of a file"));
        assert!(refused(CERT, "x", "x").starts_with("consul.tls.cert: holds no PEM"));
        let key = refused(CERT, CERT, "s3cret");
        assert!(key.starts_with("consul.tls.key: holds no PEM") && !key.contains("s3cret"));
    }

    #[test]
    fn a_token_may_come_later_by_a_file_or_from_elsewhere_and_nothing_else_may() {
        let there =
            |consul: Value, item| resolved(consul, &[]).map(|secrets| secrets.get(item).is_some());
        let (file, stored) =
            (json!({ "file": "/none" }), json!({ "secretsManager": { "secretId": "x" } }));
        for source in [&file, &stored] {
            let token = json!({ "serviceToken": source });
            assert_eq!(there(token, SecretItem::ServiceToken), Ok(false), "{source}");
        }
        assert_eq!(there(json!({ "gossipKey": stored }), SecretItem::GossipKey), Ok(false));
        let error = there(json!({ "gossipKey": file }), SecretItem::GossipKey).unwrap_err();
        assert!(error.starts_with("consul.gossipKey: file /none"), "{error}");
        let unset = json!({ "agentToken": { "env": "NONE" } });
        assert!(there(unset, SecretItem::AgentToken).unwrap_err().contains("NONE is not set"));
    }

    #[test]
    fn variables_that_are_not_set_are_all_named() {
        let extra = |text: &str, env: &[(&str, &str)]| {
            let found = resolved(json!({ "extraConfig": text }), env)?.variables;
            Ok::<_, String>(found.into_keys().collect::<Vec<_>>().join(" "))
        };
        let error = extra("a = \"$A $B ${C}\"", &[("B", "")]).unwrap_err();
        assert_eq!(
            error,
            "consul.extraConfig: not set in the environment: A, C; write \\$ for a dollar sign that is meant as such"
        );
        let known = extra("$ECS_IPV4 $CONSUL_DATACENTER $AGENT_TOKEN", &[("AGENT_TOKEN", "t")]);
        assert_eq!(known.as_deref(), Ok("AGENT_TOKEN"));
    }
}
