//! A model id as Bedrock knows it in; its price, its token bounds and its output limit out.
//!
//! # Why the shipped figures bound tokens by bytes
//! No tokenizer in use splits text below a byte, so a text has at most as many tokens as bytes: 1000 a kilobyte. Where a model is known
//! to rewrite text before it splits it, bytes bound nothing, and the entry has no factor. Where that is wrong for a model, its usage is
//! charged all the same and the model is denied until an administrator resumes.

use super::nano::{AmountError, Nano};
use super::price::{Price, PricePart};
use crate::table::Bounds;
use serde::Deserialize;
use std::collections::BTreeMap;
use std::sync::LazyLock;

#[cfg(test)]
mod tests;

/// Prices and limits of models.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Catalog {
    /// Which edition, for `status.priceCatalog`; an operator's override adds `+` and its own.
    pub revision: String,
    models: BTreeMap<String, Model>,
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
    geo_percent: u32,
}

/// Why a catalog text cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum CatalogError {
    /// Not of the catalog's form.
    #[error("the price catalog cannot be read: {0}")]
    Form(#[from] serde_yaml::Error),
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
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct FileText {
    revision: String,
    #[serde(default)]
    families: BTreeMap<String, BoundsText>,
    #[serde(default)]
    models: BTreeMap<String, ModelText>,
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
struct ModelText {
    price: PriceText,
    context_window: Option<u64>,
    output_limit: Option<u64>,
    family: Option<String>,
    bounds: BoundsText,
    geo_percent: Option<u32>,
}

#[derive(Clone, Copy, Default, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
struct BoundsText {
    tokens_per_kilobyte: Option<u32>,
    per_request: Option<u32>,
    per_message: Option<u32>,
    per_tool: Option<u32>,
    per_image: Option<u32>,
}

/// Prices as people write them: dollars as decimal text, by the names that a target's `price` has.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct PriceText {
    /// Per million input tokens.
    pub input_per_million: Option<String>,
    /// Per million output tokens.
    pub output_per_million: Option<String>,
    /// Per million tokens read from the prompt cache.
    pub cache_read_per_million: Option<String>,
    /// Per million tokens written to the prompt cache for 5 minutes.
    pub cache_write_per_million: Option<String>,
    /// Per million tokens written to the prompt cache for 1 hour.
    #[serde(rename = "cacheWrite1hPerMillion")]
    pub cache_write_1h_per_million: Option<String>,
    /// For each request.
    pub per_request: Option<String>,
}

impl PriceText {
    /// The stated components as amounts, or which of them is not one.
    pub fn parse(&self) -> Result<PricePart, (&'static str, AmountError)> {
        let read = |text: &Option<String>, field| -> Result<Option<Nano>, (&'static str, AmountError)> {
            text.as_deref().map(str::parse).transpose().map_err(|error| (field, error))
        };
        Ok(PricePart {
            input: read(&self.input_per_million, "inputPerMillion")?,
            output: read(&self.output_per_million, "outputPerMillion")?,
            cache_read: read(&self.cache_read_per_million, "cacheReadPerMillion")?,
            cache_write: read(&self.cache_write_per_million, "cacheWritePerMillion")?,
            cache_write_1h: read(&self.cache_write_1h_per_million, "cacheWrite1hPerMillion")?,
            per_request: read(&self.per_request, "perRequest")?,
        })
    }
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
        let file: FileText = serde_yaml::from_str(text)?;
        let mut models = self.models.clone();
        for (id, stated) in file.models {
            let known = models.get(&id);
            let model = stated.over(&id, known, &file.families)?;
            models.insert(id, model);
        }
        self.models = models;
        self.revision =
            if self.revision.is_empty() { file.revision } else { format!("{}+{}", self.revision, file.revision) };
        Ok(())
    }

    /// What is known of a model id, an inference profile id or the ARN of either.
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

    /// Every model id, with its entry.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &Model)> {
        self.models.iter().map(|(id, model)| (id.as_str(), model))
    }
}

/// The prefixes of cross-region inference profiles. `us-gov` is priced apart, so only what the catalog states of it is known.
const PROFILES: [&str; 7] = ["us", "eu", "apac", "jp", "au", "ca", "global"];

/// A model or profile id; from an ARN, its last part. What an application profile or a provisioned model charges cannot be told from its ARN.
fn plain_id(id: &str) -> Option<&str> {
    if !id.starts_with("arn:") {
        return Some(id);
    }
    let resource = id.splitn(6, ':').nth(5)?;
    let (kind, name) = resource.split_once('/')?;
    matches!(kind, "foundation-model" | "inference-profile").then_some(name)
}

fn dearer(price: &Price, percent: u32) -> Price {
    let raise = |n: Nano| {
        let raised = (u128::from(n.0) * (100 + u128::from(percent))).div_ceil(100);
        Nano(u64::try_from(raised).unwrap_or(u64::MAX))
    };
    Price {
        input: raise(price.input),
        output: raise(price.output),
        cache_read: raise(price.cache_read),
        cache_write: raise(price.cache_write),
        cache_write_1h: raise(price.cache_write_1h),
        per_request: raise(price.per_request),
    }
}

impl ModelText {
    fn over(
        self,
        id: &str,
        known: Option<&Model>,
        families: &BTreeMap<String, BoundsText>,
    ) -> Result<Model, CatalogError> {
        let part = self.price.parse().map_err(|(field, error)| {
            let model = id.to_owned();
            CatalogError::Amount { model, field, error }
        })?;
        let incomplete = || CatalogError::Incomplete { model: id.to_owned() };
        let (price, mut bounds) = match known {
            Some(model) => (part.over(&model.price), model.bounds),
            None => {
                part.input.ok_or_else(incomplete)?;
                let context_window = self.context_window.ok_or_else(incomplete)?;
                (part.alone(), Bounds { context_window, tokens_per_kilobyte: None, ..UNKNOWN })
            }
        };
        if let Some(family) = self.family {
            let Some(stated) = families.get(&family) else {
                return Err(CatalogError::Family { model: id.to_owned(), family });
            };
            bounds = stated.over(bounds);
        }
        bounds = self.bounds.over(bounds);
        bounds.context_window = self.context_window.unwrap_or(bounds.context_window);
        Ok(Model {
            price,
            bounds,
            output_limit: self.output_limit.or(known.and_then(|m| m.output_limit)),
            geo_percent: self.geo_percent.or(known.map(|m| m.geo_percent)).unwrap_or(0),
        })
    }
}

impl BoundsText {
    fn over(self, known: Bounds) -> Bounds {
        Bounds {
            context_window: known.context_window,
            tokens_per_kilobyte: self.tokens_per_kilobyte.or(known.tokens_per_kilobyte),
            per_request: self.per_request.unwrap_or(known.per_request),
            per_message: self.per_message.unwrap_or(known.per_message),
            per_tool: self.per_tool.unwrap_or(known.per_tool),
            per_image: self.per_image.unwrap_or(known.per_image),
        }
    }
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
