//! The table: for a terminal of 80 columns, and as Markdown.

use std::fmt::Write as _;

use super::record::{Kind, Row};

/// For the terminal.
pub(super) fn lines(rows: &[Row]) -> Vec<String> {
    let mut lines = Vec::new();
    for kind in Kind::ALL {
        let of_kind: Vec<_> = rows.iter().filter(|row| row.kind == kind).collect();
        if of_kind.is_empty() {
            continue;
        }
        lines.push(format!("{:<62}{:>8}{:>10}", kind.title(), "seen", "mended"));
        for row in of_kind {
            let (told, whole) = (seconds(row.told), seconds(row.whole));
            lines.push(format!("  {:<60}{told:>8}{whole:>10}", row.fault));
        }
        lines.push(String::new());
    }
    lines
}

/// The document. `parts` names the programs.
pub(super) fn markdown(rows: &[Row], parts: &str) -> String {
    let mut out = String::new();
    let mut add = |line: &str| writeln!(out, "{line}").unwrap_or_default();
    for line in HEAD {
        add(line);
    }
    add("");
    add(&format!("Measured on {parts}."));
    for kind in Kind::ALL {
        let mut of_kind = rows.iter().filter(|row| row.kind == kind).peekable();
        if of_kind.peek().is_none() {
            continue;
        }
        add("");
        add(&format!("## {}", kind.title()));
        add("");
        add("| fault | what is seen | seen after | how it mends | mended after | test |");
        add("|---|---|--:|---|--:|---|");
        for row in of_kind {
            let (told, whole) = (seconds(row.told), seconds(row.whole));
            let Row { fault, seen, mends, test, .. } = row;
            add(&format!("| {fault} | {seen} | {told} | {mends} | {whole} | `{test}` |"));
        }
    }
    out
}

const HEAD: [&str; 9] = [
    "# Faults: what is seen, how it mends, how long it takes",
    "",
    "Made by `make faults`; do not edit. Each row was left by the test it names, which runs in `make test`: there it fails",
    "where this page says something else than what it saw. *Seen after* counts from the fault; *mended after* from there,",
    "too, or, where it ends by somebody else's doing (servers are back, a port is free), from that end. Where a task ends,",
    "its exit is what is seen, with the agent's leave of about 4 s before it. Times are of one run on two cores with other",
    "tests beside it, so they are upper ends. Some tests make a limit shorter or a backoff longer, and say so.",
    "",
    "While something is wrong, `taskmesh status` and `GET /v1/status` name it and since when; the log does once a minute.",
];

fn seconds(time: Option<f64>) -> String {
    match time {
        None => "-".to_owned(),
        Some(time) if time < 100.0 => format!("{time:.2} s"),
        Some(time) => format!("{time:.0} s"),
    }
}

/// Whether the document has this row, whatever its times are.
pub(super) fn has(document: &str, row: &Row) -> bool {
    document.lines().filter_map(cells).any(|[fault, seen, _, mends, _, test]| {
        fault == row.fault
            && seen == row.seen
            && mends == row.mends
            && test.trim_matches('`') == row.test
    })
}

/// The cells of a row of the document.
fn cells(line: &str) -> Option<[&str; 6]> {
    let inner = line.strip_prefix("| ")?.strip_suffix(" |")?;
    inner.split(" | ").collect::<Vec<_>>().try_into().ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::path::Path;

    fn row() -> Row {
        Row {
            kind: Kind::Servers,
            fault: "The servers hang".to_owned(),
            seen: "`consul servers` in the status".to_owned(),
            mends: "by itself".to_owned(),
            told: Some(1.234),
            whole: None,
            test: "outages::servers_that_hang".to_owned(),
        }
    }

    #[test]
    fn a_row_is_found_in_the_document_whatever_its_times_are() {
        let text = markdown(&[row()], "Consul 1.23.0, Envoy 1.40.0");
        assert!(text.contains("| 1.23 s | by itself | - |"), "{text}");
        assert!(has(&text, &Row { told: None, whole: Some(3.0), ..row() }));
        let other = || "other".to_owned();
        assert!(!has(&text, &Row { seen: other(), ..row() }));
        assert!(!has(&text, &Row { fault: other(), ..row() }));
        assert!(!has(&text, &Row { mends: other(), ..row() }));
        assert!(!has(&text, &Row { test: other(), ..row() }));
    }

    #[test]
    fn every_line_of_the_terminals_table_has_80_columns_or_fewer() {
        let lines = lines(&[Row { fault: "x".repeat(60), told: Some(1e4), ..row() }]);
        assert!(lines.iter().all(|line| line.chars().count() <= 80), "{lines:#?}");
    }

    /// A row whose test is gone would never be looked at again.
    #[test]
    fn the_published_rows_are_of_tests_that_there_are() {
        let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
        let text = std::fs::read_to_string(root.join("docs/faults.md")).expect("docs/faults.md");
        let rows: Vec<_> = text.lines().filter_map(cells).filter(|c| c[0] != "fault").collect();
        assert!(!rows.is_empty());
        let sources = sources(&root.join("tests"));
        for [fault, .., test] in rows {
            assert!(fault.chars().count() <= 60, "too long for a terminal: {fault}");
            let name = test.trim_matches('`').rsplit("::").next().expect("a name");
            assert!(sources.contains(&format!("fn {name}()")), "{fault}: there is no test {name}");
        }
    }

    fn sources(folder: &Path) -> String {
        let mut all = String::new();
        for entry in std::fs::read_dir(folder).expect("tests") {
            let path = entry.expect("entry").path();
            if path.is_dir() {
                all += &sources(&path);
            } else if path.extension().is_some_and(|e| e == "rs") {
                all += &std::fs::read_to_string(&path).expect("source");
            }
        }
        all
    }
}
