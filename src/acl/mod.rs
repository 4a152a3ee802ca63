//! The ACL controller: for each service that has tasks a policy, a token, and a secret that holds it.
//!
//! | file | what it knows |
//! |---|---|
//! | `names` | names, descriptions and rules, as consul-ecs 0.4.3 has them (pure) |
//! | `desired` | which service a task stands for, by its tags (pure) |
//! | `roster` | the cluster's tasks, and since when a service has none (pure) |
//! | `inventory` | what there is of each service, from Consul's lists (pure) |
//! | `plan` | the next step for one service (pure) |
//! | `rate` | how often an API may be asked (pure) |
//! | `apply` | does the steps |
//! | `view` | what it says of itself |
//! | `cloud` | ECS and Secrets Manager |
//! | `entry` | `taskmesh controller`, from its configuration to its exit code |
//! | `controller` | the rounds, and the work that they find |
//! | `ground` | what services of Consul Enterprise stand on: partition, shared policy, namespaces |
//! | `hands` | the steps, done |
//! | `hidden` | a token itself |
//! | `leader` | one leader among several: who may write, and how the lead changes hands |
//! | `lock` | the lead, as a key at Consul |

pub(crate) mod apply;
pub(crate) mod cloud;
pub(crate) mod controller;
pub(crate) mod desired;
mod entry;
pub(crate) mod ground;
pub(crate) mod hands;
pub(crate) mod hidden;
pub(crate) mod inventory;
pub(crate) mod leader;
pub(crate) mod lock;
pub(crate) mod names;
pub(crate) mod plan;
pub(crate) mod rate;
pub(crate) mod roster;
pub(crate) mod view;

use crate::config::{Env, Sources};

/// `taskmesh controller`: from the configuration to the exit code.
pub fn run(sources: &Sources, dry_run: bool, env: &dyn Env) -> u8 {
    entry::run(sources, dry_run, env)
}
