//! A budget's place in an account and what it should be in; calls to AWS Budgets, and what it says, out. The only user of `aws_sdk_budgets`.

use super::clients::Clients;
use super::error::{AwsError, AwsErrorKind};
use super::mirror::{Call, Observed, Place, Wanted};
use aws_sdk_budgets::Client;
use aws_sdk_budgets::config::Builder;
use aws_sdk_budgets::error::{BuildError, SdkError};
use aws_sdk_budgets::types::{
    Budget, BudgetType, ComparisonOperator, Notification, NotificationType, NotificationWithSubscribers, Spend,
    Subscriber, SubscriptionType, ThresholdType, TimeUnit,
};
use std::collections::BTreeMap;
use std::sync::Arc;
use tokio::sync::OnceCell;
use tollway_core::spend::Nano;
use tollway_core::table::Period;

const VIEW: &str = "budgets:ViewBudget";
const MODIFY: &str = "budgets:ModifyBudget";

/// Budgets of AWS accounts.
pub trait Budgets: Send + Sync + 'static {
    /// What is there; `None`: nothing of that name.
    fn observe(&self, at: &Place) -> impl Future<Output = Result<Option<Observed>, AwsError>> + Send;
    /// Makes one change.
    fn change(&self, at: &Place, call: &Call) -> impl Future<Output = Result<(), AwsError>> + Send;
    /// Deletes the budget; one that is gone already is deleted.
    fn delete(&self, at: &Place) -> impl Future<Output = Result<(), AwsError>> + Send;
}

/// AWS Budgets.
#[derive(Debug)]
pub struct AwsBudgets {
    clients: Arc<Clients>,
    client: OnceCell<Client>,
}

impl AwsBudgets {
    /// No client yet.
    pub fn new(clients: Arc<Clients>) -> AwsBudgets {
        AwsBudgets { clients, client: OnceCell::new() }
    }

    async fn client(&self) -> &Client {
        let make = || async {
            let config = Builder::from(self.clients.config().await).region(self.clients.region().await);
            Client::from_conf(config.build())
        };
        self.client.get_or_init(make).await
    }

    async fn describe(&self, at: &Place) -> Result<Option<Budget>, AwsError> {
        let call = self.client().await.describe_budget().account_id(&at.account).budget_name(&at.name);
        found(call.send().await.map_err(|error| AwsError::of(VIEW, &error)))
            .map(|said| said.and_then(|said| said.budget))
    }

    async fn create(&self, at: &Place, wanted: &Wanted) -> Result<(), AwsError> {
        let budget = Budget::builder().budget_name(&at.name).budget_type(BudgetType::Cost);
        let budget = budget.budget_limit(spend(wanted.limit)?).time_unit(unit(wanted.period)).build();
        let mut call = self.client().await.create_budget().account_id(&at.account).budget(budget.map_err(form)?);
        for (percent, topic) in &wanted.alerts {
            let alert = NotificationWithSubscribers::builder().notification(notification(*percent)?);
            call = call.notifications_with_subscribers(alert.subscribers(subscriber(topic)?).build().map_err(form)?);
        }
        call.send().await.map(|_| ()).map_err(|error| AwsError::of(MODIFY, &error))
    }

    /// A change replaces the whole budget: what people set on it there (filters, cost types) is read first and given back.
    async fn update(&self, at: &Place, limit: Nano, period: Period) -> Result<(), AwsError> {
        let Some(mut budget) = self.describe(at).await? else { return Ok(()) };
        budget.budget_limit = Some(spend(limit)?);
        budget.time_unit = unit(period);
        budget.planned_budget_limits = None;
        budget.auto_adjust_data = None;
        budget.calculated_spend = None;
        budget.last_updated_time = None;
        budget.health_status = None;
        let call = self.client().await.update_budget().account_id(&at.account).new_budget(budget);
        call.send().await.map(|_| ()).map_err(|error| AwsError::of(MODIFY, &error))
    }

    async fn alerts(&self, at: &Place) -> Result<BTreeMap<u32, Option<String>>, AwsError> {
        let client = self.client().await;
        let all = client.describe_notifications_for_budget().account_id(&at.account).budget_name(&at.name);
        let pages = all.into_paginator().send().try_collect().await.map_err(|error| AwsError::of(VIEW, &error))?;
        let mut alerts = BTreeMap::new();
        for notification in pages.into_iter().flat_map(|page| page.notifications.unwrap_or_default()) {
            let Some(percent) = percent_of(&notification) else { continue };
            let subscribers =
                client.describe_subscribers_for_notification().account_id(&at.account).budget_name(&at.name);
            let said =
                found(subscribers.notification(notification).send().await.map_err(|error| AwsError::of(VIEW, &error)))?;
            let subscribers = said.and_then(|said| said.subscribers).unwrap_or_default();
            let topic = subscribers.into_iter().find(|s| s.subscription_type == SubscriptionType::Sns);
            alerts.insert(percent, topic.map(|topic| topic.address));
        }
        Ok(alerts)
    }

    async fn add(&self, at: &Place, percent: u32, topic: &str) -> Result<(), AwsError> {
        let call = self.client().await.create_notification().account_id(&at.account).budget_name(&at.name);
        let call = call.notification(notification(percent)?).subscribers(subscriber(topic)?);
        call.send().await.map(|_| ()).map_err(|error| AwsError::of(MODIFY, &error))
    }

    async fn remove(&self, at: &Place, percent: u32) -> Result<(), AwsError> {
        let call = self.client().await.delete_notification().account_id(&at.account).budget_name(&at.name);
        let sent = call.notification(notification(percent)?).send().await;
        found(sent.map_err(|error| AwsError::of(MODIFY, &error))).map(|_| ())
    }

    async fn subscribe(&self, at: &Place, percent: u32, from: Option<&str>, to: &str) -> Result<(), AwsError> {
        let client = self.client().await;
        let (notification, to) = (notification(percent)?, subscriber(to)?);
        match from {
            None => {
                let call = client.create_subscriber().account_id(&at.account).budget_name(&at.name);
                let call = call.notification(notification).subscriber(to);
                call.send().await.map(|_| ()).map_err(|error| AwsError::of(MODIFY, &error))
            }
            Some(from) => {
                let call = client.update_subscriber().account_id(&at.account).budget_name(&at.name);
                let call = call.notification(notification).old_subscriber(subscriber(from)?).new_subscriber(to);
                call.send().await.map(|_| ()).map_err(|error| AwsError::of(MODIFY, &error))
            }
        }
    }
}

impl Budgets for AwsBudgets {
    async fn observe(&self, at: &Place) -> Result<Option<Observed>, AwsError> {
        let Some(budget) = self.describe(at).await? else { return Ok(None) };
        let alerts = self.alerts(at).await?;
        let plain = budget.planned_budget_limits.as_ref().is_none_or(|planned| planned.is_empty())
            && budget.auto_adjust_data.is_none();
        let limit = budget.budget_limit.as_ref().filter(|_| plain).and_then(amount);
        let period = match budget.time_unit {
            TimeUnit::Daily => Some(Period::Daily),
            TimeUnit::Monthly => Some(Period::Monthly),
            _ => None,
        };
        let actual = budget.calculated_spend.and_then(|spend| spend.actual_spend);
        Ok(Some(Observed { limit, period, alerts, actual: actual.as_ref().and_then(amount) }))
    }

    async fn change(&self, at: &Place, call: &Call) -> Result<(), AwsError> {
        match call {
            Call::Create(wanted) => self.create(at, wanted).await,
            Call::Update { limit, period } => self.update(at, *limit, *period).await,
            Call::AddAlert { percent, topic } => self.add(at, *percent, topic).await,
            Call::RemoveAlert { percent } => self.remove(at, *percent).await,
            Call::Subscribe { percent, from, to } => self.subscribe(at, *percent, from.as_deref(), to).await,
        }
    }

    async fn delete(&self, at: &Place) -> Result<(), AwsError> {
        let sent = self.client().await.delete_budget().account_id(&at.account).budget_name(&at.name).send().await;
        found(sent.map_err(|error| AwsError::of(MODIFY, &error))).map(|_| ())
    }
}

/// What is not there is an answer, not an error.
fn found<T>(sent: Result<T, AwsError>) -> Result<Option<T>, AwsError> {
    match sent {
        Err(error) if error.kind == AwsErrorKind::NotFound => Ok(None),
        other => other.map(Some),
    }
}

fn form(error: BuildError) -> AwsError {
    let error: SdkError<aws_sdk_budgets::operation::create_budget::CreateBudgetError, ()> =
        SdkError::construction_failure(error);
    AwsError { kind: AwsErrorKind::Refused, ..AwsError::of(MODIFY, &error) }
}

const fn unit(period: Period) -> TimeUnit {
    match period {
        Period::Daily => TimeUnit::Daily,
        // The validator lets no other period have a mirror.
        Period::Monthly | Period::Weekly | Period::Once => TimeUnit::Monthly,
    }
}

fn spend(amount: Nano) -> Result<Spend, AwsError> {
    Spend::builder().amount(amount.to_string()).unit("USD").build().map_err(form)
}

/// An amount as AWS writes it; what is finer than a nano-dollar is cut off, what is no such amount is none.
fn amount(spend: &Spend) -> Option<Nano> {
    let (whole, fraction) = spend.amount.split_once('.').unwrap_or((&spend.amount, "0"));
    let fraction = fraction.get(..fraction.len().min(9))?;
    let fraction = if fraction.is_empty() { "0" } else { fraction };
    (spend.unit == "USD").then(|| format!("{whole}.{fraction}").parse().ok())?
}

fn notification(percent: u32) -> Result<Notification, AwsError> {
    Notification::builder()
        .notification_type(NotificationType::Actual)
        .comparison_operator(ComparisonOperator::GreaterThan)
        .threshold(f64::from(percent))
        .threshold_type(ThresholdType::Percentage)
        .build()
        .map_err(form)
}

/// The percent of a notification of the kind that mirrors thresholds; people's own kinds (forecasts, amounts) are left to them.
fn percent_of(notification: &Notification) -> Option<u32> {
    let ours = notification.notification_type == NotificationType::Actual
        && notification.comparison_operator == ComparisonOperator::GreaterThan
        && notification.threshold_type.as_ref().is_none_or(|type_| *type_ == ThresholdType::Percentage);
    (1..=100).find(|percent| ours && (f64::from(*percent) - notification.threshold).abs() < 1e-9)
}

fn subscriber(topic: &str) -> Result<Subscriber, AwsError> {
    Subscriber::builder().subscription_type(SubscriptionType::Sns).address(topic).build().map_err(form)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn amounts_are_read_as_aws_writes_them() {
        let of = |text: &str, unit: &str| amount(&Spend::builder().amount(text).unit(unit).build().unwrap());
        assert_eq!(of("100.0", "USD"), Some(Nano(100_000_000_000)));
        assert_eq!(of("0.1234567891", "USD"), Some(Nano(123_456_789)));
        assert_eq!(of("7", "USD"), Some(Nano(7_000_000_000)));
        assert_eq!(of("7.", "USD"), Some(Nano(7_000_000_000)));
        assert_eq!((of("7", "EUR"), of("-1", "USD"), of("1e3", "USD")), (None, None, None));
    }

    #[test]
    fn only_notifications_that_mirror_thresholds_are_ours() {
        assert_eq!(percent_of(&notification(80).unwrap()), Some(80));
        let mut other = notification(80).unwrap();
        other.notification_type = NotificationType::Forecasted;
        assert_eq!(percent_of(&other), None);
        other = notification(80).unwrap();
        other.threshold = 80.5;
        assert_eq!(percent_of(&other), None);
    }
}
