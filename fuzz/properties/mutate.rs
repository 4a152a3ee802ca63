//! Documents that are nearly right: random ones end at the first brace.

use serde_json::{Map, Value, json};
use std::path::Path;

/// SplitMix64 (<https://prng.di.unimi.it/splitmix64.c>): the same cases on every machine.
pub(crate) struct Random(pub(crate) u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let z = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// Below `n`, which is not 0.
    pub(crate) fn below(&mut self, n: usize) -> usize {
        (self.next() % n as u64) as usize
    }

    fn one<'a, T>(&mut self, of: &'a [T]) -> &'a T {
        &of[self.below(of.len())]
    }
}

/// The documents to begin with, and what is in them.
pub(crate) struct Seeds {
    pub(crate) documents: Vec<Value>,
    /// Every key of them.
    keys: Vec<String>,
    /// Every value of them, at any depth.
    values: Vec<Value>,
}

impl Seeds {
    /// Every JSON file of a folder but a schema.
    pub(crate) fn of_folder(folder: &Path) -> Self {
        let entries = std::fs::read_dir(folder).unwrap_or_else(|e| panic!("{folder:?}: {e}"));
        let mut files: Vec<_> = entries.map(|entry| entry.unwrap().path()).collect();
        // The schema is no document, and the migration is one half of a pair.
        let alone =
            |file: &Path| !file.ends_with("schema.json") && !file.ends_with("migration.json");
        files.retain(|file| file.extension().is_some_and(|e| e == "json") && alone(file));
        files.sort();
        let read = |file| serde_json::from_slice(&std::fs::read(file).unwrap()).unwrap();
        let documents: Vec<Value> = files.iter().map(read).collect();
        let (mut keys, mut values) = (Vec::new(), Vec::new());
        documents.iter().for_each(|document| collect(document, &mut keys, &mut values));
        keys.sort();
        keys.dedup();
        Self { documents, keys, values }
    }

    /// One of the documents, changed in one to three places, now and then in its bytes.
    pub(crate) fn mutant(&self, random: &mut Random) -> Vec<u8> {
        let mut document = random.one(&self.documents).clone();
        self.mutate(&mut document, random);
        let mut bytes = document.to_string().into_bytes();
        if random.below(8) == 0 {
            spoil(&mut bytes, random);
        }
        bytes
    }

    /// Changes a document in one to three places.
    pub(crate) fn mutate(&self, document: &mut Value, random: &mut Random) {
        for _ in 0..=random.below(3) {
            let size = count(document);
            let at = random.below(size);
            let mut left = at;
            if let Some(place) = nth(document, &mut left) {
                self.change(place, random);
            }
        }
    }

    fn change(&self, value: &mut Value, random: &mut Random) {
        match random.below(9) {
            0 | 1 => *value = self.scalar(random),
            2 => *value = random.one(&self.values).clone(),
            3 => *value = json!([value.take()]),
            4 => *value = json!({ random.one(&self.keys): value.take() }),
            _ => match value {
                Value::Object(object) => self.change_object(object, random),
                Value::Array(items) => change_array(items, random),
                Value::String(text) => change_text(text, random),
                Value::Number(number) => {
                    let near = number.as_i64().unwrap_or(0);
                    *value = json!(near.wrapping_add(random.below(3) as i64 - 1));
                }
                Value::Bool(truth) => *truth = !*truth,
                Value::Null => *value = self.scalar(random),
            },
        }
    }

    fn change_object(&self, object: &mut Map<String, Value>, random: &mut Random) {
        let keys: Vec<_> = object.keys().cloned().collect();
        let new = random.one(&self.keys).clone();
        match random.below(3) {
            0 if !keys.is_empty() => {
                object.remove(random.one(&keys));
            }
            1 if !keys.is_empty() => {
                if let Some(value) = object.remove(random.one(&keys)) {
                    object.insert(new, value);
                }
            }
            _ => {
                object.insert(new, random.one(&self.values).clone());
            }
        }
    }

    fn scalar(&self, random: &mut Random) -> Value {
        let scalars = [
            Value::Null,
            json!(true),
            json!(0),
            json!(-1),
            json!(1.5),
            json!(65_535),
            json!(65_536),
            json!(u64::MAX),
            json!(i64::MIN),
            json!(1e300),
            json!(""),
            json!(" "),
            json!("auto"),
            json!("0s"),
            json!("1s"),
            json!("99999999999999999999s"),
            json!("18446744073709551615s 999ms"),
            json!("passing"),
            json!("127.0.0.1:1"),
            json!("é\u{0}\u{202e}"),
            json!("-".repeat(70)),
            json!([]),
            json!({}),
        ];
        random.one(&scalars).clone()
    }
}

/// Texts to begin with that are no JSON.
pub(crate) struct Texts(pub(crate) Vec<Vec<u8>>);

impl Texts {
    /// Every file of a folder.
    pub(crate) fn of_folder(folder: &Path) -> Self {
        let entries = std::fs::read_dir(folder).unwrap_or_else(|e| panic!("{folder:?}: {e}"));
        let mut files: Vec<_> = entries.map(|entry| entry.unwrap().path()).collect();
        files.sort();
        Self(files.into_iter().map(|file| std::fs::read(file).unwrap()).collect())
    }

    /// One of them, spoilt in one to three places.
    pub(crate) fn mutant(&self, random: &mut Random) -> Vec<u8> {
        let mut bytes = random.one(&self.0).clone();
        for _ in 0..=random.below(3) {
            spoil(&mut bytes, random);
        }
        bytes
    }
}

fn collect(value: &Value, keys: &mut Vec<String>, values: &mut Vec<Value>) {
    values.push(value.clone());
    match value {
        Value::Object(object) => {
            keys.extend(object.keys().cloned());
            object.values().for_each(|inner| collect(inner, keys, values));
        }
        Value::Array(items) => items.iter().for_each(|inner| collect(inner, keys, values)),
        _ => {}
    }
}

fn count(value: &Value) -> usize {
    1 + match value {
        Value::Object(object) => object.values().map(count).sum(),
        Value::Array(items) => items.iter().map(count).sum(),
        _ => 0,
    }
}

/// The value at a place, in the order of [`count`].
fn nth<'v>(value: &'v mut Value, left: &mut usize) -> Option<&'v mut Value> {
    if *left == 0 {
        return Some(value);
    }
    *left -= 1;
    match value {
        Value::Object(object) => object.values_mut().find_map(|inner| nth(inner, left)),
        Value::Array(items) => items.iter_mut().find_map(|inner| nth(inner, left)),
        _ => None,
    }
}

fn change_array(items: &mut Vec<Value>, random: &mut Random) {
    if items.is_empty() {
        return items.push(Value::Null);
    }
    let at = random.below(items.len());
    if random.below(2) == 0 {
        items.remove(at);
    } else {
        items.push(items[at].clone());
    }
}

fn change_text(text: &mut String, random: &mut Random) {
    match random.below(5) {
        0 => text.clear(),
        1 => text.push_str(&text.repeat(1 + 200 / text.len().max(1))),
        2 => {
            text.pop();
        }
        3 => *text = text.to_uppercase(),
        _ => text.insert(0, *random.one(&['-', '0', '/', '.', '\n', '"', '{', '$', 'ß'])),
    }
}

/// Bytes flipped, lost, put in or doubled.
fn spoil(bytes: &mut Vec<u8>, random: &mut Random) {
    if bytes.is_empty() {
        return;
    }
    let (a, b) = (random.below(bytes.len()), random.below(bytes.len()));
    let part = a.min(b)..a.max(b);
    match random.below(4) {
        0 => bytes[a] ^= 1 << random.below(8),
        1 => {
            bytes.drain(part);
        }
        2 => bytes.insert(a, *random.one(b"\0\"\\{}[],:0\xff")),
        _ => {
            let copy = bytes[part].to_vec();
            bytes.extend_from_slice(&copy);
        }
    }
}
