//! The processes of the hot path: collector, relay, bridge.

pub mod bridge;
pub mod cli;
pub mod clock;
pub mod collector;
pub mod control;
pub mod failure;
pub mod http;
pub mod log;
pub mod part;
pub mod relay;
pub mod ticket;
pub mod ws;
