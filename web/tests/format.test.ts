import { expect, it } from 'vitest';
import { age, duration, sentence } from '@/shared/format';

it('words of an error become a sentence, names in them stay', () => {
  expect(sentence('no frame for 5 s')).toBe('No frame for 5 s.');
  expect(sentence('The key was used.')).toBe('The key was used.');
  expect(sentence('sim-kraken does not answer')).toBe('sim-kraken does not answer.');
  expect(sentence(null)).toBe('');
});

it('what just came is new, what lasted no time lasted none', () => {
  expect(age(20)).toBe('now');
  expect(duration(20)).toMatch(/^0.s$/);
  expect(duration(14_200)).toMatch(/^14.s$/);
  expect(duration(null)).toBe('\u2014');
});
