//! `/proc/net`: who listens where.

use std::collections::BTreeSet;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

/// The address of a line of `/proc/net/{tcp,udp}{,6}`: each word of it is in this machine's byte order.
fn address(text: &str) -> Option<SocketAddr> {
    let (ip, port) = text.split_once(':')?;
    let port = u16::from_str_radix(port, 16).ok()?;
    let words: Vec<[u8; 4]> = (0..ip.len() / 8)
        .map(|n| u32::from_str_radix(&ip[n * 8..][..8], 16).map(u32::to_ne_bytes))
        .collect::<Result<_, _>>()
        .ok()?;
    let ip: IpAddr = match words.as_flattened().try_into() {
        Ok(four) => Ipv4Addr::from_octets(four).into(),
        Err(_) => Ipv6Addr::from_octets(words.as_flattened().try_into().ok()?).into(),
    };
    Some(SocketAddr::new(ip, port))
}

/// What listens in the network namespace of a process or thread, by its `/proc` folder's name: `tcp 127.0.0.1:80`.
#[must_use]
pub fn listeners(of: &str) -> BTreeSet<String> {
    let mut found = BTreeSet::new();
    for (file, kind, state) in
        [("tcp", "tcp", "0A"), ("tcp6", "tcp", "0A"), ("udp", "udp", "07"), ("udp6", "udp", "07")]
    {
        let text = std::fs::read_to_string(format!("/proc/{of}/net/{file}")).unwrap_or_default();
        for line in text.lines().skip(1) {
            let fields: Vec<&str> = line.split_whitespace().collect();
            if fields.get(3) == Some(&state)
                && let Some(address) = fields.get(1).and_then(|text| address(text))
            {
                found.insert(format!("{kind} {address}"));
            }
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_listener_of_this_thread_is_seen_until_it_is_closed() {
        for own in ["127.0.0.1:0", "[::1]:0"] {
            let listener = std::net::TcpListener::bind(own).expect("loopback");
            let line = format!("tcp {}", listener.local_addr().expect("bound"));
            assert!(listeners("thread-self").contains(&line), "{line}");
            drop(listener);
            assert!(!listeners("thread-self").contains(&line), "{line}");
        }
    }
}
