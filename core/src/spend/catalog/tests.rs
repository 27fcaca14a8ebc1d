//! Model ids, profiles and ARNs in; the prices and limits they must have out.

use super::*;

fn price_of(id: &str) -> Price {
    Catalog::shipped().lookup(id).unwrap_or_else(|| panic!("{id} is not in the catalog")).price
}

fn per_million(dollars: &str) -> Nano {
    dollars.parse().unwrap()
}

#[test]
fn the_shipped_catalog_has_an_edition_and_every_entry_makes_sense() {
    let catalog = Catalog::shipped();
    let date: jiff::civil::Date = catalog.revision.parse().unwrap();
    assert!(date.year() >= 2026, "{date}");
    for (id, model) in catalog.iter() {
        let Price { input, output, cache_read, cache_write, cache_write_1h, per_request, per_image, long } =
            model.price;
        assert!(input > Nano::ZERO && (output >= input || id.contains("embed")), "{id}: {:?}", model.price);
        assert!(
            cache_read <= input && cache_write >= input && cache_write_1h >= cache_write,
            "{id}: {:?}",
            model.price
        );
        assert!(per_image.is_zero() || id.contains("embed"), "{id}");
        assert!(per_request.is_zero(), "{id}");
        assert!((128..=10_000_000).contains(&model.bounds.context_window), "{id}: {:?}", model.bounds);
        assert!(model.output_limit.is_none_or(|limit| limit <= model.bounds.context_window), "{id}");
        if let Some(long) = long {
            assert!(long.above < model.bounds.context_window, "{id}: nothing can be that long");
            assert!(long.input > input && long.output > output && long.cache_read > cache_read, "{id}: {long:?}");
            assert!(long.cache_write > cache_write && long.cache_write_1h >= long.cache_write, "{id}: {long:?}");
        }
    }
    for (id, model) in catalog.iter() {
        // A price of its own for a profile or a region does not do away with that of long inputs.
        let plain = id.rsplit('/').next().unwrap();
        let base =
            catalog.lookup(plain.split_once('.').map_or(plain, |(_, base)| base)).or_else(|| catalog.lookup(plain));
        let is_long = |model: &Model| model.price.long.is_some();
        assert!(is_long(model) || !base.as_ref().is_some_and(is_long), "{id}");
    }
    assert!(catalog.iter().count() > 300 && catalog.instances().count() >= 50);
}

/// Dollars a million tokens: input, output, cache read, cache write for 5 minutes and for 1 hour.
type Published = (&'static str, [&'static str; 5]);

/// From the pricing page of Amazon Bedrock (on demand, Standard tier) and, for Claude's cache tiers, from Anthropic's own: a cache read is a tenth of
/// plain input (a twentieth or a fortieth for the newest), a write for 5 minutes is 1.25 times it, a write for an hour twice. Where no
/// cache price is published, `=` is what plain input costs. Profiles whose figure is on no page are not here.
const PUBLISHED: [Published; 62] = [
    ("amazon.nova-micro-v1:0", ["0.035", "0.14", "0.00875", "=", "="]),
    ("amazon.nova-lite-v1:0", ["0.06", "0.24", "0.015", "=", "="]),
    ("amazon.nova-pro-v1:0", ["0.8", "3.2", "0.2", "=", "="]),
    ("amazon.nova-premier-v1:0", ["2.5", "12.5", "0.625", "=", "="]),
    ("amazon.nova-2-lite-v1:0", ["0.3", "2.5", "0.075", "=", "="]),
    ("us.amazon.nova-micro-v1:0", ["0.035", "0.14", "0.00875", "=", "="]),
    ("us.amazon.nova-premier-v1:0", ["2.5", "12.5", "0.625", "=", "="]),
    ("us.amazon.nova-2-lite-v1:0", ["0.33", "2.75", "0.0825", "=", "="]),
    ("global.amazon.nova-2-lite-v1:0", ["0.3", "2.5", "0.075", "=", "="]),
    ("eu.amazon.nova-lite-v1:0", ["0.078", "0.312", "0.0195", "=", "="]),
    ("eu.amazon.nova-pro-v1:0", ["1.05", "4.2", "0.2625", "=", "="]),
    ("apac.amazon.nova-pro-v1:0", ["0.84", "3.36", "0.21", "=", "="]),
    ("amazon.titan-text-express-v1", ["0.2", "0.6", "=", "=", "="]),
    ("amazon.titan-text-lite-v1", ["0.15", "0.2", "=", "=", "="]),
    ("amazon.titan-text-premier-v1:0", ["0.5", "1.5", "=", "=", "="]),
    ("amazon.titan-embed-text-v1", ["0.1", "0", "=", "=", "="]),
    ("amazon.titan-embed-text-v2:0", ["0.02", "0", "=", "=", "="]),
    ("cohere.embed-english-v3", ["0.1", "0", "=", "=", "="]),
    ("cohere.embed-v4:0", ["0.12", "0", "=", "=", "="]),
    ("cohere.command-r-v1:0", ["0.5", "1.5", "=", "=", "="]),
    ("cohere.command-r-plus-v1:0", ["3", "15", "=", "=", "="]),
    ("anthropic.claude-3-haiku-20240307-v1:0", ["0.25", "1.25", "=", "=", "="]),
    ("anthropic.claude-3-5-haiku-20241022-v1:0", ["0.8", "4", "0.08", "1", "1.6"]),
    ("anthropic.claude-3-5-sonnet-20240620-v1:0", ["3", "15", "0.3", "3.75", "6"]),
    ("anthropic.claude-3-5-sonnet-20241022-v2:0", ["3", "15", "0.3", "3.75", "6"]),
    ("anthropic.claude-3-7-sonnet-20250219-v1:0", ["3", "15", "0.3", "3.75", "6"]),
    ("us.anthropic.claude-3-7-sonnet-20250219-v1:0", ["3", "15", "0.3", "3.75", "6"]),
    ("anthropic.claude-opus-4-20250514-v1:0", ["15", "75", "1.5", "18.75", "30"]),
    ("anthropic.claude-opus-4-1-20250805-v1:0", ["15", "75", "1.5", "18.75", "30"]),
    ("anthropic.claude-opus-4-5-20251101-v1:0", ["5", "25", "0.5", "6.25", "10"]),
    ("us.anthropic.claude-opus-4-5-20251101-v1:0", ["5.5", "27.5", "0.55", "6.875", "11"]),
    ("global.anthropic.claude-opus-4-5-20251101-v1:0", ["5", "25", "0.5", "6.25", "10"]),
    ("anthropic.claude-opus-4-6-v1", ["5", "25", "0.5", "6.25", "10"]),
    ("anthropic.claude-sonnet-4-20250514-v1:0", ["3", "15", "0.3", "3.75", "6"]),
    ("anthropic.claude-sonnet-4-5-20250929-v1:0", ["3", "15", "0.3", "3.75", "6"]),
    ("us.anthropic.claude-sonnet-4-5-20250929-v1:0", ["3.3", "16.5", "0.33", "4.125", "6.6"]),
    ("eu.anthropic.claude-sonnet-4-5-20250929-v1:0", ["3.3", "16.5", "0.33", "4.125", "6.6"]),
    ("jp.anthropic.claude-sonnet-4-5-20250929-v1:0", ["3.3", "16.5", "0.33", "4.125", "6.6"]),
    ("global.anthropic.claude-sonnet-4-5-20250929-v1:0", ["3", "15", "0.3", "3.75", "6"]),
    ("anthropic.claude-sonnet-4-6", ["3", "15", "0.3", "3.75", "6"]),
    ("anthropic.claude-haiku-4-5-20251001-v1:0", ["1", "5", "0.1", "1.25", "2"]),
    ("eu.anthropic.claude-haiku-4-5-20251001-v1:0", ["1.1", "5.5", "0.11", "1.375", "2.2"]),
    ("anthropic.claude-sonnet-5", ["2", "10", "0.2", "2.5", "4"]),
    ("meta.llama3-8b-instruct-v1:0", ["0.3", "0.6", "=", "=", "="]),
    ("meta.llama3-70b-instruct-v1:0", ["2.65", "3.5", "=", "=", "="]),
    ("meta.llama3-1-8b-instruct-v1:0", ["0.22", "0.22", "=", "=", "="]),
    ("meta.llama3-1-405b-instruct-v1:0", ["2.4", "2.4", "=", "=", "="]),
    ("us.meta.llama3-2-1b-instruct-v1:0", ["0.1", "0.1", "=", "=", "="]),
    ("eu.meta.llama3-2-3b-instruct-v1:0", ["0.19", "0.19", "=", "=", "="]),
    ("us.meta.llama3-3-70b-instruct-v1:0", ["0.72", "0.72", "=", "=", "="]),
    ("us.meta.llama4-maverick-17b-instruct-v1:0", ["0.24", "0.97", "=", "=", "="]),
    ("us.meta.llama4-scout-17b-instruct-v1:0", ["0.17", "0.66", "=", "=", "="]),
    ("mistral.mistral-7b-instruct-v0:2", ["0.15", "0.2", "=", "=", "="]),
    ("mistral.mixtral-8x7b-instruct-v0:1", ["0.45", "0.7", "=", "=", "="]),
    ("mistral.mistral-large-2402-v1:0", ["4", "12", "=", "=", "="]),
    ("mistral.mistral-large-2407-v1:0", ["2", "6", "=", "=", "="]),
    ("us.mistral.pixtral-large-2502-v1:0", ["2", "6", "=", "=", "="]),
    ("deepseek.r1-v1:0", ["1.35", "5.4", "=", "=", "="]),
    ("deepseek.v3-v1:0", ["0.58", "1.68", "=", "=", "="]),
    ("openai.gpt-oss-120b-1:0", ["0.15", "0.6", "=", "=", "="]),
    ("qwen.qwen3-32b-v1:0", ["0.15", "0.6", "=", "=", "="]),
    ("ai21.jamba-1-5-large-v1:0", ["2", "8", "=", "=", "="]),
];

#[test]
fn figures_are_those_that_are_published() {
    for (id, figures) in PUBLISHED {
        let Price { input, output, cache_read, cache_write, cache_write_1h, .. } = price_of(id);
        let expected = figures.map(|text| if text == "=" { input } else { per_million(text) });
        assert_eq!([input, output, cache_read, cache_write, cache_write_1h], expected, "{id}");
    }
}

#[test]
fn long_inputs_cost_what_is_published_for_them() {
    // Anthropic's page on long context: twice the input and one and a half times the output above 200,000 tokens.
    for (id, figures) in [
        ("anthropic.claude-sonnet-4-20250514-v1:0", ["6", "22.5", "0.6", "7.5", "12"]),
        ("global.anthropic.claude-sonnet-4-5-20250929-v1:0", ["6", "22.5", "0.6", "7.5", "12"]),
        ("us.anthropic.claude-sonnet-4-5-20250929-v1:0", ["6.6", "24.75", "0.66", "8.25", "13.2"]),
    ] {
        let long = price_of(id).long.unwrap();
        assert_eq!(long.above, 200_000);
        let prices = [long.input, long.output, long.cache_read, long.cache_write, long.cache_write_1h];
        assert_eq!(prices, figures.map(per_million), "{id}");
    }
    assert_eq!(price_of("anthropic.claude-opus-4-6-v1").long, None, "its whole window has one price");
}

#[test]
fn worked_examples_come_out_to_the_nano_dollar() {
    use crate::spend::Usage;
    let cost = |id: &str, usage: Usage| price_of(id).cost(&usage).to_string();
    let used = |input, output| Usage { input, output, ..Usage::default() };
    assert_eq!(cost("amazon.nova-micro-v1:0", used(1_000, 500)), "0.000105");
    assert_eq!(cost("amazon.nova-pro-v1:0", used(2_000, 1_000)), "0.0048");
    let cached = Usage { cache_read: 100_000, cache_write: 2_000, cache_write_1h: 1_000, ..used(100, 200) };
    // 100 x 3 + 200 x 15 + 100,000 x 0.30 + 2,000 x 3.75 + 1,000 x 6, in millionths of a dollar.
    assert_eq!(cost("anthropic.claude-sonnet-4-6", cached), "0.0468");
    // 150,000 read from the cache and 60,000 plain are a long input: 60,000 x 6 + 150,000 x 0.60 + 1,000 x 22.50.
    let long = Usage { cache_read: 150_000, ..used(60_000, 1_000) };
    assert_eq!(cost("anthropic.claude-sonnet-4-5-20250929-v1:0", long), "0.4725");
    assert_eq!(cost("amazon.titan-embed-text-v2:0", used(1, 0)), "0.00000002");
}

#[test]
fn a_region_may_have_a_price_of_its_own() {
    let input = |id: &str, region| Catalog::shipped().lookup_in(id, Some(region)).map(|model| model.price.input);
    let llama = "meta.llama3-70b-instruct-v1:0";
    assert_eq!(input(llama, "us-east-1"), Some(per_million("2.65")));
    assert_eq!(input(llama, "sa-east-1"), Some(per_million("4.45")));
    assert_eq!(
        input("arn:aws:bedrock:sa-east-1::foundation-model/meta.llama3-70b-instruct-v1:0", "us-east-1"),
        Some(per_million("4.45"))
    );
    assert_eq!(input("amazon.nova-lite-v1:0", "us-gov-west-1"), Some(per_million("0.072")));
    assert_eq!(input("mistral.mistral-7b-instruct-v0:2", "us-gov-west-1"), None, "priced apart, and not stated");
    assert_eq!(input("us-gov.anthropic.claude-opus-5", "us-gov-west-1"), Some(per_million("6")));
    assert_eq!(input("sa-east-1/meta.llama3-70b-instruct-v1:0", "us-east-1"), None, "no model id of Bedrock's");
}

#[test]
fn instances_and_imputed_prices_are_whole() {
    let catalog = Catalog::shipped();
    let per_hour = |kind: &str| catalog.instance(kind).unwrap().per_hour_in("us-east-1");
    for (kind, dollars) in
        [("ml.m5.xlarge", "0.23"), ("ml.g4dn.xlarge", "0.7364"), ("ml.g5.2xlarge", "1.515"), ("ml.inf2.xlarge", "0.99")]
    {
        assert_eq!(per_hour(kind), per_million(dollars), "{kind}");
    }
    assert_eq!(catalog.instance("ml.unknown"), None);
    let (_, llama) = catalog.imputed().find(|(name, _)| name.starts_with("llama-3.1-8b")).unwrap();
    let price = catalog.imputed_price(llama).unwrap();
    // 1.515 USD an hour over 600 x 3,600 tokens.
    assert_eq!(price.output, per_million("0.701388889"));
    assert_eq!(catalog.lookup("llama-3.1-8b on one A10G"), None, "applied to nothing");
}

#[test]
fn inference_profiles_cost_what_they_cost() {
    assert_eq!(price_of("us.amazon.nova-pro-v1:0"), price_of("amazon.nova-pro-v1:0"));
    assert_eq!(price_of("eu.amazon.nova-pro-v1:0").input, per_million("1.05"));
    let (base, geo) = ("anthropic.claude-sonnet-4-5-20250929-v1:0", "us.anthropic.claude-sonnet-4-5-20250929-v1:0");
    assert_eq!(price_of(geo).input, per_million("3.3"));
    assert_eq!(price_of(&format!("global.{base}")), price_of(base));
    assert_eq!(price_of("us.anthropic.claude-3-7-sonnet-20250219-v1:0").input, per_million("3"));
    assert_eq!(price_of(&format!("us-gov.{base}")).input, per_million("3.6"));
    assert_eq!(Catalog::shipped().lookup("us-gov.amazon.nova-lite-v1:0"), None, "priced apart, and not stated");
    assert_eq!(Catalog::shipped().lookup("mars.amazon.nova-pro-v1:0"), None);
}

#[test]
fn arns_resolve_when_they_name_a_model() {
    let pro = Catalog::shipped().lookup("amazon.nova-pro-v1:0");
    let of = |arn: &str| Catalog::shipped().lookup(arn);
    assert_eq!(of("arn:aws:bedrock:us-east-1::foundation-model/amazon.nova-pro-v1:0"), pro);
    assert_eq!(of("arn:aws:bedrock:us-east-1:123456789012:inference-profile/us.amazon.nova-pro-v1:0"), pro);
    assert_eq!(of("arn:aws:bedrock:us-east-1:123456789012:application-inference-profile/abc123"), None);
    assert_eq!(of("arn:aws:bedrock:us-east-1:123456789012:provisioned-model/abc123"), None);
    assert_eq!(of("arn:aws:bedrock"), None);
}

#[test]
fn an_override_may_state_a_profile_a_region_and_an_instance() {
    let mut catalog = Catalog::shipped().clone();
    catalog
        .overlay(
            "revision: ours\nmodels:\n  us.anthropic.claude-sonnet-4-6: {price: {inputPerMillion: \"2.9\"}}\n  \
             eu-west-1/amazon.nova-pro-v1:0: {price: {outputPerMillion: \"4\"}}\ninstances:\n  \
             ml.g5.xlarge: {usdPerHour: \"1.3\", regions: {eu-west-1: \"1.57\"}}\n",
        )
        .unwrap();
    let ours = catalog.lookup("us.anthropic.claude-sonnet-4-6").unwrap();
    assert_eq!((ours.price.input, ours.price.output), (per_million("2.9"), per_million("16.5")), "the rest as it was");
    assert_eq!(catalog.lookup("eu.anthropic.claude-sonnet-4-6").unwrap().price.input, per_million("3.3"));
    let nova = |region| catalog.lookup_in("amazon.nova-pro-v1:0", Some(region)).unwrap().price.output;
    assert_eq!((nova("eu-west-1"), nova("eu-west-2")), (per_million("4"), per_million("3.2")));
    let g5 = catalog.instance("ml.g5.xlarge").unwrap();
    assert_eq!((g5.per_hour_in("us-east-1"), g5.per_hour_in("eu-west-1")), (per_million("1.3"), per_million("1.57")));
}

#[test]
fn an_override_sets_anything_and_a_wrong_one_nothing() {
    let mut catalog = Catalog::shipped().clone();
    catalog
        .overlay(
            "revision: ours\nmodels:\n  amazon.nova-pro-v1:0: {price: {inputPerMillion: \"0.40\"}}\n  \
             our.model: {price: {inputPerMillion: \"1\", outputPerMillion: \"2\"}, contextWindow: 8000}\n",
        )
        .unwrap();
    let pro = catalog.lookup("us.amazon.nova-pro-v1:0").unwrap();
    assert_eq!((pro.price.input, pro.price.output), (per_million("0.4"), per_million("3.2")));
    let ours = catalog.lookup("our.model").unwrap();
    assert_eq!((ours.price.cache_write, ours.bounds.context_window), (per_million("1"), 8000));
    assert_eq!(ours.bounds.tokens_per_kilobyte, None, "an unknown factor is the context window");
    assert!(catalog.revision.ends_with("+ours"));

    let before = catalog.clone();
    for wrong in [
        "revision: x\nmodels: {new.model: {price: {inputPerMillion: \"1\"}}}",
        "revision: x\nmodels: {amazon.nova-pro-v1:0: {price: {inputPerMillion: \"a\"}}}",
        "revision: x\nmodels: {amazon.nova-pro-v1:0: {family: none}}",
        "revision: x\nmodels: {amazon.nova-pro-v1:0: {prices: {}}}",
        "revision: x\nmodels: {amazon.nova-pro-v1:0: {price: {long: {inputPerMillion: \"9\"}}}}",
        "revision: x\ninstances: {ml.g5.xlarge: {usdPerHour: \"1\", region: {}}}",
        "revision: x\ninstances: {ml.g5.xlarge: {usdPerHour: cheap}}",
        "revision: x\nimputed: {m: {instance: ml.none, inputTokensPerSecond: 1}}",
        "revision: x\nimputed: {m: {instance: ml.g5.xlarge, inputTokensPerSecond: 0}}",
        "models: {}",
    ] {
        assert!(catalog.overlay(wrong).is_err(), "{wrong}");
        assert_eq!(catalog, before);
    }
}
