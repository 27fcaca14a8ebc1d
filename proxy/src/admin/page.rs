//! The status page for a browser: one `Page` in, HTML without scripts or outside assets out.

use crate::status::{BudgetPage, DecisionPage, Page, RoutePage, TargetPage};
use std::fmt::Write;
use tollway_core::html::{bar, document, forecast, percent, text};

/// The whole page.
pub fn render(page: &Page) -> String {
    let mut out = String::with_capacity(8 * 1024);
    let (word, class) = if page.ready { ("ready", "good") } else { ("not ready: no table yet", "bad") };
    let source = &page.source;
    let stands = if source.connected { "" } else { " <span class=warn>(not reachable just now)</span>" };
    // Writing to a String cannot fail.
    let _ = write!(
        out,
        "<h1>Tollway proxy <span class={class}>{word}</span></h1>\
         <p class=soft>{} {}{stands} · namespace {} · revision {} · version {} · up {} s</p>",
        text(&source.kind),
        text(&source.place),
        text(&page.namespace),
        page.revision,
        text(&page.version),
        page.uptime_seconds,
    );
    if !source.problems.is_empty() {
        let _ = write!(out, "<h2>Problems</h2><pre>{}</pre>", text(&source.problems.join("\n")));
    }
    if let Some(redis) = &page.redis {
        let address = text(&redis.address);
        let _ = match &redis.problem {
            None => {
                write!(out, "<p class=soft>redis {address} · shared by proxies of the namespace: {}</p>", redis.proxies)
            }
            Some(problem) => {
                write!(out, "<p class=warn>redis {address} is of no use just now: {}</p>", text(problem))
            }
        };
    }
    out.push_str("<h2>Budgets</h2>");
    if page.budgets.is_empty() {
        out.push_str("<p class=soft>None: nothing caps the cost.</p>");
    } else {
        out.push_str("<table><tr><th>Budget<th>Spent<th class=n>of USD<th class=n>Left<th>Forecast<th>State</tr>");
        page.budgets.iter().for_each(|budget| budget_row(&mut out, budget));
        out.push_str("</table>");
    }
    out.push_str("<h2>Routes</h2>");
    if page.routes.is_empty() {
        out.push_str("<p class=soft>None.</p>");
    }
    page.routes.iter().for_each(|route| route_part(&mut out, route));
    out.push_str("<h2>Recent decisions</h2>");
    if page.decisions.is_empty() {
        out.push_str("<p class=soft>None: no request was served yet.</p>");
    } else {
        out.push_str(
            "<table><tr><th>When<th>Route<th>Target<th class=n>Attempts<th>Outcome<th class=n>USD<th class=n>ms<th>Request</tr>",
        );
        page.decisions.iter().for_each(|decision| decision_row(&mut out, decision));
        out.push_str("</table>");
    }
    document("Tollway proxy", &out)
}

fn budget_row(out: &mut String, budget: &BudgetPage) {
    let share = bar(percent(&budget.spent_usd, &budget.limit_usd));
    let forecast = forecast(budget.forecast_usd.as_deref(), budget.exhaustion_forecast_at.as_deref());
    let (state, class) = match budget {
        BudgetPage { frozen: true, .. } => ("frozen", "bad"),
        BudgetPage { exhausted: true, .. } => ("exhausted", "bad"),
        BudgetPage { mode, .. } if mode == "Observe" => ("observed only", "warn"),
        _ => ("within", "good"),
    };
    let _ = write!(
        out,
        "<tr><td>{} <span class=soft>{}</span><td>{}{share}\
         <td class=n>{}<td class=n>{}<td>{forecast}<td class={class}>{state}</tr>",
        text(&budget.name),
        text(&budget.period),
        text(&budget.spent_usd),
        text(&budget.limit_usd),
        text(&budget.remaining_usd),
    );
}

fn route_part(out: &mut String, route: &RoutePage) {
    let _ = write!(
        out,
        "<p><b>{}</b> <span class=soft>models {}</span></p>",
        text(&route.name),
        text(&route.models.join(", "))
    );
    if let Some(reason) = &route.unserved {
        let _ = write!(out, "<p class=bad>Not served: {}</p>", text(reason));
    }
    for note in &route.notes {
        let _ = write!(out, "<p class=warn>{}</p>", text(note));
    }
    out.push_str(
        "<table><tr><th>Target<th>Provider<th>Circuit<th class=n>Attempts<th class=n>Errors<th class=n>p50 ms<th class=n>p95 ms<th class=n>USD</tr>",
    );
    route.targets.iter().for_each(|target| target_row(out, target));
    out.push_str("</table>");
}

fn target_row(out: &mut String, target: &TargetPage) {
    let class = if target.circuit == "Closed" { "good" } else { "bad" };
    let millis = |value: Option<u64>| value.map_or_else(|| "–".to_owned(), |value| value.to_string());
    let _ = write!(
        out,
        "<tr><td>{}<td>{} <span class=soft>{}</span><td class={class}>{}<td class=n>{}<td class=n>{}<td class=n>{}<td class=n>{}<td class=n>{}</tr>",
        text(&target.name),
        text(&target.provider),
        text(&target.model),
        text(&target.circuit),
        target.requests,
        target.errors,
        millis(target.p50_ms),
        millis(target.p95_ms),
        text(&target.cost_usd),
    );
}

fn decision_row(out: &mut String, decision: &DecisionPage) {
    let DecisionPage { at, id, route, target, attempts, status, reason, cost_usd, took_ms } = decision;
    let class = if *status < 400 { "good" } else { "bad" };
    let [at, id, route, target] = [at, id, route, target].map(|raw| text(raw));
    let (reason, cost) = (reason.as_deref().unwrap_or_default(), cost_usd.as_deref().unwrap_or("–"));
    let _ = write!(
        out,
        "<tr><td>{at}<td>{route}<td>{target}<td class=n>{attempts}<td class={class}>{status} {reason}<td class=n>{cost}<td class=n>{took_ms}<td class=soft>{id}</tr>",
    );
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::status::SourcePage;

    #[test]
    fn names_are_escaped_and_nothing_is_loaded_from_outside() {
        let route = RoutePage { name: "<script>".to_owned(), notes: vec!["<note>".to_owned()], ..RoutePage::default() };
        let budget = BudgetPage {
            name: "team".to_owned(),
            spent_usd: "0.25".to_owned(),
            limit_usd: "1.00".to_owned(),
            ..BudgetPage::default()
        };
        let source = SourcePage { problems: vec!["a.yaml:3: bad <b>".to_owned()], ..SourcePage::default() };
        let html = render(&Page { routes: vec![route], budgets: vec![budget], source, ..Page::default() });
        assert!(html.contains("&lt;script&gt;") && !html.contains("<script"), "{html}");
        assert!(html.contains("a.yaml:3: bad &lt;b&gt;") && html.contains("width:25%"), "{html}");
        assert!(!html.contains("http:") && !html.contains("https:"), "{html}");
    }
}
