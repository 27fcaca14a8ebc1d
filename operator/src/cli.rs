//! Command line and environment in, settings out; every flag has a `TOLLWAY_...` variable.

use clap::builder::NonEmptyStringValueParser;
use clap::{Args, Parser, Subcommand, ValueEnum};
use std::net::SocketAddr;
use std::path::PathBuf;

/// Compiles Tollway's resources into routing tables, serves them to proxies, keeps the ledgers of budgets and writes status.
#[derive(Parser)]
#[command(name = "tollway-operator", version)]
pub struct Cli {
    /// What to do.
    #[command(subcommand)]
    pub command: Command,
}

/// What to do.
#[derive(Subcommand)]
pub enum Command {
    /// Run the operator; the cluster comes from KUBECONFIG, ~/.kube/config or the Pod's service account.
    Run(Box<Run>),
    /// Print the CustomResourceDefinitions as YAML, for `kubectl apply -f -`.
    Crds,
}

/// Settings of `run`.
#[derive(Args, Clone, Debug)]
pub struct Run {
    /// Where proxies connect (gRPC over TLS).
    #[arg(long, env = "TOLLWAY_LISTEN", default_value = "0.0.0.0:8443")]
    pub listen: SocketAddr,
    /// Where /livez, /readyz and /metrics are served.
    #[arg(long, env = "TOLLWAY_ADMIN", default_value = "0.0.0.0:9092")]
    pub admin: SocketAddr,
    /// The operator's own namespace: ledgers, lease, TLS Secret. Default: the service account's or kubeconfig's, else tollway-system.
    #[arg(long, env = "TOLLWAY_NAMESPACE")]
    pub namespace: Option<String>,
    /// Name of this replica that no other process bears at the same time: the Pod's. Restarted under it, a leader has its lease back at once.
    /// Default: the host's, made unique, so that a restart waits 6 s for the lease to end.
    #[arg(long, env = "TOLLWAY_REPLICA", value_name = "NAME", value_parser = NonEmptyStringValueParser::new())]
    pub replica: Option<String>,
    /// Serve this namespace only. Default: all.
    #[arg(long, env = "TOLLWAY_WATCH_NAMESPACE")]
    pub watch_namespace: Option<String>,
    /// Server certificate for proxies, PEM. Default: one is made and kept in Secret tollway-operator-tls, its CA in ConfigMap tollway-ca.
    #[arg(long, env = "TOLLWAY_TLS_CERT", requires = "tls_key")]
    pub tls_cert: Option<PathBuf>,
    /// Key of the server certificate, PEM.
    #[arg(long, env = "TOLLWAY_TLS_KEY", requires = "tls_cert")]
    pub tls_key: Option<PathBuf>,
    /// Further names and addresses for the certificate that is made; repeatable or comma-separated.
    #[arg(long, env = "TOLLWAY_TLS_SAN", value_delimiter = ',')]
    pub tls_san: Vec<String>,
    /// Audience that a proxy's token must carry.
    #[arg(long, env = "TOLLWAY_TOKEN_AUDIENCE", default_value = "tollway-operator")]
    pub token_audience: String,
    /// ConfigMap in the operator's namespace whose key `prices.yaml` overrides catalog prices.
    #[arg(long, env = "TOLLWAY_CATALOG_CONFIGMAP")]
    pub catalog_configmap: Option<String>,
    /// Namespace of CloudWatch that the figures of budgets are sent to each minute, like `Tollway`. Default: they are not sent.
    #[arg(long, env = "TOLLWAY_CLOUDWATCH_NAMESPACE")]
    pub cloudwatch_namespace: Option<String>,
    /// Namespaces whose ConfigMap tollway-ca is kept with the authority of the certificate, for gateways there; repeatable or
    /// comma-separated. Default: the operator's own only.
    #[arg(long, env = "TOLLWAY_PUBLISH_CA_TO", value_name = "NAMESPACE", value_delimiter = ',')]
    pub publish_ca_to: Vec<String>,
    /// What the API server asks.
    #[command(flatten)]
    pub webhook: Webhook,
    /// Log filter, like `info` or `tollway_operator=debug`.
    #[arg(long, env = "TOLLWAY_LOG", default_value = "info")]
    pub log: String,
    /// How log lines look.
    #[arg(long, env = "TOLLWAY_LOG_FORMAT", value_enum, default_value = "text")]
    pub log_format: LogFormat,
}

/// Settings of injection and of the judgement on resources before they are stored.
#[derive(Args, Clone, Debug)]
pub struct Webhook {
    /// Where the API server asks (HTTPS), like 0.0.0.0:9443. Default: nowhere, so nothing is injected and only status judges resources.
    #[arg(long, env = "TOLLWAY_WEBHOOK")]
    pub webhook: Option<SocketAddr>,
    /// Name of the MutatingWebhookConfiguration and of the ValidatingWebhookConfiguration that get the operator's own authority.
    #[arg(long, env = "TOLLWAY_WEBHOOK_CONFIGURATION", default_value = "tollway")]
    pub webhook_configuration: String,
    /// The webhook's certificate, PEM, followed when it is renewed, as by cert-manager, which then sees to the two configurations too.
    /// Default: one is made and renewed, and kept in Secret tollway-webhook-tls.
    #[arg(long, env = "TOLLWAY_WEBHOOK_CERT", requires = "webhook_key")]
    pub webhook_cert: Option<PathBuf>,
    /// Key of the webhook's certificate, PEM.
    #[arg(long, env = "TOLLWAY_WEBHOOK_KEY", requires = "webhook_cert")]
    pub webhook_key: Option<PathBuf>,
    /// Where injected proxies find the operator; repeatable or comma-separated. Default: port 8443 of Service tollway-operator.
    #[arg(long, env = "TOLLWAY_PROXY_OPERATOR", value_delimiter = ',')]
    pub proxy_operator: Vec<String>,
    /// PEM file with the authority of --tls-cert, for injected proxies. Default: the authority that the operator made; with --tls-cert
    /// the proxies' own.
    #[arg(long, env = "TOLLWAY_PROXY_OPERATOR_CA")]
    pub proxy_operator_ca: Option<PathBuf>,
    /// What an annotation says for Pods that do not have it, without `tollway.dev/`, like proxy-image=example/tollway-proxy:1;
    /// repeatable or separated by semicolons.
    #[arg(long, env = "TOLLWAY_INJECT_DEFAULT", value_delimiter = ';', value_parser = pair)]
    pub inject_default: Vec<(String, String)>,
}

fn pair(text: &str) -> Result<(String, String), String> {
    let (name, value) = text.split_once('=').ok_or("write name=value, like proxy-log=debug")?;
    Ok((name.trim().to_owned(), value.to_owned()))
}

/// How log lines look.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum LogFormat {
    /// For people.
    Text,
    /// One JSON object a line.
    Json,
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory;

    #[test]
    fn flags_are_consistent() {
        Cli::command().debug_assert();
    }

    #[test]
    fn a_certificate_needs_its_key() {
        assert!(Cli::try_parse_from(["tollway-operator", "run", "--tls-cert", "a.pem"]).is_err());
        assert!(Cli::try_parse_from(["tollway-operator", "run", "--tls-cert", "a.pem", "--tls-key", "a.key"]).is_ok());
    }

    #[test]
    fn a_default_for_injection_is_a_pair() {
        let parsed = |text| Cli::try_parse_from(["tollway-operator", "run", "--inject-default", text]);
        let Ok(Cli { command: Command::Run(run) }) = parsed("proxy-log=info,a=debug;proxy-threads=2") else {
            panic!("not a run")
        };
        let expected = [("proxy-log", "info,a=debug"), ("proxy-threads", "2")];
        assert_eq!(run.webhook.inject_default, expected.map(|(name, value)| (name.to_owned(), value.to_owned())));
        assert!(parsed("proxy-log").is_err());
    }

    #[test]
    fn every_flag_has_an_environment_variable() {
        let command = Cli::command();
        let run = command.find_subcommand("run").unwrap();
        for flag in
            run.get_arguments().filter(|flag| flag.get_long().is_some_and(|long| long != "help" && long != "version"))
        {
            let long = flag.get_long().unwrap().to_uppercase().replace('-', "_");
            let variable = flag.get_env().map(|variable| variable.to_string_lossy().into_owned());
            assert_eq!(variable, Some(format!("TOLLWAY_{long}")));
        }
    }

    #[test]
    fn names_for_the_certificate_may_be_a_list() {
        let cli = Cli::try_parse_from(["tollway-operator", "run", "--tls-san", "a,b", "--tls-san", "10.0.0.1"]);
        let Ok(Cli { command: Command::Run(run) }) = cli else { panic!("not a run") };
        assert_eq!(run.tls_san, ["a", "b", "10.0.0.1"]);
    }
}
