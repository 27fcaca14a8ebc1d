//! The Helm chart: what it renders, what it refuses, what an API server makes of it, and who may do what afterwards.

use serde_json::Value;
use tollway_tests::cluster::{Cluster, Options};
use tollway_tests::helm::{FULL, lint, refusal, template};
use tollway_tests::process::workspace;

fn full() -> String {
    std::fs::read_to_string(workspace().join(FULL)).expect("the full values")
}

fn of_kind<'a>(objects: &'a [Value], kind: &'a str) -> impl Iterator<Item = &'a Value> {
    objects.iter().filter(move |object| object["kind"] == kind)
}

#[test]
fn every_pod_is_locked_down() {
    for values in [String::new(), full()] {
        lint(&values);
        let objects = template(&values);
        for deployment in of_kind(&objects, "Deployment") {
            let pod = &deployment["spec"]["template"]["spec"];
            assert_eq!(pod["securityContext"]["runAsNonRoot"], true, "{deployment}");
            for container in pod["containers"].as_array().expect("containers") {
                let security = &container["securityContext"];
                assert_eq!(security["readOnlyRootFilesystem"], true, "{container}");
                assert_eq!(security["capabilities"]["drop"][0], "ALL", "{container}");
                assert_eq!(security["allowPrivilegeEscalation"], false, "{container}");
                assert!(container["resources"]["limits"]["memory"].is_string(), "{container}");
                assert!(container["livenessProbe"].is_object() && container["startupProbe"].is_object(), "{container}");
            }
        }
        assert_eq!(of_kind(&objects, "CustomResourceDefinition").count(), 4);
        for crd in of_kind(&objects, "CustomResourceDefinition") {
            assert_eq!(
                crd["metadata"]["annotations"]["helm.sh/resource-policy"], "keep",
                "{}",
                crd["metadata"]["name"]
            );
        }
    }
}

#[test]
fn a_gateway_has_a_token_for_the_operator_and_none_for_the_api_server() {
    let objects = template(&full());
    let gateways: Vec<&Value> =
        of_kind(&objects, "Deployment").filter(|d| d["metadata"]["name"] != "tollway-operator").collect();
    assert_eq!(gateways.len(), 2);
    for gateway in gateways {
        let pod = &gateway["spec"]["template"]["spec"];
        assert_eq!(pod["automountServiceAccountToken"], false);
        let token = &pod["volumes"][0]["projected"]["sources"][0]["serviceAccountToken"];
        assert_eq!(token["audience"], "tollway-operator", "{pod}");
        let account = &pod["serviceAccountName"];
        let bound = of_kind(&objects, "RoleBinding").chain(of_kind(&objects, "ClusterRoleBinding"));
        for binding in bound {
            assert!(
                binding["subjects"].as_array().is_some_and(|s| s.iter().all(|s| s["name"] != *account)),
                "{binding}"
            );
        }
    }
    let pulled = of_kind(&objects, "Deployment")
        .all(|d| d["spec"]["template"]["spec"]["imagePullSecrets"][0]["name"] == "registry");
    assert!(pulled);
    let operator = of_kind(&objects, "Deployment").find(|d| d["metadata"]["name"] == "tollway-operator").expect("one");
    let env = operator["spec"]["template"]["spec"]["containers"][0]["env"].to_string();
    assert!(env.contains(r#""TOLLWAY_PUBLISH_CA_TO","value":"team-a,team-b""#), "{env}");
}

#[test]
fn hostile_values_are_refused_where_they_stand() {
    let gateway = |more: &str| format!("gateways: [{{namespace: team-a, tls: {{secretName: t}}, {more}}}]");
    for (values, place) in [
        (
            "image: {operator: {repository: \"x\\n    command: [sh]\"}, proxy: {repository: p}}".to_owned(),
            "/image/operator/repository",
        ),
        ("image: {operator: {repository: o, tag: \"a b\"}, proxy: {repository: p}}".to_owned(), "/image/operator/tag"),
        ("operator: {log: \"info\\\"}\\n  - evil\"}".to_owned(), "/operator/log"),
        ("operator: {replicas: many}".to_owned(), "/operator/replicas"),
        ("operator: {replicas: 0}".to_owned(), "/operator/replicas"),
        ("operator: {env: [{name: \"A=B\", value: x}]}".to_owned(), "/operator/env/0/name"),
        ("rbac: {secretNamespaces: [\"*\"]}".to_owned(), "/rbac/secretNamespaces/0"),
        ("gateways: [{namespace: team-a}]".to_owned(), "/gateways/0"),
        (gateway("name: \"Bad_Name\""), "/gateways/0/name"),
        (gateway("service: {type: ExternalName}"), "/gateways/0/service/type"),
        (gateway("resources: {limits: {memory: \"1Mi }\"}}"), "/gateways/0/resources/limits/memory"),
        ("operater: {replicas: 1}".to_owned(), "operater"),
    ] {
        let said = refusal(&values);
        assert!(said.contains(place), "{values}\n{said}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_api_server_takes_it_upgrades_it_and_keeps_resources_after_its_end() {
    let cluster = Cluster::start_with(Options { crds: false, ..Options::default() }).await;
    for namespace in ["team-a", "team-b", "team-c"] {
        cluster.kubectl(["create", "namespace", namespace]);
    }
    let said = cluster.helm(&["install", "tollway", "charts/tollway", "--create-namespace"]);
    assert!(said.contains("STATUS: deployed") && said.contains("There is no gateway"), "{said}");
    cluster.kubectl(["wait", "--for=condition=Established", "crd", "--all", "--timeout=30s"]);
    cluster.apply("team-a", "examples/quickstart");
    let can = |who: &str, verb: &str, what: &str, namespace: &str| {
        let who = format!("--as=system:serviceaccount:{who}");
        let output = cluster.try_kubectl(["auth", "can-i", verb, what, &who, "-n", namespace]);
        String::from_utf8_lossy(&output.stdout).trim() == "yes"
    };
    let operator = "tollway-system:tollway-operator";
    assert!(can(operator, "list", "secrets", "team-c"), "everywhere, unless it is told where");

    // No Prometheus operator here: its kinds are unknown.
    let more = ["-f", FULL, "--set", "metrics.monitors.enabled=false,metrics.rules.enabled=false"];
    let said = cluster.helm(&[&["upgrade", "tollway", "charts/tollway"][..], &more].concat());
    assert!(said.contains("https://edge.team-b.svc:8443/v1"), "{said}");
    for (verb, what, namespace, may) in [
        ("list", "secrets", "team-a", true),
        ("list", "secrets", "team-c", false),
        ("create", "secrets", "team-a", false),
        ("patch", "configmaps/tollway-ca", "team-a", true),
        ("patch", "configmaps/another", "team-a", false),
        ("create", "budgetledgers", "tollway-system", true),
        ("delete", "budgetledgers", "tollway-system", false),
        ("delete", "costbudgets", "team-a", false),
        ("update", "modelroutes", "team-a", false),
        ("get", "pods/exec", "team-a", false),
    ] {
        assert_eq!(can(operator, verb, what, namespace), may, "operator: {verb} {what} in {namespace}");
    }
    for (verb, what) in
        [("get", "secrets"), ("list", "pods"), ("get", "modelroutes"), ("get", "configmaps"), ("create", "events")]
    {
        assert!(!can("team-a:tollway-gateway", verb, what, "team-a"), "a proxy: {verb} {what}");
    }
    cluster.kubectl([
        "get",
        "hpa/tollway-gateway",
        "pdb/tollway-gateway",
        "networkpolicy/tollway-gateway",
        "-n",
        "team-a",
    ]);

    cluster.helm(&["rollback", "tollway", "1"]);
    cluster.helm(&["uninstall", "tollway"]);
    let left = cluster.kubectl(["get", "modelroutes", "-A", "-o", "name"]);
    assert_eq!(left.trim(), "modelroute.tollway.dev/assistant");
}

fn documents(path: &str) -> Vec<Value> {
    let text = std::fs::read_to_string(workspace().join(path)).expect(path);
    serde_yaml::Deserializer::from_str(&text)
        .map(|document| serde::Deserialize::deserialize(document).expect("YAML"))
        .collect()
}

#[test]
fn the_webhooks_are_those_of_the_manifest() {
    let (manifest, chart) = (documents("operator/webhook.yaml"), template(""));
    for kind in ["MutatingWebhookConfiguration", "ValidatingWebhookConfiguration"] {
        let webhooks =
            |objects: &[Value]| of_kind(objects, kind).map(|object| object["webhooks"].clone()).collect::<Vec<_>>();
        assert_eq!(webhooks(&chart), webhooks(&manifest), "{kind}");
        assert_eq!(webhooks(&chart).len(), 1);
    }
}

#[test]
fn the_rights_are_those_of_the_manifest() {
    let (manifest, chart) = (documents("operator/rbac.yaml"), template(""));
    for kind in ["ClusterRole", "Role"] {
        let rules = |objects: &[Value]| -> std::collections::BTreeSet<String> {
            of_kind(objects, kind)
                .flat_map(|role| role["rules"].as_array().into_iter().flatten())
                .map(ToString::to_string)
                .collect()
        };
        assert_eq!(rules(&chart), rules(&manifest), "{kind}");
    }
}
