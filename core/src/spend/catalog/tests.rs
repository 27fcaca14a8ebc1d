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
    assert!(!catalog.revision.is_empty());
    for (id, model) in catalog.iter() {
        let Price { input, output, cache_read, cache_write, cache_write_1h, .. } = model.price;
        assert!(input > Nano::ZERO && (output >= input || id.contains("embed")), "{id}: {:?}", model.price);
        assert!(
            cache_read <= input && cache_write >= input && cache_write_1h >= cache_write,
            "{id}: {:?}",
            model.price
        );
        assert!((512..=1_000_000).contains(&model.bounds.context_window), "{id}: {:?}", model.bounds);
        assert!(model.output_limit.is_none_or(|limit| limit <= model.bounds.context_window), "{id}");
    }
}

#[test]
fn known_prices_are_exact() {
    let micro = price_of("amazon.nova-micro-v1:0");
    assert_eq!((micro.input, micro.output), (per_million("0.035"), per_million("0.14")));
    assert_eq!(micro.cache_read, per_million("0.00875"));
    assert_eq!(micro.cache_write, micro.input, "a cache write that is not stated costs what input costs");
    let sonnet = price_of("anthropic.claude-3-5-sonnet-20241022-v2:0");
    assert_eq!((sonnet.cache_read, sonnet.cache_write), (per_million("0.3"), per_million("3.75")));
    assert_eq!(price_of("mistral.mistral-large-2407-v1:0").output, per_million("6"));
    assert_eq!(price_of("amazon.titan-embed-text-v2:0").input, per_million("0.02"));
    assert_eq!(price_of("cohere.embed-english-v3").input, per_million("0.1"));
    for (id, input) in [
        ("meta.llama3-1-8b-instruct-v1:0", "0.22"),
        ("meta.llama3-2-1b-instruct-v1:0", "0.1"),
        ("meta.llama3-3-70b-instruct-v1:0", "0.72"),
        ("amazon.nova-premier-v1:0", "2.5"),
        ("amazon.nova-2-lite-v1:0", "0.3"),
        ("anthropic.claude-opus-4-5-20251101-v1:0", "5"),
        ("anthropic.claude-haiku-4-5-20251001-v1:0", "1"),
        ("anthropic.claude-sonnet-4-6", "3"),
    ] {
        assert_eq!(price_of(id).input, per_million(input), "{id}");
    }
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
        "models: {}",
    ] {
        assert!(catalog.overlay(wrong).is_err(), "{wrong}");
        assert_eq!(catalog, before);
    }
}
