//! How a plugin host and a plugin meet: variables one way, one line of stdout the other.

use std::path::{Path, PathBuf};

use base64::Engine;
use base64::engine::general_purpose::STANDARD_NO_PAD;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;

/// A variable only Terraform sets: it keeps a person from starting a provider by hand.
const COOKIE: (&str, &str) =
    ("TF_PLUGIN_MAGIC_COOKIE", "d602bf8f470bc67ca7faa0386276bbdd4330efaf76d1a219cb4d6991ca9872b2");
const CORE_PROTOCOL: u32 = 1;
const PLUGIN_PROTOCOL: u32 = 6;

/// What the host told us.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Host {
    /// The one certificate a client may show; none means that the host speaks plaintext.
    pub client_certificate: Option<CertificateDer<'static>>,
    /// Where the host wants the socket.
    pub socket_folder: Option<PathBuf>,
}

/// Why there is nobody to talk to.
#[derive(Debug, thiserror::Error, PartialEq)]
#[non_exhaustive]
pub enum HandshakeError {
    /// Started by hand.
    #[error(
        "this program is a Terraform provider: Terraform starts it by itself (see provider/docs; `--debug` attaches one by hand)"
    )]
    NotTerraform,
    /// A host that does not speak our protocol.
    #[error("the host speaks plugin protocols {asked}; this provider speaks {PLUGIN_PROTOCOL}")]
    Protocol {
        /// Its list.
        asked: String,
    },
    /// A certificate we cannot pin.
    #[error("PLUGIN_CLIENT_CERT is not a PEM certificate")]
    ClientCertificate,
}

impl Host {
    /// Reads what the host told us through its variables.
    ///
    /// # Errors
    /// [`HandshakeError`], each with what to do about it.
    pub fn from_variables(variable: impl Fn(&str) -> Option<String>) -> Result<Self, HandshakeError> {
        if variable(COOKIE.0).as_deref() != Some(COOKIE.1) {
            return Err(HandshakeError::NotTerraform);
        }
        if let Some(asked) = variable("PLUGIN_PROTOCOL_VERSIONS").filter(|asked| !asked.is_empty()) {
            // A set in no order: the host writes it from a map.
            if !asked.split(',').any(|version| version.trim().parse() == Ok(PLUGIN_PROTOCOL)) {
                return Err(HandshakeError::Protocol { asked });
            }
        }
        let pem = variable("PLUGIN_CLIENT_CERT").filter(|pem| !pem.is_empty());
        let client_certificate = pem
            .map(|pem| CertificateDer::from_pem_slice(pem.as_bytes()))
            .transpose()
            .map_err(|_| HandshakeError::ClientCertificate)?;
        let socket_folder = variable("PLUGIN_UNIX_SOCKET_DIR").filter(|path| !path.is_empty()).map(PathBuf::from);
        Ok(Self { client_certificate, socket_folder })
    }
}

/// The line that tells the host where we listen and by which certificate it knows us.
pub fn line(socket: &Path, certificate: Option<&CertificateDer<'_>>) -> String {
    let certificate = certificate.map(|der| STANDARD_NO_PAD.encode(der)).unwrap_or_default();
    format!("{CORE_PROTOCOL}|{PLUGIN_PROTOCOL}|unix|{}|grpc|{certificate}\n", socket.display())
}

/// What to put into `TF_REATTACH_PROVIDERS` for a provider that was started by hand.
pub fn reattach(address: &str, socket: &Path) -> String {
    serde_json::json!({
        address: {
            "Protocol": "grpc",
            "ProtocolVersion": PLUGIN_PROTOCOL,
            "Pid": std::process::id(),
            "Test": true,
            "Addr": { "Network": "unix", "String": socket },
        }
    })
    .to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn host(pairs: &[(&str, &str)]) -> Result<Host, HandshakeError> {
        Host::from_variables(|name| pairs.iter().find(|(key, _)| *key == name).map(|(_, value)| (*value).to_owned()))
    }

    #[test]
    fn versions_are_a_set() {
        for versions in ["5,6", "6,5", "6", " 6 ,5"] {
            assert_eq!(host(&[COOKIE, ("PLUGIN_PROTOCOL_VERSIONS", versions)]), Ok(Host::default()));
        }
        let refused = host(&[COOKIE, ("PLUGIN_PROTOCOL_VERSIONS", "5,60")]);
        assert_eq!(refused, Err(HandshakeError::Protocol { asked: "5,60".to_owned() }));
    }

    #[test]
    fn a_missing_or_wrong_cookie_is_a_person() {
        assert_eq!(host(&[]), Err(HandshakeError::NotTerraform));
        assert_eq!(host(&[(COOKIE.0, "x")]), Err(HandshakeError::NotTerraform));
    }

    #[test]
    fn a_certificate_that_is_none_is_refused_and_an_empty_one_is_plaintext() {
        assert_eq!(host(&[COOKIE, ("PLUGIN_CLIENT_CERT", "x")]), Err(HandshakeError::ClientCertificate));
        assert_eq!(host(&[COOKIE, ("PLUGIN_CLIENT_CERT", "")]).unwrap().client_certificate, None);
    }

    #[test]
    fn the_line_carries_unpadded_base64() {
        let certificate = CertificateDer::from(vec![0xff; 64]);
        let line = line(Path::new("/tmp/s"), Some(&certificate));
        let fields: Vec<_> = line.trim_end().split('|').collect();
        assert_eq!(fields[..5], ["1", "6", "unix", "/tmp/s", "grpc"]);
        assert_eq!(fields[5].len(), 86);
        assert!(!fields[5].contains('='));
        assert_eq!(STANDARD_NO_PAD.decode(fields[5]).unwrap(), vec![0xff; 64]);
    }
}
