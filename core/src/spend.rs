//! Money: usage and prices in, costs, grants and settlements out. Integer nano-dollars and pure state machines; `now` is an argument.
//!
//! `ledger` is the durable record of one budget and window and alone decides what may be spent; `purse` is what one proxy holds of it;
//! `convert` is how the two talk. `window` says which ledger a moment belongs to, `subject` whose share of it a request is; `bounds` and `catalog` say what a request can cost at most,
//! `forecast` where it leads.

pub mod bounds;
pub mod catalog;
pub mod convert;
pub mod forecast;
pub mod ledger;
pub mod nano;
pub mod price;
pub mod purse;
pub mod subject;
pub mod window;

pub use bounds::{DEFAULT_OUTPUT_TOKENS, Shape};
pub use forecast::{Forecast, Trend};
pub use ledger::{Effect, Event, Figures, LedgerState, Transition};
pub use nano::Nano;
pub use price::{Long, LongPart, Price, PricePart, Usage};
pub use purse::{Charge, In, Out, Purse, Reserve, Ticket};
pub use subject::{Share, Subject, Who};
pub use window::Window;

#[cfg(test)]
mod proof;
#[cfg(test)]
mod tests;
