//! The proxy's driver as `proxy/src/ledger` has it: requests, their ends and the operator's messages in; messages of its purses out.

use super::marks::Mark;
use super::mistakes::Mistake;
use super::network::{Message, Part};
use super::rules::recorded;
use super::search::Search;
use super::setups::Ending;
use super::world::{Book, Flight, World};
use crate::spend::ledger::{MAX_OPEN, ShownGrant};
use crate::spend::purse::{Charge, Denied, In, Out, Purse, Reserve, Spending, Ticket};
use crate::spend::{Nano, convert};

const MODEL: &str = "model";

impl Search {
    /// A request, or one that waits and tries again: reserved in every budget or in none.
    pub(super) fn request(&self, world: &mut World, proxy: usize, worst: u64) {
        let p = &mut world.proxies[proxy];
        let now = self.now(p.clock);
        (p.used, p.waiting) = (true, false);
        let mut tickets: Vec<(usize, Ticket)> = vec![];
        let (mut short, mut refused) = (false, false);
        for (budget, account) in p.purses.iter_mut().enumerate() {
            let mut answer = account.change(|purse| purse.reserve(now, Nano(worst), MODEL));
            if self.wrong(Mistake::ResizeToWhatRemains) && !matches!(answer, Reserve::Reserved(_)) {
                answer = account.change(|purse| purse.reserve(now, Nano(worst - 1).max(Nano(1)), MODEL));
            }
            match answer {
                Reserve::Reserved(ticket) => tickets.push((budget, ticket)),
                Reserve::NeedsGrant => short = true,
                Reserve::Denied(denied) => {
                    match denied {
                        Denied::Exhausted { .. } | Denied::ShareExhausted { .. } => self.marks.reach(Mark::Exhausted),
                        Denied::ModelDenied => self.marks.reach(Mark::ModelDenied),
                        Denied::Frozen => {}
                    }
                    refused = true;
                    break;
                }
            }
        }
        let half = (short || refused) && !tickets.is_empty();
        if half && !self.wrong(Mistake::HalfOfTheBudgets) {
            self.marks.reach(Mark::HalfGivenBack);
            for (budget, ticket) in tickets {
                p.purses[budget].change(|purse| purse.release(now, ticket));
            }
            p.waiting = !refused;
            world.left.requests -= u8::from(refused);
        } else if refused && !half {
            world.left.requests -= 1;
        } else if short && !half {
            p.waiting = true;
        } else {
            self.admit(world, proxy, worst, tickets);
        }
        self.turn(world, proxy);
    }

    fn admit(&self, world: &mut World, proxy: usize, worst: u64, tickets: Vec<(usize, Ticket)>) {
        let p = &world.proxies[proxy];
        let now = self.now(p.clock);
        let mut by_budget: Vec<(usize, Option<Ticket>)> = vec![];
        for (budget, ticket) in tickets {
            let (uid, _) = p.purses[budget].purse.source_of(&ticket).unwrap();
            by_budget.push((world.book_of(uid).unwrap(), Some(ticket)));
        }
        // By mistake only: a budget without a reservation.
        for budget in 0..self.setup.budgets {
            if !by_budget.iter().any(|(book, _)| world.books[*book].budget == budget) {
                by_budget.push((world.book_at(budget, 0).unwrap(), None));
            }
        }
        by_budget.sort_unstable();
        if by_budget.iter().any(|(book, _)| world.books[*book].span(self.setup.windows).ended(now)) {
            world.broken = Some("a request is admitted only while the window lasts that it is charged to");
        }
        if p.exceeded && world.left.resumes == self.setup.left.resumes {
            world.broken = Some("a model that exceeded its bound is not served again before a resume");
        }
        world.left.requests -= 1;
        let p = &mut world.proxies[proxy];
        p.flights.push(Flight { worst, tickets: by_budget });
        p.flights.sort_unstable();
    }

    /// A request under way ends.
    pub(super) fn end(&self, world: &mut World, proxy: usize, flight: usize, how: Ending) {
        let flight = world.proxies[proxy].flights.remove(flight);
        let (worst, now) = (flight.worst, self.now(world.proxies[proxy].clock));
        let (truth, charged, estimated) = match how {
            Ending::Dear => (worst, worst, false),
            Ending::Cheap => (worst - 1, worst - 1, false),
            Ending::Refused => (0, 0, false),
            Ending::CutDear => (worst, worst, true),
            Ending::CutFree => (0, worst, true),
            Ending::Over => (worst + 1, worst + 1, false),
        };
        let refund = estimated && self.wrong(Mistake::RefundOnCancel);
        let rule = how == Ending::Over && !self.wrong(Mistake::MaxTokensNotEnforced);
        let charge = Charge {
            actual: Nano(if refund { 0 } else { charged }),
            estimated: estimated && !refund,
            bound_exceeded: rule.then(|| MODEL.to_owned()),
        };
        world.proxies[proxy].exceeded |= how == Ending::Over;
        for (book, ticket) in flight.tickets {
            let Book { seen, budget, .. } = &mut world.books[book];
            seen.spent += truth;
            seen.excess += u64::from(rule);
            if seen.spent == self.setup.cap {
                self.marks.reach(Mark::AllSpent);
            }
            let account = &mut world.proxies[proxy].purses[*budget];
            let Some(ticket) = ticket else { continue };
            if self.wrong(Mistake::CounterNotPerGrant) {
                account.total += charge.actual.0;
            }
            let burned = account.purse.source_of(&ticket).is_some_and(|(_, grant)| seen.ended.contains(&grant));
            if burned {
                self.marks.reach(Mark::SpentAfterBurn);
            }
            account.change(|purse| purse.settle(now, ticket, &charge));
        }
        self.turn(world, proxy);
    }

    /// A message of the operator arrives.
    pub(super) fn take(&self, world: &mut World, proxy: usize, message: &Message) {
        let Message::Down { budget, message, .. } = message else { return };
        let mut message = message.clone();
        let p = &mut world.proxies[proxy];
        let now = self.now(p.clock);
        if let (true, In::Grant(granted)) = (self.wrong(Mistake::TakesAnothersGrant), &mut message) {
            granted.incarnation = p.incarnation();
        }
        let account = &mut p.purses[*budget];
        let before = account.held.clone();
        let wake = account.change(|purse| purse.take(now, message));
        let taken: Vec<_> = account
            .held
            .iter()
            .filter(|(u, g)| !before.iter().any(|(v, h)| u == v && g.grant == h.grant))
            .cloned()
            .collect();
        if account.held.len() >= MAX_OPEN {
            self.marks.reach(Mark::Crowded);
        }
        if wake == crate::spend::purse::Wake::Waiting {
            p.waiting = false;
        }
        let incarnation = p.incarnation();
        // A grant that a lost record had made, and that arrives late: not heard of yet.
        let on_record =
            |(uid, shown): &(String, ShownGrant)| recorded(world, &incarnation, uid, shown).is_some_and(|open| open);
        if !taken.iter().all(on_record) {
            world.proxies[proxy].heard = false;
        }
        self.turn(world, proxy);
    }

    /// Where the budgets stand, as a stream has it that just began or was written to.
    pub(super) fn inform(&self, world: &mut World, proxy: usize) {
        for book in 0..world.books.len() {
            let (budget, ends) = (world.books[book].budget, world.books[book].span(self.setup.windows).ends_ms());
            let Some(store) = &world.books[book].store else { continue };
            let Some((_, _, message)) = convert::taken(convert::state("", ends, &store.figures())) else { continue };
            let p = &mut world.proxies[proxy];
            let now = self.now(p.clock);
            p.purses[budget].change(|purse| purse.take(now, message));
        }
        self.turn(world, proxy);
    }

    /// A new connection: it shows what it holds.
    pub(super) fn connect(&self, world: &mut World, proxy: usize) {
        let p = &world.proxies[proxy];
        let held = p.purses.iter().enumerate();
        let held = held.flat_map(|(b, account)| account.held.iter().map(move |(uid, shown)| (b, uid.clone(), *shown)));
        let (pod, incarnation, held) = (p.pod(), p.incarnation(), held.collect());
        world.net.send(Message::Hello { pod, incarnation, held });
    }

    /// The process dies with what it has under way, spent in truth, and another starts: in the same Pod or, when that is gone, in another.
    pub(super) fn restart(&self, world: &mut World, proxy: usize, gone: bool) {
        let p = &mut world.proxies[proxy];
        for flight in std::mem::take(&mut p.flights) {
            for (book, _) in &flight.tickets {
                world.books[*book].seen.spent += flight.worst;
            }
        }
        if !self.wrong(Mistake::RestartReusesGrant) {
            p.life += 1;
        }
        p.pod += u8::from(gone);
        (p.waiting, p.exceeded) = (false, false);
        let purse = Part::new(Purse::new(&p.incarnation()));
        for account in &mut p.purses {
            (account.purse, account.held, account.total) = (purse.clone(), vec![], 0);
        }
        self.connect(world, proxy);
    }

    /// After each event, unless the world is lazy: what is due is sent.
    pub(super) fn turn(&self, world: &mut World, proxy: usize) {
        if !self.setup.lazy {
            self.poll(world, proxy);
        }
    }

    pub(super) fn poll(&self, world: &mut World, proxy: usize) {
        let World { proxies, net, .. } = world;
        let p = &mut proxies[proxy];
        let (pod, incarnation, now) = (p.pod(), p.incarnation(), self.now(p.clock));
        for (budget, account) in p.purses.iter_mut().enumerate() {
            for mut out in account.change(|purse| purse.poll(now)) {
                if let (true, Out::Report(s) | Out::Close(s)) = (self.wrong(Mistake::CounterNotPerGrant), &mut out) {
                    s.spent = Nano(account.total);
                }
                net.send(Message::Up { pod: pod.clone(), incarnation: incarnation.clone(), budget, out });
            }
        }
    }

    /// By mistake: a close for whatever is held, with its figures as they are.
    pub(super) fn close_early(&self, world: &mut World, proxy: usize) {
        let World { proxies, net, .. } = world;
        let p = &proxies[proxy];
        for (budget, account) in p.purses.iter().enumerate() {
            for (ledger, ShownGrant { grant, spent, estimated, .. }) in account.held.clone() {
                let out = Out::Close(Spending { ledger, grant, spent, estimated, bound_exceeded: vec![] });
                net.send(Message::Up { pod: p.pod(), incarnation: p.incarnation(), budget, out });
            }
        }
    }

    /// A hello was looked at: whether it showed all that the proxy holds.
    pub(super) fn hear(&self, world: &mut World, incarnation: &str, held: &[(usize, String, ShownGrant)]) {
        for p in world.proxies.iter_mut().filter(|p| p.incarnation() == incarnation) {
            let mut all = p.purses.iter().flat_map(|account| &account.held);
            let shown = |(uid, g): &(String, ShownGrant)| held.iter().any(|(_, u, h)| u == uid && h.grant == g.grant);
            p.heard |= all.all(shown);
        }
    }
}
