//! An address after resolution in, whether it may be dialled out.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// How far a target may reach.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Policy {
    /// Everything but loopback, link-local and metadata addresses.
    Guarded,
    /// Loopback too.
    Loopback,
}

/// Instance metadata outside the link-local ranges: Alibaba Cloud, Azure's wire server, Oracle Cloud.
const METADATA_V4: [Ipv4Addr; 3] =
    [Ipv4Addr::new(100, 100, 100, 200), Ipv4Addr::new(168, 63, 129, 16), Ipv4Addr::new(192, 0, 0, 192)];

/// Why an address is refused; `None` when it may be dialled.
#[must_use]
pub fn refusal(address: IpAddr, policy: Policy) -> Option<&'static str> {
    let address = embedded_v4(address).map_or(address, IpAddr::V4);
    if is_link_local(address) || is_metadata(address) {
        return Some("a link-local or metadata address");
    }
    // On Linux the unspecified address connects to the host itself.
    if (address.is_loopback() || address.is_unspecified()) && policy == Policy::Guarded {
        return Some("a loopback address; `loopback: true` allows a server in the same Pod");
    }
    let broadcast = matches!(address, IpAddr::V4(v4) if v4.is_broadcast());
    (address.is_multicast() || broadcast).then_some("a multicast or broadcast address")
}

fn is_link_local(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(v4) => v4.is_link_local(),
        IpAddr::V6(v6) => v6.is_unicast_link_local(),
    }
}

fn is_metadata(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(v4) => METADATA_V4.contains(&v4),
        // AWS (instance metadata, Pod Identity) and Google Cloud.
        IpAddr::V6(v6) => matches!(v6.segments(), [0xfd00, 0x0ec2, ..] | [0xfd20, 0x00ce, ..]),
    }
}

/// The IPv4 address that an IPv6 address stands for: mapped, compatible, NAT64 and 6to4.
fn embedded_v4(address: IpAddr) -> Option<Ipv4Addr> {
    let IpAddr::V6(v6) = address else { return None };
    let of = |high: u16, low: u16| Some(Ipv4Addr::from((u32::from(high) << 16) | u32::from(low)));
    if v6 == Ipv6Addr::LOCALHOST || v6 == Ipv6Addr::UNSPECIFIED {
        return None;
    }
    match v6.segments() {
        [0, 0, 0, 0, 0, 0xffff | 0, high, low] | [0x0064, 0xff9b, 0, 0, 0, 0, high, low] => of(high, low),
        [0x2002, high, low, ..] => of(high, low),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn link_local_and_metadata_are_refused_however_they_are_written() {
        for text in [
            "169.254.169.254",
            "169.254.170.2",
            "169.254.0.1",
            "::ffff:169.254.169.254",
            "::169.254.169.254",
            "64:ff9b::a9fe:a9fe",
            "2002:a9fe:a9fe::1",
            "fe80::1",
            "febf::1",
            "fd00:ec2::254",
            "fd00:ec2::23",
            "fd20:ce::254",
            "100.100.100.200",
            "168.63.129.16",
        ] {
            let address: IpAddr = text.parse().unwrap();
            assert!(refusal(address, Policy::Loopback).is_some(), "{text} was let through");
        }
    }

    #[test]
    fn loopback_needs_leave() {
        for text in ["127.0.0.1", "127.9.9.9", "::1", "0.0.0.0", "::", "::ffff:127.0.0.1", "64:ff9b::7f00:1"] {
            let address: IpAddr = text.parse().unwrap();
            assert!(refusal(address, Policy::Guarded).is_some(), "{text} was let through");
            assert_eq!(refusal(address, Policy::Loopback), None, "{text}");
        }
    }

    #[test]
    fn cluster_and_public_addresses_pass() {
        for text in
            ["10.96.0.10", "172.20.1.1", "192.168.1.1", "8.8.8.8", "fd00:10:96::a", "2600:1f18::1", "100.64.0.1"]
        {
            let address: IpAddr = text.parse().unwrap();
            assert_eq!(refusal(address, Policy::Guarded), None, "{text}");
        }
    }

    #[test]
    fn multicast_and_broadcast_are_refused() {
        for text in ["224.0.0.1", "255.255.255.255", "ff02::1"] {
            assert!(refusal(text.parse().unwrap(), Policy::Loopback).is_some(), "{text} was let through");
        }
    }
}
