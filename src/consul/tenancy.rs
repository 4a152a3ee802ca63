//! Partitions and namespaces of Consul Enterprise, for the controller
//! (<https://developer.hashicorp.com/consul/api-docs/admin-partitions>).

use super::Result;
use super::client::{Client, decode, found, success};
use crate::wire::null_as_default;
use reqwest::{Method, RequestBuilder};
use serde::Deserialize;
use serde_json::json;
use std::collections::BTreeSet;

impl Client {
    /// `partition/<name>`: whether there is one.
    ///
    /// # Errors
    /// All of [`Error`](super::Error), but no "not found"; 400 from a Consul that has none.
    pub async fn has_partition(&self, name: &str) -> Result<bool> {
        const CALL: &str = "partition";
        let answer = self.done(CALL, self.request(Method::GET, CALL, Some(name))).await;
        Ok(found(answer)?.is_some())
    }

    /// `partition`: makes one.
    ///
    /// # Errors
    /// All of [`Error`](super::Error); 403 without `operator:write`.
    pub async fn create_partition(&self, name: &str) -> Result<()> {
        const CALL: &str = "partition";
        let body = json!({ "Name": name });
        self.done(CALL, self.request(Method::PUT, CALL, None).json(&body)).await
    }

    /// `namespaces`: the names of all of this client's partition.
    ///
    /// # Errors
    /// All of [`Error`](super::Error).
    pub async fn namespaces(&self) -> Result<BTreeSet<String>> {
        const CALL: &str = "namespaces";
        #[derive(Deserialize)]
        #[serde(rename_all = "PascalCase", default)]
        #[derive(Default)]
        struct Namespace {
            #[serde(deserialize_with = "null_as_default")]
            name: String,
        }
        let reply = self.exchange(CALL, self.in_partition(Method::GET, CALL)).await?;
        let all: Option<Vec<Namespace>> = decode(CALL, &success(CALL, reply)?)?;
        Ok(all.into_iter().flatten().map(|namespace| namespace.name).collect())
    }

    /// `namespace`: makes one in this client's partition, whose tokens all have a policy.
    ///
    /// # Errors
    /// All of [`Error`](super::Error); 403 without `operator:write`.
    pub async fn create_namespace(&self, name: &str, policy: &str) -> Result<()> {
        const CALL: &str = "namespace";
        let body = json!({ "Name": name, "ACLs": { "PolicyDefaults": [{ "Name": policy }] } });
        self.done(CALL, self.in_partition(Method::PUT, CALL).json(&body)).await
    }

    /// A request about something that lives in a partition, and in no namespace.
    fn in_partition(&self, method: Method, call: &'static str) -> RequestBuilder {
        let partition = self.tenancy.iter().filter(|(key, _)| *key == "partition");
        self.request(method, call, None).query(&partition.collect::<Vec<_>>())
    }
}
