//! Who is an app, which of them have ended, and whom a stop waits for.

use super::facts::{App, Facts};
use super::plan::Plan;
use crate::ecs::{self, Container, ContainerKind, Status};

impl Facts {
    /// Who is an app, and which of them are still running. `None`: the metadata was never read.
    fn apps(&self, plan: &Plan) -> Option<Vec<String>> {
        let seen = self.seen.as_ref()?;
        let wrapped: Vec<String> = self.wrapped.keys().cloned().collect();
        Some(ecs::app_containers(
            &seen.task,
            &seen.own_name,
            plan.app_containers.as_deref().filter(|names| !self.names_nobody(names)),
            &wrapped,
            &self.synced,
            self.defined.as_deref(),
        ))
    }

    fn has_stopped(&self, app: &str) -> bool {
        if let Some(App::Exited(_)) = self.wrapped.get(app) {
            return true;
        }
        match self.seen.as_ref().and_then(|s| s.task.container(app)) {
            // ECS flips what it desires before it stops anything. A container that ends by itself shows only in what
            // is known; one with a restart policy never does.
            Some(container) if self.ecs_stops => container.is_stopped(),
            Some(container) => container.known_status == Status::Stopped,
            // Not listed: never created (ECS lists a gated container only once its image is there).
            None => !matches!(
                self.wrapped.get(app),
                Some(App::Attached | App::Started | App::Lost { started: true })
            ),
        }
    }

    /// The apps that a stop still waits for.
    pub(crate) fn running_apps(&self, plan: &Plan) -> Vec<String> {
        self.apps(plan)
            .unwrap_or_default()
            .into_iter()
            .filter(|app| !self.has_stopped(app))
            // In a stop of our own nobody tells the unwrapped apps: only our exit ends them.
            .filter(|app| self.ecs_stops || self.stop.is_none() || self.wrapped.contains_key(app))
            .filter(|app| !self.waits_for_us(app))
            .collect()
    }

    /// We depend on it, so ECS stops it only after us: to wait for it would be to wait for ever. It ran before there
    /// was a mesh.
    fn waits_for_us(&self, app: &str) -> bool {
        let ours = self.defined.as_ref().and_then(|defined| defined.container(self.own_name()));
        ours.is_some_and(|ours| ours.depends_on.iter().any(|name| name == app))
    }

    /// Every app ran and has ended. A migration that ended before the rest was started is not that: the task as a
    /// whole must have been RUNNING. Nor is one that alone is wrapped or has a health check: unless the configuration
    /// names the apps, every container that may be one must have ended.
    pub(crate) fn apps_finished(&self, plan: &Plan) -> bool {
        let ended = |apps: &[String]| {
            apps.iter().all(|app| self.has_stopped(app) && !self.may_be_restarted(app))
        };
        self.task_was_running
            // Names that no container has say nothing of the task, be they ever so configured.
            && self.apps(plan).is_some_and(|apps| apps.iter().any(|app| self.is_there(app)) && ended(&apps))
            && (plan.app_containers.is_some() || ended(&self.possible_apps()))
    }

    /// None of these is in the task, though all of it was started: misspelt, for a container that waits for another is
    /// only not listed yet.
    fn names_nobody(&self, names: &[String]) -> bool {
        self.task_was_running && !names.iter().any(|name| self.is_there(name))
    }

    /// What is wrong with `lifecycle.appContainers`, in words.
    pub(crate) fn misnamed_apps(&self, plan: &Plan) -> Option<String> {
        let names = plan.app_containers.as_ref().filter(|names| self.names_nobody(names))?;
        Some(format!(
            "lifecycle.appContainers: the task has none of {}; every other container counts as an app",
            names.join(", ")
        ))
    }

    /// The task has this container.
    fn is_there(&self, app: &str) -> bool {
        self.wrapped.contains_key(app)
            || self.seen.as_ref().is_some_and(|seen| seen.task.container(app).is_some())
    }

    /// ECS has a restart policy for it and does not say that it is at an end: an exit that its wrapper told of is
    /// followed by another start, and the metadata says RUNNING throughout.
    fn may_be_restarted(&self, app: &str) -> bool {
        self.seen.as_ref().and_then(|seen| seen.task.container(app)).is_some_and(|container| {
            container.restart_count.is_some() && container.known_status != Status::Stopped
        })
    }

    /// Every listed container that may be an app, whatever we know of it otherwise.
    fn possible_apps(&self) -> Vec<String> {
        self.seen
            .as_ref()
            .map(|seen| {
                ecs::app_containers(
                    &seen.task,
                    &seen.own_name,
                    None,
                    &[],
                    &[],
                    self.defined.as_deref(),
                )
            })
            .unwrap_or_default()
    }

    /// An app container was seen running, or a wrapped app said so.
    pub(crate) fn any_app_runs(&self, plan: &Plan) -> bool {
        self.wrapped.values().any(|a| matches!(a, App::Started))
            || self.seen.as_ref().is_some_and(|seen| {
                self.apps(plan).unwrap_or_default().iter().any(|app| {
                    // A wrapped one that RUNs may still be waiting.
                    !self.wrapped.contains_key(app)
                        && seen
                            .task
                            .container(app)
                            .is_some_and(|c| c.known_status == Status::Running)
                })
            })
    }

    /// There is nobody left to protect: no app runs, or the time is up, or we never stood in the catalog.
    pub(crate) fn nobody_to_protect(&self, plan: &Plan) -> bool {
        self.cut || !self.ever_registered || self.running_apps_for_traffic(plan).is_empty()
    }

    /// Apps of which nobody knows that they ended, but that nobody waits for: see [`Facts::running_apps`].
    pub(crate) fn apps_left_running(&self, plan: &Plan) -> Option<String> {
        let apps = self.running_apps_for_traffic(plan);
        (!apps.is_empty()).then(|| format!("not awaited: {}", apps.join(", ")))
    }

    /// The containers of the task that run and are not `awaited`, but ours and what is ECS's own.
    pub(crate) fn running_others(&self, awaited: &[String]) -> Vec<String> {
        let Some(seen) = &self.seen else { return Vec::new() };
        let other = |c: &&Container| {
            c.kind == ContainerKind::Normal
                && c.known_status == Status::Running
                && c.name != seen.own_name
                && !awaited.contains(&c.name)
                && !matches!(self.wrapped.get(&c.name), Some(App::Exited(_)))
        };
        let others = seen.task.containers.iter().filter(other);
        let mut names: Vec<_> = others.map(|c| c.name.clone()).collect();
        // ECS lists them in another order each time.
        names.sort();
        names
    }

    /// Like [`Facts::running_apps`], but also the unwrapped apps in a stop of our own: they serve until we exit.
    fn running_apps_for_traffic(&self, plan: &Plan) -> Vec<String> {
        self.apps(plan)
            .unwrap_or_default()
            .into_iter()
            .filter(|app| !self.has_stopped(app))
            .collect()
    }
}
