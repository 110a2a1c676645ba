import { describe, expect, it } from 'vitest';
import type { Strategy, StrategyParam, StrategySummary } from '@/api/types';
import { keepDraft } from '@/features/ide/draft';
import { copyName, isName, lineOf, ofGroup } from '@/features/ide/file';
import {
  expressionBefore,
  type Language,
  meaning,
  offers,
  openCall,
  ownerOf,
  type Word,
} from '@/features/ide/language';
import { askOf, curlSnippet, pythonSnippet, type Setup, wrongOf } from '@/features/ide/setup';
import { editorTheme } from '@/shared/editor/theme';

const word = (name: string, kind: Word['kind'], gives = '', rest: Partial<Word> = {}): Word => ({
  name,
  kind,
  gives,
  signature: `${name}()`,
  text: '',
  params: [],
  outputs: [],
  ...rest,
});
const hook = { params: ['bars'], signature: 'signal(bars: Bars) -> Signal' };
const language: Language = {
  names: [
    word('Param', 'class', 'Param', { params: ['default', 'low'] }),
    word('when', 'function', 'Signal', { params: ['test', 'then', 'other'] }),
  ],
  members: {
    Strategy: [
      word('signal', 'hook', 'Signal', hook),
      word('buy', 'method', '', { params: ['instrument', 'size'] }),
      word('broker', 'property', 'Broker'),
      word('watch', 'method', 'Watch', { params: ['signal'] }),
    ],
    Bars: [
      word('close', 'column', 'Signal'),
      word('rsi', 'indicator', 'Signal', { params: ['period'], signature: 'rsi(period=14)' }),
      word('macd', 'indicator', 'Lines', {
        params: ['fast', 'slow'],
        outputs: ['macd', 'signal', 'histogram'],
      }),
    ],
    Signal: [
      word('shift', 'method', 'Signal', { params: ['steps'] }),
      word('sma', 'method', 'Signal', { params: ['period'] }),
    ],
    Lines: [word('one', 'property', 'Signal')],
    Broker: [word('cash', 'method')],
    Watch: [word('value', 'property')],
    Bar: [word('close', 'property')],
  },
  keywords: ['return', 'def'],
  builtins: ['abs', 'print'],
};
const TEXT = `from tidemill.strategy import Param, Strategy, when


class Mine(Strategy):
    fast = Param(20, low=2, high=200)

    def start(self, market):
        self.high = self.watch(market)

    def signal(self, bars: Bars):
        lines = bars.macd(fast=3)
        both = bars.close + lines.macd
        fast = bars.rsi(self.fast)
        return when(fast > 1, 1.0, 0.0)
`;
const labels = (before: string) => offers(language, before, TEXT).map(({ label }) => label);

describe('what can be written', () => {
  it.each([
    ['x = 1 + bars.macd(3, (4))', 'bars.macd(3, (4))'],
    ['f(a, (b / c)', '(b / c)'],
    ['when(bars.close', 'bars.close'],
    ['x = lines["signal"]', 'lines["signal"]'],
    ['a + ', ''],
  ])('the expression at the end of %s', (text, expression) => {
    expect(expressionBefore(text)).toBe(expression);
  });

  it.each([
    ['bars', 'Bars'],
    ['bars.close', 'Signal'],
    ['bars.macd()', 'Lines'],
    ['bars.macd()["signal"]', 'Signal'],
    ['lines.histogram', 'Signal'],
    ['both', 'Signal'],
    ['(a / b)', 'Signal'],
    ['self', 'Strategy'],
    ['self.broker', 'Broker'],
    ['self.high', 'Watch'],
    ['when(a, b, c).shift(2)', 'Signal'],
    ['nothing', undefined],
    ['nothing.at.all', undefined],
  ])('%s is a %s', (expression, name) => {
    expect(ownerOf(expression, TEXT, language)?.name).toBe(name);
  });

  it('a name that is made of itself is no endless question', () => {
    expect(ownerOf('x', 'x = x.y\n', language)).toBeNull();
  });

  it('members by what is before the dot', () => {
    expect(labels('        x = bars.')).toEqual(['close', 'rsi', 'macd']);
    expect(labels('        x = lines.hi')).toEqual(['macd', 'signal', 'histogram']);
    expect(labels('        x = fast.')).toEqual(['shift', 'sma']);
    expect(labels('        self.')).toEqual(['fast', 'high', 'buy', 'broker', 'watch']);
    expect(labels('        nobody.')).toEqual([]);
  });

  it('parameters of the call that is open come first', () => {
    expect(openCall('x = when(bars.rsi(per')).toBe('bars.rsi');
    expect(openCall('x = when(bars.rsi(3), ')).toBe('when');
    expect(openCall('x = (1 + ')).toBeNull();
    expect(labels('        x = bars.rsi(per')[0]).toBe('period=');
    expect(labels('        x = when(bars.rsi(3), ').slice(0, 3)).toEqual(['test=', 'then=', 'other=']);
  });

  it('a function to override is written with its first line', () => {
    expect(offers(language, '    def si', TEXT)).toMatchObject([
      { label: 'signal', insert: 'signal(self, bars: Bars) -> Signal:\n    $0' },
    ]);
  });

  it('nothing in a comment, words of the text elsewhere', () => {
    expect(labels('x = 1  # bars.')).toEqual([]);
    expect(labels('        x = "#" + ')).toContain('lines');
    expect(labels('from tidemill.strategy import Par')).toEqual(['Param', 'when']);
  });

  it('what a word means', () => {
    expect(meaning(language, '        x = bars.rsi', TEXT)?.signature).toBe('rsi(period=14)');
    expect(meaning(language, '        return when', TEXT)?.name).toBe('when');
    expect(meaning(language, '    def signal', TEXT)?.kind).toBe('hook');
    expect(meaning(language, '        x = nobody.rsi', TEXT)).toBeNull();
  });
});

const strategy = { name: 'mine', code: 'a', version: 3 } as Strategy;

describe('drafts', () => {
  it('begin with the first change and end where the text is as it was', () => {
    const one = keepDraft({}, strategy, 'ab');
    expect(one).toEqual({ mine: { text: 'ab', base: 'a', version: 3 } });
    // Somebody else saved meanwhile: it is still a change of version 3.
    const two = keepDraft(one, { ...strategy, code: 'z', version: 4 }, 'abc');
    expect(two.mine).toEqual({ text: 'abc', base: 'a', version: 3 });
    expect(keepDraft(two, strategy, 'a')).toEqual({});
    expect(keepDraft({}, strategy, 'a')).toEqual({});
  });
});

describe('files', () => {
  it('a copy gets a name that nobody has', () => {
    expect(copyName('sma_cross', [])).toBe('my_sma_cross');
    expect(copyName('my_own', ['my_own', 'my_own_2'])).toBe('my_own_3');
    expect(isName(copyName('x'.repeat(64), []))).toBe(true);
    expect(['a', 'a_1', 'A', '1a', ''].map(isName)).toEqual([true, true, false, false, false]);
  });

  it('groups by origin, found by any of their words', () => {
    const items = [
      { name: 'b', origin: 'builtin', title: 'Bands', description: '' },
      { name: 'a', origin: 'builtin', title: '', description: 'Trend by bands' },
      { name: 'c', origin: 'database', title: '', description: '' },
    ] as StrategySummary[];
    expect(ofGroup(items, 'builtin', '').map(({ name }) => name)).toEqual(['a', 'b']);
    expect(ofGroup(items, 'builtin', 'TREND bands').map(({ name }) => name)).toEqual(['a']);
  });

  it('finds the line that an error speaks of', () => {
    expect(lineOf('the code failed at mine.py:12 in on_bar: no', 'mine')).toBe(12);
    expect(lineOf('mine: line 3, column 4: no', 'mine')).toBe(3);
    expect(lineOf('it has no bars', 'mine')).toBeNull();
  });
});

const setup: Setup = {
  instrument: '',
  others: 'ETH-USD.up, SOL-USD.up',
  interval: '1h',
  start: '2026-01-02',
  end: '2026-01-03',
  taker: '0.001',
  slippage_bps: '1',
  params: { mine: { fast: '7', side: "o'clock" } },
};
const params = [
  { name: 'fast', kind: 'int', default: 3, low: 2, high: 9, step: null, choices: [], help: '' },
  { name: 'side', kind: 'str', default: 'x', low: null, high: null, step: null, choices: [], help: '' },
] as StrategyParam[];

describe('what it runs on', () => {
  it('is asked for as the API takes it, the last day whole', () => {
    expect(askOf(setup, 'BTC-USD.up', 'mine', params)).toEqual({
      strategy: 'mine',
      instruments: ['BTC-USD.up', 'ETH-USD.up', 'SOL-USD.up'],
      interval: '1h',
      start: '2026-01-02T00:00:00Z',
      end: '2026-01-04T00:00:00.000Z',
      params: { fast: 7, side: "o'clock" },
      costs: { taker: '0.001', slippage_bps: '1' },
    });
  });

  it('says what is wrong with it', () => {
    const wrong = (change: Partial<Setup>, first = 'BTC-USD.up') =>
      wrongOf({ ...setup, ...change }, first, 'mine', params);
    expect(wrong({})).toBeNull();
    expect(wrong({ others: '' }, '')).toMatch(/instrument/);
    expect(wrong({ taker: 'x' })).toMatch(/Costs/);
    expect(wrong({ start: '2026-02-01' })).toMatch(/after the last/);
    expect(wrong({ params: { mine: { fast: '77' } } })).toBe('fast is out of its range.');
  });

  it('can be pasted, quotes and all', () => {
    const ask = askOf(setup, 'BTC-USD.up', 'mine', params);
    expect(pythonSnippet(ask)).toContain('td.backtest("mine", ["BTC-USD.up","ETH');
    expect(pythonSnippet(ask)).toContain('fast=7, side="o\'clock")');
    expect(curlSnippet('http://x', '/home', ask)).toContain("o'\\''clock");
  });
});

it('themes are made of colours that the editor can read', () => {
  for (const mode of ['dark', 'light'] as const) {
    const { rules, colors } = editorTheme(mode);
    for (const { foreground } of rules) expect(foreground).toMatch(/^[0-9A-Fa-f]{6}$/);
    for (const color of Object.values(colors)) expect(color).toMatch(/^#([0-9A-Fa-f]{6}|[0-9A-Fa-f]{8})$/);
  }
});
