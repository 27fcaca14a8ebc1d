//! Model names in, the answers to `/v1/models` and `/v1/models/{model}` out.

use bytes::Bytes;
use serde::Serialize;

#[derive(Serialize)]
struct List<'a> {
    object: &'static str,
    data: Vec<Model<'a>>,
}

#[derive(Serialize)]
struct Model<'a> {
    id: &'a str,
    object: &'static str,
    created: u64,
    owned_by: &'static str,
}

/// The list of models in the order given; `created` is a Unix time in seconds.
#[must_use]
pub fn render_models<'a>(names: impl IntoIterator<Item = &'a str>, created: u64) -> Bytes {
    let data = names.into_iter().map(|id| Model::new(id, created)).collect();
    Bytes::from(serde_json::to_vec(&List { object: "list", data }).unwrap_or_default())
}

/// One model.
#[must_use]
pub fn render_model(id: &str, created: u64) -> Bytes {
    Bytes::from(serde_json::to_vec(&Model::new(id, created)).unwrap_or_default())
}

impl<'a> Model<'a> {
    const fn new(id: &'a str, created: u64) -> Self {
        Self { id, object: "model", created, owned_by: "tollway" }
    }
}
