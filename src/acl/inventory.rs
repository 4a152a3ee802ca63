//! What is there, for one subject: from Consul's lists, and from what was read of it before (pure).

use super::hidden::Hidden;
use super::names::{
    CLIENT_POLICY, CLIENT_POLICY_ABOUT, CLIENT_TOKEN_ABOUT, CROSS_NAMESPACE_POLICY, Cluster, Kind,
    OURS, Owner, Service, client_rules,
};
use super::plan::{Maker, Policy, Secret, Seen, Subject, Token};
use crate::consul::{AclPolicy, AclToken};
use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

/// Whom the controller works for.
#[derive(Debug, Clone)]
pub(crate) struct Site {
    pub(crate) cluster: Cluster,
    pub(crate) prefix: String,
    pub(crate) client_secret: String,
    pub(crate) partition: Option<String>,
}

impl Site {
    /// What is wanted for a service.
    pub(crate) fn service(&self, service: &Service) -> Subject {
        Subject {
            about: service.to_string(),
            policy: service.policy(),
            rules: service.rules(),
            policy_description: service.about(Kind::Policy, &self.cluster),
            token_description: service.about(Kind::Token, &self.cluster),
            more_policies: match service.tenancy {
                None => Vec::new(),
                Some(_) => vec![CROSS_NAMESPACE_POLICY.to_owned()],
            },
            secret: service.secret(&self.prefix),
        }
    }

    /// What is wanted for the agents of all tasks.
    pub(crate) fn clients(&self) -> Subject {
        Subject {
            about: "the agents of all tasks".to_owned(),
            policy: format!("{}-{CLIENT_POLICY}", self.prefix),
            rules: client_rules(self.partition.as_deref()),
            policy_description: format!("{CLIENT_POLICY_ABOUT}\n{OURS}"),
            token_description: format!("{CLIENT_TOKEN_ABOUT}\n{OURS}"),
            more_policies: Vec::new(),
            secret: self.client_secret.clone(),
        }
    }
}

/// Consul's lists.
#[derive(Debug, Clone, Default)]
pub(crate) struct Lists {
    pub(crate) policies: Vec<AclPolicy>,
    pub(crate) tokens: Vec<AclToken>,
}

/// What was read of one subject, and is not read again before its time.
#[derive(Debug, Clone)]
pub(crate) struct Memory {
    pub(crate) secret: Secret,
    pub(crate) read_at: Duration,
    /// Rules, by the policy's hash.
    pub(crate) rules: Option<(String, String)>,
    /// Tokens themselves, by accessor.
    pub(crate) tokens: BTreeMap<String, Hidden>,
}

impl Default for Memory {
    fn default() -> Self {
        Self {
            secret: Secret::Unread,
            read_at: Duration::ZERO,
            rules: None,
            tokens: BTreeMap::new(),
        }
    }
}

impl Memory {
    /// Keeps what a run has seen; `now` is when it began, if it has read the secret.
    pub(crate) fn keep(&mut self, seen: &Seen, hash: Option<&str>, now: Duration) {
        if self.secret != seen.secret {
            self.read_at = now;
        }
        self.secret = seen.secret.clone();
        let rules = seen.policy.as_ref().and_then(|policy| policy.rules.clone());
        self.rules = hash.map(str::to_owned).zip(rules);
        let read = seen.tokens.iter().filter_map(|(a, t)| Some((a.clone(), t.token.clone()?)));
        self.tokens = read.collect();
    }
}

/// Consul's lists, sorted: what belongs to which service.
#[derive(Debug, Default)]
pub(crate) struct Inventory {
    by_name: BTreeMap<String, AclPolicy>,
    /// Tokens of each description's owner.
    tokens: BTreeMap<Option<Service>, Vec<AclToken>>,
    /// Names of policies that tokens of others are linked to.
    foreign_links: BTreeSet<String>,
    policies_of: BTreeSet<Service>,
}

/// The clients' token has no service.
const CLIENTS: Option<Service> = None;

impl Inventory {
    pub(crate) fn new(site: &Site, lists: Lists) -> Self {
        let mut all = Self::default();
        for token in lists.tokens {
            let owner = match Owner::read(Kind::Token, &token.description) {
                Some(owner) if owner.cluster.is(&site.cluster) => Some(Some(owner.service)),
                None if is_about(&token.description, CLIENT_TOKEN_ABOUT) => Some(CLIENTS),
                _ => None,
            };
            match owner {
                Some(owner) => all.tokens.entry(owner).or_default().push(token),
                None => all.foreign_links.extend(token.policies.into_iter().map(|link| link.name)),
            }
        }
        for policy in lists.policies {
            if let Some(owner) = Owner::read(Kind::Policy, &policy.description)
                && owner.cluster.is(&site.cluster)
            {
                all.policies_of.insert(owner.service);
            }
            all.by_name.insert(policy.name.clone(), policy);
        }
        all
    }

    /// Services of which there is a policy or a token of this cluster.
    pub(crate) fn services(&self) -> BTreeSet<Service> {
        self.tokens.keys().flatten().cloned().chain(self.policies_of.iter().cloned()).collect()
    }

    /// The hash of a policy.
    pub(crate) fn hash(&self, policy: &str) -> Option<&str> {
        self.by_name.get(policy).map(|policy| &*policy.hash)
    }

    /// What there is of a service, or, with `None`, of the clients. For how long a token has been surplus it cannot tell.
    pub(crate) fn seen(
        &self,
        site: &Site,
        subject: &Subject,
        service: Option<&Service>,
        memory: &Memory,
    ) -> Seen {
        let policy = self.by_name.get(&subject.policy).map(|found| {
            let known = memory.rules.as_ref().filter(|(hash, _)| *hash == found.hash);
            Policy {
                id: found.id.clone(),
                maker: policy_maker(site, found, service),
                rules: known.map(|(_, rules)| rules.clone()),
                used_elsewhere: self.foreign_links.contains(&subject.policy),
            }
        });
        let tokens = self.tokens.get(&service.cloned()).into_iter().flatten();
        let tokens = tokens.map(|token| {
            let ours = token.description.lines().any(|line| line == OURS);
            let seen = Token {
                maker: if ours { Maker::Us } else { Maker::Older },
                policies: token.policies.iter().map(|link| link.name.clone()).collect(),
                token: memory.tokens.get(&token.accessor).cloned(),
                surplus_for: Duration::ZERO,
            };
            (token.accessor.clone(), seen)
        });
        Seen { policy, tokens: tokens.collect(), secret: memory.secret.clone() }
    }
}

fn policy_maker(site: &Site, policy: &AclPolicy, service: Option<&Service>) -> Maker {
    let ours = policy.description.lines().any(|line| line == OURS);
    let known = match service {
        None => is_about(&policy.description, CLIENT_POLICY_ABOUT),
        Some(service) => Owner::read(Kind::Policy, &policy.description)
            .is_some_and(|owner| owner.service == *service && owner.cluster.is(&site.cluster)),
    };
    match (known, ours) {
        (false, _) => Maker::Other,
        (true, true) => Maker::Us,
        (true, false) => Maker::Older,
    }
}

/// The first line is exactly this, and nothing else is there but our mark.
fn is_about(description: &str, about: &str) -> bool {
    let mut lines = description.lines();
    lines.next() == Some(about) && lines.all(|line| line == OURS)
}
