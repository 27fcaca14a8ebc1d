//! What exists at one moment, hashable and canonical: ledger objects, operators, proxies, messages, and the observer's memory.

use super::network::{Net, Part};
use super::setups::Setup;
use crate::spend::ledger::{LedgerState, ShownGrant};
use crate::spend::purse::{Purse, Ticket};
use crate::spend::{Nano, Window};
use std::collections::BTreeSet;

/// Length of a window; grants of a setup with one window never see its end.
pub(super) const WINDOW_MS: i64 = 7_200_000;

#[derive(Clone, Debug, PartialEq, Hash)]
pub(super) struct World {
    /// One for each budget and window.
    pub(super) books: Vec<Book>,
    pub(super) operators: Vec<Operator>,
    pub(super) proxies: Vec<Proxy>,
    pub(super) net: Net,
    /// The limit as the spec has it, and what may still happen to it.
    pub(super) cap: u64,
    pub(super) left: Left,
    /// A step broke a rule about steps; states that broke one go no further.
    pub(super) broken: Option<&'static str>,
}

/// How often each trouble may still happen.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) struct Left {
    /// Requests that may still be admitted or refused.
    pub(super) requests: u8,
    pub(super) caps: usize,
    pub(super) restarts: u8,
    pub(super) gone: u8,
    pub(super) connects: u8,
    pub(super) crashes: u8,
    pub(super) unsure: u8,
    pub(super) saves: u8,
    pub(super) losses: u8,
    pub(super) resumes: u8,
}

/// The ledger object of one budget and window, and what was truly spent on it.
#[derive(Clone, Debug, PartialEq, Hash)]
pub(super) struct Book {
    pub(super) budget: usize,
    pub(super) window: usize,
    /// Rises when the object is made anew; part of its uid.
    pub(super) generation: u8,
    pub(super) store: Option<Part<LedgerState>>,
    /// What a later restore brings back.
    pub(super) saved: Option<Part<LedgerState>>,
    pub(super) seen: Seen,
}

/// What an all-knowing observer remembers of one book.
#[derive(Clone, Debug, Default, PartialEq, Hash)]
pub(super) struct Seen {
    /// What providers charge for requests that are over.
    pub(super) spent: u64,
    /// The cap, or what was committed when it was lowered.
    pub(super) allowed: u64,
    /// Grants that were closed or burned.
    pub(super) ended: BTreeSet<u64>,
    /// Incarnations on record as dead.
    pub(super) buried: BTreeSet<String>,
    /// Usage above the bound that was reserved.
    pub(super) excess: u64,
    /// It was put back to an older state, or was gone.
    pub(super) tampered: bool,
}

#[derive(Clone, Debug, Default, PartialEq, Hash)]
pub(super) struct Operator {
    /// Its clock: the setup's instant of that number.
    pub(super) clock: usize,
    /// What it believes of each book, where that is not simply what is stored.
    pub(super) copies: Vec<Option<Copy>>,
    /// It has acted; the next one may.
    pub(super) used: bool,
}

#[derive(Clone, Debug, PartialEq, Hash)]
pub(super) struct Copy {
    /// Nobody has written since: the swap will succeed.
    pub(super) fresh: bool,
    pub(super) state: Part<LedgerState>,
}

#[derive(Clone, Debug, PartialEq, Hash)]
pub(super) struct Proxy {
    pub(super) letter: char,
    /// Counts its processes.
    pub(super) life: u8,
    /// Counts its Pods.
    pub(super) pod: u8,
    pub(super) clock: usize,
    /// One for each budget.
    pub(super) purses: Vec<Account>,
    pub(super) flights: Vec<Flight>,
    /// A request waits for a grant.
    pub(super) waiting: bool,
    pub(super) used: bool,
    /// It showed what it holds since the ledger was last tampered with.
    pub(super) heard: bool,
    /// It saw usage above the bound and was not resumed since.
    pub(super) exceeded: bool,
}

#[derive(Clone, Debug, PartialEq, Hash)]
pub(super) struct Account {
    pub(super) purse: Part<Purse>,
    /// What the purse shows; follows from it.
    pub(super) held: Vec<(String, ShownGrant)>,
    /// Spent by this process: for the mistake of a counter that is not per grant.
    pub(super) total: u64,
}

/// A request under way.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) struct Flight {
    /// What it may cost at most, in truth.
    pub(super) worst: u64,
    /// By budget: the book that admitted it and the reservation.
    pub(super) tickets: Vec<(usize, Option<Ticket>)>,
}

impl World {
    pub(super) fn new(setup: &Setup) -> Self {
        let books = (0..setup.budgets).flat_map(|budget| (0..setup.windows).map(move |window| (budget, window)));
        let books: Vec<_> = books
            .map(|(budget, window)| Book {
                budget,
                window,
                generation: 0,
                store: None,
                saved: None,
                seen: Seen::default(),
            })
            .collect();
        let operator = Operator { copies: vec![None; books.len()], ..Operator::default() };
        let proxies = ('a'..).take(setup.proxies).map(|letter| Proxy::new(letter, setup)).collect();
        let operators = vec![operator; setup.operators];
        Self { books, operators, proxies, net: Net::default(), cap: setup.cap, left: setup.left, broken: None }
    }

    /// The book that made a grant, by the uid that its holder knows.
    pub(super) fn book_of(&self, uid: &str) -> Option<usize> {
        self.books.iter().position(|book| uid.starts_with(&book.stem()))
    }

    pub(super) fn book_at(&self, budget: usize, window: usize) -> Option<usize> {
        self.books.iter().position(|book| book.budget == budget && book.window == window)
    }
}

impl Book {
    fn stem(&self) -> String {
        format!("budget {} window {} ", self.budget + 1, self.window + 1)
    }

    pub(super) fn uid(&self) -> String {
        format!("{}uid {}", self.stem(), self.generation + 1)
    }

    pub(super) fn span(&self, windows: usize) -> Window {
        let window = i64::try_from(self.window).unwrap();
        let end_ms = (windows > 1).then_some((window + 1) * WINDOW_MS);
        Window { id: (window + 1).to_string(), start_ms: window * WINDOW_MS, end_ms }
    }
}

impl Proxy {
    fn new(letter: char, setup: &Setup) -> Self {
        let mut proxy = Self {
            letter,
            life: 1,
            pod: 1,
            clock: 0,
            purses: vec![],
            flights: vec![],
            waiting: false,
            used: false,
            heard: true,
            exceeded: false,
        };
        let purse = Part::new(Purse::new(&proxy.incarnation()));
        proxy.purses = vec![Account { purse, held: vec![], total: 0 }; setup.budgets];
        proxy
    }

    /// The name of its process.
    pub(super) fn incarnation(&self) -> String {
        format!("{}{}", self.letter, self.life)
    }

    /// The uid of its Pod.
    pub(super) fn pod(&self) -> String {
        format!("pod {}{}", self.letter, self.pod)
    }

    /// Set aside or, by mistake, not: what requests under way may still cost on that book.
    pub(super) fn in_flight(&self, book: usize) -> u64 {
        self.flights.iter().filter(|f| f.tickets.iter().any(|(b, _)| *b == book)).map(|f| f.worst).sum()
    }
}

impl Account {
    /// Lets `change` work on the purse and looks at what it holds then. Showing starts its timers anew, as a reconnection does, so
    /// that what is due never hangs on how long ago it was last said.
    pub(super) fn change<T>(&mut self, change: impl FnOnce(&mut Purse) -> T) -> T {
        let mut purse = (*self.purse).clone();
        let result = change(&mut purse);
        self.held = purse.hello();
        self.purse = Part::new(purse);
        result
    }
}

/// `spent` of the shown grants that a book made.
pub(super) fn shown_spent(held: &[(String, ShownGrant)], made_here: impl Fn(&str) -> bool) -> u64 {
    held.iter().filter(|(uid, _)| made_here(uid)).map(|(_, shown)| shown.spent).sum::<Nano>().0
}
