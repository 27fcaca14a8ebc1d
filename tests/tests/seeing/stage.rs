//! Nothing in. Out: an operator and proxies of a real cluster with Redis, a collector, a budget, an embedding endpoint, and traffic of every
//! kind that the dashboards show.

use serde_json::json;
use tollway_tests::cluster::Cluster;
use tollway_tests::collector::Collector;
use tollway_tests::http;
use tollway_tests::manifests::{bedrock_route, budget, split_route};
use tollway_tests::process::{Operator, Program, Proxy, Redis, free_port};
use tollway_tests::prometheus::Scraped;
use tollway_tests::sim::{
    Answers, Block, Config, Corruption, Embeds, Exception, Model, Point, Price, Reply, Rule, Sim,
};

/// The only one that the user of Redis has rights for.
pub(super) const NAMESPACE: &str = "team";
const DIMENSIONS: usize = 8;
const NOVA: &str = "us.amazon.nova-pro-v1:0";

/// `broken` fails in its first target and answers from its second; `poor` soon has spent what it may; `vectors` keeps what it embeds.
const RESOURCES: &str = r#"
---
apiVersion: tollway.dev/v1alpha1
kind: ModelRoute
metadata: {name: broken}
spec:
  models: [broken]
  targets:
  - {name: fails, simulated: {failEvery: 1}}
  - {name: works, simulated: {}}
  rules:
  - split: [{target: fails, weight: 1}]
    fallback: [works]
  circuitBreaker: {failures: 2}
---
apiVersion: tollway.dev/v1alpha1
kind: EmbeddingEndpoint
metadata: {name: vectors}
spec:
  model: bge
  dimensions: 8
  sagemaker: {endpointName: bge, region: us-east-1}
  price: {inputPerMillion: "0.10"}
  cache: {ttl: 5m}
"#;

pub(super) struct Stage {
    pub cluster: Cluster,
    pub operator: Operator,
    pub redis: Redis,
    pub collector: Collector,
    /// Two that serve, and one whose token is no token.
    pub proxies: Vec<Proxy>,
    _sim: Sim,
    round: u32,
}

impl Stage {
    pub async fn set() -> Stage {
        let (redis, collector, sim) = (Redis::start().await, Collector::start().await, sim().await);
        let cluster = Cluster::start().await;
        cluster.kubectl(["create", "namespace", NAMESPACE]);
        cluster.service_account(NAMESPACE, "default").await;
        let webhook = format!("127.0.0.1:{}", free_port());
        let operator = Operator::start_with(&cluster, |program| {
            program.arg(format!("--webhook={webhook}")).env("AWS_EC2_METADATA_DISABLED", "true")
        })
        .await;
        cluster.apply_webhook(&webhook).await;
        let nova = bedrock_route("nova", NOVA, "cache: {ttl: 5m, scope: Shared}\ncircuitBreaker: {failures: 1000}");
        let poor = bedrock_route("poor", NOVA, "");
        // One answer, and what is left is less than another may cost.
        let little = budget("little", "0.0140", "targetRefs: [{kind: ModelRoute, name: poor}]");
        let text = format!("{nova}{poor}{little}{}{RESOURCES}", budget("all", "100.00", ""));
        cluster.apply_text(NAMESPACE, &text);
        let mut stage = Stage { cluster, operator, redis, collector, proxies: Vec::new(), _sim: sim, round: 0 };
        for number in 0..2 {
            let pod = stage.cluster.proxy_pod(NAMESPACE, &format!("proxy-{number}")).await;
            let mut proxy = stage.operator.proxy(&pod, |program| stage.surroundings(program));
            proxy.ready().await;
            stage.proxies.push(proxy);
        }
        let mut stranger = stage.cluster.proxy_pod(NAMESPACE, "proxy-2").await;
        stranger.token_file.set_file_name("wrong");
        std::fs::write(&stranger.token_file, "no token").expect("a file for a token");
        stage.proxies.push(stage.operator.proxy(&stranger, |program| program));
        stage
    }

    fn surroundings(&self, program: Program) -> Program {
        program
            .arg(format!("--redis-url={}", self.redis.url()))
            .env("OTEL_EXPORTER_OTLP_ENDPOINT", self.collector.url())
            .env("AWS_ENDPOINT_URL_BEDROCK_RUNTIME", self._sim.url())
            .env("AWS_ENDPOINT_URL_SAGEMAKER_RUNTIME", self._sim.url())
            .env("AWS_ACCESS_KEY_ID", "AKIASIMULATED0000001")
            .env("AWS_SECRET_ACCESS_KEY", "simulated/secret/access/key/number+00001")
            .env("AWS_EC2_METADATA_DISABLED", "true")
    }

    /// As the chart's ServiceMonitor and PodMonitor have them scraped.
    pub fn scraped(&self) -> Vec<Scraped> {
        let operator = Scraped {
            admin: self.operator.admin.clone(),
            job: "tollway-operator".into(),
            namespace: self.operator.namespace.clone(),
            pod: "tollway-operator-0".into(),
        };
        let proxies = self.proxies.iter().enumerate().map(|(number, proxy)| Scraped {
            admin: proxy.admin.clone(),
            job: format!("{}/tollway-proxies", self.operator.namespace),
            namespace: NAMESPACE.into(),
            pod: format!("proxy-{number}"),
        });
        [operator].into_iter().chain(proxies).collect()
    }

    /// Some of everything; a route changes too.
    pub async fn traffic(&mut self) {
        self.round += 1;
        let round = self.round;
        self.cluster.apply_text(NAMESPACE, &split_route("moving", round, 1));
        for proxy in &self.proxies[..2] {
            for text in ["the same each time".to_owned(), format!("round {round}")] {
                proxy.chat("nova", &text).await.ok();
                let body = json!({"model": "bge", "input": [text, "the same each time"]});
                // The first batch comes back with vectors of another size.
                http::post(&format!("{}/v1/embeddings", proxy.url), &body).await;
            }
            // One in three breaks off.
            let _ = proxy.chat_stream("nova", &format!("stream {round}")).await.rest().await;
            proxy.chat("broken", "Tell me of toll roads.").await.ok();
            let poor = proxy.chat("poor", &format!("round {round}")).await;
            assert!([200, 429].contains(&poor.status.as_u16()), "{}", poor.text());
        }
    }
}

async fn sim() -> Sim {
    let embeds = Embeds { answers: Answers::Object, dimensions: DIMENSIONS, ..Embeds::default() };
    let mut config = Config::default();
    let model = Model { embeds: Some(embeds), ..Model::priced(Price { input: 100_000_000_000, ..Price::default() }) };
    config.models.insert("bge".into(), model);
    let sim = Sim::start(config).await.expect("a simulator");
    sim.script(Rule::reply(Reply::blocks(vec![Block::Tokens(50)])).model(NOVA));
    sim.script(Rule::cut(Point::Events(10)).model(NOVA).stream(true).every(3));
    sim.script(Rule::error(Exception::Throttling).model(NOVA).stream(false).every(7));
    sim.script(Rule::corrupt(Corruption::Dimensions, 0).model("bge").times(1));
    sim
}
