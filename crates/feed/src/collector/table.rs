//! Fetches the venue's instrument table, now and every few hours, off the path of the records.

use std::cell::RefCell;
use std::path::PathBuf;
use std::rc::Rc;
use std::time::Duration;

use serde_json::json;
use tokio::sync::mpsc;
use tokio::time::sleep;
use tokio_tungstenite::tungstenite::Bytes;

use super::backoff::Backoff;
use super::catalogue::Catalogue;
use super::shared::Shared;
use crate::failure::{Category, Failure};

/// The shortest pause after a failure.
const PAUSE_MIN_NS: i64 = 100_000_000;
/// Weight of the request: at no venue is it more.
const WEIGHT: u32 = 20;
/// The table is fetched again so often.
const REFRESH: Duration = Duration::from_secs(6 * 3_600);

/// How the instrument table fares.
#[derive(Debug, Default)]
pub struct RestView {
    pub trouble: RefCell<Option<Failure>>,
}

/// Never gives up. `kept` is home and venue, where each
/// table is kept for the next start.
pub async fn fetch(
    shared: Rc<Shared>,
    rest: Rc<RestView>,
    kept: (PathBuf, String),
    tables: mpsc::Sender<Catalogue>,
) {
    let path = shared.protocol.listing_request();
    if path.is_empty() {
        return std::future::pending().await; // there is none
    }
    let mut backoff = Backoff::default();
    loop {
        let failure = match shared.get(WEIGHT, &path).await {
            Ok((200, body)) => match read_table(&shared, &kept, body).await {
                Ok(catalogue) => {
                    rest.trouble.replace(None);
                    backoff = Backoff::default();
                    if tables.send(catalogue).await.is_err() {
                        return;
                    }
                    sleep(REFRESH).await;
                    continue;
                }
                Err(failure) => failure,
            },
            Ok((status, _)) => Failure::new(
                Category::Upstream,
                "instrument_table",
                format!(
                    "asked {} for its instrument table, got status {status}",
                    shared.rest_url.host
                ),
                "it is asked again",
            ),
            Err(failure) => failure,
        };
        let wait = backoff.failed(shared.mono(), shared.random());
        shared.log.warn(
            "no instrument table",
            json!({"error": failure.message, "next_try_s": wait as f64 / 1e9}),
        );
        rest.trouble.replace(Some(failure));
        sleep(Duration::from_nanos(wait.max(PAUSE_MIN_NS) as u64)).await;
    }
}

/// Reads an instrument table and keeps it: tables have megabytes, and no record waits for that.
async fn read_table(shared: &Shared, kept: &(PathBuf, String), body: Bytes) -> Result<Catalogue, Failure> {
    let failed =
        |text: String| Failure::new(Category::Upstream, "instrument_table", text, "it is asked again");
    let (protocol, log, (home, venue)) = (shared.protocol, shared.log.clone(), kept.clone());
    let read = tokio::task::spawn_blocking(move || {
        let catalogue = Catalogue::new(protocol, &body)?;
        if !catalogue.is_empty()
            && let Err(error) = Catalogue::keep(&home, &venue, &body)
        {
            log.warn(
                "the instrument table was not kept",
                json!({"error": error.to_string()}),
            );
        }
        Ok::<_, venues::VenueError>(catalogue)
    });
    match read.await {
        Ok(Ok(catalogue)) if catalogue.is_empty() => Err(failed(format!(
            "{} sent an instrument table without instruments",
            shared.rest_url.host
        ))),
        Ok(Ok(catalogue)) => Ok(catalogue),
        Ok(Err(error)) => Err(failed(error.to_string())),
        Err(error) => Err(failed(format!("reading the instrument table failed: {error}"))),
    }
}
