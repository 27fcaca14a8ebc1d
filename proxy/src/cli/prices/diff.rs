//! The shipped catalog and an override in; what the override adds and changes, with percent, out.

use crate::cli::table::columns;
use anyhow::{Context, bail};
use serde::Serialize;
use serde_yaml::Value;
use std::fmt::Display;
use tollway_core::spend::catalog::{Catalog, Imputed, Instance, Model};
use tollway_core::spend::{Nano, Price};

/// Key of the operator's ConfigMap.
const KEY: &str = "prices.yaml";

/// One figure that differs.
#[derive(Debug, PartialEq, Eq, Serialize)]
pub struct Change {
    /// Model id, instance type or name of an example.
    id: String,
    field: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    shipped: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    ours: Option<String>,
    /// Such as `+10.0 %`; absent where it has no meaning.
    #[serde(skip_serializing_if = "Option::is_none")]
    change: Option<String>,
}

/// The shipped catalog with an override over it: the text itself, or the ConfigMap that holds it.
///
/// # Errors
/// What is wrong with it, and on which line.
pub fn overlaid(shipped: &Catalog, text: &str) -> anyhow::Result<Catalog> {
    let mut ours = shipped.clone();
    match serde_yaml::from_str::<Value>(text) {
        Ok(map) if map.get("kind").and_then(Value::as_str) == Some("ConfigMap") => {
            let inner = map.get("data").and_then(|data| data.get(KEY)).and_then(Value::as_str);
            let Some(inner) = inner else { bail!("the ConfigMap has no {KEY} under data: add it") };
            ours.overlay(inner).with_context(|| format!("in {KEY} (lines are counted from its first)"))?;
        }
        Ok(_) | Err(_) => ours.overlay(text)?,
    }
    Ok(ours)
}

/// Every figure in which two catalogs differ, of ids with the filter in them.
pub fn changes(shipped: &Catalog, ours: &Catalog, filter: &str) -> Vec<Change> {
    let mut out = Vec::new();
    let wanted = |id: &str| id.contains(filter);
    for (id, model) in ours.iter().filter(|(id, _)| wanted(id)) {
        let own = shipped.iter().find(|(known, _)| *known == id).map(|(_, model)| model.clone());
        let (region, plain) = id.split_once('/').map_or((None, id), |(region, plain)| (Some(region), plain));
        let before = own.or_else(|| shipped.lookup_in(plain, region));
        compare(id, before.as_ref().map(model_figures), model_figures(model), &mut out);
    }
    for (id, instance) in ours.instances().filter(|(id, _)| wanted(id)) {
        compare(id, shipped.instance(id).map(instance_figures), instance_figures(instance), &mut out);
    }
    for (name, imputed) in ours.imputed().filter(|(name, _)| wanted(name)) {
        let before = shipped.imputed().find(|(known, _)| *known == name);
        let before = before.map(|(_, imputed)| imputed_figures(shipped, imputed));
        compare(name, before, imputed_figures(ours, imputed), &mut out);
    }
    out
}

/// Names and values, in order; what is absent stands with no value.
type Figures = Vec<(String, Option<Figure>)>;

#[derive(Clone, Copy, PartialEq, Eq)]
enum Figure {
    Dollars(Nano),
    Count(u64),
}

impl Display for Figure {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Dollars(amount) => amount.fmt(f),
            Self::Count(count) => count.fmt(f),
        }
    }
}

impl Figure {
    const fn number(self) -> u64 {
        match self {
            Self::Dollars(Nano(number)) | Self::Count(number) => number,
        }
    }
}

fn price_figures(prefix: &str, price: &Price) -> Figures {
    let Price { input, output, cache_read, cache_write, cache_write_1h, per_request, per_image, long } = *price;
    let amounts = [
        ("inputPerMillion", input),
        ("outputPerMillion", output),
        ("cacheReadPerMillion", cache_read),
        ("cacheWritePerMillion", cache_write),
        ("cacheWrite1hPerMillion", cache_write_1h),
        ("perRequest", per_request),
        ("perImage", per_image),
    ];
    let named = |(name, amount)| (format!("{prefix}{name}"), Some(Figure::Dollars(amount)));
    let mut figures: Figures = amounts.into_iter().map(named).collect();
    if let Some(long) = long {
        figures.push((format!("{prefix}long.aboveTokens"), Some(Figure::Count(long.above))));
        let tokens = price_figures("long.", &long.of(&Price::default()));
        figures.extend(tokens.into_iter().filter(|(name, _)| name.ends_with("PerMillion")));
    }
    figures
}

fn model_figures(model: &Model) -> Figures {
    let mut figures = price_figures("", &model.price);
    let bounds = model.bounds;
    let count = |name: &str, value: Option<u64>| (name.to_owned(), value.map(Figure::Count));
    figures.extend([
        count("contextWindow", Some(bounds.context_window)),
        count("outputLimit", model.output_limit),
        count("bounds.tokensPerKilobyte", bounds.tokens_per_kilobyte.map(Into::into)),
        count("bounds.perRequest", Some(bounds.per_request.into())),
        count("bounds.perMessage", Some(bounds.per_message.into())),
        count("bounds.perTool", Some(bounds.per_tool.into())),
        count("bounds.perImage", Some(bounds.per_image.into())),
    ]);
    figures
}

fn instance_figures(instance: &Instance) -> Figures {
    let regions = instance.regions.iter();
    let regions = regions.map(|(region, amount)| (format!("regions.{region}"), Some(Figure::Dollars(*amount))));
    std::iter::once(("usdPerHour".to_owned(), Some(Figure::Dollars(instance.per_hour)))).chain(regions).collect()
}

fn imputed_figures(catalog: &Catalog, imputed: &Imputed) -> Figures {
    let price = catalog.imputed_price(imputed).unwrap_or_default();
    price_figures("", &price).into_iter().take(2).collect()
}

fn compare(id: &str, before: Option<Figures>, after: Figures, out: &mut Vec<Change>) {
    let is_new = before.is_none();
    let before = before.unwrap_or_default();
    let gone = before.iter().filter(|(name, _)| after.iter().all(|(other, _)| other != name));
    let gone: Vec<_> = gone.map(|(name, was)| (name.clone(), *was, None)).collect();
    let now = after.into_iter().map(|(name, is)| {
        let was = before.iter().find(|(other, _)| *other == name).and_then(|(_, was)| *was);
        (name, was, is)
    });
    for (field, was, is) in now.chain(gone).filter(|(_, was, is)| was != is) {
        // A model that is new has no end of zeros to show.
        if is_new && is.is_some_and(|figure| figure.number() == 0) {
            continue;
        }
        let change = match (was, is) {
            (Some(was), Some(is)) => percent(was.number(), is.number()),
            (None, Some(_)) => Some("added".to_owned()),
            (_, None) => Some("removed".to_owned()),
        };
        let text = |figure: Option<Figure>| figure.map(|figure| figure.to_string());
        out.push(Change { id: id.to_owned(), field, shipped: text(was), ours: text(is), change });
    }
}

/// The change in percent, to a tenth.
fn percent(was: u64, is: u64) -> Option<String> {
    let (was, is) = (i128::from(was), i128::from(is));
    let tenths = ((is - was) * 2_000 + was * (is - was).signum()).checked_div(was * 2)?;
    let sign = if tenths < 0 { '-' } else { '+' };
    Some(format!("{sign}{}.{} %", tenths.abs() / 10, tenths.abs() % 10))
}

/// A table for people, or JSON.
pub fn render(changes: &[Change], json: bool) -> serde_json::Result<String> {
    if json {
        return serde_json::to_string_pretty(changes).map(|text| text + "\n");
    }
    if changes.is_empty() {
        return Ok("no figure differs from the shipped catalog\n".to_owned());
    }
    let mut rows = vec![["ID", "FIELD", "SHIPPED", "OURS", "CHANGE"].map(str::to_owned).to_vec()];
    for Change { id, field, shipped, ours, change } in changes {
        let [shipped, ours, change] =
            [shipped, ours, change].map(|text| text.clone().unwrap_or_else(|| "-".to_owned()));
        rows.push(vec![id.clone(), field.clone(), shipped, ours, change]);
    }
    Ok(columns(&rows))
}

#[cfg(test)]
mod tests {
    use super::*;

    const OURS: &str = r#"
revision: ours
models:
  amazon.nova-pro-v1:0: {price: {inputPerMillion: "0.88"}}
  us.amazon.nova-micro-v1:0: {price: {outputPerMillion: "0.07"}}
  our.model: {price: {inputPerMillion: "1"}, contextWindow: 8000}
instances:
  ml.g5.xlarge: {usdPerHour: "1.408", regions: {eu-west-1: "1.57"}}
"#;

    fn shown(text: &str) -> Vec<(String, String, Option<String>)> {
        let shipped = Catalog::shipped();
        let all = changes(shipped, &overlaid(shipped, text).unwrap(), "");
        all.into_iter().map(|change| (change.id, change.field, change.change)).collect()
    }

    #[test]
    fn what_is_added_and_changed_is_shown_and_nothing_else() {
        let of = |id: &str| {
            shown(OURS).into_iter().filter(|(i, ..)| i == id).map(|(_, f, c)| (f, c.unwrap())).collect::<Vec<_>>()
        };
        let text =
            |pairs: &[(&str, &str)]| pairs.iter().map(|(f, c)| ((*f).to_owned(), (*c).to_owned())).collect::<Vec<_>>();
        assert_eq!(of("amazon.nova-pro-v1:0"), text(&[("inputPerMillion", "+10.0 %")]));
        assert_eq!(
            of("us.amazon.nova-micro-v1:0"),
            text(&[("outputPerMillion", "-50.0 %")]),
            "against what it cost before"
        );
        assert_eq!(of("ml.g5.xlarge"), text(&[("regions.eu-west-1", "added")]));
        assert!(of("our.model").contains(&("inputPerMillion".to_owned(), "added".to_owned())));
        assert!(shown("revision: same\n").is_empty());
    }

    #[test]
    fn a_configmap_is_read_for_what_it_holds() {
        let indented = OURS.trim().replace('\n', "\n    ");
        let map = format!(
            "apiVersion: v1\nkind: ConfigMap\nmetadata: {{name: prices}}\ndata:\n  prices.yaml: |\n    {indented}\n"
        );
        assert_eq!(shown(&map), shown(OURS));
        let error = overlaid(Catalog::shipped(), "kind: ConfigMap\ndata: {}\n").unwrap_err().to_string();
        assert!(error.contains("prices.yaml"), "{error}");
    }

    #[test]
    fn an_unknown_field_is_an_error_with_its_line() {
        for (wrong, line, word) in [
            ("revision: x\nmodels:\n  amazon.nova-pro-v1:0:\n    prices: {}\n", "line 4", "prices"),
            ("revision: x\nmodel: {}\n", "line 2", "model"),
            ("revision: x\nmodels:\n  m:\n    price:\n      long: {above: 1}\n", "line 5", "above"),
        ] {
            let error = format!("{:#}", overlaid(Catalog::shipped(), wrong).unwrap_err());
            assert!(error.contains(line) && error.contains(word), "{error}");
        }
    }

    #[test]
    fn percents_are_rounded_to_a_tenth() {
        assert_eq!(percent(3, 4).as_deref(), Some("+33.3 %"));
        assert_eq!(percent(3, 1).as_deref(), Some("-66.7 %"));
        assert_eq!(percent(0, 1), None);
        assert_eq!(percent(u64::MAX, 0).as_deref(), Some("-100.0 %"));
    }
}
