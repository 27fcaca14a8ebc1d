//! A chat in the internal form in; its system text and plain turns out, for models that read one prompt, or the field that they cannot read.
//!
//! # What is left behind
//! Thoughts of earlier turns, cache points and speakers' names: they belong to other providers and never change what an answer may say.

use crate::chat::{Block, ChatRequest, Effort, Message, ResponseFormat, Role};
use crate::error::ApiError;
use tollway_core::table::Template;

/// A conversation in plain text: turns alternate, the first one is the user's.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Turns {
    /// Empty: none.
    pub system: String,
    /// By whom, and what; never empty. Where the last one is the model's, the answer goes on from it.
    pub turns: Vec<Turn>,
}

/// One turn.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Turn {
    pub is_user: bool,
    pub text: String,
}

/// What no prompt can say.
fn refused(field: impl Into<String>, what: &str) -> ApiError {
    let field = field.into();
    let message = format!("{field}: this model reads plain text and has no {what}; leave it out");
    ApiError::unsupported(field, message)
}

impl Turns {
    /// Reads the conversation.
    ///
    /// # Errors
    /// The first field that plain text cannot say.
    pub fn of(request: &ChatRequest) -> Result<Self, ApiError> {
        if let Some(name) = request.dialect_only.keys().next() {
            return Err(refused(name, "such parameter"));
        }
        if request.n > 1 {
            return Err(refused("n", "more than one completion"));
        }
        if !request.tools.is_empty() {
            return Err(refused("tools", "tools"));
        }
        if request.response_format != ResponseFormat::Text {
            return Err(refused("response_format", "structured output"));
        }
        if request.effort.is_some_and(|effort| effort != Effort::Off) {
            return Err(refused("reasoning_effort", "reasoning"));
        }
        let mut turns = Self { system: text(&request.system, "system")?, turns: Vec::new() };
        for (at, Message { role, content, name: _ }) in request.messages.iter().enumerate() {
            let said = text(content, &format!("messages[{at}].content"))?;
            if said.trim().is_empty() {
                continue;
            }
            match role {
                Role::System => append(&mut turns.system, &said),
                Role::User | Role::Assistant => turns.say(*role == Role::User, &said),
            }
        }
        if turns.turns.is_empty() {
            // Instructions alone are what the user wants to know.
            let system = std::mem::take(&mut turns.system);
            turns.say(true, &system);
        }
        Ok(turns)
    }

    fn say(&mut self, is_user: bool, said: &str) {
        match self.turns.last_mut() {
            Some(last) if last.is_user == is_user => append(&mut last.text, said),
            None if !is_user => {
                self.turns.push(Turn { is_user: true, text: String::new() });
                self.turns.push(Turn { is_user, text: said.to_owned() });
            }
            _ => self.turns.push(Turn { is_user, text: said.to_owned() }),
        }
    }

    /// One text with a line for each turn, as models were taught that know two names.
    #[must_use]
    pub fn dialogue(&self, user: &str, model: &str) -> String {
        let mut prompt = String::new();
        if !self.system.is_empty() {
            prompt = format!("{}\n\n", self.system);
        }
        for Turn { is_user, text } in &self.turns {
            prompt.push_str(&format!("{}: {text}\n", if *is_user { user } else { model }));
        }
        match self.turns.last() {
            Some(last) if !last.is_user => _ = prompt.pop(),
            _ => prompt.push_str(&format!("{model}:")),
        }
        prompt
    }

    /// One text as a template has it.
    #[must_use]
    pub fn prompt(&self, template: Template) -> String {
        match template {
            Template::Llama2 => self.instructions(true),
            Template::Mistral => self.instructions(false),
            Template::Llama3 => self.llama3(),
            Template::CodeLlama70b => self.sources(),
        }
    }

    /// `[INST]`: the system text stands in the first one.
    fn instructions(&self, marks_system: bool) -> String {
        let mut prompt = String::from("<s>");
        let mut system = match (self.system.is_empty(), marks_system) {
            (true, _) => String::new(),
            (false, true) => format!("<<SYS>>\n{}\n<</SYS>>\n\n", self.system),
            (false, false) => format!("{}\n\n", self.system),
        };
        for (at, Turn { is_user, text }) in self.turns.iter().enumerate() {
            if *is_user {
                if at > 0 {
                    prompt.push_str(if marks_system { " </s><s>" } else { "</s>" });
                }
                prompt.push_str(&format!("[INST] {}{text} [/INST]", std::mem::take(&mut system)));
            } else {
                prompt.push_str(&format!(" {text}"));
            }
        }
        prompt
    }

    fn llama3(&self) -> String {
        let head = |who: &str| format!("<|start_header_id|>{who}<|end_header_id|>\n\n");
        let mut prompt = String::from("<|begin_of_text|>");
        if !self.system.is_empty() {
            prompt.push_str(&format!("{}{}<|eot_id|>", head("system"), self.system));
        }
        for (at, Turn { is_user, text }) in self.turns.iter().enumerate() {
            let goes_on = at + 1 == self.turns.len() && !is_user;
            let end = if goes_on { "" } else { "<|eot_id|>" };
            prompt.push_str(&format!("{}{text}{end}", head(if *is_user { "user" } else { "assistant" })));
        }
        if self.turns.last().is_some_and(|last| last.is_user) {
            prompt.push_str(&head("assistant"));
        }
        prompt
    }

    fn sources(&self) -> String {
        let mut prompt = String::from("<s>");
        if !self.system.is_empty() {
            prompt.push_str(&format!("Source: system\n\n {} <step> ", self.system.trim()));
        }
        for (at, Turn { is_user, text }) in self.turns.iter().enumerate() {
            let text = text.trim();
            match (is_user, at + 1 == self.turns.len()) {
                (true, _) => prompt.push_str(&format!("Source: user\n\n {text} <step> ")),
                (false, false) => {
                    prompt.push_str(&format!("Source: assistant\nDestination: user\n\n {text} <step> "));
                }
                (false, true) => prompt.push_str(&format!("Source: assistant\nDestination: user\n\n {text}")),
            }
        }
        if self.turns.last().is_some_and(|last| last.is_user) {
            prompt.push_str("Source: assistant\nDestination: user\n\n ");
        }
        prompt
    }
}

fn append(text: &mut String, more: &str) {
    if !text.is_empty() {
        text.push_str("\n\n");
    }
    text.push_str(more);
}

fn text(blocks: &[Block], field: &str) -> Result<String, ApiError> {
    let mut said = String::new();
    for block in blocks {
        match block {
            Block::Text(text) | Block::Refusal(text) => append(&mut said, text),
            Block::Reasoning { .. } | Block::RedactedReasoning(_) | Block::CachePoint(_) => {}
            Block::Image(_) => return Err(refused(field, "images")),
            Block::Document(_) => return Err(refused(field, "documents")),
            Block::Audio(_) => return Err(refused(field, "audio")),
            Block::ToolUse { .. } | Block::ToolResult { .. } => return Err(refused(field, "tools")),
        }
    }
    Ok(said)
}

/// A number in the range that the model takes; the client's own, else the route's default where that is in it.
///
/// # Errors
/// The client's is not.
pub fn within(field: &str, asked: Option<f64>, default: Option<f64>, most: f64) -> Result<Option<f64>, ApiError> {
    match asked {
        Some(value) if value > most => {
            let message = format!("{field}: this model takes at most {most}");
            Err(ApiError::unsupported(field, message))
        }
        Some(value) => Ok(Some(value)),
        None => Ok(default.filter(|value| *value <= most)),
    }
}

/// The fields of `fields` that the client set and the model does not have.
///
/// # Errors
/// The first of them.
pub fn without(fields: &[(&str, bool)]) -> Result<(), ApiError> {
    match fields.iter().find(|(_, set)| *set) {
        Some((field, _)) => Err(refused(*field, "such parameter")),
        None => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn chat(system: &str, said: &[(Role, &str)]) -> ChatRequest {
        let block = |text: &str| vec![Block::Text(text.to_owned())];
        let message = |(role, text): &(Role, &str)| Message { role: *role, content: block(text), name: None };
        ChatRequest {
            system: if system.is_empty() { Vec::new() } else { block(system) },
            messages: said.iter().map(message).collect(),
            n: 1,
            ..ChatRequest::default()
        }
    }

    #[test]
    fn turns_alternate_and_begin_with_the_user() {
        use Role::{Assistant, System, User};
        let turns =
            Turns::of(&chat("Be brief.", &[(User, "a"), (User, "b"), (Assistant, " "), (System, "Now.")])).unwrap();
        assert_eq!(turns.system, "Be brief.\n\nNow.");
        assert_eq!(turns.turns, [Turn { is_user: true, text: "a\n\nb".to_owned() }]);
        let turns = Turns::of(&chat("", &[(Assistant, "Yes?")])).unwrap();
        assert_eq!((turns.turns.len(), turns.turns[0].text.as_str()), (2, ""));
        let turns = Turns::of(&chat("Only this.", &[])).unwrap();
        assert_eq!((turns.system.as_str(), turns.turns[0].text.as_str()), ("", "Only this."));
    }

    #[test]
    fn each_template_is_its_familys() {
        use Role::{Assistant, User};
        let turns = Turns::of(&chat("S", &[(User, "u1"), (Assistant, "a1"), (User, "u2")])).unwrap();
        for (template, prompt) in [
            (Template::Llama2, "<s>[INST] <<SYS>>\nS\n<</SYS>>\n\nu1 [/INST] a1 </s><s>[INST] u2 [/INST]"),
            (Template::Mistral, "<s>[INST] S\n\nu1 [/INST] a1</s>[INST] u2 [/INST]"),
            (
                Template::Llama3,
                "<|begin_of_text|><|start_header_id|>system<|end_header_id|>\n\nS<|eot_id|><|start_header_id|>user<|end_header_id|>\n\nu1<|eot_id|><|start_header_id|>assistant<|end_header_id|>\n\na1<|eot_id|><|start_header_id|>user<|end_header_id|>\n\nu2<|eot_id|><|start_header_id|>assistant<|end_header_id|>\n\n",
            ),
            (
                Template::CodeLlama70b,
                "<s>Source: system\n\n S <step> Source: user\n\n u1 <step> Source: assistant\nDestination: user\n\n a1 <step> Source: user\n\n u2 <step> Source: assistant\nDestination: user\n\n ",
            ),
        ] {
            assert_eq!(turns.prompt(template), prompt, "{template:?}");
        }
        assert_eq!(turns.dialogue("User", "Bot"), "S\n\nUser: u1\nBot: a1\nUser: u2\nBot:");
    }

    #[test]
    fn a_turn_of_the_model_at_the_end_goes_on() {
        let turns = Turns::of(&chat("", &[(Role::User, "u"), (Role::Assistant, "It is")])).unwrap();
        assert_eq!(turns.prompt(Template::Llama2), "<s>[INST] u [/INST] It is");
        assert!(turns.prompt(Template::Llama3).ends_with("assistant<|end_header_id|>\n\nIt is"));
        assert_eq!(turns.dialogue("User", "Bot"), "User: u\nBot: It is");
    }
}
