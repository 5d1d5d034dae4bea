//! TLS between a host and this process alone: each side knows the other by one certificate, made
//! for this launch. Terraform's is on P-521, which ring cannot check, and a CA's, which webpki
//! refuses as a client's; so the pin is compared byte by byte and possession is checked here.

use std::sync::Arc;

use p521::ecdsa::signature::Verifier;
use p521::ecdsa::{DerSignature, VerifyingKey};
use p521::pkcs8::DecodePublicKey;
use rcgen::{CertificateParams, ExtendedKeyUsagePurpose, IsCa, KeyPair, KeyUsagePurpose};
use rustls::client::danger::HandshakeSignatureValid;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer, UnixTime};
use rustls::server::danger::{ClientCertVerified, ClientCertVerifier};
use rustls::server::{NoServerSessionStorage, ParsedCertificate};
use rustls::{CertificateError, DigitallySignedStruct, DistinguishedName, ServerConfig, SignatureScheme};

/// Why TLS could not be set up.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum TlsError {
    /// The host's certificate carries no P-521 key.
    #[error("the host's certificate has no P-521 key")]
    ClientKey,
    /// Our own certificate could not be made.
    #[error("making this launch's certificate failed")]
    Certificate(#[from] rcgen::Error),
    /// The settings do not agree.
    #[error("setting up TLS failed")]
    Setup(#[from] rustls::Error),
}

/// Our side of the connection: the certificate to announce, and how to accept.
pub struct Identity {
    /// What the host will know us by.
    pub certificate: CertificateDer<'static>,
    /// TLS 1.3, ALPN `h2`, and no client but the pinned one.
    pub config: Arc<ServerConfig>,
}

/// Makes a key and a certificate for this launch, and pins the host's.
///
/// # Errors
/// [`TlsError`] names the side at fault.
pub fn identity(client: CertificateDer<'static>) -> Result<Identity, TlsError> {
    let key = KeyPair::generate()?; // P-256
    let mut params = CertificateParams::new(vec!["localhost".to_owned()])?;
    params.is_ca = IsCa::ExplicitNoCa;
    params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
    params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
    let certificate: CertificateDer<'static> = params.self_signed(&key)?.into();
    let key = PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(key.serialize_der()));

    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let mut config = ServerConfig::builder_with_provider(provider)
        .with_protocol_versions(&[&rustls::version::TLS13])?
        .with_client_cert_verifier(Arc::new(Pinned::new(client)?))
        .with_single_cert(vec![certificate.clone()], key)?;
    config.alpn_protocols = vec![b"h2".to_vec()];
    config.session_storage = Arc::new(NoServerSessionStorage {});
    config.send_tls13_tickets = 0;
    Ok(Identity { certificate, config: Arc::new(config) })
}

/// Accepts one certificate, and only from who holds its key.
#[derive(Debug)]
struct Pinned {
    certificate: CertificateDer<'static>,
    key: VerifyingKey,
}

impl Pinned {
    fn new(certificate: CertificateDer<'static>) -> Result<Self, TlsError> {
        let parsed = ParsedCertificate::try_from(&certificate).map_err(|_| TlsError::ClientKey)?;
        let key = parsed.subject_public_key_info();
        let key = VerifyingKey::from_public_key_der(key.as_ref()).map_err(|_| TlsError::ClientKey)?;
        Ok(Self { certificate, key })
    }
}

impl ClientCertVerifier for Pinned {
    fn root_hint_subjects(&self) -> &[DistinguishedName] {
        &[]
    }

    fn verify_client_cert(
        &self,
        shown: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: UnixTime,
    ) -> Result<ClientCertVerified, rustls::Error> {
        if shown.as_ref() == self.certificate.as_ref() {
            Ok(ClientCertVerified::assertion())
        } else {
            Err(CertificateError::ApplicationVerificationFailure.into())
        }
    }

    fn verify_tls12_signature(
        &self,
        _: &[u8],
        _: &CertificateDer<'_>,
        _: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        Err(CertificateError::BadSignature.into())
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        _: &CertificateDer<'_>, // `verify_client_cert` has let only the pinned one pass
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        let signature = DerSignature::from_bytes(signed.signature()).ok();
        match signature {
            Some(signature)
                if signed.scheme == SignatureScheme::ECDSA_NISTP521_SHA512
                    && self.key.verify(message, &signature).is_ok() =>
            {
                Ok(HandshakeSignatureValid::assertion())
            }
            _ => Err(CertificateError::BadSignature.into()),
        }
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        vec![SignatureScheme::ECDSA_NISTP521_SHA512]
    }
}
