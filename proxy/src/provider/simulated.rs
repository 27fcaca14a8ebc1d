//! A pretended model: a reply spoken word by word at a set pace, with a failure now and then; no network, and honest usage.

use super::{Call, Prepared, Step};
use crate::attempt::{Job, Skip};
use crate::chat::{self, Block, BlockStart, ChatResponse, Delta, FinishReason, StreamEvent};
use crate::error::ApiError;
use crate::surface::{Form, Renderer};
use bytes::Bytes;
use std::collections::VecDeque;
use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;
use tokio::time::{Instant, Sleep};
use tollway_core::spend::{Usage, bounds};
use tollway_core::table::{Simulated, Target};

/// What a pretended model is going to say.
#[derive(Debug)]
pub struct Script {
    words: VecDeque<String>,
    cut: bool,
    first_after: Duration,
    /// Between two words.
    pause: Duration,
    /// Every so many requests one fails; 0: none.
    fail_every: u32,
    usage: Usage,
}

pub(super) fn prepare(job: &Job<'_>, target: &Target, spec: &Simulated, output: u32) -> Result<Prepared, Skip> {
    if job.peek.n > 1 {
        let message = "a simulated target gives one completion: leave n out or set it to 1";
        return Err(Skip::Inexpressible(ApiError::unsupported("n", message)));
    }
    if let Form::Invoke(_) = job.peek.form {
        let why =
            "a simulated target does not speak in the words of a model family, which InvokeModel does; use Converse";
        return Err(Skip::Inexpressible(ApiError::invalid(why)));
    }
    if let Form::Embeddings(_) = job.peek.form {
        let why = "a simulated target speaks and does not embed; use a Bedrock or OpenAI-compatible target";
        return Err(Skip::Inexpressible(ApiError::invalid(why).param("model")));
    }
    let shape = job.shape();
    let most = usize::try_from(output).unwrap_or(usize::MAX);
    let mut words: VecDeque<String> = spec.reply.split_inclusive(char::is_whitespace).map(str::to_owned).collect();
    let cut = words.len() > most;
    words.truncate(most);
    let input = shape.bytes.div_ceil(4).min(bounds::input_tokens(&target.bounds, &shape));
    let usage = Usage { input, output: words.len() as u64, ..Usage::default() };
    let pause = match spec.tokens_per_second {
        0 => Duration::ZERO,
        pace => Duration::from_secs(1) / pace,
    };
    let first_after = Duration::from_millis(spec.first_token_ms);
    let script = Script { words, cut, first_after, pause, fail_every: spec.fail_every, usage };
    Ok(Prepared { shape, call: Call::Pretend(script) })
}

impl Script {
    /// Whether the target's n-th request is one that fails.
    #[must_use]
    pub const fn fails(&self, number: u64) -> bool {
        self.fail_every > 0 && number.is_multiple_of(self.fail_every as u64)
    }

    const fn finish(&self) -> FinishReason {
        if self.cut { FinishReason::Length } else { FinishReason::Stop }
    }

    /// The whole answer, after the time that saying it takes.
    pub async fn whole(self) -> ChatResponse {
        let pauses = u32::try_from(self.words.len().saturating_sub(1)).unwrap_or(u32::MAX);
        tokio::time::sleep(self.first_after + self.pause.saturating_mul(pauses)).await;
        let finish = self.finish();
        ChatResponse {
            id: None,
            model: None,
            content: vec![Block::Text(self.words.into_iter().collect())],
            finish,
            stop_sequence: None,
            usage: Some(chat::Usage { tokens: self.usage, reasoning: 0 }),
        }
    }
}

/// A pretended model that is speaking.
pub struct Pretended {
    script: Script,
    renderer: Renderer,
    sleep: Pin<Box<Sleep>>,
    said: Said,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Said {
    Nothing,
    Begun,
    Everything,
}

impl fmt::Debug for Pretended {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Pretended").field("said", &self.said).finish_non_exhaustive()
    }
}

impl Pretended {
    #[must_use]
    pub fn new(script: Script, renderer: Renderer) -> Self {
        let sleep = Box::pin(tokio::time::sleep(script.first_after));
        Self { script, renderer, sleep, said: Said::Nothing }
    }

    pub fn poll_step(&mut self, cx: &mut Context<'_>) -> Poll<Step> {
        if self.said == Said::Everything {
            return Poll::Ready(Step::End);
        }
        ready!(self.sleep.as_mut().poll(cx));
        let mut out = Vec::new();
        if self.said == Said::Nothing {
            self.said = Said::Begun;
            self.renderer.event(&StreamEvent::Start { id: None, model: None }, &mut out);
            self.renderer.event(&StreamEvent::BlockStart { index: 0, block: BlockStart::Text }, &mut out);
        }
        // Without a pace everything is said at once.
        let due = if self.script.pause.is_zero() { self.script.words.len() } else { 1 };
        for word in self.script.words.drain(..due.min(self.script.words.len())) {
            self.renderer.event(&StreamEvent::BlockDelta { index: 0, delta: Delta::Text(word) }, &mut out);
        }
        if self.script.words.is_empty() {
            self.said = Said::Everything;
            self.finish(&mut out);
        } else {
            let next = self.sleep.deadline() + self.script.pause;
            self.sleep.as_mut().reset(next.max(Instant::now()));
        }
        Poll::Ready(Step::Bytes(Bytes::from(out)))
    }

    fn finish(&mut self, out: &mut Vec<u8>) {
        let finish = StreamEvent::Finish { reason: self.script.finish(), stop_sequence: None };
        let usage = StreamEvent::Usage(chat::Usage { tokens: self.script.usage, reasoning: 0 });
        for event in [StreamEvent::BlockStop { index: 0 }, finish, usage] {
            self.renderer.event(&event, out);
        }
        self.renderer.end(out);
    }

    #[must_use]
    pub fn is_complete(&self) -> bool {
        self.said == Said::Everything
    }

    #[must_use]
    pub fn events(&self) -> u64 {
        self.renderer.events()
    }

    #[must_use]
    pub fn usage(&self) -> Option<Usage> {
        (self.said == Said::Everything).then_some(self.script.usage)
    }
}
