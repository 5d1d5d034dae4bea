//! A plugin host as strict as the newest: P-521 identity, TLS 1.3, ALPN `h2` demanded, and no server
//! but the one that the handshake line announces.

use std::io::{BufRead, BufReader, Read};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant};

use base64::Engine;
use base64::engine::general_purpose::STANDARD_NO_PAD;
use hyper_util::rt::TokioIo;
use p521::ecdsa::signature::Signer as _;
use p521::ecdsa::{DerSignature, SigningKey};
use p521::pkcs8::DecodePrivateKey;
use rustls::client::ResolvesClientCert;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::sign::{CertifiedKey, Signer};
use rustls::{ClientConfig, RootCertStore, SignatureAlgorithm, SignatureScheme};
use tokio::net::UnixStream;
use tonic::transport::{Channel, Uri};

pub(crate) const COOKIE: (&str, &str) =
    ("TF_PLUGIN_MAGIC_COOKIE", "d602bf8f470bc67ca7faa0386276bbdd4330efaf76d1a219cb4d6991ca9872b2");

pub(crate) const HOST_PEM: &str = include_str!("../fixtures/host.pem");
pub(crate) const STRANGER_PEM: &str = include_str!("../fixtures/stranger.pem");

/// A provider under our hand; it is killed when dropped.
pub(crate) struct Plugin {
    pub(crate) child: Child,
    pub(crate) socket: PathBuf,
    pub(crate) certificate: Option<CertificateDer<'static>>,
    stderr: Option<std::thread::JoinHandle<String>>,
}

impl Plugin {
    /// Starts a provider that pins `client_pem`, or speaks plaintext without one.
    pub(crate) fn start(program: &Path, client_pem: Option<&str>, folder: &Path) -> Self {
        let mut command = Command::new(program);
        command.env(COOKIE.0, COOKIE.1).env("PLUGIN_PROTOCOL_VERSIONS", "6,5").env("TMPDIR", folder);
        if let Some(pem) = client_pem {
            let end = "-----END CERTIFICATE-----\n";
            let certificate = &pem[..pem.find(end).unwrap() + end.len()];
            command.env("PLUGIN_CLIENT_CERT", certificate);
        }
        let mut child = command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        let mut line = String::new();
        BufReader::new(child.stdout.as_mut().unwrap()).read_line(&mut line).unwrap();
        let fields: Vec<_> = line.trim_end_matches('\n').split('|').collect();
        assert_eq!((fields.len(), &fields[..3], fields[4]), (6, &["1", "6", "unix"][..], "grpc"), "{line}");
        let certificate = (!fields[5].is_empty()).then(|| STANDARD_NO_PAD.decode(fields[5]).unwrap().into());
        let mut pipe = child.stderr.take().unwrap();
        let stderr = std::thread::spawn(move || {
            let mut text = String::new();
            pipe.read_to_string(&mut text).unwrap();
            text
        });
        Self { child, socket: fields[3].into(), certificate, stderr: Some(stderr) }
    }

    /// A channel to it, as `client_pem` or as nobody.
    pub(crate) async fn channel(&self, client_pem: Option<&str>, alpn: &[&[u8]]) -> std::io::Result<Channel> {
        let config = Arc::new(client_config(self.certificate.clone().unwrap(), client_pem, alpn));
        let stream = UnixStream::connect(&self.socket).await?;
        let name = ServerName::try_from("localhost").unwrap();
        let stream = tokio_rustls::TlsConnector::from(config).connect(name, stream).await?;
        let agreed = stream.get_ref().1.alpn_protocol();
        if agreed != Some(b"h2") {
            return Err(std::io::Error::other(format!("the server agreed on {agreed:?}, not on h2")));
        }
        one_connection(TokioIo::new(stream)).await
    }

    /// A plaintext channel to it.
    pub(crate) async fn plain_channel(&self) -> std::io::Result<Channel> {
        one_connection(TokioIo::new(UnixStream::connect(&self.socket).await?)).await
    }

    /// Waits for its end and returns how it ended, how long that took, and what it logged.
    pub(crate) fn ended(mut self, limit: Duration) -> (Option<i32>, Duration, String) {
        let started = Instant::now();
        let code = loop {
            if let Some(status) = self.child.try_wait().unwrap() {
                break status.code();
            }
            assert!(started.elapsed() < limit, "the provider still runs after {limit:?}");
            std::thread::sleep(Duration::from_millis(5));
        };
        let took = started.elapsed();
        (code, took, self.stderr.take().unwrap().join().unwrap())
    }
}

impl Drop for Plugin {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

async fn one_connection<T>(stream: TokioIo<T>) -> std::io::Result<Channel>
where
    T: tokio::io::AsyncRead + tokio::io::AsyncWrite + Send + Unpin + 'static,
{
    let mut stream = Some(stream);
    let connector = tower::service_fn(move |_: Uri| {
        let stream = stream.take().ok_or_else(|| std::io::Error::other("the connection was closed"));
        async { stream }
    });
    Channel::from_static("http://localhost").connect_with_connector(connector).await.map_err(std::io::Error::other)
}

fn client_config(server: CertificateDer<'static>, client_pem: Option<&str>, alpn: &[&[u8]]) -> ClientConfig {
    let mut roots = RootCertStore::empty();
    roots.add(server).unwrap();
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let builder = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(roots);
    let mut config = match client_pem {
        Some(pem) => builder.with_client_cert_resolver(Arc::new(Identity::read(pem))),
        None => builder.with_no_client_auth(),
    };
    config.alpn_protocols = alpn.iter().map(|protocol| protocol.to_vec()).collect();
    config
}

/// A P-521 identity, which ring cannot sign for.
#[derive(Debug)]
struct Identity(Arc<CertifiedKey>);

impl Identity {
    fn read(pem: &str) -> Self {
        let certificate = CertificateDer::from_pem_slice(pem.as_bytes()).unwrap();
        let key = &pem[pem.find("-----BEGIN PRIVATE KEY-----").unwrap()..];
        let key = Key(SigningKey::from_pkcs8_pem(key).unwrap());
        Self(Arc::new(CertifiedKey::new(vec![certificate], Arc::new(key))))
    }
}

impl ResolvesClientCert for Identity {
    fn resolve(&self, _: &[&[u8]], schemes: &[SignatureScheme]) -> Option<Arc<CertifiedKey>> {
        // As Go does: no certificate is shown to a server that could not check it.
        schemes.contains(&SignatureScheme::ECDSA_NISTP521_SHA512).then(|| self.0.clone())
    }

    fn has_certs(&self) -> bool {
        true
    }
}

#[derive(Clone)]
struct Key(SigningKey);

impl std::fmt::Debug for Key {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Key")
    }
}

impl rustls::sign::SigningKey for Key {
    fn choose_scheme(&self, offered: &[SignatureScheme]) -> Option<Box<dyn Signer>> {
        offered.contains(&SignatureScheme::ECDSA_NISTP521_SHA512).then(|| Box::new(self.clone()) as Box<dyn Signer>)
    }

    fn algorithm(&self) -> SignatureAlgorithm {
        SignatureAlgorithm::ECDSA
    }
}

impl Signer for Key {
    fn sign(&self, message: &[u8]) -> Result<Vec<u8>, rustls::Error> {
        let signature: DerSignature = self.0.sign(message);
        Ok(signature.as_bytes().to_vec())
    }

    fn scheme(&self) -> SignatureScheme {
        SignatureScheme::ECDSA_NISTP521_SHA512
    }
}
