//! The status page for a browser: one `Page` in, HTML without scripts or outside assets out.

use crate::status::{BudgetPage, Page, RoutePage, TargetPage};
use std::fmt::Write;
use tollway_core::spend::Nano;

const STYLE: &str = "
:root{color-scheme:light dark;--ink:#1c2024;--soft:#5c6670;--line:#d9dee3;--back:#fff;--good:#1a7f4b;--warn:#9a6700;--bad:#c0332b;--fill:#3b6fd4}
@media(prefers-color-scheme:dark){:root{--ink:#e6e9ec;--soft:#9aa4ae;--line:#343b42;--back:#14171a;--good:#4cc38a;--warn:#e2b340;--bad:#f0726a;--fill:#6c9bf0}}
body{font:15px/1.5 system-ui,sans-serif;color:var(--ink);background:var(--back);margin:2rem auto;max-width:64rem;padding:0 1rem}
h1{font-size:1.4rem;margin:0}h2{font-size:1.05rem;margin:2rem 0 .5rem}p{margin:.3rem 0}.soft{color:var(--soft)}
table{border-collapse:collapse;width:100%}th,td{text-align:left;padding:.35rem .8rem .35rem 0;border-bottom:1px solid var(--line);vertical-align:top}
th{font-weight:600;color:var(--soft);font-size:.85rem}.n{text-align:right;font-variant-numeric:tabular-nums}
@media(max-width:40rem){table{display:block;overflow-x:auto}th,td{padding-right:.5rem;font-size:.85rem}}
.good{color:var(--good)}.warn{color:var(--warn)}.bad{color:var(--bad)}
.bar{height:.6rem;border:1px solid var(--line);border-radius:.3rem;overflow:hidden;min-width:8rem;margin-top:.45rem}.bar i{display:block;height:100%;background:var(--fill)}
pre{white-space:pre-wrap;border-left:3px solid var(--bad);padding:.2rem .8rem;margin:.5rem 0}";

/// The whole page.
pub fn render(page: &Page) -> String {
    let mut out = String::with_capacity(8 * 1024);
    let (word, class) = if page.ready { ("ready", "good") } else { ("not ready: no table yet", "bad") };
    let source = &page.source;
    let stands = if source.connected { "" } else { " <span class=warn>(not reachable just now)</span>" };
    // Writing to a String cannot fail.
    let _ = write!(
        out,
        "<!doctype html><html lang=en><head><meta charset=utf-8><meta name=viewport content=\"width=device-width\">\
         <meta http-equiv=refresh content=5><title>Tollway proxy</title><style>{STYLE}</style></head><body>\
         <h1>Tollway proxy <span class={class}>{word}</span></h1>\
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
        out.push_str("<table><tr><th>Budget<th>Spent<th class=n>of USD<th class=n>Left<th>State</tr>");
        page.budgets.iter().for_each(|budget| budget_row(&mut out, budget));
        out.push_str("</table>");
    }
    out.push_str("<h2>Routes</h2>");
    if page.routes.is_empty() {
        out.push_str("<p class=soft>None.</p>");
    }
    page.routes.iter().for_each(|route| route_part(&mut out, route));
    out.push_str("</body></html>");
    out
}

fn budget_row(out: &mut String, budget: &BudgetPage) {
    let share = share(&budget.spent_usd, &budget.limit_usd);
    let (state, class) = match budget {
        BudgetPage { frozen: true, .. } => ("frozen", "bad"),
        BudgetPage { exhausted: true, .. } => ("exhausted", "bad"),
        BudgetPage { mode, .. } if mode == "Observe" => ("observed only", "warn"),
        _ => ("within", "good"),
    };
    let _ = write!(
        out,
        "<tr><td>{} <span class=soft>{}</span><td>{}<div class=bar><i style=\"width:{share}%\"></i></div>\
         <td class=n>{}<td class=n>{}<td class={class}>{state}</tr>",
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

/// Percent of `limit` that `spent` is, 100 at most.
fn share(spent: &str, limit: &str) -> u64 {
    let [spent, limit] = [spent, limit].map(|amount| amount.parse::<Nano>().unwrap_or_default().0);
    let percent = u128::from(spent) * 100 / u128::from(limit.max(1));
    u64::try_from(percent.min(100)).unwrap_or(100)
}

fn text(raw: &str) -> String {
    raw.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;")
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

    #[test]
    fn a_share_never_leaves_the_bar() {
        assert_eq!((share("5.00", "1.00"), share("0.00", "0.00"), share("nonsense", "1.00")), (100, 0, 0));
    }
}
