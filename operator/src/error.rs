//! What can go wrong between the operator and the cluster: what, where, and what to do.

/// A failure of the operator's own work; failures of users' resources are verdicts, not errors.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A file could not be read.
    #[error("{path}: {source}: check the path and its permissions")]
    File {
        /// Which file.
        path: String,
        /// Why.
        source: std::io::Error,
    },
    /// A call to the API server failed.
    #[error("{at}: {}", brief(.source))]
    Api {
        /// Which object.
        at: String,
        /// Why.
        source: Box<kube::Error>,
    },
    /// A certificate could not be made.
    #[error(
        "no certificate could be made: {0}: delete the Secrets tollway-operator-tls and tollway-webhook-tls to have both made again"
    )]
    Certificate(#[from] rcgen::Error),
    /// An object does not have the form that the operator writes.
    #[error("{at}: {what}")]
    Malformed {
        /// Which object.
        at: String,
        /// What is wrong, and what to do.
        what: String,
    },
}

/// Names the object that a call was about.
pub fn api(at: String) -> impl FnOnce(kube::Error) -> Error {
    move |source| Error::Api { at, source: Box::new(source) }
}

/// What the API server said in words, without the rest of its answer.
pub fn brief(error: &kube::Error) -> String {
    match error {
        kube::Error::Api(status) if !status.message.is_empty() => status.message.clone(),
        other => other.to_string(),
    }
}
