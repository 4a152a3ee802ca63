//! Runs Envoy: has its bootstrap made, edits and writes it, starts Envoy, tells when it listens, drains it.

use super::alive::{self, Asked};
use super::consul_agent::command_env;
use super::process::{Beat, Reason, Runner};
use super::{Identity, Site};
use crate::config::SecretItem;
use crate::consul;
use crate::envoy::{self, AdminClient, Edit, TokenFile, port_open};
use crate::logging::{self, Said};
use crate::private::write_private;
use crate::process::{ChildSpec, Output, filtered_env, run_to_end};
use crate::supervisor::actor::{Reports, report};
use crate::supervisor::listener::{Judgement, Listener, Port};
use crate::supervisor::{Event, Inbound, Role, Source};
use ractor::{Actor, ActorProcessingErr, ActorRef};
use secrecy::ExposeSecret;
use std::ffi::OsString;
use std::path::PathBuf;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

/// `consul connect envoy -bootstrap` takes about 0.1 s.
const BOOTSTRAP_LIMIT: Duration = Duration::from_secs(15);
/// Two reads this far apart must both show nothing in flight.
const DRAIN_READ: Duration = Duration::from_millis(50);
/// Killed after the agent and before us when memory runs out.
const OOM_SCORE: i32 = 200;

/// What this actor takes.
#[derive(Debug)]
pub(crate) enum Msg {
    /// Who we are.
    Identify(Arc<Identity>),
    /// Make the bootstrap.
    WriteBootstrap,
    /// Another token of the service is in the keyring.
    ReplaceToken,
    /// Start Envoy.
    Start,
    /// A stop was noticed: nobody waits for a bootstrap or for a LIVE Envoy any more.
    Hush,
    /// Drain the inbound listeners.
    Drain,
    /// Ask it to exit.
    Term,
    /// Kill it.
    Kill,
}

/// See the module's text.
pub(crate) struct EnvoyActor;

/// What it needs.
pub(crate) struct Arguments {
    pub(crate) site: Site,
    pub(crate) reports: Reports,
}

pub(crate) struct State {
    site: Site,
    reports: Reports,
    identity: Option<Arc<Identity>>,
    runner: Runner,
    /// How the last bootstrap gives Envoy its token.
    token_form: Arc<OnceLock<TokenForm>>,
}

impl Actor for EnvoyActor {
    type Msg = Msg;
    type State = State;
    type Arguments = Arguments;

    async fn pre_start(
        &self,
        _: ActorRef<Msg>,
        args: Arguments,
    ) -> Result<State, ActorProcessingErr> {
        let Arguments { site, reports } = args;
        let runner = Runner::new(Role::Envoy, &site, reports.clone());
        Ok(State { site, reports, identity: None, runner, token_form: Arc::default() })
    }

    async fn handle(
        &self,
        _: ActorRef<Msg>,
        msg: Msg,
        s: &mut State,
    ) -> Result<(), ActorProcessingErr> {
        match msg {
            Msg::Identify(identity) => s.identity = Some(identity),
            Msg::WriteBootstrap => {
                if let Some(identity) = s.identity.clone() {
                    let form = s.token_form.clone();
                    let work = write_bootstrap(s.site.clone(), identity, form, s.reports.clone());
                    s.runner.beside(work);
                }
            }
            Msg::ReplaceToken => {
                let (site, form) = (s.site.clone(), s.token_form.clone());
                s.runner.beside(replace_token(site, form, s.reports.clone()));
            }
            Msg::Start => s.start(),
            Msg::Hush => s.runner.quiet(),
            Msg::Drain => {
                let site = s.site.clone();
                s.runner.beside(drain(site, s.reports.clone()));
            }
            Msg::Term => s.runner.term(),
            Msg::Kill => s.runner.kill(),
        }
        Ok(())
    }
}

impl State {
    fn start(&mut self) {
        // Whoever was about to write another token ends with the Envoy before.
        if self.token_form.get() == Some(&TokenForm::File)
            && let Err(why) = write_token(&self.site)
        {
            tracing::warn!(%why, "envoy starts with the token that it had");
        }
        let config = &self.site.config;
        let args = envoy::args(&config.envoy, &bootstrap_path(&self.site));
        let spec = ChildSpec {
            name: Role::Envoy.name().to_owned(),
            program: config.envoy.binary.clone(),
            args: args.into_iter().map(Into::into).collect(),
            env: envoy_env(),
            output: Output::Lines(logging::child_lines()),
            oom_score_adj: Some(OOM_SCORE),
        };
        if let Some(pid) = self.runner.start(spec) {
            let admin = AdminClient::new(config.envoy.admin_port);
            let port = config.proxy.public_listener_port;
            let (limit, reports) = (config.restart.unresponsive_after, self.reports.clone());
            self.runner.beside(probe(admin.clone(), port, pid, self.reports.clone()));
            if !limit.is_zero() {
                self.runner.beside(alive::watch(Asked::Envoy(admin), pid, limit, reports));
            }
        }
    }
}

fn bootstrap_path(site: &Site) -> PathBuf {
    site.private_dir.join("envoy-bootstrap.json")
}

/// How Envoy can be given the token.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum TokenForm {
    /// There is none.
    None,
    /// In a file that it watches.
    File,
    /// In the bootstrap, where it can never change.
    Bootstrap,
}

/// Has the bootstrap made, edits and writes it; tries again until it worked, for the agent may just be restarting.
async fn write_bootstrap(
    site: Site,
    identity: Arc<Identity>,
    form: Arc<OnceLock<TokenForm>>,
    reports: Reports,
) {
    let mut beat = Beat::patient();
    let mut said = Said::default();
    loop {
        match try_bootstrap(&site, &identity, &form).await {
            Ok(()) => {
                report(&reports, Event::Trouble { source: Source::Bootstrap, why: None });
                return report(&reports, Event::BootstrapWritten);
            }
            Err(why) => {
                if let Some(repeats) = said.news(&why) {
                    tracing::warn!(%why, repeats, "envoy bootstrap: trying again");
                }
                report(&reports, Event::Trouble { source: Source::Bootstrap, why: Some(why) });
            }
        }
        beat.rest().await;
    }
}

async fn try_bootstrap(
    site: &Site,
    identity: &Identity,
    form: &OnceLock<TokenForm>,
) -> Result<(), String> {
    let config = &site.config;
    let token = site.keyring.get(SecretItem::ServiceToken);
    let args =
        consul::connect_envoy_args(&identity.ids, &config.consul, &config.service, &config.envoy);
    let spec = ChildSpec {
        name: "consul connect envoy".to_owned(),
        program: config.consul.binary.clone(),
        args: args.into_iter().map(Into::into).collect(),
        env: command_env(token.as_ref()),
        output: Output::Capture { max: 1024 * 1024 },
        oom_score_adj: None,
    };
    let (out, found) = tokio::join!(
        run_to_end(&site.reaper, spec, BOOTSTRAP_LIMIT),
        token_form(site, token.is_some())
    );
    let form = *form.get_or_init(|| found);
    let out = out.map_err(|e| e.to_string())?;
    if !out.exit.success() {
        let stderr = String::from_utf8_lossy(&out.stderr);
        let last = stderr.trim().lines().last().unwrap_or_default();
        return Err(format!("consul connect envoy: {}: {last}", out.exit));
    }
    let printed = serde_json::from_slice(&out.stdout)
        .map_err(|e| format!("consul connect envoy printed no JSON: {e}"))?;
    let file = token_path(site);
    let token = match form {
        TokenForm::None => TokenFile::None,
        TokenForm::File => TokenFile::Watched(&file),
        TokenForm::Bootstrap => TokenFile::Inline,
    };
    if form == TokenForm::File {
        write_token(site)?;
    }
    let edit = Edit { token, admin_port: config.envoy.admin_port };
    let edited = envoy::edit(printed, &edit).map_err(|e| e.to_string())?;
    let path = bootstrap_path(site);
    write_private(&path, edited.to_string().as_bytes())
        .map_err(|e| format!("cannot write {}: {e}", path.display()))
}

fn token_path(site: &Site) -> PathBuf {
    site.private_dir.join("consul-token.json")
}

/// Writes the token that there is now: it may be another one than the bootstrap was made with.
fn write_token(site: &Site) -> Result<(), String> {
    let Some(token) = site.keyring.get(SecretItem::ServiceToken) else { return Ok(()) };
    let content = envoy::sds_token_file(token.expose_secret()).to_string();
    let path = token_path(site);
    write_private(&path, content.as_bytes())
        .map_err(|e| format!("cannot write {}: {e}", path.display()))
}

/// Puts another token where Envoy reads it. Its streams go on with the old one while that lives; whichever is begun
/// afterwards has the new one.
async fn replace_token(site: Site, form: Arc<OnceLock<TokenForm>>, reports: Reports) {
    if form.get() == Some(&TokenForm::Bootstrap) {
        tracing::warn!(
            "this Envoy keeps the token that it was started with (1.34 and later read it from a file): it gets no \
             changes any more once the old one is deleted; replace the task before that"
        );
        return;
    }
    let (mut beat, mut said) = (Beat::patient(), Said::default());
    while let Err(why) = write_token(&site) {
        if let Some(repeats) = said.news(&why) {
            tracing::warn!(%why, repeats, "envoy: the new token does not reach it, trying again");
        }
        report(&reports, Event::Trouble { source: Source::Bootstrap, why: Some(why) });
        beat.rest().await;
    }
    report(&reports, Event::Trouble { source: Source::Bootstrap, why: None });
}

/// An old Envoy cannot read the token from a file. One that does not say its version (a wrapper script, perhaps) counts as
/// current.
async fn token_form(site: &Site, has_token: bool) -> TokenForm {
    if !has_token {
        return TokenForm::None;
    }
    let config = &site.config;
    let spec = ChildSpec {
        name: Role::Envoy.name().to_owned(),
        program: config.envoy.binary.clone(),
        args: vec!["--version".into()],
        env: envoy_env(),
        output: Output::Capture { max: 4096 },
        oom_score_adj: None,
    };
    let version = match run_to_end(&site.reaper, spec, BOOTSTRAP_LIMIT).await {
        Ok(out) => envoy::parse_version(&String::from_utf8_lossy(&out.stdout)),
        // What cannot be run is told when it is to be started.
        Err(_) => None,
    };
    match version {
        Some(version) if !envoy::reads_token_from_file(version) => TokenForm::Bootstrap,
        _ => TokenForm::File,
    }
}

fn envoy_env() -> Vec<(OsString, OsString)> {
    filtered_env(&["PATH", "HOME", "TMPDIR", "LANG", "TZ"])
}

/// Tells when Envoy is LIVE, and when its public listener is open or will never be.
async fn probe(admin: AdminClient, port: u16, pid: i32, reports: Reports) {
    let mut reason = Reason::of(Source::Envoy, &reports);
    let mut beat = Beat::new();
    loop {
        let why = match admin.ready().await {
            Ok(true) => break,
            Ok(false) => "started; waits for its configuration from the agent".to_owned(),
            Err(e) => e.to_string(),
        };
        reason.is(Some(why));
        beat.rest().await;
    }
    report(&reports, Event::EnvoyLive);
    let mut listener = Listener::default();
    loop {
        let why = match listener.look(look(&admin, port).await) {
            Judgement::Open => {
                reason.is(None);
                return report(&reports, Event::ListenerOpen);
            }
            Judgement::Missed => return report(&reports, Event::ListenerMissed { pid }),
            Judgement::Awaited => "LIVE; its public listener is not open yet".to_owned(),
            Judgement::Taken => {
                format!("another process listens on port {port}, its public listener's")
            }
        };
        reason.is(Some(why));
        beat.rest().await;
    }
}

/// The port first: once it accepts because of Envoy, Envoy has long had the listener in its list.
async fn look(admin: &AdminClient, port: u16) -> Port {
    if !port_open(port).await {
        return Port::Closed;
    }
    match admin.listens_on(port).await {
        Ok(true) => Port::Ours,
        Ok(false) => Port::Foreign,
        Err(_) => Port::Unknown,
    }
}

/// Drains the inbound listeners and tells when nothing is left. The machine bounds it.
async fn drain(site: Site, reports: Reports) {
    let admin = AdminClient::new(site.config.envoy.admin_port);
    let port = site.config.proxy.public_listener_port;
    let http = Inbound::of(&site.config) == Inbound::Http;
    let (mut beat, mut said) = (Beat::new(), Said::default());
    while let Err(e) = admin.drain_inbound().await {
        if let Some(repeats) = said.news(&e.to_string()) {
            tracing::warn!(error = %e, repeats, "envoy does not take the drain");
        }
        beat.rest().await;
    }
    let mut reads = Reads::default();
    loop {
        let left = if http { admin.rq_active().await } else { admin.cx_active(port).await };
        let left = match left {
            // The protocol may come from the servers (service-defaults) and differ from what we think.
            Ok(None) if http => admin.cx_active(port).await.map(|left| left.unwrap_or(1)),
            left => left.map(|left| left.unwrap_or(0)),
        };
        if let Err(e) = &left {
            tracing::debug!(error = %e, "envoy does not tell what is in flight");
        }
        if reads.are_quiet(left.ok()) {
            return report(&reports, Event::InboundDrained);
        }
        tokio::time::sleep(DRAIN_READ).await;
    }
}

/// Reads of what is in flight, [`DRAIN_READ`] apart.
#[derive(Default)]
struct Reads {
    last_was_quiet: bool,
}

impl Reads {
    /// This read, and the one before it, showed nothing in flight. One that failed (`None`) proves nothing.
    fn are_quiet(&mut self, left: Option<u64>) -> bool {
        let quiet = left == Some(0);
        std::mem::replace(&mut self.last_was_quiet, quiet) && quiet
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn two_reads_in_a_row_must_show_that_nothing_is_in_flight() {
        for (reads, quiet_at) in [
            (&[Some(0), Some(0)][..], Some(1)),
            (&[Some(3), Some(0), Some(0)], Some(2)),
            (&[Some(0), Some(1), Some(0), Some(0)], Some(3)),
            (&[Some(0), None, Some(0), Some(0)], Some(3)),
            (&[Some(0), Some(1), Some(0)], None),
        ] {
            let mut so_far = Reads::default();
            let at = reads.iter().position(|read| so_far.are_quiet(*read));
            assert_eq!(at, quiet_at, "{reads:?}");
        }
    }
}
