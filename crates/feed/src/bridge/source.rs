//! Where the bridge reads from: the journals of this home in place, or a relay. Both give the same frames.

use std::path::PathBuf;
use std::time::Duration;

use journal::{From, Position, Reader, Registry, Seek};
use wire::Frame;

use crate::clock::wall_ns;
use crate::failure::{Category, Failure};
use crate::relay::client::{Address, Client, Event, Start as RelayStart, Subscribe};

/// A book snapshot further back than this many records is not read for: the next one comes sooner.
const LOOK_BACK_RECORDS: u64 = 8_000_000;
/// Quotes and statuses of this long before the start are read, so that screens do not begin empty.
const LOOK_BACK_NS: i64 = 60_000_000_000;
/// A relay that does not answer within this is not there.
const RELAY_ANSWERS: Duration = Duration::from_secs(5);

/// Where frames come from.
#[derive(Clone, Debug)]
pub enum Source {
    Journal { home: PathBuf },
    Relay { address: Address, token: Option<String> },
}

/// Where to begin in a venue's log.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Start {
    /// Far enough back to know every book.
    Books,
    /// The first record wanted.
    At(Position),
}

/// An instrument of a venue: its number and name.
pub type Named = (u32, String);

/// What a look into the log found.
pub enum Step<'a> {
    Frame(Frame<'a>),
    /// Nothing more for now.
    Nothing,
    /// The wanted records are gone; the frames go on here.
    Lapped(Position),
}

/// One venue's log from one place on.
pub trait Tail: Send {
    /// Instruments known now; asked again when a record names one that is not.
    fn instruments(&mut self) -> Vec<Named>;
    /// The oldest record, when the wanted one is known to be gone and that was not told yet.
    fn lapped(&self) -> Option<Position> {
        None
    }
    /// The next record to be written, as far as is known.
    fn newest(&self) -> Option<Position>;
    fn next(&mut self) -> Result<Step<'_>, Failure>;
    /// Waits until there may be more, at most `limit`.
    fn wait(&mut self, limit: Duration);
}

impl Source {
    /// Venues that may have something to read.
    pub fn venues(&self) -> Result<Vec<String>, Failure> {
        match self {
            Self::Journal { home } => Ok(Registry::venues(home)
                .map_err(|error| unreadable(&error))?
                .into_iter()
                .map(|venue| venue.name)
                .collect()),
            Self::Relay { address, token } => {
                let mut client = Client::connect(address, token.as_deref(), RELAY_ANSWERS)?;
                Ok(client
                    .look()?
                    .venues
                    .iter()
                    .map(|venue| venue.name.clone())
                    .collect())
            }
        }
    }

    /// Instruments of a venue known now.
    pub fn instruments(&self, venue: &str) -> Result<Vec<Named>, Failure> {
        match self {
            Self::Journal { home } => Ok(named(
                &Registry::open(home, venue).map_err(|error| unreadable(&error))?,
            )),
            Self::Relay { address, token } => {
                let mut client = Client::connect(address, token.as_deref(), RELAY_ANSWERS)?;
                client.look()?;
                Ok(named_by_relay(&client, venue))
            }
        }
    }

    pub fn open(&self, venue: &str, start: Start) -> Result<Box<dyn Tail>, Failure> {
        match self {
            Self::Journal { home } => {
                let mut reader = Reader::open(home, venue).map_err(|error| unreadable(&error))?;
                let registry = Registry::open(home, venue).map_err(|error| unreadable(&error))?;
                let lapped = match start {
                    Start::Books => {
                        seek_books(&mut reader, &registry)?;
                        None
                    }
                    Start::At(position) => {
                        match reader
                            .seek(From::At(position))
                            .map_err(|error| unreadable(&error))?
                        {
                            Seek::Lapped { oldest, .. } => Some(oldest),
                            Seek::At(_) | Seek::NoSnapshot { .. } => None,
                        }
                    }
                };
                Ok(Box::new(JournalTail {
                    reader,
                    registry,
                    lapped,
                }))
            }
            Self::Relay { address, token } => open_relay(address, token.as_deref(), venue, start),
        }
    }
}

fn unreadable(error: &journal::Error) -> Failure {
    let (category, code) = match error {
        journal::Error::NoJournal { .. } => (Category::NotFound, "venue_unknown"),
        journal::Error::Home { .. } => (Category::Config, "home_unfit"),
        _ => (Category::Internal, "journal_unreadable"),
    };
    Failure::new(category, code, error.to_string(), "")
}

/// Goes back to the oldest of the newest book snapshots, within reason.
fn seek_books(reader: &mut Reader, registry: &Registry) -> Result<(), Failure> {
    let newest = reader.newest();
    let too_old = newest.sequence.saturating_sub(LOOK_BACK_RECORDS);
    let mut begin = match reader
        .seek(From::Time(wall_ns() - LOOK_BACK_NS))
        .map_err(|error| unreadable(&error))?
    {
        Seek::At(position) => position.max(Position::new(0, too_old)),
        _ => newest,
    };
    for instrument in registry.instruments() {
        let sought = reader
            .seek(From::Snapshot(instrument.number))
            .map_err(|error| unreadable(&error))?;
        if let Seek::At(position) = sought
            && position.sequence >= too_old
            && position < begin
        {
            begin = position;
        }
    }
    reader.seek(From::At(begin)).map_err(|error| unreadable(&error))?;
    Ok(())
}

fn named(registry: &Registry) -> Vec<Named> {
    registry
        .instruments()
        .map(|one| (one.number, one.name.clone()))
        .collect()
}

fn named_by_relay(client: &Client, venue: &str) -> Vec<Named> {
    client
        .hello()
        .venues
        .iter()
        .filter(|known| known.name == venue)
        .flat_map(|known| &known.instruments)
        .map(|one| (one.number, one.name.clone()))
        .collect()
}

struct JournalTail {
    reader: Reader,
    registry: Registry,
    /// Told before the first frame.
    lapped: Option<Position>,
}

impl Tail for JournalTail {
    fn instruments(&mut self) -> Vec<Named> {
        // What cannot be read now is read at the next unknown instrument.
        let _ = self.registry.refresh();
        named(&self.registry)
    }

    fn lapped(&self) -> Option<Position> {
        self.lapped
    }

    fn newest(&self) -> Option<Position> {
        Some(self.reader.newest())
    }

    fn next(&mut self) -> Result<Step<'_>, Failure> {
        if let Some(oldest) = self.lapped.take() {
            return Ok(Step::Lapped(oldest));
        }
        match self.reader.next() {
            Ok(Some(frame)) => Ok(Step::Frame(frame)),
            Ok(None) => Ok(Step::Nothing),
            Err(journal::Error::Lapped { oldest, .. }) => Ok(Step::Lapped(oldest)),
            Err(error) => Err(unreadable(&error)),
        }
    }

    fn wait(&mut self, limit: Duration) {
        self.reader.wait(limit);
    }
}

fn open_relay(
    address: &Address,
    token: Option<&str>,
    venue: &str,
    start: Start,
) -> Result<Box<dyn Tail>, Failure> {
    let mut client = Client::connect(address, token, RELAY_ANSWERS)?;
    let from = match start {
        Start::Books => RelayStart::Snapshot,
        Start::At(position) => RelayStart::At(
            [(venue.to_owned(), (position.epoch, position.sequence))]
                .into_iter()
                .collect(),
        ),
    };
    client.subscribe(&Subscribe {
        venues: vec![venue.to_owned()],
        from,
        ..Subscribe::default()
    })?;
    Ok(Box::new(RelayTail {
        client,
        venue: venue.to_owned(),
    }))
}

struct RelayTail {
    client: Client,
    venue: String,
}

impl Tail for RelayTail {
    fn instruments(&mut self) -> Vec<Named> {
        named_by_relay(&self.client, &self.venue)
    }

    fn newest(&self) -> Option<Position> {
        let venue = self
            .client
            .hello()
            .venues
            .iter()
            .find(|venue| venue.name == self.venue)?;
        Some(Position::new(venue.newest.0, venue.newest.1))
    }

    fn next(&mut self) -> Result<Step<'_>, Failure> {
        match self.client.next(None)? {
            Some(Event::Frame(frame)) => Ok(Step::Frame(frame)),
            Some(Event::Lapped(lapped)) => Ok(Step::Lapped(Position::new(lapped.oldest.0, lapped.oldest.1))),
            None => Ok(Step::Nothing),
        }
    }

    fn wait(&mut self, limit: Duration) {
        self.client.wait(limit);
    }
}
