//! The transports that ship: TCP, and TLS over TCP.
//!
//! Certificates are verified against the platform's roots, or against a CA that the user names.
//! Next file to read: [`crate::transport`].

use std::fmt;
use std::fs;
use std::io;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use tokio::net::{TcpSocket, TcpStream};
use tokio_rustls::TlsConnector;
use tokio_rustls::rustls;
use tokio_rustls::rustls::pki_types::pem::PemObject;
use tokio_rustls::rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use tokio_rustls::rustls::{CertificateError, ClientConfig, RootCertStore};

use crate::error::ConfigError;
use crate::transport::{ConnectError, Stream, Transport};

/// What one of several addresses may take: the next must have its turn within the time that the
/// client allows, though this one swallows what it is sent.
const ADDRESS_TIMEOUT: Duration = Duration::from_secs(2);

/// What the system may hold of a connection in each direction; Linux takes twice as much.
const BUFFER_BYTES: u32 = 128 * 1024;

/// Plain TCP.
#[derive(Debug)]
pub(crate) struct Tcp {
    pub(crate) host: String,
    pub(crate) port: u16,
}

impl Tcp {
    async fn open(&self) -> Result<TcpStream, ConnectError> {
        let host = &self.host;
        let addresses = tokio::net::lookup_host((host.as_str(), self.port))
            .await
            .map_err(|source| ConnectError::Resolve { host: host.clone(), source })?;
        let addresses: Vec<_> = addresses.collect();
        let limit = if addresses.len() > 1 { ADDRESS_TIMEOUT } else { Duration::MAX };
        let mut last = io::Error::new(io::ErrorKind::NotFound, "the name has no address");
        for address in addresses {
            let connecting = tokio::time::timeout(limit, open(address));
            match connecting.await.unwrap_or_else(|late| Err(late.into())) {
                Ok(stream) => {
                    // Requests are batched before they are written; waiting would only delay them.
                    stream.set_nodelay(true).map_err(|source| ConnectError::Connect { source })?;
                    return Ok(stream);
                }
                Err(error) => last = error,
            }
        }
        Err(ConnectError::Connect { source: last })
    }
}

/// Connects. The system's buffers are kept short: what stands in them cannot be passed by anybody,
/// and a small request would wait behind megabytes of a large one.
async fn open(address: SocketAddr) -> io::Result<TcpStream> {
    let socket = if address.is_ipv4() { TcpSocket::new_v4() } else { TcpSocket::new_v6() }?;
    socket.set_send_buffer_size(BUFFER_BYTES)?;
    socket.set_recv_buffer_size(BUFFER_BYTES)?;
    socket.connect(address).await
}

#[async_trait]
impl Transport for Tcp {
    async fn connect(&self) -> Result<Stream, ConnectError> {
        let (reader, writer) = self.open().await?.into_split();
        Ok(Stream::new(reader, writer))
    }

    fn address(&self) -> String {
        if self.host.contains(':') {
            format!("[{}]:{}", self.host, self.port)
        } else {
            format!("{}:{}", self.host, self.port)
        }
    }
}

/// TLS over TCP.
pub(crate) struct Tls {
    pub(crate) tcp: Tcp,
    name: ServerName<'static>,
    connector: TlsConnector,
}

impl Tls {
    /// To each of several addresses. The certificate of each must name its own host.
    pub(crate) fn all(
        tcps: Vec<Tcp>,
        ca: Option<&Path>,
        identity: Option<&Identity>,
    ) -> Result<Vec<Self>, ConfigError> {
        let name = |tcp: &Tcp| {
            ServerName::try_from(tcp.host.clone())
                .map_err(|_| ConfigError::Host { host: tcp.host.clone() })
        };
        let names = tcps.iter().map(name).collect::<Result<Vec<_>, _>>()?;
        let connector = TlsConnector::from(Arc::new(client_config(ca, identity)?));
        let tls = |(tcp, name)| Self { tcp, name, connector: connector.clone() };
        Ok(tcps.into_iter().zip(names).map(tls).collect())
    }
}

#[async_trait]
impl Transport for Tls {
    async fn connect(&self) -> Result<Stream, ConnectError> {
        let tcp = self.tcp.open().await?;
        let tls = self.connector.connect(self.name.clone(), tcp).await.map_err(classify)?;
        let (reader, writer) = tokio::io::split(tls);
        Ok(Stream::new(reader, writer))
    }

    fn address(&self) -> String {
        self.tcp.address()
    }
}

impl fmt::Debug for Tls {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Tls({})", self.tcp.address())
    }
}

fn client_config(
    ca: Option<&Path>,
    identity: Option<&Identity>,
) -> Result<ClientConfig, ConfigError> {
    let roots = match ca {
        Some(file) => roots_from_file(file)?,
        None => platform_roots(),
    };
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let builder = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(|error| ConfigError::Tls { reason: error.to_string() })?;
    let builder = builder.with_root_certificates(roots);
    let Some(identity) = identity else {
        return Ok(builder.with_no_client_auth());
    };
    let (chain, key) = identity.read()?;
    let problem = |error: rustls::Error| Identity::problem(&identity.cert, &error);
    builder.with_client_auth_cert(chain, key).map_err(problem)
}

/// Where the client's own certificate and its key are.
#[derive(Debug)]
pub(crate) struct Identity {
    pub(crate) cert: PathBuf,
    pub(crate) key: PathBuf,
}

impl Identity {
    fn read(&self) -> Result<(Vec<CertificateDer<'static>>, PrivateKeyDer<'static>), ConfigError> {
        let pem = fs::read(&self.cert).map_err(|error| Self::problem(&self.cert, &error))?;
        let chain = CertificateDer::pem_slice_iter(&pem).collect::<Result<Vec<_>, _>>();
        let chain = chain.map_err(|error| Self::problem(&self.cert, &error))?;
        if chain.is_empty() {
            return Err(Self::problem(&self.cert, &"it holds no PEM certificate"));
        }
        let pem = fs::read(&self.key).map_err(|error| Self::problem(&self.key, &error))?;
        let key = PrivateKeyDer::from_pem_slice(&pem);
        Ok((chain, key.map_err(|error| Self::problem(&self.key, &error))?))
    }

    /// What is wrong with one of the files.
    fn problem(file: &Path, reason: &dyn fmt::Display) -> ConfigError {
        ConfigError::Cert { file: file.to_owned(), reason: reason.to_string() }
    }
}

fn roots_from_file(file: &Path) -> Result<RootCertStore, ConfigError> {
    let problem = |reason: String| ConfigError::Ca { file: file.to_owned(), reason };
    let pem = fs::read(file).map_err(|error| problem(error.to_string()))?;
    let mut roots = RootCertStore::empty();
    for certificate in CertificateDer::pem_slice_iter(&pem) {
        let certificate = certificate.map_err(|error| problem(error.to_string()))?;
        roots.add(certificate).map_err(|error| problem(error.to_string()))?;
    }
    if roots.is_empty() {
        return Err(problem("it holds no PEM certificate".into()));
    }
    Ok(roots)
}

/// The platform's roots. Without any, each handshake fails and says that the issuer is unknown.
fn platform_roots() -> RootCertStore {
    let mut roots = RootCertStore::empty();
    let found = rustls_native_certs::load_native_certs();
    for error in &found.errors {
        tracing::warn!(%error, "a root certificate of this platform cannot be read");
    }
    roots.add_parsable_certificates(found.certs);
    roots
}

fn classify(source: io::Error) -> ConnectError {
    let cause = source.get_ref().and_then(|inner| inner.downcast_ref::<rustls::Error>());
    let reason = match cause {
        Some(rustls::Error::InvalidCertificate(problem)) => describe(problem),
        Some(rustls::Error::InvalidMessage(_)) => return ConnectError::NotTls { source },
        Some(_) => return ConnectError::Tls { source },
        None => return ConnectError::HandshakeCut { source },
    };
    ConnectError::Certificate { reason, source }
}

fn describe(problem: &CertificateError) -> String {
    match problem {
        CertificateError::UnknownIssuer => {
            "its issuer is not trusted here; name the server's CA with ca=FILE, --ca or KVSD_TLS_CA"
                .into()
        }
        // Two CAs of one name, as each `kvsd-server init` makes one, differ in their keys only.
        CertificateError::BadSignature => {
            "its issuer has the name of a CA that is trusted here, but another key; is ca=FILE, \
             --ca or KVSD_TLS_CA this server's CA?"
                .into()
        }
        CertificateError::NotValidForNameContext { .. } | CertificateError::NotValidForName => {
            format!("it belongs to another host name ({problem})")
        }
        CertificateError::Expired | CertificateError::ExpiredContext { .. } => {
            format!("it has expired ({problem})")
        }
        other => other.to_string(),
    }
}
