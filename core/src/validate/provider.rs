//! The provider of one target in, what the table says of it out.

use super::{Context, Errors};
use crate::{
    snapshot::Mode,
    table::{
        AgentCore, Anthropic, Bedrock, ChatFormat, Guardrail, OpenAi, Provider, SageMakerChat, SecretKey, Simulated,
        Template,
    },
};
use std::net::IpAddr;
use tollway_crds::PriceSpec;
use tollway_crds::model_route::{self as spec};

const SIMULATED_REPLY: &str = "This is a simulated reply: no model was asked and nothing was paid.";
const DEFAULT_KEY: &str = "apiKey";
const ANTHROPIC_URL: &str = "https://api.anthropic.com";

/// The provider; absent when it is wrong.
pub fn check(target: &spec::Target, path: &str, context: Context<'_>, errors: &mut Errors) -> Option<Provider> {
    errors.exactly_one(
        path,
        &[
            ("bedrock", target.bedrock.is_some()),
            ("openai", target.openai.is_some()),
            ("anthropic", target.anthropic.is_some()),
            ("agentCore", target.agent_core.is_some()),
            ("sagemaker", target.sagemaker.is_some()),
            ("simulated", target.simulated.is_some()),
        ],
    );
    let bedrock = target.bedrock.as_ref().map(|b| Provider::Bedrock(bedrock(b)));
    let openai =
        target.openai.as_ref().map(|o| Provider::OpenAi(openai(o, &format!("{path}.openai"), context, errors)));
    let anthropic = target
        .anthropic
        .as_ref()
        .map(|a| Provider::Anthropic(anthropic(a, &format!("{path}.anthropic"), context, errors)));
    let sagemaker = target.sagemaker.as_ref().map(|s| sagemaker(s, &format!("{path}.sagemaker"), errors));
    let agent = target.agent_core.as_ref().map(|a| agent(a, &format!("{path}.agentCore"), errors));
    let by_request =
        |price: &PriceSpec| PriceSpec { per_request: price.per_request.clone(), ..PriceSpec::default() } == *price;
    if target.agent_core.is_some() && target.price.as_ref().is_some_and(|price| !by_request(price)) {
        errors.wrong(
            format!("{path}.price"),
            "an agent's tokens cannot be bounded before the call: state perRequest only",
        );
    }
    let simulated = target.simulated.as_ref().map(|s| Provider::Simulated(simulated(s)));
    bedrock.or(openai).or(anthropic).or(sagemaker).or(agent).or(simulated)
}

fn sagemaker(spec: &spec::SageMakerChat, path: &str, errors: &mut Errors) -> Provider {
    let spec::SageMakerChat { endpoint_name, region, format, template } = spec;
    let format = match (format, template) {
        (spec::SageMakerFormat::OpenAI, template) => {
            if template.is_some() {
                errors.wrong(format!("{path}.template"), "goes with format: TGI only: remove it");
            }
            ChatFormat::OpenAi
        }
        (spec::SageMakerFormat::Tgi, Some(template)) => ChatFormat::Tgi(match template {
            spec::PromptTemplate::Llama2 => Template::Llama2,
            spec::PromptTemplate::Llama3 => Template::Llama3,
            spec::PromptTemplate::CodeLlama70b => Template::CodeLlama70b,
            spec::PromptTemplate::Mistral => Template::Mistral,
        }),
        (spec::SageMakerFormat::Tgi, None) => ChatFormat::Tgi(Template::by_name(endpoint_name)),
    };
    let region = region.as_ref().map(|region| region.0.clone());
    Provider::SageMaker(SageMakerChat { endpoint_name: endpoint_name.clone(), region, format })
}

fn agent(spec: &spec::AgentCore, path: &str, errors: &mut Errors) -> Provider {
    let spec::AgentCore { runtime_arn } = spec;
    // arn:partition:bedrock-agentcore:region:account:runtime/id
    let region = match runtime_arn.0.split(':').collect::<Vec<_>>().as_slice() {
        ["arn", _, "bedrock-agentcore", region, _, resource]
            if !region.is_empty() && resource.starts_with("runtime/") =>
        {
            (*region).to_owned()
        }
        _ => {
            let example = "arn:aws:bedrock-agentcore:us-east-1:123456789012:runtime/my-agent";
            errors.wrong(
                format!("{path}.runtimeArn"),
                format!("is not the ARN of an agent runtime: it looks like {example}"),
            );
            String::new()
        }
    };
    Provider::AgentCore(AgentCore { runtime_arn: runtime_arn.0.clone(), region })
}

fn bedrock(spec: &spec::Bedrock) -> Bedrock {
    let spec::Bedrock { model_id, base_model, region, role_arn, guardrail } = spec;
    Bedrock {
        model_id: model_id.clone(),
        base_model: base_model.clone(),
        region: region.as_ref().map(|r| r.0.clone()),
        role_arn: role_arn.as_ref().map(|r| r.0.clone()),
        guardrail: guardrail.as_ref().map(|g| Guardrail { id: g.id.clone(), version: g.version.clone() }),
    }
}

fn simulated(spec: &spec::Simulated) -> Simulated {
    let spec::Simulated { reply, first_token_ms, tokens_per_second, fail_every } = spec;
    Simulated {
        reply: reply.clone().unwrap_or_else(|| SIMULATED_REPLY.to_owned()),
        first_token_ms: first_token_ms.unwrap_or(300).into(),
        tokens_per_second: tokens_per_second.unwrap_or(40),
        fail_every: fail_every.unwrap_or(0),
    }
}

fn openai(spec: &spec::OpenAi, path: &str, context: Context<'_>, errors: &mut Errors) -> OpenAi {
    let spec::OpenAi { service, base_url, path: prefix, model, api_key, loopback } = spec;
    errors.exactly_one(path, &[("service", service.is_some()), ("baseUrl", base_url.is_some())]);
    let loopback = loopback.unwrap_or_default();
    if loopback && base_url.is_none() {
        errors.wrong(format!("{path}.loopback"), "goes with baseUrl, not with service: remove it");
    }
    let base = match (service, base_url) {
        (Some(service), _) => format!("http://{}.{}.svc:{}", service.name, context.namespace, service.port),
        (None, Some(url)) => {
            address(url, &format!("{path}.baseUrl"), loopback || context.mode == Mode::Standalone, errors);
            url.clone()
        }
        (None, None) => String::new(),
    };
    let prefix = prefix.as_deref().unwrap_or(if service.is_some() { "/v1" } else { "" });
    OpenAi {
        base_url: format!("{}{}", base.trim_end_matches('/'), prefix.trim_end_matches('/')),
        model: model.as_ref().map(|m| m.0.clone()),
        api_key: api_key.as_ref().map(key_of),
        loopback,
    }
}

fn anthropic(spec: &spec::Anthropic, path: &str, context: Context<'_>, errors: &mut Errors) -> Anthropic {
    let spec::Anthropic { model, api_key, base_url, loopback } = spec;
    let loopback = loopback.unwrap_or_default();
    if let Some(url) = base_url {
        address(url, &format!("{path}.baseUrl"), loopback || context.mode == Mode::Standalone, errors);
    }
    Anthropic {
        base_url: base_url.as_deref().unwrap_or(ANTHROPIC_URL).trim_end_matches('/').to_owned(),
        model: model.0.clone(),
        api_key: key_of(api_key),
        loopback,
    }
}

/// The key that a reference means.
pub fn key_of(source: &tollway_crds::reference::SecretSource) -> SecretKey {
    SecretKey {
        name: source.secret_ref.name.0.clone(),
        key: source.secret_ref.key.as_ref().map_or_else(|| DEFAULT_KEY.to_owned(), |key| key.0.clone()),
    }
}

/// What can be told of an address before it is resolved; the proxy judges again after resolution.
pub fn address(url: &str, path: &str, loopback: bool, errors: &mut Errors) {
    let authority = url.split_once("://").map_or("", |(_, rest)| rest).split('/').next().unwrap_or_default();
    let (host, port) = match authority.strip_prefix('[').and_then(|rest| rest.split_once(']')) {
        Some((host, rest)) => (host, rest.strip_prefix(':')),
        None => authority.split_once(':').map_or((authority, None), |(host, port)| (host, Some(port))),
    };
    if host.is_empty() || !host.chars().all(|c| c.is_ascii_alphanumeric() || ".-_:".contains(c)) {
        errors.wrong(path, format!("{host:?} is no host: write http://host:port/path"));
        return;
    }
    if port.is_some_and(|port| port.parse::<u16>().map_or(true, |port| port == 0)) {
        errors.wrong(path, "the port is no number from 1 to 65535: write http://host:port/path");
    }
    let ip = host.parse::<IpAddr>().ok();
    if ip.is_some_and(is_link_local) {
        errors.wrong(path, format!("{host} is a link-local or metadata address, which is never called: use another"));
    }
    if (host.eq_ignore_ascii_case("localhost") || ip.is_some_and(|ip| ip.is_loopback())) && !loopback {
        errors
            .wrong(path, format!("{host} is a loopback address: say loopback: true if the server is in the same Pod"));
    }
}

fn is_link_local(ip: IpAddr) -> bool {
    match ip {
        IpAddr::V4(ip) => ip.is_link_local() || ip.is_unspecified(),
        IpAddr::V6(ip) => {
            ip.is_unicast_link_local()
                || ip.is_unspecified()
                // The metadata address of AWS over IPv6.
                || ip.segments() == [0xfd00, 0xec2, 0, 0, 0, 0, 0, 0x254]
                || ip.to_ipv4_mapped().is_some_and(|ip| is_link_local(IpAddr::V4(ip)))
        }
    }
}
