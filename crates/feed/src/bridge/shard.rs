//! Clients in groups, each served by one thread at a time.
//!
//! A batch is put into each group's queue once, whatever the number of clients; whoever serves the group
//! takes everything queued, so that a busy bridge writes many messages at once. A group with few clients is
//! served by the venue's own thread: no further sleep lies between the journal and the socket.

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::thread::Thread;
use std::time::Duration;

use super::batch::Batch;
use super::client::Client;

/// Clients of a group that a venue's thread serves itself.
const INLINE_MAX: usize = 8;

/// Batches that may wait for a group. Beyond it the venues stop reading: what they have not read waits in
/// the journal, and comes merged.
const QUEUE_MAX: usize = 128;

/// Something for clients, in the order it happened.
#[derive(Clone, Debug)]
pub enum Item {
    Batch(Arc<Batch>),
    Heartbeat(Arc<str>),
}

#[derive(Debug, Default)]
struct Shard {
    queue: Mutex<Vec<Item>>,
    /// Held by whoever serves the group.
    clients: Mutex<Vec<Arc<Client>>>,
    /// Clients that are served from the next round on.
    joining: Mutex<Vec<Arc<Client>>>,
    count: AtomicUsize,
    thread: OnceLock<Thread>,
    called: AtomicBool,
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[derive(Debug)]
pub struct Shards {
    shards: Vec<Arc<Shard>>,
}

impl Shards {
    /// Groups with a thread each, which ends with `closing`.
    pub fn start(count: usize, closing: &Arc<AtomicBool>) -> std::io::Result<Arc<Self>> {
        let shards: Vec<Arc<Shard>> = (0..count.max(1)).map(|_| Arc::default()).collect();
        for (at, shard) in shards.iter().enumerate() {
            let (shard, closing) = (shard.clone(), closing.clone());
            std::thread::Builder::new()
                .name(format!("clients-{at}"))
                .spawn(move || {
                    let _ = shard.thread.set(std::thread::current()); // nobody else sets it
                    while !closing.load(Ordering::Acquire) {
                        if shard.called.swap(false, Ordering::AcqRel) {
                            shard.serve();
                        } else {
                            std::thread::park_timeout(Duration::from_millis(200));
                        }
                    }
                })?;
        }
        Ok(Arc::new(Self { shards }))
    }

    pub fn add(&self, client: Arc<Client>) {
        let shard = &self.shards[client.id as usize % self.shards.len()];
        shard.count.fetch_add(1, Ordering::AcqRel);
        lock(&shard.joining).push(client);
    }

    pub fn remove(&self, client: &Client) {
        let shard = &self.shards[client.id as usize % self.shards.len()];
        let gone = |one: &Arc<Client>| one.id == client.id;
        let mut clients = lock(&shard.clients); // in the order in which serving takes them
        let mut joining = lock(&shard.joining);
        let before = joining.len() + clients.len();
        joining.retain(|one| !gone(one));
        clients.retain(|one| !gone(one));
        if joining.is_empty() && clients.is_empty() {
            lock(&shard.queue).clear(); // nobody is left who would take it
        }
        shard
            .count
            .fetch_sub(before - joining.len() - clients.len(), Ordering::AcqRel);
    }

    /// Queues a batch. Called under the venue's lock, so that batches keep their order.
    pub fn publish(&self, batch: Batch) {
        if !batch.is_empty() || batch.through != (0, 0) {
            self.queue(&Item::Batch(batch.finish()));
        }
    }

    /// Some group has so much before it that reading more would only fill memory. A group that nobody is in
    /// is served by nobody: whatever lies before it is not waited for.
    pub fn is_full(&self) -> bool {
        self.shards
            .iter()
            .any(|shard| shard.count.load(Ordering::Acquire) > 0 && lock(&shard.queue).len() >= QUEUE_MAX)
    }

    pub fn queue(&self, item: &Item) {
        for shard in &self.shards {
            if shard.count.load(Ordering::Acquire) > 0 {
                lock(&shard.queue).push(item.clone());
            }
        }
    }

    /// Sees that what is queued is delivered: here for small groups, by their threads for large ones.
    pub fn serve(&self) {
        for shard in &self.shards {
            match shard.count.load(Ordering::Acquire) {
                0 => {}
                1..=INLINE_MAX => shard.serve(),
                _ => {
                    shard.called.store(true, Ordering::Release);
                    if let Some(thread) = shard.thread.get() {
                        thread.unpark();
                    }
                }
            }
        }
    }
}

impl Shard {
    /// Delivers everything queued. If another thread is at it, that one does.
    fn serve(&self) {
        loop {
            let Ok(mut clients) = self.clients.try_lock() else {
                return;
            };
            let items = std::mem::take(&mut *lock(&self.queue));
            if !items.is_empty() {
                clients.append(&mut lock(&self.joining));
                for client in clients.iter() {
                    client.deliver(&items);
                }
            }
            drop(clients);
            // What was queued while we held the group would otherwise wait for the next call.
            if lock(&self.queue).is_empty() {
                return;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_group_left_behind_holds_nobody_up() {
        let closing = Arc::new(AtomicBool::new(true));
        let shards = Shards::start(2, &closing).unwrap();
        shards.shards[0].count.store(1, Ordering::Release);
        for _ in 0..QUEUE_MAX {
            shards.queue(&Item::Heartbeat("{}".into()));
        }
        assert!(shards.is_full());
        shards.shards[0].count.store(0, Ordering::Release); // its last client has gone
        assert!(!shards.is_full());
    }
}
