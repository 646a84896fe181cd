//! Which names the status page answers to.
//!
//! A web page from elsewhere can have a browser ask an address in the local network under a name of
//! its own choice (DNS rebinding), and read what comes. It cannot choose that the name is an address
//! or `localhost`: so these are answered, and of other names only those that the operator gave.

use std::net::{IpAddr, SocketAddr};
use std::str::FromStr;

use crate::config::StatusHost;

/// Whether a request that was sent to this header `Host`, and came in on that address, is answered.
pub(super) fn is_ours(header: &str, local: Option<SocketAddr>, hosts: &[StatusHost]) -> bool {
    let name = without_port(header).to_ascii_lowercase();
    let literal = name.strip_prefix('[').and_then(|name| name.strip_suffix(']'));
    match IpAddr::from_str(literal.unwrap_or(&name)) {
        Ok(address) if address.to_canonical().is_loopback() => true,
        Ok(address) => {
            let is_local = |local: SocketAddr| local.ip().to_canonical() == address.to_canonical();
            local.is_some_and(is_local) || is_among(hosts, &address.to_string())
        }
        Err(_) => name == "localhost" || is_among(hosts, &name),
    }
}

fn is_among(hosts: &[StatusHost], name: &str) -> bool {
    hosts.iter().any(|host| host.as_str() == name)
}

fn without_port(header: &str) -> &str {
    match header.rsplit_once(':') {
        Some((name, port)) if port.bytes().all(|byte| byte.is_ascii_digit()) => {
            // The colons of an IPv6 address stand within brackets.
            if name.contains(':') && !name.ends_with(']') { header } else { name }
        }
        _ => header,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_of_this_machine_and_given_names_are_answered_and_no_others() {
        let hosts = ["db.example", "10.0.0.9"].map(StatusHost::of);
        let local = Some("192.0.2.7:7380".parse().unwrap());
        for ours in [
            "localhost",
            "LocalHost:7380",
            "127.0.0.1:7380",
            "127.9.9.9",
            "[::1]:7380",
            "[::1]",
            "192.0.2.7:7380",
            "[::ffff:192.0.2.7]:7380",
            "db.example",
            "DB.example:80",
            "10.0.0.9:7380",
        ] {
            assert!(is_ours(ours, local, &hosts), "{ours}");
        }
        for foreign in [
            "",
            ":7380",
            "evil.example",
            "localhost.evil.example",
            "evil.localhost",
            "127.0.0.1.evil.example",
            "192.0.2.8:7380",
            "db.example.evil",
            "xdb.example",
            "db.example:80:80",
            "localhost:x",
            "[::1",
            "[db.example]",
        ] {
            assert!(!is_ours(foreign, local, &hosts), "{foreign}");
        }
    }
}
