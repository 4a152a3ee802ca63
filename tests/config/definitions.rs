//! The task definitions in `deploy/`: ECS would register them, AWS's own model of the API knows every key, and what they
//! say fits together. Tests of `timeline` and `controller` start them.

use crate::*;
use std::process::Command;
use std::time::Duration;
use taskmesh::config::ControllerConfig;
use testbed::ecs::refusals;

const SERVICES: [&str; 2] = ["task-definition-fargate", "task-definition-ec2"];
const CONTROLLER: &str = "controller-task-definition";

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

fn text(name: &str) -> String {
    std::fs::read_to_string(root().join(format!("deploy/{name}.json"))).unwrap()
}

/// The names in angle brackets.
fn placeholders(text: &str) -> Vec<String> {
    let inner = text.split('<').skip(1).filter_map(|rest| rest.split_once('>'));
    inner.map(|(name, _)| name.to_owned()).collect()
}

/// With something of the right form in place of each.
fn filled(name: &str) -> Value {
    let mut text = text(name);
    for placeholder in placeholders(&text) {
        let value = match placeholder.as_str() {
            "ACCOUNT" => "123456789012".to_owned(),
            "SERVICE" => "api".to_owned(),
            "CONSUL_SERVERS" => "10.0.0.10".to_owned(),
            "CONSUL_URL" => "https://consul.example:8501".to_owned(),
            arn if arn.starts_with("ARN_") => {
                format!("arn:aws:secretsmanager:eu-west-1:123456789012:secret:{arn}-AbCdEf")
            }
            other => other.to_lowercase(),
        };
        text = text.replace(&format!("<{placeholder}>"), &value);
    }
    serde_json::from_str(&text).unwrap()
}

fn containers(definition: &Value) -> &Vec<Value> {
    definition["containerDefinitions"].as_array().unwrap()
}

/// A variable's value.
fn variable<'a>(container: &'a Value, name: &str) -> &'a str {
    let all = container["environment"].as_array().unwrap();
    all.iter().find(|pair| pair["name"] == name).unwrap()["value"].as_str().unwrap()
}

#[test]
fn ecs_would_register_every_definition() {
    for name in SERVICES.into_iter().chain([CONTROLLER]) {
        assert_eq!(refusals(&filled(name)), Vec::<String>::new(), "{name}");
    }
    let files = std::fs::read_dir(root().join("deploy")).unwrap();
    let json =
        files.filter(|f| f.as_ref().unwrap().path().extension().is_some_and(|e| e == "json"));
    assert_eq!(json.count(), 3, "a definition that no test knows");
}

/// botocore, the AWS CLI's own library, which moto brings along, checks input before it sends it.
#[test]
fn the_aws_cli_would_take_every_definition() {
    const SCRIPT: &str = "
import json, sys
import botocore.loaders, botocore.model, botocore.validate
model = botocore.model.ServiceModel(botocore.loaders.Loader().load_service_model('ecs', 'service-2'))
shape = model.operation_model('RegisterTaskDefinition').input_shape
report = botocore.validate.ParamValidator().validate(json.loads(sys.argv[1]), shape)
print(report.generate_report())";
    let python = match testbed::parts::moto_server() {
        Ok(server) => server.with_file_name("python"),
        Err(missing) => return testbed::skip::skip(&missing.to_string()),
    };
    let report = |definition: &Value| {
        let run = Command::new(&python).args(["-c", SCRIPT, &definition.to_string()]).output();
        let run = run.unwrap();
        assert!(run.status.success(), "{}", String::from_utf8_lossy(&run.stderr));
        String::from_utf8_lossy(&run.stdout).trim().to_owned()
    };
    for name in SERVICES.into_iter().chain([CONTROLLER]) {
        assert_eq!(report(&filled(name)), "", "{name}");
    }
    let mut wrong = filled(CONTROLLER);
    wrong["containerDefinitions"][0]["healthcheck"] = json!({});
    assert!(report(&wrong).contains("healthcheck"), "{}", report(&wrong));
}

#[test]
fn every_placeholder_is_in_the_readme_and_none_is_explained_in_vain() {
    let readme = std::fs::read_to_string(root().join("deploy/README.md")).unwrap();
    let mut used: Vec<_> = SERVICES.into_iter().chain([CONTROLLER]).map(text).collect();
    for file in std::fs::read_dir(root().join("deploy/iam")).unwrap() {
        used.push(std::fs::read_to_string(file.unwrap().path()).unwrap());
    }
    let used = used.join("\n");
    let table = readme.split("## Placeholders").nth(1).unwrap().split("\n## ").next().unwrap();
    for name in placeholders(&used) {
        assert!(table.contains(&format!("`<{name}>`")), "{name} is not explained");
    }
    for name in placeholders(table) {
        assert!(used.contains(&format!("<{name}>")), "{name} is used nowhere");
    }
}

#[test]
fn the_times_of_a_service_fit_each_other() {
    for name in SERVICES {
        let definition = filled(name);
        let [helper, app] = &containers(&definition)[..] else { panic!("{name}") };
        let loaded = load_text(variable(helper, OURS)).unwrap();
        assert!(loaded.warnings.is_empty(), "{name}: {:?}", loaded.warnings);
        let lifecycle = &loaded.config.lifecycle;
        let seconds = |value: &Value| Duration::from_secs(value.as_u64().unwrap());
        assert_eq!(seconds(&helper["stopTimeout"]), lifecycle.stop_timeout, "{name}");
        assert_eq!(helper["stopTimeout"], app["stopTimeout"], "{name}");
        let grace = seconds(&helper["healthCheck"]["startPeriod"]);
        assert!(grace >= lifecycle.start_timeout, "{name}");
        if let Some(limit) = helper["startTimeout"].as_u64() {
            assert!(Duration::from_secs(limit) > grace, "{name}");
        }
    }
}

#[test]
fn helpers_have_no_right_that_they_do_not_need() {
    for name in SERVICES.into_iter().chain([CONTROLLER]) {
        let definition = filled(name);
        let ours = &containers(&definition)[0];
        assert_eq!(ours["readonlyRootFilesystem"], true, "{name}");
        assert_eq!(ours["user"], "65532:65532", "{name}");
        assert_eq!(ours["linuxParameters"]["capabilities"]["drop"], json!(["ALL"]), "{name}");
        // No shell is in the images.
        assert_eq!(ours["healthCheck"]["command"][0], "CMD", "{name}");
    }
}

#[test]
fn services_have_the_tags_by_which_the_controller_finds_them() {
    for name in SERVICES {
        let definition = filled(name);
        let tags = [("mesh", "true"), ("service-name", "api")].map(
            |(key, value)| json!({ "key": format!("consul.hashicorp.com/{key}"), "value": value }),
        );
        assert_eq!(definition["tags"], json!(tags), "{name}");
    }
}

#[test]
fn both_ways_of_starting_an_app_and_of_getting_tokens_are_shown() {
    let [fargate, ec2] = SERVICES.map(filled);
    let app = |definition: &Value| containers(definition)[1].clone();
    assert_eq!(app(&fargate)["entryPoint"], json!(["/taskmesh/taskmesh", "app", "--"]));
    assert_eq!(app(&ec2)["dependsOn"][0]["condition"], "HEALTHY");
    let config = |definition: &Value| variable(&containers(definition)[0], OURS).to_owned();
    assert!(
        config(&fargate).contains("secretsManager") && !config(&ec2).contains("secretsManager")
    );
}

#[test]
fn the_controllers_configuration_is_right() {
    let definition = filled(CONTROLLER);
    let text = variable(&containers(&definition)[0], "TASKMESH_CONTROLLER_CONFIG_JSON");
    let document: Value = serde_json::from_str(text).unwrap();
    let config: ControllerConfig = serde_json::from_value(document).unwrap();
    assert_eq!(config.consul.address.as_deref(), Some("https://consul.example:8501"));
}
