//! JSON text to a value, with what `serde_json` is silent about: a key that stands twice in one object.

use super::error::Finding;
use super::path::Path;
use serde::de::{DeserializeSeed, Deserializer, MapAccess, SeqAccess, Visitor};
use serde_json::{Map, Value};
use std::fmt;

/// A key that stands twice in the same object.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Twice {
    pub(super) path: Path,
    /// One of the two values is an object, so "the last one counts" is not how every reader sees it.
    pub(super) object: bool,
}

impl From<Twice> for Finding {
    fn from(twice: Twice) -> Self {
        Self::new(twice.path, "stands twice in the same object")
    }
}

/// A document, and the keys that stand twice in it (the last one counts, as in `serde_json`).
pub(super) fn parse(text: &str) -> Result<(Value, Vec<Twice>), serde_json::Error> {
    let mut twice = Vec::new();
    let mut reader = serde_json::Deserializer::from_str(text);
    let value = Node { path: Path::default(), twice: &mut twice }.deserialize(&mut reader)?;
    reader.end()?;
    Ok((value, twice))
}

struct Node<'a> {
    path: Path,
    twice: &'a mut Vec<Twice>,
}

impl<'de> DeserializeSeed<'de> for Node<'_> {
    type Value = Value;
    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Value, D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Node<'_> {
    type Value = Value;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a JSON value")
    }
    fn visit_unit<E>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }
    fn visit_bool<E>(self, v: bool) -> Result<Value, E> {
        Ok(v.into())
    }
    fn visit_i64<E>(self, v: i64) -> Result<Value, E> {
        Ok(v.into())
    }
    fn visit_u64<E>(self, v: u64) -> Result<Value, E> {
        Ok(v.into())
    }
    fn visit_f64<E>(self, v: f64) -> Result<Value, E> {
        Ok(v.into())
    }
    fn visit_str<E>(self, v: &str) -> Result<Value, E> {
        Ok(v.into())
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Value, A::Error> {
        let mut items = Vec::new();
        while let Some(item) =
            seq.next_element_seed(Node { path: self.path.index(items.len()), twice: self.twice })?
        {
            items.push(item);
        }
        Ok(Value::Array(items))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut entries: A) -> Result<Value, A::Error> {
        let mut object = Map::new();
        while let Some(key) = entries.next_key::<String>()? {
            let path = self.path.key(&key);
            let value = entries.next_value_seed(Node { path: path.clone(), twice: self.twice })?;
            let is_object = value.is_object();
            if let Some(first) = object.insert(key, value) {
                self.twice.push(Twice { path, object: is_object || first.is_object() });
            }
        }
        Ok(Value::Object(object))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn a_document_is_read_as_serde_json_reads_it() {
        let text = r#"{"a": [1, -2, 3.5, "x", null, true], "b": {"c": 18446744073709551615}}"#;
        assert_eq!(parse(text).unwrap(), (serde_json::from_str(text).unwrap(), vec![]));
    }

    #[test]
    fn a_key_that_stands_twice_is_named_with_its_path() {
        let (value, twice) = parse(r#"{"a": [{"b": 1, "b": 2}]}"#).unwrap();
        assert_eq!(value, json!({"a": [{"b": 2}]}));
        let paths: Vec<_> = twice.iter().map(|f| f.path.to_string()).collect();
        assert_eq!(paths, ["a[0].b"]);
    }

    #[test]
    fn text_after_the_document_is_an_error() {
        assert!(parse("{} x").is_err());
    }
}
