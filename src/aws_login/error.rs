//! Why a login failed, in words for people.

use crate::consul;

/// Why there is no token, and what to do about it.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum LoginError {
    /// The configuration cannot be used here.
    #[error("cannot log in to Consul: {0}")]
    Config(String),
    /// Nobody gives credentials: no task role, or the endpoint for them is away.
    #[error(
        "cannot log in to Consul: no AWS credentials: {0}; the task needs a task role (taskRoleArn)"
    )]
    Credentials(String),
    /// STS does not say who we are.
    #[error("cannot log in to Consul: STS does not say who this task is: {0}")]
    Identity(String),
    /// Credentials of somebody who is no role.
    #[error(
        "cannot log in to Consul: {0} is neither an IAM role nor an IAM user; set consul.login.includeEntity to false, \
         and EnableIAMEntityDetails of the auth method, too"
    )]
    NoEntity(String),
    /// There is no auth method of this name.
    #[error(
        "Consul has no auth method {method:?}: make one of the type aws-iam (Consul 1.12 or later), or correct consul.login"
    )]
    NoMethod {
        /// Its name.
        method: String,
    },
    /// The proof is good, and gives nothing.
    #[error(
        "Consul's auth method {method:?} gives this task no token: no binding rule of it is for this IAM role (consul acl \
         binding-rule list -method={method})"
    )]
    NoRule {
        /// The auth method.
        method: String,
    },
    /// The method does not take the proof.
    #[error("Consul's auth method {method:?} does not let this task in: {words}{advice}")]
    Refused {
        /// The auth method.
        method: String,
        /// Consul's words.
        words: String,
        /// What is to be done, where the words tell.
        advice: &'static str,
    },
    /// No answer, or one that may be another one next time.
    #[error("cannot log in to Consul: {0}")]
    Consul(consul::Error),
}

/// Words of Consul's servers by which a proof is refused, as `consul-awsauth` has them, and what to do then.
const REFUSALS: [(&str, &str); 8] = [
    ("is not trusted", "; name the task role in BoundIAMPrincipalARNs"),
    (
        "X-Consul-IAM-GetEntity",
        "; the auth method has EnableIAMEntityDetails: set consul.login.includeEntity to true",
    ),
    (
        "X-Consul-IAM-ServerID",
        "; set consul.login.serverIdHeader to the auth method's ServerIDHeaderValue",
    ),
    ("but got", "; set consul.login.serverIdHeader to the auth method's ServerIDHeaderValue"),
    ("invalid STS hostname", "; set STSEndpoint of the auth method, too"),
    ("invalid IAM hostname", "; set IAMEndpoint of the auth method, too"),
    (
        "received error code 403",
        "; AWS refuses it: the role must be allowed iam:GetRole on itself, and the clock be right",
    ),
    ("invalid token", ""),
];

impl LoginError {
    /// Sorts what `acl/login` of `method` answered.
    pub(super) fn of(method: &str, error: consul::Error) -> Self {
        let method = method.to_owned();
        if error.is_unknown_token() {
            return Self::NoMethod { method };
        }
        match error.refusal() {
            Some((403, "Permission denied")) => Self::NoRule { method },
            Some((429, _)) => Self::Consul(error),
            Some((_, words)) => {
                let known = REFUSALS.iter().find(|(says, _)| words.contains(says));
                match known {
                    Some((_, advice)) => Self::Refused { method, words: words.to_owned(), advice },
                    None if error.is_client_error() => {
                        Self::Refused { method, words: words.to_owned(), advice: "" }
                    }
                    None => Self::Consul(error),
                }
            }
            None => Self::Consul(error),
        }
    }

    /// It passes by itself: somebody is away or not ready. The others are cured by a person, who may do so without
    /// touching the task, so that they are worth another try as well, though a rarer one.
    pub(crate) fn may_pass(&self) -> bool {
        matches!(self, Self::Credentials(_) | Self::Identity(_) | Self::Consul(_))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sorted(status: u16, words: &str) -> (String, bool) {
        let error = consul::Error::Status { call: "acl/login", status, body: words.to_owned() };
        let error = LoginError::of("m", error);
        (error.to_string(), error.may_pass())
    }

    #[test]
    fn what_a_person_must_do_is_said() {
        for (status, words, says) in [
            (403, "ACL not found", "no auth method \"m\""),
            (403, "ACL not found: auth method \"m\" not found", "no auth method \"m\""),
            (403, "Permission denied", "no binding rule"),
            (500, "IAM principal arn:aws:iam::1:role/x is not trusted", "BoundIAMPrincipalARNs"),
            (500, "missing header \"X-Consul-IAM-GetEntity-Method\"", "includeEntity to true"),
            (500, "missing header \"X-Consul-IAM-ServerID\"", "serverIdHeader"),
            (500, "expected \"a\" but got \"b\"", "serverIdHeader"),
            (500, "invalid STS hostname: \"sts.example.com\"", "STSEndpoint"),
            (500, "received error code 403: <ErrorResponse>", "iam:GetRole"),
            (401, "ACL support disabled", "ACL support disabled"),
        ] {
            let (said, may_pass) = sorted(status, words);
            assert!(said.contains(says) && !may_pass, "{words}: {said}");
        }
    }

    #[test]
    fn what_passes_by_itself_is_told_from_it() {
        for (status, words) in [
            (500, "No known Consul servers"),
            (500, "rpc error making call: No cluster leader"),
            (500, "error making request: Post \"https://sts.amazonaws.com\": i/o timeout"),
            (429, "Your IP is issuing too many concurrent connections"),
        ] {
            let (said, may_pass) = sorted(status, words);
            assert!(said.contains(words) && may_pass, "{said}");
        }
    }
}
