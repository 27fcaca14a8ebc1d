//! Upstreams that cannot run here, simulated on loopback: HTTP requests of a Bedrock or SageMaker runtime's client or an OpenAI-compatible one come in,
//! answers on the real wire go out, and a bill of their own says what they would have cost.
//!
//! ```no_run
//! # use tollway_tests::sim::{Config, Exception, Rule, Sim};
//! # async fn example() -> anyhow::Result<()> {
//! let sim = Sim::start(Config::default()).await?;
//! sim.script(Rule::error(Exception::Throttling).times(2));      // the next two requests are throttled
//! println!("AWS_ENDPOINT_URL_BEDROCK_RUNTIME={}", sim.url());   // and OpenAI clients use `{url}/v1`
//! sim.idle().await;
//! assert_eq!(sim.bill().nano, 0);
//! # Ok(()) }
//! ```
//!
//! # Why one process speaks both
//!
//! A fall-back test has a Bedrock target and an OpenAI-compatible one; faults, pace, tokens and money mean the same for both, so
//! one script, one bill and one log serve them. A test that needs two independent upstreams starts two simulators.
//!
//! # Tokens
//!
//! A piece of text counts one token for every 4 bytes of UTF-8, rounded up; a message adds 4 tokens, an image or document 1,600.
//! Output stops at the request's limit. The numbers are a model's settings ([`Model`]).
//!
//! # Money
//!
//! Input is charged when the model starts to read, output as it is generated: events of a stream one by one, a plain answer as a
//! whole. What a client cuts, or a scripted fault, is charged up to there; an error before the model starts costs nothing.

mod account;
mod admin;
mod anthropic;
pub(crate) mod bedrock;
mod book;
mod config;
mod embedder;
mod generate;
mod hosted;
mod openai;
mod queued;
mod reply;
mod script;
mod serve;
mod server;

pub use account::{Account, Held};
pub use admin::rules;
pub use bedrock::Shapes;
pub use bedrock::shapes;
pub use bedrock::signature::Credential;
pub use book::{Bill, ModelBill, Outcome, Seen, Surface};
pub use config::{Answers, Config, Embeds, Model, Price};
pub use embedder::vector;
pub use reply::{Block, Reply};
pub use script::{Corruption, Exception, Fault, Pace, Point, Rule, When};

use server::{Gate, State};
use std::net::SocketAddr;
use std::sync::Arc;
use tokio::task::JoinHandle;

/// A running simulator; dropping it stops it.
pub struct Sim {
    state: Arc<State>,
    address: SocketAddr,
    accepting: JoinHandle<()>,
}

impl Sim {
    /// Listens and serves on the current runtime.
    ///
    /// # Errors
    /// The address cannot be bound.
    pub async fn start(config: Config) -> anyhow::Result<Self> {
        let state = State::new(config);
        let (address, accepting) = server::start(Arc::clone(&state)).await?;
        Ok(Self { state, address, accepting })
    }

    /// Where it listens.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// `http://address`, for `AWS_ENDPOINT_URL_BEDROCK_RUNTIME`; OpenAI clients append `/v1`.
    #[must_use]
    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// What it has charged so far, requests in flight included.
    #[must_use]
    pub fn bill(&self) -> Bill {
        self.state.book.bill()
    }

    /// Adds a rule behind those already there.
    pub fn script(&self, rule: Rule) {
        self.state.script().push(rule);
    }

    /// Results of asynchronous invocations are held back from now on, or no longer.
    pub fn hold_results(&self, hold: bool) {
        self.state.holding.send_replace(hold);
    }

    /// Drops every rule.
    pub fn clear_script(&self) {
        self.state.script().clear();
    }

    /// Requests that have ended, oldest first, as far as the log reaches back.
    #[must_use]
    pub fn requests(&self) -> Vec<Seen> {
        self.state.book.requests()
    }

    /// Requests now being served.
    #[must_use]
    pub fn in_flight(&self) -> usize {
        self.state.book.in_flight()
    }

    /// When clients left before their answer was complete, in milliseconds since the Unix epoch.
    #[must_use]
    pub fn cancelled(&self) -> Vec<u64> {
        self.state.book.cancelled()
    }

    /// Waits until `enough` holds for (requests started, requests in flight).
    pub async fn wait_until(&self, enough: impl FnMut(u64, usize) -> bool) {
        self.state.book.wait_until(enough).await;
    }

    /// Waits until nothing is in flight.
    pub async fn idle(&self) {
        self.wait_until(|_, in_flight| in_flight == 0).await;
    }

    /// Ends every endless silence inside a stream that lasts now ([`Fault::Stall`] without a span).
    pub fn release(&self) {
        self.state.releases.send_modify(|releases| *releases += 1);
    }

    /// Closes the port: connects are refused, idle connections closed, requests in flight finished. Returns when it is so.
    pub async fn refuse(&self) {
        self.state.set_gate(Gate::Refusing);
        self.state.listening(false).await;
    }

    /// Opens the same port again. Returns when it is so.
    pub async fn accept(&self) {
        self.state.set_gate(Gate::Open);
        self.state.listening(true).await;
    }

    /// Cuts every connection and stops.
    pub async fn shutdown(mut self) {
        self.state.set_gate(Gate::Closed);
        // A listener that panicked has stopped as well.
        let _ = (&mut self.accepting).await;
    }
}

impl Drop for Sim {
    fn drop(&mut self) {
        self.state.set_gate(Gate::Closed);
    }
}
