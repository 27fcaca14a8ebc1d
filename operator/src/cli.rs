//! Command line and environment in, settings out; every flag has a `TOLLWAY_...` variable.

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
    /// Serve this namespace only. Default: all.
    #[arg(long, env = "TOLLWAY_WATCH_NAMESPACE")]
    pub watch_namespace: Option<String>,
    /// Server certificate, PEM. Default: one is made and kept in Secret tollway-operator-tls, its CA in ConfigMap tollway-ca.
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
    /// Log filter, like `info` or `tollway_operator=debug`.
    #[arg(long, env = "TOLLWAY_LOG", default_value = "info")]
    pub log: String,
    /// How log lines look.
    #[arg(long, env = "TOLLWAY_LOG_FORMAT", value_enum, default_value = "text")]
    pub log_format: LogFormat,
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
    fn names_for_the_certificate_may_be_a_list() {
        let cli = Cli::try_parse_from(["tollway-operator", "run", "--tls-san", "a,b", "--tls-san", "10.0.0.1"]);
        let Ok(Cli { command: Command::Run(run) }) = cli else { panic!("not a run") };
        assert_eq!(run.tls_san, ["a", "b", "10.0.0.1"]);
    }
}
