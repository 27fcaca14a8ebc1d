//! A folder of manifests in, the live table and the budgets' terms out, at every change; every mistake is told as `file:line: what is wrong: what to do`.

mod files;

use super::{Health, Live, Secrets, Serving};
use crate::durable;
use crate::ledger::standalone::Terms;
use files::{Files, Fingerprint};
use std::collections::BTreeMap;
use std::io;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::watch;
use tollway_core::compile::{InForce, Verdict, Verdicts, compile};
use tollway_core::manifest::{FieldError, Id, Located};
use tollway_core::snapshot::{self, LastGood, Mode, Snapshot};
use tollway_core::spend::ledger::Adjustment;
use tollway_core::validate::{self, Checked, Context, Correction};
use tollway_core::wire;

/// How often the folder is looked at.
const PERIOD: Duration = Duration::from_millis(250);
/// A change is read once nothing moved for so long: whoever is writing has finished.
const SETTLED: Duration = Duration::from_millis(50);
/// What was good, in the state folder.
const ACCEPTED: &str = "accepted.json";

/// The watched folder.
#[derive(Debug)]
pub struct Folder {
    dir: PathBuf,
    state_dir: PathBuf,
    live: Live,
    health: watch::Sender<Health>,
    terms: watch::Sender<Terms>,
    last: LastGood,
    seen: Option<Fingerprint>,
    revision: u64,
    told: Vec<String>,
}

impl Folder {
    /// Reads what was good before; nothing is served yet.
    #[must_use]
    pub fn new(dir: PathBuf, state_dir: PathBuf, live: Live, health: watch::Sender<Health>) -> Self {
        let path = state_dir.join(ACCEPTED);
        let last = match std::fs::read(&path) {
            Ok(bytes) => serde_json::from_slice(&bytes).unwrap_or_else(|error| {
                tracing::warn!(path = %path.display(), %error, "what was accepted before is damaged and is not used");
                LastGood::default()
            }),
            Err(error) if error.kind() == io::ErrorKind::NotFound => LastGood::default(),
            Err(error) => {
                tracing::warn!(path = %path.display(), %error, "what was accepted before cannot be read");
                LastGood::default()
            }
        };
        let terms = watch::Sender::new(Terms::default());
        Self { dir, state_dir, live, health, terms, last, seen: None, revision: 0, told: Vec::new() }
    }

    /// What the budgets' ledger follows.
    #[must_use]
    pub fn terms(&self) -> watch::Receiver<Terms> {
        self.terms.subscribe()
    }

    /// Follows the folder for as long as the process lives.
    pub async fn run(mut self) {
        let mut tick = tokio::time::interval(PERIOD);
        loop {
            tick.tick().await;
            if !self.changed() {
                continue;
            }
            self.settle().await;
            tokio::task::block_in_place(|| self.load());
        }
    }

    /// Whether a file came, went or changed. A folder that is gone is no change: what is served goes on.
    fn changed(&self) -> bool {
        match files::fingerprint(&self.dir) {
            Ok(found) => {
                self.health.send_if_modified(|health| !std::mem::replace(&mut health.connected, true));
                self.seen.as_ref() != Some(&found)
            }
            Err(error) => {
                let went = self.health.send_if_modified(|health| std::mem::replace(&mut health.connected, false));
                if went {
                    tracing::warn!(folder = %self.dir.display(), %error, "the folder cannot be read; what is held goes on being served");
                }
                false
            }
        }
    }

    /// Waits until two looks in a row see the same, a second at most.
    async fn settle(&self) {
        let mut before = files::fingerprint(&self.dir).ok();
        for _ in 0..20 {
            tokio::time::sleep(SETTLED).await;
            let now = files::fingerprint(&self.dir).ok();
            if now == before {
                return;
            }
            before = now;
        }
    }

    /// Reads the folder and puts it in force, as far as it is right.
    pub fn load(&mut self) {
        let found = files::fingerprint(&self.dir).and_then(|seen| Ok((seen, files::read(&self.dir)?)));
        match found {
            Ok((seen, files)) => {
                self.seen = Some(seen);
                self.take(files);
            }
            Err(error) => {
                tracing::warn!(folder = %self.dir.display(), %error, "the folder cannot be read; what is held goes on being served");
            }
        }
    }

    fn take(&mut self, files: Files) {
        let Files { mut texts, unreadable } = files;
        // A file that is there and cannot be read is broken, not gone: what it held stays in force.
        texts.extend(unreadable.keys().map(|name| (name.clone(), "\u{0}".to_owned())));
        let folder = snapshot::Folder::read(&texts, &self.last);
        let (table, verdicts) = compile(&folder.snapshot, &folder.facts);
        self.tell(&folder, &verdicts, &unreadable);
        self.remember(folder.remember(&verdicts));

        let wire::Encoded { digest, .. } = wire::encode(&table);
        let secrets = Arc::new(Secrets::from_bytes(folder.secrets));
        let adjustments = adjustments(&folder.snapshot, &verdicts);
        let table = Arc::new(table);
        self.terms.send_replace(Terms { table: Arc::clone(&table), adjustments });
        let held = self.live.load_full();
        if held.as_ref().is_some_and(|held| held.digest == digest && held.secrets == secrets) {
            return;
        }
        self.revision += 1;
        tracing::info!(revision = self.revision, %digest, routes = table.routes.len(), budgets = table.budgets.len(), "table in force");
        let (revision, table) = (self.revision, Arc::unwrap_or_clone(table));
        self.live.store(Some(Arc::new(Serving { revision, digest, table, secrets, ..Serving::default() })));
    }

    /// Every mistake once on the log, all of them on the status page for as long as they last.
    fn tell(&mut self, folder: &snapshot::Folder, verdicts: &Verdicts, unreadable: &BTreeMap<String, String>) {
        let readable = |one: &Located| !unreadable.contains_key(&one.file);
        let mut lines: Vec<_> =
            folder.mistakes(verdicts).into_iter().filter(readable).map(|one| self.line(&one)).collect();
        lines.extend(unreadable.iter().map(|(name, problem)| format!("{}: {problem}", self.dir.join(name).display())));
        for (id, verdict) in verdicts {
            lines.extend(remarks(id, verdict).iter().map(|error| self.line(&folder.locate(id, error))));
        }
        for line in lines.iter().filter(|line| !self.told.contains(line)) {
            tracing::warn!("{line}");
        }
        self.health.send_modify(|health| {
            health.connected = true;
            health.place = self.dir.display().to_string();
            health.problems.clone_from(&lines);
        });
        self.told = lines;
    }

    fn line(&self, located: &Located) -> String {
        let file = self.dir.join(&located.file).display().to_string();
        Located { file, ..located.clone() }.to_string()
    }

    /// On disk before it counts, so that a restart while something is broken changes nothing.
    fn remember(&mut self, last: LastGood) {
        if last == self.last {
            return;
        }
        let written = serde_json::to_vec(&last).map_err(|error| error.to_string()).and_then(|text| {
            durable::write(&self.state_dir.join(ACCEPTED), &[&text]).map_err(|error| error.to_string())
        });
        if let Err(error) = written {
            tracing::warn!(%error, "what is accepted could not be kept: a restart would forget it");
        }
        self.last = last;
    }
}

/// What a person should know of a resource although it is no mistake.
fn remarks(id: &Id, verdict: &Verdict) -> Vec<FieldError> {
    let mut found = verdict.ignored.clone();
    for conflict in &verdict.conflicts {
        let what = format!("{:?} stays with {}: give it another name", conflict.model, conflict.winner);
        found.push(FieldError::new("spec.models", what));
    }
    for unpriced in verdict.unpriced.iter().filter(|unpriced| unpriced.route == id.name) {
        let what =
            format!("target {} has no known price and is skipped under a budget: give it a price", unpriced.target);
        found.push(FieldError::new("spec.targets", what));
    }
    if let InForce::LastGood(generation) = verdict.in_force {
        found.push(FieldError::new("metadata.name", format!("its last good version ({generation}) stays in force")));
    }
    found
}

/// Adjustments of every budget in force.
fn adjustments(snapshot: &Snapshot, verdicts: &Verdicts) -> BTreeMap<String, Vec<(String, Adjustment)>> {
    let context = Context { namespace: &snapshot.namespace, mode: Mode::Standalone };
    let of = |(id, verdict): (&Id, &Verdict)| {
        let checked = validate::spec(&verdict.last_accepted.as_ref()?.spec, context).checked?;
        let Checked::Budget(budget) = checked else { return None };
        let each = budget.adjustments.into_iter().map(|validate::Adjustment { id, correction }| match correction {
            Correction::Credit(amount) => (id, Adjustment::Credit(amount)),
            Correction::Resume => (id, Adjustment::Resume),
        });
        Some((id.name.clone(), each.collect()))
    };
    verdicts.iter().filter_map(of).collect()
}

#[cfg(test)]
mod tests;
