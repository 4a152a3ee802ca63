use super::*;
use proptest::prelude::*;

const GRACE: Duration = Duration::from_secs(300);
const RULES: super::Rules = super::Rules { create_secrets: true, grace: GRACE };

fn subject() -> Subject {
    Subject {
        about: "api".to_owned(),
        policy: "api-service".to_owned(),
        rules: "service \"api\" { policy = \"write\" }".to_owned(),
        policy_description: "Policy for api service".to_owned(),
        token_description: "Token for api service".to_owned(),
        more_policies: Vec::new(),
        secret: "mesh-api".to_owned(),
    }
}

fn pair(n: u32) -> Pair {
    Pair { accessor: format!("accessor-{n}"), token: format!("token-{n}").into() }
}

/// Consul and Secrets Manager, as far as one subject goes, with what they refuse.
#[derive(Debug, Clone, Default)]
struct World {
    /// Maker and rules.
    policy: Option<(Maker, String)>,
    /// By accessor: maker, token, whether the policy is linked.
    tokens: BTreeMap<String, (Maker, String, bool)>,
    /// `None`: there is none; `Some(None)`: `{}`.
    secret: Option<Option<Pair>>,
    pairs: u32,
    writes: u32,
}

impl World {
    /// As a controller lists it: what needs a call of its own is not in it. `aged`: what is surplus is so for long.
    fn listed(&self, aged: bool) -> Seen {
        let token = |(maker, _, linked): &(Maker, String, bool)| Token {
            maker: *maker,
            policies: linked.then(|| subject().policy).into_iter().collect(),
            token: None,
            surplus_for: if aged { GRACE } else { Duration::ZERO },
        };
        Seen {
            policy: self.policy.as_ref().map(|(maker, _)| Policy {
                id: "id".to_owned(),
                maker: *maker,
                rules: None,
                used_elsewhere: false,
            }),
            tokens: self.tokens.iter().map(|(a, t)| (a.clone(), token(t))).collect(),
            secret: Secret::Unread,
        }
    }

    /// Does a step, and tells it to who asked; `Err`: refused, so that who asked looks anew.
    fn perform(&mut self, step: &Step, seen: &mut Seen) -> Result<(), &'static str> {
        let subject = subject();
        self.pairs += 1;
        let new = pair(self.pairs);
        self.writes += u32::from(!step.is_read());
        match step {
            Step::ReadSecret => {
                seen.secret = match &self.secret {
                    None => Secret::Missing,
                    Some(None) => Secret::Empty,
                    Some(Some(pair)) => Secret::Holds(pair.clone()),
                };
            }
            Step::ReadPolicy { .. } => {
                let (_, rules) = self.policy.as_ref().ok_or("no such policy")?;
                seen.policy.as_mut().ok_or("none")?.rules = Some(rules.clone());
            }
            Step::ReadToken { accessor } => {
                let (_, token, _) = self.tokens.get(accessor).ok_or("no such token")?;
                seen.tokens.get_mut(accessor).ok_or("none")?.token = Some(token.clone().into());
            }
            Step::CreateSecret if self.secret.is_some() => return Err("exists"),
            Step::CreateSecret => self.secret = Some(Some(new.clone())),
            Step::PutSecret { .. } if self.secret.is_none() => return Err("no such secret"),
            Step::PutSecret { pair, .. } => {
                self.secret = Some(Some(pair.as_ref().unwrap_or(&new).clone()));
            }
            Step::CreatePolicy if self.policy.is_some() => return Err("exists"),
            Step::CreatePolicy => self.policy = Some((Maker::Us, subject.rules.clone())),
            Step::UpdatePolicy { .. } => {
                self.policy.as_mut().ok_or("no such policy")?.1.clone_from(&subject.rules);
            }
            Step::CreateToken { pair } if self.tokens.contains_key(&pair.accessor) => {
                return Err("in use");
            }
            Step::CreateToken { pair } => {
                // Consul refuses a token whose policy is not there.
                self.policy.as_ref().ok_or("no such policy")?;
                self.tokens
                    .insert(pair.accessor.clone(), (Maker::Us, pair.token.text().to_owned(), true));
            }
            Step::LinkToken { accessor, .. } => {
                self.policy.as_ref().ok_or("no such policy")?;
                self.tokens.get_mut(accessor).ok_or("no such token")?.2 = true;
            }
            Step::DeleteToken { accessor, .. } => {
                self.tokens.remove(accessor);
            }
            Step::DeletePolicy { .. } => {
                self.policy = None;
                self.tokens.values_mut().for_each(|token| token.2 = false);
            }
        }
        seen.after(&subject, step, &new);
        Ok(())
    }

    /// One run from a fresh look, ended after so many steps; the steps that it took.
    fn run(&mut self, want: Want, aged: bool, steps: usize) -> Vec<Step> {
        let mut seen = self.listed(aged);
        let mut done = Vec::new();
        while let (Next::Do(step), _) = next(&subject(), want, &seen, RULES) {
            if done.len() == steps {
                break;
            }
            assert!(done.len() < 20, "it never settles: {done:?}");
            if self.perform(&step, &mut seen).is_err() {
                break;
            }
            done.push(step);
        }
        done
    }

    /// Runs until nothing is left to do.
    fn settle(&mut self, want: Want) {
        for _ in 0..5 {
            self.run(want, true, 100);
        }
        let before = self.writes;
        self.run(want, true, 100);
        assert_eq!(self.writes, before, "a second run makes no writes: {self:?}");
    }

    fn is_whole(&self) -> bool {
        let Some(Some(pair)) = &self.secret else { return false };
        let token = self.tokens.get(&pair.accessor);
        token == Some(&(Maker::Us, pair.token.text().to_owned(), true))
            && self.policy == Some((Maker::Us, subject().rules))
    }
}

#[test]
fn a_new_service_gets_its_secret_first_and_a_second_run_writes_nothing() {
    let mut world = World::default();
    let steps = world.run(Want::Present, false, 100);
    assert!(
        matches!(
            steps[..],
            [Step::ReadSecret, Step::CreateSecret, Step::CreatePolicy, Step::CreateToken { .. }]
        ),
        "{steps:?}"
    );
    assert!(world.is_whole());
    let again = world.run(Want::Present, false, 100);
    assert!(again.iter().all(Step::is_read), "{again:?}");
}

#[test]
fn the_ids_of_a_secret_that_is_kept_are_used_again() {
    let mut world = World { secret: Some(None), ..World::default() };
    world.settle(Want::Present);
    let kept = world.secret.clone();
    world.run(Want::Gone(GRACE - Duration::from_secs(1)), false, 100);
    assert!(world.is_whole(), "the grace period is not over");
    world.settle(Want::Gone(GRACE));
    assert_eq!((world.policy.clone(), world.tokens.len()), (None, 0));
    world.settle(Want::Present);
    assert!(world.is_whole());
    assert_eq!(world.secret, kept);
}

/// Each kind of drift of a whole world.
fn drifted(kind: u8, mut world: World) -> World {
    let only = world.tokens.keys().next().cloned();
    match (kind, only) {
        (0, _) => {
            world.policy = Some((Maker::Us, "node_prefix \"\" { policy = \"write\" }".to_owned()))
        }
        (1, Some(token)) => world.tokens.get_mut(&token).unwrap().2 = false,
        (2, _) => world.secret = Some(None),
        (3, _) => world.tokens.clear(),
        (4, Some(token)) => {
            world.secret = Some(Some(Pair { accessor: token, token: "by hand".to_owned().into() }));
        }
        (5, _) => world.secret = Some(Some(pair(1000))),
        (6, _) => {
            world.policy = None;
            world.tokens.values_mut().for_each(|token| token.2 = false);
        }
        (7, _) => world.secret = None,
        _ => {}
    }
    world
}

#[test]
fn drift_of_every_kind_is_repaired_and_the_token_of_running_tasks_lives_where_it_can() {
    for kind in 0..8 {
        let mut world = World::default();
        world.settle(Want::Present);
        let token = world.tokens.keys().next().cloned();
        let mut world = drifted(kind, world);
        world.run(Want::Present, false, 100);
        assert!(world.is_whole(), "{kind}: {world:?}");
        let lives = world.tokens.contains_key(token.as_ref().unwrap());
        assert!(lives || kind == 3, "{kind}: tasks run with it: {world:?}");
        world.settle(Want::Present);
        assert!(world.is_whole(), "{kind}: {world:?}");
        assert_eq!(world.tokens.len(), 1, "{kind}: what is surplus goes after the grace period");
    }
}

#[test]
fn what_the_older_controller_made_is_used_and_told_of_but_not_repaired() {
    let mut world = World::default();
    world.settle(Want::Present);
    world.policy.as_mut().unwrap().0 = Maker::Older;
    world.tokens.values_mut().for_each(|token| token.0 = Maker::Older);
    let before = world.writes;
    for (change, words) in [(0, "has other rules"), (1, "is not linked"), (4, "disagree")] {
        let mut world = drifted(change, world.clone());
        if change == 0 {
            world.policy.as_mut().unwrap().0 = Maker::Older;
        }
        let mut seen = world.listed(true);
        let drift = loop {
            match next(&subject(), Want::Present, &seen, RULES) {
                (Next::Do(step), _) => world.perform(&step, &mut seen).unwrap(),
                (end, drift) => {
                    assert_eq!(end, Next::Settled);
                    break drift;
                }
            }
        };
        assert!(drift.iter().any(|said| said.contains(words)), "{words}: {drift:?}");
        assert_eq!(world.writes, before, "{words}");
    }
    // It goes with its service all the same.
    world.settle(Want::Gone(GRACE));
    assert_eq!((world.policy, world.tokens.len()), (None, 0));
}

#[test]
fn what_somebody_else_made_is_never_touched() {
    let foreign = World {
        policy: Some((Maker::Other, "other".to_owned())),
        tokens: [("x".to_owned(), (Maker::Other, "y".to_owned(), true))].into(),
        secret: Some(Some(pair(9))),
        ..World::default()
    };
    for want in [Want::Present, Want::Gone(GRACE)] {
        let mut world = foreign.clone();
        world.settle(want);
        assert_eq!(world.writes, 0, "{want:?}");
    }
    let mut seen = foreign.listed(true);
    let mut world = foreign;
    while let (Next::Do(step), _) = next(&subject(), Want::Present, &seen, RULES) {
        world.perform(&step, &mut seen).unwrap();
    }
    let (end, _) = next(&subject(), Want::Present, &seen, RULES);
    assert!(matches!(&end, Next::Stuck(why) if why.contains("api-service")), "{end:?}");
}

#[test]
fn a_secret_that_may_not_or_cannot_be_made_is_said() {
    let rules = super::Rules { create_secrets: false, ..RULES };
    for (secret, words) in
        [(Secret::Missing, "createSecrets"), (Secret::Leaving, "scheduled for deletion")]
    {
        let seen = Seen { secret, ..Seen::nothing() };
        let (next, _) = next(&subject(), Want::Present, &seen, rules);
        assert!(matches!(&next, Next::Stuck(why) if why.contains(words)), "{next:?}");
    }
}

proptest! {
    /// Two controllers at the same time, each of them killed again and again, and hands that change things: in the end
    /// all is whole, and nothing is left over.
    #[test]
    fn two_writers_that_die_anywhere_converge(
        moves in prop::collection::vec((0..3_u8, 0..8_u8, 0..2_u8), 0..40),
        wanted in any::<bool>(),
    ) {
        let mut world = World::default();
        let mut minds = [world.listed(false), world.listed(false)];
        for (what, kind, who) in moves {
            let mind = &mut minds[usize::from(who)];
            match what {
                // One step of one of them, by what it has seen so far.
                0 => {
                    if let (Next::Do(step), _) = next(&subject(), Want::Present, mind, RULES)
                        && world.perform(&step, mind).is_err()
                    {
                        *mind = world.listed(false);
                    }
                }
                1 => *mind = world.listed(true),
                _ => world = drifted(kind, world.clone()),
            }
        }
        let want = if wanted { Want::Present } else { Want::Gone(GRACE) };
        world.settle(want);
        if wanted {
            prop_assert!(world.is_whole(), "{world:?}");
            prop_assert_eq!(world.tokens.len(), 1);
        } else {
            prop_assert_eq!((world.policy.clone(), world.tokens.len()), (None, 0));
        }
    }
}
