import { describe, expect, it } from 'vitest';
import { fault, KINDS, kindOf, parseLine, termsOf } from '@/features/alert/alert';

describe('what a form of an alert says', () => {
  it('makes the terms of every kind from what the form begins with', () => {
    for (const { kind, fields } of KINDS) {
      const texts = { instrument: 'BTC-USD.kraken', level: '70' };
      const wrong = fields.map((field) => fault(field, texts[field.name as 'level'] ?? field.value));
      expect(wrong.filter((one) => one !== null)).toEqual([]);
      expect(termsOf(kind, texts).kind).toBe(kind);
    }
  });

  it('keeps a price as text and takes the rest as numbers', () => {
    const price = termsOf('price', { instrument: 'A-B.c', level: '64231.50', direction: 'above' });
    expect(price).toEqual({ kind: 'price', instrument: 'A-B.c', level: '64231.50', direction: 'above' });
    const rsi = termsOf('indicator', { instrument: 'A-B.c', level: '70' });
    expect(rsi).toMatchObject({ level: 70, line: { indicator: 'rsi', params: { period: 14 } } });
    expect(termsOf('queue', {})).toEqual({ kind: 'queue', part: 'recorder', above: 100000, for_s: 30 });
    expect(termsOf('gap', { venue: ' ' })).toEqual({ kind: 'gap' });
  });

  it('reads a line of an indicator', () => {
    expect(parseLine('macd(fast=12, slow=26).signal')).toEqual({
      indicator: 'macd',
      params: { fast: 12, slow: 26 },
      output: 'signal',
    });
    expect(parseLine('obv')).toEqual({ indicator: 'obv', params: {} });
    for (const text of ['', 'rsi(14)', 'rsi(period=x)', 'rsi(period=14', 'a b(', 'rsi()()'])
      expect(parseLine(text)).toBeNull();
  });

  it('says what is wrong with a field', () => {
    const level = kindOf('price')?.fields.find(({ name }) => name === 'level');
    if (!level) throw new Error('a price has a level');
    expect(fault(level, '1e5')).toMatch('plain number');
    expect(fault(level, ' ')).toMatch('needed');
    expect(fault({ name: 'factor', label: 'Factor', value: '', above: 1 }, '1')).toMatch('above 1');
  });
});
