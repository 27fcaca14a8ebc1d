//! One request in, one response out, through every layer in order; each stands here with its reason.

mod count;
mod intake;
mod jobs;
pub mod respond;
pub mod threshold;

use crate::access::Entry;
use crate::attempt::{self, Answer, Job, Place, Skip, Tried};
use crate::auth::tokens::Tokens;
use crate::auth::{self, Caller};
use crate::body::{Body, KEEP_ALIVE, Pace};
use crate::cache::{Answers, CAPACITY, From, Sameness};
use crate::dialect::Dialect;
use crate::embed;
use crate::embed::jobs::Desks;
use crate::embed::vectors::Vectors;
use crate::error::{ApiError, Code};
use crate::ledger::Ledger;
use crate::limit::Ask;
use crate::metrics::{Kept, Metrics};
use crate::provider::bedrock::Aws;
use crate::retry::{Schedule, Step};
use crate::select::{self, Facts};
use crate::source::Live;
use crate::store::Store;
use crate::surface::embeddings::check_count;
use crate::surface::{Form, Peek, responses};
use crate::targets::{RouteState, Targets};
use crate::trace::Tracer;
use crate::upstream::{Policy, Upstream};
use http::{Request, Response, StatusCode};
use hyper::body::Incoming;
use intake::Endpoint;
use respond::Reply;
use std::sync::{Arc, OnceLock};
use std::time::{Duration, SystemTime};
use tokio::time::Instant;
use tollway_core::classify::classify;
use tollway_core::spend::bounds;
use tollway_core::table::{Embedder, Embedding, Route, Table};

/// Everything that outlives a request.
#[derive(Debug)]
pub struct Proxy {
    pub live: Live,
    pub ledger: Arc<Ledger>,
    pub metrics: Arc<Metrics>,
    pub targets: Targets,
    pub upstream: Upstream,
    pub answers: Answers,
    pub vectors: Vectors,
    pub jobs: Desks,
    pub tokens: Tokens,
    pub aws: Aws,
    pub tracer: Tracer,
    pub options: Options,
}

/// What the command line says about serving.
#[derive(Clone, Copy, Debug)]
pub struct Options {
    /// Most bytes of a request's body.
    pub body_limit: usize,
    /// What targets without `loopback: true` may reach: `Guarded` in a cluster, `Loopback` in standalone.
    pub policy: Policy,
    /// Reachable from other machines: routes without `auth` are not served.
    pub gateway: bool,
    /// Silence after which a stream's client hears that the answer still runs.
    pub keep_alive: Duration,
    /// Bytes of all answers kept for routes with a cache, and of all vectors kept for embedding endpoints with one.
    pub cache_size: u64,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            body_limit: 20 * 1024 * 1024,
            policy: Policy::Guarded,
            gateway: false,
            keep_alive: KEEP_ALIVE,
            cache_size: CAPACITY,
        }
    }
}

impl Proxy {
    #[must_use]
    pub fn new(
        live: Live,
        ledger: Arc<Ledger>,
        metrics: Arc<Metrics>,
        store: Option<Arc<Store>>,
        tracer: Tracer,
        options: Options,
    ) -> Arc<Self> {
        let targets = Targets::new(Arc::clone(&live), Arc::clone(&metrics), store);
        let answers = Answers::new(options.cache_size);
        Arc::new(Self {
            live,
            ledger,
            metrics,
            targets,
            upstream: Upstream::default(),
            answers,
            vectors: Vectors::new(options.cache_size),
            jobs: Desks::default(),
            tokens: Tokens::default(),
            aws: Aws::new(),
            tracer,
            options,
        })
    }
}

/// Serves one request; never fails.
pub async fn handle(proxy: &Arc<Proxy>, request: Request<Incoming>) -> Response<Body> {
    // A request is named before anything can go wrong with it.
    let mut entry = Entry::new(respond::request_id(), Instant::now());
    // Where requests are traced, so is this one, whatever becomes of it.
    entry.span = proxy.tracer.begin(request.headers(), intake::template(request.uri().path()));
    // The path says which vendor's errors the client understands.
    let dialect = intake::dialect(request.uri().path());
    match serve(proxy, request, dialect, &mut entry).await {
        Ok(reply) => respond::answer(reply, entry),
        Err(error) => respond::rescue(&error, dialect, entry),
    }
}

async fn serve(
    proxy: &Arc<Proxy>,
    request: Request<Incoming>,
    dialect: Dialect,
    entry: &mut Entry,
) -> Result<Reply, ApiError> {
    let (head, body) = request.into_parts();
    // Paths first: what is not served needs neither a table nor a body.
    let endpoint = intake::endpoint(&head)?;
    entry.surface = dialect.name();
    // Without a table nothing is known, not even who may call.
    let serving = proxy.live.load_full().ok_or_else(not_ready)?;
    if endpoint == Endpoint::Models {
        let asked = intake::model(head.uri.path());
        let models = respond::models(&serving, &proxy.tokens, proxy.options.gateway, &head.headers, asked.as_deref());
        return models.map(Reply::Models).ok_or_else(|| unknown_model(&asked.unwrap_or_default()));
    }
    // What is not answered at once: a job is taken, looked at or cancelled.
    if endpoint == Endpoint::Jobs {
        return jobs::serve(proxy, &serving, &head, body, entry).await;
    }
    // The model stands in the body, and everything else follows from the model.
    let body = intake::read(&head, body, dialect, proxy.options.body_limit).await?;
    let peek = dialect.peek(head.uri.path(), &body)?;
    entry.stream = peek.stream;
    // A feature this proxy lacks may be what protects the route, so it is not served half.
    let unserved = select::name(&serving.table, &peek.model).and_then(|name| serving.unserved.get_key_value(name));
    if let Some((name, reason)) = unserved {
        return Err(ApiError::new(Code::NotReady, format!("route {name:?} is not served here: {reason}")));
    }
    // Vectors of one model come from an endpoint of their own, in batches that requests share.
    let place = embeds(&serving.table, &peek);
    if let Some((name, config)) = place.filter(|_| !proxy.options.gateway) {
        let asked = intake::embedding(&peek, config, &head.headers, &body)?;
        (entry.route, entry.stream) = (Some(name.to_owned()), asked.form.is_lines());
        let known = proxy.targets.following(&serving);
        let endpoint = known.embedding(name).ok_or_else(not_ready)?;
        entry.meter = Some(Arc::clone(&endpoint.meter));
        // Endpoints ask nobody who they are; the user whose share of a budget it is is the one that the sidecar's application names.
        let caller = auth::authenticate(None, &serving.secrets, &head.headers, peek.user.as_deref())?;
        return embed::serve(proxy, endpoint, asked, caller.user, entry).await;
    }
    // Whoever reaches a gateway may be anyone: a route that asks nobody who they are is not there.
    let (route_name, route) = select::route(&serving.table, &peek.model)
        .filter(|(_, route)| route.auth.is_some() || !proxy.options.gateway)
        .ok_or_else(|| unknown_model(&peek.model))?;
    if let Form::Embeddings(request) = &peek.form {
        check_count(request)?;
    }
    let known = proxy.targets.following(&serving);
    let state = known.route(route_name).ok_or_else(not_ready)?;
    entry.route = Some(route_name.to_owned());
    entry.meter = Some(Arc::clone(&state.meter));
    // Who calls, before anything is spent on the answer.
    let way = (&proxy.upstream, proxy.options.policy);
    let by_token =
        proxy.tokens.authenticate(route.auth.as_ref(), &head.headers, peek.user.as_deref(), way).await.transpose()?;
    let caller = if let Some(caller) = by_token {
        caller
    } else if dialect.is_signed() && auth::is_signed(&head.headers) {
        auth::by_signature(route.auth.as_ref(), &serving.secrets, &head, &body, SystemTime::now())?
    } else {
        auth::authenticate(route.auth.as_ref(), &serving.secrets, &head.headers, peek.user.as_deref())?
    };
    let input_tokens = peek.size.text_bytes / 4;
    // The route's own text goes before the client's here, so that limits, bounds and every target count and see it.
    let (body, peek) = match &route.system {
        None => (body, peek),
        Some(prompt) => {
            let body = dialect.prepend(&body, prompt)?;
            let mut peek = dialect.peek(head.uri.path(), &body)?;
            responses::prepend(&mut peek, prompt);
            (body, peek)
        }
    };
    // A pace that everyone can keep: what is over it is turned away before it costs anything.
    limit(state, route, &caller, &peek, entry).await?;
    // What is scarce is made to last: each budget that is nearly spent slows its routes down, as it says.
    let reached = proxy.ledger.reached(&route.budgets, &serving.table);
    threshold::pace(&state.paces, &reached, Instant::now())?;
    // The first rule that matches decides; the draw spreads requests over its split.
    let parsed = OnceLock::new();
    let class = route.asks_for_class().then(|| parsed.get_or_init(|| dialect.parse(&body, &peek)).as_ref().ok());
    let class = class.flatten().map(|request| classify(&request.asked()));
    let facts = Facts { headers: &head.headers, user: caller.user.as_deref(), input_tokens, class };
    let rule = select::rule(route, &facts).ok_or_else(|| no_rule(route_name))?;
    let order = threshold::order(route, &reached, || select::order(rule, fastrand::u64(..)));
    // The same question of the same caller has been answered before: nothing is reserved, sent or charged.
    // A count is none, and what a client's beta features make of a question the question does not say.
    let keeps = endpoint == Endpoint::Answer && !head.headers.contains_key("anthropic-beta");
    let place = route.cache.as_ref().filter(|_| keeps).and_then(|cache| {
        let (namespace, fingerprint) = (serving.table.namespace.as_str(), state.fingerprint.as_str());
        let (rule, dialect, path) = (rule.name.as_str(), dialect.name(), head.uri.path());
        let same =
            Sameness { namespace, route: route_name, fingerprint, rule, dialect, path, caller: &caller, body: &body };
        proxy.answers.place(Duration::from_millis(cache.ttl_ms), state.shared.as_ref(), &head.headers, &same)
    });
    entry.client.clone_from(&caller.client);
    if let Some(place) = &place {
        let kept = place.get().await;
        state.meter.cache(match &kept {
            None => Kept::Miss,
            Some((_, From::Memory)) => Kept::Hit,
            Some((_, From::Shared)) => Kept::SharedHit,
        });
        if let Some((kept, _)) = kept {
            entry.target = Some(kept.target.clone());
            return Ok(Reply::Kept { kept, dialect, stream: peek.stream });
        }
    }
    // Money is reserved, the request translated, sent and metered once an attempt; until the first byte another target may answer.
    let ends = entry.began + Duration::from_millis(route.timeouts.total_ms);
    let (id, began) = (entry.id.clone(), entry.began);
    let policy = proxy.options.policy;
    let headers = &head.headers;
    let span = entry.span.clone();
    let span = span.as_ref();
    let job = Job {
        dialect,
        id: &id,
        caller: &caller,
        headers,
        body: &body,
        peek: &peek,
        parsed,
        serving: &serving,
        policy,
        began,
        ends,
        span,
    };
    if endpoint == Endpoint::CountTokens {
        return count::count(proxy, &job, route, state, &order).await.map(Reply::Count);
    }
    let answer = attempts(proxy, &job, route, state, &order, entry).await;
    entry.remaining = proxy.ledger.remaining(&route.budgets);
    let answer = answer?;
    let drain = Duration::from_millis(route.timeouts.drain_on_disconnect_ms);
    let keep_alive = proxy.options.keep_alive;
    let pace = Pace { keep_alive, idle: Duration::from_millis(route.timeouts.idle_ms), ends, drain };
    Ok(Reply::of(answer, dialect, pace, &head.headers, place))
}

/// The embedding endpoint that a request is for: by the name of its model, or of itself at SageMaker.
fn embeds<'a>(table: &'a Table, peek: &Peek) -> Option<(&'a str, &'a Embedding)> {
    let entry = |(name, config): (&'a String, &'a Embedding)| (name.as_str(), config);
    if let Some(place) = table.models.get(&peek.model) {
        return table.embeddings.get_key_value(Embedding::named(place)?).map(entry);
    }
    let own = |config: &Embedding| match config.sources.first().map(|source| &source.embedder) {
        Some(Embedder::SageMaker(target)) => target.endpoint_name == peek.model,
        Some(Embedder::OpenAi(_)) | None => false,
    };
    let is_path = matches!(peek.form, Form::Invocation);
    let found = is_path.then(|| table.embeddings.iter().find(|(name, config)| own(config) || **name == peek.model));
    found.flatten().map(entry)
}

/// Takes the request from the route's rates.
async fn limit(
    state: &RouteState,
    route: &Route,
    caller: &Caller,
    peek: &Peek,
    entry: &mut Entry,
) -> Result<(), ApiError> {
    let stated = peek.max_tokens.or(route.defaults.max_tokens);
    let output = bounds::output_tokens(stated.map(u64::from), None).saturating_mul(peek.n.into());
    let ask = Ask { input: peek.size.text_bytes / 4, output, is_stated: stated.is_some() };
    let (held, admitted) = state.limits.admit(caller, ask, Instant::now()).await;
    if held.as_ref().is_some_and(|held| held.is_alone) {
        state.meter.limit_fallback();
    }
    entry.limited = held;
    admitted
}

/// Tries the targets as the attempts rule says until one answers.
async fn attempts(
    proxy: &Proxy,
    job: &Job<'_>,
    route: &Route,
    state: &RouteState,
    order: &[&str],
    entry: &mut Entry,
) -> Result<Answer, ApiError> {
    let mut schedule = Schedule::new(order.len(), &route.retry);
    let mut skips = Vec::new();
    let mut last: Option<ApiError> = None;
    while let Step::Try { target, wait, repeat } = schedule.next(Instant::now(), fastrand::u64(..)) {
        let place = order.get(target).and_then(|name| {
            let (name, target) = route.targets.get_key_value(*name)?;
            Some(Place { route, name, target, state: state.target(name)? })
        });
        let Some(place) = place else {
            schedule.skipped();
            continue;
        };
        if repeat {
            // A failing upstream is not buried under repeats, and nobody waits past the request's end.
            if Instant::now() + wait >= job.ends || !place.state.may_repeat(Instant::now()) {
                break;
            }
            tokio::time::sleep(wait).await;
        }
        match attempt::attempt(proxy, job, &place).await {
            Tried::Skipped(skip) => {
                skips.push(skip);
                schedule.skipped();
                continue;
            }
            Tried::Failed(failure) if failure.stops => {
                entry.tried(place.name);
                return Err(failure.error);
            }
            Tried::Failed(failure) => {
                entry.tried(place.name);
                tracing::debug!(id = job.id, target_name = place.name, error = %failure.error, "attempt failed");
                schedule.attempted(Instant::now(), failure.error.retry_after);
                last = Some(failure.error);
            }
            Tried::Answered(answer) => {
                entry.tried(place.name);
                return Ok(answer);
            }
        }
        if !repeat {
            place.state.first_try(Instant::now());
        }
        if Instant::now() >= job.ends {
            break;
        }
    }
    Err(last.unwrap_or_else(|| nothing_tried(skips, &job.peek.model)))
}

/// Why no target was even tried: what a person can act on comes first.
fn nothing_tried(skips: Vec<Skip>, model: &str) -> ApiError {
    let mut transient = None;
    let (mut refused, mut unpriced, mut inexpressible) = (None, false, None);
    for skip in skips {
        match skip {
            Skip::Refused(refusal) => refused = refused.or(Some(refusal)),
            Skip::NoPrice => unpriced = true,
            Skip::Inexpressible(error) => inexpressible = inexpressible.or(Some(error)),
            Skip::Full => transient = transient.or(Some("every place of its targets' maxConcurrent is taken")),
            Skip::CircuitOpen => transient = transient.or(Some("the circuits of its targets are open")),
            Skip::NoSecret => transient = transient.or(Some("the Secrets of its targets are missing")),
            Skip::NotHere => transient = transient.or(Some("its targets cannot be reached from this proxy")),
        }
    }
    if let Some(refusal) = refused {
        return ApiError::new(refusal.code(), refusal.to_string());
    }
    match (transient, unpriced, inexpressible) {
        (Some(why), _, _) => {
            ApiError::upstream(StatusCode::SERVICE_UNAVAILABLE, format!("{model:?} is not available: {why}"))
        }
        (None, _, Some(error)) => error,
        (None, true, None) => ApiError::new(
            Code::PriceUnknown,
            format!(
                "a budget binds {model:?} and none of its targets has a price: add `price` to a target or to the catalog"
            ),
        ),
        (None, false, None) => ApiError::upstream(
            StatusCode::SERVICE_UNAVAILABLE,
            format!("{model:?} has no target to try: see its ModelRoute"),
        ),
    }
}

fn not_ready() -> ApiError {
    ApiError::new(Code::NotReady, "no routing table has arrived yet; try again in a moment")
}

fn unknown_model(model: &str) -> ApiError {
    let message = format!("no route serves the model {model:?}; GET /v1/models lists those there are");
    ApiError::new(Code::ModelNotFound, message).param("model")
}

fn no_rule(route: &str) -> ApiError {
    let message = format!("no rule of route {route:?} matches this request; a rule without `when` would");
    ApiError::new(Code::ModelNotFound, message).param("model")
}

#[cfg(test)]
mod tests;
