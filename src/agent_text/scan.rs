//! Keys and values in HCL or JSON text.
//!
//! One scanner for both: a JSON object is read as HCL's with colons. Text that is neither gives something, never an
//! error: what is found is for warnings and for hiding secrets, and when in doubt more is hidden.

use std::ops::Range;

/// A value that is no object and no list.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Found<'a> {
    /// The keys that lead to it, block labels included.
    pub(super) path: Vec<&'a str>,
    /// Where it stands.
    pub(super) span: Range<usize>,
    /// No number, no truth value, no null.
    pub(super) is_text: bool,
}

/// What was found in a text.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Scan<'a> {
    pub(super) values: Vec<Found<'a>>,
    pub(super) comments: Vec<Range<usize>>,
}

/// The keys under which values stand, each as a path with dots: `ports.http`.
pub(crate) fn keys(text: &str) -> Vec<String> {
    scan(text).values.iter().map(|value| value.path.join(".")).collect()
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Word,
    Quoted,
    Heredoc,
    Punctuation(u8),
    Comment,
}

pub(super) fn scan(text: &str) -> Scan<'_> {
    let mut out = Scan::default();
    // Of each open bracket: what is in it, and its keys.
    let mut open: Vec<(bool, Vec<&str>)> = Vec::new();
    let mut heads: Vec<&str> = Vec::new();
    let mut wants_value = false;
    let mut at = 0;
    // As Consul is told what it is: by the file's name, which is chosen by this.
    let is_hcl = !text.trim_start().starts_with('{');
    while let Some((kind, span)) = next(text, at, is_hcl) {
        at = span.end;
        let in_list = open.last().is_some_and(|(list, _)| *list);
        match kind {
            Kind::Comment => out.comments.push(span),
            Kind::Punctuation(bracket @ (b'{' | b'[')) => {
                open.push((bracket == b'[', std::mem::take(&mut heads)));
                wants_value = false;
            }
            Kind::Punctuation(b'}' | b']') => {
                open.pop();
                heads.clear();
                wants_value = false;
            }
            Kind::Punctuation(b',') => heads.clear(),
            Kind::Punctuation(_) => wants_value = true,
            Kind::Word | Kind::Quoted if !wants_value && !in_list => {
                heads.push(text[span].trim_matches('"'));
            }
            Kind::Word | Kind::Quoted | Kind::Heredoc => {
                let keys = open.iter().flat_map(|(_, keys)| keys).chain(&heads);
                let path = keys.copied().collect();
                let is_text = kind != Kind::Word || !is_literal(&text[span.clone()]);
                out.values.push(Found { path, span, is_text });
                heads.clear();
                wants_value = false;
            }
        }
    }
    out
}

fn is_literal(word: &str) -> bool {
    matches!(word, "true" | "false" | "null") || word.parse::<f64>().is_ok()
}

/// The first token at or after `from`.
fn next(text: &str, from: usize, is_hcl: bool) -> Option<(Kind, Range<usize>)> {
    let skipped = text[from..].find(|c: char| !c.is_whitespace())?;
    let start = from + skipped;
    let rest = &text[start..];
    let line = rest.find('\n').unwrap_or(rest.len());
    let (kind, length) = match rest.as_bytes()[0] {
        b'"' => (Kind::Quoted, quoted(rest, &rest[..line], is_hcl)),
        b'#' => (Kind::Comment, line),
        b'/' if rest.starts_with("//") => (Kind::Comment, line),
        b'/' if rest.starts_with("/*") => {
            (Kind::Comment, rest.find("*/").map_or(rest.len(), |end| end + 2))
        }
        b'<' if rest.starts_with("<<") => (Kind::Heredoc, heredoc(rest, line)),
        byte @ (b'{' | b'}' | b'[' | b']' | b'=' | b':' | b',') => (Kind::Punctuation(byte), 1),
        _ => {
            let ends = |c: char| c.is_whitespace() || "{}[]=:,\"#".contains(c);
            // At least one character, whatever it is.
            let first = rest.chars().next().map_or(1, char::len_utf8);
            let more = rest[first..].find(ends).unwrap_or(rest.len() - first);
            (Kind::Word, first + more)
        }
    };
    Some((kind, start..start + length))
}

/// The length of the string that `rest` begins with. HCL lets `${ }` hold quotes of its own; where that does not come
/// out even within the line, the first quote ends the string.
fn quoted(rest: &str, line: &str, is_hcl: bool) -> usize {
    let nested = is_hcl.then(|| end_of_quoted(line, true)).flatten();
    nested.or_else(|| end_of_quoted(rest, false)).unwrap_or(rest.len())
}

fn end_of_quoted(text: &str, nested: bool) -> Option<usize> {
    let bytes = text.as_bytes();
    let mut depth = 0_usize;
    let mut at = 1;
    while at < bytes.len() {
        match bytes[at] {
            b'\\' => at += 1,
            b'$' if nested && bytes.get(at + 1) == Some(&b'{') => {
                depth += 1;
                at += 1;
            }
            b'{' if depth > 0 => depth += 1,
            b'}' if depth > 0 => depth -= 1,
            b'"' if depth == 0 => return Some(at + 1),
            _ => {}
        }
        at += 1;
    }
    None
}

/// The length of the here-document that `rest` begins with; to the end of the text if nothing ends it.
fn heredoc(rest: &str, first_line: usize) -> usize {
    let marker = rest[2..first_line].trim_start_matches('-').trim();
    let mut end = first_line;
    while end < rest.len() {
        let from = end + 1;
        end = rest[from..].find('\n').map_or(rest.len(), |length| from + length);
        if rest[from..end].trim() == marker {
            return end;
        }
    }
    rest.len()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(text: &str) -> Vec<(String, &str)> {
        let values = scan(text).values.into_iter();
        values.map(|value| (value.path.join("."), &text[value.span])).collect()
    }

    fn pair<'a>(key: &str, value: &'a str) -> (String, &'a str) {
        (key.to_owned(), value)
    }

    #[test]
    fn hcl_in_every_form() {
        let text = r#"
            # a comment = "x"
            log_level = "debug"   // "y"
            ports { http = 8501 grpc = -1 }
            "acl" = { tokens = { agent = "a", "default" = "b" } }
            /* encrypt = "z" */
            service "web" { port = 80
              tags = ["x", "y${f("q")}"] }
            ca = <<-EOF
              one = "1"
              EOF
            last = true"#;
        assert_eq!(
            found(text),
            [
                pair("log_level", "\"debug\""),
                pair("ports.http", "8501"),
                pair("ports.grpc", "-1"),
                pair("acl.tokens.agent", "\"a\""),
                pair("acl.tokens.default", "\"b\""),
                pair("service.web.port", "80"),
                pair("service.web.tags", "\"x\""),
                pair("service.web.tags", r#""y${f("q")}""#),
                pair("ca", "<<-EOF\n              one = \"1\"\n              EOF"),
                pair("last", "true"),
            ]
        );
        let comments = scan(text).comments.into_iter().map(|span| &text[span]).collect::<Vec<_>>();
        assert_eq!(comments, ["# a comment = \"x\"", "// \"y\"", "/* encrypt = \"z\" */"]);
    }

    #[test]
    fn json_whatever_its_layout() {
        let text = "{\"a\":{\"b\":1,\"c\"\n:\n\"x\\\"y\"},\"d\":[{\"e\":\"${\"},{\"e\":null}],\"f\":\"}\"}";
        assert_eq!(
            found(text),
            [
                pair("a.b", "1"),
                pair("a.c", "\"x\\\"y\""),
                pair("d.e", "\"${\""),
                pair("d.e", "null"),
                pair("f", "\"}\""),
            ]
        );
        let value: serde_json::Value = serde_json::from_str(text).unwrap();
        let again = serde_json::to_string_pretty(&value).unwrap();
        assert_eq!(keys(&again), ["a.b", "a.c", "d.e", "d.e", "f"]);
    }

    proptest::proptest! {
        #[test]
        fn no_text_is_too_strange(text in r#"([a-z="{}\[\]:,#/*<\\$\n é-]|<<E|\$\{){0,60}"#) {
            let scan = scan(&text);
            for span in scan.values.iter().map(|value| &value.span).chain(&scan.comments) {
                proptest::prop_assert!(text.get(span.clone()).is_some());
            }
        }
    }
}
