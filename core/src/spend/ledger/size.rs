//! An ask in, a grant or a denial out: how large a grant is, and what is recalled for one that does not fit.

use super::super::nano::Nano;
use super::state::{Holder, LedgerState, OpenGrant};
use super::{DeniedReason, Effect, LIFE_MS, MAX_OPEN, Transition};
use std::cmp::Reverse;
use std::collections::BTreeSet;

/// A holder that has not asked for so long does not count in the sharing.
const SHARING_MS: i64 = 600_000;
/// How long a recalled grant is expected to come back before others are recalled too.
const RECALL_MS: i64 = 1_000;

impl LedgerState {
    /// Rule 1 and 2: only what is free, one grant for one ask.
    pub(super) fn ask(&mut self, now: i64, pod: &str, incarnation: &str, id: u64, min: Nano, want: Nano) -> Transition {
        let denied = |reason, fits| Effect::Denied { incarnation: incarnation.to_owned(), ask: id, reason, fits };
        let tell = |effects| Transition { persist: false, effects };
        let holder = self.holders.entry(incarnation.to_owned()).or_insert_with(|| Holder::new(pod, now));
        holder.seen_at_ms = holder.seen_at_ms.max(now);
        if holder.dead_at_ms.is_some() || self.window.ended(now) {
            return tell(vec![denied(DeniedReason::Unavailable, Nano::ZERO)]);
        }
        if id <= holder.ask {
            // Safe even when the grant is no longer open: it was charged in full, or its holder closed it and knows.
            return tell(if id == holder.ask { vec![holder.granted(incarnation)] } else { vec![] });
        }
        if self.frozen.is_some() {
            return tell(vec![denied(DeniedReason::Frozen, Nano::ZERO)]);
        }
        let fits = self.fits();
        if self.grants.values().filter(|g| g.incarnation == incarnation).count() >= MAX_OPEN {
            return tell(vec![denied(DeniedReason::Contended, fits)]);
        }
        let (free, min) = (self.free(), min.max(Nano(1)));
        let amount = if self.observe {
            want.min(self.effective_cap()).max(min)
        } else if min <= free {
            self.amount(now, pod, free, min, want)
        } else if min <= fits {
            let mut effects = self.recall(now, min.minus(free));
            effects.push(denied(DeniedReason::Contended, fits));
            return tell(effects);
        } else {
            // One that is unusually large says nothing about the others, and one above the whole cap nothing about what was spent.
            if min <= self.effective_cap() && (fits < self.usual || self.usual == Nano::ZERO) {
                self.short_since_ms.get_or_insert(now);
            }
            return tell(vec![denied(DeniedReason::Exhausted, fits)]);
        };
        self.grant(now, pod, incarnation, id, min, amount)
    }

    fn grant(&mut self, now: i64, pod: &str, incarnation: &str, ask: u64, min: Nano, amount: Nano) -> Transition {
        let grant = self.next_grant;
        self.next_grant += 1;
        let life_end_ms = now.saturating_add(LIFE_MS);
        let open = OpenGrant {
            pod: pod.to_owned(),
            incarnation: incarnation.to_owned(),
            ask,
            amount,
            reported: Nano::ZERO,
            estimated: Nano::ZERO,
            granted_at_ms: now,
            life_end_ms,
            bound_exceeded: BTreeSet::new(),
            recalled_at_ms: None,
        };
        self.grants.insert(grant, open);
        (self.usual, self.short_since_ms) = (min, None);
        let holder = self.holders.entry(incarnation.to_owned()).or_insert_with(|| Holder::new(pod, now));
        (holder.ask, holder.grant, holder.amount, holder.life_end_ms) = (ask, grant, amount, life_end_ms);
        Transition { persist: true, effects: vec![holder.granted(incarnation)] }
    }

    /// A share of what is free that leaves as much for each other live holder, so that what one leaves unspent is small beside
    /// what is left for all; halved for each burn in a row of this Pod; never under what the request needs.
    fn amount(&self, now: i64, pod: &str, free: Nano, min: Nano, want: Nano) -> Nano {
        let live = |h: &&Holder| h.dead_at_ms.is_none() && now.saturating_sub(h.seen_at_ms) < SHARING_MS;
        let sharing = u64::try_from(self.holders.values().filter(live).count()).unwrap_or(u64::MAX);
        let share = Nano(free.0 / sharing.saturating_add(1));
        let burns = self.burns.get(pod).copied().unwrap_or(0).min(63);
        Nano(want.min(share).0 >> burns).max(min)
    }

    /// Asks back as many of the largest unspent grants as may bring in `needed`, counting those that were asked back just now.
    pub(super) fn recall(&mut self, now: i64, needed: Nano) -> Vec<Effect> {
        let mut coming = Nano::ZERO;
        let mut idle = vec![];
        for (id, grant) in &self.grants {
            match grant.recalled_at_ms {
                Some(at) if now.saturating_sub(at) < RECALL_MS => coming = coming.plus(grant.unspent()),
                at => idle.push((at, Reverse(grant.unspent()), *id)),
            }
        }
        // Never recalled before recalled long ago; then the largest first.
        idle.sort_unstable();
        let mut effects = vec![];
        for (_, _, id) in idle {
            if coming >= needed {
                break;
            }
            if let Some(grant) = self.grants.get_mut(&id) {
                coming = coming.plus(grant.unspent());
                grant.recalled_at_ms = Some(now);
                effects.push(Effect::Recall { incarnation: grant.incarnation.clone(), grant: id });
            }
        }
        effects
    }
}

impl Holder {
    /// A holder seen for the first time.
    pub(super) fn new(pod: &str, now_ms: i64) -> Self {
        let pod = pod.to_owned();
        Self { pod, ask: 0, grant: 0, amount: Nano::ZERO, life_end_ms: 0, seen_at_ms: now_ms, dead_at_ms: None }
    }

    fn granted(&self, incarnation: &str) -> Effect {
        Effect::Granted {
            incarnation: incarnation.to_owned(),
            ask: self.ask,
            grant: self.grant,
            amount: self.amount,
            life_end_ms: self.life_end_ms,
        }
    }
}
