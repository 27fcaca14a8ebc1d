//! A world in which everything fails: operators with stale copies over one store, proxies, a network that loses, repeats and
//! reorders, crashes, and clocks that disagree. Actions in; after each, the invariants are checked against what was truly spent.

use crate::spend::ledger::{self, Adjustment, Effect, Event, LedgerState, ShownGrant, Spent};
use crate::spend::purse::{Charge, Granted, In, Out, Purse, Reserve, Ticket};
use crate::spend::{Nano, Share, Subject, Who, Window};
use std::collections::{BTreeMap, BTreeSet};

pub const WINDOW_MS: i64 = 2 * 3_600_000;
pub const CAP: Nano = Nano(1_000);
/// What each user, and each client, may spend in a world with people.
pub const SHARES: (u64, u64) = (300, 500);

/// Something happens. Numbers are taken modulo what there is.
#[derive(Clone, Debug)]
pub enum Action {
    /// A proxy wants to send a request of someone.
    Request { proxy: usize, person: usize, worst: u64 },
    /// A request in flight ends: `share` of its worst case was really spent; the proxy knows, or charges in full.
    Settle { proxy: usize, request: usize, share: u64, known: bool },
    /// A proxy hands what is due to the network.
    Poll { proxy: usize },
    /// A message arrives; perhaps once more later.
    Deliver { message: usize, again: bool },
    /// A proxy and its operator talk without trouble for a while; perhaps copies of all they say are under way as well.
    Talk { proxy: usize, copies: bool },
    /// A message is lost.
    Lose { message: usize },
    /// A proxy turns to an operator and says hello.
    Connect { proxy: usize, operator: usize },
    /// A proxy process dies and starts anew in its Pod; requests in flight have spent some share.
    Restart { proxy: usize, share: u64 },
    /// An operator learns that a dead Pod is gone; the Pod comes back as another.
    PodGone { proxy: usize, operator: usize, share: u64 },
    /// An operator forgets everything it has not written.
    Crash { operator: usize },
    /// The next write of an operator succeeds, but it is told of a time-out; or it fails and it is told so.
    Unlucky { operator: usize, written: bool },
    /// Time passes.
    Pass { ms: i64 },
    /// An operator looks at the clock.
    Tick { operator: usize },
    /// The limit changes.
    Cap { operator: usize, cap: u64 },
    /// The limits of the shares change.
    Shares { operator: usize, user: u64, client: u64 },
    /// A proxy drops a purse that it does not need just now.
    Forget { proxy: usize, person: usize },
    /// Instances cost something.
    Infrastructure { operator: usize, amount: u64 },
    /// An administrator gives credit; every adjustment is applied again by whoever reconciles.
    Credit { operator: usize, id: u64 },
}

#[derive(Clone, Debug)]
enum Message {
    Hello { to: usize, pod: String, incarnation: String, held: Vec<(String, ShownGrant)> },
    Up { to: usize, pod: String, incarnation: String, out: Out },
    Down { to: usize, subject: Subject, message: In },
}

#[derive(Default)]
struct Operator {
    /// By window, what it believes: version and state.
    known: BTreeMap<i64, (u64, LedgerState)>,
    /// Its clock is off by so much.
    skew: i64,
    unlucky: Option<bool>,
}

struct Proxy {
    pod: String,
    incarnation: String,
    whole: Purse,
    purses: BTreeMap<Subject, Purse>,
    in_flight: Vec<InFlight>,
    operator: usize,
    skew: i64,
}

/// An attempt under way: whose it is, and the window it is charged to.
struct InFlight {
    subject: Subject,
    ticket: Ticket,
    window: i64,
}

/// The world and what an all-knowing observer sees.
pub struct World {
    now: i64,
    store: BTreeMap<i64, (u64, LedgerState)>,
    operators: Vec<Operator>,
    proxies: Vec<Proxy>,
    network: Vec<Message>,
    born: u64,
    credits: BTreeSet<u64>,
    /// Who sends requests; one who is nobody in particular, where nobody has a share.
    people: Vec<Subject>,
    /// The highest limits that shares ever had: what was granted below one stays committed when it is lowered.
    limits: (u64, u64),
    /// What was truly spent, by window and person.
    spent: BTreeMap<(i64, Subject), Nano>,
    /// What was truly spent, by window.
    pub truth: BTreeMap<i64, Nano>,
    /// Requests that were admitted.
    pub admitted: u64,
}

impl World {
    pub fn new(operators: usize, proxies: usize, people: usize) -> Self {
        let named = |at: usize| Subject::new(Some(Some(&at.to_string())), Some(Some(&(at % 2).to_string())));
        let people: Vec<Subject> =
            if people == 0 { vec![Subject::default()] } else { (0..people).map(named).collect() };
        let mut world = Self {
            now: 0,
            store: BTreeMap::new(),
            operators: (0..operators).map(|i| Operator { skew: 20_000 * i as i64, ..Operator::default() }).collect(),
            proxies: vec![],
            network: vec![],
            born: 0,
            credits: BTreeSet::new(),
            people,
            limits: SHARES,
            spent: BTreeMap::new(),
            truth: BTreeMap::new(),
            admitted: 0,
        };
        for i in 0..proxies {
            let incarnation = world.incarnation();
            let (whole, purses) = world.purses(&incarnation);
            let (pod, skew) = (format!("pod-{i}"), 30_000 * i as i64 - 45_000);
            world.proxies.push(Proxy { pod, incarnation, whole, purses, in_flight: vec![], operator: 0, skew });
        }
        world
    }

    /// A purse for everyone who sends requests.
    fn purses(&self, incarnation: &str) -> (Purse, BTreeMap<Subject, Purse>) {
        let whole = Purse::new(incarnation);
        let purses = self.people.iter().map(|person| (*person, whole.for_shares(*person, 0))).collect();
        (whole, purses)
    }

    /// The limits that a ledger has from its start: none where nobody has a share.
    fn has_shares(&self) -> bool {
        !self.people[0].is_whole()
    }

    fn incarnation(&mut self) -> String {
        self.born += 1;
        format!("incarnation-{}", self.born)
    }

    pub fn act(&mut self, action: &Action) {
        let (proxies, operators) = (self.proxies.len(), self.operators.len());
        match *action {
            Action::Request { proxy, person, worst } => self.request(proxy % proxies, person, Nano(worst)),
            Action::Settle { proxy, request, share, known } => self.settle(proxy % proxies, request, share, known),
            Action::Poll { proxy } => self.poll(proxy % proxies),
            Action::Deliver { message, again } => self.deliver(message, again),
            Action::Talk { proxy, copies } => self.talk(proxy % proxies, copies),
            Action::Lose { message } => {
                if !self.network.is_empty() {
                    self.network.remove(message % self.network.len());
                }
            }
            Action::Connect { proxy, operator } => self.connect(proxy % proxies, operator % operators),
            Action::Restart { proxy, share } => self.restart(proxy % proxies, share),
            Action::PodGone { proxy, operator, share } => {
                let (proxy, operator) = (proxy % proxies, operator % operators);
                let gone = self.proxies[proxy].pod.clone();
                self.restart(proxy, share);
                self.proxies[proxy].pod = format!("{gone}'");
                self.everywhere(operator, &Event::PodGone { pod: gone });
            }
            Action::Crash { operator } => self.operators[operator % operators].known.clear(),
            Action::Unlucky { operator, written } => self.operators[operator % operators].unlucky = Some(written),
            Action::Pass { ms } => self.now += ms,
            Action::Tick { operator } => self.everywhere(operator % operators, &Event::Tick),
            Action::Cap { operator, cap } => {
                self.here(operator % operators, Event::SetCap { cap: Nano(cap), observe: false });
            }
            Action::Shares { operator, user, client } => {
                if self.has_shares() {
                    self.limits = (self.limits.0.max(user), self.limits.1.max(client));
                    let (per_user, per_client) = (Some(Nano(user)), Some(Nano(client)));
                    self.here(operator % operators, Event::SetShares { per_user, per_client });
                }
            }
            Action::Forget { proxy, person } => {
                let person = self.people[person % self.people.len()];
                let (now, p) = (self.now, &mut self.proxies[proxy % proxies]);
                if let Some(purse) = p.purses.get_mut(&person)
                    && purse.is_idle(now + p.skew)
                {
                    *purse = p.whole.for_shares(person, purse.reached());
                }
            }
            Action::Infrastructure { operator, amount } => {
                self.here(
                    operator % operators,
                    Event::Instances { endpoint: "e".into(), since_ms: Some(0), per_hour: Nano(3_600 * amount) },
                );
            }
            Action::Credit { operator, id } => {
                self.credits.insert(id);
                let (id, adjustment) = (format!("credit-{id}"), Adjustment::Credit(Nano(50 * id)));
                self.here(operator % operators, Event::Adjust { id, adjustment });
            }
        }
    }

    fn request(&mut self, proxy: usize, person: usize, worst: Nano) {
        let subject = self.people[person % self.people.len()];
        let (now, p) = (self.now, &mut self.proxies[proxy]);
        let purse = p.purses.get_mut(&subject).unwrap();
        if let Reserve::Reserved(ticket) = purse.reserve(now + p.skew, worst, "model") {
            let window = purse.source_of(&ticket).unwrap().0.parse().unwrap();
            p.in_flight.push(InFlight { subject, ticket, window });
            self.admitted += 1;
        }
    }

    fn settle(&mut self, proxy: usize, request: usize, share: u64, known: bool) {
        let (now, p) = (self.now, &mut self.proxies[proxy]);
        if p.in_flight.is_empty() {
            return;
        }
        let InFlight { subject, ticket, window } = p.in_flight.swap_remove(request % p.in_flight.len());
        let worst = ticket.amount();
        let truly = Nano(worst.0 * share.min(100) / 100);
        let truth = [self.truth.entry(window).or_default(), self.spent.entry((window, subject)).or_default()];
        truth.into_iter().for_each(|spent| *spent = spent.plus(truly));
        let actual = if known { truly } else { worst };
        let charge = Charge { actual, estimated: !known, bound_exceeded: None };
        p.purses.get_mut(&subject).unwrap().settle(now + p.skew, ticket, &charge);
    }

    fn poll(&mut self, proxy: usize) {
        let p = &mut self.proxies[proxy];
        for out in p.purses.values_mut().flat_map(|purse| purse.poll(self.now + p.skew)) {
            let (pod, incarnation) = (p.pod.clone(), p.incarnation.clone());
            self.network.push(Message::Up { to: p.operator, pod, incarnation, out });
        }
    }

    fn talk(&mut self, proxy: usize, copies: bool) {
        let older = std::mem::take(&mut self.network);
        let mut kept = vec![];
        for _ in 0..3 {
            self.poll(proxy);
            while !self.network.is_empty() {
                if copies {
                    kept.push(self.network[0].clone());
                }
                let message = self.network.remove(0);
                self.receive(message);
            }
        }
        self.network = older;
        self.network.extend(kept);
    }

    fn connect(&mut self, proxy: usize, operator: usize) {
        let p = &mut self.proxies[proxy];
        p.operator = operator;
        let (pod, incarnation) = (p.pod.clone(), p.incarnation.clone());
        self.network.push(Message::Hello {
            to: operator,
            pod,
            incarnation,
            held: p.purses.values_mut().flat_map(Purse::hello).collect(),
        });
    }

    fn restart(&mut self, proxy: usize, share: u64) {
        let incarnation = self.incarnation();
        let (whole, purses) = self.purses(&incarnation);
        let p = &mut self.proxies[proxy];
        for InFlight { subject, ticket, window } in p.in_flight.drain(..) {
            let truly = Nano(ticket.amount().0 * share.min(100) / 100);
            let truth = [self.truth.entry(window).or_default(), self.spent.entry((window, subject)).or_default()];
            truth.into_iter().for_each(|spent| *spent = spent.plus(truly));
        }
        (p.whole, p.purses) = (whole, purses);
        p.incarnation = incarnation;
        let operator = p.operator;
        self.connect(proxy, operator);
    }

    fn deliver(&mut self, message: usize, again: bool) {
        if self.network.is_empty() {
            return;
        }
        let at = message % self.network.len();
        let message = if again { self.network[at].clone() } else { self.network.swap_remove(at) };
        self.receive(message);
    }

    fn receive(&mut self, message: Message) {
        match message {
            Message::Down { to, subject, message } => {
                let p = &mut self.proxies[to];
                let addressed = matches!(message, In::Grant(_) | In::Denied { .. });
                for (_, purse) in p.purses.iter_mut().filter(|(of, _)| !addressed || **of == subject) {
                    purse.take(self.now + p.skew, message.clone());
                }
            }
            Message::Hello { to, pod, incarnation, held } => {
                let mut windows: BTreeMap<i64, Vec<ShownGrant>> = BTreeMap::new();
                windows.entry(self.window_of(to)).or_default();
                for (ledger, shown) in held {
                    windows.entry(ledger.parse().unwrap()).or_default().push(shown);
                }
                for (window, held) in windows {
                    let (pod, incarnation) = (pod.clone(), incarnation.clone());
                    let living = self.proxies.iter().find(|p| p.pod == pod).map(|p| p.incarnation.clone());
                    let replaced = Event::Replaced { pod: pod.clone(), live: living.into_iter().collect() };
                    self.drive(to, window, &[Event::Hello { pod, incarnation, held, orphans: vec![] }, replaced]);
                }
            }
            Message::Up { to, pod, incarnation, out } => {
                let figures = |s: &crate::spend::purse::Spending| Spent {
                    incarnation: incarnation.clone(),
                    grant: s.grant,
                    spent: s.spent,
                    estimated: s.estimated,
                    bound_exceeded: vec![],
                };
                match out {
                    Out::Ask { id, min, want, subject } => {
                        self.here(to, Event::Ask { pod, incarnation, id, min, want, subject });
                    }
                    Out::Report(s) => self.drive(to, s.ledger.parse().unwrap(), &[Event::Report(figures(&s))]),
                    Out::Close(s) => self.drive(to, s.ledger.parse().unwrap(), &[Event::Close(figures(&s))]),
                }
            }
        }
    }

    fn window_of(&self, operator: usize) -> i64 {
        (self.now + self.operators[operator].skew).div_euclid(WINDOW_MS)
    }

    fn here(&mut self, operator: usize, event: Event) {
        self.drive(operator, self.window_of(operator), &[event]);
    }

    fn everywhere(&mut self, operator: usize, event: &Event) {
        let windows: Vec<i64> = self.store.keys().copied().collect();
        for window in windows {
            self.drive(operator, window, std::slice::from_ref(event));
        }
    }

    /// The operator's driver: fold, write by compare-and-swap, only then send.
    fn drive(&mut self, operator: usize, window: i64, events: &[Event]) {
        let has_shares = self.has_shares();
        let fresh = || {
            let start_ms = window * WINDOW_MS;
            let end_ms = Some(start_ms + WINDOW_MS);
            let mut state = LedgerState::new(CAP, Window { id: window.to_string(), start_ms, end_ms });
            if has_shares {
                let (per_user, per_client) = (Some(Nano(SHARES.0)), Some(Nano(SHARES.1)));
                state.step(0, &Event::SetShares { per_user, per_client });
            }
            state
        };
        let stored = self.store.entry(window).or_insert_with(|| (0, fresh()));
        let op = &mut self.operators[operator];
        let known = op.known.entry(window).or_insert_with(|| stored.clone());
        let now = self.now + op.skew;
        loop {
            let (next, transition) = ledger::fold(&known.1, now, events);
            let amounts = |s: &LedgerState| (s.committed(), s.figures().spent, s.burned, s.estimated, s.next_grant);
            let (again, _) = ledger::fold(&next, now, events);
            assert_eq!(amounts(&again), amounts(&next), "{events:?} applied once more");
            if !transition.persist {
                known.1 = next;
                self.release(window, transition.effects);
                return;
            }
            let unlucky = op.unlucky.take();
            let fits = known.0 == stored.0;
            if fits && unlucky != Some(false) {
                *stored = (stored.0 + 1, next);
            }
            if fits && unlucky.is_none() {
                *known = stored.clone();
                self.release(window, transition.effects);
                return;
            }
            let mut read = stored.clone();
            read.1.absorb_reports(&known.1);
            *known = read;
        }
    }

    fn release(&mut self, window: i64, effects: Vec<Effect>) {
        let end = (window + 1) * WINDOW_MS;
        for effect in effects {
            let (to, subject, message) = match effect {
                Effect::Granted { incarnation, ask, subject, grant, amount, life_end_ms } => {
                    let (to, ledger, window_end_ms) = (incarnation.clone(), window.to_string(), end);
                    let made = Granted { ledger, grant, incarnation, ask, amount, window_end_ms, life_end_ms };
                    (to, subject, In::Grant(made))
                }
                Effect::Denied { incarnation, ask, subject, reason, fits } => {
                    (incarnation.clone(), subject, In::Denied { incarnation, ask, reason, fits })
                }
                Effect::Recall { incarnation, grant } => {
                    (incarnation, Subject::default(), In::Recall { ledger: window.to_string(), grant })
                }
                Effect::Closed { incarnation, grant, .. } => {
                    (incarnation, Subject::default(), In::Closed { ledger: window.to_string(), grant })
                }
                Effect::Burned { .. } | Effect::StateChanged => continue,
                Effect::Frozen { reason } => panic!("a whole ledger froze: {reason}"),
            };
            // What was for an incarnation that is dead may reach the one that took its address.
            let pod = to;
            for to in 0..self.proxies.len() {
                let p = &self.proxies[to];
                if p.incarnation == pod || (self.now / 7 + to as i64) % 5 == 0 {
                    self.network.push(Message::Down { to, subject, message: message.clone() });
                }
            }
        }
    }

    /// `spent + in flight <= settled + sum(open) <= max(cap, committed at lowering)`, and the figures are not below what they cover.
    pub fn check(&self) {
        for (window, (_, state)) in &self.store {
            let spent = self.truth.get(window).copied().unwrap_or_default();
            let in_flight: Nano = self
                .proxies
                .iter()
                .flat_map(|p| &p.in_flight)
                .filter(|one| one.window == *window)
                .map(|one| one.ticket.amount())
                .sum();
            let committed = state.committed();
            assert!(
                spent.plus(in_flight) <= committed,
                "{spent} spent + {in_flight} in flight > {committed}: {state:#?}"
            );
            let bound = state.effective_cap().max(state.committed_at_lowering);
            assert!(committed <= bound, "{committed} committed > {bound}: {state:#?}");
            self.check_shares(*window, state);
            let credits = self.credits.iter().sum::<u64>() * 50;
            assert!(state.credits.0 <= credits, "{} credited, {credits} given", state.credits);
            let figures = state.figures();
            let explained = spent.plus(figures.burned).plus(figures.estimated);
            assert!(figures.spent <= explained, "{} shown > {explained} explained: {state:#?}", figures.spent);
            for op in &self.operators {
                if let Some((_, copy)) = op.known.get(window) {
                    let figures = copy.figures();
                    let explained = spent.plus(figures.burned).plus(figures.estimated);
                    assert!(figures.spent <= explained, "a copy shows {} > {explained}", figures.spent);
                }
            }
        }
    }

    /// The same for every user and every client: spent + in flight <= committed <= the highest limit there was.
    fn check_shares(&self, window: i64, state: &LedgerState) {
        if !self.has_shares() {
            return;
        }
        for (share, limit) in [(Share::User, self.limits.0), (Share::Client, self.limits.1)] {
            let committed = state.committed_by_place(share, ledger::OpenGrant::committed);
            let mut at_risk: BTreeMap<Who, Nano> = BTreeMap::new();
            let spent = self.spent.iter().filter(|((of, _), _)| *of == window).map(|((_, who), spent)| (*who, *spent));
            let in_flight = self.proxies.iter().flat_map(|p| &p.in_flight).filter(|one| one.window == window);
            for (subject, amount) in spent.chain(in_flight.map(|one| (one.subject, one.ticket.amount()))) {
                let sum = at_risk.entry(subject.of(share).unwrap()).or_default();
                *sum = sum.plus(amount);
            }
            for (who, sum) in at_risk {
                let covered = committed.get(&who).copied().unwrap_or_default();
                assert!(sum <= covered, "{share:?} {who}: {sum} spent or in flight > {covered}: {state:#?}");
            }
            for (who, sum) in committed {
                assert!(sum <= Nano(limit), "{share:?} {who}: {sum} committed > {limit}: {state:#?}");
            }
            let settled: Nano = state.shares(share).settled.values().copied().sum();
            assert_eq!(settled, state.settled, "everything is someone's");
        }
    }

    /// Everything heals: requests end, every proxy connects to the first operator and gives its grants back.
    pub fn heal(&mut self) {
        self.network.clear();
        for op in &mut self.operators {
            // Whoever takes over reads everything first.
            (op.unlucky, op.skew) = (None, 0);
            op.known.clear();
        }
        for proxy in 0..self.proxies.len() {
            while !self.proxies[proxy].in_flight.is_empty() {
                self.settle(proxy, 0, 50, true);
            }
            self.proxies[proxy].purses.values_mut().for_each(Purse::retire);
            self.connect(proxy, 0);
        }
        for _ in 0..20 {
            self.now += 1_000;
            for proxy in 0..self.proxies.len() {
                self.poll(proxy);
            }
            while !self.network.is_empty() {
                self.deliver(0, false);
                self.check();
            }
        }
        let held: usize = self.proxies.iter().flat_map(|p| p.purses.values()).map(Purse::held).sum();
        assert_eq!(held, 0, "grants were not closed");
        self.now += ledger::LIFE_MS + 60_000;
        self.everywhere(0, &Event::Tick);
        self.check();
        for (window, (_, state)) in &self.store {
            let (spent, figures) = (self.truth.get(window).copied().unwrap_or_default(), state.figures());
            assert_eq!(figures.reserved, Nano::ZERO);
            assert!(spent <= figures.spent, "{spent} spent, {} shown: {state:#?}", figures.spent);
        }
    }
}
