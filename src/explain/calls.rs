//! The calls to the agent's HTTP API, as the registration and the health sync make them.

use crate::config::{Config, hide, show};
use crate::consul::{self, CheckStatus, Locality, ServiceIds};
use crate::ecs::TaskIdentity;
use serde::Serialize;
use serde_json::Value;

/// One call.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Call {
    /// At which point of the timeline.
    pub when: String,
    /// HTTP method.
    pub method: &'static str,
    /// Path and query; the client escapes it.
    pub path: String,
    /// Its body; absent if it has none.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub body: Option<Value>,
}

/// What the calls are made for.
pub(super) struct Subject<'a> {
    pub(super) config: &'a Config,
    pub(super) task: &'a TaskIdentity,
    pub(super) ids: &'a ServiceIds,
    /// Containers whose health is synced.
    pub(super) containers: &'a [String],
    /// In maintenance until the app's port accepts.
    pub(super) held: bool,
    /// Where the task runs, if it is known here and the agent takes it.
    pub(super) locality: Option<Locality>,
}

impl Subject<'_> {
    /// From the registration to the first peer, then what goes on, then the stop.
    pub(super) fn calls(&self) -> Vec<Call> {
        [self.startup(), self.running(), self.stop()].concat()
    }

    fn startup(&self) -> Vec<Call> {
        let (config, ids) = (self.config, self.ids);
        let here = || self.locality.clone();
        let service = consul::service(config, self.task, self.containers).located(here());
        let proxy = consul::proxy(config, self.task).located(here());
        let passing = consul::listener_check(ids, config.proxy.public_listener_port)
            .of_service(&ids.proxy, &config.service)
            .started_as(CheckStatus::Passing);
        let begin = "T0, once the agent answers";
        let open = "T2, once Envoy listens: the listener's check, registered anew, starts passing";
        let mut calls = vec![
            register(begin, "service", body(&service)),
            self.maintenance(begin, &ids.service, self.held),
            register(begin, "service", body(&proxy)),
            self.maintenance(begin, &ids.proxy, self.held),
            self.put(open, &format!("check/deregister/{}", ids.listener_check())),
            register(open, "check", body(&passing.alone().unwrap_or_default())),
        ];
        if self.held {
            let accepts = "once the app's port accepts";
            calls.push(self.maintenance(accepts, &ids.service, false));
            calls.push(self.maintenance(accepts, &ids.proxy, false));
        }
        calls
    }

    fn running(&self) -> Vec<Call> {
        let when = format!(
            "from T1, with status and words, at each change of ECS health and each third of the TTL of {}",
            show(self.config.health_sync.ttl)
        );
        let update = |container: &String| {
            self.put(&when, &format!("check/update/{}", self.ids.check(container)))
        };
        self.containers.iter().map(update).collect()
    }

    fn stop(&self) -> Vec<Call> {
        let ids = self.ids;
        let burst = "stop T0, all at once, the checks as critical";
        let critical =
            |container: &String| self.put(burst, &format!("check/update/{}", ids.check(container)));
        let mut calls =
            [&ids.service, &ids.proxy].map(|id| self.maintenance(burst, id, true)).to_vec();
        calls.extend(self.containers.iter().map(critical));
        calls.push(Call {
            when: "stop T1, until the servers show this instance critical".to_owned(),
            method: "GET",
            path: self.scoped(&format!("/v1/health/connect/{}", ids.name), Vec::new()),
            body: None,
        });
        let last = "stop T1, after Envoy";
        for id in [&ids.proxy, &ids.service] {
            calls.push(self.put(last, &format!("service/deregister/{id}")));
        }
        calls
    }

    fn put(&self, when: &str, path: &str) -> Call {
        let path = self.scoped(&format!("/v1/agent/{path}"), Vec::new());
        Call { when: when.to_owned(), method: "PUT", path, body: None }
    }

    fn maintenance(&self, when: &str, id: &str, enable: bool) -> Call {
        let path = format!("/v1/agent/service/maintenance/{id}");
        let path = self.scoped(&path, vec![format!("enable={enable}")]);
        Call { when: when.to_owned(), method: "PUT", path, body: None }
    }

    /// With namespace and partition, where the configuration has them.
    fn scoped(&self, path: &str, mut query: Vec<String>) -> String {
        let service = &self.config.service;
        query.extend(service.namespace.iter().map(|namespace| format!("ns={namespace}")));
        query.extend(service.partition.iter().map(|partition| format!("partition={partition}")));
        if query.is_empty() { path.to_owned() } else { format!("{path}?{}", query.join("&")) }
    }
}

/// Namespace and partition are in the body.
fn register(when: &str, what: &str, body: Value) -> Call {
    let path = format!("/v1/agent/{what}/register");
    Call { when: when.to_owned(), method: "PUT", path, body: Some(body) }
}

fn body(body: &impl Serialize) -> Value {
    let mut body = serde_json::to_value(body).unwrap_or_default();
    hide::value(&mut body);
    body
}
