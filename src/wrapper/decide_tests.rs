use super::*;
use Signal::{SIGINT, SIGQUIT, SIGTERM, SIGUSR1};

fn line(start: bool, release: bool, term: bool) -> Event {
    Event::Line(Line { start, release, term, ..Line::default() })
}

/// With a `--stop-delay-min`, or without; `--start-alone`, or not.
fn wrapped(least: bool, start_alone: bool) -> Wrapped {
    Wrapped::new(SIGTERM, secs(if least { 6 } else { 0 }), secs(15), start_alone)
}

fn secs(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

fn hold(release: bool) -> Action {
    Action::HoldBack { release, limit: Limit { time: secs(15), stop_timeout: None } }
}

/// What the task definition gives the container.
fn told(ms: u64) -> Event {
    Event::Line(Line { stop_timeout_ms: Some(ms), ..Line::default() })
}

fn running() -> Wrapped {
    started(wrapped(false, false))
}

fn started(mut w: Wrapped) -> Wrapped {
    w.on(Event::Attached);
    assert_eq!(w.on(line(true, false, false)), [Action::Spawn]);
    assert_eq!(w.on(Event::Spawned), [Action::Tell(Told::Started)]);
    w
}

/// With a `--stop-delay-min`, and a TERM.
fn delayed() -> Wrapped {
    let mut w = started(wrapped(true, true));
    let held = [Action::Tell(Told::Term), hold(true)];
    assert_eq!(w.on(Event::Signal(SIGTERM)), held);
    w
}

fn holding() -> Wrapped {
    let mut w = running();
    let held = [Action::Tell(Told::Term), hold(true)];
    assert_eq!(w.on(Event::Signal(SIGTERM)), held);
    w
}

fn forwards(actions: &[Action]) -> Vec<Signal> {
    let signal = |a: &Action| if let Action::Forward(s) = a { Some(*s) } else { None };
    actions.iter().filter_map(signal).collect()
}

#[test]
fn a_term_is_held_until_each_thing_that_ends_the_holding() {
    for event in [
        line(false, true, false),
        line(false, true, true),
        Event::Lost("reset".into()),
        Event::DelayOver,
        Event::Signal(SIGTERM),
    ] {
        let mut w = holding();
        assert_eq!(forwards(&w.on(event.clone())), [SIGTERM], "{event:?}");
        assert_eq!(forwards(&w.on(line(false, true, true))), [], "only once: {event:?}");
        assert_eq!(forwards(&w.on(Event::Signal(SIGTERM))), [SIGTERM], "then at once");
    }
}

#[test]
fn a_stop_of_the_mesh_sends_the_stop_signal_that_nobody_else_sends() {
    let mut w = running();
    w.stop_signal = SIGQUIT;
    assert_eq!(forwards(&w.on(line(false, true, true))), [SIGQUIT]);
}

#[test]
fn a_release_before_the_term_lets_the_term_through() {
    let mut w = running();
    assert_eq!(w.on(line(false, true, false)), []);
    assert_eq!(w.on(Event::Signal(SIGTERM)), [Action::Forward(SIGTERM)]);
}

#[test]
fn without_a_supervisor_a_running_command_lives_on_and_gets_its_term_at_once() {
    let mut w = running();
    assert_eq!(w.on(Event::Lost("reset".into())), []);
    assert_eq!(w.on(Event::Signal(SIGUSR1)), [Action::Forward(SIGUSR1)]);
    assert_eq!(w.on(Event::Signal(SIGTERM)), [Action::Forward(SIGTERM)]);
}

#[test]
fn what_ends_the_waiting_without_a_start() {
    let ends = |before: &[Event], event: Event| {
        let mut w = wrapped(false, false);
        for event in before {
            w.on(event.clone());
        }
        match w.on(event).last() {
            Some(Action::Exit(code)) => Some(*code),
            _ => None,
        }
    };
    let attached = [Event::Attached];
    let lost = [Event::Attached, Event::Lost("reset".into())];
    assert_eq!(ends(&[], Event::Signal(SIGTERM)), Some(143));
    assert_eq!(ends(&attached, Event::Signal(SIGINT)), Some(130));
    assert_eq!(ends(&attached, Event::Signal(SIGUSR1)), None);
    assert_eq!(ends(&[], Event::WaitOver), Some(69));
    assert_eq!(ends(&attached, Event::WaitOver), Some(75));
    assert_eq!(ends(&lost, Event::WaitOver), Some(75));
    assert_eq!(ends(&attached, line(false, true, true)), Some(143));
    assert_eq!(ends(&attached, line(true, true, false)), Some(143), "never starts any more");
    assert_eq!(ends(&attached, Event::SpawnFailed(127)), Some(127));
}

#[test]
fn the_least_delay_and_the_release_must_both_have_come_in_any_order() {
    let released = [line(false, true, false), line(false, true, true), Event::Lost("reset".into())];
    for release in released {
        let mut w = delayed();
        assert_eq!(forwards(&w.on(release.clone())), [], "{release:?} alone");
        assert_eq!(forwards(&w.on(release.clone())), [], "{release:?} twice");
        assert_eq!(forwards(&w.on(Event::LeastOver)), [SIGTERM], "{release:?}");

        let mut w = delayed();
        assert_eq!(forwards(&w.on(Event::LeastOver)), [], "the least delay alone");
        assert_eq!(forwards(&w.on(release.clone())), [SIGTERM], "{release:?}");
        assert_eq!(forwards(&w.on(Event::DelayOver)), [], "only once: {release:?}");
    }
    for end in [Event::DelayOver, Event::Signal(SIGTERM)] {
        assert_eq!(forwards(&delayed().on(end.clone())), [SIGTERM], "{end:?}");
    }
}

#[test]
fn the_least_delay_holds_without_a_supervisor_and_after_its_release() {
    let mut gone = started(wrapped(true, true));
    gone.on(Event::Lost("reset".into()));
    let mut early = started(wrapped(true, true));
    early.on(line(false, true, false));
    for mut w in [gone, early] {
        assert_eq!(w.on(Event::Signal(SIGTERM)), [hold(false)]);
        assert_eq!(forwards(&w.on(Event::Lost("reset".into()))), []);
        assert_eq!(forwards(&w.on(Event::LeastOver)), [SIGTERM]);
    }
}

#[test]
fn a_stop_of_the_mesh_is_not_delayed_for_no_peer_is_left_to_wait_for() {
    let mut w = started(wrapped(true, true));
    assert_eq!(forwards(&w.on(line(false, true, true))), [SIGTERM]);
}

#[test]
fn only_who_may_start_alone_does_and_only_where_there_never_was_a_supervisor() {
    let nobody = || Event::Nobody("refused".into());
    let waiting = [Action::Waiting("refused".into())];
    let mut alone = wrapped(false, true);
    assert_eq!(alone.on(nobody()).last(), Some(&Action::Spawn));
    assert_eq!(alone.on(Event::Spawned), []);
    assert_eq!(alone.on(Event::Signal(SIGTERM)), [Action::Forward(SIGTERM)]);
    assert_eq!(wrapped(false, false).on(nobody()), waiting);
    let mut replaced = wrapped(false, true);
    replaced.on(Event::Attached);
    assert_eq!(replaced.on(nobody()), waiting);
    assert_eq!(
        wrapped(false, true).on(Event::Lost("HTTP 503".into())),
        [Action::Waiting("HTTP 503".into())],
        "somebody is there"
    );
}

#[test]
fn the_supervisor_hears_started_before_exited() {
    let mut w = running();
    assert_eq!(w.on(Event::Ended(7)), [Action::Tell(Told::Exited(7)), Action::Exit(7)]);
}

#[test]
fn a_stop_is_passed_on_in_time_for_the_command_to_end_before_ecs_kills_it() {
    for (stop_timeout, at_most) in
        [(30_000, 15_000), (17_000, 15_000), (16_000, 14_000), (4000, 2000), (3000, 1500), (0, 0)]
    {
        let mut w = running();
        assert_eq!(w.on(told(stop_timeout)), []);
        let set_by = (at_most < 15_000).then(|| Duration::from_millis(stop_timeout));
        let limit = Limit { time: Duration::from_millis(at_most), stop_timeout: set_by };
        let held = [Action::Tell(Told::Term), Action::HoldBack { release: true, limit }];
        assert_eq!(w.on(Event::Signal(SIGTERM)), held, "{stop_timeout}");
        let over = w.on(Event::DelayOver);
        assert_eq!(forwards(&over), [SIGTERM]);
        let said = match set_by {
            Some(_) => "the container's stopTimeout is nearly over: passing the stop on",
            None => "--stop-delay-max is over: passing the stop on",
        };
        assert_eq!(over[0], Action::Say(said), "{stop_timeout}");
    }
}

#[test]
fn a_least_delay_is_no_reason_to_be_killed_either() {
    let mut w = started(wrapped(true, true));
    w.on(told(5000));
    let limit = Limit { time: secs(3), stop_timeout: Some(secs(5)) };
    w.on(Event::Lost("reset".into()));
    let held = [Action::HoldBack { release: false, limit }];
    assert_eq!(w.on(Event::Signal(SIGTERM)), held);
    assert_eq!(forwards(&w.on(Event::DelayOver)), [SIGTERM]);
}

#[test]
fn the_least_delay_raises_the_most() {
    let mut w = started(Wrapped::new(SIGTERM, secs(40), secs(15), false));
    let limit = Limit { time: secs(40), stop_timeout: None };
    let held = [Action::Tell(Told::Term), Action::HoldBack { release: true, limit }];
    assert_eq!(w.on(Event::Signal(SIGTERM)), held);
}

#[test]
fn a_stop_timeout_that_comes_during_the_holding_shortens_it() {
    let mut w = holding();
    let limit = Limit { time: secs(8), stop_timeout: Some(secs(10)) };
    assert_eq!(w.on(told(10_000)), [Action::Shorten(limit)]);
    // With the release it is of no use any more, but the release counts.
    let mut w = holding();
    let line = Line { release: true, stop_timeout_ms: Some(10_000), ..Line::default() };
    assert_eq!(w.on(Event::Line(line)), [Action::Shorten(limit), Action::Forward(SIGTERM)]);
}

#[test]
fn a_stop_timeout_alone_neither_starts_nor_stops_anything() {
    let mut w = wrapped(false, false);
    w.on(Event::Attached);
    assert_eq!(w.on(told(10_000)), []);
    let start = Line { start: true, stop_timeout_ms: Some(10_000), ..Line::default() };
    assert_eq!(w.on(Event::Line(start)), [Action::Spawn]);
    w.on(Event::Spawned);
    assert_eq!(w.on(told(10_000)), []);
}
