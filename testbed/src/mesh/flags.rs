//! Command lines as Go's `flag` package reads them: `-name value`, `-name=value`, `--name`.

/// What was given: flags in order, then the rest.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Flags {
    given: Vec<(String, String)>,
}

impl Flags {
    /// Parses; `switches` take no separate value, `values` do, anything else is an error.
    pub(crate) fn parse(
        arguments: &[String],
        switches: &[&str],
        values: &[&str],
    ) -> Result<Self, String> {
        let mut given = Vec::new();
        let mut arguments = arguments.iter();
        while let Some(argument) = arguments.next() {
            let bare = argument.strip_prefix("--").or_else(|| argument.strip_prefix('-'));
            let Some(bare) = bare.filter(|b| !b.is_empty()) else {
                return Err(format!("unexpected argument: {argument}"));
            };
            let (name, value) = match bare.split_once('=') {
                Some((name, value)) => (name, Some(value.to_owned())),
                None => (bare, None),
            };
            let value = if switches.contains(&name) {
                value.unwrap_or_else(|| "true".into())
            } else if values.contains(&name) {
                match value.or_else(|| arguments.next().cloned()) {
                    Some(value) => value,
                    None => return Err(format!("flag needs an argument: -{name}")),
                }
            } else {
                return Err(format!("flag provided but not defined: -{name}"));
            };
            given.push((name.to_owned(), value));
        }
        Ok(Self { given })
    }

    /// The last value of a flag.
    pub(crate) fn get(&self, name: &str) -> Option<&str> {
        self.given.iter().rev().find(|(n, _)| n == name).map(|(_, v)| v.as_str())
    }

    /// Whether a switch is on.
    pub(crate) fn on(&self, name: &str) -> bool {
        self.get(name).is_some_and(|v| v == "true" || v == "1")
    }

    /// All flags in the order given.
    pub(crate) fn iter(&self) -> impl Iterator<Item = (&str, &str)> {
        self.given.iter().map(|(n, v)| (n.as_str(), v.as_str()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn go_style_flags() {
        let args: Vec<String> =
            ["-a", "1", "--a=2", "-s", "-b=x=y"].iter().map(|s| (*s).to_owned()).collect();
        let flags = Flags::parse(&args, &["s"], &["a", "b"]).unwrap();
        assert_eq!((flags.get("a"), flags.get("b"), flags.on("s")), (Some("2"), Some("x=y"), true));
        assert!(Flags::parse(&args, &[], &["a"]).is_err());
    }
}
