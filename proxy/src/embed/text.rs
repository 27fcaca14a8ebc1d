//! A client's text in, what is looked up, sent and charged out: composed, its white space put in order, cut, as the endpoint says.

use icu_normalizer::ComposingNormalizerBorrowed;
use std::borrow::Cow;
use tollway_core::table::{Embedder, Embedding, Payload, Preprocess};

/// Bytes of a token where the proxy cuts: few tokenizers make more tokens of a text than one for every three bytes.
const BYTES_PER_TOKEN: usize = 3;

/// Prepares a text.
#[must_use]
pub fn prepare<'a>(endpoint: &Embedding, text: &'a str) -> Cow<'a, str> {
    let Preprocess { nfc, whitespace } = endpoint.preprocess;
    let mut text = Cow::Borrowed(text);
    if nfc && !text.is_ascii() {
        text = Cow::Owned(ComposingNormalizerBorrowed::new_nfc().normalize(&text).into_owned());
    }
    if whitespace && !is_tidy(&text) {
        text = Cow::Owned(text.split_whitespace().collect::<Vec<_>>().join(" "));
    }
    let cuts_itself = endpoint.sources.first().is_some_and(
        |source| matches!(&source.embedder, Embedder::SageMaker(sagemaker) if sagemaker.payload == Payload::Tei),
    );
    if let Some(tokens) = endpoint.max_tokens.filter(|_| !cuts_itself) {
        let most = usize::try_from(tokens).unwrap_or(usize::MAX).saturating_mul(BYTES_PER_TOKEN);
        if text.len() > most {
            let end = text.floor_char_boundary(most);
            text = match text {
                Cow::Borrowed(text) => Cow::Borrowed(&text[..end]),
                Cow::Owned(text) => Cow::Owned(text[..end].to_owned()),
            };
        }
    }
    text
}

fn is_tidy(text: &str) -> bool {
    let mut before = ' ';
    for next in text.chars() {
        if next.is_whitespace() && (next != ' ' || before == ' ') {
            return false;
        }
        before = next;
    }
    before != ' '
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fixture::embedding;

    #[test]
    fn texts_go_as_they_come_unless_the_endpoint_says_otherwise() {
        let mut endpoint = embedding(&["http://127.0.0.1:1"]);
        let text = " e\u{301}  x\n";
        assert!(matches!(prepare(&endpoint, text), Cow::Borrowed(same) if same == text));
        endpoint.preprocess.nfc = true;
        assert_eq!(prepare(&endpoint, text), " \u{e9}  x\n");
        endpoint.preprocess.whitespace = true;
        assert_eq!(prepare(&endpoint, text), "\u{e9} x");
        for (text, tidy) in [("a b", "a b"), ("a\tb", "a b"), ("a ", "a"), ("", ""), ("\u{a0}a", "a")] {
            assert_eq!(prepare(&endpoint, text), tidy, "{text:?}");
        }
        endpoint.max_tokens = Some(1);
        assert_eq!(prepare(&endpoint, "ab\u{e9}f"), "ab", "never through the middle of a character");
    }
}
