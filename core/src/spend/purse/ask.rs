//! What a purse asks for: demands and denials in, the one outstanding ask out.

use super::super::{
    ledger::DeniedReason,
    nano::Nano,
    subject::{Share, Subject},
};
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
/// A grant that is asked for while [`MANY_HELD`] are open carries so many times what is under way on those.
const UNDER_WAY: u64 = 32;
/// So many grants stay open at once only where requests outlast them.
pub(super) const MANY_HELD: usize = 2;

/// The ask, what waits for it, and what is known of denials.
#[derive(Clone, Debug, Default, Hash)]
pub(super) struct Asking {
    /// Grants accepted so far; the next ask has the next number.
    answered: u64,
    /// The ask that is under way: min and want.
    open: Option<(Nano, Nano)>,
    /// An ask with the next number was sent at some time, so a grant for it may arrive.
    asked: bool,
    next_send_ms: i64,
    /// The requests that wait, as far as they have called since the last turn of events, and those that had called before it.
    waiting: Option<Waiting>,
    waited: Option<Waiting>,
    waiting_until_ms: i64,
    /// Exhausted: what fits, in whose share where it is one, and until when that is believed.
    exhausted: Option<(Nano, Option<Share>, i64)>,
    frozen_until_ms: Option<i64>,
    pub(super) last_denial: Option<(DeniedReason, Nano)>,
    /// The last grant accepted: when, and how much.
    last: Option<(i64, Nano)>,
}

/// Requests that no held grant carries.
#[derive(Clone, Copy, Debug, Hash)]
struct Waiting {
    /// The smallest is asked for, so that one too large holds up no other.
    smallest: Nano,
    sum: Nano,
}

impl Asking {
    /// Asks of a purse whose predecessor has asked up to that number.
    pub(super) fn after(last: u64) -> Self {
        Self { answered: last, ..Self::default() }
    }

    /// The highest number of an ask that may be under way.
    pub(super) const fn reached(&self) -> u64 {
        self.answered + 1
    }

    /// Nobody waits and nothing is asked.
    pub(super) fn is_idle(&self, now_ms: i64) -> bool {
        self.open.is_none() && now_ms >= self.waiting_until_ms
    }

    /// A request found no grant that carries it.
    pub(super) fn demand(&mut self, now_ms: i64, worst: Nano) {
        if now_ms >= self.waiting_until_ms {
            (self.waiting, self.waited) = (None, None);
        }
        let Waiting { smallest, sum } = self.waiting.unwrap_or(Waiting { smallest: worst, sum: Nano::ZERO });
        self.waiting = Some(Waiting { smallest: smallest.min(worst), sum: sum.plus(worst) });
        self.waiting_until_ms = now_ms.saturating_add(WAIT_MS);
    }

    /// Something changed for those that wait: each calls again, and is counted anew.
    pub(super) fn turn(&mut self) {
        if self.waiting.is_some() {
            self.waited = self.waiting.take();
        }
    }

    /// What fits, if a request of `worst` is known not to.
    pub(super) fn denied(&self, now_ms: i64, worst: Nano) -> Option<(Nano, Option<Share>)> {
        let believed = self.exhausted.filter(|(fits, _, until)| worst > *fits && now_ms < *until);
        believed.map(|(fits, share, _)| (fits, share))
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
        self.next_send_ms = i64::MIN;
        self.forget();
        true
    }

    /// The last grant, if it came since then.
    pub(super) fn granted_since(&self, then_ms: i64) -> Option<Nano> {
        self.last.filter(|(at, _)| *at >= then_ms).map(|(_, amount)| amount)
    }

    /// Nothing is asked, nothing waits, no denial is remembered.
    pub(super) fn forget(&mut self) {
        self.open = None;
        (self.waiting, self.waited) = (None, None);
        self.exhausted = None;
        self.frozen_until_ms = None;
        self.last_denial = None;
    }

    /// No further grant may be asked for while so many are held: who waits is told that others have the use of them.
    pub(super) fn crowded(&mut self, now_ms: i64, remaining: Nano) {
        if now_ms < self.waiting_until_ms {
            self.last_denial = Some((DeniedReason::Contended, remaining));
        }
    }

    /// The smallest request that waits, when the last ask was contended.
    pub(super) fn contended(&self) -> Option<Nano> {
        let (DeniedReason::Contended, _) = self.last_denial? else { return None };
        self.waiting.or(self.waited).map(|w| w.smallest)
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
            DeniedReason::Exhausted => self.exhausted = Some((fits, None, believed)),
            DeniedReason::ShareExhausted(share) => self.exhausted = Some((fits, Some(share), believed)),
            DeniedReason::Frozen => self.frozen_until_ms = Some(believed),
        }
        if matches!(reason, DeniedReason::Exhausted | DeniedReason::ShareExhausted(_) | DeniedReason::Frozen) {
            self.next_send_ms = i64::MIN;
            (self.waiting, self.waited) = (None, None);
            return Wake::Waiting;
        }
        Wake::Nobody
    }

    /// News of the budget: a denial is believed only as long as nothing got better.
    pub(super) fn learn(&mut self, state: &State) {
        if self.exhausted.is_some_and(|(fits, ..)| state.remaining > fits) {
            self.exhausted = None;
        }
        if !state.frozen {
            self.frozen_until_ms = None;
        }
    }

    /// What was granted cannot be used here, since the clocks differ by more than is left: the next ask takes its time.
    pub(super) fn in_vain(&mut self, now_ms: i64) {
        self.next_send_ms = now_ms.saturating_add(UNAVAILABLE_MS);
    }

    /// A new connection: the ask goes out again.
    pub(super) fn resend(&mut self) {
        self.next_send_ms = i64::MIN;
    }

    /// The ask to send now: the one under way, as it was, or a new one for the requests that wait.
    pub(super) fn poll(&mut self, now_ms: i64, subject: Subject, burn: &Rate, under_way: Nano) -> Option<Out> {
        if now_ms < self.next_send_ms {
            return None;
        }
        if self.open.is_none() {
            let waiting = self.waiting.or(self.waited).filter(|_| now_ms < self.waiting_until_ms)?;
            let sum = self.waited.map_or(waiting.sum, |before| waiting.sum.max(before.sum));
            let min = waiting.smallest;
            self.open = Some((min, self.want(now_ms, min, sum, burn, under_way)));
        }
        let (min, want) = self.open?;
        self.asked = true;
        self.next_send_ms = now_ms.saturating_add(REPEAT_MS);
        Some(Out::Ask { id: self.answered + 1, min, want, subject })
    }

    /// Enough for those that wait and for five minutes of burn; twice the last one when that did not last as long. Requests that go on and
    /// on keep their grants open, and only a few may be open: so the last of those are many times what is `under_way` on the first.
    fn want(&self, now_ms: i64, min: Nano, sum: Nano, burn: &Rate, under_way: Nano) -> Nano {
        let usual = match self.last {
            Some((at, amount)) if now_ms - at < COVER_MS => Nano(amount.0.saturating_mul(2)),
            Some(_) => Nano::ZERO,
            None => Nano(min.0.saturating_mul(FIRST_REQUESTS)),
        };
        let going_on = Nano(under_way.0.saturating_mul(UNDER_WAY));
        usual.max(burn.over(COVER_MS)).max(going_on).max(sum).max(min)
    }
}
