use super::*;
use Signal::{SIGINT, SIGQUIT, SIGTERM, SIGUSR1};

fn line(start: bool, release: bool, term: bool) -> Event {
    Event::Line(Line { start, release, term, ..Line::default() })
}

fn running() -> Wrapped {
    started(Wrapped::new(SIGTERM, false, false))
}

fn started(mut w: Wrapped) -> Wrapped {
    w.on(Event::Attached);
    assert_eq!(w.on(line(true, false, false)), [Action::Spawn]);
    assert_eq!(w.on(Event::Spawned), [Action::Tell(Told::Started)]);
    w
}

/// With a `--stop-delay-min`, and a TERM.
fn delayed() -> Wrapped {
    let mut w = started(Wrapped::new(SIGTERM, true, true));
    let held = [Action::Tell(Told::Term), Action::HoldBack { release: true }];
    assert_eq!(w.on(Event::Signal(SIGTERM)), held);
    w
}

fn holding() -> Wrapped {
    let mut w = running();
    let held = [Action::Tell(Told::Term), Action::HoldBack { release: true }];
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
        let mut w = Wrapped::new(SIGTERM, false, false);
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
    let mut gone = started(Wrapped::new(SIGTERM, true, true));
    gone.on(Event::Lost("reset".into()));
    let mut early = started(Wrapped::new(SIGTERM, true, true));
    early.on(line(false, true, false));
    for mut w in [gone, early] {
        assert_eq!(w.on(Event::Signal(SIGTERM)), [Action::HoldBack { release: false }]);
        assert_eq!(forwards(&w.on(Event::Lost("reset".into()))), []);
        assert_eq!(forwards(&w.on(Event::LeastOver)), [SIGTERM]);
    }
}

#[test]
fn a_stop_of_the_mesh_is_not_delayed_for_no_peer_is_left_to_wait_for() {
    let mut w = started(Wrapped::new(SIGTERM, true, true));
    assert_eq!(forwards(&w.on(line(false, true, true))), [SIGTERM]);
}

#[test]
fn only_who_may_start_alone_does_and_only_where_there_never_was_a_supervisor() {
    let nobody = || Event::Nobody("refused".into());
    let waiting = [Action::Waiting("refused".into())];
    let mut alone = Wrapped::new(SIGTERM, false, true);
    assert_eq!(alone.on(nobody()).last(), Some(&Action::Spawn));
    assert_eq!(alone.on(Event::Spawned), []);
    assert_eq!(alone.on(Event::Signal(SIGTERM)), [Action::Forward(SIGTERM)]);
    assert_eq!(Wrapped::new(SIGTERM, false, false).on(nobody()), waiting);
    let mut replaced = Wrapped::new(SIGTERM, false, true);
    replaced.on(Event::Attached);
    assert_eq!(replaced.on(nobody()), waiting);
    assert_eq!(
        Wrapped::new(SIGTERM, false, true).on(Event::Lost("HTTP 503".into())),
        [Action::Waiting("HTTP 503".into())],
        "somebody is there"
    );
}

#[test]
fn the_supervisor_hears_started_before_exited() {
    let mut w = running();
    assert_eq!(w.on(Event::Ended(7)), [Action::Tell(Told::Exited(7)), Action::Exit(7)]);
}
