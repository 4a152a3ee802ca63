//! Keeps a log line that repeats itself from flooding the log, and counts what is not said.

use std::time::Duration;
use tokio::time::Instant;

/// What stays as it is, or comes back with the same words, is said again so rarely.
const REMINDER: Duration = Duration::from_secs(60);
/// Not even what changes is said more often.
const LEAST: Duration = Duration::from_secs(1);

/// What was said last, and how it went on.
#[derive(Debug, Default)]
pub(crate) struct Said {
    last: Option<(String, Instant)>,
    /// Since then.
    unsaid: u64,
    /// When the trouble that lasts now began, and whether anybody was told of it.
    since: Option<Instant>,
    told: bool,
}

impl Said {
    /// It happens (again). Whether to say it now: with how often it has happened unsaid since the last time.
    pub(crate) fn news(&mut self, words: &str) -> Option<u64> {
        let (now, words) = (Instant::now(), lasting(words));
        self.since.get_or_insert(now);
        let news = self.last.as_ref().is_none_or(|(last, at)| {
            let ago = now.duration_since(*at);
            ago >= REMINDER || (*last != words && ago >= LEAST)
        });
        if !news {
            self.unsaid += 1;
            return None;
        }
        self.last = Some((words, now));
        self.told = true;
        Some(std::mem::take(&mut self.unsaid))
    }

    /// It is over. For how long it was so, if anybody was told that it is.
    pub(crate) fn over(&mut self) -> Option<Duration> {
        let since = self.since.take()?;
        std::mem::take(&mut self.told).then(|| since.elapsed())
    }
}

/// The words without what differs each time: the UUID in the name of a temporary file that Consul cannot write.
fn lasting(words: &str) -> String {
    const UUID: usize = 36;
    let part_of_one = |c: char| c.is_ascii_hexdigit() || c == '-';
    let mut lasting = String::with_capacity(words.len());
    let mut rest = words;
    while let Some(at) = rest.find(part_of_one) {
        let (before, from) = rest.split_at(at);
        let (run, after) = from.split_at(from.find(|c| !part_of_one(c)).unwrap_or(from.len()));
        lasting.push_str(before);
        lasting.push_str(if run.len() < UUID { run } else { "*" });
        rest = after;
    }
    lasting + rest
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_name_of_a_temporary_file_makes_no_new_sentence() {
        let words = |uuid| format!("status 500: open /a/ba233a72-{uuid}.tmp: no space left");
        let first = lasting(&words("f330da36-81e3-1211-b3e6-e2e25bc54524"));
        assert_eq!(first, "status 500: open /a/*.tmp: no space left");
        assert_eq!(first, lasting(&words("dcb08e1d-dcd6-7d22-2cf2-03bb1a73164a")));
        assert_eq!(lasting("status 403: cafe-7"), "status 403: cafe-7");
    }

    #[tokio::test(start_paused = true)]
    async fn a_sentence_is_said_once_a_minute_and_another_one_after_a_second() {
        let mut said = Said::default();
        assert_eq!(said.news("a"), Some(0));
        assert_eq!(said.news("b"), None, "two that alternate must not flood the log");
        tokio::time::advance(LEAST).await;
        assert_eq!(said.news("a"), None);
        assert_eq!(said.news("b"), Some(2));
        tokio::time::advance(REMINDER).await;
        assert_eq!(said.news("b"), Some(0));
    }

    #[tokio::test(start_paused = true)]
    async fn what_comes_and_goes_is_told_with_its_end_once_a_minute() {
        let mut said = Said::default();
        assert_eq!(said.over(), None);
        let mut lines = Vec::new();
        for _ in 0..600 {
            lines.extend(said.news("away"));
            tokio::time::advance(Duration::from_millis(200)).await;
            if let Some(lasted) = said.over() {
                assert_eq!(lasted, Duration::from_millis(200));
                lines.push(1000);
            }
        }
        assert_eq!(lines, [0, 1000, 299, 1000]);
    }
}
