//! Who is there: the tasks of the cluster, and since when a service has had none (pure; times are since any one moment).
//!
//! A sweep is all pages of one listing. The tags of a task are asked for once in its life: they stay, and StopTask takes
//! them away before the task is gone.

use super::desired::{BadTags, Task};
use super::names::Service;
use super::plan::Want;
use std::collections::{BTreeMap, BTreeSet};
use std::rc::Rc;
use std::time::Duration;

/// A task that ECS lists, and whose description it did not find: its API is eventually consistent. It is asked so often.
const TRIES: u8 = 5;

/// What is known of a task.
#[derive(Debug, Clone)]
enum Known {
    Member(Rc<Service>),
    /// Not on the mesh, or its tags say nothing usable.
    Other,
    /// Not described yet; so often it was asked in vain.
    Asked(u8),
}

/// See the module's text.
#[derive(Debug, Default)]
pub(crate) struct Roster {
    tasks: BTreeMap<Box<str>, (Known, u64)>,
    /// How many tasks each service has.
    services: BTreeMap<Rc<Service>, usize>,
    /// Services without a task, since when.
    gone: BTreeMap<Service, Duration>,
    sweep: u64,
    swept_once: bool,
    /// What is wrong with tags, each told once.
    told: BTreeSet<String>,
}

impl Roster {
    /// A page of the listing: those of its tasks that have to be described.
    pub(crate) fn page(&mut self, arns: Vec<String>) -> Vec<String> {
        let sweep = self.sweep;
        let mut asked = Vec::new();
        for arn in arns {
            let (known, seen) =
                self.tasks.entry(arn.as_str().into()).or_insert((Known::Asked(0), sweep));
            *seen = sweep;
            if let Known::Asked(tries) = known
                && *tries < TRIES
            {
                *tries += 1;
                asked.push(arn);
            }
        }
        asked
    }

    /// A task's description. Gives the service that is new by it; and what is wrong, if that was not told yet.
    ///
    /// # Errors
    /// Its tags say nothing usable.
    pub(crate) fn described(
        &mut self,
        arn: &str,
        task: &Task,
        partition: Option<&str>,
    ) -> Result<Option<Service>, Option<String>> {
        let Some((known, _)) = self.tasks.get_mut(arn) else { return Ok(None) };
        if !matches!(known, Known::Asked(_)) {
            return Ok(None);
        }
        *known = Known::Other;
        let service = match task.service(partition) {
            Ok(Some(service)) => service,
            Ok(None) => return Ok(None),
            Err(bad) => return Err(self.news(&task.family, &bad)),
        };
        let held = match self.services.get_key_value(&service) {
            Some((held, _)) => Rc::clone(held),
            None => Rc::new(service),
        };
        *known = Known::Member(Rc::clone(&held));
        let tasks = self.services.entry(Rc::clone(&held)).or_default();
        *tasks += 1;
        let is_new = *tasks == 1;
        self.gone.remove(&*held);
        Ok(is_new.then(|| (*held).clone()))
    }

    /// All tasks of a definition have the same tags: told once for all of them.
    fn news(&mut self, family: &str, bad: &BadTags) -> Option<String> {
        let words = format!("tasks of {family}: {bad}");
        self.told.insert(words.clone()).then_some(words)
    }

    /// The listing is complete: whoever was not in it is gone.
    pub(crate) fn end_of_sweep(&mut self, now: Duration) {
        let sweep = self.sweep;
        let (services, gone) = (&mut self.services, &mut self.gone);
        self.tasks.retain(|_, (known, seen)| {
            let stays = *seen == sweep;
            if let (false, Known::Member(service)) = (stays, &*known)
                && let Some(tasks) = services.get_mut(service)
            {
                *tasks -= 1;
                if *tasks == 0 {
                    services.remove(service);
                    gone.insert((**service).clone(), now);
                }
            }
            stays
        });
        self.sweep += 1;
        self.swept_once = true;
    }

    /// The listing broke off: nothing is known of whoever was not in it yet.
    pub(crate) fn sweep_failed(&mut self) {
        self.sweep += 1;
        // Whoever was there before still counts as seen.
        let sweep = self.sweep;
        self.tasks.values_mut().for_each(|(_, seen)| *seen = sweep);
    }

    /// Services that have something in Consul: one of which no task is known is gone from now on, if all tasks are known.
    pub(crate) fn note_remains(&mut self, of: impl IntoIterator<Item = Service>, now: Duration) {
        if !self.swept_once {
            return;
        }
        for service in of {
            if !self.services.contains_key(&service) {
                self.gone.entry(service).or_insert(now);
            }
        }
    }

    /// What is wanted of every service that there is or was.
    pub(crate) fn wants(&self, now: Duration) -> impl Iterator<Item = (&Service, Want)> {
        let present = self.services.keys().map(|service| (&**service, Want::Present));
        let gone = self.gone.iter();
        present.chain(gone.map(move |(s, at)| (s, Want::Gone(now.saturating_sub(*at)))))
    }

    /// What is wanted of one service; `None` where there never was one, or it is forgotten.
    pub(crate) fn want(&self, service: &Service, now: Duration) -> Option<Want> {
        if self.services.contains_key(service) {
            return Some(Want::Present);
        }
        self.gone.get(service).map(|at| Want::Gone(now.saturating_sub(*at)))
    }

    /// Nothing is left of a service that is gone.
    pub(crate) fn forget(&mut self, service: &Service) {
        self.gone.remove(service);
    }

    /// How many tasks are listed, and how many services have tasks.
    pub(crate) fn counts(&self) -> (usize, usize) {
        (self.tasks.len(), self.services.len())
    }

    /// Every task has been listed once.
    pub(crate) fn is_complete(&self) -> bool {
        self.swept_once
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn s(n: u64) -> Duration {
        Duration::from_secs(n)
    }

    fn task(service: &str) -> Task {
        let tags = [("mesh", "true"), ("service-name", service)];
        Task::new("x/fam:1", tags.map(|(k, v)| (format!("consul.hashicorp.com/{k}"), v.to_owned())))
    }

    fn arns(names: &[&str]) -> Vec<String> {
        names.iter().map(|name| (*name).to_owned()).collect()
    }

    fn wants(roster: &Roster, now: u64) -> Vec<(String, Want)> {
        roster.wants(s(now)).map(|(service, want)| (service.to_string(), want)).collect()
    }

    #[test]
    fn a_task_is_described_once_and_a_service_is_new_with_its_first_task() {
        let mut roster = Roster::default();
        assert_eq!(roster.page(arns(&["a", "b"])), ["a", "b"]);
        assert!(roster.described("a", &task("api"), None).unwrap().is_some());
        assert!(roster.described("b", &task("api"), None).unwrap().is_none());
        assert!(roster.described("c", &task("web"), None).unwrap().is_none(), "nobody asked");
        roster.end_of_sweep(s(1));
        assert_eq!(roster.page(arns(&["a", "b"])), arns(&[]));
        assert_eq!(
            (roster.counts(), wants(&roster, 1)),
            ((2, 1), vec![("api".into(), Want::Present)])
        );
    }

    #[test]
    fn a_service_is_gone_when_a_whole_listing_has_no_task_of_it() {
        let mut roster = Roster::default();
        roster.page(arns(&["a"]));
        roster.described("a", &task("api"), None).unwrap();
        roster.end_of_sweep(s(1));
        // A listing that breaks off proves nothing, nor does the one before it.
        roster.sweep_failed();
        roster.page(arns(&["a"]));
        roster.end_of_sweep(s(2));
        roster.sweep_failed();
        assert_eq!(wants(&roster, 2), [("api".into(), Want::Present)]);
        roster.end_of_sweep(s(3));
        roster.end_of_sweep(s(10));
        assert_eq!(wants(&roster, 17), [("api".into(), Want::Gone(s(7)))]);
        // It comes back.
        assert_eq!(roster.page(arns(&["b"])), ["b"]);
        assert!(roster.described("b", &task("api"), None).unwrap().is_some());
        assert_eq!(wants(&roster, 11), [("api".into(), Want::Present)]);
    }

    #[test]
    fn what_is_left_of_services_is_gone_from_the_first_whole_listing_on() {
        let mut roster = Roster::default();
        let old = || Service { name: "old".to_owned(), tenancy: None };
        roster.note_remains([old()], s(1));
        assert_eq!(wants(&roster, 1), []);
        roster.end_of_sweep(s(2));
        roster.note_remains([old()], s(3));
        roster.note_remains([old()], s(9));
        assert_eq!(wants(&roster, 10), [("old".into(), Want::Gone(s(7)))]);
        roster.forget(&old());
        assert_eq!(wants(&roster, 10), []);
    }

    #[test]
    fn bad_tags_are_told_once_and_a_task_that_is_never_described_is_let_be() {
        let mut roster = Roster::default();
        roster.page(arns(&["a", "b"]));
        let bad = task("no name");
        assert!(roster.described("a", &bad, None).unwrap_err().is_some());
        assert!(roster.described("b", &bad, None).unwrap_err().is_none());
        let asked = (0..10).filter(|_| !roster.page(arns(&["c"])).is_empty()).count();
        assert_eq!(asked, usize::from(TRIES));
    }
}
