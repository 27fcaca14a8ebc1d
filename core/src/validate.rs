//! A typed spec in, checked values out, or every mistake in it with what to do. Admission, operator and standalone all ask here.

mod budget;
mod duration;
mod embedding;
mod jobs;
mod not_yet;
mod provider;
mod route;

pub use budget::{Adjustment, Binds, Budget, Correction, topic_region};
pub use duration::milliseconds;
pub use embedding::{Embedding, source_names};
pub use route::{Route, Target};

use crate::{
    manifest::{FieldError, Parsed, Spec},
    snapshot::Mode,
};
use tollway_crds::PriceSpec;

/// What a spec may depend on besides itself.
#[derive(Clone, Copy, Debug)]
pub struct Context<'a> {
    /// The namespace of the resource; Services are called there.
    pub namespace: &'a str,
    /// Where it will be served.
    pub mode: Mode,
}

/// A spec that holds no mistake.
#[derive(Clone, Debug, PartialEq)]
pub enum Checked {
    /// A ModelRoute.
    Route(Box<Route>),
    /// An EmbeddingEndpoint.
    Embedding(Box<Embedding>),
    /// A CostBudget.
    Budget(Box<Budget>),
}

/// What was found in one spec.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Findings {
    /// The checked spec; absent when there is any error.
    pub checked: Option<Checked>,
    /// Mistakes.
    pub errors: Vec<FieldError>,
    /// Fields about authentication, limits or money that are not acted on yet: the spec must not be served.
    pub refused: Vec<FieldError>,
    /// Other fields that are not acted on yet: served without them.
    pub ignored: Vec<FieldError>,
}

/// Judges a resource as it was read: mistakes of form, then of meaning.
#[must_use]
pub fn parsed(parsed: &Parsed, context: Context<'_>) -> Findings {
    let mut findings = parsed.spec.as_ref().map(|s| spec(s, context)).unwrap_or_default();
    // What stands where something was wrong is not what was written, so what is said about it, or about what it is part of, means nothing.
    let near = |a: &str, b: &str| a.strip_prefix(b).is_some_and(|rest| rest.is_empty() || rest.starts_with(['.', '[']));
    let meant =
        |e: &FieldError| !parsed.errors.iter().any(|form| near(&form.field, &e.field) || near(&e.field, &form.field));
    findings.errors.retain(meant);
    findings.errors.splice(0..0, parsed.errors.iter().cloned());
    if !findings.errors.is_empty() {
        findings.checked = None;
    }
    findings
}

/// Judges a spec that is of the right form.
#[must_use]
pub fn spec(spec: &Spec, context: Context<'_>) -> Findings {
    let mut errors = Errors::default();
    let checked = match spec {
        Spec::ModelRoute(spec) => Checked::Route(Box::new(route::check(spec, context, &mut errors))),
        Spec::EmbeddingEndpoint(spec) => Checked::Embedding(Box::new(embedding::check(spec, context, &mut errors))),
        Spec::CostBudget(spec) => Checked::Budget(Box::new(budget::check(spec, &mut errors))),
    };
    let not_yet::NotYet { refused, ignored } = not_yet::fields(spec, context.mode);
    let checked = errors.0.is_empty().then_some(checked);
    Findings { checked, errors: errors.0, refused, ignored }
}

/// Collects mistakes.
#[derive(Debug, Default)]
struct Errors(Vec<FieldError>);

impl Errors {
    fn wrong(&mut self, field: impl Into<String>, message: impl Into<String>) {
        self.0.push(FieldError::new(field, message));
    }

    /// The amounts of a price.
    fn price(&mut self, price: &PriceSpec, path: &str) -> crate::spend::PricePart {
        let text = |amount: &Option<tollway_crds::Amount>| amount.as_ref().map(|a| a.0.clone());
        let PriceSpec {
            input_per_million,
            output_per_million,
            cache_read_per_million,
            cache_write_per_million,
            cache_write_1h_per_million,
            per_request,
        } = price;
        let stated = crate::spend::catalog::PriceText {
            input_per_million: text(input_per_million),
            output_per_million: text(output_per_million),
            cache_read_per_million: text(cache_read_per_million),
            cache_write_per_million: text(cache_write_per_million),
            cache_write_1h_per_million: text(cache_write_1h_per_million),
            per_request: text(per_request),
            per_image: None,
            long: None,
        };
        if stated == crate::spend::catalog::PriceText::default() {
            self.wrong(path, "has no amount: a free target says inputPerMillion: \"0\"");
        }
        stated.parse().unwrap_or_else(|(field, error)| {
            self.wrong(format!("{path}.{field}"), error.to_string());
            crate::spend::PricePart::default()
        })
    }

    /// The one field of a choice that is set.
    fn exactly_one(&mut self, path: &str, fields: &[(&str, bool)]) {
        let names: Vec<&str> = fields.iter().map(|(name, _)| *name).collect();
        let set: Vec<&str> = fields.iter().filter(|(_, set)| *set).map(|(name, _)| *name).collect();
        match set.as_slice() {
            [_] => {}
            [] => self.wrong(path, format!("needs one of {}", names.join(", "))),
            several => self.wrong(path, format!("has {}: keep exactly one", several.join(" and "))),
        }
    }
}

#[cfg(test)]
mod tests;
