//! In: an upstream's address. Out: every proxy that is compared, running before it, with the CPU time it has used.

use std::net::{Ipv4Addr, SocketAddr, TcpStream};
use std::path::{Path, PathBuf};

use super::load::{self, Shape};
use super::manifests;
use crate::process::{Process, Program, Proxy, free_port};
use crate::{scratch, wait};

/// One proxy under measurement.
pub struct Contender {
    pub name: &'static str,
    pub address: SocketAddr,
    pub process: Process,
    shapes: &'static [Shape],
    /// What the others are compared with.
    pub is_baseline: bool,
}

const CHATS: &[Shape] = &[Shape::Plain, Shape::Stream];
const CONVERSES: &[Shape] = &[Shape::Converse, Shape::ConverseStream];
const ALL: &[Shape] = &[Shape::Plain, Shape::Stream, Shape::Vectors, Shape::Units];

impl Contender {
    /// Whether it takes part.
    pub fn serves(&self, shape: Shape) -> bool {
        self.shapes.contains(&shape)
    }

    /// CPU time of the process and its children so far.
    pub fn cpu_nanos(&self) -> u64 {
        self.process.cpu_nanos()
            + children(self.process.pid()).into_iter().map(crate::process::cpu_nanos_of).sum::<u64>()
    }
}

/// The upstream as a process of its own.
pub async fn start_upstream() -> Contender {
    let listen = loopback();
    let process = itself().arg("upstream").arg(listen.to_string()).start();
    listening("upstream", listen, process, &Shape::ALL).await
}

/// All of them, in the order of the table.
pub async fn start_all(upstream: &Contender) -> Vec<Contender> {
    let upstream = upstream.address;
    let nginx = loopback();
    let config = nginx_config(nginx, upstream);
    let program =
        Program::at(nginx_path()).arg("-c").arg(&config).arg("-p").arg(config.parent().unwrap_or(Path::new("/")));
    vec![
        bare("hyper", "reverse", upstream, ALL).await,
        listening("nginx", nginx, program.start(), CHATS).await,
        tollway("tollway", upstream, &[manifests::PLAIN], CHATS).await,
        tollway("tollway+budget", upstream, &[manifests::PLAIN, manifests::BUDGET], CHATS).await,
        tollway("tollway+policies", upstream, &[manifests::POLICIES, manifests::BUDGET], CHATS).await,
        bare("hyper+sigv4", "signing", upstream, CONVERSES).await,
        tollway("tollway", upstream, &[manifests::BEDROCK], CONVERSES).await,
        tollway("tollway", upstream, &[manifests::embedding("bench", load::TEXTS)], &[Shape::Vectors]).await,
        tollway("tollway", upstream, &[manifests::embedding("unit", load::TEXTS)], &[Shape::Units]).await,
    ]
}

/// The bare hyper reverse proxy, by itself.
pub async fn start_bare(upstream: SocketAddr) -> Contender {
    bare("hyper", "reverse", upstream, CHATS).await
}

/// The proxy on these manifests.
pub async fn tollway(
    name: &'static str,
    upstream: SocketAddr,
    manifests: &[impl AsRef<str>],
    shapes: &'static [Shape],
) -> Contender {
    let folder = scratch::folder("manifests");
    let texts: Vec<&str> = manifests.iter().map(AsRef::as_ref).collect();
    let text = texts.join("---\n").replace("UPSTREAM", &upstream.to_string());
    std::fs::write(folder.join("all.yaml"), text).expect("a manifest");
    let proxy = Proxy::standalone_with(&folder, |program| {
        program
            // One line a request is what it logs by default; nginx and the bare proxy log none.
            .arg("--log=warn")
            .env("AWS_ENDPOINT_URL_BEDROCK_RUNTIME", format!("http://{upstream}"))
            .env("AWS_ENDPOINT_URL_SAGEMAKER_RUNTIME", format!("http://{upstream}"))
            .env("AWS_ACCESS_KEY_ID", "AKIDEXAMPLE")
            .env("AWS_SECRET_ACCESS_KEY", "secret")
    })
    .await;
    let address = proxy.url.trim_start_matches("http://").parse().expect("an address");
    Contender { name, address, process: proxy.process, shapes, is_baseline: false }
}

async fn bare(name: &'static str, part: &str, upstream: SocketAddr, shapes: &'static [Shape]) -> Contender {
    let listen = loopback();
    let process = itself().arg(part).arg(listen.to_string()).arg(upstream.to_string()).start();
    listening(name, listen, process, shapes).await
}

async fn listening(
    name: &'static str,
    address: SocketAddr,
    mut process: Process,
    shapes: &'static [Shape],
) -> Contender {
    wait::until(&format!("{name} to listen"), async || {
        assert!(process.is_running(), "{name} ended:\n{}", process.log_tail(30));
        TcpStream::connect(address).ok()
    })
    .await;
    Contender { name, address, process, shapes, is_baseline: true }
}

fn itself() -> Program {
    Program::at(std::env::current_exe().expect("the path of the running program"))
}

fn loopback() -> SocketAddr {
    (Ipv4Addr::LOCALHOST, free_port()).into()
}

fn nginx_path() -> PathBuf {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let folders = std::env::split_paths(&path).chain(["/usr/sbin".into(), "/usr/local/sbin".into()]);
    let found = folders.map(|f| f.join("nginx")).find(|p| p.is_file());
    found.unwrap_or_else(|| panic!("there is no nginx: apt-get install nginx-light"))
}

// As one would configure it for streams of a model: kept connections on both sides, no buffering, no log.
fn nginx_config(listen: SocketAddr, upstream: SocketAddr) -> PathBuf {
    let folder = scratch::folder("nginx");
    let text = format!(
        "daemon off; worker_processes 2; pid {0}/pid; error_log {0}/error.log;
events {{ worker_connections 1024; }}
http {{
  access_log off; keepalive_requests 100000000; tcp_nodelay on;
  client_body_temp_path {0}/body; proxy_temp_path {0}/proxy; fastcgi_temp_path {0}/fastcgi; uwsgi_temp_path {0}/uwsgi; scgi_temp_path {0}/scgi;
  upstream model {{ server {upstream}; keepalive 64; keepalive_requests 100000000; }}
  server {{
    listen {listen};
    location / {{ proxy_pass http://model; proxy_http_version 1.1; proxy_set_header Connection \"\"; proxy_buffering off; }}
  }}
}}
",
        folder.display()
    );
    let path = folder.join("nginx.conf");
    std::fs::write(&path, text).expect("a configuration for nginx");
    path
}

fn children(pid: u32) -> Vec<u32> {
    let list = std::fs::read_to_string(format!("/proc/{pid}/task/{pid}/children")).unwrap_or_default();
    list.split_whitespace().filter_map(|p| p.parse().ok()).collect()
}
