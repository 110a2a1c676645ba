//! What the core reads back from the journal after a restart, and what it writes there for the next one.

use wire::{Record, Side, cause, flag, kind, status};

use super::Core;
use super::stream::{Gap, Stream};
use crate::collector::state::{self, State};

impl Core {
    /// Takes in records that are in the journal already, oldest first.
    pub fn recover(&mut self, first_sequence: u64, records: &[Record]) {
        for (record, sequence) in records.iter().zip(first_sequence..) {
            match record.kind {
                kind::STATUS => {
                    self.connection = self.connection.max(record.price.max(0) as u64);
                    if matches!(record.id, status::HALTED | status::RESUMED) {
                        let halted = record.id == status::HALTED;
                        match record.instrument {
                            0 => self.halted = halted,
                            number => {
                                let instrument = self.entry(number);
                                (instrument.halted, instrument.halted_ns) = (halted, record.ts_recv);
                            }
                        }
                    }
                    if record.instrument != 0
                        && matches!(record.id, status::BOOK_INVALID | status::BOOK_VALID)
                    {
                        self.entry(record.instrument).book_valid = record.id == status::BOOK_VALID;
                    }
                }
                kind::TRADE | kind::QUOTE | kind::LEVEL | kind::CLEAR if record.instrument != 0 => {
                    let instrument = self.entry(record.instrument);
                    if record.kind == kind::TRADE && !instrument.numbered {
                        instrument.seen.insert(record);
                    }
                    let stream = match record.kind {
                        kind::TRADE => &mut instrument.trades,
                        kind::QUOTE => &mut instrument.quotes,
                        _ => &mut instrument.book_stream,
                    };
                    stream.good(record);
                }
                kind::GAP if record.instrument != 0 => {
                    let instrument = self.entry(record.instrument);
                    let Some(stream) = instrument.stream(record.price_scale) else {
                        continue;
                    };
                    stream.active = true;
                    match record.side() {
                        Side::Buy => {
                            if stream.ts_event == 0 {
                                stream.ts_event = record.ts_event;
                                stream.own_time = record.has(flag::NO_VENUE_TIME);
                                stream.id = u64::try_from(record.price).ok();
                            }
                            stream.gap = Some(Gap {
                                sequence,
                                cause: record.size_scale,
                            });
                        }
                        _ => stream.gap = None,
                    }
                }
                _ => {}
            }
        }
    }

    /// Takes in a state control frame of the journal.
    pub fn recover_state(&mut self, state: &State) {
        self.connection = self.connection.max(state.connection);
        self.halted = state.halted;
        for known in &state.instruments {
            let instrument = self.entry(known.instrument);
            instrument.book_valid = known.book_valid;
            instrument.halted = known.halted;
            for (stream, saved) in [
                (&mut instrument.trades, &known.trades),
                (&mut instrument.quotes, &known.quotes),
                (&mut instrument.book_stream, &known.book),
            ] {
                if let Some(saved) = saved {
                    stream.active = true;
                    stream.ts_event = saved.ts_event;
                    stream.own_time = saved.own_time;
                    stream.id = saved.id;
                    stream.gap = saved.gap.map(|gap| Gap {
                        sequence: gap.sequence,
                        cause: gap.cause,
                    });
                }
            }
        }
    }

    /// What a restart must know, for control frames: each part stands alone.
    pub fn state(&self) -> Vec<State> {
        let save = |stream: &Stream| {
            stream.active.then(|| state::Stream {
                ts_event: stream.ts_event,
                own_time: stream.own_time,
                id: stream.id,
                gap: stream.gap.map(|gap| state::Gap {
                    sequence: gap.sequence,
                    cause: gap.cause,
                }),
            })
        };
        let instruments: Vec<state::Instrument> = self
            .known()
            .filter(|i| i.halted || i.streams().iter().any(|s| s.1.active))
            .map(|i| state::Instrument {
                instrument: i.number,
                book_valid: i.book_valid,
                halted: i.halted,
                trades: save(&i.trades),
                quotes: save(&i.quotes),
                book: save(&i.book_stream),
            })
            .collect();
        State::parts(self.connection, self.halted, &instruments)
    }

    /// After recovery: whatever ran before ended without a word where no gap is open yet.
    pub fn begin(&mut self, now: i64) {
        for instrument in self.instruments.iter_mut().flatten() {
            instrument.open_all(cause::DISCONNECT, now, &mut self.out);
        }
    }
}
