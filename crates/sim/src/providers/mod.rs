//! Simulated providers of history: who sells US stocks and crypto, each speaking its own protocol.

pub mod bar;
pub mod calendar;
pub mod iqfeed;
pub mod world;
