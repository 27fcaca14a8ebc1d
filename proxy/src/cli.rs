//! Flags and environment in, one command run, an exit code out.

mod prices;
mod status;
mod table;

pub(crate) use table::columns;

use crate::run::{self, Settings, Source};
use crate::server::TlsFiles;
use crate::store::Address;
use anyhow::{Context, ensure};
use clap::{Args, Parser, Subcommand, ValueEnum};
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use std::convert::Infallible;
use std::fmt;
use std::net::SocketAddr;
use std::num::NonZeroUsize;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::str::FromStr;
use std::time::Duration;
use tracing_subscriber::EnvFilter;

/// Routes model traffic and keeps its cost under a hard cap.
#[derive(Debug, Parser)]
#[command(name = "tollway-proxy", version, propagate_version = true, max_term_width = 110)]
pub struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Serve the routes of this Pod's namespace, as the operator publishes them.
    Run(Box<RunArgs>),
    /// Serve the manifests in a folder, watched: no cluster and no operator needed.
    #[command(after_help = "Example:\n  tollway-proxy standalone examples/quickstart\n  \
        curl localhost:8080/v1/chat/completions -H 'content-type: application/json' \\\n    \
        -d '{\"model\":\"assistant\",\"messages\":[{\"role\":\"user\",\"content\":\"hello\"}]}'")]
    Standalone(Box<StandaloneArgs>),
    /// Show what a running proxy serves, what it saw and what its budgets have left.
    Status(status::StatusArgs),
    /// List the prices shipped with this version: models in USD per million tokens, SageMaker instances in USD an hour.
    Prices(prices::PricesArgs),
}

#[derive(Debug, Args)]
struct RunArgs {
    /// The operator's address, like https://tollway-operator.tollway-system:8443. Repeat it for several; every address a
    /// name resolves to is tried.
    #[arg(long, env = "TOLLWAY_OPERATOR", value_name = "URL", value_delimiter = ',', required = true)]
    operator: Vec<String>,
    /// PEM file with the authority that signed the operator's certificate; absent: the system's own.
    #[arg(long, env = "TOLLWAY_OPERATOR_CA", value_name = "FILE")]
    operator_ca: Option<PathBuf>,
    /// Service-account token with audience tollway-operator; read again at every connect.
    #[arg(long, env = "TOLLWAY_TOKEN_FILE", value_name = "FILE", default_value = "/var/run/secrets/tollway.dev/token")]
    token_file: PathBuf,
    /// Where the last good table is kept, so that a restart serves without the operator.
    #[arg(long, env = "TOLLWAY_STATE_DIR", value_name = "DIR", default_value = "/var/lib/tollway")]
    state_dir: PathBuf,
    #[command(flatten)]
    serve: ServeArgs,
}

#[derive(Debug, Args)]
struct StandaloneArgs {
    /// Folder with manifests (*.yaml, *.yml, *.json): resources, and the Secrets and ConfigMaps they refer to.
    folder: PathBuf,
    /// Where the budgets' ledger and the last accepted resources are kept; one proxy at a time.
    /// Default: a folder of its own under $XDG_STATE_HOME/tollway or ~/.local/state/tollway.
    #[arg(long, env = "TOLLWAY_STATE_DIR", value_name = "DIR")]
    state_dir: Option<PathBuf>,
    #[command(flatten)]
    serve: ServeArgs,
}

#[derive(Debug, Args)]
struct ServeArgs {
    /// Where clients connect. An address that other machines can reach needs --tls-cert and --tls-key.
    #[arg(long, env = "TOLLWAY_LISTEN", value_name = "ADDRESS", default_value = "127.0.0.1:8080")]
    listen: SocketAddr,
    /// Where /livez, /readyz and /metrics answer, and to loopback callers /status and /table.
    #[arg(long, env = "TOLLWAY_ADMIN", value_name = "ADDRESS", default_value = "127.0.0.1:9091")]
    admin: SocketAddr,
    /// Certificate chain of a gateway (PEM), followed when it is renewed. A gateway serves routes with `auth` only.
    #[arg(long, env = "TOLLWAY_TLS_CERT", value_name = "FILE", requires = "tls_key")]
    tls_cert: Option<PathBuf>,
    /// Private key of that certificate (PEM).
    #[arg(long, env = "TOLLWAY_TLS_KEY", value_name = "FILE", requires = "tls_cert")]
    tls_key: Option<PathBuf>,
    /// Largest request body accepted, in bytes.
    #[arg(long, env = "TOLLWAY_MAX_BODY", value_name = "BYTES", default_value_t = 20 * 1024 * 1024)]
    max_body: usize,
    /// Bytes of memory for the answers of routes with a cache.
    #[arg(long, env = "TOLLWAY_CACHE_SIZE", value_name = "BYTES", default_value_t = crate::cache::CAPACITY)]
    cache_size: u64,
    /// The Redis or Valkey that limits with scope Global and answers with scope Shared are kept in, the same for every proxy:
    /// redis://[user:password@]host[:port][/database], or rediss:// for TLS. A secret: it is neither logged nor shown. Other
    /// users of this machine can read arguments, so prefer the variable.
    #[arg(long, env = "TOLLWAY_REDIS_URL", value_name = "URL", hide_env_values = true)]
    redis_url: Option<RedisUrl>,
    /// How long a reply of Redis may take, in milliseconds. A request goes on without one after that.
    #[arg(long, env = "TOLLWAY_REDIS_TIMEOUT", value_name = "MILLISECONDS", default_value_t = 50, value_parser = clap::value_parser!(u64).range(1..=60_000))]
    redis_timeout: u64,
    /// Threads that serve connections. Default: 1, which costs the least CPU time a request; with --tls-cert the cores of this machine,
    /// 4 at most.
    #[arg(long, env = "TOLLWAY_THREADS", value_name = "COUNT")]
    threads: Option<NonZeroUsize>,
    /// What is logged: error, warn, info, debug or trace, or per module as in info,tollway_proxy::ledger=debug.
    #[arg(long, env = "TOLLWAY_LOG", value_name = "FILTER", default_value = "info")]
    log: String,
    /// How log lines look.
    #[arg(long, env = "TOLLWAY_LOG_FORMAT", value_name = "FORMAT", default_value = "text")]
    log_format: LogFormat,
}

/// The text of `--redis-url`, checked later: what clap finds wrong it repeats.
#[derive(Clone)]
struct RedisUrl(String);

impl FromStr for RedisUrl {
    type Err = Infallible;

    fn from_str(text: &str) -> Result<Self, Infallible> {
        Ok(Self(text.to_owned()))
    }
}

impl fmt::Debug for RedisUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("RedisUrl")
    }
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum LogFormat {
    Text,
    Json,
}

/// Runs the command; errors go to stderr with their causes.
#[must_use]
pub fn main(cli: Cli) -> ExitCode {
    let done = match cli.command {
        Command::Run(args) => serve_run(*args),
        Command::Standalone(args) => serve_standalone(*args),
        Command::Status(args) => status::print(&args),
        Command::Prices(args) => prices::print(&args),
    };
    match done {
        Ok(code) => code,
        Err(error) => {
            eprintln!("tollway-proxy: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn serve_run(args: RunArgs) -> anyhow::Result<ExitCode> {
    let RunArgs { operator, operator_ca, token_file, state_dir, serve } = args;
    start(Source::Operator { urls: operator, ca: operator_ca, token_file }, state_dir, &serve)
}

fn serve_standalone(args: StandaloneArgs) -> anyhow::Result<ExitCode> {
    let StandaloneArgs { folder, state_dir, serve } = args;
    ensure!(
        folder.is_dir(),
        "{} is not a folder: give the folder that holds the manifests, like examples/quickstart",
        folder.display()
    );
    let state_dir = state_dir.map_or_else(|| default_state_dir(&folder), Ok)?;
    start(Source::Folder(folder), state_dir, &serve)
}

fn start(source: Source, state_dir: PathBuf, args: &ServeArgs) -> anyhow::Result<ExitCode> {
    let ServeArgs {
        listen,
        admin,
        tls_cert,
        tls_key,
        max_body,
        cache_size,
        redis_url,
        redis_timeout,
        threads,
        log,
        log_format,
    } = args;
    start_log(log, *log_format)?;
    let tls = tls_cert.clone().zip(tls_key.clone()).map(|(cert, key)| TlsFiles { cert, key });
    ensure!(
        tls.is_some() || listen.ip().is_loopback(),
        "--listen {listen} can be reached from other machines, and without TLS it would carry keys and prompts in the clear: \
         give --tls-cert and --tls-key, or listen on 127.0.0.1"
    );
    let address = redis_address(redis_url.as_ref())?;
    let settings = Settings {
        source,
        state_dir,
        listen: *listen,
        admin: *admin,
        tls,
        max_body: *max_body,
        cache_size: *cache_size,
        threads: threads.unwrap_or_else(|| if args.tls_cert.is_some() { gateway_threads() } else { NonZeroUsize::MIN }),
        redis: address.map(|address| (address, Duration::from_millis(*redis_timeout))),
    };
    raise_file_limit();
    // What serves has threads of its own; this one follows the source, keeps the ledger and answers the admin port.
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(1)
        .enable_all()
        .build()
        .context("the runtime did not start")?;
    let code = runtime.block_on(run::run(settings))?;
    runtime.shutdown_background();
    Ok(code)
}

fn gateway_threads() -> NonZeroUsize {
    let cores = std::thread::available_parallelism().unwrap_or(NonZeroUsize::MIN);
    cores.min(NonZeroUsize::MIN.saturating_add(3))
}

/// A stream takes two descriptors, and many systems start programs with room for 1,024.
fn raise_file_limit() {
    let limit = getrlimit(Resource::Nofile);
    if let Err(error) = setrlimit(Resource::Nofile, Rlimit { current: limit.maximum, ..limit }) {
        tracing::warn!(%error, limit = limit.current, "the limit on open files stays: each stream takes two");
    }
}

/// A variable that is set to nothing is not set.
fn redis_address(url: Option<&RedisUrl>) -> anyhow::Result<Option<Address>> {
    let url = url.filter(|url| !url.0.is_empty());
    Ok(url.map(|url| Address::parse(&url.0)).transpose()?)
}

fn start_log(filter: &str, format: LogFormat) -> anyhow::Result<()> {
    let filter = EnvFilter::try_new(filter)
        .with_context(|| format!("--log {filter:?} is not a filter: write error, warn, info, debug or trace"))?;
    let log = tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr);
    match format {
        LogFormat::Text => {
            log.with_target(false).with_ansi(std::io::IsTerminal::is_terminal(&std::io::stderr())).init()
        }
        LogFormat::Json => log.json().flatten_event(true).init(),
    }
    Ok(())
}

/// One state folder for each manifest folder, so that two examples never share a ledger.
fn default_state_dir(folder: &Path) -> anyhow::Result<PathBuf> {
    let set = |name| std::env::var_os(name).filter(|value| !value.is_empty()).map(PathBuf::from);
    let base = set("XDG_STATE_HOME")
        .or_else(|| set("HOME").map(|home| home.join(".local/state")))
        .context("neither XDG_STATE_HOME nor HOME is set: say with --state-dir where the budgets' ledger is kept")?;
    let whole = std::path::absolute(folder).with_context(|| format!("{} has no absolute path", folder.display()))?;
    let name = whole.to_string_lossy().replace(['/', '\\', ':'], "-");
    Ok(base.join("tollway").join(name.trim_matches('-')))
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory;

    #[test]
    fn flags_are_consistent_and_every_one_has_an_environment_variable() {
        let command = Cli::command();
        command.clone().debug_assert();
        for name in ["run", "standalone", "status"] {
            let of = command.find_subcommand(name).unwrap();
            for flag in of.get_arguments().filter(|a| a.get_long().is_some_and(|l| l != "help" && l != "version")) {
                let long = flag.get_long().unwrap().to_uppercase().replace('-', "_");
                let variable = flag.get_env().map(|v| v.to_string_lossy().into_owned());
                assert_eq!(variable, Some(format!("TOLLWAY_{long}")), "{name} --{long}");
            }
        }
    }

    #[test]
    fn an_address_others_can_reach_is_refused() {
        let cli = Cli::parse_from(["tollway-proxy", "standalone", "/tmp", "--listen", "0.0.0.0:0"]);
        let Command::Standalone(args) = cli.command else { panic!("standalone was parsed as something else") };
        let StandaloneArgs { folder, serve, .. } = *args;
        let error = start(Source::Folder(folder), PathBuf::from("/nonexistent"), &serve).unwrap_err().to_string();
        assert!(error.contains("other machines"), "{error}");
    }

    #[test]
    fn an_address_of_redis_is_never_repeated() {
        let cli = Cli::parse_from(["tollway-proxy", "standalone", "/tmp", "--redis-url", "http://:pa55word@host"]);
        assert!(!format!("{cli:?}").contains("pa55word"));
        let Command::Standalone(args) = cli.command else { panic!("standalone was parsed as something else") };
        let error = format!("{:?}", redis_address(args.serve.redis_url.as_ref()).unwrap_err());
        assert!(error.contains("--redis-url") && !error.contains("pa55word"), "{error}");
        assert!(redis_address(Some(&RedisUrl(String::new()))).unwrap().is_none(), "set to nothing is not set");
    }

    #[test]
    fn two_folders_have_two_state_folders() {
        let [one, other] = ["/a/b", "/a/c"].map(|f| default_state_dir(Path::new(f)).unwrap());
        assert_ne!(one, other);
    }
}
