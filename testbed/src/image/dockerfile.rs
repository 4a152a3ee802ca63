//! The text of a `Dockerfile`, as far as ours uses the language.

use anyhow::{Context, Result, bail, ensure};
use std::collections::BTreeMap;

/// A `Dockerfile`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Dockerfile {
    /// `ARG`s before the first stage, with their defaults.
    pub args: BTreeMap<String, String>,
    /// The stages; without a target the last one is built.
    pub stages: Vec<Stage>,
}

/// One stage.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Stage {
    /// What stands behind `FROM`, with the arguments filled in.
    pub base: String,
    /// What stands behind `AS`.
    pub name: Option<String>,
    /// What comes after it.
    pub steps: Vec<Step>,
}

/// One instruction.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Step {
    /// Line in the file, from 1.
    pub line: usize,
    /// In capitals.
    pub keyword: String,
    /// `--name=value`, in order.
    pub flags: Vec<(String, String)>,
    /// What follows.
    pub rest: String,
}

impl Dockerfile {
    /// Reads it, with these build arguments over the defaults.
    ///
    /// # Errors
    /// What is not understood, with its line.
    pub fn parse(text: &str, build_args: &[(&str, &str)]) -> Result<Self> {
        let mut file = Self { args: BTreeMap::new(), stages: Vec::new() };
        for step in steps(text)? {
            let line = step.line;
            match (step.keyword.as_str(), file.stages.last_mut()) {
                ("FROM", _) => {
                    let rest = fill(&step.rest, &file.args);
                    let words: Vec<_> = rest.split_whitespace().collect();
                    let (base, name) = match words[..] {
                        [base] => (base, None),
                        [base, by, name] if by.eq_ignore_ascii_case("as") => (base, Some(name)),
                        _ => bail!("line {line}: FROM {rest}"),
                    };
                    let name = name.map(str::to_owned);
                    file.stages.push(Stage { base: base.to_owned(), name, steps: Vec::new() });
                }
                ("ARG", None) => {
                    let (name, value) = step.rest.split_once('=').unwrap_or((&step.rest, ""));
                    let given = build_args.iter().find(|(given, _)| *given == name);
                    let value = given.map_or(value, |(_, value)| value);
                    file.args.insert(name.to_owned(), value.to_owned());
                }
                (_, Some(stage)) => stage.steps.push(step),
                (keyword, None) => bail!("line {line}: {keyword} before the first FROM"),
            }
        }
        ensure!(!file.stages.is_empty(), "no FROM");
        Ok(file)
    }

    /// Where the stage of that name is, or the last one.
    ///
    /// # Errors
    /// If there is none.
    pub fn stage(&self, target: Option<&str>) -> Result<usize> {
        let found = match target {
            None => self.stages.len().checked_sub(1),
            Some(_) => self.stages.iter().position(|stage| stage.name.as_deref() == target),
        };
        found.with_context(|| format!("no stage {target:?}"))
    }
}

impl Step {
    /// The value of a flag.
    pub fn flag(&self, name: &str) -> Option<&str> {
        self.flags.iter().find(|(flag, _)| flag == name).map(|(_, value)| value.as_str())
    }

    /// `["a", "b"]`; `None` where it is in the shell's form.
    pub fn exec_form(&self) -> Option<Vec<String>> {
        serde_json::from_str(&self.rest).ok()
    }

    /// The words of either form.
    pub fn words(&self) -> Vec<String> {
        let split = || self.rest.split_whitespace().map(str::to_owned).collect();
        self.exec_form().unwrap_or_else(split)
    }
}

/// The instructions: lines that end in a backslash go on, comments and empty lines between are nothing.
fn steps(text: &str) -> Result<Vec<Step>> {
    let mut steps = Vec::new();
    let mut open: Option<(usize, String)> = None;
    for (number, line) in text.lines().enumerate() {
        let line = line.trim();
        if line.is_empty() || line.starts_with('#') {
            continue;
        }
        let (number, mut whole) = open.take().unwrap_or((number + 1, String::new()));
        match line.strip_suffix('\\') {
            Some(line) => {
                whole.push_str(line);
                open = Some((number, whole));
            }
            None => {
                whole.push_str(line);
                steps.push(step(number, &whole)?);
            }
        }
    }
    ensure!(open.is_none(), "the last line ends in a backslash");
    Ok(steps)
}

fn step(line: usize, text: &str) -> Result<Step> {
    let (keyword, mut rest) =
        text.split_once(char::is_whitespace).with_context(|| format!("line {line}: {text}"))?;
    ensure!(!text.contains("<<"), "line {line}: here-documents are not read");
    let mut flags = Vec::new();
    rest = rest.trim();
    while let Some(flag) = rest.strip_prefix("--") {
        let (flag, after) = flag.split_once(char::is_whitespace).unwrap_or((flag, ""));
        let (name, value) = flag.split_once('=').unwrap_or((flag, ""));
        flags.push((name.to_owned(), value.to_owned()));
        rest = after.trim();
    }
    Ok(Step { line, keyword: keyword.to_uppercase(), flags, rest: rest.to_owned() })
}

/// Replaces `$NAME` and `${NAME}`; what is not known becomes empty.
pub(super) fn fill(text: &str, values: &BTreeMap<String, String>) -> String {
    let mut parts = text.split('$');
    let mut filled = parts.next().unwrap_or_default().to_owned();
    for part in parts {
        let (name, rest) = match part.strip_prefix('{').and_then(|inner| inner.split_once('}')) {
            Some(pair) => pair,
            None => part.split_at(
                part.find(|c: char| !c.is_alphanumeric() && c != '_').unwrap_or(part.len()),
            ),
        };
        filled.push_str(values.get(name).map_or("", String::as_str));
        filled.push_str(rest);
    }
    filled
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEXT: &str = "ARG BASE=alpine:3\n# why\nFROM ${BASE} AS one\nRUN a && \\\n  # aside\n  b\n\
        COPY --from=x --chown=1:2 /a /b\nFROM scratch\nCMD [\"run\"]\n";

    #[test]
    fn stages_steps_and_arguments_are_read() {
        let file = Dockerfile::parse(TEXT, &[]).expect("read");
        let [one, last] = &file.stages[..] else { panic!("{file:?}") };
        assert_eq!((one.base.as_str(), one.name.as_deref()), ("alpine:3", Some("one")));
        assert_eq!((one.steps[0].rest.as_str(), one.steps[0].line), ("a && b", 4));
        assert_eq!(one.steps[1].flag("chown"), Some("1:2"));
        assert_eq!(one.steps[1].words(), ["/a", "/b"]);
        assert_eq!(last.steps[0].exec_form(), Some(vec!["run".to_owned()]));
        assert_eq!(&file.stages[file.stage(None).expect("last")], last);
        assert_eq!(&file.stages[file.stage(Some("one")).expect("one")], one);
        let given = Dockerfile::parse(TEXT, &[("BASE", "b@sha256:1")]).expect("read");
        assert_eq!(given.stages[0].base, "b@sha256:1");
    }

    #[test]
    fn what_is_not_understood_is_an_error() {
        for text in ["", "RUN x", "FROM a b", "FROM a\nRUN \\", "FROM a\nRUN cat <<EOF"] {
            assert!(Dockerfile::parse(text, &[]).is_err(), "{text}");
        }
    }
}
