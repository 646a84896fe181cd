//! Another certificate and key for a server whose folder `init` has made, signed by the CA that is
//! there: clients trust it as they did the one before.
//!
//! The new certificate is verified as a client would verify it before either file is replaced. The
//! key goes first; until the certificate follows, a running server keeps what it had. Next file to
//! read: [`crate::cli_server`], which prints what was made.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use rcgen::{Issuer, KeyPair};
use thiserror::Error;
use tokio_rustls::rustls::client::WebPkiServerVerifier;
use tokio_rustls::rustls::client::danger::ServerCertVerifier;
use tokio_rustls::rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use tokio_rustls::rustls::{RootCertStore, crypto};

use super::{
    CA_CERT, CA_KEY, HostName, InitError, LOCAL_NAMES, SERVER_CERT, SERVER_KEY, authority, server,
};
use crate::secret_file::{self, SecretFileError};
use crate::tls::{self, TlsError};

/// What to make.
#[derive(Debug, Clone)]
pub(crate) struct Renew {
    /// The folder that `init` has made.
    pub(crate) folder: PathBuf,
    /// Names beside those of the certificate before.
    pub(crate) names: Vec<HostName>,
}

/// What was made.
#[derive(Debug)]
pub(crate) struct Renewed {
    /// The names that the certificate is for.
    pub(crate) names: Vec<String>,
    /// The day that it ends, as `YYYY-MM-DD`.
    pub(crate) until: String,
}

impl Renew {
    /// Replaces certificate and key. Blocks.
    ///
    /// # Errors
    ///
    /// [`RenewError`] names the file that is missing or does not fit; nothing was changed then,
    /// unless the certificate alone could not be written.
    pub(crate) fn run(&self) -> Result<Renewed, RenewError> {
        let names = self.names()?;
        let issuer = Issuer::new(authority()?, self.ca_key()?);
        let params = server(&names)?;
        let until = params.not_after.date().to_string();
        let key = KeyPair::generate().map_err(InitError::from)?;
        let certificate = params.signed_by(&key, &issuer).map_err(InitError::from)?;
        self.verify(certificate.der())?;
        secret_file::replace(&self.folder.join(SERVER_KEY), key.serialize_pem().as_bytes())?;
        secret_file::replace(&self.folder.join(SERVER_CERT), certificate.pem().as_bytes())?;
        Ok(Renewed { names, until })
    }

    /// The names of the certificate before, and those that were asked for.
    fn names(&self) -> Result<Vec<String>, RenewError> {
        let path = self.folder.join(SERVER_CERT);
        let before = first_of(&path)?;
        let before = tls::hosts_of(&before).ok_or(RenewError::Unreadable { path })?;
        let mut names = LOCAL_NAMES.map(str::to_owned).to_vec();
        for name in before.iter().chain(self.names.iter().map(|HostName(name)| name)) {
            if !names.contains(name) {
                names.push(name.clone());
            }
        }
        Ok(names)
    }

    fn ca_key(&self) -> Result<KeyPair, RenewError> {
        let path = self.folder.join(CA_KEY);
        let text = String::from_utf8_lossy(&secret_file::read(&path)?).into_owned();
        KeyPair::from_pem(&text).map_err(|_| RenewError::NoKey { path })
    }

    /// Looks at the certificate as a client does that trusts the CA's.
    fn verify(&self, certificate: &CertificateDer<'_>) -> Result<(), RenewError> {
        let path = self.folder.join(CA_CERT);
        let check = || {
            let mut roots = RootCertStore::empty();
            roots.add(first_of(&path)?)?;
            let provider = Arc::new(crypto::ring::default_provider());
            let verifier = WebPkiServerVerifier::builder_with_provider(Arc::new(roots), provider);
            let local = ServerName::try_from(LOCAL_NAMES[0])?;
            verifier.build()?.verify_server_cert(certificate, &[], &local, &[], UnixTime::now())?;
            Ok(())
        };
        check().map_err(|source| RenewError::Mismatch {
            key: self.folder.join(CA_KEY),
            path: path.clone(),
            source,
        })
    }
}

/// The first certificate of a file: a server's own, or a CA's only one.
fn first_of(path: &Path) -> Result<CertificateDer<'static>, TlsError> {
    let mut chain = tls::read_chain(path)?.into_iter();
    chain.next().ok_or_else(|| TlsError::NoCertificate { path: path.to_owned() })
}

/// Why there is no new certificate.
#[derive(Debug, Error)]
pub(crate) enum RenewError {
    /// A file cannot be read or written, or others can read it.
    #[error(transparent)]
    File(#[from] SecretFileError),
    /// A certificate cannot be read.
    #[error(transparent)]
    Tls(#[from] TlsError),
    /// A certificate's names cannot be read.
    #[error("the names in {} cannot be read", path.display())]
    Unreadable {
        /// The file.
        path: PathBuf,
    },
    /// The CA's key is none.
    #[error("{} holds no private key that `kvsd-server init` has made", path.display())]
    NoKey {
        /// The file.
        path: PathBuf,
    },
    /// What the key signs is not what clients trust.
    #[error(
        "a certificate signed with {} is not trusted by those who trust {}; nothing was changed",
        key.display(),
        path.display()
    )]
    Mismatch {
        /// The CA's key.
        key: PathBuf,
        /// The CA's certificate.
        path: PathBuf,
        /// What a client would say.
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// The certificate library refuses.
    #[error(transparent)]
    Make(#[from] InitError),
}

#[cfg(test)]
mod tests {
    use std::net::SocketAddr;

    use super::*;
    use crate::init::Init;
    use crate::users::UserName;

    fn made(folder: &Path) {
        let names = ["db.example", "10.0.0.1"];
        let init = Init {
            folder: folder.to_owned(),
            names: names.map(|name| HostName::parse(name).unwrap()).to_vec(),
            user: UserName::parse("app").unwrap(),
            listen: SocketAddr::from(([127, 0, 0, 1], 0)),
            cluster: None,
        };
        init.run().unwrap();
    }

    fn renew(folder: &Path, names: &[&str]) -> Result<Renewed, RenewError> {
        let names = names.iter().map(|name| HostName::parse(name).unwrap()).collect();
        Renew { folder: folder.to_owned(), names }.run()
    }

    #[test]
    fn the_new_certificate_is_for_the_old_names_and_the_new_ones() {
        let folder = tempfile::tempdir().unwrap();
        made(folder.path());
        let cert = folder.path().join(SERVER_CERT);
        let before = std::fs::read(&cert).unwrap();
        let renewed = renew(folder.path(), &["db2.example", "db.example"]).unwrap();
        let names = ["localhost", "127.0.0.1", "::1", "db.example", "10.0.0.1", "db2.example"];
        assert_eq!(renewed.names, names);
        assert_ne!(std::fs::read(&cert).unwrap(), before);
        assert_eq!(tls::hosts_of(&first_of(&cert).unwrap()).unwrap(), names);
        // And again, from what was renewed.
        assert_eq!(renew(folder.path(), &[]).unwrap().names, names);
    }

    #[test]
    fn a_ca_that_is_gone_or_another_ones_changes_nothing_and_is_named() {
        let (folder, other) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        made(folder.path());
        made(other.path());
        let files = [SERVER_CERT, SERVER_KEY].map(|file| folder.path().join(file));
        let before = files.each_ref().map(|file| std::fs::read(file).unwrap());
        let refused = |said: &str| {
            let error = renew(folder.path(), &[]).unwrap_err().to_string();
            assert!(error.contains(said), "{error}");
            assert_eq!(files.each_ref().map(|file| std::fs::read(file).unwrap()), before);
        };
        let key = folder.path().join(CA_KEY);
        std::fs::copy(other.path().join(CA_KEY), &key).unwrap();
        refused("is not trusted by those who trust");
        std::fs::write(&key, "no key").unwrap();
        refused("ca.key holds no private key");
        std::fs::remove_file(&key).unwrap();
        refused("cannot read");
    }
}
