//! Money: usage and prices in, costs, grants and settlements out. Integer nano-dollars and pure state machines; `now` is an argument.

pub mod nano;
pub mod price;

pub use nano::Nano;
pub use price::{Price, Usage};
