//! The relay: hands the frames of all journals to any number of subscribers.
//!
//! It keeps nothing. Each subscriber is a cursor into the journals, read in place by threads of its own, so
//! that one who is slow reads older files and nobody waits for him. A frame is passed on byte for byte
//! or counted into a skip. Threads, because one sleeping hop (the journal's futex) then lies between the
//! collector and the socket; an event loop would add a second.

pub mod client;
mod filter;
mod offer;
mod peer;
pub mod protocol;
mod pump;
mod server;
mod talk;
mod tls;

use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::net::{TcpListener, ToSocketAddrs};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use serde_json::{Value, json};

use crate::control;
use crate::failure::{Category, Failure};
use crate::log::{self, Log};
use crate::part::{Stop, socket_path};
use crate::ticket;
use client::{Address, SourceOption};
use server::{Door, Server};

/// `tidemill relay`.
#[derive(Clone, Debug, clap::Args)]
pub struct Options {
    /// Folder of the platform.
    #[arg(long, env = "TIDEMILL_HOME")]
    pub home: PathBuf,
    /// Serve TCP too, at this host:port. Needs --token-file, and --tls-cert where other machines can reach it.
    #[arg(long, value_name = "HOST:PORT", requires = "token_file")]
    pub listen: Option<String>,
    /// Serve TCP under TLS: a PEM file with the certificate and its chain.
    #[arg(long, value_name = "FILE", requires_all = ["tls_key", "listen"])]
    pub tls_cert: Option<PathBuf>,
    /// PEM file (mode 0600) with the certificate's private key.
    #[arg(long, value_name = "FILE", requires = "tls_cert")]
    pub tls_key: Option<PathBuf>,
    /// PEM file of certificates to trust, besides the system's, where another relay is read over TLS.
    #[arg(long, value_name = "FILE", env = "TIDEMILL_RELAY_CA")]
    pub tls_ca: Option<PathBuf>,
    /// Serve other machines in clear: whoever listens on the line has the token and the data.
    #[arg(long, requires = "listen", conflicts_with = "tls_cert")]
    pub insecure: bool,
    /// File (mode 0600) with the token that TCP subscribers must send.
    #[arg(long, value_name = "FILE")]
    pub token_file: Option<PathBuf>,
    /// Where the records come from: `journal` (this home, in place), or `relay:ADDRESS` to pass on another
    /// relay's venues as well, as --from does.
    #[arg(long, default_value = "journal")]
    pub source: SourceOption,
    /// Pass on another relay's venues as well: the path of its socket, tls:host:port or host:port (with the
    /// token in --token-file).
    #[arg(long, value_name = "ADDR")]
    pub from: Vec<Address>,
    /// Subscribers at once.
    #[arg(long, default_value_t = 256)]
    pub subscribers_max: usize,
    /// A subscriber whose socket takes nothing for this long is cut.
    #[arg(long, default_value_t = 10)]
    pub stall_s: u64,
    /// End when standard input ends: the supervisor is gone.
    #[arg(long)]
    pub supervised: bool,
}

impl Options {
    /// The relays whose venues are passed on.
    fn upstreams(&self) -> Vec<Address> {
        let source = match &self.source {
            SourceOption::Relay(address) => Some(address.clone()),
            SourceOption::Journal => None,
        };
        let trusting = |address: Address| address.trusting(self.tls_ca.as_deref());
        self.from.iter().cloned().chain(source).map(trusting).collect()
    }
}

/// Runs the relay until it is told to stop; returns the exit code.
pub fn run(options: Options) -> i32 {
    let log = Log::new("relay");
    let code = match serve(options, &log) {
        Ok(reason) => {
            log.info("stopped", json!({ "reason": reason }));
            0
        }
        Err(failure) => {
            log.error(&failure.to_string(), json!({ "error": failure.to_json() }));
            failure.category.exit_code()
        }
    };
    log::flush(Duration::from_secs(1));
    code
}

fn serve(options: Options, log: &Log) -> Result<&'static str, Failure> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(|error| unstartable(&error))?;
    let mut stop = {
        let _inside = runtime.enter();
        Stop::new(options.supervised).map_err(|error| unstartable(&error))?
    };
    let _lock = Lock::take(&options.home)?;
    let token = match &options.token_file {
        Some(path) => Some(ticket::token_file(path, false)?),
        None => None,
    };
    let path = socket_path(&options.home, "relay.sock").map_err(|error| unstartable(&error))?;
    // The lock says that no relay runs here: a socket that lies here is left from one that was killed.
    let _ = std::fs::remove_file(&path);
    let local = control::listen(&path).map_err(|error| unstartable(&error))?;
    let remote = match (&options.listen, &token) {
        (Some(address), Some(_)) => Some(open_remote(address, &options)?),
        (Some(address), None) => {
            return Err(Failure::new(
                Category::Config,
                "token_missing",
                format!("--listen {address} without a token would give the data to anyone"),
                "write a token into a file (chmod 600) and name it with --token-file",
            ));
        }
        (None, _) => None,
    };
    let listening = remote
        .as_ref()
        .and_then(|door| match door {
            Door::Remote(listener) | Door::Safe(listener, _) => listener.local_addr().ok(),
            Door::Local(_) => None,
        })
        .map(|address| address.to_string());

    let server = Arc::new(Server::new(&options, token, log.clone()));
    let stopper = stop.stopper();
    let answering = server.clone();
    let address = listening.clone();
    let _control = control::serve(&options.home, "relay", move |op: &str, _: &Value| match op {
        "status" => Ok(answering.status(address.as_deref())),
        "metrics" => Ok(json!({ "text": answering.metrics() })),
        "drain" => {
            stopper.stop();
            Ok(json!({ "part": "relay", "state": "draining" }))
        }
        other => Err(control::unknown_op(other, &["status", "metrics", "drain"])),
    })?;
    server
        .clone()
        .listen(Door::Local(local))
        .map_err(|error| unstartable(&error))?;
    if let Some(door) = remote {
        server.clone().listen(door).map_err(|error| unstartable(&error))?;
    }
    log.info(
        "started",
        json!({ "socket": path.display().to_string(), "listen": listening, "home": options.home.display().to_string() }),
    );
    let reason = runtime.block_on(stop.wait());
    server.close(Duration::from_secs(2));
    let _ = std::fs::remove_file(&path);
    Ok(reason)
}

/// The socket of one venue, `DIR/run/<venue>.sock`, served by its collector on threads of their own.
/// Dropping it lets subscribers have what is in the journal, then closes them.
#[derive(Debug)]
pub struct VenueSocket {
    server: Arc<Server>,
    path: PathBuf,
}

impl VenueSocket {
    /// Only for whoever holds the journal of `venue`: a socket that lies there already is taken for dead.
    pub fn serve(home: &Path, venue: &str, log: &Log) -> Result<Self, Failure> {
        let options = Options {
            home: home.to_path_buf(),
            listen: None,
            token_file: None,
            tls_cert: None,
            tls_key: None,
            tls_ca: None,
            insecure: false,
            source: SourceOption::Journal,
            from: Vec::new(),
            subscribers_max: 64,
            stall_s: 10,
            supervised: false,
        };
        let unserved = |error: io::Error| {
            Failure::new(
                Category::Config,
                "socket_unserved",
                format!("the socket of '{venue}' cannot be served: {error}"),
                "the home must be a folder of this user on a local disk",
            )
        };
        let path = socket_path(home, &format!("{venue}.sock")).map_err(unserved)?;
        let _ = std::fs::remove_file(&path);
        let listener = control::listen(&path).map_err(unserved)?;
        let server = Arc::new(Server::new(&options, None, log.clone()).only(venue));
        server.clone().listen(Door::Local(listener)).map_err(unserved)?;
        Ok(Self { server, path })
    }
}

impl Drop for VenueSocket {
    fn drop(&mut self) {
        self.server.close(Duration::from_millis(500));
        let _ = std::fs::remove_file(&self.path);
    }
}

/// The TCP door: under TLS, or in clear where nobody else can listen in.
fn open_remote(address: &str, options: &Options) -> Result<Door, Failure> {
    let config = match (&options.tls_cert, &options.tls_key) {
        (Some(certificate), Some(key)) => Some(tls::server_config(certificate, key)?),
        _ => None,
    };
    let unbound = |error: io::Error| unbound(address, &error);
    let places: Vec<_> = address.to_socket_addrs().map_err(unbound)?.collect();
    if config.is_none() && !options.insecure && !places.iter().all(|place| place.ip().is_loopback()) {
        return Err(Failure::new(
            Category::Config,
            "listen_insecure",
            format!("--listen {address} without TLS would send the token and the data in clear"),
            "add --tls-cert and --tls-key; or --insecure, where a tunnel or a network of your own protects it",
        ));
    }
    let listener = TcpListener::bind(&places[..]).map_err(unbound)?;
    Ok(match config {
        Some(config) => Door::Safe(listener, config),
        None => Door::Remote(listener),
    })
}

fn unstartable(error: &io::Error) -> Failure {
    Failure::new(
        Category::Config,
        "relay_unstartable",
        format!("the relay cannot start: {error}"),
        "the home must be a folder of this user on a local disk",
    )
}

fn unbound(address: &str, error: &io::Error) -> Failure {
    Failure::new(
        Category::Config,
        "address_unusable",
        format!("--listen {address}: {error}"),
        "name a free port of an address of this machine",
    )
}

/// One relay per home: held for as long as the process lives, whatever kills it.
#[derive(Debug)]
struct Lock {
    _file: File,
}

impl Lock {
    fn take(home: &Path) -> Result<Self, Failure> {
        let folder = home.join("run");
        crate::part::private_folder(&folder).map_err(|error| unstartable(&error))?;
        let mut file = std::fs::OpenOptions::new()
            .read(true)
            .write(true)
            .create(true)
            .truncate(false)
            .mode(0o600)
            .open(folder.join("relay.lock"))
            .map_err(|error| unstartable(&error))?;
        match file.try_lock() {
            Ok(()) => {}
            Err(std::fs::TryLockError::WouldBlock) => {
                let mut holder = String::new();
                let _ = file.read_to_string(&mut holder); // only for the message
                let holder = match holder.trim() {
                    "" => "another process",
                    holder => holder,
                };
                return Err(Failure::new(
                    Category::Conflict,
                    "relay_running",
                    format!("a relay already serves {}: process {holder}", home.display()),
                    "stop that one first, or name another home",
                ));
            }
            Err(std::fs::TryLockError::Error(error)) => return Err(unstartable(&error)),
        }
        let written = file
            .set_len(0)
            .and_then(|()| file.seek(SeekFrom::Start(0)))
            .and_then(|_| file.write_all(format!("{}\n", std::process::id()).as_bytes()));
        written.map_err(|error| unstartable(&error))?;
        Ok(Self { _file: file })
    }
}
