//! Which instrument a venue's symbol means: asked once for each message, so a table of its own.

/// Symbols of a session: open addressing, at most half full.
pub(super) struct Symbols {
    /// Index + 1 of the symbol, 0 is free.
    slots: Vec<u32>,
    names: Vec<Box<[u8]>>,
    indices: Vec<usize>,
}

impl Symbols {
    pub(super) fn new(count: usize) -> Self {
        Self {
            slots: vec![0; (count.max(4) * 2).next_power_of_two()],
            names: Vec::new(),
            indices: Vec::new(),
        }
    }

    #[inline]
    fn slot(&self, name: &[u8]) -> usize {
        // symbols are short and differ at either end
        let mut hash = name.len() as u64;
        for chunk in name.chunks(8) {
            let mut word = [0u8; 8];
            word[..chunk.len()].copy_from_slice(chunk);
            hash = (hash ^ u64::from_le_bytes(word)).wrapping_mul(0x9e37_79b9_7f4a_7c15);
            hash ^= hash >> 32;
        }
        hash as usize & (self.slots.len() - 1)
    }

    /// False when the name is there already.
    pub(super) fn insert(&mut self, name: &[u8], index: usize) -> bool {
        let mut slot = self.slot(name);
        while self.slots[slot] != 0 {
            if &*self.names[self.slots[slot] as usize - 1] == name {
                return false;
            }
            slot = (slot + 1) & (self.slots.len() - 1);
        }
        self.names.push(name.into());
        self.indices.push(index);
        self.slots[slot] = self.names.len() as u32;
        true
    }

    #[inline]
    pub(super) fn find(&self, name: &[u8]) -> Option<usize> {
        let mut slot = self.slot(name);
        loop {
            match self.slots[slot] {
                0 => return None,
                entry if &*self.names[entry as usize - 1] == name => {
                    return Some(self.indices[entry as usize - 1]);
                }
                _ => slot = (slot + 1) & (self.slots.len() - 1),
            }
        }
    }
}
