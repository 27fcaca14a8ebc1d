//! Where every budget stands in; CloudWatch's metrics out, once a minute. What cannot be sent is logged and left: the next minute has newer figures.

use super::error::AwsErrorKind;
use super::measures::{MOST, Measure, Measures, dollars};
use crate::ledger::{Key, View};
use std::collections::BTreeMap;
use std::time::Duration;
use tokio::time::Instant;
use tollway_core::spend::Figures;

/// While no ledger is read yet, figures are looked for this often.
const FIRST: Duration = Duration::from_secs(1);

/// Measures until it is dropped.
pub async fn export<M: Measures>(
    measures: M,
    namespace: String,
    every: Duration,
    views: impl Fn() -> Vec<(Key, View)> + Send,
) {
    let mut sender = Sender::new(measures);
    loop {
        let all = measured(&views(), jiff::Timestamp::now().as_millisecond());
        let began = Instant::now();
        sender.send(None, &namespace, &all).await;
        tokio::time::sleep_until(began + if all.is_empty() { FIRST } else { every }).await;
    }
}

/// Sends measurements, and says what becomes of them once for each new reason: a right that is missing for a week is not a line a minute.
pub struct Sender<M> {
    measures: M,
    /// Why the last ones of each region did not arrive.
    failing: BTreeMap<Option<String>, AwsErrorKind>,
}

impl<M: Measures> Sender<M> {
    /// Has sent nothing yet.
    pub fn new(measures: M) -> Sender<M> {
        Sender { measures, failing: BTreeMap::new() }
    }

    /// Sends them in parts that are taken, each whatever becomes of the others.
    pub async fn send(&mut self, region: Option<&str>, namespace: &str, all: &[Measure]) {
        let place = region.map(str::to_owned);
        for part in all.chunks(MOST) {
            let failed = self.measures.put(region, namespace, part).await.err();
            match &failed {
                None => {
                    if self.failing.remove(&place).is_some() {
                        tracing::info!(namespace, region, "metrics are sent to CloudWatch again");
                    }
                }
                Some(error) => {
                    if self.failing.insert(place.clone(), error.kind) != Some(error.kind) {
                        let trouble = error.trouble().message;
                        tracing::error!(namespace, region, kind = ?error.kind, "metrics not sent to CloudWatch: {trouble}");
                    }
                }
            }
        }
    }
}

/// The measurements of every budget.
fn measured(views: &[(Key, View)], at_ms: i64) -> Vec<Measure> {
    let of = |(key, view): &(Key, View)| {
        let Figures { spent, limit, remaining, .. } = view.figures;
        let (namespace, budget) = (key.namespace.clone(), key.name.clone());
        [("SpentUsd", spent), ("LimitUsd", limit), ("RemainingUsd", remaining)].map(|(name, amount)| Measure {
            name,
            of: vec![("Namespace", namespace.clone()), ("Budget", budget.clone())],
            value: dollars(amount),
            is_count: false,
            at_ms,
        })
    };
    views.iter().flat_map(of).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::aws::error::AwsError;
    use tokio::sync::mpsc;
    use tollway_core::spend::{Nano, Window};

    struct Heard(mpsc::UnboundedSender<(String, Vec<Measure>)>);

    impl Measures for Heard {
        async fn put(&self, _: Option<&str>, namespace: &str, measures: &[Measure]) -> Result<(), AwsError> {
            drop(self.0.send((namespace.to_owned(), measures.to_vec())));
            Err(AwsError {
                action: "cloudwatch:PutMetricData",
                kind: AwsErrorKind::AccessDenied,
                message: String::new(),
            })
        }
    }

    fn view(spent: u64) -> View {
        let figures =
            Figures { limit: Nano(10), spent: Nano(spent), remaining: Nano(10 - spent), ..Figures::default() };
        let window = Window { id: "w".into(), start_ms: 0, end_ms: None };
        View {
            figures,
            window,
            ledger: "l".into(),
            uid: "u".into(),
            threshold: None,
            adjustments: vec![],
            forecast: Default::default(),
        }
    }

    #[tokio::test]
    async fn every_budget_is_measured_each_minute_in_parts_that_are_taken_whatever_fails() {
        let (sender, mut heard) = mpsc::unbounded_channel();
        let budgets = 400;
        let views =
            move || (0..budgets).map(|at| (Key { namespace: "ns".into(), name: format!("b{at}") }, view(3))).collect();
        tokio::spawn(export(Heard(sender), "Tollway".to_owned(), Duration::from_millis(1), views));
        for _ in 0..2 {
            let (namespace, first) = heard.recv().await.unwrap();
            let (_, second) = heard.recv().await.unwrap();
            assert_eq!((namespace.as_str(), first.len(), second.len()), ("Tollway", MOST, 3 * budgets - MOST));
            assert_eq!((first[0].name, first[0].value), ("SpentUsd", dollars(Nano(3))));
            assert_eq!((first[2].name, first[2].value), ("RemainingUsd", dollars(Nano(7))));
        }
    }
}
