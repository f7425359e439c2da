//! Addresses in conditions: the requests that they can match.

use super::Class::{Error, Suggestion};
use super::facts::Family;
use super::tree::Node;
use super::view::{Condition, Policy};
use super::{ALL, Check, Sink};
use crate::condition::network;
use crate::document::Comparison;
use ipnet::IpNet;
use std::net::Ipv4Addr;

pub(super) const CHECKS: &[Check] = &[
    Check::new(
        Error,
        "PRIVATE_IP_ADDRESS",
        ALL,
        "Every value of aws:SourceIp under IpAddress is a private address.",
        private_ip_address,
    ),
    Check::new(
        Error,
        "PRIVATE_NOT_IP_ADDRESS",
        ALL,
        "Every value of aws:SourceIp under NotIpAddress is a private address.",
        private_not_ip_address,
    ),
    Check::new(
        Suggestion,
        "PRIVATE_IP_ADDRESS_SUBSET",
        ALL,
        "Some values of aws:SourceIp under IpAddress are private addresses, and some are not.",
        private_ip_address_subset,
    ),
    Check::new(
        Suggestion,
        "PRIVATE_NOT_IP_ADDRESS_SUBSET",
        ALL,
        "Some values of aws:SourceIp under NotIpAddress are private addresses, and some are not.",
        private_not_ip_address_subset,
    ),
    Check::new(
        Suggestion,
        "IMPROVE_IP_RANGE",
        ALL,
        "An address of a range has bits set beyond the range's prefix.",
        improve_ip_range,
    ),
];

/// The private ranges of IPv4, as RFC 1918 has them.
fn is_private(network: &IpNet) -> bool {
    let IpNet::V4(network) = network else { return false };
    let ranges = [
        (Ipv4Addr::new(10, 0, 0, 0), 8),
        (Ipv4Addr::new(172, 16, 0, 0), 12),
        (Ipv4Addr::new(192, 168, 0, 0), 16),
    ];
    ranges.iter().any(|(address, prefix)| {
        ipnet::Ipv4Net::new(*address, *prefix).is_ok_and(|range| range.contains(network))
    })
}

/// How many values of a condition are private addresses, and how many are not.
fn count(condition: &Condition<'_>) -> (usize, usize) {
    let networks: Vec<_> = condition.texts().filter_map(|text| network(text.text)).collect();
    let private = networks.iter().filter(|network| is_private(network)).count();
    (private, networks.len() - private)
}

/// The values of `aws:SourceIp` under an operator, those of which are private alone or not.
fn source_ip<'a>(
    policy: &'a Policy<'_>,
    operator: Comparison,
    alone: bool,
) -> impl Iterator<Item = &'a Node> {
    let conditions = policy.conditions().map(|(_, condition)| condition);
    let found = conditions.filter(move |condition| {
        let (private, public) = count(condition);
        condition.is("aws:SourceIp")
            && condition.comparison() == Some(operator)
            && private > 0
            && (public == 0) == alone
    });
    found.map(|condition| &condition.entry.node)
}

fn private_ip_address(policy: &Policy<'_>, sink: &mut Sink<'_>) {
    for node in source_ip(policy, Comparison::IpAddress, true) {
        sink.add(
            node,
            "aws:SourceIp works only for public IP address ranges. The values for condition key \
             aws:SourceIp include only private IP addresses and will not have the desired effect. \
             Update the value to include only public IP addresses.",
        );
    }
}

fn private_not_ip_address(policy: &Policy<'_>, sink: &mut Sink<'_>) {
    for node in source_ip(policy, Comparison::NotIpAddress, true) {
        sink.add(
            node,
            "The values for condition key aws:SourceIp include only private IP addresses and has no \
             effect. aws:SourceIp works only for public IP address ranges. Update the value to \
             include only public IP addresses.",
        );
    }
}

fn private_ip_address_subset(policy: &Policy<'_>, sink: &mut Sink<'_>) {
    for node in source_ip(policy, Comparison::IpAddress, false) {
        sink.add(
            node,
            "The values for condition key aws:SourceIp include a mix of private and public IP \
             addresses. The private addresses will not have the desired effect. aws:SourceIp works \
             only for public IP address ranges. To define permissions for private IP ranges, use \
             aws:VpcSourceIp.",
        );
    }
}

fn private_not_ip_address_subset(policy: &Policy<'_>, sink: &mut Sink<'_>) {
    for node in source_ip(policy, Comparison::NotIpAddress, false) {
        sink.add(
            node,
            "The values for condition key aws:SourceIp include a mix of private and public IP \
             addresses. The private addresses have no effect. aws:SourceIp works only for public IP \
             address ranges. To define permissions for private IP ranges, use aws:VpcSourceIp.",
        );
    }
}

fn improve_ip_range(policy: &Policy<'_>, sink: &mut Sink<'_>) {
    for (_, condition) in policy.conditions() {
        if condition.family() != Some(Family::Address) {
            continue;
        }
        for text in condition.texts() {
            let Ok(range) = text.text.parse::<IpNet>() else { continue };
            if range.addr() != range.network() {
                sink.add(
                    text.node,
                    format_args!(
                        "The non-zero bits in the IP address after the masked bits are ignored. \
                         Replace address with {}.",
                        range.network()
                    ),
                );
            }
        }
    }
}

#[cfg(test)]
pub(super) mod tests {
    use super::super::tests::{Case, case};

    pub const CASES: &[Case] = &[
        case(
            "PRIVATE_IP_ADDRESS",
            "identity",
            r#""Condition": {"IpAddress": {"aws:SourceIp": ["10.1.0.0/16", "192.168.1.1"]}}"#,
            r#"["10.1.0.0/16", "192.168.1.1"]"#,
        )
        .but(r#""Condition": {"IpAddress": {"aws:SourceIp": "172.32.0.0/16"}}"#),
        case(
            "PRIVATE_NOT_IP_ADDRESS",
            "identity",
            r#""Condition": {"NotIpAddressIfExists": {"aws:SourceIp": "172.31.0.0/16"}}"#,
            r#""172.31.0.0/16""#,
        )
        .but(r#""Condition": {"NotIpAddress": {"aws:VpcSourceIp": "172.31.0.0/16"}}"#),
        case(
            "PRIVATE_IP_ADDRESS_SUBSET",
            "identity",
            r#""Condition": {"IpAddress": {"aws:SourceIp": ["10.0.0.0/8", "203.0.113.0/24"]}}"#,
            r#"["10.0.0.0/8", "203.0.113.0/24"]"#,
        )
        .but(r#""Condition": {"IpAddress": {"aws:SourceIp": ["0.0.0.0/0", "203.0.113.0/24"]}}"#),
        case(
            "PRIVATE_NOT_IP_ADDRESS_SUBSET",
            "identity",
            r#""Condition": {"NotIpAddress": {"aws:SourceIp": ["10.0.0.0/8", "203.0.113.0/24"]}}"#,
            r#"["10.0.0.0/8", "203.0.113.0/24"]"#,
        )
        .but(r#""Condition": {"NotIpAddress": {"aws:SourceIp": "10.0.0.0/8"}}"#),
        case(
            "IMPROVE_IP_RANGE",
            "identity",
            r#""Condition": {"IpAddress": {"aws:SourceIp": "203.0.113.7/24"}}"#,
            r#""203.0.113.7/24""#,
        )
        .says(
            "The non-zero bits in the IP address after the masked bits are ignored. Replace address \
             with 203.0.113.0.",
        )
        .but(r#""Condition": {"IpAddress": {"aws:SourceIp": ["203.0.113.0/24", "203.0.113.7"]}}"#),
    ];
}
