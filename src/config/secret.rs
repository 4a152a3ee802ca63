//! A secret's reference to the secret itself.

use super::env::Env;
use super::model::{Consul, Secret, StoredSecret};
use super::pem::Pem;
use secrecy::SecretString;
use secrecy::zeroize::Zeroizing;
use std::path::PathBuf;

/// Why a secret could not be had. Never says anything of its value.
#[derive(Debug, thiserror::Error)]
pub enum SecretError {
    /// The environment variable is not set.
    #[error("environment variable {0} is not set")]
    NotSet(String),
    /// The environment variable's value is not text.
    #[error("environment variable {0} is not UTF-8")]
    VariableNotText(String),
    /// The environment variable holds nothing but white space.
    #[error("environment variable {0} is empty")]
    VariableEmpty(String),
    /// The file is missing, not readable, or not text.
    #[error("file {path}: {error}")]
    Unreadable {
        /// As it stands in the configuration.
        path: PathBuf,
        /// What reading it said.
        #[source]
        error: std::io::Error,
    },
    /// The file holds nothing but white space.
    #[error("file {0} is empty")]
    FileEmpty(PathBuf),
    /// It is not on this machine: whoever needs it has to ask for it.
    #[error("{0} has to be asked of Secrets Manager")]
    Elsewhere(StoredSecret),
}

impl Secret {
    /// Reads the secret, without the white space around it: files end in a line break more often than not.
    ///
    /// # Errors
    /// It is missing, empty or not text.
    pub fn resolve(&self, env: &dyn Env) -> Result<SecretString, SecretError> {
        match self {
            Self::Env(name) => {
                let raw = env.var(name).ok_or_else(|| SecretError::NotSet(name.clone()))?;
                let raw =
                    raw.into_string().map_err(|_| SecretError::VariableNotText(name.clone()))?;
                trimmed(raw).ok_or_else(|| SecretError::VariableEmpty(name.clone()))
            }
            Self::File(path) => {
                let raw = std::fs::read_to_string(path)
                    .map_err(|error| SecretError::Unreadable { path: path.clone(), error })?;
                trimmed(raw).ok_or_else(|| SecretError::FileEmpty(path.clone()))
            }
            Self::SecretsManager(stored) => Err(SecretError::Elsewhere(stored.clone())),
        }
    }
}

/// One of the secrets that a task may have.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) enum SecretItem {
    AgentToken,
    ServiceToken,
    GossipKey,
    /// PEM, as are the next two.
    Ca,
    Cert,
    Key,
}

impl SecretItem {
    /// Where its reference stands in the configuration.
    pub(crate) fn path(self) -> &'static str {
        match self {
            Self::AgentToken => "consul.agentToken",
            Self::ServiceToken => "consul.serviceToken",
            Self::GossipKey => "consul.gossipKey",
            Self::Ca => "consul.tls.ca",
            Self::Cert => "consul.tls.cert",
            Self::Key => "consul.tls.key",
        }
    }

    /// What its text has to be, where that can be told.
    pub(crate) fn pem(self) -> Option<Pem> {
        match self {
            Self::AgentToken | Self::ServiceToken | Self::GossipKey => None,
            Self::Ca | Self::Cert => Some(Pem::Certificate),
            Self::Key => Some(Pem::PrivateKey),
        }
    }

    /// Others than tokens are read once, before the agent starts: it keeps them for its life.
    pub(crate) fn is_token(self) -> bool {
        matches!(self, Self::AgentToken | Self::ServiceToken)
    }
}

impl Consul {
    /// All references to secrets.
    pub(crate) fn secrets(&self) -> impl Iterator<Item = (SecretItem, &Secret)> {
        let tls = self.tls.as_ref();
        [
            (SecretItem::GossipKey, self.gossip_key.as_ref()),
            (SecretItem::AgentToken, self.agent_token.as_ref()),
            (SecretItem::ServiceToken, self.service_token.as_ref()),
            (SecretItem::Ca, tls.map(|tls| &tls.ca)),
            (SecretItem::Cert, tls.and_then(|tls| tls.cert.as_ref())),
            (SecretItem::Key, tls.and_then(|tls| tls.key.as_ref())),
        ]
        .into_iter()
        .filter_map(|(item, secret)| Some((item, secret?)))
    }

    /// Names of the environment variables that secrets come from: no child of ours has a use for them.
    pub fn secret_variables(&self) -> Vec<&str> {
        self.secrets()
            .filter_map(|(_, secret)| match secret {
                Secret::Env(name) => Some(name.as_str()),
                Secret::File(_) | Secret::SecretsManager(_) => None,
            })
            .collect()
    }
}

/// A secret without the white space around it; `None` if nothing is left.
pub(crate) fn trimmed(raw: String) -> Option<SecretString> {
    let raw = Zeroizing::new(raw);
    let text = raw.trim();
    (!text.is_empty()).then(|| SecretString::from(text))
}

#[cfg(test)]
mod tests {
    use super::*;
    use secrecy::ExposeSecret;
    use std::collections::BTreeMap;

    fn env(name: &str, value: &str) -> BTreeMap<String, String> {
        BTreeMap::from([(name.to_owned(), value.to_owned())])
    }

    #[test]
    fn a_variable_is_read_without_the_white_space_around_it() {
        let secret = Secret::Env("TOKEN".to_owned()).resolve(&env("TOKEN", " s3cret\n")).unwrap();
        assert_eq!(secret.expose_secret(), "s3cret");
    }

    #[test]
    fn a_missing_and_an_empty_variable_are_told_apart() {
        let secret = Secret::Env("TOKEN".to_owned());
        assert!(
            matches!(secret.resolve(&env("OTHER", "x")), Err(SecretError::NotSet(name)) if name == "TOKEN")
        );
        assert!(matches!(secret.resolve(&env("TOKEN", " \n")), Err(SecretError::VariableEmpty(_))));
    }

    #[test]
    fn a_file_is_read_and_a_missing_or_empty_one_is_named() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("token");
        let secret = Secret::File(path.clone());
        let none = BTreeMap::new();
        let error = secret.resolve(&none).unwrap_err();
        assert!(error.to_string().contains(path.to_str().unwrap()), "{error}");
        std::fs::write(&path, "\n").unwrap();
        assert!(matches!(secret.resolve(&none), Err(SecretError::FileEmpty(_))));
        std::fs::write(&path, "s3cret\r\n").unwrap();
        assert_eq!(secret.resolve(&none).unwrap().expose_secret(), "s3cret");
    }

    #[test]
    fn every_variable_that_a_secret_comes_from_is_known() {
        let consul = r#"{"retryJoin": ["x"], "gossipKey": {"env": "A"}, "agentToken": {"env": "B"},
            "serviceToken": {"env": "C"},
            "tls": {"ca": {"env": "D"}, "cert": {"file": "/run/c"}, "key": {"env": "E"}}}"#;
        let mut consul: Consul = serde_json::from_str(consul).unwrap();
        assert_eq!(consul.secret_variables(), ["A", "B", "C", "D", "E"]);
        consul.agent_token = Some(Secret::File("/run/b".into()));
        consul.tls = None;
        assert_eq!(consul.secret_variables(), ["A", "C"]);
    }

    #[test]
    fn neither_the_secret_nor_its_debug_form_shows_the_value() {
        let secret = Secret::Env("TOKEN".to_owned()).resolve(&env("TOKEN", "s3cret")).unwrap();
        assert!(!format!("{secret:?}").contains("s3cret"));
    }
}
