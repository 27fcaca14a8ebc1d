//! What a purse asks for: demands and denials in, the one outstanding ask out.

use super::super::{ledger::DeniedReason, nano::Nano};
use super::rate::Rate;
use super::{Out, REPEAT_MS, State, WAIT_MS, Wake};

/// A grant should last so long.
const COVER_MS: i64 = 5 * 60_000;
/// How long a denial is believed without asking again.
const BELIEVED_MS: i64 = 10_000;
/// Wait before an ask that was contended is repeated.
const CONTENDED_MS: i64 = 100;
/// Wait before an ask that the ledger could not look at is repeated.
const UNAVAILABLE_MS: i64 = 500;
/// A first grant carries so many requests like the one that needs it.
const FIRST_REQUESTS: u64 = 8;

/// The ask, what waits for it, and what is known of denials.
#[derive(Clone, Debug, Default)]
pub(super) struct Asking {
    /// Grants accepted so far; the next ask has the next number.
    answered: u64,
    /// The ask that is under way: min and want.
    open: Option<(Nano, Nano)>,
    /// An ask with the next number was sent at some time, so a grant for it may arrive.
    asked: bool,
    next_send_ms: i64,
    /// The smallest of the requests that wait, so that one too large holds up no other, and the sum of all.
    waiting: Option<(Nano, Nano)>,
    waiting_until_ms: i64,
    /// Exhausted: what fits, and until when that is believed.
    exhausted: Option<(Nano, i64)>,
    frozen_until_ms: Option<i64>,
    pub(super) last_denial: Option<(DeniedReason, Nano)>,
    /// The last grant accepted: when, and how much.
    last: Option<(i64, Nano)>,
}

impl Asking {
    /// A request found no grant that carries it.
    pub(super) fn demand(&mut self, now_ms: i64, worst: Nano) {
        let still = self.waiting.filter(|_| now_ms < self.waiting_until_ms);
        let (smallest, sum) = still.unwrap_or((worst, Nano::ZERO));
        self.waiting = Some((smallest.min(worst), sum.plus(worst)));
        self.waiting_until_ms = now_ms.saturating_add(WAIT_MS);
    }

    /// What fits, if a request of `worst` is known not to.
    pub(super) fn denied(&self, now_ms: i64, worst: Nano) -> Option<Nano> {
        self.exhausted.filter(|(fits, until)| worst > *fits && now_ms < *until).map(|(fits, _)| fits)
    }

    pub(super) fn frozen(&self, now_ms: i64) -> bool {
        self.frozen_until_ms.is_some_and(|until| now_ms < until)
    }

    /// Whether a grant for this ask is one the purse waits for; then the ask is answered.
    pub(super) fn accept(&mut self, now_ms: i64, ask: u64, amount: Nano) -> bool {
        if !self.asked || ask != self.answered + 1 {
            return false;
        }
        self.answered = ask;
        self.asked = false;
        self.last = Some((now_ms, amount));
        self.forget();
        true
    }

    /// Nothing is asked, nothing waits, no denial is remembered.
    pub(super) fn forget(&mut self) {
        self.open = None;
        self.waiting = None;
        self.exhausted = None;
        self.frozen_until_ms = None;
        self.last_denial = None;
    }

    pub(super) fn refused(&mut self, now_ms: i64, ask: u64, reason: DeniedReason, fits: Nano) -> Wake {
        if ask != self.answered + 1 || self.open.is_none() {
            return Wake::Nobody;
        }
        self.open = None;
        self.last_denial = Some((reason, fits));
        let believed = now_ms.saturating_add(BELIEVED_MS);
        match reason {
            DeniedReason::Contended => self.next_send_ms = now_ms.saturating_add(CONTENDED_MS),
            DeniedReason::Unavailable => self.next_send_ms = now_ms.saturating_add(UNAVAILABLE_MS),
            DeniedReason::Exhausted => self.exhausted = Some((fits, believed)),
            DeniedReason::Frozen => self.frozen_until_ms = Some(believed),
        }
        if matches!(reason, DeniedReason::Exhausted | DeniedReason::Frozen) {
            self.waiting = None;
            return Wake::Waiting;
        }
        Wake::Nobody
    }

    /// News of the budget: a denial is believed only as long as nothing got better.
    pub(super) fn learn(&mut self, state: &State) {
        if self.exhausted.is_some_and(|(fits, _)| state.remaining > fits) {
            self.exhausted = None;
        }
        if !state.frozen {
            self.frozen_until_ms = None;
        }
    }

    /// A new connection: the ask goes out again.
    pub(super) fn resend(&mut self) {
        self.next_send_ms = i64::MIN;
    }

    /// The ask to send now: the one under way, as it was, or a new one for the requests that wait.
    pub(super) fn poll(&mut self, now_ms: i64, burn: &Rate) -> Option<Out> {
        if now_ms < self.next_send_ms {
            return None;
        }
        if self.open.is_none() {
            let (min, sum) = self.waiting.filter(|_| now_ms < self.waiting_until_ms)?;
            self.open = Some((min, self.want(now_ms, min, sum, burn)));
            self.waiting = Some((min, Nano::ZERO));
        }
        let (min, want) = self.open?;
        self.asked = true;
        self.next_send_ms = now_ms.saturating_add(REPEAT_MS);
        Some(Out::Ask { id: self.answered + 1, min, want })
    }

    /// Enough for those that wait and for five minutes of burn; twice the last one when that did not last as long.
    fn want(&self, now_ms: i64, min: Nano, sum: Nano, burn: &Rate) -> Nano {
        let usual = match self.last {
            Some((at, amount)) if now_ms - at < COVER_MS => Nano(amount.0.saturating_mul(2)),
            Some(_) => Nano::ZERO,
            None => Nano(min.0.saturating_mul(FIRST_REQUESTS)),
        };
        usual.max(burn.over(COVER_MS)).max(sum).max(min)
    }
}
