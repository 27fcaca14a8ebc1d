//! What was asked in; the proxy's container, its volumes and its annotations in the Pod out.

use super::{Ask, CONTAINER, INJECTED, OPERATOR_CA, Place, Setting, has};
use serde_json::{Value, json};
use std::collections::BTreeSet;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};

const LISTEN: u16 = 8080;
const ADMIN: u16 = 9091;
/// User and group of the proxy. A Pod that runs as root by its own securityContext does not make the proxy root.
const USER: u32 = 65_532;
/// The token by which the operator knows the proxy, and the operator's authority.
const IDENTITY: (&str, &str) = ("tollway-identity", "/var/run/secrets/tollway.dev");
/// The last good table, in memory: it survives the container and not the Pod.
const STATE: (&str, &str) = ("tollway-state", "/var/lib/tollway");
const AWS: (&str, &str) = ("tollway-aws", "/var/run/secrets/tollway.dev-aws");
/// By default a cluster's autoscaler keeps a node for a Pod with a volume that goes with the Pod. This names those that it need not mind.
const EVICTABLE: &str = "cluster-autoscaler.kubernetes.io/safe-to-evict-local-volumes";
/// An empty folder where the API server would mount the application's token: the proxy has no rights there and needs none.
const NO_TOKEN: (&str, &str) = ("tollway-no-token", "/var/run/secrets/kubernetes.io/serviceaccount");

/// Where the application finds the proxy.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ports {
    /// Clients.
    pub listen: SocketAddr,
    /// Probes and metrics.
    pub admin: SocketAddr,
}

/// Adds what is missing; a proxy that was injected before stays as it is.
pub fn add(pod: &mut Value, ask: &Ask, setting: &Setting) -> Ports {
    let ports = if has(&pod["spec"]["initContainers"], CONTAINER) {
        kept(pod)
    } else {
        let ports = choose(pod, ask);
        let container = container(ask, setting, ports);
        // First, so that the application's own init containers find it started.
        super::add(&mut pod["spec"], "initContainers", Place::First, container);
        ports
    };
    for volume in volumes(ask, setting) {
        let name = volume["name"].as_str().unwrap_or_default().to_owned();
        if !has(&pod["spec"]["volumes"], &name) {
            super::add(&mut pod["spec"], "volumes", Place::Last, volume);
        }
    }
    let annotations = &mut pod["metadata"]["annotations"];
    if !annotations[INJECTED].is_string() {
        annotations[INJECTED] = env!("CARGO_PKG_VERSION").into();
    }
    if let Some(ca) = &setting.ca {
        annotations[OPERATOR_CA] = ca.as_str().into();
    }
    let said = annotations[EVICTABLE].as_str().unwrap_or_default().to_owned();
    let mut evictable: Vec<&str> = said.split(',').filter(|name| !name.is_empty()).collect();
    for (name, _) in [STATE, NO_TOKEN] {
        if !evictable.contains(&name) {
            evictable.push(name);
        }
    }
    annotations[EVICTABLE] = evictable.join(",").into();
    ports
}

/// The ports that are asked for, else the usual ones or the next that no container of the Pod declares: two programs of a Pod cannot share one.
fn choose(pod: &Value, ask: &Ask) -> Ports {
    let lists = [&pod["spec"]["containers"], &pod["spec"]["initContainers"]];
    let containers = lists.into_iter().filter_map(Value::as_array).flatten();
    let ports = containers.filter_map(|container| container["ports"].as_array()).flatten();
    let mut taken: BTreeSet<u16> =
        ports.filter_map(|port| u16::try_from(port["containerPort"].as_u64()?).ok()).collect();
    taken.extend([ask.listen, ask.admin].into_iter().flatten().map(|address| address.port()));
    let mut free = |from: u16, ip: Ipv4Addr| {
        let port = (from..=u16::MAX).find(|port| !taken.contains(port)).unwrap_or(from);
        taken.insert(port);
        SocketAddr::new(IpAddr::V4(ip), port)
    };
    Ports {
        listen: ask.listen.unwrap_or_else(|| free(LISTEN, Ipv4Addr::LOCALHOST)),
        admin: ask.admin.unwrap_or_else(|| free(ADMIN, Ipv4Addr::UNSPECIFIED)),
    }
}

/// The ports of the proxy that is there.
fn kept(pod: &Value) -> Ports {
    let containers = pod["spec"]["initContainers"].as_array().into_iter().flatten();
    let args: Vec<&str> = containers
        .filter(|container| container["name"] == CONTAINER)
        .flat_map(|container| container["args"].as_array().into_iter().flatten())
        .filter_map(Value::as_str)
        .collect();
    let said = |flag: &str, ip: Ipv4Addr, port: u16| {
        let text = args.iter().find_map(|arg| arg.strip_prefix(flag));
        text.and_then(|text| text.parse().ok()).unwrap_or(SocketAddr::new(IpAddr::V4(ip), port))
    };
    Ports {
        listen: said("--listen=", Ipv4Addr::LOCALHOST, LISTEN),
        admin: said("--admin=", Ipv4Addr::UNSPECIFIED, ADMIN),
    }
}

fn container(ask: &Ask, setting: &Setting, ports: Ports) -> Value {
    let mount = |(name, path): (&str, &str)| json!({"name": name, "mountPath": path, "readOnly": true});
    let mut mounts = vec![mount(IDENTITY), json!({"name": STATE.0, "mountPath": STATE.1}), mount(NO_TOKEN)];
    let mut env: Vec<Value> = ask.env.iter().map(|(name, value)| json!({"name": name, "value": value})).collect();
    if let Some(secret) = ask.get("proxy-redis-secret") {
        env.push(json!({"name": "TOLLWAY_REDIS_URL", "valueFrom": {"secretKeyRef": {"name": secret, "key": "url"}}}));
    }
    if let Some(role) = ask.get("proxy-aws-role-arn") {
        env.push(json!({"name": "AWS_ROLE_ARN", "value": role}));
        env.push(json!({"name": "AWS_WEB_IDENTITY_TOKEN_FILE", "value": format!("{}/token", AWS.1)}));
        mounts.push(mount(AWS));
    }
    if let Some(region) = ask.get("proxy-aws-region") {
        env.push(json!({"name": "AWS_REGION", "value": region}));
    }
    let mut container = json!({
        "name": CONTAINER,
        "image": ask.get("proxy-image"),
        "args": args(ask, setting, ports),
        // What makes an init container a sidecar: it starts first, stays, and ends after the application.
        "restartPolicy": "Always",
        "ports": [{"name": "tollway-admin", "containerPort": ports.admin.port(), "protocol": "TCP"}],
        // The application starts when the proxy lives. Not when it is ready: routes, operator and upstreams may come later, and
        // a Pod must not leave its Service because a model is away.
        "startupProbe": {
            "httpGet": {"path": "/livez", "port": ports.admin.port(), "scheme": "HTTP"},
            "periodSeconds": 1, "failureThreshold": 60, "timeoutSeconds": 1, "successThreshold": 1,
        },
        "resources": resources(ask),
        "securityContext": {
            "runAsNonRoot": true, "runAsUser": USER, "runAsGroup": USER, "readOnlyRootFilesystem": true,
            "allowPrivilegeEscalation": false, "privileged": false, "capabilities": {"drop": ["ALL"]},
            "seccompProfile": {"type": "RuntimeDefault"},
        },
        "volumeMounts": mounts,
    });
    if !env.is_empty() {
        container["env"] = env.into();
    }
    if let Some(policy) = ask.get("proxy-image-pull-policy") {
        container["imagePullPolicy"] = policy.into();
    }
    container
}

fn args(ask: &Ask, setting: &Setting, ports: Ports) -> Vec<String> {
    let mut args = vec!["run".to_owned()];
    args.extend(setting.operators.iter().map(|url| format!("--operator={url}")));
    if setting.ca.is_some() {
        args.push(format!("--operator-ca={}/ca.crt", IDENTITY.1));
    }
    args.push(format!("--token-file={}/token", IDENTITY.1));
    args.push(format!("--state-dir={}", STATE.1));
    args.push(format!("--listen={}", ports.listen));
    args.push(format!("--admin={}", ports.admin));
    for flag in ["max-body", "cache-size", "threads", "redis-timeout", "log", "log-format"] {
        if let Some(value) = ask.get(&format!("proxy-{flag}")) {
            args.push(format!("--{flag}={value}"));
        }
    }
    args
}

fn resources(ask: &Ask) -> Value {
    let of = |kind: &str| {
        let pairs = ["cpu", "memory"].into_iter();
        let pairs = pairs.filter_map(|what| Some((what.to_owned(), ask.get(&format!("proxy-{what}-{kind}"))?.into())));
        Value::Object(pairs.collect())
    };
    json!({"requests": of("request"), "limits": of("limit")})
}

fn volumes(ask: &Ask, setting: &Setting) -> Vec<Value> {
    let token = |audience: &str, seconds: u32| json!({"serviceAccountToken": {"audience": audience, "expirationSeconds": seconds, "path": "token"}});
    let mut identity = vec![token("tollway-operator", 3600)];
    if setting.ca.is_some() {
        let from = format!("metadata.annotations['{OPERATOR_CA}']");
        identity.push(json!({"downwardAPI": {"items": [{"path": "ca.crt", "fieldRef": {"apiVersion": "v1", "fieldPath": from}}]}}));
    }
    let mut volumes = vec![
        json!({"name": IDENTITY.0, "projected": {"defaultMode": 0o444, "sources": identity}}),
        json!({"name": STATE.0, "emptyDir": {"medium": "Memory", "sizeLimit": "32Mi"}}),
        json!({"name": NO_TOKEN.0, "emptyDir": {}}),
    ];
    if ask.get("proxy-aws-role-arn").is_some() {
        let sources = [token("sts.amazonaws.com", 86_400)];
        volumes.push(json!({"name": AWS.0, "projected": {"defaultMode": 0o444, "sources": sources}}));
    }
    volumes
}
