use super::*;
use proptest::prelude::*;
use serde_json::{Value, json};

fn seconds(n: u64) -> Duration {
    Duration::from_secs(n)
}

const RULES: Rules = Rules {
    ttl: Duration::from_secs(30),
    start_grace: Duration::ZERO,
    stale_after: Duration::from_secs(300),
};

/// A running task whose containers have these statuses.
fn task(statuses: &[(&str, &str)]) -> Task {
    let container = |(name, status): &(&str, &str)| json!({ "Name": name, "KnownStatus": "RUNNING", "Health": { "status": status } });
    let containers: Vec<Value> = statuses.iter().map(container).collect();
    serde_json::from_value(json!({ "KnownStatus": "RUNNING", "Containers": containers })).unwrap()
}

fn tracking(names: &[&str]) -> Book {
    let mut book = Book::new(RULES);
    book.track(checks(names));
    book
}

fn checks(names: &[&str]) -> Vec<(String, String)> {
    names.iter().map(|name| (name.to_string(), format!("check-of-{name}"))).collect()
}

/// What is due: containers and verdicts.
fn due(book: &mut Book, now: u64) -> Vec<(String, Verdict)> {
    book.due(seconds(now)).into_iter().map(|u| (u.container, u.verdict)).collect()
}

fn critical(name: &str) -> (String, Verdict) {
    (name.to_owned(), Verdict::Critical)
}

fn passing(name: &str) -> (String, Verdict) {
    (name.to_owned(), Verdict::Passing)
}

fn failed() -> Answer {
    Answer::Failed("no answer".to_owned())
}

fn unknown() -> Answer {
    Answer::Unknown("no such check".to_owned())
}

#[test]
fn a_check_is_written_when_it_changes_and_at_a_third_of_its_ttl() {
    let mut book = tracking(&["a", "b"]);
    assert_eq!(due(&mut book, 0), [], "nothing was read");
    book.observe(&task(&[("a", "HEALTHY")]), seconds(1));
    assert_eq!(due(&mut book, 1), [passing("a"), critical("b")]);
    for name in ["a", "b"] {
        assert_eq!(book.answered(name, 1, Answer::Written), None);
    }
    book.observe(&task(&[("a", "HEALTHY")]), seconds(10));
    assert_eq!(due(&mut book, 10), []);
    // Unchanged, also while the metadata cannot be read.
    assert_eq!(due(&mut book, 11), [passing("a"), critical("b")]);
    book.answered("a", 1, Answer::Written);
    book.answered("b", 1, Answer::Written);
    book.observe(&task(&[("a", "UNHEALTHY")]), seconds(12));
    assert_eq!(due(&mut book, 12), [critical("a")]);
    book.answered("a", 1, Answer::Written);
    // Critical as before, but for another reason.
    book.observe(&task(&[]), seconds(13));
    assert_eq!(due(&mut book, 13), [critical("a")]);
}

#[test]
fn a_slow_answer_holds_up_its_own_check_only() {
    let mut book = tracking(&["a", "b"]);
    book.observe(&task(&[("a", "HEALTHY"), ("b", "HEALTHY")]), seconds(1));
    assert_eq!(due(&mut book, 1), [passing("a"), passing("b")]);
    book.answered("b", 1, Answer::Written);
    book.observe(&task(&[("a", "UNHEALTHY"), ("b", "UNHEALTHY")]), seconds(2));
    assert_eq!(due(&mut book, 2), [critical("b")]);
    // What it should say by now goes out when the first answer is back.
    book.answered("a", 1, Answer::Written);
    assert_eq!(due(&mut book, 3), [critical("a")]);
}

#[test]
fn a_write_that_failed_is_due_again_and_told_until_it_works() {
    let mut book = tracking(&["a", "b"]);
    book.observe(&task(&[("a", "HEALTHY"), ("b", "HEALTHY")]), seconds(1));
    due(&mut book, 1);
    assert_eq!(book.trouble(), None);
    book.answered("a", 1, failed());
    assert_eq!(book.trouble().as_deref(), Some("no answer"));
    book.answered("b", 1, failed());
    assert_eq!(book.trouble().as_deref(), Some("no answer (and 1 more checks)"));
    assert_eq!(due(&mut book, 1), [passing("a"), passing("b")]);
    book.answered("a", 1, Answer::Written);
    book.answered("b", 1, Answer::Written);
    assert_eq!(book.trouble(), None);
    assert_eq!(due(&mut book, 2), []);
}

#[test]
fn a_check_that_the_agent_does_not_know_is_lost_after_three_refusals_in_a_row() {
    let mut book = tracking(&["a"]);
    book.observe(&task(&[("a", "HEALTHY")]), seconds(1));
    let mut answers = [unknown(), unknown(), failed(), unknown(), unknown(), unknown(), unknown()]
        .into_iter()
        .map(|answer| {
            assert_eq!(due(&mut book, 1), [passing("a")]);
            book.answered("a", 1, answer)
        });
    assert!(answers.by_ref().take(5).all(|lost| lost.is_none()));
    let lost = answers.next().flatten().expect("lost");
    assert_eq!(lost, "the agent does not know the check of a");
    assert_eq!(answers.next(), Some(None), "told once");
}

#[test]
fn checks_that_are_registered_again_are_written_again_with_what_was_seen() {
    let mut book = tracking(&["a", "gone"]);
    book.observe(&task(&[("a", "HEALTHY"), ("gone", "HEALTHY")]), seconds(1));
    due(&mut book, 1);
    book.track(checks(&["a", "new"]));
    // Without another read: the metadata may be away.
    assert_eq!(due(&mut book, 2), [passing("a")]);
    // This answer belongs to the old registration.
    book.answered("a", 1, Answer::Written);
    assert_eq!(due(&mut book, 2), []);
    book.answered("a", 2, failed());
    assert_eq!(due(&mut book, 2), [passing("a")]);
    book.observe(&task(&[("a", "HEALTHY"), ("new", "HEALTHY")]), seconds(3));
    assert_eq!(due(&mut book, 3), [passing("new")]);
    book.answered("a", 2, Answer::Written);
    book.answered("gone", 2, Answer::Written);
    assert_eq!(due(&mut book, 4), []);
}

#[test]
fn an_old_read_that_is_told_again_does_not_prolong_an_outage() {
    let mut book = tracking(&["a"]);
    let seen = task(&[("a", "HEALTHY")]);
    book.observe(&seen, seconds(1));
    assert_eq!(due(&mut book, 1), [passing("a")]);
    // As after a registration.
    book.track(checks(&["a", "new"]));
    book.observe(&seen, seconds(1));
    assert_eq!(due(&mut book, 301), [passing("a"), critical("new")]);
    book.answered("a", 2, Answer::Written);
    book.observe(&seen, seconds(1));
    assert_eq!(due(&mut book, 302), [critical("a")]);
}

#[test]
fn containers_that_cannot_become_healthy_are_named_with_what_may_be_meant() {
    let mut book = tracking(&["app", "wbe", "log", "nobody"]);
    let mut seen = task(&[("app", "UNKNOWN"), ("web", "HEALTHY")]);
    let log = json!({ "Name": "log", "KnownStatus": "RUNNING" });
    seen.containers.push(serde_json::from_value(log).unwrap());
    seen.known_status = Status::Created;
    book.observe(&seen, seconds(1));
    assert_eq!(book.trouble(), None, "some may only not be listed yet");
    seen.known_status = Status::Running;
    book.observe(&seen, seconds(2));
    assert_eq!(
        book.trouble().as_deref(),
        Some(
            "container log has no healthCheck in the task definition; no container is called nobody; \
             no container is called wbe (did you mean \"web\"?): their checks stay critical"
        )
    );
    book.track(checks(&["app"]));
    book.observe(&seen, seconds(3));
    assert_eq!(book.trouble(), None);
}

proptest! {
    /// However reads, answers and time fall: each check has at most one write on its way, none is written twice within
    /// a third of its TTL without a change, and none that an answering agent has goes longer than that unwritten.
    #[test]
    fn writes_are_neither_missing_nor_needless(
        steps in prop::collection::vec((1..12_u64, 0..4_usize, prop::option::of(0..3_usize)), 1..80),
    ) {
        let mut book = tracking(&["a"]);
        let (mut now, mut pending, mut written) = (0, None, None::<(Update, Duration)>);
        for (after, status, answer) in steps {
            now += after;
            if let Some(status) = ["HEALTHY", "UNHEALTHY", "UNKNOWN"].get(status) {
                book.observe(&task(&[("a", status)]), seconds(now));
            }
            let mut updates = book.due(seconds(now));
            prop_assert!(updates.len() <= 1);
            if let Some(update) = updates.pop() {
                prop_assert!(pending.is_none(), "two on their way");
                if let Some((last, at)) = &written {
                    prop_assert!(*last != update || seconds(now) - *at >= RULES.ttl / 3, "needless");
                }
                pending = Some((update, seconds(now)));
            } else if pending.is_none() && let Some((_, at)) = &written {
                prop_assert!(seconds(now) - *at < RULES.ttl / 3, "missing");
            }
            if let Some(answer) = answer && let Some(sent) = pending.take() {
                let answer = [Answer::Written, failed(), unknown()][answer].clone();
                if answer == Answer::Written {
                    written = Some(sent);
                }
                book.answered("a", 1, answer);
            }
        }
    }
}
