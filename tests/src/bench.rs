//! In: the built proxy, a bare hyper reverse proxy, one that signs for Bedrock, nginx. Out: CPU time a request of each on the same
//! upstream, the delay of a stream's first byte and the memory of an open stream, as ratios.
//!
//! # Why ratios of CPU time
//! Seconds depend on the machine and on what else it does; CPU time of one process beside another's, measured in turns within a minute,
//! hardly does. Each round drives every contender with the same requests one after the other; a ratio is the median of its rounds.

mod coalesced;
mod contender;
mod held;
mod load;
mod manifests;
mod reverse;
mod signing;
mod upstream;

pub use load::Shape;
pub use reverse::reverse;
pub use signing::signing;
pub use upstream::upstream;

use std::fmt::Write;
use std::time::Duration;

use coalesced::Coalesced;
use contender::Contender;
use held::Held;
use serde::Serialize;

/// How much is measured.
#[derive(Clone, Debug)]
pub struct Plan {
    /// Nothing but this: a shape's name, `first-byte`, `memory` or `batches`.
    pub only: Option<String>,
    /// Turns that every contender gets.
    pub rounds: usize,
    /// Plain requests in a turn; a turn of streams has a tenth of it.
    pub requests: usize,
    /// Connections that ask at the same time.
    pub connections: usize,
    /// Streams open at the same time while memory is weighed.
    pub streams: usize,
}

/// One line of the result: how many times as much as `baseline` it takes tollway-proxy.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Ratio {
    pub name: String,
    pub baseline: String,
    pub ratio: f64,
}

/// Everything measured: microseconds of CPU a request by shape and contender, medians of the rounds.
#[derive(Clone, Debug)]
pub struct Measured {
    rows: Vec<(Shape, Vec<(&'static str, f64)>)>,
    first_bytes: Vec<(&'static str, Duration)>,
    held: Option<Held>,
    coalesced: Option<Coalesced>,
    pub ratios: Vec<Ratio>,
}

/// Starts every contender, drives them in turns, stops them.
pub async fn run(plan: Plan, mut progress: impl FnMut(&str)) -> anyhow::Result<Measured> {
    let upstream = contender::start_upstream().await;
    let contenders = contender::start_all(&upstream).await;
    let wanted = |name: &str| plan.only.as_deref().is_none_or(|only| only == name);
    let mut measured =
        Measured { rows: Vec::new(), first_bytes: Vec::new(), held: None, coalesced: None, ratios: Vec::new() };
    for shape in Shape::ALL.into_iter().filter(|shape| wanted(shape.name())) {
        let taking_part: Vec<&Contender> = contenders.iter().filter(|c| c.serves(shape)).collect();
        let mut turns: Vec<Vec<f64>> = vec![Vec::new(); taking_part.len()];
        for round in 0..=plan.rounds {
            progress(&format!("{}: round {round} of {}", shape.name(), plan.rounds));
            for (turns, contender) in turns.iter_mut().zip(&taking_part) {
                let cost = turn(contender, shape, &plan).await?;
                // Round 0 warms caches and pools up.
                if round > 0 {
                    turns.push(cost);
                }
            }
        }
        measured.add(shape, &taking_part, &turns);
    }
    if wanted("first-byte") {
        progress("first byte of a stream");
        for contender in contenders.iter().filter(|c| c.serves(Shape::Stream)) {
            let took = load::first_bytes(contender.address, Shape::Stream, plan.requests / 4).await?;
            measured.first_bytes.push((contender.name, median(took)));
        }
        let took = load::first_bytes(upstream.address, Shape::Stream, plan.requests / 4).await?;
        measured.first_bytes.push(("no proxy", median(took)));
    }
    drop(contenders);
    if wanted("memory") {
        progress(&format!("{} open streams", plan.streams));
        let held = held::weigh(upstream.address, plan.streams).await?;
        let name = format!("tollway+budget memory of each of {} streams", held.streams);
        measured.ratios.push(Ratio { name, baseline: "hyper".into(), ratio: hundredths(held.ours / held.bare) });
        measured.held = Some(held);
    }
    if wanted("batches") {
        progress("texts that share batches");
        let coalesced = coalesced::measure(upstream.address).await?;
        let ratio = hundredths(coalesced.together / coalesced.alone);
        measured.ratios.push(Ratio {
            name: "texts a second of 64 callers in shared batches".into(),
            baseline: "alone".into(),
            ratio,
        });
        measured.coalesced = Some(coalesced);
    }
    Ok(measured)
}

async fn turn(contender: &Contender, shape: Shape, plan: &Plan) -> anyhow::Result<f64> {
    let requests = if shape.is_long() { plan.requests.div_ceil(10) } else { plan.requests };
    let before = contender.cpu_nanos();
    load::drive(contender.address, shape, requests, plan.connections).await?;
    Ok((contender.cpu_nanos() - before) as f64 / 1000.0 / requests as f64)
}

impl Measured {
    fn add(&mut self, shape: Shape, contenders: &[&Contender], turns: &[Vec<f64>]) {
        let medians = contenders.iter().zip(turns).map(|(c, t)| (c.name, median(t.clone()))).collect();
        for (ours, our_turns) in contenders.iter().zip(turns).filter(|(c, _)| !c.is_baseline) {
            for (baseline, their_turns) in contenders.iter().zip(turns).filter(|(c, _)| c.is_baseline) {
                let ratios = our_turns.iter().zip(their_turns).map(|(a, b)| a / b).collect();
                let name = format!("{} {}", ours.name, shape.name());
                let ratio = hundredths(median::<f64>(ratios));
                self.ratios.push(Ratio { name, baseline: baseline.name.into(), ratio });
            }
        }
        self.rows.push((shape, medians));
    }

    /// For a person: CPU time of each, then the ratios.
    pub fn table(&self) -> String {
        let mut text = String::from("CPU time a request, microseconds (median of the rounds)\n\n");
        for (shape, medians) in &self.rows {
            for (name, micros) in medians {
                let _ = writeln!(text, "  {:<16} {name:<18} {micros:>9.1}", shape.name());
            }
        }
        text.push_str("\nuntil the first byte of a stream, milliseconds (median)\n\n");
        for (name, took) in &self.first_bytes {
            let _ = writeln!(text, "  {name:<35} {:>9.3}", took.as_secs_f64() * 1e3);
        }
        if let Some(Held { streams, ours, bare }) = self.held {
            let _ = writeln!(text, "\nresident memory of each of {streams} open streams, KiB\n");
            for (name, bytes) in [("hyper", bare), ("tollway+budget", ours)] {
                let _ = writeln!(text, "  {name:<35} {:>9.1}", bytes / 1024.0);
            }
        }
        for (shape, what) in [(Shape::Vectors, "scaled"), (Shape::Units, "of length 1")] {
            let Some((_, medians)) = self.rows.iter().find(|(measured, _)| *measured == shape) else { continue };
            let of = |name| medians.iter().find(|(contender, _)| *contender == name).map_or(0.0, |(_, micros)| *micros);
            let added = (of("tollway") - of("hyper")) / load::TEXTS as f64;
            let _ = writeln!(text, "\nCPU time added to each vector of 1024 numbers, {what}, microseconds: {added:.1}");
        }
        if let Some(Coalesced { alone, together, p99 }) = self.coalesced {
            let p99 = p99.as_secs_f64() * 1e3;
            let _ = writeln!(
                text,
                "\ntexts a second of 64 callers, 40 ms a batch: {alone:.0} alone, {together:.0} in shared batches (p99 {p99:.0} ms)"
            );
        }
        text.push_str("\nratio of the two, round by round (median)\n\n");
        for Ratio { name, baseline, ratio } in &self.ratios {
            let _ = writeln!(text, "  {name:<50} / {baseline:<12} {ratio:>7.2}");
        }
        text
    }
}

fn hundredths(ratio: f64) -> f64 {
    (ratio * 100.0).round() / 100.0
}

/// The middle one; the lower of two.
fn median<T: Copy + PartialOrd + Default>(mut values: Vec<T>) -> T {
    values.sort_by(|a, b| a.partial_cmp(b).unwrap_or(std::cmp::Ordering::Equal));
    values.get(values.len().saturating_sub(1) / 2).copied().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::median;

    #[test]
    fn the_median_is_in_the_middle() {
        assert_eq!(median(vec![9.0, 1.0, 5.0]), 5.0);
        assert_eq!(median(vec![4.0, 1.0, 9.0, 2.0]), 2.0);
    }
}
