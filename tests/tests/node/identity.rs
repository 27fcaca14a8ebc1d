//! The proxy's token, taken from a running Pod: the application beside it cannot read it, and the API server gives nothing for it.

use std::path::PathBuf;

use tollway_tests::node::Node;

pub fn is_worth_nothing_elsewhere(node: &Node) {
    let mount = "/var/run/secrets/tollway.dev";
    let seen = node.shell(&format!("kubectl -n demo exec client -c client -- ls {mount}")).output();
    let said = String::from_utf8_lossy(&seen.stderr).into_owned();
    assert!(!seen.status.success() && said.contains("No such file"), "the application sees {mount}: {said}");

    let uid = node.run("kubectl -n demo get pod client -o jsonpath={.metadata.uid}");
    let volume = format!("/var/lib/kubelet/pods/{uid}/volumes/kubernetes.io~projected/tollway-identity/token");
    let path: PathBuf = node.path(&volume);
    let token = std::fs::read_to_string(&path).unwrap_or_else(|e| panic!("{}: {e}", path.display()));
    let url = node.cluster.url();
    for what in ["/api/v1/namespaces/demo/secrets", "/apis/tollway.dev/v1alpha1/costbudgets", "/api/v1/pods"] {
        let ask = "curl -sk -o /dev/null -w '%{http_code}'";
        let code = node.run(&format!("{ask} -H 'authorization: Bearer {token}' {url}{what}"));
        assert_eq!(code, "401", "{what}");
    }
}
