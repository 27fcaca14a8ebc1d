//! The text of one file in, its YAML documents out, each with the lines of its fields; every document that cannot be read is an error.

use super::Lines;
use serde_json::Value;
use std::fmt;

/// A mistake and where it is, shown as `file:line: what is wrong: what to do`.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Located {
    /// File as it was named to the parser.
    pub file: String,
    /// Line from 1.
    pub line: usize,
    /// What is wrong: what to do.
    pub message: String,
}

impl fmt::Display for Located {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}: {}", self.file, self.line, self.message)
    }
}

impl std::error::Error for Located {}

/// One document of a file.
#[derive(Clone, Debug, PartialEq)]
pub struct Document {
    /// What it says, as an API server would get it.
    pub value: Value,
    /// Where each field stands.
    pub lines: Lines,
}

/// The documents of a file; one that is broken does not hide the others.
#[must_use]
pub fn documents(file: &str, text: &str) -> (Vec<Document>, Vec<Located>) {
    let (mut documents, mut errors) = (Vec::new(), Vec::new());
    for (before, part) in parts(text) {
        match read(before, &part) {
            Ok(Value::Null) => {}
            Ok(value) => documents.push(Document { value, lines: Lines::of(&part, before) }),
            Err((line, message)) => errors.push(Located { file: file.to_owned(), line, message }),
        }
    }
    (documents, errors)
}

/// The text between document markers, with the number of lines before it. A marker at the start of a line ends even a block scalar.
fn parts(text: &str) -> Vec<(usize, String)> {
    let mut parts = vec![(0, String::new())];
    for (number, line) in text.lines().enumerate() {
        let marker = line == "---" || line.starts_with("--- ") || line.starts_with("---\t");
        if marker {
            parts.push((number + 1, String::new()));
        } else if let Some((_, part)) = parts.last_mut() {
            part.push_str(line);
            part.push('\n');
        }
    }
    parts
}

fn read(before: usize, part: &str) -> Result<Value, (usize, String)> {
    // Empty lines in front make the parser count as the file does.
    let padded = "\n".repeat(before) + part;
    let value: serde_yaml::Value = serde_yaml::from_str(&padded).map_err(|error| {
        let line = error.location().map_or(before + 1, |at| at.line());
        (line, format!("this is not valid YAML: {error}"))
    })?;
    let mut path = String::new();
    json(value, &mut path).map_err(|message| (Lines::of(part, before).line(&path), message))
}

/// The value as JSON; `path` is left at what has no place there.
fn json(value: serde_yaml::Value, path: &mut String) -> Result<Value, String> {
    Ok(match value {
        serde_yaml::Value::Null => Value::Null,
        serde_yaml::Value::Bool(value) => Value::Bool(value),
        serde_yaml::Value::Number(number) => serde_json::to_value(&number)
            .ok()
            .filter(|v| !v.is_null())
            .ok_or_else(|| format!("{number} is not a finite number: write digits"))?,
        serde_yaml::Value::String(text) => Value::String(text),
        serde_yaml::Value::Sequence(items) => {
            let length = path.len();
            let mut list = Vec::with_capacity(items.len());
            for (at, item) in items.into_iter().enumerate() {
                path.push_str(&format!("[{at}]"));
                list.push(json(item, path)?);
                path.truncate(length);
            }
            Value::Array(list)
        }
        serde_yaml::Value::Mapping(fields) => {
            let length = path.len();
            let mut object = serde_json::Map::new();
            for (key, value) in fields {
                let serde_yaml::Value::String(key) = key else {
                    return Err(format!("{key:?} is not the name of a field: put it in quotes if it is meant as text"));
                };
                if length > 0 {
                    path.push('.');
                }
                path.push_str(&key);
                let value = json(value, path)?;
                object.insert(key, value);
                path.truncate(length);
            }
            Value::Object(object)
        }
        serde_yaml::Value::Tagged(tagged) => {
            return Err(format!("the tag {} has no meaning here: remove it", tagged.tag));
        }
    })
}
