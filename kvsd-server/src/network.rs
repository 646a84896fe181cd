//! Where a client comes from, as far as it cannot choose: what is counted for each client's address
//! is counted for this.
//!
//! Knows addresses; never a connection.

use std::net::IpAddr;

/// A host of IPv4, or the network of IPv6 in which a host has all addresses to itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) struct Network(IpAddr);

impl Network {
    /// The network of this address.
    pub(crate) fn of(address: IpAddr) -> Self {
        Self(match address.to_canonical() {
            IpAddr::V4(address) => IpAddr::V4(address),
            IpAddr::V6(address) => {
                IpAddr::V6((address.to_bits() & (u128::MAX << HOST_BITS)).into())
            }
        })
    }
}

/// The part of an IPv6 address that a host chooses.
const HOST_BITS: u32 = 64;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_host_is_one_network_whatever_address_it_takes() {
        let of = |address: &str| Network::of(address.parse().unwrap());
        assert_eq!(of("2001:db8:1:2::1"), of("2001:db8:1:2:ffff:ffff:ffff:ffff"));
        assert_ne!(of("2001:db8:1:2::1"), of("2001:db8:1:3::1"));
        assert_eq!(of("192.0.2.1"), of("::ffff:192.0.2.1"));
        assert_ne!(of("192.0.2.1"), of("192.0.2.2"));
    }
}
