//! A client's URL, and the settings that it and others may give. Never shows a password.

use std::fmt;
use std::path::PathBuf;
use std::time::Duration;

use super::address::{Address, decode};
use super::{DEFAULT_PORT, MAX_POOL_SIZE};
use crate::error::ConfigError;
use crate::types::TableName;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Scheme {
    Plain,
    Tls,
}

#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct Url {
    pub(super) scheme: Scheme,
    /// At least one.
    pub(super) addresses: Vec<Address>,
    pub(super) settings: Settings,
}

/// What a URL may say and another source may say as well.
#[derive(Clone, PartialEq, Eq, Default)]
pub(super) struct Settings {
    pub(super) user: Option<String>,
    pub(super) password: Option<String>,
    pub(super) table: Option<TableName>,
    pub(super) pool: Option<u32>,
    pub(super) timeout: Option<Duration>,
    pub(super) ca: Option<PathBuf>,
    pub(super) cert: Option<PathBuf>,
    pub(super) key: Option<PathBuf>,
}

/// A server on this machine, without TLS.
impl Default for Url {
    fn default() -> Self {
        Self {
            scheme: Scheme::Plain,
            addresses: vec![Address { host: "127.0.0.1".into(), port: DEFAULT_PORT }],
            settings: Settings::default(),
        }
    }
}

impl Url {
    pub(super) fn parse(text: &str) -> Result<Self, ConfigError> {
        let (scheme, rest) = match text.split_once("://") {
            Some(("kvsd", rest)) => (Scheme::Plain, rest),
            Some(("kvsds", rest)) => (Scheme::Tls, rest),
            _ => return Err(ConfigError::Scheme),
        };
        let (authority, behind) = rest.split_at(rest.find(['/', '?']).unwrap_or(rest.len()));
        if behind.contains('@') {
            // A password that was cut in two: no part of it may get into an error or to a host.
            return Err(ConfigError::Unescaped);
        }
        let (path, query) = behind.split_once('?').unwrap_or((behind, ""));
        let table = path.strip_prefix('/').unwrap_or(path);
        let mut settings = Settings::default();
        let addresses = match authority.rsplit_once('@') {
            None => authority,
            Some((credentials, _)) if names_user_again(credentials) => {
                return Err(ConfigError::CredentialsTwice);
            }
            Some((credentials, addresses)) => {
                let (user, password) = match credentials.split_once(':') {
                    None => (credentials, None),
                    Some((user, password)) => (user, Some(password)),
                };
                settings.user = Some(decode(user)?).filter(|user| !user.is_empty());
                settings.password = password.map(decode).transpose()?;
                addresses
            }
        };
        let addresses = Address::parse_all(addresses.split(','))?;
        if !table.is_empty() {
            settings.table = Some(TableName::parse(&decode(table)?)?);
        }
        for pair in query.split('&').filter(|pair| !pair.is_empty()) {
            let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
            settings.set(name, &decode(value)?)?;
        }
        Ok(Self { scheme, addresses, settings })
    }
}

impl Settings {
    /// These settings, and where they say nothing the `others`.
    pub(super) fn or(self, others: Self) -> Self {
        // A key belongs to its certificate: both are of one source.
        let (cert, key) = match (self.cert, self.key) {
            (None, None) => (others.cert, others.key),
            own => own,
        };
        Self {
            user: self.user.or(others.user),
            password: self.password.or(others.password),
            table: self.table.or(others.table),
            pool: self.pool.or(others.pool),
            timeout: self.timeout.or(others.timeout),
            ca: self.ca.or(others.ca),
            cert,
            key,
        }
    }

    fn set(&mut self, name: &str, value: &str) -> Result<(), ConfigError> {
        match name {
            "pool" if self.pool.is_some() => return Err(ConfigError::Twice { name: "pool" }),
            "timeout" if self.timeout.is_some() => {
                return Err(ConfigError::Twice { name: "timeout" });
            }
            "ca" if self.ca.is_some() => return Err(ConfigError::Twice { name: "ca" }),
            "pool" => {
                let size = value.parse().ok().filter(|size| (1..=MAX_POOL_SIZE).contains(size));
                let wants = "a number of connections from 1 to 1024";
                self.pool = Some(size.ok_or(ConfigError::Setting { name: "pool", wants })?);
            }
            "timeout" => {
                let wants = "a time such as 500ms or 2s";
                let timeout = parse_duration(value);
                self.timeout =
                    Some(timeout.ok_or(ConfigError::Setting { name: "timeout", wants })?);
            }
            "ca" if value.is_empty() => {
                return Err(ConfigError::Setting { name: "ca", wants: "a file" });
            }
            "ca" => self.ca = Some(value.into()),
            "cert" if self.cert.is_some() => return Err(ConfigError::Twice { name: "cert" }),
            "key" if self.key.is_some() => return Err(ConfigError::Twice { name: "key" }),
            "cert" if value.is_empty() => {
                return Err(ConfigError::Setting { name: "cert", wants: "a file" });
            }
            "key" if value.is_empty() => {
                return Err(ConfigError::Setting { name: "key", wants: "a file" });
            }
            "cert" => self.cert = Some(value.into()),
            "key" => self.key = Some(value.into()),
            _ => return Err(ConfigError::UnknownSetting { name: name.into() }),
        }
        Ok(())
    }
}

/// Whether what stands before the last `@` looks like `user:password@host,user:password`: the
/// password would be sent with half a URL in it. One that has both characters escapes its `@`.
fn names_user_again(credentials: &str) -> bool {
    credentials.split_once('@').is_some_and(|(_, behind)| behind.contains(','))
}

fn parse_duration(text: &str) -> Option<Duration> {
    let (number, unit) = text.split_at(text.find(|c: char| !c.is_ascii_digit())?);
    let number: u64 = number.parse().ok().filter(|number| *number > 0)?;
    match unit {
        "ms" => Some(Duration::from_millis(number)),
        "s" => Some(Duration::from_secs(number)),
        "m" => Some(Duration::from_secs(number.checked_mul(60)?)),
        _ => None,
    }
}

/// Never shows the password.
impl fmt::Debug for Settings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Settings")
            .field("user", &self.user)
            .field("table", &self.table)
            .field("pool", &self.pool)
            .field("timeout", &self.timeout)
            .field("ca", &self.ca)
            .field("cert", &self.cert)
            .field("key", &self.key)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::Error;

    fn address(host: &str, port: u16) -> Address {
        Address { host: host.into(), port }
    }

    fn addresses(text: &str) -> Vec<Address> {
        Url::parse(text).unwrap().addresses
    }

    #[test]
    fn a_full_url_says_everything() {
        let url = Url::parse(
            "kvsds://app:p%40ss%3Aw@db.example:1234/users?pool=4&timeout=250ms&ca=%2Fetc%2Fca.pem\
             &cert=app.pem&key=app.key",
        )
        .unwrap();
        let expected = Url {
            scheme: Scheme::Tls,
            addresses: vec![address("db.example", 1234)],
            settings: Settings {
                user: Some("app".into()),
                password: Some("p@ss:w".into()),
                table: Some(TableName::parse("users").unwrap()),
                pool: Some(4),
                timeout: Some(Duration::from_millis(250)),
                ca: Some("/etc/ca.pem".into()),
                cert: Some("app.pem".into()),
                key: Some("app.key".into()),
            },
        };
        assert!(url == expected, "{url:?}");
    }

    #[test]
    fn the_shortest_url_names_only_a_host() {
        let url = Url::parse("kvsd://localhost").unwrap();
        assert!(
            url == Url { addresses: vec![address("localhost", 7379)], ..Url::default() },
            "{url:?}"
        );
        for text in ["kvsd://localhost/", "kvsd://localhost:7379?", "kvsd://@localhost/?&"] {
            assert!(Url::parse(text).unwrap() == url, "{text}");
        }
    }

    #[test]
    fn a_password_is_any_text() {
        let password = |text: &str| Url::parse(text).unwrap().settings.password;
        let escaped = "kvsd://app:%2F%3F%40%3A%25%26%23@host:1/t?pool=1";
        assert_eq!(password(escaped).as_deref(), Some("/?@:%&#"));
        // What cannot be misread need not be escaped.
        assert_eq!(password("kvsd://app:a:b@c#&@host").as_deref(), Some("a:b@c#&"));
        assert_eq!(password("kvsd://app:@host").as_deref(), Some(""));
    }

    #[test]
    fn no_part_of_a_password_gets_into_an_error() {
        for text in [
            "kvsd://app:123/canary@host",
            "kvsd://app:123?canary@host",
            "kvsd://app:123?canary=x@host",
            "kvsd://app:canary/1@host",
            "kvsd://app:canary?1@host/t?pool=2",
            "kvsds://app:%zzcanary@host",
            "kvsds://app:canary@a,app:canary@b",
            "kvsds://app:canary@a,a",
        ] {
            let error = Error::from(Url::parse(text).unwrap_err());
            assert!(!format!("{error} {error:?}").contains("canary"), "{error:?}");
        }
    }

    #[test]
    fn an_ipv6_address_stands_in_brackets() {
        assert_eq!(addresses("kvsd://[::1]:99"), [address("::1", 99)]);
        assert_eq!(addresses("kvsd://[::1]"), [address("::1", DEFAULT_PORT)]);
        assert_eq!(addresses("kvsd://[fe80::1%25eth0]:1"), [address("fe80::1%eth0", 1)]);
        for text in ["kvsd://[::1", "kvsd://::1", "kvsd://fe80::1", "kvsd://::1:7379"] {
            assert_eq!(Url::parse(text).unwrap_err(), ConfigError::Brackets, "{text}");
        }
        assert_eq!(Url::parse("kvsd://[::1]x").unwrap_err(), ConfigError::Port);
    }

    #[test]
    fn a_url_takes_several_addresses_each_with_its_port() {
        let all = [address("a", DEFAULT_PORT), address("b", 7000), address("::1", 7380)];
        assert_eq!(addresses("kvsd://a,b:7000,[::1]:7380/table?pool=4"), all);
        assert_eq!(addresses("kvsds://app:x@a,b:7000,[::1]:7380"), all);
        // The same host is not the same address.
        assert_eq!(addresses("kvsd://a:1,a:2"), [address("a", 1), address("a", 2)]);
        let most: Vec<_> = (1..=16).map(|number| format!("h{number}")).collect();
        assert_eq!(addresses(&format!("kvsd://{}", most.join(","))).len(), 16);
        let error = Url::parse(&format!("kvsd://{},h17", most.join(","))).unwrap_err();
        assert_eq!(error, ConfigError::TooManyAddresses { limit: 16 });
    }

    #[test]
    fn each_mistake_in_a_list_of_addresses_has_its_own_error() {
        let same = |host: &str, port| ConfigError::SameAddress { host: host.into(), port };
        for (text, error) in [
            ("kvsd://a,,b", ConfigError::EmptyAddress { place: 2 }),
            ("kvsd://a,", ConfigError::EmptyAddress { place: 2 }),
            ("kvsd://,a", ConfigError::EmptyAddress { place: 1 }),
            ("kvsd://user@,", ConfigError::EmptyAddress { place: 1 }),
            ("kvsd://a,:1", ConfigError::NoHost),
            ("kvsd://a,b:0", ConfigError::Port),
            ("kvsd://a,b:x", ConfigError::Port),
            ("kvsd://[::1],::2", ConfigError::Brackets),
            ("kvsd://a,[::1", ConfigError::Brackets),
            ("kvsd://a,b%zz", ConfigError::Escape),
            ("kvsd://a,b,A:7379", same("A", 7379)),
            ("kvsd://[::1]:1,[::1]:1", same("::1", 1)),
            ("kvsd://app:x@a,app:x@b", ConfigError::CredentialsTwice),
            ("kvsd://app@a,b,app@c", ConfigError::CredentialsTwice),
        ] {
            assert_eq!(Url::parse(text).unwrap_err(), error, "{text}");
        }
    }

    #[test]
    fn each_mistake_in_a_url_has_its_own_error() {
        let cases = [
            ("redis://localhost", ConfigError::Scheme),
            ("localhost:7379", ConfigError::Scheme),
            ("kvsd://", ConfigError::NoHost),
            ("kvsd://user@", ConfigError::NoHost),
            ("kvsd://:7379", ConfigError::NoHost),
            ("kvsd://[]", ConfigError::NoHost),
            ("kvsd://user@[]:1", ConfigError::NoHost),
            ("kvsd://host:", ConfigError::Port),
            ("kvsd://host:0", ConfigError::Port),
            ("kvsd://host:65536", ConfigError::Port),
            ("kvsd://host:x", ConfigError::Port),
            ("kvsd://a%zz@host", ConfigError::Escape),
            ("kvsd://a%ff@host", ConfigError::Escape),
            ("kvsd://user:a/b@host", ConfigError::Unescaped),
            ("kvsd://host?pol=4", ConfigError::UnknownSetting { name: "pol".into() }),
            ("kvsd://host?pool=2&pool=4", ConfigError::Twice { name: "pool" }),
            ("kvsd://host?timeout=1s&timeout=1s", ConfigError::Twice { name: "timeout" }),
            ("kvsd://host?ca=a&ca=b", ConfigError::Twice { name: "ca" }),
            ("kvsd://host?cert=a&cert=b", ConfigError::Twice { name: "cert" }),
            ("kvsd://host?key=a&key=b", ConfigError::Twice { name: "key" }),
        ];
        for (text, error) in cases {
            assert_eq!(Url::parse(text).unwrap_err(), error, "{text}");
        }
        for text in ["kvsd://host/a%2Fb", "kvsd://host/.."] {
            assert!(matches!(Url::parse(text), Err(ConfigError::Table(_))), "{text}");
        }
        for text in
            ["pool=0", "pool=x", "timeout=5", "timeout=0s", "timeout=1h", "ca=", "cert=", "key="]
        {
            let result = Url::parse(&format!("kvsd://host?{text}"));
            assert!(matches!(result, Err(ConfigError::Setting { .. })), "{text}");
        }
    }
}
