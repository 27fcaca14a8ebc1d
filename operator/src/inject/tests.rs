//! Pods and annotations; what the patch makes of them.

use super::*;
use proptest::prelude::*;

fn setting() -> Setting {
    Setting {
        operators: vec!["https://tollway-operator.tollway-system.svc:8443".into()],
        ca: Some("-----BEGIN CERTIFICATE-----\n".into()),
        defaults: BTreeMap::new(),
    }
}

/// A Pod with these annotations under `tollway.dev/`.
fn pod(annotations: &[(&str, &str)]) -> Value {
    let mut pod = json!({
        "apiVersion": "v1", "kind": "Pod", "metadata": {"name": "app"},
        "spec": {
            "containers": [{"name": "app", "image": "app", "futureField": {"kept": true}}],
            "initContainers": [{"name": "migrate", "image": "app"}],
        },
    });
    for (name, value) in annotations {
        pod["metadata"]["annotations"][format!("tollway.dev/{name}")] = json!(value);
    }
    pod
}

fn injected_with(pod: &Value, setting: &Setting) -> (Value, Vec<String>) {
    match inject(pod, setting) {
        Outcome::Patched { patch, warnings } => {
            let mut changed = pod.clone();
            json_patch::patch(&mut changed, &patch).unwrap();
            (changed, warnings)
        }
        other => panic!("{other:?}"),
    }
}

fn injected(pod: &Value) -> Value {
    injected_with(pod, &setting()).0
}

fn refused(pod: &Value) -> Vec<String> {
    match inject(pod, &setting()) {
        Outcome::Refused(mistakes) => mistakes.iter().map(ToString::to_string).collect(),
        other => panic!("{other:?}"),
    }
}

fn proxy(pod: &Value) -> &Value {
    let containers = pod["spec"]["initContainers"].as_array().unwrap();
    containers.iter().find(|container| container["name"] == CONTAINER).unwrap()
}

fn env(container: &Value) -> BTreeMap<&str, &str> {
    let entries = container["env"].as_array().into_iter().flatten();
    entries.map(|entry| (entry["name"].as_str().unwrap(), entry["value"].as_str().unwrap_or("(from)"))).collect()
}

fn app(pod: &Value) -> BTreeMap<&str, &str> {
    env(&pod["spec"]["containers"][0])
}

#[test]
fn the_proxy_is_a_native_sidecar_before_everything_else() {
    let pod = injected(&pod(&[("inject", "true")]));
    let first = &pod["spec"]["initContainers"][0];
    assert_eq!(first["name"], CONTAINER);
    assert_eq!(first["restartPolicy"], "Always");
    assert_eq!(first["startupProbe"]["httpGet"]["path"], "/livez");
    assert!(first["readinessProbe"].is_null() && first["livenessProbe"].is_null());
    assert_eq!(first["resources"]["requests"], json!({"cpu": "50m", "memory": "64Mi"}));
    assert_eq!(first["securityContext"]["runAsUser"], 65_532);
    assert_eq!(first["securityContext"]["capabilities"]["drop"], json!(["ALL"]));
    let args: Vec<&str> = first["args"].as_array().unwrap().iter().filter_map(Value::as_str).collect();
    let expected = [
        "run",
        "--operator=https://tollway-operator.tollway-system.svc:8443",
        "--operator-ca=/var/run/secrets/tollway.dev/ca.crt",
        "--token-file=/var/run/secrets/tollway.dev/token",
        "--state-dir=/var/lib/tollway",
        "--listen=127.0.0.1:8080",
        "--admin=0.0.0.0:9091",
    ];
    assert_eq!(args, expected);
    assert_eq!(pod["spec"]["initContainers"][1]["name"], "migrate");
    assert_eq!(pod["spec"]["containers"][0]["futureField"]["kept"], true, "what is not known passes through");
}

#[test]
fn what_is_added_is_what_the_api_knows() {
    let asks = [
        ("inject", "true"),
        ("proxy-aws-role-arn", "arn:aws:iam::123456789012:role/r"),
        ("proxy-redis-secret", "redis"),
    ];
    let mut pod = injected(&pod(&asks));
    pod["spec"]["containers"][0].as_object_mut().unwrap().remove("futureField");
    // A field with a wrong name would be gone after the round trip.
    let typed: Pod = serde_json::from_value(pod.clone()).unwrap();
    assert_eq!(serde_json::to_value(typed).unwrap(), pod);
}

#[test]
fn sdks_find_the_proxy_in_every_container() {
    let pod = injected(&pod(&[("inject", "true")]));
    let expected = BTreeMap::from([
        ("OPENAI_BASE_URL", "http://127.0.0.1:8080/v1"),
        ("ANTHROPIC_BASE_URL", "http://127.0.0.1:8080"),
        ("AWS_ENDPOINT_URL_BEDROCK_RUNTIME", "http://127.0.0.1:8080"),
        ("OPENAI_API_KEY", "tollway"),
        ("ANTHROPIC_API_KEY", "tollway"),
        ("AWS_ACCESS_KEY_ID", "tollway"),
        ("AWS_SECRET_ACCESS_KEY", "tollway"),
        ("AWS_REGION", "us-east-1"),
        ("AWS_DEFAULT_REGION", "us-east-1"),
    ]);
    assert_eq!(app(&pod), expected);
    assert_eq!(env(&pod["spec"]["initContainers"][1]), expected);
    assert!(env(proxy(&pod)).is_empty());
}

#[test]
fn what_the_pod_sets_is_never_overwritten() {
    let mut own = pod(&[("inject", "true")]);
    own["spec"]["containers"][0]["env"] = json!([
        {"name": "OPENAI_BASE_URL", "value": "https://elsewhere.example"},
        {"name": "OPENAI_API_KEY", "valueFrom": {"secretKeyRef": {"name": "s", "key": "k"}}},
        {"name": "AWS_REGION", "value": "eu-central-1"},
    ]);
    let (pod, warnings) = injected_with(&own, &setting());
    let env = app(&pod);
    assert_eq!(env["OPENAI_BASE_URL"], "https://elsewhere.example");
    assert_eq!(env["OPENAI_API_KEY"], "(from)");
    assert_eq!(env["AWS_REGION"], "eu-central-1");
    assert!(!env.contains_key("AWS_DEFAULT_REGION"));
    assert!(warnings.iter().any(|w| w.contains("OPENAI_BASE_URL") && w.contains("app")), "{warnings:?}");
}

#[test]
fn the_annotations_say_which_variables_and_where() {
    let asks = [
        ("inject", "true"),
        ("inject-sdks", "openai, sagemaker"),
        ("inject-api-key", "me"),
        ("inject-containers", "app"),
    ];
    let pod = injected(&pod(&asks));
    let expected = BTreeMap::from([
        ("OPENAI_BASE_URL", "http://127.0.0.1:8080/v1"),
        ("AWS_ENDPOINT_URL_SAGEMAKER_RUNTIME", "http://127.0.0.1:8080"),
        ("OPENAI_API_KEY", "me"),
    ]);
    assert_eq!(app(&pod), expected);
    assert!(env(&pod["spec"]["initContainers"][1]).is_empty());
    let none = injected(&self::pod(&[("inject", "true"), ("inject-sdks", "none")]));
    assert!(app(&none).is_empty());
}

#[test]
fn placeholder_keys_stay_out_of_where_keys_may_come_from_elsewhere() {
    let mut from = pod(&[("inject", "true")]);
    from["spec"]["containers"][0]["envFrom"] = json!([{"secretRef": {"name": "keys"}}]);
    let (pod, warnings) = injected_with(&from, &setting());
    let env = app(&pod);
    assert!(
        env.contains_key("OPENAI_BASE_URL")
            && !env.contains_key("OPENAI_API_KEY")
            && !env.contains_key("AWS_ACCESS_KEY_ID")
    );
    assert!(warnings.iter().any(|w| w.contains("envFrom")), "{warnings:?}");
}

#[test]
fn a_containers_own_aws_identity_is_left_to_it_also_when_it_comes_later() {
    let mut later = injected(&pod(&[("inject", "true")]));
    assert!(app(&later).contains_key("AWS_ACCESS_KEY_ID"));
    let token = json!({"name": "AWS_WEB_IDENTITY_TOKEN_FILE", "value": "/var/run/secrets/eks.amazonaws.com/serviceaccount/token"});
    later["spec"]["containers"][0]["env"].as_array_mut().unwrap().push(token);
    let again = injected(&later);
    assert!(!app(&again).contains_key("AWS_ACCESS_KEY_ID") && !app(&again).contains_key("AWS_SECRET_ACCESS_KEY"));
    assert_eq!(app(&again)["AWS_ENDPOINT_URL_BEDROCK_RUNTIME"], "http://127.0.0.1:8080");

    let mut mounted = pod(&[("inject", "true")]);
    mounted["spec"]["containers"][0]["volumeMounts"] =
        json!([{"name": "t", "mountPath": "/var/run/secrets/pods.eks.amazonaws.com/serviceaccount"}]);
    assert!(!app(&injected(&mounted)).contains_key("AWS_ACCESS_KEY_ID"));
}

#[test]
fn the_aws_role_is_the_proxys_alone() {
    let asks = [
        ("inject", "true"),
        ("proxy-aws-role-arn", "arn:aws:iam::123456789012:role/bedrock"),
        ("proxy-aws-region", "eu-west-1"),
    ];
    let pod = injected(&pod(&asks));
    let own = env(proxy(&pod));
    assert_eq!(own["AWS_ROLE_ARN"], "arn:aws:iam::123456789012:role/bedrock");
    assert_eq!(own["AWS_WEB_IDENTITY_TOKEN_FILE"], "/var/run/secrets/tollway.dev-aws/token");
    assert_eq!(own["AWS_REGION"], "eu-west-1");
    let mounts = |container: &Value| container["volumeMounts"].to_string();
    assert!(mounts(proxy(&pod)).contains("tollway-aws"));
    for name in ["tollway-aws", "tollway-identity", "tollway-state"] {
        assert!(
            !mounts(&pod["spec"]["containers"][0]).contains(name)
                && !mounts(&pod["spec"]["initContainers"][1]).contains(name)
        );
    }
    let volumes = pod["spec"]["volumes"].to_string();
    assert!(volumes.contains("sts.amazonaws.com") && volumes.contains("\"audience\":\"tollway-operator\""));
    assert!(volumes.contains("\"medium\":\"Memory\""));
}

#[test]
fn ports_that_the_pod_uses_are_stepped_over() {
    let mut busy = pod(&[("inject", "true")]);
    busy["spec"]["containers"][0]["ports"] =
        json!([{"containerPort": 8080}, {"containerPort": 8081}, {"containerPort": 9091}]);
    let pod = injected(&busy);
    assert!(proxy(&pod)["args"].to_string().contains("--listen=127.0.0.1:8082"));
    assert_eq!(proxy(&pod)["startupProbe"]["httpGet"]["port"], 9092);
    assert_eq!(app(&pod)["OPENAI_BASE_URL"], "http://127.0.0.1:8082/v1");
}

#[test]
fn a_container_that_comes_later_is_pointed_at_the_same_proxy() {
    let mut later = injected(&pod(&[("inject", "true")]));
    let other = json!({"name": "late", "image": "late", "ports": [{"containerPort": 8080}]});
    later["spec"]["containers"].as_array_mut().unwrap().push(other);
    let again = injected(&later);
    assert_eq!(proxy(&again), proxy(&later));
    assert_eq!(env(&again["spec"]["containers"][1])["OPENAI_BASE_URL"], "http://127.0.0.1:8080/v1");
}

#[test]
fn every_mistake_in_the_annotations_is_told_at_once() {
    let mistakes = refused(&pod(&[
        ("inject", "true"),
        ("proxy-cpu-request", "lots"),
        ("proxy-memory-limit", "1e"),
        ("proxy-listen", "0.0.0.0:8080"),
        ("proxy-admin", "0.0.0.0:8080"),
        ("proxy-threads", "two"),
        ("proxy-log-format", "xml"),
        ("proxy-colour", "blue"),
        ("proxy-env", "A=b,broken,AWS_ROLE_ARN=x"),
        ("proxy-aws-role-arn", "admin"),
        ("inject-sdks", "cohere"),
        ("inject-containers", "nobody"),
    ]));
    for part in [
        "proxy-cpu-request",
        "proxy-memory-limit",
        "proxy-listen",
        "proxy-admin",
        "proxy-threads",
        "proxy-log-format",
        "proxy-colour",
        "\"broken\"",
        "AWS_ROLE_ARN has",
        "proxy-aws-role-arn",
        "\"cohere\"",
        "nobody",
    ] {
        assert!(mistakes.iter().any(|mistake| mistake.contains(part)), "{part}: {mistakes:#?}");
    }
    assert_eq!(mistakes.len(), 12, "{mistakes:#?}");
    assert!(refused(&pod(&[("inject", "yes")]))[0].contains("\"true\""));
}

#[test]
fn a_pod_may_refuse_what_its_namespace_asks_for() {
    assert_eq!(inject(&pod(&[("inject", "false")]), &setting()), Outcome::Left(None));
    assert!(matches!(inject(&pod(&[]), &setting()), Outcome::Patched { .. }), "the namespace asks");
}

#[test]
fn what_cannot_be_is_refused_to_the_pod_that_asks_and_left_out_when_the_namespace_asks() {
    for (field, value) in [("hostNetwork", json!(true)), ("os", json!({"name": "windows"}))] {
        let mut pod = pod(&[]);
        pod["spec"][field] = value;
        assert!(matches!(inject(&pod, &setting()), Outcome::Left(Some(_))), "{field}");
        pod["metadata"]["labels"][INJECT] = json!("true");
        assert!(refused(&pod)[0].contains(field));
    }
}

#[test]
fn what_takes_the_tokens_from_the_proxy_is_named() {
    let mut shared = pod(&[("inject", "true")]);
    shared["spec"]["shareProcessNamespace"] = json!(true);
    assert!(injected_with(&shared, &setting()).1[0].contains("shareProcessNamespace"));
}

#[test]
fn a_proxy_that_somebody_wrote_is_left_alone() {
    for of in ["containers", "initContainers"] {
        let mut pod = pod(&[("inject", "true")]);
        pod["spec"][of].as_array_mut().unwrap().push(json!({"name": CONTAINER, "image": "mine"}));
        assert!(matches!(inject(&pod, &setting()), Outcome::Left(Some(_))), "{of}");
    }
}

#[test]
fn the_operators_defaults_stand_under_the_pods_own_word() {
    let mut setting = setting();
    setting.defaults = [("proxy-image", "registry.example/proxy:1"), ("proxy-log", "debug")]
        .map(|(name, value)| (name.to_owned(), value.to_owned()))
        .into();
    let (pod, _) = injected_with(&pod(&[("inject", "true"), ("proxy-log", "warn")]), &setting);
    assert_eq!(proxy(&pod)["image"], "registry.example/proxy:1");
    assert!(proxy(&pod)["args"].to_string().contains("--log=warn"));
    assert!(Ask::defaults(&setting.defaults).is_ok());
    let wrong =
        [("proxy-colour", "blue"), ("proxy-threads", "x")].map(|(name, value)| (name.to_owned(), value.to_owned()));
    assert_eq!(Ask::defaults(&wrong.into()).unwrap_err().len(), 2);
}

#[test]
fn what_is_no_pod_is_refused() {
    for value in
        [json!(null), json!({"spec": "text"}), json!({"spec": {"containers": ["text"]}}), json!({"metadata": []})]
    {
        assert!(matches!(inject(&value, &setting()), Outcome::Refused(_) | Outcome::Patched { .. }), "{value}");
    }
}

prop_compose! {
    fn container()(
        name in "[a-d]",
        names in prop::collection::vec(prop::sample::select(vec![
            "OPENAI_BASE_URL", "OPENAI_API_KEY", "ANTHROPIC_API_KEY", "AWS_ACCESS_KEY_ID", "AWS_ROLE_ARN", "AWS_REGION", "OTHER",
        ]), 0..4),
        port in prop::option::of(prop::sample::select(vec![8080_u16, 8081, 9091, 80])),
        unseen in any::<bool>(),
    ) -> Value {
        let mut container = json!({"name": name, "image": "i"});
        let names: std::collections::BTreeSet<&str> = names.into_iter().collect();
        if !names.is_empty() {
            container["env"] = names.into_iter().map(|name| json!({"name": name, "value": "own"})).collect();
        }
        if let Some(port) = port {
            container["ports"] = json!([{"containerPort": port}]);
        }
        if unseen {
            container["envFrom"] = json!([{"configMapRef": {"name": "c"}}]);
        }
        container
    }
}

#[test]
fn a_node_is_not_kept_for_the_volumes_of_the_proxy() {
    const NAME: &str = "cluster-autoscaler.kubernetes.io/safe-to-evict-local-volumes";
    assert_eq!(injected(&pod(&[]))["metadata"]["annotations"][NAME], "tollway-state,tollway-no-token");
    let mut own = pod(&[]);
    own["metadata"]["annotations"][NAME] = json!("scratch,tollway-state");
    let made = injected(&own);
    assert_eq!(made["metadata"]["annotations"][NAME], "scratch,tollway-state,tollway-no-token");
    // Every volume that goes with the Pod is among them.
    for volume in made["spec"]["volumes"].as_array().unwrap().iter().filter(|volume| volume["emptyDir"].is_object()) {
        let name = volume["name"].as_str().unwrap();
        assert!(made["metadata"]["annotations"][NAME].as_str().unwrap().split(',').any(|said| said == name), "{name}");
    }
}

proptest! {
    #[test]
    fn asking_twice_gives_what_asking_once_gives_and_nothing_of_the_pods_is_lost(
        containers in prop::collection::vec(container(), 1..4),
        inits in prop::collection::vec(container(), 0..3),
        role in any::<bool>(),
        sdks in prop::sample::select(vec!["", "none", "openai", "bedrock,aws-keys"]),
    ) {
        let mut pod = json!({"metadata": {"annotations": {INJECT: "true"}}, "spec": {"containers": containers, "initContainers": inits}});
        if role {
            pod["metadata"]["annotations"]["tollway.dev/proxy-aws-role-arn"] = json!("arn:aws:iam::123456789012:role/r");
        }
        if !sdks.is_empty() {
            pod["metadata"]["annotations"]["tollway.dev/inject-sdks"] = json!(sdks);
        }
        let once = injected(&pod);
        prop_assert_eq!(&injected(&once), &once);

        // Everything that was there is there, in its order, and every variable has its first value.
        let mut rest = once.clone();
        rest["spec"]["initContainers"].as_array_mut().unwrap().remove(0);
        for of in ["containers", "initContainers"] {
            let before = pod["spec"][of].as_array().unwrap();
            let after = rest["spec"][of].as_array().unwrap();
            prop_assert_eq!(before.len(), after.len());
            for (before, after) in before.iter().zip(after) {
                for (name, value) in env(before) {
                    prop_assert_eq!(env(after)[name], value);
                }
                prop_assert_eq!(&before["envFrom"], &after["envFrom"]);
                prop_assert_eq!(&before["ports"], &after["ports"]);
                prop_assert!(after["volumeMounts"].is_null(), "no token of the proxy reaches the application");
            }
        }
    }
}
