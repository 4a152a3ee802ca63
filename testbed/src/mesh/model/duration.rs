//! Durations as Go writes them.

use std::time::Duration;

use serde::{Deserialize, Serialize};

/// Parses a Go duration such as `10s`, `1m30s`, `100000h`, `500ms`; a bare number is nanoseconds.
pub(crate) fn duration(text: &str) -> Option<Duration> {
    if let Ok(nanos) = text.parse::<u64>() {
        return Some(Duration::from_nanos(nanos));
    }
    let (mut rest, mut total) = (text, 0.0_f64);
    while !rest.is_empty() {
        let digits = rest.find(|c: char| !c.is_ascii_digit() && c != '.')?;
        let number: f64 = rest[..digits].parse().ok()?;
        rest = &rest[digits..];
        let end = rest.find(|c: char| c.is_ascii_digit()).unwrap_or(rest.len());
        total += number
            * match &rest[..end] {
                "ns" => 1e-9,
                "us" | "µs" => 1e-6,
                "ms" => 1e-3,
                "s" => 1.0,
                "m" => 60.0,
                "h" => 3600.0,
                _ => return None,
            };
        rest = &rest[end..];
    }
    Duration::try_from_secs_f64(total).ok()
}

/// A duration in a body: Go accepts a string or a number of nanoseconds.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(untagged)]
pub(crate) enum GoDuration {
    /// Absent.
    #[default]
    None,
    /// `"10s"`.
    Text(String),
    /// Nanoseconds.
    Nanos(u64),
}

impl GoDuration {
    /// Zero when absent or empty.
    pub(crate) fn get(&self) -> Result<Duration, String> {
        match self {
            Self::None => Ok(Duration::ZERO),
            Self::Nanos(n) => Ok(Duration::from_nanos(*n)),
            Self::Text(t) if t.is_empty() => Ok(Duration::ZERO),
            Self::Text(t) => duration(t)
                .ok_or_else(|| format!("Request decode failed: time: invalid duration \"{t}\"")),
        }
    }

    pub(crate) fn show(&self) -> String {
        match self {
            Self::Text(t) => t.clone(),
            Self::None => String::new(),
            Self::Nanos(n) => format!("{}s", *n as f64 / 1e9),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn go_durations() {
        assert_eq!(duration("1m30s"), Some(Duration::from_secs(90)));
        assert_eq!(duration("500ms"), Some(Duration::from_millis(500)));
        assert_eq!(duration("100000h"), Some(Duration::from_secs(360_000_000)));
        assert_eq!(duration("5"), Some(Duration::from_nanos(5)));
        assert_eq!(duration("5 s"), None);
    }
}
