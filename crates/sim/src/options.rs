//! What the simulator can be told, on the command line and by tests.

use crate::providers::Provider;
use crate::spec::Protocol;
use clap::Parser;
use std::path::PathBuf;

/// Venues that do not exist, speaking the protocols of real ones.
#[derive(Parser, Clone, Debug)]
#[command(name = "tidemill sim", version, about)]
pub struct Options {
    /// Home directory; where to find the venues is written to DIR/run/sim.json [default: TIDEMILL_HOME]
    #[arg(long, value_name = "DIR")]
    pub home: Option<PathBuf>,
    /// Protocols to speak: kraken, coinbase, binance, coinbase-advanced [default: the first three; none with --providers]
    #[arg(long, value_delimiter = ',', value_parser = parse_protocol)]
    pub venues: Vec<Protocol>,
    /// Providers of history to play, over made-up US stocks and crypto: polygon, alpaca, iqfeed
    #[arg(long, value_delimiter = ',', value_parser = parse_provider)]
    pub providers: Vec<Provider>,
    /// Trades of the providers' stocks and crypto, as a multiple of the usual number
    #[arg(long, default_value_t = 1.0, value_parser = parse_density)]
    pub density: f64,
    /// The same seed and rate give the same events
    #[arg(long, default_value_t = 1)]
    pub seed: u64,
    /// Messages per second over all venues, as a client sees them that takes trades, books and quotes of everything
    #[arg(long, default_value_t = 200.0, value_parser = parse_rate)]
    pub rate: f64,
    /// Log everything the venues do, as JSON lines; a file that exists is continued
    #[arg(long, value_name = "FILE")]
    pub truth: Option<PathBuf>,
    /// First port: kraken N, coinbase N+1, binance N+2, coinbase-advanced N+3, control N+9, polygon N+10, alpaca N+11, iqfeed N+12 to N+15; 0 = any free ones
    #[arg(long, value_name = "N", default_value_t = 0, value_parser = clap::value_parser!(u16).range(0..=65_515))]
    pub port_base: u16,
    /// Venue seconds per second; in a replay 0 = as fast as the client reads
    #[arg(long, default_value_t = 1.0, value_parser = parse_speed)]
    pub speed: f64,
    /// Play a recording instead of a market; needs exactly one of --venues
    #[arg(long, value_name = "FILE")]
    pub replay: Option<PathBuf>,
    /// Venue time at the start in nanoseconds since the epoch, for runs that can be compared byte for byte [default: now]
    #[arg(long, value_name = "NS")]
    pub start: Option<i64>,
    /// Exit when standard input ends
    #[arg(long)]
    pub supervised: bool,
}

/// Where neither venues nor providers are asked for.
const DEFAULT_VENUES: [Protocol; 3] = [Protocol::Kraken, Protocol::Coinbase, Protocol::Binance];

impl Default for Options {
    fn default() -> Self {
        Self {
            home: None,
            venues: DEFAULT_VENUES.to_vec(),
            providers: Vec::new(),
            density: 1.0,
            seed: 1,
            rate: 200.0,
            truth: None,
            port_base: 0,
            speed: 1.0,
            replay: None,
            start: None,
            supervised: false,
        }
    }
}

impl Options {
    /// What clap cannot see: that the options fit together.
    pub fn check(&mut self) -> Result<(), String> {
        self.venues.sort_unstable();
        self.venues.dedup();
        self.providers.sort_unstable();
        self.providers.dedup();
        if self.venues.is_empty() && self.providers.is_empty() {
            self.venues = DEFAULT_VENUES.to_vec();
        }
        if self.replay.is_some() && !self.providers.is_empty() {
            return Err("--replay plays a venue's recording; leave out --providers".to_owned());
        }
        if self.replay.is_some() && self.venues.len() != 1 {
            return Err(format!(
                "--replay plays the messages of one venue; --venues names {}",
                self.venues.len()
            ));
        }
        if self.replay.is_none() && self.speed == 0.0 {
            return Err("--speed 0 is for --replay; a market needs a pace above 0".to_owned());
        }
        Ok(())
    }
}

fn parse_protocol(text: &str) -> Result<Protocol, String> {
    Protocol::by_name(text).ok_or_else(|| {
        format!("no protocol named '{text}'; have: kraken, coinbase, binance, coinbase-advanced")
    })
}

fn parse_provider(text: &str) -> Result<Provider, String> {
    let names = Provider::ALL.map(Provider::name).join(", ");
    Provider::by_name(text).ok_or_else(|| format!("no provider named '{text}'; have: {names}"))
}

fn parse_density(text: &str) -> Result<f64, String> {
    let density = text.parse::<f64>().map_err(|e| e.to_string())?;
    if (0.01..=100.0).contains(&density) {
        Ok(density)
    } else {
        Err("must be from 0.01 to 100".to_owned())
    }
}

fn parse_rate(text: &str) -> Result<f64, String> {
    let rate = text.parse::<f64>().map_err(|e| e.to_string())?;
    if (0.1..=200_000.0).contains(&rate) {
        Ok(rate)
    } else {
        Err("must be from 0.1 to 200000 per second".to_owned())
    }
}

fn parse_speed(text: &str) -> Result<f64, String> {
    let speed = text.parse::<f64>().map_err(|e| e.to_string())?;
    if (0.0..=1e6).contains(&speed) {
        Ok(speed)
    } else {
        Err("must be from 0 to 1000000".to_owned())
    }
}
