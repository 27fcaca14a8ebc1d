//! What became of a budget's messages and of its mirror in AWS in; the conditions and status fields about them out.

use super::{
    AwsSeen, BudgetSeen,
    budget::instant,
    condition::{Because, no, unknown, yes},
};
use crate::spend::Nano;
use tollway_crds::{
    CostBudgetSpec,
    cost_budget::{AwsBudgetStatus, ThresholdStatus},
};

/// Whether messages that are due were sent; absent where the spec asks for none.
pub fn notified(spec: Option<&CostBudgetSpec>, aws: &AwsSeen, reached: &[ThresholdStatus]) -> Option<Because> {
    let asks = |spec: &&CostBudgetSpec| spec.thresholds.iter().flat_map(|t| &t.actions).any(|a| a.notify.is_some());
    spec.filter(asks)?;
    if let Some(trouble) = &aws.notify_trouble {
        return Some(no(trouble.reason, trouble.message.clone()));
    }
    let told = reached.iter().filter(|threshold| !threshold.notified.is_empty());
    let told: Vec<String> = told.map(|threshold| format!("{} %", threshold.percent)).collect();
    Some(match told.as_slice() {
        [] => yes("NothingToTell", "no threshold with a topic is reached in this window"),
        told => yes("Notified", format!("topics were told of {}", told.join(", "))),
    })
}

/// Whether the mirror is as the spec has it; absent where the spec asks for none.
pub fn in_sync(spec: Option<&CostBudgetSpec>, aws: &AwsSeen) -> Option<Because> {
    let spec = spec?;
    // One that cannot be deleted is told although the spec asks for none any more.
    if let Some(trouble) = aws.mirror.as_ref().and_then(|seen| seen.trouble.as_ref()) {
        return Some(no(trouble.reason, trouble.message.clone()));
    }
    let place = spec.aws_budget.as_ref()?;
    Some(match &aws.mirror {
        None => unknown("Pending", "AWS Budgets was not asked yet"),
        Some(_) => yes("InSync", format!("{} in account {} is as the spec has it", place.name, place.account_id)),
    })
}

/// What AWS says was spent, beside what the ledger says.
pub fn mirror(spec: Option<&CostBudgetSpec>, seen: Option<&BudgetSeen>) -> Option<AwsBudgetStatus> {
    let place = spec?.aws_budget.as_ref()?;
    let known = seen.and_then(|seen| seen.aws.mirror.as_ref().map(|mirror| (seen.figures.spent, mirror)));
    let actual = known.and_then(|(_, mirror)| mirror.actual);
    Some(AwsBudgetStatus {
        account_id: place.account_id.clone(),
        name: place.name.clone(),
        actual_usd: actual.map(|actual| actual.to_string()),
        difference_usd: known.and_then(|(spent, _)| Some(difference(actual?, spent))),
        read_at: known.and_then(|(_, mirror)| mirror.read_at_ms).and_then(instant),
    })
}

fn difference(actual: Nano, spent: Nano) -> String {
    match actual.minus(spent) {
        Nano::ZERO if actual == spent => Nano::ZERO.to_string(),
        Nano::ZERO => format!("-{}", spent.minus(actual)),
        more => format!("+{more}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_difference_has_its_sign() {
        assert_eq!(difference(Nano(1_500_000_000), Nano(1_000_000_000)), "+0.50");
        assert_eq!(difference(Nano(1), Nano(2)), "-0.000000001");
        assert_eq!(difference(Nano(2), Nano(2)), Nano::ZERO.to_string());
    }
}
