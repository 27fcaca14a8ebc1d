//! What a ledger remembers: the fields that are written to its object or file, and how a new one begins.

use super::super::{nano::Nano, subject::Subject, window::Window};
use super::Event;
use super::shares::Shares;
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet};

/// Everything on record for one budget and window.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct LedgerState {
    /// The window it counts.
    pub window: Window,
    /// Counts and never denies; the cap's promise is then not made.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub observe: bool,
    /// The budget's limit.
    pub cap: Nano,
    /// What administrators added for this window.
    #[serde(default)]
    pub credits: Nano,
    /// `settled + sum(open)` when the cap was last lowered below it; zero when it never was.
    #[serde(default)]
    pub committed_at_lowering: Nano,
    /// What instances cost in this window: reduces what may be granted, is not part of what was spent.
    #[serde(default)]
    pub infrastructure: Nano,
    /// Until when the instances of each endpoint are counted, by the endpoint's uid.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub instances_until_ms: BTreeMap<String, i64>,
    /// Charged for grants that are closed or burned.
    #[serde(default)]
    pub settled: Nano,
    /// The part of `settled` that no report accounts for.
    #[serde(default)]
    pub burned: Nano,
    /// The part of `settled` that was charged in full without the provider's usage.
    #[serde(default)]
    pub estimated: Nano,
    /// The id of the next grant; ids rise and are never used twice.
    pub next_grant: u64,
    /// Open grants by id.
    #[serde(default)]
    pub grants: BTreeMap<u64, OpenGrant>,
    /// Proxies by incarnation, the dead ones included for a while.
    #[serde(default)]
    pub holders: BTreeMap<String, Holder>,
    /// Burns in a row by Pod; a clean close ends the row.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub burns: BTreeMap<String, u32>,
    /// Ids of the adjustments that were applied.
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    pub adjustments: BTreeSet<String>,
    /// When each was.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub adjusted_at_ms: BTreeMap<String, i64>,
    /// Grants that proxies showed and this ledger has never made, charged in full, so that each is charged once.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub lost: BTreeMap<String, LostGrant>,
    /// Why nothing is granted until an administrator resumes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub frozen: Option<String>,
    /// Models denied since their usage was above the bound computed before the call.
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    pub denied_models: BTreeSet<String>,
    /// What each user may spend and has spent.
    #[serde(default, skip_serializing_if = "Shares::is_unused")]
    pub users: Shares,
    /// What each client may spend and has spent.
    #[serde(default, skip_serializing_if = "Shares::is_unused")]
    pub clients: Shares,
    /// What the last grant was needed for: the usual size of a request.
    #[serde(default)]
    pub usual: Nano,
    /// Since when requests of the usual size are refused because of what had been spent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub short_since_ms: Option<i64>,
}

/// One open grant.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct OpenGrant {
    /// Uid of the holder's Pod.
    pub pod: String,
    /// The holder.
    pub incarnation: String,
    /// The ask it answers.
    pub ask: u64,
    /// Whose shares it is charged to, besides the budget.
    #[serde(default, skip_serializing_if = "is_whole")]
    pub subject: Subject,
    /// How much may be spent on it.
    pub amount: Nano,
    /// The largest report so far.
    #[serde(default)]
    pub reported: Nano,
    /// The estimated part of it.
    #[serde(default)]
    pub estimated: Nano,
    /// When it was made.
    pub granted_at_ms: i64,
    /// Burned in full from then on.
    pub life_end_ms: i64,
    /// Models whose usage on it was above their bound; each is denied once.
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    pub bound_exceeded: BTreeSet<String>,
    /// When it was last asked back.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub recalled_at_ms: Option<i64>,
}

fn is_whole(subject: &Subject) -> bool {
    subject.is_whole()
}

impl OpenGrant {
    /// What the grant binds: its amount, or what was really spent when a provider charged above every bound.
    #[must_use]
    pub fn committed(&self) -> Nano {
        self.amount.max(self.reported)
    }

    /// What would come back if the holder closed it now with nothing in flight.
    #[must_use]
    pub fn unspent(&self) -> Nano {
        self.amount.minus(self.reported)
    }
}

/// One proxy process that asked.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Holder {
    /// Uid of its Pod.
    pub pod: String,
    /// The highest ask that was granted; 0 for none.
    #[serde(default)]
    pub ask: u64,
    /// The grant made for that ask, kept beyond its end so that the same ask gets the same grant.
    #[serde(default)]
    pub grant: u64,
    /// Its amount.
    #[serde(default)]
    pub amount: Nano,
    /// The end of its life.
    #[serde(default)]
    pub life_end_ms: i64,
    /// The last grant made for it, be it for a share or not; 0 for none.
    #[serde(default)]
    pub last: u64,
    /// When it last asked or said hello.
    pub seen_at_ms: i64,
    /// Since when it is dead; it never comes back.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub dead_at_ms: Option<i64>,
}

/// A grant that a proxy showed and the ledger does not know.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct LostGrant {
    /// Its id.
    pub grant: u64,
    /// What was charged for it.
    pub charged: Nano,
}

impl LedgerState {
    /// An empty ledger.
    #[must_use]
    pub fn new(cap: Nano, window: Window) -> Self {
        Self { window, cap, next_grant: 1, ..Self::default() }
    }

    /// The ledger of the next window: a full cap, the same administrators' decisions.
    #[must_use]
    pub fn successor(&self, window: Window) -> Self {
        Self {
            observe: self.observe,
            adjustments: self.adjustments.clone(),
            adjusted_at_ms: self.adjusted_at_ms.clone(),
            frozen: self.frozen.clone(),
            denied_models: self.denied_models.clone(),
            users: self.users.anew(),
            clients: self.clients.anew(),
            ..Self::new(self.cap, window)
        }
    }

    /// A ledger in place of one that is gone although the budget's status has its uid.
    #[must_use]
    pub fn frozen(cap: Nano, window: Window, reason: &str) -> Self {
        Self { frozen: Some(reason.to_owned()), ..Self::new(cap, window) }
    }

    /// What may be spent: the cap and what administrators added.
    #[must_use]
    pub fn effective_cap(&self) -> Nano {
        self.cap.plus(self.credits)
    }

    /// `settled + sum(open)`: no proxy can have spent more.
    #[must_use]
    pub fn committed(&self) -> Nano {
        self.grants.values().map(OpenGrant::committed).fold(self.settled, Nano::plus)
    }

    /// What may be granted now.
    #[must_use]
    pub fn free(&self) -> Nano {
        self.effective_cap().minus(self.committed()).minus(self.infrastructure)
    }

    /// The largest grant possible if everything open came back as far as it is not reported spent.
    #[must_use]
    pub fn fits(&self) -> Nano {
        let spent = self.grants.values().map(|g| g.reported).fold(self.settled, Nano::plus);
        self.effective_cap().minus(spent).minus(self.infrastructure)
    }

    /// Whether the Pod has a process on record that is neither dead nor one of these.
    #[must_use]
    pub fn outlived(&self, pod: &str, live: &[String]) -> bool {
        let gone = |(incarnation, h): (&String, &Holder)| {
            h.dead_at_ms.is_none() && h.pod == pod && !live.contains(incarnation)
        };
        self.holders.iter().any(gone)
    }

    /// Pods that hold a grant; the driver says which of them are gone.
    #[must_use]
    pub fn pods(&self) -> BTreeSet<&str> {
        self.grants.values().map(|g| g.pod.as_str()).collect()
    }

    /// Whether the window is over and every grant came back: nothing will change any more.
    #[must_use]
    pub fn drained(&self, now_ms: i64) -> bool {
        self.window.ended(now_ms) && self.grants.is_empty()
    }

    /// Takes from an older copy in memory the reports that the stored state has not got yet.
    pub fn absorb_reports(&mut self, older: &Self) {
        for (id, grant) in &mut self.grants {
            if let Some(known) = older.grants.get(id).filter(|k| k.incarnation == grant.incarnation) {
                grant.reported = grant.reported.max(known.reported);
                grant.estimated = grant.estimated.max(known.estimated);
            }
        }
    }

    /// What to fold before anything else over a state that was read again, when it is older than what was known to be on record: it was
    /// put back, and the grants made since are lost (rule 10).
    #[must_use]
    pub fn put_back(&self, known: &Self) -> Option<Event> {
        (self.next_grant < known.next_grant).then(|| Event::Freeze {
            reason: format!(
                "the ledger was put back to an older state: its next grant was {} and is {}; check what was spent, then add a `resume` adjustment",
                known.next_grant, self.next_grant
            ),
        })
    }
}
