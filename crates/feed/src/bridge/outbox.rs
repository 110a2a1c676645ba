//! What waits to be written to one client, and what happens when it takes too little.
//!
//! Pure: batches in, bytes out. While a client keeps up, messages go straight into the buffer, many to one
//! write. When it falls behind, exact messages wait as references to the shared text, up to a bound, and
//! then the client is cut; quotes, bars and books are merged, each with a count of what it replaces, up to a bound too.

use std::collections::{BTreeMap, HashMap, VecDeque};
use std::sync::Arc;
use std::time::Instant;

use wire::{Decimal, Side};

use super::batch::{Batch, BookKind, Change, Class, Message, Place};
use super::interest::Interest;
use super::json;
use super::message::book_text;
use super::websocket::{self, close};

/// Rendered bytes that may wait; more stay shared or merged.
const BUFFER_BYTES: usize = 64 * 1024;
/// Bytes of exact messages (and rendered ones) that may wait before the client is cut.
pub const QUEUE_BYTES_MAX: usize = 1 << 20;
/// Bytes of merged messages that may wait: what a client is behind in is bounded by what it asked for, and that by this.
const MERGED_BYTES_MAX: usize = 16 << 20;
/// Bars of one instrument that wait for a client, open and closed. One further behind reads the older ones from the store.
const BARS_MAX: usize = 16;

/// A subscription's share in one venue.
#[derive(Debug)]
pub struct Part {
    pub venue: usize,
    pub venue_name: Arc<str>,
    pub interest: Interest,
    /// Messages up to here were already sent, or are not wanted.
    from: Place,
    /// Sequence of the message sent last.
    prev: Option<u64>,
    /// Everything up to here was taken in.
    through: Place,
    /// The exact message sent last, or where the share began.
    exact_to: Place,
    /// History is being read; live messages come later.
    pub catching: bool,
    exact: VecDeque<(Arc<Batch>, u32)>,
    merged: BTreeMap<Slot, Merged>,
    /// Books whose changes were too many to keep: what was left out, and whether a new snapshot was asked for.
    lost_books: HashMap<u32, (u32, bool)>,
}

/// What merged messages replace each other by.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Slot {
    Quote(u32),
    Bar(u32, i64),
    Book(u32),
}

#[derive(Debug)]
enum Merged {
    /// The newest stands for all. Its text is its own: it may wait for long, and the batch it came in is large.
    Latest {
        message: Message,
        text: Box<[u8]>,
        seen: Instant,
        replaced: u32,
    },
    Book(MergedBook),
}

#[derive(Debug)]
struct MergedBook {
    label: Vec<u8>,
    kind: BookKind,
    place: Place,
    ts: (i64, i64),
    conflated: u32,
    /// By side and price in its normal form.
    changes: HashMap<(bool, Decimal), Change>,
}

impl Merged {
    fn place(&self) -> Place {
        match self {
            Self::Latest { message, .. } => message.place,
            Self::Book(book) => book.place,
        }
    }

    fn bytes(&self) -> usize {
        size_of::<Self>()
            + match self {
                Self::Latest { text, .. } => text.len(),
                Self::Book(book) => {
                    book.label.len() + book.changes.len() * size_of::<((bool, Decimal), Change)>()
                }
            }
    }

    /// Messages that are left out if a newer one takes its place.
    fn stands_for(&self) -> u32 {
        let conflated = match self {
            Self::Latest {
                message, replaced, ..
            } => message.conflated.saturating_add(*replaced),
            Self::Book(book) => book.conflated,
        };
        conflated.saturating_add(1)
    }
}

impl Part {
    /// A share that begins after `from`: (epoch, sequence) of the last message not wanted.
    pub fn new(venue: usize, venue_name: Arc<str>, interest: Interest, from: Place) -> Self {
        Self {
            venue,
            venue_name,
            interest,
            from,
            prev: None,
            through: from,
            exact_to: from,
            catching: false,
            exact: VecDeque::new(),
            merged: BTreeMap::new(),
            lost_books: HashMap::new(),
        }
    }

    /// Where to resume so that no exact message is missed or comes twice.
    pub fn position(&self) -> Place {
        if self.exact.is_empty() {
            self.through
        } else {
            self.exact_to
        }
    }

    fn is_behind(&self) -> bool {
        !self.exact.is_empty() || !self.merged.is_empty()
    }

    #[inline]
    fn wants(&self, message: &Message) -> bool {
        message.channels & self.interest.channels != 0
            && match message.class {
                Class::Book { depth, .. } => depth == self.interest.depth,
                _ => true,
            }
            && self.interest.instruments.has(message.instrument)
    }
}

/// One subscription of a client.
#[derive(Debug)]
pub struct Subscription {
    pub id: u64,
    pub parts: Vec<Part>,
}

/// A snapshot that a client needs because it lost count of a book.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SnapshotRequest {
    pub subscription: u64,
    pub venue: usize,
    pub instrument: u32,
}

/// Numbers of one client's traffic since they were last taken.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Traffic {
    pub messages: u64,
    pub conflated: u64,
}

/// Everything that waits for one client.
#[derive(Debug)]
pub struct Outbox {
    client: u64,
    buffer: Vec<u8>,
    /// Bytes of `buffer` already written.
    written: usize,
    pub subscriptions: Vec<Subscription>,
    /// Bytes of exact messages that wait outside the buffer, and of merged ones.
    waiting_bytes: usize,
    merged_bytes: usize,
    queue_bytes_max: usize,
    /// A heartbeat that waits behind messages.
    heartbeat: Option<Arc<str>>,
    /// When the oldest message in the buffer was read from the journal.
    pub oldest_seen: Option<Instant>,
    /// A close frame is in the buffer: nothing more comes.
    ended: Option<u16>,
    pub traffic: Traffic,
    scratch: Vec<u8>,
}

impl Outbox {
    pub fn new(client: u64, queue_bytes_max: usize) -> Self {
        Self {
            client,
            buffer: Vec::new(),
            written: 0,
            subscriptions: Vec::new(),
            waiting_bytes: 0,
            merged_bytes: 0,
            queue_bytes_max,
            heartbeat: None,
            oldest_seen: None,
            ended: None,
            traffic: Traffic::default(),
            scratch: Vec::new(),
        }
    }

    // --- the socket's side ---------------------------------------------------------------------------

    /// Bytes to be written next.
    pub fn pending(&self) -> &[u8] {
        &self.buffer[self.written..]
    }

    /// Says how many of [`Outbox::pending`] were written.
    pub fn wrote(&mut self, bytes: usize) {
        self.written += bytes;
        if self.written >= self.buffer.len() {
            self.written = 0;
            self.buffer.clear();
            if self.buffer.capacity() > 4 * BUFFER_BYTES {
                self.buffer = Vec::new(); // of a burst; the next buffer is small again
            }
        }
    }

    /// The code of the close frame that was put into the buffer.
    pub fn ended(&self) -> Option<u16> {
        self.ended
    }

    /// Messages wait that did not fit the buffer.
    pub fn is_behind(&self) -> bool {
        self.heartbeat.is_some() || self.parts().any(Part::is_behind)
    }

    fn parts(&self) -> impl Iterator<Item = &Part> {
        self.subscriptions.iter().flat_map(|one| &one.parts)
    }

    /// Levels that a subscription's books of a venue show.
    pub fn depth(&self, id: u64, venue: usize) -> Option<u16> {
        self.subscriptions
            .iter()
            .filter(|one| one.id == id)
            .flat_map(|one| &one.parts)
            .find(|part| part.venue == venue)
            .map(|part| part.interest.depth)
    }

    /// Whether history may be read into the buffer now.
    pub fn has_room(&self) -> bool {
        self.ended.is_none() && self.pending().len() < BUFFER_BYTES
    }

    // --- messages ------------------------------------------------------------------------------------

    /// Takes in what one look into a journal brought.
    pub fn accept(&mut self, batch: &Arc<Batch>) {
        if self.ended.is_some() {
            return;
        }
        let mut subscriptions = std::mem::take(&mut self.subscriptions);
        for subscription in &mut subscriptions {
            if let Some(target) = batch.target
                && (target.client != self.client || target.subscription != subscription.id)
            {
                continue;
            }
            for part in &mut subscription.parts {
                if part.venue == batch.venue && !part.catching {
                    self.accept_part(subscription.id, part, batch);
                }
            }
        }
        self.subscriptions = subscriptions;
        self.check_bound();
    }

    fn accept_part(&mut self, id: u64, part: &mut Part, batch: &Arc<Batch>) {
        for (at, message) in (0u32..).zip(&batch.messages) {
            // A targeted snapshot says "as of now": it may repeat the position of what went before.
            // A bar closes by the clock: at a venue that is silent, with the record that a subscription began after.
            let is_old = match message.class {
                Class::Bar { .. } => message.place < part.from,
                _ => message.place <= part.from && batch.target.is_none(),
            };
            if is_old || !part.wants(message) {
                continue;
            }
            let mut extra = 0;
            if let Class::Book { kind, .. } = message.class
                && let Some((left_out, _)) = part.lost_books.get_mut(&message.instrument)
            {
                if kind == BookKind::Delta {
                    *left_out = left_out.saturating_add(1 + message.conflated);
                    continue;
                }
                extra = *left_out;
                part.lost_books.remove(&message.instrument);
            }
            if !part.is_behind() && self.pending().len() < BUFFER_BYTES {
                self.put(id, part, message, batch.text(message), batch.seen, extra);
            } else {
                self.keep(part, batch, at, extra);
            }
        }
        part.through = part.through.max(batch.through);
    }

    /// Keeps a message for later.
    fn keep(&mut self, part: &mut Part, batch: &Arc<Batch>, at: u32, extra: u32) {
        let message = &batch.messages[at as usize];
        let slot = match message.class {
            Class::Exact => {
                self.waiting_bytes += batch.text(message).len();
                part.exact.push_back((batch.clone(), at));
                return;
            }
            Class::Quote => Slot::Quote(message.instrument),
            Class::Bar { start_ns } => Slot::Bar(message.instrument, start_ns),
            Class::Book { depth, kind } => {
                self.merge_book(part, batch, message, depth, kind, extra);
                return;
            }
        };
        let replaced = self
            .take_merged(part, slot)
            .map_or(0, |before| before.stands_for());
        let latest = Merged::Latest {
            message: message.clone(),
            text: batch.text(message).into(),
            seen: batch.seen,
            replaced,
        };
        self.keep_merged(part, slot, latest);
        if let Class::Bar { .. } = message.class {
            self.bound_bars(part, message.instrument);
        }
    }

    fn keep_merged(&mut self, part: &mut Part, slot: Slot, merged: Merged) {
        self.merged_bytes += merged.bytes();
        part.merged.insert(slot, merged);
    }

    fn take_merged(&mut self, part: &mut Part, slot: Slot) -> Option<Merged> {
        let merged = part.merged.remove(&slot)?;
        self.merged_bytes -= merged.bytes();
        Some(merged)
    }

    /// Leaves out the oldest bar of an instrument if too many wait: time goes on however little a client takes.
    fn bound_bars(&mut self, part: &mut Part, instrument: u32) {
        let bars = Slot::Bar(instrument, i64::MIN)..=Slot::Bar(instrument, i64::MAX);
        let mut waiting = part.merged.range(bars).map(|(slot, _)| *slot);
        let oldest = waiting.next();
        if waiting.count() >= BARS_MAX
            && let Some(left_out) = oldest.and_then(|slot| self.take_merged(part, slot))
        {
            self.traffic.conflated += u64::from(left_out.stands_for());
        }
    }

    fn merge_book(
        &mut self,
        part: &mut Part,
        batch: &Arc<Batch>,
        message: &Message,
        depth: u16,
        kind: BookKind,
        extra: u32,
    ) {
        let slot = Slot::Book(message.instrument);
        let mut conflated = message.conflated.saturating_add(extra);
        let before = self.take_merged(part, slot);
        conflated = conflated.saturating_add(before.as_ref().map_or(0, Merged::stands_for));
        let mut book = match before {
            Some(Merged::Book(book)) => book,
            _ => MergedBook {
                label: batch.label(message).to_vec(),
                kind,
                place: (0, 0),
                ts: (0, 0),
                conflated: 0,
                changes: HashMap::new(),
            },
        };
        if kind != BookKind::Delta {
            book.kind = kind;
            book.changes.clear();
        }
        for change in batch.changes(message) {
            let key = (change.side == Side::Buy, change.price.normal());
            // A removal matters to a client that may show the level; onto a snapshot it is just applied.
            if change.size.is_zero() && book.kind != BookKind::Delta {
                book.changes.remove(&key);
            } else {
                book.changes.insert(key, *change);
            }
        }
        book.place = message.place;
        book.ts = (message.ts_event, message.ts_recv);
        book.conflated = conflated;
        // Prices wander: a client that sleeps for long gets a new snapshot instead of every level since.
        if book.kind == BookKind::Delta && book.changes.len() > 8 * usize::from(depth) + 64 {
            part.lost_books
                .insert(message.instrument, (conflated.saturating_add(1), false));
        } else {
            self.keep_merged(part, slot, Merged::Book(book));
        }
    }

    /// Puts a message into the buffer: the client's own beginning, then the shared text.
    #[inline]
    fn put(
        &mut self,
        id: u64,
        part: &mut Part,
        message: &Message,
        text: &[u8],
        seen: Instant,
        replaced: u32,
    ) {
        self.oldest_seen.get_or_insert(seen);
        if message.class == Class::Exact {
            part.exact_to = message.place;
        }
        let conflated = match message.class {
            Class::Quote | Class::Book { .. } => Some(message.conflated.saturating_add(replaced)),
            _ => None,
        };
        self.put_text(id, part, message.place.1, conflated, text);
    }

    fn put_text(&mut self, id: u64, part: &mut Part, sequence: u64, conflated: Option<u32>, text: &[u8]) {
        self.traffic.messages += 1;
        self.traffic.conflated += u64::from(conflated.unwrap_or(0));
        let begin = &mut self.scratch;
        begin.clear();
        begin.extend_from_slice(b"{\"prev\":");
        match part.prev {
            Some(prev) => json::integer(begin, prev),
            None => begin.extend_from_slice(b"null"),
        }
        begin.extend_from_slice(b",\"id\":");
        json::integer(begin, id);
        begin.push(b',');
        if let Some(conflated) = conflated {
            begin.extend_from_slice(b"\"conflated\":");
            json::integer(begin, u64::from(conflated));
            begin.push(b',');
        }
        part.prev = Some(sequence);
        websocket::text_header(&mut self.buffer, begin.len() + text.len());
        self.buffer.extend_from_slice(begin);
        self.buffer.extend_from_slice(text);
    }

    /// Puts history of one part into the buffer, whatever waits: it is older than all of that.
    pub fn put_history(&mut self, id: u64, venue: usize, batch: &Batch) {
        let mut subscriptions = std::mem::take(&mut self.subscriptions);
        for subscription in subscriptions.iter_mut().filter(|one| one.id == id) {
            for part in subscription
                .parts
                .iter_mut()
                .filter(|part| part.venue == venue && part.catching)
            {
                for message in &batch.messages {
                    if part.wants(message) && message.class == Class::Exact {
                        self.put(id, part, message, batch.text(message), batch.seen, 0);
                    }
                }
                part.through = part.through.max(batch.through);
            }
        }
        self.subscriptions = subscriptions;
    }

    /// Ends the reading of history: from now on the part is live, and `current` (as of the last record of the
    /// venue) comes first.
    pub fn go_live(&mut self, id: u64, venue: usize, position: Place, current: &Arc<Batch>) {
        for subscription in self.subscriptions.iter_mut().filter(|one| one.id == id) {
            for part in subscription.parts.iter_mut().filter(|part| part.venue == venue) {
                part.catching = false;
                part.from = position;
                part.through = position;
                part.exact_to = position;
            }
        }
        self.show_current(id, current);
    }

    /// Adds a subscription whose parts are live or catching.
    pub fn subscribe(&mut self, subscription: Subscription) {
        self.subscriptions.push(subscription);
    }

    /// What a new subscription is shown first.
    pub fn show_current(&mut self, id: u64, current: &Arc<Batch>) {
        let mut subscriptions = std::mem::take(&mut self.subscriptions);
        for subscription in subscriptions.iter_mut().filter(|one| one.id == id) {
            for part in subscription
                .parts
                .iter_mut()
                .filter(|part| part.venue == current.venue && !part.catching)
            {
                for (at, message) in (0u32..).zip(&current.messages) {
                    if !part.wants(message) {
                        continue;
                    }
                    // The books of a whole venue may be more than a client takes at once.
                    if !part.is_behind() && self.pending().len() < BUFFER_BYTES {
                        self.put(id, part, message, current.text(message), current.seen, 0);
                    } else {
                        self.keep(part, current, at, 0);
                    }
                }
            }
        }
        self.subscriptions = subscriptions;
        self.check_bound();
    }

    /// Takes a subscription away; what it still waited for goes with it.
    pub fn unsubscribe(&mut self, id: u64) -> Option<Subscription> {
        let at = self.subscriptions.iter().position(|one| one.id == id)?;
        let subscription = self.subscriptions.remove(at);
        for part in &subscription.parts {
            for (batch, at) in &part.exact {
                self.waiting_bytes -= batch.text(&batch.messages[*at as usize]).len();
            }
            self.merged_bytes -= part.merged.values().map(Merged::bytes).sum::<usize>();
        }
        Some(subscription)
    }

    /// A message about the connection itself.
    pub fn say(&mut self, text: &str) {
        if self.ended.is_none() {
            websocket::text(&mut self.buffer, text);
            self.check_bound();
        }
    }

    pub fn pong(&mut self, payload: &[u8]) {
        if self.ended.is_none() {
            websocket::pong(&mut self.buffer, payload);
            self.check_bound();
        }
    }

    /// A heartbeat says "everything up to these positions was sent": it waits behind what waits, and a
    /// newer one replaces it. While history is being read there is none, only a sign of life: there may be little in it for
    /// this client.
    pub fn beat(&mut self, text: &Arc<str>) {
        if self.ended.is_some() {
            return;
        }
        let is_catching = |one: &&Subscription| one.parts.iter().any(|part| part.catching);
        let catching: Vec<u64> = (self.subscriptions.iter().filter(is_catching))
            .map(|one| one.id)
            .collect();
        if !catching.is_empty() {
            if !self.has_room() {
                return; // what waits for it is sign enough
            }
            for id in catching {
                let text = format!("{{\"type\":\"catching\",\"id\":{id}}}");
                websocket::text(&mut self.buffer, &text);
            }
            return;
        }
        if self.is_behind() || self.pending().len() >= BUFFER_BYTES {
            self.heartbeat = Some(text.clone());
        } else {
            websocket::text(&mut self.buffer, text);
        }
    }

    /// Moves what waits into the buffer, in the order of the log within each part, until it is full. Returns the
    /// snapshots that are needed now.
    pub fn refill(&mut self) -> Vec<SnapshotRequest> {
        let mut requests = Vec::new();
        if self.ended.is_some() {
            return requests;
        }
        let mut subscriptions = std::mem::take(&mut self.subscriptions);
        for subscription in &mut subscriptions {
            for part in &mut subscription.parts {
                self.refill_part(subscription.id, part);
                if part.is_behind() {
                    continue;
                }
                for (&instrument, (_, asked)) in &mut part.lost_books {
                    if !std::mem::replace(asked, true) {
                        requests.push(SnapshotRequest {
                            subscription: subscription.id,
                            venue: part.venue,
                            instrument,
                        });
                    }
                }
            }
        }
        // Who was served first this time is served last the next.
        if subscriptions.len() > 1 {
            subscriptions.rotate_left(1);
        }
        self.subscriptions = subscriptions;
        if self.pending().len() < BUFFER_BYTES
            && !self.parts().any(Part::is_behind)
            && let Some(text) = self.heartbeat.take()
        {
            websocket::text(&mut self.buffer, &text);
        }
        requests
    }

    fn refill_part(&mut self, id: u64, part: &mut Part) {
        if !part.is_behind() {
            return;
        }
        let mut order: VecDeque<(Place, Slot)> = {
            let mut slots: Vec<_> = part
                .merged
                .iter()
                .map(|(slot, merged)| (merged.place(), *slot))
                .collect();
            slots.sort_unstable();
            slots.into()
        };
        while self.pending().len() < BUFFER_BYTES {
            let exact = part
                .exact
                .front()
                .map(|(batch, at)| batch.messages[*at as usize].place);
            let merged = order.front().map(|(place, _)| *place);
            let is_exact_next = match (exact, merged) {
                (None, None) => return,
                (Some(exact), Some(merged)) => exact <= merged,
                (exact, _) => exact.is_some(),
            };
            if is_exact_next {
                if let Some((batch, at)) = part.exact.pop_front() {
                    let message = &batch.messages[at as usize];
                    self.waiting_bytes -= batch.text(message).len();
                    self.put(id, part, message, batch.text(message), batch.seen, 0);
                }
            } else if let Some((_, slot)) = order.pop_front() {
                match self.take_merged(part, slot) {
                    Some(Merged::Latest {
                        message,
                        text,
                        seen,
                        replaced,
                    }) => self.put(id, part, &message, &text, seen, replaced),
                    Some(Merged::Book(book)) => self.put_book(id, part, &book),
                    None => {}
                }
            }
        }
    }

    fn put_book(&mut self, id: u64, part: &mut Part, book: &MergedBook) {
        let mut changes: Vec<Change> = book.changes.values().copied().collect();
        changes.sort_unstable_by(|one, other| {
            let (best, next) = match one.side {
                Side::Buy => (other, one),
                _ => (one, other),
            };
            (one.side as u8)
                .cmp(&(other.side as u8))
                .then(best.price.value_cmp(next.price))
        });
        let mut text = Vec::new();
        book_text(
            &mut text,
            &book.label,
            book.place,
            book.kind,
            changes.iter(),
            book.ts,
        );
        self.put_text(id, part, book.place.1, Some(book.conflated), &text);
    }

    // --- the end -------------------------------------------------------------------------------------

    fn check_bound(&mut self) {
        let is_over = self.waiting_bytes + self.pending().len() > self.queue_bytes_max
            || self.merged_bytes > MERGED_BYTES_MAX;
        if self.ended.is_none() && is_over {
            self.cut("slow", close::SLOW);
        }
    }

    /// Where to resume each venue: the earliest position among the subscriptions.
    pub fn positions(&self) -> BTreeMap<String, Place> {
        let mut positions: BTreeMap<String, Place> = BTreeMap::new();
        for part in self.parts() {
            let position = part.position();
            positions
                .entry(part.venue_name.to_string())
                .and_modify(|found| *found = position.min(*found))
                .or_insert(position);
        }
        positions
    }

    /// Ends the stream with the positions to resume from. What waits is dropped: it will be read from the
    /// journal again.
    pub fn cut(&mut self, reason: &str, code: u16) {
        if self.ended.is_some() {
            return;
        }
        let subscriptions: BTreeMap<u64, BTreeMap<&str, Place>> = (self.subscriptions.iter())
            .map(|one| {
                let positions = one.parts.iter().map(|part| (&*part.venue_name, part.position()));
                (one.id, positions.collect())
            })
            .collect();
        let text = serde_json::json!({
            "type": "cut",
            "reason": reason,
            "positions": self.positions(),
            "subscriptions": subscriptions,
        });
        for part in self.subscriptions.iter_mut().flat_map(|one| &mut one.parts) {
            part.through = part.position();
            part.exact.clear();
            part.merged.clear();
        }
        (self.waiting_bytes, self.merged_bytes) = (0, 0);
        websocket::text(&mut self.buffer, &text.to_string());
        self.close(code, reason);
    }

    /// Ends the stream without more words.
    pub fn close(&mut self, code: u16, reason: &str) {
        if self.ended.is_none() {
            websocket::closing(&mut self.buffer, code, reason);
            self.heartbeat = None;
            self.ended = Some(code);
        }
    }
}
