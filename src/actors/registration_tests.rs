//! The actor against an agent that counts what it is asked.

#[path = "registration_tests/burst.rs"]
mod burst;

use super::*;
use crate::consul::ServiceIds;
use crate::ecs::TaskIdentity;
use crate::supervisor::actor::Msg as Fact;
use axum::Router;
use axum::body::Bytes;
use axum::extract::State as Shared;
use axum::http::{Method, StatusCode, Uri};
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::sync::Mutex;
use tokio::sync::mpsc;
use tokio::time::{Instant, timeout};

/// So many looks are 10 minutes of a real task.
const LOOKS: usize = 200;
/// Far longer than anything here takes.
const PATIENCE: Duration = Duration::from_secs(30);

#[derive(Default)]
struct Inner {
    services: BTreeMap<String, Value>,
    checks: BTreeMap<String, Value>,
    writes: usize,
    looks: usize,
    /// What it answers to a registration, if not yes.
    refuses: Option<(u16, &'static str)>,
    /// Shows every port so.
    port_shown: Option<u16>,
    /// Services in maintenance, and TTL checks with what was written into them.
    maintained: BTreeMap<String, String>,
    updated: BTreeMap<String, Value>,
    /// What it answers to writes of a stop, by a part of their path; so many times.
    fails: Vec<(&'static str, u16, usize)>,
    /// It cannot keep what changes: it changes its checks, and says that it could not.
    disk_full: bool,
}

impl Inner {
    fn kept(&self) -> (StatusCode, String) {
        match self.disk_full {
            false => (StatusCode::OK, String::new()),
            true => (StatusCode::INTERNAL_SERVER_ERROR, "no space left on device".to_owned()),
        }
    }
}

#[derive(Clone, Default)]
struct Agent(Arc<Mutex<Inner>>);

impl Agent {
    fn with<T>(&self, f: impl FnOnce(&mut Inner) -> T) -> T {
        f(&mut self.0.lock().unwrap())
    }

    fn answer(&self, method: &Method, uri: &Uri, body: &[u8]) -> (StatusCode, String) {
        let path: Vec<&str> = uri.path().trim_start_matches("/v1/").split('/').collect();
        let ok = (StatusCode::OK, String::new());
        self.with(|s| {
            s.writes += usize::from(*method == Method::PUT);
            match path[..] {
                ["status", "leader"] => (StatusCode::OK, "\"x:8300\"".to_owned()),
                ["agent", "checks"] => {
                    s.looks += 1;
                    (StatusCode::OK, json!(s.checks).to_string())
                }
                ["agent", "service", "register"] => {
                    if let Some((status, words)) = s.refuses {
                        return (StatusCode::from_u16(status).unwrap(), words.to_owned());
                    }
                    let body: Value = serde_json::from_slice(body).unwrap();
                    let id = body["ID"].as_str().unwrap().to_owned();
                    for check in body["Checks"].as_array().into_iter().flatten() {
                        let check_id = check["CheckID"].as_str().unwrap();
                        let held =
                            json!({ "CheckID": check_id, "Status": "critical", "ServiceID": id });
                        s.checks.insert(check_id.to_owned(), held);
                    }
                    s.services.insert(id, body);
                    ok
                }
                _ if s.fails.iter().any(|f| f.2 > 0 && uri.path().contains(f.0)) => {
                    let fail = s.fails.iter_mut().find(|f| f.2 > 0 && uri.path().contains(f.0));
                    let (_, status, left) = fail.unwrap();
                    *left -= 1;
                    (StatusCode::from_u16(*status).unwrap(), "no".to_owned())
                }
                ["agent", "check", "deregister", id] => match s.checks.remove(id) {
                    None => (StatusCode::NOT_FOUND, "unknown check ID".to_owned()),
                    Some(_) => s.kept(),
                },
                ["agent", "check", "register"] => {
                    let body: Value = serde_json::from_slice(body).unwrap();
                    let id = body["ID"].as_str().unwrap().to_owned();
                    let shown = json!({ "CheckID": id, "Status": body["Status"], "ServiceID": body["ServiceID"] });
                    s.checks.insert(id, shown);
                    s.kept()
                }
                ["agent", "service", "maintenance", id] => {
                    s.maintained.insert(id.to_owned(), uri.query().unwrap().to_owned());
                    ok
                }
                ["agent", "check", "update", id] => {
                    s.updated.insert(id.to_owned(), serde_json::from_slice(body).unwrap());
                    ok
                }
                ["agent", "service", id] => match s.services.get(id) {
                    Some(body) => {
                        let mut view = body.clone();
                        view["Service"] = view["Name"].clone();
                        view["Weights"] = json!({ "Passing": 1, "Warning": 1 });
                        if let Some(port) = s.port_shown {
                            view["Port"] = port.into();
                        }
                        view["ContentHash"] = view.to_string().into();
                        (StatusCode::OK, view.to_string())
                    }
                    None => (StatusCode::NOT_FOUND, "unknown service ID".to_owned()),
                },
                _ => panic!("{method} {uri}"),
            }
        })
    }
}

async fn serve(agent: Agent) -> Client {
    let router = Router::new()
        .fallback(async |Shared(agent): Shared<Agent>, method: Method, uri: Uri, body: Bytes| {
            agent.answer(&method, &uri, &body)
        })
        .with_state(agent);
    Client::new(&crate::wire::tests::serve(router).await, None).unwrap()
}

/// Hands on what is reported.
struct Ear;

impl Actor for Ear {
    type Msg = Fact;
    type State = mpsc::UnboundedSender<Event>;
    type Arguments = mpsc::UnboundedSender<Event>;

    async fn pre_start(
        &self,
        _: ActorRef<Fact>,
        heard: Self::State,
    ) -> Result<Self::State, ActorProcessingErr> {
        Ok(heard)
    }

    async fn handle(
        &self,
        _: ActorRef<Fact>,
        fact: Fact,
        heard: &mut Self::State,
    ) -> Result<(), ActorProcessingErr> {
        if let Fact::Event(event) = fact {
            let _gone_with_the_test = heard.send(event);
        }
        Ok(())
    }
}

/// The actor at work.
struct Scene {
    agent: Agent,
    ids: Arc<ServiceIds>,
    actor: ActorRef<Msg>,
    heard: mpsc::UnboundedReceiver<Event>,
}

impl Scene {
    async fn start(agent: Agent) -> Self {
        let config: Config = serde_json::from_value(json!({
            "service": { "name": "api", "port": 1 }, "consul": { "retryJoin": ["x"] },
        }))
        .unwrap();
        let task = TaskIdentity { task_id: "t1".to_owned(), ..TaskIdentity::default() };
        let ids = Arc::new(ServiceIds::new(&config.service, &task));
        let (tell, heard) = mpsc::unbounded_channel();
        let (ear, _) = Actor::spawn(None, Ear, tell).await.unwrap();
        let args = Arguments {
            config: Arc::new(config),
            consul: serve(agent.clone()).await,
            consul_version: Arc::default(),
            look_every: Duration::from_millis(20),
            reports: ear.get_derived(),
        };
        let (actor, _) = Actor::spawn(None, RegistrationActor, args).await.unwrap();
        let identity = Identity { task, ids: ids.clone() };
        actor.cast(Msg::Identify(Arc::new(identity))).unwrap();
        Self { agent, ids, actor, heard }
    }

    fn register(&self) {
        self.register_as(false, false);
    }

    fn register_as(&self, hold: bool, covered: bool) {
        let containers = vec!["app".to_owned()];
        self.actor.cast(Msg::Register { hold, covered, containers }).unwrap();
    }

    /// The next event that `of` takes.
    async fn hear<T>(&mut self, of: impl Fn(&Event) -> Option<T>) -> T {
        timeout(PATIENCE, async {
            loop {
                let event = self.heard.recv().await.unwrap();
                if let Some(found) = of(&event) {
                    return found;
                }
            }
        })
        .await
        .expect("never heard")
    }

    async fn registered(&mut self) {
        self.register();
        self.hear(|event| matches!(event, Event::Registered).then_some(())).await;
    }

    async fn lost(&mut self) -> String {
        self.hear(|event| match event {
            Event::RegistrationLost(what) => Some(what.clone()),
            _ => None,
        })
        .await
    }

    async fn looks(&self, more: usize) {
        let until = self.agent.with(|s| s.looks) + more;
        timeout(PATIENCE, async {
            while self.agent.with(|s| s.looks) < until {
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        })
        .await
        .expect("it does not look");
    }

    /// Looks go on, and nothing is written or reported.
    async fn stays_quiet(&mut self, looks: usize) {
        while self.heard.try_recv().is_ok() {}
        let before = self.agent.with(|s| s.writes);
        self.looks(looks).await;
        assert_eq!(self.agent.with(|s| s.writes), before);
        let heard = self.heard.try_recv();
        assert!(heard.is_err(), "{heard:?}");
    }
}

#[tokio::test]
async fn a_check_that_an_agent_changes_and_cannot_keep_is_changed_once_and_holds_up_nothing() {
    let mut scene = Scene::start(Agent::default()).await;
    scene.registered().await;
    scene.agent.with(|s| s.disk_full = true);
    let before = scene.agent.with(|s| s.writes);
    scene.actor.cast(Msg::PassProxyCheck).unwrap();
    scene.actor.cast(Msg::Cover).unwrap();
    let proxy = scene.ids.proxy.clone();
    timeout(PATIENCE, async {
        while !scene.agent.with(|s| s.maintained[&proxy].contains("enable=true")) {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    })
    .await
    .expect("the next write never came");
    let check = scene.ids.listener_check();
    scene.agent.with(|s| {
        assert_eq!(s.checks[&check]["Status"], "passing");
        assert_eq!(s.writes - before, 3, "out, in, and the next");
    });
}

#[tokio::test]
async fn ten_quiet_minutes_write_nothing() {
    let mut scene = Scene::start(Agent::default()).await;
    scene.registered().await;
    assert_eq!(scene.agent.with(|s| s.writes), 4, "two registrations, no maintenance on either");
    scene.stays_quiet(LOOKS).await;
}

#[tokio::test]
async fn each_loss_is_told_once_and_is_over_with_the_next_registration() {
    let mut scene = Scene::start(Agent::default()).await;
    scene.registered().await;
    let ServiceIds { service, proxy, .. } = &*scene.ids.clone();
    let check = scene.ids.check("app");
    type Harm = Box<dyn Fn(&mut Inner)>;
    let of = |key: &str, value: Value| -> Harm {
        let (id, key) = (proxy.clone(), key.to_owned());
        Box::new(move |s| s.services.get_mut(&id).unwrap()[&key] = value.clone())
    };
    let without_check = |id: String| -> Harm { Box::new(move |s| drop(s.checks.remove(&id))) };
    let without = |id: &String| -> Harm {
        let id = id.clone();
        Box::new(move |s| drop(s.services.remove(&id)))
    };
    let of_another = {
        let id = check.clone();
        Box::new(move |s: &mut Inner| s.checks.get_mut(&id).unwrap()["ServiceID"] = json!("x"))
    };
    let harms: Vec<(Harm, String)> = vec![
        (without(service), format!("service {service}")),
        (without(proxy), format!("service {proxy}")),
        (without_check(check.clone()), format!("check {check}")),
        (without_check(scene.ids.alias_check()), format!("check {}", scene.ids.alias_check())),
        (of_another, format!("check {check}")),
        (of("Port", json!(7)), format!("Port of service {proxy}")),
        (of("Meta", json!({})), format!("Meta of service {proxy}")),
    ];
    for (harm, words) in harms {
        scene.agent.with(|s| harm(s));
        assert_eq!(scene.lost().await, words);
        scene.registered().await;
        scene.stays_quiet(10).await;
    }
}

#[tokio::test]
async fn an_agent_that_shows_it_in_another_way_is_not_written_to_for_ever() {
    let agent = Agent::default();
    agent.with(|s| s.port_shown = Some(7));
    let mut scene = Scene::start(agent).await;
    scene.registered().await;
    assert!(scene.lost().await.starts_with("Port of service"));
    scene.registered().await;
    scene.stays_quiet(LOOKS / 4).await;
    // What it does not show in its own way is still watched.
    let proxy = scene.ids.proxy.clone();
    scene.agent.with(|s| s.services.get_mut(&proxy).unwrap()["Tags"] = json!(["x"]));
    assert_eq!(scene.lost().await, format!("Tags of service {proxy}"));
}

#[tokio::test]
async fn a_refusal_is_told_after_a_few_tries_and_then_tried_rarely_or_when_asked_anew() {
    let agent = Agent::default();
    agent.with(|s| s.refuses = Some((400, "Invalid Service Meta: no")));
    let mut scene = Scene::start(agent).await;
    let began = Instant::now();
    scene.register();
    let words = scene
        .hear(|event| match event {
            Event::RegistrationRefused(words) => Some(words.clone()),
            _ => None,
        })
        .await;
    assert!(words.contains("service \"api\"") && words.contains("Invalid Service Meta: no"));
    assert!(began.elapsed() > Duration::from_secs(2), "{:?}", began.elapsed());
    assert_eq!(scene.agent.with(|s| s.writes), 4);
    tokio::time::sleep(Duration::from_secs(2)).await;
    assert_eq!(scene.agent.with(|s| s.writes), 4, "it goes on as before");
    scene.agent.with(|s| s.refuses = None);
    timeout(Duration::from_secs(10), scene.registered()).await.expect("it still rests");
}

#[tokio::test]
async fn an_envoy_that_is_down_puts_its_proxy_into_maintenance_with_a_reason_of_its_own() {
    let mut scene = Scene::start(Agent::default()).await;
    scene.registered().await;
    let (service, proxy) = (scene.ids.service.clone(), scene.ids.proxy.clone());
    let word = |scene: &Scene, id: &str| scene.agent.with(|s| s.maintained[id].clone());
    // The queue keeps the order, so once the registration was heard what came before it is written.
    scene.actor.cast(Msg::Cover).unwrap();
    until(|| word(&scene, &proxy).contains("enable=true")).await;
    assert!(word(&scene, &proxy).contains("Envoy"), "{}", word(&scene, &proxy));
    assert!(word(&scene, &service).contains("enable=false"), "{}", word(&scene, &service));
    scene.actor.cast(Msg::Uncover).unwrap();
    until(|| word(&scene, &proxy).contains("enable=false")).await;

    // A registration says it all anew: held, covered, both.
    for (hold, covered, of_service, of_proxy) in [
        (false, true, "enable=false", "Envoy"),
        (true, true, "app", "app"),
        (true, false, "app", "app"),
        (false, false, "enable=false", "enable=false"),
    ] {
        scene.register_as(hold, covered);
        scene.hear(|event| matches!(event, Event::Registered).then_some(())).await;
        assert!(word(&scene, &service).contains(of_service), "{hold} {covered}");
        assert!(word(&scene, &proxy).contains(of_proxy), "{hold} {covered}");
    }
}

/// Looks until it is so.
async fn until(so: impl Fn() -> bool) {
    let began = Instant::now();
    while !so() {
        assert!(began.elapsed() < PATIENCE, "never");
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
}

#[tokio::test]
async fn after_the_hush_nothing_is_looked_at_or_written() {
    let mut scene = Scene::start(Agent::default()).await;
    scene.registered().await;
    scene.looks(2).await;
    scene.actor.cast(Msg::Hush).unwrap();
    scene.hear(|event| matches!(event, Event::Quiet(Source::Registration)).then_some(())).await;
    // A look that was on its way may still land.
    tokio::time::sleep(Duration::from_millis(50)).await;
    let (writes, looks) = scene.agent.with(|s| {
        s.services.clear();
        (s.writes, s.looks)
    });
    tokio::time::sleep(Duration::from_millis(300)).await;
    scene.register();
    scene.actor.cast(Msg::PassProxyCheck).unwrap();
    scene.actor.cast(Msg::EndHold).unwrap();
    scene.actor.cast(Msg::Cover).unwrap();
    scene.actor.cast(Msg::Uncover).unwrap();
    tokio::time::sleep(Duration::from_millis(200)).await;
    assert_eq!(scene.agent.with(|s| (s.writes, s.looks)), (writes, looks));
}
