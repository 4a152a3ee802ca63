//! Tokens by a login: the task proves to Consul which IAM role it runs as, and is given a token of its own.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// Logging in to Consul with the task's IAM role: an auth method of the type `aws-iam` (Consul 1.12 and later).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Login {
    /// The auth method that gives the token with which the service is registered and Envoy configured. Required.
    pub method: String,
    /// The auth method that gives the agent its own token. Default: none; `agentToken` is used.
    #[serde(default)]
    pub agent_method: Option<String>,
    /// Said of each token in its description, laid over `consul.hashicorp.com/task-id` and `/cluster`.
    #[serde(default)]
    pub meta: BTreeMap<String, String>,
    /// Let Consul read the role itself, with its path and tags. Auth methods with `EnableIAMEntityDetails` need it; the
    /// role must be allowed `iam:GetRole` on itself. Default true, as in consul-ecs.
    #[serde(default = "include_entity")]
    pub include_entity: bool,
    /// Region of the requests. Default: the task's.
    #[serde(default)]
    pub region: Option<String>,
    /// Where Consul asks who we are. Default: the region's, `https://sts.REGION.amazonaws.com`.
    #[serde(default)]
    pub sts_endpoint: Option<String>,
    /// Where Consul reads the role. Default `https://iam.amazonaws.com`, which serves all regions.
    #[serde(default)]
    pub iam_endpoint: Option<String>,
    /// The auth method's `ServerIDHeaderValue`: a login that is made for one mesh then serves no other.
    #[serde(default)]
    pub server_id_header: Option<String>,
}

fn include_entity() -> bool {
    true
}
