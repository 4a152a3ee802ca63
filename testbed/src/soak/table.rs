//! What is shown at the end, within 80 columns.

use super::dice::Deed;
use super::life::BOUND;
use super::play::Outcome;

/// The lines.
pub(super) fn lines(outcome: &Outcome) -> Vec<String> {
    let row = |name: &str, value: String| format!("  {name:<22}{value}");
    let mut lines = vec![
        row("seed", outcome.seed.to_string()),
        row("took", format!("{:.0} s", outcome.took.as_secs_f64())),
        row("tasks started", outcome.started.to_string()),
    ];
    for deed in Deed::ALL {
        lines.push(row(deed.name(), outcome.deeds.get(&deed).unwrap_or(&0).to_string()));
    }
    let codes = outcome.codes.iter().map(|(code, times)| format!("{code}: {times}"));
    lines.push(row("exit codes", codes.collect::<Vec<_>>().join(", ")));
    lines.push(row("recovered at the end", outcome.recovered.to_string()));
    let (grown, bound) = (outcome.grown, BOUND);
    for (name, grown, bound) in [
        ("memory, most more", format!("{} KiB", grown.anon), format!("{} KiB", bound.anon)),
        ("descriptors", grown.descriptors.to_string(), bound.descriptors.to_string()),
        ("threads", grown.threads.to_string(), bound.threads.to_string()),
    ] {
        lines.push(row(name, format!("+{grown} (bound {bound})")));
    }
    lines
        .push(row("requests", format!("{} answered, {} failed", outcome.answered, outcome.failed)));
    lines
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_line_fits_a_terminal_also_with_large_figures() {
        let mut outcome = Outcome { seed: u64::MAX, answered: u64::MAX, ..Outcome::default() };
        outcome.codes = [(0, 9999), (1, 9999), (3, 9999), (4, 9999), (137, 9999)].into();
        let lines = lines(&outcome);
        assert!(lines.iter().all(|line| line.chars().count() <= 80), "{lines:#?}");
        assert!(lines.iter().any(|line| line.contains("137: 9999")));
    }
}
