//! In: where to scrape, and a rule file. Out: a Prometheus on loopback that does, answers to queries, the alerts that are active; and promtool.

use std::path::Path;

use serde_json::{Value, json};

use crate::process::{Process, Program, free_port};
use crate::{http, scratch, wait};

/// One process to scrape, with the labels that the Prometheus operator gives it.
#[derive(Clone, Debug)]
pub struct Scraped {
    /// `http://127.0.0.1:port`; `/metrics` is added.
    pub admin: String,
    pub job: String,
    pub namespace: String,
    pub pod: String,
}

/// A running Prometheus, its data gone with the test run.
#[derive(Debug)]
pub struct Prometheus {
    pub process: Process,
    url: String,
}

impl Prometheus {
    /// Scrapes and evaluates every second. Labels of a series that its target has too are renamed `exported_...`, which is the default
    /// of a ServiceMonitor.
    pub async fn start(scraped: &[Scraped], rules: &Path) -> Prometheus {
        let targets = scraped.iter().map(|Scraped { admin, job, namespace, pod }| {
            let address = admin.trim_start_matches("http://");
            json!({"targets": [address], "labels": {"job": job, "namespace": namespace, "pod": pod}})
        });
        let config = json!({
            "global": {"scrape_interval": "1s", "scrape_timeout": "1s", "evaluation_interval": "1s"},
            "rule_files": [rules],
            "scrape_configs": [{"job_name": "all", "static_configs": targets.collect::<Vec<_>>()}],
        });
        let folder = scratch::folder("prometheus");
        let file = folder.join("prometheus.yml");
        // JSON is YAML.
        std::fs::write(&file, config.to_string()).expect("a configuration file");
        let port = free_port();
        installed("prometheus");
        let process = Program::at("prometheus")
            .arg(format!("--config.file={}", file.display()))
            .arg(format!("--storage.tsdb.path={}", folder.join("data").display()))
            .arg(format!("--web.listen-address=127.0.0.1:{port}"))
            .start();
        let mut prometheus = Prometheus { process, url: format!("http://127.0.0.1:{port}") };
        let url = format!("{}/-/ready", prometheus.url);
        wait::until("prometheus to be ready", async || {
            assert!(prometheus.process.is_running(), "prometheus ended:\n{}", prometheus.process.log_tail(20));
            http::try_get(&url).await.is_ok_and(|reply| reply.status.is_success()).then_some(())
        })
        .await;
        prometheus
    }

    /// The series that an expression gives now: `{metric, value: [time, text]}` each. What is no expression fails.
    pub async fn query(&self, expression: &str) -> Vec<Value> {
        let encoded: String = expression.bytes().map(|byte| format!("%{byte:02X}")).collect();
        let reply = http::get(&format!("{}/api/v1/query?query={encoded}", self.url)).await;
        assert!(reply.status.is_success(), "{expression}\n{}", reply.text());
        reply.json()["data"]["result"].as_array().cloned().unwrap_or_default()
    }

    /// Alerts whose condition holds: `{labels, annotations, state}`, state `pending` before its `for` is over and `firing` after it.
    pub async fn alerts(&self) -> Vec<Value> {
        let reply = http::get(&format!("{}/api/v1/alerts", self.url)).await.ok().json();
        reply["data"]["alerts"].as_array().cloned().unwrap_or_default()
    }
}

/// What `promtool <args>` says; fails with it when it is not content.
pub fn promtool(args: &[&str]) -> String {
    installed("promtool");
    let output = Program::at("promtool").args(args).output();
    let said = [output.stdout, output.stderr].concat();
    let said = String::from_utf8_lossy(&said).into_owned();
    assert!(output.status.success(), "promtool {}: {said}", args.join(" "));
    said
}

fn installed(program: &str) {
    let found = std::process::Command::new(program).arg("--version").output();
    assert!(found.is_ok(), "there is no {program}: sudo apt-get install prometheus");
}
