//! What one agent itself holds: its services and checks, pushed to the catalog when they change.

use std::collections::BTreeMap;
use std::fs::OpenOptions;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use serde::{Deserialize, Serialize};
use tokio::sync::watch;
use tokio::task::AbortHandle;
use tokio::time::Instant;

use super::catalog::Check;
use super::model::{CheckDef, Service};
use super::{alias, checks};

/// A service and the token it was registered with.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct LocalService {
    pub(crate) service: Service,
    pub(crate) token: String,
}

/// A check, its definition and the token it was registered with.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct LocalCheck {
    pub(crate) def: CheckDef,
    pub(crate) check: Check,
    pub(crate) token: String,
    #[serde(skip)]
    successes: u32,
    #[serde(skip)]
    failures: u32,
    #[serde(skip)]
    critical_since: Option<Instant>,
    #[serde(skip)]
    task: Option<AbortHandle>,
}

/// The whole local state, as sent to the server and kept in the data folder.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub(crate) struct State {
    pub(crate) services: BTreeMap<String, LocalService>,
    pub(crate) checks: BTreeMap<String, LocalCheck>,
}

/// Why an update of a check is refused.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum UpdateError {
    /// No such check.
    Unknown,
    /// Not a TTL check.
    NoTtl,
}

/// The local state, shared between the API, the check runners and the synchronisation.
pub(crate) struct Local {
    state: Mutex<State>,
    version: watch::Sender<u64>,
    file: Option<PathBuf>,
}

impl Local {
    /// Starts from what the data folder holds, as a restarted Consul agent does.
    pub(crate) fn open(file: Option<PathBuf>) -> Result<Arc<Self>, String> {
        let mut state = State::default();
        if let Some(file) = &file {
            // As Consul opens its snapshot: a folder that cannot be written to ends the start, a full disk does not.
            file.parent()
                .map_or(Ok(()), std::fs::create_dir_all)
                .and_then(|()| OpenOptions::new().append(true).create(true).open(file))
                .map_err(|e| format!("failed to open {}: {e}", file.display()))?;
            let text = std::fs::read_to_string(file).unwrap_or_default();
            if !text.is_empty() {
                state = serde_json::from_str(&text)
                    .map_err(|e| format!("failed to decode persisted services: {e}"))?;
            }
        }
        let local =
            Arc::new(Self { state: Mutex::new(state), version: watch::Sender::new(1), file });
        let mut state = local.lock();
        for check in state.checks.values_mut() {
            check.task = checks::start(&local, &check.def);
        }
        drop(state);
        Ok(local)
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Looks at the state.
    pub(crate) fn read<R>(&self, look: impl FnOnce(&State) -> R) -> R {
        look(&self.lock())
    }

    /// Wakes at every change that the catalog must learn.
    pub(crate) fn subscribe(&self) -> watch::Receiver<u64> {
        self.version.subscribe()
    }

    /// Changes the state, refreshes what depends on it and wakes the synchronisation.
    fn change<R>(&self, alter: impl FnOnce(&mut State) -> R) -> R {
        let mut state = self.lock();
        let result = alter(&mut state);
        alias::recompute(&mut state);
        if let Err(error) = self.keep(&state) {
            tracing::warn!(%error, "could not keep the services in the data folder");
        }
        drop(state);
        self.version.send_modify(|v| *v += 1);
        result
    }

    /// Writes the state to the data folder, as a whole or not at all.
    fn keep(&self, state: &State) -> std::io::Result<()> {
        let Some(file) = &self.file else { return Ok(()) };
        let temporary = file.with_extension("tmp");
        let written = std::fs::write(&temporary, serde_json::to_string(state)?)
            .and_then(|()| std::fs::rename(&temporary, file));
        if written.is_err() {
            // The first error is the one worth telling.
            _ = std::fs::remove_file(&temporary).is_ok();
        }
        written
    }

    /// Whether a registration could be kept now: Consul refuses one that it cannot (tried on 1.8.7 and 1.23).
    pub(crate) fn can_keep(&self) -> Result<(), String> {
        self.keep(&self.lock()).map_err(|e| match &self.file {
            Some(file) => format!("write {}: {e}", file.display()),
            None => e.to_string(),
        })
    }

    /// Registers a service with its checks. Checks that exist keep their status; with `replace`,
    /// all others of the service go, maintenance included (tried on Consul 1.8.7 and 1.23).
    pub(crate) fn register(
        self: &Arc<Self>,
        service: Service,
        defs: Vec<CheckDef>,
        token: &str,
        replace: bool,
    ) {
        self.change(|state| {
            let id = service.id.clone();
            let keep: Vec<&str> = defs.iter().map(|c| c.check_id.as_str()).collect();
            state.checks.retain(|name, check| {
                let stays =
                    !replace || check.check.service_id != id || keep.contains(&name.as_str());
                if !stays {
                    check.stop();
                }
                stays
            });
            for check in state.checks.values_mut().filter(|c| c.check.service_id == id) {
                token.clone_into(&mut check.token);
            }
            for def in defs {
                self.put(state, &service, def, token);
            }
            state.services.insert(id, LocalService { service, token: token.into() });
        });
    }

    fn put(self: &Arc<Self>, state: &mut State, service: &Service, def: CheckDef, token: &str) {
        let initial = if def.status.is_empty() { "critical" } else { &def.status };
        let (status, output) = match state.checks.get(&def.check_id) {
            Some(old) => (old.check.status.clone(), old.check.output.clone()),
            None => (initial.to_owned(), String::new()),
        };
        let check = Check {
            id: def.check_id.clone(),
            name: def.name.clone(),
            status,
            notes: def.notes.clone(),
            output,
            service_id: service.id.clone(),
            service_name: service.service.clone(),
            service_tags: service.tags.clone(),
            kind: def.kind().into(),
            interval: def.interval_text(),
            timeout: def.timeout_text(),
            create: 0,
            modify: 0,
        };
        let task = checks::start(self, &def);
        let id = def.check_id.clone();
        let new = LocalCheck::new(def, check, token, task);
        if let Some(old) = state.checks.insert(id, new) {
            old.stop();
        }
    }

    /// Removes a service and its checks; `false` if there is none.
    pub(crate) fn deregister(&self, id: &str) -> bool {
        if self.read(|s| !s.services.contains_key(id)) {
            return false;
        }
        self.change(|state| {
            state.services.remove(id);
            state.checks.retain(|_, check| {
                let stays = check.check.service_id != id;
                if !stays {
                    check.stop();
                }
                stays
            });
        });
        true
    }

    /// Adds a check to a service, or to the node when it names none. Over an old check of this ID its status is
    /// kept, whatever the definition says (tried on Consul 1.8.7 and 1.23).
    pub(crate) fn add_check(self: &Arc<Self>, def: CheckDef, token: &str) -> Result<(), String> {
        let service = if def.service_id.is_empty() {
            Service::default()
        } else {
            self.read(|s| s.services.get(&def.service_id).map(|s| s.service.clone()))
                .ok_or_else(|| format!("ServiceID \"{}\" does not exist", def.service_id))?
        };
        self.change(|state| self.put(state, &service, def, token));
        Ok(())
    }

    /// Removes a check; `false` if there is none.
    pub(crate) fn remove_check(&self, id: &str) -> bool {
        if self.read(|s| !s.checks.contains_key(id)) {
            return false;
        }
        self.change(|state| {
            if let Some(check) = state.checks.remove(id) {
                check.stop();
            }
        });
        true
    }

    /// `PUT /v1/agent/check/update`: only TTL checks take it; it starts the TTL anew.
    pub(crate) fn update_ttl(
        self: &Arc<Self>,
        id: &str,
        status: &str,
        output: &str,
    ) -> Result<(), UpdateError> {
        let mut state = self.lock();
        let check = state.checks.get_mut(id).ok_or(UpdateError::Unknown)?;
        if check.check.kind != "ttl" {
            return Err(UpdateError::NoTtl);
        }
        check.stop();
        check.task = checks::start(self, &check.def);
        drop(state);
        self.set(id, status, output);
        Ok(())
    }

    /// What a runner found: counts against the check's thresholds, then sets the status.
    pub(crate) fn report(&self, id: &str, passing: bool, output: &str) {
        let mut state = self.lock();
        let Some(check) = state.checks.get_mut(id) else { return };
        (check.successes, check.failures) =
            if passing { (check.successes + 1, 0) } else { (0, check.failures + 1) };
        let enough = if passing {
            check.successes > check.def.success_before_passing.saturating_sub(1)
        } else {
            check.failures > check.def.failures_before_critical.saturating_sub(1)
        };
        drop(state);
        if enough {
            self.set(id, if passing { "passing" } else { "critical" }, output);
        }
    }

    /// A status that did not change stays inside the agent, as in Consul.
    pub(crate) fn set(&self, id: &str, status: &str, output: &str) {
        let mut state = self.lock();
        let Some(check) = state.checks.get_mut(id) else { return };
        output.clone_into(&mut check.check.output);
        if check.check.status == status {
            return;
        }
        drop(state);
        tracing::info!(check = id, status, "check is now in another state");
        self.change(|state| {
            if let Some(check) = state.checks.get_mut(id) {
                check.set_status(status);
            }
        });
    }

    /// Puts a service, or the node (`service: None`), into maintenance or takes it out;
    /// `false` if there is no such service.
    pub(crate) fn maintenance(
        self: &Arc<Self>,
        service: Option<&str>,
        on: bool,
        reason: &str,
        token: &str,
    ) -> bool {
        let (id, name, default, owner) = match service {
            Some(id) => {
                let found = self.read(|s| s.services.get(id).map(|s| s.service.clone()));
                let Some(owner) = found else { return false };
                let text = "Maintenance mode is enabled for this service, but no reason was \
                            provided. This is a default message.";
                (format!("_service_maintenance:{id}"), "Service Maintenance Mode", text, owner)
            }
            None => {
                let text = "Maintenance mode is enabled for this node, but no reason was \
                            provided. This is a default message.";
                ("_node_maintenance".into(), "Node Maintenance Mode", text, Service::default())
            }
        };
        let exists = self.read(|s| s.checks.contains_key(&id));
        if !on {
            self.remove_check(&id);
        } else if !exists {
            let check = Check {
                id: id.clone(),
                name: name.into(),
                status: "critical".into(),
                notes: if reason.is_empty() { default.into() } else { reason.into() },
                service_id: owner.id,
                service_name: owner.service,
                service_tags: owner.tags,
                kind: "maintenance".into(),
                ..Check::default()
            };
            let check = LocalCheck::new(CheckDef::default(), check, token, None);
            self.change(|state| state.checks.insert(id, check));
        }
        true
    }

    /// Services with a check that has been critical for longer than it allows.
    pub(crate) fn overdue(&self) -> Vec<String> {
        self.read(|state| {
            let overdue = state.checks.values().filter(|c| {
                let limit = c.def.deregister_critical_service_after.get().unwrap_or_default();
                !limit.is_zero() && c.critical_since.is_some_and(|since| since.elapsed() > limit)
            });
            overdue.map(|c| c.check.service_id.clone()).collect()
        })
    }
}

impl LocalCheck {
    fn new(def: CheckDef, check: Check, token: &str, task: Option<AbortHandle>) -> Self {
        let critical_since = (check.status == "critical").then(Instant::now);
        let token = token.to_owned();
        Self { def, check, token, successes: 0, failures: 0, critical_since, task }
    }

    fn stop(&self) {
        if let Some(task) = &self.task {
            task.abort();
        }
    }

    pub(crate) fn set_status(&mut self, status: &str) {
        status.clone_into(&mut self.check.status);
        self.critical_since = (status == "critical").then(Instant::now);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::mesh::model::{Registration, decode};

    fn register(local: &Arc<Local>, body: &str, replace: bool) {
        let registration: Registration = decode(body.as_bytes()).unwrap();
        let (service, checks) = registration.resolve().unwrap();
        local.register(service, checks, "", replace);
    }

    fn status(local: &Local, id: &str) -> Option<String> {
        local.read(|s| s.checks.get(id).map(|c| c.check.status.clone()))
    }

    const API: &str = r#"{"Name":"api","Checks":[{"CheckID":"t","TTL":"30s"}]}"#;
    const PROXY: &str = r#"{"Kind":"connect-proxy","Name":"p","Port":1,
        "Proxy":{"DestinationServiceName":"api"},"Check":{"CheckID":"alias","AliasService":"api"}}"#;

    #[tokio::test(start_paused = true)]
    async fn ttl_expires_and_the_alias_follows() {
        let local = Local::open(None).unwrap();
        register(&local, API, false);
        register(&local, PROXY, false);
        assert_eq!(status(&local, "alias").as_deref(), Some("critical"));
        local.update_ttl("t", "passing", "ok").unwrap();
        assert_eq!(status(&local, "alias").as_deref(), Some("passing"));
        tokio::time::sleep(std::time::Duration::from_secs(29)).await;
        assert_eq!(status(&local, "t").as_deref(), Some("passing"));
        tokio::time::sleep(std::time::Duration::from_secs(2)).await;
        assert_eq!(status(&local, "t").as_deref(), Some("critical"));
        assert_eq!(status(&local, "alias").as_deref(), Some("critical"));
        assert_eq!(local.update_ttl("alias", "passing", ""), Err(UpdateError::NoTtl));
        assert_eq!(local.update_ttl("nope", "passing", ""), Err(UpdateError::Unknown));
    }

    #[tokio::test(start_paused = true)]
    async fn registering_again_keeps_status_and_maintenance_unless_it_replaces() {
        let local = Local::open(None).unwrap();
        register(&local, API, false);
        local.update_ttl("t", "passing", "").unwrap();
        assert!(local.maintenance(Some("api"), true, "", ""));
        register(&local, API, false);
        assert_eq!(status(&local, "t").as_deref(), Some("passing"));
        assert!(status(&local, "_service_maintenance:api").is_some());
        register(&local, API, true);
        assert_eq!(status(&local, "t").as_deref(), Some("passing"));
        assert!(status(&local, "_service_maintenance:api").is_none());
    }

    #[tokio::test(start_paused = true)]
    async fn an_unchanged_refresh_wakes_nobody() {
        let local = Local::open(None).unwrap();
        register(&local, API, false);
        local.update_ttl("t", "passing", "one").unwrap();
        let mut watch = local.subscribe();
        watch.mark_unchanged();
        local.update_ttl("t", "passing", "two").unwrap();
        assert!(!watch.has_changed().unwrap());
        local.update_ttl("t", "warning", "three").unwrap();
        assert!(watch.has_changed().unwrap());
    }
}
