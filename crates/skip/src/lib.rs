//! What a test does that this machine lacks something for: it says so, past the harness, which hides the
//! output of a test that passes. In CI it fails, as `tests/conftest.py` has it for Python, because a
//! skipped test proves nothing.

use std::ffi::OsStr;
use std::fmt::Display;
use std::io::Write;

/// Says why the calling test is left out; the caller then returns.
///
/// # Panics
/// Where `CI` is `true`.
pub fn because(reason: impl Display) {
    let name = std::thread::current().name().unwrap_or("a test").to_owned();
    // The handle, not the macro: the harness keeps what macros print. Nobody to tell is no reason to fail.
    let _ = writeln!(std::io::stderr(), "skipped: {name}: {reason}");
    assert!(
        !must_run(std::env::var_os("CI").as_deref()),
        "in CI nothing is skipped: {reason}"
    );
}

fn must_run(ci: Option<&OsStr>) -> bool {
    ci.is_some_and(|value| value == "true")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_ci_demands_every_test() {
        assert!(must_run(Some(OsStr::new("true"))));
        for other in [None, Some(OsStr::new("")), Some(OsStr::new("false"))] {
            assert!(!must_run(other), "{other:?}");
        }
    }
}
