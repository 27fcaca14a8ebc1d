//! Every budget's purse by name: requests and the driver's messages in, tickets and due messages out. No socket, no clock.

use super::Refusal;
use jiff::Timestamp;
use std::collections::BTreeMap;
use std::sync::Arc;
use tollway_core::spend::ledger::{DeniedReason, ShownGrant};
use tollway_core::spend::purse::{Denied, Wake};
use tollway_core::spend::{Charge, Figures, In, Nano, Out, Purse, Reserve, Ticket};
use tollway_core::table::{Mode, OnExhausted, Table};

/// Where one budget stands, as far as this proxy knows.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct BudgetView {
    pub name: String,
    pub limit: Nano,
    pub spent: Nano,
    /// The part of `spent` charged in full without the provider's usage; of this proxy alone unless it keeps the ledger.
    pub estimated: Nano,
    /// The part of `spent` that no report accounts for; known to whoever keeps the ledger.
    pub burned: Option<Nano>,
    /// Granted to this proxy and not spent.
    pub reserved: Nano,
    pub remaining: Nano,
    /// `None` for a window that never ends.
    pub window_end: Option<Timestamp>,
    pub exhausted: bool,
    pub frozen: bool,
    pub denied_models: Vec<String>,
    /// Since process start.
    pub asks: u64,
    /// Since process start.
    pub denials: u64,
}

/// Purses by budget.
#[derive(Debug)]
pub struct Accounts {
    incarnation: String,
    by_budget: BTreeMap<Arc<str>, Account>,
}

#[derive(Debug)]
struct Account {
    purse: Purse,
    /// Of the ledger, where this process keeps it.
    figures: Option<Figures>,
    last_ask: u64,
    denials: u64,
}

/// The answer to a request that wants to spend.
#[derive(Debug)]
pub enum Verdict {
    Reserved(Vec<(Arc<str>, Ticket)>),
    /// No held grant carries it; one is asked for as soon as the driver polls.
    Wait {
        budget: String,
    },
    Refused(Refusal),
}

impl Accounts {
    pub fn new(incarnation: &str) -> Self {
        Self { incarnation: incarnation.to_owned(), by_budget: BTreeMap::new() }
    }

    /// All of `budgets` or none. A target that costs nothing passes an exhausted budget only where it says so.
    pub fn reserve(
        &mut self,
        now_ms: i64,
        budgets: &[String],
        table: &Table,
        worst: Nano,
        target_is_free: bool,
        model: &str,
    ) -> Verdict {
        let mut tickets: Vec<(Arc<str>, Ticket)> = Vec::with_capacity(budgets.len());
        let mut short = None;
        let mut refused = None;
        for name in budgets {
            let budget = table.budgets.get(name);
            let observe = budget.is_some_and(|budget| budget.mode == Mode::Observe);
            let free_passes = budget.is_some_and(|budget| budget.on_exhausted == OnExhausted::FreeOnly);
            if target_is_free && free_passes {
                continue;
            }
            let (key, account) = self.account(name);
            account.purse.observe(observe);
            if worst == Nano::ZERO && !observe && account.purse.exhausted(now_ms) {
                refused = Some(Refusal::Exceeded { budget: name.clone(), fits: Nano::ZERO });
                break;
            }
            match account.purse.reserve(now_ms, worst, model) {
                Reserve::Reserved(ticket) => tickets.push((key, ticket)),
                // The others are asked too, so that all grants are on their way at once.
                Reserve::NeedsGrant => short = short.or_else(|| Some(name.clone())),
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
            (None, Some(budget)) => Verdict::Wait { budget },
            (Some(refusal), _) => Verdict::Refused(refusal),
            (None, None) => Verdict::Reserved(Vec::new()),
        }
    }

    /// What a request says that waited its whole time.
    pub fn in_vain(&self, now_ms: i64, budget: &str) -> Refusal {
        let denial = self.by_budget.get(budget).and_then(|account| account.purse.last_denial(now_ms));
        let budget = budget.to_owned();
        match denial {
            Some((DeniedReason::Exhausted | DeniedReason::Contended, fits)) => Refusal::Exceeded { budget, fits },
            Some((DeniedReason::Frozen, _)) => Refusal::Frozen { budget },
            Some((DeniedReason::Unavailable, _)) | None => Refusal::Unavailable { budget },
        }
    }

    pub fn settle(&mut self, now_ms: i64, tickets: Vec<(Arc<str>, Ticket)>, charge: &Charge) {
        for (budget, ticket) in tickets {
            if let Some(account) = self.by_budget.get_mut(&budget) {
                account.purse.settle(now_ms, ticket, charge);
            }
        }
    }

    /// A budget that is gone gives its grants back. Its purse stays for as long as the process: should the budget come back, its asks
    /// must go on rising, or the ledger would answer one with a grant that was closed long ago.
    pub fn keep_only(&mut self, table: &Table) {
        let gone = self.by_budget.iter_mut().filter(|(name, _)| !table.budgets.contains_key(&***name));
        gone.for_each(|(_, account)| account.purse.retire());
    }

    /// Every grant goes back: the process stops.
    pub fn retire(&mut self) {
        self.by_budget.values_mut().for_each(|account| account.purse.retire());
    }

    /// Whether no purse holds a grant.
    pub fn is_empty(&self) -> bool {
        self.by_budget.values().all(|account| account.purse.held() == 0)
    }

    /// What is due to be sent, by budget.
    pub fn poll(&mut self, now_ms: i64) -> Vec<(Arc<str>, Out)> {
        let mut due = Vec::new();
        for (name, account) in &mut self.by_budget {
            for out in account.purse.poll(now_ms) {
                if let Out::Ask { id, .. } = out {
                    account.last_ask = account.last_ask.max(id);
                }
                due.push((Arc::clone(name), out));
            }
        }
        due
    }

    /// Every grant held, for the first message of a connection.
    pub fn hello(&mut self) -> Vec<(Arc<str>, String, ShownGrant)> {
        let held = |(name, account): (&Arc<str>, &mut Account)| {
            let name = Arc::clone(name);
            account.purse.hello().into_iter().map(move |(ledger, grant)| (Arc::clone(&name), ledger, grant))
        };
        self.by_budget.iter_mut().flat_map(held).collect()
    }

    /// One message of the ledger; whether requests that wait should try again.
    pub fn take(&mut self, now_ms: i64, budget: &str, message: In) -> bool {
        let (_, account) = self.account(budget);
        if matches!(message, In::Denied { .. }) {
            account.denials += 1;
        }
        account.purse.take(now_ms, message) == Wake::Waiting
    }

    /// What the ledger says of a budget, where this process keeps it.
    pub fn learn(&mut self, budget: &str, figures: Figures) {
        self.account(budget).1.figures = Some(figures);
    }

    /// The least that is left in any of these budgets.
    pub fn remaining(&self, now_ms: i64, budgets: &[String]) -> Option<Nano> {
        let told = |name: &String| {
            let Account { purse, figures, .. } = self.by_budget.get(name.as_str())?;
            let told = || purse.told(now_ms).map(|state| state.remaining);
            figures.as_ref().map(|figures| figures.remaining).or_else(told)
        };
        budgets.iter().filter_map(told).min()
    }

    pub fn views(&self, now_ms: i64) -> Vec<BudgetView> {
        self.by_budget.iter().map(|(name, account)| account.view(name, now_ms)).collect()
    }

    fn account(&mut self, name: &str) -> (Arc<str>, &mut Account) {
        let key = self.by_budget.get_key_value(name).map_or_else(|| Arc::from(name), |(key, _)| Arc::clone(key));
        let incarnation = &self.incarnation;
        let new = || Account { purse: Purse::new(incarnation), figures: None, last_ask: 0, denials: 0 };
        let account = self.by_budget.entry(Arc::clone(&key)).or_insert_with(new);
        (key, account)
    }
}

impl Account {
    fn view(&self, name: &str, now_ms: i64) -> BudgetView {
        let told = self.purse.told(now_ms).cloned().unwrap_or_default();
        let own = self.purse.holdings();
        let view = BudgetView {
            name: name.to_owned(),
            limit: told.limit,
            spent: told.spent,
            estimated: own.estimated,
            burned: None,
            reserved: own.unspent,
            remaining: told.remaining,
            window_end: Timestamp::from_millisecond(told.window_end_ms).ok().filter(|_| told.window_end_ms > 0),
            exhausted: told.exhausted,
            frozen: told.frozen,
            denied_models: told.denied_models.into_iter().collect(),
            asks: self.last_ask,
            denials: self.denials,
        };
        match self.figures.clone() {
            None => view,
            Some(figures) => BudgetView {
                limit: figures.limit,
                spent: figures.spent,
                estimated: figures.estimated,
                burned: Some(figures.burned),
                reserved: figures.reserved,
                remaining: figures.remaining,
                exhausted: figures.exhausted,
                frozen: figures.frozen.is_some(),
                denied_models: figures.denied_models,
                ..view
            },
        }
    }
}

fn refusal(denied: Denied, budget: &str, model: &str) -> Refusal {
    let budget = budget.to_owned();
    match denied {
        Denied::Exhausted { fits } => Refusal::Exceeded { budget, fits },
        Denied::Frozen => Refusal::Frozen { budget },
        Denied::ModelDenied => Refusal::ModelDenied { budget, model: model.to_owned() },
    }
}
