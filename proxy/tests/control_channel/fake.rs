//! An operator played by the tests: real TLS, real gRPC, the real ledger; what it says of tables is scripted.

use std::collections::BTreeMap;
use std::net::TcpListener;
use std::path::PathBuf;
use std::sync::{Arc, Mutex};
use tokio::runtime::{Builder, Runtime};
use tokio::sync::{mpsc, watch};
use tokio_stream::StreamExt;
use tokio_stream::wrappers::ReceiverStream;
use tollway_core::control::ledger_up::Message as LedgerMessage;
use tollway_core::control::watch_up::Message as WatchMessage;
use tollway_core::control::{
    Hello, LedgerDown, LedgerUp, Observation, ObserveDone, TableUpdate, WatchDown, WatchUp, watch_down,
};
use tollway_core::spend::{Event, LedgerState, Nano, Window, convert, ledger::fold};
use tollway_core::table::Table;
use tollway_core::wire;
use tonic::transport::server::TcpIncoming;
use tonic::transport::{Identity, Server, ServerTlsConfig};
use tonic::{Request, Response, Status, Streaming};

mod stub {
    #![allow(clippy::all, clippy::pedantic)]
    include!(concat!(env!("OUT_DIR"), "/server/tollway.control.v1.rs"));
}

pub const TOKEN: &str = "token-of-the-pod";
const LEDGER: &str = "uid-of-the-ledger";

/// What one operator process does and saw; its ledger is shared, as the API server would.
#[derive(Clone)]
pub struct Operator {
    /// False: another replica leads.
    pub leads: bool,
    /// Sent to every stream, the last one at once.
    pub down: watch::Sender<WatchDown>,
    pub hellos: watch::Sender<Vec<Hello>>,
    pub answers: watch::Sender<Vec<WatchMessage>>,
    pub observed: watch::Sender<Option<Observation>>,
    pub ledger: Arc<Mutex<LedgerState>>,
    /// Incarnations with the grants they showed.
    pub shown: watch::Sender<Vec<(String, usize)>>,
}

/// A running operator with a runtime of its own: dropped, its connections break as those of a killed process do.
pub struct Running {
    pub url: String,
    runtime: Option<Runtime>,
}

impl Running {
    /// The address of an operator that will not be there.
    pub fn detached(of: &Self) -> Self {
        Self { url: of.url.clone(), runtime: None }
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        if let Some(runtime) = self.runtime.take() {
            runtime.shutdown_background();
        }
    }
}

/// A certificate for loopback and the files a proxy is given.
pub struct Trust {
    identity: Identity,
    pub ca: PathBuf,
    pub token: PathBuf,
    pub dir: tempfile::TempDir,
}

impl Trust {
    pub fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let key = rcgen::generate_simple_self_signed(["127.0.0.1".to_owned()]).unwrap();
        let pem = key.cert.pem();
        let (ca, token) = (dir.path().join("ca.pem"), dir.path().join("token"));
        std::fs::write(&ca, &pem).unwrap();
        std::fs::write(&token, format!("{TOKEN}\n")).unwrap();
        Self { identity: Identity::from_pem(pem, key.signing_key.serialize_pem()), ca, token, dir }
    }
}

pub fn table_update(revision: u64, table: &Table) -> WatchDown {
    let wire::Encoded { bytes, digest } = wire::encode(table);
    update(TableUpdate { revision, digest, table: bytes, resync: false })
}

pub fn update(update: TableUpdate) -> WatchDown {
    WatchDown { message: Some(watch_down::Message::Table(update)) }
}

impl Operator {
    pub fn new(cap: u64, first: WatchDown) -> Self {
        let window = Window { id: "once".to_owned(), start_ms: 0, end_ms: None };
        Self {
            leads: true,
            down: watch::Sender::new(first),
            hellos: watch::Sender::new(Vec::new()),
            answers: watch::Sender::new(Vec::new()),
            observed: watch::Sender::new(None),
            ledger: Arc::new(Mutex::new(LedgerState::new(Nano(cap), window))),
            shown: watch::Sender::new(Vec::new()),
        }
    }

    pub fn start(&self, trust: &Trust) -> Running {
        self.serve(trust, TcpListener::bind("127.0.0.1:0").unwrap())
    }

    pub fn serve(&self, trust: &Trust, listener: TcpListener) -> Running {
        let url = format!("https://{}", listener.local_addr().unwrap());
        let service = stub::control_server::ControlServer::new(self.clone());
        let tls = ServerTlsConfig::new().identity(trust.identity.clone());
        let server = Server::builder().tls_config(tls).unwrap().add_service(service);
        let runtime = Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
        listener.set_nonblocking(true).unwrap();
        runtime.spawn(async move {
            let listener = tokio::net::TcpListener::from_std(listener).unwrap();
            server.serve_with_incoming(TcpIncoming::from(listener)).await.unwrap();
        });
        Running { url, runtime: Some(runtime) }
    }

    fn admit<T>(&self, request: &Request<T>) -> Result<(), Status> {
        let token = request.metadata().get("authorization").and_then(|value| value.to_str().ok());
        if token != Some(&format!("Bearer {TOKEN}")) {
            return Err(Status::unauthenticated("the token is not one of this cluster"));
        }
        if self.leads { Ok(()) } else { Err(Status::unavailable("another replica leads")) }
    }

    fn fold(&self, incarnation: &str, events: &[Event]) -> Vec<LedgerDown> {
        let mut ledger = self.ledger.lock().unwrap();
        let (next, transition) = fold(&ledger, jiff::Timestamp::now().as_millisecond(), events);
        *ledger = next;
        let told = transition.effects.into_iter();
        let mine = told.filter_map(|effect| convert::down("team", LEDGER, i64::MAX, effect));
        mine.filter(|(to, _)| to == incarnation).map(|(_, down)| down).collect()
    }

    /// One process runs in the Pod at any time: whoever says hello has replaced whoever was there.
    fn events(&self, incarnation: &str, up: LedgerMessage) -> Vec<Event> {
        let event = match up {
            LedgerMessage::Hello(hello) => {
                let held = hello.held.iter().map(convert::shown).collect::<Vec<_>>();
                self.shown.send_modify(|shown| shown.push((incarnation.to_owned(), held.len())));
                let (pod, incarnation) = ("pod".to_owned(), incarnation.to_owned());
                let replaced = Event::Replaced { pod: pod.clone(), live: vec![incarnation.clone()] };
                return vec![Event::Hello { pod, incarnation, held, orphans: vec![] }, replaced];
            }
            LedgerMessage::Ask(ask) => convert::ask("pod", incarnation, &ask),
            LedgerMessage::Report(report) => convert::report(incarnation, report),
            LedgerMessage::Close(close) => convert::close(incarnation, close),
        };
        vec![event]
    }
}

#[tonic::async_trait]
impl stub::control_server::Control for Operator {
    type WatchStream = ReceiverStream<Result<WatchDown, Status>>;
    type LedgerStream = ReceiverStream<Result<LedgerDown, Status>>;

    async fn watch(&self, request: Request<Streaming<WatchUp>>) -> Result<Response<Self::WatchStream>, Status> {
        self.admit(&request)?;
        let mut up = request.into_inner();
        let (send, receive) = mpsc::channel(8);
        let operator = self.clone();
        tokio::spawn(async move {
            let mut down = operator.down.subscribe();
            down.mark_changed();
            loop {
                tokio::select! {
                    message = up.next() => match message {
                        Some(Ok(WatchUp { message: Some(WatchMessage::Hello(hello)) })) => {
                            operator.hellos.send_modify(|all| all.push(hello));
                        }
                        Some(Ok(WatchUp { message: Some(answer) })) => {
                            operator.answers.send_modify(|all| all.push(answer));
                        }
                        _ => return,
                    },
                    _ = down.changed() => {
                        let message = down.borrow_and_update().clone();
                        if send.send(Ok(message)).await.is_err() {
                            return;
                        }
                    }
                }
            }
        });
        Ok(Response::new(ReceiverStream::new(receive)))
    }

    async fn ledger(&self, request: Request<Streaming<LedgerUp>>) -> Result<Response<Self::LedgerStream>, Status> {
        self.admit(&request)?;
        let mut up = request.into_inner();
        let (send, receive) = mpsc::channel(8);
        let operator = self.clone();
        tokio::spawn(async move {
            let mut incarnation = String::new();
            while let Some(Ok(LedgerUp { message: Some(message) })) = up.next().await {
                if let LedgerMessage::Hello(hello) = &message {
                    incarnation.clone_from(&hello.incarnation);
                }
                let events = operator.events(&incarnation, message);
                for down in operator.fold(&incarnation, &events) {
                    if send.send(Ok(down)).await.is_err() {
                        return;
                    }
                }
            }
        });
        Ok(Response::new(ReceiverStream::new(receive)))
    }

    async fn observe(&self, request: Request<Streaming<Observation>>) -> Result<Response<ObserveDone>, Status> {
        self.admit(&request)?;
        let mut up = request.into_inner();
        while let Some(Ok(observation)) = up.next().await {
            self.observed.send_replace(Some(observation));
        }
        Ok(Response::new(ObserveDone {}))
    }
}

/// A table with one budget, `team`, and no routes.
pub fn table(namespace: &str, cap: u64) -> Table {
    use tollway_core::table::Budget;
    let budget = Budget { limit: Nano(cap), ..Budget::default() };
    let budgets = BTreeMap::from([("team".to_owned(), budget)]);
    Table { namespace: namespace.to_owned(), budgets, ..Table::default() }
}
