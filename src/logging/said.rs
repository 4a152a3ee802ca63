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
        let now = Instant::now();
        self.since.get_or_insert(now);
        let news = self.last.as_ref().is_none_or(|(last, at)| {
            let ago = now.duration_since(*at);
            ago >= REMINDER || (last != words && ago >= LEAST)
        });
        if !news {
            self.unsaid += 1;
            return None;
        }
        self.last = Some((words.to_owned(), now));
        self.told = true;
        Some(std::mem::take(&mut self.unsaid))
    }

    /// It is over. For how long it was so, if anybody was told that it is.
    pub(crate) fn over(&mut self) -> Option<Duration> {
        let since = self.since.take()?;
        std::mem::take(&mut self.told).then(|| since.elapsed())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

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
