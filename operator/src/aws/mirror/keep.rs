//! What one CostBudget asks of AWS Budgets in; its mirror made, corrected on drift and deleted out. One task a budget, so that none waits for another.

use super::{Place, Wanted, plan};
use crate::aws::Pace;
use crate::aws::budgets::Budgets;
use crate::aws::claim::Claims;
use crate::aws::error::{AwsError, AwsErrorKind};
use crate::ledger::Key;
use std::sync::Arc;
use tokio::sync::watch;
use tollway_core::status::{MirrorSeen, Trouble};

/// What a CostBudget asks for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Order {
    /// Uid of the CostBudget.
    pub uid: String,
    /// The mirror that the spec in force has.
    pub mirror: Option<(Place, Wanted)>,
    /// The claim on the resource when it was read.
    pub claim: Option<Place>,
}

/// Keeps the mirror of one budget until it is dropped; `tell` hears of every look at it, `None` when there is none any more.
pub(in crate::aws) async fn keep<B: Budgets, C: Claims>(
    key: Key,
    budgets: Arc<B>,
    claims: C,
    mut orders: watch::Receiver<Order>,
    pace: Pace,
    tell: impl Fn(Option<MirrorSeen>) + Send,
) {
    let mut failures = 0;
    // What this task wrote is newer than what a watch brings back.
    let mut claim = orders.borrow().claim.clone();
    loop {
        let order = orders.borrow_and_update().clone();
        let mirror = Mirror { key: &key, budgets: &*budgets, claims: &claims, order: &order };
        match mirror.sync(&mut claim).await {
            Ok(seen) => {
                failures = 0;
                tell(seen);
            }
            Err(trouble) => {
                failures += 1;
                tracing::warn!(budget = %key, reason = trouble.reason, "AWS budget not in sync: {}", trouble.message);
                tell(Some(MirrorSeen { trouble: Some(trouble), ..MirrorSeen::default() }));
            }
        }
        tokio::select! {
            () = tokio::time::sleep(pace.after(failures)) => {}
            changed = orders.changed() => if changed.is_err() { return },
        }
    }
}

struct Mirror<'a, B, C> {
    key: &'a Key,
    budgets: &'a B,
    claims: &'a C,
    order: &'a Order,
}

impl<B: Budgets, C: Claims> Mirror<'_, B, C> {
    async fn sync(&self, claim: &mut Option<Place>) -> Result<Option<MirrorSeen>, Trouble> {
        let wanted = self.order.mirror.as_ref();
        if let Some(held) = claim.as_ref().filter(|held| wanted.is_none_or(|(place, _)| place != *held)) {
            self.budgets.delete(held).await.map_err(|error| error.trouble())?;
            tracing::info!(budget = %self.key, place = %held, "AWS budget deleted");
            self.claim(None).await?;
            *claim = None;
        }
        let Some((place, wanted)) = wanted else { return Ok(None) };
        if claim.is_none() {
            if self.budgets.observe(place).await.map_err(|error| error.trouble())?.is_some() {
                return Err(not_ours(place));
            }
            self.claim(Some(place)).await?;
            *claim = Some(place.clone());
        }
        let observed = self.budgets.observe(place).await.map_err(|error| error.trouble())?;
        for call in plan(wanted, observed.as_ref()) {
            tracing::info!(budget = %self.key, %place, ?call, "AWS budget changed");
            match self.budgets.change(place, &call).await {
                // Somebody made one of that name since it was looked for.
                Err(AwsError { kind: AwsErrorKind::Exists, .. }) if observed.is_none() => {
                    self.claim(None).await?;
                    *claim = None;
                    return Err(not_ours(place));
                }
                done => done.map_err(|error| error.trouble())?,
            }
        }
        let read_at_ms = Some(jiff::Timestamp::now().as_millisecond());
        Ok(Some(MirrorSeen { actual: observed.and_then(|observed| observed.actual), read_at_ms, trouble: None }))
    }

    async fn claim(&self, place: Option<&Place>) -> Result<(), Trouble> {
        let place = place.map(ToString::to_string);
        self.claims.set(self.key, &self.order.uid, place.as_deref()).await.map_err(|error| Trouble {
            reason: "NotClaimed",
            message: format!(
                "the CostBudget's finalizer cannot be written ({error}): allow the operator to patch costbudgets"
            ),
        })
    }
}

fn not_ours(place: &Place) -> Trouble {
    Trouble {
        reason: "NotOurs",
        message: format!(
            "a budget {} is in account {} already and was not made for this resource: choose another name, or delete that one; it is left alone",
            place.name, place.account
        ),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::aws::mirror::{Call, Observed};
    use std::collections::BTreeMap;
    use std::sync::Mutex;
    use std::time::Duration;
    use tokio::sync::mpsc;
    use tollway_core::spend::Nano;
    use tollway_core::table::Period;

    /// An account, and the claims beside it.
    #[derive(Default)]
    struct Account {
        there: Mutex<BTreeMap<String, Observed>>,
        claims: Mutex<Vec<Option<String>>>,
        denied: Mutex<bool>,
    }

    impl Account {
        fn answer(&self) -> Result<(), AwsError> {
            let error =
                AwsError { action: "budgets:ViewBudget", kind: AwsErrorKind::AccessDenied, message: "no".to_owned() };
            if *self.denied.lock().unwrap() { Err(error) } else { Ok(()) }
        }
    }

    impl Budgets for Account {
        async fn observe(&self, at: &Place) -> Result<Option<Observed>, AwsError> {
            self.answer()?;
            Ok(self.there.lock().unwrap().get(&at.name).cloned())
        }

        async fn change(&self, at: &Place, call: &Call) -> Result<(), AwsError> {
            self.answer()?;
            let mut there = self.there.lock().unwrap();
            match call {
                Call::Create(wanted) => {
                    let claimed = self.claims.lock().unwrap().last().cloned().flatten();
                    assert_eq!(claimed, Some(at.to_string()), "made before it was claimed");
                    let alerts = wanted.alerts.iter().map(|(percent, topic)| (*percent, Some(topic.clone()))).collect();
                    let observed = Observed {
                        limit: Some(wanted.limit),
                        period: Some(wanted.period),
                        alerts,
                        actual: Some(Nano(7)),
                    };
                    there.insert(at.name.clone(), observed);
                }
                Call::Update { limit, .. } => there.get_mut(&at.name).unwrap().limit = Some(*limit),
                other => panic!("{other:?}"),
            }
            Ok(())
        }

        async fn delete(&self, at: &Place) -> Result<(), AwsError> {
            self.answer()?;
            self.there.lock().unwrap().remove(&at.name);
            Ok(())
        }
    }

    #[derive(Clone)]
    struct OnAccount(Arc<Account>);

    impl Claims for OnAccount {
        async fn set(&self, _: &Key, uid: &str, place: Option<&str>) -> Result<(), kube::Error> {
            assert_eq!(uid, "u");
            self.0.claims.lock().unwrap().push(place.map(str::to_owned));
            Ok(())
        }
    }

    fn order(name: &str, limit: u64) -> Order {
        let wanted = Wanted { limit: Nano(limit), period: Period::Daily, alerts: BTreeMap::new() };
        let place = Place { account: "1".to_owned(), name: name.to_owned() };
        Order { uid: "u".to_owned(), mirror: Some((place, wanted)), claim: None }
    }

    /// A keeper on an account: how it is told, and what it says of every look.
    fn kept(
        account: &Arc<Account>,
        first: Order,
    ) -> (watch::Sender<Order>, mpsc::UnboundedReceiver<Option<MirrorSeen>>) {
        let (sender, orders) = watch::channel(first);
        let (tell, told) = mpsc::unbounded_channel();
        let key = Key { namespace: "ns".to_owned(), name: "b".to_owned() };
        let claims = OnAccount(Arc::clone(account));
        let pace = Pace { first: Duration::from_millis(1), longest: Duration::from_millis(2) };
        tokio::spawn(keep(key, Arc::clone(account), claims, orders, pace, move |seen| drop(tell.send(seen))));
        (sender, told)
    }

    fn limit(account: &Account, name: &str) -> Option<Nano> {
        account.there.lock().unwrap().get(name).and_then(|observed| observed.limit)
    }

    #[tokio::test]
    async fn a_mirror_is_made_corrected_moved_and_deleted() {
        let account = Arc::new(Account::default());
        let (orders, mut told) = kept(&account, order("a", 5));
        assert_eq!(told.recv().await.unwrap().unwrap().trouble, None);
        assert_eq!(limit(&account, "a"), Some(Nano(5)));

        // Somebody changes it there: a sweep sets it right and reads what AWS counted.
        account.there.lock().unwrap().get_mut("a").unwrap().limit = Some(Nano(99));
        while limit(&account, "a") != Some(Nano(5)) {
            assert_eq!(told.recv().await.unwrap().unwrap().actual, Some(Nano(7)));
        }

        orders.send_replace(order("b", 6));
        while (limit(&account, "a"), limit(&account, "b")) != (None, Some(Nano(6))) {
            told.recv().await.unwrap();
        }

        orders.send_replace(Order { mirror: None, ..order("b", 6) });
        while told.recv().await.unwrap().is_some() {}
        assert_eq!(limit(&account, "b"), None);
        assert_eq!(account.claims.lock().unwrap().last(), Some(&None), "nothing holds the resource any more");
    }

    #[tokio::test]
    async fn what_somebody_else_made_is_left_alone_and_never_deleted() {
        let account = Arc::new(Account::default());
        let theirs = Observed { limit: Some(Nano(1)), ..Observed::default() };
        account.there.lock().unwrap().insert("a".to_owned(), theirs.clone());
        let (orders, mut told) = kept(&account, order("a", 5));
        assert_eq!(told.recv().await.unwrap().unwrap().trouble.unwrap().reason, "NotOurs");
        orders.send_replace(Order { mirror: None, ..order("a", 5) });
        while told.recv().await.unwrap().is_some() {}
        assert_eq!(account.there.lock().unwrap().get("a"), Some(&theirs));
        assert!(account.claims.lock().unwrap().is_empty());
    }

    #[tokio::test]
    async fn a_new_leader_knows_its_own_by_the_claim() {
        let account = Arc::new(Account::default());
        let interrupted = Observed { limit: Some(Nano(4)), ..Observed::default() };
        account.there.lock().unwrap().insert("a".to_owned(), interrupted);
        let first = order("a", 5);
        let claim = first.mirror.as_ref().map(|(place, _)| place.clone());
        let (_orders, mut told) = kept(&account, Order { claim, ..first });
        assert_eq!(told.recv().await.unwrap().unwrap().trouble, None);
        assert_eq!(limit(&account, "a"), Some(Nano(5)));
    }

    #[tokio::test]
    async fn a_missing_right_is_told_and_tried_again() {
        let account = Arc::new(Account::default());
        *account.denied.lock().unwrap() = true;
        let (_orders, mut told) = kept(&account, order("a", 5));
        assert_eq!(told.recv().await.unwrap().unwrap().trouble.unwrap().reason, "AccessDenied");
        *account.denied.lock().unwrap() = false;
        while told.recv().await.unwrap().unwrap().trouble.is_some() {}
        assert_eq!(limit(&account, "a"), Some(Nano(5)));
    }
}
