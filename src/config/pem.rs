//! Whether a text can be PEM at all. What the certificates in it say is the agent's business; but it says it late,
//! and in words in which nobody finds the mistake again: a path where the text should be, line breaks written as
//! `\n`.

/// What a PEM text must hold.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Pem {
    /// One certificate or several.
    Certificate,
    /// A private key, in the clear.
    PrivateKey,
}

/// Why a text is not what it should be. Says nothing of what it holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[allow(missing_docs)]
pub enum PemError {
    #[error("holds no PEM: no line is -----BEGIN CERTIFICATE-----")]
    NoCertificate,
    #[error("holds no PEM: no line is -----BEGIN PRIVATE KEY-----, with RSA or EC perhaps")]
    NoKey,
    #[error("is the path of a file, not PEM text: write {{\"file\": \"..\"}} in the configuration")]
    Path,
    #[error("has its line breaks written as \\n: PEM needs real ones")]
    EscapedLines,
    #[error("is PEM without its line breaks, which it needs")]
    NoLines,
    #[error("is an encrypted key, and Consul has no passphrase for it: decrypt it")]
    EncryptedKey,
}

impl Pem {
    /// Looks for the marker that a text of this kind begins with.
    ///
    /// # Errors
    /// See [`PemError`].
    pub fn check(self, text: &str) -> Result<(), PemError> {
        let is_marker = |line: &str| {
            let label =
                line.trim().strip_prefix("-----BEGIN ").and_then(|l| l.strip_suffix("-----"));
            label.is_some_and(|label| match self {
                Self::Certificate => label == "CERTIFICATE",
                Self::PrivateKey => label.ends_with("PRIVATE KEY"),
            })
        };
        let Some(marker) = text.lines().find(|line| is_marker(line)) else {
            return Err(self.why_not(text.trim()));
        };
        // Old keys say it in a header.
        let encrypted = marker.contains("ENCRYPTED") || text.contains("Proc-Type: 4,ENCRYPTED");
        match self {
            Self::PrivateKey if encrypted => Err(PemError::EncryptedKey),
            _ => Ok(()),
        }
    }

    fn why_not(self, text: &str) -> PemError {
        match self {
            _ if text.contains("-----BEGIN") && text.contains("\\n") => PemError::EscapedLines,
            _ if text.contains("-----BEGIN") && !text.contains('\n') => PemError::NoLines,
            _ if text.starts_with('/') && !text.contains(char::is_whitespace) => PemError::Path,
            Self::Certificate => PemError::NoCertificate,
            Self::PrivateKey => PemError::NoKey,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const CERT: &str = "-----BEGIN CERTIFICATE-----\nAA==\n-----END CERTIFICATE-----";

    #[test]
    fn only_the_marker_is_looked_for_and_the_usual_mistakes_are_named() {
        let key = |kind: &str| format!("-----BEGIN {kind}-----\nAA==\n-----END {kind}-----");
        for (pem, text, expected) in [
            (Pem::Certificate, CERT.to_owned(), Ok(())),
            (Pem::Certificate, format!("# our root\r\n{CERT}\r\n{CERT}"), Ok(())),
            (Pem::Certificate, "garbage".to_owned(), Err(PemError::NoCertificate)),
            (Pem::Certificate, key("PRIVATE KEY"), Err(PemError::NoCertificate)),
            (Pem::Certificate, "/consul/ca.pem".to_owned(), Err(PemError::Path)),
            (Pem::Certificate, CERT.replace('\n', "\\n"), Err(PemError::EscapedLines)),
            (Pem::Certificate, CERT.replace('\n', " "), Err(PemError::NoLines)),
            (Pem::PrivateKey, key("PRIVATE KEY"), Ok(())),
            (Pem::PrivateKey, key("EC PRIVATE KEY"), Ok(())),
            (Pem::PrivateKey, key("RSA PRIVATE KEY"), Ok(())),
            (Pem::PrivateKey, CERT.to_owned(), Err(PemError::NoKey)),
            (Pem::PrivateKey, key("ENCRYPTED PRIVATE KEY"), Err(PemError::EncryptedKey)),
            (
                Pem::PrivateKey,
                key("RSA PRIVATE KEY").replace("\nAA", "\nProc-Type: 4,ENCRYPTED\n\nAA"),
                Err(PemError::EncryptedKey),
            ),
        ] {
            assert_eq!(pem.check(&text), expected, "{text}");
        }
    }
}
