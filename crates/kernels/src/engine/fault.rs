//! Why the engine does not go on.

use std::fmt;

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Fault {
    /// What was given is none of it taken: settings, rows, an order without a price that it needs.
    Refused(String),
    /// An amount leaves 128 bits. The engine is not to be used any more.
    Overflow(&'static str),
}

impl Fault {
    pub(crate) fn refused<T>(why: impl Into<String>) -> Result<T, Self> {
        Err(Self::Refused(why.into()))
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Refused(why) => f.write_str(why),
            Self::Overflow(what) => write!(f, "{what} does not fit 128 bits at 18 decimal digits"),
        }
    }
}

impl std::error::Error for Fault {}
