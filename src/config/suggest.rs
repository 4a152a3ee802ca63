//! The nearest known word to an unknown one.

/// The candidate nearest to `word`, if one is near enough to be meant: case, dashes and underscores do not count,
/// and at most a third of the letters may differ.
pub(crate) fn nearest<'a>(
    word: &str,
    candidates: impl Iterator<Item = &'a str>,
) -> Option<&'a str> {
    let word = plain(word);
    candidates
        .map(|candidate| (distance(&word, &plain(candidate)), candidate))
        .filter(|(distance, candidate)| *distance <= (word.len().max(candidate.len()) / 3).max(1))
        .min()
        .map(|(_, candidate)| candidate)
}

fn plain(word: &str) -> Vec<char> {
    // A key of a megabyte must not cost a table of its square: nothing that long is a typing error.
    word.chars().filter(|c| !matches!(c, '_' | '-')).flat_map(char::to_lowercase).take(64).collect()
}

/// Edits (insert, delete, replace, swap neighbours) between two words: optimal string alignment.
fn distance(a: &[char], b: &[char]) -> usize {
    let mut before: Vec<usize> = Vec::new();
    let mut last: Vec<usize> = (0..=b.len()).collect();
    for i in 0..a.len() {
        let mut row = vec![i + 1];
        for j in 0..b.len() {
            let mut cost =
                (last[j] + usize::from(a[i] != b[j])).min(last[j + 1] + 1).min(row[j] + 1);
            if i > 0 && j > 0 && a[i] == b[j - 1] && a[i - 1] == b[j] {
                cost = cost.min(before[j - 1] + 1);
            }
            row.push(cost);
        }
        before = std::mem::replace(&mut last, row);
    }
    last[b.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    const KEYS: [&str; 6] =
        ["retryJoin", "httpPort", "grpcPort", "stopTimeout", "startTimeout", "ttl"];

    fn suggestion(word: &str) -> Option<&'static str> {
        nearest(word, KEYS.into_iter())
    }

    #[test]
    fn a_slip_of_the_finger_finds_its_key() {
        assert_eq!(suggestion("retryJion"), Some("retryJoin"));
        assert_eq!(suggestion("httPort"), Some("httpPort"));
        assert_eq!(suggestion("stoptimout"), Some("stopTimeout"));
        assert_eq!(suggestion("tll"), Some("ttl"));
    }

    #[test]
    fn another_spelling_convention_finds_its_key() {
        assert_eq!(suggestion("retry_join"), Some("retryJoin"));
        assert_eq!(suggestion("retry-join"), Some("retryJoin"));
        assert_eq!(suggestion("RetryJoin"), Some("retryJoin"));
    }

    #[test]
    fn a_different_word_finds_none() {
        assert_eq!(suggestion("banana"), None);
        assert_eq!(suggestion(""), None);
    }
}
