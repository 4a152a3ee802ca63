//! A token itself: never shown, and wiped from memory when it is dropped.

use secrecy::{ExposeSecret, SecretString};

/// See the module's text.
#[derive(Debug, Clone)]
pub(crate) struct Hidden(SecretString);

impl Hidden {
    /// What goes into a secret or a request, and nowhere else.
    pub(crate) fn text(&self) -> &str {
        self.0.expose_secret()
    }

    pub(crate) fn secret(&self) -> &SecretString {
        &self.0
    }
}

impl From<String> for Hidden {
    fn from(text: String) -> Self {
        Self(text.into())
    }
}

impl From<SecretString> for Hidden {
    fn from(secret: SecretString) -> Self {
        Self(secret)
    }
}

/// Both sides are known to whoever compares: time tells nobody anything.
impl PartialEq for Hidden {
    fn eq(&self, other: &Self) -> bool {
        self.text() == other.text()
    }
}

impl Eq for Hidden {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_never_shown() {
        let hidden = Hidden::from("t0ken".to_owned());
        assert!(!format!("{hidden:?}").contains("t0ken"));
        assert_eq!(hidden, Hidden::from("t0ken".to_owned()));
    }
}
