//! Purses over a book under a random life: requests, settlements, kills, clean stops, a disk that comes and goes. Whatever happens, the
//! bill stays within the cap, and what the ledger says was spent covers it.

use super::book::{Book, Terms};
use crate::ledger::accounts::{Accounts, Placed, Verdict, Wish};
use proptest::collection::vec;
use proptest::prelude::*;
use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;
use tollway_core::spend::{Charge, Nano};
use tollway_core::table::{Budget, Table};

const CAP: u64 = 1_000;
/// Of each user; there are three.
const SHARE: u64 = 450;

#[derive(Clone, Debug)]
enum Act {
    /// This user wants so much.
    Reserve(usize, u64),
    /// Settles one attempt in flight at this share of its worst case, in percent; 101: in full, estimated.
    Settle(usize, u64),
    Turn,
    Wait(i64),
    Kill,
    Stop,
    Disk(bool),
}

fn act() -> impl Strategy<Value = Act> {
    prop_oneof![
        6 => (0..3_usize, 1..400_u64).prop_map(|(user, worst)| Act::Reserve(user, worst)),
        6 => (any::<prop::sample::Index>(), 0..=101_u64).prop_map(|(at, percent)| Act::Settle(at.index(8), percent)),
        6 => Just(Act::Turn),
        3 => (1..70_000_i64).prop_map(Act::Wait),
        1 => Just(Act::Kill),
        1 => Just(Act::Stop),
        1 => any::<bool>().prop_map(Act::Disk),
    ]
}

/// The user of one attempt, its worst case and its tickets.
type InFlight = (usize, u64, Vec<Placed>);

struct World {
    dir: tempfile::TempDir,
    terms: Terms,
    book: Option<Book>,
    accounts: Accounts,
    in_flight: Vec<InFlight>,
    now: i64,
    incarnation: u32,
    /// What providers charged, attempts that a kill cut off at their worst case included.
    bill: [u64; 3],
}

impl World {
    fn new() -> Self {
        let budget = Budget { limit: Nano(CAP), per_user: Some(Nano(SHARE)), ..Budget::default() };
        let table = Table { budgets: [("team".to_owned(), budget)].into(), ..Table::default() };
        let terms = Terms { table: Arc::new(table), adjustments: BTreeMap::new() };
        let (dir, accounts) = (tempfile::tempdir().unwrap(), Accounts::new("0"));
        let mut world =
            Self { dir, terms, book: None, accounts, in_flight: vec![], now: 1_000, incarnation: 0, bill: [0; 3] };
        world.begin();
        world
    }

    fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    fn begin(&mut self) {
        self.disk(true);
        self.incarnation += 1;
        let name = self.incarnation.to_string();
        self.accounts = Accounts::new(&name);
        self.book = Some(Book::open(self.path("ledger"), &name, self.now).unwrap());
    }

    fn disk(&self, there: bool) {
        let (here, away) = (self.path("ledger"), self.path("away"));
        let (from, to) = if there { (away, here) } else { (here, away) };
        if from.exists() {
            std::fs::rename(from, to).unwrap();
        }
    }

    fn turn(&mut self) {
        let due = self.accounts.poll(self.now);
        let answers = self.book.as_mut().unwrap().turn(self.now, &self.terms, due);
        for (budget, subject, answer) in answers {
            self.accounts.take(self.now, &budget, subject, answer);
        }
    }

    fn act(&mut self, act: &Act) {
        match *act {
            Act::Reserve(user, worst) => {
                let (name, table) = (user.to_string(), Arc::clone(&self.terms.table));
                let wish = Wish {
                    budgets: &["team".to_owned()],
                    table: &table,
                    worst: Nano(worst),
                    is_free: false,
                    model: "model",
                    user: Some(&name),
                    client: None,
                };
                if let Verdict::Reserved(tickets) = self.accounts.reserve(self.now, &wish) {
                    self.in_flight.push((user, worst, tickets));
                }
            }
            Act::Settle(at, percent) if at < self.in_flight.len() => {
                let (user, worst, tickets) = self.in_flight.remove(at);
                let (actual, estimated) = (worst * percent.min(100) / 100, percent > 100);
                self.bill[user] += actual;
                let charge = Charge { actual: Nano(actual), estimated, bound_exceeded: None };
                self.accounts.settle(self.now, tickets, &charge);
            }
            Act::Settle(..) => {}
            Act::Turn => self.turn(),
            Act::Wait(ms) => {
                self.now += ms;
                self.turn();
            }
            Act::Kill => {
                for (user, worst, _) in self.in_flight.drain(..) {
                    self.bill[user] += worst;
                }
                self.book = None;
                self.begin();
            }
            Act::Stop => {
                self.disk(true);
                while !self.in_flight.is_empty() {
                    self.act(&Act::Settle(0, 50));
                }
                self.accounts.retire();
                for _ in 0..3 {
                    self.act(&Act::Wait(1_000));
                }
                assert!(self.accounts.is_empty(), "a clean stop leaves a grant open");
                self.book = None;
                self.begin();
            }
            Act::Disk(there) => self.disk(there),
        }
    }

    /// By user.
    fn at_risk(&self) -> [u64; 3] {
        self.in_flight.iter().fold(self.bill, |mut sums, (user, worst, _)| {
            sums[*user] += worst;
            sums
        })
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(96))]

    #[test]
    fn the_bill_stays_within_the_cap_and_the_ledger_covers_it(acts in vec(act(), 1..80)) {
        let mut world = World::new();
        for act in &acts {
            world.act(act);
            let at_risk = world.at_risk();
            prop_assert!(at_risk.iter().sum::<u64>() <= CAP, "{at_risk:?} at risk after {act:?}");
            prop_assert!(at_risk.iter().all(|sum| *sum <= SHARE), "{at_risk:?} at risk after {act:?}");
        }
        world.act(&Act::Stop);
        world.turn();
        let figures = world.book.as_ref().unwrap().figures().remove(0).1;
        let (spent, slack) = (figures.spent.0, figures.burned.0 + figures.estimated.0);
        let bill: u64 = world.bill.iter().sum();
        prop_assert!(bill <= spent && spent <= CAP, "bill {bill} spent {spent}");
        prop_assert!(spent - bill <= slack, "bill {bill} spent {spent} slack {slack}");
    }
}
