//! Numbers of venues and instruments, which belong to one home and are never used twice.
//!
//! `DIR/registry/venues.jsonl` has a line for each venue, `DIR/registry/<venue>.jsonl` a line for each
//! version of each instrument; the last line of a number counts. Both only ever grow, and a line is on
//! disk before its number is used. Any process may give a venue its number (under a lock, first come,
//! first number); instruments are added by the venue's writer alone.

use std::collections::BTreeMap;
use std::fs::{File, OpenOptions};
use std::io::Write;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use wire::Decimal;

use crate::{Error, mmap};

/// Venue numbers fit the 12 bits above an instrument's own 20.
pub const VENUES_MAX: u16 = 4095;
/// Instruments of one venue.
pub const INSTRUMENTS_MAX: u32 = (1 << 20) - 1;

/// A venue instance and the protocol it speaks.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Venue {
    #[serde(rename = "venue")]
    pub number: u16,
    pub name: String,
    pub protocol: String,
}

/// The newest version of an instrument.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Instrument {
    /// venue << 20 | n; 0 asks [`Registry::add`] for the number of this name.
    pub number: u32,
    /// `BTC-USD.kraken`
    pub name: String,
    /// The venue's own spelling.
    pub symbol: String,
    pub base: String,
    pub quote: String,
    /// Smallest step of a price.
    #[serde(with = "decimal_text")]
    pub tick: Decimal,
    /// Smallest step of a size.
    #[serde(with = "decimal_text")]
    pub lot: Decimal,
    pub price_scale: u8,
    pub size_scale: u8,
    /// The venue's word for whether it trades.
    pub status: String,
}

mod decimal_text {
    use serde::{Deserialize, Deserializer, Serializer};
    use wire::Decimal;

    pub fn serialize<S: Serializer>(value: &Decimal, out: S) -> Result<S::Ok, S::Error> {
        out.collect_str(value)
    }

    pub fn deserialize<'de, D: Deserializer<'de>>(input: D) -> Result<Decimal, D::Error> {
        let text = String::deserialize(input)?;
        text.parse().map_err(serde::de::Error::custom)
    }
}

/// All venues of this home, by number. Empty when there is none yet.
pub fn venues(home: &Path) -> Result<Vec<Venue>, Error> {
    Ok(read_lines(&venues_path(home))?.0)
}

/// The number of a venue, given to it now if it has none. `protocol` is kept from the first time.
pub fn register(home: &Path, name: &str, protocol: &str) -> Result<Venue, Error> {
    check_venue_name(name)?;
    check_venue_name(protocol)?;
    let path = venues_path(home);
    crate::create_dir(&home.join("registry"))?;
    let file = open_append(&path)?;
    mmap::lock(&file, true).map_err(|e| Error::io("locking", &path, e))?;
    let (venues, lines): (Vec<Venue>, usize) = read_lines(&path)?;
    if let Some(venue) = venues.iter().find(|venue| venue.name == name) {
        return Ok(venue.clone());
    }
    // A line that cannot be read may have held a number, so lines count as much as numbers do.
    let last = venues
        .iter()
        .map(|v| usize::from(v.number))
        .max()
        .unwrap_or(0)
        .max(lines);
    let Some(number) = u16::try_from(last + 1).ok().filter(|n| *n <= VENUES_MAX) else {
        return Err(Error::Corrupt {
            path,
            found: format!("{last} venues; a home holds at most {VENUES_MAX}"),
        });
    };
    let venue = Venue {
        number,
        name: name.to_string(),
        protocol: protocol.to_string(),
    };
    append_lines(&path, &file, &[&venue])?;
    Ok(venue)
}

/// Lower-case letters, digits and `-`, at most 32: the name becomes part of file names.
pub fn check_venue_name(name: &str) -> Result<(), Error> {
    let fits = (1..=32).contains(&name.len())
        && name
            .bytes()
            .all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-')
        && !name.starts_with('-');
    if fits && name != "venues" {
        return Ok(());
    }
    Err(Error::Name {
        name: name.to_string(),
        rule: "a venue has 1 to 32 lower-case letters, digits and '-', does not begin with '-' and is not 'venues'",
    })
}

/// The instruments of one venue.
#[derive(Debug)]
pub struct Registry {
    path: PathBuf,
    venue: Venue,
    instruments: BTreeMap<u32, Instrument>,
    by_name: BTreeMap<String, u32>,
    /// Lines of the file, unreadable ones too.
    lines: usize,
    /// Set for the one writer.
    file: Option<File>,
}

impl Registry {
    /// All venues of this home, by number.
    pub fn venues(home: &Path) -> Result<Vec<Venue>, Error> {
        venues(home)
    }

    /// The number of a venue, given to it now if it has none.
    pub fn register(home: &Path, name: &str, protocol: &str) -> Result<Venue, Error> {
        register(home, name, protocol)
    }

    /// Reads the instruments of a venue. [`Error::NoJournal`] when the home does not know the venue.
    pub fn open(home: &Path, venue: &str) -> Result<Self, Error> {
        check_venue_name(venue)?;
        let venues = venues(home)?;
        let Some(found) = venues.iter().find(|v| v.name == venue) else {
            return Err(Error::NoJournal {
                venue: venue.to_string(),
                home: home.to_path_buf(),
                have: venues.into_iter().map(|v| v.name).collect(),
            });
        };
        let mut registry = Self {
            path: home.join("registry").join(format!("{venue}.jsonl")),
            venue: found.clone(),
            instruments: BTreeMap::new(),
            by_name: BTreeMap::new(),
            lines: 0,
            file: None,
        };
        registry.refresh()?;
        Ok(registry)
    }

    /// For the writer, which holds the journal's lock.
    pub(crate) fn writable(home: &Path, venue: &Venue) -> Result<Self, Error> {
        let mut registry = Self::open(home, &venue.name)?;
        registry.file = Some(open_append(&registry.path)?);
        Ok(registry)
    }

    pub fn venue(&self) -> &Venue {
        &self.venue
    }

    /// Reads what was added since: call it when a record names an instrument that is not known here.
    pub fn refresh(&mut self) -> Result<(), Error> {
        let (versions, lines): (Vec<Instrument>, usize) = read_lines(&self.path)?;
        self.lines = lines;
        for version in versions {
            self.put(version);
        }
        Ok(())
    }

    fn put(&mut self, version: Instrument) {
        self.by_name.insert(version.name.clone(), version.number);
        self.instruments.insert(version.number, version);
    }

    /// All instruments, by number.
    pub fn instruments(&self) -> impl ExactSizeIterator<Item = &Instrument> {
        self.instruments.values()
    }

    pub fn get(&self, number: u32) -> Option<&Instrument> {
        self.instruments.get(&number)
    }

    pub fn find(&self, name: &str) -> Option<&Instrument> {
        self.by_name
            .get(name)
            .and_then(|number| self.instruments.get(number))
    }

    /// The numbers of these instruments, by name. New ones get a number, changed ones a new version;
    /// both are on disk when this returns (one sync for all). `number` is ignored on the way in. Only
    /// for the registry of a [`crate::Writer`].
    pub fn add(&mut self, wanted: &[Instrument]) -> Result<Vec<u32>, Error> {
        let mut numbers = Vec::with_capacity(wanted.len());
        let mut fresh: BTreeMap<u32, Instrument> = BTreeMap::new();
        let mut fresh_names: BTreeMap<&str, u32> = BTreeMap::new();
        let mut last = self
            .instruments
            .keys()
            .map(|number| number & INSTRUMENTS_MAX)
            .max()
            .unwrap_or(0)
            .max(u32::try_from(self.lines).unwrap_or(u32::MAX));
        for instrument in wanted {
            check_instrument_name(&instrument.name, &self.venue.name)?;
            let known = self
                .by_name
                .get(&instrument.name)
                .or_else(|| fresh_names.get(instrument.name.as_str()))
                .copied();
            let number = match known {
                Some(number) => number,
                None if last < INSTRUMENTS_MAX => {
                    last += 1;
                    u32::from(self.venue.number) << 20 | last
                }
                None => {
                    return Err(Error::Corrupt {
                        path: self.path.clone(),
                        found: format!("{last} instruments; a venue holds at most {INSTRUMENTS_MAX}"),
                    });
                }
            };
            let version = Instrument {
                number,
                ..instrument.clone()
            };
            if self.instruments.get(&number) != Some(&version) {
                fresh.insert(number, version);
                fresh_names.insert(&instrument.name, number);
            }
            numbers.push(number);
        }
        if !fresh.is_empty() {
            let Some(file) = &self.file else {
                return Err(Error::Stopped {
                    reason: format!("only the writer of '{}' adds instruments", self.venue.name),
                });
            };
            let versions: Vec<&Instrument> = fresh.values().collect();
            append_lines(&self.path, file, &versions)?;
            self.lines += versions.len();
            for (_, version) in fresh {
                self.put(version);
            }
        }
        Ok(numbers)
    }
}

fn check_instrument_name(name: &str, venue: &str) -> Result<(), Error> {
    let own = name.strip_suffix(venue).and_then(|rest| rest.strip_suffix('.'));
    if own.is_some_and(|own| !own.is_empty() && !own.chars().any(|c| c.is_control() || c == '/'))
        && name.len() <= 128
    {
        return Ok(());
    }
    Err(Error::Name {
        name: name.to_string(),
        rule: "an instrument is named like 'BTC-USD.<venue>', at most 128 bytes, without '/' or control characters",
    })
}

fn venues_path(home: &Path) -> PathBuf {
    home.join("registry").join("venues.jsonl")
}

fn open_append(path: &Path) -> Result<File, Error> {
    OpenOptions::new()
        .read(true)
        .append(true)
        .create(true)
        .mode(0o600)
        .open(path)
        .map_err(|e| Error::io("opening", path, e))
}

/// All lines that can be read, and the number of lines. A last line without its end was torn by a
/// crash before it was synced, so nobody has used its number; it is left out.
fn read_lines<T: for<'de> Deserialize<'de>>(path: &Path) -> Result<(Vec<T>, usize), Error> {
    let bytes = match std::fs::read(path) {
        Ok(bytes) => bytes,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok((Vec::new(), 0)),
        Err(error) => return Err(Error::io("reading", path, error)),
    };
    let mut lines = 0;
    let mut found = Vec::new();
    for line in bytes.split_inclusive(|byte| *byte == b'\n') {
        lines += 1;
        if line.ends_with(b"\n")
            && let Ok(value) = serde_json::from_slice(line)
        {
            found.push(value);
        }
    }
    Ok((found, lines))
}

fn append_lines<T: Serialize>(path: &Path, file: &File, values: &[&T]) -> Result<(), Error> {
    let failed = |e| Error::io("writing", path, e);
    let mut text = Vec::new();
    // A torn line is ended, never cut off: the file only grows. The mark keeps it from becoming a line
    // after all, when only its end was missing.
    if std::fs::read(path)
        .map_err(failed)?
        .last()
        .is_some_and(|byte| *byte != b'\n')
    {
        text.extend_from_slice(b"!torn\n");
    }
    for value in values {
        serde_json::to_writer(&mut text, value).map_err(|e| failed(e.into()))?;
        text.push(b'\n');
    }
    let mut out = file;
    out.write_all(&text).map_err(failed)?;
    file.sync_all().map_err(failed)?;
    if let Some(parent) = path.parent() {
        File::open(parent)
            .and_then(|dir| dir.sync_all())
            .map_err(failed)?;
    }
    Ok(())
}
