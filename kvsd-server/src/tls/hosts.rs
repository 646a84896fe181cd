//! Which names and addresses a server's certificate is for.
//!
//! Next file to read: `init`, which makes certificates.

use std::net::{Ipv4Addr, Ipv6Addr};

use tokio_rustls::rustls::pki_types::CertificateDer;

use super::name::{Elements, IDENTIFIER, SEQUENCE};

/// The DNS names and addresses among a certificate's alternative names; what else stands there is
/// left out. `None` if the certificate cannot be read.
pub(crate) fn hosts_of(certificate: &CertificateDer<'_>) -> Option<Vec<String>> {
    let mut certificate = Elements(Elements(certificate).next(SEQUENCE)?);
    let mut fields = Elements(certificate.next(SEQUENCE)?);
    fields.next(VERSION)?;
    fields.next(INTEGER)?;
    for _algorithm_issuer_validity_subject_key in 0..5 {
        fields.next(SEQUENCE)?;
    }
    let Some(extensions) = fields.next(EXTENSIONS) else {
        return Some(Vec::new());
    };
    let mut extensions = Elements(Elements(extensions).next(SEQUENCE)?);
    while !extensions.0.is_empty() {
        let mut extension = Elements(extensions.next(SEQUENCE)?);
        if extension.next(IDENTIFIER)? != ALTERNATIVE_NAMES {
            continue;
        }
        // Whether it is critical need not be said.
        let _ = extension.next(BOOLEAN);
        return hosts(Elements(extension.next(OCTETS)?).next(SEQUENCE)?);
    }
    Some(Vec::new())
}

fn hosts(names: &[u8]) -> Option<Vec<String>> {
    let (mut names, mut hosts) = (Elements(names), Vec::new());
    while let Some(&tag) = names.0.first() {
        let name = names.next(tag)?;
        match (tag, name.len()) {
            (DNS_NAME, _) => hosts.push(std::str::from_utf8(name).ok()?.to_owned()),
            (ADDRESS, 4) => hosts.push(Ipv4Addr::from(<[u8; 4]>::try_from(name).ok()?).to_string()),
            (ADDRESS, _) => {
                hosts.push(Ipv6Addr::from(<[u8; 16]>::try_from(name).ok()?).to_string());
            }
            _ => {}
        }
    }
    Some(hosts)
}

const BOOLEAN: u8 = 0x01;
const INTEGER: u8 = 0x02;
const OCTETS: u8 = 0x04;
const DNS_NAME: u8 = 0x82;
const ADDRESS: u8 = 0x87;
const VERSION: u8 = 0xa0;
const EXTENSIONS: u8 = 0xa3;
/// 2.5.29.17.
const ALTERNATIVE_NAMES: [u8; 3] = [0x55, 0x1d, 0x11];

#[cfg(test)]
mod tests {
    use rcgen::{CertificateParams, KeyPair};

    use super::*;

    #[test]
    fn the_hosts_of_a_certificate_are_its_dns_names_and_addresses_in_order() {
        let certificate = |hosts: &[&str]| {
            let hosts: Vec<String> = hosts.iter().map(|&host| host.to_owned()).collect();
            let params = CertificateParams::new(hosts).unwrap();
            params.self_signed(&KeyPair::generate().unwrap()).unwrap().der().clone()
        };
        for hosts in [&["localhost", "10.0.0.1", "*.db.example", "2001:db8::1"][..], &["a"], &[]] {
            assert_eq!(hosts_of(&certificate(hosts)).unwrap(), hosts);
        }
        let many: Vec<String> = (0..200).map(|i| format!("db-{i}.example")).collect();
        let many: Vec<&str> = many.iter().map(String::as_str).collect();
        assert_eq!(hosts_of(&certificate(&many)).unwrap(), many);
    }

    #[test]
    fn a_certificate_that_is_cut_or_damaged_has_no_hosts_and_does_no_harm() {
        let params = CertificateParams::new(["db.example".to_owned()]).unwrap();
        let whole = params.self_signed(&KeyPair::generate().unwrap()).unwrap().der().to_vec();
        for length in 0..whole.len() {
            assert_eq!(hosts_of(&whole[..length].into()), None, "{length}");
        }
        for place in 0..whole.len() {
            for byte in [0x00, 0x7f, 0x80, 0xff] {
                let mut bytes = whole.clone();
                bytes[place] = byte;
                // Whatever it answers: it does.
                let _ = hosts_of(&bytes.into());
            }
        }
    }
}
