//! The secrets that the task has now. Tokens are replaced while it runs.

use crate::config::SecretItem;
use secrecy::SecretString;
use std::collections::BTreeMap;
use std::sync::{Arc, PoisonError, RwLock};

/// Secrets that are there.
#[derive(Clone, Default)]
pub(crate) struct Secrets {
    held: BTreeMap<SecretItem, SecretString>,
    /// The variables that `consul.extraConfig` names, with their values.
    pub(crate) variables: BTreeMap<String, SecretString>,
}

impl Secrets {
    /// None but these variables.
    pub(crate) fn with_variables(variables: BTreeMap<String, SecretString>) -> Self {
        Self { variables, ..Self::default() }
    }

    pub(crate) fn get(&self, item: SecretItem) -> Option<&SecretString> {
        self.held.get(&item)
    }

    pub(crate) fn put(&mut self, item: SecretItem, secret: SecretString) {
        self.held.insert(item, secret);
    }
}

/// What all actors see. Cheap to clone; clones share.
#[derive(Clone, Default)]
pub(crate) struct Keyring(Arc<RwLock<Arc<Secrets>>>);

impl Keyring {
    pub(crate) fn new(secrets: Secrets) -> Self {
        Self(Arc::new(RwLock::new(Arc::new(secrets))))
    }

    /// As they are now.
    pub(crate) fn now(&self) -> Arc<Secrets> {
        // A poisoned lock only means that a thread died while it replaced one value.
        self.0.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// One of them, as it is now.
    pub(crate) fn get(&self, item: SecretItem) -> Option<SecretString> {
        self.now().get(item).cloned()
    }

    /// Puts another one in its place.
    pub(crate) fn put(&self, item: SecretItem, secret: SecretString) {
        let mut held = self.0.write().unwrap_or_else(PoisonError::into_inner);
        Arc::make_mut(&mut held).put(item, secret);
    }
}
