//! The world as stateright sees it: a state in, what may happen next out.

use super::marks::Marks;
use super::mistakes::Mistake;
use super::network::{Message, Part};
use super::operators::Fate;
use super::rules::RULES;
use super::setups::{Ending, Setup};
use super::world::{Copy, World};
use crate::spend::Nano;
use crate::spend::ledger::{Adjustment, Event};
use stateright::{Model, Property};
use std::sync::{Arc, OnceLock};

/// One world to be searched.
#[derive(Clone, Debug)]
pub(super) struct Search {
    pub(super) setup: Setup,
    pub(super) marks: Arc<Marks>,
    /// The first rule seen broken: its trace is the shortest, and the search ends.
    pub(super) caught: Arc<OnceLock<&'static str>>,
}

/// Something happens.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Act {
    Request { proxy: usize, worst: u64 },
    End { proxy: usize, flight: usize, how: Ending },
    Poll { proxy: usize },
    Connect { proxy: usize },
    Restart { proxy: usize, gone: bool },
    CloseEarly { proxy: usize },
    Inform { proxy: usize },
    Serve { op: usize, message: Part<Message>, fate: Fate },
    Take { proxy: usize, message: Part<Message> },
    Tick { op: usize },
    Bury { op: usize, proxy: usize },
    Spec,
    Limit { op: usize, cap: u64 },
    Resume { op: usize },
    Crash { op: usize },
    PassAll,
    PassOperator { op: usize },
    PassProxy { proxy: usize },
    Save,
    Lose,
}

impl Search {
    pub(super) fn new(setup: Setup) -> Self {
        Self { setup, marks: Arc::default(), caught: Arc::default() }
    }

    pub(super) fn wrong(&self, mistake: Mistake) -> bool {
        self.setup.mistake == Some(mistake)
    }

    pub(super) fn now(&self, clock: usize) -> i64 {
        self.setup.instants[clock]
    }

    fn of_proxies(&self, world: &World, acts: &mut Vec<Act>) {
        let last = self.setup.instants.len() - 1;
        for (proxy, p) in world.proxies.iter().enumerate() {
            // Proxies are alike: the first that acts is called a.
            let its_turn = proxy == 0 || world.proxies[proxy - 1].used;
            if its_turn && world.left.requests > 0 && !p.waiting {
                acts.extend(self.setup.sizes.iter().map(|worst| Act::Request { proxy, worst: *worst }));
            }
            for flight in 0..p.flights.len() {
                if flight == 0 || p.flights[flight] != p.flights[flight - 1] {
                    acts.extend(self.setup.endings.iter().map(|how| Act::End { proxy, flight, how: *how }));
                }
            }
            if self.setup.lazy {
                acts.push(Act::Poll { proxy });
            }
            if self.setup.states {
                acts.push(Act::Inform { proxy });
            }
            if world.left.connects > 0 && p.used {
                acts.push(Act::Connect { proxy });
            }
            if world.left.restarts > 0 && p.used {
                acts.push(Act::Restart { proxy, gone: false });
            }
            if world.left.gone > 0 && p.used {
                acts.push(Act::Restart { proxy, gone: true });
            }
            if self.wrong(Mistake::CloseWithWorkInFlight) && !p.flights.is_empty() {
                acts.push(Act::CloseEarly { proxy });
            }
            if self.setup.skewed && p.clock < last {
                acts.push(Act::PassProxy { proxy });
            }
        }
    }

    fn of_operators(&self, world: &World, acts: &mut Vec<Act>) {
        let last = self.setup.instants.len() - 1;
        for (op, o) in world.operators.iter().enumerate() {
            if op > 0 && !world.operators[op - 1].used {
                continue;
            }
            for message in world.net.iter().filter(|m| !matches!(***m, Message::Down { .. })) {
                let serve = |fate| Act::Serve { op, message: message.clone(), fate };
                acts.push(serve(Fate::Known));
                if world.left.unsure > 0 {
                    acts.push(serve(Fate::Unsure));
                }
                if self.wrong(Mistake::SendBeforePersist) {
                    acts.push(serve(Fate::Never));
                }
            }
            if self.setup.instants.len() > 1 {
                acts.push(Act::Tick { op });
            }
            let restarted = |p: &super::world::Proxy| p.life > 1;
            let restarted = world.proxies.iter().enumerate().filter(|(_, p)| restarted(p));
            acts.extend(restarted.map(|(proxy, _)| Act::Bury { op, proxy }));
            let known = [self.setup.cap].into_iter().chain(self.setup.caps.iter().copied());
            if !self.setup.caps.is_empty() {
                let known = known.take(1 + self.setup.caps.len() - world.left.caps);
                acts.extend(known.map(|cap| Act::Limit { op, cap }));
            }
            if world.left.resumes > 0 {
                acts.push(Act::Resume { op });
            }
            if world.left.crashes > 0 && o.used {
                acts.push(Act::Crash { op });
            }
            if self.setup.skewed && o.clock < last {
                acts.push(Act::PassOperator { op });
            }
        }
    }

    fn deliveries(&self, world: &World, acts: &mut Vec<Act>) {
        for message in world.net.iter() {
            let Message::Down { incarnation, .. } = &**message else { continue };
            for (proxy, p) in world.proxies.iter().enumerate() {
                // What was for a process that is dead may reach the one that took its address.
                if incarnation.starts_with(p.letter) || self.wrong(Mistake::TakesAnothersGrant) {
                    acts.push(Act::Take { proxy, message: message.clone() });
                }
            }
        }
    }

    /// The record is put back to what was saved, or deleted: operators start anew, or remember what they knew, and proxies connect again.
    fn lose(&self, world: &mut World) {
        for (index, book) in world.books.iter_mut().enumerate() {
            let before = book.store.take();
            if let Some(before) = before.filter(|_| self.setup.awake) {
                for op in world.operators.iter_mut().filter(|op| op.used) {
                    let copy = &mut op.copies[index];
                    let state = copy.take().map_or_else(|| before.clone(), |copy| copy.state);
                    *copy = Some(Copy { fresh: false, state });
                }
            }
            book.store = book.saved.take();
            book.seen.tampered = true;
            book.seen.ended.clear();
            book.seen.buried.clear();
        }
        for op in world.operators.iter_mut().filter(|_| !self.setup.awake) {
            op.copies.fill(None);
        }
        for p in &mut world.proxies {
            p.heard = p.purses.iter().all(|account| account.held.is_empty());
        }
        world.left.saves = 0;
    }
}

impl Model for Search {
    type State = World;
    type Action = Act;

    fn init_states(&self) -> Vec<World> {
        vec![World::new(&self.setup)]
    }

    fn actions(&self, world: &World, acts: &mut Vec<Act>) {
        if world.broken.is_some() {
            return;
        }
        self.of_proxies(world, acts);
        self.of_operators(world, acts);
        self.deliveries(world, acts);
        if !self.setup.skewed && world.proxies[0].clock + 1 < self.setup.instants.len() {
            acts.push(Act::PassAll);
        }
        if world.left.caps > 0 {
            acts.push(Act::Spec);
        }
        let begun = world.books.iter().any(|book| book.store.is_some());
        if world.left.saves > 0 && begun {
            acts.push(Act::Save);
        }
        let saved = self.setup.left.saves == 0 || world.books.iter().any(|book| book.saved.is_some());
        if world.left.losses > 0 && begun && saved {
            acts.push(Act::Lose);
        }
    }

    fn next_state(&self, before: &World, act: Act) -> Option<World> {
        let mut world = before.clone();
        match act {
            Act::Request { proxy, worst } => self.request(&mut world, proxy, worst),
            Act::End { proxy, flight, how } => self.end(&mut world, proxy, flight, how),
            Act::Poll { proxy } => self.poll(&mut world, proxy),
            Act::Connect { proxy } => {
                world.left.connects -= 1;
                self.connect(&mut world, proxy);
            }
            Act::Restart { proxy, gone } => {
                let left = if gone { &mut world.left.gone } else { &mut world.left.restarts };
                *left -= 1;
                self.restart(&mut world, proxy, gone);
            }
            Act::CloseEarly { proxy } => self.close_early(&mut world, proxy),
            Act::Inform { proxy } => self.inform(&mut world, proxy),
            Act::Serve { op, message, fate } => {
                world.left.unsure -= u8::from(fate == Fate::Unsure);
                self.serve(&mut world, op, &message, fate);
            }
            Act::Take { proxy, message } => self.take(&mut world, proxy, &message),
            Act::Tick { op } => self.tick(&mut world, op),
            Act::Bury { op, proxy } => self.bury(&mut world, op, proxy),
            Act::Spec => {
                world.cap = self.setup.caps[self.setup.caps.len() - world.left.caps];
                world.left.caps -= 1;
            }
            Act::Limit { op, cap } => {
                self.everywhere(&mut world, op, &[Event::SetCap { cap: Nano(cap), observe: false }]);
            }
            Act::Resume { op } => {
                world.left.resumes -= 1;
                let adjustment = Adjustment::Resume;
                self.everywhere(&mut world, op, &[Event::Adjust { id: "resume".into(), adjustment }]);
            }
            Act::Crash { op } => {
                world.left.crashes -= 1;
                world.operators[op].copies.fill(None);
            }
            Act::PassAll => {
                for op in &mut world.operators {
                    op.clock += 1;
                }
                for proxy in 0..world.proxies.len() {
                    self.pass(&mut world, proxy);
                }
            }
            Act::PassOperator { op } => world.operators[op].clock += 1,
            Act::PassProxy { proxy } => self.pass(&mut world, proxy),
            Act::Save => {
                world.left.saves -= 1;
                for book in &mut world.books {
                    book.saved = book.store.clone();
                }
            }
            Act::Lose => {
                world.left.losses -= 1;
                self.lose(&mut world);
            }
        }
        Some(world)
    }

    fn properties(&self) -> Vec<Property<Self>> {
        fn judged<const RULE: usize>(search: &Search, world: &World) -> bool {
            let (name, holds) = RULES[RULE];
            holds(search, world) || search.caught.set(world.broken.unwrap_or(name)).is_err()
        }
        vec![
            Property::always(RULES[0].0, judged::<0>),
            Property::always(RULES[1].0, judged::<1>),
            Property::always(RULES[2].0, judged::<2>),
            Property::always(RULES[3].0, judged::<3>),
            Property::always(RULES[4].0, judged::<4>),
            Property::always(RULES[5].0, judged::<5>),
        ]
    }
}

impl Search {
    fn pass(&self, world: &mut World, proxy: usize) {
        let p = &mut world.proxies[proxy];
        p.clock += 1;
        p.waiting = false;
        self.turn(world, proxy);
    }
}
