//! A secret's reference to the secret itself.

use super::env::Env;
use super::model::{Consul, Secret};
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
        }
    }
}

impl Consul {
    /// Names of the environment variables that secrets come from: no child of ours has a use for them.
    pub fn secret_variables(&self) -> Vec<&str> {
        let own = [&self.gossip_key, &self.agent_token, &self.service_token];
        let tls =
            self.tls.iter().flat_map(|tls| [Some(&tls.ca), tls.cert.as_ref(), tls.key.as_ref()]);
        own.into_iter()
            .map(Option::as_ref)
            .chain(tls)
            .filter_map(|secret| match secret? {
                Secret::Env(name) => Some(name.as_str()),
                Secret::File(_) => None,
            })
            .collect()
    }
}

fn trimmed(raw: String) -> Option<SecretString> {
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
