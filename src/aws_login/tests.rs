//! Logins on the real parts: AWS as moto serves it, which checks every signature and every right here, and a current
//! Consul with an `aws-iam` auth method, named by `CONSUL_BIN`.

use super::*;
use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use secrecy::ExposeSecret;
use serde_json::{Value, json};
use testbed::mesh::{Acl, Consul, Kind, Ports, ServerOptions, Token};
use testbed::moto::{Moto, RoleKeys};
use testbed::net::Lan;
use testbed::skip::skip;

const REGION: &str = "eu-west-1";
const TASK: &str = "158d1c8083dd49d6b527399fd6414f5c";
const LONG: Duration = Duration::from_secs(60);
const MANAGEMENT: &str = "00000000-0000-4000-8000-000000000001";
const SERVER_ID: &str = "mesh.example.com";

/// AWS, with the keys of two tasks: one whose role may read itself, and one whose role may do nothing.
struct Cloud {
    _lan: Lan,
    moto: Moto,
    api: RoleKeys,
    web: RoleKeys,
}

async fn cloud() -> Option<Cloud> {
    if let Err(missing) = testbed::parts::moto_server() {
        skip(&missing.to_string());
        return None;
    }
    let lan = Lan::on_loopback("no need for namespaces").unwrap();
    let moto = Moto::start(lan.hub()).await.unwrap();
    let itself = "arn:aws:iam::123456789012:role/mesh/api";
    let read = json!([{ "Effect": "Allow", "Action": "iam:GetRole", "Resource": itself }]);
    let api = moto.role("/mesh/", "api", &read, TASK).await.unwrap();
    let nothing = json!([{ "Effect": "Deny", "Action": "iam:*", "Resource": "*" }]);
    let web = moto.role("/mesh/", "web", &nothing, TASK).await.unwrap();
    moto.enforce_rights().await.unwrap();
    Some(Cloud { _lan: lan, moto, api, web })
}

impl Cloud {
    /// What a task with these keys and this `consul.login` has.
    async fn source(&self, keys: &RoleKeys, login: Value, consul: &Client) -> LoginSource {
        let session = Some(keys.session.clone());
        let keys = Credentials::new(&keys.id, &keys.secret, session, None, "test");
        let loader = aws_config::defaults(aws_config::BehaviorVersion::latest())
            .credentials_provider(keys)
            .endpoint_url(self.moto.url());
        let sdk = aws::config(loader, REGION.to_owned()).load().await;
        let config: config::Login = serde_json::from_value(login).unwrap();
        let place = Place::of(&config, REGION.to_owned()).unwrap();
        LoginSource::new(&config, place, &sdk, meta(&config, &task()), consul.clone()).unwrap()
    }

    /// Sends the request to moto as Consul does: to another address, with the URL's host in its head.
    async fn send(&self, url: &str, headers: &Value, body: String) -> (u16, String) {
        let url = reqwest::Url::parse(url).unwrap();
        let client = crate::wire::client();
        let mut request = client.post(format!("{}{}", self.moto.url(), url.path())).body(body);
        request = request.header("Host", url.host_str().unwrap());
        for (name, values) in headers.as_object().unwrap() {
            request = request.header(name, values[0].as_str().unwrap());
        }
        let answer = request.send().await.unwrap();
        (answer.status().as_u16(), answer.text().await.unwrap())
    }
}

/// What an ECS task of the cluster `prod` says of itself.
fn task() -> TaskIdentity {
    TaskIdentity {
        task_id: TASK.to_owned(),
        cluster: "arn:aws:ecs:eu-west-1:123456789012:cluster/prod".to_owned(),
        ..TaskIdentity::default()
    }
}

fn nobody() -> Client {
    Client::new("http://127.0.0.1:1", None).unwrap()
}

#[tokio::test]
async fn aws_takes_what_the_bearer_token_describes_and_nothing_else() {
    let Some(cloud) = cloud().await else { return };
    let login = json!({ "method": "m", "serverIdHeader": SERVER_ID });
    let source = cloud.source(&cloud.api, login, &nobody()).await;
    let bearer = source.bearer().await.unwrap();
    let token: Value = serde_json::from_str(bearer.expose_secret()).unwrap();
    let part = |key: &str| {
        let bytes = BASE64_STANDARD.decode(token[key].as_str().unwrap()).unwrap();
        String::from_utf8(bytes).unwrap()
    };
    let (url, body) = (part("iam_request_url"), part("iam_request_body"));
    let headers: Value = serde_json::from_str(&part("iam_request_headers")).unwrap();
    let (status, answer) = cloud.send(&url, &headers, body.clone()).await;
    let arn = format!("<Arn>arn:aws:sts::123456789012:assumed-role/api/{TASK}</Arn>");
    assert!(status == 200 && answer.contains(&arn), "{status} {answer}");

    let inner = |name: &str| headers[format!("X-Consul-Iam-Getentity-{name}")][0].as_str().unwrap();
    let inner_headers: Value = serde_json::from_str(inner("Headers")).unwrap();
    let form = inner("Body").to_owned();
    let (status, answer) = cloud.send(inner("Url"), &inner_headers, form).await;
    let arn = "<Arn>arn:aws:iam::123456789012:role/mesh/api</Arn>";
    assert!(status == 200 && answer.contains(arn), "{status} {answer}");

    // Somebody who changes a header on the way changes what is signed.
    for name in ["X-Consul-Iam-Serverid", "X-Consul-Iam-Getentity-Body", "X-Amz-Security-Token"] {
        let mut other = headers.clone();
        other[name] = json!(["another"]);
        let (status, answer) = cloud.send(&url, &other, body.clone()).await;
        assert_eq!(status, 403, "{name}: {answer}");
    }
}

/// A server with an auth method that reads the role, one that does not, and one that binds nobody.
async fn consul(cloud: &Cloud) -> Option<(Consul, tempfile::TempDir)> {
    let bin = match testbed::parts::consul() {
        Ok(bin) => bin,
        Err(missing) => {
            skip(&missing.to_string());
            return None;
        }
    };
    let dir = tempfile::tempdir().unwrap();
    let acl = Acl { management: MANAGEMENT.to_owned(), tokens: Vec::new() };
    let options = ServerOptions {
        ports: Ports::free().unwrap(),
        acl: Some(acl),
        ..ServerOptions::new(&bin, Kind::of(&bin).unwrap(), dir.path())
    };
    let server = options.spawn().unwrap();
    server.ready(LONG).await.unwrap();
    let api = "arn:aws:iam::123456789012:role/";
    for (name, more, rule) in [
        (
            "whole",
            json!({
                "BoundIAMPrincipalARNs": [format!("{api}mesh/*")], "EnableIAMEntityDetails": true,
                "ServerIDHeaderValue": SERVER_ID,
            }),
            Some("entity_path==`/mesh/`"),
        ),
        ("plain", json!({ "BoundIAMPrincipalARNs": [format!("{api}api")] }), Some("")),
        ("unbound", json!({ "BoundIAMPrincipalARNs": [format!("{api}api")] }), None),
    ] {
        let mut config =
            json!({ "STSEndpoint": cloud.moto.url(), "IAMEndpoint": cloud.moto.url() });
        config.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        let method =
            json!({ "Name": name, "Type": "aws-iam", "MaxTokenTTL": "2m", "Config": config });
        // The ACLs of a new leader come a moment after it.
        let begun = tokio::time::Instant::now();
        while let Err(error) = server.put("/v1/acl/auth-method", MANAGEMENT, &method).await {
            assert!(begun.elapsed() < LONG, "{error}");
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        if let Some(selector) = rule {
            let rule = json!({
                "AuthMethod": name, "BindType": "service", "BindName": "${entity_name}",
                "Selector": selector,
            });
            server.put("/v1/acl/binding-rule", MANAGEMENT, &rule).await.unwrap();
        }
    }
    // The agent's method: by a role, since its rights are on all nodes.
    let client = Token::agent("").rules;
    let body = json!({ "Name": "client", "Rules": client });
    server.put("/v1/acl/policy", MANAGEMENT, &body).await.unwrap();
    let body = json!({ "Name": "ecs-client", "Policies": [{ "Name": "client" }] });
    server.put("/v1/acl/role", MANAGEMENT, &body).await.unwrap();
    let config =
        json!({ "STSEndpoint": cloud.moto.url(), "BoundIAMPrincipalARNs": [format!("{api}api")] });
    let body = json!({ "Name": "agents", "Type": "aws-iam", "Config": config });
    server.put("/v1/acl/auth-method", MANAGEMENT, &body).await.unwrap();
    let body = json!({ "AuthMethod": "agents", "BindType": "role", "BindName": "ecs-client" });
    server.put("/v1/acl/binding-rule", MANAGEMENT, &body).await.unwrap();
    Some((server, dir))
}

#[tokio::test]
async fn a_real_consul_gives_a_token_for_the_tasks_role_and_takes_it_back() {
    let Some(cloud) = cloud().await else { return };
    let Some((server, _dir)) = consul(&cloud).await else { return };
    let client = Client::new(&format!("http://{}", server.http()), None).unwrap();
    for (method, include) in [("whole", true), ("plain", false), ("plain", true)] {
        let login = json!({
            "method": method, "includeEntity": include, "serverIdHeader": SERVER_ID,
            "meta": { "team": "payments" },
        });
        let source = cloud.source(&cloud.api, login, &client).await;
        let login = source.login(method).await.unwrap();
        let token = login.token.expose_secret();
        let asked =
            async || server.call("GET", "/v1/acl/token/self", token, &Value::Null).await.unwrap();
        let (status, own) = asked().await;
        assert_eq!((status, &own["AccessorID"]), (200, &json!(login.accessor)), "{own}");
        assert_eq!(own["ServiceIdentities"], json!([{ "ServiceName": "api" }]));
        let description = own["Description"].as_str().unwrap();
        for word in ["payments", TASK, "consul.hashicorp.com/cluster", "cluster/prod"] {
            assert!(description.contains(word), "{description}");
        }
        let life = login.expires.unwrap().duration_since(login.issued);
        assert_eq!(life.as_secs(), 120);
        source.logout(&login.token).await.unwrap();
        assert_eq!(asked().await.0, 403);
        source.logout(&login.token).await.unwrap();
    }
}

/// As the README tells to make it; without a `MaxTokenTTL` the token does not end.
#[tokio::test]
async fn a_real_consul_gives_the_agents_token_by_a_role_of_its_own() {
    let Some(cloud) = cloud().await else { return };
    let Some((server, _dir)) = consul(&cloud).await else { return };
    let client = Client::new(&format!("http://{}", server.http()), None).unwrap();
    let login = json!({ "method": "plain", "agentMethod": "agents" });
    let source = cloud.source(&cloud.api, login, &client).await;
    let login = source.login("agents").await.unwrap();
    assert_eq!(crate::consul::renew_at(login.issued, login.expires, 0.5), None);
    let token = login.token.expose_secret();
    let (_, own) = server.call("GET", "/v1/acl/token/self", token, &Value::Null).await.unwrap();
    assert_eq!(own["Roles"][0]["Name"], "ecs-client", "{own}");
    let nodes = server.call("GET", "/v1/catalog/nodes", token, &Value::Null).await.unwrap();
    assert_eq!(nodes.1[0]["Node"], "server", "{nodes:?}");
}

#[tokio::test]
async fn what_a_real_consul_refuses_says_what_to_do() {
    let Some(cloud) = cloud().await else { return };
    let Some((server, _dir)) = consul(&cloud).await else { return };
    let client = Client::new(&format!("http://{}", server.http()), None).unwrap();
    let said = async |keys, method: &str, include: bool, server_id: Option<&str>| {
        let login = json!({
            "method": method, "includeEntity": include, "serverIdHeader": server_id,
        });
        let source = cloud.source(keys, login, &client).await;
        source.login(method).await.unwrap_err()
    };
    let (api, web, id) = (&cloud.api, &cloud.web, Some(SERVER_ID));
    for (answer, says) in [
        (said(api, "none", true, id).await, "no auth method \"none\""),
        (said(api, "unbound", true, id).await, "no binding rule"),
        (said(web, "plain", false, id).await, "BoundIAMPrincipalARNs"),
        (said(api, "whole", false, id).await, "includeEntity to true"),
        (said(api, "whole", true, None).await, "serverIdHeader"),
        (said(api, "whole", true, Some("another")).await, "serverIdHeader"),
    ] {
        assert!(answer.to_string().contains(says) && !answer.may_pass(), "{answer}");
    }
    // Its role may not read itself. Consul tells only of refusals that are text/xml, as AWS's are and moto's are not.
    let answer = said(web, "whole", true, id).await;
    assert!(answer.to_string().contains("response body is invalid"), "{answer}");
}

#[tokio::test]
async fn without_credentials_or_without_aws_it_says_so_and_may_pass() {
    let config: config::Login = serde_json::from_value(json!({ "method": "m" })).unwrap();
    let keys = Credentials::new("AKID", "secret", None, None, "test");
    let loader = aws_config::defaults(aws_config::BehaviorVersion::latest())
        .credentials_provider(keys)
        .endpoint_url(crate::wire::tests::nobody().await);
    let sdk = aws::config(loader, REGION.to_owned()).load().await;
    let place = || Place::of(&config, REGION.to_owned()).unwrap();
    let source = LoginSource::new(&config, place(), &sdk, BTreeMap::new(), nobody()).unwrap();
    let error = source.login("m").await.unwrap_err();
    assert!(matches!(error, LoginError::Identity(_)) && error.may_pass(), "{error}");
    assert!(error.to_string().contains("refused"), "{error}");

    let loader = aws_config::defaults(aws_config::BehaviorVersion::latest());
    // A profile that is nowhere, instead of the machine's own credentials.
    let with = aws_config::provider_config::ProviderConfig::without_region();
    let with = with.with_http_client(sdk.http_client().unwrap());
    let profile = aws_config::profile::ProfileFileCredentialsProvider::builder().configure(&with);
    let profile = profile.profile_name("taskmesh-test-that-is-nowhere").build();
    let loader = loader.credentials_provider(profile);
    let sdk = aws::config(loader, REGION.to_owned()).load().await;
    let source = LoginSource::new(&config, place(), &sdk, BTreeMap::new(), nobody()).unwrap();
    let error = source.login("m").await.unwrap_err();
    assert!(error.to_string().contains("task role") && error.may_pass(), "{error}");
}

#[tokio::test]
async fn without_a_region_it_says_where_one_can_be_given() {
    let config: config::Login = serde_json::from_value(json!({ "method": "m" })).unwrap();
    let task = TaskIdentity::default();
    let connect = async |region: &str| {
        LoginSource::connect(&config, region.to_owned(), &task, nobody()).await
    };
    let error = connect("").await.unwrap_err();
    assert!(error.to_string().contains("consul.login.region") && !error.may_pass(), "{error}");
    assert_eq!(connect(REGION).await.unwrap().place.region, REGION);
}

/// On the stand-in, whose tokens may end sooner than Consul's; without AWS, for it asks nobody.
#[tokio::test]
async fn the_development_mesh_takes_the_same_proof_and_ends_its_tokens() {
    let dir = tempfile::tempdir().unwrap();
    let bin = testbed::cluster::beside_us("dev-consul").unwrap();
    let method = json!({
        "name": "m", "kind": "service", "service": "api", "ttl_ms": 3000, "server_id": SERVER_ID,
    });
    let mut whole = method.clone();
    (whole["name"], whole["entity"]) = (json!("whole"), json!(true));
    let options = ServerOptions {
        ports: Ports::free().unwrap(),
        acl: Some(Acl { management: MANAGEMENT.to_owned(), tokens: Vec::new() }),
        extra: json!({ "devmesh": { "auth_methods": [method, whole] } }),
        ..ServerOptions::new(&bin, Kind::Dev, dir.path())
    };
    let server = options.spawn().unwrap();
    server.ready(LONG).await.unwrap();
    let client = Client::new(&format!("http://{}", server.http()), None).unwrap();
    let config = json!({ "method": "m", "includeEntity": false, "serverIdHeader": SERVER_ID });
    let config: config::Login = serde_json::from_value(config).unwrap();
    let keys = Credentials::new("AKID", "sekrit", Some("sekrit too".into()), None, "test");
    let loader = aws_config::defaults(aws_config::BehaviorVersion::latest());
    let loader = loader.credentials_provider(keys).endpoint_url("http://127.0.0.1:1");
    let sdk = aws::config(loader, REGION.to_owned()).load().await;
    let place = Place::of(&config, REGION.to_owned()).unwrap();
    let source = LoginSource::new(&config, place, &sdk, meta(&config, &task()), client).unwrap();

    assert!(!format!("{source:?}").contains("sekrit"));
    let first = source.login("m").await.unwrap();
    let tokens = async || {
        let answer = server.call("GET", "/v1/acl/tokens", MANAGEMENT, &Value::Null).await.unwrap();
        answer.1.as_array().unwrap().len()
    };
    assert_eq!(tokens().await, 2);
    source.logout(&first.token).await.unwrap();
    assert_eq!(tokens().await, 1);
    let second = source.login("m").await.unwrap();
    assert_eq!(second.expires.unwrap().duration_since(second.issued).as_secs(), 3);
    let begun = tokio::time::Instant::now();
    while tokens().await > 1 {
        assert!(begun.elapsed() < LONG, "it does not end");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    source.logout(&second.token).await.unwrap();
    let refused = source.login("none").await.unwrap_err();
    assert!(matches!(refused, LoginError::NoMethod { .. }), "{refused}");
    let refused = source.login("whole").await.unwrap_err();
    assert!(refused.to_string().contains("missing header"), "{refused}");
    let entity = Entity::of("arn:aws:sts::1:assumed-role/api/x").unwrap();
    source.entity.set(entity).unwrap();
    let source = LoginSource { include_entity: true, ..source };
    source.login("whole").await.unwrap();
}
