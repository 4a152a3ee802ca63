//! The lines that tell people what a start or a stop waits for, on tokio's paused clock: their seconds are exact.

use crate::crew::What;
use crate::paused::{start, term, wrapped};
use crate::script::{App, Script, ms};
use crate::world::plan;
use std::cell::RefCell;
use std::fmt::Debug;
use std::rc::Rc;
use std::sync::Once;
use taskmesh::supervisor::{Inbound, Plan};
use tokio::time::Instant;
use tracing::field::{Field, Visit};
use tracing_subscriber::layer::{Context, Layer, SubscriberExt};

/// Lines about waiting, each with its ms on the test's clock.
#[derive(Clone)]
struct Lines {
    epoch: Instant,
    lines: Rc<RefCell<Vec<(u64, String)>>>,
}

thread_local! {
    /// Who listens on this thread, where a test's whole supervisor runs.
    static LISTENS: RefCell<Option<Lines>> = const { RefCell::new(None) };
}

/// Hands what is said on to the test of that thread. One for the whole process: where threads have subscribers of
/// their own, tracing asks only the thread that comes by a line first whether anybody wants it.
struct ByThread;

/// The message, then `field=value`s in the order of the code.
#[derive(Default)]
struct Words(String, String);

impl Visit for Words {
    fn record_str(&mut self, field: &Field, value: &str) {
        self.record_debug(field, &format_args!("{value}"));
    }

    fn record_debug(&mut self, field: &Field, value: &dyn Debug) {
        match field.name() {
            "message" => self.0 = format!("{value:?}"),
            name => self.1 += &format!(" {name}={value:?}"),
        }
    }
}

impl<S: tracing::Subscriber> Layer<S> for ByThread {
    fn on_event(&self, event: &tracing::Event<'_>, _: Context<'_, S>) {
        LISTENS.with_borrow(|listens| {
            let Some(Lines { epoch, lines }) = listens else { return };
            let mut words = Words::default();
            event.record(&mut words);
            if words.0 == "stopping" || words.0.contains("waiting") {
                let at = u64::try_from(epoch.elapsed().as_millis()).unwrap();
                lines.borrow_mut().push((at, words.0 + &words.1));
            }
        });
    }
}

fn listen() -> Lines {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        let registry = tracing_subscriber::registry().with(ByThread);
        tracing::subscriber::set_global_default(registry).unwrap();
    });
    let lines = Lines { epoch: Instant::now(), lines: Rc::default() };
    LISTENS.set(Some(lines.clone()));
    lines
}

impl Lines {
    /// All of them, also those that come long after the end.
    async fn heard(self) -> Vec<(u64, String)> {
        tokio::time::sleep(ms(60_000)).await;
        self.lines.borrow().clone()
    }
}

async fn heard(plan: Plan, script: Script, happenings: &[(u64, What)]) -> Vec<(u64, String)> {
    let lines = listen();
    let running = start(plan, script).await;
    for (at, what) in happenings {
        running.at(*at, what.clone());
    }
    running.finish().await;
    lines.heard().await
}

fn expected(lines: &[(u64, &str)]) -> Vec<(u64, String)> {
    lines.iter().map(|(at, line)| (*at, (*line).to_owned())).collect()
}

#[tokio::test(start_paused = true)]
async fn every_5_s_from_its_beginning_a_stop_says_what_it_waits_for_and_how_long_it_may() {
    // Everything takes as long as it may; the agent ends only of KILL, 29 s after our TERM.
    let apps = vec![App::wrapped("app").ends(Some(3000))];
    let script =
        Script { peers: None, drains: None, agent_leaves: None, apps, ..Script::default() };
    // Not at a multiple of 5 s since exec.
    let lines = heard(plan(Inbound::Http), script, &[(3200, What::EcsStops), (3200, term())]).await;
    assert_eq!(
        lines,
        expected(&[
            (8200, "stopping awaiting=telling the peers seconds=5.0 seconds_left=24.0 cause=term"),
            (
                13_200,
                "stopping awaiting=letting the peers' proxies update seconds=10.0 seconds_left=19.0 cause=term"
            ),
            (
                18_200,
                "stopping awaiting=draining inbound requests seconds=15.0 seconds_left=14.0 cause=term"
            ),
            (
                23_200,
                "stopping awaiting=draining inbound requests seconds=20.0 seconds_left=9.0 cause=term"
            ),
            (28_200, "stopping awaiting=consul to leave seconds=25.0 seconds_left=4.0 cause=term"),
        ])
    );
}

#[tokio::test(start_paused = true)]
async fn apps_are_awaited_by_name_and_who_is_not_is_named_too() {
    let apps = vec![
        App::wrapped("app").ends(Some(12_000)),
        App::new("worker").healthy().ends(Some(8000)),
        App::new("log_router").ends(None),
    ];
    let script = Script { apps, ..Script::default() };
    let lines = heard(plan(Inbound::Http), script, &[(3000, What::EcsStops), (3000, term())]).await;
    assert_eq!(
        lines,
        expected(&[
            (
                8000,
                "stopping awaiting=apps: app, worker seconds=5.0 seconds_left=24.0 cause=term not_awaited=log_router"
            ),
            (
                13_000,
                "stopping awaiting=apps: app seconds=10.0 seconds_left=19.0 cause=term not_awaited=log_router"
            ),
            (18_000, "stopping awaiting=consul to leave seconds=15.0 seconds_left=14.0 cause=term"),
        ])
    );
}

#[tokio::test(start_paused = true)]
async fn the_seconds_left_are_those_of_the_limit_that_counts_then() {
    // Before our own TERM it is totalStop, 110 s; then stopTimeout, each less 1 s for killing.
    let script = Script { apps: vec![App::wrapped("app").ends(None)], ..Script::default() };
    let happenings = [(2999, What::EcsStops), (11_000, term())];
    let lines = heard(plan(Inbound::Tcp), script, &happenings).await;
    assert_eq!(
        lines[..2],
        expected(&[
            (8000, "stopping awaiting=apps: app seconds=5.0 seconds_left=104.0 cause=app-term"),
            (13_000, "stopping awaiting=apps: app seconds=10.0 seconds_left=27.0 cause=app-term"),
        ])
    );
}

#[tokio::test(start_paused = true)]
async fn a_start_speaks_of_itself_until_a_stop_comes() {
    let script = Script { answers: None, agent_leaves: Some(9000), ..wrapped() };
    let lines = heard(plan(Inbound::Http), script, &[(7000, What::EcsStops), (7000, term())]).await;
    assert_eq!(
        lines,
        expected(&[
            (5000, "not ready: waiting latch=consul agent seconds=5.0 others=4"),
            (12_000, "stopping awaiting=consul to leave seconds=5.0 seconds_left=24.0 cause=term"),
        ])
    );
}
