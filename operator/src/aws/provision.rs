//! What a resource wants SageMaker to hold and what is there in; the one call to make next out. Pure; `aws/scaling/keep` makes it.
//!
//! # Why every name is on record before it is made
//! A call that is made is not always answered. Names are made of what they stand for, and are kept on the resource before the first call:
//! whoever comes after a crash finds what is there by its name, makes nothing twice, and deletes everything that may have been made.
//!
//! # Why a roll is tried twice and then left
//! SageMaker rolls back by itself and says no more than that the old configuration serves. A crash between the record and the call looks
//! the same; a second try tells them apart, and a third would cost a fleet of instances again.

use crate::ledger::Key;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use std::collections::BTreeSet;
use tollway_core::status::Trouble;
use tollway_crds::embedding_endpoint::Provision;

/// Longest name in SageMaker, and what a hash takes of it.
const LONGEST: usize = 63;
const HASH: usize = 12;
/// Times that a roll to one configuration is begun.
const ROLLS: u8 = 2;

/// An endpoint as it should be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Wanted {
    /// Region.
    pub region: String,
    /// Name of the endpoint.
    pub endpoint: String,
    /// Name of its variant.
    pub variant: String,
    /// Instances that it begins with.
    pub instances: i32,
    /// What runs.
    pub provision: Provision,
    /// Uid of the resource it is made for: the tag that says whose it is.
    pub owner: String,
    /// The resource, for people.
    pub resource: Key,
}

impl Wanted {
    /// The model's name: another image, archive, role or network is another model.
    pub fn model(&self) -> String {
        let Provision { image, model_data_url, execution_role_arn, vpc, .. } = &self.provision;
        name(&self.endpoint, &(image, model_data_url, execution_role_arn, vpc))
    }

    /// The configuration's name: another model, type of instance, variant or key is another configuration.
    pub fn config(&self) -> String {
        let Provision { instance_type, kms_key_id, .. } = &self.provision;
        name(&self.endpoint, &(self.model(), instance_type, kms_key_id, &self.variant))
    }
}

fn name(endpoint: &str, parts: &impl Serialize) -> String {
    let digest = hex::encode(Sha256::digest(serde_json::to_vec(parts).unwrap_or_default()));
    let (begin, hash) = (endpoint.get(..LONGEST - HASH - 1).unwrap_or(endpoint), digest.get(..HASH).unwrap_or(&digest));
    format!("{}-{hash}", begin.trim_end_matches('-'))
}

/// Everything that was made for a resource, or may have been.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Made {
    /// Region.
    pub region: String,
    /// Name of the endpoint.
    pub endpoint: String,
    /// Names of configurations.
    pub configs: BTreeSet<String>,
    /// Names of models.
    pub models: BTreeSet<String>,
    /// The configuration that was rolled to last, and how often that was begun.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rolled: Option<(String, u8)>,
}

/// Whose something is, by its tags.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Owner {
    /// Made for this resource.
    Us,
    /// Not made for it.
    Others,
}

/// What is there.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Found {
    /// The endpoint.
    pub endpoint: Option<Standing>,
    /// The configuration that is wanted.
    pub config: Option<Owner>,
    /// The model that is wanted.
    pub model: Option<Owner>,
}

/// An endpoint that is there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Standing {
    /// AWS's word for its state.
    pub state: String,
    /// Why it failed.
    pub failure: Option<String>,
    /// Name of its configuration.
    pub config: String,
    /// Whose it is.
    pub owner: Owner,
}

/// What is to be done next.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Step {
    /// Write this on the resource.
    Record(Made),
    /// Make the model.
    CreateModel,
    /// Make the configuration.
    CreateConfig,
    /// Make the endpoint.
    CreateEndpoint,
    /// Roll the endpoint to the configuration, with as many instances as it has.
    UpdateEndpoint,
    /// Delete the endpoint.
    DeleteEndpoint,
    /// Delete a configuration.
    DeleteConfig(String),
    /// Delete a model.
    DeleteModel(String),
    /// Nothing is left: take the record off the resource.
    Release,
    /// Look again later.
    Wait,
    /// It is as it should be.
    Done,
    /// It cannot be, and why.
    Stop(Trouble),
}

/// The next step towards what is wanted. `found` is what is there under the names of `wanted`.
pub fn build(wanted: &Wanted, made: &Made, found: &Found) -> Step {
    let (model, config) = (wanted.model(), wanted.config());
    let others = |what: &str, name: &str| Step::Stop(not_ours(what, name));
    if found.endpoint.as_ref().is_some_and(|standing| standing.owner == Owner::Others) {
        return others("endpoint", &wanted.endpoint);
    }
    if !made.models.contains(&model) || !made.configs.contains(&config) {
        let mut next = Made { region: wanted.region.clone(), endpoint: wanted.endpoint.clone(), ..made.clone() };
        next.models.insert(model);
        next.configs.insert(config);
        return Step::Record(next);
    }
    match (found.model, found.config) {
        (Some(Owner::Others), _) => return others("model", &model),
        (_, Some(Owner::Others)) => return others("endpoint configuration", &config),
        (None, _) => return Step::CreateModel,
        (_, None) => return Step::CreateConfig,
        (Some(Owner::Us), Some(Owner::Us)) => {}
    }
    let Some(standing) = &found.endpoint else { return Step::CreateEndpoint };
    match standing.state.as_str() {
        "InService" => {}
        // It never served under another configuration, so nothing is lost.
        "Failed" if standing.config != config => return Step::DeleteEndpoint,
        "Failed" | "UpdateRollbackFailed" | "OutOfService" => return Step::Stop(failed(standing)),
        _ => return Step::Wait,
    }
    if standing.config != config {
        let begun = made.rolled.as_ref().filter(|(to, _)| *to == config).map_or(0, |(_, begun)| *begun);
        return roll(made, &config, begun, standing);
    }
    let old = |names: &BTreeSet<String>, kept: &str| names.iter().find(|name| *name != kept).cloned();
    if let Some(name) = old(&made.configs, &config) {
        return Step::DeleteConfig(name);
    }
    old(&made.models, &model).map_or(Step::Done, Step::DeleteModel)
}

/// A try is on record before it is made: `begun` counts those that are, and `Found` says whether the last one is under way.
fn roll(made: &Made, config: &str, begun: u8, standing: &Standing) -> Step {
    if begun >= ROLLS {
        let why = standing.failure.as_deref().unwrap_or("it gives no reason");
        return Step::Stop(Trouble {
            reason: "RolledBack",
            message: format!(
                "SageMaker went back from configuration {config} to {} ({why}): correct spec.provision, and it is rolled again",
                standing.config
            ),
        });
    }
    Step::Record(Made { rolled: Some((config.to_owned(), begun + 1)), ..made.clone() })
}

/// The next step towards nothing. `endpoint` is what is there under the name of `made`.
pub fn tear_down(made: &Made, endpoint: Option<&Standing>) -> Step {
    match endpoint.filter(|standing| standing.owner == Owner::Us) {
        Some(standing)
            if matches!(standing.state.as_str(), "InService" | "Failed" | "OutOfService" | "UpdateRollbackFailed") =>
        {
            return Step::DeleteEndpoint;
        }
        // Nothing can be done to one on its way.
        Some(_) => return Step::Wait,
        None => {}
    }
    if let Some(name) = made.configs.first() {
        return Step::DeleteConfig(name.clone());
    }
    made.models.first().map_or(Step::Release, |name| Step::DeleteModel(name.clone()))
}

impl Made {
    /// Without what a step has deleted.
    pub fn without(mut self, step: &Step) -> Made {
        match step {
            Step::DeleteConfig(name) => drop(self.configs.remove(name)),
            Step::DeleteModel(name) => drop(self.models.remove(name)),
            _ => {}
        }
        self
    }
}

fn not_ours(what: &str, name: &str) -> Trouble {
    Trouble {
        reason: "NotOurs",
        message: format!(
            "{what} {name} is there already and was not made for this resource: choose another sagemaker.endpointName, or leave out spec.provision; it is left alone"
        ),
    }
}

fn failed(standing: &Standing) -> Trouble {
    let why = standing.failure.as_deref().unwrap_or("SageMaker gives no reason");
    Trouble {
        reason: "ProvisionFailed",
        message: format!("the endpoint is {}: {why}: correct spec.provision, and it is made again", standing.state),
    }
}

#[cfg(test)]
mod tests;
