//! A request some of whose vectors are there in; lines for its client, each as soon as it and all before it are there, out.

use super::Running;
use super::answer::{self, Form, Head};
use crate::access::Entry;
use crate::error::ApiError;
use crate::metrics::Outcome;
use crate::surface::openai;
use bytes::{Bytes, BytesMut};
use std::task::{Context, Poll, ready};

/// Bytes of lines that go out together.
const PORTION: usize = 64 * 1024;

/// A stream of lines.
#[derive(Debug)]
pub struct Lines {
    running: Running,
    pub head: Head,
    /// The next line's place.
    next: usize,
    entry: Option<Entry>,
}

impl Lines {
    pub(super) const fn new(running: Running, head: Head) -> Self {
        Self { running, head, next: 0, entry: None }
    }

    /// The same, with what is told of it when it ends.
    #[must_use]
    pub fn told_by(self, entry: Entry) -> Self {
        Self { entry: Some(entry), ..self }
    }

    /// The next bytes; none at the end.
    pub fn poll_next(&mut self, cx: &mut Context<'_>) -> Poll<Option<Bytes>> {
        loop {
            // Told means over.
            if self.entry.is_none() {
                return Poll::Ready(None);
            }
            let base64 = matches!(self.running.assembly.form(), Form::Lines { base64: true });
            let mut out = BytesMut::new();
            while out.len() < PORTION {
                let Some(vector) = self.running.assembly.take(self.next) else { break };
                answer::line(&mut out, self.next, &vector, base64);
                self.next += 1;
            }
            if !out.is_empty() {
                return Poll::Ready(Some(out.freeze()));
            }
            if self.next == self.running.assembly.texts() {
                let (line, usage, cost) = answer::last_line(&self.running.endpoint.config.model, &self.running.tab);
                if let Some(mut entry) = self.entry.take() {
                    (entry.usage, entry.cost, entry.outcome) = (usage, Some(cost), Outcome::Ok);
                }
                return Poll::Ready(Some(line));
            }
            let word = ready!(self.running.pending.poll_next(cx));
            let Some(mut entry) = self.entry.take() else { continue };
            match self.running.take(word, &mut entry) {
                Ok(()) => self.entry = Some(entry),
                Err(error) => return Poll::Ready(Some(self.broken(&error, entry))),
            }
        }
    }

    /// The line that ends a stream which cannot be completed.
    fn broken(&self, error: &ApiError, mut entry: Entry) -> Bytes {
        (entry.code, entry.outcome) = (Some(error.code), Outcome::Cut);
        entry.cost = Some(self.running.tab.cost());
        let mut line = openai::render_error(error).to_vec();
        line.push(b'\n');
        line.into()
    }
}
