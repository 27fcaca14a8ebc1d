//! The book against a real folder: what is promised is on disk, what is lost is burned, what cannot be written is denied.

use super::book::{Book, Terms};
use super::files::FileError;
use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;
use tollway_core::spend::ledger::{Adjustment, DeniedReason};
use tollway_core::spend::purse::Spending;
use tollway_core::spend::{Figures, In, Nano, Out, Subject};
use tollway_core::table::{Budget, Period, Table};

const NOON: i64 = 1_795_176_000_000;
const DAY: i64 = 24 * 3_600_000;

fn terms(limit: u64, adjustments: Vec<(String, Adjustment)>) -> Terms {
    let budget = Budget { limit: Nano(limit), period: Period::Daily, ..Budget::default() };
    let budgets = [("team".to_owned(), budget)].into();
    let table = Arc::new(Table { namespace: "default".to_owned(), budgets, ..Table::default() });
    Terms { table, adjustments: BTreeMap::from([("team".to_owned(), adjustments)]) }
}

fn open(dir: &Path, incarnation: &str) -> Book {
    Book::open(dir.to_owned(), incarnation, NOON).unwrap()
}

fn ask(book: &mut Book, now: i64, terms: &Terms, id: u64, min: u64) -> In {
    let ask = Out::Ask { id, min: Nano(min), want: Nano(min), subject: Subject::default() };
    let answers = book.turn(now, terms, vec![(Arc::from("team"), ask)]);
    answers.into_iter().map(|(.., message)| message).find(|m| matches!(m, In::Grant(_) | In::Denied { .. })).unwrap()
}

fn granted(message: In) -> (String, u64) {
    let In::Grant(granted) = message else { panic!("{message:?} is not a grant") };
    (granted.ledger, granted.grant)
}

fn close(book: &mut Book, now: i64, terms: &Terms, (ledger, grant): (String, u64), spent: u64) {
    let spending = Spending { ledger, grant, spent: Nano(spent), estimated: Nano::ZERO, bound_exceeded: vec![] };
    book.turn(now, terms, vec![(Arc::from("team"), Out::Close(spending))]);
}

fn figures(book: &Book) -> Figures {
    book.figures().into_iter().find(|(budget, _)| *budget == "team").unwrap().1
}

fn denied(message: &In) -> DeniedReason {
    let In::Denied { reason, .. } = message else { panic!("{message:?} is not a denial") };
    *reason
}

#[test]
fn a_grant_left_open_is_burned_at_the_next_start_and_a_closed_one_is_not() {
    let dir = tempfile::tempdir().unwrap();
    let terms = terms(1_000, vec![]);
    let mut book = open(dir.path(), "one");
    let first = granted(ask(&mut book, NOON, &terms, 1, 100));
    close(&mut book, NOON, &terms, first, 30);
    granted(ask(&mut book, NOON, &terms, 2, 200));
    drop(book);

    let mut book = open(dir.path(), "two");
    book.turn(NOON, &terms, vec![]);
    let Figures { spent, burned, reserved, .. } = figures(&book);
    assert_eq!((spent, burned, reserved), (Nano(230), Nano(200), Nano::ZERO));
}

#[test]
fn what_the_disk_does_not_take_is_not_granted() {
    let dir = tempfile::tempdir().unwrap();
    let state = dir.path().join("state");
    let terms = terms(1_000, vec![]);
    let mut book = open(&state, "one");
    std::fs::remove_dir_all(&state).unwrap();
    assert_eq!(denied(&ask(&mut book, NOON, &terms, 1, 100)), DeniedReason::Unavailable);
    assert_eq!(figures(&book).reserved, Nano::ZERO);

    std::fs::create_dir(&state).unwrap();
    granted(ask(&mut book, NOON, &terms, 1, 100));
    assert_eq!(figures(&book).reserved, Nano(100));
}

#[test]
fn two_processes_never_share_a_folder() {
    let dir = tempfile::tempdir().unwrap();
    let book = open(dir.path(), "one");
    let second = Book::open(dir.path().to_owned(), "two", NOON);
    assert!(matches!(second, Err(FileError::Locked { .. })), "{second:?}");
    drop(book);
    open(dir.path(), "three");
}

#[test]
fn a_damaged_file_freezes_its_budget_until_a_person_resumes() {
    let dir = tempfile::tempdir().unwrap();
    let plain = terms(1_000, vec![]);
    let mut book = open(dir.path(), "one");
    let first = granted(ask(&mut book, NOON, &plain, 1, 100));
    let file = dir.path().join(&first.0).with_extension("json");
    drop(book);
    let whole = std::fs::read(&file).unwrap();
    std::fs::write(&file, &whole[..whole.len() / 2]).unwrap();

    let frozen = |incarnation: &str| {
        let mut book = open(dir.path(), incarnation);
        assert_eq!(denied(&ask(&mut book, NOON, &plain, 1, 100)), DeniedReason::Frozen);
    };
    frozen("two");
    frozen("three");
    let resume = terms(1_000, vec![("looked".to_owned(), Adjustment::Resume)]);
    let mut book = open(dir.path(), "four");
    granted(ask(&mut book, NOON, &resume, 1, 100));
    assert!(file.with_extension("damaged").exists());
}

#[test]
fn a_new_day_is_a_full_cap_and_a_late_close_goes_to_its_own_day() {
    let dir = tempfile::tempdir().unwrap();
    let terms = terms(1_000, vec![]);
    let mut book = open(dir.path(), "one");
    let yesterday = granted(ask(&mut book, NOON, &terms, 1, 1_000));
    assert_eq!(denied(&ask(&mut book, NOON, &terms, 2, 100)), DeniedReason::Contended);

    let today = granted(ask(&mut book, NOON + DAY, &terms, 2, 1_000));
    assert_ne!(yesterday.0, today.0);
    close(&mut book, NOON + DAY, &terms, yesterday, 700);
    assert_eq!(figures(&book).spent, Nano::ZERO);
    close(&mut book, NOON + DAY, &terms, today, 5);
    assert_eq!(figures(&book).spent, Nano(5));
}

#[test]
fn a_credit_counts_once_however_often_it_is_read() {
    let dir = tempfile::tempdir().unwrap();
    let credited = terms(1_000, vec![("more".to_owned(), Adjustment::Credit(Nano(500)))]);
    for incarnation in ["one", "two"] {
        let mut book = open(dir.path(), incarnation);
        for at in 0..3 {
            book.turn(NOON + at, &credited, vec![]);
        }
        assert_eq!(figures(&book).limit, Nano(1_500));
    }
    let mut book = open(dir.path(), "three");
    book.turn(NOON + DAY, &credited, vec![]);
    assert_eq!(figures(&book).limit, Nano(1_000), "a credit is for the window it was given in");
}

#[test]
fn the_cap_follows_the_manifest() {
    let dir = tempfile::tempdir().unwrap();
    let mut book = open(dir.path(), "one");
    let grant = granted(ask(&mut book, NOON, &terms(1_000, vec![]), 1, 600));
    assert_eq!(denied(&ask(&mut book, NOON, &terms(500, vec![]), 2, 10)), DeniedReason::Contended);
    close(&mut book, NOON, &terms(500, vec![]), grant, 600);
    assert_eq!(denied(&ask(&mut book, NOON, &terms(500, vec![]), 2, 10)), DeniedReason::Exhausted);
    granted(ask(&mut book, NOON, &terms(2_000, vec![]), 2, 10));
}
