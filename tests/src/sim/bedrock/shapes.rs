//! The shapes of Converse: a JSON value and a shape's name in, everything about the value that the service model forbids out.

use aws_smithy_types::base64;
use serde_json::Value;
use std::collections::BTreeMap;
use std::sync::LazyLock;

/// The table of `shapes.txt`, parsed.
#[derive(Debug)]
pub struct Shapes(pub BTreeMap<String, Shape>);

/// One structure or union.
#[derive(Debug, Default)]
pub struct Shape {
    /// Exactly one member is set.
    pub union: bool,
    /// Members in order.
    pub members: Vec<Member>,
}

/// One member.
#[derive(Debug)]
pub struct Member {
    /// Name on the wire.
    pub name: String,
    /// Must be there.
    pub required: bool,
    /// What it holds.
    pub kind: Kind,
}

/// What a value may be.
#[derive(Debug, PartialEq)]
pub enum Kind {
    /// Any JSON.
    Document,
    /// An object with any names.
    Map,
    /// Items of one kind.
    List(Box<Self>),
    /// A structure or union of that name.
    Shape(String),
    /// One of these words.
    Words(Vec<String>),
    /// A simple value: its type, and bounds of its length or value.
    Simple(String, Option<f64>, Option<f64>),
}

static TABLE: LazyLock<Shapes> = LazyLock::new(|| Shapes::parse(include_str!("shapes.txt")));

impl Kind {
    fn parse(text: &str) -> Self {
        if let Some(item) = text.strip_prefix('[') {
            return Self::List(Box::new(Self::parse(item.trim_end_matches(']'))));
        }
        let (name, bounds) = text.split_once('(').unwrap_or((text, "..)"));
        match name {
            "*" => Self::Document,
            "{}" => Self::Map,
            "string" | "blob" | "boolean" | "integer" | "long" | "float" => {
                let (min, max) = bounds.trim_end_matches(')').split_once("..").unwrap_or_default();
                Self::Simple(name.to_owned(), min.parse().ok(), max.parse().ok())
            }
            _ if name.starts_with(char::is_uppercase) => Self::Shape(name.to_owned()),
            _ => Self::Words(name.split('|').map(str::to_owned).collect()),
        }
    }
}

impl Shapes {
    /// The shapes the simulator knows.
    #[must_use]
    pub fn table() -> &'static Self {
        &TABLE
    }

    fn parse(text: &str) -> Self {
        let lines = text.lines().filter(|line| !line.starts_with('#') && !line.is_empty());
        Self(
            lines
                .filter_map(|line| {
                    let mut words = line.splitn(3, ' ');
                    let union = words.next()? == "union";
                    let name = words.next()?.to_owned();
                    let members = words.next().unwrap_or_default().split(", ").filter_map(|member| {
                        let (name, kind) = member.split_once(": ")?;
                        let kind = Kind::parse(kind);
                        Some(Member {
                            name: name.trim_end_matches('!').to_owned(),
                            required: name.ends_with('!'),
                            kind,
                        })
                    });
                    Some((name, Shape { union, members: members.collect() }))
                })
                .collect(),
        )
    }

    /// What is wrong with `value` as a `shape`, in words; empty when nothing is.
    #[must_use]
    pub fn faults(&self, shape: &str, value: &Value) -> Vec<String> {
        let mut faults = Vec::new();
        self.shape(shape, value, "", &mut faults);
        faults
    }

    fn shape(&self, name: &str, value: &Value, at: &str, faults: &mut Vec<String>) {
        let Some(shape) = self.0.get(name) else {
            faults.push(format!("the table has no shape {name}"));
            return;
        };
        let Some(object) = value.as_object() else {
            faults.push(format!("Value at '{at}' failed to satisfy constraint: Member must be a structure"));
            return;
        };
        let inside = |member: &str| if at.is_empty() { member.to_owned() } else { format!("{at}.{member}") };
        for member in shape.members.iter().filter(|m| m.required && object.get(&m.name).is_none_or(Value::is_null)) {
            faults.push(format!(
                "Value null at '{}' failed to satisfy constraint: Member must not be null",
                inside(&member.name)
            ));
        }
        let mut set = 0;
        for (name, value) in object.iter().filter(|(_, value)| !value.is_null()) {
            match shape.members.iter().find(|member| &member.name == name) {
                Some(member) => {
                    set += 1;
                    self.kind(&member.kind, value, &inside(name), faults);
                }
                None => faults.push(format!("#/{}: extraneous key [{name}] is not permitted", at.replace('.', "/"))),
            }
        }
        if shape.union && set != 1 {
            faults.push(format!("Value at '{at}' failed to satisfy constraint: Member must set exactly one of the union's members, {set} are set"));
        }
    }

    fn kind(&self, kind: &Kind, value: &Value, at: &str, faults: &mut Vec<String>) {
        let mut must =
            |what: String| faults.push(format!("Value at '{at}' failed to satisfy constraint: Member must {what}"));
        match kind {
            Kind::Document => {}
            Kind::Map if value.is_object() => {}
            Kind::Map => must("be a map".to_owned()),
            Kind::List(item) => match value.as_array() {
                Some(items) => {
                    items.iter().enumerate().for_each(|(i, value)| self.kind(item, value, &format!("{at}.{i}"), faults))
                }
                None => must("be a list".to_owned()),
            },
            Kind::Shape(name) => self.shape(name, value, at, faults),
            Kind::Words(words) => {
                if !value.as_str().is_some_and(|text| words.iter().any(|word| word == text)) {
                    must(format!("satisfy enum value set: [{}]", words.join(", ")));
                }
            }
            Kind::Simple(simple, min, max) => {
                let measure = match simple.as_str() {
                    "boolean" => value.as_bool().map(|_| (0.0, "")),
                    "string" => value.as_str().map(|text| (text.chars().count() as f64, "length")),
                    "blob" => value
                        .as_str()
                        .and_then(|text| base64::decode(text).ok())
                        .map(|bytes| (bytes.len() as f64, "length")),
                    "integer" | "long" => value.as_i64().map(|number| (number as f64, "value")),
                    _ => value.as_f64().map(|number| (number, "value")),
                };
                match measure {
                    None => must(format!("be a {simple}")),
                    Some((is, what)) if min.is_some_and(|min| !what.is_empty() && is < min) => {
                        must(format!("have {what} greater than or equal to {}", min.unwrap_or_default()));
                    }
                    Some((is, what)) if max.is_some_and(|max| !what.is_empty() && is > max) => {
                        must(format!("have {what} less than or equal to {}", max.unwrap_or_default()));
                    }
                    Some(_) => {}
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn wrong_values_are_named_with_their_place() {
        let faults = |value| Shapes::table().faults("ConverseRequest", &value);
        assert_eq!(faults(json!({"messages": [{"role": "user", "content": [{"text": "hi"}]}]})), [""; 0]);
        let wrong = json!({
            "messages": [{"role": "robot", "content": [{"text": "hi", "image": {"format": "png", "source": {"bytes": "****"}}}]}],
            "inferenceConfig": {"maxTokens": 0, "temperature": 1.5, "top_p": 1},
            "toolConfig": {}, "system": "be kind",
        });
        let mut found = faults(wrong);
        found.sort();
        assert_eq!(
            found,
            [
                "#/inferenceConfig: extraneous key [top_p] is not permitted",
                "Value at 'inferenceConfig.maxTokens' failed to satisfy constraint: Member must have value greater than or equal to 1",
                "Value at 'inferenceConfig.temperature' failed to satisfy constraint: Member must have value less than or equal to 1",
                "Value at 'messages.0.content.0' failed to satisfy constraint: Member must set exactly one of the union's members, 2 are set",
                "Value at 'messages.0.content.0.image.source.bytes' failed to satisfy constraint: Member must be a blob",
                "Value at 'messages.0.role' failed to satisfy constraint: Member must satisfy enum value set: [user, assistant, system]",
                "Value at 'system' failed to satisfy constraint: Member must be a list",
                "Value null at 'toolConfig.tools' failed to satisfy constraint: Member must not be null",
            ]
        );
    }
}
