//! An ask in, a grant or a denial out: how large a grant is, and what is recalled for one that does not fit.

use super::super::{nano::Nano, subject::Subject};
use super::shares::Room;
use super::state::{Holder, LedgerState, OpenGrant};
use super::{DeniedReason, Effect, LIFE_MS, MAX_OPEN, Transition};
use std::cmp::Reverse;
use std::collections::BTreeSet;

/// A holder that has not asked for so long does not count in the sharing.
const SHARING_MS: i64 = 600_000;
/// How long a recalled grant is expected to come back before others are recalled too.
pub(super) const RECALL_MS: i64 = 1_000;

impl LedgerState {
    /// Rule 1 and 2: only what is free, one grant for one ask. `who` asks: Pod and incarnation.
    pub(super) fn ask(
        &mut self,
        now: i64,
        who: (&str, &str),
        subject: Subject,
        id: u64,
        min: Nano,
        want: Nano,
    ) -> Transition {
        let (pod, incarnation) = who;
        let denied = |reason, fits| {
            let incarnation = incarnation.to_owned();
            Effect::Denied { incarnation, ask: id, subject, reason, fits }
        };
        let tell = |effects| Transition { persist: false, effects };
        let holder = self.holders.entry(incarnation.to_owned()).or_insert_with(|| Holder::new(pod, now));
        holder.seen_at_ms = holder.seen_at_ms.max(now);
        if holder.dead_at_ms.is_some() || self.window.ended(now) {
            return tell(vec![denied(DeniedReason::Unavailable, Nano::ZERO)]);
        }
        if let Some(answer) = self.answered(incarnation, subject, id) {
            return tell(answer);
        }
        if self.frozen.is_some() {
            return tell(vec![denied(DeniedReason::Frozen, Nano::ZERO)]);
        }
        if !self.observe && !self.is_whole_enough(subject) {
            // The proxy's table is a moment older than the budget's terms.
            return tell(vec![denied(DeniedReason::Unavailable, Nano::ZERO)]);
        }
        let rooms = self.rooms(subject);
        let least = |of: fn(&Room) -> Nano| rooms.iter().map(of).min().unwrap_or_default();
        let (free, fits) = (least(|room| room.free), least(|room| room.fits));
        let own = |g: &&OpenGrant| g.incarnation == incarnation && g.subject == subject;
        if self.grants.values().filter(own).count() >= MAX_OPEN {
            return tell(vec![denied(DeniedReason::Contended, fits)]);
        }
        if !subject.is_whole()
            && let Some(mut effects) = self.make_room(now)
        {
            effects.push(denied(DeniedReason::Contended, fits));
            return tell(effects);
        }
        let min = min.max(Nano(1));
        let amount = if self.observe {
            want.min(self.effective_cap()).max(min)
        } else if min <= free {
            self.amount(now, pod, free, min, want)
        } else if min <= fits {
            let short = rooms.iter().filter(|room| room.free < min);
            let mut effects: Vec<Effect> =
                short.flat_map(|room| self.recall_for(now, room.share, subject, min.minus(room.free))).collect();
            effects.push(denied(DeniedReason::Contended, fits));
            return tell(effects);
        } else {
            let reason = self.exhausted(now, min, &rooms);
            return tell(vec![denied(reason, fits)]);
        };
        self.grant(now, who, subject, id, min, amount)
    }

    /// What was said to this ask before: its grant, or nothing to one that a later ask made obsolete. Safe even when the grant is no longer
    /// open: it was charged in full, or its holder closed it and knows.
    fn answered(&self, incarnation: &str, subject: Subject, id: u64) -> Option<Vec<Effect>> {
        if !subject.is_whole() {
            let own = |(_, g): &(&u64, &OpenGrant)| g.incarnation == incarnation && g.subject == subject;
            let (grant, last) =
                self.grants.iter().filter(own).max_by_key(|(_, g)| g.ask).filter(|(_, g)| id <= g.ask)?;
            return Some(if id == last.ask { vec![last.granted(*grant)] } else { vec![] });
        }
        let holder = self.holders.get(incarnation).filter(|holder| id <= holder.ask)?;
        Some(if id == holder.ask { vec![holder.granted(incarnation)] } else { vec![] })
    }

    /// Why it does not fit even if everything open came back. The budget's own end is worth a note.
    fn exhausted(&mut self, now: i64, min: Nano, rooms: &[Room]) -> DeniedReason {
        let narrow = rooms.iter().find(|room| room.fits < min);
        if let Some(share) = narrow.and_then(|room| room.share) {
            return DeniedReason::ShareExhausted(share);
        }
        // One that is unusually large says nothing about the others, and one above the whole cap nothing about what was spent.
        let fits = self.fits();
        if min <= self.effective_cap() && (fits < self.usual || self.usual == Nano::ZERO) {
            self.short_since_ms.get_or_insert(now);
        }
        DeniedReason::Exhausted
    }

    fn grant(
        &mut self,
        now: i64,
        (pod, incarnation): (&str, &str),
        subject: Subject,
        ask: u64,
        min: Nano,
        amount: Nano,
    ) -> Transition {
        let grant = self.next_grant;
        self.next_grant += 1;
        let life_end_ms = now.saturating_add(LIFE_MS);
        let open = OpenGrant {
            pod: pod.to_owned(),
            incarnation: incarnation.to_owned(),
            ask,
            subject,
            amount,
            reported: Nano::ZERO,
            estimated: Nano::ZERO,
            granted_at_ms: now,
            life_end_ms,
            bound_exceeded: BTreeSet::new(),
            recalled_at_ms: None,
        };
        let effects = vec![open.granted(grant)];
        self.enter(subject);
        self.grants.insert(grant, open);
        (self.usual, self.short_since_ms) = (min, None);
        let holder = self.holders.entry(incarnation.to_owned()).or_insert_with(|| Holder::new(pod, now));
        holder.last = grant;
        if subject.is_whole() {
            (holder.ask, holder.grant, holder.amount, holder.life_end_ms) = (ask, grant, amount, life_end_ms);
        }
        Transition { persist: true, effects }
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

    /// Asks back as many of the largest unspent grants of these as may bring in `needed`, counting those that were asked back just now.
    pub(super) fn recall(&mut self, now: i64, needed: Nano, these: impl Fn(&Self, &OpenGrant) -> bool) -> Vec<Effect> {
        let mut coming = Nano::ZERO;
        let mut idle = vec![];
        for (id, grant) in self.grants.iter().filter(|(_, grant)| these(self, grant)) {
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

impl OpenGrant {
    fn granted(&self, grant: u64) -> Effect {
        let Self { incarnation, ask, subject, amount, life_end_ms, .. } = self;
        Effect::Granted {
            incarnation: incarnation.clone(),
            ask: *ask,
            subject: *subject,
            grant,
            amount: *amount,
            life_end_ms: *life_end_ms,
        }
    }
}

impl Holder {
    /// A holder seen for the first time.
    pub(super) fn new(pod: &str, now_ms: i64) -> Self {
        let pod = pod.to_owned();
        Self {
            pod,
            ask: 0,
            grant: 0,
            amount: Nano::ZERO,
            life_end_ms: 0,
            last: 0,
            seen_at_ms: now_ms,
            dead_at_ms: None,
        }
    }

    fn granted(&self, incarnation: &str) -> Effect {
        Effect::Granted {
            incarnation: incarnation.to_owned(),
            ask: self.ask,
            subject: Subject::default(),
            grant: self.grant,
            amount: self.amount,
            life_end_ms: self.life_end_ms,
        }
    }
}
