//! The process: arguments, start, the loop around the slots, control, drain.

use std::cell::Cell;
use std::path::PathBuf;
use std::rc::Rc;
use std::sync::mpsc::{SyncSender, sync_channel};
use std::time::Duration;

use clap::Args;
use journal::{Instrument, Options, Registry, Writer};
use serde_json::{Value, json};
use tokio::sync::{mpsc, watch};
use tokio::task::{JoinHandle, LocalSet};
use tokio::time::{MissedTickBehavior, interval, timeout};
use venues::{Channels, Protocol, Subscription};

use super::catalogue::Catalogue;
use super::core::{Core, Wanted};
use super::credential::Secrets;
use super::engine::{Engine, journal_failure};
use super::keep::Keeper;
use super::shared::Shared;
use super::slot::{Set, SlotView, keep_connected};
use super::status;
use super::table::{self, RestView};
use crate::control;
use crate::failure::{Category, Failure, nearest};
use crate::http::{Network, Url};
use crate::log::Log;
use crate::part::Stop;
use crate::relay::VenueSocket;

const S: i64 = 1_000_000_000;
/// A state frame is written so often, besides at each segment start.
const SAVE_SECONDS: u64 = 60;
/// Connections get so long to close when the process ends.
const DRAIN: Duration = Duration::from_secs(3);
const ANSWER: Duration = Duration::from_secs(5);

/// One process for one venue: connect, subscribe, parse, append to the journal.
#[derive(Args, Clone, Debug)]
pub struct Arguments {
    /// Protocol the venue speaks: kraken, coinbase, coinbase-advanced, binance, alpaca, alpaca-sip, polygon, iqfeed
    pub protocol: String,
    /// The platform's folder
    #[arg(long, env = "TIDEMILL_HOME", value_name = "DIR")]
    pub home: PathBuf,
    /// Name of the venue instance, as in BTC-USD.NAME; the protocol's name by default
    #[arg(long)]
    pub name: Option<String>,
    /// Instruments to collect, as BTC-USD,ETH-USD. Without it BTC and ETH against the venue's dollar; empty: none
    #[arg(long, value_name = "LIST")]
    pub instruments: Option<String>,
    /// Address of the stream instead of the venue's own: WebSocket, or lines over TCP
    #[arg(long, value_name = "ws://…|tcp://…")]
    pub url: Option<String>,
    /// REST base address instead of the venue's own
    #[arg(long, value_name = "http://…")]
    pub rest_url: Option<String>,
    /// Channels to collect
    #[arg(long, value_name = "LIST", default_value = "trades,quotes,book")]
    pub channels: String,
    /// Levels per side of the book; 0 is the venue's default
    #[arg(long, default_value_t = 0)]
    pub depth: u16,
    /// Keep raw messages byte for byte in DIR/raw
    #[arg(long)]
    pub keep_raw: bool,
    /// Bound of the raw files of this venue; the oldest go first
    #[arg(long, value_name = "BYTES", default_value_t = 10 << 30)]
    pub raw_max_bytes: u64,
    /// Bound of the journal; 0 is the smaller of 10 GiB and 10 % of the disk
    #[arg(long, value_name = "BYTES", default_value_t = 0)]
    pub journal_max_bytes: u64,
    /// Hours after which records leave the journal once they are stored; 0 keeps them while there is room
    #[arg(long, value_name = "HOURS", default_value_t = 0, value_parser = clap::value_parser!(u32).range(..=1_000_000))]
    pub journal_keep_hours: u32,
    /// Size of a journal segment
    #[arg(long, value_name = "BYTES", default_value_t = 64 << 20)]
    pub segment_bytes: u64,
    /// Replace each connection after so many seconds; 0: in time before the venue ends it
    #[arg(long, value_name = "SECONDS", default_value_t = 0)]
    pub rotate_s: u32,
    /// End when stdin reaches its end: the supervisor is gone
    #[arg(long)]
    pub supervised: bool,
}

/// Runs a collector until it is told to stop. Returns the process's exit code.
pub fn run(arguments: Arguments) -> i32 {
    let name = arguments
        .name
        .clone()
        .unwrap_or_else(|| arguments.protocol.clone());
    let log = Log::new(&format!("collector-{name}"));
    let runtime = match tokio::runtime::Builder::new_current_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => {
            log.error("no runtime", json!({"error": error.to_string()}));
            return Category::Internal.exit_code();
        }
    };
    let outcome = LocalSet::new().block_on(&runtime, collect(arguments, &name, &log));
    let code = match outcome {
        Ok(()) => 0,
        Err(failure) => {
            log.error(&failure.message, json!({"error": failure.to_json()}));
            failure.category.exit_code()
        }
    };
    crate::log::flush(Duration::from_secs(1));
    code
}

/// A request of the control socket, answered by the loop.
struct Command {
    op: String,
    request: Value,
    reply: SyncSender<Result<Value, Failure>>,
}

async fn collect(arguments: Arguments, name: &str, log: &Log) -> Result<(), Failure> {
    // First of all: from here on SIGTERM and SIGINT end the process in order.
    let mut stop = Stop::new(arguments.supervised).map_err(|error| {
        Failure::new(
            Category::Internal,
            "signals",
            format!("signals cannot be received: {error}"),
            "",
        )
    })?;
    let mut process = Process::start(&arguments, name, log)?;
    let (commands, mut asked) = mpsc::channel::<Command>(64);
    let stopper = stop.stopper();
    let server = control::serve(
        &arguments.home,
        &format!("collector-{name}"),
        move |op: &str, request: &Value| {
            if op == "drain" {
                stopper.stop();
                return Ok(json!({"draining": true}));
            }
            let (reply, answer) = sync_channel(1);
            let command = Command {
                op: op.to_owned(),
                request: request.clone(),
                reply,
            };
            let busy = || {
                Failure::new(
                    Category::Timeout,
                    "part_busy",
                    "the collector did not answer in time",
                    "ask again",
                )
            };
            commands.try_send(command).map_err(|_| busy())?;
            answer.recv_timeout(ANSWER).map_err(|_| busy())?
        },
    )?;
    let socket = VenueSocket::serve(&arguments.home, name, log)?;
    log.info(
        "collecting",
        json!({"venue": name, "protocol": process.shared.protocol.name(), "url": process.shared.ws_url.to_string(),
               "epoch": process.shared.engine.borrow().epoch(), "control": server.path().display().to_string()}),
    );

    let (tables, mut fetched) = mpsc::channel(1);
    let kept = (arguments.home.clone(), name.to_owned());
    let fetching = tokio::task::spawn_local(table::fetch(
        process.shared.clone(),
        process.rest.clone(),
        kept,
        tables,
    ));
    let mut seconds = interval(Duration::from_secs(1));
    seconds.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut second = 0u64;
    let outcome = loop {
        tokio::select! {
            why = stop.wait() => {
                log.info("ending", json!({"reason": why}));
                break Ok(());
            }
            () = process.shared.fatal.notified() => break Ok(()), // the engine holds the reason
            Some(command) = asked.recv() => {
                let answer = process.answer(&command.op, &command.request);
                let _ = command.reply.send(answer); // who asked may have gone
            }
            Some(catalogue) = fetched.recv() => {
                process.table(catalogue);
                if let Some(failure) = process.nothing_to_do(arguments.supervised) {
                    break Err(failure);
                }
            }
            _ = seconds.tick() => {
                second += 1;
                let mut engine = process.shared.engine.borrow_mut();
                engine.second();
                if second.is_multiple_of(SAVE_SECONDS) {
                    engine.save();
                }
                if engine.fatal.is_some() {
                    process.shared.fatal.notify_one();
                }
                drop(engine);
                process.check_slots();
                process.note_state();
            }
        }
    };
    fetching.abort();
    let closed = process.close().await;
    drop(socket); // after the last records, so that subscribers have them
    drop(server);
    outcome.and(closed)
}

struct SlotHandle {
    /// See [`Protocol::lane`].
    lane: u8,
    numbers: Vec<u32>,
    set: watch::Sender<Set>,
    view: Rc<SlotView>,
    task: JoinHandle<()>,
}

/// The collector while it runs.
pub struct Process {
    pub name: String,
    pub shared: Rc<Shared>,
    pub rest: Rc<RestView>,
    catalogue: Option<Catalogue>,
    /// Names asked for; `None` is the venue's default set.
    wanted: Option<Vec<String>>,
    /// What of them is collected: number and name.
    pub instruments: Vec<(u32, String)>,
    pub unknown: Vec<Failure>,
    slots: Vec<SlotHandle>,
    /// The state last told, and since when (wall, nanoseconds).
    pub state: Cell<(&'static str, i64)>,
}

impl Process {
    fn start(arguments: &Arguments, name: &str, log: &Log) -> Result<Self, Failure> {
        let protocol = find_protocol(&arguments.protocol)?;
        let channels = parse_channels(&arguments.channels, arguments.depth)?;
        let address = |given: &Option<String>, own: &str, option: &str| {
            Url::parse(given.as_deref().unwrap_or(own)).map_err(|error| {
                Failure::new(Category::Usage, "address_unfit", format!("{option}: {error}"), "")
            })
        };
        let ws_url = address(&arguments.url, protocol.endpoints().ws, "--url")?;
        let rest_url = match protocol.endpoints().rest {
            "" => ws_url.clone(), // there is none, and it is never asked
            own => address(&arguments.rest_url, own, "--rest-url")?,
        };
        let secrets = Secrets::find(
            protocol,
            name.starts_with("sim-") && arguments.url.is_some(),
            |name| std::env::var(name).ok(),
        )?;
        secrets.check(&ws_url)?;
        let network = Network::from_env().map_err(|error| {
            Failure::new(
                Category::Config,
                "proxy_unfit",
                error.message,
                "correct the variable",
            )
        })?;
        let home = &arguments.home;
        let venue =
            Registry::register(home, name, protocol.name()).map_err(|error| journal_failure(&error))?;
        if venue.protocol != protocol.name() {
            return Err(Failure::new(
                Category::Conflict,
                "venue_protocol",
                format!(
                    "'{name}' speaks {} in this home, not {}",
                    venue.protocol,
                    protocol.name()
                ),
                "give the other protocol another --name",
            ));
        }
        let options = Options {
            segment_bytes: arguments.segment_bytes,
            max_bytes: arguments.journal_max_bytes,
            keep_ns: i64::from(arguments.journal_keep_hours) * 3600 * S,
            ..Options::default()
        };
        let writer = Writer::open(home, name, &options).map_err(|error| journal_failure(&error))?;
        let raw_bytes = arguments.keep_raw.then_some(arguments.raw_max_bytes);
        let keeper = Keeper::start(home, name, raw_bytes, log.clone()).map_err(|error| {
            Failure::new(
                Category::Config,
                "raw_folder",
                format!("{error} while making {}", home.join("raw").join(name).display()),
                "see that this user may write the home",
            )
        })?;
        let wanted = Wanted {
            trades: channels.trades,
            quotes: channels.quotes,
            book: channels.book,
        };
        let core = Core::new(writer.next_sequence(), wanted);
        let core = if protocol.habits().numbered {
            core
        } else {
            core.unnumbered()
        };
        let engine = Engine::start(writer, core, keeper, log.clone())?;
        let seed = crate::clock::wall_ns() as u64 ^ u64::from(std::process::id()) << 32;
        let mut process = Self {
            name: name.to_owned(),
            shared: Rc::new(Shared::new(
                engine,
                protocol,
                secrets,
                channels,
                network,
                ws_url,
                rest_url,
                log.clone(),
                i64::from(arguments.rotate_s) * S,
                seed,
            )),
            rest: Rc::default(),
            catalogue: Catalogue::tableless(protocol).or_else(|| Catalogue::kept(home, name, protocol)),
            wanted: arguments.instruments.as_deref().map(split),
            instruments: Vec::new(),
            unknown: Vec::new(),
            slots: Vec::new(),
            state: Cell::new(("starting", crate::clock::wall_ns())),
        };
        process.apply()?;
        if protocol.listing_request().is_empty()
            && let Some(failure) = process.nothing_to_do(arguments.supervised)
        {
            return Err(failure);
        }
        Ok(process)
    }

    /// A fresh instrument table came.
    fn table(&mut self, mut catalogue: Catalogue) {
        self.shared
            .log
            .info("instrument table", json!({"instruments": catalogue.len()}));
        if let Some(before) = &self.catalogue {
            let suffix = format!(".{}", self.name);
            let collected: Vec<String> = self
                .instruments
                .iter()
                .map(|(_, name)| name.trim_end_matches(&suffix).to_owned())
                .collect();
            for name in catalogue.keep_listed(before, &collected) {
                self.shared.log.warn(
                    "instrument is not in the venue's table any more; collected until the next start",
                    json!({"instrument": name}),
                );
            }
        }
        self.catalogue = Some(catalogue);
        if let Err(failure) = self.apply() {
            self.shared.engine.borrow_mut().fatal.get_or_insert(failure);
            self.shared.fatal.notify_one();
        }
    }

    /// Names of which none is known cannot be what a person at a terminal wanted.
    fn nothing_to_do(&self, supervised: bool) -> Option<Failure> {
        if supervised || !self.instruments.is_empty() {
            return None;
        }
        self.unknown.first().cloned()
    }

    /// Makes the slots follow what is wanted, as far as the table knows it.
    fn apply(&mut self) -> Result<(), Failure> {
        let Some(catalogue) = &self.catalogue else {
            return Ok(());
        };
        let names = self.wanted.clone().unwrap_or_else(|| catalogue.defaults());
        let (found, unknown) = catalogue.resolve(&names, &self.name);
        for failure in unknown.iter().filter(|failure| !self.unknown.contains(failure)) {
            self.shared
                .log
                .error(&failure.message, json!({"error": failure.to_json()}));
        }
        self.unknown = unknown;
        let versions: Vec<Instrument> = found
            .iter()
            .map(|(plain, listing)| Instrument {
                number: 0,
                name: format!("{plain}.{}", self.name),
                symbol: listing.symbol.clone(),
                base: listing.base.clone(),
                quote: listing.quote.clone(),
                tick: listing.tick,
                lot: listing.lot,
                price_scale: listing.price_scale,
                size_scale: listing.size_scale,
                status: listing.status.clone(),
            })
            .collect();
        let numbers = self.shared.engine.borrow_mut().register(&versions)?;
        self.shared.engine.borrow_mut().core.want(&numbers);
        self.instruments = numbers
            .iter()
            .copied()
            .zip(versions.iter().map(|v| v.name.clone()))
            .collect();
        // What is in no table tells itself whether it is traded.
        let told = !self.shared.protocol.listing_request().is_empty();
        self.shared.with(|engine, now| {
            for (&number, (_, listing)) in numbers.iter().zip(&found).filter(|_| told) {
                engine.core.trading(number, listing.trading(), now);
            }
            engine.commit(now);
        });
        let subscriptions: Vec<Subscription> = numbers
            .iter()
            .zip(found)
            .map(|(&instrument, (_, listing))| Subscription { instrument, listing })
            .collect();
        self.assign(&subscriptions);
        Ok(())
    }

    /// Spreads instruments over slots; one that has a place keeps it.
    fn assign(&mut self, subscriptions: &[Subscription]) {
        let most = self.shared.limits.symbols_per_connection.max(1);
        for slot in &mut self.slots {
            slot.numbers
                .retain(|number| subscriptions.iter().any(|s| s.instrument == *number));
        }
        for subscription in subscriptions {
            let number = subscription.instrument;
            if self.slots.iter().any(|slot| slot.numbers.contains(&number)) {
                continue;
            }
            let lane = self.shared.protocol.lane(&subscription.listing);
            let room = |slot: &&mut SlotHandle| slot.lane == lane && slot.numbers.len() < most;
            if let Some(slot) = self.slots.iter_mut().find(room) {
                slot.numbers.push(number);
            } else {
                let (set, receiver) = watch::channel(Set::from([]));
                let view = Rc::<SlotView>::default();
                let task =
                    tokio::task::spawn_local(keep_connected(self.shared.clone(), view.clone(), receiver));
                self.slots.push(SlotHandle {
                    lane,
                    numbers: vec![number],
                    set,
                    view,
                    task,
                });
            }
        }
        for slot in &self.slots {
            let wanted: Set = slot
                .numbers
                .iter()
                .filter_map(|number| subscriptions.iter().find(|s| s.instrument == *number).cloned())
                .collect();
            if *slot.set.borrow() != wanted {
                let _ = slot.set.send(wanted); // its task lives as long as this handle
            }
        }
    }

    fn answer(&mut self, op: &str, request: &Value) -> Result<Value, Failure> {
        match op {
            "status" => Ok(status::status(self)),
            "metrics" => Ok(json!({"text": status::metrics(self)})),
            "configure" => self.configure(request),
            _ => Err(control::unknown_op(
                op,
                &["status", "metrics", "configure", "drain"],
            )),
        }
    }

    fn configure(&mut self, request: &Value) -> Result<Value, Failure> {
        let names: Option<Vec<String>> = request
            .get("instruments")
            .and_then(Value::as_array)
            .and_then(|list| list.iter().map(|name| name.as_str().map(Into::into)).collect());
        let Some(names) = names else {
            return Err(Failure::new(
                Category::Usage,
                "instruments_missing",
                "configure takes a list of instrument names",
                r#"for example {"op":"configure","instruments":["BTC-USD"]}; an empty list collects nothing"#,
            ));
        };
        self.shared.log.info("configured", json!({"instruments": names}));
        self.wanted = Some(names);
        self.apply()?;
        if self.instruments.is_empty()
            && let Some(failure) = self.unknown.first()
        {
            return Err(failure.clone());
        }
        Ok(json!({
            "instruments": self.instruments.iter().map(|(_, name)| name).collect::<Vec<_>>(),
            "unknown": self.unknown.iter().map(Failure::to_json).collect::<Vec<_>>(),
            "pending": self.catalogue.is_none(),
        }))
    }

    /// A slot whose task has ended would leave its instruments dark without a word.
    fn check_slots(&self) {
        if self.slots.iter().any(|slot| slot.task.is_finished()) {
            self.shared.engine.borrow_mut().fatal.get_or_insert(Failure::new(
                Category::Internal,
                "slot_ended",
                "a task that keeps instruments connected has ended",
                "this is a bug: please report it",
            ));
            self.shared.fatal.notify_one();
        }
    }

    pub fn slots(&self) -> impl Iterator<Item = &SlotView> {
        self.slots.iter().map(|slot| slot.view.as_ref())
    }

    /// Waiting for the instrument table.
    pub fn without_table(&self) -> bool {
        self.catalogue.is_none()
    }

    /// Remembers since when the state is what it is.
    pub fn note_state(&self) {
        let state = status::state(self);
        if state != self.state.get().0 {
            self.state.set((state, crate::clock::wall_ns()));
            self.shared.log.info("state", json!({"state": state}));
        }
    }

    /// Ends all connections, closes their channels' story, and puts everything on disk.
    async fn close(self) -> Result<(), Failure> {
        self.shared.draining.set(true);
        let mut tasks = Vec::new();
        for slot in self.slots {
            drop(slot.set);
            tasks.push(slot.task);
        }
        let _ = timeout(DRAIN, async {
            for task in &mut tasks {
                let _ = task.await;
            }
        })
        .await;
        for task in &tasks {
            task.abort();
        }
        // Aborted tasks are dropped at the next turn of the loop, and tell the core of their end.
        tokio::task::yield_now().await;
        self.shared.engine.borrow_mut().finish()
    }
}

fn split(list: &str) -> Vec<String> {
    list.split(',')
        .map(str::trim)
        .filter(|name| !name.is_empty())
        .map(Into::into)
        .collect()
}

fn find_protocol(name: &str) -> Result<&'static dyn Protocol, Failure> {
    venues::by_name(name).ok_or_else(|| {
        let have: Vec<&str> = venues::VENUES.iter().map(|venue| venue.name()).collect();
        Failure::new(
            Category::NotFound,
            "protocol_unknown",
            format!(
                "no venue protocol named '{name}'; nearest: {}",
                nearest(name, have.iter().copied()).join(", ")
            ),
            format!("have: {}", have.join(", ")),
        )
    })
}

fn parse_channels(list: &str, depth: u16) -> Result<Channels, Failure> {
    let mut channels = Channels {
        trades: false,
        quotes: false,
        book: false,
        depth,
    };
    for name in split(list) {
        match name.as_str() {
            "trades" => channels.trades = true,
            "quotes" => channels.quotes = true,
            "book" => channels.book = true,
            _ => {
                return Err(Failure::new(
                    Category::Usage,
                    "channel_unknown",
                    format!("--channels: no channel named '{name}'"),
                    "have: trades, quotes, book",
                ));
            }
        }
    }
    if channels.trades || channels.quotes || channels.book {
        return Ok(channels);
    }
    Err(Failure::new(
        Category::Usage,
        "channels_missing",
        "--channels names no channel",
        "have: trades, quotes, book",
    ))
}
