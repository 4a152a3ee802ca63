//! The names of what the controller makes, as consul-ecs 0.4.3 has them, so that one finds what the other has made.

use std::fmt;

/// The tag of a task that is on the mesh; its value is `true`.
pub(crate) const MESH_TAG: &str = "consul.hashicorp.com/mesh";
/// The tag with the service's name; without it the task definition's family is the name.
pub(crate) const SERVICE_TAG: &str = "consul.hashicorp.com/service-name";
/// Consul Enterprise: tags with the service's partition and namespace.
pub(crate) const PARTITION_TAG: &str = "consul.hashicorp.com/partition";
pub(crate) const NAMESPACE_TAG: &str = "consul.hashicorp.com/namespace";

/// In a description, before the cluster.
const CLUSTER_KEY: &str = "consul.hashicorp.com/cluster: ";
const PARTITION_KEY: &str = "consul.hashicorp.com/partition: ";
const NAMESPACE_KEY: &str = "consul.hashicorp.com/namespace: ";
/// The last line of a description that is ours: 0.4.3 writes none, and looks for none.
pub(crate) const OURS: &str = "managed-by: taskmesh";

/// Policy of the Consul clients of all tasks, before the prefix.
pub(crate) const CLIENT_POLICY: &str = "consul-client-policy";
/// Its description.
pub(crate) const CLIENT_POLICY_ABOUT: &str = "Consul Client Token Policy for ECS";
/// Description of the clients' token.
pub(crate) const CLIENT_TOKEN_ABOUT: &str = "ECS Consul client Token";
/// Enterprise: read across namespaces, linked to every service's token.
pub(crate) const CROSS_NAMESPACE_POLICY: &str = "cross-namespace-read";

/// Its description.
pub(crate) const CROSS_NAMESPACE_ABOUT: &str =
    "Allow service and node reads across namespaces within the partition";

/// Partition and namespace of a service in Consul Enterprise: both, or neither in the community's Consul.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct Tenancy {
    pub(crate) partition: String,
    pub(crate) namespace: String,
}

/// A service of the mesh.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct Service {
    pub(crate) name: String,
    pub(crate) tenancy: Option<Tenancy>,
}

impl fmt::Display for Service {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.tenancy {
            None => f.write_str(&self.name),
            Some(at) => write!(f, "{}/{}/{}", at.partition, at.namespace, self.name),
        }
    }
}

/// An ECS cluster. Metadata and users name it by its name or by its ARN; with a region and an account both mean one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Cluster {
    name: String,
    /// `arn:aws:ecs:REGION:ACCOUNT:cluster/`, where it is known.
    home: Option<String>,
    /// As it was given.
    text: String,
}

impl Cluster {
    /// From a name or an ARN.
    pub(crate) fn new(text: &str) -> Self {
        let at = text.find(":cluster/").map(|at| at + ":cluster/".len());
        let (home, name) = match at {
            Some(at) if text.starts_with("arn:") => (Some(text[..at].to_owned()), &text[at..]),
            _ => (None, text),
        };
        Self { name: name.to_owned(), home, text: text.to_owned() }
    }

    /// The same, where a bare name is completed from the ARN of one of the cluster's tasks
    /// (`arn:aws:ecs:REGION:ACCOUNT:task/..`).
    pub(crate) fn with_task(text: &str, task_arn: &str) -> Self {
        let mut cluster = Self::new(text);
        if cluster.home.is_none()
            && let Some(at) = task_arn.find(":task/")
            && task_arn.starts_with("arn:")
        {
            cluster.home = Some(format!("{}:cluster/", &task_arn[..at]));
        }
        cluster
    }

    /// Whether a task is of this cluster, by its ARN; one of the old, short form does not say.
    pub(crate) fn has(&self, task_arn: &str) -> bool {
        // `arn:aws:ecs:REGION:ACCOUNT:task/CLUSTER/ID`
        let Some((home, rest)) = task_arn.split_once(":task/") else { return true };
        let Some((name, _)) = rest.split_once('/') else { return true };
        self.is(&Self::new(&format!("{home}:cluster/{name}")))
    }

    /// As it was given, for the AWS API and for descriptions.
    pub(crate) fn text(&self) -> &str {
        &self.text
    }

    /// The key at Consul that makes a controller of this cluster the leader. A cluster of the same name in another region
    /// or account has another one.
    pub(crate) fn lead_key(&self) -> String {
        let name = &self.name;
        // `arn:aws:ecs:REGION:ACCOUNT:cluster/`
        let mut parts = self.home.as_deref().unwrap_or_default().split(':').skip(3);
        match (parts.next(), parts.next()) {
            (Some(region), Some(account)) => format!("taskmesh/{region}/{account}/{name}/leader"),
            _ => format!("taskmesh/{name}/leader"),
        }
    }

    /// The same cluster, whole: a name that only begins the same is another one, as is the same name in another region
    /// or account. Where one of the two is a bare name, the name decides.
    pub(crate) fn is(&self, other: &Self) -> bool {
        let homes = self.home.as_ref().zip(other.home.as_ref());
        self.name == other.name && homes.is_none_or(|(a, b)| a == b)
    }
}

/// A policy or a token.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    Policy,
    Token,
}

impl Kind {
    fn word(self) -> &'static str {
        match self {
            Self::Policy => "Policy",
            Self::Token => "Token",
        }
    }
}

/// Whose an object is, by its description.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Owner {
    pub(crate) service: Service,
    pub(crate) cluster: Cluster,
    /// Made by us, and not by 0.4.3: ours to repair.
    pub(crate) ours: bool,
}

impl Owner {
    /// What a description of this kind says; `None` where neither controller has written it.
    pub(crate) fn read(kind: Kind, description: &str) -> Option<Self> {
        let mut lines = description.lines();
        let name = lines
            .next()?
            .strip_prefix(kind.word())?
            .strip_prefix(" for ")?
            .strip_suffix(" service")?;
        let cluster = Cluster::new(lines.next()?.strip_prefix(CLUSTER_KEY)?);
        let (mut partition, mut namespace, mut ours) = (None, None, false);
        for line in lines {
            if let Some(value) = line.strip_prefix(PARTITION_KEY) {
                partition = Some(value.to_owned());
            } else if let Some(value) = line.strip_prefix(NAMESPACE_KEY) {
                namespace = Some(value.to_owned());
            }
            ours |= line == OURS;
        }
        let tenancy = match (partition, namespace) {
            (None, None) => None,
            (Some(partition), Some(namespace)) => Some(Tenancy { partition, namespace }),
            _ => return None,
        };
        let service = Service { name: name.to_owned(), tenancy };
        Some(Self { service, cluster, ours })
    }
}

impl Service {
    /// The description of an object that we make.
    pub(crate) fn about(&self, kind: Kind, cluster: &Cluster) -> String {
        let mut lines = vec![
            format!("{} for {} service", kind.word(), self.name),
            format!("{CLUSTER_KEY}{}", cluster.text()),
        ];
        if let Some(at) = &self.tenancy {
            lines.push(format!("{PARTITION_KEY}{}", at.partition));
            lines.push(format!("{NAMESPACE_KEY}{}", at.namespace));
        }
        lines.push(OURS.to_owned());
        lines.join("\n")
    }

    /// The name of its policy.
    pub(crate) fn policy(&self) -> String {
        match &self.tenancy {
            None => format!("{}-service", self.name),
            Some(at) => format!("{}-{}-service", self.name, at.namespace),
        }
    }

    /// The name of its secret.
    pub(crate) fn secret(&self, prefix: &str) -> String {
        match &self.tenancy {
            None => format!("{prefix}-{}", self.name),
            Some(at) => format!("{prefix}-{}-{}-{}", self.name, at.namespace, at.partition),
        }
    }

    /// The rules of its policy.
    pub(crate) fn rules(&self) -> String {
        let name = &self.name;
        let own = format!(
            "service \"{name}\" {{\n  policy = \"write\"\n}}\nservice \"{name}-sidecar-proxy\" {{\n  policy = \"write\"\n}}\n{READ_ALL}"
        );
        match &self.tenancy {
            None => own,
            Some(at) => within(&at.partition, &within_namespace(&at.namespace, &own)),
        }
    }
}

const READ_ALL: &str =
    "service_prefix \"\" {\n  policy = \"read\"\n}\nnode_prefix \"\" {\n  policy = \"read\"\n}\n";

/// The rules of the clients' policy.
pub(crate) fn client_rules(partition: Option<&str>) -> String {
    let nodes = "node_prefix \"\" {\n  policy = \"write\"\n}\n";
    let services = "service_prefix \"\" {\n  policy = \"read\"\n}\n";
    match partition {
        None => format!("{nodes}{services}"),
        Some(partition) => {
            let inner = format!("{nodes}namespace_prefix \"\" {{\n{}}}\n", indented(services));
            within(partition, &inner)
        }
    }
}

/// The rules of the policy that all tokens of a partition share.
pub(crate) fn cross_namespace_rules(partition: &str) -> String {
    within(partition, &format!("namespace_prefix \"\" {{\n{}}}\n", indented(READ_ALL)))
}

/// Whether two rules say the same, however they are laid out.
pub(crate) fn same_rules(a: &str, b: &str) -> bool {
    let plain = |text: &str| text.chars().filter(|c| !c.is_whitespace()).collect::<String>();
    plain(a) == plain(b)
}

fn within(partition: &str, rules: &str) -> String {
    format!("partition \"{partition}\" {{\n{}}}\n", indented(rules))
}

fn within_namespace(namespace: &str, rules: &str) -> String {
    format!("namespace \"{namespace}\" {{\n{}}}\n", indented(rules))
}

fn indented(text: &str) -> String {
    text.lines().map(|line| format!("  {line}\n")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const ARN: &str = "arn:aws:ecs:us-east-1:123456789012:cluster/prod";

    fn service(name: &str) -> Service {
        Service { name: name.to_owned(), tenancy: None }
    }

    fn enterprise() -> Service {
        let tenancy = Tenancy { partition: "p1".to_owned(), namespace: "n1".to_owned() };
        Service { name: "api".to_owned(), tenancy: Some(tenancy) }
    }

    #[test]
    fn a_cluster_is_matched_whole_by_name_or_arn() {
        let name = Cluster::new("prod");
        let arn = Cluster::new(ARN);
        let completed =
            Cluster::with_task("prod", "arn:aws:ecs:us-east-1:123456789012:task/prod/0123");
        for (a, b) in [(&name, &arn), (&arn, &name), (&completed, &arn), (&name, &name)] {
            assert!(a.is(b), "{a:?} {b:?}");
        }
        for other in
            ["prod-2", "pro", "xprod", "arn:aws:ecs:us-east-1:123456789012:cluster/prod-2", ""]
        {
            assert!(!name.is(&Cluster::new(other)) && !arn.is(&Cluster::new(other)), "{other}");
        }
        for other in [
            "arn:aws:ecs:eu-west-1:123456789012:cluster/prod",
            "arn:aws:ecs:us-east-1:999999999999:cluster/prod",
        ] {
            assert!(
                !completed.is(&Cluster::new(other)) && !arn.is(&Cluster::new(other)),
                "{other}"
            );
        }
    }

    #[test]
    fn a_task_of_another_cluster_is_known_by_its_arn() {
        let arn = |cluster: &str| format!("arn:aws:ecs:us-east-1:123456789012:task/{cluster}/0123");
        for cluster in [Cluster::new("prod"), Cluster::new(ARN)] {
            assert!(cluster.has(&arn("prod")) && !cluster.has(&arn("prod-2")));
            assert!(cluster.has("arn:aws:ecs:us-east-1:123456789012:task/0123"));
        }
        assert!(!Cluster::new(ARN).has("arn:aws:ecs:eu-west-1:123456789012:task/prod/0123"));
    }

    #[test]
    fn the_leaders_key_is_one_for_each_cluster() {
        assert_eq!(Cluster::new(ARN).lead_key(), "taskmesh/us-east-1/123456789012/prod/leader");
        assert_eq!(Cluster::new("prod").lead_key(), "taskmesh/prod/leader");
    }

    #[test]
    fn our_own_descriptions_are_read_again_and_known_as_ours() {
        for (service, kind) in [(service("api"), Kind::Policy), (enterprise(), Kind::Token)] {
            let cluster = Cluster::new(ARN);
            let owner = Owner::read(kind, &service.about(kind, &cluster)).unwrap();
            assert_eq!(owner, Owner { service, cluster, ours: true });
        }
    }

    #[test]
    fn what_0_4_3_writes_is_known_as_its_own_and_anything_else_as_nobodys() {
        let theirs = "Token for api service\nconsul.hashicorp.com/cluster: prod";
        let owner = Owner::read(Kind::Token, theirs).unwrap();
        assert_eq!((owner.service, owner.ours), (service("api"), false));
        // 0.4.3 looks for this substring: it finds ours, too.
        assert!(service("api").about(Kind::Token, &Cluster::new("prod")).contains(&theirs[22..]));
        for nobodys in [
            "",
            "Token for api service",
            "Policy for api service\nconsul.hashicorp.com/cluster: prod",
            "A Token for api service\nconsul.hashicorp.com/cluster: prod",
            "Token for api service\n consul.hashicorp.com/cluster: prod",
            "Token for api service\nconsul.hashicorp.com/cluster: prod\nconsul.hashicorp.com/namespace: n1",
        ] {
            assert_eq!(Owner::read(Kind::Token, nobodys), None, "{nobodys}");
        }
    }

    #[test]
    fn names_are_those_of_0_4_3() {
        let (ce, ent) = (service("api"), enterprise());
        assert_eq!((ce.policy(), ce.secret("mesh")), ("api-service".into(), "mesh-api".into()));
        assert_eq!(ent.policy(), "api-n1-service");
        assert_eq!(ent.secret("mesh"), "mesh-api-n1-p1");
        assert_eq!(ent.to_string(), "p1/n1/api");
    }

    #[test]
    fn rules_are_compared_without_their_layout() {
        let theirs = r#"
service "api" {
	policy = "write"
}
service "api-sidecar-proxy" {
	policy = "write"
}
service_prefix "" {
	policy = "read"
}
node_prefix "" {
	policy = "read"
}"#;
        assert!(same_rules(theirs, &service("api").rules()));
        assert!(!same_rules(theirs, &service("api2").rules()));
        let rules = enterprise().rules();
        assert!(
            rules.starts_with("partition \"p1\" {\n  namespace \"n1\" {\n    service \"api\" {\n"),
            "{rules}"
        );
        assert_eq!(rules.matches('{').count(), rules.matches('}').count());
    }
}
