//! Which server is meant, who asks, and whom to trust: flags over environment over default.
//!
//! Knows names and their order; connects to nothing. What a URL can say, and what is wrong with it,
//! is the SDK's to tell. Next file to read: `command`.

use std::ffi::OsString;
use std::net::IpAddr;
use std::path::PathBuf;

use kvsd::{Client, ClientBuilder, TableName};

use super::args::ServerFlags;
use super::failure::Failure;

/// What flags and environment say, in order.
#[derive(PartialEq, Eq)]
#[cfg_attr(test, derive(Debug))]
pub(super) struct Target {
    source: Source,
    url: String,
    /// Takes the place of the URL's CA.
    ca: Option<PathBuf>,
    /// Counts where the URL names no CA.
    default_ca: Option<PathBuf>,
    user: Option<String>,
    password: Option<String>,
}

/// Where the address was found.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Source {
    Flag,
    UrlVariable,
    HostVariable,
    Default,
}

impl Target {
    /// Takes each setting from the first place that has it. A variable that is empty is not there.
    ///
    /// # Errors
    ///
    /// A variable is not UTF-8, or KVSD_HOST holds more than a host and a port.
    pub(super) fn resolve(
        flags: &ServerFlags,
        variable: impl Fn(&str) -> Option<OsString>,
    ) -> Result<Self, Failure> {
        let variable = |name| variable(name).filter(|value| !value.is_empty());
        let text = |name: &'static str| {
            let refuse = |_| Failure::wrong_usage(format!("{name} is not UTF-8"));
            variable(name).map(|value| value.into_string().map_err(refuse)).transpose()
        };
        let mut default_ca = variable("KVSD_TLS_CA").map(PathBuf::from);
        let has_ca = flags.ca.is_some() || default_ca.is_some();
        let (source, url) = if let Some(url) = &flags.url {
            (Source::Flag, url.clone())
        } else if let Some(url) = text("KVSD_URL")? {
            (Source::UrlVariable, url)
        } else if let Some(host) = text("KVSD_HOST")? {
            (Source::HostVariable, host_url(&host, has_ca)?)
        } else {
            (Source::Default, host_url(LOCAL_HOST, has_ca)?)
        };
        if source == Source::Flag && !url.starts_with("kvsds:") {
            // Plain TCP was asked for on the spot; the variable is about servers in general.
            default_ca = None;
        }
        Ok(Self {
            source,
            url,
            ca: flags.ca.clone(),
            default_ca,
            user: text("KVSD_USERNAME")?,
            password: text("KVSD_PASSWORD")?,
        })
    }

    /// What to say if nothing is there.
    pub(super) fn hint(&self) -> Option<&'static str> {
        match self.source {
            Source::Default => Some(NO_ADDRESS),
            Source::Flag | Source::UrlVariable | Source::HostVariable => None,
        }
    }

    /// The host and the port, as they were given. Means something only if [`Target::builder`] takes
    /// the URL.
    pub(super) fn address(&self) -> String {
        let behind = self.url.split_once("://").map_or("", |(_, behind)| behind);
        let authority = behind.split(['/', '?']).next().unwrap_or_default();
        authority.rsplit('@').next().unwrap_or_default().to_owned()
    }

    /// The client's settings.
    ///
    /// # Errors
    ///
    /// The URL is malformed; says where it came from and never shows it.
    pub(super) fn builder(self, table: Option<TableName>) -> Result<ClientBuilder, Failure> {
        let place = match self.source {
            Source::Flag => "--url",
            Source::UrlVariable => "KVSD_URL",
            Source::HostVariable => "KVSD_HOST",
            Source::Default => "the default address",
        };
        let mut builder = Client::builder()
            .url(&self.url)
            .map_err(|error| Failure::wrong_usage(format!("{place}: {error:#}")))?
            .default_credentials(self.user, self.password);
        if let Some(ca) = self.default_ca {
            builder = builder.default_ca_file(ca);
        }
        if let Some(ca) = self.ca {
            builder = builder.ca_file(ca);
        }
        if let Some(table) = table {
            builder = builder.table(table);
        }
        Ok(builder)
    }
}

/// The URL of `host`, `host:port`, `[v6]`, `[v6]:port` or a bare v6 address: with TLS, unless it is
/// this machine by a literal name and no CA is given. A name that merely resolves to this machine,
/// or begins like its address, may be another's.
fn host_url(text: &str, has_ca: bool) -> Result<String, Failure> {
    let (host, port) =
        if let Some((host, port)) = text.strip_prefix('[').and_then(|rest| rest.split_once(']')) {
            (host, port)
        } else if text.matches(':').count() > 1 {
            (text, "")
        } else {
            text.split_at(text.find(':').unwrap_or(text.len()))
        };
    let is_v6 = host.contains(':');
    // Nothing that a URL would read as user, table or setting.
    let fits =
        |c: char| c.is_ascii_alphanumeric() || "-._".contains(c) || is_v6 && ":%".contains(c);
    let is_port = port.is_empty() || port.starts_with(':');
    if host.is_empty() || !host.chars().all(fits) || !is_port || port.contains(['/', '?', '@']) {
        // Not shown: whoever puts a URL here may have put a password into it.
        return Err(Failure::wrong_usage(
            "KVSD_HOST takes HOST, HOST:PORT or [IPV6]:PORT; a URL belongs into KVSD_URL",
        ));
    }
    let is_local = host.eq_ignore_ascii_case("localhost")
        || host.parse::<IpAddr>().is_ok_and(|address| address.is_loopback());
    let scheme = if is_local && !has_ca { "kvsd" } else { "kvsds" };
    let host = if is_v6 { format!("[{host}]") } else { host.to_owned() };
    Ok(format!("{scheme}://{host}{port}"))
}

/// Without a name server's help: that is quicker.
const LOCAL_HOST: &str = "127.0.0.1";
const NO_ADDRESS: &str = "none of --url, KVSD_URL and KVSD_HOST is there, so the server was looked \
                          for on this machine; `kvsd-server --dev` starts one to try";

#[cfg(test)]
mod tests {
    use super::*;

    fn resolve(flags: ServerFlags, variables: &[(&str, &str)]) -> Target {
        let variable = |name: &str| {
            let found = variables.iter().find(|(key, _)| *key == name);
            found.map(|(_, value)| OsString::from(value))
        };
        Target::resolve(&flags, variable).unwrap()
    }

    fn flag(url: &str) -> ServerFlags {
        ServerFlags { url: Some(url.into()), ..ServerFlags::default() }
    }

    #[test]
    fn the_address_comes_from_flag_then_url_then_host_then_default() {
        let all = [("KVSD_URL", "kvsd://b"), ("KVSD_HOST", "c")];
        assert_eq!(resolve(flag("kvsd://a"), &all).url, "kvsd://a");
        assert_eq!(resolve(ServerFlags::default(), &all).url, "kvsd://b");
        assert_eq!(resolve(ServerFlags::default(), &all[1..]).url, "kvsds://c");
        let target = resolve(ServerFlags::default(), &[]);
        assert_eq!((target.url.as_str(), target.source), ("kvsd://127.0.0.1", Source::Default));
    }

    #[test]
    fn the_address_that_is_shown_holds_neither_user_nor_password() {
        for (url, address) in [
            ("kvsd://host", "host"),
            ("kvsds://app:canary@host:1/table?pool=3", "host:1"),
            ("kvsd://app:c@n:ary@[::1]:2?timeout=1s", "[::1]:2"),
        ] {
            assert_eq!(resolve(flag(url), &[]).address(), address);
        }
    }

    #[test]
    fn an_empty_variable_is_not_there() {
        let all = [
            ("KVSD_URL", ""),
            ("KVSD_HOST", ""),
            ("KVSD_USERNAME", ""),
            ("KVSD_PASSWORD", ""),
            ("KVSD_TLS_CA", ""),
        ];
        assert_eq!(resolve(ServerFlags::default(), &all), resolve(ServerFlags::default(), &[]));
    }

    #[test]
    fn a_host_means_tls_unless_it_is_this_machine_literally_and_no_ca_is_given() {
        let cases = [
            ("localhost", "localhost", true),
            ("LOCALHOST:1", "LOCALHOST:1", true),
            ("127.0.0.1", "127.0.0.1", true),
            ("127.8.9.10:7000", "127.8.9.10:7000", true),
            ("::1", "[::1]", true),
            ("[::1]", "[::1]", true),
            ("[::1]:7000", "[::1]:7000", true),
            ("db.example", "db.example", false),
            ("db.example:7000", "db.example:7000", false),
            ("10.0.0.1", "10.0.0.1", false),
            ("127.example", "127.example", false),
            ("127.0.0.1.example:1", "127.0.0.1.example:1", false),
            ("localhost.example", "localhost.example", false),
            ("::2", "[::2]", false),
            ("fe80::1%eth0", "[fe80::1%eth0]", false),
            ("[fe80::1%eth0]:9", "[fe80::1%eth0]:9", false),
            ("::ffff:127.0.0.1", "[::ffff:127.0.0.1]", false),
        ];
        let ca = ("KVSD_TLS_CA", "ca.pem");
        for (host, address, is_local) in cases {
            let scheme = if is_local { "kvsd" } else { "kvsds" };
            let target = resolve(ServerFlags::default(), &[("KVSD_HOST", host)]);
            assert_eq!(target.url, format!("{scheme}://{address}"));
            let target = resolve(ServerFlags::default(), &[("KVSD_HOST", host), ca]);
            assert_eq!(target.url, format!("kvsds://{address}"));
        }
        let flags = ServerFlags { ca: Some("ca.pem".into()), ..ServerFlags::default() };
        assert_eq!(resolve(flags, &[]).url, "kvsds://127.0.0.1");
    }

    #[test]
    fn a_host_with_more_in_it_is_refused_and_not_shown() {
        for host in [
            "kvsd://app:canary@host",
            "app:canary@host",
            "canary@host",
            "host/canary",
            "host?canary",
            "host canary",
            "host:1/canary",
            "host:1?canary",
            "[::1]canary",
            "[::1",
            "[canary%20]",
            "[]",
            ":7379",
        ] {
            let variable = |name: &str| (name == "KVSD_HOST").then(|| OsString::from(host));
            let result = Target::resolve(&ServerFlags::default(), variable);
            let failure = format!("{:?}", result.expect_err(host));
            assert!(failure.contains("KVSD_HOST") && !failure.contains("canary"), "{failure}");
        }
        for port in ["host:", "host:x", "host:0", "host:65536", "[::1]:"] {
            let target = resolve(ServerFlags::default(), &[("KVSD_HOST", port)]);
            let failure = format!("{:?}", target.builder(None).expect_err(port));
            assert!(failure.contains("KVSD_HOST: ") && failure.contains("port"), "{failure}");
        }
    }

    #[test]
    fn a_ca_from_the_environment_does_not_stand_in_the_way_of_a_plain_url_on_the_command_line() {
        let ca = [("KVSD_TLS_CA", "ca.pem")];
        assert_eq!(resolve(flag("kvsd://localhost"), &ca).default_ca, None);
        let ca_file = Some(PathBuf::from("ca.pem"));
        assert_eq!(resolve(flag("kvsds://localhost"), &ca).default_ca, ca_file);
        // Both from the environment contradict each other; the SDK says so.
        let both = [ca[0], ("KVSD_URL", "kvsd://localhost")];
        assert_eq!(resolve(ServerFlags::default(), &both).default_ca, ca_file);
    }
}
