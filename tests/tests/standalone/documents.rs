//! The pages that show proxies on folders, and their commands as they stand but for the ports; what a reader sees out.

use super::setup::with_aws;
use serde_json::Value;
use std::collections::BTreeMap;
use std::path::Path;
use tollway_tests::documents::{self, By, Ran};
use tollway_tests::moto::Moto;
use tollway_tests::process::{Process, Program, free_port, path, workspace};
use tollway_tests::sim::{Answers, Config, Embeds, Model, Price, Sim};
use tollway_tests::{http, scratch, wait};

const QUICKSTART: &str = "examples/quickstart/README.md";
const LIMITS: &str = "examples/shared-limits/README.md";
const NOVA: &str = "examples/nova-with-ollama-fallback/README.md";
const EMBEDDINGS: &str = "examples/embeddings/README.md";

/// Ports on pages; each is another one here, for those may be taken.
const PORTS: [&str; 5] = ["8080", "8081", "9091", "9092", "6399"];

/// Somebody at a terminal, with one page before them.
struct Reader<'a> {
    ran: &'a mut Ran,
    sim: &'a Sim,
    /// What stands on the page, and what is typed instead.
    instead: BTreeMap<String, String>,
    env: BTreeMap<String, String>,
    servers: Vec<Process>,
}

impl<'a> Reader<'a> {
    fn new(ran: &'a mut Ran, sim: &'a Sim) -> Reader<'a> {
        let folder = scratch::folder("reader");
        let below = |name: &str| folder.join(name).display().to_string();
        let mut instead: BTreeMap<String, String> = PORTS.map(|port| (port.to_owned(), free_port().to_string())).into();
        instead.extend(["one", "two"].map(|name| (format!("/tmp/{name}"), below(name))));
        let programs = path("tollway-proxy").parent().map(Path::to_owned).unwrap_or_default();
        let env = [
            ("PATH", format!("{}:{}", programs.display(), std::env::var("PATH").unwrap_or_default())),
            ("TOLLWAY_LISTEN", format!("127.0.0.1:{}", instead["8080"])),
            ("TOLLWAY_ADMIN", format!("127.0.0.1:{}", instead["9091"])),
            ("TOLLWAY_STATE_DIR", below("state")),
        ];
        let env = env.map(|(name, value)| (name.to_owned(), value)).into();
        Reader { ran, sim, instead, env, servers: Vec::new() }
    }

    fn typed(&self, text: &str) -> String {
        self.instead.iter().fold(text.to_owned(), |text, (old, new)| text.replace(old, new))
    }

    fn shell(&self, line: &str) -> Program {
        let program = Program::at("bash").args(["-euo", "pipefail", "-c", line]);
        self.env.iter().fold(with_aws(self.sim, program), |program, (name, value)| program.env(name, value))
    }

    /// Runs one command to its end and gives what it printed.
    fn run(&self, line: &str) -> String {
        let output = self.shell(line).output();
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        assert!(output.status.success(), "{line}: {}\n{}{}", output.status, text(&output.stdout), text(&output.stderr));
        text(&output.stdout)
    }

    /// Starts what goes on until it is stopped, and waits until it answers.
    async fn serve(&mut self, line: &str) {
        let line = line.trim_end_matches(" &");
        let listens = line.split(' ').skip_while(|word| !matches!(*word, "--listen" | "--port")).nth(1);
        let port = listens.unwrap_or(&self.instead["8080"]).rsplit(':').next().unwrap_or_default();
        let at = format!("127.0.0.1:{port}");
        // One process, which is stopped with this reader.
        self.servers.push(self.shell(&format!("exec {line}")).start());
        wait::until(&format!("{line} to answer"), async || {
            if line.starts_with("redis-server") {
                return tokio::net::TcpStream::connect(&at).await.is_ok().then_some(());
            }
            http::try_get(&format!("http://{at}/v1/models"))
                .await
                .ok()
                .filter(|said| said.status.is_success())
                .map(drop)
        })
        .await;
    }

    /// Goes through the page and gives what each command that ends has printed.
    async fn read(&mut self, page: &str) -> Vec<String> {
        let mut said: Vec<String> = Vec::new();
        for command in documents::of(page).iter().filter(|command| command.by() == Some(By::Shell)) {
            let text = self.ran.note(command);
            let typed = self.typed(text);
            // What a page calls `$id` is what the answer before gave.
            let before: Value = said.last().and_then(|text| serde_json::from_str(text).ok()).unwrap_or_default();
            if let Some(id) = before["id"].as_str() {
                self.env.insert("id".to_owned(), id.to_owned());
            }
            if let Some((name, value)) = typed.strip_prefix("export ").and_then(|set| set.split_once('=')) {
                self.env.insert(name.to_owned(), value.to_owned());
            } else if typed.starts_with("tollway-proxy ") || typed.starts_with("redis-server ") {
                self.serve(&typed).await;
            } else if typed.contains("/result ") {
                said.push(
                    wait::until("the job to be over", async || {
                        Some(self.run(&typed)).filter(|text| !text.contains("error"))
                    })
                    .await,
                );
            } else {
                said.push(self.run(&typed));
            }
        }
        said
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_pages_say_of_proxies_on_folders_is_so() {
    let mut ran = Ran::default();
    let sim = Sim::start(Config::default()).await.expect("a simulator");

    let mut reader = Reader::new(&mut ran, &sim);
    // What `make quickstart` starts when it has built it.
    reader.serve("tollway-proxy standalone examples/quickstart").await;
    let said = reader.read(QUICKSTART).await;
    let [one, stream, models] = said.as_slice() else { panic!("{said:#?}") };
    assert!(
        one.starts_with("HTTP/1.1 200") && one.contains("x-tollway-target: ") && one.contains("x-tollway-cost-usd: "),
        "{one}"
    );
    assert!(stream.trim_end().ends_with("data: [DONE]"), "{stream}");
    assert!(models.contains("\"assistant\""), "{models}");

    let mut reader = Reader::new(&mut ran, &sim);
    let said = reader.read(LIMITS).await;
    let of = |text: &str| said[0].lines().filter(|line| line.trim_end().to_lowercase() == text).count();
    let statuses: Vec<&str> = said[0].lines().filter_map(|line| line.strip_prefix("HTTP/1.1 ")?.get(..3)).collect();
    assert_eq!(statuses, ["200", "200", "200", "200", "200", "429"], "{}", said[0]);
    assert_eq!(of("x-tollway-cache: hit"), 4, "{}", said[0]);
    assert_eq!(of("x-ratelimit-remaining-requests: 3"), 1, "{}", said[0]);

    let mut reader = Reader::new(&mut ran, &sim);
    reader.serve("tollway-proxy standalone examples/nova-with-ollama-fallback").await;
    let said = reader.read(NOVA).await;
    assert!(said[0].contains("\"chat.completion\""), "{said:?}");

    embeddings(&mut ran).await;
    ran.assert_all(By::Shell);
}

/// The endpoint, and a bucket for its jobs.
async fn embeddings(ran: &mut Ran) {
    let moto = Moto::start().await;
    moto.run("moto_jobs.py", &["make", "my-bucket", "dead"]).await;
    let mut config = Config { s3: Some(moto.url.clone()), ..Config::default() };
    for name in ["bge-m3-embeddings", "bge-m3-batches"] {
        let embeds = Embeds { answers: Answers::Bare, dimensions: 1024, ..Embeds::default() };
        config.models.insert(name.to_owned(), Model { embeds: Some(embeds), ..Model::priced(Price::default()) });
    }
    let sim = Sim::start(config).await.expect("a simulator");
    let mut reader = Reader::new(ran, &sim);
    for service in ["S3", "SQS"] {
        reader.env.insert(format!("AWS_ENDPOINT_URL_{service}"), moto.url.clone());
    }
    // The page has one add `jobs` to the spec, in words that stand there.
    let page = std::fs::read_to_string(workspace().join(EMBEDDINGS)).expect("the page");
    let jobs = page.split('`').find(|part| part.starts_with("jobs: {")).expect("`jobs: {...}` on the page");
    let folder = scratch::folder("embeddings");
    for file in std::fs::read_dir(workspace().join("examples/embeddings")).expect("the example").flatten() {
        let text = std::fs::read_to_string(file.path()).expect("a file of the example");
        let text = text.replacen("  batching:", &format!("  {jobs}\n  batching:"), 1);
        std::fs::write(folder.join(file.file_name()), text).expect("a copy");
    }
    let texts = folder.join("texts.json");
    std::fs::write(&texts, r#"{"model": "BAAI/bge-m3", "input": ["one", "two"]}"#).expect("a file of texts");
    reader.instead.insert("examples/embeddings".to_owned(), folder.display().to_string());
    reader.instead.insert("@texts.json".to_owned(), format!("@{}", texts.display()));
    let said = reader.read(EMBEDDINGS).await;
    let [vectors, job, seen, result] = said.as_slice() else { panic!("{said:#?}") };
    assert!(vectors.starts_with("HTTP/1.1 200") && vectors.contains("\"embedding\":["), "{vectors}");
    assert!(job.contains("\"queued\"") && seen.contains("\"item_counts\""), "{job}{seen}");
    assert_eq!(result.lines().filter(|line| line.contains("\"embedding\"")).count(), 2, "{result}");
}
