//! A catalog and a filter in; its models, instances and examples of self-hosted models as tables or JSON out.

use crate::cli::table::columns;
use serde::Serialize;
use std::collections::BTreeMap;
use tollway_core::spend::catalog::Catalog;
use tollway_core::spend::{Long, Nano, Price};

/// What of a catalog matches a filter.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct List<'a> {
    revision: &'a str,
    models: BTreeMap<&'a str, Model>,
    instances: BTreeMap<&'a str, Instance<'a>>,
    imputed: BTreeMap<&'a str, Imputed<'a>>,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Model {
    #[serde(flatten)]
    price: Tokens,
    #[serde(skip_serializing_if = "Nano::is_zero", serialize_with = "dollars")]
    per_request: Nano,
    #[serde(skip_serializing_if = "Nano::is_zero", serialize_with = "dollars")]
    per_image: Nano,
    #[serde(skip_serializing_if = "Option::is_none")]
    long: Option<LongInput>,
    #[serde(skip_serializing_if = "is_zero")]
    geo_percent: u32,
    context_window: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    output_limit: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    tokens_per_kilobyte: Option<u32>,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct LongInput {
    above_tokens: u64,
    #[serde(flatten)]
    price: Tokens,
}

#[derive(Clone, Copy, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Tokens {
    #[serde(serialize_with = "dollars")]
    input_per_million: Nano,
    #[serde(serialize_with = "dollars")]
    output_per_million: Nano,
    #[serde(serialize_with = "dollars")]
    cache_read_per_million: Nano,
    #[serde(serialize_with = "dollars")]
    cache_write_per_million: Nano,
    #[serde(rename = "cacheWrite1hPerMillion", serialize_with = "dollars")]
    cache_write_1h_per_million: Nano,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Instance<'a> {
    #[serde(serialize_with = "dollars")]
    usd_per_hour: Nano,
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    regions: BTreeMap<&'a str, String>,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Imputed<'a> {
    instance: &'a str,
    #[serde(serialize_with = "dollars")]
    input_per_million: Nano,
    #[serde(serialize_with = "dollars")]
    output_per_million: Nano,
}

fn is_zero(number: &u32) -> bool {
    *number == 0
}

fn dollars<S: serde::Serializer>(amount: &Nano, to: S) -> Result<S::Ok, S::Error> {
    to.collect_str(amount)
}

impl From<&Price> for Tokens {
    fn from(price: &Price) -> Self {
        let Price { input, output, cache_read, cache_write, cache_write_1h, .. } = *price;
        Self {
            input_per_million: input,
            output_per_million: output,
            cache_read_per_million: cache_read,
            cache_write_per_million: cache_write,
            cache_write_1h_per_million: cache_write_1h,
        }
    }
}

impl Tokens {
    const fn amounts(&self) -> [Nano; 5] {
        let Self {
            input_per_million,
            output_per_million,
            cache_read_per_million,
            cache_write_per_million,
            cache_write_1h_per_million,
        } = *self;
        [
            input_per_million,
            output_per_million,
            cache_read_per_million,
            cache_write_per_million,
            cache_write_1h_per_million,
        ]
    }
}

impl<'a> List<'a> {
    /// What has the filter in its id; of instances and self-hosted models as well.
    pub fn of(catalog: &'a Catalog, filter: &str) -> Self {
        let models = catalog.iter().filter(|(id, _)| id.contains(filter)).map(|(id, model)| {
            let long = |long: Long| LongInput { above_tokens: long.above, price: (&long.of(&model.price)).into() };
            let entry = Model {
                price: (&model.price).into(),
                per_request: model.price.per_request,
                per_image: model.price.per_image,
                long: model.price.long.map(long),
                geo_percent: model.geo_percent,
                context_window: model.bounds.context_window,
                output_limit: model.output_limit,
                tokens_per_kilobyte: model.bounds.tokens_per_kilobyte,
            };
            (id, entry)
        });
        let instances = catalog.instances().filter(|(id, _)| id.contains(filter)).map(|(id, instance)| {
            let regions = instance.regions.iter().map(|(region, dollars)| (region.as_str(), dollars.to_string()));
            (id, Instance { usd_per_hour: instance.per_hour, regions: regions.collect() })
        });
        let imputed = catalog.imputed().filter(|(name, _)| name.contains(filter)).filter_map(|(name, imputed)| {
            let Price { input, output, .. } = catalog.imputed_price(imputed)?;
            let instance = imputed.instance.as_str();
            Some((name, Imputed { instance, input_per_million: input, output_per_million: output }))
        });
        Self {
            revision: &catalog.revision,
            models: models.collect(),
            instances: instances.collect(),
            imputed: imputed.collect(),
        }
    }

    pub fn is_empty(&self) -> bool {
        self.models.is_empty() && self.instances.is_empty() && self.imputed.is_empty()
    }

    /// Tables for people, or JSON.
    pub fn render(&self, json: bool) -> serde_json::Result<String> {
        if json {
            return serde_json::to_string_pretty(self).map(|text| text + "\n");
        }
        let mut parts = Vec::new();
        if !self.models.is_empty() {
            parts.push(columns(&self.model_rows()));
        }
        if !self.instances.is_empty() {
            let heads = [vec!["INSTANCE".to_owned(), "USD AN HOUR".to_owned(), "OTHER REGIONS".to_owned()]];
            let rows = self.instances.iter().map(|(id, instance)| {
                let regions: Vec<_> = instance.regions.iter().map(|(region, usd)| format!("{region}: {usd}")).collect();
                vec![(*id).to_owned(), instance.usd_per_hour.to_string(), regions.join(", ")]
            });
            parts.push(columns(&heads.into_iter().chain(rows).collect::<Vec<_>>()));
        }
        if !self.imputed.is_empty() {
            let heads = ["SELF-HOSTED (EXAMPLE)", "INSTANCE", "INPUT", "OUTPUT"].map(str::to_owned).to_vec();
            let rows = self.imputed.iter().map(|(name, of)| {
                vec![
                    (*name).to_owned(),
                    of.instance.to_owned(),
                    amount(of.input_per_million),
                    amount(of.output_per_million),
                ]
            });
            parts.push(columns(&std::iter::once(heads).chain(rows).collect::<Vec<_>>()));
        }
        Ok(parts.join("\n"))
    }

    fn model_rows(&self) -> Vec<Vec<String>> {
        let heads = ["MODEL", "INPUT", "OUTPUT", "CACHE READ", "CACHE WRITE", "CACHE WRITE 1H", "PROFILES", "AN IMAGE"];
        let mut rows = vec![heads.map(str::to_owned).to_vec()];
        for (id, model) in &self.models {
            let amounts = model.price.amounts().map(amount);
            let profiles = if model.geo_percent == 0 { "-".to_owned() } else { format!("+{} %", model.geo_percent) };
            let last = [profiles, amount(model.per_image)];
            rows.push(std::iter::once((*id).to_owned()).chain(amounts).chain(last).collect());
            if let Some(long) = &model.long {
                let name = format!("  above {} tokens", long.above_tokens);
                rows.push(std::iter::once(name).chain(long.price.amounts().map(amount)).collect());
            }
        }
        rows
    }
}

fn amount(nano: Nano) -> String {
    if nano.is_zero() { "-".to_owned() } else { nano.to_string() }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::Value;

    #[test]
    fn everything_is_listed_and_filtered() {
        let shipped = Catalog::shipped();
        let text = List::of(shipped, "").render(false).unwrap();
        for (id, _) in shipped.iter() {
            assert!(text.lines().any(|line| line.split_whitespace().next() == Some(id)), "{id}");
        }
        assert!(text.contains("INSTANCE") && text.contains("ml.g5.xlarge") && text.contains("SELF-HOSTED"));
        let one = List::of(shipped, "claude-sonnet-4-5").render(false).unwrap();
        assert!(one.contains("above 200000 tokens") && one.contains("22.5") && one.contains("+10 %"), "{one}");
        assert!(!one.contains("nova") && !one.contains("INSTANCE"), "{one}");
        assert!(List::of(shipped, "no such model").is_empty());
    }

    #[test]
    fn json_has_the_names_of_a_targets_price() {
        let text = List::of(Catalog::shipped(), "claude-sonnet-4-5").render(true).unwrap();
        let json: Value = serde_json::from_str(&text).unwrap();
        let model = &json["models"]["anthropic.claude-sonnet-4-5-20250929-v1:0"];
        assert_eq!(model["inputPerMillion"], "3.00");
        assert_eq!(model["cacheWrite1hPerMillion"], "6.00");
        assert_eq!(model["long"]["aboveTokens"], 200_000);
        assert_eq!(model["long"]["outputPerMillion"], "22.50");
        assert_eq!(json["revision"], Catalog::shipped().revision);
    }
}
