//! What an EmbeddingEndpoint asks of AWS Application Auto Scaling and what is there in; the calls that make it so out. Pure; `keep` runs it.
//!
//! # Why a claim, as for mirrors of budgets
//! A scalable target has no owner, and people register them by hand. What was there before the resource claimed the place is left
//! alone; what came after is put back when it drifts, and taken away with the resource.

mod desk;
mod gauge;
mod health;
mod hours;
mod keep;
pub mod queues;

pub use desk::Desk;
pub use keep::{Asker, Order};

use std::fmt;
use tollway_core::status::Trouble;
use tollway_core::validate::milliseconds;
use tollway_crds::embedding_endpoint::{Autoscaling, Metric};
use tollway_crds::scalar::Duration;

pub use gauge::Gauge;

/// The variant that is scaled when the resource names none.
pub const VARIANT: &str = "AllTraffic";

/// What is scaled: a variant by its instances, or an inference component by its copies.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Place {
    /// The region.
    pub region: String,
    /// The endpoint's name there.
    pub endpoint: String,
    /// Its variant.
    pub variant: String,
    /// The inference component, where that is what is scaled.
    pub component: Option<String>,
}

impl Place {
    /// As Application Auto Scaling names it.
    pub fn resource_id(&self) -> String {
        match &self.component {
            Some(component) => format!("inference-component/{component}"),
            None => format!("endpoint/{}/variant/{}", self.endpoint, self.variant),
        }
    }

    /// The dimensions of what is measured of it in CloudWatch.
    pub fn dimensions(&self) -> Vec<(&'static str, String)> {
        match &self.component {
            Some(component) => vec![("InferenceComponentName", component.clone())],
            None => vec![("EndpointName", self.endpoint.clone()), ("VariantName", self.variant.clone())],
        }
    }
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Place { region, endpoint, variant, component } = self;
        write!(f, "{region}/{endpoint}/{variant}")?;
        component.iter().try_for_each(|component| write!(f, "/{component}"))
    }
}

impl std::str::FromStr for Place {
    type Err = ();

    fn from_str(text: &str) -> Result<Place, ()> {
        let mut parts = text.split('/').map(str::to_owned);
        let (Some(region), Some(endpoint), Some(variant)) = (parts.next(), parts.next(), parts.next()) else {
            return Err(());
        };
        let component = parts.next();
        if parts.next().is_some() { Err(()) } else { Ok(Place { region, endpoint, variant, component }) }
    }
}

/// What is known of what is scaled.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Host<'a> {
    /// A variant's instances, and their type where that is known.
    Instances(Option<&'a str>),
    /// An inference component's copies.
    Copies {
        /// Each has one or more.
        on_gpu: bool,
    },
}

/// Scaling as a checked spec asks for it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Asked {
    /// Instances, least and most.
    pub limits: (i32, i32),
    /// What is held.
    pub metric: Metric,
    /// At what.
    pub value: u32,
    /// Seconds between one scale-in and the next, and between one scale-out and the next.
    pub cooldowns: (i32, i32),
}

impl Asked {
    /// What is asked for.
    pub fn of(spec: &Autoscaling) -> Asked {
        let Autoscaling { min_instances, max_instances, target, scale_in_cooldown, scale_out_cooldown } = spec;
        let seconds = |set: &Option<Duration>, default: u64| {
            let millis = set.as_ref().and_then(|set| milliseconds(&set.0)).unwrap_or(default * 1_000);
            // The autoscaler counts whole seconds, and never too few.
            i32::try_from(millis.div_ceil(1_000)).unwrap_or(i32::MAX)
        };
        let count = |instances: u32| i32::try_from(instances).unwrap_or(i32::MAX);
        Asked {
            limits: (count(*min_instances), count(*max_instances)),
            metric: target.metric,
            value: target.value,
            cooldowns: (seconds(scale_in_cooldown, 300), seconds(scale_out_cooldown, 60)),
        }
    }

    /// The same with no more instances than must run.
    pub fn at_least(&self) -> Asked {
        Asked { limits: (self.limits.0, self.limits.0), ..*self }
    }

    /// Whether its target depends on what the instances are.
    pub fn needs_instance_type(&self) -> bool {
        self.metric == Metric::Utilization
    }

    /// The same on what is known of the host.
    pub fn on(&self, host: Host<'_>) -> Result<Wanted, Trouble> {
        let Asked { limits, metric, value, cooldowns } = *self;
        let (gauge, units) = match (metric, host) {
            (Metric::Utilization, Host::Instances(instance_type)) => gauge::of(instance_type)?,
            (Metric::Utilization, Host::Copies { on_gpu: true }) => (Gauge::CopyGpu, 1),
            (Metric::Utilization, Host::Copies { on_gpu: false }) => (Gauge::CopyCpu, 1),
            (Metric::InvocationsPerInstance, Host::Instances(_)) => (Gauge::Invocations, 1),
            (Metric::InvocationsPerInstance, Host::Copies { .. }) => (Gauge::CopyInvocations, 1),
            (Metric::QueueDepth, _) => (Gauge::Queue, 1),
        };
        Ok(Wanted { limits, policy: Policy { gauge, value: f64::from(value) * f64::from(units), cooldowns } })
    }
}

/// Scaling as it should be.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Wanted {
    /// Instances, least and most.
    pub limits: (i32, i32),
    /// The policy.
    pub policy: Policy,
}

/// A target-tracking policy.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Policy {
    /// What is measured.
    pub gauge: Gauge,
    /// What it is held at, in the gauge's own unit.
    pub value: f64,
    /// Seconds between one scale-in and the next, and between one scale-out and the next.
    pub cooldowns: (i32, i32),
}

/// Scaling as it is.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Observed {
    /// Instances, least and most.
    pub limits: (i32, i32),
    /// Somebody suspended scaling.
    pub is_suspended: bool,
    /// Our policy; `None`: there is none, or one of another form.
    pub policy: Option<Policy>,
}

/// One change in AWS. Each may be made twice.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Call {
    /// Registers the target with so many instances, least and most, and resumes what was suspended.
    Register(i32, i32),
    /// Puts the policy.
    Put(Policy),
}

/// The changes that make what is there what should be; none when it is. A policy needs its target.
pub fn plan(wanted: &Wanted, observed: Option<&Observed>) -> Vec<Call> {
    let Wanted { limits: (min, max), policy } = *wanted;
    let mut calls = Vec::new();
    if observed.is_none_or(|there| there.is_suspended || there.limits != wanted.limits) {
        calls.push(Call::Register(min, max));
    }
    if observed.and_then(|there| there.policy) != Some(policy) {
        calls.push(Call::Put(policy));
    }
    calls
}

#[cfg(test)]
mod tests;
