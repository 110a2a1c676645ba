//! Pure functions used by streaming, batch and sweeps alike: no I/O, no clock, no randomness.

pub mod bar;
pub mod book;
pub mod engine;
pub mod indicator;
pub mod matching;
pub mod recent;
pub mod sweep;
