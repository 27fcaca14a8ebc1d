//! The bytes of an answer with vectors in; every vector as the text of a JSON array, checked, pooled and scaled, out.
//!
//! # Why a reader of our own
//! Most vectors need nothing but to be looked at: of the right length, finite, of length 1. So numbers are read once, as they stand in
//! the answer, and what needs no change is passed on as it came, without being printed again.

mod cursor;
mod digits;
mod print;

use bytes::{Bytes, BytesMut};
use cursor::Cursor;
use tollway_core::table::Pooling;

/// How far the square of a vector's length may be from 1 for the vector to count as scaled.
const UNIT: f64 = 1e-6;

/// Vectors that room is made for at once.
const MOST_AHEAD: usize = 63;

/// What an answer must be.
#[derive(Clone, Copy, Debug)]
pub struct Expected {
    pub texts: usize,
    pub dimensions: usize,
    pub normalize: bool,
    pub pooling: Pooling,
}

/// What an answer held.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Read {
    /// In the order of the texts.
    pub vectors: Vec<Bytes>,
    /// What the container says it read.
    pub tokens: Option<u64>,
}

/// Why an answer is none.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Wrong {
    #[error("the answer is no list of vectors: {what} at byte {at}")]
    Form { what: &'static str, at: usize },
    #[error("a vector has {got} dimensions, and the endpoint's spec expects {expected}")]
    Dimensions { got: usize, expected: usize },
    #[error("the answer has {got} vectors for {expected} texts")]
    Count { got: usize, expected: usize },
    #[error("the answer has token embeddings, and the endpoint's spec has no pooling for them: set Cls or Mean")]
    NotPooled,
}

/// Reads `[[...]]`, `[[[...]]]`, `{"embeddings": ...}` or `{"data": [{"index", "embedding"}]}`, whichever it is.
///
/// # Errors
/// It is none of them, or not what is expected.
pub fn read(body: &Bytes, expected: Expected) -> Result<Read, Wrong> {
    let mut reader =
        Reader { cursor: Cursor::new(body), body, expected, numbers: Vec::new(), printed: BytesMut::new(), done: 0 };
    let read = match reader.cursor.peek() {
        Some(b'[') => Read { vectors: reader.list()?, tokens: None },
        _ => reader.object()?,
    };
    reader.cursor.end()?;
    match read.vectors.len() == expected.texts {
        true => Ok(read),
        false => Err(Wrong::Count { got: read.vectors.len(), expected: expected.texts }),
    }
}

/// The numbers of a vector that was checked.
#[must_use]
pub fn numbers(text: &[u8]) -> Vec<f32> {
    let mut numbers = Vec::new();
    let mut cursor = Cursor::new(text);
    let read = cursor.take(b'[').and_then(|()| cursor.numbers(&mut numbers));
    if read.is_ok() { numbers } else { Vec::new() }
}

struct Reader<'a> {
    cursor: Cursor<'a>,
    body: &'a Bytes,
    expected: Expected,
    numbers: Vec<f32>,
    /// Where vectors are printed.
    printed: BytesMut,
    /// Vectors that were read.
    done: usize,
}

impl Reader<'_> {
    fn object(&mut self) -> Result<Read, Wrong> {
        let (mut vectors, mut tokens) = (None, None);
        self.cursor.take(b'{')?;
        while let Some(key) = self.cursor.key()? {
            match key {
                b"embeddings" => vectors = Some(self.list()?),
                b"data" => vectors = Some(self.data()?),
                b"usage" => tokens = self.cursor.number_in(b"prompt_tokens")?,
                _ => self.cursor.skip()?,
            }
        }
        let vectors = vectors.ok_or(Wrong::Form { what: "neither embeddings nor data", at: 0 })?;
        Ok(Read { vectors, tokens })
    }

    /// One vector, or one text's token embeddings, after another.
    fn list(&mut self) -> Result<Vec<Bytes>, Wrong> {
        let mut vectors = Vec::with_capacity(self.expected.texts.min(4096));
        self.cursor.take(b'[')?;
        while self.cursor.more(vectors.len())? {
            vectors.push(self.text()?);
        }
        Ok(vectors)
    }

    /// OpenAI's items, each at the place that it says.
    fn data(&mut self) -> Result<Vec<Bytes>, Wrong> {
        let mut items: Vec<(u64, Bytes)> = Vec::with_capacity(self.expected.texts.min(4096));
        self.cursor.take(b'[')?;
        while self.cursor.more(items.len())? {
            let (mut index, mut vector) = (items.len() as u64, None);
            self.cursor.take(b'{')?;
            while let Some(key) = self.cursor.key()? {
                match key {
                    b"index" => index = self.cursor.whole()?,
                    b"embedding" => vector = Some(self.text()?),
                    _ => self.cursor.skip()?,
                }
            }
            items.push((index, vector.ok_or_else(|| self.cursor.wrong("an item without embedding"))?));
        }
        items.sort_by_key(|(index, _)| *index);
        match items.iter().enumerate().all(|(at, (index, _))| at as u64 == *index) {
            true => Ok(items.into_iter().map(|(_, vector)| vector).collect()),
            false => Err(self.cursor.wrong("an index that is missing or there twice")),
        }
    }

    /// What one text came to.
    fn text(&mut self) -> Result<Bytes, Wrong> {
        let begin = self.cursor.at();
        self.cursor.take(b'[')?;
        if self.cursor.peek() != Some(b'[') {
            self.numbers.clear();
            self.cursor.numbers(&mut self.numbers)?;
            let whole = begin..self.cursor.at();
            return self.finish(|body| body.slice(whole));
        }
        if self.expected.pooling == Pooling::None {
            return Err(Wrong::NotPooled);
        }
        // Some containers put a batch of one around each text's tokens.
        let wrapped = self.cursor.ahead(b"[[");
        if wrapped {
            self.cursor.take(b'[')?;
        }
        self.pool()?;
        if wrapped && self.cursor.more(1)? {
            return Err(self.cursor.wrong("more than one list of tokens for a text"));
        }
        self.finish(|_| Bytes::new())
    }

    /// Token embeddings into one vector; the opening bracket is behind.
    fn pool(&mut self) -> Result<(), Wrong> {
        let (mut token, mut sum, mut count) = (Vec::new(), Vec::<f64>::new(), 0_usize);
        while self.cursor.more(count)? {
            token.clear();
            self.cursor.take(b'[')?;
            self.cursor.numbers(&mut token)?;
            if token.len() != self.expected.dimensions {
                return Err(Wrong::Dimensions { got: token.len(), expected: self.expected.dimensions });
            }
            if count == 0 {
                sum = token.iter().copied().map(f64::from).collect();
            } else if self.expected.pooling == Pooling::Mean {
                sum.iter_mut().zip(&token).for_each(|(sum, number)| *sum += f64::from(*number));
            }
            count += 1;
        }
        if count == 0 {
            return Err(self.cursor.wrong("no token"));
        }
        #[allow(clippy::cast_precision_loss)]
        let share = if self.expected.pooling == Pooling::Mean { 1.0 / count as f64 } else { 1.0 };
        #[allow(clippy::cast_possible_truncation)]
        let numbers = sum.into_iter().map(|number| (number * share) as f32);
        self.numbers = numbers.collect();
        Ok(())
    }

    /// Checks and scales what was read; `as_it_came` is its text, empty when there is none.
    fn finish(&mut self, as_it_came: impl FnOnce(&Bytes) -> Bytes) -> Result<Bytes, Wrong> {
        let Self { numbers, expected, printed, done, .. } = self;
        *done += 1;
        if numbers.len() != expected.dimensions {
            return Err(Wrong::Dimensions { got: numbers.len(), expected: expected.dimensions });
        }
        let came = as_it_came(self.body);
        let squared = if expected.normalize { squared(numbers) } else { 1.0 };
        // A vector of zeros has no direction and stays what it is.
        if !came.is_empty() && ((squared - 1.0).abs() <= UNIT || squared == 0.0) {
            return Ok(came);
        }
        let scale = if squared == 0.0 { 1.0 } else { squared.sqrt().recip() };
        if !expected.normalize {
            return Ok(print::shortest(numbers));
        }
        let more = expected.texts.saturating_sub(*done).min(MOST_AHEAD);
        Ok(print::unit(numbers, scale, printed, more))
    }
}

/// The square of a vector's length: eight sums side by side, which is what processors do at once.
fn squared(numbers: &[f32]) -> f64 {
    let mut sums = [0.0_f64; 8];
    let chunks = numbers.chunks_exact(8);
    let rest: f64 = chunks.remainder().iter().map(|number| f64::from(*number).powi(2)).sum();
    for chunk in chunks {
        for (sum, number) in sums.iter_mut().zip(chunk) {
            *sum += f64::from(*number) * f64::from(*number);
        }
    }
    sums.iter().sum::<f64>() + rest
}

#[cfg(test)]
mod tests;
