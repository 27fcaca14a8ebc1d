//! A namespace, an endpoint, a caller and a job in; the keys of everything that is kept of it, and its id, out.
//!
//! # Why an id has two parts
//! The first is the time, turned round, so that S3 lists the newest job first; the second is random and long enough that nobody guesses it.
//! A caller's jobs stand in a folder of their own, so that whoever asks for another's finds nothing there.

use aws_lc_rs::rand;
use tollway_core::table::Jobs;
use tollway_core::wire;

const LEAD: &str = "embjob-";
/// Hexadecimal digits of an id's moment, and of its random part.
const DIGITS: usize = 12 + 32;

/// The random part and the moment of a job's id.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Number(String);

impl Number {
    /// A new one; none when the system gives no randomness.
    #[must_use]
    pub fn new(now_ms: i64) -> Option<Self> {
        let mut random = [0_u8; 16];
        rand::fill(&mut random).ok()?;
        let turned = 0xffff_ffff_ffff_u64.saturating_sub(now_ms.unsigned_abs());
        Some(Self(format!("{turned:012x}{}", hex::encode(random))))
    }

    /// What is one.
    #[must_use]
    pub fn read(text: &str) -> Option<Self> {
        let is_one = text.len() == DIGITS && text.bytes().all(|c| c.is_ascii_digit() || (b'a'..=b'f').contains(&c));
        is_one.then(|| Self(text.to_owned()))
    }

    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// As clients know it.
    #[must_use]
    pub fn id(&self, endpoint: &str) -> String {
        format!("{LEAD}{}-{endpoint}", self.0)
    }
}

/// Number and endpoint of an id.
#[must_use]
pub fn parse(id: &str) -> Option<(Number, &str)> {
    let rest = id.strip_prefix(LEAD)?;
    let (number, endpoint) = rest.split_at_checked(DIGITS)?;
    Some((Number::read(number)?, endpoint.strip_prefix('-')?))
}

/// The folder of an endpoint's jobs, with a slash at its end.
#[must_use]
pub fn folder(jobs: &Jobs, namespace: &str, endpoint: &str) -> String {
    format!("{}/{namespace}/{endpoint}/", jobs.prefix)
}

/// How a caller's folder is called: what a user is called is nobody's business who may list the bucket.
#[must_use]
pub fn caller(user: Option<&str>) -> String {
    match user {
        None => "application".to_owned(),
        Some(user) => format!("user-{}", &wire::digest(user.as_bytes())[..32]),
    }
}

/// Where one job is kept.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Shelf {
    folder: String,
    pub caller: String,
    pub number: Number,
}

impl Shelf {
    #[must_use]
    pub fn new(folder: String, caller: String, number: Number) -> Self {
        Self { folder, caller, number }
    }

    /// The job that a mark among the open ones names.
    #[must_use]
    pub fn of_mark(folder: &str, mark: &str) -> Option<Self> {
        let (caller, number) = mark.rsplit_once('.')?;
        Some(Self::new(folder.to_owned(), caller.to_owned(), Number::read(number)?))
    }

    fn key(&self, name: &str) -> String {
        format!("{}jobs/{}/{}/{name}", self.folder, self.caller, self.number.0)
    }

    #[must_use]
    pub fn manifest(&self) -> String {
        self.key("manifest.json")
    }

    #[must_use]
    pub fn items(&self) -> String {
        self.key("items.json")
    }

    /// What the endpoint reads of a batch.
    #[must_use]
    pub fn input(&self, first: u32, items: u32) -> String {
        self.key(&format!("in/{first}-{items}.json"))
    }

    /// The vectors of a batch.
    #[must_use]
    pub fn vectors(&self, first: u32) -> String {
        self.key(&format!("out/{first}.json"))
    }

    /// Says that the job is not over.
    #[must_use]
    pub fn mark(&self) -> String {
        format!("{}{}.{}", marks(&self.folder), self.caller, self.number.0)
    }
}

/// The folder of the marks of all jobs that are not over.
#[must_use]
pub fn marks(folder: &str) -> String {
    format!("{folder}open/")
}

/// The folder of a caller's jobs.
#[must_use]
pub fn jobs_of(folder: &str, caller: &str) -> String {
    format!("{folder}jobs/{caller}/")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_lead_to_their_jobs_and_the_newest_comes_first() {
        let (old, new) = (Number::new(1_000).unwrap(), Number::new(2_000).unwrap());
        assert!(new.as_str() < old.as_str());
        assert_ne!(Number::new(1_000), Number::new(1_000));
        let id = old.id("my-endpoint");
        assert_eq!(parse(&id), Some((old.clone(), "my-endpoint")));
        for bad in [
            "",
            "embjob-",
            "embjob-x-e",
            &id[..40],
            &id.to_uppercase(),
            "embjob-../../../../../../../../../../../../../../-e",
        ] {
            assert_eq!(parse(bad), None, "{bad}");
        }
        let shelf = Shelf::new("p/ns/e/".to_owned(), caller(Some("ann")), old);
        let mark = shelf.mark();
        assert_eq!(Shelf::of_mark("p/ns/e/", mark.rsplit('/').next().unwrap()), Some(shelf));
        assert_ne!(caller(Some("ann")), caller(Some("bob")));
        assert_ne!(caller(Some("application")), caller(None));
    }
}
