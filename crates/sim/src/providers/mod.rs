//! Simulated providers of history: who sells US stocks and crypto, each speaking its own protocol.
//!
//! All of them tell of one made-up world ([`world`]), live and in history alike. A provider is a line in
//! [`Provider`] and in [`open`]; those that speak REST and WebSocket are a [`web::Service`] each.

mod alpaca;
mod asset;
mod bar;
mod calendar;
mod fault;
mod iqfeed;
mod live;
mod msgpack;
mod page;
mod polygon;
mod text;
mod trade;
mod web;
mod world;

use crate::http::{Request, Response};
use crate::world::failure;
use serde_json::{Map, Value, json};
use std::sync::Arc;
use std::time::Instant;
use tokio::task::JoinHandle;
pub use world::World;

/// Whose protocol is spoken.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Provider {
    Polygon,
    Alpaca,
    IqFeed,
}

impl Provider {
    pub const ALL: [Self; 3] = [Self::Polygon, Self::Alpaca, Self::IqFeed];

    pub const fn name(self) -> &'static str {
        match self {
            Self::Polygon => "polygon",
            Self::Alpaca => "alpaca",
            Self::IqFeed => "iqfeed",
        }
    }

    /// Name of the simulated provider: never that of the real one.
    pub fn venue(self) -> String {
        format!("sim-{}", self.name())
    }

    pub fn by_name(name: &str) -> Option<Self> {
        let name = name.strip_prefix("sim-").unwrap_or(name);
        Self::ALL.into_iter().find(|provider| provider.name() == name)
    }

    /// Its first port above `--port-base`: after those of the venues and of control.
    const fn port(self) -> u16 {
        match self {
            Self::Polygon => 10,
            Self::Alpaca => 11,
            // And the three after it.
            Self::IqFeed => 12,
        }
    }
}

/// Time of the made-up world: begins at `--start`, goes at `--speed`.
#[derive(Clone, Copy, Debug)]
pub struct Clock {
    pub begun: Instant,
    pub start_ns: i64,
    pub speed: f64,
}

impl Clock {
    pub fn now_ns(self) -> i64 {
        self.start_ns + (self.begun.elapsed().as_nanos() as f64 * self.speed) as i64
    }
}

/// What every provider is opened with.
#[derive(Clone, Copy, Debug)]
pub struct Setting {
    pub world: World,
    pub clock: Clock,
    pub port_base: u16,
}

/// Faults and numbers of a running provider.
pub trait Control: Send + Sync {
    /// `POST /faults`: the HTTP status and the answer.
    fn fault(&self, body: &Value) -> (u16, Value);
    /// Faults that go on.
    fn faults(&self) -> Value;
    /// Ends them; how many there were.
    fn clear(&self) -> usize;
    /// For `GET /status`.
    fn status(&self) -> Value;
}

/// A provider that listens.
pub struct Opened {
    /// What `run/sim.json` says of it: a name and an address each.
    pub addresses: Map<String, Value>,
    pub control: Arc<dyn Control>,
    pub tasks: Vec<JoinHandle<()>>,
}

async fn open(provider: Provider, setting: Setting) -> Result<Opened, String> {
    match provider {
        Provider::Polygon => web::open(provider, setting, Box::<polygon::Polygon>::default()).await,
        Provider::Alpaca => web::open(provider, setting, Box::<alpaca::Alpaca>::default()).await,
        Provider::IqFeed => iqfeed::open(provider, setting).await,
    }
}

/// All providers of a run.
#[derive(Clone, Default)]
pub struct Providers {
    controls: Vec<(String, Arc<dyn Control>)>,
    /// `{"sim-polygon": {"rest": …}}`.
    pub addresses: Map<String, Value>,
}

/// Opens those that are asked for; adds their tasks to `tasks`.
pub async fn open_all(
    wanted: &[Provider],
    setting: Setting,
    tasks: &mut Vec<JoinHandle<()>>,
) -> Result<Providers, String> {
    let mut providers = Providers::default();
    for provider in wanted {
        let opened = open(*provider, setting).await?;
        tasks.extend(opened.tasks);
        providers
            .addresses
            .insert(provider.venue(), opened.addresses.into());
        providers.controls.push((provider.venue(), opened.control));
    }
    Ok(providers)
}

impl Providers {
    /// The provider that the body of `POST /faults` names; the only one where it names none and there is no
    /// venue either.
    fn named(&self, body: &Value, has_venues: bool) -> Option<&Arc<dyn Control>> {
        match body["venue"].as_str() {
            Some(name) => {
                let same = |venue: &str| venue == name || venue.strip_prefix("sim-") == Some(name);
                self.controls
                    .iter()
                    .find(|(venue, _)| same(venue))
                    .map(|(_, control)| control)
            }
            None if self.controls.len() == 1 && !has_venues => Some(&self.controls[0].1),
            None => None,
        }
    }

    /// `POST /faults` where it is for a provider.
    pub fn fault(&self, body: &Value, has_venues: bool) -> Option<(u16, Value)> {
        if let Some(control) = self.named(body, has_venues) {
            return Some(control.fault(body));
        }
        (!has_venues).then(|| {
            let names: Vec<&str> = self.controls.iter().map(|(venue, _)| venue.as_str()).collect();
            let asked = body["venue"].as_str().unwrap_or("");
            let why = format!("no venue named '{asked}'; have: {}", names.join(", "));
            (404, json!({ "error": why }))
        })
    }

    fn each(&self, what: impl Fn(&dyn Control) -> Value) -> Value {
        let all = self
            .controls
            .iter()
            .map(|(venue, control)| (venue.clone(), what(control.as_ref())));
        Value::Object(all.collect())
    }

    /// What `GET /status` says of them.
    pub fn status(&self) -> Value {
        self.each(|control| control.status())
    }

    /// Answers what the control port is asked of providers; `rest` answers the same of venues.
    pub fn control(
        &self,
        request: &Request,
        has_venues: bool,
        rest: impl FnOnce(&Request) -> Response,
    ) -> Response {
        if self.controls.is_empty() {
            return rest(request);
        }
        let path = request.path.trim_end_matches('/');
        match (request.method.as_str(), path) {
            ("POST", "/faults") => {
                let Ok(body) = serde_json::from_slice::<Value>(&request.body) else {
                    return failure(400, "the body is not a JSON object {\"venue\",\"fault\",…}");
                };
                match self.fault(&body, has_venues) {
                    Some((status, answer)) => Response::json(status, answer.to_string()),
                    None => rest(request),
                }
            }
            ("GET", "/faults" | "/status") | ("DELETE", "/faults") => {
                let answer = rest(request);
                let Ok(mut all) = serde_json::from_str::<Value>(&answer.body) else {
                    return answer;
                };
                match (request.method.as_str(), path) {
                    ("DELETE", _) => {
                        let more: usize = self.controls.iter().map(|(_, control)| control.clear()).sum();
                        all["cleared"] = json!(all["cleared"].as_u64().unwrap_or(0) + more as u64);
                    }
                    (_, "/status") => all["providers"] = self.status(),
                    _ => {
                        let active = self.each(|control| control.faults());
                        all["providers"] = json!({
                            "kinds": fault::catalogue(),
                            "kinds_iqfeed": iqfeed::catalogue(),
                            "active": active,
                        });
                    }
                }
                Response {
                    body: all.to_string(),
                    ..answer
                }
            }
            _ => rest(request),
        }
    }
}
