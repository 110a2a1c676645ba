//! Rows shared out between threads: each makes the bars of a range of them, and where two ranges meet inside a
//! bar its two parts are joined. Sums are of whole numbers, so the bars are those of one thread, to the bit.

use std::ops::Range;
use std::thread;

use super::column::{Columns, Made, reduce};
use super::sum::{Sums, sums};
use super::{BarError, Cut};

/// Fewer rows than this are done before another thread has begun.
const ROWS_MIN: usize = 1 << 17;

/// Where the columns of bars come from, and where those go that are no longer needed.
pub trait Pool: Sync {
    /// A buffer with room for so many values, or an empty one.
    fn take(&self, rows: usize) -> Vec<i64>;

    fn give_back(&self, buffer: Vec<i64>);
}

/// Memory from the system and back to it.
pub struct Fresh;

impl Pool for Fresh {
    fn take(&self, _: usize) -> Vec<i64> {
        Vec::new()
    }

    fn give_back(&self, _: Vec<i64>) {}
}

/// Over how many threads so many rows are worth sharing out.
pub fn threads(rows: usize, most: usize) -> usize {
    (rows / ROWS_MIN).clamp(1, most.max(1))
}

/// The bars of these rows ([`reduce`]), made by so many threads.
pub fn reduce_shared<C: Cut + Clone + Sync>(
    cut: &C,
    rows: &Columns<'_>,
    threads: usize,
    pool: &impl Pool,
) -> Result<Made, BarError> {
    if !rows.have_one_length() {
        return Err(BarError::Length);
    }
    let made = |range: Range<usize>, most: usize| {
        let rows = rows.range(range);
        let mut made = Made::in_buffers(most, |rows| pool.take(rows));
        reduce(&mut cut.clone(), &rows, &mut made).map(|()| made)
    };
    let all = rows.ts.len();
    let most = |range: Range<usize>| cut.count_max(&rows.ts[range]);
    // Sums of 128 bits may pass their limit and come back, which depends on where they begin.
    if threads > 1 && rows.volume_high.is_none() {
        let parts = each(all, threads, |at, range| {
            // The first part is what the others are put behind.
            made(range.clone(), if at == 0 { most(0..all) } else { most(range) })
        });
        if let Some(whole) = joined(cut, parts, pool) {
            return Ok(whole);
        }
    }
    // Whatever is wrong, or wide, is found in the order of the rows.
    made(0..all, most(0..all))
}

/// Sums of these rows ([`sums`]), made by so many threads.
pub fn sums_shared<C: Cut + Clone + Sync>(
    cut: &C,
    ts: &[i64],
    price: &[i64],
    size: &[i64],
    threads: usize,
) -> Result<Vec<Sums>, BarError> {
    if price.len() != ts.len() || size.len() != ts.len() {
        return Err(BarError::Length);
    }
    if threads > 1 {
        let parts = each(ts.len(), threads, |_, range| {
            let (price, size) = (&price[range.clone()], &size[range.clone()]);
            sums(&mut cut.clone(), &ts[range], price, size)
        });
        if let Some(whole) = added(cut, parts) {
            return Ok(whole);
        }
    }
    sums(&mut cut.clone(), ts, price, size)
}

/// What `work` gives for each range, the first of them done by this thread.
fn each<T: Send>(rows: usize, threads: usize, work: impl Fn(usize, Range<usize>) -> T + Sync) -> Vec<T> {
    let edge = |at: usize| (rows as u128 * at as u128 / threads as u128) as usize;
    let work = &work;
    thread::scope(|scope| {
        let others: Vec<_> = (1..threads)
            .map(|at| scope.spawn(move || work(at, edge(at)..edge(at + 1))))
            .collect();
        let mut found = vec![work(0, 0..edge(1))];
        for other in others {
            found.push(
                other
                    .join()
                    .unwrap_or_else(|panic| std::panic::resume_unwind(panic)),
            );
        }
        found
    })
}

/// The parts one behind the other; None where one failed, does not follow the one before it, or has a volume
/// of more than 64 bits.
fn joined<C: Cut + Clone>(cut: &C, parts: Vec<Result<Made, BarError>>, pool: &impl Pool) -> Option<Made> {
    let mut parts = parts.into_iter().collect::<Result<Vec<_>, _>>().ok()?;
    if parts.iter().any(|part| part.volume_high.is_some()) {
        return None;
    }
    let others = parts.split_off(1);
    let mut whole = parts.pop()?;
    for part in others {
        if let (Some(last), Some(&start)) = (whole.start.len().checked_sub(1), part.start.first()) {
            let before = whole.start[last];
            let skipped = usize::from(before == start);
            if skipped == 1 {
                whole.high[last] = whole.high[last].max(part.high[0]);
                whole.low[last] = whole.low[last].min(part.low[0]);
                whole.close[last] = part.close[0];
                whole.volume[last] = whole.volume[last].checked_add(part.volume[0])?;
                whole.trades[last] = whole.trades[last].checked_add(part.trades[0])?;
            } else if start < ends(cut, before)? {
                return None;
            }
            whole.append(&part, skipped);
        } else {
            whole.append(&part, 0);
        }
        part.into_buffers()
            .into_iter()
            .for_each(|buffer| pool.give_back(buffer));
    }
    Some(whole)
}

/// The same for sums.
fn added<C: Cut + Clone>(cut: &C, parts: Vec<Result<Vec<Sums>, BarError>>) -> Option<Vec<Sums>> {
    let mut whole: Vec<Sums> = Vec::new();
    for part in parts {
        let part = part.ok()?;
        let mut skipped = 0;
        if let (Some(last), Some(first)) = (whole.last_mut(), part.first()) {
            if last.start_ns == first.start_ns {
                last.rows += first.rows;
                last.size += first.size;
                last.value = last.value.checked_add(first.value)?;
                skipped = 1;
            } else if first.start_ns < ends(cut, last.start_ns)? {
                return None;
            }
        }
        whole.extend_from_slice(&part[skipped..]);
    }
    Some(whole)
}

/// Where the span that begins here ends.
fn ends<C: Cut + Clone>(cut: &C, start: i64) -> Option<i64> {
    cut.clone().span(start).map(|(_, end)| end)
}
