//! The text of one YAML document in, the line of every field out.

use saphyr_parser::{Event, Parser};
use std::collections::BTreeMap;

/// Lines (from 1) of the fields of one document, by path like `spec.targets[1].price`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Lines {
    first: usize,
    by_path: BTreeMap<String, usize>,
}

impl Lines {
    /// The fields of `text`, which starts after `before` lines of its file.
    #[must_use]
    pub fn of(text: &str, before: usize) -> Self {
        let mut lines = Self { first: before + 1, by_path: BTreeMap::new() };
        let mut open: Vec<Open> = Vec::new();
        for event in Parser::new_from_str(text) {
            let Ok((event, span)) = event else { break };
            let line = before + span.start.line();
            match event {
                Event::Scalar(text, ..) => match open.last_mut() {
                    Some(Open::Mapping { key: key @ None, .. }) => *key = Some((text.into_owned(), line)),
                    _ => {
                        lines.place(&mut open, line);
                    }
                },
                Event::MappingStart(..) => {
                    let path = lines.place(&mut open, line);
                    open.push(Open::Mapping { path, key: None });
                }
                Event::SequenceStart(..) => {
                    let path = lines.place(&mut open, line);
                    open.push(Open::Sequence { path, next: 0 });
                }
                Event::MappingEnd | Event::SequenceEnd => {
                    open.pop();
                }
                Event::Alias(_) => {
                    lines.place(&mut open, line);
                }
                _ => {}
            }
        }
        lines
    }

    /// The line of `path`, or of the nearest field around it that is in the document.
    #[must_use]
    pub fn line(&self, path: &str) -> usize {
        let mut path = path;
        loop {
            if let Some(line) = self.by_path.get(path) {
                return *line;
            }
            match path.rfind(['.', '[']) {
                Some(end) => path = &path[..end],
                None => return self.first,
            }
        }
    }

    /// Notes where the value that starts now is, and gives its path.
    fn place(&mut self, open: &mut [Open], line: usize) -> String {
        let (path, line) = match open.last_mut() {
            None => (String::new(), line),
            Some(Open::Mapping { path, key }) => match key.take() {
                Some((key, at)) if path.is_empty() => (key, at),
                Some((key, at)) => (format!("{path}.{key}"), at),
                // A key that is itself a list or a group of fields has no path.
                None => (format!("{path}.?"), line),
            },
            Some(Open::Sequence { path, next }) => {
                let at = *next;
                *next += 1;
                (format!("{path}[{at}]"), line)
            }
        };
        if path.is_empty() {
            self.first = line;
        } else {
            self.by_path.entry(path.clone()).or_insert(line);
        }
        path
    }
}

enum Open {
    Mapping { path: String, key: Option<(String, usize)> },
    Sequence { path: String, next: usize },
}

#[cfg(test)]
mod tests {
    use super::Lines;

    #[test]
    fn a_path_leads_to_its_line_or_to_the_nearest_field_around_it() {
        let lines =
            Lines::of("kind: A\nspec:\n  targets:\n  - name: a\n    price: {in: 1,\n      out: 2}\n  - name: b\n", 10);
        for (path, line) in [
            ("kind", 11),
            ("spec.targets[0]", 14),
            ("spec.targets[0].price.out", 16),
            ("spec.targets[0].price.none", 15),
            ("spec.targets[1].name", 17),
            ("spec.targets[7].name", 13),
            ("metadata.name", 11),
        ] {
            assert_eq!(lines.line(path), line, "{path}");
        }
    }
}
