//! DTN's IQConnect, protocols 6.1 and 6.2: a program on the user's own machine that others talk to over TCP.
//!
//! Four ports: admin, lookup (history), level 1, derivative (streaming bars). Lines end in CR LF, times are
//! Eastern. Facts: the clients IQFeed.CSharpApiClient and pyiqfeed.

mod fault;
mod live;
mod lookup;
mod text;

use super::{Control, Opened, Provider, Setting};
use fault::Faults;
pub use fault::catalogue;
use live::{Derivative, Level1};
use serde_json::{Map, Value, json};
use std::collections::BTreeMap;
use std::net::Ipv4Addr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::tcp::OwnedWriteHalf;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{mpsc, watch};
use tokio::time::{Instant, sleep};

/// What IQConnect calls itself.
const VERSION: &str = "6.2.0.25";
/// Pieces that may wait for a client; lookups wait for room, live streams cut who does not read.
const QUEUE: usize = 256;
const LINE_BYTES: usize = 64 * 1024;
/// How often live ports look for news.
const NEWS_EVERY: Duration = Duration::from_millis(50);
const SECOND: Duration = Duration::from_secs(1);
/// From `S,CONNECT` to being connected.
const CONNECT_TIME: Duration = Duration::from_millis(200);
/// From the last client's end to that of the process, where it leaves with them.
const LEAVE_AFTER: Duration = Duration::from_millis(300);
/// While something does not go on, one looks this often whether it does again.
const LOOK_EVERY: Duration = Duration::from_millis(10);
const LINES_A_SEND_MAX: usize = 500;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Port {
    Admin,
    Lookup,
    Level1,
    Derivative,
}

impl Port {
    const ALL: [Self; 4] = [Self::Admin, Self::Lookup, Self::Level1, Self::Derivative];

    const fn name(self) -> &'static str {
        match self {
            Self::Admin => "admin",
            Self::Lookup => "lookup",
            Self::Level1 => "level1",
            Self::Derivative => "derivative",
        }
    }

    /// The number in CLIENTSTATS.
    const fn number(self) -> u8 {
        match self {
            Self::Admin => 0,
            Self::Level1 => 1,
            Self::Lookup => 3,
            Self::Derivative => 4,
        }
    }
}

struct Client {
    port: Port,
    name: String,
    since: i64,
    symbols: usize,
    sent_bytes: u64,
}

#[derive(Default)]
struct State {
    faults: Faults,
    clients: BTreeMap<u64, Client>,
    last_client: u64,
    /// Moments from and until which it is without DTN, whatever the faults say.
    logged_out: bool,
    connecting_until: Option<Instant>,
    was_connected: bool,
    has_had_client: bool,
    /// It has ended itself.
    gone: bool,
    login: String,
    reconnections: u64,
    attempts: u64,
    requests: u64,
    /// Lines that were sent, by name of the port.
    lines: BTreeMap<&'static str, u64>,
}

impl State {
    fn is_connected(&mut self) -> bool {
        if self.connecting_until.is_some_and(|until| Instant::now() >= until) {
            (self.connecting_until, self.logged_out) = (None, false);
        }
        !self.logged_out && !self.faults.is("disconnected") && !self.faults.is("expired")
    }
}

struct Shared {
    setting: Setting,
    state: Mutex<State>,
    /// Counts what ends all connections that exist.
    cut: watch::Sender<u64>,
}

impl Shared {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn now(&self) -> i64 {
        self.setting.clock.now_ns()
    }

    fn is(&self, fault: &str) -> bool {
        self.state().faults.is(fault)
    }

    async fn over(&self, fault: &str) {
        while self.is(fault) {
            sleep(LOOK_EVERY).await;
        }
    }
}

/// Opens the four ports, from the provider's own on in the order admin, lookup, level 1, derivative.
pub async fn open(provider: Provider, setting: Setting) -> Result<Opened, String> {
    let shared = Arc::new(Shared {
        setting,
        state: Mutex::new(State {
            was_connected: true,
            ..State::default()
        }),
        cut: watch::Sender::new(0),
    });
    let (mut addresses, mut tasks) = (Map::new(), Vec::new());
    for (offset, port) in (provider.port()..).zip(Port::ALL) {
        let (listener, number) = crate::bind(setting.port_base, offset).await?;
        addresses.insert(port.name().to_owned(), json!(format!("127.0.0.1:{number}")));
        tasks.push(tokio::spawn(accept(shared.clone(), port, number, listener)));
    }
    tasks.push(tokio::spawn(observe(shared.clone())));
    Ok(Opened {
        addresses,
        control: shared,
        tasks,
    })
}

impl Control for Shared {
    fn fault(&self, body: &Value) -> (u16, Value) {
        let begun = self.state().faults.begin(body);
        let name = match begun {
            Ok(name) => name,
            Err(why) => return (400, json!({"error": why})),
        };
        match name {
            "dead" | "cut" => {
                self.state().faults.strikes("cut");
                self.cut.send_modify(|count| *count += 1);
            }
            "logout" => {
                let mut state = self.state();
                state.faults.strikes("logout");
                (state.logged_out, state.connecting_until) = (true, None);
            }
            _ => {}
        }
        (200, json!({"fault": name}))
    }

    fn faults(&self) -> Value {
        self.state().faults.list().into()
    }

    fn clear(&self) -> usize {
        self.state().faults.clear()
    }

    fn status(&self) -> Value {
        let mut state = self.state();
        json!({
            "connections": state.clients.len(),
            "requests": state.requests,
            "sent": state.lines.values().sum::<u64>(),
            "connected": state.is_connected(),
        })
    }
}

/// Serves a port; while it is dead nobody listens there.
async fn accept(shared: Arc<Shared>, port: Port, number: u16, first: TcpListener) {
    let mut listener = Some(first);
    let mut cut = shared.cut.subscribe();
    loop {
        if shared.is("dead") || shared.state().gone {
            listener = None;
            shared.over("dead").await;
        }
        if shared.state().gone {
            return;
        }
        let Some(open) = &listener else {
            // Somebody may have taken it meanwhile: then it is dead for longer.
            listener = TcpListener::bind((Ipv4Addr::LOCALHOST, number)).await.ok();
            sleep(LOOK_EVERY).await;
            continue;
        };
        tokio::select! {
            accepted = open.accept() => match accepted {
                Ok((stream, _)) if !shared.is("dead") => {
                    tokio::spawn(serve(shared.clone(), port, stream));
                }
                _ => sleep(LOOK_EVERY).await,
            },
            _ = cut.changed() => {}
            () = sleep(NEWS_EVERY) => {}
        }
    }
}

/// Counts DTN's coming and going, and closes the ports for good where the last client has gone.
async fn observe(shared: Arc<Shared>) {
    let mut alone_since: Option<Instant> = None;
    loop {
        sleep(LOOK_EVERY).await;
        let mut state = shared.state();
        let connected = state.is_connected();
        if connected != state.was_connected {
            state.was_connected = connected;
            state.attempts += 1;
            state.reconnections += u64::from(connected);
        }
        state.has_had_client |= !state.clients.is_empty();
        if !(state.faults.waits("leave") && state.has_had_client && state.clients.is_empty()) {
            alone_since = None;
        } else if alone_since.get_or_insert_with(Instant::now).elapsed() >= LEAVE_AFTER {
            state.gone = true;
        }
    }
}

/// One client, from its first byte to its last.
async fn serve(shared: Arc<Shared>, port: Port, stream: TcpStream) {
    let _ = stream.set_nodelay(true); // else split bytes travel together again
    let id = {
        let mut state = shared.state();
        state.last_client += 1;
        let id = state.last_client;
        let since = shared.now();
        let client = Client {
            port,
            name: String::new(),
            since,
            symbols: 0,
            sent_bytes: 0,
        };
        state.clients.insert(id, client);
        id
    };
    let mut cut = shared.cut.subscribe();
    let (mut reading, writing) = stream.into_split();
    let (out, queue) = mpsc::channel(QUEUE);
    let mut session = Session::new(shared.clone(), port, id, out);
    let mut data = Vec::new();
    let mut look = tokio::time::interval(NEWS_EVERY);
    let talking = async {
        if !session.greet() {
            return;
        }
        loop {
            tokio::select! {
                read = reading.read_buf(&mut data) => {
                    if !matches!(read, Ok(1..)) || data.len() > LINE_BYTES {
                        return;
                    }
                    shared.over("hang").await;
                    while let Some(end) = data.iter().position(|byte| *byte == b'\n') {
                        let line: Vec<u8> = data.drain(..=end).collect();
                        let line = String::from_utf8_lossy(&line).trim_end().to_owned();
                        if !session.take(&line) {
                            return;
                        }
                    }
                }
                _ = look.tick() => {
                    if !shared.is("hang") && !session.look() {
                        return;
                    }
                }
            }
        }
    };
    tokio::select! {
        () = talking => {}
        () = write(shared.clone(), port, id, writing, queue) => {}
        _ = cut.changed() => {}
    }
    shared.state().clients.remove(&id);
}

/// Sends what comes, as the faults of the moment let it.
async fn write(
    shared: Arc<Shared>,
    port: Port,
    id: u64,
    mut writing: OwnedWriteHalf,
    mut queue: mpsc::Receiver<Vec<u8>>,
) {
    while let Some(piece) = queue.recv().await {
        shared.over("hang").await;
        if piece.is_empty() {
            return; // the end of a reply that breaks off
        }
        if shared.is("slow") {
            sleep(2 * LOOK_EVERY).await;
        }
        let size = if shared.is("split") { 1 } else { piece.len() };
        for bytes in piece.chunks(size) {
            if writing.write_all(bytes).await.is_err() {
                return;
            }
            if size < piece.len() {
                tokio::task::yield_now().await;
            }
        }
        let mut state = shared.state();
        *state.lines.entry(port.name()).or_default() +=
            piece.iter().filter(|byte| **byte == b'\n').count() as u64;
        if let Some(client) = state.clients.get_mut(&id) {
            client.sent_bytes += piece.len() as u64;
        }
    }
}

fn joined(lines: &[String]) -> Vec<u8> {
    lines
        .iter()
        .flat_map(|line| line.bytes().chain(*b"\r\n"))
        .collect()
}

/// What one client has asked for.
struct Session {
    shared: Arc<Shared>,
    port: Port,
    id: u64,
    out: mpsc::Sender<Vec<u8>>,
    protocol: (u8, u8),
    newest: (u8, u8),
    level1: Level1,
    derivative: Derivative,
    /// When the next line that comes each second is due.
    next_second: Instant,
    wants_clock: bool,
    wants_clients: bool,
    saw_connected: bool,
}

impl Session {
    fn new(shared: Arc<Shared>, port: Port, id: u64, out: mpsc::Sender<Vec<u8>>) -> Self {
        let newest = if shared.is("old") { (6, 1) } else { (6, 2) };
        let saw_connected = shared.state().is_connected();
        Self {
            port,
            id,
            out,
            // Until a client says otherwise it is taken for an old one.
            protocol: (5, 0),
            newest,
            level1: Level1::new(shared.setting.world),
            derivative: Derivative::new(shared.setting.world),
            next_second: Instant::now() + SECOND,
            wants_clock: true,
            wants_clients: false,
            saw_connected,
            shared,
        }
    }

    /// Whether the client can go on: one that does not read is cut.
    fn say(&self, lines: &[String]) -> bool {
        lines.is_empty() || self.out.try_send(joined(lines)).is_ok()
    }

    fn greet(&self) -> bool {
        match self.port {
            Port::Level1 => {
                let connected = self.server();
                self.say(&[
                    "S,KEY,0".to_owned(),
                    connected,
                    "S,IP,127.0.0.1".to_owned(),
                    "S,CUST,real_time,".to_owned(),
                ])
            }
            _ => true,
        }
    }

    fn server(&self) -> String {
        let word = if self.saw_connected {
            "CONNECTED"
        } else {
            "DISCONNECTED"
        };
        format!("S,SERVER {word}")
    }

    /// One line of the client.
    fn take(&mut self, line: &str) -> bool {
        if let Some(version) = line.strip_prefix("S,SET PROTOCOL,") {
            let asked = version
                .split_once('.')
                .and_then(|(a, b)| Some((a.parse().ok()?, b.parse().ok()?)));
            self.protocol = asked.unwrap_or(self.newest).min(self.newest);
            let (major, minor) = self.protocol;
            return self.say(&[format!("S,CURRENT PROTOCOL,{major}.{minor},")]);
        }
        if let Some(name) = line.strip_prefix("S,SET CLIENT NAME,") {
            if let Some(client) = self.shared.state().clients.get_mut(&self.id) {
                client.name = name.replace(',', " ");
            }
            return true;
        }
        if line == "S,CONNECT" && self.port != Port::Lookup {
            return self.connect();
        }
        if line == "S,DISCONNECT" && self.port != Port::Lookup {
            let mut state = self.shared.state();
            (state.logged_out, state.connecting_until) = (true, None);
            return true;
        }
        let now = self.shared.now();
        let answer = match self.port {
            Port::Admin => self.admin(line),
            Port::Lookup => {
                self.look_up(line.to_owned());
                Some(Vec::new())
            }
            Port::Level1 => match line {
                "S,TIMESTAMPSON" | "S,TIMESTAMPSOFF" => {
                    self.wants_clock = line.ends_with("ON");
                    Some(Vec::new())
                }
                _ => self.level1.command(line, now),
            },
            Port::Derivative => self.derivative.command(line, now),
        };
        if let Some(client) = self.shared.state().clients.get_mut(&self.id) {
            client.symbols = self.level1.symbols() + self.derivative.symbols();
        }
        self.say(&answer.unwrap_or_else(|| vec!["E,!SYNTAX_ERROR!,".to_owned()]))
    }

    fn connect(&self) -> bool {
        let mut state = self.shared.state();
        if state.faults.is("expired") {
            drop(state);
            return self.say(&["S,INVALID LOGIN,".to_owned()]);
        }
        if state.logged_out && state.connecting_until.is_none() {
            state.connecting_until = Some(Instant::now() + CONNECT_TIME);
        }
        true
    }

    /// The admin port. It answers with the password too, as IQConnect does: nobody may log what it says.
    fn admin(&mut self, line: &str) -> Option<Vec<String>> {
        let said = |text: String| Some(vec![text]);
        let (command, value) = line.rsplit_once(',').unwrap_or((line, ""));
        match command {
            "S,SET LOGINID" => {
                self.shared.state().login = value.to_owned();
                said(format!("S,CURRENT LOGINID,{value},"))
            }
            "S,SET PASSWORD" => said(format!("S,CURRENT PASSWORD,{value},")),
            "S,SET AUTOCONNECT" => said(format!("S,AUTOCONNECT {},", value.to_uppercase())),
            "S,SET SAVE LOGIN INFO" => said(
                if value == "On" {
                    "S,LOGIN INFO SAVED,"
                } else {
                    "S,LOGIN INFO NOT SAVED,"
                }
                .to_owned(),
            ),
            _ if line.starts_with("S,REGISTER CLIENT APP,") => {
                said("S,REGISTER CLIENT APP COMPLETED,".to_owned())
            }
            _ if line.starts_with("S,REMOVE CLIENT APP,") => {
                said("S,REMOVE CLIENT APP COMPLETED,".to_owned())
            }
            _ if line.starts_with("S,CLIENTSTATS ") => {
                self.wants_clients = line == "S,CLIENTSTATS ON";
                Some(Vec::new())
            }
            _ => None,
        }
    }

    /// Answers a request beside others of the same client, so that their lines mingle.
    fn look_up(&self, line: String) {
        let (shared, out, labelled) = (self.shared.clone(), self.out.clone(), self.protocol >= (6, 2));
        tokio::spawn(async move {
            let (world, now) = (shared.setting.world, shared.now());
            let refusal = {
                let mut state = shared.state();
                state.requests += 1;
                if state.faults.is("expired") {
                    Some("Unauthorized user ID.")
                } else if !state.is_connected() {
                    Some("Could not connect to History socket.")
                } else if state.faults.strikes("busy") {
                    Some("Too many simultaneous history requests.")
                } else if state.faults.strikes("syntax") {
                    Some(lookup::SYNTAX_ERROR)
                } else {
                    None
                }
            };
            let sends = line.rsplit(',').find_map(|field| field.parse::<usize>().ok());
            // Days of trades are made for it, which takes longer than this thread has.
            let made = tokio::task::spawn_blocking(move || {
                let mut answer = lookup::answer(world, now, &line);
                if let Some(why) = refusal {
                    answer.rows = Err(why.to_owned());
                }
                answer.lines(labelled)
            });
            let Ok(mut lines) = made.await else { return };
            let (is_late, is_cut) = {
                let mut state = shared.state();
                (state.faults.strikes("late"), state.faults.strikes("truncate"))
            };
            if is_late {
                let stray = [
                    "LATE,LH,2018-04-17 17:51:22.123456,96.0700,1061909,0,",
                    "LATE,!ENDMSG!,",
                ];
                lines.splice(0..0, stray.map(str::to_owned));
            }
            let sends = sends
                .filter(|count| (1..=LINES_A_SEND_MAX).contains(count))
                .unwrap_or(100);
            let total = lines.len();
            for (index, piece) in lines.chunks(sends).enumerate() {
                let mut bytes = joined(piece);
                let breaks = is_cut && (index + 1) * sends * 2 >= total;
                if breaks {
                    bytes.truncate(bytes.len() / 2);
                }
                if out.send(bytes).await.is_err() {
                    return;
                }
                if breaks {
                    let _ = out.send(Vec::new()).await;
                    return;
                }
            }
        });
    }

    /// What comes without being asked for.
    fn look(&mut self) -> bool {
        let now = self.shared.now();
        let mut lines = Vec::new();
        let connected = self.shared.state().is_connected();
        if connected != self.saw_connected {
            self.saw_connected = connected;
            if matches!(self.port, Port::Level1 | Port::Admin) {
                lines.push(self.server());
            }
        }
        if connected {
            lines.extend(self.level1.news(now));
            lines.extend(self.derivative.news(now));
        }
        if Instant::now() >= self.next_second {
            self.next_second += SECOND;
            match self.port {
                Port::Admin => {
                    lines.push(self.stats(now));
                    if self.wants_clients {
                        lines.extend(self.clients());
                    }
                }
                Port::Level1 if self.wants_clock && connected => lines.push(live::clock(now)),
                _ => {}
            }
        }
        self.say(&lines)
    }

    fn stats(&self, now: i64) -> String {
        let mut state = self.shared.state();
        let connected = state.is_connected();
        let symbols: usize = state.clients.values().map(|client| client.symbols).sum();
        let sent: u64 = state.clients.values().map(|client| client.sent_bytes).sum();
        let (server, port, time) = if connected {
            ("127.0.0.1", "60002", text::month_day(now))
        } else {
            ("", "", String::new())
        };
        format!(
            "S,STATS,{server},{port},500,{symbols},{},{},{},{},{time},{time},{},{VERSION},{},0.00,0.00,0.00,{:.2},0.00,0.00,",
            state.clients.len(),
            u8::from(!connected),
            state.reconnections,
            state.attempts,
            if connected { "Connected" } else { "Not Connected" },
            state.login,
            sent as f64 / 1_024.0,
        )
    }

    fn clients(&self) -> Vec<String> {
        let state = self.shared.state();
        state
            .clients
            .iter()
            .map(|(id, client)| {
                let since = text::compact(client.since).replace(':', "");
                format!(
                    "S,CLIENTSTATS,{},{id},{},{since},{},0,{:.2},0.00,0.00,",
                    client.port.number(),
                    client.name,
                    client.symbols,
                    client.sent_bytes as f64 / 1_024.0,
                )
            })
            .collect()
    }
}
