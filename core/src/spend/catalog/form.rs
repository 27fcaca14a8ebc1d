//! Catalog text as people write it in; checked entries, laid over what was known before, out.

use super::{CatalogError, Imputed, Instance, Model, UNKNOWN};
use crate::spend::nano::{AmountError, Nano};
use crate::spend::price::{LongPart, PricePart};
use crate::table::Bounds;
use serde::Deserialize;
use std::collections::BTreeMap;

#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(super) struct FileText {
    pub(super) revision: String,
    #[serde(default)]
    pub(super) families: BTreeMap<String, BoundsText>,
    #[serde(default)]
    pub(super) instances: BTreeMap<String, InstanceText>,
    #[serde(default)]
    pub(super) imputed: BTreeMap<String, Imputed>,
    #[serde(default)]
    pub(super) models: BTreeMap<String, ModelText>,
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub(super) struct ModelText {
    price: PriceText,
    context_window: Option<u64>,
    output_limit: Option<u64>,
    family: Option<String>,
    bounds: BoundsText,
    geo_percent: Option<u32>,
}

#[derive(Clone, Copy, Default, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub(super) struct BoundsText {
    tokens_per_kilobyte: Option<u32>,
    per_request: Option<u32>,
    per_message: Option<u32>,
    per_tool: Option<u32>,
    per_image: Option<u32>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(super) struct InstanceText {
    usd_per_hour: String,
    #[serde(default)]
    regions: BTreeMap<String, String>,
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
    /// For each image, besides its tokens.
    pub per_image: Option<String>,
    /// What long inputs cost.
    pub long: Option<LongText>,
}

/// Prices of long inputs as people write them.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct LongText {
    /// Longer than this many tokens, cached ones counted in.
    pub above_tokens: u64,
    /// Per million input tokens.
    #[serde(default)]
    pub input_per_million: Option<String>,
    /// Per million output tokens.
    #[serde(default)]
    pub output_per_million: Option<String>,
    /// Per million tokens read from the prompt cache.
    #[serde(default)]
    pub cache_read_per_million: Option<String>,
    /// Per million tokens written to the prompt cache for 5 minutes.
    #[serde(default)]
    pub cache_write_per_million: Option<String>,
    /// Per million tokens written to the prompt cache for 1 hour.
    #[serde(default, rename = "cacheWrite1hPerMillion")]
    pub cache_write_1h_per_million: Option<String>,
}

type Wrong = (&'static str, AmountError);

fn read(text: &Option<String>, field: &'static str) -> Result<Option<Nano>, Wrong> {
    text.as_deref().map(str::parse).transpose().map_err(|error| (field, error))
}

impl PriceText {
    /// The stated components as amounts, or which of them is not one.
    pub fn parse(&self) -> Result<PricePart, Wrong> {
        Ok(PricePart {
            input: read(&self.input_per_million, "inputPerMillion")?,
            output: read(&self.output_per_million, "outputPerMillion")?,
            cache_read: read(&self.cache_read_per_million, "cacheReadPerMillion")?,
            cache_write: read(&self.cache_write_per_million, "cacheWritePerMillion")?,
            cache_write_1h: read(&self.cache_write_1h_per_million, "cacheWrite1hPerMillion")?,
            per_request: read(&self.per_request, "perRequest")?,
            per_image: read(&self.per_image, "perImage")?,
            long: self.long.as_ref().map(LongText::parse).transpose()?,
        })
    }
}

impl LongText {
    fn parse(&self) -> Result<LongPart, Wrong> {
        Ok(LongPart {
            above: self.above_tokens,
            input: read(&self.input_per_million, "long.inputPerMillion")?,
            output: read(&self.output_per_million, "long.outputPerMillion")?,
            cache_read: read(&self.cache_read_per_million, "long.cacheReadPerMillion")?,
            cache_write: read(&self.cache_write_per_million, "long.cacheWritePerMillion")?,
            cache_write_1h: read(&self.cache_write_1h_per_million, "long.cacheWrite1hPerMillion")?,
        })
    }
}

impl ModelText {
    pub(super) fn over(
        self,
        id: &str,
        known: Option<&Model>,
        families: &BTreeMap<String, BoundsText>,
    ) -> Result<Model, CatalogError> {
        let part = self.price.parse().map_err(|(field, error)| amount(id, field, error))?;
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

impl InstanceText {
    pub(super) fn parse(self, id: &str) -> Result<Instance, CatalogError> {
        let per_hour = self.usd_per_hour.parse().map_err(|error| amount(id, "usdPerHour", error))?;
        let regions = self.regions.into_iter();
        let regions = regions.map(|(region, text)| match text.parse() {
            Ok(per_hour) => Ok((region, per_hour)),
            Err(error) => Err(amount(&format!("{id} in {region}"), "usdPerHour", error)),
        });
        Ok(Instance { per_hour, regions: regions.collect::<Result<_, _>>()? })
    }
}

fn amount(id: &str, field: &'static str, error: AmountError) -> CatalogError {
    CatalogError::Amount { model: id.to_owned(), field, error }
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
