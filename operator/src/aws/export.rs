//! Where every budget stands in; CloudWatch's metrics out, once a minute. What cannot be sent is logged and left: the next minute has newer figures.

use super::error::AwsErrorKind;
use super::measures::{MOST, Measure, Measures};
use crate::ledger::{Key, View};
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
    let mut last = None;
    loop {
        let all = measured(&views(), jiff::Timestamp::now().as_millisecond());
        let began = Instant::now();
        for part in all.chunks(MOST) {
            let failed = measures.put(&namespace, part).await.err();
            // Once for each new reason: a right that is missing for a week is not a line a minute.
            match failed.as_ref().map(|error| error.kind) {
                kind if kind == last => {}
                Some(kind) => {
                    let trouble = failed.as_ref().map(|error| error.trouble().message).unwrap_or_default();
                    tracing::error!(namespace, kind = ?kind, "metrics not sent to CloudWatch: {trouble}");
                    last = Some(kind);
                }
                None => {
                    tracing::info!(namespace, "metrics are sent to CloudWatch again");
                    last = None::<AwsErrorKind>;
                }
            }
        }
        tokio::time::sleep_until(began + if all.is_empty() { FIRST } else { every }).await;
    }
}

/// The measurements of every budget.
fn measured(views: &[(Key, View)], at_ms: i64) -> Vec<Measure> {
    let of = |(key, view): &(Key, View)| {
        let Figures { spent, limit, remaining, .. } = view.figures;
        let (namespace, budget) = (key.namespace.clone(), key.name.clone());
        [("SpentUsd", spent), ("LimitUsd", limit), ("RemainingUsd", remaining)].map(|(name, amount)| Measure {
            name,
            namespace: namespace.clone(),
            budget: budget.clone(),
            amount,
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
        async fn put(&self, namespace: &str, measures: &[Measure]) -> Result<(), AwsError> {
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
            assert_eq!((first[0].name, first[0].amount), ("SpentUsd", Nano(3)));
            assert_eq!((first[2].name, first[2].amount), ("RemainingUsd", Nano(7)));
        }
    }
}
