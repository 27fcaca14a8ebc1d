//! An AWS account as its control planes show it: AWS Budgets (all that is used of it), CloudWatch's PutMetricData, and what scales
//! inference components, on the real wire.
//!
//! moto knows no update of a budget, no subscribers, no inference component, and not the binary form in which CloudWatch's newer clients
//! speak. Statuses and error shapes are those of the services' models: RPC v2 CBOR for CloudWatch, AWS JSON 1.1 with `__type` for the others.

mod cbor;
mod hosting;

use bytes::Bytes;
use http::{Request, Response, StatusCode};
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use serde_json::{Value, json};
use std::collections::{BTreeMap, BTreeSet};
use std::convert::Infallible;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use tokio::net::TcpListener;
use tokio::task::JoinHandle;

/// Of each service that speaks JSON: what its targets begin with, and what requests are signed for.
const BUDGETS: (&str, &str) = ("AWSBudgetServiceGateway", "budgets");
const SAGEMAKER: (&str, &str) = ("SageMaker", "sagemaker");
const AUTOSCALING: (&str, &str) = ("AnyScaleFrontendService", "application-autoscaling");
const PUT_METRIC_DATA: &str = "/service/GraniteServiceVersion20100801/operation/PutMetricData";

/// A budget as the account has it.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Held {
    /// `Budget` of the wire.
    pub budget: Value,
    /// `Notification` of the wire, each with its `Subscriber`s.
    pub alerts: Vec<(Value, Vec<Value>)>,
}

#[derive(Default)]
struct State {
    /// By account and name.
    budgets: BTreeMap<(String, String), Held>,
    hosting: hosting::Hosting,
    denied: BTreeSet<String>,
    calls: Vec<String>,
    metrics: Vec<Value>,
}

/// A running account; dropping it stops it.
pub struct Account {
    state: Arc<Mutex<State>>,
    address: SocketAddr,
    accepting: JoinHandle<()>,
}

impl Account {
    /// Listens on the loopback.
    ///
    /// # Errors
    /// No port can be had.
    pub async fn start() -> anyhow::Result<Account> {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await?;
        let address = listener.local_addr()?;
        let state = Arc::<Mutex<State>>::default();
        let accepting = tokio::spawn(accept(listener, Arc::clone(&state)));
        Ok(Account { state, address, accepting })
    }

    /// For `AWS_ENDPOINT_URL`, or that of one of its services.
    #[must_use]
    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// A budget.
    #[must_use]
    pub fn budget(&self, account: &str, name: &str) -> Option<Held> {
        lock(&self.state).budgets.get(&(account.to_owned(), name.to_owned())).cloned()
    }

    /// Changes a budget, or makes one, as somebody at the console would.
    pub fn at_the_console(&self, account: &str, name: &str, change: impl FnOnce(&mut Held)) {
        change(lock(&self.state).budgets.entry((account.to_owned(), name.to_owned())).or_default());
    }

    /// Denies an operation, such as `UpdateBudget`, or allows it again.
    pub fn deny(&self, operation: &str, denied: bool) {
        let mut state = lock(&self.state);
        if denied {
            state.denied.insert(operation.to_owned());
        } else {
            state.denied.remove(operation);
        }
    }

    /// Operations called, in order.
    #[must_use]
    pub fn calls(&self) -> Vec<String> {
        lock(&self.state).calls.clone()
    }

    /// Bodies of PutMetricData.
    #[must_use]
    pub fn metrics(&self) -> Vec<Value> {
        lock(&self.state).metrics.clone()
    }
}

impl Drop for Account {
    fn drop(&mut self) {
        self.accepting.abort();
    }
}

fn lock(state: &Mutex<State>) -> MutexGuard<'_, State> {
    state.lock().unwrap_or_else(PoisonError::into_inner)
}

async fn accept(listener: TcpListener, state: Arc<Mutex<State>>) {
    while let Ok((stream, _)) = listener.accept().await {
        let state = Arc::clone(&state);
        let service = service_fn(move |request| answer(Arc::clone(&state), request));
        tokio::spawn(http1::Builder::new().serve_connection(TokioIo::new(stream), service));
    }
}

async fn answer(state: Arc<Mutex<State>>, request: Request<Incoming>) -> Result<Response<Full<Bytes>>, Infallible> {
    let (head, body) = request.into_parts();
    let Ok(body) = body.collect().await.map(|body| body.to_bytes()) else {
        return Ok(reply(StatusCode::BAD_REQUEST, "text/plain", Bytes::new()));
    };
    let header =
        |name: &str| head.headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or_default().to_owned();
    let mut state = lock(&state);
    if let Some((service, operation)) = header("x-amz-target").split_once('.') {
        let answered = match serde_json::from_slice::<Value>(&body) {
            Ok(body) => state.json(service, operation, &header("authorization"), &body),
            Err(error) => Err(("SerializationException", error.to_string())),
        };
        let (status, body) = match answered {
            Ok(body) => (StatusCode::OK, body),
            Err((type_, message)) => {
                (StatusCode::BAD_REQUEST, json!({"__type": type_, "message": message, "Message": message}))
            }
        };
        return Ok(reply(status, "application/x-amz-json-1.1", Bytes::from(body.to_string())));
    }
    if head.uri.path() == PUT_METRIC_DATA && header("smithy-protocol") == "rpc-v2-cbor" {
        let Ok(body) = cbor::read(&body) else { return Ok(reply(StatusCode::BAD_REQUEST, "text/plain", Bytes::new())) };
        state.calls.push("PutMetricData".to_owned());
        state.metrics.push(body);
        let mut response = reply(StatusCode::OK, "application/cbor", Bytes::from_static(&[0xa0]));
        response.headers_mut().insert("smithy-protocol", http::HeaderValue::from_static("rpc-v2-cbor"));
        return Ok(response);
    }
    Ok(reply(StatusCode::NOT_FOUND, "text/plain", Bytes::new()))
}

fn reply(status: StatusCode, type_: &'static str, body: Bytes) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::new(body));
    *response.status_mut() = status;
    response.headers_mut().insert(http::header::CONTENT_TYPE, http::HeaderValue::from_static(type_));
    response
}

type Answered = Result<Value, (&'static str, String)>;

impl State {
    /// One operation of a service that speaks JSON.
    fn json(&mut self, service: &str, operation: &str, authorization: &str, body: &Value) -> Answered {
        let Some((_, name)) = [BUDGETS, SAGEMAKER, AUTOSCALING].into_iter().find(|(target, _)| *target == service)
        else {
            return Err(("UnknownOperationException", format!("{service}.{operation}")));
        };
        if !authorization.contains(&format!("/{name}/aws4_request")) {
            return Err(("MissingAuthenticationToken", format!("not signed for {name}")));
        }
        self.calls.push(operation.to_owned());
        if self.denied.contains(operation) {
            return Err(("AccessDeniedException", format!("User is not authorized to perform this ({operation})")));
        }
        match name {
            "sagemaker" => self.hosting.sagemaker(operation, body),
            "application-autoscaling" => self.hosting.autoscaling(operation, body),
            _ => self.budgets(operation, body),
        }
    }

    fn budgets(&mut self, operation: &str, body: &Value) -> Answered {
        let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
        let name = match operation {
            "CreateBudget" => text(&body["Budget"]["BudgetName"]),
            "UpdateBudget" => text(&body["NewBudget"]["BudgetName"]),
            _ => text(&body["BudgetName"]),
        };
        let key = (text(&body["AccountId"]), name);
        let gone = || ("NotFoundException", format!("Unable to get budget: {} - the budget doesn't exist.", key.1));
        if operation == "CreateBudget" {
            if self.budgets.contains_key(&key) {
                return Err((
                    "DuplicateRecordException",
                    format!("Error creating budget: {} - the budget already exists.", key.1),
                ));
            }
            let alerts = body["NotificationsWithSubscribers"].as_array().into_iter().flatten();
            let alerts = alerts.map(|alert| (alert["Notification"].clone(), list(&alert["Subscribers"]))).collect();
            self.budgets.insert(key, Held { budget: body["Budget"].clone(), alerts });
            return Ok(json!({}));
        }
        if operation == "DeleteBudget" {
            return self.budgets.remove(&key).map(|_| json!({})).ok_or_else(gone);
        }
        let held = self.budgets.get_mut(&key).ok_or_else(gone)?;
        let alert = held.alerts.iter().position(|(alert, _)| same(alert, &body["Notification"]));
        let none = || ("NotFoundException", "Unable to find the notification".to_owned());
        match operation {
            "DescribeBudget" => return Ok(json!({"Budget": held.budget})),
            "DescribeNotificationsForBudget" => {
                let alerts: Vec<&Value> = held.alerts.iter().map(|(alert, _)| alert).collect();
                return Ok(json!({"Notifications": alerts}));
            }
            "DescribeSubscribersForNotification" => {
                return Ok(json!({"Subscribers": held.alerts[alert.ok_or_else(none)?].1}));
            }
            // What the service computes is not taken from a caller, and what stands beside the limit stays only if it is given.
            "UpdateBudget" => {
                let spend = held.budget["CalculatedSpend"].clone();
                held.budget = body["NewBudget"].clone();
                held.budget["CalculatedSpend"] = spend;
            }
            "CreateNotification" if alert.is_some() => {
                return Err(("DuplicateRecordException", "the notification exists".to_owned()));
            }
            "CreateNotification" => held.alerts.push((body["Notification"].clone(), list(&body["Subscribers"]))),
            "DeleteNotification" => drop(held.alerts.remove(alert.ok_or_else(none)?)),
            "CreateSubscriber" => held.alerts[alert.ok_or_else(none)?].1.push(body["Subscriber"].clone()),
            "UpdateSubscriber" => {
                let all = &mut held.alerts[alert.ok_or_else(none)?].1;
                let old = all.iter_mut().find(|one| **one == body["OldSubscriber"]).ok_or_else(none)?;
                *old = body["NewSubscriber"].clone();
            }
            _ => return Err(("UnknownOperationException", operation.to_owned())),
        }
        Ok(json!({}))
    }
}

fn list(value: &Value) -> Vec<Value> {
    value.as_array().cloned().unwrap_or_default()
}

/// A notification is known by what it watches.
fn same(one: &Value, other: &Value) -> bool {
    ["NotificationType", "ComparisonOperator", "ThresholdType"].iter().all(|field| one[*field] == other[*field])
        && one["Threshold"].as_f64() == other["Threshold"].as_f64()
}
