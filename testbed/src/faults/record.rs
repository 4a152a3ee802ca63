//! What one test has seen of one fault.

use crate::workspace;
use std::path::PathBuf;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use tokio::time::Instant;

use super::table;

/// Set by `make faults`: rows are new, so the document need not have them yet.
const ANEW: &str = "TASKMESH_FAULTS_ANEW";

/// What a fault befalls: the parts of the table, in their order.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum Kind {
    /// Envoy, the agent, the supervisor itself.
    Process,
    /// What the agent knows of us.
    Registration,
    /// Consul's servers, names, tokens.
    Servers,
    /// The task metadata and AWS's APIs.
    Ecs,
    /// Disks, ports, memory, our own output.
    Machine,
}

impl Kind {
    /// All of them.
    pub(super) const ALL: [Self; 5] =
        [Self::Process, Self::Registration, Self::Servers, Self::Ecs, Self::Machine];

    /// The heading.
    pub(super) fn title(self) -> &'static str {
        match self {
            Self::Process => "Processes",
            Self::Registration => "What the agent knows of us",
            Self::Servers => "Consul's servers",
            Self::Ecs => "Task metadata and AWS's APIs",
            Self::Machine => "Disks, ports, memory, output",
        }
    }
}

/// A row.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(super) struct Row {
    pub(super) kind: Kind,
    pub(super) fault: String,
    pub(super) seen: String,
    pub(super) mends: String,
    /// Seconds from the fault to what is seen; `None` where nobody waited for it.
    pub(super) told: Option<f64>,
    /// Seconds until all is well again, from the fault or, where it does not end by our doing, from its end. `None`:
    /// nothing was the worse for it, or the task ends.
    pub(super) whole: Option<f64>,
    /// The test, with its module.
    pub(super) test: String,
}

/// Watches a fault that a test brings about.
#[derive(Debug)]
pub struct Witness {
    row: Row,
    since: Instant,
}

impl Witness {
    /// Of a fault that begins now. `fault` is what happens, in the words of the table.
    #[must_use]
    pub fn of(kind: Kind, fault: &str) -> Self {
        let test = std::thread::current().name().unwrap_or_default().to_owned();
        let row = Row {
            kind,
            fault: fault.to_owned(),
            seen: String::new(),
            mends: String::new(),
            told: None,
            whole: None,
            test,
        };
        Self { row, since: Instant::now() }
    }

    /// The test has just found what tells of it; `seen` is what, and where.
    pub fn told(&mut self, seen: &str) {
        seen.clone_into(&mut self.row.seen);
        self.row.told = Some(self.since.elapsed().as_secs_f64());
    }

    /// The same where it did not wait for that, but found it later.
    pub fn shows(&mut self, seen: &str) {
        seen.clone_into(&mut self.row.seen);
    }

    /// Somebody ends it, now. Mending is counted from here.
    pub fn lifted(&mut self) {
        self.since = Instant::now();
    }

    /// All is well again, by what `how` says.
    pub fn mended(self, how: &str) {
        let whole = self.since.elapsed();
        self.mended_after(whole, how);
    }

    /// The same where the timeline says how long it took.
    pub fn mended_after(mut self, whole: Duration, how: &str) {
        self.row.whole = Some(whole.as_secs_f64());
        self.ended(how);
    }

    /// Nothing was the worse for it, or the task ends: `how` says which.
    ///
    /// # Panics
    /// If the row cannot be kept, or docs/faults.md says something else.
    pub fn ended(mut self, how: &str) {
        how.clone_into(&mut self.row.mends);
        keep(&self.row);
        if std::env::var_os(ANEW).is_some() {
            return;
        }
        let text = std::fs::read_to_string(document()).unwrap_or_default();
        assert!(
            table::has(&text, &self.row),
            "docs/faults.md does not say what this test has seen; `make faults` writes it anew: {:#?}",
            self.row
        );
    }
}

/// The folder in which tests leave their rows.
fn folder() -> PathBuf {
    workspace::results("faults")
}

/// docs/faults.md.
pub(super) fn document() -> PathBuf {
    workspace::docs().join("faults.md")
}

fn keep(row: &Row) {
    let letter = |c: char| if c.is_ascii_alphanumeric() { c.to_ascii_lowercase() } else { '-' };
    let name: String = row.fault.chars().map(letter).collect();
    let text = serde_json::to_vec_pretty(row).expect("a row is JSON");
    std::fs::create_dir_all(folder()).expect("target can be written");
    std::fs::write(folder().join(format!("{name}.json")), text).expect("target can be written");
}

/// All rows that tests have left, in the table's order.
pub(super) fn all() -> anyhow::Result<Vec<Row>> {
    let mut rows = Vec::new();
    for entry in std::fs::read_dir(folder())? {
        let row: Row = serde_json::from_slice(&std::fs::read(entry?.path())?)?;
        rows.push(row);
    }
    rows.sort_by(|a, b| (a.kind, &a.test, &a.fault).cmp(&(b.kind, &b.test, &b.fault)));
    Ok(rows)
}
