//! A model id as Bedrock knows it in; its price, its token bounds and its output limit out. Instance types in; dollars an hour out.
//!
//! # Why the shipped figures bound tokens by bytes
//! No tokenizer in use splits text below a byte, so a text has at most as many tokens as bytes: 1000 a kilobyte. Where a model is known
//! to rewrite text before it splits it, bytes bound nothing, and the entry has no factor. Where that is wrong for a model, its usage is
//! charged all the same and the model is denied until an administrator resumes.

mod form;

pub use form::{LongText, PriceText};

use super::nano::{AmountError, Nano};
use super::price::Price;
use crate::table::Bounds;
use form::FileText;
use serde::Deserialize;
use std::collections::BTreeMap;
use std::sync::LazyLock;

#[cfg(test)]
mod tests;

/// Prices and limits of models, and what instances cost.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Catalog {
    /// Which edition, for `status.priceCatalog`; an operator's override adds `+` and its own.
    pub revision: String,
    models: BTreeMap<String, Model>,
    instances: BTreeMap<String, Instance>,
    imputed: BTreeMap<String, Imputed>,
}

/// One model.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Model {
    /// What it charges.
    pub price: Price,
    /// How its input is bounded.
    pub bounds: Bounds,
    /// Most output tokens it makes; absent: not known.
    pub output_limit: Option<u64>,
    /// What geographic inference profiles (`us.`, `eu.`, ...) charge on top, in percent.
    pub geo_percent: u32,
}

/// One instance type of SageMaker's endpoints.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Instance {
    /// USD an hour, where its region has no figure of its own.
    pub per_hour: Nano,
    /// USD an hour by region.
    pub regions: BTreeMap<String, Nano>,
}

impl Instance {
    /// USD an hour in a region.
    #[must_use]
    pub fn per_hour_in(&self, region: &str) -> Nano {
        self.regions.get(region).copied().unwrap_or(self.per_hour)
    }
}

/// What a self-hosted model costs when its instance is kept busy. An example to copy, applied to nothing.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Imputed {
    /// Instance type, of the same catalog.
    pub instance: String,
    /// Input tokens it reads in a second.
    pub input_tokens_per_second: u32,
    /// Output tokens it makes in a second; absent: it makes none.
    #[serde(default)]
    pub output_tokens_per_second: Option<u32>,
}

/// Why a catalog text cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum CatalogError {
    /// Not of the catalog's form.
    #[error("the price catalog cannot be read: {0}")]
    Form(serde_yaml::Error),
    /// A price is not an amount.
    #[error("price {field} of {model}: {error}")]
    Amount {
        /// The model.
        model: String,
        /// The field.
        field: &'static str,
        /// What is wrong with it.
        error: AmountError,
    },
    /// A family that the same text does not have.
    #[error("{model} is of the family {family:?}, which is not under `families`")]
    Family {
        /// The model.
        model: String,
        /// The family.
        family: String,
    },
    /// A model that is not in the shipped catalog needs at least these.
    #[error("{model} is not in the shipped catalog: give it price.inputPerMillion and contextWindow")]
    Incomplete {
        /// The model.
        model: String,
    },
    /// An imputed price of an instance that has none.
    #[error("imputed {name:?}: {instance} is not under `instances`, or its pace is 0")]
    Imputed {
        /// Its name.
        name: String,
        /// The instance type.
        instance: String,
    },
}

static SHIPPED: LazyLock<Catalog> = LazyLock::new(|| {
    let mut catalog = Catalog::default();
    #[expect(clippy::expect_used, reason = "the text is compiled in, and a test reads it")]
    catalog.overlay(include_str!("catalog.yaml")).expect("the shipped catalog is well formed");
    catalog
});

impl Catalog {
    /// The catalog inside the program.
    #[must_use]
    pub fn shipped() -> &'static Self {
        &SHIPPED
    }

    /// Lays a text over the catalog: it may set anything, and name models that are not in it. Nothing changes when it is wrong.
    pub fn overlay(&mut self, text: &str) -> Result<(), CatalogError> {
        let FileText { revision, families, instances, imputed, models } =
            serde_yaml::from_str(text).map_err(CatalogError::Form)?;
        let mut after = self.clone();
        for (id, stated) in models {
            // An entry of its own for a profile or a region begins as what it had until now.
            let (region, plain) =
                id.split_once('/').map_or((None, id.as_str()), |(region, plain)| (Some(region), plain));
            let known = self.models.get(&id).cloned().or_else(|| self.lookup_in(plain, region));
            let model = stated.over(&id, known.as_ref(), &families)?;
            after.models.insert(id, model);
        }
        for (id, stated) in instances {
            let mut instance = stated.parse(&id)?;
            if let Some(known) = after.instances.remove(&id) {
                instance.regions = known.regions.into_iter().chain(instance.regions).collect();
            }
            after.instances.insert(id, instance);
        }
        after.imputed.extend(imputed);
        if let Some((name, imputed)) = after.imputed.iter().find(|(_, imputed)| after.imputed_price(imputed).is_none())
        {
            return Err(CatalogError::Imputed { name: name.clone(), instance: imputed.instance.clone() });
        }
        after.revision = if self.revision.is_empty() { revision } else { format!("{}+{revision}", self.revision) };
        *self = after;
        Ok(())
    }

    /// What is known of a model id, an inference profile id or the ARN of either, called in a region. Without a region, or where the
    /// region has no price of its own, the model's own price.
    #[must_use]
    pub fn lookup_in(&self, id: &str, region: Option<&str>) -> Option<Model> {
        let plain = plain_id(id)?;
        let region = region_of(id).or(region);
        if let Some(region) = region {
            if let Some(model) = self.models.get(&format!("{region}/{plain}")) {
                return Some(model.clone());
            }
            if region.starts_with("us-gov-") {
                return self.models.get(plain).filter(|_| plain.starts_with("us-gov.")).cloned();
            }
        }
        self.lookup(plain)
    }

    /// What is known of a model id, an inference profile id or the ARN of either, wherever it is called.
    #[must_use]
    pub fn lookup(&self, id: &str) -> Option<Model> {
        let id = plain_id(id)?;
        if let Some(model) = self.models.get(id) {
            return Some(model.clone());
        }
        let (profile, base) = id.split_once('.').filter(|(profile, _)| PROFILES.contains(profile))?;
        let mut model = self.models.get(base)?.clone();
        if profile != "global" {
            model.price = dearer(&model.price, model.geo_percent);
        }
        Some(model)
    }

    /// What an instance type costs.
    #[must_use]
    pub fn instance(&self, kind: &str) -> Option<&Instance> {
        self.instances.get(kind)
    }

    /// The price a million tokens of a self-hosted model come to: its instance's hour over the tokens of an hour, rounded up.
    #[must_use]
    pub fn imputed_price(&self, imputed: &Imputed) -> Option<Price> {
        let per_hour = u128::from(self.instances.get(&imputed.instance)?.per_hour.0);
        let of = |pace: u32| {
            let tokens = u128::from(pace) * 3_600;
            (tokens > 0).then(|| Nano(u64::try_from((per_hour * 1_000_000).div_ceil(tokens)).unwrap_or(u64::MAX)))
        };
        let input = of(imputed.input_tokens_per_second)?;
        let output = imputed.output_tokens_per_second.map_or(Some(Nano::ZERO), of)?;
        Some(Price { input, output, cache_read: input, cache_write: input, cache_write_1h: input, ..Price::default() })
    }

    /// Every model id, with its entry.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &Model)> {
        self.models.iter().map(|(id, model)| (id.as_str(), model))
    }

    /// Every instance type, with its entry.
    pub fn instances(&self) -> impl Iterator<Item = (&str, &Instance)> {
        self.instances.iter().map(|(id, instance)| (id.as_str(), instance))
    }

    /// Every example of a self-hosted model.
    pub fn imputed(&self) -> impl Iterator<Item = (&str, &Imputed)> {
        self.imputed.iter().map(|(id, imputed)| (id.as_str(), imputed))
    }
}

/// The prefixes of cross-region inference profiles. `us-gov` is priced apart, so only what the catalog states of it is known.
const PROFILES: [&str; 8] = ["us", "eu", "apac", "jp", "au", "ca", "in", "global"];

/// A model or profile id; from an ARN, its last part. What an application profile or a provisioned model charges cannot be told from its ARN.
fn plain_id(id: &str) -> Option<&str> {
    if !id.starts_with("arn:") {
        // A slash would name a region's entry.
        return (!id.contains('/')).then_some(id);
    }
    let resource = id.splitn(6, ':').nth(5)?;
    let (kind, name) = resource.split_once('/')?;
    matches!(kind, "foundation-model" | "inference-profile").then_some(name)
}

fn region_of(id: &str) -> Option<&str> {
    id.strip_prefix("arn:")?.split(':').nth(2).filter(|region| !region.is_empty())
}

fn dearer(price: &Price, percent: u32) -> Price {
    price.map(|n| {
        let raised = (u128::from(n.0) * (100 + u128::from(percent))).div_ceil(100);
        Nano(u64::try_from(raised).unwrap_or(u64::MAX))
    })
}

/// Bounds of a model that the catalog does not know: a context window that is large today, no more tokens than bytes, and generous
/// constants.
pub const UNKNOWN: Bounds = Bounds {
    context_window: 1_000_000,
    tokens_per_kilobyte: Some(1000),
    per_request: 64,
    per_message: 16,
    per_tool: 600,
    per_image: 8_000,
};
