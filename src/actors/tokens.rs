//! Reads the secrets that come later or change: tokens from files and from Secrets Manager, again and again; gossip key
//! and certificates from Secrets Manager, once. What it reads goes to the keyring; that it did is reported.

use super::process::jittered;
use super::{Identity, Keyring, Site, work};
use crate::app::secrets::check_pem;
use crate::config::{Config, Secret, SecretItem};
use crate::consul::Client;
use crate::logging::Said;
use crate::stored::{Store, StoredError};
use crate::supervisor::actor::{Reports, report};
use crate::supervisor::renewal::{Read, Renewal};
use crate::supervisor::{Event, Need, Source};
use ractor::{Actor, ActorProcessingErr, ActorRef};
use secrecy::{ExposeSecret, SecretString};
use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::Notify;
use tokio::time::sleep_until;

/// As logs name it.
pub(super) const NAME: &str = "tokens";

/// A file is read again so often: it costs next to nothing, and a sidecar may write it at any time.
const FILE_INTERVAL: Duration = Duration::from_secs(2);

/// What this actor takes.
#[derive(Debug)]
pub(crate) enum Msg {
    /// Who we are: the region may be told by it.
    Identify(Arc<Identity>),
    /// Read all that can change, now.
    ReadNow,
}

/// See the module's text.
pub(crate) struct Tokens;

/// What it needs.
pub(crate) struct Arguments {
    pub(crate) site: Site,
    /// The one whose token is the service's.
    pub(crate) consul: Client,
    pub(crate) reports: Reports,
}

pub(crate) struct State {
    args: Arguments,
    wanted_now: Arc<Notify>,
    reading: bool,
    told: bool,
}

/// What waits for each secret.
fn need(item: SecretItem) -> Need {
    match item {
        SecretItem::AgentToken => Need::AgentToken,
        SecretItem::ServiceToken => Need::ServiceToken,
        _ => Need::AgentStart,
    }
}

/// What is not there yet.
pub(crate) fn awaited(config: &Config, keyring: &Keyring) -> BTreeSet<Need> {
    let held = keyring.now();
    let missing = config.consul.secrets().filter(|(item, _)| held.get(*item).is_none());
    missing.map(|(item, _)| need(item)).collect()
}

/// How often a secret is read again; `None`: never.
fn interval(config: &Config, item: SecretItem, secret: &Secret) -> Option<Duration> {
    match secret {
        _ if !item.is_token() => None,
        Secret::Env(_) => None,
        Secret::File(_) => Some(FILE_INTERVAL),
        Secret::SecretsManager(_) => Some(config.consul.token_interval),
    }
}

impl Actor for Tokens {
    type Msg = Msg;
    type State = State;
    type Arguments = Arguments;

    async fn pre_start(
        &self,
        _: ActorRef<Msg>,
        args: Arguments,
    ) -> Result<State, ActorProcessingErr> {
        Ok(State { args, wanted_now: Arc::default(), reading: false, told: false })
    }

    async fn handle(
        &self,
        _: ActorRef<Msg>,
        msg: Msg,
        s: &mut State,
    ) -> Result<(), ActorProcessingErr> {
        match msg {
            Msg::Identify(identity) => {
                let books = s.books();
                if !s.reading && !books.is_empty() {
                    s.reading = true;
                    let reader = Reader {
                        site: s.args.site.clone(),
                        consul: s.args.consul.clone(),
                        reports: s.args.reports.clone(),
                        wanted_now: s.wanted_now.clone(),
                        store: Store::new(s.args.site.aws.clone(), &identity.task.task_arn),
                        books,
                    };
                    work::spawn(NAME, &s.args.reports, reader.run());
                }
            }
            Msg::ReadNow if s.books().iter().any(|book| book.item.is_token()) => {
                tracing::info!("SIGHUP: tokens are read again");
                s.wanted_now.notify_one();
            }
            Msg::ReadNow => {
                // Once: who sends one every minute, as log rotation does, learns nothing by the second line.
                if !std::mem::replace(&mut s.told, true) {
                    tracing::info!("SIGHUP: nothing can be reloaded; replace the task instead");
                }
            }
        }
        Ok(())
    }
}

impl State {
    /// What is still to be read, or to be read again.
    fn books(&self) -> Vec<Book> {
        let site = &self.args.site;
        let held = site.keyring.now();
        let now = site.epoch.elapsed();
        let all = site.config.consul.secrets().map(|(item, secret)| Book {
            item,
            secret: secret.clone(),
            renewal: Renewal::new(
                // Tasks that start together must not ask together for ever.
                interval(&site.config, item, secret).map(jittered),
                held.get(item).is_some(),
                now,
            ),
            trouble: None,
        });
        all.filter(|book| book.renewal.due().is_some()).collect()
    }
}

/// What is kept of one secret.
struct Book {
    item: SecretItem,
    secret: Secret,
    renewal: Renewal,
    /// Why it was not read the last time.
    trouble: Option<String>,
}

struct Reader {
    site: Site,
    consul: Client,
    reports: Reports,
    wanted_now: Arc<Notify>,
    store: Store,
    books: Vec<Book>,
}

impl Reader {
    /// Until nothing is to be read any more, or its actor ends.
    async fn run(mut self) {
        let mut said = Said::default();
        loop {
            let due = self.books.iter().filter_map(|book| book.renewal.due()).min();
            let Some(due) = due else { return };
            let (epoch, refused) = (self.site.epoch, self.consul.refused());
            tokio::select! {
                () = sleep_until(epoch + due) => {}
                () = refused => {
                    let now = epoch.elapsed();
                    let tokens = self.books.iter_mut().filter(|book| book.item.is_token());
                    tokens.for_each(|book| book.renewal.refused(now));
                    continue;
                }
                () = self.wanted_now.notified() => {
                    let now = epoch.elapsed();
                    self.books.iter_mut().for_each(|book| book.renewal.now(now));
                }
            }
            self.read_what_is_due().await;
            self.tell(&mut said);
        }
    }

    async fn read_what_is_due(&mut self) {
        let now = self.site.epoch.elapsed();
        for i in 0..self.books.len() {
            let book = &self.books[i];
            if book.renewal.due().is_none_or(|due| due > now) {
                continue;
            }
            let found = match &book.secret {
                Secret::SecretsManager(stored) => self.store.read(stored).await,
                secret => secret
                    .resolve(&crate::config::ProcessEnv)
                    .map_err(|e| StoredError::NotYet(e.to_string())),
            };
            let item = book.item;
            let read = found.and_then(|text| self.keep(item, text));
            let what = *read.as_ref().unwrap_or_else(|error| match error {
                StoredError::NotYet(_) => &Read::NotYet,
                StoredError::Failed(_) => &Read::Failed,
            });
            let now = self.site.epoch.elapsed();
            let book = &mut self.books[i];
            book.renewal.read(what, now);
            book.trouble = read.err().map(|error| format!("{}: {error}", item.path()));
            if what == Read::New {
                let held = self.site.keyring.now();
                let whole = self
                    .site
                    .config
                    .consul
                    .secrets()
                    .all(|(other, _)| need(other) != need(item) || held.get(other).is_some());
                if whole {
                    report(&self.reports, Event::SecretRead(need(item)));
                }
            }
        }
    }

    /// Puts a secret where everybody finds it, if it is another one.
    fn keep(&self, item: SecretItem, text: SecretString) -> Result<Read, StoredError> {
        let not_usable = |why: String| StoredError::NotYet(why);
        let held = self.site.keyring.get(item);
        if held.is_some_and(|held| held.expose_secret() == text.expose_secret()) {
            return Ok(Read::Same);
        }
        if let Some(pem) = item.pem() {
            check_pem(item.path(), pem, Some(&text)).map_err(|e| not_usable(e.to_string()))?;
        }
        if item == SecretItem::ServiceToken {
            let token = Some(text.clone());
            self.consul.set_token(token).map_err(|e| not_usable(e.to_string()))?;
        }
        self.site.keyring.put(item, text);
        tracing::info!(secret = item.path(), "read");
        Ok(Read::New)
    }

    fn tell(&self, said: &mut Said) {
        let troubles: Vec<_> =
            self.books.iter().filter_map(|book| book.trouble.as_deref()).collect();
        let why = (!troubles.is_empty()).then(|| troubles.join("; "));
        match &why {
            Some(why) => {
                if let Some(repeats) = said.news(why) {
                    tracing::warn!(%why, repeats, "secrets: trying again");
                }
            }
            None => {
                if let Some(lasted) = said.over() {
                    tracing::info!(seconds = lasted.as_secs(), "secrets can be read again");
                }
            }
        }
        report(&self.reports, Event::Trouble { source: Source::Secrets, why });
    }
}
