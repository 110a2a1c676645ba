//! The processes of the hot path: collector, relay, bridge.

pub mod bridge;
pub mod cli;
pub mod clock;
pub mod collector;
pub mod control;
pub mod failure;
mod http;
mod log;
pub mod part;
pub mod recent;
pub mod relay;
pub mod ticket;
mod ws;
