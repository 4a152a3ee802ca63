//! Tokens and what they may do: Consul's rules, cut to the resources this mesh has.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

/// What is asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Access {
    /// See it.
    Read,
    /// Change it.
    Write,
}

/// One rule, e.g. `service_prefix "" { policy = "read" }`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct Rule {
    resource: String,
    prefix: bool,
    name: String,
    policy: String,
}

impl Rule {
    fn new(resource: &str, prefix: bool, name: &str, policy: &str) -> Self {
        Self { resource: resource.into(), prefix, name: name.into(), policy: policy.into() }
    }
}

/// A token of the mesh.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub(crate) struct Token {
    pub(crate) secret: String,
    pub(crate) accessor: String,
    pub(crate) policies: Vec<String>,
    pub(crate) services: Vec<String>,
    pub(crate) nodes: Vec<String>,
    #[serde(default)]
    pub(crate) description: String,
    /// The auth method of the login that it came by.
    #[serde(default)]
    pub(crate) method: String,
    #[serde(default)]
    pub(crate) created: Option<jiff::Timestamp>,
    #[serde(default)]
    pub(crate) expires: Option<jiff::Timestamp>,
}

/// All tokens and policies; lives at the server, copied to every agent (development only).
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub(crate) struct Acl {
    pub(crate) enabled: bool,
    pub(crate) default_deny: bool,
    pub(crate) policies: BTreeMap<String, Vec<Rule>>,
    /// By secret.
    pub(crate) tokens: BTreeMap<String, Token>,
}

/// The built-in policy that allows everything.
pub(crate) const MANAGEMENT: &str = "global-management";

impl Acl {
    /// What the token with this secret may do; `None` if there is no such token.
    pub(crate) fn authz(&self, secret: &str) -> Option<Authz> {
        if !self.enabled {
            return Some(Authz::all());
        }
        if secret.is_empty() {
            return Some(Authz {
                accessor: None,
                rules: Some(Vec::new()),
                default_allow: !self.default_deny,
            });
        }
        let token = self.tokens.get(secret)?;
        let mut rules = Vec::new();
        for policy in &token.policies {
            if policy == MANAGEMENT {
                return Some(Authz { accessor: Some(token.accessor.clone()), ..Authz::all() });
            }
            rules.extend(self.policies.get(policy).into_iter().flatten().cloned());
        }
        for service in &token.services {
            rules.extend(service_rules(service));
        }
        for node in &token.nodes {
            rules.push(Rule::new("node", false, node, "write"));
            rules.push(Rule::new("service", true, "", "read"));
        }
        Some(Authz {
            accessor: Some(token.accessor.clone()),
            rules: Some(rules),
            default_allow: !self.default_deny,
        })
    }
}

/// The rights of a service identity, which are also those of consul-ecs 0.4.3's service tokens.
pub(crate) fn service_rules(service: &str) -> Vec<Rule> {
    vec![
        Rule::new("service", false, service, "write"),
        Rule::new("service", false, &format!("{service}-sidecar-proxy"), "write"),
        Rule::new("service", true, "", "read"),
        Rule::new("node", true, "", "read"),
    ]
}

/// The rights of consul-ecs 0.4.3's client token.
pub(crate) fn agent_rules() -> Vec<Rule> {
    vec![Rule::new("node", true, "", "write"), Rule::new("service", true, "", "read")]
}

/// Parses the policy language as far as `resource "name" { policy = "p" }` and `resource = "p"`.
pub(crate) fn parse_rules(text: &str) -> Result<Vec<Rule>, String> {
    let mut words = Vec::new();
    let mut chars = text.chars().peekable();
    while let Some(c) = chars.next() {
        match c {
            '"' => {
                words.push(format!(
                    "\"{}",
                    chars.by_ref().take_while(|c| *c != '"').collect::<String>()
                ));
            }
            '{' | '}' | '=' => words.push(c.to_string()),
            c if c.is_alphanumeric() || c == '_' => {
                let mut word = c.to_string();
                while let Some(c) = chars.next_if(|c| c.is_alphanumeric() || *c == '_') {
                    word.push(c);
                }
                words.push(word);
            }
            _ => {}
        }
    }
    let mut rules = Vec::new();
    let mut rest: &[String] = &words;
    while !rest.is_empty() {
        let (resource, name, policy, used) = match rest {
            [resource, eq, policy, ..] if eq == "=" => (resource, "\"", policy, 3),
            [resource, name, open, word, eq, policy, close, ..]
                if open == "{" && word == "policy" && eq == "=" && close == "}" =>
            {
                (resource, name.as_str(), policy, 7)
            }
            _ => return Err(format!("Failed to parse ACL rules near {rest:?}")),
        };
        let (resource, prefix) = match resource.strip_suffix("_prefix") {
            Some(resource) => (resource, true),
            None => (resource.as_str(), false),
        };
        let (name, policy) = (name.trim_matches('"'), policy.trim_matches('"'));
        rules.push(Rule::new(resource, prefix, name, policy));
        rest = &rest[used..];
    }
    Ok(rules)
}

/// A resolved caller.
#[derive(Debug, Clone)]
pub(crate) struct Authz {
    accessor: Option<String>,
    rules: Option<Vec<Rule>>,
    default_allow: bool,
}

impl Authz {
    /// May do everything.
    pub(crate) fn all() -> Self {
        Self { accessor: None, rules: None, default_allow: true }
    }

    /// The local token of an agent (`agent_recovery`): that agent, and nodes to read.
    pub(crate) fn recovery(node: &str) -> Self {
        let rules =
            vec![Rule::new("agent", false, node, "write"), Rule::new("node", true, "", "read")];
        Self { accessor: Some("agent-recovery".into()), rules: Some(rules), default_allow: false }
    }

    /// Nobody yet: the servers that know the tokens have not been reached.
    pub(crate) fn unknown() -> Self {
        Self {
            accessor: Some("primary-dc-down".into()),
            rules: Some(Vec::new()),
            default_allow: false,
        }
    }

    /// Whether the caller may: an exact rule wins, then the longest prefix, then the default.
    pub(crate) fn may(&self, resource: &str, name: &str, access: Access) -> bool {
        let Some(rules) = &self.rules else { return true };
        let same = rules.iter().filter(|r| r.resource == resource);
        let best = same
            .filter(|r| if r.prefix { name.starts_with(&r.name) } else { r.name == name })
            .max_by_key(|r| (!r.prefix, r.name.len(), r.policy == "write"));
        match best {
            Some(rule) => match rule.policy.as_str() {
                "write" => true,
                "read" => access == Access::Read,
                _ => false,
            },
            None => self.default_allow,
        }
    }

    /// The text of the 403 when the caller may not.
    pub(crate) fn check(&self, resource: &str, name: &str, access: Access) -> Result<(), String> {
        if self.may(resource, name, access) {
            return Ok(());
        }
        let access = if access == Access::Read { "read" } else { "write" };
        let what = if name.is_empty() { String::new() } else { format!(" on \"{name}\"") };
        Err(match &self.accessor {
            Some(accessor) => format!(
                "Permission denied: token with AccessorID '{accessor}' lacks permission \
                 '{resource}:{access}'{what}"
            ),
            None => format!(
                "Permission denied: anonymous token lacks permission '{resource}:{access}'{what}. \
                 The anonymous token is used implicitly when a request does not specify a token."
            ),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn with(rules: Vec<Rule>) -> Authz {
        Authz { accessor: Some("a".into()), rules: Some(rules), default_allow: false }
    }

    #[test]
    fn rights_of_the_three_tokens() {
        let agent = with(agent_rules());
        assert!(agent.may("node", "n1", Access::Write));
        assert!(agent.may("service", "api", Access::Read));
        assert!(!agent.may("service", "api", Access::Write));
        assert!(!agent.may("agent", "n1", Access::Read));
        let service = with(service_rules("api"));
        assert!(service.may("service", "api-sidecar-proxy", Access::Write));
        assert!(!service.may("service", "web", Access::Write));
        assert!(!service.may("node", "n1", Access::Write));
        let local = Authz::recovery("n1");
        assert!(local.may("agent", "n1", Access::Write));
        assert!(!local.may("service", "api", Access::Read));
    }

    #[test]
    fn policy_text_is_parsed() {
        let text = "node_prefix \"\" { policy = \"write\" }\nservice \"api\" {\n policy=\"write\"\n}\noperator = \"read\"";
        let rules = parse_rules(text).unwrap();
        assert_eq!(rules[0], Rule::new("node", true, "", "write"));
        assert_eq!(rules[1], Rule::new("service", false, "api", "write"));
        assert_eq!(rules[2], Rule::new("operator", false, "", "read"));
        assert!(parse_rules("service \"x\" {").is_err());
    }
}
