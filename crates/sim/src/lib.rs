//! Simulated venues that speak the real wire protocols, on the matching engine of kernels.
//!
//! [`run`] is the command `tidemill sim`; [`start`] is the same thing for tests. Each venue has one port for
//! WebSocket and REST; a control port takes faults. One thread does everything, in venue time: what happens
//! follows from the seed and the rate alone, the clock only paces it.

mod control;
mod faults;
mod flow;
mod history;
mod http;
mod hub;
mod log;
mod market;
mod number;
mod options;
mod pipe;
mod protocols;
mod providers;
mod random;
mod replay;
mod server;
mod spec;
mod state;
mod truth;
mod world;

pub use history::{Bar, History, history};
pub use options::Options;
pub use providers::Provider;
pub use spec::{Protocol, Spec, instruments};

use clap::Parser;
use providers::{Clock, Providers, Setting};
use replay::Replay;
use serde_json::{Value, json};
use server::{Shared, lock, serve_control, serve_venue};
use std::fs::{self, File, TryLockError};
use std::io::{self, Read};
use std::net::Ipv4Addr;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};
use tokio::net::TcpListener;
use tokio::sync::{Notify, watch};
use tokio::task::JoinHandle;
use truth::Truth;
use world::{SAVE_EVERY, World};

/// The command line `tidemill sim …`, without those two words. Returns the exit code.
pub fn run(args: Vec<String>, socket_path: SocketPath) -> i32 {
    let args = std::iter::once("tidemill sim".to_owned()).chain(args);
    let mut options = match Options::try_parse_from(args) {
        Ok(options) => options,
        Err(error) => {
            // Help and version arrive as errors too; what cannot be printed has no reader.
            let _ = error.print();
            return error.exit_code();
        }
    };
    if options.home.is_none() {
        options.home = std::env::var_os("TIDEMILL_HOME").map(PathBuf::from);
    }
    if options.home.is_none() {
        log::error("no home directory: give --home DIR or set TIDEMILL_HOME", &[]);
        return 2;
    }
    let runtime = match tokio::runtime::Builder::new_current_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => {
            log::error(&format!("cannot start: {error}"), &[]);
            return 1;
        }
    };
    runtime.block_on(run_until_stopped(options, socket_path))
}

async fn run_until_stopped(options: Options, socket_path: SocketPath) -> i32 {
    let stopped = match stop_signal(options.supervised) {
        Ok(stopped) => stopped,
        Err(error) => {
            log::error(&format!("cannot listen for signals: {error}"), &[]);
            return 1;
        }
    };
    let mut simulator = match open(options, socket_path).await {
        Ok(simulator) => simulator,
        Err(error) => {
            log::error(&error, &[]);
            return 1;
        }
    };
    log::info("venues and providers are open", &[("sim", simulator.addresses())]);
    let drained = simulator.drained.clone();
    tokio::select! {
        why = stopped => log::info("stopping", &[("reason", why.into())]),
        () = drained.notified() => log::info("stopping", &[("reason", "drain".into())]),
        () = simulator.failed() => {}
    }
    match simulator.stop().await {
        Ok(()) => 0,
        Err(error) => {
            log::error(&error, &[]);
            1
        }
    }
}

/// Resolves with the reason when the process is asked to end. Handlers are in place when this returns.
fn stop_signal(supervised: bool) -> io::Result<impl Future<Output = &'static str>> {
    use tokio::signal::unix::{SignalKind, signal};
    let mut terminate = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    let orphaned = Arc::new(Notify::new());
    if supervised {
        let orphaned = orphaned.clone();
        std::thread::Builder::new()
            .name("stdin".to_owned())
            .spawn(move || {
                let mut scrap = [0u8; 256];
                while matches!(io::stdin().read(&mut scrap), Ok(n) if n > 0) {}
                orphaned.notify_one();
            })?;
    }
    Ok(async move {
        tokio::select! {
            _ = terminate.recv() => "SIGTERM",
            _ = interrupt.recv() => "SIGINT",
            () = orphaned.notified() => "standard input ended",
        }
    })
}

/// Where one venue listens.
#[derive(Clone, Debug)]
pub struct Address {
    /// `sim-kraken`.
    pub venue: String,
    pub protocol: &'static str,
    /// WebSocket address.
    pub url: String,
    pub rest_url: String,
}

/// What a simulator runs: venues of its own, or a recording.
#[derive(Clone)]
enum Stage {
    World(Shared),
    Replay(Arc<Replay>),
}

impl Stage {
    fn status(&self) -> Value {
        match self {
            Self::World(world) => lock(world).status(),
            Self::Replay(replay) => replay.status(),
        }
    }
}

fn status(stage: &Stage, providers: &Providers) -> Value {
    let mut status = stage.status();
    status["providers"] = providers.status();
    status
}

/// A running simulator. Dropping it ends everything without the care that [`Simulator::stop`] takes.
pub struct Simulator {
    pub venues: Vec<Address>,
    /// `http://127.0.0.1:PORT`: `/faults` and `/status`.
    pub control: String,
    stage: Stage,
    providers: Providers,
    tasks: Vec<JoinHandle<()>>,
    /// Why the pacer gave up, if it did.
    failure: watch::Receiver<Option<String>>,
    /// Files of this run that go when it ends: `sim.json` and `sim.ctl`.
    files: Vec<PathBuf>,
    /// Notified when the control socket is asked to end everything.
    drained: Arc<Notify>,
    /// Held as long as this simulator owns the home's state.
    _lock: Option<File>,
}

impl Drop for Simulator {
    fn drop(&mut self) {
        self.tasks.iter().for_each(JoinHandle::abort);
    }
}

impl Simulator {
    /// Writes `run/sim.json` and opens `run/sim.ctl`.
    fn announce(&mut self, home: &Path, socket_path: SocketPath) -> Result<(), String> {
        let run = home.join("run");
        let while_writing = |path: &Path, error| format!("cannot write {}: {error}", path.display());
        fs::create_dir_all(&run).map_err(|error| while_writing(&run, error))?;
        let socket = socket_path(home, "sim.ctl").map_err(|error| while_writing(&run, error))?;
        let listener = control::bind(&socket).map_err(|error| while_writing(&socket, error))?;
        let (stage, providers) = (self.stage.clone(), self.providers.clone());
        self.tasks.push(tokio::spawn(control::serve(
            listener,
            move || status(&stage, &providers),
            self.drained.clone(),
        )));
        let file = run.join("sim.json");
        state::write_atomically(&file, self.addresses().to_string().as_bytes())
            .map_err(|error| while_writing(&file, error))?;
        self.files = vec![file, socket];
        Ok(())
    }

    /// Address of a venue by its name or its protocol's.
    pub fn venue(&self, name: &str) -> Option<&Address> {
        self.venues.iter().find(|v| v.venue == name || v.protocol == name)
    }

    /// What `run/sim.json` holds.
    pub fn addresses(&self) -> Value {
        let venues: serde_json::Map<String, Value> = self
            .venues
            .iter()
            .map(|v| {
                let about = json!({"protocol": v.protocol, "url": v.url, "rest_url": v.rest_url});
                (v.venue.clone(), about)
            })
            .collect();
        json!({
            "pid": std::process::id(),
            "venues": venues,
            "providers": self.providers.addresses,
            "control": self.control,
        })
    }

    /// What `GET /status` answers.
    pub fn status(&self) -> Value {
        status(&self.stage, &self.providers)
    }

    /// What `POST /faults` does: the HTTP status and the answer.
    pub fn fault(&self, body: &Value) -> (u16, Value) {
        if let Some(answer) = self.providers.fault(body, !self.venues.is_empty()) {
            return answer;
        }
        let Stage::World(world) = &self.stage else {
            return (409, json!({"error": "a replay takes no faults"}));
        };
        let response = lock(world).start_fault(body.to_string().as_bytes());
        (
            response.status,
            serde_json::from_str(&response.body).unwrap_or(Value::Null),
        )
    }

    /// Hands the truth written so far to the operating system, so that it can be read.
    pub fn flush(&self) -> Result<(), String> {
        let Stage::World(world) = &self.stage else {
            return Ok(());
        };
        lock(world)
            .truth
            .flush()
            .map_err(|error| format!("cannot write the truth log: {error}"))
    }

    /// Resolves when the simulator cannot go on.
    async fn failed(&mut self) {
        // Without a pacer (a replay) nothing can fail: then this never resolves.
        if self.failure.wait_for(Option::is_some).await.is_err() {
            std::future::pending::<()>().await;
        }
    }

    /// Ends everything: exact state and truth on disk, sockets closed.
    pub async fn stop(self) -> Result<(), String> {
        self.tasks.iter().for_each(JoinHandle::abort);
        for file in &self.files {
            // Whoever reads it next must not take a dead address for a live one; gone already is as good.
            let _ = fs::remove_file(file);
        }
        if let Some(why) = self.failure.borrow().clone() {
            return Err(why);
        }
        let Stage::World(world) = &self.stage else {
            return Ok(());
        };
        let mut world = lock(world);
        world
            .truth
            .flush()
            .map_err(|error| format!("cannot write the truth log: {error}"))?;
        world
            .save(true)
            .map_err(|error| format!("cannot write the simulator's state: {error}"))
    }
}

/// Where the socket of a name is in a home. The platform has a short folder for homes whose own paths are too
/// long for a unix socket.
pub type SocketPath = fn(&Path, &str) -> io::Result<PathBuf>;

/// The place of a socket in a home of its own: `DIR/run/<name>`.
pub fn in_run(home: &Path, name: &str) -> io::Result<PathBuf> {
    Ok(home.join("run").join(name))
}

/// Opens the venues. Needs a tokio runtime with time and I/O; everything runs in its tasks.
pub async fn start(options: Options) -> Result<Simulator, String> {
    open(options, in_run).await
}

async fn open(mut options: Options, socket_path: SocketPath) -> Result<Simulator, String> {
    options.check()?;
    let (sender, failure) = watch::channel(None);
    let mut tasks = Vec::new();
    let mut listeners = Vec::new();
    let mut venues = Vec::new();
    for protocol in &options.venues {
        let offset = Protocol::ALL.iter().position(|p| p == protocol).unwrap_or(0) as u16;
        let (listener, port) = bind(options.port_base, offset).await?;
        venues.push(Address {
            venue: protocol.venue(),
            protocol: protocol.name(),
            url: format!("ws://127.0.0.1:{port}{}", protocol.path()),
            rest_url: format!("http://127.0.0.1:{port}"),
        });
        listeners.push(listener);
    }
    let (control_listener, control_port) = bind(options.port_base, 9).await?;
    let mut state = None;
    let mut guard = None;
    if let Some(home) = &options.home {
        let owned = own_home(home)?;
        state = Some(owned.0);
        guard = Some(owned.1);
    }
    let start_ns = options.start.unwrap_or_else(log::wall_ns);
    let setting = Setting {
        world: providers::World {
            seed: options.seed,
            density: options.density,
        },
        clock: Clock {
            begun: Instant::now(),
            start_ns,
            speed: options.speed,
        },
        port_base: options.port_base,
    };
    let providers = providers::open_all(&options.providers, setting, &mut tasks).await?;
    let stage = if let Some(file) = &options.replay {
        let (file, protocol, speed) = (file.clone(), options.venues[0], options.speed);
        // Surveying a large recording takes a while, which is not for a thread that serves sockets.
        let replay = tokio::task::spawn_blocking(move || Replay::open(&file, protocol, speed))
            .await
            .map_err(|error| format!("surveying the recording failed: {error}"))??;
        for listener in listeners {
            tasks.push(tokio::spawn(replay::serve(listener, replay.clone())));
        }
        let answering = replay.clone();
        let answer = move |request: &http::Request| replay::control(&answering, request);
        tasks.push(tokio::spawn(serve_control(control_listener, answer)));
        Stage::Replay(replay)
    } else {
        let truth = match &options.truth {
            Some(path) => {
                Truth::open(path).map_err(|e| format!("cannot open truth log {}: {e}", path.display()))?
            }
            None => Truth::none(),
        };
        let world = World::new(&options, start_ns, truth, state)?;
        let started = (Instant::now(), world.now_ns);
        let world = Arc::new(Mutex::new(world));
        for (index, listener) in listeners.into_iter().enumerate() {
            tasks.push(tokio::spawn(serve_venue(listener, world.clone(), index)));
        }
        let answering = world.clone();
        let (asked, has_venues) = (providers.clone(), !venues.is_empty());
        let answer = move |request: &http::Request| {
            asked.control(request, has_venues, |request| {
                server::control(&answering, request)
            })
        };
        tasks.push(tokio::spawn(serve_control(control_listener, answer)));
        let (speed, paced) = (options.speed, world.clone());
        tasks.push(tokio::spawn(async move {
            let error = pace(&paced, started, speed).await;
            let why = format!("cannot write truth or state: {error}");
            log::error(&why, &[]);
            sender.send_replace(Some(why));
        }));
        Stage::World(world)
    };
    let mut simulator = Simulator {
        venues,
        control: format!("http://127.0.0.1:{control_port}"),
        stage,
        providers,
        tasks,
        failure,
        files: Vec::new(),
        drained: Arc::new(Notify::new()),
        _lock: guard,
    };
    if let Some(home) = &options.home {
        simulator.announce(home, socket_path)?;
    }
    Ok(simulator)
}

/// The state file of a home, and the lock that keeps a second simulator out of it.
fn own_home(home: &Path) -> Result<(PathBuf, File), String> {
    let folder = home.join("sim");
    fs::create_dir_all(&folder).map_err(|error| format!("cannot create {}: {error}", folder.display()))?;
    let path = folder.join("lock");
    let file = File::create(&path).map_err(|error| format!("cannot open {}: {error}", path.display()))?;
    match file.try_lock() {
        Ok(()) => Ok((folder.join("state.json"), file)),
        Err(TryLockError::WouldBlock) => Err(format!(
            "another simulator runs in {}; stop it or take another --home",
            home.display()
        )),
        Err(TryLockError::Error(error)) => Err(format!("cannot lock {}: {error}", path.display())),
    }
}

async fn bind(base: u16, offset: u16) -> Result<(TcpListener, u16), String> {
    let port = if base == 0 { 0 } else { base + offset };
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, port))
        .await
        .map_err(|error| format!("cannot listen on 127.0.0.1:{port}: {error}; choose another --port-base"))?;
    let port = listener
        .local_addr()
        .map_err(|error| format!("no address for a listener: {error}"))?
        .port();
    Ok((listener, port))
}

/// Events taken in one go, so that sockets are served between them.
const BURST: usize = 4_096;
/// Behind by more than this much real time, the venues skip it: the machine slept.
const LAG_MAX: Duration = Duration::from_secs(30);

/// Lets venue time follow the clock. Returns only when a file cannot be written.
async fn pace(world: &Shared, started: (Instant, i64), speed: f64) -> io::Error {
    let (begun, start_ns) = started;
    let mut saved = Instant::now();
    let mut unsaved = false;
    loop {
        let now = Instant::now();
        let target = start_ns + ((now - begun).as_nanos() as f64 * speed) as i64;
        let wait = {
            let mut world = lock(world);
            let lag_ns = target - world.now_ns;
            if lag_ns as f64 > LAG_MAX.as_nanos() as f64 * speed.max(1.0) {
                // Wall time goes on; only the events of the pause never happened.
                world.shift(lag_ns);
                log::warn(
                    "the machine paused; venue time was set forward",
                    &[("ns", lag_ns.into())],
                );
            }
            world.expire(now);
            let done = match world.advance(target, BURST) {
                Ok(done) => done,
                Err(error) => return error,
            };
            // Before any socket is served: what a client has seen is in the log, however we die.
            if let Err(error) = world.truth.flush() {
                return error;
            }
            if now - saved >= SAVE_EVERY {
                saved = now;
                let result = world.save(false);
                // The file still lies ahead of the ids in use; before it does not, a save that fails ends us.
                if let Err(error) = &result
                    && !unsaved
                {
                    let why = error.to_string();
                    log::warn(
                        "the state cannot be written; it is tried again",
                        &[("error", why.into())],
                    );
                }
                unsaved = result.is_err();
            }
            if done {
                ((world.next_due_ns() - target) as f64 / speed).max(1e6)
            } else {
                0.0
            }
        };
        if wait > 0.0 {
            tokio::time::sleep(Duration::from_nanos(wait.min(1e7) as u64)).await;
        } else {
            tokio::task::yield_now().await;
        }
    }
}
