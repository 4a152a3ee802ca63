//! Random traces.

use super::*;
use proptest::prelude::*;

/// One look of the random traces: after so many seconds, this container or nothing or no read at all.
#[derive(Debug, Clone)]
struct Step {
    after: u64,
    seen: Option<Option<Container>>,
}

fn any_container() -> impl Strategy<Value = Container> {
    let health = prop_oneof![
        4 => Just(json!({ "status": "HEALTHY", "output": "ok" })),
        4 => Just(json!({ "status": "UNHEALTHY", "exitCode": 1 })),
        1 => Just(json!({ "status": "UNKNOWN" })),
        1 => Just(json!({})),
        1 => Just(json!(null)),
    ];
    let known = prop_oneof![8 => Just("RUNNING"), 1 => Just("STOPPED")];
    (health, known, 0..2_u32).prop_map(|(health, known, restarts)| {
        container(health, json!({ "KnownStatus": known, "RestartCount": restarts }))
    })
}

fn any_step() -> impl Strategy<Value = Step> {
    let seen = prop_oneof![
        6 => any_container().prop_map(|c| Some(Some(c))),
        1 => Just(Some(None)),
        3 => Just(None),
    ];
    (1..15_u64, seen).prop_map(|(after, seen)| Step { after, seen })
}

/// The same judgement from the whole trace: the reads so far, youngest last, and the time now.
fn from_the_trace(reads: &[(u64, Option<Container>)], rules: &Rules, now: u64) -> Verdict {
    let is = |c: &Option<Container>, status| {
        c.as_ref()
            .is_some_and(|c| c.health_status() == Some(status) && c.known_status == Status::Running)
    };
    let stale = rules.stale_after.as_secs();
    let (at, last) = reads.last().expect("a read");
    if now - at > stale {
        return Critical;
    }
    if is(last, HealthStatus::Healthy) {
        return Passing;
    }
    // Back through the UNHEALTHY reads of the same run to a HEALTHY one, over no gap in which all was forgotten.
    for pair in reads.windows(2).rev() {
        let ((before_at, before), (at, this)) = (&pair[0], &pair[1]);
        let same_run = before.as_ref().map(Run::of) == this.as_ref().map(Run::of);
        if !is(this, HealthStatus::Unhealthy) || !same_run || at - before_at > stale {
            return Critical;
        }
        if is(before, HealthStatus::Healthy) {
            let in_grace = now - at < rules.start_grace.as_secs();
            return if in_grace { Passing } else { Critical };
        }
    }
    Critical
}

proptest! {
    #[test]
    fn the_verdict_is_what_the_whole_trace_says(
        steps in prop::collection::vec(any_step(), 1..40),
        grace in 0..30_u64,
        stale in 1..30_u64,
    ) {
        let rules = Rules { ttl: seconds(30), start_grace: seconds(grace), stale_after: seconds(stale) };
        let (mut history, mut reads, mut now) = (History::default(), Vec::new(), 0);
        let mut before: Option<Word> = None;
        for Step { after, seen } in steps {
            now += after;
            if let Some(seen) = seen {
                history.observe(seen.as_ref(), &rules, seconds(now));
                reads.push((now, seen));
            }
            let said = history.word("app", ID, &rules, seconds(now)).cloned();
            prop_assert_eq!(said.is_none(), reads.is_empty());
            let Some(said) = said else { continue };
            prop_assert_eq!(said.verdict, from_the_trace(&reads, &rules, now), "{}", said.output);
            let last_is_healthy = reads.last().and_then(|(_, c)| c.as_ref()?.health_status())
                == Some(HealthStatus::Healthy);
            if before.as_ref().is_none_or(|b| b.verdict == Critical) && said.verdict == Passing {
                prop_assert!(last_is_healthy, "passing without HEALTHY: {}", said.output);
            }
            // Asked again at the same time, it says the same.
            prop_assert_eq!(history.word("app", ID, &rules, seconds(now)), Some(&said));
            before = Some(said);
        }
    }

    #[test]
    fn no_output_of_a_probe_makes_a_long_or_a_dangerous_text(output in ".{0,2000}", since in any::<String>()) {
        let health = json!({ "status": "UNHEALTHY", "statusSince": since, "output": output });
        let said = first_word(Some(&container(health, json!({})))).output;
        prop_assert!(said.len() < 3 * PROBE_LIMIT);
        prop_assert!(!said.chars().any(char::is_control));
    }
}
