//! Every interleaving within bounds, in and a verdict out: the code that ships, driven by stateright through everything that can go wrong.
//!
//! # What is explored
//! `world` holds what exists (ledger objects, operators with copies, proxies with purses, a network) and what an all-knowing observer
//! remembers; `operators` and `proxies` are thin drivers around [`crate::spend::ledger::fold`] and [`crate::spend::Purse`], as
//! the two programs have them; `rules` says what must hold; `setups` lists the bounded worlds; `mistakes` are wrong drivers, each of
//! which a rule must catch. `docs/proof.md` says what is left out and how to read a counterexample.

mod check;
mod marks;
mod mistakes;
mod network;
mod operators;
mod proxies;
mod report;
mod rules;
mod search;
mod setups;
mod words;
mod world;
