//! The collector: one process for one venue. Connect, subscribe, parse, keep books valid, number every
//! record, append to the journal.
//!
//! One thread does all of it: [`line`] holds connections and their sessions, [`core`] turns what sessions
//! say into what the journal gets, [`engine`] appends. Threads of their own keep raw messages ([`keep`]),
//! answer the control socket and sync the journal, so none of these delays a record.

pub mod backoff;
pub mod catalogue;
pub mod core;
pub mod engine;
pub mod gate;
pub mod keep;
pub mod line;
pub mod metric;
pub mod process;
pub mod state;
pub mod status;

pub use process::{Arguments, run};
