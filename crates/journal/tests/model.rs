//! Random histories of a journal against a plain list of records.
#![allow(clippy::unwrap_used, clippy::expect_used)] // helpers of tests are tests

mod common;

use common::{Home, options, trade};
use journal::{From, Options, Position, Reader, Writer};
use proptest::prelude::*;
use wire::Record;

#[derive(Clone, Debug)]
enum Step {
    /// Appends messages of so many records.
    Append(Vec<usize>),
    Control(usize),
    Reopen,
    /// Everything from this part (of 1000) of the open segment's data on is lost; what is there instead
    /// is zeros or noise.
    Cut(usize, bool),
    /// The head file is gone.
    LoseHead,
    /// All indexes are gone.
    LoseIndexes,
    /// The store has come to this part (of 1000) of what there is.
    Store(u64),
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        8 => prop::collection::vec(1usize..40, 1..40).prop_map(Step::Append),
        1 => Just(Step::Append(vec![2000])),
        1 => (1usize..3000).prop_map(Step::Control),
        3 => Just(Step::Reopen),
        2 => (0usize..1000, any::<bool>()).prop_map(|(part, noise)| Step::Cut(part, noise)),
        1 => Just(Step::LoseHead),
        1 => Just(Step::LoseIndexes),
        1 => (0u64..1000).prop_map(Step::Store),
    ]
}

/// What the journal must hold.
#[derive(Default)]
struct Model {
    records: Vec<(Position, Record)>,
    epoch: u32,
}

struct Run {
    home: Home,
    options: Options,
    writer: Option<Writer>,
    model: Model,
    /// Reads along through everything; what it has seen.
    reader: Reader,
    seen: Vec<Record>,
}

impl Run {
    fn new(pack: bool) -> Self {
        let home = Home::in_memory();
        let options = Options {
            durable: false,
            pack,
            ..options(32 << 10)
        };
        let writer = Writer::open(home.path(), "test", &options).unwrap();
        let reader = home.reader();
        Self {
            home,
            options,
            writer: Some(writer),
            model: Model {
                epoch: 1,
                ..Model::default()
            },
            reader,
            seen: Vec::new(),
        }
    }

    fn open(&mut self) {
        let writer = Writer::open(self.home.path(), "test", &self.options).unwrap();
        self.model.epoch += 1;
        assert_eq!(writer.epoch(), self.model.epoch);
        assert_eq!(writer.next_sequence(), self.model.records.len() as u64 + 1);
        self.writer = Some(writer);
    }

    fn step(&mut self, step: &Step) {
        match step {
            Step::Append(sizes) => {
                let writer = self.writer.as_mut().unwrap();
                for size in sizes {
                    let next = writer.next_sequence();
                    // Records differ from one epoch to the next, also where a sequence is given twice.
                    let shift = u64::from(self.model.epoch) * 1_000_000;
                    let records: Vec<Record> =
                        (next..next + *size as u64).map(|n| trade(n + shift)).collect();
                    assert_eq!(writer.append(&records).unwrap().sequence, next);
                    for (n, record) in (next..).zip(records) {
                        self.model
                            .records
                            .push((Position::new(self.model.epoch, n), record));
                    }
                }
            }
            Step::Control(bytes) => {
                let text = format!("\"{}\"", "x".repeat(*bytes));
                self.writer.as_mut().unwrap().control(&text).unwrap();
            }
            Step::Reopen => {
                self.writer = None;
                self.open();
            }
            Step::Cut(part, noise) => {
                self.read_along();
                self.writer = None;
                self.cut(*part, *noise);
                self.open();
                // What was cut off and read before is not in the log any more.
                self.seen.truncate(self.model.records.len());
            }
            Step::LoseHead => {
                self.read_along();
                self.writer = None;
                std::fs::remove_file(self.home.journal().join("head")).unwrap();
                self.open();
                // A seek finds the new head at once, waiting within a quarter of a second.
                let place = self.reader.position().unwrap_or(Position::new(1, 1));
                self.reader.seek(From::At(place)).unwrap();
            }
            Step::LoseIndexes => {
                self.writer = None;
                for segment in self.home.segments() {
                    let _ = std::fs::remove_file(segment.with_extension("idx"));
                }
                self.open();
            }
            Step::Store(part) => {
                let dir = self.home.path().join("run/offsets");
                std::fs::create_dir_all(&dir).unwrap();
                let sequence = self.model.records.len() as u64 * part / 1000;
                std::fs::write(dir.join("test.json"), format!("{{\"sequence\":{sequence}}}")).unwrap();
            }
        }
    }

    fn cut(&mut self, part: usize, noise: bool) {
        let path = self.home.segments().pop().unwrap();
        let mut bytes = std::fs::read(&path).unwrap();
        let mut frames = Vec::new();
        let mut at = 0;
        while let Ok(frame) = wire::frame::decode(&bytes[at..]) {
            frames.push((at, frame.header.sequence));
            at += frame.header.frame_bytes();
        }
        // The first frame stays: a segment is not named before it is whole, so no reader that lives on
        // through a crash has seen it torn.
        let first = frames.get(1).map_or(at, |(at, _)| *at);
        let cut = first + (at - first) * part / 1000 / 8 * 8;
        let kept = bytes.clone();
        bytes[cut..at].fill(0);
        if noise {
            let mut random = common::Random(part as u64 + 1);
            bytes[cut..at]
                .iter_mut()
                .for_each(|byte| *byte = random.next() as u8);
        }
        let ends = frames.iter().skip(1).map(|(at, _)| *at).chain([at]);
        let lost = frames
            .iter()
            .zip(ends)
            .find(|((from, _), to)| bytes[*from..*to] != kept[*from..*to]);
        if let Some(((_, sequence), _)) = lost {
            self.model.records.truncate(*sequence as usize - 1);
        }
        std::fs::write(&path, bytes).unwrap();
    }

    fn read_along(&mut self) {
        self.seen.extend(common::records(&mut self.reader));
        assert!(self.reader.take_lost().is_empty());
    }

    fn check(&mut self, seed: u64) {
        let expect: Vec<Record> = self.model.records.iter().map(|(_, record)| *record).collect();
        self.read_along();
        assert!(self.seen == expect, "the reader that read along differs");
        let mut reader = self.home.reader();
        assert!(common::records(&mut reader) == expect, "a fresh reader differs");
        assert!(reader.take_lost().is_empty());
        let report = journal::verify(self.home.path(), "test").unwrap();
        assert!(report.is_whole(), "{report:?}");
        assert_eq!(report.records, expect.len() as u64);
        let mut random = common::Random(seed | 1);
        for _ in 0..5.min(expect.len()) {
            let i = random.below(expect.len() as u64) as usize;
            reader.seek(From::At(self.model.records[i].0)).unwrap();
            let found = common::records(&mut reader);
            assert!(
                found.ends_with(&expect[i..]),
                "position {}",
                self.model.records[i].0
            );
            assert!(
                found.len() < expect.len() - i + 170,
                "a seek goes to the frame, not before it"
            );
        }
        let mut replayed = Vec::new();
        self.writer
            .as_ref()
            .unwrap()
            .replay_tail(|frame| replayed.extend_from_slice(frame.records()))
            .unwrap();
        assert!(expect.ends_with(&replayed));
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 60, max_shrink_iters: 200, failure_persistence: None, ..ProptestConfig::default() })]
    #[test]
    fn a_journal_is_a_list_of_records(
        steps in prop::collection::vec(step(), 1..25),
        pack in any::<bool>(),
        seed in any::<u64>(),
    ) {
        let mut run = Run::new(pack);
        for step in &steps {
            run.step(step);
        }
        run.check(seed);
    }
}
