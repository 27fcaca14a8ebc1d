//! A request about embedding jobs in, as `/v1/embeddings/jobs` and what stands below it take them; its reply out.

use super::intake;
use super::respond::Reply;
use super::{Proxy, embeds, not_ready, unknown_model};
use crate::access::Entry;
use crate::auth;
use crate::dialect::Dialect;
use crate::embed::jobs::{LISTED, MOST_LISTED, Office, Order, office, parse};
use crate::embed::{Asked, Form};
use crate::error::{ApiError, Code};
use crate::source::Serving;
use bytes::Bytes;
use http::header::ACCEPT;
use http::request::Parts;
use http::{Method, StatusCode};
use hyper::body::Incoming;
use serde_json::{Value, json};
use std::sync::Arc;

const PATH: &str = "/v1/embeddings/jobs";

/// What a path below `/v1/embeddings/jobs` names.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Place<'p> {
    All,
    One(&'p str),
    Result(&'p str),
}

/// The place that a path names.
pub fn place(path: &str) -> Option<Place<'_>> {
    let rest = path.strip_prefix(PATH)?;
    if rest.is_empty() {
        return Some(Place::All);
    }
    let mut parts = rest.strip_prefix('/')?.split('/');
    match (parts.next().filter(|id| !id.is_empty())?, parts.next(), parts.next()) {
        (id, None, _) => Some(Place::One(id)),
        (id, Some("result"), None) => Some(Place::Result(id)),
        _ => None,
    }
}

/// What may be asked there.
pub const fn allowed(place: Place<'_>) -> &'static [Method] {
    match place {
        Place::All => &[Method::GET, Method::POST],
        Place::One(_) => &[Method::GET, Method::DELETE],
        Place::Result(_) => &[Method::GET],
    }
}

/// Serves one.
pub async fn serve(
    proxy: &Arc<Proxy>,
    serving: &Arc<Serving>,
    head: &Parts,
    body: Incoming,
    entry: &mut Entry,
) -> Result<Reply, ApiError> {
    let Some(place) = place(head.uri.path()) else { return Err(not_ready()) };
    if proxy.options.gateway {
        let message = "a gateway has no embedding jobs: endpoints ask nobody who they are; call the sidecar";
        return Err(ApiError::invalid(message).status(StatusCode::NOT_FOUND));
    }
    // Endpoints ask nobody who they are; a job is its user's, whom the sidecar's application names.
    let user =
        |said: Option<&str>| auth::authenticate(None, &serving.secrets, &head.headers, said).map(|caller| caller.user);
    if place == Place::All && head.method == Method::POST {
        let body = intake::read(head, body, Dialect::OpenAi, proxy.options.body_limit).await?;
        let peek = crate::surface::embeddings::peek(&body)?;
        let Some((name, config)) = embeds(&serving.table, &peek) else {
            return Err(match serving.table.models.contains_key(&peek.model) {
                true => no_jobs(&peek.model),
                false => unknown_model(&peek.model),
            });
        };
        let office = open(proxy, serving, name)?.ok_or_else(|| no_jobs(&peek.model))?;
        entry.route = Some(name.to_owned());
        let Asked { texts, form, .. } = intake::embedding(&peek, config, &head.headers, &body)?;
        let base64 = matches!(form, Form::List { base64: true } | Form::Lines { base64: true });
        let order = Order { texts, base64, user: user(peek.user.as_deref())? };
        return Ok(Reply::Job(StatusCode::ACCEPTED, office.accept(order).await?));
    }
    let user = user(None)?;
    let id = match place {
        Place::All => return list(proxy, serving, head, user.as_deref()).await,
        Place::One(id) | Place::Result(id) => id,
    };
    let unknown = || ApiError::invalid(format!("there is no job {id:?} of yours")).status(StatusCode::NOT_FOUND);
    let (_, name) = parse(id).ok_or_else(unknown)?;
    let office = open(proxy, serving, name)?.ok_or_else(unknown)?;
    entry.route = Some(name.to_owned());
    match (place, &head.method) {
        (Place::Result(_), _) => {
            let accepts = head.headers.get_all(ACCEPT).iter().filter_map(|value| value.to_str().ok());
            let lines =
                accepts.flat_map(|value| value.split([',', ';'])).any(|part| part.trim() == "application/x-ndjson");
            office.result(user.as_deref(), id, lines).await.map(Reply::Pages)
        }
        (_, &Method::DELETE) => Ok(Reply::Job(StatusCode::OK, office.cancel(user.as_deref(), id).await?)),
        _ => Ok(Reply::Job(StatusCode::OK, office.show(user.as_deref(), id).await?)),
    }
}

/// An endpoint's jobs, unless this proxy lacks what the endpoint needs.
fn open<'a>(proxy: &'a Arc<Proxy>, serving: &'a Arc<Serving>, name: &str) -> Result<Option<Office<'a>>, ApiError> {
    let place = tollway_core::table::Embedding::place(name);
    match serving.unserved.get(&place) {
        Some(reason) => Err(ApiError::new(Code::NotReady, format!("endpoint {name:?} is not served here: {reason}"))),
        None => Ok(office(proxy, serving, name)),
    }
}

/// The caller's jobs of every endpoint, the newest first.
async fn list(proxy: &Arc<Proxy>, serving: &Arc<Serving>, head: &Parts, user: Option<&str>) -> Result<Reply, ApiError> {
    let (mut most, mut after) = (LISTED, None);
    for pair in head.uri.query().unwrap_or_default().split('&').filter(|pair| !pair.is_empty()) {
        match pair.split_once('=').unwrap_or((pair, "")) {
            ("limit", value) => {
                let number = value.parse().ok().filter(|number| (1..=MOST_LISTED).contains(number));
                most = number.ok_or_else(|| {
                    ApiError::invalid(format!("limit is {value:?}: give 1 to {MOST_LISTED}")).param("limit")
                })?;
            }
            ("after", value) => {
                let found = parse(value).map(|(number, _)| number);
                after =
                    Some(found.ok_or_else(|| {
                        ApiError::invalid(format!("after is no id of a job: {value:?}")).param("after")
                    })?);
            }
            (other, _) => {
                return Err(ApiError::invalid(format!("{other:?} is unknown: there are limit and after")).param(other));
            }
        }
    }
    let (mut jobs, mut more): (Vec<Value>, bool) = (Vec::new(), false);
    for name in serving.table.embeddings.keys() {
        let Some(office) = office(proxy, serving, name) else { continue };
        let (found, others) = office.list(user, after.as_ref(), most).await?;
        jobs.extend(found);
        more |= others;
    }
    // Numbers of jobs begin with the turned time.
    jobs.sort_by(|a, b| a["id"].as_str().cmp(&b["id"].as_str()));
    more |= jobs.len() > most;
    jobs.truncate(most);
    let end = |job: Option<&Value>| job.map(|job| job["id"].clone());
    let list = json!({
        "object": "list", "first_id": end(jobs.first()), "last_id": end(jobs.last()), "data": jobs, "has_more": more,
    });
    Ok(Reply::Job(StatusCode::OK, Bytes::from(list.to_string())))
}

fn no_jobs(model: &str) -> ApiError {
    let message = format!("{model:?} has no jobs: set spec.jobs of its EmbeddingEndpoint, or use /v1/embeddings");
    ApiError::invalid(message).param("model")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_name_all_jobs_one_or_its_result() {
        assert_eq!(place("/v1/embeddings/jobs"), Some(Place::All));
        assert_eq!(place("/v1/embeddings/jobs/a"), Some(Place::One("a")));
        assert_eq!(place("/v1/embeddings/jobs/a/result"), Some(Place::Result("a")));
        for none in [
            "/v1/embeddings",
            "/v1/embeddings/jobsx",
            "/v1/embeddings/jobs/",
            "/v1/embeddings/jobs/a/b",
            "/v1/embeddings/jobs/a/result/c",
        ] {
            assert_eq!(place(none), None, "{none}");
        }
    }
}
