//! Against a fake agent on loopback, which answers as a test wants. What is written and when is tested with the policy;
//! here is how: all at once, each by itself, and nothing after the hush.

use super::*;
use crate::supervisor::actor::Msg as Report;
use crate::wire::tests::serve;
use axum::Router;
use axum::body::Bytes;
use axum::extract::{Path, State as Shared};
use axum::http::StatusCode;
use axum::routing::put;
use serde_json::{Value, json};
use std::sync::{LazyLock, Mutex};
use tokio::sync::{mpsc, watch};
use tokio::time::timeout;

/// A test that waits longer for one thing has failed.
const LONG: Duration = Duration::from_secs(30);

/// The fake agent: holds calls while it is told to, and keeps what it was called with.
#[derive(Clone)]
struct Fake {
    calls: Arc<Mutex<Vec<(String, String)>>>,
    count: watch::Sender<usize>,
    /// Check IDs with this in them wait until the test lets them.
    held: watch::Sender<&'static str>,
    answer: watch::Sender<(u16, &'static str)>,
}

impl Fake {
    async fn start(held: &'static str) -> (Self, Client) {
        let fake = Self {
            calls: Arc::default(),
            count: watch::Sender::new(0),
            held: watch::Sender::new(held),
            answer: watch::Sender::new((200, "")),
        };
        let router = Router::new()
            .route("/v1/agent/check/update/{id}", put(Self::update))
            .with_state(fake.clone());
        // Not what is tried here: calls that are held on purpose.
        let client = Client::new(&serve(router).await, None).unwrap().with_timeout(4 * LONG);
        (fake, client)
    }

    async fn update(
        Shared(fake): Shared<Fake>,
        Path(id): Path<String>,
        body: Bytes,
    ) -> (StatusCode, &'static str) {
        let body: Value = serde_json::from_slice(&body).unwrap();
        let status = body["Status"].as_str().unwrap().to_owned();
        fake.calls.lock().unwrap().push((id.clone(), status));
        fake.count.send_modify(|count| *count += 1);
        let free = |held: &&str| held.is_empty() || !id.contains(held);
        fake.held.subscribe().wait_for(free).await.unwrap();
        let (code, words) = *fake.answer.borrow();
        (StatusCode::from_u16(code).unwrap(), words)
    }

    fn calls(&self) -> Vec<(String, String)> {
        self.calls.lock().unwrap().clone()
    }

    async fn until(&self, calls: usize) {
        let mut count = self.count.subscribe();
        let enough = timeout(LONG, count.wait_for(|count| *count >= calls)).await;
        assert!(enough.is_ok(), "not {calls} calls: {:#?}", self.calls());
    }
}

/// In the supervisor's place.
struct Probe;

impl Actor for Probe {
    type Msg = Report;
    type State = mpsc::UnboundedSender<Event>;
    type Arguments = mpsc::UnboundedSender<Event>;

    async fn pre_start(
        &self,
        _: ActorRef<Report>,
        events: mpsc::UnboundedSender<Event>,
    ) -> Result<Self::State, ActorProcessingErr> {
        Ok(events)
    }

    async fn handle(
        &self,
        _: ActorRef<Report>,
        msg: Report,
        events: &mut Self::State,
    ) -> Result<(), ActorProcessingErr> {
        if let Report::Event(event) = msg {
            events.send(event)?;
        }
        Ok(())
    }
}

/// A running sync of these containers, and what it reports.
async fn sync(
    client: Client,
    ttl: Duration,
    containers: &[String],
) -> (ActorRef<Msg>, mpsc::UnboundedReceiver<Event>) {
    let (send, events) = mpsc::unbounded_channel();
    let (probe, _) = Actor::spawn(None, Probe, send).await.unwrap();
    let rules = Rules { ttl, start_grace: Duration::ZERO, stale_after: 10 * LONG };
    let args = Arguments { consul: client, rules, epoch: *EPOCH, reports: probe.get_derived() };
    let (sync, _) = Actor::spawn(None, HealthSync, args).await.unwrap();
    let ids =
        ServiceIds { name: "api".to_owned(), service: "api-1".to_owned(), ..Default::default() };
    sync.cast(Msg::Identify(Arc::new(ids))).unwrap();
    sync.cast(Msg::Containers(containers.to_vec())).unwrap();
    sync.cast(Msg::Start).unwrap();
    (sync, events)
}

/// A read of the metadata in which all containers have this status.
fn all(containers: &[String], status: &str) -> Msg {
    let body =
        |name| json!({ "Name": name, "KnownStatus": "RUNNING", "Health": { "status": status } });
    let bodies: Vec<Value> = containers.iter().map(body).collect();
    let task = serde_json::from_value(json!({ "KnownStatus": "RUNNING", "Containers": bodies }));
    let asked_at = EPOCH.elapsed();
    Msg::Seen(Arc::new(TaskSeen {
        task: Arc::new(task.unwrap()),
        own_name: String::new(),
        asked_at,
    }))
}

fn names(count: usize) -> Vec<String> {
    (0..count).map(|number| format!("c{number}")).collect()
}

async fn next(events: &mut mpsc::UnboundedReceiver<Event>) -> Event {
    timeout(LONG, events.recv()).await.expect("an event").expect("alive")
}

/// From which reads count their time.
static EPOCH: LazyLock<Instant> = LazyLock::new(Instant::now);

/// Nothing is refreshed during a test with this TTL.
const NEVER: Duration = Duration::from_secs(86_400);

#[tokio::test]
async fn all_checks_go_out_together_and_no_more_than_32_at_once() {
    let (fake, client) = Fake::start("c").await;
    let containers = names(100);
    let (sync, _events) = sync(client, NEVER, &containers).await;
    sync.cast(all(&containers, "HEALTHY")).unwrap();
    // None of them is answered before all of them are there.
    fake.until(AT_ONCE).await;
    tokio::time::sleep(Duration::from_millis(200)).await;
    assert_eq!(fake.calls().len(), AT_ONCE);
    fake.held.send_replace("");
    fake.until(100).await;
    let mut ids: Vec<_> = fake.calls().into_iter().map(|(id, _)| id).collect();
    ids.sort();
    ids.dedup();
    assert_eq!(ids.len(), 100, "each once");
}

#[tokio::test]
async fn a_slow_answer_holds_up_its_own_check_only() {
    let (fake, client) = Fake::start("slow").await;
    let containers = ["slow", "fast"].map(str::to_owned);
    let (sync, _events) = sync(client, NEVER, &containers).await;
    for (calls, status) in [(2, "HEALTHY"), (3, "UNHEALTHY"), (4, "HEALTHY"), (5, "UNHEALTHY")] {
        sync.cast(all(&containers, status)).unwrap();
        fake.until(calls).await;
    }
    let of = |name: &str| {
        let calls = fake.calls().into_iter().filter(|(id, _)| id.contains(name));
        calls.map(|(_, status)| status).collect::<Vec<_>>()
    };
    assert_eq!(of("fast"), ["passing", "critical", "passing", "critical"]);
    assert_eq!(of("slow"), ["passing"]);
    // Then what it should say by now goes out at once.
    fake.held.send_replace("");
    fake.until(6).await;
    assert_eq!(of("slow"), ["passing", "critical"]);
}

#[tokio::test]
async fn after_the_hush_nothing_is_sent_and_what_was_on_its_way_is_waited_for() {
    let (fake, client) = Fake::start("c").await;
    let containers = names(40);
    let (sync, mut events) = sync(client, Duration::from_secs(3), &containers).await;
    sync.cast(all(&containers, "HEALTHY")).unwrap();
    fake.until(AT_ONCE).await;
    sync.cast(Msg::Hush).unwrap();
    sync.cast(all(&containers, "UNHEALTHY")).unwrap();
    tokio::time::sleep(Duration::from_millis(200)).await;
    assert!(events.try_recv().is_err(), "32 calls are still on their way");
    fake.held.send_replace("");
    let event = next(&mut events).await;
    assert!(matches!(event, Event::Quiet(Source::HealthSync)), "{event:?}");
    // Longer than the next refreshes.
    tokio::time::sleep(Duration::from_millis(1500)).await;
    assert_eq!(fake.calls().len(), AT_ONCE);
}

#[tokio::test]
async fn checks_are_refreshed_while_nothing_is_read() {
    let (fake, client) = Fake::start("none").await;
    let containers = names(1);
    let (sync, _events) = sync(client, Duration::from_millis(300), &containers).await;
    sync.cast(all(&containers, "HEALTHY")).unwrap();
    fake.until(5).await;
    assert!(fake.calls().iter().all(|call| *call == fake.calls()[0]), "{:?}", fake.calls());
}

#[tokio::test]
async fn a_refusal_says_which_right_is_missing_until_it_is_there() {
    let (fake, client) = Fake::start("none").await;
    fake.answer.send_replace((403, "Permission denied"));
    let containers = names(1);
    let (sync, mut events) = sync(client, NEVER, &containers).await;
    sync.cast(all(&containers, "HEALTHY")).unwrap();
    let Event::Trouble { source: Source::HealthSync, why: Some(why) } = next(&mut events).await
    else {
        panic!("no trouble");
    };
    assert!(why.contains("service:write on \"api\""), "{why}");
    assert!(why.contains("Permission denied"), "{why}");
    // The same again is no news.
    sync.cast(all(&containers, "HEALTHY")).unwrap();
    fake.until(2).await;
    fake.answer.send_replace((200, ""));
    let cleared = async {
        loop {
            // A read that falls on a call that is on its way writes nothing.
            sync.cast(all(&containers, "HEALTHY")).unwrap();
            if let Ok(event) = timeout(Duration::from_millis(50), events.recv()).await {
                return event.expect("alive");
            }
        }
    };
    let cleared = timeout(LONG, cleared).await.expect("told");
    assert!(matches!(cleared, Event::Trouble { why: None, .. }), "{cleared:?}");
}

#[tokio::test]
async fn a_check_that_the_agent_does_not_know_is_told_as_a_lost_registration() {
    let (fake, client) = Fake::start("none").await;
    fake.answer.send_replace((404, "Unknown check ID"));
    let containers = names(1);
    let (sync, mut events) = sync(client, Duration::from_millis(300), &containers).await;
    sync.cast(all(&containers, "HEALTHY")).unwrap();
    let lost = async {
        loop {
            if let Event::RegistrationLost(why) = next(&mut events).await {
                return why;
            }
        }
    };
    let why = timeout(LONG, lost).await.expect("told");
    assert_eq!(why, "the agent does not know the check of c0");
    assert!(fake.calls().len() >= 3);
}
