//! Why a client was refused: one word for each reason, the same in metrics, logs and documents.
//!
//! A reason that is new here gets its line in `docs/metrics.md`.

/// Why a connection was not served any further, or a request was not carried out.
///
/// That all slots are taken is none: whoever comes then waits.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Refusal {
    /// The address has as many connections as one may have.
    AddressFull,
    /// There are as many connections as there may be that have not said who they are.
    UnauthenticatedFull,
    /// The client had not authenticated itself in time.
    HandshakeLate,
    /// The connection had nothing to do for too long.
    Idle,
    /// TLS did not come about.
    Tls,
    /// The client spoke TLS to a plain port.
    TlsOnPlain,
    /// The client speaks no version of the protocol that the server speaks.
    Version,
    /// The client did not say who it is, and had to.
    NoCredentials,
    /// The user is unknown, or the password is wrong.
    WrongCredentials,
    /// The client's certificate names no user.
    WrongCertificate,
    /// The user has failed to log in too often from that address.
    TooManyFailures,
    /// Too many clients logged in at once.
    LoginQueueFull,
    /// What came is not the protocol.
    Garbage,
    /// The user may not do that.
    Denied,
    /// A message or a request was over one of the limits that the server announces.
    OverLimit,
    /// The client does not read, and its answers have reached the hard limit.
    OutputFull,
    /// All connections together hold as much memory as they may.
    MemoryFull,
    /// The disk has too little room left for writes.
    DiskLow,
}

impl Refusal {
    /// All reasons, in the order of their declaration.
    pub(crate) const ALL: [Self; 18] = [
        Self::AddressFull,
        Self::UnauthenticatedFull,
        Self::HandshakeLate,
        Self::Idle,
        Self::Tls,
        Self::TlsOnPlain,
        Self::Version,
        Self::NoCredentials,
        Self::WrongCredentials,
        Self::WrongCertificate,
        Self::TooManyFailures,
        Self::LoginQueueFull,
        Self::Garbage,
        Self::Denied,
        Self::OverLimit,
        Self::OutputFull,
        Self::MemoryFull,
        Self::DiskLow,
    ];

    /// The word for the reason. It never changes: dashboards and alerts are made of it.
    pub(crate) const fn label(self) -> &'static str {
        match self {
            Self::AddressFull => "address_full",
            Self::UnauthenticatedFull => "unauthenticated_full",
            Self::HandshakeLate => "handshake_late",
            Self::Idle => "idle",
            Self::Tls => "tls",
            Self::TlsOnPlain => "tls_on_plain",
            Self::Version => "version",
            Self::NoCredentials => "no_credentials",
            Self::WrongCredentials => "wrong_credentials",
            Self::WrongCertificate => "wrong_certificate",
            Self::TooManyFailures => "too_many_failures",
            Self::LoginQueueFull => "login_queue_full",
            Self::Garbage => "garbage",
            Self::Denied => "denied",
            Self::OverLimit => "over_limit",
            Self::OutputFull => "output_full",
            Self::MemoryFull => "memory_full",
            Self::DiskLow => "disk_low",
        }
    }
}

/// Each reason stands at its own place, so that it finds its counter.
const _: () = {
    let mut place = 0;
    while place < Refusal::ALL.len() {
        assert!(Refusal::ALL[place] as usize == place, "in the order of the declaration");
        place += 1;
    }
    assert!(Refusal::DiskLow as usize + 1 == Refusal::ALL.len(), "all of them");
};

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn each_reason_has_a_word_of_its_own_that_needs_no_quoting() {
        let words: BTreeSet<_> = Refusal::ALL.map(Refusal::label).into();
        assert_eq!(words.len(), Refusal::ALL.len());
        for word in words {
            assert!(word.bytes().all(|byte| byte.is_ascii_lowercase() || byte == b'_'), "{word}");
        }
    }
}
