//! One answer goes out: rendered bytes, the script's decision and the request's meter in, an HTTP response (or a cut connection) out.
//! The same for both wires.

use super::book::{Flight, Outcome};
use super::script::{Corruption, Fault, Pace, Point};
use super::server::State;
use bytes::{Bytes, BytesMut};
use futures_util::stream;
use http::{HeaderValue, Response, header};
use http_body::Frame;
use http_body_util::combinators::UnsyncBoxBody;
use http_body_util::{BodyExt, Full, StreamBody};
use std::future::pending;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::watch;
use tokio::time::Instant;

/// The connection is to be cut here.
#[derive(Debug, thiserror::Error)]
#[error("cut by the script")]
pub(super) struct Cut;

pub(super) type Body = UnsyncBoxBody<Bytes, Cut>;

/// An answer ready to be sent.
pub(super) struct Answer {
    pub content_type: &'static str,
    pub headers: Vec<(&'static str, String)>,
    /// Events of a stream, or what stands for the pace of a plain answer.
    pub events: Vec<Event>,
    /// The whole body of a plain answer; absent for a stream.
    pub plain: Option<Bytes>,
    /// What a scripted error inside the stream looks like.
    pub error_event: Option<Bytes>,
}

/// One event: its bytes and the output tokens generated once it is out.
pub(super) struct Event {
    pub bytes: Bytes,
    pub tokens: u64,
    /// Carries generated content, so the pace applies.
    pub content: bool,
}

pub(super) fn whole(status: u16, content_type: &'static str, body: impl Into<Bytes>) -> Response<Body> {
    let body = Full::new(body.into()).map_err(|never| match never {}).boxed_unsync();
    let mut response = Response::new(body);
    *response.status_mut() = http::StatusCode::from_u16(status).unwrap_or(http::StatusCode::INTERNAL_SERVER_ERROR);
    response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static(content_type));
    response
}

/// A response that refuses the request before the model starts.
pub(super) fn refuse(mut flight: Flight, error: &str, response: Response<Body>) -> Response<Body> {
    flight.note(|seen| {
        seen.status = response.status().as_u16();
        seen.error = Some(error.to_owned());
    });
    flight.end(Outcome::Refused);
    response
}

async fn stall(ms: Option<u64>) {
    match ms {
        Some(ms) => tokio::time::sleep(Duration::from_millis(ms)).await,
        None => pending().await,
    }
}

/// When the content that brings the total to `tokens` is due.
fn due(started: Instant, pace: Pace, tokens: u64, first: u64) -> Instant {
    let mut at = started + Duration::from_millis(pace.first_token_ms);
    if pace.tokens_per_second > 0 {
        at += Duration::from_secs_f64((tokens - first) as f64 / f64::from(pace.tokens_per_second));
    }
    at
}

pub(super) async fn send(
    state: &Arc<State>,
    mut flight: Flight,
    answer: Answer,
    pace: Pace,
    fault: Option<Fault>,
) -> Result<Response<Body>, Cut> {
    if let Some(Fault::Refuse { ms }) = fault {
        state.refuse_for(Duration::from_millis(ms));
        flight.end(Outcome::Faulted);
        return Err(Cut);
    }
    if answer.plain.is_none() {
        match fault {
            Some(Fault::Stall { at: Point::Headers, ms }) => stall(ms).await,
            Some(Fault::Cut { at: Point::Headers }) => {
                flight.end(Outcome::Faulted);
                return Err(Cut);
            }
            _ => {}
        }
        let releases = state.releases.subscribe();
        let mut response = Response::new(streamed(flight, answer.events, pace, fault, answer.error_event, releases));
        decorate(&mut response, answer.content_type, answer.headers);
        return Ok(response);
    }
    send_plain(flight, answer, pace, fault).await
}

fn decorate(response: &mut Response<Body>, content_type: &'static str, headers: Vec<(&'static str, String)>) {
    response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static(content_type));
    for (name, value) in headers {
        if let Ok(value) = HeaderValue::from_str(&value) {
            response.headers_mut().insert(name, value);
        }
    }
}

async fn send_plain(
    mut flight: Flight,
    answer: Answer,
    pace: Pace,
    fault: Option<Fault>,
) -> Result<Response<Body>, Cut> {
    let started = Instant::now();
    let first = answer.events.iter().find(|e| e.content).map_or(0, |e| e.tokens);
    for event in &answer.events {
        if pace != Pace::default() && event.content {
            tokio::time::sleep_until(due(started, pace, event.tokens, first)).await;
        }
        flight.generated(event.tokens);
    }
    let body = answer.plain.unwrap_or_default();
    let length = body.len();
    flight.note(|seen| seen.status = 200);
    let body = match fault {
        Some(Fault::Cut { at: Point::Headers }) => {
            flight.note(|seen| seen.status = 0);
            flight.end(Outcome::Faulted);
            return Err(Cut);
        }
        Some(Fault::Stall { at: Point::Headers | Point::FirstToken, ms }) => {
            stall(ms).await;
            delivered(flight, body)
        }
        Some(Fault::Cut { .. }) => interrupted(flight, body, None),
        Some(Fault::Stall { ms, .. }) => interrupted(flight, body, Some(ms)),
        // Vectors were made too long already.
        Some(Fault::Corrupt { kind: Corruption::Dimensions, .. }) => delivered(flight, body),
        Some(Fault::Corrupt { .. }) => delivered(flight, Bytes::from(vec![b'\xff'; length])),
        // Errors were answered before the model started.
        Some(Fault::Error { .. } | Fault::Status { .. } | Fault::StreamError { .. } | Fault::Refuse { .. }) | None => {
            delivered(flight, body)
        }
    };
    let mut response = Response::new(body);
    decorate(&mut response, answer.content_type, answer.headers);
    response.headers_mut().insert(header::CONTENT_LENGTH, HeaderValue::from(length));
    Ok(response)
}

/// All of a plain body at once.
fn delivered(mut flight: Flight, body: Bytes) -> Body {
    // Ended only when the body is asked for: a client that left before is a cancelled request.
    let once = stream::once(async move {
        flight.end(Outcome::Complete);
        Ok(Frame::data(body))
    });
    StreamBody::new(once).boxed_unsync()
}

/// Half a plain body, then a pause and the rest, or the end of the connection.
fn interrupted(flight: Flight, body: Bytes, pause: Option<Option<u64>>) -> Body {
    let half = body.len() / 2;
    let parts = stream::unfold((flight, body, 0), move |(mut flight, body, step)| async move {
        match (step, pause) {
            (0, _) => Some((Ok(Frame::data(body.slice(..half))), (flight, body, 1))),
            (1, Some(ms)) => {
                stall(ms).await;
                flight.end(Outcome::Complete);
                Some((Ok(Frame::data(body.slice(half..))), (flight, body, 2)))
            }
            (1, None) => {
                // What was sent reaches the socket before the connection goes.
                tokio::task::yield_now().await;
                flight.end(Outcome::Faulted);
                Some((Err(Cut), (flight, body, 2)))
            }
            _ => None,
        }
    });
    StreamBody::new(parts).boxed_unsync()
}

struct Run {
    flight: Flight,
    events: std::vec::IntoIter<Event>,
    sent: usize,
    pace: Pace,
    started: Instant,
    first: u64,
    fault: Option<Fault>,
    fault_at: usize,
    error_event: Option<Bytes>,
    releases: watch::Receiver<u64>,
    then: Then,
}

#[derive(PartialEq)]
enum Then {
    GoOn,
    Cut,
    End(Outcome),
}

fn streamed(
    mut flight: Flight,
    events: Vec<Event>,
    pace: Pace,
    fault: Option<Fault>,
    error_event: Option<Bytes>,
    releases: watch::Receiver<u64>,
) -> Body {
    flight.note(|seen| seen.status = 200);
    let fault_at = match fault {
        Some(Fault::StreamError { after_events, .. } | Fault::Corrupt { after_events, .. }) => after_events,
        Some(Fault::Stall { at, .. } | Fault::Cut { at }) => match at {
            Point::Headers => usize::MAX,
            Point::FirstToken => 0,
            Point::Events(after) => after,
            Point::Body => events.len() / 2,
        },
        _ => usize::MAX,
    };
    // A fault beyond the end strikes in place of the last event: a script that asks for one gets it.
    let fault_at = if fault_at == usize::MAX { fault_at } else { fault_at.min(events.len().saturating_sub(1)) };
    let first = events.iter().find(|e| e.content).map_or(0, |e| e.tokens);
    let run = Run {
        flight,
        events: events.into_iter(),
        sent: 0,
        pace,
        started: Instant::now(),
        first,
        fault,
        fault_at,
        error_event,
        releases,
        then: Then::GoOn,
    };
    let frames = stream::unfold(run, |mut run| async move {
        let next = run.next().await?;
        Some((next.map(Frame::data), run))
    });
    StreamBody::new(frames).boxed_unsync()
}

impl Run {
    async fn next(&mut self) -> Option<Result<Bytes, Cut>> {
        match self.then {
            Then::GoOn => {}
            Then::Cut => {
                // What was sent reaches the socket before the connection goes.
                tokio::task::yield_now().await;
                self.flight.end(Outcome::Faulted);
                self.then = Then::End(Outcome::Faulted);
                return Some(Err(Cut));
            }
            Then::End(outcome) => {
                self.flight.end(outcome);
                return None;
            }
        }
        if self.sent == self.fault_at
            && let Some(fault) = self.fault.take()
            && let Some(bytes) = self.strike(fault).await
        {
            return Some(bytes);
        }
        let Some(event) = self.events.next() else {
            self.flight.end(Outcome::Complete);
            return None;
        };
        if event.content && self.pace != Pace::default() {
            tokio::time::sleep_until(due(self.started, self.pace, event.tokens, self.first)).await;
        }
        self.flight.generated(event.tokens);
        self.flight.sent_event();
        self.sent += 1;
        Some(Ok(event.bytes))
    }

    /// What the fault puts in place of the next event; nothing when it was only a pause.
    async fn strike(&mut self, fault: Fault) -> Option<Result<Bytes, Cut>> {
        match fault {
            Fault::Stall { ms: None, .. } => {
                if self.releases.changed().await.is_err() {
                    pending::<()>().await;
                }
                None
            }
            Fault::Stall { ms, .. } => {
                stall(ms).await;
                None
            }
            Fault::Cut { .. } => {
                self.then = Then::Cut;
                let event = self.generate_next()?;
                Some(Ok(event.slice(..event.len() / 2)))
            }
            Fault::StreamError { name, .. } => {
                self.then = Then::End(Outcome::Faulted);
                self.flight.note(|seen| seen.error = Some(name.wire().0.to_owned()));
                self.error_event.take().map(Ok)
            }
            Fault::Corrupt { kind, .. } => {
                self.then = Then::End(Outcome::Faulted);
                let event = self.generate_next()?;
                Some(Ok(match kind {
                    Corruption::Checksum => spoilt(&event),
                    Corruption::Garbage | Corruption::Dimensions => Bytes::from(vec![0xff; event.len().max(64)]),
                }))
            }
            Fault::Error { .. } | Fault::Status { .. } | Fault::Refuse { .. } => None,
        }
    }

    /// The next event's bytes; it has been generated, so it is charged although it does not arrive.
    fn generate_next(&mut self) -> Option<Bytes> {
        let event = self.events.next()?;
        self.flight.generated(event.tokens);
        Some(event.bytes)
    }
}

/// The event with its last byte but the line ends changed: a checksum that is wrong, or JSON that does not close.
fn spoilt(event: &Bytes) -> Bytes {
    let mut bytes = BytesMut::from(event.as_ref());
    if let Some(last) = bytes.iter_mut().rev().find(|b| **b != b'\n') {
        *last ^= 0x55;
    }
    bytes.freeze()
}
