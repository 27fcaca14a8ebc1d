//! Words and amounts in; the HTML that the status pages of proxy and operator have in common out. No scripts, nothing from outside.

use crate::spend::Nano;

/// Colours for light and dark, tables that scroll on narrow screens, bars.
const STYLE: &str = "
:root{color-scheme:light dark;--ink:#1c2024;--soft:#5c6670;--line:#d9dee3;--back:#fff;--good:#1a7f4b;--warn:#9a6700;--bad:#c0332b;--fill:#3b6fd4}
@media(prefers-color-scheme:dark){:root{--ink:#e6e9ec;--soft:#9aa4ae;--line:#343b42;--back:#14171a;--good:#4cc38a;--warn:#e2b340;--bad:#f0726a;--fill:#6c9bf0}}
body{font:15px/1.5 system-ui,sans-serif;color:var(--ink);background:var(--back);margin:2rem auto;max-width:72rem;padding:0 1rem}
h1{font-size:1.4rem;margin:0}h2{font-size:1.05rem;margin:2rem 0 .5rem}p{margin:.3rem 0}.soft{color:var(--soft)}
table{border-collapse:collapse;width:100%}th,td{text-align:left;padding:.35rem .8rem .35rem 0;border-bottom:1px solid var(--line);vertical-align:top}
th{font-weight:600;color:var(--soft);font-size:.85rem}.n{text-align:right;font-variant-numeric:tabular-nums}
@media(max-width:48rem){table{display:block;overflow-x:auto}th,td{padding-right:.5rem;font-size:.85rem}}
.good{color:var(--good)}.warn{color:var(--warn)}.bad{color:var(--bad)}
.bar{height:.6rem;border:1px solid var(--line);border-radius:.3rem;overflow:hidden;min-width:8rem;margin-top:.45rem}.bar i{display:block;height:100%;background:var(--fill)}
pre{white-space:pre-wrap;border-left:3px solid var(--bad);padding:.2rem .8rem;margin:.5rem 0}";

/// The whole document around a body; it is asked for again every five seconds.
#[must_use]
pub fn document(title: &str, body: &str) -> String {
    let title = text(title);
    format!(
        "<!doctype html><html lang=en><head><meta charset=utf-8><meta name=viewport content=\"width=device-width\">\
         <meta http-equiv=refresh content=5><title>{title}</title><style>{STYLE}</style></head><body>{body}</body></html>"
    )
}

/// Text of others, such as names, so that it stays text.
#[must_use]
pub fn text(raw: &str) -> String {
    raw.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;")
}

/// A bar filled to that many percent, 100 at most.
#[must_use]
pub fn bar(percent: u64) -> String {
    format!("<div class=bar><i style=\"width:{}%\"></i></div>", percent.min(100))
}

/// Whole percent of `limit` that `spent` is, both decimal text in dollars, 100 at most.
#[must_use]
pub fn percent(spent: &str, limit: &str) -> u64 {
    let [spent, limit] = [spent, limit].map(|amount| amount.parse::<Nano>().unwrap_or_default().0);
    let percent = u128::from(spent) * 100 / u128::from(limit.max(1));
    u64::try_from(percent.min(100)).unwrap_or(100)
}

/// A forecast: when nothing will be left, else what is spent at the window's end; both as text.
#[must_use]
pub fn forecast(at_end: Option<&str>, exhausted_at: Option<&str>) -> String {
    match (at_end, exhausted_at) {
        (_, Some(at)) => format!("<span class=warn>nothing left {}</span>", text(at)),
        (Some(at_end), None) => format!("{} at its end", text(at_end)),
        (None, None) => "–".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bar_is_never_wider_than_its_frame() {
        assert_eq!((percent("5.00", "1.00"), percent("0.00", "0.00"), percent("nonsense", "1.00")), (100, 0, 0));
        assert!(bar(250).contains("width:100%"));
    }

    #[test]
    fn a_forecast_is_the_nearest_trouble() {
        assert!(forecast(Some("9"), Some("<soon>")).contains("nothing left &lt;soon&gt;"));
        assert_eq!((forecast(Some("9"), None), forecast(None, None)), ("9 at its end".to_owned(), "–".to_owned()));
    }

    #[test]
    fn what_others_wrote_stays_text() {
        assert_eq!(text("<b a=\"&\">"), "&lt;b a=&quot;&amp;&quot;&gt;");
        let page = document("a < b", "");
        assert!(
            page.contains("a &lt; b")
                && !page.contains("http:")
                && !page.contains("https:")
                && !page.contains("<script")
        );
    }
}
