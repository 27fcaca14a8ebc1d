//! Where an EmbeddingEndpoint's jobs are kept and where their failures go, as a spec says it, in; the bucket, its prefix and the queue, checked, out.

use super::Errors;
use crate::table::{Jobs, Queue};
use tollway_crds::embedding_endpoint as spec;

/// Checks it; `own` is the endpoint's own name at SageMaker.
pub fn check(jobs: &spec::Jobs, own: &str, errors: &mut Errors) -> Jobs {
    let spec::Jobs { s3_uri, endpoint_name, dead_letter } = jobs;
    let (bucket, prefix) = place(s3_uri).unwrap_or_else(|| {
        let shape =
            "s3://bucket/prefix, the bucket of 3 to 63 small letters, digits, dots and hyphens, the prefix not empty";
        errors.wrong("spec.jobs.s3Uri", format!("{s3_uri:?} is no place for jobs: write {shape}"));
        (String::new(), String::new())
    });
    let dead_letter = dead_letter.as_ref().map(|spec::DeadLetter { sqs_queue_url: url }| {
        if !is_queue(url) {
            let shape = "https://sqs.<region>.amazonaws.com/<account of 12 digits>/<name>";
            errors.wrong("spec.jobs.deadLetter.sqsQueueUrl", format!("{url:?} is no queue of SQS: write {shape}"));
        }
        Queue { url: url.clone(), region: region(url).map(str::to_owned) }
    });
    let endpoint_name = endpoint_name.clone().unwrap_or_else(|| own.to_owned());
    Jobs { bucket, prefix, endpoint_name, dead_letter }
}

/// Bucket and prefix.
fn place(uri: &str) -> Option<(String, String)> {
    let (bucket, prefix) = uri.strip_prefix("s3://")?.split_once('/')?;
    let prefix = prefix.trim_matches('/');
    let ends = |c: Option<char>| c.is_some_and(|c| c.is_ascii_lowercase() || c.is_ascii_digit());
    let is_bucket = (3..=63).contains(&bucket.len())
        && bucket.chars().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || matches!(c, '.' | '-'))
        && ends(bucket.chars().next())
        && ends(bucket.chars().next_back())
        && !bucket.contains("..");
    // What has a meaning in a path would name another object than it says.
    let is_prefix = !prefix.is_empty() && prefix.split('/').all(|part| !matches!(part, "" | "." | ".."));
    (is_bucket && is_prefix).then(|| (bucket.to_owned(), prefix.to_owned()))
}

fn is_queue(url: &str) -> bool {
    let rest = url.strip_prefix("https://").or_else(|| url.strip_prefix("http://"));
    let mut parts = rest.unwrap_or_default().split('/');
    let (host, account, name) = (parts.next(), parts.next(), parts.next());
    let name = name.map(|name| name.strip_suffix(".fifo").unwrap_or(name)).unwrap_or_default();
    host.is_some_and(|host| !host.is_empty())
        && account.is_some_and(|account| account.len() == 12 && account.chars().all(|c| c.is_ascii_digit()))
        && (1..=80).contains(&name.len())
        && name.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '-' | '_'))
        && parts.next().is_none()
}

/// The region that a queue's host names.
fn region(url: &str) -> Option<&str> {
    let host = url.split_once("://")?.1.split(['/', ':']).next()?;
    let mut labels = host.split('.');
    match (labels.next()?, labels.next()?) {
        ("sqs" | "sqs-fips", region) if host.contains(".amazonaws.com") || host.contains(".api.a") => Some(region),
        (region, "queue") if host.ends_with("amazonaws.com") => Some(region),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_place_is_a_bucket_and_a_prefix() {
        assert_eq!(place("s3://bucket/a/b/"), Some(("bucket".to_owned(), "a/b".to_owned())));
        for bad in [
            "s3://bucket",
            "s3://bucket/",
            "s3://b/p",
            "s3://Bucket/p",
            "s3://-ucket/p",
            "s3://buc..ket/p",
            "s3://evil@host/p",
            "s3://bucket/a//b",
            "s3://bucket/../b",
            "http://bucket/p",
            "",
        ] {
            assert_eq!(place(bad), None, "{bad}");
        }
    }

    #[test]
    fn a_queue_is_known_by_its_url_and_its_region_by_its_host() {
        for (url, expected) in [
            ("https://sqs.eu-west-1.amazonaws.com/123456789012/dead", Some("eu-west-1")),
            ("https://sqs.cn-north-1.amazonaws.com.cn/123456789012/dead.fifo", Some("cn-north-1")),
            ("https://sqs.eu-west-1.api.aws/123456789012/dead", Some("eu-west-1")),
            ("https://us-east-1.queue.amazonaws.com/123456789012/dead", Some("us-east-1")),
            ("http://127.0.0.1:5000/123456789012/dead", None),
        ] {
            assert!(is_queue(url), "{url}");
            assert_eq!(region(url), expected, "{url}");
        }
        for bad in [
            "https://sqs.eu-west-1.amazonaws.com/dead",
            "https://host/123456789012/a b",
            "https://host/123456789012/a/b",
            "ftp://host/123456789012/dead",
            "https:///123456789012/dead",
            "https://host/12345678901/dead",
        ] {
            assert!(!is_queue(bad), "{bad}");
        }
    }
}
