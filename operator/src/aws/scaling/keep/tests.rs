//! An account in memory in; how a keeper changes it, and what it tells, out.

use super::*;
use crate::aws::endpoints::Variant;
use crate::aws::error::{AwsError, AwsErrorKind};
use crate::aws::provision::{Found, Standing, Step, Wanted};
use crate::aws::scaling::{Call, Observed};
use std::collections::BTreeMap;
use std::sync::Mutex;
use std::time::Duration;
use tokio::sync::mpsc;

/// An account, and the claims beside it.
#[derive(Default)]
struct Account {
    endpoints: Mutex<BTreeMap<String, Endpoint>>,
    components: Mutex<BTreeMap<String, Component>>,
    targets: Mutex<BTreeMap<String, Observed>>,
    claims: Mutex<Vec<Option<String>>>,
    denied: Mutex<bool>,
    writes: Mutex<u32>,
    types_asked: Mutex<u32>,
}

#[derive(Clone)]
struct On(Arc<Account>);

impl Endpoints for On {
    async fn home(&self) -> Result<String, AwsError> {
        Ok("home".to_owned())
    }

    async fn observe(&self, region: &str, name: &str) -> Result<Option<Endpoint>, AwsError> {
        assert_eq!(region, "home");
        Ok(self.0.endpoints.lock().unwrap().get(name).cloned())
    }

    async fn instance_type(&self, _: &str, config: &str, variant: &str) -> Result<Option<String>, AwsError> {
        assert_eq!((config, variant), ("c", "AllTraffic"));
        *self.0.types_asked.lock().unwrap() += 1;
        Ok(Some("ml.m5.xlarge".to_owned()))
    }

    async fn component(&self, region: &str, name: &str) -> Result<Option<Component>, AwsError> {
        assert_eq!(region, "home");
        Ok(self.0.components.lock().unwrap().get(name).cloned())
    }

    async fn set_copies(&self, _: &str, name: &str, copies: i32) -> Result<(), AwsError> {
        *self.0.writes.lock().unwrap() += 1;
        self.0.components.lock().unwrap().get_mut(name).unwrap().copies.1 = copies;
        Ok(())
    }
}

impl Autoscaler for On {
    async fn observe(&self, at: &Place) -> Result<Option<Observed>, AwsError> {
        let action = "application-autoscaling:DescribeScalableTargets";
        if *self.0.denied.lock().unwrap() {
            return Err(AwsError { action, kind: AwsErrorKind::AccessDenied, message: "no".to_owned() });
        }
        Ok(self.0.targets.lock().unwrap().get(&at.to_string()).copied())
    }

    async fn change(&self, at: &Place, call: &Call) -> Result<(), AwsError> {
        let claimed = self.0.claims.lock().unwrap().last().cloned().flatten();
        assert_eq!(claimed, Some(at.to_string()), "changed before it was claimed");
        *self.0.writes.lock().unwrap() += 1;
        let mut targets = self.0.targets.lock().unwrap();
        match *call {
            Call::Register(min, max) => {
                let fresh = Observed { limits: (0, 0), is_suspended: false, policy: None };
                let target = targets.entry(at.to_string()).or_insert(fresh);
                (target.limits, target.is_suspended) = ((min, max), false);
            }
            Call::Put(policy) => targets.get_mut(&at.to_string()).unwrap().policy = Some(policy),
        }
        Ok(())
    }

    async fn remove(&self, at: &Place) -> Result<(), AwsError> {
        self.0.targets.lock().unwrap().remove(&at.to_string());
        Ok(())
    }

    async fn last_activity(&self, _: &Place) -> Result<Option<Activity>, AwsError> {
        Ok(Some(Activity { at_ms: 1, reason: "an alarm".to_owned() }))
    }
}

/// Nothing here asks for an endpoint to be made: `aws/provision/tests.rs` has that.
impl Builder for On {
    async fn survey(&self, _: &Wanted) -> Result<Found, AwsError> {
        Ok(Found::default())
    }

    async fn standing(&self, _: &str, _: &str, _: &str) -> Result<Option<Standing>, AwsError> {
        Ok(None)
    }

    async fn build(&self, _: &Wanted, _: &Step) -> Result<(), AwsError> {
        Ok(())
    }

    async fn delete(&self, _: &str, _: &str, _: &Step) -> Result<(), AwsError> {
        Ok(())
    }
}

impl Claims for On {
    async fn set(&self, _: &Key, uid: &str, place: Option<&str>) -> Result<(), kube::Error> {
        assert_eq!(uid, "u");
        self.0.claims.lock().unwrap().push(place.map(str::to_owned));
        Ok(())
    }
}

type Told = mpsc::UnboundedReceiver<Option<HostingSeen>>;

fn account() -> Arc<Account> {
    let account = Arc::new(Account::default());
    let variants = vec![Variant { name: "AllTraffic".to_owned(), instances: Some((1, 1)) }];
    let endpoint = Endpoint { state: "InService".to_owned(), failure: None, config: "c".to_owned(), variants };
    for name in ["a", "b"] {
        account.endpoints.lock().unwrap().insert(name.to_owned(), endpoint.clone());
    }
    account
}

fn order(name: &str, max: i32) -> Order {
    let spec = serde_json::json!({"model": "m", "dimensions": 2, "sagemaker": {"endpointName": name},
        "autoscaling": {"minInstances": 1, "maxInstances": max, "target": {"metric": "Utilization", "value": 70}}});
    let endpoint = Asker::of(&serde_json::from_value(spec).unwrap());
    Order { uid: "u".to_owned(), endpoint: Some(endpoint), held_by: Some(vec![]), ..Order::default() }
}

/// The same of an inference component that may have no copy.
fn component(name: &str, max: i32) -> Order {
    let mut order = order(name, max);
    let asker = order.endpoint.as_mut().unwrap();
    asker.component = Some("c".to_owned());
    asker.scaling.as_mut().unwrap().limits = (0, max);
    order
}

fn kept(account: &Arc<Account>, first: Order) -> (watch::Sender<Order>, Told) {
    let (sender, orders) = watch::channel(first);
    let (tell, told) = mpsc::unbounded_channel();
    let key = Key { namespace: "ns".to_owned(), name: "vectors".to_owned() };
    let on = On(account.clone());
    let pace = Pace { first: Duration::from_millis(1), longest: Duration::from_millis(2) };
    tokio::spawn(keep(key, Arc::new((on.clone(), on.clone())), (on.clone(), on), orders, pace, move |seen| {
        drop(tell.send(seen))
    }));
    (sender, told)
}

async fn next(told: &mut Told) -> HostingSeen {
    told.recv().await.unwrap().unwrap()
}

fn limits(account: &Account, name: &str) -> Option<(i32, i32)> {
    let at = format!("home/{name}/AllTraffic");
    account.targets.lock().unwrap().get(&at).map(|target| target.limits)
}

#[tokio::test]
async fn scaling_is_made_corrected_moved_and_taken_away() {
    let account = account();
    let (orders, mut told) = kept(&account, order("a", 3));
    let seen = next(&mut told).await;
    assert_eq!((seen.scaling_trouble, seen.limits, limits(&account, "a")), (None, Some((1, 3)), Some((1, 3))));
    assert_eq!(seen.activity.map(|activity| activity.reason), Some("an alarm".to_owned()));
    assert_eq!(seen.endpoint.unwrap().instances, Some((1, 1)));
    let made = *account.writes.lock().unwrap();
    for _ in 0..3 {
        next(&mut told).await;
    }
    assert_eq!((made, *account.writes.lock().unwrap()), (2, 2), "what is right is left alone");
    assert_eq!(*account.types_asked.lock().unwrap(), 1, "a configuration never changes");

    account.targets.lock().unwrap().get_mut("home/a/AllTraffic").unwrap().limits = (1, 99);
    while limits(&account, "a") != Some((1, 3)) {
        next(&mut told).await;
    }
    account.targets.lock().unwrap().clear();
    while limits(&account, "a") != Some((1, 3)) {
        next(&mut told).await;
    }

    orders.send_replace(order("b", 4));
    while (limits(&account, "a"), limits(&account, "b")) != (None, Some((1, 4))) {
        next(&mut told).await;
    }
    orders.send_replace(Order { endpoint: None, ..order("b", 4) });
    while told.recv().await.unwrap().is_some() {}
    assert_eq!(limits(&account, "b"), None);
    assert_eq!(account.claims.lock().unwrap().last(), Some(&None), "nothing holds the resource any more");
}

#[tokio::test]
async fn what_somebody_else_registered_is_left_alone() {
    let account = account();
    let theirs = Observed { limits: (7, 8), is_suspended: true, policy: None };
    account.targets.lock().unwrap().insert("home/a/AllTraffic".to_owned(), theirs);
    let (orders, mut told) = kept(&account, order("a", 3));
    assert_eq!(next(&mut told).await.scaling_trouble.unwrap().reason, "NotOurs");
    orders.send_replace(Order { endpoint: None, ..order("a", 3) });
    while told.recv().await.unwrap().is_some() {}
    assert_eq!(account.targets.lock().unwrap().get("home/a/AllTraffic"), Some(&theirs));
    assert!(account.claims.lock().unwrap().is_empty());
}

#[tokio::test]
async fn a_new_leader_goes_on_where_the_last_was_stopped() {
    let account = account();
    let half = Observed { limits: (1, 3), is_suspended: false, policy: None };
    account.targets.lock().unwrap().insert("home/a/AllTraffic".to_owned(), half);
    account.claims.lock().unwrap().push(Some("home/a/AllTraffic".to_owned()));
    let claim = Some("home/a/AllTraffic".parse().unwrap());
    let (_orders, mut told) = kept(&account, Order { claim, ..order("a", 3) });
    assert_eq!(next(&mut told).await.scaling_trouble, None);
    assert!(account.targets.lock().unwrap()["home/a/AllTraffic"].policy.is_some());
    assert_eq!(*account.writes.lock().unwrap(), 1, "only what was missing");
}

#[tokio::test]
async fn an_exhausted_budget_holds_the_most_at_the_least() {
    let account = account();
    let (orders, mut told) = kept(&account, Order { held_by: None, ..order("a", 3) });
    assert_eq!((next(&mut told).await.limits, limits(&account, "a")), (None, None), "nothing before budgets are known");
    orders.send_replace(Order { held_by: Some(vec!["team".to_owned()]), ..order("a", 3) });
    while limits(&account, "a") != Some((1, 1)) {
        next(&mut told).await;
    }
    while next(&mut told).await.held_by != ["team"] {}
    orders.send_replace(order("a", 3));
    while limits(&account, "a") != Some((1, 3)) {
        next(&mut told).await;
    }
}

#[tokio::test]
async fn a_missing_right_or_endpoint_is_told_and_tried_again() {
    let account = account();
    *account.denied.lock().unwrap() = true;
    let (_orders, mut told) = kept(&account, order("a", 3));
    let seen = next(&mut told).await;
    assert_eq!(seen.scaling_trouble.unwrap().reason, "AccessDenied");
    assert_eq!(seen.endpoint.unwrap().state, "InService", "what may be looked at is looked at");
    *account.denied.lock().unwrap() = false;
    while next(&mut told).await.scaling_trouble.is_some() {}
    account.endpoints.lock().unwrap().clear();
    while next(&mut told).await.trouble.is_none() {}
    assert_eq!(limits(&account, "a"), Some((1, 3)), "an endpoint that is away for a moment loses nothing");
}

#[tokio::test]
async fn the_first_copy_is_started_once_when_texts_find_none() {
    let account = account();
    let of_a = Component { state: "InService".to_owned(), endpoint: "a".to_owned(), ..Component::default() };
    let set = |found: &Component| drop(account.components.lock().unwrap().insert("c".to_owned(), found.clone()));
    let (orders, mut told) = kept(&account, component("a", 2));
    assert_eq!(next(&mut told).await.trouble.unwrap().reason, "NotFound");
    set(&Component { endpoint: "b".to_owned(), ..of_a.clone() });
    assert_eq!(next(&mut told).await.trouble.unwrap().reason, "NotFound", "it is another endpoint's");
    set(&of_a);
    while next(&mut told).await.trouble.is_some() {}
    let seen = next(&mut told).await;
    assert_eq!((seen.limits, seen.endpoint.unwrap().copies), (Some((0, 2)), Some((0, 0))));
    assert!(account.targets.lock().unwrap().contains_key("home/a/AllTraffic/c"), "by its copies");
    let before = *account.writes.lock().unwrap();

    let starts = async |told: &mut Told, unanswered, held_by: &[&str]| {
        let held_by = Some(held_by.iter().map(|&budget| budget.to_owned()).collect());
        orders.send_replace(Order { unanswered, held_by, ..component("a", 2) });
        for _ in 0..3 {
            next(told).await;
        }
        account.components.lock().unwrap()["c"].copies.1
    };
    assert_eq!(starts(&mut told, 1, &["team"]).await, 0, "nothing is started for a budget that is spent");
    assert_eq!(starts(&mut told, 1, &[]).await, 0, "those calls were denied");
    assert_eq!(starts(&mut told, 2, &[]).await, 1);
    assert_eq!(starts(&mut told, 3, &[]).await, 1, "one is on its way");
    assert_eq!(*account.writes.lock().unwrap(), before + 3, "limits held, limits back, one start");

    // It ran, and was scaled in again; the calls of then start nothing now.
    set(&of_a);
    assert_eq!(starts(&mut told, 3, &[]).await, 0);
    assert_eq!(starts(&mut told, 4, &[]).await, 1);
}
