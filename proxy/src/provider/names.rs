//! Tool names and call ids as clients write them in, names and ids that upstreams accept out, and back.

use std::collections::BTreeMap;

/// Most bytes of a tool name or a call id that every upstream takes.
const LONGEST: usize = 64;

/// The tool names of one request, both ways.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ToolNames {
    upstream: BTreeMap<String, String>,
    client: BTreeMap<String, String>,
    /// The tool whose input is the answer, when the client wants JSON.
    pub(super) answer: Option<String>,
}

impl ToolNames {
    /// The upstream's name for the client's tool `name`; the same one every time, and one of its own.
    pub(super) fn upstream(&mut self, name: &str) -> String {
        if let Some(known) = self.upstream.get(name) {
            return known.clone();
        }
        let unique = self.unique(&fit(name));
        self.upstream.insert(name.to_owned(), unique.clone());
        self.client.insert(unique.clone(), name.to_owned());
        unique
    }

    /// A name for the tool that takes the answer; no tool of the client's has it.
    pub(super) fn add_answer(&mut self) -> String {
        let unique = self.unique("json_answer");
        self.answer = Some(unique.clone());
        unique
    }

    /// The client's name for the upstream's tool `name`.
    pub(super) fn client(&self, name: &str) -> String {
        self.client.get(name).map_or(name, String::as_str).to_owned()
    }

    pub(super) fn is_answer(&self, name: &str) -> bool {
        self.answer.as_deref() == Some(name)
    }

    fn unique(&self, wanted: &str) -> String {
        let taken = |name: &str| self.client.contains_key(name) || self.is_answer(name);
        let mut candidate = wanted.to_owned();
        let mut number = 2_u32;
        while taken(&candidate) {
            let suffix = format!("_{number}");
            let kept = wanted.len().min(LONGEST - suffix.len());
            candidate = format!("{}{suffix}", &wanted[..kept]);
            number += 1;
        }
        candidate
    }
}

/// A call id that every upstream accepts. Its result goes through the same function, so the two still meet.
pub(super) fn call_id(id: &str) -> String {
    // Long ids tend to share a beginning: the end tells them apart.
    let mut start = id.len().saturating_sub(LONGEST);
    while !id.is_char_boundary(start) {
        start += 1;
    }
    fit(&id[start..])
}

/// `text` in the characters `[A-Za-z0-9_-]`, at most `LONGEST` of them.
fn fit(text: &str) -> String {
    let fits = |c: char| if c.is_ascii_alphanumeric() || matches!(c, '_' | '-') { c } else { '_' };
    let fitted: String = text.chars().take(LONGEST).map(fits).collect();
    if fitted.is_empty() { "_".to_owned() } else { fitted }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_that_fit_together_stay_apart() {
        let mut names = ToolNames::default();
        let long = "x".repeat(80);
        let client = ["a.b", "a/b", "a_b", &long, &long[..70], "json_answer"];
        let upstream: Vec<String> = client.iter().map(|name| names.upstream(name)).collect();
        assert_eq!(upstream[..3], ["a_b", "a_b_2", "a_b_3"]);
        assert!(upstream.iter().all(|name| name.len() <= LONGEST));
        assert_eq!(names.add_answer(), "json_answer_2");
        for (client, upstream) in client.iter().zip(&upstream) {
            assert_eq!(names.client(upstream), *client);
        }
    }

    #[test]
    fn ids_keep_their_end() {
        assert_eq!(call_id("call_1"), "call_1");
        assert_eq!(call_id(&format!("{}1", "y".repeat(90))), format!("{}1", "y".repeat(63)));
        assert_eq!(call_id(&"é".repeat(40)), "_".repeat(32));
    }
}
