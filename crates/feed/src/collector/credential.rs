//! What a venue's login needs, from the environment. Nothing here is ever printed: not in a log, a status, an
//! error or a kept message.

use venues::Protocol;

use crate::failure::{Category, Failure};
use crate::http::Url;

/// The secrets of a collector, in the order of [`Protocol::credentials`].
#[derive(Clone, Default)]
pub struct Secrets(Vec<String>);

impl Secrets {
    /// Of the environment. A simulated venue takes anything, so it is given nothing that is worth something.
    pub fn find(
        protocol: &dyn Protocol,
        simulated: bool,
        variable: impl Fn(&str) -> Option<String>,
    ) -> Result<Self, Failure> {
        let mut found = Vec::new();
        let mut missing = Vec::new();
        for names in protocol.credentials() {
            let value = if simulated {
                Some("simulated".to_owned())
            } else {
                let set = names.iter().filter_map(|name| variable(name));
                set.map(|value| value.trim().to_owned())
                    .find(|value| !value.is_empty())
            };
            match value {
                Some(value) => found.push(value),
                None => missing.push(names.join(" or ")),
            }
        }
        if missing.is_empty() {
            return Ok(Self(found));
        }
        let names = missing.join(", ");
        let verb = if missing.len() == 1 { "is" } else { "are" };
        Err(Failure::new(
            Category::Auth,
            "credential_missing",
            format!("{} needs a key, and {names} {verb} not set", protocol.name()),
            "set it in the environment, or `keyring set tidemill NAME`; docs/providers.md",
        ))
    }

    pub fn values(&self) -> &[String] {
        &self.0
    }

    /// Does a message of the venue repeat one of them?
    pub fn within(&self, data: &[u8]) -> bool {
        self.0.iter().any(|secret| {
            let secret = secret.as_bytes();
            !secret.is_empty() && data.windows(secret.len()).any(|window| window == secret)
        })
    }

    /// A key goes out encrypted, or stays on this machine.
    pub fn check(&self, url: &Url) -> Result<(), Failure> {
        let numeric = url.host.parse::<std::net::IpAddr>();
        let loopback = url.host == "localhost" || numeric.is_ok_and(|address| address.is_loopback());
        if self.0.is_empty() || url.secure || loopback {
            return Ok(());
        }
        Err(Failure::new(
            Category::Usage,
            "address_unfit",
            format!("--url {url} would send a key that anybody on the way can read"),
            "write wss://",
        ))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_variable_that_is_set_wins_and_missing_ones_are_named() {
        let polygon = venues::by_name("polygon").unwrap();
        let set = |name: &str| (name == "MASSIVE_API_KEY").then(|| " k1 ".to_owned());
        assert_eq!(Secrets::find(polygon, false, set).unwrap().values(), ["k1"]);
        let alpaca = venues::by_name("alpaca").unwrap();
        let half = |name: &str| (name == "ALPACA_API_KEY").then(|| "k1".to_owned());
        let failure = Secrets::find(alpaca, false, half).err().unwrap();
        assert_eq!(
            failure.message,
            "alpaca needs a key, and ALPACA_API_SECRET is not set"
        );
        assert_eq!(failure.category.exit_code(), 4);
        let simulated = Secrets::find(alpaca, true, set).unwrap();
        assert_eq!(simulated.values(), ["simulated", "simulated"]);
        let kraken = venues::by_name("kraken").unwrap();
        assert!(
            Secrets::find(kraken, false, |_| None)
                .unwrap()
                .values()
                .is_empty()
        );
    }

    #[test]
    fn a_key_never_goes_over_an_open_line() {
        let secrets = Secrets(vec!["k1".into()]);
        for (url, fits) in [
            ("wss://socket.example", true),
            ("ws://127.0.0.1:9", true),
            ("ws://[::1]:9", true),
            ("ws://127.example", false),
            ("ws://socket.example", false),
        ] {
            let checked = secrets.check(&Url::parse(url).unwrap());
            assert_eq!(checked.is_ok(), fits, "{url}");
        }
        assert!(
            Secrets::default()
                .check(&Url::parse("ws://a.example").unwrap())
                .is_ok()
        );
        assert!(secrets.within(b"..k1..") && !secrets.within(b"k") && !secrets.within(b""));
    }
}
