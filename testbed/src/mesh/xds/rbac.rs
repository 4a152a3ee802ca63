//! Intentions as Envoy's RBAC filters.

use std::collections::HashMap;

use envoy_types::pb::envoy::config::rbac::v3::principal::{Authenticated, Identifier, Set};
use envoy_types::pb::envoy::config::rbac::v3::rbac::Action;
use envoy_types::pb::envoy::config::rbac::v3::{Permission, Policy, Principal, Rbac, permission};
use envoy_types::pb::envoy::extensions::filters::http::rbac::v3::Rbac as HttpRbac;
use envoy_types::pb::envoy::extensions::filters::network::rbac::v3::Rbac as NetworkRbac;
use envoy_types::pb::envoy::r#type::matcher::v3::{RegexMatcher, StringMatcher, string_matcher};

use super::view::View;
use crate::mesh::catalog::Intention;

/// What applies to a destination: the action for everybody, and the sources that differ from it.
fn decide(intentions: &[Intention], service: &str, default_allow: bool) -> (bool, Vec<String>) {
    let mut own: Vec<&Intention> =
        intentions.iter().filter(|i| i.destination == service || i.destination == "*").collect();
    own.sort_by_key(|i| std::cmp::Reverse(i.precedence()));
    let everybody = own.iter().find(|i| i.source == "*").map_or(default_allow, |i| i.allow);
    let mut sources: Vec<String> = Vec::new();
    let mut seen: Vec<&str> = Vec::new();
    for intention in own.iter().filter(|i| i.source != "*") {
        // `*` as source with an exact destination outranks an exact source for all destinations.
        let outranked =
            own.iter().any(|o| o.source == "*" && o.precedence() > intention.precedence());
        if !outranked && !seen.contains(&intention.source.as_str()) {
            seen.push(&intention.source);
            if intention.allow != everybody {
                sources.push(intention.source.clone());
            }
        }
    }
    sources.sort();
    (everybody, sources)
}

fn principal(view: &View, service: &str) -> Principal {
    let trust_domain = &view.root.trust_domain;
    let regex = format!("^spiffe://{trust_domain}/ns/default/dc/[^/]+/svc/{service}$");
    let name = StringMatcher {
        match_pattern: Some(string_matcher::MatchPattern::SafeRegex(RegexMatcher {
            regex,
            ..RegexMatcher::default()
        })),
        ..StringMatcher::default()
    };
    Principal {
        identifier: Some(Identifier::Authenticated(Authenticated { principal_name: Some(name) })),
    }
}

fn rules(view: &View) -> Rbac {
    let (everybody, sources) = decide(&view.intentions, &view.destination, view.default_allow);
    let action = if everybody { Action::Deny } else { Action::Allow };
    let mut policies = HashMap::new();
    if !sources.is_empty() {
        let ids = sources.iter().map(|s| principal(view, s)).collect();
        let any = Permission { rule: Some(permission::Rule::Any(true)) };
        let policy = Policy {
            permissions: vec![any],
            principals: vec![Principal { identifier: Some(Identifier::OrIds(Set { ids })) }],
            ..Policy::default()
        };
        policies.insert("consul-intentions-layer4".to_owned(), policy);
    }
    Rbac { action: action.into(), policies, ..Rbac::default() }
}

/// For the http kinds.
pub(super) fn http(view: &View) -> HttpRbac {
    HttpRbac { rules: Some(rules(view)), ..HttpRbac::default() }
}

/// For tcp.
pub(super) fn network(view: &View) -> NetworkRbac {
    NetworkRbac {
        stat_prefix: "connect_authz".into(),
        rules: Some(rules(view)),
        ..NetworkRbac::default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn intention(source: &str, destination: &str, allow: bool) -> Intention {
        let (source, destination) = (source.into(), destination.into());
        Intention { source, destination, allow, create: 1, modify: 1 }
    }

    #[test]
    fn precedence_of_intentions() {
        let deny_web = intention("web", "api", false);
        assert_eq!(
            decide(std::slice::from_ref(&deny_web), "api", true),
            (true, vec!["web".into()])
        );
        assert_eq!(decide(std::slice::from_ref(&deny_web), "db", true), (true, vec![]));
        let all = [intention("*", "*", false), intention("web", "api", true), deny_web];
        assert_eq!(decide(&all[..2], "api", true), (false, vec!["web".into()]));
        let outranked = [intention("web", "*", false), intention("*", "api", true)];
        assert_eq!(decide(&outranked, "api", false), (true, vec![]));
    }
}
