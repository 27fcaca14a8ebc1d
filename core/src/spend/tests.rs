//! The ledger and the purse together: random worlds that hold the invariants, and a busy one that spends the whole cap.

mod demand;
mod model;
mod world;
