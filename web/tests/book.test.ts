import { describe, expect, it } from 'vitest';
import { Book } from '@/shared/book';
import type { BookMessage } from '@/shared/stream-message';

const snapshot = (change: Partial<BookMessage>): BookMessage =>
  ({
    type: 'book',
    instrument: 'BTC-USD.sim-alpaca',
    kind: 'snapshot',
    bids: [],
    asks: [],
    ts_event: '0',
    ts_recv: '0',
    ...change,
  }) as BookMessage;

describe('a book', () => {
  it('that never came is waited for, not invalid', () => {
    const book = new Book();
    book.apply(snapshot({ valid: false }));
    expect(book.view(5).state).toBe('waiting');
    book.apply(snapshot({ bids: [['1', '2']], ts_recv: '5' }));
    expect(book.view(5).state).toBe('valid');
  });

  it('that failed its check is invalid', () => {
    const book = new Book();
    book.apply(snapshot({ valid: false, ts_recv: '5' }));
    expect(book.view(5).state).toBe('invalid');
  });
});
