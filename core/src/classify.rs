//! The text of a prompt in, the class of prompt it is out: a scorer over words and marks. Pure; no model, no network.
//!
//! # How it decides
//! Marks of source code and of work that takes several steps are counted with weights. Enough of either decides; a short question or
//! greeting with neither is simple, and everything else is general. The words are in several languages; `core/tests/corpus` holds labelled
//! prompts, and its test says how often each class is met.

mod words;

use crate::table::PromptClass;
use std::collections::{HashMap, HashSet};
use std::sync::LazyLock;
use words::{CODE, GENERAL, REASONING, SIMPLE};

/// What is read of a long prompt: this many bytes from its start and from its end.
const READ: usize = 4 * 1024;
/// From here on it is code.
const CODE_FROM: i32 = 4;
/// From here on it is reasoning.
const REASONING_FROM: i32 = 4;
/// Words (characters, in scripts without spaces: a third) of the longest simple prompt.
const SIMPLE_WORDS: usize = 16;

/// The class of a prompt.
#[must_use]
pub fn classify(prompt: &str) -> PromptClass {
    let text = ends(prompt).to_lowercase();
    let [code, reasoning, simple, general] = scores(&text);
    let (code, reasoning) = (code + code_marks(&text), reasoning + reasoning_marks(&text));
    if code >= CODE_FROM && code + 2 >= reasoning {
        return PromptClass::Code;
    }
    if reasoning >= REASONING_FROM {
        return PromptClass::Reasoning;
    }
    let simple = simple - general;
    match length(&text) {
        words if words <= 3 && simple >= 0 => PromptClass::Simple,
        words if words <= SIMPLE_WORDS && simple >= 2 => PromptClass::Simple,
        _ => PromptClass::General,
    }
}

/// The start and the end of a long text.
fn ends(text: &str) -> String {
    if text.len() <= 2 * READ {
        return text.to_owned();
    }
    let (mut head, mut tail) = (READ, text.len() - READ);
    while !text.is_char_boundary(head) {
        head -= 1;
    }
    while !text.is_char_boundary(tail) {
        tail += 1;
    }
    format!("{}\n{}", &text[..head], &text[tail..])
}

/// One phrase, and what it counts for.
struct Entry {
    id: usize,
    list: usize,
    weight: i32,
    text: &'static str,
    /// The word ends where the phrase does.
    whole: bool,
}

/// The first two characters of a phrase, which may have only one.
type Start = (char, Option<char>);

/// Every phrase by its first characters: few have the same, so few are compared with the text.
static PHRASES: LazyLock<HashMap<Start, Vec<Entry>>> = LazyLock::new(|| {
    let lists = [CODE, REASONING, SIMPLE, GENERAL].into_iter().enumerate();
    let all = lists
        .flat_map(|(list, of)| of.iter().flat_map(move |(weight, all)| all.iter().map(move |p| (list, *weight, *p))));
    let mut by_start: HashMap<Start, Vec<Entry>> = HashMap::new();
    for (id, (list, weight, phrase)) in all.enumerate() {
        let (text, whole) = phrase.strip_suffix(' ').map_or((phrase, false), |word| (word, true));
        let mut chars = text.chars();
        let start = (chars.next().unwrap_or_default(), chars.next());
        by_start.entry(start).or_default().push(Entry { id, list, weight, text, whole });
    }
    by_start
});

/// For each list the weights of its phrases that begin a word of the text, each once. Scripts without spaces have words everywhere.
fn scores(text: &str) -> [i32; 4] {
    let mut scores = [0_i32; 4];
    let mut seen = HashSet::new();
    let mut before = None;
    for (at, c) in text.char_indices() {
        let starts =
            before.is_none_or(|b: char| !b.is_alphanumeric() || is_dense(b)) || is_dense(c) || !c.is_alphanumeric();
        before = Some(c);
        if !starts {
            continue;
        }
        let second = text[at + c.len_utf8()..].chars().next();
        let both = second.is_some().then(|| PHRASES.get(&(c, second))).flatten();
        let entries = both.into_iter().chain(PHRASES.get(&(c, None))).flatten();
        for Entry { id, list, weight, text: phrase, whole } in entries {
            let Some(rest) = text[at..].strip_prefix(phrase) else { continue };
            let ends = !whole || rest.chars().next().is_none_or(|c| !c.is_alphanumeric());
            if ends && seen.insert(*id) {
                scores[*list] += weight;
            }
        }
    }
    scores
}

/// Characters of scripts that put no spaces between words.
const fn is_dense(c: char) -> bool {
    matches!(c, '\u{3040}'..='\u{30ff}' | '\u{3400}'..='\u{9fff}' | '\u{e00}'..='\u{e7f}')
}

fn length(text: &str) -> usize {
    let dense = text.chars().filter(|c| is_dense(*c)).count();
    text.split_whitespace().count() + dense / 3
}

/// Lines that look like source code, and marks that prose does not have.
fn code_marks(text: &str) -> i32 {
    let is_code = |line: &&str| {
        let line = line.trim();
        let ends = [";", "{", "}", "):", "=>", "->", "})", "/>"].iter().any(|end| line.ends_with(end));
        let starts = [
            "#include", "import ", "from ", "def ", "fn ", "func ", "class ", "const ", "let ", "var ", "return ", "@",
            "$ ", "//",
        ];
        let starts = starts.iter().any(|start| line.starts_with(start))
            && line.contains(['(', '=', '{', ':', ';', '<', '.', '"']);
        line.len() > 1 && (ends || starts)
    };
    let lines = i32::try_from(text.lines().filter(is_code).count()).unwrap_or(i32::MAX / 100);
    let marks = [
        "()", "=>", "::", "==", "!=", "&&", "||", "();", "</", "->", "[0]", "[i]", "++", "+=", "${", "{{", "0x",
        "&mut", "**kwargs", "--",
    ];
    let marks = marks.iter().filter(|mark| text.contains(*mark)).count();
    let called = text
        .as_bytes()
        .windows(2)
        .filter(|pair| pair[1] == b'(' && (pair[0].is_ascii_alphanumeric() || pair[0] == b'_'))
        .count();
    let named = text
        .as_bytes()
        .windows(3)
        .filter(|w| w[1] == b'_' && w[0].is_ascii_alphanumeric() && w[2].is_ascii_alphanumeric())
        .count();
    let fences = if text.contains("```") { 4 } else { 0 };
    let ticks = if text.matches('`').count() >= 2 { 2 } else { 0 };
    let few = |count: usize| i32::try_from(count.min(3)).unwrap_or(3);
    lines.min(4) + 2 * few(marks) + few(called) + 2 * few(named) + fences + ticks
}

/// Several numbers in one text, conditions, and formulas.
fn reasoning_marks(text: &str) -> i32 {
    let numbers = text.split(|c: char| !c.is_ascii_digit() && c != '.' && c != ',');
    let numbers = numbers.filter(|part| part.bytes().any(|b| b.is_ascii_digit())).count();
    let formula = ["x^", "^2", "²", "√", "∫", "∑", "≤", "≥", "mod ", " = 0", "f(x)", "n!"];
    let formula = formula.iter().filter(|mark| text.contains(*mark)).count();
    let few = |count: usize| i32::try_from(count.min(3)).unwrap_or(3);
    few(numbers.saturating_sub(1)) + 2 * few(formula)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn length_alone_decides_nothing_and_any_text_has_a_class() {
        for text in ["", " ", "\u{0}", "?", "`", "日本", "\u{1f600}"] {
            let _ = classify(text);
        }
        let long = "Please write a friendly letter to our neighbours. ".repeat(1_000);
        assert_eq!(classify(&long), PromptClass::General);
        assert_eq!(classify(&format!("{long}\n```rust\nfn main() {{}}\n```")), PromptClass::Code);
        assert_eq!(classify(&"é".repeat(10_001)), classify(&"é".repeat(10_000)));
    }
}
