use super::Verdict::{Critical, Passing};
use super::*;
use serde_json::{Value, json};

#[path = "health_props.rs"]
mod props;

const ID: &str = "api-1-app-consul-ecs";

fn seconds(n: u64) -> Duration {
    Duration::from_secs(n)
}

fn rules() -> Rules {
    Rules { ttl: seconds(30), start_grace: Duration::ZERO, stale_after: seconds(300) }
}

fn with_grace(grace: u64) -> Rules {
    Rules { start_grace: seconds(grace), ..rules() }
}

/// A running container with this health, and what else is said of it.
fn container(health: Value, more: Value) -> Container {
    let mut body = json!({
        "DockerId": "d1", "Name": "app", "DesiredStatus": "RUNNING", "KnownStatus": "RUNNING",
        "StartedAt": "2026-01-02T00:43:16Z", "Health": health,
    });
    for (key, value) in more.as_object().expect("object") {
        body[key] = value.clone();
    }
    serde_json::from_value(body).expect("container")
}

fn has(status: &str) -> Container {
    let since = "2026-01-02T00:43:47.1Z";
    container(json!({ "status": status, "statusSince": since }), json!({}))
}

fn word(history: &mut History, rules: &Rules, now: Duration) -> Word {
    history.word("app", ID, rules, now).expect("was read").clone()
}

/// The word after one read.
fn first_word(container: Option<&Container>) -> Word {
    let mut history = History::default();
    history.observe(container, &rules(), seconds(1));
    word(&mut history, &rules(), seconds(1))
}

/// One look at a container at a time, and what its check must be then; nothing: the metadata cannot be read.
type Look<'a> = (u64, Option<Option<&'a Container>>, Verdict);

#[track_caller]
fn goes(rules: &Rules, looks: &[Look<'_>]) {
    let mut history = History::default();
    for (second, seen, wanted) in looks {
        if let Some(container) = seen {
            history.observe(*container, rules, seconds(*second));
        }
        let said = word(&mut history, rules, seconds(*second));
        assert_eq!(said.verdict, *wanted, "at {second} s: {}", said.output);
    }
}

#[test]
fn every_status_has_its_verdict_and_its_words() {
    let since = "2026-01-02T00:43:47.1Z";
    let stopped = json!({ "DesiredStatus": "STOPPED", "KnownStatus": "STOPPED", "ExitCode": 3,
        "FinishedAt": "2026-01-02T01:00:00Z" });
    let table = [
        (
            Some(container(
                json!({ "status": "HEALTHY", "statusSince": since, "output": "ok\n", "exitCode": 1 }),
                json!({}),
            )),
            Passing,
            r#""HEALTHY": is HEALTHY since 2026-01-02T00:43:47.1Z; probe: output: ok"#,
        ),
        (Some(has("HEALTHY")), Passing, r#""HEALTHY": is HEALTHY since 2026-01-02T00:43:47.1Z"#),
        (
            Some(container(
                json!({ "status": "UNHEALTHY", "statusSince": since, "output": "no", "exitCode": -1 }),
                json!({}),
            )),
            Critical,
            r#""UNHEALTHY": is UNHEALTHY since 2026-01-02T00:43:47.1Z; probe: exit code -1, output: no"#,
        ),
        (
            Some(container(json!({ "status": "UNHEALTHY" }), json!({}))),
            Critical,
            r#""UNHEALTHY": is UNHEALTHY"#,
        ),
        (
            Some(has("UNKNOWN")),
            Critical,
            r#""UNKNOWN": has no health status since 2026-01-02T00:43:47.1Z"#,
        ),
        (
            Some(has("FUTURE")),
            Critical,
            r#""UNKNOWN": has no health status since 2026-01-02T00:43:47.1Z"#,
        ),
        (Some(container(json!({}), json!({}))), Critical, r#""UNKNOWN": has no health status"#),
        (
            Some(container(json!(null), json!({}))),
            Critical,
            r#""UNKNOWN": has no healthCheck in the task definition"#,
        ),
        (None, Critical, r#""MISSING": is not in the task's metadata"#),
        // The last health stays where a container has stopped.
        (
            Some(container(json!({ "status": "HEALTHY" }), stopped)),
            Critical,
            r#""STOPPED": has stopped at 2026-01-02T01:00:00Z (exit code 3)"#,
        ),
        (
            Some(container(json!({ "status": "HEALTHY" }), json!({ "KnownStatus": "STOPPED" }))),
            Critical,
            r#""STOPPED": has stopped"#,
        ),
        (
            Some(container(json!({ "status": "HEALTHY" }), json!({ "DesiredStatus": "STOPPED" }))),
            Critical,
            r#""STOPPED": is being stopped"#,
        ),
        // Fargate's metadata lags behind at the start.
        (
            Some(container(json!({ "status": "HEALTHY" }), json!({ "KnownStatus": "PULLED" }))),
            Passing,
            r#""HEALTHY": is HEALTHY"#,
        ),
    ];
    for (container, verdict, words) in table {
        let said = first_word(container.as_ref());
        let (status, detail) = words.split_once(": ").expect("two parts");
        // The sentence of 0.4.3 to begin with.
        let output =
            format!("ECS health status is {status} for task \"{ID}\": container app {detail}");
        assert_eq!((said.verdict, said.output), (verdict, output));
    }
}

#[test]
fn nothing_is_said_before_the_first_read() {
    assert_eq!(History::default().word("app", ID, &rules(), seconds(9)), None);
}

#[test]
fn a_container_that_flaps_is_followed_at_once() {
    let (good, bad, unknown) = (has("HEALTHY"), has("UNHEALTHY"), has("UNKNOWN"));
    goes(
        &rules(),
        &[
            (0, Some(None), Critical),
            (1, Some(Some(&unknown)), Critical),
            (2, Some(Some(&good)), Passing),
            (3, Some(Some(&bad)), Critical),
            (4, Some(Some(&good)), Passing),
            (5, Some(Some(&unknown)), Critical),
            (6, Some(Some(&good)), Passing),
            (7, Some(None), Critical),
            (8, Some(Some(&good)), Passing),
        ],
    );
}

#[test]
fn start_grace_bears_with_unhealthy_after_healthy_and_with_nothing_else() {
    let (good, bad, unknown) = (has("HEALTHY"), has("UNHEALTHY"), has("UNKNOWN"));
    let rules = with_grace(10);
    // Not before it was HEALTHY.
    goes(&rules, &[(0, Some(Some(&unknown)), Critical), (1, Some(Some(&bad)), Critical)]);
    // One bad probe: it counts from the first look that shows it, and begins again with each recovery.
    goes(
        &rules,
        &[
            (0, Some(Some(&good)), Passing),
            (1, Some(Some(&bad)), Passing),
            (10, Some(Some(&bad)), Passing),
            (11, Some(Some(&bad)), Critical),
            (12, Some(Some(&bad)), Critical),
            (13, Some(Some(&good)), Passing),
            (14, Some(Some(&bad)), Passing),
            (20, Some(Some(&good)), Passing),
            (29, Some(Some(&bad)), Passing),
            (39, Some(Some(&bad)), Critical),
        ],
    );
    // UNKNOWN, stopped and missing are not borne with, nor what follows them.
    let stopped = container(json!({ "status": "HEALTHY" }), json!({ "KnownStatus": "STOPPED" }));
    for between in [Some(&unknown), Some(&stopped), None] {
        goes(
            &rules,
            &[
                (0, Some(Some(&good)), Passing),
                (1, Some(between), Critical),
                (2, Some(Some(&bad)), Critical),
                (3, Some(Some(&good)), Passing),
            ],
        );
    }
}

#[test]
fn start_grace_says_that_it_bears_with_it() {
    let rules = with_grace(90);
    let mut history = History::default();
    history.observe(Some(&has("HEALTHY")), &rules, seconds(1));
    history.observe(Some(&has("UNHEALTHY")), &rules, seconds(2));
    let said = word(&mut history, &rules, seconds(2)).output;
    assert!(said.starts_with("ECS health status is \"UNHEALTHY\""), "{said}");
    assert!(said.ends_with("stays passing for healthSync.startGrace (1m 30s)"), "{said}");
}

#[test]
fn a_restarted_container_starts_afresh() {
    let rules = with_grace(60);
    let good = container(json!({ "status": "HEALTHY" }), json!({ "RestartCount": 0 }));
    for other in [
        // By the task's restart policy: the same ID, and what else shows it.
        json!({ "RestartCount": 1 }),
        json!({ "RestartCount": 0, "StartedAt": "2026-01-02T02:00:00Z" }),
        json!({ "RestartCount": 0, "DockerId": "d2" }),
    ] {
        // Also where no look fell on the time in between, when it had no status.
        let bad = container(json!({ "status": "UNHEALTHY" }), other.clone());
        let unknown = container(json!({}), other.clone());
        let well = container(json!({ "status": "HEALTHY" }), other);
        goes(
            &rules,
            &[
                (0, Some(Some(&good)), Passing),
                (1, Some(Some(&bad)), Critical),
                (2, Some(Some(&unknown)), Critical),
                (3, Some(Some(&well)), Passing),
                (4, Some(Some(&bad)), Passing),
            ],
        );
    }
}

#[test]
fn a_metadata_outage_keeps_the_last_word_for_stale_after() {
    let rules = Rules { stale_after: seconds(20), ..with_grace(10) };
    let (good, bad) = (has("HEALTHY"), has("UNHEALTHY"));
    goes(
        &rules,
        &[
            (0, Some(Some(&good)), Passing),
            (1, None, Passing),
            (20, None, Passing),
            (21, None, Critical),
            (22, None, Critical),
            // It comes back by itself, and only by HEALTHY: an outage is no time in which one was well.
            (23, Some(Some(&bad)), Critical),
            (24, Some(Some(&good)), Passing),
        ],
    );
    goes(&rules, &[(0, Some(Some(&good)), Passing), (40, Some(Some(&good)), Passing)]);
    goes(&rules, &[(0, Some(Some(&good)), Passing), (40, Some(Some(&bad)), Critical)]);
    // A grace goes on, and ends, while nothing can be read.
    goes(
        &rules,
        &[
            (0, Some(Some(&good)), Passing),
            (1, Some(Some(&bad)), Passing),
            (10, None, Passing),
            (11, None, Critical),
            (30, None, Critical),
        ],
    );
}

#[test]
fn a_stale_word_says_so_and_keeps_what_was() {
    let mut history = History::default();
    history.observe(Some(&has("HEALTHY")), &rules(), seconds(1));
    let kept = word(&mut history, &rules(), seconds(301));
    assert_eq!(kept, first_word(Some(&has("HEALTHY"))));
    let stale = word(&mut history, &rules(), seconds(302));
    assert_eq!(
        stale.output,
        format!(
            "ECS health status is \"STALE\" for task \"{ID}\": container app is HEALTHY since \
             2026-01-02T00:43:47.1Z; since then the task metadata could not be read for healthSync.staleAfter (5m)"
        )
    );
    assert_eq!(word(&mut history, &rules(), seconds(9999)), stale, "no age in it");
}

#[test]
fn words_change_with_the_reason_or_the_run_and_with_nothing_else() {
    let unhealthy = |since: &str, output: &str, more: Value| {
        let health = json!({ "status": "UNHEALTHY", "statusSince": since, "output": output });
        container(health, more)
    };
    let mut history = History::default();
    let mut say = |c: Option<&Container>, now| {
        history.observe(c, &rules(), seconds(now));
        word(&mut history, &rules(), seconds(now)).output
    };
    let first = say(Some(&unhealthy("t1", "at 10:00", json!({}))), 1);
    assert!(first.contains("since t1") && first.contains("at 10:00"), "{first}");
    // A probe that prints the time.
    assert_eq!(say(Some(&unhealthy("t1", "at 10:01", json!({}))), 2), first);
    assert_eq!(say(Some(&unhealthy("t2", "at 10:02", json!({}))), 3), first);
    // Critical before and after, for another reason.
    let missing = say(None, 4);
    assert!(missing.contains("MISSING"), "{missing}");
    assert!(say(Some(&unhealthy("t3", "at 10:03", json!({}))), 5).contains("at 10:03"));
    let restarted = say(Some(&unhealthy("t4", "at 10:04", json!({ "RestartCount": 1 }))), 6);
    assert!(restarted.contains("at 10:04"), "{restarted}");
}

#[test]
fn a_probes_output_can_do_no_harm() {
    let said = |output: &str| {
        let c = container(json!({ "status": "UNHEALTHY", "output": output }), json!({}));
        first_word(Some(&c)).output.split_once("output: ").expect("output").1.to_owned()
    };
    assert_eq!(said("  two\r\n\tlines\n"), "two lines");
    assert_eq!(
        said("\x1b[31mred\x07 \0\u{202e}end\u{85}."),
        "\u{fffd}[31mred\u{fffd} \u{fffd}\u{fffd}end ."
    );
    // Cut between characters of two bytes, of which the limit falls into one.
    let long = said(&format!("x{}", "é".repeat(3000)));
    assert_eq!(long.strip_suffix('…').map(str::len), Some(PROBE_LIMIT - 1));
    // Whitespace only is no output.
    let blank = container(json!({ "status": "UNHEALTHY", "output": " \n" }), json!({}));
    assert!(!first_word(Some(&blank)).output.contains("probe"));
}
