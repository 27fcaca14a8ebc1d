//! In: a folder. Out: the certificates and keys of one control plane in it, and the administrator's kubeconfig.

use std::net::IpAddr;
use std::path::{Path, PathBuf};

use rcgen::{
    BasicConstraints, CertificateParams, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair, KeyUsagePurpose,
};

/// What the one node is called, where there is one.
pub const NODE: &str = "node-0";

/// Paths of PEM files.
#[derive(Debug)]
pub struct Certificates {
    pub ca: PathBuf,
    pub server: PathBuf,
    pub server_key: PathBuf,
    pub signing_key: PathBuf,
    pub signing_public: PathBuf,
    pub admin: PathBuf,
    pub admin_key: PathBuf,
    node: PathBuf,
    node_key: PathBuf,
}

impl Certificates {
    /// Makes all of them, for an API server at `address`.
    pub fn make(folder: &Path, address: IpAddr) -> Self {
        std::fs::create_dir_all(folder).expect("a folder for certificates");
        let write = |name: &str, text: String| {
            let path = folder.join(name);
            std::fs::write(&path, text).unwrap_or_else(|e| panic!("{}: {e}", path.display()));
            path
        };
        let issuer = authority();
        // The last is what Pods of a node have for it.
        let names =
            [&address.to_string(), "localhost", "kubernetes.default.svc", "10.96.0.1"].map(String::from).to_vec();
        let (server, server_key) =
            signed(&issuer.1, names, "kube-apiserver", None, ExtendedKeyUsagePurpose::ServerAuth);
        let group = Some("system:masters");
        let (admin, admin_key) = signed(&issuer.1, Vec::new(), "admin", group, ExtendedKeyUsagePurpose::ClientAuth);
        let (node, node_key) = signed(
            &issuer.1,
            Vec::new(),
            &format!("system:node:{NODE}"),
            Some("system:nodes"),
            ExtendedKeyUsagePurpose::ClientAuth,
        );
        let signing = KeyPair::generate().expect("a key for service-account tokens");
        Certificates {
            ca: write("ca.pem", issuer.0),
            server: write("server.pem", server),
            server_key: write("server.key", server_key),
            signing_key: write("service-accounts.key", signing.serialize_pem()),
            signing_public: write("service-accounts.pub", signing.public_key_pem()),
            admin: write("admin.pem", admin),
            admin_key: write("admin.key", admin_key),
            node: write("node.pem", node),
            node_key: write("node.key", node_key),
        }
    }

    /// The administrator's kubeconfig for an API server at `url`.
    pub fn kubeconfig(&self, url: &str) -> String {
        let user = serde_json::json!({"client-certificate": self.admin, "client-key": self.admin_key});
        kubeconfig(url, &self.ca, &user)
    }

    /// The kubeconfig of the kubelet of [`NODE`].
    pub fn kubeconfig_of_node(&self, url: &str) -> String {
        kubeconfig(url, &self.ca, &serde_json::json!({"client-certificate": self.node, "client-key": self.node_key}))
    }

    /// A kubeconfig that authenticates by a bearer token.
    pub fn kubeconfig_with_token(&self, url: &str, token: &str) -> String {
        kubeconfig(url, &self.ca, &serde_json::json!({"token": token}))
    }
}

// JSON is YAML.
fn kubeconfig(url: &str, ca: &Path, user: &serde_json::Value) -> String {
    serde_json::json!({
        "apiVersion": "v1",
        "kind": "Config",
        "clusters": [{"name": "test", "cluster": {"server": url, "certificate-authority": ca}}],
        "users": [{"name": "test", "user": user}],
        "contexts": [{"name": "test", "context": {"cluster": "test", "user": "test"}}],
        "current-context": "test",
    })
    .to_string()
}

fn authority() -> (String, Issuer<'static, KeyPair>) {
    let mut params = CertificateParams::new(Vec::new()).expect("no names, so none is wrong");
    params.distinguished_name.push(DnType::CommonName, "tollway-tests");
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign, KeyUsagePurpose::DigitalSignature];
    let key = KeyPair::generate().expect("a key");
    let certificate = params.self_signed(&key).expect("a certificate authority");
    (certificate.pem(), Issuer::new(params, key))
}

fn signed(
    issuer: &Issuer<'static, KeyPair>,
    names: Vec<String>,
    common_name: &str,
    group: Option<&str>,
    usage: ExtendedKeyUsagePurpose,
) -> (String, String) {
    let mut params = CertificateParams::new(names).expect("names that are addresses or host names");
    params.distinguished_name.push(DnType::CommonName, common_name);
    if let Some(group) = group {
        params.distinguished_name.push(DnType::OrganizationName, group);
    }
    params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
    params.extended_key_usages = vec![usage];
    let key = KeyPair::generate().expect("a key");
    let certificate = params.signed_by(&key, issuer).expect("a signed certificate");
    (certificate.pem(), key.serialize_pem())
}
