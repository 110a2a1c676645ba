//! A client's request, and the answers to it.

use crate::number::push_time;
use crate::protocols::quoted;
use serde_json::Value;

/// A client's request, for its answer.
pub(super) struct Call<'a> {
    pub(super) method: Option<&'a str>,
    pub(super) params: &'a Value,
    pub(super) req_id: Option<u64>,
    pub(super) now: i64,
}

impl Call<'_> {
    pub(super) fn success(&self, result: &str, now: i64) -> String {
        let method = self.method.unwrap_or_default();
        let mut text = format!("{{\"method\":\"{method}\",\"result\":{result},\"success\":true");
        self.push_times(&mut text, now);
        text.push('}');
        text
    }

    pub(super) fn error(&self, why: &str, symbol: Option<&str>, now: i64) -> String {
        let mut text = format!("{{\"error\":{}", quoted(why));
        if let Some(method) = self.method {
            text.push_str(&format!(",\"method\":{}", quoted(method)));
        }
        text.push_str(",\"success\":false");
        if let Some(symbol) = symbol {
            text.push_str(&format!(",\"symbol\":{}", quoted(symbol)));
        }
        self.push_times(&mut text, now);
        text.push('}');
        text
    }

    pub(super) fn push_times(&self, text: &mut String, now: i64) {
        if let Some(req_id) = self.req_id {
            text.push_str(&format!(",\"req_id\":{req_id}"));
        }
        text.push_str(",\"time_in\":\"");
        push_time(text, self.now, 6);
        text.push_str("\",\"time_out\":\"");
        push_time(text, now, 6);
        text.push('"');
    }
}

pub(super) fn symbols(params: &Value) -> Option<Vec<String>> {
    match params.get("symbol")? {
        Value::String(one) => Some(vec![one.clone()]),
        Value::Array(many) => many.iter().map(|s| s.as_str().map(str::to_owned)).collect(),
        _ => None,
    }
}
