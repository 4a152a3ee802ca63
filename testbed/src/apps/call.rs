//! An app that only calls: what becomes of the calls of a task that stops.

use std::collections::BTreeMap;
use std::io;
use std::process::ExitCode;
use std::time::Duration;

use serde_json::json;
use tokio::sync::watch;
use tokio::time::sleep;

use super::CallArgs;
use super::term::{self, OnTerm, TermArgs};
use crate::load::{Client, LoadSpec};

/// After a failed call: one that is refused fails at once.
const BACKOFF: Duration = Duration::from_millis(5);

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Phase {
    Runs,
    Lingers,
    Over,
}

/// What became of the calls since the first good one.
#[derive(Debug, Default)]
struct Summary {
    /// All of them.
    calls: u64,
    /// Those that failed.
    failed: u64,
    /// Those that began after TERM.
    after_term: u64,
    /// Failures by reason.
    reasons: BTreeMap<String, u64>,
}

/// Calls until TERM and for a while more; then prints the summary. Fails if a call did.
pub(super) async fn run(args: CallArgs) -> io::Result<ExitCode> {
    let spec = LoadSpec::new(&args.upstream).map_err(io::Error::other)?;
    let asked = term::asked(TermArgs { on_term: OnTerm::Drain, linger: args.linger })?;
    let phase = watch::Sender::new(Phase::Runs);
    let clock = async {
        asked.await;
        phase.send_replace(Phase::Lingers);
        sleep(args.linger).await;
        phase.send_replace(Phase::Over);
    };
    let calls = calls(Client::new(&spec), args.pause, phase.subscribe());
    let ((), Summary { calls, failed, after_term, reasons }) = tokio::join!(clock, calls);
    let summary =
        json!({"calls": calls, "failed": failed, "after_term": after_term, "reasons": reasons});
    println!("{summary}");
    Ok(if failed == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

async fn calls(mut client: Client, pause: Duration, mut phase: watch::Receiver<Phase>) -> Summary {
    let mut summary = Summary::default();
    while *phase.borrow() != Phase::Over {
        let begun_in = *phase.borrow();
        let answer = client.request().await;
        let failed = answer.is_err();
        if summary.calls == 0 {
            match &answer {
                Ok(answer) => println!("{} answers", answer.from),
                // Not up yet.
                Err(_) => {
                    sleep(BACKOFF).await;
                    continue;
                }
            }
        }
        summary.calls += 1;
        summary.after_term += u64::from(begun_in > Phase::Runs);
        if let Err(error) = answer {
            summary.failed += 1;
            *summary.reasons.entry(error.to_string()).or_default() += 1;
        }
        let rest = if failed { pause.max(BACKOFF) } else { pause };
        if !rest.is_zero() {
            tokio::select! {
                () = sleep(rest) => {}
                _ = phase.wait_for(|phase| *phase == Phase::Over) => {}
            }
        }
    }
    summary
}
