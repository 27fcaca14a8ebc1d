//! Manifests in; tables, verdicts and their properties out.

use super::*;
use crate::{
    snapshot::{Folder, LastGood},
    spend::{Nano, Price, catalog::Catalog},
    table::{ChatFormat, Embedding, Provider, Template},
};

const ROUTE: &str = r#"
apiVersion: tollway.dev/v1alpha1
kind: ModelRoute
metadata: {name: NAME, labels: {team: a}}
spec:
  models: [MODEL, shared]
  targets:
  - name: nova
    bedrock: {modelId: amazon.nova-pro-v1:0, region: us-east-1}
    price: {inputPerMillion: "0.01", outputPerMillion: "99"}
  - name: local
    openai: {service: {name: ollama, port: 11434}, model: llama3, apiKey: {secretRef: {name: keys}}}
  - {name: pretend, simulated: {}}
  rules:
  - when: {headers: [{name: X-Team, value: a}], inputTokens: {max: 10}}
    split: [{target: nova, weight: 9}, {target: local, weight: 1}]
  - split: [{target: nova, weight: 1}]
    fallback: [local, pretend]
"#;

const BUDGET: &str = r#"
apiVersion: tollway.dev/v1alpha1
kind: CostBudget
metadata: {name: NAME}
spec: {limit: {amount: "1.50"}, period: Monthly}
"#;

fn route(name: &str, model: &str) -> String {
    ROUTE.replace("NAME", name).replace("MODEL", model)
}

/// The route with another first target.
fn first_target(target: &str) -> String {
    let nova = "    bedrock: {modelId: amazon.nova-pro-v1:0, region: us-east-1}\n    price: {inputPerMillion: \"0.01\", outputPerMillion: \"99\"}";
    route("r", "m").replace(nova, target)
}

fn folder(documents: &[String]) -> Folder {
    folder_after(documents, &LastGood::default())
}

fn folder_after(documents: &[String], last: &LastGood) -> Folder {
    let files = [("f.yaml".to_owned(), documents.join("\n---\n"))];
    let folder = Folder::read(&files.into(), last);
    assert!(folder.errors.is_empty(), "{:?}", folder.errors);
    folder
}

fn compiled(documents: &[String]) -> (Table, Verdicts) {
    let folder = folder(documents);
    compile(&folder.snapshot, &folder.facts)
}

#[test]
fn a_route_is_compiled_with_everything_filled_in() {
    let (table, verdicts) = compiled(&[route("r", "m"), BUDGET.replace("NAME", "b")]);
    let route = &table.routes["r"];
    assert_eq!(table.models["m"], "r");
    assert_eq!((route.retry.attempts, route.circuit_breaker.failures, route.timeouts.total_ms), (3, 5, 600_000));
    assert_eq!(route.budgets, ["b"]);
    let crate::table::Provider::OpenAi(local) = &route.targets["local"].provider else { panic!("not openai") };
    assert_eq!(local.base_url, "http://ollama.default.svc:11434/v1");
    let nova = route.targets["nova"].price.unwrap();
    let shipped = crate::spend::catalog::Catalog::shipped().lookup("amazon.nova-pro-v1:0").unwrap().price;
    assert_eq!((nova.input, nova.output), (shipped.input, "99".parse().unwrap()), "raised, never lowered");
    assert_eq!(route.targets["pretend"].price, Some(Default::default()), "free unless priced");
    assert_eq!(table.budgets["b"].limit, Nano(1_500_000_000));
    let verdict = &verdicts[&Id::new(Kind::ModelRoute, "r")];
    assert_eq!(verdict.unpriced.iter().map(|u| u.target.as_str()).collect::<Vec<_>>(), ["local"]);
    assert_eq!(verdict.unresolved.len(), 1);
    assert_eq!(verdict.in_force, InForce::Current);
}

#[test]
fn only_a_contested_name_is_lost_and_only_to_the_elder() {
    let mut folder = folder(&[route("a", "of-a"), route("b", "of-b")]);
    let (table, verdicts) = compile(&folder.snapshot, &folder.facts);
    assert_eq!((table.models["shared"].as_str(), table.models["of-b"].as_str()), ("a", "b"), "the lesser name");
    assert_eq!(verdicts[&Id::new(Kind::ModelRoute, "b")].conflicts.len(), 1);
    for (name, created) in [("a", "2026-01-02T00:00:00Z"), ("b", "2026-01-01T00:00:00Z")] {
        folder.snapshot.resources.get_mut(&Id::new(Kind::ModelRoute, name)).unwrap().created =
            Some(created.parse().unwrap());
    }
    let (table, verdicts) = compile(&folder.snapshot, &folder.facts);
    assert_eq!((table.models["shared"].as_str(), table.models["of-a"].as_str()), ("b", "a"), "the older one");
    assert_eq!(verdicts[&Id::new(Kind::ModelRoute, "a")].conflicts[0].winner, Id::new(Kind::ModelRoute, "b"));
}

#[test]
fn the_last_good_spec_stays_in_force() {
    let good = folder(&[route("r", "m")]);
    let (table, verdicts) = compile(&good.snapshot, &good.facts);
    let last = good.remember(&verdicts);
    for _ in 0..2 {
        let broken = folder_after(
            &[route("r", "m").replace("weight: 9", "weight: -9").replace("name: ollama", "name: UP")],
            &last,
        );
        let (now, verdicts) = compile(&broken.snapshot, &broken.facts);
        assert_eq!(now, table);
        let verdict = &verdicts[&Id::new(Kind::ModelRoute, "r")];
        assert_eq!((verdict.in_force, verdict.generation, verdict.errors.len()), (InForce::LastGood(1), 2, 2));
        let mistakes = broken.mistakes(&verdicts).iter().map(|m| m.line).collect::<Vec<_>>();
        assert_eq!(mistakes, [12, 12, 16], "two of them stand in one line");
        assert_eq!(broken.remember(&verdicts).clone(), broken.remember(&verdicts));
    }
    let (without, _) = compiled(&[route("r", "m").replace("weight: 9", "weight: -9")]);
    assert!(without.routes.is_empty() && without.models.is_empty(), "nothing was ever good");
}

#[test]
fn a_file_that_cannot_be_read_keeps_its_resources() {
    let good = folder(&[route("r", "m")]);
    let (table, verdicts) = compile(&good.snapshot, &good.facts);
    let last = good.remember(&verdicts);
    let files = [("f.yaml".to_owned(), "kind: [\n".to_owned())];
    let broken = Folder::read(&files.into(), &last);
    let (now, verdicts) = compile(&broken.snapshot, &broken.facts);
    assert_eq!(now, table);
    assert_eq!(broken.remember(&verdicts), last);
    let gone = Folder::read(&[("g.yaml".to_owned(), String::new())].into(), &last);
    assert!(
        compile(&gone.snapshot, &gone.facts).0.routes.is_empty(),
        "a file that was removed takes its resources with it"
    );
}

#[test]
fn a_slip_outside_of_the_spec_takes_nothing_away() {
    let selector = "period: Once, selector: {matchLabels: {team: a}}";
    let documents = [route("r", "m"), BUDGET.replace("NAME", "b").replace("period: Monthly", selector)];
    let in_team = |text: &String| text.replace("{name: r", "{namespace: team, name: r");
    let good = folder(&documents.each_ref().map(in_team));
    let (table, verdicts) = compile(&good.snapshot, &good.facts);
    assert_eq!((table.namespace.as_str(), table.routes["r"].budgets.as_slice()), ("team", &["b".to_owned()][..]));
    let last = good.remember(&verdicts);
    let text = documents.each_ref().map(in_team).join("\n---\n");
    let read = |text: &str, last: &LastGood| Folder::read(&[("f.yaml".to_owned(), text.to_owned())].into(), last);
    for slip in [
        "kind: CostBudget\n>kind: CostBudgets\n",
        "name: r>nam: r",
        "tollway.dev/v1alpha1>tollway.dev/v2",
        "metadata>meta",
        "spec>spek",
        "labels: {team: a}>labels: {team: 1}",
        "labels: {team: a}>label: {team: a}",
    ] {
        let (from, to) = slip.split_once('>').unwrap();
        let mut last = last.clone();
        for _ in 0..2 {
            let now = read(&text.replace(from, to), &last);
            let (kept, verdicts) = compile(&now.snapshot, &now.facts);
            assert_eq!(kept, table, "{slip}");
            assert!(!now.mistakes(&verdicts).is_empty());
            last = now.remember(&verdicts);
        }
        let now = read(&text, &last);
        let (corrected, verdicts) = compile(&now.snapshot, &now.facts);
        assert_eq!(
            (&corrected, now.mistakes(&verdicts).len()),
            (&table, 1),
            "{slip}: the Secret is missing, as before"
        );
    }
}

#[test]
fn a_slip_outside_of_the_spec_hides_none_inside() {
    let folder = folder(&[route("r", "m")
        .replace("kind: ModelRoute", "kind: ModelRoute\ncolour: x")
        .replace("weight: 9", "weight: many")]);
    let (_, verdicts) = compile(&folder.snapshot, &folder.facts);
    let found: Vec<_> = folder.mistakes(&verdicts).iter().map(ToString::to_string).collect();
    assert_eq!(
        found,
        [
            "f.yaml:4: ModelRoute/r colour: no such field: fields of a resource stand under spec",
            "f.yaml:17: ModelRoute/r spec.rules[0].split[0].weight: is text: write a number without quotes"
        ]
    );
}

#[test]
fn limits_over_all_proxies_need_a_proxy_that_knows_them() {
    let limited = |limits: &str| {
        let text = route("r", "m").replace("  rules:", &format!("  rateLimits: [{limits}]\n  rules:"));
        compiled(&[text]).0.routes["r"].requires.clone()
    };
    assert_eq!(limited("{per: User, requests: 1}"), ["rateLimits"]);
    assert_eq!(
        limited("{per: User, requests: 1}, {per: Route, tokens: 1, scope: Global}"),
        ["rateLimits", "globalLimits"]
    );
}

#[test]
fn shared_answers_are_encrypted_under_the_secret_as_soon_as_there_is_one() {
    let shared = route("r", "m").replace("  rules:", "  cache: {ttl: 1m, scope: Shared}\n  rules:");
    let secret =
        |data: &str| format!("apiVersion: v1\nkind: Secret\nmetadata: {{name: tollway-cache}}\nstringData: {data}\n");
    let cache = |files: &[String]| {
        let (table, mut verdicts) = compiled(files);
        let unresolved = verdicts.remove(&Id::new(Kind::ModelRoute, "r")).unwrap().unresolved;
        let fields = unresolved.iter().filter(|e| e.field.starts_with("spec.cache")).map(ToString::to_string);
        (table.routes["r"].cache.clone().unwrap().shared.unwrap().key, fields.collect::<Vec<_>>())
    };
    let key = Some(crate::table::SecretKey { name: "tollway-cache".to_owned(), key: "key".to_owned() });
    assert_eq!(cache(std::slice::from_ref(&shared)), (None, vec![]), "that it is missing is no mistake");
    assert_eq!(cache(&[shared.clone(), secret("{key: x}")]), (key.clone(), vec![]));
    let (held, wrong) = cache(&[shared, secret("{other: x}")]);
    assert_eq!((held, wrong.len()), (key, 1), "{wrong:?}");
    let alone = route("r", "m").replace("  rules:", "  cache: {ttl: 1m}\n  rules:");
    assert_eq!(compiled(&[alone, secret("{key: x}")]).0.routes["r"].cache.as_ref().unwrap().shared, None);
}

#[test]
fn endpoints_cost_nothing_unless_priced_and_agents_are_priced_by_the_request_only() {
    let (table, _) = compiled(&[first_target("    sagemaker: {endpointName: codellama-70b, format: TGI}")]);
    let hosted = table.routes["r"].targets.values().find(|t| matches!(t.provider, Provider::SageMaker(_))).unwrap();
    assert_eq!(hosted.price, Some(Price::default()));
    let Provider::SageMaker(endpoint) = &hosted.provider else { unreachable!() };
    assert_eq!(endpoint.format, ChatFormat::Tgi(Template::CodeLlama70b));

    let agent = "    agentCore: {runtimeArn: \"arn:aws:bedrock-agentcore:eu-west-1:123456789012:runtime/a\"}\n    price: {PRICE}";
    for (price, errors) in
        [("perRequest: \"0.01\"", 0), ("inputPerMillion: \"1\"", 1), ("perRequest: \"1\", outputPerMillion: \"1\"", 1)]
    {
        let (_, verdicts) = compiled(&[first_target(&agent.replace("PRICE", price))]);
        assert_eq!(verdicts[&Id::new(Kind::ModelRoute, "r")].errors.len(), errors, "{price}");
    }
}

#[test]
fn an_arn_that_hides_its_model_costs_what_the_route_says_it_is() {
    let arn = "arn:aws:bedrock:us-east-1:123456789012:application-inference-profile/abc";
    let of = |more: &str| {
        let text = format!("    bedrock: {{modelId: \"{arn}\", region: us-east-1{more}}}");
        let (table, _) = compiled(&[first_target(&text)]);
        let is_bedrock = |t: &&crate::table::Target| matches!(t.provider, Provider::Bedrock(_));
        table.routes["r"].targets.values().find(is_bedrock).unwrap().clone()
    };
    assert_eq!(of("").price, None);
    let known = of(", baseModel: us.amazon.nova-pro-v1:0");
    assert_eq!(known.price, Catalog::shipped().lookup("amazon.nova-pro-v1:0").map(|m| m.price));
    assert_eq!(known.bounds.context_window, 300_000);
}

#[test]
fn budgets_bind_by_name_by_label_or_everything() {
    let named = BUDGET.replace("NAME", "named").replace(
        "period: Monthly",
        "period: Once, targetRefs: [{kind: ModelRoute, name: a}, {kind: ModelRoute, name: gone}]",
    );
    let labelled = BUDGET
        .replace("NAME", "labelled")
        .replace("period: Monthly", "period: Once, selector: {matchLabels: {team: b}}");
    let b = route("b", "of-b").replace("team: a", "team: b");
    let (table, verdicts) = compiled(&[route("a", "of-a"), b, BUDGET.replace("NAME", "all"), named, labelled]);
    assert_eq!(table.routes["a"].budgets, ["all", "named"]);
    assert_eq!(table.routes["b"].budgets, ["all", "labelled"]);
    let verdict = &verdicts[&Id::new(Kind::CostBudget, "named")];
    assert_eq!((verdict.not_found.len(), verdict.binds.as_slice()), (1, &["a".to_owned()][..]));
}

#[test]
fn a_bundle_is_resolved_in_order_and_outlives_its_config_map() {
    let route = route("r", "m").replace("  rules:", "  system: {configMapRef: {name: bot}}\n  rules:");
    let map = "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: bot}\ndata: {user: hi, zebra: last, system: 'be kind\n\n', alpha: first, blank: ' '}";
    let documents = [route.clone(), map.to_owned()];
    let good = folder(&documents);
    let (table, verdicts) = compile(&good.snapshot, &good.facts);
    let prompt = table.routes["r"].system.clone().unwrap();
    assert_eq!(
        (prompt.system.as_slice(), prompt.user.as_deref()),
        (&["be kind".to_owned(), "first".to_owned(), "last".to_owned()][..], Some("hi"))
    );
    assert_eq!(table.routes["r"].requires, [crate::wire::SYSTEM]);
    let fields = |verdicts: &Verdicts| -> Vec<String> {
        verdicts[&Id::new(Kind::ModelRoute, "r")].unresolved.iter().map(|e| e.field.clone()).collect()
    };
    assert_eq!(fields(&verdicts), ["spec.targets[1].openai.apiKey.secretRef"]);
    let without = folder_after(std::slice::from_ref(&route), &good.remember(&verdicts));
    let (kept, verdicts) = compile(&without.snapshot, &without.facts);
    assert_eq!(kept, table);
    assert_eq!(fields(&verdicts)[1], "spec.system.configMapRef");
    let never = folder(&[route]);
    let (table, verdicts) = compile(&never.snapshot, &never.facts);
    assert_eq!((table.routes["r"].system.as_ref(), fields(&verdicts).len()), (None, 2));
}

const ENDPOINT: &str = r#"
apiVersion: tollway.dev/v1alpha1
kind: EmbeddingEndpoint
metadata: {name: NAME, labels: {team: a}}
spec:
  model: MODEL
  dimensions: 1024
  sagemaker: {endpointName: e, payload: TEI}
  fallback: [{openai: {baseUrl: "http://tei.example.com/v1/", apiKey: {secretRef: {name: keys}}}}]
"#;

fn endpoint(name: &str, model: &str) -> String {
    ENDPOINT.replace("NAME", name).replace("MODEL", model)
}

#[test]
fn an_embedding_endpoint_is_compiled_and_bound_by_budgets_like_a_route() {
    let named = BUDGET
        .replace("NAME", "named")
        .replace("period: Monthly", "period: Once, targetRefs: [{kind: EmbeddingEndpoint, name: a}]");
    let labelled = BUDGET
        .replace("NAME", "labelled")
        .replace("period: Monthly", "period: Once, selector: {matchLabels: {team: a}}");
    // A route of the same name is another thing.
    let (table, verdicts) =
        compiled(&[endpoint("a", "bge"), route("a", "m").replace("team: a", "team: b"), BUDGET.replace("NAME", "all"), named, labelled]);
    let compiled = &table.embeddings["a"];
    assert_eq!((table.models["bge"].as_str(), Embedding::named(&table.models["bge"])), ("EmbeddingEndpoint/a", Some("a")));
    assert_eq!(compiled.budgets, ["all", "labelled", "named"]);
    assert_eq!(table.routes["a"].budgets, ["all"]);
    assert_eq!(compiled.sources.iter().map(|source| source.name.as_str()).collect::<Vec<_>>(), ["sagemaker", "fallback-0"]);
    assert_eq!((compiled.price, compiled.requires.as_slice()), (crate::spend::Price::default(), &["embeddings".to_owned()][..]));
    let verdict = &verdicts[&Id::new(Kind::EmbeddingEndpoint, "a")];
    let missing: Vec<&str> = verdict.unresolved.iter().map(|error| error.field.as_str()).collect();
    assert_eq!((verdict.in_force, missing), (InForce::Current, vec!["spec.fallback[0].openai.apiKey.secretRef"]));
    assert_eq!(verdicts[&Id::new(Kind::CostBudget, "named")].binds, ["EmbeddingEndpoint/a"]);
    let decoded = crate::wire::decode(&crate::wire::encode(&table).bytes, &crate::wire::encode(&table).digest, crate::wire::FEATURES);
    assert_eq!(decoded.unwrap().table, table);
}

#[test]
fn a_name_that_a_route_has_is_not_an_endpoints_too() {
    let (table, verdicts) = compiled(&[endpoint("z", "shared"), route("a", "m")]);
    assert_eq!((table.models["shared"].as_str(), table.embeddings.len()), ("a", 0));
    let verdict = &verdicts[&Id::new(Kind::EmbeddingEndpoint, "z")];
    assert_eq!((verdict.models.len(), verdict.conflicts.len()), (0, 1));
}

#[test]
fn an_endpoint_of_a_later_version_is_named_and_its_model_is_not_another_routes() {
    let (table, _) = compiled(&[endpoint("e", "bge"), route("r", "'*'")]);
    let encoded = crate::wire::encode(&table);
    let decoded = crate::wire::decode(&encoded.bytes, &encoded.digest, &[]).unwrap();
    assert!(decoded.unserved["EmbeddingEndpoint/e"].contains("embeddings"), "{:?}", decoded.unserved);
    assert_eq!((decoded.table.models["bge"].as_str(), decoded.table.routes.len()), ("EmbeddingEndpoint/e", 1));
}

#[test]
fn prices_of_images_and_long_inputs_ask_for_a_proxy_that_knows_them() {
    let of = |model: &str| route("r", "m").replace("amazon.nova-pro-v1:0", model);
    let (table, _) = compiled(&[of("us.anthropic.claude-sonnet-4-5-20250929-v1:0")]);
    assert_eq!(table.routes["r"].requires, [crate::wire::FULL_PRICES]);
    let price = table.routes["r"].targets["nova"].price.unwrap();
    assert_eq!(price.long.unwrap().output, Nano(99_000_000_000), "the target's raise holds for long inputs too");
    assert!(compiled(&[route("r", "m")]).0.routes["r"].requires.is_empty());
}
