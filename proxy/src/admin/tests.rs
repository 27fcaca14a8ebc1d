//! Who may read what, and that no page holds a secret.

use super::*;
use crate::source::{Secrets, Serving};
use http_body_util::BodyExt;
use std::collections::BTreeMap;
use std::time::Instant;
use tollway_core::table::Table;

const NEAR: &str = "127.0.0.1:50000";
const FAR: &str = "10.1.2.3:50000";

fn admin(table: Option<Table>) -> Admin {
    let live = Live::default();
    let secrets =
        Secrets::new([("keys".to_owned(), [("apiKey".to_owned(), "sk-very-secret".to_owned())].into())].into());
    live.store(table.map(|table| {
        let unserved = BTreeMap::from([("later".to_owned(), "needs voice".to_owned())]);
        Arc::new(Serving { revision: 7, table, unserved, secrets: Arc::new(secrets), ..Serving::default() })
    }));
    Admin {
        process: Process { started: Instant::now(), incarnation: "one".to_owned(), source: "Folder" },
        live,
        metrics: Metrics::new().unwrap(),
        ledger: Ledger::new("one"),
        health: watch::channel(Health::default()).1,
        store: None,
    }
}

async fn get(admin: &Admin, path: &str, peer: &str, accept: &str) -> (u16, String) {
    let headers = [(header::ACCEPT, accept.parse().unwrap())].into_iter().collect();
    let response = admin.answer(&Method::GET, path, &headers, peer.parse().unwrap());
    let status = response.status().as_u16();
    let body = response.into_body().collect().await.unwrap().to_bytes();
    (status, String::from_utf8(body.to_vec()).unwrap())
}

#[tokio::test]
async fn ready_only_once_a_table_is_served() {
    assert_eq!(get(&admin(None), "/readyz", FAR, "*/*").await.0, 503);
    assert_eq!(get(&admin(None), "/livez", FAR, "*/*").await.0, 200);
    assert_eq!(get(&admin(Some(Table::default())), "/readyz", FAR, "*/*").await.0, 200);
}

#[tokio::test]
async fn status_and_table_are_for_loopback_callers() {
    let admin = admin(Some(Table::default()));
    for path in ["/status", "/table", "/"] {
        assert_eq!(get(&admin, path, FAR, "*/*").await.0, 403, "{path}");
        assert_eq!(get(&admin, path, NEAR, "*/*").await.0, 200, "{path}");
        assert_eq!(get(&admin, path, "[::ffff:127.0.0.1]:1", "*/*").await.0, 200, "{path}");
    }
    assert_eq!(get(&admin, "/metrics", FAR, "*/*").await.0, 200);
    assert_eq!(get(&admin, "/other", NEAR, "*/*").await.0, 404);
    let posted = admin.answer(&Method::POST, "/status", &HeaderMap::new(), NEAR.parse().unwrap());
    assert_eq!(posted.status().as_u16(), 405);
}

#[tokio::test]
async fn no_page_holds_a_secret_and_the_status_can_be_read_back() {
    let admin = admin(Some(Table { namespace: "team".to_owned(), ..Table::default() }));
    for path in ["/status", "/table", "/metrics"] {
        for accept in ["application/json", "text/html"] {
            let (status, body) = get(&admin, path, NEAR, accept).await;
            assert!(status == 200 && !body.contains("very-secret"), "{path} {body}");
        }
    }
    let (_, body) = get(&admin, "/status", NEAR, "application/json").await;
    let page: status::Page = serde_json::from_str(&body).unwrap();
    assert_eq!((page.ready, page.revision, page.namespace.as_str()), (true, 7, "team"));
    assert_eq!(page.routes[0].unserved.as_deref(), Some("needs voice"));
    assert!(get(&admin, "/status", NEAR, "text/html").await.1.starts_with("<!doctype html>"));
}
