import { readFileSync } from 'node:fs';
import openapiTS, { astToString, COMMENT_HEADER } from 'openapi-typescript';
import { expect, it } from 'vitest';

it('the types of the API are those of its document; `npm run gen` makes them anew', async () => {
  const made = astToString(await openapiTS(new URL('../../docs/openapi.json', import.meta.url)));
  const kept = readFileSync(new URL('../src/api/schema.d.ts', import.meta.url), 'utf8');
  expect(kept).toBe(COMMENT_HEADER + made);
});
