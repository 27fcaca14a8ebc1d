//! The model itself: a prompt's size and a reply to give in, the blocks it generates and their tokens out. Pure.

use super::config::Model;
use super::reply::{Block, Reply};

/// What a request gives the model.
#[derive(Debug, Default)]
pub(super) struct Prompt {
    /// Tokens of everything it reads.
    pub tokens: u64,
    /// The last user message's text, for echoes.
    pub last_user_text: String,
    /// Most output tokens, when the request says.
    pub max_tokens: Option<u64>,
    /// Texts that end the answer.
    pub stop: Vec<String>,
}

/// What the model generates.
#[derive(Debug, PartialEq)]
pub(super) struct Generation {
    pub blocks: Vec<Generated>,
    pub stop: Stop,
    pub tokens: u64,
}

/// One block, cut into what is streamed at a time.
#[derive(Debug, PartialEq)]
pub(super) struct Generated {
    pub kind: Kind,
    /// Each piece with the output tokens generated once it is out.
    pub pieces: Vec<(String, u64)>,
    /// False when the limit cut it short.
    pub whole: bool,
}

#[derive(Debug, Clone, PartialEq)]
pub(super) enum Kind {
    Text,
    Reasoning { signature: Option<String> },
    ToolUse { id: String, name: String },
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Stop {
    EndTurn,
    MaxTokens,
    Sequence,
    ToolUse,
    Other(String),
}

impl Generated {
    pub(super) fn text(&self) -> String {
        self.pieces.iter().map(|(text, _)| text.as_str()).collect()
    }
}

/// Tokens of a text: its bytes over the model's bytes per token, rounded up.
pub(super) fn tokens(model: &Model, text: &str) -> u64 {
    (text.len() as u64).div_ceil(model.bytes_per_token)
}

/// The longest head of `text` that is at most `limit` tokens.
fn head<'a>(model: &Model, text: &'a str, limit: u64) -> &'a str {
    let bytes = usize::try_from(limit.saturating_mul(model.bytes_per_token)).unwrap_or(usize::MAX);
    &text[..text.floor_char_boundary(bytes.min(text.len()))]
}

/// Text of exactly `count` tokens: words, so that it looks like an answer.
fn filler(model: &Model, count: u64) -> String {
    let bytes = usize::try_from(count * model.bytes_per_token).unwrap_or(0);
    "toll way and the road goes on ".chars().cycle().take(bytes).collect()
}

pub(super) fn generate(model: &Model, prompt: &Prompt, reply: &Reply) -> Generation {
    let mut limit = prompt.max_tokens.unwrap_or(model.max_output);
    if reply.ignore_max_tokens {
        limit = u64::MAX;
    }
    let mut generation = Generation { blocks: Vec::new(), stop: Stop::EndTurn, tokens: 0 };
    for block in &reply.blocks {
        let (kind, mut text, overhead) = match block {
            Block::Text(text) => (Kind::Text, text.clone(), 0),
            Block::Echo => (Kind::Text, prompt.last_user_text.clone(), 0),
            Block::Tokens(count) => (Kind::Text, filler(model, *count), 0),
            Block::Reasoning { text, signature } => (Kind::Reasoning { signature: signature.clone() }, text.clone(), 0),
            Block::ToolUse { id, name, input } => {
                (Kind::ToolUse { id: id.clone(), name: name.clone() }, input.to_string(), tokens(model, name))
            }
        };
        let is_text = matches!(kind, Kind::Text);
        let stopped =
            prompt.stop.iter().filter(|s| is_text && !s.is_empty()).filter_map(|s| text.find(s.as_str())).min();
        if let Some(at) = stopped {
            text.truncate(at);
        }
        let left = limit.saturating_sub(generation.tokens);
        let kept = head(model, &text, left.saturating_sub(overhead));
        let whole = kept.len() == text.len() && overhead <= left;
        if left > overhead || whole {
            let before = generation.tokens + overhead;
            let pieces = pieces(model, kept, before, reply.tokens_per_event.max(1));
            generation.tokens = before + tokens(model, kept);
            if matches!(kind, Kind::ToolUse { .. }) {
                generation.stop = Stop::ToolUse;
            }
            generation.blocks.push(Generated { kind, pieces, whole });
        }
        if !whole {
            generation.stop = Stop::MaxTokens;
            break;
        }
        if stopped.is_some() {
            generation.stop = Stop::Sequence;
            break;
        }
    }
    if let Some(reason) = &reply.stop_reason {
        generation.stop = Stop::Other(reason.clone());
    }
    generation
}

fn pieces(model: &Model, text: &str, before: u64, tokens_per_event: u64) -> Vec<(String, u64)> {
    let mut pieces = Vec::new();
    let mut at = 0;
    while at < text.len() {
        let mut piece = head(model, &text[at..], tokens_per_event);
        if piece.is_empty() {
            // One character can be longer than the bytes of one event.
            piece = &text[at..text.ceil_char_boundary(at + 1)];
        }
        at += piece.len();
        pieces.push((piece.to_owned(), before + tokens(model, &text[..at])));
    }
    pieces
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn prompt(max_tokens: Option<u64>) -> Prompt {
        Prompt { last_user_text: "hi".to_owned(), max_tokens, ..Prompt::default() }
    }

    #[test]
    fn a_limit_cuts_and_says_so() {
        let made = generate(&Model::default(), &prompt(Some(3)), &Reply::tokens(10));
        assert_eq!((made.tokens, &made.stop), (3, &Stop::MaxTokens));
        assert_eq!(made.blocks[0].text().len(), 12);
        let made =
            generate(&Model::default(), &prompt(Some(3)), &Reply { ignore_max_tokens: true, ..Reply::tokens(10) });
        assert_eq!((made.tokens, &made.stop), (10, &Stop::EndTurn));
    }

    #[test]
    fn a_stop_sequence_ends_the_text() {
        let mut asked = prompt(None);
        asked.stop = vec!["road".to_owned()];
        let made = generate(&Model::default(), &asked, &Reply::text("on the road again"));
        assert_eq!((made.blocks[0].text().as_str(), made.stop), ("on the ", Stop::Sequence));
    }

    proptest! {
        #[test]
        fn pieces_are_the_text_and_tokens_are_its_size(text in "\\PC{0,80}", per_event in 1_u64..6, limit in 1_u64..30) {
            let model = Model::default();
            let reply = Reply { tokens_per_event: per_event, ..Reply::text(text.clone()) };
            let made = generate(&model, &prompt(Some(limit)), &reply);
            let out: String = made.blocks.iter().map(Generated::text).collect();
            prop_assert!(text.starts_with(&out));
            prop_assert_eq!(made.tokens, tokens(&model, &out));
            prop_assert!(made.tokens <= limit);
            prop_assert_eq!(made.stop == Stop::MaxTokens, out != text);
            let steps: Vec<u64> = made.blocks.iter().flat_map(|b| b.pieces.iter().map(|p| p.1)).collect();
            prop_assert!(steps.is_sorted());
            prop_assert_eq!(steps.last().copied().unwrap_or(0), made.tokens);
        }
    }
}
