use super::*;
use std::collections::BTreeMap;

fn access(vars: &[(&str, &str)]) -> AwsAccess {
    let env: BTreeMap<_, _> =
        vars.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())).collect();
    AwsAccess::from_env(&env)
}

fn task() -> TaskIdentity {
    TaskIdentity {
        task_arn: "arn:aws:ecs:eu-west-1:123456789012:task/mesh/158d".to_owned(),
        family: "web".to_owned(),
        revision: "26".to_owned(),
        ..TaskIdentity::default()
    }
}

const ROLE: (&str, &str) = ("AWS_CONTAINER_CREDENTIALS_RELATIVE_URI", "/v2/credentials/x");

fn refusal(access: &AwsAccess, task: &TaskIdentity, built: bool) -> String {
    match question(access, task, built) {
        Err(DefinitionError::Refused(why)) => why,
        other => panic!("{other:?}"),
    }
}

#[test]
fn with_a_role_the_revision_is_asked_for_that_the_task_is_of() {
    let question = question(&access(&[ROLE]), &task(), true);
    assert_eq!(question, Ok(("web:26".to_owned(), "eu-west-1".to_owned())));
}

#[test]
fn a_build_without_aws_parts_says_so() {
    let why = refusal(&access(&[ROLE]), &task(), false);
    assert!(why.contains("this build of taskmesh has no AWS parts"), "{why}");
}

#[test]
fn without_a_role_nobody_is_asked() {
    for vars in [&[][..], &[("AWS_REGION", "eu-west-1"), ("AWS_ACCESS_KEY_ID", "")]] {
        let why = refusal(&access(vars), &task(), true);
        assert!(why.starts_with("no task role"), "{why}");
    }
}

#[test]
fn a_task_without_a_definition_or_a_region_cannot_be_asked_for() {
    let nameless = TaskIdentity { revision: String::new(), ..task() };
    let why = refusal(&access(&[ROLE]), &nameless, true);
    assert!(why.contains("does not name the task definition"), "{why}");
    let placeless = TaskIdentity { task_arn: "t".to_owned(), ..task() };
    let why = refusal(&access(&[ROLE]), &placeless, true);
    assert!(why.contains("no AWS_REGION"), "{why}");
}

#[test]
fn the_region_is_the_environments_and_else_the_arns() {
    assert_eq!(access(&[("AWS_REGION", "us-east-2")]).region.as_deref(), Some("us-east-2"));
    let both = [("AWS_REGION", ""), ("AWS_DEFAULT_REGION", "us-west-1")];
    assert_eq!(access(&both).region.as_deref(), Some("us-west-1"));
    assert_eq!(access(&[]).region, None);
    assert_eq!(region_of(&task().task_arn).as_deref(), Some("eu-west-1"));
    assert_eq!(region_of("arn:aws:ecs::1:task/x"), None);
    assert_eq!(region_of("t"), None);
}
