//! OpenTelemetry's environment variables in, where and which spans are sent out.

use super::Context;
use anyhow::{Context as _, bail};
use http::{HeaderName, HeaderValue, Uri};
use std::time::Duration;

/// What OpenTelemetry's variables say.
#[derive(Clone, Debug)]
pub struct Settings {
    /// Where spans are posted.
    pub endpoint: Uri,
    /// Sent along; secrets, never shown.
    pub headers: Vec<(HeaderName, HeaderValue)>,
    pub timeout: Duration,
    /// `service.name` and whatever else describes this process.
    pub resource: Vec<(String, String)>,
    pub sampler: Sampler,
}

/// Which requests are recorded.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Sampler {
    /// The caller's own decision holds, where there is one.
    pub asks_parent: bool,
    /// Share of the traces that begin here, 0 to 1.
    pub ratio: f64,
}

impl Sampler {
    pub(super) fn takes(self, parent: Option<&Context>, context: &Context) -> bool {
        match parent {
            Some(parent) if self.asks_parent => parent.is_sampled,
            _ => {
                // As every sampler by trace id decides, so that all parts of a trace decide alike.
                let [.., a, b, c, d, e, f, g, h] = context.trace;
                let drawn = u64::from_be_bytes([a, b, c, d, e, f, g, h]) >> 1;
                #[expect(clippy::cast_precision_loss, reason = "a share needs no more digits")]
                let drawn = drawn as f64 / (1_u64 << 63) as f64;
                drawn < self.ratio
            }
        }
    }
}

impl Settings {
    /// Reads the variables; `None`: nothing is to be sent.
    ///
    /// # Errors
    /// Which variable says what cannot be done.
    pub fn from_environment(variable: impl Fn(&str) -> Option<String>) -> anyhow::Result<Option<Self>> {
        let get = |name: &str| variable(name).map(|text| text.trim().to_owned()).filter(|text| !text.is_empty());
        if get("OTEL_SDK_DISABLED").is_some_and(|text| text.eq_ignore_ascii_case("true"))
            || get("OTEL_TRACES_EXPORTER").is_some_and(|text| text == "none")
        {
            return Ok(None);
        }
        let of_all = get("OTEL_EXPORTER_OTLP_ENDPOINT").map(|url| format!("{}/v1/traces", url.trim_end_matches('/')));
        let Some(endpoint) = get("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT").or(of_all) else { return Ok(None) };
        let first = |ofs: [&str; 2]| ofs.into_iter().find_map(get);
        let protocol = first(["OTEL_EXPORTER_OTLP_TRACES_PROTOCOL", "OTEL_EXPORTER_OTLP_PROTOCOL"]);
        if protocol.as_deref().is_some_and(|protocol| protocol != "http/protobuf") {
            bail!("OTEL_EXPORTER_OTLP_PROTOCOL: only http/protobuf is spoken; a collector takes it on port 4318");
        }
        let endpoint: Uri =
            endpoint.parse().with_context(|| format!("OTEL_EXPORTER_OTLP_ENDPOINT {endpoint:?} is no URL"))?;
        if !matches!(endpoint.scheme_str(), Some("http" | "https")) || endpoint.host().is_none() {
            bail!("OTEL_EXPORTER_OTLP_ENDPOINT {endpoint}: write http://host:4318 or https://host");
        }
        let headers = first(["OTEL_EXPORTER_OTLP_TRACES_HEADERS", "OTEL_EXPORTER_OTLP_HEADERS"]);
        let timeout = first(["OTEL_EXPORTER_OTLP_TRACES_TIMEOUT", "OTEL_EXPORTER_OTLP_TIMEOUT"]);
        let timeout = timeout.map_or(Ok(10_000), |text| text.parse::<u64>());
        let timeout = timeout.context("OTEL_EXPORTER_OTLP_TIMEOUT is no number of milliseconds")?;
        let mut resource = pairs("OTEL_RESOURCE_ATTRIBUTES", &get("OTEL_RESOURCE_ATTRIBUTES").unwrap_or_default())?;
        let named = resource.iter().any(|(name, _)| name == "service.name");
        if let Some(name) = get("OTEL_SERVICE_NAME").or_else(|| (!named).then(|| "tollway-proxy".to_owned())) {
            resource.retain(|(known, _)| known != "service.name");
            resource.push(("service.name".to_owned(), name));
        }
        Ok(Some(Self {
            endpoint,
            headers: header_pairs(&headers.unwrap_or_default())?,
            timeout: Duration::from_millis(timeout.max(1)),
            resource,
            sampler: sampler(get("OTEL_TRACES_SAMPLER").as_deref(), get("OTEL_TRACES_SAMPLER_ARG").as_deref())?,
        }))
    }
}

fn sampler(name: Option<&str>, argument: Option<&str>) -> anyhow::Result<Sampler> {
    let name = name.unwrap_or("parentbased_always_on");
    let (asks_parent, of) = name.strip_prefix("parentbased_").map_or((false, name), |of| (true, of));
    let ratio = match of {
        "always_on" => 1.0,
        "always_off" => 0.0,
        "traceidratio" => {
            argument.map_or(Ok(1.0), str::parse).ok().filter(|ratio| (0.0..=1.0).contains(ratio)).with_context(
                || format!("OTEL_TRACES_SAMPLER_ARG {:?} is no share from 0 to 1", argument.unwrap_or_default()),
            )?
        }
        _ => bail!(
            "OTEL_TRACES_SAMPLER {name:?}: use always_on, always_off or traceidratio, with or without parentbased_"
        ),
    };
    Ok(Sampler { asks_parent, ratio })
}

/// `name=value,name=value`, percent-encoded. What is wrong is told without its value: it may be a secret.
fn pairs(variable: &str, text: &str) -> anyhow::Result<Vec<(String, String)>> {
    let parts = text.split(',').filter(|part| !part.trim().is_empty());
    let pair = |part: &str| {
        let (name, value) = part.split_once('=').with_context(|| format!("{variable} is no list of name=value"))?;
        let name = name.trim();
        let value = crate::surface::bedrock::decoded(value.trim());
        let value = value.with_context(|| format!("{variable}: the value of {name} is not percent-encoded well"))?;
        anyhow::Ok((name.to_owned(), value))
    };
    parts.map(pair).collect()
}

fn header_pairs(text: &str) -> anyhow::Result<Vec<(HeaderName, HeaderValue)>> {
    let header = |(name, value): (String, String)| {
        let wrong = || format!("OTEL_EXPORTER_OTLP_HEADERS: {name:?} is no header");
        let header = HeaderName::try_from(&name).with_context(wrong)?;
        let mut value = HeaderValue::try_from(value).with_context(wrong)?;
        value.set_sensitive(true);
        Ok((header, value))
    };
    pairs("OTEL_EXPORTER_OTLP_HEADERS", text)?.into_iter().map(header).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeMap;

    fn read(variables: &[(&str, &str)]) -> anyhow::Result<Option<Settings>> {
        let variables: BTreeMap<&str, &str> = variables.iter().copied().collect();
        Settings::from_environment(|name| variables.get(name).map(|value| (*value).to_owned()))
    }

    #[test]
    fn nothing_is_sent_unless_somebody_says_where() {
        assert!(read(&[]).unwrap().is_none());
        let endpoint = ("OTEL_EXPORTER_OTLP_ENDPOINT", "http://collector:4318/");
        assert!(read(&[endpoint, ("OTEL_SDK_DISABLED", "true")]).unwrap().is_none());
        assert!(read(&[endpoint, ("OTEL_TRACES_EXPORTER", "none")]).unwrap().is_none());
        let settings = read(&[endpoint]).unwrap().unwrap();
        assert_eq!(settings.endpoint, "http://collector:4318/v1/traces");
        assert_eq!(settings.resource, [("service.name".to_owned(), "tollway-proxy".to_owned())]);
        assert_eq!(settings.sampler, Sampler { asks_parent: true, ratio: 1.0 });
        let own = ("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "https://cloud.example.com/api/public/otel/v1/traces");
        assert_eq!(read(&[endpoint, own]).unwrap().unwrap().endpoint, own.1);
    }

    #[test]
    fn headers_are_percent_encoded_and_stay_secret() {
        let headers = ("OTEL_EXPORTER_OTLP_HEADERS", "Authorization=Basic%20cGs6c2s=, x-team=a");
        let settings = read(&[("OTEL_EXPORTER_OTLP_ENDPOINT", "http://c:1"), headers]).unwrap().unwrap();
        assert_eq!(settings.headers[0].1, "Basic cGs6c2s=");
        assert!(!format!("{settings:?}").contains("cGs6c2s"));
    }

    #[test]
    fn what_cannot_be_done_is_named() {
        for (name, value) in [
            ("OTEL_EXPORTER_OTLP_ENDPOINT", "collector"),
            ("OTEL_EXPORTER_OTLP_PROTOCOL", "grpc"),
            ("OTEL_EXPORTER_OTLP_TIMEOUT", "soon"),
            ("OTEL_TRACES_SAMPLER", "sometimes"),
            ("OTEL_EXPORTER_OTLP_HEADERS", "secret"),
        ] {
            let error = read(&[("OTEL_EXPORTER_OTLP_ENDPOINT", "http://c:1"), (name, value)]).unwrap_err();
            assert!(format!("{error:#}").contains(name), "{error:#}");
            assert!(!format!("{error:#}").contains("secret"), "{error:#}");
        }
        let wrong = [
            ("OTEL_EXPORTER_OTLP_ENDPOINT", "http://c:1"),
            ("OTEL_TRACES_SAMPLER", "traceidratio"),
            ("OTEL_TRACES_SAMPLER_ARG", "2"),
        ];
        assert!(read(&wrong).is_err());
    }

    #[test]
    fn a_share_of_the_traces_is_that_share() {
        let sampler = Sampler { asks_parent: true, ratio: 0.25 };
        let taken = (0..4_000).filter(|_| sampler.takes(None, &Context::root())).count();
        assert!((800..1_200).contains(&taken), "{taken}");
        let parent = Context { is_sampled: false, ..Context::root() };
        assert!(!Sampler { ratio: 1.0, ..sampler }.takes(Some(&parent), &parent.child()));
        assert!(Sampler { asks_parent: false, ratio: 1.0 }.takes(Some(&parent), &parent.child()));
    }
}
