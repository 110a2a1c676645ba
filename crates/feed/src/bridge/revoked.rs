//! Sessions that were ended before their time. A bridge verifies passes by itself, so it must know of these.
//!
//! The service writes each into `DIR/run/revoked`, a line `<expiry, unix s> <subject>`, before it tells the bridge: a bridge
//! that is away at that moment, or starts again later, reads them there.

use std::collections::VecDeque;
use std::io;
use std::path::Path;
use std::sync::{Mutex, PoisonError};

use crate::clock::wall_ns;
use crate::failure::{Category, Failure};

/// Ended sessions remembered: the cookie of one before these expired long ago.
const REVOKED_MAX: usize = 4096;

#[derive(Debug)]
pub(super) struct Revoked {
    subjects: Mutex<VecDeque<String>>,
}

impl Revoked {
    /// Those that a cookie or a ticket could still be of.
    pub fn read(home: &Path) -> Result<Self, Failure> {
        let path = home.join("run/revoked");
        let text = match std::fs::read_to_string(&path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => String::new(),
            read => read.map_err(|error| {
                Failure::new(
                    Category::Config,
                    "revoked_unreadable",
                    format!("{} says who was signed out, and cannot be read: {error}", path.display()),
                    "make it readable for this user; or remove it with DIR/secret, and everyone signs in again",
                )
            })?,
        };
        let revoked = Self {
            subjects: Mutex::default(),
        };
        let now_s = wall_ns().unsigned_abs() / 1_000_000_000;
        for (expiry, subject) in text.lines().filter_map(|line| line.split_once(' ')) {
            // A time that does not read is none that has passed.
            if expiry.parse().unwrap_or(u64::MAX) > now_s {
                revoked.add(subject);
            }
        }
        Ok(revoked)
    }

    pub fn add(&self, subject: &str) {
        let mut subjects = self.subjects.lock().unwrap_or_else(PoisonError::into_inner);
        if !subjects.iter().any(|one| one == subject) {
            if subjects.len() >= REVOKED_MAX {
                subjects.pop_front();
            }
            subjects.push_back(subject.to_owned());
        }
    }

    pub fn has(&self, subject: &str) -> bool {
        let subjects = self.subjects.lock().unwrap_or_else(PoisonError::into_inner);
        subjects.iter().any(|one| one == subject)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn those_that_could_still_come_are_read() {
        let home = tempfile::tempdir().unwrap();
        assert!(!Revoked::read(home.path()).unwrap().has("owner-1"));
        std::fs::create_dir(home.path().join("run")).unwrap();
        let text = "99 owner-1\n99999999999 owner-2\nsoon owner-3\n\n";
        std::fs::write(home.path().join("run/revoked"), text).unwrap();
        let revoked = Revoked::read(home.path()).unwrap();
        assert!(!revoked.has("owner-1") && revoked.has("owner-2") && revoked.has("owner-3"));
    }

    #[test]
    fn the_newest_are_remembered() {
        let revoked = Revoked {
            subjects: Mutex::default(),
        };
        for number in 0..=REVOKED_MAX {
            revoked.add(&number.to_string());
        }
        assert!(!revoked.has("0") && revoked.has("1") && revoked.has(&REVOKED_MAX.to_string()));
    }
}
