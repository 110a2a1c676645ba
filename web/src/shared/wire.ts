// Reader of wire frames, version 1: 32-byte header, then 48-byte records, little-endian, checked by CRC-32C. 64-bit fields are
// bigints. The screens take JSON from the bridge; this reads frames for tools and proves that the languages agree.

import { decimalText } from './decimal';

export const HEADER_BYTES = 32;
export const RECORD_BYTES = 48;
const MAGIC = 0x4c4d4454; // "TDML"
const VERSION = 1;
const MAX_PAYLOAD_BYTES = 1 << 20;

/** Frame types; readers skip those they do not know. */
export const FRAME = { records: 1, control: 2, heartbeat: 3, skip: 4 } as const;

export interface WireRecord {
  kind: number;
  flags: number;
  price_scale: number;
  size_scale: number;
  /** Number from the home's registry; 0 is the whole venue. */
  instrument: number;
  ts_event: bigint;
  ts_recv: bigint;
  price: bigint;
  size: bigint;
  id: bigint;
}

export interface Frame {
  type: number;
  venue: number;
  /** Payload bytes, padding included. */
  length: number;
  count: number;
  epoch: number;
  sequence: bigint;
  crc32c: number;
  payload: DataView;
}

export type FrameFault = 'short' | 'magic' | 'version' | 'length' | 'checksum';

/** Why bytes are not a frame. `short` asks for more bytes. */
export class FrameError extends Error {
  readonly fault: FrameFault;

  constructor(fault: FrameFault, message: string) {
    super(message);
    this.name = 'FrameError';
    this.fault = fault;
  }
}

const TABLE = Uint32Array.from({ length: 256 }, (_, byte) => {
  let value = byte;
  for (let bit = 0; bit < 8; bit++) value = value & 1 ? (value >>> 1) ^ 0x82f63b78 : value >>> 1;
  return value >>> 0;
});

/** CRC-32C (Castagnoli) of bytes that follow those of `before`. */
export function crc32c(bytes: Uint8Array, before = 0): number {
  let value = ~before >>> 0;
  for (const byte of bytes) value = (value >>> 8) ^ (TABLE[(value ^ byte) & 0xff] ?? 0);
  return ~value >>> 0;
}

/** The frame at the start of `bytes`. Throws a FrameError. */
export function decodeFrame(bytes: Uint8Array): Frame {
  if (bytes.length < HEADER_BYTES) throw short(HEADER_BYTES);
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  const magic = view.getUint32(0, true);
  if (magic !== MAGIC) throw new FrameError('magic', `not a frame: begins with 0x${magic.toString(16)}`);
  const version = view.getUint8(4);
  if (version !== VERSION) {
    throw new FrameError('version', `frame version ${version}; this program reads ${VERSION}`);
  }
  const [type, venue] = [view.getUint8(5), view.getUint16(6, true)];
  const [length, count] = [view.getUint32(8, true), view.getUint32(12, true)];
  if (!fits(type, length, count)) {
    throw new FrameError('length', `frame length ${length} does not fit its type and count`);
  }
  const end = HEADER_BYTES + length;
  if (bytes.length < end) throw short(end);
  const found = view.getUint32(20, true);
  const expected = crc32c(bytes.subarray(24, end), crc32c(new Uint8Array(4), crc32c(bytes.subarray(0, 20))));
  if (found !== expected) throw new FrameError('checksum', 'frame checksum does not hold');
  return {
    type,
    venue,
    length,
    count,
    epoch: view.getUint32(16, true),
    sequence: view.getBigUint64(24, true),
    crc32c: found,
    payload: new DataView(bytes.buffer, bytes.byteOffset + HEADER_BYTES, length),
  };
}

const short = (needed: number): FrameError => new FrameError('short', `frame is cut: needs ${needed} bytes`);

function fits(type: number, length: number, count: number): boolean {
  if (length % 8 !== 0 || length > MAX_PAYLOAD_BYTES) return false;
  switch (type) {
    case FRAME.records:
      return count > 0 && length === count * RECORD_BYTES;
    case FRAME.control:
      return count === 0;
    case FRAME.heartbeat:
      return count === 0 && length === 0;
    case FRAME.skip:
      return length === 0;
    default:
      return true;
  }
}

/** The record that begins at `offset`. */
export function readRecord(view: DataView, offset = 0): WireRecord {
  return {
    kind: view.getUint8(offset),
    flags: view.getUint8(offset + 1),
    price_scale: view.getUint8(offset + 2),
    size_scale: view.getUint8(offset + 3),
    instrument: view.getUint32(offset + 4, true),
    ts_event: view.getBigInt64(offset + 8, true),
    ts_recv: view.getBigInt64(offset + 16, true),
    price: view.getBigInt64(offset + 24, true),
    size: view.getBigInt64(offset + 32, true),
    id: view.getBigUint64(offset + 40, true),
  };
}

/** The records of a frame; none for other types. The sequence of the i-th is `sequence + i`. */
export function frameRecords(frame: Frame): WireRecord[] {
  if (frame.type !== FRAME.records) return [];
  return Array.from({ length: frame.count }, (_, i) => readRecord(frame.payload, i * RECORD_BYTES));
}

/** The JSON text of a control frame without its padding; null for other types. */
export function frameControl(frame: Frame): string | null {
  if (frame.type !== FRAME.control) return null;
  const { buffer, byteOffset, byteLength } = frame.payload;
  return new TextDecoder().decode(new Uint8Array(buffer, byteOffset, byteLength)).replace(/\0+$/, '');
}

export const recordPrice = (record: WireRecord): string => decimalText(record.price, record.price_scale);
export const recordSize = (record: WireRecord): string => decimalText(record.size, record.size_scale);
