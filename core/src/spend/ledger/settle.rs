//! Reports, closes and burns in; what is settled, and who is told, out.

use super::super::{nano::Nano, subject::Subject};
use super::state::{LedgerState, OpenGrant};
use super::{Effect, ShownGrant, Spent, Transition};

impl LedgerState {
    /// Rule 5: cumulative, the maximum counts. Only memory changes, unless a model has to be denied.
    pub(super) fn report(&mut self, spent: &Spent) -> Transition {
        let mut transition = self.deny_models(spent);
        if self.take(spent) {
            return transition;
        }
        transition.append(self.unknown(spent));
        transition
    }

    /// Rule 6: the holder closes, and what it did not spend returns.
    pub(super) fn close(&mut self, spent: &Spent) -> Transition {
        let mut transition = self.deny_models(spent);
        if !self.take(spent) {
            transition.append(self.unknown(spent));
            return transition;
        }
        if let Some(grant) = self.grants.remove(&spent.grant) {
            self.settle(grant.subject, grant.reported);
            self.estimated = self.estimated.plus(grant.estimated);
            self.burns.remove(&grant.pod);
        }
        transition.persist = true;
        transition.effects.push(closed(&spent.incarnation, spent.grant));
        transition
    }

    /// Rule 7: charged in full.
    pub(super) fn burn_where(&mut self, dead: impl Fn(&OpenGrant) -> bool) -> Transition {
        let mut transition = Transition::default();
        let ids: Vec<u64> = self.grants.iter().filter(|(_, g)| dead(g)).map(|(id, _)| *id).collect();
        for id in ids {
            let Some(grant) = self.grants.remove(&id) else { continue };
            self.settle(grant.subject, grant.committed());
            self.burned = self.burned.plus(grant.unspent());
            self.estimated = self.estimated.plus(grant.estimated);
            let burns = self.burns.entry(grant.pod.clone()).or_insert(0);
            *burns = burns.saturating_add(1);
            transition.persist = true;
            transition.effects.push(Effect::Burned {
                amount: grant.unspent(),
                pod: grant.pod,
                incarnation: grant.incarnation,
                grant: id,
            });
        }
        transition
    }

    /// Takes the figures for an open grant of this holder; false: there is none.
    pub(super) fn take(&mut self, spent: &Spent) -> bool {
        let Some(grant) = self.grants.get_mut(&spent.grant).filter(|g| g.incarnation == spent.incarnation) else {
            return false;
        };
        grant.reported = grant.reported.max(spent.spent);
        grant.estimated = grant.estimated.max(spent.estimated);
        true
    }

    /// A grant that is not open: closed or charged in full before, so the holder forgets it; or never made, so the record is not whole.
    fn unknown(&mut self, spent: &Spent) -> Transition {
        let mut transition = Transition::default();
        if self.never_made(&spent.incarnation, spent.grant) {
            let key = format!("{}@{}", spent.grant, spent.incarnation);
            // Whose it was, only the hello of its holder says.
            let Spent { grant, spent, estimated, .. } = *spent;
            let shown = ShownGrant { grant, amount: Nano::ZERO, spent, estimated, subject: Subject::default() };
            transition = self.charge_lost(key, grant, shown);
        }
        transition.effects.push(closed(&spent.incarnation, spent.grant));
        transition
    }

    /// Rule 4: usage above the bound denies the model until an administrator resumes. A report that repeats it for the same grant
    /// does not undo the administrator's word.
    fn deny_models(&mut self, spent: &Spent) -> Transition {
        let mut persist = false;
        if let Some(grant) = self.grants.get_mut(&spent.grant).filter(|g| g.incarnation == spent.incarnation) {
            for model in &spent.bound_exceeded {
                if grant.bound_exceeded.insert(model.clone()) {
                    persist = true;
                    self.denied_models.insert(model.clone());
                }
            }
        }
        Transition { persist, effects: vec![] }
    }
}

/// Tells the holder to forget a grant of this ledger.
pub(super) fn closed(incarnation: &str, grant: u64) -> Effect {
    Effect::Closed { incarnation: incarnation.to_owned(), ledger: None, grant }
}
