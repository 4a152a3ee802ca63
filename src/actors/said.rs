//! Keeps a log line that repeats itself from flooding the log.

use std::time::Duration;
use tokio::time::Instant;

/// What stays as it is is said again so rarely.
const REMINDER: Duration = Duration::from_secs(60);
/// Not even what changes is said more often.
const LEAST: Duration = Duration::from_secs(1);

/// What was said last, and when.
#[derive(Debug, Default)]
pub(super) struct Said(Option<(String, Instant)>);

impl Said {
    /// Whether to say it now.
    pub(super) fn is_news(&mut self, words: &str) -> bool {
        let now = Instant::now();
        let news = self.0.as_ref().is_none_or(|(last, at)| {
            let ago = now.duration_since(*at);
            ago >= REMINDER || (last != words && ago >= LEAST)
        });
        if news {
            self.0 = Some((words.to_owned(), now));
        }
        news
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_sentence_is_said_once_a_minute_and_another_one_after_a_second() {
        let mut said = Said::default();
        assert!(said.is_news("a"));
        assert!(!said.is_news("b"), "two that alternate must not flood the log");
        tokio::time::advance(LEAST).await;
        assert!(!said.is_news("a"));
        assert!(said.is_news("b"));
        tokio::time::advance(REMINDER).await;
        assert!(said.is_news("b"));
    }
}
