//! What must hold in every state and at every write: the invariants of the design, judged by what an observer saw and not by what the code says.

use super::marks::Mark;
use super::search::Search;
use super::world::{Book, Proxy, Seen, World, shown_spent};
use crate::spend::Nano;
use crate::spend::ledger::{LedgerState, ShownGrant};
use std::collections::BTreeSet;

pub(super) const COVERED: &str = "spent + in flight <= settled + sum(open)";
pub(super) const WITHIN: &str = "settled + sum(open) <= max(cap, committed at lowering)";
pub(super) const EXPLAINED: &str = "shown <= spent + burned + estimated, to the cent";
pub(super) const ONE_HOLDER: &str = "a grant is on record and has one holder";
pub(super) const HEARD: &str = "after a loss: what those hold who showed it is charged or open";
pub(super) const STEPS: &str = "every write follows the rules of writes";

/// Whether a world keeps a rule.
pub(super) type Holds = fn(&Search, &World) -> bool;

/// Every rule about states.
pub(super) const RULES: [(&str, Holds); 6] = [
    (STEPS, |_, world| world.broken.is_none()),
    (COVERED, |_, world| books(world, |book, store| covered(world, book, store))),
    (WITHIN, |_, world| books(world, within)),
    (EXPLAINED, |_, world| explained(world)),
    (ONE_HOLDER, |search, world| one_holder(search, world)),
    (HEARD, |_, world| books(world, |book, store| heard(world, book, store))),
];

fn books(world: &World, holds: impl Fn(&Book, &LedgerState) -> bool) -> bool {
    world.books.iter().all(|book| book.store.as_ref().is_none_or(|store| holds(book, store)))
}

/// What a request costs at most was set aside first, and is never lost sight of. Not so where the record itself was lost.
fn covered(world: &World, book: &Book, store: &LedgerState) -> bool {
    let index = world.book_at(book.budget, book.window).unwrap();
    let in_flight: u64 = world.proxies.iter().map(|p| p.in_flight(index)).sum();
    book.seen.tampered || book.seen.spent + in_flight <= store.committed().0 + book.seen.excess
}

fn within(book: &Book, store: &LedgerState) -> bool {
    store.committed().0 <= book.seen.allowed + lost(store) + book.seen.excess
}

/// Grants that had to be charged without a record of them.
fn lost(store: &LedgerState) -> u64 {
    store.lost.values().map(|lost| lost.charged).sum::<Nano>().0
}

/// In the record and in every copy of it: no cent is shown that was not spent, burned or estimated.
fn explained(world: &World) -> bool {
    let fair = |book: &Book, state: &LedgerState| {
        let figures = state.figures();
        figures.spent.0 <= book.seen.spent + figures.burned.0 + figures.estimated.0
    };
    let copies = world.operators.iter().flat_map(|o| o.copies.iter().zip(&world.books));
    books(world, fair)
        && copies.filter_map(|(copy, book)| copy.as_ref().map(|c| (c, book))).all(|(c, b)| fair(b, &c.state))
}

/// A record that was put back gives its numbers out again, until somebody shows it a higher one.
fn one_holder(search: &Search, world: &World) -> bool {
    let mut known = BTreeSet::new();
    let shown = world.proxies.iter().flat_map(|p| p.purses.iter().flat_map(|account| &account.held));
    let whole = |uid: &str| world.book_of(uid).is_none_or(|book| !world.books[book].seen.tampered);
    let whole = shown.filter(|(uid, _)| whole(uid));
    let alone = whole.map(|(uid, shown)| (uid, shown.grant)).all(|grant| known.insert(grant));
    alone && (0..world.proxies.len()).all(|proxy| search.on_record(world, proxy))
}

/// Rule 10 gives no more than this: a restored record says less than is true until those that hold grants have shown them.
fn heard(world: &World, book: &Book, store: &LedgerState) -> bool {
    let index = world.book_at(book.budget, book.window).unwrap();
    let holds = |p: &Proxy| {
        let made_here = |uid: &str| world.book_of(uid) == Some(index);
        shown_spent(&p.purses[book.budget].held, made_here) + p.in_flight(index)
    };
    let held: u64 = world.proxies.iter().filter(|p| p.heard).map(holds).sum();
    !book.seen.tampered || held <= store.committed().0 + book.seen.excess
}

/// Whether the grant that is open under that id is this one; `None`: none is.
pub(super) fn recorded(world: &World, incarnation: &str, uid: &str, shown: &ShownGrant) -> Option<bool> {
    let book = world.books.iter().find(|book| book.uid() == uid)?;
    let open = book.store.as_ref()?.grants.get(&shown.grant)?;
    Some(open.incarnation == incarnation && open.amount == shown.amount)
}

impl Search {
    /// Whether each grant that the proxy holds is on record as it holds it, or was and has ended. A record that was lost is not looked at.
    pub(super) fn on_record(&self, world: &World, proxy: usize) -> bool {
        let p = &world.proxies[proxy];
        let incarnation = p.incarnation();
        p.purses.iter().flat_map(|account| &account.held).all(|(uid, shown)| {
            let Some(book) = world.book_of(uid).map(|book| &world.books[book]) else { return false };
            let open = recorded(world, &incarnation, uid, shown);
            book.seen.tampered || open.unwrap_or_else(|| book.seen.ended.contains(&shown.grant))
        })
    }

    /// One write: what it may change, and what the observer remembers of it. The rule that it breaks comes back.
    pub(super) fn judge(&self, seen: &mut Seen, before: &LedgerState, after: &LedgerState) -> Option<&'static str> {
        let mut broken = None;
        let mut rule = |holds: bool, text| {
            if !holds {
                broken = broken.or(Some(text));
            }
        };
        for (id, grant) in &after.grants {
            let same = |g: &crate::spend::ledger::OpenGrant| {
                (&g.incarnation, g.ask, g.amount) == (&grant.incarnation, grant.ask, grant.amount)
            };
            match before.grants.get(id) {
                Some(known) => rule(same(known), "a grant stays as it was made"),
                None => {
                    rule(!seen.ended.contains(id), "a grant's id is used once");
                    rule(!seen.buried.contains(&grant.incarnation), "the dead are granted nothing");
                    let frozen = before.frozen.is_some() && after.frozen.is_some();
                    rule(!frozen, "a frozen ledger grants nothing");
                    let twin = |(other, g): (&u64, &crate::spend::ledger::OpenGrant)| {
                        other != id && g.incarnation == grant.incarnation && g.ask == grant.ask
                    };
                    rule(!after.grants.iter().any(twin), "an ask is granted once");
                    if seen.tampered && after.frozen.is_none() {
                        self.marks.reach(Mark::ResumedGrant);
                    }
                }
            }
        }
        let ended: Vec<_> = before.grants.iter().filter(|(id, _)| !after.grants.contains_key(id)).collect();
        let settled = i128::from(after.settled.0) - i128::from(before.settled.0);
        let settled = settled - i128::from(lost(after)) + i128::from(lost(before));
        let least: u64 = ended.iter().map(|(_, g)| g.reported).sum::<Nano>().0;
        let most: u64 = ended.iter().map(|(_, g)| g.committed()).sum::<Nano>().0;
        rule(settled >= i128::from(least), "a grant that ends is charged what was reported at least");
        rule(settled <= i128::from(most) + i128::from(seen.excess), "a grant is charged once");
        seen.ended.extend(ended.into_iter().map(|(id, _)| *id));
        let (cap, committed) = (after.effective_cap().0, after.committed().0);
        if after.effective_cap() != before.effective_cap() {
            seen.allowed = cap.max(committed.saturating_sub(lost(after)));
        }
        if committed > cap {
            self.marks.reach(Mark::AboveLoweredCap);
        }
        broken
    }
}
