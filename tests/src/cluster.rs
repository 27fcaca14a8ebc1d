//! In: nothing. Out: a real etcd and kube-apiserver on free loopback ports, with Tollway's CRDs established and RBAC on.
//!
//! ```no_run
//! # async fn example() {
//! use tollway_tests::cluster::Cluster;
//! let cluster = Cluster::shared().await;                    // one for all tests of a binary; work in a namespace of your own
//! let namespace = cluster.namespace("team").await;
//! cluster.apply(&namespace, "examples/quickstart");         // kubectl apply -f
//! let pod = cluster.proxy_pod(&namespace, "proxy-0").await; // a Pod and its projected token, bound to it
//! let mine = Cluster::start().await;                        // one to break: stop_api_server, pause_api_server ...
//! mine.stop_api_server();
//! mine.start_api_server().await;
//! # }
//! ```
//!
//! There is no kubelet, no scheduler and no controller-manager: a Pod is an object and stays Pending, a deleted namespace stays
//! Terminating ([`crate::node`] has them all). Everything ends with the test process.

mod binaries;
mod certificates;
mod kubectl;
mod objects;
mod webhook;

pub use certificates::NODE;
pub use objects::{AUDIENCE, ProxyPod};

use std::net::{IpAddr, Ipv4Addr, SocketAddr, TcpStream};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError};

use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition;
use kube::api::{Api, Patch, PatchParams};
use kube::config::{KubeConfigOptions, Kubeconfig};
use kube::{Client, ResourceExt};
use tokio::sync::OnceCell;

use crate::process::{Process, Program, free_port};
use crate::{scratch, wait};
use certificates::Certificates;

static SHARED: OnceCell<Cluster> = OnceCell::const_new();

/// What differs from the usual.
#[derive(Clone, Copy, Debug)]
pub struct Options {
    /// etcd calls fsync: for tests that crash it.
    pub fsync: bool,
    /// Tollway's CRDs are applied and awaited.
    pub crds: bool,
    /// kube-controller-manager runs too: for garbage collection and the end of namespaces.
    pub controller_manager: bool,
    /// Where etcd and the API server listen. Off loopback, they are part of a node: the API server has its own Endpoints and takes
    /// privileged Pods.
    pub address: IpAddr,
}

impl Default for Options {
    fn default() -> Self {
        Options { fsync: false, crds: true, controller_manager: false, address: Ipv4Addr::LOCALHOST.into() }
    }
}

/// A control plane. Safe to share between tests: it holds processes and files, no runtime.
#[derive(Debug)]
pub struct Cluster {
    folder: PathBuf,
    binaries: PathBuf,
    certificates: Certificates,
    url: String,
    _etcd: Process,
    api_server: Mutex<Process>,
    _controller_manager: Option<Process>,
}

impl Cluster {
    /// The control plane that the tests of this binary share, started by the first that asks.
    pub async fn shared() -> &'static Cluster {
        SHARED.get_or_init(Cluster::start).await
    }

    /// A control plane of one's own, about 3 s and 350 MiB.
    pub async fn start() -> Cluster {
        Cluster::start_with(Options::default()).await
    }

    /// As `start`, with options.
    pub async fn start_with(options: Options) -> Cluster {
        Cluster::start_in(options, |program| program).await
    }

    /// As `start_with`, every program changed before it starts: put into a network of its own.
    pub async fn start_in(options: Options, place: impl Fn(Program) -> Program) -> Cluster {
        let binaries = binaries::find();
        let folder = scratch::folder("cluster");
        let certificates = Certificates::make(&folder.join("pki"), options.address);
        let (etcd_port, port) = (free_port(), free_port());
        let store = SocketAddr::new(options.address, etcd_port);
        let etcd = start_etcd(&binaries, &folder, store, options.fsync, &place).await;
        let address = SocketAddr::new(options.address, port);
        let api_server = place(api_server(&binaries, &certificates, store, address)).start();
        let url = format!("https://{address}");
        let mut cluster = Cluster {
            folder,
            binaries,
            certificates,
            url,
            _etcd: etcd,
            api_server: Mutex::new(api_server),
            _controller_manager: None,
        };
        std::fs::write(cluster.kubeconfig(), cluster.certificates.kubeconfig(&cluster.url)).expect("a kubeconfig file");
        cluster.wait_for_api_server().await;
        if options.crds {
            cluster.establish(tollway_crds::all()).await;
        }
        if options.controller_manager {
            cluster._controller_manager = Some(place(cluster.controller_manager()).start().quiet());
        }
        cluster
    }

    /// The API server's address, `https://127.0.0.1:port`.
    pub fn url(&self) -> &str {
        &self.url
    }

    /// A kubeconfig file of a cluster administrator.
    pub fn kubeconfig(&self) -> PathBuf {
        self.folder.join("kubeconfig")
    }

    /// The file with the certificate authority of the API server.
    pub fn ca(&self) -> &Path {
        &self.certificates.ca
    }

    /// An administrator's client, bound to the calling test's runtime.
    pub async fn client(&self) -> Client {
        client(&self.kubeconfig()).await
    }

    /// Kills the API server; etcd keeps its data. Watches and requests fail until `start_api_server`.
    pub fn stop_api_server(&self) {
        self.api_server().kill();
    }

    /// Starts the API server again on the same port and waits until it is ready.
    pub async fn start_api_server(&self) {
        self.api_server().start_again();
        self.wait_for_api_server().await;
    }

    /// The API server keeps its connections and answers nothing: what a partition looks like.
    pub fn pause_api_server(&self) {
        self.api_server().pause();
    }

    /// Ends `pause_api_server`.
    pub fn resume_api_server(&self) {
        self.api_server().resume();
    }

    /// Applies CRDs and waits until the API server serves them.
    pub async fn establish(&self, crds: Vec<CustomResourceDefinition>) {
        let api: Api<CustomResourceDefinition> = Api::all(self.client().await);
        let manager = PatchParams::apply("tollway-tests").force();
        for crd in &crds {
            let name = crd.name_any();
            api.patch(&name, &manager, &Patch::Apply(crd)).await.unwrap_or_else(|e| panic!("CRD {name}: {e}"));
        }
        for crd in &crds {
            let name = crd.name_any();
            wait::until(&format!("CRD {name} to be established"), async || {
                let conditions = api.get(&name).await.ok()?.status?.conditions?;
                conditions.iter().any(|c| c.type_ == "Established" && c.status == "True").then_some(())
            })
            .await;
        }
    }

    fn api_server(&self) -> MutexGuard<'_, Process> {
        self.api_server.lock().unwrap_or_else(PoisonError::into_inner)
    }

    async fn wait_for_api_server(&self) {
        let client = self.client().await;
        wait::until("kube-apiserver to be ready", async || {
            {
                let mut process = self.api_server();
                assert!(process.is_running(), "kube-apiserver ended:\n{}", process.log_tail(30));
            }
            let request = http::Request::get("/readyz").body(Vec::new()).ok()?;
            (client.request_text(request).await.ok()? == "ok").then_some(())
        })
        .await;
    }

    /// The kubeconfig of the kubelet of the one node.
    pub(crate) fn kubeconfig_of_node(&self) -> String {
        self.certificates.kubeconfig_of_node(&self.url)
    }

    fn controller_manager(&self) -> Program {
        let kubeconfig = self.kubeconfig();
        let program = self.binaries.join("kube-controller-manager");
        assert!(
            program.is_file(),
            "{} does not exist: unset KUBEBUILDER_ASSETS and run {}",
            program.display(),
            binaries::BUILD
        );
        Program::at(program)
            .arg(format!("--kubeconfig={}", kubeconfig.display()))
            .arg(format!("--service-account-private-key-file={}", self.certificates.signing_key.display()))
            .arg(format!("--root-ca-file={}", self.certificates.ca.display()))
            .args(["--bind-address=127.0.0.1", "--leader-elect=false", "--use-service-account-credentials=false"])
            .arg(format!("--secure-port={}", free_port()))
    }
}

/// A client from a kubeconfig file.
pub async fn client(kubeconfig: &Path) -> Client {
    let kubeconfig = Kubeconfig::read_from(kubeconfig).expect("a kubeconfig file that parses");
    let config = kube::Config::from_custom_kubeconfig(kubeconfig, &KubeConfigOptions::default()).await;
    Client::try_from(config.expect("a kubeconfig that is complete")).expect("a client for it")
}

async fn start_etcd(
    binaries: &Path,
    folder: &Path,
    address: SocketAddr,
    fsync: bool,
    place: impl Fn(Program) -> Program,
) -> Process {
    let url = format!("http://{address}");
    let peer = format!("http://127.0.0.1:{}", free_port());
    let mut program = Program::at(binaries.join("etcd"))
        .arg(format!("--data-dir={}", folder.join("etcd").display()))
        .arg(format!("--listen-client-urls={url}"))
        .arg(format!("--advertise-client-urls={url}"))
        .arg(format!("--listen-peer-urls={peer}"))
        .arg(format!("--initial-advertise-peer-urls={peer}"))
        .arg(format!("--initial-cluster=default={peer}"));
    if !fsync {
        program = program.arg("--unsafe-no-fsync");
    }
    let mut etcd = place(program).start().quiet();
    wait::until("etcd to listen", async || {
        assert!(etcd.is_running(), "etcd ended:\n{}", etcd.log_tail(30));
        TcpStream::connect(address).ok()
    })
    .await;
    etcd
}

fn api_server(binaries: &Path, certificates: &Certificates, store: SocketAddr, address: SocketAddr) -> Program {
    let program = if address.ip().is_loopback() {
        Program::at(binaries.join("kube-apiserver")).arg("--endpoint-reconciler-type=none")
    } else {
        // Logs and exec go from here to the kubelet.
        Program::at(binaries.join("kube-apiserver"))
            .arg(format!("--kubelet-client-certificate={}", certificates.admin.display()))
            .arg(format!("--kubelet-client-key={}", certificates.admin_key.display()))
            .args(["--kubelet-preferred-address-types=InternalIP", "--allow-privileged=true"])
    };
    let ip = address.ip();
    program
        .arg(format!("--etcd-servers=http://{store}"))
        .arg(format!("--secure-port={}", address.port()))
        .args([format!("--bind-address={ip}"), format!("--advertise-address={ip}")])
        .args(["--authorization-mode=Node,RBAC", "--service-cluster-ip-range=10.96.0.0/16"])
        .arg(format!("--tls-cert-file={}", certificates.server.display()))
        .arg(format!("--tls-private-key-file={}", certificates.server_key.display()))
        .arg(format!("--client-ca-file={}", certificates.ca.display()))
        .arg("--service-account-issuer=https://kubernetes.default.svc.cluster.local")
        .arg(format!("--service-account-key-file={}", certificates.signing_public.display()))
        .arg(format!("--service-account-signing-key-file={}", certificates.signing_key.display()))
}
