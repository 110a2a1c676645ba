//! The collector: one process for one venue. Connect, subscribe, parse, keep books valid, number every
//! record, append to the journal.
//!
//! One thread does all of it: [`slot`] keeps instruments connected, [`connection`] is one socket and its session,
//! [`core`] turns what sessions say into what the journal gets, [`engine`] appends. Threads of their own keep
//! raw messages ([`keep`]), read the instrument table, answer the control socket and sync the journal, so none
//! of these delays a record.

mod arrival;
mod backoff;
mod catalogue;
mod connection;
mod core;
mod credential;
mod engine;
mod gate;
mod keep;
mod line;
mod metric;
mod pace;
mod process;
mod pulse;
mod shared;
mod slot;
mod socket;
mod state;
mod status;
mod table;

pub use process::{Arguments, run};
