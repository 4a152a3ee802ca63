//! Which services the cluster's tasks stand for.

use super::names::{MESH_TAG, NAMESPACE_TAG, PARTITION_TAG, SERVICE_TAG, Service, Tenancy};
use std::collections::BTreeMap;

/// What is known of a task.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Task {
    /// Family of its definition.
    pub(crate) family: String,
    pub(crate) tags: BTreeMap<String, String>,
}

/// Tags that say nothing usable, in words.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub(crate) struct BadTags(String);

impl Task {
    /// From an answer of the ECS API: the definition's ARN, and tags.
    pub(crate) fn new(definition: &str, tags: impl IntoIterator<Item = (String, String)>) -> Self {
        // `arn:aws:ecs:REGION:ACCOUNT:task-definition/FAMILY:REVISION`
        let name = definition.rsplit_once('/').map_or(definition, |(_, name)| name);
        let family = name.rsplit_once(':').map_or(name, |(family, _)| family);
        Self { family: family.to_owned(), tags: tags.into_iter().collect() }
    }

    /// The service that it is of; `None`: it is not on the mesh, or in another partition than `ours`. `ours` is the
    /// controller's own partition in Consul Enterprise, `None` in the community's Consul.
    pub(crate) fn service(&self, ours: Option<&str>) -> Result<Option<Service>, BadTags> {
        match self.tags.get(MESH_TAG).map(String::as_str) {
            Some("true") => {}
            None | Some("false") => return Ok(None),
            Some(other) => {
                return Err(BadTags(format!("tag {MESH_TAG} is {other:?}, and must be \"true\"")));
            }
        }
        // An empty tag is one that a template left empty.
        let tag = |key: &str| self.tags.get(key).map(|v| v.trim()).filter(|v| !v.is_empty());
        let name = tag(SERVICE_TAG).unwrap_or(&self.family).to_owned();
        if let Some(bad) = name.chars().find(|c| !is_name(*c)) {
            return Err(BadTags(format!("service name {name:?}: {bad:?} can stand in no name")));
        }
        let tenancy = match (ours, tag(PARTITION_TAG), tag(NAMESPACE_TAG)) {
            (None, None, None) => None,
            (None, ..) => {
                return Err(BadTags(format!(
                    "tags {PARTITION_TAG} and {NAMESPACE_TAG} are Consul Enterprise's: controller.partition must name its partition"
                )));
            }
            (Some(_), Some(_), None) | (Some(_), None, Some(_)) => {
                return Err(BadTags(format!(
                    "{PARTITION_TAG} and {NAMESPACE_TAG} go together: one of them is missing"
                )));
            }
            (Some(ours), partition, namespace) => {
                let partition = partition.unwrap_or("default");
                if partition != ours {
                    return Ok(None);
                }
                let namespace = namespace.unwrap_or("default");
                if let Some(bad) = namespace.chars().find(|c| !is_name(*c)) {
                    return Err(BadTags(format!(
                        "namespace {namespace:?}: {bad:?} can stand in no name"
                    )));
                }
                Some(Tenancy { partition: partition.to_owned(), namespace: namespace.to_owned() })
            }
        };
        Ok(Some(Service { name, tenancy }))
    }
}

/// What can stand in a service's name, in that of its policy (`[A-Za-z0-9_-]`, Consul's rule) and, unquoted, in rules.
fn is_name(c: char) -> bool {
    c.is_ascii_alphanumeric() || c == '-' || c == '_'
}

#[cfg(test)]
mod tests {
    use super::*;

    fn task(tags: &[(&str, &str)]) -> Task {
        let tags = tags
            .iter()
            .map(|(key, value)| (format!("consul.hashicorp.com/{key}"), (*value).to_owned()));
        Task::new("arn:aws:ecs:us-east-1:123456789012:task-definition/fam:7", tags)
    }

    fn named(tags: &[(&str, &str)], ours: Option<&str>) -> Option<String> {
        task(tags).service(ours).unwrap().map(|service| service.to_string())
    }

    #[test]
    fn a_task_of_the_mesh_is_of_the_service_that_its_tag_or_its_family_names() {
        assert_eq!(named(&[], None), None);
        assert_eq!(named(&[("mesh", "false"), ("service-name", "api")], None), None);
        assert_eq!(named(&[("mesh", "true")], None).as_deref(), Some("fam"));
        assert_eq!(named(&[("mesh", "true"), ("service-name", "")], None).as_deref(), Some("fam"));
        let tags = [("mesh", "true"), ("service-name", "api"), ("module", "x")];
        assert_eq!(named(&tags, None).as_deref(), Some("api"));
    }

    #[test]
    fn partition_and_namespace_are_both_there_or_neither() {
        let ours = Some("p1");
        let tags = |more: &[(&'static str, &'static str)]| [&[("mesh", "true")], more].concat();
        assert_eq!(named(&tags(&[]), Some("default")).as_deref(), Some("default/default/fam"));
        assert_eq!(named(&tags(&[]), ours), None, "it is in the partition default");
        let both = tags(&[("partition", "p1"), ("namespace", "n1")]);
        assert_eq!(named(&both, ours).as_deref(), Some("p1/n1/fam"));
        assert_eq!(named(&both, Some("p2")), None);
        for half in [("partition", "p1"), ("namespace", "n1")] {
            task(&tags(&[half])).service(ours).unwrap_err();
        }
        task(&both).service(None).unwrap_err();
    }

    #[test]
    fn tags_that_could_say_something_else_in_rules_are_refused() {
        for name in ["a\" { policy = \"write\" } service \"b", "a b", "a/b", "a\nb", "ä", "a.b"] {
            let error =
                task(&[("mesh", "true"), ("service-name", name)]).service(None).unwrap_err();
            assert!(error.to_string().contains("service name"), "{error}");
        }
        let namespace = [("mesh", "true"), ("partition", "default"), ("namespace", "a\"b")];
        task(&namespace).service(Some("default")).unwrap_err();
        task(&[("mesh", "yes")]).service(None).unwrap_err();
    }
}
