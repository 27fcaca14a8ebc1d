//! What one EmbeddingEndpoint asks of AWS in; its endpoint made where it asks for that, looked at, its scaling made, corrected on drift, and both
//! taken away out. One task an endpoint, so that none waits for another.

mod make;

use super::health::Check;
use super::{Asked, Place, VARIANT, plan};
use crate::aws::Pace;
use crate::aws::autoscaler::Autoscaler;
use crate::aws::builder::Builder;
use crate::aws::claim::Claims;
use crate::aws::endpoints::{Endpoint, Endpoints};
use crate::aws::provision::Made;
use crate::ledger::Key;
use std::sync::Arc;
use tokio::sync::watch;
use tollway_core::status::{Activity, EndpointSeen, HostingSeen, Trouble};
use tollway_crds::{
    EmbeddingEndpointSpec,
    embedding_endpoint::{Provision, SageMakerEmbeddings},
};

/// What an EmbeddingEndpoint asks for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Order {
    /// Uid of the EmbeddingEndpoint.
    pub uid: String,
    /// The endpoint; absent: the resource is being deleted.
    pub endpoint: Option<Asker>,
    /// The claim on the resource when it was read.
    pub claim: Option<Place>,
    /// What else was made for it, as the resource said when it was read.
    pub made: Option<Made>,
    /// Exhausted budgets that cover it: no more than the least number of instances runs. `None`: not known yet, and scaling waits for it.
    pub held_by: Option<Vec<String>>,
}

/// An endpoint that a spec in force names.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Asker {
    /// Its region; absent: the operator's own.
    pub region: Option<String>,
    /// Its name.
    pub name: String,
    /// Its variant; absent: none is chosen.
    pub variant: Option<String>,
    /// How it should scale; absent: as it does.
    pub scaling: Option<Asked>,
    /// How it is called now and then, to see that it answers.
    pub check: Check,
    /// How it is made, and with how many instances at first; absent: somebody else makes it.
    pub provision: Option<(Provision, i32)>,
}

/// Looks after one endpoint until it is dropped; `tell` hears of every look at it, `None` when there is nothing any more.
pub async fn keep<E: Endpoints + Builder, S: Autoscaler, C: Claims>(
    key: Key,
    aws: Arc<(E, S)>,
    claims: (C, C),
    mut orders: watch::Receiver<Order>,
    pace: Pace,
    tell: impl Fn(Option<HostingSeen>) + Send,
) {
    let mut failures = 0;
    let mut troubles: Vec<Trouble> = Vec::new();
    let (claim, made) = (orders.borrow().claim.clone(), orders.borrow().made.clone());
    let mut keeper = Keeper { key, aws, claims, claim, made, is_moving: false, instance_type: None, told: None };
    loop {
        let order = orders.borrow_and_update().clone();
        let seen = keeper.sync(&order).await;
        let now: Vec<Trouble> =
            seen.iter().flat_map(|seen| seen.trouble.iter().chain(&seen.scaling_trouble)).cloned().collect();
        for Trouble { reason, message } in now.iter().filter(|trouble| !troubles.contains(*trouble)) {
            tracing::warn!(endpoint = %keeper.key, reason, "not as it should be in AWS: {message}");
        }
        troubles = now;
        failures = if troubles.is_empty() && !keeper.is_moving { 0 } else { failures + 1 };
        tell(seen);
        tokio::select! {
            () = tokio::time::sleep(pace.after(failures)) => {}
            changed = orders.changed() => if changed.is_err() { return },
        }
    }
}

impl Asker {
    /// What a checked spec asks for.
    pub fn of(spec: &EmbeddingEndpointSpec) -> Asker {
        let SageMakerEmbeddings { endpoint_name, variant, region, payload: _ } = &spec.sagemaker;
        Asker {
            region: region.as_ref().map(|region| region.0.clone()),
            name: endpoint_name.clone(),
            variant: variant.clone(),
            scaling: spec.autoscaling.as_ref().map(Asked::of),
            check: Check::of(spec),
            provision: spec.provision.clone().map(|provision| {
                let least = spec.autoscaling.as_ref().map_or(1, |scaling| scaling.min_instances.max(1));
                (provision, i32::try_from(least).unwrap_or(i32::MAX))
            }),
        }
    }
}

struct Keeper<E, S, C> {
    key: Key,
    aws: Arc<(E, S)>,
    /// Of scaling, and of what is made.
    claims: (C, C),
    /// What this task wrote is newer than what a watch brings back.
    claim: Option<Place>,
    made: Option<Made>,
    /// SageMaker is at work on what was asked for: it is looked at again soon.
    is_moving: bool,
    /// The instance type of a configuration that was looked up: region, configuration, variant, type.
    instance_type: Option<([String; 3], Option<String>)>,
    /// The last activity, and the instances when it was read.
    told: Option<((i32, i32), Option<Activity>)>,
}

impl<E: Endpoints + Builder, S: Autoscaler, C: Claims> Keeper<E, S, C> {
    async fn sync(&mut self, order: &Order) -> Option<HostingSeen> {
        let Order { uid, endpoint, claim: _, made: _, held_by } = order;
        self.is_moving = false;
        let mut seen = HostingSeen::default();
        let place = match endpoint {
            Some(asker) => match self.place(asker).await {
                Ok(place) => Some(place),
                Err(trouble) => return Some(HostingSeen { trouble: Some(trouble), ..seen }),
            },
            None => None,
        };
        let scaled = place.as_ref().filter(|_| endpoint.as_ref().is_some_and(|asker| asker.scaling.is_some()));
        // What is asked for no more goes first, whatever becomes of the rest.
        seen.scaling_trouble = self.release(uid, scaled).await.err();
        let (Some(asker), Some(place)) = (endpoint, place) else {
            // An endpoint that is still scaled is not taken away.
            if seen.scaling_trouble.is_none() {
                seen.trouble = self.tear_down(uid).await.err();
            }
            return (seen.scaling_trouble.is_some() || seen.trouble.is_some() || self.is_moving).then_some(seen);
        };
        if let Some((provision, instances)) = &asker.provision
            && let Err(trouble) = self.make(uid, &place, provision, *instances).await
        {
            seen.trouble = Some(trouble);
        }
        let found = match self.aws.0.observe(&place.region, &place.endpoint).await {
            Ok(Some(found)) => found,
            Ok(None) => {
                // Why it is not there yet is the better word.
                seen.trouble.get_or_insert_with(|| missing(&place));
                return Some(seen);
            }
            Err(error) => {
                seen.trouble.get_or_insert_with(|| error.on_endpoint());
                return Some(seen);
            }
        };
        let variant = found.variants.iter().find(|variant| variant.name == place.variant);
        let instances = match (&asker.variant, found.variants.as_slice()) {
            (None, [only]) => only.instances,
            _ => variant.and_then(|variant| variant.instances),
        };
        let instance_type = self.instance_type(&place, &found.config).await;
        if let Some(asked) = asker.scaling
            && let Some(budgets) = held_by
            && seen.scaling_trouble.is_none()
        {
            let asked = if budgets.is_empty() { asked } else { asked.at_least() };
            match self.scale(uid, &place, asked, &found, &instance_type).await {
                Ok(limits) => {
                    seen.limits = Some(limits);
                    seen.held_by.clone_from(budgets);
                    seen.activity = self.activity(&place, instances).await;
                }
                Err(trouble) => seen.scaling_trouble = Some(trouble),
            }
        }
        let Endpoint { state, failure, .. } = found;
        let instance_type = instance_type.ok().flatten();
        seen.endpoint = Some(EndpointSeen { state, failure, instances, region: place.region, instance_type });
        Some(seen)
    }

    async fn place(&self, asker: &Asker) -> Result<Place, Trouble> {
        let region = match &asker.region {
            Some(region) => region.clone(),
            None => self.aws.0.home().await.map_err(|error| error.on_endpoint())?,
        };
        let variant = asker.variant.clone().unwrap_or_else(|| VARIANT.to_owned());
        Ok(Place { region, endpoint: asker.name.clone(), variant })
    }

    /// Takes away what was made elsewhere than where scaling is asked for now.
    async fn release(&mut self, uid: &str, scaled: Option<&Place>) -> Result<(), Trouble> {
        let Some(held) = self.claim.clone().filter(|held| Some(held) != scaled) else { return Ok(()) };
        self.aws.1.remove(&held).await.map_err(|error| error.on_endpoint())?;
        tracing::info!(endpoint = %self.key, place = %held, "scaling taken away");
        self.claim(uid, None).await
    }

    async fn scale(
        &mut self,
        uid: &str,
        place: &Place,
        asked: Asked,
        found: &Endpoint,
        instance_type: &Result<Option<String>, Trouble>,
    ) -> Result<(i32, i32), Trouble> {
        if !found.variants.iter().any(|variant| variant.name == place.variant) {
            return Err(no_variant(place, found));
        }
        let wanted = match instance_type {
            Err(trouble) if asked.needs_instance_type() => return Err(trouble.clone()),
            known => asked.on(known.as_ref().ok().and_then(Option::as_deref))?,
        };
        let aws = self.aws.clone();
        let scaler = &aws.1;
        if self.claim.is_none() {
            if scaler.observe(place).await.map_err(|error| error.on_endpoint())?.is_some() {
                return Err(not_ours(place));
            }
            self.claim(uid, Some(place)).await?;
        }
        let observed = scaler.observe(place).await.map_err(|error| error.on_endpoint())?;
        for call in plan(&wanted, observed.as_ref()) {
            tracing::info!(endpoint = %self.key, %place, ?call, "scaling changed");
            scaler.change(place, &call).await.map_err(|error| error.on_endpoint())?;
        }
        Ok(wanted.limits)
    }

    async fn instance_type(&mut self, place: &Place, config: &str) -> Result<Option<String>, Trouble> {
        let Place { region, variant, .. } = place;
        let of = [region.clone(), config.to_owned(), variant.clone()];
        if let Some((held, type_)) = &self.instance_type
            && *held == of
        {
            return Ok(type_.clone());
        }
        let type_ = self.aws.0.instance_type(region, config, variant).await.map_err(|error| error.on_endpoint())?;
        self.instance_type = Some((of, type_.clone()));
        Ok(type_)
    }

    /// Asked for when the number of instances moved, and at first: that is what an activity is about.
    async fn activity(&mut self, place: &Place, instances: Option<(i32, i32)>) -> Option<Activity> {
        let instances = instances?;
        if self.told.as_ref().is_none_or(|(then, _)| *then != instances) {
            match self.aws.1.last_activity(place).await {
                Ok(activity) => self.told = Some((instances, activity)),
                Err(error) => tracing::debug!(endpoint = %self.key, %error, "the last scaling activity is not known"),
            }
        }
        self.told.as_ref().and_then(|(_, activity)| activity.clone())
    }

    async fn claim(&mut self, uid: &str, place: Option<&Place>) -> Result<(), Trouble> {
        let text = place.map(ToString::to_string);
        self.claims.0.set(&self.key, uid, text.as_deref()).await.map_err(|error| not_claimed(&error))?;
        self.claim = place.cloned();
        Ok(())
    }
}

fn not_claimed(error: &kube::Error) -> Trouble {
    Trouble {
        reason: "NotClaimed",
        message: format!(
            "the EmbeddingEndpoint's finalizer cannot be written ({error}): allow the operator to patch embeddingendpoints"
        ),
    }
}

fn missing(Place { region, endpoint, .. }: &Place) -> Trouble {
    Trouble {
        reason: "NotFound",
        message: format!("there is no endpoint {endpoint} in {region}: create it, or correct spec.sagemaker"),
    }
}

fn no_variant(Place { variant, .. }: &Place, found: &Endpoint) -> Trouble {
    let names: Vec<&str> = found.variants.iter().map(|variant| variant.name.as_str()).collect();
    Trouble {
        reason: "NoVariant",
        message: format!(
            "the endpoint has no variant {variant}, but {}: name the one to scale in spec.sagemaker.variant",
            names.join(", ")
        ),
    }
}

fn not_ours(place: &Place) -> Trouble {
    Trouble {
        reason: "NotOurs",
        message: format!(
            "{} in {} is a scalable target already and was not registered for this resource: deregister it, or leave out spec.autoscaling; it is left alone",
            place.resource_id(),
            place.region
        ),
    }
}

#[cfg(test)]
mod tests;
