//! A secured mesh, AWS, and the images of a task.

use super::{USER, said};
use crate::support::{LONG, serving};
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::time::Duration;
use testbed::cluster::{Backend, Cluster, ClusterPlan, MeshTask, TaskPlan};
use testbed::definitions::wrapped;
use testbed::ecs::{EcsTask, Flavour, TaskSpec, refusals};
use testbed::image::{Builder, Dockerfile, Image, Parts, place};
use testbed::mesh::Token;
use testbed::moto::Moto;
use testbed::net::Lan;
use testbed::scratch::Scratch;
use testbed::skip::skip;
use tokio::time::Instant;

const REGION: &str = "us-east-1";
const ACCOUNT: &str = "123456789012";
const HELPER: &str = "registry.example/taskmesh:0.1.0";
const APP: &str = "registry.example/api:1";

pub(super) fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// A definition of `deploy/` with its placeholders filled in.
pub(super) fn filled(name: &str, values: &BTreeMap<&str, String>) -> Value {
    let file = root().join(format!("deploy/{name}.json"));
    let mut text = std::fs::read_to_string(file).expect("a definition");
    for (placeholder, value) in values {
        text = text.replace(&format!("<{placeholder}>"), value);
    }
    serde_json::from_str(&text).expect("JSON")
}

/// Everything that a task definition needs around it.
pub(super) struct Site {
    pub(super) cluster: Cluster,
    pub(super) moto: Moto,
    helper: Image,
    app: Image,
    dir: Scratch,
}

impl Site {
    /// `None` after having said what is missing.
    pub(super) async fn new() -> Option<Self> {
        let missing = testbed::parts::envoy().err().or(testbed::parts::moto_server().err());
        if let Some(missing) = missing {
            skip(&missing.to_string());
            return None;
        }
        let backend = Backend::best().expect("CONSUL_BIN");
        let plan = ClusterPlan::new(backend).tls().gossip_key().acl("api");
        let cluster = plan.start().await.expect("cluster");
        if let Some(why) = cluster.lan().loopback_reason() {
            skip(&format!("no root file system of a container's own: {why}"));
            return None;
        }
        let moto = Moto::start(cluster.lan().hub()).await.expect("moto");
        let dir = Scratch::new().expect("dir");
        let parts = Parts::find(cluster.consul()).expect("parts");
        let app = parts.app(&dir.path().join("app")).expect("app");
        let to = dir.path().join("image");
        let helper = image(cluster.lan(), &to, &dockerfile(), parts, None).await.expect("image");
        let tokens = cluster.security().tokens.clone().expect("tokens");
        for (id, token) in
            [("mesh-consul-client-token", &tokens.agent), ("mesh-api", &tokens.service)]
        {
            let pair = json!({ "accessor_id": "-", "token": token });
            moto.create_secret(REGION, id, &pair).await.expect("secret");
        }
        Some(Self { cluster, moto, helper, app, dir })
    }

    /// For the placeholders.
    pub(super) fn values(&self) -> BTreeMap<&'static str, String> {
        let arn =
            |name: &str| format!("arn:aws:secretsmanager:{REGION}:{ACCOUNT}:secret:{name}-AbCdEf");
        [
            ("REGION", REGION.to_owned()),
            ("ACCOUNT", ACCOUNT.to_owned()),
            ("REGISTRY", "registry.example".to_owned()),
            ("VERSION", "0.1.0".to_owned()),
            ("SERVICE", "api".to_owned()),
            ("PREFIX", "mesh".to_owned()),
            ("APP_IMAGE", APP.to_owned()),
            ("TASK_ROLE", "mesh/api".to_owned()),
            ("EXECUTION_ROLE", "mesh-execution".to_owned()),
            ("LOG_GROUP", "/ecs/mesh".to_owned()),
            ("CONSUL_SERVERS", self.cluster.lan().hub().ip().to_string()),
            ("ARN_OF_CA_CERT", arn("mesh-consul-ca-cert")),
            ("ARN_OF_GOSSIP_KEY", arn("mesh-consul-gossip-key")),
            ("ARN_OF_CLIENT_TOKEN", arn("mesh-consul-client-token")),
            ("ARN_OF_SERVICE_TOKEN", arn("mesh-api")),
        ]
        .into()
    }

    /// What `secrets` bring, by `valueFrom`.
    fn secrets(&self) -> BTreeMap<String, String> {
        let security = self.cluster.security();
        let values = self.values();
        let tokens = security.tokens.clone().expect("tokens");
        let ca = std::fs::read_to_string(security.ca.as_ref().expect("CA")).expect("CA");
        let of = |name: &str, key: &str| format!("{}{key}", values[name]);
        [
            (of("ARN_OF_CA_CERT", ""), ca),
            (of("ARN_OF_GOSSIP_KEY", ""), security.gossip_key.clone().expect("key")),
            (of("ARN_OF_CLIENT_TOKEN", ":token::"), tokens.agent),
            (of("ARN_OF_SERVICE_TOKEN", ":token::"), tokens.service),
        ]
        .into()
    }

    /// Registers a definition and starts a task of it.
    pub(super) async fn start(&self, definition: &Value, flavour: Flavour) -> EcsTask {
        assert_eq!(refusals(definition), Vec::<String>::new());
        self.moto.register_task_definition(REGION, definition).await.expect("registered");
        let images = [(HELPER.to_owned(), &self.helper), (APP.to_owned(), &self.app)].into();
        let placed = place(definition.clone(), &images, &self.volumes()).expect("placed");
        let mut spec = TaskSpec::new(placed.definition).expect("a definition");
        if flavour == Flavour::Fargate {
            spec = spec.fargate();
        }
        let mut spec = spec.time_scale(10.0).env("AWS_ENDPOINT_URL", self.moto.url());
        spec.roots = placed.roots;
        spec.secrets = self.secrets();
        spec.service = Some("api".to_owned());
        spec.region = REGION.to_owned();
        spec.account = ACCOUNT.to_owned();
        spec.task_role = true;
        let host = self.cluster.lan().host("api-1").expect("host");
        EcsTask::start(&host, spec).await.expect("task")
    }

    fn volumes(&self) -> PathBuf {
        self.dir.path().join("volumes")
    }

    /// Until peers are sent to the app.
    pub(super) async fn until_offered(&self, task: &EcsTask) {
        let began = Instant::now();
        loop {
            let offered = self.cluster.offered("api").await.expect("server");
            if matches!(&offered[..], [(_, false)]) {
                return;
            }
            let late = began.elapsed() > LONG || task.is_stopping();
            assert!(!late, "{offered:?}: {}\n{:?}", said(task), task.output("app"));
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }

    /// A task that may call it, with tokens and keys of its own.
    pub(super) async fn caller(&self) -> MeshTask {
        let web = "00000000-0000-4000-8000-00000000000d".to_owned();
        let security = self.cluster.security();
        let tokens = security.tokens.clone().expect("tokens");
        let token = Token::service(web.clone(), "web");
        self.cluster.make_token("web", token).await.expect("token");
        let allowed = json!({
            "Kind": "service-intentions", "Name": "api",
            "Sources": [{ "Name": "web", "Action": "allow" }]
        });
        self.cluster.server_put("/v1/config", allowed).await.expect("intention");
        let key = security.gossip_key.clone().expect("key");
        let upstream = ["--upstream", "http://127.0.0.1:{{upstream_port}}"];
        let plan = TaskPlan::new("web-1", "web", wrapped("web", &upstream))
            .upstream("api")
            .config(json!({ "consul": {
                "acl": {}, "agentToken": { "env": "A" }, "serviceToken": { "env": "S" },
                "gossipKey": { "env": "G" }, "tls": { "ca": { "file": security.ca } }
            }}))
            .platform(move |spec| {
                for (name, value) in [("A", tokens.agent), ("S", web), ("G", key)] {
                    spec.env.insert(name.to_owned(), value);
                }
            });
        serving(&self.cluster, plan).await
    }

    /// Volumes belong to the image's user, and no folder of ours is left in `/tmp`.
    pub(super) fn assert_left_clean(&self) {
        for volume in std::fs::read_dir(self.volumes()).expect("volumes") {
            let volume = volume.expect("a volume").path();
            let meta = volume.metadata().expect("meta");
            let tmp = volume.ends_with("tmp");
            let ours = if tmp { meta.mode() & 0o7777 == 0o1777 } else { meta.uid() == USER };
            assert!(ours, "{}: {meta:?}", volume.display());
            let inside = std::fs::read_dir(&volume).expect("volume").count();
            assert!(!tmp || inside == 0, "{inside} files in /tmp");
        }
    }
}

/// The text of the `Dockerfile`.
pub(super) fn dockerfile() -> String {
    std::fs::read_to_string(root().join("Dockerfile")).expect("Dockerfile")
}

/// The image that this `Dockerfile` gives.
pub(super) async fn image(
    lan: &Lan,
    to: &Path,
    dockerfile: &str,
    parts: Parts,
    target: Option<&str>,
) -> anyhow::Result<Image> {
    let file = Dockerfile::parse(dockerfile, &[])?;
    Builder::new(file, root(), to, parts, lan.hub()).build(target).await
}
