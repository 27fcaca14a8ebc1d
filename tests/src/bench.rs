//! In: the built proxy, a bare hyper reverse proxy, nginx. Out: CPU time a request of each on the same upstream, as ratios.
//!
//! # Why ratios of CPU time
//! Seconds depend on the machine and on what else it does; CPU time of one process beside another's, measured in turns within a minute,
//! hardly does. Each round drives every contender with the same requests one after the other; a ratio is the median of its rounds.

mod contender;
mod load;
mod reverse;
mod upstream;

pub use load::Shape;
pub use reverse::reverse;
pub use upstream::upstream;

use std::fmt::Write;

use contender::Contender;
use serde::Serialize;

/// How much is measured.
#[derive(Clone, Copy, Debug)]
pub struct Plan {
    /// Turns that every contender gets.
    pub rounds: usize,
    /// Plain requests in a turn; a turn of streams has a tenth of it.
    pub requests: usize,
    /// Connections that ask at the same time.
    pub connections: usize,
}

/// One line of the result: how many times the CPU time of `baseline` one request takes in tollway-proxy.
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
    pub ratios: Vec<Ratio>,
}

const BASELINES: [&str; 2] = ["hyper", "nginx"];

/// Starts every contender, drives them in turns, stops them.
pub async fn run(plan: Plan, mut progress: impl FnMut(&str)) -> anyhow::Result<Measured> {
    let upstream = contender::start_upstream().await;
    let contenders = contender::start_all(&upstream).await;
    let mut measured = Measured { rows: Vec::new(), ratios: Vec::new() };
    for shape in [Shape::Plain, Shape::Stream] {
        let mut turns: Vec<Vec<f64>> = vec![Vec::new(); contenders.len()];
        for round in 0..=plan.rounds {
            progress(&format!("{}: round {round} of {}", shape.name(), plan.rounds));
            for (turns, contender) in turns.iter_mut().zip(&contenders) {
                let cost = turn(contender, shape, plan).await?;
                // Round 0 warms caches and pools up.
                if round > 0 {
                    turns.push(cost);
                }
            }
        }
        measured.add(shape, &contenders, &turns);
    }
    Ok(measured)
}

async fn turn(contender: &Contender, shape: Shape, plan: Plan) -> anyhow::Result<f64> {
    let requests = if shape == Shape::Stream { plan.requests.div_ceil(10) } else { plan.requests };
    let before = contender.cpu_nanos();
    load::drive(contender.address, shape, requests, plan.connections).await?;
    Ok((contender.cpu_nanos() - before) as f64 / 1000.0 / requests as f64)
}

impl Measured {
    fn add(&mut self, shape: Shape, contenders: &[Contender], turns: &[Vec<f64>]) {
        let medians = contenders.iter().zip(turns).map(|(c, t)| (c.name, median(t.clone()))).collect();
        for (ours, our_turns) in contenders.iter().zip(turns).filter(|(c, _)| !BASELINES.contains(&c.name)) {
            for (baseline, their_turns) in contenders.iter().zip(turns).filter(|(c, _)| BASELINES.contains(&c.name)) {
                let ratios = our_turns.iter().zip(their_turns).map(|(a, b)| a / b).collect();
                let ratio = (median(ratios) * 100.0).round() / 100.0;
                let name = format!("{} {}", ours.name, shape.name());
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
                let _ = writeln!(text, "  {:<8} {name:<18} {micros:>9.1}", shape.name());
            }
        }
        text.push_str("\nratio of the two, round by round (median)\n\n");
        for Ratio { name, baseline, ratio } in &self.ratios {
            let _ = writeln!(text, "  {name:<26} / {baseline:<8} {ratio:>7.2}");
        }
        text
    }
}

fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    let middle = values.len() / 2;
    if values.len() % 2 == 1 { values[middle] } else { f64::midpoint(values[middle - 1], values[middle]) }
}

#[cfg(test)]
mod tests {
    use super::median;

    #[test]
    fn the_median_is_in_the_middle() {
        assert_eq!(median(vec![9.0, 1.0, 5.0]), 5.0);
        assert_eq!(median(vec![4.0, 1.0, 9.0, 2.0]), 3.0);
    }
}
