//! A life, made from a seed.

use crate::dice::Dice;
use crate::failing::{Call, How};
use crate::fault::Fault;
use crate::mesh::Mesh;
use crate::script::{App, Script, defined, ms, unread};
use crate::world::{World, plan};
use std::time::Duration;
use taskmesh::config::{LeaveOrder, OnBudgetSpent};
use taskmesh::supervisor::{Event, Inbound, OwnChecks, Plan, Role, Synced};

/// See the module's text.
#[derive(Debug, Clone)]
pub(crate) struct Case {
    pub(crate) seed: u64,
    pub(crate) plan: Plan,
    script: Script,
    mesh: Mesh,
    /// When, in ms, and what.
    pub(crate) faults: Vec<(u64, Fault)>,
}

impl Case {
    pub(crate) fn new(seed: u64) -> Self {
        let mut dice = Dice(seed);
        let plan = any_plan(&mut dice);
        let script = any_script(&mut dice);
        let mut mesh = Mesh::new(dice.roll());
        mesh.acl = dice.one_in(2);
        mesh.filtered = dice.one_in(8);
        mesh.native = plan.own_checks.native.then_some(plan.native_start_passing);
        let most = if dice.one_in(4) { 900 } else { 60 };
        mesh.call = dice.spread(2, most);
        let faults = any_faults(&mut dice, script.apps.len());
        Self { seed, plan, script, mesh, faults }
    }

    pub(crate) fn world(&self) -> World {
        let mut world = World::of(self.plan.clone(), self.script.clone());
        world.crew.mesh = Some(self.mesh.clone());
        world
    }

    /// When the last fault is over.
    pub(crate) fn faults_end(&self) -> Duration {
        self.faults.iter().map(|(at, fault)| ms(at + fault.lasts())).max().unwrap_or_default()
    }
}

fn any_plan(dice: &mut Dice) -> Plan {
    let inbound = dice.one(&[Inbound::Http, Inbound::Http, Inbound::Tcp, Inbound::None]);
    let mut plan = plan(inbound);
    let a = || Synced::Named(vec!["a".to_owned()]);
    plan.own_checks = match dice.within(0, 5) {
        0 => OwnChecks { native: false, synced: Synced::Named(Vec::new()) },
        1 => OwnChecks { native: dice.one_in(2), synced: a() },
        _ => OwnChecks { native: false, synced: Synced::Auto },
    };
    plan.native_start_passing = plan.own_checks.native && dice.one_in(2);
    plan.seed = dice.roll();
    if dice.one_in(4) {
        plan.leave = LeaveOrder::First;
    }
    if dice.one_in(3) {
        plan.on_budget_spent = OnBudgetSpent::Keep;
    }
    if dice.one_in(2) {
        plan.restart.budget = dice.within(0, 5) as u32;
        plan.restart.window = ms(dice.spread(10_000, 3_600_000));
    }
    if dice.one_in(3) {
        plan.start_timeout = ms(dice.spread(5000, 3_600_000));
    }
    if dice.one_in(3) {
        plan.stop_timeout = ms(dice.spread(2000, 120_000));
        plan.total_stop = ms(dice.spread(2000, 120_000));
        plan.kill_reserve = ms(dice.within(100, 2000));
        plan.leave_reserve = ms(dice.spread(10, 8000));
    }
    if dice.one_in(4) {
        plan.min_delay = ms(dice.spread(10, 8000));
        plan.drain_timeout = ms(dice.spread(10, 30_000));
    }
    plan.strict_exit = dice.one_in(2);
    plan
}

/// It takes that long, or, one time in `n`, it never comes.
fn perhaps(dice: &mut Dice, most: u64, n: u64) -> Option<u64> {
    let time = dice.spread(1, most);
    (!dice.one_in(n)).then_some(time)
}

fn any_app(dice: &mut Dice, name: &'static str) -> App {
    App {
        wrapped: dice.one_in(2),
        health: dice.one_in(2),
        starts: dice.spread(1, 4000),
        waits_for_ready: !dice.one_in(3),
        restarts: dice.one_in(3),
        ends: perhaps(dice, 8000, 10),
        ..App::new(name)
    }
}

fn any_script(dice: &mut Dice) -> Script {
    let mut apps = vec![any_app(dice, "a")];
    match dice.within(0, 4) {
        0 => apps.clear(),
        1 | 2 => apps.push(any_app(dice, "b")),
        _ => {}
    }
    let names = dice.one(&[&[][..], &["a"], &["a", "b"]]);
    let answer = match dice.within(0, 4) {
        0 => unread("no task role", dice.one_in(2)),
        _ => defined(names),
    };
    let definition: Option<(u64, Event)> = perhaps(dice, 120_000, 6).map(|t| (t, answer));
    Script {
        metadata: Some(dice.spread(1, 400)),
        interval: dice.spread(500, 10_000),
        definition,
        spawn: Some(dice.spread(1, 100)),
        answers: Some(dice.spread(10, 5000)),
        joins: Some(dice.spread(10, 8000)),
        bootstraps: Some(dice.spread(5, 2000)),
        live: Some(dice.spread(5, 2000)),
        listens: Some(dice.spread(5, 3000)),
        app_accepts: perhaps(dice, 20_000, 10),
        quiet: Some(dice.spread(1, 700)),
        drains: perhaps(dice, 12_000, 6),
        agent_leaves: perhaps(dice, 8000, 8),
        deaf: dice.spread(1, 2000),
        envoy_exits: perhaps(dice, 4000, 8),
        unresponsive: dice.spread(1000, 60_000),
        dies_on_kill: Some(dice.within(1, 20)),
        apps,
        ..Script::default()
    }
}

/// Some spread over seconds, some over half an hour; a stop in some.
fn any_faults(dice: &mut Dice, apps: usize) -> Vec<(u64, Fault)> {
    let span = dice.spread(2000, 1_800_000);
    let any = |dice: &mut Dice| {
        let fault = any_fault(dice, apps);
        // A first registration is over before most else begins.
        let first = matches!(fault, Fault::WritesFail { .. }) && dice.one_in(4);
        (if first { 1 } else { dice.within(1, span) }, fault)
    };
    let mut faults: Vec<_> = (0..dice.within(0, 8)).map(|_| any(dice)).collect();
    let stops = if dice.one_in(2) { dice.within(1, 3) } else { 0 };
    for _ in 0..stops {
        // Often while what went wrong is being mended.
        let base = if dice.one_in(2) { faults.first().map(|(at, _)| *at) } else { None };
        let at = match base {
            Some(base) => base + dice.spread(1, 6000),
            None => dice.within(1, span),
        };
        faults.push((at, any_stop(dice)));
    }
    // A second word soon after the first, which may be the second TERM.
    if stops > 0 && dice.one_in(3) {
        let (at, _) = faults[faults.len() - 1];
        faults.push((at + dice.spread(1, 30_000), any_stop(dice)));
    }
    faults.sort_by_key(|(at, _)| *at);
    faults
}

fn any_fault(dice: &mut Dice, apps: usize) -> Fault {
    let role = dice.one(&[Role::Agent, Role::Envoy]);
    let time = dice.spread(500, 300_000);
    let app = dice.within(0, apps.max(1) as u64 - 1) as usize;
    match dice.within(0, if apps == 0 { 13 } else { 17 }) {
        0 | 1 => Fault::Crash { role, again: 0, after: 0 },
        2 => Fault::Crash { role, again: dice.spread(1, 15) as u32, after: dice.spread(1, 5000) },
        3 => Fault::NoSpawn { role, time: time.min(60_000) },
        4 => Fault::RegistrationLost,
        5 => Fault::DataLost,
        6 => Fault::ServersAway { time: dice.spread(1000, 1_800_000) },
        7 => Fault::AgentSilent { time: time.min(60_000) },
        8 => Fault::MetadataAway { time: time * 2 },
        9 => Fault::MetadataSlow { by: dice.spread(10, 20_000), time },
        10 => Fault::Crash { role: Role::Envoy, again: 0, after: 0 },
        11 => Fault::Hang { role, time },
        12 | 13 => any_failing_write(dice),
        14 => Fault::PortCloses { time: time.min(60_000) },
        15 => Fault::AppRestarts { app, after: dice.spread(10, 60_000) },
        16 => {
            let stops = (!dice.one_in(3)).then(|| dice.spread(10, 5000));
            Fault::AppEnds { app, code: dice.within(0, 2) as i32, stops }
        }
        _ => Fault::StreamBreaks { app, time: dice.spread(10, 10_000) },
    }
}

fn any_failing_write(dice: &mut Dice) -> Fault {
    let all = [Call::Register, Call::Check, Call::Maintenance, Call::Ttl, Call::Burst];
    let call = dice.one(&all);
    let how = dice.one(&[How::Error, How::Refused, How::Late]);
    // Health is written so often that once is nothing.
    let once = call != Call::Ttl && dice.one_in(2);
    let time = if once { 0 } else { dice.spread(1000, 90_000) };
    Fault::WritesFail { call, how, time }
}

fn any_stop(dice: &mut Dice) -> Fault {
    let late = dice.spread(1, 60_000);
    match dice.within(0, 4) {
        0 => Fault::Term,
        1 => Fault::ApiStop,
        2 => Fault::EcsStops { term: None },
        3 => Fault::EcsStops { term: Some(0) },
        _ => Fault::EcsStops { term: Some(late) },
    }
}
