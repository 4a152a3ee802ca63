//! The controller's task definition in `deploy/`, as it stands, from the image that the `Dockerfile` builds.

use crate::place::{LONG, REGION, place};
use serde_json::Value;
use std::path::Path;
use std::time::Duration;
use testbed::ecs::{EcsTask, Health, TaskSpec};
use testbed::image::{Builder, Dockerfile, Parts, place as placed};
use testbed::scratch::Scratch;
use testbed::skip::skip;
use tokio::time::Instant;

const MANAGEMENT: &str = "00000000-0000-4000-8000-000000000001";
const IMAGE: &str = "registry.example/taskmesh-controller:0.1.0";
const TOKEN: &str =
    "arn:aws:secretsmanager:us-east-1:123456789012:secret:mesh-consul-controller-token-AbCdEf";
const CA: &str = "arn:aws:secretsmanager:us-east-1:123456789012:secret:mesh-consul-ca-cert-AbCdEf";

fn definition(consul: &str) -> Value {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let file = root.join("deploy/controller-task-definition.json");
    let mut text = std::fs::read_to_string(file).expect("a definition");
    for (name, value) in [
        ("REGION", REGION),
        ("ACCOUNT", "123456789012"),
        ("REGISTRY", "registry.example"),
        ("VERSION", "0.1.0"),
        ("PREFIX", "mesh"),
        ("CONTROLLER_ROLE", "mesh-controller"),
        ("CONTROLLER_EXECUTION_ROLE", "mesh-controller-execution"),
        ("LOG_GROUP", "/ecs/mesh"),
        ("CONSUL_URL", consul),
        ("ARN_OF_CONTROLLER_TOKEN", TOKEN),
        ("ARN_OF_CA_CERT", CA),
    ] {
        text = text.replace(&format!("<{name}>"), value);
    }
    serde_json::from_str(&text).expect("JSON")
}

fn said(task: &EcsTask) -> String {
    let lines = task.output("controller");
    lines.iter().map(|line| line.text.as_str()).collect::<Vec<_>>().join("\n")
}

#[tokio::test]
async fn the_definition_lives_from_its_image_and_makes_tokens() {
    let Some(place) = place(&["prod"]).await else { return };
    let hub = place.consul.lan().hub();
    if let Some(why) = place.consul.lan().loopback_reason() {
        return skip(&format!("no root file system of a container's own: {why}"));
    }
    let parts = match Parts::find(place.consul.consul()) {
        Ok(parts) => parts,
        Err(missing) => return skip(&missing.to_string()),
    };
    let dir = Scratch::new().expect("dir");
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let text = std::fs::read_to_string(root.join("Dockerfile")).expect("Dockerfile");
    let file = Dockerfile::parse(&text, &[]).expect("Dockerfile");
    let mut builder = Builder::new(file, root, &dir.path().join("image"), parts, hub);
    let image = builder.build(Some("controller")).await.expect("image");

    let definition = definition(&format!("http://{}:8500", hub.ip()));
    assert_eq!(testbed::ecs::refusals(&definition), Vec::<String>::new());
    let images = [(IMAGE.to_owned(), &image)].into();
    let ready = placed(definition, &images, &dir.path().join("volumes")).expect("placed");
    let spec = TaskSpec::new(ready.definition).expect("a definition").fargate();
    let mut spec = spec.time_scale(10.0).env("AWS_ENDPOINT_URL", place.moto.url());
    spec.roots = ready.roots;
    // Consul speaks no TLS here, and so nobody looks at this.
    let key = rcgen::generate_simple_self_signed(["consul".to_owned()]).expect("certificate");
    let secrets = [(TOKEN, MANAGEMENT.to_owned()), (CA, key.cert.pem())];
    spec.secrets = secrets.map(|(arn, value)| (arn.to_owned(), value)).into();
    spec.region = REGION.to_owned();
    spec.cluster = "prod".to_owned();
    spec.task_role = true;
    let host = place.consul.lan().host("controller").expect("host");
    let task = EcsTask::start(&host, spec).await.expect("task");
    place.run("prod", "api", &[]).await;
    let began = Instant::now();
    while !place.is_whole("api").await {
        assert!(began.elapsed() < LONG && !task.is_stopping(), "{}", said(&task));
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    let container = task.container("controller").expect("controller");
    let healthy = tokio::time::timeout(LONG, container.wait_health(Health::Healthy)).await;
    assert_eq!(healthy, Ok(true), "{}", said(&task));

    task.stop();
    let result = tokio::time::timeout(LONG, task.wait_stopped()).await.expect("stopped");
    let end = result.container("controller").expect("controller");
    assert_eq!((end.exit_code, end.killed), (Some(0), false), "{}", said(&task));
}
