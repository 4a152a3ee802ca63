use super::*;
use crate::consul::Answer;
use std::rc::Rc;

/// The key and its sessions as Consul has them: a session ends 20 s after its last renewal, and then its key has a delay.
#[derive(Default)]
struct World {
    index: u64,
    sessions: Vec<(String, Instant)>,
    holder: Option<(String, String)>,
    delay_until: Option<Instant>,
    away: bool,
}

impl World {
    fn tick(&mut self) {
        let now = Instant::now();
        self.sessions.retain(|(_, renewed)| now < *renewed + 2 * TTL);
        let lives = |id: &str| self.sessions.iter().any(|(session, _)| session == id);
        if self.holder.as_ref().is_some_and(|(session, _)| !lives(session)) {
            self.take_away(Some(now + Duration::from_secs(1)));
        }
    }

    fn take_away(&mut self, delay_until: Option<Instant>) {
        self.holder = None;
        self.index += 1;
        self.delay_until = delay_until;
    }
}

struct FakeLock {
    world: Rc<RefCell<World>>,
    name: &'static str,
}

impl FakeLock {
    fn there(&self) -> Result<(), String> {
        self.world.borrow_mut().tick();
        if self.world.borrow().away { Err("away".to_owned()) } else { Ok(()) }
    }
}

impl Lock for FakeLock {
    async fn look(&self, index: u64) -> Result<Answer<Held>, String> {
        let asked = Instant::now();
        loop {
            self.there()?;
            {
                let world = self.world.borrow();
                if world.index + 1 > index || asked.elapsed() > Duration::from_secs(30) {
                    let value = match &world.holder {
                        Some((session, name)) => {
                            Held::By { session: session.clone(), name: name.clone() }
                        }
                        None => Held::ByNobody,
                    };
                    return Ok(Answer { index: world.index + 1, value });
                }
            }
            sleep(Duration::from_millis(5)).await;
        }
    }

    async fn session(&self) -> Result<String, String> {
        self.there()?;
        let mut world = self.world.borrow_mut();
        world.index += 1;
        let id = format!("{}-{}", self.name, world.index);
        world.sessions.push((id.clone(), Instant::now()));
        Ok(id)
    }

    async fn renew(&self, session: &str) -> Result<bool, String> {
        self.there()?;
        let mut world = self.world.borrow_mut();
        let found = world.sessions.iter_mut().find(|(id, _)| id == session);
        Ok(found.map(|(_, renewed)| *renewed = Instant::now()).is_some())
    }

    async fn acquire(&self, session: &str) -> Result<bool, String> {
        self.there()?;
        let mut world = self.world.borrow_mut();
        let delayed = world.delay_until.is_some_and(|until| Instant::now() < until);
        if world.holder.is_some() || delayed {
            return Ok(false);
        }
        world.holder = Some((session.to_owned(), self.name.to_owned()));
        world.index += 1;
        Ok(true)
    }

    async fn resign(&self, session: &str, held: bool) -> Result<(), String> {
        self.there()?;
        let mut world = self.world.borrow_mut();
        world.sessions.retain(|(id, _)| id != session);
        if held {
            world.take_away(None);
        }
        Ok(())
    }
}

/// A controller that writes ten times a second while it may.
struct Writer {
    lease: Lease,
    writes: RefCell<Vec<Instant>>,
    refused: Cell<u32>,
    forgotten: Cell<u32>,
}

impl Writer {
    fn new() -> Self {
        Self {
            lease: Lease::among_others(),
            writes: RefCell::default(),
            refused: Cell::new(0),
            forgotten: Cell::new(0),
        }
    }
}

impl Work for Writer {
    async fn lead(&self) {
        loop {
            match self.lease.may_write() {
                Ok(()) => self.writes.borrow_mut().push(Instant::now()),
                Err(_why) => self.refused.set(self.refused.get() + 1),
            }
            sleep(Duration::from_millis(100)).await;
        }
    }

    fn forget(&self) {
        self.forgotten.set(self.forgotten.get() + 1);
    }

    fn told(&self) {}
}

async fn run(world: &Rc<RefCell<World>>, name: &'static str, writer: &Writer, for_: u64) {
    let election = Election::new(FakeLock { world: Rc::clone(world), name }, &writer.lease);
    let running = election.run(writer);
    _ = tokio::time::timeout(Duration::from_secs(for_), running).await.is_err();
}

fn seconds(times: &[Instant], since: Instant) -> Vec<u64> {
    let mut all: Vec<_> = times.iter().map(|at| (*at - since).as_secs()).collect();
    all.dedup();
    all
}

#[test]
fn a_leader_writes_until_half_a_ttl_after_its_last_renewal_and_a_follower_never() {
    let now = Instant::now();
    let leads = Standing::Leads { renewed: now };
    assert_eq!(leads.may_write(now), Ok(()));
    assert_eq!(leads.may_write(now + TTL / 2 - Duration::from_millis(1)), Ok(()));
    let why = leads.may_write(now + TTL / 2).unwrap_err();
    assert!(why.contains("renewed 5 s ago"), "{why}");
    assert!(Standing::Follows { whom: None }.may_write(now).is_err());
    assert_eq!(Standing::Alone.may_write(now + 100 * TTL), Ok(()));
}

#[tokio::test(start_paused = true)]
async fn of_two_one_leads_and_the_other_says_whom_it_follows() {
    let world = Rc::default();
    let (a, b) = (Writer::new(), Writer::new());
    tokio::join!(run(&world, "a", &a, 100), run(&world, "b", &b, 100));
    assert!(a.writes.borrow().len() > 900 && b.writes.borrow().is_empty());
    assert_eq!((a.refused.get(), a.forgotten.get()), (0, 0));
    assert_eq!((a.lease.follows(), b.lease.follows()), (None, Some("a".to_owned())));
    assert_eq!(world.borrow().sessions.len(), 1, "a follower keeps none");
}

#[tokio::test(start_paused = true)]
async fn a_leader_that_resigns_is_followed_at_once_and_one_that_dies_within_25_seconds() {
    for (resigns, at_most) in [(true, Duration::from_secs(1)), (false, Duration::from_secs(25))] {
        let world: Rc<RefCell<World>> = Rc::default();
        let (a, b) = (Writer::new(), Writer::new());
        let lock = FakeLock { world: Rc::clone(&world), name: "a" };
        let first = async {
            let election = Election::new(lock, &a.lease);
            let running = election.run(&a);
            _ = tokio::time::timeout(Duration::from_secs(30), running).await.is_err();
            if resigns {
                election.resign().await;
            }
            Instant::now()
        };
        let (ended, ()) = tokio::join!(first, run(&world, "b", &b, 60));
        let took = b.writes.borrow()[0] - ended;
        assert!(took <= at_most, "{took:?}");
        assert!(resigns || took > TTL, "nobody writes while it might: {took:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_leader_that_cannot_renew_stops_writing_and_goes_on_if_nobody_has_followed() {
    let world: Rc<RefCell<World>> = Rc::default();
    let a = Writer::new();
    let began = Instant::now();
    let cut = async {
        sleep(Duration::from_secs(10)).await;
        world.borrow_mut().away = true;
        sleep(Duration::from_secs(8)).await;
        let (why, _) = a.lease.trouble().expect("trouble");
        assert_eq!(why, "away");
        world.borrow_mut().away = false;
    };
    tokio::join!(run(&world, "a", &a, 30), cut);
    let silent: Vec<_> =
        (0..30).filter(|s| !seconds(&a.writes.borrow(), began).contains(s)).collect();
    assert!(silent.contains(&16) && silent.iter().all(|s| (13..20).contains(s)), "{silent:?}");
    assert_eq!((a.forgotten.get(), a.lease.trouble()), (0, None), "the session lived on");
}

#[tokio::test(start_paused = true)]
async fn who_loses_the_lead_forgets_and_follows() {
    let world: Rc<RefCell<World>> = Rc::default();
    let (a, b) = (Writer::new(), Writer::new());
    let taken = async {
        sleep(Duration::from_secs(10)).await;
        // As an operator would, or a node that left.
        world.borrow_mut().sessions.clear();
    };
    let late = async {
        sleep(Duration::from_secs(1)).await;
        run(&world, "b", &b, 40).await;
    };
    tokio::join!(run(&world, "a", &a, 40), late, taken);
    assert_eq!(a.forgotten.get() + b.forgotten.get(), 1);
    let (a, b) = (a.writes.borrow(), b.writes.borrow());
    let after = a.iter().chain(b.iter()).max().expect("writes");
    assert!(after.elapsed() < Duration::from_secs(2));
    let both =
        a.iter().any(|at| b.iter().any(|other| (*at).max(*other) - (*at).min(*other) < AGAIN / 10));
    assert!(!both, "never two at a time");
}
