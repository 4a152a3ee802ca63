//! Logging in: a token comes from one place only, and what is signed must be a URL and a header.

use super::Rules;
use crate::config::model::{Config, Login};
use crate::config::path::Path;
use reqwest::Url;

pub(super) fn check(config: &Config, rules: &mut Rules<'_>) {
    let consul = &config.consul;
    let Some(login) = &consul.login else { return };
    let at = Path::of("consul.login");
    let (method, agent_method) = (at.key("method"), at.key("agentMethod"));
    let acl = Path::of("consul.acl");
    if cfg!(not(feature = "aws")) {
        rules.error([&at], "this taskmesh cannot: it was built without what asks AWS");
    }
    if consul.acl.is_none() {
        rules.error([&at, &acl], "not used without consul.acl; to use it, add \"acl\": {}");
    }
    if consul.service_token.is_some() {
        let path = Path::of("consul.serviceToken");
        rules.error([&path, &at], "consul.login is given too, which gets this token; keep one");
    }
    if login.agent_method.is_some() && consul.agent_token.is_some() {
        let path = Path::of("consul.agentToken");
        let message = "consul.login.agentMethod is given too, which gets this token; keep one";
        rules.error([&path, &agent_method], message);
    }
    if login.agent_method.is_some() && consul.tls.as_ref().is_some_and(|tls| tls.auto_encrypt) {
        let auto = Path::of("consul.tls.autoEncrypt");
        rules.error(
            [&agent_method, &auto],
            "with consul.tls.autoEncrypt the agent needs its token before it answers, and a login is a question to \
             it: set consul.tls.autoEncrypt to false, or give the agent its token by consul.agentToken",
        );
    }
    for (path, text) in [
        (method, Some(&login.method)),
        (agent_method, login.agent_method.as_ref()),
        (at.key("region"), login.region.as_ref()),
    ] {
        if text.is_some_and(|text| text.trim().is_empty()) {
            rules.error([&path], "must not be empty");
        }
    }
    endpoints(login, &at, rules);
    // A header's value; what it does not hold, nobody can have configured at the auth method.
    if let Some(value) = &login.server_id_header
        && (value.is_empty() || !value.bytes().all(|byte| byte.is_ascii_graphic()))
    {
        let message = format!("must consist of printable ASCII without spaces, not {value:?}");
        rules.error([&at.key("serverIdHeader")], message);
    }
}

fn endpoints(login: &Login, at: &Path, rules: &mut Rules<'_>) {
    for (key, endpoint) in
        [("stsEndpoint", &login.sts_endpoint), ("iamEndpoint", &login.iam_endpoint)]
    {
        let Some(endpoint) = endpoint else { continue };
        let path = at.key(key);
        match Url::parse(endpoint) {
            Ok(url) if matches!(url.scheme(), "http" | "https") => {
                // Consul refuses them: AWS would believe them more than the body.
                if url.query().is_some() || url.fragment().is_some() {
                    rules.error([&path], "must end before the ? or #");
                }
            }
            _ => rules.error([&path], format!("must be an http or https URL, not {endpoint:?}")),
        }
    }
    if login.iam_endpoint.is_some() && !login.include_entity {
        let include = at.key("includeEntity");
        rules.warn([&at.key("iamEndpoint"), &include], "not used: includeEntity is false");
    }
}
