//! One budget's purses: its own, and one for each user and client whose share is being spent; requests and messages in, the right purse out.
//!
//! # Why purses of shares come and go
//! Users are many and most are idle. A purse that holds and owes nothing is dropped after a while, and its successor numbers its asks and
//! tickets above every one that was dropped, so that no late message is taken for its own.

use std::collections::HashMap;
use tollway_core::spend::ledger::ShownGrant;
use tollway_core::spend::purse::{Holdings, State, Wake};
use tollway_core::spend::{Charge, Figures, Forecast, In, Out, Purse, Subject, Ticket, Trend, Window};

/// Purses for shares at most: users that spend within one minute through one proxy.
pub const MOST: usize = 10_000;
/// A purse that is idle and was not used for so long is dropped.
const UNUSED_MS: i64 = 60_000;
/// How often the forecast is made anew.
const LOOK_AHEAD_MS: i64 = 1_000;

#[derive(Debug)]
pub struct Account {
    whole: Purse,
    shares: HashMap<Subject, ForShare>,
    /// The highest number that a dropped purse may have used.
    reached: u64,
    /// Of the ledger, where this process keeps it.
    pub figures: Option<Figures>,
    /// The last ask of the budget's own purse.
    last_ask: u64,
    pub asks: u64,
    pub denials: u64,
    trend: Trend,
    looked_ahead_at_ms: i64,
    /// What becomes of the window at the pace of the last hour, as far as this process lived then.
    pub forecast: Forecast,
}

#[derive(Debug)]
struct ForShare {
    purse: Purse,
    used_at_ms: i64,
    last_ask: u64,
}

impl Account {
    pub fn new(incarnation: &str) -> Self {
        Self {
            whole: Purse::new(incarnation),
            shares: HashMap::new(),
            reached: 0,
            figures: None,
            last_ask: 0,
            asks: 0,
            denials: 0,
            trend: Trend::default(),
            looked_ahead_at_ms: i64::MIN,
            forecast: Forecast::default(),
        }
    }

    /// The purse for `subject`, made at first use. When too many are in use, one that only observes counts for the budget alone;
    /// `None`: one that enforces cannot be counted.
    pub fn purse(&mut self, now_ms: i64, subject: Subject, observe: bool) -> Option<(Subject, &mut Purse)> {
        let crowded = self.shares.len() >= MOST && !self.shares.contains_key(&subject);
        if crowded {
            self.drop_unused(now_ms, 0);
        }
        if subject.is_whole() || (observe && crowded && self.shares.len() >= MOST) {
            return Some((Subject::default(), &mut self.whole));
        }
        if crowded && self.shares.len() >= MOST {
            return None;
        }
        let share = self.share(now_ms, subject);
        share.used_at_ms = now_ms;
        Some((subject, &mut share.purse))
    }

    fn share(&mut self, now_ms: i64, subject: Subject) -> &mut ForShare {
        let (whole, reached) = (&self.whole, self.reached);
        let new = || ForShare { purse: whole.for_shares(subject, reached), used_at_ms: now_ms, last_ask: 0 };
        self.shares.entry(subject).or_insert_with(new)
    }

    /// The purse for `subject`, if there is one.
    pub fn known(&self, subject: Subject) -> Option<&Purse> {
        if subject.is_whole() { Some(&self.whole) } else { self.shares.get(&subject).map(|share| &share.purse) }
    }

    /// A purse that was dropped meanwhile is made anew, so that what was spent while observing is not lost.
    pub fn settle(&mut self, now_ms: i64, subject: Subject, ticket: Ticket, charge: &Charge) {
        let purse = if subject.is_whole() { &mut self.whole } else { &mut self.share(now_ms, subject).purse };
        purse.settle(now_ms, ticket, charge);
        if let Some(model) = &charge.bound_exceeded {
            self.purses().for_each(|purse| purse.deny(model));
        }
    }

    /// A message of the ledger. One about a share is for that purse; what is about a grant, whoever has the grant knows.
    pub fn take(&mut self, now_ms: i64, subject: Subject, message: In) -> Wake {
        self.denials += u64::from(matches!(message, In::Denied { .. }));
        if matches!(message, In::Grant(_) | In::Denied { .. }) {
            let purse = if subject.is_whole() {
                Some(&mut self.whole)
            } else {
                self.shares.get_mut(&subject).map(|share| &mut share.purse)
            };
            return purse.map_or(Wake::Nobody, |purse| purse.take(now_ms, message));
        }
        let woken =
            self.purses().fold(false, |woken, purse| woken | (purse.take(now_ms, message.clone()) == Wake::Waiting));
        if woken { Wake::Waiting } else { Wake::Nobody }
    }

    pub fn retire(&mut self) {
        self.purses().for_each(Purse::retire);
    }

    /// Retires the purses that requests do not use any more: those for other kinds of shares than `like`.
    pub fn retire_unlike(&mut self, like: Subject, observe: bool) {
        if !like.is_whole() && !observe && self.whole.held() > 0 {
            self.whole.retire();
        }
        let unlike = self.shares.iter_mut().filter(|(subject, share)| !subject.is_like(like) && share.purse.held() > 0);
        unlike.for_each(|(_, share)| share.purse.retire());
    }

    pub fn is_empty(&self) -> bool {
        self.all().all(|purse| purse.held() == 0)
    }

    pub fn poll(&mut self, now_ms: i64) -> Vec<Out> {
        self.drop_unused(now_ms, UNUSED_MS);
        self.look_ahead(now_ms);
        let mut due = self.whole.poll(now_ms);
        self.asks += asked(&due, &mut self.last_ask);
        for share in self.shares.values_mut() {
            let of_share = share.purse.poll(now_ms);
            self.asks += asked(&of_share, &mut share.last_ask);
            due.extend(of_share);
        }
        due
    }

    fn look_ahead(&mut self, now_ms: i64) {
        // Purses are asked as often as requests need it; people look seldom.
        if now_ms < self.looked_ahead_at_ms.saturating_add(LOOK_AHEAD_MS) {
            return;
        }
        self.looked_ahead_at_ms = now_ms;
        let Some(State { window_end_ms, limit, spent, .. }) = self.whole.told(now_ms) else { return };
        let ends = Some(*window_end_ms).filter(|end| jiff::Timestamp::from_millisecond(*end).is_ok());
        let window = Window { id: window_end_ms.to_string(), start_ms: 0, end_ms: ends };
        let told = Figures { limit: *limit, spent: *spent, ..Figures::default() };
        self.forecast = self.trend.forecast(&window, self.figures.as_ref().unwrap_or(&told), now_ms);
    }

    pub fn hello(&mut self) -> Vec<(String, ShownGrant)> {
        self.purses().flat_map(Purse::hello).collect()
    }

    pub fn told(&self, now_ms: i64) -> Option<&State> {
        self.whole.told(now_ms)
    }

    pub fn holdings(&self) -> Holdings {
        self.all().map(Purse::holdings).fold(Holdings::default(), |sum, one| Holdings {
            unspent: sum.unspent.plus(one.unspent),
            estimated: sum.estimated.plus(one.estimated),
        })
    }

    fn drop_unused(&mut self, now_ms: i64, unused_ms: i64) {
        let reached = &mut self.reached;
        self.shares.retain(|_, share| {
            let keep = now_ms - share.used_at_ms < unused_ms || !share.purse.is_idle(now_ms);
            if !keep {
                *reached = (*reached).max(share.purse.reached());
            }
            keep
        });
    }

    fn purses(&mut self) -> impl Iterator<Item = &mut Purse> {
        std::iter::once(&mut self.whole).chain(self.shares.values_mut().map(|share| &mut share.purse))
    }

    fn all(&self) -> impl Iterator<Item = &Purse> {
        std::iter::once(&self.whole).chain(self.shares.values().map(|share| &share.purse))
    }
}

/// 1 when there is an ask among what is due that was not sent before.
fn asked(due: &[Out], last: &mut u64) -> u64 {
    let latest = due.iter().filter_map(|out| if let Out::Ask { id, .. } = out { Some(*id) } else { None }).max();
    let is_new = latest.is_some_and(|id| id > *last);
    *last = latest.unwrap_or_default().max(*last);
    u64::from(is_new)
}

#[cfg(test)]
mod tests {
    use super::*;
    use tollway_core::spend::Nano;
    use tollway_core::spend::purse::{Granted, Reserve};

    fn user(name: &str) -> Subject {
        Subject::new(Some(Some(name)), None)
    }

    fn reserve(account: &mut Account, now: i64, subject: Subject, worst: u64) -> Reserve {
        account.purse(now, subject, false).unwrap().1.reserve(now, Nano(worst), "model")
    }

    fn grant(ask: u64, grant: u64) -> In {
        let (ledger, incarnation) = ("l".to_owned(), "me".to_owned());
        let (window_end_ms, life_end_ms) = (i64::MAX, i64::MAX);
        In::Grant(Granted { ledger, grant, incarnation, ask, amount: Nano(100), window_end_ms, life_end_ms })
    }

    fn ask(account: &mut Account, now: i64, subject: Subject) -> u64 {
        let asks = account.poll(now).into_iter().filter_map(|out| match out {
            Out::Ask { id, subject: of, .. } => Some((id, of)),
            _ => None,
        });
        asks.into_iter().find(|(_, of)| *of == subject).unwrap().0
    }

    #[test]
    fn each_user_has_a_purse_and_what_one_is_granted_carries_nobody_else() {
        let mut account = Account::new("me");
        assert_eq!(reserve(&mut account, 0, user("ann"), 10), Reserve::NeedsGrant);
        assert_eq!(ask(&mut account, 0, user("ann")), 1);
        assert_eq!(account.take(0, user("ann"), grant(1, 7)), Wake::Waiting);
        assert_eq!(reserve(&mut account, 0, user("bob"), 10), Reserve::NeedsGrant);
        assert!(matches!(reserve(&mut account, 0, user("ann"), 10), Reserve::Reserved(_)));
        assert_eq!(account.asks, 1);
    }

    #[test]
    fn a_purse_without_use_is_dropped_and_its_successor_asks_under_new_numbers() {
        let mut account = Account::new("me");
        assert_eq!(reserve(&mut account, 0, user("ann"), 10), Reserve::NeedsGrant);
        ask(&mut account, 0, user("ann"));
        account.take(0, user("ann"), grant(1, 7));
        let Reserve::Reserved(ticket) = reserve(&mut account, 0, user("ann"), 10) else { panic!() };
        account.poll(100_000);
        assert_eq!(account.shares.len(), 1, "in flight");
        account.settle(100_000, user("ann"), ticket, &Charge::default());
        account.poll(200_000);
        assert_eq!(account.shares.len(), 1, "the grant is not closed yet");
        account.take(200_000, Subject::default(), In::Closed { ledger: "l".to_owned(), grant: 7 });
        account.poll(200_000);
        assert_eq!(account.shares.len(), 0);
        assert_eq!(reserve(&mut account, 200_000, user("ann"), 10), Reserve::NeedsGrant);
        assert!(ask(&mut account, 200_000, user("ann")) > 1);
    }

    #[test]
    fn a_flood_of_users_finds_bounded_memory() {
        let mut account = Account::new("me");
        for name in 0..MOST {
            reserve(&mut account, 0, user(&name.to_string()), 10);
        }
        assert!(account.purse(0, user("one more"), false).is_none());
        assert_eq!(account.purse(0, user("one more"), true).unwrap().0, Subject::default(), "observing denies nobody");
        assert!(account.purse(0, user("5"), false).is_some());
        // Nobody waits any more, and nothing was asked for them.
        assert!(account.purse(10_000, user("one more"), false).is_some());
        assert!(account.shares.len() <= MOST);
    }
}
