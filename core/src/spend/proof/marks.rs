//! Steps worth reaching: a world in which one of them never happens proves less than it says.

use std::sync::atomic::{AtomicU32, Ordering};

/// Something happened on the way.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u32)]
pub(super) enum Mark {
    Conflict,
    Unsure,
    LateClose,
    SameGrantAgain,
    Burned,
    DeadRefused,
    SpentAfterBurn,
    AboveLoweredCap,
    RecallAnswered,
    Exhausted,
    AllSpent,
    DrainingAfterRollover,
    HalfGivenBack,
    Frozen,
    FrozenRefused,
    ResumedGrant,
    ModelDenied,
    Crowded,
}

impl Mark {
    pub(super) fn in_words(self) -> &'static str {
        match self {
            Self::Conflict => "a write lost against the other operator's and was done again: both wrote",
            Self::Unsure => "a write of unknown outcome was read back and its effects sent",
            Self::LateClose => "a close came again after the grant had ended",
            Self::SameGrantAgain => "an ask came again and got the same grant",
            Self::Burned => "a grant was charged in full",
            Self::DeadRefused => "a dead process asked and got nothing",
            Self::SpentAfterBurn => "a request ended on a grant that had been burned",
            Self::AboveLoweredCap => "more was committed than the lowered limit",
            Self::RecallAnswered => "a recalled grant was closed by its holder",
            Self::Exhausted => "a request was told that the budget is exhausted",
            Self::AllSpent => "the whole cap was spent",
            Self::DrainingAfterRollover => "a grant of the new window while one of the old drained",
            Self::HalfGivenBack => "one budget set aside, the other did not: given back",
            Self::Frozen => "the ledger froze",
            Self::FrozenRefused => "an ask was refused by a frozen ledger",
            Self::ResumedGrant => "a grant was made after a resume",
            Self::ModelDenied => "a request was refused since its model exceeded a bound",
            Self::Crowded => "a purse held as many grants as it may",
        }
    }
}

/// Marks that were reached, by whichever thread.
#[derive(Debug, Default)]
pub(super) struct Marks(AtomicU32);

impl Marks {
    pub(super) fn reach(&self, mark: Mark) {
        let bit = 1 << mark as u32;
        if self.0.load(Ordering::Relaxed) & bit == 0 {
            self.0.fetch_or(bit, Ordering::Relaxed);
        }
    }

    pub(super) fn reached(&self, mark: Mark) -> bool {
        self.0.load(Ordering::Relaxed) & (1 << mark as u32) != 0
    }
}
