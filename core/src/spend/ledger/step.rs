//! One event in, the state changed and the transition out: which rule answers which event.

use super::super::nano::Nano;
use super::state::LedgerState;
use super::{Adjustment, Effect, Event, Figures, Transition};
use std::collections::BTreeSet;

/// How long an incarnation is remembered that is dead, or holds nothing and is silent; no message is under way longer than a grant lives.
const REMEMBERED_MS: i64 = 2 * super::LIFE_MS;

/// What proxies and thresholds act on; a change of it is told.
type Told = (Nano, bool, usize, bool, u32, [Option<Nano>; 2]);

impl LedgerState {
    /// Applies one event.
    pub fn step(&mut self, now_ms: i64, event: &Event) -> Transition {
        let before = self.told();
        let mut transition = match event {
            Event::Hello { pod, incarnation, held, orphans } => self.hello(now_ms, pod, incarnation, held, orphans),
            Event::Ask { pod, incarnation, id, min, want, subject } => {
                self.ask(now_ms, (pod, incarnation), *subject, *id, *min, *want)
            }
            Event::Report(spent) => self.report(spent),
            Event::Close(spent) => self.close(spent),
            Event::Replaced { pod, live } => self.bury(now_ms, pod, live),
            Event::PodGone { pod } => {
                let transition = self.bury(now_ms, pod, &[]);
                self.burns.remove(pod);
                transition
            }
            Event::Tick => self.tick(now_ms),
            Event::SetCap { cap, observe } => self.set_cap(now_ms, *cap, *observe),
            Event::SetShares { per_user, per_client } => self.set_shares(now_ms, *per_user, *per_client),
            Event::Instances { endpoint, since_ms, per_hour } => self.instances(now_ms, endpoint, *since_ms, *per_hour),
            Event::Adjust { id, adjustment } => self.adjust(now_ms, id, *adjustment),
            Event::Freeze { reason } => self.freeze(reason),
        };
        if self.told() != before {
            transition.effects.push(Effect::StateChanged);
        }
        transition
    }

    fn told(&self) -> Told {
        let figures = self.figures();
        let shares = [self.users.limit, self.clients.limit];
        let Figures { limit, frozen, denied_models, exhausted, percent, .. } = figures;
        (limit, frozen.is_some(), denied_models.len(), exhausted, percent, shares)
    }

    /// Life ended: burned in full, whoever holds it.
    fn tick(&mut self, now_ms: i64) -> Transition {
        let mut transition = self.burn_where(|grant| grant.life_end_ms <= now_ms);
        let known = self.holders.len();
        let recent = |at: i64| now_ms.saturating_sub(at) < REMEMBERED_MS;
        let holds: BTreeSet<&str> = self.grants.values().map(|g| g.incarnation.as_str()).collect();
        self.holders.retain(|name, h| holds.contains(name.as_str()) || recent(h.dead_at_ms.unwrap_or(h.seen_at_ms)));
        transition.persist |= self.holders.len() != known;
        transition
    }

    /// Lowering grants nothing further and asks everything back; what is committed then stays the bound.
    fn set_cap(&mut self, now_ms: i64, cap: Nano, observe: bool) -> Transition {
        if self.cap == cap && self.observe == observe {
            return Transition::default();
        }
        let more = cap > self.cap;
        (self.cap, self.observe) = (cap, observe);
        if more {
            self.short_since_ms = None;
        }
        let committed = self.committed();
        let lowered = committed > self.effective_cap();
        self.committed_at_lowering = if lowered { committed } else { Nano::ZERO };
        let effects = if lowered && !observe { self.recall(now_ms, Nano::MAX, |_, _| true) } else { vec![] };
        Transition { persist: true, effects }
    }

    fn adjust(&mut self, now_ms: i64, id: &str, adjustment: Adjustment) -> Transition {
        if !self.adjustments.insert(id.to_owned()) {
            return Transition::default();
        }
        self.adjusted_at_ms.insert(id.to_owned(), now_ms);
        match adjustment {
            Adjustment::Credit(amount) => {
                self.credits = self.credits.plus(amount);
                self.short_since_ms = None;
            }
            Adjustment::Resume => {
                self.frozen = None;
                self.denied_models.clear();
                let highest = self.lost.values().map(|l| l.grant).max().unwrap_or(0);
                self.next_grant = self.next_grant.max(highest.saturating_add(1));
            }
        }
        Transition { persist: true, effects: vec![] }
    }

    /// The first reason stays: it is the one to look into.
    pub(super) fn freeze(&mut self, reason: &str) -> Transition {
        if self.frozen.is_some() {
            return Transition::default();
        }
        self.frozen = Some(reason.to_owned());
        Transition { persist: true, effects: vec![Effect::Frozen { reason: reason.to_owned() }] }
    }

    /// Declares the Pod's incarnations dead, all but those that live: what they hold is burned in full, and they never get anything again.
    fn bury(&mut self, now_ms: i64, pod: &str, live: &[String]) -> Transition {
        let mut buried = vec![];
        for (incarnation, holder) in &mut self.holders {
            if holder.dead_at_ms.is_none() && holder.pod == pod && !live.contains(incarnation) {
                holder.dead_at_ms = Some(now_ms);
                buried.push(incarnation.clone());
            }
        }
        let mut transition = self.burn_where(|grant| buried.contains(&grant.incarnation));
        transition.persist |= !buried.is_empty();
        transition
    }
}
