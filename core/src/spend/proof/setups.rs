//! The bounded worlds: which troubles each has and how often, small enough to search every interleaving of them.

use super::marks::Mark;
use super::mistakes::Mistake;
use super::world::{Left, WINDOW_MS};
use crate::spend::ledger::LIFE_MS;

/// How a request under way may end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Ending {
    /// It cost its worst case, and the provider said so.
    Dear,
    /// It cost one less than that.
    Cheap,
    /// It was never sent, or refused whole.
    Refused,
    /// Nobody knows; in truth it cost its worst case.
    CutDear,
    /// Nobody knows; in truth it cost nothing.
    CutFree,
    /// It cost one more than its bound.
    Over,
}

/// Bounds of one world.
#[derive(Clone, Debug)]
pub(super) struct Setup {
    pub(super) name: &'static str,
    /// What it is about, in one line.
    pub(super) about: &'static str,
    pub(super) operators: usize,
    pub(super) proxies: usize,
    pub(super) budgets: usize,
    pub(super) windows: usize,
    pub(super) cap: u64,
    /// Limits that the spec may be changed to, in that order.
    pub(super) caps: &'static [u64],
    /// Worst cases of requests, by budget alike.
    pub(super) sizes: &'static [u64],
    pub(super) endings: &'static [Ending],
    /// The moments that clocks show, from the first on.
    pub(super) instants: &'static [i64],
    /// Each process has a clock of its own, with any difference between them.
    pub(super) skewed: bool,
    /// Purses are asked for what is due at any time later, instead of after each event.
    pub(super) lazy: bool,
    /// Operators run on when the record is put back, and remember what they knew.
    pub(super) awake: bool,
    /// Where the budget stands is told to proxies.
    pub(super) states: bool,
    pub(super) left: Left,
    /// What has to be reached, or the world is too small.
    pub(super) marks: &'static [Mark],
    pub(super) mistake: Option<Mistake>,
}

const NOTHING: Left = Left {
    requests: 2,
    caps: 0,
    restarts: 0,
    gone: 0,
    connects: 0,
    crashes: 0,
    unsure: 0,
    saves: 0,
    losses: 0,
    resumes: 0,
};

const PLAIN: Setup = Setup {
    name: "",
    about: "",
    operators: 1,
    proxies: 2,
    budgets: 1,
    windows: 1,
    cap: 4,
    caps: &[],
    sizes: &[1],
    endings: &[Ending::Dear],
    instants: &[0],
    skewed: false,
    lazy: false,
    awake: false,
    states: false,
    left: NOTHING,
    marks: &[],
    mistake: None,
};

/// What a purse is left to drain before its grant's life ends.
const LAST_ADMITTED_MS: i64 = LIFE_MS - 15 * 60_000;

/// Every world; `full` is what `make prove` searches, else what `make test` has the time for.
pub(super) fn all(full: bool) -> Vec<Setup> {
    let n = |small, large| if full { large } else { small };
    vec![
        Setup {
            name: "two operators",
            about: "two writers with stale copies over one object, writes of unknown outcome, crashes",
            operators: 2,
            endings: &[Ending::Dear, Ending::Refused],
            left: Left { requests: n(2, 3), crashes: 1, unsure: 1, ..NOTHING },
            marks: &[Mark::Conflict, Mark::Unsure, Mark::LateClose, Mark::SameGrantAgain],
            ..PLAIN
        },
        Setup {
            name: "restarts",
            about: "proxies die with work in flight, come back in the same Pod or another; late messages of the dead",
            endings: &[Ending::Dear, Ending::CutFree],
            left: Left { requests: 3, restarts: 1, gone: n(0, 1), connects: 1, ..NOTHING },
            marks: &[Mark::Burned, Mark::DeadRefused],
            ..PLAIN
        },
        Setup {
            name: "expiry",
            about: "lives of grants end while clocks differ by any amount",
            endings: &[Ending::Dear, Ending::CutDear],
            instants: &[0, LAST_ADMITTED_MS, LIFE_MS],
            skewed: true,
            left: Left { requests: 3, ..NOTHING },
            marks: &[Mark::Burned, Mark::SpentAfterBurn],
            ..PLAIN
        },
        Setup {
            name: "limit",
            about: "the limit is lowered under what is committed, and raised again",
            cap: 6,
            caps: &[2, 5],
            endings: &[Ending::Dear, Ending::Refused],
            left: Left { requests: 3, caps: 2, ..NOTHING },
            marks: &[Mark::AboveLoweredCap, Mark::RecallAnswered],
            ..PLAIN
        },
        Setup {
            name: "contention",
            about: "three proxies and less than they want: recalls, refusals, the last cent",
            proxies: 3,
            cap: 3,
            sizes: &[1, 2],
            endings: &[Ending::Dear, Ending::Cheap],
            marks: &[Mark::RecallAnswered, Mark::Exhausted, Mark::AllSpent],
            ..PLAIN
        },
        Setup {
            name: "rollover",
            about: "a window ends while grants of it drain; clocks differ",
            windows: 2,
            cap: 3,
            endings: &[Ending::Dear, Ending::Refused],
            instants: &[WINDOW_MS - 60_000, WINDOW_MS],
            skewed: true,
            left: Left { requests: 3, ..NOTHING },
            marks: &[Mark::DrainingAfterRollover],
            ..PLAIN
        },
        Setup {
            name: "two budgets",
            about: "every request needs both, or none",
            budgets: 2,
            cap: 2,
            endings: &[Ending::Dear, Ending::Refused],
            marks: &[Mark::HalfGivenBack],
            ..PLAIN
        },
        Setup {
            name: "rolled back",
            about: "the object is put back to an older state; rule 10",
            left: Left { requests: 3, saves: 1, losses: 1, connects: 2, resumes: 1, ..NOTHING },
            marks: &[Mark::Frozen, Mark::FrozenRefused, Mark::ResumedGrant],
            ..PLAIN
        },
        Setup {
            name: "rolled back, awake",
            about: "the same while the operators run on and know better; rule 10",
            awake: true,
            left: Left { requests: 3, saves: 1, losses: 1, connects: 1, resumes: 1, ..NOTHING },
            marks: &[Mark::Conflict, Mark::Frozen, Mark::FrozenRefused, Mark::ResumedGrant],
            ..PLAIN
        },
        Setup {
            name: "gone",
            about: "the object is deleted and made anew, frozen; rule 10",
            left: Left { requests: 3, losses: 1, connects: 2, resumes: 1, ..NOTHING },
            marks: &[Mark::Frozen, Mark::FrozenRefused, Mark::ResumedGrant],
            ..PLAIN
        },
        Setup {
            name: "bound exceeded",
            about: "usage above the bound is charged and the model denied until resumed; rule 4",
            states: true,
            endings: &[Ending::Dear, Ending::Over],
            left: Left { requests: 3, resumes: 1, ..NOTHING },
            marks: &[Mark::ModelDenied],
            ..PLAIN
        },
        Setup {
            name: "crowded",
            about: "one purse with as many grants as it may have, asked for what is due at any time later",
            proxies: 1,
            cap: 8,
            sizes: &[1, 2],
            endings: &[Ending::Dear, Ending::Refused],
            lazy: true,
            left: Left { requests: n(3, 5), ..NOTHING },
            marks: &[Mark::Crowded],
            ..PLAIN
        },
    ]
}

/// The world of that name.
pub(super) fn named(name: &str, full: bool) -> Setup {
    all(full).into_iter().find(|setup| setup.name == name).unwrap()
}
