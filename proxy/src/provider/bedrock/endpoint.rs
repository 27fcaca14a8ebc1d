//! Region and AWS configuration in, the address of a runtime out; model id in, request path out.

use aws_config::SdkConfig;
use aws_types::service_config::ServiceConfigKey;
use std::fmt::Write as _;

/// A runtime of AWS's.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Service {
    /// As `AWS_ENDPOINT_URL_...` and profiles call it.
    pub(super) id: &'static str,
    /// As signatures call it.
    pub(super) signing: &'static str,
    /// The part of a host before and after the mark of FIPS.
    host: (&'static str, &'static str),
}

pub const BEDROCK: Service = Service { id: "Bedrock Runtime", signing: "bedrock", host: ("bedrock-runtime", "") };
pub const SAGEMAKER: Service =
    Service { id: "SageMaker Runtime", signing: "sagemaker", host: ("runtime", ".sagemaker") };
pub const S3: Service = Service { id: "S3", signing: "s3", host: ("s3", "") };
pub const SQS: Service = Service { id: "SQS", signing: "sqs", host: ("sqs", "") };
pub const AGENT_CORE: Service =
    Service { id: "Bedrock AgentCore", signing: "bedrock-agentcore", host: ("bedrock-agentcore", "") };

/// The region's own address.
pub(super) fn regional(config: &SdkConfig, service: Service, region: &str) -> String {
    let fips = if config.use_fips() == Some(true) { "-fips" } else { "" };
    let domain = match (region.starts_with("cn-"), config.use_dual_stack() == Some(true)) {
        (false, false) => "amazonaws.com",
        (false, true) => "api.aws",
        (true, false) => "amazonaws.com.cn",
        (true, true) => "api.amazonwebservices.com.cn",
    };
    let (before, after) = service.host;
    // Older than the others' names.
    if service == S3 && config.use_dual_stack() == Some(true) {
        let domain = if region.starts_with("cn-") { "amazonaws.com.cn" } else { "amazonaws.com" };
        return format!("https://s3{fips}.dualstack.{region}.{domain}");
    }
    format!("https://{before}{fips}{after}.{region}.{domain}")
}

/// The address that somebody set, without a trailing slash. One for the service, such as `AWS_ENDPOINT_URL_BEDROCK_RUNTIME`, wins over
/// `AWS_ENDPOINT_URL`, and both over the same settings in the profile.
pub(super) fn configured(config: &SdkConfig, service: Service) -> Option<String> {
    let key = ServiceConfigKey::builder()
        .service_id(service.id)
        .env("AWS_ENDPOINT_URL")
        .profile("endpoint_url")
        .build()
        .ok()?;
    let of_service = config.service_config().and_then(|service| service.load_config(key));
    let url = of_service.or_else(|| config.endpoint_url().map(str::to_owned))?;
    Some(url.trim_end_matches('/').to_owned())
}

/// The path of an operation, such as `converse`, on a model id, inference profile id or ARN.
#[must_use]
pub fn path(model_id: &str, action: &str) -> String {
    format!("/model/{}/{action}", segment(model_id))
}

/// Text as one segment of a path.
#[must_use]
pub fn segment(text: &str) -> String {
    let mut segment = String::with_capacity(text.len() + 32);
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.' | b'~') {
            segment.push(char::from(byte));
        } else {
            // Writing to a string cannot fail.
            let _ = write!(segment, "%{byte:02X}");
        }
    }
    segment
}

#[cfg(test)]
mod tests {
    use super::*;
    use aws_types::service_config::LoadServiceConfig;

    #[test]
    fn colons_and_slashes_of_an_id_are_part_of_one_segment() {
        assert_eq!(path("us.amazon.nova-pro-v1:0", "converse"), "/model/us.amazon.nova-pro-v1%3A0/converse");
        assert_eq!(
            path(
                "arn:aws:bedrock:us-east-1:123456789012:inference-profile/us.amazon.nova-lite-v1:0",
                "converse-stream"
            ),
            "/model/arn%3Aaws%3Abedrock%3Aus-east-1%3A123456789012%3Ainference-profile%2Fus.amazon.nova-lite-v1%3A0/converse-stream"
        );
    }

    #[test]
    fn regions_have_their_own_address() {
        let config = SdkConfig::builder().build();
        assert_eq!(regional(&config, BEDROCK, "eu-west-1"), "https://bedrock-runtime.eu-west-1.amazonaws.com");
        assert_eq!(regional(&config, BEDROCK, "cn-north-1"), "https://bedrock-runtime.cn-north-1.amazonaws.com.cn");
        let config = SdkConfig::builder().use_fips(true).build();
        assert_eq!(
            regional(&config, BEDROCK, "us-gov-west-1"),
            "https://bedrock-runtime-fips.us-gov-west-1.amazonaws.com"
        );
        assert_eq!(regional(&config, SAGEMAKER, "us-east-1"), "https://runtime-fips.sagemaker.us-east-1.amazonaws.com");
        let config = SdkConfig::builder().use_dual_stack(true).build();
        assert_eq!(regional(&config, S3, "eu-west-1"), "https://s3.dualstack.eu-west-1.amazonaws.com");
        assert_eq!(regional(&config, SQS, "eu-west-1"), "https://sqs.eu-west-1.api.aws");
    }

    /// Knows an address for the Bedrock runtime only.
    #[derive(Debug)]
    struct OfService;

    impl LoadServiceConfig for OfService {
        fn load_config(&self, key: ServiceConfigKey<'_>) -> Option<String> {
            let asked = (key.service_id(), key.env(), key.profile());
            (asked == ("Bedrock Runtime", "AWS_ENDPOINT_URL", "endpoint_url")).then(|| "http://b".to_owned())
        }
    }

    #[test]
    fn an_address_for_the_service_wins_over_one_for_all() {
        assert_eq!(configured(&SdkConfig::builder().build(), BEDROCK), None);
        let all = || SdkConfig::builder().endpoint_url("http://a/");
        assert_eq!(configured(&all().build(), BEDROCK).as_deref(), Some("http://a"));
        assert_eq!(configured(&all().service_config(OfService).build(), BEDROCK).as_deref(), Some("http://b"));
        assert_eq!(configured(&all().service_config(OfService).build(), SAGEMAKER).as_deref(), Some("http://a"));
    }
}
