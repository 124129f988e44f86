//! etcd that speaks TLS only and wants to see a certificate.

use std::path::Path;

use futures::future::join_all;
use meseta_store::Store;
use meseta_store::etcd::{ClientCertificate, EtcdStore, Options, Tls};
use rcgen::{BasicConstraints, CertificateParams, IsCa, Issuer, KeyPair};
use tempfile::TempDir;

use crate::etcd_server::{Server, connect_with, free_ports};
use crate::stores::{PREFIX, StoreExt as _};

/// An authority with its certificate, PEM.
struct Authority {
    issuer: Issuer<'static, KeyPair>,
    pem: String,
}

impl Authority {
    fn new() -> Self {
        let key = KeyPair::generate().unwrap();
        let mut params = CertificateParams::default();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let pem = params.self_signed(&key).unwrap().pem();
        Self { issuer: Issuer::new(params, key), pem }
    }

    fn issue(&self, name: &str) -> ClientCertificate {
        let key = KeyPair::generate().unwrap();
        let params = CertificateParams::new([name.to_owned()]).unwrap();
        let certificate = params.signed_by(&key, &self.issuer).unwrap();
        ClientCertificate { certificate_pem: certificate.pem(), key_pem: key.serialize_pem() }
    }
}

fn write(directory: &Path, name: &str, content: &str) -> String {
    let path = directory.join(name);
    std::fs::write(&path, content).unwrap();
    path.to_str().unwrap().to_owned()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_store_shows_its_certificate_and_trusts_only_its_authority() {
    let (authority, stranger) = (Authority::new(), Authority::new());
    let files = TempDir::new().unwrap();
    let member = authority.issue("127.0.0.1");
    let arguments = [
        "--unsafe-no-fsync".to_owned(),
        "--client-cert-auth".to_owned(),
        format!("--trusted-ca-file={}", write(files.path(), "ca.pem", &authority.pem)),
        format!("--cert-file={}", write(files.path(), "cert.pem", &member.certificate_pem)),
        format!("--key-file={}", write(files.path(), "key.pem", &member.key_pem)),
    ];
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let [client, peer] = free_ports::<2>();
    let (client, peer) =
        (format!("https://127.0.0.1:{client}"), format!("http://127.0.0.1:{peer}"));
    let server = Server::spawn("alone", &client, &peer, &format!("alone={peer}"), &arguments);

    let options = |ca: &Authority, client: Option<ClientCertificate>| Options {
        endpoints: vec![server.endpoint()],
        prefix: PREFIX.to_owned(),
        tls: Some(Tls { ca_pem: ca.pem.clone(), client }),
    };
    let store = connect_with(options(&authority, Some(authority.issue("control-plane")))).await;
    let store: &dyn Store = &store;
    let created = store.create("/a", "1").await;
    assert_eq!(store.events("/", meseta_store::Version(0), created).await.len(), 1);

    // Each is tried for some seconds, as any member that does not answer.
    let strangers = [
        options(&authority, None),
        options(&authority, Some(stranger.issue("control-plane"))),
        options(&stranger, Some(authority.issue("control-plane"))),
    ];
    for result in join_all(strangers.map(EtcdStore::connect)).await {
        assert!(matches!(result, Err(meseta_store::Error::Unavailable(_))), "{result:?}");
    }
}
