//! In: where the operator answers the API server. Out: `operator/webhook.yaml` applied for an API server that runs beside the cluster's network, not in it.

use serde::Deserialize;
use serde_json::{Value, json};

use crate::cluster::Cluster;
use crate::process::workspace;
use crate::wait;

impl Cluster {
    /// Applies the two configurations with addresses in place of the Service, and waits until the operator's authority is in all webhooks.
    pub async fn apply_webhook(&self, address: &str) {
        self.apply_webhook_with(address, None);
        wait::until("every webhook to have the operator's authority", async || {
            (self.ca_bundles().len() == 5 && self.ca_bundles().iter().all(|bundle| !bundle.is_empty())).then_some(())
        })
        .await;
    }

    /// The same with an authority (PEM, base64 once more) that is not the operator's, or none, and without waiting.
    pub fn apply_webhook_with(&self, address: &str, authority: Option<&str>) {
        let path = workspace().join("operator/webhook.yaml");
        let text = std::fs::read_to_string(&path).unwrap_or_else(|e| panic!("{}: {e}", path.display()));
        for document in serde_yaml::Deserializer::from_str(&text) {
            let mut document = Value::deserialize(document).expect("YAML that JSON can say");
            for webhook in document["webhooks"].as_array_mut().into_iter().flatten() {
                let path = webhook["clientConfig"]["service"]["path"].as_str().unwrap_or_default();
                webhook["clientConfig"] = json!({"url": format!("https://{address}{path}")});
                if let Some(authority) = authority {
                    webhook["clientConfig"]["caBundle"] = json!(authority);
                }
            }
            if document["kind"] != "Service" {
                self.apply_text("default", &document.to_string());
            }
        }
    }

    /// The authority of each webhook, empty when it has none.
    pub fn ca_bundles(&self) -> Vec<String> {
        let of = |kind: &str| {
            let path = "jsonpath={range .webhooks[*]}{.clientConfig.caBundle}{\"\\n\"}{end}";
            let lines = self.kubectl(["get", kind, "tollway", "-o", path]);
            lines.lines().map(str::to_owned).collect::<Vec<_>>()
        };
        [of("mutatingwebhookconfiguration"), of("validatingwebhookconfiguration")].concat()
    }
}
