//! A compiled table, a budget's standing and a request that might come in; the rule, the targets in their order and why not the others, the
//! cost at most and what budgets say out. Nothing is sent.

use super::cluster::{Cluster, Compiled};
use super::{Common, say};
use crate::select::{self, Facts};
use anyhow::{Context, bail};
use clap::Args;
use http::{HeaderMap, HeaderName, HeaderValue};
use serde::Serialize;
use serde_json::Value;
use std::fmt::Write as _;
use std::path::PathBuf;
use std::process::ExitCode;
use tollway_core::classify::classify;
use tollway_core::spend::bounds::{output_tokens, worst_case};
use tollway_core::spend::{Nano, Shape};
use tollway_core::table::{Budget, Condition, Mode, OnExhausted, PromptClass, Target};

#[derive(Args, Debug)]
pub(super) struct Question {
    /// The ModelRoute. Default: the one that answers to --model.
    route: Option<String>,
    /// Name that the client sends as `model`. Default: the first of the route.
    #[arg(long)]
    model: Option<String>,
    /// The prompt.
    #[arg(long, conflicts_with = "prompt_file")]
    prompt: Option<String>,
    /// File with the prompt; `-` reads the standard input.
    #[arg(long, value_name = "FILE")]
    prompt_file: Option<PathBuf>,
    /// Who asks, where rules look at that.
    #[arg(long)]
    user: Option<String>,
    /// A header of the request, `name: value`; repeatable.
    #[arg(long = "header", value_name = "HEADER")]
    headers: Vec<String>,
    /// Tokens of output that the client asks for at most. Default: the route's, else 4096.
    #[arg(long)]
    max_tokens: Option<u64>,
    #[command(flatten)]
    common: Common,
}

/// What a request would meet.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Explanation {
    route: String,
    model: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    class: Option<String>,
    /// Estimated: bytes of text / 4.
    input_tokens: u64,
    /// The rule that matches; none: 404.
    rule: Option<String>,
    /// Rules before it, and why each does not match.
    passed_over: Vec<String>,
    targets: Vec<TargetWord>,
    /// Targets of the route that this rule never uses.
    unused: Vec<String>,
    budgets: Vec<BudgetWord>,
    /// Whether anything would serve it.
    served: bool,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct TargetWord {
    name: String,
    /// `70 %` of first attempts, or `fallback`.
    place: String,
    /// What an attempt may cost at most; none: no known price.
    most_usd: Option<String>,
    /// Why it would be skipped.
    #[serde(skip_serializing_if = "Option::is_none")]
    skipped: Option<String>,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct BudgetWord {
    name: String,
    remaining_usd: Option<String>,
    verdict: String,
}

/// Asks the cluster and answers.
pub(super) fn answer(question: &Question) -> anyhow::Result<ExitCode> {
    let cluster = Cluster::new(&question.common);
    let objects = cluster.resources()?;
    let prompt = match (&question.prompt, &question.prompt_file) {
        (Some(text), _) => text.clone(),
        (None, Some(path)) => super::read(path)?,
        (None, None) => String::new(),
    };
    let explanation = explain(question, &cluster.compiled()?, &objects, &prompt)?;
    let served = explanation.served;
    say(question.common.output, || text(&explanation), || serde_json::to_value(&explanation).unwrap_or_default())?;
    Ok(if served { ExitCode::SUCCESS } else { ExitCode::from(2) })
}

fn explain(question: &Question, compiled: &Compiled, objects: &[Value], prompt: &str) -> anyhow::Result<Explanation> {
    let table = &compiled.table;
    let name = match (&question.route, &question.model) {
        (Some(route), _) => route.as_str(),
        (None, Some(model)) => select::name(table, model)
            .with_context(|| format!("no route answers to model {model:?}: 404 model_not_found"))?,
        (None, None) => bail!("name a ModelRoute, or a model with --model"),
    };
    let Some(route) = table.routes.get(name) else {
        let said = compiled.verdicts.iter().find(|(id, _)| id.name == name).map(|(_, verdict)| &verdict.errors);
        match said.and_then(|errors| errors.first()) {
            Some(error) => bail!("ModelRoute {name} is not served: {error}"),
            None => bail!("there is no ModelRoute {name} in this namespace"),
        }
    };
    let of_route = table.models.iter().find(|(_, of)| *of == name).map(|(model, _)| model.clone());
    let model = question.model.clone().or(of_route).unwrap_or_default();
    let mut headers = HeaderMap::new();
    for header in &question.headers {
        let (name, value) =
            header.split_once(':').with_context(|| format!("--header {header:?} is not `name: value`"))?;
        let name: HeaderName = name.trim().parse().with_context(|| format!("--header {header:?}"))?;
        headers.append(name, HeaderValue::from_str(value.trim()).with_context(|| format!("--header {header:?}"))?);
    }
    let class = route.asks_for_class().then(|| classify(prompt));
    let input_tokens = (prompt.len() as u64).div_ceil(4);
    let facts = Facts { headers: &headers, user: question.user.as_deref(), input_tokens, class };
    let rule = select::rule(route, &facts);
    let before = route.rules.iter().take_while(|other| rule.is_none_or(|rule| !std::ptr::eq(*other, rule)));
    let passed_over = before.map(|other| format!("{}: {}", other.name, why_not(&other.when, &facts))).collect();
    let budgets: Vec<(&str, &Budget)> =
        route.budgets.iter().filter_map(|name| Some((name.as_str(), table.budgets.get(name)?))).collect();
    let enforced = budgets.iter().any(|(_, budget)| budget.mode == Mode::Enforce);
    let shape = Shape { bytes: prompt.len() as u64, messages: 1, ..Shape::default() };
    let most = output_tokens(question.max_tokens, route.defaults.max_tokens);
    let cost = |target: &Target| target.price.as_ref().map(|price| worst_case(price, &target.bounds, &shape, most, 1));
    let mut targets = Vec::new();
    let mut cheapest: Option<Nano> = None;
    if let Some(rule) = rule {
        let total: u64 = rule.split.iter().map(|weighted| u64::from(weighted.weight)).sum::<u64>().max(1);
        let share = |weight: u32| format!("{} %", u64::from(weight) * 100 / total);
        let first = rule.split.iter().map(|weighted| (&weighted.target, share(weighted.weight)));
        let then = rule.fallback.iter().map(|name| (name, "fallback".to_owned()));
        for (name, place) in first.chain(then) {
            let Some(target) = route.targets.get(name) else { continue };
            let cost = cost(target);
            let skipped = (cost.is_none() && enforced)
                .then(|| "no known price, and a budget enforces: add `price` to the target".to_owned());
            if let Some(cost) = cost {
                cheapest = Some(cheapest.map_or(cost, |held| held.min(cost)));
            }
            targets.push(TargetWord {
                name: name.clone(),
                place,
                most_usd: cost.map(|cost| cost.to_string()),
                skipped,
            });
        }
    }
    let unused = route.targets.keys().filter(|name| targets.iter().all(|word| word.name != **name)).cloned().collect();
    let words: Vec<BudgetWord> =
        budgets.iter().map(|(name, budget)| verdict(name, budget, objects, cheapest.unwrap_or_default())).collect();
    let served = targets.iter().any(|word| word.skipped.is_none())
        && words.iter().all(|word| !word.verdict.starts_with("denies"));
    Ok(Explanation {
        route: name.to_owned(),
        model,
        class: class.map(|class| format!("{class:?}")),
        input_tokens,
        rule: rule.map(|rule| rule.name.clone()),
        passed_over,
        targets,
        unused,
        budgets: words,
        served,
    })
}

/// The first condition that does not hold.
fn why_not(when: &[Condition], facts: &Facts<'_>) -> String {
    let said = |class: Option<PromptClass>| class.map_or_else(|| "unknown".to_owned(), |class| format!("{class:?}"));
    match when.iter().find(|condition| !select::holds(condition, facts)) {
        Some(Condition::Header { name, value }) => format!("header {name} is not {value:?}"),
        Some(Condition::User(users)) => {
            format!("user {} is not among {}", facts.user.unwrap_or("nobody"), users.join(", "))
        }
        Some(Condition::Prompt(class)) => format!("the prompt is {}, not {class:?}", said(facts.class)),
        Some(Condition::InputTokens { min, max }) => {
            format!("{} tokens of input are not within {min} to {max}", facts.input_tokens)
        }
        None => "a rule before it matches".to_owned(),
    }
}

/// What a budget would say, by its status.
fn verdict(name: &str, budget: &Budget, objects: &[Value], cheapest: Nano) -> BudgetWord {
    let object = objects.iter().find(|o| o["kind"] == "CostBudget" && o["metadata"]["name"] == name);
    let remaining = object.and_then(|o| o["status"]["remainingUsd"].as_str());
    let left: Option<Nano> = remaining.and_then(|text| text.parse().ok());
    let is_frozen = object.is_some_and(|o| {
        let conditions = o["status"]["conditions"].as_array().into_iter().flatten();
        conditions.into_iter().any(|c| c["type"] == "Frozen" && c["status"] == "True")
    });
    let verdict = match left {
        _ if budget.mode == Mode::Observe => "observes, and denies nothing".to_owned(),
        _ if is_frozen => "denies everything: it is frozen until an administrator resumes".to_owned(),
        None => "not known yet: the operator has not said".to_owned(),
        Some(left) if left < cheapest && budget.on_exhausted == OnExhausted::FreeOnly => {
            "lets free targets pass only: not enough is left".to_owned()
        }
        Some(left) if left < cheapest => format!("denies: {left} USD left, {cheapest} needed at least"),
        Some(_) => "carries it".to_owned(),
    };
    BudgetWord { name: name.to_owned(), remaining_usd: remaining.map(str::to_owned), verdict }
}

fn text(explanation: &Explanation) -> String {
    let Explanation { route, model, class, input_tokens, rule, passed_over, targets, unused, budgets, served } =
        explanation;
    let mut text = String::new();
    let about = class.as_ref().map_or_else(String::new, |class| format!(", class {class}"));
    let _ = writeln!(text, "model {model} -> route {route} (about {input_tokens} tokens of input{about})");
    for word in passed_over {
        let _ = writeln!(text, "  not rule {word}");
    }
    match rule {
        Some(rule) => drop(writeln!(text, "rule {rule}")),
        None => drop(writeln!(text, "no rule matches: 404")),
    }
    for TargetWord { name, place, most_usd, skipped } in targets {
        let cost = most_usd.as_ref().map_or_else(|| "price unknown".to_owned(), |most| format!("at most {most} USD"));
        let skipped = skipped.as_ref().map_or_else(String::new, |why| format!(" - skipped: {why}"));
        let _ = writeln!(text, "  {name}: {place}, {cost}{skipped}");
    }
    if !unused.is_empty() {
        let _ = writeln!(text, "  not in this rule: {}", unused.join(", "));
    }
    for BudgetWord { name, remaining_usd, verdict } in budgets {
        let left = remaining_usd.as_ref().map_or_else(String::new, |left| format!(" ({left} USD left)"));
        let _ = writeln!(text, "budget {name}{left}: {verdict}");
    }
    let _ = writeln!(text, "{}", if *served { "would be served" } else { "would not be served" });
    text
}
