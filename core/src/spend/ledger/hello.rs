//! A connecting proxy in, lost grants charged out: rule 10.

use super::super::nano::Nano;
use super::settle::closed;
use super::state::{Holder, LedgerState, LostGrant};
use super::{Effect, ShownGrant, Spent, Transition};

impl LedgerState {
    /// A proxy shows what it holds.
    pub(super) fn hello(
        &mut self,
        now: i64,
        pod: &str,
        incarnation: &str,
        held: &[ShownGrant],
        orphans: &[(String, ShownGrant)],
    ) -> Transition {
        self.holders.entry(incarnation.to_owned()).or_insert_with(|| Holder::new(pod, now));
        let mut transition = Transition::default();
        for shown in held {
            let ShownGrant { grant, spent, estimated, .. } = *shown;
            let figures =
                Spent { incarnation: incarnation.to_owned(), grant, spent, estimated, bound_exceeded: vec![] };
            if self.take(&figures) {
                continue;
            }
            if self.never_made(incarnation, grant) {
                let key = format!("{grant}@{incarnation}");
                transition.append(self.charge_lost(key, grant, *shown));
            }
            transition.effects.push(closed(incarnation, grant));
        }
        for (ledger, shown) in orphans {
            let grant = shown.grant;
            let key = format!("{grant}@{incarnation}@{ledger}");
            transition.append(self.charge_lost(key, 0, *shown));
            let (incarnation, ledger) = (incarnation.to_owned(), Some(ledger.clone()));
            transition.effects.push(Effect::Closed { incarnation, ledger, grant });
        }
        transition
    }

    /// Whether this ledger cannot have made that grant: its id is still to come, or it stands open for another,
    /// or it is above the last one made for this holder.
    pub(super) fn never_made(&self, incarnation: &str, grant: u64) -> bool {
        let not_its_own = self.grants.get(&grant).is_some_and(|g| g.incarnation != incarnation);
        let above_its_last =
            self.holders.get(incarnation).is_some_and(|h| grant > h.grant.max(h.last) && (h.ask > 0 || h.last > 0));
        grant >= self.next_grant || not_its_own || above_its_last
    }

    /// Charges a grant that is not on record in full, once, and freezes: other grants may be lost too.
    pub(super) fn charge_lost(&mut self, key: String, grant: u64, shown: ShownGrant) -> Transition {
        let ShownGrant { grant: _, amount, spent, estimated, subject } = shown;
        let charge = amount.max(spent);
        let known = self.lost.entry(key).or_insert(LostGrant { grant, charged: Nano::ZERO });
        let more = charge.minus(known.charged);
        let first = known.charged == Nano::ZERO;
        known.charged = known.charged.max(charge);
        self.settle(subject, more);
        if first {
            self.estimated = self.estimated.plus(estimated);
            self.burned = self.burned.plus(charge.minus(spent));
        } else {
            self.burned = self.burned.plus(more);
        }
        let mut transition = self.freeze(&format!(
            "a proxy holds grant {grant}, which is not on record: the ledger was lost or put back to an older state; \
             check what was spent, then add a `resume` adjustment"
        ));
        transition.persist |= more > Nano::ZERO;
        transition
    }
}
