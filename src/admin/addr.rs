//! Where `healthcheck`, `app` and `status` find the supervisor.

use std::net::{SocketAddr, ToSocketAddrs};

/// The admin address if neither `--admin` nor `TASKMESH_ADMIN` says otherwise.
pub const DEFAULT_ADDR: &str = "127.0.0.1:19100";

/// Reads `HOST:PORT`; `localhost` is allowed, and so is the `http://` that people paste.
///
/// # Errors
/// A sentence for the user that quotes the value.
pub fn parse_addr(text: &str) -> Result<SocketAddr, String> {
    let bare = text.strip_prefix("http://").unwrap_or(text).trim_end_matches('/');
    if let Ok(addr) = bare.parse() {
        return Ok(addr);
    }
    let mut found = bare
        .to_socket_addrs()
        .map_err(|e| format!("`{text}` is not an address like {DEFAULT_ADDR}: {e}"))?;
    found.next().ok_or_else(|| format!("`{text}` names no address"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_as_people_write_them() {
        let want: SocketAddr = "127.0.0.1:19100".parse().unwrap();
        for text in ["127.0.0.1:19100", "http://127.0.0.1:19100", "http://127.0.0.1:19100/"] {
            assert_eq!(parse_addr(text), Ok(want), "{text}");
        }
        assert_eq!(parse_addr("localhost:7").unwrap().port(), 7);
        for text in ["", "19100", "127.0.0.1", "127.0.0.1:x", "http://"] {
            let said = parse_addr(text).unwrap_err();
            assert!(said.contains(text), "{said}");
        }
    }
}
