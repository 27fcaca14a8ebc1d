//! The proxy's side of the cap: the worst case of an attempt in, a reservation or a refusal out.

use tollway_core::spend::Nano;
use tollway_core::table::{Mode, Table};

/// Why an attempt may not be sent.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// No grant can carry the worst case.
    #[error(
        "budget {budget:?} cannot carry this request: at most {fits} USD still fits; ask for fewer max tokens, or raise the budget's limit"
    )]
    Exceeded { budget: String, fits: Nano },
    /// Nobody who may grant is reachable, and no grant is held.
    #[error("budget {budget:?} cannot be checked just now: no ledger answered; try again")]
    Unavailable { budget: String },
    /// The model used more than its bound before; it stays denied until an administrator resumes the budget.
    #[error(
        "budget {budget:?} denies model {model:?}: it used more than its computed bound; an administrator must add a `resume` adjustment"
    )]
    ModelDenied { budget: String, model: String },
}

/// Every budget's purse of this process.
#[derive(Debug, Default)]
pub struct Ledger {}

/// The worst case of one attempt, held in every budget that applies. Dropped unsettled, it is charged in full.
#[derive(Debug)]
#[must_use = "a reservation is settled, released, or charged in full when dropped"]
pub struct Reservation {}

impl Ledger {
    /// Holds `worst` in all of `budgets` or in none. Returns at once when held grants carry it, else waits up to 2 s for a larger grant.
    ///
    /// # Errors
    /// The budget that refused, and why.
    pub async fn reserve(
        &self,
        budgets: &[String],
        table: &Table,
        worst: Nano,
        target_is_free: bool,
        _model: &str,
    ) -> Result<Reservation, Refusal> {
        let binding = |name: &&String| table.budgets.get(*name).is_none_or(|b| b.mode == Mode::Enforce);
        match budgets.iter().find(binding) {
            Some(budget) if !target_is_free && worst > Nano::ZERO => {
                Err(Refusal::Unavailable { budget: budget.clone() })
            }
            _ => Ok(Reservation {}),
        }
    }
}

impl Reservation {
    /// The provider said what was used: charge it, return the rest.
    pub fn settle(self, _actual: Nano) {}

    /// The provider never said what was used: charge the worst case, marked estimated.
    pub fn settle_in_full(self) {}

    /// Nothing was sent, or a complete HTTP error came back before any stream: charge nothing.
    pub fn release(self) {}

    /// The usage was above the bound: charge all of it and have the budgets deny the model.
    pub fn bound_exceeded(self, _actual: Nano) {}
}
