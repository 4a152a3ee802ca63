//! What somebody changes behind the controller's back.

use crate::place::{REGION, place, until};
use serde_json::json;

#[tokio::test]
async fn drift_of_every_kind_is_repaired() {
    let Some(place) = place(&["prod"]).await else { return };
    place.run("prod", "api", &[]).await;
    let controller = place.controller("prod", json!({})).await;
    place.until_whole("api", &controller).await;
    let secret =
        async || place.moto.secret(REGION, "mesh-api").await.expect("moto").expect("secret");
    let pair = secret().await;
    let accessor = pair["accessor_id"].as_str().expect("accessor").to_owned();

    // The secret emptied: tasks run with the token, so its ids come back.
    place.moto.put_secret(REGION, "mesh-api", &json!({})).await.expect("moto");
    until("the secret is filled", &controller, async || secret().await == pair).await;

    // The secret's token changed by hand.
    let wrong = json!({ "accessor_id": accessor, "token": "0" });
    place.moto.put_secret(REGION, "mesh-api", &wrong).await.expect("moto");
    until("the secret is right", &controller, async || secret().await == pair).await;

    // The rules changed.
    let policy = place.policies().await["api-service"].clone();
    let id = policy["ID"].as_str().expect("ID").to_owned();
    let mut changed = policy.clone();
    changed["Rules"] = json!("node_prefix \"\" { policy = \"write\" }");
    place.consul.server_put(&format!("/v1/acl/policy/{id}"), changed).await.expect("policy");
    place.until_whole("api", &controller).await;

    // The policy unlinked.
    let path = format!("/v1/acl/token/{accessor}");
    let mut token = place.consul.server_get(&path).await.expect("token");
    token["Policies"] = json!([]);
    place.consul.server_put(&path, token).await.expect("token");
    place.until_whole("api", &controller).await;

    // The token deleted by hand: the same ids again.
    place.consul.server_delete(&path).await.expect("token");
    place.until_whole("api", &controller).await;
    assert_eq!(secret().await, pair);

    // The policy deleted by hand.
    let id = place.policies().await["api-service"]["ID"].as_str().expect("ID").to_owned();
    place.consul.server_delete(&format!("/v1/acl/policy/{id}")).await.expect("policy");
    place.until_whole("api", &controller).await;
    assert_eq!(secret().await, pair);
}
