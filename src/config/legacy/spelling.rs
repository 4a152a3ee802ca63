//! Keys of open objects as consul-ecs v0.4.3 reads them.
//!
//! Its schema compares keys letter by letter, its decoder (Go's `encoding/json`) does not care about case. In a closed
//! object the schema refuses another spelling. In an open one it overlooks it, and then the decoder takes `NAME` for
//! `name`: unless the key is required, for the schema does not find it then.

use super::super::error::Finding;
use super::super::path::Path;
use super::super::suggest::nearest;
use serde_json::{Map, Value};

/// What was levelled.
#[derive(Debug, Default)]
pub(super) struct Levelled {
    /// A key that stands in two spellings: in Go the last one in the text counts, and nobody means that.
    pub(super) errors: Vec<Finding>,
    /// Where a key was renamed: its path now, and as the user wrote it.
    pub(super) renamed: Vec<(Path, Path)>,
    /// Required keys in another spelling. They still stand there, so that the schema can name them beside what is
    /// missing.
    pub(super) misspelt: Vec<Path>,
    /// Keys that were ignored, or read in another spelling.
    pub(super) warnings: Vec<String>,
}

/// Renames the keys of open objects to what the schema calls them, and takes out the ones that it does not know.
pub(super) fn level(schema: &Value, document: &mut Value) -> Levelled {
    let mut levelled = Levelled::default();
    levelled.node(schema, document, &Path::default());
    levelled
}

impl Levelled {
    fn node(&mut self, schema: &Value, value: &mut Value, path: &Path) {
        match value {
            Value::Array(items) => {
                let Some(item_schema) = schema.get("items") else { return };
                for (i, item) in items.iter_mut().enumerate() {
                    self.node(item_schema, item, &path.index(i));
                }
            }
            Value::Object(object) => {
                let Some(known) = schema.get("properties").and_then(Value::as_object) else {
                    return;
                };
                if schema.get("additionalProperties").is_none() {
                    self.keys(schema, known, object, path);
                }
                for (key, value) in object {
                    if let Some(schema) = known.get(key) {
                        self.node(schema, value, &path.key(key));
                    }
                }
            }
            _ => {}
        }
    }

    fn keys(
        &mut self,
        schema: &Value,
        known: &Map<String, Value>,
        object: &mut Map<String, Value>,
        path: &Path,
    ) {
        let required = |key: &str| {
            let required = schema.get("required").and_then(Value::as_array);
            required.into_iter().flatten().any(|required| required == key)
        };
        let unknown: Vec<_> =
            object.keys().filter(|key| !known.contains_key(*key)).cloned().collect();
        for key in unknown {
            let here = path.key(&key);
            match known.keys().find(|known| known.eq_ignore_ascii_case(&key)) {
                Some(known) if object.contains_key(known) => {
                    let sentence =
                        format!("the same key as {known:?}, which stands here too; keep one");
                    self.errors.push(Finding::new(here, sentence));
                    object.remove(&key);
                }
                Some(known) if !required(known) => {
                    self.warnings.push(format!("{here} is read as {known:?}, as consul-ecs did"));
                    self.renamed.push((path.key(known), here));
                    if let Some(value) = object.remove(&key) {
                        object.insert(known.clone(), value);
                    }
                }
                Some(_) => self.misspelt.push(here),
                None => {
                    let hint = nearest(&key, known.keys().map(String::as_str))
                        .map_or(String::new(), |meant| format!("; did you mean {meant:?}?"));
                    self.warnings.push(format!(
                        "{here} is ignored, as consul-ecs ignored it: unknown key{hint}"
                    ));
                    object.remove(&key);
                }
            }
        }
    }
}
