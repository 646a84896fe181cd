//! `kvsd-server init`: make the folder and say what to do with it.

use std::fmt::Write as _;
use std::io::{self, Write};

use super::args::InitArgs;
use super::exit::Failure;
use crate::init::{self, Cluster, Init, Made};
use crate::users::Password;

/// Makes the folder.
pub(super) fn run(args: InitArgs) -> Result<(), Failure> {
    let prefix = args.etcd_prefix;
    let init = Init {
        folder: args.data_dir,
        names: args.names,
        user: args.user,
        listen: args.listen,
        cluster: args.etcd_endpoints.map(|endpoints| Cluster { endpoints, prefix }),
    };
    let made = init.run().map_err(Failure::other)?;
    let report = match &made.password {
        Some(password) => report(&init, &made, password),
        None => front_end_report(&made),
    };
    // The password is nowhere else: that it could not be shown is an error.
    io::stdout().write_all(report.as_bytes()).map_err(Failure::other)
}

/// What there is to do with the folder of a front end, whose users are in the cluster.
fn front_end_report(made: &Made) -> String {
    let config = quote(&made.folder.join(init::CONFIG).display().to_string());
    format!(
        "\
made {folder}:
  {file:15} the configuration
  {server:15} the server's certificate, for {hosts}; until {server_until}
  {server_key:15} its key
  {ca_cert:15} the CA that signed it, for clients to trust; until {ca_until}
  {ca_key:15} the CA's key, for the next certificate

add the first user, once for all front ends of the cluster:
  kvsd-server user add app --grant 'admin@*' --generate --config {config}

start the server:
  kvsd-server --config {config}

Another front end gets its certificate from the same CA: copy the folder, set `listen`, and run
`kvsd-server renew --name HOST --config FILE` there.
",
        folder = made.folder.display(),
        file = init::CONFIG,
        server = init::SERVER_CERT,
        hosts = made.names.join(", "),
        server_until = made.server_until,
        server_key = init::SERVER_KEY,
        ca_cert = init::CA_CERT,
        ca_until = made.ca_until,
        ca_key = init::CA_KEY,
    )
}

fn report(init: &Init, made: &Made, password: &Password) -> String {
    let folder = made.folder.display();
    let user = escape(init.user.as_str().as_bytes(), b"");
    let password = String::from_utf8_lossy(password.expose());
    let address = format!("{user}:{password}@localhost:{}", init.listen.port());
    let ca = made.folder.join(init::CA_CERT);
    let ca_parameter = escape(ca.as_os_str().as_encoded_bytes(), b"/");
    format!(
        "\
made {folder}:
  {config:15} the configuration
  {users:15} who may log in: {name}
  {server:15} the server's certificate, for {hosts};
  {blank:15} {server_days} days, until {server_until}
  {server_key:15} its key
  {ca_cert:15} the CA that signed it, for clients to trust; 10 years, until {ca_until}
  {ca_key:15} the CA's key; the server never reads it, so keep it elsewhere if you like,
  {blank:15} but keep it: the next certificate is signed with it

start the server:
  kvsd-server --config {quoted_config}

connect from a shell:
  export KVSD_URL='kvsds://{address}'
  export KVSD_TLS_CA={quoted_ca}
  kvsd ping

connect from Rust:
  let client = kvsd::Client::connect(\"kvsds://{address}?ca={ca_parameter}\").await?;

The password is shown this once; `kvsd-server user` adds and removes users.
",
        config = init::CONFIG,
        users = init::USERS,
        name = init.user,
        server = init::SERVER_CERT,
        hosts = made.names.join(", "),
        blank = "",
        server_days = init::SERVER_DAYS,
        server_until = made.server_until,
        server_key = init::SERVER_KEY,
        ca_cert = init::CA_CERT,
        ca_until = made.ca_until,
        ca_key = init::CA_KEY,
        quoted_config = quote(&made.folder.join(init::CONFIG).display().to_string()),
        quoted_ca = quote(&ca.display().to_string()),
    )
}

/// Percent-encodes what a URL does not take as it is, but keeps what is in `keep`.
fn escape(bytes: &[u8], keep: &[u8]) -> String {
    let mut text = String::new();
    for &byte in bytes {
        if byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) || keep.contains(&byte) {
            text.push(char::from(byte));
        } else {
            // Writing to a string cannot fail.
            let _ = write!(text, "%{byte:02X}");
        }
    }
    text
}

/// Makes one word of a text for a POSIX shell.
fn quote(text: &str) -> String {
    format!("'{}'", text.replace('\'', r"'\''"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_survive_url_and_shell() {
        assert_eq!(escape("a/b c@\u{e4}".as_bytes(), b""), "a%2Fb%20c%40%C3%A4");
        assert_eq!(escape(b"/a b", b"/"), "/a%20b");
        assert_eq!(quote("it's"), r"'it'\''s'");
    }
}
