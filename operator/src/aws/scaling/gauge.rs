//! An instance type in; what SageMaker measures its use with, and how much of that is one hundred percent, out.
//!
//! # Why instance types are known here
//! SageMaker sums utilization over cores and over GPUs: four busy cores are 400 %. A target of 70 % therefore is 70 times their number.
//! The metric that is normalized exists for inference components only.

use tollway_core::status::Trouble;

/// What a policy goes by.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Gauge {
    /// Invocations a minute on each instance.
    Invocations,
    /// Percent of one core, summed over the cores of an instance.
    Cpu,
    /// Percent of one GPU, summed over the GPUs of an instance.
    Gpu,
    /// What proxies keep waiting and have under way, on each instance or copy.
    Queue,
    /// Invocations a minute on each copy of an inference component.
    CopyInvocations,
    /// Percent of the cores that a copy has.
    CopyCpu,
    /// Percent of the GPUs that a copy has.
    CopyGpu,
}

/// The gauge of an instance type, and of how many cores or GPUs it is the sum.
pub fn of(instance_type: Option<&str>) -> Result<(Gauge, u32), Trouble> {
    let known = instance_type.and_then(|name| {
        let (family, size) = name.strip_prefix("ml.")?.split_once('.')?;
        if is_accelerated(family) {
            gpus(family, size).map(|gpus| (Gauge::Gpu, gpus))
        } else {
            cores(family, size).map(|cores| (Gauge::Cpu, cores))
        }
    });
    known.ok_or_else(|| Trouble {
        reason: "UnknownInstance",
        message: format!(
            "how many cores or GPUs {} has is not known, so a percentage means nothing: set spec.autoscaling.target.metric to InvocationsPerInstance",
            instance_type.unwrap_or("a variant without an instance type")
        ),
    })
}

fn is_accelerated(family: &str) -> bool {
    let of =
        |letter: char| family.strip_prefix(letter).is_some_and(|rest| rest.starts_with(|c: char| c.is_ascii_digit()));
    of('g') || of('p')
}

fn gpus(family: &str, size: &str) -> Option<u32> {
    Some(match (family, size) {
        ("p2", "xlarge") | ("p3", "2xlarge") | ("p5", "4xlarge") => 1,
        ("p3", "8xlarge") => 4,
        ("p2", "16xlarge") => 16,
        ("p2", "8xlarge") | ("p3", "16xlarge") | ("p3dn", "24xlarge") => 8,
        ("p4d" | "p4de", "24xlarge") | ("p5" | "p5e" | "p5en", "48xlarge") => 8,
        ("g4dn" | "g5" | "g6" | "g6e", "xlarge" | "2xlarge" | "4xlarge" | "8xlarge" | "16xlarge") => 1,
        ("g4dn" | "g5" | "g6" | "g6e", "12xlarge") | ("g5" | "g6" | "g6e", "24xlarge") => 4,
        ("g5" | "g6" | "g6e", "48xlarge") => 8,
        _ => return None,
    })
}

/// Families whose sizes follow the rule of four cores to the `xlarge`; the one older exception is named.
fn cores(family: &str, size: &str) -> Option<u32> {
    let is_general = family.starts_with(['c', 'm', 'r', 't']) && family.as_bytes().get(1)?.is_ascii_digit();
    if (family, size) == ("c4", "8xlarge") {
        return Some(36);
    }
    match size {
        _ if !is_general => None,
        // One core with Graviton, two before: not worth a guess.
        "medium" => (family == "t2").then_some(2),
        "large" => Some(2),
        "xlarge" => Some(4),
        more => more.strip_suffix("xlarge")?.parse::<u32>().ok()?.checked_mul(4),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cores_and_gpus_are_counted() {
        let said = |name| of(Some(name)).ok();
        assert_eq!(said("ml.m5.xlarge"), Some((Gauge::Cpu, 4)));
        assert_eq!(said("ml.c5.18xlarge"), Some((Gauge::Cpu, 72)));
        assert_eq!(said("ml.c4.8xlarge"), Some((Gauge::Cpu, 36)));
        assert_eq!(said("ml.t2.medium"), Some((Gauge::Cpu, 2)));
        assert_eq!(said("ml.g4dn.xlarge"), Some((Gauge::Gpu, 1)));
        assert_eq!(said("ml.g5.12xlarge"), Some((Gauge::Gpu, 4)));
        assert_eq!(said("ml.p4d.24xlarge"), Some((Gauge::Gpu, 8)));
    }

    #[test]
    fn what_is_not_known_is_not_guessed() {
        for name in [
            None,
            Some("ml.g99.xlarge"),
            Some("ml.inf2.xlarge"),
            Some("ml.m5.huge"),
            Some("nonsense"),
            Some("ml.m5.9999999999xlarge"),
        ] {
            assert_eq!(of(name).unwrap_err().reason, "UnknownInstance", "{name:?}");
        }
    }
}
