//! Why a part cannot do what it was asked, in the one error shape of the platform.
//!
//! `{code, category, message, hint, retryable, docs, request_id}` on stderr, and the exit code of its
//! category. A message says what was asked and what was found; the hint what to do.

use serde_json::{Value, json};

/// The categories a native part meets, with the exit codes all parts share.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Category {
    Internal,
    Usage,
    Config,
    Auth,
    NotFound,
    Conflict,
    RateLimit,
    Upstream,
    Timeout,
    Resource,
}

impl Category {
    pub const fn name(self) -> &'static str {
        match self {
            Self::Internal => "internal",
            Self::Usage => "usage",
            Self::Config => "config",
            Self::Auth => "auth",
            Self::NotFound => "not_found",
            Self::Conflict => "conflict",
            Self::RateLimit => "rate_limit",
            Self::Upstream => "upstream",
            Self::Timeout => "timeout",
            Self::Resource => "resource",
        }
    }

    pub const fn exit_code(self) -> i32 {
        match self {
            Self::Internal => 1,
            Self::Usage => 2,
            Self::Config => 3,
            Self::Auth => 4,
            Self::NotFound => 5,
            Self::Conflict => 6,
            Self::RateLimit => 7,
            Self::Upstream => 8,
            Self::Timeout => 9,
            Self::Resource => 11,
        }
    }

    const fn retryable(self) -> bool {
        matches!(self, Self::RateLimit | Self::Upstream | Self::Timeout)
    }
}

/// One failure, ready to be shown.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Failure {
    /// Stable name for programs, such as `instrument_unknown`.
    pub code: &'static str,
    pub category: Category,
    pub message: String,
    pub hint: String,
}

impl Failure {
    pub fn new(
        category: Category,
        code: &'static str,
        message: impl Into<String>,
        hint: impl Into<String>,
    ) -> Self {
        Self {
            code,
            category,
            message: message.into(),
            hint: hint.into(),
        }
    }

    pub fn to_json(&self) -> Value {
        json!({
            "code": self.code,
            "category": self.category.name(),
            "message": self.message,
            "hint": self.hint,
            "retryable": self.category.retryable(),
            "docs": format!("docs/errors.md#{}", self.category.name()),
            "request_id": null,
        })
    }
}

impl std::fmt::Display for Failure {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.message)?;
        if !self.hint.is_empty() {
            write!(f, " ({})", self.hint)?;
        }
        Ok(())
    }
}

impl std::error::Error for Failure {}

/// Up to three of `names` closest to `wanted`, best first: what "did you mean" shows.
pub fn nearest<'a>(wanted: &str, names: impl IntoIterator<Item = &'a str>) -> Vec<&'a str> {
    let mut scored: Vec<(usize, &str)> = names
        .into_iter()
        .map(|name| (distance(wanted, name), name))
        .collect();
    scored.sort_unstable();
    scored.dedup();
    scored.into_iter().take(3).map(|(_, name)| name).collect()
}

/// Edit distance (Levenshtein) without regard to case.
fn distance(a: &str, b: &str) -> usize {
    let a: Vec<char> = a.to_lowercase().chars().collect();
    let b: Vec<char> = b.to_lowercase().chars().collect();
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, left) in a.iter().enumerate() {
        let mut diagonal = row[0];
        row[0] = i + 1;
        for (j, right) in b.iter().enumerate() {
            let replaced = diagonal + usize::from(left != right);
            diagonal = row[j + 1];
            row[j + 1] = replaced.min(row[j] + 1).min(diagonal + 1);
        }
    }
    row[b.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn exit_codes_and_shape_are_those_of_the_api() {
        let failure = Failure::new(
            Category::NotFound,
            "instrument_unknown",
            "no BTC-USX",
            "try BTC-USD",
        );
        assert_eq!(failure.category.exit_code(), 5);
        assert_eq!(
            failure.to_json(),
            json!({"code": "instrument_unknown", "category": "not_found", "message": "no BTC-USX",
                   "hint": "try BTC-USD", "retryable": false, "docs": "docs/errors.md#not_found",
                   "request_id": null})
        );
    }

    #[test]
    fn nearest_names_come_first() {
        let names = ["ETH-USD", "BTC-USD", "BTC-USDT", "SOL-USD", "BTC-EUR"];
        assert_eq!(nearest("btc-usx", names), ["BTC-USD", "BTC-USDT", "BTC-EUR"]);
        assert_eq!(nearest("x", []), Vec::<&str>::new());
    }
}
