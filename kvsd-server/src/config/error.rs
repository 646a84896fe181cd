//! Why a configuration is refused. Each message names the setting and says what to do.

use std::io;
use std::net::SocketAddr;
use std::path::PathBuf;

use thiserror::Error;

use super::EngineKind;
use crate::secret_file::SecretFileError;
use crate::tls::TlsError;
use crate::users::UsersError;

/// Why the server cannot start from what it was given. Always the operator's to mend: the same
/// configuration fails again.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum ConfigError {
    /// The configuration file cannot be read.
    #[error("cannot read the configuration {}", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// The configuration file is not TOML.
    #[error("the configuration {} is not valid TOML", path.display())]
    Syntax {
        /// The file.
        path: PathBuf,
        /// Where and why.
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// The configuration file has a key that no setting has.
    #[error("unknown key `{key}` in {}; the nearest valid key is `{nearest}`", path.display())]
    UnknownKey {
        /// The file.
        path: PathBuf,
        /// The key.
        key: String,
        /// The most similar valid key.
        nearest: &'static str,
    },
    /// A value that its setting cannot have.
    #[error("{origin}: `{text}` is not valid: {reason}")]
    Value {
        /// Where it was given: a flag, a variable, or a key and its file.
        origin: String,
        /// What was given.
        text: String,
        /// What is expected.
        reason: String,
    },
    /// The status page would leave this machine.
    #[error(
        "the status page on {listen} could be reached by other machines, and asks for no login: \
         take a loopback address, or say --status-public"
    )]
    StatusBeyondLoopback {
        /// The address.
        listen: SocketAddr,
    },
    /// A name for the status page that is none.
    #[error(
        "status_hosts: `{name}` is no name of a host: write names or addresses without a port, \
         separated by commas"
    )]
    StatusHost {
        /// The name.
        name: String,
    },
    /// A number out of its bounds.
    #[error("{key} must be between {least} and {most}, not {given}")]
    OutOfRange {
        /// The setting.
        key: &'static str,
        /// What was given.
        given: String,
        /// The smallest that is allowed.
        least: String,
        /// The largest that is allowed.
        most: String,
    },
    /// The folder for backups is where the tables are.
    #[error("{} is where the tables are; give --backups another folder", path.display())]
    BackupsAmongTables {
        /// The folder.
        path: PathBuf,
    },
    /// A setting of an engine that is not the one that is used.
    #[error("{origin} is for engine = \"{of}\", and here engine = \"{engine}\": {advice}")]
    OtherEngine {
        /// Where it was given: a flag, a variable, a key and its file, or the key alone.
        origin: String,
        /// The engine that it is for.
        of: EngineKind,
        /// The engine that is used.
        engine: EngineKind,
        /// What to do.
        advice: &'static str,
    },
    /// `engine = "etcd"` in a build without it.
    #[error("this kvsd-server was built without the etcd engine; build it with --features etcd")]
    BuiltWithoutEtcd,
    /// No members.
    #[error(
        "engine = \"etcd\" needs the cluster's members: give --etcd-endpoints, such as \
         http://127.0.0.1:2379, several of them separated by commas"
    )]
    NoEtcdEndpoints,
    /// What should be a member and is none.
    #[error("etcd_endpoints: `{endpoint}` is not valid: {reason}")]
    EtcdEndpoint {
        /// What was given.
        endpoint: String,
        /// What is expected.
        reason: &'static str,
    },
    /// A prefix that cannot be one.
    #[error(
        "etcd_prefix: `{prefix}` is not valid: write 1 to 64 letters, digits, `-`, `_` and `.`"
    )]
    EtcdPrefix {
        /// What was given.
        prefix: String,
    },
    /// One of two settings that only go together.
    #[error("{given} is given without {missing}; etcd needs both")]
    EtcdHalf {
        /// The flag that is there.
        given: &'static str,
        /// The flag that is not.
        missing: &'static str,
    },
    /// A file for TLS beside a member that is reached over plain TCP.
    #[error(
        "{given} is for TLS, but etcd_endpoints has {endpoint}; write https://, or drop {given}"
    )]
    EtcdPlain {
        /// The flag that is for TLS.
        given: &'static str,
        /// The member.
        endpoint: String,
    },
    /// A file that etcd is to be reached with is refused.
    #[error(transparent)]
    EtcdFile(#[from] SecretFileError),
    /// A file without the password in it.
    #[error("etcd_password_file: {} has not one line of UTF-8 with the password", path.display())]
    EtcdPassword {
        /// The file.
        path: PathBuf,
    },
    /// No user in etcd.
    #[error(
        "there is no user in etcd below the prefix {prefix} yet; add one for all servers of the \
         cluster with `kvsd-server user add NAME --grant 'write@*' --config FILE`, or, if there should \
         be some, see that etcd_prefix and etcd_endpoints are those of the other servers"
    )]
    NoUsersInEtcd {
        /// The prefix.
        prefix: String,
    },
    /// A users file beside the users in etcd.
    #[error(
        "with engine = \"etcd\" the users are in etcd, and the users file {} would be ignored: \
         drop `users`, and add them with `kvsd-server user add`",
        path.display()
    )]
    UsersInEtcd {
        /// The users file.
        path: PathBuf,
    },
    /// `dev` on an address that other machines reach.
    #[error(
        "--dev accepts any credentials, so it serves loopback addresses only, not {listen}; \
         listen on 127.0.0.1 or [::1], or drop --dev and configure TLS and users \
         (`kvsd-server init` does)"
    )]
    DevBeyondLoopback {
        /// The address.
        listen: SocketAddr,
    },
    /// `dev` beside a users file, which it would not look at.
    #[error(
        "--dev accepts any credentials and would ignore the users file {}; drop one of the two",
        path.display()
    )]
    DevWithUsers {
        /// The users file.
        path: PathBuf,
    },
    /// `insecure` on an address that other machines reach.
    #[error(
        "--insecure sends passwords and data in the clear, so it serves loopback addresses only, \
         not {listen}; listen on 127.0.0.1 or [::1], or give --tls-cert and --tls-key \
         (`kvsd-server init` makes them)"
    )]
    InsecureBeyondLoopback {
        /// The address.
        listen: SocketAddr,
    },
    /// `insecure` beside a certificate: one of them is a mistake.
    #[error("--insecure means plain TCP, but a certificate is configured too; drop one of the two")]
    InsecureWithTls,
    /// Neither TLS nor an explicit choice of plain TCP.
    #[error(
        "no TLS certificate is configured; run `kvsd-server init` for a folder with certificate, \
         user and configuration, or give --tls-cert and --tls-key; on a loopback address \
         --insecure serves plain TCP, and --dev accepts any credentials too"
    )]
    NoTls,
    /// A certificate without its key, or the reverse.
    #[error("{given} is given without {missing}; TLS needs both")]
    TlsHalf {
        /// The flag that is there.
        given: &'static str,
        /// The flag that is not.
        missing: &'static str,
    },
    /// CAs of clients without the choice to ask for certificates, or the reverse.
    #[error("{given} is given without {missing}; certificates of clients need both")]
    ClientAuthHalf {
        /// The flag that is there.
        given: &'static str,
        /// The flag that is not.
        missing: &'static str,
    },
    /// Certificates of clients over plain TCP.
    #[error("--tls-client-auth needs TLS; give --tls-cert and --tls-key")]
    ClientAuthWithoutTls,
    /// No users file.
    #[error(
        "no users are configured; give --users FILE, made with \
         `kvsd-server user add NAME --grant 'write@*' --users FILE`, or run `kvsd-server init`; \
         for development on this machine, --dev accepts any credentials"
    )]
    NoUsersFile,
    /// A users file without a user.
    #[error(
        "the users file {path} has no user; add one with \
         `kvsd-server user add NAME --grant 'write@*' --users {path}`",
        path = path.display()
    )]
    NoUsers {
        /// The file.
        path: PathBuf,
    },
    /// The certificate or its key is refused.
    #[error(transparent)]
    Tls(#[from] TlsError),
    /// The users file is refused.
    #[error(transparent)]
    Users(#[from] UsersError),
}
