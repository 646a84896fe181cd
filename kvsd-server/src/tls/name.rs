//! Whose a client's certificate is.
//!
//! The user is the only DNS name among the alternative names. A certificate without one is the
//! user's that the common name of its subject names, if it has one common name. What names more
//! than one names nobody: which of them was meant is not ours to guess. Names that no DNS name can
//! have, such as one with an `@`, are passed over among the alternative names. The chain is checked
//! elsewhere, before this looks at it.

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

/// The elements of a DER encoding that are still to come.
pub(super) struct Elements<'d>(pub(super) &'d [u8]);

impl<'d> Elements<'d> {
    /// The content of the next element, if it has this tag and is whole; else nothing is taken.
    pub(super) fn next(&mut self, tag: u8) -> Option<&'d [u8]> {
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

pub(super) const SEQUENCE: u8 = 0x30;
const SET: u8 = 0x31;
pub(super) const IDENTIFIER: u8 = 0x06;
const UTF8_STRING: u8 = 0x0c;
const PRINTABLE_STRING: u8 = 0x13;
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
}
