//! What one EmbeddingEndpoint asks of AWS in; its endpoint made where it asks for that, looked at, its scaling made, corrected on drift, and both
//! taken away out. One task an endpoint, so that none waits for another.

mod make;

use super::health::Check;
use super::{Asked, Host, Place, VARIANT, plan};
use crate::aws::Pace;
use crate::aws::autoscaler::Autoscaler;
use crate::aws::builder::Builder;
use crate::aws::claim::Claims;
use crate::aws::endpoints::{Component, Endpoint, Endpoints};
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
#[derive(Clone, Debug, Default, PartialEq, Eq)]
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
    /// Calls of proxies that found no copy running, ever more of them.
    pub unanswered: u64,
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
    /// Its inference component, where that is what is called.
    pub component: Option<String>,
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
    let mut keeper =
        Keeper { key, aws, claims, claim, made, is_moving: false, instance_type: None, told: None, answered: 0 };
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
        let SageMakerEmbeddings { endpoint_name, variant, inference_component, region, payload: _ } = &spec.sagemaker;
        Asker {
            region: region.as_ref().map(|region| region.0.clone()),
            name: endpoint_name.clone(),
            variant: variant.clone(),
            component: inference_component.clone(),
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
    /// Of the calls that found no copy running, those for whom one was started.
    answered: u64,
}

impl<E: Endpoints + Builder, S: Autoscaler, C: Claims> Keeper<E, S, C> {
    async fn sync(&mut self, order: &Order) -> Option<HostingSeen> {
        let Order { uid, endpoint, claim: _, made: _, held_by, unanswered } = order;
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
        let component = match self.component(&place).await {
            Ok(component) => component,
            Err(trouble) => {
                seen.trouble.get_or_insert(trouble);
                return Some(seen);
            }
        };
        let variant = found.variants.iter().find(|variant| variant.name == place.variant);
        let instances = match (&asker.variant, found.variants.as_slice()) {
            (None, [only]) => only.instances,
            _ => variant.and_then(|variant| variant.instances),
        };
        let mut copies = component.as_ref().map(|component| component.copies);
        let instance_type = self.instance_type(&place, &found.config).await;
        if let Some(asked) = asker.scaling
            && let Some(budgets) = held_by
            && seen.scaling_trouble.is_none()
        {
            let asked = if budgets.is_empty() { asked } else { asked.at_least() };
            let host = match &component {
                Some(component) => Ok(Host::Copies { on_gpu: component.on_gpu }),
                None => instance_type.as_ref().map(|known| Host::Instances(known.as_deref())).map_err(Clone::clone),
            };
            match self.scale(uid, &place, asked, &found, host).await {
                Ok(limits) => {
                    seen.limits = Some(limits);
                    seen.held_by.clone_from(budgets);
                    seen.activity = self.activity(&place, copies.or(instances)).await;
                    seen.scaling_trouble = self.wake(&place, limits, *unanswered, &mut copies).await.err();
                }
                Err(trouble) => seen.scaling_trouble = Some(trouble),
            }
        }
        self.is_moving |= copies.is_some_and(|(current, desired)| current != desired);
        let Endpoint { state, failure, .. } = found;
        // An endpoint serves while a component of it has failed.
        let (state, failure) = match component {
            Some(component) if state == "InService" => (component.state, component.failure),
            _ => (state, failure),
        };
        let instance_type = instance_type.ok().flatten();
        seen.endpoint = Some(EndpointSeen { state, failure, instances, copies, region: place.region, instance_type });
        Some(seen)
    }

    /// The inference component of a place that names one.
    async fn component(&self, place: &Place) -> Result<Option<Component>, Trouble> {
        let Some(name) = &place.component else { return Ok(None) };
        let found = self.aws.0.component(&place.region, name).await.map_err(|error| error.on_endpoint())?;
        found.filter(|found| found.endpoint == place.endpoint).map(Some).ok_or_else(|| no_component(place, name))
    }

    /// Starts the first copies when texts found none and none is on its way: AWS's own policies know no load where nothing runs.
    async fn wake(
        &mut self,
        place: &Place,
        (least, most): (i32, i32),
        unanswered: u64,
        copies: &mut Option<(i32, i32)>,
    ) -> Result<(), Trouble> {
        let (Some(component), Some((_, desired))) = (&place.component, copies.as_mut()) else { return Ok(()) };
        if unanswered > self.answered && *desired == 0 && most > 0 {
            let first = least.max(1);
            self.aws.0.set_copies(&place.region, component, first).await.map_err(|error| error.on_endpoint())?;
            tracing::info!(endpoint = %self.key, %place, copies = first, "started: texts found no copy running");
            *desired = first;
        }
        self.answered = unanswered;
        Ok(())
    }

    async fn place(&self, asker: &Asker) -> Result<Place, Trouble> {
        let region = match &asker.region {
            Some(region) => region.clone(),
            None => self.aws.0.home().await.map_err(|error| error.on_endpoint())?,
        };
        let variant = asker.variant.clone().unwrap_or_else(|| VARIANT.to_owned());
        Ok(Place { region, endpoint: asker.name.clone(), variant, component: asker.component.clone() })
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
        host: Result<Host<'_>, Trouble>,
    ) -> Result<(i32, i32), Trouble> {
        if place.component.is_none() && !found.variants.iter().any(|variant| variant.name == place.variant) {
            return Err(no_variant(place, found));
        }
        let wanted = match host {
            Err(trouble) if asked.needs_instance_type() => return Err(trouble),
            known => asked.on(known.unwrap_or(Host::Instances(None)))?,
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

fn no_component(Place { region, endpoint, .. }: &Place, name: &str) -> Trouble {
    Trouble {
        reason: "NotFound",
        message: format!(
            "endpoint {endpoint} in {region} has no inference component {name}: create it, or correct spec.sagemaker.inferenceComponent"
        ),
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
