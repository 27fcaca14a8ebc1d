//! Whose money a grant is in; what that user and that client may still have, and what they have spent, out.
//!
//! # Why a share holds across proxies
//! A grant for someone is charged to the budget and to each of their shares alike: open in full until its holder closes it, or burned.
//! So the same argument that bounds the budget bounds every share.
//!
//! # Why memory is bounded and no share is exceeded
//! The first [`MOST`] names of a window have a place each for as long as the window lasts. Whoever comes later shares one of
//! [`BUCKETS`] places with others: their limit is then one limit together, which denies early and never late.
//!
//! # Why asks for a share leave no trace
//! A holder asks for thousands of shares in a day, and a record of each would outgrow the object. The grant that is open says which ask it
//! answers, and that is enough: a copy of an ask that arrives after its grant was closed makes a grant that the purse gives back at
//! once, and if nobody is there to do so, one that is burned. Either way nothing is spent twice.

use super::super::nano::Nano;
use super::super::subject::{Share, Subject, Who};
use super::size::RECALL_MS;
use super::state::{LedgerState, OpenGrant};
use super::{Effect, Transition};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// Names of one kind that have a place of their own in a window.
pub const MOST: usize = 10_000;
/// Places for all the others of that kind.
pub const BUCKETS: u64 = 256;
/// Grants for shares that may be open at once; one more has to wait until others come back.
pub const MOST_OPEN: usize = 1_000;
/// Of these, so many are asked back at once when there is no room for another.
const MAKE_ROOM: usize = 32;

/// What everyone of one kind may spend of a window, and what each has spent.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Shares {
    /// The limit of each; absent: none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub limit: Option<Nano>,
    /// Charged for grants that are closed or burned, by place.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub settled: BTreeMap<Who, Nano>,
}

/// How much of something there is for one ask.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Room {
    /// Whose limit it is; absent: the budget's own.
    pub share: Option<Share>,
    /// What may be granted now.
    pub free: Nano,
    /// What might if everything open came back as far as it is not reported spent.
    pub fits: Nano,
}

impl Shares {
    /// Whether nothing is limited and nothing was counted.
    #[must_use]
    pub fn is_unused(&self) -> bool {
        self.limit.is_none() && self.settled.is_empty()
    }

    /// The same limit, nothing spent.
    #[must_use]
    pub fn anew(&self) -> Self {
        Self { limit: self.limit, settled: BTreeMap::new() }
    }

    /// The place that this one is counted in; the same for the whole window.
    fn place(&self, who: Who) -> Who {
        let own = self.settled.len() < MOST || self.settled.contains_key(&who);
        if own { who } else { who.bucket(BUCKETS) }
    }

    fn charge(&mut self, who: Who, amount: Nano) {
        let place = self.place(who);
        let settled = self.settled.entry(place).or_default();
        *settled = settled.plus(amount);
    }
}

impl LedgerState {
    /// Shares of one kind.
    #[must_use]
    pub const fn shares(&self, share: Share) -> &Shares {
        match share {
            Share::User => &self.users,
            Share::Client => &self.clients,
        }
    }

    const fn shares_mut(&mut self, share: Share) -> &mut Shares {
        match share {
            Share::User => &mut self.users,
            Share::Client => &mut self.clients,
        }
    }

    /// The limits of the shares as the budget's spec has them now. One that is lowered asks back what is above it.
    pub(super) fn set_shares(&mut self, now_ms: i64, user: Option<Nano>, client: Option<Nano>) -> Transition {
        if (self.users.limit, self.clients.limit) == (user, client) {
            return Transition::default();
        }
        (self.users.limit, self.clients.limit) = (user, client);
        let mut effects = vec![];
        if !self.observe {
            for share in [Share::User, Share::Client] {
                let Some(limit) = self.shares(share).limit else { continue };
                let over = self.committed_by_place(share, OpenGrant::committed);
                let over: Vec<Who> = over.into_iter().filter(|(_, sum)| *sum > limit).map(|(place, _)| place).collect();
                let of_these = |state: &Self, grant: &OpenGrant| {
                    state.place_of(share, grant.subject).is_some_and(|place| over.contains(&place))
                };
                effects.extend(self.recall(now_ms, Nano::MAX, of_these));
            }
        }
        Transition { persist: true, effects }
    }

    /// Charges what a grant came to, to the budget and to those whose it was.
    pub(super) fn settle(&mut self, subject: Subject, amount: Nano) {
        self.settled = self.settled.plus(amount);
        for share in [Share::User, Share::Client] {
            if let Some(who) = subject.of(share) {
                self.shares_mut(share).charge(who, amount);
            }
        }
    }

    /// Gives everyone whom a new grant is for a place, before the grant is on record.
    pub(super) fn enter(&mut self, subject: Subject) {
        self.settle(subject, Nano::ZERO);
    }

    /// What there is for an ask, one entry for each limit: the budget's own first.
    pub(super) fn rooms(&self, subject: Subject) -> Vec<Room> {
        let mut rooms = vec![Room { share: None, free: self.free(), fits: self.fits() }];
        for share in [Share::User, Share::Client] {
            let (Some(limit), Some(place)) = (self.shares(share).limit, self.place_of(share, subject)) else {
                continue;
            };
            let sum = |of: fn(&OpenGrant) -> Nano| {
                let settled = self.shares(share).settled.get(&place).copied().unwrap_or_default();
                let open = self.grants.values().filter(|grant| self.place_of(share, grant.subject) == Some(place));
                open.map(of).fold(settled, Nano::plus)
            };
            let (free, fits) = (limit.minus(sum(OpenGrant::committed)), limit.minus(sum(|grant| grant.reported)));
            rooms.push(Room { share: Some(share), free, fits });
        }
        rooms
    }

    /// Whether an ask says whose share it is for where it has to.
    pub(super) fn is_whole_enough(&self, subject: Subject) -> bool {
        [Share::User, Share::Client]
            .iter()
            .all(|share| self.shares(*share).limit.is_none() || subject.of(*share).is_some())
    }

    /// Asks back grants of the same place, or of the budget as a whole, until `needed` may come in.
    pub(super) fn recall_for(
        &mut self,
        now_ms: i64,
        share: Option<Share>,
        subject: Subject,
        needed: Nano,
    ) -> Vec<Effect> {
        let Some(share) = share else { return self.recall(now_ms, needed, |_, _| true) };
        let place = self.place_of(share, subject);
        self.recall(now_ms, needed, |state, grant| state.place_of(share, grant.subject) == place)
    }

    /// Too many grants for shares are open for one more: some are asked back.
    pub(super) fn make_room(&mut self, now_ms: i64) -> Option<Vec<Effect>> {
        if self.grants.values().filter(|grant| !grant.subject.is_whole()).count() < MOST_OPEN {
            return None;
        }
        let coming = |grant: &OpenGrant| grant.recalled_at_ms.is_some_and(|at| now_ms.saturating_sub(at) < RECALL_MS);
        let for_shares = self.grants.iter_mut().filter(|(_, grant)| !grant.subject.is_whole());
        let mut effects = vec![];
        // Ids rise: the oldest first.
        for (id, grant) in for_shares.take(MAKE_ROOM).filter(|(_, grant)| !coming(grant)) {
            grant.recalled_at_ms = Some(now_ms);
            effects.push(Effect::Recall { incarnation: grant.incarnation.clone(), grant: *id });
        }
        Some(effects)
    }

    /// What each place of one kind comes to: settled, and `of` every open grant.
    #[must_use]
    pub fn committed_by_place(&self, share: Share, of: fn(&OpenGrant) -> Nano) -> BTreeMap<Who, Nano> {
        let mut sums = self.shares(share).settled.clone();
        for grant in self.grants.values() {
            if let Some(place) = self.place_of(share, grant.subject) {
                let sum = sums.entry(place).or_default();
                *sum = sum.plus(of(grant));
            }
        }
        sums
    }

    fn place_of(&self, share: Share, subject: Subject) -> Option<Who> {
        subject.of(share).map(|who| self.shares(share).place(who))
    }
}

#[cfg(test)]
mod tests;
