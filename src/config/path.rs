//! Where in a document something is: `proxy.upstreams[0].localBindPort`.

use std::fmt::{self, Display, Formatter};

/// One step down into a document.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
enum Step {
    Index(usize),
    Key(String),
}

/// Steps from the root. `Ord` is the order in which errors are listed.
#[derive(Debug, Clone, Default, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Path(Vec<Step>);

impl Path {
    /// The path of plain keys, written with dots.
    pub(super) fn of(dotted: &str) -> Self {
        Self(dotted.split('.').map(|key| Step::Key(key.to_owned())).collect())
    }

    pub(super) fn key(&self, key: &str) -> Self {
        self.then(Step::Key(key.to_owned()))
    }

    pub(super) fn index(&self, index: usize) -> Self {
        self.then(Step::Index(index))
    }

    fn then(&self, step: Step) -> Self {
        let mut steps = self.0.clone();
        steps.push(step);
        Self(steps)
    }

    /// Whether one of the two contains the other (or they are the same).
    pub(super) fn overlaps(&self, other: &Self) -> bool {
        self.0.iter().zip(&other.0).all(|(a, b)| a == b)
    }

    pub(super) fn is_within(&self, other: &Self) -> bool {
        self.0.starts_with(&other.0)
    }

    /// The keys up to the first array: what can be taken out of a document without shifting anything else.
    pub(super) fn keys_before_array(&self) -> impl Iterator<Item = &str> {
        self.0.iter().map_while(|step| match step {
            Step::Key(key) => Some(key.as_str()),
            Step::Index(_) => None,
        })
    }

    /// This path with a beginning that equals `from` replaced by `to`.
    pub(super) fn moved(&self, from: &Self, to: &Self) -> Self {
        match self.0.strip_prefix(from.0.as_slice()) {
            Some(rest) => Self(to.0.iter().chain(rest).cloned().collect()),
            None => self.clone(),
        }
    }
}

impl Display for Path {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        if self.0.is_empty() {
            return f.write_str("(document)");
        }
        for (depth, step) in self.0.iter().enumerate() {
            match step {
                Step::Index(index) => write!(f, "[{index}]")?,
                Step::Key(key) if is_plain(key) && depth > 0 => write!(f, ".{key}")?,
                Step::Key(key) if is_plain(key) => f.write_str(key)?,
                Step::Key(key) => write!(f, "[{key:?}]")?,
            }
        }
        Ok(())
    }
}

fn is_plain(key: &str) -> bool {
    !key.is_empty()
        && key.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '_' | '-' | '$'))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_reads_as_a_user_would_write_it() {
        let path = Path::of("proxy.upstreams").index(0).key("localBindPort");
        assert_eq!(path.to_string(), "proxy.upstreams[0].localBindPort");
        assert_eq!(Path::of("service.meta").key("a b").to_string(), "service.meta[\"a b\"]");
        assert_eq!(Path::default().key("").to_string(), "[\"\"]");
        assert_eq!(Path::default().to_string(), "(document)");
    }

    #[test]
    fn the_tenth_element_is_listed_after_the_second() {
        let upstreams = Path::of("proxy.upstreams");
        assert!(upstreams.index(2) < upstreams.index(10));
    }
}
