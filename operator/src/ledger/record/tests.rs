//! A store that conflicts, times out before or after it wrote, and refuses reads: no effect ever leaves without its state on record.

use super::*;
use std::collections::VecDeque;
use std::sync::Mutex;
use tollway_core::spend::{Nano, Subject, Window};

/// What the next write does.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Fate {
    Works,
    TimesOutWritten,
    TimesOutUnwritten,
    /// Another writer takes a grant first.
    Beaten,
}

#[derive(Default)]
struct Inner {
    stored: Option<Stored>,
    version: u64,
    fates: VecDeque<Fate>,
    reads_fail: usize,
    writes: usize,
}

#[derive(Default)]
struct Mock(Mutex<Inner>);

impl Mock {
    fn put(inner: &mut Inner, state: LedgerState) -> String {
        inner.version += 1;
        inner.writes += 1;
        let version = inner.version.to_string();
        inner.stored = Some(Stored { state, version: version.clone(), uid: "uid".into() });
        version
    }
}

impl Store for Arc<Mock> {
    async fn read(&self) -> Result<Option<Stored>, String> {
        let mut inner = self.0.lock().unwrap();
        if inner.reads_fail > 0 {
            inner.reads_fail -= 1;
            return Err("no route".into());
        }
        Ok(inner.stored.clone())
    }

    async fn create(&self, state: &LedgerState) -> Result<Stored, Failure> {
        let mut inner = self.0.lock().unwrap();
        Mock::put(&mut inner, state.clone());
        inner.stored.clone().ok_or(Failure::Gone)
    }

    async fn replace(&self, over: &Stored, state: &LedgerState) -> Result<String, Failure> {
        let mut inner = self.0.lock().unwrap();
        let Some(stored) = inner.stored.clone() else { return Err(Failure::Gone) };
        let fate = inner.fates.pop_front().unwrap_or(Fate::Works);
        if fate == Fate::Beaten {
            let other = ask("other", 1, 10);
            let (next, _) = fold(&stored.state, 1, &[other]);
            Mock::put(&mut inner, next);
            return Err(Failure::Conflict);
        }
        if stored.version != over.version {
            return Err(Failure::Conflict);
        }
        match fate {
            Fate::TimesOutUnwritten => Err(Failure::Unknown("time-out".into())),
            Fate::TimesOutWritten => {
                Mock::put(&mut inner, state.clone());
                Err(Failure::Unknown("time-out".into()))
            }
            Fate::Works | Fate::Beaten => Ok(Mock::put(&mut inner, state.clone())),
        }
    }
}

fn ask(incarnation: &str, id: u64, min: u64) -> Event {
    Event::Ask {
        pod: format!("pod-{incarnation}"),
        incarnation: incarnation.into(),
        id,
        min: Nano(min),
        want: Nano(min),
        subject: Subject::default(),
    }
}

async fn record(cap: u64, fates: &[Fate]) -> (Arc<Mock>, Record<Arc<Mock>>) {
    let mock = Arc::new(Mock::default());
    let window = Window { id: "once".into(), start_ms: 0, end_ms: None };
    let stored = mock.create(&LedgerState::new(Nano(cap), window)).await.unwrap();
    mock.0.lock().unwrap().fates.extend(fates);
    let metrics = Arc::new(Metrics::new().unwrap());
    (mock.clone(), Record::new(mock, stored, metrics))
}

fn granted(outcome: &Outcome) -> Vec<(String, u64, Nano)> {
    let Outcome::Done(effects) = outcome else { return vec![] };
    effects
        .iter()
        .filter_map(|effect| match effect {
            Effect::Granted { incarnation, grant, amount, .. } => Some((incarnation.clone(), *grant, *amount)),
            _ => None,
        })
        .collect()
}

/// Every grant that left is open on record, and the record keeps within its cap.
fn on_record(mock: &Mock, outcome: &Outcome) {
    let inner = mock.0.lock().unwrap();
    let state = &inner.stored.as_ref().unwrap().state;
    for (incarnation, grant, amount) in granted(outcome) {
        let open = state.grants.get(&grant).unwrap_or_else(|| panic!("grant {grant} left and is not on record"));
        assert_eq!((&open.incarnation, open.amount), (&incarnation, amount));
    }
    assert!(state.committed() <= state.effective_cap());
}

#[tokio::test]
async fn every_sequence_of_three_fates_keeps_persist_then_send() {
    let all = [Fate::Works, Fate::TimesOutWritten, Fate::TimesOutUnwritten, Fate::Beaten];
    for a in all {
        for b in all {
            for c in all {
                let (mock, mut record) = record(1_000, &[a, b, c]).await;
                for id in 1..=3 {
                    let asks = [ask("a", id, 10), ask("b", id, 10)];
                    let mut outcome = record.commit(1, &asks).await;
                    if matches!(outcome, Outcome::Unavailable(_)) {
                        outcome = record.commit(1, &asks).await;
                    }
                    assert_eq!(granted(&outcome).len(), 2, "{a:?} {b:?} {c:?}: {outcome:?}");
                    on_record(&mock, &outcome);
                }
            }
        }
    }
}

#[tokio::test]
async fn a_record_that_was_put_back_grants_nothing_more() {
    let (mock, mut record) = record(1_000, &[]).await;
    record.commit(1, &[ask("a", 1, 10)]).await;
    let older = mock.0.lock().unwrap().stored.as_ref().unwrap().state.clone();
    record.commit(1, &[ask("b", 1, 10)]).await;
    Mock::put(&mut mock.0.lock().unwrap(), older);

    let outcome = record.commit(1, &[ask("c", 1, 10)]).await;

    assert_eq!(granted(&outcome), vec![]);
    let Outcome::Done(effects) = outcome else { panic!("{outcome:?}") };
    assert!(
        effects.iter().any(|e| matches!(e, Effect::Frozen { reason } if reason.contains("put back"))),
        "{effects:?}"
    );
    assert!(mock.0.lock().unwrap().stored.as_ref().unwrap().state.frozen.is_some());
    let resume = Event::Adjust { id: "r".into(), adjustment: tollway_core::spend::ledger::Adjustment::Resume };
    assert_eq!(granted(&record.commit(1, &[resume, ask("c", 2, 10)]).await).len(), 1, "thawed for good");
}

#[tokio::test]
async fn what_somebody_else_wrote_is_read_before_anything_counts() {
    let (mock, mut record) = record(1_000, &[]).await;
    record.commit(1, &[ask("a", 1, 10)]).await;
    let older = mock.0.lock().unwrap().stored.as_ref().unwrap().state.clone();
    record.commit(1, &[ask("b", 1, 10)]).await;
    let version = Mock::put(&mut mock.0.lock().unwrap(), older);

    record.written(&version);
    let Outcome::Done(effects) = record.commit(1, &[Event::Tick]).await else { panic!("not done") };

    assert!(matches!(effects.as_slice(), [Effect::Frozen { .. }, ..]), "{effects:?}");
    record.written("1");
    assert!(!record.unsure, "late news of an older version");
}

#[tokio::test]
async fn a_write_that_timed_out_after_it_happened_grants_once() {
    let (mock, mut record) = record(1_000, &[Fate::TimesOutWritten]).await;
    let outcome = record.commit(1, &[ask("a", 1, 10)]).await;
    assert_eq!(granted(&outcome).len(), 1);
    let inner = mock.0.lock().unwrap();
    assert_eq!(inner.stored.as_ref().unwrap().state.grants.len(), 1);
    assert_eq!(inner.writes, 2, "the creation and the write that timed out");
}

#[tokio::test]
async fn nothing_leaves_while_the_record_cannot_be_read_and_the_same_events_work_later() {
    let (mock, mut record) = record(1_000, &[Fate::TimesOutUnwritten]).await;
    mock.0.lock().unwrap().reads_fail = 1;
    let events = [ask("a", 1, 10)];
    assert_eq!(record.commit(1, &events).await, Outcome::Unavailable("no route".into()));
    let outcome = record.commit(2, &events).await;
    assert_eq!(granted(&outcome).len(), 1);
    on_record(&mock, &outcome);
}

#[tokio::test]
async fn another_leaders_grants_are_seen_before_the_last_dollar_is_given() {
    let (mock, mut record) = record(15, &[Fate::Beaten]).await;
    let outcome = record.commit(1, &[ask("a", 1, 10)]).await;
    assert!(granted(&outcome).is_empty(), "the other leader gave 10 of 15 away: {outcome:?}");
    on_record(&mock, &outcome);
}

#[tokio::test]
async fn a_record_that_is_gone_or_replaced_says_so() {
    let (mock, mut gone) = record(15, &[]).await;
    mock.0.lock().unwrap().stored = None;
    assert_eq!(gone.commit(1, &[ask("a", 1, 10)]).await, Outcome::Gone);

    let (mock, mut replaced) = record(15, &[]).await;
    if let Some(stored) = &mut mock.0.lock().unwrap().stored {
        stored.version = "other".into();
        stored.uid = "other".into();
    }
    assert_eq!(replaced.commit(1, &[ask("a", 1, 10)]).await, Outcome::Gone);
}

#[tokio::test]
async fn reports_in_memory_survive_a_read() {
    let (mock, mut record) = record(1_000, &[Fate::Works, Fate::Beaten]).await;
    let outcome = record.commit(1, &[ask("a", 1, 10)]).await;
    let grant = granted(&outcome)[0].1;
    let spent =
        tollway_core::spend::ledger::Spent { incarnation: "a".into(), grant, spent: Nano(7), ..Default::default() };
    record.commit(2, &[Event::Report(spent)]).await;
    record.commit(3, &[ask("b", 1, 10)]).await;
    assert_eq!(record.state().grants[&grant].reported, Nano(7));
    assert_eq!(mock.0.lock().unwrap().stored.as_ref().unwrap().state.grants[&grant].reported, Nano(7));
}
