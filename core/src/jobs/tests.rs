//! A job driven through a world that fails and through proxies that die after any call: every item ends once, every call is paid.

use super::*;
use proptest::prelude::*;
use std::collections::BTreeSet;

const WORST: Nano = Nano(100);
const ATTEMPTS: u32 = 3;

fn job(items: usize, most: u32) -> Job {
    Job::new("job".to_owned(), "m".to_owned(), None, false, 0, split(&vec![1; items], most, 1_000))
}

fn reason() -> Reason {
    Reason { code: "budget_exceeded".to_owned(), message: "no".to_owned() }
}

/// How a call goes, drawn.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Luck {
    Good,
    /// The call's own failure, told.
    Bad,
    /// It took effect, and the answer was lost.
    Unheard,
    /// The proxy dies before the call takes effect.
    DiesBefore,
    /// And after.
    DiesAfter,
    /// Somebody cancels the job before the call.
    Cancel,
}

fn luck() -> impl Strategy<Value = Luck> {
    prop_oneof![
        12 => Just(Luck::Good), 3 => Just(Luck::Bad), 2 => Just(Luck::Unheard),
        1 => Just(Luck::DiesBefore), 1 => Just(Luck::DiesAfter),
    ]
}

/// One call that the service took.
#[derive(Debug)]
struct Sent {
    items: (u32, u32),
    /// What a container charges that answers.
    billed: u64,
    /// The reservation that pays.
    paid_by: usize,
    /// Whether its result can be used; an object that is there stays what it is.
    is_good: Option<bool>,
}

#[derive(Debug, Default)]
struct World {
    kept: Option<Job>,
    sent: Vec<Sent>,
    /// Of each reservation ever made, what was charged; none while it is held.
    reservations: Vec<Option<u64>>,
    /// Reservations of the proxy that lives, by batch.
    held: BTreeMap<u32, usize>,
    /// Items whose vectors are kept, how often.
    done: BTreeMap<u32, u32>,
    /// Items that the dead-letter queue heard of.
    told: BTreeSet<u32>,
    refused: BTreeSet<u32>,
}

impl World {
    fn settle(&mut self, first: u32, charge: u64) {
        if let Some(at) = self.held.remove(&first) {
            assert_eq!(self.reservations[at].replace(charge), None, "settled once");
        }
    }

    /// What is held when its holder dies is charged in full.
    fn dies(&mut self) {
        for at in std::mem::take(&mut self.held).into_values() {
            self.reservations[at] = Some(WORST.0);
        }
    }

    fn batch(&self, run: &Run, first: u32) -> Batch {
        run.job().batches[&first].clone()
    }

    /// Makes a call; none when the proxy died of it.
    fn call(&mut self, run: &Run, call: Call, luck: Luck) -> Option<Heard> {
        if luck == Luck::DiesBefore {
            return None;
        }
        let good = matches!(luck, Luck::Good | Luck::DiesAfter | Luck::Cancel);
        let heard = match call {
            Call::Save => {
                let theirs = self.kept.clone().unwrap();
                if theirs.writes == run.job().writes {
                    self.kept = Some(run.to_write(1));
                    Heard::Saved
                } else {
                    Heard::Overtaken(Box::new(theirs))
                }
            }
            Call::Prepare(_) if !good => Heard::Held(reason()),
            Call::Prepare(first) => {
                self.reservations.push(None);
                assert_eq!(self.held.insert(first, self.reservations.len() - 1), None);
                Heard::Prepared(first, WORST)
            }
            Call::Invoke(first) if luck == Luck::Bad => {
                self.settle(first, 0);
                Heard::Declined(first, reason())
            }
            Call::Invoke(first) => {
                let items = (first, first + self.batch(run, first).items);
                let claim = &self.kept.as_ref().unwrap().batches[&first];
                assert!(matches!(claim.state, State::Claimed { .. }), "sent without a claim: {claim:?}");
                let paid_by = self.held[&first];
                self.sent.push(Sent { items, billed: 0, paid_by, is_good: None });
                if good {
                    let place = Place { output: format!("{}", self.sent.len() - 1), failure: None };
                    Heard::Accepted(first, place)
                } else {
                    let at = self.sent.len() - 1;
                    self.sent[at].billed = WORST.0;
                    self.settle(first, WORST.0);
                    Heard::Lost(first, "late".to_owned())
                }
            }
            Call::Look(first) => {
                let batch = self.batch(run, first);
                let State::Sent { place, .. } = &batch.state else { panic!("{batch:?}") };
                let at: usize = place.output.parse().unwrap();
                let items = first..first + batch.items;
                if luck == Luck::Unheard {
                    Heard::NotYet(first)
                } else if items.clone().any(|item| self.refused.contains(&item)) {
                    self.settle(first, 0);
                    Heard::Broke(first, "refused".to_owned())
                } else if !*self.sent[at].is_good.get_or_insert(luck != Luck::Bad) {
                    self.sent[at].billed = WORST.0;
                    self.settle(first, WORST.0);
                    Heard::Spoilt(first, "no vectors".to_owned())
                } else {
                    self.sent[at].billed = 60;
                    self.settle(first, 60);
                    items.for_each(|item| *self.done.entry(item).or_default() += 1);
                    Heard::Done { first, tokens: 1, cost: Nano(60) }
                }
            }
            Call::Tell(_) if !good => Heard::NotTold(reason()),
            Call::Tell(first) => {
                self.told.extend(first..first + self.batch(run, first).items);
                Heard::Told(first)
            }
        };
        (luck != Luck::DiesAfter).then_some(heard)
    }

    fn release_unfunded(&mut self, run: &Run) {
        let unfunded: Vec<u32> = self.held.keys().copied().filter(|first| !run.is_funded(*first)).collect();
        for first in unfunded {
            self.settle(first, 0);
        }
    }
}

/// Runs the job to its end; after the drawn lucks everything goes well. How often a proxy died, and the world as it is then.
fn drive(items: usize, most: u32, at_once: usize, refused: BTreeSet<u32>, lucks: Vec<Luck>) -> (World, u32) {
    let mut world = World { kept: Some(job(items, most)), refused, ..World::default() };
    let (mut lucks, mut deaths, mut now) = (lucks.into_iter(), 0, 0);
    let mut run = Run::new(world.kept.clone().unwrap(), "proxy-0", ATTEMPTS, at_once);
    'run: for _ in 0..20_000 {
        if run.is_over() {
            return (world, deaths);
        }
        now += 60_000;
        let mut heard = Vec::new();
        for call in run.next(now) {
            let luck = lucks.next().unwrap_or(Luck::Good);
            if luck == Luck::Cancel {
                let kept = world.kept.as_mut().unwrap();
                kept.cancel();
                kept.writes += 1;
            }
            let out = run.job().batches.values().filter(|batch| batch.is_in_flight()).count();
            assert!(out <= at_once, "{out} on their way");
            match world.call(&run, call, luck) {
                Some(word) => heard.push(word),
                None => {
                    deaths += 1;
                    world.dies();
                    run = Run::new(world.kept.clone().unwrap(), &format!("proxy-{deaths}"), ATTEMPTS, at_once);
                    continue 'run;
                }
            }
        }
        for word in heard {
            run.hear(word, now);
        }
        world.release_unfunded(&run);
        if run.is_gone() {
            // Cancelled by somebody before anybody held it: taken once more.
            assert!(world.kept.as_ref().unwrap().cancelled);
            world.dies();
            run = Run::new(world.kept.clone().unwrap(), "proxy-again", ATTEMPTS, at_once);
        }
    }
    panic!("it never ends: {run:?}");
}

fn check(world: &World, items: usize, deaths: u32) {
    let job = world.kept.as_ref().unwrap();
    // Nothing is lost and nothing is there twice: the batches still cover every item once, and each is over.
    let mut next = 0;
    for (first, batch) in &job.batches {
        assert_eq!(*first, next);
        next += batch.items;
        let of = *first..next;
        match &batch.state {
            State::Done { .. } => assert!(of.clone().all(|item| world.done.contains_key(&item)), "{batch:?}"),
            State::Failed { told: true, .. } => assert!(of.clone().all(|item| world.told.contains(&item))),
            State::Cancelled => assert!(job.cancelled),
            other => panic!("{other:?}"),
        }
    }
    assert_eq!(next as usize, items);
    let counts = job.counts();
    assert_eq!(counts.total, items as u64);
    assert_eq!(counts.completed + counts.failed + counts.cancelled, counts.total);
    assert_eq!(job.finished_at, Some(1));
    // Every reservation was settled, each pays one call at most, and no call is worth more than its reservation was charged.
    let payers: BTreeSet<usize> = world.sent.iter().map(|sent| sent.paid_by).collect();
    assert_eq!(payers.len(), world.sent.len(), "two calls on one reservation");
    for sent in &world.sent {
        let charged = world.reservations[sent.paid_by].expect("settled");
        assert!(charged >= sent.billed, "{sent:?} was charged {charged}");
    }
    for (at, charged) in world.reservations.iter().enumerate() {
        // Only a death charges what was never sent.
        assert!(payers.contains(&at) || *charged == Some(0) || deaths > 0, "{charged:?} for nothing");
    }
    // What the job says it cost is never less than what its calls are worth.
    assert!(job.spent.0 >= world.sent.iter().map(|sent| sent.billed).sum());
    // No item is tried without end.
    for item in 0..items as u32 {
        let tries = world.sent.iter().filter(|sent| (sent.items.0..sent.items.1).contains(&item)).count();
        assert!(tries <= (ATTEMPTS + 32) as usize, "{tries} tries of {item}");
    }
}

proptest! {
    #[test]
    fn a_proxy_may_die_after_any_call_and_nothing_is_lost_or_paid_twice(
        items in 1..40_usize, most in 1..9_u32, at_once in 1..5_usize,
        refused in prop::collection::btree_set(0..40_u32, 0..3),
        lucks in prop::collection::vec(luck(), 0..200),
    ) {
        let (world, deaths) = drive(items, most, at_once, refused, lucks);
        check(&world, items, deaths);
        prop_assert_eq!(world.kept.unwrap().counts().cancelled, 0);
    }

    #[test]
    fn where_no_call_is_lost_every_batch_is_sent_once_however_often_proxies_die_beside_it(
        items in 1..40_usize, most in 1..9_u32, deaths in prop::collection::vec(0..60_usize, 0..6),
    ) {
        // Deaths that hit the writing of manifests, reservations, and looks; not the sending itself.
        let mut world = World { kept: Some(job(items, most)), ..World::default() };
        let (mut calls, mut now, mut died) = (0, 0, 0);
        let mut run = Run::new(world.kept.clone().unwrap(), "proxy", ATTEMPTS, 3);
        while !run.is_over() {
            now += 60_000;
            let mut dead = false;
            let mut heard = Vec::new();
            // The word of a sending is written before the next death.
            for call in run.next(now) {
                calls += 1;
                let safe = matches!(call, Call::Look(_) | Call::Prepare(_));
                dead |= safe && deaths.contains(&calls);
                heard.extend(world.call(&run, call, Luck::Good));
            }
            if dead {
                died += 1;
                world.dies();
                run = Run::new(world.kept.clone().unwrap(), &format!("proxy-{died}"), ATTEMPTS, 3);
                continue;
            }
            for word in heard {
                run.hear(word, now);
            }
        }
        check(&world, items, died);
        prop_assert_eq!(world.sent.len(), items.div_ceil(most as usize));
    }

    #[test]
    fn a_job_that_is_cancelled_ends_and_what_was_sent_is_paid(
        items in 1..40_usize, most in 1..9_u32, before in prop::collection::vec(luck(), 0..40),
        after in prop::collection::vec(luck(), 0..40),
    ) {
        let lucks = before.into_iter().chain([Luck::Cancel]).chain(after).collect();
        let (world, deaths) = drive(items, most, 3, BTreeSet::new(), lucks);
        check(&world, items, deaths);
    }

    #[test]
    fn batches_hold_every_item_in_order_and_no_more_than_they_may(
        sizes in prop::collection::vec(0..50_usize, 0..100), items in 1..9_u32, bytes in 1..100_usize,
    ) {
        let batches = split(&sizes, items, bytes);
        let mut next = 0;
        for (first, batch) in &batches {
            prop_assert_eq!(*first, next);
            next += batch.items;
            let inside = &sizes[*first as usize..next as usize];
            prop_assert!(batch.items >= 1 && batch.items <= items);
            prop_assert!(batch.items == 1 || inside.iter().sum::<usize>() <= bytes);
        }
        prop_assert_eq!(next as usize, sizes.len());
    }
}

#[test]
fn a_refused_item_ends_alone_and_its_neighbours_are_embedded() {
    let (world, deaths) = drive(32, 32, 4, BTreeSet::from([13]), Vec::new());
    check(&world, 32, deaths);
    let counts = world.kept.as_ref().unwrap().counts();
    assert_eq!((counts.completed, counts.failed), (31, 1));
    assert_eq!(world.told, BTreeSet::from([13]));
    assert!(world.sent.len() <= 3 + 2 * 5, "{}", world.sent.len());
}

#[test]
fn nothing_is_sent_while_a_budget_says_no_and_the_job_says_why() {
    let mut run = Run::new(job(4, 2), "me", ATTEMPTS, 2);
    assert_eq!(run.next(0), [Call::Save]);
    run.hear(Heard::Saved, 0);
    assert_eq!(run.next(0), [Call::Prepare(0), Call::Prepare(2)]);
    run.hear(Heard::Held(reason()), 0);
    assert_eq!(run.next(0), [Call::Save]);
    run.hear(Heard::Saved, 0);
    assert_eq!((run.next(0), run.job().reason.clone()), (vec![], Some(reason())));
    // It makes room for others as long as that is so, and only when nothing of it is on its way.
    assert!(run.is_held(0) && !run.is_held(60_000));
    assert_eq!(run.job().status(), Status::Queued);
    // Asked again later; the reason goes when the money comes.
    assert_eq!(run.next(60_000), [Call::Prepare(0), Call::Prepare(2)]);
    run.hear(Heard::Prepared(0, WORST), 60_000);
    assert_eq!(run.job().reason, None);
    run.hear(Heard::Held(reason()), 60_000);
    for heard in [Heard::Saved, Heard::Accepted(0, Place { output: String::new(), failure: None }), Heard::Saved] {
        assert!(!run.is_held(60_000));
        run.hear(heard, 60_000);
    }
    assert_eq!((run.next(60_000), run.is_held(60_000)), (vec![Call::Look(0)], false));
}

#[test]
fn who_was_overtaken_leaves_and_sends_nothing() {
    let mut run = Run::new(job(4, 2), "me", ATTEMPTS, 2);
    run.hear(Heard::Saved, 0);
    run.hear(Heard::Prepared(0, WORST), 0);
    let mut theirs = job(4, 2);
    theirs.holder = Some("another".to_owned());
    run.hear(Heard::Overtaken(Box::new(theirs)), 0);
    assert!(run.is_gone() && run.next(0).is_empty());
}

#[test]
fn a_manifest_reads_as_it_was_written() {
    let mut job = job(5, 2);
    let place = Place { output: "s3://b/o".to_owned(), failure: Some("s3://b/f".to_owned()) };
    job.batches.get_mut(&0).unwrap().state = State::Sent { worst: WORST, place, at: 7 };
    job.batches.get_mut(&2).unwrap().state = State::Failed { error: "e".to_owned(), told: false };
    job.reason = Some(reason());
    let text = serde_json::to_string(&job).unwrap();
    assert_eq!(serde_json::from_str::<Job>(&text).unwrap(), job, "{text}");
}
