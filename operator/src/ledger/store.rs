//! A ledger's state in, its BudgetLedger object changed by compare-and-swap out; every outcome that matters has a name.

use k8s_openapi::jiff::Timestamp;
use kube::api::{ObjectMeta, PostParams};
use kube::{Api, Client};
use std::collections::BTreeMap;
use std::future::Future;
use std::time::Duration;
use tollway_core::spend::ledger::LedgerState;
use tollway_crds::budget_ledger::{BudgetLedger, BudgetLedgerSpec, BudgetRef, LedgerSummary};

/// A call that takes longer has an unknown outcome.
const PATIENCE: Duration = Duration::from_secs(3);

/// Label with the budget's namespace.
pub const BUDGET_NAMESPACE: &str = "tollway.dev/budget-namespace";
/// Label with the budget's name.
pub const BUDGET: &str = "tollway.dev/budget";

/// A state on record.
#[derive(Clone, Debug)]
pub struct Stored {
    /// The state.
    pub state: LedgerState,
    /// resourceVersion of the object that holds it.
    pub version: String,
    /// Uid of that object.
    pub uid: String,
}

/// Why a write is not known to have happened.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Failure {
    /// Something else is on record: read it.
    Conflict,
    /// The object is gone.
    Gone,
    /// It may have happened or not: read to know.
    Unknown(String),
}

/// Where one ledger is kept.
pub trait Store: Send + Sync {
    /// What is on record now; `None` when there is no object.
    fn read(&self) -> impl Future<Output = Result<Option<Stored>, String>> + Send;
    /// Makes the object; `Conflict` when there is one.
    fn create(&self, state: &LedgerState) -> impl Future<Output = Result<Stored, Failure>> + Send;
    /// Swaps the state if the object is still that version; the new version comes back.
    fn replace(&self, over: &Stored, state: &LedgerState) -> impl Future<Output = Result<String, Failure>> + Send;
}

/// A BudgetLedger in the operator's namespace.
#[derive(Clone)]
pub struct Object {
    api: Api<BudgetLedger>,
    name: String,
    budget: BudgetRef,
}

impl Object {
    /// The object of that name for that budget.
    pub fn new(client: Client, namespace: &str, name: String, budget: BudgetRef) -> Object {
        Object { api: Api::namespaced(client, namespace), name, budget }
    }

    /// Its name.
    pub fn name(&self) -> &str {
        &self.name
    }

    fn object(&self, state: &LedgerState, metadata: ObjectMeta) -> Result<BudgetLedger, Failure> {
        let value = serde_json::to_value(state).map_err(|error| Failure::Unknown(error.to_string()))?;
        let window = match state.window.end_ms {
            None => "once".to_owned(),
            Some(_) => Timestamp::from_millisecond(state.window.start_ms)
                .map_or_else(|_| state.window.id.clone(), |t| t.to_string()),
        };
        let open = state.committed().minus(state.settled);
        let summary = LedgerSummary {
            cap_usd: state.effective_cap().to_string(),
            settled_usd: state.settled.to_string(),
            open_usd: open.to_string(),
            open_grants: i32::try_from(state.grants.len()).unwrap_or(i32::MAX),
        };
        Ok(BudgetLedger {
            metadata,
            spec: BudgetLedgerSpec { budget: self.budget.clone(), window, state: value, summary },
            status: None,
        })
    }
}

/// Labels by which a budget's ledgers are found.
pub fn labels(budget: &BudgetRef) -> BTreeMap<String, String> {
    let BudgetRef { namespace, name } = budget;
    [(BUDGET_NAMESPACE, namespace), (BUDGET, name)].map(|(label, value)| (label.to_owned(), value.clone())).into()
}

/// Reads the state out of an object.
pub fn stored(object: BudgetLedger) -> Result<Stored, String> {
    let name = object.metadata.name.unwrap_or_default();
    let state = serde_json::from_value(object.spec.state)
        .map_err(|error| format!("BudgetLedger {name}: spec.state is not a ledger: {error}"))?;
    Ok(Stored {
        state,
        version: object.metadata.resource_version.unwrap_or_default(),
        uid: object.metadata.uid.unwrap_or_default(),
    })
}

async fn patient<T>(call: impl Future<Output = kube::Result<T>>) -> Result<T, Failure> {
    match tokio::time::timeout(PATIENCE, call).await {
        Ok(Ok(answer)) => Ok(answer),
        Ok(Err(kube::Error::Api(status))) if status.code == 409 => Err(Failure::Conflict),
        Ok(Err(kube::Error::Api(status))) if status.code == 404 => Err(Failure::Gone),
        Ok(Err(error)) => Err(Failure::Unknown(error.to_string())),
        Err(_) => Err(Failure::Unknown(format!("no answer within {} s", PATIENCE.as_secs()))),
    }
}

impl Store for Object {
    async fn read(&self) -> Result<Option<Stored>, String> {
        match patient(self.api.get_opt(&self.name)).await {
            Ok(object) => object.map(stored).transpose(),
            Err(failure) => Err(format!("BudgetLedger {}: {failure:?}", self.name)),
        }
    }

    async fn create(&self, state: &LedgerState) -> Result<Stored, Failure> {
        let metadata =
            ObjectMeta { name: Some(self.name.clone()), labels: Some(labels(&self.budget)), ..ObjectMeta::default() };
        let object = self.object(state, metadata)?;
        stored(patient(self.api.create(&PostParams::default(), &object)).await?).map_err(Failure::Unknown)
    }

    async fn replace(&self, over: &Stored, state: &LedgerState) -> Result<String, Failure> {
        let metadata = ObjectMeta {
            name: Some(self.name.clone()),
            uid: Some(over.uid.clone()),
            resource_version: Some(over.version.clone()),
            labels: Some(labels(&self.budget)),
            ..ObjectMeta::default()
        };
        let object = self.object(state, metadata)?;
        let written = patient(self.api.replace(&self.name, &PostParams::default(), &object)).await?;
        Ok(written.metadata.resource_version.unwrap_or_default())
    }
}
