//! Messages for one budget in; events for each of its ledgers out.

use super::keeper::Input;
use super::streams::Holder;
use std::collections::BTreeSet;
use tollway_core::control::HeldGrant;
use tollway_core::spend::convert;
use tollway_core::spend::ledger::Event;

/// Which event goes to which ledger.
pub(super) struct Plan<'a> {
    uid: Option<String>,
    uids: Vec<String>,
    past: &'a BTreeSet<String>,
    pub(super) current: Vec<Event>,
    pub(super) old: Vec<Vec<Event>>,
    pub(super) connected: Vec<Holder>,
    /// Grants of ledgers that are drained: what is known of them is on record, the proxy may forget them.
    pub(super) done: Vec<(String, String, u64)>,
}

impl<'p> Plan<'p> {
    pub(super) fn new<'a>(
        current: Option<&str>,
        old: impl Iterator<Item = &'a str>,
        past: &'p BTreeSet<String>,
    ) -> Plan<'p> {
        let uids: Vec<String> = old.map(str::to_owned).collect();
        let old = uids.iter().map(|_| vec![]).collect();
        Plan { uid: current.map(str::to_owned), uids, past, current: vec![], old, connected: vec![], done: vec![] }
    }

    fn at(&mut self, uid: &str) -> Option<&mut Vec<Event>> {
        if self.uid.as_deref() == Some(uid) {
            return Some(&mut self.current);
        }
        self.uids.iter().position(|held| held == uid).and_then(|index| self.old.get_mut(index))
    }

    pub(super) fn take(&mut self, input: &Input) {
        match input {
            Input::Terms(_) | Input::LedgerGone(_) | Input::LedgerWritten { .. } => {}
            Input::Hello(holder, held) => self.hello(holder, held),
            Input::Ask(holder, ask) => {
                if self.uid.is_some() {
                    self.current.push(convert::ask(&holder.pod, &holder.incarnation, ask));
                }
            }
            Input::Report(holder, report) => {
                let event = convert::report(&holder.incarnation, report.clone());
                self.named(&report.ledger, event, holder, report.grant);
            }
            Input::Close(holder, close) => {
                let event = convert::close(&holder.incarnation, close.clone());
                self.named(&close.ledger, event, holder, close.grant);
            }
            Input::Instances(ran) => self.current.push(ran.event()),
            Input::PodGone(pod) => self.everywhere(&Event::PodGone { pod: pod.clone() }),
        }
    }

    /// What names a ledger that nobody knows is left for the proxy's next hello, which shows the whole grant.
    fn named(&mut self, ledger: &str, event: Event, holder: &Holder, grant: u64) {
        if let Some(events) = self.at(ledger) {
            events.push(event);
        } else if self.past.contains(ledger) {
            self.done.push((holder.incarnation.clone(), ledger.to_owned(), grant));
        }
    }

    pub(super) fn everywhere(&mut self, event: &Event) {
        if self.uid.is_some() {
            self.current.push(event.clone());
        }
        for events in &mut self.old {
            events.push(event.clone());
        }
    }

    fn hello(&mut self, holder: &Holder, held: &[HeldGrant]) {
        let of = |uid: &str| held.iter().filter(|grant| grant.ledger == uid).map(convert::shown).collect::<Vec<_>>();
        let hello = |held, orphans| Event::Hello {
            pod: holder.pod.clone(),
            incarnation: holder.incarnation.clone(),
            held,
            orphans,
        };
        if let Some(uid) = &self.uid {
            let known = |grant: &&HeldGrant| {
                grant.ledger == *uid || self.uids.contains(&grant.ledger) || self.past.contains(&grant.ledger)
            };
            let orphans = held
                .iter()
                .filter(|grant| !known(grant))
                .map(|grant| (grant.ledger.clone(), convert::shown(grant)))
                .collect();
            self.current.push(hello(of(uid), orphans));
            self.connected.push(holder.clone());
        }
        for (uid, events) in self.uids.iter().zip(&mut self.old) {
            events.push(hello(of(uid), vec![]));
        }
        let done = held.iter().filter(|grant| self.past.contains(&grant.ledger));
        self.done.extend(done.map(|grant| (holder.incarnation.clone(), grant.ledger.clone(), grant.grant)));
    }

    pub(super) fn tick(&mut self) {
        self.everywhere(&Event::Tick);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ledger::Ran;
    use tollway_core::control::{Ask, Close};
    use tollway_core::spend::Nano;
    use tollway_core::spend::ledger::ShownGrant;

    fn holder() -> Holder {
        Holder { pod: "pod".into(), incarnation: "i".into() }
    }

    fn held(ledger: &str, grant: u64) -> HeldGrant {
        HeldGrant { budget: "b".into(), ledger: ledger.into(), grant, amount: 5, ..HeldGrant::default() }
    }

    fn plan(past: &BTreeSet<String>) -> Plan<'_> {
        Plan::new(Some("now"), ["before"].into_iter(), past)
    }

    fn hello(event: &Event) -> (Vec<u64>, Vec<(String, u64)>) {
        let Event::Hello { held, orphans, .. } = event else { panic!("{event:?}") };
        let grant = |shown: &ShownGrant| shown.grant;
        (held.iter().map(grant).collect(), orphans.iter().map(|(uid, shown)| (uid.clone(), shown.grant)).collect())
    }

    #[test]
    fn each_shown_grant_goes_to_the_ledger_that_made_it_and_only_unknown_ones_are_orphans() {
        let past = BTreeSet::from(["drained".to_owned()]);
        let mut plan = plan(&past);
        let all = vec![held("now", 1), held("before", 2), held("drained", 3), held("lost", 4)];
        plan.take(&Input::Hello(holder(), all));
        assert_eq!(hello(&plan.current[0]), (vec![1], vec![("lost".to_owned(), 4)]));
        assert_eq!(hello(&plan.old[0][0]), (vec![2], vec![]));
        assert_eq!(plan.done, [("i".to_owned(), "drained".to_owned(), 3)]);
        assert_eq!(plan.connected, [holder()]);
    }

    #[test]
    fn a_close_goes_to_its_own_ledger_and_one_of_a_drained_ledger_is_answered() {
        let past = BTreeSet::from(["drained".to_owned()]);
        let mut plan = plan(&past);
        for ledger in ["before", "drained", "unknown"] {
            let close = Close { budget: "b".into(), ledger: ledger.into(), grant: 7, ..Close::default() };
            plan.take(&Input::Close(holder(), close));
        }
        assert!(plan.current.is_empty());
        assert_eq!(plan.old[0].len(), 1);
        assert_eq!(plan.done, [("i".to_owned(), "drained".to_owned(), 7)]);
    }

    #[test]
    fn asks_go_to_the_current_window_only() {
        let past = BTreeSet::new();
        let mut with = plan(&past);
        with.take(&Input::Ask(holder(), Ask { id: 1, ..Ask::default() }));
        assert_eq!((with.current.len(), with.old[0].len()), (1, 0));
        let mut without = Plan::new(None, ["before"].into_iter(), &past);
        without.take(&Input::Ask(holder(), Ask { id: 1, ..Ask::default() }));
        assert_eq!((without.current.len(), without.old[0].len()), (0, 0));
    }

    #[test]
    fn what_instances_cost_is_charged_to_the_running_window_alone() {
        let past = BTreeSet::new();
        let mut plan = plan(&past);
        let ran = Ran { endpoint: "e".into(), since_ms: Some(1), per_hour: Nano(5) };
        plan.take(&Input::Instances(ran.clone()));
        assert_eq!((&plan.current[..], plan.old[0].len()), (&[ran.event()][..], 0));
    }

    #[test]
    fn the_end_of_a_pod_concerns_every_ledger() {
        let past = BTreeSet::new();
        let mut plan = plan(&past);
        plan.take(&Input::PodGone("pod".into()));
        assert_eq!((plan.current.len(), plan.old[0].len()), (1, 1));
    }
}
