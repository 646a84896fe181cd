//! Makes a folder that a server can start from: a CA, a certificate signed by it, a user and a
//! configuration that names them.
//!
//! ```text
//! DIR/kvsd.toml        the configuration; its paths start from DIR
//!     users            one user, 0600; with etcd there is none, users are there
//!     tls/server.pem   the server's certificate, 825 days
//!     tls/server.key   its key, 0600
//!     tls/ca.pem       the CA's certificate, 10 years: what clients trust
//!     tls/ca.key       the CA's key, 0600
//! ```
//!
//! The server never reads the CA's key. It stays in the folder because without it the next
//! certificate needs a new CA and every client a new `ca.pem`; an operator who wants it elsewhere
//! moves it. Nothing that exists is overwritten. Next file to read: `renew`.

mod renew;

use std::fs::DirBuilder;
use std::io;
use std::net::SocketAddr;
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use rcgen::{
    BasicConstraints, CertificateParams, CertifiedIssuer, DistinguishedName, DnType,
    ExtendedKeyUsagePurpose, IsCa, KeyPair, KeyUsagePurpose,
};
use thiserror::Error;
use tokio_rustls::rustls::pki_types::ServerName;

pub(crate) use self::renew::{Renew, Renewed};
use crate::config::{ConfigError, Layers, keys};
use crate::secret_file;
use crate::users::{
    Grants, HashError, Password, PasswordError, StoredHash, UserName, Users, UsersError,
};

/// What to make.
#[derive(Debug, Clone)]
pub(crate) struct Init {
    /// The folder; made with mode 0700 if there is none.
    pub(crate) folder: PathBuf,
    /// The names and addresses that clients will call the server by, beside those of this machine
    /// (`localhost`, `127.0.0.1`, `::1`).
    pub(crate) names: Vec<HostName>,
    /// The first user.
    pub(crate) user: UserName,
    /// The address that the configuration says to serve on.
    pub(crate) listen: SocketAddr,
    /// The cluster whose front end it is; none for a server that keeps its data in the folder.
    pub(crate) cluster: Option<Cluster>,
}

/// An etcd cluster, as the configuration names it.
#[derive(Debug, Clone)]
pub(crate) struct Cluster {
    /// The members, separated by commas.
    pub(crate) endpoints: String,
    /// What the keys begin with.
    pub(crate) prefix: String,
}

/// What was made.
#[derive(Debug)]
pub(crate) struct Made {
    /// The folder, absolute.
    pub(crate) folder: PathBuf,
    /// The first user's password, which is stored nowhere; none where the users are in a cluster.
    pub(crate) password: Option<Password>,
    /// The names that the certificate is for.
    pub(crate) names: Vec<String>,
    /// The day that the server's certificate ends, as `YYYY-MM-DD`.
    pub(crate) server_until: String,
    /// The day that the CA's certificate ends, as `YYYY-MM-DD`.
    pub(crate) ca_until: String,
}

impl Init {
    /// Makes the folder and its files. On an error, no file of it is left. Blocks.
    ///
    /// # Errors
    ///
    /// [`InitError::Exists`] if one of the files is there already; else what the system or the
    /// certificate library said.
    pub(crate) fn run(&self) -> Result<Made, InitError> {
        for file in FILES {
            let path = self.folder.join(file);
            if path.symlink_metadata().is_ok() {
                return Err(InitError::Exists { path });
            }
        }
        let certificates = Certificates::issue(&self.names)?;
        let first_user = match &self.cluster {
            None => Some(self.first_user()?),
            Some(cluster) => {
                cluster.check()?;
                None
            }
        };

        let tls = self.folder.join("tls");
        let make = |source| InitError::Create { path: tls.clone(), source };
        DirBuilder::new().recursive(true).mode(0o700).create(&tls).map_err(make)?;
        let folder = self.folder.canonicalize().map_err(make)?;
        let mut files = NewFiles { folder: &folder, made: Vec::new() };
        files.secret(CA_KEY, &certificates.ca_key)?;
        files.public(CA_CERT, &certificates.ca)?;
        files.secret(SERVER_KEY, &certificates.server_key)?;
        files.public(SERVER_CERT, &certificates.server)?;
        if let Some((users, _)) = &first_user {
            files.secret(USERS, &users.to_text())?;
        }
        files.public(CONFIG, &self.config())?;
        files.keep()?;
        Ok(Made {
            folder,
            password: first_user.map(|(_, password)| password),
            names: certificates.names,
            server_until: certificates.server_until,
            ca_until: certificates.ca_until,
        })
    }

    fn first_user(&self) -> Result<(Users, Password), InitError> {
        let password = Password::generate()?;
        let mut users = Users::default();
        users.add(self.user.clone(), StoredHash::of(&password)?, Grants::all())?;
        Ok((users, password))
    }

    fn config(&self) -> String {
        let store = match &self.cluster {
            None => format!("data_dir = \".\"\nusers = \"{USERS}\"\n"),
            Some(Cluster { endpoints, prefix }) => format!(
                "data_dir = \".\"\n\
                 \n\
                 # Users and data are in this cluster. For TLS to its members: etcd_ca, etcd_cert,\n\
                 # etcd_key; where it has access control: etcd_user, etcd_password_file.\n\
                 engine = \"etcd\"\n\
                 etcd_endpoints = \"{endpoints}\"\n\
                 etcd_prefix = \"{prefix}\"\n\
                 \n"
            ),
        };
        format!(
            "# The configuration of kvsd-server, made by `kvsd-server init`. Relative paths start\n\
             # from this file's folder; `kvsd-server --help` lists all settings.\n\
             \n\
             # For other machines, serve on 0.0.0.0 or [::]; the certificate must be for the name\n\
             # that they call this one by (`kvsd-server init --name`).\n\
             listen = \"{}\"\n\
             {store}\
             tls_cert = \"{SERVER_CERT}\"\n\
             tls_key = \"{SERVER_KEY}\"\n\
             \n\
             # The status page, /metrics, /healthz and /readyz, for this machine only.\n\
             status_listen = \"{STATUS_LISTEN}\"\n",
            self.listen
        )
    }
}

impl Cluster {
    /// Checks what a server would refuse: it could not start from what is made.
    fn check(&self) -> Result<(), InitError> {
        let mut layers = Layers::default();
        for (key, text) in
            [("engine", "etcd"), ("etcd_endpoints", &self.endpoints), ("etcd_prefix", &self.prefix)]
        {
            if let Some(setting) = keys::find(key) {
                layers.flag(setting, text.to_owned());
            }
        }
        layers.resolve()?.check_engine()?;
        Ok(())
    }
}

/// Where a server that was set up serves its status page.
const STATUS_LISTEN: &str = "127.0.0.1:7380";

/// A name or address that a certificate can be for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct HostName(String);

impl HostName {
    /// Checks a DNS name (one `*.` in front is allowed) or an IP address.
    ///
    /// # Errors
    ///
    /// [`InitError::BadName`] for anything else.
    pub(crate) fn parse(name: &str) -> Result<Self, InitError> {
        let host = name.strip_prefix("*.").unwrap_or(name);
        match ServerName::try_from(host) {
            Ok(ServerName::DnsName(_)) => Ok(Self(name.to_owned())),
            Ok(ServerName::IpAddress(_)) if host == name => Ok(Self(name.to_owned())),
            _ => Err(InitError::BadName { name: name.to_owned() }),
        }
    }
}

/// A CA and one certificate of it, in PEM.
struct Certificates {
    ca: String,
    ca_key: String,
    ca_until: String,
    server: String,
    server_key: String,
    server_until: String,
    names: Vec<String>,
}

impl Certificates {
    fn issue(more_names: &[HostName]) -> Result<Self, InitError> {
        let mut names = LOCAL_NAMES.map(str::to_owned).to_vec();
        for HostName(name) in more_names {
            if !names.contains(name) {
                names.push(name.clone());
            }
        }

        let ca = authority()?;
        let ca_until = ca.not_after.date().to_string();
        let ca = CertifiedIssuer::self_signed(ca, KeyPair::generate()?)?;

        let server = server(&names)?;
        let server_until = server.not_after.date().to_string();
        let server_key = KeyPair::generate()?;
        let server = server.signed_by(&server_key, &ca)?;

        Ok(Self {
            ca: ca.pem(),
            ca_key: ca.key().serialize_pem(),
            ca_until,
            server: server.pem(),
            server_key: server_key.serialize_pem(),
            server_until,
            names,
        })
    }
}

/// What the CA's certificate says.
fn authority() -> Result<CertificateParams, InitError> {
    let mut ca = valid_for("kvsd CA", CA_DAYS, &[])?;
    ca.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
    ca.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
    Ok(ca)
}

/// What the certificate of a server with these names says.
fn server(names: &[String]) -> Result<CertificateParams, InitError> {
    let mut server = valid_for("kvsd server", SERVER_DAYS, names)?;
    server.key_usages = vec![KeyUsagePurpose::DigitalSignature];
    server.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
    server.use_authority_key_identifier_extension = true;
    Ok(server)
}

/// A certificate that starts yesterday, for clocks that are behind, and lasts this long.
fn valid_for(subject: &str, days: u32, names: &[String]) -> Result<CertificateParams, InitError> {
    let mut params = CertificateParams::new(names)?;
    params.distinguished_name = DistinguishedName::new();
    params.distinguished_name.push(DnType::CommonName, subject);
    let now = SystemTime::UNIX_EPOCH.elapsed().map_err(|_| InitError::Clock)?;
    let now = rcgen::date_time_ymd(1970, 1, 1) + now;
    params.not_before = now - DAY;
    params.not_after = now + DAY * days;
    Ok(params)
}

/// Files that are removed again unless all of them could be written.
struct NewFiles<'a> {
    folder: &'a Path,
    made: Vec<PathBuf>,
}

impl NewFiles<'_> {
    fn secret(&mut self, name: &str, contents: &str) -> Result<(), InitError> {
        self.create(name, contents, 0o600)
    }

    fn public(&mut self, name: &str, contents: &str) -> Result<(), InitError> {
        self.create(name, contents, 0o644)
    }

    fn create(&mut self, name: &str, contents: &str, mode: u32) -> Result<(), InitError> {
        let path = self.folder.join(name);
        secret_file::create_with_mode(&path, contents.as_bytes(), mode)
            .map_err(|source| InitError::Create { path: path.clone(), source })?;
        self.made.push(path);
        Ok(())
    }

    fn keep(mut self) -> Result<(), InitError> {
        for folder in [self.folder.join("tls"), self.folder.to_owned()] {
            let sync = std::fs::File::open(&folder).and_then(|folder| folder.sync_all());
            sync.map_err(|source| InitError::Create { path: folder, source })?;
        }
        self.made.clear();
        Ok(())
    }
}

impl Drop for NewFiles<'_> {
    fn drop(&mut self) {
        for path in &self.made {
            // The error that brought us here is the one to tell.
            let _ = std::fs::remove_file(path);
        }
    }
}

/// Why a folder was not made.
#[derive(Debug, Error)]
pub(crate) enum InitError {
    /// One of the files is there already.
    #[error(
        "{} exists; nothing was changed (another --data-dir makes another server)",
        path.display()
    )]
    Exists {
        /// The file.
        path: PathBuf,
    },
    /// A folder or file cannot be made.
    #[error("cannot create {}", path.display())]
    Create {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// No certificate can be for this name.
    #[error("`{name}` is no DNS name and no IP address")]
    BadName {
        /// The name.
        name: String,
    },
    /// The system's clock makes no sense.
    #[error("the system's clock is before 1970")]
    Clock,
    /// The certificate library refuses.
    #[error("cannot make the certificates")]
    Certificate(#[source] Box<dyn std::error::Error + Send + Sync>),
    /// No password can be made.
    #[error(transparent)]
    Password(#[from] PasswordError),
    /// The password cannot be hashed.
    #[error(transparent)]
    Hash(#[from] HashError),
    /// The user cannot be added.
    #[error(transparent)]
    Users(#[from] UsersError),
    /// No server starts with this cluster.
    #[error(transparent)]
    Config(#[from] ConfigError),
}

impl From<rcgen::Error> for InitError {
    fn from(error: rcgen::Error) -> Self {
        Self::Certificate(Box::new(error))
    }
}

/// The configuration's place in the folder.
pub(crate) const CONFIG: &str = "kvsd.toml";
/// The users' place in the folder.
pub(crate) const USERS: &str = "users";
/// The CA certificate's place in the folder.
pub(crate) const CA_CERT: &str = "tls/ca.pem";
/// The CA key's place in the folder.
pub(crate) const CA_KEY: &str = "tls/ca.key";
/// The server certificate's place in the folder.
pub(crate) const SERVER_CERT: &str = "tls/server.pem";
/// The server key's place in the folder.
pub(crate) const SERVER_KEY: &str = "tls/server.key";
/// How long the CA's certificate lasts, in days: ten years.
pub(crate) const CA_DAYS: u32 = 3652;
/// How long the server's certificate lasts, in days: the longest that common TLS clients accept.
pub(crate) const SERVER_DAYS: u32 = 825;

const FILES: [&str; 6] = [CONFIG, USERS, CA_CERT, CA_KEY, SERVER_CERT, SERVER_KEY];
const LOCAL_NAMES: [&str; 3] = ["localhost", "127.0.0.1", "::1"];
const DAY: Duration = Duration::from_secs(24 * 60 * 60);

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;
    use crate::users::{HashMemory, User};

    fn init(folder: &Path) -> Init {
        Init {
            folder: folder.to_owned(),
            names: vec![HostName::parse("db.example").unwrap()],
            user: UserName::parse("app").unwrap(),
            listen: SocketAddr::from(([127, 0, 0, 1], 0)),
            cluster: None,
        }
    }

    #[cfg(feature = "etcd")]
    #[test]
    fn a_front_end_of_a_cluster_has_certificates_and_no_users_of_its_own() {
        let folder = tempfile::tempdir().unwrap();
        let cluster = |endpoints: &str| {
            let (endpoints, prefix) = (endpoints.to_owned(), "shop".to_owned());
            Some(Cluster { endpoints, prefix })
        };
        let bad = Init { cluster: cluster("etcd-1"), ..init(folder.path()) }.run().unwrap_err();
        assert!(bad.to_string().contains("etcd_endpoints: `etcd-1`"), "{bad}");
        assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 0);

        let good = Init { cluster: cluster("http://a:2379,b:2379"), ..init(folder.path()) };
        assert!(good.run().unwrap().password.is_none());
        assert!(!folder.path().join(USERS).exists());
        let mut layers = Layers::default();
        layers.file(&folder.path().join(CONFIG)).unwrap();
        let settings = layers.resolve().unwrap().check().unwrap();
        let etcd = settings.etcd.unwrap();
        assert_eq!(etcd.endpoints, ["http://a:2379", "http://b:2379"]);
        assert_eq!(etcd.prefix, "shop");
    }

    fn mode(path: &Path) -> u32 {
        std::fs::metadata(path).unwrap().permissions().mode() & 0o7777
    }

    #[test]
    fn a_server_can_start_from_what_was_made() {
        let parent = tempfile::tempdir().unwrap();
        let folder = parent.path().join("a/b");
        let made = init(&folder).run().unwrap();
        assert_eq!(made.names, ["localhost", "127.0.0.1", "::1", "db.example"]);

        let mut layers = Layers::default();
        layers.file(&folder.join(CONFIG)).unwrap();
        layers.resolve().unwrap().check().unwrap();
        let users = Users::load(&folder.join(USERS)).unwrap();
        let User { name, hash, grants } = users.iter().next().unwrap();
        assert_eq!(*grants, Grants::all());
        assert_eq!(name.as_str(), "app");
        assert!(hash.matches(&made.password.unwrap(), &mut HashMemory::default()));
    }

    #[test]
    fn only_the_owner_reaches_the_secrets() {
        let parent = tempfile::tempdir().unwrap();
        let folder = parent.path().join("data");
        init(&folder).run().unwrap();
        assert_eq!(mode(&folder), 0o700);
        for secret in [USERS, CA_KEY, SERVER_KEY] {
            assert_eq!(mode(&folder.join(secret)), 0o600, "{secret}");
        }
    }

    #[test]
    fn nothing_is_overwritten_and_a_failure_leaves_nothing() {
        for file in FILES {
            let folder = tempfile::tempdir().unwrap();
            let path = folder.path().join(file);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(&path, "mine").unwrap();
            let error = init(folder.path()).run().unwrap_err();
            assert!(matches!(error, InitError::Exists { .. }), "{file}: {error}");
            assert_eq!(std::fs::read_to_string(&path).unwrap(), "mine");
            let others = FILES.iter().filter(|other| **other != file);
            assert!(others.into_iter().all(|other| !folder.path().join(other).exists()));
        }
    }

    #[test]
    fn a_write_that_fails_midway_takes_back_the_rest() {
        let folder = tempfile::tempdir().unwrap();
        std::fs::create_dir(folder.path().join("tls")).unwrap();
        let mut files = NewFiles { folder: folder.path(), made: Vec::new() };
        files.secret(CA_KEY, "one").unwrap();
        assert!(files.public("absent/file", "two").is_err());
        drop(files);
        assert!(!folder.path().join(CA_KEY).exists());
    }

    #[test]
    fn names_that_no_certificate_can_carry_are_refused() {
        for name in ["db.example", "*.db.example", "10.0.0.1", "2001:db8::1", "a-b"] {
            assert!(HostName::parse(name).is_ok(), "{name}");
        }
        for name in ["", "*", "*.", "*.10.0.0.1", "a b", "a:7379", "https://a", "[::1]", "a/b"] {
            assert!(HostName::parse(name).is_err(), "{name}");
        }
    }
}
