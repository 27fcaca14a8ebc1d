//! Every budget's purses by name: requests and the driver's messages in, tickets and due messages out. No socket, no clock.

mod account;
mod view;

pub use view::BudgetView;

use super::Refusal;
use account::Account;
use std::collections::BTreeMap;
use std::sync::Arc;
use tollway_core::spend::ledger::{DeniedReason, ShownGrant};
use tollway_core::spend::purse::{Denied, State, Wake};
use tollway_core::spend::{Charge, Figures, In, Nano, Out, Reserve, Subject, Ticket};
use tollway_core::table::{Mode, OnExhausted, Table};

/// What one attempt wants set aside.
#[derive(Clone, Copy, Debug)]
pub struct Wish<'a> {
    /// Names of the budgets that bind it.
    pub budgets: &'a [String],
    pub table: &'a Table,
    pub worst: Nano,
    /// The target's price is zero.
    pub is_free: bool,
    pub model: &'a str,
    pub user: Option<&'a str>,
    pub client: Option<&'a str>,
}

/// A ticket and the purse it came from.
#[derive(Debug)]
pub struct Placed {
    budget: Arc<str>,
    subject: Subject,
    ticket: Ticket,
}

/// Purses by budget.
#[derive(Debug)]
pub struct Accounts {
    incarnation: String,
    by_budget: BTreeMap<Arc<str>, Account>,
}

/// The answer to a request that wants to spend.
#[derive(Debug)]
pub enum Verdict {
    Reserved(Vec<Placed>),
    /// No held grant carries it; one is asked for as soon as the driver polls.
    Wait {
        budget: String,
        subject: Subject,
    },
    Refused(Refusal),
}

impl Accounts {
    pub fn new(incarnation: &str) -> Self {
        Self { incarnation: incarnation.to_owned(), by_budget: BTreeMap::new() }
    }

    /// All of the budgets or none. A target that costs nothing passes an exhausted budget only where it says so.
    pub fn reserve(&mut self, now_ms: i64, wish: &Wish<'_>) -> Verdict {
        let Wish { budgets, table, worst, is_free, model, user, client } = *wish;
        let mut tickets: Vec<Placed> = Vec::with_capacity(budgets.len());
        let mut short = None;
        let mut refused = None;
        for name in budgets {
            let budget = table.budgets.get(name);
            let observe = budget.is_some_and(|budget| budget.mode == Mode::Observe);
            let free_passes = budget.is_some_and(|budget| budget.on_exhausted == OnExhausted::FreeOnly);
            if is_free && free_passes {
                continue;
            }
            let subject = budget.map(|budget| budget.subject(user, client)).unwrap_or_default();
            let (key, account) = self.account(name);
            let Some((subject, purse)) = account.purse(now_ms, subject, observe) else {
                refused = Some(Refusal::Crowded { budget: name.clone() });
                break;
            };
            purse.observe(observe);
            if worst == Nano::ZERO && !observe && purse.exhausted(now_ms) {
                refused = Some(Refusal::Exceeded { budget: name.clone(), fits: Nano::ZERO });
                break;
            }
            match purse.reserve(now_ms, worst, model) {
                Reserve::Reserved(ticket) => tickets.push(Placed { budget: key, subject, ticket }),
                // The others are asked too, so that all grants are on their way at once.
                Reserve::NeedsGrant => short = short.or_else(|| Some((name.clone(), subject))),
                Reserve::Denied(denied) => {
                    refused = Some(refusal(denied, name, model));
                    break;
                }
            }
        }
        if refused.is_none() && short.is_none() {
            return Verdict::Reserved(tickets);
        }
        self.settle(now_ms, tickets, &Charge::default());
        match (refused, short) {
            (None, Some((budget, subject))) => Verdict::Wait { budget, subject },
            (Some(refusal), _) => Verdict::Refused(refusal),
            (None, None) => Verdict::Reserved(Vec::new()),
        }
    }

    /// What a request says that waited its whole time.
    pub fn in_vain(&self, now_ms: i64, budget: &str, subject: Subject) -> Refusal {
        let purse = self.by_budget.get(budget).and_then(|account| account.known(subject));
        let denial = purse.and_then(|purse| purse.last_denial(now_ms));
        // Held by others just now: of the budget, unless that has more left than would fit.
        let remaining = self.told(now_ms, budget).map_or(Nano::MAX, |state| state.remaining);
        let is_share = |fits: Nano| !subject.is_whole() && fits < remaining;
        let budget = budget.to_owned();
        match denial {
            Some((DeniedReason::Contended, fits)) if is_share(fits) => {
                Refusal::ShareExceeded { budget, share: subject.only(), fits }
            }
            Some((DeniedReason::Contended, remaining)) => Refusal::Held { budget, remaining },
            Some((DeniedReason::Exhausted, fits)) => Refusal::Exceeded { budget, fits },
            Some((DeniedReason::ShareExhausted(share), fits)) => {
                Refusal::ShareExceeded { budget, share: Some(share), fits }
            }
            Some((DeniedReason::Frozen, _)) => Refusal::Frozen { budget },
            Some((DeniedReason::Unavailable, _)) | None => Refusal::Unavailable { budget },
        }
    }

    pub fn settle(&mut self, now_ms: i64, tickets: Vec<Placed>, charge: &Charge) {
        for Placed { budget, subject, ticket } in tickets {
            if let Some(account) = self.by_budget.get_mut(&budget) {
                account.settle(now_ms, subject, ticket, charge);
            }
        }
    }

    /// A budget that is gone gives its grants back, and so do purses of a kind that the budget has no use for any more. The budget's own purse
    /// stays for as long as the process: should the budget come back, its asks must go on rising, or the ledger would answer one with a grant
    /// that was closed long ago.
    pub fn keep_only(&mut self, table: &Table) {
        for (name, account) in &mut self.by_budget {
            match table.budgets.get(&**name) {
                None => account.retire(),
                Some(budget) => account.retire_unlike(budget.subject(None, None), budget.mode == Mode::Observe),
            }
        }
    }

    /// Every grant goes back: the process stops.
    pub fn retire(&mut self) {
        self.by_budget.values_mut().for_each(Account::retire);
    }

    /// Whether no purse holds a grant.
    pub fn is_empty(&self) -> bool {
        self.by_budget.values().all(Account::is_empty)
    }

    /// What is due to be sent, by budget.
    pub fn poll(&mut self, now_ms: i64) -> Vec<(Arc<str>, Out)> {
        let due = |(name, account): (&Arc<str>, &mut Account)| {
            let name = Arc::clone(name);
            account.poll(now_ms).into_iter().map(move |out| (Arc::clone(&name), out))
        };
        self.by_budget.iter_mut().flat_map(due).collect()
    }

    /// Every grant held, for the first message of a connection.
    pub fn hello(&mut self) -> Vec<(Arc<str>, String, ShownGrant)> {
        let held = |(name, account): (&Arc<str>, &mut Account)| {
            let name = Arc::clone(name);
            account.hello().into_iter().map(move |(ledger, grant)| (Arc::clone(&name), ledger, grant))
        };
        self.by_budget.iter_mut().flat_map(held).collect()
    }

    /// One message of the ledger; whether requests that wait should try again.
    pub fn take(&mut self, now_ms: i64, budget: &str, subject: Subject, message: In) -> bool {
        let (_, account) = self.account(budget);
        account.take(now_ms, subject, message) == Wake::Waiting
    }

    /// What the ledger says of a budget, where this process keeps it.
    pub fn learn(&mut self, budget: &str, figures: Figures) {
        self.account(budget).1.figures = Some(figures);
    }

    /// The least that is left in any of these budgets.
    pub fn remaining(&self, now_ms: i64, budgets: &[String]) -> Option<Nano> {
        let told = |name: &String| {
            let account = self.by_budget.get(name.as_str())?;
            let told = || account.told(now_ms).map(|state| state.remaining);
            account.figures.as_ref().map(|figures| figures.remaining).or_else(told)
        };
        budgets.iter().filter_map(told).min()
    }

    /// What was last said of the budget's running window.
    pub fn told(&self, now_ms: i64, budget: &str) -> Option<&State> {
        self.by_budget.get(budget)?.told(now_ms)
    }

    pub fn views(&self, now_ms: i64) -> Vec<BudgetView> {
        self.by_budget.iter().map(|(name, account)| view::view(account, name, now_ms)).collect()
    }

    fn account(&mut self, name: &str) -> (Arc<str>, &mut Account) {
        let key = self.by_budget.get_key_value(name).map_or_else(|| Arc::from(name), |(key, _)| Arc::clone(key));
        let incarnation = &self.incarnation;
        let account = self.by_budget.entry(Arc::clone(&key)).or_insert_with(|| Account::new(incarnation));
        (key, account)
    }
}

fn refusal(denied: Denied, budget: &str, model: &str) -> Refusal {
    let budget = budget.to_owned();
    match denied {
        Denied::Exhausted { fits } => Refusal::Exceeded { budget, fits },
        Denied::ShareExhausted { share, fits } => Refusal::ShareExceeded { budget, share: Some(share), fits },
        Denied::Frozen => Refusal::Frozen { budget },
        Denied::ModelDenied => Refusal::ModelDenied { budget, model: model.to_owned() },
    }
}
