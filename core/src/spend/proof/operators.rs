//! The operator's driver as `operator/src/ledger` has it, over a store with compare-and-swap: a message in, the ledger written and answers sent.

use super::marks::Mark;
use super::mistakes::Mistake;
use super::network::{Message, Part};
use super::search::Search;
use super::world::{Copy, World};
use crate::control::{ledger_down, ledger_up};
use crate::spend::ledger::{self, Effect, Event, LedgerState, Spent, Transition};
use crate::spend::purse::Out;
use crate::spend::{Nano, convert};

/// What becomes of the write that a message leads to. That effects never leave since the operator died is not among these: it is the same as
/// a write, a crash, and messages that never arrive.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Fate {
    /// It is known to have happened, or to have lost against another.
    Known,
    /// It happened, and the operator was told of a time-out.
    Unsure,
    /// By mistake: effects leave, then the operator dies before it writes.
    Never,
}

impl Search {
    /// An operator takes a message of a proxy.
    pub(super) fn serve(&self, world: &mut World, op: usize, message: &Message, fate: Fate) {
        match message {
            Message::Down { .. } => {}
            Message::Up { pod, incarnation, budget, out } => {
                let Some((book, event)) = self.routed(world, op, pod, incarnation, *budget, out) else { return };
                self.commit(world, op, book, &[event], fate);
            }
            Message::Hello { pod, incarnation, held } => {
                for budget in 0..self.setup.budgets {
                    let current = self.current(world, op, budget);
                    let known: Vec<String> =
                        world.books.iter().filter(|b| b.store.is_some()).map(|b| b.uid()).collect();
                    for book in 0..world.books.len() {
                        if world.books[book].budget != budget || world.books[book].store.is_none() {
                            continue;
                        }
                        let uid = world.books[book].uid();
                        let of = |(b, u, g): &(usize, String, _)| (*b == budget && *u == uid).then_some(*g);
                        let orphan = |(b, u, g): &(usize, String, _)| {
                            (book == current && *b == budget && !known.contains(u)).then(|| (u.clone(), *g))
                        };
                        let event = Event::Hello {
                            pod: pod.clone(),
                            incarnation: incarnation.clone(),
                            held: held.iter().filter_map(of).collect(),
                            orphans: held.iter().filter_map(orphan).collect(),
                        };
                        self.commit(world, op, book, &[event], fate);
                    }
                }
                // One that does not know yet that the record was put back looks at what it remembers.
                if world.operators[op].copies.iter().flatten().all(|copy| copy.fresh) {
                    self.hear(world, incarnation, held);
                }
            }
        }
    }

    /// The ledger that a purse's message is for, and the event it is there; by way of the control channel's messages.
    fn routed(
        &self,
        world: &mut World,
        op: usize,
        pod: &str,
        incarnation: &str,
        budget: usize,
        out: &Out,
    ) -> Option<(usize, Event)> {
        let name = budget.to_string();
        let named = |world: &World, uid: &str| {
            world.book_of(uid).filter(|b| world.books[*b].store.is_some() && world.books[*b].uid() == uid)
        };
        Some(match convert::up(&name, out.clone()).message? {
            ledger_up::Message::Ask(ask) => (self.current(world, op, budget), convert::ask(pod, incarnation, &ask)),
            ledger_up::Message::Report(report) => {
                let book = match self.wrong(Mistake::WindowForgotten) {
                    true => self.current(world, op, budget),
                    false => named(world, &report.ledger)?,
                };
                (book, convert::report(incarnation, report))
            }
            ledger_up::Message::Close(close) => (named(world, &close.ledger)?, convert::close(incarnation, close)),
            ledger_up::Message::Hello(_) => return None,
        })
    }

    /// The book of the operator's moment, opened as `operator/src/ledger/open.rs` does.
    fn current(&self, world: &mut World, op: usize, budget: usize) -> usize {
        let window = usize::try_from(self.now(world.operators[op].clock) / super::world::WINDOW_MS).unwrap();
        let book = world.book_at(budget, window.min(self.setup.windows - 1)).unwrap();
        if world.books[book].store.is_none() {
            let span = world.books[book].span(self.setup.windows);
            let before = window.checked_sub(1).and_then(|w| world.book_at(budget, w));
            let state = match before.and_then(|b| world.books[b].store.as_ref()) {
                _ if world.books[book].seen.tampered => {
                    world.books[book].generation += 1;
                    LedgerState::frozen(Nano(world.cap), span, "gone")
                }
                Some(before) => before.successor(span),
                None => LedgerState::new(Nano(world.cap), span),
            };
            let seen = &mut world.books[book].seen;
            seen.allowed = seen.allowed.max(state.effective_cap().0);
            world.books[book].store = Some(Part::new(state));
            if world.books[book].seen.tampered {
                self.marks.reach(Mark::Frozen);
            }
        }
        book
    }

    /// Looks at the clock: everywhere.
    pub(super) fn tick(&self, world: &mut World, op: usize) {
        self.everywhere(world, op, &[Event::Tick]);
    }

    /// Learns which processes of a proxy's Pods are dead.
    pub(super) fn bury(&self, world: &mut World, op: usize, proxy: usize) {
        let p = &world.proxies[proxy];
        let mut events: Vec<Event> =
            (1..p.pod).map(|n| Event::PodGone { pod: format!("pod {}{n}", p.letter) }).collect();
        events.push(Event::Replaced { pod: p.pod(), live: vec![p.incarnation()] });
        let dead: Vec<String> = (1..p.life).map(|n| format!("{}{n}", p.letter)).collect();
        let known = |book: &super::world::Book| {
            let holders = book.store.iter().flat_map(|store| store.holders.keys());
            holders.filter(|holder| dead.contains(holder)).cloned().collect::<Vec<_>>()
        };
        let known: Vec<_> = world.books.iter().map(known).collect();
        self.everywhere(world, op, &events);
        for (book, known) in world.books.iter_mut().zip(known) {
            book.seen.buried.extend(known);
        }
    }

    pub(super) fn everywhere(&self, world: &mut World, op: usize, events: &[Event]) {
        for book in 0..world.books.len() {
            if world.books[book].store.is_some() {
                self.commit(world, op, book, events, Fate::Known);
            }
        }
    }

    /// `Record::commit`: fold, swap, and only then send; on a conflict or an unknown outcome read, absorb and fold again.
    fn commit(&self, world: &mut World, op: usize, book: usize, events: &[Event], mut fate: Fate) {
        world.operators[op].used = true;
        let now = self.now(world.operators[op].clock);
        let stored = |world: &World| world.books[book].store.clone().unwrap();
        let mut copy =
            world.operators[op].copies[book].take().unwrap_or_else(|| Copy { fresh: true, state: stored(world) });
        let mut put_back = None;
        let last_known = copy.state.next_grant;
        loop {
            let events = &[put_back.as_slice(), events].concat();
            let (next, transition) = self.fold(&copy.state, now, events);
            let amounts = |s: &LedgerState| (s.committed(), s.figures().spent, s.burned, s.estimated, s.next_grant);
            let (again, _) = self.fold(&next, now, events);
            if amounts(&again) != amounts(&next) {
                world.broken = Some("an event that comes again changes no amount");
            }
            if next.figures().spent < copy.state.figures().spent {
                world.broken = Some("what is shown as spent never falls");
            }
            if transition.persist {
                if fate == Fate::Never {
                    self.release(world, book, transition);
                    return;
                }
                if !copy.fresh && !self.wrong(Mistake::BlindWrite) {
                    self.marks.reach(Mark::Conflict);
                    let read = stored(world);
                    put_back = read.put_back(&copy.state).or(put_back);
                    if self.wrong(Mistake::OverlooksPutBack) {
                        put_back = None;
                    }
                    copy = reread(&read, &copy.state);
                    continue;
                }
                self.look(events, &copy.state, &world.books[book].seen.ended);
                if next.grants.keys().any(|id| *id < last_known && !copy.state.grants.contains_key(id)) {
                    world.broken = Some("an operator makes no grant under a number that it knows was used");
                }
                self.write(world, op, book, &next);
                if fate == Fate::Unsure {
                    self.marks.reach(Mark::Unsure);
                    fate = Fate::Known;
                    copy = reread(&stored(world), &copy.state);
                    continue;
                }
                copy = Copy { fresh: true, state: stored(world) };
            } else {
                self.look(events, &copy.state, &world.books[book].seen.ended);
                copy.state = Part::new(next);
            }
            self.release(world, book, transition);
            break;
        }
        let as_stored = copy.fresh && copy.state == stored(world);
        world.operators[op].copies[book] = (!as_stored).then_some(copy);
    }

    /// The shipped fold; by mistake, something around it.
    fn fold(&self, state: &LedgerState, now: i64, events: &[Event]) -> (LedgerState, Transition) {
        let Some(mistake) = self.setup.mistake else { return ledger::fold(state, now, events) };
        let mut before = state.clone();
        let mut replaced = vec![];
        for event in events {
            match (mistake, event) {
                (Mistake::CreditOnExpiry, Event::Tick) => {
                    let ended = state.grants.iter().filter(|(_, g)| g.life_end_ms <= now);
                    replaced.extend(ended.map(|(id, g)| {
                        let (incarnation, spent) = (g.incarnation.clone(), g.reported);
                        Event::Close(Spent { incarnation, grant: *id, spent, ..Spent::default() })
                    }));
                    continue;
                }
                (Mistake::SameAskTwice, Event::Ask { incarnation, id, .. }) => {
                    if let Some(holder) = before.holders.get_mut(incarnation).filter(|h| h.ask == *id) {
                        holder.ask -= 1;
                    }
                }
                (Mistake::ChargesTwice, Event::Close(spent))
                    if !before.grants.contains_key(&spent.grant) && spent.grant < before.next_grant =>
                {
                    before.settled = before.settled.plus(spent.spent);
                }
                (Mistake::GrantsWhileFrozen, Event::Ask { .. }) => before.frozen = None,
                (Mistake::LoweredWithoutLimit, Event::Ask { .. }) => before.cap = Nano(self.setup.cap),
                _ => {}
            }
            replaced.push(event.clone());
        }
        let (mut next, mut transition) = ledger::fold(&before, now, &replaced);
        match mistake {
            Mistake::NoTombstone => next.holders.retain(|_, h| h.dead_at_ms.is_none()),
            Mistake::ForgetsLostGrants if next.frozen.is_some() && state.frozen.is_none() => {
                next = state.clone();
                transition.persist = false;
            }
            Mistake::GrantsWhileFrozen => next.frozen = next.frozen.or_else(|| state.frozen.clone()),
            Mistake::LoweredWithoutLimit if before.cap != state.cap => next.cap = state.cap,
            Mistake::ChargesTwice => transition.persist |= before.settled != state.settled,
            _ => {}
        }
        (next, transition)
    }

    /// The API server's side of a swap that succeeds: every other copy is stale from now on.
    fn write(&self, world: &mut World, op: usize, book: usize, next: &LedgerState) {
        let before = world.books[book].store.clone().unwrap();
        if let Some(broken) = self.judge(&mut world.books[book].seen, &before, next) {
            world.broken = Some(broken);
        }
        let older = |b: &super::world::Book| b.window == 0 && b.store.as_ref().is_some_and(|s| !s.grants.is_empty());
        let made = next.grants.keys().any(|id| !before.grants.contains_key(id));
        if made && world.books[book].window > 0 && world.books.iter().any(older) {
            self.marks.reach(Mark::DrainingAfterRollover);
        }
        for (index, other) in world.operators.iter_mut().enumerate() {
            let copy = &mut other.copies[book];
            match copy {
                _ if index == op => {}
                Some(copy) => copy.fresh = false,
                None if other.used => *copy = Some(Copy { fresh: false, state: before.clone() }),
                None => {}
            }
        }
        world.books[book].store = Some(Part::new(next.clone()));
    }

    /// Effects as messages, by way of the control channel's.
    fn release(&self, world: &mut World, book: usize, transition: Transition) {
        let (uid, budget) = (world.books[book].uid(), world.books[book].budget);
        let ends = world.books[book].span(self.setup.windows).ends_ms();
        for effect in transition.effects {
            match &effect {
                Effect::Burned { .. } => self.marks.reach(Mark::Burned),
                Effect::Frozen { .. } => self.marks.reach(Mark::Frozen),
                Effect::Denied { reason: ledger::DeniedReason::Frozen, .. } => self.marks.reach(Mark::FrozenRefused),
                _ => {}
            }
            let Some((incarnation, down)) = convert::down(&budget.to_string(), &uid, ends, effect) else { continue };
            if matches!(down.message, Some(ledger_down::Message::State(_))) {
                continue;
            }
            if let Some((_, _, message)) = convert::taken(down) {
                world.net.send(Message::Down { incarnation, budget, message });
            }
        }
    }

    /// Events worth noting.
    fn look(&self, events: &[Event], state: &LedgerState, ended: &std::collections::BTreeSet<u64>) {
        for event in events {
            match event {
                Event::Ask { incarnation, id, .. } => {
                    let Some(holder) = state.holders.get(incarnation) else { continue };
                    if holder.dead_at_ms.is_some() {
                        self.marks.reach(Mark::DeadRefused);
                    } else if holder.ask == *id {
                        self.marks.reach(Mark::SameGrantAgain);
                    }
                }
                Event::Close(spent) if ended.contains(&spent.grant) => self.marks.reach(Mark::LateClose),
                Event::Close(spent) if state.grants.get(&spent.grant).is_some_and(|g| g.recalled_at_ms.is_some()) => {
                    self.marks.reach(Mark::RecallAnswered);
                }
                _ => {}
            }
        }
    }
}

/// What is stored, and the reports that only memory has.
fn reread(stored: &LedgerState, memory: &LedgerState) -> Copy {
    let mut state = stored.clone();
    state.absorb_reports(memory);
    Copy { fresh: true, state: Part::new(state) }
}
