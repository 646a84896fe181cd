//! The table of settings: the one place that says which there are.
//!
//! From it come the keys of the configuration file, the variables of the environment, the flags of
//! the command line with their help, and the names that a mistyped key is compared with. A new
//! setting is one entry here, one field of [`Config`] and one line in its check. No setting may be
//! called `port`: an orchestrator that runs a service named `kvsd-server` sets
//! `KVSD_SERVER_PORT` to something else. Next file to read: [`super::Layers`].

use std::path::Path;
use std::time::Duration;

use super::{ClientAuth, Config, EngineKind, LogFormat, MinVersion, SyncMode};
use crate::units;

/// One setting.
#[derive(Debug)]
pub struct Setting {
    /// Its key in the configuration file, such as `max_connections`.
    pub key: &'static str,
    /// The heading that it stands under in the help.
    pub group: &'static str,
    /// What stands for its value in the help; `None` for a switch.
    pub value: Option<&'static str>,
    /// Its default as text; `None` if it is unset.
    pub default: Option<&'static str>,
    /// When another value in the configuration file acts.
    pub reload: Reload,
    /// What it does, with unit and bounds.
    pub help: &'static str,
    /// Puts a value into a configuration, or says what is expected.
    pub(super) apply: fn(&mut Config, Text<'_>) -> Result<(), String>,
}

/// When a setting that was changed in the configuration file acts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reload {
    /// Once the file is read again: on SIGHUP, or when an administrator asks for it.
    Now,
    /// When the server is started again.
    Restart,
}

impl Setting {
    /// The flag of the command line, without its dashes: `max-connections`.
    #[must_use]
    pub fn flag(&self) -> String {
        self.key.replace('_', "-")
    }

    /// Whether its value is a list, which in the file may be an array.
    pub(super) fn is_list(&self) -> bool {
        matches!(self.value, Some("URLS" | "NAMES"))
    }

    /// The engine that it is for; `None` for one that means something whatever the engine is.
    #[must_use]
    pub fn engine(&self) -> Option<EngineKind> {
        match self.group {
            LOG_ENGINE => Some(EngineKind::Log),
            ETCD_ENGINE => Some(EngineKind::Etcd),
            _ => None,
        }
    }

    /// The variable of the environment: `KVSD_SERVER_MAX_CONNECTIONS`.
    #[must_use]
    pub fn variable(&self) -> String {
        format!("{VARIABLE_PREFIX}{}", self.key.to_ascii_uppercase())
    }
}

/// The setting with this key.
#[must_use]
pub fn find(key: &str) -> Option<&'static Setting> {
    SETTINGS.iter().find(|setting| setting.key == key)
}

/// The setting whose key is most like this text, and how many letters differ.
#[must_use]
pub fn nearest(text: &str) -> (&'static Setting, usize) {
    let text = text.to_ascii_lowercase().replace('-', "_");
    let [first, rest @ ..] = SETTINGS;
    let mut best = (first, distance(&text, first.key));
    for setting in rest {
        let letters = distance(&text, setting.key);
        if letters < best.1 {
            best = (setting, letters);
        }
    }
    best
}

/// How many letters must be put in, taken out or changed to make one text of the other.
fn distance(from: &str, to: &str) -> usize {
    let to: Vec<char> = to.chars().collect();
    let mut row: Vec<usize> = (0..=to.len()).collect();
    for (done, letter) in from.chars().enumerate() {
        let mut diagonal = done;
        let mut left = done + 1;
        for (cell, other) in row.iter_mut().skip(1).zip(&to) {
            let changed = diagonal + usize::from(letter != *other);
            diagonal = *cell;
            *cell = changed.min(left + 1).min(diagonal + 1);
            left = *cell;
        }
        row[0] = done + 1;
    }
    row.last().copied().unwrap_or_default()
}

/// A value as text, and the folder that a relative path in it starts from.
#[derive(Debug, Clone, Copy)]
pub(super) struct Text<'a> {
    pub(super) text: &'a str,
    pub(super) base: &'a Path,
}

/// What every variable of the environment starts with.
pub const VARIABLE_PREFIX: &str = "KVSD_SERVER_";

/// All settings, in the order of the help.
pub const SETTINGS: &[Setting; 47] = &[
    Setting {
        key: "listen",
        group: NETWORK,
        value: Some("ADDR:PORT"),
        default: Some("127.0.0.1:7379"),
        reload: Reload::Restart,
        help: "Serve on this IP address and port; port 0 takes a free one",
        apply: |config, given| {
            config.listen = given.text.parse().map_err(|_| {
                "write an IP address and a port, for example 127.0.0.1:7379 or [::1]:7379"
                    .to_owned()
            })?;
            Ok(())
        },
    },
    Setting {
        key: "max_connections",
        group: NETWORK,
        value: Some("COUNT"),
        default: Some("1024"),
        reload: Reload::Restart,
        help: "Serve this many connections at once, 1 to 1000000; further ones wait",
        apply: |config, given| {
            config.max_connections = units::count(given.text)?;
            Ok(())
        },
    },
    Setting {
        key: "max_connections_per_address",
        group: NETWORK,
        value: Some("COUNT"),
        default: Some("512"),
        reload: Reload::Now,
        help: "Serve this many connections of one address, 1 to 1000000 (IPv6: of one /64); further \
               ones are closed",
        apply: |config, given| {
            config.max_connections_per_address = units::count(given.text)?;
            Ok(())
        },
    },
    Setting {
        key: "max_unauthenticated",
        group: NETWORK,
        value: Some("COUNT"),
        default: Some("256"),
        reload: Reload::Now,
        help: "Keep this many connections that have not authenticated, 1 to 1000000; with one more, \
               the one that has been silent longest is closed",
        apply: |config, given| {
            config.max_unauthenticated = units::count(given.text)?;
            Ok(())
        },
    },
    Setting {
        key: "handshake_timeout",
        group: NETWORK,
        value: Some("DURATION"),
        default: Some("10s"),
        reload: Reload::Now,
        help: "Close a connection that has not authenticated after this time, 100ms to 10m",
        apply: |config, given| {
            config.handshake_timeout = units::duration(given.text)?;
            Ok(())
        },
    },
    Setting {
        key: "idle_timeout",
        group: NETWORK,
        value: Some("DURATION"),
        default: Some("10m"),
        reload: Reload::Now,
        help: "Close a connection that has been silent for this time, 100ms to 365d; 0s for never",
        apply: |config, given| {
            config.idle_timeout = units::duration(given.text)?;
            Ok(())
        },
    },
    Setting {
        key: "max_in_flight",
        group: NETWORK,
        value: Some("COUNT"),
        default: Some("4096"),
        reload: Reload::Now,
        help: "Carry out this many requests of one connection at a time, 1 to 65536; further ones \
               wait",
        apply: |config, given| {
            config.max_in_flight = units::count(given.text)?;
            Ok(())
        },
    },
    Setting {
        key: "max_output_bytes",
        group: NETWORK,
        value: Some("SIZE"),
        default: Some("32MiB"),
        reload: Reload::Now,
        help: "Read nothing more from a client that has this much of its answers to read, or 1MiB of \
               those that go whole; 64KiB to 1GiB",
        apply: |config, given| {
            config.max_output_bytes = units::size(given.text)?;
            Ok(())
        },
    },
    Setting {
        key: "max_output_bytes_hard",
        group: NETWORK,
        value: Some("SIZE"),
        default: Some("256MiB"),
        reload: Reload::Now,
        help: "Close the connection of a client that has this much of its answers to read; at most \
               4GiB, at least --max-output-bytes and the largest answer",
        apply: |config, given| {
            config.max_output_bytes_hard = units::size(given.text)?;
            Ok(())
        },
    },
    Setting {
        key: "connection_memory",
        group: NETWORK,
        value: Some("SIZE"),
        default: None,
        reload: Reload::Now,
        help: "Let all connections together hold this much for requests and answers, up to 1024GiB: \
               from seven eighths of it on requests are refused, beyond it the connections that hold \
               most are closed [default: an eighth of what the machine has, 64MiB to 4GiB]",
        apply: |config, given| {
            config.connection_memory = Some(units::size(given.text)?);
            Ok(())
        },
    },
    Setting {
        key: "shutdown_timeout",
        group: NETWORK,
        value: Some("DURATION"),
        default: Some("10s"),
        reload: Reload::Now,
        help: "When told to stop, let sessions finish for at most this time, 0s to 1h",
        apply: |config, given| {
            config.shutdown_timeout = units::duration(given.text)?;
            Ok(())
        },
    },
    Setting {
        key: "tls_cert",
        group: SECURITY,
        value: Some("FILE"),
        default: None,
        reload: Reload::Now,
        help: "Serve TLS with this certificate chain (PEM, the server's own first)",
        apply: |config, given| {
            config.tls_cert = Some(given.base.join(given.text));
            Ok(())
        },
    },
    Setting {
        key: "tls_key",
        group: SECURITY,
        value: Some("FILE"),
        default: None,
        reload: Reload::Now,
        help: "The certificate's private key (PEM, mode 0600)",
        apply: |config, given| {
            config.tls_key = Some(given.base.join(given.text));
            Ok(())
        },
    },
    Setting {
        key: "tls_min_version",
        group: SECURITY,
        value: Some("VERSION"),
        default: Some("1.3"),
        reload: Reload::Now,
        help: "The oldest version of TLS that is spoken, 1.2 or 1.3",
        apply: |config, given| {
            config.tls_min_version = match given.text {
                "1.2" => MinVersion::Tls12,
                "1.3" => MinVersion::Tls13,
                _ => return Err("write 1.2 or 1.3".to_owned()),
            };
            Ok(())
        },
    },
    Setting {
        key: "tls_client_ca",
        group: SECURITY,
        value: Some("FILE"),
        default: None,
        reload: Reload::Now,
        help: "With --tls-client-auth, the CAs that vouch for clients (PEM)",
        apply: |config, given| {
            config.tls_client_ca = Some(given.base.join(given.text));
            Ok(())
        },
    },
    Setting {
        key: "tls_client_auth",
        group: SECURITY,
        value: Some("WHEN"),
        default: Some("none"),
        reload: Reload::Now,
        help: "Ask clients for a certificate: none, optional or required; the user whom it names, \
               by its only DNS name or else its common name, needs no password",
        apply: |config, given| {
            config.tls_client_auth = match given.text {
                "none" => ClientAuth::None,
                "optional" => ClientAuth::Optional,
                "required" => ClientAuth::Required,
                _ => return Err("write none, optional or required".to_owned()),
            };
            Ok(())
        },
    },
    Setting {
        key: "users",
        group: SECURITY,
        value: Some("FILE"),
        default: None,
        reload: Reload::Now,
        help: "The users who may log in (mode 0600; see `kvsd-server user`)",
        apply: |config, given| {
            config.users = Some(given.base.join(given.text));
            Ok(())
        },
    },
    Setting {
        key: "insecure",
        group: SECURITY,
        value: None,
        default: Some("false"),
        reload: Reload::Restart,
        help: "Serve plain TCP; on a loopback address only",
        apply: |config, given| {
            config.insecure = units::switch(given.text)?;
            Ok(())
        },
    },
    Setting {
        key: "dev",
        group: SECURITY,
        value: None,
        default: Some("false"),
        reload: Reload::Restart,
        help: "For development: accept any credentials, over plain TCP unless a certificate is \
               given; on a loopback address only",
        apply: |config, given| {
            config.dev = units::switch(given.text)?;
            Ok(())
        },
    },
    Setting {
        key: "engine",
        group: STORAGE,
        value: Some("ENGINE"),
        default: Some("log"),
        reload: Reload::Restart,
        help: "Keep the data in the data folder (log), or in an etcd cluster, with any number of \
               servers in front of it (etcd)",
        apply: |config, given| {
            config.engine = match given.text {
                "log" => EngineKind::Log,
                "etcd" => EngineKind::Etcd,
                _ => return Err("write log or etcd".to_owned()),
            };
            Ok(())
        },
    },
    Setting {
        key: "data_dir",
        group: STORAGE,
        value: Some("DIR"),
        default: Some("./kvsd-data"),
        reload: Reload::Restart,
        help: "Keep the data in this folder; with --engine etcd there is only the administrators' \
               socket in it",
        apply: |config, given| {
            config.data_dir = given.base.join(given.text);
            Ok(())
        },
    },
    Setting {
        key: "max_value_bytes",
        group: STORAGE,
        value: Some("SIZE"),
        default: None,
        reload: Reload::Restart,
        help: "Refuse larger values; 1KiB to 64MiB, with --engine etcd to 1MiB [default: 10MiB, with \
               --engine etcd 1MiB]",
        apply: |config, given| {
            config.max_value_bytes = Some(units::size(given.text)?);
            Ok(())
        },
    },
    Setting {
        key: "max_tables",
        group: STORAGE,
        value: Some("COUNT"),
        default: Some("1024"),
        reload: Reload::Restart,
        help: "Refuse to create more tables than this, 1 to 65536",
        apply: |config, given| {
            config.max_tables = units::count(given.text)?;
            Ok(())
        },
    },
    Setting {
        key: "backups",
        group: LOG_ENGINE,
        value: Some("DIR"),
        default: None,
        reload: Reload::Restart,
        help: "Let `kvsd admin backup` put backups into this folder; on the data folder's file \
               system they share files with it",
        apply: |config, given| {
            config.backups = Some(given.base.join(given.text));
            Ok(())
        },
    },
    Setting {
        key: "sync",
        group: LOG_ENGINE,
        value: Some("WHEN"),
        default: Some("always"),
        reload: Reload::Restart,
        help: "Acknowledge a write once it is on disk (always), or once it is written, the disk \
               following within --sync-interval (interval) or when the system likes (never)",
        apply: |config, given| {
            config.sync = sync_mode(given.text)?;
            Ok(())
        },
    },
    Setting {
        key: "sync_interval",
        group: LOG_ENGINE,
        value: Some("DURATION"),
        default: Some("1s"),
        reload: Reload::Restart,
        help: "With --sync interval, sync this often, 1ms to 1m",
        apply: |config, given| {
            config.sync_interval = units::duration(given.text)?;
            Ok(())
        },
    },
    Setting {
        key: "min_free_disk",
        group: LOG_ENGINE,
        value: Some("SIZE"),
        default: Some("256MiB"),
        reload: Reload::Now,
        help: "Refuse writes, deletes excepted, while less than this is free on the data's file \
               system; 0 to 1024GiB",
        apply: |config, given| {
            config.min_free_disk = units::size(given.text)? as u64;
            Ok(())
        },
    },
    Setting {
        key: "cache_bytes",
        group: LOG_ENGINE,
        value: Some("SIZE"),
        default: None,
        reload: Reload::Restart,
        help: "Keep records of up to 8KiB that were read or replaced last in this much memory, 0 to \
               1024GiB [default: a sixteenth of what the machine has, 32MiB to 1GiB]",
        apply: |config, given| {
            config.cache_bytes = Some(units::size(given.text)?);
            Ok(())
        },
    },
    Setting {
        key: "history_bytes",
        group: LOG_ENGINE,
        value: Some("SIZE"),
        default: Some("64MiB"),
        reload: Reload::Restart,
        help: "Keep this much of each table's latest changes for watches, 0 to 1024GiB",
        apply: |config, given| {
            config.history_bytes = units::size(given.text)? as u64;
            Ok(())
        },
    },
    Setting {
        key: "history_time",
        group: LOG_ENGINE,
        value: Some("DURATION"),
        default: Some("10m"),
        reload: Reload::Restart,
        help: "Of these changes keep those of this time, 0s to 365d",
        apply: |config, given| {
            config.history_time = units::duration(given.text)?;
            Ok(())
        },
    },
    Setting {
        key: "etcd_endpoints",
        group: ETCD_ENGINE,
        value: Some("URLS"),
        default: None,
        reload: Reload::Restart,
        help: "The members of the cluster, separated by commas: http://HOST:PORT, https://HOST:PORT, or \
               HOST:PORT, which is https with --etcd-ca or --etcd-cert; 1 to 64. Members that are \
               not named are never asked",
        apply: |config, given| {
            let endpoints = given.text.split(',').map(str::trim);
            config.etcd_endpoints = endpoints.map(str::to_owned).collect();
            Ok(())
        },
    },
    Setting {
        key: "etcd_prefix",
        group: ETCD_ENGINE,
        value: Some("NAME"),
        default: Some("kvsd"),
        reload: Reload::Restart,
        help: "Keep everything below this prefix, 1 to 64 letters, digits, `-`, `_` and `.`; servers with \
               another prefix on the same cluster are another store",
        apply: |config, given| {
            given.text.clone_into(&mut config.etcd_prefix);
            Ok(())
        },
    },
    Setting {
        key: "etcd_ca",
        group: ETCD_ENGINE,
        value: Some("FILE"),
        default: None,
        reload: Reload::Restart,
        help: "The CAs that vouch for the members of the cluster (PEM)",
        apply: |config, given| {
            config.etcd_ca = Some(given.base.join(given.text));
            Ok(())
        },
    },
    Setting {
        key: "etcd_cert",
        group: ETCD_ENGINE,
        value: Some("FILE"),
        default: None,
        reload: Reload::Restart,
        help: "Show the members this certificate (PEM)",
        apply: |config, given| {
            config.etcd_cert = Some(given.base.join(given.text));
            Ok(())
        },
    },
    Setting {
        key: "etcd_key",
        group: ETCD_ENGINE,
        value: Some("FILE"),
        default: None,
        reload: Reload::Restart,
        help: "The private key of --etcd-cert (PEM, mode 0600)",
        apply: |config, given| {
            config.etcd_key = Some(given.base.join(given.text));
            Ok(())
        },
    },
    Setting {
        key: "etcd_user",
        group: ETCD_ENGINE,
        value: Some("NAME"),
        default: None,
        reload: Reload::Restart,
        help: "Log in to etcd as this user, where its access control is on",
        apply: |config, given| {
            config.etcd_user = Some(given.text.to_owned());
            Ok(())
        },
    },
    Setting {
        key: "etcd_password_file",
        group: ETCD_ENGINE,
        value: Some("FILE"),
        default: None,
        reload: Reload::Restart,
        help: "The file with the password of --etcd-user, in one line (mode 0600)",
        apply: |config, given| {
            config.etcd_password_file = Some(given.base.join(given.text));
            Ok(())
        },
    },
    Setting {
        key: "etcd_timeout",
        group: ETCD_ENGINE,
        value: Some("DURATION"),
        default: Some("5s"),
        reload: Reload::Restart,
        help: "Answer within this time, whatever the cluster does; 100ms to 1m. A write that etcd has not \
               answered by then has an unknown outcome",
        apply: |config, given| {
            config.etcd_timeout = units::duration(given.text)?;
            Ok(())
        },
    },
    Setting {
        key: "etcd_history",
        group: ETCD_ENGINE,
        value: Some("DURATION"),
        default: Some("1h"),
        reload: Reload::Restart,
        help: "Keep the past of the whole cluster for this time, for watches and scans, 1s to 365d; 0 \
               leaves that to the cluster's own settings",
        apply: |config, given| {
            config.etcd_history = history(given.text)?;
            Ok(())
        },
    },
    Setting {
        key: "status_listen",
        group: STATUS,
        value: Some("ADDR:PORT"),
        default: None,
        help: "Serve the status page, /metrics, /healthz and /readyz over plain HTTP on this IP \
               address and port; without a login, so on a loopback address unless --status-public \
               is given",
        reload: Reload::Restart,
        apply: |config, given| {
            let address = given.text.parse().map_err(|_| {
                "write an IP address and a port, for example 127.0.0.1:7380".to_owned()
            })?;
            config.status_listen = Some(address);
            Ok(())
        },
    },
    Setting {
        key: "status_public",
        group: STATUS,
        value: None,
        default: Some("false"),
        help: "Let other machines reach the status page: whoever does sees tables, users and peers",
        reload: Reload::Restart,
        apply: |config, given| {
            config.status_public = units::switch(given.text)?;
            Ok(())
        },
    },
    Setting {
        key: "status_hosts",
        group: STATUS,
        value: Some("NAMES"),
        default: None,
        help: "Names that the status page is asked for by, separated by commas, beside localhost \
               and the addresses of this machine",
        reload: Reload::Restart,
        apply: |config, given| {
            let names = given.text.split(',').map(str::trim);
            config.status_hosts = names.map(str::to_owned).collect();
            Ok(())
        },
    },
    Setting {
        key: "metrics",
        group: STATUS,
        value: Some("SWITCH"),
        default: Some("on"),
        help: "Count and time what clients do, on or off; off leaves the slow log empty, too",
        reload: Reload::Restart,
        apply: |config, given| {
            config.metrics = match given.text {
                "on" => true,
                "off" => false,
                _ => return Err("write on or off".to_owned()),
            };
            Ok(())
        },
    },
    Setting {
        key: "slow_request",
        group: STATUS,
        value: Some("DURATION"),
        default: Some("100ms"),
        help: "Log requests that take as long as this or longer, up to 1h; 0s logs none",
        reload: Reload::Restart,
        apply: |config, given| {
            config.slow_request = units::duration(given.text)?;
            Ok(())
        },
    },
    Setting {
        key: "log",
        group: LOG,
        value: Some("FILTER"),
        default: Some("info"),
        reload: Reload::Now,
        help: "Log to standard error: error, warn, info, debug, trace or off, also per module \
               (info,kvsd_server::session=debug)",
        apply: |config, given| {
            given.text.clone_into(&mut config.log);
            Ok(())
        },
    },
    Setting {
        key: "log_format",
        group: LOG,
        value: Some("FORMAT"),
        default: Some("text"),
        reload: Reload::Restart,
        help: "Write the log as lines of text or as JSON, one object a line: text or json",
        apply: |config, given| {
            config.log_format = match given.text {
                "text" => LogFormat::Text,
                "json" => LogFormat::Json,
                _ => return Err("write text or json".to_owned()),
            };
            Ok(())
        },
    },
    Setting {
        key: "audit_log",
        group: LOG,
        value: Some("FILE"),
        default: None,
        reload: Reload::Now,
        help: "Append logins, refusals and what administrators do to this file, one JSON object a \
               line; made with mode 0600, opened again on SIGHUP",
        apply: |config, given| {
            config.audit_log = Some(given.base.join(given.text));
            Ok(())
        },
    },
];

fn sync_mode(text: &str) -> Result<SyncMode, String> {
    match text {
        "always" => Ok(SyncMode::Always),
        "interval" => Ok(SyncMode::Interval),
        "never" => Ok(SyncMode::Never),
        _ => Err("write always, interval or never".to_owned()),
    }
}

fn history(text: &str) -> Result<Duration, String> {
    // As for any time, with a unit; but that of no time at all is none.
    if text == "0" { Ok(Duration::ZERO) } else { units::duration(text) }
}

const NETWORK: &str = "Network";
const SECURITY: &str = "Security";
const STORAGE: &str = "Storage";
const LOG_ENGINE: &str = "The log engine";
const ETCD_ENGINE: &str = "The etcd engine";
const STATUS: &str = "Status and metrics";
const LOG: &str = "Log";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_documented_defaults_are_the_defaults() {
        let base = Path::new("");
        let mut config = Config::default();
        for setting in SETTINGS {
            if let Some(text) = setting.default {
                (setting.apply)(&mut config, Text { text, base }).unwrap();
            }
        }
        assert_eq!(config, Config::default());
    }

    #[test]
    fn the_nearest_key_is_the_one_with_the_fewest_changes() {
        for (typed, meant, letters) in [
            ("max_conections", "max_connections", 1),
            ("max-connections", "max_connections", 0),
            ("datadir", "data_dir", 1),
            ("TLS_CRT", "tls_cert", 1),
            ("", "dev", 3),
        ] {
            let (setting, distance) = nearest(typed);
            assert_eq!((setting.key, distance), (meant, letters), "{typed}");
        }
    }

    #[test]
    fn no_setting_is_called_port() {
        assert!(find("port").is_none());
    }
}
