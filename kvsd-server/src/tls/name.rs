//! Whose a client's certificate is, and which names a server's is for.
//!
//! The user is the only DNS name among the alternative names. A certificate without one is the
//! user's that the common name of its subject names, if it has one common name. What names more
//! than one names nobody: which of them was meant is not ours to guess. Names that no DNS name can
//! have, such as one with an `@`, are passed over among the alternative names. The chain is checked
//! elsewhere, before this looks at it.

use std::net::{Ipv4Addr, Ipv6Addr};

use tokio_rustls::rustls::pki_types::CertificateDer;
use webpki::EndEntityCert;

/// The user whom a certificate names.
pub(crate) fn user_of(certificate: &CertificateDer<'_>) -> Option<String> {
    let certificate = EndEntityCert::try_from(certificate).ok()?;
    let mut names = certificate.valid_dns_names();
    match (names.next(), names.next()) {
        (Some(name), None) => Some(name.to_owned()),
        (Some(_), Some(_)) => None,
        (None, _) => common_name(certificate.subject()),
    }
}

/// The only common name of a subject: a sequence of sets of pairs, an identifier and a text.
fn common_name(subject: &[u8]) -> Option<String> {
    let mut found = None;
    let mut sets = Elements(subject);
    while !sets.0.is_empty() {
        let mut pairs = Elements(sets.next(SET)?);
        while !pairs.0.is_empty() {
            let mut pair = Elements(pairs.next(SEQUENCE)?);
            if pair.next(IDENTIFIER)? != COMMON_NAME {
                continue;
            }
            let text = pair.next(UTF8_STRING).or_else(|| pair.next(PRINTABLE_STRING))?;
            if found.replace(std::str::from_utf8(text).ok()?).is_some() {
                return None;
            }
        }
    }
    found.map(str::to_owned)
}

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

/// The elements of a DER encoding that are still to come.
struct Elements<'d>(&'d [u8]);

impl<'d> Elements<'d> {
    /// The content of the next element, if it has this tag and is whole; else nothing is taken.
    fn next(&mut self, tag: u8) -> Option<&'d [u8]> {
        let (first, rest) = self.0.split_first()?;
        let (short, rest) = rest.split_first()?;
        let (length, rest) = match short {
            0..=0x7f => (usize::from(*short), rest),
            // As many bytes of length follow; none of ours takes more than two.
            0x81 => rest.split_first().map(|(length, rest)| (usize::from(*length), rest))?,
            0x82 => rest
                .split_first_chunk()
                .map(|(length, rest)| (usize::from(u16::from_be_bytes(*length)), rest))?,
            _ => return None,
        };
        let (content, rest) = rest.split_at_checked(length).filter(|_| *first == tag)?;
        self.0 = rest;
        Some(content)
    }
}

const BOOLEAN: u8 = 0x01;
const INTEGER: u8 = 0x02;
const OCTETS: u8 = 0x04;
const DNS_NAME: u8 = 0x82;
const ADDRESS: u8 = 0x87;
const VERSION: u8 = 0xa0;
const EXTENSIONS: u8 = 0xa3;
const SEQUENCE: u8 = 0x30;
const SET: u8 = 0x31;
const IDENTIFIER: u8 = 0x06;
const UTF8_STRING: u8 = 0x0c;
const PRINTABLE_STRING: u8 = 0x13;
/// 2.5.29.17.
const ALTERNATIVE_NAMES: [u8; 3] = [0x55, 0x1d, 0x11];
/// 2.5.4.3.
const COMMON_NAME: [u8; 3] = [0x55, 0x04, 0x03];

#[cfg(test)]
mod tests {
    use rcgen::{CertificateParams, DistinguishedName, DnType, DnValue, KeyPair};

    use super::*;

    /// The user of a certificate with these alternative names and this subject.
    fn user(
        names: &[&str],
        subject: impl IntoIterator<Item = (DnType, DnValue)>,
    ) -> Option<String> {
        let names: Vec<_> = names.iter().copied().map(String::from).collect();
        let mut params = CertificateParams::new(names).unwrap();
        params.distinguished_name = DistinguishedName::new();
        for (kind, value) in subject {
            params.distinguished_name.push(kind, value);
        }
        let made = params.self_signed(&KeyPair::generate().unwrap()).unwrap();
        user_of(made.der())
    }

    fn cn(name: &str) -> (DnType, DnValue) {
        (DnType::CommonName, DnValue::Utf8String(name.to_owned()))
    }

    #[test]
    fn the_only_dns_name_counts_and_without_one_the_common_name() {
        let organization = (DnType::OrganizationName, DnValue::Utf8String("ops".to_owned()));
        assert_eq!(user(&["app"], [cn("ops")]).as_deref(), Some("app"));
        assert_eq!(user(&["app", "ops"], [cn("app")]), None);
        assert_eq!(user(&["10.0.0.1"], [cn("app")]).as_deref(), Some("app"));
        assert_eq!(user(&["app", "b@eu-1"], [cn("ops")]).as_deref(), Some("app"));
        assert_eq!(user(&["b@eu-1"], [cn("ops")]).as_deref(), Some("ops"));
        assert_eq!(user(&[], [organization.clone(), cn("b@eu-1")]).as_deref(), Some("b@eu-1"));
        assert_eq!(user(&[], [cn(&"x".repeat(300))]).as_deref(), Some(&*"x".repeat(300)));
        let printable = DnValue::PrintableString("app".try_into().unwrap());
        assert_eq!(user(&[], [(DnType::CommonName, printable)]).as_deref(), Some("app"));
        assert_eq!(user(&[], [organization]), None);
        assert_eq!(user(&[], []), None);
    }

    #[test]
    fn two_common_names_name_nobody() {
        let pair = b"\x31\x0a\x30\x08\x06\x03\x55\x04\x03\x0c\x01a";
        assert_eq!(common_name(pair).as_deref(), Some("a"));
        assert_eq!(common_name(&[&pair[..], pair].concat()), None);
    }

    #[test]
    fn a_subject_that_is_cut_or_lies_about_its_lengths_names_nobody() {
        let whole = b"\x31\x0a\x30\x08\x06\x03\x55\x04\x03\x0c\x01a";
        for length in 0..whole.len() {
            assert_eq!(common_name(&whole[..length]), None, "{length}");
        }
        for place in [1, 3, 5, 10] {
            for lie in [0xff, 0x80, 0x84, 0x7f] {
                let mut bytes = whole.to_vec();
                bytes[place] = lie;
                assert_eq!(common_name(&bytes), None, "{place} {lie}");
            }
        }
    }

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
