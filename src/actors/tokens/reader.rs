//! Reads what is due, one after the other, for as long as its actor lives.

use super::login::{LogIns, Made};
use super::{NAME, Order, needs};
use crate::actors::Site;
use crate::app::secrets::check_pem;
use crate::config::{ProcessEnv, Secret, SecretItem};
use crate::consul::Client;
use crate::logging::Said;
use crate::stored::{Store, StoredError};
use crate::supervisor::actor::{Reports, report};
use crate::supervisor::renewal::{Read, Renewal};
use crate::supervisor::{Event, Need, Source};
use secrecy::{ExposeSecret, SecretString};
use std::time::Duration;
use tokio::sync::mpsc::UnboundedReceiver;
use tokio::time::sleep_until;

/// A token that another one took the place of is logged out after this time: by then Envoy has begun its streams anew.
const RETIRED: Duration = Duration::from_secs(60);

/// Where a secret comes from.
pub(super) enum From {
    Reference(Secret),
    /// A login by this auth method.
    Login(String),
}

/// What is kept of one secret.
pub(super) struct Book {
    pub(super) item: SecretItem,
    pub(super) from: From,
    pub(super) renewal: Renewal,
    /// Why it was not read the last time.
    pub(super) trouble: Option<String>,
}

pub(super) struct Reader {
    pub(super) site: Site,
    pub(super) consul: Client,
    pub(super) reports: Reports,
    pub(super) orders: UnboundedReceiver<Order>,
    pub(super) store: Store,
    pub(super) log_ins: LogIns,
    pub(super) books: Vec<Book>,
    /// Tokens that another took the place of, and when they are logged out.
    pub(super) retired: Vec<(Duration, SecretString)>,
}

impl Reader {
    /// Until its actor ends.
    pub(super) async fn run(mut self) {
        let mut said = Said::default();
        loop {
            let epoch = self.site.epoch;
            let books = self.books.iter().filter_map(|book| book.renewal.due());
            let due = books.chain(self.retired.iter().map(|(due, _)| *due)).min();
            let due = async {
                match due {
                    Some(due) => sleep_until(epoch + due).await,
                    None => std::future::pending().await,
                }
            };
            tokio::select! {
                () = due => {}
                () = self.consul.refused() => {
                    let now = epoch.elapsed();
                    let tokens = self.books.iter_mut().filter(|book| book.item.is_token());
                    tokens.for_each(|book| book.renewal.refused(now));
                    continue;
                }
                order = self.orders.recv() => match order {
                    Some(Order::Read) => {
                        let now = epoch.elapsed();
                        self.books.iter_mut().for_each(|book| book.renewal.now(now));
                    }
                    Some(Order::LogOut) => return self.log_out().await,
                    None => return,
                }
            }
            self.read_what_is_due().await;
            self.log_out_retired().await;
            self.tell(&mut said);
        }
    }

    async fn read_what_is_due(&mut self) {
        let now = self.site.epoch.elapsed();
        for i in 0..self.books.len() {
            let book = &mut self.books[i];
            let item = book.item;
            if book.renewal.due().is_none_or(|due| due > now) {
                continue;
            }
            let found = match &book.from {
                From::Reference(Secret::SecretsManager(stored)) => self.store.read(stored).await,
                From::Reference(secret) => {
                    secret.resolve(&ProcessEnv).map_err(|e| StoredError::NotYet(e.to_string()))
                }
                From::Login(method) => {
                    let made = self.log_ins.log_in(method).await;
                    made.map(|Made { token, again_after }| {
                        book.renewal.set_interval(again_after);
                        token
                    })
                }
            };
            let read = match found {
                Ok(text) => self.keep(i, text).await,
                Err(error) => Err(error),
            };
            let what = *read.as_ref().unwrap_or_else(|error| match error {
                StoredError::NotYet(_) => &Read::NotYet,
                StoredError::Failed(_) => &Read::Failed,
            });
            let now = self.site.epoch.elapsed();
            let book = &mut self.books[i];
            book.renewal.read(what, now);
            book.trouble = read.err().map(|error| format!("{}: {error}", book.path()));
            if what == Read::New {
                for need in needs(&self.site.config, item) {
                    if self.is_whole(need) {
                        report(&self.reports, Event::SecretRead(need));
                    }
                }
            }
        }
    }

    /// All that is read for the same end is there.
    fn is_whole(&self, need: Need) -> bool {
        let (config, held) = (&self.site.config, self.site.keyring.now());
        let mut items = self.books.iter().map(|book| book.item);
        items.all(|item| !needs(config, item).contains(&need) || held.get(item).is_some())
    }

    /// Puts a secret where everybody finds it, if it is another one.
    async fn keep(&mut self, i: usize, text: SecretString) -> Result<Read, StoredError> {
        let not_usable = |why: String| StoredError::NotYet(why);
        let book = &self.books[i];
        let item = book.item;
        let held = self.site.keyring.get(item);
        if held.as_ref().is_some_and(|held| held.expose_secret() == text.expose_secret()) {
            return Ok(Read::Same);
        }
        if let Some(pem) = item.pem() {
            check_pem(item.path(), pem, Some(&text)).map_err(|e| not_usable(e.to_string()))?;
        }
        if held.is_some() && item.is_token() {
            self.make_sure(&text).await?;
        }
        let book = &self.books[i];
        if item == SecretItem::ServiceToken {
            let token = Some(text.clone());
            self.consul.set_token(token).map_err(|e| not_usable(e.to_string()))?;
        }
        self.site.keyring.put(item, text);
        tracing::info!(secret = book.path(), actor = NAME, "read");
        if let (From::Login(_), Some(old)) = (&book.from, held) {
            self.retired.push((self.site.epoch.elapsed() + RETIRED, old));
        }
        Ok(Read::New)
    }

    /// A token that works does not give way to one that Consul does not know: a controller writes the ids into the secret
    /// first, and makes the token after that.
    async fn make_sure(&self, new: &SecretString) -> Result<(), StoredError> {
        if self.site.config.consul.acl.is_none() {
            return Ok(());
        }
        match self.consul.acl_knows(new).await {
            Ok(true) => Ok(()),
            Ok(false) => Err(StoredError::NotYet(
                "Consul does not know the new token yet; the old one stays".to_owned(),
            )),
            Err(why) => Err(StoredError::NotYet(format!(
                "cannot tell whether Consul knows the new token, so the old one stays: {why}"
            ))),
        }
    }

    async fn log_out_retired(&mut self) {
        let now = self.site.epoch.elapsed();
        let due: Vec<_> = self.retired.extract_if(.., |(due, _)| *due <= now).collect();
        for (_, token) in due {
            self.log_ins.log_out(&token).await;
        }
    }

    /// The end: every token that a login made goes.
    async fn log_out(mut self) {
        let held = self.site.keyring.now();
        let made = self.books.iter().filter(|book| matches!(book.from, From::Login(_)));
        let last = made.filter_map(|book| held.get(book.item).cloned());
        let all: Vec<_> = self.retired.drain(..).map(|(_, token)| token).chain(last).collect();
        futures_util::future::join_all(all.iter().map(|token| self.log_ins.log_out(token))).await;
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

impl Book {
    /// Where it stands in the configuration.
    fn path(&self) -> &'static str {
        match (&self.from, self.item) {
            (From::Reference(_), item) => item.path(),
            (From::Login(_), SecretItem::AgentToken) => "consul.login.agentMethod",
            (From::Login(_), _) => "consul.login",
        }
    }
}
