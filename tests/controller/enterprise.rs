//! Consul Enterprise, which nobody can have here: golden bodies against a stand-in.

use crate::place::{place, said, until};
use serde_json::{Value, json};
use std::collections::BTreeMap;
use testbed::enterprise::Enterprise;
use testbed::gate::Gate;

const SHARED: &str = "ns=default&partition=p1";

#[tokio::test]
async fn partition_namespaces_and_policies_are_made_as_0_4_3_made_them() {
    let Some(place) = place(&["prod"]).await else { return };
    let hub = place.consul.lan().hub();
    let enterprise = Enterprise::start(hub).await.expect("the stand-in");
    let gate = Gate::start(hub, place.moto.url(), enterprise.url()).await.expect("gate");
    gate.fleet(|fleet| {
        let mut run = |name, tags: &[(&str, &str)]| {
            let mut all = vec![("mesh", "true"), ("service-name", name)];
            all.extend(tags);
            fleet.run_with("prod", &all);
        };
        run("api", &[("partition", "p1"), ("namespace", "n1")]);
        run("elsewhere", &[("partition", "p2"), ("namespace", "n1")]);
        run("half", &[("partition", "p1")]);
        // `default`/`default`, which is another partition.
        run("untagged", &[]);
    });
    let options = json!({ "partition": "p1" });
    let controller = place.controller_behind(&gate, options.clone()).await;
    until("all is made", &controller, async || enterprise.changes().len() >= 7).await;
    // A round more, and nothing else.
    let lists = || gate.calls_after(0).iter().filter(|call| call.name == "GET acl/tokens").count();
    let now = lists();
    until("another round", &controller, async || lists() > now + 2).await;
    let changes = enterprise.changes();
    assert_eq!(changes.len(), 7, "{changes:#?}");
    assert!(said(&controller).contains("one of them is missing"), "{}", said(&controller));

    // What others stand on comes first.
    let lines: Vec<_> = changes.iter().map(|(line, _)| line.as_str()).collect();
    let at = |wanted: &str| lines.iter().position(|line| *line == wanted).expect(wanted);
    assert_eq!(at("PUT partition"), 0);
    assert_eq!(at(&format!("PUT acl/policy?{SHARED}")), 1);
    assert!(at("PUT namespace?partition=p1") > 1);
    assert_eq!(changes[0].1, json!({ "Name": "p1" }));
    assert_eq!(
        changes[at("PUT namespace?partition=p1")].1,
        json!({ "Name": "n1", "ACLs": { "PolicyDefaults": [{ "Name": "cross-namespace-read" }] } })
    );

    let of = |path: &str, key: &str| -> BTreeMap<String, Value> {
        let line = format!("PUT {path}?{SHARED}");
        let bodies = changes.iter().filter(|(made, _)| *made == line).map(|(_, body)| body);
        bodies.map(|body| (body[key].as_str().expect(key).to_owned(), body.clone())).collect()
    };
    let policies = of("acl/policy", "Name");
    let rules = |name: &str| {
        let text = policies[name]["Rules"].as_str().expect("rules");
        text.split_whitespace().collect::<Vec<_>>().join(" ")
    };
    let read = "service_prefix \"\" { policy = \"read\" } node_prefix \"\" { policy = \"read\" }";
    assert_eq!(
        rules("api-n1-service"),
        format!(
            "partition \"p1\" {{ namespace \"n1\" {{ service \"api\" {{ policy = \"write\" }} \
             service \"api-sidecar-proxy\" {{ policy = \"write\" }} {read} }} }}"
        )
    );
    assert_eq!(
        rules("cross-namespace-read"),
        format!("partition \"p1\" {{ namespace_prefix \"\" {{ {read} }} }}")
    );
    assert_eq!(
        rules("mesh-consul-client-policy"),
        "partition \"p1\" { node_prefix \"\" { policy = \"write\" } \
         namespace_prefix \"\" { service_prefix \"\" { policy = \"read\" } } }"
    );
    let tokens = of("acl/token", "Description");
    let about = "Token for api service\nconsul.hashicorp.com/cluster: prod\n\
                 consul.hashicorp.com/partition: p1\nconsul.hashicorp.com/namespace: n1\n\
                 managed-by: taskmesh";
    let links = json!([{ "Name": "api-n1-service" }, { "Name": "cross-namespace-read" }]);
    assert_eq!(tokens[about]["Policies"], links);
    let pair = place.moto.secret(crate::place::REGION, "mesh-api-n1-p1").await.expect("moto");
    assert_eq!(pair.expect("secret")["token"], tokens[about]["SecretID"]);
}
