//! `prepend`: a request that was read and a route's own text in, the same request with that text before the conversation out.

use crate::chat::{Block, Message, Role};
use crate::surface::{Form, Peek};
use tollway_core::table::Prompt;

/// Puts the system sections before everything and the user's primer before the first message that is not a system message.
/// What the answer repeats stays the client's own.
pub fn prepend(peek: &mut Peek, prompt: &Prompt) {
    let Form::Responses(request) = &mut peek.form else { return };
    let messages = &mut request.chat.messages;
    let said = |role, text: String| Message { role, content: vec![Block::Text(text)], name: None };
    if let Some(primer) = &prompt.user {
        let at = messages.iter().position(|message| message.role != Role::System).unwrap_or(messages.len());
        messages.insert(at, said(Role::User, primer.clone()));
        grow(&mut peek.size, primer);
    }
    if !prompt.system.is_empty() {
        let sections = prompt.system.join("\n\n");
        grow(&mut peek.size, &sections);
        messages.insert(0, said(Role::System, sections));
    }
}

fn grow(size: &mut crate::chat::Size, text: &str) {
    size.text_bytes = size.text_bytes.saturating_add(text.len() as u64);
    size.messages = size.messages.saturating_add(1);
}
