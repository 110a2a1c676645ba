import { readFileSync } from 'node:fs';
import { describe, expect, it } from 'vitest';
import { DecimalError, decimalText, parseDecimal } from '@/shared/decimal';
import {
  crc32c,
  decodeFrame,
  FrameError,
  frameControl,
  frameRecords,
  readRecord,
  recordPrice,
  recordSize,
  type WireRecord,
} from '@/shared/wire';

const read = (name: string) =>
  JSON.parse(readFileSync(new URL(`../../vectors/wire/${name}.json`, import.meta.url), 'utf8'));

const bytes = (hex: string) => Uint8Array.from(hex.match(/../g) ?? [], (pair) => Number.parseInt(pair, 16));

interface RecordVector {
  description: string;
  hex: string;
  expect: Record<string, number | string>;
  price?: string;
  size?: string;
}

const records: RecordVector[] = read('records');

/** 64-bit fields as text, as the vectors hold them. */
const plain = (record: WireRecord) =>
  Object.fromEntries(
    Object.entries(record).map(([name, value]) => [name, typeof value === 'bigint' ? String(value) : value]),
  );

describe('golden records', () => {
  it.each(records)('$description', ({ hex, expect: expected, price, size }) => {
    const record = readRecord(new DataView(bytes(hex).buffer));
    expect(plain(record)).toEqual(expected);
    if (price !== undefined) expect(recordPrice(record)).toBe(price);
    if (size !== undefined) expect(recordSize(record)).toBe(size);
  });
});

interface FrameVector {
  description: string;
  hex: string;
  error?: string;
  expect?: {
    type: number;
    venue: number;
    length: number;
    count: number;
    epoch: number;
    sequence: string;
    crc32c: string;
    records?: number[];
    control?: string;
  };
}

const frames: FrameVector[] = read('frames');

function fault(hex: string): string {
  try {
    decodeFrame(bytes(hex));
    return 'none';
  } catch (error) {
    return error instanceof FrameError ? error.fault : String(error);
  }
}

describe('golden frames', () => {
  it.each(frames)('$description', ({ hex, error, expect: expected }) => {
    if (error !== undefined) {
      expect(fault(hex)).toBe(error);
      return;
    }
    const frame = decodeFrame(bytes(hex));
    expect({
      type: frame.type,
      venue: frame.venue,
      length: frame.length,
      count: frame.count,
      epoch: frame.epoch,
      sequence: String(frame.sequence),
      crc32c: frame.crc32c.toString(16).padStart(8, '0'),
    }).toEqual({
      type: expected?.type,
      venue: expected?.venue,
      length: expected?.length,
      count: expected?.count,
      epoch: expected?.epoch,
      sequence: expected?.sequence,
      crc32c: expected?.crc32c,
    });
    if (expected?.records) {
      expect(frameRecords(frame).map(plain)).toEqual(expected.records.map((i) => records[i]?.expect));
    }
    if (expected?.control !== undefined) expect(frameControl(frame)).toBe(expected.control);
  });

  it('every single flipped bit of a frame is noticed', () => {
    const whole = bytes(frames[0]?.hex ?? '');
    for (let bit = 0; bit < whole.length * 8; bit++) {
      const broken = whole.slice();
      broken[bit >> 3] = (broken[bit >> 3] ?? 0) ^ (1 << (bit & 7));
      expect(() => decodeFrame(broken)).toThrow(FrameError);
    }
  });
});

it('CRC-32C of the check string of its standard', () => {
  expect(crc32c(new TextEncoder().encode('123456789'))).toBe(0xe3069283);
});

interface DecimalVector {
  text: string;
  mantissa?: string;
  scale?: number;
  error?: string;
}

describe('golden decimals', () => {
  it.each(read('decimals') as DecimalVector[])('$text', ({ text, mantissa, scale, error }) => {
    if (error !== undefined) {
      let kind: string | null = null;
      try {
        parseDecimal(text);
      } catch (thrown) {
        kind = thrown instanceof DecimalError ? thrown.kind : String(thrown);
      }
      expect(kind).toBe(error);
      return;
    }
    const value = parseDecimal(text);
    expect({ mantissa: String(value.mantissa), scale: value.scale }).toEqual({ mantissa, scale });
    expect(parseDecimal(decimalText(value.mantissa, value.scale))).toEqual(value);
  });
});
