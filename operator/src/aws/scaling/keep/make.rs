//! The endpoint that a resource has made for it: one step after the other until SageMaker is at work, or there is nothing left to do.

use super::{Keeper, Place, not_claimed};
use crate::aws::autoscaler::Autoscaler;
use crate::aws::builder::Builder;
use crate::aws::claim::Claims;
use crate::aws::endpoints::Endpoints;
use crate::aws::provision::{Made, Step, Wanted, build, tear_down};
use tollway_core::status::Trouble;
use tollway_crds::embedding_endpoint::Provision;

/// Steps in a row at most: a record, three creations, and what is left of some configurations before.
const STEPS: usize = 32;

impl<E: Endpoints + Builder, S: Autoscaler, C: Claims> Keeper<E, S, C> {
    /// Goes towards what is wanted.
    pub(super) async fn make(
        &mut self,
        uid: &str,
        place: &Place,
        provision: &Provision,
        instances: i32,
    ) -> Result<(), Trouble> {
        let Place { region, endpoint, variant, component: _ } = place.clone();
        // What was made elsewhere goes first.
        if self.made.as_ref().is_some_and(|made| (&made.region, &made.endpoint) != (&region, &endpoint)) {
            self.tear_down(uid).await?;
            if self.made.is_some() {
                return Ok(());
            }
        }
        let (owner, resource, provision) = (uid.to_owned(), self.key.clone(), provision.clone());
        let wanted = Wanted { region, endpoint, variant, instances, provision, owner, resource };
        for _ in 0..STEPS {
            let found = self.aws.0.survey(&wanted).await.map_err(|error| error.on_endpoint())?;
            let made = self.made.clone().unwrap_or_default();
            let mut step = build(&wanted, &made, &found);
            if let Step::Record(next) = &step {
                let rolls = next.rolled != made.rolled;
                self.record(uid, Some(next.clone())).await?;
                if !rolls {
                    continue;
                }
                step = Step::UpdateEndpoint;
            }
            match &step {
                Step::Done => return Ok(()),
                Step::Wait => {
                    self.is_moving = true;
                    return Ok(());
                }
                Step::Stop(trouble) => return Err(trouble.clone()),
                Step::DeleteEndpoint | Step::DeleteConfig(_) | Step::DeleteModel(_) => self.delete(uid, &step).await?,
                _ => {
                    tracing::info!(endpoint = %self.key, at = %place, ?step, "provision");
                    self.aws.0.build(&wanted, &step).await.map_err(|error| error.on_endpoint())?;
                }
            }
        }
        self.is_moving = true;
        Ok(())
    }

    /// Takes away what was made; the record goes last.
    pub(super) async fn tear_down(&mut self, uid: &str) -> Result<(), Trouble> {
        for _ in 0..STEPS {
            let Some(made) = self.made.clone() else { return Ok(()) };
            let standing = self.aws.0.standing(&made.region, &made.endpoint, uid).await;
            match tear_down(&made, standing.map_err(|error| error.on_endpoint())?.as_ref()) {
                Step::Wait => break,
                Step::Release => self.record(uid, None).await?,
                step => self.delete(uid, &step).await?,
            }
        }
        self.is_moving = self.made.is_some();
        Ok(())
    }

    async fn delete(&mut self, uid: &str, step: &Step) -> Result<(), Trouble> {
        let Some(made) = self.made.clone() else { return Ok(()) };
        tracing::info!(endpoint = %self.key, ?step, "provision");
        self.aws.0.delete(&made.region, &made.endpoint, step).await.map_err(|error| error.on_endpoint())?;
        let left = made.clone().without(step);
        if left == made { Ok(()) } else { self.record(uid, Some(left)).await }
    }

    async fn record(&mut self, uid: &str, made: Option<Made>) -> Result<(), Trouble> {
        let text = made.as_ref().map(|made| serde_json::to_string(made).unwrap_or_default());
        self.claims.1.set(&self.key, uid, text.as_deref()).await.map_err(|error| not_claimed(&error))?;
        self.made = made;
        Ok(())
    }
}
