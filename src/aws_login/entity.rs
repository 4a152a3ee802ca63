//! Who the credentials are, as STS tells it by an ARN.

/// A role or a user of IAM.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Entity {
    pub(super) kind: EntityKind,
    pub(super) name: String,
}

/// What can be read of IAM, and bound by Consul.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum EntityKind {
    Role,
    User,
}

impl Entity {
    /// From `arn:aws:sts::ACCOUNT:assumed-role/ROLE/SESSION`, as a task has it, or `arn:aws:iam::ACCOUNT:user/PATH/NAME`.
    /// `None` for anybody else, such as the account's root.
    pub(super) fn of(arn: &str) -> Option<Self> {
        let resource = arn.splitn(6, ':').nth(5)?;
        let parts: Vec<_> = resource.split('/').collect();
        let (kind, name) = match parts[..] {
            // The session's name is the task ID; the role's path is not told.
            ["assumed-role", role, _session] => (EntityKind::Role, role),
            ["role", .., role] => (EntityKind::Role, role),
            ["user", .., user] => (EntityKind::User, user),
            _ => return None,
        };
        (!name.is_empty()).then(|| Self { kind, name: name.to_owned() })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn roles_and_users_are_known_by_their_arn_and_nobody_else() {
        let entity = |arn| Entity::of(arn).map(|entity| (entity.kind, entity.name));
        let role = |name: &str| Some((EntityKind::Role, name.to_owned()));
        assert_eq!(entity("arn:aws:sts::123456789012:assumed-role/api/158d1c80"), role("api"));
        assert_eq!(entity("arn:aws-cn:iam::123456789012:role/consul-ecs/api"), role("api"));
        let user = Some((EntityKind::User, "dev@example.com".to_owned()));
        assert_eq!(entity("arn:aws:iam::123456789012:user/a/b/dev@example.com"), user);
        for nobody in [
            "",
            "arn:aws:iam::123456789012:root",
            "arn:aws:sts::123456789012:federated-user/bob",
            "arn:aws:sts::123456789012:assumed-role/api",
            "arn:aws:iam::123456789012:user/",
            "user/x",
        ] {
            assert_eq!(entity(nobody), None, "{nobody}");
        }
    }
}
