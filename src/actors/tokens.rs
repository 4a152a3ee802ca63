//! Reads the secrets that come later or change: tokens from files and from Secrets Manager, again and again, and tokens by
//! a login, again before they end; gossip key and certificates from Secrets Manager, once. What it reads goes to the
//! keyring; that it did is reported.

mod login;
mod reader;

use self::login::LogIns;
use self::reader::{Book, From, Reader};
use super::process::jittered;
use super::{Identity, Keyring, Site, work};
use crate::config::{Config, Secret, SecretItem};
use crate::consul::Client;
use crate::stored::Store;
use crate::supervisor::Need;
use crate::supervisor::actor::Reports;
use crate::supervisor::renewal::Renewal;
use ractor::{Actor, ActorProcessingErr, ActorRef};
use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::mpsc::{UnboundedSender, unbounded_channel};
use tokio::task::AbortHandle;

/// As logs name it.
pub(super) const NAME: &str = "tokens";

/// A file is read again so often: it costs next to nothing, and a sidecar may write it at any time.
const FILE_INTERVAL: Duration = Duration::from_secs(2);

/// What this actor takes.
#[derive(Debug)]
pub(crate) enum Msg {
    /// Who we are: the region may be told by it.
    Identify(Arc<Identity>),
    /// Read all that can change, now: somebody sent a SIGHUP.
    ReadNow,
    /// The agent has joined: what is not there yet may be by now.
    Joined,
    /// End the tokens that a login made.
    LogOut,
}

/// What the reader is told.
#[derive(Debug)]
enum Order {
    Read,
    LogOut,
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
    /// To the reader, once there is one.
    reader: Option<(UnboundedSender<Order>, AbortHandle)>,
    /// That nothing can be reloaded.
    told: bool,
}

/// What waits for each secret. A certificate by auto_encrypt is given to the agent's token alone, and before it has one
/// the agent answers nobody: so it could not be told its token later.
fn needs(config: &Config, item: SecretItem) -> Vec<Need> {
    let consul = &config.consul;
    let logs_in = consul.login.as_ref().is_some_and(|login| login.agent_method.is_some());
    let for_certificate =
        consul.acl.is_some() && consul.tls.as_ref().is_some_and(|t| t.auto_encrypt);
    match item {
        SecretItem::AgentToken if for_certificate && !logs_in => {
            vec![Need::AgentToken, Need::AgentStart]
        }
        SecretItem::AgentToken => vec![Need::AgentToken],
        SecretItem::ServiceToken => vec![Need::ServiceToken],
        _ => vec![Need::AgentStart],
    }
}

/// What is not there yet.
pub(crate) fn awaited(config: &Config, keyring: &Keyring) -> BTreeSet<Need> {
    let held = keyring.now();
    let referred = config.consul.secrets().map(|(item, _)| item);
    let made = logins(config).map(|(item, _)| item);
    let missing = referred.chain(made).filter(|item| held.get(*item).is_none());
    missing.flat_map(|item| needs(config, item)).collect()
}

/// Which tokens are made by a login, and by which auth method.
fn logins(config: &Config) -> impl Iterator<Item = (SecretItem, &str)> {
    let login = config.consul.login.as_ref();
    let service = login.map(|login| (SecretItem::ServiceToken, login.method.as_str()));
    let agent = login.and_then(|login| login.agent_method.as_deref());
    service.into_iter().chain(agent.map(|method| (SecretItem::AgentToken, method)))
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
        Ok(State { args, reader: None, told: false })
    }

    async fn handle(
        &self,
        _: ActorRef<Msg>,
        msg: Msg,
        s: &mut State,
    ) -> Result<(), ActorProcessingErr> {
        match msg {
            Msg::Identify(identity) => s.begin(&identity),
            Msg::ReadNow if s.can_reload() => {
                tracing::info!("SIGHUP: tokens are read again");
                s.order(Order::Read);
            }
            Msg::ReadNow => {
                // Once: who sends one every minute, as log rotation does, learns nothing by the second line.
                if !std::mem::replace(&mut s.told, true) {
                    tracing::info!("SIGHUP: nothing can be reloaded; replace the task instead");
                }
            }
            Msg::Joined => s.order(Order::Read),
            Msg::LogOut => s.order(Order::LogOut),
        }
        Ok(())
    }
}

impl State {
    fn begin(&mut self, identity: &Identity) {
        let books = self.books();
        if self.reader.is_some() || books.is_empty() {
            return;
        }
        let Arguments { site, consul, reports } = &self.args;
        let (orders, taken) = unbounded_channel();
        let login = site.config.consul.login.clone();
        let reader = Reader {
            site: site.clone(),
            consul: consul.clone(),
            reports: reports.clone(),
            orders: taken,
            store: Store::new(site.aws.clone(), &identity.task.task_arn),
            log_ins: LogIns::new(login, site.aws.clone(), identity.task.clone(), consul.clone()),
            books,
            retired: Vec::new(),
        };
        self.reader = Some((orders, work::spawn(NAME, reports, reader.run())));
    }

    fn order(&self, order: Order) {
        if let Some((orders, _)) = &self.reader {
            // A reader that is gone was told to log out.
            let _gone = orders.send(order);
        }
    }

    /// A token may be another one by now.
    fn can_reload(&self) -> bool {
        let config = &self.args.site.config;
        let mut read_again =
            config.consul.secrets().filter(|(item, from)| interval(config, *item, from).is_some());
        read_again.next().is_some() || logins(config).next().is_some()
    }

    /// What is still to be read, or to be read again.
    fn books(&self) -> Vec<Book> {
        let Site { config, keyring, epoch, .. } = &self.args.site;
        let (held, now) = (keyring.now(), epoch.elapsed());
        let referred = config.consul.secrets().map(|(item, secret)| {
            // Tasks that start together must not ask together for ever.
            let interval = interval(config, item, secret).map(jittered);
            let renewal = Renewal::new(interval, held.get(item).is_some(), now);
            Book { item, from: From::Reference(secret.clone()), renewal, trouble: None }
        });
        let made = logins(config).map(|(item, method)| Book {
            item,
            from: From::Login(method.to_owned()),
            renewal: Renewal::made(),
            trouble: None,
        });
        referred.filter(|book| book.renewal.due().is_some()).chain(made).collect()
    }
}

impl Drop for State {
    fn drop(&mut self) {
        if let Some((_, reader)) = self.reader.take() {
            reader.abort();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::{Sources, load};
    use std::collections::BTreeMap;

    /// What waits for an agent's token that is stored elsewhere.
    fn of(consul: &str) -> Vec<Need> {
        let text = format!(
            r#"{{"service": {{"port": 1}}, "consul": {{"retryJoin": ["10.0.0.1"], "acl": {{}},
            "agentToken": {{"secretsManager": {{"secretId": "x"}}}} {consul}}}}}"#
        );
        let env = BTreeMap::from([("TASKMESH_CONFIG_JSON".to_owned(), text)]);
        let config = load(&Sources::default(), &env).expect("right").config;
        needs(&config, SecretItem::AgentToken)
    }

    #[test]
    fn an_agent_needs_its_token_to_start_where_its_certificate_is_made_for_it() {
        let tls = r#", "tls": {"ca": {"file": "/ca"}"#;
        assert_eq!(of(""), [Need::AgentToken]);
        assert_eq!(of(&format!("{tls}, \"autoEncrypt\": false}}")), [Need::AgentToken]);
        assert_eq!(of(&format!("{tls}}}")), [Need::AgentToken, Need::AgentStart]);
    }
}
