//! Reads the server's certificate and key and makes the TLS configuration. Never opens a socket.
//! Next file to read: `name`.

#[cfg(feature = "cli")]
mod hosts;
mod name;

use std::path::{Path, PathBuf};
use std::sync::Arc;

use thiserror::Error;
use tokio_rustls::rustls;
use tokio_rustls::rustls::pki_types::pem::{self, PemObject};
use tokio_rustls::rustls::pki_types::{CertificateDer, PrivateKeyDer};
use tokio_rustls::rustls::server::WebPkiClientVerifier;
use tokio_rustls::rustls::server::danger::ClientCertVerifier;

#[cfg(feature = "cli")]
pub(crate) use self::hosts::hosts_of;
pub(crate) use self::name::user_of;
use crate::secret_file::{self, SecretFileError};

/// The oldest version of TLS that is spoken.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum MinVersion {
    /// TLS 1.2, and 1.3 with clients that have it.
    Tls12,
    /// TLS 1.3.
    Tls13,
}

/// Whether clients show a certificate of their own.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ClientAuth {
    /// None is asked for.
    None,
    /// Who has one need not give a password; who has none must.
    Optional,
    /// Who has none gets no connection.
    Required,
}

/// What the server's side of TLS is made of.
#[derive(Debug, Clone)]
pub(crate) struct TlsFiles {
    /// The chain, PEM, the server's own first.
    pub(crate) cert: PathBuf,
    /// Its private key, PEM.
    pub(crate) key: PathBuf,
    pub(crate) min_version: MinVersion,
    pub(crate) clients: Clients,
}

/// Who vouches for clients.
#[derive(Debug, Clone)]
pub(crate) enum Clients {
    /// Nobody: they are not asked for a certificate.
    Unasked,
    /// The CAs of this file, PEM, for those who show a certificate.
    Optional(PathBuf),
    /// The CAs of this file, PEM, for everyone.
    Required(PathBuf),
}

impl TlsFiles {
    /// Reads the files and makes a configuration of them. The crypto provider is named here and
    /// never the process's default, which another part of an embedding program may have set. Blocks.
    ///
    /// # Errors
    ///
    /// [`TlsError`] names the file and what is wrong with it.
    pub(crate) fn load(&self) -> Result<Arc<rustls::ServerConfig>, TlsError> {
        let chain = read_chain(&self.cert)?;
        let private_key = read_key(&self.key)?;
        let rejected = |source: rustls::Error| match source {
            rustls::Error::InconsistentKeys(_) => {
                TlsError::Mismatch { cert: self.cert.clone(), key: self.key.clone() }
            }
            source => TlsError::Rejected {
                cert: self.cert.clone(),
                key: self.key.clone(),
                source: Box::new(source),
            },
        };
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let versions: &[_] = match self.min_version {
            MinVersion::Tls12 => &[&rustls::version::TLS12, &rustls::version::TLS13],
            MinVersion::Tls13 => &[&rustls::version::TLS13],
        };
        let config = rustls::ServerConfig::builder_with_provider(Arc::clone(&provider))
            .with_protocol_versions(versions)
            .map_err(rejected)?
            .with_client_cert_verifier(self.clients.verifier(provider)?)
            .with_single_cert(chain, private_key)
            .map_err(rejected)?;
        Ok(Arc::new(config))
    }

    /// The files that it reads.
    pub(crate) fn paths(&self) -> Vec<PathBuf> {
        let mut paths = vec![self.cert.clone(), self.key.clone()];
        match &self.clients {
            Clients::Unasked => {}
            Clients::Optional(ca) | Clients::Required(ca) => paths.push(ca.clone()),
        }
        paths
    }
}

impl Clients {
    fn verifier(
        &self,
        provider: Arc<rustls::crypto::CryptoProvider>,
    ) -> Result<Arc<dyn ClientCertVerifier>, TlsError> {
        let (ca, needs_one) = match self {
            Self::Unasked => return Ok(WebPkiClientVerifier::no_client_auth()),
            Self::Optional(ca) => (ca, false),
            Self::Required(ca) => (ca, true),
        };
        let rejected = |source: Box<dyn std::error::Error + Send + Sync>| TlsError::ClientCa {
            path: ca.clone(),
            source,
        };
        let mut roots = rustls::RootCertStore::empty();
        for certificate in read_chain(ca)? {
            roots.add(certificate).map_err(|source| rejected(Box::new(source)))?;
        }
        let verifier = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider);
        let verifier = if needs_one { verifier } else { verifier.allow_unauthenticated() };
        verifier.build().map_err(|source| rejected(Box::new(source)))
    }
}

pub(crate) fn read_chain(path: &Path) -> Result<Vec<CertificateDer<'static>>, TlsError> {
    let bytes = std::fs::read(path).map_err(|source| TlsError::ReadCertificate {
        path: path.to_owned(),
        source: Box::new(source),
    })?;
    let chain =
        CertificateDer::pem_slice_iter(&bytes).collect::<Result<Vec<_>, pem::Error>>().map_err(
            |source| TlsError::ReadCertificate { path: path.to_owned(), source: Box::new(source) },
        )?;
    if chain.is_empty() {
        return Err(TlsError::NoCertificate { path: path.to_owned() });
    }
    Ok(chain)
}

fn read_key(path: &Path) -> Result<PrivateKeyDer<'static>, TlsError> {
    let bytes = secret_file::read(path)?;
    PrivateKeyDer::from_pem_slice(&bytes).map_err(|source| match source {
        pem::Error::NoItemsFound => TlsError::NoKey { path: path.to_owned() },
        source => TlsError::ReadKey { path: path.to_owned(), source: Box::new(source) },
    })
}

/// Why a certificate or its key is refused.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum TlsError {
    /// The certificate file cannot be read, or is broken PEM.
    #[error("cannot read the certificate {}", path.display())]
    ReadCertificate {
        /// The file.
        path: PathBuf,
        /// Why.
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// The certificate file holds no certificate.
    #[error("{} holds no certificate in PEM form", path.display())]
    NoCertificate {
        /// The file.
        path: PathBuf,
    },
    /// The key file cannot be read, or others can read it.
    #[error(transparent)]
    KeyFile(#[from] SecretFileError),
    /// The key file is broken PEM.
    #[error("cannot read the private key {}", path.display())]
    ReadKey {
        /// The file.
        path: PathBuf,
        /// Why.
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// The key file holds no private key.
    #[error(
        "{} holds no private key in PEM form (PKCS#8, PKCS#1 or SEC1, not encrypted)",
        path.display()
    )]
    NoKey {
        /// The file.
        path: PathBuf,
    },
    /// The CA that vouches for clients cannot be used.
    #[error("the CA of clients {} cannot be used", path.display())]
    ClientCa {
        /// The file.
        path: PathBuf,
        /// Why.
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// Certificate and key do not belong together.
    #[error(
        "the private key {} does not belong to the certificate {}; the server's own certificate \
         must be the first in its file",
        key.display(),
        cert.display()
    )]
    Mismatch {
        /// The certificate file.
        cert: PathBuf,
        /// The key file.
        key: PathBuf,
    },
    /// The TLS library does not take them.
    #[error("the certificate {} and the key {} cannot be used", cert.display(), key.display())]
    Rejected {
        /// The certificate file.
        cert: PathBuf,
        /// The key file.
        key: PathBuf,
        /// Why.
        source: Box<dyn std::error::Error + Send + Sync>,
    },
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    struct Files {
        folder: tempfile::TempDir,
    }

    impl Files {
        /// A folder with `one.pem`, `one.key`, `two.pem` and `two.key`.
        fn new() -> Self {
            let folder = tempfile::tempdir().unwrap();
            for name in ["one", "two"] {
                let made =
                    rcgen::generate_simple_self_signed(vec!["localhost".to_owned()]).unwrap();
                let path = |ending| folder.path().join(format!("{name}.{ending}"));
                std::fs::write(path("pem"), made.cert.pem()).unwrap();
                secret_file::create(&path("key"), made.signing_key.serialize_pem().as_bytes())
                    .unwrap();
            }
            Self { folder }
        }

        fn path(&self, name: &str) -> PathBuf {
            self.folder.path().join(name)
        }

        fn load(&self, cert: &str, key: &str) -> Result<Arc<rustls::ServerConfig>, TlsError> {
            self.load_with(cert, key, Clients::Unasked)
        }

        fn load_with(
            &self,
            cert: &str,
            key: &str,
            clients: Clients,
        ) -> Result<Arc<rustls::ServerConfig>, TlsError> {
            let (cert, key) = (self.path(cert), self.path(key));
            TlsFiles { cert, key, min_version: MinVersion::Tls13, clients }.load()
        }

        fn refusal(&self, cert: &str, key: &str) -> TlsError {
            self.load(cert, key).unwrap_err()
        }
    }

    #[test]
    fn a_certificate_and_its_key_are_taken() {
        let files = Files::new();
        assert!(files.load("one.pem", "one.key").is_ok());
    }

    #[test]
    fn a_key_of_another_certificate_is_refused() {
        let error = Files::new().refusal("one.pem", "two.key");
        assert!(matches!(error, TlsError::Mismatch { .. }), "{error}");
    }

    #[test]
    fn a_key_that_others_can_read_is_refused() {
        let files = Files::new();
        let mode = PermissionsExt::from_mode(0o640);
        std::fs::set_permissions(files.path("one.key"), mode).unwrap();
        let error = files.refusal("one.pem", "one.key");
        assert!(matches!(error, TlsError::KeyFile(SecretFileError::Exposed { .. })), "{error}");
    }

    #[test]
    fn swapped_missing_and_broken_files_are_told_apart() {
        let files = Files::new();
        let mode = PermissionsExt::from_mode(0o600);
        std::fs::set_permissions(files.path("one.pem"), mode).unwrap();
        std::fs::write(files.path("broken"), "-----BEGIN CERTIFICATE-----\n!\n").unwrap();
        std::fs::write(files.path("text"), "hello").unwrap();

        assert!(matches!(files.refusal("one.key", "one.key"), TlsError::NoCertificate { .. }));
        assert!(matches!(files.refusal("text", "one.key"), TlsError::NoCertificate { .. }));
        assert!(matches!(files.refusal("one.pem", "one.pem"), TlsError::NoKey { .. }));
        assert!(matches!(files.refusal("broken", "one.key"), TlsError::ReadCertificate { .. }));
        assert!(matches!(files.refusal("none", "one.key"), TlsError::ReadCertificate { .. }));
        let error = files.refusal("one.pem", "none");
        assert!(matches!(error, TlsError::KeyFile(SecretFileError::Io { .. })), "{error}");
    }

    #[test]
    fn a_ca_of_clients_that_cannot_be_used_is_refused_by_name() {
        let files = Files::new();
        std::fs::write(files.path("text"), "hello").unwrap();
        let load = |clients| files.load_with("one.pem", "one.key", clients);
        assert!(load(Clients::Required(files.path("two.pem"))).is_ok());
        for clients in [Clients::Optional, Clients::Required] {
            let error = load(clients(files.path("text"))).unwrap_err();
            assert!(matches!(error, TlsError::NoCertificate { .. }), "{error}");
        }
    }
}
