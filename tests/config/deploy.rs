//! The policy documents in `deploy/iam/`: they allow what is called, and nothing else.

use crate::*;
use std::collections::BTreeSet;

/// Each call of an AWS API in `src/`: its operation, how the SDK spells it, the action that it needs, and in which
/// document that stands.
const CALLS: [(&str, &str, Option<&str>, &[&str]); 7] = [
    ("ListTasks", ".list_tasks()", Some("ecs:ListTasks"), &["controller-task-role"]),
    ("DescribeTasks", ".describe_tasks()", Some("ecs:DescribeTasks"), &["controller-task-role"]),
    (
        "GetSecretValue",
        ".get_secret_value()",
        Some("secretsmanager:GetSecretValue"),
        &["controller-task-role", "task-role"],
    ),
    (
        "CreateSecret",
        ".create_secret()",
        Some("secretsmanager:CreateSecret"),
        &["controller-task-role"],
    ),
    (
        "UpdateSecret",
        ".update_secret()",
        Some("secretsmanager:UpdateSecret"),
        &["controller-task-role"],
    ),
    (
        "DescribeTaskDefinition",
        ".describe_task_definition()",
        Some("ecs:DescribeTaskDefinition"),
        &["task-role"],
    ),
    // Everybody may ask who they are.
    ("GetCallerIdentity", ".get_caller_identity()", None, &[]),
];
/// Calls that we sign and a Consul server makes: the text that names them in `src/`.
const SIGNED: [(&str, &str, &str); 1] = [("\"GetRole\"", "iam:GetRole", "task-role")];
/// What ECS itself does before a task starts.
const OF_ECS: [&str; 7] = [
    "ecr:BatchCheckLayerAvailability",
    "ecr:BatchGetImage",
    "ecr:GetAuthorizationToken",
    "ecr:GetDownloadUrlForLayer",
    "logs:CreateLogStream",
    "logs:PutLogEvents",
    "secretsmanager:GetSecretValue",
];
/// Actions for which AWS knows no resource.
const WITHOUT_RESOURCE: [&str; 3] =
    ["ecs:ListTasks", "ecs:DescribeTaskDefinition", "ecr:GetAuthorizationToken"];

/// The documents.
const ROLES: [&str; 4] =
    ["controller-task-role", "task-role", "execution-role", "controller-execution-role"];

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

fn document(name: &str) -> Value {
    let text = std::fs::read_to_string(root().join(format!("deploy/iam/{name}.json"))).unwrap();
    serde_json::from_str(&text).unwrap()
}

fn statements(document: &Value) -> Vec<Value> {
    assert_eq!(document["Version"], "2012-10-17");
    document["Statement"].as_array().unwrap().clone()
}

/// One text or a list of them.
fn texts(value: &Value) -> Vec<String> {
    let one = value.as_str().map(str::to_owned).into_iter();
    let many = value.as_array().into_iter().flatten();
    one.chain(many.map(|text| text.as_str().unwrap().to_owned())).collect()
}

fn actions(name: &str) -> BTreeSet<String> {
    statements(&document(name)).iter().flat_map(|statement| texts(&statement["Action"])).collect()
}

/// The texts of `src/` that are no tests.
fn sources() -> Vec<(PathBuf, String)> {
    let mut folders = vec![root().join("src")];
    let mut found = Vec::new();
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()) {
            let name = entry.file_name().unwrap().to_str().unwrap();
            if entry.is_dir() {
                folders.push(entry);
            } else if name.ends_with(".rs") && !name.ends_with("tests.rs") {
                found.push((entry.clone(), std::fs::read_to_string(&entry).unwrap()));
            }
        }
    }
    found
}

#[test]
fn every_call_of_an_aws_api_is_one_that_the_policies_know() {
    for (file, text) in sources() {
        if text.contains("aws_sdk_") {
            let known: usize = CALLS.iter().map(|call| text.matches(call.1).count()).sum();
            assert_eq!(text.matches(".send()").count(), known, "{}", file.display());
        }
    }
}

#[test]
fn every_call_is_allowed_where_it_is_made_and_nothing_else_is() {
    let all: String = sources().into_iter().map(|(_, text)| text).collect();
    let mut needed = BTreeMap::<&str, BTreeSet<String>>::new();
    for (operation, spelled, action, documents) in CALLS {
        assert!(all.contains(spelled), "{operation} is called no more");
        for (document, action) in documents.iter().zip(action.into_iter().cycle()) {
            needed.entry(document).or_default().insert(action.to_owned());
        }
    }
    for (spelled, action, document) in SIGNED {
        assert!(all.contains(spelled), "{spelled} is signed no more");
        needed.entry(document).or_default().insert(action.to_owned());
    }
    for role in ["execution-role", "controller-execution-role"] {
        needed.insert(role, OF_ECS.map(str::to_owned).into());
    }
    for (document, needed) in &needed {
        assert_eq!(&actions(document), needed, "{document}");
    }
    let files = std::fs::read_dir(root().join("deploy/iam")).unwrap();
    assert_eq!(files.count(), needed.len());
}

#[test]
fn each_statement_is_as_narrow_as_it_can_be_and_said_in_the_readme() {
    let readme = std::fs::read_to_string(root().join("deploy/README.md")).unwrap();
    for name in ROLES {
        let text = document(name).to_string();
        for placeholder in text.split('<').skip(1).map(|rest| rest.split_once('>').unwrap().0) {
            assert!(readme.contains(&format!("`<{placeholder}>`")), "{name}: {placeholder}");
        }
        for statement in statements(&document(name)) {
            assert_eq!(statement["Effect"], "Allow");
            let actions = texts(&statement["Action"]);
            assert!(actions.iter().all(|action| !action.contains('*')), "{statement}");
            if texts(&statement["Resource"]) == ["*"] {
                assert!(WITHOUT_RESOURCE.contains(&&*actions[0]) && actions.len() == 1);
            }
            let sid = statement["Sid"].as_str().unwrap();
            assert!(
                name.ends_with("execution-role") || readme.contains(&format!("`{sid}`")),
                "{sid}"
            );
        }
    }
}
