//! Errors of the journal.
//!
//! ```text
//! Error
//! ├── Io         a file could not be made, read or written
//! ├── Held       another process writes this journal
//! ├── Fenced     a newer writer has taken this journal over
//! ├── NoJournal  nothing was ever written for this venue
//! ├── Lapped     the wanted records are gone from the files
//! ├── NoSpace    the disk cannot hold the segments a writer must reserve
//! ├── Home       the home lies on a file system on which mapped files are not coherent
//! ├── Corrupt    a file is not what its name says
//! ├── Name       a name that cannot be a venue or an instrument
//! ├── TooLarge   a control message over the largest frame
//! └── Stopped    an earlier failure ended this writer
//! ```

use std::fmt;
use std::io;
use std::path::{Path, PathBuf};

use crate::Position;

#[derive(Debug)]
pub enum Error {
    Io {
        /// What was being done, to be read after "while".
        doing: &'static str,
        path: PathBuf,
        source: io::Error,
    },
    Held {
        venue: String,
        /// Process id of the writer; 0 when it could not be read.
        pid: u32,
    },
    Fenced {
        venue: String,
        ours: u32,
        found: u32,
    },
    NoJournal {
        venue: String,
        home: PathBuf,
        have: Vec<String>,
    },
    Lapped {
        /// The first record that was to be read.
        wanted: Position,
        /// Where the reader stands now: the oldest position there is after `wanted`.
        oldest: Position,
    },
    NoSpace {
        path: PathBuf,
        needed_bytes: u64,
        source: io::Error,
    },
    Home {
        path: PathBuf,
        file_system: String,
    },
    Corrupt {
        path: PathBuf,
        found: String,
    },
    Name {
        name: String,
        rule: &'static str,
    },
    TooLarge {
        bytes: usize,
        bytes_max: usize,
    },
    Stopped {
        reason: String,
    },
}

impl Error {
    pub(crate) fn io(doing: &'static str, path: &Path, source: io::Error) -> Self {
        Self::Io {
            doing,
            path: path.to_path_buf(),
            source,
        }
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Io { doing, path, source } => write!(f, "{source} while {doing} {}", path.display()),
            Self::Held { venue, pid } => write!(
                f,
                "the journal of '{venue}' is being written by process {pid}; stop that collector first"
            ),
            Self::Fenced { venue, ours, found } => write!(
                f,
                "the journal of '{venue}' was taken over: this writer has epoch {ours}, the files say {found}; \
                 this process must end"
            ),
            Self::NoJournal { venue, home, have } => {
                write!(f, "no journal of '{venue}' in {}; have: ", home.display())?;
                if have.is_empty() {
                    write!(f, "none. Start its collector first")
                } else {
                    write!(f, "{}", have.join(", "))
                }
            }
            Self::Lapped { wanted, oldest } => {
                write!(
                    f,
                    "asked for {wanted}, the oldest record left is {oldest}; what lies between is lost here"
                )
            }
            Self::NoSpace {
                path,
                needed_bytes,
                source,
            } => write!(
                f,
                "{source}: cannot reserve {} MiB in {}; free disk space, or use smaller segments",
                needed_bytes.div_ceil(1 << 20),
                path.display()
            ),
            Self::Home { path, file_system } => write!(
                f,
                "{} is on {file_system}, where mapped files of several processes are not coherent; \
                 choose a home on a local disk (--home or TIDEMILL_HOME)",
                path.display()
            ),
            Self::Corrupt { path, found } => write!(f, "{} is corrupt: {found}", path.display()),
            Self::Name { name, rule } => {
                write!(f, "'{}' cannot be used as a name: {rule}", name.escape_debug())
            }
            Self::TooLarge { bytes, bytes_max } => {
                write!(
                    f,
                    "control message of {bytes} bytes; a frame of this journal holds {bytes_max}"
                )
            }
            Self::Stopped { reason } => write!(f, "the journal was closed by an earlier failure: {reason}"),
        }
    }
}

impl std::error::Error for Error {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::Io { source, .. } | Self::NoSpace { source, .. } => Some(source),
            _ => None,
        }
    }
}
