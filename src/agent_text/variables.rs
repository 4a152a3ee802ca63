//! Variables in `consul.extraConfig`.
//!
//! consul-ecs 0.4.3's Terraform module put the text through an unquoted here-document of a shell. What its users rely
//! on is kept: `$NAME`, `${NAME}`, and the backslash that takes a dollar's or a backtick's meaning away
//! (<https://pubs.opengroup.org/onlinepubs/9799919799/utilities/V3_chap02.html#tag_19_07_04>). Nothing else of a
//! shell is: no commands, no arithmetic, no defaults. What stays as it is besides: `$$`, which HCL has for a literal
//! `${`, and a doubled backslash, which is one in a JSON or HCL string, where a shell would have halved it.

/// A piece of the text.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Piece<'a> {
    /// Stays as it is.
    Text(&'a str),
    /// A variable's name.
    Variable(&'a str),
    /// Stays as it is too; a shell would have done something with it.
    Shell(&'a str),
}

/// The pieces of a text, in order.
pub(crate) fn pieces(text: &str) -> Vec<Piece<'_>> {
    let mut pieces = Vec::new();
    let mut rest = text;
    while let Some(at) = rest.find(['$', '`', '\\']) {
        if at > 0 {
            pieces.push(Piece::Text(&rest[..at]));
        }
        let (piece, length) = special(&rest[at..]);
        pieces.push(piece);
        rest = &rest[at + length..];
    }
    if !rest.is_empty() {
        pieces.push(Piece::Text(rest));
    }
    pieces
}

/// What a text that begins with a dollar sign, a backtick or a backslash begins with, and how long that is.
fn special(text: &str) -> (Piece<'_>, usize) {
    let after = &text[1..];
    match text.as_bytes()[0] {
        b'`' => (Piece::Shell(&text[..1]), 1),
        b'\\' => match after.as_bytes().first() {
            Some(b'$' | b'`') => (Piece::Text(&after[..1]), 2),
            Some(b'\\') => (Piece::Text(&text[..2]), 2),
            _ => (Piece::Text(&text[..1]), 1),
        },
        _ => match after.as_bytes().first() {
            Some(b'$') => (Piece::Text(&text[..2]), 2),
            Some(b'(') => (Piece::Shell(&text[..2]), 2),
            Some(b'{') => braced(text),
            _ => match name(after) {
                "" => (Piece::Text(&text[..1]), 1),
                name => (Piece::Variable(name), 1 + name.len()),
            },
        },
    }
}

/// The same for a text that begins with `${`.
fn braced(text: &str) -> (Piece<'_>, usize) {
    let name = name(&text[2..]);
    let (until, after) = text.split_at(2 + name.len());
    match after.as_bytes().first() {
        Some(b'}') if !name.is_empty() => (Piece::Variable(name), until.len() + 1),
        // `${NAME:-default}` and its like. HCL has no such thing.
        Some(b':' | b'-' | b'=' | b'?' | b'+' | b'%' | b'#') if !name.is_empty() => {
            (Piece::Shell(until), until.len())
        }
        _ => (Piece::Text(&text[..2]), 2),
    }
}

/// The name that a text begins with, perhaps none.
fn name(text: &str) -> &str {
    let is_part = |c: char| c.is_ascii_alphanumeric() || c == '_';
    let name = &text[..text.find(|c| !is_part(c)).unwrap_or(text.len())];
    if name.starts_with(|c: char| c.is_ascii_digit()) { "" } else { name }
}

#[cfg(test)]
mod tests {
    use super::Piece::{Shell, Text, Variable};
    use super::*;

    #[test]
    fn what_a_text_is_made_of() {
        let table: &[(&str, &[Piece<'_>])] = &[
            ("", &[]),
            ("plain", &[Text("plain")]),
            ("$A", &[Variable("A")]),
            ("${A}", &[Variable("A")]),
            ("\"$A_1\"", &[Text("\""), Variable("A_1"), Text("\"")]),
            ("$A$B", &[Variable("A"), Variable("B")]),
            ("$A-b", &[Variable("A"), Text("-b")]),
            ("${A}b", &[Variable("A"), Text("b")]),
            // A character beyond ASCII ends a name, and nothing is cut in the middle of one.
            ("é$Aé${B}é", &[Text("é"), Variable("A"), Text("é"), Variable("B"), Text("é")]),
            // Not names: left to HCL and to Consul.
            ("${node.id}", &[Text("${"), Text("node.id}")]),
            ("${ A }", &[Text("${"), Text(" A }")]),
            ("${}", &[Text("${"), Text("}")]),
            ("${A", &[Text("${"), Text("A")]),
            (
                "$1 $? $ $",
                &[Text("$"), Text("1 "), Text("$"), Text("? "), Text("$"), Text(" "), Text("$")],
            ),
            ("{{ GetInterfaceIP \"eth0\" }}", &[Text("{{ GetInterfaceIP \"eth0\" }}")]),
            // Literal dollars.
            (r"\$A", &[Text("$"), Text("A")]),
            (r"\`", &[Text("`")]),
            (r"\\$A", &[Text(r"\\"), Variable("A")]),
            (r#"\"$A\""#, &[Text(r"\"), Text("\""), Variable("A"), Text(r"\"), Text("\"")]),
            ("\\", &[Text("\\")]),
            ("$${A}", &[Text("$$"), Text("{A}")]),
            ("$$A", &[Text("$$"), Text("A")]),
            // For a shell, and there is none.
            ("$(date)", &[Shell("$("), Text("date)")]),
            ("`id`", &[Shell("`"), Text("id"), Shell("`")]),
            ("${A:-b}", &[Shell("${A"), Text(":-b}")]),
            ("${A%x}", &[Shell("${A"), Text("%x}")]),
        ];
        for (text, expected) in table {
            assert_eq!(pieces(text), *expected, "{text}");
        }
    }
}
