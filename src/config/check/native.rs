//! Native Consul checks: what the agent would refuse only when the service is registered.

use super::Rules;
use crate::config::model::Config;
use crate::config::path::Path;

pub(super) fn check(config: &Config, rules: &mut Rules<'_>) {
    let checks = Path::of("service.checks");
    for (i, check) in config.service.checks.iter().enumerate() {
        let path = checks.index(i);
        if let Some(word) = &check.status
            && !["passing", "warning", "critical", "maintenance"].contains(&word.as_str())
        {
            let expected = r#"must be "passing", "warning", "critical" or "maintenance""#;
            rules.error([&path.key("status")], format!("{expected}, not {word:?}"));
        }
        for (key, text) in
            [("interval", &check.interval), ("timeout", &check.timeout), ("ttl", &check.ttl)]
        {
            if let Some(text) = text
                && !is_go_duration(text)
            {
                let message = format!(
                    "Consul does not take {text:?} for a duration; write \"10s\", \"1m30s\""
                );
                rules.error([&path.key(key)], message);
            }
        }
    }
}

/// Whether Go's `time.ParseDuration` takes a text that is not negative: numbers with units, nothing between them.
fn is_go_duration(text: &str) -> bool {
    let mut rest = text.strip_prefix('+').unwrap_or(text);
    if rest == "0" {
        return true;
    }
    let mut any = false;
    while !rest.is_empty() {
        let digits = rest.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(rest.len());
        let (number, after) = rest.split_at(digits);
        let units = after.find(|c: char| c.is_ascii_digit() || c == '.').unwrap_or(after.len());
        let (unit, next) = after.split_at(units);
        let is_number =
            number.chars().any(|c| c.is_ascii_digit()) && number.matches('.').count() <= 1;
        if !is_number || !["ns", "us", "µs", "μs", "ms", "s", "m", "h"].contains(&unit) {
            return false;
        }
        any = true;
        rest = next;
    }
    any
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_are_judged_as_go_judges_them() {
        for good in ["10s", "1m30s", "1.5h", "100000h", "500ms", "0", "3us", ".5s"] {
            assert!(is_go_duration(good), "{good}");
        }
        for bad in ["", "10", "10 s", "1m 30s", "-1s", "s", "1.2.3s", "1d", ".s", "soon"] {
            assert!(!is_go_duration(bad), "{bad}");
        }
    }
}
