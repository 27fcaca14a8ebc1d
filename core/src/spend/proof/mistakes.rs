//! Drivers that do one thing wrong: each has to be caught, or the worlds are too small to mean anything.

/// One thing done wrong, around code that is right.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Mistake {
    SendBeforePersist,
    BlindWrite,
    CreditOnExpiry,
    NoTombstone,
    CloseWithWorkInFlight,
    CounterNotPerGrant,
    RestartReusesGrant,
    RefundOnCancel,
    ResizeToWhatRemains,
    MaxTokensNotEnforced,
    SameAskTwice,
    HalfOfTheBudgets,
    TakesAnothersGrant,
    ChargesTwice,
    ForgetsLostGrants,
    GrantsWhileFrozen,
    WindowForgotten,
    LoweredWithoutLimit,
    OverlooksPutBack,
}

impl Mistake {
    /// Every one, what it does, and the world that catches it.
    pub(super) const ALL: [(Self, &'static str, &'static str); 19] = [
        (Self::SendBeforePersist, "a grant is sent, then the operator dies before it is written", "two operators"),
        (Self::BlindWrite, "an operator writes over what another wrote, without the swap", "two operators"),
        (Self::CreditOnExpiry, "what is left of a grant returns when its life ends", "expiry"),
        (Self::NoTombstone, "the dead are forgotten at once", "restarts"),
        (Self::CloseWithWorkInFlight, "a grant is closed while a request is under way on it", "two operators"),
        (Self::CounterNotPerGrant, "a report counts what the proxy spent, not what the grant did", "two operators"),
        (Self::RestartReusesGrant, "a restarted proxy goes on under its old name", "restarts"),
        (Self::RefundOnCancel, "a cancelled request is charged nothing", "expiry"),
        (Self::ResizeToWhatRemains, "a request is admitted on less than its worst case", "contention"),
        (Self::MaxTokensNotEnforced, "usage above the bound, and nobody minds", "bound exceeded"),
        (Self::SameAskTwice, "an ask that comes again gets another grant", "two operators"),
        (Self::HalfOfTheBudgets, "a request is admitted when only one of its budgets carries it", "two budgets"),
        (Self::TakesAnothersGrant, "a proxy takes a grant that was made for another", "two operators"),
        (Self::ChargesTwice, "a close that comes again is charged again", "two operators"),
        (Self::ForgetsLostGrants, "a grant that is not on record is no reason to freeze", "rolled back"),
        (Self::GrantsWhileFrozen, "a frozen ledger grants all the same", "gone"),
        (Self::WindowForgotten, "a report of the window before is charged to the new one", "rollover"),
        (Self::LoweredWithoutLimit, "a lowered limit is not looked at when granting", "limit"),
        (
            Self::OverlooksPutBack,
            "an operator goes on when what it reads is older than what it knows",
            "rolled back, awake",
        ),
    ];
}
