//! The text of `--redis-url` in; where Redis is and how to log in out. Whatever shows it shows neither user nor password.

use redis::{ConnectionAddr, ConnectionInfo, IntoConnectionInfo};
use std::fmt;

/// Where Redis is.
#[derive(Clone)]
pub struct Address {
    info: ConnectionInfo,
    shown: String,
}

/// The text is no address. It is not repeated: it may hold a password.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "the value of --redis-url is no address of a Redis: write redis://[user:password@]host[:port][/database], or rediss:// for TLS; what is \
     no letter, digit or - in a password is written as % and two hexadecimal digits"
)]
pub struct AddressError;

impl Address {
    /// # Errors
    /// It is no address of a Redis that is reached over TCP.
    pub fn parse(text: &str) -> Result<Self, AddressError> {
        let (scheme, _) = text.split_once("://").ok_or(AddressError)?;
        // A fragment would turn the check of certificates off.
        if !["redis", "rediss", "valkey", "valkeys"].contains(&scheme) || text.contains('#') {
            return Err(AddressError);
        }
        let info = text.into_connection_info().map_err(|_| AddressError)?;
        let (host, port, scheme) = match info.addr() {
            ConnectionAddr::Tcp(host, port) => (host, port, "redis"),
            ConnectionAddr::TcpTls { host, port, .. } => (host, port, "rediss"),
            _ => return Err(AddressError),
        };
        let host = if host.contains(':') { format!("[{host}]") } else { host.clone() };
        let shown = format!("{scheme}://{host}:{port}/{}", info.redis_settings().db());
        Ok(Self { info, shown })
    }

    pub(super) fn info(&self) -> ConnectionInfo {
        self.info.clone()
    }

    /// Everything that a stranger would have to know: the stuff of keys when there is no Secret. Secret itself.
    #[must_use]
    pub fn material(&self) -> Vec<u8> {
        let place = self.shown.split_once("://").map_or("", |(_, place)| place);
        [self.login().as_slice(), place.as_bytes()].concat()
    }

    /// User and password, which are the same whatever name the host has. Secret.
    #[must_use]
    pub fn login(&self) -> Vec<u8> {
        let settings = self.info.redis_settings();
        let mut login = Vec::new();
        for part in [settings.username(), settings.password()].map(Option::unwrap_or_default) {
            // Lengths keep one part from running into the next.
            login.extend_from_slice(&part.len().to_be_bytes());
            login.extend_from_slice(part.as_bytes());
        }
        login
    }

    /// Whether there is a password at all.
    #[must_use]
    pub fn has_password(&self) -> bool {
        self.info.redis_settings().password().is_some_and(|password| !password.is_empty())
    }
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.shown)
    }
}

impl fmt::Debug for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Address({})", self.shown)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_is_shown_without_its_secrets() {
        let address = Address::parse("rediss://ann:p%40ss@cache.team.svc:6380/3").unwrap();
        assert_eq!(address.to_string(), "rediss://cache.team.svc:6380/3");
        assert_eq!(format!("{address:?}"), "Address(rediss://cache.team.svc:6380/3)");
        assert!(address.has_password() && address.info().redis_settings().password() == Some("p@ss"));
        assert_eq!(Address::parse("valkey://[::1]").unwrap().to_string(), "redis://[::1]:6379/0");
        assert!(!Address::parse("redis://host").unwrap().has_password());
    }

    #[test]
    fn what_is_no_address_is_refused_without_being_repeated() {
        let bad = [
            "",
            "redis",
            "http://pass@host",
            "redis://",
            "redis://:pass@host:port",
            "unix:///run/redis",
            "redis://:pass@host/x",
        ];
        for text in bad.into_iter().chain(["rediss://:pass@host#insecure"]) {
            let error = Address::parse(text).unwrap_err().to_string();
            assert!(!error.contains("pass@"), "{error}");
        }
    }

    #[test]
    fn keys_differ_with_everything_that_is_known() {
        let texts = [
            "redis://h",
            "redis://:p@h",
            "redis://p:@h",
            "redis://:q@h",
            "redis://:p@i",
            "redis://:p@h:1",
            "redis://:p@h/1",
        ];
        let material: std::collections::BTreeSet<_> = texts.map(|text| Address::parse(text).unwrap().material()).into();
        assert_eq!(material.len(), texts.len());
        let login = |text: &str| Address::parse(text).unwrap().login();
        assert_eq!(login("redis://u:p@h"), login("rediss://u:p@other:7/2"));
    }
}
