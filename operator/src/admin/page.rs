//! The operator's status page for a browser: the overview and who leads in, HTML out.

use super::overview::{Decision, Overview, Shown, condition};
use crate::leader::Role;
use std::fmt::Write;
use tollway_core::html::{bar, document, forecast, percent, text};
use tollway_crds::Condition;
use tollway_crds::cost_budget::CostBudgetStatus;
use tollway_crds::embedding_endpoint::EmbeddingEndpointStatus;
use tollway_crds::model_route::{ModelRouteStatus, TargetStatus};

/// The whole page.
pub fn render(role: Role, overview: &Overview) -> String {
    let (word, class) = match role {
        Role::Leader => ("leading", "good"),
        Role::Standby => ("standing by", "soft"),
        Role::Unknown => ("the Kubernetes API has not been reached yet", "bad"),
    };
    let mut out = format!(
        "<h1>Tollway operator <span class={class}>{word}</span></h1><p class=soft>version {}</p>",
        env!("CARGO_PKG_VERSION")
    );
    if !overview.problems.is_empty() {
        // Writing to a String cannot fail.
        let _ = write!(out, "<h2>Problems</h2><pre>{}</pre>", text(&overview.problems.join("\n")));
    }
    if overview.is_cut {
        out.push_str("<p class=warn>There are more resources than are shown; kubectl get shows them all.</p>");
    }
    let head = "<th>Budget<th>Spent<th class=n>of USD<th>Forecast<th>State";
    table(&mut out, "Budgets", head, "None: nothing caps the cost.", &overview.budgets, budget);
    let head = "<th>Route<th>Models<th>Proxies<th>Targets<th class=n>Requests<th class=n>USD<th>State";
    table(&mut out, "Routes", head, "None.", &overview.routes, route);
    let head =
        "<th>Endpoint<th>Model<th class=n>Instances<th class=n>Texts/s<th class=n>p95 ms<th>Last scaling<th>State";
    table(&mut out, "Embedding endpoints", head, "None.", &overview.endpoints, endpoint);
    let head = "<th>When<th>About<th>What<th>";
    table(&mut out, "Recent decisions", head, "None since this replica started.", &overview.decisions, decision);
    document("Tollway operator", &out)
}

fn table<T>(out: &mut String, title: &str, head: &str, none: &str, rows: &[T], row: impl Fn(&mut String, &T)) {
    let _ = write!(out, "<h2>{title}</h2>");
    if rows.is_empty() {
        let _ = write!(out, "<p class=soft>{none}</p>");
        return;
    }
    let _ = write!(out, "<table><tr>{head}</tr>");
    for one in rows {
        out.push_str("<tr>");
        row(out, one);
        out.push_str("</tr>");
    }
    out.push_str("</table>");
}

fn name<S>(shown: &Shown<S>) -> String {
    format!("<td><span class=soft>{}/</span>{}", text(&shown.namespace), text(&shown.name))
}

/// `Ready`, or why it is not.
fn state(conditions: &[Condition]) -> String {
    let said = |class: &str, of: &Condition| {
        format!("<td class={class}>{}<div class=soft>{}</div>", text(&of.reason), text(&of.message))
    };
    let ill = condition(conditions, "Healthy").filter(|healthy| healthy.status == "False");
    match (condition(conditions, "Ready"), ill) {
        (Some(ready), None) if ready.status == "True" => "<td class=good>Ready".to_owned(),
        (Some(ready), Some(ill)) if ready.status == "True" => said("warn", ill),
        (Some(ready), _) => said("bad", ready),
        (None, _) => "<td class=warn>not looked at yet".to_owned(),
    }
}

fn or_dash(value: Option<&String>) -> String {
    value.map_or_else(|| "–".to_owned(), |value| text(value))
}

fn budget(out: &mut String, shown: &Shown<CostBudgetStatus>) {
    let of = |field: &str| shown.spec[field].as_str().unwrap_or_default().to_owned();
    let (limit, status) = (of("amount"), &shown.status);
    let spent = status.spent_usd.clone().unwrap_or_else(|| "0".to_owned());
    let forecast = forecast(status.forecast_usd.as_deref(), status.exhaustion_forecast_at.as_deref());
    let _ = write!(
        out,
        "{} <span class=soft>{} {}</span><td>{}{}<td class=n>{}<td>{forecast}{}",
        name(shown),
        text(&of("period")),
        text(&of("mode")),
        text(&spent),
        bar(percent(&spent, &limit)),
        text(&limit),
        state(&status.conditions),
    );
}

fn route(out: &mut String, shown: &Shown<ModelRouteStatus>) {
    let models = shown.spec["models"].as_array().into_iter().flatten().filter_map(|model| model.as_str());
    let status = &shown.status;
    let proxies = status.proxies.as_ref().map(|proxies| format!("{}/{}", proxies.programmed, proxies.connected));
    let targets: Vec<String> = status.targets.iter().map(target).collect();
    let _ = write!(
        out,
        "{}<td>{}<td>{}<td>{}<td class=n>{}<td class=n>{}{}",
        name(shown),
        text(&models.collect::<Vec<_>>().join(", ")),
        or_dash(proxies.as_ref()),
        targets.join("<br>"),
        status.requests.unwrap_or(0),
        or_dash(status.cost_usd.as_ref()),
        state(&status.conditions),
    );
}

fn target(target: &TargetStatus) -> String {
    let circuit = target.circuit.as_deref().unwrap_or("Closed");
    let class = if circuit == "Closed" { "good" } else { "bad" };
    let p95 = target.p95_ms.map_or_else(String::new, |ms| format!(" p95 {ms} ms"));
    format!(
        "{} <span class={class}>{}</span> <span class=soft>{} errors of {}{p95}</span>",
        text(&target.name),
        text(circuit),
        target.errors,
        target.requests
    )
}

fn endpoint(out: &mut String, shown: &Shown<EmbeddingEndpointStatus>) {
    let status = &shown.status;
    let instances = status.instances.as_ref().map(|instances| match (instances.current, instances.desired) {
        (current, desired) if current == desired => current.to_string(),
        (current, desired) => format!("{current} → {desired}"),
    });
    let scaling = status.scaling.as_ref();
    let why = scaling.and_then(|scaling| scaling.reason.as_ref());
    let when = scaling.and_then(|scaling| scaling.last_activity.as_ref());
    let _ = write!(
        out,
        "{}<td>{}<td class=n>{}<td class=n>{}<td class=n>{}<td>{}<div class=soft>{}</div>{}",
        name(shown),
        text(shown.spec["model"].as_str().unwrap_or_default()),
        or_dash(instances.as_ref()),
        or_dash(status.items_per_second.as_ref()),
        or_dash(status.p95_ms.map(|ms| ms.to_string()).as_ref()),
        or_dash(when),
        why.map_or_else(String::new, |why| text(why)),
        state(&status.conditions),
    );
}

fn decision(out: &mut String, decision: &Decision) {
    let class = if decision.warning { "warn" } else { "soft" };
    let Decision { at, about, reason, text: sentence, .. } = decision;
    let [at, about, reason, sentence] = [at, about, reason, sentence].map(|raw| text(raw));
    let _ = write!(out, "<td>{at}<td>{about}<td class={class}>{reason}<td>{sentence}");
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::{Value, json};
    use tollway_crds::model_route::ProxiesStatus;

    fn shown<S: serde::de::DeserializeOwned>(spec: Value, status: Value) -> Shown<S> {
        Shown { namespace: "shop".into(), name: "<one>".into(), spec, status: serde_json::from_value(status).unwrap() }
    }

    #[test]
    fn everything_is_on_the_page_and_names_stay_text() {
        let not_ready = json!([{"type": "Ready", "status": "False", "reason": "Exhausted", "message": "0 USD left",
            "lastTransitionTime": "2026-01-01T00:00:00Z"}]);
        let budget = shown(
            json!({"amount": "2.00", "period": "Monthly"}),
            json!({"spentUsd": "1.00", "exhaustionForecastAt": "2026-02-03T00:00:00Z", "conditions": not_ready}),
        );
        let mut answers: Shown<ModelRouteStatus> = shown(json!({"models": ["nova"]}), json!({"conditions": []}));
        answers.status.targets =
            vec![TargetStatus { name: "pro".into(), circuit: Some("Open".into()), ..TargetStatus::default() }];
        answers.status.proxies = Some(ProxiesStatus { connected: 3, programmed: 2, ..ProxiesStatus::default() });
        let conditions = json!([
            {"type": "Ready", "status": "True", "reason": "Ready", "message": "", "lastTransitionTime": "2026-01-01T00:00:00Z"},
            {"type": "Healthy", "status": "False", "reason": "BadAnswer", "message": "no vector", "lastTransitionTime": "2026-01-01T00:00:00Z"}
        ]);
        let vectors = shown(
            json!({"model": "bge"}),
            json!({"instances": {"current": 1, "desired": 3}, "conditions": conditions}),
        );
        let burned =
            Decision { reason: "GrantBurned".into(), text: "<b>".into(), warning: true, ..Decision::default() };
        let overview = Overview {
            budgets: vec![budget],
            routes: vec![answers],
            endpoints: vec![vectors],
            decisions: vec![burned],
            is_cut: true,
            problems: vec!["ModelRoutes: forbidden".into()],
        };
        let html = render(Role::Leader, &overview);
        for part in [
            "leading",
            "width:50%",
            "nothing left 2026-02-03",
            "Exhausted",
            "0 USD left",
            "nova",
            "2/3",
            "<span class=bad>Open</span>",
            "1 → 3",
            "<td class=warn>BadAnswer",
            "GrantBurned",
            "&lt;one&gt;",
            "&lt;b&gt;",
            "more resources",
            "forbidden",
        ] {
            assert!(html.contains(part), "{part} is not in {html}");
        }
        assert!(!html.contains("<one>") && !html.contains("<script"), "{html}");
        assert!(render(Role::Standby, &Overview::default()).contains("standing by"));
    }
}
