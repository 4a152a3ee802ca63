//! What services of Consul Enterprise stand on: their partition, a policy to read across its namespaces, which is linked
//! to every token, and the namespaces. It is made where it is missing, and neither repaired nor deleted: others use it, too.

use super::apply::{Failure, Learned};
use super::hands::RealHands;
use super::names::{CROSS_NAMESPACE_ABOUT, CROSS_NAMESPACE_POLICY, cross_namespace_rules};
use std::collections::BTreeSet;

/// What there is of it.
#[derive(Debug, Default)]
pub(crate) struct Ground {
    /// The partition is there: then it stays.
    pub(crate) partition: bool,
    pub(crate) policy: bool,
    pub(crate) namespaces: BTreeSet<String>,
}

/// Something to be made.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Part {
    Partition,
    Policy,
    Namespace(String),
}

impl Ground {
    /// What is to be made next for services of this namespace; with `None`, before any.
    pub(crate) fn next(&self, namespace: Option<&str>) -> Option<Part> {
        let namespace = namespace.filter(|name| !self.namespaces.contains(*name));
        match (self.partition, self.policy) {
            (false, _) => Some(Part::Partition),
            (true, false) => Some(Part::Policy),
            // It names the policy.
            (true, true) => namespace.map(|name| Part::Namespace(name.to_owned())),
        }
    }

    /// It is made.
    pub(crate) fn after(&mut self, part: &Part) {
        match part {
            Part::Partition => {
                self.partition = true;
                // A new one has it.
                self.namespaces.insert("default".to_owned());
            }
            Part::Policy => self.policy = true,
            Part::Namespace(name) => {
                self.namespaces.insert(name.clone());
            }
        }
    }
}

impl Part {
    /// For counting.
    pub(crate) fn name(&self) -> &'static str {
        match self {
            Self::Partition => "create-partition",
            Self::Policy => "create-policy",
            Self::Namespace(_) => "create-namespace",
        }
    }

    /// For people.
    pub(crate) fn words(&self, partition: &str) -> String {
        match self {
            Self::Partition => format!("create partition {partition}"),
            Self::Policy => format!("create policy {CROSS_NAMESPACE_POLICY}"),
            Self::Namespace(name) => format!("create namespace {name}"),
        }
    }
}

impl RealHands {
    /// Makes a part of the ground. One that somebody else has just made is as good.
    ///
    /// # Errors
    /// Why it cannot be made.
    pub(crate) async fn lay(&self, part: &Part, partition: &str) -> Result<(), Failure> {
        let consul = &self.consul;
        let made = match part {
            Part::Partition => {
                self.written("partition create", consul.create_partition(partition)).await
            }
            Part::Policy => {
                let rules = cross_namespace_rules(partition);
                let create =
                    consul.acl_create_policy(CROSS_NAMESPACE_POLICY, CROSS_NAMESPACE_ABOUT, &rules);
                self.written("acl/policy create", async { create.await.map(drop) }).await
            }
            Part::Namespace(name) => {
                let create = consul.create_namespace(name, CROSS_NAMESPACE_POLICY);
                self.written("namespace create", create).await
            }
        };
        match made? {
            Learned::Written | Learned::Changed => Ok(()),
            other => Err(Failure(format!("{}: {other:?}", part.words(partition)))),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_partition_comes_first_and_a_namespace_after_the_policy_that_it_names() {
        let mut ground = Ground::default();
        let mut made = Vec::new();
        while let Some(part) = ground.next(Some("n1")) {
            ground.after(&part);
            made.push(part.words("p1"));
        }
        let expected =
            ["create partition p1", "create policy cross-namespace-read", "create namespace n1"];
        assert_eq!(made, expected);
        assert_eq!(ground.next(Some("default")), None);
    }
}
